/* A batch computed here: guarded statements, quarantine. See backfill.h. */
#include "backfill/backfill-private.h"

#include "run/insist.h"

/* ---- quarantine ---- */

void
ecl_backfill_quarantine (ecl_backfill_t *self, const ecl_converted_t *converted)
{
   const ecl_chain_t *chain = self->options.chain;
   char to[ECL_VERSION_TEXT];
   ecl_quarantined_t record = {
      .id = converted->id,
      .collection = self->collection,
      /* One without a version has the one that is found for it: the record is to say where it stands. */
      .version = ecl_is_nullish (&converted->version) ? converted->found : converted->version,
      .to = ecl_version_text (chain->format, ecl_chain_version (chain, self->options.target), to),
      .code = converted->code,
      .message = converted->message,
      .path = converted->path,
      .file = converted->file,
      .line = converted->line,
      .column = converted->column,
      .job = self->options.job,
      .sweep = !self->options.once,
   };

   if (!self->quarantining) {
      ecl_quarantine_begin (&self->quarantine, &self->quarantine_command);
      self->quarantining = true;
      self->quarantining_at = self->now;
   }
   ecl_quarantine_append (&self->quarantine, &record);
   self->pass_failed++;
   self->result.counts.quarantined = self->pass_failed;
}

bool
ecl_quarantine_full (const ecl_backfill_t *self)
{
   return self->quarantining && (self->quarantine.n >= MAX_QUARANTINED || self->quarantine.size > MAX_QUARANTINE);
}

/* Quarantine of a document that the server refused. */
static void
quarantine_refused (ecl_backfill_t *self, const ecl_value_t *id, const ecl_value_t *version, int32_t code,
                    const char *message)
{
   ecl_converted_t converted = {.id = *id, .found = *version, .code = code, .message = message, .path = "", .file = ""};

   ecl_backfill_quarantine (self, &converted);
}

void
ecl_backfill_quarantine_item (ecl_backfill_t *self, const ecl_value_t *item, int32_t code, const char *message)
{
   ecl_value_t id = ecl_document_get (item, "_id", 3), version = ecl_missing ();
   size_t index;

   if (ecl_convert_version (self->converter, item, &index)) {
      version = *ecl_chain_stamp (self->options.chain, index);
   }
   quarantine_refused (self, &id, &version, code, message);
}

void
ecl_again_quarantine (ecl_backfill_t *self)
{
   ecl_value_t list, id;
   bson_t again;
   ecl_iter_t iter;

   bson_steal (&again, &self->again);
   bson_init (&self->again);
   self->n_again = 0;
   list = ecl_raw_document (bson_get_data (&again), again.len);
   list.type = BSON_TYPE_ARRAY;
   ecl_iter_init (&iter, &list);
   while (ecl_iter_item (&iter, &id)) {
      ecl_converted_t converted = {.id = id,
                                   .code = ECL_ERROR_CONFLICT,
                                   .message = "it changed each time before it could be written",
                                   .path = "",
                                   .file = ""};

      if (ecl_quarantine_full (self)) {
         ecl_backfill_again (self, &id);
      } else {
         ecl_backfill_quarantine (self, &converted);
      }
   }
   bson_destroy (&again);
}

void
ecl_quarantine_enter (ecl_backfill_t *self)
{
   /* The records are kept until they are acknowledged: what is sent is a copy. */
   if (!self->quarantine_closed) {
      ecl_quarantine_end (&self->quarantine);
      self->quarantine_closed = true;
   }
   bson_copy_to (&self->quarantine_command, &self->command);
   self->has_command = true;
   self->result.wrote = true;
}

/* Whether the server says of a record that it could not be written now: which of the others were is all the same, they
 * are written again. */
bool
ecl_quarantine_passing (const bson_t *reply, bson_error_t *why)
{
   bson_iter_t errors;
   int32_t index, code;
   const char *message;

   if (ecl_backfill_errors (reply, &errors)) {
      while (ecl_backfill_next_error (&errors, &index, &code, &message)) {
         if (ecl_insist_passing ((uint32_t) code)) {
            ecl_fail (why, ECL_DOMAIN_STORE, ECL_ERROR_SERVER, ECL_STORE_QUARANTINE ": %s", message);
            return true;
         }
      }
   }
   return false;
}

