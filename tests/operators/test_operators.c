/* The table of operators: every row's example gives its result, every operator has cases, none is missing.
 *
 *    test_operators FOLDER    of the files of cases */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "bson/make.h"
#include "case.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define LEAST_CASES 3

static const char *cases_folder;

/* Text in the notation of the rows (JSON or YAML's flow) as the field "" of a document. */
static void
read_text (const ecl_operator_t *op, const char *text, ecl_text_t *to, ecl_field_t *out)
{
   ecl_text_source_t source = {.name = op->name, .bytes = text, .len = strlen (text)};
   ecl_diags_t diags;
   ecl_value_t root;
   ecl_iter_t iter;

   ecl_diags_init (&diags);
   ecl_text_init (to);
   if (!ecl_text_read_any (to, &source, ECL_TEXT_ANY_VALUE, &diags)) {
      fail_msg ("%s: cannot read %s", op->name, text);
   }
   ecl_diags_cleanup (&diags);
   root = ecl_raw_document (to->doc, to->len);
   ecl_iter_init (&iter, &root);
   assert_true (ecl_iter_field (&iter, out));
}

/* Whether the example gives the result that the row says; complains otherwise. */
static bool
example_holds (const ecl_operator_t *op)
{
   static const uint8_t empty[5] = {5};
   ecl_value_t document = ecl_raw_document (empty, sizeof empty), got;
   ecl_text_t example, result;
   ecl_field_t expr, wanted;
   ecl_case_problem_t problem = {0};
   ecl_arena_t arena;
   ecl_eval_t ev;
   bool ok, good;

   ecl_arena_init (&arena);
   ecl_eval_init (&ev);
   read_text (op, op->example, &example, &expr);
   ok = ecl_case_evaluate (&ev, &arena, &expr, &document, &got, &problem);
   if (strncmp (op->result, "error ", 6) == 0) {
      good = !ok && problem.code == strtoul (op->result + 6, NULL, 10);
   } else if (strcmp (op->result, "missing") == 0) {
      good = ok && got.type == ECL_MISSING;
   } else {
      read_text (op, op->result, &result, &wanted);
      good = ok && ecl_identical (&got, &wanted.value);
      ecl_text_cleanup (&result);
   }
   if (!good) {
      print_error ("%s gives %s%s, not %s\n", op->example, ok ? ecl_case_text (&got) : "error ",
                   ok ? "" : problem.message, op->result);
   }
   ecl_text_cleanup (&example);
   ecl_eval_cleanup (&ev);
   ecl_arena_cleanup (&arena);
   return good;
}

static void
test_examples (void **state)
{
   const ecl_operator_t *op;
   unsigned wrong = 0;

   (void) state;
   for (size_t i = 0; (op = ecl_operator_at (i)); i++) {
      wrong += !op->refused && !example_holds (op);
   }
   assert_int_equal (wrong, 0);
}

/* ---- arguments that fail ---- */

/* Those that need not look at every argument. */
static const char lazy[] = "$and $or $cond $ifNull $switch $literal $const ";

/* {operator: args}, with an argument that fails when it is run and not before. False where it gives a value even so. */
static bool
fails_with (const ecl_operator_t *op, ecl_arena_t *arena, ecl_value_t args)
{
   ecl_field_t text = ecl_field ("s", 1, ecl_make_text ("x")), expr;
   ecl_value_t tree = ecl_make_object (arena, op->name, args), raw, document = ecl_fields (&text, 1), got;
   ecl_case_problem_t problem = {0};
   bson_error_t error;
   ecl_eval_t ev;
   bool ok;

   assert_true (ecl_value_to_raw (arena, &tree, &raw, &error) &&
                ecl_value_to_raw (arena, &document, &document, &error));
   ecl_eval_init (&ev);
   expr = ecl_field ("", 0, raw);
   ok = ecl_case_evaluate (&ev, arena, &expr, &document, &got, &problem);
   ecl_eval_cleanup (&ev);
   return !ok && problem.code;
}

