/* Shape: a guess at the next element of a document.
 *
 * Documents of a collection mostly look alike. What the element at a place was in the document before is remembered;
 * where the guess holds (it is compared in full, never believed), the next element's place is known without waiting for
 * the key's length and the type's size, and whether the key is one that is looked for without looking it up.
 *
 * A guess can be compared, and remembered, where 16 bytes follow before the document's last one; the value that it
 * finds does then not begin behind the end. All else is checked by whoever reads on from there.
 */
#ifndef ECL_BSON_SHAPE_H
#define ECL_BSON_SHAPE_H

#include "bson/cursor.h"

typedef struct {
   uint64_t words[2]; /* the type, the key and its NUL, zero padded */
   uint64_t masks[2]; /* of their bytes */
   uint8_t pass;      /* of the whole element, where it has a fixed size and nobody looks for it; else 0 */
   uint8_t skip;      /* from the element to its value */
   uint8_t size;      /* of the value: as in ecl_bson_fixed_size, or ECL_SHAPE_STRING */
   uint32_t entry;    /* what the caller knows about the key; 0: nobody looks for it */
} ecl_shape_t;

#define ECL_SHAPE_STRING 0xFE
#define ECL_SHAPE_KEY 14u /* longer keys are not remembered */

/* What no bytes are like: no mask lets its words through. */
static inline void
ecl_shape_forget (ecl_shape_t *self)
{
   *self = (ecl_shape_t){.words = {UINT64_MAX, 0}};
}

static inline void
ecl_shape_remember (ecl_shape_t *self, const uint8_t *element, uint32_t key_len, uint32_t entry)
{
   static const uint8_t mask[32] = {[0 ... 15] = 0xFF};
   uint8_t size = ecl_bson_fixed_size[*element];

   if (ECL_UNLIKELY (key_len > ECL_SHAPE_KEY)) {
      ecl_shape_forget (self);
      return;
   }
   memcpy (self->masks, mask + 14 - key_len, 16);
   memcpy (self->words, element, 16);
   self->words[0] &= self->masks[0];
   self->words[1] &= self->masks[1];
   self->skip = (uint8_t) (key_len + 2);
   self->size = *element == BSON_TYPE_UTF8 ? ECL_SHAPE_STRING : size;
   self->entry = entry;
   self->pass = size == 0xFF || entry ? 0 : (uint8_t) (key_len + 2 + size);
}

/* True where the element at p has the type and the key that are remembered. */
static inline bool
ecl_shape_fits (const ecl_shape_t *self, const uint8_t *p)
{
   uint64_t words[2];

   memcpy (words, p, sizeof words);
   return (((words[0] & self->masks[0]) ^ self->words[0]) | ((words[1] & self->masks[1]) ^ self->words[1])) == 0;
}

/* Up to here in a document of len bytes a guess can be compared; in itself where that is nowhere. */
static inline const uint8_t *
ecl_shape_safe (const uint8_t *in, size_t len)
{
   return len > 24 ? in + len - 1 - 16 : in;
}

/* Size of a string with its length; false where it does not fit between value and end. Most fields of most documents
 * are strings. As ecl_bson_variable_size. */
static inline bool
ecl_string_size (const uint8_t *value, const uint8_t *end, uint32_t *size)
{
   uint32_t n;

   if (ECL_UNLIKELY (end - value < 5)) {
      return false;
   }
   n = ecl_load_u32 (value);
   *size = 4 + n;
   return ECL_LIKELY (n - 1 < (size_t) (end - value) - 4 && value[3 + (size_t) n] == 0);
}

#endif
