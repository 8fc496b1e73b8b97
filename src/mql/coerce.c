/* Values as strings: see coerce.h. */
#include "mql/coerce.h"

#include "base/ascii.h"
#include "bson/date.h"
#include "bson/decimal.h"
#include "text/number.h"

#include <math.h>
#include <stdio.h>

/* Writes what stands for zero and for no number; 0 where d is another. */
static size_t
special_text (double d, char *out)
{
   const char *text = isnan (d)   ? "NaN"
                      : isinf (d) ? (d < 0 ? "-Infinity" : "Infinity")
                      : d == 0    ? (signbit (d) ? "-0" : "0")
                                  : "";
   size_t len = strlen (text);

   memcpy (out, text, len + 1);
   return len;
}

/* Text of the form %e as %g writes it: an exponent below -4 or from `most` on, else none. printf takes its decimal
 * point from the locale, so only the digits of `raw` are read. */
static size_t
lay_out (const char *raw, int most, char *out)
{
   char digits[20];
   int n = 0, exponent = 0;
   const char *p = raw;
   char *o = out;

   if (*p == '-') {
      *o++ = '-';
   }
   for (; *p && *p != 'e'; p++) {
      if (ecl_is_digit (*p) && n < (int) sizeof digits) {
         digits[n++] = *p;
      }
   }
   if (*p == 'e') {
      bool below = p[1] == '-';

      for (p += 2; ecl_is_digit (*p); p++) {
         exponent = exponent * 10 + (*p - '0');
      }
      exponent = below ? -exponent : exponent;
   }
   while (n > 1 && digits[n - 1] == '0') {
      n--;
   }
   if (exponent < -4 || exponent >= most) {
      *o++ = digits[0];
      if (n > 1) {
         *o++ = '.';
         memcpy (o, digits + 1, (size_t) n - 1);
         o += n - 1;
      }
      *o++ = 'e';
      *o++ = exponent < 0 ? '-' : '+';
      o = ecl_put_digits (o, exponent < 0 ? -exponent : exponent, 2);
   } else if (exponent < 0) {
      *o++ = '0';
      *o++ = '.';
      for (int i = -1; i > exponent; i--) {
         *o++ = '0';
      }
      memcpy (o, digits, (size_t) n);
      o += n;
   } else {
      for (int i = 0; i <= exponent; i++) {
         *o++ = i < n ? digits[i] : '0';
      }
      if (n > exponent + 1) {
         *o++ = '.';
         memcpy (o, digits + exponent + 1, (size_t) (n - exponent - 1));
         o += n - exponent - 1;
      }
   }
   *o = '\0';
   return (size_t) (o - out);
}

size_t
ecl_double_to_string (double d, char out[ECL_DOUBLE_TEXT])
{
   char digits[ECL_TEXT_DIGITS_MAX], raw[48];
   size_t len = special_text (d, out);
   int exponent;

   if (len) {
      return len;
   }
   exponent = ecl_text_shortest (d, digits);
   snprintf (raw, sizeof raw, "%s%se%+d", d < 0 ? "-" : "", digits, exponent);
   return lay_out (raw, 16, out);
}

/* "1.23457e+06": the server's StringBuilder prints a double with %g. */
static size_t
double_to_short_string (double d, char out[ECL_DOUBLE_TEXT])
{
   char raw[48];
   size_t len = special_text (d, out);

   if (len) {
      return len;
   }
   snprintf (raw, sizeof raw, "%.5e", d);
   return lay_out (raw, 6, out);
}

/* "Dec 25 18:02:06:3": ctime without the day of the week and the year, and the increment. */
static ecl_value_t
timestamp_text (ecl_arena_t *arena, uint64_t timestamp)
{
   static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
   ecl_civil_t civil;
   const char *text;

   ecl_date_split ((int64_t) (timestamp >> 32) * ECL_MS_PER_SECOND, &civil);
   text = ecl_arena_printf (arena, "%s %2d %02d:%02d:%02d:%u", months[civil.month - 1], civil.day, civil.hour,
                            civil.minute, civil.second, (unsigned) (timestamp & UINT32_MAX));
   return ecl_string (text, strlen (text));
}

bool
ecl_coerce_string (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *v)
{
   char text[64];
   size_t len;

   switch (v->type) {
   case BSON_TYPE_UTF8:
      return true;
   case BSON_TYPE_CODE:
   case BSON_TYPE_SYMBOL:
      *v = ecl_string (v->u.str, v->len);
      return true;
   case ECL_MISSING:
   case BSON_TYPE_NULL:
   case BSON_TYPE_UNDEFINED:
      *v = ecl_string ("", 0);
      return true;
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
      len = (size_t) snprintf (text, sizeof text, "%lld", (long long) v->u.i64);
      break;
   case BSON_TYPE_DOUBLE:
      len = double_to_short_string (v->u.f64, text);
      break;
   case BSON_TYPE_DECIMAL128:
      len = ecl_decimal_to_string (ecl_decimal_of (v), text);
      break;
   case BSON_TYPE_DATE_TIME:
      len = ecl_date_to_iso (v->u.i64, text);
      if (!len) {
         return ecl_eval_fail (ev, self, 18537, "failed while coercing date to string: the year is outside 0 … 9999");
      }
      break;
   case BSON_TYPE_TIMESTAMP:
      *v = timestamp_text (&ev->arena, (uint64_t) v->u.i64);
      return true;
   default:
      return ecl_eval_fail (ev, self, 16007, "can't convert from BSON type %s to String", ecl_type_name (v->type));
   }
   *v = ecl_string (ecl_arena_strndup (&ev->arena, text, len), len);
   return true;
}

bool
ecl_check_string_size (const ecl_expr_t *self, ecl_eval_t *ev, uint64_t len)
{
   return len <= ECL_BSON_MAX_INTERNAL_SIZE ||
          ecl_eval_fail (ev, self, ECL_STRING_TOO_LARGE, "the result of %s would have %llu bytes, more than %u",
                         self->op->name, (unsigned long long) len, ECL_BSON_MAX_INTERNAL_SIZE);
}

static inline unsigned
continuations (uint64_t word)
{
   word = word >> 7 & ~word >> 6 & 0x0101010101010101ull;
   return (unsigned) (word * 0x0101010101010101ull >> 56);
}

size_t
ecl_utf8_count (const char *text, size_t len)
{
   size_t n = len, i = 0;
   uint64_t word;

   if (len < 8) {
      for (; i < len; i++) {
         n -= ecl_is_continuation (text[i]);
      }
      return n;
   }
   /* Eight bytes at once: those with the top bits 10 are marked, then the marks are added up. */
   for (; i + 8 <= len; i += 8) {
      memcpy (&word, text + i, 8);
      n -= continuations (word);
   }
   if (i < len) {
      /* The last eight, without those that are counted. */
      memcpy (&word, text + len - 8, 8);
      n -= continuations (BSON_UINT64_FROM_LE (word) >> (8 * (i + 8 - len)));
   }
   return n;
}

size_t
ecl_find_bytes (const char *text, size_t len, size_t from, const char *needle, size_t needle_len)
{
   const char *found;

   if (from > len || needle_len > len - from) {
      return SIZE_MAX;
   }
   if (needle_len == 0) {
      return from;
   }
   found = needle_len == 1 ? memchr (text + from, *needle, len - from)
                           : memmem (text + from, len - from, needle, needle_len);
   return found ? (size_t) (found - text) : SIZE_MAX;
}
