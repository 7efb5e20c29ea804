/* perso_core: ranking with reasons and exact propensities, from C.
 *
 * Link with libperso_core_capi (.a or .so/.dylib/.dll). No other run time is needed. A library that was
 * built for small devices (cargo's --no-default-features) lacks what is about catalogs and what replays.
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
 *   the call returns PC_OK: after a failure it holds nothing to free. An array of results has room for
 *   `capacity` values; `n_out` receives how many were written, from the first on. Where there is no
 *   room for all of them nothing is written, and the call returns PC_INVALID_VALUE. An array without
 *   any room may be NULL.
 * Ownership.  What comes through a `char **` or a handle is the caller's, to be freed once with the
 *   function that the text names. What comes through a `const char **` stays the property of the
 *   handle that it was asked of, and is gone with it. A handle owns all it needs: handles may be freed
 *   in any order, with one exception, the bytes of PC_OPEN_IN_PLACE.
 * Errors.  The returned status says what kind of thing went wrong. If `error` is not NULL, *error is
 *   set to a message that names the argument, what was expected and what came, or to NULL after
 *   success; what it held before is overwritten, not freed. The caller frees the message with
 *   pc_string_free. There is no global or per-thread error state.
 * Threads.  Catalogs, capsules and slates never change: any number of threads may use one at once, with no lock,
 *   as long as none of them frees it. A profile changes with every event: any number of threads may
 *   use one too, and their calls on it take turns; the order of events is then that of the turns, so
 *   events of one user should come from one thread where bytes have to agree. Nothing else is shared
 *   between calls. A call runs on the calling thread and starts no other.
 * Defects.  A panic inside the library does not cross this border: the call returns PC_PANIC, its
 *   message also goes to stderr, and the library and its handles can go on being used (a profile that
 *   it happened to answers PC_PANIC from then on). The smallest library (make capi-small) is the exception:
 *   there a panic writes its message to stderr and aborts the process, and PC_PANIC is never returned.
 * Memory.  PC_NO_MEMORY is what a call returns that finds, before it begins, that what its arguments ask
 *   for cannot be had: a copy of an array, a catalog of so many bytes, a result as text. Memory that
 *   runs out in the middle of the work, for the many small things between, cannot be reported and ends
 *   the process, as does memory that the system promised and does not have.
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
    PC_FORMAT = 5,        /* a file, or bytes, that are damaged, foreign or of a later version */
    PC_REPLAY = 6,        /* a record that cannot be replayed, with the reason */
    PC_IO = 7,            /* the operating system refused: no such file, no permission, ... */
    PC_PANIC = 8,         /* a defect in the library; please report it. The smallest library (make
                             capi-small) never returns it: it ends the process */
    PC_TEXT_IDS = 9,      /* the catalog's ids are text, and the call gives integers only */
    PC_INTERRUPTED = 10,  /* work that was told to stop; no function of this version returns it */
    PC_NO_MEMORY = 11,    /* memory that could not be had */
    PC_EXPIRED = 12,      /* a capsule that has expired: ask the server for another */
    PC_FUTURE = 13,       /* a capsule that was made in the future: is the clock right? */
    PC_WRONG_KEY = 14,    /* a capsule signed with a key that is not among those given */
    PC_TAMPERED = 15      /* a capsule whose signature does not hold */
};

/* Handles: what they point to is the library's own. */
typedef struct pc_catalog pc_catalog; /* items, opened from a file or from memory */
typedef struct pc_capsule pc_capsule; /* candidates with their policy, signed by a server */
typedef struct pc_profile pc_profile; /* what is known of one user, by events */
typedef struct pc_slate pc_slate;     /* the answer to one request */

/* Flags of pc_catalog_open. */
#define PC_OPEN_MMAP UINT32_C(1) /* map the file and read vectors and graphs in place */

/* Flags of pc_catalog_open_memory and pc_capsule_open_memory. */
#define PC_OPEN_IN_PLACE UINT32_C(2) /* read vectors and graphs where they are; the bytes stay */

/* Flags of pc_slate_record, of which there may be one. */
#define PC_RECORD_PERSONAL UINT32_C(1) /* with all personal input */
#define PC_RECORD_HASHES UINT32_C(2)   /* with hashes in place of the user's vectors */

/* Bytes of a key that capsules are signed with. */
#define PC_KEY_BYTES 32

/* The PC_ABI_VERSION that the library was built with: compare it with the header's before anything
 * else when the library was loaded at run time. Cannot fail. */
uint32_t pc_abi_version(void);

