/* One worker of a job: see worker.h. */
#include "run/worker.h"

#include "run/insist.h"

/* Between two looks for a range, where all of them are held by others, or the job is paused. */
#define IDLE_MS 300

/* Without any answer of the server's, before it gives up. */
#define PATIENCE_MS 180000

/* Over which the rate is measured. */
#define RATE_MS 4000

/* Ranges that are looked at to choose one. */
#define CANDIDATES 200

typedef enum {
   STOP_NOT,
   STOP_ASKED,  /* the world, or the time */
   STOP_PAUSED, /* the job */
   STOP_OVER,   /* there is no job to work on any more */
} stop_t;

typedef struct {
   const ecl_task_t *task;
   const ecl_site_t *site;
   ecl_world_t *world;
   uint32_t number;
   ecl_worker_state_t *state;
   ecl_job_t job;
   stop_t stop;
   int64_t looked;   /* when the job was last read */
   int64_t answered; /* when the server last gave an answer */
   ecl_throttle_t throttle;
   ecl_pressure_reader_t pressure;
   uint32_t batches; /* of the range at hand */
   double average;   /* bytes of a document; 0: not known */

   /* the claim */
   ecl_holder_t holder;
   ecl_chunk_row_t row; /* as it was when it was claimed; borrows from the reply */
   bson_t reply;
   ecl_chunk_state_t phase;
   int64_t checkpointed;
   ecl_job_counts_t before; /* of this worker, when the range began */

   /* the rate */
   int64_t rate_at;
   int64_t rate_seen;
} worker_t;

/* ---- what the job says ---- */

static void
say (worker_t *self, const char *message)
{
   if (self->task->watch && self->task->watch->say) {
      self->task->watch->say (self->task->watch->context, self->number, message);
   }
}

static void
say_pressure (void *context, const char *message)
{
   say (context, message);
}

static void
count_living (void *context, const ecl_chunk_row_t *row)
{
   *(uint32_t *) context += row->left > 0;
}

/* Several workers share what the user allows. */
static void
count_workers (worker_t *self)
{
   uint32_t living = 0;
   bson_error_t ignored;

   if ((self->job.settings.max_documents > 0 || self->job.settings.max_bytes > 0) &&
       ecl_job_held (self->world, self->site->database, self->task->job, count_living, &living, &ignored)) {
      ecl_throttle_workers (&self->throttle, living ? living : 1);
   }
}

/* Reads the job. What cannot be read now is read later. */
static void
look (worker_t *self)
{
   ecl_throttle_settings_t settings;
   bson_error_t ignored;
   ecl_job_t job;
   bool found;

   self->looked = self->world->now (self->world);
   if (!ecl_job_look (self->world, self->site->database, self->task->job, &job, &found, &ignored)) {
      return;
   }
   self->answered = self->looked;
   if (!found) {
      self->job.state = ECL_JOB_CANCELLED;
      self->stop = STOP_OVER;
      return;
   }
   if (memcmp (&job.settings, &self->job.settings, sizeof job.settings) != 0) {
      ecl_job_throttle (&job.settings, &settings);
      ecl_throttle_set (&self->throttle, &settings);
   }
   self->job = job;
   if (!ecl_job_is_live (job.state) || job.wanted == ECL_WANTED_CANCELLED) {
      self->stop = STOP_OVER;
   } else if (job.wanted == ECL_WANTED_PAUSED) {
      self->stop = STOP_PAUSED;
   } else if (self->stop == STOP_PAUSED) {
      self->stop = STOP_NOT;
   }
   count_workers (self);
}

static void
check_stop (worker_t *self)
{
   const ecl_watch_t *watch = self->task->watch;
   int64_t now = self->world->now (self->world);

   if (self->world->cancelled (self->world) || (watch && watch->stop && watch->stop (watch->context)) ||
       (self->task->until && now >= self->task->until)) {
      self->stop = STOP_ASKED;
   } else if (now - self->looked >= ECL_WORKER_EVERY) {
      look (self);
   }
}

static void
tell (worker_t *self)
{
   if (self->task->watch && self->task->watch->progress) {
      self->task->watch->progress (self->task->watch->context, self->number, self->state);
   }
}

/* ---- checkpoints ---- */

