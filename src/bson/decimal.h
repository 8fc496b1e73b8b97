/* Decimal128: arithmetic by Intel's decimal floating-point library, as in the server.
 *
 * Values are passed as ecl_decimal_t, 16 bytes as BSON holds them (little endian hosts only; asserted in decimal.c).
 * Rounding is to nearest, ties to even, unless a function says otherwise.
 */
#ifndef ECL_BSON_DECIMAL_H
#define ECL_BSON_DECIMAL_H

#include "bson/value.h"

typedef struct {
   uint64_t low, high;
} ecl_decimal_t;

/* The number that a decimal128 value holds. */
ecl_decimal_t
ecl_decimal_of (const ecl_value_t *v);

/* A value of that number in the arena. */
ecl_value_t
ecl_decimal_value (ecl_arena_t *arena, ecl_decimal_t d);

ecl_decimal_t
ecl_decimal_from_int64 (int64_t i);

/* All 34 digits that the double's exact value rounds to. */
ecl_decimal_t
ecl_decimal_from_double (double d);

/* The double nearest to it. */
double
ecl_decimal_to_double (ecl_decimal_t d);

bool
ecl_decimal_is_nan (ecl_decimal_t d);

bool
ecl_decimal_is_zero (ecl_decimal_t d);

/* True where it is integral and fits. */
bool
ecl_decimal_to_int64 (ecl_decimal_t d, int64_t *out);

/* NaN equals NaN and is below everything else. */
int
ecl_decimal_compare (ecl_decimal_t a, ecl_decimal_t b);

#endif
