/* Job: a backfill that many processes work on, from its start to its end: eclose_jobs and eclose_chunks against a
 * world.
 *
 *    ecl_job_start ──► plan, under the lease "backfill:<collection>" ──► ranges ──► workers (worker.h) ──► end
 *         └── a live job to the same target is joined, one that nobody works on and that leads elsewhere, or by other
 *             migrations, is given up (unless it is paused)
 *
 * Straight-line code: whoever calls it waits. All that is written may be written again, so an answer that is lost is
 * asked for again.
 */
#ifndef ECL_BACKFILL_JOB_H
#define ECL_BACKFILL_JOB_H

#include "backfill/backfill.h"
#include "backfill/partition.h"
#include "project/project.h"
#include "run/holder.h"
#include "run/throttle.h"
#include "store/chunks.h"

/* Documents of a range, about. Checkpoints say how far it is, so that the size does not matter to what is lost with a
 * worker; each range costs two cursors, and where there are several workers there are enough ranges for them anyway. */
#define ECL_JOB_RANGE 250000

/* Who asks for the lease under which a plan is made; times as in holder.h. */
typedef struct {
   ecl_who_t who;
   int64_t time, skew;
   /* Told once, where somebody else has it, and is not known to be dead; may be NULL. */
   void (*waiting) (void *context, const ecl_lease_t *lease);
   void *context;
   int64_t until; /* by the world's clock: it waits no longer than that, and fails as one that is cancelled; 0: never */
} ecl_job_lease_t;

typedef struct {
   ecl_world_t *world;
   const char *database;
   const char *collection;
   const char *uuid; /* of it; NULL or "" where that is not known */
   bool down;
   const char *to;           /* version as text */
   const ecl_chain_t *chain; /* and the place of `to` on it */
   size_t target;
   const char *mode, *why;
   const bson_t *candidates; /* filter: not at the target, and not in quarantine */
   uint32_t quarantined;     /* documents that are in quarantine, which the caller sees to where nothing else is left */
   ecl_job_settings_t settings;
   int64_t range_docs; /* 0: ECL_JOB_RANGE */
   uint32_t workers;   /* that are likely to work on it */
   bool finished;      /* records say that all is done: where a short look finds nothing, they are believed */
   ecl_who_t who;
   int64_t lease_time, lease_skew; /* as in holder.h */
   /* Called before anything is written for a new job; false: there will be none. It may leave the _ids of a random sample
    * in *sample, and in to_do how many of those documents can be carried and are not yet: where that is not 0, nothing
    * else is asked to find out whether there is anything to do. May be NULL. */
   bool (*before) (void *context, ecl_partition_sample_t *sample, bson_error_t *error);
   /* Called under the lease of the plan, before the record of a new job is written; false: there will be none. May be
    * NULL. */
   bool (*clear) (void *context, bson_error_t *error);
   void (*waiting) (void *context, const ecl_lease_t *lease); /* as above */
   /* Told once, before a way down, where workers of a job up that was cancelled, or failed, have yet to see that: what
    * they write is waited for. May be NULL. */
   void (*ending) (void *context, const ecl_job_t *job);
   void *context;
   int64_t until;      /* as above */
   ecl_job_t *gave_up; /* filled with the job that was given up for this one, if any; may be NULL */
} ecl_job_start_t;

typedef enum {
   ECL_START_NEW,
   ECL_START_JOINED,
   ECL_START_NOTHING,  /* every document is at the target: nothing was written */
   ECL_START_FINISHED, /* options->finished, and a short look, which did not come to the end, found nothing */
   ECL_START_FAILED,   /* ECL_ERROR_LEASE: others work on a job to another version, or somebody paused one */
} ecl_start_t;

/* *job is the job; not filled where there is none. */
ecl_start_t
ecl_job_start (const ecl_job_start_t *options, ecl_job_t *job, bson_error_t *error) ECL_MUST_CHECK;

/* Reads it; *found is false where there is none. */
bool
ecl_job_look (ecl_world_t *world, const char *database, const uint8_t id[12], ecl_job_t *job, bool *found,
              bson_error_t *error) ECL_MUST_CHECK;

/* The latest of a collection (NULL: of any). live: only one that is; it fails where that is not understood, for nothing
 * is to be begun beside it. One that has ended and is not understood counts as none. */
bool
ecl_job_latest (ecl_world_t *world, const char *database, const char *collection, bool live, ecl_job_t *job,
                bool *found, bson_error_t *error) ECL_MUST_CHECK;

/* Said of a job to the same target that was not: */
#define ECL_JOB_OTHERS ", of other migrations or settings than this project has,"

/* Whether it was begun with the migrations and settings of the chain on the way to the place that is the job's target. */
bool
ecl_job_is_of (const ecl_job_t *job, const ecl_chain_t *chain, size_t target);

/* Whether a job up is known to have been begun with others. Where the chain begins at a floor the files of then may be
 * gone on purpose: that says nothing. */
bool
ecl_job_differs (const ecl_job_t *job, const ecl_chain_t *chain);

/* A new _id, by chance. */
void
ecl_job_make_id (ecl_world_t *world, uint8_t id[12]);

/* Whether it failed because whoever made its plan went away, or was too late: who comes to work makes another. */
bool
ecl_job_is_given_up (const ecl_job_t *job);

/* The live one of a collection, once its ranges are made: waits while whoever makes them holds the lease of the plan.
 * *found is false where there is none. Where whoever made the plan is gone, that job is ended as failed, and a new one
 * like it is planned. */
