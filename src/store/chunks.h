/* Chunks: the ranges of _id that a job is made of, in eclose_chunks.
 *
 *    {_id: "<job>/<n>", job, n, range, documents, state, after, counts, rate, slowed,
 *     and the fields of a lease: token, holder, expires, … (lease.h)}
 *
 *   n          its number in a random order: ranges with neighbouring numbers lie apart
 *   range      which _ids (below)
 *   documents  about how many
 *   state      "open" (to be gone through), "carried" (gone through once), "done" (and swept: nothing was left)
 *   after      {id: that of the last document that is done, in the server's order}; empty or absent at first. Never
 *              goes back while the range is in one state
 *   counts     of this range (jobs.h), as far as replies said: what a worker that died had done since its last
 *              checkpoint is missing
 *   rate       documents a second, as its worker sees it
 *   slowed     the input that slows it, in words
 *
 * A range is claimed by the lease's commands on its record, and changed only with the claim's token in the filter.
 *
 * Ranges. One never spans BSON types, for a comparison only matches values of its own. Bounds are as the server gave
 * them; what lies between two of them only the server says. What has no bounds is named by its types, so that every _id
 * there can be is in one range: NaN, null, and the types that no sample showed.
 */
#ifndef ECL_STORE_CHUNKS_H
#define ECL_STORE_CHUNKS_H

#include "store/jobs.h"
#include "store/lease.h"

#define ECL_STORE_CHUNKS "eclose_chunks"

/* Of a record's _id, with its end. */
#define ECL_CHUNK_ID 40

/* Of what slows a range, with its end: as much as ecl_throttle_describe says. */
#define ECL_CHUNK_SLOWED 224

/* Types of _id, as sets: each bit is a bracket of comparisons, in the server's order. */
typedef enum {
   ECL_IDS_MINKEY = 1 << 0,
   ECL_IDS_NULL = 1 << 1,
   ECL_IDS_NAN = 1 << 2, /* sorts before the other numbers, and matches none of their comparisons */
   ECL_IDS_NUMBER = 1 << 3,
   ECL_IDS_STRING = 1 << 4,
   ECL_IDS_OBJECT = 1 << 5,
   ECL_IDS_BINARY = 1 << 6, /* one of the servers orders it otherwise where it does not read along the index */
   ECL_IDS_OID = 1 << 7,
   ECL_IDS_BOOL = 1 << 8,
   ECL_IDS_DATE = 1 << 9,
   ECL_IDS_TIMESTAMP = 1 << 10,
   ECL_IDS_OTHER = 1 << 11, /* deprecated ones, which sort here */
   ECL_IDS_MAXKEY = 1 << 12,
   ECL_IDS_ALL = (1 << 13) - 1,
} ecl_ids_t;

/* The bracket that an _id is in. */
ecl_ids_t
ecl_ids_of (const ecl_value_t *id);

typedef struct {
   unsigned types;          /* ecl_ids_t; one bracket where there is a bound */
   ecl_value_t above, upto; /* missing: open on that side */
} ecl_chunk_range_t;

typedef enum { ECL_CHUNK_OPEN, ECL_CHUNK_CARRIED, ECL_CHUNK_DONE, ECL_CHUNK_STATES } ecl_chunk_state_t;

const char *
ecl_chunk_state_name (ecl_chunk_state_t state);

typedef struct {
   char id[ECL_CHUNK_ID];
   int32_t n;
   ecl_chunk_range_t range; /* values are borrowed from the document */
   int64_t documents;
   ecl_chunk_state_t state;
   ecl_value_t after; /* likewise; missing: at its beginning */
   ecl_job_counts_t counts;
   double rate;
   char slowed[ECL_CHUNK_SLOWED]; /* "" where nothing does */
   bool held;                     /* somebody is named in it */
   int64_t token;
   int64_t left; /* ms that the claim lasts, by the server's clock; only in answers to ecl_chunks_held */
   char host[256], place[96];
   int64_t pid;
} ecl_chunk_row_t;

/* What a worker writes with each renewal. */
typedef struct {
   ecl_chunk_state_t state;
   ecl_value_t after; /* missing: at the beginning */
   ecl_job_counts_t counts;
   double rate;
   const char *slowed; /* may be NULL */
} ecl_chunk_progress_t;

/* Its _id. */
void
ecl_chunk_id (const uint8_t job[12], int32_t n, char id[ECL_CHUNK_ID]);

/* The filter for the documents of a range behind `after` (missing: from its beginning) and up to `end` (missing: to its
 * end), two _ids that the server gave from it; {} for all there are. Of a type that cannot be a bound it names all. */
void
ecl_chunk_filter (const ecl_chunk_range_t *range, const ecl_value_t *after, const ecl_value_t *end, bson_t *filter);

/* ---- commands; each initialises *command ---- */

/* The find for the n-th next _id of a range, from 1, behind `after` (missing: from its beginning), whatever its
 * document is: the server looks at the index alone. What it is read from is for the caller to append. */
void
ecl_chunk_find_nth (const ecl_chunk_range_t *range, const ecl_value_t *after, const char *collection, int64_t n,
                    bson_t *command);

/* Makes records first … first + n - 1, open; records that are there already stay. */
void
ecl_chunks_insert (const uint8_t job[12], const ecl_chunk_range_t *ranges, int32_t first, int32_t n, int64_t documents,
                   bson_t *command);

/* Those in a state, at most limit: first those that nobody holds, by n, so that none of them is behind those that many
 * workers hold. */
void
ecl_chunks_find (const uint8_t job[12], ecl_chunk_state_t state, int32_t limit, bson_t *command);

void
ecl_chunk_find (const char *id, bson_t *command);

/* Those that somebody holds, or held when they died: one row each, with `left`. */
void
ecl_chunks_held (const uint8_t job[12], bson_t *command);

/* One row per state: {_id: state, n, documents, and counts}. */
void
ecl_chunks_sum (const uint8_t job[12], bson_t *command);

/* Removes the records of a job. */
void
ecl_chunks_remove (const uint8_t job[12], bson_t *command);

/* What goes along with a renewal or release of the claim: for ecl_lease_renew, ecl_lease_free. Initialises *fields. */
void
ecl_chunk_fields (const ecl_chunk_progress_t *progress, bson_t *fields);

/* ---- answers ---- */

/* One record. Borrows from the document. False where it is none, or one of another version: who holds it is there even
 * so, for the lease is the same in all. */
bool
ecl_chunk_read (const bson_t *document, ecl_chunk_row_t *out, bson_error_t *error) ECL_MUST_CHECK;

typedef struct {
   int64_t n[ECL_CHUNK_STATES];         /* ranges per state */
   int64_t documents[ECL_CHUNK_STATES]; /* that they have, about */
   int64_t changed[ECL_CHUNK_STATES];
   ecl_job_counts_t counts; /* of all */
} ecl_chunks_sum_t;

/* The reply to ecl_chunks_sum. */
bool
ecl_chunks_read_sum (const bson_t *reply, ecl_chunks_sum_t *out, bson_error_t *error) ECL_MUST_CHECK;

#endif
