/* What the fuzz targets of src/text share: properties that hold for everything that was read. */
#ifndef FUZZ_H
#define FUZZ_H

#include "text/text.h"

#include <stdlib.h>

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Not assert: it must also count in a release build. */
#define FUZZ_ASSERT(condition)                                            \
   do {                                                                   \
      if (!(condition)) {                                                 \
         fprintf (stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
         abort ();                                                        \
      }                                                                   \
   } while (0)

/* Every place in the source map is a place, in order, with a path. */
static inline void
fuzz_map (const ecl_text_t *text)
{
   /* A path costs a walk from the root: some are enough. */
   size_t step = 1 + text->n_marks / 16;
   ecl_buf_t path;

   ecl_buf_init (&path, 1 << 24);
   for (size_t i = 1; i < text->n_marks; i++) {
      FUZZ_ASSERT (text->marks[i - 1].offset < text->marks[i].offset);
      FUZZ_ASSERT (text->marks[i].pos.line && text->marks[i].pos.column);
      FUZZ_ASSERT (text->marks[i].pos.value_line >= text->marks[i].pos.line);
   }
   for (size_t i = 1; i < text->n_marks; i += step) {
      const uint8_t *element = text->buf.data + text->marks[i].offset;
      ecl_text_pos_t pos;

      ecl_buf_clear (&path);
      FUZZ_ASSERT (ecl_text_locate (text, element, &pos));
      FUZZ_ASSERT (memcmp (&pos, &text->marks[i].pos, sizeof pos) == 0);
      FUZZ_ASSERT (ecl_text_path (text, element, &path));
   }
   ecl_buf_cleanup (&path);
}

/* Written canonically and read again it is the same bytes; only what is nearly too deep is too deep as text. */
static inline void
fuzz_round_trip (const ecl_text_t *text)
{
   ecl_text_t again;
   ecl_diags_t diags;
   ecl_buf_t out;
   bson_error_t error;
   bson_t bson;

   FUZZ_ASSERT (bson_init_static (&bson, text->doc, text->len));
   FUZZ_ASSERT (bson_validate (&bson, BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL, NULL));
   ecl_buf_init (&out, ECL_TEXT_SOURCE_MAX);
   ecl_text_init (&again);
   ecl_diags_init (&diags);
   if (ecl_extjson_write (text->doc, text->len, ECL_EXTJSON_CANONICAL, &out, &error)) {
      ecl_text_source_t source = {.name = "again", .bytes = out.data, .len = out.len};

      if (ecl_text_read_json (&again, &source, ECL_TEXT_DEFAULT, &diags)) {
         FUZZ_ASSERT (again.len == text->len && memcmp (again.doc, text->doc, text->len) == 0);
      } else {
         FUZZ_ASSERT (diags.n == 1 && diags.items[0].code == ECL_ERROR_TOO_DEEP);
      }
   } else {
      FUZZ_ASSERT (error.code == ECL_ERROR_TOO_LARGE);
   }
   ecl_diags_cleanup (&diags);
   ecl_text_cleanup (&again);
   ecl_buf_cleanup (&out);
}

/* Prints, and each complaint is one line. */
static inline void
fuzz_diags (ecl_diags_t *diags)
{
   size_t lines = 0;
   ecl_buf_t out;

   ecl_buf_init (&out, 1 << 24);
   FUZZ_ASSERT (ecl_diags_print (diags, &out));
   for (size_t i = 0; i < out.len; i++) {
      lines += out.data[i] == '\n';
   }
   FUZZ_ASSERT (lines == diags->n + (diags->errors + diags->warnings > diags->n));
   ecl_buf_cleanup (&out);
   ecl_diags_clear (diags);
}

#endif
