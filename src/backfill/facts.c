/* Facts of a collection and obstacles: see facts.h. */
#include "backfill/facts.h"

#include "bson/cursor.h"
#include "mql/ops/binary_text.h"
#include "run/insist.h"

/* ---- asking ---- */

/* The rows of a cursor's first batch, copied into the arena. */
static bool
first_batch (ecl_arena_t *arena, const bson_t *reply, ecl_value_t *list, bson_error_t *error)
{
   uint8_t *copy = ecl_arena_array (arena, uint8_t, reply->len);
   ecl_value_t root, cursor;

   memcpy (copy, bson_get_data (reply), reply->len);
   if (!ecl_bson_validate (copy, reply->len, error)) {
      return false;
   }
   root = ecl_raw_document (copy, reply->len);
   cursor = ecl_document_get (&root, "cursor", 6);
   *list = cursor.type == BSON_TYPE_DOCUMENT ? ecl_document_get (&cursor, "firstBatch", 10) : ecl_missing ();
   if (list->type != BSON_TYPE_ARRAY) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "the server's reply holds no cursor");
   }
   return true;
}

static ecl_value_t
get (const ecl_value_t *document, const char *key)
{
   return document->type == BSON_TYPE_DOCUMENT ? ecl_document_get (document, key, strlen (key)) : ecl_missing ();
}

static bool
text_is (const ecl_value_t *v, const char *text)
{
   return v->type == BSON_TYPE_UTF8 && v->len == strlen (text) && memcmp (v->u.str, text, v->len) == 0;
}

static const char *
text_or (ecl_arena_t *arena, ecl_value_t v, const char *otherwise)
{
   return v.type == BSON_TYPE_UTF8 ? ecl_arena_strndup (arena, v.u.str, v.len) : otherwise;
}

static ecl_value_t
document_or_missing (ecl_value_t v)
{
   return v.type == BSON_TYPE_DOCUMENT ? v : ecl_missing ();
}

static const char *
uuid_text (ecl_arena_t *arena, ecl_value_t v)
{
   return v.type == BSON_TYPE_BINARY && v.len == 16
             ? text_or (arena, ecl_binary_encode (arena, ECL_FORMAT_UUID, &v), "")
             : "";
}

static void
read_collection (const ecl_value_t *row, ecl_arena_t *arena, ecl_facts_t *out)
{
   ecl_value_t info = get (row, "info"), type = get (row, "type"), options = get (row, "options"),
               capped = get (&options, "capped");

   out->kind = text_is (&type, "view") ? ECL_COLLECTION_VIEW : ECL_COLLECTION_PLAIN;
   if (text_is (&type, "timeseries") || get (&options, "timeseries").type == BSON_TYPE_DOCUMENT) {
      out->kind = ECL_COLLECTION_TIMESERIES;
   }
   out->uuid = uuid_text (arena, get (&info, "uuid"));
   out->capped = ecl_truthy (&capped);
   out->validator = document_or_missing (get (&options, "validator"));
   out->level = text_or (arena, get (&options, "validationLevel"), "strict");
   out->action = text_or (arena, get (&options, "validationAction"), "error");
   out->collation = document_or_missing (get (&options, "collation"));
   if (out->collation.type == BSON_TYPE_DOCUMENT) {
      ecl_value_t locale = get (&out->collation, "locale");

      if (text_is (&locale, "simple")) {
         out->collation = ecl_missing ();
      }
   }
   out->encrypted = document_or_missing (get (&options, "encryptedFields"));
}

