/* Buffer: see buf.h. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

void
ecl_buf_init (ecl_buf_t *self, size_t max)
{
   memset (self, 0, sizeof *self);
   self->max = max;
}

void
ecl_buf_cleanup (ecl_buf_t *self)
{
   size_t max = self->max;

   bson_free (self->data);
   ecl_buf_init (self, max);
}

bool
ecl_buf_reserve (ecl_buf_t *self, size_t n)
{
   size_t cap;

   if (n > self->max || self->len > self->max - n) {
      return false;
   }
   /* One byte more than is counted, for the NUL of ecl_buf_cstr. */
   if (self->len + n + 1 <= self->cap) {
      return true;
   }
   cap = self->cap ? self->cap : 64;
   while (cap < self->len + n + 1) {
      cap *= 2;
   }
   self->data = bson_realloc (self->data, cap);
   self->cap = cap;
   return true;
}

bool
ecl_buf_append (ecl_buf_t *self, const void *data, size_t n)
{
   if (!ecl_buf_reserve (self, n)) {
      return false;
   }
   if (n) {
      memcpy (self->data + self->len, data, n);
   }
   self->len += n;
   return true;
}

bool
ecl_buf_append_str (ecl_buf_t *self, const char *text)
{
   return ecl_buf_append (self, text, strlen (text));
}

bool
ecl_buf_printf (ecl_buf_t *self, const char *format, ...)
{
   va_list args;
   int n;

   va_start (args, format);
   n = vsnprintf (NULL, 0, format, args);
   va_end (args);
   if (n < 0 || !ecl_buf_reserve (self, (size_t) n)) {
      return false;
   }
   va_start (args, format);
   vsnprintf ((char *) self->data + self->len, (size_t) n + 1, format, args);
   va_end (args);
   self->len += (size_t) n;
   return true;
}

const char *
ecl_buf_cstr (ecl_buf_t *self)
{
   if (!self->data && !ecl_buf_reserve (self, 0)) {
      return "";
   }
   self->data[self->len] = '\0';
   return (const char *) self->data;
}
