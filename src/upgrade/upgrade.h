/* Upgrade: one document from its version to a target.
 *
 *    v == target   the caller gets its own bytes back, untouched
 *    v <  target   up v+1 … target, then the stamp
 *    v >  target   down v … target+1, then the stamp
 *
 * ecl_upgrades_t holds the linked plans of a project, one per pair of versions, made when first needed; it is shared by
 * all threads. ecl_upgrader_t is one thread's: a collection, a target, and the working memory.
 */
#ifndef ECL_UPGRADE_UPGRADE_H
#define ECL_UPGRADE_UPGRADE_H

#include "mql/plan.h"
#include "project/project.h"

typedef struct ecl_upgrades_t ecl_upgrades_t;
typedef struct ecl_upgrader_t ecl_upgrader_t;

/* The project is linked without errors and outlives it. */
ecl_upgrades_t *
ecl_upgrades_new (const ecl_project_t *project);

void
ecl_upgrades_destroy (ecl_upgrades_t *self);

const ecl_project_t *
ecl_upgrades_project (const ecl_upgrades_t *self);

/* The plan from one place of the chain to another (see ecl_chain_index), the stamp included. Thread safe; the plan
 * belongs to self. Fails where a step on the way has no way down. from == to gives a plan that only stamps. */
bool
ecl_upgrades_plan (ecl_upgrades_t *self, const ecl_chain_t *chain, size_t from, size_t to, const ecl_plan_t **plan,
                   bson_error_t *error) ECL_MUST_CHECK;

typedef enum {
   ECL_UPGRADE_CURRENT,
   ECL_UPGRADE_UP,
   ECL_UPGRADE_DOWN,
} ecl_upgrade_t;

/* What went wrong with the last document, in parts. Texts are never NULL and valid until the next run. */
typedef struct {
   uint32_t domain, code; /* as in the bson_error_t */
   const char *collection;
   const char *message; /* without what the other members say */
   bool has_version;
   ecl_version_t version; /* of the document */
   ecl_version_t to;      /* the version that the failing step leads to; the target where that is unknown */
   const char *file;      /* of the failing step; "" where unknown */
   uint32_t line, column; /* of the failing expression; 0 where unknown */
   const char *path;      /* of it in the file: "up.0.$set.name" */
   ecl_value_t id;        /* the document's _id, borrowed from the input; missing where there is none */
} ecl_failure_t;

/* NULL where target is not on the chain. The collection's chain must be one of the project's. */
ecl_upgrader_t *
ecl_upgrader_new (ecl_upgrades_t *shared, const ecl_chain_t *chain, ecl_version_t target, bson_error_t *error);

void
ecl_upgrader_destroy (ecl_upgrader_t *self);

ecl_version_t
ecl_upgrader_target (const ecl_upgrader_t *self);

/* Where documents of other collections come from; it outlives its use. NULL: nowhere. A run that lacks some fails with
 * ECL_ERROR_NEEDS, quickly and without an ecl_failure_t, and is to be repeated when they are there. */
void
ecl_upgrader_set_loader (ecl_upgrader_t *self, const struct ecl_loader_t *loader);

/* The version of a document. Reads the version field; without one, `detect`, then `unversioned`. The document's
 * bytes are checked only as far as they are read. */
bool
ecl_upgrader_version (ecl_upgrader_t *self, const uint8_t *in, size_t len, ecl_version_t *version,
                      bson_error_t *error) ECL_MUST_CHECK;

/* Carries a document to the target. *out is the input itself where it is current, else bytes of self, valid until the
 * next call. *what is nullable. */
bool
ecl_upgrader_run (ecl_upgrader_t *self, const uint8_t *in, size_t len, const uint8_t **out, size_t *out_len,
                  ecl_upgrade_t *what, bson_error_t *error) ECL_MUST_CHECK;

/* About the last call that failed. */
const ecl_failure_t *
ecl_upgrader_failure (const ecl_upgrader_t *self);

#endif
