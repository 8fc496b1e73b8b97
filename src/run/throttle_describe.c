/* What slows a backfill, in words: see throttle.h. */
#include "run/throttle.h"

#include <inttypes.h>
#include <stdio.h>

const char *
ecl_slow_name (ecl_slow_t slow)
{
   static const char *const names[] = {"none", "latency", "lag", "flow control", "oplog", "command", "rate"};

   return names[slow];
}

/* What the pace is on its way back from: what it is by now may not even be known. */
static const char *const over[ECL_SLOW_N] = {
   [ECL_SLOW_LATENCY] = "slow writes",
   [ECL_SLOW_LAG] = "replication lag",
   [ECL_SLOW_FLOW] = "flow control",
   [ECL_SLOW_OPLOG] = "an oplog too short",
   [ECL_SLOW_COMMAND] = "the throttle command",
};

/* Behind a reading that is kept for want of a newer one; age as it was told. */
static const char *
describe_age (const ecl_throttle_t *self, int64_t age, char *text, size_t size)
{
   *text = '\0';
   if (age > 0) {
      snprintf (text, size, " (as of %" PRId64 " s ago: no answer since)",
                (age + self->judged_at - self->pressure_at + 500) / 1000);
   }
   return text;
}

const char *
ecl_throttle_describe (const ecl_throttle_t *self, char *text, size_t size)
{
   const ecl_throttle_settings_t *settings = &self->settings;
   double least = (double) BSON_MIN (settings->min_window, self->window_before / 2); /* ms: the level is against that */
   char age[64];

   *text = '\0';
   if (over[self->by] && self->levels[self->by] <= 1) {
      snprintf (text, size, "%s until just now: it is getting faster again", over[self->by]);
      return text;
   }
   switch (self->by) {
   case ECL_SLOW_LATENCY:
      /* What decided: where it stopped, the slower one of the last two. */
      snprintf (text, size, "writes take %.1f times what they take when all is calm, limit %.1f",
                self->levels[ECL_SLOW_LATENCY] * settings->max_latency, settings->max_latency);
      break;
   case ECL_SLOW_LAG:
      snprintf (text, size, "replication lag %.1f s, limit %.1f s%s", (double) self->pressure.lag / 1000,
                (double) settings->max_lag / 1000, describe_age (self, self->pressure.lag_age, age, sizeof age));
      break;
   case ECL_SLOW_FLOW:
      snprintf (text, size, "flow control: the primary holds writers back%s",
                describe_age (self, self->pressure.flow_age, age, sizeof age));
      break;
   case ECL_SLOW_OPLOG:
      snprintf (text, size, "the oplog would reach back %.1f h at this rate, limit %.1f h",
                least / self->levels[ECL_SLOW_OPLOG] / 3600000, least / 3600000);
      break;
   case ECL_SLOW_COMMAND:
      snprintf (text, size, "the throttle command says wait%s%s", *self->command_reason ? ": " : "",
                self->command_reason);
      break;
   case ECL_SLOW_RATE:
      if (settings->max_bytes > 0) {
         snprintf (text, size, "rate, limit %.0f bytes/s", settings->max_bytes);
      } else {
         snprintf (text, size, "rate, limit %.0f documents/s", settings->max_documents);
      }
      break;
   default:
      break;
   }
   return text;
}
