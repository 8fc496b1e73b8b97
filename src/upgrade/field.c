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
   for (uint32_t i = 0; i <= ECL_VERSION_SHAPE; i++) {
      ecl_shape_forget (&self->shape[i]);
   }
}

const uint8_t *
ecl_version_field_scan_slow (ecl_version_field_t *self, const uint8_t *in, size_t len, const uint8_t *p,
                             ecl_shape_t *shape, const uint8_t **value, bool *corrupt)
{
   const uint8_t *end = in + len - 1, *safe = ecl_shape_safe (in, len);
   ecl_shape_t *shape_end = self->shape + ECL_VERSION_SHAPE;

   *corrupt = false;
   while (p < end) {
      const uint8_t *key = p + 1, *after;
      uint32_t size = ecl_bson_fixed_size[*p];
      bool mine;

      if (ECL_LIKELY (end - key >= 8)) {
         uint64_t word, zeros;

         memcpy (&word, key, 8);
         mine = ((BSON_UINT64_FROM_LE (word) ^ self->head) & self->mask) == 0;
         zeros = (word - 0x0101010101010101ull) & ~word & 0x8080808080808080ull;
         if (ECL_LIKELY (zeros != 0)) {
            after = key + ((unsigned) __builtin_ctzll (BSON_UINT64_FROM_LE (zeros)) >> 3) + 1;
            mine &= self->len < 8;
         } else {
            /* end is a NUL, so neither can pass it. */
            if (mine && (size_t) (end - key) > self->len && memcmp (key + 8, self->name + 8, self->len - 8) == 0 &&
                key[self->len] == '\0') {
               after = key + self->len + 1;
            } else {
               mine = false;
               after = key + 8;
               while (*after) {
                  after++;
               }
               after++;
            }
         }
      } else {
         size_t n = 0;

         while (key[n]) {
            n++;
         }
         mine = n == self->len && memcmp (key, self->name, n) == 0;
         after = key + n + 1;
      }
      if (ECL_UNLIKELY (after > end)) {
         break;
      }
      if (shape < shape_end && p <= safe) {
         ecl_shape_remember (shape++, p, (uint32_t) (after - key) - 1, mine);
      }
      if (size == 0xFF) {
         if (*p == BSON_TYPE_UTF8 ? !ecl_string_size (after, end, &size)
                                  : !ecl_bson_variable_size (*p, after, (size_t) (end - after), &size)) {
            break;
         }
      } else if (ECL_UNLIKELY (size > (size_t) (end - after))) {
         break;
      }
      if (mine) {
         *value = after;
         return p;
      }
      p = after + size;
   }
   *corrupt = p < end;
   return NULL;
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
ecl_version_field_find (ecl_version_field_t *self, const uint8_t *in, size_t len, ecl_value_t *value)
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
