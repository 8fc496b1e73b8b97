/* The Extended JSON writer, and the numbers and dates below it. */
#include "text_check.h"

#include "text/number.h"

#include <float.h>
#include <locale.h>
#include <math.h>

static char *
write_doc (const uint8_t *doc, size_t len, ecl_extjson_mode_t mode)
{
   ecl_buf_t out;
   bson_error_t error;
   char *text = NULL;

   ecl_buf_init (&out, 1 << 20);
   if (ecl_extjson_write (doc, len, mode, &out, &error)) {
      text = strdup (ecl_buf_cstr (&out));
   } else {
      assert_int_equal (out.len, 0);
      assert_int_equal (error.domain, ECL_DOMAIN_BSON);
   }
   ecl_buf_cleanup (&out);
   return text;
}

static void
check_write (const bson_t *doc, ecl_extjson_mode_t mode, const char *expected)
{
   char *text = write_doc (bson_get_data (doc), doc->len, mode);

   assert_non_null (text);
   assert_string_equal (text, expected);
   free (text);
}

static void
append_all (bson_t *doc)
{
   bson_decimal128_t decimal;
   bson_oid_t oid;
   bson_t child;

   bson_oid_init_from_string (&oid, "56e1fc72e0c917e9c4714161");
   bson_decimal128_from_string ("-1.50E+10", &decimal);
   BSON_APPEND_DOUBLE (doc, "double", 1.5);
   BSON_APPEND_UTF8 (doc, "string", "a\"b");
   BSON_APPEND_DOCUMENT_BEGIN (doc, "document", &child);
   bson_append_document_end (doc, &child);
   BSON_APPEND_ARRAY_BEGIN (doc, "array", &child);
   BSON_APPEND_INT32 (&child, "0", 1);
   BSON_APPEND_INT32 (&child, "1", 2);
   bson_append_array_end (doc, &child);
   BSON_APPEND_BINARY (doc, "binary", BSON_SUBTYPE_BINARY, (const uint8_t *) "abcd", 4);
   BSON_APPEND_BINARY (doc, "binary2", BSON_SUBTYPE_BINARY_DEPRECATED, (const uint8_t *) "abcd", 4);
   BSON_APPEND_UNDEFINED (doc, "undefined");
   BSON_APPEND_OID (doc, "oid", &oid);
   BSON_APPEND_BOOL (doc, "bool", true);
   BSON_APPEND_DATE_TIME (doc, "date", 1356351330501);
   BSON_APPEND_DATE_TIME (doc, "date2", 0);
   BSON_APPEND_DATE_TIME (doc, "date3", -1);
   BSON_APPEND_NULL (doc, "null");
   BSON_APPEND_REGEX (doc, "regex", "^a", "im");
   BSON_APPEND_DBPOINTER (doc, "dbpointer", "d.c", &oid);
   BSON_APPEND_CODE (doc, "code", "f");
   BSON_APPEND_SYMBOL (doc, "symbol", "s");
   BSON_APPEND_CODE_WITH_SCOPE (doc, "scope", "f", &(bson_t) BSON_INITIALIZER);
   BSON_APPEND_INT32 (doc, "int", -7);
   BSON_APPEND_TIMESTAMP (doc, "timestamp", 5, 6);
   BSON_APPEND_INT64 (doc, "long", 7);
   BSON_APPEND_DECIMAL128 (doc, "decimal", &decimal);
   BSON_APPEND_MINKEY (doc, "min");
   BSON_APPEND_MAXKEY (doc, "max");
}

