/* Database migrations on the command line: see works.h. */
#include "cli/works.h"

#include "base/suggest.h"
#include "mongo/program.h"
#include "run/scan.h"
#include "run/verify.h"

#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- life ---- */

/* A time of the lease in milliseconds, from the environment; otherwise where it says none. */
static int64_t
time_setting (const char *name, int64_t otherwise)
{
   const char *text = getenv (name);
   char *end;
   long long value;

   if (!text || !*text) {
      return otherwise;
   }
   value = strtoll (text, &end, 10);
   return *end || value < 0 || value > 3600000 ? otherwise : value;
}

static const char *
user_name (void)
{
   const struct passwd *entry = getpwuid (getuid ());

   return entry ? entry->pw_name : getenv ("USER");
}

static bool
read_again (ecl_works_t *self, ecl_holder_t *holder)
{
   bson_error_t error;

   if (!ecl_history_read (&self->history, self->remote->world, self->remote->database, holder, &error)) {
      ecl_cli_fail (self->remote->cli, "%s", error.message);
      return false;
   }
   ecl_arena_reset (&self->arena);
   self->list = ecl_migrate_list (self->remote->project, &self->history, &self->arena, &self->n);
   return true;
}

bool
ecl_works_open (ecl_works_t *self, ecl_remote_t *remote)
{
   ecl_holder_options_t options;

   memset (self, 0, sizeof *self);
   self->remote = remote;
   ecl_history_init (&self->history);
   ecl_arena_init (&self->arena);
   gethostname (self->host, sizeof self->host - 1);
   self->who =
      (ecl_who_t){.host = self->host, .user = user_name (), .release = getenv ("ECLOSE_RELEASE"), .pid = getpid ()};
   self->terminal = isatty (STDERR_FILENO) != 0;
   options = (ecl_holder_options_t){.database = remote->database,
                                    .time = time_setting ("ECLOSE_LEASE_TIME", 0),
                                    .skew = time_setting ("ECLOSE_MAX_CLOCK_SKEW", -1),
                                    .who = self->who};
   ecl_holder_init (&self->holder, &options);
   return read_again (self, NULL);
}

void
ecl_works_close (ecl_works_t *self)
{
   if (!self->remote) {
      return;
   }
   ecl_heartbeat_stop (self->heartbeat);
   if (self->acquired) {
      ecl_holder_release (&self->holder, self->remote->world);
   }
   ecl_holder_cleanup (&self->holder);
   ecl_history_cleanup (&self->history);
   ecl_arena_cleanup (&self->arena);
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
      *wait = -1;
      return true;
   }
   if (!ecl_cli_number (cli, "wait", 1, 1000000, 0, &seconds)) {
      return false;
   }
   *wait = 1000 * seconds;
   return true;
}

static void
on_waiting (void *context, const ecl_lease_t *lease)
{
   ecl_works_t *self = context;
   char text[600];

   ecl_holder_describe (lease, text, sizeof text);
   ecl_cli_note (self->remote->cli, "waiting for the lease, which has: %s", text);
}

ecl_exit_t
ecl_works_acquire (ecl_works_t *self, int64_t wait)
{
   ecl_cli_t *cli = self->remote->cli;
   bson_error_t error;

   switch (ecl_holder_acquire (&self->holder, self->remote->world, wait, on_waiting, self, &error)) {
   case ECL_ACQUIRED:
      break;
   case ECL_ACQUIRE_BUSY:
      ecl_cli_fail (cli, "%s", error.message);
      return ECL_EXIT_LEASE;
   default:
      return ecl_cli_fail (cli, "%s", error.message);
   }
   self->acquired = true;
   if (!read_again (self, &self->holder)) {
      return ECL_EXIT_FAILED;
   }
   self->heartbeat = ecl_heartbeat_start (ecl_project_uri (self->remote->project), &self->holder, &error);
   if (!self->heartbeat) {
      return ecl_cli_fail (cli, "%s", error.message);
   }
   return ECL_EXIT_OK;
}

/* ---- hooks ---- */

static bool
carry (void *context, ecl_world_t *world, const ecl_chain_t *chain, size_t target, bool down, ecl_mode_t mode,
       bson_error_t *error)
{
   ecl_works_t *self = context;
   ecl_remote_t under = *self->remote;
   ecl_exit_t status;

   ecl_progress_hide (&self->progress);
   under.world = world;
   status = ecl_remote_run (&under, chain, target, down, mode);
   return status == ECL_EXIT_OK ||
          ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
                    status == ECL_EXIT_FOUND ? "documents of %s are in quarantine: " ECL_STORE_QUARANTINE " says why"
                                             : "%s could not be carried over",
                    chain->collection);
}

typedef struct {
   char first[400];
} verify_t;

static void
on_problem (void *context, const ecl_verify_problem_t *problem)
{
   verify_t *self = context;

   if (!*self->first) {
      snprintf (self->first, sizeof self->first, "%s: %s", problem->path, problem->message);
   }
}

/* All documents: a step that says that they are well must have seen them. */
static bool
verify (void *context, ecl_world_t *world, const ecl_chain_t *chain, bson_error_t *error)
{
   ecl_works_t *self = context;
   const ecl_value_t *document;
   bson_t all = BSON_INITIALIZER;
   int64_t bad = 0, seen = 0;
   ecl_verifier_t *verifier;
   verify_t found = {""};
   ecl_scan_t scan;
   bool good;

   verifier = ecl_verifier_new (self->remote->upgrades, chain, on_problem, &found, error);
   if (!verifier) {
      bson_destroy (&all);
      return false;
   }
   ecl_scan_init (&scan);
   ecl_scan_start (&scan, &all, false);
   while ((good = ecl_scan_next (&scan, world, self->remote->database, chain->collection, 500, &document, error)) &&
          document) {
      seen++;
      bad += !ecl_verifier_run (verifier, document);
   }
   ecl_scan_cleanup (&scan);
   ecl_verifier_destroy (verifier);
   bson_destroy (&all);
   if (good && bad) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
                       "%" PRId64 " of %" PRId64 " documents of %s are not as they should be; the first: %s", bad, seen,
                       chain->collection, found.first);
   }
   return good;
}

