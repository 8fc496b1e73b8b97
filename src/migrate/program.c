/* Running an executable under a lease: see program.h. */
#include "migrate/program.h"

#include "base/thread.h"
#include "mql/coerce.h"
#include "store/changelog.h"
#include "text/number.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 100

/* How often what it wrote is kept. A server that is slow is asked less often. */
#define KEEP_MS 1000
#define KEEP_SHARE 10

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

/* go: a byte comes when the watchdog is there. Where the end of the pipe comes instead, eclose died before. */
static void
become (const char *file, char *const *argv, char *const *envp, int go, int output, int failed)
{
   struct sigaction plain = {.sa_handler = SIG_DFL};
   sigset_t none;
   int nothing = open ("/dev/null", O_RDONLY), why;
   ssize_t n;
   char byte;

   setpgid (0, 0);
   sigemptyset (&none);
   sigprocmask (SIG_SETMASK, &none, NULL);
   sigaction (SIGPIPE, &plain, NULL);
   sigaction (SIGINT, &plain, NULL);
   sigaction (SIGTERM, &plain, NULL);
   while ((n = read (go, &byte, 1)) < 0 && errno == EINTR) {
   }
   if (n != 1) {
      _exit (127);
   }
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

enum { READ, WRITE };

typedef struct {
   const ecl_program_t *program;
   pid_t child, watchdog;
   int alive[2], go[2], out[2], failed[2], quiet[2];
   _Atomic int64_t *until; /* shared with the watchdog */
   pthread_t herald;
   ecl_buf_t said; /* its output, bytes as they came; the last of them */
   char *text;     /* the same as text */
   bool fresh;     /* something of it was not kept yet */
   int64_t keep_at;
   int64_t asked;  /* when it was asked to end; 0: it was not */
   bool lost;      /* the lease */
   bool unguarded; /* the watchdog ended before it */
   bool unknown;   /* how it ended: somebody else has reaped it */
} running_t;

/* Tells the watchdog how long the lease lasts: in a thread of its own, so that it is told whatever keeps the other one
 * waiting: whoever is shown the output, or a server that keeps it. */
static void *
tell_until (void *context)
{
   running_t *self = context;
   struct pollfd quiet = {.fd = self->quiet[READ], .events = POLLIN};

   do {
      atomic_store (self->until, atomic_load (&self->program->holder->until));
   } while (poll (&quiet, 1, LOOK_MS) <= 0);
   return NULL;
}

/* The last bytes are those that count. */
static void
hear (running_t *self, const char *bytes, size_t n)
{
   ecl_buf_t *said = &self->said;

   if (said->len + n > said->max) {
      size_t goes = said->len > ECL_CHANGELOG_OUTPUT_MAX ? said->len - ECL_CHANGELOG_OUTPUT_MAX : 0;

      memmove (said->data, said->data + goes, said->len - goes);
      said->len -= goes;
   }
   if (!ecl_buf_append (said, bytes, n)) {
      said->len = 0;
   }
   self->fresh = true;
}

/* The end of what was said, as a record can hold it. */
static const char *
make_text (running_t *self)
{
   const char *p = (const char *) self->said.data, *end = p + self->said.len;

   if (self->said.len > ECL_CHANGELOG_OUTPUT_MAX) {
      for (p = end - ECL_CHANGELOG_OUTPUT_MAX; p < end && ecl_is_continuation (*p); p++) {
      }
   }
   ecl_text_clean (p, (size_t) (end - p), self->text, ECL_CHANGELOG_OUTPUT_MAX + 1);
   return self->text;
}

static void
keep (running_t *self)
{
   const ecl_program_t *program = self->program;
   int64_t began = boot_ms (), ended, pause;

   if (program->keep && self->fresh && began >= self->keep_at) {
      program->keep (program->context, make_text (self));
      self->fresh = false;
      ended = boot_ms ();
      pause = KEEP_SHARE * (ended - began);
      self->keep_at = ended + (pause > KEEP_MS ? pause : KEEP_MS);
   }
}

/* Ends it where it is to end. */
static void
steer (running_t *self)
{
   const ecl_program_t *program = self->program;
   int64_t now = boot_ms ();
   bool end = program->cancelled && program->cancelled (program->context);

   if (!ecl_holder_held (program->holder, now)) {
      self->lost = true;
   } else if (waitpid (self->watchdog, NULL, WNOHANG) == self->watchdog) {
      self->watchdog = -1;
      self->unguarded = true;
   }
   if (self->lost || self->unguarded || (self->asked && now - self->asked > GRACE_MS)) {
      kill (-self->child, SIGKILL);
   } else if (end && !self->asked) {
      self->asked = now;
      kill (-self->child, SIGTERM);
   }
}

/* Whether it has ended. It is not reaped: so long its number, which is that of its group, is nobody else's. */
static bool
has_ended (running_t *self)
{
   siginfo_t info = {0};

   if (waitid (P_PID, (id_t) self->child, &info, WEXITED | WNOHANG | WNOWAIT) == 0) {
      return info.si_pid == self->child;
   }
   self->unknown = errno != EINTR;
   return self->unknown;
}

/* Reads what it says until it has ended. */
static void
follow (running_t *self)
{
   struct pollfd look = {.fd = self->out[READ], .events = POLLIN};
   bool ended = false, closed = false;
   char bytes[4096];

   while (!ended || !closed) {
      if (!ended) {
         steer (self);
         keep (self);
      }
      look.revents = 0;
      if (!closed && poll (&look, 1, ended ? 0 : LOOK_MS) > 0) {
         ssize_t n = read (self->out[READ], bytes, sizeof bytes);

         if (n > 0) {
            if (self->program->show) {
               self->program->show (self->program->context, bytes, (size_t) n);
            }
            hear (self, bytes, (size_t) n);
            continue;
         }
         closed = n == 0 || errno != EINTR;
      } else if (ended) {
         closed = true; /* whoever still has the pipe is none of ours */
      } else if (closed) {
         struct timespec nap = {.tv_nsec = LOOK_MS * 1000000 / 5};

         nanosleep (&nap, NULL);
      }
      ended = ended || has_ended (self);
   }
}

static bool
judge (const running_t *self, int status, bson_error_t *error)
{
   const char *file = self->program->file;

   if (self->lost) {
      return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE, "%s was ended: the lease is lost", file);
   }
   if (self->unguarded) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID,
                       "%s was ended: its watchdog, a process of eclose, was ended before it", file);
   }
   if (self->asked) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "%s was ended as asked for", file);
   }
   if (self->unknown) {
      return ecl_fail (
         error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID,
         "%s has ended, but nobody knows how: this process does not wait for its own children (is SIGCHLD "
         "ignored?)",
         file);
   }
   if (WIFSIGNALED (status)) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "%s was killed by signal %d", file, WTERMSIG (status));
   }
   return WEXITSTATUS (status) == 0 ||
          ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "%s ended with status %d", file, WEXITSTATUS (status));
}

