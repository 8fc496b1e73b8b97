/* One seed from its beginning to its end: time, processes, and who goes on next. See sim.h. */
#include "sim.h"

#include <stdarg.h>

/* Faults stop here, and everything has to come to its end before the limit. */
#define FAULTS_UNTIL 9000
#define LIMIT 400000

#define MISFORTUNE_EVERY 400

/* ---- messages to people ---- */

void
sim_log (sim_t *self, const char *format, ...)
{
   va_list args;

   if (!self->verbose) {
      return;
   }
   printf ("%7" PRId64 "  ", self->now);
   va_start (args, format);
   vprintf (format, args);
   va_end (args);
   putchar ('\n');
}

void
sim_wrong (sim_t *self, const char *format, ...)
{
   va_list args;

   if (self->wrong[0]) {
      return;
   }
   va_start (args, format);
   vsnprintf (self->wrong, sizeof self->wrong, format, args);
   va_end (args);
   sim_log (self, "WRONG: %s", self->wrong);
}

/* ---- tasks and processes ---- */

void
task_block (task_t *task, int64_t until)
{
   task->wake = until;
   fiber_yield (task->fiber);
}

static void
worker_body (void *context)
{
   process_t *process = context;

   if (process->app) {
      process->sim->story->app (process);
      process->done = true;
   } else {
      program_run (process);
   }
}

static void
heart_body (void *context)
{
   program_heartbeat (context);
}

static void
init_task (process_t *process, task_t *task, bool heart)
{
   memset (task, 0, sizeof *task);
   world_init (&task->world);
   task->process = process;
   task->heart = heart;
   task->fiber = fiber_start (heart ? heart_body : worker_body, process);
   task->wake = process->sim->now;
}

static bool
alive (const task_t *task)
{
   return task->fiber && !fiber_ended (task->fiber);
}

static void
end_task (task_t *task)
{
   if (task->fiber) {
      BSON_ASSERT (fiber_ended (task->fiber));
      fiber_destroy (task->fiber);
      task->fiber = NULL;
   }
}

static void
resume (task_t *task)
{
   task->wake = INT64_MAX;
   fiber_resume (task->fiber);
}

void
process_start_heart (process_t *process)
{
   process->stop_heart = false;
   end_task (&process->heart);
   init_task (process, &process->heart, true);
}

void
process_stop_heart (process_t *process)
{
   process->stop_heart = true;
   if (alive (&process->heart) && process->heart.wake != INT64_MAX && !process->heart.message) {
      process->heart.wake = process->sim->now;
   }
   while (alive (&process->heart)) {
      if (process->dead) {
         resume (&process->heart); /* the lease that it renews goes */
      } else {
         task_block (&process->worker, process->sim->now + 5);
      }
   }
}

static process_t *
add_process (sim_t *sim, bool app, int64_t delay)
{
   process_t *process = &sim->processes[sim->n_processes];

   BSON_ASSERT (sim->n_processes < MAX_PROCESSES);
   memset (process, 0, sizeof *process);
   process->sim = sim;
   process->index = (int) sim->n_processes++;
   process->app = app;
   process->number = app ? (int) sim->n_apps++ : 0;
   memset (process->session, 'a' + process->index, sizeof process->session);
   process->speed = 1000;
   if (sim->clocks && !app) {
      process->speed = sim_between (sim, SLOWEST, FASTEST);
      process->shift = sim_between (sim, 0, 1000000000);
   }
   init_task (process, &process->worker, false);
   process->worker.wake = sim->now + delay;
   return process;
}

void
process_start (sim_t *sim, int64_t delay)
{
   process_t *process = add_process (sim, false, delay);

   process->wants_wait = sim_chance (sim, 2);
   sim_log (sim, "process %d starts%s", process->index,
            process->speed < 1000   ? ", with a slow clock"
            : process->speed > 1000 ? ", with a fast clock"
                                    : "");
}

int64_t
process_clock (const process_t *self, int64_t at)
{
   return self->shift + at * self->speed / 1000;
}

int64_t
process_lasts (const process_t *self, int64_t ms)
{
   return (ms * 1000 + self->speed - 1) / self->speed + (self->speed != 1000);
}

/* ---- what happens next ---- */

static int64_t
task_at (const task_t *task)
{
   if (!alive (task)) {
      return INT64_MAX;
   }
   if (task->process->dead) {
      return 0;
   }
   return task->wake < task->process->paused_until ? task->process->paused_until : task->wake;
}

/* Goes on to the next event; false where there is none. */
static bool
next (sim_t *sim, int64_t *misfortune_at)
{
   int64_t at = INT64_MAX;
   message_t *message = NULL;
   task_t *task = NULL;

   while (sim->n_messages && sim->messages[sim->n_messages - 1].stage == MSG_FREE) {
      sim->n_messages--;
   }
   for (size_t i = 0; i < sim->n_messages; i++) {
      if (sim->messages[i].stage != MSG_FREE && sim->messages[i].at < at) {
         message = &sim->messages[i];
         at = message->at;
      }
   }
   for (size_t i = 0; i < sim->n_processes; i++) {
      task_t *tasks[] = {&sim->processes[i].worker, &sim->processes[i].heart};

      for (size_t j = 0; j < 2; j++) {
         int64_t when = task_at (tasks[j]);

         if (when < at) {
            task = tasks[j];
            at = when;
            message = NULL;
         }
      }
   }
   if (*misfortune_at < at && at != INT64_MAX && *misfortune_at < sim->faults_until) {
      sim->now = *misfortune_at > sim->now ? *misfortune_at : sim->now;
      *misfortune_at += MISFORTUNE_EVERY;
      server_settle (&sim->server, sim->now);
      misfortune_server (sim);
      return true;
   }
   if (at == INT64_MAX) {
      return false;
   }
   sim->now = at > sim->now ? at : sim->now;
   server_settle (&sim->server, sim->now);
   if (message) {
      network_step (sim, message);
   } else if (task) {
      resume (task);
   }
   return true;
}

