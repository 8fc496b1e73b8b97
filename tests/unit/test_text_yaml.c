/* The YAML reader: the core schema, and every way in which libyaml reads another thing than was written. */
#include "text_check.h"

#define Y ecl_text_read_yaml

static void
test_scalars (void **state)
{
   (void) state;
   reads (Y, "a: null\nb: ~\nc: Null\nd: NULL\ne:\nf: nULL\n",
          "{\"a\": null, \"b\": null, \"c\": null, \"d\": null, \"e\": null, \"f\": \"nULL\"}");
   reads (Y, "a: true\nb: False\nc: TRUE\nd: no\ne: yes\nf: on\ng: tRUE\n",
          "{\"a\": true, \"b\": false, \"c\": true, \"d\": \"no\", \"e\": \"yes\", \"f\": \"on\", \"g\": \"tRUE\"}");
   reads (Y, "a: 1\nb: -2147483648\nc: 2147483648\nd: +5\ne: 0o17\nf: 0x1F\ng: -0\nh: -9223372036854775808\ni: 0\n",
          "{\"a\": {\"$numberInt\": \"1\"}, \"b\": {\"$numberInt\": \"-2147483648\"}, \"c\": {\"$numberLong\": "
          "\"2147483648\"}, \"d\": {\"$numberInt\": \"5\"}, \"e\": {\"$numberInt\": \"15\"}, \"f\": {\"$numberInt\": "
          "\"31\"}, \"g\": {\"$numberDouble\": \"-0.0\"}, \"h\": {\"$numberLong\": \"-9223372036854775808\"}, \"i\": "
          "{\"$numberInt\": \"0\"}}");
   reads (Y, "a: 1.0\nb: 1.\nc: .5\nd: 1e3\ne: .inf\nf: -.INF\ng: .nan\nh: +.Inf\n",
          "{\"a\": {\"$numberDouble\": \"1.0\"}, \"b\": {\"$numberDouble\": \"1.0\"}, \"c\": {\"$numberDouble\": "
          "\"0.5\"}, \"d\": {\"$numberDouble\": \"1000.0\"}, \"e\": {\"$numberDouble\": \"Infinity\"}, \"f\": "
          "{\"$numberDouble\": \"-Infinity\"}, \"g\": {\"$numberDouble\": \"NaN\"}, \"h\": {\"$numberDouble\": "
          "\"Infinity\"}}");
   reads_relaxed (
      Y, "a: 0b1\nb: 1_000\nc: 0o8\nd: 0xg\ne: -0x1\nf: .\ng: 2024-01-01\nh: 12:30\ni: -.nan\nj: 1.2.3\nk: -\\d\n",
      "{\"a\": \"0b1\", \"b\": \"1_000\", \"c\": \"0o8\", \"d\": \"0xg\", \"e\": \"-0x1\", \"f\": \".\", "
      "\"g\": \"2024-01-01\", \"h\": \"12:30\", \"i\": \"-.nan\", \"j\": \"1.2.3\", \"k\": \"-\\\\d\"}");
   reads_relaxed (Y, "a: \"1\"\nb: 'null'\nc: \"\"\nd: |\n  true\ne: >-\n  a\n  b\nf: \"\\0\\U0001F600\\u00e9\"\n",
                  "{\"a\": \"1\", \"b\": \"null\", \"c\": \"\", \"d\": \"true\\n\", \"e\": \"a b\", \"f\": "
                  "\"\\u0000😀é\"}");
   refuses (Y, "a: 9223372036854775808",
            "f:1:4: the number 9223372036854775808 does not fit 64 bits: quote it if it is text (at a)\n");
   refuses (Y, "a: 0x8000000000000000",
            "f:1:4: the number 0x8000000000000000 does not fit 64 bits: quote it if it is text (at a)\n");
   refuses (Y, "a: 1e999", "f:1:4: the number 1e999 does not fit a double: quote it if it is text (at a)\n");
   reads (Y, "a: 0123", "f:1:4: warning: 0123 is read as the number 123: quote it if it is text (at a)\n");
}

