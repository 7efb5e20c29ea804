/* Does as it is told, for tests that ask another language for the same:
 *
 *     device catalog CATALOG POLICY REQUEST OUT [PLAN EVENTS]
 *     device capsule CAPSULE KEY REQUEST OUT AT [EVENTS]
 *
 * Opens what it is given from memory, in place; lets a profile learn from EVENTS, of which each line is "KIND AT
 * int ID" or "KIND AT text ID"; ranks; reads the slate and prints it; writes record.json, hashes.json and
 * withheld.json, and profile.bin where there is one, to OUT; and makes the slate of the first record again. */
#define _POSIX_C_SOURCE 200809L

#include "show.h"

/* Exactly one of the two is there. */
struct items {
    pc_catalog *catalog;
    pc_capsule *capsule;
};

static void observe(struct items items, pc_profile *profile, const char *path) {
    FILE *file = fopen(path, "r");
    char kind[100], of[10], id[100];
    long long at;
    CHECK(file != NULL);
    while (fscanf(file, "%99s %lld %9s %99s", kind, &at, of, id) == 4) {
        int64_t number = strtoll(id, NULL, 10);
        int text = strcmp(of, "text") == 0;
        if (items.catalog != NULL && text) {
            SUCCEEDS(pc_catalog_observe_text(items.catalog, profile, id, kind, at, &error));
        } else if (items.catalog != NULL) {
            SUCCEEDS(pc_catalog_observe(items.catalog, profile, number, kind, at, &error));
        } else if (text) {
            SUCCEEDS(pc_capsule_observe_text(items.capsule, profile, id, kind, at, &error));
        } else {
            SUCCEEDS(pc_capsule_observe(items.capsule, profile, number, kind, at, &error));
        }
    }
    CHECK(feof(file));
    fclose(file);
}

static void write_profile(const pc_profile *profile, const char *folder) {
    size_t size = 0, n = 0;
    unsigned char *bytes;
    SUCCEEDS(pc_profile_size(profile, &size, &error));
    bytes = malloc(size);
    CHECK(bytes != NULL);
    SUCCEEDS(pc_profile_to_bytes(profile, bytes, size, &n, &error));
    write_in(folder, "profile.bin", bytes, n);
    free(bytes);
}

/* A plan names its space as the policy does: between quotes after "space". */
static size_t dim_of(const pc_catalog *catalog, const char *plan) {
    const char *at = strstr(plan, "\"space\":\"");
    char space[100];
    size_t dim = 0;
    CHECK(at != NULL && sscanf(at, "\"space\":\"%99[^\"]\"", space) == 1);
    SUCCEEDS(pc_catalog_dim(catalog, space, &dim, &error));
    return dim;
}

int main(int count, char **arguments) {
    struct items items = {NULL, NULL};
    pc_profile *profile = NULL;
    pc_slate *slate = NULL, *again = NULL;
    char *bytes, *request, *record, *once_more = NULL, *policy = NULL;
    const char *folder, *plan = NULL;
    size_t len = 0;

    CHECK(count >= 6);
    bytes = read_bytes(arguments[2], 0, &len);
    request = read_text(arguments[4]);
    folder = arguments[5];
    if (strcmp(arguments[1], "catalog") == 0) {
        SUCCEEDS(pc_catalog_open_memory(bytes, len, PC_OPEN_IN_PLACE, &items.catalog, &error));
        policy = read_text(arguments[3]);
        if (count == 8) {
            char *plan_text = read_text(arguments[6]);
            SUCCEEDS(pc_profile_new(plan_text, dim_of(items.catalog, plan_text), NULL, NULL, &profile,
                                    &error));
            observe(items, profile, arguments[7]);
            free_bytes(plan_text);
        }
        SUCCEEDS(pc_rank_slate(items.catalog, profile, request, policy, &slate, &error));
    } else {
        char *key = read_text(arguments[3]);
        CHECK(strcmp(arguments[1], "capsule") == 0 && count >= 7);
        SUCCEEDS(pc_capsule_open_memory(bytes, len, (const uint8_t *)key, 1,
                                        strtoll(arguments[6], NULL, 10), PC_OPEN_IN_PLACE,
                                        &items.capsule, &error));
        free_bytes(key);
        SUCCEEDS(pc_capsule_plan(items.capsule, &plan, &error));
        if (count == 8) {
            SUCCEEDS(pc_capsule_profile_new(items.capsule, NULL, NULL, &profile, &error));
            observe(items, profile, arguments[7]);
        }
        SUCCEEDS(pc_capsule_rank(items.capsule, profile, request, &slate, &error));
    }
    show_slate(slate);
    if (profile != NULL) write_profile(profile, folder);
    pc_string_free(write_record(slate, PC_RECORD_HASHES, folder, "hashes.json"));
    pc_string_free(write_record(slate, 0, folder, "withheld.json"));
    record = write_record(slate, PC_RECORD_PERSONAL, folder, "record.json");
    if (items.catalog != NULL) {
        SUCCEEDS(pc_replay_slate(items.catalog, record, NULL, &again, &error));
    } else {
        SUCCEEDS(pc_capsule_replay(items.capsule, record, NULL, &again, &error));
    }
    SUCCEEDS(pc_slate_record(again, PC_RECORD_PERSONAL, &once_more, &error));
    CHECK(strcmp(record, once_more) == 0);

    pc_string_free(record);
    pc_string_free(once_more);
    pc_slate_free(again);
    pc_slate_free(slate);
    pc_profile_free(profile);
    pc_catalog_free(items.catalog);
    pc_capsule_free(items.capsule);
    free_bytes(bytes);
    free_bytes(request);
    free_bytes(policy);
    return 0;
}
