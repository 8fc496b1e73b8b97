/* The throttle: the size of batches, the latency that it measures itself, rates that are set, and the command. */
#include "throttle_check.h"

static void
test_size (void **state)
{
   static const struct {
      double fixed, each;
      uint32_t first;
      double low, high; /* ms of a batch in the end */
   } cases[] = {
      {3, 0.05, 0, 42, 58},  {3, 0.05, 10000, 42, 58},
      {20, 0.5, 0, 42, 60},  {80, 0.5, 0, 110, 180}, /* the fixed cost alone is more than the time: twice of it */
      {1, 0.0001, 0, 1, 3},                          /* as many as are allowed */
      {3, 400, 0, 380, 820},                         /* one or two at a time, if it must be */
   };

   (void) state;
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      world_t world;
      double sum = 0;
      uint32_t last = 0;

      init (&world, &(ecl_throttle_settings_t){.first = cases[i].first});
      world.fixed = cases[i].fixed;
      world.each = cases[i].each;
      for (int k = 0; k < 140; k++) {
         assert_true (batch (&world, INFINITY));
         if (k % 64 == 63) {
            continue; /* the small one */
         }
         if (last) {
            assert_true (world.last_size <= 2 * last + 1 && world.last_size >= last / 2);
         }
         last = world.last_size;
         sum += k >= 40 ? world.last_ms : 0;
      }
      print_message ("%zu: %.1f ms, %u documents\n", i, sum / 100, last);
      assert_true (sum / 100 >= cases[i].low && sum / 100 <= cases[i].high);
      assert_int_equal (world.wait, 0);
   }
}

/* Batches that are short by chance make the fixed cost seem to be all there is; what took too long does not grow. */
static void
test_size_runs_away (void **state)
{
   static const uint32_t begin[] = {8, 8, 4, 4, 2, 2, 2, 6, 3};
   world_t world;

   (void) state;
   init (&world, &(ecl_throttle_settings_t){.batch_time = 150, .first = 8});
   for (uint32_t i = 0; i < 60; i++) {
      uint32_t n = ecl_throttle_next (&world.throttle, now_of (&world)).documents;
      int64_t ms;

      n = i < sizeof begin / sizeof begin[0] ? begin[i] : i % 4 ? n : 1; /* as replies have them */
      ms = 10 + 20 * n + (i == 1);
      assert_in_range (ms, 10, 4 * 150);
      world.clock += (double) ms;
      ecl_throttle_batch (&world.throttle, n, 0, ms, now_of (&world));
   }
   assert_in_range (world.throttle.size, 6, 8);
}

/* Large documents: what one batch holds is bounded by bytes. */
static void
test_size_bytes (void **state)
{
   world_t world;

   (void) state;
   init (&world, &(ecl_throttle_settings_t){.batch_time = 60000, .first = 8});
   world.bytes = 1000 * 1000;
   for (int i = 0; i < 50; i++) {
      batch (&world, INFINITY);
   }
   assert_int_equal (world.last_size, 12);
}

/* Noise alone slows hardly anything. */
static void
test_noise (void **state)
{
   (void) state;
   for (uint64_t seed = 1; seed <= 5; seed++) {
      world_t world;

      init (&world, &(ecl_throttle_settings_t){0});
      world.seed *= seed;
      world.noise = 0.3;
      run (&world, 3600);
      assert_true ((double) world.wait < 0.01 * 3600 * 1000);
   }
}

/* Load comes, is seen within two batches, and goes. */
static void
test_latency (void **state)
{
   (void) state;
   for (uint64_t seed = 1; seed <= 20; seed++) {
      world_t world;
      double calm, slow, again, began;
      int64_t before;
      char text[128];

      init (&world, &(ecl_throttle_settings_t){0});
      world.seed *= seed;
      world.noise = 0.15;
      calm = run (&world, 60);
      assert_true (calm > 10000);
      world.load = 5;
      batch (&world, INFINITY);
      batch (&world, INFINITY);
      assert_int_equal (ecl_throttle_next (&world.throttle, now_of (&world)).by, ECL_SLOW_LATENCY);
      began = world.clock;
      before = world.documents;
      batch (&world, INFINITY); /* the third waits */
      assert_true ((double) (world.documents - before) / (world.clock - began) * 1000 < calm / 5 / 2);
      slow = run (&world, 60);
      /* less than what the server would take: 1/5 of the calm rate */
      assert_true (slow < calm / 5 / 2 && slow > 0);
      assert_int_equal (world.throttle.by, ECL_SLOW_LATENCY);
      assert_non_null (strstr (ecl_throttle_describe (&world.throttle, text, sizeof text), "limit 2.0"));
      world.load = 1;
      run (&world, 5);
      again = run (&world, 20);
      assert_true (again > 0.85 * calm);
   }
}

