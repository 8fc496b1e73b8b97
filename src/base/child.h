/* Child: a short shell command that is run beside the work and never waited for longer than it may take.
 *
 *    ecl_child_start ──► ecl_child_poll, until it says that it ended ──► ecl_child_cleanup
 *
 * It is a process group of its own: what it started ends with it when its time is up. It reads nothing; its standard
 * error is ours; of its standard output the first line is kept. Times are ms of any clock, the same in every call.
 */
#ifndef ECL_BASE_CHILD_H
#define ECL_BASE_CHILD_H

#include "base/error.h"

#include <sys/types.h>

#define ECL_CHILD_LINE 256

/* The status of one that somebody else has reaped (or nobody: SIGCHLD is ignored): it counts as failed. */
#define ECL_CHILD_UNKNOWN 255

typedef enum {
   ECL_CHILD_RUNS,
   ECL_CHILD_ENDED, /* by itself: status is its exit status, or 128 and the signal */
   ECL_CHILD_LATE,  /* it was killed: its time was up */
} ecl_child_state_t;

typedef struct {
   pid_t pid; /* 0: none runs */
   int output;
   int64_t deadline;
   int status;
   bool late;
   size_t n;
   char line[ECL_CHILD_LINE]; /* the first line of its output, cut where it is longer */
} ecl_child_t;

/* command goes to /bin/sh -c; environment is a list of "NAME=value" ended by NULL, put over that of eclose; may be
 * NULL. limit is how long it may take. False where no process could be made. */
bool
ecl_child_start (ecl_child_t *self, const char *command, const char *const *environment, int64_t now, int64_t limit,
                 bson_error_t *error) ECL_MUST_CHECK;

/* Looks, and does not wait. Once it has said how it ended there is nothing to clean up. */
ecl_child_state_t
ecl_child_poll (ecl_child_t *self, int64_t now);

/* Ends it if it still runs. */
void
ecl_child_cleanup (ecl_child_t *self);

static inline bool
ecl_child_runs (const ecl_child_t *self)
{
   return self->pid > 0;
}

#endif
