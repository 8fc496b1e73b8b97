/* Migrations as functions, and the loader of other collections' documents.
 *
 * Since 0.1.0.
 */
#ifndef ECLOSE_FUNCTION_H
#define ECLOSE_FUNCTION_H

#include <bson/bson.h>
#include <eclose/export.h>

ECLOSE_BEGIN_DECLS

/* ---- functions ---- */

/* What a function may ask for while it runs. It lives for that call only. */
typedef struct _eclose_context_t eclose_context_t;

/* One step of a chain, up or down: from `in`, a whole document, to `out`, which is initialised and empty and which it
 * fills with a whole document (also with the fields that stay; the version field is stamped by eclose, and _id must
 * stay as it is). It returns false with an error where it cannot; the document then stays as it is.
 *
 * It is called by every thread that runs an upgrader of the project, maybe at once, and it may be called more than once
 * for one document: it must give the same document for the same input, and have no effect beyond it. `in` is borrowed;
 * `out` belongs to eclose and is not to be destroyed. */
typedef bool (*eclose_function_t) (const bson_t *in, bson_t *out, eclose_context_t *context, bson_error_t *error);

/* What was given when the function was added. */
ECLOSE_EXPORT (void *)
eclose_context_user_data (const eclose_context_t *context);

/* The collection whose document it is; borrowed for the call. */
ECLOSE_EXPORT (const char *)
eclose_context_collection (const eclose_context_t *context);

/* The version that the step leads to, as text ("2", "1.2.0"): of a way down the version before the step.
 * Borrowed for the call. */
ECLOSE_EXPORT (const char *)
eclose_context_version (const eclose_context_t *context);

typedef struct _eclose_loader_t eclose_loader_t;

/* The loader of the upgrader, to which it belongs; NULL where it has none. */
ECLOSE_EXPORT (const eclose_loader_t *)
eclose_context_loader (const eclose_context_t *context);

/* The documents of another collection whose field equals the value, as {field: {$eq: value}} finds them, each in the
 * version that eclose_upgrader_new takes for its collection where no target is given. *documents is an array of *n
 * documents (n may be 0), borrowed until the function returns. Returns false where there is an error, also where the
 * upgrader has no loader, or where the documents are not here yet (ECLOSE_CODE_NEEDS): the function then returns false
 * at once, and in the second case it is called again when they are. */
ECLOSE_EXPORT (bool)
eclose_context_find (eclose_context_t *context, const char *collection, const char *field, const bson_value_t *value,
                     const bson_t **documents, size_t *n, bson_error_t *error) ECLOSE_MUST_CHECK;

/* ---- loaders ---- */

/* Takes the documents that a loader found. */
typedef struct _eclose_found_t eclose_found_t;

/* Gives one document; it is copied. In any order, in whatever version it is stored. */
ECLOSE_EXPORT (void)
eclose_found_add (eclose_found_t *found, const bson_t *document);

/* Where the documents come from that an upgrade looks up in other collections ($lookup, eclose_context_find). The table
 * is copied; what user_data points to outlives the upgrader. It is called by the thread that runs the upgrader. */
struct _eclose_loader_t {
   /* Finds all documents of the collection for which {field: {$in: values}} holds, and calls eclose_found_add for each.
    * values is an array; it holds each value once, and null stands for a field that is missing, too. Returns false with
    * an error where it cannot. */
   bool (*load) (void *user_data, const char *collection, const char *field, const bson_t *values,
                 eclose_found_t *found, bson_error_t *error);
   void *user_data;
   void *reserved[4]; /* NULL */
};

ECLOSE_END_DECLS

#endif
