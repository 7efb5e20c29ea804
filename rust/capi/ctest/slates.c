/* Opens a catalog from memory in each of the ways, lets a profile learn, ranks for it, and reads the slate.
 *
 *     slates CATALOG TEXT_CATALOG PLAN REQUEST POLICY OUT
 *
 * Writes to OUT/record.json, OUT/hashes.json, OUT/withheld.json (with less and less of the user) and
 * OUT/profile.bin, and prints what the slate says, for the caller to compare with the core. Exits with 0 when everything
 * held, else prints the line that did not. */
#define _POSIX_C_SOURCE 200809L

#include "show.h"

#include <pthread.h>

enum { DIM = 4, K = 10, THREADS = 4, TURNS = 50 };

static const int64_t AT = INT64_C(1700000000000000);

/* The id of item i. */
static int64_t id_of(int64_t i) { return (i - 100) * INT64_C(90071992547409931); }

/* From bytes that go, from bytes that stay, and from bytes that lie badly: the same content. */
static pc_catalog *open_every_way(const char *path, char **kept) {
    static const struct {
        uint32_t flags;
        size_t offset;
    } WAYS[] = {{0, 0}, {0, 1}, {PC_OPEN_IN_PLACE, 1}, {PC_OPEN_IN_PLACE, 4}, {PC_OPEN_IN_PLACE, 0}};
    pc_catalog *catalog = NULL;
    char *expected = NULL;
    size_t i, ways = sizeof WAYS / sizeof WAYS[0];
    for (i = 0; i < ways; i++) {
        size_t len = 0, items = 0;
        uint64_t generation = 0;
        char *hash = NULL, *bytes = read_bytes(path, WAYS[i].offset, &len);
        SUCCEEDS(pc_catalog_open_memory(bytes, len, WAYS[i].flags, &catalog, &error));
        if (WAYS[i].flags == 0) scribble_and_free(bytes, len);
        SUCCEEDS(pc_catalog_content_hash(catalog, &hash, &error));
        SUCCEEDS(pc_catalog_len(catalog, &items, &error));
        SUCCEEDS(pc_catalog_generation(catalog, &generation, &error));
        CHECK(items == 199 && generation == 2);
        CHECK(expected == NULL || strcmp(hash, expected) == 0);
        if (expected == NULL) {
            expected = hash;
        } else {
            pc_string_free(hash);
        }
        if (i + 1 == ways) {
            *kept = bytes;
            break;
        }
        pc_catalog_free(catalog);
        if (WAYS[i].flags != 0) scribble_and_free(bytes, len);
    }
    pc_string_free(expected);
    return catalog;
}

static void refuse_bytes(const char *path) {
    pc_catalog *none = (pc_catalog *)1;
    size_t len = 0;
    char *bytes = read_bytes(path, 0, &len);
    FAILS(PC_NULL_ARGUMENT, "bytes", pc_catalog_open_memory(NULL, len, 0, &none, &error));
    CHECK(none == NULL);
    FAILS(PC_NULL_ARGUMENT, "out", pc_catalog_open_memory(bytes, len, 0, NULL, &error));
    FAILS(PC_INVALID_VALUE, "flags: expected 0 or PC_OPEN_IN_PLACE, got 0x1",
          pc_catalog_open_memory(bytes, len, PC_OPEN_MMAP, &none, &error));
    FAILS(PC_FORMAT, "0 bytes, less than a header",
          pc_catalog_open_memory(bytes, 0, 0, &none, &error));
    FAILS(PC_FORMAT, "cut off",
          pc_catalog_open_memory(bytes, len - 1, PC_OPEN_IN_PLACE, &none, &error));
    FAILS(PC_INVALID_VALUE, "bytes: expected at most",
          pc_catalog_open_memory(bytes, SIZE_MAX, 0, &none, &error));
    bytes[len / 2] ^= 1;
    FAILS(PC_FORMAT, "damaged", pc_catalog_open_memory(bytes, len, 0, &none, &error));
    FAILS(PC_FORMAT, "damaged",
          pc_catalog_open_memory(bytes, len, PC_OPEN_IN_PLACE, &none, &error));
    free_bytes(bytes);
}

