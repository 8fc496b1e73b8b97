/* How fast a backfill may go: see throttle.h. */
#include "run/throttle.h"

#include "base/rate.h"

#include <string.h>

#define DEFAULT_BATCH_TIME 50
#define DEFAULT_LATENCY 2.0
#define DEFAULT_LAG 10000
#define DEFAULT_WINDOW (2 * 3600 * 1000)
#define DEFAULT_FIRST 64
#define DEFAULT_MOST 10000

/* Work is counted in documents: so many bytes weigh as much as one of them. */
#define BYTES_PER_WORK 1024.0

#define STEP 2.0       /* the size at most doubles or halves */
#define SMOOTH 0.5     /* of cost and bytes: weight of the last batch */
#define RAMP 10        /* batches at first that are still small: they teach nothing */
#define FIRST_WINDOW 8 /* batches until there is a first idea of what is calm */
#define SMALL_EVERY 64 /* batches: one of them is small, to see whether the fixed cost is less by now */
#define FAR 3.0        /* times the work that was learned from: what it would take cannot be said */
#define HEADROOM 1.25  /* calm against the lowest it ever was */
#define RISE_PER_DAY 0.1
#define DAY_MS (24.0 * 3600 * 1000)
#define RISE 1.5       /* of the pace, per batch */
#define FLOW_LEVEL 2.0 /* of a primary that holds writers back */
#define PROBE_MS 1000  /* until the first probe, and the longest time between two */
#define PROBE_MAX_MS 16000
#define OPLOG_EVERY 10000 /* ms between two readings that are kept */

/* ---- settings ---- */

static void
take_settings (ecl_throttle_t *self, const ecl_throttle_settings_t *settings)
{
   ecl_throttle_settings_t *own = &self->settings;

   *own = *settings;
   own->batch_time = own->batch_time > 0 ? own->batch_time : DEFAULT_BATCH_TIME;
   own->max_latency = own->max_latency == 0 ? DEFAULT_LATENCY : own->max_latency;
   own->max_lag = own->max_lag ? own->max_lag : DEFAULT_LAG;
   own->min_window = own->min_window ? own->min_window : DEFAULT_WINDOW;
   own->workers = own->workers ? own->workers : 1;
   own->first = own->first ? own->first : DEFAULT_FIRST;
   own->most = own->most ? own->most : DEFAULT_MOST;
}

void
ecl_throttle_init (ecl_throttle_t *self, const ecl_throttle_settings_t *settings, int64_t now)
{
   memset (self, 0, sizeof *self);
   take_settings (self, settings);
   self->size = self->settings.first < self->settings.most ? self->settings.first : self->settings.most;
   self->fixed = -1;
   self->usual = self->small = (ecl_throttle_calm_t){.calm = -1, .lowest = -1};
   self->duty = 1;
   self->batch_end = -1;
   self->rate_at = (double) now;
   self->since = now;
   self->probe_wait = PROBE_MS;
   self->pressure = (ecl_pressure_t){-1, -1, -1, -1, 0, 0};
   self->pressure_at = self->command_at = now - ECL_THROTTLE_STALE - 1;
}

void
ecl_throttle_set (ecl_throttle_t *self, const ecl_throttle_settings_t *settings)
{
   uint32_t first = self->settings.first;

   take_settings (self, settings);
   self->settings.first = settings->first ? settings->first : first;
   /* A wait that the old rate asked for is over. */
   self->rate_at = self->batch_end < 0 ? self->rate_at : (double) self->batch_end;
}

void
ecl_throttle_workers (ecl_throttle_t *self, uint32_t workers)
{
   self->settings.workers = workers ? workers : 1;
}

bool
ecl_throttle_parse_rate (const char *text, ecl_throttle_settings_t *settings, bson_error_t *error)
{
   return ecl_rate_parse (text, &settings->max_documents, &settings->max_bytes, error);
}

/* ---- size ---- */

static double
work_of (uint32_t documents, uint64_t bytes)
{
   return (double) documents + (double) bytes / BYTES_PER_WORK;
}

/* Where the fixed cost alone takes most of the time, a batch may take twice that: else hardly anything would be done.
 * That it is the fixed cost is known once a single document took no less. */
static bool
fixed_dominates (const ecl_throttle_t *self)
{
   return self->fixed * 2 > (double) self->settings.batch_time;
}

static double
aim (const ecl_throttle_t *self)
{
   double aim = (double) self->settings.batch_time;

   return fixed_dominates (self) && self->fixed_documents == 1 ? self->fixed * 2 : aim;
}

