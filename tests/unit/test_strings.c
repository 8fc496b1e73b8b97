/* Strings that JSON cannot hold, results that would be too large, growth in place, and doubles as text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "mql/coerce.h"
#include "mql/plan.h"

#include <math.h>

/* Evaluates {"e": expression} on {a: text}; 0, or the code of the error. */
static uint32_t
evaluate (ecl_eval_t *ev, const char *expression, const char *text, size_t len, ecl_value_t *out)
{
   bson_error_t error;
   char *json = bson_strdup_printf ("{\"e\": %s}", expression);
   bson_t *spec = bson_new_from_json ((const uint8_t *) json, -1, &error);
   uint8_t *document = bson_malloc (len + 13), *p = document;
   ecl_value_t root, spec_root;
   ecl_arena_t arena;
   ecl_parse_t parse;
   ecl_iter_t iter;
   ecl_field_t field;
   ecl_expr_t *expr;
   ecl_eval_t folder;
   uint32_t code = 0;

   assert_non_null (spec);
   /* Built by hand: libbson would refuse the bytes. */
   ecl_store_u32 (p, (uint32_t) len + 13);
   memcpy (p + 4,
           "\x02"
           "a",
           3);
   ecl_store_u32 (p + 7, (uint32_t) len + 1);
   memcpy (p + 11, text, len);
   p[len + 11] = p[len + 12] = 0;
   assert_true (ecl_bson_validate (document, len + 13, &error));

   ecl_arena_init (&arena);
   ecl_eval_init (&folder);
   ecl_parse_init (&parse, &arena, &folder, NULL, NULL);
   spec_root = ecl_raw_document (bson_get_data (spec), spec->len);
   ecl_iter_init (&iter, &spec_root);
   assert_true (ecl_iter_field (&iter, &field));
   expr = ecl_parse_expr (&parse, &field);
   assert_non_null (expr);
   ecl_eval_reserve_vars (ev, parse.max_vars);
   root = ecl_raw_document (document, len + 13);
   ecl_arena_reset (&ev->arena);
   if (ecl_expr_run (expr, ev, &root, out, &error)) {
      *out = ecl_value_copy (&ev->arena, out);
   } else {
      code = error.code;
   }
   ecl_eval_cleanup (&folder);
   ecl_arena_cleanup (&arena);
   bson_free (document);
   bson_destroy (spec);
   bson_free (json);
   return code;
}

typedef struct {
   const char *expression, *text;
   uint32_t code;
   const char *result; /* a string; NULL: a number */
   int64_t number;
} bytes_case_t;

