/* Statements on documents: insert, update, replace, delete; one by one, for many rows, and by ranges. See migrate.h. */
#include "migrate/migrate-private.h"

#include "bson/append.h"
#include "run/range.h"
#include "run/scan.h"
#include "store/store.h"

/* What one command takes: the server's bounds are 100,000 statements and 48 MB. */
#define STATEMENTS_MAX 1000u
#define BYTES_MAX (8u * 1024 * 1024)

/* Documents of one range, at most. */
#define RANGE_MAX 5000u

typedef enum { VERB_INSERT, VERB_UPDATE, VERB_DELETE } verb_t;

static const struct {
   const char *command, *list;
} verbs[] = {{"insert", "documents"}, {"update", "updates"}, {"delete", "deletes"}};

static verb_t
verb_of (ecl_act_kind_t kind)
{
   return kind == ECL_ACT_INSERT                                      ? VERB_INSERT
          : kind == ECL_ACT_DELETE_ONE || kind == ECL_ACT_DELETE_MANY ? VERB_DELETE
                                                                      : VERB_UPDATE;
}

/* A command that is being filled. */
typedef struct {
   ecl_migrate_t *run;
   const char *collection;
   verb_t verb;
   ecl_txn_t *txn;
   bson_t list;
   uint32_t n;
   ecl_arena_t arena;
} writer_t;

/* ---- answers ---- */

static bool
is_same_id (const bson_iter_t *failure)
{
   bson_iter_t child, keys;
   const char *text = "";
   bool named = false, id = false;

   bson_iter_recurse (failure, &child);
   while (bson_iter_next (&child)) {
      if (strcmp (bson_iter_key (&child), "keyPattern") == 0 && BSON_ITER_HOLDS_DOCUMENT (&child)) {
         named = true;
         bson_iter_recurse (&child, &keys);
         id = bson_iter_next (&keys) && strcmp (bson_iter_key (&keys), "_id") == 0 && !bson_iter_next (&keys);
      } else if (strcmp (bson_iter_key (&child), "errmsg") == 0 && BSON_ITER_HOLDS_UTF8 (&child)) {
         text = bson_iter_utf8 (&child, NULL);
      }
   }
   return named ? id : strstr (text, "_id_") != NULL;
}

/* Whether all statements of the reply took effect. An insert that may have been sent before finds its own document. */
static bool
judge (const bson_t *reply, bool tolerant, bson_error_t *error)
{
   bson_iter_t iter, list, child;

   if (!bson_iter_init_find (&iter, reply, "writeErrors") || !BSON_ITER_HOLDS_ARRAY (&iter)) {
      return true;
   }
   bson_iter_recurse (&iter, &list);
   while (bson_iter_next (&list)) {
      const char *message = "the server refused the write";
      int64_t code = 0;

      if (!BSON_ITER_HOLDS_DOCUMENT (&list)) {
         continue;
      }
      bson_iter_recurse (&list, &child);
      while (bson_iter_next (&child)) {
         if (strcmp (bson_iter_key (&child), "code") == 0 && BSON_ITER_HOLDS_NUMBER (&child)) {
            code = bson_iter_as_int64 (&child);
         } else if (strcmp (bson_iter_key (&child), "errmsg") == 0 && BSON_ITER_HOLDS_UTF8 (&child)) {
            message = bson_iter_utf8 (&child, NULL);
         }
      }
      if (!(tolerant && code == 11000 && is_same_id (&list))) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "%s", message);
      }
   }
   return true;
}

/* Documents that a reply says were written. */
static int64_t
written (const bson_t *reply)
{
   bson_iter_t iter;

   return bson_iter_init_find (&iter, reply, "n") && BSON_ITER_HOLDS_NUMBER (&iter) ? bson_iter_as_int64 (&iter) : 0;
}

/* Passing trouble of one that cannot go through ecl_insist, for which a double _id is an answer like any. */
static bool
insert (ecl_migrate_t *run, const bson_t *command, int64_t *n, bson_error_t *error)
{
   ecl_call_t call = {.database = run->options->database, .command = command};
   int64_t end = run->world->now (run->world) + ECL_WORLD_TIMEOUT, now;

   for (;;) {
      bool good = false, known = false;
      ecl_reply_t answer;
      bson_iter_t iter;
      bson_t reply;

      now = run->world->now (run->world);
      answer = run->world->run_command (run->world, &call, now + ECL_WORLD_TIMEOUT, &reply, error);
      if (answer == ECL_REPLY_OK) {
         known = !bson_iter_init_find (&iter, &reply, "writeConcernError");
         good = judge (&reply, run->again, error);
         *n = written (&reply);
         known |= !good;
      } else {
         known = (answer == ECL_REPLY_REFUSED && !ecl_insist_passing (error->code)) || ecl_is_lease_error (error);
      }
      bson_destroy (&reply);
      if (known || now > end) {
         return good;
      }
      run->again = true;
      if (!run->world->wait (run->world, 500)) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for");
      }
   }
}

