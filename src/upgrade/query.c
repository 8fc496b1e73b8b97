/* Queries over mixed versions: see query.h. */
#include "upgrade/query.h"

#include "bson/append.h"
#include "bson/make.h"
#include "upgrade/pushdown.h"
#include "upgrade/translate.h"

/* Below the 16 MiB of a command, with room for what stands around it. */
#define QUERY_MAX (15u * 1024 * 1024)

/* Stages in the order in which they were added. */
typedef struct {
   ecl_arena_t *arena;
   ecl_value_t *items;
   uint32_t n, cap;
} stages_t;

static void
add_stage (stages_t *self, const char *name, ecl_value_t spec)
{
   if (self->n == self->cap) {
      uint32_t cap = self->cap ? 2 * self->cap : 8;

      self->items =
         ecl_arena_grow (self->arena, self->items, self->cap * sizeof *self->items, cap * sizeof *self->items);
      self->cap = cap;
   }
   self->items[self->n++] = ecl_make_object (self->arena, name, spec);
}

/* ---- what a filter must not hold ---- */

static bool
check_filter (const ecl_value_t *v, bson_error_t *error)
{
   static const char *const refused[] = {"$where", "$near", "$nearSphere", "$text"};
   ecl_iter_t iter;
   ecl_field_t field;

   if (!ecl_is_document (v) && !ecl_is_array (v)) {
      return true;
   }
   ecl_iter_init (&iter, v);
   while (ecl_iter_field (&iter, &field)) {
      for (size_t i = 0; ecl_is_document (v) && i < sizeof refused / sizeof refused[0]; i++) {
         if (ecl_key_is (&field, refused[i])) {
            return ecl_fail (error, ECL_DOMAIN_UPGRADE, ECL_ERROR_UNSUPPORTED,
                             "%s cannot be asked of documents in several versions: the server takes it only where a "
                             "collection is read directly",
                             refused[i]);
         }
      }
      if (!check_filter (&field.value, error)) {
         return false;
      }
   }
   return true;
}

/* ---- the author's stages ---- */

static bool
is_id (const ecl_value_t *name)
{
   return ecl_is_string (name) && name->len == 3 && memcmp (name->u.str, "_id", 3) == 0;
}

/* Whether the argument of $getField names the _id of the document, or may: by an expression. Where it has an input of its
 * own, that says what is read. */
static bool
gets_id (const ecl_value_t *spec)
{
   ecl_value_t name = *spec, input = ecl_missing ();

   if (ecl_is_document (spec)) {
      input = ecl_document_get (spec, "input", 5);
      name = ecl_document_get (spec, "$literal", 8);
   }
   if (!ecl_is_missing (&input)) {
      return false;
   }
   return ecl_is_missing (&name) || is_id (&name) || (ecl_is_string (spec) && spec->len && spec->u.str[0] == '$');
}

/* Whether an expression reads the _id or the whole document. */
static bool
reads_id (const ecl_value_t *v)
{
   ecl_iter_t iter;
   ecl_field_t field;

   if (ecl_is_string (v)) {
      static const char *const names[] = {"$_id", "$$ROOT", "$$CURRENT"};

      for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
         size_t len = strlen (names[i]);

         if (v->len >= len && memcmp (v->u.str, names[i], len) == 0 && (v->len == len || v->u.str[len] == '.')) {
            return true;
         }
      }
      return false;
   }
   if (ecl_is_document (v) || ecl_is_array (v)) {
      ecl_iter_init (&iter, v);
      while (ecl_iter_field (&iter, &field)) {
         if (reads_id (&field.value) || (ecl_key_is (&field, "$getField") && gets_id (&field.value))) {
            return true;
         }
      }
   }
   return false;
}

/* $unset without _id. */
static void
add_unset (stages_t *self, const ecl_value_t *names, bool *loses)
{
   ecl_value_t *kept, name;
   uint32_t n = 0;
   ecl_iter_t iter;

   if (!ecl_is_array (names)) {
      *loses = is_id (names);
      if (!*loses) {
         add_stage (self, "$unset", *names);
      }
      return;
   }
   kept = ecl_arena_array (self->arena, ecl_value_t, ecl_array_count (names) + 1);
   ecl_iter_init (&iter, names);
   while (ecl_iter_item (&iter, &name)) {
      if (is_id (&name)) {
         *loses = true;
      } else {
         kept[n++] = name;
      }
   }
   if (n) {
      add_stage (self, "$unset", ecl_vec (kept, n));
   }
}

