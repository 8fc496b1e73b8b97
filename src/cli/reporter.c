/* Metrics, log lines and hooks of a long run: see reporter.h. */
#include "cli/reporter.h"

#include "cli/metrics.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#define METRICS_MS 5000
#define LOG_MS 10000
#define RATE_MS 1000      /* between two looks at the rate */
#define THROTTLE_MS 10000 /* another reason is told so often at most, unless it stops altogether */
#define CALM_MS 3000      /* so long nothing slows before that is told */
#define METRICS_MAX (4u * 1024 * 1024)

/* What is remembered of a collection. The account's texts are our own. */
typedef struct {
   ecl_account_t account;
   int64_t started;
   bool begun;
   double rate;
   int64_t rate_at, rate_changed;
   int64_t logged;
   ecl_slow_t told; /* what slows it, as it was told */
   bool told_stopped;
   int64_t told_at, calm_at;
} entry_t;

struct ecl_reporter_t {
   const ecl_cli_t *cli;
   const char *database, *file;
   ecl_hooks_t hooks;
   entry_t *entries;
   size_t n;
   int64_t written, now;
   bool dirty;      /* the metrics' states changed */
   bool complained; /* that the file cannot be written */
};

ecl_reporter_t *
ecl_reporter_open (const ecl_cli_t *cli, const ecl_project_t *project, const char *database)
{
   ecl_reporter_t *self = bson_malloc0 (sizeof *self);

   self->cli = cli;
   self->database = database;
   self->file = ecl_cli_option (cli, "metrics");
   ecl_hooks_init (&self->hooks, cli, project);
   return self;
}

/* ---- entries ---- */

static void
free_texts (entry_t *entry)
{
   const char *const texts[] = {entry->account.job,   entry->account.kind,       entry->account.collection,
                                entry->account.to,    entry->account.mode,       entry->account.state,
                                entry->account.error, entry->account.slowed_text};

   for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
      bson_free ((void *) (uintptr_t) texts[i]);
   }
}

static void
keep (entry_t *entry, const ecl_account_t *account)
{
   free_texts (entry);
   entry->account = *account;
   entry->account.job = bson_strdup (account->job);
   entry->account.kind = bson_strdup (account->kind);
   entry->account.collection = bson_strdup (account->collection);
   entry->account.to = bson_strdup (account->to);
   entry->account.mode = bson_strdup (account->mode);
   entry->account.state = bson_strdup (account->state);
   entry->account.error = bson_strdup (account->error);
   entry->account.slowed_text = bson_strdup (account->slowed_text);
}

static entry_t *
find (const ecl_reporter_t *self, const char *collection)
{
   for (size_t i = 0; i < self->n; i++) {
      if (strcmp (self->entries[i].account.collection, collection) == 0) {
         return &self->entries[i];
      }
   }
   return NULL;
}

/* Smoothed over about ten seconds, so that a batch more or less does not show. */
static void
look_at_rate (entry_t *entry, int64_t changed, int64_t now)
{
   int64_t passed = now - entry->rate_at;
   double rate;

   if (passed < RATE_MS) {
      return;
   }
   rate = 1000.0 * (double) (changed - entry->rate_changed) / (double) passed;
   rate = rate > 0 ? rate : 0;
   entry->rate += (rate - entry->rate) * (entry->rate > 0 && passed < 10000 ? (double) passed / 10000 : 1);
   entry->rate_at = now;
   entry->rate_changed = changed;
}

/* ---- events ---- */

static const char *
describe (const entry_t *entry, const char *event)
{
   if (strcmp (event, "throttle") == 0) {
      return entry->account.slowed_text && *entry->account.slowed_text ? entry->account.slowed_text
                                                                       : ecl_slow_name (entry->account.slowed);
   }
   return entry->account.error ? entry->account.error : "";
}

