/* The story of workers: several processes work on one job that carries a collection of mixed versions to its target, in
 * small ranges and batches, while an application changes documents and adds new ones anywhere between.
 *
 *    each write of a worker makes of the document as it is then just what the chain makes of it: nothing of the
 *    application's is lost
 *    a range's checkpoint never goes back, and where no primary changed all that is before it is at the target
 *    a job ends as done only when every document that was there when its sweep began is at the target
 *    at the end every document is
 */
#include "sim.h"

#include "run/survey.h"
#include "run/worker.h"

#define NUMBERS 200 /* every second one is there at first */
#define STRINGS 10
#define RANGE_DOCS 14
#define TARGET 2

typedef struct {
   uint32_t born[NUMBERS + STRINGS];    /* which event it was when the document was inserted; 0: it was there */
   uint32_t touched[NUMBERS + STRINGS]; /* likewise: when the application changed it last */
   uint32_t started, swept;             /* of the live job */
} data_t;

static const struct {
   const char *path, *text;
} files[] = {
   {"things/0001_full.yaml", "to: 1\nup:\n  - $set: {full: {$concat: [$name, \"!\"]}}\n  - $unset: name\n"},
   {"things/0002_tag.yaml", "to: 2\nup:\n  - $set: {tag: {$concat: [$full, \"?\"]}}\n"},
};

static ecl_project_t *
load (void)
{
   ecl_project_options_t options = {.database = DATABASE};
   ecl_project_t *project = ecl_project_new (&options);
   ecl_diags_t diags;
   bool good = true;

   ecl_diags_init (&diags);
   for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
      ecl_text_source_t source = {.name = files[i].path, .bytes = files[i].text, .len = strlen (files[i].text)};

      good = ecl_project_add (project, files[i].path, &source, &diags) && good;
   }
   if (!(ecl_project_link (project, &diags) && good)) {
      fprintf (stderr, "sim: the migrations of the things cannot be read\n");
      abort ();
   }
   ecl_diags_cleanup (&diags);
   return project;
}

/* {_id} of a document by its number here. */
static bson_t *
id_of (int thing)
{
   char text[8];

   if (thing < NUMBERS) {
      return BCON_NEW ("_id", BCON_INT32 (thing));
   }
   snprintf (text, sizeof text, "s%d", (thing - NUMBERS) % 10);
   return BCON_NEW ("_id", BCON_UTF8 (text));
}

static int
thing_of (const ecl_value_t *id)
{
   return ecl_is_string (id) ? NUMBERS + (id->u.str[1] - '0') : (int) id->u.i64;
}

