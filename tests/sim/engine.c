/* Filters and pipelines of the simulated server, by eclose's own engine; what was compiled is kept by its bytes. The
 * stages that only aggregate has ($group, $sort, $unwind, $sample) are here, as far as eclose and the stories use them.
 */
#include "sim.h"

#include "mql/match.h"
#include "mql/plan.h"
#include "upgrade/append.h"

/* ---- documents ---- */

blob_t *
blob_new (const uint8_t *bytes, size_t len)
{
   blob_t *self = bson_malloc (sizeof *self + len);

   self->refs = 1;
   self->len = (uint32_t) len;
   memcpy (self->bytes, bytes, len);
   return self;
}

blob_t *
blob_of (bson_t *document)
{
   blob_t *self = blob_new (bson_get_data (document), document->len);

   bson_destroy (document);
   return self;
}

void
blob_unref (blob_t *self)
{
   if (self && --self->refs == 0) {
      bson_free (self);
   }
}

ecl_value_t
blob_value (const blob_t *self)
{
   return ecl_raw_document (self->bytes, self->len);
}

ecl_value_t
blob_get (const blob_t *self, const char *field)
{
   ecl_value_t document;

   if (!self) {
      return ecl_missing ();
   }
   document = blob_value (self);
   return ecl_document_get (&document, field, strlen (field));
}

int64_t
blob_number (const blob_t *self, const char *field)
{
   ecl_value_t value = blob_get (self, field);
   int64_t number = 0;

   return ecl_is_number (&value) && ecl_number_to_int64 (&value, &number) ? number : 0;
}

const char *
blob_text (const blob_t *self, const char *field)
{
   ecl_value_t value = blob_get (self, field);

   /* In raw BSON it is terminated. */
   return ecl_is_string (&value) ? value.u.str : "";
}

void
rows_add (rows_t *self, blob_t *row)
{
   if (self->n == self->cap) {
      self->cap = 2 * self->cap + 8;
      self->items = bson_realloc (self->items, self->cap * sizeof *self->items);
   }
   self->items[self->n++] = row;
}

void
rows_cleanup (rows_t *self)
{
   for (size_t i = 0; i < self->n; i++) {
      blob_unref (self->items[i]);
   }
   bson_free (self->items);
   memset (self, 0, sizeof *self);
}

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

/* ---- aggregate ---- */

/* The value lives until the evaluator is used again. */
static ecl_value_t
evaluate (const ecl_value_t *expression, const blob_t *document)
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

typedef struct {
   blob_t *key; /* {_id: key} */
   size_t *rows, n;
} group_t;

static void
append_accumulated (bson_t *out, const char *key, const ecl_value_t *spec, const group_t *group, const rows_t *rows)
{
   ecl_value_t value, total = ecl_missing ();
   ecl_field_t op;
   ecl_iter_t iter;
   int64_t sum = 0, number;
   char buffer[16];
   const char *at;
   bson_t list;

   ecl_iter_init (&iter, spec);
   BSON_ASSERT (ecl_iter_field (&iter, &op));
   ecl_arena_reset (&ev->arena);
   if (ecl_key_is (&op, "$push")) {
      uint32_t n = 0;

      BSON_APPEND_ARRAY_BEGIN (out, key, &list);
      for (size_t i = 0; i < group->n; i++) {
         value = evaluate (&op.value, rows->items[group->rows[i]]);
         if (!ecl_is_missing (&value)) {
            bson_uint32_to_string (n++, &at, buffer, sizeof buffer);
            ecl_append_value (&list, at, &value);
         }
      }
      bson_append_array_end (out, &list);
      return;
   }
   for (size_t i = 0; i < group->n; i++) {
      value = evaluate (&op.value, rows->items[group->rows[i]]);
      if (ecl_key_is (&op, "$sum")) {
         sum += ecl_is_number (&value) && ecl_number_to_int64 (&value, &number) ? number : 0;
      } else if (i == 0 || ecl_key_is (&op, "$last") ||
                 (ecl_key_is (&op, "$min") && ecl_compare (&value, &total) < 0) ||
                 (ecl_key_is (&op, "$max") && ecl_compare (&value, &total) > 0)) {
         total = value;
      } else if (!ecl_key_is (&op, "$first") && !ecl_key_is (&op, "$min") && !ecl_key_is (&op, "$max")) {
         fprintf (stderr, "sim: the server does not know %.*s\n", (int) op.key_len, op.key);
         abort ();
      }
   }
   if (ecl_key_is (&op, "$sum")) {
      total = ecl_int32 ((int32_t) sum);
   }
   ecl_append_value (out, key, &total);
}

