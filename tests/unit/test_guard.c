/* Guarded statements: what they say, and a property over random documents, evaluated by our own engine: on the document
 * that was read, the statement gives the upgraded document byte for byte; on one that changed meanwhile it either gives
 * what upgrading that one gives, or changes nothing; and where a field changed that the plan names, it changes
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "bson/cursor.h"
#include "mql/match.h"
#include "run/guard.h"

#define ROUNDS 4000

static const char *const pipelines[] = {
   "[{\"$set\": {\"e\": {\"$concat\": [{\"$type\": \"$a\"}, \"-\", {\"$type\": \"$b.x\"}]}, \"v\": 2}}]",
   "[{\"$set\": {\"f\": \"$a\"}}, {\"$unset\": [\"a\", \"b\"]}, {\"$set\": {\"v\": 2}}]",
   "[{\"$set\": {\"b.y\": 5, \"v\": 2}}]",
   "[{\"$unset\": \"c\"}, {\"$set\": {\"c\": \"$d\", \"v\": 2}}]",
   "[{\"$set\": {\"n\": {\"$size\": {\"$objectToArray\": \"$$ROOT\"}}, \"v\": 2}}]",
   "[{\"$set\": {\"a\": {\"$cond\": [{\"$eq\": [\"$d\", 1]}, \"one\", \"$a\"]}, \"v\": 2}}]",
};
#define N_PIPELINES (sizeof pipelines / sizeof pipelines[0])

static uint64_t seed = 20261122;

static uint32_t
pick (uint32_t n)
{
   seed = seed * 6364136223846793005u + 1442695040888963407u;
   return (uint32_t) (seed >> 33) % n;
}

static void
append_random (bson_t *to, const char *key, int depth)
{
   bson_t child;

   switch (pick (depth > 2 ? 9 : 12)) {
   case 0:
      BSON_APPEND_INT32 (to, key, (int32_t) pick (3));
      break;
   case 1:
      BSON_APPEND_INT64 (to, key, pick (3));
      break;
   case 2:
      BSON_APPEND_DOUBLE (to, key, 1 + pick (3));
      break;
   case 3:
      BSON_APPEND_UTF8 (to, key, pick (2) ? "x" : "$y");
      break;
   case 4:
      BSON_APPEND_BOOL (to, key, pick (2));
      break;
   case 5:
      BSON_APPEND_NULL (to, key);
      break;
   case 6:
      BSON_APPEND_DATE_TIME (to, key, pick (3));
      break;
   case 7:
      BSON_APPEND_SYMBOL (to, key, "x");
      break;
   case 8:
      BSON_APPEND_DOUBLE (to, key, (double) NAN);
      break;
   case 9:
   case 10:
      BSON_APPEND_DOCUMENT_BEGIN (to, key, &child);
      for (const char *const *name = (const char *const[]){"x", "y", "z", NULL}; *name; name++) {
         if (pick (2)) {
            append_random (&child, *name, depth + 1);
         }
      }
      bson_append_document_end (to, &child);
      break;
   default:
      BSON_APPEND_ARRAY_BEGIN (to, key, &child);
      for (uint32_t i = 0, n = pick (4); i < n; i++) {
         char name[4] = {(char) ('0' + i)};

         append_random (&child, name, depth + 1);
      }
      bson_append_array_end (to, &child);
   }
}

static const char *const names[] = {"a", "b", "c", "d", "g", "h"};

static bson_t *
random_document (void)
{
   bson_t *doc = bson_new ();

   BSON_APPEND_INT32 (doc, "_id", 7);
   BSON_APPEND_INT32 (doc, "v", 1);
   for (size_t i = 0; i < 6; i++) {
      if (pick (4)) {
         append_random (doc, names[i], 0);
      }
   }
   return doc;
}

/* The document with another value, or none, or a new one at one of its fields. */
static bson_t *
mutate (const bson_t *doc, const char *name)
{
   bson_t *out = bson_new ();
   bool drop = pick (4) == 0, there = bson_has_field (doc, name);
   bson_iter_t iter;

   bson_iter_init (&iter, doc);
   while (bson_iter_next (&iter)) {
      if (strcmp (bson_iter_key (&iter), name) != 0) {
         bson_append_iter (out, NULL, -1, &iter);
      } else if (!drop) {
         append_random (out, name, 0);
      }
   }
   if (!there) {
      append_random (out, name, 0);
   }
   return out;
}

