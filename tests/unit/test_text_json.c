/* The JSON reader, the type wrappers of Extended JSON, and the source map. */
#include "text_check.h"

#define J ecl_text_read_json

static void
test_values (void **state)
{
   (void) state;
   reads_relaxed (J, "{}", "{}");
   reads_relaxed (J, " { \"a\" : [ 1 , true,false,null,\"x\" ,{} , []] }\r\n\t",
                  "{\"a\": [1, true, false, null, \"x\", {}, []]}");
   reads_relaxed (J, "\xef\xbb\xbf{\"a\":1}", "{\"a\": 1}");
   reads_any (J, "3", "{\"\": 3}");
   reads_any (J, "[1,2]", "{\"\": [1, 2]}");
   reads_any (J, "{\"a\": 1}", "{\"\": {\"a\": 1}}");
   reads_any (J, "{\"$oid\": \"507f191e810c19729de860ea\"}", "{\"\": {\"$oid\": \"507f191e810c19729de860ea\"}}");
   reads_relaxed (J, "{\"\": 1}", "{\"\": 1}");
}

static void
test_numbers (void **state)
{
   (void) state;
   reads (J, "{\"a\": 2147483647}", "{\"a\": {\"$numberInt\": \"2147483647\"}}");
   reads (J, "{\"a\": -2147483648}", "{\"a\": {\"$numberInt\": \"-2147483648\"}}");
   reads (J, "{\"a\": 2147483648}", "{\"a\": {\"$numberLong\": \"2147483648\"}}");
   reads (J, "{\"a\": -9223372036854775808}", "{\"a\": {\"$numberLong\": \"-9223372036854775808\"}}");
   reads (J, "{\"a\": 1.0}", "{\"a\": {\"$numberDouble\": \"1.0\"}}");
   reads (J, "{\"a\": 1e2}", "{\"a\": {\"$numberDouble\": \"100.0\"}}");
   reads (J, "{\"a\": 0.1E-1}", "{\"a\": {\"$numberDouble\": \"0.01\"}}");
   reads (J, "{\"a\": 0}", "{\"a\": {\"$numberInt\": \"0\"}}");
   reads (J, "{\"a\": -0}", "{\"a\": {\"$numberDouble\": \"-0.0\"}}");
   reads (J, "{\"a\": -0.0}", "{\"a\": {\"$numberDouble\": \"-0.0\"}}");
   reads (J, "{\"a\": 1.7976931348623157e308}", "{\"a\": {\"$numberDouble\": \"1.7976931348623157e+308\"}}");
   reads (J, "{\"a\": 5e-324}", "{\"a\": {\"$numberDouble\": \"5e-324\"}}");
   refuses (
      J, "{\"a\": 9223372036854775808}",
      "f:1:7: the integer 9223372036854775808 does not fit 64 bits: write a double, {\"$numberDecimal\": \"…\"} or "
      "a string (at a)\n");
   refuses (J, "{\"a\": 1e400}", "f:1:7: the number 1e400 is too large for a double (at a)\n");
   check_bytes (J, "{\"a\": 9223372036854775808}", 26, ECL_TEXT_WIDE_INTS, ECL_EXTJSON_CANONICAL, true,
                "{\"a\": {\"$numberDouble\": \"9.223372036854776e+18\"}}", __FILE__, __LINE__);
   refuses (J, "{\"a\": 01}", "f:1:8: expected no digit behind a leading zero, found '1' (at a)\n");
   refuses (J, "{\"a\": +1}", "f:1:7: expected a value, found '+' (at a)\n");
   refuses (J, "{\"a\": .5}", "f:1:7: expected a value, found '.' (at a)\n");
   refuses (J, "{\"a\": 1.}", "f:1:9: expected a digit, found '}' (at a)\n");
   refuses (J, "{\"a\": 1e}", "f:1:9: expected a digit, found '}' (at a)\n");
   refuses (J, "{\"a\": NaN}", "f:1:7: expected a value, found 'N' (at a)\n");
}

