/* eclose complete: the end of a version. */
#include "backfill/complete.h"
#include "backfill/job.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/remote.h"

#include <time.h>

#define SAMPLE 1000

typedef struct {
   ecl_remote_t *remote;
   const ecl_chain_t *chain;
   size_t target;
   const ecl_look_t *how;
   int64_t counted; /* as was last told */
} check_t;

static bool
verify (void *context, int64_t *bad)
{
   check_t *self = context;

   ecl_progress_hide (&self->remote->progress);
   /* What it prints as JSON is one document. */
   return ecl_remote_verify (self->remote, self->chain, self->target, SAMPLE, self->how, self->remote->cli->json, bad);
}

static void
counted (void *context, int64_t done, int64_t total)
{
   check_t *self = context;
   ecl_progress_t *progress = &self->remote->progress;
   ecl_world_t *world = self->remote->world;

   /* It may count twice: for the validator, and below the version. */
   if (done <= self->counted) {
      ecl_progress_begin (progress, stderr, self->remote->cli->progress, self->chain->collection, (uint64_t) total,
                          world->now (world));
   }
   self->counted = done;
   ecl_progress_update (progress, (uint64_t) done, world->now (world));
}

static const char *const validators[] = {"none", "warn", "strict"};

static void
print_json (const ecl_complete_options_t *options, const ecl_completed_t *done, const char *version)
{
   const ecl_chain_t *chain = options->chain;
   bson_t line = BSON_INITIALIZER, list;
   char buffer[16];
   const char *key;

   BSON_APPEND_UTF8 (&line, "collection", chain->collection);
   BSON_APPEND_UTF8 (&line, "floor", version);
   BSON_APPEND_BOOL (&line, "complete", done->recorded);
   BSON_APPEND_BOOL (&line, "stays", done->recorded && done->strict);
   BSON_APPEND_INT64 (&line, "below", done->below);
   if (done->at_least) {
      BSON_APPEND_BOOL (&line, "at_least", true);
   }
   if (done->refused >= 0) {
      BSON_APPEND_INT64 (&line, "refused", done->refused);
   }
   BSON_APPEND_INT64 (&line, "quarantined", done->quarantined);
   BSON_APPEND_INT64 (&line, "bad", done->bad);
   BSON_APPEND_UTF8 (&line, "validator", done->strict ? "strict" : validators[options->validator != 0]);
   BSON_APPEND_ARRAY_BEGIN (&line, "deletable", &list);
   for (size_t i = 0; i < options->target && done->recorded; i++) {
      bson_uint32_to_string ((uint32_t) i, &key, buffer, sizeof buffer);
      BSON_APPEND_UTF8 (&list, key, chain->steps[i].file);
   }
   bson_append_array_end (&line, &list);
   ecl_cli_json (&line);
   bson_destroy (&line);
}

/* What carries over those that are below and not in quarantine, or does so already. */
static void
print_way (const ecl_remote_t *remote, const char *name, const char *version)
{
   bson_error_t why;
   ecl_job_t job;
   bool found;

   if (!ecl_job_latest (remote->world, remote->database, name, true, &job, &found, &why)) {
      printf ("%s: %s\n", name, why.message);
   } else if (found) {
      printf ("%s: a job %s to version %s is not done: `eclose backfill status %s`\n", name, job.down ? "down" : "up",
              job.to, ecl_shell_word (name).text);
   } else {
      printf ("%s: `eclose up %s --to %s` carries them over\n", name, ecl_shell_word (name).text, version);
   }
}

static void
print_missing (const ecl_remote_t *remote, const ecl_complete_options_t *options, const ecl_completed_t *done,
               const char *version)
{
   const char *name = options->chain->collection, *least = done->at_least ? "at least " : "";
   char n[32];

   if (done->below) {
      printf ("%s: %s%s document%s below version %s", name, least, ecl_progress_count ((uint64_t) done->below, n),
              done->below == 1 ? " is" : "s are", version);
      if (done->quarantined) {
         printf ("; %s in quarantine (eclose quarantine list %s)", ecl_progress_count ((uint64_t) done->quarantined, n),
                 ecl_shell_word (name).text);
      }
      printf ("\n");
      if (done->below > done->quarantined) {
         print_way (remote, name, version);
      }
   }
   if (done->refused > 0) {
      printf ("%s: %s%s document%s not keep the validator, which warns of them and does not refuse them yet\n", name,
              least, ecl_progress_count ((uint64_t) done->refused, n), done->refused == 1 ? " does" : "s do");
   }
   if (done->refused > done->below && options->target == options->chain->n_steps) {
      printf ("%s: `eclose verify %s --all` names them, and what is wrong with them\n", name,
              ecl_shell_word (name).text);
   }
}

