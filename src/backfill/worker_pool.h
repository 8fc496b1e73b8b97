/* Worker pool: the workers of one process on one job: the first in the caller's thread and world, each other in a
 * thread and a world of its own. */
#ifndef ECL_BACKFILL_WORKER_POOL_H
#define ECL_BACKFILL_WORKER_POOL_H

#include "backfill/worker.h"

/* What is told meanwhile, in the caller's thread; functions may be NULL. */
typedef struct {
   void *context;
   void (*progress) (void *context, const ecl_job_progress_t *progress);
   void (*note) (void *context, const char *message); /* what the first worker has to say, for all of them */
} ecl_worker_pool_listener_t;

/* Works until all of them have ended. *state is what they did together. True where the job is done. task->watch is set
 * here. */
bool
ecl_worker_pool_run (const ecl_site_t *site, ecl_task_t *task, const char *throttle_command, uint32_t workers,
                     const ecl_job_t *job, const ecl_worker_pool_listener_t *listener, ecl_worker_state_t *state,
                     bson_error_t *error) ECL_MUST_CHECK;

#endif
