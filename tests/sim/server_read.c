/* The simulated server's commands that read: find, getMore, aggregate, count. Batches are as small as a server may make
 * them. */
#include "sim.h"

#include "run/scan.h"

enum { CURSOR_NOT_FOUND = 43 };

static int64_t
number_or (const execution_t *self, const char *field, int64_t otherwise)
{
   ecl_value_t value = command_get (self, field);
   int64_t number;

   return ecl_is_number (&value) && ecl_number_to_int64 (&value, &number) ? number : otherwise;
}

static bool
flag (const execution_t *self, const char *field)
{
   ecl_value_t value = command_get (self, field);

   return value.type == BSON_TYPE_BOOL && value.u.i64;
}

static bool
reads_majority (const execution_t *self)
{
   ecl_value_t concern = command_get (self, "readConcern"), level;

   if (concern.type != BSON_TYPE_DOCUMENT) {
      return false;
   }
   level = ecl_document_get (&concern, "level", 5);
   return ecl_is_string (&level) && strcmp (level.u.str, "majority") == 0;
}

/* ---- replies ---- */

typedef struct {
   bson_t cursor, batch;
   uint32_t n;
   bool sizes; /* each document says how large it is */
} batch_t;

static void
batch_begin (batch_t *self, bson_t *reply, bool first, bool sizes)
{
   self->n = 0;
   self->sizes = sizes;
   BSON_APPEND_DOCUMENT_BEGIN (reply, "cursor", &self->cursor);
   BSON_APPEND_ARRAY_BEGIN (&self->cursor, first ? "firstBatch" : "nextBatch", &self->batch);
}

static void
batch_add (batch_t *self, const blob_t *document)
{
   char buffer[16];
   const char *key;
   bson_t view;

   bson_uint32_to_string (self->n++, &key, buffer, sizeof buffer);
   BSON_ASSERT (bson_init_static (&view, document->bytes, document->len));
   if (self->sizes) {
      bson_t whole;

      bson_copy_to (&view, &whole);
      BSON_APPEND_INT32 (&whole, ECL_SCAN_SIZE, (int32_t) document->len);
      BSON_APPEND_DOCUMENT (&self->batch, key, &whole);
      bson_destroy (&whole);
   } else {
      BSON_APPEND_DOCUMENT (&self->batch, key, &view);
   }
}

static void
batch_end (batch_t *self, bson_t *reply, int64_t cursor)
{
   bson_append_array_end (&self->cursor, &self->batch);
   BSON_APPEND_INT64 (&self->cursor, "id", cursor);
   bson_append_document_end (reply, &self->cursor);
}

/* ---- cursors ---- */

static void
cursor_close (cursor_t *self)
{
   blob_unref (self->filter);
   blob_unref (self->after);
   rows_cleanup (&self->rows);
   memset (self, 0, sizeof *self);
}

/* A free one; the oldest goes where there is none. */
static cursor_t *
cursor_new (execution_t *self)
{
   cursor_t *found = &self->server->cursors[0];

   for (size_t i = 0; i < MAX_CURSORS; i++) {
      cursor_t *cursor = &self->server->cursors[i];

      if (cursor->id < found->id) {
         found = cursor;
      }
   }
   cursor_close (found);
   found->id = ++self->server->last_cursor;
   found->owner = self->sender->process ? self->sender->process->index : -1;
   bson_strncpy (found->collection, self->collection->name, sizeof found->collection);
   found->majority = reads_majority (self);
   found->left = INT64_MAX;
   return found;
}

/* Gives up to so many documents; true where there are more. */
static bool
fill_lazy (execution_t *self, cursor_t *cursor, int64_t most, batch_t *batch)
{
   const collection_t *collection = server_place (self->server, cursor->collection);
   ecl_value_t filter = blob_value (cursor->filter), only;
   size_t at, end;

   if (engine_names_one (&filter, &only)) {
      const slot_t *slot = server_slot ((collection_t *) collection, &only, false);
      const blob_t *document = slot ? server_seen (self, slot, cursor->majority) : NULL;

      if (document && engine_matches (&filter, document, self->clock)) {
         batch_add (batch, document);
      }
      return false;
   }
   server_span (collection, &filter, &at, &end);
   if (cursor->after) {
      ecl_value_t after = blob_get (cursor->after, "_id");
      size_t behind = server_behind (collection, &after);

      at = behind > at ? behind : at;
   }
   for (size_t i = at; i < end; i++) {
      const slot_t *slot = collection->slots[i];
      const blob_t *document = server_seen (self, slot, cursor->majority);

      if (!document || !engine_matches (&filter, document, self->clock)) {
         continue;
      }
      if (batch->n == most) {
         return true;
      }
      batch_add (batch, document);
      blob_unref (cursor->after);
      cursor->after = blob_ref (slot->key);
      if (--cursor->left == 0) {
         return false;
      }
   }
   return false;
}

static bool
fill (execution_t *self, cursor_t *cursor, int64_t most, batch_t *batch)
{
   if (cursor->lazy) {
      return fill_lazy (self, cursor, most, batch);
   }
   while (cursor->at < cursor->rows.n && batch->n < most && cursor->left > 0) {
      batch_add (batch, cursor->rows.items[cursor->at++]);
      cursor->left--;
   }
   return cursor->at < cursor->rows.n && cursor->left > 0;
}

