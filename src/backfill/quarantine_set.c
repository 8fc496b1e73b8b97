/* Documents in quarantine, when their collection is begun again: see quarantine_set.h. */
#include "backfill/quarantine_set.h"

#include "backfill/dry_run.h"
#include "backfill/retry.h"
#include "bson/append.h"
#include "bson/compare.h"
#include "run/scan.h"
#include "store/quarantine.h"

#define BATCH 100

static ecl_value_t
get (const ecl_value_t *document, const char *name)
{
   return ecl_document_get (document, name, strlen (name));
}

/* ---- which ---- */

bool
ecl_quarantine_set_find (const ecl_site_t *site, const char *collection, const char *to, ecl_quarantine_set_t *out,
                         bson_error_t *error)
{
   const ecl_value_t *record;
   char buffer[16];
   const char *key;
   ecl_scan_t scan;
   bson_t filter;
   bool good;

   out->n = 0;
   bson_init (&out->ids);
   ecl_quarantine_filter_to (collection, to, &filter);
   ecl_scan_init (&scan);
   ecl_scan_start (&scan, &filter, true);
   scan.fields[0] = "_id";
   scan.limit = ECL_QUARANTINE_SET_MOST + 1;
   while ((good = ecl_scan_next (&scan, site->world, site->database, ECL_STORE_QUARANTINE, BATCH, &record, error)) &&
          record) {
      ecl_value_t whole = get (record, "_id"), id = get (&whole, "id");

      bson_uint32_to_string (out->n++, &key, buffer, sizeof buffer);
      ecl_append_value (&out->ids, key, &id);
   }
   ecl_scan_cleanup (&scan);
   bson_destroy (&filter);
   out->more = out->n > ECL_QUARANTINE_SET_MOST;
   if (out->more) {
      bson_reinit (&out->ids);
      out->n = 0;
   }
   return good;
}

void
ecl_quarantine_set_cleanup (ecl_quarantine_set_t *self)
{
   bson_destroy (&self->ids);
}

/* {$and: [{_id: {<how>: ids}}, candidates]} */
static void
among (const ecl_quarantine_set_t *self, const char *how, const bson_t *candidates, bson_t *out)
{
   bson_t both, one, id;

   bson_init (out);
   BSON_APPEND_ARRAY_BEGIN (out, "$and", &both);
   BSON_APPEND_DOCUMENT_BEGIN (&both, "0", &one);
   BSON_APPEND_DOCUMENT_BEGIN (&one, "_id", &id);
   BSON_APPEND_ARRAY (&id, how, &self->ids);
   bson_append_document_end (&one, &id);
   bson_append_document_end (&both, &one);
   BSON_APPEND_DOCUMENT (&both, "1", candidates);
   bson_append_array_end (out, &both);
}

void
ecl_quarantine_set_exclude (const ecl_quarantine_set_t *self, const bson_t *candidates, bson_t *out)
{
   if (self->n) {
      among (self, "$nin", candidates, out);
   } else {
      bson_copy_to (candidates, out);
   }
}

/* ---- once more ---- */

typedef enum {
   LOOKED_FOR, /* and not met: it is gone, or the application carried it */
   FAILS,
   GOES, /* or may */
} verdict_t;

typedef struct {
   ecl_value_t id; /* in the list of them */
   verdict_t verdict;
   int32_t code; /* with which it fails */
} one_t;

typedef struct {
   const ecl_site_t *site;
   one_t *ones;
   uint32_t n;
} again_t;

/* NULL: it is none of those that were found. */
static one_t *
one_of (const again_t *self, const ecl_value_t *id)
{
   for (uint32_t i = 0; i < self->n; i++) {
      if (ecl_compare (&self->ones[i].id, id) == 0) {
         return &self->ones[i];
      }
   }
   return NULL;
}

static void
list (const ecl_quarantine_set_t *set, ecl_arena_t *arena, again_t *self)
{
   ecl_value_t ids = ecl_raw_document (bson_get_data (&set->ids), set->ids.len), id;
   ecl_iter_t iter;

   self->ones = ecl_arena_array (arena, one_t, set->n);
   ids.type = BSON_TYPE_ARRAY;
   ecl_iter_init (&iter, &ids);
   while (self->n < set->n && ecl_iter_item (&iter, &id)) {
      self->ones[self->n++] = (one_t){.id = id, .verdict = LOOKED_FOR};
   }
}