/* $project without {_id: false}. */
static bool
add_project (stages_t *self, const ecl_value_t *spec, bool *loses)
{
   uint32_t count, n = 0;
   const ecl_field_t *fields = ecl_document_fields (self->arena, spec, &count);
   ecl_field_t *kept = ecl_arena_array (self->arena, ecl_field_t, count + 1);

   for (uint32_t i = 0; i < count; i++) {
      if (!ecl_key_is (&fields[i], "_id")) {
         kept[n++] = fields[i];
      } else if (ecl_is_number (&fields[i].value) || fields[i].value.type == BSON_TYPE_BOOL) {
         *loses = !ecl_truthy (&fields[i].value);
      } else {
         return false;
      }
   }
   if (n) {
      add_stage (self, "$project", ecl_fields (kept, n));
   }
   return true;
}

/* $replaceWith, with the _id put first where what replaces has none: an update does that at its end. What is no
 * document stays what it is, so that the server refuses it in the same way. */
static void
add_replace (stages_t *self, const ecl_value_t *expression)
{
   ecl_arena_t *arena = self->arena;
   ecl_value_t is_document = ecl_make_object (
      arena, "$eq",
      ecl_make_pair (arena, ecl_make_object (arena, "$type", ecl_make_text ("$$d")), ecl_make_text ("object")));
   /* By its names: not all servers tell a missing field of a variable from null. */
   ecl_value_t names = ecl_make_object (
      arena, "$map",
      ecl_make_object2 (arena, "input", ecl_make_object (arena, "$objectToArray", ecl_make_text ("$$d")), "in",
                        ecl_make_text ("$$this.k")));
   ecl_value_t has_none = ecl_make_object (
      arena, "$not", ecl_make_object (arena, "$in", ecl_make_pair (arena, ecl_make_text ("_id"), names)));
   ecl_value_t merged = ecl_make_object (
      arena, "$mergeObjects",
      ecl_make_pair (arena, ecl_make_object (arena, "_id", ecl_make_text ("$_id")), ecl_make_text ("$$d")));
   ecl_value_t *cond = ecl_arena_array (arena, ecl_value_t, 3);

   cond[0] = ecl_make_object (arena, "$and", ecl_make_pair (arena, is_document, has_none));
   cond[1] = merged;
   cond[2] = ecl_make_text ("$$d");
   add_stage (self, "$replaceWith",
              ecl_make_object (arena, "$let",
                               ecl_make_object2 (arena, "vars", ecl_make_object (arena, "d", *expression), "in",
                                                 ecl_make_object (arena, "$cond", ecl_vec (cond, 3)))));
}

/* One stage as an aggregation has to say it. *lost: an earlier one lost the _id, so a later one must not read it. */
static bool
add_authors (stages_t *self, const ecl_field_t *stage, bool *lost)
{
   bool loses = false, sets = ecl_key_is (stage, "$set") || ecl_key_is (stage, "$addFields");

   if (*lost && reads_id (&stage->value)) {
      return false;
   }
   if (sets) {
      ecl_value_t id = ecl_document_get (&stage->value, "_id", 3);

      add_stage (self, "$set", stage->value);
      return ecl_is_missing (&id);
   }
   if (ecl_key_is (stage, "$unset")) {
      add_unset (self, &stage->value, &loses);
   } else if (ecl_key_is (stage, "$project")) {
      if (!add_project (self, &stage->value, &loses)) {
         return false;
      }
   } else if (ecl_key_is (stage, "$replaceWith")) {
      loses = true;
      add_replace (self, &stage->value);
   } else if (ecl_key_is (stage, "$replaceRoot")) {
      ecl_value_t root = ecl_document_get (&stage->value, "newRoot", 7);

      loses = true;
      add_replace (self, &root);
   } else {
      return false;
   }
   *lost |= loses;
   return true;
}

/* The stages and the stamp from one version to another, as raw bytes in the arena that the stages point into. */
static bool
add_way (stages_t *self, const ecl_chain_t *chain, size_t from, size_t to, bson_error_t *error)
{
   bson_t pipeline;
   ecl_iter_t items, fields;
   ecl_value_t list, stage;
   ecl_field_t field;
   bool ok, lost = false;

   ok = ecl_pushdown_pipeline (chain, from, to, &pipeline, error);
   if (ok) {
      list = (ecl_value_t){
         .type = BSON_TYPE_ARRAY, .rep = ECL_REP_RAW, .len = pipeline.len, .u.raw = bson_get_data (&pipeline)};
      list = ecl_value_copy (self->arena, &list);
      ecl_iter_init (&items, &list);
      while (ok && ecl_iter_item (&items, &stage)) {
         ecl_iter_init (&fields, &stage);
         while (ok && ecl_iter_field (&fields, &field)) {
            ok = add_authors (self, &field, &lost);
         }
      }
      if (!ok) {
         char a[ECL_VERSION_TEXT], b[ECL_VERSION_TEXT];

         ecl_fail (
            error, ECL_DOMAIN_UPGRADE, ECL_ERROR_UNSUPPORTED,
            "%s: what the migrations from version %s to %s do with _id can be said in an update, but not in a query",
            chain->collection, ecl_version_text (chain->format, ecl_chain_version (chain, from), a),
            ecl_version_text (chain->format, ecl_chain_version (chain, to), b));
      }
   }
   bson_destroy (&pipeline);
   return ok;
}

