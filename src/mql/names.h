/* An index of names: each gets a number, in the order in which they come. For what a plan's text names, while the plan
 * is made (a stage may have any number of fields, and looking through all of them for each takes the square of it), and for
 * a document that an expression picks from again and again. */
#ifndef ECL_MQL_NAMES_H
#define ECL_MQL_NAMES_H

#include "mql/expr.h"

typedef struct ecl_names_t {
   ecl_arena_t *arena;
   ecl_name_t *names; /* by number; moves when one is added */
   uint32_t n, cap;
   uint32_t *table; /* number + 1, 0 is empty; NULL as long as they are few and looked through */
   uint32_t mask;
} ecl_names_t;

#define ECL_NAMES_NONE UINT32_MAX

/* Takes no memory before the first name is added. What the names point to is not copied. */
void
ecl_names_init (ecl_names_t *self, ecl_arena_t *arena);

/* The name's number, or ECL_NAMES_NONE. */
uint32_t
ecl_names_find (const ecl_names_t *self, const char *name, uint32_t len);

/* Adds a name that is not there yet; returns its number. */
uint32_t
ecl_names_add (ecl_names_t *self, ecl_name_t name);

#endif