static ecl_plan_t *
make_plan (const ecl_value_t *pipeline)
{
   ecl_plan_options_t options = {.update = true, .max_size = ECL_BSON_MAX_INTERNAL_SIZE};
   ecl_plan_t *plan = ecl_plan_new (&options);

   assert_true (ecl_plan_add_pipeline (plan, pipeline, NULL));
   ecl_plan_link (plan);
   return plan;
}

/* Runs a plan and copies the result; false where it fails. */
static bool
run_plan (const ecl_plan_t *plan, ecl_arena_t *arena, const ecl_value_t *in, ecl_value_t *out)
{
   const uint8_t *bytes;
   bson_error_t error;
   ecl_eval_t ev;
   size_t len;
   bool good;

   ecl_eval_init (&ev);
   good = ecl_plan_run (plan, &ev, in->u.raw, in->len, &bytes, &len, &error);
   if (good) {
      uint8_t *copy = ecl_arena_array (arena, uint8_t, len);

      memcpy (copy, bytes, len);
      *out = ecl_raw_document (copy, len);
   }
   ecl_eval_cleanup (&ev);
   return good;
}

/* What the server would store: the document itself where the filter does not match. */
static ecl_value_t
apply (ecl_arena_t *arena, const ecl_value_t *filter, const ecl_value_t *update, const ecl_value_t *document)
{
   ecl_match_t *match = ecl_match_new (filter, NULL);
   ecl_plan_t *plan = make_plan (update);
   ecl_value_t out = *document;
   bson_error_t error;
   ecl_eval_t ev;
   bool matched;

   assert_non_null (match);
   ecl_eval_init (&ev);
   assert_true (ecl_match_run (match, &ev, document, &matched, &error));
   if (matched) {
      assert_true (run_plan (plan, arena, document, &out));
   }
   ecl_eval_cleanup (&ev);
   ecl_match_destroy (match);
   ecl_plan_destroy (plan);
   return out;
}

static bool
same (const ecl_value_t *a, const ecl_value_t *b)
{
   return a->len == b->len && memcmp (a->u.raw, b->u.raw, a->len) == 0;
}

static bool
is_named (const ecl_guard_fields_t *fields, const char *name)
{
   for (size_t i = 0; i < fields->n; i++) {
      if (strcmp (fields->names[i], name) == 0) {
         return true;
      }
   }
   return fields->whole;
}

static bool
is_text (const ecl_value_t *v)
{
   return v->type == BSON_TYPE_UTF8 || v->type == BSON_TYPE_SYMBOL;
}

/* The guard takes symbols for strings: see guard.c. */
static bool
only_symbols_differ (const ecl_value_t *a, const ecl_value_t *b)
{
   return ecl_equal (a, b) && (a->type == BSON_TYPE_ARRAY || a->type == BSON_TYPE_DOCUMENT || is_text (a));
}

