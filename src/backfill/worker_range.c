/* One range of a worker's: its claim and its checkpoints, and what lies between two batches. See worker.h. */
#include "backfill/worker-private.h"

#include "store/store.h"

#include <stdio.h>

/* Over which the rate is measured. */
#define RATE_MS 4000

/* Part of a batch's bytes that one of two in memory has. */
#define OVERLAPPED 3

/* Documents of the first batch that is computed here. */
#define FIRST_BATCH 8

/* The longest that one look for documents may take, in ms: between two of them the claim is renewed, and it is asked
 * whether the job was paused. docs/operations.md and eclose-backfill(1) tell of it. */
#define READ_MS 10000

/* A third of the claim's time. */
static int64_t
interval (const worker_t *self)
{
   return ecl_holder_interval (&self->holder);
}

/* ---- checkpoints ---- */

/* What the range's record is to say now. machine: what goes through it; NULL: its counts are in the row already. */
static void
progress_of (const worker_t *self, const ecl_backfill_t *machine, ecl_chunk_state_t state, ecl_chunk_progress_t *out)
{
   *out = (ecl_chunk_progress_t){.state = state,
                                 .after = ecl_missing (),
                                 .counts = self->row.counts,
                                 .rate = self->state->rate,
                                 .slowed = self->state->slowed};
   if (self->phase == ECL_CHUNK_CARRIED) {
      /* A sweep that is taken over begins anew: what it left to a later pass may lie before any checkpoint. All that
       * cannot be carried over is seen by it. */
      out->counts.quarantined = 0;
   } else if (machine && state == ECL_CHUNK_OPEN) {
      out->after = ecl_backfill_after (machine);
   }
   if (machine) {
      ecl_job_add_counts (&out->counts, &ecl_backfill_result (machine)->counts);
   }
}

static bool
checkpoint (worker_t *self, const ecl_backfill_t *machine, bson_error_t *error)
{
   ecl_chunk_progress_t progress;
   bson_t fields;
   bool good;

   progress_of (self, machine, self->row.state, &progress);
   ecl_chunk_fields (&progress, &fields);
   self->checkpointed = self->world->now (self->world);
   good = ecl_holder_renew_with (&self->holder, self->world, &fields, error);
   bson_destroy (&fields);
   return good;
}

/* Lets the range go, in a state: what is left of it somebody else will do. machine as above. */
static void
let_go (worker_t *self, const ecl_backfill_t *machine, ecl_chunk_state_t state)
{
   ecl_chunk_progress_t progress;
   bson_error_t ignored;
   bson_t fields;
   bool good;

   progress_of (self, machine, state, &progress);
   ecl_chunk_fields (&progress, &fields);
   good = ecl_holder_release_with (&self->holder, self->world, &fields, &ignored);
   (void) good; /* a claim that was lost on the way: whoever takes it goes through the rest again */
   bson_destroy (&fields);
}

/* ---- between two batches ---- */

/* What the worker did, with what it is doing now. */
static void
add_up (worker_t *self, const ecl_backfill_result_t *result)
{
   int64_t now = self->world->now (self->world);

   self->state->counts = self->before;
   ecl_job_add_counts (&self->state->counts, &result->counts);
   if (self->phase == ECL_CHUNK_CARRIED) {
      /* The sweep meets again what was set aside before. Only at its end does it know that some of that is well now. */
      bool through = result->ended && !result->failed && !result->cancelled;
      int64_t more = result->counts.quarantined - self->row.counts.quarantined;

      self->state->counts.quarantined = self->before.quarantined + (more > 0 || through ? more : 0);
   }
   self->state->wrote = self->state->wrote || result->wrote;
   if (result->passes > self->state->passes) {
      self->state->passes = result->passes;
   }
   if (now - self->rate_at >= RATE_MS) {
      self->state->rate =
         (double) (self->state->counts.changed - self->rate_seen) * 1000 / (double) (now - self->rate_at);
      self->rate_at = now;
      self->rate_seen = self->state->counts.changed;
   }
}

static void
read_inputs (worker_t *self)
{
   const ecl_watch_t *watch = self->task->watch;
   char reason[ECL_THROTTLE_REASON] = "";
   ecl_pressure_t pressure;
   bool wait;

   if (ecl_pressure_read (&self->pressure, self->world, &pressure)) {
      ecl_throttle_pressure (&self->throttle, &pressure, self->world->now (self->world));
   }
   ecl_worker_say_unseen (self);
   if (watch && watch->advise) {
      int64_t now = self->world->now (self->world);

      if (watch->advise (watch->context, self->number, now, &wait, reason)) {
         ecl_throttle_command (&self->throttle, wait, reason, now);
      }
   }
}

static void
tell_throttle (worker_t *self, const ecl_backfill_t *machine)
{
   const ecl_backfill_batch_t *last = ecl_backfill_last (machine);

   if (last->number == self->told) {
      return;
   }
   self->told = last->number;
   if (last->whole && last->documents) {
      self->average = (double) last->bytes / last->documents;
   }
   if (last->wrote) {
      ecl_throttle_batch (&self->throttle, last->documents, last->whole ? last->bytes : 0, last->ms,
                          self->world->now (self->world));
   }
}

