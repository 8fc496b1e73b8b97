/* Text: the source map and the choice between the readers. See text.h. */
#include "bson/cursor.h"
#include "text/text.h"

#include <stdarg.h>
#include <stdio.h>

void
ecl_text_init (ecl_text_t *self)
{
   memset (self, 0, sizeof *self);
   ecl_buf_init (&self->buf, 0);
}

void
ecl_text_cleanup (ecl_text_t *self)
{
   ecl_buf_cleanup (&self->buf);
   bson_free (self->marks);
   bson_free (self->name);
   ecl_text_init (self);
}

bool
ecl_text_locate (const ecl_text_t *self, const uint8_t *element, ecl_text_pos_t *pos)
{
   size_t low = 0;
   size_t high = self->n_marks;
   size_t offset;

   memset (pos, 0, sizeof *pos);
   if (!self->doc || element < self->doc || element >= self->doc + self->len || !self->n_marks) {
      return false;
   }
   offset = (size_t) (element - self->buf.data);
   /* The last mark at or before offset; a pointer to the very start means the root, the first mark. */
   while (low < high) {
      size_t middle = low + (high - low) / 2;

      if (self->marks[middle].offset <= offset) {
         low = middle + 1;
      } else {
         high = middle;
      }
   }
   *pos = self->marks[low ? low - 1 : 0].pos;
   return true;
}

bool
ecl_text_path (const ecl_text_t *self, const uint8_t *element, ecl_buf_t *out)
{
   const uint8_t *doc = self->doc;
   size_t len = self->len;
   bool wrapped = doc == self->buf.data;
   bool first = true;

   if (!doc || element < doc || element >= doc + len) {
      return false;
   }
   for (;;) {
      ecl_cursor_t iter;
      bool found = false;

      if (!ecl_cursor_init (&iter, doc, len)) {
         return false;
      }
      while (!found && ecl_cursor_next (&iter)) {
         found = element >= iter.element && element < iter.value + iter.value_len;
      }
      /* An element without bytes of its own ends where the next begins: found by its type byte. */
      if (!found) {
         return true;
      }
      if (!wrapped) {
         if ((!first && !ecl_buf_append_str (out, ".")) || !ecl_buf_append (out, iter.key, iter.key_len)) {
            return false;
         }
         first = false;
      }
      wrapped = false;
      if ((iter.type != BSON_TYPE_DOCUMENT && iter.type != BSON_TYPE_ARRAY) || element < iter.value) {
         return true;
      }
      doc = iter.value;
      len = iter.value_len;
   }
}

bool
ecl_text_diag (const ecl_text_t *self, ecl_diags_t *diags, ecl_diag_level_t level, uint32_t domain, uint32_t code,
               const uint8_t *element, const char *format, ...)
{
   char message[512];
   ecl_text_pos_t pos;
   ecl_buf_t path;
   va_list args;

   va_start (args, format);
   vsnprintf (message, sizeof message, format, args);
   va_end (args);
   ecl_buf_init (&path, 4096);
   /* Without a place there is no path either; one that is too long is shown as far as it fits. */
   ecl_text_locate (self, element, &pos);
   ecl_text_path (self, element, &path);
   ecl_diags_add (diags, level, domain, code, self->name, pos.line, pos.column, ecl_buf_cstr (&path), "%s", message);
   ecl_buf_cleanup (&path);
   return false;
}

static bool
ends_with (const char *text, const char *end)
{
   size_t n = strlen (text);
   size_t m = strlen (end);

   return n >= m && strcmp (text + n - m, end) == 0;
}

bool
ecl_text_read (ecl_text_t *self, const ecl_text_source_t *source, ecl_text_flags_t flags, ecl_diags_t *diags)
{
   return source->name && ends_with (source->name, ".json") ? ecl_text_read_json (self, source, flags, diags)
                                                            : ecl_text_read_yaml (self, source, flags, diags);
}

bool
ecl_text_read_any (ecl_text_t *self, const ecl_text_source_t *source, ecl_text_flags_t flags, ecl_diags_t *diags)
{
   ecl_diags_t json;
   bool syntax = false;
   bool ok;

   ecl_diags_init (&json);
   ok = ecl_text_read_json (self, source, flags, &json);
   for (size_t i = 0; i < json.n; i++) {
      syntax |= json.items[i].code == ECL_ERROR_SYNTAX;
   }
   if (ok || !syntax) {
      /* It is JSON; what it says may still be wrong. */
      ecl_diags_merge (diags, &json);
   } else {
      ok = ecl_text_read_yaml (self, source, flags, diags);
   }
   ecl_diags_cleanup (&json);
   return ok;
}
