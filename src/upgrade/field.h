/* The version field of a document, found by one forward scan of its top level that stops there. */
#ifndef ECL_UPGRADE_FIELD_H
#define ECL_UPGRADE_FIELD_H

#include "bson/shape.h"

#define ECL_VERSION_SHAPE 32u

typedef struct {
   const char *name; /* of the top level */
   uint32_t len;
   uint64_t head;    /* its first 8 bytes with the NUL behind them, zero padded */
   uint64_t mask;    /* of the bytes that count in head */
   const char *rest; /* the path below it, "b.c"; NULL where the field itself holds the version */
   ecl_shape_t shape[ECL_VERSION_SHAPE + 1]; /* of the document before; the last one is like no element */
} ecl_version_field_t;

typedef enum {
   ECL_FIELD_FOUND,
   ECL_FIELD_NONE, /* nothing there, or null */
   ECL_FIELD_BAD,  /* the path leads through something that is no document */
   ECL_FIELD_CORRUPT,
} ecl_field_state_t;

/* path is dotted and outlives it. */
void
ecl_version_field_init (ecl_version_field_t *self, const char *path);

/* The same from p on, without guesses. */
const uint8_t *
ecl_version_field_scan_slow (ecl_version_field_t *self, const uint8_t *in, size_t len, const uint8_t *p,
                             ecl_shape_t *shape, const uint8_t **value, bool *corrupt);

/* The element of the field's top level; NULL and *corrupt where there is none. *value is behind its key. in and len
 * are a document whose length and terminator were checked. */
static inline const uint8_t *
ecl_version_field_scan (ecl_version_field_t *self, const uint8_t *in, size_t len, const uint8_t **value, bool *corrupt)
{
   const uint8_t *p = in + 4, *end = in + len - 1, *safe = ecl_shape_safe (in, len);
   ecl_shape_t *shape = self->shape;

   for (; ECL_LIKELY (p <= safe && ecl_shape_fits (shape, p)); shape++) {
      const uint8_t *after = p + shape->skip;
      uint32_t size = shape->pass;

      if (size) {
         if (ECL_UNLIKELY (size > (size_t) (end - p))) {
            break;
         }
         p += size;
         continue;
      }
      size = shape->size;
      if (ECL_LIKELY (size == ECL_SHAPE_STRING)) {
         if (ECL_UNLIKELY (!ecl_string_size (after, end, &size))) {
            break;
         }
      } else if (size == 0xFF) {
         if (ECL_UNLIKELY (!ecl_bson_variable_size (*p, after, (size_t) (end - after), &size))) {
            break;
         }
      } else if (ECL_UNLIKELY (size > (size_t) (end - after))) {
         break;
      }
      if (shape->entry) {
         *value = after;
         return p;
      }
      p = after + size;
   }
   return ecl_version_field_scan_slow (self, in, len, p, shape, value, corrupt);
}

/* The value that holds the version, borrowed from the document. */
ecl_field_state_t
ecl_version_field_find (ecl_version_field_t *self, const uint8_t *in, size_t len, ecl_value_t *value);

#endif
