/* eclose plan: what `up` would do, and what stands in its way. Writes nothing. */
#include "backfill/job.h"
#include "backfill/survey.h"
#include "bson/append.h"
#include "cli/commands.h"
#include "cli/plan.h"
#include "cli/progress.h"
#include "cli/remote.h"
#include "run/lookups.h"
#include "run/publish.h"
#include "run/scan.h"
#include "upgrade/diff.h"
#include "upgrade/loads.h"

#define SAMPLES 3

/* Where they are looked for in a collection that is not gone through for them: so many of at least so many documents at
 * random read no others. */
#define LOOKED_AT 1000
#define MANY 20000

typedef struct {
   ecl_remote_t *remote;
   ecl_strategy_t strategy;
   int64_t estimate; /* documents of the collection, about */
   int64_t seconds;  /* for counting */
   ecl_survey_t survey;
   int64_t todo;                 /* where that was counted */
   char later[ECL_VERSION_TEXT]; /* version to which another release has migrations, beyond the chain; or "" */
   bool has_job;                 /* a live one */
   ecl_job_t job;
   ecl_arena_t arena;
} told_t;

static const char *const levels[] = {"note", "some", "blocks"};

static void
print_strategy (const told_t *told)
{
   const ecl_chain_t *chain = told->strategy.chain;
   const ecl_cli_t *cli = told->remote->cli;
   char text[ECL_VERSION_TEXT], n[32];
   bool late = told->survey.late;

   printf ("%s%s%s: %s%s document%s to version %s, %s: %s\n", ecl_cli_colour (cli, ECL_CLI_BOLD), chain->collection,
           ecl_cli_colour (cli, ECL_CLI_PLAIN), late ? "some of about " : "",
           ecl_progress_count ((uint64_t) (late ? told->estimate : told->todo), n), !late && told->todo == 1 ? "" : "s",
           ecl_version_text (chain->format, ecl_chain_version (chain, told->strategy.target), text),
           told->strategy.mode == ECL_MODE_PUSHDOWN ? "pushed down" : "computed here", told->strategy.mode_why);
   if (late) {
      printf ("  not counted within %" PRId64 " s: --count-time gives it longer\n", told->seconds);
   }
   for (size_t i = 0; i <= chain->n_steps && !late; i++) {
      if (told->survey.counts[i]) {
         printf ("  %12s at version %s%s\n", ecl_progress_count ((uint64_t) told->survey.counts[i], n),
                 ecl_version_text (chain->format, ecl_chain_version (chain, i), text),
                 i == told->strategy.target  ? ", the target"
                 : i > told->strategy.target ? ", beyond the target"
                                             : "");
      }
   }
   if (told->survey.outside && !late) {
      printf ("  %12s with no known version: they would go to quarantine\n",
              ecl_progress_count ((uint64_t) told->survey.outside, n));
   }
   for (size_t i = late ? 0 : told->survey.first; i < told->strategy.target; i++) {
      const char *description = chain->steps[i].description;

      printf ("  runs %s%s%s\n", chain->steps[i].name, *description ? ": " : "", description);
   }
   for (size_t i = 0; i < told->strategy.n_obstacles; i++) {
      const ecl_obstacle_t *obstacle = &told->strategy.obstacles[i];

      printf ("  %s%s%s: %s\n",
              ecl_cli_colour (cli, obstacle->level == ECL_OBSTACLE_BLOCKS ? ECL_CLI_RED : ECL_CLI_YELLOW),
              obstacle->what, ecl_cli_colour (cli, ECL_CLI_PLAIN), obstacle->message);
   }
   if (*told->later) {
      printf (
         "  eclose_catalog has migrations up to version %s, of a later release or of files that are gone: `up` leaves "
         "the collection as it is\n",
         told->later);
   }
   if (told->has_job) {
      printf ("  a job %s to version %s is there already: `eclose backfill status %s`\n",
              told->job.down ? "down" : "up", told->job.to, ecl_shell_word (chain->collection).text);
   }
}

