/* The civil calendar over the whole range of int64 milliseconds. */
#include "bson/date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int64_t
days (int64_t year, int32_t month, int32_t day)
{
   return ecl_date_days (year, month, day);
}

static void
test_known_days (void **state)
{
   (void) state;
   assert_int_equal (days (1970, 1, 1), 0);
   assert_int_equal (days (2000, 3, 1), 11017);
   assert_int_equal (days (1, 1, 1), -719162);
   assert_int_equal (days (1969, 12, 31), -1);
   assert_int_equal (days (2017, 2, 31), days (2017, 3, 3));
   assert_int_equal (days (2017, 1, 0), days (2016, 12, 31));
}

/* Every day of 800 years follows the day before it. */
static void
test_each_day (void **state)
{
   int64_t d = days (1600, 1, 1);

   (void) state;
   for (int64_t year = 1600; year < 2400; year++) {
      int32_t of_year = 1;

      for (int32_t month = 1; month <= 12; month++) {
         for (int32_t day = 1; day <= ecl_days_in_month (year, month); day++, d++) {
            ecl_civil_t civil;
            int64_t iso_year;
            int32_t week;

            ecl_date_from_days (d, &civil);
            assert_true (civil.year == year && civil.month == month && civil.day == day);
            assert_int_equal (days (year, month, day), d);
            assert_int_equal (ecl_day_of_year (d), of_year++);
            ecl_iso_week (d, &iso_year, &week);
            assert_int_equal (ecl_iso_days (iso_year, week, (ecl_day_of_week (d) + 6) % 7 + 1), d);
         }
      }
      assert_int_equal (of_year, ecl_is_leap_year (year) ? 367 : 366);
   }
}

static void
round_trip (int64_t ms)
{
   ecl_civil_t civil;
   int64_t back;

   ecl_date_split (ms, &civil);
   assert_in_range (civil.month, 1, 12);
   assert_in_range (civil.day, 1, 31);
   assert_in_range (civil.hour, 0, 23);
   assert_in_range (civil.millisecond, 0, 999);
   assert_true (ecl_date_join (&civil, &back));
   assert_int_equal (back, ms);
}

static void
test_whole_range (void **state)
{
   ecl_civil_t civil;
   int64_t ms;
   uint64_t x = 88172645463325252u;

   (void) state;
   round_trip (INT64_MIN);
   round_trip (INT64_MIN + 1);
   round_trip (INT64_MAX);
   round_trip (0);
   round_trip (-1);
   for (int i = 0; i < 200000; i++) {
      x ^= x << 13, x ^= x >> 7, x ^= x << 17;
      round_trip ((int64_t) x >> (i % 40));
   }
   ecl_date_split (INT64_MAX, &civil);
   assert_int_equal (civil.year, 292278994);
   civil.millisecond++;
   assert_false (ecl_date_join (&civil, &ms));
   ecl_date_split (INT64_MIN, &civil);
   assert_int_equal (civil.year, -292275055);
   civil.millisecond--;
   assert_false (ecl_date_join (&civil, &ms));
}

static void
iso (int64_t ms, const char *expected)
{
   char text[ECL_DATE_ISO_SIZE];

   assert_int_equal (ecl_date_to_iso (ms, text), strlen (expected));
   assert_string_equal (text, expected);
}

static void
test_iso_text (void **state)
{
   (void) state;
   iso (0, "1970-01-01T00:00:00.000Z");
   iso (-1, "1969-12-31T23:59:59.999Z");
   iso (1499169362813, "2017-07-04T11:56:02.813Z");
   iso (-62167219200000, "0000-01-01T00:00:00.000Z");
   iso (253402300799999, "9999-12-31T23:59:59.999Z");
   iso (253402300800000, "");
   iso (-62167219200001, "");
   iso (INT64_MIN, "");
   iso (INT64_MAX, "");
}

static void
test_weeks (void **state)
{
   int64_t year;
   int32_t week;

   (void) state;
   ecl_iso_week (days (2016, 1, 3), &year, &week);
   assert_true (year == 2015 && week == 53);
   ecl_iso_week (days (2018, 12, 31), &year, &week);
   assert_true (year == 2019 && week == 1);
   assert_int_equal (ecl_week_of_year (days (2017, 1, 1)), 1); /* a Sunday */
   assert_int_equal (ecl_week_of_year (days (2016, 1, 1)), 0); /* a Friday */
   assert_int_equal (ecl_week_of_year (days (2016, 1, 3)), 1);
   assert_int_equal (ecl_day_of_week (days (2016, 1, 3)), 0);
   assert_int_equal (ecl_day_of_week (days (1582, 10, 15)), 5);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_known_days), cmocka_unit_test (test_each_day), cmocka_unit_test (test_whole_range),
      cmocka_unit_test (test_iso_text),   cmocka_unit_test (test_weeks),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