static void
setup (sim_t *sim)
{
   for (int i = 0; i < NUMBERS + STRINGS; i++) {
      bson_t *document = id_of (i);
      int version = (int) (sim_random (sim) % (TARGET + 1));

      if (i % 2) {
         bson_destroy (document);
         continue;
      }
      BSON_APPEND_INT32 (document, "seen", 0);
      if (version == 0) {
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

static void
rename_thing (process_t *self, int thing, int turn)
{
   bson_t *id = id_of (thing), *command, reply;
   bson_iter_t iter;
   char name[8];

   snprintf (name, sizeof name, "n%d", turn);
   BSON_ASSERT (bson_iter_init_find (&iter, id, "_id"));
   command = BCON_NEW ("update", "things", "updates", "[", "{", "q", "{", "_id", BCON_ITER (&iter), "name", "{",
                       "$exists", BCON_BOOL (true), "}", "}", "u", "[", "{", "$set", "{", "name", BCON_UTF8 (name), "}",
                       "}", "]", "}", "]", "writeConcern", "{", "w", "majority", "}");
   (void) app_send (self, command, &reply);
   bson_destroy (&reply);
   bson_destroy (command);
   bson_destroy (id);
}

static void
app (process_t *self)
{
   sim_t *sim = self->sim;

   for (int i = 1; i <= 12 && !self->dead; i++) {
      int thing = (int) (sim_random (sim) % (NUMBERS + STRINGS)) / 2 * 2;

      app_wait (self, 20, 700);
      if (self->dead) {
         return;
      }
      switch (sim_random (sim) % 3) {
      case 0:
         rename_thing (self, thing, i);
         break;
      case 1:
         app_set (self, "things", id_of (thing), BCON_NEW ("seen", BCON_INT32 (i)));
         break;
      default:
         /* A new one, in the shape that it knows; set again it stays as it is by then. */
         app_set (self, "things", id_of (thing + 1),
                  BCON_NEW ("name", "{", "$cond", "[", "{", "$eq", "[", "{", "$type", BCON_UTF8 ("$schema_version"),
                            "}", BCON_UTF8 ("missing"), "]", "}", BCON_UTF8 ("y"), BCON_UTF8 ("$name"), "]", "}",
                            "seen", BCON_INT32 (i)));
      }
   }
}

/* ---- the processes ---- */

static bool
work (process_t *process, const ecl_site_t *site, bson_error_t *error)
{
   sim_t *sim = process->sim;
   const ecl_chain_t *chain = ecl_project_chain (sim->project, "things");
   ecl_mode_t mode = sim->seed / 4 % 2 ? ECL_MODE_CLIENT : ECL_MODE_PUSHDOWN;
   bson_t candidates;
   ecl_job_start_t options = {.world = site->world,
                              .database = DATABASE,
                              .collection = "things",
                              .chain = chain,
                              .target = chain->n_steps,
                              .to = "2",
                              .mode = mode == ECL_MODE_CLIENT ? "client" : "pushdown",
                              .why = "",
                              .candidates = &candidates,
                              .range_docs = RANGE_DOCS,
                              .workers = 1,
                              .who = site->who,
                              .lease_time = LEASE_TIME,
                              .lease_skew = sim->mutation == MUTATE_WAIT ? 0 : LEASE_SKEW};
   ecl_task_t task = {.chain = chain,
                      .target = chain->n_steps,
                      .mode = mode,
                      .form = sim->seed / 8 % 2 ? ECL_GUARD_IN_FILTER : ECL_GUARD_IN_PIPELINE,
                      .lease_time = LEASE_TIME,
                      .lease_skew = options.lease_skew,
                      .batch = 3};
   ecl_worker_state_t state;
   ecl_start_t start;
   ecl_job_t job;

   ecl_survey_candidates (chain, chain->n_steps, false, &candidates);
   start = ecl_job_start (&options, &job, error);
   bson_destroy (&candidates);
   if (start == ECL_START_FAILED || start == ECL_START_NOTHING) {
      return start == ECL_START_NOTHING;
   }
   sim_log (sim, "process %d %s the job", process->index, start == ECL_START_NEW ? "makes" : "joins");
   memcpy (task.job, job.id, sizeof task.job);
   return ecl_worker_run (&task, site, (uint32_t) process->index, &state, error) == ECL_WORKER_DONE;
}

static bool
program (process_t *process)
{
   ecl_site_t site = {.world = &process->worker.world,
                      .project = process->sim->project,
                      .upgrades = ecl_upgrades_new (process->sim->project),
                      .database = DATABASE,
                      .server = {.wire = 21, .pipelines = true, .transactions = true},
                      .who = {.host = "sim", .pid = process->index}};
   bson_error_t error = {0};
   bool good = work (process, &site, &error);

   if (!good) {
      sim_log (process->sim, "process %d: %s", process->index, error.message);
   }
   ecl_upgrades_destroy (site.upgrades);
   return good;
}

/* ---- properties ---- */

static bool
is_text (const blob_t *document, const char *field, const char *wanted, const char *end)
{
   char text[32];

   snprintf (text, sizeof text, "%s%s", wanted, end);
   return strcmp (blob_text (document, field), text) == 0;
}

static bool
is_at_target (const blob_t *document)
{
   return blob_number (document, "schema_version") == TARGET;
}

static void
check_carried (sim_t *sim, const blob_t *before, const blob_t *after)
{
   int64_t from = blob_number (before, "schema_version");
   ecl_value_t name = blob_get (after, "name"), was = blob_get (before, "_id");

   if (!before || !after) {
      sim_wrong (sim, "a worker inserted or removed a document");
      return;
   }
   if (!is_at_target (after) || from >= TARGET) {
      sim_wrong (sim, "thing %d went from version %" PRId64 " to %" PRId64, thing_of (&was), from,
                 blob_number (after, "schema_version"));
   }
   if (blob_number (after, "seen") != blob_number (before, "seen") || !ecl_is_missing (&name) ||
       !is_text (after, "full", blob_text (before, from ? "full" : "name"), from ? "" : "!") ||
       !is_text (after, "tag", blob_text (after, "full"), "?")) {
      sim_wrong (sim, "thing %d is not what the chain makes of what it was", thing_of (&was));
   }
}

/* All documents of a range up to its checkpoint, but those that the application changed since the job began. What the
 * primary has is looked at: the checkpoint stands behind it in the oplog, so it becomes safe no sooner. What another
 * primary has lost the sweep finds. */
static void
check_checkpoint (sim_t *sim, const ecl_chunk_row_t *row)
{
   const data_t *data = sim->data;
   const collection_t *things = server_collection (&sim->server, "things");
   ecl_value_t filter;
   bson_t all;

   ecl_chunk_filter (&row->range, &(ecl_value_t){.type = ECL_MISSING}, &all);
   filter = ecl_raw_document (bson_get_data (&all), all.len);
   for (size_t i = 0; i < things->n; i++) {
      const slot_t *slot = things->slots[i];
      int thing = thing_of (&slot->id);

      if (slot->current && !is_at_target (slot->current) && ecl_compare (&slot->id, &row->after) <= 0 &&
          data->born[thing] < data->started && data->touched[thing] < data->started &&
          engine_matches (&filter, slot->current, sim->now)) {
         sim_wrong (sim, "range %d has its checkpoint behind thing %d, which is not at the target", row->n, thing);
      }
   }
   bson_destroy (&all);
}

static void
check_chunk (sim_t *sim, const blob_t *before, const blob_t *after)
{
   ecl_chunk_row_t was, is;
   bson_t old, new;
   bson_error_t error;

   if (!before || !after) {
      return;
   }
   BSON_ASSERT (bson_init_static (&old, before->bytes, before->len) &&
                bson_init_static (&new, after->bytes, after->len));
   if (!ecl_chunk_read (&old, &was, &error) || !ecl_chunk_read (&new, &is, &error)) {
      sim_wrong (sim, "a range cannot be read: %s", error.message);
      return;
   }
   sim_log (sim, "    range %d: %s, token %" PRId64, is.n, ecl_chunk_state_name (is.state),
            blob_number (after, "token"));
   if (is.state < was.state || blob_number (after, "token") < blob_number (before, "token")) {
      sim_wrong (sim, "range %d went back", is.n);
   }
   if (was.state == ECL_CHUNK_OPEN && is.state == ECL_CHUNK_OPEN && !ecl_is_missing (&was.after)) {
      if (ecl_is_missing (&is.after) || ecl_compare (&is.after, &was.after) < 0) {
         sim_wrong (sim, "the checkpoint of range %d went back", is.n);
      }
   }
   if (is.state == ECL_CHUNK_OPEN && !ecl_is_missing (&is.after) && !(sim->faults & 1u << FAULT_ROLLBACK)) {
      check_checkpoint (sim, &is);
   }
}

static void
check_job (sim_t *sim, const blob_t *before, const blob_t *after)
{
   data_t *data = sim->data;
   const collection_t *things = server_collection (&sim->server, "things");
   ecl_value_t swept = blob_get (after, "swept"), was = blob_get (before, "swept");

   sim_log (sim, "    job: %s", blob_text (after, "state"));
   if (!before) {
      data->started = sim->events;
   }
   if (!ecl_is_nullish (&swept) && ecl_is_nullish (&was)) {
      data->swept = sim->events;
   }
   if (strcmp (blob_text (after, "state"), "done") != 0 || strcmp (blob_text (before, "state"), "done") == 0) {
      return;
   }
   for (size_t i = 0; i < things->n; i++) {
      const slot_t *slot = things->slots[i];

      if (slot->majority && !is_at_target (slot->majority) && data->born[thing_of (&slot->id)] < data->swept) {
         sim_wrong (sim, "the job counts as done, and thing %d is not at the target", thing_of (&slot->id));
      }
   }
}

static void
wrote (sim_t *sim, const sender_t *sender, const char *collection, const blob_t *before, const blob_t *after)
{
   data_t *data = sim->data;

   if (strcmp (collection, "things") == 0) {
      ecl_value_t id = blob_get (after ? after : before, "_id");

      if (!sender->process->app) {
         check_carried (sim, before, after);
         return;
      }
      data->touched[thing_of (&id)] = sim->events;
      if (!before) {
         data->born[thing_of (&id)] = sim->events;
      }
   } else if (strcmp (collection, ECL_STORE_CHUNKS) == 0) {
      check_chunk (sim, before, after);
   } else if (strcmp (collection, ECL_STORE_JOBS) == 0) {
      check_job (sim, before, after);
   } else if (strcmp (collection, "eclose_quarantine") == 0) {
      sim_wrong (sim, "a document came to quarantine");
   }
}

static void
end (sim_t *sim)
{
   const collection_t *things = server_collection (&sim->server, "things");

   for (size_t i = 0; i < things->n; i++) {
      const blob_t *thing = things->slots[i]->majority;

      if (thing && (!is_at_target (thing) || !is_text (thing, "tag", blob_text (thing, "full"), "?"))) {
         sim_wrong (sim, "at the end thing %d is not at the target", thing_of (&things->slots[i]->id));
      }
   }
}

const story_t story_workers = {.name = "workers",
                               .load = load,
                               .setup = setup,
                               .program = program,
                               .n_apps = 2,
                               .app = app,
                               .wrote = wrote,
                               .end = end};
