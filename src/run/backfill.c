/* The backfill's states that read, begin and end; step and drive. See backfill.h and backfill-private.h. */
#include "run/backfill-private.h"

#include "run/survey.h"
#include "upgrade/append.h"
#include "upgrade/loads.h"

const char *
ecl_mode_name (ecl_mode_t mode)
{
   static const char *const names[] = {"auto", "pushdown", "client"};

   return names[mode];
}

/* ---- life ---- */

ecl_backfill_t *
ecl_backfill_new (const ecl_backfill_options_t *options, bson_error_t *error)
{
   ecl_convert_options_t convert = {.upgrades = options->upgrades,
                                    .chain = options->chain,
                                    .target = options->target,
                                    .down = options->down,
                                    .form = options->form,
                                    .always_transaction = options->always_transaction};
   ecl_converter_t *converter = ecl_converter_new (&convert, error);
   ecl_backfill_t *self;

   if (!converter) {
      return NULL;
   }
   self = BSON_ALIGNED_ALLOC0 (ecl_backfill_t);
   self->options = *options;
   self->options.batch = options->batch ? options->batch : DEFAULT_BATCH;
   self->converter = converter;
   if (ecl_chain_looks_up (options->chain, options->target, options->down)) {
      self->lookups = ecl_lookups_new (options->upgrades, ecl_converter_upgrader (converter));
   }
   self->collection = options->chain->collection;
   self->result.mode = options->mode == ECL_MODE_PUSHDOWN ? ECL_MODE_PUSHDOWN : ECL_MODE_CLIENT;
   self->state = ST_TIME;
   ecl_survey_candidates (options->chain, options->target, options->down, &self->candidates);
   for (int i = 0; i < N_READERS; i++) {
      ecl_scan_init (&self->readers[i]);
   }
   ecl_scan_init (&self->txn_reader);
   ecl_arena_init (&self->arena);
   ecl_arena_init (&self->push_arena);
   self->pushed = bson_malloc0 ((options->chain->n_steps + 1) * sizeof *self->pushed);
   bson_init (&self->updates);
   bson_init (&self->again);
   ecl_backfill_reserve (self, self->options.batch);
   return self;
}

void
ecl_backfill_destroy (ecl_backfill_t *self)
{
   if (!self) {
      return;
   }
   for (size_t i = 0; i <= self->options.chain->n_steps; i++) {
      if (self->pushed[i].ready) {
         bson_destroy (&self->pushed[i].filter);
         bson_destroy (&self->pushed[i].pipeline);
      }
   }
   bson_free (self->pushed);
   for (int i = 0; i < N_READERS; i++) {
      ecl_scan_cleanup (&self->readers[i]);
   }
   if (self->has_command) {
      bson_destroy (&self->command);
   }
   ecl_scan_cleanup (&self->txn_reader);
   if (self->quarantining) {
      if (!self->quarantine_closed) {
         ecl_quarantine_end (&self->quarantine);
      }
      bson_destroy (&self->quarantine_command);
   }
   bson_destroy (&self->updates);
   bson_destroy (&self->again);
   bson_destroy (&self->candidates);
   bson_free (self->sent);
   bson_free (self->txn);
   bson_free (self->item_failed);
   ecl_arena_cleanup (&self->arena);
   ecl_arena_cleanup (&self->push_arena);
   ecl_converter_destroy (self->converter);
   ecl_lookups_destroy (self->lookups);
   bson_free (self);
}

void
ecl_backfill_cancel (ecl_backfill_t *self)
{
   self->cancel = true;
}

const ecl_backfill_result_t *
ecl_backfill_result (const ecl_backfill_t *self)
{
   return &self->result;
}

/* ---- helpers ---- */

void
ecl_backfill_reserve (ecl_backfill_t *self, uint32_t n)
{
   if (n <= self->cap_items) {
      return;
   }
   self->cap_items = n;
   self->sent = bson_realloc (self->sent, n * sizeof *self->sent);
   self->txn = bson_realloc (self->txn, n * sizeof *self->txn);
   self->item_failed = bson_realloc (self->item_failed, n * sizeof *self->item_failed);
}

void
ecl_backfill_fail (ecl_backfill_t *self, const bson_error_t *error)
{
   if (!self->result.failed) {
      self->result.failed = true;
      self->result.error = *error;
   }
   self->state = ST_KILL;
}

