/* What the tests of the throttle share: the throttle in virtual time, against a server whose batches take a fixed time
 * and one per document, times the load of others, times noise. */
#ifndef THROTTLE_CHECK_H
#define THROTTLE_CHECK_H

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
   uint32_t most;  /* that there are for one batch; 0: as many as it takes */
   double clock;
   ecl_pressure_t pressure;
   bool has_pressure;
   int64_t asked_at;
   int64_t documents, batches, wait, longest_wait;
   double last_ms;
   uint32_t last_size;
} world_t;

static inline double
uniform (world_t *world)
{
   world->seed ^= world->seed << 13;
   world->seed ^= world->seed >> 7;
   world->seed ^= world->seed << 17;
   return ((double) (world->seed >> 11) + 0.5) / 9007199254740992.0;
}

static inline double
noise (world_t *world)
{
   return exp (world->noise * sqrt (-2 * log (uniform (world))) * cos (6.283185307179586 * uniform (world)));
}

static inline int64_t
now_of (const world_t *world)
{
   return (int64_t) world->clock;
}

static inline void
init (world_t *world, const ecl_throttle_settings_t *settings)
{
   *world = (world_t){.fixed = 3, .each = 0.05, .load = 1, .seed = 88172645463325252u, .clock = 1000000};
   ecl_throttle_init (&world->throttle, settings, now_of (world));
}

/* One batch with all the waiting in front of it, or so long as it is stopped until `end`; false where none was sent. */
static inline bool
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
   advice.documents = world->most && advice.documents > world->most ? world->most : advice.documents;
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
static inline double
run (world_t *world, double seconds)
{
   double begin = world->clock, end = begin + seconds * 1000;
   int64_t before = world->documents;

   while (world->clock < end) {
      batch (world, end);
   }
   return (double) (world->documents - before) / ((world->clock - begin) / 1000);
}

#endif