static void
test_strings (void **state)
{
   (void) state;
   reads_relaxed (J, "{\"a\": \"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\"}",
                  "{\"a\": \"\\\"\\\\/\\b\\f\\n\\r\\tAé€\"}");
   reads_relaxed (J, "{\"a\": \"\\ud83d\\ude00\"}", "{\"a\": \"😀\"}");
   reads_relaxed (J, "{\"a\": \"x\\u0000y\"}", "{\"a\": \"x\\u0000y\"}");
   reads_relaxed (J, "{\"é😀\": \"é\x7f\"}", "{\"é😀\": \"é\x7f\"}");
   refuses (J, "{\"a\\u0000b\": 1}", "f:1:2: a key cannot hold the character U+0000 (at a)\n");
   refuses (J, "{\"a\": \"\\ud83d\"}",
            "f:1:8: \\ud800 to \\udfff are halves: a high one must stand before a low one (at a)\n");
   refuses (J, "{\"a\": \"\\ude00\"}",
            "f:1:8: \\ud800 to \\udfff are halves: a high one must stand before a low one (at a)\n");
   refuses (J, "{\"a\": \"\\ud83d\\u0041\"}",
            "f:1:8: \\ud800 to \\udfff are halves: a high one must stand before a low one (at a)\n");
   refuses (J, "{\"a\": \"\\x\"}", "f:1:9: expected one of \" \\ / b f n r t u after a backslash, found 'x' (at a)\n");
   refuses (J, "{\"a\": \"\\u12g4\"}", "f:1:12: expected four hexadecimal digits after \\u, found 'g' (at a)\n");
   refuses (J, "{\"a\": \"x\ny\"}",
            "f:1:9: expected an escape such as \\n in place of a control character, found the byte 0x0a (at a)\n");
   refuses (J, "{\"a\": \"é\xff\"}", "f:1:9: not valid UTF-8 (byte 0xff) (at a)\n");
   refuses (J, "{\"a\": \"\xc0\x80\"}", "f:1:8: not valid UTF-8 (byte 0xc0) (at a)\n");
   refuses (J, "{\"a\": \"\xed\xa0\x80\"}", "f:1:8: not valid UTF-8 (byte 0xed) (at a)\n");
   refuses (J, "{\"a\": \"\xf4\x90\x80\x80\"}", "f:1:8: not valid UTF-8 (byte 0xf4) (at a)\n");
   refuses (J, "{\"a\": \"\xe2\x82", "f:1:8: not valid UTF-8 (byte 0xe2) (at a)\n");
   refuses (J, "{\"a\": \"b", "f:1:9: expected a closing quote, found the end of the text (at a)\n");
}

static void
test_syntax (void **state)
{
   (void) state;
   refuses (J, "", "f:1:1: expected a value, found the end of the text\n");
   refuses (J, "{\"a\": 1,}", "f:1:9: expected a key in double quotes, found '}' (at a)\n");
   refuses (J, "{\"a\": [1,]}", "f:1:10: expected a value, found ']' (at a.1)\n");
   refuses (J, "{a: 1}", "f:1:2: expected a key in double quotes, found 'a'\n");
   refuses (J, "{\"a\" 1}", "f:1:6: expected ':', found '1' (at a)\n");
   refuses (J, "{\"a\": 1 \"b\": 2}", "f:1:9: expected ',' or '}', found '\"' (at a)\n");
   refuses (J, "{\"a\": tru}", "f:1:10: expected true, found '}' (at a)\n");
   refuses (J, "{} // x", "f:1:4: expected nothing behind the value, found '/'\n");
   refuses (J, "{}{}", "f:1:3: expected nothing behind the value, found '{'\n");
   refuses (J, "{\"a\":\n\n   [1,\n  2", "f:4:4: expected ',' or ']', found the end of the text (at a.1)\n");
   refuses (J, "[1]", "f:1:1: expected a mapping (keys with values) as the whole, found a list\n");
   refuses (J, "null", "f:1:1: expected a mapping (keys with values) as the whole, found nothing\n");
   refuses (J, "{\"$numberInt\": \"1\"}",
            "f:1:1: expected a mapping (keys with values) as the whole, found a single value\n");
   refuses_bytes (J, "{}\0", 3, "f:1:3: expected nothing behind the value, found the byte 0x00\n");
}