bool
ecl_backfill_transient (int32_t code)
{
   /* HostUnreachable, HostNotFound, LockTimeout, MaxTimeMSExpired, NetworkTimeout, ShutdownInProgress, WriteConflict,
    * LockBusy, PrimarySteppedDown, ExceededTimeLimit, NetworkInterfaceExceededTimeLimit, SocketException,
    * NotWritablePrimary, InterruptedAtShutdown, Interrupted, InterruptedDueToReplStateChange, NotPrimaryNoSecondaryOk,
    * NotPrimaryOrSecondary, StaleConfig */
   static const int32_t codes[] = {6,   7,   24,    50,    89,    91,    112,   46,    189,  262,
                                   202, 9001, 10107, 11600, 11601, 11602, 13435, 13436, 13388};

   for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
      if (codes[i] == code) {
         return true;
      }
   }
   return false;
}

bool
ecl_backfill_hopeless (int32_t code)
{
   /* Unauthorized, AuthenticationFailed, CommandNotFound, InvalidNamespace, CommandNotSupportedOnView, AtlasError */
   return code == 13 || code == 18 || code == 59 || code == 73 || code == 166 || code == 8000;
}

int64_t
ecl_backfill_number (const bson_t *reply, const char *key)
{
   bson_iter_t iter;

   return bson_iter_init_find (&iter, reply, key) && BSON_ITER_HOLDS_NUMBER (&iter) ? bson_iter_as_int64 (&iter) : 0;
}

bool
ecl_backfill_errors (const bson_t *reply, bson_iter_t *errors)
{
   bson_iter_t iter;

   return bson_iter_init_find (&iter, reply, "writeErrors") && BSON_ITER_HOLDS_ARRAY (&iter) &&
          bson_iter_recurse (&iter, errors);
}

bool
ecl_backfill_next_error (bson_iter_t *errors, int32_t *index, int32_t *code, const char **message)
{
   bson_iter_t error;

   *index = -1;
   *code = 0;
   *message = "";
   if (!bson_iter_next (errors)) {
      return false;
   }
   if (BSON_ITER_HOLDS_DOCUMENT (errors) && bson_iter_recurse (errors, &error)) {
      while (bson_iter_next (&error)) {
         if (BSON_ITER_IS_KEY (&error, "index") && BSON_ITER_HOLDS_NUMBER (&error)) {
            *index = (int32_t) bson_iter_as_int64 (&error);
         } else if (BSON_ITER_IS_KEY (&error, "code") && BSON_ITER_HOLDS_NUMBER (&error)) {
            *code = (int32_t) bson_iter_as_int64 (&error);
         } else if (BSON_ITER_IS_KEY (&error, "errmsg") && BSON_ITER_HOLDS_UTF8 (&error)) {
            *message = bson_iter_utf8 (&error, NULL);
         }
      }
   }
   return true;
}

void
ecl_backfill_again (ecl_backfill_t *self, const ecl_value_t *id)
{
   char buffer[16];
   const char *key;

   bson_uint32_to_string (self->n_again++, &key, buffer, sizeof buffer);
   ecl_append_value (&self->again, key, id);
}

void
ecl_backfill_among (ecl_backfill_t *self, const ecl_value_t *ids, bson_t *filter)
{
   bson_t and;

   bson_init (filter);
   BSON_APPEND_ARRAY_BEGIN (filter, "$and", &and);
   ecl_append_value (&and, "0", ids);
   BSON_APPEND_DOCUMENT (&and, "1", &self->candidates);
   bson_append_array_end (filter, &and);
}

void
ecl_backfill_update_begin (ecl_backfill_t *self, bool concern, bson_t *statements)
{
   bson_t child;

   bson_init (&self->command);
   self->has_command = true;
   BSON_APPEND_UTF8 (&self->command, "update", self->collection);
   BSON_APPEND_BOOL (&self->command, "ordered", false);
   if (concern) {
      BSON_APPEND_DOCUMENT_BEGIN (&self->command, "writeConcern", &child);
      BSON_APPEND_UTF8 (&child, "w", "majority");
      BSON_APPEND_INT32 (&child, "wtimeout", ECL_STORE_WTIMEOUT);
      bson_append_document_end (&self->command, &child);
   }
   BSON_APPEND_ARRAY_BEGIN (&self->command, "updates", statements);
}

void
ecl_backfill_update_end (ecl_backfill_t *self, bson_t *statements)
{
   bson_append_array_end (&self->command, statements);
}

/* ---- before and after a pass ---- */

