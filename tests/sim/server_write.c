/* The simulated server's commands that write: insert, update, delete, findAndModify, createIndexes. */
#include "sim.h"

#include "bson/append.h"

enum { DUPLICATE_KEY = 11000, WRITE_CONFLICT = 112 };

/* ---- one statement ---- */

typedef struct {
   ecl_value_t filter, update;
   bool multi, upsert, remove;
} statement_t;

typedef struct {
   int32_t n, modified;
   slot_t *slot; /* the one that was matched or made last */
   int32_t code;
} outcome_t;

static bool
flag (const ecl_value_t *document, const char *field)
{
   ecl_value_t value = ecl_document_get (document, field, strlen (field));

   return (value.type == BSON_TYPE_BOOL || value.type == BSON_TYPE_INT32) && value.u.i64;
}

/* What an upsert begins with: what the filter says by equality. */
static blob_t *
seed_of (const ecl_value_t *filter)
{
   bson_t out = BSON_INITIALIZER;
   ecl_field_t field, first;
   ecl_iter_t iter, inner;

   ecl_iter_init (&iter, filter);
   while (ecl_iter_field (&iter, &field)) {
      if (field.key[0] == '$') {
         continue;
      }
      if (ecl_is_document (&field.value)) {
         ecl_iter_init (&inner, &field.value);
         if (ecl_iter_field (&inner, &first) && first.key[0] == '$') {
            continue;
         }
      }
      {
         char *key = bson_strndup (field.key, field.key_len);

         ecl_append_value (&out, key, &field.value);
         bson_free (key);
      }
   }
   return blob_of (&out);
}

/* A document with an _id: its own, or one that the server makes. */
static blob_t *
with_id (execution_t *self, const ecl_value_t *document)
{
   bson_t out = BSON_INITIALIZER;
   ecl_value_t id = ecl_document_get (document, "_id", 3);
   ecl_field_t field;
   ecl_iter_t iter;

   if (ecl_is_missing (&id)) {
      BSON_APPEND_INT64 (&out, "_id", (INT64_C (1) << 40) + ++self->server->last_id);
   }
   ecl_iter_init (&iter, document);
   while (ecl_iter_field (&iter, &field)) {
      char *key = bson_strndup (field.key, field.key_len);

      ecl_append_value (&out, key, &field.value);
      bson_free (key);
   }
   return blob_of (&out);
}

static bool
change (execution_t *self, const statement_t *statement, slot_t *slot, const blob_t *before, outcome_t *out)
{
   blob_t *after = NULL;

   out->n++;
   out->slot = slot;
   if (!statement->remove) {
      after = engine_update (&statement->update, before, false, self->clock, &out->code);
      if (!after) {
         return false;
      }
      if (after->len == before->len && memcmp (after->bytes, before->bytes, after->len) == 0) {
         blob_unref (after);
         return true;
      }
   }
   out->modified++;
   return server_write (self, slot, after, &out->code);
}

static bool
insert (execution_t *self, blob_t *document, outcome_t *out)
{
   ecl_value_t id = blob_get (document, "_id");
   slot_t *slot = server_slot (self->collection, &id, true);

   if (server_seen (self, slot, false)) {
      blob_unref (document);
      out->code = DUPLICATE_KEY;
      return false;
   }
   out->slot = slot;
   return server_write (self, slot, document, &out->code);
}

static bool
upsert (execution_t *self, const statement_t *statement, outcome_t *out)
{
   blob_t *seed = seed_of (&statement->filter), *made, *whole;
   ecl_value_t value;

   made = engine_update (&statement->update, seed, true, self->clock, &out->code);
   blob_unref (seed);
   if (!made) {
      return false;
   }
   value = blob_value (made);
   whole = with_id (self, &value);
   blob_unref (made);
   out->n++;
   return insert (self, whole, out);
}

static bool
run_statement (execution_t *self, const statement_t *statement, outcome_t *out)
{
   collection_t *collection = self->collection;
   ecl_value_t id;

   if (engine_names_one (&statement->filter, &id)) {
      slot_t *slot = server_slot (collection, &id, false);
      const blob_t *before = slot ? server_seen (self, slot, false) : NULL;

      if (before && engine_matches (&statement->filter, before, self->clock)) {
         return change (self, statement, slot, before, out);
      }
   } else {
      size_t i, end;

      for (server_span (collection, &statement->filter, &i, &end); i < end; i++) {
         slot_t *slot = collection->slots[i];
         const blob_t *before = server_seen (self, slot, false);

         if (!before || !engine_matches (&statement->filter, before, self->clock)) {
            continue;
         }
         if (!change (self, statement, slot, before, out)) {
            return false;
         }
         if (!statement->multi) {
            return true;
         }
      }
   }
   return out->n || !statement->upsert || upsert (self, statement, out);
}

/* ---- commands ---- */

static void
append_failure (bson_t *list, uint32_t at, uint32_t n, int32_t code, bool id)
{
   char buffer[16];
   const char *key;
   bson_t one, pattern;

   bson_uint32_to_string (n, &key, buffer, sizeof buffer);
   BSON_APPEND_DOCUMENT_BEGIN (list, key, &one);
   BSON_APPEND_INT32 (&one, "index", (int32_t) at);
   BSON_APPEND_INT32 (&one, "code", code);
   if (code == DUPLICATE_KEY) {
      BSON_APPEND_DOCUMENT_BEGIN (&one, "keyPattern", &pattern);
      BSON_APPEND_INT32 (&pattern, id ? "_id" : "other", 1);
      bson_append_document_end (&one, &pattern);
   }
   BSON_APPEND_UTF8 (&one, "errmsg", code == DUPLICATE_KEY ? "E11000 duplicate key" : "the statement failed");
   bson_append_document_end (list, &one);
}

