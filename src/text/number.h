/* Numbers and dates as text, independent of the locale: strtod and printf take their decimal point from it. And bytes
 * as text. */
#ifndef ECL_TEXT_NUMBER_H
#define ECL_TEXT_NUMBER_H

#include "base/error.h"

/* [+-]digits within an int64, all n bytes. */
bool
ecl_text_parse_int (const char *text, size_t n, int64_t *out) ECL_MUST_CHECK;

/* The digits of a base up to 16, without prefix, within an int64. */
bool
ecl_text_parse_digits (const char *text, size_t n, unsigned base, int64_t *out) ECL_MUST_CHECK;

/* [+-] digits with at most one point, at least one digit, then perhaps e[+-]digits; all n bytes. */
bool
ecl_text_is_decimal (const char *text, size_t n);

/* What ecl_text_is_decimal accepts, correctly rounded; false where it is too large for a double. */
bool
ecl_text_parse_double (const char *text, size_t n, double *out) ECL_MUST_CHECK;

#define ECL_TEXT_DIGITS_MAX 20 /* 17 and a NUL, with room */

/* The shortest digits that read back as the magnitude of a double that is finite and not zero; returns the exponent of
 * the first. */
int
ecl_text_shortest (double value, char digits[ECL_TEXT_DIGITS_MAX]);

#define ECL_TEXT_DOUBLE_MAX 40

/* The shortest digits that read back as the same double, always with a point or an exponent: 1.0, 0.1, 1e+16,
 * 1.5e-7; Infinity, -Infinity, NaN. */
void
ecl_text_format_double (double value, char out[ECL_TEXT_DOUBLE_MAX]);

/* RFC 3339 with up to three digits of a second's fraction, as milliseconds since 1970. */
bool
ecl_text_parse_date (const char *text, size_t n, int64_t *out) ECL_MUST_CHECK;

#define ECL_TEXT_DATE_MAX 32

/* The same way back, in UTC; false where the year is not within 1970 and 9999. */
bool
ecl_text_format_date (int64_t ms, char out[ECL_TEXT_DATE_MAX]) ECL_MUST_CHECK;

/* Appended text is UTF-8 without surrogates: the length of the sequence at p, 0 where there is none. */
size_t
ecl_text_utf8 (const uint8_t *p, size_t n);

/* n bytes as text that a record can hold: each that is of no character of UTF-8, and each NUL, becomes a question mark.
 * Whole characters, as many as there is room for in size bytes with the NUL behind them. out may be bytes; returns the
 * length. */
size_t
ecl_text_clean (const char *bytes, size_t n, char *out, size_t size);

#endif
