/* Examples of migrations, run: up, compared with what was promised, and down again. */
#ifndef ECL_UPGRADE_EXAMPLE_H
#define ECL_UPGRADE_EXAMPLE_H

#include "upgrade/upgrade.h"

typedef enum {
   ECL_BACK_NONE,         /* some migration on the way has no `down` */
   ECL_BACK_IRREVERSIBLE, /* … says that there is none */
   ECL_BACK_SAME,         /* down (up (x)) gave x, loosely: see diff.h */
   ECL_BACK_LOSSY,
   ECL_BACK_FAILED, /* an expression failed; error says which */
} ecl_back_t;

/* One rule of the schema that the upgraded document breaks. */
typedef struct {
   const char *path, *expected;
} ecl_broken_rule_t;

typedef struct {
   bool passed; /* `up` gave `out`, byte for byte; the schema holds; `down`, if any, did not fail */
   bool ran;    /* `up` did not fail; else error says why */
   bson_error_t error;
   ecl_value_t in; /* what was carried up: without its version where `out` names none */
   ecl_value_t wanted, got;
   ecl_back_t back;
   ecl_value_t returned; /* SAME, LOSSY: what came back */
   const ecl_broken_rule_t *broken;
   size_t n_broken;
} ecl_example_result_t;

/* Runs an example of a step of the chain. What result points to lies in the arena or in the project. */
void
ecl_example_run (ecl_upgrades_t *shared, const ecl_chain_t *chain, const ecl_step_t *step, const ecl_example_t *example,
                 ecl_arena_t *arena, ecl_example_result_t *result);

#endif
