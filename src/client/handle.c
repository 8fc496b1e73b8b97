/* The collection handle: what it is made of, single documents, inserts, and the loader of other collections. See
 * eclose/mongoc.h. */
#include "client/client-private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool
ecl_client_fail (bson_error_t *error, uint32_t domain, uint32_t code, const char *format, ...)
{
   char message[480];
   va_list args;

   if (error) {
      va_start (args, format);
      vsnprintf (message, sizeof message, format, args);
      va_end (args);
      bson_set_error (error, domain, code, "%s", message);
   }
   return false;
}

/* ---- the loader ---- */

/* Finds by the newest shape, whatever is stored: by _id, which no migration changes, with a plain find. */
static bool
load (void *user_data, const char *collection, const char *field, const bson_t *values, eclose_found_t *found,
      bson_error_t *error)
{
   eclose_collection_t *self = user_data;
   mongoc_collection_t *other = mongoc_client_get_collection (self->client, self->database, collection);
   eclose_upgrader_t *upgrader = NULL;
   mongoc_cursor_t *cursor = NULL;
   bson_t *filter = bson_new (), in, pipeline = BSON_INITIALIZER;
   const bson_t *document;
   bool ok = false;

   bson_append_document_begin (filter, field, -1, &in);
   BSON_APPEND_ARRAY (&in, "$in", values);
   bson_append_document_end (filter, &in);
   if (strcmp (field, "_id") == 0 || !eclose_project_has_collection (self->project, collection)) {
      cursor = mongoc_collection_find_with_opts (other, filter, self->session, NULL);
   } else {
      upgrader = eclose_upgrader_new (self->project, collection, NULL, error);
      bson_destroy (&pipeline);
      if (!upgrader) {
         bson_init (&pipeline);
         goto done;
      }
      if (!eclose_upgrader_query (upgrader, filter, NULL, &pipeline, error)) {
         goto done;
      }
      cursor = mongoc_collection_aggregate (other, MONGOC_QUERY_NONE, &pipeline, self->session, NULL);
   }
   while (mongoc_cursor_next (cursor, &document)) {
      eclose_found_add (found, document);
   }
   ok = !mongoc_cursor_error (cursor, error);

done:
   if (cursor) {
      mongoc_cursor_destroy (cursor);
   }
   eclose_upgrader_destroy (upgrader);
   bson_destroy (&pipeline);
   bson_destroy (filter);
   mongoc_collection_destroy (other);
   return ok;
}

/* ---- the handle ---- */

eclose_collection_t *
eclose_collection_new (const eclose_project_t *project, mongoc_client_t *client, const char *database,
                       const char *collection, const char *target, bson_error_t *error)
{
   eclose_upgrader_t *own = eclose_upgrader_new (project, collection, target, error);
   eclose_collection_t *self;

   if (!own) {
      return NULL;
   }
   self = bson_malloc0 (sizeof *self);
   self->project = project;
   self->client = client;
   self->database = bson_strdup (database);
   self->name = bson_strdup (collection);
   self->target = target ? bson_strdup (target) : NULL;
   self->collection = mongoc_client_get_collection (client, database, collection);
   self->loader = (eclose_loader_t){.load = load, .user_data = self};
   self->session = bson_new ();
   self->own = own;
   eclose_upgrader_set_loader (own, &self->loader);
   self->loads = eclose_upgrader_loads (own);
   return self;
}

void
eclose_collection_destroy (eclose_collection_t *self)
{
   if (self) {
      while (self->n_spare) {
         eclose_upgrader_destroy (self->spare[--self->n_spare]);
      }
      eclose_upgrader_destroy (self->own);
      mongoc_collection_destroy (self->collection);
      bson_destroy (self->session);
      bson_free (self->database);
      bson_free (self->name);
      bson_free (self->target);
      bson_free (self);
   }
}

mongoc_collection_t *
eclose_collection_get (eclose_collection_t *self)
{
   return self->collection;
}

void
eclose_collection_set_write_back (eclose_collection_t *self, bool on)
{
   self->write_back = on;
}

void
ecl_client_look_up_in (eclose_collection_t *self, const bson_t *opts)
{
   bson_iter_t iter;

   bson_reinit (self->session);
   if (opts && bson_iter_init_find (&iter, opts, "sessionId")) {
      bson_append_iter (self->session, "sessionId", 9, &iter);
   }
}

eclose_upgrader_t *
ecl_client_upgrader (eclose_collection_t *self)
{
   eclose_upgrader_t *made;
   bson_error_t error;

   if (self->n_spare) {
      return self->spare[--self->n_spare];
   }
   /* The handle's own could be made, so this one can. */
   made = eclose_upgrader_new (self->project, self->name, self->target, &error);
   BSON_ASSERT (made);
   eclose_upgrader_set_loader (made, &self->loader);
   return made;
}

void
ecl_client_give_back (eclose_collection_t *self, eclose_upgrader_t *upgrader)
{
   if (upgrader && self->n_spare < ECL_SPARE_UPGRADERS) {
      eclose_upgrader_batch_end (upgrader);
      self->spare[self->n_spare++] = upgrader;
   } else {
      eclose_upgrader_destroy (upgrader);
   }
}

/* ---- documents ---- */

/* A document from what is stored (copied); NULL, with an error, where its upgrade fails. */
static eclose_document_t *
new_document (eclose_collection_t *self, const bson_t *stored, bson_error_t *error)
{
   eclose_document_t *document;
   const bson_t *current;

   if (!eclose_upgrader_run (self->own, stored, &current, error)) {
      return NULL;
   }
   document = bson_malloc0 (sizeof *document);
   document->stored = bson_copy (stored);
   document->current = current == stored ? NULL : bson_copy (current);
   return document;
}

