/* eclose backfill: a job on a collection: starts it, works on it, says how far it is, and tells its workers what to do.
 */
#include "cli/commands.h"
#include "cli/remote.h"
#include "run/job.h"
#include "run/publish.h"

#include <inttypes.h>

/* How many times the calm time a write may take where nobody says. `up`, which somebody waits for, does not look at it. */
#define LATENCY 2.0

/* Jobs that status lists. */
#define LISTED 20

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

static const char *
id_text (const ecl_job_t *job, char text[25])
{
   bson_oid_t oid;

   bson_oid_init_from_data (&oid, job->id);
   bson_oid_to_string (&oid, text);
   return text;
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

/* ---- status ---- */

typedef struct {
   const call_t *call;
   ecl_arena_t arena;
   ecl_job_t *jobs;
   size_t n;
   bson_t workers; /* of one job: array */
   uint32_t n_workers;
   double rate;
} status_t;

static void
take_job (void *context, const ecl_job_t *job)
{
   status_t *self = context;

   if (self->n < LISTED) {
      self->jobs[self->n++] = *job;
   }
}

static void
take_worker (void *context, const ecl_chunk_row_t *row)
{
   status_t *self = context;
   char buffer[16];
   const char *key;
   bson_t one;

   bson_uint32_to_string (self->n_workers++, &key, buffer, sizeof buffer);
   BSON_APPEND_DOCUMENT_BEGIN (&self->workers, key, &one);
   BSON_APPEND_UTF8 (&one, "host", row->host);
   BSON_APPEND_INT64 (&one, "pid", row->pid);
   BSON_APPEND_INT32 (&one, "range", row->n);
   BSON_APPEND_UTF8 (&one, "state", row->state == ECL_CHUNK_OPEN ? "carries" : "sweeps");
   BSON_APPEND_INT64 (&one, "changed", row->counts.changed);
   BSON_APPEND_INT64 (&one, "documents", row->documents);
   BSON_APPEND_DOUBLE (&one, "rate", row->rate);
   BSON_APPEND_UTF8 (&one, "slowed", row->slowed);
   BSON_APPEND_BOOL (&one, "alive", row->left > 0);
   bson_append_document_end (&self->workers, &one);
   self->rate += row->left > 0 ? row->rate : 0;
}

static void
print_worker (const bson_t *worker)
{
   const char *host = "", *state = "", *slowed = "";
   int64_t pid = 0, range = 0, changed = 0;
   bson_iter_t iter;
   double rate = 0;
   bool alive = false;
   char a[32], b[32];

   bson_iter_init (&iter, worker);
   while (bson_iter_next (&iter)) {
      const char *name = bson_iter_key (&iter);

      if (strcmp (name, "host") == 0) {
         host = bson_iter_utf8 (&iter, NULL);
      } else if (strcmp (name, "state") == 0) {
         state = bson_iter_utf8 (&iter, NULL);
      } else if (strcmp (name, "slowed") == 0) {
         slowed = bson_iter_utf8 (&iter, NULL);
      } else if (strcmp (name, "pid") == 0) {
         pid = bson_iter_as_int64 (&iter);
      } else if (strcmp (name, "range") == 0) {
         range = bson_iter_as_int64 (&iter);
      } else if (strcmp (name, "changed") == 0) {
         changed = bson_iter_as_int64 (&iter);
      } else if (strcmp (name, "rate") == 0) {
         rate = bson_iter_as_double (&iter);
      } else if (strcmp (name, "alive") == 0) {
         alive = bson_iter_bool (&iter);
      }
   }
   if (!alive) {
      printf ("  %s, process %" PRId64 ": was lost in range %" PRId64 ", which another one takes over\n", host, pid,
              range);
      return;
   }
   printf ("  %s, process %" PRId64 ": %s range %" PRId64 ", %s changed in it, %s/s%s%s\n", host, pid, state, range,
           ecl_progress_count ((uint64_t) changed, a), ecl_progress_count ((uint64_t) rate, b),
           *slowed ? "; slowed by " : "", slowed);
}

static void
print_text (const status_t *self, const ecl_job_t *job, const ecl_chunks_sum_t *sum)
{
   int64_t done = ecl_job_done (job, sum), left = job->documents - done, n = sum->n[0] + sum->n[1] + sum->n[2];
   const ecl_cli_t *cli = self->call->cli;
   bool live = ecl_job_is_live (job->state);
   char a[32], b[32], c[32], id[25];
   bson_iter_t iter;

   printf ("%s%s%s: %s to version %s, %s%s%s (%s: %s)\n", ecl_cli_colour (cli, ECL_CLI_BOLD), job->collection,
           ecl_cli_colour (cli, ECL_CLI_PLAIN), job->down ? "down" : "up", job->to, ecl_job_state_name (job->state),
           live && job->wanted != ECL_WANTED_RUNNING ? ", " : "",
           live && job->wanted != ECL_WANTED_RUNNING ? ecl_job_wanted_name (job->wanted) : "", job->mode, job->why);
   printf ("  job %s by %s, process %" PRId64 "%s%s\n", id_text (job, id), *job->host ? job->host : "unknown", job->pid,
           *job->user ? ", user " : "", job->user);
   if (*job->error) {
      printf ("  %s%s%s\n", ecl_cli_colour (cli, ECL_CLI_RED), job->error, ecl_cli_colour (cli, ECL_CLI_PLAIN));
   }
   if (!live) {
      printf ("  %s changed, %s conflicts, %s in quarantine\n", ecl_progress_count ((uint64_t) job->counts.changed, a),
              ecl_progress_count ((uint64_t) job->counts.conflicts, b),
              ecl_progress_count ((uint64_t) job->counts.quarantined, c));
      return;
   }
   printf ("  %s of about %s documents done", ecl_progress_count ((uint64_t) done, a),
           ecl_progress_count ((uint64_t) job->documents, b));
   if (self->rate >= 1) {
      printf (", %s/s", ecl_progress_count ((uint64_t) self->rate, c));
      if (left > 0) {
         printf (", %s left", ecl_progress_time ((int64_t) ((double) left * 1000 / self->rate), c));
      }
   }
   printf ("\n  ranges: %" PRId64 " of %" PRId64 " carried, %" PRId64 " swept\n", sum->n[1] + sum->n[2], n, sum->n[2]);
   if (sum->counts.quarantined) {
      printf ("  %s%s in quarantine%s\n", ecl_cli_colour (cli, ECL_CLI_RED),
              ecl_progress_count ((uint64_t) sum->counts.quarantined, a), ecl_cli_colour (cli, ECL_CLI_PLAIN));
   }
   if (!self->n_workers && job->wanted == ECL_WANTED_PAUSED) {
      printf ("  `eclose backfill resume %s` lets its workers go on\n", job->collection);
   } else if (!self->n_workers) {
      printf ("  %snobody works on it%s: `eclose backfill work %s` does\n", ecl_cli_colour (cli, ECL_CLI_YELLOW),
              ecl_cli_colour (cli, ECL_CLI_PLAIN), job->collection);
   }
   bson_iter_init (&iter, &self->workers);
   while (bson_iter_next (&iter)) {
      const uint8_t *data;
      uint32_t len;
      bson_t one;

      bson_iter_document (&iter, &len, &data);
      if (bson_init_static (&one, data, len)) {
         print_worker (&one);
      }
   }
}

static void
print_json (const status_t *self, const ecl_job_t *job, const ecl_chunks_sum_t *sum)
{
   int64_t done = ecl_job_done (job, sum);
   bson_t line = BSON_INITIALIZER, child;
   bool live = ecl_job_is_live (job->state);
   char id[25];

   BSON_APPEND_UTF8 (&line, "job", id_text (job, id));
   BSON_APPEND_UTF8 (&line, "collection", job->collection);
   BSON_APPEND_UTF8 (&line, "kind", job->down ? "down" : "up");
   BSON_APPEND_UTF8 (&line, "to", job->to);
   BSON_APPEND_UTF8 (&line, "mode", job->mode);
   BSON_APPEND_UTF8 (&line, "why", job->why);
   BSON_APPEND_UTF8 (&line, "state", ecl_job_state_name (job->state));
   BSON_APPEND_UTF8 (&line, "wanted", ecl_job_wanted_name (job->wanted));
   BSON_APPEND_INT64 (&line, "documents", job->documents);
   BSON_APPEND_INT64 (&line, "done", live ? done : job->documents);
   BSON_APPEND_INT64 (&line, "left", live ? job->documents - done : 0);
   BSON_APPEND_DOUBLE (&line, "rate", self->rate);
   if (live && self->rate >= 1) {
      BSON_APPEND_INT64 (&line, "seconds_left", (int64_t) ((double) (job->documents - done) / self->rate));
   }
   BSON_APPEND_INT64 (&line, "ranges", job->chunks);
   BSON_APPEND_INT64 (&line, "carried", sum->n[1] + sum->n[2]);
   BSON_APPEND_INT64 (&line, "swept", sum->n[2]);
   BSON_APPEND_DOCUMENT_BEGIN (&line, "counts", &child);
   ecl_job_append_counts (&child, live ? &sum->counts : &job->counts);
   bson_append_document_end (&line, &child);
   BSON_APPEND_DOCUMENT_BEGIN (&line, "settings", &child);
   BSON_APPEND_INT64 (&child, "batch_time", job->settings.batch_time);
   BSON_APPEND_DOUBLE (&child, "max_latency", job->settings.max_latency);
   BSON_APPEND_INT64 (&child, "max_lag", job->settings.max_lag);
   BSON_APPEND_INT64 (&child, "min_window", job->settings.min_window);
   BSON_APPEND_DOUBLE (&child, "max_documents", job->settings.max_documents);
   BSON_APPEND_DOUBLE (&child, "max_bytes", job->settings.max_bytes);
   bson_append_document_end (&line, &child);
   BSON_APPEND_ARRAY (&line, "workers", &self->workers);
   if (*job->error) {
      BSON_APPEND_UTF8 (&line, "error", job->error);
   }
   ecl_cli_json (&line);
   bson_destroy (&line);
}

static bool
show_job (status_t *self, const ecl_job_t *job, bson_error_t *error)
{
   const ecl_remote_t *remote = self->call->remote;
   ecl_chunks_sum_t sum;
   bool good;

   bson_init (&self->workers);
   self->n_workers = 0;
   self->rate = 0;
   good = ecl_job_sum (remote->world, remote->database, job->id, &sum, error) &&
          (!ecl_job_is_live (job->state) ||
           ecl_job_held (remote->world, remote->database, job->id, take_worker, self, error));
   if (good && self->call->cli->json) {
      print_json (self, job, &sum);
   } else if (good) {
      print_text (self, job, &sum);
   }
   bson_destroy (&self->workers);
   return good;
}

/* Of a collection: the latest job. Of all: those that are live. */
static ecl_exit_t
do_status (call_t *call)
{
   status_t self = {.call = call};
   const ecl_remote_t *remote = call->remote;
   const char *collection = call->chain ? call->chain->collection : NULL;
   bson_error_t error;
   bool good;

   self.jobs = bson_malloc (LISTED * sizeof *self.jobs);
   good = ecl_job_list (remote->world, remote->database, collection, !collection, collection ? 1 : LISTED, take_job,
                        &self, &error);
   for (size_t i = 0; good && i < self.n; i++) {
      good = show_job (&self, &self.jobs[i], &error);
   }
   if (good && !self.n && !call->cli->json) {
      printf ("no job%s%s\n", collection ? " on " : " is running", collection ? collection : "");
   }
   bson_free (self.jobs);
   return good ? ECL_EXIT_OK : ecl_cli_fail (call->cli, "%s", error.message);
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