static bool
is_cancelled (void *context)
{
   ecl_world_t *world = ((ecl_works_t *) context)->remote->world;

   return world->cancelled (world);
}

static bool
program (void *context, const ecl_work_t *work, bool down, ecl_holder_t *holder, ecl_buf_t *output, bson_error_t *error)
{
   ecl_works_t *self = context;
   ecl_program_t options = {.file = work->file,
                            .name = work->name,
                            .uri = ecl_project_uri (self->remote->project),
                            .database = self->remote->database,
                            .down = down,
                            .holder = holder,
                            .cancelled = is_cancelled,
                            .context = self,
                            .show = STDERR_FILENO};

   return ecl_program_run (&options, output, error);
}

static void
tell (void *context, const ecl_migrate_event_t *event)
{
   ecl_works_t *self = context;
   ecl_cli_t *cli = self->remote->cli;
   ecl_world_t *world = self->remote->world;
   int64_t now = world->now (world);
   char label[128];

   if (event->ended) {
      ecl_progress_hide (&self->progress);
   } else if (!event->name) {
      self->began = now;
      ecl_cli_note (cli, "%s%s%s%s", event->down ? "reverting " : "", event->work->name,
                    *event->work->description ? ": " : "", event->work->description);
      if (event->resumed) {
         ecl_cli_note (cli, "  goes on where a run before it ended");
      }
   } else if (!event->rows) {
      ecl_progress_hide (&self->progress);
      snprintf (label, sizeof label, "  step %zu of %zu, %s %s", event->step + 1, event->n_steps, event->name,
                event->collection);
      ecl_progress_begin (&self->progress, stderr, self->terminal, label, 0, now);
   } else {
      ecl_progress_update (&self->progress, (uint64_t) event->rows, now);
   }
}

ecl_exit_t
ecl_works_run (ecl_works_t *self, const ecl_placed_t *placed, bool down)
{
   ecl_remote_t *remote = self->remote;
   ecl_migrate_options_t options = {.world = remote->world,
                                    .holder = &self->holder,
                                    .database = remote->database,
                                    .project = remote->project,
                                    .transactions = remote->server.transactions,
                                    .who = self->who,
                                    .hooks = {self, carry, verify, program, tell}};
   bson_error_t error;
   char took[32];

   if (!ecl_migrate_run (&options, placed->work, down, placed->record, &error)) {
      ecl_cli_fail (remote->cli, "%s: %s", placed->name, error.message);
      return error.domain == ECL_DOMAIN_STORE && error.code == ECL_ERROR_LEASE ? ECL_EXIT_LEASE : ECL_EXIT_FAILED;
   }
   if (remote->cli->json) {
      bson_t line = BSON_INITIALIZER;

      BSON_APPEND_UTF8 (&line, "migration", placed->name);
      BSON_APPEND_UTF8 (&line, "state", down ? "reverted" : "applied");
      BSON_APPEND_INT64 (&line, "ms", remote->world->now (remote->world) - self->began);
      ecl_cli_json (&line);
      bson_destroy (&line);
   } else {
      printf ("%s: %s in %s\n", placed->name, down ? "reverted" : "applied",
              ecl_progress_time (remote->world->now (remote->world) - self->began, took));
   }
   return ECL_EXIT_OK;
}

/* ---- small things ---- */

bool
ecl_works_unchanged (const ecl_works_t *self)
{
   bool good = true;

   for (size_t i = 0; i < self->n; i++) {
      if (self->list[i].kind == ECL_PLACE_CHANGED) {
         ecl_cli_fail (self->remote->cli,
                       "%s was applied, and the file is another by now: put the old one back, or accept this one "
                       "with `eclose repair %s`",
                       self->list[i].work->file, self->list[i].name);
         good = false;
      }
   }
   return good;
}

const ecl_placed_t *
ecl_works_find (const ecl_works_t *self, const char *name)
{
   const char **names = bson_malloc0 ((self->n + 1) * sizeof (char *)), *meant;
   const ecl_placed_t *found = NULL;

   for (size_t i = 0; i < self->n && !found; i++) {
      names[i] = self->list[i].name;
      found = strcmp (names[i], name) == 0 ? &self->list[i] : NULL;
   }
   if (!found) {
      meant = ecl_suggest (name, strlen (name), names);
      ecl_cli_fail (self->remote->cli, "there is no database migration \"%s\"%s%s%s", name,
                    meant ? "; did you mean \"" : "", meant ? meant : "", meant ? "\"?" : "");
   }
   bson_free (names);
   return found;
}

bool
ecl_works_mark (ecl_works_t *self, const ecl_placed_t *placed, const char *origin)
{
   ecl_changelog_t record = {.name = placed->name,
                             .checksum = placed->work ? placed->work->checksum : NULL,
                             .state = ECL_CHANGELOG_APPLIED,
                             .origin = origin,
                             .who = self->who,
                             .duration = -1};
   bson_error_t error;

   if (placed->work) {
      record.steps = (int32_t) placed->work->up.n_acts;
   }
   if (!ecl_history_mark (self->remote->world, &self->holder, placed->record, &record, &error)) {
      ecl_cli_fail (self->remote->cli, "%s", error.message);
      return false;
   }
   return true;
}