static void
enter_time (ecl_backfill_t *self)
{
   bson_init (&self->command);
   self->has_command = true;
   BSON_APPEND_INT32 (&self->command, "hello", 1);
}

static void
begin_pass (ecl_backfill_t *self)
{
   ecl_scan_t *reader = &self->readers[READ_PASS];

   self->result.passes++;
   self->pass_changed = self->pass_failed = self->pass_left = 0;
   self->pushing = self->result.mode == ECL_MODE_PUSHDOWN && !self->pushed_through;
   self->level = READ_PASS;
   self->n_again = 0;
   bson_reinit (&self->again);
   self->n_txn = self->txn_at = 0;
   ecl_scan_start (reader, &self->candidates, true);
   if (self->pushing) {
      reader->fields[0] = "_id";
      reader->fields[1] = self->options.chain->version_field;
   }
   self->state = ST_READ;
}

static void
reply_time (ecl_backfill_t *self, const ecl_event_t *event)
{
   bson_iter_t iter;

   if (bson_iter_init_find (&iter, event->reply, "localTime") && BSON_ITER_HOLDS_DATE_TIME (&iter)) {
      self->pass_time = bson_iter_date_time (&iter);
   }
   if (self->counted) {
      begin_pass (self);
   } else {
      self->state = ST_COUNT;
   }
}

static void
enter_count (ecl_backfill_t *self)
{
   bson_t pipeline, stage, cursor;

   bson_init (&self->command);
   self->has_command = true;
   BSON_APPEND_UTF8 (&self->command, "aggregate", self->collection);
   BSON_APPEND_ARRAY_BEGIN (&self->command, "pipeline", &pipeline);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
   BSON_APPEND_DOCUMENT (&stage, "$match", &self->candidates);
   bson_append_document_end (&pipeline, &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "1", &stage);
   BSON_APPEND_UTF8 (&stage, "$count", "n");
   bson_append_document_end (&pipeline, &stage);
   bson_append_array_end (&self->command, &pipeline);
   BSON_APPEND_DOCUMENT_BEGIN (&self->command, "cursor", &cursor);
   bson_append_document_end (&self->command, &cursor);
   ecl_store_read_concern (&self->command);
}

static void
reply_count (ecl_backfill_t *self, const ecl_event_t *event)
{
   bson_iter_t iter, n;

   if (bson_iter_init (&iter, event->reply) && bson_iter_find_descendant (&iter, "cursor.firstBatch.0.n", &n) &&
       BSON_ITER_HOLDS_NUMBER (&n)) {
      self->result.total = bson_iter_as_int64 (&n);
   }
   self->counted = true;
   if (self->result.total == 0) {
      self->state = ST_STALE;
   } else {
      begin_pass (self);
   }
}

static void
next_pass (ecl_backfill_t *self)
{
   bson_error_t error;

   self->idle_passes = self->pass_changed ? 0 : self->idle_passes + 1;
   if (self->idle_passes >= MAX_IDLE_PASSES) {
      ecl_fail (&error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
                "%s: %d passes in a row could write none of the %lld documents that are not at the target",
                self->collection, self->idle_passes,
                (long long) (self->readers[READ_PASS].seen - self->pass_failed));
      ecl_backfill_fail (self, &error);
      return;
   }
   self->state = ST_TIME;
}

/* The pass is through: another one, unless it found nothing but what cannot be carried over. */
static void
end_pass (ecl_backfill_t *self)
{
   self->result.quarantined = self->pass_failed;
   if (self->pushing) {
      self->pushed_through = true;
   } else if (self->readers[READ_PASS].seen <= self->pass_failed && self->pass_left == 0) {
      self->state = ST_STALE;
      return;
   }
   next_pass (self);
}

/* ---- reading ---- */

static void
enter_read (ecl_backfill_t *self)
{
   ecl_scan_command (&self->readers[self->level], self->collection, self->options.batch, &self->command);
   self->has_command = true;
}

static void
reply_read (ecl_backfill_t *self, const ecl_event_t *event)
{
   ecl_scan_t *reader = &self->readers[self->level];
   bson_error_t error;

   if (event->kind != ECL_EVENT_REPLY) {
      /* A cursor that went away: what it had not brought is read by a new one. */
      if (self->level == READ_PASS && reader->opened) {
         ecl_scan_restart (reader);
         next_pass (self);
      } else {
         ecl_scan_restart (reader);
      }
      return;
   }
   if (!ecl_scan_take (reader, event->reply, &error)) {
      ecl_backfill_fail (self, &error);
      return;
   }
   ecl_backfill_reserve (self, reader->n);
   ecl_load_batch (self);
   if (self->level == READ_PASS && self->pushing) {
      ecl_push_start (self);
      self->state = ST_PUSH;
   } else {
      self->state = ST_NEXT;
   }
}

