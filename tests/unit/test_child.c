/* Commands beside the work, and the throttle's adviser on top of them. Time is ours: what would take ten seconds is
 * said to have taken them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backfill/adviser.h"

static void
nap (void)
{
   nanosleep (&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* Until it ends; the test's own limit is meson's. */
static ecl_child_state_t
to_the_end (ecl_child_t *child)
{
   ecl_child_state_t state;

   while ((state = ecl_child_poll (child, 0)) == ECL_CHILD_RUNS) {
      nap ();
   }
   return state;
}

static void
test_status_and_line (void **state)
{
   static const struct {
      const char *command, *line;
      int status;
   } cases[] = {
      {"echo one; echo two; exit 3", "one", 3},
      {"printf x", "x", 0},
      {"exit 0", "", 0},
      {"kill -TERM $$", "", 128 + SIGTERM},
      {"no-such-program 2>&-", "", 127},
      {"echo $GREETING $HOME", "hello set", 0},
      {"cat", "", 0}, /* there is nothing to read */
   };
   const char *const environment[] = {"GREETING=hello", "HOME=set", NULL};
   ecl_child_t child;
   bson_error_t error;

   (void) state;
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      assert_true (ecl_child_start (&child, cases[i].command, environment, 0, 1000, &error));
      assert_true (ecl_child_runs (&child));
      assert_int_equal (to_the_end (&child), ECL_CHILD_ENDED);
      assert_int_equal (child.status, cases[i].status);
      assert_string_equal (child.line, cases[i].line);
      assert_false (ecl_child_runs (&child));
   }
}

/* More output than a pipe holds, and a line longer than what is kept. */
static void
test_much_output (void **state)
{
   ecl_child_t child;
   bson_error_t error;

   (void) state;
   assert_true (
      ecl_child_start (&child, "head -c 300000 /dev/zero | tr '\\0' x; echo; echo end", NULL, 0, 1000, &error));
   assert_int_equal (to_the_end (&child), ECL_CHILD_ENDED);
   assert_int_equal (child.status, 0);
   assert_int_equal (strlen (child.line), ECL_CHILD_LINE - 1);
}

/* One that always has more to say keeps nobody, alive or gone. */
static void
test_endless_output (void **state)
{
   int zero = open ("/dev/zero", O_RDONLY); /* never empty, as a pipe may be that is written to all the time */
   ecl_child_t child;
   bson_error_t error;

   (void) state;
   assert_true (ecl_child_start (&child, "sleep 1000", NULL, 0, 1000, &error));
   assert_true (dup2 (zero, child.output) == child.output);
   assert_int_equal (ecl_child_poll (&child, 999), ECL_CHILD_RUNS);
   assert_int_equal (ecl_child_poll (&child, 1000), ECL_CHILD_LATE);
   close (zero);
   /* And so with a pipe. */
   assert_true (ecl_child_start (&child, "exec yes", NULL, 0, 1000, &error));
   while (!child.line[0]) {
      assert_int_equal (ecl_child_poll (&child, 999), ECL_CHILD_RUNS);
   }
   assert_int_equal (ecl_child_poll (&child, 1000), ECL_CHILD_LATE);
   assert_string_equal (child.line, "y");
}

/* Its time is up: it goes, and what it started goes, too. */
static void
test_late (void **state)
{
   ecl_child_t child;
   bson_error_t error;
   pid_t pid;

   (void) state;
   assert_true (ecl_child_start (&child, "sleep 1000 & trap '' TERM; echo $!; wait", NULL, 0, 1000, &error));
   while (!child.line[0]) {
      assert_int_equal (ecl_child_poll (&child, 999), ECL_CHILD_RUNS);
      nap ();
   }
   pid = (pid_t) strtol (child.line, NULL, 10);
   assert_true (pid > 1);
   assert_int_equal (ecl_child_poll (&child, 1000), ECL_CHILD_LATE);
   /* Whoever inherits it has to notice that it ended. */
   while (kill (pid, 0) == 0) {
      char path[64], text[512] = "";
      FILE *stat;

      snprintf (path, sizeof path, "/proc/%d/stat", (int) pid);
      stat = fopen (path, "r");
      if (!stat || !fgets (text, sizeof text, stat) || strstr (text, ") Z")) {
         if (stat) {
            fclose (stat);
         }
         break;
      }
      fclose (stat);
      nap ();
   }
   assert_true (ecl_child_start (&child, "sleep 1000", NULL, 0, 1000, &error));
   ecl_child_cleanup (&child);
   assert_false (ecl_child_runs (&child));
   ecl_child_cleanup (&child);
}

/* Where nobody knows how it ended it did not end well. */
static void
test_reaped_by_nobody (void **state)
{
   const struct sigaction ignore = {.sa_handler = SIG_IGN};
   struct sigaction before;
   ecl_child_t child;
   bson_error_t error;

   (void) state;
   sigaction (SIGCHLD, &ignore, &before);
   assert_true (ecl_child_start (&child, "echo one; exit 3", NULL, 0, 1000, &error));
   assert_int_equal (to_the_end (&child), ECL_CHILD_ENDED);
   sigaction (SIGCHLD, &before, NULL);
   assert_int_equal (child.status, ECL_CHILD_UNKNOWN);
   assert_string_equal (child.line, "one");
}

