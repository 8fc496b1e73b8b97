/* Running an executable under a lease: see program.h. */
#include "run/program.h"

#include "store/changelog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 100

/* What a program that was asked to end gets until it is killed. */
#define GRACE_MS 5000

extern char **environ;

static int64_t
boot_ms (void)
{
   struct timespec t;

   clock_gettime (CLOCK_BOOTTIME, &t);
   return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- environment ---- */

static char **
make_environment (const ecl_program_t *self)
{
   const char *const names[] = {
      "ECLOSE_URI=", "ECLOSE_DATABASE=", "ECLOSE_DIRECTION=", "ECLOSE_MIGRATION=", "ECLOSE_TOKEN="};
   size_t n = 0, k = 0;
   char **result;

   while (environ[n]) {
      n++;
   }
   result = bson_malloc0 ((n + 6) * sizeof (char *));
   for (size_t i = 0; i < n; i++) {
      bool ours = false;

      for (size_t j = 0; j < 5; j++) {
         ours |= strncmp (environ[i], names[j], strlen (names[j])) == 0;
      }
      if (!ours) {
         result[k++] = bson_strdup (environ[i]);
      }
   }
   result[k++] = bson_strdup_printf ("ECLOSE_URI=%s", self->uri);
   result[k++] = bson_strdup_printf ("ECLOSE_DATABASE=%s", self->database);
   result[k++] = bson_strdup_printf ("ECLOSE_DIRECTION=%s", self->down ? "down" : "up");
   result[k++] = bson_strdup_printf ("ECLOSE_MIGRATION=%s", self->name);
   result[k++] = bson_strdup_printf ("ECLOSE_TOKEN=%lld", (long long) ecl_holder_token (self->holder));
   return result;
}

/* ---- children: only what is safe behind a fork of a process with threads ---- */

/* Pipes that others wait to see the end of. */
static void
close_others (int kept)
{
#ifdef SYS_close_range
   if (kept > 0 && syscall (SYS_close_range, 0u, (unsigned) kept - 1, 0u) == 0 &&
       syscall (SYS_close_range, (unsigned) kept + 1, ~0u, 0u) == 0) {
      return;
   }
#endif
   for (int fd = 0; fd < 1024; fd++) {
      if (fd != kept) {
         close (fd);
      }
   }
}

/* alive: the reading end of a pipe whose writing end only eclose has. until: shared with eclose, which keeps it fresh.
 */
static void
watch (int alive, pid_t group, const _Atomic int64_t *until)
{
   struct pollfd look = {.fd = alive, .events = POLLIN};

   setsid (); /* a Ctrl-C is for eclose */
   close_others (alive);
   for (;;) {
      char byte;
      int ready = poll (&look, 1, LOOK_MS);

      if (ready > 0) {
         ssize_t n = read (alive, &byte, 1);

         if (n == 1) {
            _exit (0); /* it ended by itself */
         }
         if (n == 0) {
            break; /* eclose is gone */
         }
      }
      if (boot_ms () >= atomic_load (until)) {
         break; /* the lease is */
      }
   }
   kill (-group, SIGKILL);
   _exit (1);
}

static void
become (const char *file, char *const *argv, char *const *envp, int output, int failed)
{
   struct sigaction plain = {.sa_handler = SIG_DFL};
   sigset_t none;
   int nothing = open ("/dev/null", O_RDONLY), why;

   setpgid (0, 0);
   sigemptyset (&none);
   sigprocmask (SIG_SETMASK, &none, NULL);
   sigaction (SIGPIPE, &plain, NULL);
   sigaction (SIGINT, &plain, NULL);
   sigaction (SIGTERM, &plain, NULL);
   dup2 (nothing, STDIN_FILENO);
   dup2 (output, STDOUT_FILENO);
   dup2 (output, STDERR_FILENO);
   execve (file, argv, envp);
   why = errno;
   while (write (failed, &why, sizeof why) < 0 && errno == EINTR) {
   }
   _exit (127);
}

/* ---- the parent ---- */

/* The last bytes are those that count. */
static void
keep (ecl_buf_t *output, const char *bytes, size_t n)
{
   if (output->len + n > 2 * ECL_CHANGELOG_OUTPUT_MAX - 1) {
      size_t goes = output->len > ECL_CHANGELOG_OUTPUT_MAX / 2 ? output->len - ECL_CHANGELOG_OUTPUT_MAX / 2 : 0;

      memmove (output->data, output->data + goes, output->len - goes);
      output->len -= goes;
   }
   if (!ecl_buf_append (output, bytes, n)) {
      output->len = 0;
   }
}

static void
trim (ecl_buf_t *output)
{
   size_t goes = output->len > ECL_CHANGELOG_OUTPUT_MAX ? output->len - ECL_CHANGELOG_OUTPUT_MAX : 0;

   if (goes) {
      memmove (output->data, output->data + goes, output->len - goes);
      output->len -= goes;
   }
}

typedef struct {
   pid_t program, watchdog;
   int alive, output; /* ours */
   _Atomic int64_t *until;
   int64_t asked; /* when it was asked to end; 0: it was not */
   bool lost;     /* the lease */
   bool unknown;  /* how it ended: somebody else has reaped it */
} running_t;

/* Reads what it says until it has ended. What children of its leave behind in the group is ended, too. */
static int
follow (const ecl_program_t *self, running_t *running, ecl_buf_t *output)
{
   struct pollfd look = {.fd = running->output, .events = POLLIN};
   bool ended = false, closed = false;
   char bytes[4096];
   int status = 0;

   while (!ended || !closed) {
      int64_t now = boot_ms ();
      bool end = self->cancelled && self->cancelled (self->context);
      pid_t done;

      atomic_store (running->until, atomic_load (&self->holder->until));
      if (!ended && !ecl_holder_held (self->holder, now)) {
         running->lost = true;
         kill (-running->program, SIGKILL);
      } else if (!ended && end && !running->asked) {
         running->asked = now;
         kill (-running->program, SIGTERM);
      } else if (!ended && running->asked && now - running->asked > GRACE_MS) {
         kill (-running->program, SIGKILL);
      }
      look.revents = 0;
      if (!closed && poll (&look, 1, ended ? 0 : LOOK_MS) > 0) {
         ssize_t n = read (running->output, bytes, sizeof bytes);

         if (n > 0) {
            if (self->show) {
               self->show (self->context, bytes, (size_t) n);
            }
            keep (output, bytes, (size_t) n);
            continue;
         }
         closed = n == 0 || errno != EINTR;
      } else if (ended) {
         closed = true; /* whoever still has the pipe is none of ours */
      } else if (closed) {
         struct timespec nap = {.tv_nsec = LOOK_MS * 1000000 / 5};

         nanosleep (&nap, NULL);
      }
      if (!ended) {
         done = waitpid (running->program, &status, WNOHANG);
         running->unknown = done < 0 && errno != EINTR;
         ended = done == running->program || running->unknown;
      }
   }
   kill (-running->program, SIGKILL);
   return status;
}

static bool
judge (const ecl_program_t *self, const running_t *running, int status, bson_error_t *error)
{
   if (running->lost) {
      return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE, "%s was ended: the lease is lost", self->file);
   }
   if (running->asked) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "%s was ended as asked for", self->file);
   }
   if (running->unknown) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID,
                       "%s has ended, but nobody knows how: this process does not wait for its own children (is SIGCHLD "
                       "ignored?)",
                       self->file);
   }
   if (WIFSIGNALED (status)) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "%s was killed by signal %d", self->file,
                       WTERMSIG (status));
   }
   return WEXITSTATUS (status) == 0 || ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "%s ended with status %d",
                                                 self->file, WEXITSTATUS (status));
}

