/* Change streams whose events carry documents in the target's shape. See eclose/mongoc.h. */
#include "client/client-private.h"

#include <string.h>

struct _eclose_change_stream_t {
   eclose_collection_t *handle;
   mongoc_change_stream_t *stream;
   eclose_upgrader_t *upgrader;
   bson_t event; /* what was made of the last one */
   bool failed;
   bson_error_t error;
   bson_t failure;
};

eclose_change_stream_t *
eclose_collection_watch (eclose_collection_t *self, const bson_t *pipeline, const bson_t *opts)
{
   eclose_change_stream_t *stream = BSON_ALIGNED_ALLOC0 (eclose_change_stream_t);

   stream->handle = self;
   stream->stream = mongoc_collection_watch (self->collection, pipeline, opts);
   stream->upgrader = ecl_client_upgrader (self);
   bson_init (&stream->event);
   bson_init (&stream->failure);
   return stream;
}

static bool
is_document (const bson_iter_t *iter)
{
   return BSON_ITER_HOLDS_DOCUMENT (iter) && (strcmp (bson_iter_key (iter), "fullDocument") == 0 ||
                                              strcmp (bson_iter_key (iter), "fullDocumentBeforeChange") == 0);
}

static bool
append_upgraded (eclose_change_stream_t *self, const bson_iter_t *iter)
{
   const bson_t *current;
   const uint8_t *bytes;
   uint32_t len;
   bson_t stored;

   bson_iter_document (iter, &len, &bytes);
   if (!bson_init_static (&stored, bytes, len) ||
       !eclose_upgrader_run (self->upgrader, &stored, &current, &self->error)) {
      return false;
   }
   return bson_append_document (&self->event, bson_iter_key (iter), -1, current);
}

bool
eclose_change_stream_next (eclose_change_stream_t *self, const bson_t **event)
{
   const bson_t *raw;
   bson_iter_t iter;

   *event = NULL;
   ecl_client_look_up_in (self->handle, NULL);
   if (self->failed || !mongoc_change_stream_next (self->stream, &raw)) {
      return false;
   }
   bson_reinit (&self->event);
   bson_iter_init (&iter, raw);
   while (bson_iter_next (&iter)) {
      if (!is_document (&iter)) {
         bson_append_iter (&self->event, bson_iter_key (&iter), -1, &iter);
      } else if (!append_upgraded (self, &iter)) {
         self->failed = true;
         bson_destroy (&self->failure);
         bson_copy_to (eclose_upgrader_error_document (self->upgrader), &self->failure);
         return false;
      }
   }
   *event = &self->event;
   return true;
}

bool
eclose_change_stream_error_document (eclose_change_stream_t *self, bson_error_t *error, const bson_t **document)
{
   if (self->failed) {
      if (error) {
         *error = self->error;
      }
      *document = &self->failure;
      return true;
   }
   return mongoc_change_stream_error_document (self->stream, error, document);
}

mongoc_change_stream_t *
eclose_change_stream_get (eclose_change_stream_t *self)
{
   return self->stream;
}

void
eclose_change_stream_destroy (eclose_change_stream_t *self)
{
   if (self) {
      mongoc_change_stream_destroy (self->stream);
      ecl_client_give_back (self->handle, self->upgrader);
      bson_destroy (&self->event);
      bson_destroy (&self->failure);
      bson_free (self);
   }
}
