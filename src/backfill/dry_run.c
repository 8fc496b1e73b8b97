/* Trying documents without writing: see dry_run.h. */
#include "backfill/dry_run.h"

#include "backfill/constraints.h"
#include "run/lookups.h"
#include "upgrade/loads.h"

#define BATCH 100

struct ecl_dry_run_t {
   const ecl_site_t *site;
   const ecl_strategy_t *strategy;
   ecl_facts_t facts; /* that are judged */
   ecl_converter_t *converter;
   ecl_lookups_t *lookups; /* of a chain that looks others up; else NULL */
   ecl_constraints_t *constraints;
   bool no_transactions; /* what wants one fails */
   ecl_arena_t arena;    /* of one document */
};

ecl_dry_run_t *
ecl_dry_run_new (const ecl_site_t *site, const ecl_strategy_t *strategy, ecl_dry_run_how_t how, bson_error_t *error)
{
   const ecl_convert_options_t options = {.upgrades = site->upgrades,
                                          .chain = strategy->chain,
                                          .target = strategy->target,
                                          .down = strategy->down,
                                          .form = ECL_GUARD_IN_PIPELINE,
                                          .always_transaction = ecl_facts_transaction (&strategy->facts)};
   ecl_converter_t *converter = ecl_converter_new (&options, error);
   ecl_dry_run_t *self;

   if (!converter) {
      return NULL;
   }
   self = bson_malloc0 (sizeof *self);
   self->site = site;
   self->strategy = strategy;
   self->facts = strategy->facts;
   self->converter = converter;
   if (how == ECL_DRY_RUN_SINGLE) {
      self->facts.n_indexes = 0;
   }
   /* What is pushed down needs none. */
   self->no_transactions =
      !site->server.transactions && (how == ECL_DRY_RUN_SINGLE || strategy->mode == ECL_MODE_CLIENT);
   if (ecl_chain_looks_up (strategy->chain, strategy->target, strategy->down)) {
      self->lookups = ecl_lookups_new (site->upgrades, ecl_converter_upgrader (converter));
   }
   self->constraints = ecl_constraints_new (&self->facts);
   ecl_arena_init (&self->arena);
   return self;
}

void
ecl_dry_run_destroy (ecl_dry_run_t *self)
{
   if (!self) {
      return;
   }
   ecl_arena_cleanup (&self->arena);
   ecl_constraints_destroy (self->constraints);
   ecl_lookups_destroy (self->lookups);
   ecl_converter_destroy (self->converter);
   bson_free (self);
}

const char *
ecl_dry_run_unjudged (const ecl_dry_run_t *self)
{
   return ecl_constraints_unjudged (self->constraints);
}

bool
ecl_dry_run_next (ecl_dry_run_t *self, ecl_scan_t *scan, const ecl_value_t **document, bson_error_t *error)
{
   ecl_world_t *world = self->site->world;
   const char *database = self->site->database;

   return ecl_scan_next (scan, world, database, self->strategy->chain->collection, BATCH, document, error) &&
          (!*document || ecl_lookups_ahead (self->lookups, scan, world, database, error));
}

ecl_tried_t
ecl_dry_run_try (ecl_dry_run_t *self, const ecl_value_t *document, bool words, ecl_converted_t *out)
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
   if (ecl_constraints_allow (self->constraints, document, &out->after, words ? &error : NULL)) {
      return ECL_TRIED_GOES;
   }
   out->code = ECL_DRY_RUN_REFUSED;
   out->message = words ? ecl_arena_strndup (&self->arena, error.message, strlen (error.message)) : "";
   return ECL_TRIED_FAILS;
}
