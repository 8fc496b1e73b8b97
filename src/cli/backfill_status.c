/* eclose backfill status: see backfill_status.h. */
#include "cli/backfill_status.h"

#include "backfill/job.h"
#include "run/place.h"

#include <inttypes.h>

/* Jobs that it lists. */
#define LISTED 20

typedef struct {
   const ecl_remote_t *remote;
   ecl_job_t *jobs;
   size_t n;
   bson_t workers; /* of one job: array */
   uint32_t n_workers, n_alive;
   double rate;
   bson_error_t unread; /* of a live job: why a range of it is not understood; code 0: none */
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
   bool alive = row->left > 0 && !ecl_place_is_dead (self->remote->place, row->place, row->pid);
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
   BSON_APPEND_BOOL (&one, "alive", alive);
   bson_append_document_end (&self->workers, &one);
   self->n_alive += alive;
   self->rate += alive ? row->rate : 0;
}

static const char *
id_text (const ecl_job_t *job, char text[25])
{
   bson_oid_t oid;

   bson_oid_init_from_data (&oid, job->id);
   bson_oid_to_string (&oid, text);
   return text;
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
           *slowed ? "; slowed: " : "", slowed);
}

/* A job's record has them from when it is done; of one that was cancelled or failed its ranges tell. */
static const ecl_job_counts_t *
counts_of (const ecl_job_t *job, const ecl_chunks_sum_t *sum)
{
   return job->state == ECL_JOB_DONE ? &job->counts : &sum->counts;
}

static int64_t
done_of (const ecl_job_t *job, const ecl_chunks_sum_t *sum)
{
   return job->state == ECL_JOB_DONE ? job->documents : ecl_job_done (job, sum);
}

/* One of them, in the words of the option that sets it. */
static void
print_setting (const char *option, double value, double unit, const char *ending, bool *any)
{
   if (value > 0) {
      printf ("%s--%s %.10g%s", *any ? " " : "  set: ", option, value / unit, ending);
      *any = true;
   }
}

/* What is not the default. */
static void
print_settings (const ecl_job_settings_t *settings)
{
   bool any = false;

   print_setting ("max-rate", settings->max_documents, 1, "", &any);
   print_setting ("max-rate", settings->max_bytes, 1, "B", &any);
   print_setting ("batch-time", (double) settings->batch_time, 1, "", &any);
   print_setting ("max-latency", settings->max_latency, 1, "", &any);
   print_setting ("max-lag", (double) settings->max_lag, 1000, "", &any);
   print_setting ("min-window", (double) settings->min_window, 60000, "", &any);
   printf ("%s", any ? "\n" : "");
}

static void
print_done (const ecl_job_t *job, const ecl_chunks_sum_t *sum)
{
   char a[32], b[32];

   printf ("  %s of about %s documents done", ecl_progress_count ((uint64_t) done_of (job, sum), a),
           ecl_progress_count ((uint64_t) job->documents, b));
}

static void
print_ended (const ecl_job_t *job, const ecl_chunks_sum_t *sum)
{
   const ecl_job_counts_t *counts = counts_of (job, sum);
   char a[32], b[32], c[32];

   if (job->state != ECL_JOB_DONE) {
      print_done (job, sum);
      printf ("\n");
   }
   /* Then: `status` says how many are there now. */
   printf ("  %s changed, %s conflicts, %s went to quarantine\n", ecl_progress_count ((uint64_t) counts->changed, a),
           ecl_progress_count ((uint64_t) counts->conflicts, b),
           ecl_progress_count ((uint64_t) counts->quarantined, c));
}

