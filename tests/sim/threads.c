/* Threads, for ThreadSanitizer: a pool of workers, each with the sender that writes what it computed, on one job;
 * threads that count, and threads that read a collection through. And a pool that gets no more connections.
 * The simulator's server under a lock stands in for the driver, which is not instrumented. Real threads and real time:
 * what happens in which order is nobody's choice here. */
#include "sim.h"

#include "backfill/survey.h"
#include "backfill/walk.h"
#include "backfill/worker_pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define DOCUMENTS 600
#define ALONE 200 /* of them, by a pool of which one worker has a connection */
#define RANGE_DOCS 60
#define WORKERS 3
#define BATCH 8
#define TARGET 1

/* One connection. */
typedef struct {
   ecl_world_t world;
   process_t *process;
   unsigned writes; /* of the collection */
} link_t;

static struct {
   sim_t sim; /* of which only the server is used */
   pthread_mutex_t lock;
   atomic_uint connections, senders, told, noted;
   unsigned written; /* documents, under the lock */
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const story_t story = {.name = "threads"};

/* ---- what the server wants of a simulation ---- */

void
sim_log (sim_t *self, const char *format, ...)
{
   (void) self;
   (void) format;
}

bool
misfortune_now (sim_t *sim, int rate)
{
   (void) sim;
   (void) rate;
   return false;
}

bool
command_writes (const bson_t *command, ecl_txn_t txn)
{
   (void) command;
   (void) txn;
   return true;
}

void
check_effect (sim_t *sim, const sender_t *sender)
{
   (void) sim;
   (void) sender;
}

void
check_write (sim_t *sim, const sender_t *sender, const char *collection, const blob_t *before, const blob_t *after)
{
   (void) sim;
   (void) sender;
   if (strcmp (collection, "things") == 0) {
      BSON_ASSERT (before && after && blob_number (before, "schema_version") == 0);
      BSON_ASSERT (blob_number (after, "b") == blob_number (before, "a") + 1);
      all.written++;
   }
}

/* ---- the world ---- */

static int64_t
world_now (ecl_world_t *self)
{
   struct timespec t;

   (void) self;
   clock_gettime (CLOCK_MONOTONIC, &t);
   return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t
world_random (ecl_world_t *self)
{
   static atomic_ullong last;

   (void) self;
   return (atomic_fetch_add (&last, 1) + 1) * 0x9E3779B97F4A7C15u;
}

static bool
world_wait (ecl_world_t *self, int64_t ms)
{
   struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

   (void) self;
   nanosleep (&t, NULL);
   return true;
}

static bool
world_cancelled (ecl_world_t *self)
{
   (void) self;
   return false;
}

static ecl_reply_t
world_run_command (ecl_world_t *self, const ecl_call_t *call, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   link_t *link = (link_t *) self;
   sender_t sender = {.process = link->process, .left = deadline - world_now (self), .heard = true};
   bson_iter_t iter;
   int32_t code;
   int64_t safe;
   bool done;

   sender.session[0] = (uint8_t) link->process->index;
   pthread_mutex_lock (&all.lock);
   sender.sent = sender.arrived = world_now (self);
   server_settle (&all.sim.server, sender.sent);
   done = server_execute (&all.sim.server, &all.sim, &sender, call->command, sender.sent, 1, reply, &code, &safe);
   pthread_mutex_unlock (&all.lock);
   BSON_ASSERT (done); /* there are no transactions */
   link->writes += bson_iter_init_find (&iter, call->command, "update") && BSON_ITER_HOLDS_UTF8 (&iter) &&
                   strcmp (bson_iter_utf8 (&iter, NULL), "things") == 0;
   (void) world_wait (self, 2); /* until the majority has it */
   if (code) {
      bson_set_error (error, 17, (uint32_t) code, "refused with code %d", code);
      return ECL_REPLY_REFUSED;
   }
   return ECL_REPLY_OK;
}

static ecl_world_t *
open_link (void *context, int32_t timeout, bson_error_t *error)
{
   link_t *self = bson_malloc0 (sizeof *self);
   unsigned number = atomic_fetch_add (&all.connections, 1);

   (void) context;
   (void) timeout;
   (void) error;
   BSON_ASSERT (number < MAX_PROCESSES);
   self->process = &all.sim.processes[number];
   self->process->index = (int) number;
   self->world = (ecl_world_t){.now = world_now,
                               .random = world_random,
                               .wait = world_wait,
                               .cancelled = world_cancelled,
                               .run_command = world_run_command};
   return &self->world;
}

static ecl_world_t *
open_none (void *context, int32_t timeout, bson_error_t *error)
{
   (void) context;
   (void) timeout;
   bson_set_error (error, 1, 1, "no connection is to be had");
   return NULL;
}

static void
close_link (void *context, ecl_world_t *world)
{
   link_t *self = (link_t *) world;

   (void) context;
   atomic_fetch_add (&all.senders, self->writes > 0);
   bson_free (self);
}

/* ---- the job ---- */

static ecl_project_t *
load (void)
{
   static const char text[] = "to: 1\nup:\n  - $set: {b: {$add: [$a, 1]}}\n";
   ecl_project_options_t options = {.database = DATABASE};
   ecl_project_t *project = ecl_project_new (&options);
   ecl_text_source_t source = {.name = "things/0001_b.yaml", .bytes = text, .len = strlen (text)};
   ecl_diags_t diags;

   ecl_diags_init (&diags);
   BSON_ASSERT (ecl_project_add (project, source.name, &source, &diags) && ecl_project_link (project, &diags));
   ecl_diags_cleanup (&diags);
   return project;
}

static void
progress (void *context, const ecl_job_progress_t *what)
{
   (void) context;
   atomic_fetch_add (&all.told, what->counts.changed > 0);
}

/* What is said of workers that have no connection. */
static void
note (void *context, const char *message)
{
   (void) context;
   BSON_ASSERT (strstr (message, " of 3 workers ended early: no connection is to be had"));
   atomic_fetch_add (&all.noted, 1);
}

static void
work (const ecl_site_t *site, const ecl_connector_t *connector, int64_t documents)
{
   const ecl_chain_t *chain = ecl_project_chain (site->project, "things");
   ecl_worker_state_t state;
   bson_error_t error = {0};
   ecl_worker_pool_listener_t listener = {.progress = progress, .note = note};
   bson_t candidates;
   ecl_job_t job;
   ecl_job_start_t options = {.world = site->world,
                              .database = DATABASE,
                              .collection = "things",
                              .chain = chain,
                              .target = TARGET,
                              .to = "1",
                              .mode = "client",
                              .why = "",
                              .candidates = &candidates,
                              .range_docs = RANGE_DOCS,
                              .workers = WORKERS,
                              .who = site->who,
                              .lease_time = ECL_LEASE_TIME,
                              .lease_skew = ECL_LEASE_SKEW};
   ecl_task_t task = {.chain = chain,
                      .target = TARGET,
                      .mode = ECL_MODE_CLIENT,
                      .form = ECL_GUARD_IN_PIPELINE,
                      .lease_time = ECL_LEASE_TIME,
                      .lease_skew = ECL_LEASE_SKEW,
                      .batch = BATCH,
                      .connector = connector};

   ecl_survey_candidates (chain, TARGET, false, &candidates);
   BSON_ASSERT (ecl_job_start (&options, &job, &error) == ECL_START_NEW);
   bson_destroy (&candidates);
   memcpy (task.job, job.id, sizeof task.job);
   if (!ecl_worker_pool_run (site, &task, NULL, WORKERS, &job, &listener, &state, &error)) {
      fprintf (stderr, "%s\n", error.message);
      abort ();
   }
   BSON_ASSERT (state.counts.changed == documents && state.counts.conflicts == 0);
}

/* ---- looking ---- */

static void
counted (void *context, int64_t done, int64_t total)
{
   int64_t *last = context;

   BSON_ASSERT (done >= *last && done <= total);
   *last = done;
}

static void
count (const ecl_site_t *site, const ecl_connector_t *connector)
{
   bson_t *filter = BCON_NEW ("schema_version", BCON_INT32 (TARGET));
   const bson_t *filters[] = {filter};
   int64_t n, done = 0;
   ecl_tally_options_t options = {.database = DATABASE,
                                  .collection = "things",
                                  .filters = filters,
                                  .n_filters = 1,
                                  .look = {RANGE_DOCS, WORKERS, connector},
                                  .progress = counted,
                                  .context = &done};
   bson_error_t error;

   BSON_ASSERT (ecl_tally (site->world, &options, &n, &error) == ECL_TALLY_ALL);
   BSON_ASSERT (n == DOCUMENTS && done > 0);
   done = 0;
   options.enough = 1;
   BSON_ASSERT (ecl_tally (site->world, &options, &n, &error) == ECL_TALLY_ENOUGH);
   BSON_ASSERT (n > 0 && n < DOCUMENTS);
   bson_destroy (filter);
}

typedef struct {
   ecl_walk_t first;
   atomic_uint times[DOCUMENTS]; /* that each was read */
} reading_t;

static void
read_through (void *context, uint32_t number, ecl_world_t *world, const bson_error_t *why)
{
   reading_t *self = context;
   const ecl_value_t *document;
   bson_error_t error;
   ecl_walk_t own, *walk = number ? &own : &self->first;

   (void) why;
   if (number) {
      ecl_walk_share (&own, &self->first, world);
   }
   for (;;) {
      ecl_value_t id;

      BSON_ASSERT (ecl_walk_next (walk, &document, &error));
      if (!document) {
         break;
      }
      id = ecl_document_get (document, "_id", 3);
      atomic_fetch_add (&self->times[id.u.i64], 1);
   }
   if (number) {
      ecl_walk_cleanup (&own);
   }
}

static void
read_all (const ecl_site_t *site, const ecl_connector_t *connector)
{
   static reading_t reading;
   bson_error_t error;

   BSON_ASSERT (ecl_walk_init (&reading.first, site->world, DATABASE, "things", 0, RANGE_DOCS, WORKERS, &error));
   BSON_ASSERT (reading.first.n >= WORKERS);
   ecl_parallel_run (site->world, connector, WORKERS, read_through, &reading);
   ecl_walk_cleanup (&reading.first);
   for (int i = 0; i < DOCUMENTS; i++) {
      BSON_ASSERT (reading.times[i] == 1);
   }
}

static void
fill (int first, int n)
{
   for (int i = first; i < first + n; i++) {
      server_put (&all.sim.server, "things", blob_of (BCON_NEW ("_id", BCON_INT32 (i), "a", BCON_INT32 (i))));
   }
}

int
main (void)
{
   ecl_connector_t connector = {.connect = open_link, .disconnect = close_link};
   ecl_connector_t none = {.connect = open_none, .disconnect = close_link};
   ecl_project_t *project = load ();
   ecl_site_t site = {.world = open_link (NULL, 0, NULL),
                      .project = project,
                      .upgrades = ecl_upgrades_new (project),
                      .database = DATABASE,
                      .who = {.host = "here", .pid = 1}};

   all.sim.story = &story;
   server_init (&all.sim.server);
   fill (0, ALONE);
   work (&site, &none, ALONE);
   BSON_ASSERT (all.written == ALONE && all.told > 0 && all.connections == 1);
   BSON_ASSERT (all.noted > 0 && all.noted < WORKERS);
   fill (ALONE, DOCUMENTS - ALONE);
   work (&site, &connector, DOCUMENTS - ALONE);
   BSON_ASSERT (all.written == DOCUMENTS);
   BSON_ASSERT (all.connections == 2 * WORKERS);
   count (&site, &connector);
   read_all (&site, &connector);
   BSON_ASSERT (all.connections == 2 * WORKERS + 3 * (WORKERS - 1));
   close_link (NULL, site.world);
   printf ("%u connections, of which %u wrote\n", all.connections, all.senders);
   BSON_ASSERT (all.senders > 1 && all.senders <= 1 + WORKERS); /* who is alone writes what it reads */
   ecl_upgrades_destroy (site.upgrades);
   server_cleanup (&all.sim.server);
   engine_cleanup ();
   ecl_project_destroy (project);
   return 0;
}
