/* Streams: JSON documents one after another, read in pieces. Only one document is in memory, as BSON; the input buffer
 * has a fixed size and no token but a number is kept. */
#include "text/json.h"

#include <errno.h>
#include <stddef.h>

#define PIECE 65536u

struct ecl_json_stream_t {
   ecl_text_t text;
   ecl_build_t build;
   ecl_json_t json;
   ecl_diags_t diags;
   ecl_json_read_fn read;
   void *ctx;
   int read_errno; /* of the read that failed, else 0 */
   bool ended;     /* the source said so: it is not asked again */
   bool begun;
   bool broken;
   uint32_t line;
   bson_error_t error; /* what further calls repeat once it is broken */
   uint8_t piece[PIECE];
};

static bool
refill (void *ctx, const uint8_t **p, const uint8_t **end)
{
   ecl_json_stream_t *self = ctx;
   ssize_t n;

   if (self->ended) {
      return false;
   }
   n = self->read (self->ctx, self->piece, sizeof self->piece);
   if (n <= 0 || (size_t) n > sizeof self->piece) {
      self->ended = true;
      self->read_errno = n == 0 ? 0 : errno ? errno : EIO;
      return false;
   }
   *p = self->piece;
   *end = self->piece + n;
   return true;
}

ecl_json_stream_t *
ecl_json_stream_new (const char *name, ecl_text_flags_t flags, ecl_json_read_fn read, void *ctx)
{
   ecl_json_stream_t *self = bson_malloc (sizeof *self);

   memset (self, 0, offsetof (ecl_json_stream_t, piece));
   ecl_text_init (&self->text);
   self->text.name = bson_strdup (name ? name : "");
   ecl_diags_init (&self->diags);
   ecl_build_init (&self->build, &self->text, (flags & ~(unsigned) ECL_TEXT_ANY_VALUE) | ECL_TEXT_NO_MAP, &self->diags);
   ecl_json_init (&self->json, &self->build, NULL, 0);
   self->json.refill = refill;
   self->json.ctx = self;
   self->read = read;
   self->ctx = ctx;
   return self;
}

void
ecl_json_stream_destroy (ecl_json_stream_t *self)
{
   if (!self) {
      return;
   }
   ecl_json_cleanup (&self->json);
   ecl_build_cleanup (&self->build);
   ecl_diags_cleanup (&self->diags);
   ecl_text_cleanup (&self->text);
   bson_free (self);
}

/* A BOM may stand before the first document; its bytes may come in pieces. */
static bool
skip_bom (ecl_json_stream_t *self)
{
   static const uint8_t bom[] = {0xef, 0xbb, 0xbf};

   for (size_t i = 0; i < sizeof bom; i++) {
      if (self->json.p == self->json.end && !refill (self, &self->json.p, &self->json.end)) {
         return i == 0;
      }
      if (*self->json.p != bom[i]) {
         return i == 0;
      }
      self->json.p++;
   }
   return true;
}

static bool
break_off (ecl_json_stream_t *self, bson_error_t *error)
{
   self->broken = true;
   if (self->read_errno) {
      char text[128];

      ecl_fail (&self->error, ECL_DOMAIN_TEXT, ECL_ERROR_FILE, "%s:%u: cannot read on: %s", self->text.name,
                self->json.line, bson_strerror_r (self->read_errno, text, sizeof text));
   } else {
      ecl_diags_ok (&self->diags, &self->error);
   }
   if (error) {
      *error = self->error;
   }
   return false;
}

bool
ecl_json_stream_next (ecl_json_stream_t *self, const uint8_t **doc, size_t *len, bson_error_t *error)
{
   *doc = NULL;
   *len = 0;
   if (self->broken) {
      if (error) {
         *error = self->error;
      }
      return false;
   }
   ecl_diags_clear (&self->diags);
   ecl_build_restart (&self->build);
   if (!self->begun) {
      self->begun = true;
      if (!skip_bom (self)) {
         ecl_json_expected (&self->json, "a value");
         return break_off (self, error);
      }
   }
   if (!ecl_json_skip (&self->json)) {
      return self->read_errno ? break_off (self, error) : true;
   }
   self->line = self->json.line;
   if (!ecl_json_value (&self->json) || self->read_errno) {
      return break_off (self, error);
   }
   ecl_build_finish (&self->build);
   if (self->build.stopped) {
      return break_off (self, error);
   }
   if (!ecl_diags_ok (&self->diags, error)) {
      return false;
   }
   *doc = self->text.doc;
   *len = self->text.len;
   return true;
}

uint32_t
ecl_json_stream_line (const ecl_json_stream_t *self)
{
   return self->line;
}

bool
ecl_json_stream_broken (const ecl_json_stream_t *self)
{
   return self->broken;
}