/* ---- commands ---- */

static void
begin (writer_t *self)
{
   bson_init (&self->list);
   self->n = 0;
   ecl_arena_reset (&self->arena);
}

static bool
flush (writer_t *self, bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, reply;
   int64_t began, n = 0;
   uint32_t ignored;
   bool good;

   if (!self->n) {
      return true;
   }
   if (!self->txn && self->run->paced && !ecl_migrate_turn (self->run, &ignored, error)) {
      return false;
   }
   began = self->run->world->now (self->run->world);
   BSON_APPEND_UTF8 (&command, verbs[self->verb].command, self->collection);
   BSON_APPEND_ARRAY (&command, verbs[self->verb].list, &self->list);
   BSON_APPEND_BOOL (&command, "ordered", self->txn || self->verb != VERB_INSERT);
   if (self->txn) {
      good = ecl_migrate_send_in (self->run, &command, self->txn, &reply, error) && judge (&reply, false, error);
      bson_destroy (&reply);
   } else {
      ecl_store_write_concern (&command);
      if (self->verb == VERB_INSERT) {
         good = insert (self->run, &command, &n, error);
      } else {
         good = ecl_migrate_send (self->run, self->run->options->database, &command, &reply, error) &&
                judge (&reply, false, error);
         n = written (&reply);
         bson_destroy (&reply);
      }
      if (good && self->run->paced) {
         ecl_migrate_wrote (self->run, n, began);
      }
   }
   bson_destroy (&command);
   bson_destroy (&self->list);
   begin (self);
   return good;
}

static bool
append (writer_t *self, const ecl_value_t *entry, bson_error_t *error)
{
   uint64_t size = ecl_value_size (entry);
   char buffer[16];
   const char *key;

   if (size > BYTES_MAX + 10u * 1024 * 1024) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_TOO_LARGE,
                       "a statement of %" PRIu64 " bytes is larger than any server takes", size);
   }
   if (self->n && (self->n == STATEMENTS_MAX || self->list.len + size > BYTES_MAX) && !flush (self, error)) {
      return false;
   }
   bson_uint32_to_string (self->n++, &key, buffer, sizeof buffer);
   ecl_append_value (&self->list, key, entry);
   return true;
}

/* ---- statements ---- */

/* A document that a row makes. Without an _id it would be inserted again by a run that begins the step again; that it
 * names one was seen when the file was read, but not that each row has it. */
static bool
append_document (writer_t *self, const ecl_act_t *act, const ecl_value_t *document, bson_error_t *error)
{
   ecl_value_t id;

   if (!ecl_is_document (document)) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "a row's document to insert is %s",
                       ecl_type_name (document->type));
   }
   id = ecl_document_get (document, "_id", 3);
   if (id.type == ECL_MISSING && !self->txn && !act->repeatable) {
      return ecl_fail (
         error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID,
         "a row's document to insert has no _id, and would be inserted twice after a crash: leave such rows "
         "out of the query, or use $ifNull");
   }
   return append (self, document, error);
}

static bool
add_inserts (writer_t *self, const ecl_row_t *row, const ecl_act_t *act, bson_error_t *error)
{
   const ecl_field_t *one = &act->args[ECL_ARG_DOCUMENT], *many = &act->args[ECL_ARG_DOCUMENTS];
   ecl_value_t item, value, list;
   ecl_iter_t iter;

   if (one->key) {
      if (!ecl_migrate_fill (&self->arena, row, &one->value, false, &value, error)) {
         return false;
      }
      return append_document (self, act, &value, error);
   }
   list = many->value;
   if (!ecl_is_array (&list) && !ecl_migrate_fill (&self->arena, row, &many->value, false, &list, error)) {
      return false;
   }
   if (!ecl_is_array (&list)) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "a row's documents to insert are %s",
                       ecl_type_name (list.type));
   }
   ecl_iter_init (&iter, &list);
   while (ecl_iter_item (&iter, &item)) {
      /* What came out of a row is data, whatever it looks like. */
      if (!ecl_is_array (&many->value)) {
         value = item;
      } else if (!ecl_migrate_fill (&self->arena, row, &item, false, &value, error)) {
         return false;
      }
      if (!append_document (self, act, &value, error)) {
         return false;
      }
   }
   return true;
}

