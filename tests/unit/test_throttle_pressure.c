/* The throttle and what the server tells of itself: lag, flow control and the oplog; and which of all inputs
 * decides. */
#include "throttle_check.h"

static void
test_lag (void **state)
{
   world_t world;
   double calm, slow;
   char text[128];

   (void) state;
   init (&world, &(ecl_throttle_settings_t){.max_lag = 5000});
   world.noise = 0.15;
   world.has_pressure = true;
   world.pressure = (ecl_pressure_t){1000, 0, -1, -1};
   calm = run (&world, 30);
   assert_int_equal (world.throttle.by, ECL_SLOW_NONE);
   world.pressure.lag = 10000;
   run (&world, 1.2);
   slow = run (&world, 30);
   assert_true (slow < 0.3 * calm && slow > 0.2 * calm); /* level 2: a quarter of the time */
   assert_int_equal (world.throttle.by, ECL_SLOW_LAG);
   assert_string_equal (ecl_throttle_describe (&world.throttle, text, sizeof text),
                        "replication lag 10.0 s, limit 5.0 s");
   world.pressure.lag = 25000;
   run (&world, 1.2);
   assert_true (run (&world, 30) == 0);
   assert_true (ecl_throttle_next (&world.throttle, now_of (&world)).stopped);
   /* It stays so until the lag is below the limit, not only below the critical one. */
   world.pressure.lag = 6000;
   assert_true (run (&world, 10) == 0);
   world.pressure.lag = 4000;
   run (&world, 5);
   assert_true (run (&world, 30) > 0.85 * calm);
   assert_int_equal (world.throttle.by, ECL_SLOW_NONE);
}

/* Lag that is of its own making: what is written beyond a third of the full pace falls behind. It settles: no swinging
 * between all and nothing, and hardly less is written than the secondaries take. */
static void
test_own_lag (void **state)
{
   static const int64_t limits[] = {10000, 2000};

   (void) state;
   for (size_t k = 0; k < 2; k++) {
      double calm, lag = 0, low = INFINITY, high = 0, last, turned = 0;
      world_t world;
      int64_t begin = 0;
      int turns = 0;
      bool rising = true;

      init (&world, &(ecl_throttle_settings_t){.max_lag = limits[k]});
      world.noise = 0.15;
      world.has_pressure = true;
      world.pressure = (ecl_pressure_t){0, 0, -1, -1};
      calm = run (&world, 60);
      for (int i = 0; i < 2400; i++) {
         last = lag;
         lag += run (&world, 0.25) / (calm / 3) * 250 - 250;
         lag = lag < 0 ? 0 : lag;
         world.pressure.lag = (int64_t) (lag / 1000) * 1000; /* as servers tell it: in seconds */
         if (i == 1200) {
            begin = world.documents;
         }
         if (i >= 1200) {
            low = lag < low ? lag : low;
            high = lag > high ? lag : high;
            turns += rising != (lag > last);
            turned += 0.25;
         }
         rising = lag > last;
      }
      print_message (
         "limit %d ms: lag between %.0f and %.0f ms, turns every %.1f s; %.2f of what the secondaries take\n",
         (int) limits[k], low, high, turns ? turned / turns : 0,
         (double) (world.documents - begin) / turned / (calm / 3));
      assert_true (high < 2.5 * (double) limits[k] && high - low < 0.75 * (double) limits[k] + 1500);
      assert_true ((double) (world.documents - begin) / turned > 0.9 * calm / 3);
   }
}

