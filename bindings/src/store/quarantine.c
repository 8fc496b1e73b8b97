/* eclose_quarantine: documents that could not be carried over, with the reason. */
#include "store/store.h"

#include "upgrade/append.h"

/* Messages of servers can quote whole documents. */
#define MESSAGE_MAX 2000

void
ecl_quarantine_begin (ecl_quarantine_writer_t *self, bson_t *command)
{
   self->command = command;
   self->n = 0;
   self->size = 0;
   bson_init (command);
   BSON_APPEND_UTF8 (command, "update", ECL_STORE_QUARANTINE);
   BSON_APPEND_BOOL (command, "ordered", false);
   ecl_store_write_concern (command);
   BSON_APPEND_ARRAY_BEGIN (command, "updates", &self->updates);
}

static void
append_text (bson_t *to, const char *key, const char *text)
{
   bson_t literal;
   size_t len = strlen (text);

   if (len > MESSAGE_MAX) {
      /* Not through a character. */
      for (len = MESSAGE_MAX; len > 0 && ((uint8_t) text[len] & 0xC0) == 0x80; len--) {
      }
   }
   BSON_APPEND_DOCUMENT_BEGIN (to, key, &literal);
   bson_append_utf8 (&literal, "$literal", -1, text, (int) len);
   bson_append_document_end (to, &literal);
}

static void
append_set (bson_t *set, const ecl_quarantined_t *record)
{
   ecl_field_t literal = ecl_field ("$literal", 8, record->version);
   ecl_value_t version = ecl_fields (&literal, 1);
   bson_oid_t job;
   bson_t error;

   bson_oid_init_from_data (&job, record->job);
   append_text (set, "collection", record->collection);
   if (record->version.type != ECL_MISSING) {
      ecl_append_value (set, "version", &version);
   }
   append_text (set, "to", record->to);
   BSON_APPEND_DOCUMENT_BEGIN (set, "error", &error);
   BSON_APPEND_INT32 (&error, "code", record->code);
   append_text (&error, "message", record->message);
   append_text (&error, "path", record->path);
   append_text (&error, "file", record->file);
   BSON_APPEND_INT32 (&error, "line", (int32_t) record->line);
   BSON_APPEND_INT32 (&error, "column", (int32_t) record->column);
   bson_append_document_end (set, &error);
   BSON_APPEND_UTF8 (set, "when", "$$NOW");
   BSON_APPEND_OID (set, "job", &job);
}

void
ecl_quarantine_append (ecl_quarantine_writer_t *self, const ecl_quarantined_t *record)
{
   bson_t update, query, id, pipeline, stage, set;
   char buffer[16];
   const char *key;

   bson_uint32_to_string (self->n++, &key, buffer, sizeof buffer);
   BSON_APPEND_DOCUMENT_BEGIN (&self->updates, key, &update);
   BSON_APPEND_DOCUMENT_BEGIN (&update, "q", &query);
   BSON_APPEND_DOCUMENT_BEGIN (&query, "_id", &id);
   BSON_APPEND_UTF8 (&id, "collection", record->collection);
   ecl_append_value (&id, "id", &record->id);
   bson_append_document_end (&query, &id);
   bson_append_document_end (&update, &query);
   BSON_APPEND_ARRAY_BEGIN (&update, "u", &pipeline);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&stage, "$set", &set);
   append_set (&set, record);
   bson_append_document_end (&stage, &set);
   bson_append_document_end (&pipeline, &stage);
   bson_append_array_end (&update, &pipeline);
   BSON_APPEND_BOOL (&update, "upsert", true);
   self->size += update.len;
   bson_append_document_end (&self->updates, &update);
}

void
ecl_quarantine_end (ecl_quarantine_writer_t *self)
{
   bson_append_array_end (self->command, &self->updates);
}

void
ecl_quarantine_count (const char *collection, bson_t *command)
{
   bson_t pipeline, stage, match, cursor;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "aggregate", ECL_STORE_QUARANTINE);
   BSON_APPEND_ARRAY_BEGIN (command, "pipeline", &pipeline);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&stage, "$match", &match);
   BSON_APPEND_UTF8 (&match, "collection", collection);
   bson_append_document_end (&stage, &match);
   bson_append_document_end (&pipeline, &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "1", &stage);
   BSON_APPEND_UTF8 (&stage, "$count", "n");
   bson_append_document_end (&pipeline, &stage);
   bson_append_array_end (command, &pipeline);
   BSON_APPEND_DOCUMENT_BEGIN (command, "cursor", &cursor);
   bson_append_document_end (command, &cursor);
   ecl_store_read_concern (command);
}

static void
append_stale (bson_t *query, const char *collection, int64_t before)
{
   bson_t when;

   BSON_APPEND_UTF8 (query, "collection", collection);
   BSON_APPEND_DOCUMENT_BEGIN (query, "when", &when);
   BSON_APPEND_DATE_TIME (&when, "$lt", before);
   bson_append_document_end (query, &when);
}

void
ecl_quarantine_stale (const char *collection, int64_t before, bson_t *command)
{
   bson_t filter;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "find", ECL_STORE_QUARANTINE);
   BSON_APPEND_DOCUMENT_BEGIN (command, "filter", &filter);
   append_stale (&filter, collection, before);
   bson_append_document_end (command, &filter);
   BSON_APPEND_INT32 (command, "limit", 1);
   BSON_APPEND_BOOL (command, "singleBatch", true);
   ecl_store_read_concern (command);
}

void
ecl_quarantine_forget (const char *collection, int64_t before, bson_t *command)
{
   bson_t deletes, delete, query;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "delete", ECL_STORE_QUARANTINE);
   BSON_APPEND_ARRAY_BEGIN (command, "deletes", &deletes);
   BSON_APPEND_DOCUMENT_BEGIN (&deletes, "0", &delete);
   BSON_APPEND_DOCUMENT_BEGIN (&delete, "q", &query);
   append_stale (&query, collection, before);
   bson_append_document_end (&delete, &query);
   BSON_APPEND_INT32 (&delete, "limit", 0);
   bson_append_document_end (&deletes, &delete);
   bson_append_array_end (command, &deletes);
   ecl_store_write_concern (command);
}