void
ecl_quarantine_reply (ecl_backfill_t *self, const ecl_event_t *event)
{
   bson_error_t error;
   bson_iter_t errors;
   int32_t index, code;
   const char *message;

   bson_destroy (&self->quarantine_command);
   self->quarantining = self->quarantine_closed = false;
   self->state = self->after_quarantine;
   /* Two runs that write the same new record at once: one of them finds it there already. */
   if (ecl_backfill_errors (event->reply, &errors)) {
      while (ecl_backfill_next_error (&errors, &index, &code, &message)) {
         if (code != 11000) {
            ecl_fail (&error, ECL_DOMAIN_STORE, ECL_ERROR_SERVER, ECL_STORE_QUARANTINE ": %s", message);
            ecl_backfill_fail (self, &error);
            return;
         }
      }
   }
}

/* ---- statements ---- */

static void
append_statement (statements_t *self, bson_t *list, const ecl_converted_t *converted)
{
   char buffer[16];
   const char *key;
   bson_t one, q, u;

   if (!bson_init_static (&q, converted->filter.u.raw, converted->filter.len) ||
       !bson_init_static (&u, converted->update.u.raw, converted->update.len)) {
      return;
   }
   bson_uint32_to_string (self->n, &key, buffer, sizeof buffer);
   BSON_APPEND_DOCUMENT_BEGIN (list, key, &one);
   self->starts[self->n] = (uint32_t) (bson_get_data (&one) - bson_get_data (&self->command));
   BSON_APPEND_DOCUMENT (&one, "q", &q);
   BSON_APPEND_ARRAY (&one, "u", &u);
   bson_append_document_end (list, &one);
   self->versions[self->n] = converted->found;
   self->failed[self->n] = false;
   self->n++;
}

/* The i-th of them, as it is sent. */
static bool
statement_at (const statements_t *self, uint32_t i, bson_t *out)
{
   const uint8_t *start = bson_get_data (&self->command) + self->starts[i];
   uint32_t len;

   memcpy (&len, start, sizeof len);
   return bson_init_static (out, start, BSON_UINT32_FROM_LE (len));
}

static ecl_value_t
id_at (const statements_t *self, uint32_t i)
{
   ecl_value_t whole, query;
   bson_t one;

   if (!statement_at (self, i, &one)) {
      return ecl_missing ();
   }
   whole = ecl_raw_document (bson_get_data (&one), one.len);
   query = ecl_document_get (&whole, "q", 1);
   return ecl_document_get (&query, "_id", 3);
}

/* As many of the batch's documents as one command takes. */
void
ecl_work_enter (ecl_backfill_t *self)
{
   ecl_scan_t *reader = &self->readers[self->level];
   uint32_t end = self->lookups ? ecl_lookups_until (self->lookups) : reader->n;
   uint32_t most = self->options.overlap ? MAX_OVERLAPPED : MAX_COMMAND;
   statements_t *made = self->made;
   ecl_converted_t converted;
   bson_t list;

   bson_reinit (&made->command);
   made->n = 0;
   made->batch = self->batch;
   ecl_backfill_update_open (self, true, &made->command, &list);
   self->n_txn = self->txn_at = self->txn_attempts = 0;
   while (reader->at < end && list.len < most && made->n < self->options.batch && !ecl_quarantine_full (self)) {
      uint32_t item = reader->at;

      ecl_arena_reset (&self->arena);
      switch (ecl_convert (self->converter, &self->arena, &reader->items[item], &converted)) {
      case ECL_CONVERT_DONE:
         break;
      case ECL_CONVERT_STATEMENT:
         if (made->n && list.len + converted.filter.len + converted.update.len > most) {
            goto full; /* this one comes first in the next command */
         }
         append_statement (made, &list, &converted);
         break;
      case ECL_CONVERT_TRANSACTION:
         if (self->options.transactions) {
            self->txn[self->n_txn++] = item;
         } else {
            ecl_convert_untransacted (&self->arena, &converted);
            ecl_backfill_quarantine (self, &converted);
         }
         break;
      case ECL_CONVERT_NEEDS:
         ecl_convert_overloaded (&converted);
         ecl_backfill_quarantine (self, &converted);
         break;
      case ECL_CONVERT_FAILED:
         ecl_backfill_quarantine (self, &converted);
         break;
      }
      reader->at++;
   }
full:
   bson_append_array_end (&made->command, &list);
   self->state = made->n ? ST_WRITE : ST_NEXT;
}

