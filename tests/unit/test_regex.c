/* Regular expressions: flags, problems, groups, limits, the cache of an evaluator, and who destroys what. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "mql/regex.h"

#include <stdio.h>

typedef struct {
   const char *pattern, *options, *subject;
   bool matches;
} match_case_t;

static const match_case_t match_cases[] = {
   {"b+c", "", "abbc", true},
   {"^b", "", "ab", false},
   {"ABC", "i", "xabc", true},
   {"^b", "m", "a\nb", true},
   {"a.b", "", "a\nb", false},
   {"a.b", "s", "a\nb", true},
   {"a b # c", "x", "ab", true},
   {"a", "u", "a", true},
   {"a", "imsxuu", "A", true},
   {"", "", "", true},
   {"a$", "", "a\n", true},
   /* UTF-8, but no Unicode properties */
   {"^.$", "", "\xC3\xA4", true},
   {"\xC3\x84", "i", "\xC3\xA4", true},
   {"\\w", "", "\xC3\xA4", false},
   {"(*UTF)^.$", "", "\xE2\x82\xAC", true},
   {"(?<=x)y", "", "xy", true},
};

static void
test_match (void **state)
{
   ecl_arena_t arena;
   ecl_eval_t ev;
   ecl_regex_error_t error;

   (void) state;
   ecl_arena_init (&arena);
   ecl_eval_init (&ev);
   for (size_t i = 0; i < sizeof match_cases / sizeof match_cases[0]; i++) {
      const match_case_t *c = &match_cases[i];
      const ecl_regex_t *regex =
         ecl_regex_compile (&arena, c->pattern, strlen (c->pattern), c->options, strlen (c->options), &error);

      assert_non_null (regex);
      if ((ecl_regex_match (regex, &ev, c->subject, strlen (c->subject)) == ECL_REGEX_MATCH) != c->matches) {
         fail_msg ("/%s/%s on \"%s\"", c->pattern, c->options, c->subject);
      }
   }
   ecl_eval_cleanup (&ev);
   ecl_arena_cleanup (&arena);
}

static void
test_problems (void **state)
{
   ecl_arena_t arena;
   ecl_regex_error_t error;
   char *longest = bson_malloc (ECL_REGEX_MAX_PATTERN + 1);

   (void) state;
   memset (longest, 'a', ECL_REGEX_MAX_PATTERN + 1);
   ecl_arena_init (&arena);
   assert_null (ecl_regex_compile (&arena, "a", 1, "g", 1, &error));
   assert_int_equal (error.problem, ECL_REGEX_BAD_FLAG);
   assert_null (ecl_regex_compile (&arena, "(a", 2, "", 0, &error));
   assert_int_equal (error.problem, ECL_REGEX_BAD_PATTERN);
   assert_non_null (strstr (error.message, "closing parenthesis"));
   assert_null (ecl_regex_compile (&arena, "\xFF", 1, "", 0, &error));
   assert_int_equal (error.problem, ECL_REGEX_BAD_PATTERN);
   assert_null (ecl_regex_compile (&arena, "\\C", 2, "", 0, &error));
   assert_null (ecl_regex_compile (&arena, longest, ECL_REGEX_MAX_PATTERN + 1, "", 0, &error));
   assert_int_equal (error.problem, ECL_REGEX_BAD_PATTERN);
   assert_non_null (ecl_regex_compile (&arena, longest, ECL_REGEX_MAX_PATTERN, "", 0, &error));
   ecl_arena_cleanup (&arena);
   bson_free (longest);
}

static void
test_groups (void **state)
{
   ecl_arena_t arena;
   ecl_eval_t ev;
   ecl_regex_error_t error;
   const ecl_regex_t *regex;
   const size_t *groups;

   (void) state;
   ecl_arena_init (&arena);
   ecl_eval_init (&ev);
   regex = ecl_regex_compile (&arena, "(a)|(b)|(c)", 11, "", 0, &error);
   assert_non_null (regex);
   assert_int_equal (ecl_regex_groups (regex), 3);
   assert_int_equal (ecl_regex_search (regex, &ev, "xcb", 3, 0, &groups), ECL_REGEX_MATCH);
   assert_int_equal (groups[0], 1);
   assert_int_equal (groups[2], ECL_REGEX_UNSET);
   assert_int_equal (groups[6], 1);
   assert_int_equal (groups[7], 2);
   /* Groups behind the one that took part are unset, not left over from the search before. */
   assert_int_equal (ecl_regex_search (regex, &ev, "xcb", 3, 2, &groups), ECL_REGEX_MATCH);
   assert_int_equal (groups[4], 2);
   assert_int_equal (groups[6], ECL_REGEX_UNSET);
   assert_int_equal (ecl_regex_search (regex, &ev, "xcb", 3, 3, &groups), ECL_REGEX_NO_MATCH);
   ecl_eval_cleanup (&ev);
   ecl_arena_cleanup (&arena);
}

