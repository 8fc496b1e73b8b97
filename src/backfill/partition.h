/* Partition: a collection's _ids cut into ranges, from a sample. Reads only.
 *
 *    sample, sorted:   3  17  90 │ 205  411  730 │ "ann"  "joe" │ "tim"  "zoe"
 *    ranges:           numbers up to 90, above 90; strings up to "joe", above "joe"; NaN and every other type
 *
 * A range never spans types; where a type has no bounds, it is in the last range, which names types. So each _id there
 * is or will be is in exactly one range. Which _ids lie in it only the server says: were the sample sorted otherwise
 * than it sorts (a collation), ranges would overlap, and none be left out, because each begins where the one before it
 * ends.
 */
#ifndef ECL_BACKFILL_PARTITION_H
#define ECL_BACKFILL_PARTITION_H

#include "run/world.h"
#include "store/chunks.h"

#define ECL_PARTITION_DOCUMENTS 100000

/* A range is not made smaller than this only so that each worker has some. */
#define ECL_PARTITION_FEWEST 10000

/* Into how many ranges: each of about so many documents, and a few for each worker. */
int64_t
ecl_partition_count (int64_t documents, int64_t range_docs, uint32_t workers);

/* _ids at random, in no order; what they point at is in the arena. */
typedef struct {
   ecl_arena_t *arena;
   ecl_value_t *ids;
   size_t n, cap;
   int64_t to_do; /* documents of it that can be carried, and are not yet, where somebody looked (trial.h) */
} ecl_partition_sample_t;

/* Adds a copy of the document's _id. */
void
ecl_partition_add (ecl_partition_sample_t *sample, const ecl_value_t *document);

/* The ranges of a sorted sample, about so many of them; in the arena, which borrows from ids. At least one. */
const ecl_chunk_range_t *
ecl_partition_ranges (ecl_arena_t *arena, const ecl_value_t *ids, size_t n_ids, int64_t wanted, size_t *n);

/* Cuts the sample, where it is large enough, or one that is taken now. wanted 1: nothing is asked, all is one range.
 * The ranges are in the sample's arena. */
bool
ecl_partition (ecl_world_t *world, const char *database, const char *collection, int64_t wanted,
               ecl_partition_sample_t *sample, const ecl_chunk_range_t **ranges, size_t *n,
               bson_error_t *error) ECL_MUST_CHECK;

/* Copies of them, in an order of chance. */
const ecl_chunk_range_t *
ecl_partition_shuffle (ecl_arena_t *arena, ecl_world_t *world, const ecl_chunk_range_t *ranges, size_t n);

#define ECL_PARTITION_PIECES 3

/* Cuts one range at an _id that lies in it: first what is up to it and of its type, then the rest of the type, then the
 * other types, if there are any. The pieces borrow from the range and the _id. 0 where the _id cannot be a bound. */
size_t
ecl_partition_split (const ecl_chunk_range_t *range, const ecl_value_t *id,
                     ecl_chunk_range_t pieces[ECL_PARTITION_PIECES]);

#endif
