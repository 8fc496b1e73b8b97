/* Our values into libbson's documents: see append.h. */
#include "bson/append.h"

#include "bson/cursor.h"

void
ecl_append_value (bson_t *doc, const char *key, const ecl_value_t *value)
{
   uint64_t size = ecl_value_size (value);
   uint8_t small[256], *bytes = small, *p;
   bson_iter_t iter;
   bson_t one;

   if (ecl_is_missing (value)) {
      return;
   }
   BSON_ASSERT (size < INT32_MAX - 7);
   if (size + 7 > sizeof small) {
      bytes = bson_malloc (size + 7);
   }
   /* {"": value}, which libbson then copies whatever it is. */
   ecl_store_u32 (bytes, (uint32_t) size + 7);
   bytes[4] = value->type;
   bytes[5] = 0;
   p = ecl_value_write (value, bytes + 6);
   *p = 0;
   BSON_ASSERT (bson_init_static (&one, bytes, size + 7) && bson_iter_init (&iter, &one) && bson_iter_next (&iter));
   bson_append_iter (doc, key, -1, &iter);
   if (bytes != small) {
      bson_free (bytes);
   }
}
