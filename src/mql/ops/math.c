/* Functions of numbers: $abs $ceil $exp $floor $ln $log $log10 $pow $round $sqrt $trunc. */
#include "bson/decimal.h"
#include "mql/operators.h"

#include <math.h>

/* The argument of an operator that takes one number. *done where the result is null. */
static bool
number_arg (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *v, bool *done)
{
   *done = false;
   if (!ecl_expr_eval (self->args[0], ev, v)) {
      return false;
   }
   *done = ecl_is_nullish (v);
   if (*done) {
      *v = ecl_null ();
      return true;
   }
   if (!ecl_is_number (v)) {
      return ecl_eval_fail (ev, self, 28765, "%s only supports numeric types, not %s", self->op->name,
                            ecl_type_name (v->type));
   }
   return true;
}

bool
ecl_op_abs (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   bool done;

   if (!number_arg (self, ev, out, &done) || done) {
      return done;
   }
   switch (out->type) {
   case BSON_TYPE_DOUBLE:
      out->u.f64 = fabs (out->u.f64);
      return true;
   case BSON_TYPE_DECIMAL128:
      *out = ecl_decimal_value (&ev->arena, ecl_decimal_abs (ecl_decimal_of (out)));
      return true;
   default:
      if (out->u.i64 == INT64_MIN) {
         return ecl_eval_fail (ev, self, 28680, "can't take $abs of long long min");
      }
      out->u.i64 = out->u.i64 < 0 ? -out->u.i64 : out->u.i64;
      if (out->u.i64 > INT32_MAX) {
         out->type = BSON_TYPE_INT64;
      }
      return true;
   }
}

/* Integers are their own floor and ceiling. */
static bool
integral_part (const ecl_expr_t *self, ecl_eval_t *ev, double (*of_double) (double), ecl_round_t mode, ecl_value_t *out)
{
   bool done;

   if (!number_arg (self, ev, out, &done) || done) {
      return done;
   }
   if (out->type == BSON_TYPE_DOUBLE) {
      out->u.f64 = of_double (out->u.f64);
   } else if (out->type == BSON_TYPE_DECIMAL128) {
      *out = ecl_decimal_value (&ev->arena, ecl_decimal_quantize (ecl_decimal_of (out), 0, mode));
   }
   return true;
}

bool
ecl_op_ceil (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return integral_part (self, ev, ceil, ECL_ROUND_UP, out);
}

bool
ecl_op_floor (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return integral_part (self, ev, floor, ECL_ROUND_DOWN, out);
}

/* ---- $round, $trunc ---- */

#define MIN_PLACE (-20)
#define MAX_PLACE 100

static bool
is_out_of_int64 (const ecl_value_t *v)
{
   int64_t i;

   switch (v->type) {
   case BSON_TYPE_DOUBLE:
      return !(v->u.f64 >= -0x1p63 && v->u.f64 < 0x1p63);
   case BSON_TYPE_DECIMAL128:
      return !ecl_decimal_round_to_int64 (ecl_decimal_of (v), ECL_ROUND_TO_ZERO, &i);
   default:
      return false;
   }
}

/* The number of decimal places; negative ones round to tens, hundreds, … . *done where it is null. */
static bool
place_arg (const ecl_expr_t *self, ecl_eval_t *ev, int *place, bool *done)
{
   ecl_value_t v;
   int32_t i;

   *place = 0;
   *done = false;
   if (self->n < 2) {
      return true;
   }
   if (!ecl_expr_eval (self->args[1], ev, &v)) {
      return false;
   }
   *done = ecl_is_nullish (&v);
   if (*done) {
      return true;
   }
   if (!ecl_is_number (&v)) {
      return ecl_eval_fail (ev, self, 16004, "can't convert from BSON type %s to long", ecl_type_name (v.type));
   }
   if (is_out_of_int64 (&v)) {
      return ecl_eval_fail (ev, self, 31109, "can't coerce out of range value %s to long",
                            ecl_value_text (&ev->arena, &v));
   }
   if (!ecl_number_to_int32 (&v, &i)) {
      return ecl_eval_fail (ev, self, 51082, "precision argument to %s must be a integral value", self->op->name);
   }
   if (i < MIN_PLACE || i > MAX_PLACE) {
      return ecl_eval_fail (ev, self, 51083, "cannot apply %s with precision value %d value must be in [-20, 100]",
                            self->op->name, i);
   }
   *place = i;
   return true;
}

