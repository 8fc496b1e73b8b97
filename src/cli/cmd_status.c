/* eclose status: what is at which version, and what is pending, as far as eclose's own records say that; small
 * collections are counted, others where somebody asks for it. */
#include "backfill/complete.h"
#include "backfill/status.h"
#include "backfill/survey.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/remote.h"
#include "cli/works.h"
#include "run/publish.h"

#include <inttypes.h>

/* A collection of so many documents is counted without being asked: that takes no longer than the rest. */
#define SMALL 10000

#define COUNT_TIME 60

typedef struct {
   const ecl_cli_t *cli;
   ecl_remote_t *remote;
   int64_t seconds; /* that counting gets, per collection */
   ecl_look_t how;
   int64_t counted; /* of the collection at hand, as was last told */
   bool exact, check;
} status_t;

/* What was found out of one collection. */
typedef struct {
   const ecl_chain_t *chain;
   ecl_status_t status;
   bool unknown; /* its migrations are not to be used: only the records are shown */
   bool differs; /* the job is of other migrations */
   ecl_survey_t survey;
   bool counted, late;           /* survey is true; the time was not enough for it */
   bool asked, any;              /* whether a document is not at the target: whether that is known, and is so */
   bool stays;                   /* it is known because the server keeps others out */
   char later[ECL_VERSION_TEXT]; /* version to which another release has migrations, beyond the target; or "" */
} findings_t;

/* ---- text ---- */

static void
print_job (const ecl_cli_t *cli, const findings_t *found)
{
   const ecl_status_t *status = &found->status;
   const ecl_job_t *job = &status->job;
   const bool live = ecl_job_is_live (job->state), paused = live && job->wanted != ECL_WANTED_RUNNING;
   char a[32], b[32], c[32];

   printf ("  %s to version %s: %s%s%s, ", job->down ? "down" : "up", job->to, ecl_job_state_name (job->state),
           paused ? ", " : "", paused ? ecl_job_wanted_name (job->wanted) : "");
   if (job->state == ECL_JOB_DONE) {
      printf ("%s, %s changed\n", ecl_cli_time (job->ended, a), ecl_progress_count ((uint64_t) job->counts.changed, b));
   } else {
      printf ("%s of about %s documents done, %s left\n", ecl_progress_count ((uint64_t) status->done, a),
              ecl_progress_count ((uint64_t) job->documents, b),
              ecl_progress_count ((uint64_t) (job->documents - status->done), c));
   }
   if (job->state == ECL_JOB_RUNNING && !paused && !status->held) {
      printf ("    %snobody works on it%s: `eclose backfill work %s` does\n", ecl_cli_colour (cli, ECL_CLI_YELLOW),
              ecl_cli_colour (cli, ECL_CLI_PLAIN), ecl_shell_word (job->collection).text);
   }
   if (found->differs) {
      printf ("    %sof other migrations or settings than this project has%s\n", ecl_cli_colour (cli, ECL_CLI_YELLOW),
              ecl_cli_colour (cli, ECL_CLI_PLAIN));
   }
   if (*job->error) {
      printf ("    %s%s%s\n", ecl_cli_colour (cli, ECL_CLI_RED), job->error, ecl_cli_colour (cli, ECL_CLI_PLAIN));
   }
}

static void
print_counts (const ecl_cli_t *cli, const ecl_chain_t *chain, const ecl_survey_t *survey)
{
   char text[ECL_VERSION_TEXT], n[32];

   for (size_t i = 0; i <= chain->n_steps; i++) {
      if (survey->counts[i] || i == chain->n_steps) {
         printf ("  version %-8s %12s\n", ecl_version_text (chain->format, ecl_chain_version (chain, i), text),
                 ecl_progress_count ((uint64_t) survey->counts[i], n));
      }
   }
   if (survey->outside) {
      printf ("  %sno known version%s %11s\n", ecl_cli_colour (cli, ECL_CLI_RED), ecl_cli_colour (cli, ECL_CLI_PLAIN),
              ecl_progress_count ((uint64_t) survey->outside, n));
   }
}

