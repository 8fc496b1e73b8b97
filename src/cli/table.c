/* Tables of text: see table.h. */
#include "cli/table.h"

#include <stdarg.h>
#include <string.h>

void
ecl_table_init (ecl_table_t *self, size_t n_columns, const char *const *headings)
{
   BSON_ASSERT (n_columns && n_columns <= ECL_TABLE_COLUMNS);
   memset (self, 0, sizeof *self);
   ecl_arena_init (&self->arena);
   self->n_columns = n_columns;
   for (size_t i = 0; i < n_columns; i++) {
      self->right[i] = headings[i][0] == '>';
      ecl_table_cell (self, "%s", headings[i] + self->right[i]);
   }
}

void
ecl_table_cleanup (ecl_table_t *self)
{
   bson_free (self->cells);
   ecl_arena_cleanup (&self->arena);
}

void
ecl_table_cell (ecl_table_t *self, const char *format, ...)
{
   char text[256];
   va_list args;

   va_start (args, format);
   vsnprintf (text, sizeof text, format, args);
   va_end (args);
   if (self->n == self->cap) {
      self->cap = self->cap ? 2 * self->cap : 64;
      self->cells = bson_realloc (self->cells, self->cap * sizeof (char *));
   }
   self->cells[self->n++] = ecl_arena_strndup (&self->arena, text, strlen (text));
}

/* In characters; combining and wide ones are not known here. */
static size_t
width (const char *text)
{
   size_t n = 0;

   for (; *text; text++) {
      n += (*text & 0xC0) != 0x80;
   }
   return n;
}

void
ecl_table_print (const ecl_table_t *self, bool colour, FILE *out)
{
   size_t widths[ECL_TABLE_COLUMNS] = {0};

   for (size_t i = 0; i < self->n; i++) {
      size_t *widest = &widths[i % self->n_columns], w = width (self->cells[i]);

      *widest = w > *widest ? w : *widest;
   }
   for (size_t i = 0; i < self->n; i++) {
      size_t column = i % self->n_columns;
      int padding = (int) (widths[column] - width (self->cells[i]));
      bool heading = i < self->n_columns, last = column + 1 == self->n_columns;

      fprintf (out, "%s%s%*s%s%*s%s%s", column ? "  " : "", heading && colour ? "\033[1m" : "",
               self->right[column] ? padding : 0, "", self->cells[i], self->right[column] || last ? 0 : padding, "",
               heading && colour ? "\033[0m" : "", last ? "\n" : "");
   }
}
