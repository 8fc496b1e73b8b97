/* One worker of a job: what the job says, choosing a range, the end. One range: worker_range.c. See worker.h. */
#include "backfill/worker-private.h"

#include "base/shell.h"

/* Ranges that are looked at to choose one. */
#define CANDIDATES 200

/* A run that is over by then needs no word about what could not be looked at. */
#define SAID_AFTER_MS 5000

/* ---- what the job says ---- */

void
ecl_worker_say (worker_t *self, const char *message)
{
   if (self->task->watch && self->task->watch->say) {
      self->task->watch->say (self->task->watch->context, self->number, message);
   }
}

static void
keep_unseen (void *context, const char *message)
{
   worker_t *self = context;

   if (self->n_unsaid < ECL_ASK_N) {
      bson_strncpy (self->unsaid[self->n_unsaid++], message, sizeof self->unsaid[0]);
   }
}

void
ecl_worker_say_unseen (worker_t *self)
{
   if (!self->n_unsaid || self->world->now (self->world) - self->began <= SAID_AFTER_MS) {
      return;
   }
   for (uint32_t i = 0; i < self->n_unsaid; i++) {
      ecl_worker_say (self, self->unsaid[i]);
   }
   self->n_unsaid = 0;
}

typedef struct {
   const char *own; /* _id of the range that this one has, or had */
   uint32_t others;
} living_t;

static void
count_living (void *context, const ecl_chunk_row_t *row)
{
   living_t *self = context;

   self->others += row->left > 0 && strcmp (row->id, self->own) != 0;
}

void
ecl_worker_count (worker_t *self)
{
   living_t living = {.own = self->row.id};
   bson_error_t ignored;

   if ((self->job.settings.max_documents > 0 || self->job.settings.max_bytes > 0) &&
       ecl_job_held (self->world, self->site->database, self->task->job, count_living, &living, &ignored)) {
      ecl_throttle_workers (&self->throttle, living.others + 1);
   }
}

/* Who waits in a pause asks the server for nothing else. */
static void
say_blind (worker_t *self)
{
   char text[sizeof self->unseen.message + 384];

   if (self->stop == STOP_PAUSED && !self->said_unseen) {
      self->said_unseen = true;
      bson_snprintf (text, sizeof text, "%s: paused, and whether it is to go on cannot be asked: %s; it is tried again",
                     self->task->chain->collection, self->unseen.message);
      ecl_worker_say (self, text);
   }
}

/* Reads the job. What cannot be read now is read later. */
static void
look (worker_t *self)
{
   ecl_throttle_settings_t settings;
   ecl_job_t job;
   bool good, found;
   int64_t asked;

   /* What is answered may be as old as the question: a process may have been stopped between. */
   asked = self->world->now (self->world);
   good = ecl_job_look (self->world, self->site->database, self->task->job, &job, &found, &self->unseen);
   if (!good) {
      say_blind (self);
      return; /* what is known is old: before the next batch it is asked again */
   }
   self->unseen.code = 0;
   self->said_unseen = false;
   self->looked = asked;
   if (!found || job.state != ECL_JOB_PLANNING) {
      self->answered = self->world->now (self->world);
   }
   if (!found) {
      self->gone = true;
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
   ecl_worker_count (self);
}

void
ecl_worker_check_stop (worker_t *self)
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

void
ecl_worker_tell (worker_t *self)
{
   if (self->task->watch && self->task->watch->progress) {
      self->task->watch->progress (self->task->watch->context, self->number, self->state);
   }
}

/* Others have what there is to be done, or the job is paused. */
static void
rest (worker_t *self)
{
   self->state->rate = 0;
   self->rate_at = self->progressed = self->world->now (self->world);
   self->rate_seen = self->state->counts.changed;
   ecl_worker_tell (self);
   (void) self->world->wait (self->world, IDLE_MS);
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

   options.also = self->sender ? ecl_sender_world (self->sender) : NULL;
   ecl_holder_init (&self->holder, &options);
}

/* ---- choosing a range ---- */

typedef struct {
   worker_t *worker;
   char (*ids)[ECL_CHUNK_ID]; /* free ones first, from the beginning; held ones from the end */
   uint32_t n_free, n_held;
   bson_error_t unread; /* what is wrong with one that is not understood; code 0: there is none */
   bool dead;           /* whoever holds the first of ids is known to be dead */
   int64_t token;       /* of that claim */
} choice_t;

static bool
take_row (void *context, const bson_t *document, bson_error_t *error)
{
   choice_t *self = context;
   const ecl_watch_t *watch = self->worker->task->watch;
   ecl_chunk_row_t row;

   (void) error;
   if (!ecl_chunk_read (document, &row, &self->unread)) {
      return true; /* the others first */
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
      self->token = row.token;
   } else {
      memcpy (self->ids[CANDIDATES - ++self->n_held], row.id, ECL_CHUNK_ID);
   }
   return true;
}

/* Claims a range of that phase. *any: there are some, whoever has them. False where the server gave no answer, or
 * (self->unfit) all that are left are not understood: a later version may know what they mean. */
static bool
claim (worker_t *self, ecl_chunk_state_t phase, bool *any, char id[ECL_CHUNK_ID], bool *got, bson_error_t *error)
{
   choice_t choice = {.worker = self, .ids = bson_malloc (CANDIDATES * ECL_CHUNK_ID)};
   bool good, broken;
   bson_t command;
   ecl_lease_t was;

   ecl_chunks_find (self->task->job, phase, CANDIDATES, &command);
   good = ecl_job_each (self->world, self->site->database, &command, take_row, &choice, error);
   *got = false;
   *any = choice.n_free || choice.n_held || choice.dead;
   if (good && !*any && choice.unread.code) {
      self->unfit = true;
      good = ecl_fail (
         error, ECL_DOMAIN_STORE, ECL_ERROR_INVALID,
         "%s; a later version wrote it, or a hand: `eclose backfill cancel %s` gives the job up, and a new one "
         "goes over what is left",
         choice.unread.message, ecl_shell_word (self->task->chain->collection).text);
   }
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
         good = ecl_holder_break (&self->holder, self->world, choice.token, &broken, &was, error);
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
   if (found && ecl_job_is_live (job.state) &&
       !ecl_job_finish (self->world, self->site->database, self->task->chain, self->task->target, &job, error)) {
      return false;
   }
   if (found && ecl_job_is_live (job.state)) {
      (void) self->world->wait (self->world, IDLE_MS);
   }
   look (self);
   return true;
}

/* Where documents are computed here. Before a range is claimed: the claim names the sessions of both connections. */
static void
make_sender (worker_t *self)
{
   bson_error_t ignored;

   if (self->task->connector && self->state->mode == ECL_MODE_CLIENT && !self->sender && !self->alone) {
      self->sender = ecl_sender_start (self->task->connector, &ignored);
      self->alone = !self->sender;
   }
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
      if (self->unseen.code) {
         *error = self->unseen;
         return false;
      }
      /* Nobody works before they are made; for how long nothing else is read, `work` says. */
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT, "%s: the ranges of the job are not made",
                       self->task->chain->collection);
   }
   make_sender (self);
   if (!claim (self, ECL_CHUNK_OPEN, &any, id, &got, error)) {
      return false;
   }
   if (!any) {
      phase = ECL_CHUNK_CARRIED;
      if ((!self->job.swept && !ecl_worker_mark_sweep (self, error)) || !claim (self, phase, &any, id, &got, error)) {
         return false;
      }
   }
   if (!any) {
      return finish (self, error);
   }
   self->state->idle = !got;
   if (!got) {
      rest (self); /* others' claims are theirs */
      return true;
   }
   *fatal = !ecl_worker_work_on (self, id, phase, error);
   ecl_holder_cleanup (&self->holder);
   return !*fatal;
}

