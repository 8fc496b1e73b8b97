/* Carrying a collection to its target: what `up` and `down` say of it. See remote.h. */
#include "cli/progress.h"
#include "cli/remote.h"

#include <unistd.h>

static void
print_json (const ecl_carried_t *carried, const bson_error_t *error)
{
   const ecl_backfill_result_t *result = &carried->result;
   bson_t line = BSON_INITIALIZER;

   BSON_APPEND_UTF8 (&line, "collection", carried->what.chain->collection);
   BSON_APPEND_UTF8 (&line, "to", carried->to);
   BSON_APPEND_UTF8 (&line, "mode", ecl_mode_name (carried->mode));
   BSON_APPEND_UTF8 (&line, "why", carried->mode_why);
   BSON_APPEND_INT64 (&line, "total", result->total);
   BSON_APPEND_INT64 (&line, "changed", result->changed);
   BSON_APPEND_INT64 (&line, "pushed", result->pushed);
   BSON_APPEND_INT64 (&line, "conflicts", result->conflicts);
   BSON_APPEND_INT64 (&line, "transactions", result->transactions);
   BSON_APPEND_INT64 (&line, "quarantined", result->quarantined);
   BSON_APPEND_INT64 (&line, "redone", result->redone);
   BSON_APPEND_INT32 (&line, "passes", result->passes);
   BSON_APPEND_BOOL (&line, "wrote", result->wrote);
   BSON_APPEND_INT64 (&line, "ms", carried->ms);
   if (result->failed) {
      BSON_APPEND_UTF8 (&line, "error", error->message);
   }
   if (result->cancelled) {
      BSON_APPEND_BOOL (&line, "cancelled", true);
   }
   ecl_cli_json (&line);
   bson_destroy (&line);
}

static void
print_text (const ecl_carried_t *carried)
{
   const char *collection = carried->what.chain->collection, *to = carried->to;
   const ecl_backfill_result_t *result = &carried->result;
   char a[32], b[32], c[32];

   if (result->total == 0 && !result->failed) {
      printf ("%s: nothing to do, no document is %s version %s\n", collection, carried->what.down ? "above" : "below",
              to);
      return;
   }
   printf ("%s: %s document%s carried to version %s in %s (%s: %s)\n", collection,
           ecl_progress_count ((uint64_t) result->changed, a), result->changed == 1 ? "" : "s", to,
           ecl_progress_time (carried->ms, b), ecl_mode_name (carried->mode), carried->mode_why);
   if (result->conflicts) {
      printf ("%s: %s time%s a document had changed meanwhile and was read again\n", collection,
              ecl_progress_count ((uint64_t) result->conflicts, c), result->conflicts == 1 ? "" : "s");
   }
   if (result->quarantined) {
      printf ("%s: %s document%s could not be carried over; " ECL_STORE_QUARANTINE " says why\n", collection,
              ecl_progress_count ((uint64_t) result->quarantined, c), result->quarantined == 1 ? "" : "s");
   }
}

/* To metrics, log and hooks. */
static void
report (ecl_remote_t *self, const ecl_carry_t *what, const ecl_backfill_result_t *result, const char *error)
{
   const ecl_chain_t *chain = what->chain;
   char to[ECL_VERSION_TEXT];
   ecl_account_t account = {.kind = what->down ? "down" : "up",
                            .collection = chain->collection,
                            .to = ecl_version_text (chain->format, ecl_chain_version (chain, what->target), to),
                            .mode = ecl_mode_name (result->mode),
                            .state = result->cancelled ? "cancelled"
                                     : error           ? "failed"
                                     : result->ended   ? "done"
                                                       : "running",
                            .error = error,
                            .total = result->total,
                            .changed = result->changed,
                            .conflicts = result->conflicts,
                            .transactions = result->transactions,
                            .quarantined = result->quarantined,
                            .workers = result->ended ? 0 : 1,
                            .lag = -1};

   ecl_reporter_update (self->reporter, &account, self->world->now (self->world));
}

void
ecl_remote_progress (ecl_remote_t *self, const ecl_carry_t *what, const ecl_backfill_result_t *result)
{
   int64_t now = self->world->now (self->world);

   if (!self->counting && result->passes) {
      ecl_progress_begin (&self->progress, stderr, isatty (STDERR_FILENO) != 0, what->chain->collection,
                          (uint64_t) result->total, now);
      self->counting = true;
   }
   if (self->counting && !result->ended) {
      report (self, what, result, NULL);
      if (!self->cli->log_json) {
         ecl_progress_update (&self->progress, (uint64_t) result->changed, now);
      }
   }
}

ecl_exit_t
ecl_remote_carried (ecl_remote_t *self, const ecl_carried_t *carried, const bson_error_t *error)
{
   if (!carried->missing) {
      report (self, &carried->what, &carried->result, error ? error->message : NULL);
   }
   if (self->counting && !error && !self->cli->log_json) {
      ecl_progress_end (&self->progress, (uint64_t) carried->result.changed, self->world->now (self->world));
   } else if (self->counting) {
      ecl_progress_hide (&self->progress);
   }
   self->counting = false;
   if (carried->missing) {
      ecl_cli_note (self->cli, "%s: there is no such collection in %s yet: nothing to do",
                    carried->what.chain->collection, self->database);
   } else if (carried->began && self->cli->json) {
      print_json (carried, error);
   } else if (carried->began) {
      print_text (carried);
   }
   if (error) {
      return ecl_cli_fail (self->cli, "%s", error->message);
   }
   return carried->result.quarantined ? ECL_EXIT_FOUND : ECL_EXIT_OK;
}

static void
on_progress (void *context, const ecl_carry_t *what, const ecl_backfill_result_t *result)
{
   ecl_remote_progress (context, what, result);
}

ecl_exit_t
ecl_remote_run (ecl_remote_t *self, const ecl_chain_t *chain, size_t target, bool down, ecl_mode_t wanted)
{
   ecl_carry_t what = {.chain = chain, .target = target, .down = down, .mode = wanted};
   ecl_site_t site = ecl_remote_site (self);
   ecl_carried_t carried;
   bson_error_t error;
   bool good = ecl_carry (&site, &what, on_progress, self, &carried, &error);

   return ecl_remote_carried (self, &carried, good ? NULL : &error);
}
