/* Several workers in one process: see worker_pool.h. */
#include "backfill/worker_pool.h"

#include "backfill/adviser.h"
#include "run/parallel.h"
#include "run/place.h"

#include <pthread.h>
#include <stdatomic.h>

/* How often others' part of the work is asked for. */
#define SUM_MS 2000

/* How often others are told of who go on without the first one. */
#define TELL_MS 300

typedef struct {
   bool started; /* under the pool's lock, as all but `heard` */
   bool ended;
   int64_t failed; /* when, from 1; 0: it did not, or it is told */
   ecl_worker_state_t state;
   uint32_t heard; /* what of the command's words it has been told */
   bson_error_t error;
} member_t;

typedef struct {
   const ecl_site_t *site;
   const ecl_task_t *task;
   const ecl_worker_pool_listener_t *listener;
   ecl_job_t job;
   pthread_mutex_t lock;
   member_t *members;
   uint32_t n;
   char here[ECL_PLACE_SIZE];
   ecl_shared_adviser_t adviser;
   int64_t summed;   /* when */
   int64_t base;     /* documents that were done then, by everybody */
   int64_t own;      /* changed by this pool, then */
   int64_t done;     /* what was shown last */
   int64_t swept;    /* ranges, when it was summed last; negative: not all were carried */
   atomic_bool stop; /* the first one was asked to */
} pool_t;

/* ---- what workers tell and are told ---- */

/* The pool's part, under the lock. */
static int64_t
changed_by (const pool_t *self)
{
   int64_t changed = 0;

   for (uint32_t i = 0; i < self->n; i++) {
      changed += self->members[i].state.counts.changed;
   }
   return changed;
}