/* The statement of an update or delete under construction. */
typedef struct {
   ecl_arena_t *arena;
   const ecl_row_t *row;
   const ecl_act_t *act;
   ecl_field_t fields[6];
   size_t n;
} statement_t;

/* Adds an argument of the act under the name that it has in a command, where it was said; as in ecl_migrate_fill. */
static bool
add_part (statement_t *self, ecl_arg_t arg, const char *name, bool filter, bson_error_t *error)
{
   ecl_value_t value;

   if (!self->act->args[arg].key) {
      return true;
   }
   if (!ecl_migrate_fill (self->arena, self->row, ecl_act_arg (self->act, arg), filter, &value, error)) {
      return false;
   }
   self->fields[self->n++] = ecl_field (name, strlen (name), value);
   return true;
}

static bool
add_statement (writer_t *self, const ecl_row_t *row, const ecl_act_t *act, bson_error_t *error)
{
   bool many = act->kind == ECL_ACT_UPDATE_MANY || act->kind == ECL_ACT_DELETE_MANY;
   statement_t one = {.arena = &self->arena, .row = row, .act = act};
   ecl_value_t entry;

   if (act->kind == ECL_ACT_INSERT) {
      return add_inserts (self, row, act, error);
   }
   if (!add_part (&one, ECL_ARG_FILTER, "q", true, error)) {
      return false;
   }
   if (self->verb == VERB_DELETE) {
      one.fields[one.n++] = ecl_field ("limit", 5, ecl_int32 (many ? 0 : 1));
   } else {
      if (!add_part (&one, ECL_ARG_UPDATE, "u", false, error) ||
          !add_part (&one, ECL_ARG_REPLACEMENT, "u", false, error) ||
          !add_part (&one, ECL_ARG_UPSERT, "upsert", false, error) ||
          !add_part (&one, ECL_ARG_ARRAY_FILTERS, "arrayFilters", true, error)) {
         return false;
      }
      one.fields[one.n++] = ecl_field ("multi", 5, ecl_bool (many));
   }
   if (!add_part (&one, ECL_ARG_COLLATION, "collation", false, error)) {
      return false;
   }
   entry = ecl_fields (one.fields, one.n);
   return append (self, &entry, error);
}

/* Notes the rows that an `unless` holds back. */
static bool
hold_back (ecl_migrate_t *self, const ecl_act_t *act, ecl_row_t *row, ecl_txn_t *txn, bool *held, bson_error_t *error)
{
   ecl_value_t filter;

   *held = false;
   if (!act->unless_collection) {
      return true;
   }
   if (!ecl_migrate_fill (&self->arena, row, &act->unless_filter, true, &filter, error) ||
       !ecl_migrate_exists (self, act->unless_collection, &filter, txn, held, error)) {
      return false;
   }
   row->held_back |= *held;
   return true;
}

bool
ecl_migrate_write (ecl_migrate_t *self, const ecl_act_t *act, ecl_row_t *rows, size_t n, ecl_txn_t *txn,
                   bson_error_t *error)
{
   bool bulk = act->kind == ECL_ACT_BULK_WRITE, good = true, held;
   const ecl_act_t *acts = bulk ? act->acts : act;
   size_t n_acts = bulk ? act->n_acts : 1;
   writer_t writer = {.run = self,
                      .collection = ecl_migrate_text (self, act, ECL_ARG_COLLECTION),
                      .txn = txn,
                      .verb = n_acts ? verb_of (acts[0].kind) : VERB_UPDATE};

   ecl_arena_init (&writer.arena);
   begin (&writer);
   for (size_t r = 0; r < n && good; r++) {
      good = hold_back (self, act, &rows[r], txn, &held, error);
      for (size_t i = 0; i < n_acts && good && !held; i++) {
         /* In the order in which they are written: another verb is another command. */
         if (verb_of (acts[i].kind) != writer.verb) {
            good = flush (&writer, error);
            writer.verb = verb_of (acts[i].kind);
         }
         good = good && add_statement (&writer, &rows[r], &acts[i], error);
      }
   }
   good = good && flush (&writer, error);
   bson_destroy (&writer.list);
   ecl_arena_cleanup (&writer.arena);
   return good;
}

/* ---- by ranges ---- */

