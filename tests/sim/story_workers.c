/* The story of workers: several processes work on one job that carries a collection of mixed versions to its target, in
 * small ranges and batches. Applications change documents, add and remove them anywhere between; some documents cannot
 * be carried over, until an application repairs them; and somebody pauses, resumes and cancels the job or sets its
 * rate. In every second seed the machines' clocks are fast or slow, and show other times. The properties are in
 * workers_check.c.
 */
#include "workers.h"

#include "backfill/survey.h"
#include "backfill/worker.h"

#define RANGE_DOCS 14

/* Documents a second that somebody sets; and for how long it is looked how many there are once that is taken back. */
#define SET_RATE 4
#define FREE_MS 1500
#define LEAST_BYTES 30

#define POISON 34 /* and 98, and 162: the chain fails on them */

static const story_text_t files[] = {
   {"things/0001_full.yaml", "to: 1\nup:\n  - $set: {full: {$concat: [$name, \"!\"]}}\n  - $unset: name\n"},
   {"things/0002_tag.yaml", "to: 2\nup:\n  - $set: {tag: {$concat: [$full, \"?\"]}}\n"},
};

static ecl_project_t *
load (void)
{
   return story_from_texts (files, sizeof files / sizeof files[0]);
}

bson_t *
workers_id (int thing)
{
   char text[8];

   if (thing < NUMBERS) {
      return BCON_NEW ("_id", BCON_INT32 (thing));
   }
   snprintf (text, sizeof text, "s%d", (thing - NUMBERS) % 10);
   return BCON_NEW ("_id", BCON_UTF8 (text));
}

int
workers_thing (const ecl_value_t *id)
{
   return ecl_is_string (id) ? NUMBERS + (id->u.str[1] - '0') : (int) id->u.i64;
}

bool
workers_is_poison (const blob_t *document)
{
   ecl_value_t name = blob_get (document, "name");

   return name.type == BSON_TYPE_INT32;
}

static void
setup (sim_t *sim)
{
   for (int i = 0; i < THINGS; i++) {
      bson_t *document = workers_id (i);
      int version = (int) (sim_random (sim) % (TARGET + 1));

      if (i % 2) {
         bson_destroy (document);
         continue;
      }
      BSON_APPEND_INT32 (document, "seen", 0);
      if (i % 64 == POISON) {
         version = 0;
         BSON_APPEND_INT32 (document, "name", 5);
      } else if (version == 0) {
         BSON_APPEND_UTF8 (document, "name", "x");
      } else {
         BSON_APPEND_UTF8 (document, "full", "x!");
      }
      if (version == 2) {
         BSON_APPEND_UTF8 (document, "tag", "x!?");
      }
      if (version) {
         BSON_APPEND_INT32 (document, "schema_version", version);
      }
      server_put (&sim->server, "things", blob_of (document));
   }
}

/* ---- the application: of the first version ---- */

/* Whatever comes of it. Takes both. */
static void
send_about (process_t *self, bson_t *id, bson_t *command)
{
   bson_t reply;

   (void) app_send (self, command, &reply);
   bson_destroy (&reply);
   bson_destroy (command);
   bson_destroy (id);
}

static void
rename_thing (process_t *self, int thing, int turn)
{
   bson_t *id = workers_id (thing), *command;
   bson_iter_t iter;
   char name[16];

   snprintf (name, sizeof name, "n%d", turn);
   BSON_ASSERT (bson_iter_init_find (&iter, id, "_id"));
   command = BCON_NEW ("update", "things", "updates", "[", "{", "q", "{", "_id", BCON_ITER (&iter), "name", "{",
                       "$exists", BCON_BOOL (true), "}", "}", "u", "[", "{", "$set", "{", "name", BCON_UTF8 (name), "}",
                       "}", "]", "}", "]", "writeConcern", "{", "w", "majority", "}");
   send_about (self, id, command);
}

