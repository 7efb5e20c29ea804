/* Ranks and replays what another program prepared, for its answers to be compared byte by byte.
 *
 *     parity FOLDER OUT
 *
 * FOLDER/cases has a line for each thing to do, KIND NAME CATALOG, where names have no spaces:
 *
 *     rank     ranks NAME.request by NAME.policy over the catalog file CATALOG
 *     replay   replays NAME.record over it
 *
 * OUT gets a line for each, in that order: KIND NAME STATUS and the record, or the message of a failure. */
#include "perso_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG = 4096 };

static void fail(const char *what, const char *which) {
    fprintf(stderr, "%s: %s\n", what, which);
    exit(1);
}

static char *read_text(const char *folder, const char *name, const char *suffix) {
    char path[LONG];
    FILE *file;
    long size;
    char *text;
    if (snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix) >= (int)sizeof path) {
        fail("a path that is too long", name);
    }
    file = fopen(path, "rb");
    if (file == NULL) fail("no such file", path);
    if (fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0) fail("cannot be read", path);
    rewind(file);
    text = malloc((size_t)size + 1);
    if (text == NULL) fail("no memory", path);
    if (fread(text, 1, (size_t)size, file) != (size_t)size) fail("cannot be read", path);
    text[size] = '\0';
    fclose(file);
    return text;
}

/* The catalog of this name, opened once as long as the same one is asked for. */
static const pc_catalog *opened(const char *folder, const char *name) {
    static pc_catalog *catalog;
    static char held[LONG];
    char path[LONG], *error = NULL;
    if (name != NULL && strcmp(held, name) == 0) return catalog;
    pc_catalog_free(catalog);
    catalog = NULL;
    held[0] = '\0';
    if (name == NULL) return NULL;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) {
        fail("a path that is too long", name);
    }
    if (pc_catalog_open(path, 0, &catalog, &error) != PC_OK) fail(path, error);
    strcpy(held, name);
    return catalog;
}

static void rank(const char *folder, const char *name, const pc_catalog *catalog, FILE *out) {
    char *request = read_text(folder, name, ".request"), *policy = read_text(folder, name, ".policy");
    char *record = NULL, *error = NULL;
    pc_status status = pc_rank(catalog, request, policy, &record, &error);
    fprintf(out, "rank %s %d %s\n", name, (int)status, status == PC_OK ? record : error);
    pc_string_free(record);
    pc_string_free(error);
    free(request);
    free(policy);
}

static void replay(const char *folder, const char *name, const pc_catalog *catalog, FILE *out) {
    char *record = read_text(folder, name, ".record");
    char *again = NULL, *error = NULL;
    pc_status status = pc_replay(catalog, record, &again, &error);
    fprintf(out, "replay %s %d %s\n", name, (int)status, status == PC_OK ? again : error);
    pc_string_free(again);
    pc_string_free(error);
    free(record);
}

int main(int count, char **arguments) {
    char *cases, *line, *next;
    FILE *out;
    if (count != 3) fail("expected FOLDER OUT after", arguments[0]);
    if (pc_abi_version() != PC_ABI_VERSION) fail("another version of the library", arguments[0]);
    cases = read_text(arguments[1], "cases", "");
    out = fopen(arguments[2], "wb");
    if (out == NULL) fail("cannot be written", arguments[2]);
    for (line = cases; *line != '\0'; line = next) {
        char kind[16], name[256], catalog[256];
        next = line + strcspn(line, "\n");
        if (*next == '\n') *next++ = '\0';
        if (sscanf(line, "%15s %255s %255s", kind, name, catalog) != 3) fail("not a case", line);
        if (strcmp(kind, "rank") == 0) {
            rank(arguments[1], name, opened(arguments[1], catalog), out);
        } else if (strcmp(kind, "replay") == 0) {
            replay(arguments[1], name, opened(arguments[1], catalog), out);
        } else {
            fail("neither rank nor replay", line);
        }
    }
    if (fclose(out) != 0) fail("cannot be written", arguments[2]);
    opened(NULL, NULL);
    free(cases);
    return 0;
}
