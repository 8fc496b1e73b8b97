/* eclose: the program. */
#include "cli/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* clang-format off */
/* In the order of --help: first what needs no server. */
static const ecl_command_t *const commands[] = {
   &ecl_cmd_init,
   &ecl_cmd_new,
   &ecl_cmd_lint,
   &ecl_cmd_test,
   &ecl_cmd_eval,
   &ecl_cmd_match,
   &ecl_cmd_status,
   &ecl_cmd_plan,
   &ecl_cmd_up,
   &ecl_cmd_down,
   &ecl_cmd_backfill,
   &ecl_cmd_verify,
   &ecl_cmd_quarantine,
   &ecl_cmd_complete,
   &ecl_cmd_lock,
   &ecl_cmd_unlock,
   &ecl_cmd_query,
   &ecl_cmd_view,
   &ecl_cmd_history,
   &ecl_cmd_revert,
   &ecl_cmd_baseline,
   &ecl_cmd_repair,
   &ecl_cmd_adopt,
   NULL,
};
/* clang-format on */

/* A standard stream that is closed would be the next socket that is opened, and what is said go to the server. Opened the
 * wrong way round it fails as a closed one does. */
static bool
fill_streams (void)
{
   for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
      if (fcntl (fd, F_GETFD) < 0 && open ("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) {
         return false;
      }
   }
   return true;
}

static volatile sig_atomic_t nobody_reads;

static void
on_pipe (int number)
{
   (void) number;
   nobody_reads = 1;
}

/* What was printed, written out. A reader that has seen enough (`| head -1`) is told nothing. */
static bool
flush_result (void)
{
   bool flushed = fflush (stdout) == 0;
   int why = errno;

   if (flushed && !ferror (stdout)) {
      return true;
   }
   if (!nobody_reads) {
      /* Of what failed before nobody knows the reason any more. */
      fprintf (stderr, "eclose: standard output: %s\n", flushed ? "not all could be written" : strerror (why));
   }
   return false;
}

int
main (int argc, char **argv)
{
   ecl_cli_t cli = {0};
   ecl_exit_t status = ECL_EXIT_OK;

   if (!fill_streams ()) {
      return ECL_EXIT_FAILED;
   }
   /* A reader that goes away (`eclose eval … | head`) is an error of writing, not a death without a word. */
   signal (SIGPIPE, on_pipe);
   /* Whoever started us may ignore it, which a program inherits: nobody would know how hooks and the like ended. */
   signal (SIGCHLD, SIG_DFL);
   if (ecl_cli_parse (&cli, argc, argv, commands, &status)) {
      status = cli.command->run (&cli);
   }
   if (!flush_result ()) {
      status = status == ECL_EXIT_OK ? ECL_EXIT_FAILED : status;
   }
   return (int) status;
}