/* Two batches in memory have less than one: a statement may hold fields as they were and as they become. As long as it
 * is not known how large documents are, a few of them will tell. */
static uint32_t
size_of (const worker_t *self, const ecl_throttle_advice_t *advice)
{
   uint32_t bytes = self->sender ? advice->bytes / OVERLAPPED : advice->bytes;
   double fit = self->average > 0                      ? (double) bytes / self->average
                : self->state->mode == ECL_MODE_CLIENT ? FIRST_BATCH
                                                       : advice->documents;

   return fit < 1 ? 1 : fit < advice->documents ? (uint32_t) fit : advice->documents;
}

/* A rate in bytes was set, and how large documents are this range does not ask: it is let go, and gone on with by one
 * that does. */
static bool
is_unsized (const worker_t *self, const ecl_backfill_t *machine)
{
   const ecl_backfill_batch_t *last = ecl_backfill_last (machine);

   return self->job.settings.max_bytes > 0 && last->number && !last->whole;
}

/* A server that takes no writes comes before anything that the throttle sees. */
static void
tell_slowed (worker_t *self, const ecl_backfill_result_t *result)
{
   if (*result->refused) {
      bson_snprintf (self->state->slowed, sizeof self->state->slowed, "the server takes no writes for now: %s",
                     result->refused);
   } else {
      (void) ecl_throttle_describe (&self->throttle, self->state->slowed, sizeof self->state->slowed);
   }
}

static bool
between (void *context, ecl_backfill_t *machine, bson_error_t *error)
{
   worker_t *self = context;
   ecl_throttle_advice_t advice;
   int64_t now;

   for (;;) {
      ecl_worker_check_stop (self);
      if (self->stop) {
         ecl_backfill_cancel (machine);
         return true;
      }
      now = self->world->now (self->world);
      if (now - self->checkpointed >= BSON_MIN (ECL_WORKER_EVERY, interval (self)) &&
          !checkpoint (self, machine, error)) {
         return false;
      }
      read_inputs (self);
      ecl_worker_check_stop (self); /* an answer may have been long in coming */
      if (self->stop || is_unsized (self, machine)) {
         ecl_backfill_cancel (machine);
         return true;
      }
      now = self->world->now (self->world);
      advice = ecl_throttle_next (&self->throttle, now);
      self->state->slow = advice.by;
      self->state->stopped = advice.stopped;
      self->state->latency = ecl_throttle_latency (&self->throttle);
      self->state->lag = self->throttle.pressure.lag;
      self->state->batches = (int64_t) self->throttle.n_batches;
      memcpy (self->state->waited, self->throttle.waited, sizeof self->state->waited);
      tell_slowed (self, ecl_backfill_result (machine));
      add_up (self, ecl_backfill_result (machine));
      ecl_worker_tell (self);
      if (advice.wait <= 0) {
         ecl_backfill_resize (machine, size_of (self, &advice));
         return true;
      }
      if ((advice.stopped || advice.wait > ecl_backfill_last (machine)->ms) && ecl_backfill_settle (machine)) {
         return true;
      }
      (void) self->world->wait (self->world, advice.wait);
      self->progressed = self->world->now (self->world);
   }
}

static void
on_step (void *context, const ecl_backfill_t *machine)
{
   const ecl_backfill_result_t *result = ecl_backfill_result (machine);
   worker_t *self = context;

   tell_throttle (self, machine);
   add_up (self, result);
   if (*result->refused) {
      tell_slowed (self, result); /* it may be long until the next batch */
   }
   ecl_worker_tell (self);
}

/* ---- one range ---- */

static ecl_backfill_t *
make_machine (worker_t *self, bson_error_t *error)
{
   const ecl_task_t *task = self->task;
   bool sweep = self->phase == ECL_CHUNK_CARRIED;
   ecl_backfill_options_t options = {.database = self->site->database,
                                     .chain = task->chain,
                                     .upgrades = self->site->upgrades,
                                     .target = task->target,
                                     .down = task->down,
                                     .mode = sweep ? ECL_MODE_CLIENT : self->state->mode,
                                     .form = task->form,
                                     .always_transaction = task->always_transaction,
                                     .unhinted = task->unhinted,
                                     .transactions = self->site->server.transactions,
                                     .range = self->row.range,
                                     .after = sweep ? ecl_missing () : self->row.after,
                                     .once = !sweep,
                                     .sizes = self->job.settings.max_bytes > 0,
                                     .overlap = self->sender != NULL,
                                     .read_time = BSON_MIN (READ_MS, 2 * interval (self)),
                                     .window = self->window};

   memcpy (options.job, task->job, sizeof options.job);
   return ecl_backfill_new (&options, error);
}

/* What is to be learned from a range that was not gone through to its end. */
static void
take_stop (worker_t *self, const ecl_backfill_result_t *result, const bson_error_t *why)
{
   uint32_t before = self->window;

   if (result->progress) {
      self->progressed = self->world->now (self->world);
   }
   if (!result->progress && ecl_is_lease_error (why) && result->window == self->window) {
      /* One look took as long as the claim lasts: a server may not keep to the time that it is given. */
      self->window = ecl_backfill_narrower (self->window);
   } else {
      self->window = result->window;
   }
   if (self->window && (!before || self->window < before)) {
      self->progressed = self->world->now (self->world); /* a smaller look may do; there are few of them */
   }
   self->stuck = *why;
}