static void
print_text (const status_t *self, const findings_t *found)
{
   const ecl_cli_t *cli = self->cli;
   const ecl_chain_t *chain = found->chain;
   const ecl_status_t *status = &found->status;
   const ecl_survey_t *survey = &found->survey;
   int64_t all = found->counted ? survey->outside : status->estimate;
   char text[ECL_VERSION_TEXT], n[32];

   for (size_t i = 0; found->counted && i <= chain->n_steps; i++) {
      all += survey->counts[i];
   }
   ecl_version_text (chain->format, chain->target, text);
   printf ("%s%s%s: %s%s document%s, target %s\n", ecl_cli_colour (cli, ECL_CLI_BOLD), chain->collection,
           ecl_cli_colour (cli, ECL_CLI_PLAIN), found->counted ? "" : "about ", ecl_progress_count ((uint64_t) all, n),
           all == 1 ? "" : "s", found->unknown ? "unknown" : text);
   if (*found->later) {
      printf ("  %slater%s: eclose_catalog has migrations up to version %s, of a later release or of files that are "
              "gone\n",
              ecl_cli_colour (cli, ECL_CLI_YELLOW), ecl_cli_colour (cli, ECL_CLI_PLAIN), found->later);
   }
   if (status->has_job) {
      print_job (cli, found);
   } else if (status->unread.code) {
      printf ("  %s%s%s\n", ecl_cli_colour (cli, ECL_CLI_RED), status->unread.message,
              ecl_cli_colour (cli, ECL_CLI_PLAIN));
   }
   if (status->has_floor) {
      printf ("  floor %s, found %s%s\n", status->floor.floor, ecl_cli_time (status->floor.when, n),
              status->floor.validated ? ", kept by a validator then" : "");
   }
   if (found->counted) {
      print_counts (cli, chain, survey);
   } else if (found->late) {
      printf ("  not counted: %" PRId64 " second%s were not enough; --count-time gives it more\n", self->seconds,
              self->seconds == 1 ? "" : "s");
   } else if (!found->unknown) {
      printf ("  not counted: --exact counts\n");
   }
   if (status->quarantined) {
      printf ("  %sin quarantine%s   %12s\n", ecl_cli_colour (cli, ECL_CLI_RED), ecl_cli_colour (cli, ECL_CLI_PLAIN),
              ecl_progress_count ((uint64_t) status->quarantined, n));
   }
   for (size_t i = found->counted ? survey->first : chain->n_steps; i < chain->n_steps; i++) {
      printf ("  %spending%s %s (%s)\n", ecl_cli_colour (cli, ECL_CLI_YELLOW), ecl_cli_colour (cli, ECL_CLI_PLAIN),
              chain->steps[i].name, chain->steps[i].file);
   }
   if (!found->counted && found->asked && found->any) {
      printf ("  %spending%s: at least one document is not at the target\n", ecl_cli_colour (cli, ECL_CLI_YELLOW),
              ecl_cli_colour (cli, ECL_CLI_PLAIN));
   } else if (!found->counted && found->asked) {
      printf ("  no document is %s the target%s\n", found->stays ? "below" : "off",
              found->stays ? ": the server's validator keeps them out" : "");
   }
}

/* ---- JSON ---- */

static void
append_status (bson_t *line, const findings_t *found)
{
   const ecl_status_t *status = &found->status;
   const ecl_job_t *job = &status->job;
   bson_t child;

   BSON_APPEND_INT64 (line, "estimated", status->estimate);
   if (status->has_job) {
      BSON_APPEND_DOCUMENT_BEGIN (line, "job", &child);
      BSON_APPEND_UTF8 (&child, "kind", job->down ? "down" : "up");
      BSON_APPEND_UTF8 (&child, "to", job->to);
      BSON_APPEND_UTF8 (&child, "state", ecl_job_state_name (job->state));
      BSON_APPEND_UTF8 (&child, "wanted", ecl_job_wanted_name (job->wanted));
      BSON_APPEND_INT64 (&child, "documents", job->documents);
      BSON_APPEND_INT64 (&child, "done", status->done);
      BSON_APPEND_INT64 (&child, "left", job->documents - status->done);
      if (job->state == ECL_JOB_RUNNING) {
         BSON_APPEND_INT64 (&child, "held", status->held);
      }
      if (found->differs) {
         BSON_APPEND_BOOL (&child, "differs", true);
      }
      BSON_APPEND_DATE_TIME (&child, "started", job->started);
      if (job->ended) {
         BSON_APPEND_DATE_TIME (&child, "ended", job->ended);
      }
      if (*job->error) {
         BSON_APPEND_UTF8 (&child, "error", job->error);
      }
      bson_append_document_end (line, &child);
   } else if (status->unread.code) {
      BSON_APPEND_UTF8 (line, "job_error", status->unread.message);
   }
   if (status->has_floor) {
      BSON_APPEND_DOCUMENT_BEGIN (line, "floor", &child);
      BSON_APPEND_UTF8 (&child, "version", status->floor.floor);
      BSON_APPEND_BOOL (&child, "validated", status->floor.validated);
      BSON_APPEND_DATE_TIME (&child, "when", status->floor.when);
      bson_append_document_end (line, &child);
   }
   BSON_APPEND_INT64 (line, "quarantined", status->quarantined);
}

