/* Logic: $and $or $not. */
#include "mql/operators.h"

/* Evaluated left to right up to the first argument whose truth is `stop`. */
static bool
until (const ecl_expr_t *self, ecl_eval_t *ev, bool stop, ecl_value_t *out)
{
   for (uint32_t i = 0; i < self->n; i++) {
      ecl_value_t v;

      if (!ecl_expr_eval (self->args[i], ev, &v)) {
         return false;
      }
      if (ecl_truthy (&v) == stop) {
         *out = ecl_bool (stop);
         return true;
      }
   }
   *out = ecl_bool (!stop);
   return true;
}

bool
ecl_op_and (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return until (self, ev, false, out);
}

bool
ecl_op_or (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return until (self, ev, true, out);
}

bool
ecl_op_not (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t v;

   if (!ecl_expr_eval (self->args[0], ev, &v)) {
      return false;
   }
   *out = ecl_bool (!ecl_truthy (&v));
   return true;
}