/* The name of a status for logs: "ok", "null_argument", ...; "unknown" for a number that has none.
 * The text is the library's and lives as long as it: do not free it. Cannot fail. */
const char *pc_status_name(pc_status status);

/* Frees a text that a call of this library gave; NULL is fine. Free each text once, and with this
 * function only. */
void pc_string_free(char *text);

/* ---- catalogs ------------------------------------------------------------------------------------ */

/* Opens a catalog file.
 *
 *   path    the file; on Unix any bytes, elsewhere UTF-8. With the log beside it, where a durable catalog
 *           of Python has one: what was acknowledged until now
 *   flags   0, or PC_OPEN_MMAP. A mapped file must not be written in place while the catalog is open;
 *           replacing it by rename, as saving a catalog does, is fine.
 *   out     receives the catalog; the caller frees it with pc_catalog_free
 *
 * The whole file is checked: checksums, structure, and the content hash that it states.
 * PC_IO, PC_FORMAT, PC_INVALID_VALUE for unknown flags, PC_NO_MEMORY. */
pc_status pc_catalog_open(const char *path, uint32_t flags, pc_catalog **out, char **error);

/* Opens a catalog from the bytes of its file: an asset of an application, a download, flash memory.
 *
 *   bytes   the whole file; begin at a multiple of 8 where they are read in place
 *   len     how many
 *   flags   0: what is needed is copied, and the bytes may go after the call. PC_OPEN_IN_PLACE: vectors
 *           and graphs are read where they are, which costs no memory of their own; the bytes must stay
 *           where and what they are until pc_catalog_free. What is not aligned for its numbers (bytes
 *           that do not begin at a multiple of 8) is copied all the same.
 *   out     receives the catalog; the caller frees it with pc_catalog_free
 *
 * Every length is checked against `len`, every section against its checksum, and the structure; without
 * PC_OPEN_IN_PLACE also the content hash that the file states.
 * PC_FORMAT, PC_INVALID_VALUE for unknown flags, PC_NO_MEMORY. */
pc_status pc_catalog_open_memory(const void *bytes, size_t len, uint32_t flags, pc_catalog **out,
                                 char **error);

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

/* How many changes the catalog has seen. */
pc_status pc_catalog_generation(const pc_catalog *catalog, uint64_t *out, char **error);

/* How many components the vectors of a space have. PC_MISSING for an unknown space. */
pc_status pc_catalog_dim(const pc_catalog *catalog, const char *space, size_t *out, char **error);

/* ---- ranking ------------------------------------------------------------------------------------- */

/* Ranks one request: retrieves, scores, diversifies, explores, and gives the decision record.
 *
 *   request_json     an object with
 *     "k"            items wanted, at least 1
 *     "at"           the moment that decays are measured from, in microseconds since 1970-01-01T00:00Z
 *     "seed"         0 to 2^64 - 1; with request_id it keys the random numbers
 *     "request_id"   the caller's name for this request
 *     "user"         {space: [numbers]}; or [numbers] for the space that the policy's similarity names
 *                    or the only one there is; absent or null for nobody in particular: then no personal
 *                    input is used. In place of a space's numbers, interests: {"vectors": [[numbers],
 *                    ...], "weights": [numbers], "negative": [[numbers], ...], "negative_weight":
 *                    number, "combine": "max" or "mean"}, of which all but the first have the defaults
 *                    of Python's Interests
 *     "exclude"      ids not to be shown; an id that is not in the catalog is fine
 *     "where"        the only ids that may be shown; an id that is not in the catalog is PC_MISSING. Or a
 *                    filter over attributes, such as {"and": [{"is": ["genre", "jazz"]}, {"range":
 *                    ["year", {"from": 2020}]}]}: what pc.Filter.to_json of the Python package writes
 *     "signals"      {name: numbers} for signals that the policy names: [number or null, ...], one for
 *                    each item in the order of the catalog's ids; or {"ids": [...], "values": [...]}
 *     "lists"        {name: list} for outside lists that the policy names: [ids], best first; or
 *                    {"ids": [...], "scores": [...]}
 *     "target"       {value: share}, in place of the target of a policy that calibrates
 *     "pins"         [{"slot": 0, "id": ...}, ...]: slots, counted from 0, that show these items
 *     "allow"        {"profile": bool, "history": bool, "signals": bool}: the personal input that may be
 *                    used; what is not named may. It is recorded.
 *     "budget_us"    microseconds of the reference core that the ranking is to fit; the record says what
 *                    was given up for it
 *     "route"        the perso_core.route/1 document of the decision that brought the request here; it is
 *                    recorded
 *   All from "user" on may be absent or null; any other field is refused. Ids are integers or texts, as
 *   the catalog's are. A policy with a signal of kind model needs somebody who asks the model: bring
 *   its answers as a signal of kind value instead.
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

/* The same as a slate, whose record is made when it is asked for.
 *
 *   profile  NULL; or what is known of the user: its vector as of the request's "at" is the user's in the
 *            space of its plan, which "user" must not have then. Without any evidence it is nobody's,
 *            unless "user" has other spaces. Not looked at where "allow" forbids "profile".
 *   out      receives the slate; the caller frees it with pc_slate_free
 */
