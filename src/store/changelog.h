/* Changelog: what is known of each database migration, in eclose_changelog.
 *
 *    {_id: name, checksum, state, direction, steps, attempts, token, origin, host, pid, user, release,
 *     started, seen, ended, duration, error, output}
 *
 *   state      "running" (or died while it did), "applied", "failed", "reverted"
 *   direction  "up" or "down": which way it ran, or runs
 *   steps      how many of them are done: they are not repeated
 *   attempts   how often it was claimed: tells the writes of one run from those of the next under the same token
 *   token      of the lease under which it was written last; who has a smaller one changes it no more
 *   origin     of what was not run by eclose: "baseline", "repair", or the tool it was adopted from
 *   duration   milliseconds, by the server's clock
 *
 * A record is claimed by a statement that names the record as it was read (its token and state) in its condition, and
 * later changed with its own token in the filter. All of the commands may be sent again when their answer was lost.
 */
#ifndef ECL_STORE_CHANGELOG_H
#define ECL_STORE_CHANGELOG_H

#include "store/lease.h"

#define ECL_STORE_CHANGELOG "eclose_changelog"

/* What of a program's output is kept, and of an error's text. */
#define ECL_CHANGELOG_OUTPUT_MAX (64 * 1024)
#define ECL_CHANGELOG_ERROR_MAX 4000

typedef enum {
   ECL_CHANGELOG_ABSENT,
   ECL_CHANGELOG_RUNNING,
   ECL_CHANGELOG_APPLIED,
   ECL_CHANGELOG_FAILED,
   ECL_CHANGELOG_REVERTED,
} ecl_changelog_state_t;

/* "running" and so on; "pending" for ABSENT. */
const char *
ecl_changelog_state_name (ecl_changelog_state_t state);

typedef struct {
   const char *name;
   const char *checksum; /* NULL: unknown */
   ecl_changelog_state_t state;
   bool down;
   int32_t steps;
   int32_t attempts;
   int64_t token;
   const char *origin; /* NULL where it was run; else "baseline", "repair" or the tool it was adopted from */
   ecl_who_t who;
   int64_t started, ended; /* the server's time; 0: not (yet) */
   int64_t duration;       /* milliseconds; -1: unknown */
   const char *error;      /* NULL: none */
   const char *output;     /* of a program; NULL where it is none or was not read */
} ecl_changelog_t;

/* ---- commands; each initialises *command ---- */

/* Reads records in the order of their names, from what the majority has; output only where it is asked for. name NULL:
 * all of them. after NULL: from the first one; else those behind that name. */
void
ecl_changelog_find (const char *name, const char *after, int32_t limit, bool output, bson_t *command);

/* Makes a record that still counts as running ours: what its old holder has on its way is refused from then on. The
 * answer is the record as it is then; null where it does not run any more. */
void
ecl_changelog_seal (const char *name, int64_t token, bson_t *command);

/* Writes the record whole, where it still is as it was read (`before`: token, state, steps; state ABSENT where there
 * was none), or as this very command left it. Its times are set by the server: started in state RUNNING, ended in all
 * others, where the record's own are 0. The answer is the record as it is then. */
void
ecl_changelog_put (const ecl_changelog_t *before, const ecl_changelog_t *record, bson_t *command);

/* Notes how many steps are done, under the token. n of the answer is 0 where the record is no longer ours. */
void
ecl_changelog_step (const ecl_changelog_t *record, int32_t steps, bson_t *command);

/* Notes what a program has written so far, under the token, while the record still runs. Likewise. */
void
ecl_changelog_output (const ecl_changelog_t *record, const char *output, bson_t *command);

/* Ends a run, under the token: state, error and output of the record are written, and when it ended. Likewise. */
void
ecl_changelog_end (const ecl_changelog_t *record, bson_t *command);

/* ---- answers ---- */

/* One record; texts are borrowed from the document. False where it is none. */
bool
ecl_changelog_parse (const bson_t *document, ecl_changelog_t *out, bson_error_t *error) ECL_MUST_CHECK;

#endif
