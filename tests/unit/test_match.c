/* Matches and schemas beyond yes and no: what is reported and where, paths, reasons, and that a run allocates nothing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "mql/match.h"
#include "mql/schema.h"

#include <stdlib.h>

/* ---- allocations are counted: the linker sends ours here ---- */

static unsigned allocations;

void *
__real_malloc (size_t size);
void *
__real_realloc (void *p, size_t size);
void *
__real_bson_malloc (size_t size);
void *
__real_bson_malloc0 (size_t size);
void *
__real_bson_realloc (void *p, size_t size);
void *
__wrap_malloc (size_t size);
void *
__wrap_realloc (void *p, size_t size);
void *
__wrap_bson_malloc (size_t size);
void *
__wrap_bson_malloc0 (size_t size);
void *
__wrap_bson_realloc (void *p, size_t size);

void *
__wrap_malloc (size_t size)
{
   allocations++;
   return __real_malloc (size);
}

void *
__wrap_realloc (void *p, size_t size)
{
   allocations++;
   return __real_realloc (p, size);
}

void *
__wrap_bson_malloc (size_t size)
{
   allocations++;
   return __real_bson_malloc (size);
}

void *
__wrap_bson_malloc0 (size_t size)
{
   allocations++;
   return __real_bson_malloc0 (size);
}

void *
__wrap_bson_realloc (void *p, size_t size)
{
   allocations++;
   return __real_bson_realloc (p, size);
}

/* ---- helpers ---- */

static bson_t *
from_json (const char *json)
{
   bson_error_t error;
   bson_t *b = bson_new_from_json ((const uint8_t *) json, -1, &error);

   if (!b) {
      fail_msg ("%s: %s", json, error.message);
   }
   return b;
}

static ecl_value_t
value_of (const bson_t *b)
{
   return ecl_raw_document (bson_get_data (b), b->len);
}

typedef struct {
   const bson_t *bson;
   unsigned n;
   char keys[256]; /* of the elements that were pointed at, one after another */
   char codes[128];
} reports_t;

static void
on_report (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   reports_t *self = context;
   size_t used = strlen (self->keys), codes = strlen (self->codes);

   assert_true (at > bson_get_data (self->bson));
   assert_true (at < bson_get_data (self->bson) + self->bson->len);
   assert_true (*message);
   self->n++;
   snprintf (self->keys + used, sizeof self->keys - used, "%s ", (const char *) at + 1);
   snprintf (self->codes + codes, sizeof self->codes - codes, "%u ", code);
}

/* ---- tests ---- */

static void
test_all_problems_are_reported (void **state)
{
   bson_t *filter =
      from_json ("{\"a\": {\"$gt\": 1, \"$nope\": 2, \"$size\": -1}, \"$where\": \"x\", \"$and\": [{\"b\": "
                 "{\"$in\": 3}}, {\"$or\": []}], \"c\": {\"$elemMatch\": {\"d\": {\"$mod\": [0, 1]}}}, "
                 "\"$expr\": {\"$bad\": 1}, \"$jsonSchema\": {\"x\": 1, \"properties\": {\"p\": {\"minimum\": "
                 "\"3\", \"maxLength\": -1}}}}");
   reports_t reports = {.bson = filter};
   ecl_match_options_t options = {.report = on_report, .report_context = &reports};
   ecl_value_t v = value_of (filter);

   (void) state;
   assert_null (ecl_match_new (&v, &options));
   assert_string_equal (reports.keys, "$nope $size $where $in $or $mod $bad x maxLength minimum ");
   assert_string_equal (reports.codes, "2 2 2 2 2 2 168 9 9 14 ");
   assert_null (ecl_match_new (&v, NULL));
   bson_destroy (filter);
}

static void
test_paths (void **state)
{
   bson_t *filter = from_json ("{\"a.b\": 1, \"$or\": [{\"c\": {\"$gt\": 1}}, {\"a.b\": 2}], \"d\": {\"$elemMatch\": "
                               "{\"e\": 1}}, \"$expr\": {\"$eq\": [\"$f.g\", \"$c\"]}}");
   static const char *const expected[] = {"a.b", "c", "d", "f.g"};
   ecl_value_t v = value_of (filter);
   ecl_match_t *match = ecl_match_new (&v, NULL);
   const char *const *paths;
   size_t n;
   bool whole;

   (void) state;
   assert_non_null (match);
   paths = ecl_match_paths (match, &n, &whole);
   assert_int_equal (n, 4);
   assert_false (whole);
   for (size_t i = 0; i < n; i++) {
      assert_string_equal (paths[i], expected[i]);
   }
   ecl_match_destroy (match);
   bson_destroy (filter);

   filter = from_json ("{\"$expr\": {\"$eq\": [\"$$ROOT\", 1]}}");
   v = value_of (filter);
   match = ecl_match_new (&v, NULL);
   ecl_match_paths (match, &n, &whole);
   assert_int_equal (n, 0);
   assert_true (whole);
   ecl_match_destroy (match);
   bson_destroy (filter);
}

