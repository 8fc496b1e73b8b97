/* Decimal128: see decimal.h. The only file of src/bson that includes Intel's headers.
 *
 * Debian ships the library in eight variants by calling convention; 000 passes arguments by value and rounding mode and
 * status flags as parameters, so nothing here is global. The three macros must stand before bid_conf.h.
 */
#include "bson/decimal.h"

#include "base/ascii.h"

#include <math.h>

#define DECIMAL_CALL_BY_REFERENCE 0
#define DECIMAL_GLOBAL_ROUNDING 0
#define DECIMAL_GLOBAL_EXCEPTION_FLAGS 0
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wconversion"
#include <bid_conf.h>
#include <bid_functions.h>
#pragma GCC diagnostic pop

_Static_assert(sizeof (ecl_decimal_t) == sizeof (BID_UINT128), "a decimal has 16 bytes");
_Static_assert(ECL_ROUND_DOWN == BID_ROUNDING_DOWN && ECL_ROUND_UP == BID_ROUNDING_UP, "modes are passed through");
_Static_assert(ECL_ROUND_TO_ZERO == BID_ROUNDING_TO_ZERO && ECL_ROUND_NEAREST_AWAY == BID_ROUNDING_TIES_AWAY,
               "modes are passed through");
_Static_assert(ECL_DECIMAL_TEXT == BSON_DECIMAL128_STRING, "room for libbson's text");
_Static_assert(BSON_BYTE_ORDER == BSON_LITTLE_ENDIAN, "decimals are read as the host's integers");

#define NEAREST_EVEN ECL_ROUND_NEAREST_EVEN

static BID_UINT128
bid (ecl_decimal_t d)
{
   BID_UINT128 x;

   x.w[0] = d.low;
   x.w[1] = d.high;
   return x;
}

static ecl_decimal_t
unbid (BID_UINT128 x)
{
   return (ecl_decimal_t){.low = x.w[0], .high = x.w[1]};
}

ecl_decimal_t
ecl_decimal_of (const ecl_value_t *v)
{
   ecl_decimal_t d;

   memcpy (&d, v->u.raw, sizeof d);
   return d;
}

ecl_value_t
ecl_decimal_value (ecl_arena_t *arena, ecl_decimal_t d)
{
   uint8_t *bytes = ecl_arena_alloc (arena, sizeof d);

   memcpy (bytes, &d, sizeof d);
   return ecl_decimal_at (bytes);
}

ecl_decimal_t
ecl_decimal_from_int64 (int64_t i)
{
   return unbid (bid128_from_int64 (i));
}

ecl_decimal_t
ecl_decimal_from_double (double d)
{
   unsigned flags = 0;

   return unbid (binary64_to_bid128 (d, NEAREST_EVEN, &flags));
}

/* A finite number: coefficient * 10^exponent, the exponent biased by 6176 in bits 49 … 62 of the high word. */
#define EXPONENT_BIAS 6176
#define EXPONENT_SHIFT 49

static BID_UINT128
power_of_ten (int exponent)
{
   BID_UINT128 x;

   x.w[0] = 1;
   x.w[1] = (uint64_t) (exponent + EXPONENT_BIAS) << EXPONENT_SHIFT;
   return x;
}

/* The biased exponent of a finite number in canonical form. */
static int
biased_exponent (BID_UINT128 x)
{
   return (int) (x.w[1] >> EXPONENT_SHIFT & 0x3fff);
}

ecl_decimal_t
ecl_decimal_from_double_15 (double d)
{
   BID_UINT128 exact, rounded;
   unsigned flags = 0;
   int binary, exponent;

   if (d == 0 || !isfinite (d)) {
      return ecl_decimal_from_double (d);
   }
   exact = binary64_to_bid128 (d, NEAREST_EVEN, &flags);
   /* 10^exponent is at most |d|, and more than a hundredth of it: too many digits show that it was more than a tenth.
    * The smaller exponent goes first: it keeps 0.9999999999999994 from being rounded to 1.00000000000000. */
   (void) frexp (d, &binary);
   exponent = (int) floor ((binary - 1) * 0.30103);
   rounded = bid128_quantize (exact, power_of_ten (exponent - 14), NEAREST_EVEN, &flags);
   if (rounded.w[0] >= 1000000000000000) {
      rounded = bid128_quantize (exact, power_of_ten (exponent - 13), NEAREST_EVEN, &flags);
   }
   return unbid (rounded);
}

ecl_decimal_t
ecl_decimal_from_number (const ecl_value_t *v)
{
   switch (v->type) {
   case BSON_TYPE_DECIMAL128:
      return ecl_decimal_of (v);
   case BSON_TYPE_DOUBLE:
      return ecl_decimal_from_double_15 (v->u.f64);
   default:
      return ecl_decimal_from_int64 (v->u.i64);
   }
}

