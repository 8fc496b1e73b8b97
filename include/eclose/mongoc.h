/* eclose for programs that use libmongoc: collections, cursors and change streams that read through upgrades.
 *
 *    eclose_collection_t *users = eclose_collection_new (project, client, "shop", "users", NULL, &error);
 *    eclose_cursor_t *cursor = eclose_collection_find (users, filter, NULL, NULL);
 *
 *    while (eclose_cursor_next (cursor, &user)) { … }
 *    if (eclose_cursor_error (cursor, &error)) { … }
 *    eclose_cursor_destroy (cursor);
 *
 * A handle belongs to one thread at a time, as its client does. Nothing is written unless the program writes (or asks
 * for write-back). Options, read preferences and write concerns are those of libmongoc.
 *
 * Filters of find and find_one go to the server as they are: they see documents as they are stored. What must find
 * documents by the shape of the target, whatever version they are stored in, goes through eclose_collection_query.
 *
 * Since 0.1.0.
 */
#ifndef ECLOSE_MONGOC_H
#define ECLOSE_MONGOC_H

#include <eclose/eclose.h>
#include <mongoc/mongoc.h>

ECLOSE_BEGIN_DECLS

typedef struct _eclose_collection_t eclose_collection_t;
typedef struct _eclose_cursor_t eclose_cursor_t;
typedef struct _eclose_document_t eclose_document_t;
typedef struct _eclose_change_stream_t eclose_change_stream_t;

/* ---- the handle ---- */

/* Project and client outlive it. target as in eclose_upgrader_new. What migrations look up in other collections comes
 * from the same database, through the same client, in the session of what is read or saved: in a transaction the server
 * refuses to look up by other fields than _id what has migrations of its own. NULL with an error as there; the server
 * is not asked. */
ECLOSE_EXPORT (eclose_collection_t *)
eclose_collection_new (const eclose_project_t *project, mongoc_client_t *client, const char *database,
                       const char *collection, const char *target, bson_error_t *error);

/* May be NULL. After its cursors and change streams. */
ECLOSE_EXPORT (void)
eclose_collection_destroy (eclose_collection_t *self);

/* The collection itself, for all that needs no upgrade. What is written through it gets no version: upserts do so by
 * eclose_collection_find_and_modify. It belongs to the handle. */
ECLOSE_EXPORT (mongoc_collection_t *)
eclose_collection_get (eclose_collection_t *self);

/* With write-back an older document that a cursor reads is also saved in the new shape, under the guard of a save and in
 * the cursor's session; one that cannot be saved stays as it is, and the reader is not told. Never back to an older
 * version, and never in a transaction, which a write that fails would end. Off by default. */
ECLOSE_EXPORT (void)
eclose_collection_set_write_back (eclose_collection_t *self, bool on);

/* ---- reading ---- */

/* As mongoc_collection_find_with_opts. `projection`, `returnKey` and `showRecordId` are refused: what is upgraded are
 * documents that are whole, and as they are stored. Like all cursors and streams here it is never NULL: what is wrong
 * with it, its error says. The caller destroys it, before the handle. */
ECLOSE_EXPORT (eclose_cursor_t *)
eclose_collection_find (eclose_collection_t *self, const bson_t *filter, const bson_t *opts,
                        const mongoc_read_prefs_t *read_prefs);

/* Finds by the target's shape in all versions: see eclose_upgrader_query, from where options come (sort, skip, limit,
 * projection). opts are those of an aggregate. Documents are upgraded by the server. */
ECLOSE_EXPORT (eclose_cursor_t *)
eclose_collection_query (eclose_collection_t *self, const bson_t *filter, const bson_t *options, const bson_t *opts,
                         const mongoc_read_prefs_t *read_prefs);

/* An aggregate on documents in the target's shape, whatever version they are stored in. pipeline is {pipeline: […]} or
 * an array, and begins with a $match, which becomes that of eclose_upgrader_query. */
