/* The backfill's states that read, begin and end: see backfill.h and backfill-private.h. */
#include "backfill/backfill-private.h"

#include "bson/append.h"
#include "run/insist.h"

/* ---- passes ---- */

/* What is done, or under way: if that comes to nothing, its documents are among those that are read again. */
static ecl_value_t
behind (const ecl_backfill_t *self)
{
   const bson_t *last = bson_empty (&self->ahead) ? &self->after : &self->ahead;
   ecl_value_t root = ecl_raw_document (bson_get_data (last), last->len);

   return ecl_document_get (&root, "id", 2);
}

/* Of the window; missing: that of the range. */
static ecl_value_t
end_of (const ecl_backfill_t *self)
{
   ecl_value_t root = ecl_raw_document (bson_get_data (&self->end), self->end.len);

   return ecl_document_get (&root, "id", 2);
}

/* Begins to read, or goes on behind what is done. */
static void
start_reading (ecl_backfill_t *self)
{
   ecl_scan_t *reader = &self->readers[READ_PASS];
   ecl_value_t after = behind (self), end = end_of (self);
   bson_t range, filter, and;
   int64_t seen = reader->seen;

   ecl_chunk_filter (&self->options.range, &after, &end, &range);
   if (bson_empty (&range)) {
      ecl_scan_start (reader, &self->candidates, true);
   } else {
      bson_init (&filter);
      BSON_APPEND_ARRAY_BEGIN (&filter, "$and", &and);
      BSON_APPEND_DOCUMENT (&and, "0", &range);
      BSON_APPEND_DOCUMENT (&and, "1", &self->candidates);
      bson_append_array_end (&filter, &and);
      ecl_scan_start (reader, &filter, true);
      bson_destroy (&filter);
   }
   bson_destroy (&range);
   reader->seen = seen;
   reader->hinted = !self->options.unhinted || (self->options.range.types & ECL_IDS_BINARY);
   self->brought = false;
   if (self->pushing && !self->unsized) {
      reader->fields[0] = "_id";
      reader->fields[1] = self->options.chain->version_field;
      reader->sizes = self->options.sizes;
   }
}

static void
forget_window (ecl_backfill_t *self)
{
   bson_reinit (&self->end);
   self->windowed = false;
   self->longest = 0;
}

void
ecl_pass_enter (ecl_backfill_t *self)
{
   if (self->result.passes) {
      bson_reinit (&self->after);
   }
   bson_reinit (&self->ahead);
   self->result.passes++;
   self->pass_changed = self->pass_failed = self->pass_left = 0;
   self->pass_again = false;
   self->pushing = self->result.mode == ECL_MODE_PUSHDOWN && !self->pushed_through;
   self->level = READ_PASS;
   self->n_again = 0;
   bson_reinit (&self->again);
   self->n_txn = self->txn_at = 0;
   self->readers[READ_PASS].seen = 0;
   forget_window (self);
   start_reading (self);
   self->state = ST_READ;
}

static void
next_pass (ecl_backfill_t *self)
{
   bson_error_t error;

   self->idle_passes = self->pass_changed ? 0 : self->idle_passes + 1;
   if (self->idle_passes >= MAX_IDLE_PASSES) {
      ecl_fail (&error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
                "%s: %d passes in a row could write none of the %lld documents that are not at the target",
                self->collection, self->idle_passes, (long long) (self->readers[READ_PASS].seen - self->pass_failed));
      ecl_backfill_fail (self, &error);
      return;
   }
   self->state = ST_PASS;
}

/* The pass is through: another one, unless it found nothing but what cannot be carried over. Where an application goes
 * on inserting at an older version each pass finds some. What was there when one began is at the target even so, if all
 * of it was carried at the first try: that is what is promised, and more of them only chase the application. */
