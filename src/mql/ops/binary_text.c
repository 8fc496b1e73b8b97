/* Binary data as text: see binary_text.h. */
#include "mql/ops/binary_text.h"

#include "base/ascii.h"

static const char base64_digits[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_digits[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

bool
ecl_binary_format_find (const char *name, size_t len, ecl_binary_format_t *format)
{
   static const struct {
      const char *name;
      ecl_binary_format_t format;
   } formats[] = {
      {"auto", ECL_FORMAT_AUTO}, {"base64", ECL_FORMAT_BASE64}, {"base64url", ECL_FORMAT_BASE64URL},
      {"hex", ECL_FORMAT_HEX},   {"utf8", ECL_FORMAT_UTF8},     {"uuid", ECL_FORMAT_UUID},
   };

   for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
      if (strlen (formats[i].name) == len && memcmp (formats[i].name, name, len) == 0) {
         *format = formats[i].format;
         return true;
      }
   }
   return false;
}

/* base64url has no padding. */
static ecl_value_t
encode_base64 (ecl_arena_t *arena, const char *digits, bool pad, const ecl_value_t *binary)
{
   size_t n = binary->len;
   char *text = ecl_arena_alloc (arena, (n + 2) / 3 * 4), *o = text;

   for (size_t i = 0; i < n; i += 3) {
      uint32_t bits = (uint32_t) binary->u.raw[i] << 16;

      bits |= i + 1 < n ? (uint32_t) binary->u.raw[i + 1] << 8 : 0;
      bits |= i + 2 < n ? binary->u.raw[i + 2] : 0;
      *o++ = digits[bits >> 18];
      *o++ = digits[bits >> 12 & 63];
      if (i + 1 < n) {
         *o++ = digits[bits >> 6 & 63];
      } else if (pad) {
         *o++ = '=';
      }
      if (i + 2 < n) {
         *o++ = digits[bits & 63];
      } else if (pad) {
         *o++ = '=';
      }
   }
   return ecl_string (text, (size_t) (o - text));
}

static ecl_value_t
encode_hex (ecl_arena_t *arena, const ecl_value_t *binary)
{
   static const char digits[17] = "0123456789ABCDEF";
   char *text = ecl_arena_alloc (arena, 2 * (size_t) binary->len);

   for (uint32_t i = 0; i < binary->len; i++) {
      text[2 * i] = digits[binary->u.raw[i] >> 4];
      text[2 * i + 1] = digits[binary->u.raw[i] & 15];
   }
   return ecl_string (text, 2 * (size_t) binary->len);
}

#define UUID_TEXT 36

static bool
is_dash (uint32_t i)
{
   return i == 8 || i == 13 || i == 18 || i == 23;
}

static ecl_value_t
encode_uuid (ecl_arena_t *arena, const ecl_value_t *binary)
{
   static const char digits[17] = "0123456789abcdef";
   char *text = ecl_arena_alloc (arena, UUID_TEXT);
   const uint8_t *p = binary->u.raw;

   for (uint32_t i = 0; i < UUID_TEXT;) {
      if (is_dash (i)) {
         text[i++] = '-';
         continue;
      }
      text[i++] = digits[*p >> 4];
      text[i++] = digits[*p++ & 15];
   }
   return ecl_string (text, UUID_TEXT);
}

ecl_value_t
ecl_binary_encode (ecl_arena_t *arena, ecl_binary_format_t format, const ecl_value_t *binary)
{
   switch (format) {
   case ECL_FORMAT_HEX:
      return encode_hex (arena, binary);
   case ECL_FORMAT_UUID:
      return encode_uuid (arena, binary);
   case ECL_FORMAT_BASE64URL:
      return encode_base64 (arena, base64url_digits, false, binary);
   default:
      return encode_base64 (arena, base64_digits, true, binary);
   }
}

/* Whole groups of four with padding; padding may be left out in base64url. */
static bool
decode_base64 (ecl_arena_t *arena, bool url, const ecl_value_t *text, const uint8_t **bytes, uint32_t *len)
{
   uint32_t n = text->len;
   uint8_t *out;
   uint32_t bits = 0, size = 0;

   if (n % 4 == 0) {
      for (int k = 0; k < 2 && n && text->u.str[n - 1] == '='; k++) {
         n--;
      }
   } else if (!url) {
      return false;
   }
   if (n % 4 == 1) {
      return false;
   }
   out = ecl_arena_alloc (arena, (size_t) n / 4 * 3 + 3);
   for (uint32_t i = 0; i < n; i++) {
      int digit = ecl_base64_digit (text->u.str[i], url);

      if (digit < 0) {
         return false;
      }
      bits = bits << 6 | (uint32_t) digit;
      if (i % 4 != 0) {
         out[size++] = (uint8_t) (bits >> (6 - 2 * (i % 4)));
      }
   }
   *bytes = out;
   *len = size;
   return true;
}

static bool
decode_hex (ecl_arena_t *arena, const ecl_value_t *text, const uint8_t **bytes, uint32_t *len)
{
   uint8_t *out;

   if (text->len % 2) {
      return false;
   }
   out = ecl_arena_alloc (arena, text->len / 2);
   for (uint32_t i = 0; i < text->len; i += 2) {
      int high = ecl_hex_digit (text->u.str[i]), low = ecl_hex_digit (text->u.str[i + 1]);

      if (high < 0 || low < 0) {
         return false;
      }
      out[i / 2] = (uint8_t) (high << 4 | low);
   }
   *bytes = out;
   *len = text->len / 2;
   return true;
}

static bool
decode_uuid (ecl_arena_t *arena, const ecl_value_t *text, const uint8_t **bytes, uint32_t *len)
{
   char digits[32];
   uint32_t n = 0;
   ecl_value_t hex;

   if (text->len != UUID_TEXT) {
      return false;
   }
   for (uint32_t i = 0; i < UUID_TEXT; i++) {
      if (is_dash (i)) {
         if (text->u.str[i] != '-') {
            return false;
         }
      } else {
         digits[n++] = text->u.str[i];
      }
   }
   hex = ecl_string (digits, n);
   return decode_hex (arena, &hex, bytes, len);
}

bool
ecl_binary_decode (ecl_arena_t *arena, ecl_binary_format_t format, const ecl_value_t *text, const uint8_t **bytes,
                   uint32_t *len)
{
   switch (format) {
   case ECL_FORMAT_HEX:
      return decode_hex (arena, text, bytes, len);
   case ECL_FORMAT_UUID:
      return decode_uuid (arena, text, bytes, len);
   case ECL_FORMAT_BASE64URL:
      return decode_base64 (arena, true, text, bytes, len);
   case ECL_FORMAT_BASE64:
      return decode_base64 (arena, false, text, bytes, len);
   default:
      *bytes = (const uint8_t *) text->u.str;
      *len = text->len;
      return true;
   }
}
