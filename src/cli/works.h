/* What the commands about database migrations share: a runner whose doings are printed. */
#ifndef ECL_CLI_WORKS_H
#define ECL_CLI_WORKS_H

#include "cli/progress.h"
#include "cli/remote.h"
#include "migrate/runner.h"

typedef struct {
   ecl_remote_t *remote;
   ecl_runner_t runner;
   ecl_progress_t progress; /* of a step */
} ecl_works_t;

/* Asks the server nothing. */
void
ecl_works_init (ecl_works_t *self, ecl_remote_t *remote);

/* Reads the changelog. False after a message. */
bool
ecl_works_read (ecl_works_t *self) ECL_MUST_CHECK;

/* Both. Cleanup in any case. */
bool
ecl_works_open (ecl_works_t *self, ecl_remote_t *remote) ECL_MUST_CHECK;

void
ecl_works_close (ecl_works_t *self);

/* Milliseconds of --wait[=SECONDS]: 0 where it was not given, negative without end. False after a message. */
bool
ecl_works_wait (const ecl_cli_t *cli, int64_t *wait) ECL_MUST_CHECK;

/* --max-rate, of what database migrations write. False after a message. */
bool
ecl_works_rate (const ecl_cli_t *cli, ecl_throttle_settings_t *rate) ECL_MUST_CHECK;

/* Where it was given it takes the place of what the project says. */
void
ecl_works_set_rate (ecl_works_t *self, const ecl_throttle_settings_t *rate);

/* Takes the lease and reads the changelog again. ECL_EXIT_OK, or a message and what ecl_remote_fail returns. */
ecl_exit_t
ecl_works_acquire (ecl_works_t *self, int64_t wait) ECL_MUST_CHECK;

/* One migration, one way, with everything said. */
ecl_exit_t
ecl_works_run (ecl_works_t *self, const ecl_placed_t *placed, bool down) ECL_MUST_CHECK;

/* Says which applied files have changed; false where one has. */
bool
ecl_works_unchanged (const ecl_works_t *self);

/* The one of that name; NULL after a message, with what was likely meant. */
const ecl_placed_t *
ecl_works_find (const ecl_works_t *self, const char *name);

/* Marks as applied without running; origin is kept in the record. ended: when, in milliseconds; 0: now. */
bool
ecl_works_mark (ecl_works_t *self, const ecl_placed_t *placed, const char *origin, int64_t ended) ECL_MUST_CHECK;

#endif