/* Far above the limit it stops, asks with small batches, and goes on. */
static void
test_latency_stops (void **state)
{
   world_t world;
   double calm;
   int64_t before;

   (void) state;
   init (&world, &(ecl_throttle_settings_t){0});
   world.noise = 0.15;
   calm = run (&world, 60);
   world.load = 30;
   run (&world, 10);
   assert_true (ecl_throttle_next (&world.throttle, now_of (&world)).stopped);
   before = world.batches;
   run (&world, 160);
   assert_in_range (world.batches - before, 5, 20);
   assert_in_range (world.last_size, 1, 16);
   assert_true (world.throttle.waited[ECL_SLOW_LATENCY] > 150 * 1000);
   world.load = 1;
   run (&world, 40); /* two probes, at most 16 seconds apart */
   assert_true (run (&world, 20) > 0.85 * calm);
   assert_int_equal (world.throttle.by, ECL_SLOW_NONE);
}

/* One calm batch is not enough to go on: what is told meanwhile is what keeps it waiting, and that is above the
 * limit. */
static void
test_latency_told (void **state)
{
   char text[ECL_THROTTLE_TEXT];
   double told = 0, limit = 0;
   world_t world;

   (void) state;
   init (&world, &(ecl_throttle_settings_t){0});
   run (&world, 60);
   world.load = 30;
   run (&world, 3);
   assert_true (ecl_throttle_next (&world.throttle, now_of (&world)).stopped);
   world.load = 1;
   assert_true (batch (&world, INFINITY));
   assert_true (ecl_throttle_next (&world.throttle, now_of (&world)).stopped);
   assert_true (ecl_throttle_latency (&world.throttle) < 1.5);
   ecl_throttle_describe (&world.throttle, text, sizeof text);
   assert_int_equal (sscanf (text, "writes take %lf times what they take when all is calm, limit %lf", &told, &limit),
                     2);
   assert_true (limit == 2 && told > limit);
}

/* Load that grows over hours is not mistaken for calm. */
static void
test_creep (void **state)
{
   world_t world;
   double calm, slow;

   (void) state;
   init (&world, &(ecl_throttle_settings_t){0});
   world.noise = 0.2;
   calm = run (&world, 60);
   for (int i = 0; i < 6 * 60; i++) {
      world.load = 1 + 3.0 * i / 360;
      run (&world, 60);
   }
   assert_true (world.throttle.usual.calm < 1.35 * world.each);
   slow = run (&world, 60);
   assert_int_equal (world.throttle.by, ECL_SLOW_LATENCY);
   assert_true (slow < calm / 4 / 2);
}

/* Nor is it while the run begins under load that goes away: what is calm falls. */
static void
test_begins_under_load (void **state)
{
   world_t world;

   (void) state;
   init (&world, &(ecl_throttle_settings_t){0});
   world.noise = 0.2;
   world.load = 4;
   run (&world, 120);
   assert_int_equal (world.throttle.by, ECL_SLOW_NONE);
   world.load = 1;
   run (&world, 300);
   world.load = 4;
   run (&world, 10);
   assert_int_equal (world.throttle.by, ECL_SLOW_LATENCY);
}

/* As long as the fixed cost seems to be larger than it is, documents seem to take next to nothing. */
static void
test_fixed_known_late (void **state)
{
   static const uint32_t begin[] = {8, 8, 4, 4, 2, 2, 3, 6, 2, 6, 2, 16};
   world_t world;

   (void) state;
   init (&world, &(ecl_throttle_settings_t){.batch_time = 150, .first = 8});
   for (uint32_t i = 0; i < 100; i++) {
      uint32_t n = i < sizeof begin / sizeof begin[0] ? begin[i] : i == 20 ? 1 : 7;

      world.clock += 10 + 20 * n;
      ecl_throttle_batch (&world.throttle, n, 0, 10 + 20 * n, now_of (&world));
   }
   assert_true (world.throttle.usual.calm > 15 && world.throttle.usual.calm < 21);
   assert_int_equal (ecl_throttle_next (&world.throttle, now_of (&world)).by, ECL_SLOW_NONE);
}