/* Several taps, a late one and one of a vector; then there and back through bytes. */
static pc_profile *learn(const pc_catalog *catalog, const char *plan, const char *folder) {
    static const float VECTOR[DIM] = {0.25f, -1.0f, 0.5f, 2.0f};
    pc_profile *profile = NULL, *again = NULL;
    unsigned char *bytes, *bytes_again;
    float vector[DIM];
    size_t dim = 0, size = 0, n = 99;
    uint64_t events = 0;

    SUCCEEDS(pc_catalog_dim(catalog, "cf", &dim, &error));
    CHECK(dim == DIM);
    SUCCEEDS(pc_profile_new(plan, dim, NULL, NULL, &profile, &error));
    SUCCEEDS(pc_profile_vector(profile, AT, vector, DIM, &n, &error));
    CHECK(n == 0);
    SUCCEEDS(pc_catalog_observe(catalog, profile, id_of(7), "click", AT - 5000000, &error));
    SUCCEEDS(pc_catalog_observe(catalog, profile, id_of(30), "skip", AT - 4000000, &error));
    SUCCEEDS(pc_profile_observe(profile, VECTOR, DIM, "click", AT - 9000000, &error));
    SUCCEEDS(pc_catalog_observe(catalog, profile, id_of(44), "click", AT - 1000000, &error));
    SUCCEEDS(pc_profile_events(profile, &events, &error));
    CHECK(events == 4);

    FAILS(PC_INVALID_VALUE, "kind", pc_catalog_observe(catalog, profile, id_of(7), "buy", AT, &error));
    FAILS(PC_MISSING, "no such id: 4", pc_catalog_observe(catalog, profile, 4, "click", AT, &error));
    FAILS(PC_WRONG_TYPE, "id: expected int ids",
          pc_catalog_observe_text(catalog, profile, "sku-7", "click", AT, &error));
    FAILS(PC_INVALID_VALUE, "dim: expected 4, the components of the profile, got 5",
          pc_profile_observe(profile, VECTOR, DIM + 1, "click", AT, &error));
    FAILS(PC_NULL_ARGUMENT, "item", pc_profile_observe(profile, NULL, DIM, "click", AT, &error));
    FAILS(PC_NULL_ARGUMENT, "kind", pc_profile_observe(profile, VECTOR, DIM, NULL, AT, &error));
    FAILS(PC_INVALID_VALUE, "plan", pc_profile_new("{}", DIM, NULL, NULL, &again, &error));
    FAILS(PC_INVALID_VALUE, "dim", pc_profile_new(plan, SIZE_MAX, VECTOR, NULL, &again, &error));
    FAILS(PC_INVALID_VALUE, "out: expected room for 4 values, got 3",
          pc_profile_vector(profile, AT, vector, DIM - 1, &n, &error));

    SUCCEEDS(pc_profile_size(profile, &size, &error));
    bytes = malloc(size);
    bytes_again = malloc(size);
    CHECK(bytes != NULL && bytes_again != NULL);
    FAILS(PC_INVALID_VALUE, "out: expected room",
          pc_profile_to_bytes(profile, bytes, size - 1, &n, &error));
    SUCCEEDS(pc_profile_to_bytes(profile, bytes, size, &n, &error));
    CHECK(n == size);
    SUCCEEDS(pc_profile_from_bytes(bytes, size, plan, &again, &error));
    SUCCEEDS(pc_profile_to_bytes(again, bytes_again, size, &n, &error));
    CHECK(memcmp(bytes, bytes_again, size) == 0);
    pc_profile_free(again);
    FAILS(PC_FORMAT, "", pc_profile_from_bytes(bytes, size - 1, plan, &again, &error));
    CHECK(again == NULL);
    write_in(folder, "profile.bin", bytes, size);
    free(bytes);
    free(bytes_again);
    return profile;
}

static void time_slate(const pc_slate *slate) {
    static const char *const STAGES[] = {"filter", "retrieve", "score", "diversify", "explore"};
    double total = 0, sum = 0, us;
    size_t i;
    for (i = 0; i < sizeof STAGES / sizeof STAGES[0]; i++) {
        SUCCEEDS(pc_slate_timing_us(slate, STAGES[i], &us, &error));
        CHECK(us >= 0);
        sum += us;
    }
    SUCCEEDS(pc_slate_timing_us(slate, "total", &total, &error));
    CHECK(total > 0 && sum <= total * 1.000001);
    FAILS(PC_MISSING, "no such stage: \"wait\"", pc_slate_timing_us(slate, "wait", &us, &error));
}

