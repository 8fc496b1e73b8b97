/* Ranges: a batch of _ids, in the server's order, cut so that a filter can name each piece.
 *
 * A comparison like {$gte: 5} only ever matches values of its own type, and the server's order (which may follow a
 * collation) cannot be told here. So a range never spans types, it begins and ends at _ids that the server gave in this
 * order, and nothing here compares two of them. NaN, null and the types whose comparisons are odd are named one by
 * one, up to half a megabyte of them. An _id that arrives inside a range meanwhile is part of it; one outside waits for
 * the next pass.
 */
#ifndef ECL_RUN_RANGE_H
#define ECL_RUN_RANGE_H

#include "bson/value.h"

typedef struct {
   uint32_t first, n; /* of the batch */
   bool list;         /* named one by one */
} ecl_range_t;

/* The range that begins at ids[first]; first < n. */
ecl_range_t
ecl_range_next (const ecl_value_t *ids, uint32_t n, uint32_t first);

/* {_id: …} for a range of that batch, in the arena. */
ecl_value_t
ecl_range_filter (ecl_arena_t *arena, const ecl_value_t *ids, const ecl_range_t *range);

#endif