/* A field that no migration knows, where the document is there. */
static void
see_thing (process_t *self, int thing, int turn)
{
   bson_t *id = workers_id (thing),
          *command =
             BCON_NEW ("update", "things", "updates", "[", "{", "q", BCON_DOCUMENT (id), "u", "[", "{", "$set", "{",
                       "seen", BCON_INT32 (turn), "}", "}", "]", "}", "]", "writeConcern", "{", "w", "majority", "}");

   send_about (self, id, command);
}

static void
remove_thing (process_t *self, int thing)
{
   bson_t *id = workers_id (thing),
          *command = BCON_NEW ("delete", "things", "deletes", "[", "{", "q", BCON_DOCUMENT (id), "limit",
                               BCON_INT32 (1), "}", "]", "writeConcern", "{", "w", "majority", "}");

   send_about (self, id, command);
}

static void
use (process_t *self)
{
   sim_t *sim = self->sim;

   for (int i = 1; i <= 12 && !self->dead; i++) {
      int thing = (int) (sim_random (sim) % THINGS) / 2 * 2;

      app_wait (self, 20, 700);
      if (self->dead) {
         return;
      }
      switch (sim_random (sim) % 8) {
      case 0:
      case 1:
         rename_thing (self, thing, i);
         break;
      case 2:
      case 3:
         see_thing (self, thing, i);
         break;
      case 4:
         remove_thing (self, thing);
         break;
      case 5:
         rename_thing (self, thing % 192 / 64 * 64 + POISON, i); /* which repairs it */
         break;
      default:
         /* A new one, in the shape that it knows; set again it stays as it is by then. */
         app_set (self, "things", workers_id (thing + 1),
                  BCON_NEW ("name", "{", "$cond", "[", "{", "$eq", "[", "{", "$type", BCON_UTF8 ("$schema_version"),
                            "}", BCON_UTF8 ("missing"), "]", "}", BCON_UTF8 ("y"), BCON_UTF8 ("$name"), "]", "}",
                            "seen", BCON_INT32 (i)));
      }
   }
}

/* ---- somebody at `eclose backfill pause`, `resume`, `set`, `cancel` ---- */

/* Asks until it is known that it took effect. False where the job is over, or the simulation. */
static bool
ask (process_t *self, const ecl_job_t *job, ecl_job_wanted_t wanted)
{
   bson_error_t ignored;
   bool took;

   while (!self->dead && !ecl_job_ask (&self->worker.world, DATABASE, job->id, wanted, &took, &ignored)) {
   }
   return !self->dead;
}

/* In documents or in bytes, of which none has fewer than LEAST_BYTES. */
static bool
set_rate (process_t *self, const ecl_job_t *job, double rate)
{
   bool bytes = sim_chance (self->sim, 2);
   ecl_job_settings_t settings = {.max_documents = bytes ? 0 : rate, .max_bytes = bytes ? rate * LEAST_BYTES : 0};
   bson_error_t ignored;
   bool took;

   while (!self->dead &&
          !ecl_job_change (&self->worker.world, DATABASE, job->id, &settings, ECL_SET_MAX_RATE, &took, &ignored)) {
   }
   return !self->dead;
}

static wish_t *
wish (process_t *self, const ecl_job_t *job)
{
   data_t *data = self->sim->data;

   data->wish = (wish_t){.at = self->sim->now};
   memcpy (data->wish.job, job->id, sizeof data->wish.job);
   for (size_t i = 0; i < MAX_PROCESSES; i++) {
      data->mates[i].measured = 0;
   }
   return &data->wish;
}

static void
no_wish (process_t *self)
{
   ((data_t *) self->sim->data)->wish = (wish_t){.at = 0};
}

/* Whether anybody works on it. */
static bool
is_worked_on (const sim_t *sim, const ecl_job_t *job)
{
   const data_t *data = sim->data;

   for (size_t i = 0; i < sim->n_processes; i++) {
      if (memcmp (data->mates[i].job, job->id, sizeof job->id) == 0 && !sim->processes[i].dead) {
         return true;
      }
   }
   return false;
}