/* What the range's record is to say now. */
static void
progress_of (worker_t *self, const ecl_backfill_t *machine, ecl_chunk_state_t state, ecl_chunk_progress_t *out)
{
   const ecl_backfill_result_t *result = ecl_backfill_result (machine);

   *out = (ecl_chunk_progress_t){.state = state,
                                 .after = ecl_missing (),
                                 .counts = self->row.counts,
                                 .rate = self->state->rate,
                                 .slowed = self->state->slowed};
   if (self->phase == ECL_CHUNK_CARRIED) {
      /* A sweep that is taken over begins anew: what it left to a later pass may lie before any checkpoint. All that
       * cannot be carried over is seen by it. */
      out->counts.quarantined = 0;
   } else if (state == ECL_CHUNK_OPEN) {
      out->after = ecl_backfill_after (machine);
   }
   ecl_job_add_counts (&out->counts, &result->counts);
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

/* Lets the range go, in a state. */
static bool
let_go (worker_t *self, const ecl_backfill_t *machine, ecl_chunk_state_t state, bson_error_t *error)
{
   ecl_chunk_progress_t progress;
   bson_t fields;
   bool good;

   progress_of (self, machine, state, &progress);
   ecl_chunk_fields (&progress, &fields);
   good = ecl_holder_release_with (&self->holder, self->world, &fields, error);
   bson_destroy (&fields);
   return good;
}

/* ---- between two batches ---- */

/* What the worker did, with what it is doing now. */
static void
add_up (worker_t *self, const ecl_backfill_result_t *result)
{
   int64_t now = self->world->now (self->world);

   self->state->counts = self->before;
   ecl_job_add_counts (&self->state->counts, &result->counts);
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
   ecl_pressure_t pressure;
   bool wait;

   if (ecl_pressure_read (&self->pressure, self->world, &pressure)) {
      ecl_throttle_pressure (&self->throttle, &pressure, self->world->now (self->world));
   }
   if (watch && watch->advise) {
      int64_t now = self->world->now (self->world);

      if (watch->advise (watch->context, self->number, now, &wait)) {
         ecl_throttle_command (&self->throttle, wait, now);
      }
   }
}

static void
tell_throttle (worker_t *self, const ecl_backfill_t *machine)
{
   const ecl_backfill_batch_t *last = ecl_backfill_last (machine);

   if (last->whole && last->documents) {
      self->average = (double) last->bytes / last->documents;
   }
   if (self->batches++ && last->wrote) {
      ecl_throttle_batch (&self->throttle, last->documents, last->whole ? last->bytes : 0, last->ms,
                          self->world->now (self->world));
   }
}

static uint32_t
size_of (const worker_t *self, const ecl_throttle_advice_t *advice)
{
   double fit = self->average > 0 ? (double) advice->bytes / self->average : advice->documents;

   return fit < 1 ? 1 : fit < advice->documents ? (uint32_t) fit : advice->documents;
}

static bool
between (void *context, ecl_backfill_t *machine, bson_error_t *error)
{
   worker_t *self = context;
   ecl_throttle_advice_t advice;
   int64_t now;

   tell_throttle (self, machine);
   for (;;) {
      check_stop (self);
      if (self->stop) {
         ecl_backfill_cancel (machine);
         return true;
      }
      now = self->world->now (self->world);
      if (now - self->checkpointed >= ECL_WORKER_EVERY && !checkpoint (self, machine, error)) {
         return false;
      }
      read_inputs (self);
      now = self->world->now (self->world);
      advice = ecl_throttle_next (&self->throttle, now);
      self->state->slow = advice.by;
      self->state->stopped = advice.stopped;
      self->state->latency = ecl_throttle_latency (&self->throttle);
      (void) ecl_throttle_describe (&self->throttle, self->state->slowed, sizeof self->state->slowed);
      add_up (self, ecl_backfill_result (machine));
      tell (self);
      if (advice.wait <= 0) {
         ecl_backfill_resize (machine, size_of (self, &advice));
         return true;
      }
      (void) self->world->wait (self->world, advice.wait);
   }
}

static void
on_step (void *context, const ecl_backfill_result_t *result)
{
   worker_t *self = context;

   add_up (self, result);
   tell (self);
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
                                     .transactions = self->site->server.transactions,
                                     .range = self->row.range,
                                     .after = sweep ? ecl_missing () : self->row.after,
                                     .once = !sweep};

   memcpy (options.job, task->job, sizeof options.job);
   return ecl_backfill_new (&options, error);
}

