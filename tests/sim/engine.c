/* Filters, updates and expressions of the simulated server, by eclose's own engine; what was compiled is kept by its
 * bytes. */
#include "engine.h"

#include "bson/append.h"
#include "mql/match.h"
#include "mql/plan.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what is compiled ---- */

typedef enum { FILTER, UPDATE, STAGE, EXPRESSION } kind_t;

typedef struct compiled_t compiled_t;
struct compiled_t {
   compiled_t *next;
   uint64_t hash;
   kind_t kind;
   uint32_t len;
   ecl_match_t *match;
   ecl_plan_t *plan;
   ecl_arena_t arena; /* of the expression */
   ecl_expr_t *expr;
   uint8_t bytes[];
};

#define BUCKETS 8192u
#define MOST 6000u

static compiled_t *buckets[BUCKETS];
static size_t n_compiled;
static ecl_eval_t *ev;

static void
compiled_destroy (compiled_t *self)
{
   if (self->match) {
      ecl_match_destroy (self->match);
   }
   if (self->plan) {
      ecl_plan_destroy (self->plan);
   }
   ecl_arena_cleanup (&self->arena);
   bson_free (self);
}

static void
forget (void)
{
   for (size_t i = 0; i < BUCKETS; i++) {
      while (buckets[i]) {
         compiled_t *gone = buckets[i];

         buckets[i] = gone->next;
         compiled_destroy (gone);
      }
   }
   n_compiled = 0;
}

void
engine_cleanup (void)
{
   forget ();
   if (ev) {
      ecl_eval_cleanup (ev);
      bson_free (ev);
      ev = NULL;
   }
}

static void
report (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   (void) context;
   (void) at;
   fprintf (stderr, "sim: the server cannot read this: %s (%u)\n", message, code);
}

static void
compile (compiled_t *self)
{
   ecl_value_t value = ecl_raw_document (self->bytes, self->len), stages;
   ecl_match_options_t match = {.report = report, .allow_now = true};
   ecl_plan_options_t plan = {.report = report, .allow_now = true, .update = self->kind == UPDATE};
   ecl_parse_t parse;
   ecl_cursor_t cursor;
   ecl_field_t field;

   ecl_arena_init (&self->arena);
   switch (self->kind) {
   case FILTER:
      self->match = ecl_match_new (&value, &match);
      BSON_ASSERT (self->match);
      return;
   case UPDATE:
   case STAGE:
      self->plan = ecl_plan_new (&plan);
      stages = value;
      stages.type = BSON_TYPE_ARRAY;
      BSON_ASSERT (ecl_plan_add_pipeline (self->plan, &stages, NULL));
      ecl_plan_link (self->plan);
      return;
   case EXPRESSION:
      BSON_ASSERT (ecl_cursor_init (&cursor, self->bytes, self->len) && ecl_cursor_next (&cursor));
      field = ecl_field (cursor.key, cursor.key_len, ecl_document_get (&value, "v", 1));
      ecl_parse_init (&parse, &self->arena, ev, report, NULL);
      self->expr = ecl_parse_expr (&parse, &field);
      BSON_ASSERT (self->expr);
      ecl_eval_reserve_vars (ev, parse.max_vars);
      return;
   }
}

static const compiled_t *
compiled (kind_t kind, const uint8_t *bytes, uint32_t len)
{
   uint64_t hash = len + kind;
   compiled_t *self;
   uint32_t i = 0;

   if (!ev) {
      ev = bson_malloc0 (sizeof *ev);
      ecl_eval_init (ev);
   }
   for (; i + 8 <= len; i += 8) {
      uint64_t word;

      memcpy (&word, bytes + i, 8);
      hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
      hash ^= hash >> 29;
   }
   for (; i < len; i++) {
      hash = (hash ^ bytes[i]) * 0x100000001B3u;
   }
   hash ^= hash >> 32;
   for (self = buckets[hash % BUCKETS]; self; self = self->next) {
      if (self->hash == hash && self->kind == kind && self->len == len && memcmp (self->bytes, bytes, len) == 0) {
         return self;
      }
   }
   if (n_compiled == MOST) {
      forget ();
   }
   self = bson_malloc0 (sizeof *self + len);
   self->hash = hash;
   self->kind = kind;
   self->len = len;
   memcpy (self->bytes, bytes, len);
   compile (self);
   self->next = buckets[hash % BUCKETS];
   buckets[hash % BUCKETS] = self;
   n_compiled++;
   return self;
}

/* An expression may be of any type: {v: expression}. */
static const compiled_t *
compiled_expression (const ecl_value_t *value)
{
   bson_t wrapped = BSON_INITIALIZER;
   const compiled_t *self;

   ecl_append_value (&wrapped, "v", value);
   self = compiled (EXPRESSION, bson_get_data (&wrapped), wrapped.len);
   bson_destroy (&wrapped);
   return self;
}

/* ---- filters, updates ---- */

static bool
is_raw (const ecl_value_t *value)
{
   return value->type == BSON_TYPE_DOCUMENT && value->rep == ECL_REP_RAW;
}

bool
engine_matches (const ecl_value_t *filter, const blob_t *document, int64_t now)
{
   const compiled_t *self;
   ecl_value_t value = blob_value (document);
   bson_error_t error;
   bool matched;

   BSON_ASSERT (is_raw (filter));
   self = compiled (FILTER, filter->u.raw, filter->len);
   ecl_arena_reset (&ev->arena);
   ev->now = now;
   if (!ecl_match_run (self->match, ev, &value, &matched, &error)) {
      fprintf (stderr, "sim: a filter failed: %s\n", error.message);
      abort ();
   }
   return matched;
}