static void
test_types (void **state)
{
   bson_t doc = BSON_INITIALIZER;
   ecl_text_source_t source = {.name = "f"};
   ecl_text_t text;
   ecl_diags_t diags;
   char *json;

   (void) state;
   append_all (&doc);
   check_write (
      &doc, ECL_EXTJSON_CANONICAL,
      "{\"double\": {\"$numberDouble\": \"1.5\"}, \"string\": \"a\\\"b\", \"document\": {}, \"array\": "
      "[{\"$numberInt\": "
      "\"1\"}, {\"$numberInt\": \"2\"}], \"binary\": {\"$binary\": {\"base64\": \"YWJjZA==\", \"subType\": \"00\"}}, "
      "\"binary2\": {\"$binary\": {\"base64\": \"YWJjZA==\", \"subType\": \"02\"}}, \"undefined\": {\"$undefined\": "
      "true}, \"oid\": {\"$oid\": \"56e1fc72e0c917e9c4714161\"}, \"bool\": true, \"date\": {\"$date\": "
      "{\"$numberLong\": "
      "\"1356351330501\"}}, \"date2\": {\"$date\": {\"$numberLong\": \"0\"}}, \"date3\": {\"$date\": {\"$numberLong\": "
      "\"-1\"}}, \"null\": null, \"regex\": {\"$regularExpression\": {\"pattern\": \"^a\", \"options\": \"im\"}}, "
      "\"dbpointer\": {\"$dbPointer\": {\"$ref\": \"d.c\", \"$id\": {\"$oid\": \"56e1fc72e0c917e9c4714161\"}}}, "
      "\"code\": {\"$code\": \"f\"}, \"symbol\": {\"$symbol\": \"s\"}, \"scope\": {\"$code\": \"f\", \"$scope\": {}}, "
      "\"int\": {\"$numberInt\": \"-7\"}, \"timestamp\": {\"$timestamp\": {\"t\": 5, \"i\": 6}}, \"long\": "
      "{\"$numberLong\": \"7\"}, \"decimal\": {\"$numberDecimal\": \"-1.50E+10\"}, \"min\": {\"$minKey\": 1}, \"max\": "
      "{\"$maxKey\": 1}}");
   /* Canonical text read again is the same bytes. */
   json = write_doc (bson_get_data (&doc), doc.len, ECL_EXTJSON_CANONICAL);
   source.bytes = json;
   source.len = strlen (json);
   ecl_text_init (&text);
   ecl_diags_init (&diags);
   assert_true (ecl_text_read_json (&text, &source, 0, &diags));
   assert_int_equal (text.len, doc.len);
   assert_memory_equal (text.doc, bson_get_data (&doc), doc.len);
   ecl_text_cleanup (&text);
   ecl_diags_cleanup (&diags);
   free (json);
   bson_destroy (&doc);
}

static void
test_relaxed (void **state)
{
   bson_t doc = BSON_INITIALIZER;

   (void) state;
   BSON_APPEND_DOUBLE (&doc, "a", 2);
   BSON_APPEND_DOUBLE (&doc, "b", INFINITY);
   BSON_APPEND_INT32 (&doc, "c", 1);
   BSON_APPEND_INT64 (&doc, "d", INT64_MIN);
   BSON_APPEND_DATE_TIME (&doc, "e", 1356351330501);
   BSON_APPEND_DATE_TIME (&doc, "f", 1356351330000);
   BSON_APPEND_DATE_TIME (&doc, "g", 253402300799999);
   BSON_APPEND_DATE_TIME (&doc, "h", 253402300800000);
   BSON_APPEND_DATE_TIME (&doc, "i", -1);
   BSON_APPEND_TIMESTAMP (&doc, "j", 1, 2);
   check_write (
      &doc, ECL_EXTJSON_RELAXED,
      "{\"a\": 2.0, \"b\": {\"$numberDouble\": \"Infinity\"}, \"c\": 1, \"d\": -9223372036854775808, \"e\": "
      "{\"$date\": \"2012-12-24T12:15:30.501Z\"}, \"f\": {\"$date\": \"2012-12-24T12:15:30Z\"}, \"g\": "
      "{\"$date\": \"9999-12-31T23:59:59.999Z\"}, \"h\": {\"$date\": {\"$numberLong\": \"253402300800000\"}}, "
      "\"i\": {\"$date\": {\"$numberLong\": \"-1\"}}, \"j\": {\"$timestamp\": {\"t\": 1, \"i\": 2}}}");
   bson_destroy (&doc);
}

static void
test_pretty (void **state)
{
   bson_t *doc = BCON_NEW ("a", "{", "}", "b", "[", BCON_INT32 (1), "{", "c", BCON_NULL, "}", "]", "d", "[", "]");

   (void) state;
   check_write (doc, ECL_EXTJSON_PRETTY,
                "{\n  \"a\": {},\n  \"b\": [\n    1,\n    {\n      \"c\": null\n    }\n  ],\n  \"d\": []\n}");
   check_write (doc, ECL_EXTJSON_PRETTY | ECL_EXTJSON_CANONICAL,
                "{\n  \"a\": {},\n  \"b\": [\n    {\"$numberInt\": \"1\"},\n    {\n      \"c\": null\n    }\n  ],\n  "
                "\"d\": []\n}");
   bson_destroy (doc);
}

static void
test_hostile_strings (void **state)
{
   bson_t doc = BSON_INITIALIZER;

   (void) state;
   assert_true (bson_append_utf8 (&doc, "k\xff", 2, "a\xc3\xc3\xa9\xf0\x9f\x98z\0\x01\x1f\x7f", 12));
   check_write (&doc, ECL_EXTJSON_RELAXED,
                "{\"k\\ufffd\": \"a\\ufffdé\\ufffd\\ufffd\\ufffdz\\u0000\\u0001\\u001f\x7f\"}");
   bson_destroy (&doc);
}