/* ---- the query ---- */

/* The filter for a version, in the arena. */
static ecl_value_t
at_version (ecl_arena_t *arena, const ecl_chain_t *chain, size_t index)
{
   bson_t filter;
   ecl_value_t value, copy;

   ecl_pushdown_filter (chain, index, &filter);
   value = ecl_raw_document (bson_get_data (&filter), filter.len);
   copy = ecl_value_copy (arena, &value);
   bson_destroy (&filter);
   return copy;
}

static bool
add_branch (stages_t *stages, const ecl_chain_t *chain, size_t from, size_t target, const ecl_value_t *filter,
            bson_error_t *error)
{
   ecl_arena_t *arena = stages->arena;
   stages_t branch = {.arena = arena};
   ecl_value_t version = at_version (arena, chain, from), translated = ecl_missing ();

   switch (ecl_document_is_empty (filter) ? ECL_TRANSLATED_ALL
                                          : ecl_translate (arena, chain, from, target, filter, &translated)) {
   case ECL_TRANSLATED_NONE:
      return true;
   case ECL_TRANSLATED_ALL:
      add_stage (&branch, "$match", version);
      break;
   case ECL_TRANSLATED_FILTER:
      add_stage (&branch, "$match", ecl_make_object (arena, "$and", ecl_make_pair (arena, translated, version)));
      break;
   }
   if (!add_way (&branch, chain, from, target, error)) {
      return false;
   }
   if (!ecl_document_is_empty (filter)) {
      add_stage (&branch, "$match", *filter);
   }
   add_stage (stages, "$unionWith",
              ecl_make_object2 (arena, "coll", ecl_make_text (chain->collection), "pipeline",
                                ecl_vec (branch.items, branch.n)));
   return true;
}

/* What follows the documents, then all of it into the caller's array. */
static bool
finish (stages_t *stages, const ecl_query_t *query, bson_t *pipeline, bson_error_t *error)
{
   if (ecl_is_document (&query->sort)) {
      add_stage (stages, "$sort", query->sort);
   }
   if (query->skip > 0) {
      add_stage (stages, "$skip", ecl_int64 (query->skip));
   }
   if (query->limit > 0) {
      add_stage (stages, "$limit", ecl_int64 (query->limit));
   }
   if (ecl_is_document (&query->projection)) {
      add_stage (stages, "$project", query->projection);
   }
   for (uint32_t i = 0; i < stages->n; i++) {
      char buffer[16];
      const char *key;

      if (ecl_value_size (&stages->items[i]) + pipeline->len > QUERY_MAX) {
         return ecl_fail (error, ECL_DOMAIN_UPGRADE, ECL_ERROR_TOO_LARGE, "the query is larger than a server takes");
      }
      bson_uint32_to_string (i, &key, buffer, sizeof buffer);
      ecl_append_value (pipeline, key, &stages->items[i]);
   }
   return true;
}

static ecl_value_t
filter_of (const ecl_query_t *query)
{
   return ecl_is_document (&query->filter) ? query->filter : ecl_fields (NULL, 0);
}

bool
ecl_query_plain (const ecl_query_t *query, bson_t *pipeline, bson_error_t *error)
{
   stages_t stages = {0};
   ecl_arena_t arena;
   bool ok;

   bson_init (pipeline);
   ecl_arena_init (&arena);
   stages.arena = &arena;
   add_stage (&stages, "$match", filter_of (query));
   ok = finish (&stages, query, pipeline, error);
   ecl_arena_cleanup (&arena);
   return ok;
}

bool
ecl_query_pipeline (const ecl_chain_t *chain, size_t target, const ecl_query_t *query, bson_t *pipeline,
                    bson_error_t *error)
{
   ecl_value_t filter = filter_of (query), version;
   stages_t stages = {0};
   ecl_arena_t arena;
   bool ok;

   bson_init (pipeline);
   ecl_arena_init (&arena);
   stages.arena = &arena;
   version = at_version (&arena, chain, target);
   add_stage (&stages, "$match",
              ecl_document_is_empty (&filter)
                 ? version
                 : ecl_make_object (&arena, "$and", ecl_make_pair (&arena, filter, version)));
   ok = check_filter (&filter, error);
   for (size_t i = 0; ok && i <= chain->n_steps; i++) {
      ok = i == target || add_branch (&stages, chain, i, target, &filter, error);
   }
   ok = ok && finish (&stages, query, pipeline, error);
   ecl_arena_cleanup (&arena);
   return ok;
}
