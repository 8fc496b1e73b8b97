/* eclose lint: loads the whole project and says everything that is wrong with it. */
#include "cli/commands.h"

static void
print_json (ecl_diags_t *diags)
{
   ecl_diags_sort (diags);
   for (size_t i = 0; i < diags->n; i++) {
      const ecl_diag_t *diag = &diags->items[i];
      bson_t line = BSON_INITIALIZER;

      BSON_APPEND_UTF8 (&line, "level", diag->level == ECL_DIAG_ERROR ? "error" : "warning");
      BSON_APPEND_UTF8 (&line, "file", diag->file);
      BSON_APPEND_INT32 (&line, "line", (int32_t) diag->line);
      BSON_APPEND_INT32 (&line, "column", (int32_t) diag->column);
      BSON_APPEND_UTF8 (&line, "path", diag->path);
      BSON_APPEND_UTF8 (&line, "message", diag->message);
      ecl_cli_json (&line);
      bson_destroy (&line);
   }
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_project_t *project = NULL;
   ecl_folder_t folder;
   ecl_diags_t diags;
   bool ok;

   if (!ecl_cli_find_project (cli, &folder)) {
      return ECL_EXIT_FAILED;
   }
   ecl_diags_init (&diags);
   ok = ecl_folder_load (&folder, &project, &diags);
   if (cli->json) {
      print_json (&diags);
   } else {
      ecl_cli_diags (&diags, stdout, cli->colour);
      if (ok) {
         const ecl_chain_t *chains;
         size_t n, steps = 0, works;

         chains = ecl_project_chains (project, &n);
         for (size_t i = 0; i < n; i++) {
            steps += chains[i].n_steps;
         }
         (void) ecl_project_works (project, &works);
         printf ("%sno problems%s: %zu collection%s, %zu document migration%s", ecl_cli_colour (cli, ECL_CLI_GREEN),
                 ecl_cli_colour (cli, ECL_CLI_PLAIN), n, n == 1 ? "" : "s", steps, steps == 1 ? "" : "s");
         if (works) {
            printf (", %zu database migration%s", works, works == 1 ? "" : "s");
         }
         putchar ('\n');
      }
   }
   ecl_project_destroy (project);
   ecl_diags_cleanup (&diags);
   ecl_cli_folder_free (&folder);
   return ok ? ECL_EXIT_OK : ECL_EXIT_FAILED;
}

const ecl_command_t ecl_cmd_lint = {
   .name = "lint",
   .arguments = "",
   .summary = "check all files of the project",
   .about = "Reports every problem, not only the first, as file:line:column: what.\n"
            "Ends with 1 where there is one. No server is needed.",
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_FORMAT,
   .run = run,
};
