/* Loads: what an upgrader looked up in other collections, kept for a batch.
 *
 *    evaluation ──find──► HIT: the documents
 *                         PENDING: noted as wanted ──► ecl_loads_fetch: one call of the public loader per collection
 * and field, each document carried to the newest shape of its collection
 *
 * Belongs to one thread, as its upgrader does. Documents that are looked up may look up others: their upgraders have
 * loads of their own, below this one. Chains cannot go in a circle, but functions can; the depth is bounded.
 */
#ifndef ECL_API_LOADS_H
#define ECL_API_LOADS_H

#include "api/api-private.h"
#include "mql/lookup.h"

/* Upgraders below each other: chains are checked when they are loaded, so only functions that look each other up get
 * there. */
#define ECL_LOADS_DEPTH 16u

typedef struct ecl_loads_t ecl_loads_t;

/* The project outlives it; loader is copied. */
ecl_loads_t *
ecl_loads_new (const eclose_project_t *project, const eclose_loader_t *loader, unsigned depth);

void
ecl_loads_destroy (ecl_loads_t *self);

/* For the evaluator; it lives as long as self. */
const ecl_loader_t *
ecl_loads_loader (const ecl_loads_t *self);

const eclose_loader_t *
ecl_loads_public (const ecl_loads_t *self);

/* Loads everything that is wanted. */
bool
ecl_loads_fetch (ecl_loads_t *self, bson_error_t *error) ECL_MUST_CHECK;

/* Forgets all that was loaded. */
void
ecl_loads_clear (ecl_loads_t *self);

#endif
