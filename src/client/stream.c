/* Change streams whose events carry documents in the target's shape. See eclose/mongoc.h. */
#include "client/client-private.h"

#include <string.h>

struct _eclose_change_stream_t {
   eclose_collection_t *handle;
   mongoc_change_stream_t *stream; /* NULL: it could not be made */
   eclose_upgrader_t *upgrader;
   bson_t event; /* what was made of the last one */
   bool failed;
   bson_error_t error;
   bson_t failure;
};

/* What a path says behind the name of a document of an event, "" or ".name"; NULL where it leads elsewhere. */
static const char *
within_document (const char *path)
{
   static const char *const names[] = {"fullDocument", "fullDocumentBeforeChange"};

   for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
      size_t len = strlen (names[i]);

      if (strncmp (path, names[i], len) == 0 && (!path[len] || path[len] == '.')) {
         return path + len;
      }
   }
   return NULL;
}

static bool
is_document (const bson_iter_t *iter)
{
   const char *within = within_document (bson_iter_key (iter));

   return BSON_ITER_HOLDS_DOCUMENT (iter) && within && !*within;
}

/* Whether a stage leaves a document of the event in part, or makes another of it. */
static bool
takes_apart (const bson_iter_t *stage)
{
   bson_iter_t spec, each;

   if (!BSON_ITER_HOLDS_DOCUMENT (stage) || !bson_iter_recurse (stage, &spec) || !bson_iter_next (&spec) ||
       strcmp (bson_iter_key (&spec), "$match") == 0) {
      return false;
   }
   if (BSON_ITER_HOLDS_UTF8 (&spec)) { /* $unset: "path" */
      const char *within = within_document (bson_iter_utf8 (&spec, NULL));

      return within && *within;
   }
   if (!(BSON_ITER_HOLDS_DOCUMENT (&spec) || BSON_ITER_HOLDS_ARRAY (&spec)) || !bson_iter_recurse (&spec, &each)) {
      return false;
   }
   while (bson_iter_next (&each)) {
      bool listed = BSON_ITER_HOLDS_ARRAY (&spec) && BSON_ITER_HOLDS_UTF8 (&each); /* $unset: ["path", …] */
      const char *within = within_document (listed ? bson_iter_utf8 (&each, NULL) : bson_iter_key (&each));

      if (within && (*within || !(listed || BSON_ITER_HOLDS_BOOL (&each) || BSON_ITER_HOLDS_NUMBER (&each)))) {
         return true;
      }
   }
   return false;
}

static bool
leaves_whole (const bson_t *pipeline, bson_error_t *error)
{
   bson_iter_t stages;
   bool whole = true;

   if (ecl_client_stages (pipeline, &stages)) {
      while (whole && bson_iter_next (&stages)) {
         whole = !takes_apart (&stages);
      }
   }
   return whole || ecl_client_fail (error, ECLOSE_ERROR_USAGE, ECLOSE_CODE_UNSUPPORTED,
                                    "a pipeline that leaves parts of fullDocument: only whole documents, as they are "
                                    "stored, can be upgraded");
}

eclose_change_stream_t *
eclose_collection_watch (eclose_collection_t *self, const bson_t *pipeline, const bson_t *opts)
{
   eclose_change_stream_t *stream = BSON_ALIGNED_ALLOC0 (eclose_change_stream_t);

   stream->handle = self;
   if (leaves_whole (pipeline, &stream->error)) {
      stream->stream = mongoc_collection_watch (self->collection, pipeline, opts);
   } else {
      stream->failed = true;
   }
   stream->upgrader = ecl_client_upgrader (self);
   bson_init (&stream->event);
   bson_init (&stream->failure);
   return stream;
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
      if (self->stream) {
         mongoc_change_stream_destroy (self->stream);
      }
      ecl_client_give_back (self->handle, self->upgrader);
      bson_destroy (&self->event);
      bson_destroy (&self->failure);
      bson_free (self);
   }
}