/* What somebody else will do, where it could not be done here. */
static void
try_let_go (worker_t *self, const ecl_backfill_t *machine, ecl_chunk_state_t state)
{
   bson_error_t ignored;
   bool good = let_go (self, machine, state, &ignored);

   /* A claim that was lost on the way: whoever takes it goes through the rest again. */
   (void) good;
}

static bool
is_lease_error (const bson_error_t *error)
{
   return error->domain == ECL_DOMAIN_STORE && error->code == ECL_ERROR_LEASE;
}

static void
take_mode (worker_t *self, const ecl_backfill_result_t *result)
{
   if (self->phase == ECL_CHUNK_OPEN && result->mode != self->state->mode) {
      self->state->mode = result->mode;
      bson_strncpy (self->state->why, result->mode_why ? result->mode_why : "", sizeof self->state->why);
   }
}

static bool
mark_sweep (worker_t *self, bson_error_t *error)
{
   bson_t command;

   ecl_job_sweep (self->task->job, &command);
   return ecl_job_send (self->world, self->site->database, &command, NULL, error);
}

/* Goes through the range in its phase, and lets it go. *swept: there is no other range to be waited for, so the claim
 * is kept and the range is to be swept. False where the worker cannot go on. */
static bool
go_through (worker_t *self, ecl_world_t *held, bool *sweep, bson_error_t *error)
{
   ecl_backfill_hooks_t hooks = {.context = self, .between = between, .progress = on_step};
   ecl_backfill_t *machine = make_machine (self, error);
   const ecl_backfill_result_t *result;
   ecl_chunk_progress_t progress;
   bson_error_t failure = {0};
   bool good, fatal = false;

   *sweep = false;
   if (!machine) {
      return false;
   }
   self->batches = 0;
   self->before = self->state->counts;
   good = ecl_backfill_drive (machine, held, &hooks, &failure);
   result = ecl_backfill_result (machine);
   add_up (self, result);
   take_mode (self, result);
   if (good && result->cancelled) {
      try_let_go (self, machine, self->row.state);
   } else if (good && self->phase == ECL_CHUNK_OPEN && self->job.chunks == 1) {
      progress_of (self, machine, ECL_CHUNK_CARRIED, &progress);
      self->row.counts = progress.counts;
      *sweep = true;
   } else if (good) {
      self->state->ranges++;
      try_let_go (self, machine, self->phase == ECL_CHUNK_OPEN ? ECL_CHUNK_CARRIED : ECL_CHUNK_DONE);
   } else if (!is_lease_error (&failure)) {
      try_let_go (self, machine, self->row.state);
      fatal = !result->lost;
      if (result->lost) {
         say (self, failure.message); /* it is tried again, for a while */
      }
   }
   if (good) {
      self->answered = self->world->now (self->world);
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
   bson_iter_t iter, row;
   const uint8_t *data;
   bson_t command, document;
   uint32_t len;

   ecl_chunk_find (id, &command);
   bson_destroy (&self->reply);
   if (!ecl_job_send (self->world, self->site->database, &command, &self->reply, error)) {
      return false;
   }
   if (!bson_iter_init (&iter, &self->reply) || !bson_iter_find_descendant (&iter, "cursor.firstBatch.0", &row) ||
       !BSON_ITER_HOLDS_DOCUMENT (&row)) {
      return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_INVALID, "the range %s is gone", id);
   }
   bson_iter_document (&row, &len, &data);
   return bson_init_static (&document, data, len) && ecl_chunk_read (&document, &self->row, error);
}

/* Under the claim: the range as it is now, which may be another than when it was chosen. */
static bool
work_on (worker_t *self, const char *id, ecl_chunk_state_t phase, bson_error_t *error)
{
   ecl_held_world_t held;
   ecl_world_t *world = ecl_held_world_init (&held, self->world, &self->holder);
   bool sweep = false, good = true;

   if (!read_row (self, id, error) || self->row.state != phase) {
      ecl_holder_release (&self->holder, self->world);
      return true;
   }
   self->phase = phase;
   self->checkpointed = self->world->now (self->world);
   good = go_through (self, world, &sweep, error);
   if (good && sweep && mark_sweep (self, error)) {
      self->phase = self->row.state = ECL_CHUNK_CARRIED;
      good = go_through (self, world, &sweep, error);
   }
   ecl_holder_release (&self->holder, self->world);
   return good;
}

