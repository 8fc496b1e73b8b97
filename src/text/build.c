/* Builder: see build.h. */
#include "text/build.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* Before it is converted, a binary value is longer by a third; more than that a document never shrinks. */
#define BUILD_MAX (2 * (size_t) ECL_TEXT_BSON_MAX)

/* With so few keys comparing each with each costs less than sorting. */
#define FEW_KEYS 8u

void
ecl_build_restart (ecl_build_t *self)
{
   static const uint8_t head[4] = {0};

   ecl_buf_clear (self->buf);
   self->text->doc = NULL;
   self->text->len = 0;
   self->text->n_marks = 0;
   self->n_keys = 0;
   self->stopped = false;
   self->depth = 1;
   memset (&self->frames[0], 0, sizeof self->frames[0]);
   if (!ecl_buf_append (self->buf, head, sizeof head)) {
      self->stopped = true;
   }
}

bool
ecl_build_start (ecl_text_t *text, const ecl_text_source_t *source, ecl_diags_t *diags)
{
   ecl_text_cleanup (text);
   if (source->len > ECL_TEXT_SOURCE_MAX) {
      return ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_TEXT, ECL_ERROR_TOO_LARGE, source->name, 0, 0, NULL,
                            "larger than 16 MiB");
   }
   text->name = bson_strdup (source->name ? source->name : "");
   return true;
}

void
ecl_build_init (ecl_build_t *self, ecl_text_t *text, ecl_text_flags_t flags, ecl_diags_t *diags)
{
   memset (self, 0, offsetof (ecl_build_t, frames));
   self->text = text;
   self->buf = &text->buf;
   self->buf->max = BUILD_MAX;
   self->flags = flags;
   self->diags = diags;
   ecl_buf_init (&self->scratch, BUILD_MAX);
   ecl_build_restart (self);
}

void
ecl_build_cleanup (ecl_build_t *self)
{
   ecl_buf_cleanup (&self->scratch);
   bson_free (self->keys);
   self->keys = NULL;
}

/* The keys of the open elements, from the buffer itself. */
static void
path_of (const ecl_build_t *self, ecl_buf_t *out)
{
   bool fits = true;

   for (size_t i = 1; i < self->depth && fits; i++) {
      const ecl_frame_t *frame = &self->frames[i];

      if (frame->n && frame->element < self->buf->len) {
         const char *key = (const char *) self->buf->data + frame->element + 1;

         fits = (!out->len || ecl_buf_append_str (out, ".")) && ecl_buf_append_str (out, key);
      }
   }
}

bool
ecl_build_diag (ecl_build_t *self, ecl_diag_level_t level, uint32_t code, ecl_place_t place, const char *format, ...)
{
   char message[512];
   ecl_buf_t path;
   va_list args;

   va_start (args, format);
   vsnprintf (message, sizeof message, format, args);
   va_end (args);
   ecl_buf_init (&path, 4096);
   if (level == ECL_DIAG_ERROR) {
      /* A wrapper around it would only complain about what was put in its place. */
      self->frames[self->depth - 1].bad = true;
   }
   if (!ecl_diags_room (self->diags)) {
      /* Only counted: a path walks over keys of any length, and there may be any number of complaints. */
      return ecl_diags_add (self->diags, level, ECL_DOMAIN_TEXT, code, NULL, 0, 0, NULL, "%s", "");
   }
   if (!self->stopped) {
      /* A key in the making has no end yet. */
      (void) ecl_buf_cstr (self->buf);
      path_of (self, &path);
   }
   ecl_diags_add (self->diags, level, ECL_DOMAIN_TEXT, code, self->text->name, place.line, place.column,
                  ecl_buf_cstr (&path), "%s", message);
   ecl_buf_cleanup (&path);
   return false;
}

static ecl_frame_t *
top (ecl_build_t *self)
{
   return &self->frames[self->depth - 1];
}

/* Nothing is written any more; said once. */
static void
stop (ecl_build_t *self, uint32_t code, ecl_place_t place, const char *message)
{
   if (!self->stopped) {
      ecl_build_diag (self, ECL_DIAG_ERROR, code, place, "%s", message);
      self->stopped = true;
   }
}

void
ecl_build_bytes (ecl_build_t *self, const void *bytes, size_t n)
{
   if (!self->stopped && !ecl_buf_append (self->buf, bytes, n)) {
      stop (self, ECL_ERROR_TOO_LARGE, top (self)->value, "a document may have at most 16 MiB");
   }
}

static void
put_u32 (ecl_build_t *self, uint32_t value)
{
   value = BSON_UINT32_TO_LE (value);
   ecl_build_bytes (self, &value, sizeof value);
}

static void
patch_u32 (ecl_build_t *self, size_t at, size_t value)
{
   uint32_t le = BSON_UINT32_TO_LE ((uint32_t) value);

   if (!self->stopped) {
      memcpy (self->buf->data + at, &le, sizeof le);
   }
}

/* A type byte that is set later. */
static void
begin_element (ecl_build_t *self)
{
   ecl_frame_t *frame = top (self);

   frame->element = self->buf->len;
   frame->n++;
   ecl_build_bytes (self, "", 1);
}

