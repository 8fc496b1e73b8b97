/* Ranges of a job: their filters, how a collection is cut into them, and that they cover every _id there can be; and
 * those of a batch. */
#include "fake_world.h"

#include <math.h>

#include "backfill/partition.h"
#include "bson/compare.h"
#include "run/range.h"

/* The document as relaxed Extended JSON is the text. It is destroyed. */
static void
check_is (bson_t *document, const char *text)
{
   char *json = bson_as_relaxed_extended_json (document, NULL);

   assert_string_equal (json, text);
   bson_free (json);
   bson_destroy (document);
}

/* ---- filters ---- */

static void
check_filter (unsigned types, ecl_value_t above, ecl_value_t upto, ecl_value_t after, const char *text)
{
   ecl_chunk_range_t range = {types, above, upto};
   ecl_value_t none = ecl_missing ();
   bson_t filter;

   ecl_chunk_filter (&range, &after, &none, &filter);
   check_is (&filter, text);
}

static void
check_end (unsigned types, ecl_value_t after, ecl_value_t end, const char *text)
{
   ecl_chunk_range_t range = {types, ecl_missing (), ecl_missing ()};
   bson_t filter;

   ecl_chunk_filter (&range, &after, &end, &filter);
   check_is (&filter, text);
}

static void
test_filters (void **state)
{
   ecl_value_t none = ecl_missing ();

   (void) state;
   check_filter (ECL_IDS_ALL, none, none, none, "{ }");
   check_filter (ECL_IDS_NUMBER, none, ecl_int32 (5), none, "{ \"_id\" : { \"$lte\" : 5 } }");
   check_filter (ECL_IDS_NUMBER, ecl_int32 (5), ecl_int32 (9), none, "{ \"_id\" : { \"$gt\" : 5, \"$lte\" : 9 } }");
   check_filter (ECL_IDS_NUMBER, ecl_int32 (5), ecl_int32 (9), ecl_double (7.5),
                 "{ \"_id\" : { \"$gt\" : 7.5, \"$lte\" : 9 } }");
   check_filter (ECL_IDS_STRING, ecl_string ("a", 1), none, none, "{ \"_id\" : { \"$gt\" : \"a\" } }");
   check_filter (
      ECL_IDS_NAN | ECL_IDS_BOOL, none, none, none,
      "{ \"$or\" : [ { \"_id\" : { \"$eq\" : { \"$numberDouble\" : \"NaN\" } } }, { \"_id\" : { \"$type\" : [ "
      "\"bool\" ] } } ] }");
}

/* Going on behind an _id of a range of many types: the rest of its own, and the types that sort behind it. */
static void
test_resuming_over_types (void **state)
{
   ecl_value_t none = ecl_missing ();

   (void) state;
   check_filter (
      ECL_IDS_STRING | ECL_IDS_DATE | ECL_IDS_BOOL, none, none, ecl_string ("m", 1),
      "{ \"$or\" : [ { \"_id\" : { \"$gt\" : \"m\" } }, { \"_id\" : { \"$type\" : [ \"bool\", \"date\" ] } } ] }");
   check_filter (ECL_IDS_NULL | ECL_IDS_NAN | ECL_IDS_NUMBER, none, none, ecl_double ((double) NAN),
                 "{ \"$or\" : [ { \"_id\" : { \"$type\" : [ \"number\" ] } } ] }");
   /* Of null there are several: again from its beginning. */
   check_filter (ECL_IDS_NULL | ECL_IDS_BOOL, none, none, ecl_null (),
                 "{ \"$or\" : [ { \"_id\" : { \"$type\" : [ \"null\", \"undefined\", \"bool\" ] } } ] }");
   check_filter (ECL_IDS_MAXKEY, none, none, (ecl_value_t){.type = BSON_TYPE_MAXKEY},
                 "{ \"$or\" : [ { \"_id\" : { \"$in\" : [  ] } } ] }");
}

