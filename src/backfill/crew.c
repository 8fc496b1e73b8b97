/* Several workers in one process: see crew.h. */
#include "backfill/crew.h"

#include "backfill/adviser.h"
#include "run/hands.h"
#include "run/place.h"

#include <pthread.h>
#include <stdatomic.h>

/* How often others' part of the work is asked for. */
#define SUM_MS 2000

typedef struct {
   bool started;   /* under the crew's lock, as all but `heard` */
   int64_t failed; /* when, from 1; 0: it did not, or it is told */
   ecl_worker_state_t state;
   uint32_t heard; /* what of the command's words it has been told */
   bson_error_t error;
} mate_t;

typedef struct {
   const ecl_site_t *site;
   const ecl_task_t *task;
   const ecl_effort_t *effort;
   const ecl_crew_listener_t *listener;
   ecl_job_t job;
   pthread_mutex_t lock;
   mate_t *mates;
   uint32_t n;
   char here[ECL_PLACE_SIZE];
   ecl_counsel_t counsel;
   int64_t summed;   /* when */
   int64_t base;     /* documents that were done then, by everybody */
   int64_t own;      /* changed by this crew, then */
   int64_t done;     /* what was shown last */
   int64_t swept;    /* ranges, when it was summed last; negative: not all were carried */
   atomic_bool stop; /* the first one was asked to */
} crew_t;

/* ---- what workers tell and are told ---- */

/* The crew's part, under the lock. */
static int64_t
changed_by (const crew_t *self)
{
   int64_t changed = 0;

   for (uint32_t i = 0; i < self->n; i++) {
      changed += self->mates[i].state.counts.changed;
   }
   return changed;
}

/* Who failed so long ago that the others, who go on, need not end for the same reason. */
static void
tell_failed (crew_t *self, int64_t until)
{
   char text[sizeof ((bson_error_t *) NULL)->message + 320];
   bson_error_t why = {0};
   uint32_t n = 0;

   pthread_mutex_lock (&self->lock);
   for (uint32_t i = 1; i < self->n; i++) {
      mate_t *mate = &self->mates[i];

      if (mate->failed && mate->failed <= until) {
         mate->failed = 0;
         why = mate->error;
         n++;
      }
   }
   pthread_mutex_unlock (&self->lock);
   if (n && self->listener->note) {
      bson_snprintf (text, sizeof text, "%s: %" PRIu32 " of %" PRIu32 " workers ended early: %s", self->job.collection,
                     n, self->n, why.message);
      self->listener->note (self->listener->context, text);
   }
}

static void
show (crew_t *self, const ecl_worker_state_t *first)
{
   ecl_carry_progress_t progress = {.job = self->job.id,
                                    .total = self->job.documents,
                                    .slowed = first->slowed,
                                    .slow = first->slow,
                                    .stopped = first->stopped,
                                    .latency = first->latency,
                                    .lag = first->lag,
                                    .mode = first->mode};
   int64_t now = self->site->world->now (self->site->world), own, done;
   ecl_chunks_sum_t sum;
   bson_error_t ignored;

   pthread_mutex_lock (&self->lock);
   own = changed_by (self);
   for (uint32_t i = 0; i < self->n; i++) {
      const ecl_worker_state_t *state = &self->mates[i].state;

      progress.rate += state->rate;
      ecl_job_add_counts (&progress.counts, &state->counts);
      progress.batches += state->batches;
      for (int k = 0; k < ECL_SLOW_N; k++) {
         progress.waited[k] += state->waited[k];
      }
      progress.workers += self->mates[i].started && !state->paused && !state->idle;
      progress.paused = progress.paused || state->paused;
   }
   pthread_mutex_unlock (&self->lock);
   /* Of ranges that others had gone through a sweep may only take away. */
   progress.counts.quarantined = progress.counts.quarantined > 0 ? progress.counts.quarantined : 0;
   if (now - self->summed >= SUM_MS &&
       ecl_job_sum (self->site->world, self->site->database, self->job.id, &sum, &ignored)) {
      self->summed = now;
      self->base = ecl_job_done (&self->job, &sum);
      self->swept = sum.n[ECL_CHUNK_OPEN] ? -1 : sum.n[ECL_CHUNK_DONE];
      self->own = own;
   }
   done = self->base + own - self->own;
   done = done < progress.total ? done : progress.total;
   self->done = done > self->done ? done : self->done;
   progress.done = self->done;
   progress.ranges = self->job.chunks;
   progress.swept = self->swept;
   self->listener->progress (self->listener->context, &progress);
}

static void
on_progress (void *context, uint32_t number, const ecl_worker_state_t *state)
{
   crew_t *self = context;

   pthread_mutex_lock (&self->lock);
   self->mates[number].state = *state;
   pthread_mutex_unlock (&self->lock);
   if (number == 0) {
      tell_failed (self, self->site->world->now (self->site->world) - SUM_MS);
   }
   if (number == 0 && self->listener->progress) {
      show (self, state);
   }
}

