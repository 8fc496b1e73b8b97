/* What the commands that talk to a server share: the project, the connection, and how a collection would be worked. */
#ifndef ECL_CLI_REMOTE_H
#define ECL_CLI_REMOTE_H

#include "backfill/carry.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/reporter.h"
#include "run/parallel.h"
#include "run/place.h"

typedef struct {
   ecl_cli_t *cli;
   ecl_project_t *project;
   bool broken; /* its migrations are not to be used: see ecl_remote_load_settings */
   ecl_upgrades_t *upgrades;
   ecl_world_t *world;
   ecl_server_t server;
   const char *database;
   ecl_progress_t progress;  /* of the collection that is carried */
   bool counting;            /* its total is known */
   bool job_failed;          /* that of the collection carried last, for all who worked on it */
   ecl_job_progress_t last;  /* of it, as it was told; its text is not kept */
   ecl_reporter_t *reporter; /* of commands with ECL_REPORTER_OPTIONS; else NULL */
   ecl_who_t who;
   char host[256], place[ECL_PLACE_SIZE];
   ecl_connector_t connector;
   ecl_effort_t effort; /* for collections, as options say */
   bool paused;         /* it was said */
   char **said;         /* what the throttle cannot see, as it was said */
   size_t n_said;
   int64_t lease_time, lease_skew; /* as in holder.h */
} ecl_remote_t;

/* Loads the project. False after a message. What its files and the options say can be looked at now: wrong usage is
 * found before anybody waits for a server. Cleanup in any case. */
bool
ecl_remote_load (ecl_remote_t *self, ecl_cli_t *cli) ECL_MUST_CHECK;

/* The same for what acts on eclose's own records, as ecl_cli_load_settings: problems of migrations are no failure. */
bool
ecl_remote_load_settings (ecl_remote_t *self, ecl_cli_t *cli) ECL_MUST_CHECK;

/* The same with a project that is loaded already; it belongs to *self from here on. */
void
ecl_remote_init (ecl_remote_t *self, ecl_cli_t *cli, ecl_project_t *project);

/* Connects. False after a message. From here on the first SIGINT or SIGTERM, and each SIGHUP, asks the run to end; the
 * second SIGINT or SIGTERM ends the process. */
bool
ecl_remote_connect (ecl_remote_t *self) ECL_MUST_CHECK;

/* Loads and connects. */
bool
ecl_remote_open (ecl_remote_t *self, ecl_cli_t *cli) ECL_MUST_CHECK;

/* The same for what acts on eclose's own records. */
bool
ecl_remote_open_settings (ecl_remote_t *self, ecl_cli_t *cli) ECL_MUST_CHECK;

void
ecl_remote_close (ecl_remote_t *self);

/* Where the work is done, as src/backfill and src/migrate want to know it. It points into self. */
ecl_site_t
ecl_remote_site (const ecl_remote_t *self);

/* Seconds that --count-time may say: a day. */
#define ECL_REMOTE_COUNT_TIME_MAX 86400

/* --mode and --to. False after a message. */
bool
ecl_remote_mode (const ecl_cli_t *cli, ecl_mode_t *mode) ECL_MUST_CHECK;

/* The place on the chain that --to names, or its end. */
bool
ecl_remote_target (const ecl_cli_t *cli, const ecl_chain_t *chain, size_t *target) ECL_MUST_CHECK;

/* The options below, as the command's own. */
#define ECL_REMOTE_EFFORT                                                                                 \
   {"workers", 0, "N", "so many at once; 1"},                                                             \
      {"range-docs", 0, "N", "documents of a range that one worker takes at a time; 250000"},             \
      {"max-errors", 0, "SHARE", "of 1,000 sampled documents, tried first; more: nothing is begun; 0.5"}, \
   {                                                                                                      \
      "throttle-command", 0, "COMMAND", "says wait by its exit status or its first line"                  \
   }

#define ECL_REMOTE_SETTINGS                                                                                            \
   {"max-rate", 0, "RATE", "documents (1000) or bytes (5MB) per second, all workers together; none"},                  \
      {"batch-time", 0, "MS", "what a batch may take; 50"},                                                            \
      {"max-latency", 0, "TIMES", "of its writes, against when all is calm; backfill: 2, up and down: not looked at"}, \
      {"max-lag", 0, "SECONDS", "of the secondaries; 10"},                                                             \
   {                                                                                                                   \
      "min-window", 0, "MINUTES", "that the oplog has to reach back; 120, at most half of what it did"                 \
   }

/* Reads them into self->effort, and asks no server. False after a message. */
bool
ecl_remote_effort (ecl_remote_t *self) ECL_MUST_CHECK;

/* What is said while a collection is carried, and of the result; error is NULL where it succeeded. */
void
ecl_remote_progress (ecl_remote_t *self, const ecl_carry_t *what, const ecl_job_progress_t *progress);

/* Says what failed. ECL_EXIT_LEASE where somebody else has the lease, or took it; else ECL_EXIT_FAILED. */
ecl_exit_t
ecl_remote_fail (const ecl_remote_t *self, const bson_error_t *error);

/* Something worth knowing, in a line; what the throttle cannot see only once. */
void
ecl_remote_note (ecl_remote_t *self, const char *message);

/* Of a collection in which nothing was found: that it does not exist, if so. What is finished looks alike, and a wrong
 * --database. */
void
ecl_remote_note_missing (const ecl_remote_t *self, const char *collection);

ecl_exit_t
ecl_remote_carried (ecl_remote_t *self, const ecl_carried_t *carried, const bson_error_t *error);

/* Carries a collection out, with self->effort: progress on standard error, the result on standard output. */
ecl_exit_t
ecl_remote_run (ecl_remote_t *self, const ecl_chain_t *chain, size_t target, bool down, ecl_mode_t wanted);

/* Of commands that only look. */
#define ECL_REMOTE_LOOK                                                          \
   {"range-docs", 0, "N", "documents that one command looks at; 100000"},        \
   {                                                                             \
      "workers", 0, "N", "so many at once, each over a connection of its own; 1" \
   }

/* What they say; 0 where they say nothing. remote may have been loaded later. False after a message. */
bool
ecl_remote_look (ecl_remote_t *remote, const ecl_cli_t *cli, ecl_look_t *how) ECL_MUST_CHECK;

/* Documents at random (0: all), read as a reader of that place on the chain would, with what is wrong said (quiet: only
 * counted); *bad is added to. False after a message. */
bool
ecl_remote_verify (ecl_remote_t *self, const ecl_chain_t *chain, size_t target, int64_t sample, const ecl_look_t *how,
                   bool quiet, int64_t *bad) ECL_MUST_CHECK;

#endif
