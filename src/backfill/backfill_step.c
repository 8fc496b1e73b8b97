/* The backfill's table of states and its step: what an answer or a failure means for the state that it came to. See
 * backfill.h and backfill-private.h. */
#include "backfill/backfill-private.h"

#include "run/insist.h"

/* ---- the table ---- */

typedef struct {
   void (*enter) (ecl_backfill_t *self);
   void (*reply) (ecl_backfill_t *self, const ecl_event_t *event);
   bool writes;    /* documents: how long it takes is a measure of the server */
   bool majority;  /* done only once the majority has it */
   bool takes_all; /* reply is told of REFUSED and LOST, too; else they are repeated or end the run */
   bool may_fail;  /* its failure changes nothing: go on as if it had been answered */
   bool reads;     /* a cursor that is gone is opened anew; a refusal ends the run */
   bool counts;    /* what it changed is counted as it is answered, though the majority may not have it */
   ecl_txn_t txn;  /* what its command is to a transaction */
   /* Whether an answer says that it could not be done now: that is as if there had been none. NULL: none does. */
   bool (*passing) (const bson_t *reply, bson_error_t *why);
} handler_t;

static const handler_t handlers[ST_N] = {
   [ST_PASS] = {ecl_pass_enter, NULL},
   [ST_WINDOW] = {ecl_window_enter, ecl_window_reply, .takes_all = true, .reads = true},
   [ST_READ] = {ecl_read_enter, ecl_read_reply, .takes_all = true, .reads = true},
   [ST_NEXT] = {ecl_next_enter, NULL},
   [ST_PUSH] = {ecl_push_enter, ecl_push_reply, .writes = true, .majority = true, .takes_all = true},
   [ST_REDO] = {ecl_redo_enter, NULL},
   [ST_LOAD] = {ecl_load_enter, ecl_load_reply, .takes_all = true, .reads = true},
   [ST_WORK] = {ecl_work_enter, NULL},
   [ST_WRITE] = {ecl_write_enter, ecl_write_reply, .writes = true, .majority = true, .takes_all = true, .counts = true},
   [ST_AWAIT] = {ecl_await_enter, NULL},
   [ST_WRITE_ONE] = {ecl_write_enter, ecl_write_reply, .majority = true, .takes_all = true, .counts = true},
   [ST_QUARANTINE] = {ecl_quarantine_enter, ecl_quarantine_reply, .majority = true, .passing = ecl_quarantine_passing},
   [ST_TXN_READ] = {ecl_txn_enter, ecl_txn_reply, .takes_all = true, .txn = ECL_TXN_BEGIN},
   [ST_TXN_WRITE] = {ecl_txn_enter, ecl_txn_reply, .takes_all = true, .txn = ECL_TXN_CONTINUE},
   [ST_TXN_COMMIT] = {ecl_txn_enter, ecl_txn_reply, .writes = true, .takes_all = true, .txn = ECL_TXN_COMMIT},
   [ST_TXN_ABORT] = {ecl_txn_enter, ecl_txn_reply, .takes_all = true, .txn = ECL_TXN_ABORT},
   [ST_KILL] = {ecl_kill_enter, ecl_kill_reply, .may_fail = true},
};

/* ---- step ---- */

/* Same command again after a while, longer each time; false where that was tried often enough. */
static bool
try_again (ecl_backfill_t *self)
{
   if (++self->attempts > MAX_ATTEMPTS) {
      return false;
   }
   self->wait = self->attempts > 6 ? 5000 : (int64_t) 100 << (self->attempts - 1);
   return true;
}

/* ---- writes that the majority does not have yet ----
 *
 * The primary did them, and may lose them again. No checkpoint may stand behind them, so the same command is sent until
 * it comes back without that error: the server lets it wait for all that is before it, and it changes only what was
 * lost meanwhile. Then what the batch holds is read again. */

static void
send_again (ecl_backfill_t *self, const bson_error_t *why)
{
   bson_error_t error = *why;

   self->late = self->resend = true;
   if (self->cancel || self->result.failed || !try_again (self)) {
      self->late = self->resend = false;
      self->result.lost = true;
      ecl_error_prefix (&error, "%s", self->collection);
      ecl_backfill_fail (self, &error);
   }
}

/* ---- failures ---- */

static void
take_failure (ecl_backfill_t *self, const ecl_event_t *event)
{
   const handler_t *handler = &handlers[self->state];
   uint32_t code = event->error ? event->error->code : 0;
   bool lost = event->kind == ECL_EVENT_LOST || ecl_insist_passing (code) ||
               (handler->reads && ecl_scan_gone (code)) || /* opened anew */
               (handler->txn != ECL_TXN_NONE && ecl_insist_aborted (event->reply, code));
   ecl_event_t told = {lost ? ECL_EVENT_LOST : ECL_EVENT_REFUSED, event->reply, event->error};
   bson_error_t error;

   if (event->error && ecl_is_lease_error (event->error)) {
      /* Nothing more may be sent. */
      ecl_backfill_fail (self, event->error);
      self->state = ST_END;
      if (self->flying) {
         ecl_backfill_await (self, ST_END);
      }
      return;
   }
   if (ecl_read_too_long (self, event) || ecl_read_unsized (self, event)) {
      return;
   }
   if (lost && handler->writes && event->kind == ECL_EVENT_REFUSED) {
      bson_strncpy (self->result.refused, event->error->message, sizeof self->result.refused);
   }
   if (self->late && lost) {
      send_again (self, event->error);
      return;
   }
   self->late = false;
   if (handler->may_fail && !lost) {
      handler->reply (self, &told);
      return;
   }
   if ((!lost && (!handler->takes_all || handler->reads || ecl_backfill_hopeless ((int32_t) code))) ||
       (lost && !try_again (self))) {
      error = *event->error;
      self->result.lost = lost;
      if (handler->may_fail) {
         self->state = ST_END;
         return;
      }
      ecl_error_prefix (&error, "%s", self->collection);
      ecl_backfill_fail (self, &error);
      return;
   }
   if (handler->takes_all) {
      handler->reply (self, &told);
   }
}

