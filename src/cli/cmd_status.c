/* eclose status: what is at which version, and what is pending. */
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/remote.h"
#include "cli/works.h"
#include "run/survey.h"

static void
print_text (const ecl_cli_t *cli, const ecl_chain_t *chain, const ecl_survey_t *survey)
{
   char text[ECL_VERSION_TEXT], n[32];
   int64_t all = survey->outside;

   for (size_t i = 0; i <= chain->n_steps; i++) {
      all += survey->counts[i];
   }
   printf ("%s%s%s: %s document%s, target %s\n", ecl_cli_colour (cli, ECL_CLI_BOLD), chain->collection,
           ecl_cli_colour (cli, ECL_CLI_PLAIN), ecl_progress_count ((uint64_t) all, n), all == 1 ? "" : "s",
           ecl_version_text (chain->format, chain->target, text));
   for (size_t i = 0; i <= chain->n_steps; i++) {
      if (survey->counts[i] || i == chain->n_steps) {
         printf ("  version %-8s %12s\n", ecl_version_text (chain->format, ecl_chain_version (chain, i), text),
                 ecl_progress_count ((uint64_t) survey->counts[i], n));
      }
   }
   if (survey->outside) {
      printf ("  %sno known version%s %11s\n", ecl_cli_colour (cli, ECL_CLI_RED), ecl_cli_colour (cli, ECL_CLI_PLAIN),
              ecl_progress_count ((uint64_t) survey->outside, n));
   }
   if (survey->quarantined) {
      printf ("  %sin quarantine%s   %12s\n", ecl_cli_colour (cli, ECL_CLI_RED), ecl_cli_colour (cli, ECL_CLI_PLAIN),
              ecl_progress_count ((uint64_t) survey->quarantined, n));
   }
   for (size_t i = survey->first; i < chain->n_steps; i++) {
      printf ("  %spending%s %s (%s)\n", ecl_cli_colour (cli, ECL_CLI_YELLOW), ecl_cli_colour (cli, ECL_CLI_PLAIN),
              chain->steps[i].name, chain->steps[i].file);
   }
}

static void
print_json (const ecl_chain_t *chain, const ecl_survey_t *survey)
{
   bson_t line = BSON_INITIALIZER, list, one;
   char text[ECL_VERSION_TEXT], buffer[16];
   const char *key;
   uint32_t n = 0;

   BSON_APPEND_UTF8 (&line, "collection", chain->collection);
   BSON_APPEND_UTF8 (&line, "target", ecl_version_text (chain->format, chain->target, text));
   BSON_APPEND_ARRAY_BEGIN (&line, "versions", &list);
   for (size_t i = 0; i <= chain->n_steps; i++) {
      bson_uint32_to_string (n++, &key, buffer, sizeof buffer);
      BSON_APPEND_DOCUMENT_BEGIN (&list, key, &one);
      BSON_APPEND_UTF8 (&one, "version", ecl_version_text (chain->format, ecl_chain_version (chain, i), text));
      BSON_APPEND_INT64 (&one, "documents", survey->counts[i]);
      bson_append_document_end (&list, &one);
   }
   bson_append_array_end (&line, &list);
   BSON_APPEND_INT64 (&line, "unknown", survey->outside);
   BSON_APPEND_INT64 (&line, "quarantined", survey->quarantined);
   BSON_APPEND_INT64 (&line, "documents_pending", survey->not_at);
   BSON_APPEND_ARRAY_BEGIN (&line, "pending", &list);
   n = 0;
   for (size_t i = survey->first; i < chain->n_steps; i++) {
      bson_uint32_to_string (n++, &key, buffer, sizeof buffer);
      BSON_APPEND_UTF8 (&list, key, chain->steps[i].name);
   }
   bson_append_array_end (&line, &list);
   ecl_cli_json (&line);
   bson_destroy (&line);
}

static const char *
place_name (const ecl_placed_t *placed)
{
   switch (placed->kind) {
   case ECL_PLACE_LATE:
      return "late";
   case ECL_PLACE_CHANGED:
      return "changed";
   case ECL_PLACE_ADOPTED:
      return "adopted";
   case ECL_PLACE_GONE:
      return "gone";
   default:
      return placed->record ? ecl_changelog_state_name (placed->record->state) : "pending";
   }
}