static void
close_both (int ends[2])
{
   for (int i = 0; i < 2; i++) {
      if (ends[i] >= 0) {
         close (ends[i]);
      }
      ends[i] = -1;
   }
}

bool
ecl_program_run (const ecl_program_t *self, ecl_buf_t *output, bson_error_t *error)
{
   char *file = realpath (self->file, NULL), **envp = make_environment (self), *argv[] = {file, NULL};
   int alive[2] = {-1, -1}, out[2] = {-1, -1}, failed[2] = {-1, -1}, why = 0, status;
   running_t running = {.program = -1, .watchdog = -1};
   bool ok = false;

   running.until = mmap (NULL, sizeof *running.until, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
   if (!file || running.until == MAP_FAILED || pipe2 (alive, O_CLOEXEC) || pipe2 (out, O_CLOEXEC) ||
       pipe2 (failed, O_CLOEXEC)) {
      ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_FILE, "%s: %s", self->file, strerror (errno));
      goto done;
   }
   atomic_store (running.until, atomic_load (&self->holder->until));
   running.program = fork ();
   if (running.program == 0) {
      become (file, argv, envp, out[1], failed[1]);
   }
   if (running.program > 0) {
      setpgid (running.program, running.program); /* whoever is first */
      running.watchdog = fork ();
      if (running.watchdog == 0) {
         close (alive[1]);
         watch (alive[0], running.program, running.until);
      }
   }
   close (out[1]);
   close (failed[1]);
   out[1] = failed[1] = -1;
   if (running.program < 0 || running.watchdog < 0) {
      ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_FILE, "%s: %s", self->file, strerror (errno));
      if (running.program > 0) {
         kill (-running.program, SIGKILL);
         waitpid (running.program, &status, 0);
      }
      goto done;
   }
   if (read (failed[0], &why, sizeof why) == (ssize_t) sizeof why) {
      ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_FILE, "%s: %s", self->file, strerror (why));
      waitpid (running.program, &status, 0);
   } else {
      running.output = out[0];
      status = follow (self, &running, output);
      trim (output);
      ok = judge (self, &running, status, error);
   }
   /* The watchdog goes by a byte; without one it would end a group that is none any more. */
   while (write (alive[1], "", 1) < 0 && errno == EINTR) {
   }
   waitpid (running.watchdog, &status, 0);

done:
   close_both (alive);
   close_both (out);
   close_both (failed);
   if (running.until != MAP_FAILED) {
      munmap ((void *) running.until, sizeof *running.until);
   }
   for (size_t i = 0; envp[i]; i++) {
      bson_free (envp[i]);
   }
   bson_free (envp);
   free (file);
   return ok;
}