static void
append_strategy (const told_t *told, bson_t *line)
{
   const ecl_chain_t *chain = told->strategy.chain;
   char text[ECL_VERSION_TEXT], buffer[16];
   bson_t list, one;
   const char *key;

   BSON_APPEND_UTF8 (line, "collection", chain->collection);
   BSON_APPEND_UTF8 (line, "to",
                     ecl_version_text (chain->format, ecl_chain_version (chain, told->strategy.target), text));
   BSON_APPEND_UTF8 (line, "mode", ecl_mode_name (told->strategy.mode));
   BSON_APPEND_UTF8 (line, "why", told->strategy.mode_why);
   BSON_APPEND_INT64 (line, "estimated", told->estimate);
   BSON_APPEND_BOOL (line, "counted", !told->survey.late);
   if (!told->survey.late) {
      BSON_APPEND_ARRAY_BEGIN (line, "versions", &list);
      for (size_t i = 0; i <= chain->n_steps; i++) {
         bson_uint32_to_string ((uint32_t) i, &key, buffer, sizeof buffer);
         BSON_APPEND_DOCUMENT_BEGIN (&list, key, &one);
         BSON_APPEND_UTF8 (&one, "version", ecl_version_text (chain->format, ecl_chain_version (chain, i), text));
         BSON_APPEND_INT64 (&one, "documents", told->survey.counts[i]);
         bson_append_document_end (&list, &one);
      }
      bson_append_array_end (line, &list);
      BSON_APPEND_INT64 (line, "unknown", told->survey.outside);
   }
   BSON_APPEND_ARRAY_BEGIN (line, "obstacles", &list);
   for (size_t i = 0; i < told->strategy.n_obstacles; i++) {
      const ecl_obstacle_t *obstacle = &told->strategy.obstacles[i];

      bson_uint32_to_string ((uint32_t) i, &key, buffer, sizeof buffer);
      BSON_APPEND_DOCUMENT_BEGIN (&list, key, &one);
      BSON_APPEND_UTF8 (&one, "level", levels[obstacle->level]);
      BSON_APPEND_UTF8 (&one, "what", obstacle->what);
      BSON_APPEND_UTF8 (&one, "message", obstacle->message);
      bson_append_document_end (&list, &one);
   }
   bson_append_array_end (line, &list);
   if (*told->later) {
      BSON_APPEND_UTF8 (line, "later", told->later);
   }
   if (told->has_job) {
      BSON_APPEND_DOCUMENT_BEGIN (line, "job", &one);
      BSON_APPEND_UTF8 (&one, "kind", told->job.down ? "down" : "up");
      BSON_APPEND_UTF8 (&one, "to", told->job.to);
      BSON_APPEND_UTF8 (&one, "state", ecl_job_state_name (told->job.state));
      BSON_APPEND_UTF8 (&one, "wanted", ecl_job_wanted_name (told->job.wanted));
      bson_append_document_end (line, &one);
   }
}

/* One sampled document, before and after. */
static void
tell_sample (told_t *told, ecl_upgrader_t *upgrader, const ecl_value_t *document, bson_t *list, uint32_t i)
{
   ecl_diff_style_t style = {.colour = told->remote->cli->colour, .indent = "      "};
   ecl_value_t id = ecl_document_get (document, "_id", 3);
   ecl_differences_t diff;
   const uint8_t *out;
   bson_error_t error;
   char buffer[16];
   const char *key;
   bson_t one, array;
   ecl_buf_t text;
   size_t len;
   bool good = ecl_bson_validate (document->u.raw, document->len, &error) &&
               ecl_upgrader_run (upgrader, document->u.raw, document->len, &out, &len, NULL, &error);

   if (good) {
      ecl_value_t after = ecl_raw_document (out, len);

      diff = ecl_diff (&told->arena, document, &after, ECL_DIFF_DEFAULT);
   }
   if (list) {
      bson_uint32_to_string (i, &key, buffer, sizeof buffer);
      BSON_APPEND_DOCUMENT_BEGIN (list, key, &one);
      ecl_append_value (&one, "id", &id);
      if (good) {
         BSON_APPEND_ARRAY_BEGIN (&one, "diff", &array);
         ecl_diff_append (&diff, &array);
         bson_append_array_end (&one, &array);
      } else {
         BSON_APPEND_UTF8 (&one, "error", error.message);
      }
      bson_append_document_end (list, &one);
      return;
   }
   printf ("    _id %s\n", ecl_value_text (&told->arena, &id));
   if (!good) {
      printf ("      %s\n", error.message);
      return;
   }
   ecl_buf_init (&text, 16u * 1024 * 1024);
   if (ecl_diff_print (&diff, &style, &text)) {
      fwrite (text.data, 1, text.len, stdout);
   }
   ecl_buf_cleanup (&text);
}