static void
init_holder (worker_t *self, const char *id)
{
   ecl_holder_options_t options = {.database = self->site->database,
                                   .collection = ECL_STORE_CHUNKS,
                                   .name = id,
                                   .existing = true,
                                   .time = self->task->lease_time,
                                   .skew = self->task->lease_skew,
                                   .who = self->site->who};

   ecl_holder_init (&self->holder, &options);
}

/* ---- choosing a range ---- */

typedef struct {
   worker_t *worker;
   char (*ids)[ECL_CHUNK_ID]; /* free ones first, from the beginning; held ones from the end */
   uint32_t n_free, n_held;
   bool dead; /* the first of ids is held by one who is known to be dead */
} choice_t;

static bool
take_row (choice_t *self, const bson_t *document, bson_error_t *error)
{
   const ecl_watch_t *watch = self->worker->task->watch;
   ecl_chunk_row_t row;

   if (!ecl_chunk_read (document, &row, error)) {
      return false;
   }
   if (self->n_free + self->n_held >= CANDIDATES || self->dead) {
      return true;
   }
   if (!row.held) {
      memcpy (self->ids[self->n_free++], row.id, ECL_CHUNK_ID);
      return true;
   }
   self->dead = watch && watch->dead && *row.place && watch->dead (watch->context, row.place, row.pid);
   if (self->dead) {
      memcpy (self->ids[0], row.id, ECL_CHUNK_ID);
   } else {
      memcpy (self->ids[CANDIDATES - ++self->n_held], row.id, ECL_CHUNK_ID);
   }
   return true;
}

static bool
read_choice (worker_t *self, ecl_chunk_state_t phase, choice_t *choice, bson_error_t *error)
{
   bson_iter_t iter, batch;
   bson_t command, reply, document;
   const uint8_t *data;
   uint32_t len;
   bool good;

   ecl_chunks_find (self->task->job, phase, CANDIDATES, &command);
   good = ecl_job_send (self->world, self->site->database, &command, &reply, error);
   if (good && bson_iter_init (&iter, &reply) && bson_iter_find_descendant (&iter, "cursor.firstBatch", &batch) &&
       BSON_ITER_HOLDS_ARRAY (&batch) && bson_iter_recurse (&batch, &iter)) {
      while (good && bson_iter_next (&iter)) {
         if (BSON_ITER_HOLDS_DOCUMENT (&iter)) {
            bson_iter_document (&iter, &len, &data);
            good = bson_init_static (&document, data, len) && take_row (choice, &document, error);
         }
      }
   }
   bson_destroy (&reply);
   return good;
}

/* Claims a range of that phase. *any: there are some, whoever has them. False where the server gave no answer. */
static bool
claim (worker_t *self, ecl_chunk_state_t phase, bool *any, char id[ECL_CHUNK_ID], bool *got, bson_error_t *error)
{
   choice_t choice = {.worker = self, .ids = bson_malloc (CANDIDATES * ECL_CHUNK_ID)};
   bool good = read_choice (self, phase, &choice, error), broken;
   ecl_lease_t was;

   *got = false;
   *any = choice.n_free || choice.n_held || choice.dead;
   if (good && *any) {
      uint32_t chance = (uint32_t) (self->world->random (self->world) >> 1);

      /* Those that are held may have lost their holder: only the server can tell, so it is asked for one of them. */
      memcpy (id,
              choice.dead     ? choice.ids[0]
              : choice.n_free ? choice.ids[chance % choice.n_free]
                              : choice.ids[CANDIDATES - 1 - chance % choice.n_held],
              ECL_CHUNK_ID);
      init_holder (self, id);
      if (choice.dead) {
         good = ecl_holder_break (&self->holder, self->world, &broken, &was, error);
      }
      if (good) {
         ecl_acquire_t answer = ecl_holder_acquire (&self->holder, self->world, 0, NULL, NULL, error);

         *got = answer == ECL_ACQUIRED;
         good = answer != ECL_ACQUIRE_FAILED;
      }
      if (!*got) {
         ecl_holder_cleanup (&self->holder);
      }
   }
   bson_free (choice.ids);
   return good;
}

