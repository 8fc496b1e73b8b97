/* Numbers and dates as text: see number.h. */
#include "text/number.h"

#include "base/ascii.h"
#include "bson/date.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
ecl_text_parse_digits (const char *text, size_t n, unsigned base, int64_t *out)
{
   uint64_t value = 0;

   if (!n) {
      return false;
   }
   for (size_t i = 0; i < n; i++) {
      unsigned digit = (unsigned) ecl_hex_digit (text[i]); /* none: larger than any base */

      if (digit >= base || value > ((uint64_t) INT64_MAX - digit) / base) {
         return false;
      }
      value = value * base + digit;
   }
   *out = (int64_t) value;
   return true;
}

bool
ecl_text_parse_int (const char *text, size_t n, int64_t *out)
{
   bool minus = n && text[0] == '-';
   uint64_t limit = (uint64_t) INT64_MAX + (minus ? 1u : 0u);
   uint64_t value = 0;
   size_t i = n && (text[0] == '-' || text[0] == '+') ? 1 : 0;

   if (i == n) {
      return false;
   }
   for (; i < n; i++) {
      uint64_t digit = (uint64_t) (text[i] - '0');

      if (!ecl_is_digit (text[i]) || value > (limit - digit) / 10) {
         return false;
      }
      value = value * 10 + digit;
   }
   *out = minus ? (int64_t) (0 - value) : (int64_t) value;
   return true;
}

bool
ecl_text_is_decimal (const char *text, size_t n)
{
   size_t i = n && (text[0] == '-' || text[0] == '+') ? 1 : 0;
   size_t digits = 0;
   bool point = false;

   for (; i < n && (ecl_is_digit (text[i]) || (text[i] == '.' && !point)); i++) {
      point |= text[i] == '.';
      digits += text[i] != '.';
   }
   if (!digits) {
      return false;
   }
   if (i == n) {
      return true;
   }
   if (text[i] != 'e' && text[i] != 'E') {
      return false;
   }
   i++;
   i += i < n && (text[i] == '-' || text[i] == '+');
   if (i == n) {
      return false;
   }
   for (; i < n && ecl_is_digit (text[i]); i++) {
   }
   return i == n;
}

bool
ecl_text_parse_double (const char *text, size_t n, double *out)
{
   /* Without its point a number reads the same in every locale: 1.25e3 is 125e1. */
   char small[64];
   size_t cap = n + 32;
   char *plain = cap <= sizeof small ? small : bson_malloc (cap);
   size_t len = 0;
   size_t i = 0;
   long long fraction = 0;
   long long exponent = 0;
   bool point = false;

   if (i < n && (text[i] == '-' || text[i] == '+')) {
      plain[len++] = text[i++];
   }
   for (; i < n && text[i] != 'e' && text[i] != 'E'; i++) {
      if (text[i] == '.') {
         point = true;
      } else {
         plain[len++] = text[i];
         fraction += point;
      }
   }
   if (i < n) {
      bool minus = text[++i] == '-';

      i += text[i] == '-' || text[i] == '+';
      for (; i < n; i++) {
         /* Far beyond what any fraction within a source could bring back. */
         if (exponent < 1000000000) {
            exponent = exponent * 10 + (text[i] - '0');
         }
      }
      exponent = minus ? -exponent : exponent;
   }
   snprintf (plain + len, cap - len, "e%lld", exponent - fraction);
   *out = strtod (plain, NULL);
   if (plain != small) {
      bson_free (plain);
   }
   return isfinite (*out);
}

/* The digits of value's magnitude, rounded to precision of them, and the exponent of the first. */
static int
digits_of (double value, int precision, char *digits)
{
   char text[64];
   size_t n = 0;
   const char *c = text;

   snprintf (text, sizeof text, "%.*e", precision - 1, fabs (value));
   for (; *c && *c != 'e'; c++) {
      /* Whatever stands between the first two digits is the locale's point. */
      if (ecl_is_digit (*c)) {
         digits[n++] = *c;
      }
   }
   digits[n] = '\0';
   return *c ? (int) strtol (c + 1, NULL, 10) : 0;
}

static bool
reads_back (const char *digits, int exponent, double value)
{
   char text[64];

   snprintf (text, sizeof text, "%se%d", digits, exponent - (int) strlen (digits) + 1);
   return strtod (text, NULL) == fabs (value);
}

int
ecl_text_shortest (double value, char digits[ECL_TEXT_DIGITS_MAX])
{
   /* Fifteen digits are the shortest of a normal double once its zeros are off; a subnormal may need far fewer. */
   int precision = fabs (value) < 0x1p-1022 ? 1 : 15;
   int exponent;

   for (;; precision++) {
      exponent = digits_of (value, precision, digits);
      if (precision >= 17 || reads_back (digits, exponent, value)) {
         break;
      }
      if (precision == 16 && digits[15] < '9') {
         /* Above a power of two the gap is wider than below: the next decimal may hit where the nearest misses. */
         digits[15]++;
         if (reads_back (digits, exponent, value)) {
            break;
         }
      }
   }
   for (size_t n = strlen (digits); n > 1 && digits[n - 1] == '0'; n--) {
      digits[n - 1] = '\0';
   }
   return exponent;
}