static void
test_duplicates (void **state)
{
   ecl_buf_t text;
   char *shown;

   (void) state;
   refuses (J, "{\"a\": 1,\n \"b\": {\"c\": 1, \"c\": 2},\n \"a\": 2}",
            "f:2:16: duplicate key \"c\", first on line 2 (at b.c)\n"
            "f:3:2: duplicate key \"a\", first on line 1 (at a)\n");
   refuses (J, "{\"a\": 1, \"\\u0061\": 2}", "f:1:10: duplicate key \"a\", first on line 1 (at a)\n");
   check_bytes (J, "{\"a\": 1, \"a\": 2}", 16, ECL_TEXT_DUPLICATES, ECL_EXTJSON_RELAXED, true, "{\"a\": 1, \"a\": 2}",
                __FILE__, __LINE__);
   /* So many that comparing each with each would not end in time; all the same but two. */
   ecl_buf_init (&text, 16 * 1024 * 1024);
   assert_true (ecl_buf_append_str (&text, "{"));
   for (int i = 0; i < 200000; i++) {
      assert_true (ecl_buf_printf (&text, "\"k%d\": 1,\n", i == 150000 ? 7 : i));
   }
   assert_true (ecl_buf_append_str (&text, "\"z\": 1}"));
   assert_false (read_text (J, text.data, text.len, 0, 0, &shown));
   assert_string_equal (shown, "f:150001:1: duplicate key \"k7\", first on line 8 (at k7)\n");
   free (shown);
   ecl_buf_cleanup (&text);
}

static void
test_depth (void **state)
{
   char deep[256];
   char shown[300];

   (void) state;
   memset (deep, '[', 100);
   memset (deep + 100, ']', 100);
   deep[200] = '\0';
   snprintf (shown, sizeof shown, "{\"\": %s}", deep);
   check_bytes (J, deep, 200, ECL_TEXT_ANY_VALUE | ECL_TEXT_DUPLICATES, 0, true, shown, __FILE__, __LINE__);
   memset (deep, '[', 200);
   check_bytes (J, deep, 200, ECL_TEXT_ANY_VALUE, 0, false,
                "f:1:101: nested deeper than 100 levels (at "
                "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
                "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0)\n",
                __FILE__, __LINE__);
}

