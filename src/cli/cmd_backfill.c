/* eclose backfill: a job on a collection: starts it, works on it, says how far it is, and tells its workers what to do.
 */
#include "cli/backfill_status.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "run/job.h"
#include "run/publish.h"

/* How many times the calm time a write may take where nobody says. `up`, which somebody waits for, does not look at it. */
#define LATENCY 2.0

#define ENDED "%s: the job ended in the meantime"

typedef struct {
   ecl_cli_t *cli;
   ecl_remote_t *remote;
   const ecl_chain_t *chain; /* NULL: none was named */
} call_t;

/* ---- finding the job ---- */

/* The live job of the collection, or the only one there is. False after a message. */
static bool
find_live (const call_t *call, ecl_job_t *job)
{
   const ecl_remote_t *remote = call->remote;
   const char *collection = call->chain ? call->chain->collection : NULL;
   bson_error_t error;
   bool found;

   if (!ecl_job_latest (remote->world, remote->database, collection, true, job, &found, &error)) {
      ecl_cli_fail (call->cli, "%s", error.message);
      return false;
   }
   if (!found) {
      ecl_cli_fail (call->cli, "there is no job%s%s", collection ? " on " : "", collection ? collection : "");
   }
   return found;
}

/* ---- working ---- */

/* "90", "90s", "30m", "2h": milliseconds. False after a message. */
static bool
read_duration (const ecl_cli_t *cli, const char *name, int64_t *ms)
{
   const char *text = ecl_cli_option (cli, name), *unit;
   double value;
   char *end;

   *ms = 0;
   if (!text) {
      return true;
   }
   value = strtod (text, &end);
   unit = end;
   value *= strcmp (unit, "h") == 0 ? 3600 : strcmp (unit, "m") == 0 ? 60 : 1;
   if (end == text || !(value > 0 && value < 1e7) || (*unit && (!strchr ("hms", *unit) || unit[1]))) {
      ecl_cli_usage (cli, "--%s takes a time like 90s, 30m or 2h, not \"%s\"", name, text);
      return false;
   }
   *ms = (int64_t) (value * 1000);
   return true;
}

static ecl_exit_t
carry (call_t *call, bool only_join)
{
   ecl_remote_t *remote = call->remote;
   ecl_mode_t mode;
   size_t target;
   bson_error_t error;

   if (!ecl_remote_mode (call->cli, &mode) || !ecl_remote_target (call->cli, call->chain, &target)) {
      return ECL_EXIT_USAGE;
   }
   remote->effort.only_join = only_join;
   if (!(remote->effort.set & ECL_SET_MAX_LATENCY) && remote->effort.settings.max_latency <= 0) {
      remote->effort.settings.max_latency = LATENCY; /* of a new job; one that is joined keeps its own */
   }
   /* Before the first document that an older program has to read. */
   if (!only_join && !ecl_publish (remote->world, remote->database, remote->project, NULL, &error)) {
      return ecl_cli_fail (call->cli, "%s", error.message);
   }
   return ecl_remote_run (remote, call->chain, target, ecl_cli_flag (call->cli, "down"), mode);
}

static ecl_exit_t
do_start (call_t *call)
{
   call->remote->effort.only_start = ecl_cli_flag (call->cli, "detach");
   return carry (call, false);
}

/* No job lives: the last one was ended as it should be, and whoever starts workers again and again may stop; or not. */
static ecl_exit_t
nothing_to_work_on (const call_t *call, const ecl_job_t *last)
{
   const char *collection = call->chain ? call->chain->collection : NULL;

   if (last && (last->state == ECL_JOB_DONE || last->state == ECL_JOB_CANCELLED)) {
      ecl_cli_note (call->cli, "%s: the last job %s: there is nothing to work on", last->collection,
                    last->state == ECL_JOB_DONE ? "is done" : "was cancelled");
      return ECL_EXIT_OK;
   }
   if (last) {
      return ecl_cli_fail (call->cli, "%s: there is no job to work on, the last one failed: %s", last->collection,
                           last->error);
   }
   return ecl_cli_fail (call->cli, "there is no job%s%s", collection ? " on " : "", collection ? collection : "");
}

/* The job that is there, or that of the collection; where none was named the latest. */
static ecl_exit_t
do_work (call_t *call)
{
   const ecl_remote_t *remote = call->remote;
   const char *collection = call->chain ? call->chain->collection : NULL;
   bson_error_t error;
   ecl_job_t job;
   bool found;

   if (ecl_cli_flag (call->cli, "to")) {
      return ecl_cli_usage (call->cli, "the job says where to; --to is for `start`");
   }
   if (!ecl_job_latest (remote->world, remote->database, collection, true, &job, &found, &error) ||
       (!found && !ecl_job_latest (remote->world, remote->database, collection, false, &job, &found, &error))) {
      return ecl_cli_fail (call->cli, "%s", error.message);
   }
   if (!found || !(ecl_job_is_live (job.state) || ecl_job_is_given_up (&job))) {
      return nothing_to_work_on (call, found ? &job : NULL);
   }
   if (!call->chain) {
      call->chain = ecl_project_chain (call->remote->project, job.collection);
      if (!call->chain) {
         return ecl_cli_fail (call->cli, "this project does not know %s, which a job is on", job.collection);
      }
   }
   return carry (call, true);
}

/* Goes on where it stopped yesterday; begins where there is nothing to go on with. */
static ecl_exit_t
do_run (call_t *call)
{
   ecl_effort_t *effort = &call->remote->effort;
   ecl_job_t job;
   bson_error_t error;
   bool found;

   if (!read_duration (call->cli, "for", &effort->lasts)) {
      return ECL_EXIT_USAGE;
   }
   if (!ecl_job_latest (call->remote->world, call->remote->database, call->chain->collection, true, &job, &found,
                        &error)) {
      return ecl_cli_fail (call->cli, "%s", error.message);
   }
   /* One that is still being planned may have lost who plans it: whoever starts one waits for that, or does it. */
   return carry (call, found && job.state == ECL_JOB_RUNNING && !ecl_cli_flag (call->cli, "to"));
}

