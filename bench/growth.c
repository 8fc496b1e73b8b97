/* How the time of each operator grows with its input: elements or characters, 1, 10 and 100 times a thousand.
 *
 *    growth [NAME]
 *
 * Prints ns per element at each size and the largest against the smallest. Around 1 is linear (caches and the logarithm
 * of a sort make it a little more), 10 and above is quadratic; such a row is marked, and its largest size left out. The
 * status is 1 then. */
#include "mql/match.h"
#include "mql/plan.h"
#include "text/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BASE 1000u
#define SIZES 3

/* Time is taken as the least of a few runs: what else the machine does only adds. */
#define RUNS 3

/* A ratio of ns per element between one size and the next, ten times as large, that no sort and no cache explains. */
#define QUADRATIC 5.0

/* Over the fields that make_document makes. */
static const char *const expressions[] = {
   /* strings of n characters */
   "{$concat: [$s, $s]}",
   "{$split: [$s, ' ']}",
   "{$split: [$same, a]}",
   "{$split: [$s, $t]}",
   "{$replaceAll: {input: $s, find: ' ', replacement: ''}}",
   "{$replaceAll: {input: $same, find: aa, replacement: b}}",
   "{$replaceAll: {input: $same, find: aaaaaaaaaaaaaaab, replacement: b}}",
   "{$replaceOne: {input: $same, find: aaaab, replacement: b}}",
   "{$replaceOne: {input: $same, find: $sameb, replacement: b}}",
   "{$indexOfBytes: [$s, $t]}",
   "{$indexOfBytes: [$same, $half]}",
   "{$indexOfCP: [$same, $half]}",
   "{$indexOfCP: [$s, $t]}",
   "{$indexOfCP: [$cp, y]}",
   "{$strLenCP: $cp}",
   "{$strLenBytes: $s}",
   "{$strcasecmp: [$s, $s]}",
   "{$toLower: $s}",
   "{$toUpper: $s}",
   "{$trim: {input: $blank}}",
   "{$trim: {input: $same, chars: ba}}",
   "{$trim: {input: $cp, chars: $cp}}",
   "{$ltrim: {input: $blank}}",
   "{$rtrim: {input: $cp, chars: é}}",
   "{$substrCP: [$cp, 10, 1000000]}",
   "{$substrBytes: [$s, 10, -1]}",
   "{$regexMatch: {input: $s, regex: 'zz$'}}",
   "{$regexFind: {input: $cp, regex: 'y$'}}",
   "{$regexFindAll: {input: $s, regex: '[a-z]+'}}",
   "{$regexFindAll: {input: $cp, regex: é}}",
   "{$regexFindAll: {input: $cp, regex: ''}}",
   "{$dateFromString: {dateString: $s, onError: null}}",
   "{$dateFromString: {dateString: $digits, onError: null}}",
   "{$dateToString: {date: {$date: '2017-07-04T11:56:02.813Z'}, format: $format}}",
   "{$dateFromString: {dateString: $s, format: $format, onError: null}}",
   "{$toInt: {$literal: '1'}}",
   "{$convert: {input: $digits, to: decimal, onError: null}}",
   "{$convert: {input: $digits, to: double, onError: null}}",
   "{$convert: {input: $digits, to: int, onError: null}}",
   "{$convert: {input: $digits, to: date, onError: null}}",
   "{$convert: {input: $s, to: binData, format: utf8}}",
   "{$convert: {input: {$convert: {input: $s, to: binData, format: utf8}}, to: string, format: base64}}",
   "{$convert: {input: {$convert: {input: $s, to: binData, format: utf8}}, to: string, format: hex}}",
   "{$binarySize: $s}",
   "{$eq: [$s, $s]}",
   /* arrays of n elements */
   "{$arrayElemAt: [$a, -1]}",
   "{$arrayToObject: $pairs}",
   "{$arrayToObject: {$map: {input: $pairs, in: {k: a, v: $$this.v}}}}",
   "{$concatArrays: [$a, $a]}",
   "{$concatArrays: [$a, [1], [2], [3]]}",
   "{$filter: {input: $a, cond: {$gt: [$$this, 5]}}}",
   "{$filter: {input: $objects, cond: {$gt: [$$this.x, 5]}, limit: 1000000}}",
   "{$first: $a}",
   "{$last: $a}",
   "{$firstN: {input: $a, n: 1000000}}",
   "{$lastN: {input: $a, n: 1000000}}",
   "{$maxN: {input: $a, n: 1000000}}",
   "{$minN: {input: $b, n: {$divide: [{$size: $b}, 2]}}}",
   "{$in: [-5, $a]}",
   "{$in: [$a, [$a]]}",
   "{$indexOfArray: [$a, -5]}",
   "{$map: {input: $objects, in: $$this.x}}",
   "{$map: {input: $a, in: {v: $$this, w: [$$this]}}}",
   "{$range: [0, {$size: $a}]}",
   "{$reduce: {input: $a, initialValue: 0, in: {$add: [$$value, $$this]}}}",
   "{$reduce: {input: $words, initialValue: '', in: {$concat: [$$value, $$this]}}}",
   "{$reduce: {input: $words, initialValue: '', in: {$concat: [$$value, ', ', $$this]}}}",
   "{$reduce: {input: $a, initialValue: [], in: {$concatArrays: [$$value, [$$this]]}}}",
   "{$reduce: {input: $a, initialValue: [], in: {$concatArrays: [$$value, [{$toDecimal: {$toString: $$this}}]]}}}",
   "{$reduce: {input: $a, initialValue: {n: [], s: ''}, in: {n: {$concatArrays: [$$value.n, [$$this]]},"
   " s: {$concat: [$$value.s, x]}}}}",
   "{$reduce: {input: $pairs, initialValue: {}, in: {$mergeObjects: [$$value, {same: $$this.v}]}}}",
   /* picked from by index, in a loop */
   "{$map: {input: {$range: [0, {$size: $a}]}, in: {$arrayElemAt: [$a, $$this]}}}",
   "{$map: {input: {$range: [0, {$size: $objects}]}, in: [{$arrayElemAt: [$objects, $$this]}, {$arrayElemAt: [$b, "
   "$$this]}]}}",
   "{$map: {input: {$range: [0, {$size: $a}, 10]}, in: {$slice: [$a, $$this, 10]}}}",
   "{$map: {input: $a, in: {$subtract: [{$size: $a}, $$this]}}}",
   "{$map: {input: {$range: [0, {$size: $objects}]}, in: {$arrayElemAt: [$objects.x, $$this]}}}",
   "{$reverseArray: $a}",
   "{$size: $a}",
   "{$slice: [$a, 5, 1000000]}",
   "{$slice: [$a, -1000000]}",
   "{$sortArray: {input: $b, sortBy: 1}}",
   "{$sortArray: {input: $a, sortBy: -1}}",
   "{$sortArray: {input: $equal, sortBy: 1}}",
   "{$sortArray: {input: $objects, sortBy: {y: 1, x: -1}}}",
   "{$zip: {inputs: [$a, $b, $words]}}",
   "{$zip: {inputs: [$a, [1]], useLongestLength: true, defaults: [0, 1]}}",
   "{$isArray: [$a]}",
   "{$eq: [$objects, $objects]}",
   "$objects.x",
   "$nested.v.w",
   /* sets */
   "{$allElementsTrue: [$a]}",
   "{$anyElementTrue: [$zeros]}",
   "{$setDifference: [$a, $b]}",
   "{$setDifference: [$objects, $objects]}",
   "{$setEquals: [$a, $b]}",
   "{$setEquals: [$a, $a, $a]}",
   "{$setIntersection: [$a, $b]}",
   "{$setIntersection: [$objects, $objects]}",
   "{$setIsSubset: [$a, $a]}",
   "{$setIsSubset: [$words, $words]}",
   "{$setUnion: [$a, $b]}",
   "{$setUnion: [$objects, $pairs]}",
   "{$setUnion: [$equal, $zeros]}",
   "{$setUnion: [$decimals, $doubles]}",
   /* numbers */
   "{$sum: $a}",
   "{$avg: $doubles}",
   "{$min: $b}",
   "{$max: $words}",
   "{$stdDevPop: $doubles}",
   "{$stdDevSamp: $a}",
   "{$sum: $decimals}",
   "{$median: {input: $b, method: approximate}}",
   "{$percentile: {input: $b, p: [0.1, 0.5, 0.9], method: approximate}}",
   /* objects of n fields */
   "{$objectToArray: $o}",
   "{$mergeObjects: [$o, {new: 1}]}",
   "{$mergeObjects: [$o, $o]}",
   "{$mergeObjects: $objects}",
   "{$getField: {field: none, input: $o}}",
   "{$map: {input: {$objectToArray: $o}, in: {$getField: {field: $$this.k, input: $o}}}}",
   "{$setField: {field: new, input: $o, value: 1}}",
   "{$unsetField: {field: f10, input: $o}}",
   "{$bsonSize: $$ROOT}",
   "{$type: $o}",
   "{$eq: [$o, $o]}",
   "$o.none",
   "{$let: {vars: {x: $o}, in: $$x.none}}",
   "$$ROOT",
   "{$toString: $a}",
   "{$cond: [$a, $b, $s]}",
   "{$ifNull: [$a, $b]}",
};