pc_status pc_rank_slate(const pc_catalog *catalog, const pc_profile *profile,
                        const char *request_json, const char *policy_json, pc_slate **out,
                        char **error);

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

/* The same as a slate.
 *
 *   personal_json  NULL; or what the record was written without, an object with "user" for a record with
 *                  hashes, and for one without personal input also "exclude", "where", "signals",
 *                  "lists" and "target", each as it was in the request. Of a profile it was its vector
 *                  as of the record's "at" (pc_profile_vector). PC_REPLAY where it was another.
 *   out            receives the slate; the caller frees it with pc_slate_free */
pc_status pc_replay_slate(const pc_catalog *catalog, const char *record_json,
                          const char *personal_json, pc_slate **out, char **error);

/* ---- slates -------------------------------------------------------------------------------------- */

/* Frees a slate, with every text that came from it; NULL is fine. No other call may be using it. */
void pc_slate_free(pc_slate *slate);

/* How many items the slate has: k, or fewer with a pc_slate_short_reason. */
pc_status pc_slate_len(const pc_slate *slate, size_t *out, char **error);

/* The ids, in the order of the slots. PC_TEXT_IDS where they are text. */
pc_status pc_slate_ids(const pc_slate *slate, int64_t *out, size_t capacity, size_t *n_out,
                       char **error);

/* The id of a slot, counted from 0, as text: of integer ids their decimal digits. The text is the
 * slate's. PC_INVALID_VALUE for a slot that is not there, PC_FORMAT for an id with a NUL in it. */
pc_status pc_slate_id_text(const pc_slate *slate, size_t slot, const char **out, char **error);

/* The scores: higher is better. Each is the exact sum of its terms. */
pc_status pc_slate_scores(const pc_slate *slate, double *out, size_t capacity, size_t *n_out,
                          char **error);

/* The propensities: the probability with which the policy puts the item into this slot, given the
 * slots above it. */
pc_status pc_slate_propensities(const pc_slate *slate, double *out, size_t capacity, size_t *n_out,
                                char **error);

/* Of each slot 1 where exploration put another item there than the greedy choice, else 0. */
pc_status pc_slate_explored(const pc_slate *slate, uint8_t *out, size_t capacity, size_t *n_out,
                            char **error);

/* How many terms a score has. */
pc_status pc_slate_term_count(const pc_slate *slate, size_t *out, char **error);

/* The name of a term, counted from 0, in the order of the policy's signals. The text is the slate's. */
pc_status pc_slate_term_name(const pc_slate *slate, size_t term, const char **out, char **error);

/* One term of every slot's score. PC_MISSING for an unknown name. */
pc_status pc_slate_term(const pc_slate *slate, const char *name, double *out, size_t capacity,
                        size_t *n_out, char **error);

/* Why the item of a slot is there: a short text for people, which is the slate's. */
pc_status pc_slate_reason(const pc_slate *slate, size_t slot, const char **out, char **error);

/* Why there are fewer items than asked for; *out stays NULL where there are not. The text is the
 * slate's. */
pc_status pc_slate_short_reason(const pc_slate *slate, const char **out, char **error);

/* How the candidates were found: "exact", "filtered", "graph", "attributes" or "given". The text is the
 * slate's. */
pc_status pc_slate_path(const pc_slate *slate, const char **out, char **error);

/* What was given up to fit the request's "budget_us": how many things, and each in words with numbers, which
 * are the slate's. None without a budget, or where it was enough. */
pc_status pc_slate_given_up_count(const pc_slate *slate, size_t *out, char **error);
pc_status pc_slate_given_up(const pc_slate *slate, size_t i, const char **out, char **error);

/* How many microseconds a stage took: "filter" (reading the request), "retrieve", "score",
 * "diversify", "explore", or "total". It is no part of the record. PC_MISSING for another name. */
pc_status pc_slate_timing_us(const pc_slate *slate, const char *stage, double *out, char **error);

