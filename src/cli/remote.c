/* Commands that talk to a server: see remote.h. */
#include "cli/remote.h"

#include "mongo/world.h"

#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static volatile sig_atomic_t asked_to_end;

static void
on_signal (int number)
{
   (void) number;
   asked_to_end = 1;
}

static bool
cancelled (void)
{
   return asked_to_end != 0;
}

static void
catch_signals (void)
{
   /* The second one finds the default action. */
   struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int) SA_RESETHAND};

   sigaction (SIGINT, &action, NULL);
   sigaction (SIGTERM, &action, NULL);
}

static const char *
user_name (void)
{
   const struct passwd *entry = getpwuid (getuid ());

   return entry ? entry->pw_name : getenv ("USER");
}

bool
ecl_remote_connect (ecl_remote_t *self, ecl_cli_t *cli, ecl_project_t *project)
{
   const char *uri, *named = NULL;
   bson_error_t error;

   memset (self, 0, sizeof *self);
   self->cli = cli;
   gethostname (self->host, sizeof self->host - 1);
   self->who =
      (ecl_who_t){.host = self->host, .user = user_name (), .release = getenv ("ECLOSE_RELEASE"), .pid = getpid ()};
   self->project = project;
   uri = ecl_project_uri (self->project);
   if (!uri) {
      ecl_cli_fail (cli, "no server: give --uri, ECLOSE_URI or MONGODB_URI, or `uri` in eclose.yaml");
      return false;
   }
   catch_signals ();
   ecl_mongo_init ();
   self->world = ecl_mongo_world_new (uri, cancelled, &named, &error);
   if (!self->world) {
      ecl_cli_fail (cli, "%s", error.message);
      return false;
   }
   self->database = ecl_project_database (self->project);
   self->database = self->database ? self->database : named;
   if (!self->database) {
      ecl_cli_fail (cli, "no database: give --database or ECLOSE_DATABASE, or `database` in eclose.yaml");
      return false;
   }
   if (!ecl_server_ask (self->world, &self->server, &error)) {
      ecl_cli_fail (cli, "the server does not answer: %s", error.message);
      return false;
   }
   self->upgrades = ecl_upgrades_new (self->project);
   for (const ecl_option_t *option = cli->command->options; option && option->name; option++) {
      if (strcmp (option->name, "metrics") == 0) {
         self->reporter = ecl_reporter_open (cli, self->project, self->database);
      }
   }
   return true;
}

bool
ecl_remote_open (ecl_remote_t *self, ecl_cli_t *cli)
{
   ecl_project_t *project = ecl_cli_load (cli);

   memset (self, 0, sizeof *self);
   return project && ecl_remote_connect (self, cli, project);
}

void
ecl_remote_close (ecl_remote_t *self)
{
   ecl_reporter_close (self->reporter);
   ecl_upgrades_destroy (self->upgrades);
   ecl_mongo_world_destroy (self->world);
   ecl_project_destroy (self->project);
}

bool
ecl_remote_mode (const ecl_cli_t *cli, ecl_mode_t *mode)
{
   const char *text = ecl_cli_option (cli, "mode");

   for (*mode = ECL_MODE_AUTO; text && *mode <= ECL_MODE_CLIENT; (*mode)++) {
      if (strcmp (text, ecl_mode_name (*mode)) == 0) {
         return true;
      }
   }
   if (text) {
      ecl_cli_usage (cli, "--mode takes auto, pushdown or client, not \"%s\"", text);
   }
   return !text;
}

bool
ecl_remote_target (const ecl_cli_t *cli, const ecl_chain_t *chain, size_t *target)
{
   const char *text = ecl_cli_option (cli, "to");
   ecl_version_t version;
   bson_error_t error;

   *target = chain->n_steps;
   if (!text) {
      return true;
   }
   if (!ecl_chain_parse_version (chain, text, &version, &error) || !ecl_chain_index (chain, version, target)) {
      ecl_cli_usage (cli, "--to: %s", error.message);
      return false;
   }
   return true;
}

ecl_site_t
ecl_remote_site (const ecl_remote_t *self)
{
   return (ecl_site_t){.world = self->world,
                       .project = self->project,
                       .upgrades = self->upgrades,
                       .database = self->database,
                       .server = self->server,
                       .who = self->who};
}
