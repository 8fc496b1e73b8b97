/* Prometheus' text format: see metrics.h. */
#include "cli/metrics.h"

#include "text/number.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const states[] = {"running", "paused", "stopped", "done", "failed", "cancelled"};

/* One value per row and, where parts is set, per part of it. */
typedef struct {
   const char *name, *type, *help;
   double (*value) (const ecl_metrics_row_t *row, size_t part);
   const char *label; /* of the parts; NULL: there are none */
   size_t parts;
   const char *(*part) (size_t part);
} metric_t;

static double
info (const ecl_metrics_row_t *row, size_t part)
{
   (void) row, (void) part;
   return 1;
}

static double
state (const ecl_metrics_row_t *row, size_t part)
{
   return strcmp (row->account.state, states[part]) == 0;
}

static const char *
state_part (size_t part)
{
   return states[part];
}

static double
total (const ecl_metrics_row_t *row, size_t part)
{
   (void) part;
   return (double) row->account.total;
}

static double
changed (const ecl_metrics_row_t *row, size_t part)
{
   (void) part;
   return (double) row->account.changed;
}

static double
left (const ecl_metrics_row_t *row, size_t part)
{
   int64_t n = row->account.total - row->account.done - row->account.quarantined;

   (void) part;
   return row->account.total < 0 ? -1 : n > 0 && strcmp (row->account.state, "done") != 0 ? (double) n : 0;
}

static double
batches (const ecl_metrics_row_t *row, size_t part)
{
   (void) part;
   return (double) row->account.batches;
}

static double
conflicts (const ecl_metrics_row_t *row, size_t part)
{
   (void) part;
   return (double) row->account.conflicts;
}

static double
transactions (const ecl_metrics_row_t *row, size_t part)
{
   (void) part;
   return (double) row->account.transactions;
}

static double
quarantined (const ecl_metrics_row_t *row, size_t part)
{
   (void) part;
   return (double) row->account.quarantined;
}

static double
rate (const ecl_metrics_row_t *row, size_t part)
{
   (void) part;
   return row->rate;
}

static double
workers (const ecl_metrics_row_t *row, size_t part)
{
   (void) part;
   return (double) row->account.workers;
}

/* The inputs begin at 1: NONE is none of them. */
static const char *
slow_part (size_t part)
{
   return ecl_slow_name ((ecl_slow_t) (part + 1));
}

static double
waited (const ecl_metrics_row_t *row, size_t part)
{
   return (double) row->account.waited[part + 1] / 1000;
}

static double
slowed (const ecl_metrics_row_t *row, size_t part)
{
   return row->account.slowed == (ecl_slow_t) (part + 1);
}

static double
stopped (const ecl_metrics_row_t *row, size_t part)
{
   (void) part;
   return row->account.stopped;
}

static double
latency (const ecl_metrics_row_t *row, size_t part)
{
   (void) part;
   return row->account.latency > 0 ? row->account.latency : -1;
}

static double
lag (const ecl_metrics_row_t *row, size_t part)
{
   (void) part;
   return row->account.lag < 0 ? -1 : (double) row->account.lag / 1000;
}

static double
started (const ecl_metrics_row_t *row, size_t part)
{
   (void) part;
   return (double) row->started;
}

static double
written (const ecl_metrics_row_t *row, size_t part)
{
   (void) part;
   return (double) row->written;
}

#define NAME(name) "eclose_backfill_" name

static const metric_t metrics[] = {
   {NAME ("info"), "gauge", "What is carried where: always 1.", info},
   {NAME ("state"), "gauge", "1 for the state it is in, else 0.", state, "state", sizeof states / sizeof states[0],
    state_part},
   {NAME ("documents"), "gauge", "Documents that were to be carried when it began.", total},
   {NAME ("documents_changed_total"), "counter", "Documents carried over by this process.", changed},
   {NAME ("documents_left"), "gauge", "Documents that are still to be carried, as far as is known.", left},
   {NAME ("documents_quarantined"), "gauge", "Documents that could not be carried over.", quarantined},
   {NAME ("documents_per_second"), "gauge", "Documents carried over per second, lately.", rate},
   {NAME ("batches_total"), "counter", "Batches written.", batches},
   {NAME ("conflicts_total"), "counter", "Times that a document had changed meanwhile and was read again.", conflicts},
   {NAME ("transactions_total"), "counter", "Documents that went through a transaction.", transactions},
   {NAME ("workers"), "gauge", "Workers of this process that are at work.", workers},
   {NAME ("throttle_wait_seconds_total"), "counter", "Time waited, by what it was waited for.", waited, "reason",
    ECL_SLOW_N - 1, slow_part},
   {NAME ("throttle_active"), "gauge", "1 for what slows it now.", slowed, "reason", ECL_SLOW_N - 1, slow_part},
   {NAME ("throttle_stopped"), "gauge", "1 where it is stopped until that is calm.", stopped},
   {NAME ("write_latency_ratio"), "gauge", "Time of its writes as a multiple of the calm time.", latency},
   {NAME ("replication_lag_seconds"), "gauge", "Replication lag as the throttle sees it.", lag},
   {NAME ("start_time_seconds"), "gauge", "When it began, in seconds since 1970.", started},
   {NAME ("written_time_seconds"), "gauge", "When this file was written, in seconds since 1970.", written},
};

