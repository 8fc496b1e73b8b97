/* Counting documents per version: see survey.h. */
#include "run/survey.h"

#include "store/store.h"
#include "upgrade/pushdown.h"

void
ecl_survey_candidates (const ecl_chain_t *chain, size_t target, bool down, bson_t *filter)
{
   size_t first = down ? 0 : target, last = down ? target : chain->n_steps;
   bson_t list, one;
   char buffer[16];
   const char *key;

   bson_init (filter);
   BSON_APPEND_ARRAY_BEGIN (filter, "$nor", &list);
   for (size_t i = first; i <= last; i++) {
      bson_uint32_to_string ((uint32_t) (i - first), &key, buffer, sizeof buffer);
      ecl_pushdown_filter (chain, i, &one);
      bson_append_document (&list, key, -1, &one);
      bson_destroy (&one);
   }
   bson_append_array_end (filter, &list);
}

static bool
count (ecl_world_t *world, const char *database, const bson_t *command, int64_t *n, bson_error_t *error)
{
   bson_iter_t iter, found;
   bson_t reply;
   bool good = ecl_world_call (world, database, command, &reply, error);

   *n = 0;
   if (good && bson_iter_init (&iter, &reply) && bson_iter_find_descendant (&iter, "cursor.firstBatch.0.n", &found) &&
       BSON_ITER_HOLDS_NUMBER (&found)) {
      *n = bson_iter_as_int64 (&found);
   }
   bson_destroy (&reply);
   return good;
}

bool
ecl_survey_count (ecl_world_t *world, const char *database, const char *collection, const bson_t *filter, int64_t *n,
                  bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, pipeline, stage, cursor;
   bool good;

   BSON_APPEND_UTF8 (&command, "aggregate", collection);
   BSON_APPEND_ARRAY_BEGIN (&command, "pipeline", &pipeline);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
   BSON_APPEND_DOCUMENT (&stage, "$match", filter);
   bson_append_document_end (&pipeline, &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "1", &stage);
   BSON_APPEND_UTF8 (&stage, "$count", "n");
   bson_append_document_end (&pipeline, &stage);
   bson_append_array_end (&command, &pipeline);
   BSON_APPEND_DOCUMENT_BEGIN (&command, "cursor", &cursor);
   bson_append_document_end (&command, &cursor);
   ecl_store_read_concern (&command);
   good = count (world, database, &command, n, error);
   bson_destroy (&command);
   return good;
}

bool
ecl_survey (ecl_world_t *world, const char *database, const ecl_chain_t *chain, size_t target, ecl_arena_t *arena,
            ecl_survey_t *out, bson_error_t *error)
{
   bson_t filter;
   bool good = true;

   memset (out, 0, sizeof *out);
   out->counts = ecl_arena_array (arena, int64_t, chain->n_steps + 1);
   out->first = target;
   for (size_t i = 0; i <= chain->n_steps && good; i++) {
      ecl_pushdown_filter (chain, i, &filter);
      good = ecl_survey_count (world, database, chain->collection, &filter, &out->counts[i], error);
      bson_destroy (&filter);
      if (good && i != target) {
         out->not_at += out->counts[i];
         out->first = out->counts[i] && i < out->first ? i : out->first;
      }
   }
   if (good) {
      ecl_pushdown_filter_outside (chain, &filter);
      good = ecl_survey_count (world, database, chain->collection, &filter, &out->outside, error);
      out->not_at += out->outside;
      bson_destroy (&filter);
   }
   if (good) {
      ecl_quarantine_count (chain->collection, &filter);
      good = count (world, database, &filter, &out->quarantined, error);
      bson_destroy (&filter);
   }
   return good;
}