/* Two in flight: the second one is begun when the first one is back, and both are waited for. */
static void
test_two_in_flight (void **state)
{
   ecl_pressure_t pressure = {.lag = 30000, .flow = -1, .oplog_first = -1, .oplog_last = -1};
   ecl_throttle_t throttle;
   int64_t now = 100000;

   (void) state;
   ecl_throttle_init (&throttle, &(ecl_throttle_settings_t){0}, now);
   ecl_throttle_pressure (&throttle, &pressure, now);
   assert_int_equal (ecl_throttle_next (&throttle, now).wait, 0);
   ecl_throttle_batch (&throttle, 100, 0, 20, now += 20);
   ecl_throttle_batch (&throttle, 100, 0, 30, now += 30);
   /* A ninth of the time: eight times 50 ms are waited, and then the next one goes. */
   assert_in_range (ecl_throttle_next (&throttle, now + 390).wait, 1, 20);
   assert_int_equal (ecl_throttle_next (&throttle, now += 400).wait, 0);
   /* One that was begun in the middle of the wait takes the other half along. */
   ecl_throttle_batch (&throttle, 100, 0, 40, now += 40);
   now += 160;
   ecl_throttle_batch (&throttle, 100, 0, 40, now += 40);
   assert_in_range (ecl_throttle_next (&throttle, now + 470).wait, 1, 20);
   assert_int_equal (ecl_throttle_next (&throttle, now + 480).wait, 0);
}

/* On the way back to full pace it is still named what had slowed it, but not as if it still were so, nor with a value
 * that is not known. */
static void
test_way_back (void **state)
{
   ecl_throttle_t throttle;
   char text[ECL_THROTTLE_TEXT];
   int64_t now = 100000;

   (void) state;
   ecl_throttle_init (&throttle, &(ecl_throttle_settings_t){0}, now);
   ecl_throttle_pressure (&throttle, &(ecl_pressure_t){30000, -1, -1, -1}, now);
   assert_int_equal (ecl_throttle_next (&throttle, now).by, ECL_SLOW_LAG);
   assert_string_equal (ecl_throttle_describe (&throttle, text, sizeof text), "replication lag 30.0 s, limit 10.0 s");
   ecl_throttle_batch (&throttle, 100, 0, 100, now += 100);
   ecl_throttle_pressure (&throttle, &(ecl_pressure_t){-1, -1, -1, -1}, now);
   assert_int_equal (ecl_throttle_next (&throttle, now).by, ECL_SLOW_LAG);
   assert_string_equal (ecl_throttle_describe (&throttle, text, sizeof text),
                        "replication lag until just now: it is getting faster again");
   ecl_throttle_command (&throttle, true, "backup", now);
   assert_int_equal (ecl_throttle_next (&throttle, now).by, ECL_SLOW_COMMAND);
   assert_string_equal (ecl_throttle_describe (&throttle, text, sizeof text), "the throttle command says wait: backup");
   ecl_throttle_command (&throttle, false, "", now);
   assert_int_equal (ecl_throttle_next (&throttle, now).by, ECL_SLOW_COMMAND);
   assert_string_equal (ecl_throttle_describe (&throttle, text, sizeof text),
                        "the throttle command until just now: it is getting faster again");
}

/* A reading that is old says nothing; and -1 is no lag. */
static void
test_stale (void **state)
{
   world_t world;

   (void) state;
   init (&world, &(ecl_throttle_settings_t){0});
   ecl_throttle_pressure (&world.throttle, &(ecl_pressure_t){1000000, 1, -1, -1}, now_of (&world));
   assert_true (ecl_throttle_next (&world.throttle, now_of (&world)).stopped);
   assert_false (ecl_throttle_next (&world.throttle, now_of (&world) + ECL_THROTTLE_STALE + 1).stopped);
   world.clock += ECL_THROTTLE_STALE;
   ecl_throttle_pressure (&world.throttle, &(ecl_pressure_t){-1, -1, -1, -1}, now_of (&world));
   assert_int_equal (ecl_throttle_next (&world.throttle, now_of (&world)).by, ECL_SLOW_NONE);
}

/* One that is kept for want of an answer counts on, for no longer than it would have without; and it is said to be
 * old. */
