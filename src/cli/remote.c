/* Commands that talk to a server: see remote.h. */
#include "cli/remote.h"

#include "mongo/world.h"
#include "run/holder.h"
#include "run/pace.h"
#include "run/throttle.h"

#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define MOST_WORKERS 256

static volatile sig_atomic_t asked_to_end, on_terminal;

/* The second one ends the process, whichever of them it is, and also where nobody ends process 1 of a container. */
static void
on_signal (int number)
{
   if (asked_to_end) {
      /* What the shell writes next must not begin behind the progress. */
      (void) !(on_terminal && write (STDERR_FILENO, "\n", 1));
      signal (number, SIG_DFL);
      raise (number);
      _exit (128 + number);
   }
   asked_to_end = 1;
}

/* The terminal is gone. That may be told twice, by the shell and by the kernel. */
static void
on_hangup (int number)
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
catch_signals (const ecl_cli_t *cli)
{
   struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER}, now;

   on_terminal = cli->progress == ECL_PROGRESS_TERMINAL;
   sigaction (SIGINT, &action, NULL);
   sigaction (SIGTERM, &action, NULL);
   action.sa_handler = on_hangup;
   if (sigaction (SIGHUP, NULL, &now) == 0 && now.sa_handler != SIG_IGN) { /* as under nohup */
      sigaction (SIGHUP, &action, NULL);
   }
}

static const char *
user_name (void)
{
   const struct passwd *entry = getpwuid (getuid ());

   return entry ? entry->pw_name : getenv ("USER");
}

static ecl_world_t *
connect (void *context, int32_t timeout, bson_error_t *error)
{
   const ecl_remote_t *remote = context;
   const char *ignored;

   /* A heartbeat, which is in a hurry, outlasts what it beats for. */
   return ecl_mongo_world_new_hasty (ecl_project_uri (remote->project), timeout, timeout ? NULL : cancelled, &ignored,
                                     error);
}

static void
disconnect (void *context, ecl_world_t *world)
{
   (void) context;
   ecl_mongo_world_destroy (world);
}

void
ecl_remote_init (ecl_remote_t *self, ecl_cli_t *cli, ecl_project_t *project)
{
   memset (self, 0, sizeof *self);
   self->cli = cli;
   self->project = project;
   self->connector = (ecl_connector_t){self, connect, disconnect};
}

bool
ecl_remote_load (ecl_remote_t *self, ecl_cli_t *cli)
{
   ecl_remote_init (self, cli, ecl_cli_load (cli));
   return self->project != NULL;
}

bool
ecl_remote_load_settings (ecl_remote_t *self, ecl_cli_t *cli)
{
   bool broken = false;

   ecl_remote_init (self, cli, ecl_cli_load_settings (cli, &broken));
   self->broken = broken;
   return self->project != NULL;
}

/* What the server would only complain of in the words of a namespace. False after a message. */
static bool
is_database (const ecl_cli_t *cli, const char *name)
{
   size_t len = strlen (name);

   if (len == 0 || len > 63 || name[strcspn (name, "/\\. \"$")]) {
      ecl_cli_fail (cli, "\"%s\" is no name of a database: expected 1 to 63 bytes, and none of /\\.\"$ and the space",
                    name);
      return false;
   }
   return true;
}

