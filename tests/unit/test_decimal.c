/* Decimal128: conversions, text and rounding. Expected values are those of MongoDB. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>

#include "bson/decimal.h"

static ecl_arena_t arena;

static ecl_decimal_t
dec (const char *text)
{
   ecl_decimal_t d = {0, 0};

   assert_int_equal (ecl_decimal_from_string (&arena, text, strlen (text), &d), ECL_DECIMAL_TEXT_OK);
   return d;
}

static void
check_text (ecl_decimal_t d, const char *wanted)
{
   char text[ECL_DECIMAL_TEXT];

   assert_int_equal (ecl_decimal_to_string (d, text), strlen (wanted));
   assert_string_equal (text, wanted);
}

static void
test_text (void **state)
{
   static const char *const same[] = {
      "0",        "-0",  "1",        "1.50",      "1E+3",
      "-1.23E-7", "NaN", "Infinity", "-Infinity", "9.999999999999999999999999999999999E+6144",
      "0.000001"};
   static const char *const invalid[] = {"",    "+",  ".",  "1.2.3", "1e",  "1e+", " 1",   "1 ",
                                         "0x1", "e5", "in", "nano",  "--1", "1_0", "1e5.0"};
   ecl_decimal_t d;

   (void) state;
   for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
      check_text (dec (same[i]), same[i]);
   }
   for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
      assert_int_equal (ecl_decimal_from_string (&arena, invalid[i], strlen (invalid[i]), &d),
                        ECL_DECIMAL_TEXT_INVALID);
   }
   check_text (dec ("+.5"), "0.5");
   check_text (dec ("5."), "5");
   check_text (dec ("-iNf"), "-Infinity");
   check_text (dec ("12345678901234567890123456789012345"), "1.234567890123456789012345678901234E+34");
   assert_int_equal (ecl_decimal_from_string (&arena, "1e7000", 6, &d), ECL_DECIMAL_TEXT_OVERFLOW);
   assert_int_equal (ecl_decimal_from_string (&arena, "1e-7000", 7, &d), ECL_DECIMAL_TEXT_UNDERFLOW);
   assert_int_equal (ecl_decimal_from_string (&arena, "0e-7000", 7, &d), ECL_DECIMAL_TEXT_OK);
}

static void
test_from_double (void **state)
{
   static const struct {
      double d;
      const char *text;
   } cases[] = {
      {0.1, "0.100000000000000"},
      {2.5, "2.50000000000000"},
      {100000, "100000.000000000"},
      {999999, "999999.000000000"},
      {0.00001, "0.0000100000000000000"},
      {0.9999999999999994, "0.999999999999999"},
      {0.99999999999999994, "1.00000000000000"},
      {-1e300, "-1.00000000000000E+300"},
      {5e-324, "4.94065645841247E-324"},
      {0.0, "0"},
      {-0.0, "-0"},
   };

   (void) state;
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      check_text (ecl_decimal_from_double_15 (cases[i].d), cases[i].text);
   }
   check_text (ecl_decimal_from_double_15 ((double) INFINITY), "Infinity");
   check_text (ecl_decimal_from_double_15 ((double) NAN), "NaN");
   check_text (ecl_decimal_from_double (0.1), "0.1000000000000000055511151231257827");
}

static void
test_quantize (void **state)
{
   (void) state;
   check_text (ecl_decimal_quantize (dec ("2.5"), 0, ECL_ROUND_NEAREST_EVEN), "2");
   check_text (ecl_decimal_quantize (dec ("3.5"), 0, ECL_ROUND_NEAREST_EVEN), "4");
   check_text (ecl_decimal_quantize (dec ("2.5"), 0, ECL_ROUND_NEAREST_AWAY), "3");
   check_text (ecl_decimal_quantize (dec ("-2.5"), 0, ECL_ROUND_DOWN), "-3");
   check_text (ecl_decimal_quantize (dec ("-2.5"), 0, ECL_ROUND_UP), "-2");
   check_text (ecl_decimal_quantize (dec ("-2.9"), 0, ECL_ROUND_TO_ZERO), "-2");
   check_text (ecl_decimal_quantize (dec ("1234"), 2, ECL_ROUND_NEAREST_EVEN), "1.2E+3");
   check_text (ecl_decimal_quantize (dec ("1"), -3, ECL_ROUND_NEAREST_EVEN), "1.000");
   /* 101 digits do not fit: all that there are */
   check_text (ecl_decimal_quantize (dec ("1.5"), -100, ECL_ROUND_NEAREST_EVEN), "1.500000000000000000000000000000000");
   check_text (ecl_decimal_quantize (dec ("1E+40"), 0, ECL_ROUND_DOWN), "1.000000000000000000000000000000000E+40");
   check_text (ecl_decimal_quantize (dec ("0"), -100, ECL_ROUND_DOWN), "0E-100");
   check_text (ecl_decimal_quantize (dec ("NaN"), 0, ECL_ROUND_DOWN), "NaN");
   check_text (ecl_decimal_quantize (dec ("-Infinity"), 0, ECL_ROUND_DOWN), "-Infinity");
}

