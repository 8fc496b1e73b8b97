/* Accumulators as expressions: $sum $avg $min $max $stdDevPop $stdDevSamp.
 *
 * One argument that is an array is gone through; of several arguments each counts as it is. What is no number is passed
 * over ($min and $max: what is nullish).
 */
#include "bson/decimal.h"
#include "mql/operators.h"

#include <math.h>

typedef void (*accumulate_fn) (void *state, const ecl_value_t *v);

static bool
accumulate (const ecl_expr_t *self, ecl_eval_t *ev, accumulate_fn add, void *state)
{
   ecl_value_t v;
   ecl_iter_t iter;

   for (uint32_t i = 0; i < self->n; i++) {
      if (!ecl_expr_eval (self->args[i], ev, &v)) {
         return false;
      }
      if (self->n > 1 || !ecl_is_array (&v)) {
         add (state, &v);
         continue;
      }
      ecl_iter_init (&iter, &v);
      while (ecl_iter_item (&iter, &v)) {
         add (state, &v);
      }
   }
   return true;
}

/* ---- $sum, $avg ---- */

/* A sum of doubles as two of them, about 107 bits: sum is the double nearest to it, rest what is missing. int64 go in
 * as two halves, so that sums of integers are exact up to 2^106. `plain` adds without correction, for what infinities
 * give. Decimals have a total of their own. */
typedef struct {
   double sum, rest, plain;
   ecl_decimal_t decimal;
   uint8_t type;
   uint32_t count;
} sum_t;

#define SUM_INIT                                                     \
   {                                                                 \
      .decimal = {0, (uint64_t) 6176 << 49}, .type = BSON_TYPE_INT32 \
   }

/* a + b exactly: *a the double nearest to it, the result the rest. After Knuth and Møller. */
static inline double
two_sum (double *a, double b)
{
   double s = *a + b, a1 = s - b, b1 = s - a1;
   double rest = (*a - a1) + (b - b1);

   *a = s;
   return rest;
}

static inline void
sum_double (sum_t *sum, double x)
{
   double rest, s;

   sum->plain += x;
   /* The rest is tiny beside what is added, mostly: Dekker's shorter sum is enough. */
   s = x + sum->rest;
   rest = sum->rest - (s - x);
   sum->rest = rest + two_sum (&sum->sum, s);
}

static void
sum_add (void *state, const ecl_value_t *v)
{
   sum_t *sum = state;
   int64_t high;

   switch (v->type) {
   case BSON_TYPE_INT32:
      sum_double (sum, (double) v->u.i64);
      break;
   case BSON_TYPE_INT64:
      high = v->u.i64 / (INT64_C (1) << 32) * (INT64_C (1) << 32);
      sum_double (sum, (double) (v->u.i64 - high));
      sum_double (sum, (double) high);
      if (sum->type == BSON_TYPE_INT32) {
         sum->type = BSON_TYPE_INT64;
      }
      break;
   case BSON_TYPE_DOUBLE:
      sum_double (sum, v->u.f64);
      if (sum->type != BSON_TYPE_DECIMAL128) {
         sum->type = BSON_TYPE_DOUBLE;
      }
      break;
   case BSON_TYPE_DECIMAL128:
      sum->decimal = ecl_decimal_add (sum->decimal, ecl_decimal_of (v));
      sum->type = BSON_TYPE_DECIMAL128;
      break;
   default:
      return;
   }
   sum->count++;
}

static double
sum_to_double (const sum_t *sum)
{
   return isnan (sum->sum) ? sum->plain : sum->sum;
}

static ecl_decimal_t
sum_to_decimal (const sum_t *sum)
{
   ecl_decimal_t others = isfinite (sum->sum)
                             ? ecl_decimal_add (ecl_decimal_from_double (sum->sum), ecl_decimal_from_double (sum->rest))
                             : ecl_decimal_from_double (sum->plain);

   return ecl_decimal_add (sum->decimal, others);
}