static void
end_pass (ecl_backfill_t *self)
{
   bool nothing = self->readers[READ_PASS].seen <= self->pass_failed;
   bool enough = self->result.passes >= ENOUGH_PASSES && !self->pass_again;

   self->result.counts.quarantined = self->pass_failed;
   if (self->options.once || (!self->pushing && (nothing || enough) && self->pass_left == 0)) {
      self->through = true;
      self->state = ST_KILL;
      return;
   }
   self->pushed_through = self->pushed_through || self->pushing;
   next_pass (self);
}

/* ---- windows ---- */

static int64_t
read_limit (const ecl_backfill_t *self)
{
   return self->options.read_time ? self->options.read_time : ECL_WORLD_TIMEOUT;
}

/* A look of the window. */
static void
took (ecl_backfill_t *self)
{
   self->longest = BSON_MAX (self->longest, self->now - self->sent_at);
}

/* Whether the last look took longer than it was given: not every server keeps to that. */
static bool
outlasted (const ecl_backfill_t *self)
{
   return ecl_is_missing (&self->options.only) && self->now - self->sent_at > read_limit (self);
}

/* Makes the window smaller: to what fits into a quarter of the time at the pace of the last look. */
static void
narrow (ecl_backfill_t *self)
{
   int64_t fit = self->result.window * read_limit (self) / (4 * BSON_MAX (self->now - self->sent_at, 1));
   uint32_t less = ecl_backfill_narrower (self->result.window);

   self->result.window = outlasted (self) && self->result.window && fit < less ? BSON_MAX ((uint32_t) fit, 1) : less;
}

/* No answer, several times in a row: the server may be away; or something on the way to it does not wait so long, and
 * then smaller looks help. */
static void
lost_again (ecl_backfill_t *self)
{
   if (self->attempts > LOST_LOOKS && ecl_is_missing (&self->options.only) && self->result.window != 1) {
      narrow (self);
      forget_window (self);
   }
}

/* The last of so many _ids behind what is done. */
void
ecl_window_enter (ecl_backfill_t *self)
{
   ecl_value_t after = behind (self);

   ecl_chunk_find_nth (&self->options.range, &after, self->collection, (int64_t) self->result.window, &self->command);
   self->has_command = true;
}

void
ecl_window_reply (ecl_backfill_t *self, const ecl_event_t *event)
{
   ecl_scan_t *reader = &self->readers[READ_PASS];
   bson_error_t error;
   ecl_value_t id;

   self->between = false; /* that may have taken long */
   self->state = ST_READ;
   took (self);
   if (event->kind != ECL_EVENT_REPLY) {
      lost_again (self);
      return;
   }
   if (outlasted (self)) {
      narrow (self);
   }
   if (!ecl_scan_take (reader, event->reply, &error)) {
      ecl_backfill_fail (self, &error);
      return;
   }
   bson_reinit (&self->end);
   self->windowed = true;
   id = reader->n ? ecl_document_get (&reader->items[0], "_id", 3) : ecl_missing ();
   reader->seen -= reader->n;
   if (!ecl_is_missing (&id) && ecl_ids_of (&id) != ECL_IDS_OTHER) { /* those are read from the beginning each time */
      ecl_append_value (&self->end, "id", &id);
   }
   start_reading (self);
}

/* Where a look found nothing before its time was over the next one goes over fewer _ids; where it had found something the
 * next one goes on behind that. */
bool
ecl_read_too_long (ecl_backfill_t *self, const ecl_event_t *event)
{
   bool looks = self->state == ST_WINDOW ||
                (self->state == ST_READ && self->level == READ_PASS && ecl_is_missing (&self->options.only));
   bool late = event->kind == ECL_EVENT_REFUSED && event->error && ecl_insist_late (event->error->code);

   if (!looks || self->result.window == 1 || !(late || (event->kind == ECL_EVENT_LOST && outlasted (self)))) {
      return false;
   }
   took (self);
   if (!self->brought || self->state == ST_WINDOW) {
      narrow (self);
      forget_window (self);
   }
   start_reading (self);
   self->between = false; /* much time has gone by */
   self->state = ST_READ;
   return true;
}

