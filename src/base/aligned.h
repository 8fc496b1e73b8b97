/* Memory for objects that hold a bson_t by value: libbson aligns those to 128 bytes, and bson_malloc gives 16. Without
 * it a compiler may use instructions that fault. */
#ifndef ECL_BASE_ALIGNED_H
#define ECL_BASE_ALIGNED_H

#include <stdlib.h>
#include <string.h>

/* Cleared; aborts where there is no memory, as bson_malloc does. To be given back with ecl_aligned_free. */
static inline void *
ecl_aligned_malloc0 (size_t alignment, size_t size)
{
   void *p = NULL;

   if (posix_memalign (&p, alignment, size) != 0) {
      abort ();
   }
   return memset (p, 0, size);
}

/* One object of the type that the pointer points to. */
#define ecl_aligned_new(pointer) ecl_aligned_malloc0 (_Alignof (__typeof__ (*(pointer))), sizeof *(pointer))

static inline void
ecl_aligned_free (void *p)
{
   free (p);
}

#endif
