/* Values that are equal have equal hashes, and hashes tell apart what a set has to tell apart. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "bson/compare.h"
#include "bson/decimal.h"

#include <math.h>
#include <stdlib.h>

static ecl_value_t
decimal (ecl_arena_t *arena, const char *text)
{
   bson_decimal128_t d;

   assert_true (bson_decimal128_from_string (text, &d));
   return ecl_decimal_value (arena, (ecl_decimal_t){.low = d.low, .high = d.high});
}

/* Numbers of all types around the places where types differ in what they can hold: each pair, both ways. */
static void
test_equal_numbers_have_equal_hashes (void **state)
{
   static const char *const texts[] = {"0",
                                       "-0",
                                       "0E+3",
                                       "1",
                                       "1.0",
                                       "1.000",
                                       "1E+3",
                                       "1000",
                                       "0.1",
                                       "0.10",
                                       "1.5",
                                       "9007199254740992",
                                       "9007199254740993",
                                       "9007199254740993.0",
                                       "-9007199254740993",
                                       "9223372036854775807",
                                       "9223372036854775807.00",
                                       "9223372036854775808",
                                       "-9223372036854775808",
                                       "1E+300",
                                       "1.0E+300",
                                       "1E+400",
                                       "1E-400",
                                       "Infinity",
                                       "-Infinity",
                                       "NaN",
                                       "0.1000000000000000055511151231257827",

                                       "123456789012345678901234",
                                       "1234567890123456789012340E-1"};
   static const int64_t ints[] = {
      0, 1, -1, 1000, 9007199254740992, 9007199254740993, -9007199254740993, INT64_MAX, INT64_MIN, INT64_MAX - 1};
   static const double doubles[] = {0.0,    -0.0,     1,         0.1,    1.5,
                                    1000,   0x1p53,   -0x1p63,   0x1p63, 1e300,
                                    1e-300, INFINITY, -INFINITY, NAN,    123456789012345678901234.0};
   ecl_value_t values[64];
   size_t n = 0;
   ecl_arena_t arena;
   unsigned equal = 0;

   (void) state;
   ecl_arena_init (&arena);
   for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
      values[n++] = decimal (&arena, texts[i]);
   }
   for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
      values[n++] = ecl_int64 (ints[i]);
   }
   for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++) {
      values[n++] = ecl_double (doubles[i]);
   }
   values[n++] = ecl_int32 (1000);
   assert_true (n <= 64);
   for (size_t i = 0; i < n; i++) {
      for (size_t k = 0; k < n; k++) {
         assert_int_equal (ecl_equal (&values[i], &values[k]), ecl_equal (&values[k], &values[i]));
         if (ecl_equal (&values[i], &values[k])) {
            assert_true (ecl_hash (&values[i]) == ecl_hash (&values[k]));
            equal += i != k;
         }
      }
   }
   assert_true (equal > 50);
   ecl_arena_cleanup (&arena);
}

static int
by_hash (const void *a, const void *b)
{
   uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

   return (x > y) - (x < y);
}

static size_t
count_distinct (uint64_t *hashes, size_t n)
{
   size_t distinct = 1;

   qsort (hashes, n, sizeof *hashes, by_hash);
   for (size_t i = 1; i < n; i++) {
      distinct += hashes[i] != hashes[i - 1];
   }
   return distinct;
}

/* Numbers that all have the same nearest double. */
static void
test_hashes_of_close_numbers_differ (void **state)
{
   uint64_t hashes[1000];
   ecl_arena_t arena;

   (void) state;
   ecl_arena_init (&arena);
   for (int i = 0; i < 1000; i++) {
      char text[48];
      ecl_value_t v;

      snprintf (text, sizeof text, "1.000000000000000000000000000%04d", i);
      v = decimal (&arena, text);
      hashes[i] = ecl_hash (&v);
   }
   assert_true (count_distinct (hashes, 1000) > 990);
   for (int i = 0; i < 1000; i++) {
      ecl_value_t v = ecl_int64 (((int64_t) 1 << 62) + i);

      hashes[i] = ecl_hash (&v);
   }
   assert_true (count_distinct (hashes, 1000) > 990);
   ecl_arena_cleanup (&arena);
}

/* What a table of a few thousand entries looks at: the low bits, and what hash_of in set.c folds into them. */
static void
test_hashes_fill_a_table (void **state)
{
   uint64_t low[1000];

   (void) state;
   for (int kind = 0; kind < 3; kind++) {
      for (int i = 0; i < 1000; i++) {
         ecl_value_t v = kind == 0 ? ecl_int32 (i) : kind == 1 ? ecl_double (i * 1024.0) : ecl_date (i * 86400000ll);
         uint64_t hash = ecl_hash (&v);

         low[i] = (hash ^ hash >> 32) & 4095;
      }
      assert_true (count_distinct (low, 1000) > 800);
   }
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_equal_numbers_have_equal_hashes),
      cmocka_unit_test (test_hashes_of_close_numbers_differ),
      cmocka_unit_test (test_hashes_fill_a_table),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