static void
test_kept (void **state)
{
   ecl_pressure_t pressure = {60000, 1, -1, -1, 14000, 14000};
   char text[ECL_THROTTLE_TEXT];
   ecl_throttle_t throttle;
   int64_t now = 100000;

   (void) state;
   ecl_throttle_init (&throttle, &(ecl_throttle_settings_t){0}, now);
   ecl_throttle_pressure (&throttle, &pressure, now);
   now += ECL_THROTTLE_STALE - 14000;
   assert_true (ecl_throttle_next (&throttle, now).stopped);
   assert_string_equal (ecl_throttle_describe (&throttle, text, sizeof text),
                        "replication lag 60.0 s, limit 10.0 s (as of 15 s ago: no answer since)");
   assert_int_equal (ecl_throttle_next (&throttle, now + 1).by, ECL_SLOW_NONE);
   pressure.lag = 0;
   pressure.flow_age = 2000;
   ecl_throttle_pressure (&throttle, &pressure, now);
   assert_int_equal (ecl_throttle_next (&throttle, now).by, ECL_SLOW_FLOW);
   assert_string_equal (ecl_throttle_describe (&throttle, text, sizeof text),
                        "flow control: the primary holds writers back (as of 2 s ago: no answer since)");
}

static void
test_flow (void **state)
{
   world_t world;
   double calm, slow;

   (void) state;
   init (&world, &(ecl_throttle_settings_t){0});
   world.has_pressure = true;
   world.pressure = (ecl_pressure_t){-1, 0, -1, -1};
   calm = run (&world, 30);
   world.pressure.flow = 1;
   run (&world, 1.2);
   slow = run (&world, 30);
   assert_int_equal (world.throttle.by, ECL_SLOW_FLOW);
   assert_true (slow < 0.3 * calm);
   world.pressure.flow = 0;
   run (&world, 3);
   assert_true (run (&world, 30) > 0.9 * calm);
}

/* The oplog held a day; its old end begins to move faster than time goes by. */
static void
test_oplog (void **state)
{
   const int64_t hour = 3600 * 1000;
   char text[ECL_THROTTLE_TEXT];
   world_t world;
   double calm;

   (void) state;
   init (&world, &(ecl_throttle_settings_t){0});
   world.has_pressure = true;
   world.pressure = (ecl_pressure_t){-1, -1, 1000 * hour, 1024 * hour};
   /* Never full: the old end stands still, and that is no loss. */
   for (int i = 0; i < 60; i++) {
      world.pressure.oplog_last += 1000;
      run (&world, 1);
   }
   assert_int_equal (world.throttle.by, ECL_SLOW_NONE);
   /* As fast as it grows. */
   for (int i = 0; i < 400; i++) {
      world.pressure.oplog_last += 1000;
      world.pressure.oplog_first += 1000;
      run (&world, 1);
   }
   assert_int_equal (world.throttle.by, ECL_SLOW_NONE);
   calm = run (&world, 1);
   /* 24 hours of the past go by in less than one and a half: below the limit of two. */
   for (int i = 0; i < 320; i++) {
      world.pressure.oplog_last += 1000;
      world.pressure.oplog_first += 18000;
      run (&world, 1);
   }
   assert_int_equal (world.throttle.by, ECL_SLOW_OPLOG);
   assert_string_equal (ecl_throttle_describe (&world.throttle, text, sizeof text),
                        "the oplog would reach back 1.3 h at this rate, limit 2.0 h");
   assert_true (run (&world, 10) < 0.9 * calm);
   /* A short one that was as short before is not asked for more than half of that. */
   init (&world, &(ecl_throttle_settings_t){0});
   world.has_pressure = true;
   world.pressure = (ecl_pressure_t){-1, -1, 1000 * hour, 1001 * hour};
   for (int i = 0; i < 400; i++) {
      world.pressure.oplog_last += 1000;
      world.pressure.oplog_first += 1500;
      run (&world, 1);
   }
   assert_int_equal (world.throttle.by, ECL_SLOW_NONE);
}