static bool
goes_on (const sim_t *sim, const ecl_job_t *job, int64_t since)
{
   return ((const data_t *) sim->data)->begun >= since || !is_worked_on (sim, job);
}

/* By the slowest of clocks. */
static int64_t
obeys (const sim_t *sim)
{
   return sim->clocks ? OBEYS_MS * 1000 / SLOWEST + 1 : OBEYS_MS;
}

/* Whichever job there is by then: where the plan was lost that is made again, it is paused, too. */
static bool
resume (process_t *self, ecl_job_t *job)
{
   ecl_world_t *world = &self->worker.world;
   bool found = true, took = false;
   bson_error_t ignored;

   while (!self->dead && !took && (found || ecl_job_is_given_up (job))) {
      app_wait (self, 10, 100);
      if (ecl_job_latest (world, DATABASE, "things", true, job, &found, &ignored) && found) {
         took = ecl_job_ask (world, DATABASE, job->id, ECL_WANTED_RUNNING, &took, &ignored) && took;
      } else if (!ecl_job_latest (world, DATABASE, "things", false, job, &found, &ignored)) {
         found = true; /* nobody knows */
      } else {
         found = found && ecl_job_is_live (job->state);
      }
   }
   return took;
}

static void
pause_and_resume (process_t *self, ecl_job_t *job)
{
   sim_t *sim = self->sim;
   int64_t asked;

   if (!ask (self, job, ECL_WANTED_PAUSED)) {
      return;
   }
   wish (self, job)->paused = true;
   sim_log (sim, "somebody paused the job");
   app_wait (self, OBEYS_MS, 3 * OBEYS_MS);
   no_wish (self);
   if (!resume (self, job)) {
      return;
   }
   asked = sim->now;
   sim_log (sim, "somebody resumed the job");
   sim_reached (sim, FAULT_STOPPED);
   app_wait (self, obeys (sim), obeys (sim));
   if (sim->calm && !self->dead && !sim->kill_at && !goes_on (sim, job, asked)) {
      sim_wrong (sim, "%d ms after the job was resumed nobody works on it", OBEYS_MS);
   }
}

/* The rate was taken back: soon its workers go on as fast as they can, unless all ranges were gone through by then. */
static void
check_set_free (process_t *self, const ecl_job_t *job)
{
   sim_t *sim = self->sim;
   const data_t *data = sim->data;
   int64_t read;

   app_wait (self, obeys (sim), obeys (sim));
   read = data->read;
   app_wait (self, FREE_MS, FREE_MS);
   if (sim->calm && !self->dead && !sim->kill_at && is_worked_on (sim, job) && !data->swept &&
       memcmp (data->job, job->id, sizeof data->job) == 0 && data->read - read <= 2 * SET_RATE * FREE_MS / 1000) {
      sim_wrong (sim, "%d ms after the rate was taken back %d documents were read in %d ms", OBEYS_MS,
                 (int) (data->read - read), FREE_MS);
   }
}

static void
limit (process_t *self, const ecl_job_t *job)
{
   sim_t *sim = self->sim;

   if (!set_rate (self, job, SET_RATE)) {
      return;
   }
   wish (self, job)->rate = SET_RATE;
   sim_log (sim, "somebody set the rate");
   sim_reached (sim, FAULT_RATE);
   app_wait (self, 2 * OBEYS_MS, 4 * OBEYS_MS);
   no_wish (self);
   if (set_rate (self, job, 0)) {
      check_set_free (self, job);
   }
}

static void
cancel (process_t *self, const ecl_job_t *job)
{
   if (ask (self, job, ECL_WANTED_CANCELLED)) {
      wish (self, job)->cancelled = true;
      sim_log (self->sim, "somebody cancelled the job");
      sim_reached (self->sim, FAULT_CANCELLED);
      app_wait (self, 2 * OBEYS_MS, 3 * OBEYS_MS);
   }
}

