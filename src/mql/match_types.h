/* Sets of BSON types as $type and $jsonSchema take them, and the order comparison that both make. */
#ifndef ECL_MQL_MATCH_TYPES_H
#define ECL_MQL_MATCH_TYPES_H

#include "mql/expr.h"

/* One bit a type; MinKey and MaxKey, whose bytes are 255 and 127, get 20 and 21. */
static inline uint32_t
ecl_type_bit (uint8_t type)
{
   return 1u << (type == BSON_TYPE_MINKEY ? 20 : type == BSON_TYPE_MAXKEY ? 21 : type & 31);
}

#define ECL_TYPES_NUMBER \
   ((1u << BSON_TYPE_DOUBLE) | (1u << BSON_TYPE_INT32) | (1u << BSON_TYPE_INT64) | (1u << BSON_TYPE_DECIMAL128))

/* The types of an alias ("int", "number"), 0 where there is none of that name. */
uint32_t
ecl_type_alias (const char *name, size_t len);

/* "int or string", in the arena. */
const char *
ecl_types_text (ecl_arena_t *arena, uint32_t types);

bool
ecl_is_nan (const ecl_value_t *v);

#endif
