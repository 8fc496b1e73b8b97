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

/* What a server says when a command's time is over: its own limit, and a router's. */
#define MAX_TIME_EXPIRED 50
#define EXCEEDED_TIME_LIMIT 262

/* True with *late where the time was not enough; without late (NULL) that is an error as any other. */
static bool
ask (ecl_world_t *world, const char *database, const bson_t *command, int64_t deadline, bool *late, bson_t *reply,
     bson_error_t *error)
{
   bson_error_t why = {0};
   ecl_reply_t result = world->run_command (world, &(ecl_call_t){.database = database, .command = command}, deadline,
                                            reply, &why);

   if (late) {
      *late = (result == ECL_REPLY_REFUSED && (why.code == MAX_TIME_EXPIRED || why.code == EXCEEDED_TIME_LIMIT)) ||
              (result == ECL_REPLY_LOST && world->now (world) >= deadline);
   }
   if (result != ECL_REPLY_OK && !(late && *late)) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "%s", why.message);
   }
   return true;
}

static bool
count (ecl_world_t *world, const char *database, const bson_t *command, int64_t deadline, bool *late, int64_t *n,
       bson_error_t *error)
{
   bson_iter_t iter, found;
   bson_t reply;
   bool good = ask (world, database, command, deadline, late, &reply, error);

   *n = 0;
   if (good && bson_iter_init (&iter, &reply) && bson_iter_find_descendant (&iter, "cursor.firstBatch.0.n", &found) &&
       BSON_ITER_HOLDS_NUMBER (&found)) {
      *n = bson_iter_as_int64 (&found);
   }
   bson_destroy (&reply);
   return good;
}

static bool
count_filter (ecl_world_t *world, const char *database, const char *collection, const bson_t *filter, int64_t deadline,
              bool *late, int64_t *n, bson_error_t *error)
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
   good = count (world, database, &command, deadline, late, n, error);
   bson_destroy (&command);
   return good;
}

bool
ecl_survey_count (ecl_world_t *world, const char *database, const char *collection, const bson_t *filter, int64_t *n,
                  bson_error_t *error)
{
   return count_filter (world, database, collection, filter, world->now (world) + ECL_WORLD_TIMEOUT, NULL, n, error);
}

bool
ecl_survey_within (ecl_world_t *world, const char *database, const ecl_chain_t *chain, size_t target,
                   const ecl_survey_options_t *options, ecl_arena_t *arena, ecl_survey_t *out, bson_error_t *error)
{
   size_t n = chain->n_steps + 2; /* the last one: at none of the versions */
   bson_t **filters = ecl_arena_array (arena, bson_t *, n), command;
   ecl_tally_options_t tally = {.database = database,
                                .collection = chain->collection,
                                .filters = (const bson_t *const *) filters,
                                .n_filters = n,
                                .range_docs = options->range_docs,
                                .until = options->until,
                                .progress = options->progress,
                                .context = options->context};
   ecl_tally_t end;

   memset (out, 0, sizeof *out);
   out->counts = ecl_arena_array (arena, int64_t, n);
   out->first = target;
   for (size_t i = 0; i < n; i++) {
      bson_t filter;

      if (i + 1 < n) {
         ecl_pushdown_filter (chain, i, &filter);
      } else {
         ecl_pushdown_filter_outside (chain, &filter);
      }
      filters[i] = bson_copy (&filter);
      bson_destroy (&filter);
   }
   end = ecl_tally (world, &tally, out->counts, error);
   for (size_t i = 0; i < n; i++) {
      bson_destroy (filters[i]);
   }
   out->late = end == ECL_TALLY_LATE;
   out->outside = out->counts[n - 1];
   for (size_t i = 0; i < n; i++) {
      if (i != target) {
         out->not_at += out->counts[i];
         out->first = out->counts[i] && i < out->first ? i : out->first;
      }
   }
   if (end != ECL_TALLY_ALL) {
      return out->late;
   }
   ecl_quarantine_count (chain->collection, &command);
   if (!count (world, database, &command, world->now (world) + ECL_WORLD_TIMEOUT, NULL, &out->quarantined, error)) {
      end = ECL_TALLY_FAILED;
   }
   bson_destroy (&command);
   return end == ECL_TALLY_ALL;
}

bool
ecl_survey (ecl_world_t *world, const char *database, const ecl_chain_t *chain, size_t target, ecl_arena_t *arena,
            ecl_survey_t *out, bson_error_t *error)
{
   return ecl_survey_within (world, database, chain, target, &(ecl_survey_options_t){0}, arena, out, error);
}

bool
ecl_survey_any (ecl_world_t *world, const char *database, const ecl_chain_t *chain, size_t target, int64_t deadline,
                bool *any, bool *late, bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, nor, list, filter, fields, reply;
   bson_iter_t iter, found;
   bool good;

   BSON_APPEND_UTF8 (&command, "find", chain->collection);
   ecl_pushdown_filter (chain, target, &filter);
   BSON_APPEND_DOCUMENT_BEGIN (&command, "filter", &nor);
   BSON_APPEND_ARRAY_BEGIN (&nor, "$nor", &list);
   BSON_APPEND_DOCUMENT (&list, "0", &filter);
   bson_append_array_end (&nor, &list);
   bson_append_document_end (&command, &nor);
   bson_destroy (&filter);
   BSON_APPEND_DOCUMENT_BEGIN (&command, "projection", &fields);
   BSON_APPEND_INT32 (&fields, "_id", 1);
   bson_append_document_end (&command, &fields);
   BSON_APPEND_INT32 (&command, "limit", 1);
   BSON_APPEND_BOOL (&command, "singleBatch", true);
   ecl_store_read_concern (&command);
   good = ask (world, database, &command, deadline, late, &reply, error);
   *any = good && !*late && bson_iter_init (&iter, &reply) &&
          bson_iter_find_descendant (&iter, "cursor.firstBatch.0", &found);
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}
