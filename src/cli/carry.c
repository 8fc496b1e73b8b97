/* Carrying a collection to its target: what `up` and `down` say of it. See remote.h. */
#include "cli/progress.h"
#include "cli/remote.h"

#include <inttypes.h>
#include <string.h>

static void
print_json (const ecl_carried_t *carried, const bson_error_t *error)
{
   const ecl_job_counts_t *counts = &carried->counts;
   bson_t line = BSON_INITIALIZER;
   char id[25];
   bson_oid_t oid;

   BSON_APPEND_UTF8 (&line, "collection", carried->what.chain->collection);
   BSON_APPEND_UTF8 (&line, "to", carried->to);
   BSON_APPEND_UTF8 (&line, "mode", ecl_mode_name (carried->mode));
   BSON_APPEND_UTF8 (&line, "why", carried->mode_why);
   BSON_APPEND_INT64 (&line, "total", carried->total);
   BSON_APPEND_INT64 (&line, "changed", counts->changed);
   BSON_APPEND_INT64 (&line, "pushed", counts->pushed);
   BSON_APPEND_INT64 (&line, "conflicts", counts->conflicts);
   BSON_APPEND_INT64 (&line, "transactions", counts->transactions);
   BSON_APPEND_INT64 (&line, "quarantined", counts->quarantined);
   BSON_APPEND_INT64 (&line, "redone", counts->redone);
   BSON_APPEND_INT32 (&line, "passes", carried->passes);
   BSON_APPEND_BOOL (&line, "wrote", carried->wrote);
   BSON_APPEND_INT64 (&line, "ms", carried->ms);
   if (carried->by_records) {
      BSON_APPEND_BOOL (&line, "by_records", true);
   }
   if (*carried->later) {
      BSON_APPEND_UTF8 (&line, "later", carried->later);
   }
   if (!carried->nothing) {
      bson_oid_init_from_data (&oid, carried->job.id);
      bson_oid_to_string (&oid, id);
      BSON_APPEND_UTF8 (&line, "job", id);
      BSON_APPEND_BOOL (&line, "joined", carried->joined);
      BSON_APPEND_INT32 (&line, "ranges", carried->job.chunks);
      BSON_APPEND_UTF8 (&line, "state", ecl_job_state_name (carried->job.state));
   }
   if (error && !carried->cancelled && !carried->stopped) {
      BSON_APPEND_UTF8 (&line, "error", error->message);
   }
   if (carried->cancelled) {
      BSON_APPEND_BOOL (&line, "cancelled", true);
   }
   if (carried->stopped) {
      BSON_APPEND_BOOL (&line, "stopped", true);
   }
   ecl_cli_json (&line);
   bson_destroy (&line);
}

/* left: documents, about, where it was stopped before its end. */
static void
print_text (const ecl_carried_t *carried, int64_t left)
{
   const char *collection = carried->what.chain->collection, *to = carried->to;
   const ecl_job_counts_t *counts = &carried->counts;
   char a[32], b[32], c[32], text[ECL_VERSION_TEXT];

   if (*carried->later) {
      printf ("%s: left as it is: eclose_catalog has migrations up to version %s, of a later release or of files that "
              "are gone, and this project's end at version %s\n",
              collection, carried->later,
              ecl_version_text (carried->what.chain->format, carried->what.chain->target, text));
   } else if (carried->by_records) {
      printf ("%s: nothing to do, eclose's records say: nobody looked at every document (`eclose backfill start %s` "
              "does)\n",
              collection, ecl_shell_word (collection).text);
   } else if (carried->nothing) {
      printf ("%s: nothing to do, no%s document is %s version %s\n", collection,
              counts->quarantined || counts->changed ? " other" : "", carried->what.down ? "above" : "below", to);
   }
   if (carried->nothing) {
      if (counts->changed) {
         printf ("%s: %s document%s carried to version %s out of quarantine\n", collection,
                 ecl_progress_count ((uint64_t) counts->changed, a), counts->changed == 1 ? "" : "s", to);
      }
      if (counts->quarantined) {
         printf ("%s: %s document%s in quarantine; `eclose quarantine list %s` says why\n", collection,
                 ecl_progress_count ((uint64_t) counts->quarantined, c), counts->quarantined == 1 ? " is" : "s are",
                 ecl_shell_word (collection).text);
      }
      return;
   }
   if (carried->what.effort && carried->what.effort->only_start) {
      if (!carried->joined) {
         printf ("%s: a job of %s range%s to version %s is made; `eclose backfill work %s` works on it\n", collection,
                 ecl_progress_count ((uint64_t) carried->job.chunks, a), carried->job.chunks == 1 ? "" : "s", to,
                 ecl_shell_word (collection).text);
      }
   } else {
      /* The time is this process's; where others had a part in it that is told apart. */
      bool shared = carried->own.changed < counts->changed;

      printf ("%s: %s document%s carried to version %s%s%s%s in %s (%s: %s)\n", collection,
              ecl_progress_count ((uint64_t) counts->changed, a), counts->changed == 1 ? "" : "s", to,
              shared ? ", " : "", shared ? ecl_progress_count ((uint64_t) carried->own.changed, c) : "",
              shared ? " of them here" : "", ecl_progress_time (carried->ms, b), ecl_mode_name (carried->mode),
              carried->mode_why);
   }
   if (left > 0) {
      printf ("%s: about %s of %s documents %s left\n", collection, ecl_progress_count ((uint64_t) left, a),
              ecl_progress_count ((uint64_t) carried->total, b), left == 1 ? "is" : "are");
   }
   if (counts->conflicts) {
      printf ("%s: %s time%s a document had changed meanwhile and was read again\n", collection,
              ecl_progress_count ((uint64_t) counts->conflicts, c), counts->conflicts == 1 ? "" : "s");
   }
   if (counts->quarantined) {
      printf ("%s: %s document%s could not be carried over; `eclose quarantine list %s` says why\n", collection,
              ecl_progress_count ((uint64_t) counts->quarantined, c), counts->quarantined == 1 ? "" : "s",
              ecl_shell_word (collection).text);
   }
}

