/* Threads of ours: signals of the program are not for them, those of their own faults are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/thread.h"

static void *
look_at_mask (void *context)
{
   pthread_sigmask (SIG_SETMASK, NULL, context);
   return NULL;
}

static void
test_signals_of_the_program (void **state)
{
   static const int theirs[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGALRM, SIGUSR1, SIGPIPE};
   sigset_t mask, before, after;
   pthread_t thread;

   (void) state;
   pthread_sigmask (SIG_SETMASK, NULL, &before);
   assert_int_equal (ecl_thread_start (&thread, look_at_mask, &mask), 0);
   pthread_join (thread, NULL);
   for (size_t i = 0; i < sizeof theirs / sizeof theirs[0]; i++) {
      assert_true (sigismember (&mask, theirs[i]));
   }
   /* That of whoever started it is as it was. */
   pthread_sigmask (SIG_SETMASK, NULL, &after);
   for (int i = 1; i < SIGRTMIN; i++) {
      assert_int_equal (sigismember (&before, i), sigismember (&after, i));
   }
}

static void
report (int number)
{
   _exit (number);
}

static void *
end_badly (void *context)
{
   raise (*(const int *) context);
   return NULL;
}

/* In a process of its own: it ends there. */
static void
test_its_own_faults (void **state)
{
   static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGABRT};

   (void) state;
   for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
      int status, number = faults[i];
      pid_t child = fork ();

      assert_true (child >= 0);
      if (child == 0) {
         pthread_t thread;

         sigaction (number, &(struct sigaction){.sa_handler = report}, NULL);
         if (ecl_thread_start (&thread, end_badly, &number) == 0) {
            pthread_join (thread, NULL);
         }
         _exit (99);
      }
      assert_int_equal (waitpid (child, &status, 0), child);
      assert_true (WIFEXITED (status));
      assert_int_equal (WEXITSTATUS (status), number);
   }
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_signals_of_the_program),
      cmocka_unit_test (test_its_own_faults),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