static void
test_to_int64 (void **state)
{
   int64_t i = 0;

   (void) state;
   assert_true (ecl_decimal_round_to_int64 (dec ("2.5"), ECL_ROUND_NEAREST_EVEN, &i) && i == 2);
   assert_true (ecl_decimal_round_to_int64 (dec ("2.5"), ECL_ROUND_NEAREST_AWAY, &i) && i == 3);
   assert_true (ecl_decimal_round_to_int64 (dec ("-2.5"), ECL_ROUND_DOWN, &i) && i == -3);
   assert_true (ecl_decimal_round_to_int64 (dec ("-2.5"), ECL_ROUND_UP, &i) && i == -2);
   assert_true (ecl_decimal_round_to_int64 (dec ("9223372036854775807.9"), ECL_ROUND_TO_ZERO, &i) && i == INT64_MAX);
   assert_false (ecl_decimal_round_to_int64 (dec ("9223372036854775808"), ECL_ROUND_TO_ZERO, &i));
   assert_false (ecl_decimal_round_to_int64 (dec ("NaN"), ECL_ROUND_TO_ZERO, &i));
   assert_false (ecl_decimal_round_to_int64 (dec ("Infinity"), ECL_ROUND_TO_ZERO, &i));
   assert_false (ecl_decimal_to_int64 (dec ("1.5"), &i));
   assert_true (ecl_decimal_to_int64 (dec ("3.00"), &i) && i == 3);
}

static void
test_arithmetic (void **state)
{
   (void) state;
   check_text (ecl_decimal_add (dec ("0.1"), dec ("0.20")), "0.30");
   check_text (ecl_decimal_sub (dec ("1"), dec ("0.9")), "0.1");
   check_text (ecl_decimal_mul (dec ("1.5"), dec ("2.0")), "3.00");
   check_text (ecl_decimal_div (dec ("1"), dec ("8")), "0.125");
   check_text (ecl_decimal_mod (dec ("-7"), dec ("3")), "-1");
   check_text (ecl_decimal_mod (dec ("5.5"), dec ("2")), "1.5");
   check_text (ecl_decimal_abs (dec ("-1.0")), "1.0");
   check_text (ecl_decimal_pow (dec ("2"), dec ("3")), "8.000000000000000000000000000000000");
   check_text (ecl_decimal_pow (dec ("10"), dec ("-1")), "0.1000000000000000000000000000000000");
   check_text (ecl_decimal_sqrt (dec ("16")), "4");
   check_text (ecl_decimal_exp (dec ("0")), "1");
   check_text (ecl_decimal_atan2 (dec ("1"), dec ("1")), "0.7853981633974483096156608458198757");
   assert_true (ecl_decimal_is_negative (dec ("-0")));
   assert_true (ecl_decimal_is_infinite (dec ("-inf")));
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_text),     cmocka_unit_test (test_from_double), cmocka_unit_test (test_quantize),
      cmocka_unit_test (test_to_int64), cmocka_unit_test (test_arithmetic),
   };
   int failed;

   ecl_arena_init (&arena);
   failed = cmocka_run_group_tests (tests, NULL, NULL);
   ecl_arena_cleanup (&arena);
   return failed;
}
