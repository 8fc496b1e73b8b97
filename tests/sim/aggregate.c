/* find and aggregate of the simulated server. The stages that only aggregate has ($group, $sort, $unwind, $sample) are
 * here, as far as eclose and the stories use them; the others are the engine's. */
#include "engine.h"

#include "bson/append.h"
#include "bson/compare.h"
#include "mql/expr.h"

#include <stdio.h>
#include <stdlib.h>

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
   engine_let_go ();
   if (ecl_key_is (&op, "$push")) {
      uint32_t n = 0;

      BSON_APPEND_ARRAY_BEGIN (out, key, &list);
      for (size_t i = 0; i < group->n; i++) {
         value = engine_evaluate (&op.value, rows->items[group->rows[i]]);
         if (!ecl_is_missing (&value)) {
            bson_uint32_to_string (n++, &at, buffer, sizeof buffer);
            ecl_append_value (&list, at, &value);
         }
      }
      bson_append_array_end (out, &list);
      return;
   }
   for (size_t i = 0; i < group->n; i++) {
      value = engine_evaluate (&op.value, rows->items[group->rows[i]]);
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
      engine_let_go ();
      key = engine_evaluate (&id, rows->items[i]);
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
   for (size_t i = 0; i < rows->n; i++) {
      int32_t code = 0;
      blob_t *row = engine_stage (stage, rows->items[i], now, &code);

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
