/* Dry run: whether documents could be carried over, found out here, without writing.
 *
 * What they look up in other collections is fetched, as in a run; what the server would refuse of them is judged as far
 * as that can be (constraints.h). What fails for certain fails; what is not known goes.
 */
#ifndef ECL_BACKFILL_DRY_RUN_H
#define ECL_BACKFILL_DRY_RUN_H

#include "backfill/convert.h"
#include "backfill/strategy.h"
#include "run/scan.h"

/* DocumentValidationFailure */
#define ECL_DRY_RUN_REFUSED 121

typedef enum {
   ECL_DRY_RUN_SAMPLE, /* as the backfill would; of two that get the same key in a unique index the second one fails */
   ECL_DRY_RUN_SINGLE, /* each by itself and computed by eclose, as in retry.h; whether another one has its key is for
                        * the server to say */
} ecl_dry_run_how_t;

typedef enum {
   ECL_TRIED_NOTHING, /* it is at the target, or on its other side */
   ECL_TRIED_GOES,    /* or may */
   ECL_TRIED_FAILS,
} ecl_tried_t;

typedef struct ecl_dry_run_t ecl_dry_run_t;

/* site and strategy are borrowed. NULL where there is no way to the target. */
ecl_dry_run_t *
ecl_dry_run_new (const ecl_site_t *site, const ecl_strategy_t *strategy, ecl_dry_run_how_t how, bson_error_t *error);

void
ecl_dry_run_destroy (ecl_dry_run_t *self);

/* Why the collection's validator cannot be judged; NULL where it can, and where there is none that refuses. */
const char *
ecl_dry_run_unjudged (const ecl_dry_run_t *self);

/* The next document of a scan of the collection, with what it looks up; *document is NULL at the end. */
bool
ecl_dry_run_next (ecl_dry_run_t *self, ecl_scan_t *scan, const ecl_value_t **document,
                  bson_error_t *error) ECL_MUST_CHECK;

/* That document. Where it fails *out has its _id, the code, and with `words` what is to be said, valid until the next
 * call; what the server would refuse has ECL_DRY_RUN_REFUSED. */
ecl_tried_t
ecl_dry_run_try (ecl_dry_run_t *self, const ecl_value_t *document, bool words, ecl_converted_t *out);

#endif