static void
check_round (size_t pipeline, ecl_guard_form_t form, unsigned *applied, unsigned *refused, unsigned *transactions)
{
   bson_error_t error;
   char *json = bson_strdup_printf ("{\"p\": %s}", pipelines[pipeline]);
   bson_t *wrapped = bson_new_from_json ((const uint8_t *) json, -1, &error), *doc = random_document ();
   const char *name = names[pick (6)];
   bson_t *other = mutate (doc, name);
   ecl_value_t root = ecl_raw_document (bson_get_data (wrapped), wrapped->len), list = ecl_document_get (&root, "p", 1);
   ecl_value_t stored = ecl_raw_document (bson_get_data (doc), doc->len);
   ecl_value_t changed = ecl_raw_document (bson_get_data (other), other->len);
   ecl_value_t wanted, wanted_of_changed, filter, update, result, before, after;
   ecl_plan_t *plan = make_plan (&list);
   ecl_guard_fields_t fields;
   ecl_arena_t arena;
   const char *why;

   ecl_arena_init (&arena);
   ecl_guard_fields (&arena, plan, &fields);
   if (!run_plan (plan, &arena, &stored, &wanted)) {
      goto done;
   }
   switch (ecl_guard_build (&arena, &fields, &stored, &wanted, form, &filter, &update, &why)) {
   case ECL_GUARD_TRANSACTION:
      assert_non_null (why);
      (*transactions)++;
      goto done;
   case ECL_GUARD_NOTHING:
      assert_true (same (&stored, &wanted));
      goto done;
   default:
      break;
   }
   result = apply (&arena, &filter, &update, &stored);
   assert_true (same (&result, &wanted));

   result = apply (&arena, &filter, &update, &changed);
   before = ecl_document_get (&stored, name, strlen (name));
   after = ecl_document_get (&changed, name, strlen (name));
   if (same (&result, &changed)) {
      (*refused)++;
      if (!is_named (&fields, name) && pipeline != 3) {
         /* Nothing that counts changed (the fourth moves what stands behind c). */
         assert_true (!run_plan (plan, &arena, &changed, &wanted_of_changed) || same (&stored, &changed));
      }
   } else {
      (*applied)++;
      if (is_named (&fields, name)) {
         assert_true (ecl_identical (&before, &after) || only_symbols_differ (&before, &after));
      }
      if (!only_symbols_differ (&before, &after)) {
         assert_true (run_plan (plan, &arena, &changed, &wanted_of_changed));
         assert_true (same (&result, &wanted_of_changed));
      }
   }

done:
   ecl_plan_destroy (plan);
   ecl_arena_cleanup (&arena);
   bson_destroy (doc);
   bson_destroy (other);
   bson_destroy (wrapped);
   bson_free (json);
}

static void
check_form (ecl_guard_form_t form)
{
   unsigned applied = 0, refused = 0, transactions = 0;

   for (size_t i = 0; i < ROUNDS; i++) {
      check_round (i % N_PIPELINES, form, &applied, &refused, &transactions);
   }
   /* All three must have been met, or the documents are not random enough. */
   assert_true (applied > ROUNDS / 50 && refused > ROUNDS / 50 && transactions > ROUNDS / 200);
}

static void
test_in_filter (void **state)
{
   (void) state;
   check_form (ECL_GUARD_IN_FILTER);
}

static void
test_in_pipeline (void **state)
{
   (void) state;
   check_form (ECL_GUARD_IN_PIPELINE);
}

/* Documents that no statement can be exact about. */
static void
test_transactions (void **state)
{
   static const struct {
      const char *doc, *why;
   } cases[] = {
      {"{\"_id\": 1, \"v\": 1, \"a\": [{\"n\": [1]}]}", "numbers in an array inside of an array"},
      {"{\"_id\": 1, \"v\": 1, \"a\": [[1]]}", "numbers in an array inside of an array"},
      {"{\"_id\": 1, \"v\": 1, \"a\": [{\"x.y\": 1}]}", "a number under a name with a dot or a leading $"},
      {"{\"_id\": 1, \"v\": 1, \"a\": [{\"x\": 1, \"x\": 2.5}]}", "a name that comes twice in one document"},
      {"{\"_id\": 1, \"v\": 1, \"a\": {\"x.y\": 1}}", "a number under a name with a dot or a leading $"},
      {"{\"_id\": 1, \"v\": 1, \"a\": {\"x\": 1, \"x\": 2.5}}", "a name that comes twice in one document"},
      {"{\"_id\": 1, \"v\": 1, \"a\": 1, \"a\": 2}", "a name that comes twice in one document"},
      {"{\"_id\": 1, \"c\": 1, \"c\": 2, \"v\": 1, \"a\": 1}", "a name that comes twice in one document"},
      {"{\"_id\": 1, \"v\": 1, \"__eclose_unchanged\": 1}", "a field that is called __eclose_unchanged"},
   };
   bson_error_t error;

   (void) state;
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      bson_t *pipeline =
         bson_new_from_json ((const uint8_t *) "{\"p\": [{\"$set\": {\"b\": \"$a\", \"v\": 2}}]}", -1, &error);
      bson_t *doc = bson_new_from_json ((const uint8_t *) cases[i].doc, -1, &error);
      ecl_value_t root = ecl_raw_document (bson_get_data (pipeline), pipeline->len);
      ecl_value_t list = ecl_document_get (&root, "p", 1), stored = ecl_raw_document (bson_get_data (doc), doc->len);
      ecl_plan_t *plan = make_plan (&list);
      ecl_value_t wanted, filter, update;
      ecl_guard_fields_t fields;
      ecl_arena_t arena;
      const char *why;

      ecl_arena_init (&arena);
      ecl_guard_fields (&arena, plan, &fields);
      assert_true (run_plan (plan, &arena, &stored, &wanted));
      assert_int_equal (
         ecl_guard_build (&arena, &fields, &stored, &wanted, ECL_GUARD_IN_FILTER, &filter, &update, &why),
         ECL_GUARD_TRANSACTION);
      assert_string_equal (why, cases[i].why);
      ecl_arena_cleanup (&arena);
      ecl_plan_destroy (plan);
      bson_destroy (doc);
      bson_destroy (pipeline);
   }
}

