/* Hooks: commands of the user's that are run when something happens, with the facts in their environment.
 *
 * They run beside the work, one after another in the order of the events, each for ECL_HOOK_LIMIT at most; how they end
 * is said where it is not well, and changes nothing. Their standard output goes nowhere, their standard error to ours.
 */
#ifndef ECL_CLI_HOOKS_H
#define ECL_CLI_HOOKS_H

#include "base/child.h"
#include "cli/cli.h"

#define ECL_HOOK_LIMIT 30000

typedef struct {
   const char *event, *command; /* borrowed */
   bool hung;                   /* its last run took too long */
} ecl_hook_t;

typedef struct ecl_hook_call_t ecl_hook_call_t;

typedef struct {
   const ecl_cli_t *cli;
   ecl_hook_t *list;
   size_t n;
   ecl_hook_call_t *first, *last; /* waiting; the first one may be running */
   size_t waiting;
   bool closing; /* all else is done: what hung is not run again */
   ecl_child_t child;
} ecl_hooks_t;

/* Whether what --hook was given is a hook. False after a message. */
bool
ecl_hooks_check (const ecl_cli_t *cli) ECL_MUST_CHECK;

/* The project's hooks (their texts stay the project's), then those of --hook. */
void
ecl_hooks_init (ecl_hooks_t *self, const ecl_cli_t *cli, const ecl_project_t *project);

/* Ends what runs and drops what waits. */
void
ecl_hooks_cleanup (ecl_hooks_t *self);

/* Runs the hooks of an event, when those before them have ended. environment: a list of "NAME=value" ended by NULL,
 * copied. */
void
ecl_hooks_fire (ecl_hooks_t *self, const char *event, const char *const *environment, int64_t now);

/* Looks after them; true while there is something to look after. */
bool
ecl_hooks_look (ecl_hooks_t *self, int64_t now);

#endif
