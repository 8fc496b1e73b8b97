/* eclose_migrate(): a runner over the program's driver. See eclose/migrate.h. */
#include <eclose/migrate.h>

#include "api/api-private.h"
#include "api/driven.h"
#include "migrate/runner.h"
#include "run/pace.h"

typedef struct {
   const eclose_migrate_watch_t *watch;
   bson_t *migrations, *collections; /* arrays */
   uint32_t n_migrations, n_collections;
} migration_t;

/* ---- what is told ---- */

static void
tell (const migration_t *self, eclose_migrate_progress_t event)
{
   event.name = event.name ? event.name : "";
   event.text = event.text ? event.text : "";
   event.text_len = event.text_len ? event.text_len : strlen (event.text);
   if (self->watch && self->watch->progress) {
      self->watch->progress (self->watch->user_data, &event);
   }
}

static bool
is_cancelled (void *context)
{
   const eclose_migrate_watch_t *watch = ((migration_t *) context)->watch;

   return watch && watch->cancelled && watch->cancelled (watch->user_data);
}

static void
on_waiting (void *context, const ecl_lease_t *lease)
{
   char text[600];

   ecl_holder_describe (lease, text, sizeof text);
   tell (context, (eclose_migrate_progress_t){.event = ECLOSE_MIGRATE_WAITING, .text = text});
}

static void
on_late (void *context, const ecl_placed_t *placed)
{
   tell (context, (eclose_migrate_progress_t){.event = ECLOSE_MIGRATE_LATE, .name = placed->name});
}

static void
on_step (void *context, const ecl_migrate_event_t *event)
{
   if (event->ended) {
      return;
   }
   if (event->name) {
      tell (context, (eclose_migrate_progress_t){.event = ECLOSE_MIGRATE_STEP,
                                                 .name = event->work->name,
                                                 .text = event->name,
                                                 .step = event->step + 1,
                                                 .n_steps = event->n_steps,
                                                 .done = event->rows});
   } else {
      tell (context, (eclose_migrate_progress_t){
                        .event = ECLOSE_MIGRATE_BEGINS, .name = event->work->name, .text = event->work->description});
   }
}

static void
on_output (void *context, const char *bytes, size_t n)
{
   tell (context, (eclose_migrate_progress_t){.event = ECLOSE_MIGRATE_OUTPUT, .text = bytes, .text_len = n});
}

static void
append_begin (bson_t *array, uint32_t *n, bson_t *item)
{
   char buffer[16];
   const char *key;

   bson_uint32_to_string ((*n)++, &key, buffer, sizeof buffer);
   BSON_APPEND_DOCUMENT_BEGIN (array, key, item);
}

static void
on_ran (void *context, const ecl_placed_t *placed, bool down, int64_t ms)
{
   migration_t *self = context;
   bson_t item;

   (void) down; /* never */
   append_begin (self->migrations, &self->n_migrations, &item);
   BSON_APPEND_UTF8 (&item, "name", placed->name);
   BSON_APPEND_INT64 (&item, "ms", ms);
   bson_append_document_end (self->migrations, &item);
   tell (self, (eclose_migrate_progress_t){.event = ECLOSE_MIGRATE_ENDS, .name = placed->name, .ms = ms});
}

static void
on_progress (void *context, const ecl_carry_t *what, const ecl_job_progress_t *progress)
{
   tell (context, (eclose_migrate_progress_t){.event = ECLOSE_MIGRATE_COLLECTION,
                                              .name = what->chain->collection,
                                              .done = progress->done,
                                              .total = progress->total});
}

static void
on_carried (void *context, const ecl_carried_t *carried, const bson_error_t *error)
{
   const ecl_job_counts_t *counts = &carried->counts;
   const char *collection = carried->what.chain->collection;
   migration_t *self = context;
   bson_t item;

   append_begin (self->collections, &self->n_collections, &item);
   BSON_APPEND_UTF8 (&item, "collection", collection);
   BSON_APPEND_UTF8 (&item, "to", carried->to);
   if (carried->began) {
      BSON_APPEND_UTF8 (&item, "mode", ecl_mode_name (carried->mode));
      BSON_APPEND_UTF8 (&item, "why", carried->mode_why);
   }
   BSON_APPEND_INT64 (&item, "total", carried->total);
   BSON_APPEND_INT64 (&item, "changed", counts->changed);
   BSON_APPEND_INT64 (&item, "pushed", counts->pushed);
   BSON_APPEND_INT64 (&item, "conflicts", counts->conflicts);
   BSON_APPEND_INT64 (&item, "transactions", counts->transactions);
   BSON_APPEND_INT64 (&item, "quarantined", counts->quarantined);
   BSON_APPEND_INT64 (&item, "ms", carried->ms);
   if (error) {
      BSON_APPEND_UTF8 (&item, "error", error->message);
   }
   bson_append_document_end (self->collections, &item);
   tell (self, (eclose_migrate_progress_t){.event = ECLOSE_MIGRATE_CARRIED,
                                           .name = collection,
                                           .text = error ? error->message : "",
                                           .done = counts->changed,
                                           .total = carried->total,
                                           .ms = carried->ms});
}

/* ---- options ---- */

typedef struct {
   ecl_choice_t choice;
   ecl_mode_t mode;
   bool collections;
   int64_t time, skew;
   const char *release;
} wishes_t;

