/* Trying a sample: see trial.h. */
#include "run/trial.h"

#include "run/admit.h"
#include "run/convert.h"
#include "run/lookups.h"
#include "run/scan.h"
#include "upgrade/loads.h"

typedef struct {
   ecl_converter_t *converter;
   ecl_lookups_t *lookups; /* of a chain that looks others up; else NULL */
   ecl_admit_t *admit;
   bool no_transactions; /* nothing is pushed down, and the server has none: what wants one fails */
   ecl_arena_t arena;    /* of one document */
   int64_t tried, failed;
   char first[400];
} run_t;

static void
try_one (run_t *run, const ecl_value_t *document)
{
   ecl_converted_t converted;
   ecl_convert_kind_t kind;
   bson_error_t error;

   ecl_arena_reset (&run->arena);
   run->tried++;
   kind = ecl_convert (run->converter, &run->arena, document, &converted);
   if (kind == ECL_CONVERT_TRANSACTION && run->no_transactions) {
      ecl_convert_untransacted (&run->arena, &converted);
      kind = ECL_CONVERT_FAILED;
   }
   switch (kind) {
   case ECL_CONVERT_DONE:
      run->tried--;
      return;
   case ECL_CONVERT_FAILED:
      break;
   case ECL_CONVERT_NEEDS:
      return;
   default:
      if (ecl_admit (run->admit, document, &converted.after, run->failed ? NULL : &error)) {
         return;
      }
      converted.message = error.message;
      break;
   }
   if (!run->failed++) {
      bson_snprintf (run->first, sizeof run->first, "_id %s: %s%s%s", ecl_value_text (&run->arena, &converted.id),
                     converted.message, *converted.path ? " at " : "", converted.path);
   }
}

static bool
try_all (run_t *run, const ecl_site_t *site, const ecl_course_t *course, ecl_cut_sample_t *sample, bson_error_t *error)
{
   const ecl_value_t *document;
   bson_t all = BSON_INITIALIZER;
   ecl_scan_t scan;
   bool good;

   ecl_scan_init (&scan);
   ecl_scan_start (&scan, &all, false);
   scan.sample = ECL_TRIAL_DOCUMENTS;
   while (
      (good = ecl_scan_next (&scan, site->world, site->database, course->chain->collection, 100, &document, error) &&
              (!document || ecl_lookups_ahead (run->lookups, &scan, site->world, site->database, error))) &&
      document) {
      try_one (run, document);
      ecl_cut_add (sample, document);
   }
   ecl_scan_cleanup (&scan);
   bson_destroy (&all);
   return good;
}

bool
ecl_trial (const ecl_trial_t *self, ecl_cut_sample_t *sample, bson_error_t *error)
{
   const ecl_site_t *site = self->site;
   const ecl_course_t *course = self->course;
   ecl_convert_options_t options = {.upgrades = site->upgrades,
                                    .chain = course->chain,
                                    .target = course->target,
                                    .down = course->down,
                                    .form = ECL_GUARD_IN_PIPELINE,
                                    .always_transaction = ecl_facts_transaction (&course->facts)};
   double most = self->max_errors < 0 ? 0 : self->max_errors > 0 ? self->max_errors : ECL_TRIAL_ERRORS;
   run_t run = {.no_transactions = course->mode == ECL_MODE_CLIENT && !site->server.transactions};
   const char *unjudged;
   bool good;

   if (most >= 1) {
      return true;
   }
   run.converter = ecl_converter_new (&options, error);
   if (!run.converter) {
      return false;
   }
   if (ecl_chain_looks_up (course->chain, course->target, course->down)) {
      run.lookups = ecl_lookups_new (site->upgrades, ecl_converter_upgrader (run.converter));
   }
   run.admit = ecl_admit_new (&course->facts);
   unjudged = ecl_admit_unjudged (run.admit);
   ecl_arena_init (&run.arena);
   if (unjudged && self->note) {
      self->note (self->context,
                  ecl_arena_printf (&run.arena,
                                    "%s: the trial could not judge the collection's validator (%s): what it refuses "
                                    "goes to quarantine",
                                    course->chain->collection, unjudged));
   }
   good = try_all (&run, site, course, sample, error);
   ecl_arena_cleanup (&run.arena);
   ecl_admit_destroy (run.admit);
   ecl_lookups_destroy (run.lookups);
   ecl_converter_destroy (run.converter);
   if (good && run.tried >= ECL_TRIAL_FEWEST && (double) run.failed > most * (double) run.tried) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
                       "%s: %lld of %lld documents that were tried without writing cannot be carried over, so nothing "
                       "was begun (--max-errors says how many may fail); the first: %s",
                       course->chain->collection, (long long) run.failed, (long long) run.tried, run.first);
   }
   return good;
}