/* To metrics, log and hooks. */
static void
report (ecl_remote_t *self, const ecl_carry_t *what, const uint8_t *job, const ecl_account_t *account)
{
   const ecl_chain_t *chain = what->chain;
   char to[ECL_VERSION_TEXT], id[25];
   ecl_account_t whole = *account;
   bson_oid_t oid;

   if (job) {
      bson_oid_init_from_data (&oid, job);
      bson_oid_to_string (&oid, id);
      whole.job = id;
   }
   whole.kind = what->down ? "down" : "up";
   whole.collection = chain->collection;
   whole.to = ecl_version_text (chain->format, ecl_chain_version (chain, what->target), to);
   whole.done = self->last.done;
   whole.batches = self->last.batches;
   memcpy (whole.waited, self->last.waited, sizeof whole.waited);
   ecl_reporter_update (self->reporter, &whole, self->world->now (self->world));
}

static void
report_progress (ecl_remote_t *self, const ecl_carry_t *what, const ecl_job_progress_t *progress)
{
   ecl_account_t account = {.mode = ecl_mode_name (progress->mode),
                            .state = progress->paused ? "paused" : "running",
                            .slowed = progress->slow,
                            .stopped = progress->stopped,
                            .slowed_text = progress->slowed,
                            .total = progress->total,
                            .changed = progress->counts.changed,
                            .conflicts = progress->counts.conflicts,
                            .transactions = progress->counts.transactions,
                            .quarantined = progress->counts.quarantined,
                            .workers = progress->workers,
                            .latency = progress->latency,
                            .lag = progress->lag};

   self->last = *progress;
   self->last.job = NULL;
   self->last.slowed = NULL;
   report (self, what, progress->job, &account);
}

/* Whoever was asked to end before there was a job has stopped, too, and not failed. */
static bool
is_stopped (const ecl_carried_t *carried, const bson_error_t *error)
{
   return carried->stopped ||
          (!carried->cancelled && error && error->domain == ECL_DOMAIN_RUN && error->code == ECL_ERROR_CANCELLED);
}

static void
report_result (ecl_remote_t *self, const ecl_carried_t *carried, const bson_error_t *error)
{
   const ecl_job_counts_t *counts = &carried->own;
   ecl_account_t account = {.mode = ecl_mode_name (carried->mode),
                            .state = is_stopped (carried, error) ? "stopped"
                                     : carried->cancelled        ? "cancelled"
                                     : error                     ? "failed"
                                                                 : "done",
                            .error = error && !carried->time_up ? error->message : NULL,
                            .total = carried->total,
                            .changed = counts->changed,
                            .conflicts = counts->conflicts,
                            .transactions = counts->transactions,
                            .quarantined = carried->counts.quarantined,
                            .lag = -1};

   report (self, &carried->what, carried->total ? carried->job.id : NULL, &account);
}

void
ecl_remote_progress (ecl_remote_t *self, const ecl_carry_t *what, const ecl_job_progress_t *progress)
{
   int64_t now = self->world->now (self->world);

   if (!self->counting) {
      ecl_progress_begin (&self->progress, stderr, self->cli->progress, what->chain->collection,
                          (uint64_t) progress->total, now);
      self->progress.before = (uint64_t) progress->done;
      self->counting = true;
   }
   report_progress (self, what, progress);
   if (self->cli->log_json) {
      return;
   }
   if (progress->paused) {
      snprintf (self->progress.note, sizeof self->progress.note, "paused by `eclose backfill pause`");
   } else if (!progress->workers) {
      snprintf (self->progress.note, sizeof self->progress.note,
                "others have the ranges that are left; what one that died had is free when its lease is over");
   } else if (!*progress->slowed && progress->swept >= 0) {
      snprintf (self->progress.note, sizeof self->progress.note,
                "all carried; looked through once more: %" PRId64 " of %" PRId64 " range%s", progress->swept,
                progress->ranges, progress->ranges == 1 ? "" : "s");
   } else {
      snprintf (self->progress.note, sizeof self->progress.note, "%s%s", *progress->slowed ? "slowed: " : "",
                progress->slowed);
   }
   self->progress.rate = progress->paused ? -1 : progress->rate;
   ecl_progress_update (&self->progress, (uint64_t) progress->done, now);
}

