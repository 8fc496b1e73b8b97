/* The Extended JSON v2 writer. Walks raw BSON with bounds checked; what is malformed is an error, what is not UTF-8 in
 * a string becomes U+FFFD. */
#include "bson/cursor.h"
#include "text/build.h"
#include "text/number.h"

#include <math.h>

typedef struct {
   ecl_extjson_mode_t mode;
   ecl_buf_t *out;
   bson_error_t *error;
   unsigned depth;
   bool full; /* out has reached its bound: said at the end */
} writer_t;

static void
put (writer_t *self, const void *bytes, size_t n)
{
   self->full |= !ecl_buf_append (self->out, bytes, n);
}

static void
put_str (writer_t *self, const char *text)
{
   put (self, text, strlen (text));
}

static bool
malformed (writer_t *self, const char *what)
{
   return ecl_fail (self->error, ECL_DOMAIN_BSON, ECL_ERROR_INVALID, "malformed BSON: %s", what);
}

/* A string in quotes. */
static void
put_text (writer_t *self, const uint8_t *p, size_t n)
{
   static const char hex[] = "0123456789abcdef";
   size_t run = 0;

   put (self, "\"", 1);
   for (size_t i = 0; i < n;) {
      size_t len = ecl_text_utf8 (p + i, n - i);
      const char *name;

      if (len && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\') {
         i += len;
         continue;
      }
      put (self, p + run, i - run);
      if (!len) {
         put_str (self, "\\ufffd");
         i++;
      } else {
         name = p[i] ? strchr ("\"\"\\\\\bb\ff\nn\rr\tt", p[i]) : NULL;
         if (name) {
            /* The table has pairs: what it is and what it is called; the two that are their own name are doubled. */
            char text[2] = {'\\', name[1]};

            put (self, text, sizeof text);
         } else {
            char text[6] = {'\\', 'u', '0', '0', hex[p[i] >> 4], hex[p[i] & 15]};

            put (self, text, sizeof text);
         }
         i++;
      }
      run = i;
   }
   put (self, p + run, n - run);
   put (self, "\"", 1);
}

static void
put_base64 (writer_t *self, const uint8_t *p, size_t n)
{
   static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

   put (self, "\"", 1);
   for (size_t i = 0; i < n && !self->full; i += 3) {
      size_t left = n - i;
      uint32_t bits = (uint32_t) p[i] << 16;
      char text[4];

      bits |= left > 1 ? (uint32_t) p[i + 1] << 8 : 0;
      bits |= left > 2 ? p[i + 2] : 0;
      text[0] = alphabet[bits >> 18];
      text[1] = alphabet[bits >> 12 & 63];
      text[2] = left > 1 ? alphabet[bits >> 6 & 63] : '=';
      text[3] = left > 2 ? alphabet[bits & 63] : '=';
      put (self, text, sizeof text);
   }
   put (self, "\"", 1);
}

/* The BSON string at p in quotes; its size was checked. */
static void
put_string (writer_t *self, const uint8_t *p)
{
   put_text (self, p + 4, ecl_load_u32 (p) - 1);
}

static void
put_oid (writer_t *self, const uint8_t *p)
{
   static const char hex[] = "0123456789abcdef";
   char text[24];

   for (size_t i = 0; i < 12; i++) {
      text[2 * i] = hex[p[i] >> 4];
      text[2 * i + 1] = hex[p[i] & 15];
   }
   put_str (self, "{\"$oid\": \"");
   put (self, text, sizeof text);
   put_str (self, "\"}");
}

/* A number as it is, or in the wrapper where wrap is not NULL. */
static void
put_number (writer_t *self, const char *wrap, const char *text)
{
   if (wrap) {
      put_str (self, "{\"");
      put_str (self, wrap);
      put_str (self, "\": \"");
      put_str (self, text);
      put_str (self, "\"}");
   } else {
      put_str (self, text);
   }
}

static void
put_double (writer_t *self, const uint8_t *p)
{
   uint64_t bits = ecl_load_u64 (p);
   char text[ECL_TEXT_DOUBLE_MAX];
   double value;

   memcpy (&value, &bits, sizeof value);
   ecl_text_format_double (value, text);
   put_number (self, (self->mode & ECL_EXTJSON_CANONICAL) || !isfinite (value) ? "$numberDouble" : NULL, text);
}

