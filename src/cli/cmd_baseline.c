/* eclose baseline: marks database migrations as applied without running them. */
#include "cli/commands.h"
#include "cli/works.h"

static ecl_exit_t
run (ecl_cli_t *cli)
{
   const char *last = cli->n_args ? cli->args[0] : NULL;
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_remote_t remote = {0};
   ecl_works_t works = {0};
   size_t n = 0;

   if (!ecl_remote_open (&remote, cli) || !ecl_works_open (&works, &remote) ||
       (last && !ecl_works_find (&works, last))) {
      goto done;
   }
   status = ecl_works_acquire (&works, 0);
   for (size_t i = 0; i < works.runner.n && status == ECL_EXIT_OK; i++) {
      const ecl_placed_t *placed = &works.runner.list[i];

      if (!ecl_placed_pending (placed) || (last && strcmp (placed->name, last) > 0)) {
         continue;
      }
      if (placed->record && placed->record->state != ECL_CHANGELOG_REVERTED) {
         status = ecl_cli_fail (cli, "%s began to run and did not end: `eclose up` ends it", placed->name);
      } else if (!ecl_works_mark (&works, placed, "baseline", 0)) {
         status = ECL_EXIT_FAILED;
      } else {
         printf ("%s: marked as applied\n", placed->name);
         n++;
      }
   }
   if (status == ECL_EXIT_OK && !n) {
      ecl_cli_note (cli, "nothing is pending%s%s", last ? " up to " : "", last ? last : "");
   }

done:
   ecl_works_close (&works);
   ecl_remote_close (&remote);
   return status;
}

const ecl_command_t ecl_cmd_baseline = {
   .name = "baseline",
   .arguments = "[NAME]",
   .summary = "mark database migrations as applied without running them",
   .about = "For a database that has, by other ways, what they would do: all that are pending,\n"
            "or those up to NAME. The changelog says that it was so.",
   .max_args = 1,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER,
   .run = run,
};
