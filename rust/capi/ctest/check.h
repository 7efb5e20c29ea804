/* What the programs here share: checks that say where they failed, files, a tap into every call. */
#ifndef CHECK_H
#define CHECK_H

#include "perso_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition) check((condition) != 0, #condition, __LINE__)
/* The call, which names its message `error`, fails with this status and a message that has the text in
 * it. */
#define FAILS(wanted, text, call)                                                                  \
    do {                                                                                           \
        char *error = NULL;                                                                        \
        pc_status found = (call);                                                                  \
        if (found != (wanted) || error == NULL || strstr(error, (text)) == NULL) {                 \
            fprintf(stderr, "line %d: status %d (%s), message %s\n", __LINE__, (int)found,         \
                    pc_status_name(found), error == NULL ? "none" : error);                        \
            exit(1);                                                                               \
        }                                                                                          \
        pc_string_free(error);                                                                     \
    } while (0)
#define SUCCEEDS(call)                                                                             \
    do {                                                                                           \
        char *error = (char *)"stale";                                                             \
        pc_status found = (call);                                                                  \
        if (found != PC_OK || error != NULL) {                                                     \
            fprintf(stderr, "line %d: status %d, message %s\n", __LINE__, (int)found, error);      \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline void check(int held, const char *condition, int line) {
    if (!held) {
        fprintf(stderr, "line %d: not so: %s\n", line, condition);
        exit(1);
    }
}

/* Memory at a multiple of 64 plus `offset`; free_bytes finds in front of it where it was allocated. */
static inline char *aligned_bytes(size_t len, size_t offset) {
    char *whole = malloc(len + offset + 64 + sizeof(char *)), *at;
    CHECK(whole != NULL);
    at = whole + sizeof(char *);
    at += (64 - (uintptr_t)at % 64) % 64 + offset;
    memcpy(at - sizeof(char *), &whole, sizeof(char *));
    return at;
}

static inline void free_bytes(char *at) {
    char *whole;
    if (at == NULL) return;
    memcpy(&whole, at - sizeof(char *), sizeof(char *));
    free(whole);
}

/* A file's bytes with a NUL after them, at a multiple of 64 plus `offset`; freed with free_bytes. */
static inline char *read_bytes(const char *path, size_t offset, size_t *len) {
    FILE *file = fopen(path, "rb");
    long size;
    char *text;
    CHECK(file != NULL);
    CHECK(fseek(file, 0, SEEK_END) == 0);
    size = ftell(file);
    CHECK(size >= 0);
    rewind(file);
    text = aligned_bytes((size_t)size + 1, offset);
    CHECK(fread(text, 1, (size_t)size, file) == (size_t)size);
    text[size] = '\0';
    fclose(file);
    if (len != NULL) *len = (size_t)size;
    return text;
}

static inline char *read_text(const char *path) { return read_bytes(path, 0, NULL); }

/* What would be left if the bytes had gone: another pattern, and no memory. */
static inline void scribble_and_free(char *bytes, size_t len) {
    memset(bytes, 0xa5, len);
    free_bytes(bytes);
}

static inline void write_bytes(const char *path, const void *bytes, size_t len) {
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    CHECK(fwrite(bytes, 1, len, file) == len);
    CHECK(fclose(file) == 0);
}

static inline void write_text(const char *path, const char *text) {
    write_bytes(path, text, strlen(text));
}

#endif
