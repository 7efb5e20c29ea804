/* Ranks a capsule some thousand times: `capsule FILE KEY_HEX AT DIM ROUNDS`. Prints the fastest and the median call in microseconds,
 * for pc_capsule_rank alone and with the record of its slate; and the time to open. See capsule.py. */
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "perso_core.h"

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void check(pc_status status, char *error) {
    if (status != PC_OK) {
        fprintf(stderr, "%s: %s\n", pc_status_name(status), error ? error : "");
        exit(1);
    }
}

static void report(const char *name, double *times, int n) {
    qsort(times, (size_t)n, sizeof *times, ascending);
    printf("%s %.1f %.1f\n", name, times[0], times[n / 2]);
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    uint8_t key[PC_KEY_BYTES];
    for (int i = 0; i < PC_KEY_BYTES; i++) {
        unsigned byte;
        if (sscanf(argv[2] + 2 * i, "%2x", &byte) != 1) return 2;
        key[i] = (uint8_t)byte;
    }
    int64_t at = strtoll(argv[3], NULL, 10);
    int dim = atoi(argv[4]), rounds = atoi(argv[5]);
    double *times = malloc(3 * (size_t)rounds * sizeof *times);
    if (rounds < 1 || times == NULL) return 2;
    char *error = NULL;
    for (int round = 0; round < rounds; round++) {
        pc_capsule *capsule = NULL;
        double start = now_us();
        check(pc_capsule_open(argv[1], key, 1, at, &capsule, &error), error);
        times[round] = now_us() - start;
        pc_capsule_free(capsule);
    }
    pc_capsule *capsule = NULL;
    check(pc_capsule_open(argv[1], key, 1, at, &capsule, &error), error);
    char *request = malloc(256 + 16 * (size_t)dim);
    if (request == NULL) return 2;
    for (int round = 0; round < rounds; round++) {
        int length = sprintf(request, "{\"k\":20,\"at\":%lld,\"seed\":%d,\"request_id\":\"r\",\"user\":[", (long long)at, round);
        for (int d = 0; d < dim; d++) length += sprintf(request + length, "%s%.4f", d ? "," : "", (d * 37 % 19) * 0.1 - 0.9);
        sprintf(request + length, "]}");
        pc_slate *slate = NULL;
        char *record = NULL;
        double start = now_us();
        check(pc_capsule_rank(capsule, NULL, request, &slate, &error), error);
        double ranked = now_us();
        check(pc_slate_record(slate, 0, &record, &error), error);
        times[rounds + round] = ranked - start;
        times[2 * rounds + round] = now_us() - start;
        pc_string_free(record);
        pc_slate_free(slate);
    }
    report("open", times, rounds);
    report("rank", times + rounds, rounds);
    report("rank_and_record", times + 2 * rounds, rounds);
    pc_capsule_free(capsule);
    free(request);
    free(times);
    return 0;
}
