/* No allocation per document once warm: counted over what libbson, PCRE2 and libc do as well, because malloc and its
 * kin are taken over in this program (the linker's --wrap would not see calls inside shared libraries). Dynamic regular
 * expressions apart, which are compiled when they are first met. Not under sanitizers, which have a malloc of their
 * own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "../common/expressions.h"

#include "mql/match.h"
#include "mql/plan.h"
#include "text/text.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the count ---- */

/* glibc's own names of what is taken over. */
void *
__libc_malloc (size_t size);
void *
__libc_calloc (size_t n, size_t size);
void *
__libc_realloc (void *p, size_t size);
void *
__libc_memalign (size_t alignment, size_t size);

static unsigned long allocations;

void *
malloc (size_t size)
{
   allocations++;
   return __libc_malloc (size);
}

void *
calloc (size_t n, size_t size)
{
   allocations++;
   return __libc_calloc (n, size);
}

void *
realloc (void *p, size_t size)
{
   allocations++;
   return __libc_realloc (p, size);
}

void *
aligned_alloc (size_t alignment, size_t size)
{
   allocations++;
   return __libc_memalign (alignment, size);
}

int
posix_memalign (void **out, size_t alignment, size_t size)
{
   allocations++;
   *out = __libc_memalign (alignment, size);
   return *out ? 0 : 12;
}

/* ---- what is run ---- */

#define WARM 3
#define COUNTED 3

static const char *const documents[] = {
   "{_id: 1, a: 1, b: 2.5, c: {$numberLong: '3'}, d: {$numberDecimal: '1.50'}, e: -1}",
   "{_id: 2, a: 'a, b é x', b: ', ', c: '1', d: i, e: ''}",
   "{_id: 3, a: [3, 1, 2, 1, {x: 1}, {x: 2, y: {z: 1}}], b: [1, 2], c: [x, null, [1]], d: 2, e: 1}",
   "{_id: 4, a: {x: {y: [{z: 1}, {z: 2}]}}, b: {x: 1}, c: {}, d: {x: [1]}, e: {}}",
   "{_id: 5, a: {$date: '2017-07-04T11:56:02.813Z'}, b: {$date: '2018-01-01T00:00:00Z'}, c: month, d: Europe/Paris}",
   "{_id: 6, a: {$date: '2017-07-04T11:56:02.813Z'}, b: day, c: 3, d: '+05:30', e: monday}",
   "{_id: 7, a: '2017-07-04T11:56:02.813Z', b: '%Y-%m-%dT%H:%M:%S.%LZ', c: UTC, d: 1, e: null}",
   "{_id: 8, a: 2017, b: 2, c: 30, d: 12, e: America/New_York}",
   "{_id: 9, a: [{k: x, v: 1}, {k: y, v: [2]}], b: [[x, 1]], c: null, d: [], e: 1}",
   "{_id: 10, a: {$binary: {base64: YWJj, subType: '00'}}, b: string, c: err, e: base64}",
   "{_id: 11, a: {$oid: 56e1fc72e0c917e9c4714161}, b: date, c: {$timestamp: {t: 7, i: 2}}, d: {$minKey: 1}}",
   "{_id: 12, a: ['a b', bc, c], b: [x, y], c: ab, d: b, e: x}",
   "{_id: 13, a: '12', b: int, c: long, d: decimal, e: ' x '}",
   "{_id: 14, a: abcabc, b: bc, c: X}",
   "{_id: 15}",
};
#define N_DOCUMENTS (sizeof documents / sizeof documents[0])

/* What migrations of collections look like: a name is split, values are renamed and joined, arrays are reshaped, types
 * are mended, a document is turned inside out. */
static const char *const migrations[] = {
   "[{$set: {name: {$trim: {input: {$ifNull: [$name, '']}}}}},"
   " {$set: {last_name: {$last: {$split: [$name, ' ']}}}},"
   " {$set: {first_name: {$trim: {input: {$substrCP: [$name, 0,"
   "   {$subtract: [{$strLenCP: $name}, {$strLenCP: $last_name}]}]}}},"
   "   contacts: {$cond: [{$gt: [$phone, null]}, [{type: phone, value: $phone}], []]}}},"
   " {$unset: [name, phone]}]",
   "[{$set: {name: {$trim: {input: {$concat: [$a, ' ', $b]}}}, phone: {$let: {vars: {c: {$first: $a}}, in: $$c.x}}}},"
   " {$unset: [a, b]}]",
   "[{$set: {lines: {$map: {input: $a, in: {sku: $$this.x, total: {$ifNull: [$$this.y.z, 0]}}}}}},"
   " {$set: {sum: {$sum: $lines.total}, best: {$sortArray: {input: $lines, sortBy: {total: -1}}}}}]",
   "[{$set: {a: {$convert: {input: $a, to: int, onError: null, onNull: null}}, when: {$toDate: {$toLong: $_id}}}},"
   " {$project: {a: 1, when: 1, 'd.x': 1}}]",
   "[{$replaceWith: {_id: $_id, old: $$ROOT, fields: {$objectToArray: $$ROOT}}}, {$set: {'old.a.x': $fields.k}},"
   " {$unset: old.b}]",
};

