/* Course: one collection, from where its documents are to a target.
 *
 *    ecl_course_find   how it would go: who computes and why, what stands in the way; nothing is written
 *    ecl_carry         finds the course, and goes it to its end
 *
 * ecl_carry is all that `up`, `down`, the step `backfill` of a database migration and eclose_migrate() know of it.
 */
#ifndef ECL_RUN_COURSE_H
#define ECL_RUN_COURSE_H

#include "run/backfill.h"
#include "run/facts.h"
#include "store/lease.h"

/* Where work is done. All that it points to outlives it. */
typedef struct {
   ecl_world_t *world;
   const ecl_project_t *project;
   ecl_upgrades_t *upgrades;
   const char *database;
   ecl_server_t server;
   ecl_who_t who;
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
} ecl_course_t;

/* Finds out all about it; nothing is written. Texts lie in the arena. */
bool
ecl_course_find (const ecl_site_t *site, const ecl_chain_t *chain, size_t target, bool down, ecl_mode_t wanted,
                 ecl_arena_t *arena, ecl_course_t *out, bson_error_t *error) ECL_MUST_CHECK;

/* What is to be done. */
typedef struct {
   const ecl_chain_t *chain;
   size_t target;
   bool down;
   ecl_mode_t mode; /* wanted */
} ecl_carry_t;

/* What was done. */
typedef struct {
   ecl_carry_t what;
   bool missing; /* there is no such collection (yet) */
   bool began;   /* otherwise nothing below says anything */
   char to[ECL_VERSION_TEXT];
   ecl_mode_t mode;
   char mode_why[256];
   ecl_backfill_result_t result; /* its mode_why is gone: see above */
   int64_t ms;
} ecl_carried_t;

/* Told from time to time; total and label of the result may change. May be NULL. */
typedef void (*ecl_carry_fn) (void *context, const ecl_carry_t *what, const ecl_backfill_result_t *result);

/* Brings a collection to its target. True where all documents are there but for those in quarantine, of which
 * out->result says how many. out is filled in any case. */
bool
ecl_carry (const ecl_site_t *site, const ecl_carry_t *what, ecl_carry_fn progress, void *context, ecl_carried_t *out,
           bson_error_t *error) ECL_MUST_CHECK;

#endif
