/* Tasks by several processes at once: each takes the next one that nobody has taken, and leaves what came of it in
 * memory that all of them share. */
#include "parallel.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_JOBS 16

unsigned
parallel_default (void)
{
   long n = sysconf (_SC_NPROCESSORS_ONLN);

   return n < 1 ? 1 : n > MOST_JOBS ? MOST_JOBS : (unsigned) n;
}

static void
work (size_t n, atomic_size_t *next, parallel_fn task, void *context, uint8_t *results, size_t size)
{
   size_t i;

   while ((i = atomic_fetch_add (next, 1)) < n) {
      if (!task (context, i, results + i * size)) {
         atomic_store (next, n); /* nobody need begin another one */
      }
   }
}

void *
parallel_run (unsigned jobs, size_t n, size_t size, parallel_fn task, void *context)
{
   size_t whole = sizeof (atomic_size_t) * 8 + n * size;
   atomic_size_t *next = mmap (NULL, whole, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
   uint8_t *results = (uint8_t *) (next + 8);
   pid_t children[MOST_JOBS];
   unsigned n_children = 0;
   int status;

   if (next == MAP_FAILED) {
      perror ("sim");
      exit (1);
   }
   fflush (NULL);
   for (; jobs > 1 && n_children < jobs && n_children < MOST_JOBS && n_children < n; n_children++) {
      children[n_children] = fork ();
      if (children[n_children] < 0) {
         break; /* fewer, then */
      }
      if (children[n_children] == 0) {
         work (n, next, task, context, results, size);
         exit (0);
      }
   }
   if (!n_children) {
      work (n, next, task, context, results, size);
   }
   for (unsigned i = 0; i < n_children; i++) {
      if (waitpid (children[i], &status, 0) < 0 || !WIFEXITED (status) || WEXITSTATUS (status) != 0) {
         fprintf (stderr, "sim: a process that ran seeds ended with status %d\n", status);
         exit (1);
      }
   }
   return results;
}

void
parallel_free (void *results, size_t n, size_t size)
{
   munmap ((atomic_size_t *) results - 8, sizeof (atomic_size_t) * 8 + n * size);
}
