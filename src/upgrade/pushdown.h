/* Pushing down: a chain written out for the server.
 *
 *    updateMany ({$and: [_id range, ecl_pushdown_filter (v)]}, ecl_pushdown_pipeline (v, target))
 *
 * Each stored version has an update of its own: the author's stages unchanged, then the stamp. The filter selects
 * exactly the documents of which a reader would say that they are at that version.
 */
#ifndef ECL_UPGRADE_PUSHDOWN_H
#define ECL_UPGRADE_PUSHDOWN_H

#include "project/project.h"

/* An array of stages as BSON ("0", "1", …) from one place of the chain to another. pipeline is initialised here and
 * the caller's to destroy, also after false. Fails where a step has no way down, or the pipeline is too large. */
bool
ecl_pushdown_pipeline (const ecl_chain_t *chain, size_t from, size_t to, bson_t *pipeline,
                       bson_error_t *error) ECL_MUST_CHECK;

/* The filter for documents at a version of the chain. filter is initialised here; the caller destroys it. */
void
ecl_pushdown_filter (const ecl_chain_t *chain, size_t index, bson_t *filter);

/* The filter for documents whose version cannot be read or is not on the chain. */
void
ecl_pushdown_filter_outside (const ecl_chain_t *chain, bson_t *filter);

#endif
