/* History: the changelog against a world. What is known of the migrations, and changing it under a lease.
 *
 *    lease granted ──► ecl_history_read (again: what was read before may be old)
 *       for each that is to run:  ecl_history_claim ─► step 1, ecl_history_step (1), step 2, … ─► ecl_history_end
 *
 * All writes may be sent again when their answer was lost, and are, for as long as the lease lasts. They are refused
 * with ECL_ERROR_LEASE where the lease is lost or the record is another's by now: then nothing more is to be done.
 * Pass the plain world, not the one under the lease: what is left of the lease is seen to here.
 */
#ifndef ECL_MIGRATE_HISTORY_H
#define ECL_MIGRATE_HISTORY_H

#include "run/holder.h"
#include "store/changelog.h"

typedef struct {
   ecl_changelog_t *records; /* sorted by name, byte by byte */
   size_t n;
   ecl_arena_t arena; /* holds all texts */
} ecl_history_t;

void
ecl_history_init (ecl_history_t *self);

void
ecl_history_cleanup (ecl_history_t *self);

/* Reads all records (without output), from what the majority has; what was in *self is gone. holder may be NULL; where
 * it is given, its token is made larger than all that are found (see ecl_holder_raise), and what counts as running is
 * taken from those who ran it, so that nothing of theirs changes it any more. */
bool
ecl_history_read (ecl_history_t *self, ecl_world_t *world, const char *database, ecl_holder_t *holder,
                  bson_error_t *error) ECL_MUST_CHECK;

/* NULL where there is none. */
const ecl_changelog_t *
ecl_history_find (const ecl_history_t *self, const char *name);

/* The whole record of that name with its output, in *self's arena; NULL and true where there is none. */
bool
ecl_history_load (ecl_history_t *self, ecl_world_t *world, const char *database, const char *name,
                  const ecl_changelog_t **record, bson_error_t *error) ECL_MUST_CHECK;

/* Writes that the migration runs now: record->name, checksum, down, steps (those already done) and who are the
 * caller's. before is what ecl_history_read (after the grant) found, NULL for none. Token, state and attempts are set
 * here. */
bool
ecl_history_claim (ecl_world_t *world, ecl_holder_t *holder, const ecl_changelog_t *before, ecl_changelog_t *record,
                   bson_error_t *error) ECL_MUST_CHECK;

/* So many steps are done. */
bool
ecl_history_step (ecl_world_t *world, ecl_holder_t *holder, const ecl_changelog_t *record, int32_t steps,
                  bson_error_t *error) ECL_MUST_CHECK;

/* What a program has written so far. Tried for a moment only: the next one says it again. */
bool
ecl_history_output (ecl_world_t *world, ecl_holder_t *holder, const ecl_changelog_t *record, const char *output,
                    bson_error_t *error) ECL_MUST_CHECK;

/* The run ended: record->state (APPLIED, FAILED, REVERTED), steps, error and output. */
bool
ecl_history_end (ecl_world_t *world, ecl_holder_t *holder, const ecl_changelog_t *record,
                 bson_error_t *error) ECL_MUST_CHECK;

/* Writes a record that did not run (baseline, adopt, repair): as the caller says, but for the token. */
bool
ecl_history_mark (ecl_world_t *world, ecl_holder_t *holder, const ecl_changelog_t *before, ecl_changelog_t *record,
                  bson_error_t *error) ECL_MUST_CHECK;

#endif
