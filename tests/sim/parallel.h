/* Tasks by several processes at once: see parallel.c. */
#ifndef ECL_SIM_PARALLEL_H
#define ECL_SIM_PARALLEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Does the i-th task; result is cleared before. False: no other task need begin. */
typedef bool (*parallel_fn) (void *context, size_t i, void *result);

/* As many as there are processors. */
unsigned
parallel_default (void);

/* Runs n tasks, in so many processes, or in this one where jobs is 1. Returns their results, size bytes each; those of
 * tasks that did not begin are cleared. Ends the program where one of the processes did not come to its end. */
void *
parallel_run (unsigned jobs, size_t n, size_t size, parallel_fn task, void *context);

void
parallel_free (void *results, size_t n, size_t size);

#endif
