/* Cursors of the server: see scan.h. */
#include "run/scan.h"

#include "bson/append.h"
#include "bson/cursor.h"
#include "run/insist.h"
#include "store/store.h"

/* How often a reading begins anew, and what lies between: a server that steps down answers the first command that waits
 * for it, and that one insists. */
#define LOSSES_MAX 20
#define PAUSE_MS 200

void
ecl_scan_init (ecl_scan_t *self)
{
   memset (self, 0, sizeof *self);
   bson_init (&self->filter);
   bson_init (&self->batch);
   ecl_arena_init (&self->arena);
}

void
ecl_scan_cleanup (ecl_scan_t *self)
{
   bson_destroy (&self->filter);
   bson_destroy (&self->batch);
   if (self->pipeline) {
      bson_destroy (self->pipeline);
   }
   ecl_arena_cleanup (&self->arena);
}

static void
forget_batch (ecl_scan_t *self)
{
   bson_destroy (&self->batch);
   bson_init (&self->batch);
   ecl_arena_reset (&self->arena);
   self->items = NULL;
   self->n = self->at = 0;
}

void
ecl_scan_start (ecl_scan_t *self, const bson_t *filter, bool ordered)
{
   bson_t copy;

   bson_copy_to (filter, &copy); /* which may be the present one */
   bson_destroy (&self->filter);
   bson_steal (&self->filter, &copy);
   if (self->pipeline) {
      bson_destroy (self->pipeline);
      self->pipeline = NULL;
   }
   self->ordered = self->hinted = ordered;
   self->majority = false;
   self->sample = self->limit = 0;
   self->fields[0] = self->fields[1] = NULL;
   self->sizes = false;
   self->seen = 0;
   self->losses = 0;
   ecl_scan_restart (self);
}

void
ecl_scan_start_pipeline (ecl_scan_t *self, const bson_t *pipeline)
{
   bson_t none = BSON_INITIALIZER;

   ecl_scan_start (self, &none, false);
   self->pipeline = bson_copy (pipeline);
   bson_destroy (&none);
}

void
ecl_scan_restart (ecl_scan_t *self)
{
   self->cursor = 0;
   self->opened = false;
   forget_batch (self);
}

/* {a: 1, b: 1} of the fields that are wanted. */
static void
append_fields (const ecl_scan_t *self, bson_t *to)
{
   for (size_t i = 0; i < 2 && self->fields[i]; i++) {
      BSON_APPEND_INT32 (to, self->fields[i], 1);
   }
}

static void
pipeline_command (const ecl_scan_t *self, const char *collection, uint32_t batch, bson_t *command)
{
   BSON_APPEND_UTF8 (command, "aggregate", collection);
   BSON_APPEND_ARRAY (command, "pipeline", self->pipeline);
   BSON_APPEND_BOOL (command, "allowDiskUse", true);
   ecl_store_cursor ((int32_t) batch, command);
   if (self->majority) {
      ecl_store_read_concern (command);
   }
}

static void
sample_command (const ecl_scan_t *self, const char *collection, uint32_t batch, bson_t *command)
{
   bool all = bson_empty (&self->filter);
   bson_t pipeline, stage, child;

   BSON_APPEND_UTF8 (command, "aggregate", collection);
   BSON_APPEND_ARRAY_BEGIN (command, "pipeline", &pipeline);
   if (!all) {
      BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
      BSON_APPEND_DOCUMENT (&stage, "$match", &self->filter);
      bson_append_document_end (&pipeline, &stage);
   }
   /* As the first stage it need not read the collection. */
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, all ? "0" : "1", &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&stage, "$sample", &child);
   BSON_APPEND_INT64 (&child, "size", self->sample);
   bson_append_document_end (&stage, &child);
   bson_append_document_end (&pipeline, &stage);
   if (self->fields[0]) {
      BSON_APPEND_DOCUMENT_BEGIN (&pipeline, all ? "1" : "2", &stage);
      BSON_APPEND_DOCUMENT_BEGIN (&stage, "$project", &child);
      append_fields (self, &child);
      bson_append_document_end (&stage, &child);
      bson_append_document_end (&pipeline, &stage);
   }
   bson_append_array_end (command, &pipeline);
   /* Of more than a twentieth of the documents it is a sort, and whole documents soon take more memory than one has. */
   BSON_APPEND_BOOL (command, "allowDiskUse", true);
   ecl_store_cursor ((int32_t) batch, command);
}

void
ecl_scan_command (ecl_scan_t *self, const char *collection, uint32_t batch, bson_t *command)
{
   bson_t child;

   if (self->at == self->n) {
      forget_batch (self);
   }
   bson_init (command);
   if (self->opened) {
      BSON_APPEND_INT64 (command, "getMore", self->cursor);
      BSON_APPEND_UTF8 (command, "collection", collection);
      BSON_APPEND_INT32 (command, "batchSize", (int32_t) batch);
      return;
   }
   if (self->pipeline) {
      pipeline_command (self, collection, batch, command);
      return;
   }
   if (self->sample) {
      sample_command (self, collection, batch, command);
      return;
   }
   BSON_APPEND_UTF8 (command, "find", collection);
   BSON_APPEND_DOCUMENT (command, "filter", &self->filter);
   if (self->fields[0]) {
      BSON_APPEND_DOCUMENT_BEGIN (command, "projection", &child);
      append_fields (self, &child);
      if (self->sizes) {
         bson_t size;

         BSON_APPEND_DOCUMENT_BEGIN (&child, ECL_SCAN_SIZE, &size);
         BSON_APPEND_UTF8 (&size, "$bsonSize", "$$ROOT");
         bson_append_document_end (&child, &size);
      }
      bson_append_document_end (command, &child);
   }
   if (self->ordered) {
      BSON_APPEND_DOCUMENT_BEGIN (command, "sort", &child);
      BSON_APPEND_INT32 (&child, "_id", 1);
      bson_append_document_end (command, &child);
   }
   if (self->hinted) {
      BSON_APPEND_DOCUMENT_BEGIN (command, "hint", &child);
      BSON_APPEND_INT32 (&child, "_id", 1);
      bson_append_document_end (command, &child);
   }
   if (self->ordered || self->majority) {
      ecl_store_read_concern (command);
   }
   if (self->limit) {
      BSON_APPEND_INT64 (command, "limit", self->limit);
      BSON_APPEND_BOOL (command, "singleBatch", true);
      batch = (uint32_t) self->limit;
   }
   BSON_APPEND_INT32 (command, "batchSize", (int32_t) batch);
}