static void refuse_questions(const pc_slate *slate) {
    const char *text = "stale";
    double numbers[K];
    size_t n = 99;
    FAILS(PC_INVALID_VALUE, "out: expected room for 10 values, got 9",
          pc_slate_scores(slate, numbers, K - 1, &n, &error));
    CHECK(n == 0);
    FAILS(PC_INVALID_VALUE, "out: expected room for 10 values, got 0",
          pc_slate_scores(slate, NULL, 0, &n, &error));
    FAILS(PC_NULL_ARGUMENT, "out", pc_slate_scores(slate, NULL, K, &n, &error));
    FAILS(PC_NULL_ARGUMENT, "n_out", pc_slate_scores(slate, numbers, K, NULL, &error));
    FAILS(PC_NULL_ARGUMENT, "slate", pc_slate_scores(NULL, numbers, K, &n, &error));
    FAILS(PC_MISSING, "no such term: \"magic\"",
          pc_slate_term(slate, "magic", numbers, K, &n, &error));
    FAILS(PC_INVALID_VALUE, "slot: expected less than 10, got 10",
          pc_slate_reason(slate, K, &text, &error));
    CHECK(text == NULL);
    FAILS(PC_INVALID_VALUE, "term: expected less than",
          pc_slate_term_name(slate, SIZE_MAX, &text, &error));
}

/* A slate of text ids, of which there are fewer than asked for. */
static void rank_texts(const char *path, const char *policy) {
    static const char REQUEST[] =
        "{\"k\": 5, \"at\": 1700000000000000, \"seed\": 1, \"request_id\": \"r\", "
        "\"where\": [\"sku-3\", \"sku-9\"]}";
    pc_catalog *catalog = NULL;
    pc_slate *slate = NULL;
    const char *text = NULL;
    int64_t ids[K];
    size_t n = 0;
    SUCCEEDS(pc_catalog_open(path, 0, &catalog, &error));
    SUCCEEDS(pc_rank_slate(catalog, NULL, REQUEST, policy, &slate, &error));
    pc_catalog_free(catalog);
    SUCCEEDS(pc_slate_len(slate, &n, &error));
    CHECK(n == 2);
    FAILS(PC_TEXT_IDS, "pc_slate_id_text", pc_slate_ids(slate, ids, K, &n, &error));
    SUCCEEDS(pc_slate_id_text(slate, 0, &text, &error));
    CHECK(strcmp(text, "sku-3") == 0 || strcmp(text, "sku-9") == 0);
    SUCCEEDS(pc_slate_short_reason(slate, &text, &error));
    CHECK(text != NULL && strlen(text) > 0);
    pc_slate_free(slate);
}

struct job {
    const pc_slate *slate;
    pc_profile *profile;
};

/* A slate is read and a profile learns on several threads at once. */
static void *read_and_learn(void *argument) {
    static const float VECTOR[DIM] = {1.0f, 0.0f, 0.0f, 0.0f};
    const struct job *job = argument;
    int turn;
    for (turn = 0; turn < TURNS; turn++) {
        const char *text = NULL;
        char *record = NULL;
        SUCCEEDS(pc_slate_reason(job->slate, (size_t)(turn % K), &text, &error));
        CHECK(strlen(text) > 0);
        SUCCEEDS(pc_profile_observe(job->profile, VECTOR, DIM, "click", AT, &error));
        if (turn % 10 == 0) {
            SUCCEEDS(pc_slate_record(job->slate, 0, &record, &error));
            pc_string_free(record);
        }
    }
    return NULL;
}

static void share(const pc_slate *slate, pc_profile *profile) {
    pthread_t threads[THREADS];
    struct job job;
    uint64_t before = 0, after = 0;
    int i;
    job.slate = slate;
    job.profile = profile;
    SUCCEEDS(pc_profile_events(profile, &before, &error));
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, read_and_learn, &job) == 0);
    }
    for (i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    SUCCEEDS(pc_profile_events(profile, &after, &error));
    CHECK(after - before == THREADS * TURNS);
}