/* ---- the job's end ---- */

/* Once no range is left: whoever comes first ends the job, the others find it ended. */
static bool
finish (worker_t *self, bson_error_t *error)
{
   ecl_job_t job;
   bool found;

   if (!ecl_job_look (self->world, self->site->database, self->task->job, &job, &found, error)) {
      return false;
   }
   if (found && ecl_job_is_live (job.state) && !ecl_job_finish (self->world, self->site->database, self->task->chain, self->task->target, &job, error)) {
      return false;
   }
   look (self);
   return true;
}

/* One step of a worker's life. False where the server gave no answer; *fatal: there is no going on. */
static bool
step (worker_t *self, bool *fatal, bson_error_t *error)
{
   char id[ECL_CHUNK_ID];
   ecl_chunk_state_t phase = ECL_CHUNK_OPEN;
   bool any, got;

   *fatal = false;
   if (self->job.state != ECL_JOB_RUNNING) {
      (void) self->world->wait (self->world, IDLE_MS); /* its ranges are being made */
      return true;
   }
   if (!claim (self, ECL_CHUNK_OPEN, &any, id, &got, error)) {
      return false;
   }
   if (!any) {
      phase = ECL_CHUNK_CARRIED;
      if ((!self->job.swept && !mark_sweep (self, error)) || !claim (self, phase, &any, id, &got, error)) {
         return false;
      }
   }
   if (!any) {
      return finish (self, error);
   }
   self->state->idle = !got;
   if (!got) {
      tell (self);
      (void) self->world->wait (self->world, IDLE_MS);
      return true;
   }
   *fatal = !work_on (self, id, phase, error);
   ecl_holder_cleanup (&self->holder);
   return !*fatal;
}

static ecl_worker_end_t
ended (const worker_t *self, bson_error_t *error)
{
   switch (self->job.state) {
   case ECL_JOB_DONE:
      return ECL_WORKER_DONE;
   case ECL_JOB_FAILED:
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT, "%s", self->job.error);
      return ECL_WORKER_FAILED;
   default:
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "%s: somebody cancelled the job%s%s",
                self->task->chain->collection, *self->job.error ? ": " : "", self->job.error);
      return ECL_WORKER_CANCELLED;
   }
}

static ecl_worker_end_t
work (worker_t *self, bson_error_t *error)
{
   bson_error_t ignored, failure;
   bool fatal;

   for (;;) {
      check_stop (self);
      if (self->stop == STOP_ASKED) {
         ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED,
                   "%s: ended as asked for; the same command goes on where this one stopped",
                   self->task->chain->collection);
         return ECL_WORKER_STOPPED;
      }
      if (self->stop == STOP_OVER) {
         return ended (self, error);
      }
      self->state->paused = self->stop == STOP_PAUSED;
      if (self->state->paused) {
         tell (self);
         (void) self->world->wait (self->world, IDLE_MS);
         continue;
      }
      if (step (self, &fatal, &failure)) {
         self->answered = self->world->now (self->world);
      } else if (fatal) {
         *error = failure;
         (void) !ecl_job_fail (self->world, self->site->database, &self->job, failure.message, &ignored);
         return ECL_WORKER_FAILED;
      } else if (self->world->now (self->world) - self->answered > PATIENCE_MS) {
         *error = failure;
         return ECL_WORKER_FAILED;
      } else {
         (void) self->world->wait (self->world, IDLE_MS);
      }
   }
}

ecl_worker_end_t
ecl_worker_run (const ecl_task_t *task, const ecl_site_t *site, uint32_t number, ecl_worker_state_t *state,
                bson_error_t *error)
{
   worker_t self = {.task = task, .site = site, .world = site->world, .number = number, .state = state};
   ecl_throttle_settings_t settings = {0};
   int64_t now = site->world->now (site->world);

   memset (state, 0, sizeof *state);
   state->mode = task->mode;
   settings.first = task->batch;
   self.answered = self.rate_at = now;
   ecl_throttle_init (&self.throttle, &settings, now);
   ecl_pressure_init (&self.pressure, say_pressure, &self);
   bson_init (&self.reply);
   look (&self);
   state->end = work (&self, error);
   bson_destroy (&self.reply);
   return state->end;
}
