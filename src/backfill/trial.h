/* Trial: a sample of the documents that are to be carried, tried without writing.
 *
 * A migration that is simply wrong fails on nearly every document, and would fill the quarantine with all of them. A
 * thousand at random say so before anything was touched. What they look up in other collections is fetched, as in the
 * run itself. What the server would refuse of them is judged here, too, as far as that can be (constraints.h): nothing
 * is sent to be written.
 */
#ifndef ECL_BACKFILL_TRIAL_H
#define ECL_BACKFILL_TRIAL_H

#include "backfill/partition.h"
#include "backfill/strategy.h"

#define ECL_TRIAL_DOCUMENTS 1000

/* Of fewer documents nothing is concluded. */
#define ECL_TRIAL_FEWEST 20

/* The share that may fail where nobody says otherwise. */
#define ECL_TRIAL_ERRORS 0.5

typedef struct {
   const ecl_site_t *site;
   const ecl_strategy_t *strategy;
   double max_errors; /* share; 0: the default; 1 and above: nothing is tried; negative: none may fail */
   void (*note) (void *context, const char *message); /* told of a validator that cannot be judged; may be NULL */
   void *context;
} ecl_trial_t;

/* False where more than that share of the sample failed; *error names the first. The _ids that were seen are left in
 * *sample, and how many of them can be carried and are not yet: who cuts ranges need not ask for others, nor look for
 * such documents. */
bool
ecl_trial (const ecl_trial_t *self, ecl_partition_sample_t *sample, bson_error_t *error) ECL_MUST_CHECK;

#endif