/* All in decimal, as the server does: 34 digits hold every int64 and what matters of a double. */
static bool
round_to_place (const ecl_expr_t *self, ecl_eval_t *ev, ecl_round_t mode, ecl_value_t *out)
{
   ecl_value_t v;
   int64_t i;
   int place;
   bool done;

   if (!ecl_expr_eval (self->args[0], ev, &v)) {
      return false;
   }
   if (ecl_is_nullish (&v)) {
      *out = ecl_null ();
      return true;
   }
   if (!ecl_is_number (&v)) {
      return ecl_eval_fail (ev, self, 51081, "%s only supports numeric types, not %s", self->op->name,
                            ecl_type_name (v.type));
   }
   if (!place_arg (self, ev, &place, &done)) {
      return false;
   }
   if (done) {
      *out = ecl_null ();
      return true;
   }
   switch (v.type) {
   case BSON_TYPE_DECIMAL128:
      *out = ecl_decimal_value (&ev->arena, ecl_decimal_quantize (ecl_decimal_of (&v), -place, mode));
      return true;
   case BSON_TYPE_DOUBLE:
      if (isfinite (v.u.f64)) {
         v.u.f64 = ecl_decimal_to_double (ecl_decimal_quantize (ecl_decimal_from_double (v.u.f64), -place, mode));
      }
      *out = v;
      return true;
   default:
      *out = v;
      if (place >= 0) {
         return true;
      }
      if (!ecl_decimal_round_to_int64 (ecl_decimal_quantize (ecl_decimal_from_int64 (v.u.i64), -place, mode), mode,
                                       &i)) {
         return ecl_eval_fail (ev, self, 51080,
                               "invalid conversion from Decimal128 result in %s resulting from arguments: [%lld, %d]",
                               self->op->name, (long long) v.u.i64, place);
      }
      *out = v.type == BSON_TYPE_INT64 || i > INT32_MAX || i < INT32_MIN ? ecl_int64 (i) : ecl_int32 ((int32_t) i);
      return true;
   }
}

bool
ecl_op_round (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return round_to_place (self, ev, ECL_ROUND_NEAREST_EVEN, out);
}

bool
ecl_op_trunc (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return round_to_place (self, ev, ECL_ROUND_TO_ZERO, out);
}

/* ---- roots, exponentials, logarithms: a double, or a decimal for a decimal ---- */

bool
ecl_op_sqrt (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   bool done;

   if (!number_arg (self, ev, out, &done) || done) {
      return done;
   }
   if (out->type == BSON_TYPE_DECIMAL128) {
      ecl_decimal_t d = ecl_decimal_of (out);

      if (ecl_decimal_is_nan (d) || ecl_decimal_is_zero (d) || !ecl_decimal_is_negative (d)) {
         *out = ecl_decimal_value (&ev->arena, ecl_decimal_sqrt (d));
         return true;
      }
   } else if (!(ecl_number_to_double (out) < 0)) {
      *out = ecl_double (sqrt (ecl_number_to_double (out)));
      return true;
   }
   return ecl_eval_fail (ev, self, 28714, "$sqrt's argument must be greater than or equal to 0");
}

bool
ecl_op_exp (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   bool done;

   if (!number_arg (self, ev, out, &done) || done) {
      return done;
   }
   *out = out->type == BSON_TYPE_DECIMAL128 ? ecl_decimal_value (&ev->arena, ecl_decimal_exp (ecl_decimal_of (out)))
                                            : ecl_double (exp (ecl_number_to_double (out)));
   return true;
}

static bool
decimal_is_positive (ecl_decimal_t d)
{
   return !ecl_decimal_is_nan (d) && !ecl_decimal_is_zero (d) && !ecl_decimal_is_negative (d);
}

/* A decimal NaN gives a NaN of type double: as in the server, only what is above zero stays a
 * decimal. */
static bool
logarithm (const ecl_expr_t *self, ecl_eval_t *ev, double (*of_double) (double),
           ecl_decimal_t (*of_decimal) (ecl_decimal_t), uint32_t code, ecl_value_t *out)
{
   bool done;
   double d;

   if (!number_arg (self, ev, out, &done) || done) {
      return done;
   }
   if (out->type == BSON_TYPE_DECIMAL128 && decimal_is_positive (ecl_decimal_of (out))) {
      *out = ecl_decimal_value (&ev->arena, of_decimal (ecl_decimal_of (out)));
      return true;
   }
   d = ecl_number_to_double (out);
   if (!(d > 0) && !isnan (d)) {
      return ecl_eval_fail (ev, self, code, "%s's argument must be a positive number, but is %s", self->op->name,
                            ecl_value_text (&ev->arena, out));
   }
   *out = ecl_double (of_double (d));
   return true;
}

bool
ecl_op_ln (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return logarithm (self, ev, log, ecl_decimal_log, 28766, out);
}

bool
ecl_op_log10 (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return logarithm (self, ev, log10, ecl_decimal_log10, 28761, out);
}

