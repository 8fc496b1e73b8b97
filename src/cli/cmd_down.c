/* eclose down: carries a collection back to an older version. */
#include "cli/commands.h"
#include "cli/remote.h"

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   const ecl_chain_t *chain = NULL;
   ecl_remote_t remote = {0};
   ecl_mode_t mode;
   size_t target;

   if (!ecl_remote_mode (cli, &mode)) {
      return ECL_EXIT_USAGE;
   }
   if (!ecl_cli_flag (cli, "to")) {
      return ecl_cli_usage (cli, "say which version to go back to, with --to");
   }
   if (ecl_remote_load (&remote, cli) && ecl_cli_chain (cli, remote.project, 0, &chain)) {
      if (!ecl_remote_effort (&remote) || !ecl_remote_target (cli, chain, &target)) {
         status = ECL_EXIT_USAGE;
      } else if (ecl_remote_connect (&remote)) {
         status = ecl_remote_run (&remote, chain, target, true, mode);
      }
   }
   ecl_remote_close (&remote);
   return status;
}

static const ecl_option_t options[] = {
   {"to", 0, "N", "the version to go back to"},
   {"mode", 0, "auto|pushdown|client", "who computes: the server, or eclose; auto chooses"},
   ECL_REPORTER_OPTIONS,
   ECL_REMOTE_EFFORT,
   ECL_REMOTE_SETTINGS,
   {NULL},
};

const ecl_command_t ecl_cmd_down = {
   .name = "down",
   .arguments = "COLLECTION --to N",
   .summary = "carry a collection back to an older version",
   .about = "Documents above the version run through the way down of each migration between.\n"
            "Refused where one of them has none or is irreversible.",
   .options = options,
   .min_args = 1,
   .max_args = 1,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER | ECL_COMMAND_FORMAT,
   .run = run,
};
