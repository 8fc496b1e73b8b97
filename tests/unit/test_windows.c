/* The backfill by windows, against canned replies: finds that take longer than they may. */
#include "backfill_check.h"

#define OK "{\"ok\": 1, \"n\": 1, \"nModified\": 1}"

#define BOUND(n)                                                                                                      \
   "\"find\" : \"users\", \"filter\" : {  }, \"projection\" : { \"_id\" : 1 }, \"sort\" : { \"_id\" : 1 }, \"hint\" " \
   ": { "                                                                                                             \
   "\"_id\" : 1 }, \"skip\" : " #n ", \"limit\" : 1"

/* A find that comes to no end: fewer _ids at a time, each time until one does; what was looked at once is done. */
static void
test_windows (void **state)
{
   const canned_t script[] = {
      {"\"find\" : \"users\"", "REFUSED 50"},
      {BOUND (9999), DOCS ("{\"_id\": 700}")},
      {"{ \"_id\" : { \"$lte\" : 700 } }", "REFUSED 50"},
      {BOUND (2499), DOCS ("{\"_id\": 300}")},
      {"{ \"_id\" : { \"$lte\" : 300 } }", DOCS (USER (7, 1))},
      {"\"update\" : \"users\"", OK},
      /* It took no time: twice as many. */
      {"\"skip\" : 4999", "LOST"},
      {"\"skip\" : 4999", DOCS ("{\"_id\": \"b\"}")},
      {"{ \"_id\" : { \"$gt\" : 300 } }, { \"_id\" : { \"$lte\" : \"b\" } }", "LOST"},
      {"{ \"_id\" : { \"$gt\" : 300 } }, { \"_id\" : { \"$lte\" : \"b\" } }", DOCS ()},
      {"{ \"$gt\" : \"b\" } }", DOCS ()},
      {"{ \"_id\" : { \"$gt\" : \"b\" } }", DOCS ()},
      /* The next pass, from the beginning. */
      {BOUND (19999), DOCS ()},
      {"\"find\" : \"users\"", DOCS ()},
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_script (ECL_MODE_CLIENT, true, script, true, &result);
   assert_int_equal (result.counts.changed, 1);
   assert_int_equal (result.passes, 2);
}

/* Windows that have more documents than one batch grow likewise: unless one look took long. */
static void
test_windows_of_many_batches (void **state)
{
#define FOUND(id) "{\"ok\": 1, \"cursor\": {\"id\": 5, \"firstBatch\": [" USER (id, 1) "]}}"
#define LAST_FOUND(id) "{\"ok\": 1, \"cursor\": {\"id\": 0, \"nextBatch\": [" USER (id, 1) "]}}"
   const canned_t script[] = {
      {"\"find\" : \"users\"", "LOST"},
      {"\"find\" : \"users\"", "LOST"},
      {"\"find\" : \"users\"", "LOST"},
      {BOUND (9999), DOCS ("{\"_id\": 300}")},
      {"{ \"_id\" : { \"$lte\" : 300 } }", FOUND (7)},
      {"\"update\" : \"users\"", OK},
      {"\"getMore\" : 5", LAST_FOUND (8)},
      {"\"update\" : \"users\"", OK},
      {"\"skip\" : 19999", DOCS ("{\"_id\": 700}")},
      {"{ \"$gt\" : 300, \"$lte\" : 700 }", FOUND (301), 20000},
      {"\"update\" : \"users\"", OK},
      {"\"getMore\" : 5", LAST_FOUND (302)},
      {"\"update\" : \"users\"", OK},
      {"\"skip\" : 19999", DOCS ()},
      {"\"find\" : \"users\"", DOCS (), 20000},
      {0},
   };
   ecl_backfill_options_t options = {.mode = ECL_MODE_CLIENT, .transactions = true, .once = true};
   ecl_backfill_result_t result;
   fake_world_t world;

   (void) state;
   world = fake_world (script);
   run_users (options, &world, NULL, true, &result, NULL);
   assert_int_equal (result.counts.changed, 4);
   assert_int_equal (result.window, 20000);
}

/* A server that does not keep to the time that it is given, until the client gives up: fewer _ids, by the time that it
 * took. */
static void
test_windows_that_fit (void **state)
{
   const canned_t script[] = {
      {"\"find\" : \"users\"", "LOST", 70000},
      {BOUND (9999), DOCS ("{\"_id\": 700}")},
      {"{ \"_id\" : { \"$lte\" : 700 } }", "LOST", 100000},
      {BOUND (1499), DOCS ("{\"_id\": 300}")}, /* 10000 * 60 / (4 * 100) */
      {"{ \"_id\" : { \"$lte\" : 300 } }", DOCS (USER (7, 1)), 16000},
      {"\"update\" : \"users\"", OK},
      {"\"skip\" : 1499", DOCS ()},
      /* It is answered, but after longer than it was given: the next one is to be shorter. */
      {"\"$gt\" : 300 }", DOCS (), 150000},
      {BOUND (149), DOCS ()},
      {"\"find\" : \"users\"", DOCS (), 20000},
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_script (ECL_MODE_CLIENT, true, script, true, &result);
   assert_int_equal (result.counts.changed, 1);
   assert_int_equal (result.window, 149 + 1);
}

/* What a cursor had found before its time was over counts: it goes on behind that, and there is no need of windows. */
static void
test_cursor_out_of_time (void **state)
{
   const canned_t script[] = {
      {"\"find\" : \"users\"", "{\"ok\": 1, \"cursor\": {\"id\": 5, \"firstBatch\": [" USER (7, 1) "]}}"},
      {"\"update\" : \"users\"", OK},
      {"\"getMore\" : 5", "REFUSED 50"},
      {"{ \"_id\" : { \"$gt\" : 7 } }", DOCS ()},
      {"\"find\" : \"users\"", DOCS ()},
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_script (ECL_MODE_CLIENT, true, script, true, &result);
   assert_int_equal (result.window, 0);
   assert_int_equal (result.counts.changed, 1);
}

/* clang-format off */
#define TOO_LONG {"\"find\" : \"users\"", "REFUSED 50"}
#define TOO_LONG_AND_ONE_MORE TOO_LONG, {"\"skip\"", DOCS ("{\"_id\": 7}")}
/* clang-format on */

/* A server that cannot even look at one document in the time that it is given: an error, in the end. */
static void
test_no_window_is_small_enough (void **state)
{
   const canned_t script[] = {
      TOO_LONG_AND_ONE_MORE,
      TOO_LONG_AND_ONE_MORE,
      TOO_LONG_AND_ONE_MORE,
      TOO_LONG_AND_ONE_MORE,
      TOO_LONG_AND_ONE_MORE,
      TOO_LONG_AND_ONE_MORE,
      TOO_LONG_AND_ONE_MORE,
      TOO_LONG_AND_ONE_MORE,
      TOO_LONG,
      TOO_LONG,
      TOO_LONG,
      TOO_LONG,
      TOO_LONG,
      TOO_LONG,
      TOO_LONG,
      TOO_LONG,
      TOO_LONG,
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_script (ECL_MODE_CLIENT, true, script, false, &result);
   assert_true (result.lost);
   assert_false (result.progress);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_windows),
      cmocka_unit_test (test_windows_of_many_batches),
      cmocka_unit_test (test_windows_that_fit),
      cmocka_unit_test (test_cursor_out_of_time),
      cmocka_unit_test (test_no_window_is_small_enough),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