static void
test_structure (void **state)
{
   (void) state;
   reads_relaxed (Y,
                  "to: 2\nup:\n  - $set: {x: {$cond: [{$gt: [$phone, null]}, [{type: phone}], []]}}\n  - $unset: [a, "
                  "b.c]\n",
                  "{\"to\": 2, \"up\": [{\"$set\": {\"x\": {\"$cond\": [{\"$gt\": [\"$phone\", null]}, [{\"type\": "
                  "\"phone\"}], []]}}}, {\"$unset\": [\"a\", \"b.c\"]}]}");
   reads_relaxed (
      Y, "a.$[].b: 1\nr: ^[a-z]{2,3}$\nd: \\d+\nu: http://x\nj: {\"a\":1}\nv: $$ROOT.a\n1: x\ntrue: y\n\"\": z\n",
      "{\"a.$[].b\": 1, \"r\": \"^[a-z]{2,3}$\", \"d\": \"\\\\d+\", \"u\": \"http://x\", \"j\": {\"a\": "
      "1}, \"v\": \"$$ROOT.a\", \"1\": \"x\", \"true\": \"y\", \"\": \"z\"}");
   reads_relaxed (Y, "---\na: 1 # note\n...\n", "{\"a\": 1}");
   reads_relaxed (Y,
                  "\xef\xbb\xbf"
                  "a: 1\r\nb: é\r\n",
                  "{\"a\": 1, \"b\": \"é\"}");
   reads_relaxed (Y, "{\"a\": [1, 2.5, \"x\"],\n \"b\": null}", "{\"a\": [1, 2.5, \"x\"], \"b\": null}");
   reads_any (Y, "[{$set: {a: 1}}]", "{\"\": [{\"$set\": {\"a\": 1}}]}");
   reads_any (Y, "x", "{\"\": \"x\"}");
   refuses (Y, "- 1", "f:1:1: expected a mapping (keys with values) as the whole, found a list\n");
   refuses (Y, "x", "f:1:1: expected a mapping (keys with values) as the whole, found a single value\n");
   refuses (Y, "", "f:1:1: nothing in it: a document was expected\n");
   refuses (Y, "# only a comment\n", "f:1:1: nothing in it: a document was expected\n");
}

static void
test_extjson (void **state)
{
   (void) state;
   reads (Y,
          "a: {$oid: 56e1fc72e0c917e9c4714161}\nb: {$date: 2012-12-24T12:15:30.501Z}\nc: {$numberLong: \"5\"}\nd:\n  "
          "$regularExpression: {pattern: '^\\d', options: mi}\ne: {$regex: '^a'}\nf: {$type: 2}\n",
          "{\"a\": {\"$oid\": \"56e1fc72e0c917e9c4714161\"}, \"b\": {\"$date\": {\"$numberLong\": "
          "\"1356351330501\"}}, \"c\": {\"$numberLong\": \"5\"}, \"d\": {\"$regularExpression\": {\"pattern\": "
          "\"^\\\\d\", \"options\": \"im\"}}, \"e\": {\"$regex\": \"^a\"}, \"f\": {\"$type\": {\"$numberInt\": "
          "\"2\"}}}");
   refuses (Y, "a: {$date: $y}",
            "f:1:4: $date takes a time such as \"2024-05-01T12:30:00.000Z\", or milliseconds as {$numberLong: \"…\"}, "
            "not \"$y\" (at a)\n");
   refuses (Y, "a:\n  - {$oid: 507191081019729086000012}",
            "f:2:12: the number 507191081019729086000012 does not fit 64 bits: quote it if it is text (at a.0.$oid)\n");
}

static void
test_refused (void **state)
{
   (void) state;
   refuses (Y, "a: *x", "f:1:4: an alias (*) is not supported: quote it if it is text (at a)\n");
   refuses (Y, "*x : 1", "f:1:1: an alias (*) is not supported: quote it if it is text\n");
   refuses (Y, "a: &x 1", "f:1:4: an anchor (&) is not supported: quote it if it is text (at a)\n");
   refuses (Y, "a: &x\n  b: 1", "f:1:4: an anchor (&) is not supported: quote it if it is text (at a)\n");
   refuses (Y, "&x a: 1", "f:1:1: an anchor (&) is not supported: quote it if it is text (at a)\n");
   refuses (Y, "a: !x 1", "f:1:4: a tag (!) is not supported: quote it if it is text (at a)\n");
   refuses (Y, "a: !!str 1", "f:1:4: a tag (!) is not supported: quote it if it is text (at a)\n");
   refuses (Y, "a: !", "f:1:4: a tag (!) is not supported: quote it if it is text (at a)\n");
   refuses (Y, "a: ! 12", "f:1:4: a tag (!) is not supported: quote it if it is text (at a)\n");
   refuses (Y, "a: ! \"x\"", "f:1:4: a tag (!) is not supported: quote it if it is text (at a)\n");
   refuses (Y, "a: ! [1]", "f:1:4: a tag (!) is not supported: quote it if it is text (at a)\n");
   refuses (Y, "a: !m {b: 1}", "f:1:4: a tag (!) is not supported: quote it if it is text (at a)\n");
   refuses (Y, "a: 1\n---\nb: 2", "f:2:1: a second document: only one is read\n");
   refuses (Y, "%YAML 1.1\n---\na: 1", "f:1:1: directives (%) are not supported\n");
   refuses (Y, "%TAG ! x\n---\na: 1", "f:1:1: directives (%) are not supported\n");
   refuses (Y, "a: 1\nb: 2\na: 3", "f:3:1: duplicate key \"a\", first on line 1 (at a)\n");
   refuses (Y, "x: {a: 1, \"a\": 3}", "f:1:11: duplicate key \"a\", first on line 1 (at x.a)\n");
   refuses (Y, "? [a]\n: 1", "f:1:3: a key must be text, not a mapping or a list\n");
   refuses (Y, "{a: 1}: 1", "f:1:1: a key must be text, not a mapping or a list\n");
   refuses (Y, "<<: {a: 1}", "f:1:1: merge keys (<<) are not supported: quote it if it is a name (at <<)\n");
   reads_relaxed (Y, "'<<': 1", "{\"<<\": 1}");
   refuses (Y, "? \n: 1", "f:1:2: a key is missing: write \"\" if the empty key is meant\n");
   refuses (Y, "? |\n  a\n: 1", "f:1:3: a block text cannot be a key (at a )\n");
   refuses (Y, "\"a\\0b\": 1", "f:1:1: a key cannot hold the character U+0000 (at a)\n");
}

