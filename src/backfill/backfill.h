/* Backfill: carries the documents of a range of _id to a target, while applications go on writing to them.
 *
 * A state machine: it is told what happened and says what to do next; one thing at a time. It opens no socket, looks at
 * no clock and never sleeps, so that tests and simulators can be its world:
 *
 *    event  START ───────────► step ──► COMMAND (send it and bring the reply)
 *           REPLY, REFUSED,             BEGIN   (hand it over to be sent; then WOKE)
 *           LOST, WOKE                  AWAIT   (bring the reply to what was begun)
 *                                       WAIT    (so many milliseconds, then WOKE)
 *                                       BETWEEN (batches: all before ecl_backfill_after is written; then WOKE)
 *                                       DONE    (see the result)
 *
 * The range is gone through in passes. A pass is one long cursor over the documents that are not at the target, in
 * batches whose size may be another each time. Where few are left, that one finds nothing for a long time, and a find
 * that is cut off in the middle has found out nothing: after the first such the pass goes by windows of so many _ids,
 * each with a cursor of its own and done for good when that is at its end.
 *
 *    pushdown   the batch holds _ids and versions; they are cut into ranges, and each range gets one updateMany per
 *               stored version. A range on which the server fails is done again in client mode. First pass only.
 *    client     the batch holds documents; each is carried over here and written under guard (guard.h), in one update
 *               command. What the reply lacks has changed meanwhile: it is read again, a few times, and then left to
 *               the next pass. What a guard cannot say exactly goes through a transaction.
 *
 * Where that is asked for, client mode overlaps: the write of a batch is begun, and while it is under way the next
 * batch is read and computed. There is one write under way at most, so two batches. Its answer is awaited before the
 * next write begins, before anything is read again, before the pass ends, and before the run does, however that comes
 * about. So no document is in two batches at once, and ecl_backfill_after only goes to batches of which all is
 * answered.
 *
 * Passes go on until one finds nothing but what cannot be carried over, or the third or a later one carried all that it
 * found at the first try: an application may go on inserting at an older version, and would be chased without end. Or
 * there is one, where `once` is asked for: who does that looks again later. What cannot be carried over stands in
 * eclose_quarantine. A run that finds nothing to do sends no write.
 *
 * It may die at any point: documents say themselves what is done. Jobs, ranges and who works on them: job.h, worker.h.
 */
#ifndef ECL_BACKFILL_BACKFILL_H
#define ECL_BACKFILL_BACKFILL_H

#include "backfill/convert.h"
#include "run/sender.h"
#include "run/world.h"
#include "store/chunks.h"
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
   size_t target; /* place on the chain */
   bool down;
   ecl_mode_t mode; /* PUSHDOWN or CLIENT: auto has been decided */
   ecl_guard_form_t form;
   const char *always_transaction; /* as in convert.h */
   bool transactions;              /* the server has them */
   uint8_t job[12];                /* for the records in quarantine */
   uint32_t batch;                 /* documents; 0: 1,000 */
   ecl_value_t only;               /* the _id of one document; missing: those of the range. Copied */
   ecl_chunk_range_t range;        /* of _id; all zeros: every document there is. Copied */
   ecl_value_t after;              /* only what comes behind it in the range; missing: all of it. Copied */
   bool once;                      /* one pass */
   bool sizes;                     /* finds ask for sizes, too; documents are read where a find cannot say them */
   bool overlap;                   /* BEGIN and AWAIT are used */
   bool unhinted;                  /* there is no index but that of _id, so that it need not be named to the server */
   int64_t read_time;              /* ms that a find or a getMore of a pass may take; 0: as long as any command */
   uint32_t window;                /* _ids that a find may go over; 0: all, as long as none takes too long */
} ecl_backfill_options_t;

typedef enum { ECL_EVENT_START, ECL_EVENT_REPLY, ECL_EVENT_REFUSED, ECL_EVENT_LOST, ECL_EVENT_WOKE } ecl_event_kind_t;

typedef struct {
   ecl_event_kind_t kind;
   bson_t *reply;             /* REPLY, REFUSED; for the step, which may leave an empty document behind */
   const bson_error_t *error; /* REFUSED, LOST */
   int64_t answered;          /* to AWAIT: when the answer was there */
} ecl_event_t;

typedef enum {
   ECL_ACTION_COMMAND,
   ECL_ACTION_BEGIN,
   ECL_ACTION_AWAIT,
   ECL_ACTION_WAIT,
   ECL_ACTION_BETWEEN,
   ECL_ACTION_DONE,
} ecl_action_kind_t;

typedef struct {
   ecl_action_kind_t kind;
   ecl_call_t command; /* belongs to the machine: until the next step; of BEGIN: until its answer was brought */
   int64_t timeout;    /* ms for the command, or to wait */
} ecl_action_t;

typedef struct {
   bool ended, failed, cancelled;
   bool lost;            /* it failed because the server did not answer for long: worth another try */
   bson_error_t error;   /* of a run that failed */
   ecl_mode_t mode;      /* how it works now */
   const char *mode_why; /* set where it fell back; else NULL */
   ecl_job_counts_t counts;
   int32_t passes;
   bool wrote;      /* any write was sent */
   bool progress;   /* a batch or a window was done */
   uint32_t window; /* as in the options; what turned out to be right */
   /* What the server said of the last write, where it could not take it for now; "" where it could. It is tried again
    * for as long as that takes. */
   char refused[160];
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

/* Documents of the batches from now on; may be called between two batches. */
void
ecl_backfill_resize (ecl_backfill_t *self, uint32_t batch);

/* Between two batches: what is under way is awaited first, and then it is BETWEEN again. False where nothing is. */
bool
ecl_backfill_settle (ecl_backfill_t *self);

/* The last batch of which all is answered. */
typedef struct {
   uint32_t number; /* from 1 on; 0: there is none */
   uint32_t documents;
   uint64_t bytes; /* as they were read: whole documents in client mode or with `sizes`, else _ids and versions */
   bool wrote;
   bool whole; /* bytes are those of the documents */
   int64_t ms; /* that its writes took, each from when it was sent until the majority had it */
} ecl_backfill_batch_t;

const ecl_backfill_batch_t *
ecl_backfill_last (const ecl_backfill_t *self);

/* The _id up to which all of the range is done in this pass; missing: nothing yet. Valid until the next step. */
ecl_value_t
ecl_backfill_after (const ecl_backfill_t *self);

/* now in ms, of a clock that does not go back. */
void
ecl_backfill_step (ecl_backfill_t *self, const ecl_event_t *event, int64_t now, ecl_action_t *action);

/* Less than a window that took too long; 0: there was none. */
uint32_t
ecl_backfill_narrower (uint32_t window);

const ecl_backfill_result_t *
ecl_backfill_result (const ecl_backfill_t *self);

typedef struct {
   void *context;
   ecl_sender_t *sender; /* carries what is begun; needed where it overlaps */
   /* Called between two batches, and before the first; may wait, resize, cancel. False: it ends at once, with what
    * stands in *error. May be NULL. */
   bool (*between) (void *context, ecl_backfill_t *self, bson_error_t *error);
   /* Called after each step: of two batches that are answered one after the other each is the last one once. May be
    * NULL. */
   void (*progress) (void *context, const ecl_backfill_t *self);
} ecl_backfill_hooks_t;

/* Runs it to its end in a world. False where it failed; *error (nullable) says why. */
bool
ecl_backfill_drive (ecl_backfill_t *self, ecl_world_t *world, const ecl_backfill_hooks_t *hooks, bson_error_t *error);

#endif
