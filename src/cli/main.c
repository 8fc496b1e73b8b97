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

int
main (int argc, char **argv)
{
   ecl_cli_t cli = {0};
   ecl_exit_t status = ECL_EXIT_OK;

   if (!fill_streams ()) {
      return ECL_EXIT_FAILED;
   }
   /* A reader that goes away (`eclose eval … | head`) is an error of writing, not a death without a word. */
   signal (SIGPIPE, SIG_IGN);
   /* Whoever started us may ignore it, which a program inherits: nobody would know how hooks and the like ended. */
   signal (SIGCHLD, SIG_DFL);
   if (ecl_cli_parse (&cli, argc, argv, commands, &status)) {
      status = cli.command->run (&cli);
   }
   if (fflush (stdout) != 0 || ferror (stdout)) {
      if (errno != EPIPE) {
         fprintf (stderr, "eclose: standard output: %s\n", strerror (errno));
      }
      status = status == ECL_EXIT_OK ? ECL_EXIT_FAILED : status;
   }
   return (int) status;
}