static double
bounded (double value, double low, double high)
{
   return value < low ? low : value > high ? high : value;
}

static void
adapt_size (ecl_throttle_t *self, uint32_t documents, uint64_t bytes, double ms, double cost)
{
   double per_document, size, old = self->size;

   if (self->cost > 0 && cost > 4 * self->cost) {
      cost = 4 * self->cost; /* one that was unlucky is not remembered for long */
   }
   self->cost = self->n_batches > 1 ? self->cost + SMOOTH * (cost - self->cost) : cost;
   per_document = (double) bytes / documents;
   self->bytes = self->n_batches > 1 ? self->bytes + SMOOTH * (per_document - self->bytes) : per_document;
   per_document = self->cost * (1 + self->bytes / BYTES_PER_WORK);
   if (fixed_dominates (self) && self->fixed_documents > 1) {
      /* Is it the fixed cost, or the documents? Fewer will tell. */
      size = documents / STEP;
      old = documents;
   } else if (documents < old / STEP && ms <= aim (self)) {
      return; /* smaller than it might have been (the end of a range, the rate): it says little about larger ones */
   } else {
      size = per_document > 0 ? (aim (self) - self->fixed) / per_document : old * STEP;
      if (ms > aim (self)) {
         /* What a document takes may be known badly yet, but not how this one did. */
         size = BSON_MIN (size, ms > STEP * aim (self) ? documents / STEP : documents);
      }
   }
   self->size = bounded (bounded (size, old / STEP, old * STEP), 1, self->settings.most);
}

/* ---- what is calm ---- */

static int
compare (const void *a, const void *b)
{
   const double *x = a, *y = b;

   return *x < *y ? -1 : *x > *y;
}