/* Runs them here, without writing. */
static bool
sort_out (again_t *self, const ecl_strategy_t *strategy, const bson_t *filter, bson_error_t *error)
{
   ecl_dry_run_t *dry_run = ecl_dry_run_new (self->site, strategy, ECL_DRY_RUN_SINGLE, error);
   const ecl_value_t *document;
   ecl_converted_t converted;
   ecl_scan_t scan;
   bool good;

   if (!dry_run) {
      return false;
   }
   ecl_scan_init (&scan);
   ecl_scan_start (&scan, filter, true);
   do {
      while ((good = ecl_dry_run_next (dry_run, &scan, &document, error)) && document) {
         ecl_value_t id = get (document, "_id");
         one_t *one = one_of (self, &id);

         /* Several have it where a collection is sharded by something else: one of them that goes is enough. */
         if (one && one->verdict != GOES) {
            one->verdict = ecl_dry_run_try (dry_run, document, false, &converted) == ECL_TRIED_FAILS ? FAILS : GOES;
            one->code = converted.code;
         }
      }
   } while (!good && ecl_scan_again (&scan, self->site->world)); /* what was found out stays so */
   ecl_scan_cleanup (&scan);
   ecl_dry_run_destroy (dry_run);
   return good;
}

static bool
take_record (again_t *self, ecl_retry_t *retry, const ecl_value_t *record, ecl_job_counts_t *counts,
             bson_error_t *error)
{
   ecl_world_t *world = self->site->world;
   ecl_value_t whole = get (record, "_id"), id = get (&whole, "id");
   ecl_value_t reason = get (record, "error"), code = get (&reason, "code");
   const one_t *one = one_of (self, &id);

   /* Of one that somebody wrote meanwhile nothing is known. One that fails for another reason gets a new record. */
   if (!one || (one->verdict == FAILS && code.type == BSON_TYPE_INT32 && (int32_t) code.u.i64 == one->code)) {
      counts->quarantined++;
      return true;
   }
   if (one->verdict == LOOKED_FOR) {
      return ecl_retry_forget (retry, record, error);
   }
   if (world->cancelled (world)) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for");
   }
   switch (ecl_retry_record (retry, record, error)) {
   case ECL_RETRY_DONE:
      counts->changed++;
      return true;
   case ECL_RETRY_GONE:
      return true;
   case ECL_RETRY_LEFT:
      counts->quarantined++;
      return true;
   default:
      return false;
   }
}

bool
ecl_quarantine_set_retry (const ecl_quarantine_set_t *self, const ecl_site_t *site, const ecl_strategy_t *strategy,
                          const char *to, const bson_t *candidates, ecl_job_counts_t *counts, bson_error_t *error)
{
   again_t again = {.site = site};
   ecl_retry_t *retry;
   const ecl_value_t *record;
   bson_error_t why;
   ecl_arena_t arena;
   ecl_scan_t scan;
   bson_t filter;
   bool good, done = false;

   ecl_arena_init (&arena);
   list (self, &arena, &again);
   among (self, "$in", candidates, &filter);
   good = sort_out (&again, strategy, &filter, error);
   bson_destroy (&filter);
   retry = ecl_retry_new (site);
   ecl_quarantine_filter_to (strategy->chain->collection, to, &filter);
   ecl_scan_init (&scan);
   ecl_scan_start (&scan, &filter, true);
   while (good && !done) {
      counts->quarantined = 0;
      while (good &&
             (done = ecl_scan_next (&scan, site->world, site->database, ECL_STORE_QUARANTINE, BATCH, &record, error)) &&
             record) {
         good = take_record (&again, retry, record, counts, &why);
         if (!good) {
            *error = why;
         }
      }
      good = good && (done || ecl_scan_again (&scan, site->world));
   }
   ecl_scan_cleanup (&scan);
   bson_destroy (&filter);
   ecl_retry_destroy (retry);
   ecl_arena_cleanup (&arena);
   return good;
}