static const char *const pipelines[] = {
   "[{$set: {objects.new: 1}}]",
   "[{$set: {objects: {z: $s}}}]",
   "[{$unset: [objects.x, o.f1]}]",
   "[{$project: {objects.x: 1, o.f5: 1}}]",
   "[{$replaceWith: $o}]",
   "[{$replaceWith: $o}, {$set: {f7: 1, f8: $f9}}, {$unset: f1}]",
   "[{$set: {old: $$ROOT}}, {$unset: s}]",
};

static const char *const filters[] = {
   "{a: -1}",
   "{objects.x: -1}",
   "{objects: {$elemMatch: {x: -1}}}",
   "{a: {$all: [-1, -2]}}",
   "{a: {$size: -0}}",
   "{a: {$in: [-1, -2, -3]}}",
   "{objects.5.x: -1}",
   "{$expr: {$in: [-1, $a]}}",
   "{words: /zz$/}",
   "{$jsonSchema: {properties: {a: {uniqueItems: true}, o: {additionalProperties: {type: number}}}}}",
   "{$jsonSchema: {properties: {objects: {uniqueItems: true, items: {required: [x]}}}}}",
};

static uint64_t
scramble (uint64_t x)
{
   x = (x ^ (x >> 31)) * 0x7fb5d329728ea185ull;
   x = (x ^ (x >> 27)) * 0x81dadef4bc2dd44dull;
   return x ^ (x >> 33);
}

