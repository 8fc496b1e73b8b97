/* Sums, products and quotients: $add $subtract $multiply $divide $mod.
 *
 * The type of a result is the widest of its operands' (int32, int64, double, decimal128); an int32 that overflows
 * becomes an int64, an int64 that overflows a double. Beside a decimal, a double counts with 15 digits. $divide alone
 * leaves the integers: it gives a double or a decimal.
 */
#include "bson/decimal.h"
#include "mql/operators.h"

#include <math.h>

#define TYPE_MISMATCH 14
#define OVERFLOW_CODE 15
#define DURATION_OVERFLOW 159

/* int32 < int64 < double < decimal128 */
static int
width (uint8_t type)
{
   return type == BSON_TYPE_INT32 ? 0 : type == BSON_TYPE_INT64 ? 1 : type == BSON_TYPE_DOUBLE ? 2 : 3;
}

static uint8_t
widest (uint8_t a, uint8_t b)
{
   return width (a) >= width (b) ? a : b;
}

static ecl_value_t
int_or_long (int64_t i)
{
   return i >= INT32_MIN && i <= INT32_MAX ? ecl_int32 ((int32_t) i) : ecl_int64 (i);
}

/* What a number adds to a date: rounded to whole milliseconds. False where it does not fit. */
static bool
milliseconds (const ecl_value_t *v, int64_t *ms)
{
   switch (v->type) {
   case BSON_TYPE_DOUBLE:
      if (!(v->u.f64 >= -0x1p63 && v->u.f64 < 0x1p63)) {
         return false;
      }
      *ms = llround (v->u.f64);
      return true;
   case BSON_TYPE_DECIMAL128:
      return ecl_decimal_round_to_int64 (ecl_decimal_of (v), ECL_ROUND_NEAREST_EVEN, ms);
   default:
      *ms = v->u.i64;
      return true;
   }
}

static bool
date_overflow (const ecl_expr_t *self, ecl_eval_t *ev)
{
   return ecl_eval_fail (ev, self, OVERFLOW_CODE, "date overflow in %s", self->op->name);
}

/* ---- $add ---- */

/* One total for each kind of arithmetic; `type` says which one counts. */
typedef struct {
   int64_t i64;
   double f64;
   ecl_decimal_t decimal;
   uint8_t type;
} total_t;

static void
total_widen (total_t *total, uint8_t type)
{
   bool integral = total->type == BSON_TYPE_INT32 || total->type == BSON_TYPE_INT64;

   if (type == BSON_TYPE_DOUBLE) {
      total->f64 = (double) total->i64;
   } else if (type == BSON_TYPE_DECIMAL128) {
      total->decimal = integral ? ecl_decimal_from_int64 (total->i64) : ecl_decimal_from_double_15 (total->f64);
   }
   total->type = type;
}

static void
total_add (total_t *total, const ecl_value_t *v)
{
   uint8_t type = widest (total->type, v->type);
   int64_t sum;

   if (type != total->type) {
      total_widen (total, type);
   }
   switch (type) {
   case BSON_TYPE_DOUBLE:
      total->f64 += ecl_number_to_double (v);
      break;
   case BSON_TYPE_DECIMAL128:
      total->decimal = ecl_decimal_add (total->decimal, ecl_decimal_from_number (v));
      break;
   default:
      if (__builtin_add_overflow (total->i64, v->u.i64, &sum)) {
         total->f64 = (double) total->i64 + (double) v->u.i64;
         total->type = BSON_TYPE_DOUBLE;
      } else {
         total->i64 = sum;
      }
      break;
   }
}

static ecl_value_t
total_value (const total_t *total, ecl_arena_t *arena)
{
   switch (total->type) {
   case BSON_TYPE_INT32:
      return int_or_long (total->i64);
   case BSON_TYPE_INT64:
      return ecl_int64 (total->i64);
   case BSON_TYPE_DOUBLE:
      return ecl_double (total->f64);
   default:
      return ecl_decimal_value (arena, total->decimal);
   }
}