/* Only what a pass reads is written while it goes on: what is read again, or done again, is waited for. */
static void
begin_write (ecl_backfill_t *self)
{
   if (self->flying) {
      ecl_backfill_await (self, ST_WRITE);
      return;
   }
   ecl_backfill_promote (self);
   self->flying = self->made;
   self->made = self->made == &self->computed[0] ? &self->computed[1] : &self->computed[0];
   self->begins = true;
   self->begun_at = self->now;
   self->state = ST_NEXT;
}

void
ecl_write_enter (ecl_backfill_t *self)
{
   bson_t statements, one;

   self->result.wrote = true;
   if (self->state == ST_WRITE_ONE) {
      ecl_backfill_update_begin (self, true, &statements);
      if (statement_at (self->answered, self->one_at, &one)) {
         BSON_APPEND_DOCUMENT (&statements, "0", &one);
      }
      ecl_backfill_update_end (self, &statements);
   } else if (self->options.overlap && self->level == READ_PASS) {
      begin_write (self);
   } else {
      self->answered = self->made;
      self->after_answer = ST_NEXT;
      self->has_command =
         bson_init_static (&self->command, bson_get_data (&self->made->command), self->made->command.len);
   }
}

void
ecl_await_enter (ecl_backfill_t *self)
{
   self->awaits = self->flying != NULL;
   if (!self->awaits) {
      self->state = self->after_answer;
   }
}

/* The i-th statement failed. */
static void
statement_failed (ecl_backfill_t *self, uint32_t i, int32_t code, const char *message)
{
   ecl_value_t id = id_at (self->answered, i);

   self->answered->failed[i] = true;
   if (ecl_insist_passing ((uint32_t) code)) {
      bson_strncpy (self->result.refused, message, sizeof self->result.refused);
      ecl_backfill_again (self, &id);
   } else {
      quarantine_refused (self, &id, &self->answered->versions[i], code, message);
   }
}

/* Those from first on are read again, but for those that are known to have failed. */
static void
all_again (ecl_backfill_t *self, uint32_t first, uint32_t n)
{
   for (uint32_t i = first; i < first + n; i++) {
      if (!self->answered->failed[i]) {
         ecl_value_t id = id_at (self->answered, i);

         ecl_backfill_again (self, &id);
      }
   }
}

/* All statements from first on that did not fail, when fewer took effect than were sent: which of them is not said, so
 * those that are still not at the target are read again. */
static void
count_effect (ecl_backfill_t *self, const bson_t *reply, uint32_t first, uint32_t n)
{
   int64_t changed = ecl_store_number (reply, "nModified"), expected = 0;

   for (uint32_t i = first; i < first + n; i++) {
      expected += !self->answered->failed[i];
   }
   self->result.counts.changed += changed;
   self->pass_changed += changed;
   if (changed < expected) {
      self->result.counts.conflicts += expected - changed;
      all_again (self, first, n);
   }
}

void
ecl_write_reply (ecl_backfill_t *self, const ecl_event_t *event)
{
   bool one = self->state == ST_WRITE_ONE;
   uint32_t first = one ? self->one_at : 0, n = one ? 1 : self->answered->n;
   int32_t index, code;
   const char *message;
   bson_iter_t errors;

   if (event->kind == ECL_EVENT_REPLY) {
      if (ecl_backfill_errors (event->reply, &errors)) {
         while (ecl_backfill_next_error (&errors, &index, &code, &message)) {
            if (index >= 0 && (uint32_t) index < n && !self->answered->failed[first + (uint32_t) index]) {
               statement_failed (self, first + (uint32_t) index, code, message);
            }
         }
      }
      count_effect (self, event->reply, first, n);
   } else if (event->kind == ECL_EVENT_LOST) {
      all_again (self, first, n);
   } else if (n == 1) {
      statement_failed (self, first, (int32_t) event->error->code, event->error->message);
   } else if (!self->result.failed) {
      /* Some servers refuse the command for one bad statement; what took effect before that does so again
       * harmlessly. */
      self->one_at = 0;
      self->state = ST_WRITE_ONE;
      return;
   }
   self->state = self->after_answer;
   if (one && ++self->one_at < self->answered->n) {
      self->state = ST_WRITE_ONE;
   }
}
