/* Adviser: the command of --throttle-command, asked again and again whether the backfill has to wait.
 *
 * It says wait by any exit status but 0, or by a first line of output that begins with "wait"; what else that line says
 * is the reason. One that takes too long is ended and counts as wait: whoever asks a program wants to be sure. It runs
 * beside the work; nobody waits for it. One per process.
 *
 * ecl_adviser_t belongs to one thread. ecl_shared_adviser_t is for several: whoever of them comes by looks after the
 * command, and all hear what it said, so that it is asked as long as anybody works.
 */
#ifndef ECL_BACKFILL_ADVISER_H
#define ECL_BACKFILL_ADVISER_H

#include "base/child.h"
#include "run/throttle.h"

#include <pthread.h>

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
ecl_adviser_look (ecl_adviser_t *self, int64_t now, bool *wait);

typedef struct {
   ecl_adviser_t adviser;
   pthread_mutex_t lock; /* of all here */
   uint32_t asker;       /* whose thread began the one that runs */
   uint32_t spoken;      /* how often it has */
   bool wait;
} ecl_shared_adviser_t;

void
ecl_shared_adviser_init (ecl_shared_adviser_t *self, const char *command);

void
ecl_shared_adviser_cleanup (ecl_shared_adviser_t *self);

/* As ecl_adviser_look, for worker `number`. *heard is how often the command had spoken when this worker last asked: the
 * worker keeps it, and begins with 0. True where it has spoken since. */
bool
ecl_shared_adviser_look (ecl_shared_adviser_t *self, uint32_t number, uint32_t *heard, int64_t now, bool *wait,
                         char reason[ECL_THROTTLE_REASON]);

/* The thread of that worker ends, and a command that it began would with it (child.c): the next one asks again. */
void
ecl_shared_adviser_leave (ecl_shared_adviser_t *self, uint32_t number);

#endif
