/* What the files of the worker share: see worker.h.
 *
 *    worker.c        what the job says, choosing a range, the job's end
 *    worker_range.c  one range under its claim: checkpoints, and what lies between two batches
 */
#ifndef ECL_BACKFILL_WORKER_PRIVATE_H
#define ECL_BACKFILL_WORKER_PRIVATE_H

#include "backfill/worker.h"
#include "run/sender.h"

typedef enum {
   STOP_NOT,
   STOP_ASKED,  /* the world, or the time */
   STOP_PAUSED, /* the job */
   STOP_OVER,   /* there is no job to work on any more */
} stop_t;

typedef struct {
   const ecl_task_t *task;
   const ecl_site_t *site;
   ecl_world_t *world;
   uint32_t number;
   ecl_worker_state_t *state;
   ecl_job_t job;
   stop_t stop;
   int64_t looked;      /* when the job was last read */
   bson_error_t unseen; /* why it could not be, since; code 0: it could */
   bool said_unseen;    /* in a pause, in which nothing else says so */
   bool gone;           /* there is no such job, or none that is understood */
   int64_t answered;    /* when the server last gave an answer that was of use */
   bool unfit;          /* this process cannot do the work; others may */
   ecl_throttle_t throttle;
   ecl_sender_t *sender; /* NULL: there is none (yet) */
   bool alone;           /* none could be had */
   ecl_pressure_reader_t pressure;
   char unsaid[ECL_ASK_N][640]; /* what it cannot see, until that is said */
   uint32_t n_unsaid;
   int64_t began;
   uint32_t told;      /* number of the last batch of the range at hand that the throttle was told of */
   double average;     /* bytes of a document; 0: not known */
   uint32_t window;    /* _ids that one find goes over; as in backfill.h */
   int64_t progressed; /* when anything last went on, or was not meant to */
   bson_error_t stuck; /* why a range stopped since, or none was found; code 0: that was not so */

   /* the claim */
   ecl_holder_t holder;
   ecl_chunk_row_t row; /* as it was when it was claimed; borrows from the reply */
   bson_t reply;
   ecl_chunk_state_t phase;
   int64_t checkpointed;
   ecl_job_counts_t before; /* of this worker, when the range began */

   /* the rate */
   int64_t rate_at;
   int64_t rate_seen;
} worker_t;

/* Between two looks for a range, where all of them are held by others or cannot be read now, or the job is paused. */
#define IDLE_MS 300

/* Without any answer of the server's, or without any range going on, before it gives up, in ms. */
#define PATIENCE_MS 180000

/* ---- worker.c ---- */

void
ecl_worker_say (worker_t *self, const char *message);

/* What the throttle cannot see, where it was not said yet, and the run is long enough for that to matter. */
void
ecl_worker_say_unseen (worker_t *self);

/* Whether it is to stop, by now: self->stop. Reads the job where that is due. */
void
ecl_worker_check_stop (worker_t *self);

/* Several workers share what the user allows: how many there are now, with this one. */
void
ecl_worker_count (worker_t *self);

/* Tells who watches. */
void
ecl_worker_tell (worker_t *self);

/* ---- worker_range.c ---- */

/* Every range was gone through once: what is left is swept. */
bool
ecl_worker_mark_sweep (worker_t *self, bson_error_t *error) ECL_MUST_CHECK;

/* The range that was claimed, in that phase, to its end, or as far as it goes; its claim is let go. False where the
 * worker cannot go on. */
bool
ecl_worker_work_on (worker_t *self, const char *id, ecl_chunk_state_t phase, bson_error_t *error) ECL_MUST_CHECK;

#endif
