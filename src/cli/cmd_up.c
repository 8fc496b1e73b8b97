/* eclose up: runs database migrations, then carries collections to their target. */
#include "cli/commands.h"
#include "cli/works.h"
#include "run/publish.h"

static ecl_exit_t
do_works (ecl_works_t *works, const ecl_choice_t *choice)
{
   bson_error_t error;
   ecl_outcome_t outcome;

   if (!ecl_works_read (works) || !ecl_works_unchanged (works)) {
      return ECL_EXIT_FAILED;
   }
   outcome = ecl_runner_works (&works->runner, choice, &error);
   if (outcome != ECL_OUTCOME_DONE) {
      ecl_cli_fail (works->remote->cli, "%s", error.message);
   }
   return (ecl_exit_t) outcome;
}

static ecl_exit_t
carry_one (ecl_remote_t *remote, const ecl_chain_t *chain, size_t target, ecl_mode_t mode)
{
   bson_error_t error;

   /* Before the first document that an older program has to read. */
   if (!ecl_publish (remote->world, remote->database, remote->project, NULL, &error)) {
      return ecl_cli_fail (remote->cli, "%s", error.message);
   }
   remote->effort.by_records = true;
   return ecl_remote_run (remote, chain, target, false, mode);
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_choice_t choice = {.only = ecl_cli_option (cli, "only"),
                          .last = ecl_cli_option (cli, "to-migration"),
                          .strict = ecl_cli_flag (cli, "strict-order")};
   bool part = choice.only || choice.last || ecl_cli_flag (cli, "steps");
   ecl_exit_t status = ECL_EXIT_FAILED;
   const ecl_chain_t *only = NULL;
   bson_error_t error;
   ecl_remote_t remote = {0};
   ecl_throttle_settings_t rate;
   ecl_works_t works = {0};
   size_t n, target = 0;
   ecl_mode_t mode;

   if (!ecl_remote_mode (cli, &mode) || !ecl_works_wait (cli, &choice.wait) || !ecl_works_rate (cli, &rate) ||
       !ecl_cli_number (cli, "steps", 1, INT32_MAX, 0, &choice.steps)) {
      return ECL_EXIT_USAGE;
   }
   if (ecl_cli_flag (cli, "to") && !cli->n_args) {
      return ecl_cli_usage (cli, "--to needs a COLLECTION: each has versions of its own");
   }
   if (cli->n_args && ecl_cli_flag (cli, "wait")) {
      return ecl_cli_usage (cli, "--wait is about database migrations, not a COLLECTION");
   }
   if ((choice.only != NULL) + (choice.last != NULL) + (choice.steps > 0) > 1) {
      return ecl_cli_usage (cli, "--only, --to-migration and --steps exclude each other");
   }
   if (cli->n_args && (part || choice.strict)) {
      return ecl_cli_usage (
         cli, "--only, --to-migration, --steps and --strict-order are about database migrations, not a COLLECTION");
   }
   if (!ecl_remote_load (&remote, cli) || !ecl_cli_chain (cli, remote.project, 0, &only)) {
      goto done;
   }
   if (!ecl_remote_effort (&remote) || (only && !ecl_remote_target (cli, only, &target))) {
      status = ECL_EXIT_USAGE;
      goto done;
   }
   if (!ecl_remote_connect (&remote)) {
      goto done;
   }
   if (only) {
      status = carry_one (&remote, only, target, mode);
      goto done;
   }
   (void) ecl_project_works (remote.project, &n);
   ecl_works_init (&works, &remote);
   ecl_works_set_rate (&works, &rate);
   status = n || part ? do_works (&works, &choice) : ECL_EXIT_OK;
   if (status == ECL_EXIT_OK && !part) {
      status = (ecl_exit_t) ecl_runner_collections (&works.runner, mode, &error);
   }

done:
   ecl_works_close (&works);
   ecl_remote_close (&remote);
   return status;
}

static const ecl_option_t options[] = {
   {"to", 0, "N", "of a COLLECTION: another target than the end of the chain"},
   {"mode", 0, "auto|pushdown|client", "who computes: the server, or eclose; auto chooses"},
   {"wait", 0, "[=SECONDS]", "where somebody else is migrating: wait for the end of it"},
   {"to-migration", 0, "NAME", "database migrations up to this one, and no collections"},
   {"only", 0, "NAME", "this database migration alone"},
   {"steps", 0, "N", "at most so many database migrations, and no collections"},
   {"strict-order", 0, NULL, "refuse a database migration that one behind it has overtaken"},
   ECL_REPORTER_OPTIONS,
   ECL_REMOTE_EFFORT,
   ECL_REMOTE_SETTINGS,
   {NULL},
};

const ecl_command_t ecl_cmd_up = {
   .name = "up",
   .arguments = "[COLLECTION]",
   .summary = "run database migrations, carry collections to their target",
   .about = "Runs what is pending of the database migrations, in order of name, once each: who\n"
            "runs them holds a lease, and another `up` at the same time waits (--wait) or ends\n"
            "with status 4. Then carries every document of the project's collections along its\n"
            "chain; with a COLLECTION only that, and no database migrations. Applications go on\n"
            "reading and writing. It may be killed at any time and run again: finished steps are\n"
            "not repeated. A document that cannot be carried over goes to eclose_quarantine with\n"
            "the reason; the rest goes on, and the command ends with status 5.",
   .options = options,
   .max_args = 1,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER | ECL_COMMAND_FORMAT,
   .run = run,
};
