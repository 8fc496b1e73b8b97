/* Catalog: the migrations themselves as documents of eclose_catalog, so that an older program can read newer documents.
 *
 *    {_id: "users/0002_split_name.json", kind: "migration", collection: "users", to: "2", description, text}
 *    {_id: "eclose.json", kind: "project", text}
 *
 * text is the file as canonical Extended JSON: stages have names that a stored document must not have. The project file
 * is made of the settings of the collections alone; where the database is, and its password, stay out.
 */
#ifndef ECL_API_CATALOG_H
#define ECL_API_CATALOG_H

#include "project/project.h"

/* Path and text of a document, borrowed from it. False where it is none of the catalog. */
bool
ecl_catalog_read (const bson_t *document, const char **path, const char **text, size_t *len,
                  bson_error_t *error) ECL_MUST_CHECK;

/* The i-th document of a linked project into an initialised one; false past the last one. */
bool
ecl_catalog_write (const ecl_project_t *project, size_t i, bson_t *document);

#endif
