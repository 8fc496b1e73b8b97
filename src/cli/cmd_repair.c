/* eclose repair: accepts, on purpose, that the file of a database migration changed. */
#include "cli/commands.h"
#include "cli/works.h"

static bool
differs (const ecl_placed_t *placed)
{
   return placed->work && placed->record && placed->record->state != ECL_CHANGELOG_REVERTED &&
          placed->record->checksum && strcmp (placed->record->checksum, placed->work->checksum) != 0;
}

/* Of one that did not come to its end, how many of its steps are done; 0 where it did, or none is. */
static size_t
steps_done (const ecl_changelog_t *record)
{
   return record->state == ECL_CHANGELOG_RUNNING || record->state == ECL_CHANGELOG_FAILED ? (size_t) record->steps : 0;
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   const char *name = cli->n_args ? cli->args[0] : NULL;
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_remote_t remote = {0};
   ecl_works_t works = {0};
   size_t n = 0;

   if (!ecl_remote_open (&remote, cli) || !ecl_works_open (&works, &remote) ||
       (name && !ecl_works_find (&works, name))) {
      goto done;
   }
   status = ecl_works_acquire (&works, 0);
   for (size_t i = 0; i < works.runner.n && status == ECL_EXIT_OK; i++) {
      const ecl_placed_t *placed = &works.runner.list[i];
      const ecl_changelog_t *whole;
      const ecl_work_way_t *way;
      ecl_changelog_t record;
      bson_error_t error;
      size_t done;

      if (!differs (placed) || (name && strcmp (placed->name, name) != 0)) {
         continue;
      }
      /* With the output of a program, which the list of all leaves out. */
      if (!ecl_history_load (&works.runner.history, remote.world, remote.database, placed->name, &whole, &error)) {
         status = ecl_cli_fail (cli, "%s", error.message);
         break;
      }
      record = whole ? *whole : *placed->record;
      done = steps_done (&record);
      way = record.down ? &placed->work->down : &placed->work->up;
      if (done && done >= way->n_acts) {
         status =
            ecl_cli_fail (cli,
                          "%s: %zu of its steps are done, and this file has only %zu: nothing of it would be run. "
                          "Leave those that are done in it, or, where all are, end it with the old file first",
                          placed->work->file, done, way->n_acts);
         break;
      }
      record.checksum = placed->work->checksum;
      if (!ecl_history_mark (remote.world, &works.runner.holder, placed->record, &record, &error)) {
         status = ecl_cli_fail (cli, "%s", error.message);
         break;
      }
      printf ("%s: its file is accepted as it is now", placed->name);
      if (done) {
         printf ("; %s goes on behind %zu of its %zu steps", record.down ? "revert" : "up", done, way->n_acts);
      }
      printf ("\n");
      n++;
   }
   if (status == ECL_EXIT_OK && !n) {
      ecl_cli_note (cli, "no file differs from what the changelog has");
   }

done:
   ecl_works_close (&works);
   ecl_remote_close (&remote);
   return status;
}

const ecl_command_t ecl_cmd_repair = {
   .name = "repair",
   .arguments = "[NAME]",
   .summary = "accept that the file of an applied database migration changed",
   .about = "Writes the checksum of the file as it is now into the changelog, for all whose file\n"
            "changed or for NAME. Nothing is run.",
   .max_args = 1,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER,
   .run = run,
};