/* Each is read and written canonically as it stands here. */
static void
test_wrappers (void **state)
{
   static const char *const same[] = {
      "{\"$oid\": \"56e1fc72e0c917e9c4714161\"}",
      "{\"$date\": {\"$numberLong\": \"0\"}}",
      "{\"$date\": {\"$numberLong\": \"-284643869501\"}}",
      "{\"$date\": {\"$numberLong\": \"253402300800000\"}}",
      "{\"$numberInt\": \"-1\"}",
      "{\"$numberLong\": \"1\"}",
      "{\"$numberDouble\": \"1.0\"}",
      "{\"$numberDouble\": \"-0.0\"}",
      "{\"$numberDouble\": \"Infinity\"}",
      "{\"$numberDouble\": \"-Infinity\"}",
      "{\"$numberDouble\": \"NaN\"}",
      "{\"$numberDecimal\": \"1.10\"}",
      "{\"$numberDecimal\": \"-0\"}",
      "{\"$numberDecimal\": \"Infinity\"}",
      "{\"$numberDecimal\": \"NaN\"}",
      "{\"$numberDecimal\": \"9.999999999999999999999999999999999E+6144\"}",
      "{\"$binary\": {\"base64\": \"\", \"subType\": \"00\"}}",
      "{\"$binary\": {\"base64\": \"//8=\", \"subType\": \"00\"}}",
      "{\"$binary\": {\"base64\": \"//8=\", \"subType\": \"02\"}}",
      "{\"$binary\": {\"base64\": \"c//SZESzTGmQ6OfR38A11A==\", \"subType\": \"04\"}}",
      "{\"$binary\": {\"base64\": \"AAEC\", \"subType\": \"80\"}}",
      "{\"$regularExpression\": {\"pattern\": \"a\\\\/b\\\"\", \"options\": \"imx\"}}",
      "{\"$regularExpression\": {\"pattern\": \"\", \"options\": \"\"}}",
      "{\"$timestamp\": {\"t\": 4294967295, \"i\": 4294967295}}",
      "{\"$minKey\": 1}",
      "{\"$maxKey\": 1}",
      "{\"$undefined\": true}",
      "{\"$symbol\": \"s\"}",
      "{\"$code\": \"f () {}\"}",
      "{\"$code\": \"f\", \"$scope\": {\"x\": {\"$numberInt\": \"1\"}}}",
      "{\"$dbPointer\": {\"$ref\": \"b\", \"$id\": {\"$oid\": \"56e1fc72e0c917e9c4714161\"}}}",
      /* not wrappers */
      "{\"$ref\": \"c\", \"$id\": {\"$oid\": \"56e1fc72e0c917e9c4714161\"}, \"$db\": \"d\"}",
      "{\"$regex\": \"^a\", \"$options\": \"i\"}",
      "{\"$type\": {\"$numberInt\": \"2\"}}",
      "{\"$scope\": {}}",
      "{\"$dates\": true}",
   };

   (void) state;
   for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
      char text[512];

      snprintf (text, sizeof text, "{\"a\": [%s], \"b\": %s}", same[i], same[i]);
      reads (J, text, text);
   }
   /* Other ways to write the same. */
   reads (J, "{\"a\": {\"$date\": \"2012-12-24T12:15:30.501Z\"}}",
          "{\"a\": {\"$date\": {\"$numberLong\": \"1356351330501\"}}}");
   reads (J, "{\"a\": {\"$date\": \"2012-12-24T12:15:30.5+01:30\"}}",
          "{\"a\": {\"$date\": {\"$numberLong\": \"1356345930500\"}}}");
   reads (J, "{\"a\": {\"$date\": \"2000-02-29T00:00:00-0000\"}}",
          "{\"a\": {\"$date\": {\"$numberLong\": \"951782400000\"}}}");
   reads (J, "{\"a\": {\"$date\": \"0000-01-01T00:00:00Z\"}}",
          "{\"a\": {\"$date\": {\"$numberLong\": \"-62167219200000\"}}}");
   reads (J, "{\"a\": {\"$date\": 5}}", "{\"a\": {\"$date\": {\"$numberLong\": \"5\"}}}");
   reads (J, "{\"a\": {\"$scope\": {}, \"$code\": \"f\"}}", "{\"a\": {\"$code\": \"f\", \"$scope\": {}}}");
   reads (J, "{\"a\": {\"$regularExpression\": {\"options\": \"xmi\", \"pattern\": \"p\"}}}",
          "{\"a\": {\"$regularExpression\": {\"pattern\": \"p\", \"options\": \"imx\"}}}");
   reads (J, "{\"a\": {\"$uuid\": \"73ffd264-44b3-4c69-90e8-e7d1dfc035D4\"}}",
          "{\"a\": {\"$binary\": {\"base64\": \"c//SZESzTGmQ6OfR38A11A==\", \"subType\": \"04\"}}}");
   reads (J, "{\"a\": {\"$binary\": {\"base64\": \"AA==\", \"subType\": \"5\"}}}",
          "{\"a\": {\"$binary\": {\"base64\": \"AA==\", \"subType\": \"05\"}}}");
   reads (J, "{\"a\": {\"$numberDouble\": \"-1.2345678921232E+18\"}}",
          "{\"a\": {\"$numberDouble\": \"-1.2345678921232e+18\"}}");
}

