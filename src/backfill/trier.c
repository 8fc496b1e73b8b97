/* Trying documents without writing: see trier.h. */
#include "backfill/trier.h"

#include "backfill/admit.h"
#include "run/lookups.h"
#include "upgrade/loads.h"

#define BATCH 100

struct ecl_trier_t {
   const ecl_site_t *site;
   const ecl_course_t *course;
   ecl_facts_t facts; /* that are judged */
   ecl_converter_t *converter;
   ecl_lookups_t *lookups; /* of a chain that looks others up; else NULL */
   ecl_admit_t *admit;
   bool no_transactions; /* what wants one fails */
   ecl_arena_t arena;    /* of one document */
};

ecl_trier_t *
ecl_trier_new (const ecl_site_t *site, const ecl_course_t *course, ecl_trier_how_t how, bson_error_t *error)
{
   const ecl_convert_options_t options = {.upgrades = site->upgrades,
                                          .chain = course->chain,
                                          .target = course->target,
                                          .down = course->down,
                                          .form = ECL_GUARD_IN_PIPELINE,
                                          .always_transaction = ecl_facts_transaction (&course->facts)};
   ecl_converter_t *converter = ecl_converter_new (&options, error);
   ecl_trier_t *self;

   if (!converter) {
      return NULL;
   }
   self = bson_malloc0 (sizeof *self);
   self->site = site;
   self->course = course;
   self->facts = course->facts;
   self->converter = converter;
   if (how == ECL_TRIER_SINGLE) {
      self->facts.n_indexes = 0;
   }
   /* What is pushed down needs none. */
   self->no_transactions = !site->server.transactions && (how == ECL_TRIER_SINGLE || course->mode == ECL_MODE_CLIENT);
   if (ecl_chain_looks_up (course->chain, course->target, course->down)) {
      self->lookups = ecl_lookups_new (site->upgrades, ecl_converter_upgrader (converter));
   }
   self->admit = ecl_admit_new (&self->facts);
   ecl_arena_init (&self->arena);
   return self;
}

void
ecl_trier_destroy (ecl_trier_t *self)
{
   if (!self) {
      return;
   }
   ecl_arena_cleanup (&self->arena);
   ecl_admit_destroy (self->admit);
   ecl_lookups_destroy (self->lookups);
   ecl_converter_destroy (self->converter);
   bson_free (self);
}

const char *
ecl_trier_unjudged (const ecl_trier_t *self)
{
   return ecl_admit_unjudged (self->admit);
}

bool
ecl_trier_next (ecl_trier_t *self, ecl_scan_t *scan, const ecl_value_t **document, bson_error_t *error)
{
   ecl_world_t *world = self->site->world;
   const char *database = self->site->database;

   return ecl_scan_next (scan, world, database, self->course->chain->collection, BATCH, document, error) &&
          (!*document || ecl_lookups_ahead (self->lookups, scan, world, database, error));
}

ecl_tried_t
ecl_trier_run (ecl_trier_t *self, const ecl_value_t *document, bool words, ecl_converted_t *out)
{
   bson_error_t error;

   ecl_arena_reset (&self->arena);
   switch (ecl_convert (self->converter, &self->arena, document, out)) {
   case ECL_CONVERT_DONE:
      return ECL_TRIED_NOTHING;
   case ECL_CONVERT_FAILED:
      return ECL_TRIED_FAILS;
   case ECL_CONVERT_NEEDS:
      /* It was fetched, as far as there is room for it. */
      ecl_convert_overloaded (out);
      return ECL_TRIED_FAILS;
   case ECL_CONVERT_TRANSACTION:
      if (self->no_transactions) {
         ecl_convert_untransacted (&self->arena, out);
         return ECL_TRIED_FAILS;
      }
      break;
   case ECL_CONVERT_STATEMENT:
      break;
   }
   if (ecl_admit (self->admit, document, &out->after, words ? &error : NULL)) {
      return ECL_TRIED_GOES;
   }
   out->code = ECL_TRIER_REFUSED;
   out->message = words ? ecl_arena_strndup (&self->arena, error.message, strlen (error.message)) : "";
   return ECL_TRIED_FAILS;
}
