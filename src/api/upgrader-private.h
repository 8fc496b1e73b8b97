/* The upgrader behind the public handle; shared by the files that implement it. */
#ifndef ECL_API_UPGRADER_PRIVATE_H
#define ECL_API_UPGRADER_PRIVATE_H

#include "api/api-private.h"
#include "mql/plan.h"
#include "upgrade/loads.h"

struct _eclose_upgrader_t {
   const eclose_project_t *project;
   const ecl_chain_t *chain; /* NULL: the project does not know the collection */
   char *collection;
   size_t target;            /* place on the chain */
   ecl_upgrader_t *inner;    /* to the target */
   ecl_upgrader_t *back;     /* to the version of a stored document that is later; made when first needed */
   const ecl_plan_t *stamps; /* only stamps; made when first needed, with its evaluator */
   ecl_eval_t stamp_ev;
   eclose_loader_t public_loader; /* of loads */
   ecl_loads_t *loads;
   bool in_batch;
   ecl_upgrade_t what;                 /* of the last run */
   bson_t out, out_filter, out_update; /* static: what was given out last */
   ecl_arena_t arena;                  /* of statements */
   const ecl_upgrader_t *failed;       /* the last call failed there; else NULL */
   bson_error_t elsewhere;             /* or elsewhere: code is not 0 */
   bson_t *failure;
   char target_text[ECL_VERSION_TEXT], text[ECL_VERSION_TEXT];
};

/* At the beginning of a call: nothing has failed. */
void
ecl_api_begin (eclose_upgrader_t *self);

/* At the end of a call that failed: keeps the cause for the whole error, unless an upgrader has it. Returns false. */
bool
ecl_api_failed (eclose_upgrader_t *self, const bson_error_t *cause, bson_error_t *error);

/* Runs one of the upgraders, loading what it needs. */
bool
ecl_api_run (eclose_upgrader_t *self, ecl_upgrader_t *upgrader, const uint8_t *in, size_t len, const uint8_t **out,
             size_t *out_len, bson_error_t *error) ECL_MUST_CHECK;

bool
ecl_api_stamp (eclose_upgrader_t *self, const uint8_t *in, size_t len, const uint8_t **out, size_t *out_len,
               bson_error_t *error) ECL_MUST_CHECK;

#endif
