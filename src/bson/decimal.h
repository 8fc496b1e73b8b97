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

/* Intel's numbers. */
typedef enum {
   ECL_ROUND_NEAREST_EVEN = 0,
   ECL_ROUND_DOWN = 1,
   ECL_ROUND_UP = 2,
   ECL_ROUND_TO_ZERO = 3,
   ECL_ROUND_NEAREST_AWAY = 4,
} ecl_round_t;

/* The number that a decimal128 value holds. */
ecl_decimal_t
ecl_decimal_of (const ecl_value_t *v);

/* A value of that number in the arena. */
ecl_value_t
ecl_decimal_value (ecl_arena_t *arena, ecl_decimal_t d);

ecl_decimal_t
ecl_decimal_from_int64 (int64_t i);

/* All 34 digits that the double's exact value rounds to: how the server compares and sums. */
ecl_decimal_t
ecl_decimal_from_double (double d);

/* Exactly 15 digits (0.1 gives 0.100000000000000): how the server converts, and what a double is beside a decimal in
 * $add, $multiply, … . */
ecl_decimal_t
ecl_decimal_from_double_15 (double d);

/* The decimal that a BSON number is beside other decimals; doubles by 15 digits. */
ecl_decimal_t
ecl_decimal_from_number (const ecl_value_t *v);

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

/* The integer that it rounds to; false where it is NaN, infinite or out of range. */
bool
ecl_decimal_round_to_int64 (ecl_decimal_t d, ecl_round_t mode, int64_t *out);

bool
ecl_decimal_is_infinite (ecl_decimal_t d);

/* The sign bit: true for -0 and for a NaN that carries it. */
bool
ecl_decimal_is_negative (ecl_decimal_t d);

/* NaN equals NaN and is below everything else. */
int
ecl_decimal_compare (ecl_decimal_t a, ecl_decimal_t b);

/* ---- text ---- */

#define ECL_DECIMAL_TEXT 43

/* "1.50", "1E+3", "NaN", "-Infinity", as MongoDB prints it; returns the length without the terminator. */
size_t
ecl_decimal_to_string (ecl_decimal_t d, char out[ECL_DECIMAL_TEXT]);

typedef enum {
   ECL_DECIMAL_TEXT_OK, /* rounded to 34 digits where it has more */
   ECL_DECIMAL_TEXT_INVALID,
   ECL_DECIMAL_TEXT_OVERFLOW,
   ECL_DECIMAL_TEXT_UNDERFLOW,
} ecl_decimal_text_t;

/* The whole text: sign, digits with one dot, exponent; nan, inf, infinity in any case. No blanks. *out is set where the
 * text is not INVALID. The arena holds a copy meanwhile. */
ecl_decimal_text_t
ecl_decimal_from_string (ecl_arena_t *arena, const char *text, size_t len, ecl_decimal_t *out);

/* ---- arithmetic ---- */

ecl_decimal_t
ecl_decimal_add (ecl_decimal_t a, ecl_decimal_t b);

ecl_decimal_t
ecl_decimal_sub (ecl_decimal_t a, ecl_decimal_t b);

ecl_decimal_t
ecl_decimal_mul (ecl_decimal_t a, ecl_decimal_t b);

ecl_decimal_t
ecl_decimal_div (ecl_decimal_t a, ecl_decimal_t b);

/* What is left of a after the division whose quotient is rounded towards zero: fmod. */
ecl_decimal_t
ecl_decimal_mod (ecl_decimal_t a, ecl_decimal_t b);

ecl_decimal_t
ecl_decimal_abs (ecl_decimal_t d);

/* Rounded to a multiple of 10^exponent and written with that exponent; all its digits where it has no digit there or
 * the result would need more than 34 of them. exponent is in -6176 … 6111. */
ecl_decimal_t
ecl_decimal_quantize (ecl_decimal_t d, int exponent, ecl_round_t mode);

/* base^exponent, normalized. */
ecl_decimal_t
ecl_decimal_pow (ecl_decimal_t base, ecl_decimal_t exponent);

ecl_decimal_t
ecl_decimal_atan2 (ecl_decimal_t y, ecl_decimal_t x);

/* ecl_decimal_sqrt (d), … */
/* clang-format off */
#define ECL_DECIMAL_UNARY(X)                                                                                           \
   X (sqrt) X (exp) X (log) X (log10)                                                                                  \
   X (sin) X (cos) X (tan) X (asin) X (acos) X (atan)                                                                  \
   X (sinh) X (cosh) X (tanh) X (asinh) X (acosh) X (atanh)
/* clang-format on */

#define X(name) ecl_decimal_t ecl_decimal_##name (ecl_decimal_t d);
ECL_DECIMAL_UNARY (X)
#undef X

#endif
