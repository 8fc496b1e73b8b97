/* Documents below a version: see complete_count.h. */
#include "backfill/complete_count.h"

#include "bson/append.h"
#include "store/store.h"
#include "upgrade/pushdown.h"

/* ---- filters ---- */

void
ecl_complete_append_later (bson_t *one, const ecl_chain_t *chain, size_t target)
{
   bson_t and, part, test, nor, filter;
   char buffer[16];
   const char *key;

   if (chain->format != ECL_VERSION_DOTTED) {
      BSON_APPEND_DOCUMENT_BEGIN (one, chain->version_field, &test);
      ecl_append_value (&test, "$gt", ecl_chain_stamp (chain, target));
      BSON_APPEND_DOCUMENT_BEGIN (&test, "$not", &part); /* which would match by one of its items */
      BSON_APPEND_UTF8 (&part, "$type", "array");
      bson_append_document_end (&test, &part);
      bson_append_document_end (one, &test);
      return;
   }
   /* Text cannot be compared as versions are: all but the ones that are known not to be later. */
   BSON_APPEND_ARRAY_BEGIN (one, "$and", &and);
   BSON_APPEND_DOCUMENT_BEGIN (&and, "0", &part);
   BSON_APPEND_DOCUMENT_BEGIN (&part, chain->version_field, &test);
   BSON_APPEND_UTF8 (&test, "$type", "string");
   bson_append_document_end (&part, &test);
   bson_append_document_end (&and, &part);
   BSON_APPEND_DOCUMENT_BEGIN (&and, "1", &part);
   BSON_APPEND_ARRAY_BEGIN (&part, "$nor", &nor);
   for (size_t i = 0; i <= target; i++) {
      bson_uint32_to_string ((uint32_t) i, &key, buffer, sizeof buffer);
      ecl_pushdown_filter (chain, i, &filter);
      bson_append_document (&nor, key, -1, &filter);
      bson_destroy (&filter);
   }
   bson_append_array_end (&part, &nor);
   bson_append_document_end (&and, &part);
   bson_append_array_end (one, &and);
}

/* The filter for documents that are neither at the version nor at a later one. */
static void
make_below (const ecl_chain_t *chain, size_t target, bson_t *filter)
{
   bson_t nor, one;

   bson_init (filter);
   BSON_APPEND_ARRAY_BEGIN (filter, "$nor", &nor);
   ecl_pushdown_filter (chain, target, &one);
   BSON_APPEND_DOCUMENT (&nor, "0", &one);
   bson_destroy (&one);
   BSON_APPEND_DOCUMENT_BEGIN (&nor, "1", &one);
   ecl_complete_append_later (&one, chain, target);
   bson_append_document_end (&nor, &one);
   bson_append_array_end (filter, &nor);
}

/* What an index on the version's field finds by its bounds: all that is below is in it, where no version is an array.
 */
static void
make_bounded (const ecl_chain_t *chain, size_t target, const bson_t *below, bson_t *filter)
{
   bson_t both, one, test, at;

   bson_init (filter);
   BSON_APPEND_ARRAY_BEGIN (filter, "$and", &both);
   BSON_APPEND_DOCUMENT_BEGIN (&both, "0", &one);
   BSON_APPEND_DOCUMENT_BEGIN (&one, chain->version_field, &test);
   BSON_APPEND_DOCUMENT_BEGIN (&test, "$not", &at);
   ecl_append_value (&at, "$gte", ecl_chain_stamp (chain, target));
   bson_append_document_end (&test, &at);
   bson_append_document_end (&one, &test);
   bson_append_document_end (&both, &one);
   BSON_APPEND_DOCUMENT (&both, "1", below);
   bson_append_array_end (filter, &both);
}

/* ---- by an index ---- */

/* One on the version's field, with every document in it. NULL: none. Versions with dots are text, whose order says
 * nothing.
 */
static const ecl_index_t *
serving (const ecl_facts_t *facts, const ecl_chain_t *chain)
{
   ecl_field_t first;
   ecl_iter_t iter;

   for (size_t i = 0; chain->format != ECL_VERSION_DOTTED && i < facts->n_indexes; i++) {
      const ecl_index_t *index = &facts->indexes[i];

      if (!index->whole) {
         continue;
      }
      ecl_iter_init (&iter, &index->keys);
      if (ecl_iter_field (&iter, &first) && ecl_key_is (&first, chain->version_field)) {
         return index;
      }
   }
   return NULL;
}

typedef struct {
   const char *field;
   bool index, arrays, whole, scan;
} plan_t;