ECLOSE_EXPORT (eclose_cursor_t *)
eclose_collection_aggregate (eclose_collection_t *self, const bson_t *pipeline, const bson_t *opts,
                             const mongoc_read_prefs_t *read_prefs);

/* One document, to be read and saved; *document is NULL where there is none. The caller destroys it. False with an
 * error where the server or the upgrade fails. */
ECLOSE_EXPORT (bool)
eclose_collection_find_one (eclose_collection_t *self, const bson_t *filter, const bson_t *opts,
                            eclose_document_t **document, bson_error_t *error) ECLOSE_MUST_CHECK;

/* Cursors have the habits of mongoc_cursor_t: next gives a document that is valid until the next call on this cursor,
 * and false at the end and after an error; batches are fetched as they are needed. An upgrade that fails ends the
 * cursor. */
ECLOSE_EXPORT (bool)
eclose_cursor_next (eclose_cursor_t *self, const bson_t **document);

/* Whether it ended with an error; error, which may be NULL, is filled then. */
ECLOSE_EXPORT (bool)
eclose_cursor_error (eclose_cursor_t *self, bson_error_t *error);

/* The same, with the server's reply or, where an upgrade failed, what eclose_upgrader_error_document says. *document
 * belongs to the cursor. */
ECLOSE_EXPORT (bool)
eclose_cursor_error_document (eclose_cursor_t *self, bson_error_t *error, const bson_t **document);

/* As mongoc_cursor_more: false where it is certain that nothing more comes. */
ECLOSE_EXPORT (bool)
eclose_cursor_more (eclose_cursor_t *self);

/* The cursor below; it belongs to this one. Only to be asked and set up, not to be read. NULL where it could not be
 * made. */
ECLOSE_EXPORT (mongoc_cursor_t *)
eclose_cursor_get (eclose_cursor_t *self);

/* A copy of the current document, with what is stored, to be saved later; NULL where there is none, or where the server
 * upgraded it (query, aggregate), so that what is stored is not known here. */
ECLOSE_EXPORT (eclose_document_t *)
eclose_cursor_document (const eclose_cursor_t *self);

/* May be NULL. */
ECLOSE_EXPORT (void)
eclose_cursor_destroy (eclose_cursor_t *self);

/* ---- documents ---- */

/* In the target's shape; NULL where it is gone. Valid until it is saved or destroyed. */
ECLOSE_EXPORT (const bson_t *)
eclose_document_get (const eclose_document_t *self);

/* As it is stored; valid as long. */
ECLOSE_EXPORT (const bson_t *)
eclose_document_stored (const eclose_document_t *self);

/* May be NULL. */
ECLOSE_EXPORT (void)
eclose_document_destroy (eclose_document_t *self);

/* ---- writing ---- */

/* As mongoc_collection_insert_one, with the version stamped. document is in the target's shape. reply may be NULL; else
 * it is initialised in any case, and the caller destroys it. */
ECLOSE_EXPORT (bool)
eclose_collection_insert_one (eclose_collection_t *self, const bson_t *document, const bson_t *opts, bson_t *reply,
                              bson_error_t *error);

/* As mongoc_collection_insert_many; likewise. Where one cannot be stamped none is inserted. */
ECLOSE_EXPORT (bool)
eclose_collection_insert_many (eclose_collection_t *self, const bson_t **documents, size_t n, const bson_t *opts,
                               bson_t *reply, bson_error_t *error);

/* Replaces the document by `changed`, stamped, if what is stored is still what was read. opts are those of an update
 * and may be NULL; `upsert` and `collation` are refused.
 *
 * True: it is saved, and `document` is what is stored now, so that it may be saved again. False with
 * ECLOSE_CODE_CONFLICT: somebody else changed or removed it; nothing was written and `document` is what is stored now.
 * False with ECLOSE_CODE_LOSSY: a later version is stored, of which something would be lost; nothing was written. False
 * with another error: after one of the network whether it was written is unknown.
 *
 * Few documents cannot be compared in one statement (numbers in arrays of arrays, a collection with a collation): they
 * are saved in a transaction of their own; where the server has none, or opts name a session, they are refused
 * (ECLOSE_CODE_UNSUPPORTED). */
