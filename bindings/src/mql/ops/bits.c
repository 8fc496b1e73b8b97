/* Bits of integers: $bitAnd $bitOr $bitXor $bitNot. An int32 beside an int64 counts with its sign extended. */
#include "mql/operators.h"

#define TYPE_MISMATCH 14

static bool
is_integer (const ecl_value_t *v)
{
   return v->type == BSON_TYPE_INT32 || v->type == BSON_TYPE_INT64;
}

#define BITWISE(id, start, assign)                                                                           \
   bool ecl_op_##id (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)                               \
   {                                                                                                         \
      ecl_value_t total = ecl_int32 (start), v;                                                              \
                                                                                                             \
      for (uint32_t i = 0; i < self->n; i++) {                                                               \
         if (!ecl_expr_eval (self->args[i], ev, &v)) {                                                       \
            return false;                                                                                    \
         }                                                                                                   \
         if (ecl_is_nullish (&v)) {                                                                          \
            *out = ecl_null ();                                                                              \
            return true;                                                                                     \
         }                                                                                                   \
         if (!is_integer (&v)) {                                                                             \
            return ecl_eval_fail (ev, self, TYPE_MISMATCH, "%s only supports int and long operands, not %s", \
                                  self->op->name, ecl_type_name (v.type));                                   \
         }                                                                                                   \
         total.u.i64 assign v.u.i64;                                                                         \
         if (v.type == BSON_TYPE_INT64) {                                                                    \
            total.type = BSON_TYPE_INT64;                                                                    \
         }                                                                                                   \
      }                                                                                                      \
      *out = total;                                                                                          \
      return true;                                                                                           \
   }

BITWISE (bitAnd, -1, &=)
BITWISE (bitOr, 0, |=)
BITWISE (bitXor, 0, ^=)

bool
ecl_op_bitNot (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   if (!ecl_expr_eval (self->args[0], ev, out)) {
      return false;
   }
   if (ecl_is_nullish (out)) {
      *out = ecl_null ();
      return true;
   }
   if (!is_integer (out)) {
      return ecl_is_number (out)
                ? ecl_eval_fail (ev, self, TYPE_MISMATCH, "$bitNot only supports int and long, not: %s.",
                                 ecl_type_name (out->type))
                : ecl_eval_fail (ev, self, 28765, "$bitNot only supports numeric types, not %s",
                                 ecl_type_name (out->type));
   }
   out->u.i64 = ~out->u.i64;
   return true;
}