/* A record is made again; one without the user only with the user. */
static void replay(const pc_catalog *catalog, const pc_profile *profile, const char *record,
                   const char *hashes, const char *withheld, const char *content) {
    const char *const LESS[] = {hashes, withheld};
    const uint32_t FLAGS[] = {PC_RECORD_HASHES, 0};
    int i;
    pc_slate *slate = NULL;
    float vector[DIM];
    size_t n = 0;
    char *again = NULL, *user = malloc(strlen(content) + 200);
    CHECK(user != NULL);
    SUCCEEDS(pc_replay_slate(catalog, record, NULL, &slate, &error));
    SUCCEEDS(pc_slate_record(slate, PC_RECORD_PERSONAL, &again, &error));
    CHECK(strcmp(again, record) == 0);
    pc_string_free(again);
    pc_slate_free(slate);

    SUCCEEDS(pc_profile_vector(profile, AT, vector, DIM, &n, &error));
    CHECK(n == DIM);
    /* Nine digits give a float back. */
    sprintf(user, "{\"user\": {\"cf\": [%.9g, %.9g, %.9g, %.9g], \"content\": %s}}", vector[0],
            vector[1], vector[2], vector[3], content);
    for (i = 0; i < 2; i++) {
        FAILS(PC_REPLAY, "", pc_replay_slate(catalog, LESS[i], NULL, &slate, &error));
        CHECK(slate == NULL);
        SUCCEEDS(pc_replay_slate(catalog, LESS[i], user, &slate, &error));
        SUCCEEDS(pc_slate_record(slate, FLAGS[i], &again, &error));
        CHECK(strcmp(again, LESS[i]) == 0);
        pc_string_free(again);
        SUCCEEDS(pc_slate_record(slate, PC_RECORD_PERSONAL, &again, &error));
        CHECK(strcmp(again, record) == 0);
        pc_string_free(again);
        pc_slate_free(slate);
    }
    FAILS(PC_INVALID_VALUE, "personal_json",
          pc_replay_slate(catalog, hashes, "[1]", &slate, &error));
    FAILS(PC_INVALID_VALUE, "unknown field `vector`",
          pc_replay_slate(catalog, hashes, "{\"vector\": 1}", &slate, &error));
    FAILS(PC_INVALID_VALUE, "user: expected an object",
          pc_replay_slate(catalog, hashes, "{\"user\": [1]}", &slate, &error));
    /* Somebody else. */
    user[strlen("{\"user\": {\"cf\": [")] = '7';
    FAILS(PC_REPLAY, "", pc_replay_slate(catalog, hashes, user, &slate, &error));
    FAILS(PC_REPLAY, "", pc_replay_slate(catalog, withheld, user, &slate, &error));
    free(user);
}

int main(int count, char **paths) {
    pc_catalog *catalog;
    pc_profile *profile;
    pc_slate *slate = NULL;
    char *kept = NULL, *plan, *request, *policy, *content;
    char *record = NULL, *hashes = NULL, *withheld = NULL;

    CHECK(count == 7);
    plan = read_text(paths[3]);
    request = read_text(paths[4]);
    policy = read_text(paths[5]);
    catalog = open_every_way(paths[1], &kept);
    refuse_bytes(paths[1]);
    profile = learn(catalog, plan, paths[6]);

    SUCCEEDS(pc_rank_slate(catalog, profile, request, policy, &slate, &error));
    SUCCEEDS(pc_slate_record(slate, PC_RECORD_PERSONAL, &record, &error));
    SUCCEEDS(pc_slate_record(slate, PC_RECORD_HASHES, &hashes, &error));
    CHECK(strstr(hashes, "\"user\":null") != NULL && strstr(hashes, "\"user_sha256\":{") != NULL);
    SUCCEEDS(pc_slate_record(slate, 0, &withheld, &error));
    CHECK(strstr(withheld, "\"user_sha256\":null") != NULL && strstr(withheld, "\"pool\":[]") != NULL);
    FAILS(PC_INVALID_VALUE, "flags: expected 0, PC_RECORD_PERSONAL or PC_RECORD_HASHES, got 0x3",
          pc_slate_record(slate, PC_RECORD_PERSONAL | PC_RECORD_HASHES, &content, &error));
    write_in(paths[6], "record.json", record, strlen(record));
    write_in(paths[6], "hashes.json", hashes, strlen(hashes));
    write_in(paths[6], "withheld.json", withheld, strlen(withheld));
    /* The user's vector in the other space, as the request has it. */
    content = strstr(request, "\"content\": [");
    CHECK(content != NULL);
    content += strlen("\"content\": ");
    *(strchr(content, ']') + 1) = '\0';
    replay(catalog, profile, record, hashes, withheld, content);
    pc_string_free(record);
    pc_string_free(hashes);
    pc_string_free(withheld);

    /* A slate needs nothing of what it was made from. */
    pc_catalog_free(catalog);
    free_bytes(kept);
    show_slate(slate);
    time_slate(slate);
    refuse_questions(slate);
    share(slate, profile);
    pc_slate_free(slate);
    pc_profile_free(profile);
    rank_texts(paths[2], policy);

    pc_slate_free(NULL);
    pc_profile_free(NULL);
    free_bytes(plan);
    free_bytes(request);
    free_bytes(policy);
    return 0;
}
