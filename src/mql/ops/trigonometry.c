/* Trigonometry: $sin $cos $tan, their inverses, the hyperbolic ones, and degrees. Each gives a double, or a decimal for
 * a decimal. */
#include "bson/decimal.h"
#include "mql/operators.h"

#include <math.h>

typedef struct {
   double (*of_double) (double);
   ecl_decimal_t (*of_decimal) (ecl_decimal_t);
   double min, max;
   bool open;          /* the bounds themselves are out */
   const char *domain; /* NULL: all numbers */
} function_t;

static bool
in_domain (const function_t *function, const ecl_value_t *v)
{
   int low, high;

   if (v->type == BSON_TYPE_DECIMAL128) {
      low = ecl_decimal_compare (ecl_decimal_of (v), ecl_decimal_from_double (function->min));
      high = ecl_decimal_compare (ecl_decimal_of (v), ecl_decimal_from_double (function->max));
   } else {
      double d = ecl_number_to_double (v);

      low = (d > function->min) - (d < function->min);
      high = (d > function->max) - (d < function->max);
   }
   return function->open ? low > 0 && high < 0 : low >= 0 && high <= 0;
}

static bool
is_nan (const ecl_value_t *v)
{
   return v->type == BSON_TYPE_DECIMAL128 ? ecl_decimal_is_nan (ecl_decimal_of (v))
                                          : v->type == BSON_TYPE_DOUBLE && isnan (v->u.f64);
}

static bool
apply (const ecl_expr_t *self, ecl_eval_t *ev, const function_t *function, ecl_value_t *out)
{
   ecl_value_t v;

   if (!ecl_expr_eval (self->args[0], ev, &v)) {
      return false;
   }
   if (ecl_is_nullish (&v)) {
      *out = ecl_null ();
      return true;
   }
   if (!ecl_is_number (&v)) {
      return ecl_eval_fail (ev, self, 28765, "%s only supports numeric types, not %s", self->op->name,
                            ecl_type_name (v.type));
   }
   if (function->domain) {
      if (is_nan (&v)) {
         *out = v;
         return true;
      }
      if (!in_domain (function, &v)) {
         return ecl_eval_fail (ev, self, 50989, "cannot apply %s to %s, value must be in %s", self->op->name,
                               ecl_value_text (&ev->arena, &v), function->domain);
      }
   }
   *out = v.type == BSON_TYPE_DECIMAL128 ? ecl_decimal_value (&ev->arena, function->of_decimal (ecl_decimal_of (&v)))
                                         : ecl_double (function->of_double (ecl_number_to_double (&v)));
   return true;
}

#define FUNCTION(name, ...)                                                       \
   bool ecl_op_##name (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)  \
   {                                                                              \
      static const function_t function = {name, ecl_decimal_##name, __VA_ARGS__}; \
                                                                                  \
      return apply (self, ev, &function, out);                                    \
   }

#define EVERYWHERE 0, 0, false, NULL
#define FINITE -HUGE_VAL, HUGE_VAL, true, "(-inf,inf)"
#define UNIT -1, 1, false, "[-1,1]"

FUNCTION (sin, FINITE)
FUNCTION (cos, FINITE)
FUNCTION (tan, FINITE)
FUNCTION (asin, UNIT)
FUNCTION (acos, UNIT)
FUNCTION (atan, EVERYWHERE)
FUNCTION (sinh, EVERYWHERE)
FUNCTION (cosh, EVERYWHERE)
FUNCTION (tanh, EVERYWHERE)
FUNCTION (asinh, EVERYWHERE)
FUNCTION (acosh, 1, HUGE_VAL, false, "[1,inf]")
FUNCTION (atanh, UNIT)

bool
ecl_op_atan2 (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t v[2];

   for (uint32_t i = 0; i < 2; i++) {
      if (!ecl_expr_eval (self->args[i], ev, &v[i])) {
         return false;
      }
      if (ecl_is_nullish (&v[i])) {
         *out = ecl_null ();
         return true;
      }
      if (!ecl_is_number (&v[i])) {
         return ecl_eval_fail (ev, self, 51044 + i, "$atan2 only supports numeric types, not %s",
                               ecl_type_name (v[i].type));
      }
   }
   if (v[0].type == BSON_TYPE_DECIMAL128 || v[1].type == BSON_TYPE_DECIMAL128) {
      *out = ecl_decimal_value (&ev->arena,
                                ecl_decimal_atan2 (ecl_decimal_from_number (&v[0]), ecl_decimal_from_number (&v[1])));
   } else {
      *out = ecl_double (atan2 (ecl_number_to_double (&v[0]), ecl_number_to_double (&v[1])));
   }
   return true;
}

/* 34 digits: 3.141592653589793238462643383279503 */
static const ecl_decimal_t pi = {.low = 0xbabe5564e6f39f8fu, .high = 0x2ffe9ae4795796a7u};

static double
double_to_radians (double d)
{
   return d * (M_PI / 180.0);
}

static ecl_decimal_t
decimal_to_radians (ecl_decimal_t d)
{
   return ecl_decimal_mul (d, ecl_decimal_div (pi, ecl_decimal_from_int64 (180)));
}

static double
double_to_degrees (double d)
{
   return d * (180.0 / M_PI);
}

static ecl_decimal_t
decimal_to_degrees (ecl_decimal_t d)
{
   return ecl_decimal_mul (d, ecl_decimal_div (ecl_decimal_from_int64 (180), pi));
}

bool
ecl_op_degreesToRadians (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   static const function_t function = {double_to_radians, decimal_to_radians, EVERYWHERE};

   return apply (self, ev, &function, out);
}

bool
ecl_op_radiansToDegrees (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   static const function_t function = {double_to_degrees, decimal_to_degrees, EVERYWHERE};

   return apply (self, ev, &function, out);
}