static void
run_hooks (ecl_reporter_t *self, const entry_t *entry, const char *event)
{
   const ecl_account_t *account = &entry->account;
   char *list[20] = {NULL};
   size_t n = 0;

   list[n++] = bson_strdup_printf ("ECLOSE_DATABASE=%s", self->database);
   list[n++] = bson_strdup_printf ("ECLOSE_COLLECTION=%s", account->collection);
   list[n++] = bson_strdup_printf ("ECLOSE_DIRECTION=%s", account->kind);
   list[n++] = bson_strdup_printf ("ECLOSE_TO=%s", account->to);
   list[n++] = bson_strdup_printf ("ECLOSE_MODE=%s", account->mode ? account->mode : "");
   list[n++] = bson_strdup_printf ("ECLOSE_STATE=%s", account->state);
   list[n++] = bson_strdup_printf ("ECLOSE_JOB=%s", account->job ? account->job : "");
   list[n++] = bson_strdup_printf ("ECLOSE_PID=%ld", (long) getpid ());
   list[n++] = bson_strdup_printf ("ECLOSE_TOTAL=%" PRId64, account->total);
   list[n++] = bson_strdup_printf ("ECLOSE_CHANGED=%" PRId64, account->changed);
   list[n++] = bson_strdup_printf ("ECLOSE_QUARANTINED=%" PRId64, account->quarantined);
   list[n++] = bson_strdup_printf ("ECLOSE_RATE=%.0f", entry->rate);
   list[n++] = bson_strdup_printf ("ECLOSE_REASON=%s", describe (entry, event));
   list[n++] = bson_strdup_printf ("ECLOSE_SLOWED=%s", ecl_slow_name (account->slowed));
   list[n++] = bson_strdup_printf ("ECLOSE_STOPPED=%d", account->stopped);
   ecl_hooks_fire (&self->hooks, event, (const char *const *) list, self->now);
   for (size_t i = 0; i < n; i++) {
      bson_free (list[i]);
   }
}

static void
log_json (const ecl_reporter_t *self, const entry_t *entry, const char *event)
{
   const ecl_account_t *account = &entry->account;
   const char *why = describe (entry, event);
   bson_t line = BSON_INITIALIZER;

   BSON_APPEND_UTF8 (&line, "event", event);
   BSON_APPEND_UTF8 (&line, "database", self->database);
   BSON_APPEND_UTF8 (&line, "collection", account->collection);
   BSON_APPEND_UTF8 (&line, "direction", account->kind);
   BSON_APPEND_UTF8 (&line, "to", account->to);
   if (account->mode) {
      BSON_APPEND_UTF8 (&line, "mode", account->mode);
   }
   BSON_APPEND_UTF8 (&line, "state", account->state);
   if (account->job) {
      BSON_APPEND_UTF8 (&line, "job", account->job);
   }
   BSON_APPEND_INT64 (&line, "total", account->total);
   BSON_APPEND_INT64 (&line, "changed", account->changed);
   BSON_APPEND_INT64 (&line, "conflicts", account->conflicts);
   BSON_APPEND_INT64 (&line, "quarantined", account->quarantined);
   BSON_APPEND_INT64 (&line, "rate", (int64_t) (entry->rate + 0.5));
   if (account->slowed != ECL_SLOW_NONE) {
      BSON_APPEND_UTF8 (&line, "slowed", ecl_slow_name (account->slowed));
      BSON_APPEND_BOOL (&line, "stopped", account->stopped);
   }
   ecl_cli_log (self->cli, strcmp (event, "failure") == 0 ? "error" : "info", *why ? why : event, &line);
   bson_destroy (&line);
}

static void
tell (ecl_reporter_t *self, entry_t *entry, const char *event)
{
   self->dirty = true;
   entry->logged = self->now;
   if (self->cli->log_json) {
      log_json (self, entry, event);
   } else if (strcmp (event, "throttle") == 0) {
      ecl_cli_note (self->cli, "%s: %s: %s", entry->account.collection,
                    entry->account.stopped ? "stopped until it is calm" : "slowed", describe (entry, event));
   } else if (strcmp (event, "pause") == 0) {
      ecl_cli_note (self->cli, "%s: paused; `eclose backfill resume %s` lets it go on", entry->account.collection,
                    ecl_shell_word (entry->account.collection).text);
   } else if (strcmp (event, "resume") == 0) {
      ecl_cli_note (self->cli, "%s: goes on as fast as it may", entry->account.collection);
   }
   run_hooks (self, entry, event);
}

/* What slows is told when it begins, stops altogether or is another; the rate that was asked for is no news. */
static void
look_at_throttle (ecl_reporter_t *self, entry_t *entry)
{
   const ecl_account_t *account = &entry->account;
   ecl_slow_t slowed = account->slowed == ECL_SLOW_RATE ? ECL_SLOW_NONE : account->slowed;

   if (slowed != ECL_SLOW_NONE) {
      entry->calm_at = 0;
      if (slowed != entry->told || (account->stopped && !entry->told_stopped)) {
         if (entry->told == ECL_SLOW_NONE || self->now - entry->told_at >= THROTTLE_MS || account->stopped) {
            entry->told = slowed;
            entry->told_stopped = account->stopped;
            entry->told_at = self->now;
            tell (self, entry, "throttle");
         }
      }
      return;
   }
   entry->calm_at = entry->calm_at ? entry->calm_at : self->now;
   if (entry->told != ECL_SLOW_NONE && self->now - entry->calm_at >= CALM_MS) {
      entry->told = ECL_SLOW_NONE;
      entry->told_stopped = false;
      tell (self, entry, "resume");
   }
}

