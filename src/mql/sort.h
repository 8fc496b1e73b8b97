/* Sorting for operators: stable, in O(n log n) whatever the input, with scratch memory only.
 *
 * What is sorted are positions 0 … n-1: 4 bytes are moved, not values, and a key that was computed once per element is
 * found by its position. */
#ifndef ECL_MQL_SORT_H
#define ECL_MQL_SORT_H

#include "bson/value.h"

/* Negative, zero or positive as the element at a sorts before, beside or after the one at b. */
typedef int (*ecl_sort_fn) (const void *context, uint32_t a, uint32_t b);

/* The positions 0 … n-1 in the order of compare, in the arena. */
uint32_t *
ecl_sort_positions (ecl_arena_t *arena, uint32_t n, ecl_sort_fn compare, const void *context);

/* A copy of the values in ascending BSON order; equal values keep their order. */
ecl_value_t *
ecl_sort_values (ecl_arena_t *arena, const ecl_value_t *values, uint32_t n);

#endif