static void
add_string (bson_t *doc, const char *key, const char *piece, size_t n, const char *end)
{
   size_t len = strlen (piece), pieces = n / len + 1;
   char *text = malloc (pieces * len + strlen (end) + 1), *p = text;

   while (pieces--) {
      memcpy (p, piece, len);
      p += len;
   }
   memcpy (p, end, strlen (end));
   p += strlen (end);
   bson_append_utf8 (doc, key, -1, text, (int) (p - text));
   free (text);
}

typedef void (*add_fn) (bson_t *array, const char *key, unsigned i);

static void
add_array (bson_t *doc, const char *key, unsigned n, add_fn add)
{
   bson_t array;

   bson_append_array_begin (doc, key, -1, &array);
   for (unsigned i = 0; i < n; i++) {
      char buffer[16];
      const char *index;

      bson_uint32_to_string (i, &index, buffer, sizeof buffer);
      add (&array, index, i);
   }
   bson_append_array_end (doc, &array);
}

static void
add_int (bson_t *array, const char *key, unsigned i)
{
   BSON_APPEND_INT32 (array, key, (int32_t) i);
}

static void
add_scrambled (bson_t *array, const char *key, unsigned i)
{
   BSON_APPEND_INT32 (array, key, (int32_t) (scramble (i) & 0x7fffffff));
}

static void
add_one (bson_t *array, const char *key, unsigned i)
{
   (void) i;
   BSON_APPEND_INT32 (array, key, 1);
}

static void
add_zero (bson_t *array, const char *key, unsigned i)
{
   (void) i;
   BSON_APPEND_INT32 (array, key, 0);
}

static void
add_double (bson_t *array, const char *key, unsigned i)
{
   BSON_APPEND_DOUBLE (array, key, (double) scramble (i) / 7);
}

static void
add_decimal (bson_t *array, const char *key, unsigned i)
{
   char text[32];
   bson_decimal128_t d;

   snprintf (text, sizeof text, "%u.%u", i, i % 10);
   bson_decimal128_from_string (text, &d);
   BSON_APPEND_DECIMAL128 (array, key, &d);
}

static void
add_word (bson_t *array, const char *key, unsigned i)
{
   char text[32];

   snprintf (text, sizeof text, "w%u", i);
   BSON_APPEND_UTF8 (array, key, text);
}

