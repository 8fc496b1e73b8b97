/* What the tests of src/text share: read a text, compare what came out as Extended JSON or as diagnostics. */
#ifndef TEXT_CHECK_H
#define TEXT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "text/text.h"

typedef bool (*reader_fn) (ecl_text_t *, const ecl_text_source_t *, ecl_text_flags_t, ecl_diags_t *);

/* Reads; *shown is the document as Extended JSON, or the diagnostics. The caller frees it. */
static inline bool
read_text (reader_fn read, const void *bytes, size_t n, ecl_text_flags_t flags, ecl_extjson_mode_t mode, char **shown)
{
   /* A copy without anything behind it, so that a sanitizer sees a read past the end. */
   void *copy = n ? memcpy (malloc (n), bytes, n) : NULL;
   ecl_text_source_t source = {.name = "f", .bytes = copy, .len = n};
   ecl_text_t text;
   ecl_diags_t diags;
   bson_error_t error;
   ecl_buf_t out;
   bool ok;

   ecl_text_init (&text);
   ecl_diags_init (&diags);
   ecl_buf_init (&out, 64 * 1024 * 1024);
   ok = read (&text, &source, flags, &diags);
   free (copy);
   assert_int_equal (ok, diags.errors == 0);
   if (ok && !diags.warnings) {
      bson_t bson;
      assert_true (bson_init_static (&bson, text.doc, text.len));
      assert_true (bson_validate (&bson, BSON_VALIDATE_NONE, NULL));
      assert_true (ecl_extjson_write (text.doc, text.len, mode, &out, &error));
   } else {
      assert_true (ecl_diags_print (&diags, &out));
   }
   *shown = strdup (ecl_buf_cstr (&out));
   ecl_buf_cleanup (&out);
   ecl_diags_cleanup (&diags);
   ecl_text_cleanup (&text);
   return ok;
}

static inline void
check_bytes (reader_fn read, const void *bytes, size_t n, ecl_text_flags_t flags, ecl_extjson_mode_t mode, bool ok,
             const char *expected, const char *file, int line)
{
   char *shown;
   bool got = read_text (read, bytes, n, flags, mode, &shown);

   if (got != ok || strcmp (shown, expected) != 0) {
      print_error ("%.*s\n  expected %s: %s\n  found %s: %s\n", n > 300 ? 300 : (int) n, (const char *) bytes,
                   ok ? "read" : "refused", expected, got ? "read" : "refused", shown);
      free (shown);
      _fail (file, line);
   }
   free (shown);
}

/* text is read as expected, shown canonical (relaxed for reads_relaxed), or with warnings those. */
#define reads(read, text, expected) \
   check_bytes (read, text, strlen (text), ECL_TEXT_DEFAULT, ECL_EXTJSON_CANONICAL, true, expected, __FILE__, __LINE__)
#define reads_relaxed(read, text, expected) \
   check_bytes (read, text, strlen (text), ECL_TEXT_DEFAULT, ECL_EXTJSON_RELAXED, true, expected, __FILE__, __LINE__)
#define reads_any(read, text, expected) \
   check_bytes (read, text, strlen (text), ECL_TEXT_ANY_VALUE, ECL_EXTJSON_RELAXED, true, expected, __FILE__, __LINE__)
/* text is refused with these diagnostics. */
#define refuses(read, text, expected) \
   check_bytes (read, text, strlen (text), ECL_TEXT_DEFAULT, ECL_EXTJSON_RELAXED, false, expected, __FILE__, __LINE__)
#define refuses_bytes(read, bytes, n, expected) \
   check_bytes (read, bytes, n, ECL_TEXT_DEFAULT, ECL_EXTJSON_RELAXED, false, expected, __FILE__, __LINE__)

#endif
