/* What the files of src/upgrade share. */
#ifndef ECL_UPGRADE_UPGRADE_PRIVATE_H
#define ECL_UPGRADE_UPGRADE_PRIVATE_H

#include "mql/match.h"
#include "upgrade/upgrade.h"

/* The same with or without the stamp: examples need not name a version. */
bool
ecl_upgrades_plan_of (ecl_upgrades_t *self, const ecl_chain_t *chain, size_t from, size_t to, bool stamp,
                      const ecl_plan_t **plan, bson_error_t *error) ECL_MUST_CHECK;

/* The filters of the chain's `detect`, in order; an entry is NULL where it could not be read. */
ecl_match_t *const *
ecl_upgrades_detect (const ecl_upgrades_t *self, const ecl_chain_t *chain);

#endif
