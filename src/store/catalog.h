/* Catalog: the migrations themselves as documents of eclose_catalog, so that an older program can read newer documents.
 *
 *    {_id: "users/0002_split_name.json", kind: "migration", collection: "users", from: "1", to: "2", description, text}
 *    {_id: "eclose.json", kind: "project", text}
 *
 * Steps that are functions of a program are not there: by `from` a reader sees that one is missing. text is the file as
 * canonical Extended JSON: stages have names that a stored document must not have. The project file is made of the settings
 * of the collections alone; where the database is, and its password, stay out.
 *
 * Several releases publish to one catalog. What a release does not know, it leaves: collections that are not its own,
 * and everything of a collection of which steps are published that lead beyond its own chain: those come from a later
 * release, which knows better.
 */
#ifndef ECL_STORE_CATALOG_H
#define ECL_STORE_CATALOG_H

#include "project/project.h"

#define ECL_STORE_CATALOG "eclose_catalog"

/* Path and text of a document, borrowed from it. False where it is none of the catalog. */
bool
ecl_catalog_read (const bson_t *document, const char **path, const char **text, size_t *len,
                  bson_error_t *error) ECL_MUST_CHECK;

/* The version that the document's step leads from, borrowed from it; NULL where that is not said. */
const char *
ecl_catalog_from (const bson_t *document);

/* The i-th document of a linked project into an initialised one; false past the last one. */
bool
ecl_catalog_write (const ecl_project_t *project, size_t i, bson_t *document);

/* Whether a step that leads beyond the chain is among documents of the catalog, of which `collection` and `to` will do: a
 * later release published it. *last is the furthest version that one leads to. */
bool
ecl_catalog_later (const ecl_chain_t *chain, bson_t *const *published, size_t n, ecl_version_t *last);

/* Of all that decides how documents of the collection get to a place of its chain, up or down: the settings, and the
 * stages of the steps on the way. */
void
ecl_catalog_checksum (const ecl_chain_t *chain, size_t target, bool down, char text[ECL_SHA256_TEXT]);

/* What publishing a project changes in the catalog. */
typedef struct {
   bson_t **documents; /* to be stored by their _id, over what is there */
   size_t n_documents;
   char **stale; /* _ids that must go first: steps to a version to which the project has another step */
   size_t n_stale;
} ecl_catalog_changes_t;

/* Compares a linked project with all documents of the catalog. Where nothing differs there are no changes. */
void
ecl_catalog_compare (const ecl_project_t *project, bson_t *const *published, size_t n, ecl_catalog_changes_t *changes);

void
ecl_catalog_changes_cleanup (ecl_catalog_changes_t *changes);

#endif