/* Up to an _id of a range of many types: what of its own type is not behind it, and the types that sort before it. */
static void
test_ending_over_types (void **state)
{
   ecl_value_t none = ecl_missing (), nan = ecl_double ((double) NAN), two = ecl_int32 (2), nine = ecl_int32 (9);
   ecl_chunk_range_t numbers = {ECL_IDS_NUMBER, ecl_int32 (1), ecl_int32 (50)};
   bson_t filter;

   (void) state;
   ecl_chunk_filter (&numbers, &none, &nine, &filter);
   check_is (&filter, "{ \"_id\" : { \"$gt\" : 1, \"$lte\" : 9 } }");
   ecl_chunk_filter (&numbers, &two, &nine, &filter);
   check_is (&filter, "{ \"_id\" : { \"$gt\" : 2, \"$lte\" : 9 } }");
   check_end (
      ECL_IDS_NULL | ECL_IDS_NAN | ECL_IDS_NUMBER | ECL_IDS_OID, none, nine,
      "{ \"$or\" : [ { \"_id\" : { \"$lte\" : 9 } }, { \"_id\" : { \"$eq\" : { \"$numberDouble\" : \"NaN\" } } }, { "
      "\"_id\" : { \"$type\" : [ \"null\", \"undefined\" ] } } ] }");
   check_end (ECL_IDS_ALL, two, nine, "{ \"$or\" : [ { \"_id\" : { \"$gt\" : 2, \"$lte\" : 9 } } ] }");
   check_end (ECL_IDS_ALL, two, ecl_date (5),
              "{ \"$or\" : [ { \"_id\" : { \"$gt\" : 2 } }, { \"_id\" : { \"$lte\" : { \"$date\" : "
              "\"1970-01-01T00:00:00.005Z\" } } }, { \"_id\" : { \"$type\" : [ \"string\", \"symbol\", \"object\", "
              "\"binData\", \"objectId\", \"bool\" ] } } ] }");
   check_end (ECL_IDS_NULL | ECL_IDS_NAN | ECL_IDS_NUMBER, none, nan,
              "{ \"$or\" : [ { \"_id\" : { \"$eq\" : { \"$numberDouble\" : \"NaN\" } } }, { \"_id\" : { \"$type\" : [ "
              "\"null\", \"undefined\" ] } } ] }");
   check_end (ECL_IDS_NULL | ECL_IDS_NUMBER, none, ecl_null (),
              "{ \"$or\" : [ { \"_id\" : { \"$type\" : [ \"null\", \"undefined\" ] } } ] }");
}

/* ---- cutting ---- */

static void
check_covers (const ecl_chunk_range_t *ranges, size_t n)
{
   unsigned open_below = 0, open_above = 0, named = 0;

   for (size_t i = 0; i < n; i++) {
      bool below = ecl_is_missing (&ranges[i].above), over = ecl_is_missing (&ranges[i].upto);

      if (below && over) {
         assert_int_equal (named & ranges[i].types, 0);
         named |= ranges[i].types;
         continue;
      }
      assert_int_equal (ranges[i].types & (ranges[i].types - 1), 0); /* one type */
      open_below |= below ? ranges[i].types : 0;
      open_above |= over ? ranges[i].types : 0;
      if (!below) {
         /* It begins where the one before ended. */
         assert_memory_equal (&ranges[i].above, &ranges[i - 1].upto, sizeof ranges[i].above);
      }
   }
   assert_int_equal (open_below, open_above);
   assert_int_equal (open_below & named, 0);
   assert_int_equal (open_below | named, ECL_IDS_ALL);
}

static uint64_t
some_random (ecl_world_t *self)
{
   static uint64_t x = 1;

   (void) self;
   x = x * 6364136223846793005u + 1442695040888963407u;
   return x >> 33;
}

static bool
same_range (const ecl_chunk_range_t *a, const ecl_chunk_range_t *b)
{
   return a->types == b->types && ecl_identical (&a->above, &b->above) && ecl_identical (&a->upto, &b->upto);
}

/* Workers choose among the first of those that are open: of a large collection these are not to lie beside each other,
 * or on one shard. */