/* Some small ones in a row, and as many as ever: that is nothing new. */
static void
test_small_for_a_while (void **state)
{
   world_t world;

   (void) state;
   init (&world, &(ecl_throttle_settings_t){0});
   for (int i = 0; i < 100; i++) {
      uint32_t n = i == 0 ? 1 : i < 60 ? 20 : i < 90 ? 5 : 20;

      world.clock += 6 + 2 * n;
      ecl_throttle_batch (&world.throttle, n, 0, 6 + 2 * n, now_of (&world));
      assert_true (i < 30 || world.throttle.usual.calm >= 0);
   }
}

/* Nor does it matter that the first batch was much larger than all that come: what is calm is learned from those. */
static void
test_begins_too_large (void **state)
{
   (void) state;
   for (uint32_t first = 64; first <= 1024; first *= 2) {
      world_t world;

      init (&world, &(ecl_throttle_settings_t){.first = first});
      world.fixed = 6;
      world.each = 2;
      run (&world, 10);
      assert_true (world.throttle.usual.calm > 1.4 && world.throttle.usual.calm < 2.1);
      world.load = 4;
      run (&world, 2);
      assert_int_equal (world.throttle.by, ECL_SLOW_LATENCY);
   }
}

/* Writes of which most of the time is a fixed cost that varies much: after hours the fastest ones were very lucky. Small
 * batches, where the rest of a collection has few documents that are left, are not slow for that; load is seen by them
 * even so, also when it comes slowly. */
static void
test_small_ones (void **state)
{
   (void) state;
   for (uint64_t seed = 1; seed <= 5; seed++) {
      world_t world;
      int64_t before;

      init (&world, &(ecl_throttle_settings_t){0});
      world.seed *= seed;
      world.fixed = 22;
      world.noise = 0.5;
      run (&world, 3600);
      world.most = 3;
      before = world.wait;
      run (&world, 600);
      print_message ("seed %d: small batches wait for %.3f of the time\n", (int) seed,
                     (double) (world.wait - before) / 600000);
      assert_true ((double) (world.wait - before) < 0.05 * 600000);
      for (int i = 0; i < 6 * 60; i++) {
         world.load = 1 + 7.0 * i / 360;
         run (&world, 60);
      }
      assert_int_equal (world.throttle.by, ECL_SLOW_LATENCY);
   }
}

/* And where it had stopped, the small batches that find out how it is tell that it is calm again. */
static void
test_goes_on (void **state)
{
   (void) state;
   for (uint64_t seed = 1; seed <= 5; seed++) {
      world_t world;
      double calm, began;

      init (&world, &(ecl_throttle_settings_t){0});
      world.seed *= seed;
      world.fixed = 22;
      world.noise = 0.5;
      run (&world, 3600);
      calm = run (&world, 60);
      world.load = 30;
      run (&world, 120);
      assert_true (world.throttle.stopped[ECL_SLOW_LATENCY]);
      world.load = 1;
      began = world.clock;
      while (run (&world, 5) < 0.7 * calm) {
         assert_true (world.clock < began + 90 * 1000);
      }
      print_message ("seed %d: as fast as before after %.0f s\n", (int) seed, (world.clock - began) / 1000);
   }
}

