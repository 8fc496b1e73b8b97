/* Database migrations on the command line: see works.h. */
#include "cli/works.h"

#include "run/pace.h"

#include <errno.h>
#include <unistd.h>

/* ---- what is said ---- */

static void
on_waiting (void *context, const ecl_lease_t *lease)
{
   ecl_works_t *self = context;
   char text[600];

   ecl_holder_describe (lease, text, sizeof text);
   ecl_cli_note (self->remote->cli, "waiting for the lease, which has: %s", text);
}

static void
on_late (void *context, const ecl_placed_t *placed)
{
   ecl_works_t *self = context;

   ecl_cli_note (self->remote->cli, "%s arrived late: one behind it is applied already", placed->name);
}

static void
on_step (void *context, const ecl_migrate_event_t *event)
{
   ecl_works_t *self = context;
   ecl_cli_t *cli = self->remote->cli;
   ecl_world_t *world = self->remote->world;
   int64_t now = world->now (world);
   char label[128];

   if (event->ended) {
      ecl_progress_hide (&self->progress);
   } else if (!event->name) {
      ecl_cli_note (cli, "%s%s%s%s", event->down ? "reverting " : "", event->work->name,
                    *event->work->description ? ": " : "", event->work->description);
      if (event->resumed) {
         ecl_cli_note (cli, "  goes on where a run before it ended");
      }
   } else if (!event->rows) {
      ecl_progress_hide (&self->progress);
      snprintf (label, sizeof label, "  step %zu of %zu, %s %s", event->step + 1, event->n_steps, event->name,
                event->collection);
      ecl_progress_begin (&self->progress, stderr, cli->progress, label, 0, now);
   } else {
      ecl_progress_update (&self->progress, (uint64_t) event->rows, now);
   }
}

static void
on_note (void *context, const char *message)
{
   ecl_works_t *self = context;

   ecl_progress_hide (&self->progress);
   ecl_remote_note (self->remote, message);
}

static void
on_output (void *context, const char *bytes, size_t n)
{
   (void) context;
   while (n) {
      ssize_t wrote = write (STDERR_FILENO, bytes, n);

      if (wrote < 0 && errno == EINTR) {
         continue;
      }
      if (wrote <= 0) {
         return;
      }
      bytes += wrote;
      n -= (size_t) wrote;
   }
}

static void
on_ran (void *context, const ecl_placed_t *placed, bool down, int64_t ms)
{
   ecl_works_t *self = context;
   char took[32];

   if (self->remote->cli->json) {
      bson_t line = BSON_INITIALIZER;

      BSON_APPEND_UTF8 (&line, "migration", placed->name);
      BSON_APPEND_UTF8 (&line, "state", down ? "reverted" : "applied");
      BSON_APPEND_INT64 (&line, "ms", ms);
      ecl_cli_json (&line);
      bson_destroy (&line);
   } else {
      printf ("%s: %s in %s\n", placed->name, down ? "reverted" : "applied", ecl_progress_time (ms, took));
   }
}

static void
on_progress (void *context, const ecl_carry_t *what, const ecl_job_progress_t *progress)
{
   ecl_works_t *self = context;

   ecl_progress_hide (&self->progress);
   ecl_remote_progress (self->remote, what, progress);
}

static void
on_carried (void *context, const ecl_carried_t *carried, const bson_error_t *error)
{
   ecl_works_t *self = context;

   ecl_progress_hide (&self->progress);
   ecl_remote_carried (self->remote, carried, error);
}

static void
on_failed (void *context, const bson_error_t *error)
{
   ecl_works_t *self = context;

   ecl_cli_fail (self->remote->cli, "%s", error->message);
}

/* ---- life ---- */

void
ecl_works_init (ecl_works_t *self, ecl_remote_t *remote)
{
   ecl_runner_options_t options = {.site = ecl_remote_site (remote),
                                   .connector = remote->connector,
                                   .uri = ecl_project_uri (remote->project),
                                   .effort = remote->effort,
                                   .listener = {.context = self,
                                                .waiting = on_waiting,
                                                .late = on_late,
                                                .step = on_step,
                                                .note = on_note,
                                                .output = on_output,
                                                .ran = on_ran,
                                                .progress = on_progress,
                                                .carried = on_carried,
                                                .failed = on_failed}};

   memset (self, 0, sizeof *self);
   options.time = remote->lease_time;
   options.skew = remote->lease_skew;
   ecl_pace_throttle (remote->project, &options.throttle);
   self->remote = remote;
   ecl_runner_init (&self->runner, &options);
}