static void
run_group (const ecl_value_t *spec, rows_t *rows)
{
   group_t *groups = bson_malloc0 ((rows->n + 1) * sizeof *groups);
   ecl_value_t id = ecl_document_get (spec, "_id", 3), key, have;
   rows_t out = {0};
   size_t n = 0, g;

   for (size_t i = 0; i < rows->n; i++) {
      ecl_arena_reset (&ev->arena);
      key = evaluate (&id, rows->items[i]);
      if (ecl_is_missing (&key)) {
         key = ecl_null ();
      }
      for (g = 0; g < n; g++) {
         have = blob_get (groups[g].key, "_id");
         if (ecl_equal (&have, &key)) {
            break;
         }
      }
      if (g == n) {
         bson_t wrapped = BSON_INITIALIZER;

         ecl_append_value (&wrapped, "_id", &key);
         groups[n].key = blob_of (&wrapped);
         groups[n++].rows = bson_malloc (rows->n * sizeof (size_t));
      }
      groups[g].rows[groups[g].n++] = i;
   }
   for (g = 0; g < n; g++) {
      bson_t document = BSON_INITIALIZER;
      ecl_field_t field;
      ecl_iter_t iter;

      have = blob_get (groups[g].key, "_id");
      ecl_append_value (&document, "_id", &have);
      ecl_iter_init (&iter, spec);
      while (ecl_iter_field (&iter, &field)) {
         char *name = bson_strndup (field.key, field.key_len);

         if (strcmp (name, "_id") != 0) {
            append_accumulated (&document, name, &field.value, &groups[g], rows);
         }
         bson_free (name);
      }
      rows_add (&out, blob_of (&document));
      blob_unref (groups[g].key);
      bson_free (groups[g].rows);
   }
   bson_free (groups);
   rows_cleanup (rows);
   *rows = out;
}

static int
by_spec (const ecl_value_t *spec, const blob_t *a, const blob_t *b)
{
   ecl_field_t field;
   ecl_iter_t iter;
   int order = 0;

   ecl_iter_init (&iter, spec);
   while (!order && ecl_iter_field (&iter, &field)) {
      ecl_value_t left = blob_value (a), right = blob_value (b);

      left = ecl_document_get (&left, field.key, field.key_len);
      right = ecl_document_get (&right, field.key, field.key_len);
      order = ecl_compare (&left, &right) * (field.value.u.i64 < 0 ? -1 : 1);
   }
   return order;
}

/* Stable, and short lists. */
static void
run_sort (const ecl_value_t *spec, rows_t *rows)
{
   for (size_t i = 1; i < rows->n; i++) {
      blob_t *row = rows->items[i];
      size_t at = i;

      for (; at > 0 && by_spec (spec, row, rows->items[at - 1]) < 0; at--) {
         rows->items[at] = rows->items[at - 1];
      }
      rows->items[at] = row;
   }
}

/* The document with another value in a top-level field; missing: without it. */
static blob_t *
with_field (const blob_t *document, const char *name, const ecl_value_t *value)
{
   ecl_value_t whole = blob_value (document);
   bson_t out = BSON_INITIALIZER;
   bool placed = false;
   ecl_field_t field;
   ecl_iter_t iter;

   ecl_iter_init (&iter, &whole);
   while (ecl_iter_field (&iter, &field)) {
      char *key = bson_strndup (field.key, field.key_len);
      bool here = strcmp (key, name) == 0;

      ecl_append_value (&out, key, here ? value : &field.value);
      placed |= here;
      bson_free (key);
   }
   if (!placed) {
      ecl_append_value (&out, name, value);
   }
   return blob_of (&out);
}

static void
run_unwind (const ecl_value_t *spec, rows_t *rows)
{
   rows_t out = {0};

   BSON_ASSERT (ecl_is_string (spec) && spec->u.str[0] == '$');
   for (size_t i = 0; i < rows->n; i++) {
      ecl_value_t list = blob_get (rows->items[i], spec->u.str + 1), item;
      ecl_iter_t iter;

      if (!ecl_is_array (&list)) {
         if (!ecl_is_nullish (&list)) {
            rows_add (&out, blob_ref (rows->items[i]));
         }
         continue;
      }
      ecl_iter_init (&iter, &list);
      while (ecl_iter_item (&iter, &item)) {
         rows_add (&out, with_field (rows->items[i], spec->u.str + 1, &item));
      }
   }
   rows_cleanup (rows);
   *rows = out;
}

static const char *
text_of (const ecl_value_t *spec, const char *field)
{
   ecl_value_t value = ecl_document_get (spec, field, strlen (field));

   BSON_ASSERT (ecl_is_string (&value));
   return value.u.str;
}

