/* Strategy: how the documents of one collection would be brought to a target: who computes and why, and what stands in
 * the way. Nothing is written. carry.h does it.
 */
#ifndef ECL_BACKFILL_STRATEGY_H
#define ECL_BACKFILL_STRATEGY_H

#include "backfill/backfill.h"
#include "backfill/facts.h"
#include "store/lease.h"

/* Where work is done. All that it points to outlives it. */
typedef struct {
   ecl_world_t *world;
   const ecl_project_t *project;
   ecl_upgrades_t *upgrades;
   const char *database;
   ecl_server_t server;
   ecl_who_t who;
   int64_t lease_time, lease_skew; /* 0 and negative: as in holder.h */
} ecl_site_t;

typedef struct {
   const ecl_chain_t *chain;
   size_t target; /* place on the chain */
   bool down;
   ecl_facts_t facts;
   ecl_mode_t mode;      /* decided */
   const char *mode_why; /* one line */
   const ecl_obstacle_t *obstacles;
   size_t n_obstacles;
} ecl_strategy_t;

/* Finds out all about it; nothing is written. Texts lie in the arena. */
bool
ecl_strategy_find (const ecl_site_t *site, const ecl_chain_t *chain, size_t target, bool down, ecl_mode_t wanted,
                 ecl_arena_t *arena, ecl_strategy_t *out, bson_error_t *error) ECL_MUST_CHECK;

/* False, with the error that says what, where something stands in the way of all of it. */
bool
ecl_strategy_allowed (const ecl_strategy_t *self, bson_error_t *error) ECL_MUST_CHECK;

#endif
