/* eclose up: carries collections to their target. */
#include "cli/commands.h"
#include "cli/remote.h"

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED, one;
   const ecl_chain_t *only = NULL, *chains;
   ecl_remote_t remote = {0};
   ecl_mode_t mode;
   size_t n, target;

   if (!ecl_remote_mode (cli, &mode)) {
      return ECL_EXIT_USAGE;
   }
   if (ecl_cli_flag (cli, "to") && !cli->n_args) {
      return ecl_cli_usage (cli, "--to needs a COLLECTION: each has versions of its own");
   }
   if (!ecl_remote_open (&remote, cli) || !ecl_cli_chain (cli, remote.project, 0, &only)) {
      goto done;
   }
   if (!only && (ecl_project_works (remote.project, &n), n)) {
      ecl_cli_fail (cli, "database migrations are read and checked, but not run yet: name a COLLECTION");
      goto done;
   }
   chains = ecl_project_chains (remote.project, &n);
   status = ECL_EXIT_OK;
   for (size_t i = 0; i < n; i++) {
      if (only && only != &chains[i]) {
         continue;
      }
      if (!ecl_remote_target (cli, &chains[i], &target)) {
         status = ECL_EXIT_USAGE;
         break;
      }
      one = ecl_remote_run (&remote, &chains[i], target, false, mode);
      /* What failed weighs more than what is in quarantine; the other collections are carried all the same. */
      status = one == ECL_EXIT_FAILED || status == ECL_EXIT_OK ? one : status;
      if (remote.world->cancelled (remote.world)) {
         break;
      }
   }

done:
   ecl_remote_close (&remote);
   return status;
}

static const ecl_option_t options[] = {
   {"to", 0, "N", "another target than the end of the chain"},
   {"mode", 0, "auto|pushdown|client", "who computes: the server, or eclose; auto chooses"},
   {NULL},
};

const ecl_command_t ecl_cmd_up = {
   .name = "up",
   .arguments = "[COLLECTION]",
   .summary = "carry collections to their target",
   .about = "Carries every document of the project's collections, or of one, along its chain,\n"
            "while applications go on reading and writing. It may be killed at any time and\n"
            "run again. A document that cannot be carried over goes to eclose_quarantine with\n"
            "the reason; the rest goes on, and the command ends with status 5.",
   .options = options,
   .max_args = 1,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER | ECL_COMMAND_FORMAT,
   .run = run,
};
