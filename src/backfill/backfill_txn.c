/* A batch computed here: the documents that no guarded statement can carry. In a transaction each is read again, computed
 * and written whole. See backfill.h. */
#include "backfill/backfill-private.h"

#include "bson/append.h"
#include "run/insist.h"

static const ecl_value_t *
txn_item (ecl_backfill_t *self)
{
   return &self->readers[self->level].items[self->txn[self->txn_at]];
}

static void
enter_txn_read (ecl_backfill_t *self, const ecl_value_t *id)
{
   bson_t filter;

   bson_init (&self->command);
   self->has_command = true;
   BSON_APPEND_UTF8 (&self->command, "find", self->collection);
   BSON_APPEND_DOCUMENT_BEGIN (&self->command, "filter", &filter);
   ecl_append_value (&filter, "_id", id);
   bson_append_document_end (&self->command, &filter);
   BSON_APPEND_INT32 (&self->command, "limit", 1);
   BSON_APPEND_BOOL (&self->command, "singleBatch", true);
}

/* A replacement refuses names with a $ in front, and takes a timestamp of zero for the present time: not what stands in
 * the document. A pipeline that replaces it does neither; it is not always sent, for a replacement goes to one shard. */
static bool
is_replaceable (const ecl_value_t *document)
{
   ecl_field_t field;
   ecl_iter_t iter;

   ecl_iter_init (&iter, document);
   while (ecl_iter_field (&iter, &field)) {
      if ((field.key_len && field.key[0] == '$') ||
          (field.value.type == BSON_TYPE_TIMESTAMP && field.value.u.i64 == 0)) {
         return false;
      }
   }
   return true;
}

static void
append_replacement (bson_t *to, const ecl_value_t *document)
{
   bson_t after, stages, stage, root;

   if (!bson_init_static (&after, document->u.raw, document->len)) {
      return;
   }
   if (is_replaceable (document)) {
      BSON_APPEND_DOCUMENT (to, "u", &after);
      return;
   }
   BSON_APPEND_ARRAY_BEGIN (to, "u", &stages);
   BSON_APPEND_DOCUMENT_BEGIN (&stages, "0", &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&stage, "$replaceWith", &root);
   BSON_APPEND_DOCUMENT (&root, "$literal", &after);
   bson_append_document_end (&stage, &root);
   bson_append_document_end (&stages, &stage);
   bson_append_array_end (to, &stages);
}

static void
enter_txn_write (ecl_backfill_t *self, const ecl_value_t *id)
{
   bson_t statements, one, query;

   ecl_backfill_update_begin (self, false, &statements);
   BSON_APPEND_DOCUMENT_BEGIN (&statements, "0", &one);
   BSON_APPEND_DOCUMENT_BEGIN (&one, "q", &query);
   ecl_append_value (&query, "_id", id);
   bson_append_document_end (&one, &query);
   append_replacement (&one, &self->txn_after);
   bson_append_document_end (&statements, &one);
   ecl_backfill_update_end (self, &statements);
   self->result.wrote = true;
}

void
ecl_txn_enter (ecl_backfill_t *self)
{
   ecl_value_t id = ecl_document_get (txn_item (self), "_id", 3);

   switch (self->state) {
   case ST_TXN_READ:
      enter_txn_read (self, &id);
      break;
   case ST_TXN_WRITE:
      enter_txn_write (self, &id);
      break;
   default:
      bson_init (&self->command);
      self->has_command = true;
      BSON_APPEND_INT32 (&self->command, self->state == ST_TXN_COMMIT ? "commitTransaction" : "abortTransaction", 1);
   }
}

/* The next document, or the same again. */
static void
txn_end (ecl_backfill_t *self, bool same)
{
   if (!same) {
      self->txn_at++;
      self->txn_attempts = 0;
   }
   self->state = ST_NEXT;
}

/* Something stood in the way that may be gone next time. */
static void
txn_conflict (ecl_backfill_t *self, int32_t code, const char *message)
{
   self->result.counts.conflicts++;
   self->pass_again = true;
   self->txn_same = ++self->txn_attempts < MAX_ROUNDS;
   if (!self->txn_same && ecl_backfill_gives_up (self)) {
      ecl_backfill_quarantine_item (self, txn_item (self), code, message);
   } else if (!self->txn_same) {
      self->pass_left++;
   }
   self->state = ST_TXN_ABORT;
}

static void
txn_refused (ecl_backfill_t *self, int32_t code, const char *message)
{
   ecl_backfill_quarantine_item (self, txn_item (self), code, message);
   self->txn_same = false;
   self->state = ST_TXN_ABORT;
}

static void
reply_txn_read (ecl_backfill_t *self, bson_t *reply)
{
   ecl_scan_t *found = &self->txn_reader;
   ecl_converted_t converted;
   bson_error_t error;

   self->txn_same = false;
   self->state = ST_TXN_ABORT;
   ecl_scan_restart (found);
   if (!ecl_scan_take (found, reply, &error)) {
      ecl_backfill_fail (self, &error);
      return;
   }
   if (found->n == 0) {
      return; /* deleted meanwhile */
   }
   ecl_arena_reset (&self->arena);
   switch (ecl_convert (self->converter, &self->arena, &found->items[0], &converted)) {
   case ECL_CONVERT_STATEMENT:
   case ECL_CONVERT_TRANSACTION:
      self->txn_after = converted.after;
      self->state = ST_TXN_WRITE;
      break;
   case ECL_CONVERT_NEEDS:
      /* It changed meanwhile, and looks up others now: those are read outside of the transaction, and then it is begun
       * again. */
      if (self->txn_attempts++ < MAX_LOADS) {
         ecl_lookups_also (self->lookups, &found->items[0]);
         self->txn_same = true;
      } else {
         ecl_convert_overloaded (&converted);
         ecl_backfill_quarantine (self, &converted);
      }
      break;
   case ECL_CONVERT_FAILED:
      ecl_backfill_quarantine (self, &converted);
      break;
   case ECL_CONVERT_DONE:
      break;
   }
}

static void
reply_txn_write (ecl_backfill_t *self, const bson_t *reply)
{
   int32_t index, code;
   const char *message;
   bson_iter_t errors;

   if (ecl_backfill_errors (reply, &errors) && ecl_backfill_next_error (&errors, &index, &code, &message)) {
      if (ecl_insist_passing ((uint32_t) code)) {
         txn_conflict (self, code, message);
      } else {
         txn_refused (self, code, message);
      }
   } else if (ecl_store_number (reply, "n") == 1) {
      self->state = ST_TXN_COMMIT;
   } else {
      txn_conflict (self, ECL_ERROR_CONFLICT, "it was gone when it was to be written");
   }
}

void
ecl_txn_reply (ecl_backfill_t *self, const ecl_event_t *event)
{
   if (self->state == ST_TXN_ABORT) {
      /* Answered or not: the server ends it by itself, too. */
      txn_end (self, self->txn_same);
   } else if (event->kind == ECL_EVENT_LOST) {
      txn_conflict (self, (int32_t) event->error->code, event->error->message);
   } else if (event->kind == ECL_EVENT_REFUSED) {
      txn_refused (self, (int32_t) event->error->code, event->error->message);
   } else if (self->state == ST_TXN_READ) {
      reply_txn_read (self, event->reply);
   } else if (self->state == ST_TXN_WRITE) {
      reply_txn_write (self, event->reply);
   } else {
      self->result.counts.changed++;
      self->result.counts.transactions++;
      self->pass_changed++;
      txn_end (self, false);
   }
}
