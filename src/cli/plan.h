/* The part of `plan` that is about database migrations. */
#ifndef ECL_CLI_PLAN_H
#define ECL_CLI_PLAN_H

#include "cli/remote.h"

/* What the steps of all that is pending would touch; limit: ms of one count. *blocked is set where `up` would refuse.
 * False after a message. */
bool
ecl_plan_works (ecl_remote_t *remote, int64_t limit, bool *blocked) ECL_MUST_CHECK;

#endif