/* Some that would change: of a small collection any, of others those among some at random. */
static void
start_samples (const told_t *told, ecl_scan_t *reader)
{
   bson_t filter, pipeline = BSON_INITIALIZER, stage, size;

   ecl_survey_candidates (told->strategy.chain, told->strategy.target, false, &filter);
   if (told->estimate <= MANY) {
      ecl_scan_start (reader, &filter, false);
      reader->sample = SAMPLES;
   } else {
      BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
      BSON_APPEND_DOCUMENT_BEGIN (&stage, "$sample", &size);
      BSON_APPEND_INT32 (&size, "size", LOOKED_AT);
      bson_append_document_end (&stage, &size);
      bson_append_document_end (&pipeline, &stage);
      BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "1", &stage);
      BSON_APPEND_DOCUMENT (&stage, "$match", &filter);
      bson_append_document_end (&pipeline, &stage);
      BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "2", &stage);
      BSON_APPEND_INT32 (&stage, "$limit", SAMPLES);
      bson_append_document_end (&pipeline, &stage);
      ecl_scan_start_pipeline (reader, &pipeline);
   }
   bson_destroy (&pipeline);
   bson_destroy (&filter);
}

static bool
tell_samples (told_t *told, bson_t *list, bson_error_t *error)
{
   const ecl_chain_t *chain = told->strategy.chain;
   const char *database = told->remote->database;
   ecl_world_t *world = told->remote->world;
   ecl_upgrader_t *upgrader =
      ecl_upgrader_new (told->remote->upgrades, chain, ecl_chain_version (chain, told->strategy.target), error);
   const ecl_value_t *document = NULL;
   ecl_lookups_t *lookups = NULL;
   ecl_scan_t reader;
   uint32_t n = 0;
   bool good = true;

   if (!upgrader) {
      return false;
   }
   ecl_scan_init (&reader);
   start_samples (told, &reader);
   if (ecl_chain_looks_up (chain, told->strategy.target, false)) {
      lookups = ecl_lookups_new (told->remote->upgrades, upgrader);
   }
   /* One more than there are, so that no cursor stays open. */
   do {
      while (n < SAMPLES &&
             (good = ecl_scan_next (&reader, world, database, chain->collection, SAMPLES + 1, &document, error) &&
                     (!document || ecl_lookups_ahead (lookups, &reader, world, database, error))) &&
             document) {
         tell_sample (told, upgrader, document, list, n++);
      }
   } while (!good && ecl_scan_again (&reader, world));
   ecl_scan_cleanup (&reader);
   if (good && !list && !n && (told->survey.late || told->todo)) {
      printf ("    none that would change is among %d at random\n", LOOKED_AT);
   }
   ecl_upgrader_destroy (upgrader);
   ecl_lookups_destroy (lookups);
   return good;
}

/* What there is to do, and whether somebody is at it. */
static bool
look (told_t *told, bson_error_t *error)
{
   ecl_remote_t *remote = told->remote;
   const ecl_chain_t *chain = told->strategy.chain;
   ecl_survey_options_t limits = {.until = remote->world->now (remote->world) + 1000 * told->seconds};

   if (!ecl_survey_estimate (remote->world, remote->database, chain->collection, &told->estimate, error) ||
       !ecl_survey_within (remote->world, remote->database, chain, told->strategy.target, &limits, &told->arena,
                           &told->survey, error) ||
       !ecl_job_latest (remote->world, remote->database, chain->collection, true, &told->job, &told->has_job, error)) {
      return false;
   }
   told->todo = told->survey.outside;
   for (size_t i = 0; i < told->strategy.target; i++) {
      told->todo += told->survey.counts[i];
   }
   return true;
}

