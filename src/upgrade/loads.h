/* Loads: what upgrades look up in other collections, kept for a batch of documents.
 *
 *    evaluation ──find──► there: the documents
 *                         not there: noted as wanted, and the document's run ends as one that "needs"
 *
 *    run all documents of the batch ──► ecl_loads_next ──► QUERY: one for each collection and field, over all values
 *              ▲                            ▲                │ ecl_loads_add for each document that was found
 *              │                            └────────────────┘ ecl_loads_answered
 *              └── READY
 *
 * Nothing is sent here: whoever drives it sends the queries. Each document that was found is carried to its
 * collection's target (see ecl_loads_options_t) before it is given out; those that look up others themselves have loads
 * of their own, below this one. Chains cannot go in a circle, but functions can; the depth is bounded.
 *
 * A document that cannot be upgraded fails those that look it up, and nobody else.
 *
 * Belongs to one thread.
 */
#ifndef ECL_UPGRADE_LOADS_H
#define ECL_UPGRADE_LOADS_H

#include "mql/lookup.h"
#include "upgrade/upgrade.h"

typedef struct ecl_loads_t ecl_loads_t;

typedef struct {
   const ecl_project_t *project;
   ecl_upgrades_t *upgrades;
   ecl_version_t (*target) (const ecl_chain_t *chain); /* of what is looked up; NULL: the end of its chain */
   void *owner;                                        /* for ecl_loads_owner */
} ecl_loads_options_t;

/* The project and what belongs to it outlive it. */
ecl_loads_t *
ecl_loads_new (const ecl_loads_options_t *options);

void
ecl_loads_destroy (ecl_loads_t *self);

/* For the evaluator; it lives as long as self. */
const ecl_loader_t *
ecl_loads_loader (const ecl_loads_t *self);

/* The owner given to ecl_loads_new, also of loads below those. */
void *
ecl_loads_owner (const ecl_loads_t *self);

/* A query that is needed: all documents for which {field: {$in: values}} holds once they are at their target. More may be
 * given. */
typedef struct {
   const char *collection, *field;
   bson_t values; /* an array */
   ecl_loads_t *loads;
   void *group;
} ecl_loads_query_t;

typedef enum {
   ECL_LOADS_READY, /* all that was wanted is there */
   ECL_LOADS_QUERY,
   ECL_LOADS_FAILED, /* with an error: whatever is looked up */
} ecl_loads_next_t;

/* What is to be asked next. *query belongs to self and is valid until it is answered, or this is called again: then
 * what was added to it is forgotten, and it is asked anew. */
ecl_loads_next_t
ecl_loads_next (ecl_loads_t *self, const ecl_loads_query_t **query, bson_error_t *error) ECL_MUST_CHECK;

/* A document that was found; copied. False where it is none. */
bool
ecl_loads_add (const ecl_loads_query_t *query, const uint8_t *document, size_t len, bson_error_t *error) ECL_MUST_CHECK;

void
ecl_loads_answered (const ecl_loads_query_t *query);

/* Bytes of documents that are kept, with those below. */
size_t
ecl_loads_size (const ecl_loads_t *self);

/* Forgets all that was loaded and all that is wanted. */
void
ecl_loads_clear (ecl_loads_t *self);

/* Whether a document may look up others on its way to a place on the chain, from above or from below it. Functions
 * may: nobody knows. */
bool
ecl_chain_looks_up (const ecl_chain_t *chain, size_t target, bool down);

#endif
