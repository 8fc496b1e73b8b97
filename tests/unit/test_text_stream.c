/* The JSON stream: documents in pieces of any size, errors with their places, bounded memory. */
#include "text_check.h"

#include <errno.h>

typedef struct {
   const char *bytes;
   size_t len;
   size_t at;
   size_t piece;
   bool fails; /* at the end, instead of ending */
   bool ended; /* must not be asked again */
} feed_t;

static ssize_t
feed (void *ctx, void *to, size_t cap)
{
   feed_t *self = ctx;
   size_t n = self->len - self->at;

   assert_false (self->ended);
   n = n < self->piece ? n : self->piece;
   n = n < cap ? n : cap;
   memcpy (to, self->bytes + self->at, n);
   self->at += n;
   self->ended = n == 0;
   if (!n && self->fails) {
      errno = EISDIR;
      return -1;
   }
   return (ssize_t) n;
}

/* All that comes out, one line each; errors as their messages. */
static char *
drain (const char *bytes, size_t piece, bool fails)
{
   feed_t source = {.bytes = bytes, .len = strlen (bytes), .piece = piece, .fails = fails};
   ecl_json_stream_t *stream = ecl_json_stream_new ("in", ECL_TEXT_DUPLICATES | ECL_TEXT_WIDE_INTS, feed, &source);
   const uint8_t *doc;
   bson_error_t error;
   ecl_buf_t out;
   char *text;
   size_t len;

   ecl_buf_init (&out, 1 << 20);
   for (;;) {
      if (ecl_json_stream_next (stream, &doc, &len, &error)) {
         if (!doc) {
            break;
         }
         assert_true (ecl_buf_printf (&out, "%u ", ecl_json_stream_line (stream)));
         assert_true (ecl_extjson_write (doc, len, ECL_EXTJSON_RELAXED, &out, &error));
         assert_true (ecl_buf_append_str (&out, "\n"));
      } else {
         assert_true (ecl_buf_printf (&out, "%s\n", error.message));
         if (ecl_json_stream_broken (stream)) {
            bson_error_t again;

            assert_false (ecl_json_stream_next (stream, &doc, &len, &again));
            assert_string_equal (again.message, error.message);
            break;
         }
      }
   }
   text = strdup (ecl_buf_cstr (&out));
   ecl_buf_cleanup (&out);
   ecl_json_stream_destroy (stream);
   return text;
}

static void
check (const char *bytes, const char *expected)
{
   /* Cut anywhere, the same comes out. */
   for (size_t piece = 1; piece < 40; piece++) {
      char *text = drain (bytes, piece, false);

      assert_string_equal (text, expected);
      free (text);
   }
}

static void
test_documents (void **state)
{
   (void) state;
   check ("", "");
   check (" \n\n", "");
   check ("{\"a\":1}\n{\"a\":2}\n\n{\"a\":3}", "1 {\"a\": 1}\n2 {\"a\": 2}\n4 {\"a\": 3}\n");
   check ("{\"a\":1}{\"b\":\n [true, false, null]\n}\r\n {\"c\":-1.5e3}",
          "1 {\"a\": 1}\n1 {\"b\": [true, false, null]}\n4 {\"c\": -1500.0}\n");
   check ("\xef\xbb\xbf{\"é😀\": \"\\ud83d\\ude00é\"}", "1 {\"é😀\": \"😀é\"}\n");
   check ("{\"a\": {\"$numberLong\": \"5\"}, \"a\": 9223372036854775808}",
          "1 {\"a\": 5, \"a\": 9.223372036854776e+18}\n");
}

static void
test_errors (void **state)
{
   (void) state;
   /* What is wrong in the meaning of one does not keep the next from being read. */
   check ("{\"a\":1}\n  {\"é\": {\"$oid\": \"x\"}}\n{\"a\":2}\n[1]\n{\"a\":3}",
          "1 {\"a\": 1}\nin:2:9: $oid takes 24 hexadecimal digits in quotes, not \"x\" (at é)\n3 {\"a\": 2}\n"
          "in:4:1: expected a mapping (keys with values) as the whole, found a list\n5 {\"a\": 3}\n");
   check ("{\"a\":1}\n{\"a\" 1}\n{\"a\":3}", "1 {\"a\": 1}\nin:2:6: expected ':', found '1' (at a)\n");
   check ("{\"a\":1}\n{\"a\": \"",
          "1 {\"a\": 1}\nin:2:8: expected a closing quote, found the end of the text (at a)\n");
   check ("{\"a\": \"\xf0\x9f\"}", "in:1:8: not valid UTF-8 (byte 0xf0) (at a)\n");
   check ("\xef\xbb{}", "in:1:1: expected a value, found '{'\n");
}

static void
test_reading_fails (void **state)
{
   char *text;

   (void) state;
   text = drain ("{\"a\":1}\n{\"b\":", 5, true);
   assert_string_equal (text, "1 {\"a\": 1}\nin:2: cannot read on: Is a directory\n");
   free (text);
   text = drain ("{\"a\":1}\n", 5, true);
   assert_string_equal (text, "1 {\"a\": 1}\nin:2: cannot read on: Is a directory\n");
   free (text);
}

/* A string or a key without an end: a beginning, then one unit again and again. */
typedef struct {
   const char *begin;
   const char *unit;
   size_t total;
} endless_t;

static ssize_t
endless (void *ctx, void *to, size_t cap)
{
   endless_t *self = ctx;
   size_t begin = strlen (self->begin);
   size_t unit = strlen (self->unit);
   char *out = to;

   assert_true (self->total < 256 * 1024 * 1024);
   for (size_t i = 0; i < cap; i++) {
      size_t at = self->total + i;

      out[i] = at < begin ? self->begin[at] : self->unit[(at - begin) % unit];
   }
   self->total += cap;
   return (ssize_t) cap;
}

static void
test_bound (void **state)
{
   static const char *const cases[][2] = {
      {"{\"a\": \"", "x"}, {"{\"a\": \"", "\\n"}, {"{\"a\": \"", "é"}, {"{\"", "k"}, {"{\"a\": [0", ",0"},
   };

   (void) state;
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      endless_t source = {cases[i][0], cases[i][1], 0};
      ecl_json_stream_t *stream = ecl_json_stream_new ("in", ECL_TEXT_DEFAULT, endless, &source);
      const uint8_t *doc;
      bson_error_t error;
      size_t len;

      assert_false (ecl_json_stream_next (stream, &doc, &len, &error));
      assert_int_equal (error.code, ECL_ERROR_TOO_LARGE);
      assert_non_null (strstr (error.message, "at most 16 MiB"));
      assert_true (ecl_json_stream_broken (stream));
      ecl_json_stream_destroy (stream);
   }
   ecl_json_stream_destroy (NULL);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_documents),
      cmocka_unit_test (test_errors),
      cmocka_unit_test (test_reading_fails),
      cmocka_unit_test (test_bound),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
