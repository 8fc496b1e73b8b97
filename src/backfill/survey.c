/* Counting documents per version: see survey.h. */
#include "backfill/survey.h"

#include "run/insist.h"
#include "store/quarantine.h"
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

bool
ecl_survey_estimate (ecl_world_t *world, const char *database, const char *collection, int64_t *n, bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, reply;
   bool good;

   BSON_APPEND_UTF8 (&command, "count", collection);
   good = ecl_insist_call (world, database, &command, &reply, error);
   *n = good ? ecl_store_number (&reply, "n") : 0;
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

static bool
count_quarantined (ecl_world_t *world, const char *database, const bson_t *filter, int64_t *n, bson_error_t *error)
{
   bson_t command, reply;
   bool good;

   ecl_store_count (ECL_STORE_QUARANTINE, filter, 0, &command);
   ecl_store_read_concern (&command);
   good = ecl_insist_call (world, database, &command, &reply, error);
   *n = good ? ecl_store_number (&reply, "cursor.firstBatch.0.n") : 0;
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

bool
ecl_survey_quarantined (ecl_world_t *world, const char *database, const char *collection, const char *to, int64_t *n,
                        bson_error_t *error)
{
   bson_t filter;
   bool good;

   if (to) {
      ecl_quarantine_filter_to (collection, to, &filter);
   } else {
      ecl_quarantine_filter (collection, NULL, &filter);
   }
   good = count_quarantined (world, database, &filter, n, error);
   bson_destroy (&filter);
   return good;
}

bool
ecl_survey_quarantined_below (ecl_world_t *world, const char *database, const ecl_chain_t *chain, size_t target,
                              int64_t *n, bson_error_t *error)
{
   bson_t filter;
   bool good;

   ecl_quarantine_filter_below (chain, target, &filter);
   good = count_quarantined (world, database, &filter, n, error);
   bson_destroy (&filter);
   return good;
}

bool
ecl_survey_within (ecl_world_t *world, const char *database, const ecl_chain_t *chain, size_t target,
                   const ecl_survey_options_t *options, ecl_arena_t *arena, ecl_survey_t *out, bson_error_t *error)
{
   size_t n = chain->n_steps + 2; /* the last one: at none of the versions */
   bson_t **filters = ecl_arena_array (arena, bson_t *, n);
   ecl_tally_options_t tally = {.database = database,
                                .collection = chain->collection,
                                .filters = (const bson_t *const *) filters,
                                .n_filters = n,
                                .look = options->look,
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
   return end == ECL_TALLY_ALL || out->late;
}

bool
ecl_survey_any (ecl_world_t *world, const char *database, const ecl_chain_t *chain, size_t target, int64_t deadline,
                bool *any, bool *late, bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, nor, list, filter, fields, reply, found;
   ecl_call_t call = {.database = database, .command = &command};
   bson_error_t why = {0};
   ecl_reply_t answer;

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
   ecl_store_single_batch (1, &command);
   answer = world->run_command (world, &call, deadline, &reply, &why);
   *late = (answer == ECL_REPLY_REFUSED && ecl_insist_late (why.code)) ||
           (answer == ECL_REPLY_LOST && world->now (world) >= deadline);
   *any = answer == ECL_REPLY_OK && ecl_store_first (&reply, &found);
   bson_destroy (&reply);
   bson_destroy (&command);
   return answer == ECL_REPLY_OK || *late || ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "%s", why.message);
}