static void
close_end (int *end)
{
   if (*end >= 0) {
      close (*end);
   }
   *end = -1;
}

static bool
send_byte (int end)
{
   ssize_t n;

   while ((n = write (end, "", 1)) < 0 && errno == EINTR) {
   }
   return n == 1;
}

/* Forks, first the program, which waits, then the watchdog, then lets the program go: it never runs without one. What
 * was begun is ended by finish, also where this fails. */
static bool
start (running_t *self, const char *file, char *const *argv, char *const *envp, bson_error_t *error)
{
   int why = 0;

   self->child = fork ();
   if (self->child == 0) {
      /* Not to wait for itself. */
      close (self->go[WRITE]);
      close (self->alive[WRITE]);
      become (file, argv, envp, self->go[READ], self->out[WRITE], self->failed[WRITE]);
   }
   if (self->child > 0) {
      setpgid (self->child, self->child); /* whoever is first */
      self->watchdog = fork ();
      if (self->watchdog == 0) {
         close (self->alive[WRITE]);
         watch (self->alive[READ], self->child, self->until);
      }
   }
   if (self->child < 0 || self->watchdog < 0) {
      return ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_FILE, "%s: %s", self->program->file, strerror (errno));
   }
   close_end (&self->out[WRITE]);
   close_end (&self->failed[WRITE]);
   if (!send_byte (self->go[WRITE]) || read (self->failed[READ], &why, sizeof why) == (ssize_t) sizeof why) {
      return ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_FILE, "%s: %s", self->program->file,
                       strerror (why ? why : errno));
   }
   return true;
}