static void
test_wrong_wrappers (void **state)
{
   static const char *const wrong[] = {
      "{\"$oid\": \"56e1fc72e0c917e9c471416\"}",
      "{\"$oid\": \"56e1fc72e0c917e9c471416g\"}",
      "{\"$oid\": 1}",
      "{\"$oid\": \"56e1fc72e0c917e9c4714161\", \"x\": 1}",
      "{\"x\": 1, \"$oid\": \"56e1fc72e0c917e9c4714161\"}",
      "{\"$oid\": \"56e1fc72e0c917e9c4714161\", \"$numberInt\": \"1\"}",
      "{\"$date\": \"$y\"}",
      "{\"$date\": \"2012-13-24T12:15:30Z\"}",
      "{\"$date\": \"2012-00-24T12:15:30Z\"}",
      "{\"$date\": \"2012-01-00T12:15:30Z\"}",
      "{\"$date\": \"2013-02-29T12:15:30Z\"}",
      "{\"$date\": \"1900-02-29T12:15:30Z\"}",
      "{\"$date\": \"2012-12-24T24:15:30Z\"}",
      "{\"$date\": \"2012-12-24T12:15:60Z\"}",
      "{\"$date\": \"2012-12-24T12:15:30.1234Z\"}",
      "{\"$date\": \"2012-12-24T12:15:30.Z\"}",
      "{\"$date\": \"2012-12-24T12:15:30\"}",
      "{\"$date\": \"2012-12-24T12:15:30Zx\"}",
      "{\"$date\": \"2012-12-24T12:15:30+24:00\"}",
      "{\"$date\": \"2012-12-24T12:15:30+01:\"}",
      "{\"$date\": \"2012-12-24T12:15:30+0\"}",
      "{\"$date\": \"2012-12-24\"}",
      "{\"$date\": 1.5}",
      "{\"$date\": null}",
      "{\"$date\": {\"x\": 1}}",
      "{\"$numberInt\": 5}",
      "{\"$numberInt\": \"2147483648\"}",
      "{\"$numberInt\": \"1.0\"}",
      "{\"$numberInt\": \"\"}",
      "{\"$numberInt\": \"+1\"}",
      "{\"$numberInt\": \" 1\"}",
      "{\"$numberLong\": 5}",
      "{\"$numberLong\": \"9223372036854775808\"}",
      "{\"$numberLong\": \"0x1\"}",
      "{\"$numberDouble\": 5}",
      "{\"$numberDouble\": \"inf\"}",
      "{\"$numberDouble\": \"nan\"}",
      "{\"$numberDouble\": \"0x1p3\"}",
      "{\"$numberDouble\": \"1e400\"}",
      "{\"$numberDouble\": \"1 \"}",
      "{\"$numberDouble\": \"1\\u0000\"}",
      "{\"$numberDecimal\": 5}",
      "{\"$numberDecimal\": \"x\"}",
      "{\"$numberDecimal\": \"1e\"}",
      "{\"$numberDecimal\": \"\"}",
      "{\"$numberDecimal\": \"NaN\\u0000\"}",
      "{\"$numberDecimal\": \"12345678901234567890123456789012345\"}",
      "{\"$binary\": \"AA==\"}",
      "{\"$binary\": \"AA==\", \"$type\": \"00\"}",
      "{\"$binary\": {\"base64\": \"AA==\"}}",
      "{\"$binary\": {\"base64\": \"AA==\", \"subType\": \"00\", \"x\": 1}}",
      "{\"$binary\": {\"base64\": \"AA==\", \"subType\": \"\"}}",
      "{\"$binary\": {\"base64\": \"AA==\", \"subType\": \"123\"}}",
      "{\"$binary\": {\"base64\": \"AA==\", \"subType\": \"0g\"}}",
      "{\"$binary\": {\"base64\": \"AA==\", \"subType\": 0}}",
      "{\"$binary\": {\"base64\": \"AA=\", \"subType\": \"00\"}}",
      "{\"$binary\": {\"base64\": \"AA\", \"subType\": \"00\"}}",
      "{\"$binary\": {\"base64\": \"AB==\", \"subType\": \"00\"}}",
      "{\"$binary\": {\"base64\": \"AA==AA==\", \"subType\": \"00\"}}",
      "{\"$binary\": {\"base64\": \"A===\", \"subType\": \"00\"}}",
      "{\"$binary\": {\"base64\": \"____\", \"subType\": \"00\"}}",
      "{\"$uuid\": \"73ffd264-44b3-4c69-90e8-e7d1dfc035d\"}",
      "{\"$uuid\": \"73ffd264x44b3-4c69-90e8-e7d1dfc035d4\"}",
      "{\"$uuid\": \"73ffd26444b34c6990e8e7d1dfc035d4\"}",
      "{\"$regularExpression\": {\"pattern\": \"a\"}}",
      "{\"$regularExpression\": {\"pattern\": 1, \"options\": \"\"}}",
      "{\"$regularExpression\": {\"pattern\": \"a\\u0000\", \"options\": \"\"}}",
      "{\"$regularExpression\": {\"pattern\": \"a\", \"options\": \"\\u00e9\"}}",
      "{\"$regularExpression\": \"a\"}",
      "{\"$timestamp\": {\"t\": -1, \"i\": 1}}",
      "{\"$timestamp\": {\"t\": 4294967296, \"i\": 1}}",
      "{\"$timestamp\": {\"t\": 1.0, \"i\": 1}}",
      "{\"$timestamp\": {\"t\": 1}}",
      "{\"$timestamp\": 5}",
      "{\"$minKey\": true}",
      "{\"$minKey\": 2}",
      "{\"$maxKey\": \"1\"}",
      "{\"$undefined\": false}",
      "{\"$symbol\": 1}",
      "{\"$code\": 1}",
      "{\"$code\": \"f\", \"$scope\": 1}",
      "{\"$code\": \"f\", \"$scope\": []}",
      "{\"$code\": \"f\", \"x\": {}}",
      "{\"$dbPointer\": {\"$ref\": \"b\"}}",
      "{\"$dbPointer\": {\"$ref\": 1, \"$id\": {\"$oid\": \"56e1fc72e0c917e9c4714161\"}}}",
      "{\"$dbPointer\": {\"$ref\": \"b\", \"$id\": 1}}",
   };

   (void) state;
   for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
      char text[512];
      char *shown;

      snprintf (text, sizeof text, "{\n\"b\": {\"a\": %s}}", wrong[i]);
      if (read_text (J, text, strlen (text), 0, 0, &shown)) {
         fail_msg ("%s was read as %s", wrong[i], shown);
      }
      /* Said once, at the wrapper, with its path. */
      if (strncmp (shown, "f:2:12: $", 9) != 0 || strchr (shown, '\n')[1] || !strstr (shown, "(at b.a)")) {
         fail_msg ("%s: %s", wrong[i], shown);
      }
      free (shown);
   }
   refuses (J, "{\"a\": {\"$date\": \"$y\"}}",
            "f:1:7: $date takes a time such as \"2024-05-01T12:30:00.000Z\", or milliseconds as {$numberLong: \"…\"}, "
            "not \"$y\" (at a)\n");
   refuses (J, "{\"a\": {\"$oid\": \"x\"}, \"b\": [1, {\"$numberInt\": 5}]}",
            "f:1:7: $oid takes 24 hexadecimal digits in quotes, not \"x\" (at a)\n"
            "f:1:31: $numberInt takes a string of digits within 32 bits (at b.1)\n");
   /* What is wrong inside is not said again outside. */
   refuses (J, "{\"a\": {\"$date\": {\"$numberLong\": 5}}}",
            "f:1:17: $numberLong takes a string of digits within 64 bits (at a.$date)\n");
}