const bson_t *
eclose_document_get (const eclose_document_t *self)
{
   return self->current ? self->current : self->stored;
}

const bson_t *
eclose_document_stored (const eclose_document_t *self)
{
   return self->stored;
}

void
eclose_document_destroy (eclose_document_t *self)
{
   if (self) {
      bson_destroy (self->stored);
      bson_destroy (self->current);
      bson_free (self);
   }
}

bool
ecl_client_by_id (const bson_t *document, bson_t *by_id)
{
   bson_iter_t iter;

   bson_init (by_id);
   return bson_iter_init_find (&iter, document, "_id") && bson_append_iter (by_id, "_id", 3, &iter);
}

/* {_id: {$eq: …}}: an _id may be a document whose first key begins with a dollar. */
static void
equals_id (const bson_t *by_id, bson_t *filter)
{
   bson_iter_t iter;
   bson_t equals;

   bson_init (filter);
   BSON_ASSERT (bson_iter_init_find (&iter, by_id, "_id"));
   BSON_APPEND_DOCUMENT_BEGIN (filter, "_id", &equals);
   bson_append_iter (&equals, "$eq", 3, &iter);
   bson_append_document_end (filter, &equals);
}

bool
ecl_client_find_whole (const bson_t *opts, bson_error_t *error)
{
   static const char *const refused[] = {"projection", "returnKey", "showRecordId"};
   bson_iter_t iter;

   for (size_t i = 0; opts && i < sizeof refused / sizeof *refused; i++) {
      if (bson_iter_init_find (&iter, opts, refused[i]) && bson_iter_as_bool (&iter)) {
         return ecl_client_fail (error, ECLOSE_ERROR_USAGE, ECLOSE_CODE_UNSUPPORTED,
                                 "%s: only whole documents, as they are stored, can be upgraded; "
                                 "eclose_collection_query takes a projection",
                                 refused[i]);
      }
   }
   return true;
}

/* The first document of a find, or none. */
static bool
find_first (eclose_collection_t *self, const bson_t *filter, const bson_t *opts, const mongoc_read_prefs_t *prefs,
            eclose_document_t **document, bson_error_t *error)
{
   mongoc_cursor_t *cursor = mongoc_collection_find_with_opts (self->collection, filter, opts, prefs);
   const bson_t *stored;
   bool ok = true;

   *document = NULL;
   if (mongoc_cursor_next (cursor, &stored)) {
      *document = new_document (self, stored, error);
      ok = *document != NULL;
   } else {
      ok = !mongoc_cursor_error (cursor, error);
   }
   mongoc_cursor_destroy (cursor);
   return ok;
}

void
ecl_client_read_now (bson_t *opts)
{
   mongoc_read_concern_t *local;

   if (!bson_has_field (opts, "sessionId")) {
      local = mongoc_read_concern_new ();
      mongoc_read_concern_set_level (local, MONGOC_READ_CONCERN_LEVEL_LOCAL);
      mongoc_read_concern_append (local, opts);
      mongoc_read_concern_destroy (local);
   }
}

bool
ecl_client_read (eclose_collection_t *self, const bson_t *by_id, const bson_t *opts, eclose_document_t **document,
                 bson_error_t *error)
{
   mongoc_read_prefs_t *primary = mongoc_read_prefs_new (MONGOC_READ_PRIMARY);
   bson_t filter, now = BSON_INITIALIZER;
   bool ok;

   equals_id (by_id, &filter);
   bson_concat (&now, opts);
   ecl_client_read_now (&now);
   ok = find_first (self, &filter, &now, primary, document, error);
   bson_destroy (&now);
   bson_destroy (&filter);
   mongoc_read_prefs_destroy (primary);
   return ok;
}

bool
eclose_collection_find_one (eclose_collection_t *self, const bson_t *filter, const bson_t *opts,
                            eclose_document_t **document, bson_error_t *error)
{
   bson_t one = BSON_INITIALIZER;
   bool ok;

   *document = NULL;
   if (!ecl_client_find_whole (opts, error)) {
      bson_destroy (&one);
      return false;
   }
   ecl_client_look_up_in (self, opts);
   if (opts) {
      bson_copy_to_excluding_noinit (opts, &one, "limit", "singleBatch", NULL);
   }
   BSON_APPEND_INT64 (&one, "limit", 1);
   BSON_APPEND_BOOL (&one, "singleBatch", true);
   ok = find_first (self, filter, &one, NULL, document, error);
   bson_destroy (&one);
   return ok;
}

/* ---- inserting ---- */

bool
eclose_collection_insert_one (eclose_collection_t *self, const bson_t *document, const bson_t *opts, bson_t *reply,
                              bson_error_t *error)
{
   const bson_t *stamped;

   if (!eclose_upgrader_stamp (self->own, document, &stamped, error)) {
      if (reply) {
         bson_init (reply);
      }
      return false;
   }
   return mongoc_collection_insert_one (self->collection, stamped, opts, reply, error);
}

bool
eclose_collection_insert_many (eclose_collection_t *self, const bson_t **documents, size_t n, const bson_t *opts,
                               bson_t *reply, bson_error_t *error)
{
   bson_t **copies = bson_malloc0 ((n + 1) * sizeof *copies);
   bool ok = true;

   for (size_t i = 0; ok && i < n; i++) {
      const bson_t *stamped;

      ok = eclose_upgrader_stamp (self->own, documents[i], &stamped, error);
      copies[i] = ok ? bson_copy (stamped) : NULL;
   }
   if (ok) {
      ok = mongoc_collection_insert_many (self->collection, (const bson_t **) copies, n, opts, reply, error);
   } else if (reply) {
      bson_init (reply);
   }
   for (size_t i = 0; i < n; i++) {
      bson_destroy (copies[i]);
   }
   bson_free (copies);
   return ok;
}
