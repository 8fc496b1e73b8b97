/* How a collection would be brought to a target: see strategy.h. */
#include "backfill/strategy.h"

#include "upgrade/loads.h"

/* Why the server cannot run the chain; NULL where it can. */
static const char *
server_cannot (const ecl_strategy_t *strategy, const ecl_plan_t *const *plans, size_t n_plans)
{
   for (size_t i = 0; i < n_plans; i++) {
      if (ecl_plan_has_functions (plans[i])) {
         return "a migration is a function of the program";
      }
   }
   if (ecl_chain_looks_up (strategy->chain, strategy->target, strategy->down)) {
      return "it looks up documents of other collections, which no update can";
   }
   return ecl_facts_transaction (&strategy->facts);
}

static bool
choose_mode (ecl_mode_t wanted, const ecl_plan_t *const *plans, size_t n_plans, ecl_strategy_t *strategy,
             bson_error_t *error)
{
   const char *cannot = server_cannot (strategy, plans, n_plans);

   if (wanted == ECL_MODE_PUSHDOWN && cannot) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_UNSUPPORTED, "%s cannot be pushed down: %s",
                       strategy->chain->collection, cannot);
   }
   strategy->mode = wanted == ECL_MODE_CLIENT || cannot ? ECL_MODE_CLIENT : ECL_MODE_PUSHDOWN;
   strategy->mode_why = wanted != ECL_MODE_AUTO ? "as asked for"
                        : cannot                ? cannot
                                                : "the server runs all stages of the chain";
   return true;
}

bool
ecl_strategy_find (const ecl_site_t *site, const ecl_chain_t *chain, size_t target, bool down, ecl_mode_t wanted,
                   ecl_arena_t *arena, ecl_strategy_t *out, bson_error_t *error)
{
   const ecl_plan_t **plans = ecl_arena_array (arena, const ecl_plan_t *, chain->n_steps + 1);
   size_t n_plans = 0;

   memset (out, 0, sizeof *out);
   out->chain = chain;
   out->target = target;
   out->down = down;
   for (size_t i = down ? target + 1 : 0; down ? i <= chain->n_steps : i < target; i++) {
      if (!ecl_upgrades_plan (site->upgrades, chain, i, target, &plans[n_plans++], error)) {
         return false;
      }
   }
   if (!ecl_facts_ask (site->world, &site->server, site->database, chain->collection, arena, &out->facts, error) ||
       !choose_mode (wanted, plans, n_plans, out, error)) {
      return false;
   }
   out->obstacles = ecl_facts_obstacles (&out->facts, plans, n_plans, arena, &out->n_obstacles);
   return true;
}

bool
ecl_strategy_allowed (const ecl_strategy_t *self, bson_error_t *error)
{
   for (size_t i = 0; i < self->n_obstacles; i++) {
      if (self->obstacles[i].level == ECL_OBSTACLE_BLOCKS) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_UNSUPPORTED, "%s: %s", self->chain->collection,
                          self->obstacles[i].message);
      }
   }
   return true;
}
