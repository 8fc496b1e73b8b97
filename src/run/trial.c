/* Trying a sample: see trial.h. */
#include "run/trial.h"

#include "run/convert.h"
#include "run/lookups.h"
#include "run/scan.h"
#include "upgrade/loads.h"

typedef struct {
   int64_t tried, failed;
   char first[400];
} outcome_t;

static void
try_one (ecl_converter_t *converter, ecl_arena_t *arena, const ecl_value_t *document, outcome_t *out)
{
   ecl_converted_t converted;

   ecl_arena_reset (arena);
   out->tried++;
   switch (ecl_convert (converter, arena, document, &converted)) {
   case ECL_CONVERT_DONE:
      out->tried--;
      return;
   case ECL_CONVERT_FAILED:
      break;
   default:
      return;
   }
   if (!out->failed++) {
      bson_snprintf (out->first, sizeof out->first, "%s%s%s", converted.message, *converted.path ? " at " : "",
                     converted.path);
   }
}

static bool
try_all (const ecl_site_t *site, const ecl_course_t *course, ecl_converter_t *converter, ecl_lookups_t *lookups,
         ecl_cut_sample_t *sample, outcome_t *out, bson_error_t *error)
{
   const ecl_value_t *document;
   ecl_arena_t arena;
   bson_t all = BSON_INITIALIZER;
   ecl_scan_t scan;
   bool good;

   ecl_arena_init (&arena);
   ecl_scan_init (&scan);
   ecl_scan_start (&scan, &all, false);
   scan.sample = ECL_TRIAL_DOCUMENTS;
   while (
      (good = ecl_scan_next (&scan, site->world, site->database, course->chain->collection, 100, &document, error) &&
              (!document || ecl_lookups_ahead (lookups, &scan, site->world, site->database, error))) &&
      document) {
      try_one (converter, &arena, document, out);
      ecl_cut_add (sample, document);
   }
   ecl_scan_cleanup (&scan);
   ecl_arena_cleanup (&arena);
   bson_destroy (&all);
   return good;
}

bool
ecl_trial (const ecl_site_t *site, const ecl_course_t *course, double max_errors, ecl_cut_sample_t *sample,
           bson_error_t *error)
{
   ecl_convert_options_t options = {.upgrades = site->upgrades,
                                    .chain = course->chain,
                                    .target = course->target,
                                    .down = course->down,
                                    .form = ECL_GUARD_IN_PIPELINE,
                                    .always_transaction = ecl_facts_transaction (&course->facts)};
   double most = max_errors < 0 ? 0 : max_errors > 0 ? max_errors : ECL_TRIAL_ERRORS;
   ecl_converter_t *converter;
   ecl_lookups_t *lookups = NULL; /* of a chain that looks others up */
   outcome_t out = {0};
   bool good;

   if (most >= 1) {
      return true;
   }
   converter = ecl_converter_new (&options, error);
   if (!converter) {
      return false;
   }
   if (ecl_chain_looks_up (course->chain, course->target, course->down)) {
      lookups = ecl_lookups_new (site->upgrades, ecl_converter_upgrader (converter));
   }
   good = try_all (site, course, converter, lookups, sample, &out, error);
   ecl_lookups_destroy (lookups);
   ecl_converter_destroy (converter);
   if (good && out.tried >= ECL_TRIAL_FEWEST && (double) out.failed > most * (double) out.tried) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
                       "%s: %lld of %lld documents that were tried without writing cannot be carried over, so nothing "
                       "was begun (--max-errors says how many may fail); the first: %s",
                       course->chain->collection, (long long) out.failed, (long long) out.tried, out.first);
   }
   return good;
}