/* The oplog is read every ten seconds, and each reading is told with every one of the lag between. It is kept once:
 * what is measured over is the whole of the time that there is room for. */
static void
test_oplog_readings (void **state)
{
   ecl_throttle_t throttle;
   int64_t now = 100000;

   (void) state;
   ecl_throttle_init (&throttle, &(ecl_throttle_settings_t){0}, now);
   for (int i = 0; i < 2 * ECL_THROTTLE_OPLOG; i++) {
      for (int k = 0; k < 10; k++) {
         ecl_throttle_pressure (&throttle, &(ecl_pressure_t){-1, -1, 1000 + 5000 * i, 1000000 + 10000 * i},
                                now += 1000);
      }
      assert_int_equal (throttle.n_oplog, i < ECL_THROTTLE_OPLOG ? i + 1 : ECL_THROTTLE_OPLOG);
   }
   for (int i = 1; i < ECL_THROTTLE_OPLOG; i++) {
      assert_int_equal (throttle.oplog[i].last - throttle.oplog[i - 1].last, 10000);
   }
}

/* The worst decides and is named; inputs can be left out. */
static void
test_worst (void **state)
{
   world_t world;

   (void) state;
   init (&world, &(ecl_throttle_settings_t){.max_documents = 10});
   run (&world, 10);
   assert_int_equal (world.throttle.by, ECL_SLOW_RATE);
   ecl_throttle_pressure (&world.throttle, &(ecl_pressure_t){15000, 1, -1, -1}, now_of (&world));
   assert_int_equal (ecl_throttle_next (&world.throttle, now_of (&world)).by, ECL_SLOW_FLOW);
   ecl_throttle_pressure (&world.throttle, &(ecl_pressure_t){35000, 1, -1, -1}, now_of (&world));
   assert_int_equal (ecl_throttle_next (&world.throttle, now_of (&world)).by, ECL_SLOW_LAG);
   init (&world, &(ecl_throttle_settings_t){.max_lag = -1, .max_latency = -1});
   run (&world, 60);
   world.load = 50;
   run (&world, 60);
   ecl_throttle_pressure (&world.throttle, &(ecl_pressure_t){35000, 0, -1, -1}, now_of (&world));
   assert_int_equal (ecl_throttle_next (&world.throttle, now_of (&world)).by, ECL_SLOW_NONE);
}

/* What finds out whether writes are calm again is not sent while something else says that nothing is to be written. */
static void
test_no_probe (void **state)
{
   world_t world;

   (void) state;
   init (&world, &(ecl_throttle_settings_t){0});
   run (&world, 60);
   world.load = 50;
   run (&world, 10);
   assert_int_equal (world.throttle.by, ECL_SLOW_LATENCY);
   for (int i = 0; i < 40; i++) {
      ecl_throttle_command (&world.throttle, true, "backup", now_of (&world));
      assert_true (run (&world, 1) == 0);
   }
   assert_int_equal (world.throttle.by, ECL_SLOW_COMMAND);
   ecl_throttle_command (&world.throttle, false, "", now_of (&world));
   assert_true (run (&world, 40) > 0);
   world.has_pressure = true;
   world.pressure = (ecl_pressure_t){60000, 0, -1, -1};
   run (&world, 1.2);
   assert_true (run (&world, 60) == 0);
   assert_int_equal (world.throttle.by, ECL_SLOW_LAG);
   world.load = 1;
   world.pressure.lag = 0;
   run (&world, 40);
   assert_int_equal (world.throttle.by, ECL_SLOW_NONE);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_lag),      cmocka_unit_test (test_two_in_flight),  cmocka_unit_test (test_way_back),
      cmocka_unit_test (test_stale),    cmocka_unit_test (test_kept),           cmocka_unit_test (test_flow),
      cmocka_unit_test (test_oplog),    cmocka_unit_test (test_oplog_readings), cmocka_unit_test (test_worst),
      cmocka_unit_test (test_no_probe), cmocka_unit_test (test_own_lag),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
