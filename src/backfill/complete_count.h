/* What `complete` counts: how many documents of a collection are below a version, or at none that can be read. Reads
 * only, and what the majority has.
 *
 * Where an index begins with the version's field, holds every document, and explain says that only its entries below
 * the version would be read, one command does it, however large the collection is. Otherwise it is counted by ranges of
 * _id (tally.h). Counting ends early where there are many: that there are some is what matters.
 */
#ifndef ECL_BACKFILL_COMPLETE_COUNT_H
#define ECL_BACKFILL_COMPLETE_COUNT_H

#include "backfill/strategy.h"
#include "backfill/tally.h"

/* Documents; with so many it ends. */
#define ECL_COMPLETE_COUNT_ENOUGH 100000

typedef struct {
   ecl_look_t look;
   ecl_tally_fn progress; /* may be NULL; not told where an index answers */
   void *context;
} ecl_complete_count_options_t;

typedef struct {
   int64_t n;
   bool at_least; /* there may be more */
} ecl_complete_count_t;

bool
ecl_complete_count_below (const ecl_site_t *site, const ecl_facts_t *facts, const ecl_chain_t *chain, size_t target,
                          const ecl_complete_count_options_t *options, ecl_complete_count_t *out,
                          bson_error_t *error) ECL_MUST_CHECK;

/* The same of any filter, always by ranges. */
bool
ecl_complete_count (const ecl_site_t *site, const ecl_chain_t *chain, const bson_t *filter,
                    const ecl_complete_count_options_t *options, ecl_complete_count_t *out,
                    bson_error_t *error) ECL_MUST_CHECK;

/* Appends the conditions for documents of a later version, of releases that are not written yet, too. */
void
ecl_complete_append_later (bson_t *one, const ecl_chain_t *chain, size_t target);

#endif
