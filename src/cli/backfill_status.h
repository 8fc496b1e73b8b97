/* eclose backfill status: how far jobs are, and who works on them, from their records alone. */
#ifndef ECL_CLI_BACKFILL_STATUS_H
#define ECL_CLI_BACKFILL_STATUS_H

#include "cli/remote.h"

/* Of a collection: its latest job. Of all (NULL): those that are live. */
ecl_exit_t
ecl_backfill_status (const ecl_remote_t *remote, const char *collection);

#endif
