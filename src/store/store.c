/* What all records of eclose's own have in common: see store.h. */
#include "store/store.h"

void
ecl_store_write_concern (bson_t *command)
{
   bson_t concern;

   BSON_APPEND_DOCUMENT_BEGIN (command, "writeConcern", &concern);
   BSON_APPEND_UTF8 (&concern, "w", "majority");
   BSON_APPEND_BOOL (&concern, "j", true);
   BSON_APPEND_INT32 (&concern, "wtimeout", ECL_STORE_WTIMEOUT);
   bson_append_document_end (command, &concern);
}

void
ecl_store_read_concern (bson_t *command)
{
   bson_t concern;

   BSON_APPEND_DOCUMENT_BEGIN (command, "readConcern", &concern);
   BSON_APPEND_UTF8 (&concern, "level", "majority");
   bson_append_document_end (command, &concern);
}

void
ecl_store_single_batch (int32_t limit, bson_t *command)
{
   BSON_APPEND_INT32 (command, "limit", limit);
   BSON_APPEND_INT32 (command, "batchSize", limit); /* without it the server's own, of some 100 documents */
   BSON_APPEND_BOOL (command, "singleBatch", true);
   ecl_store_read_concern (command);
}

void
ecl_store_cursor (int32_t batch, bson_t *command)
{
   bson_t cursor;

   BSON_APPEND_DOCUMENT_BEGIN (command, "cursor", &cursor);
   if (batch) {
      BSON_APPEND_INT32 (&cursor, "batchSize", batch);
   }
   bson_append_document_end (command, &cursor);
}

void
ecl_store_append_text (bson_t *to, const char *key, const char *text)
{
   bson_t literal;

   BSON_APPEND_DOCUMENT_BEGIN (to, key, &literal);
   BSON_APPEND_UTF8 (&literal, "$literal", text);
   bson_append_document_end (to, &literal);
}

bool
ecl_store_view (const bson_iter_t *at, bson_t *document)
{
   const uint8_t *data;
   uint32_t len;

   if (!BSON_ITER_HOLDS_DOCUMENT (at)) {
      return false;
   }
   bson_iter_document (at, &len, &data);
   return bson_init_static (document, data, len);
}

int64_t
ecl_store_number (const bson_t *document, const char *path)
{
   bson_iter_t iter, found;

   if (!bson_iter_init (&iter, document) || !bson_iter_find_descendant (&iter, path, &found)) {
      return 0;
   }
   return BSON_ITER_HOLDS_DATE_TIME (&found) ? bson_iter_date_time (&found)
          : BSON_ITER_HOLDS_NUMBER (&found)  ? bson_iter_as_int64 (&found)
                                             : 0;
}

void
ecl_store_read_text (const bson_t *document, const char *key, char *out, size_t size)
{
   bson_iter_t iter;

   if (bson_iter_init_find (&iter, document, key) && BSON_ITER_HOLDS_UTF8 (&iter)) {
      bson_strncpy (out, bson_iter_utf8 (&iter, NULL), size);
   }
}

bool
ecl_store_first (const bson_t *reply, bson_t *document)
{
   bson_iter_t iter, first;

   return bson_iter_init (&iter, reply) && bson_iter_find_descendant (&iter, "cursor.firstBatch.0", &first) &&
          ecl_store_view (&first, document);
}

void
ecl_store_count (const char *collection, const bson_t *filter, int64_t limit, bson_t *command)
{
   bson_t pipeline, stage;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "aggregate", collection);
   BSON_APPEND_ARRAY_BEGIN (command, "pipeline", &pipeline);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
   BSON_APPEND_DOCUMENT (&stage, "$match", filter);
   bson_append_document_end (&pipeline, &stage);
   if (limit) {
      BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "1", &stage);
      BSON_APPEND_INT64 (&stage, "$limit", limit);
      bson_append_document_end (&pipeline, &stage);
   }
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, limit ? "2" : "1", &stage);
   BSON_APPEND_UTF8 (&stage, "$count", "n");
   bson_append_document_end (&pipeline, &stage);
   bson_append_array_end (command, &pipeline);
   ecl_store_cursor (0, command);
}
