/* Threads: see thread.h. */
#include "base/thread.h"

#include <signal.h>
#include <stddef.h>

int
ecl_thread_start (pthread_t *thread, void *(*run) (void *context), void *context)
{
   /* A thread's own faults: blocked they would end the process without the program's handler having run. */
   static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
   sigset_t others, before;
   int failed;

   sigfillset (&others);
   for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
      sigdelset (&others, faults[i]);
   }
   pthread_sigmask (SIG_SETMASK, &others, &before);
   failed = pthread_create (thread, NULL, run, context);
   pthread_sigmask (SIG_SETMASK, &before, NULL);
   return failed;
}
