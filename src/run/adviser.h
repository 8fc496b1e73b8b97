/* Adviser: the command of --throttle-command, asked again and again whether the backfill has to wait.
 *
 * It says wait by any exit status but 0, or by a first line of output that begins with "wait"; what else that line says
 * is the reason. One that takes too long is ended and counts as wait: whoever asks a program wants to be sure. It runs
 * beside the work; nobody waits for it. One per process; it belongs to one thread.
 */
#ifndef ECL_RUN_ADVISER_H
#define ECL_RUN_ADVISER_H

#include "base/child.h"
#include "run/throttle.h"

/* Ms from the end of one run to the next, and how long one may take: less, together, than what it said counts
 * (ECL_THROTTLE_STALE). */
#define ECL_ADVISER_EVERY 2000
#define ECL_ADVISER_LIMIT 10000

typedef struct {
   char *command;
   ecl_child_t child;
   int64_t next;
   char reason[ECL_THROTTLE_REASON];
} ecl_adviser_t;

/* command is copied; NULL: there is none, and it never says anything. */
void
ecl_adviser_init (ecl_adviser_t *self, const char *command);

void
ecl_adviser_cleanup (ecl_adviser_t *self);

/* Starts it where it is time, looks whether it has ended. True where it has spoken: *wait is for ecl_throttle_command,
 * self->reason says why, as one line of UTF-8 ("" where it did not say). */
bool
ecl_adviser_look (ecl_adviser_t *self, const char *const *environment, int64_t now, bool *wait);

#endif