ECLOSE_EXPORT (bool)
eclose_collection_save (eclose_collection_t *self, eclose_document_t *document, const bson_t *changed,
                        const bson_t *opts, bson_error_t *error) ECLOSE_MUST_CHECK;

/* As mongoc_collection_find_and_modify_with_opts, on documents in the target's shape: what the filter finds in another
 * version is first saved in the target's shape (as by eclose_collection_save), then modified. A replacement is stamped.
 * *document is the old or the new document (as opts say) in the target's shape, initialised in any case, empty where
 * nothing was found; the caller destroys it. `fields` is refused in opts. All of it is done in the session of opts; in
 * a transaction the server refuses the query of all versions, which it takes for filters on more than _id. */
ECLOSE_EXPORT (bool)
eclose_collection_find_and_modify (eclose_collection_t *self, const bson_t *filter,
                                   const mongoc_find_and_modify_opts_t *opts, bson_t *document,
                                   bson_error_t *error) ECLOSE_MUST_CHECK;

/* ---- change streams ---- */

/* As mongoc_collection_watch. The pipeline sees documents as they are stored; one that leaves parts of fullDocument or
 * fullDocumentBeforeChange, or computes them, is refused (ECLOSE_CODE_UNSUPPORTED). */
ECLOSE_EXPORT (eclose_change_stream_t *)
eclose_collection_watch (eclose_collection_t *self, const bson_t *pipeline, const bson_t *opts);

/* As mongoc_change_stream_next; fullDocument and fullDocumentBeforeChange of the event are in the target's shape.
 * *event is valid until the next call. An upgrade that fails ends the stream. */
ECLOSE_EXPORT (bool)
eclose_change_stream_next (eclose_change_stream_t *self, const bson_t **event);

/* As eclose_cursor_error_document. */
ECLOSE_EXPORT (bool)
eclose_change_stream_error_document (eclose_change_stream_t *self, bson_error_t *error, const bson_t **document);

/* The stream below, for resume tokens; it belongs to this one. NULL where it could not be made. */
ECLOSE_EXPORT (mongoc_change_stream_t *)
eclose_change_stream_get (eclose_change_stream_t *self);

/* May be NULL. */
ECLOSE_EXPORT (void)
eclose_change_stream_destroy (eclose_change_stream_t *self);

/* ---- leases and migrations ---- */

/* The driver with which eclose/lease.h and eclose/migrate.h work: connections of their own to that server. All that
 * they need to know stands in the URI: what was set on a client by mongoc_client_set_ssl_opts and the like is not known
 * to them. uri is copied. It outlives what was made with it. NULL where the URI cannot be used. */
ECLOSE_EXPORT (eclose_driver_t *)
eclose_driver_new (const mongoc_uri_t *uri, bson_error_t *error);

/* May be NULL. */
ECLOSE_EXPORT (void)
eclose_driver_destroy (eclose_driver_t *self);

/* ---- the catalog ---- */

/* Writes the project's migrations to eclose_catalog of the database, for programs that are older than they are. What is
 * there as it is to be is not written, and what a later release has published stays: see eclose_project_changes. */
ECLOSE_EXPORT (bool)
eclose_project_publish (const eclose_project_t *project, mongoc_client_t *client, const char *database,
                        bson_error_t *error) ECLOSE_MUST_CHECK;

/* Adds all documents of eclose_catalog to a project that is not loaded yet. */
ECLOSE_EXPORT (bool)
eclose_project_add_catalog (eclose_project_t *project, mongoc_client_t *client, const char *database,
                            bson_error_t *error) ECLOSE_MUST_CHECK;

ECLOSE_END_DECLS

#endif
