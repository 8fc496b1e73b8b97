/* eclose up: runs database migrations, then carries collections to their target. */
#include "cli/commands.h"
#include "cli/works.h"
#include "run/publish.h"

/* What is to run, as the options say. */
typedef struct {
   const char *only, *last;
   int64_t steps;
   bool strict;
} choice_t;

static bool
is_chosen (const choice_t *choice, const ecl_placed_t *placed)
{
   return ecl_placed_pending (placed) && (!choice->only || strcmp (choice->only, placed->name) == 0) &&
          (!choice->last || strcmp (placed->name, choice->last) <= 0);
}

static size_t
count_chosen (const ecl_works_t *works, const choice_t *choice)
{
   size_t n = 0;

   for (size_t i = 0; i < works->n; i++) {
      n += is_chosen (choice, &works->list[i]);
   }
   return n;
}

/* The migrations into the catalog, before they make the first document that an older program has to read. */
static bool
publish (const ecl_remote_t *remote)
{
   bson_error_t error;

   if (!ecl_publish (remote->world, remote->database, remote->project, NULL, &error)) {
      ecl_cli_fail (remote->cli, "%s", error.message);
      return false;
   }
   return true;
}

/* All that are pending, in order, under the lease. The first that fails is the last. */
static ecl_exit_t
run_works (ecl_works_t *works, const choice_t *choice)
{
   ecl_cli_t *cli = works->remote->cli;
   ecl_exit_t status = ECL_EXIT_OK;
   int64_t done = 0;

   for (size_t i = 0; i < works->n && choice->strict; i++) {
      if (is_chosen (choice, &works->list[i]) && works->list[i].kind == ECL_PLACE_LATE) {
         return ecl_cli_fail (cli, "%s arrived late: one behind it is applied already, and --strict-order refuses that",
                              works->list[i].name);
      }
   }
   for (size_t i = 0; i < works->n && status == ECL_EXIT_OK && done < choice->steps; i++) {
      const ecl_placed_t *placed = &works->list[i];

      if (!is_chosen (choice, placed)) {
         continue;
      }
      if (placed->kind == ECL_PLACE_LATE) {
         ecl_cli_note (cli, "%s arrived late: one behind it is applied already", placed->name);
      }
      if (placed->record && placed->record->down && placed->record->state != ECL_CHANGELOG_REVERTED) {
         return ecl_cli_fail (cli, "%s is on its way down: `eclose revert %s` ends that", placed->name, placed->name);
      }
      status = ecl_works_run (works, placed, false);
      done++;
   }
   return status;
}

static ecl_exit_t
do_works (ecl_works_t *works, const choice_t *choice, int64_t wait)
{
   ecl_exit_t status;

   if (!ecl_works_unchanged (works) || (choice->only && !ecl_works_find (works, choice->only)) ||
       (choice->last && !ecl_works_find (works, choice->last))) {
      return ECL_EXIT_FAILED;
   }
   if (!count_chosen (works, choice)) {
      return ECL_EXIT_OK;
   }
   status = ecl_works_acquire (works, wait);
   if (status != ECL_EXIT_OK) {
      return status;
   }
   return ecl_works_unchanged (works) && publish (works->remote) ? run_works (works, choice) : ECL_EXIT_FAILED;
}

static ecl_exit_t
carry_all (ecl_remote_t *remote, const ecl_chain_t *only, ecl_mode_t mode)
{
   ecl_exit_t status = ECL_EXIT_OK, one;
   const ecl_chain_t *chains;
   size_t n, target;

   chains = ecl_project_chains (remote->project, &n);
   for (size_t i = 0; i < n; i++) {
      if (only && only != &chains[i]) {
         continue;
      }
      if (!ecl_remote_target (remote->cli, &chains[i], &target)) {
         return ECL_EXIT_USAGE;
      }
      one = ecl_remote_run (remote, &chains[i], target, false, mode);
      /* What failed weighs more than what is in quarantine; the other collections are carried all the same. */
      status = one == ECL_EXIT_FAILED || status == ECL_EXIT_OK ? one : status;
      if (remote->world->cancelled (remote->world)) {
         break;
      }
   }
   return status;
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   choice_t choice = {.only = ecl_cli_option (cli, "only"),
                      .last = ecl_cli_option (cli, "to-migration"),
                      .strict = ecl_cli_flag (cli, "strict-order")};
   bool part = choice.only || choice.last || ecl_cli_flag (cli, "steps");
   ecl_exit_t status = ECL_EXIT_FAILED;
   const ecl_chain_t *only = NULL;
   ecl_remote_t remote = {0}, under;
   ecl_works_t works = {0};
   ecl_mode_t mode;
   int64_t wait;
   size_t n;

   if (!ecl_remote_mode (cli, &mode) || !ecl_works_wait (cli, &wait) ||
       !ecl_cli_number (cli, "steps", 1, INT32_MAX, INT64_MAX, &choice.steps)) {
      return ECL_EXIT_USAGE;
   }
   if (ecl_cli_flag (cli, "to") && !cli->n_args) {
      return ecl_cli_usage (cli, "--to needs a COLLECTION: each has versions of its own");
   }
   if (cli->n_args && (part || choice.strict)) {
      return ecl_cli_usage (
         cli, "--only, --to-migration, --steps and --strict-order are about database migrations, not a COLLECTION");
   }
   if (!ecl_remote_open (&remote, cli) || !ecl_cli_chain (cli, remote.project, 0, &only)) {
      goto done;
   }
   status = ECL_EXIT_OK;
   (void) ecl_project_works (remote.project, &n);
   if (!only && (n || part)) {
      status = ecl_works_open (&works, &remote) ? do_works (&works, &choice, wait) : ECL_EXIT_FAILED;
   }
   if (status == ECL_EXIT_OK && !part) {
      under = remote;
      under.world = works.acquired ? ecl_held_world_init (&works.held, remote.world, &works.holder) : remote.world;
      status = publish (&under) ? carry_all (&under, only, mode) : ECL_EXIT_FAILED;
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