/* What one worker cannot see the others cannot, either. The first one has the caller's thread. */
static void
on_say (void *context, uint32_t number, const char *message)
{
   const ecl_crew_listener_t *listener = ((crew_t *) context)->listener;

   if (number == 0 && listener->note) {
      listener->note (listener->context, message);
   }
}

static bool
advise (void *context, uint32_t number, int64_t now, bool *wait, char reason[ECL_THROTTLE_REASON])
{
   crew_t *self = context;

   return ecl_counsel_look (&self->counsel, number, &self->mates[number].heard, now, wait, reason);
}

static bool
is_stopped (void *context)
{
   return atomic_load (&((crew_t *) context)->stop);
}

static bool
is_dead (void *context, const char *place, int64_t pid)
{
   return ecl_place_is_dead (((crew_t *) context)->here, place, pid);
}

/* ---- threads ---- */

static void
work (void *context, uint32_t number, ecl_world_t *world, const bson_error_t *why)
{
   crew_t *self = context;
   mate_t *mate = &self->mates[number];
   ecl_worker_state_t state = {.end = ECL_WORKER_FAILED};
   ecl_site_t site = *self->site;

   pthread_mutex_lock (&self->lock);
   mate->started = true;
   pthread_mutex_unlock (&self->lock);
   if (!world) {
      mate->error = *why;
   } else if (number) {
      site.world = world;
      site.upgrades = ecl_upgrades_new (site.project);
      state.end = ecl_worker_run (self->task, &site, number, &state, &mate->error);
      ecl_upgrades_destroy (site.upgrades);
   } else {
      state.end = ecl_worker_run (self->task, &site, number, &state, &mate->error);
      atomic_store (&self->stop, state.end == ECL_WORKER_STOPPED);
   }
   ecl_counsel_leave (&self->counsel, number);
   pthread_mutex_lock (&self->lock);
   mate->state = state;
   mate->state.rate = 0;
   mate->state.idle = true; /* it does nothing any more */
   mate->failed = state.end != ECL_WORKER_FAILED ? 0 : world ? world->now (world) : 1;
   pthread_mutex_unlock (&self->lock);
}

/* What all of them did. A worker that failed weighs more than one that was stopped, and that more than one that saw the
 * end of the job. */
static bool
add_up (crew_t *self, ecl_worker_state_t *out, bson_error_t *error)
{
   const mate_t *worst = &self->mates[0];

   *out = self->mates[0].state;
   for (uint32_t i = 1; i < self->n; i++) {
      const mate_t *mate = &self->mates[i];

      if (!mate->started) {
         continue; /* fewer hands */
      }
      ecl_job_add_counts (&out->counts, &mate->state.counts);
      out->ranges += mate->state.ranges;
      out->passes = out->passes > mate->state.passes ? out->passes : mate->state.passes;
      out->wrote = out->wrote || mate->state.wrote;
      if (*mate->state.why && !*out->why) {
         out->mode = mate->state.mode;
         memcpy (out->why, mate->state.why, sizeof out->why);
      }
      if (worst->state.end == ECL_WORKER_DONE ||
          (mate->state.end == ECL_WORKER_FAILED && worst->state.end != ECL_WORKER_FAILED)) {
         worst = mate;
      }
   }
   out->counts.quarantined = out->counts.quarantined > 0 ? out->counts.quarantined : 0;
   out->end = worst->state.end;
   /* Where one saw it done it is: another one may have lost its connection on the way. */
   for (uint32_t i = 0; i < self->n; i++) {
      if (self->mates[i].state.end == ECL_WORKER_DONE && (i == 0 || self->mates[i].started)) {
         out->end = ECL_WORKER_DONE;
         return true;
      }
   }
   *error = worst->error;
   return false;
}

bool
ecl_crew_run (const ecl_site_t *site, ecl_task_t *task, const ecl_effort_t *effort, uint32_t workers,
              const ecl_job_t *job, const ecl_crew_listener_t *listener, ecl_worker_state_t *state, bson_error_t *error)
{
   crew_t self = {.site = site,
                  .task = task,
                  .effort = effort,
                  .listener = listener,
                  .job = *job,
                  .swept = -1,
                  .n = workers && effort->connector ? workers : 1};
   ecl_watch_t watch = {
      .context = &self, .progress = on_progress, .advise = advise, .dead = is_dead, .stop = is_stopped, .say = on_say};
   int64_t many = job->chunks > 0 ? job->chunks : 1;
   bool good;

   /* More hands than ranges have nothing to do. */
   self.n = self.n > many ? (uint32_t) many : self.n;
   self.mates = bson_malloc0 (self.n * sizeof *self.mates);
   pthread_mutex_init (&self.lock, NULL);
   ecl_place_here (self.here);
   ecl_counsel_init (&self.counsel, effort->throttle_command);
   task->watch = &watch;
   task->connector = effort->connector;
   ecl_hands (site->world, effort->connector, self.n, work, &self);
   good = add_up (&self, state, error);
   if (good) {
      tell_failed (&self, INT64_MAX);
   }
   ecl_counsel_cleanup (&self.counsel);
   pthread_mutex_destroy (&self.lock);
   bson_free (self.mates);
   task->watch = NULL;
   return good;
}
