/* Below: how many documents of a collection are below a version, or at none that can be read. Reads only, and what the
 * majority has.
 *
 * Where an index begins with the version's field, holds every document, and explain says that only its entries below
 * the version would be read, one command does it, however large the collection is. Otherwise it is counted by ranges of
 * _id (tally.h). Counting ends early where there are many: that there are some is what matters.
 */
#ifndef ECL_BACKFILL_BELOW_H
#define ECL_BACKFILL_BELOW_H

#include "backfill/course.h"
#include "backfill/tally.h"

/* Documents; with so many it ends. */
#define ECL_BELOW_ENOUGH 100000

typedef struct {
   ecl_look_t look;
   ecl_tally_fn progress; /* may be NULL; not told where an index answers */
   void *context;
} ecl_below_options_t;

typedef struct {
   int64_t n;
   bool at_least; /* there may be more */
} ecl_below_t;

bool
ecl_below_count (const ecl_site_t *site, const ecl_facts_t *facts, const ecl_chain_t *chain, size_t target,
                 const ecl_below_options_t *options, ecl_below_t *out, bson_error_t *error) ECL_MUST_CHECK;

/* The same of any filter, always by ranges. */
bool
ecl_below_tally (const ecl_site_t *site, const ecl_chain_t *chain, const bson_t *filter,
                 const ecl_below_options_t *options, ecl_below_t *out, bson_error_t *error) ECL_MUST_CHECK;

/* Appends the conditions for documents of a later version, of releases that are not written yet, too. */
void
ecl_below_append_later (bson_t *one, const ecl_chain_t *chain, size_t target);

#endif