static void
read_again (ecl_backfill_t *self)
{
   bson_t filter, and, branch, in;

   bson_init (&filter);
   BSON_APPEND_ARRAY_BEGIN (&filter, "$and", &and);
   BSON_APPEND_DOCUMENT_BEGIN (&and, "0", &branch);
   BSON_APPEND_DOCUMENT_BEGIN (&branch, "_id", &in);
   BSON_APPEND_ARRAY (&in, "$in", &self->again);
   bson_append_document_end (&branch, &in);
   bson_append_document_end (&and, &branch);
   BSON_APPEND_DOCUMENT (&and, "1", &self->candidates);
   bson_append_array_end (&filter, &and);
   ecl_scan_start (&self->readers[READ_AGAIN], &filter, false);
   bson_destroy (&filter);
   bson_reinit (&self->again);
   self->n_again = 0;
   self->rounds++;
   self->level = READ_AGAIN;
   self->state = ST_READ;
}

static void
enter_next (ecl_backfill_t *self)
{
   ecl_scan_t *reader = &self->readers[self->level];

   if (self->quarantining && (self->quarantine.n >= self->options.batch || self->quarantine.size > MAX_QUARANTINE)) {
      self->after_quarantine = ST_NEXT;
      self->state = ST_QUARANTINE;
   } else if (self->lookups && ecl_lookups_waits (self->lookups)) {
      self->state = ST_LOAD;
   } else if (self->txn_at < self->n_txn) {
      self->state = ST_TXN_READ;
   } else if (self->n_again && self->level != READ_AGAIN) {
      self->back = self->level;
      self->rounds = 0;
      read_again (self);
   } else if (reader->at < reader->n) {
      self->state = self->lookups ? ST_LOAD : ST_WORK;
   } else if (reader->cursor) {
      self->state = ST_READ;
      if (self->cancel) {
         self->after_quarantine = ST_KILL;
         self->state = self->quarantining ? ST_QUARANTINE : ST_KILL;
      } else if (self->job_begun && self->now - self->last_seen >= SEEN_MS) {
         self->after_job = ST_READ;
         self->state = ST_JOB_SEEN;
      }
   } else if (self->level == READ_AGAIN) {
      if (self->n_again && self->rounds < MAX_ROUNDS) {
         read_again (self);
      } else {
         if (self->n_again && ecl_backfill_gives_up (self)) {
            ecl_again_quarantine (self);
         } else {
            self->pass_left += self->n_again;
         }
         self->n_again = 0;
         bson_reinit (&self->again);
         self->level = self->back;
         ecl_load_batch (self);
      }
   } else if (self->level == READ_REDO) {
      ecl_redo_done (self);
   } else if (self->quarantining) {
      self->after_quarantine = ST_NEXT;
      self->state = ST_QUARANTINE;
   } else if (self->cancel) {
      self->state = ST_KILL;
   } else {
      end_pass (self);
   }
}

/* ---- the job's record ---- */

static void
make_job (ecl_backfill_t *self, const char *state, bool begin, bool ended)
{
   const ecl_chain_t *chain = self->options.chain;
   char to[ECL_VERSION_TEXT];
   ecl_job_t job = {.kind = self->options.down ? "down" : "up",
                    .collection = self->collection,
                    .to = ecl_version_text (chain->format, ecl_chain_version (chain, self->options.target), to),
                    .mode = ecl_mode_name (self->result.mode),
                    .state = state,
                    .host = self->options.host,
                    .pid = self->options.pid,
                    .total = self->result.total,
                    .changed = self->result.changed,
                    .conflicts = self->result.conflicts,
                    .quarantined = self->result.quarantined,
                    .error = self->result.failed ? self->result.error.message : NULL};

   memcpy (job.id, self->options.job, sizeof job.id);
   ecl_job_write (&job, begin, ended, &self->command);
   self->has_command = true;
   self->last_seen = self->now;
   self->result.wrote = true;
}

static void
enter_job_begin (ecl_backfill_t *self)
{
   make_job (self, "running", true, false);
}

static void
enter_job_seen (ecl_backfill_t *self)
{
   make_job (self, "running", false, false);
}

static void
reply_job (ecl_backfill_t *self, const ecl_event_t *event)
{
   (void) event;
   self->job_begun = true;
   self->state = self->after_job;
}