static bool
any_alive (const sim_t *sim)
{
   for (size_t i = 0; i < sim->n_processes; i++) {
      if (alive (&sim->processes[i].worker) || alive (&sim->processes[i].heart)) {
         return true;
      }
   }
   return false;
}

/* ---- one seed ---- */

static ecl_project_t *
project_of (const story_t *story)
{
   static struct {
      const story_t *story;
      ecl_project_t *project;
   } loaded[8];
   size_t i = 0;

   if (!story) {
      for (; i < 8; i++) {
         ecl_project_destroy (loaded[i].project);
         loaded[i].project = NULL;
         loaded[i].story = NULL;
      }
      return NULL;
   }
   while (loaded[i].story && loaded[i].story != story) {
      i++;
   }
   if (!loaded[i].story) {
      loaded[i].story = story;
      loaded[i].project = story->load ();
   }
   return loaded[i].project;
}

void
sim_cleanup (void)
{
   (void) project_of (NULL);
   engine_cleanup ();
}

static void
begin (sim_t *sim, const sim_options_t *options)
{
   static uint8_t data[STORY_DATA_SIZE] __attribute__ ((aligned (16)));
   int64_t start;

   memset (sim, 0, sizeof *sim);
   memset (data, 0, sizeof data);
   sim->data = data;
   sim->seed = options->seed;
   sim->chance = options->seed * 0xD1342543DE82EF95u + 1;
   sim->mutation = options->mutation;
   sim->verbose = options->verbose;
   sim->story = options->story;
   sim->project = project_of (options->story);
   sim->works = ecl_project_works (sim->project, &sim->n_works);
   BSON_ASSERT (sim->n_works <= MAX_WORKS);
   sim->now = 1000;
   server_init (&sim->server);
   sim->clocks = sim->story->clocks && sim_chance (sim, 2);
   sim->kill_at = options->kill_at;
   sim->kill = options->kill;
   if (options->kill_at || sim->story->smooth || (sim->story->calm && sim_chance (sim, sim->story->calm))) {
      sim->trusting = sim->calm = true;
   } else {
      sim->faults_until = FAULTS_UNTIL;
      misfortune_choose (sim);
   }
   sim->story->setup (sim);
   /* Sometimes all at once. */
   start = !sim->kill_at && sim_chance (sim, 4) ? 5 : 1500;
   for (int64_t n = sim->story->processes ? sim->story->processes : sim_between (sim, 2, 3), i = 0; i < n; i++) {
      process_start (sim, sim->kill_at ? 1000 * i : sim_between (sim, 0, start));
   }
   for (int i = 0; i < sim->story->n_apps; i++) {
      add_process (sim, true, sim_between (sim, 0, 500));
   }
}

/* All fibers come to their end, and everything goes. */
static void
end (sim_t *sim)
{
   for (size_t i = 0; i < sim->n_processes; i++) {
      process_t *process = &sim->processes[i];
      task_t *tasks[] = {&process->worker, &process->heart};

      process->dead = true;
      process->ghost = process_clock (process, sim->now);
      for (size_t j = 0; j < 2; j++) {
         while (alive (tasks[j])) {
            resume (tasks[j]);
         }
         end_task (tasks[j]);
      }
      if (process->before) {
         bson_destroy (process->before);
      }
   }
   for (size_t i = 0; i < MAX_MESSAGES; i++) {
      if (sim->messages[i].stage != MSG_FREE) {
         message_free (&sim->messages[i]);
      }
   }
   server_cleanup (&sim->server);
}

bool
sim_run (const sim_options_t *options, sim_result_t *result)
{
   static sim_t sim; /* large; one at a time */
   int64_t misfortune_at = 1300;
   bool last = false;

   begin (&sim, options);
   while (!sim.wrong[0]) {
      sim.events++;
      if (!any_alive (&sim)) {
         if (last) {
            check_end (&sim);
            break;
         }
         /* One more, undisturbed: whatever happened, what is left can be done. */
         last = true;
         sim.faults_until = sim.now;
         process_start (&sim, 1);
      }
      if (!next (&sim, &misfortune_at)) {
         sim_wrong (&sim, "nothing happens any more, and processes wait");
      }
      check_holders (&sim);
      if (sim.now > LIMIT) {
         sim_wrong (&sim, "it does not come to its end");
      }
   }
   end (&sim);
   result->faults |= sim.faults;
   result->events += sim.events;
   result->writes = sim.writes;
   memcpy (result->wrong, sim.wrong, sizeof sim.wrong);
   return !sim.wrong[0];
}