/* The sum of integers; false where it is no int64. */
static bool
sum_to_int64 (const sum_t *sum, int64_t *out)
{
   int64_t i;

   /* 2^63 itself does not fit; less than half below it does. */
   if (sum->sum == 0x1p63) {
      if (!(sum->rest < -0.5)) {
         return false;
      }
      *out = INT64_MAX - (llround (-sum->rest) - 1);
      return true;
   }
   if (!(sum->sum > -0x1p63 && sum->sum < 0x1p63) && !(sum->sum == -0x1p63 && sum->rest >= -0.5)) {
      return false;
   }
   i = llround (sum->sum);
   return !__builtin_add_overflow (i, llround (sum->rest), out);
}

bool
ecl_op_sum (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   sum_t sum = SUM_INIT;
   int64_t i;

   if (!accumulate (self, ev, sum_add, &sum)) {
      return false;
   }
   if (sum.type == BSON_TYPE_DECIMAL128) {
      *out = ecl_decimal_value (&ev->arena, sum_to_decimal (&sum));
   } else if (sum.type == BSON_TYPE_DOUBLE || !sum_to_int64 (&sum, &i)) {
      *out = ecl_double (sum_to_double (&sum));
   } else if (sum.type == BSON_TYPE_INT64 || i < INT32_MIN || i > INT32_MAX) {
      *out = ecl_int64 (i);
   } else {
      *out = ecl_int32 ((int32_t) i);
   }
   return true;
}

bool
ecl_op_avg (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   sum_t sum = SUM_INIT;

   if (!accumulate (self, ev, sum_add, &sum)) {
      return false;
   }
   if (sum.count == 0) {
      *out = ecl_null ();
   } else if (sum.type == BSON_TYPE_DECIMAL128) {
      *out =
         ecl_decimal_value (&ev->arena, ecl_decimal_div (sum_to_decimal (&sum), ecl_decimal_from_int64 (sum.count)));
   } else {
      *out = ecl_double (sum_to_double (&sum) / sum.count);
   }
   return true;
}

/* ---- $min, $max ---- */

typedef struct {
   ecl_value_t best;
   int sign;
} extreme_t;

/* Of equals the first stays. */
static void
extreme_add (void *state, const ecl_value_t *v)
{
   extreme_t *extreme = state;

   if (!ecl_is_nullish (v) &&
       (ecl_is_missing (&extreme->best) || ecl_compare (v, &extreme->best) * extreme->sign > 0)) {
      extreme->best = *v;
   }
}

static bool
extreme_of (const ecl_expr_t *self, ecl_eval_t *ev, int sign, ecl_value_t *out)
{
   extreme_t extreme = {.best = ecl_missing (), .sign = sign};

   if (!accumulate (self, ev, extreme_add, &extreme)) {
      return false;
   }
   *out = ecl_present (extreme.best);
   return true;
}

bool
ecl_op_min (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return extreme_of (self, ev, -1, out);
}

bool
ecl_op_max (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return extreme_of (self, ev, 1, out);
}

/* ---- $stdDevPop, $stdDevSamp ---- */

typedef struct {
   double mean, squares; /* of the differences from the mean, summed */
   uint32_t count;
} deviation_t;

/* Welford's algorithm, in doubles for all types. */
static void
deviation_add (void *state, const ecl_value_t *v)
{
   deviation_t *deviation = state;
   double x, delta;

   if (!ecl_is_number (v)) {
      return;
   }
   x = ecl_number_to_double (v);
   delta = x - deviation->mean;
   deviation->count++;
   if (delta != 0) {
      deviation->mean += delta / deviation->count;
      deviation->squares += delta * (x - deviation->mean);
   }
}

/* lost: degrees of freedom */
static bool
deviation_of (const ecl_expr_t *self, ecl_eval_t *ev, uint32_t lost, ecl_value_t *out)
{
   deviation_t deviation = {0};

   if (!accumulate (self, ev, deviation_add, &deviation)) {
      return false;
   }
   *out = deviation.count > lost ? ecl_double (sqrt (deviation.squares / (deviation.count - lost))) : ecl_null ();
   return true;
}

bool
ecl_op_stdDevPop (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return deviation_of (self, ev, 0, out);
}

bool
ecl_op_stdDevSamp (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return deviation_of (self, ev, 1, out);
}