/* Who failed so long ago that the others, who go on, need not end for the same reason. */
static void
tell_failed (pool_t *self, int64_t until)
{
   char text[sizeof ((bson_error_t *) NULL)->message + 320];
   bson_error_t why = {0};
   uint32_t n = 0;

   pthread_mutex_lock (&self->lock);
   for (uint32_t i = 0; i < self->n; i++) {
      member_t *member = &self->members[i];

      if (member->failed && member->failed <= until) {
         member->failed = 0;
         why = member->error;
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
show (pool_t *self, const ecl_worker_state_t *first)
{
   ecl_job_progress_t progress = {.job = self->job.id,
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
      const ecl_worker_state_t *state = &self->members[i].state;

      progress.rate += state->rate;
      ecl_job_add_counts (&progress.counts, &state->counts);
      progress.batches += state->batches;
      for (int k = 0; k < ECL_SLOW_N; k++) {
         progress.waited[k] += state->waited[k];
      }
      progress.workers += self->members[i].started && !state->paused && !state->idle;
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
   pool_t *self = context;

   pthread_mutex_lock (&self->lock);
   self->members[number].state = *state;
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
   const ecl_worker_pool_listener_t *listener = ((pool_t *) context)->listener;

   if (number == 0 && listener->note) {
      listener->note (listener->context, message);
   }
}

static bool
advise (void *context, uint32_t number, int64_t now, bool *wait, char reason[ECL_THROTTLE_REASON])
{
   pool_t *self = context;

   return ecl_shared_adviser_look (&self->adviser, number, &self->members[number].heard, now, wait, reason);
}

static bool
is_stopped (void *context)
{
   return atomic_load (&((pool_t *) context)->stop);
}

static bool
is_dead (void *context, const char *place, int64_t pid)
{
   return ecl_place_is_dead (((pool_t *) context)->here, place, pid);
}

/* ---- threads ---- */

/* One of the others that works yet. */
static bool
find_living (pool_t *self, ecl_worker_state_t *state)
{
   bool found = false;

   pthread_mutex_lock (&self->lock);
   for (uint32_t i = 1; i < self->n && !found; i++) {
      found = self->members[i].started && !self->members[i].ended;
      if (found) {
         *state = self->members[i].state;
      }
   }
   pthread_mutex_unlock (&self->lock);
   return found;
}

/* The first one failed, in the caller's thread, and others go on: of them is told until they end. */
static void
tell_of_others (pool_t *self)
{
   ecl_world_t *world = self->site->world;
   ecl_worker_state_t state;

   while (!atomic_load (&self->stop) && find_living (self, &state)) {
      tell_failed (self, world->now (world) - SUM_MS);
      if (self->listener->progress) {
         show (self, &state);
      }
      atomic_store (&self->stop, !world->wait (world, TELL_MS));
   }
}

static void
work (void *context, uint32_t number, ecl_world_t *world, const bson_error_t *why)
{
   pool_t *self = context;
   member_t *member = &self->members[number];
   ecl_worker_state_t state = {.end = ECL_WORKER_FAILED};
   ecl_site_t site = *self->site;

   pthread_mutex_lock (&self->lock);
   member->started = true;
   pthread_mutex_unlock (&self->lock);
   if (!world) {
      member->error = *why;
   } else if (number) {
      site.world = world;
      site.upgrades = ecl_upgrades_new (site.project);
      state.end = ecl_worker_run (self->task, &site, number, &state, &member->error);
      ecl_upgrades_destroy (site.upgrades);
   } else {
      state.end = ecl_worker_run (self->task, &site, number, &state, &member->error);
      atomic_store (&self->stop, state.end == ECL_WORKER_STOPPED);
   }
   ecl_shared_adviser_leave (&self->adviser, number);
   pthread_mutex_lock (&self->lock);
   member->state = state;
   member->state.rate = 0;
   member->state.idle = true; /* it does nothing any more */
   member->failed = state.end != ECL_WORKER_FAILED ? 0 : world ? world->now (world) : 1;
   member->ended = true;
   pthread_mutex_unlock (&self->lock);
   if (!number && state.end == ECL_WORKER_FAILED) {
      tell_of_others (self);
   }
}

/* What all of them did. A worker that failed weighs more than one that was stopped, and that more than one that saw the
 * end of the job. */
static bool
add_up (pool_t *self, ecl_worker_state_t *out, bson_error_t *error)
{
   const member_t *worst = &self->members[0];

   *out = self->members[0].state;
   for (uint32_t i = 1; i < self->n; i++) {
      const member_t *member = &self->members[i];

      if (!member->started) {
         continue; /* fewer threads */
      }
      ecl_job_add_counts (&out->counts, &member->state.counts);
      out->ranges += member->state.ranges;
      out->passes = out->passes > member->state.passes ? out->passes : member->state.passes;
      out->wrote = out->wrote || member->state.wrote;
      if (*member->state.why && !*out->why) {
         out->mode = member->state.mode;
         memcpy (out->why, member->state.why, sizeof out->why);
      }
      if (worst->state.end == ECL_WORKER_DONE ||
          (member->state.end == ECL_WORKER_FAILED && worst->state.end != ECL_WORKER_FAILED)) {
         worst = member;
      }
   }
   out->counts.quarantined = out->counts.quarantined > 0 ? out->counts.quarantined : 0;
   out->end = worst->state.end;
   /* Where one saw it done it is: another one may have lost its connection on the way. */
   for (uint32_t i = 0; i < self->n; i++) {
      if (self->members[i].state.end == ECL_WORKER_DONE && (i == 0 || self->members[i].started)) {
         out->end = ECL_WORKER_DONE;
         return true;
      }
   }
   *error = worst->error;
   return false;
}

bool
ecl_worker_pool_run (const ecl_site_t *site, ecl_task_t *task, const char *throttle_command, uint32_t workers,
                     const ecl_job_t *job, const ecl_worker_pool_listener_t *listener, ecl_worker_state_t *state,
                     bson_error_t *error)
{
   pool_t self = {.site = site,
                  .task = task,
                  .listener = listener,
                  .job = *job,
                  .swept = -1,
                  .n = workers && task->connector ? workers : 1};
   ecl_watch_t watch = {
      .context = &self, .progress = on_progress, .advise = advise, .dead = is_dead, .stop = is_stopped, .say = on_say};
   int64_t many = job->chunks > 0 ? job->chunks : 1;
   bool good;

   /* More workers than ranges have nothing to do. */
   self.n = self.n > many ? (uint32_t) many : self.n;
   self.members = bson_malloc0 (self.n * sizeof *self.members);
   pthread_mutex_init (&self.lock, NULL);
   ecl_place_here (self.here);
   ecl_shared_adviser_init (&self.adviser, throttle_command);
   task->watch = &watch;
   ecl_parallel_run (site->world, task->connector, self.n, work, &self);
   good = add_up (&self, state, error);
   if (good) {
      tell_failed (&self, INT64_MAX);
   }
   ecl_shared_adviser_cleanup (&self.adviser);
   pthread_mutex_destroy (&self.lock);
   bson_free (self.members);
   task->watch = NULL;
   return good;
}