bool
ecl_op_add (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   total_t total = {.type = BSON_TYPE_INT32};
   int64_t date = 0, ms;
   bool is_date = false;

   for (uint32_t i = 0; i < self->n; i++) {
      ecl_value_t v;

      if (!ecl_expr_eval (self->args[i], ev, &v)) {
         return false;
      }
      if (ecl_is_nullish (&v)) {
         *out = ecl_null ();
         return true;
      }
      if (v.type == BSON_TYPE_DATE_TIME) {
         ecl_value_t before = total_value (&total, &ev->arena);

         if (is_date) {
            return ecl_eval_fail (ev, self, 16612, "only one date allowed in an $add expression");
         }
         /* From here on in milliseconds: what came before the date is rounded as a whole, what follows one by one. */
         is_date = true;
         if (!milliseconds (&before, &ms) || __builtin_add_overflow (ms, v.u.i64, &date)) {
            return date_overflow (self, ev);
         }
      } else if (!ecl_is_number (&v)) {
         return ecl_eval_fail (ev, self, TYPE_MISMATCH, "$add only supports numeric or date types, not %s",
                               ecl_type_name (v.type));
      } else if (is_date) {
         if (!milliseconds (&v, &ms) || __builtin_add_overflow (date, ms, &date)) {
            return date_overflow (self, ev);
         }
      } else {
         total_add (&total, &v);
      }
   }
   *out = is_date ? ecl_date (date) : total_value (&total, &ev->arena);
   return true;
}

/* ---- $subtract ---- */

static bool
subtract_from_date (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *date, const ecl_value_t *v,
                    ecl_value_t *out)
{
   int64_t ms, difference;

   if (v->type == BSON_TYPE_DATE_TIME) {
      if (__builtin_sub_overflow (date->u.i64, v->u.i64, &difference)) {
         return ecl_eval_fail (ev, self, DURATION_OVERFLOW, "overflow while subtracting two dates");
      }
      *out = ecl_int64 (difference);
      return true;
   }
   if (!ecl_is_number (v)) {
      return ecl_eval_fail (ev, self, TYPE_MISMATCH, "can't $subtract %s from date", ecl_type_name (v->type));
   }
   if (!milliseconds (v, &ms) || __builtin_sub_overflow (date->u.i64, ms, &difference)) {
      return date_overflow (self, ev);
   }
   *out = ecl_date (difference);
   return true;
}

static void
subtract_numbers (ecl_eval_t *ev, const ecl_value_t *a, const ecl_value_t *b, ecl_value_t *out)
{
   int64_t difference;

   switch (widest (a->type, b->type)) {
   case BSON_TYPE_INT32:
      *out = int_or_long (a->u.i64 - b->u.i64);
      break;
   case BSON_TYPE_INT64:
      *out = __builtin_sub_overflow (a->u.i64, b->u.i64, &difference)
                ? ecl_double ((double) a->u.i64 - (double) b->u.i64)
                : ecl_int64 (difference);
      break;
   case BSON_TYPE_DOUBLE:
      *out = ecl_double (ecl_number_to_double (a) - ecl_number_to_double (b));
      break;
   default:
      *out = ecl_decimal_value (&ev->arena, ecl_decimal_sub (ecl_decimal_from_number (a), ecl_decimal_from_number (b)));
      break;
   }
}

bool
ecl_op_subtract (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t a, b;

   if (!ecl_expr_eval (self->args[0], ev, &a) || !ecl_expr_eval (self->args[1], ev, &b)) {
      return false;
   }
   if (ecl_is_number (&a) && ecl_is_number (&b)) {
      subtract_numbers (ev, &a, &b, out);
      return true;
   }
   if (ecl_is_nullish (&a) || ecl_is_nullish (&b)) {
      *out = ecl_null ();
      return true;
   }
   if (a.type == BSON_TYPE_DATE_TIME) {
      return subtract_from_date (self, ev, &a, &b, out);
   }
   return ecl_eval_fail (ev, self, TYPE_MISMATCH, "can't $subtract %s from %s", ecl_type_name (b.type),
                         ecl_type_name (a.type));
}

/* ---- $multiply ---- */

/* The integral product and the product of doubles are kept side by side, so that an overflow costs nothing of what a
 * product of doubles would have given. */
