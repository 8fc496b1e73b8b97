/* Jobs: what is known of each backfill, in eclose_jobs.
 *
 *    {_id, kind, collection, uuid, to, chain, mode, why, state, wanted, settings, counts, chunks, documents, host, pid,
 *     user, started, swept, ended, error}
 *
 *   uuid       the collection's, as text: one that was dropped and made anew, or restored, has another, and what is
 *              recorded of the old one says nothing of it
 *   chain      checksum of the migrations and settings that it was begun with (ecl_catalog_checksum): all who work on it
 *              are to have the same. None in a record of an older version
 *   state      "planning" (its ranges are being made), "running", "done", "failed", "cancelled"
 *   wanted     "running", "paused" or "cancelled": what somebody asked for; each worker looks at it every second
 *   settings   of the throttle; whoever works takes over what is changed. A command that says wait is not among them:
 *              who may write here must not run programs elsewhere
 *   counts     at the end, of all ranges (chunks.h); zeros where somebody cancelled it: its ranges tell
 *   documents  how many there were to go through when it was planned, about
 *   swept      when the first range was looked at again for what came behind the workers' backs
 *
 * A job that is planning or running is live; a collection has one such at most, which the lease
 * "backfill:<collection>" sees to while one is made. All of the commands may be sent again when their answer was lost.
 */
#ifndef ECL_STORE_JOBS_H
#define ECL_STORE_JOBS_H

#include "base/sha256.h"
#include "bson/value.h"

#define ECL_STORE_JOBS "eclose_jobs"

typedef enum {
   ECL_JOB_PLANNING,
   ECL_JOB_RUNNING,
   ECL_JOB_DONE,
   ECL_JOB_FAILED,
   ECL_JOB_CANCELLED,
} ecl_job_state_t;

typedef enum {
   ECL_WANTED_RUNNING,
   ECL_WANTED_PAUSED,
   ECL_WANTED_CANCELLED,
} ecl_job_wanted_t;

/* "planning" and so on. */
const char *
ecl_job_state_name (ecl_job_state_t state);

const char *
ecl_job_wanted_name (ecl_job_wanted_t wanted);

static inline bool
ecl_job_is_live (ecl_job_state_t state)
{
   return state == ECL_JOB_PLANNING || state == ECL_JOB_RUNNING;
}

/* Of the throttle; 0: the default, negative: not looked at. */
typedef struct {
   int64_t batch_time, max_lag, min_window; /* ms */
   double max_latency;                      /* times the calm time; 0: not looked at */
   double max_documents, max_bytes;         /* per second, all workers together; 0: no limit */
} ecl_job_settings_t;

/* Which of the settings a change names. */
typedef enum {
   ECL_SET_BATCH_TIME = 1 << 0,
   ECL_SET_MAX_LAG = 1 << 1,
   ECL_SET_MIN_WINDOW = 1 << 2,
   ECL_SET_MAX_LATENCY = 1 << 3,
   ECL_SET_MAX_RATE = 1 << 4, /* documents and bytes */
   ECL_SET_ALL = (1 << 5) - 1,
} ecl_job_set_t;

typedef struct {
   int64_t seen;         /* documents that were read because they were not at the target */
   int64_t changed;      /* carried over, as far as replies say */
   int64_t pushed;       /* of them by the server */
   int64_t conflicts;    /* times that a document had changed meanwhile */
   int64_t transactions; /* documents that went through one */
   int64_t quarantined;  /* could not be carried over, when the range was last gone through */
   int64_t redone;       /* parts that were pushed down and had to be done again by eclose */
} ecl_job_counts_t;

/* Texts are cut to what fits. */
typedef struct {
   uint8_t id[12];
   bool down;
   char collection[256];
   char uuid[40];               /* "": the server did not say, or the record is of a release that did not ask */
   char to[64];                 /* version as text */
   char chain[ECL_SHA256_TEXT]; /* "" in a record of an older version */
   char mode[16];               /* "pushdown" or "client" */
   char why[256];               /* that mode */
   ecl_job_state_t state;
   ecl_job_wanted_t wanted;
   ecl_job_settings_t settings;
   ecl_job_counts_t counts;
   int32_t chunks;
   int64_t documents;
   char host[256], user[64];
   int64_t pid;
   int64_t started, swept, ended; /* the server's time; 0: not (yet) */
   char error[504];
} ecl_job_t;

/* ---- commands; each initialises *command ---- */

/* Of a job whose record came too late. */
#define ECL_JOB_PUT_LATE "whoever was to make the plan had lost its lease"

/* Makes the record, in its state, as wanted, with what is known; started now. Where it comes later than `until` (the
 * server's time; 0: never), the record is one of a job that failed, with that text: the lease under which it was sent
 * is over. */
void
ecl_job_put (const ecl_job_t *job, int64_t until, bson_t *command);

/* Its ranges stand: from planning to running. */
void
ecl_job_planned (const ecl_job_t *job, bson_t *command);

/* One job; none where there is no such. */
void
ecl_job_find_one (const uint8_t id[12], bson_t *command);

/* Those of a collection (NULL: of all), the latest first. live: all but those that are known to have ended, so that
 * what is in a state of a later version is found, too. */
void
ecl_job_find (const char *collection, bool live, int32_t limit, bson_t *command);

/* Asks the workers of a live job for something. Cancelled: ends it, too. */
void
ecl_job_want (const uint8_t id[12], ecl_job_wanted_t wanted, bson_t *command);

/* Other settings for a live job; which: ecl_job_set_t. */
void
ecl_job_set (const uint8_t id[12], const ecl_job_settings_t *settings, unsigned which, bson_t *command);

/* Notes when the sweep began, once. */
void
ecl_job_sweep (const uint8_t id[12], bson_t *command);

/* Ends a live job: done, failed or cancelled; counts and error are written. */
void
ecl_job_end (const ecl_job_t *job, bson_t *command);

/* ---- answers ---- */

/* One record. False where it is none; the error says which it is, what is wrong with it and what was expected. */
bool
ecl_job_read (const bson_t *document, ecl_job_t *out, bson_error_t *error) ECL_MUST_CHECK;

/* Whole numbers of a document, {seen, changed, …}; what is not there is 0. */
void
ecl_job_read_counts (const bson_t *document, ecl_job_counts_t *out);

void
ecl_job_append_counts (bson_t *to, const ecl_job_counts_t *counts);

void
ecl_job_add_counts (ecl_job_counts_t *to, const ecl_job_counts_t *counts);

#endif
