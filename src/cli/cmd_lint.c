/* eclose lint: loads the whole project and says everything that is wrong with it. */
#include "cli/commands.h"
#include "cli/works.h"

typedef struct {
   size_t collections, steps, works;
} counts_t;

static counts_t
count (const ecl_project_t *project)
{
   counts_t counts = {0};
   const ecl_chain_t *chains = ecl_project_chains (project, &counts.collections);

   for (size_t i = 0; i < counts.collections; i++) {
      counts.steps += chains[i].n_steps;
   }
   (void) ecl_project_works (project, &counts.works);
   return counts;
}

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

/* Which files are others by now than those that were applied: the database knows. False after a message, where it could
 * not be asked; the project is used up. */
static bool
ask_server (ecl_cli_t *cli, ecl_project_t *project, ecl_diags_t *diags, bool *changed)
{
   ecl_remote_t remote = {0};
   ecl_works_t works = {0};
   bool good;

   ecl_remote_init (&remote, cli, project);
   good = ecl_remote_connect (&remote) && ecl_works_open (&works, &remote);

   for (size_t i = 0; i < works.runner.n && good; i++) {
      const ecl_placed_t *placed = &works.runner.list[i];
      char at[32];

      if (placed->kind == ECL_PLACE_CHANGED) {
         ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_PROJECT, ECL_ERROR_CONFLICT, placed->work->file, 0, 0, NULL,
                        "was applied to %s (%s), and is another file by now: put the old one back, or accept this one "
                        "with `eclose repair %s`",
                        remote.database, ecl_cli_time (placed->record->ended, at), ecl_shell_word (placed->name).text);
         *changed = true;
      }
   }
   ecl_works_close (&works);
   ecl_remote_close (&remote);
   return good;
}

static void
print_counts (const ecl_cli_t *cli, const counts_t *counts)
{
   printf ("%sno problems%s: %zu collection%s, %zu document migration%s", ecl_cli_colour (cli, ECL_CLI_GREEN),
           ecl_cli_colour (cli, ECL_CLI_PLAIN), counts->collections, counts->collections == 1 ? "" : "s", counts->steps,
           counts->steps == 1 ? "" : "s");
   if (counts->works) {
      printf (", %zu database migration%s", counts->works, counts->works == 1 ? "" : "s");
   }
   putchar ('\n');
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_project_t *project = NULL;
   ecl_folder_t folder;
   ecl_diags_t diags;
   bool ok, changed = false, asked = true, server = ecl_cli_flag (cli, "server");
   counts_t counts = {0};

   if (!ecl_cli_find_project (cli, &folder)) {
      return ECL_EXIT_FAILED;
   }
   ecl_diags_init (&diags);
   ok = ecl_folder_load (&folder, &project, &diags);
   if (ok) {
      counts = count (project);
   }
   if (ok && server) {
      asked = ask_server (cli, project, &diags, &changed);
      project = NULL;
      ok = asked && !changed;
   }
   if (cli->json) {
      print_json (&diags);
   } else {
      ecl_cli_diags (&diags, stdout, cli->colour);
      if (ok) {
         print_counts (cli, &counts);
      }
   }
   if (!ok && server && asked && !changed) {
      ecl_cli_note (cli, "the server was not asked: the files come first");
   }
   ecl_project_destroy (project);
   ecl_diags_cleanup (&diags);
   ecl_cli_folder_free (&folder);
   return ok ? ECL_EXIT_OK : ECL_EXIT_FAILED;
}

static const ecl_option_t options[] = {
   {"server", 0, NULL, "ask the database, too, which files changed since they were applied"},
   {"uri", 0, "URI", "with --server: the server, as a connection string"},
   {NULL},
};

const ecl_command_t ecl_cmd_lint = {
   .name = "lint",
   .arguments = "",
   .summary = "check all files of the project",
   .about = "Reports every problem, not only the first, as file:line:column: what.\n"
            "Ends with 1 where there is one. No server is asked, unless by --server: then also\n"
            "which files of database migrations changed since they were applied.",
   .options = options,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_FORMAT,
   .run = run,
};
