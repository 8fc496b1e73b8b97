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
#include "mql/schema.h"
#include "text/text.h"

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

static void
check_pipeline (const char *yaml)
{
   ecl_plan_options_t options = {.report = complain, .report_context = (void *) (uintptr_t) yaml};
   ecl_plan_t *plan = ecl_plan_new (&options);
   ecl_text_t texts[N_DOCUMENTS], pipeline_text;
   ecl_value_t pipeline = read_text (&pipeline_text, yaml);
   ecl_eval_t ev;

   assert_true (ecl_plan_add_pipeline (plan, &pipeline, NULL));
   ecl_plan_link (plan);
   ecl_eval_init (&ev);
   for (size_t i = 0; i < N_DOCUMENTS; i++) {
      read_text (&texts[i], documents[i]);
   }
   for (int round = 0; round < WARM + COUNTED; round++) {
      for (size_t i = 0; i < N_DOCUMENTS; i++) {
         unsigned long before = allocations;
         const uint8_t *out;
         size_t len;
         bson_error_t error;
         bool ok = ecl_plan_run (plan, &ev, texts[i].doc + 6, texts[i].len - 7, &out, &len, &error);

         if (round >= WARM && allocations != before) {
            fail_msg ("%s on %s (%s): %lu allocations", yaml, documents[i], ok ? "done" : error.message,
                      allocations - before);
         }
      }
   }
   for (size_t i = 0; i < N_DOCUMENTS; i++) {
      ecl_text_cleanup (&texts[i]);
   }
   ecl_eval_cleanup (&ev);
   ecl_plan_destroy (plan);
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
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_counted),    cmocka_unit_test (test_expressions), cmocka_unit_test (test_examples),
      cmocka_unit_test (test_migrations), cmocka_unit_test (test_filters),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