/* The decision record, a perso_core.record/1 document.
 *
 *   flags  0: what may leave a device: which items were shown, with which probabilities, by which policy,
 *          out of what; and nothing personal: no vectors nor their hashes, no scores and no pool, which
 *          they could be computed from. A replay has to be given what is not there.
 *          PC_RECORD_HASHES: all but the user's vectors, of which it has hashes; a replay has to be given
 *          the vectors.
 *          PC_RECORD_PERSONAL: everything; a replay needs no more.
 *   out    receives the text; the caller frees it with pc_string_free */
pc_status pc_slate_record(const pc_slate *slate, uint32_t flags, char **out, char **error);

/* ---- profiles ------------------------------------------------------------------------------------ */

/* A user whose events are to come.
 *
 *   plan_json  a perso_core.profile/1 document: what pc.ProfilePlan.to_json of the Python package writes
 *   dim        components of the vectors: the space's
 *   base       NULL, or `dim` finite numbers: the user's own long-term vector, from a trained model
 *   prior      NULL, or `dim` finite numbers: where there is no base, a vector of the population
 *   out        receives the profile; the caller frees it with pc_profile_free
 *
 * PC_INVALID_VALUE. */
pc_status pc_profile_new(const char *plan_json, size_t dim, const float *base, const float *prior,
                         pc_profile **out, char **error);

/* The profile that pc_profile_to_bytes, or to_bytes of Python, wrote. The caller frees it with
 * pc_profile_free. PC_FORMAT for bytes that are damaged, foreign, of a later version or of another
 * plan. */
pc_status pc_profile_from_bytes(const void *bytes, size_t len, const char *plan_json, pc_profile **out,
                                char **error);

/* Frees a profile; NULL is fine. No other call may be using it. */
void pc_profile_free(pc_profile *profile);

/* How many bytes pc_profile_to_bytes writes: it does not change with events. */
pc_status pc_profile_size(const pc_profile *profile, size_t *out, char **error);

/* The state, with its prior and the plan's hash. It is personal data. The same events in the same order
 * give the same bytes on every platform. */
pc_status pc_profile_to_bytes(const pc_profile *profile, void *out, size_t capacity, size_t *n_out,
                              char **error);

/* Takes in an event. What is refused changes nothing.
 *
 *   item  `dim` finite numbers, not all 0: the vector of what the event was about
 *   dim   the profile's
 *   kind  one of the plan's kinds
 *   at    when it happened, in microseconds since 1970-01-01T00:00Z; it may come late
 *
 * PC_INVALID_VALUE. */
pc_status pc_profile_observe(pc_profile *profile, const float *item, size_t dim, const char *kind,
                             int64_t at, char **error);

/* The same about an item of a catalog, whose vector as stored counts. PC_MISSING for an id that is not
 * there and a space that the catalog does not have, PC_WRONG_TYPE for an id of the other kind. */
pc_status pc_catalog_observe(const pc_catalog *catalog, pc_profile *profile, int64_t id,
                             const char *kind, int64_t at, char **error);
pc_status pc_catalog_observe_text(const pc_catalog *catalog, pc_profile *profile, const char *id,
                                  const char *kind, int64_t at, char **error);

/* How many events it has taken in. */
pc_status pc_profile_events(const pc_profile *profile, uint64_t *out, char **error);

/* The vector as of a moment, in microseconds since 1970-01-01T00:00Z: dim numbers, or none (*n_out is 0)
 * for a user nothing is known of. A moment before the latest event counts as that event's. */
pc_status pc_profile_vector(const pc_profile *profile, int64_t at, float *out, size_t capacity,
                            size_t *n_out, char **error);

/* ---- capsules ------------------------------------------------------------------------------------ */

/* Opens a capsule: candidates that a server packed for this device, with their policy, in one signed file.
 *
 *   path    the file; on Unix any bytes, elsewhere UTF-8. It is read into memory.
 *   keys    public keys that may have signed it, PC_KEY_BYTES each, one after another: the old one and the
 *           new one while keys change
 *   n_keys  how many, at least 1
 *   at      now, in microseconds since 1970-01-01T00:00Z
 *   out     receives the capsule; the caller frees it with pc_capsule_free
 *
 * The signature is checked over all that is read, and then every length and number. PC_EXPIRED, PC_FUTURE
 * (by more than five minutes), PC_WRONG_KEY, PC_TAMPERED; PC_FORMAT for what is no capsule, of another
 * version, cut short, too long, or damaged; PC_IO, PC_INVALID_VALUE, PC_NO_MEMORY. */
pc_status pc_capsule_open(const char *path, const uint8_t *keys, size_t n_keys, int64_t at,
                          pc_capsule **out, char **error);