static void
test_failing_expression (void **state)
{
   bson_t *filter =
      from_json ("{\"$nor\": [{\"$expr\": {\"$cond\": [{\"$eq\": [\"$a\", 1]}, {\"$switch\": {\"branches\": "
                 "[{\"case\": {\"$eq\": [\"$a\", 2]}, \"then\": 1}]}}, 0]}}]}");
   bson_t *bad = from_json ("{\"a\": 1}"), *good = from_json ("{\"a\": 2}");
   ecl_value_t v = value_of (filter), document = value_of (bad);
   ecl_match_t *match = ecl_match_new (&v, NULL);
   bson_error_t error;
   ecl_eval_t ev;
   bool matched = true;

   (void) state;
   assert_non_null (match);
   ecl_eval_init (&ev);
   assert_false (ecl_match_run (match, &ev, &document, &matched, &error));
   assert_int_equal (error.domain, ECL_DOMAIN_MQL);
   assert_int_equal (error.code, 40066);
   assert_false (matched);
   document = value_of (good);
   assert_true (ecl_match_run (match, &ev, &document, &matched, NULL));
   assert_true (matched);
   ecl_eval_cleanup (&ev);
   ecl_match_destroy (match);
   bson_destroy (filter);
   bson_destroy (good);
   bson_destroy (bad);
}

static void
test_a_run_allocates_nothing (void **state)
{
   bson_t *filter = from_json (
      "{\"a.b\": {\"$in\": [1, 2, 3, \"x\"]}, \"s\": {\"$regex\": \"^h.*o$\", \"$options\": \"i\"}, \"t\": "
      "{\"$elemMatch\": "
      "{\"k\": 1, \"v\": {\"$not\": {\"$gt\": 5}}}}, \"$expr\": {\"$eq\": [{\"$ifNull\": [\"$a.b\", 0]}, [1, 9]]}, "
      "\"$jsonSchema\": {\"properties\": {\"t\": {\"uniqueItems\": true}, \"s\": {\"enum\": [\"hello\"], \"pattern\": "
      "\"h\"}}, \"required\": [\"a\"], \"additionalProperties\": false, \"patternProperties\": {\"^[ast]$\": {}}}}");
   bson_t *document =
      from_json ("{\"a\": [{\"b\": 1}, {\"b\": 9}], \"s\": \"hello\", \"t\": [{\"k\": 2, \"v\": 1}, {\"v\": 4, "
                 "\"k\": 1}]}");
   ecl_value_t v = value_of (filter), d = value_of (document);
   ecl_match_t *match = ecl_match_new (&v, NULL);
   bson_error_t error;
   ecl_eval_t ev;
   unsigned before = 0;
   bool matched;

   (void) state;
   assert_non_null (match);
   ecl_eval_init (&ev);
   for (int i = 0; i < 100; i++) {
      matched = false;
      if (!ecl_match_run (match, &ev, &d, &matched, &error)) {
         fail_msg ("%s", error.message);
      }
      assert_true (matched);
      if (i == 9) {
         before = allocations;
      }
   }
   assert_true (before > 0);
   assert_int_equal (allocations, before);
   ecl_eval_cleanup (&ev);
   ecl_match_destroy (match);
   bson_destroy (filter);
   bson_destroy (document);
}

static void
on_problem (void *context, const ecl_schema_problem_t *problem)
{
   char *text = context;
   size_t used = strlen (text);

   assert_string_equal (problem->keyword, (const char *) problem->rule + 1);
   snprintf (text + used, 2000 - used, "%s|%s|%s|%s\n", problem->path, problem->keyword, problem->expected,
             ecl_type_name (problem->found->type));
}

