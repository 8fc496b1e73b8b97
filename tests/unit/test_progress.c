/* Progress on a terminal that is narrow, on none, and where all that is said is JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli/progress.h"

/* What is shown of 12,345 of 500,000 documents, ten seconds after it began, on a terminal with so many columns. */
static void
show_from (uint64_t before, double rate, ecl_progress_way_t way, unsigned short columns, bool end, char *text,
           size_t size)
{
   int terminal = posix_openpt (O_RDWR | O_NOCTTY);
   struct winsize window = {.ws_row = 24, .ws_col = columns};
   ecl_progress_t progress;
   struct termios raw;
   ssize_t n;
   FILE *out;

   assert_true (terminal >= 0 && grantpt (terminal) == 0 && unlockpt (terminal) == 0);
   out = fopen (ptsname (terminal), "w");
   assert_non_null (out);
   assert_int_equal (tcgetattr (fileno (out), &raw), 0);
   cfmakeraw (&raw);
   assert_int_equal (tcsetattr (fileno (out), TCSANOW, &raw), 0);
   assert_int_equal (ioctl (terminal, TIOCSWINSZ, &window), 0);
   assert_int_equal (fcntl (terminal, F_SETFL, O_NONBLOCK), 0);
   ecl_progress_begin (&progress, out, way, "größe", 500000, 1000);
   progress.before = before;
   progress.rate = rate;
   snprintf (progress.note, sizeof progress.note, "slowed: replication lag 14.2 s, limit 10.0 s");
   (end ? ecl_progress_end : ecl_progress_update) (&progress, 12345, 11000);
   n = read (terminal, text, size - 1);
   text[n < 0 ? 0 : n] = '\0';
   fclose (out);
   close (terminal);
}

static void
show (ecl_progress_way_t way, unsigned short columns, bool end, char *text, size_t size)
{
   show_from (0, 0, way, columns, end, text, size);
}

static void
is_cut_to_the_terminal (void **state)
{
   char text[512];

   (void) state;
   show (ECL_PROGRESS_TERMINAL, 30, false, text, sizeof text);
   assert_string_equal (text, "\r\033[Kgröße: 12,345 of 500,000 (2%)");
   show (ECL_PROGRESS_TERMINAL, 200, false, text, sizeof text);
   assert_string_equal (text,
                        "\r\033[Kgröße: 12,345 of 500,000 (2%), 1,234/s, 6m35s left; slowed: replication lag 14.2 s, "
                        "limit 10.0 s");
   show (ECL_PROGRESS_TERMINAL, 0, false, text, sizeof text); /* it does not say */
   assert_non_null (strstr (text, "limit 10.0 s"));
}

static void
lines_and_nothing (void **state)
{
   char text[512];

   (void) state;
   show (ECL_PROGRESS_LINES, 30, false, text, sizeof text);
   assert_string_equal (text,
                        "größe: 12,345 of 500,000 (2%), 1,234/s, 6m35s left; slowed: replication lag 14.2 s, limit "
                        "10.0 s\n");
   show (ECL_PROGRESS_NONE, 30, true, text, sizeof text);
   assert_string_equal (text, "");
}

/* What was done before it began is no work of its own, what measured no rate has none, and nothing is left at the end. */
static void
rates (void **state)
{
   char text[512];

   (void) state;
   show_from (12000, 0, ECL_PROGRESS_LINES, 30, false, text, sizeof text);
   assert_non_null (strstr (text, " (2%), 34/s, 3h59m left; "));
   show_from (13000, 0, ECL_PROGRESS_LINES, 30, false, text, sizeof text);
   assert_non_null (strstr (text, " (2%), 0/s; "));
   show_from (12000, 500, ECL_PROGRESS_LINES, 30, false, text, sizeof text);
   assert_non_null (strstr (text, " (2%), 500/s, 16m15s left; "));
   show_from (12000, -1, ECL_PROGRESS_LINES, 30, false, text, sizeof text);
   assert_non_null (strstr (text, " (2%); slowed"));
   show_from (0, 0, ECL_PROGRESS_LINES, 30, true, text, sizeof text);
   assert_non_null (strstr (text, " (2%), 1,234/s; "));
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (is_cut_to_the_terminal),
      cmocka_unit_test (lines_and_nothing),
      cmocka_unit_test (rates),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
