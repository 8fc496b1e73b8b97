/* Numbers as operators take them, of any numeric type: see expr.h. */
#include "bson/decimal.h"
#include "mql/expr.h"

#include <math.h>
#include <stdio.h>

bool
ecl_number_to_int64 (const ecl_value_t *v, int64_t *out)
{
   double d;

   switch (v->type) {
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
      *out = v->u.i64;
      return true;
   case BSON_TYPE_DOUBLE:
      d = v->u.f64;
      if (!(d >= -0x1p63 && d < 0x1p63) || d != trunc (d)) {
         return false;
      }
      *out = (int64_t) d;
      return true;
   case BSON_TYPE_DECIMAL128:
      return ecl_decimal_to_int64 (ecl_decimal_of (v), out);
   default:
      return false;
   }
}

bool
ecl_number_to_int32 (const ecl_value_t *v, int32_t *out)
{
   int64_t i;

   if (!ecl_number_to_int64 (v, &i) || i < INT32_MIN || i > INT32_MAX) {
      return false;
   }
   *out = (int32_t) i;
   return true;
}

double
ecl_number_to_double (const ecl_value_t *v)
{
   switch (v->type) {
   case BSON_TYPE_DOUBLE:
      return v->u.f64;
   case BSON_TYPE_DECIMAL128:
      return ecl_decimal_to_double (ecl_decimal_of (v));
   default:
      return (double) v->u.i64;
   }
}

const char *
ecl_value_text (ecl_arena_t *arena, const ecl_value_t *v)
{
   switch (v->type) {
   case BSON_TYPE_UTF8:
      return ecl_arena_printf (arena, "\"%.*s\"%s", (int) ecl_shown (v->u.str, v->len, 100), v->u.str,
                               v->len > 100 ? "…" : "");
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
      return ecl_arena_printf (arena, "%lld", (long long) v->u.i64);
   case BSON_TYPE_DOUBLE:
      return ecl_arena_printf (arena, "%.17g", v->u.f64);
   case BSON_TYPE_BOOL:
      return v->u.i64 ? "true" : "false";
   case BSON_TYPE_DECIMAL128: {
      bson_decimal128_t decimal = {.low = ecl_decimal_of (v).low, .high = ecl_decimal_of (v).high};
      char text[BSON_DECIMAL128_STRING];

      bson_decimal128_to_string (&decimal, text);
      return ecl_arena_printf (arena, "%s", text);
   }
   case BSON_TYPE_OID: {
      char text[25];
      bson_oid_t oid;

      bson_oid_init_from_data (&oid, v->u.raw);
      bson_oid_to_string (&oid, text);
      return ecl_arena_printf (arena, "ObjectId(\"%s\")", text);
   }
   default:
      return ecl_type_name (v->type);
   }
}