static void
add_object (bson_t *array, const char *key, unsigned i)
{
   bson_t object;

   BSON_APPEND_DOCUMENT_BEGIN (array, key, &object);
   BSON_APPEND_INT32 (&object, "x", (int32_t) i);
   BSON_APPEND_INT32 (&object, "y", (int32_t) (scramble (i) % 100));
   bson_append_document_end (array, &object);
}

static void
add_pair (bson_t *array, const char *key, unsigned i)
{
   bson_t object;
   char name[32];

   snprintf (name, sizeof name, "k%u", i);
   BSON_APPEND_DOCUMENT_BEGIN (array, key, &object);
   BSON_APPEND_UTF8 (&object, "k", name);
   BSON_APPEND_INT32 (&object, "v", (int32_t) i);
   bson_append_document_end (array, &object);
}

static void
add_nested (bson_t *array, const char *key, unsigned i)
{
   bson_t object, list, inner;

   BSON_APPEND_DOCUMENT_BEGIN (array, key, &object);
   BSON_APPEND_ARRAY_BEGIN (&object, "v", &list);
   BSON_APPEND_DOCUMENT_BEGIN (&list, "0", &inner);
   BSON_APPEND_INT32 (&inner, "w", (int32_t) i);
   bson_append_document_end (&list, &inner);
   bson_append_array_end (&object, &list);
   bson_append_document_end (array, &object);
}

static void
make_document (bson_t *doc, unsigned n)
{
   bson_t o;

   bson_init (doc);
   BSON_APPEND_INT32 (doc, "_id", 1);
   add_string (doc, "s", "lorem ipsum dolor ", n, "");
   add_string (doc, "t", "q", 40, "");
   add_string (doc, "same", "a", n, "");
   add_string (doc, "half", "a", n / 2, "b");
   add_string (doc, "sameb", "a", n / 3, "b");
   add_string (doc, "cp", "éxñ", n, "y");
   add_string (doc, "blank", " ", n, "");
   add_string (doc, "digits", "12345", n, "");
   add_string (doc, "format", "%Y-", n / 10, "");
   add_array (doc, "a", n, add_int);
   add_array (doc, "b", n, add_scrambled);
   add_array (doc, "equal", n, add_one);
   add_array (doc, "zeros", n, add_zero);
   add_array (doc, "doubles", n, add_double);
   add_array (doc, "decimals", n / 4, add_decimal);
   add_array (doc, "words", n, add_word);
   add_array (doc, "objects", n, add_object);
   add_array (doc, "pairs", n, add_pair);
   add_array (doc, "nested", n / 2, add_nested);
   BSON_APPEND_DOCUMENT_BEGIN (doc, "o", &o);
   for (unsigned i = 0; i < n; i++) {
      char key[16];

      snprintf (key, sizeof key, "f%u", i);
      bson_append_int32 (&o, key, -1, (int32_t) i);
   }
   bson_append_document_end (doc, &o);
}

/* ---- measuring ---- */

static bson_t documents[SIZES];

