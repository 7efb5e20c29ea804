/* perso_core: ranking with reasons and exact propensities, from C.
 *
 * Link with libperso_core_capi (.a or .so/.dylib/.dll). No other run time is needed.
 *
 *     pc_catalog *catalog = NULL;
 *     char *error = NULL, *record = NULL;
 *     if (pc_catalog_open("shop.pc", PC_OPEN_MMAP, &catalog, &error) != PC_OK ||
 *         pc_rank(catalog, request_json, policy_json, &record, &error) != PC_OK) {
 *         fprintf(stderr, "%s\n", error);
 *     }
 *     ...
 *     pc_string_free(record);
 *     pc_string_free(error);
 *     pc_catalog_free(catalog);
 *
 * What holds for every function unless its text says otherwise:
 *
 * Arguments.  A pointer is NULL or points to what the text says, aligned for its type, and stays
 *   valid and unchanged by others until the call returns; nothing of the caller's is kept after that.
 *   NULL is refused with PC_NULL_ARGUMENT, except for `error`. Texts are NUL-terminated UTF-8. The
 *   memory of results may be uninitialised, and must not overlap an argument or another result.
 * Results.  A single result is set at the start of the call to NULL or 0, and to its value only when
 *   the call returns PC_OK: after a failure it holds nothing to free.
 * Errors.  The returned status says what kind of thing went wrong. If `error` is not NULL, *error is
 *   set to a message that names the argument, what was expected and what came, or to NULL after
 *   success; what it held before is overwritten, not freed. The caller frees the message with
 *   pc_string_free. There is no global or per-thread error state.
 * Threads.  A catalog never changes once it is open: any number of threads may use one at once, with
 *   no lock, as long as none of them frees it. Nothing else is shared between calls. A call runs on
 *   the calling thread and starts no other.
 * Defects.  A panic inside the library does not cross this border: the call returns PC_PANIC, its
 *   message also goes to stderr, and the library and the catalog can go on being used. Memory that
 *   runs out ends the process.
 */
#ifndef PERSO_CORE_H
#define PERSO_CORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this ABI. It grows when a function changes or goes; new functions, statuses and request
 * fields alone leave it as it is. */
#define PC_ABI_VERSION 1

/* Outcome of a call. A number never changes its meaning and is never used again for another. Be ready
 * for numbers that are not listed here. */
typedef int32_t pc_status;

enum pc_status_code {
    PC_OK = 0,
    PC_NULL_ARGUMENT = 1, /* a pointer that must not be NULL is NULL */
    PC_INVALID_VALUE = 2, /* the right type with the wrong content; also JSON that is not what the
                             text says */
    PC_WRONG_TYPE = 3,    /* integer ids where the catalog's are text, or the reverse; an attribute of
                             a type that the policy cannot use */
    PC_MISSING = 4,       /* an id, space or attribute that is not there */
    PC_FORMAT = 5,        /* a file that is damaged, foreign or of a later version */
    PC_REPLAY = 6,        /* a record that cannot be replayed, with the reason */
    PC_IO = 7,            /* the operating system refused: no such file, no permission, ... */
    PC_PANIC = 8,         /* a defect in the library; please report it */
    PC_TEXT_IDS = 9,      /* the catalog's ids are text, and the call gives integers only */
    PC_INTERRUPTED = 10   /* work that was told to stop; no function of this version returns it */
};

/* The items, opened from a file. */
typedef struct pc_catalog pc_catalog;

/* Flags of pc_catalog_open. */
#define PC_OPEN_MMAP UINT32_C(1) /* map the file and read vectors and graphs in place */

/* The PC_ABI_VERSION that the library was built with: compare it with the header's before anything
 * else when the library was loaded at run time. Cannot fail. */
uint32_t pc_abi_version(void);

/* The name of a status for logs: "ok", "null_argument", ...; "unknown" for a number that has none.
 * The text is the library's and lives as long as it: do not free it. Cannot fail. */
const char *pc_status_name(pc_status status);

/* Frees a text that a call of this library gave; NULL is fine. Free each text once, and with this
 * function only. */
void pc_string_free(char *text);

