/* The throttle in virtual time: against a server whose batches take a fixed time and one per document, times the load
 * of others, times noise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "run/throttle.h"

typedef struct {
   ecl_throttle_t throttle;
   double fixed, each; /* ms */
   double load;        /* of others */
   double noise;       /* sigma of its logarithm */
   uint64_t seed;
   uint64_t bytes; /* per document */
   double clock;
   ecl_pressure_t pressure;
   bool has_pressure;
   int64_t asked_at;
   int64_t documents, batches, wait, longest_wait;
   double last_ms;
   uint32_t last_size;
} world_t;

static double
uniform (world_t *world)
{
   world->seed ^= world->seed << 13;
   world->seed ^= world->seed >> 7;
   world->seed ^= world->seed << 17;
   return ((double) (world->seed >> 11) + 0.5) / 9007199254740992.0;
}

static double
noise (world_t *world)
{
   return exp (world->noise * sqrt (-2 * log (uniform (world))) * cos (6.283185307179586 * uniform (world)));
}

static int64_t
now_of (const world_t *world)
{
   return (int64_t) world->clock;
}

static void
init (world_t *world, const ecl_throttle_settings_t *settings)
{
   *world = (world_t){.fixed = 3, .each = 0.05, .load = 1, .seed = 88172645463325252u, .clock = 1000000};
   ecl_throttle_init (&world->throttle, settings, now_of (world));
}

/* One batch with all the waiting in front of it, or so long as it is stopped until `end`; false where none was sent. */
static bool
batch (world_t *world, double end)
{
   ecl_throttle_advice_t advice;

   for (;;) {
      if (world->has_pressure && now_of (world) - world->asked_at >= 1000) {
         world->asked_at = now_of (world);
         ecl_throttle_pressure (&world->throttle, &world->pressure, now_of (world));
      }
      advice = ecl_throttle_next (&world->throttle, now_of (world));
      assert_in_range (advice.wait, 0, ECL_THROTTLE_PIECE);
      assert_in_range (advice.bytes, 1, ECL_THROTTLE_BYTES);
      if (!advice.wait) {
         break;
      }
      assert_int_not_equal (advice.by, ECL_SLOW_NONE);
      world->clock += (double) advice.wait;
      world->wait += advice.wait;
      if (world->clock >= end) {
         return false;
      }
   }
   assert_in_range (advice.documents, 1, world->throttle.settings.most);
   assert_true ((double) advice.documents * (double) world->bytes <= ECL_THROTTLE_BYTES || advice.documents == 1 ||
                world->batches == 0);
   world->last_ms = (world->fixed + world->each * advice.documents) * world->load * noise (world);
   world->last_size = advice.documents;
   world->clock += world->last_ms;
   world->documents += advice.documents;
   world->batches++;
   ecl_throttle_batch (&world->throttle, advice.documents, advice.documents * world->bytes,
                       (int64_t) (world->last_ms + 0.5), now_of (world));
   return true;
}

/* Documents per second over so many seconds. */
static double
run (world_t *world, double seconds)
{
   double begin = world->clock, end = begin + seconds * 1000;
   int64_t before = world->documents;

   while (world->clock < end) {
      batch (world, end);
   }
   return (double) (world->documents - before) / ((world->clock - begin) / 1000);
}

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

/* One calm batch is not enough to go on: what is told meanwhile is what keeps it waiting, and that is above the limit. */
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
   assert_true (world.throttle.calm < 1.35 * world.each);
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

/* On the way back to full pace it is still named what had slowed it, but not as if it still were so, nor with a value that
 * is not known. */
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

/* One that is kept for want of an answer counts on, for no longer than it would have without; and it is said to be old. */
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

/* The oplog is read every ten seconds, and each reading is told with every one of the lag between. It is kept once: what is
 * measured over is the whole of the time that there is room for. */
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
      cmocka_unit_test (test_size),          cmocka_unit_test (test_size_bytes),
      cmocka_unit_test (test_noise),         cmocka_unit_test (test_latency),
      cmocka_unit_test (test_latency_stops), cmocka_unit_test (test_latency_told),
      cmocka_unit_test (test_creep),         cmocka_unit_test (test_begins_under_load),
      cmocka_unit_test (test_lag),           cmocka_unit_test (test_two_in_flight),
      cmocka_unit_test (test_way_back),      cmocka_unit_test (test_stale),
      cmocka_unit_test (test_kept),          cmocka_unit_test (test_flow),
      cmocka_unit_test (test_oplog),         cmocka_unit_test (test_oplog_readings),
      cmocka_unit_test (test_command),       cmocka_unit_test (test_rate),
      cmocka_unit_test (test_worst),         cmocka_unit_test (test_parse),
      cmocka_unit_test (test_set),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
