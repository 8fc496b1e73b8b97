/* Documents in quarantine, once more: see retry.h. */
#include "backfill/retry.h"

#include "backfill/job.h"
#include "bson/append.h"
#include "run/insist.h"
#include "run/scan.h"
#include "store/quarantine.h"

struct ecl_retry_t {
   const ecl_site_t *site;
   uint8_t job[12];
   ecl_arena_t arena;       /* of the strategy */
   ecl_strategy_t strategy; /* of the last record: those of a collection come one after another */
   ecl_guard_form_t form;
   bool has_strategy;
};

ecl_retry_t *
ecl_retry_new (const ecl_site_t *site)
{
   ecl_retry_t *self = bson_malloc0 (sizeof *self);

   self->site = site;
   ecl_job_make_id (site->world, self->job);
   ecl_arena_init (&self->arena);
   return self;
}

void
ecl_retry_destroy (ecl_retry_t *self)
{
   if (self) {
      ecl_arena_cleanup (&self->arena);
      bson_free (self);
   }
}

static ecl_value_t
get (const ecl_value_t *document, const char *name)
{
   return ecl_document_get (document, name, strlen (name));
}

/* Where it was on its way to. */
static bool
find_way (const ecl_retry_t *self, const ecl_value_t *record, const ecl_chain_t **chain, size_t *target, bool *down,
          bson_error_t *error)
{
   ecl_value_t collection = get (record, "collection"), to = get (record, "to"), version = get (record, "version");
   ecl_value_t key = get (record, "_id"), id = get (&key, "id");
   ecl_version_t wanted, stored;
   size_t from;
   char *name, *text;
   bool good;

   /* Without the _id of a document it would be about all of them. */
   if (!ecl_is_string (&collection) || !ecl_is_string (&to) || ecl_is_missing (&id)) {
      return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_INVALID, ECL_STORE_QUARANTINE ": this is no record");
   }
   name = bson_strndup (collection.u.str, collection.len);
   text = bson_strndup (to.u.str, to.len);
   *chain = ecl_project_chain (self->site->project, name);
   if (!*chain) {
      good = ecl_fail (error, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, "this project has no migrations of %s", name);
   } else {
      good = ecl_chain_parse_version (*chain, text, &wanted, error) && ecl_chain_index (*chain, wanted, target);
   }
   if (good) {
      *down = ecl_version_from_document ((*chain)->format, &version, &stored) &&
              ecl_chain_index (*chain, stored, &from) && from > *target;
   }
   bson_free (name);
   bson_free (text);
   return good;
}

static bool
find_strategy (ecl_retry_t *self, const ecl_chain_t *chain, size_t target, bool down, bson_error_t *error)
{
   const ecl_site_t *site = self->site;
   const ecl_strategy_t *strategy = &self->strategy;

   if (self->has_strategy && strategy->chain == chain && strategy->target == target && strategy->down == down) {
      return true;
   }
   ecl_arena_reset (&self->arena);
   self->has_strategy =
      ecl_strategy_find (site, chain, target, down, ECL_MODE_CLIENT, &self->arena, &self->strategy, error) &&
      ecl_server_guard_form (site->world, &site->server, site->database, chain->collection, &self->form, error) &&
      ecl_strategy_allowed (strategy, error);
   return self->has_strategy;
}

static bool
is_there (const ecl_retry_t *self, const char *collection, const ecl_value_t *id, bool *there, bson_error_t *error)
{
   const ecl_site_t *site = self->site;
   ecl_value_t document;
   ecl_arena_t arena;
   bool good;

   ecl_arena_init (&arena);
   good = ecl_scan_one (site->world, site->database, collection, id, "_id", &arena, &document, error);
   *there = !ecl_is_missing (&document);
   ecl_arena_cleanup (&arena);
   return good;
}

bool
ecl_retry_forget (const ecl_retry_t *self, const ecl_value_t *record, bson_error_t *error)
{
   ecl_value_t key = get (record, "_id"), when = get (record, "when");
   ecl_world_t *world = self->site->world;
   bson_t filter = BSON_INITIALIZER, command, reply;
   bool good;

   ecl_append_value (&filter, "_id", &key);
   ecl_append_value (&filter, "when", &when);
   ecl_quarantine_drop (&filter, &command);
   good = ecl_insist (world, self->site->database, &command, world->now (world) + ECL_WORLD_TIMEOUT, NULL, &reply,
                      error) == ECL_REPLY_OK;
   bson_destroy (&reply);
   bson_destroy (&command);
   bson_destroy (&filter);
   return good;
}

/* *left: it could not be carried over this time, either. */
static bool
carry (const ecl_retry_t *self, const ecl_value_t *id, bool *left, bson_error_t *error)
{
   const ecl_strategy_t *strategy = &self->strategy;
   const ecl_site_t *site = self->site;
   ecl_backfill_options_t options = {.database = site->database,
                                     .chain = strategy->chain,
                                     .upgrades = site->upgrades,
                                     .target = strategy->target,
                                     .down = strategy->down,
                                     .mode = ECL_MODE_CLIENT,
                                     .form = self->form,
                                     .always_transaction = ecl_facts_transaction (&strategy->facts),
                                     .transactions = site->server.transactions,
                                     .only = *id};
   ecl_backfill_t *backfill;
   bool good;

   memcpy (options.job, self->job, sizeof options.job);
   backfill = ecl_backfill_new (&options, error);
   if (!backfill) {
      return false;
   }
   good = ecl_backfill_drive (backfill, site->world, NULL, error);
   if (good && ecl_backfill_result (backfill)->cancelled) {
      good = ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for");
   }
   *left = ecl_backfill_result (backfill)->counts.quarantined > 0;
   ecl_backfill_destroy (backfill);
   return good;
}

ecl_retry_outcome_t
ecl_retry_record (ecl_retry_t *self, const ecl_value_t *record, bson_error_t *error)
{
   ecl_value_t key = get (record, "_id"), id = get (&key, "id");
   const ecl_chain_t *chain = NULL;
   size_t target = 0;
   bool down = false, there, left;

   memset (error, 0, sizeof *error);
   if (!find_way (self, record, &chain, &target, &down, error)) {
      return ECL_RETRY_LEFT;
   }
   if (!find_strategy (self, chain, target, down, error) || !is_there (self, chain->collection, &id, &there, error)) {
      return ECL_RETRY_FAILED;
   }
   if (there) {
      if (!carry (self, &id, &left, error)) {
         return ECL_RETRY_FAILED;
      }
      if (left) {
         return ECL_RETRY_LEFT;
      }
   }
   return !ecl_retry_forget (self, record, error) ? ECL_RETRY_FAILED : there ? ECL_RETRY_DONE : ECL_RETRY_GONE;
}
