/* The version field: see field.h. */
#include "upgrade/field.h"

void
ecl_version_field_init (ecl_version_field_t *self, const char *path)
{
   const char *dot = strchr (path, '.');
   uint64_t head = 0;

   self->name = path;
   self->len = (uint32_t) (dot ? (size_t) (dot - path) : strlen (path));
   self->rest = dot ? dot + 1 : NULL;
   memcpy (&head, path, self->len < 8 ? self->len : 8);
   self->head = BSON_UINT64_FROM_LE (head);
   self->mask = self->len < 7 ? ((uint64_t) 1 << (8 * (self->len + 1))) - 1 : UINT64_MAX;
}

/* Below the top level, where few versions are: the ordinary cursor. */
static ecl_field_state_t
find_below (const char *path, const uint8_t *doc, size_t len, ecl_value_t *value)
{
   for (;;) {
      const char *dot = strchr (path, '.');
      size_t n = dot ? (size_t) (dot - path) : strlen (path);
      ecl_cursor_t cursor;

      if (!ecl_cursor_init (&cursor, doc, len)) {
         return ECL_FIELD_CORRUPT;
      }
      if (!ecl_cursor_find (&cursor, path, n)) {
         return cursor.corrupt ? ECL_FIELD_CORRUPT : ECL_FIELD_NONE;
      }
      if (!dot) {
         ecl_cursor_value (&cursor, value);
         return value->type == BSON_TYPE_NULL ? ECL_FIELD_NONE : ECL_FIELD_FOUND;
      }
      if (cursor.type != BSON_TYPE_DOCUMENT) {
         ecl_cursor_value (&cursor, value);
         return ECL_FIELD_BAD;
      }
      doc = cursor.value;
      len = cursor.value_len;
      path = dot + 1;
   }
}

ecl_field_state_t
ecl_version_field_find (const ecl_version_field_t *self, const uint8_t *in, size_t len, ecl_value_t *value)
{
   const uint8_t *bytes, *element;
   uint32_t size;
   bool corrupt;

   element = ecl_version_field_scan (self, in, len, &bytes, &corrupt);
   if (!element) {
      return corrupt ? ECL_FIELD_CORRUPT : ECL_FIELD_NONE;
   }
   size = ecl_bson_fixed_size[*element];
   if (size == 0xFF && !ecl_bson_variable_size (*element, bytes, (size_t) (in + len - 1 - bytes), &size)) {
      return ECL_FIELD_CORRUPT;
   }
   if (self->rest) {
      if (*element != BSON_TYPE_DOCUMENT) {
         ecl_value_from_raw (value, *element, bytes, size);
         return ECL_FIELD_BAD;
      }
      return find_below (self->rest, bytes, size, value);
   }
   ecl_value_from_raw (value, *element, bytes, size);
   return *element == BSON_TYPE_NULL ? ECL_FIELD_NONE : ECL_FIELD_FOUND;
}