bool
engine_names_one (const ecl_value_t *filter, ecl_value_t *id)
{
   *id = ecl_document_get (filter, "_id", 3);
   if (ecl_is_document (id)) {
      ecl_field_t first;
      ecl_iter_t iter;

      ecl_iter_init (&iter, id);
      return ecl_iter_field (&iter, &first) && first.key[0] != '$';
   }
   return !ecl_is_missing (id) && !ecl_is_array (id) && id->type != BSON_TYPE_REGEX;
}

static blob_t *
run_plan (const compiled_t *self, const blob_t *document, int64_t now, int32_t *code)
{
   const uint8_t *out;
   bson_error_t error;
   size_t len;

   ev->now = now;
   ecl_arena_reset (&ev->arena);
   if (!ecl_plan_run (self->plan, ev, document->bytes, document->len, &out, &len, &error)) {
      *code = (int32_t) error.code;
      return NULL;
   }
   return blob_new (out, len);
}

/* {$set: {a: x}, $unset: {b: ""}, $inc: {c: 1}} as a pipeline. */
static void
append_classic (bson_t *pipeline, const ecl_value_t *update, bool inserting)
{
   ecl_field_t op, field;
   ecl_iter_t ops, iter;
   uint32_t n = 0;

   ecl_iter_init (&ops, update);
   while (ecl_iter_field (&ops, &op)) {
      if (ecl_key_is (&op, "$setOnInsert") && !inserting) {
         continue;
      }
      ecl_iter_init (&iter, &op.value);
      while (ecl_iter_field (&iter, &field)) {
         char *key = bson_strndup (field.key, field.key_len), *path = bson_strdup_printf ("$%s", key);
         bson_t stage, set, value;
         char name[16];
         const char *at;

         bson_uint32_to_string (n++, &at, name, sizeof name);
         BSON_APPEND_DOCUMENT_BEGIN (pipeline, at, &stage);
         if (ecl_key_is (&op, "$unset")) {
            BSON_APPEND_UTF8 (&stage, "$unset", key);
         } else {
            BSON_APPEND_DOCUMENT_BEGIN (&stage, "$set", &set);
            BSON_APPEND_DOCUMENT_BEGIN (&set, key, &value);
            if (ecl_key_is (&op, "$set") || ecl_key_is (&op, "$setOnInsert")) {
               ecl_append_value (&value, "$literal", &field.value);
            } else if (ecl_key_is (&op, "$inc")) {
               bson_t *add = BCON_NEW ("0", "{", "$ifNull", "[", BCON_UTF8 (path), BCON_INT32 (0), "]", "}");

               ecl_append_value (add, "1", &field.value);
               BSON_APPEND_ARRAY (&value, "$add", add);
               bson_destroy (add);
            } else {
               fprintf (stderr, "sim: the server does not know %.*s\n", (int) op.key_len, op.key);
               abort ();
            }
            bson_append_document_end (&set, &value);
            bson_append_document_end (&stage, &set);
         }
         bson_append_document_end (pipeline, &stage);
         bson_free (path);
         bson_free (key);
      }
   }
}

static blob_t *
replace (const ecl_value_t *with, const blob_t *document)
{
   bson_t out = BSON_INITIALIZER;
   ecl_value_t id = blob_get (document, "_id");
   ecl_field_t field;
   ecl_iter_t iter;

   ecl_append_value (&out, "_id", &id);
   ecl_iter_init (&iter, with);
   while (ecl_iter_field (&iter, &field)) {
      if (!ecl_key_is (&field, "_id")) {
         char *key = bson_strndup (field.key, field.key_len);

         ecl_append_value (&out, key, &field.value);
         bson_free (key);
      }
   }
   return blob_of (&out);
}

blob_t *
engine_update (const ecl_value_t *update, const blob_t *document, bool inserting, int64_t now, int32_t *code)
{
   bson_t pipeline = BSON_INITIALIZER;
   const compiled_t *self;
   ecl_field_t first;
   ecl_iter_t iter;

   if (ecl_is_array (update)) {
      BSON_ASSERT (update->rep == ECL_REP_RAW);
      bson_destroy (&pipeline);
      return run_plan (compiled (UPDATE, update->u.raw, update->len), document, now, code);
   }
   ecl_iter_init (&iter, update);
   if (!ecl_iter_field (&iter, &first) || first.key[0] != '$') {
      bson_destroy (&pipeline);
      return replace (update, document);
   }
   append_classic (&pipeline, update, inserting);
   self = compiled (UPDATE, bson_get_data (&pipeline), pipeline.len);
   bson_destroy (&pipeline);
   return run_plan (self, document, now, code);
}

/* ---- for aggregate ---- */

blob_t *
engine_stage (const ecl_value_t *stage, const blob_t *document, int64_t now, int32_t *code)
{
   bson_t list = BSON_INITIALIZER;
   const compiled_t *self;

   ecl_append_value (&list, "0", stage);
   self = compiled (STAGE, bson_get_data (&list), list.len);
   bson_destroy (&list);
   return run_plan (self, document, now, code);
}

ecl_value_t
engine_evaluate (const ecl_value_t *expression, const blob_t *document)
{
   const compiled_t *self = compiled_expression (expression);
   ecl_value_t root = blob_value (document), out;
   bson_error_t error;

   if (!ecl_expr_run (self->expr, ev, &root, &out, &error)) {
      fprintf (stderr, "sim: an expression failed: %s\n", error.message);
      abort ();
   }
   return out;
}

void
engine_let_go (void)
{
   if (ev) {
      ecl_arena_reset (&ev->arena);
   }
}
