/* eclose history: what the changelog says. */
#include "cli/commands.h"
#include "cli/works.h"

static void
append_text (bson_t *line, const char *key, const char *text)
{
   if (text) {
      BSON_APPEND_UTF8 (line, key, text);
   }
}

static void
print_json (const ecl_changelog_t *record)
{
   bson_t line = BSON_INITIALIZER;

   BSON_APPEND_UTF8 (&line, "name", record->name);
   BSON_APPEND_UTF8 (&line, "state", ecl_changelog_state_name (record->state));
   BSON_APPEND_UTF8 (&line, "direction", record->down ? "down" : "up");
   BSON_APPEND_INT32 (&line, "steps", record->steps);
   BSON_APPEND_INT32 (&line, "attempts", record->attempts);
   BSON_APPEND_INT64 (&line, "token", record->token);
   append_text (&line, "checksum", record->checksum);
   append_text (&line, "origin", record->origin);
   append_text (&line, "host", record->who.host);
   BSON_APPEND_INT64 (&line, "pid", record->who.pid);
   append_text (&line, "user", record->who.user);
   append_text (&line, "release", record->who.release);
   BSON_APPEND_DATE_TIME (&line, "started", record->started);
   if (record->ended) {
      BSON_APPEND_DATE_TIME (&line, "ended", record->ended);
   }
   if (record->duration >= 0) {
      BSON_APPEND_INT64 (&line, "ms", record->duration);
   }
   append_text (&line, "error", record->error);
   append_text (&line, "output", record->output);
   ecl_cli_json (&line);
   bson_destroy (&line);
}

static void
print_line (const char *what, const char *text)
{
   printf ("  %-10s %s\n", what, text && *text ? text : "-");
}

/* All that is known of one, a line each. */
static void
print_whole (const ecl_cli_t *cli, const ecl_work_t *work, const ecl_changelog_t *record)
{
   char text[64], took[32] = "-";

   printf ("%s%s%s%s%s\n", ecl_cli_colour (cli, ECL_CLI_BOLD), record->name, ecl_cli_colour (cli, ECL_CLI_PLAIN),
           work && *work->description ? ": " : "", work ? work->description : "");
   print_line ("state", ecl_changelog_state_name (record->state));
   print_line ("direction", record->down ? "down" : "up");
   /* How many there are is said by the file, and a program has none. */
   if (work && work->up.kind == ECL_WORK_ACTS) {
      snprintf (text, sizeof text, "%d of %zu done", (int) record->steps,
                record->down ? work->down.n_acts : work->up.n_acts);
   } else {
      snprintf (text, sizeof text, "%d done", (int) record->steps);
   }
   print_line ("steps", text);
   snprintf (text, sizeof text, "%d", (int) record->attempts);
   print_line ("attempts", text);
   print_line ("started", ecl_cli_time (record->started, text));
   print_line ("ended", ecl_cli_time (record->ended, text));
   if (record->duration >= 0) {
      ecl_progress_time (record->duration, took);
   }
   print_line ("duration", took);
   print_line ("host", record->who.host);
   snprintf (text, sizeof text, "%" PRId64, (int64_t) record->who.pid);
   print_line ("pid", record->who.pid ? text : NULL);
   print_line ("user", record->who.user);
   print_line ("release", record->who.release);
   snprintf (text, sizeof text, "%" PRId64, record->token);
   print_line ("token", text);
   print_line ("checksum", record->checksum);
   if (record->checksum && work && strcmp (record->checksum, work->checksum) != 0) {
      print_line ("", "the file is another by now");
   }
   if (record->origin) {
      print_line ("origin", record->origin);
   }
   if (record->error) {
      print_line ("error", record->error);
   }
   if (record->output && *record->output) {
      printf ("  output\n%s%s", record->output, record->output[strlen (record->output) - 1] == '\n' ? "" : "\n");
   }
}

static void
print_text (const ecl_changelog_t *record)
{
   char at[32], took[32] = "-";

   if (record->duration >= 0) {
      ecl_progress_time (record->duration, took);
   }
   printf ("%-10s %s  %6s  %s  %s@%s%s%s%s%s%s\n", ecl_changelog_state_name (record->state),
           ecl_cli_time (record->ended ? record->ended : record->started, at), took, record->name,
           record->who.user ? record->who.user : "?", record->who.host ? record->who.host : "?",
           record->who.release ? "  release " : "", record->who.release ? record->who.release : "",
           record->origin ? "  (" : "", record->origin ? record->origin : "", record->origin ? ")" : "");
   if (record->error) {
      printf ("           %s\n", record->error);
   }
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   const ecl_changelog_t *one = NULL;
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_remote_t remote = {0};
   ecl_works_t works = {0};
   bson_error_t error;

   if (!ecl_remote_open_settings (&remote, cli) || !ecl_works_open (&works, &remote)) {
      goto done;
   }
   if (cli->n_args) {
      if (!ecl_works_find (&works, cli->args[0])) {
         goto done;
      }
      if (!ecl_history_load (&works.runner.history, remote.world, remote.database, cli->args[0], &one, &error)) {
         ecl_cli_fail (cli, "%s", error.message);
         goto done;
      }
      if (!one) {
         ecl_cli_note (cli, "%s never ran", cli->args[0]);
      }
   }
   for (size_t i = 0; i < works.runner.history.n || one; i++) {
      const ecl_changelog_t *record = one ? one : &works.runner.history.records[i];

      if (one && !cli->json) {
         print_whole (cli, remote.broken ? NULL : ecl_project_work (remote.project, one->name), one);
      } else if (!cli->n_args || one) {
         (cli->json ? print_json : print_text) (record);
      }
      if (one) {
         break;
      }
   }
   if (!cli->n_args && !cli->json && !works.runner.history.n) {
      printf ("no database migration ran yet\n");
   }
   status = ECL_EXIT_OK;

done:
   ecl_works_close (&works);
   ecl_remote_close (&remote);
   return status;
}

const ecl_command_t ecl_cmd_history = {
   .name = "history",
   .arguments = "[NAME]",
   .summary = "say which database migrations ran, when, and by whom",
   .about = "The changelog in order of name. With a NAME all that is known of that one, a line each,\n"
            "with the end of what a program wrote. Times are the server's, in UTC. Writes nothing.",
   .max_args = 1,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER | ECL_COMMAND_FORMAT,
   .run = run,
};