static double
median (const double *values, uint32_t n)
{
   double sorted[ECL_THROTTLE_WINDOW];

   memcpy (sorted, values, n * sizeof *values);
   qsort (sorted, n, sizeof *sorted, compare);
   return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

/* Of a batch that was calm: see throttle.h for why it cannot creep. */
static void
take_calm (ecl_throttle_calm_t *self, double value, int64_t now)
{
   double middle;

   self->window[self->n++] = value;
   if (self->calm < 0 && self->n == FIRST_WINDOW) {
      self->calm = median (self->window, self->n);
   }
   if (self->n < ECL_THROTTLE_WINDOW) {
      return;
   }
   middle = median (self->window, self->n);
   self->n = 0;
   if (self->lowest >= 0) {
      self->lowest += self->lowest * RISE_PER_DAY * (double) (now - self->lowest_at) / DAY_MS;
   }
   self->lowest = self->lowest < 0 || middle < self->lowest ? middle : self->lowest;
   self->lowest_at = now;
   self->calm += (middle - self->calm) / 4;
   self->calm = self->calm > HEADROOM * self->lowest ? HEADROOM * self->lowest : self->calm;
}

/* Mostly fixed cost. */
static bool
is_small (const ecl_throttle_t *self, double work)
{
   return work < self->calm_work / 4;
}

static void
learn (ecl_throttle_t *self, double work, double cost, int64_t now)
{
   if (is_small (self, work)) {
      /* Too small to say what work costs. Before anything was learned the measure shrinks a little each time: the first
       * batches may have been larger than any that will come. */
      self->calm_work += self->usual.calm < 0 ? (work - self->calm_work) / 8 : 0;
      return;
   }
   self->calm_fixed = self->calm_work > 0 ? self->calm_fixed : self->fixed;
   self->calm_work = self->calm_work > 0 ? self->calm_work + (work - self->calm_work) / 8 : work;
   self->calm_most = work > self->calm_most ? work : self->calm_most;
   take_calm (&self->usual, cost, now);
}

/* Whether the fixed cost turned out to be far less than was thought: then part of what documents cost was taken for it,
 * and what was learned as calm is too low. */
static bool
fell_far (const ecl_throttle_t *self)
{
   double fell = self->calm_fixed - self->fixed;

   return fell > (self->usual.calm < 0 ? self->calm_fixed / 4 : self->usual.calm * self->calm_work / 2);
}

/* What is calm is learned anew. */
static void
forget (ecl_throttle_t *self)
{
   self->usual = self->small = (ecl_throttle_calm_t){.calm = -1, .lowest = -1};
   self->calm_work = self->calm_most = self->calm_fixed = 0;
   self->n_slow = 0;
}

/* Nothing but the rate slows, so what a batch took says how it is when all is calm. */
static bool
is_calm (const ecl_throttle_t *self)
{
   for (int i = ECL_SLOW_LATENCY; i < ECL_SLOW_RATE; i++) {
      if (self->levels[i] > 1 || self->stopped[i]) {
         return false;
      }
   }
   return true;
}

/* How many times the calm time it took. */
static double
against_calm (const ecl_throttle_t *self, double ms, double work)
{
   double expected = self->fixed + self->usual.calm * work, least = (double) self->settings.batch_time / 10;

   if (is_small (self, work) && self->small.calm > expected) {
      expected = self->small.calm;
   }
   /* Below a tenth of what a batch aims at, nobody is hurt by a multiple of it, and ms are a coarse measure. */
   return ms / (expected > least ? expected : least);
}

double
ecl_throttle_latency (const ecl_throttle_t *self)
{
   return self->n_slow < 2 ? 0 : self->slow[0] < self->slow[1] ? self->slow[0] : self->slow[1];
}

/* ---- levels ---- */

/* Two batches in a row have to be slow to slow it, and two to be calm before it goes on. */
static double
latency_level (const ecl_throttle_t *self)
{
   double low = ecl_throttle_latency (self), high;

   if (self->settings.max_latency < 0 || self->n_slow < 2) {
      return 0;
   }
   high = self->slow[0] > self->slow[1] ? self->slow[0] : self->slow[1];
   return (self->stopped[ECL_SLOW_LATENCY] ? high : low) / self->settings.max_latency;
}

/* Ms for which the whole oplog would last if it went on growing as it does; negative where that is not known: nobody
 * may read it, or it has never been full. */
static double
oplog_window (const ecl_throttle_t *self)
{
   uint32_t n = self->n_oplog;
   double window, moved, passed;

   if (n < 2 || self->pressure.oplog_first < 0) {
      return -1;
   }
   window = (double) (self->oplog[n - 1].last - self->oplog[n - 1].first);
   moved = (double) (self->oplog[n - 1].first - self->oplog[0].first);
   passed = (double) (self->oplog[n - 1].last - self->oplog[0].last);
   if (moved <= 0 || passed <= 0) {
      return -1;
   }
   /* Its old end moves by so many seconds in each second: that much faster it is written now than it was then. */
   return moved > passed ? window * passed / moved : window;
}

static double
oplog_level (const ecl_throttle_t *self)
{
   double window = oplog_window (self), least = (double) self->settings.min_window;

   if (self->settings.min_window < 0 || window < 0) {
      return 0;
   }
   least = least > (double) self->window_before / 2 ? (double) self->window_before / 2 : least;
   return least / (window > 1 ? window : 1);
}

/* Levels now, which of them has stopped it, and what pace the worst of them allows. */
static double
judge (ecl_throttle_t *self, int64_t now)
{
   int64_t told = now - self->pressure_at;
   bool lag_known = told + self->pressure.lag_age <= ECL_THROTTLE_STALE;
   bool flow_known = told + self->pressure.flow_age <= ECL_THROTTLE_STALE;
   double *levels = self->levels, worst = 0;

   self->judged_at = now;
   levels[ECL_SLOW_LATENCY] = latency_level (self);
   levels[ECL_SLOW_LAG] = lag_known && self->settings.max_lag > 0 && self->pressure.lag > 0
                             ? (double) self->pressure.lag / (double) self->settings.max_lag
                             : 0;
   levels[ECL_SLOW_FLOW] = flow_known && self->pressure.flow == 1 ? FLOW_LEVEL : 0;
   levels[ECL_SLOW_OPLOG] = told <= ECL_THROTTLE_STALE ? oplog_level (self) : 0;
   levels[ECL_SLOW_COMMAND] =
      self->command_waits && now - self->command_at <= ECL_THROTTLE_STALE ? ECL_THROTTLE_CRITICAL : 0;
   for (int i = ECL_SLOW_LATENCY; i < ECL_SLOW_RATE; i++) {
      bool stopped = levels[i] >= ECL_THROTTLE_CRITICAL || (self->stopped[i] && levels[i] > 1);

      if (i == ECL_SLOW_LATENCY && stopped && !self->stopped[i]) {
         self->probe_wait = PROBE_MS;
         self->probe_at = now + PROBE_MS;
         self->size = self->size < self->settings.first ? self->size : self->settings.first;
      }
      self->stopped[i] = stopped;
      worst = levels[i] > worst ? levels[i] : worst;
   }
   worst = worst > ECL_THROTTLE_CRITICAL ? ECL_THROTTLE_CRITICAL : worst;
   return worst > 1 ? 1 / (worst * worst) : 1;
}

/* The input with the highest level above 1; among those that stopped it, where that is asked: of these latency comes
 * last, for it alone lets a batch through now and then. */
static ecl_slow_t
worst_of (const ecl_throttle_t *self, bool stopped)
{
   ecl_slow_t worst = ECL_SLOW_NONE;

   for (ecl_slow_t i = ECL_SLOW_LATENCY; i < ECL_SLOW_RATE; i++) {
      if ((!stopped || self->stopped[i]) && self->levels[i] > 1 &&
          (self->levels[i] > self->levels[worst] || (stopped && worst == ECL_SLOW_LATENCY))) {
         worst = i;
      }
   }
   return worst;
}

/* ---- being told ---- */

static void
charge_rate (ecl_throttle_t *self, uint32_t documents, uint64_t bytes, double began)
{
   const ecl_throttle_settings_t *settings = &self->settings;
   double ms = 0, of_bytes;

   if (settings->max_documents > 0) {
      ms = 1000.0 * documents * settings->workers / settings->max_documents;
   }
   if (settings->max_bytes > 0) {
      of_bytes = 1000.0 * (double) bytes * settings->workers / settings->max_bytes;
      ms = of_bytes > ms ? of_bytes : ms;
   }
   /* What was not used is not saved up. */
   self->rate_at = (self->rate_at > began ? self->rate_at : began) + ms;
}

/* With two batches in flight a batch begins before the pause after the one before it was made: how much of that one's
 * time is still to be made up for. */
static double
unpaid (const ecl_throttle_t *self, double began)
{
   double rest = 1 / self->duty - 1, ms;

   if (self->batch_end < 0 || rest <= 0) {
      return 0;
   }
   ms = ((double) self->batch_end - began) / rest + self->batch_ms;
   return bounded (ms, 0, self->batch_ms);
}

void
ecl_throttle_batch (ecl_throttle_t *self, uint32_t documents, uint64_t bytes, int64_t ms, int64_t now)
{
   double took = ms > 0 ? (double) ms : 0.5, work = work_of (documents, bytes), cost, factor = 0, allowed;
   bool probing = self->stopped[ECL_SLOW_LATENCY], calm;

   if (!documents) {
      return;
   }
   self->n_batches++;
   if (self->fixed < 0 || took < self->fixed || (took <= self->fixed && documents < self->fixed_documents)) {
      self->fixed = took;
      self->fixed_documents = documents;
      if (fell_far (self)) {
         forget (self);
      }
   }
   cost = (took - self->fixed) / work;
   calm = is_calm (self);
   if (calm && self->calm_work > 0 && work > FAR * self->calm_most) {
      forget (self); /* much larger than all that is known */
   }
   if (calm && is_small (self, work)) {
      take_calm (&self->small, took, now);
   }
   if (self->usual.calm >= 0) {
      factor = against_calm (self, took, work);
      self->slow[1] = self->slow[0];
      self->slow[0] = factor;
      self->n_slow += self->n_slow < 2;
   }
   if (calm && (self->settings.max_latency < 0 || factor < self->settings.max_latency) &&
       (self->n_batches > RAMP || took > aim (self) / 2)) {
      learn (self, work, cost, now);
   }
   if (!probing) {
      adapt_size (self, documents, bytes, took, cost);
   }
   charge_rate (self, documents, bytes, (double) now - took);
   self->batch_ms = took + unpaid (self, (double) now - took);
   self->batch_end = now;
   allowed = judge (self, now);
   if (probing && self->stopped[ECL_SLOW_LATENCY]) {
      /* After a calm one the next comes soon: two in a row have to be calm. */
      self->probe_wait =
         factor <= self->settings.max_latency ? PROBE_MS : BSON_MIN (self->probe_wait * 2, PROBE_MAX_MS);
      self->probe_at = now + self->probe_wait;
   } else if (probing) {
      self->batch_ms = took; /* the pause that the slow ones asked for is over, too */
   }
   if (allowed < self->duty) {
      self->duty_by = worst_of (self, false);
   }
   self->duty = allowed < self->duty * RISE ? allowed : self->duty * RISE;
}

void
ecl_throttle_pressure (ecl_throttle_t *self, const ecl_pressure_t *pressure, int64_t now)
{
   uint32_t n = self->n_oplog;

   self->pressure = *pressure;
   self->pressure_at = now;
   if (pressure->oplog_first < 0 || pressure->oplog_last < pressure->oplog_first) {
      return;
   }
   if (n && pressure->oplog_first == self->oplog[n - 1].first && pressure->oplog_last == self->oplog[n - 1].last) {
      return; /* told once more: the oplog is looked at less often than the rest */
   }
   if (!n) {
      self->window_before = pressure->oplog_last - pressure->oplog_first;
   }
   if (n > 1 && pressure->oplog_last - self->oplog[n - 2].last < OPLOG_EVERY) {
      n--; /* the last one is replaced until it is far enough from the one before */
   } else if (n == ECL_THROTTLE_OPLOG) {
      memmove (self->oplog, self->oplog + 1, (--n) * sizeof self->oplog[0]);
   }
   self->oplog[n].first = pressure->oplog_first;
   self->oplog[n].last = pressure->oplog_last;
   self->n_oplog = n + 1;
}

void
ecl_throttle_command (ecl_throttle_t *self, bool wait, const char *reason, int64_t now)
{
   self->command_waits = wait;
   bson_strncpy (self->command_reason, reason, sizeof self->command_reason);
   self->command_at = now;
}

/* ---- being asked ---- */

static uint32_t
documents_now (const ecl_throttle_t *self)
{
   const ecl_throttle_settings_t *settings = &self->settings;
   double size = self->stopped[ECL_SLOW_LATENCY] ? settings->first / 4.0 : self->size, second = size;

   if (self->n_batches % SMALL_EVERY == SMALL_EVERY - 1) {
      size /= 16;
   }
   if (self->bytes > 0) {
      size = bounded (size, 1, ECL_THROTTLE_BYTES / self->bytes);
      second = settings->max_bytes > 0 ? settings->max_bytes / settings->workers / self->bytes : size;
   }
   /* Never more than a second of what the rate allows. */
   size = bounded (size, 1, second > 1 ? second : 1);
   if (settings->max_documents > 0) {
      second = settings->max_documents / settings->workers;
      size = bounded (size, 1, second > 1 ? second : 1);
   }
   return (uint32_t) size;
}

ecl_throttle_advice_t
ecl_throttle_next (ecl_throttle_t *self, int64_t now)
{
   ecl_throttle_advice_t advice = {.bytes = ECL_THROTTLE_BYTES};
   double allowed = judge (self, now), for_pace = 0, for_rate = self->rate_at - (double) now, wait;
   ecl_slow_t stopper = worst_of (self, true), slower = worst_of (self, false);
   bool rate_counts = self->settings.max_documents > 0 || self->settings.max_bytes > 0;

   if (self->asked_by != ECL_SLOW_NONE) {
      self->waited[self->asked_by] += now - self->asked_at;
      self->asked_by = ECL_SLOW_NONE;
   }
   if (allowed < self->duty) {
      self->duty = allowed;
      self->duty_by = slower;
   }
   if (self->batch_end >= 0) {
      for_pace = (double) self->batch_end + self->batch_ms * (1 / self->duty - 1) - (double) now;
   }
   for_rate = rate_counts ? for_rate : 0;
   wait = for_pace > for_rate ? for_pace : for_rate;
   advice.stopped = stopper != ECL_SLOW_NONE;
   if (advice.stopped) {
      /* Where it was stopped by latency only a small batch can tell that it is calm again. */
      wait = stopper == ECL_SLOW_LATENCY && now >= self->probe_at ? for_rate : ECL_THROTTLE_PIECE;
   }
   /* On the way back to full pace it is still what slowed it before. */
   advice.by = advice.stopped ? stopper : slower != ECL_SLOW_NONE || for_pace <= 0 ? slower : self->duty_by;
   if (advice.by == ECL_SLOW_NONE && rate_counts && self->batch_end >= 0 &&
       self->rate_at > (double) self->batch_end + self->batch_ms * (1 / self->duty - 1)) {
      advice.by = ECL_SLOW_RATE;
   }
   if (advice.by != self->by) {
      self->by = advice.by;
      self->since = now;
   }
   /* Half a millisecond is not worth a sleep. */
   advice.wait = wait < 0.5 ? 0 : wait > ECL_THROTTLE_PIECE ? ECL_THROTTLE_PIECE : (int64_t) (wait + 0.5);
   advice.documents = documents_now (self);
   if (advice.wait) {
      self->asked_at = now;
      self->asked_by = advice.by;
   }
   return advice;
}