/* In place of each of an example's arguments. */
static unsigned
count_that_succeed (const ecl_operator_t *op)
{
   ecl_text_t example;
   ecl_field_t expr, args;
   ecl_arena_t arena;
   ecl_iter_t iter;
   unsigned wrong = 0;
   uint32_t n = 0;

   ecl_arena_init (&arena);
   read_text (op, op->example, &example, &expr);
   ecl_iter_init (&iter, &expr.value);
   assert_true (ecl_iter_field (&iter, &args));
   ecl_value_t failing = ecl_make_object (&arena, "$toInt", ecl_make_text ("$s"));

   if (strncmp (args.key, op->name, args.key_len) != 0 || strlen (op->name) != args.key_len) {
      /* The example shows it inside of another one. */
   } else if (args.value.type == BSON_TYPE_ARRAY) {
      const ecl_value_t *items = ecl_array_items (&arena, &args.value, &n);

      for (uint32_t i = 0; i < n; i++) {
         ecl_value_t other = ecl_make_array (&arena, items, n);

         ((ecl_value_t *) other.u.vec)[i] = failing;
         wrong += !fails_with (op, &arena, other);
      }
   } else if (args.value.type == BSON_TYPE_DOCUMENT && op->named) {
      const ecl_field_t *fields = ecl_document_fields (&arena, &args.value, &n);

      for (uint32_t i = 0; i < n; i++) {
         ecl_field_t *other = ecl_arena_array (&arena, ecl_field_t, n);

         memcpy (other, fields, n * sizeof *other);
         other[i].value = failing;
         wrong += !fails_with (op, &arena, ecl_fields (other, n));
      }
   } else {
      wrong += !fails_with (op, &arena, failing);
   }
   ecl_text_cleanup (&example);
   ecl_arena_cleanup (&arena);
   return wrong;
}

/* No operator makes a value of an argument that has none. */
static void
test_failing_arguments (void **state)
{
   const ecl_operator_t *op;
   unsigned wrong = 0;

   (void) state;
   for (size_t i = 0; (op = ecl_operator_at (i)); i++) {
      char name[64];
      unsigned n;

      assert_true (snprintf (name, sizeof name, "%s ", op->name) < (int) sizeof name);
      n = op->refused || strstr (lazy, name) ? 0 : count_that_succeed (op);
      if (n) {
         print_error ("%s gives a value where %u of its arguments fail\n", op->name, n);
      }
      wrong += n;
   }
   assert_int_equal (wrong, 0);
}

/* What the reference page relies on. */
static void
test_rows (void **state)
{
   const ecl_operator_t *op;
   const char *families[64];
   size_t n_families = 0;

   (void) state;
   for (size_t i = 0; (op = ecl_operator_at (i)); i++) {
      assert_ptr_equal (ecl_operator_find (op->name, strlen (op->name)), op); /* no name twice */
      if (op->refused) {
         assert_string_equal (op->family, "refused");
         continue;
      }
      if (op->summary[strlen (op->summary) - 1] != '.' || !strstr (op->example, op->name) || op->example[0] != '{') {
         fail_msg ("%s: a summary is a sentence, and an example shows the operator", op->name);
      }
      if (n_families == 0 || strcmp (families[n_families - 1], op->family) != 0) {
         for (size_t k = 0; k < n_families; k++) {
            assert_string_not_equal (families[k], op->family); /* rows of a family stand together */
         }
         assert_true (n_families < 64);
         families[n_families++] = op->family;
      }
   }
   assert_null (ecl_operator_find ("$nope", 5));
   assert_null (ecl_operator_find ("$ad", 3));
   assert_null (ecl_operator_find ("$adds", 5));
}

/* Adds to counts (by row) the lines of a file that hold expressions with the operator's name as a key. */
static void
count_cases (const char *path, unsigned *counts)
{
   FILE *in = fopen (path, "r");
   char *line = NULL;
   size_t cap = 0;

   assert_non_null (in);
   while (getline (&line, &cap, in) > 0) {
      const ecl_operator_t *op;

      /* A filter's $and is another one. */
      if (line[0] == '#' ||
          !(strstr (line, "\"expr\"") || strstr (line, "\"pipeline\"") || strstr (line, "\"$expr\""))) {
         continue;
      }
      for (size_t i = 0; (op = ecl_operator_at (i)); i++) {
         char key[64];

         assert_true (snprintf (key, sizeof key, "\"%s\":", op->name) < (int) sizeof key);
         counts[i] += strstr (line, key) != NULL;
      }
   }
   free (line);
   fclose (in);
}