bool
ecl_scan_take (ecl_scan_t *self, bson_t *reply, bson_error_t *error)
{
   ecl_value_t root, cursor, list, id, item;
   uint32_t cap = 0;
   ecl_iter_t iter;

   forget_batch (self);
   bson_destroy (&self->batch);
   if (bson_steal (&self->batch, reply)) {
      bson_init (reply);
   } else {
      bson_copy_to (reply, &self->batch);
   }
   if (!ecl_bson_validate (bson_get_data (&self->batch), self->batch.len, error)) {
      return false;
   }
   root = ecl_raw_document (bson_get_data (&self->batch), self->batch.len);
   cursor = ecl_document_get (&root, "cursor", 6);
   if (cursor.type == BSON_TYPE_DOCUMENT) {
      list = ecl_document_get (&cursor, self->opened ? "nextBatch" : "firstBatch", self->opened ? 9 : 10);
      id = ecl_document_get (&cursor, "id", 2);
   }
   if (cursor.type != BSON_TYPE_DOCUMENT || list.type != BSON_TYPE_ARRAY ||
       (id.type != BSON_TYPE_INT64 && id.type != BSON_TYPE_INT32)) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "the server's reply holds no cursor");
   }
   ecl_iter_init (&iter, &list);
   while (ecl_iter_item (&iter, &item)) {
      if (item.type != BSON_TYPE_DOCUMENT) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "the server's cursor holds what is no document");
      }
      if (self->n == cap) {
         self->items = ecl_arena_grow (&self->arena, self->items, cap * sizeof item, (2 * cap + 64) * sizeof item);
         cap = 2 * cap + 64;
      }
      self->items[self->n++] = item;
   }
   self->seen += self->n;
   self->cursor = id.u.i64;
   self->opened = true;
   return true;
}

bool
ecl_scan_next (ecl_scan_t *self, ecl_world_t *world, const char *database, const char *collection, uint32_t batch,
               const ecl_value_t **item, bson_error_t *error)
{
   *item = NULL;
   self->lost = false;
   while (self->at == self->n && (!self->opened || self->cursor)) {
      int64_t deadline = world->now (world) + ECL_WORLD_TIMEOUT;
      bson_t command, reply;
      ecl_call_t call = {.database = database, .command = &command};
      ecl_reply_t answer;
      bson_error_t why = {0};
      bool good;

      ecl_scan_command (self, collection, batch, &command);
      if (self->opened) {
         /* What it brought, and was lost, the next one does not bring. */
         answer = world->run_command (world, &call, deadline, &reply, &why);
         self->lost = ecl_scan_lost (answer, why.code);
      } else {
         answer = ecl_insist (world, database, &command, deadline, NULL, &reply, &why);
         self->lost = answer == ECL_REPLY_REFUSED && ecl_scan_gone (why.code);
      }
      good = answer == ECL_REPLY_OK && ecl_scan_take (self, &reply, &why);
      bson_destroy (&reply);
      bson_destroy (&command);
      if (!good) {
         if (error) {
            *error = why;
         }
         return false;
      }
   }
   if (self->at < self->n) {
      *item = &self->items[self->at++];
   }
   return true;
}

bool
ecl_scan_gone (uint32_t code)
{
   return code == 43 /* CursorNotFound */ || code == 175 /* QueryPlanKilled */ || code == 237 /* CursorKilled */ ||
          code == 28799 /* of $sample: by chance it met the same documents again and again */;
}

bool
ecl_scan_lost (ecl_reply_t answer, uint32_t code)
{
   return answer == ECL_REPLY_LOST ||
          (answer == ECL_REPLY_REFUSED && (ecl_scan_gone (code) || ecl_insist_passing (code)));
}

bool
ecl_scan_again (ecl_scan_t *self, ecl_world_t *world)
{
   if (!self->lost || ++self->losses > LOSSES_MAX || !world->wait (world, PAUSE_MS)) {
      return false;
   }
   self->seen = 0;
   self->lost = false; /* the caller may open the next one itself */
   ecl_scan_restart (self);
   return true;
}

bool
ecl_scan_one (ecl_world_t *world, const char *database, const char *collection, const ecl_value_t *id,
              const char *field, ecl_arena_t *arena, ecl_value_t *document, bson_error_t *error)
{
   bson_t filter = BSON_INITIALIZER;
   const ecl_value_t *item;
   ecl_scan_t scan;
   bool good;

   ecl_append_value (&filter, "_id", id);
   ecl_scan_init (&scan);
   ecl_scan_start (&scan, &filter, true);
   scan.fields[0] = field;
   good = ecl_scan_next (&scan, world, database, collection, 1, &item, error);
   *document = good && item ? ecl_value_copy (arena, item) : ecl_missing ();
   ecl_scan_cleanup (&scan);
   bson_destroy (&filter);
   return good;
}
