/* eclose backfill: a job on a collection: starts it, works on it, says how far it is, and tells its workers what to do.
 */
#include "backfill/job.h"
#include "cli/backfill_status.h"
#include "cli/commands.h"
#include "cli/remote.h"
#include "run/publish.h"

/* How many times the calm time a write may take where nobody says. `up`, which somebody waits for, does not look at
 * it. */
#define LATENCY 2.0

#define ENDED "%s: the job ended in the meantime"

/* Jobs that are named where it is not said which one is meant. */
#define SEVERAL 8

typedef struct {
   ecl_cli_t *cli;
   ecl_remote_t *remote;
   const char *collection;   /* NULL: none was named */
   const ecl_chain_t *chain; /* of it; NULL also where migrations are not needed */
   size_t target;            /* on it */
   ecl_mode_t mode;
} call_t;

/* ---- finding the job ---- */

/* Whether a collection of which no job was found may be meant. One that is in the project no more is found; where there
 * is none the name is mistyped. False after a message. */
static bool
may_be_meant (const call_t *call)
{
   const ecl_chain_t *ignored;

   return ecl_cli_chain (call->cli, call->remote->project, 1, &ignored);
}

/* There is none that lives; last is the latest of those that ended, if any. */
static void
say_none (const call_t *call, const char *collection, const ecl_job_t *last)
{
   if (last) {
      ecl_cli_fail (call->cli, "no job%s%s is running: the last one, on %s to version %s, %s", collection ? " on " : "",
                    collection ? collection : "", last->collection, last->to,
                    last->state == ECL_JOB_DONE     ? "is done"
                    : last->state == ECL_JOB_FAILED ? "failed"
                                                    : "was cancelled");
   } else {
      ecl_cli_fail (call->cli, "there is no job%s%s", collection ? " on " : "", collection ? collection : "");
   }
}

typedef struct {
   ecl_job_t job; /* the latest */
   int n;
   char names[256];
} found_t;

static void
take_live (void *context, const ecl_job_t *job)
{
   found_t *self = context;
   size_t len = strlen (self->names);

   if (!self->n++) {
      self->job = *job;
   }
   snprintf (self->names + len, sizeof self->names - len, "%s%s", len ? ", " : "", job->collection);
}

/* The live job of the collection, or the only one there is: what is meant for one must not hit another. False after a
 * message. */
static bool
find_live (const call_t *call, ecl_job_t *job)
{
   const ecl_remote_t *remote = call->remote;
   const char *collection = call->collection;
   found_t live = {.n = 0};
   bson_error_t error;
   bool any = false;

   if (!ecl_job_list (remote->world, remote->database, collection, true, SEVERAL, take_live, &live, &error) ||
       (!live.n && !ecl_job_latest (remote->world, remote->database, collection, false, job, &any, &error))) {
      ecl_cli_fail (call->cli, "%s", error.message);
      return false;
   }
   if (!live.n) {
      if (any || may_be_meant (call)) {
         say_none (call, collection, any ? job : NULL);
      }
      return false;
   }
   if (live.n > 1 && !collection) {
      ecl_cli_fail (call->cli, "there is more than one job: say of which COLLECTION (%s)", live.names);
      return false;
   }
   *job = live.job;
   return true;
}

/* ---- working ---- */

/* "90s", "30m", "2h": milliseconds. A number alone could mean hours as well. False after a message. */
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
   if (end == text || !(value >= 0.001 && value < 1e7 /* seconds */) || !*unit || !strchr ("hms", *unit) || unit[1]) {
      ecl_cli_usage (cli, "--%s takes a time like 90s, 30m or 2h, up to 2777h, not \"%s\"", name, text);
      return false;
   }
   *ms = (int64_t) (value * 1000);
   return true;
}