static bool
ask_collection (ecl_world_t *world, const char *database, const char *collection, ecl_arena_t *arena, ecl_facts_t *out,
                bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, filter, reply;
   ecl_value_t list, row;
   ecl_iter_t iter;
   bool good;

   BSON_APPEND_INT32 (&command, "listCollections", 1);
   BSON_APPEND_DOCUMENT_BEGIN (&command, "filter", &filter);
   BSON_APPEND_UTF8 (&filter, "name", collection);
   bson_append_document_end (&command, &filter);
   good = ecl_insist_call (world, database, &command, &reply, error) && first_batch (arena, &reply, &list, error);
   if (good) {
      ecl_iter_init (&iter, &list);
      if (ecl_iter_item (&iter, &row)) {
         read_collection (&row, arena, out);
      }
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

/* Not a partial one, nor one of texts, places or hashes. */
static bool
is_exact (const ecl_value_t *row, const ecl_value_t *keys)
{
   ecl_value_t partial = get (row, "partialFilterExpression"), collation = get (row, "collation");
   ecl_field_t field;
   ecl_iter_t iter;

   if (keys->type != BSON_TYPE_DOCUMENT || !ecl_is_missing (&partial) || !ecl_is_missing (&collation)) {
      return false;
   }
   ecl_iter_init (&iter, keys);
   while (ecl_iter_field (&iter, &field)) {
      if (!ecl_is_number (&field.value) || memchr (field.key, '$', field.key_len)) {
         return false;
      }
   }
   return true;
}

static void
read_index (const ecl_value_t *row, ecl_arena_t *arena, ecl_index_t *out)
{
   ecl_value_t unique = get (row, "unique"), sparse = get (row, "sparse"), hidden = get (row, "hidden"),
               expires = get (row, "expireAfterSeconds");

   out->name = text_or (arena, get (row, "name"), "");
   out->keys = document_or_missing (get (row, "key"));
   out->unique = ecl_truthy (&unique);
   out->expires = !ecl_is_missing (&expires);
   out->sparse = ecl_truthy (&sparse);
   out->exact = is_exact (row, &out->keys);
   out->whole = out->exact && !out->sparse && !ecl_truthy (&hidden);
}

static bool
ask_indexes (ecl_world_t *world, const char *database, const char *collection, ecl_arena_t *arena, ecl_facts_t *out,
             bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, reply;
   ecl_value_t list, row;
   ecl_iter_t iter;
   bool good;

   BSON_APPEND_UTF8 (&command, "listIndexes", collection);
   good = ecl_insist_call (world, database, &command, &reply, error) && first_batch (arena, &reply, &list, error);
   if (good) {
      out->indexes = ecl_arena_array (arena, ecl_index_t, ecl_array_count (&list) + 1);
      ecl_iter_init (&iter, &list);
      while (ecl_iter_item (&iter, &row)) {
         read_index (&row, arena, &out->indexes[out->n_indexes++]);
      }
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

static bool
ask_shard_key (ecl_world_t *world, const char *database, const char *collection, ecl_arena_t *arena, ecl_facts_t *out,
               bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, filter, reply;
   ecl_value_t list, row, dropped;
   ecl_reply_t answer;
   ecl_iter_t iter;
   bool good = true;

   BSON_APPEND_UTF8 (&command, "find", "collections");
   BSON_APPEND_DOCUMENT_BEGIN (&command, "filter", &filter);
   BSON_APPEND_UTF8 (&filter, "_id", ecl_arena_printf (arena, "%s.%s", database, collection));
   bson_append_document_end (&command, &filter);
   BSON_APPEND_INT32 (&command, "limit", 1);
   BSON_APPEND_BOOL (&command, "singleBatch", true);
   answer = ecl_insist (world, "config", &command, world->now (world) + ECL_WORLD_TIMEOUT, NULL, &reply, error);
   if (answer == ECL_REPLY_REFUSED) {
      out->shard_key_unknown = true;
   } else if (answer != ECL_REPLY_OK || !first_batch (arena, &reply, &list, error)) {
      good = false;
   } else {
      ecl_iter_init (&iter, &list);
      if (ecl_iter_item (&iter, &row)) {
         dropped = get (&row, "dropped");
         out->shard_key = ecl_truthy (&dropped) ? ecl_missing () : document_or_missing (get (&row, "key"));
      }
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

bool
ecl_facts_ask (ecl_world_t *world, const ecl_server_t *server, const char *database, const char *collection,
               ecl_arena_t *arena, ecl_facts_t *out, bson_error_t *error)
{
   memset (out, 0, sizeof *out);
   out->uuid = "";
   out->level = "strict";
   out->action = "error";
   if (!ask_collection (world, database, collection, arena, out, error)) {
      return false;
   }
   if (out->kind == ECL_COLLECTION_PLAIN && !ask_indexes (world, database, collection, arena, out, error)) {
      return false;
   }
   return !server->sharded || out->kind == ECL_COLLECTION_MISSING ||
          ask_shard_key (world, database, collection, arena, out, error);
}

/* ---- obstacles ---- */

typedef struct {
   ecl_arena_t *arena;
   ecl_obstacle_t *items;
   size_t n;
} list_t;

static void
add (list_t *list, ecl_obstacle_level_t level, const char *what, const char *message)
{
   list->items =
      ecl_arena_grow (list->arena, list->items, list->n * sizeof *list->items, (list->n + 1) * sizeof *list->items);
   list->items[list->n++] = (ecl_obstacle_t){level, what, message};
}

/* One path is the other, or lies in it. */
static bool
overlap (const char *a, size_t a_len, const char *b, size_t b_len)
{
   size_t n = a_len < b_len ? a_len : b_len;

   if (memcmp (a, b, n) != 0) {
      return false;
   }
   return a_len == b_len || (a_len < b_len ? b[n] == '.' : a[n] == '.');
}

/* The path that a plan writes and that overlaps the given one; "" for a plan that replaces the whole document. */
static const char *
written (const ecl_plan_t *const *plans, size_t n_plans, const char *path, size_t len)
{
   for (size_t i = 0; i < n_plans; i++) {
      bool whole_read, whole_written;
      size_t n;
      const ecl_plan_path_t *paths = ecl_plan_paths (plans[i], &n, &whole_read, &whole_written);

      for (size_t k = 0; k < n; k++) {
         if (paths[k].written && overlap (paths[k].path, strlen (paths[k].path), path, len)) {
            return paths[k].path;
         }
      }
      if (whole_written) {
         return "";
      }
   }
   return NULL;
}

/* The first key of an index or shard key that a plan writes. */
static const char *
written_key (const ecl_value_t *keys, const ecl_plan_t *const *plans, size_t n_plans, ecl_arena_t *arena)
{
   ecl_field_t field;
   ecl_iter_t iter;

   if (keys->type != BSON_TYPE_DOCUMENT) {
      return NULL;
   }
   ecl_iter_init (&iter, keys);
   while (ecl_iter_field (&iter, &field)) {
      if (!ecl_key_is (&field, "_id") && written (plans, n_plans, field.key, field.key_len)) {
         return ecl_arena_strndup (arena, field.key, field.key_len);
      }
   }
   return NULL;
}

/* Whether a schema says that a field is encrypted by the client, at any depth. */
static const char *
encrypted_field (const ecl_value_t *schema, ecl_arena_t *arena, const char *path, int depth)
{
   ecl_value_t properties = get (schema, "properties"), encrypt = get (schema, "encrypt");
   ecl_field_t field;
   ecl_iter_t iter;

   if (encrypt.type == BSON_TYPE_DOCUMENT) {
      return path;
   }
   if (properties.type != BSON_TYPE_DOCUMENT || depth > 50) {
      return NULL;
   }
   ecl_iter_init (&iter, &properties);
   while (ecl_iter_field (&iter, &field)) {
      const char *inner,
         *name = ecl_arena_printf (arena, "%s%s%.*s", path, *path ? "." : "", (int) field.key_len, field.key);

      inner = field.value.type == BSON_TYPE_DOCUMENT ? encrypted_field (&field.value, arena, name, depth + 1) : NULL;
      if (inner) {
         return inner;
      }
   }
   return NULL;
}

static void
add_indexes (list_t *list, const ecl_facts_t *facts, const ecl_plan_t *const *plans, size_t n_plans)
{
   for (size_t i = 0; i < facts->n_indexes; i++) {
      const ecl_index_t *index = &facts->indexes[i];
      const char *key =
         index->unique || index->expires ? written_key (&index->keys, plans, n_plans, list->arena) : NULL;

      if (key && index->unique) {
         add (list, ECL_OBSTACLE_SOME, "unique index",
              ecl_arena_printf (list->arena,
                                "the migrations change %s, which the unique index %s is on: documents that it "
                                "refuses go to quarantine",
                                key, index->name));
      }
      if (key && index->expires) {
         add (list, ECL_OBSTACLE_NOTE, "TTL index",
              ecl_arena_printf (list->arena,
                                "the migrations change %s, which the TTL index %s is on: when the server deletes a "
                                "document goes by what it becomes",
                                key, index->name));
      }
   }
}

static void
add_encrypted (list_t *list, const ecl_facts_t *facts, const ecl_plan_t *const *plans, size_t n_plans)
{
   ecl_value_t fields = get (&facts->encrypted, "fields"), schema = get (&facts->validator, "$jsonSchema"), one, path;
   const char *field;
   ecl_iter_t iter;

   if (fields.type == BSON_TYPE_ARRAY) {
      ecl_iter_init (&iter, &fields);
      while (ecl_iter_item (&iter, &one)) {
         path = get (&one, "path");
         if (path.type == BSON_TYPE_UTF8) {
            bool touched = written (plans, n_plans, path.u.str, path.len) != NULL;

            add (list, touched ? ECL_OBSTACLE_BLOCKS : ECL_OBSTACLE_NOTE, "encryption",
                 ecl_arena_printf (list->arena, "%.*s is encrypted (queryable encryption)%s", (int) path.len,
                                   path.u.str,
                                   touched ? " and the migrations change it: eclose sees only its ciphertext"
                                           : "; the migrations do not change it"));
         }
      }
   } else if (facts->encrypted.type == BSON_TYPE_DOCUMENT) {
      add (list, ECL_OBSTACLE_NOTE, "encryption", "the collection has encrypted fields (queryable encryption)");
   }
   field = schema.type == BSON_TYPE_DOCUMENT ? encrypted_field (&schema, list->arena, "", 0) : NULL;
   if (field) {
      bool touched = written (plans, n_plans, field, strlen (field)) != NULL;

      add (list, touched ? ECL_OBSTACLE_BLOCKS : ECL_OBSTACLE_NOTE, "encryption",
           ecl_arena_printf (list->arena, "%s is encrypted by the clients (field level encryption)%s", field,
                             touched ? " and the migrations change it: eclose sees only its ciphertext"
                                     : "; the migrations do not change it"));
   }
}

const ecl_obstacle_t *
ecl_facts_obstacles (const ecl_facts_t *facts, const ecl_plan_t *const *plans, size_t n_plans, ecl_arena_t *arena,
                     size_t *n)
{
   list_t list = {.arena = arena};
   const char *key;

   if (facts->kind == ECL_COLLECTION_VIEW) {
      add (&list, ECL_OBSTACLE_BLOCKS, "view", "it is a view: migrate the collection under it");
   } else if (facts->kind == ECL_COLLECTION_TIMESERIES) {
      add (&list, ECL_OBSTACLE_BLOCKS, "time series",
           "it is a time-series collection: the server updates single documents there only in narrow cases");
   }
   if (facts->capped) {
      add (&list, ECL_OBSTACLE_SOME, "capped",
           "it is capped: older servers refuse updates that change a document's size, newer ones may remove the oldest "
           "documents when others grow");
   }
   if (facts->validator.type == BSON_TYPE_DOCUMENT) {
      bool warns = !ecl_facts_validates (facts);

      add (&list, warns ? ECL_OBSTACLE_NOTE : ECL_OBSTACLE_SOME, "validator",
           ecl_arena_printf (arena, "it has a validator (level %s, action %s)%s", facts->level, facts->action,
                             warns ? "" : ": it must admit the new shape before `up` begins"));
   }
   add_indexes (&list, facts, plans, n_plans);
   add_encrypted (&list, facts, plans, n_plans);
   key = written_key (&facts->shard_key, plans, n_plans, arena);
   if (key) {
      add (&list, ECL_OBSTACLE_BLOCKS, "shard key",
           ecl_arena_printf (arena, "the migrations change %s, which is part of the shard key", key));
   } else if (facts->shard_key_unknown) {
      add (&list, ECL_OBSTACLE_NOTE, "shard key", "config.collections may not be read: the shard key is not known");
   }
   if (facts->collation.type == BSON_TYPE_DOCUMENT) {
      add (&list, ECL_OBSTACLE_NOTE, "collation",
           "it has a default collation, by which the server would compare: each document goes through a transaction");
   }
   *n = list.n;
   return list.items;
}

bool
ecl_facts_validates (const ecl_facts_t *facts)
{
   return facts->validator.type == BSON_TYPE_DOCUMENT && strcmp (facts->action, "warn") != 0 &&
          strcmp (facts->level, "off") != 0;
}

const char *
ecl_facts_transaction (const ecl_facts_t *facts)
{
   return facts->collation.type == BSON_TYPE_DOCUMENT ? "the collection has a default collation" : NULL;
}
