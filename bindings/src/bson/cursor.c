/* Cursor and validation: see cursor.h. */
#include "bson/cursor.h"

#define VARIABLE 0xFF

const uint8_t ecl_bson_fixed_size[256] = {
   [0] = VARIABLE,
   [BSON_TYPE_DOUBLE] = 8,
   [BSON_TYPE_UTF8] = VARIABLE,
   [BSON_TYPE_DOCUMENT] = VARIABLE,
   [BSON_TYPE_ARRAY] = VARIABLE,
   [BSON_TYPE_BINARY] = VARIABLE,
   [BSON_TYPE_UNDEFINED] = 0,
   [BSON_TYPE_OID] = 12,
   [BSON_TYPE_BOOL] = 1,
   [BSON_TYPE_DATE_TIME] = 8,
   [BSON_TYPE_NULL] = 0,
   [BSON_TYPE_REGEX] = VARIABLE,
   [BSON_TYPE_DBPOINTER] = VARIABLE,
   [BSON_TYPE_CODE] = VARIABLE,
   [BSON_TYPE_SYMBOL] = VARIABLE,
   [BSON_TYPE_CODEWSCOPE] = VARIABLE,
   [BSON_TYPE_INT32] = 4,
   [BSON_TYPE_TIMESTAMP] = 8,
   [BSON_TYPE_INT64] = 8,
   [BSON_TYPE_DECIMAL128] = 16,
   [0x14 ... 0x7E] = VARIABLE, /* no such type: refused by ecl_bson_variable_size */
   [BSON_TYPE_MAXKEY] = 0,
   [0x80 ... 0xFE] = VARIABLE,
   [BSON_TYPE_MINKEY] = 0,
};

/* length, bytes, NUL: the length counts the NUL */
static bool
string_size (const uint8_t *value, size_t room, uint32_t *size)
{
   uint32_t n;

   if (room < 5) {
      return false;
   }
   n = ecl_load_u32 (value);
   if (n < 1 || n > room - 4 || value[4 + n - 1] != 0) {
      return false;
   }
   *size = 4 + n;
   return true;
}

bool
ecl_bson_variable_size (uint8_t type, const uint8_t *value, size_t room, uint32_t *size)
{
   uint32_t n;

   switch (type) {
   case BSON_TYPE_UTF8:
   case BSON_TYPE_CODE:
   case BSON_TYPE_SYMBOL:
      return string_size (value, room, size);
   case BSON_TYPE_DOCUMENT:
   case BSON_TYPE_ARRAY:
      if (room < 5) {
         return false;
      }
      n = ecl_load_u32 (value);
      if (n < 5 || n > room || value[n - 1] != 0) {
         return false;
      }
      *size = n;
      return true;
   case BSON_TYPE_BINARY:
      if (room < 5) {
         return false;
      }
      n = ecl_load_u32 (value);
      if (n > room - 5) {
         return false;
      }
      *size = 5 + n;
      return true;
   case BSON_TYPE_REGEX: {
      const uint8_t *options;
      const uint8_t *end = memchr (value, 0, room);

      if (!end) {
         return false;
      }
      options = end + 1;
      end = memchr (options, 0, room - (size_t) (options - value));
      if (!end) {
         return false;
      }
      *size = (uint32_t) (end + 1 - value);
      return true;
   }
   case BSON_TYPE_DBPOINTER:
      if (!string_size (value, room, &n) || room - n < 12) {
         return false;
      }
      *size = n + 12;
      return true;
   case BSON_TYPE_CODEWSCOPE: {
      uint32_t code, scope;

      if (room < 14) {
         return false;
      }
      n = ecl_load_u32 (value);
      if (n < 14 || n > room || !string_size (value + 4, n - 4, &code) ||
          !ecl_bson_variable_size (BSON_TYPE_DOCUMENT, value + 4 + code, n - 4 - code, &scope) ||
          n != 4 + code + scope) {
         return false;
      }
      *size = n;
      return true;
   }
   default:
      return false;
   }
}

bool
ecl_cursor_find (ecl_cursor_t *self, const char *key, size_t key_len)
{
   while (ecl_cursor_next (self)) {
      if (self->key_len == key_len && memcmp (self->key, key, key_len) == 0) {
         return true;
      }
   }
   return false;
}

static bool
validate (const uint8_t *data, size_t len, unsigned depth, bson_error_t *error)
{
   ecl_cursor_t cursor;

   if (depth > ECL_BSON_MAX_DEPTH) {
      return ecl_fail (error, ECL_DOMAIN_BSON, ECL_ERROR_TOO_DEEP, "nested deeper than %d levels", ECL_BSON_MAX_DEPTH);
   }
   if (!ecl_cursor_init (&cursor, data, len) || (size_t) (cursor.end + 1 - data) != len) {
      return ecl_fail (error, ECL_DOMAIN_BSON, ECL_ERROR_SYNTAX,
                       "corrupt BSON: the length of a document does not agree with its bytes");
   }
   while (ecl_cursor_next (&cursor)) {
      if (cursor.type == BSON_TYPE_DOCUMENT || cursor.type == BSON_TYPE_ARRAY) {
         if (!validate (cursor.value, cursor.value_len, depth + 1, error)) {
            return false;
         }
      } else if (cursor.type == BSON_TYPE_CODEWSCOPE) {
         uint32_t skip = 8 + ecl_load_u32 (cursor.value + 4);

         if (!validate (cursor.value + skip, cursor.value_len - skip, depth + 1, error)) {
            return false;
         }
      } else if (cursor.type == BSON_TYPE_BOOL && cursor.value[0] > 1) {
         return ecl_fail (error, ECL_DOMAIN_BSON, ECL_ERROR_SYNTAX, "corrupt BSON: a boolean that is neither 0 nor 1");
      }
   }
   if (cursor.corrupt) {
      return ecl_fail (error, ECL_DOMAIN_BSON, ECL_ERROR_SYNTAX,
                       "corrupt BSON: an element's type or length does not agree with its bytes");
   }
   return true;
}

bool
ecl_bson_validate (const uint8_t *data, size_t len, bson_error_t *error)
{
   return validate (data, len, 1, error);
}