static void
run_lookup (const ecl_value_t *spec, rows_t *rows, void (*others) (void *context, const char *name, rows_t *out),
            void *context)
{
   rows_t foreign = {0};

   others (context, text_of (spec, "from"), &foreign);
   for (size_t i = 0; i < rows->n; i++) {
      ecl_value_t here = blob_get (rows->items[i], text_of (spec, "localField")), list;
      ecl_value_t *found = bson_malloc ((foreign.n + 1) * sizeof *found);
      uint32_t n = 0;
      blob_t *row;

      for (size_t j = 0; j < foreign.n; j++) {
         ecl_value_t there = blob_get (foreign.items[j], text_of (spec, "foreignField"));

         if (ecl_equal (&here, &there)) {
            found[n++] = blob_value (foreign.items[j]);
         }
      }
      list = ecl_vec (found, n);
      row = with_field (rows->items[i], text_of (spec, "as"), &list);
      blob_unref (rows->items[i]);
      rows->items[i] = row;
      bson_free (found);
   }
   rows_cleanup (&foreign);
}

static void
cut (rows_t *rows, size_t n)
{
   while (rows->n > n) {
      blob_unref (rows->items[--rows->n]);
   }
}

static void
run_sample (const ecl_value_t *spec, rows_t *rows, uint64_t (*random) (void *context), void *context)
{
   ecl_value_t size = ecl_document_get (spec, "size", 4);
   int64_t n = 0;

   BSON_ASSERT (ecl_number_to_int64 (&size, &n));
   for (size_t i = 0; i < rows->n; i++) {
      size_t j = i + random (context) % (rows->n - i);
      blob_t *row = rows->items[i];

      rows->items[i] = rows->items[j];
      rows->items[j] = row;
   }
   cut (rows, (size_t) n);
}

static void
keep_matching (const ecl_value_t *filter, rows_t *rows, int64_t now)
{
   size_t kept = 0;

   for (size_t i = 0; i < rows->n; i++) {
      blob_t *row = rows->items[i];

      if (ecl_is_missing (filter) || engine_matches (filter, row, now)) {
         rows->items[kept++] = row;
      } else {
         blob_unref (row);
      }
   }
   rows->n = kept;
}

void
engine_find (const ecl_value_t *filter, const ecl_value_t *sort, rows_t *rows, int64_t now)
{
   keep_matching (filter, rows, now);
   run_sort (sort, rows);
}

static void
run_stage (const ecl_value_t *stage, rows_t *rows, int64_t now)
{
   bson_t list = BSON_INITIALIZER;
   const compiled_t *self;

   ecl_append_value (&list, "0", stage);
   self = compiled (STAGE, bson_get_data (&list), list.len);
   bson_destroy (&list);
   for (size_t i = 0; i < rows->n; i++) {
      int32_t code = 0;
      blob_t *row = run_plan (self, rows->items[i], now, &code);

      if (!row) {
         fprintf (stderr, "sim: a stage failed (%d)\n", code);
         abort ();
      }
      blob_unref (rows->items[i]);
      rows->items[i] = row;
   }
}

void
engine_aggregate (const ecl_value_t *pipeline, rows_t *rows,
                  void (*others) (void *context, const char *name, rows_t *out), void *context,
                  uint64_t (*random) (void *context), int64_t now)
{
   ecl_value_t stage;
   ecl_iter_t iter;

   ecl_iter_init (&iter, pipeline);
   while (ecl_iter_item (&iter, &stage)) {
      ecl_field_t spec;
      ecl_iter_t one;
      int64_t n = 0;

      ecl_iter_init (&one, &stage);
      BSON_ASSERT (ecl_iter_field (&one, &spec));
      if (ecl_key_is (&spec, "$match")) {
         keep_matching (&spec.value, rows, now);
      } else if (ecl_key_is (&spec, "$group")) {
         run_group (&spec.value, rows);
      } else if (ecl_key_is (&spec, "$sort")) {
         run_sort (&spec.value, rows);
      } else if (ecl_key_is (&spec, "$unwind")) {
         run_unwind (&spec.value, rows);
      } else if (ecl_key_is (&spec, "$lookup")) {
         run_lookup (&spec.value, rows, others, context);
      } else if (ecl_key_is (&spec, "$sample")) {
         run_sample (&spec.value, rows, random, context);
      } else if (ecl_key_is (&spec, "$limit")) {
         BSON_ASSERT (ecl_number_to_int64 (&spec.value, &n));
         cut (rows, (size_t) n);
      } else if (ecl_key_is (&spec, "$count")) {
         bson_t document = BSON_INITIALIZER;

         n = (int64_t) rows->n;
         BSON_APPEND_INT32 (&document, spec.value.u.str, (int32_t) n);
         cut (rows, 0);
         if (n) {
            rows_add (rows, blob_of (&document));
         } else {
            bson_destroy (&document);
         }
      } else {
         run_stage (&stage, rows, now);
      }
   }
}
