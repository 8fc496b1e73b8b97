/* Project: eclose.yaml, migrations and functions, read and checked.
 *
 *    eclose_project_new ─► eclose_project_add_… ─► eclose_project_load ─► upgraders
 *
 * What is added comes in any order; nothing is read before eclose_project_load(), which finds every problem of every
 * file. Once loaded a project never changes and may be used by many threads. It is destroyed after all that was made
 * from it.
 *
 * ${NAME} in a project file is the environment's when the project is loaded; `uri` and `database` say nothing here: the
 * program has its own connection.
 *
 * Since 0.1.0.
 */
#ifndef ECLOSE_PROJECT_H
#define ECLOSE_PROJECT_H

#include <bson/bson.h>
#include <eclose/export.h>
#include <eclose/function.h>

ECLOSE_BEGIN_DECLS

typedef struct _eclose_project_t eclose_project_t;

/* The folder's project, loaded: eclose_project_new, _add_folder and _load in one. NULL where something is wrong. */
ECLOSE_EXPORT (eclose_project_t *)
eclose_project_new_from_folder (const char *folder, bson_error_t *error);

/* An empty project: collections without migrations, version field schema_version, documents without one at 0. */
ECLOSE_EXPORT (eclose_project_t *)
eclose_project_new (void);

/* May be NULL. */
ECLOSE_EXPORT (void)
eclose_project_destroy (eclose_project_t *self);

/* Adds the folder in which eclose.yaml lies, and the migrations below it; they are read when the project is loaded.
 * Only one: false for a second, for NULL, and once the project is loaded, as for all that adds. */
ECLOSE_EXPORT (bool)
eclose_project_add_folder (eclose_project_t *self, const char *folder, bson_error_t *error) ECLOSE_MUST_CHECK;

/* Adds one file from memory. path is "eclose.yaml" (or "eclose.json") for the project file, else the migration's place
 * below the migrations folder, "users/0002_split_name.yaml". text has len bytes, or ends with a NUL where len is -1; it
 * is copied. False where there is one of that path already. */
ECLOSE_EXPORT (bool)
eclose_project_add_text (eclose_project_t *self, const char *path, const char *text, ssize_t len,
                         bson_error_t *error) ECLOSE_MUST_CHECK;

/* Adds a document of the collection eclose_catalog, in which eclose_project_publish (eclose/mongoc.h) keeps migrations:
 * so a program reads documents that are newer than itself, through the ways down that were published. It is copied.
 * Where the program has a way to that version itself, its own is taken, and so is its own project file if it has one.
 * A migration that is of no use here (it leads from a version that is not there, as behind a function, or a later
 * library can read it) is left out with all that is published behind it: a warning of eclose_project_problems() says
 * so, and documents of those versions are refused when they are read. False where it is no such document. */
ECLOSE_EXPORT (bool)
eclose_project_add_document (eclose_project_t *self, const bson_t *document, bson_error_t *error) ECLOSE_MUST_CHECK;

typedef enum { ECLOSE_UP, ECLOSE_DOWN } eclose_direction_t;

/* Adds a function as the way of a collection to a version ("2"), or back from it. Both ways of a version may be
 * functions, or one, and a function may be the way down of a file that names none. user_data outlives the project.
 * False where the arguments cannot be right; what is wrong with the chain is found when the project is loaded. */
ECLOSE_EXPORT (bool)
eclose_project_add_function (eclose_project_t *self, const char *collection, const char *version,
                             eclose_direction_t direction, eclose_function_t function, void *user_data,
                             bson_error_t *error) ECLOSE_MUST_CHECK;

/* Reads and checks all that was added; once. False where there is an error: error has the first one and how many more
 * there are, eclose_project_problems() all of them. Such a project is only to be asked for them and destroyed. */
ECLOSE_EXPORT (bool)
eclose_project_load (eclose_project_t *self, bson_error_t *error) ECLOSE_MUST_CHECK;

/* What is wrong, warnings too, as an array of documents, in the order of files and lines:
 *
 *    {level: "error" | "warning", domain, code, file, line, column, path, message}
 *
 * line and column count from 1 and are 0 where they are unknown. It belongs to the project. */
ECLOSE_EXPORT (const bson_t *)
eclose_project_problems (const eclose_project_t *self);

/* Whether the loaded project has settings or migrations of the collection. */
ECLOSE_EXPORT (bool)
eclose_project_has_collection (const eclose_project_t *self, const char *collection);

/* Collections of the loaded project: the i-th name, by name; NULL past the end. It belongs to the project. */
ECLOSE_EXPORT (const char *)
eclose_project_collection (const eclose_project_t *self, size_t i);

/* The version field of a collection of the loaded project, dotted; of one that it does not know, the project's own.
 * NULL where it is not loaded. It belongs to the project. */
ECLOSE_EXPORT (const char *)
eclose_project_version_field (const eclose_project_t *self, const char *collection);

/* The i-th document that stands for the loaded project in an empty eclose_catalog, to be stored by its _id. document is
 * initialised here in any case; the caller destroys it. False past the end. Functions are not published. */
ECLOSE_EXPORT (bool)
eclose_project_document (const eclose_project_t *self, size_t i, bson_t *document);

/* What publishing the loaded project changes in an eclose_catalog that holds these n documents (all that are there):
 *
 *    {remove: [_id, …], store: [document, …]}
 *
 * first those go, then these are stored by their _id, over what is there. What a later release has published stays:
 * collections that this project does not know, and those of which there are steps beyond its own. changes is
 * initialised here in any case; the caller destroys it. False with an error where the project is not loaded. */
ECLOSE_EXPORT (bool)
eclose_project_changes (const eclose_project_t *self, bson_t *const *published, size_t n, bson_t *changes,
                        bson_error_t *error) ECLOSE_MUST_CHECK;

ECLOSE_END_DECLS

#endif