/* Opens a catalog file.
 *
 *   path    the file; on Unix any bytes, elsewhere UTF-8. With the log beside it, where a durable catalog
 *           of Python has one: what was acknowledged until now
 *   flags   0, or PC_OPEN_MMAP. A mapped file must not be written in place while the catalog is open;
 *           replacing it by rename, as saving a catalog does, is fine.
 *   out     receives the catalog; the caller frees it with pc_catalog_free
 *
 * The whole file is checked: checksums, structure, and the content hash that it states.
 * PC_IO, PC_FORMAT, PC_INVALID_VALUE for unknown flags. */
pc_status pc_catalog_open(const char *path, uint32_t flags, pc_catalog **out, char **error);

/* Frees a catalog; NULL is fine. No other call may be using it, and it must not be used afterwards. */
void pc_catalog_free(pc_catalog *catalog);

/* How many items the catalog has. */
pc_status pc_catalog_len(const pc_catalog *catalog, size_t *out, char **error);

/* The hash of the catalog's content: 64 hex digits that are the same for the same spaces, items and
 * attributes, in whatever order they came. The caller frees it with pc_string_free. */
pc_status pc_catalog_content_hash(const pc_catalog *catalog, char **out, char **error);

/* The items of one space nearest to a vector, best first; equal scores by ascending id.
 *
 *   space       name of the space
 *   query       `dim` finite numbers
 *   dim         must be the space's number of components
 *   k           how many items, at least 1
 *   ids_out     room for k ids
 *   scores_out  room for k scores: higher is better; the inner product, the cosine, or minus the
 *               squared distance, by the space's metric
 *   n_out       receives how many items were found: min(k, items). Only so many entries of ids_out and
 *               scores_out are written, and none after a failure.
 *
 * PC_TEXT_IDS for a catalog whose ids are text (pc_rank serves it), PC_MISSING for an unknown space,
 * PC_INVALID_VALUE for a wrong dim, k = 0, NaN or infinity. */
pc_status pc_catalog_search(const pc_catalog *catalog, const char *space, const float *query,
                            size_t dim, size_t k, int64_t *ids_out, float *scores_out, size_t *n_out,
                            char **error);

/* Ranks one request: retrieves, scores, diversifies, explores, and gives the decision record.
 *
 *   request_json     an object with
 *     "k"            items wanted, at least 1
 *     "at"           the moment that decays are measured from, in microseconds since 1970-01-01T00:00Z
 *     "seed"         0 to 2^64 - 1; with request_id it keys the random numbers
 *     "request_id"   the caller's name for this request
 *     "user"         {space: [numbers]}; absent or null for nobody in particular: then no personal
 *                    input is used
 *     "exclude"      ids not to be shown; an id that is not in the catalog is fine
 *     "where"        the only ids that may be shown; an id that is not in the catalog is PC_MISSING. Or a
 *                    filter over attributes, such as {"and": [{"is": ["genre", "jazz"]}, {"range":
 *                    ["year", {"from": 2020}]}]}: what pc.Filter.to_json of the Python package writes
 *   The last three may be absent or null; any other field is refused. Ids are integers or texts, as
 *   the catalog's are.
 *   policy_json      a perso_core.policy/1 document
 *   record_json_out  receives the perso_core.record/1 document: under "choices" the items in order,
 *                    each with id, score, terms and propensity; "short_reason" says why there are
 *                    fewer than k. It holds the user's vectors, so treat it as personal data. The
 *                    caller frees it with pc_string_free.
 *
 * Nothing is read from a clock or a random source: the same catalog, request and policy give the same
 * bytes, on every machine. Fewer than k eligible items is no failure.
 * PC_INVALID_VALUE, PC_WRONG_TYPE, PC_MISSING. */
pc_status pc_rank(const pc_catalog *catalog, const char *request_json, const char *policy_json,
                  char **record_json_out, char **error);

/* Makes a recorded slate again from the catalog and compares it with the record.
 *
 *   record_json      a perso_core.record/1 document with the user's vectors in it
 *   record_json_out  receives the record of the slate that was made: the same decisions, to the bit.
 *                    The caller frees it with pc_string_free.
 *
 * PC_REPLAY when the catalog's content is another, or the record was changed, is of another version,
 * does not follow from its inputs, or holds only hashes of the user's vectors. */
pc_status pc_replay(const pc_catalog *catalog, const char *record_json, char **record_json_out,
                    char **error);

#ifdef __cplusplus
}
#endif

#endif