/* Before MongoDB 4.4, and at hosts that speak of such versions, a find computes no sizes: then the documents are read. */
bool
ecl_read_unsized (ecl_backfill_t *self, const ecl_event_t *event)
{
   if (self->state != ST_READ || self->level != READ_PASS || !self->readers[READ_PASS].sizes ||
       event->kind != ECL_EVENT_REFUSED || ecl_insist_passing (event->error->code) ||
       ecl_scan_gone (event->error->code)) {
      return false;
   }
   self->unsized = true;
   start_reading (self);
   return true;
}

/* Makes the window larger where none of its looks took much of its time: it may be small only because the server was away
 * for some seconds, and each window costs one more look. */
static void
widen (ecl_backfill_t *self)
{
   if (self->windowed && self->result.window && self->longest < read_limit (self) / 4) {
      self->result.window = self->result.window < WINDOW_MOST ? 2 * self->result.window : 0;
   }
}

/* All of the window is done: on with the next. False where it was the last. */
static bool
next_window (ecl_backfill_t *self)
{
   widen (self);
   if (bson_empty (&self->end)) {
      return false;
   }
   bson_reinit (&self->after);
   bson_concat (&self->after, &self->end);
   self->result.progress = true;
   forget_window (self);
   start_reading (self);
   self->state = ST_READ;
   return true;
}

/* ---- reading ---- */

/* All that is left: records, and cursors. */
static void
end_early (ecl_backfill_t *self)
{
   self->after_quarantine = ST_KILL;
   self->state = self->quarantining ? ST_QUARANTINE : ST_KILL;
}

void
ecl_read_enter (ecl_backfill_t *self)
{
   if (self->flying && self->level == READ_PASS && (self->cancel || self->settle)) {
      self->settle = self->between = false;
      ecl_backfill_await (self, ST_NEXT);
      return;
   }
   if (self->cancel && self->level == READ_PASS) {
      end_early (self);
      return;
   }
   if (self->level == READ_PASS && self->result.window && !self->windowed && !self->readers[READ_PASS].opened) {
      self->state = ST_WINDOW;
      return;
   }
   ecl_scan_command (&self->readers[self->level], self->collection, self->options.batch, &self->command);
   self->has_command = true;
}

static uint64_t
size_of (const ecl_backfill_t *self, const ecl_value_t *item)
{
   ecl_value_t size;

   if (!self->pushing || !self->options.sizes || self->unsized) {
      return item->len;
   }
   size = ecl_document_get (item, ECL_SCAN_SIZE, sizeof ECL_SCAN_SIZE - 1);
   return (size.type == BSON_TYPE_INT32 || size.type == BSON_TYPE_INT64) && size.u.i64 > 0 ? (uint64_t) size.u.i64 : 0;
}

static void
begin_batch (ecl_backfill_t *self, const ecl_scan_t *reader)
{
   uint32_t number = ++self->batch;
   ecl_backfill_batch_t *batch = &self->batches[number % 2];

   *batch =
      (ecl_backfill_batch_t){.number = number, .documents = reader->n, .whole = !self->pushing || self->options.sizes};
   for (uint32_t i = 0; i < reader->n; i++) {
      batch->bytes += size_of (self, &reader->items[i]);
   }
   self->batch_through[number % 2] = false;
   self->between = false;
   self->result.counts.seen += reader->n;
}