static const bytes_case_t bytes_cases[] = {
   {"{\"$strLenBytes\": \"$a\"}", "a\xE2\x82", 0, NULL, 3},
   {"{\"$strLenCP\": \"$a\"}", "a\xE2\x82z\xFF", 0, NULL, 4},
   {"{\"$toUpper\": \"$a\"}", "a\xE2z\xFF", 0, "A\xE2Z\xFF", 0},
   {"{\"$concat\": [\"$a\", \"$a\"]}", "\xE2\x82", 0, "\xE2\x82\xE2\x82", 0},
   {"{\"$substrCP\": [\"$a\", 0, 1]}", "\xE2\x82", 0, "\xE2\x82", 0},
   {"{\"$substrCP\": [\"$a\", 1, 5]}", "\xE2\x82", 0, "", 0},
   {"{\"$substrCP\": [\"$a\", 1, 1]}", "\x82z", 34456, NULL, 0},
   {"{\"$substrCP\": [\"$a\", 1, 1]}", "z\x82", 34458, NULL, 0},
   {"{\"$substrCP\": [\"$a\", 0, 1]}", "\xFFz", 34458, NULL, 0},
   {"{\"$substrBytes\": [\"$a\", 1, 1]}", "a\x82", 28656, NULL, 0},
   {"{\"$indexOfBytes\": [\"$a\", \"z\"]}", "\xE2\x82z", 0, NULL, 2},
   {"{\"$indexOfCP\": [\"$a\", \"z\"]}", "\xE2\x82z", 40095, NULL, 0},
   {"{\"$indexOfCP\": [\"$a\", \"z\"]}", "z\xE2", 40095, NULL, 0},
   {"{\"$trim\": {\"input\": \"$a\"}}", " \xC2 \xA0 ", 0, "\xC2 \xA0", 0},
   {"{\"$trim\": {\"input\": \"$a\"}}", "\x80\x80\x80\x80\x80", 0, "\x80\x80\x80\x80\x80", 0},
   {"{\"$trim\": {\"input\": \"x\", \"chars\": \"$a\"}}", "\x80", 50697, NULL, 0},
   {"{\"$trim\": {\"input\": \"x\", \"chars\": \"$a\"}}", "x\xE2\x82", 50698, NULL, 0},
   {"{\"$regexMatch\": {\"input\": \"$a\", \"regex\": \"a\"}}", "a\xE2\x82", 51156, NULL, 0},
   {"{\"$regexFindAll\": {\"input\": \"a\", \"regex\": \"$a\"}}", "a\xE2\x82", 51111, NULL, 0},
   {"{\"$convert\": {\"input\": \"$a\", \"to\": \"binData\", \"format\": \"utf8\"}}", "\xE2\x82", 241, NULL, 0},
   {"{\"$toInt\": \"$a\"}", "\xE2\x82", 241, NULL, 0},
   {"{\"$toDouble\": \"$a\"}", "\xE2\x82", 241, NULL, 0},
   {"{\"$toDecimal\": \"$a\"}", "\xE2\x82", 241, NULL, 0},
   {"{\"$toDate\": \"$a\"}", "\xE2\x82", 241, NULL, 0},
   {"{\"$toObjectId\": \"$a\"}", "\xE2\x82", 241, NULL, 0},
};

static void
test_bytes (void **state)
{
   ecl_eval_t ev;

   (void) state;
   ecl_eval_init (&ev);
   for (size_t i = 0; i < sizeof bytes_cases / sizeof bytes_cases[0]; i++) {
      const bytes_case_t *c = &bytes_cases[i];
      ecl_value_t out = ecl_missing ();
      uint32_t code = evaluate (&ev, c->expression, c->text, strlen (c->text), &out);

      if (code != c->code) {
         fail_msg ("%s: code %u, not %u", c->expression, code, c->code);
      }
      if (!code && c->result) {
         if (out.len != strlen (c->result) || memcmp (out.u.str, c->result, out.len) != 0) {
            fail_msg ("%s: another string", c->expression);
         }
      } else if (!code) {
         assert_int_equal (out.u.i64, c->number);
      }
   }
   ecl_eval_cleanup (&ev);
}

static void
test_too_large (void **state)
{
   size_t len = 8u << 20;
   char *text = bson_malloc (len);
   ecl_value_t out;
   ecl_eval_t ev;

   (void) state;
   memset (text, 'a', len);
   ecl_eval_init (&ev);
   assert_int_equal (evaluate (&ev, "{\"$concat\": [\"$a\", \"$a\"]}", text, len, &out), 0);
   assert_int_equal (out.len, 2 * len);
   assert_int_equal (evaluate (&ev, "{\"$concat\": [\"$a\", \"$a\", \"$a\"]}", text, len, &out), ECL_STRING_TOO_LARGE);
   assert_int_equal (evaluate (&ev, "{\"$replaceAll\": {\"input\": \"$a\", \"find\": \"\", \"replacement\": \"bb\"}}",
                               text, len, &out),
                     ECL_STRING_TOO_LARGE);
   assert_int_equal (evaluate (&ev, "{\"$regexFindAll\": {\"input\": \"$a\", \"regex\": \"\"}}", text, len, &out),
                     51151);
   /* Short, because AddressSanitizer looks at the whole text in each memmem. */
   assert_int_equal (evaluate (&ev, "{\"$replaceAll\": {\"input\": \"$a\", \"find\": \"a\", \"replacement\": \"$a\"}}",
                               text, 16000, &out),
                     ECL_STRING_TOO_LARGE);
   ecl_eval_cleanup (&ev);
   bson_free (text);
}

