/* Tally: how many documents of a collection match a filter, by commands of which none takes long. Reads only, and what
 * the majority has.
 *
 * The collection is cut into ranges of _id (partition.h) that hold every _id there can be, and a command counts each.
 * One that is not answered within ECL_TALLY_MS is cut in two, and so are the ranges that follow it, so that the server
 * is never asked for more than it can do in that time. Small collections are one range.
 *
 *    small       ──► one aggregate
 *    large       ──► range 1 │ range 2 │ … │ range n │ last the ranges that are open above, where new documents come
 *    too long    ──►         │ 2a │ 2b │
 *
 * Several threads (parallel.h) take the ranges from one heap.
 *
 * No _id ever changes, so a document that matches from the beginning to the end is counted, wherever it lies; one that
 * comes or changes meanwhile may be counted or not. One command over all would say no more: it sees no single moment
 * either.
 */
#ifndef ECL_BACKFILL_TALLY_H
#define ECL_BACKFILL_TALLY_H

#include "run/parallel.h"

/* Documents of a range where nobody says otherwise, about. */
#define ECL_TALLY_DOCUMENTS 100000

/* Milliseconds that one command may take. */
#define ECL_TALLY_MS 30000

/* Told as ranges are done, in terms of documents, about, and only where there are more; in the thread of who counts. */
typedef void (*ecl_tally_fn) (void *context, int64_t done, int64_t total);

typedef struct {
   const char *database, *collection;
   const bson_t *const *filters; /* each is counted */
   size_t n_filters;
   ecl_look_t look;       /* range_docs 0: ECL_TALLY_DOCUMENTS */
   int64_t enough;        /* it ends once so many were counted, of all filters together; 0: never */
   int64_t until;         /* it ends then, in terms of the world's now; 0: never */
   ecl_tally_fn progress; /* may be NULL */
   void *context;
} ecl_tally_options_t;

typedef enum {
   ECL_TALLY_FAILED,
   ECL_TALLY_ALL,    /* everything was counted */
   ECL_TALLY_ENOUGH, /* it ended early: at least so many */
   ECL_TALLY_LATE,   /* the time was over: nothing is known */
} ecl_tally_t;

/* One number per filter into counts. A run that is cancelled fails. */
ecl_tally_t
ecl_tally (ecl_world_t *world, const ecl_tally_options_t *options, int64_t *counts, bson_error_t *error) ECL_MUST_CHECK;

#endif
