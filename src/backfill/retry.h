/* Retry: carries documents over again that are in quarantine, one by one, each to the version it was on its way to.
 *
 * The work is the backfill's, on one document: what succeeds leaves the quarantine, what does not gets a new record
 * with the reason of now.
 */
#ifndef ECL_BACKFILL_RETRY_H
#define ECL_BACKFILL_RETRY_H

#include "backfill/strategy.h"

typedef enum {
   ECL_RETRY_DONE,   /* it is where it was to go, and out of quarantine */
   ECL_RETRY_GONE,   /* the document is no longer there; nor is the record */
   ECL_RETRY_LEFT,   /* it stays; where not for the reason in its record, the error says why */
   ECL_RETRY_FAILED, /* the server did not answer, or nothing can be done at all */
} ecl_retry_outcome_t;

typedef struct ecl_retry_t ecl_retry_t;

/* site is borrowed. */
ecl_retry_t *
ecl_retry_new (const ecl_site_t *site);

void
ecl_retry_destroy (ecl_retry_t *self);

/* A record of eclose_quarantine. The error's code is 0 where there is none. */
ecl_retry_outcome_t
ecl_retry_record (ecl_retry_t *self, const ecl_value_t *record, bson_error_t *error);

/* Removes the record, unless somebody wrote it anew meanwhile. */
bool
ecl_retry_forget (const ecl_retry_t *self, const ecl_value_t *record, bson_error_t *error) ECL_MUST_CHECK;

#endif