static void
append_counts (bson_t *line, const ecl_chain_t *chain, const ecl_survey_t *survey)
{
   char text[ECL_VERSION_TEXT], buffer[16];
   const char *key;
   bson_t list, one;
   uint32_t n = 0;

   BSON_APPEND_ARRAY_BEGIN (line, "versions", &list);
   for (size_t i = 0; i <= chain->n_steps; i++) {
      bson_uint32_to_string (n++, &key, buffer, sizeof buffer);
      BSON_APPEND_DOCUMENT_BEGIN (&list, key, &one);
      BSON_APPEND_UTF8 (&one, "version", ecl_version_text (chain->format, ecl_chain_version (chain, i), text));
      BSON_APPEND_INT64 (&one, "documents", survey->counts[i]);
      bson_append_document_end (&list, &one);
   }
   bson_append_array_end (line, &list);
   BSON_APPEND_INT64 (line, "unknown", survey->outside);
   BSON_APPEND_INT64 (line, "documents_pending", survey->not_at);
   BSON_APPEND_ARRAY_BEGIN (line, "pending", &list);
   n = 0;
   for (size_t i = survey->first; i < chain->n_steps; i++) {
      bson_uint32_to_string (n++, &key, buffer, sizeof buffer);
      BSON_APPEND_UTF8 (&list, key, chain->steps[i].name);
   }
   bson_append_array_end (line, &list);
}

static void
print_json (const findings_t *found)
{
   const ecl_chain_t *chain = found->chain;
   bson_t line = BSON_INITIALIZER;
   char text[ECL_VERSION_TEXT];

   BSON_APPEND_UTF8 (&line, "collection", chain->collection);
   if (!found->unknown) {
      BSON_APPEND_UTF8 (&line, "target", ecl_version_text (chain->format, chain->target, text));
   }
   append_status (&line, found);
   if (*found->later) {
      BSON_APPEND_UTF8 (&line, "later", found->later);
   }
   BSON_APPEND_BOOL (&line, "counted", found->counted);
   if (found->counted) {
      append_counts (&line, chain, &found->survey);
   }
   if (found->asked) {
      BSON_APPEND_BOOL (&line, "any_pending", found->any);
   }
   ecl_cli_json (&line);
   bson_destroy (&line);
}

/* ---- database migrations ---- */

static const char *
place_name (const ecl_placed_t *placed)
{
   switch (placed->kind) {
   case ECL_PLACE_LATE:
      return "late";
   case ECL_PLACE_CHANGED:
      return "changed";
   case ECL_PLACE_DOWN:
      return "reverting";
   case ECL_PLACE_ADOPTED:
      return "adopted";
   case ECL_PLACE_GONE:
      return "gone";
   default:
      return placed->record ? ecl_changelog_state_name (placed->record->state) : "pending";
   }
}

static void
print_migration (const char *name, const char *state)
{
   bson_t line = BSON_INITIALIZER;

   BSON_APPEND_UTF8 (&line, "migration", name);
   BSON_APPEND_UTF8 (&line, "state", state);
   ecl_cli_json (&line);
   bson_destroy (&line);
}

/* Whether nobody has the lease who could be at one that is recorded as running. */
static bool
is_left (ecl_works_t *works, ecl_world_t *world)
{
   ecl_holder_t *holder = &works->runner.holder;
   bool found, expired = false;
   bson_error_t ignored;
   ecl_lease_t lease;

   return ecl_holder_look (holder, world, &found, &lease, &ignored) &&
          ecl_holder_look_expired (holder, world, &expired, &ignored) && (!found || !lease.held || expired);
}

/* The database migrations; those that are applied and well are only counted. *changed: a file that was applied is
 * another by now. */
