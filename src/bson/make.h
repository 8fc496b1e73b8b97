/* Values written out in C, in an arena: {key: value}, [a, b], texts. What they hold is not copied. */
#ifndef ECL_BSON_MAKE_H
#define ECL_BSON_MAKE_H

#include "base/arena.h"
#include "bson/value.h"

static inline ecl_value_t
ecl_make_text (const char *s)
{
   return ecl_string (s, strlen (s));
}

/* {key: value}; len is that of the key. */
static inline ecl_value_t
ecl_make_field (ecl_arena_t *arena, const char *key, size_t len, ecl_value_t value)
{
   ecl_field_t *field = ecl_arena_new (arena, ecl_field_t);

   *field = ecl_field (key, len, value);
   return ecl_fields (field, 1);
}

static inline ecl_value_t
ecl_make_object (ecl_arena_t *arena, const char *key, ecl_value_t value)
{
   return ecl_make_field (arena, key, strlen (key), value);
}

static inline ecl_value_t
ecl_make_object2 (ecl_arena_t *arena, const char *a, ecl_value_t a_value, const char *b, ecl_value_t b_value)
{
   ecl_field_t *fields = ecl_arena_array (arena, ecl_field_t, 2);

   fields[0] = ecl_field (a, strlen (a), a_value);
   fields[1] = ecl_field (b, strlen (b), b_value);
   return ecl_fields (fields, 2);
}

static inline ecl_value_t
ecl_make_array (ecl_arena_t *arena, const ecl_value_t *items, uint32_t n)
{
   ecl_value_t *copy = ecl_arena_array (arena, ecl_value_t, n);

   memcpy (copy, items, n * sizeof *items);
   return ecl_vec (copy, n);
}

static inline ecl_value_t
ecl_make_pair (ecl_arena_t *arena, ecl_value_t a, ecl_value_t b)
{
   return ecl_make_array (arena, (ecl_value_t[]){a, b}, 2);
}

#endif
