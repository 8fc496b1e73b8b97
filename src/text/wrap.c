/* Type wrappers of Extended JSON v2: {$oid: …} and its kin, read back from the document the builder made of them.
 *
 * A wrapper is strict: its keys and no others, each with the type the specification gives it. Beyond the specification
 * only {$date: <integer>} is taken, as milliseconds, which older tools wrote.
 */
#include "base/ascii.h"
#include "bson/cursor.h"
#include "text/build.h"
#include "text/number.h"

#include <math.h>

/* A wrapper has its own key and at most one more. */
typedef struct {
   ecl_cursor_t first;
   ecl_cursor_t second; /* key is NULL where there is none */
   ecl_buf_t *out;
   uint8_t type;
   bson_error_t *error;
} wrap_t;

typedef struct {
   const char *key;
   uint8_t type;
   const char *second; /* the key that may stand beside it */
   bool (*read) (wrap_t *wrap);
} wrapper_t;

static bool
wrong (wrap_t *wrap, const char *expected)
{
   char found[64] = "";

   if (wrap->first.type == BSON_TYPE_UTF8) {
      int n = (int) wrap->first.value_len - 5;

      bson_snprintf (found, sizeof found, ", not \"%.*s%s", n > 40 ? 40 : n, (const char *) wrap->first.value + 4,
                     n > 40 ? "…" : "\"");
   }
   return ecl_fail (wrap->error, ECL_DOMAIN_TEXT, ECL_ERROR_INVALID, "%s takes %s%s", wrap->first.key, expected, found);
}

static bool
put (wrap_t *wrap, const void *bytes, size_t n)
{
   if (!ecl_buf_append (wrap->out, bytes, n)) {
      return ecl_fail (wrap->error, ECL_DOMAIN_TEXT, ECL_ERROR_TOO_LARGE, "a document may have at most 16 MiB");
   }
   return true;
}

static bool
put_u32 (wrap_t *wrap, uint32_t value)
{
   value = BSON_UINT32_TO_LE (value);
   return put (wrap, &value, sizeof value);
}

static bool
put_u64 (wrap_t *wrap, uint64_t value)
{
   value = BSON_UINT64_TO_LE (value);
   return put (wrap, &value, sizeof value);
}

static bool
string_of (const ecl_cursor_t *raw, const char **text, size_t *n)
{
   if (raw->type != BSON_TYPE_UTF8) {
      return false;
   }
   *text = (const char *) raw->value + 4;
   *n = raw->value_len - 5;
   return true;
}

static bool
integer_of (const ecl_cursor_t *raw, int64_t *value)
{
   if (raw->type == BSON_TYPE_INT32) {
      *value = (int32_t) ecl_load_u32 (raw->value);
      return true;
   }
   if (raw->type == BSON_TYPE_INT64) {
      *value = (int64_t) ecl_load_u64 (raw->value);
      return true;
   }
   return false;
}

/* The two elements of the document in value, in either order; false where there are others. */
static bool
pair_of (const ecl_cursor_t *value, const char *a, const char *b, ecl_cursor_t *first, ecl_cursor_t *second)
{
   ecl_cursor_t iter;
   size_t n = 0;

   memset (first, 0, sizeof *first);
   memset (second, 0, sizeof *second);
   if (value->type != BSON_TYPE_DOCUMENT || !ecl_cursor_init (&iter, value->value, value->value_len)) {
      return false;
   }
   for (; ecl_cursor_next (&iter); n++) {
      if (strcmp (iter.key, a) == 0) {
         *first = iter;
      } else if (strcmp (iter.key, b) == 0) {
         *second = iter;
      } else {
         return false;
      }
   }
   return n == 2 && first->key && second->key;
}

static bool
read_oid (wrap_t *wrap)
{
   const char *text;
   uint8_t bytes[12];
   size_t n;

   if (!string_of (&wrap->first, &text, &n) || n != 24) {
      return wrong (wrap, "24 hexadecimal digits in quotes");
   }
   for (size_t i = 0; i < 12; i++) {
      int high = ecl_hex_digit (text[2 * i]);
      int low = ecl_hex_digit (text[2 * i + 1]);

      if (high < 0 || low < 0) {
         return wrong (wrap, "24 hexadecimal digits in quotes");
      }
      bytes[i] = (uint8_t) (high << 4 | low);
   }
   return put (wrap, bytes, sizeof bytes);
}

