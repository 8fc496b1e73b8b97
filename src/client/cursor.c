/* Cursors that upgrade what they read. See eclose/mongoc.h.
 *
 * Where upgrades look documents up in other collections, some documents are read ahead, so that all of them cause one
 * query per collection; else each document passes through as it comes, without a copy.
 */
#include "client/client-private.h"

#include <string.h>

#define READ_AHEAD 101 /* as many as a server's first batch */
#define READ_AHEAD_BYTES (16 << 20)

struct _eclose_cursor_t {
   eclose_collection_t *handle;
   mongoc_cursor_t *cursor;     /* NULL: it could not be made */
   eclose_upgrader_t *upgrader; /* NULL: the server upgrades */
   const bson_t *stored, *current;
   bson_t in_session; /* options of a write: {sessionId, writeConcern}; {}: in none */
   bson_t **ahead;    /* NULL: nothing is read ahead */
   size_t n_ahead, next_ahead;
   bool ended; /* nothing more is to be read ahead */
   bool failed;
   bson_error_t error;
   bson_t failure; /* its document */
   bson_t *mine;   /* what is given out after write-back, or NULL */
};

static eclose_cursor_t *
cursor_new (eclose_collection_t *handle)
{
   eclose_cursor_t *self = BSON_ALIGNED_ALLOC0 (eclose_cursor_t);

   self->handle = handle;
   bson_init (&self->in_session);
   bson_init (&self->failure);
   return self;
}

eclose_cursor_t *
eclose_collection_find (eclose_collection_t *self, const bson_t *filter, const bson_t *opts,
                        const mongoc_read_prefs_t *read_prefs)
{
   eclose_cursor_t *cursor = cursor_new (self);
   bson_iter_t iter;

   if (!ecl_client_find_whole (opts, &cursor->error)) {
      cursor->failed = true;
      return cursor;
   }
   cursor->cursor = mongoc_collection_find_with_opts (self->collection, filter, opts, read_prefs);
   cursor->upgrader = ecl_client_upgrader (self);
   if (opts && bson_iter_init_find (&iter, opts, "sessionId")) {
      bson_append_iter (&cursor->in_session, "sessionId", 9, &iter);
      /* Said here, too, it makes mongoc refuse the write in a transaction, before anything is sent. */
      mongoc_write_concern_append ((mongoc_write_concern_t *) mongoc_collection_get_write_concern (self->collection),
                                   &cursor->in_session);
   }
   /* A tailable cursor must not wait for documents that are not there yet. */
   if (self->loads && !(opts && bson_iter_init_find (&iter, opts, "tailable") && bson_iter_as_bool (&iter))) {
      cursor->ahead = bson_malloc0 (READ_AHEAD * sizeof *cursor->ahead);
   }
   return cursor;
}

static eclose_cursor_t *
aggregate (eclose_collection_t *self, bson_t *pipeline, bool made, const bson_error_t *error, const bson_t *opts,
           const mongoc_read_prefs_t *read_prefs)
{
   eclose_cursor_t *cursor = cursor_new (self);

   if (made) {
      cursor->cursor = mongoc_collection_aggregate (self->collection, MONGOC_QUERY_NONE, pipeline, opts, read_prefs);
   } else {
      cursor->failed = true;
      cursor->error = *error;
   }
   return cursor;
}

eclose_cursor_t *
eclose_collection_query (eclose_collection_t *self, const bson_t *filter, const bson_t *options, const bson_t *opts,
                         const mongoc_read_prefs_t *read_prefs)
{
   bson_error_t error = {0};
   bson_t pipeline;
   bool made = eclose_upgrader_query (self->own, filter, options, &pipeline, &error);
   eclose_cursor_t *cursor = aggregate (self, &pipeline, made, &error, opts, read_prefs);

   bson_destroy (&pipeline);
   return cursor;
}

bool
ecl_client_stages (const bson_t *pipeline, bson_iter_t *stages)
{
   bson_iter_t iter;

   if (bson_iter_init_find (&iter, pipeline, "pipeline") && BSON_ITER_HOLDS_ARRAY (&iter)) {
      return bson_iter_recurse (&iter, stages);
   }
   return bson_iter_init (stages, pipeline);
}

/* The query of the first stage, then the other stages. */
static bool
aggregate_pipeline (eclose_collection_t *self, const bson_t *pipeline, bson_t *out, bson_error_t *error)
{
   bson_iter_t stages, first;
   const uint8_t *bytes = NULL;
   uint32_t len = 0, n;
   bson_t filter;

   if (!ecl_client_stages (pipeline, &stages) || !bson_iter_next (&stages) || !BSON_ITER_HOLDS_DOCUMENT (&stages) ||
       !bson_iter_recurse (&stages, &first) || !bson_iter_next (&first) ||
       strcmp (bson_iter_key (&first), "$match") != 0 || !BSON_ITER_HOLDS_DOCUMENT (&first)) {
      bson_init (out);
      return ecl_client_fail (error, ECLOSE_ERROR_USAGE, ECLOSE_CODE_UNSUPPORTED,
                              "an aggregate through upgrades begins with a $match (which may be empty)");
   }
   bson_iter_document (&first, &len, &bytes);
   BSON_ASSERT (bson_init_static (&filter, bytes, len));
   if (!eclose_upgrader_query (self->own, &filter, NULL, out, error)) {
      return false;
   }
   n = bson_count_keys (out);
   while (bson_iter_next (&stages)) {
      char buffer[16];
      const char *key;

      bson_uint32_to_string (n++, &key, buffer, sizeof buffer);
      bson_append_iter (out, key, -1, &stages);
   }
   return true;
}

