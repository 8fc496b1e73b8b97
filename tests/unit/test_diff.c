/* Differences of documents, and the two notions of equality. */
#include "project_check.h"

#include "upgrade/diff.h"

static void
check (const char *a, const char *b, ecl_diff_flags_t flags, const char *expected)
{
   ecl_text_t x = document (a), y = document (b);
   ecl_value_t p = ecl_raw_document (x.doc, x.len), q = ecl_raw_document (y.doc, y.len);
   ecl_diff_style_t style = {.max_value = 40};
   ecl_differences_t diff;
   ecl_arena_t arena;
   ecl_buf_t out;

   ecl_arena_init (&arena);
   ecl_buf_init (&out, 1u << 20);
   diff = ecl_diff (&arena, &p, &q, flags);
   assert_true (ecl_diff_print (&diff, &style, &out));
   assert_string_equal (ecl_buf_cstr (&out), expected);
   /* Nothing to show where they are equal in that sense, and only there. */
   if (flags & ECL_DIFF_ANY_ORDER) {
      assert_int_equal (diff.n == 0, ecl_diff_same (&p, &q));
   } else {
      assert_int_equal (diff.n == 0, x.len == y.len && memcmp (x.doc, y.doc, x.len) == 0);
   }
   ecl_buf_cleanup (&out);
   ecl_arena_cleanup (&arena);
   ecl_text_cleanup (&x);
   ecl_text_cleanup (&y);
}

static void
test_differences (void **state)
{
   (void) state;
   check ("{a: 1, b: {c: [1, {d: 2}]}}", "{a: 1, b: {c: [1, {d: 2}]}}", 0, "");
   check ("{a: 1, b: {c: [1, {d: 2}]}}", "{a: 1, b: {c: [1, {d: 3}, null]}, e: x}", 0,
          "~ b.c.1.d: 2 -> 3\n+ b.c.2: null\n+ e: \"x\"\n");
   check ("{a: 41}", "{a: 41.0}", 0, "~ a: 41 (int) -> 41.0 (double)\n");
   check ("{a: 41}", "{a: {$numberLong: '41'}}", 0, "~ a: 41 (int) -> 41 (long)\n");
   check ("{a: {}}", "{a: []}", 0, "~ a: {} (object) -> [] (array)\n");
   check ("{name: Ariel, x: 1}", "{x: 1, nick: Ariel}", 0, "> nick: moved from name: \"Ariel\"\n");
   check ("{name: Ariel, x: 1}", "{x: 1, nick: Ariel}", ECL_DIFF_NO_RENAMES, "- name: \"Ariel\"\n+ nick: \"Ariel\"\n");
   /* Two of a kind: nobody knows which went where. */
   check ("{a: z, b: z}", "{c: z}", 0, "- a: \"z\"\n- b: \"z\"\n+ c: \"z\"\n");
   check ("{a: true}", "{b: true}", 0, "- a: true\n+ b: true\n");
   check ("{a: 1, b: 2, c: 3}", "{c: 3, a: 1, b: 2}", 0, "> c: moved from place 3 to 1\n");
   check ("{a: 1, b: 2, c: 3}", "{c: 3, a: 1, b: 2}", ECL_DIFF_ANY_ORDER, "");
   check ("{s: '01234567890123456789012345678901234567ä9'}", "{}", 0,
          "- s: \"01234567890123456789012345678901234567…\n");
   check ("{\"a\": 1, \"a\": 2}", "{\"a\": 1, \"a\": 3}", 0, "~ a: 2 -> 3\n");
}

static void
test_loose (void **state)
{
   (void) state;
   check ("{a: {b: 1, c: 2}, d: [1, 2]}", "{d: [1, 2], a: {c: 2, b: 1}}", ECL_DIFF_ANY_ORDER, "");
   check ("{d: [{x: 1, y: 2}]}", "{d: [{y: 2, x: 1}]}", ECL_DIFF_ANY_ORDER, "");
   check ("{d: [1, 2]}", "{d: [2, 1]}", ECL_DIFF_ANY_ORDER, "~ d.0: 1 -> 2\n~ d.1: 2 -> 1\n");
   check ("{a: 0.0}", "{a: -0.0}", ECL_DIFF_ANY_ORDER, "~ a: 0.0 -> -0.0\n");
   check ("{a: {$numberDecimal: '1.0'}}", "{a: {$numberDecimal: '1.00'}}", ECL_DIFF_ANY_ORDER,
          "~ a: {\"$numberDecimal\": \"1.0\"} -> {\"$numberDecimal\": \"1.00\"}\n");
   check ("{a: 1}", "{a: 1.0}", ECL_DIFF_ANY_ORDER, "~ a: 1 (int) -> 1.0 (double)\n");
   check ("{a: null}", "{}", ECL_DIFF_ANY_ORDER, "- a: null\n");
   check ("{a: {$numberDouble: NaN}}", "{a: {$numberDouble: NaN}}", ECL_DIFF_ANY_ORDER, "");
   check ("{a: 1, b: 2}", "{a: 1, c: 2}", ECL_DIFF_ANY_ORDER, "> c: moved from b: 2\n");
}

static void
test_json (void **state)
{
   ecl_text_t x = document ("{a: 1, name: z, b: 2}"), y = document ("{b: 2, a: x, nick: z}");
   ecl_value_t p = ecl_raw_document (x.doc, x.len), q = ecl_raw_document (y.doc, y.len);
   bson_t list = BSON_INITIALIZER;
   bson_error_t error;
   ecl_arena_t arena;
   ecl_buf_t out;
   ecl_differences_t diff;

   (void) state;
   ecl_arena_init (&arena);
   ecl_buf_init (&out, 1u << 20);
   diff = ecl_diff (&arena, &p, &q, 0);
   ecl_diff_append (&diff, &list);
   assert_true (ecl_extjson_write_array (bson_get_data (&list), list.len, ECL_EXTJSON_RELAXED, &out, &error));
   assert_string_equal (
      ecl_buf_cstr (&out),
      "[{\"op\": \"changed\", \"path\": \"a\", \"before\": 1, \"after\": \"x\"}, {\"op\": \"renamed\","
      " \"path\": \"nick\", \"from\": \"name\", \"before\": \"z\", \"after\": \"z\"}, {\"op\": \"moved\","
      " \"path\": \"a\", \"from\": 1, \"to\": 2}]");
   ecl_buf_cleanup (&out);
   bson_destroy (&list);
   ecl_arena_cleanup (&arena);
   ecl_text_cleanup (&x);
   ecl_text_cleanup (&y);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_differences),
      cmocka_unit_test (test_loose),
      cmocka_unit_test (test_json),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
