/* Buffer: bytes that grow up to a bound.
 *
 * Every buffer has a hard maximum that its owner states; nothing read from outside can make it larger. Writing past
 * the bound fails and changes nothing. Clearing keeps the memory.
 */
#ifndef ECL_BASE_BUF_H
#define ECL_BASE_BUF_H

#include "base/error.h"

#include <string.h>

typedef struct {
   uint8_t *data;
   size_t len;
   size_t cap;
   size_t max;
} ecl_buf_t;

/* No memory is taken before the first write; max is the bound of len in bytes. */
void
ecl_buf_init (ecl_buf_t *self, size_t max);

void
ecl_buf_cleanup (ecl_buf_t *self);

/* Makes room for n bytes more; false where that would pass the bound. */
bool
ecl_buf_reserve (ecl_buf_t *self, size_t n) ECL_MUST_CHECK;

bool
ecl_buf_append (ecl_buf_t *self, const void *data, size_t n) ECL_MUST_CHECK;

bool
ecl_buf_append_str (ecl_buf_t *self, const char *text) ECL_MUST_CHECK;

bool
ecl_buf_printf (ecl_buf_t *self, const char *format, ...) ECL_PRINTF (2, 3) ECL_MUST_CHECK;

/* The bytes as a C string; the NUL is not counted in len. Valid until the next write. */
const char *
ecl_buf_cstr (ecl_buf_t *self);

/* A memcpy for what is mostly short: no call up to 32 bytes. */
static inline void
ecl_copy_short (uint8_t *out, const void *from, size_t n)
{
   const uint8_t *in = from;

   if (ECL_UNLIKELY (n > 32)) {
      memcpy (out, in, n);
   } else if (n >= 16) {
      uint8_t head[16], tail[16];

      memcpy (head, in, 16);
      memcpy (tail, in + n - 16, 16);
      memcpy (out, head, 16);
      memcpy (out + n - 16, tail, 16);
   } else if (n >= 8) {
      uint64_t head, tail;

      memcpy (&head, in, 8);
      memcpy (&tail, in + n - 8, 8);
      memcpy (out, &head, 8);
      memcpy (out + n - 8, &tail, 8);
   } else if (n >= 4) {
      uint32_t head, tail;

      memcpy (&head, in, 4);
      memcpy (&tail, in + n - 4, 4);
      memcpy (out, &head, 4);
      memcpy (out + n - 4, &tail, 4);
   } else if (n) {
      out[0] = in[0];
      out[n / 2] = in[n / 2];
      out[n - 1] = in[n - 1];
   }
}

static inline void
ecl_buf_clear (ecl_buf_t *self)
{
   self->len = 0;
}

#endif