static bool
is_over (const char *state)
{
   return strcmp (state, "running") != 0 && strcmp (state, "paused") != 0;
}

static void
look_at_state (ecl_reporter_t *self, entry_t *entry, const char *before)
{
   const char *state = entry->account.state;

   if (!entry->begun && !is_over (state)) {
      entry->begun = true;
      entry->started = (int64_t) time (NULL); /* it may not be the first time that this process goes through it */
      tell (self, entry, "start");
   }
   if (strcmp (before, state) == 0) {
      return;
   }
   self->dirty = true;
   if (strcmp (state, "paused") == 0) {
      tell (self, entry, "pause");
   } else if (strcmp (before, "paused") == 0 && !is_over (state)) {
      tell (self, entry, "resume");
   } else if (strcmp (state, "failed") == 0) {
      tell (self, entry, "failure");
   }
   if (is_over (state) && entry->begun) {
      entry->begun = false;
      entry->told = ECL_SLOW_NONE;
      tell (self, entry, "end");
   }
}

static void
write_metrics (ecl_reporter_t *self)
{
   ecl_metrics_row_t *rows = bson_malloc0 ((self->n + 1) * sizeof *rows);
   bson_error_t error;
   ecl_buf_t buf;
   bool good;

   ecl_buf_init (&buf, METRICS_MAX);
   for (size_t i = 0; i < self->n; i++) {
      rows[i] = (ecl_metrics_row_t){self->entries[i].account, self->entries[i].rate, self->entries[i].started,
                                    (int64_t) time (NULL)};
   }
   good = ecl_metrics_format (rows, self->n, self->database, self->file, &buf)
             ? ecl_metrics_write (self->file, &buf, &error)
             : ecl_fail (&error, ECL_DOMAIN_BASE, ECL_ERROR_TOO_LARGE,
                         "%s: those of %zu collections are more than %u MiB; it is not written", self->file, self->n,
                         METRICS_MAX / (1024 * 1024));
   if (!good && !self->complained) {
      self->complained = true;
      ecl_cli_note (self->cli, "metrics: %s; the work goes on, and so do tries to write them", error.message);
   }
   ecl_buf_cleanup (&buf);
   bson_free (rows);
   self->written = self->now;
   self->dirty = false;
}

void
ecl_reporter_update (ecl_reporter_t *self, const ecl_account_t *account, int64_t now)
{
   char before[16] = "";
   entry_t *entry;

   if (!self) {
      return;
   }
   self->now = now;
   entry = find (self, account->collection);
   if (!entry) {
      self->entries = bson_realloc (self->entries, (self->n + 1) * sizeof *self->entries);
      entry = &self->entries[self->n++];
      *entry =
         (entry_t){.started = (int64_t) time (NULL), .rate_at = now, .rate_changed = account->changed, .logged = now};
   } else {
      bson_strncpy (before, entry->account.state, sizeof before);
   }
   look_at_rate (entry, account->changed, now);
   keep (entry, account);
   look_at_state (self, entry, before);
   if (strcmp (account->state, "running") == 0) {
      look_at_throttle (self, entry);
   }
   if (self->cli->log_json && entry->begun && now - entry->logged >= LOG_MS) {
      entry->logged = now;
      log_json (self, entry, "progress");
   }
   if (self->file && (self->dirty || now - self->written >= METRICS_MS)) {
      write_metrics (self);
   }
   (void) ecl_hooks_look (&self->hooks, now);
}

static int64_t
clock_ms (void)
{
   struct timespec t;

   clock_gettime (CLOCK_MONOTONIC, &t);
   return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void
ecl_reporter_close (ecl_reporter_t *self)
{
   int64_t began = clock_ms (), now = self ? self->now : 0;

   if (!self) {
      return;
   }
   self->hooks.closing = true;
   while (ecl_hooks_look (&self->hooks, now + clock_ms () - began)) {
      nanosleep (&(struct timespec){.tv_nsec = 5 * 1000000}, NULL);
   }
   for (size_t i = 0; i < self->n; i++) {
      free_texts (&self->entries[i]);
   }
   bson_free (self->entries);
   ecl_hooks_cleanup (&self->hooks);
   bson_free (self);
}
