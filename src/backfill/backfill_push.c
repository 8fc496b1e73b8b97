/* A batch pushed down: one updateMany per range of _id and stored version. See backfill.h.
 *
 * A range of which any statement failed is read again and done here: the server stops at the first document that it
 * cannot carry over, and what it did before that stays.
 */
#include "backfill/backfill-private.h"

#include "bson/append.h"
#include "upgrade/pushdown.h"

/* The version's update and filter; false where there is none, which the loader should have refused. */
static bool
prepare (ecl_backfill_t *self, size_t index)
{
   pushed_t *pushed = &self->pushed[index];
   bson_error_t error;

   if (!pushed->ready) {
      if (!ecl_pushdown_pipeline (self->options.chain, index, self->options.target, &pushed->pipeline, &error)) {
         bson_destroy (&pushed->pipeline);
         ecl_backfill_fail (self, &error);
         return false;
      }
      ecl_pushdown_filter (self->options.chain, index, &pushed->filter);
      pushed->ready = true;
   }
   return true;
}

/* Which versions the range holds, by what the batch brought of its documents. With `detect` that cannot be told from
 * the version field alone: then it may be any that `detect` gives, or that of those it does not find. */
static void
mark_versions (ecl_backfill_t *self, const ecl_range_t *range, bool *has)
{
   const ecl_chain_t *chain = self->options.chain;
   const ecl_scan_t *reader = &self->readers[READ_PASS];
   size_t index;

   for (uint32_t i = range->first; i < range->first + range->n; i++) {
      if (ecl_convert_version (self->converter, &reader->items[i], &index)) {
         has[index] = true;
      }
   }
   for (size_t i = 0; i < chain->n_detect; i++) {
      if (ecl_chain_index (chain, chain->detect[i].version, &index)) {
         has[index] = true;
      }
   }
   if (chain->n_detect && chain->has_unversioned && ecl_chain_index (chain, chain->unversioned, &index)) {
      has[index] = true;
   }
}

void
ecl_push_start (ecl_backfill_t *self)
{
   ecl_scan_t *reader = &self->readers[READ_PASS];
   size_t n_versions = self->options.chain->n_steps + 1;
   bool *has;

   ecl_arena_reset (&self->push_arena);
   has = ecl_arena_array (&self->push_arena, bool, n_versions);
   self->ids = ecl_arena_array (&self->push_arena, ecl_value_t, reader->n);
   self->n_ids = reader->n;
   for (uint32_t i = 0; i < reader->n; i++) {
      self->ids[i] = ecl_document_get (&reader->items[i], "_id", 3);
   }
   self->pieces = ecl_arena_array (&self->push_arena, piece_t, reader->n);
   self->n_pieces = self->n_statements = self->statements_at = self->redo_at = 0;
   self->statements = ecl_arena_array (&self->push_arena, pushed_statement_t, reader->n * n_versions);
   for (uint32_t at = 0; at < reader->n; at += self->pieces[self->n_pieces - 1].range.n) {
      piece_t *piece = &self->pieces[self->n_pieces];

      *piece = (piece_t){.range = ecl_range_next (self->ids, reader->n, at)};
      memset (has, 0, n_versions * sizeof *has);
      mark_versions (self, &piece->range, has);
      for (size_t v = 0; v < n_versions; v++) {
         if (has[v] && ecl_convert_wants (self->converter, v)) {
            self->statements[self->n_statements++] =
               (pushed_statement_t){.piece = self->n_pieces, .version = (uint32_t) v};
            piece->sent = true;
         }
      }
      self->n_pieces++;
   }
   reader->at = reader->n;
}

static void
append_statement (ecl_backfill_t *self, const pushed_statement_t *statement, bson_t *to)
{
   const pushed_t *pushed = &self->pushed[statement->version];
   ecl_value_t range = ecl_range_filter (&self->arena, self->ids, &self->pieces[statement->piece].range);
   bson_t query, and;

   BSON_APPEND_DOCUMENT_BEGIN (to, "q", &query);
   BSON_APPEND_ARRAY_BEGIN (&query, "$and", &and);
   ecl_append_value (&and, "0", &range);
   BSON_APPEND_DOCUMENT (&and, "1", &pushed->filter);
   bson_append_array_end (&query, &and);
   bson_append_document_end (to, &query);
   BSON_APPEND_ARRAY (to, "u", &pushed->pipeline);
   BSON_APPEND_BOOL (to, "multi", true);
}