/* Looks through a plan, as deep as it is: what explain answers is another thing in each release. */
static void
read_plan (const bson_iter_t *at, plan_t *plan, int depth)
{
   bson_iter_t child, bound;

   if (depth > 20 || !bson_iter_recurse (at, &child)) {
      return;
   }
   while (bson_iter_next (&child)) {
      const char *key = bson_iter_key (&child);

      if (strcmp (key, "stage") == 0 && BSON_ITER_HOLDS_UTF8 (&child)) {
         plan->index = plan->index || strcmp (bson_iter_utf8 (&child, NULL), "IXSCAN") == 0;
         plan->scan = plan->scan || strcmp (bson_iter_utf8 (&child, NULL), "COLLSCAN") == 0;
      } else if (strcmp (key, "isMultiKey") == 0) {
         plan->arrays = plan->arrays || bson_iter_as_bool (&child);
      } else if (strcmp (key, plan->field) == 0 && BSON_ITER_HOLDS_ARRAY (&child) &&
                 bson_iter_recurse (&child, &bound)) {
         while (bson_iter_next (&bound)) {
            plan->whole = plan->whole || (BSON_ITER_HOLDS_UTF8 (&bound) &&
                                          strcmp (bson_iter_utf8 (&bound, NULL), "[MinKey, MaxKey]") == 0);
         }
      } else if (BSON_ITER_HOLDS_DOCUMENT (&child) || BSON_ITER_HOLDS_ARRAY (&child)) {
         read_plan (&child, plan, depth + 1);
      }
   }
}

/* Whether the server would only look where documents below may be. */
static bool
is_bounded (const ecl_site_t *site, const ecl_chain_t *chain, const ecl_index_t *index, const bson_t *filter)
{
   bson_t command = BSON_INITIALIZER, find, reply;
   plan_t plan = {.field = chain->version_field};
   bson_iter_t iter, winning;
   bson_error_t ignored;

   BSON_APPEND_DOCUMENT_BEGIN (&command, "explain", &find);
   BSON_APPEND_UTF8 (&find, "find", chain->collection);
   BSON_APPEND_DOCUMENT (&find, "filter", filter);
   BSON_APPEND_UTF8 (&find, "hint", index->name);
   bson_append_document_end (&command, &find);
   BSON_APPEND_UTF8 (&command, "verbosity", "queryPlanner");
   if (ecl_world_call (site->world, site->database, &command, &reply, &ignored) && bson_iter_init (&iter, &reply) &&
       bson_iter_find_descendant (&iter, "queryPlanner.winningPlan", &winning)) {
      read_plan (&winning, &plan, 0);
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return plan.index && !plan.scan && !plan.arrays && !plan.whole;
}

/* One command; false where that did not answer it. */
static bool
by_index (const ecl_site_t *site, const ecl_chain_t *chain, const ecl_index_t *index, const bson_t *filter,
          ecl_complete_count_t *out)
{
   bson_t command, reply;
   ecl_call_t call = {.database = site->database, .command = &command};
   bson_error_t ignored;
   bool good;

   ecl_store_count (chain->collection, filter, ECL_COMPLETE_COUNT_ENOUGH, &command);
   BSON_APPEND_UTF8 (&command, "hint", index->name);
   ecl_store_read_concern (&command);
   good = site->world->run_command (site->world, &call, site->world->now (site->world) + ECL_TALLY_MS, &reply,
                                    &ignored) == ECL_REPLY_OK;
   if (good) {
      out->n = ecl_store_number (&reply, "cursor.firstBatch.0.n");
      out->at_least = out->n >= ECL_COMPLETE_COUNT_ENOUGH;
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

/* ---- both ---- */

bool
ecl_complete_count_below (const ecl_site_t *site, const ecl_facts_t *facts, const ecl_chain_t *chain, size_t target,
                          const ecl_complete_count_options_t *options, ecl_complete_count_t *out, bson_error_t *error)
{
   const ecl_index_t *index = site->server.vouched ? serving (facts, chain) : NULL;
   bson_t below, bounded;
   bool good = false;

   memset (out, 0, sizeof *out);
   make_below (chain, target, &below);
   if (index) {
      make_bounded (chain, target, &below, &bounded);
      good = is_bounded (site, chain, index, &bounded) && by_index (site, chain, index, &bounded, out);
      bson_destroy (&bounded);
   }
   good = good || ecl_complete_count (site, chain, &below, options, out, error);
   bson_destroy (&below);
   return good;
}

bool
ecl_complete_count (const ecl_site_t *site, const ecl_chain_t *chain, const bson_t *filter,
                    const ecl_complete_count_options_t *options, ecl_complete_count_t *out, bson_error_t *error)
{
   ecl_tally_options_t tally = {.database = site->database,
                                .collection = chain->collection,
                                .filters = &filter,
                                .n_filters = 1,
                                .look = options->look,
                                .enough = ECL_COMPLETE_COUNT_ENOUGH,
                                .progress = options->progress,
                                .context = options->context};

   switch (ecl_tally (site->world, &tally, &out->n, error)) {
   case ECL_TALLY_ALL:
      out->at_least = false;
      return true;
   case ECL_TALLY_ENOUGH:
      out->at_least = true;
      return true;
   default:
      ecl_error_prefix (error, "%s: counting", chain->collection);
      return false;
   }
}
