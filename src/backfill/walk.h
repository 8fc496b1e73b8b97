/* Walk: the documents of a collection, all of them or some at random, by commands of which none takes long. For those
 * who look and do not write.
 *
 *    all         ranges of _id (partition.h), one after the other, each along the index of _id and from what the
 *                majority has. A cursor that the server gave up (its time was over, another primary, a lost connection)
 *                is opened again behind the last document
 *    at random   so many at a time that the server picks them instead of reading all; one may be drawn twice, but in a
 *                small collection
 *
 * Several threads (parallel.h) go through all of them with a walk each, which take the ranges from the first one's.
 * Where one of them fails it ends all: who waits for the server meanwhile hears of it before the next try.
 */
#ifndef ECL_BACKFILL_WALK_H
#define ECL_BACKFILL_WALK_H

#include "run/scan.h"
#include "store/chunks.h"

#include <stdatomic.h>

typedef struct {
   ecl_world_t *world;
   const char *database, *collection;
   int64_t documents; /* that the collection has, about */
   int64_t sample;    /* that are still to be drawn; of a walk of all: 0 */
   int64_t draw;      /* at a time */
   const ecl_chunk_range_t *ranges;
   size_t n, at;      /* of ranges; this one */
   atomic_size_t own; /* how many were begun, where this is the first */
   atomic_size_t *begun;
   atomic_bool own_over; /* likewise: nothing more is to be read */
   atomic_bool *over;
   ecl_value_t after; /* the last document's _id, in this range */
   ecl_arena_t arena, last;
   int64_t answered; /* when the server last gave something */
   ecl_scan_t scan;  /* of the documents that are given out */
} ecl_walk_t;

/* sample 0: all. range_docs 0: the default; workers: threads that will share it. Texts are borrowed. Cleanup in any
 * case. */
bool
ecl_walk_init (ecl_walk_t *self, ecl_world_t *world, const char *database, const char *collection, int64_t sample,
               int64_t range_docs, uint32_t workers, bson_error_t *error) ECL_MUST_CHECK;

/* Another one through what is left of all that the first one goes through, which outlives it; in any thread. */
void
ecl_walk_share (ecl_walk_t *self, ecl_walk_t *first, ecl_world_t *world);

void
ecl_walk_cleanup (ecl_walk_t *self);

/* Ends it for all that share it, without an error of theirs; in any thread. */
void
ecl_walk_stop (ecl_walk_t *self);

/* The next one, valid until the next call; *document is NULL at the end. A run that is cancelled fails. */
bool
ecl_walk_next (ecl_walk_t *self, const ecl_value_t **document, bson_error_t *error) ECL_MUST_CHECK;

#endif
