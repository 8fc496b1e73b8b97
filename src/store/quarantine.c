/* The commands of quarantine: see quarantine.h. */
#include "store/quarantine.h"

#include "bson/append.h"
#include "store/store.h"

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
   BSON_APPEND_BOOL (set, "sweep", record->sweep);
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

/* Of records of runs that went to none of the versions from `first` up to, not including, `last`. */
static void
append_not_to (bson_t *query, const ecl_chain_t *chain, size_t first, size_t last)
{
   char text[ECL_VERSION_TEXT], buffer[16];
   bson_t to, list;
   const char *key;

   if (first >= last) {
      return;
   }
   BSON_APPEND_DOCUMENT_BEGIN (query, "to", &to);
   BSON_APPEND_ARRAY_BEGIN (&to, "$nin", &list);
   for (size_t i = first; i < last; i++) {
      bson_uint32_to_string ((uint32_t) (i - first), &key, buffer, sizeof buffer);
      BSON_APPEND_UTF8 (&list, key, ecl_version_text (chain->format, ecl_chain_version (chain, i), text));
   }
   bson_append_array_end (&to, &list);
   bson_append_document_end (query, &to);
}

static void
append_stale (bson_t *query, const ecl_chain_t *chain, size_t target, bool down, int64_t before, const uint8_t *job)
{
   size_t first = down ? 0 : target + 1, last = down ? target : chain->n_steps + 1;
   bson_t when, list, one;
   bson_oid_t oid;

   BSON_APPEND_UTF8 (query, "collection", chain->collection);
   BSON_APPEND_DOCUMENT_BEGIN (query, "when", &when);
   BSON_APPEND_DATE_TIME (&when, "$lt", before);
   bson_append_document_end (query, &when);
   if (job) {
      bson_oid_init_from_data (&oid, job);
      BSON_APPEND_ARRAY_BEGIN (query, "$nor", &list);
      BSON_APPEND_DOCUMENT_BEGIN (&list, "0", &one);
      BSON_APPEND_OID (&one, "job", &oid);
      BSON_APPEND_BOOL (&one, "sweep", true);
      bson_append_document_end (&list, &one);
      bson_append_array_end (query, &list);
   }
   append_not_to (query, chain, first, last);
}

void
ecl_quarantine_stale (const ecl_chain_t *chain, size_t target, bool down, int64_t before, const uint8_t *job,
                      bson_t *command)
{
   bson_t filter;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "find", ECL_STORE_QUARANTINE);
   BSON_APPEND_DOCUMENT_BEGIN (command, "filter", &filter);
   append_stale (&filter, chain, target, down, before, job);
   bson_append_document_end (command, &filter);
   ecl_store_single_batch (1, command);
}

void
ecl_quarantine_forget (const ecl_chain_t *chain, size_t target, bool down, int64_t before, const uint8_t *job,
                       bson_t *command)
{
   bson_t filter = BSON_INITIALIZER;

   append_stale (&filter, chain, target, down, before, job);
   ecl_quarantine_drop (&filter, command);
   bson_destroy (&filter);
}

void
ecl_quarantine_drop (const bson_t *filter, bson_t *command)
{
   bson_t deletes, delete;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "delete", ECL_STORE_QUARANTINE);
   BSON_APPEND_ARRAY_BEGIN (command, "deletes", &deletes);
   BSON_APPEND_DOCUMENT_BEGIN (&deletes, "0", &delete);
   BSON_APPEND_DOCUMENT (&delete, "q", filter);
   BSON_APPEND_INT32 (&delete, "limit", 0);
   bson_append_document_end (&deletes, &delete);
   bson_append_array_end (command, &deletes);
   ecl_store_write_concern (command);
}

/* ---- which ---- */

void
ecl_quarantine_filter (const char *collection, const bson_t *ids, bson_t *filter)
{
   bson_t key, list, one;
   bson_iter_t iter;
   char buffer[16];
   const char *name;
   uint32_t n = 0;

   bson_init (filter);
   if (collection) {
      BSON_APPEND_UTF8 (filter, "collection", collection);
   }
   if (!ids || !bson_iter_init (&iter, ids)) {
      return;
   }
   /* The record's whole _id, so that its index is used. */
   BSON_APPEND_DOCUMENT_BEGIN (filter, "_id", &key);
   BSON_APPEND_ARRAY_BEGIN (&key, "$in", &list);
   while (bson_iter_next (&iter)) {
      bson_uint32_to_string (n++, &name, buffer, sizeof buffer);
      BSON_APPEND_DOCUMENT_BEGIN (&list, name, &one);
      BSON_APPEND_UTF8 (&one, "collection", collection ? collection : "");
      bson_append_iter (&one, "id", -1, &iter);
      bson_append_document_end (&list, &one);
   }
   bson_append_array_end (&key, &list);
   bson_append_document_end (filter, &key);
}

