/* Publish: the project's document migrations into eclose_catalog, so that programs of an older release can read what
 * this one makes of the documents. Before the first document is written.
 */
#ifndef ECL_RUN_PUBLISH_H
#define ECL_RUN_PUBLISH_H

#include "run/world.h"
#include "store/catalog.h"

/* Reads what is published and writes only what differs; *written (nullable) is how many documents of the catalog were
 * written or removed. Two that publish at once, or one that dies in between, do no harm. */
bool
ecl_publish (ecl_world_t *world, const char *database, const ecl_project_t *project, size_t *written,
             bson_error_t *error) ECL_MUST_CHECK;

/* The version to which a later release has published the collection's migrations, beyond the end of the chain; "" where
 * none has. */
bool
ecl_publish_later (ecl_world_t *world, const char *database, const ecl_chain_t *chain, char last[ECL_VERSION_TEXT],
                   bson_error_t *error) ECL_MUST_CHECK;

#endif