/* The next batch, and the cursor's end where it is the last. */
static void
give (execution_t *self, cursor_t *cursor, bool first, int64_t size, bool single)
{
   int64_t most = size;
   batch_t batch;
   bool more;

   /* A reply is full whenever the server thinks so. */
   if (!single && strncmp (cursor->collection, "eclose_", 7) != 0 && sim_chance (self->sim, 2)) {
      most = sim_between (self->sim, 1, 6);
      most = most < size ? most : size;
   }
   batch_begin (&batch, self->reply, first, cursor->sizes);
   more = fill (self, cursor, most, &batch) && !single;
   batch_end (&batch, self->reply, more ? cursor->id : 0);
   if (!more) {
      cursor_close (cursor);
   }
}

/* ---- commands ---- */

static blob_t *
copy_of (const ecl_value_t *document)
{
   static const uint8_t empty[] = {5, 0, 0, 0, 0};

   return document->type == BSON_TYPE_DOCUMENT ? blob_new (document->u.raw, document->len) : blob_new (empty, 5);
}

static bool
is_by_id (const ecl_value_t *sort)
{
   ecl_field_t field;
   ecl_iter_t iter;

   if (sort->type != BSON_TYPE_DOCUMENT) {
      return true; /* any order will do */
   }
   ecl_iter_init (&iter, sort);
   return !ecl_iter_field (&iter, &field) || (ecl_key_is (&field, "_id") && field.value.u.i64 == 1);
}

static void
all_of (void *context, const char *name, rows_t *out)
{
   execution_t *self = context;
   const collection_t *collection = server_place (self->server, name);
   bool majority = reads_majority (self);

   for (size_t i = 0; i < collection->n; i++) {
      const blob_t *document = server_seen (self, collection->slots[i], majority);

      if (document) {
         rows_add (out, blob_ref ((blob_t *) document));
      }
   }
}

static int32_t
run_find (execution_t *self)
{
   ecl_value_t filter = command_get (self, "filter"), sort = command_get (self, "sort"), size;
   ecl_value_t projection = command_get (self, "projection");
   int64_t limit = number_or (self, "limit", 0), skip = number_or (self, "skip", 0);
   cursor_t *cursor = cursor_new (self);

   cursor->lazy = is_by_id (&sort) && !skip;
   cursor->filter = copy_of (&filter);
   cursor->left = limit > 0 ? limit : INT64_MAX;
   if (ecl_is_document (&projection)) {
      size = ecl_document_get (&projection, ECL_SCAN_SIZE, sizeof ECL_SCAN_SIZE - 1);
      cursor->sizes = !ecl_is_missing (&size);
   }
   if (!cursor->lazy) {
      all_of (self, self->collection->name, &cursor->rows);
      engine_find (&filter, &sort, &cursor->rows, self->clock);
      cursor->at = (size_t) skip;
   }
   give (self, cursor, true, number_or (self, "batchSize", 101), flag (self, "singleBatch"));
   return 0;
}

static uint64_t
chance (void *context)
{
   return sim_random (((execution_t *) context)->sim);
}

static int32_t
run_aggregate (execution_t *self)
{
   ecl_value_t pipeline = command_get (self, "pipeline"), options = command_get (self, "cursor"), size;
   cursor_t *cursor = cursor_new (self);
   int64_t most = 101;

   all_of (self, self->collection->name, &cursor->rows);
   engine_aggregate (&pipeline, &cursor->rows, all_of, self, chance, self->clock);
   if (options.type == BSON_TYPE_DOCUMENT) {
      size = ecl_document_get (&options, "batchSize", 9);
      (void) (ecl_is_number (&size) && ecl_number_to_int64 (&size, &most));
   }
   give (self, cursor, true, most, false);
   return 0;
}

static int32_t
run_get_more (execution_t *self)
{
   int64_t id = number_or (self, "getMore", 0);

   for (size_t i = 0; i < MAX_CURSORS; i++) {
      cursor_t *cursor = &self->server->cursors[i];

      if (cursor->id == id && id) {
         if (misfortune_now (self->sim, RATE_CURSOR)) {
            cursor_close (cursor);
            break;
         }
         give (self, cursor, false, number_or (self, "batchSize", INT64_MAX), false);
         return 0;
      }
   }
   sim_reached (self->sim, FAULT_CURSOR);
   return CURSOR_NOT_FOUND;
}

static int32_t
run_count (execution_t *self)
{
   ecl_value_t query = command_get (self, "query");
   int32_t n = 0;

   for (size_t i = 0; i < self->collection->n; i++) {
      const blob_t *document = server_seen (self, self->collection->slots[i], false);

      n += document && (query.type != BSON_TYPE_DOCUMENT || engine_matches (&query, document, self->clock));
   }
   BSON_APPEND_INT32 (self->reply, "n", n);
   return 0;
}

/* What a server says of itself: its time. */
static int32_t
run_hello (execution_t *self)
{
   BSON_APPEND_DATE_TIME (self->reply, "localTime", self->clock);
   return 0;
}

int32_t
server_run_read (execution_t *self)
{
   if (strcmp (self->name, "hello") == 0) {
      return run_hello (self);
   }
   if (strcmp (self->name, "find") == 0) {
      return run_find (self);
   }
   if (strcmp (self->name, "getMore") == 0) {
      return run_get_more (self);
   }
   if (strcmp (self->name, "aggregate") == 0) {
      return run_aggregate (self);
   }
   if (strcmp (self->name, "count") == 0) {
      return run_count (self);
   }
   if (strcmp (self->name, "killCursors") == 0) {
      return 0;
   }
   return -1;
}
