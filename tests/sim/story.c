/* What the stories share: projects from files, documents by their numbers, what a process of a backfill works with, and
 * what must hold of the collection that one worker carries. */
#include "sim.h"

#include "backfill/survey.h"
#include "project/folder.h"

ecl_project_t *
story_from_folder (const char *folder)
{
   ecl_folder_t options = {.folder = folder};
   ecl_project_t *project;
   ecl_diags_t diags;

   ecl_diags_init (&diags);
   if (!ecl_folder_load (&options, &project, &diags)) {
      fprintf (stderr, "sim: %s cannot be read\n", folder);
      abort ();
   }
   ecl_diags_cleanup (&diags);
   return project;
}

ecl_project_t *
story_from_texts (const story_text_t *texts, size_t n)
{
   ecl_project_options_t options = {.database = DATABASE};
   ecl_project_t *project = ecl_project_new (&options);
   ecl_diags_t diags;
   bool good = true;

   ecl_diags_init (&diags);
   for (size_t i = 0; i < n; i++) {
      ecl_text_source_t source = {.name = texts[i].path, .bytes = texts[i].text, .len = strlen (texts[i].text)};

      good = ecl_project_add (project, texts[i].path, &source, &diags) && good;
   }
   if (!(ecl_project_link (project, &diags) && good)) {
      fprintf (stderr, "sim: %s and those with it cannot be read\n", texts[0].path);
      abort ();
   }
   ecl_diags_cleanup (&diags);
   return project;
}

ecl_project_t *
story_load_full (void)
{
   static const story_text_t text = {"things/0001_full.yaml",
                                     "to: 1\nup:\n  - $set: {full: {$concat: [$name, \"!\"]}}\n"};

   return story_from_texts (&text, 1);
}

const blob_t *
story_stored (const sim_t *sim, const char *collection, int64_t id)
{
   ecl_value_t key = ecl_int32 ((int32_t) id);

   return server_get (&sim->server, collection, &key, true);
}

ecl_site_t
story_site (process_t *process)
{
   return (ecl_site_t){.world = &process->worker.world,
                       .project = process->sim->project,
                       .upgrades = ecl_upgrades_new (process->sim->project),
                       .database = DATABASE,
                       .server = {.transactions = true},
                       .who = {.host = "sim", .pid = process->index}};
}

ecl_start_t
story_start_job (const ecl_site_t *site, const ecl_job_settings_t *settings, int64_t range_docs, ecl_task_t *task,
                 bson_error_t *error)
{
   const ecl_chain_t *chain = task->chain;
   char to[ECL_VERSION_TEXT];
   bson_t candidates;
   ecl_job_start_t options = {
      .world = site->world,
      .database = DATABASE,
      .collection = "things",
      .chain = chain,
      .target = task->target,
      .to = ecl_version_text (chain->format, ecl_chain_version (chain, task->target), to),
      .mode = ecl_mode_name (task->mode),
      .why = "",
      .candidates = &candidates,
      .range_docs = range_docs,
      .workers = 1,
      .who = site->who,
      .lease_time = task->lease_time,
      .lease_skew = task->lease_skew,
   };
   ecl_start_t start;
   ecl_job_t job;

   if (settings) {
      options.settings = *settings;
   }
   ecl_survey_candidates (chain, task->target, false, &candidates);
   start = ecl_job_start (&options, &job, error);
   bson_destroy (&candidates);
   if (start == ECL_START_NEW || start == ECL_START_JOINED) {
      memcpy (task->job, job.id, sizeof task->job);
   }
   return start;
}

bool
story_only_worker (process_t *process, bool (*work) (process_t *process, const ecl_site_t *site, bson_error_t *error))
{
   ecl_site_t site = story_site (process);
   bson_error_t error = {0};
   bool good = work (process, &site, &error);

   if (!good && !process->dead) {
      sim_wrong (process->sim, "the worker failed: %s", error.message);
   }
   ecl_upgrades_destroy (site.upgrades);
   return good;
}

void
story_check_things (sim_t *sim, int64_t version)
{
   const collection_t *things = server_collection (&sim->server, "things");

   for (size_t i = 0; i < things->n; i++) {
      if (blob_number (things->slots[i]->majority, "schema_version") != version) {
         sim_wrong (sim, "at the end thing %zu is not at the target", i);
      }
   }
}
