/* Survey: how many documents a collection has at each version of its chain. Reads only.
 *
 * Counting goes through the whole collection, range by range (tally.h), and so does the question whether any document
 * is elsewhere, where none is. What is known without is in status.h.
 */
#ifndef ECL_BACKFILL_SURVEY_H
#define ECL_BACKFILL_SURVEY_H

#include "backfill/tally.h"
#include "project/project.h"

typedef struct {
   int64_t *counts; /* per place on the chain, n_steps + 1 of them; in the arena */
   int64_t outside; /* whose version cannot be read or is not on the chain */
   int64_t not_at;  /* at another place than the target, outside included */
   size_t first;    /* the first place below the target that has documents; the target where none has */
   bool late;       /* the deadline passed before all was counted: nothing here is true but this */
} ecl_survey_t;

typedef struct {
   int64_t until; /* in terms of the world's now; 0: it takes as long as it takes */
   ecl_look_t look;
   ecl_tally_fn progress; /* may be NULL */
   void *context;
} ecl_survey_options_t;

/* True with out->late where the time was over before. */
bool
ecl_survey_within (ecl_world_t *world, const char *database, const ecl_chain_t *chain, size_t target,
                   const ecl_survey_options_t *options, ecl_arena_t *arena, ecl_survey_t *out,
                   bson_error_t *error) ECL_MUST_CHECK;

/* Whether any document is not at the target; ends at the first that is found. True with *late, and nothing known, where
 * the deadline passed before. */
bool
ecl_survey_any (ecl_world_t *world, const char *database, const ecl_chain_t *chain, size_t target, int64_t deadline,
                bool *any, bool *late, bson_error_t *error) ECL_MUST_CHECK;

/* All documents of a collection, as the server keeps the number: about, and at once. */
bool
ecl_survey_estimate (ecl_world_t *world, const char *database, const char *collection, int64_t *n,
                     bson_error_t *error) ECL_MUST_CHECK;

/* Documents of a collection in quarantine: on their way to a version, as text; NULL: all. */
bool
ecl_survey_quarantined (ecl_world_t *world, const char *database, const char *collection, const char *to, int64_t *n,
                        bson_error_t *error) ECL_MUST_CHECK;

/* Those that are below a version for it, as ecl_quarantine_filter_below says. */
bool
ecl_survey_quarantined_below (ecl_world_t *world, const char *database, const ecl_chain_t *chain, size_t target,
                              int64_t *n, bson_error_t *error) ECL_MUST_CHECK;

/* The filter for documents that are to be carried to the target: at none of the versions on its far side. What no rule
 * gives a version to is among them. filter is initialised here; the caller destroys it. */
void
ecl_survey_candidates (const ecl_chain_t *chain, size_t target, bool down, bson_t *filter);

#endif