static void
find (const uint8_t *doc, size_t len, const char *path, const uint8_t **element)
{
   bson_t bson;
   bson_iter_t iter, child;

   assert_true (bson_init_static (&bson, doc, len));
   assert_true (bson_iter_init (&iter, &bson));
   assert_true (bson_iter_find_descendant (&iter, path, &child));
   *element = child.raw + child.off;
}

static void
test_map (void **state)
{
   static const char json[] = "{\"to\": 2,\n"
                              " \"up\": [\n"
                              "   {\"$set\": {\"é\": {\"$oid\": \"56e1fc72e0c917e9c4714161\"}, \"name\":\n"
                              "       \"x\"}},\n"
                              "   null],\n"
                              " \"last\": 1}";
   static const struct {
      const char *path;
      ecl_text_pos_t pos;
   } cases[] = {
      {"to", {1, 2, 1, 8}},
      {"up", {2, 2, 2, 8}},
      {"up.0", {3, 4, 3, 4}},
      {"up.0.$set", {3, 5, 3, 13}},
      {"up.0.$set.é", {3, 14, 3, 19}},
      {"up.0.$set.name", {3, 57, 4, 8}},
      {"up.1", {5, 4, 5, 4}},
      {"last", {6, 2, 6, 10}},
   };
   ecl_text_source_t source = {.name = "m.json", .bytes = json, .len = strlen (json)};
   const uint8_t *element;
   ecl_text_t text;
   ecl_diags_t diags;
   ecl_text_pos_t pos;
   ecl_buf_t path;
   bson_error_t error;

   (void) state;
   ecl_text_init (&text);
   ecl_diags_init (&diags);
   ecl_buf_init (&path, 1000);
   assert_true (ecl_text_read (&text, &source, 0, &diags));
   for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      find (text.doc, text.len, cases[i].path, &element);
      assert_true (ecl_text_locate (&text, element, &pos));
      assert_memory_equal (&pos, &cases[i].pos, sizeof pos);
      ecl_buf_clear (&path);
      assert_true (ecl_text_path (&text, element, &path));
      assert_string_equal (ecl_buf_cstr (&path), cases[i].path);
      /* A pointer into the element means the element. */
      assert_true (ecl_text_locate (&text, element + 2, &pos));
      assert_memory_equal (&pos, &cases[i].pos, sizeof pos);
   }
   assert_true (ecl_text_locate (&text, text.doc, &pos));
   assert_int_equal (pos.line, 1);
   assert_int_equal (pos.column, 1);
   ecl_buf_clear (&path);
   assert_true (ecl_text_path (&text, text.doc, &path));
   assert_string_equal (ecl_buf_cstr (&path), "");
   assert_false (ecl_text_locate (&text, text.doc + text.len, &pos));
   assert_false (ecl_text_locate (&text, (const uint8_t *) json, &pos));
   find (text.doc, text.len, "up.0.$set.name", &element);
   assert_false (ecl_text_diag (&text, &diags, ECL_DIAG_ERROR, ECL_DOMAIN_MQL, 9, element, "bad %d", 1));
   find (text.doc, text.len, "to", &element);
   ecl_text_diag (&text, &diags, ECL_DIAG_WARNING, ECL_DOMAIN_MQL, 9, element, "odd\n");
   ecl_buf_clear (&path);
   assert_true (ecl_diags_print (&diags, &path));
   assert_string_equal (ecl_buf_cstr (&path),
                        "m.json:1:2: warning: odd  (at to)\nm.json:3:57: bad 1 (at up.0.$set.name)\n");
   assert_false (ecl_diags_ok (&diags, &error));
   assert_string_equal (error.message, "m.json:3:57: bad 1 (at up.0.$set.name)");
   assert_int_equal (error.domain, ECL_DOMAIN_MQL);
   assert_int_equal (error.code, 9);
   ecl_text_cleanup (&text);
   ecl_diags_cleanup (&diags);
   ecl_buf_cleanup (&path);
}

