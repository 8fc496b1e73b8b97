/* Constraints: whether the server would take a document as it is to be written, judged here, without writing.
 *
 *    - Validators are run by our own engine. As on the server, one that only warns or is off refuses nothing, and a
 *      moderate one nothing of a document that broke it before.
 *    - Unique indexes: a document is compared with those that were admitted before it, so that two of a sample which
 *      get the same key are found. What else is in the collection is not known here.
 *
 * It never refuses what the server would take. What cannot be judged is admitted: a validator that the engine cannot
 * read, a comparison by a collation, a partial index, a key in an array.
 */
#ifndef ECL_BACKFILL_CONSTRAINTS_H
#define ECL_BACKFILL_CONSTRAINTS_H

#include "backfill/facts.h"

typedef struct ecl_constraints_t ecl_constraints_t;

/* The facts must outlive it. */
ecl_constraints_t *
ecl_constraints_new (const ecl_facts_t *facts);

void
ecl_constraints_destroy (ecl_constraints_t *self);

/* Why the validator cannot be judged; NULL where it can, and where there is none that refuses. */
const char *
ecl_constraints_unjudged (const ecl_constraints_t *self);

/* A document as it is stored and as it would be, both raw and validated, with their _id. False with the rule that would
 * refuse it; error may be NULL, which saves finding out. It is compared with all that were admitted before: for
 * samples. */
bool
ecl_constraints_allow (ecl_constraints_t *self, const ecl_value_t *before, const ecl_value_t *after,
                       bson_error_t *error) ECL_MUST_CHECK;

#endif