static void
enter_stale (ecl_backfill_t *self)
{
   ecl_quarantine_stale (self->collection, self->pass_time, &self->command);
   self->has_command = true;
}

static void
reply_stale (ecl_backfill_t *self, const ecl_event_t *event)
{
   bson_iter_t iter, first;

   self->state = bson_iter_init (&iter, event->reply) &&
                       bson_iter_find_descendant (&iter, "cursor.firstBatch.0._id", &first)
                    ? ST_FORGET
                    : ST_KILL;
}

static void
enter_forget (ecl_backfill_t *self)
{
   ecl_quarantine_forget (self->collection, self->pass_time, &self->command);
   self->has_command = true;
   self->result.wrote = true;
}

static void
reply_forget (ecl_backfill_t *self, const ecl_event_t *event)
{
   (void) event;
   self->state = ST_KILL;
}

static void
enter_kill (ecl_backfill_t *self)
{
   for (int i = 0; i < N_READERS; i++) {
      ecl_scan_t *reader = &self->readers[i];
      bson_t cursors;

      if (reader->opened && reader->cursor) {
         bson_init (&self->command);
         self->has_command = true;
         BSON_APPEND_UTF8 (&self->command, "killCursors", self->collection);
         BSON_APPEND_ARRAY_BEGIN (&self->command, "cursors", &cursors);
         BSON_APPEND_INT64 (&cursors, "0", reader->cursor);
         bson_append_array_end (&self->command, &cursors);
         reader->cursor = 0;
         return;
      }
   }
   self->state = self->job_begun ? ST_JOB_END : ST_END;
}

static void
reply_kill (ecl_backfill_t *self, const ecl_event_t *event)
{
   (void) self;
   (void) event;
}

static void
enter_job_end (ecl_backfill_t *self)
{
   make_job (self, self->result.failed ? "failed" : self->cancel ? "cancelled" : "done", false, true);
}

static void
reply_job_end (ecl_backfill_t *self, const ecl_event_t *event)
{
   (void) event;
   self->state = ST_END;
}

/* ---- the table ---- */

typedef struct {
   void (*enter) (ecl_backfill_t *self);
   void (*reply) (ecl_backfill_t *self, const ecl_event_t *event);
   bool writes;     /* the job's record comes first */
   bool takes_all;  /* reply is told of REFUSED and LOST, too; else they are repeated or end the run */
   bool may_fail;   /* its failure changes nothing: go on as if it had been answered */
} handler_t;

static const handler_t handlers[ST_N] = {
   [ST_TIME] = {enter_time, reply_time},
   [ST_COUNT] = {enter_count, reply_count},
   [ST_READ] = {enter_read, reply_read, .takes_all = true},
   [ST_NEXT] = {enter_next, NULL},
   [ST_PUSH] = {ecl_push_enter, ecl_push_reply, .writes = true, .takes_all = true},
   [ST_REDO] = {ecl_redo_enter, NULL},
   [ST_LOAD] = {ecl_load_enter, ecl_load_reply, .takes_all = true},
   [ST_WORK] = {ecl_work_enter, NULL},
   [ST_WRITE] = {ecl_write_enter, ecl_write_reply, .writes = true, .takes_all = true},
   [ST_WRITE_ONE] = {ecl_write_enter, ecl_write_reply, .writes = true, .takes_all = true},
   [ST_QUARANTINE] = {ecl_quarantine_enter, ecl_quarantine_reply, .writes = true},
   [ST_TXN_READ] = {ecl_txn_enter, ecl_txn_reply, .writes = true, .takes_all = true},
   [ST_TXN_WRITE] = {ecl_txn_enter, ecl_txn_reply, .takes_all = true},
   [ST_TXN_COMMIT] = {ecl_txn_enter, ecl_txn_reply, .takes_all = true},
   [ST_TXN_ABORT] = {ecl_txn_enter, ecl_txn_reply, .takes_all = true},
   [ST_JOB_BEGIN] = {enter_job_begin, reply_job},
   [ST_JOB_SEEN] = {enter_job_seen, reply_job},
   [ST_STALE] = {enter_stale, reply_stale},
   [ST_FORGET] = {enter_forget, reply_forget, .writes = true},
   [ST_KILL] = {enter_kill, reply_kill, .may_fail = true},
   [ST_JOB_END] = {enter_job_end, reply_job_end, .may_fail = true},
};

/* ---- step ---- */