static bool
show_works (ecl_remote_t *remote, int64_t *pending, bool *changed)
{
   const ecl_cli_t *cli = remote->cli;
   ecl_works_t works;
   size_t applied = 0, elsewhere = 0, adopted = 0;
   bool good = ecl_works_open (&works, remote);

   for (size_t i = 0; i < works.runner.n && good; i++) {
      const ecl_placed_t *placed = &works.runner.list[i];

      *pending += ecl_placed_pending (placed) || placed->kind == ECL_PLACE_DOWN;
      applied += placed->kind == ECL_PLACE_APPLIED;
      adopted += placed->kind == ECL_PLACE_ADOPTED;
      elsewhere += placed->kind == ECL_PLACE_ADOPTED || placed->kind == ECL_PLACE_GONE;
      if (cli->json) {
         print_migration (placed->name, place_name (placed));
      } else if (placed->kind != ECL_PLACE_APPLIED && placed->kind != ECL_PLACE_ADOPTED) {
         const ecl_changelog_t *record = placed->record;

         printf ("%s%s%s %s", ecl_cli_colour (cli, ecl_placed_pending (placed) ? ECL_CLI_YELLOW : ECL_CLI_RED),
                 place_name (placed), ecl_cli_colour (cli, ECL_CLI_PLAIN), placed->name);
         if (placed->kind == ECL_PLACE_GONE) {
            printf (": the changelog has it as %s, and the project has no file of it",
                    ecl_changelog_state_name (record->state));
         }
         if (placed->work && record && record->state == ECL_CHANGELOG_RUNNING && is_left (&works, remote->world)) {
            printf (": %snobody works on it%s: `eclose %s%s` does", ecl_cli_colour (cli, ECL_CLI_YELLOW),
                    ecl_cli_colour (cli, ECL_CLI_PLAIN), record->down ? "revert " : "up",
                    record->down ? placed->name : "");
         }
         printf ("%s%s\n", record && record->error ? ": " : "", record && record->error ? record->error : "");
      }
   }
   if (good && works.runner.n && !cli->json) {
      printf ("database migrations: %zu of %zu applied", applied, works.runner.n - elsewhere);
      if (adopted) {
         printf (", %zu adopted from other tools", adopted);
      }
      putchar ('\n');
   }
   *changed = good && !ecl_works_unchanged (&works);
   ecl_works_close (&works);
   return good;
}

/* The changelog alone, where files are not to be compared with. */
static bool
show_records (ecl_remote_t *remote)
{
   const ecl_cli_t *cli = remote->cli;
   ecl_works_t works;
   size_t applied = 0;
   bool good = ecl_works_open (&works, remote);

   for (size_t i = 0; i < works.runner.history.n && good; i++) {
      const ecl_changelog_t *record = &works.runner.history.records[i];

      applied += record->state == ECL_CHANGELOG_APPLIED;
      if (cli->json) {
         print_migration (record->name, ecl_changelog_state_name (record->state));
      } else if (record->state != ECL_CHANGELOG_APPLIED) {
         printf ("%s%s%s %s%s%s\n", ecl_cli_colour (cli, ECL_CLI_RED), ecl_changelog_state_name (record->state),
                 ecl_cli_colour (cli, ECL_CLI_PLAIN), record->name, record->error ? ": " : "",
                 record->error ? record->error : "");
      }
   }
   if (good && !cli->json) {
      printf ("database migrations: %zu applied, what is pending is unknown\n", applied);
   }
   ecl_works_close (&works);
   return good;
}

/* ---- finding out ---- */

static void
tell_counted (void *context, int64_t done, int64_t total)
{
   status_t *self = context;
   ecl_remote_t *remote = self->remote;
   int64_t now = remote->world->now (remote->world);

   if (!self->counted) {
      ecl_progress_begin (&remote->progress, stderr, remote->cli->progress, "counting", (uint64_t) total, now);
   }
   self->counted = done;
   ecl_progress_update (&remote->progress, (uint64_t) done, now);
}

