/* Time zones: offsets, changes of the clocks, rules past the tables, local times that come twice or never, and files
 * that are not well formed. */
#include "bson/date.h"
#include "bson/timezone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A zone without transitions whose footer is the given rule. */
static size_t
make_file (uint8_t *out, const char *footer)
{
   static const uint8_t type[] = {0, 0, 0x0e, 0x10, 0, 0, 'A', 0};
   size_t n = 0;

   for (int block = 0; block < 2; block++) {
      memset (out + n, 0, 44);
      memcpy (out + n, "TZif2", 5);
      out[n + 39] = 1; /* types */
      out[n + 43] = 2; /* characters */
      memcpy (out + n + 44, type, sizeof type);
      n += 44 + sizeof type;
   }
   out[n++] = '\n';
   memcpy (out + n, footer, strlen (footer));
   n += strlen (footer);
   out[n++] = '\n';
   return n;
}

static ecl_timezone_t
zone_of_rule (ecl_arena_t *arena, const char *footer)
{
   uint8_t file[512];
   ecl_timezone_t zone = {.rules = ecl_zone_rules_parse (arena, file, make_file (file, footer))};

   return zone;
}

static int64_t
seconds (int64_t year, int32_t month, int64_t day, int64_t hour, int64_t minute)
{
   return ecl_date_days (year, month, day) * 86400 + hour * 3600 + minute * 60;
}

static void
check_at (const ecl_timezone_t *zone, int64_t at, int32_t offset, bool dst)
{
   ecl_zone_info_t info;

   ecl_timezone_at (zone, at, &info);
   assert_int_equal (info.offset, offset);
   assert_int_equal (info.dst, dst);
   assert_true (info.since <= at);
}

static void
test_offsets (void **state)
{
   static const char *const wrong[] = {"",      "+",      "+1",  "01",    "+1:0",   "+010",
                                       "+01:0", "+01-00", "+ab", "+0a00", "+01:000"};
   ecl_timezone_t zone;

   (void) state;
   assert_true (ecl_timezone_parse_offset ("+05", 3, &zone) && zone.fixed == 18000);
   assert_true (ecl_timezone_parse_offset ("-0530", 5, &zone) && zone.fixed == -19800);
   assert_true (ecl_timezone_parse_offset ("+05:45", 6, &zone) && zone.fixed == 20700);
   assert_true (ecl_timezone_parse_offset ("-00", 3, &zone) && ecl_timezone_is_utc (&zone));
   for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
      assert_false (ecl_timezone_parse_offset (wrong[i], strlen (wrong[i]), &zone));
   }
}

static void
test_rules (void **state)
{
   ecl_arena_t arena;
   ecl_timezone_t zone;

   (void) state;
   ecl_arena_init (&arena);
   /* Central Europe */
   zone = zone_of_rule (&arena, "CET-1CEST,M3.5.0,M10.5.0/3");
   assert_non_null (zone.rules);
   check_at (&zone, seconds (2017, 3, 26, 1, 0) - 1, 3600, false);
   check_at (&zone, seconds (2017, 3, 26, 1, 0), 7200, true);
   check_at (&zone, seconds (2999, 10, 27, 1, 0) - 1, 7200, true);
   check_at (&zone, seconds (2999, 10, 27, 1, 0), 3600, false);
   check_at (&zone, INT64_MAX / 1000, 7200, true);
   /* The summer of the south spans the new year. */
   zone = zone_of_rule (&arena, "NZST-12NZDT,M9.5.0,M4.1.0/3");
   check_at (&zone, seconds (2050, 1, 1, 0, 0), 46800, true);
   check_at (&zone, seconds (2050, 7, 1, 0, 0), 43200, false);
   /* Names in angles, times before midnight */
   zone = zone_of_rule (&arena, "<-02>2<-01>,M3.5.0/-1,M10.5.0/0");
   check_at (&zone, seconds (2030, 3, 31, 1, 0) - 1, -7200, false);
   check_at (&zone, seconds (2030, 3, 31, 1, 0), -3600, true);
   /* Winter time that is the exception, as in Ireland */
   zone = zone_of_rule (&arena, "IST-1GMT0,M10.5.0,M3.5.0/1");
   check_at (&zone, seconds (2040, 1, 1, 0, 0), 0, true);
   check_at (&zone, seconds (2040, 7, 1, 0, 0), 3600, false);
   /* Summer time all year */
   zone = zone_of_rule (&arena, "XXX3EDT4,0/0,J365/23");
   check_at (&zone, seconds (2040, 1, 1, 12, 0), -14400, true);
   check_at (&zone, seconds (2040, 12, 31, 23, 0), -14400, true);
   /* J60 is the first of March in every year, 59 is the 29th of February in a leap year. */
   zone = zone_of_rule (&arena, "A0B,J60/0,J300/0");
   check_at (&zone, seconds (2020, 2, 29, 12, 0), 0, false);
   check_at (&zone, seconds (2020, 3, 1, 0, 0), 3600, true);
   zone = zone_of_rule (&arena, "A0B,59/0,300/0");
   check_at (&zone, seconds (2020, 2, 29, 12, 0), 3600, true);
   zone = zone_of_rule (&arena, "");
   check_at (&zone, 0, 3600, false);
   ecl_arena_cleanup (&arena);
}