static void
test_hostile (void **state)
{
   static const char *const invalid[] = {
      "\xFF", "a\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\x80", "12345678\xE2\x82", "\xF0\x8F\xBF\xBF"};
   static const char *const valid[] = {"", "12345678\xE2\x82\xAC", "\xF4\x8F\xBF\xBF", "\xED\x9F\xBF\xEE\x80\x80"};
   ecl_arena_t arena;
   ecl_eval_t ev;
   ecl_regex_error_t error;
   const ecl_regex_t *regex;
   char *text = bson_malloc (100000);

   (void) state;
   ecl_arena_init (&arena);
   ecl_eval_init (&ev);
   regex = ecl_regex_compile (&arena, "x|.", 3, "", 0, &error);
   for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++) {
      assert_int_equal (ecl_regex_match (regex, &ev, invalid[i], strlen (invalid[i])), ECL_REGEX_INVALID_UTF8);
   }
   for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++) {
      assert_true (ecl_utf8_valid (valid[i], strlen (valid[i])));
   }
   assert_int_equal (ecl_regex_match (regex, &ev, "\0x", 2), ECL_REGEX_MATCH);
   /* Exponential backtracking ends at the limit. */
   memset (text, 'a', 100000);
   text[60] = '!';
   regex = ecl_regex_compile (&arena, "^(a|aa|aaa)+$", 13, "", 0, &error);
   assert_int_equal (ecl_regex_match (regex, &ev, text, 61), ECL_REGEX_LIMIT);
   text[60] = 'a';
   /* Deep backtracking does not overflow the stack. */
   regex = ecl_regex_compile (&arena, "^(?:(a)|b)*c", 12, "", 0, &error);
   assert_int_not_equal (ecl_regex_match (regex, &ev, text, 100000), ECL_REGEX_MATCH);
   ecl_eval_cleanup (&ev);
   ecl_arena_cleanup (&arena);
   bson_free (text);
}

static void
test_cache (void **state)
{
   ecl_eval_t ev;
   ecl_regex_error_t error;
   const ecl_regex_t *first;
   char pattern[16];

   (void) state;
   ecl_eval_init (&ev);
   first = ecl_regex_cached (&ev, "^k$", 3, "i", 1, &error);
   assert_non_null (first);
   for (int i = 0; i < 200; i++) {
      const ecl_regex_t *regex;
      int n = snprintf (pattern, sizeof pattern, "^k%d$", i);

      regex = ecl_regex_cached (&ev, pattern, (size_t) n, "", 0, &error);
      pattern[n - 1] = '\0';
      assert_int_equal (ecl_regex_match (regex, &ev, pattern + 1, (size_t) n - 2), ECL_REGEX_MATCH);
      /* What is asked for again and again stays; other options make another expression. */
      assert_ptr_equal (ecl_regex_cached (&ev, "^k$", 3, "i", 1, &error), first);
   }
   assert_ptr_not_equal (ecl_regex_cached (&ev, "^k$", 3, "", 0, &error), first);
   assert_null (ecl_regex_cached (&ev, "(", 1, "", 0, &error));
   ecl_eval_cleanup (&ev);
}

static int destroyed;

static void
count (void *object)
{
   (void) object;
   destroyed++;
}

static void
test_owned (void **state)
{
   ecl_arena_t arena;
   ecl_arena_mark_t mark;

   (void) state;
   ecl_arena_init (&arena);
   ecl_arena_own (&arena, NULL, count);
   mark = ecl_arena_mark (&arena);
   ecl_arena_own (&arena, NULL, count);
   ecl_arena_release (&arena, mark);
   assert_int_equal (destroyed, 1);
   ecl_arena_reset (&arena);
   assert_int_equal (destroyed, 2);
   ecl_arena_own (&arena, NULL, count);
   ecl_arena_cleanup (&arena);
   assert_int_equal (destroyed, 3);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_match),   cmocka_unit_test (test_problems), cmocka_unit_test (test_groups),
      cmocka_unit_test (test_hostile), cmocka_unit_test (test_cache),    cmocka_unit_test (test_owned),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
