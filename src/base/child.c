/* A command beside the work: see child.h. */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

/* Of 4096 bytes at most, in one look: as much as a pipe may hold. */
#define DRAIN_READS 256

extern char **environ;

/* Our environment, in which a variable that was given replaces ours of that name. The texts are borrowed. */
static char **
make_environment (const char *const *given)
{
   size_t n = 0, m = 0, k = 0;
   char **result;

   while (environ[n]) {
      n++;
   }
   while (given && given[m]) {
      m++;
   }
   result = bson_malloc ((n + m + 1) * sizeof (char *));
   for (size_t i = 0; i < n; i++) {
      bool replaced = false;

      for (size_t j = 0; j < m && !replaced; j++) {
         replaced = strncmp (environ[i], given[j], strcspn (given[j], "=") + 1) == 0;
      }
      if (!replaced) {
         result[k++] = environ[i];
      }
   }
   for (size_t j = 0; j < m; j++) {
      result[k++] = (char *) (uintptr_t) given[j];
   }
   result[k] = NULL;
   return result;
}

/* Behind the fork of a process with threads: only what is safe there. */
static void
become (char *const *argv, char *const *envp, int output, pid_t parent)
{
   struct sigaction plain = {.sa_handler = SIG_DFL};
   int nothing = open ("/dev/null", O_RDONLY);
   sigset_t none;

   setpgid (0, 0);
#ifdef __linux__
   prctl (PR_SET_PDEATHSIG, SIGKILL); /* nobody is left to end it when its time is up */
   if (getppid () != parent) {
      _exit (127);
   }
#else
   (void) parent;
#endif
   sigemptyset (&none);
   sigprocmask (SIG_SETMASK, &none, NULL);
   sigaction (SIGPIPE, &plain, NULL);
   sigaction (SIGINT, &plain, NULL);
   sigaction (SIGTERM, &plain, NULL);
   dup2 (nothing, STDIN_FILENO);
   dup2 (output, STDOUT_FILENO);
   execve (argv[0], argv, envp);
   _exit (127);
}

bool
ecl_child_start (ecl_child_t *self, const char *command, const char *const *environment, int64_t now, int64_t limit,
                 bson_error_t *error)
{
   char shell[] = "/bin/sh", option[] = "-c", *argv[] = {shell, option, NULL, NULL};
   char **envp = make_environment (environment);
   pid_t parent = getpid ();
   int ends[2];
   bool ok = false;

   memset (self, 0, sizeof *self);
   self->output = -1;
   argv[2] = bson_strdup (command);
   if (pipe2 (ends, O_CLOEXEC)) {
      ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_FILE, "%s: %s", command, strerror (errno));
      goto done;
   }
   self->pid = fork ();
   if (self->pid == 0) {
      become (argv, envp, ends[1], parent);
   }
   close (ends[1]);
   if (self->pid < 0) {
      self->pid = 0;
      close (ends[0]);
      ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_FILE, "%s: %s", command, strerror (errno));
      goto done;
   }
   setpgid (self->pid, self->pid); /* whoever is first */
   self->output = ends[0];
   fcntl (self->output, F_SETFL, O_NONBLOCK); /* ours alone: it may wait for us to read */
   self->deadline = now + limit;
   ok = true;

done:
   bson_free (argv[2]);
   bson_free (envp);
   return ok;
}

/* What there is of its output; all but the first line is dropped, so that it need not wait for us. One that writes
 * without end waits until the next look: we have other work, too. */
static void
drain (ecl_child_t *self)
{
   char bytes[4096], *end;
   ssize_t n;

   for (int i = 0; i < DRAIN_READS; i++) {
      n = read (self->output, bytes, sizeof bytes);
      if (n == 0 || (n < 0 && errno != EINTR)) {
         break;
      }
      for (ssize_t k = 0; k < n && self->n < sizeof self->line - 1; k++) {
         self->line[self->n++] = bytes[k];
      }
   }
   self->line[self->n] = '\0';
   end = strchr (self->line, '\n');
   if (end) {
      *end = '\0';
      self->n = sizeof self->line - 1; /* nothing more is kept */
   }
}

/* Its process is gone: what it left in its group goes, too. known: we have reaped it. */
static void
finish (ecl_child_t *self, bool known, int status)
{
   kill (-self->pid, SIGKILL);
   drain (self);
   close (self->output);
   self->status = !known ? ECL_CHILD_UNKNOWN : WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
   self->pid = 0;
   self->output = -1;
}

ecl_child_state_t
ecl_child_poll (ecl_child_t *self, int64_t now)
{
   int status = 0;
   pid_t done;

   if (!ecl_child_runs (self)) {
      return self->late ? ECL_CHILD_LATE : ECL_CHILD_ENDED;
   }
   drain (self);
   done = waitpid (self->pid, &status, WNOHANG);
   if (done == 0 && now >= self->deadline) {
      self->late = true;
      kill (-self->pid, SIGKILL);
      while ((done = waitpid (self->pid, &status, 0)) < 0 && errno == EINTR) {
      }
   }
   if (done == 0 || (done < 0 && errno == EINTR)) {
      return ECL_CHILD_RUNS;
   }
   finish (self, done > 0, status);
   return self->late ? ECL_CHILD_LATE : ECL_CHILD_ENDED;
}

void
ecl_child_cleanup (ecl_child_t *self)
{
   if (ecl_child_runs (self)) {
      self->deadline = INT64_MIN;
      (void) ecl_child_poll (self, 0);
   }
}