static ecl_exit_t
carry (call_t *call, bool only_join)
{
   ecl_remote_t *remote = call->remote;
   bson_error_t error;

   remote->effort.only_join = only_join;
   if (!(remote->effort.set & ECL_SET_MAX_LATENCY) && remote->effort.settings.max_latency <= 0) {
      remote->effort.settings.max_latency = LATENCY; /* of a new job; one that is joined keeps its own */
   }
   /* Before the first document that an older program has to read. */
   if (!only_join && !ecl_publish (remote->world, remote->database, remote->project, NULL, &error)) {
      return ecl_cli_fail (call->cli, "%s", error.message);
   }
   return ecl_remote_run (remote, call->chain, call->target, ecl_cli_flag (call->cli, "down"), call->mode);
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
   const char *collection = call->collection;

   if (last && (last->state == ECL_JOB_DONE || last->state == ECL_JOB_CANCELLED)) {
      ecl_cli_note (call->cli, "%s: the last job %s: there is nothing to work on", last->collection,
                    last->state == ECL_JOB_DONE ? "is done" : "was cancelled");
      return ECL_EXIT_OK;
   }
   if (last) {
      ecl_cli_fail (call->cli, "%s: there is no job to work on, the last one failed: %s", last->collection,
                    last->error);
      return ECL_EXIT_JOB;
   }
   return ecl_cli_fail (call->cli, "there is no job%s%s", collection ? " on " : "", collection ? collection : "");
}

/* The job that is there, or that of the collection; where none was named the latest. */
static ecl_exit_t
do_work (call_t *call)
{
   const ecl_remote_t *remote = call->remote;
   const char *collection = call->collection;
   ecl_exit_t status;
   bson_error_t error;
   ecl_job_t job;
   bool found;

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
      call->target = call->chain->n_steps; /* the job has its own */
   }
   status = carry (call, true);
   return remote->job_failed ? ECL_EXIT_JOB : status;
}

/* Goes on where it stopped yesterday; begins where there is nothing to go on with. */
static ecl_exit_t
do_run (call_t *call)
{
   ecl_job_t job;
   bson_error_t error;
   bool found;

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
   if (wanted == ECL_WANTED_PAUSED) {
      ecl_cli_note (call->cli, "%s: paused; `eclose backfill resume %s` lets it go on", job.collection,
                    ecl_shell_word (job.collection).text);
   } else {
      ecl_cli_note (call->cli, "%s: %s", job.collection, done);
   }
   return ECL_EXIT_OK;
}

static ecl_exit_t
do_pause (call_t *call)
{
   return ask (call, ECL_WANTED_PAUSED, NULL);
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
   ecl_cli_note (call->cli, "%s: set; its workers take it over after the batch at hand", job.collection);
   return ECL_EXIT_OK;
}

static ecl_exit_t
do_status (call_t *call)
{
   return ecl_backfill_status (call->remote, call->collection);
}

/* ---- the command ---- */

/* Options, by what they are about. */
typedef enum {
   OF_TARGET = 1 << 0,   /* where the job goes */
   OF_MAKING = 1 << 1,   /* how it is made */
   OF_LEAVING = 1 << 2,  /* it is made, and not worked on */
   OF_TIME = 1 << 3,     /* how long this process works */
   OF_WORK = 1 << 4,     /* how this process works */
   OF_SETTINGS = 1 << 5, /* of the throttle, kept in the job */
} about_t;

static const struct {
   const char *name;
   about_t about;
} abouts[] = {
   {"to", OF_TARGET},
   {"down", OF_TARGET},
   {"range-docs", OF_MAKING},
   {"max-errors", OF_MAKING},
   {"detach", OF_LEAVING},
   {"for", OF_TIME},
   {"mode", OF_WORK},
   {"workers", OF_WORK},
   {"throttle-command", OF_WORK},
   {"metrics", OF_WORK},
   {"hook", OF_WORK},
   {"max-rate", OF_SETTINGS},
   {"batch-time", OF_SETTINGS},
   {"max-latency", OF_SETTINGS},
   {"max-lag", OF_SETTINGS},
   {"min-window", OF_SETTINGS},
};

typedef struct {
   const char *name;
   ecl_exit_t (*run) (call_t *call);
   bool collection; /* has to be named */
   bool migrations; /* needs them; the others act on the job's record alone */
   unsigned takes;  /* about_t */
} verb_t;

static const verb_t verbs[] = {
   {"start", do_start, true, true, OF_TARGET | OF_MAKING | OF_LEAVING | OF_WORK | OF_SETTINGS},
   {"work", do_work, false, true, OF_WORK | OF_SETTINGS},
   {"run", do_run, true, true, OF_TARGET | OF_MAKING | OF_TIME | OF_WORK | OF_SETTINGS},
   {"status", do_status, false, false, 0},
   {"pause", do_pause, false, false, 0},
   {"resume", do_resume, false, false, 0},
   {"cancel", do_cancel, false, false, 0},
   {"set", do_set, false, false, OF_SETTINGS},
};

#define N_VERBS (sizeof verbs / sizeof verbs[0])