double
ecl_decimal_to_double (ecl_decimal_t d)
{
   unsigned flags = 0;

   return bid128_to_binary64 (bid (d), NEAREST_EVEN, &flags);
}

bool
ecl_decimal_to_int64 (ecl_decimal_t d, int64_t *out)
{
   unsigned flags = 0;
   int64_t i = bid128_to_int64_xint (bid (d), &flags);

   /* Inexact: there was a fraction. Invalid: NaN, infinite or out of range. */
   if (flags & (BID_INEXACT_EXCEPTION | BID_INVALID_EXCEPTION)) {
      return false;
   }
   *out = i;
   return true;
}

bool
ecl_decimal_round_to_int64 (ecl_decimal_t d, ecl_round_t mode, int64_t *out)
{
   unsigned flags = 0;
   int64_t i;

   switch (mode) {
   case ECL_ROUND_DOWN:
      i = bid128_to_int64_floor (bid (d), &flags);
      break;
   case ECL_ROUND_UP:
      i = bid128_to_int64_ceil (bid (d), &flags);
      break;
   case ECL_ROUND_TO_ZERO:
      i = bid128_to_int64_int (bid (d), &flags);
      break;
   case ECL_ROUND_NEAREST_AWAY:
      i = bid128_to_int64_rninta (bid (d), &flags);
      break;
   case ECL_ROUND_NEAREST_EVEN:
   default:
      i = bid128_to_int64_rnint (bid (d), &flags);
      break;
   }
   if (flags & BID_INVALID_EXCEPTION) {
      return false;
   }
   *out = i;
   return true;
}

bool
ecl_decimal_is_infinite (ecl_decimal_t d)
{
   return bid128_isInf (bid (d)) != 0;
}

bool
ecl_decimal_is_negative (ecl_decimal_t d)
{
   return bid128_isSigned (bid (d)) != 0;
}

bool
ecl_decimal_is_nan (ecl_decimal_t d)
{
   return bid128_isNaN (bid (d)) != 0;
}

bool
ecl_decimal_is_zero (ecl_decimal_t d)
{
   return bid128_isZero (bid (d)) != 0;
}

int
ecl_decimal_compare (ecl_decimal_t a, ecl_decimal_t b)
{
   unsigned flags = 0;
   bool a_nan = ecl_decimal_is_nan (a), b_nan = ecl_decimal_is_nan (b);

   if (a_nan || b_nan) {
      return (int) b_nan - (int) a_nan;
   }
   if (bid128_quiet_equal (bid (a), bid (b), &flags)) {
      return 0;
   }
   return bid128_quiet_less (bid (a), bid (b), &flags) ? -1 : 1;
}

/* ---- text ---- */

size_t
ecl_decimal_to_string (ecl_decimal_t d, char out[ECL_DECIMAL_TEXT])
{
   bson_decimal128_t decimal = {.low = d.low, .high = d.high};

   /* Not Intel's own, which prints "+150E+1". */
   bson_decimal128_to_string (&decimal, out);
   return strlen (out);
}

static size_t
count_digits (const char *text, size_t len)
{
   size_t n = 0;

   while (n < len && ecl_is_digit (text[n])) {
      n++;
   }
   return n;
}

static bool
is_word (const char *text, size_t len, const char *word)
{
   return strlen (word) == len && strncasecmp (text, word, len) == 0;
}

/* Intel's reader makes a NaN of what it does not understand and stops at what follows: the form is checked here. */
static bool
is_decimal_text (const char *text, size_t len, bool *zero)
{
   size_t whole, fraction = 0, i;

   if (len && (text[0] == '+' || text[0] == '-')) {
      text++;
      len--;
   }
   if (is_word (text, len, "nan") || is_word (text, len, "inf") || is_word (text, len, "infinity")) {
      return true;
   }
   i = whole = count_digits (text, len);
   if (i < len && text[i] == '.') {
      fraction = count_digits (text + i + 1, len - i - 1);
      i += 1 + fraction;
   }
   *zero = true;
   for (size_t k = 0; k < i; k++) {
      *zero &= text[k] == '0' || text[k] == '.';
   }
   if (whole + fraction == 0) {
      return false;
   }
   if (i < len && (text[i] == 'e' || text[i] == 'E')) {
      size_t digits;

      i++;
      i += i < len && (text[i] == '+' || text[i] == '-');
      digits = count_digits (text + i, len - i);
      if (digits == 0) {
         return false;
      }
      i += digits;
   }
   return i == len;
}