static bool
plan_chain (ecl_remote_t *remote, const ecl_chain_t *chain, size_t target, ecl_mode_t mode, int64_t seconds,
            bool *blocked)
{
   ecl_site_t site = ecl_remote_site (remote);
   told_t told = {.remote = remote, .seconds = seconds};
   bson_t line = BSON_INITIALIZER, list;
   bson_error_t error;
   bool good;

   ecl_arena_init (&told.arena);
   good = ecl_strategy_find (&site, chain, target, false, mode, &told.arena, &told.strategy, &error) &&
          look (&told, &error) && ecl_publish_later (remote->world, remote->database, chain, told.later, &error);
   if (good && !told.estimate) {
      ecl_remote_note_missing (remote, chain->collection);
   }
   if (good && remote->cli->json) {
      append_strategy (&told, &line);
      BSON_APPEND_ARRAY_BEGIN (&line, "samples", &list);
      good = tell_samples (&told, &list, &error);
      bson_append_array_end (&line, &list);
      if (good) {
         ecl_cli_json (&line);
      }
   } else if (good) {
      print_strategy (&told);
      good = tell_samples (&told, NULL, &error);
   }
   for (size_t i = 0; good && i < told.strategy.n_obstacles; i++) {
      *blocked = *blocked || told.strategy.obstacles[i].level == ECL_OBSTACLE_BLOCKS;
   }
   if (!good) {
      ecl_cli_fail (remote->cli, "%s: %s", chain->collection, error.message);
   }
   bson_destroy (&line);
   ecl_arena_cleanup (&told.arena);
   return good;
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   const ecl_chain_t *chains, *only;
   ecl_remote_t remote = {0};
   bool blocked = false;
   ecl_mode_t mode;
   int64_t seconds;
   size_t n, target;

   if (!ecl_remote_mode (cli, &mode) || !ecl_cli_number (cli, "count-time", 1, 3600, 5, &seconds)) {
      return ECL_EXIT_USAGE;
   }
   if (ecl_cli_flag (cli, "to") && !cli->n_args) {
      return ecl_cli_usage (cli, "--to needs a COLLECTION: each has versions of its own");
   }
   if (!ecl_remote_load (&remote, cli) || !ecl_cli_chain (cli, remote.project, 0, &only)) {
      goto done;
   }
   if (only && !ecl_remote_target (cli, only, &target)) {
      status = ECL_EXIT_USAGE;
      goto done;
   }
   if (!ecl_remote_connect (&remote)) {
      goto done;
   }
   if (!only && !ecl_plan_works (&remote, 1000 * seconds, &blocked)) {
      goto done;
   }
   chains = ecl_project_chains (remote.project, &n);
   for (size_t i = 0; i < n; i++) {
      if (only && only != &chains[i]) {
         continue;
      }
      if (!ecl_remote_target (cli, &chains[i], &target)) {
         status = ECL_EXIT_USAGE;
         goto done;
      }
      if (!plan_chain (&remote, &chains[i], target, mode, seconds, &blocked)) {
         goto done;
      }
   }
   status = blocked ? ECL_EXIT_FAILED : ECL_EXIT_OK;

done:
   ecl_remote_close (&remote);
   return status;
}

static const ecl_option_t options[] = {
   {"to", 0, "N", "another target than the end of the chain"},
   {"mode", 0, "auto|pushdown|client", "plan for this way of working"},
   {"count-time", 0, "SECONDS", "how long the counts of a collection, or of one step, may take; 5"},
   {NULL},
};

const ecl_command_t ecl_cmd_plan = {
   .name = "plan",
   .arguments = "[COLLECTION]",
   .summary = "say what up would do and what stands in its way",
   .about = "Of database migrations that are pending what each step would touch, and of a foreach\n"
            "the first rows with what they would write. Of collections how many documents would\n"
            "change, who would compute and why, three sampled documents before and after, and\n"
            "what stands in the way; with a COLLECTION only that. Ends with 1 where `up` would\n"
            "refuse one of them. Writes nothing.",
   .options = options,
   .max_args = 1,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER | ECL_COMMAND_FORMAT,
   .run = run,
};