ecl_exit_t
ecl_remote_fail (const ecl_remote_t *self, const bson_error_t *error)
{
   ecl_cli_fail (self->cli, "%s", error->message);
   return ecl_is_lease_error (error) ? ECL_EXIT_LEASE : ECL_EXIT_FAILED;
}

ecl_exit_t
ecl_remote_carried (ecl_remote_t *self, const ecl_carried_t *carried, const bson_error_t *error)
{
   int64_t left = carried->stopped && self->counting ? self->last.total - self->last.done : 0;
   bool time_up = error && carried->time_up;

   self->job_failed = carried->began && !carried->nothing && carried->job.state == ECL_JOB_FAILED;
   if (!carried->missing) {
      report_result (self, carried, error);
   }
   if (self->counting && !error && !self->cli->log_json) {
      *self->progress.note = '\0';
      if (carried->ms > 0) {
         /* Of this process, as its time is; not 0, which would be the mean of all. */
         self->progress.rate = BSON_MAX (1000.0 * (double) carried->own.changed / (double) carried->ms, 0.1);
      }
      /* All is done: what was carried, what is in quarantine, and what was at the target before. */
      ecl_progress_end (&self->progress, (uint64_t) BSON_MAX (carried->total, carried->counts.changed),
                        self->world->now (self->world));
   } else if (self->counting) {
      ecl_progress_hide (&self->progress);
   }
   self->counting = false;
   memset (&self->last, 0, sizeof self->last);
   if (carried->unfloored) {
      ecl_cli_note (self->cli, "%s: its recorded floor, which `complete` wrote, is taken back",
                    carried->what.chain->collection);
   }
   if (carried->missing) {
      ecl_cli_note (self->cli, "%s: there is no such collection in %s yet: nothing to do",
                    carried->what.chain->collection, self->database);
   } else if (carried->began && self->cli->json) {
      print_json (carried, error);
   } else if (carried->began) {
      print_text (carried, left);
   }
   if (time_up) {
      ecl_cli_note (self->cli, "%s", error->message);
   } else if (error) {
      return ecl_remote_fail (self, error);
   }
   return carried->counts.quarantined ? ECL_EXIT_FOUND : ECL_EXIT_OK;
}

/* What the throttle cannot see each job's workers find out anew; it is said of the first one. */
static bool
is_said (ecl_remote_t *self, const char *message)
{
   if (strncmp (message, "throttle: ", strlen ("throttle: ")) != 0) {
      return false;
   }
   for (size_t i = 0; i < self->n_said; i++) {
      if (strcmp (self->said[i], message) == 0) {
         return true;
      }
   }
   self->said = bson_realloc (self->said, (self->n_said + 1) * sizeof *self->said);
   self->said[self->n_said++] = bson_strdup (message);
   return false;
}

void
ecl_remote_note (ecl_remote_t *self, const char *message)
{
   if (is_said (self, message)) {
      return;
   }
   if (self->counting) {
      ecl_progress_hide (&self->progress);
   }
   ecl_cli_note (self->cli, "%s", message);
}

void
ecl_remote_note_missing (const ecl_remote_t *self, const char *collection)
{
   ecl_facts_t facts;
   ecl_arena_t arena;
   bson_error_t error;

   ecl_arena_init (&arena);
   if (ecl_facts_ask (self->world, &self->server, self->database, collection, &arena, &facts, &error) &&
       facts.kind == ECL_COLLECTION_MISSING) {
      ecl_cli_note (self->cli, "%s: there is no such collection in %s yet", collection, self->database);
   }
   ecl_arena_cleanup (&arena);
}

static void
on_progress (void *context, const ecl_carry_t *what, const ecl_job_progress_t *progress)
{
   ecl_remote_progress (context, what, progress);
}

static void
on_note (void *context, const char *message)
{
   ecl_remote_note (context, message);
}

ecl_exit_t
ecl_remote_run (ecl_remote_t *self, const ecl_chain_t *chain, size_t target, bool down, ecl_mode_t wanted)
{
   ecl_carry_t what = {
      .chain = chain, .target = target, .down = down, .mode = wanted, .effort = &self->effort, .note = on_note};
   ecl_site_t site = ecl_remote_site (self);
   ecl_carried_t carried;
   bson_error_t error;
   bool good = ecl_carry (&site, &what, on_progress, self, &carried, &error);

   return ecl_remote_carried (self, &carried, good ? NULL : &error);
}