static void
test_other_than_meant (void **state)
{
   static const char comment[] = "'#' starts a comment here and leaves the value empty: quote it if it is text";
   char expected[200];

   (void) state;
   snprintf (expected, sizeof expected, "f:1:3: %s (at a)\n", comment);
   refuses (Y, "a: #fff", expected);
   refuses (Y, "a: #fff\nb: 1", expected);
   refuses (Y, "a:\n - #x\n - 1",
            "f:2:3: '#' starts a comment here and leaves the value empty: quote it if it is text (at a.0)\n");
   refuses (Y, "a: {b: #x\n}",
            "f:2:1: '#' starts a comment here and leaves the value empty: quote it if it is text (at a.b)\n");
   reads (Y, "a: # why\nb: 1",
          "f:1:3: warning: the value is empty before the comment: write null if that is meant (at a)\n");
   reads_relaxed (Y, "a: # nested\n  b: 1", "{\"a\": {\"b\": 1}}");
   reads (Y, "a: x #y", "f:1:4: warning: what follows \"x\" from '#' on is a comment: quote it if it is text (at a)\n");
   reads_relaxed (Y, "a: x # y", "{\"a\": \"x\"}");
   reads_relaxed (Y, "a: x#y", "{\"a\": \"x#y\"}");
   reads_relaxed (Y, "a: 'x' #y", "{\"a\": \"x\"}");
   refuses (Y, "a: |\nb: 1", "f:1:4: a block text (| or >) without text: quote it, or write \"\" (at a)\n");
   refuses (Y, "a: >", "f:1:4: a block text (| or >) without text: quote it, or write \"\" (at a)\n");
   refuses (Y, "a: {a:1}",
            "f:1:8: \"a:1\" is a key without a value: put a space behind the ':', or quotes around it (at a.a:1)\n");
   refuses (Y, "{a:b, c: 1}",
            "f:1:5: \"a:b\" is a key without a value: put a space behind the ':', or quotes around it (at a:b)\n");
   refuses (Y, "a: {b}", "f:1:6: the key \"b\" has no value: write \"b: null\" if null is meant (at a.b)\n");
   refuses (Y, "a: {b, c: 1}", "f:1:6: the key \"b\" has no value: write \"b: null\" if null is meant (at a.b)\n");
   refuses (Y, "a: {b # x: y\n}", "f:2:1: the key \"b\" has no value: write \"b: null\" if null is meant (at a.b)\n");
   reads_relaxed (Y, "a: {b: , c: }", "{\"a\": {\"b\": null, \"c\": null}}");
   refuses (Y, "a: [$a $b]",
            "f:1:5: \"$a $b\" is one string: put a comma between its words, or quotes around it (at a.0)\n");
   refuses (Y, "a: {b: $a $b}",
            "f:1:8: \"$a $b\" is one string: put a comma between its words, or quotes around it (at a.b)\n");
   reads (Y, "a: [b c]",
          "f:1:5: warning: \"b c\" is one string: put a comma between its words, or quotes around it (at a.0)\n");
   reads (Y, "a: [b\n  c]",
          "f:1:5: warning: \"b c\" is one string: put a comma between its words, or quotes around it (at a.0)\n");
   reads_relaxed (Y, "a: {b: New York}", "{\"a\": {\"b\": \"New York\"}}");
   reads_relaxed (Y, "a: [\"$a b\", 'c d', http://x, 12:30]", "{\"a\": [\"$a b\", \"c d\", \"http://x\", \"12:30\"]}");
   reads (Y, "a: [b:1]",
          "f:1:5: warning: \"b:1\" is a string: put a space behind the ':' for a pair, or quotes around it (at a.0)\n");
}