static void
test_extend (void **state)
{
   ecl_arena_t arena;
   char *first, *second, *other, *third;
   uint32_t moves = 0;

   (void) state;
   ecl_arena_init (&arena);
   first = ecl_arena_extend (&arena, "ab", 2, 1);
   first[2] = 'c';
   second = ecl_arena_extend (&arena, first, 3, 1);
   second[3] = 'd';
   /* The same beginning goes on in two ways; something else is allocated in between. */
   memset (ecl_arena_alloc (&arena, 100), 'x', 100);
   other = ecl_arena_extend (&arena, first, 3, 2);
   memcpy (other + 3, "yz", 2);
   third = ecl_arena_extend (&arena, second, 4, 1);
   third[4] = 'e';
   assert_memory_equal (first, "abc", 3);
   assert_memory_equal (second, "abcd", 4);
   assert_memory_equal (other, "abcyz", 5);
   assert_memory_equal (third, "abcde", 5);

   /* A string that grows by one byte moves a logarithmic number of times. */
   first = ecl_arena_extend (&arena, "", 0, 1);
   *first = 'a';
   for (size_t len = 1; len < 100000; len++) {
      char *next = ecl_arena_extend (&arena, first, len, 1);

      next[len] = 'a';
      moves += next != first;
      first = next;
      ecl_arena_alloc (&arena, 8);
   }
   assert_true (moves < 20);

   /* Nothing is remembered over a reset. */
   ecl_arena_reset (&arena);
   second = ecl_arena_alloc (&arena, 200000);
   memset (second, 'b', 200000);
   other = ecl_arena_extend (&arena, second, 100, 4);
   memset (other + 100, 'c', 4);
   for (size_t i = 0; i < 200000; i++) {
      assert_int_equal (second[i], 'b');
   }
   ecl_arena_cleanup (&arena);
}

typedef struct {
   double value;
   const char *text;
} double_case_t;

static const double_case_t double_cases[] = {
   {0.0, "0"},
   {-0.0, "-0"},
   {1.0, "1"},
   {-1.5, "-1.5"},
   {0.1, "0.1"},
   {1.0 / 3, "0.3333333333333333"},
   {100.0, "100"},
   {123456789.125, "123456789.125"},
   {0.0001, "0.0001"},
   {0.00012345, "0.00012345"},
   {0.00009, "9e-05"},
   {0.1 + 0.2, "0.30000000000000004"},
   {1e23, "1e+23"},
   {1e15, "1000000000000000"},
   {9999999999999998.0, "9999999999999998"},
   {1e16, "1e+16"},
   {1.25e17, "1.25e+17"},
   {1e100, "1e+100"},
   {-1.7976931348623157e308, "-1.7976931348623157e+308"},
   {2.2250738585072014e-308, "2.2250738585072014e-308"},
   {5e-324, "5e-324"},
   {INFINITY, "Infinity"},
   {-INFINITY, "-Infinity"},
   {NAN, "NaN"},
   {-NAN, "NaN"},
};

static void
test_doubles (void **state)
{
   (void) state;
   for (size_t i = 0; i < sizeof double_cases / sizeof double_cases[0]; i++) {
      char text[ECL_DOUBLE_TEXT];
      size_t len = ecl_double_to_string (double_cases[i].value, text);

      assert_string_equal (text, double_cases[i].text);
      assert_int_equal (len, strlen (text));
   }
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_bytes),
      cmocka_unit_test (test_too_large),
      cmocka_unit_test (test_extend),
      cmocka_unit_test (test_doubles),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