static ecl_worker_end_t
ended (const worker_t *self, bson_error_t *error)
{
   if (self->gone) {
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
                "%s: the record of the job is gone from " ECL_STORE_JOBS ", or is none of this version of eclose",
                self->task->chain->collection);
      return ECL_WORKER_FAILED;
   }
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

/* Whether it is about who works here, and not about the work: what this user may do (Unauthorized,
 * AuthenticationFailed, and what Atlas calls both). Others go on with the job. */
static bool
is_own (const worker_t *self, const bson_error_t *error)
{
   return self->unfit ||
          (error->domain < ECL_DOMAIN_BASE && (error->code == 13 || error->code == 18 || error->code == 8000));
}

/* Nothing goes on: the server does not answer, or it does, and even so. */
static bool
is_stuck (const worker_t *self, bson_error_t *error)
{
   int64_t now = self->world->now (self->world);
   int64_t since = BSON_MAX (self->answered - self->progressed, now - self->answered);

   if (!self->stuck.code || since <= PATIENCE_MS) {
      return false;
   }
   ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER,
             "%s: no range has gone on for %lld seconds: %s; the same command goes on where this one stopped",
             self->task->chain->collection, (long long) (since / 1000), self->stuck.message);
   return true;
}

static ecl_worker_end_t
work (worker_t *self, bson_error_t *error)
{
   bson_error_t ignored, failure;
   bool fatal;

   for (;;) {
      ecl_worker_check_stop (self);
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
         rest (self);
         continue;
      }
      if (step (self, &fatal, &failure)) {
         self->answered = self->world->now (self->world);
         if (is_stuck (self, error)) {
            return ECL_WORKER_FAILED;
         }
      } else if (is_own (self, &failure)) {
         *error = failure;
         ecl_error_prefix (error, "this process cannot work on the job, which others may go on with");
         return ECL_WORKER_FAILED;
      } else if (fatal) {
         *error = failure;
         (void) !ecl_job_close (self->world, self->site->database, &self->job, ECL_JOB_FAILED, failure.message,
                                &ignored);
         return ECL_WORKER_FAILED;
      } else {
         self->stuck = failure;
         if (is_stuck (self, error)) {
            return ECL_WORKER_FAILED;
         }
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
   state->lag = -1;
   ecl_job_throttle (&self.job.settings, &settings); /* what a job that sets nothing means, too */
   settings.first = task->batch;
   self.began = self.answered = self.progressed = self.rate_at = now;
   ecl_throttle_init (&self.throttle, &settings, now);
   ecl_pressure_init (&self.pressure, keep_unseen, &self);
   bson_init (&self.reply);
   look (&self);
   state->end = work (&self, error);
   ecl_sender_stop (self.sender);
   bson_destroy (&self.reply);
   return state->end;
}
