/* YAML: plain scalars and the source around them. See yaml_scalar.h. */
#include "text/yaml_scalar.h"

#include "text/number.h"

#include <math.h>

static size_t
width (const ecl_yaml_source_t *self, size_t at)
{
   size_t n = ecl_text_utf8 (self->bytes + at, self->len - at);

   return n ? n : 1;
}

size_t
ecl_yaml_offset (ecl_yaml_source_t *self, yaml_mark_t mark)
{
   while (self->index < mark.index && self->byte < self->len) {
      self->byte += width (self, self->byte);
      self->index++;
   }
   while (self->index > mark.index && self->byte) {
      do {
         self->byte--;
      } while (self->byte && (self->bytes[self->byte] & 0xc0) == 0x80);
      self->index--;
   }
   return self->byte;
}

bool
ecl_yaml_check_bytes (ecl_build_t *build, const uint8_t *bytes, size_t len)
{
   ecl_place_t place = {1, 1};

   for (size_t i = 0; i < len;) {
      const uint8_t *p = bytes + i;
      size_t n = ecl_text_utf8 (p, len - i);

      if (!n) {
         return ecl_build_diag (build, ECL_DIAG_ERROR, ECL_ERROR_SYNTAX, place, "not valid UTF-8 (byte 0x%02x)",
                                (unsigned) *p);
      }
      if ((n == 1 && ((*p < 0x20 && *p != '\t' && *p != '\n' && *p != '\r') || *p == 0x7f)) ||
          (n == 2 && p[0] == 0xc2 && p[1] < 0xa0 && p[1] != 0x85) ||
          (n == 3 && p[0] == 0xef && ((p[1] == 0xbb && p[2] == 0xbf) || (p[1] == 0xbf && p[2] >= 0xbe)))) {
         return ecl_build_diag (build, ECL_DIAG_ERROR, ECL_ERROR_SYNTAX, place,
                                "a character that YAML does not allow (byte 0x%02x): write it as an escape in double "
                                "quotes",
                                (unsigned) *p);
      }
      i += n;
      place.column++;
      /* What libyaml takes for the end of a line: LF, CR, CR LF, NEL, LS, PS. */
      if (*p == '\n' || (*p == '\r' && !(i < len && bytes[i] == '\n')) || (n == 2 && p[0] == 0xc2 && p[1] == 0x85) ||
          (n == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))) {
         place.line++;
         place.column = 1;
      }
   }
   return true;
}

static bool
is (const char *text, size_t n, const char *a, const char *b, const char *c)
{
   return (strlen (a) == n && memcmp (text, a, n) == 0) || (strlen (b) == n && memcmp (text, b, n) == 0) ||
          (strlen (c) == n && memcmp (text, c, n) == 0);
}

static void
too_large (ecl_build_t *build, ecl_place_t place, const char *text, size_t n, const char *type)
{
   ecl_build_diag (build, ECL_DIAG_ERROR, ECL_ERROR_INVALID, place,
                   "the number %.*s%s does not fit %s: quote it if it is text", n > 40 ? 40 : (int) n, text,
                   n > 40 ? "…" : "", type);
   ecl_build_null (build);
}

static void
integer (ecl_build_t *build, ecl_place_t place, const char *text, size_t n)
{
   size_t digits = text[0] == '-' || text[0] == '+';
   int64_t value;
   double wide;

   if (!ecl_text_parse_int (text, n, &value)) {
      if ((build->flags & ECL_TEXT_WIDE_INTS) && ecl_text_parse_double (text, n, &wide)) {
         ecl_build_double (build, wide);
         return;
      }
      too_large (build, place, text, n, "64 bits");
      return;
   }
   if (n - digits > 1 && text[digits] == '0') {
      ecl_build_diag (build, ECL_DIAG_WARNING, ECL_ERROR_INVALID, place,
                      "%.40s is read as the number %lld: quote it if it is text", text, (long long) value);
   }
   if (value == 0 && text[0] == '-') {
      ecl_build_double (build, -0.0);
      return;
   }
   ecl_build_int (build, value);
}

void
ecl_yaml_resolve (ecl_build_t *build, ecl_place_t place, const char *text, size_t n)
{
   size_t sign = text[0] == '-' || text[0] == '+';
   int64_t value;
   double number;
   size_t begun;

   if (is (text, n, "null", "Null", "NULL") || is (text, n, "~", "~", "~")) {
      ecl_build_null (build);
      return;
   }
   if (is (text, n, "true", "True", "TRUE") || is (text, n, "false", "False", "FALSE")) {
      ecl_build_bool (build, (text[0] | 0x20) == 't');
      return;
   }
   if (n > 2 && text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
      const char *digits = text[1] == 'o' ? "01234567" : "0123456789abcdefABCDEF";

      /* The scalar has no NUL in it: it is plain. */
      if (strspn (text + 2, digits) == n - 2) {
         if (ecl_text_parse_digits (text + 2, n - 2, text[1] == 'o' ? 8 : 16, &value)) {
            ecl_build_int (build, value);
         } else {
            too_large (build, place, text, n, "64 bits");
         }
         return;
      }
   }
   if (is (text + sign, n - sign, ".inf", ".Inf", ".INF")) {
      ecl_build_double (build, text[0] == '-' ? -INFINITY : INFINITY);
      return;
   }
   if (is (text, n, ".nan", ".NaN", ".NAN")) {
      ecl_build_double (build, NAN);
      return;
   }
   if (n > sign && strspn (text + sign, "0123456789") == n - sign) {
      integer (build, place, text, n);
      return;
   }
   if (ecl_text_is_decimal (text, n)) {
      if (ecl_text_parse_double (text, n, &number)) {
         ecl_build_double (build, number);
      } else {
         too_large (build, place, text, n, "a double");
      }
      return;
   }
   begun = ecl_build_string_begin (build);
   ecl_build_bytes (build, text, n);
   ecl_build_string_end (build, begun);
}

static bool
is_break (uint8_t c)
{
   return c == '\n' || c == '\r';
}

ecl_yaml_rest_t
ecl_yaml_rest_of_line (const ecl_yaml_source_t *self, size_t offset)
{
   size_t i = offset;

   while (i < self->len && (self->bytes[i] == ' ' || self->bytes[i] == '\t')) {
      i++;
   }
   /* Without a blank before it, '#' is text. */
   if (i == offset || i >= self->len || self->bytes[i] != '#') {
      return ECL_YAML_NOTHING;
   }
   i++;
   if (i >= self->len || is_break (self->bytes[i])) {
      return ECL_YAML_NOTHING;
   }
   return self->bytes[i] == ' ' || self->bytes[i] == '\t' || self->bytes[i] == '#' ? ECL_YAML_COMMENT : ECL_YAML_CUT;
}

bool
ecl_yaml_colon_follows (const ecl_yaml_source_t *self, size_t offset, size_t *behind)
{
   for (size_t i = offset; i < self->len; i++) {
      uint8_t c = self->bytes[i];

      if (c == '#') {
         while (i + 1 < self->len && !is_break (self->bytes[i + 1])) {
            i++;
         }
      } else if (c != ' ' && c != '\t' && !is_break (c)) {
         *behind = i + 1;
         return c == ':';
      }
   }
   return false;
}
