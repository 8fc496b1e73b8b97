/* The canned server: see canned.h. */
#include "canned.h"

#include <stdlib.h>
#include <string.h>

#define OP_REPLY 1
#define OP_QUERY 2004
#define OP_MSG 2013

typedef struct {
   mongoc_stream_t stream;
   uint8_t *in, *out; /* what was written so far of a message; what is still to be read */
   size_t in_len, in_cap, out_len, out_at, out_cap;
} canned_t;

static uint8_t *batch;
static size_t batch_len;

void
canned_set_batch (const bson_t *array)
{
   free (batch);
   batch_len = array->len;
   batch = malloc (batch_len);
   memcpy (batch, bson_get_data (array), batch_len);
}

static uint32_t
load (const uint8_t *p)
{
   uint32_t v;

   memcpy (&v, p, 4);
   return BSON_UINT32_FROM_LE (v);
}

static void
put (canned_t *self, const void *bytes, size_t n)
{
   while (self->out_len + n > self->out_cap) {
      self->out_cap = self->out_cap ? 2 * self->out_cap : 4096;
      self->out = realloc (self->out, self->out_cap);
   }
   memcpy (self->out + self->out_len, bytes, n);
   self->out_len += n;
}

static void
put_u32 (canned_t *self, uint32_t v)
{
   v = BSON_UINT32_TO_LE (v);
   put (self, &v, 4);
}

static void
reply_of (const uint8_t *command, bson_t *reply)
{
   const char *name = (const char *) command + 5;
   bson_t cursor, documents;

   bson_init (reply);
   if (strcmp (name, "find") == 0 || strcmp (name, "getMore") == 0) {
      BSON_APPEND_DOCUMENT_BEGIN (reply, "cursor", &cursor);
      BSON_APPEND_INT64 (&cursor, "id", 1);
      BSON_APPEND_UTF8 (&cursor, "ns", "bench.users");
      if (!bson_init_static (&documents, batch, batch_len)) {
         abort ();
      }
      BSON_APPEND_ARRAY (&cursor, *name == 'f' ? "firstBatch" : "nextBatch", &documents);
      bson_append_document_end (reply, &cursor);
   } else {
      BSON_APPEND_BOOL (reply, "ismaster", true);
      BSON_APPEND_BOOL (reply, "isWritablePrimary", true);
      BSON_APPEND_BOOL (reply, "helloOk", true);
      BSON_APPEND_INT32 (reply, "maxBsonObjectSize", 16777216);
      BSON_APPEND_INT32 (reply, "maxMessageSizeBytes", 48000000);
      BSON_APPEND_INT32 (reply, "maxWriteBatchSize", 100000);
      BSON_APPEND_INT32 (reply, "minWireVersion", 0);
      BSON_APPEND_INT32 (reply, "maxWireVersion", 17);
   }
   BSON_APPEND_DOUBLE (reply, "ok", 1);
}

/* Answers a whole message. */
static void
answer (canned_t *self, const uint8_t *message)
{
   uint32_t opcode = load (message + 12);
   const uint8_t *command;
   bson_t reply;

   if (opcode == OP_QUERY) {
      command = message + 20;
      command += strlen ((const char *) command) + 1 + 8;
   } else {
      command = message + 21;
   }
   reply_of (command, &reply);
   self->out_len = self->out_at = 0;
   put_u32 (self, (opcode == OP_QUERY ? 36 : 21) + reply.len);
   put_u32 (self, 1);
   put_u32 (self, load (message + 4));
   put_u32 (self, opcode == OP_QUERY ? OP_REPLY : OP_MSG);
   if (opcode == OP_QUERY) {
      static const uint8_t head[16] = {8};

      put (self, head, 16);
      put_u32 (self, 1);
   } else {
      static const uint8_t head[5] = {0};

      put (self, head, 5);
   }
   put (self, bson_get_data (&reply), reply.len);
   bson_destroy (&reply);
}

static ssize_t
canned_writev (mongoc_stream_t *stream, mongoc_iovec_t *iov, size_t n, int32_t timeout)
{
   canned_t *self = (canned_t *) stream;
   size_t total = 0;

   (void) timeout;
   for (size_t i = 0; i < n; i++) {
      while (self->in_len + iov[i].iov_len > self->in_cap) {
         self->in_cap = self->in_cap ? 2 * self->in_cap : 4096;
         self->in = realloc (self->in, self->in_cap);
      }
      memcpy (self->in + self->in_len, iov[i].iov_base, iov[i].iov_len);
      self->in_len += iov[i].iov_len;
      total += iov[i].iov_len;
   }
   if (self->in_len >= 16 && self->in_len >= load (self->in)) {
      answer (self, self->in);
      self->in_len = 0;
   }
   return (ssize_t) total;
}

static ssize_t
canned_readv (mongoc_stream_t *stream, mongoc_iovec_t *iov, size_t n, size_t min, int32_t timeout)
{
   canned_t *self = (canned_t *) stream;
   size_t total = 0;

   (void) min;
   (void) timeout;
   for (size_t i = 0; i < n; i++) {
      size_t len = self->out_len - self->out_at < iov[i].iov_len ? self->out_len - self->out_at : iov[i].iov_len;

      memcpy (iov[i].iov_base, self->out + self->out_at, len);
      self->out_at += len;
      total += len;
   }
   return (ssize_t) total;
}

static ssize_t
canned_poll (mongoc_stream_poll_t *streams, size_t n, int32_t timeout)
{
   (void) timeout;
   for (size_t i = 0; i < n; i++) {
      streams[i].revents = streams[i].events;
   }
   return (ssize_t) n;
}

static void
canned_destroy (mongoc_stream_t *stream)
{
   canned_t *self = (canned_t *) stream;

   free (self->in);
   free (self->out);
   bson_free (self);
}

static int
canned_nothing (mongoc_stream_t *stream)
{
   (void) stream;
   return 0;
}

static bool
canned_open (mongoc_stream_t *stream)
{
   (void) stream;
   return false;
}

static int
canned_setsockopt (mongoc_stream_t *stream, int level, int name, void *value, mongoc_socklen_t len)
{
   (void) stream;
   (void) level;
   (void) name;
   (void) value;
   (void) len;
   return 0;
}

mongoc_stream_t *
canned_stream (const mongoc_uri_t *uri, const mongoc_host_list_t *host, void *context, bson_error_t *error)
{
   canned_t *self = bson_malloc0 (sizeof *self);

   (void) uri;
   (void) host;
   (void) context;
   (void) error;
   self->stream.type = 99; /* none of libmongoc's */
   self->stream.destroy = canned_destroy;
   self->stream.failed = canned_destroy;
   self->stream.close = canned_nothing;
   self->stream.flush = canned_nothing;
   self->stream.writev = canned_writev;
   self->stream.readv = canned_readv;
   self->stream.setsockopt = canned_setsockopt;
   self->stream.check_closed = canned_open;
   self->stream.poll = canned_poll;
   self->stream.timed_out = canned_open;
   self->stream.should_retry = canned_open;
   return &self->stream;
}
