/* Versions: see version.h. */
#include "project/version.h"

#include "base/ascii.h"
#include "mql/expr.h"

#include <inttypes.h>
#include <stdio.h>

#define PARTS 4
#define PART_MAX 65535u
#define FIRST_PART_MAX 32767u

static unsigned
part_of (ecl_version_t version, int i)
{
   return (unsigned) ((uint64_t) version >> (16 * (PARTS - 1 - i)) & PART_MAX);
}

const char *
ecl_version_text (ecl_version_format_t format, ecl_version_t version, char text[ECL_VERSION_TEXT])
{
   int n = PARTS, len;

   if (format == ECL_VERSION_INTEGER) {
      snprintf (text, ECL_VERSION_TEXT, "%" PRId64, version);
      return text;
   }
   while (n > 2 && !part_of (version, n - 1)) {
      n--;
   }
   len = snprintf (text, ECL_VERSION_TEXT, "%u", part_of (version, 0));
   for (int i = 1; i < n; i++) {
      len += snprintf (text + len, (size_t) (ECL_VERSION_TEXT - len), ".%u", part_of (version, i));
   }
   return text;
}

/* Decimal digits without leading zeros, up to max. Moves *text behind them. */
static bool
parse_number (const char **text, const char *end, uint64_t max, uint64_t *number)
{
   const char *p = *text;

   if (p == end || !ecl_is_digit (*p) || (*p == '0' && p + 1 < end && ecl_is_digit (p[1]))) {
      return false;
   }
   *number = 0;
   for (; p < end && ecl_is_digit (*p); p++) {
      *number = 10 * *number + (uint64_t) (*p - '0');
      if (*number > max) {
         return false;
      }
   }
   *text = p;
   return true;
}

bool
ecl_version_parse (ecl_version_format_t format, const char *text, size_t len, ecl_version_t *version)
{
   const char *end = text + len;
   uint64_t part;
   uint64_t packed = 0;

   if (format == ECL_VERSION_INTEGER) {
      if (!parse_number (&text, end, INT32_MAX, &part) || text != end) {
         return false;
      }
      *version = (ecl_version_t) part;
      return true;
   }
   for (int i = 0; i < PARTS; i++) {
      if (!parse_number (&text, end, i ? PART_MAX : FIRST_PART_MAX, &part)) {
         return false;
      }
      packed |= part << (16 * (PARTS - 1 - i));
      if (text == end) {
         *version = (ecl_version_t) packed;
         return true;
      }
      if (*text++ != '.') {
         return false;
      }
   }
   return false;
}

bool
ecl_version_from_file (ecl_version_format_t format, const ecl_value_t *value, ecl_version_t *version)
{
   if (ecl_is_string (value)) {
      return ecl_version_parse (format, value->u.str, value->len, version);
   }
   /* A number such as 1.2 is not taken for a dotted version: 1.20 would be the same number. */
   if (value->type == BSON_TYPE_INT32 || value->type == BSON_TYPE_INT64) {
      *version = value->u.i64;
      if (format == ECL_VERSION_INTEGER) {
         return *version >= 0 && *version <= INT32_MAX;
      }
      *version = (ecl_version_t) ((uint64_t) value->u.i64 << 48);
      return value->u.i64 >= 0 && value->u.i64 <= FIRST_PART_MAX;
   }
   return false;
}

bool
ecl_version_from_document (ecl_version_format_t format, const ecl_value_t *value, ecl_version_t *version)
{
   if (format == ECL_VERSION_DOTTED) {
      return ecl_is_string (value) && ecl_version_parse (format, value->u.str, value->len, version);
   }
   if (value->type == BSON_TYPE_INT32 || value->type == BSON_TYPE_INT64) {
      *version = value->u.i64;
      return *version >= 0;
   }
   return ecl_is_number (value) && ecl_number_to_int64 (value, version) && *version >= 0;
}

ecl_value_t
ecl_version_value (ecl_version_format_t format, ecl_version_t version, ecl_arena_t *arena)
{
   char text[ECL_VERSION_TEXT];

   switch (format) {
   case ECL_VERSION_INTEGER:
      return ecl_int32 ((int32_t) version);
   case ECL_VERSION_PACKED:
      return ecl_int64 (version);
   case ECL_VERSION_DOTTED:
      break;
   }
   ecl_version_text (format, version, text);
   return ecl_string (ecl_arena_strndup (arena, text, strlen (text)), strlen (text));
}

const char *
ecl_version_expected (ecl_version_format_t format)
{
   switch (format) {
   case ECL_VERSION_INTEGER:
      return "a whole number from 0 to 2147483647";
   case ECL_VERSION_DOTTED:
      return "a string such as \"1.2.0\", of one to four numbers up to 65535 (the first one up to 32767)";
   case ECL_VERSION_PACKED:
      break;
   }
   return "a string such as \"1.2\", of one to four numbers up to 65535 (the first one up to 32767)";
}
