/* eclose_jobs: a record per run. */
#include "store/store.h"

/* Text that a pipeline shall not read as a path. */
static void
append_text (bson_t *set, const char *key, const char *text)
{
   bson_t literal;

   BSON_APPEND_DOCUMENT_BEGIN (set, key, &literal);
   BSON_APPEND_UTF8 (&literal, "$literal", text);
   bson_append_document_end (set, &literal);
}

static void
append_count (bson_t *set, const char *key, int64_t n)
{
   BSON_APPEND_INT64 (set, key, n);
}

static void
append_record (const ecl_job_t *job, bool begin, bool ended, bson_t *set)
{
   append_text (set, "kind", job->kind);
   append_text (set, "collection", job->collection);
   append_text (set, "to", job->to);
   append_text (set, "mode", job->mode);
   append_text (set, "state", job->state);
   append_count (set, "counts.total", job->total);
   append_count (set, "counts.changed", job->changed);
   append_count (set, "counts.conflicts", job->conflicts);
   append_count (set, "counts.quarantined", job->quarantined);
   if (job->host) {
      append_text (set, "host", job->host);
   }
   append_count (set, "pid", job->pid);
   if (begin) {
      BSON_APPEND_UTF8 (set, "started", "$$NOW");
   }
   BSON_APPEND_UTF8 (set, "seen", "$$NOW");
   if (ended) {
      BSON_APPEND_UTF8 (set, "ended", "$$NOW");
   }
   if (job->error) {
      append_text (set, "error", job->error);
   }
}

void
ecl_job_write (const ecl_job_t *job, bool begin, bool ended, bson_t *command)
{
   bson_t updates, update, query, pipeline, stage, set;
   bson_oid_t id;

   bson_oid_init_from_data (&id, job->id);
   bson_init (command);
   BSON_APPEND_UTF8 (command, "update", ECL_STORE_JOBS);
   BSON_APPEND_ARRAY_BEGIN (command, "updates", &updates);
   BSON_APPEND_DOCUMENT_BEGIN (&updates, "0", &update);
   BSON_APPEND_DOCUMENT_BEGIN (&update, "q", &query);
   BSON_APPEND_OID (&query, "_id", &id);
   bson_append_document_end (&update, &query);
   BSON_APPEND_ARRAY_BEGIN (&update, "u", &pipeline);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&stage, "$set", &set);
   append_record (job, begin, ended, &set);
   bson_append_document_end (&stage, &set);
   bson_append_document_end (&pipeline, &stage);
   bson_append_array_end (&update, &pipeline);
   BSON_APPEND_BOOL (&update, "upsert", true);
   bson_append_document_end (&updates, &update);
   bson_append_array_end (command, &updates);
   ecl_store_write_concern (command);
}

void
ecl_job_find (const char *collection, int32_t limit, bson_t *command)
{
   bson_t filter, sort;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "find", ECL_STORE_JOBS);
   BSON_APPEND_DOCUMENT_BEGIN (command, "filter", &filter);
   BSON_APPEND_UTF8 (&filter, "collection", collection);
   bson_append_document_end (command, &filter);
   BSON_APPEND_DOCUMENT_BEGIN (command, "sort", &sort);
   BSON_APPEND_INT32 (&sort, "started", -1);
   bson_append_document_end (command, &sort);
   BSON_APPEND_INT32 (command, "limit", limit);
   BSON_APPEND_BOOL (command, "singleBatch", true);
   ecl_store_read_concern (command);
}