eclose_cursor_t *
eclose_collection_aggregate (eclose_collection_t *self, const bson_t *pipeline, const bson_t *opts,
                             const mongoc_read_prefs_t *read_prefs)
{
   bson_error_t error = {0};
   bson_t whole;
   bool made = aggregate_pipeline (self, pipeline, &whole, &error);
   eclose_cursor_t *cursor = aggregate (self, &whole, made, &error, opts, read_prefs);

   bson_destroy (&whole);
   return cursor;
}

/* ---- reading ---- */

static void
drop_ahead (eclose_cursor_t *self)
{
   while (self->n_ahead) {
      bson_destroy (self->ahead[--self->n_ahead]);
   }
   self->next_ahead = 0;
}

/* Ends the cursor with its error, of which the upgrader knows the whole. */
static bool
fail (eclose_cursor_t *self)
{
   self->failed = true;
   self->current = NULL;
   bson_destroy (&self->failure);
   bson_copy_to (eclose_upgrader_error_document (self->upgrader), &self->failure);
   return false;
}

/* The next stored document. */
static bool
next_stored (eclose_cursor_t *self, const bson_t **stored)
{
   if (!self->ahead) {
      return mongoc_cursor_next (self->cursor, stored);
   }
   if (self->next_ahead == self->n_ahead) {
      const bson_t *document;
      size_t size = 0;

      drop_ahead (self);
      while (!self->ended && self->n_ahead < READ_AHEAD && size < READ_AHEAD_BYTES) {
         /* Asked once more at its end, a cursor of mongoc's has an error. */
         self->ended = !mongoc_cursor_next (self->cursor, &document);
         if (!self->ended) {
            size += document->len;
            self->ahead[self->n_ahead++] = bson_copy (document);
         }
      }
      if (!self->n_ahead) {
         return false;
      }
      if (!eclose_upgrader_batch_begin (self->upgrader, (const bson_t *const *) self->ahead, self->n_ahead,
                                        &self->error)) {
         return fail (self);
      }
   }
   *stored = self->ahead[self->next_ahead++];
   return true;
}

/* Saves what was read, as well as that goes, but not in a transaction, which a write that fails would end; what is given
 * out stays what was computed. Where it is saved that is what is stored: eclose_cursor_document says so. */
static void
write_back (eclose_cursor_t *self)
{
   bson_t *written = NULL;

   bson_destroy (self->mine);
   self->mine = bson_copy (self->current);
   self->current = self->mine;
   if (ecl_client_save (self->handle, self->stored, self->mine, &self->in_session, &written, NULL)) {
      bson_destroy (self->mine);
      self->stored = self->current = self->mine = written;
   }
}

bool
eclose_cursor_next (eclose_cursor_t *self, const bson_t **document)
{
   *document = self->current = NULL;
   if (self->handle->loads) {
      ecl_client_look_up_in (self->handle, &self->in_session);
   }
   if (self->failed || !next_stored (self, &self->stored)) {
      return false;
   }
   if (!self->upgrader) {
      *document = self->current = self->stored;
      return true;
   }
   if (!eclose_upgrader_run (self->upgrader, self->stored, &self->current, &self->error)) {
      return fail (self);
   }
   if (self->current != self->stored && self->handle->write_back &&
       eclose_upgrader_went (self->upgrader) == ECLOSE_WENT_UP) {
      write_back (self);
   }
   *document = self->current;
   return true;
}

bool
eclose_cursor_error (eclose_cursor_t *self, bson_error_t *error)
{
   const bson_t *document;

   return eclose_cursor_error_document (self, error, &document);
}

bool
eclose_cursor_error_document (eclose_cursor_t *self, bson_error_t *error, const bson_t **document)
{
   if (self->failed) {
      if (error) {
         *error = self->error;
      }
      *document = &self->failure;
      return true;
   }
   return mongoc_cursor_error_document (self->cursor, error, document);
}

bool
eclose_cursor_more (eclose_cursor_t *self)
{
   return !self->failed && (self->next_ahead < self->n_ahead || (!self->ended && mongoc_cursor_more (self->cursor)));
}

mongoc_cursor_t *
eclose_cursor_get (eclose_cursor_t *self)
{
   return self->cursor;
}

eclose_document_t *
eclose_cursor_document (const eclose_cursor_t *self)
{
   eclose_document_t *document;

   if (!self->upgrader || !self->current) {
      return NULL;
   }
   document = bson_malloc0 (sizeof *document);
   document->stored = bson_copy (self->stored);
   document->current = self->current == self->stored ? NULL : bson_copy (self->current);
   return document;
}

void
eclose_cursor_destroy (eclose_cursor_t *self)
{
   if (self) {
      if (self->ahead) {
         drop_ahead (self);
         bson_free (self->ahead);
      }
      if (self->cursor) {
         mongoc_cursor_destroy (self->cursor);
      }
      ecl_client_give_back (self->handle, self->upgrader);
      bson_destroy (self->mine);
      bson_destroy (&self->in_session);
      bson_destroy (&self->failure);
      bson_free (self);
   }
}