/* Every prefix and every change of one byte is written or refused, without reading outside. */
static void
test_malformed (void **state)
{
   bson_t doc = BSON_INITIALIZER;
   ecl_buf_t out;
   bson_error_t error;
   uint8_t *copy;
   char *text;

   (void) state;
   append_all (&doc);
   copy = malloc (doc.len);
   for (size_t n = 0; n < doc.len; n++) {
      uint8_t *part = malloc (n + !n);

      memcpy (part, bson_get_data (&doc), n);
      assert_null (write_doc (part, n, ECL_EXTJSON_CANONICAL));
      free (part);
   }
   for (size_t i = 0; i < doc.len; i++) {
      for (unsigned v = 0; v < 256; v += 17) {
         memcpy (copy, bson_get_data (&doc), doc.len);
         copy[i] = (uint8_t) v;
         free (write_doc (copy, doc.len, ECL_EXTJSON_RELAXED));
      }
   }
   /* A buffer that is too small keeps what it held. */
   memcpy (copy, bson_get_data (&doc), doc.len);
   ecl_buf_init (&out, 100);
   assert_true (ecl_buf_append_str (&out, "before"));
   assert_false (ecl_extjson_write (copy, doc.len, 0, &out, &error));
   assert_int_equal (error.code, ECL_ERROR_TOO_LARGE);
   assert_string_equal (ecl_buf_cstr (&out), "before");
   ecl_buf_cleanup (&out);
   free (copy);
   bson_destroy (&doc);

   /* 300 levels. */
   copy = calloc (1, 300 * 8 + 5);
   for (uint32_t i = 0; i <= 300; i++) {
      uint32_t len = (300 - i) * 8 + 5;

      memcpy (copy + 7 * i, &len, 4);
      if (i < 300) {
         copy[7 * i + 4] = BSON_TYPE_ARRAY;
         copy[7 * i + 5] = '0';
      }
   }
   text = write_doc (copy, 300 * 8 + 5, 0);
   assert_null (text);
   free (copy);
}

static void
test_values (void **state)
{
   ecl_buf_t out;
   bson_error_t error;
   uint8_t five[4] = {5};

   (void) state;
   ecl_buf_init (&out, 100);
   assert_true (ecl_extjson_write_value (BSON_TYPE_INT32, five, 4, ECL_EXTJSON_RELAXED, &out, &error));
   assert_true (ecl_extjson_write_value (BSON_TYPE_NULL, NULL, 0, ECL_EXTJSON_RELAXED, &out, &error));
   assert_true (ecl_extjson_write_array ((const uint8_t *) "\x05\0\0\0", 5, ECL_EXTJSON_RELAXED, &out, &error));
   assert_string_equal (ecl_buf_cstr (&out), "5null[]");
   assert_false (ecl_extjson_write_value (BSON_TYPE_INT32, five, 3, ECL_EXTJSON_RELAXED, &out, &error));
   assert_false (ecl_extjson_write_value (0x20, five, 4, ECL_EXTJSON_RELAXED, &out, &error));
   assert_int_equal (error.code, ECL_ERROR_INVALID);
   ecl_buf_cleanup (&out);
}

static void
check_double (double value, const char *expected)
{
   char text[ECL_TEXT_DOUBLE_MAX];

   ecl_text_format_double (value, text);
   assert_string_equal (text, expected);
}

static void
test_doubles (void **state)
{
   static const char *const locales[] = {"C", "de_DE.UTF-8", "fr_FR.UTF-8"};
   uint64_t seed = 88172645463325252u;

   (void) state;
   for (size_t l = 0; l < sizeof locales / sizeof *locales; l++) {
      /* Where the locale is not installed this is one more round in the one before. */
      setlocale (LC_ALL, locales[l]);
      check_double (0, "0.0");
      check_double (-0.0, "-0.0");
      check_double (1, "1.0");
      check_double (-1.5, "-1.5");
      check_double (0.1, "0.1");
      check_double (0.1 + 0.2, "0.30000000000000004");
      check_double (100, "100.0");
      check_double (123456.789, "123456.789");
      check_double (9007199254740993.0, "9007199254740992.0");
      check_double (1e15, "1000000000000000.0");
      check_double (1e16, "1e+16");
      check_double (1.25e21, "1.25e+21");
      check_double (0.000001, "0.000001");
      check_double (0.00000125, "0.00000125");
      check_double (0.0000001, "1e-7");
      check_double (1e100, "1e+100");
      check_double (DBL_MAX, "1.7976931348623157e+308");
      check_double (-DBL_MIN, "-2.2250738585072014e-308");
      check_double (5e-324, "5e-324");
      check_double (0x1p-44, "5.684341886080802e-14");
      check_double (NAN, "NaN");
      check_double (-INFINITY, "-Infinity");
      for (int i = 0; i < 20000; i++) {
         char text[ECL_TEXT_DOUBLE_MAX];
         double value, back;

         seed ^= seed << 13;
         seed ^= seed >> 7;
         seed ^= seed << 17;
         memcpy (&value, &seed, sizeof value);
         if (isfinite (value)) {
            ecl_text_format_double (value, text);
            assert_true (ecl_text_is_decimal (text, strlen (text)));
            assert_true (ecl_text_parse_double (text, strlen (text), &back));
            assert_memory_equal (&value, &back, sizeof value);
         }
      }
   }
   setlocale (LC_ALL, "C");
}

