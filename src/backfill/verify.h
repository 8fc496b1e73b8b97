/* Verify: whether documents, read as a reader of the target would, keep the rules of the target; and hybrids.
 *
 * A hybrid is a document that says it is at the target and has a field that the chain removed: an application of an
 * older release wrote it back. Pure: documents come from the caller.
 */
#ifndef ECL_BACKFILL_VERIFY_H
#define ECL_BACKFILL_VERIFY_H

#include "run/lookups.h"
#include "upgrade/upgrade.h"

typedef enum {
   ECL_VERIFY_UPGRADE, /* it cannot be carried to the target */
   ECL_VERIFY_SCHEMA,  /* it breaks a rule of the schema */
   ECL_VERIFY_HYBRID,  /* a removed field came back */
} ecl_verify_kind_t;

typedef struct {
   ecl_verify_kind_t kind;
   ecl_value_t id;
   const char *path;    /* in the document; of the expression in the file for UPGRADE */
   const char *keyword; /* of the schema; "" otherwise */
   const char *message; /* what was expected */
} ecl_verify_problem_t;

/* The problem's members live as long as the callback runs. */
typedef void (*ecl_verify_fn) (void *context, const ecl_verify_problem_t *problem);

typedef struct ecl_verifier_t ecl_verifier_t;

/* target: place on the chain. */
ecl_verifier_t *
ecl_verifier_new (ecl_upgrades_t *upgrades, const ecl_chain_t *chain, size_t target, ecl_verify_fn found, void *context,
                  bson_error_t *error);

void
ecl_verifier_destroy (ecl_verifier_t *self);

/* Before the document that ecl_scan_next gave is run: fetches what documents of its batch look up in other
 * collections. */
bool
ecl_verifier_ahead (ecl_verifier_t *self, const ecl_scan_t *scan, ecl_world_t *world, const char *database,
                    bson_error_t *error) ECL_MUST_CHECK;

/* Whether the target has a schema. */
bool
ecl_verifier_has_schema (const ecl_verifier_t *self);

/* Whether the document is well. One that is further along the chain is: no reader of the target has to read it. */
bool
ecl_verifier_run (ecl_verifier_t *self, const ecl_value_t *document);

#endif