static void
print_text (const ecl_remote_t *remote, const ecl_complete_options_t *options, const ecl_completed_t *done,
            const char *version, time_t began)
{
   const ecl_chain_t *chain = options->chain;
   const char *name = chain->collection;
   char text[32];

   if (!done->recorded) {
      print_missing (remote, options, done, version);
      return;
   }
   if (done->strict) {
      printf ("%s: no document is below version %s, and a validator refuses those that are\n", name, version);
   } else {
      printf ("%s: no document is below version %s as of %s; an old writer may come back: --validator keeps it out\n",
              name, version, ecl_cli_time ((int64_t) began * 1000, text));
   }
   if (done->higher) {
      printf ("%s: a higher floor was recorded before, and stays\n", name);
   }
   if (options->validator == ECL_VALIDATOR_WARN && !done->strict) {
      printf ("%s: the validator warns, and refuses nothing yet; all documents keep it\n", name);
   }
   if (options->target) {
      printf ("with `floor: %s` for %s in the project file these may be deleted, once no release needs them:\n",
              version, name);
   }
   for (size_t i = 0; i < options->target; i++) {
      printf ("  %s\n", chain->steps[i].file);
   }
}

static bool
read_validator (const ecl_cli_t *cli, ecl_validator_t *validator)
{
   const char *text = ecl_cli_option (cli, "validator");

   *validator = !text ? ECL_VALIDATOR_NONE : strcmp (text, "warn") == 0 ? ECL_VALIDATOR_WARN : ECL_VALIDATOR_STRICT;
   if (text && *text && strcmp (text, "warn") != 0 && strcmp (text, "strict") != 0) {
      ecl_cli_usage (cli, "--validator takes warn or strict, not \"%s\"", text);
      return false;
   }
   return true;
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_complete_options_t options = {.replace = ecl_cli_flag (cli, "replace"), .verify = verify};
   char version[ECL_VERSION_TEXT];
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_remote_t remote = {0};
   ecl_completed_t done;
   bson_error_t error;
   time_t began;
   ecl_site_t site;
   check_t check;

   if (!read_validator (cli, &options.validator) || !ecl_remote_look (&remote, cli, &options.look)) {
      return ECL_EXIT_USAGE;
   }
   if (options.replace && options.validator == ECL_VALIDATOR_NONE) {
      return ecl_cli_usage (cli, "--replace is about --validator");
   }
   if (!ecl_remote_load (&remote, cli) || !ecl_cli_chain (cli, remote.project, 0, &options.chain)) {
      goto done;
   }
   if (!ecl_remote_target (cli, options.chain, &options.target)) {
      status = ECL_EXIT_USAGE;
      goto done;
   }
   if (!ecl_remote_connect (&remote)) {
      goto done;
   }
   site = ecl_remote_site (&remote);
   check = (check_t){&remote, options.chain, options.target, &options.look, INT64_MAX};
   options.progress = counted;
   options.context = &check;
   began = time (NULL);
   if (!ecl_complete (&site, &options, &done, &error)) {
      ecl_progress_hide (&remote.progress);
      status = ecl_is_lease_error (&error) ? ECL_EXIT_LEASE : ECL_EXIT_FAILED;
      ecl_cli_fail (cli, "%s%s", error.message,
                    error.domain == ECL_DOMAIN_RUN && error.code == ECL_ERROR_CANCELLED
                       ? "; nothing is recorded, and the same command begins anew"
                       : "");
      goto done;
   }
   ecl_version_text (options.chain->format, ecl_chain_version (options.chain, options.target), version);
   ecl_progress_hide (&remote.progress);
   if (cli->json) {
      print_json (&options, &done, version);
   } else {
      print_text (&remote, &options, &done, version, began);
   }
   status = done.recorded ? ECL_EXIT_OK : ECL_EXIT_FOUND;

done:
   ecl_remote_close (&remote);
   return status;
}

static const ecl_option_t command_options[] = {
   {"to", 0, "N", "the version below which no document may be; the end of the chain unless told otherwise"},
   {"validator", 0, "[=warn|strict]", "have the server refuse documents below it: first warn, then strict"},
   {"replace", 0, NULL, "put that in place of a validator that is there and another"},
   ECL_REMOTE_LOOK,
   {NULL},
};

const ecl_command_t ecl_cmd_complete = {
   .name = "complete",
   .arguments = "COLLECTION",
   .summary = "make sure that a version is over, and record it",
   .about = "Counts, on what the majority has, that no document is below the version, verifies some,\n"
            "records that, and says which migration files may be deleted. With --validator the server\n"
            "first warns of documents that are below it or do not keep the version's `schema`, and\n"
            "refuses them once there are none; without one the result is true as of now. Ends with\n"
            "status 5 where documents stand in the way.",
   .options = command_options,
   .min_args = 1,
   .max_args = 1,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER | ECL_COMMAND_FORMAT,
   .run = run,
};
