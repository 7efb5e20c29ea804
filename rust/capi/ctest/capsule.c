/* Opens a capsule in each of the ways, lets a profile learn from it, ranks it again, and meets the refusals.
 *
 *     capsule CAPSULE KEYS AT REQUEST OUT
 *
 * KEYS has a key that did not sign it and the one that did; AT is the moment of use. Writes records and the
 * profile to OUT and prints what capsule and slate say, for the caller to compare with the core. Exits with 0
 * when everything held, else prints the line that did not. */
#define _POSIX_C_SOURCE 200809L

#include "show.h"

static const uint8_t *keys;
static int64_t now;

/* All ways of bytes that may open are as good, so the last is kept. */
static pc_capsule *open_every_way(const char *path, char **kept) {
    static const struct {
        uint32_t flags;
        size_t offset;
    } WAYS[] = {{0, 0}, {0, 3}, {PC_OPEN_IN_PLACE, 3}, {PC_OPEN_IN_PLACE, 0}};
    pc_capsule *capsule = NULL;
    char expected[65];
    const char *hash = NULL;
    size_t i;
    SUCCEEDS(pc_capsule_open(path, keys, 2, now, &capsule, &error));
    SUCCEEDS(pc_capsule_hash(capsule, &hash, &error));
    CHECK(strlen(hash) == 64);
    strcpy(expected, hash);
    for (i = 0; i < sizeof WAYS / sizeof WAYS[0]; i++) {
        size_t len = 0;
        pc_capsule_free(capsule);
        *kept = read_bytes(path, WAYS[i].offset, &len);
        SUCCEEDS(pc_capsule_open_memory(*kept, len, keys, 2, now, WAYS[i].flags, &capsule, &error));
        SUCCEEDS(pc_capsule_hash(capsule, &hash, &error));
        CHECK(strcmp(hash, expected) == 0);
        if (WAYS[i].flags == 0) scribble_and_free(*kept, len);
        if (WAYS[i].flags != 0 && WAYS[i].offset != 0) {
            pc_capsule_free(capsule);
            capsule = NULL;
            free_bytes(*kept);
        }
    }
    return capsule;
}

static void describe(const pc_capsule *capsule) {
    int64_t ids[MOST], made = 0, expires = 0;
    uint64_t generation = 0;
    size_t len = 0, n = 0, i;
    const char *text = NULL;
    SUCCEEDS(pc_capsule_len(capsule, &len, &error));
    SUCCEEDS(pc_capsule_ids(capsule, ids, MOST, &n, &error));
    CHECK(n == len);
    for (i = 0; i < n; i++) {
        char digits[32];
        SUCCEEDS(pc_capsule_id_text(capsule, i, &text, &error));
        sprintf(digits, "%lld", (long long)ids[i]);
        CHECK(strcmp(text, digits) == 0);
    }
    printf("first %lld last %lld\n", (long long)ids[0], (long long)ids[n - 1]);
    SUCCEEDS(pc_capsule_generation(capsule, &generation, &error));
    SUCCEEDS(pc_capsule_made_at(capsule, &made, &error));
    SUCCEEDS(pc_capsule_expires_at(capsule, &expires, &error));
    printf("generation %llu made %lld expires %lld\n", (unsigned long long)generation,
           (long long)made, (long long)expires);
    SUCCEEDS(pc_capsule_hash(capsule, &text, &error));
    printf("hash %s\n", text);
    SUCCEEDS(pc_capsule_content_hash(capsule, &text, &error));
    printf("content %s\n", text);
    SUCCEEDS(pc_capsule_key_id(capsule, &text, &error));
    printf("key %s\n", text);
    SUCCEEDS(pc_capsule_library(capsule, &text, &error));
    printf("library %s\n", text);
    SUCCEEDS(pc_capsule_policy(capsule, &text, &error));
    printf("policy %s\n", text);
    SUCCEEDS(pc_capsule_plan(capsule, &text, &error));
    printf("plan %s\n", text);
    FAILS(PC_INVALID_VALUE, "i: expected less than", pc_capsule_id_text(capsule, n, &text, &error));
    FAILS(PC_MISSING, "no such space: \"style\"", pc_capsule_dim(capsule, "style", &n, &error));
    FAILS(PC_NULL_ARGUMENT, "capsule", pc_capsule_len(NULL, &n, &error));
}

