/* Complete: the end of a version. Makes sure that no document of a collection is below it, and records that.
 *
 *    1  where asked for: a validator that lets in only documents of the version (by its schema) or later ones, at first
 *       one that only warns; when every document that is there keeps it, one that refuses
 *    2  counts, on what the majority has, the documents below the version (complete_count.h), by commands of which
 *       none takes long
 *    3  records the floor (store/floors.h)
 *
 * Without a validator that refuses, the count is true as of when it began: an old writer may come back. With one it
 * stays true: it is in force, on the majority, before the counting begins.
 *
 * The lease "complete:<collection>" keeps two runs with a validator apart: one would have it warn again that the other
 * relies on. No lease binds a collMod of somebody's, or one that comes late from a run that is over. So the mark that a
 * validator keeps the recorded floor goes before anything is done about validators, comes back only with what was
 * counted after that, and only where the validator is still in force then; and it counts only while it is (see
 * ecl_complete_stays).
 *
 * It may be run again at any time. A validator that refuses already is asked for once more, for it may not be the
 * majority's yet.
 */
#ifndef ECL_BACKFILL_COMPLETE_H
#define ECL_BACKFILL_COMPLETE_H

#include "backfill/strategy.h"
#include "backfill/tally.h"
#include "store/floors.h"

typedef enum {
   ECL_VALIDATOR_NONE,   /* leave validators alone */
   ECL_VALIDATOR_WARN,   /* one that only warns */
   ECL_VALIDATOR_STRICT, /* that, then one that refuses */
} ecl_validator_t;

typedef struct {
   const ecl_chain_t *chain;
   size_t target; /* place on the chain */
   ecl_validator_t validator;
   bool replace; /* put it in place of a validator that is another */
   /* Whether documents are well, beside what is counted here; may be NULL. Called before the floor is recorded. */
   bool (*verify) (void *context, int64_t *bad);
   ecl_look_t look;       /* how it is counted */
   ecl_tally_fn progress; /* of counting; may be NULL */
   void *context;
} ecl_complete_options_t;

typedef struct {
   int64_t below;       /* documents below the version, or at none that can be read */
   int64_t refused;     /* documents that do not keep the validator; negative: not looked at */
   bool at_least;       /* counting ended early: there may be more of both */
   int64_t quarantined; /* of them, by the records in quarantine that are about the way to the version */
   int64_t bad;         /* of those that verify looked at */
   bool strict;         /* a validator refuses documents below the version */
   bool recorded;       /* the floor stands in eclose_floors, now or since before */
   bool higher;         /* it does since before, and is above the version */
} ecl_completed_t;

/* True where it could be found out, whatever it is; complete where out->recorded. out is filled in any case. */
bool
ecl_complete (const ecl_site_t *site, const ecl_complete_options_t *options, ecl_completed_t *out,
              bson_error_t *error) ECL_MUST_CHECK;

/* The recorded floor of a collection as a place on its chain. *found is false where there is none, or where it is no
 * version of the chain. *floor (nullable) borrows from the arena. */
bool
ecl_complete_floor (ecl_world_t *world, const char *database, const ecl_chain_t *chain, ecl_arena_t *arena, bool *found,
                    size_t *index, ecl_floor_t *floor, bson_error_t *error) ECL_MUST_CHECK;

/* Whether the recorded floor is the place on the chain (or above it), was recorded with a validator that refuses, and
 * that validator is in force: then no document is below it, and nobody need look. */
bool
ecl_complete_stays (ecl_world_t *world, const ecl_server_t *server, const char *database, const ecl_chain_t *chain,
                    size_t target, bool *stays, bson_error_t *error) ECL_MUST_CHECK;

/* Before a collection is carried down to a place below its recorded floor: the record goes. */
bool
ecl_complete_undo (ecl_world_t *world, const char *database, const ecl_chain_t *chain, size_t target, bool *removed,
                   bson_error_t *error) ECL_MUST_CHECK;

/* Whether a validator of `complete` is in force that refuses documents of the place on the chain. */
bool
ecl_complete_refuses (const ecl_chain_t *chain, size_t target, const ecl_facts_t *facts);

/* The validator: initialises *validator. False where the version has no schema. */
bool
ecl_complete_validator (const ecl_chain_t *chain, size_t target, bson_t *validator, bson_error_t *error) ECL_MUST_CHECK;

#endif
