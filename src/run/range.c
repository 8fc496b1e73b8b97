/* Ranges of _id: see range.h. */
#include "run/range.h"

#include "bson/compare.h"

#include <math.h>

/* What the _ids may take that a filter names: many such filters are one command. Scalars stay far below it. */
#define BYTES_MAX (512u * 1024)

/* Types whose values compare with {$gte, $lte} as one would think, on every server. Documents do on MongoDB; as bounds
 * they are long and easily odd ({$a: 1}), so they are named. */
static bool
has_ranges (const ecl_value_t *id)
{
   switch (id->type) {
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
   case BSON_TYPE_UTF8:
   case BSON_TYPE_OID:
   case BSON_TYPE_DATE_TIME:
      return true;
   case BSON_TYPE_DOUBLE:
      return !isnan (id->u.f64);
   case BSON_TYPE_DECIMAL128:
      /* NaN: the five bits behind the sign are ones. */
      return (id->u.raw[15] & 0x7C) != 0x7C;
   default:
      return false;
   }
}

ecl_range_t
ecl_range_next (const ecl_value_t *ids, uint32_t n, uint32_t first)
{
   ecl_range_t range = {.first = first, .n = 1, .list = !has_ranges (&ids[first])};
   uint64_t named = ecl_value_size (&ids[first]);

   while (first + range.n < n) {
      const ecl_value_t *id = &ids[first + range.n];
      uint64_t size = ecl_value_size (id);

      if (named + size > BYTES_MAX) {
         break;
      }
      named += range.list ? size : 0;
      if (range.list ? has_ranges (id)
                     : !has_ranges (id) || ecl_canonical_type (id->type) != ecl_canonical_type (ids[first].type)) {
         break;
      }
      range.n++;
   }
   return range;
}

static ecl_value_t
document (ecl_arena_t *arena, const char *key, ecl_value_t value)
{
   ecl_field_t *field = ecl_arena_new (arena, ecl_field_t);

   *field = ecl_field (key, strlen (key), value);
   return ecl_fields (field, 1);
}

/* {_id: {$in: ids}} */
static ecl_value_t
list_filter (ecl_arena_t *arena, const ecl_value_t *ids, uint32_t n)
{
   return document (arena, "_id", document (arena, "$in", ecl_vec (ids, n)));
}

ecl_value_t
ecl_range_filter (ecl_arena_t *arena, const ecl_value_t *ids, const ecl_range_t *range)
{
   ecl_field_t *bounds;

   if (range->list) {
      return list_filter (arena, ids + range->first, range->n);
   }
   if (range->n == 1) {
      return document (arena, "_id", ids[range->first]);
   }
   bounds = ecl_arena_array (arena, ecl_field_t, 2);
   bounds[0] = ecl_field ("$gte", 4, ids[range->first]);
   bounds[1] = ecl_field ("$lte", 4, ids[range->first + range->n - 1]);
   return document (arena, "_id", ecl_fields (bounds, 2));
}