static bool
read_date (wrap_t *wrap)
{
   const char *text;
   int64_t ms;
   size_t n;

   if (integer_of (&wrap->first, &ms) || (string_of (&wrap->first, &text, &n) && ecl_text_parse_date (text, n, &ms))) {
      return put_u64 (wrap, (uint64_t) ms);
   }
   return wrong (wrap, "a time such as \"2024-05-01T12:30:00.000Z\", or milliseconds as {$numberLong: \"…\"}");
}

static bool
read_int (wrap_t *wrap)
{
   const char *text;
   int64_t value;
   size_t n;

   if (!string_of (&wrap->first, &text, &n) || !n || text[0] == '+' || !ecl_text_parse_int (text, n, &value) ||
       value < INT32_MIN || value > INT32_MAX) {
      return wrong (wrap, "a string of digits within 32 bits");
   }
   return put_u32 (wrap, (uint32_t) (int32_t) value);
}

static bool
read_long (wrap_t *wrap)
{
   const char *text;
   int64_t value;
   size_t n;

   if (!string_of (&wrap->first, &text, &n) || !n || text[0] == '+' || !ecl_text_parse_int (text, n, &value)) {
      return wrong (wrap, "a string of digits within 64 bits");
   }
   return put_u64 (wrap, (uint64_t) value);
}

static bool
is_text (const char *text, size_t n, const char *word)
{
   return strlen (word) == n && memcmp (text, word, n) == 0;
}

static bool
read_double (wrap_t *wrap)
{
   const char *text;
   uint64_t bits;
   double value;
   size_t n;

   if (!string_of (&wrap->first, &text, &n)) {
      return wrong (wrap, "a number in quotes");
   }
   if (is_text (text, n, "NaN")) {
      /* The one NaN that all tools write. */
      return put_u64 (wrap, UINT64_C (0x7ff8000000000000));
   }
   if (is_text (text, n, "Infinity")) {
      value = INFINITY;
   } else if (is_text (text, n, "-Infinity")) {
      value = -INFINITY;
   } else if (!ecl_text_is_decimal (text, n) || !ecl_text_parse_double (text, n, &value)) {
      return wrong (wrap, "a number that fits a double, \"Infinity\", \"-Infinity\" or \"NaN\"");
   }
   memcpy (&bits, &value, sizeof bits);
   return put_u64 (wrap, bits);
}

static bool
read_decimal (wrap_t *wrap)
{
   const char *text;
   bson_decimal128_t value;
   bool special;
   size_t n;

   if (!string_of (&wrap->first, &text, &n)) {
      return wrong (wrap, "a number in quotes");
   }
   special = n >= 3 && n <= 9 && !strpbrk (text, "0123456789.eE+") && strlen (text) == n;
   /* libbson rounds nothing away: digits that do not fit are refused. */
   if ((!special && !ecl_text_is_decimal (text, n)) || n > 4096 ||
       !bson_decimal128_from_string_w_len (text, (int) n, &value)) {
      return wrong (wrap, "a number that fits a decimal128 (34 digits), \"Infinity\", \"-Infinity\" or \"NaN\"");
   }
   return put_u64 (wrap, value.low) && put_u64 (wrap, value.high);
}

/* Standard alphabet with padding; bits that stand for nothing must be zero. */
static bool
put_base64 (wrap_t *wrap, const char *text, size_t n, bool *valid)
{
   size_t padding = n && text[n - 1] == '=' ? (n > 1 && text[n - 2] == '=' ? 2 : 1) : 0;

   *valid = n % 4 == 0;
   for (size_t i = 0; i < n && *valid; i += 4) {
      bool last = i + 4 == n;
      size_t missing = last ? padding : 0;
      uint32_t bits = 0;
      uint8_t bytes[3];

      for (size_t j = 0; j < 4; j++) {
         int six = j < 4 - missing ? ecl_base64_digit (text[i + j], false) : 0;

         *valid = *valid && six >= 0;
         bits = bits << 6 | ((uint32_t) six & 63u);
      }
      bytes[0] = (uint8_t) (bits >> 16);
      bytes[1] = (uint8_t) (bits >> 8);
      bytes[2] = (uint8_t) bits;
      *valid = *valid && (missing < 1 || bytes[2] == 0) && (missing < 2 || bytes[1] == 0);
      if (*valid && !put (wrap, bytes, 3 - missing)) {
         return false;
      }
   }
   return true;
}

