/* Fuzz target: JSON with Extended JSON, whole and as a stream in pieces, and the writer over whatever the bytes are. */
#include "fuzz.h"

typedef struct {
   const uint8_t *next;
   const uint8_t *end;
} feed_t;

/* Pieces of sizes that depend on the bytes. */
static ssize_t
feed (void *ctx, void *to, size_t cap)
{
   feed_t *self = ctx;
   size_t left = (size_t) (self->end - self->next);
   size_t n = left ? 1 + *self->next % 7u : 0;

   n = n < left ? n : left;
   n = n < cap ? n : cap;
   if (n) {
      memcpy (to, self->next, n);
   }
   self->next += n;
   return (ssize_t) n;
}

static void
read_stream (const uint8_t *data, size_t size, const ecl_text_t *whole)
{
   feed_t source = {data, data + size};
   ecl_json_stream_t *stream = ecl_json_stream_new ("fuzz", ECL_TEXT_DEFAULT, feed, &source);
   const uint8_t *doc;
   size_t len;
   size_t documents = 0;

   for (;;) {
      bool ok = ecl_json_stream_next (stream, &doc, &len, NULL);

      if (ok && !doc) {
         break;
      }
      if (!ok && ecl_json_stream_broken (stream)) {
         FUZZ_ASSERT (!whole);
         break;
      }
      if (whole) {
         /* Read whole it was one document; so it is in pieces. */
         FUZZ_ASSERT (ok && ++documents == 1 && len == whole->len && memcmp (doc, whole->doc, len) == 0);
      }
   }
   ecl_json_stream_destroy (stream);
}

static void
write_raw (const uint8_t *data, size_t size, ecl_extjson_mode_t mode)
{
   ecl_buf_t out;

   ecl_buf_init (&out, 1 << 20);
   if (ecl_extjson_write (data, size, mode, &out, NULL)) {
      /* Whatever the strings were, it is UTF-8 now. */
      FUZZ_ASSERT (bson_utf8_validate ((const char *) out.data, out.len, false));
   } else {
      FUZZ_ASSERT (out.len == 0);
   }
   ecl_buf_cleanup (&out);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
   ecl_text_source_t source = {.name = "fuzz", .bytes = data, .len = size};
   ecl_text_t text;
   ecl_diags_t diags;
   bool ok;

   ecl_text_init (&text);
   ecl_diags_init (&diags);
   if (ecl_text_read_json (&text, &source, ECL_TEXT_ANY_VALUE, &diags)) {
      fuzz_map (&text);
      fuzz_round_trip (&text);
   }
   fuzz_diags (&diags);
   ok = ecl_text_read_json (&text, &source, ECL_TEXT_DEFAULT, &diags);
   read_stream (data, size, ok ? &text : NULL);
   write_raw (data, size, ECL_EXTJSON_CANONICAL);
   write_raw (data, size, ECL_EXTJSON_RELAXED | ECL_EXTJSON_PRETTY);
   ecl_diags_cleanup (&diags);
   ecl_text_cleanup (&text);
   return 0;
}
