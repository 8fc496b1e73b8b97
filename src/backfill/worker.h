/* Worker: one of those who work on a job. Straight-line code against a world, one worker per world and thread.
 *
 *    ┌─► what does the job say? ──► paused: wait. Over: end.
 *    │      claim a range: an open one; when none is left, one that is to be swept; when none is left, finish the job
 *    │      go through it behind its checkpoint (backfill.h), and between two batches
 *    │          renew the claim and write the checkpoint, in one statement, about every second
 *    │          look at the job, likewise
 *    │          ask the throttle, and wait as long as it says
 *    └──── let the range go: carried, done, or as far as it is
 *
 * A claim is a lease on the range's record (holder.h): what dies loses it when its time is over, and whoever takes it
 * goes on behind the last checkpoint. What lost it sends nothing more under it. That two might work on one range for a
 * moment does no harm to documents, for each write is guarded; the token in the filter keeps checkpoints from going
 * back.
 *
 * Where documents are computed here, a worker has a second connection with a thread of its own (sender.h): the write of
 * a batch is under way on it while the next batch is read and computed. A pause that the throttle wants is spent with
 * nothing under way, unless it is shorter than a write.
 *
 * A range whose record is not understood (a later version wrote it, or a hand spoilt it) is left for the end: once
 * nothing else is left to be gone through, or to be swept, the worker fails with what is wrong with it, and the job
 * stays.
 *
 * A range is gone through once, and once more when all ranges were (the sweep): what came behind the worker's back is
 * carried over then, in passes until one finds nothing, or the third carried all that it found at the first try.
 */
#ifndef ECL_BACKFILL_WORKER_H
#define ECL_BACKFILL_WORKER_H

#include "backfill/job.h"
#include "backfill/strategy.h"
#include "run/pressure.h"

/* How often a checkpoint is written and the job is looked at, in ms. */
#define ECL_WORKER_EVERY 1000

typedef enum {
   ECL_WORKER_DONE,      /* the job is */
   ECL_WORKER_STOPPED,   /* the world said so, or its time was up; the job goes on */
   ECL_WORKER_CANCELLED, /* somebody ended the job */
   ECL_WORKER_FAILED,
} ecl_worker_end_t;

typedef struct {
   ecl_job_counts_t counts; /* of what this worker did */
   int32_t ranges;          /* that it brought from one state to the next */
   int32_t passes;          /* the most that a range took */
   bool wrote;
   ecl_mode_t mode;                /* how it works now */
   char why[256];                  /* where that is not the job's: why; else "" */
   bool paused;                    /* it waits, because somebody asked for that */
   bool idle;                      /* it waits for others to end */
   double rate;                    /* documents a second, over the last seconds */
   ecl_slow_t slow;                /* what slows it */
   bool stopped;                   /* by it, altogether */
   char slowed[ECL_THROTTLE_TEXT]; /* in words; "" where nothing does */
   double latency;                 /* times the calm time; 0: not known */
   int64_t lag;                    /* ms, as the throttle sees it; negative: not known */
   int64_t batches;                /* that were written */
   int64_t waited[ECL_SLOW_N];     /* ms, per input, in all */
   ecl_worker_end_t end;           /* once it has ended */
} ecl_worker_state_t;

/* What a worker tells, and is told, while it works. Functions may be NULL; they are called in the worker's thread. */
typedef struct {
   void *context;
   /* After each step. */
   void (*progress) (void *context, uint32_t number, const ecl_worker_state_t *state);
   /* Whether a command that was asked for says that it has to wait, and why; true where it has spoken since. */
   bool (*advise) (void *context, uint32_t number, int64_t now, bool *wait, char reason[ECL_THROTTLE_REASON]);
   /* Whether the holder of a claim is known to be dead: then nobody need wait until the claim expires. */
   bool (*dead) (void *context, const char *place, int64_t pid);
   /* Whether the worker is to end, beside what its world says. */
   bool (*stop) (void *context);
   /* Something worth knowing, in a sentence. */
   void (*say) (void *context, uint32_t number, const char *message);
} ecl_watch_t;

/* A job's work, ready for any number of workers. */
typedef struct {
   const ecl_chain_t *chain;
   size_t target;
   bool down;
   ecl_mode_t mode;
   ecl_guard_form_t form;
   const char *always_transaction; /* static storage */
   bool unhinted;                  /* as in backfill.h */
   uint8_t job[12];
   int64_t lease_time, lease_skew;   /* of a range's claim; as in holder.h */
   int64_t until;                    /* by the world's clock; 0: without end */
   uint32_t batch;                   /* documents of the first batch; 0: the throttle's own */
   const ecl_connector_t *connector; /* of the connection that writes while the worker reads; NULL: it waits */
   const ecl_watch_t *watch;         /* may be NULL */
} ecl_task_t;

/* Works until the job is over, or the world says that the run is, or this process turns out not to be fit for it (its
 * user may not write, its project has no way to the target, it does not know such ranges): then it ends with that, and
 * the job stays for others. What is wrong with the migration ends the job for all. site->world and site->upgrades are
 * this worker's alone. number tells workers of one process apart. *state is always filled. */
ecl_worker_end_t
ecl_worker_run (const ecl_task_t *task, const ecl_site_t *site, uint32_t number, ecl_worker_state_t *state,
                bson_error_t *error) ECL_MUST_CHECK;

#endif
