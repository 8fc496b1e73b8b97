/* Diagnostics: see diag.h. */
#include "base/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void
ecl_diags_init (ecl_diags_t *self)
{
   memset (self, 0, sizeof *self);
   ecl_arena_init (&self->arena);
}

void
ecl_diags_cleanup (ecl_diags_t *self)
{
   ecl_arena_cleanup (&self->arena);
   bson_free (self->items);
   ecl_diags_init (self);
}

void
ecl_diags_clear (ecl_diags_t *self)
{
   ecl_arena_reset (&self->arena);
   self->n = 0;
   self->errors = 0;
   self->warnings = 0;
}

/* The bytes of the UTF-8 sequence at c by its first byte, 0 where it is cut: messages quote the beginnings of texts. */
static size_t
sequence (const char *c)
{
   unsigned char lead = (unsigned char) *c;
   size_t n = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;

   for (size_t i = 1; i < n; i++) {
      if ((c[i] & 0xc0) != 0x80) {
         return 0;
      }
   }
   return n;
}

/* The text with everything that would break the line replaced: messages quote what files hold. */
static const char *
one_line (ecl_diags_t *self, const char *text, size_t n)
{
   char *copy = ecl_arena_strndup (&self->arena, text, n);

   for (char *c = copy; *c;) {
      size_t len = sequence (c);

      if (!len) {
         *c = '?';
      } else if ((unsigned char) *c < 0x20 || *c == 0x7f) {
         *c = ' ';
      }
      c += len ? len : 1;
   }
   return copy;
}

static ecl_diag_t *
push (ecl_diags_t *self)
{
   if (self->n >= ECL_DIAGS_MAX) {
      return NULL;
   }
   if (self->n == self->cap) {
      self->cap = self->cap ? self->cap * 2 : 8;
      self->items = bson_realloc (self->items, self->cap * sizeof *self->items);
   }
   self->items[self->n].order = self->n;
   return &self->items[self->n++];
}

static void
count (ecl_diags_t *self, ecl_diag_level_t level)
{
   if (level == ECL_DIAG_ERROR) {
      self->errors++;
   } else {
      self->warnings++;
   }
}

bool
ecl_diags_add (ecl_diags_t *self, ecl_diag_level_t level, uint32_t domain, uint32_t code, const char *file,
               uint32_t line, uint32_t column, const char *path, const char *format, ...)
{
   ecl_diag_t *diag;
   char text[1024];
   va_list args;

   count (self, level);
   diag = push (self);
   if (!diag) {
      return false;
   }
   va_start (args, format);
   vsnprintf (text, sizeof text, format, args);
   va_end (args);
   diag->level = level;
   diag->domain = domain;
   diag->code = code;
   diag->file = one_line (self, file ? file : "", file ? strlen (file) : 0);
   diag->line = line;
   diag->column = column;
   diag->path = one_line (self, path ? path : "", path ? strlen (path) : 0);
   diag->message = one_line (self, text, strlen (text));
   return false;
}

void
ecl_diags_merge (ecl_diags_t *self, const ecl_diags_t *other)
{
   for (size_t i = 0; i < other->n; i++) {
      const ecl_diag_t *from = &other->items[i];
      ecl_diag_t *to = push (self);

      if (to) {
         size_t order = to->order;

         *to = *from;
         to->order = order;
         to->file = one_line (self, from->file, strlen (from->file));
         to->path = one_line (self, from->path, strlen (from->path));
         to->message = one_line (self, from->message, strlen (from->message));
      }
   }
   self->errors += other->errors;
   self->warnings += other->warnings;
}

static int
compare (const void *a, const void *b)
{
   const ecl_diag_t *x = a;
   const ecl_diag_t *y = b;
   int file = strcmp (x->file, y->file);

   if (file) {
      return file;
   }
   if (x->line != y->line) {
      return x->line < y->line ? -1 : 1;
   }
   if (x->column != y->column) {
      return x->column < y->column ? -1 : 1;
   }
   return x->order < y->order ? -1 : x->order > y->order;
}

void
ecl_diags_sort (ecl_diags_t *self)
{
   if (self->n) {
      qsort (self->items, self->n, sizeof *self->items, compare);
   }
}

bool
ecl_diag_print (const ecl_diag_t *diag, ecl_buf_t *out)
{
   if (diag->file[0] && !ecl_buf_printf (out, "%s:", diag->file)) {
      return false;
   }
   if (diag->line && !ecl_buf_printf (out, "%u:", diag->line)) {
      return false;
   }
   if (diag->line && diag->column && !ecl_buf_printf (out, "%u:", diag->column)) {
      return false;
   }
   if ((diag->file[0] || diag->line) && !ecl_buf_append_str (out, " ")) {
      return false;
   }
   if (diag->level == ECL_DIAG_WARNING && !ecl_buf_append_str (out, "warning: ")) {
      return false;
   }
   if (!ecl_buf_append_str (out, diag->message)) {
      return false;
   }
   return !diag->path[0] || ecl_buf_printf (out, " (at %s)", diag->path);
}

bool
ecl_diags_print (ecl_diags_t *self, ecl_buf_t *out)
{
   size_t left_out = self->errors + self->warnings - self->n;

   ecl_diags_sort (self);
   for (size_t i = 0; i < self->n; i++) {
      if (!ecl_diag_print (&self->items[i], out) || !ecl_buf_append_str (out, "\n")) {
         return false;
      }
   }
   return !left_out || ecl_buf_printf (out, "and %zu more\n", left_out);
}

bool
ecl_diags_ok (ecl_diags_t *self, bson_error_t *error)
{
   ecl_buf_t line;

   if (!self->errors) {
      return true;
   }
   ecl_diags_sort (self);
   ecl_buf_init (&line, 16384);
   for (size_t i = 0; i < self->n; i++) {
      const ecl_diag_t *diag = &self->items[i];

      if (diag->level == ECL_DIAG_ERROR) {
         /* What does not fit the buffer would not fit the error either. */
         bool fits = ecl_diag_print (diag, &line);

         ecl_fail (error, diag->domain, diag->code, self->errors > 1 ? "%s%s; and %zu more" : "%s%s",
                   ecl_buf_cstr (&line), fits ? "" : "…", self->errors - 1);
         ecl_buf_cleanup (&line);
         return false;
      }
   }
   /* Only warnings fitted the list. */
   ecl_buf_cleanup (&line);
   return ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_INVALID, "%zu errors", self->errors);
}