/* An option that is given and is not for the verb. */
static bool
takes_option (const ecl_cli_t *cli, const verb_t *verb, const char *name, about_t about)
{
   char takers[64] = "";

   if ((verb->takes & about) || !ecl_cli_flag (cli, name)) {
      return true;
   }
   if (about == OF_SETTINGS) {
      ecl_cli_usage (cli, "--%s is not for \"backfill %s\"; \"backfill set\" changes it", name, verb->name);
      return false;
   }
   for (size_t i = 0; i < N_VERBS; i++) {
      if (verbs[i].takes & about) {
         size_t len = strlen (takers);

         snprintf (takers + len, sizeof takers - len, "%s%s", len ? ", " : "", verbs[i].name);
      }
   }
   ecl_cli_usage (cli, "--%s is not for \"backfill %s\", but for %s", name, verb->name, takers);
   return false;
}

/* Wrong usage that the command line alone shows. False after a message. */
static bool
takes_options (const ecl_cli_t *cli, const verb_t *verb)
{
   for (size_t i = 0; i < sizeof abouts / sizeof abouts[0]; i++) {
      if (!takes_option (cli, verb, abouts[i].name, abouts[i].about)) {
         return false;
      }
   }
   if (verb->collection && cli->n_args < 2) {
      ecl_cli_usage (cli, "backfill %s needs a COLLECTION", verb->name);
      return false;
   }
   if (ecl_cli_flag (cli, "down") && !ecl_cli_flag (cli, "to")) {
      ecl_cli_usage (cli, "say which version to go back to, with --to");
      return false;
   }
   if (ecl_cli_flag (cli, "detach") && ecl_cli_flag (cli, "throttle-command")) {
      ecl_cli_usage (cli, "--throttle-command is about the workers of this process; with --detach it has none");
      return false;
   }
   return true;
}

/* The project, as the verb needs it. False after a message. */
static bool
load (call_t *call, const verb_t *verb)
{
   if (!verb->migrations) {
      return ecl_remote_load_settings (call->remote, call->cli);
   }
   return ecl_remote_load (call->remote, call->cli) &&
          ecl_cli_chain (call->cli, call->remote->project, 1, &call->chain);
}

/* What the options say, with the project's help. False after a message. */
static bool
read_options (call_t *call, const verb_t *verb)
{
   ecl_remote_t *remote = call->remote;
   const ecl_cli_t *cli = call->cli;

   if (!ecl_remote_mode (cli, &call->mode) || !ecl_remote_effort (remote) ||
       !read_duration (cli, "for", &remote->effort.lasts) ||
       (call->chain && !ecl_remote_target (cli, call->chain, &call->target))) {
      return false;
   }
   if (verb->run == do_set && !remote->effort.set) {
      ecl_cli_usage (cli, "say what to set: --max-rate, --batch-time, --max-latency, --max-lag, --min-window");
      return false;
   }
   return true;
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_remote_t remote = {0};
   call_t call = {.cli = cli, .remote = &remote, .collection = cli->n_args > 1 ? cli->args[1] : NULL};
   size_t verb = 0;

   while (verb < N_VERBS && strcmp (cli->args[0], verbs[verb].name) != 0) {
      verb++;
   }
   if (verb == N_VERBS) {
      return ecl_cli_usage (cli, "backfill what? start, work, run, status, pause, resume, cancel or set, not \"%s\"",
                            cli->args[0]);
   }
   if (!takes_options (cli, &verbs[verb])) {
      return ECL_EXIT_USAGE;
   }
   if (load (&call, &verbs[verb])) {
      if (!read_options (&call, &verbs[verb])) {
         status = ECL_EXIT_USAGE;
      } else if (ecl_remote_connect (&remote)) {
         status = verbs[verb].run (&call);
      }
   }
   ecl_remote_close (&remote);
   return status;
}

static const ecl_option_t options[] = {
   {"to", 0, "N", "start, run: another target than the end of the chain"},
   {"down", 0, NULL, "start, run: the way back to --to"},
   {"mode", 0, "auto|pushdown|client", "start, run, work: who computes; auto chooses"},
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
            "pause, resume, cancel, set   act on its workers, wherever they are, after the\n"
            "batch at hand, within two seconds; where few documents of a range are left and\n"
            "a look for them takes long, within ten. set changes --max-rate, --batch-time,\n"
            "--max-latency, --max-lag or --min-window",
   .options = options,
   .min_args = 1,
   .max_args = 2,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER | ECL_COMMAND_FORMAT,
   .run = run,
};