static void
test_many_diags (void **state)
{
   ecl_buf_t text;
   char *shown;
   size_t lines = 0;

   (void) state;
   ecl_buf_init (&text, 1024 * 1024);
   assert_true (ecl_buf_append_str (&text, "{"));
   for (int i = 0; i < 10000; i++) {
      assert_true (ecl_buf_append_str (&text, "\"k\": 1,\n"));
   }
   assert_true (ecl_buf_append_str (&text, "\"z\": 1}"));
   assert_false (read_text (J, text.data, text.len, 0, 0, &shown));
   for (const char *c = shown; *c; c++) {
      lines += *c == '\n';
   }
   assert_int_equal (lines, ECL_DIAGS_MAX + 1);
   assert_non_null (strstr (shown, "and 9799 more\n"));
   free (shown);
   ecl_buf_cleanup (&text);
}

/* What is quoted in a message may be cut, but never within a character. */
static void
test_cut_messages (void **state)
{
   ecl_buf_t text;
   char *shown;
   char *key;

   (void) state;
   ecl_buf_init (&text, 4096);
   for (int before = 0; before < 4; before++) {
      ecl_buf_clear (&text);
      assert_true (ecl_buf_printf (&text, "{\"%.*s", before, "xxx"));
      for (int i = 0; i < 200; i++) {
         assert_true (ecl_buf_append_str (&text, "€"));
      }
      assert_true (ecl_buf_printf (&text, "\": 1,\n\"a\": {\"$oid\": \"%.*s€€€€€€€€€€€€€€€€€€€€\"},\n", before, "xxx"));
      key = strndup ((const char *) text.data + 2, (size_t) (600 + before));
      assert_true (ecl_buf_printf (&text, "\"%s\": 2}", key));
      free (key);
      assert_false (read_text (J, text.data, text.len, 0, 0, &shown));
      assert_true (bson_utf8_validate (shown, strlen (shown), false));
      assert_non_null (strstr (shown, "$oid takes"));
      assert_non_null (strstr (shown, "duplicate key"));
      free (shown);
   }
   ecl_buf_cleanup (&text);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_values),     cmocka_unit_test (test_numbers),        cmocka_unit_test (test_strings),
      cmocka_unit_test (test_syntax),     cmocka_unit_test (test_duplicates),     cmocka_unit_test (test_depth),
      cmocka_unit_test (test_wrappers),   cmocka_unit_test (test_wrong_wrappers), cmocka_unit_test (test_map),
      cmocka_unit_test (test_many_diags), cmocka_unit_test (test_cut_messages),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