/* The same from memory.
 *
 *   bytes   the whole file
 *   flags   0: a copy is kept, and the bytes may go after the call. PC_OPEN_IN_PLACE: embeddings are
 *           read where they are if the bytes begin at a multiple of 8, else copied; the bytes must stay
 *           where and what they are until pc_capsule_free. */
pc_status pc_capsule_open_memory(const void *bytes, size_t len, const uint8_t *keys, size_t n_keys,
                                 int64_t at, uint32_t flags, pc_capsule **out, char **error);

/* Frees a capsule, with every text that came from it; NULL is fine. No other call may be using it. */
void pc_capsule_free(pc_capsule *capsule);

/* How many candidates it has. */
pc_status pc_capsule_len(const pc_capsule *capsule, size_t *out, char **error);

/* The candidates' ids, in the order of the server. PC_TEXT_IDS where they are text. */
pc_status pc_capsule_ids(const pc_capsule *capsule, int64_t *out, size_t capacity, size_t *n_out,
                         char **error);

/* The id of the i-th candidate, counted from 0, as text, which is the capsule's. */
pc_status pc_capsule_id_text(const pc_capsule *capsule, size_t i, const char **out, char **error);

/* How many components the vectors of a space have. PC_MISSING for a space that was not packed. */
pc_status pc_capsule_dim(const pc_capsule *capsule, const char *space, size_t *out, char **error);

/* Where it comes from. The generation of the catalog; when the capsule was made, and from when on it is
 * refused, in microseconds since 1970-01-01T00:00Z. */
pc_status pc_capsule_generation(const pc_capsule *capsule, uint64_t *out, char **error);
pc_status pc_capsule_made_at(const pc_capsule *capsule, int64_t *out, char **error);
pc_status pc_capsule_expires_at(const pc_capsule *capsule, int64_t *out, char **error);

/* Texts, which are the capsule's: its own hash, by which records name it; the hash of the catalog's content;
 * which key signed it; the version of the library that made it. */
pc_status pc_capsule_hash(const pc_capsule *capsule, const char **out, char **error);
pc_status pc_capsule_content_hash(const pc_capsule *capsule, const char **out, char **error);
pc_status pc_capsule_key_id(const pc_capsule *capsule, const char **out, char **error);
pc_status pc_capsule_library(const pc_capsule *capsule, const char **out, char **error);

/* The policy that it is ranked by, and the plan of profiles (*out stays NULL where it was made without
 * one): documents, which are the capsule's. */
pc_status pc_capsule_policy(const pc_capsule *capsule, const char **out, char **error);
pc_status pc_capsule_plan(const pc_capsule *capsule, const char **out, char **error);

/* pc_profile_new with the capsule's plan, and the dimensions of its space. PC_MISSING for a capsule that
 * was made without one. */
pc_status pc_capsule_profile_new(const pc_capsule *capsule, const float *base, const float *prior,
                                 pc_profile **out, char **error);

/* pc_catalog_observe about a candidate, whose vector as packed counts. */
pc_status pc_capsule_observe(const pc_capsule *capsule, pc_profile *profile, int64_t id,
                             const char *kind, int64_t at, char **error);
pc_status pc_capsule_observe_text(const pc_capsule *capsule, pc_profile *profile, const char *id,
                                  const char *kind, int64_t at, char **error);

/* Ranks the candidates by the capsule's policy, as pc_rank_slate ranks the items of a catalog: the same
 * code, the same request, exact propensities. The request's "at" has to lie within the capsule's time:
 * PC_EXPIRED, PC_FUTURE. Nothing leaves the process; what may is pc_slate_record without flags. */
pc_status pc_capsule_rank(const pc_capsule *capsule, const pc_profile *profile,
                          const char *request_json, pc_slate **out, char **error);

/* Makes the slate of a record again, as pc_replay_slate does. */
pc_status pc_capsule_replay(const pc_capsule *capsule, const char *record_json,
                            const char *personal_json, pc_slate **out, char **error);

/* ---- routing ------------------------------------------------------------------------------------- */

/* Decides whether a slate is to be made by the server or on this device. Pure: the same situation, the same
 * answer.
 *
 *   situation_json  {"inputs": {...}, "plan": {...}}: what pc.route of the Python package takes; each
 *                   input, and the plan, may be left out
 *   route_json_out  receives the perso_core.route/1 document: where, the rule that decided, reasons,
 *                   inputs and plan. As "route" of a request it is kept in the record. The caller frees
 *                   it with pc_string_free.
 *
 * PC_INVALID_VALUE. */
pc_status pc_route(const char *situation_json, char **route_json_out, char **error);

#ifdef __cplusplus
}
#endif

#endif