static void
test_cases (void **state)
{
   const ecl_operator_t *op;
   const struct dirent *entry;
   DIR *folder = opendir (cases_folder);
   unsigned *counts, few = 0;
   size_t n = 0;

   (void) state;
   assert_non_null (folder);
   while (ecl_operator_at (n)) {
      n++;
   }
   counts = calloc (n, sizeof *counts);
   assert_non_null (counts);
   while ((entry = readdir (folder))) {
      const char *dot = strrchr (entry->d_name, '.');

      if (dot && strcmp (dot, ".test") == 0) {
         char path[4096];

         assert_true (snprintf (path, sizeof path, "%s/%s", cases_folder, entry->d_name) < (int) sizeof path);
         count_cases (path, counts);
      }
   }
   closedir (folder);
   for (size_t i = 0; (op = ecl_operator_at (i)); i++) {
      unsigned least = op->refused ? 1 : LEAST_CASES;

      if (counts[i] < least) {
         print_error ("%s has %u cases in tests/cases, not %u\n", op->name, counts[i], least);
         few++;
      }
   }
   free (counts);
   assert_int_equal (few, 0);
}

/* What a migration may rely on, by MongoDB's manual; and what is not a function of the document. */
static const char required[] =
   "abs add ceil divide exp floor ln log log10 mod multiply pow round sqrt subtract trunc "
   "sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh degreesToRadians radiansToDegrees "
   "bitAnd bitOr bitXor bitNot "
   "arrayElemAt arrayToObject concatArrays filter first firstN in indexOfArray isArray last lastN map maxN minN "
   "objectToArray range reduce reverseArray size slice sortArray zip "
   "and or not cmp eq ne gt gte lt lte cond ifNull switch binarySize bsonSize "
   "dateAdd dateDiff dateFromParts dateFromString dateSubtract dateToParts dateToString dateTrunc dayOfMonth dayOfWeek "
   "dayOfYear hour isoDayOfWeek isoWeek isoWeekYear millisecond minute month second week year "
   "getField setField unsetField mergeObjects literal let "
   "allElementsTrue anyElementTrue setDifference setEquals setIntersection setIsSubset setUnion "
   "concat indexOfBytes indexOfCP ltrim rtrim trim regexFind regexFindAll regexMatch replaceOne replaceAll split "
   "strLenBytes strLenCP strcasecmp substr substrBytes substrCP toLower toUpper "
   "convert isNumber toBool toDate toDecimal toDouble toInt toLong toObjectId toString toUUID type "
   "tsIncrement tsSecond avg sum min max stdDevPop stdDevSamp median percentile";

static const char refused[] = "rand function accumulator meta";

static unsigned
count_absent (const char *names, bool is_refused)
{
   unsigned absent = 0;

   for (const char *p = names; *p;) {
      size_t len = strcspn (p, " ");
      char name[64] = "$";
      const ecl_operator_t *op;

      assert_true (len + 1 < sizeof name);
      memcpy (name + 1, p, len);
      op = ecl_operator_find (name, len + 1);
      if (!op || (op->refused != NULL) != is_refused) {
         print_error ("%s is not in the table%s\n", name, is_refused ? " as refused" : "");
         absent++;
      }
      p += len;
      p += *p == ' ';
   }
   return absent;
}

static void
test_required (void **state)
{
   (void) state;
   assert_int_equal (count_absent (required, false), 0);
   assert_int_equal (count_absent (refused, true), 0);
}

int
main (int argc, char **argv)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_rows),     cmocka_unit_test (test_examples), cmocka_unit_test (test_failing_arguments),
      cmocka_unit_test (test_required), cmocka_unit_test (test_cases),
   };

   if (argc != 2) {
      fputs ("usage: test_operators FOLDER\n", stderr);
      return 2;
   }
   cases_folder = argv[1];
   return cmocka_run_group_tests (tests, NULL, NULL);
}