/* The database migrations; those that are applied and well are only counted. *changed: a file that was applied is another
 * by now. */
static bool
show_works (ecl_remote_t *remote, int64_t *pending, bool *changed)
{
   const ecl_cli_t *cli = remote->cli;
   ecl_works_t works;
   size_t applied = 0, adopted = 0;
   bool good = ecl_works_open (&works, remote);

   for (size_t i = 0; i < works.runner.n && good; i++) {
      const ecl_placed_t *placed = &works.runner.list[i];

      *pending += ecl_placed_pending (placed);
      applied += placed->kind == ECL_PLACE_APPLIED;
      adopted += placed->kind == ECL_PLACE_ADOPTED;
      if (cli->json) {
         bson_t line = BSON_INITIALIZER;

         BSON_APPEND_UTF8 (&line, "migration", placed->name);
         BSON_APPEND_UTF8 (&line, "state", place_name (placed));
         ecl_cli_json (&line);
         bson_destroy (&line);
      } else if (placed->kind != ECL_PLACE_APPLIED && placed->kind != ECL_PLACE_ADOPTED) {
         printf ("%s%s%s %s%s%s\n", ecl_cli_colour (cli, ecl_placed_pending (placed) ? ECL_CLI_YELLOW : ECL_CLI_RED),
                 place_name (placed), ecl_cli_colour (cli, ECL_CLI_PLAIN), placed->name,
                 placed->record && placed->record->error ? ": " : "",
                 placed->record && placed->record->error ? placed->record->error : "");
      }
   }
   if (good && works.runner.n && !cli->json) {
      printf ("database migrations: %zu of %zu applied", applied, works.runner.n - adopted);
      if (adopted) {
         printf (", %zu adopted from other tools", adopted);
      }
      putchar ('\n');
   }
   *changed = good && !ecl_works_unchanged (&works);
   ecl_works_close (&works);
   return good;
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   const ecl_chain_t *chains, *only;
   ecl_remote_t remote = {0};
   int64_t pending = 0;
   bool changed = false;
   ecl_survey_t survey;
   ecl_arena_t arena;
   bson_error_t error;
   size_t n;

   ecl_arena_init (&arena);
   if (!ecl_remote_open (&remote, cli) || !ecl_cli_chain (cli, remote.project, 0, &only)) {
      goto done;
   }
   if (!only && !show_works (&remote, &pending, &changed)) {
      goto done;
   }
   chains = ecl_project_chains (remote.project, &n);
   for (size_t i = 0; i < n; i++) {
      if (only && only != &chains[i]) {
         continue;
      }
      ecl_arena_reset (&arena);
      if (!ecl_survey (remote.world, remote.database, &chains[i], chains[i].n_steps, &arena, &survey, &error)) {
         ecl_cli_fail (cli, "%s: %s", chains[i].collection, error.message);
         goto done;
      }
      pending += survey.not_at;
      if (cli->json) {
         print_json (&chains[i], &survey);
      } else {
         print_text (cli, &chains[i], &survey);
      }
   }
   status = changed ? ECL_EXIT_FAILED : ecl_cli_flag (cli, "check") && pending ? ECL_EXIT_PENDING : ECL_EXIT_OK;

done:
   ecl_arena_cleanup (&arena);
   ecl_remote_close (&remote);
   return status;
}

static const ecl_option_t options[] = {
   {"check", 0, NULL, "end with status 3 where something is pending"},
   {NULL},
};

const ecl_command_t ecl_cmd_status = {
   .name = "status",
   .arguments = "[COLLECTION]",
   .summary = "say what is at which version, and what is pending",
   .about = "Per collection: the target, documents per stored version, documents in quarantine,\n"
            "and the migrations that are pending. Writes nothing.",
   .options = options,
   .max_args = 1,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER | ECL_COMMAND_FORMAT,
   .run = run,
};