/* ---- replies ---- */

/* True where the majority does not have it. */
static bool
is_late (const ecl_backfill_t *self, const ecl_event_t *event, bson_error_t *why)
{
   const char *message = "no reason given";
   bson_iter_t iter, child;

   if (!handlers[self->state].majority || !bson_iter_init_find (&iter, event->reply, "writeConcernError")) {
      return false;
   }
   if (bson_iter_recurse (&iter, &child) && bson_iter_find (&child, "errmsg") && BSON_ITER_HOLDS_UTF8 (&child)) {
      message = bson_iter_utf8 (&child, NULL);
   }
   ecl_fail (why, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "the majority did not have a write in time: %s", message);
   return true;
}

static void
take_reply (ecl_backfill_t *self, const ecl_event_t *event)
{
   const handler_t *handler = &handlers[self->state];
   bson_error_t why = {0};
   bool late = is_late (self, event, &why), was_late = self->late;

   if (handler->counts && (late || was_late)) {
      int64_t changed = ecl_store_number (event->reply, "nModified");

      self->result.counts.changed += changed;
      self->pass_changed += changed;
   }
   if (late) {
      send_again (self, &why);
      return;
   }
   if (handler->passing && handler->passing (event->reply, &why)) {
      take_failure (self, &(ecl_event_t){.kind = ECL_EVENT_LOST, .reply = event->reply, .error = &why});
      return;
   }
   self->attempts = 0;
   self->late = false;
   if (handler->writes) {
      *self->result.refused = 0;
   }
   if (was_late && handler->takes_all) {
      ecl_fail (&why, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "the majority did not have a write in time");
      handler->reply (self, &(ecl_event_t){ECL_EVENT_LOST, event->reply, &why});
   } else {
      handler->reply (self, event);
   }
}

/* What was under way is answered, whatever the answer: from here on it is as if it had been sent and waited for. */
static void
land (ecl_backfill_t *self, const ecl_event_t *event)
{
   ecl_backfill_batch_t *batch = &self->batches[self->flying->batch % 2];

   batch->wrote = true;
   batch->ms += event->answered - self->begun_at;
   if (self->batch_through[batch->number % 2]) {
      self->last = *batch;
   }
   self->answered = self->flying;
   self->flying = NULL;
   self->awaits = false;
   self->state = ST_WRITE;
   self->has_command =
      bson_init_static (&self->command, bson_get_data (&self->answered->command), self->answered->command.len);
}

static int64_t
timeout (const ecl_backfill_t *self)
{
   bool looks = self->state == ST_WINDOW || (self->state == ST_READ && self->level == READ_PASS);

   return looks && self->options.read_time ? self->options.read_time : ECL_WORLD_TIMEOUT;
}

void
ecl_backfill_step (ecl_backfill_t *self, const ecl_event_t *event, int64_t now, ecl_action_t *action)
{
   self->now = now;
   if (self->awaits) {
      land (self, event);
   } else if (self->has_command && handlers[self->state].writes && event->kind != ECL_EVENT_WOKE) {
      ecl_backfill_batch_t *batch = &self->batches[self->batch % 2];

      batch->wrote = true;
      batch->ms += now - self->sent_at;
   }
   self->begins = false;
   if (event->kind == ECL_EVENT_REPLY) {
      take_reply (self, event);
   } else if (event->kind == ECL_EVENT_REFUSED || event->kind == ECL_EVENT_LOST) {
      take_failure (self, event);
   }
   memset (action, 0, sizeof *action);
   if (self->has_command && !self->resend) {
      bson_destroy (&self->command);
      self->has_command = false;
   }
   if (self->wait && !self->cancel) {
      action->kind = ECL_ACTION_WAIT;
      action->timeout = self->wait;
      self->wait = 0;
      return;
   }
   self->wait = 0;
   while (self->state != ST_END) {
      if (self->state == ST_READ && self->level == READ_PASS && !self->between) {
         self->between = true;
         action->kind = ECL_ACTION_BETWEEN;
         return;
      }
      if (!self->resend) {
         handlers[self->state].enter (self);
      }
      self->resend = false;
      if (self->has_command) {
         self->sent_at = now;
         action->kind = ECL_ACTION_COMMAND;
         action->command = (ecl_call_t){self->options.database, &self->command, handlers[self->state].txn};
         action->timeout = timeout (self);
         return;
      }
      if (self->begins || self->awaits) {
         action->kind = self->begins ? ECL_ACTION_BEGIN : ECL_ACTION_AWAIT;
         action->command = (ecl_call_t){self->options.database, &self->flying->command, ECL_TXN_NONE};
         action->timeout = ECL_WORLD_TIMEOUT;
         return;
      }
   }
   self->result.ended = true;
   self->result.cancelled = self->cancel && !self->result.failed && !self->through;
   action->kind = ECL_ACTION_DONE;
}