static void
put_date (writer_t *self, const uint8_t *p)
{
   int64_t ms = (int64_t) ecl_load_u64 (p);
   char text[ECL_TEXT_DATE_MAX];

   put_str (self, "{\"$date\": ");
   if (!(self->mode & ECL_EXTJSON_CANONICAL) && ecl_text_format_date (ms, text)) {
      put (self, "\"", 1);
      put_str (self, text);
      put (self, "\"", 1);
   } else {
      bson_snprintf (text, sizeof text, "%lld", (long long) ms);
      put_number (self, "$numberLong", text);
   }
   put (self, "}", 1);
}

static void
put_decimal (writer_t *self, const uint8_t *p)
{
   bson_decimal128_t value = {.low = ecl_load_u64 (p), .high = ecl_load_u64 (p + 8)};
   char text[BSON_DECIMAL128_STRING];

   bson_decimal128_to_string (&value, text);
   put_number (self, "$numberDecimal", text);
}

static bool
put_binary (writer_t *self, const uint8_t *p)
{
   const uint8_t *data = p + 5;
   size_t n = ecl_load_u32 (p);
   char text[8];

   if (p[4] == BSON_SUBTYPE_BINARY_DEPRECATED) {
      /* The old binary type repeats its length inside. */
      if (n < 4 || ecl_load_u32 (data) != n - 4) {
         return malformed (self, "inner length of a binary of subtype 2");
      }
      data += 4;
      n -= 4;
   }
   put_str (self, "{\"$binary\": {\"base64\": ");
   put_base64 (self, data, n);
   bson_snprintf (text, sizeof text, "%02x", p[4]);
   put_str (self, ", \"subType\": \"");
   put_str (self, text);
   put_str (self, "\"}}");
   return true;
}

static void
put_regex (writer_t *self, const uint8_t *p)
{
   size_t n = strlen ((const char *) p);

   put_str (self, "{\"$regularExpression\": {\"pattern\": ");
   put_text (self, p, n);
   put_str (self, ", \"options\": ");
   put_text (self, p + n + 1, strlen ((const char *) p + n + 1));
   put_str (self, "}}");
}

static void
put_timestamp (writer_t *self, const uint8_t *p)
{
   char text[80];

   bson_snprintf (text, sizeof text, "{\"$timestamp\": {\"t\": %u, \"i\": %u}}", ecl_load_u32 (p + 4),
                  ecl_load_u32 (p));
   put_str (self, text);
}

static void
new_line (writer_t *self, unsigned depth)
{
   put (self, "\n", 1);
   for (unsigned i = 0; i < depth; i++) {
      put (self, "  ", 2);
   }
}

static bool
put_value (writer_t *self, uint8_t type, const uint8_t *p);

static bool
put_document (writer_t *self, const uint8_t *p, size_t len, bool array)
{
   bool pretty = (self->mode & ECL_EXTJSON_PRETTY) != 0;
   ecl_cursor_t iter;
   bool first = true;

   if (!ecl_cursor_init (&iter, p, len)) {
      return malformed (self, "length or end of a document");
   }
   if (self->depth >= ECL_EXTJSON_DEPTH) {
      return ecl_fail (self->error, ECL_DOMAIN_BSON, ECL_ERROR_TOO_DEEP, "nested deeper than %u levels",
                       ECL_EXTJSON_DEPTH);
   }
   self->depth++;
   put (self, array ? "[" : "{", 1);
   while (ecl_cursor_next (&iter)) {
      if (!first) {
         put_str (self, pretty ? "," : ", ");
      }
      first = false;
      if (pretty) {
         new_line (self, self->depth);
      }
      if (!array) {
         put_text (self, (const uint8_t *) iter.key, iter.key_len);
         put_str (self, ": ");
      }
      if (!put_value (self, iter.type, iter.value)) {
         return false;
      }
   }
   if (iter.corrupt) {
      return malformed (self, "an element");
   }
   self->depth--;
   if (pretty && !first) {
      new_line (self, self->depth);
   }
   put (self, array ? "]" : "}", 1);
   return true;
}

/* A document within a wrapper stays on its line. */
static bool
put_scope (writer_t *self, const uint8_t *p)
{
   ecl_extjson_mode_t mode = self->mode;
   bool ok;

   self->mode &= ~(unsigned) ECL_EXTJSON_PRETTY;
   ok = put_document (self, p, ecl_load_u32 (p), false);
   self->mode = mode;
   return ok;
}