static void
take_mode (worker_t *self, const ecl_backfill_result_t *result)
{
   if (self->phase == ECL_CHUNK_OPEN && result->mode != self->state->mode) {
      self->state->mode = result->mode;
      bson_strncpy (self->state->why, result->mode_why ? result->mode_why : "", sizeof self->state->why);
   }
}

bool
ecl_worker_mark_sweep (worker_t *self, bson_error_t *error)
{
   bson_t command;

   ecl_job_sweep (self->task->job, &command);
   return ecl_job_send (self->world, self->site->database, &command, NULL, error);
}

/* Goes through the range in its phase, and lets it go. *sweep: there is no other range to be waited for, so the claim
 * is kept and the range is to be swept. False where the worker cannot go on. */
static bool
go_through (worker_t *self, ecl_world_t *held, bool *sweep, bson_error_t *error)
{
   ecl_backfill_hooks_t hooks = {.context = self, .sender = self->sender, .between = between, .progress = on_step};
   ecl_backfill_t *machine = make_machine (self, error);
   const ecl_backfill_result_t *result;
   ecl_chunk_progress_t progress;
   bson_error_t failure = {0};
   bool good, fatal = false;

   *sweep = false;
   if (!machine) {
      self->unfit = true; /* its project has no such way */
      return false;
   }
   self->told = 0;
   self->before = self->state->counts;
   good = ecl_backfill_drive (machine, held, &hooks, &failure);
   result = ecl_backfill_result (machine);
   add_up (self, result);
   take_mode (self, result);
   if (good && result->cancelled) {
      let_go (self, machine, self->row.state);
   } else if (good && self->phase == ECL_CHUNK_OPEN && self->job.chunks == 1) {
      progress_of (self, machine, ECL_CHUNK_CARRIED, &progress);
      self->row.counts = progress.counts;
      *sweep = true;
   } else if (good) {
      self->state->ranges++;
      let_go (self, machine, self->phase == ECL_CHUNK_OPEN ? ECL_CHUNK_CARRIED : ECL_CHUNK_DONE);
   } else if (!ecl_is_lease_error (&failure)) {
      let_go (self, machine, self->row.state);
      fatal = !result->lost;
      if (result->lost) {
         char text[sizeof failure.message + 64];

         snprintf (text, sizeof text, "%s; it is tried again, for a while", failure.message);
         ecl_worker_say (self, text);
      }
   }
   if (good) {
      self->answered = self->progressed = self->world->now (self->world);
      self->window = result->window;
   } else {
      take_stop (self, result, &failure);
   }
   if (fatal) {
      *error = failure;
   }
   ecl_backfill_destroy (machine);
   return !fatal;
}

static bool
read_row (worker_t *self, const char *id, bson_error_t *error)
{
   bson_t command, document;

   ecl_chunk_find (id, &command);
   bson_destroy (&self->reply);
   if (!ecl_job_send (self->world, self->site->database, &command, &self->reply, error)) {
      return false;
   }
   if (!ecl_store_first (&self->reply, &document)) {
      return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_INVALID, "the range %s is gone", id);
   }
   self->unfit = !ecl_chunk_read (&document, &self->row, error);
   return !self->unfit;
}

/* Under the claim: the range as it is now, which may be another than when it was chosen. */
bool
ecl_worker_work_on (worker_t *self, const char *id, ecl_chunk_state_t phase, bson_error_t *error)
{
   ecl_held_world_t held;
   ecl_world_t *world = ecl_held_world_init (&held, self->world, &self->holder);
   bool sweep = false, good = read_row (self, id, error);

   if (!good || self->row.state != phase) {
      ecl_holder_release (&self->holder, self->world);
      if (!good && !self->unfit) {
         self->stuck = *error;
         (void) self->world->wait (self->world, IDLE_MS);
         good = true;
      }
      return good;
   }
   self->phase = phase;
   if (self->sender) {
      ecl_sender_hold (self->sender, &self->holder);
   }
   self->checkpointed = self->world->now (self->world);
   /* Before the first batch: whoever saw that nobody held a range may have given the job up since it was last read. Then
    * those who work are counted, too, of which this one was none. */
   self->looked = self->checkpointed - ECL_WORKER_EVERY;
   good = go_through (self, world, &sweep, error);
   if (good && sweep && ecl_worker_mark_sweep (self, error)) {
      self->phase = self->row.state = ECL_CHUNK_CARRIED;
      good = go_through (self, world, &sweep, error);
   } else if (good && sweep) {
      /* It was gone through all the same; it is marked before the range is claimed again. */
      self->state->ranges++;
      let_go (self, NULL, ECL_CHUNK_CARRIED);
   }
   ecl_holder_release (&self->holder, self->world);
   if (self->sender) {
      ecl_sender_hold (self->sender, NULL);
   }
   return good;
}
