/* Comparison: $cmp $eq $ne $gt $gte $lt $lte, in BSON order over all types. */
#include "mql/operators.h"

static bool
compare_args (const ecl_expr_t *self, ecl_eval_t *ev, int *order)
{
   ecl_value_t a, b;

   if (!ecl_expr_eval (self->args[0], ev, &a) || !ecl_expr_eval (self->args[1], ev, &b)) {
      return false;
   }
   /* Unlike in sorting, a missing field and null differ here: missing is below null. */
   *order = ecl_compare (&a, &b);
   return true;
}

bool
ecl_op_cmp (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   int order;

   if (!compare_args (self, ev, &order)) {
      return false;
   }
   *out = ecl_int32 ((order > 0) - (order < 0));
   return true;
}

#define COMPARISON(name, test)                                                   \
   bool ecl_op_##name (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out) \
   {                                                                             \
      int order;                                                                 \
                                                                                 \
      if (!compare_args (self, ev, &order)) {                                    \
         return false;                                                           \
      }                                                                          \
      *out = ecl_bool (order test 0);                                            \
      return true;                                                               \
   }

COMPARISON (gt, >)
COMPARISON (gte, >=)
COMPARISON (lt, <)
COMPARISON (lte, <=)

static bool
args_equal (const ecl_expr_t *self, ecl_eval_t *ev, bool *equal)
{
   ecl_value_t a, b;

   if (!ecl_expr_eval (self->args[0], ev, &a) || !ecl_expr_eval (self->args[1], ev, &b)) {
      return false;
   }
   *equal = ecl_equal (&a, &b);
   return true;
}

bool
ecl_op_eq (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   bool equal;

   if (!args_equal (self, ev, &equal)) {
      return false;
   }
   *out = ecl_bool (equal);
   return true;
}

bool
ecl_op_ne (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   bool equal;

   if (!args_equal (self, ev, &equal)) {
      return false;
   }
   *out = ecl_bool (!equal);
   return true;
}