static double
now_ns (void)
{
   struct timespec t;

   clock_gettime (CLOCK_MONOTONIC, &t);
   return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

static unsigned
size_of (int i)
{
   return i == 0 ? BASE : i == 1 ? 10 * BASE : 100 * BASE;
}

static ecl_value_t
read_text (ecl_text_t *text, const char *yaml)
{
   ecl_text_source_t source = {.name = "growth", .bytes = yaml, .len = strlen (yaml)};
   ecl_diags_t diags;
   ecl_value_t root;

   ecl_text_init (text);
   ecl_diags_init (&diags);
   if (!ecl_text_read_any (text, &source, ECL_TEXT_ANY_VALUE, &diags)) {
      fprintf (stderr, "cannot read %s: %s\n", yaml, diags.items[0].message);
      exit (2);
   }
   ecl_diags_cleanup (&diags);
   root = ecl_raw_document (text->doc, text->len);
   return ecl_document_get (&root, "", 0);
}

/* Whole runs of one thing on the i-th document; false where it fails, which is measured too. */
typedef bool (*run_fn) (const void *self, ecl_eval_t *ev, int i, bson_error_t *error);

static bool
run_plan (const void *self, ecl_eval_t *ev, int i, bson_error_t *error)
{
   const uint8_t *out;
   size_t len;

   return ecl_plan_run (self, ev, bson_get_data (&documents[i]), documents[i].len, &out, &len, error);
}

static bool
run_match (const void *self, ecl_eval_t *ev, int i, bson_error_t *error)
{
   ecl_value_t document = ecl_raw_document (bson_get_data (&documents[i]), documents[i].len);
   bool matched;

   return ecl_match_run (self, ev, &document, &matched, error);
}

/* Prints a row; true where it is linear, or nearly. */
static bool
measure (const char *name, run_fn run, const void *self, ecl_eval_t *ev)
{
   double each[SIZES];
   bson_error_t error = {0};
   bool ok = true, failed = false;
   int n = 0;

   while (n < SIZES && ok) {
      double best = 1e300;

      for (int r = 0; r < RUNS; r++) {
         double start = now_ns (), time;

         failed |= !run (self, ev, n, &error);
         time = now_ns () - start;
         best = time < best ? time : best;
         if (time > 2e9) {
            break;
         }
      }
      each[n] = best / size_of (n);
      /* Below a few µs in all it is the clock and the caches that are measured. */
      if (n && each[n] / each[n - 1] > QUADRATIC && best > 100e3) {
         ok = false;
      }
      n++;
   }
   printf ("%-100.100s", name);
   for (int i = 0; i < SIZES; i++) {
      printf (i < n ? " %9.2f" : "         -", each[i]);
   }
   printf (" %6.2f%s%s\n", each[n - 1] / each[0], ok ? "" : "  QUADRATIC", failed ? "  (fails)" : "");
   if (failed && strlen (error.message) < 100) {
      printf ("   %s\n", error.message);
   }
   fflush (stdout);
   return ok;
}

static void
complain (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   (void) at;
   fprintf (stderr, "%s: %u %s\n", (const char *) context, code, message);
}

static bool
grow_pipeline (const char *name, const char *yaml, ecl_eval_t *ev)
{
   ecl_plan_options_t options = {
      .report = complain,
      .report_context = (void *) (uintptr_t) yaml,
      .max_size = 2 * ECL_BSON_MAX_SIZE,
   };
   ecl_plan_t *plan = ecl_plan_new (&options);
   ecl_text_t text;
   ecl_value_t pipeline = read_text (&text, yaml);
   bool ok;

   if (!ecl_plan_add_pipeline (plan, &pipeline, NULL)) {
      exit (2);
   }
   ecl_plan_link (plan);
   ok = measure (name, run_plan, plan, ev);
   ecl_plan_destroy (plan);
   ecl_text_cleanup (&text);
   return ok;
}

static bool
grow_filter (const char *yaml, ecl_eval_t *ev)
{
   ecl_match_options_t options = {.report = complain, .report_context = (void *) (uintptr_t) yaml};
   ecl_text_t text;
   ecl_value_t filter = read_text (&text, yaml);
   ecl_match_t *match = ecl_match_new (&filter, &options);
   bool ok;

   if (!match) {
      exit (2);
   }
   ok = measure (yaml, run_match, match, ev);
   ecl_match_destroy (match);
   ecl_text_cleanup (&text);
   return ok;
}

int
main (int argc, char **argv)
{
   const char *only = argc > 1 ? argv[1] : "";
   unsigned wrong = 0;
   ecl_eval_t ev;

   for (int i = 0; i < SIZES; i++) {
      make_document (&documents[i], size_of (i));
   }
   ecl_eval_init (&ev);
   printf ("%-100s %9u %9u %9u %6s\n", "ns per element or character", size_of (0), size_of (1), size_of (2), "growth");
   for (size_t i = 0; i < sizeof expressions / sizeof expressions[0]; i++) {
      if (strstr (expressions[i], only)) {
         /* Only the result is written: the document's own bytes are none of the operator's time. */
         char *yaml = bson_strdup_printf ("[{$project: {_id: 0, r: %s}}]", expressions[i]);

         wrong += !grow_pipeline (expressions[i], yaml, &ev);
         bson_free (yaml);
      }
   }
   for (size_t i = 0; i < sizeof pipelines / sizeof pipelines[0]; i++) {
      wrong += strstr (pipelines[i], only) && !grow_pipeline (pipelines[i], pipelines[i], &ev);
   }
   for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
      wrong += strstr (filters[i], only) && !grow_filter (filters[i], &ev);
   }
   ecl_eval_cleanup (&ev);
   for (int i = 0; i < SIZES; i++) {
      bson_destroy (&documents[i]);
   }
   return wrong ? 1 : 0;
}