static void
mark (ecl_build_t *self, ecl_place_t place)
{
   ecl_text_t *text = self->text;
   ecl_frame_t *frame = top (self);
   ecl_text_mark_t *entry;

   frame->value = place;
   if (self->stopped || (self->flags & ECL_TEXT_NO_MAP)) {
      return;
   }
   if (text->n_marks == text->cap_marks) {
      text->cap_marks = text->cap_marks ? text->cap_marks * 2 : 32;
      text->marks = bson_realloc (text->marks, text->cap_marks * sizeof *text->marks);
   }
   entry = &text->marks[text->n_marks++];
   entry->offset = (uint32_t) frame->element;
   entry->pos = (ecl_text_pos_t){place.line, place.column, place.line, place.column};
   frame->n_marks = text->n_marks;
}

void
ecl_build_key_begin (ecl_build_t *self, ecl_place_t place)
{
   begin_element (self);
   mark (self, place);
}

void
ecl_build_key_end (ecl_build_t *self)
{
   ecl_frame_t *frame = top (self);
   const uint8_t *key;
   size_t n;

   if (self->stopped) {
      return;
   }
   key = self->buf->data + frame->element + 1;
   n = self->buf->len - frame->element - 1;
   if (n && memchr (key, 0, n)) {
      /* From here on the key is what stands before the NUL: well-formed, though never given out. */
      self->buf->len = (size_t) ((const uint8_t *) memchr (key, 0, n) - self->buf->data);
      ecl_build_diag (self, ECL_DIAG_ERROR, ECL_ERROR_INVALID, frame->value, "a key cannot hold the character U+0000");
      n = self->buf->len - frame->element - 1;
   }
   frame->wrapper |= ecl_wrap_key ((const char *) key, n);
   if (!(self->flags & ECL_TEXT_DUPLICATES)) {
      if (self->n_keys == self->cap_keys) {
         self->cap_keys = self->cap_keys ? self->cap_keys * 2 : 32;
         self->keys = bson_realloc (self->keys, self->cap_keys * sizeof *self->keys);
      }
      self->keys[self->n_keys++] = (ecl_key_t){(uint32_t) (frame->element + 1), frame->value};
   }
   ecl_build_bytes (self, "", 1);
}

void
ecl_build_value (ecl_build_t *self, ecl_place_t place)
{
   ecl_frame_t *frame = top (self);

   if (frame->array || self->depth == 1) {
      char key[16];

      begin_element (self);
      if (frame->array) {
         int n = snprintf (key, sizeof key, "%u", frame->n - 1);

         ecl_build_bytes (self, key, (size_t) n);
      }
      ecl_build_bytes (self, "", 1);
      mark (self, place);
      return;
   }
   frame->value = place;
   if (!self->stopped && !(self->flags & ECL_TEXT_NO_MAP)) {
      ecl_text_mark_t *entry = &self->text->marks[self->text->n_marks - 1];

      entry->pos.value_line = place.line;
      entry->pos.value_column = place.column;
   }
}

static void
set_type (ecl_build_t *self, uint8_t type)
{
   if (!self->stopped) {
      self->buf->data[top (self)->element] = type;
   }
}

static void
put_value (ecl_build_t *self, uint8_t type, const void *bytes, size_t n)
{
   set_type (self, type);
   ecl_build_bytes (self, bytes, n);
}

bool
ecl_build_open (ecl_build_t *self, bool array)
{
   ecl_frame_t *frame;
   ecl_place_t place = top (self)->value;

   if (self->depth > ECL_TEXT_DEPTH) {
      stop (self, ECL_ERROR_TOO_DEEP, place, "nested deeper than 100 levels");
   }
   if (self->stopped) {
      return false;
   }
   set_type (self, array ? BSON_TYPE_ARRAY : BSON_TYPE_DOCUMENT);
   frame = &self->frames[self->depth++];
   memset (frame, 0, sizeof *frame);
   frame->array = array;
   frame->place = place;
   frame->value = place;
   frame->start = self->buf->len;
   frame->first_key = self->n_keys;
   put_u32 (self, 0);
   return true;
}