bool
ecl_works_read (ecl_works_t *self)
{
   bson_error_t error;

   if (!ecl_runner_read (&self->runner, &error)) {
      ecl_cli_fail (self->remote->cli, "%s", error.message);
      return false;
   }
   return true;
}

bool
ecl_works_open (ecl_works_t *self, ecl_remote_t *remote)
{
   ecl_works_init (self, remote);
   return ecl_works_read (self);
}

void
ecl_works_close (ecl_works_t *self)
{
   ecl_runner_cleanup (&self->runner);
}

bool
ecl_works_wait (const ecl_cli_t *cli, int64_t *wait)
{
   const char *text = ecl_cli_option (cli, "wait");
   int64_t seconds;

   *wait = 0;
   if (!text) {
      return true;
   }
   if (!*text) {
      for (int i = 0; i < cli->n_args; i++) {
         if (strspn (cli->args[i], "0123456789") == strlen (cli->args[i])) {
            ecl_cli_usage (cli, "the seconds of --wait are given with \"=\": --wait=%s", cli->args[i]);
            return false;
         }
      }
      *wait = -1;
      return true;
   }
   if (!ecl_cli_number (cli, "wait", 1, 1000000, 0, &seconds)) {
      return false;
   }
   *wait = 1000 * seconds;
   return true;
}

bool
ecl_works_rate (const ecl_cli_t *cli, ecl_throttle_settings_t *rate)
{
   const char *text = ecl_cli_option (cli, "max-rate");
   bson_error_t error;

   memset (rate, 0, sizeof *rate);
   if (text && !ecl_throttle_parse_rate (text, rate, &error)) {
      ecl_cli_usage (cli, "--max-rate: %s", error.message);
      return false;
   }
   return true;
}

void
ecl_works_set_rate (ecl_works_t *self, const ecl_throttle_settings_t *rate)
{
   if (ecl_cli_option (self->remote->cli, "max-rate")) {
      self->runner.options.throttle.max_documents = rate->max_documents;
      self->runner.options.throttle.max_bytes = rate->max_bytes;
   }
}

ecl_exit_t
ecl_works_acquire (ecl_works_t *self, int64_t wait)
{
   bson_error_t error;

   return ecl_runner_acquire (&self->runner, wait, &error) == ECL_ACQUIRED ? ECL_EXIT_OK
                                                                           : ecl_remote_fail (self->remote, &error);
}

ecl_exit_t
ecl_works_run (ecl_works_t *self, const ecl_placed_t *placed, bool down)
{
   bson_error_t error;

   return ecl_runner_run (&self->runner, placed, down, &error) ? ECL_EXIT_OK : ecl_remote_fail (self->remote, &error);
}

/* ---- small things ---- */

bool
ecl_works_unchanged (const ecl_works_t *self)
{
   bson_error_t error;
   bool good = true;

   for (size_t i = 0; i < self->runner.n; i++) {
      if (self->runner.list[i].kind == ECL_PLACE_CHANGED) {
         ecl_runner_say_changed (&self->runner.list[i], &error);
         ecl_cli_fail (self->remote->cli, "%s", error.message);
         good = false;
      }
   }
   return good;
}

const ecl_placed_t *
ecl_works_find (const ecl_works_t *self, const char *name)
{
   bson_error_t error;
   const ecl_placed_t *found = ecl_runner_find (&self->runner, name, &error);

   if (!found) {
      ecl_cli_fail (self->remote->cli, "%s", error.message);
   }
   return found;
}

bool
ecl_works_mark (ecl_works_t *self, const ecl_placed_t *placed, const char *origin, int64_t ended)
{
   ecl_changelog_t record = {.name = placed->name,
                             .checksum = placed->work ? placed->work->checksum : NULL,
                             .state = ECL_CHANGELOG_APPLIED,
                             .origin = origin,
                             .who = self->remote->who,
                             .ended = ended,
                             .duration = -1};
   bson_error_t error;

   if (placed->work) {
      record.steps = (int32_t) placed->work->up.n_acts;
   }
   if (!ecl_history_mark (self->remote->world, &self->runner.holder, placed->record, &record, &error)) {
      ecl_cli_fail (self->remote->cli, "%s", error.message);
      return false;
   }
   return true;
}
