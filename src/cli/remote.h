/* What the commands that talk to a server share: the project, the connection, and how a collection would be worked. */
#ifndef ECL_CLI_REMOTE_H
#define ECL_CLI_REMOTE_H

#include "cli/cli.h"
#include "run/backfill.h"
#include "run/facts.h"

typedef struct {
   ecl_cli_t *cli;
   ecl_project_t *project;
   ecl_upgrades_t *upgrades;
   ecl_world_t *world;
   ecl_server_t server;
   const char *database;
} ecl_remote_t;

/* Loads the project and connects. False after a message. From here on the first SIGINT or SIGTERM asks the run to end;
 * the second ends the process. Cleanup in any case. */
bool
ecl_remote_open (ecl_remote_t *self, ecl_cli_t *cli) ECL_MUST_CHECK;

void
ecl_remote_close (ecl_remote_t *self);

/* One collection on its way: from where the documents are to a target. */
typedef struct {
   const ecl_chain_t *chain;
   size_t target;         /* place on the chain */
   bool down;
   ecl_facts_t facts;
   ecl_mode_t mode;       /* decided */
   const char *mode_why;  /* one line */
   const ecl_obstacle_t *obstacles;
   size_t n_obstacles;
} ecl_course_t;

/* Finds out all about it; nothing is written. Texts lie in the arena. */
bool
ecl_remote_course (ecl_remote_t *self, const ecl_chain_t *chain, size_t target, bool down, ecl_mode_t wanted,
                   ecl_arena_t *arena, ecl_course_t *out, bson_error_t *error) ECL_MUST_CHECK;

/* --mode and --to. False after a message. */
bool
ecl_remote_mode (const ecl_cli_t *cli, ecl_mode_t *mode) ECL_MUST_CHECK;

/* The place on the chain that --to names, or its end. */
bool
ecl_remote_target (const ecl_cli_t *cli, const ecl_chain_t *chain, size_t *target) ECL_MUST_CHECK;

/* Carries a collection out: progress on standard error, the result on standard output. */
ecl_exit_t
ecl_remote_run (ecl_remote_t *self, const ecl_chain_t *chain, size_t target, bool down, ecl_mode_t wanted);

#endif