void
ecl_quarantine_filter_to (const char *collection, const char *to, bson_t *filter)
{
   ecl_quarantine_filter (collection, NULL, filter);
   BSON_APPEND_UTF8 (filter, "to", to);
}

void
ecl_quarantine_filter_below (const ecl_chain_t *chain, size_t target, bson_t *filter)
{
   bson_t nor, one, version, list;
   char buffer[16];
   const char *key;

   ecl_quarantine_filter (chain->collection, NULL, filter);
   append_not_to (filter, chain, target + 1, chain->n_steps + 1);
   BSON_APPEND_ARRAY_BEGIN (filter, "$nor", &nor);
   BSON_APPEND_DOCUMENT_BEGIN (&nor, "0", &one);
   BSON_APPEND_DOCUMENT_BEGIN (&one, "version", &version);
   if (chain->format != ECL_VERSION_DOTTED) {
      ecl_append_value (&version, "$gte", ecl_chain_stamp (chain, target));
      BSON_APPEND_DOCUMENT_BEGIN (&version, "$not", &list); /* which would match by one of its items */
      BSON_APPEND_UTF8 (&list, "$type", "array");
      bson_append_document_end (&version, &list);
   } else {
      /* Text cannot be compared as versions are. */
      BSON_APPEND_ARRAY_BEGIN (&version, "$in", &list);
      for (size_t i = target; i <= chain->n_steps; i++) {
         bson_uint32_to_string ((uint32_t) (i - target), &key, buffer, sizeof buffer);
         ecl_append_value (&list, key, ecl_chain_stamp (chain, i));
      }
      bson_append_array_end (&version, &list);
   }
   bson_append_document_end (&one, &version);
   bson_append_document_end (&nor, &one);
   bson_append_array_end (filter, &nor);
}

/* ---- what is asked about them ---- */

/* {name: {op: path}} */
static void
append_accumulator (bson_t *group, const char *name, const char *op, const char *path)
{
   bson_t child;

   BSON_APPEND_DOCUMENT_BEGIN (group, name, &child);
   BSON_APPEND_UTF8 (&child, op, path);
   bson_append_document_end (group, &child);
}

void
ecl_quarantine_reasons (const bson_t *filter, bson_t *command)
{
   static const char *const keys[][2] = {{"collection", "$collection"}, {"to", "$to"},
                                         {"code", "$error.code"},       {"file", "$error.file"},
                                         {"line", "$error.line"},       {"column", "$error.column"}};
   bson_t pipeline, stage, child, key;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "aggregate", ECL_STORE_QUARANTINE);
   BSON_APPEND_ARRAY_BEGIN (command, "pipeline", &pipeline);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
   BSON_APPEND_DOCUMENT (&stage, "$match", filter);
   bson_append_document_end (&pipeline, &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "1", &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&stage, "$sort", &child); /* which one is shown does not change from call to call */
   BSON_APPEND_INT32 (&child, "_id", 1);
   bson_append_document_end (&stage, &child);
   bson_append_document_end (&pipeline, &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "2", &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&stage, "$group", &child);
   BSON_APPEND_DOCUMENT_BEGIN (&child, "_id", &key);
   for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
      BSON_APPEND_UTF8 (&key, keys[i][0], keys[i][1]);
   }
   bson_append_document_end (&child, &key);
   BSON_APPEND_DOCUMENT_BEGIN (&child, "n", &key);
   BSON_APPEND_INT32 (&key, "$sum", 1);
   bson_append_document_end (&child, &key);
   append_accumulator (&child, "path", "$first", "$error.path");
   append_accumulator (&child, "message", "$first", "$error.message");
   append_accumulator (&child, "id", "$first", "$_id.id");
   append_accumulator (&child, "first", "$min", "$when");
   append_accumulator (&child, "last", "$max", "$when");
   bson_append_document_end (&stage, &child);
   bson_append_document_end (&pipeline, &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "3", &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&stage, "$sort", &child);
   BSON_APPEND_INT32 (&child, "n", -1);
   BSON_APPEND_INT32 (&child, "_id", 1);
   bson_append_document_end (&stage, &child);
   bson_append_document_end (&pipeline, &stage);
   bson_append_array_end (command, &pipeline);
   ecl_store_cursor (1000, command);
   ecl_store_read_concern (command);
}