/* Without counting, where that can be: what the records say, then the first document that is found, if any. */
static bool
look (status_t *self, const ecl_chain_t *chain, ecl_arena_t *arena, findings_t *out, bson_error_t *error)
{
   ecl_world_t *world = self->remote->world;
   const char *database = self->remote->database;
   bool late;

   memset (out, 0, sizeof *out);
   out->chain = chain;
   out->unknown = self->remote->broken;
   if (!ecl_status_read (world, database, chain, self->remote->place, arena, &out->status, error)) {
      return false;
   }
   if (out->unknown) {
      return true;
   }
   out->differs = out->status.has_job && ecl_job_differs (&out->status.job, chain);
   if (!ecl_publish_later (world, database, chain, out->later, error)) {
      return false;
   }
   if (self->exact || out->status.estimate <= SMALL) {
      ecl_survey_options_t options = {.until = world->now (world) + self->seconds * 1000,
                                      .look = self->how,
                                      .progress = tell_counted,
                                      .context = self};
      bool good;

      self->counted = 0;
      good = ecl_survey_within (world, database, chain, chain->n_steps, &options, arena, &out->survey, error);
      ecl_progress_hide (&self->remote->progress);
      if (!good) {
         return false;
      }
      out->late = out->survey.late;
      out->counted = out->asked = !out->late;
      out->any = out->counted && out->survey.not_at;
   }
   if (out->counted || !self->check) {
      return true;
   }
   if (!ecl_complete_stays (world, &self->remote->server, database, chain, chain->n_steps, &out->stays, error)) {
      return false;
   }
   out->asked = true;
   if (out->stays) {
      return true;
   }
   if (!ecl_survey_any (world, database, chain, chain->n_steps, world->now (world) + self->seconds * 1000, &out->any,
                        &late, error)) {
      return false;
   }
   return !late || ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER,
                             "whether a document is pending was not found out in %" PRId64
                             " seconds; --count-time gives it more",
                             self->seconds);
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   const ecl_chain_t *chains, *only;
   ecl_remote_t remote = {0};
   status_t self = {
      .cli = cli, .remote = &remote, .exact = ecl_cli_flag (cli, "exact"), .check = ecl_cli_flag (cli, "check")};
   bool changed = false, any = false;
   findings_t *found = NULL;
   int64_t pending = 0;
   ecl_arena_t arena;
   bson_error_t error;
   size_t n;

   if (!ecl_cli_number (cli, "count-time", 1, ECL_REMOTE_COUNT_TIME_MAX, COUNT_TIME, &self.seconds) ||
       !ecl_remote_look (&remote, cli, &self.how)) {
      return ECL_EXIT_USAGE;
   }
   if ((self.how.range_docs || self.how.workers) && !self.exact) {
      return ecl_cli_usage (cli, "--%s is about --exact", self.how.workers ? "workers" : "range-docs");
   }
   ecl_arena_init (&arena);
   /* Counting and looking for a document need the chain. */
   if (!(self.exact || self.check ? ecl_remote_load (&remote, cli) : ecl_remote_load_settings (&remote, cli)) ||
       !ecl_cli_chain (cli, remote.project, 0, &only) || !ecl_remote_connect (&remote)) {
      goto done;
   }
   if (!only && !(remote.broken ? show_records (&remote) : show_works (&remote, &pending, &changed))) {
      goto done;
   }
   found = bson_malloc (sizeof *found);
   chains = ecl_project_chains (remote.project, &n);
   for (size_t i = 0; i < n; i++) {
      if (only && only != &chains[i]) {
         continue;
      }
      ecl_arena_reset (&arena);
      if (!look (&self, &chains[i], &arena, found, &error)) {
         ecl_cli_fail (cli, "%s: %s", chains[i].collection, error.message);
         goto done;
      }
      any = any || found->any;
      if (!found->status.estimate) {
         ecl_remote_note_missing (&remote, chains[i].collection);
      }
      if (cli->json) {
         print_json (found);
      } else {
         print_text (&self, found);
      }
   }
   status = changed || remote.broken         ? ECL_EXIT_FAILED
            : self.check && (pending || any) ? ECL_EXIT_PENDING
                                             : ECL_EXIT_OK;

done:
   bson_free (found);
   ecl_arena_cleanup (&arena);
   ecl_remote_close (&remote);
   return status;
}

static const ecl_option_t options[] = {
   {"check", 0, NULL, "end with status 3 where something is pending; finds one such document"},
   {"exact", 0, NULL, "count, which goes through each collection once per version"},
   {"count-time", 0, "SECONDS", "that --exact and --check get for a collection; 60"},
   ECL_REMOTE_LOOK,
   {NULL},
};

const ecl_command_t ecl_cmd_status = {
   .name = "status",
   .arguments = "[COLLECTION]",
   .summary = "say what is at which version, and what is pending",
   .about = "Per collection: the target, the last job, the recorded floor, documents in\n"
            "quarantine. Up to 10,000 documents are counted per version too, more only with\n"
            "--exact. --check looks for one document that is not at the target: soon found where\n"
            "there are many; where there is none it goes once through the collection, unless a\n"
            "validator of `eclose complete` spares that. Writes nothing.",
   .options = options,
   .max_args = 1,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER | ECL_COMMAND_FORMAT,
   .run = run,
};