/* Load of several shapes: the mean of what is written stays below what the server would take, and comes back. */
static void
test_shapes (void **state)
{
   static const char *const names[] = {"step", "ramp", "sawtooth", "square"};

   (void) state;
   for (int shape = 0; shape < 4; shape++) {
      double calm, loaded, again, begin, rate[60], low = INFINITY, high = 0;
      world_t world;

      init (&world, &(ecl_throttle_settings_t){0});
      world.noise = 0.15;
      calm = run (&world, 120);
      begin = world.clock;
      for (int i = 0; i < 60; i++) {
         double at = (world.clock - begin) / 1000;

         world.load = shape == 0   ? 5
                      : shape == 1 ? 1 + 4 * (at > 60 ? 1 : at / 60)
                      : shape == 2 ? 1 + 4 * fmod (at, 20) / 20
                                   : (fmod (at, 20) < 10 ? 5 : 1);
         rate[i] = run (&world, 2);
         if (i >= 30) {
            low = rate[i] < low ? rate[i] : low;
            high = rate[i] > high ? rate[i] : high;
         }
      }
      world.load = 1;
      loaded = (double) world.documents;
      run (&world, 5);
      again = run (&world, 20);
      (void) loaded;
      print_message ("%s: %.0f documents a second when calm, %.0f to %.0f under load, %.0f five seconds after it\n",
                     names[shape], calm, low, high, again);
      assert_true (again > 0.85 * calm);
      assert_true (shape > 1 || high < calm / 5); /* it makes way: by more than the load takes */
      assert_true (shape > 1 || low > 0);         /* steady load: no swinging between all and nothing */
      assert_true (shape > 1 || high < 2.5 * low);
   }
}

/* Two whose writes slow each other's: both get on, and neither swings. */
static void
test_two_workers (void **state)
{
   double low[2] = {INFINITY, INFINITY}, high[2] = {0, 0}, seconds = 0, count[2] = {0, 0};
   world_t worlds[2];

   (void) state;
   for (int i = 0; i < 2; i++) {
      init (&worlds[i], &(ecl_throttle_settings_t){0});
      worlds[i].noise = 0.15;
      worlds[i].seed += (uint64_t) i;
   }
   run (&worlds[0], 60); /* which learns what is calm alone */
   worlds[1].clock = worlds[0].clock;
   while (seconds < 600) {
      world_t *next = worlds[0].clock <= worlds[1].clock ? &worlds[0] : &worlds[1], *other = &worlds[next == worlds];
      int64_t before = next->documents;

      /* Each takes as much longer as the other one is busy. */
      next->load = 1 + 2 * other->throttle.duty;
      batch (next, next->clock + 1000);
      count[next == &worlds[1]] += (double) (next->documents - before);
      if (worlds[0].clock >= 1060000 + (seconds + 10) * 1000 && worlds[1].clock >= 1060000 + (seconds + 10) * 1000) {
         seconds += 10;
         for (int i = 0; i < 2; i++) {
            low[i] = seconds > 60 && count[i] / 10 < low[i] ? count[i] / 10 : low[i];
            high[i] = seconds > 60 && count[i] / 10 > high[i] ? count[i] / 10 : high[i];
            count[i] = 0;
         }
      }
   }
   print_message ("two workers: %.0f to %.0f and %.0f to %.0f documents a second\n", low[0], high[0], low[1], high[1]);
   for (int i = 0; i < 2; i++) {
      assert_true (low[i] > 0 && high[i] < 4 * low[i]);
   }
}

static void
test_command (void **state)
{
   char text[ECL_THROTTLE_TEXT];
   world_t world;

   (void) state;
   init (&world, &(ecl_throttle_settings_t){0});
   run (&world, 5);
   ecl_throttle_command (&world.throttle, true, "backup", now_of (&world));
   assert_true (run (&world, 10) == 0);
   assert_int_equal (world.throttle.by, ECL_SLOW_COMMAND);
   assert_string_equal (ecl_throttle_describe (&world.throttle, text, sizeof text),
                        "the throttle command says wait: backup");
   ecl_throttle_command (&world.throttle, false, "", now_of (&world));
   assert_true (run (&world, 10) > 1000);
   /* It does not wait for ever for a program that is gone. */
   ecl_throttle_command (&world.throttle, true, "", now_of (&world));
   run (&world, 1);
   assert_string_equal (ecl_throttle_describe (&world.throttle, text, sizeof text), "the throttle command says wait");
   assert_true (run (&world, 60) > 1000);
}