void
ecl_push_enter (ecl_backfill_t *self)
{
   bson_t statements, one;
   char buffer[16];
   const char *key;
   uint32_t n = 0;

   if (self->statements_at == self->n_statements) {
      self->state = ST_REDO;
      return;
   }
   ecl_arena_reset (&self->arena);
   ecl_backfill_update_begin (self, true, &statements);
   while (self->statements_at + n < self->n_statements && statements.len < MAX_COMMAND) {
      const pushed_statement_t *statement = &self->statements[self->statements_at + n];

      if (!prepare (self, statement->version)) {
         break;
      }
      bson_uint32_to_string (n++, &key, buffer, sizeof buffer);
      BSON_APPEND_DOCUMENT_BEGIN (&statements, key, &one);
      append_statement (self, statement, &one);
      bson_append_document_end (&statements, &one);
   }
   ecl_backfill_update_end (self, &statements);
   self->statements_sent = n;
   self->result.wrote = true;
   if (self->state != ST_PUSH) { /* it failed */
      bson_destroy (&self->command);
      self->has_command = false;
   }
}

static void
fail_statement (ecl_backfill_t *self, uint32_t i, const char *message)
{
   pushed_statement_t *statement = &self->statements[self->statements_at + i];

   statement->failed = true;
   self->pieces[statement->piece].failed = true;
   bson_snprintf (self->push_error, sizeof self->push_error, "%s", message);
}

void
ecl_push_reply (ecl_backfill_t *self, const ecl_event_t *event)
{
   int32_t index, code;
   const char *message;
   bson_iter_t errors;
   int64_t changed;

   if (event->kind != ECL_EVENT_REPLY) {
      /* Unknown what it did, or refused as a whole: its ranges are read. */
      for (uint32_t i = 0; i < self->statements_sent; i++) {
         fail_statement (self, i, event->error->message);
      }
   } else {
      changed = ecl_store_number (event->reply, "nModified");
      self->result.counts.changed += changed;
      self->result.counts.pushed += changed;
      self->pass_changed += changed;
      if (ecl_backfill_errors (event->reply, &errors)) {
         while (ecl_backfill_next_error (&errors, &index, &code, &message)) {
            if (index >= 0 && (uint32_t) index < self->statements_sent) {
               fail_statement (self, (uint32_t) index, message);
            }
         }
      }
   }
   self->statements_at += self->statements_sent;
   self->statements_sent = 0;
   self->state = ST_PUSH;
}

void
ecl_redo_enter (ecl_backfill_t *self)
{
   ecl_value_t ids;
   bson_t filter;

   while (self->redo_at < self->n_pieces && !self->pieces[self->redo_at].failed) {
      self->blameless = self->pieces[self->redo_at++].sent ? 0 : self->blameless;
   }
   if (self->redo_at == self->n_pieces) {
      self->state = ST_NEXT;
      return;
   }
   self->result.counts.redone++;
   self->redo_failed = self->pass_failed;
   ecl_arena_reset (&self->arena);
   ids = ecl_range_filter (&self->arena, self->ids, &self->pieces[self->redo_at].range);
   ecl_backfill_among (self, &ids, &filter);
   ecl_scan_start (&self->readers[READ_REDO], &filter, false);
   bson_destroy (&filter);
   self->level = READ_REDO;
   self->state = ST_READ;
}

/* Documents of the range at hand whose version's statement did not fail: its reply has counted them. */
static int64_t
counted (const ecl_backfill_t *self)
{
   const ecl_range_t *range = &self->pieces[self->redo_at].range;
   const ecl_scan_t *reader = &self->readers[READ_PASS];
   int64_t n = 0;
   size_t index;

   for (uint32_t k = 0; k < self->n_statements; k++) {
      const pushed_statement_t *statement = &self->statements[k];

      for (uint32_t i = range->first;
           statement->piece == self->redo_at && !statement->failed && i < range->first + range->n; i++) {
         n += ecl_convert_version (self->converter, &reader->items[i], &index) && index == statement->version;
      }
   }
   return n;
}

void
ecl_redo_done (ecl_backfill_t *self)
{
   int64_t done = (int64_t) self->pieces[self->redo_at].range.n - self->readers[READ_REDO].seen;
   int64_t by_server = done - counted (self);

   if (by_server > 0) {
      /* Carried over before the statement failed, and in no reply. */
      self->result.counts.changed += by_server;
      self->result.counts.pushed += by_server;
      self->pass_changed += by_server;
   }
   self->redo_at++;
   self->level = READ_PASS;
   self->state = ST_REDO;
   self->blameless = self->pass_failed == self->redo_failed && done <= 0 ? self->blameless + 1 : 0;
   if (self->blameless >= FALL_BACK) {
      self->result.mode = ECL_MODE_CLIENT;
      self->result.mode_why = self->push_error;
   }
}