void
ecl_read_reply (ecl_backfill_t *self, const ecl_event_t *event)
{
   ecl_scan_t *reader = &self->readers[self->level];
   bson_error_t error;

   if (self->level == READ_PASS) {
      took (self);
   }
   if (event->kind != ECL_EVENT_REPLY) {
      /* A cursor that went away: what it had not brought is read by a new one. */
      if (self->level == READ_PASS) {
         if (!self->brought) {
            lost_again (self);
         }
         start_reading (self);
         self->between = false;
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
   if (self->level == READ_PASS) {
      begin_batch (self, reader);
      if (outlasted (self)) {
         narrow (self); /* the next one: the claim may have been lost meanwhile */
      }
      self->brought = self->brought || reader->n;
   }
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
   self->pass_again = true;
   self->level = READ_AGAIN;
   self->state = ST_READ;
}

/* Every document of the pass's batch is done, or left to a later pass, or under way. */
static void
end_batch (ecl_backfill_t *self, const ecl_scan_t *reader)
{
   if (reader->n) {
      ecl_value_t id = ecl_document_get (&reader->items[reader->n - 1], "_id", 3);

      bson_reinit (&self->ahead);
      ecl_append_value (&self->ahead, "id", &id);
      ecl_backfill_promote (self);
      self->result.progress = true;
   }
   self->batch_through[self->batch % 2] = true;
   if (!self->flying || self->flying->batch != self->batch) {
      self->last = self->batches[self->batch % 2];
   }
}

/* Documents that changed again and again. */
static void
give_up_again (ecl_backfill_t *self)
{
   if (self->n_again && ecl_backfill_gives_up (self)) {
      ecl_again_quarantine (self);
      if (self->n_again) {
         return; /* these are written first */
      }
   } else {
      self->pass_left += self->n_again;
   }
   self->n_again = 0;
   bson_reinit (&self->again);
   self->level = self->back;
   ecl_load_batch (self);
}

void
ecl_next_enter (ecl_backfill_t *self)
{
   ecl_scan_t *reader = &self->readers[self->level];

   ecl_backfill_promote (self);
   if (ecl_quarantine_full (self) || (self->quarantining && self->now - self->quarantining_at >= QUARANTINE_MS)) {
      self->after_quarantine = ST_NEXT;
      self->state = ST_QUARANTINE;
   } else if (self->lookups && ecl_lookups_waits (self->lookups)) {
      self->state = ST_LOAD;
   } else if (self->txn_at < self->n_txn) {
      self->state = ST_TXN_READ;
   } else if (self->n_again && self->level != READ_AGAIN && self->flying) {
      ecl_backfill_await (self, ST_NEXT);
   } else if (self->n_again && self->level != READ_AGAIN) {
      self->back = self->level;
      self->rounds = 0;
      read_again (self);
   } else if (reader->at < reader->n) {
      self->state = self->lookups ? ST_LOAD : ST_WORK;
   } else if (self->level == READ_PASS && !reader->opened) {
      self->state = ST_READ; /* what was under way was answered before the cursor is opened again */
   } else if (reader->cursor) {
      if (self->level == READ_PASS) {
         end_batch (self, reader);
      }
      self->state = ST_READ;
      if (self->level == READ_PASS && self->flying && self->flying->batch != self->batch) {
         ecl_backfill_await (self, ST_NEXT); /* two batches are enough */
      }
   } else if (self->level == READ_AGAIN) {
      if (self->n_again && self->rounds < MAX_ROUNDS) {
         read_again (self);
      } else {
         give_up_again (self);
      }
   } else if (self->level == READ_REDO) {
      ecl_redo_done (self);
   } else if (self->flying) {
      ecl_backfill_await (self, ST_NEXT);
   } else if (self->quarantining) {
      self->after_quarantine = ST_NEXT;
      self->state = ST_QUARANTINE;
   } else {
      end_batch (self, reader);
      if (!next_window (self)) {
         end_pass (self);
      }
   }
}

/* ---- the end ---- */

void
ecl_kill_enter (ecl_backfill_t *self)
{
   if (self->flying) {
      ecl_backfill_await (self, ST_KILL);
      return;
   }
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
   self->state = ST_END;
}

void
ecl_kill_reply (ecl_backfill_t *self, const ecl_event_t *event)
{
   (void) self;
   (void) event;
}