/* So many documents a second, by one and by four; bytes, too. */
static void
test_rate (void **state)
{
   world_t worlds[4], world;
   double sum = 0;
   int64_t before;

   (void) state;
   init (&world, &(ecl_throttle_settings_t){.max_documents = 1000});
   world.noise = 0.3;
   run (&world, 5);
   assert_in_range ((int64_t) run (&world, 60), 950, 1050);
   assert_int_equal (world.throttle.by, ECL_SLOW_RATE);
   for (int i = 0; i < 4; i++) {
      init (&worlds[i], &(ecl_throttle_settings_t){.max_documents = 1000, .workers = 4});
      worlds[i].seed += (uint64_t) i;
      worlds[i].noise = 0.3;
      run (&worlds[i], 5);
      sum += run (&worlds[i], 60);
   }
   assert_in_range ((int64_t) sum, 950, 1050);
   /* Three of them die. */
   ecl_throttle_workers (&worlds[0].throttle, 1);
   run (&worlds[0], 5);
   assert_in_range ((int64_t) run (&worlds[0], 60), 950, 1050);
   init (&world, &(ecl_throttle_settings_t){.max_bytes = 100000});
   world.bytes = 400;
   run (&world, 5);
   assert_in_range ((int64_t) (run (&world, 60) * 400), 95000, 105000);
   /* Time that was not used is not saved up. */
   init (&world, &(ecl_throttle_settings_t){.max_documents = 1000});
   run (&world, 5);
   world.clock += 60000;
   assert_in_range ((int64_t) run (&world, 10), 900, 1200);
   /* Slower than one at a time. */
   init (&world, &(ecl_throttle_settings_t){.max_documents = 0.5});
   before = world.documents;
   run (&world, 100);
   assert_in_range (world.documents - before, 49, 52);
   /* Nobody waits for what was set before. */
   ecl_throttle_set (&world.throttle, &(ecl_throttle_settings_t){0});
   assert_int_equal (ecl_throttle_next (&world.throttle, now_of (&world)).wait, 0);
   assert_true (run (&world, 10) > 5000);
}

static void
test_parse (void **state)
{
   static const struct {
      const char *text;
      double documents, bytes;
   } good[] = {{"1000", 1000, 0},    {"0.5", 0.5, 0},         {"5MB", 0, 5e6},     {"512kB", 0, 512000},
               {"1MiB", 0, 1048576}, {"20000B", 0, 20000},    {"1000/s", 1000, 0}, {"5MB/s", 0, 5e6},
               {"none", 0, 0},       {"1.5GB", 0, 1500000000}};
   static const char *const bad[] = {
      "", "0", "0MB", "0.0", "-1", "MB", "5 MB", "5mb", "1e3", "1.2.3", ".", "inf", "99999999999999999999"};
   ecl_throttle_settings_t settings;
   bson_error_t error;

   (void) state;
   for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
      settings = (ecl_throttle_settings_t){.max_documents = 7, .max_bytes = 7};
      assert_true (ecl_throttle_parse_rate (good[i].text, &settings, &error));
      assert_true (settings.max_documents == good[i].documents && settings.max_bytes == good[i].bytes);
   }
   for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
      assert_false (ecl_throttle_parse_rate (bad[i], &settings, &error));
      assert_non_null (strstr (error.message, "no rate"));
   }
}

/* Other settings leave what only the beginning says. */
static void
test_set (void **state)
{
   ecl_throttle_settings_t settings = {.batch_time = 100};
   world_t world;

   (void) state;
   init (&world, &(ecl_throttle_settings_t){.first = 3});
   ecl_throttle_set (&world.throttle, &settings);
   assert_int_equal (world.throttle.settings.first, 3);
   assert_int_equal (world.throttle.settings.batch_time, 100);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_size),
      cmocka_unit_test (test_size_bytes),
      cmocka_unit_test (test_noise),
      cmocka_unit_test (test_latency),
      cmocka_unit_test (test_latency_stops),
      cmocka_unit_test (test_latency_told),
      cmocka_unit_test (test_creep),
      cmocka_unit_test (test_begins_under_load),
      cmocka_unit_test (test_command),
      cmocka_unit_test (test_rate),
      cmocka_unit_test (test_parse),
      cmocka_unit_test (test_set),
      cmocka_unit_test (test_size_runs_away),
      cmocka_unit_test (test_begins_too_large),
      cmocka_unit_test (test_small_for_a_while),
      cmocka_unit_test (test_fixed_known_late),
      cmocka_unit_test (test_small_ones),
      cmocka_unit_test (test_goes_on),
      cmocka_unit_test (test_shapes),
      cmocka_unit_test (test_two_workers),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