static void refuse(const char *path) {
    pc_capsule *none = (pc_capsule *)1;
    const int64_t YEAR = INT64_C(31536000000000);
    size_t len = 0, i;
    char *bytes = read_bytes(path, 0, &len);
#define OPEN(length, n_keys, moment)                                                               \
    pc_capsule_open_memory(bytes, length, keys, n_keys, moment, PC_OPEN_IN_PLACE, &none, &error)
    FAILS(PC_WRONG_KEY, "signed with key", OPEN(len, 1, now));
    CHECK(none == NULL);
    FAILS(PC_EXPIRED, "expired", OPEN(len, 2, now + YEAR));
    FAILS(PC_FUTURE, "future", OPEN(len, 2, now - YEAR));
    FAILS(PC_FORMAT, "cut short", OPEN(len - 1, 2, now));
    FAILS(PC_FORMAT, "cut short", OPEN(0, 2, now));
    FAILS(PC_FORMAT, "after it", OPEN(len + 1, 2, now));
    FAILS(PC_INVALID_VALUE, "n_keys: expected 1 to 1000 keys, got 0", OPEN(len, 0, now));
    FAILS(PC_INVALID_VALUE, "n_keys", OPEN(len, SIZE_MAX, now));
    FAILS(PC_NULL_ARGUMENT, "keys",
          pc_capsule_open_memory(bytes, len, NULL, 1, now, 0, &none, &error));
    FAILS(PC_INVALID_VALUE, "flags", pc_capsule_open_memory(bytes, len, keys, 2, now, 1, &none, &error));
    for (i = 12; i < len; i += 97) {
        pc_status status;
        bytes[i] ^= 1;
        status = pc_capsule_open_memory(bytes, len, keys, 2, now, 0, &none, NULL);
        CHECK(status == PC_TAMPERED || status == PC_WRONG_KEY);
        bytes[i] ^= 1;
    }
    FAILS(PC_IO, "", pc_capsule_open("no/such/file", keys, 2, now, &none, &error));
    free_bytes(bytes);
}

int main(int count, char **paths) {
    pc_capsule *capsule;
    pc_profile *profile = NULL;
    pc_slate *slate = NULL, *again = NULL, *none = NULL;
    char *kept = NULL, *key_bytes, *request, *record, *withheld, *once_more, *moment;
    int64_t ids[MOST];
    size_t n = 0, size = 0;
    unsigned char *bytes;

    CHECK(count == 6);
    key_bytes = read_bytes(paths[2], 0, &n);
    CHECK(n == 2 * PC_KEY_BYTES);
    keys = (const uint8_t *)key_bytes;
    now = strtoll(paths[3], NULL, 10);
    request = read_text(paths[4]);
    capsule = open_every_way(paths[1], &kept);
    describe(capsule);
    refuse(paths[1]);

    SUCCEEDS(pc_capsule_profile_new(capsule, NULL, NULL, &profile, &error));
    SUCCEEDS(pc_capsule_ids(capsule, ids, MOST, &n, &error));
    SUCCEEDS(pc_capsule_observe(capsule, profile, ids[3], "click", now - 2000000, &error));
    SUCCEEDS(pc_capsule_observe(capsule, profile, ids[17], "skip", now - 1000000, &error));
    FAILS(PC_MISSING, "no such id: 4", pc_capsule_observe(capsule, profile, 4, "click", now, &error));
    FAILS(PC_WRONG_TYPE, "id: expected int ids",
          pc_capsule_observe_text(capsule, profile, "sku-4", "click", now, &error));
    SUCCEEDS(pc_profile_size(profile, &size, &error));
    bytes = malloc(size);
    CHECK(bytes != NULL);
    SUCCEEDS(pc_profile_to_bytes(profile, bytes, size, &n, &error));
    write_in(paths[5], "profile.bin", bytes, n);
    free(bytes);

    SUCCEEDS(pc_capsule_rank(capsule, profile, request, &slate, &error));
    record = write_record(slate, PC_RECORD_PERSONAL, paths[5], "record.json");
    withheld = write_record(slate, 0, paths[5], "withheld.json");
    SUCCEEDS(pc_capsule_replay(capsule, record, NULL, &again, &error));
    SUCCEEDS(pc_slate_record(again, PC_RECORD_PERSONAL, &once_more, &error));
    CHECK(strcmp(once_more, record) == 0);
    FAILS(PC_REPLAY, "", pc_capsule_replay(capsule, withheld, NULL, &none, &error));
    CHECK(none == NULL);
    pc_string_free(once_more);
    pc_string_free(record);
    pc_string_free(withheld);

    /* Beyond its time it is not ranked either, though it is open. */
    moment = strstr(request, "\"at\": ");
    CHECK(moment != NULL);
    moment[strlen("\"at\": ")] = '9';
    FAILS(PC_EXPIRED, "expired", pc_capsule_rank(capsule, profile, request, &none, &error));

    pc_profile_free(profile);
    pc_capsule_free(capsule);
    free_bytes(kept);
    show_slate(slate);
    pc_slate_free(slate);
    pc_slate_free(again);
    free_bytes(key_bytes);
    free_bytes(request);
    return 0;
}
