/* A phone: opens a capsule that a server signed, shows a feed, watches taps, and ranks the feed again, without a
 * word to anybody.
 *
 *     phone CAPSULE PUBLIC_KEY AT [TAP ...]
 *
 * PUBLIC_KEY is a file of 32 bytes, as an application has it built in. AT is now, in seconds since 1970; a
 * real phone asks its clock. Each TAP is the place of an item in the feed as it was shown last, from 1.
 *
 * Build it with what `make install-capi` installs (docs/capi.md):
 *
 *     cc -std=c99 phone.c -o phone $(pkg-config --cflags --libs perso_core)
 */
#include <perso_core.h>

#include <stdio.h>
#include <stdlib.h>

enum { SHOWN = 8, DECIMAL = 10, SECOND = 1000000 };

/* Every call says what was wrong; an application would go on with what it has, and this one ends. */
static void must(pc_status status, char **error) {
    if (status == PC_OK) return;
    fprintf(stderr, "%s: %s\n", pc_status_name(status), *error == NULL ? "" : *error);
    pc_string_free(*error);
    exit(1);
}

static void read_key(const char *path, uint8_t *key) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fread(key, 1, PC_KEY_BYTES, file) != PC_KEY_BYTES) {
        fprintf(stderr, "%s is no public key\n", path);
        exit(1);
    }
    fclose(file);
}

/* The feed for what is known of the user by now. The request's name keys the random numbers of exploration. */
static pc_slate *rank(const pc_capsule *capsule, const pc_profile *profile, int64_t at, int turn) {
    char request[200], *error = NULL;
    pc_slate *slate = NULL;
    snprintf(request, sizeof request,
             "{\"k\": %d, \"at\": %lld, \"seed\": 7, \"request_id\": \"feed-%d\"}", SHOWN, (long long)at,
             turn);
    must(pc_capsule_rank(capsule, profile, request, &slate, &error), &error);
    return slate;
}

/* The ids of the feed, which is printed with its reasons and propensities. */
static size_t show(const pc_slate *slate, int64_t *ids) {
    double propensities[SHOWN];
    char *error = NULL;
    size_t n = 0, slot;
    must(pc_slate_ids(slate, ids, SHOWN, &n, &error), &error);
    must(pc_slate_propensities(slate, propensities, SHOWN, &n, &error), &error);
    for (slot = 0; slot < n; slot++) {
        const char *reason = NULL;
        must(pc_slate_reason(slate, slot, &reason, &error), &error);
        printf("%2u. %-6lld p=%.3f  %s\n", (unsigned)slot + 1, (long long)ids[slot], propensities[slot],
               reason);
    }
    return n;
}

int main(int count, char **arguments) {
    uint8_t key[PC_KEY_BYTES];
    int64_t ids[SHOWN], now, expires = 0;
    char *error = NULL, *record = NULL;
    const char *from = NULL;
    pc_capsule *capsule = NULL;
    pc_profile *profile = NULL;
    pc_slate *slate;
    size_t n, candidates = 0;
    int turn;

    if (count < 4) {
        fprintf(stderr, "usage: phone CAPSULE PUBLIC_KEY AT [TAP ...]\n");
        return 2;
    }
    read_key(arguments[2], key);
    now = strtoll(arguments[3], NULL, DECIMAL) * SECOND;
    must(pc_capsule_open(arguments[1], key, 1, now, &capsule, &error), &error);
    must(pc_capsule_len(capsule, &candidates, &error), &error);
    must(pc_capsule_content_hash(capsule, &from, &error), &error);
    must(pc_capsule_expires_at(capsule, &expires, &error), &error);
    printf("%u candidates of catalog %.12s, good for %lld more seconds\n", (unsigned)candidates, from,
           (long long)((expires - now) / SECOND));

    must(pc_capsule_profile_new(capsule, NULL, NULL, &profile, &error), &error);
    slate = rank(capsule, profile, now, 0);
    n = show(slate, ids);
    for (turn = 1; turn + 3 < count; turn++) {
        long tap = strtol(arguments[turn + 3], NULL, DECIMAL);
        if (tap < 1 || (size_t)tap > n) {
            fprintf(stderr, "there is no item %ld in the feed\n", tap);
            return 1;
        }
        now += SECOND;
        must(pc_capsule_observe(capsule, profile, ids[tap - 1], "click", now, &error), &error);
        printf("\ntap on %lld\n", (long long)ids[tap - 1]);
        pc_slate_free(slate);
        slate = rank(capsule, profile, now, turn);
        n = show(slate, ids);
    }

    /* What may leave the phone: which items were shown and how likely they were, and nothing of the user. */
    must(pc_slate_record(slate, 0, &record, &error), &error);
    printf("\n%s\n", record);
    pc_string_free(record);
    pc_slate_free(slate);
    pc_profile_free(profile);
    pc_capsule_free(capsule);
    return 0;
}
