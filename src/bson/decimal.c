/* Decimal128: see decimal.h. The only file of src/bson that includes Intel's headers.
 *
 * Debian ships the library in eight variants by calling convention; 000 passes arguments by value and rounding mode and
 * status flags as parameters, so nothing here is global. The three macros must stand before bid_conf.h.
 */
#include "bson/decimal.h"

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

_Static_assert (sizeof (ecl_decimal_t) == sizeof (BID_UINT128), "a decimal has 16 bytes");
_Static_assert (BSON_BYTE_ORDER == BSON_LITTLE_ENDIAN, "decimals are read as the host's integers");

#define NEAREST_EVEN 0

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