static void
test_parse (void **state)
{
   static const char *const decimals[] = {"0", "1.", ".5", "-1.5e+3", "+1E9"};
   static const char *const others[] = {"", "-", ".", "e1", "1e", "1e+", "1.2.3", "0x1", "1 ", "inf"};
   int64_t n;
   double value;

   (void) state;
   for (size_t i = 0; i < sizeof decimals / sizeof *decimals; i++) {
      assert_true (ecl_text_is_decimal (decimals[i], strlen (decimals[i])));
   }
   for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
      assert_false (ecl_text_is_decimal (others[i], strlen (others[i])));
      assert_false (ecl_text_parse_int (others[i], strlen (others[i]), &n));
   }
   assert_true (ecl_text_parse_double ("123.456e-1", 10, &value) && value == 12.3456);
   assert_true (ecl_text_parse_double ("1e-999999999999", 15, &value) && value == 0);
   assert_false (ecl_text_parse_double ("1e999999999999", 14, &value));
   assert_true (ecl_text_parse_digits ("7fffffffffffffff", 16, 16, &n) && n == INT64_MAX);
   assert_false (ecl_text_parse_digits ("8000000000000000", 16, 16, &n));
   assert_false (ecl_text_parse_digits ("8", 1, 8, &n));
   assert_false (ecl_text_parse_digits ("", 0, 8, &n));
}

static void
test_clean (void **state)
{
   static const struct {
      const char *bytes;
      size_t n, size;
      const char *text;
   } cases[] = {
      {"", 0, 1, ""},
      {"plain\t\n", 7, 99, "plain\t\n"},
      {"\xc3\xa9 \xe2\x82\xac \xf0\x9f\xa6\x8b", 11, 99, "\xc3\xa9 \xe2\x82\xac \xf0\x9f\xa6\x8b"},
      {"a\0b", 3, 99, "a?b"},
      {"caf\xe9 \x80", 6, 99, "caf? ?"},
      /* Begun and not ended; too long for what it is; half of a pair; behind the last character. */
      {"\xc3", 1, 99, "?"},
      {"\xe2\x82", 2, 99, "??"},
      {"\xe2\x82 \xa9", 4, 99, "?? ?"},
      {"\xc0\xaf", 2, 99, "??"},
      {"\xed\xa0\x80", 3, 99, "???"},
      {"\xf4\x90\x80\x80", 4, 99, "????"},
      /* What there is room for. */
      {"abc", 3, 4, "abc"},
      {"abc", 3, 3, "ab"},
      {"a\xc3\xa9", 3, 4, "a\xc3\xa9"},
      {"a\xc3\xa9", 3, 3, "a"},
      {"a\xc3\xa9", 3, 1, ""},
      {"a\xff\xff", 3, 3, "a?"},
   };
   char text[100];

   (void) state;
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      memset (text, 'x', sizeof text);
      assert_int_equal (ecl_text_clean (cases[i].bytes, cases[i].n, text, cases[i].size), strlen (cases[i].text));
      assert_string_equal (text, cases[i].text);
      /* Nothing behind its end is touched, and it may be where the bytes are. */
      assert_int_equal (text[strlen (text) + 1], 'x');
      memcpy (text, cases[i].bytes, cases[i].n);
      ecl_text_clean (text, cases[i].n, text, cases[i].size);
      assert_string_equal (text, cases[i].text);
   }
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_types),           cmocka_unit_test (test_relaxed),   cmocka_unit_test (test_pretty),
      cmocka_unit_test (test_hostile_strings), cmocka_unit_test (test_malformed), cmocka_unit_test (test_values),
      cmocka_unit_test (test_doubles),         cmocka_unit_test (test_parse),     cmocka_unit_test (test_clean),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