/* Every number in arrays of documents counts by its type: with one of them as another type the guard fails. Each "#" of
 * the text is the int32 1, and one by one a double. */
static void
test_numbers_in_arrays (void **state)
{
   static const char *const texts[] = {
      "[{\"n\": #}, {\"n\": #, \"p\": {\"q\": #, \"r\": \"x\"}}, {\"m\": \"x\"}]",
      "[{\"n\": #, \"l\": []}, # , \"x\", null, [], [\"n\"], {\"n\": {\"n\": #}}, {\"n\": [\"n\"]}, {\"l\": #}]",
      "[{\"p\": {\"n\": #}}, {\"p\": [{\"n\": \"x\"}]}, {\"p\": \"x\"}, {\"p\": [[{\"x\": null}]]}, {}]",
      "[{\"n\": #}]",
   };

   (void) state;
   for (size_t i = 0; i < sizeof texts / sizeof texts[0] * 2; i++) {
      ecl_guard_form_t form = i % 2 ? ECL_GUARD_IN_PIPELINE : ECL_GUARD_IN_FILTER;
      const char *text = texts[i / 2];
      int numbers = 0;

      for (const char *c = text; *c; c++) {
         numbers += *c == '#';
      }
      for (int other = 0; other <= numbers; other++) { /* the last: none is another one */
         bson_error_t error;
         bson_t *pipeline =
            bson_new_from_json ((const uint8_t *) "{\"p\": [{\"$set\": {\"b\": \"$a\", \"v\": 2}}]}", -1, &error);
         bson_t docs[2];
         ecl_value_t root = ecl_raw_document (bson_get_data (pipeline), pipeline->len), stored, changed, wanted, result;
         ecl_value_t list = ecl_document_get (&root, "p", 1), filter, update;
         ecl_plan_t *plan = make_plan (&list);
         ecl_guard_fields_t fields;
         ecl_arena_t arena;
         const char *why;

         for (int which = 0; which < 2; which++) {
            char json[1024] = "{\"_id\": 1, \"v\": 1, \"a\": ";
            size_t len = strlen (json);
            int k = 0;

            for (const char *c = text; *c; c++) {
               if (*c == '#') {
                  len += (size_t) snprintf (json + len, sizeof json - len, "%s", which && k == other ? "1.0" : "1");
                  k++;
               } else {
                  json[len++] = *c;
               }
            }
            snprintf (json + len, sizeof json - len, "}");
            assert_true (bson_init_from_json (&docs[which], json, -1, &error));
         }
         stored = ecl_raw_document (bson_get_data (&docs[0]), docs[0].len);
         changed = ecl_raw_document (bson_get_data (&docs[1]), docs[1].len);
         ecl_arena_init (&arena);
         ecl_guard_fields (&arena, plan, &fields);
         assert_true (run_plan (plan, &arena, &stored, &wanted));
         assert_int_equal (ecl_guard_build (&arena, &fields, &stored, &wanted, form, &filter, &update, &why),
                           ECL_GUARD_STATEMENT);
         result = apply (&arena, &filter, &update, &changed);
         assert_true (other == numbers ? same (&result, &wanted) : same (&result, &changed));
         ecl_arena_cleanup (&arena);
         ecl_plan_destroy (plan);
         bson_destroy (&docs[0]);
         bson_destroy (&docs[1]);
         bson_destroy (pipeline);
      }
   }
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_in_filter),
      cmocka_unit_test (test_in_pipeline),
      cmocka_unit_test (test_transactions),
      cmocka_unit_test (test_numbers_in_arrays),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