ecl_decimal_text_t
ecl_decimal_from_string (ecl_arena_t *arena, const char *text, size_t len, ecl_decimal_t *out)
{
   unsigned flags = 0;
   bool zero = false;

   if (!is_decimal_text (text, len, &zero)) {
      return ECL_DECIMAL_TEXT_INVALID;
   }
   *out = unbid (bid128_from_string (ecl_arena_strndup (arena, text, len), NEAREST_EVEN, &flags));
   /* A zero whose exponent is out of range is still zero. */
   if (zero) {
      return ECL_DECIMAL_TEXT_OK;
   }
   return flags & BID_OVERFLOW_EXCEPTION    ? ECL_DECIMAL_TEXT_OVERFLOW
          : flags & BID_UNDERFLOW_EXCEPTION ? ECL_DECIMAL_TEXT_UNDERFLOW
                                            : ECL_DECIMAL_TEXT_OK;
}

/* ---- arithmetic ---- */

ecl_decimal_t
ecl_decimal_add (ecl_decimal_t a, ecl_decimal_t b)
{
   unsigned flags = 0;

   return unbid (bid128_add (bid (a), bid (b), NEAREST_EVEN, &flags));
}

ecl_decimal_t
ecl_decimal_sub (ecl_decimal_t a, ecl_decimal_t b)
{
   unsigned flags = 0;

   return unbid (bid128_sub (bid (a), bid (b), NEAREST_EVEN, &flags));
}

ecl_decimal_t
ecl_decimal_mul (ecl_decimal_t a, ecl_decimal_t b)
{
   unsigned flags = 0;

   return unbid (bid128_mul (bid (a), bid (b), NEAREST_EVEN, &flags));
}

ecl_decimal_t
ecl_decimal_div (ecl_decimal_t a, ecl_decimal_t b)
{
   unsigned flags = 0;

   return unbid (bid128_div (bid (a), bid (b), NEAREST_EVEN, &flags));
}

ecl_decimal_t
ecl_decimal_mod (ecl_decimal_t a, ecl_decimal_t b)
{
   unsigned flags = 0;

   return unbid (bid128_fmod (bid (a), bid (b), &flags));
}

ecl_decimal_t
ecl_decimal_abs (ecl_decimal_t d)
{
   return unbid (bid128_abs (bid (d)));
}

/* With as many digits as it can have: 1 becomes 1.000000000000000000000000000000000. */
static ecl_decimal_t
normalize (ecl_decimal_t d)
{
   /* A sum has the smaller exponent of its operands, as far as 34 digits allow: 0E-6176 has the smallest. */
   return ecl_decimal_add (d, (ecl_decimal_t){0, 0});
}

ecl_decimal_t
ecl_decimal_quantize (ecl_decimal_t d, int exponent, ecl_round_t mode)
{
   BID_UINT128 reference = power_of_ten (exponent);
   ecl_decimal_t full = normalize (d);
   unsigned flags = 0;

   if (ecl_decimal_is_nan (d) || ecl_decimal_is_infinite (d)) {
      return d;
   }
   /* More than 34 digits would be needed: Intel would give a NaN. */
   if (biased_exponent (bid (full)) > biased_exponent (reference)) {
      return full;
   }
   return unbid (bid128_quantize (bid (d), reference, (unsigned) mode, &flags));
}

ecl_decimal_t
ecl_decimal_pow (ecl_decimal_t base, ecl_decimal_t exponent)
{
   unsigned flags = 0;
   BID_UINT128 b = bid (base), e = bid (exponent), result;

   /* The server takes the exact ways for 10 and 2. */
   if (bid128_quiet_equal (b, bid128_from_int32 (10), &flags)) {
      result = bid128_exp10 (e, NEAREST_EVEN, &flags);
   } else if (bid128_quiet_equal (b, bid128_from_int32 (2), &flags)) {
      result = bid128_exp2 (e, NEAREST_EVEN, &flags);
   } else {
      result = bid128_pow (b, e, NEAREST_EVEN, &flags);
   }
   return normalize (unbid (result));
}

ecl_decimal_t
ecl_decimal_atan2 (ecl_decimal_t y, ecl_decimal_t x)
{
   unsigned flags = 0;

   return unbid (bid128_atan2 (bid (y), bid (x), NEAREST_EVEN, &flags));
}

#define X(name)                                                     \
   ecl_decimal_t ecl_decimal_##name (ecl_decimal_t d)               \
   {                                                                \
      unsigned flags = 0;                                           \
                                                                    \
      return unbid (bid128_##name (bid (d), NEAREST_EVEN, &flags)); \
   }
ECL_DECIMAL_UNARY (X)
#undef X
