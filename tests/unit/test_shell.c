/* Words for a shell: a real one reads them back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/shell.h"

static void
check (const char *word, const char *expected)
{
   char command[2048], text[1024];
   FILE *shell;
   size_t n;

   assert_string_equal (ecl_shell_word (word).text, expected);
   snprintf (command, sizeof command, "printf %%s %s", ecl_shell_word (word).text);
   shell = popen (command, "r");
   assert_non_null (shell);
   n = fread (text, 1, sizeof text - 1, shell);
   text[n] = '\0';
   assert_int_equal (pclose (shell), 0);
   assert_string_equal (text, word);
}

static void
test_words (void **state)
{
   char quotes[256];

   (void) state;
   check ("users", "users");
   check ("20260101_a-b.c", "20260101_a-b.c");
   check ("caf\xc3\xa9", "caf\xc3\xa9");
   check ("my users", "'my users'");
   check ("a$b`c`\"d\"\\e", "'a$b`c`\"d\"\\e'");
   check ("it's", "'it'\\''s'");
   check ("~root;#*?[](){}<>|&!\n", "'~root;#*?[](){}<>|&!\n'");
   check ("", "''");
   /* The longest. */
   memset (quotes, '\'', 255);
   quotes[255] = '\0';
   assert_int_equal (strlen (ecl_shell_word (quotes).text), ECL_SHELL_WORD - 1);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {cmocka_unit_test (test_words)};

   return cmocka_run_group_tests (tests, NULL, NULL);
}
