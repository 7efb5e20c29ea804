/* Uses the library as a C program does: opens a catalog, searches, ranks, replays, on several threads,
 * and meets the errors.
 *
 *     roundtrip CATALOG TEXT_CATALOG DAMAGED REQUEST POLICY RECORD_OUT REPLAYED_OUT
 *
 * What it finds goes to stdout and to the two last files for the caller to compare with the core.
 * Exits with 0 when everything held, else prints the line that did not. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <pthread.h>

enum { DIM = 8, K = 7, THREADS = 4, TURNS = 10 };

static const float QUERY[DIM] = {0.1f,  -0.7f, 0.3f,  1e-3f,
                                 0.5f,  0.25f, -1.5f, (float)(16777217.0 / 1e8)};

static void describe_and_search(const pc_catalog *catalog) {
    char *hash = NULL;
    size_t len = 0, n = 0, i;
    /* Not initialised on purpose: the library only writes to them. */
    int64_t ids[K];
    float scores[K];
    SUCCEEDS(pc_catalog_content_hash(catalog, &hash, &error));
    SUCCEEDS(pc_catalog_len(catalog, &len, &error));
    printf("hash %s\nlen %lu\n", hash, (unsigned long)len);
    pc_string_free(hash);
    SUCCEEDS(pc_catalog_search(catalog, "content", QUERY, DIM, K, ids, scores, &n, &error));
    for (i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &scores[i], sizeof bits);
        printf("hit %lld %08lx\n", (long long)ids[i], (unsigned long)bits);
    }
}

struct job {
    const pc_catalog *catalog;
    const char *request, *policy, *record;
};

/* The same catalog on several threads at once gives the same bytes. */
static void *rank_often(void *argument) {
    const struct job *job = argument;
    int turn;
    for (turn = 0; turn < TURNS; turn++) {
        char *record = NULL;
        SUCCEEDS(pc_rank(job->catalog, job->request, job->policy, &record, &error));
        CHECK(strcmp(record, job->record) == 0);
        pc_string_free(record);
    }
    return NULL;
}

static void rank_on_threads(struct job job) {
    pthread_t threads[THREADS];
    int i;
    for (i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, rank_often, &job) == 0);
    for (i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

static void meet_errors(const pc_catalog *catalog, char **paths, struct job job) {
    pc_catalog *none = (pc_catalog *)1, *texts = NULL;
    char *out = (char *)1, *tampered, *at;
    int64_t ids[K];
    float scores[K];
    size_t n = 99;

    FAILS(PC_NULL_ARGUMENT, "path", pc_catalog_open(NULL, 0, &none, &error));
    CHECK(none == NULL);
    FAILS(PC_NULL_ARGUMENT, "out", pc_catalog_open(paths[1], 0, NULL, &error));
    FAILS(PC_IO, "", pc_catalog_open("no/such/file", 0, &none, &error));
    FAILS(PC_FORMAT, "", pc_catalog_open(paths[3], 0, &none, &error));
    FAILS(PC_FORMAT, "", pc_catalog_open(paths[4], PC_OPEN_MMAP, &none, &error));
    FAILS(PC_INVALID_VALUE, "flags", pc_catalog_open(paths[1], 2, &none, &error));
    CHECK(pc_catalog_open("no/such/file", 0, &none, NULL) == PC_IO);

    FAILS(PC_INVALID_VALUE, "dim",
          pc_catalog_search(catalog, "content", QUERY, DIM + 1, K, ids, scores, &n, &error));
    CHECK(n == 0);
    FAILS(PC_INVALID_VALUE, "k",
          pc_catalog_search(catalog, "content", QUERY, DIM, 0, ids, scores, &n, &error));
    FAILS(PC_MISSING, "style",
          pc_catalog_search(catalog, "style", QUERY, DIM, K, ids, scores, &n, &error));
    FAILS(PC_NULL_ARGUMENT, "scores_out",
          pc_catalog_search(catalog, "content", QUERY, DIM, K, ids, NULL, &n, &error));
    SUCCEEDS(pc_catalog_open(paths[2], PC_OPEN_MMAP, &texts, &error));
    FAILS(PC_TEXT_IDS, "ids_out",
          pc_catalog_search(texts, "content", QUERY, DIM, K, ids, scores, &n, &error));
    FAILS(PC_WRONG_TYPE, "where", pc_rank(texts, job.request, job.policy, &out, &error));
    pc_catalog_free(texts);

    FAILS(PC_INVALID_VALUE, "request_json", pc_rank(catalog, "{", job.policy, &out, &error));
    CHECK(out == NULL);
    FAILS(PC_INVALID_VALUE, "policy", pc_rank(catalog, job.request, "{}", &out, &error));
    FAILS(PC_NULL_ARGUMENT, "catalog", pc_rank(NULL, job.request, job.policy, &out, &error));

    tampered = malloc(strlen(job.record) + 1);
    CHECK(tampered != NULL);
    strcpy(tampered, job.record);
    at = strstr(tampered, "\"explored\":");
    CHECK(at != NULL);
    memcpy(at, "\"exploded\":", 11);
    out = (char *)1;
    FAILS(PC_REPLAY, "exploded", pc_replay(catalog, tampered, &out, &error));
    CHECK(out == NULL);
    free(tampered);

    pc_string_free(NULL);
    pc_catalog_free(NULL);
}

int main(int count, char **paths) {
    pc_catalog *catalog = NULL, *mapped = NULL;
    char *request, *policy, *record = NULL, *replayed = NULL;
    struct job job;

    CHECK(count == 8);
    CHECK(pc_abi_version() == PC_ABI_VERSION);
    CHECK(strcmp(pc_status_name(PC_OK), "ok") == 0);
    CHECK(strcmp(pc_status_name(PC_TEXT_IDS), "text_ids") == 0);
    CHECK(strcmp(pc_status_name(12345), "unknown") == 0);

    request = read_text(paths[4]);
    policy = read_text(paths[5]);
    SUCCEEDS(pc_catalog_open(paths[1], 0, &catalog, &error));
    SUCCEEDS(pc_catalog_open(paths[1], PC_OPEN_MMAP, &mapped, &error));
    describe_and_search(catalog);
    describe_and_search(mapped);

    SUCCEEDS(pc_rank(catalog, request, policy, &record, &error));
    SUCCEEDS(pc_replay(mapped, record, &replayed, &error));
    write_text(paths[6], record);
    write_text(paths[7], replayed);
    job.catalog = mapped;
    job.request = request;
    job.policy = policy;
    job.record = record;
    rank_on_threads(job);
    meet_errors(catalog, paths, job);

    pc_string_free(record);
    pc_string_free(replayed);
    pc_catalog_free(mapped);
    pc_catalog_free(catalog);
    free_bytes(request);
    free_bytes(policy);
    return 0;
}
