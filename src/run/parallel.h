/* Parallel: one function in several threads at once, the first in the caller's thread and world, each other in a thread
 * and a world of its own. Nothing is shared but what the function shares. */
#ifndef ECL_RUN_PARALLEL_H
#define ECL_RUN_PARALLEL_H

#include "run/world.h"

/* number counts from 0, the caller's. world is NULL where no connection could be had; *why says so. */
typedef void (*ecl_parallel_fn) (void *context, uint32_t number, ecl_world_t *world, const bson_error_t *why);

/* Returns when all of them have. Without a connector there is one thread, and where threads cannot be had fewer: what
 * has to be done is not to be dealt out before. */
void
ecl_parallel_run (ecl_world_t *world, const ecl_connector_t *connector, uint32_t n, ecl_parallel_fn work,
                  void *context);

/* How a whole collection is looked through. */
typedef struct {
   int64_t range_docs;               /* documents that one command looks at; 0: the default of who looks */
   uint32_t workers;                 /* threads; 0: 1 */
   const ecl_connector_t *connector; /* of the others; NULL: there is one */
} ecl_look_t;

#endif
