/* Counting by ranges against canned replies: what is sent, what is done where an answer takes too long. */
#include "fake_world.h"

#include "backfill/survey.h"
#include "backfill/tally.h"
#include "project_check.h"

#define ESTIMATE(n)                                             \
   {                                                            \
      "{ \"count\" : \"users\" }", "{\"ok\": 1, \"n\": " #n "}" \
   }
#define SAMPLE(...)                     \
   {                                    \
      "\"$sample\"", DOCS (__VA_ARGS__) \
   }
#define N(n) DOCS ("{\"n\": " #n "}")
#define HINT "\"hint\" : { \"_id\" : 1 }, \"readConcern\" : { \"level\" : \"majority\" }"
#define ID(id) DOCS ("{\"_id\": " #id "}")
#define SKIP(n) "\"skip\" : " #n ", \"limit\" : 1"
#define RANGE(bounds) "\"$match\" : { \"$and\" : [ { \"_id\" : { " bounds " } }, { \"v\" : 1 } ] }"

typedef struct {
   int64_t done[16], total;
   size_t n;
} told_t;

static void
on_progress (void *context, int64_t done, int64_t total)
{
   told_t *told = context;

   assert_true (told->n < 16 && done <= total);
   assert_true (!told->n || done > told->done[told->n - 1]); /* whoever shows it begins anew where it is not more */
   told->done[told->n++] = done;
   told->total = total;
}

static ecl_tally_t
tally (const canned_t *script, const ecl_tally_options_t *also, int64_t counts[1], told_t *told, bson_error_t *error)
{
   bson_t filter = BSON_INITIALIZER;
   const bson_t *filters[] = {&filter};
   ecl_tally_options_t options = *also;
   fake_world_t world = fake_world (script);
   ecl_tally_t end;

   BSON_APPEND_INT32 (&filter, "v", 1);
   memset (told, 0, sizeof *told);
   options.database = "shop";
   options.collection = "users";
   options.filters = filters;
   options.n_filters = 1;
   options.progress = on_progress;
   options.context = told;
   end = ecl_tally (&world.world, &options, counts, error);
   fake_done (&world);
   bson_destroy (&filter);
   return end;
}

/* A small one is counted as a whole, by whatever way the server likes. */
static void
test_small (void **state)
{
   const canned_t script[] = {
      ESTIMATE (20),
      {"\"pipeline\" : [ { \"$match\" : { \"v\" : 1 } }, { \"$count\" : \"n\" } ], \"cursor\" : {  }, \"readConcern\"",
       N (7)},
      {0}};
   bson_error_t error;
   int64_t n;
   told_t told;

   (void) state;
   assert_int_equal (tally (script, &(ecl_tally_options_t){0}, &n, &told, &error), ECL_TALLY_ALL);
   assert_int_equal (n, 7);
   assert_true (told.n == 1 && told.total == 20);
}

/* Ranges that are open above, where new documents come, are counted last; all other types are not forgotten. */
static void
test_ranges (void **state)
{
   const canned_t script[] = {ESTIMATE (30),
                              SAMPLE ("{\"_id\": 10}, {\"_id\": 20}"),
                              {RANGE ("\"$lte\" : 10"), N (1)},
                              {RANGE ("\"$gt\" : 10, \"$lte\" : 20"), DOCS ()},
                              {RANGE ("\"$gt\" : 20"), N (2)},
                              {"{ \"_id\" : { \"$eq\" : { \"$numberDouble\" : \"NaN\" } } }", N (4)},
                              {0}};
   bson_error_t error;
   int64_t n;
   told_t told;

   (void) state;
   assert_int_equal (tally (script, &(ecl_tally_options_t){.look.range_docs = 10}, &n, &told, &error), ECL_TALLY_ALL);
   assert_int_equal (n, 7);
   assert_true (told.n == 4 && told.done[3] <= 30 && told.done[0] < told.done[1]);
}

static void
test_enough (void **state)
{
   const canned_t script[] = {
      ESTIMATE (30), SAMPLE ("{\"_id\": 10}, {\"_id\": 20}"), {RANGE ("\"$lte\" : 10"), N (4)}, {HINT, N (6)}, {0}};
   bson_error_t error;
   int64_t n;
   told_t told;

   (void) state;
   assert_int_equal (tally (script, &(ecl_tally_options_t){.look.range_docs = 10, .enough = 10}, &n, &told, &error),
                     ECL_TALLY_ENOUGH);
   assert_int_equal (n, 10);
}