static bool
read_binary (wrap_t *wrap)
{
   static const char expected[] = "{base64: \"…\", subType: \"00\"}";
   ecl_cursor_t base64, subtype;
   const char *text, *hex;
   size_t n, hex_len, body;
   int64_t kind;
   uint32_t le;
   uint8_t byte;
   bool valid;

   if (!pair_of (&wrap->first, "base64", "subType", &base64, &subtype) || !string_of (&base64, &text, &n) ||
       !string_of (&subtype, &hex, &hex_len) || hex_len > 2 || !ecl_text_parse_digits (hex, hex_len, 16, &kind)) {
      return wrong (wrap, expected);
   }
   byte = (uint8_t) kind;
   if (!put_u32 (wrap, 0) || !put (wrap, &byte, 1)) {
      return false;
   }
   body = wrap->out->len;
   /* The old binary type repeats its length inside. */
   if (byte == BSON_SUBTYPE_BINARY_DEPRECATED && !put_u32 (wrap, 0)) {
      return false;
   }
   if (!put_base64 (wrap, text, n, &valid)) {
      return false;
   }
   if (!valid) {
      return ecl_fail (wrap->error, ECL_DOMAIN_TEXT, ECL_ERROR_INVALID,
                       "$binary: base64 is not valid base64 with padding");
   }
   le = BSON_UINT32_TO_LE ((uint32_t) (wrap->out->len - body));
   memcpy (wrap->out->data, &le, sizeof le);
   if (byte == BSON_SUBTYPE_BINARY_DEPRECATED) {
      le = BSON_UINT32_TO_LE ((uint32_t) (wrap->out->len - body - 4));
      memcpy (wrap->out->data + body, &le, sizeof le);
   }
   return true;
}

static bool
read_uuid (wrap_t *wrap)
{
   static const char expected[] = "36 characters such as \"c8edabc3-f738-4ca3-b68d-ab92a91478a3\"";
   const char *text;
   uint8_t bytes[17] = {BSON_SUBTYPE_UUID};
   size_t n;
   size_t at = 0;

   if (!string_of (&wrap->first, &text, &n) || n != 36) {
      return wrong (wrap, expected);
   }
   for (size_t i = 0; i < 36; i++) {
      if (i == 8 || i == 13 || i == 18 || i == 23) {
         if (text[i] != '-') {
            return wrong (wrap, expected);
         }
      } else {
         int digit = ecl_hex_digit (text[i]);

         if (digit < 0) {
            return wrong (wrap, expected);
         }
         bytes[1 + at / 2] = (uint8_t) (bytes[1 + at / 2] << 4 | digit);
         at++;
      }
   }
   return put_u32 (wrap, 16) && put (wrap, bytes, sizeof bytes);
}

static bool
read_regex (wrap_t *wrap)
{
   static const char expected[] = "{pattern: \"…\", options: \"…\"}, both without U+0000, and options that are ASCII";
   ecl_cursor_t pattern, options;
   const char *text, *flags;
   size_t n, n_flags;
   char sorted[64];

   if (!pair_of (&wrap->first, "pattern", "options", &pattern, &options) || !string_of (&pattern, &text, &n) ||
       !string_of (&options, &flags, &n_flags) || memchr (text, 0, n) || memchr (flags, 0, n_flags) ||
       n_flags >= sizeof sorted) {
      return wrong (wrap, expected);
   }
   memcpy (sorted, flags, n_flags);
   for (size_t i = 0; i < n_flags; i++) {
      if (sorted[i] & 0x80) {
         return wrong (wrap, expected);
      }
      for (size_t j = i; j && (uint8_t) sorted[j - 1] > (uint8_t) sorted[j]; j--) {
         char c = sorted[j];

         sorted[j] = sorted[j - 1];
         sorted[j - 1] = c;
      }
   }
   return put (wrap, text, n + 1) && put (wrap, sorted, n_flags) && put (wrap, "", 1);
}

static bool
read_timestamp (wrap_t *wrap)
{
   ecl_cursor_t seconds, counter;
   int64_t t, i;

   if (!pair_of (&wrap->first, "t", "i", &seconds, &counter) || !integer_of (&seconds, &t) ||
       !integer_of (&counter, &i) || t < 0 || t > UINT32_MAX || i < 0 || i > UINT32_MAX) {
      return wrong (wrap, "{t: 0, i: 0}, both integers of 32 bits without sign");
   }
   return put_u64 (wrap, (uint64_t) t << 32 | (uint64_t) i);
}

static bool
read_key_bound (wrap_t *wrap)
{
   int64_t one;

   return (integer_of (&wrap->first, &one) && one == 1) || wrong (wrap, "1");
}

static bool
read_undefined (wrap_t *wrap)
{
   return (wrap->first.type == BSON_TYPE_BOOL && wrap->first.value[0]) || wrong (wrap, "true");
}

static bool
read_string (wrap_t *wrap)
{
   if (wrap->first.type != BSON_TYPE_UTF8) {
      return wrong (wrap, "a string");
   }
   return put (wrap, wrap->first.value, wrap->first.value_len);
}