static void
test_order (void **state)
{
   enum { N = 1000, FIRST = 200 };
   fake_world_t fake = {.world = {.random = some_random}};
   ecl_value_t *ids = bson_malloc0 (N * sizeof *ids);
   const ecl_chunk_range_t *ranges, *shuffled;
   size_t n, quarters[4] = {0};
   ecl_arena_t arena;

   (void) state;
   ecl_arena_init (&arena);
   for (int32_t i = 0; i < N; i++) {
      ids[i] = ecl_int32 (i);
   }
   ranges = ecl_partition_ranges (&arena, ids, N, N, &n);
   assert_true (n >= N);
   shuffled = ecl_partition_shuffle (&arena, &fake.world, ranges, n);
   for (size_t i = 0; i < n; i++) {
      size_t times = 0;

      for (size_t k = 0; k < n; k++) {
         times += same_range (&ranges[i], &shuffled[k]);
      }
      assert_int_equal (times, 1);
   }
   for (size_t i = 0; i < n; i++) {
      if (i < FIRST && !ecl_is_missing (&shuffled[i].upto)) {
         quarters[shuffled[i].upto.u.i64 * 4 / N]++;
      }
   }
   for (size_t i = 0; i < 4; i++) {
      assert_in_range (quarters[i], FIRST / 8, FIRST / 2);
   }
   shuffled = ecl_partition_shuffle (&arena, &fake.world, ranges, 1);
   assert_true (same_range (shuffled, ranges));
   ecl_arena_cleanup (&arena);
   bson_free (ids);
}

static void
test_cutting (void **state)
{
   static const uint8_t oid[12] = {7};
   ecl_value_t ids[] = {
      ecl_null (),   ecl_double ((double) NAN), ecl_int32 (1),       ecl_int32 (2),    ecl_double (2.5), ecl_int64 (9),
      ecl_int64 (9), ecl_string ("a", 1),       ecl_string ("b", 1), ecl_oid_at (oid), ecl_bool (true),  ecl_date (5)};
   const ecl_chunk_range_t *ranges;
   ecl_arena_t arena;
   size_t n;

   (void) state;
   ecl_arena_init (&arena);
   ranges = ecl_partition_ranges (&arena, ids, 12, 12, &n);
   check_covers (ranges, n);
   assert_int_equal (n, 11); /* numbers 5, strings 3, ids 2, all the rest */
   for (int64_t wanted = 1; wanted < 20; wanted++) {
      for (size_t some = 0; some <= 12; some++) {
         ranges = ecl_partition_ranges (&arena, ids, some, wanted, &n);
         check_covers (ranges, n);
      }
   }
   ranges = ecl_partition_ranges (&arena, ids, 12, 1, &n);
   assert_int_equal (n, 1);
   assert_int_equal (ranges[0].types, ECL_IDS_ALL);
   ecl_arena_cleanup (&arena);
}

/* However many are wanted of however large a sample: none is much larger than the others. */
static void
test_even (void **state)
{
   static const int64_t wanted[] = {2, 7, 300, 400, 501, 999, 1000, 5000};
   ecl_value_t ids[1000];
   const ecl_chunk_range_t *ranges;
   ecl_arena_t arena;
   size_t n;

   (void) state;
   ecl_arena_init (&arena);
   for (int i = 0; i < 1000; i++) {
      ids[i] = ecl_int32 (i);
   }
   for (size_t w = 0; w < sizeof wanted / sizeof wanted[0]; w++) {
      int64_t before = -1, most = 1001 / wanted[w] + 1;

      ranges = ecl_partition_ranges (&arena, ids, 1000, wanted[w], &n);
      assert_int_equal ((int64_t) n, (wanted[w] < 1000 ? wanted[w] : 1000 + (wanted[w] > 1000)) + 1);
      for (size_t i = 0; i + 2 < n; i++) {
         assert_true (ranges[i].upto.u.i64 - before <= most);
         before = ranges[i].upto.u.i64;
      }
      assert_true (1000 - before <= most);
   }
   ecl_arena_cleanup (&arena);
}