static bool
read_wishes (const bson_t *opts, wishes_t *out, bson_error_t *error)
{
   const char *mode = "auto";
   const ecl_opt_t list[] = {
      {"wait", ECL_OPT_WAIT, 0, &out->choice.wait},           {"mode", ECL_OPT_TEXT, 0, &mode},
      {"collections", ECL_OPT_BOOL, 0, &out->collections},    {"only", ECL_OPT_TEXT, 0, &out->choice.only},
      {"to_migration", ECL_OPT_TEXT, 0, &out->choice.last},   {"steps", ECL_OPT_NUMBER, 1, &out->choice.steps},
      {"strict_order", ECL_OPT_BOOL, 0, &out->choice.strict}, {"lease_time", ECL_OPT_NUMBER, 300, &out->time},
      {"max_clock_skew", ECL_OPT_NUMBER, 0, &out->skew},      {"release", ECL_OPT_TEXT, 0, &out->release},
   };

   *out = (wishes_t){.collections = true, .skew = -1};
   if (!ecl_opts_read (opts, list, sizeof list / sizeof *list, error)) {
      return false;
   }
   if (out->choice.only || out->choice.last || out->choice.steps) {
      out->collections = false;
   }
   for (out->mode = ECL_MODE_AUTO; out->mode <= ECL_MODE_CLIENT; out->mode++) {
      if (strcmp (mode, ecl_mode_name (out->mode)) == 0) {
         return true;
      }
   }
   return ecl_fail (error, ECL_DOMAIN_CLI, ECL_ERROR_INVALID,
                    "the option \"mode\": expected auto, pushdown or client, not \"%s\"", mode);
}

/* ---- the whole ---- */

/* What the program itself knows: an older one leaves alone what it only has from eclose_catalog. */
static size_t
own_target (const ecl_chain_t *chain)
{
   size_t index;

   BSON_ASSERT (ecl_chain_index (chain, ecl_api_own_target (chain), &index));
   return index;
}

static eclose_migrated_t
run (const wishes_t *wishes, const ecl_runner_options_t *options, bson_error_t *error)
{
   ecl_outcome_t outcome = ECL_OUTCOME_DONE;
   ecl_runner_t runner;
   size_t n;

   (void) ecl_project_works (options->site.project, &n);
   ecl_runner_init (&runner, options);
   if (n || !wishes->collections) {
      outcome =
         ecl_runner_read (&runner, error) ? ecl_runner_works (&runner, &wishes->choice, error) : ECL_OUTCOME_FAILED;
   }
   if (outcome == ECL_OUTCOME_DONE && wishes->collections) {
      outcome = ecl_runner_collections (&runner, wishes->mode, error);
   }
   ecl_runner_cleanup (&runner);
   return (eclose_migrated_t) outcome;
}

eclose_migrated_t
eclose_migrate (const eclose_project_t *project, const eclose_driver_t *driver, const char *database,
                const bson_t *opts, const eclose_migrate_watch_t *watch, bson_t *result, bson_error_t *error)
{
   bson_t migrations = BSON_INITIALIZER, collections = BSON_INITIALIZER;
   migration_t self = {.watch = watch, .migrations = &migrations, .collections = &collections};
   eclose_migrated_t outcome = ECLOSE_MIGRATE_FAILED;
   ecl_runner_options_t options = {
      .site = {.project = project->project, .upgrades = project->upgrades, .database = database},
      .connector = ecl_driven_connector (driver),
      .uri = driver->uri,
      .target = own_target,
      .listener = {.context = &self,
                   .waiting = on_waiting,
                   .late = on_late,
                   .step = on_step,
                   .output = on_output,
                   .ran = on_ran,
                   .progress = on_progress,
                   .carried = on_carried}};
   bson_error_t ignored;
   wishes_t wishes;
   ecl_me_t me;

   error = error ? error : &ignored;
   if (!project->loaded) {
      ecl_fail (error, ECL_DOMAIN_CLI, ECL_ERROR_INVALID, "the project is not loaded");
      outcome = ECLOSE_MIGRATE_USAGE;
      goto done;
   }
   if (!read_wishes (opts, &wishes, error)) {
      outcome = ECLOSE_MIGRATE_USAGE;
      goto done;
   }
   ecl_me_init (&me, wishes.release);
   options.site.who = me.who;
   /* Of jobs, too: whoever is at the same records must count as everybody does. */
   options.time = options.site.lease_time = wishes.time;
   options.skew = options.site.lease_skew = wishes.skew;
   ecl_pace_throttle (project->project, &options.throttle);
   ecl_pace_job (project->project, 0, &options.effort.settings);
   options.site.world = ecl_driven_new (driver, 0, is_cancelled, &self, error);
   if (options.site.world && ecl_server_ask (options.site.world, &options.site.server, error)) {
      outcome = run (&wishes, &options, error);
   }
   ecl_driven_destroy (options.site.world);

done:
   if (result) {
      bson_init (result);
      BSON_APPEND_ARRAY (result, "migrations", &migrations);
      BSON_APPEND_ARRAY (result, "collections", &collections);
   }
   bson_destroy (&migrations);
   bson_destroy (&collections);
   return outcome;
}