static void
test_local_times (void **state)
{
   ecl_arena_t arena;
   ecl_timezone_t paris, york;

   (void) state;
   ecl_arena_init (&arena);
   paris = zone_of_rule (&arena, "CET-1CEST,M3.5.0,M10.5.0/3");
   york = zone_of_rule (&arena, "EST5EDT,M3.2.0,M11.1.0");
   assert_int_equal (ecl_timezone_to_utc (&paris, seconds (2017, 7, 4, 12, 0), false), seconds (2017, 7, 4, 10, 0));
   assert_int_equal (ecl_timezone_to_utc (&paris, seconds (2017, 1, 4, 12, 0), false), seconds (2017, 1, 4, 11, 0));
   /* 02:30 is skipped: 03:30 of summer */
   assert_int_equal (ecl_timezone_to_utc (&paris, seconds (2017, 3, 26, 2, 30), false), seconds (2017, 3, 26, 1, 30));
   assert_int_equal (ecl_timezone_to_utc (&york, seconds (2017, 3, 12, 2, 30), false), seconds (2017, 3, 12, 7, 30));
   /* 01:30 comes twice */
   assert_int_equal (ecl_timezone_to_utc (&york, seconds (2017, 11, 5, 1, 30), true), seconds (2017, 11, 5, 5, 30));
   assert_int_equal (ecl_timezone_to_utc (&york, seconds (2017, 11, 5, 1, 30), false), seconds (2017, 11, 5, 6, 30));
   assert_int_equal (ecl_timezone_to_utc (&paris, seconds (2017, 10, 29, 2, 30), true), seconds (2017, 10, 29, 0, 30));
   assert_int_equal (ecl_timezone_to_utc (&paris, seconds (2017, 10, 29, 2, 30), false), seconds (2017, 10, 29, 1, 30));
   ecl_arena_cleanup (&arena);
}

static void
test_malformed (void **state)
{
   static const char *const footers[] = {"CET",
                                         "CET-1CEST",
                                         "CET-1CEST,M3.5.0",
                                         "CET-1CEST,M13.5.0,M10.5.0",
                                         "<CET-1",
                                         "CET-1CEST,M3.6.0,M1.1.1",
                                         "CET-200",
                                         "CET-1x,1,2,3",
                                         "-1"};
   uint8_t file[512], broken[512];
   ecl_arena_t arena;
   size_t n = make_file (file, "CET-1CEST,M3.5.0,M10.5.0/3");

   (void) state;
   ecl_arena_init (&arena);
   assert_non_null (ecl_zone_rules_parse (&arena, file, n));
   for (size_t i = 0; i < n; i++) {
      uint8_t *cut = malloc (i + 1);

      /* Cut anywhere, in memory of just that size: nothing behind it is read. */
      memcpy (cut, file, i);
      (void) ecl_zone_rules_parse (&arena, cut, i);
      free (cut);
      for (int bit = 0; bit < 8; bit++) {
         memcpy (broken, file, n);
         broken[i] ^= (uint8_t) (1 << bit);
         (void) ecl_zone_rules_parse (&arena, broken, n);
      }
   }
   assert_null (ecl_zone_rules_parse (&arena, file, 100));
   for (size_t i = 0; i < sizeof footers / sizeof footers[0]; i++) {
      assert_null (zone_of_rule (&arena, footers[i]).rules);
   }
   ecl_arena_cleanup (&arena);
}

/* What the table finds is what a single file says; runs where the system has tzdata. */
static void
test_database (void **state)
{
   static const char *const names[] = {"Europe/Paris", "America/New_York", "America/Argentina/Ushuaia", "Etc/GMT+5"};
   static const char *const none[] = {"europe/paris", "Europe", "../UTC", "posix/UTC", "Europe/", "/UTC", "zone.tab"};
   const ecl_zone_db_t *db = ecl_timezone_db ();
   ecl_arena_t arena;
   ecl_timezone_t a, b;

   (void) state;
   if (ecl_timezone_db_size (db) == 0) {
      print_message ("# the system has no tzdata\n");
      skip ();
   }
   ecl_arena_init (&arena);
   assert_ptr_equal (db, ecl_timezone_db ());
   for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
      assert_true (ecl_timezone_find (db, names[i], strlen (names[i]), &a));
      assert_true (ecl_timezone_load (&arena, names[i], strlen (names[i]), &b));
      for (int64_t t = INT64_C (-6000000000); t < INT64_C (9000000000); t += 86400 * 50) {
         ecl_zone_info_t at_a, at_b;

         ecl_timezone_at (&a, t, &at_a);
         ecl_timezone_at (&b, t, &at_b);
         assert_true (at_a.offset == at_b.offset && at_a.dst == at_b.dst && at_a.since == at_b.since);
      }
   }
   for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
      assert_false (ecl_timezone_find (db, none[i], strlen (none[i]), &a));
      assert_false (ecl_timezone_load (&arena, none[i], strlen (none[i]), &a));
   }
   assert_false (ecl_timezone_load (&arena, "UTC\0x", 5, &a));
   ecl_arena_cleanup (&arena);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_offsets),   cmocka_unit_test (test_rules),    cmocka_unit_test (test_local_times),
      cmocka_unit_test (test_malformed), cmocka_unit_test (test_database),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
