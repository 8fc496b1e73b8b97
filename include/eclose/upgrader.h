/* Upgrader: documents of one collection, carried to one version.
 *
 * An upgrader belongs to one thread at a time; any number of them may work on one project. What it gives out is valid
 * until its next call. It allocates nothing once it is warm.
 *
 * Since 0.1.0.
 */
#ifndef ECLOSE_UPGRADER_H
#define ECLOSE_UPGRADER_H

#include <bson/bson.h>
#include <eclose/export.h>
#include <eclose/project.h>

ECLOSE_BEGIN_DECLS

typedef struct _eclose_upgrader_t eclose_upgrader_t;

/* target is any version of the chain as text ("2", "1.2.0"), or NULL for the last one of the program's own migrations
 * (not counting those that only eclose_catalog has); where it has none, for its own `floor`, or without one for the
 * end of the chain. A collection that the project does not know has one version, and its documents stay as they are.
 * The project outlives it; texts are copied. NULL with an error where the chain has no such version, or the project is
 * not loaded. */
ECLOSE_EXPORT (eclose_upgrader_t *)
eclose_upgrader_new (const eclose_project_t *project, const char *collection, const char *target, bson_error_t *error);

/* May be NULL. */
ECLOSE_EXPORT (void)
eclose_upgrader_destroy (eclose_upgrader_t *self);

/* Where documents of other collections come from; see function.h. The table is copied. NULL: nowhere. */
ECLOSE_EXPORT (void)
eclose_upgrader_set_loader (eclose_upgrader_t *self, const eclose_loader_t *loader);

/* Carries a document to the target. *out is `in` itself where it is current, so that `*out == in` asks for that; else a
 * document of the upgrader's, valid until its next call. `in` is not changed, and its bytes are checked as far as they
 * are read. On failure *out is NULL. */
ECLOSE_EXPORT (bool)
eclose_upgrader_run (eclose_upgrader_t *self, const bson_t *in, const bson_t **out,
                     bson_error_t *error) ECLOSE_MUST_CHECK;

typedef enum {
   ECLOSE_WAS_CURRENT,
   ECLOSE_WENT_UP,
   ECLOSE_WENT_DOWN,
} eclose_went_t;

/* What the last eclose_upgrader_run that succeeded did. */
ECLOSE_EXPORT (eclose_went_t)
eclose_upgrader_went (const eclose_upgrader_t *self);

/* The whole error of the last call that failed:
 *
 *    {domain: "MQL", code, message, collection, version, to, file, line, column, path, _id}
 *
 * message is without what the other fields say; version (of the document), file, line, column, path (of the expression
 * in the file) and _id are there only where they are known. {} where the last call did not fail. It belongs to the
 * upgrader, until its next call. */
ECLOSE_EXPORT (const bson_t *)
eclose_upgrader_error_document (eclose_upgrader_t *self);

/* The version of a document as text, borrowed until the next call; NULL with an error where it has none. */
ECLOSE_EXPORT (const char *)
eclose_upgrader_version (eclose_upgrader_t *self, const bson_t *document, bson_error_t *error);

/* The target as text. It belongs to the upgrader. */
ECLOSE_EXPORT (const char *)
eclose_upgrader_target (const eclose_upgrader_t *self);

/* The document with the target's version in its version field: in place where the field is, at the end where it is new.
 * *out as in eclose_upgrader_run. For what a program inserts. */
ECLOSE_EXPORT (bool)
eclose_upgrader_stamp (eclose_upgrader_t *self, const bson_t *in, const bson_t **out,
                       bson_error_t *error) ECLOSE_MUST_CHECK;

/* ---- looking things up ---- */

/* Whether some way to the target may look documents up in other collections: functions may. Where not, batches need not
 * be announced. */
ECLOSE_EXPORT (bool)
eclose_upgrader_loads (const eclose_upgrader_t *self);

/* Announces the documents that will be run next: what all of them look up is loaded at once, with one call of the
 * loader per collection and field (and one more for each level of documents that look up others in their turn). What
 * was loaded is kept until eclose_upgrader_batch_end, or the next batch. Without a batch each document loads for
 * itself. A document that fails says so when it is run. */
ECLOSE_EXPORT (bool)
eclose_upgrader_batch_begin (eclose_upgrader_t *self, const bson_t *const *documents, size_t n,
                             bson_error_t *error) ECLOSE_MUST_CHECK;

/* Forgets what was loaded for the batch; each document loads for itself again. */
ECLOSE_EXPORT (void)
eclose_upgrader_batch_end (eclose_upgrader_t *self);

/* ---- saving ---- */

typedef enum {
   ECLOSE_SAVE_NOTHING,     /* what is stored is these bytes already */
   ECLOSE_SAVE_STATEMENT,   /* filter and update are one statement that does it */
   ECLOSE_SAVE_TRANSACTION, /* no single statement can compare these documents exactly: in a transaction, read the
                               document again, compare its bytes with the stored ones, and replace it */
} eclose_save_t;

/* How to save a document that the program changed, over the stored one (its bytes as they were read), and only if that
 * is still what is stored. document is in the target's shape; *replacement is it with the version stamped. With
 * ECLOSE_SAVE_STATEMENT, update_one (*filter, *update) does it: *update is a pipeline (an array). It writes nothing,
 * and says nModified: 0, where the stored document is another by now; a program then reads again.
 *
 * Where the stored document is of a later version than the target it is refused (ECLOSE_CODE_LOSSY) unless that
 * document comes back as it was from its way down and up again: then nothing that this program does not see can be
 * lost.
 *
 * All are borrowed until the next call. */
ECLOSE_EXPORT (bool)
eclose_upgrader_save (eclose_upgrader_t *self, const bson_t *stored, const bson_t *document, eclose_save_t *how,
                      const bson_t **filter, const bson_t **update, const bson_t **replacement,
                      bson_error_t *error) ECLOSE_MUST_CHECK;

/* The same equality by which that is judged: the same paths, types and values, in any order of fields. */
ECLOSE_EXPORT (bool)
eclose_documents_same (const bson_t *a, const bson_t *b);

/* ---- queries ---- */

/* A pipeline for the collection's aggregate that finds, whatever version they are stored in, the documents that match a
 * filter on the target's shape, and gives them in that shape:
 *
 *    $match of the current documents by the filter, then one $unionWith for each other version: its documents, the
 *    migrations' stages, the stamp, the filter. Where a step only renames fields or sets constants the filter is also
 *    translated to the old shape, so that indexes on old fields serve.
 *
 * options: {sort: {…}, skip: n, limit: n, projection: {…}}, each as in a find; may be NULL. pipeline (an array) is
 * initialised here in any case; the caller destroys it. Fails for filters that a pipeline cannot hold ($where, $near,
 * $text), and where a step on the way is a function. */
ECLOSE_EXPORT (bool)
eclose_upgrader_query (eclose_upgrader_t *self, const bson_t *filter, const bson_t *options, bson_t *pipeline,
                       bson_error_t *error) ECLOSE_MUST_CHECK;

/* The filter for the documents of which this upgrader says that they are at the target. filter is initialised here; the
 * caller destroys it. */
ECLOSE_EXPORT (void)
eclose_upgrader_current_filter (const eclose_upgrader_t *self, bson_t *filter);

ECLOSE_END_DECLS

#endif