static int
compare_keys (const void *a, const void *b, void *data)
{
   const ecl_key_t *x = a;
   const ecl_key_t *y = b;
   const char *bytes = data;
   int order = strcmp (bytes + x->offset, bytes + y->offset);

   return order ? order : x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void
duplicate (ecl_build_t *self, const ecl_key_t *first, const ecl_key_t *again)
{
   ecl_frame_t *frame = top (self);
   size_t element = frame->element;

   /* For the path. */
   frame->element = again->offset - 1;
   ecl_build_diag (self, ECL_DIAG_ERROR, ECL_ERROR_DUPLICATE_KEY, again->place,
                   "duplicate key \"%.100s\", first on line %u", (const char *) self->buf->data + again->offset,
                   first->place.line);
   frame->element = element;
}

static void
check_keys (ecl_build_t *self)
{
   size_t n = self->n_keys - top (self)->first_key;
   const char *bytes = (const char *) self->buf->data;
   ecl_key_t *keys;

   if (n < 2) {
      return;
   }
   keys = self->keys + top (self)->first_key;
   if (n <= FEW_KEYS) {
      for (size_t i = 1; i < n; i++) {
         for (size_t j = 0; j < i; j++) {
            if (strcmp (bytes + keys[i].offset, bytes + keys[j].offset) == 0) {
               duplicate (self, &keys[j], &keys[i]);
               bytes = (const char *) self->buf->data;
               break;
            }
         }
      }
      return;
   }
   qsort_r (keys, n, sizeof *keys, compare_keys, (void *) bytes);
   for (size_t i = 1, first = 0; i < n; i++) {
      if (strcmp (bytes + keys[i].offset, bytes + keys[first].offset) == 0) {
         duplicate (self, &keys[first], &keys[i]);
         bytes = (const char *) self->buf->data;
      } else {
         first = i;
      }
   }
}

/* The mapping that has just been closed becomes its value, an element of what is top now. */
static void
unwrap (ecl_build_t *self, const ecl_frame_t *frame)
{
   bson_error_t error;
   uint8_t type = 0;

   ecl_buf_clear (&self->scratch);
   if (!ecl_wrap_read (self->buf->data + frame->start, self->buf->len - frame->start, &type, &self->scratch, &error)) {
      ecl_build_diag (self, ECL_DIAG_ERROR, (uint32_t) error.code, frame->place, "%s", error.message);
      return;
   }
   self->buf->len = frame->start;
   if (!(self->flags & ECL_TEXT_NO_MAP)) {
      self->text->n_marks = top (self)->n_marks;
   }
   put_value (self, type, self->scratch.data, self->scratch.len);
}

void
ecl_build_close (ecl_build_t *self)
{
   ecl_frame_t *frame = top (self);

   if (self->stopped) {
      return;
   }
   ecl_build_bytes (self, "", 1);
   patch_u32 (self, frame->start, self->buf->len - frame->start);
   if (self->stopped) {
      return;
   }
   if (!frame->array && !(self->flags & ECL_TEXT_DUPLICATES)) {
      check_keys (self);
   }
   self->n_keys = frame->first_key;
   self->depth--;
   if (frame->bad) {
      top (self)->bad = true;
   } else if (frame->wrapper) {
      unwrap (self, frame);
   }
}

void
ecl_build_null (ecl_build_t *self)
{
   put_value (self, BSON_TYPE_NULL, NULL, 0);
}

void
ecl_build_bool (ecl_build_t *self, bool value)
{
   uint8_t byte = value;

   put_value (self, BSON_TYPE_BOOL, &byte, 1);
}

void
ecl_build_int (ecl_build_t *self, int64_t value)
{
   if (value >= INT32_MIN && value <= INT32_MAX) {
      set_type (self, BSON_TYPE_INT32);
      put_u32 (self, (uint32_t) (int32_t) value);
   } else {
      uint64_t le = BSON_UINT64_TO_LE ((uint64_t) value);

      put_value (self, BSON_TYPE_INT64, &le, sizeof le);
   }
}

void
ecl_build_double (ecl_build_t *self, double value)
{
   uint64_t le;

   memcpy (&le, &value, sizeof le);
   le = BSON_UINT64_TO_LE (le);
   put_value (self, BSON_TYPE_DOUBLE, &le, sizeof le);
}

size_t
ecl_build_string_begin (ecl_build_t *self)
{
   size_t begun = self->buf->len;

   set_type (self, BSON_TYPE_UTF8);
   put_u32 (self, 0);
   return begun;
}

void
ecl_build_string_end (ecl_build_t *self, size_t begun)
{
   ecl_build_bytes (self, "", 1);
   patch_u32 (self, begun, self->buf->len - begun - 4);
}

bool
ecl_build_finish (ecl_build_t *self)
{
   ecl_text_t *text = self->text;
   size_t root = 6; /* behind the length, the type and the empty key */
   ecl_place_t place = self->frames[0].value;

   if (self->stopped) {
      return false;
   }
   BSON_ASSERT (self->depth == 1);
   ecl_build_bytes (self, "", 1);
   patch_u32 (self, 0, self->buf->len);
   if (self->flags & ECL_TEXT_ANY_VALUE) {
      text->doc = self->buf->data;
      text->len = self->buf->len;
   } else if (self->buf->data[4] == BSON_TYPE_DOCUMENT) {
      text->doc = self->buf->data + root;
      text->len = self->buf->len - root - 1;
   } else {
      ecl_build_diag (self, ECL_DIAG_ERROR, ECL_ERROR_INVALID, place,
                      "expected a mapping (keys with values) as the whole, found %s",
                      self->buf->data[4] == BSON_TYPE_ARRAY  ? "a list"
                      : self->buf->data[4] == BSON_TYPE_NULL ? "nothing"
                                                             : "a single value");
      return false;
   }
   if (text->len > ECL_TEXT_BSON_MAX) {
      stop (self, ECL_ERROR_TOO_LARGE, place, "a document may have at most 16 MiB");
      text->doc = NULL;
      text->len = 0;
      return false;
   }
   return true;
}