static void
test_explain (void **state)
{
   bson_t *spec = from_json (
      "{\"schema\": {\"required\": [\"login\", \"age\"], \"maxProperties\": 4, \"properties\": {\"login\": {}, "
      "\"age\": {\"bsonType\": "
      "[\"int\", \"long\"], \"minimum\": 18}, \"name\": {\"minLength\": 3, \"maxLength\": 2, \"pattern\": "
      "\"^[a-z]*$\", \"enum\": "
      "[\"x\", 5]}, \"tags\": {\"uniqueItems\": true, \"minItems\": 4, \"items\": {\"type\": \"string\"}}, \"o\": "
      "{\"properties\": {\"p\": {\"multipleOf\": 2, \"maximum\": 3, \"exclusiveMaximum\": true, \"not\": {\"minimum\": "
      "1}}}, "
      "\"dependencies\": {\"p\": [\"q\"]}}, \"l\": {\"items\": [{}], \"additionalItems\": false, \"anyOf\": "
      "[{\"type\": "
      "\"null\"}, {\"maxItems\": 1}], \"oneOf\": [{}, {}], \"allOf\": [{\"maxItems\": 1}]}}, \"additionalProperties\": "
      "false}}");
   bson_t *document =
      from_json ("{\"login\": \"a\", \"name\": \"A\", \"tags\": [\"x\", 1, \"x\"], \"o\": {\"p\": 3}, \"l\": [1, 2], "
                 "\"extra\": true}");
   ecl_value_t root = value_of (spec), d = value_of (document);
   ecl_field_t field;
   ecl_iter_t iter;
   ecl_schema_t *schema;
   ecl_eval_t ev;
   char text[2000] = "";
   bool valid;

   (void) state;
   ecl_iter_init (&iter, &root);
   assert_true (ecl_iter_field (&iter, &field));
   schema = ecl_schema_new (&field, NULL);
   assert_non_null (schema);
   ecl_eval_init (&ev);
   ecl_schema_run (schema, &ev, &d, &valid);
   assert_false (valid);
   assert_false (ecl_schema_explain (schema, &ev, &d, on_problem, text));
   assert_string_equal (text, "name|enum|one of \"x\", 5|string\n"
                              "name|minLength|at least 3 characters|string\n"
                              "name|pattern|a match of /^[a-z]*$/|string\n"
                              "tags|minItems|at least 4 elements|array\n"
                              "tags|uniqueItems|no element twice|array\n"
                              "tags.1|type|string|int\n"
                              "o.p|maximum|less than 3|int\n"
                              "o.p|multipleOf|a multiple of 2|int\n"
                              "o.p|not|not valid by this schema|int\n"
                              "o.q|dependencies|a field of this name, because there is 'p'|missing\n"
                              "l|additionalItems|at most 1 elements|array\n"
                              "l|maxItems|at most 1 elements|array\n"
                              "l|anyOf|valid by at least one of 2 schemas|array\n"
                              "l|oneOf|valid by exactly one of 2 schemas, not by more|array\n"
                              "extra|additionalProperties|no other fields than those of the schema|bool\n"
                              "age|required|a field of this name|missing\n"
                              "|maxProperties|at most 4 fields|object\n");
   bson_destroy (document);
   document = from_json ("{\"login\": \"a\", \"age\": 20, \"name\": \"x\"}");
   d = value_of (document);
   text[0] = '\0';
   assert_false (ecl_schema_explain (schema, &ev, &d, on_problem, text));
   assert_string_equal (text, "name|minLength|at least 3 characters|string\n");
   bson_destroy (document);
   document = from_json ("{\"login\": \"a\", \"age\": 20}");
   d = value_of (document);
   assert_true (ecl_schema_explain (schema, &ev, &d, on_problem, text));
   ecl_eval_cleanup (&ev);
   ecl_schema_destroy (schema);
   bson_destroy (document);
   bson_destroy (spec);
}

/* Many values, and nesting up to the bounds. */
static void
test_sizes (void **state)
{
   bson_t filter = BSON_INITIALIZER, in, list, document;
   ecl_value_t v, d;
   ecl_match_t *match;
   ecl_eval_t ev;
   bool matched;
   char key[16];

   (void) state;
   bson_append_document_begin (&filter, "a", -1, &in);
   bson_append_array_begin (&in, "$in", -1, &list);
   for (int i = 0; i < 5000; i++) {
      snprintf (key, sizeof key, "%d", i);
      bson_append_int32 (&list, key, -1, i * 7 % 5000 * 2);
   }
   bson_append_array_end (&in, &list);
   bson_append_document_end (&filter, &in);
   v = value_of (&filter);
   match = ecl_match_new (&v, NULL);
   assert_non_null (match);
   ecl_eval_init (&ev);
   for (int i = -1; i < 10001; i++) {
      bson_init (&document);
      bson_append_double (&document, "a", -1, i);
      d = value_of (&document);
      assert_true (ecl_match_run (match, &ev, &d, &matched, NULL));
      assert_int_equal (matched, i >= 0 && i < 10000 && i % 2 == 0);
      bson_destroy (&document);
   }
   ecl_match_destroy (match);
   bson_destroy (&filter);

   /* 90 levels of $not are read, 120 are refused. */
   for (int levels = 90; levels <= 120; levels += 30) {
      bson_t *inner = BCON_NEW ("$eq", BCON_INT32 (1));

      for (int i = 0; i < levels; i++) {
         bson_t *outer = bson_new ();

         bson_append_document (outer, "$not", -1, inner);
         bson_destroy (inner);
         inner = outer;
      }
      bson_init (&filter);
      bson_append_document (&filter, "a", -1, inner);
      bson_destroy (inner);
      v = value_of (&filter);
      match = ecl_match_new (&v, NULL);
      assert_int_equal (match != NULL, levels == 90);
      if (match) {
         bson_init (&document);
         bson_append_int32 (&document, "a", -1, 1);
         d = value_of (&document);
         assert_true (ecl_match_run (match, &ev, &d, &matched, NULL));
         assert_true (matched);
         bson_destroy (&document);
      }
      ecl_match_destroy (match);
      bson_destroy (&filter);
   }
   ecl_eval_cleanup (&ev);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_all_problems_are_reported),
      cmocka_unit_test (test_paths),
      cmocka_unit_test (test_failing_expression),
      cmocka_unit_test (test_a_run_allocates_nothing),
      cmocka_unit_test (test_explain),
      cmocka_unit_test (test_sizes),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
