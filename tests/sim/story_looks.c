/* The story of looks: one worker, and a collection of which nearly all is done, on a server that is slow to look
 * through it and does not keep to the time that a command is given. A look over the whole range lasts longer than the
 * claim on it, or than the client waits for an answer.
 *
 * The worker finds out over how many _ids it can look at a time, and comes to the end.
 */
#include "sim.h"

#include "backfill/survey.h"
#include "backfill/worker.h"

#define THINGS 500
#define TARGET 1

/* What a look takes for each document that it goes over, in ms. */
#define EACH 40

/* At most so long it may take: each look that fails costs some seconds, and those that fit about as long as one over
 * all of the collection, twice; windows that are small have their price. */
#define LASTS 240000

typedef struct {
   int64_t takes; /* the look that was executed last; 0: it was none */
   int looks;
} data_t;

_Static_assert(sizeof (data_t) <= STORY_DATA_SIZE, "the story's data fit");

/* Few are left, and far behind. */
static bool
is_left (int thing)
{
   return thing == 300 || thing == 301 || thing == THINGS - 1;
}

static void
setup (sim_t *sim)
{
   for (int i = 0; i < THINGS; i++) {
      bson_t *document = BCON_NEW ("_id", BCON_INT32 (i), "name", BCON_UTF8 ("x"));

      if (!is_left (i)) {
         BSON_APPEND_UTF8 (document, "full", "x!");
         BSON_APPEND_INT32 (document, "schema_version", TARGET);
      }
      server_put (&sim->server, "things", blob_of (document));
   }
}

/* Documents that lie between the bounds of a look's filter: its first part, where it has parts. */
static int64_t
between (const execution_t *run)
{
   ecl_value_t filter = command_get (run, "filter"), parts = ecl_document_get (&filter, "$and", 4), range;
   ecl_iter_t iter;
   int64_t n = 0;

   ecl_iter_init (&iter, &parts);
   if (!ecl_is_array (&parts) || !ecl_iter_item (&iter, &range)) {
      return (int64_t) run->collection->n;
   }
   for (size_t i = 0; i < run->collection->n; i++) {
      n += engine_matches (&range, run->collection->slots[i]->key, run->clock);
   }
   return n;
}

static void
executed (sim_t *sim, const execution_t *run)
{
   data_t *data = sim->data;
   ecl_value_t skip = command_get (run, "skip"), sort = command_get (run, "sort");

   data->takes = 0;
   if (strcmp (run->name, "find") == 0 && strcmp (run->collection->name, "things") == 0 && ecl_is_missing (&skip) &&
       ecl_is_document (&sort)) {
      data->takes = EACH * between (run);
      data->looks++;
      sim_log (sim, "    a look over %" PRId64 " documents", data->takes / EACH);
   }
}

static int64_t
takes (sim_t *sim, const sender_t *sender, const bson_t *reply)
{
   (void) sender;
   (void) reply;
   return ((const data_t *) sim->data)->takes;
}

static bool
work (process_t *process, const ecl_site_t *site, bson_error_t *error)
{
   sim_t *sim = process->sim;
   const ecl_chain_t *chain = ecl_project_chain (sim->project, "things");
   bool client = sim->seed % 2;
   /* A claim that is over before the client gives up, or one that outlasts many looks. */
   int64_t lease = sim->seed / 2 % 2 ? 2000 : 0;
   ecl_connector_t connector = {.context = process};
   ecl_task_t task = {.chain = chain,
                      .target = chain->n_steps,
                      .mode = client ? ECL_MODE_CLIENT : ECL_MODE_PUSHDOWN,
                      .form = ECL_GUARD_IN_FILTER,
                      .lease_time = lease,
                      .connector = sim->seed / 4 % 2 ? &connector : NULL};
   int64_t began = sim->now;
   ecl_worker_state_t state;
   ecl_start_t start;
   bool good;

   start = story_start_job (site, NULL, 2 * THINGS, &task, error);
   if (start == ECL_START_FAILED || start == ECL_START_NOTHING) {
      return start == ECL_START_NOTHING;
   }
   good = ecl_worker_run (&task, site, 0, &state, error) == ECL_WORKER_DONE;
   sim_log (sim, "%d looks, %" PRId64 " ms", ((const data_t *) sim->data)->looks, sim->now - began);
   if (good && sim->now - began > LASTS) {
      sim_wrong (sim, "the worker needed %" PRId64 " ms", sim->now - began);
   }
   return good;
}

static bool
program (process_t *process)
{
   return story_only_worker (process, work);
}

static void
end (sim_t *sim)
{
   story_check_things (sim, TARGET);
}

const story_t story_looks = {.name = "looks",
                             .kind = LOOKS,
                             .smooth = true,
                             .processes = 1,
                             .load = story_load_full,
                             .setup = setup,
                             .program = program,
                             .takes = takes,
                             .executed = executed,
                             .end = end};