static void
govern (process_t *self)
{
   ecl_job_t job;
   bson_error_t ignored;
   bool found;

   for (int i = 0; i < 2 && !self->dead; i++) {
      app_wait (self, 200, 4000);
      if (self->dead || !ecl_job_latest (&self->worker.world, DATABASE, "things", true, &job, &found, &ignored) ||
          !found || job.state != ECL_JOB_RUNNING) {
         continue;
      }
      switch (sim_random (self->sim) % 6) {
      case 0:
         cancel (self, &job);
         break;
      case 1:
      case 2:
         limit (self, &job);
         break;
      default:
         pause_and_resume (self, &job);
      }
   }
   no_wish (self);
}

static void
app (process_t *self)
{
   if (self->number < 2) {
      use (self);
   } else if (sim_chance (self->sim, 2)) {
      govern (self);
   }
}

/* ---- the processes ---- */

static bool
work (process_t *process, const ecl_site_t *site, bson_error_t *error)
{
   sim_t *sim = process->sim;
   const ecl_chain_t *chain = ecl_project_chain (sim->project, "things");
   ecl_mode_t mode = sim->seed / 4 % 2 ? ECL_MODE_CLIENT : ECL_MODE_PUSHDOWN;
   ecl_connector_t connector = {.context = process};
   ecl_task_t task = {.chain = chain,
                      .target = chain->n_steps,
                      .mode = mode,
                      .form = sim->seed / 8 % 2 ? ECL_GUARD_IN_FILTER : ECL_GUARD_IN_PIPELINE,
                      .lease_time = LEASE_TIME,
                      .lease_skew = sim->mutation == MUTATE_WAIT ? 0 : LEASE_SKEW,
                      .batch = 3,
                      .connector = sim->seed / 16 % 4 ? &connector : NULL};
   data_t *data = sim->data;
   mate_t *mate = &data->mates[process->index];
   int64_t began = sim->now;
   const ecl_job_lease_t lease = {.who = site->who, .time = LEASE_TIME, .skew = task.lease_skew};
   ecl_worker_state_t state;
   ecl_start_t start;
   ecl_job_t job;
   bool good, found = false;

   /* Every second one comes to work on what there is, as `eclose backfill work` does. */
   if (process->index % 2 && !ecl_job_await (site->world, DATABASE, "things", &lease, &job, &found, error)) {
      return false;
   }
   if (found) {
      memcpy (task.job, job.id, sizeof task.job);
   }
   start = found ? ECL_START_JOINED : story_start_job (site, NULL, RANGE_DOCS, &task, error);
   if (start == ECL_START_FAILED || start == ECL_START_NOTHING) {
      return start == ECL_START_NOTHING;
   }
   sim_log (sim, "process %d %s the job", process->index, start == ECL_START_NEW ? "makes" : "joins");
   if (start == ECL_START_JOINED && data->planned > began) {
      sim_reached (sim, FAULT_JOINED);
   }
   data->slow = data->slow || process->speed < 1000;
   memset (mate, 0, sizeof *mate);
   memcpy (mate->job, task.job, sizeof mate->job);
   good = ecl_worker_run (&task, site, (uint32_t) process->index, &state, error) == ECL_WORKER_DONE;
   memset (mate, 0, sizeof *mate);
   if (good && data->slow) {
      sim_reached (sim, FAULT_SLOW_CLOCK);
   }
   return good;
}

static bool
program (process_t *process)
{
   ecl_site_t site = story_site (process);
   bson_error_t error = {0};
   bool good = work (process, &site, &error);

   if (!good) {
      sim_log (process->sim, "process %d: %s", process->index, error.message);
      check_said (process, &error);
   }
   ecl_upgrades_destroy (site.upgrades);
   return good;
}

const story_t story_workers = {.name = "workers",
                               .kind = WORKS,
                               .clocks = true,
                               .calm = 5,
                               .kills = 4,
                               .load = load,
                               .setup = setup,
                               .program = program,
                               .n_apps = 3,
                               .app = app,
                               .sent = workers_sent,
                               .answered = workers_answered,
                               .executed = workers_executed,
                               .wrote = workers_wrote,
                               .end = workers_end};