bool
ecl_remote_connect (ecl_remote_t *self)
{
   const ecl_cli_t *cli = self->cli;
   const char *uri, *named = NULL;
   char complaints[1024];
   bson_error_t error;
   int64_t seconds;

   gethostname (self->host, sizeof self->host - 1);
   ecl_place_here (self->place);
   self->who = (ecl_who_t){.host = self->host,
                           .user = user_name (),
                           .release = getenv ("ECLOSE_RELEASE"),
                           .pid = getpid (),
                           .place = *self->place ? self->place : NULL};
   if (!ecl_holder_times (getenv ("ECLOSE_LEASE_TIME"), getenv ("ECLOSE_MAX_CLOCK_SKEW"), &self->lease_time,
                          &self->lease_skew, &error)) {
      ecl_cli_fail (cli, "%s", error.message);
      return false;
   }
   uri = ecl_project_uri (self->project);
   if (!uri) {
      ecl_cli_fail (cli, "no server: give --uri, ECLOSE_URI or MONGODB_URI, or `uri` in eclose.yaml");
      return false;
   }
   if (!ecl_cli_number (cli, "count-time", 1, ECL_REMOTE_COUNT_TIME_MAX, 0, &seconds)) {
      return false;
   }
   catch_signals (cli);
   ecl_mongo_init ();
   ecl_mongo_uri_complaints (uri, complaints, sizeof complaints);
   if (*complaints) {
      ecl_cli_note (cli, "the server's URI: %s", complaints);
   }
   self->world = ecl_mongo_world_new (uri, (int32_t) (seconds * 1000), cancelled, &named, &error);
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
   if (!is_database (cli, self->database)) {
      return false;
   }
   if (!ecl_server_ask (self->world, &self->server, &error)) {
      ecl_mongo_explain (uri, &error);
      ecl_cli_fail (cli, "%s", error.message);
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
   return ecl_remote_load (self, cli) && ecl_remote_connect (self);
}

bool
ecl_remote_open_settings (ecl_remote_t *self, ecl_cli_t *cli)
{
   return ecl_remote_load_settings (self, cli) && ecl_remote_connect (self);
}

void
ecl_remote_close (ecl_remote_t *self)
{
   ecl_reporter_close (self->reporter);
   ecl_upgrades_destroy (self->upgrades);
   ecl_mongo_world_destroy (self->world);
   ecl_project_destroy (self->project);
   for (size_t i = 0; i < self->n_said; i++) {
      bson_free (self->said[i]);
   }
   bson_free (self->said);
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
   ecl_site_t site = {.world = self->world,
                      .project = self->project,
                      .upgrades = self->upgrades,
                      .database = self->database,
                      .server = self->server,
                      .who = self->who,
                      .lease_time = self->lease_time,
                      .lease_skew = self->lease_skew};

   return site;
}

/* ---- how much is put into it ---- */

/* A number with a fraction; false after a message. */
static bool
read_double (const ecl_cli_t *cli, const char *name, double min, double max, double *out, bool *given)
{
   const char *text = ecl_cli_option (cli, name);
   char *end;

   *given = text != NULL;
   if (!text) {
      return true;
   }
   *out = strtod (text, &end);
   if (!*text || *end || !(*out >= min && *out <= max)) {
      ecl_cli_usage (cli, "--%s takes a number from %g to %g, not \"%s\"", name, min, max, text);
      return false;
   }
   return true;
}

/* Those of ECL_REMOTE_SETTINGS; *set says which were given. False after a message. */
static bool
read_settings (const ecl_cli_t *cli, ecl_job_settings_t *settings, unsigned *set)
{
   const char *rate = ecl_cli_option (cli, "max-rate");
   ecl_throttle_settings_t parsed = {0};
   double lag = 0, window = 0;
   bool given;
   bson_error_t error;

   *set = 0;
   memset (settings, 0, sizeof *settings);
   if (rate) {
      if (!ecl_throttle_parse_rate (rate, &parsed, &error)) {
         ecl_cli_usage (cli, "--max-rate: %s", error.message);
         return false;
      }
      settings->max_documents = parsed.max_documents;
      settings->max_bytes = parsed.max_bytes;
      *set |= ECL_SET_MAX_RATE;
   }
   if (!ecl_cli_number (cli, "batch-time", 1, 60000, 0, &settings->batch_time)) {
      return false;
   }
   *set |= settings->batch_time ? ECL_SET_BATCH_TIME : 0;
   if (!read_double (cli, "max-latency", 1.1, 1000, &settings->max_latency, &given)) {
      return false;
   }
   *set |= given ? ECL_SET_MAX_LATENCY : 0;
   if (!read_double (cli, "max-lag", 0.1, 86400, &lag, &given)) {
      return false;
   }
   settings->max_lag = (int64_t) (lag * 1000);
   *set |= given ? ECL_SET_MAX_LAG : 0;
   if (!read_double (cli, "min-window", 0.1, 100000, &window, &given)) {
      return false;
   }
   settings->min_window = (int64_t) (window * 60000);
   *set |= given ? ECL_SET_MIN_WINDOW : 0;
   return true;
}

bool
ecl_remote_look (ecl_remote_t *remote, const ecl_cli_t *cli, ecl_look_t *how)
{
   int64_t workers = 0;
   bool good = ecl_cli_number (cli, "range-docs", 1, 1000000000, 0, &how->range_docs) &&
               ecl_cli_number (cli, "workers", 1, MOST_WORKERS, 0, &workers);

   how->workers = (uint32_t) workers;
   how->connector = &remote->connector;
   return good;
}

/* A variable of a script that was not set would switch it off without a word. False after a message. */
static bool
is_filled (const ecl_cli_t *cli, const char *name)
{
   const char *text = ecl_cli_option (cli, name);

   if (text && !*text) {
      ecl_cli_usage (cli, "--%s is empty", name);
      return false;
   }
   return true;
}

bool
ecl_remote_effort (ecl_remote_t *self)
{
   const ecl_cli_t *cli = self->cli;
   ecl_effort_t *effort = &self->effort;
   ecl_look_t how;
   bool given;

   if (!is_filled (cli, "throttle-command") || !is_filled (cli, "metrics") || !ecl_remote_look (self, cli, &how) ||
       !read_double (cli, "max-errors", 0, 1, &effort->max_errors, &given) ||
       !read_settings (cli, &effort->settings, &effort->set)) {
      return false;
   }
   /* In a job that is joined only what was given is changed. */
   ecl_pace_job (self->project, effort->set, &effort->settings);
   if (given && effort->max_errors <= 0) {
      effort->max_errors = -1; /* none at all */
   }
   effort->connector = how.connector;
   effort->workers = how.workers;
   effort->range_docs = how.range_docs;
   effort->throttle_command = ecl_cli_option (cli, "throttle-command");
   return true;
}
