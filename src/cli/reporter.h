/* Reporter: what a long run tells others while it runs: metrics, log lines, hooks.
 *
 *    ecl_reporter_open ──► ecl_reporter_update (as often as you like) ──► ecl_reporter_close
 *
 * The caller only says how things stand (an account per collection); what is new in it is found here:
 *
 *    metrics  --metrics FILE: Prometheus' text format, for node_exporter's textfile collector (metrics.h). Written
 *             every few seconds, and whenever the state changes.
 *    log      with --log-format json one line of JSON on standard error for each event, and of progress every ten
 *             seconds; as text only what slows and what no longer does, a pause and its end
 *    hooks    --hook EVENT=COMMAND, hooks: in eclose.yaml (hooks.h)
 *
 * Events: start, throttle, resume (no longer slowed, or no longer paused), pause, failure, end. Belongs to one thread.
 */
#ifndef ECL_CLI_REPORTER_H
#define ECL_CLI_REPORTER_H

#include "cli/account.h"
#include "cli/hooks.h"

typedef struct ecl_reporter_t ecl_reporter_t;

/* With the options of the command (--metrics, --hook; ECL_REPORTER_OPTIONS) and the project's hooks. database is
 * borrowed until the end. */
ecl_reporter_t *
ecl_reporter_open (const ecl_cli_t *cli, const ecl_project_t *project, const char *database);

#define ECL_REPORTER_OPTIONS                                                                               \
   {"metrics", 0, "FILE", "write Prometheus metrics there, for node_exporter's textfile collector"},       \
   {                                                                                                       \
      "hook", 0, "EVENT=COMMAND", "run that on start, throttle, pause, resume, failure, end", .many = true \
   }

/* self may be NULL. now: ms of a clock that does not go back. */
void
ecl_reporter_update (ecl_reporter_t *self, const ecl_account_t *account, int64_t now);

/* Waits for hooks that still run, within their time. */
void
ecl_reporter_close (ecl_reporter_t *self);

#endif
