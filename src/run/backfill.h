/* Backfill: carries a collection to a target, while applications go on writing to it.
 *
 * A state machine: it is told what happened and says what to do next; one thing at a time. It opens no socket, looks at
 * no clock and never sleeps, so that tests and simulators can be its world:
 *
 *    event  START ───────────► step ──► COMMAND (send it and bring the reply)
 *           REPLY, REFUSED,             WAIT    (so many milliseconds, then WOKE)
 *           LOST, WOKE                  DONE    (see the result)
 *
 * The collection is gone through in passes. A pass is one long cursor over the documents that are not at the target, in
 * batches of about a thousand:
 *
 *    pushdown   the batch holds _ids and versions; they are cut into ranges, and each range gets one updateMany per
 *               stored version. A range on which the server fails is done again in client mode. First pass only.
 *    client     the batch holds documents; each is carried over here and written under guard (guard.h), in one update
 *               command. What the reply lacks has changed meanwhile: it is read again, a few times, and then left to
 *               the next pass. What a guard cannot say exactly goes through a transaction.
 *
 * Passes go on until one finds nothing but what cannot be carried over. Those documents stand in eclose_quarantine;
 * records there that the last pass did not write again are removed. A run that finds nothing to do sends no write.
 *
 * It may die at any point: documents say themselves what is done.
 */
#ifndef ECL_RUN_BACKFILL_H
#define ECL_RUN_BACKFILL_H

#include "run/convert.h"
#include "run/world.h"
#include "store/store.h"

typedef enum {
   ECL_MODE_AUTO,
   ECL_MODE_PUSHDOWN,
   ECL_MODE_CLIENT,
} ecl_mode_t;

/* "auto", "pushdown", "client" */
const char *
ecl_mode_name (ecl_mode_t mode);

typedef struct {
   const char *database;
   const ecl_chain_t *chain;
   ecl_upgrades_t *upgrades;
   size_t target;          /* place on the chain */
   bool down;
   ecl_mode_t mode;        /* PUSHDOWN or CLIENT: auto has been decided */
   ecl_guard_form_t form;
   const char *always_transaction; /* as in convert.h */
   bool transactions;      /* the server has them */
   uint8_t job[12];
   const char *host;       /* for the job's record; may be NULL */
   int64_t pid;
   uint32_t batch;         /* documents; 0: 1,000 */
} ecl_backfill_options_t;

typedef enum { ECL_EVENT_START, ECL_EVENT_REPLY, ECL_EVENT_REFUSED, ECL_EVENT_LOST, ECL_EVENT_WOKE } ecl_event_kind_t;

typedef struct {
   ecl_event_kind_t kind;
   const bson_t *reply;       /* REPLY, REFUSED; borrowed for the step */
   const bson_error_t *error; /* REFUSED, LOST */
} ecl_event_t;

typedef enum { ECL_ACTION_COMMAND, ECL_ACTION_WAIT, ECL_ACTION_DONE } ecl_action_kind_t;

typedef struct {
   ecl_action_kind_t kind;
   ecl_call_t command; /* belongs to the machine, until the next step */
   int64_t timeout;       /* ms for the command, or to wait */
} ecl_action_t;

typedef struct {
   bool ended, failed, cancelled;
   bson_error_t error;   /* of a run that failed */
   ecl_mode_t mode;      /* how it works now */
   const char *mode_why; /* set where it fell back; else NULL */
   int64_t total;        /* not at the target when the run began */
   int64_t changed;      /* carried over so far, as far as replies say */
   int64_t pushed;       /* of them by the server */
   int64_t conflicts;    /* times that a document had changed meanwhile */
   int64_t transactions; /* documents that went through one */
   int64_t quarantined;  /* documents of the last pass that could not be carried over */
   int64_t redone;       /* ranges that were pushed down and had to be done again here */
   int32_t passes;
   bool wrote;           /* any write was sent */
} ecl_backfill_result_t;

typedef struct ecl_backfill_t ecl_backfill_t;

/* NULL where there is no way to the target. */
ecl_backfill_t *
ecl_backfill_new (const ecl_backfill_options_t *options, bson_error_t *error);

void
ecl_backfill_destroy (ecl_backfill_t *self);

/* Asks it to end after the batch at hand. */
void
ecl_backfill_cancel (ecl_backfill_t *self);

/* now in ms, of a clock that does not go back. */
void
ecl_backfill_step (ecl_backfill_t *self, const ecl_event_t *event, int64_t now, ecl_action_t *action);

const ecl_backfill_result_t *
ecl_backfill_result (const ecl_backfill_t *self);

/* Runs it to its end in a world. progress (nullable) is called after each step. False where it failed; *error (nullable)
 * says why. */
bool
ecl_backfill_drive (ecl_backfill_t *self, ecl_world_t *world,
                    void (*progress) (void *context, const ecl_backfill_result_t *result), void *context,
                    bson_error_t *error);

#endif
