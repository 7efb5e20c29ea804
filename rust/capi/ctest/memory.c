/* Asks for memory that the process may not have, where the library can say so.
 *
 * Needs RLIMIT_AS, which sanitizers and valgrind do not get along with: exits with 77 where it cannot be set. */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <sys/resource.h>
#include <unistd.h>

enum { MANY = 256 << 20, FEW = 64 << 20 };

/* Bytes of address space in use. */
static unsigned long in_use(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    if (file == NULL || fscanf(file, "%lu", &pages) != 1) exit(77);
    fclose(file);
    return pages * (unsigned long)sysconf(_SC_PAGESIZE);
}

int main(void) {
    struct rlimit limit, before;
    pc_catalog *catalog = (pc_catalog *)1;
    pc_profile *profile = (pc_profile *)1;
    char *bytes = calloc(MANY, 1);
    CHECK(bytes != NULL);
    if (getrlimit(RLIMIT_AS, &before) != 0) exit(77);
    limit = before;
    limit.rlim_cur = in_use() + FEW;
    if (setrlimit(RLIMIT_AS, &limit) != 0) exit(77);
    FAILS(PC_NO_MEMORY, "the catalog: 268435456 bytes of memory could not be had",
          pc_catalog_open_memory(bytes, MANY, 0, &catalog, &error));
    CHECK(catalog == NULL);
    /* In place none is needed, so it is looked at, and is no catalog. */
    FAILS(PC_FORMAT, "not a perso_core file",
          pc_catalog_open_memory(bytes, MANY, PC_OPEN_IN_PLACE, &catalog, &error));
    /* Numbers that nobody can mean ask for nothing. */
    FAILS(PC_INVALID_VALUE, "dim",
          pc_profile_new("{\"schema\": \"perso_core.profile/1\", \"space\": \"cf\", \"kinds\": "
                         "{\"click\": 1}, \"half_life_us\": 1, \"prior_strength\": 1, "
                         "\"short_weight\": 0}",
                         (size_t)1 << 40, NULL, NULL, &profile, &error));
    CHECK(setrlimit(RLIMIT_AS, &before) == 0);
    FAILS(PC_FORMAT, "not a perso_core file",
          pc_catalog_open_memory(bytes, MANY, 0, &catalog, &error));
    free(bytes);
    return 0;
}