typedef enum { INSERT, UPDATE, DELETE } verb_t;

/* insert, update, delete: statements in a list. */
static int32_t
run_list (execution_t *self, verb_t verb, const char *name)
{
   ecl_value_t list = command_get (self, name), item, ordered = command_get (self, "ordered");
   bool go_on = ordered.type == BSON_TYPE_BOOL && !ordered.u.i64;
   int32_t n = 0, modified = 0;
   uint32_t at = 0, failed = 0;
   bson_t failures = BSON_INITIALIZER;
   ecl_iter_t iter;

   ecl_iter_init (&iter, &list);
   while (ecl_iter_item (&iter, &item)) {
      statement_t statement = {.remove = verb == DELETE};
      outcome_t out = {0};
      bool good;

      if (verb == INSERT) {
         good = insert (self, with_id (self, &item), &out);
         out.n = good;
      } else {
         ecl_value_t limit = ecl_document_get (&item, "limit", 5);

         statement.filter = ecl_document_get (&item, "q", 1);
         statement.update = ecl_document_get (&item, "u", 1);
         statement.multi = verb == DELETE ? !limit.u.i64 : flag (&item, "multi");
         statement.upsert = flag (&item, "upsert");
         good = run_statement (self, &statement, &out);
      }
      if (good) {
         /* What a statement did before it failed no answer says. */
         n += out.n;
         modified += out.modified;
      } else {
         if (out.code == WRITE_CONFLICT || self->txn) {
            bson_destroy (&failures);
            return out.code;
         }
         append_failure (&failures, at, failed++, out.code, verb == INSERT && !out.slot);
         if (!go_on) {
            break;
         }
      }
      at++;
   }
   BSON_APPEND_INT32 (self->reply, "n", n);
   if (verb == UPDATE) {
      BSON_APPEND_INT32 (self->reply, "nModified", modified);
   }
   if (failed) {
      BSON_APPEND_ARRAY (self->reply, "writeErrors", &failures);
   }
   bson_destroy (&failures);
   return 0;
}

static int32_t
run_find_and_modify (execution_t *self)
{
   statement_t statement = {.filter = command_get (self, "query"),
                            .update = command_get (self, "update"),
                            .upsert = flag (&self->command, "upsert"),
                            .remove = flag (&self->command, "remove")};
   const blob_t *after;
   outcome_t out = {0};
   bson_t document;

   if (!run_statement (self, &statement, &out)) {
      return out.code;
   }
   after = out.slot ? server_seen (self, out.slot, false) : NULL;
   if (after) {
      BSON_ASSERT (bson_init_static (&document, after->bytes, after->len));
      BSON_APPEND_DOCUMENT (self->reply, "value", &document);
   } else {
      BSON_APPEND_NULL (self->reply, "value");
   }
   return 0;
}

static int32_t
create_unique (execution_t *self, const ecl_value_t *keys)
{
   collection_t *collection = self->collection;
   unique_t unique = {.n = 0}, *have;
   ecl_field_t field;
   ecl_iter_t iter;

   ecl_iter_init (&iter, keys);
   while (ecl_iter_field (&iter, &field)) {
      BSON_ASSERT (unique.n < 4);
      bson_strncpy (unique.fields[unique.n++], field.key, sizeof unique.fields[0]);
   }
   for (size_t i = 0; i < collection->n_unique; i++) {
      have = &collection->unique[i];
      if (have->n == unique.n && memcmp (have->fields, unique.fields, sizeof unique.fields) == 0) {
         return 0;
      }
   }
   BSON_ASSERT (collection->n_unique < 2);
   collection->unique[collection->n_unique++] = unique;
   have = &collection->unique[collection->n_unique - 1];
   for (size_t i = 0; i < collection->n; i++) {
      for (size_t j = 0; j < i; j++) {
         const blob_t *a = collection->slots[i]->current, *b = collection->slots[j]->current;
         bool same = a && b;

         for (size_t k = 0; same && k < unique.n; k++) {
            ecl_value_t left = blob_get (a, unique.fields[k]), right = blob_get (b, unique.fields[k]);

            same = ecl_equal (&left, &right);
         }
         if (same) {
            collection->n_unique--;
            return DUPLICATE_KEY;
         }
      }
   }
   /* Behind all that was written before it. */
   if (self->server->last_safe < self->now + self->lag) {
      self->server->last_safe = self->now + self->lag;
   }
   have->safe = self->server->last_safe;
   return 0;
}

static int32_t
run_create_indexes (execution_t *self)
{
   ecl_value_t list = command_get (self, "indexes"), index, keys;
   ecl_iter_t iter;
   int32_t code = 0;

   ecl_iter_init (&iter, &list);
   while (!code && ecl_iter_item (&iter, &index)) {
      keys = ecl_document_get (&index, "key", 3);
      code = flag (&index, "unique") ? create_unique (self, &keys) : 0;
   }
   return code;
}

int32_t
server_run_write (execution_t *self)
{
   if (strcmp (self->name, "findAndModify") == 0) {
      return run_find_and_modify (self);
   }
   if (strcmp (self->name, "insert") == 0) {
      return run_list (self, INSERT, "documents");
   }
   if (strcmp (self->name, "update") == 0) {
      return run_list (self, UPDATE, "updates");
   }
   if (strcmp (self->name, "delete") == 0) {
      return run_list (self, DELETE, "deletes");
   }
   if (strcmp (self->name, "createIndexes") == 0) {
      return run_create_indexes (self);
   }
   return -1;
}