static ecl_txn_t
txn_of (state_t state)
{
   switch (state) {
   case ST_TXN_READ:
      return ECL_TXN_BEGIN;
   case ST_TXN_WRITE:
      return ECL_TXN_CONTINUE;
   case ST_TXN_COMMIT:
      return ECL_TXN_COMMIT;
   case ST_TXN_ABORT:
      return ECL_TXN_ABORT;
   default:
      return ECL_TXN_NONE;
   }
}

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

static void
take_failure (ecl_backfill_t *self, const ecl_event_t *event)
{
   const handler_t *handler = &handlers[self->state];
   bool reads = self->state == ST_READ || self->state == ST_LOAD;
   int32_t code = event->error ? (int32_t) event->error->code : 0;
   /* A cursor that is gone (CursorNotFound, QueryPlanKilled, CursorKilled) is opened anew. */
   bool lost = event->kind == ECL_EVENT_LOST || ecl_backfill_transient (code) ||
               (reads && (code == 43 || code == 175 || code == 237));
   ecl_event_t told = {lost ? ECL_EVENT_LOST : ECL_EVENT_REFUSED, event->reply, event->error};
   bson_error_t error;

   if (handler->may_fail && !lost) {
      handler->reply (self, &told);
      return;
   }
   if ((!lost && (!handler->takes_all || reads || ecl_backfill_hopeless (code))) ||
       (lost && !try_again (self))) {
      error = *event->error;
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

void
ecl_backfill_step (ecl_backfill_t *self, const ecl_event_t *event, int64_t now, ecl_action_t *action)
{
   self->now = now;
   if (event->kind == ECL_EVENT_REPLY) {
      self->attempts = 0;
      handlers[self->state].reply (self, event);
   } else if (event->kind == ECL_EVENT_REFUSED || event->kind == ECL_EVENT_LOST) {
      take_failure (self, event);
   }
   memset (action, 0, sizeof *action);
   if (self->has_command) {
      bson_destroy (&self->command);
      self->has_command = false;
   }
   if (self->wait && !(self->cancel && self->state != ST_JOB_END)) {
      action->kind = ECL_ACTION_WAIT;
      action->timeout = self->wait;
      self->wait = 0;
      return;
   }
   self->wait = 0;
   while (self->state != ST_END) {
      state_t state = self->state;

      if (handlers[state].writes && !self->job_begun) {
         self->after_job = state;
         self->state = state = ST_JOB_BEGIN;
      }
      handlers[state].enter (self);
      if (self->has_command) {
         action->kind = ECL_ACTION_COMMAND;
         action->command = (ecl_call_t){self->options.database, &self->command, txn_of (self->state)};
         action->timeout = ECL_WORLD_TIMEOUT;
         return;
      }
   }
   self->result.ended = true;
   self->result.cancelled = self->cancel && !self->result.failed;
   action->kind = ECL_ACTION_DONE;
}

/* ---- drive ---- */

bool
ecl_backfill_drive (ecl_backfill_t *self, ecl_world_t *world,
                    void (*progress) (void *context, const ecl_backfill_result_t *result), void *context,
                    bson_error_t *error)
{
   ecl_event_t event = {.kind = ECL_EVENT_START};
   bson_error_t failure;
   ecl_action_t action;
   bson_t reply;

   bson_init (&reply);
   for (;;) {
      if (world->cancelled (world)) {
         ecl_backfill_cancel (self);
      }
      ecl_backfill_step (self, &event, world->now (world), &action);
      bson_destroy (&reply);
      bson_init (&reply);
      if (progress) {
         progress (context, &self->result);
      }
      if (action.kind == ECL_ACTION_DONE) {
         break;
      }
      if (action.kind == ECL_ACTION_WAIT) {
         (void) world->wait (world, action.timeout);
         event = (ecl_event_t){.kind = ECL_EVENT_WOKE};
         continue;
      }
      bson_destroy (&reply);
      switch (world->run_command (world, &action.command, world->now (world) + action.timeout, &reply, &failure)) {
      case ECL_REPLY_OK:
         event.kind = ECL_EVENT_REPLY;
         break;
      case ECL_REPLY_REFUSED:
         event.kind = ECL_EVENT_REFUSED;
         break;
      default:
         event.kind = ECL_EVENT_LOST;
      }
      event.reply = &reply;
      event.error = &failure;
   }
   bson_destroy (&reply);
   if (self->result.failed && error) {
      *error = self->result.error;
   }
   return !self->result.failed;
}
