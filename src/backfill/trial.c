/* Trying a sample: see trial.h. */
#include "backfill/trial.h"

#include "backfill/dry_run.h"

typedef struct {
   ecl_world_t *world;
   ecl_dry_run_t *dry_run;
   int64_t tried, failed;
   char first[400];
} run_t;

static void
try_one (run_t *run, const ecl_value_t *document)
{
   ecl_converted_t converted;
   ecl_arena_t arena;

   switch (ecl_dry_run_try (run->dry_run, document, !run->failed, &converted)) {
   case ECL_TRIED_NOTHING:
      return;
   case ECL_TRIED_GOES:
      run->tried++;
      return;
   case ECL_TRIED_FAILS:
      break;
   }
   run->tried++;
   if (!run->failed++) {
      ecl_arena_init (&arena);
      bson_snprintf (run->first, sizeof run->first, "_id %s: %s%s%s", ecl_value_text (&arena, &converted.id),
                     converted.message, *converted.path ? " at " : "", converted.path);
      ecl_arena_cleanup (&arena);
   }
}

static bool
try_all (run_t *run, ecl_partition_sample_t *sample, bson_error_t *error)
{
   const ecl_value_t *document;
   bson_t all = BSON_INITIALIZER;
   ecl_scan_t scan;
   bool good;

   ecl_scan_init (&scan);
   ecl_scan_start (&scan, &all, false);
   scan.sample = ECL_TRIAL_DOCUMENTS;
   do {
      run->tried = run->failed = 0;
      sample->n = 0;
      while ((good = ecl_dry_run_next (run->dry_run, &scan, &document, error)) && document) {
         try_one (run, document);
         ecl_partition_add (sample, document);
      }
   } while (!good && ecl_scan_again (&scan, run->world));
   ecl_scan_cleanup (&scan);
   bson_destroy (&all);
   return good;
}

/* A validator that cannot be judged. */
static void
note_unjudged (const ecl_trial_t *self, const char *why)
{
   char *text =
      bson_strdup_printf ("%s: the trial could not judge the collection's validator (%s): what it refuses goes to "
                          "quarantine",
                          self->strategy->chain->collection, why);

   self->note (self->context, text);
   bson_free (text);
}

bool
ecl_trial (const ecl_trial_t *self, ecl_partition_sample_t *sample, bson_error_t *error)
{
   double most = self->max_errors < 0 ? 0 : self->max_errors > 0 ? self->max_errors : ECL_TRIAL_ERRORS;
   run_t run = {.world = self->site->world};
   const char *unjudged;
   bool good;

   if (most >= 1) {
      return true;
   }
   run.dry_run = ecl_dry_run_new (self->site, self->strategy, ECL_DRY_RUN_SAMPLE, error);
   if (!run.dry_run) {
      return false;
   }
   unjudged = ecl_dry_run_unjudged (run.dry_run);
   if (unjudged && self->note) {
      note_unjudged (self, unjudged);
   }
   good = try_all (&run, sample, error);
   ecl_dry_run_destroy (run.dry_run);
   sample->to_do = run.tried - run.failed; /* those may be in quarantine already */
   if (good && run.tried >= ECL_TRIAL_FEWEST && (double) run.failed > most * (double) run.tried) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
                       "%s: %lld of %lld documents that were tried without writing cannot be carried over, so nothing "
                       "was begun (--max-errors says how many may fail); the first: %s",
                       self->strategy->chain->collection, (long long) run.failed, (long long) run.tried, run.first);
   }
   return good;
}