/* A sample comes in no order; where its cursor is lost, or the server's chance had no luck, another one is taken. */
static void
test_cut_sorts (void **state)
{
   const canned_t script[] = {
      {"\"$sample\" : { \"size\" : 30 }", "LOST"},
      {"{ \"$sample\" : { \"size\" : 30 } }, { \"$project\" : { \"_id\" : 1 } } ], \"allowDiskUse\" : true",
       "REFUSED 28799"},
      {"\"$sample\" : { \"size\" : 30 }", "{\"ok\": 1, \"cursor\": {\"id\": 5, \"firstBatch\": [{\"_id\": 99}]}}"},
      {"\"getMore\" : 5", "LOST"},
      {"\"$sample\" : { \"size\" : 30 }",
       "{\"ok\": 1, \"cursor\": {\"id\": 0, \"firstBatch\": [{\"_id\": 9}, {\"_id\": 2}, {\"_id\": 30}, {\"_id\": 4}, "
       "{\"_id\": 7}]}}"},
      {0},
   };
   fake_world_t world = fake_world (script);
   const ecl_chunk_range_t *ranges;
   ecl_partition_sample_t sample = {0};
   ecl_arena_t arena;
   bson_error_t error;
   size_t n;

   (void) state;
   ecl_arena_init (&arena);
   sample.arena = &arena;
   assert_true (ecl_partition (&world.world, "shop", "users", 3, &sample, &ranges, &n, &error));
   fake_done (&world);
   assert_int_equal (n, 4);
   assert_int_equal (ranges[0].upto.u.i64, 4);
   assert_int_equal (ranges[1].above.u.i64, 4);
   assert_int_equal (ranges[1].upto.u.i64, 9);
   assert_int_equal (ranges[2].above.u.i64, 9);
   check_covers (ranges, n);
   ecl_arena_cleanup (&arena);
}

static void
test_how_many (void **state)
{
   (void) state;
   assert_int_equal (ecl_partition_count (0, 100000, 4), 1);
   assert_int_equal (ecl_partition_count (9999, 100000, 4), 1);
   assert_int_equal (ecl_partition_count (100000, 100000, 1), 1);
   assert_int_equal (ecl_partition_count (100001, 100000, 1), 2);
   assert_int_equal (ecl_partition_count (60000, 100000, 4), 6);
   assert_int_equal (ecl_partition_count (200000, 100000, 4), 16);
   assert_int_equal (ecl_partition_count (500000000, 100000, 4), 5000);
}

/* ---- ranges of a batch: run/range.h ---- */

static void
test_batch (void **state)
{
   ecl_value_t ids[] = {ecl_null (),   ecl_double ((double) NAN), ecl_int32 (1),    ecl_double (1.5),
                        ecl_int64 (9), ecl_string ("a", 1),       ecl_bool (false), ecl_bool (true),
                        ecl_date (5)};
   const ecl_range_t wanted[] = {{0, 2, true}, {2, 3, false}, {5, 1, false}, {6, 2, true}, {8, 1, false}};
   uint32_t at = 0;

   (void) state;
   for (size_t i = 0; i < 5; i++) {
      ecl_range_t range = ecl_range_next (ids, 9, at);

      assert_int_equal (range.first, wanted[i].first);
      assert_int_equal (range.n, wanted[i].n);
      assert_int_equal (range.list, wanted[i].list);
      at += range.n;
   }
   assert_int_equal (at, 9);
}

/* Large _ids that are named: a list of all that one batch may bring would be more than a command takes. */
static void
test_batch_of_large_ids (void **state)
{
   enum { LARGE = 200000, N = 80 };
   char *text = bson_malloc0 (LARGE);
   ecl_value_t string = ecl_string (text, LARGE), ids[N];
   ecl_field_t field = ecl_field ("a", 1, string);

   (void) state;
   for (int strings = 0; strings < 2; strings++) {
      for (int i = 0; i < N; i++) {
         ids[i] = strings ? string : ecl_fields (&field, 1);
      }
      for (uint32_t at = 0; at < N;) {
         ecl_range_t range = ecl_range_next (ids, N, at);
         ecl_arena_t arena;
         ecl_value_t filter;

         ecl_arena_init (&arena);
         filter = ecl_range_filter (&arena, ids, &range);
         assert_true (ecl_value_size (&filter) < 600000);
         assert_true (range.n == (strings ? N : 2));
         at += range.n;
         ecl_arena_cleanup (&arena);
      }
   }
   bson_free (text);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_filters),
      cmocka_unit_test (test_resuming_over_types),
      cmocka_unit_test (test_ending_over_types),
      cmocka_unit_test (test_cutting),
      cmocka_unit_test (test_order),
      cmocka_unit_test (test_even),
      cmocka_unit_test (test_cut_sorts),
      cmocka_unit_test (test_how_many),
      cmocka_unit_test (test_batch),
      cmocka_unit_test (test_batch_of_large_ids),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