static void
test_syntax (void **state)
{
   char text[3000];
   char *shown;
   static const char *const broken[] = {
      "a: %x",  "a: @x",    "a: `x",   "a: ,x",      "a: ]",    "a: }",  "a: *",
      "a: &",   "a: ?\n b", "a: b: c", "a: \"\\d\"", "a: [b]]", "a: 'x", "a: \"\\ud83d\\ude00\"",
      "\ta: 1", "a: {b: c",
   };

   (void) state;
   for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
      if (read_text (Y, broken[i], strlen (broken[i]), 0, 0, &shown)) {
         /* "?" in a value is text to libyaml where nothing else follows. */
         if (strcmp (broken[i], "a: ?\n b") != 0) {
            fail_msg ("%s was read as %s", broken[i], shown);
         }
      } else if (strncmp (shown, "f:", 2) != 0 || shown[2] == '0') {
         fail_msg ("%s: %s", broken[i], shown);
      }
      free (shown);
   }
   assert_false (read_text (Y, "a: 1\nb: \"\\ud83d\\ude00\"", 22, 0, 0, &shown));
   assert_non_null (strstr (shown, "f:2:"));
   assert_non_null (strstr (shown, "no surrogate pairs"));
   free (shown);
   memset (text, 'k', 2000);
   memcpy (text + 2000, ": 1", 4);
   assert_false (read_text (Y, text, 2003, 0, 0, &shown));
   assert_non_null (strstr (shown, "at most 1024 characters"));
   free (shown);
   refuses_bytes (Y, "a: 1\nb: \xff", 9, "f:2:4: not valid UTF-8 (byte 0xff)\n");
   refuses_bytes (Y, "a: é\0", 6,
                  "f:1:5: a character that YAML does not allow (byte 0x00): write it as an escape in double quotes\n");
   refuses_bytes (Y, "a: 1\r\rb: \x01", 11,
                  "f:3:4: a character that YAML does not allow (byte 0x01): write it as an escape in double quotes\n");
   memset (text, '[', 2000);
   assert_false (read_text (Y, text, 2000, ECL_TEXT_ANY_VALUE, 0, &shown));
   assert_non_null (strstr (shown, "f:1:101: nested deeper than 100 levels"));
   free (shown);
}

static void
test_places (void **state)
{
   (void) state;
   /* Columns count characters, also behind wide ones and in later lines. */
   refuses (Y, "é: {😀: 1, b: *x}", "f:1:14: an alias (*) is not supported: quote it if it is text (at é.b)\n");
   refuses (Y, "é: 😀 #y\nü: #x",
            "f:1:4: warning: what follows \"😀\" from '#' on is a comment: quote it if it is text (at é)\nf:2:3: '#' "
            "starts a comment here and leaves the value empty: quote it if it is text (at ü)\n");
   refuses (Y, "up:\n  - $set:\n      a: {b}\n      c: *d\n",
            "f:3:12: the key \"b\" has no value: write \"b: null\" if null is meant (at up.0.$set.a.b)\nf:4:10: an "
            "alias (*) is not supported: quote it if it is text (at up.0.$set.c)\n");
}

static void
test_any (void **state)
{
   (void) state;
   reads_relaxed (ecl_text_read_any, "{\"a\": \"\\ud83d\\ude00\"}", "{\"a\": \"😀\"}");
   reads_relaxed (ecl_text_read_any, "{$set: {a: 1}}", "{\"$set\": {\"a\": 1}}");
   reads_any (ecl_text_read_any, "[{$set: {a: 1}}]", "{\"\": [{\"$set\": {\"a\": 1}}]}");
   reads_any (ecl_text_read_any, "{\"a\":1,}", "{\"\": {\"a\": 1}}");
   refuses (ecl_text_read_any, "{\"a\": 1, \"a\": 2}", "f:1:10: duplicate key \"a\", first on line 1 (at a)\n");
   refuses (ecl_text_read_any, "{a:1}",
            "f:1:5: \"a:1\" is a key without a value: put a space behind the ':', or quotes around it (at a:1)\n");
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_scalars),          cmocka_unit_test (test_structure),
      cmocka_unit_test (test_extjson),          cmocka_unit_test (test_refused),
      cmocka_unit_test (test_other_than_meant), cmocka_unit_test (test_syntax),
      cmocka_unit_test (test_places),           cmocka_unit_test (test_any),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
