/* Timestamps: $tsSecond $tsIncrement. */
#include "mql/operators.h"

static bool
timestamp_part (const ecl_expr_t *self, ecl_eval_t *ev, uint32_t code, int shift, ecl_value_t *out)
{
   ecl_value_t v;

   if (!ecl_expr_eval (self->args[0], ev, &v)) {
      return false;
   }
   if (ecl_is_nullish (&v)) {
      *out = ecl_null ();
      return true;
   }
   if (v.type != BSON_TYPE_TIMESTAMP) {
      return ecl_eval_fail (ev, self, code, "argument to %s must be a timestamp, but is %s", self->op->name,
                            ecl_type_name (v.type));
   }
   *out = ecl_int64 ((uint32_t) ((uint64_t) v.u.i64 >> shift));
   return true;
}

bool
ecl_op_tsSecond (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return timestamp_part (self, ev, 5687301, 32, out);
}

bool
ecl_op_tsIncrement (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return timestamp_part (self, ev, 5687302, 0, out);
}
