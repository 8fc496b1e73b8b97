/* Values as strings, and UTF-8 as the server's string operators read it. */
#ifndef ECL_MQL_COERCE_H
#define ECL_MQL_COERCE_H

#include "mql/expr.h"

/* A string that is computed is refused beyond this, with the code that a document which is too large has. */
#define ECL_STRING_TOO_LARGE 10334

#define ECL_DOUBLE_TEXT 32

/* "0.1", "1", "1e+16", "-0", "NaN", "-Infinity": the shortest digits that read back as the same double, as $toString
 * gives it; returns the length. Independent of the locale. */
size_t
ecl_double_to_string (double d, char out[ECL_DOUBLE_TEXT]);

/* *v as the string that $toLower, $substrBytes and their like make of it: "" for null and missing, numbers, dates and
 * timestamps as text (doubles with six digits, unlike in $toString). Fails with 16007 for other types. */
bool
ecl_coerce_string (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *v);

/* False, after failing, where a string of that length would be too large. */
bool
ecl_check_string_size (const ecl_expr_t *self, ecl_eval_t *ev, uint64_t len);

static inline bool
ecl_is_continuation (char c)
{
   return ((uint8_t) c & 0xC0) == 0x80;
}

/* Bytes of the character that begins with c; 1 where c cannot begin one. */
static inline uint32_t
ecl_utf8_length (char c)
{
   uint8_t u = (uint8_t) c;

   return u < 0xC0 ? 1 : u < 0xE0 ? 2 : u < 0xF0 ? 3 : u < 0xF8 ? 4 : 1;
}

/* Characters in len bytes: all bytes that are no continuation. */
size_t
ecl_utf8_count (const char *text, size_t len);

/* The first place of needle at or after from, or SIZE_MAX. Linear. */
size_t
ecl_find_bytes (const char *text, size_t len, size_t from, const char *needle, size_t needle_len);

#endif