/* ---- telling the workers ---- */

static ecl_exit_t
ask (call_t *call, ecl_job_wanted_t wanted, const char *done)
{
   const ecl_remote_t *remote = call->remote;
   bson_error_t error;
   ecl_job_t job;
   bool took;

   if (!find_live (call, &job)) {
      return ECL_EXIT_FAILED;
   }
   if (!ecl_job_ask (remote->world, remote->database, job.id, wanted, &took, &error)) {
      return ecl_cli_fail (call->cli, "%s", error.message);
   }
   if (!took) {
      return ecl_cli_fail (call->cli, ENDED, job.collection);
   }
   ecl_cli_note (call->cli, "%s: %s", job.collection, done);
   return ECL_EXIT_OK;
}

static ecl_exit_t
do_pause (call_t *call)
{
   return ask (call, ECL_WANTED_PAUSED, "paused; `eclose backfill resume` lets it go on");
}

static ecl_exit_t
do_resume (call_t *call)
{
   return ask (call, ECL_WANTED_RUNNING, "goes on, as far as somebody works on it");
}

static ecl_exit_t
do_cancel (call_t *call)
{
   return ask (call, ECL_WANTED_CANCELLED,
               "cancelled; documents stay at the versions that they are at, which readers do not notice");
}

static ecl_exit_t
do_set (call_t *call)
{
   const ecl_remote_t *remote = call->remote;
   bson_error_t error;
   ecl_job_t job;
   bool took;

   if (!remote->effort.set) {
      return ecl_cli_usage (call->cli,
                            "say what to set: --max-rate, --batch-time, --max-latency, --max-lag, --min-window");
   }
   if (!find_live (call, &job)) {
      return ECL_EXIT_FAILED;
   }
   if (!ecl_job_change (remote->world, remote->database, job.id, &remote->effort.settings, remote->effort.set, &took,
                        &error)) {
      return ecl_cli_fail (call->cli, "%s", error.message);
   }
   if (!took) {
      return ecl_cli_fail (call->cli, ENDED, job.collection);
   }
   ecl_cli_note (call->cli, "%s: set; its workers take it over within two seconds", job.collection);
   return ECL_EXIT_OK;
}

static ecl_exit_t
do_status (call_t *call)
{
   return ecl_backfill_status (call->remote, call->chain ? call->chain->collection : NULL);
}

/* ---- the command ---- */

static const struct {
   const char *name;
   ecl_exit_t (*run) (call_t *call);
   bool collection; /* has to be named */
} verbs[] = {
   {"start", do_start, true},  {"work", do_work, false},     {"run", do_run, true},        {"status", do_status, false},
   {"pause", do_pause, false}, {"resume", do_resume, false}, {"cancel", do_cancel, false}, {"set", do_set, false},
};

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_remote_t remote = {0};
   call_t call = {.cli = cli, .remote = &remote};
   size_t verb = 0, n = sizeof verbs / sizeof verbs[0];

   while (verb < n && strcmp (cli->args[0], verbs[verb].name) != 0) {
      verb++;
   }
   if (verb == n) {
      return ecl_cli_usage (cli, "backfill what? start, work, run, status, pause, resume, cancel or set, not \"%s\"",
                            cli->args[0]);
   }
   if (verbs[verb].collection && cli->n_args < 2) {
      return ecl_cli_usage (cli, "backfill %s needs a COLLECTION", verbs[verb].name);
   }
   if (ecl_cli_flag (cli, "for") && verbs[verb].run != do_run) {
      return ecl_cli_usage (cli, "--for is for `backfill run`");
   }
   if (!ecl_remote_open (&remote, cli)) {
      goto done;
   }
   if (!ecl_remote_effort (&remote, cli)) {
      status = ECL_EXIT_USAGE;
   } else if (ecl_cli_chain (cli, remote.project, 1, &call.chain)) {
      status = verbs[verb].run (&call);
   }

done:
   ecl_remote_close (&remote);
   return status;
}

static const ecl_option_t options[] = {
   {"to", 0, "N", "start, run: another target than the end of the chain"},
   {"down", 0, NULL, "start, run: the way back to --to"},
   {"mode", 0, "auto|pushdown|client", "start: who computes; auto chooses"},
   {"detach", 0, NULL, "start: make the job, and leave the work to others"},
   {"for", 0, "TIME", "run: ends after 90s, 30m or 2h; the next one goes on there"},
   ECL_REPORTER_OPTIONS,
   ECL_REMOTE_EFFORT,
   ECL_REMOTE_SETTINGS,
   {NULL},
};

const ecl_command_t ecl_cmd_backfill = {
   .name = "backfill",
   .arguments = "start|work|run|status|pause|resume|cancel|set [COLLECTION]",
   .summary = "a job on a collection: start it, join it, watch it, steer it",
   .about = "start   makes a job that carries the COLLECTION to its target, and works on it\n"
            "work    joins a job, from any machine\n"
            "run     starts one or goes on with it, for a time: every night some hours\n"
            "status  how far it is, and who works on it\n"
            "pause, resume, cancel, set   act on its workers within two seconds, wherever\n"
            "they are; set changes --max-rate, --batch-time, --max-latency, --max-lag or\n"
            "--min-window",
   .options = options,
   .min_args = 1,
   .max_args = 2,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER | ECL_COMMAND_FORMAT,
   .run = run,
};