/* Two numbers; *done where one of them is nullish and the result null. */
static bool
two_numbers (const ecl_expr_t *self, ecl_eval_t *ev, const char *const names[2], uint32_t code, ecl_value_t v[2],
             bool *done)
{
   if (!ecl_expr_eval (self->args[0], ev, &v[0]) || !ecl_expr_eval (self->args[1], ev, &v[1])) {
      return false;
   }
   *done = ecl_is_nullish (&v[0]) || ecl_is_nullish (&v[1]);
   for (uint32_t i = 0; !*done && i < 2; i++) {
      if (!ecl_is_number (&v[i])) {
         return ecl_eval_fail (ev, self, code + i, "%s's %s must be numeric, not %s", self->op->name, names[i],
                               ecl_type_name (v[i].type));
      }
   }
   return true;
}

bool
ecl_op_log (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   static const char *const names[2] = {"argument", "base"};
   ecl_value_t v[2];
   double number, base;
   bool done;

   if (!two_numbers (self, ev, names, 28756, v, &done)) {
      return false;
   }
   if (done) {
      *out = ecl_null ();
      return true;
   }
   if (v[0].type == BSON_TYPE_DECIMAL128 || v[1].type == BSON_TYPE_DECIMAL128) {
      ecl_decimal_t x = ecl_decimal_from_number (&v[0]), b = ecl_decimal_from_number (&v[1]);

      if (decimal_is_positive (x) && decimal_is_positive (b) &&
          ecl_decimal_compare (b, ecl_decimal_from_int64 (1)) != 0) {
         *out = ecl_decimal_value (&ev->arena, ecl_decimal_div (ecl_decimal_log (x), ecl_decimal_log (b)));
         return true;
      }
   }
   number = ecl_number_to_double (&v[0]);
   base = ecl_number_to_double (&v[1]);
   if (!(number > 0) && !isnan (number)) {
      return ecl_eval_fail (ev, self, 28758, "$log's argument must be a positive number, but is %s",
                            ecl_value_text (&ev->arena, &v[0]));
   }
   if (!(base > 0 && base != 1) && !isnan (base)) {
      return ecl_eval_fail (ev, self, 28759, "$log's base must be a positive number not equal to 1, but is %s",
                            ecl_value_text (&ev->arena, &v[1]));
   }
   *out = ecl_double (log (number) / log (base));
   return true;
}

/* ---- $pow ---- */

/* False where the power is no int64. */
static bool
integral_power (int64_t base, int64_t exponent, int64_t *power)
{
   if (base == 1 || base == 0 || base == -1) {
      *power = exponent == 0 ? 1 : base == -1 && exponent % 2 == 0 ? 1 : base;
      return true;
   }
   if (exponent < 0 || exponent > 63) {
      return false;
   }
   *power = 1;
   for (int64_t i = 0; i < exponent; i++) {
      if (__builtin_mul_overflow (*power, base, power)) {
         return false;
      }
   }
   return true;
}

bool
ecl_op_pow (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   static const char *const names[2] = {"base", "exponent"};
   ecl_value_t v[2];
   double base, exponent;
   int64_t power;
   bool done;

   if (!two_numbers (self, ev, names, 28762, v, &done)) {
      return false;
   }
   if (done) {
      *out = ecl_null ();
      return true;
   }
   base = ecl_number_to_double (&v[0]);
   exponent = ecl_number_to_double (&v[1]);
   if (v[0].type == BSON_TYPE_DECIMAL128 || v[1].type == BSON_TYPE_DECIMAL128) {
      ecl_decimal_t b = ecl_decimal_from_number (&v[0]), e = ecl_decimal_from_number (&v[1]);

      if (!ecl_decimal_is_zero (b) || ecl_decimal_is_nan (e) || ecl_decimal_is_zero (e) ||
          !ecl_decimal_is_negative (e)) {
         *out = ecl_decimal_value (&ev->arena, ecl_decimal_pow (b, e));
         return true;
      }
   } else if (base != 0 || !(exponent < 0)) {
      if (v[0].type == BSON_TYPE_DOUBLE || v[1].type == BSON_TYPE_DOUBLE ||
          !integral_power (v[0].u.i64, v[1].u.i64, &power)) {
         *out = ecl_double (pow (base, exponent));
      } else if (v[0].type == BSON_TYPE_INT64 || v[1].type == BSON_TYPE_INT64 || power < INT32_MIN ||
                 power > INT32_MAX) {
         *out = ecl_int64 (power);
      } else {
         *out = ecl_int32 ((int32_t) power);
      }
      return true;
   }
   return ecl_eval_fail (ev, self, 28764, "$pow cannot take a base of 0 and a negative exponent");
}