bool
ecl_op_multiply (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   total_t product = {.i64 = 1, .f64 = 1, .type = BSON_TYPE_INT32};

   for (uint32_t i = 0; i < self->n; i++) {
      ecl_value_t v;
      uint8_t before = product.type;

      if (!ecl_expr_eval (self->args[i], ev, &v)) {
         return false;
      }
      if (ecl_is_nullish (&v)) {
         *out = ecl_null ();
         return true;
      }
      if (!ecl_is_number (&v)) {
         return ecl_eval_fail (ev, self, TYPE_MISMATCH, "$multiply only supports numeric types, not %s",
                               ecl_type_name (v.type));
      }
      product.type = widest (before, v.type);
      if (product.type == BSON_TYPE_DECIMAL128) {
         if (before != BSON_TYPE_DECIMAL128) {
            product.decimal = before == BSON_TYPE_DOUBLE ? ecl_decimal_from_double_15 (product.f64)
                                                         : ecl_decimal_from_int64 (product.i64);
         }
         product.decimal = ecl_decimal_mul (product.decimal, ecl_decimal_from_number (&v));
         continue;
      }
      product.f64 *= ecl_number_to_double (&v);
      if (product.type != BSON_TYPE_DOUBLE && __builtin_mul_overflow (product.i64, v.u.i64, &product.i64)) {
         product.type = BSON_TYPE_DOUBLE;
      }
   }
   *out = total_value (&product, &ev->arena);
   return true;
}

/* ---- $divide, $mod ---- */

bool
ecl_op_divide (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t a, b;

   if (!ecl_expr_eval (self->args[0], ev, &a) || !ecl_expr_eval (self->args[1], ev, &b)) {
      return false;
   }
   if (!ecl_is_number (&a) || !ecl_is_number (&b)) {
      if (ecl_is_nullish (&a) || ecl_is_nullish (&b)) {
         *out = ecl_null ();
         return true;
      }
      return ecl_eval_fail (ev, self, TYPE_MISMATCH, "$divide only supports numeric types, not %s and %s",
                            ecl_type_name (a.type), ecl_type_name (b.type));
   }
   if (a.type == BSON_TYPE_DECIMAL128 || b.type == BSON_TYPE_DECIMAL128) {
      ecl_decimal_t divisor = ecl_decimal_from_number (&b);

      if (!ecl_decimal_is_zero (divisor)) {
         *out = ecl_decimal_value (&ev->arena, ecl_decimal_div (ecl_decimal_from_number (&a), divisor));
         return true;
      }
   } else if (ecl_number_to_double (&b) != 0) {
      *out = ecl_double (ecl_number_to_double (&a) / ecl_number_to_double (&b));
      return true;
   }
   return ecl_eval_fail (ev, self, 2, "can't $divide by zero");
}

bool
ecl_op_mod (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t a, b;
   int64_t rest;

   if (!ecl_expr_eval (self->args[0], ev, &a) || !ecl_expr_eval (self->args[1], ev, &b)) {
      return false;
   }
   if (!ecl_is_number (&a) || !ecl_is_number (&b)) {
      if (ecl_is_nullish (&a) || ecl_is_nullish (&b)) {
         *out = ecl_null ();
         return true;
      }
      return ecl_eval_fail (ev, self, 16611, "$mod only supports numeric types, not %s and %s", ecl_type_name (a.type),
                            ecl_type_name (b.type));
   }
   if (a.type == BSON_TYPE_DECIMAL128 || b.type == BSON_TYPE_DECIMAL128) {
      ecl_decimal_t divisor = ecl_decimal_from_number (&b);

      if (ecl_decimal_is_zero (divisor)) {
         return ecl_eval_fail (ev, self, 5733415, "can't $mod by zero");
      }
      *out = ecl_decimal_value (&ev->arena, ecl_decimal_mod (ecl_decimal_from_number (&a), divisor));
      return true;
   }
   if (ecl_number_to_double (&b) == 0) {
      return ecl_eval_fail (ev, self, 16610, "can't $mod by zero");
   }
   if (a.type == BSON_TYPE_DOUBLE || b.type == BSON_TYPE_DOUBLE) {
      *out = ecl_double (fmod (ecl_number_to_double (&a), ecl_number_to_double (&b)));
      return true;
   }
   /* INT64_MIN % -1 traps. */
   rest = b.u.i64 == -1 ? 0 : a.u.i64 % b.u.i64;
   *out = a.type == BSON_TYPE_INT64 || b.type == BSON_TYPE_INT64 ? ecl_int64 (rest) : ecl_int32 ((int32_t) rest);
   return true;
}