void
ecl_text_format_double (double value, char out[ECL_TEXT_DOUBLE_MAX])
{
   char digits[ECL_TEXT_DIGITS_MAX];
   const char *sign = signbit (value) ? "-" : "";
   int exponent;
   int n;

   if (isnan (value)) {
      snprintf (out, ECL_TEXT_DOUBLE_MAX, "NaN");
      return;
   }
   if (isinf (value)) {
      snprintf (out, ECL_TEXT_DOUBLE_MAX, "%sInfinity", sign);
      return;
   }
   if (value == 0) {
      snprintf (out, ECL_TEXT_DOUBLE_MAX, "%s0.0", sign);
      return;
   }
   exponent = ecl_text_shortest (value, digits);
   n = (int) strlen (digits);
   if (exponent >= 16 || exponent < -6) {
      snprintf (out, ECL_TEXT_DOUBLE_MAX, "%s%c%s%se%c%d", sign, digits[0], n > 1 ? "." : "", digits + 1,
                exponent < 0 ? '-' : '+', abs (exponent));
   } else if (exponent < 0) {
      snprintf (out, ECL_TEXT_DOUBLE_MAX, "%s0.%.*s%s", sign, -exponent - 1, "000000", digits);
   } else if (n <= exponent + 1) {
      snprintf (out, ECL_TEXT_DOUBLE_MAX, "%s%s%.*s.0", sign, digits, exponent + 1 - n, "000000000000000");
   } else {
      snprintf (out, ECL_TEXT_DOUBLE_MAX, "%s%.*s.%s", sign, exponent + 1, digits, digits + exponent + 1);
   }
}

static bool
two_digits (const char *text, size_t n, size_t at, int limit, int *out)
{
   if (at + 2 > n || !ecl_is_digit (text[at]) || !ecl_is_digit (text[at + 1])) {
      return false;
   }
   *out = (text[at] - '0') * 10 + (text[at + 1] - '0');
   return *out <= limit;
}

bool
ecl_text_parse_date (const char *text, size_t n, int64_t *out)
{
   ecl_civil_t civil = {0};
   int century, year, month, day, hour, minute, second;
   int zone_hour = 0;
   int zone_minute = 0;
   int64_t zone = 0;
   size_t i = 19;

   if (n < 20 || !two_digits (text, n, 0, 99, &century) || !two_digits (text, n, 2, 99, &year) || text[4] != '-' ||
       !two_digits (text, n, 5, 12, &month) || text[7] != '-' || !two_digits (text, n, 8, 31, &day) ||
       text[10] != 'T' || !two_digits (text, n, 11, 23, &hour) || text[13] != ':' ||
       !two_digits (text, n, 14, 59, &minute) || text[16] != ':' || !two_digits (text, n, 17, 59, &second)) {
      return false;
   }
   civil = (ecl_civil_t){century * 100 + year, month, day, hour, minute, second, 0};
   if (month < 1 || day < 1 || day > ecl_days_in_month (civil.year, month)) {
      return false;
   }
   if (text[i] == '.') {
      int unit = 100;

      for (i++; i < n && ecl_is_digit (text[i]); i++, unit /= 10) {
         if (!unit) {
            return false; /* finer than a millisecond: it would be lost */
         }
         civil.millisecond += (text[i] - '0') * unit;
      }
      if (unit == 100) {
         return false;
      }
   }
   if (i + 1 != n || text[i] != 'Z') {
      if (i >= n || (text[i] != '+' && text[i] != '-') || !two_digits (text, n, i + 1, 23, &zone_hour)) {
         return false;
      }
      zone = text[i] == '-' ? -1 : 1;
      i += 3;
      if (i < n) {
         i += text[i] == ':';
         if (!two_digits (text, n, i, 59, &zone_minute) || i + 2 != n) {
            return false;
         }
      }
      zone *= zone_hour * ECL_MS_PER_HOUR + zone_minute * ECL_MS_PER_MINUTE;
   }
   if (!ecl_date_join (&civil, out)) {
      return false;
   }
   *out -= zone;
   return true;
}

bool
ecl_text_format_date (int64_t ms, char out[ECL_TEXT_DATE_MAX])
{
   size_t n = ms < 0 ? 0 : ecl_date_to_iso (ms, out);

   if (n && ms % ECL_MS_PER_SECOND == 0) {
      /* Extended JSON leaves a fraction of zero out: ".000Z". */
      memcpy (out + n - 5, "Z", 2);
   }
   return n != 0;
}

size_t
ecl_text_utf8 (const uint8_t *p, size_t n)
{
   size_t len;
   uint32_t c;
   uint32_t least;

   if (!n) {
      return 0;
   }
   if (p[0] < 0x80) {
      return 1;
   }
   if ((p[0] & 0xe0) == 0xc0) {
      len = 2;
      c = p[0] & 0x1fu;
      least = 0x80;
   } else if ((p[0] & 0xf0) == 0xe0) {
      len = 3;
      c = p[0] & 0x0fu;
      least = 0x800;
   } else if ((p[0] & 0xf8) == 0xf0) {
      len = 4;
      c = p[0] & 0x07u;
      least = 0x10000;
   } else {
      return 0;
   }
   if (n < len) {
      return 0;
   }
   for (size_t i = 1; i < len; i++) {
      if ((p[i] & 0xc0) != 0x80) {
         return 0;
      }
      c = c << 6 | (p[i] & 0x3fu);
   }
   return c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : len;
}

size_t
ecl_text_clean (const char *bytes, size_t n, char *out, size_t size)
{
   size_t k = 0;

   while (k < n) {
      /* It is as long as it was: what is replaced goes byte by byte. */
      size_t len = bytes[k] ? ecl_text_utf8 ((const uint8_t *) bytes + k, n - k) : 0;

      if (k + (len ? len : 1) >= size) {
         break;
      }
      if (len) {
         memmove (out + k, bytes + k, len);
      } else {
         out[k] = '?';
      }
      k += len ? len : 1;
   }
   out[k] = '\0';
   return k;
}
