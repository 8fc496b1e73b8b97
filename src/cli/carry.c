/* Carrying a collection to its target: what `up` and `down` share. See remote.h. */
#include "cli/progress.h"
#include "cli/remote.h"

#include <unistd.h>

typedef struct {
   ecl_remote_t *remote;
   ecl_progress_t progress;
   bool counting; /* the total is known */
} carry_t;

static void
on_progress (void *context, const ecl_backfill_result_t *result)
{
   carry_t *carry = context;
   int64_t now = carry->remote->world->now (carry->remote->world);

   if (!carry->counting && result->passes) {
      char label[128];

      snprintf (label, sizeof label, "%s", carry->progress.label);
      ecl_progress_begin (&carry->progress, stderr, carry->progress.terminal, label, (uint64_t) result->total, now);
      carry->counting = true;
   }
   if (carry->counting && !result->ended) {
      ecl_progress_update (&carry->progress, (uint64_t) result->changed, now);
   }
}

static void
make_job_id (ecl_world_t *world, uint8_t id[12])
{
   for (int i = 0; i < 12; i += 4) {
      uint32_t bits = (uint32_t) world->random (world);

      memcpy (id + i, &bits, sizeof bits);
   }
}

static void
print_json (const ecl_course_t *course, const ecl_backfill_result_t *result, const char *to, int64_t ms)
{
   bson_t line = BSON_INITIALIZER;

   BSON_APPEND_UTF8 (&line, "collection", course->chain->collection);
   BSON_APPEND_UTF8 (&line, "to", to);
   BSON_APPEND_UTF8 (&line, "mode", ecl_mode_name (result->mode));
   BSON_APPEND_UTF8 (&line, "why", result->mode_why ? result->mode_why : course->mode_why);
   BSON_APPEND_INT64 (&line, "total", result->total);
   BSON_APPEND_INT64 (&line, "changed", result->changed);
   BSON_APPEND_INT64 (&line, "pushed", result->pushed);
   BSON_APPEND_INT64 (&line, "conflicts", result->conflicts);
   BSON_APPEND_INT64 (&line, "transactions", result->transactions);
   BSON_APPEND_INT64 (&line, "quarantined", result->quarantined);
   BSON_APPEND_INT64 (&line, "redone", result->redone);
   BSON_APPEND_INT32 (&line, "passes", result->passes);
   BSON_APPEND_BOOL (&line, "wrote", result->wrote);
   BSON_APPEND_INT64 (&line, "ms", ms);
   if (result->failed) {
      BSON_APPEND_UTF8 (&line, "error", result->error.message);
   }
   if (result->cancelled) {
      BSON_APPEND_BOOL (&line, "cancelled", true);
   }
   ecl_cli_json (&line);
   bson_destroy (&line);
}

static void
print_text (const ecl_course_t *course, const ecl_backfill_result_t *result, const char *to, int64_t ms)
{
   const char *collection = course->chain->collection;
   char a[32], b[32], c[32];

   if (result->total == 0 && !result->failed) {
      printf ("%s: nothing to do, no document is %s version %s\n", collection, course->down ? "above" : "below", to);
      return;
   }
   printf ("%s: %s document%s carried to version %s in %s (%s: %s)\n", collection,
           ecl_progress_count ((uint64_t) result->changed, a), result->changed == 1 ? "" : "s", to,
           ecl_progress_time (ms, b),
           ecl_mode_name (result->mode), result->mode_why ? result->mode_why : course->mode_why);
   if (result->conflicts) {
      printf ("%s: %s time%s a document had changed meanwhile and was read again\n", collection,
              ecl_progress_count ((uint64_t) result->conflicts, c), result->conflicts == 1 ? "" : "s");
   }
   if (result->quarantined) {
      printf ("%s: %s document%s could not be carried over; " ECL_STORE_QUARANTINE " says why\n", collection,
              ecl_progress_count ((uint64_t) result->quarantined, c), result->quarantined == 1 ? "" : "s");
   }
}

static ecl_exit_t
carry_out (ecl_remote_t *self, const ecl_course_t *course)
{
   ecl_backfill_options_t options = {.database = self->database,
                                     .chain = course->chain,
                                     .upgrades = self->upgrades,
                                     .target = course->target,
                                     .down = course->down,
                                     .mode = course->mode,
                                     .always_transaction = ecl_facts_transaction (&course->facts),
                                     .transactions = self->server.transactions,
                                     .pid = getpid ()};
   const ecl_backfill_result_t *result;
   carry_t carry = {.remote = self};
   char host[256] = "", to[ECL_VERSION_TEXT];
   int64_t began = self->world->now (self->world), ended;
   ecl_backfill_t *backfill;
   bson_error_t error;
   bool good;

   if (!ecl_server_guard_form (self->world, &self->server, self->database, course->chain->collection, &options.form,
                               &error)) {
      return ecl_cli_fail (self->cli, "%s", error.message);
   }
   gethostname (host, sizeof host - 1);
   options.host = host;
   make_job_id (self->world, options.job);
   backfill = ecl_backfill_new (&options, &error);
   if (!backfill) {
      return ecl_cli_fail (self->cli, "%s", error.message);
   }
   ecl_version_text (course->chain->format, ecl_chain_version (course->chain, course->target), to);
   ecl_progress_begin (&carry.progress, stderr, isatty (STDERR_FILENO) != 0, course->chain->collection, 0, began);
   good = ecl_backfill_drive (backfill, self->world, on_progress, &carry, &error);
   result = ecl_backfill_result (backfill);
   ended = self->world->now (self->world);
   if (carry.counting && good && !result->cancelled) {
      ecl_progress_end (&carry.progress, (uint64_t) result->changed, ended);
   } else {
      ecl_progress_hide (&carry.progress);
   }
   if (self->cli->json) {
      print_json (course, result, to, ended - began);
   } else {
      print_text (course, result, to, ended - began);
   }
   if (!good) {
      ecl_cli_fail (self->cli, "%s", error.message);
   } else if (result->cancelled) {
      ecl_cli_fail (self->cli, "%s: ended as asked for; the same command goes on where this one stopped",
                    course->chain->collection);
      good = false;
   }
   ecl_exit_t status = !good ? ECL_EXIT_FAILED : result->quarantined ? ECL_EXIT_FOUND : ECL_EXIT_OK;
   ecl_backfill_destroy (backfill);
   return status;
}

ecl_exit_t
ecl_remote_run (ecl_remote_t *self, const ecl_chain_t *chain, size_t target, bool down, ecl_mode_t wanted)
{
   ecl_course_t course;
   ecl_arena_t arena;
   bson_error_t error;
   ecl_exit_t status = ECL_EXIT_FAILED;

   ecl_arena_init (&arena);
   if (!ecl_remote_course (self, chain, target, down, wanted, &arena, &course, &error)) {
      ecl_cli_fail (self->cli, "%s", error.message);
      goto done;
   }
   for (size_t i = 0; i < course.n_obstacles; i++) {
      if (course.obstacles[i].level == ECL_OBSTACLE_BLOCKS) {
         ecl_cli_fail (self->cli, "%s: %s", chain->collection, course.obstacles[i].message);
         goto done;
      }
   }
   if (course.facts.kind == ECL_COLLECTION_MISSING) {
      ecl_cli_note (self->cli, "%s: there is no such collection in %s yet: nothing to do", chain->collection,
                    self->database);
      status = ECL_EXIT_OK;
      goto done;
   }
   status = carry_out (self, &course);

done:
   ecl_arena_cleanup (&arena);
   return status;
}