static void
print_workers (const status_t *self, const ecl_job_t *job)
{
   const ecl_cli_t *cli = self->remote->cli;
   bson_iter_t iter;

   if (!self->n_alive && job->wanted == ECL_WANTED_PAUSED) {
      printf ("  `eclose backfill resume %s` lets its workers go on\n", ecl_shell_word (job->collection).text);
   } else if (!self->n_alive) {
      printf ("  %snobody works on it%s: `eclose backfill work %s` does\n", ecl_cli_colour (cli, ECL_CLI_YELLOW),
              ecl_cli_colour (cli, ECL_CLI_PLAIN), ecl_shell_word (job->collection).text);
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
print_running (const status_t *self, const ecl_job_t *job, const ecl_chunks_sum_t *sum)
{
   int64_t left = job->documents - done_of (job, sum), n = sum->n[0] + sum->n[1] + sum->n[2];
   const ecl_cli_t *cli = self->remote->cli;
   char a[32], b[32], c[32];

   print_done (job, sum);
   if (self->rate >= 1) {
      printf (", %s/s", ecl_progress_count ((uint64_t) self->rate, c));
      if (left > 0) {
         printf (", %s left", ecl_progress_time ((int64_t) ((double) left * 1000 / self->rate), c));
      }
   }
   printf ("\n  ranges: %s of %s carried, %s swept\n", ecl_progress_count ((uint64_t) (sum->n[1] + sum->n[2]), a),
           ecl_progress_count ((uint64_t) n, b), ecl_progress_count ((uint64_t) sum->n[2], c));
   if (sum->counts.quarantined) {
      printf ("  %s%s in quarantine%s\n", ecl_cli_colour (cli, ECL_CLI_RED),
              ecl_progress_count ((uint64_t) sum->counts.quarantined, a), ecl_cli_colour (cli, ECL_CLI_PLAIN));
   }
   if (self->unread.code) {
      printf ("  %s%s%s: the job cannot end so; `eclose backfill cancel %s` gives it up\n",
              ecl_cli_colour (cli, ECL_CLI_RED), self->unread.message, ecl_cli_colour (cli, ECL_CLI_PLAIN),
              ecl_shell_word (job->collection).text);
   }
   print_workers (self, job);
}

static void
print_text (const status_t *self, const ecl_job_t *job, const ecl_chunks_sum_t *sum)
{
   const ecl_cli_t *cli = self->remote->cli;
   bool live = ecl_job_is_live (job->state);
   char id[25];

   printf ("%s%s%s: %s to version %s, %s%s%s (%s: %s)\n", ecl_cli_colour (cli, ECL_CLI_BOLD), job->collection,
           ecl_cli_colour (cli, ECL_CLI_PLAIN), job->down ? "down" : "up", job->to, ecl_job_state_name (job->state),
           live && job->wanted != ECL_WANTED_RUNNING ? ", " : "",
           live && job->wanted != ECL_WANTED_RUNNING ? ecl_job_wanted_name (job->wanted) : "", job->mode, job->why);
   printf ("  job %s by %s, process %" PRId64 "%s%s\n", id_text (job, id), *job->host ? job->host : "unknown", job->pid,
           *job->user ? ", user " : "", job->user);
   if (live) {
      print_settings (&job->settings);
   }
   if (*job->error) {
      printf ("  %s%s%s\n", ecl_cli_colour (cli, ECL_CLI_RED), job->error, ecl_cli_colour (cli, ECL_CLI_PLAIN));
   }
   if (!live) {
      print_ended (job, sum);
   } else if (job->state == ECL_JOB_PLANNING) {
      printf ("  its ranges are being made\n");
   } else {
      print_running (self, job, sum);
   }
}

static void
print_json (const status_t *self, const ecl_job_t *job, const ecl_chunks_sum_t *sum)
{
   int64_t done = done_of (job, sum);
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
   BSON_APPEND_UTF8 (&line, "host", job->host);
   BSON_APPEND_INT64 (&line, "pid", job->pid);
   BSON_APPEND_UTF8 (&line, "user", job->user);
   BSON_APPEND_INT64 (&line, "documents", job->documents);
   BSON_APPEND_INT64 (&line, "done", done);
   BSON_APPEND_INT64 (&line, "left", job->documents - done);
   BSON_APPEND_DOUBLE (&line, "rate", self->rate);
   if (live && self->rate >= 1) {
      BSON_APPEND_INT64 (&line, "seconds_left", (int64_t) ((double) (job->documents - done) / self->rate));
   }
   BSON_APPEND_INT64 (&line, "ranges", job->chunks);
   BSON_APPEND_INT64 (&line, "carried", sum->n[1] + sum->n[2]);
   BSON_APPEND_INT64 (&line, "swept", sum->n[2]);
   BSON_APPEND_DOCUMENT_BEGIN (&line, "counts", &child);
   ecl_job_append_counts (&child, counts_of (job, sum));
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
   if (*job->error || self->unread.code) {
      BSON_APPEND_UTF8 (&line, "error", *job->error ? job->error : self->unread.message);
   }
   ecl_cli_json (&line);
   bson_destroy (&line);
}

static bool
show_job (status_t *self, const ecl_job_t *job, bson_error_t *error)
{
   const ecl_remote_t *remote = self->remote;
   ecl_chunks_sum_t sum;
   bool good;

   bson_init (&self->workers);
   self->n_workers = self->n_alive = 0;
   self->rate = 0;
   self->unread.code = 0;
   good = ecl_job_sum (remote->world, remote->database, job->id, &sum, error) &&
          (!ecl_job_is_live (job->state) ||
           (ecl_job_held (remote->world, remote->database, job->id, take_worker, self, error) &&
            ecl_job_unread (remote->world, remote->database, job->id, &self->unread, error)));
   if (good && self->remote->cli->json) {
      print_json (self, job, &sum);
   } else if (good) {
      print_text (self, job, &sum);
   }
   bson_destroy (&self->workers);
   return good;
}

ecl_exit_t
ecl_backfill_status (const ecl_remote_t *remote, const char *collection)
{
   status_t self = {.remote = remote};
   const ecl_chain_t *ignored;
   bson_error_t error, why;
   bool good, shown = true;

   self.jobs = bson_malloc (LISTED * sizeof *self.jobs);
   good = ecl_job_list (remote->world, remote->database, collection, true, collection ? 1 : LISTED, take_job, &self,
                        &error) &&
          (!collection || self.n ||
           ecl_job_list (remote->world, remote->database, collection, false, 1, take_job, &self, &error));
   for (size_t i = 0; shown && i < self.n; i++) {
      shown = show_job (&self, &self.jobs[i], &why);
   }
   if (good && !self.n && !ecl_cli_chain (remote->cli, remote->project, 1, &ignored)) {
      bson_free (self.jobs);
      return ECL_EXIT_FAILED; /* a name that is mistyped */
   }
   if (good && !self.n && !remote->cli->json) {
      printf ("no job%s%s\n", collection ? " on " : " is running", collection ? collection : "");
   }
   bson_free (self.jobs);
   return good && shown ? ECL_EXIT_OK : ecl_cli_fail (remote->cli, "%s", good ? why.message : error.message);
}