static bool
ask (const char *command, bool late, bool *wait, char *reason)
{
   ecl_adviser_t adviser;
   bool spoke = false;

   ecl_adviser_init (&adviser, command);
   assert_false (ecl_adviser_look (&adviser, 0, wait)); /* it begins */
   for (int i = 0; i < 5000 && !spoke; i++) {
      spoke = ecl_adviser_look (&adviser, late ? ECL_ADVISER_LIMIT : 1, wait);
      nap ();
   }
   memcpy (reason, adviser.reason, sizeof adviser.reason);
   if (spoke) {
      /* Not again before it is time; then again. */
      int64_t at = (late ? ECL_ADVISER_LIMIT : 1) + ECL_ADVISER_EVERY;

      assert_false (ecl_adviser_look (&adviser, at - 1, wait));
      assert_false (ecl_child_runs (&adviser.child));
      assert_false (ecl_adviser_look (&adviser, at, wait));
      assert_true (ecl_child_runs (&adviser.child));
   }
   ecl_adviser_cleanup (&adviser);
   return spoke;
}

static void
test_adviser (void **state)
{
   static const struct {
      const char *command;
      bool wait;
      const char *reason;
   } cases[] = {
      {"true", false, ""},
      {"echo all is well", false, ""},
      {"echo waiter", false, ""},
      {"echo wait", true, ""},
      {"echo wait: the shop has a sale", true, "the shop has a sale"},
      {"exit 4", true, "it ended with status 4"},
      {"echo backup runs; exit 1", true, "backup runs"},
      {"no-such-program 2>&-", true, "it ended with status 127; it cannot be run: there is no such program"},
      {"/ 2>&-", true, "it ended with status 126; it cannot be run"},
      {"printf 'wait: a\\tb \\303\\244 \\344 \\303'", true, "a b \u00e4 ? ?"},
   };
   char reason[ECL_THROTTLE_REASON];
   bool wait;

   (void) state;
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      assert_true (ask (cases[i].command, false, &wait, reason));
      assert_int_equal (wait, cases[i].wait);
      assert_string_equal (reason, cases[i].reason);
   }
   /* What is too long is cut between two characters. */
   assert_true (ask ("printf 'wait '; printf '\\303\\244%.0s' $(seq 120)", false, &wait, reason));
   assert_true (wait && strlen (reason) == ECL_THROTTLE_REASON - 2);
   assert_true (bson_utf8_validate (reason, strlen (reason), false));
   assert_true (ask ("sleep 1000", true, &wait, reason));
   assert_true (wait);
   assert_string_equal (reason, "it did not end within 10 s");
   assert_false (ecl_adviser_look (&(ecl_adviser_t){0}, 0, &wait));
}

typedef struct {
   ecl_shared_adviser_t *shared;
   bool spoke;
} asker_t;

/* The first worker: it asks, and ends before there is an answer. */
static void *
ask_and_end (void *context)
{
   asker_t *self = context;
   char reason[ECL_THROTTLE_REASON];
   uint32_t heard = 0;
   bool wait;

   self->spoke = ecl_shared_adviser_look (self->shared, 0, &heard, 0, &wait, reason);
   ecl_shared_adviser_leave (self->shared, 0);
   return NULL;
}

/* Whoever is left asks on; and each of them hears all that it says, once. */
static void
test_counsel (void **state)
{
   char reason[ECL_THROTTLE_REASON];
   uint32_t heard[2] = {0, 0};
   ecl_shared_adviser_t shared;
   asker_t first = {.shared = &shared};
   pthread_t thread;
   bool wait = false;

   (void) state;
   ecl_shared_adviser_init (&shared, "echo wait: backup");
   assert_int_equal (pthread_create (&thread, NULL, ask_and_end, &first), 0);
   assert_int_equal (pthread_join (thread, NULL), 0);
   assert_false (first.spoke);
   assert_false (ecl_child_runs (&shared.adviser.child));
   assert_false (
      ecl_shared_adviser_look (&shared, 1, &heard[0], 1, &wait, reason)); /* at once, not after two seconds */
   assert_true (ecl_child_runs (&shared.adviser.child));
   ecl_shared_adviser_leave (&shared, 0); /* is no longer about that one */
   assert_true (ecl_child_runs (&shared.adviser.child));
   while (!ecl_shared_adviser_look (&shared, 1, &heard[0], 1, &wait, reason)) {
      nap ();
   }
   assert_true (wait);
   assert_string_equal (reason, "backup");
   wait = false;
   assert_true (ecl_shared_adviser_look (&shared, 2, &heard[1], 1, &wait, reason));
   assert_true (wait);
   assert_string_equal (reason, "backup");
   assert_false (ecl_shared_adviser_look (&shared, 2, &heard[1], 1, &wait, reason));
   ecl_shared_adviser_cleanup (&shared);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_status_and_line),  cmocka_unit_test (test_much_output),
      cmocka_unit_test (test_endless_output),   cmocka_unit_test (test_late),
      cmocka_unit_test (test_reaped_by_nobody), cmocka_unit_test (test_adviser),
      cmocka_unit_test (test_counsel),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
