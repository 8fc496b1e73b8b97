/* eclose lock and eclose unlock: who holds the lease, and taking it from them. */
#include "cli/commands.h"
#include "cli/remote.h"
#include "run/holder.h"

static void
print (const ecl_cli_t *cli, bool found, const ecl_lease_t *lease, bool expired)
{
   bson_t line = BSON_INITIALIZER;
   char text[512], at[32];

   if (!cli->json) {
      if (found && lease->held) {
         ecl_holder_describe (lease, text, sizeof text);
         printf ("held by %s; token %" PRId64, text, lease->token);
         if (expired) {
            printf ("; it expired %s: whoever asks next gets it", ecl_cli_time (lease->expires, at));
         }
         putchar ('\n');
      } else {
         printf ("free\n");
      }
      return;
   }
   BSON_APPEND_BOOL (&line, "held", found && lease->held);
   BSON_APPEND_INT64 (&line, "token", lease->token);
   if (found && lease->held) {
      BSON_APPEND_UTF8 (&line, "host", lease->host);
      BSON_APPEND_INT64 (&line, "pid", lease->pid);
      BSON_APPEND_UTF8 (&line, "user", lease->user);
      BSON_APPEND_UTF8 (&line, "release", lease->release);
      BSON_APPEND_DATE_TIME (&line, "granted", lease->granted);
      BSON_APPEND_DATE_TIME (&line, "renewed", lease->renewed);
      BSON_APPEND_DATE_TIME (&line, "expires", lease->expires);
      BSON_APPEND_BOOL (&line, "expired", expired);
   }
   ecl_cli_json (&line);
   bson_destroy (&line);
}

/* Not one that takes it: one that looks, with the times of those who do. */
static void
init_holder (ecl_holder_t *holder, const ecl_remote_t *remote)
{
   ecl_holder_options_t options = {
      .database = remote->database, .time = remote->lease_time, .skew = remote->lease_skew, .who = remote->who};

   ecl_holder_init (holder, &options);
}

static ecl_exit_t
run_lock (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_holder_t holder = {0};
   ecl_remote_t remote = {0};
   bson_error_t error;
   ecl_lease_t lease;
   bool found, expired;

   if (ecl_remote_open_settings (&remote, cli)) {
      init_holder (&holder, &remote);
      if (ecl_holder_look (&holder, remote.world, &found, &lease, &error) &&
          ecl_holder_look_expired (&holder, remote.world, &expired, &error)) {
         print (cli, found, &lease, expired);
         status = ECL_EXIT_OK;
      } else {
         ecl_cli_fail (cli, "%s", error.message);
      }
      ecl_holder_cleanup (&holder);
   }
   ecl_remote_close (&remote);
   return status;
}

static ecl_exit_t
run_unlock (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_holder_t holder = {0};
   ecl_remote_t remote = {0};
   bson_error_t error;
   ecl_lease_t was;
   char text[512];
   bool broken;

   if (!ecl_cli_flag (cli, "force")) {
      return ecl_cli_usage (cli, "this takes the lease from whoever holds it: say --force if that is meant");
   }
   if (ecl_remote_open_settings (&remote, cli)) {
      init_holder (&holder, &remote);
      if (!ecl_holder_break (&holder, remote.world, 0, &broken, &was, &error)) {
         ecl_cli_fail (cli, "%s", error.message);
      } else if (broken) {
         ecl_holder_describe (&was, text, sizeof text);
         printf ("broken; it was held by %s, token %" PRId64 "\n", text, was.token);
         status = ECL_EXIT_OK;
      } else {
         printf ("nothing to break: %s\n", was.held ? "it changed hands meanwhile" : "it is free");
         status = was.held ? ECL_EXIT_LEASE : ECL_EXIT_OK;
      }
      ecl_holder_cleanup (&holder);
   }
   ecl_remote_close (&remote);
   return status;
}

const ecl_command_t ecl_cmd_lock = {
   .name = "lock",
   .arguments = "",
   .summary = "show who holds the lease of the migrations",
   .about = "A lease that nobody renews is free once it has expired. Writes nothing.",
   .max_args = 0,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER | ECL_COMMAND_FORMAT,
   .run = run_lock,
};

static const ecl_option_t unlock_options[] = {
   {"force", 0, NULL, "take it, even from one that is alive"},
   {NULL},
};

const ecl_command_t ecl_cmd_unlock = {
   .name = "unlock",
   .arguments = "--force",
   .summary = "take the lease from whoever holds it",
   .about = "Says whose it was. Its holder changes none of eclose's records any more, whatever it does;\n"
            "what it has left running at the server is ended when the lease is next taken.",
   .options = unlock_options,
   .max_args = 0,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER,
   .run = run_unlock,
};