static bool
read_code (wrap_t *wrap)
{
   if (!wrap->second.key) {
      return read_string (wrap);
   }
   if (wrap->first.type != BSON_TYPE_UTF8 || wrap->second.type != BSON_TYPE_DOCUMENT) {
      return wrong (wrap, "a string, and $scope a mapping");
   }
   wrap->type = BSON_TYPE_CODEWSCOPE;
   return put_u32 (wrap, (uint32_t) (4 + wrap->first.value_len + wrap->second.value_len)) &&
          put (wrap, wrap->first.value, wrap->first.value_len) &&
          put (wrap, wrap->second.value, wrap->second.value_len);
}

static bool
read_dbpointer (wrap_t *wrap)
{
   ecl_cursor_t ref, id;

   if (!pair_of (&wrap->first, "$ref", "$id", &ref, &id) || ref.type != BSON_TYPE_UTF8 || id.type != BSON_TYPE_OID) {
      return wrong (wrap, "{$ref: \"…\", $id: {$oid: \"…\"}}");
   }
   return put (wrap, ref.value, ref.value_len) && put (wrap, id.value, id.value_len);
}

static const wrapper_t wrappers[] = {
   {"$oid", BSON_TYPE_OID, NULL, read_oid},
   {"$date", BSON_TYPE_DATE_TIME, NULL, read_date},
   {"$numberInt", BSON_TYPE_INT32, NULL, read_int},
   {"$numberLong", BSON_TYPE_INT64, NULL, read_long},
   {"$numberDouble", BSON_TYPE_DOUBLE, NULL, read_double},
   {"$numberDecimal", BSON_TYPE_DECIMAL128, NULL, read_decimal},
   {"$binary", BSON_TYPE_BINARY, NULL, read_binary},
   {"$uuid", BSON_TYPE_BINARY, NULL, read_uuid},
   {"$regularExpression", BSON_TYPE_REGEX, NULL, read_regex},
   {"$timestamp", BSON_TYPE_TIMESTAMP, NULL, read_timestamp},
   {"$minKey", BSON_TYPE_MINKEY, NULL, read_key_bound},
   {"$maxKey", BSON_TYPE_MAXKEY, NULL, read_key_bound},
   {"$undefined", BSON_TYPE_UNDEFINED, NULL, read_undefined},
   {"$symbol", BSON_TYPE_SYMBOL, NULL, read_string},
   {"$code", BSON_TYPE_CODE, "$scope", read_code},
   {"$dbPointer", BSON_TYPE_DBPOINTER, NULL, read_dbpointer},
};

static const wrapper_t *
find (const char *key, size_t n)
{
   if (n < 4 || key[0] != '$') {
      return NULL;
   }
   for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++) {
      if (is_text (key, n, wrappers[i].key)) {
         return &wrappers[i];
      }
   }
   return NULL;
}

bool
ecl_wrap_key (const char *key, size_t n)
{
   return find (key, n) != NULL;
}

bool
ecl_wrap_read (const uint8_t *doc, size_t len, uint8_t *type, ecl_buf_t *out, bson_error_t *error)
{
   wrap_t wrap = {.out = out, .error = error};
   const wrapper_t *wrapper = NULL;
   const char *other = NULL;
   ecl_cursor_t iter;

   if (!ecl_cursor_init (&iter, doc, len)) {
      return ecl_fail (error, ECL_DOMAIN_TEXT, ECL_ERROR_INVALID, "malformed document");
   }
   /* The wrapper's own key first: $scope may stand before $code. */
   while (!wrapper && ecl_cursor_next (&iter)) {
      wrapper = find (iter.key, iter.key_len);
   }
   BSON_ASSERT (wrapper);
   wrap.first = iter;
   wrap.type = wrapper->type;
   if (!ecl_cursor_init (&iter, doc, len)) {
      return false;
   }
   while (ecl_cursor_next (&iter)) {
      if (iter.element == wrap.first.element) {
         continue;
      }
      if (wrapper->second && !wrap.second.key && strcmp (iter.key, wrapper->second) == 0) {
         wrap.second = iter;
      } else if (!other) {
         other = iter.key;
      }
   }
   if (other) {
      return ecl_fail (error, ECL_DOMAIN_TEXT, ECL_ERROR_INVALID,
                       "%s makes this a value of that type: no other key may stand beside it, but \"%.100s\" does",
                       wrapper->key, other);
   }
   if (!wrapper->read (&wrap)) {
      return false;
   }
   *type = wrap.type;
   return true;
}