/* The size of the value was checked. */
static bool
put_value (writer_t *self, uint8_t type, const uint8_t *p)
{
   bool canonical = (self->mode & ECL_EXTJSON_CANONICAL) != 0;
   char text[32];

   if (self->full) {
      return false;
   }
   switch (type) {
   case BSON_TYPE_DOUBLE:
      put_double (self, p);
      return true;
   case BSON_TYPE_UTF8:
      put_string (self, p);
      return true;
   case BSON_TYPE_DOCUMENT:
   case BSON_TYPE_ARRAY:
      return put_document (self, p, ecl_load_u32 (p), type == BSON_TYPE_ARRAY);
   case BSON_TYPE_BINARY:
      return put_binary (self, p);
   case BSON_TYPE_UNDEFINED:
      put_str (self, "{\"$undefined\": true}");
      return true;
   case BSON_TYPE_OID:
      put_oid (self, p);
      return true;
   case BSON_TYPE_BOOL:
      put_str (self, p[0] ? "true" : "false");
      return true;
   case BSON_TYPE_DATE_TIME:
      put_date (self, p);
      return true;
   case BSON_TYPE_NULL:
      put_str (self, "null");
      return true;
   case BSON_TYPE_REGEX:
      put_regex (self, p);
      return true;
   case BSON_TYPE_DBPOINTER:
      put_str (self, "{\"$dbPointer\": {\"$ref\": ");
      put_string (self, p);
      put_str (self, ", \"$id\": ");
      put_oid (self, p + 4 + ecl_load_u32 (p));
      put_str (self, "}}");
      return true;
   case BSON_TYPE_CODE:
      put_str (self, "{\"$code\": ");
      put_string (self, p);
      put_str (self, "}");
      return true;
   case BSON_TYPE_SYMBOL:
      put_str (self, "{\"$symbol\": ");
      put_string (self, p);
      put_str (self, "}");
      return true;
   case BSON_TYPE_CODEWSCOPE:
      put_str (self, "{\"$code\": ");
      put_string (self, p + 4);
      put_str (self, ", \"$scope\": ");
      if (!put_scope (self, p + 8 + ecl_load_u32 (p + 4))) {
         return false;
      }
      put_str (self, "}");
      return true;
   case BSON_TYPE_INT32:
      bson_snprintf (text, sizeof text, "%d", (int) (int32_t) ecl_load_u32 (p));
      put_number (self, canonical ? "$numberInt" : NULL, text);
      return true;
   case BSON_TYPE_TIMESTAMP:
      put_timestamp (self, p);
      return true;
   case BSON_TYPE_INT64:
      bson_snprintf (text, sizeof text, "%lld", (long long) ecl_load_u64 (p));
      put_number (self, canonical ? "$numberLong" : NULL, text);
      return true;
   case BSON_TYPE_DECIMAL128:
      put_decimal (self, p);
      return true;
   case BSON_TYPE_MINKEY:
      put_str (self, "{\"$minKey\": 1}");
      return true;
   case BSON_TYPE_MAXKEY:
      put_str (self, "{\"$maxKey\": 1}");
      return true;
   default:
      return malformed (self, "an unknown type");
   }
}

bool
ecl_extjson_write_value (uint8_t type, const uint8_t *value, size_t len, ecl_extjson_mode_t mode, ecl_buf_t *out,
                         bson_error_t *error)
{
   writer_t writer = {.mode = mode, .out = out, .error = error};
   size_t before = out->len;
   uint32_t size;

   if (len > UINT32_MAX) {
      return malformed (&writer, "size of a value");
   }
   size = ecl_bson_fixed_size[type];
   if ((size == 0xff && !ecl_bson_variable_size (type, value, len, &size)) || size != len) {
      return malformed (&writer, "size of a value");
   }
   if (!put_value (&writer, type, value) || writer.full) {
      out->len = before;
      if (writer.full) {
         ecl_fail (error, ECL_DOMAIN_BSON, ECL_ERROR_TOO_LARGE, "the text would be larger than %zu bytes", out->max);
      }
      return false;
   }
   return true;
}

bool
ecl_extjson_write (const uint8_t *doc, size_t len, ecl_extjson_mode_t mode, ecl_buf_t *out, bson_error_t *error)
{
   return ecl_extjson_write_value (BSON_TYPE_DOCUMENT, doc, len, mode, out, error);
}

bool
ecl_extjson_write_array (const uint8_t *doc, size_t len, ecl_extjson_mode_t mode, ecl_buf_t *out, bson_error_t *error)
{
   return ecl_extjson_write_value (BSON_TYPE_ARRAY, doc, len, mode, out, error);
}
