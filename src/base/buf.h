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

static inline void
ecl_buf_clear (ecl_buf_t *self)
{
   self->len = 0;
}

#endif