/* What takes too long is cut in two; ranges behind it before they are tried. */
static void
test_too_long (void **state)
{
   const canned_t script[] = {ESTIMATE (40),
                              SAMPLE ("{\"_id\": 10}, {\"_id\": 20}"),
                              {RANGE ("\"$lte\" : 10"), "REFUSED 50"},
                              /* 40 in 4 ranges, says the server; that may be wrong, so not 5 but half of the default */
                              {SKIP (50000), DOCS ()},
                              {SKIP (25000), "REFUSED 262"},
                              {SKIP (12500), ID (5)},
                              {RANGE ("\"$lte\" : 5"), N (1)},
                              {RANGE ("\"$gt\" : 5, \"$lte\" : 10"), N (2)},
                              {RANGE ("\"$gt\" : 10, \"$lte\" : 20"), "LOST"}, /* it is asked again */
                              {RANGE ("\"$gt\" : 10, \"$lte\" : 20"), "REFUSED 10107"},
                              {RANGE ("\"$gt\" : 10, \"$lte\" : 20"), N (4)},
                              {RANGE ("\"$gt\" : 20"), N (8)},
                              {"NaN", DOCS ()},
                              {0}};
   bson_error_t error;
   int64_t n;
   told_t told;

   (void) state;
   assert_int_equal (tally (script, &(ecl_tally_options_t){.look.range_docs = 10}, &n, &told, &error), ECL_TALLY_ALL);
   assert_int_equal (n, 15);
}

/* A sample that takes too long: it is cut as it is gone through, from one range that is all. */
static void
test_without_a_sample (void **state)
{
   const canned_t script[] = {ESTIMATE (30),
                              {"$sample", "REFUSED 50", 60000},
                              {SKIP (10), ID (7)},
                              {RANGE ("\"$lte\" : 7"), N (1)},
                              {RANGE ("\"$gt\" : 7"), N (2)},
                              {"\"$type\" : [ \"minKey\", \"null\"", N (4)},
                              {0}};
   const canned_t shorter[] = {ESTIMATE (500),
                               {"$sample", "REFUSED 50", 60000},
                               {SKIP (10), DOCS ()}, /* there are not so many */
                               {"{ \"v\" : 1 }", N (3)},
                               {0}};
   bson_error_t error;
   int64_t n;
   told_t told;

   (void) state;
   assert_int_equal (tally (script, &(ecl_tally_options_t){.look.range_docs = 10}, &n, &told, &error), ECL_TALLY_ALL);
   assert_int_equal (n, 7);
   assert_int_equal (tally (shorter, &(ecl_tally_options_t){.look.range_docs = 10}, &n, &told, &error), ECL_TALLY_ALL);
   assert_int_equal (n, 3);
}

static void
test_no_way (void **state)
{
   const canned_t refused[] = {ESTIMATE (20), {"$count", "REFUSED 13"}, {0}};
   const canned_t one[] = {ESTIMATE (2), {"$count", "REFUSED 50"}, {SKIP (50000), ID (true)}, {0}};
   bson_error_t error;
   int64_t n;
   told_t told;

   (void) state;
   assert_int_equal (tally (refused, &(ecl_tally_options_t){0}, &n, &told, &error), ECL_TALLY_FAILED);
   assert_int_equal (tally (one, &(ecl_tally_options_t){0}, &n, &told, &error), ECL_TALLY_FAILED);
   assert_non_null (strstr (error.message, "cannot be made smaller"));
}

/* Where a collection's time is over nothing is known, and that is no error. */
static void
test_in_time (void **state)
{
   const canned_t script[] = {ESTIMATE (20), {"$count", "LOST"}, {0}};
   const canned_t survey[] = {ESTIMATE (20), {"$count", N (1)}, {"$count", N (2)}, {"$count", DOCS ()}, {0}};
   const file_t files[] = {{"users/0002_step.yaml", "to: 2\nup:\n  - $set: {a: 1}\n"}, {0}};
   ecl_project_t *project = load_good ("database: shop\ncollections: {users: {unversioned: 1}}\n", files);
   fake_world_t world = fake_world (survey);
   ecl_survey_options_t options = {.until = world.now + 1000};
   ecl_survey_t out;
   ecl_arena_t arena;
   bson_error_t error;
   int64_t n;
   told_t told;

   (void) state;
   /* The pause after the lost answer is longer than what is left. */
   assert_int_equal (tally (script, &(ecl_tally_options_t){.until = 1100}, &n, &told, &error), ECL_TALLY_LATE);
   ecl_arena_init (&arena);
   assert_true (ecl_survey_within (&world.world, "shop", ecl_project_chain (project, "users"), 1, &options, &arena,
                                   &out, &error));
   assert_true (!out.late && out.counts[0] == 1 && out.counts[1] == 2 && out.not_at == 1);
   fake_done (&world);
   ecl_arena_cleanup (&arena);
   ecl_project_destroy (project);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_small),    cmocka_unit_test (test_ranges),           cmocka_unit_test (test_enough),
      cmocka_unit_test (test_too_long), cmocka_unit_test (test_without_a_sample), cmocka_unit_test (test_no_way),
      cmocka_unit_test (test_in_time),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