/* Ends what is left of the group, then the watchdog, and only then lets go of the group's number. */
static int
finish (running_t *self)
{
   int status = 0;

   if (self->child > 0) {
      kill (-self->child, SIGKILL);
      kill (self->child, SIGKILL); /* where it is in no group yet */
   }
   if (self->watchdog > 0) {
      /* It goes by a byte; without one it would end the group. */
      (void) send_byte (self->alive[WRITE]);
      waitpid (self->watchdog, NULL, 0);
   }
   if (self->child > 0 && !self->unknown) {
      waitpid (self->child, &status, 0);
   }
   return status;
}

static bool
start_herald (running_t *self, bson_error_t *error)
{
   int failed = ecl_thread_start (&self->herald, tell_until, self);

   return !failed || ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "%s: no thread: %s", self->program->file,
                               strerror (failed));
}

bool
ecl_program_run (const ecl_program_t *program, ecl_buf_t *output, bson_error_t *error)
{
   char *file = realpath (program->file, NULL), **envp = make_environment (program), *argv[] = {file, NULL};
   running_t self = {.program = program,
                     .child = -1,
                     .watchdog = -1,
                     .alive = {-1, -1},
                     .go = {-1, -1},
                     .out = {-1, -1},
                     .failed = {-1, -1},
                     .quiet = {-1, -1}};
   int *const pipes[] = {self.alive, self.go, self.out, self.failed, self.quiet};
   bool ok = file != NULL, started;
   int status;

   ecl_buf_init (&self.said, 2 * ECL_CHANGELOG_OUTPUT_MAX);
   self.text = bson_malloc (ECL_CHANGELOG_OUTPUT_MAX + 1);
   self.until = mmap (NULL, sizeof *self.until, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
   ok = ok && self.until != MAP_FAILED;
   for (size_t i = 0; ok && i < sizeof pipes / sizeof pipes[0]; i++) {
      ok = pipe2 (pipes[i], O_CLOEXEC) == 0;
   }
   if (!ok) {
      ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_FILE, "%s: %s", program->file, strerror (errno));
      goto done;
   }
   atomic_store (self.until, atomic_load (&program->holder->until));
   ok = start_herald (&self, error);
   if (!ok) {
      goto done;
   }
   started = start (&self, file, argv, envp, error);
   if (started) {
      follow (&self);
   }
   status = finish (&self);
   (void) send_byte (self.quiet[WRITE]);
   pthread_join (self.herald, NULL);
   ok = started && judge (&self, status, error);
   ecl_buf_clear (output);
   if (started && !ecl_buf_append_str (output, make_text (&self))) {
      ecl_buf_clear (output);
   }

done:
   for (size_t i = 0; i < sizeof pipes / sizeof pipes[0]; i++) {
      close_end (&pipes[i][READ]);
      close_end (&pipes[i][WRITE]);
   }
   if (self.until != MAP_FAILED) {
      munmap ((void *) self.until, sizeof *self.until);
   }
   ecl_buf_cleanup (&self.said);
   bson_free (self.text);
   for (size_t i = 0; envp[i]; i++) {
      bson_free (envp[i]);
   }
   bson_free (envp);
   free (file);
   return ok;
}
