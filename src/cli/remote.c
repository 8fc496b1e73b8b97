/* Commands that talk to a server: see remote.h. */
#include "cli/remote.h"

#include "mongo/world.h"

#include <signal.h>

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

bool
ecl_remote_open (ecl_remote_t *self, ecl_cli_t *cli)
{
   const char *uri, *named = NULL;
   bson_error_t error;

   memset (self, 0, sizeof *self);
   self->cli = cli;
   self->project = ecl_cli_load (cli);
   if (!self->project) {
      return false;
   }
   uri = ecl_project_uri (self->project);
   if (!uri) {
      ecl_cli_fail (cli, "no server: give --uri, ECLOSE_URI or MONGODB_URI, or `uri` in eclose.yaml");
      return false;
   }
   catch_signals ();
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
   return true;
}

void
ecl_remote_close (ecl_remote_t *self)
{
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

/* Who computes, and why. */
static bool
choose_mode (ecl_remote_t *self, const ecl_course_t *course, ecl_mode_t wanted, ecl_mode_t *mode, const char **why,
             bson_error_t *error)
{
   const char *cannot = !self->server.pipelines ? "this server takes no pipelines in updates (MongoDB 4.2 does)"
                                                : ecl_facts_transaction (&course->facts);

   if (wanted == ECL_MODE_PUSHDOWN && cannot) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_UNSUPPORTED, "%s cannot be pushed down: %s",
                       course->chain->collection, cannot);
   }
   *mode = wanted == ECL_MODE_CLIENT || cannot ? ECL_MODE_CLIENT : ECL_MODE_PUSHDOWN;
   *why = wanted != ECL_MODE_AUTO ? "as asked for" : cannot ? cannot : "the server runs all stages of the chain";
   return true;
}

bool
ecl_remote_course (ecl_remote_t *self, const ecl_chain_t *chain, size_t target, bool down, ecl_mode_t wanted,
                   ecl_arena_t *arena, ecl_course_t *out, bson_error_t *error)
{
   const ecl_plan_t **plans = ecl_arena_array (arena, const ecl_plan_t *, chain->n_steps + 1);
   size_t n_plans = 0;

   memset (out, 0, sizeof *out);
   out->chain = chain;
   out->target = target;
   out->down = down;
   for (size_t i = down ? target + 1 : 0; down ? i <= chain->n_steps : i < target; i++) {
      if (!ecl_upgrades_plan (self->upgrades, chain, i, target, &plans[n_plans++], error)) {
         return false;
      }
   }
   if (!ecl_facts_ask (self->world, &self->server, self->database, chain->collection, arena, &out->facts, error) ||
       !choose_mode (self, out, wanted, &out->mode, &out->mode_why, error)) {
      return false;
   }
   out->obstacles = ecl_facts_obstacles (&out->facts, plans, n_plans, arena, &out->n_obstacles);
   return true;
}