/* {$and: [{_id: range}, filter]} */
static ecl_value_t
range_filter (ecl_arena_t *arena, const ecl_value_t *ids, const ecl_range_t *range, const ecl_value_t *filter)
{
   ecl_value_t *both = ecl_arena_array (arena, ecl_value_t, 2);
   ecl_field_t *field = ecl_arena_new (arena, ecl_field_t);

   both[0] = ecl_range_filter (arena, ids, range);
   both[1] = *filter;
   *field = ecl_field ("$and", 4, ecl_vec (both, 2));
   return ecl_fields (field, 1);
}

static bool
send_range (ecl_migrate_t *self, const ecl_act_t *act, const ecl_value_t *filter, bson_error_t *error)
{
   int64_t began = self->world->now (self->world);
   bool update = act->kind == ECL_ACT_UPDATE_MANY, good;
   bson_t command = BSON_INITIALIZER, list, one, reply;

   BSON_APPEND_UTF8 (&command, update ? "update" : "delete", ecl_migrate_text (self, act, ECL_ARG_COLLECTION));
   BSON_APPEND_ARRAY_BEGIN (&command, update ? "updates" : "deletes", &list);
   BSON_APPEND_DOCUMENT_BEGIN (&list, "0", &one);
   ecl_append_value (&one, "q", filter);
   if (update) {
      ecl_append_value (&one, "u", ecl_act_arg (act, ECL_ARG_UPDATE));
      BSON_APPEND_BOOL (&one, "multi", true);
      if (act->args[ECL_ARG_ARRAY_FILTERS].key) {
         ecl_append_value (&one, "arrayFilters", ecl_act_arg (act, ECL_ARG_ARRAY_FILTERS));
      }
   } else {
      BSON_APPEND_INT32 (&one, "limit", 0);
   }
   bson_append_document_end (&list, &one);
   bson_append_array_end (&command, &list);
   ecl_store_write_concern (&command);
   good = ecl_migrate_send (self, self->options->database, &command, &reply, error) && judge (&reply, false, error);
   if (good) {
      ecl_migrate_wrote (self, written (&reply), began);
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

/* A batch of _ids that matched, in pieces that a filter can name: mostly one. */
static bool
send_ranges (ecl_migrate_t *self, const ecl_act_t *act, const ecl_value_t *ids, uint32_t n, bson_error_t *error)
{
   ecl_arena_t arena;
   bool good = true;

   ecl_arena_init (&arena);
   for (uint32_t first = 0; first < n && good;) {
      ecl_range_t range = ecl_range_next (ids, n, first);
      ecl_value_t filter = range_filter (&arena, ids, &range, ecl_act_arg (act, ECL_ARG_FILTER));

      good = send_range (self, act, &filter, error);
      first += range.n;
   }
   ecl_arena_cleanup (&arena);
   return good;
}

bool
ecl_migrate_ranges (ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error)
{
   const char *collection = ecl_migrate_text (self, act, ECL_ARG_COLLECTION);
   const ecl_value_t *item;
   ecl_value_t ids[RANGE_MAX];
   uint32_t n, aim;
   bson_t holder = BSON_INITIALIZER, filter;
   bson_iter_t iter;
   const uint8_t *data;
   uint32_t len;
   ecl_arena_t arena;
   ecl_scan_t scan;
   int64_t seen = 0;
   bool good;

   ecl_append_value (&holder, "f", ecl_act_arg (act, ECL_ARG_FILTER));
   bson_iter_init_find (&iter, &holder, "f");
   bson_iter_document (&iter, &len, &data);
   bson_init_static (&filter, data, len);
   ecl_arena_init (&arena);
   ecl_scan_init (&scan);
   ecl_scan_start (&scan, &filter, true);
   scan.fields[0] = "_id";
   ecl_migrate_pace (self, collection, true, RANGE_MAX);
   do {
      n = 0;
      if (!ecl_migrate_turn (self, &aim, error)) {
         good = false;
         break;
      }
      ecl_arena_reset (&arena);
      while ((good = ecl_scan_next (&scan, self->world, self->options->database, collection, 1000, &item, error)) &&
             item) {
         ecl_value_t id = ecl_document_get (item, "_id", 3);

         ids[n++] = ecl_value_copy (&arena, &id);
         if (n == aim) {
            break;
         }
      }
      /* From the start: the step can be repeated, also after a crash. */
      if (!good && ecl_scan_again (&scan, self->world)) {
         seen = 0;
         n = 1;
         good = true;
         continue;
      }
      good = good && send_ranges (self, act, ids, n, error);
      seen += n;
      ecl_migrate_progress (self, seen);
      if (good && n && self->world->cancelled (self->world)) {
         good = ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for");
      }
   } while (good && n);
   ecl_scan_cleanup (&scan);
   ecl_arena_cleanup (&arena);
   bson_destroy (&holder);
   return good;
}
