/* Quarantine set: the documents that are in quarantine, where their collection is brought to the same target once more.
 *
 * They are not at the target, and no scan of the collection carries them: what is left to do is asked of the others,
 * and where that is nothing, these are tried again, as `eclose quarantine retry` does, so that what was mended
 * meanwhile leaves. Those that fail as before, computed here or by the collection's validator, are only read; what
 * only the server can refuse (a unique index) is sent again.
 */
#ifndef ECL_BACKFILL_QUARANTINE_SET_H
#define ECL_BACKFILL_QUARANTINE_SET_H

#include "backfill/strategy.h"

/* Where there are more of them, they are a job's work. */
#define ECL_QUARANTINE_SET_MOST 1000

typedef struct {
   bson_t ids; /* array of _ids */
   uint32_t n; /* 0, too, where there are more */
   bool more;
} ecl_quarantine_set_t;

/* Those of a collection on their way to that version. *out is initialised in any case. */
bool
ecl_quarantine_set_find (const ecl_site_t *site, const char *collection, const char *to, ecl_quarantine_set_t *out,
                         bson_error_t *error) ECL_MUST_CHECK;

void
ecl_quarantine_set_cleanup (ecl_quarantine_set_t *self);

/* The filter without them; initialises *out. */
void
ecl_quarantine_set_exclude (const ecl_quarantine_set_t *self, const bson_t *candidates, bson_t *out);

/* Tries them again: counts gets how many were changed, and how many are left in quarantine. Records of what is gone, or
 * at the target by now, go. False where the server did not answer. */
bool
ecl_quarantine_set_retry (const ecl_quarantine_set_t *self, const ecl_site_t *site, const ecl_strategy_t *strategy,
                          const char *to, const bson_t *candidates, ecl_job_counts_t *counts,
                          bson_error_t *error) ECL_MUST_CHECK;

#endif
