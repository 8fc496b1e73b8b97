/* Conversions to numbers: see convert.c. */
#include "mql/ops/convert.h"

#include "bson/decimal.h"
#include "text/number.h"

#include <float.h>
#include <math.h>

/* An int64 from any number, towards zero. */
bool
ecl_convert_number_to_int64 (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, int64_t *out)
{
   bool nan, infinite, ok;

   if (v->type == BSON_TYPE_DOUBLE) {
      nan = isnan (v->u.f64);
      infinite = isinf (v->u.f64);
      ok = v->u.f64 >= -0x1p63 && v->u.f64 < 0x1p63;
      *out = ok ? (int64_t) v->u.f64 : 0;
   } else if (v->type == BSON_TYPE_DECIMAL128) {
      ecl_decimal_t d = ecl_decimal_of (v);

      nan = ecl_decimal_is_nan (d);
      infinite = ecl_decimal_is_infinite (d);
      ok = ecl_decimal_round_to_int64 (d, ECL_ROUND_TO_ZERO, out);
   } else {
      *out = v->u.i64;
      return true;
   }
   if (nan || infinite) {
      return CANNOT ("Attempt to convert %s value to integer type " NO_ON_ERROR, nan ? "NaN" : "infinity");
   }
   return ok || ecl_convert_overflow (self, ev, v);
}

static bool
to_int64 (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const ecl_convert_target_t *to, int64_t *out)
{
   switch (v->type) {
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
   case BSON_TYPE_DOUBLE:
   case BSON_TYPE_DECIMAL128:
      return ecl_convert_number_to_int64 (self, ev, v, out);
   case BSON_TYPE_BOOL:
      *out = v->u.i64;
      return true;
   case BSON_TYPE_UTF8:
      return ecl_text_parse_int (v->u.str, v->len, out) ||
             ecl_convert_unread (self, ev, "number", v, "not a whole number of base 10 that fits");
   case BSON_TYPE_DATE_TIME:
      if (to->type == BSON_TYPE_INT64) {
         *out = v->u.i64;
         return true;
      }
      /* fall through */
   default:
      return ecl_convert_unsupported (self, ev, v, to);
   }
}

bool
ecl_convert_to_int (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const ecl_convert_target_t *to,
                    ecl_value_t *out)
{
   int64_t i = 0;

   if (!to_int64 (self, ev, v, to, &i)) {
      return false;
   }
   if (to->type == BSON_TYPE_INT64) {
      *out = ecl_int64 (i);
      return true;
   }
   if (i < INT32_MIN || i > INT32_MAX) {
      return ecl_convert_overflow (self, ev, v);
   }
   /* The server compares the double itself with the bounds: 2147483647.5 is beyond them. */
   if (v->type == BSON_TYPE_DOUBLE && (v->u.f64 < INT32_MIN || v->u.f64 > INT32_MAX)) {
      return ecl_convert_overflow (self, ev, v);
   }
   *out = ecl_int32 ((int32_t) i);
   return true;
}

/* nan, inf and infinity in any case, as strtod reads them. */
static bool
special_double (const char *text, size_t len, double *out)
{
   bool negative = len && text[0] == '-';

   if (len && (text[0] == '-' || text[0] == '+')) {
      text++;
      len--;
   }
   if ((len == 3 && strncasecmp (text, "inf", 3) == 0) || (len == 8 && strncasecmp (text, "infinity", 8) == 0)) {
      *out = negative ? -INFINITY : INFINITY;
      return true;
   }
   if (len == 3 && strncasecmp (text, "nan", 3) == 0) {
      *out = negative ? -NAN : NAN;
      return true;
   }
   return false;
}

static bool
has_digit_but_zero (const char *text, size_t len)
{
   for (size_t i = 0; i < len && text[i] != 'e' && text[i] != 'E'; i++) {
      if (text[i] >= '1' && text[i] <= '9') {
         return true;
      }
   }
   return false;
}

static bool
string_to_double (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, ecl_value_t *out)
{
   double d;

   if (special_double (v->u.str, v->len, &d)) {
      *out = ecl_double (d);
      return true;
   }
   if (!ecl_text_is_decimal (v->u.str, v->len)) {
      return ecl_convert_unread (self, ev, "number", v, "Did not consume whole string.");
   }
   /* Until 8.3 the server also refuses what is nearer to zero than the smallest normal double. */
   if (!ecl_text_parse_double (v->u.str, v->len, &d) || (fabs (d) < DBL_MIN && has_digit_but_zero (v->u.str, v->len))) {
      return ecl_convert_unread (self, ev, "number", v, "Out of range");
   }
   *out = ecl_double (d);
   return true;
}

bool
ecl_convert_to_double (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const ecl_convert_target_t *to,
                       ecl_value_t *out)
{
   double d;

   switch (v->type) {
   case BSON_TYPE_DOUBLE:
      *out = *v;
      return true;
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
   case BSON_TYPE_BOOL:
   case BSON_TYPE_DATE_TIME:
      *out = ecl_double ((double) v->u.i64);
      return true;
   case BSON_TYPE_DECIMAL128: {
      ecl_decimal_t decimal = ecl_decimal_of (v);

      d = ecl_decimal_to_double (decimal);
      if ((isinf (d) && !ecl_decimal_is_infinite (decimal)) || (fabs (d) < DBL_MIN && !ecl_decimal_is_zero (decimal))) {
         return ecl_convert_overflow (self, ev, v);
      }
      *out = ecl_double (d);
      return true;
   }
   case BSON_TYPE_UTF8:
      return string_to_double (self, ev, v, out);
   default:
      return ecl_convert_unsupported (self, ev, v, to);
   }
}

bool
ecl_convert_to_decimal (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const ecl_convert_target_t *to,
                        ecl_value_t *out)
{
   ecl_decimal_t d;

   switch (v->type) {
   case BSON_TYPE_DECIMAL128:
      *out = *v;
      return true;
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
   case BSON_TYPE_BOOL:
   case BSON_TYPE_DATE_TIME:
      d = ecl_decimal_from_int64 (v->u.i64);
      break;
   case BSON_TYPE_DOUBLE:
      d = ecl_decimal_from_double_15 (v->u.f64);
      break;
   case BSON_TYPE_UTF8:
      switch (ecl_decimal_from_string (&ev->arena, v->u.str, v->len, &d)) {
      case ECL_DECIMAL_TEXT_OK:
         break;
      case ECL_DECIMAL_TEXT_OVERFLOW:
         return ecl_convert_unread (self, ev, "number", v, "Conversion from string to decimal would overflow");
      case ECL_DECIMAL_TEXT_UNDERFLOW:
         return ecl_convert_unread (self, ev, "number", v, "Conversion from string to decimal would underflow");
      default:
         return ecl_convert_unread (self, ev, "number", v, "Failed to parse string to decimal");
      }
      break;
   default:
      return ecl_convert_unsupported (self, ev, v, to);
   }
   *out = ecl_decimal_value (&ev->arena, d);
   return true;
}
