/* eclose revert: takes database migrations back, the last one first. */
#include "cli/commands.h"
#include "cli/works.h"

/* The one to take back next: that of the name, else the last that is applied or on its way down. */
static const ecl_placed_t *
next (const ecl_works_t *works, const char *name)
{
   const ecl_placed_t *last = NULL;

   if (name) {
      return ecl_works_find (works, name);
   }
   for (size_t i = 0; i < works->runner.n; i++) {
      const ecl_changelog_t *record = works->runner.list[i].record;

      last = record && works->runner.list[i].kind != ECL_PLACE_ADOPTED &&
                   (record->state == ECL_CHANGELOG_APPLIED || (record->down && record->state != ECL_CHANGELOG_REVERTED))
                ? &works->runner.list[i]
                : last;
   }
   return last;
}

static ecl_exit_t
revert_one (ecl_works_t *works, const char *name, bool *found)
{
   const ecl_placed_t *placed = next (works, name);
   ecl_cli_t *cli = works->remote->cli;

   *found = placed != NULL;
   if (!placed) {
      return name ? ECL_EXIT_FAILED : ECL_EXIT_OK;
   }
   if (placed->kind == ECL_PLACE_ADOPTED) {
      return ecl_cli_fail (cli, "%s was applied by another tool: only that one knows its way down", placed->name);
   }
   if (!placed->work) {
      return ecl_cli_fail (cli, "%s is applied, but its file is gone: nobody knows its way down", placed->name);
   }
   if (!placed->record || placed->record->state == ECL_CHANGELOG_REVERTED ||
       (!placed->record->down && placed->record->state != ECL_CHANGELOG_APPLIED)) {
      return ecl_cli_fail (cli, "%s is not applied: there is nothing to take back", placed->name);
   }
   return ecl_works_run (works, placed, true);
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   const char *name = cli->n_args ? cli->args[0] : NULL;
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_remote_t remote = {0};
   ecl_throttle_settings_t rate;
   ecl_works_t works = {0};
   int64_t steps, wait;
   bool found = true;

   if (!ecl_cli_number (cli, "steps", 1, INT32_MAX, 1, &steps) || !ecl_works_wait (cli, &wait) ||
       !ecl_works_rate (cli, &rate)) {
      return ECL_EXIT_USAGE;
   }
   if (name && ecl_cli_flag (cli, "steps")) {
      return ecl_cli_usage (cli, "a NAME and --steps exclude each other");
   }
   if (!ecl_remote_open (&remote, cli) || !ecl_works_open (&works, &remote)) {
      goto done;
   }
   ecl_works_set_rate (&works, &rate);
   status = ecl_works_acquire (&works, wait);
   if (status == ECL_EXIT_OK && !ecl_works_unchanged (&works)) {
      status = ECL_EXIT_FAILED;
   }
   for (int64_t i = 0; i < steps && status == ECL_EXIT_OK && found; i++) {
      bson_error_t error;

      /* What the one before it changed in the list is read again. */
      if (i && !ecl_runner_read (&works.runner, &error)) {
         status = ecl_cli_fail (cli, "%s", error.message);
         break;
      }
      status = revert_one (&works, name, &found);
      if (!i && !found && !name) {
         ecl_cli_note (cli, "nothing is applied: there is nothing to take back");
      }
   }

done:
   ecl_works_close (&works);
   ecl_remote_close (&remote);
   return status;
}

static const ecl_option_t options[] = {
   {"steps", 0, "N", "so many, the last one first; 1 unless told otherwise"},
   {"wait", 0, "[=SECONDS]", "where somebody else is migrating: wait for the end of it"},
   {"max-rate", 0, "RATE", "documents (1000) or bytes (5MB) a second that are written"},
   {NULL},
};

const ecl_command_t ecl_cmd_revert = {
   .name = "revert",
   .arguments = "[NAME]",
   .summary = "take database migrations back",
   .about = "Runs the way down of the last one that is applied, or of NAME. Refused where it has\n"
            "none. It may be killed at any time and run again.",
   .options = options,
   .max_args = 1,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER | ECL_COMMAND_FORMAT,
   .run = run,
};