bool
ecl_job_await (ecl_world_t *world, const char *database, const char *collection, const ecl_job_lease_t *lease,
               ecl_job_t *job, bool *found, bson_error_t *error) ECL_MUST_CHECK;

/* All of them, the latest first, at most limit; each is told. What is not understood: as above. */
bool
ecl_job_list (ecl_world_t *world, const char *database, const char *collection, bool live, int32_t limit,
              void (*tell) (void *context, const ecl_job_t *job), void *context, bson_error_t *error) ECL_MUST_CHECK;

/* Running, paused or cancelled. *took is false where the job had ended before. */
bool
ecl_job_ask (ecl_world_t *world, const char *database, const uint8_t id[12], ecl_job_wanted_t wanted, bool *took,
             bson_error_t *error) ECL_MUST_CHECK;

/* Other settings; which: ecl_job_set_t. *took as above. */
bool
ecl_job_change (ecl_world_t *world, const char *database, const uint8_t id[12], const ecl_job_settings_t *settings,
                unsigned which, bool *took, bson_error_t *error) ECL_MUST_CHECK;

/* How far it is. */
bool
ecl_job_sum (ecl_world_t *world, const char *database, const uint8_t id[12], ecl_chunks_sum_t *sum,
             bson_error_t *error) ECL_MUST_CHECK;

/* How far it is, with what others do. */
typedef struct {
   const uint8_t *job;    /* its _id, 12 bytes */
   int64_t total, done;   /* documents, about */
   int64_t ranges, swept; /* those that were gone through again; negative as long as not all were carried */
   double rate;           /* a second, of this process, over the last seconds */
   uint32_t workers;      /* of this process that are at work, and do not wait for others to end */
   bool paused;           /* somebody asked for that */
   const char *slowed;    /* what slows it, in words; "" where nothing does */
   ecl_slow_t slow;
   bool stopped;                        /* altogether, until that is calm */
   double latency;                      /* of its own writes, times the calm time; 0: not known */
   int64_t lag;                         /* ms; negative: not known */
   int64_t batches, waited[ECL_SLOW_N]; /* of this process; ms, per input */
   ecl_mode_t mode;
   ecl_job_counts_t counts; /* of this process */
} ecl_job_progress_t;

/* Documents that are done, of sum, for one who says how many there are in all: those of ranges that are, and in the
 * others those that were changed. */
int64_t
ecl_job_done (const ecl_job_t *job, const ecl_chunks_sum_t *sum);

/* Tells each range that somebody holds, or held when they died; row->left says for how long yet. Of one that is not
 * understood, on which a later version may work, nothing else is known. */
bool
ecl_job_held (ecl_world_t *world, const char *database, const uint8_t id[12],
              void (*tell) (void *context, const ecl_chunk_row_t *row), void *context,
              bson_error_t *error) ECL_MUST_CHECK;

/* How many ranges workers hold that live, as far as is known at `here` (place.h; may be NULL). */
bool
ecl_job_living (ecl_world_t *world, const char *database, const uint8_t id[12], const char *here, int64_t *n,
                bson_error_t *error) ECL_MUST_CHECK;

/* Whether a range that is not done is not understood, as far as workers look: *why says which and what is wrong with
 * it; code 0: there is none. */
bool
ecl_job_unread (ecl_world_t *world, const char *database, const uint8_t id[12], bson_error_t *why,
                bson_error_t *error) ECL_MUST_CHECK;

/* Every range is done: what is in quarantine without a reason any more goes, and the job ends as done. Where records of
 * ranges are gone it ends as failed, for nobody knows which _ids were not gone through. Where some are said not to be
 * done, job->state stays: after an election a read can be older than what was seen before it. */
bool
ecl_job_finish (ecl_world_t *world, const char *database, const ecl_chain_t *chain, size_t target, ecl_job_t *job,
                bson_error_t *error) ECL_MUST_CHECK;

/* Ends it, in that state and with that message, whatever its ranges say. */
bool
ecl_job_close (ecl_world_t *world, const char *database, ecl_job_t *job, ecl_job_state_t state, const char *message,
               bson_error_t *error) ECL_MUST_CHECK;

/* Removes quarantine records of documents that were carried over since they were written, before that time of the
 * server's; what this job's own sweep wrote (may be NULL) stays. So does, where there are millions that stay, what the
 * server does not find among them in time: `quarantine retry` removes that. */
bool
ecl_job_forget (ecl_world_t *world, const char *database, const ecl_chain_t *chain, size_t target, bool down,
                int64_t before, const uint8_t *job, bson_error_t *error) ECL_MUST_CHECK;

/* Settings as the throttle wants them. */
void
ecl_job_throttle (const ecl_job_settings_t *settings, ecl_throttle_settings_t *out);

/* Sends a command of the store's until it is answered for good. Where reply is NULL nobody wants it. */
bool
ecl_job_send (ecl_world_t *world, const char *database, bson_t *command, bson_t *reply,
              bson_error_t *error) ECL_MUST_CHECK;

/* Sends a find of the store's likewise, and hands each document over, until one is not taken. */
bool
ecl_job_each (ecl_world_t *world, const char *database, bson_t *command,
              bool (*take) (void *context, const bson_t *document, bson_error_t *error), void *context,
              bson_error_t *error) ECL_MUST_CHECK;

#endif
