/* A set of values, equal as MongoDB compares them (1, 1.0 and NumberDecimal("1.00") are one). An open hash table in an
 * arena; the members keep the order in which they came. */
#ifndef ECL_MQL_SET_H
#define ECL_MQL_SET_H

#include "bson/compare.h"

typedef struct {
   ecl_value_t *members; /* of equal values the one that came first */
   uint32_t n;
   uint32_t mask;    /* of the table's size, a power of two */
   uint32_t *table;  /* position of a member + 1; 0 is free */
   uint32_t *hashes; /* of the members */
} ecl_set_t;

/* With room for n members. */
void
ecl_set_init (ecl_set_t *self, ecl_arena_t *arena, uint32_t n);

/* True where it was not there yet. The value is borrowed. */
bool
ecl_set_add (ecl_set_t *self, const ecl_value_t *v);

bool
ecl_set_has (const ecl_set_t *self, const ecl_value_t *v);

/* The members of an array. */
void
ecl_set_of_array (ecl_set_t *self, ecl_arena_t *arena, const ecl_value_t *array);

#endif