static const char *const filters[] = {
   "{a: {$gt: 1}, 'a.x.y.z': {$in: [1, 2]}, $or: [{b: {$exists: false}}, {b: {$regex: '^b', $options: i}}]}",
   "{$expr: {$gt: [{$strLenCP: {$toString: $_id}}, 1]}, a: {$elemMatch: {x: {$gte: 1}}}}",
   "{$jsonSchema: {required: [_id], properties: {a: {bsonType: [int, array], items: {type: object}, minItems: 1}}}}",
};

static void
read_file (const char *path, char **bytes, size_t *size)
{
   FILE *file = fopen (path, "rb");
   size_t cap = 1 << 20;

   assert_non_null (file);
   *bytes = malloc (cap);
   *size = fread (*bytes, 1, cap - 1, file);
   (*bytes)[*size] = '\0';
   fclose (file);
}

static void
complain (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   (void) at;
   (void) code;
   print_error ("%s: %s\n", (const char *) context, message);
}

static ecl_value_t
read_text (ecl_text_t *text, const char *yaml)
{
   ecl_text_source_t source = {.name = "test", .bytes = yaml, .len = strlen (yaml)};
   ecl_diags_t diags;
   ecl_value_t root;

   ecl_text_init (text);
   ecl_diags_init (&diags);
   if (!ecl_text_read_any (text, &source, ECL_TEXT_ANY_VALUE, &diags)) {
      fail_msg ("%s cannot be read: %s", yaml, diags.items[0].message);
   }
   ecl_diags_cleanup (&diags);
   root = ecl_raw_document (text->doc, text->len);
   return ecl_document_get (&root, "", 0);
}

/* Runs the pipeline on each document a few times; counts in the last rounds. */
static void
check_plan (const char *name, const ecl_value_t *pipeline, const ecl_value_t *values, size_t n)
{
   ecl_plan_options_t options = {.report = complain, .report_context = (void *) (uintptr_t) name};
   ecl_plan_t *plan = ecl_plan_new (&options);
   ecl_eval_t ev;

   assert_true (ecl_plan_add_pipeline (plan, pipeline, NULL));
   ecl_plan_link (plan);
   ecl_eval_init (&ev);
   for (int round = 0; round < WARM + COUNTED; round++) {
      for (size_t i = 0; i < n; i++) {
         unsigned long before = allocations;
         const uint8_t *out;
         size_t len;
         bson_error_t error;
         bool ok = ecl_plan_run (plan, &ev, values[i].u.raw, values[i].len, &out, &len, &error);

         if (round >= WARM && allocations != before) {
            fail_msg ("%s on document %zu (%s): %lu allocations", name, i, ok ? "done" : error.message,
                      allocations - before);
         }
      }
   }
   ecl_eval_cleanup (&ev);
   ecl_plan_destroy (plan);
}

static void
check_pipeline (const char *yaml)
{
   ecl_text_t texts[N_DOCUMENTS], pipeline_text;
   ecl_value_t values[N_DOCUMENTS], pipeline = read_text (&pipeline_text, yaml);

   for (size_t i = 0; i < N_DOCUMENTS; i++) {
      values[i] = read_text (&texts[i], documents[i]);
   }
   check_plan (yaml, &pipeline, values, N_DOCUMENTS);
   for (size_t i = 0; i < N_DOCUMENTS; i++) {
      ecl_text_cleanup (&texts[i]);
   }
   ecl_text_cleanup (&pipeline_text);
}

static void
check_expression (const char *expression)
{
   static const char *const forms[] = {"[{$set: {r: %s}}]", "[{$replaceWith: {r: %s, old: $$ROOT}}]"};

   for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
      char *yaml = bson_strdup_printf (forms[i], expression);

      check_pipeline (yaml);
      bson_free (yaml);
   }
}

/* ---- the tests ---- */

static void
test_counted (void **state)
{
   unsigned long before = allocations;

   (void) state;
   bson_free (bson_malloc (7));
   assert_true (allocations > before);
}

