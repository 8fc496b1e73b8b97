/* Queries while versions are mixed: one aggregation that finds by a filter on the target's shape what is stored in
 * whatever version, and gives it in that shape.
 *
 *    [{$match: {$and: [the filter, at the target]}},
 *     {$unionWith: {coll, pipeline: [{$match: {$and: [the filter translated, at version v]}},
 *                                    the stages from v to the target, the stamp, {$match: the filter}]}},
 *     …, {$sort}, {$skip}, {$limit}, {$project}]
 *
 * The stages are the author's, but that an _id which an update would put back is kept here by hand. What cannot be said
 * this way is refused: functions, $lookup, stages that go on after they lost the _id, and filters with $where, $near,
 * $nearSphere or $text, which a pipeline cannot hold in that place.
 */
#ifndef ECL_UPGRADE_QUERY_H
#define ECL_UPGRADE_QUERY_H

#include "project/project.h"

typedef struct {
   ecl_value_t filter; /* raw documents; missing where there is none */
   ecl_value_t sort;
   ecl_value_t projection;
   int64_t skip, limit; /* 0: none */
} ecl_query_t;

/* The pipeline (an array) for documents in the shape of a place on the chain. pipeline is initialised here and the
 * caller's to destroy, also after false. */
bool
ecl_query_pipeline (const ecl_chain_t *chain, size_t target, const ecl_query_t *query, bson_t *pipeline,
                    bson_error_t *error) ECL_MUST_CHECK;

/* The same for a collection without versions: the filter and what follows it. */
bool
ecl_query_plain (const ecl_query_t *query, bson_t *pipeline, bson_error_t *error) ECL_MUST_CHECK;

#endif
