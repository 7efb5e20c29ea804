/* Reads all that a slate says, checks that it agrees with itself, and prints it. */
#ifndef SHOW_H
#define SHOW_H

#include "check.h"

enum { MOST = 1000 };

static inline char *in_folder(const char *folder, const char *name) {
    char *path = malloc(strlen(folder) + strlen(name) + 2);
    CHECK(path != NULL);
    sprintf(path, "%s/%s", folder, name);
    return path;
}

static inline void write_in(const char *folder, const char *name, const void *bytes, size_t len) {
    char *path = in_folder(folder, name);
    write_bytes(path, bytes, len);
    free(path);
}

/* A record of a slate, into a file of the folder. */
static inline char *write_record(const pc_slate *slate, uint32_t flags, const char *folder,
                                 const char *name) {
    char *record = NULL;
    SUCCEEDS(pc_slate_record(slate, flags, &record, &error));
    write_in(folder, name, record, strlen(record));
    return record;
}

static inline unsigned long long bits(double x) {
    unsigned long long found;
    memcpy(&found, &x, sizeof found);
    return found;
}

static inline void show_numbers(const char *name, const double *numbers, size_t n) {
    size_t i;
    printf("%s", name);
    for (i = 0; i < n; i++) printf(" %016llx", bits(numbers[i]));
    printf("\n");
}

static inline void show_slate(const pc_slate *slate) {
    int64_t ids[MOST];
    double numbers[MOST], sum[MOST] = {0};
    uint8_t explored[MOST];
    const char *text = NULL;
    size_t len = 0, n = 99, terms = 0, i, j;
    pc_status with_integers;
    SUCCEEDS(pc_slate_len(slate, &len, &error));
    CHECK(len <= MOST);
    with_integers = pc_slate_ids(slate, ids, MOST, &n, NULL);
    CHECK(with_integers == PC_TEXT_IDS || (with_integers == PC_OK && n == len));
    for (i = 0; i < len; i++) {
        SUCCEEDS(pc_slate_id_text(slate, i, &text, &error));
        printf("%s: ", text);
        if (with_integers == PC_OK) {
            char digits[32];
            sprintf(digits, "%lld", (long long)ids[i]);
            CHECK(strcmp(text, digits) == 0);
        }
        SUCCEEDS(pc_slate_reason(slate, i, &text, &error));
        printf("%s\n", text);
    }
    SUCCEEDS(pc_slate_term_count(slate, &terms, &error));
    for (j = 0; j < terms; j++) {
        SUCCEEDS(pc_slate_term_name(slate, j, &text, &error));
        SUCCEEDS(pc_slate_term(slate, text, numbers, MOST, &n, &error));
        CHECK(n == len);
        show_numbers(text, numbers, n);
        for (i = 0; i < n; i++) sum[i] += numbers[i];
    }
    SUCCEEDS(pc_slate_scores(slate, numbers, MOST, &n, &error));
    CHECK(n == len);
    show_numbers("scores", numbers, n);
    for (i = 0; i < n; i++) CHECK(sum[i] == numbers[i]);
    SUCCEEDS(pc_slate_propensities(slate, numbers, MOST, &n, &error));
    CHECK(n == len);
    show_numbers("propensities", numbers, n);
    SUCCEEDS(pc_slate_explored(slate, explored, MOST, &n, &error));
    CHECK(n == len);
    printf("explored");
    for (i = 0; i < n; i++) printf(" %d", explored[i]);
    SUCCEEDS(pc_slate_path(slate, &text, &error));
    printf("\npath %s\n", text);
    SUCCEEDS(pc_slate_short_reason(slate, &text, &error));
    printf("short %s\n", text == NULL ? "" : text);
    SUCCEEDS(pc_slate_given_up_count(slate, &n, &error));
    for (i = 0; i < n; i++) {
        SUCCEEDS(pc_slate_given_up(slate, i, &text, &error));
        printf("given up %s\n", text);
    }
}

#endif