#define X(text) text,
static const char *const expressions[] = {ECL_TEST_EXPRESSIONS (X)};
#undef X

static void
test_expressions (void **state)
{
   (void) state;
   for (size_t i = 0; i < sizeof expressions / sizeof expressions[0]; i++) {
      if (!strstr (expressions[i], "regex: $")) {
         check_expression (expressions[i]);
      }
   }
}

/* Most are folded; those that fail or read variables are not. */
static void
test_examples (void **state)
{
   const ecl_operator_t *op;

   (void) state;
   for (size_t i = 0; (op = ecl_operator_at (i)); i++) {
      if (op->example) {
         check_expression (op->example);
      }
   }
}

static void
test_migrations (void **state)
{
   (void) state;
   for (size_t i = 0; i < sizeof migrations / sizeof migrations[0]; i++) {
      check_pipeline (migrations[i]);
   }
}

/* The migrations of examples/, both ways, on the documents that they show. */
static void
test_examples_of_migrations (void **state)
{
   const char *root = *state;
   char *pattern = bson_strdup_printf ("%s/*/migrations/*/*.yaml", root);
   glob_t files;

   assert_int_equal (glob (pattern, 0, NULL, &files), 0);
   assert_true (files.gl_pathc >= 5);
   for (size_t i = 0; i < files.gl_pathc; i++) {
      static const char *const ways[][2] = {{"up", "in"}, {"down", "out"}};
      char *bytes = NULL;
      size_t size = 0;

      read_file (files.gl_pathv[i], &bytes, &size);
      for (int w = 0; w < 2; w++) {
         ecl_text_t text;
         ecl_value_t file = read_text (&text, bytes), list, item, values[64];
         ecl_value_t pipeline = ecl_document_get (&file, ways[w][0], strlen (ways[w][0]));
         ecl_iter_t iter;
         size_t n = 0;

         list = ecl_document_get (&file, "examples", 8);
         if (pipeline.type == BSON_TYPE_ARRAY && list.type == BSON_TYPE_ARRAY) {
            ecl_iter_init (&iter, &list);
            while (n < 64 && ecl_iter_item (&iter, &item)) {
               values[n] = ecl_document_get (&item, ways[w][1], strlen (ways[w][1]));
               n += values[n].type == BSON_TYPE_DOCUMENT;
            }
            assert_true (n > 0);
            check_plan (files.gl_pathv[i], &pipeline, values, n);
         }
         ecl_text_cleanup (&text);
      }
      free (bytes);
   }
   globfree (&files);
   bson_free (pattern);
}

static void
test_filters (void **state)
{
   (void) state;
   for (size_t f = 0; f < sizeof filters / sizeof filters[0]; f++) {
      ecl_match_options_t options = {.report = complain, .report_context = (void *) (uintptr_t) filters[f]};
      ecl_text_t filter_text, texts[N_DOCUMENTS];
      ecl_value_t filter = read_text (&filter_text, filters[f]);
      ecl_value_t values[N_DOCUMENTS];
      ecl_match_t *match = ecl_match_new (&filter, &options);
      ecl_eval_t ev;

      assert_non_null (match);
      ecl_eval_init (&ev);
      for (size_t i = 0; i < N_DOCUMENTS; i++) {
         values[i] = read_text (&texts[i], documents[i]);
      }
      for (int round = 0; round < WARM + COUNTED; round++) {
         for (size_t i = 0; i < N_DOCUMENTS; i++) {
            unsigned long before = allocations;
            bson_error_t error;
            bool matched;

            if (!ecl_match_run (match, &ev, &values[i], &matched, &error)) {
               fail_msg ("%s on %s: %s", filters[f], documents[i], error.message);
            }
            if (round >= WARM && allocations != before) {
               fail_msg ("%s on %s: %lu allocations", filters[f], documents[i], allocations - before);
            }
         }
      }
      ecl_eval_cleanup (&ev);
      ecl_match_destroy (match);
      for (size_t i = 0; i < N_DOCUMENTS; i++) {
         ecl_text_cleanup (&texts[i]);
      }
      ecl_text_cleanup (&filter_text);
   }
}

int
main (int argc, char **argv)
{
   void *examples = argc > 1 ? argv[1] : (void *) (uintptr_t) "examples";
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_counted),  cmocka_unit_test (test_expressions),
      cmocka_unit_test (test_examples), cmocka_unit_test (test_migrations),
      cmocka_unit_test (test_filters),  cmocka_unit_test_prestate (test_examples_of_migrations, examples),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
