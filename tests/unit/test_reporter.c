/* The reporter over several runs and many collections; what it says and the time are ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/hooks.h"
#include "cli/reporter.h"

static const char *end_hook; /* of the project; NULL: it has none */
static char file[64], said[1024];
static int n_said;
static time_t clock_now = 1000;

time_t
__wrap_time (time_t *out);

time_t
__wrap_time (time_t *out)
{
   if (out) {
      *out = clock_now;
   }
   return clock_now;
}

/* No project. */
const char *
__wrap_ecl_project_hook (const ecl_project_t *project, const char *event);

const char *
__wrap_ecl_project_hook (const ecl_project_t *project, const char *event)
{
   (void) project;
   return strcmp (event, "end") == 0 ? end_hook : NULL;
}

const char *
ecl_cli_option (const ecl_cli_t *self, const char *name)
{
   (void) self;
   return strcmp (name, "metrics") == 0 ? file : NULL;
}

const char *
ecl_cli_option_nth (const ecl_cli_t *self, const char *name, size_t i)
{
   (void) self, (void) name, (void) i;
   return NULL;
}

ecl_exit_t
ecl_cli_usage (const ecl_cli_t *self, const char *format, ...)
{
   (void) self, (void) format;
   fail ();
   return ECL_EXIT_USAGE;
}

void
ecl_cli_log (const ecl_cli_t *self, const char *level, const char *message, const bson_t *fields)
{
   (void) self, (void) level, (void) message, (void) fields;
   fail ();
}

void
ecl_cli_note (const ecl_cli_t *self, const char *format, ...)
{
   va_list args;

   (void) self;
   va_start (args, format);
   vsnprintf (said, sizeof said, format, args);
   va_end (args);
   n_said++;
}

static ecl_reporter_t *
begin (const ecl_cli_t *cli)
{
   int fd;

   snprintf (file, sizeof file, "/tmp/eclose-reporter-XXXXXX");
   fd = mkstemp (file);
   assert_true (fd >= 0);
   close (fd);
   n_said = 0;
   return ecl_reporter_open (cli, NULL, "shop");
}

static void
tell (ecl_reporter_t *reporter, const char *collection, const char *state, int64_t now)
{
   ecl_account_t account = {.kind = "up", .collection = collection, .to = "2", .state = state, .lag = -1};

   ecl_reporter_update (reporter, &account, now);
}

static double
started (void)
{
   static const char name[] = "\neclose_backfill_start_time_seconds{";
   char text[65536];
   FILE *in = fopen (file, "r");
   const char *at;

   assert_non_null (in);
   text[fread (text, 1, sizeof text - 1, in)] = '\0';
   fclose (in);
   at = strstr (text, name);
   assert_non_null (at);
   return strtod (strchr (at, '}') + 1, NULL);
}

/* A process may carry a collection twice: up to the one database migration, and up to the next. */
static void
test_second_run (void **state)
{
   ecl_cli_t cli = {0};
   ecl_reporter_t *reporter = begin (&cli);

   (void) state;
   tell (reporter, "users", "running", 0);
   assert_true (started () == 1000);
   clock_now = 1100;
   tell (reporter, "users", "running", 100000);
   assert_true (started () == 1000);
   tell (reporter, "users", "done", 100001);
   assert_true (started () == 1000);
   clock_now = 1200;
   tell (reporter, "users", "running", 200000);
   assert_true (started () == 1200);
   ecl_reporter_close (reporter);
   assert_int_equal (n_said, 0);
   unlink (file);
}

/* What does not fit is told once, and not left to be found out from a file that grows old. */
static void
test_too_much (void **state)
{
   ecl_cli_t cli = {0};
   ecl_reporter_t *reporter = begin (&cli);
   char name[2048];

   (void) state;
   memset (name, 'x', sizeof name);
   name[sizeof name - 1] = '\0';
   for (int i = 0; i < 80; i++) {
      name[0] = (char) ('0' + i / 10);
      name[1] = (char) ('0' + i % 10);
      tell (reporter, name, "running", i);
   }
   ecl_reporter_close (reporter);
   assert_int_equal (n_said, 1);
   assert_non_null (strstr (said, file));
   assert_non_null (strstr (said, "more than 4 MiB; it is not written"));
   unlink (file);
}

/* Nothing takes the place of a device or a pipe: root would leave a machine without its /dev/null. A link stays one. */
static void
test_no_ordinary_file (void **state)
{
   ecl_cli_t cli = {0};
   ecl_reporter_t *reporter = begin (&cli);
   struct stat there;
   char real[80];

   (void) state;
   unlink (file);
   assert_int_equal (mkfifo (file, 0600), 0);
   tell (reporter, "users", "running", 0);
   assert_int_equal (n_said, 1);
   assert_non_null (strstr (said, "it is no ordinary file"));
   assert_int_equal (lstat (file, &there), 0);
   assert_true (S_ISFIFO (there.st_mode));
   unlink (file);
   snprintf (real, sizeof real, "%s.real", file);
   close (open (real, O_CREAT | O_WRONLY, 0600));
   assert_int_equal (symlink (real, file), 0);
   tell (reporter, "users", "done", 100000);
   ecl_reporter_close (reporter);
   assert_int_equal (n_said, 1);
   assert_int_equal (lstat (file, &there), 0);
   assert_true (S_ISLNK (there.st_mode));
   assert_true (started () > 0);
   unlink (real);
   unlink (file);
}

/* One that hangs may have waited for it as often as there are collections. */
static void
test_a_hook_that_hangs (void **state)
{
   ecl_cli_t cli = {0};
   ecl_hooks_t hooks;

   (void) state;
   n_said = 0;
   end_hook = "sleep 600";
   ecl_hooks_init (&hooks, &cli, NULL);
   end_hook = NULL;
   for (int i = 0; i < 4; i++) {
      ecl_hooks_fire (&hooks, "end", NULL, 0);
   }
   assert_true (ecl_hooks_look (&hooks, ECL_HOOK_LIMIT));
   assert_int_equal (n_said, 1);
   assert_non_null (strstr (said, "it took longer than 30 s"));
   hooks.closing = true;
   assert_true (ecl_hooks_look (&hooks, ECL_HOOK_LIMIT + 1)); /* the second one has its time */
   assert_false (ecl_hooks_look (&hooks, 2 * ECL_HOOK_LIMIT));
   assert_int_equal (n_said, 4);
   assert_non_null (strstr (said, "is not run again"));
   ecl_hooks_cleanup (&hooks);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {cmocka_unit_test (test_second_run), cmocka_unit_test (test_too_much),
                                      cmocka_unit_test (test_no_ordinary_file),
                                      cmocka_unit_test (test_a_hook_that_hangs)};

   return cmocka_run_group_tests (tests, NULL, NULL);
}