/* Inside quotes. */
static bool
append_text (ecl_buf_t *buf, const char *text)
{
   for (; *text; text++) {
      bool ok = *text == '\\'   ? ecl_buf_append_str (buf, "\\\\")
                : *text == '"'  ? ecl_buf_append_str (buf, "\\\"")
                : *text == '\n' ? ecl_buf_append_str (buf, "\\n")
                                : ecl_buf_append (buf, text, 1);

      if (!ok) {
         return false;
      }
   }
   return true;
}

static bool
append_label (ecl_buf_t *buf, const char *name, const char *value, bool first)
{
   return ecl_buf_printf (buf, "%s%s=\"", first ? "{" : ",", name) && append_text (buf, value ? value : "") &&
          ecl_buf_append_str (buf, "\"");
}

static bool
append_sample (ecl_buf_t *buf, const metric_t *metric, const ecl_metrics_row_t *row, const char *database,
               const char *process, size_t part)
{
   const ecl_account_t *account = &row->account;
   double value = metric->value (row, part);
   bool ok;

   if (value < 0) {
      return true; /* not known: no sample is the way to say so */
   }
   ok = ecl_buf_append_str (buf, metric->name) && append_label (buf, "database", database, true) &&
        append_label (buf, "collection", account->collection, false) && append_label (buf, "process", process, false);
   if (ok && metric->value == info) {
      ok = append_label (buf, "kind", account->kind, false) && append_label (buf, "to", account->to, false) &&
           append_label (buf, "mode", account->mode, false) && append_label (buf, "job", account->job, false);
   }
   if (ok && metric->label) {
      ok = append_label (buf, metric->label, metric->part (part), false);
   }
   return ok && ecl_buf_printf (buf, "} %.15g\n", value);
}

/* Its name, without folders and .prom: not the pid, of which every process would have series of its own for ever. */
static char *
name_of (const char *file)
{
   const char *slash = strrchr (file, '/');
   char *name = bson_strdup (slash ? slash + 1 : file);
   size_t len = strlen (name), suffix = strlen (".prom");

   if (len > suffix && strcmp (name + len - suffix, ".prom") == 0) {
      name[len - suffix] = '\0';
   }
   ecl_text_clean (name, strlen (name), name, len + 1);
   return name;
}

bool
ecl_metrics_format (const ecl_metrics_row_t *rows, size_t n, const char *database, const char *file, ecl_buf_t *buf)
{
   char *process = name_of (file);
   bool ok = true;

   for (size_t i = 0; ok && i < sizeof metrics / sizeof metrics[0]; i++) {
      const metric_t *metric = &metrics[i];

      ok = ecl_buf_printf (buf, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name, metric->type);
      for (size_t k = 0; ok && k < n; k++) {
         for (size_t part = 0; ok && part < (metric->label ? metric->parts : 1); part++) {
            ok = append_sample (buf, metric, &rows[k], database, process, part);
         }
      }
   }
   bson_free (process);
   return ok;
}

/* A device or a pipe would be gone, and a file in its place: for everybody, where root writes to /dev/null. */
static bool
is_replaceable (const char *file, bson_error_t *error)
{
   struct stat there;

   return stat (file, &there) != 0 || S_ISREG (there.st_mode) ||
          ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_FILE,
                    "%s: it is no ordinary file, which another one could replace", file);
}

bool
ecl_metrics_write (const char *file, const ecl_buf_t *buf, bson_error_t *error)
{
   char *followed = realpath (file, NULL); /* a link stays one */
   const char *place = followed ? followed : file;
   /* Its name does not end with .prom, or the collector might read it half written. */
   char *beside = bson_strdup_printf ("%s.%ld", place, (long) getpid ());
   bool ok = false;
   FILE *out;

   if (!is_replaceable (place, error)) {
      goto done;
   }
   out = fopen (beside, "w");
   ok = out != NULL;
   if (out) {
      /* It is for a collector that runs as somebody else. */
      ok = fchmod (fileno (out), 0644) == 0 && fwrite (buf->data, 1, buf->len, out) == buf->len;
      ok = fclose (out) == 0 && ok;
   }
   ok = ok && rename (beside, place) == 0;
   if (!ok) {
      ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_FILE, "%s: %s", file, strerror (errno));
      unlink (beside);
   }

done:
   bson_free (beside);
   free (followed);
   return ok;
}
