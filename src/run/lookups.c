/* What a batch looks up: see lookups.h. */
#include "run/lookups.h"

#include "bson/append.h"
#include "bson/cursor.h"
#include "upgrade/loads.h"
#include "upgrade/pushdown.h"
#include "upgrade/query.h"
#include "upgrade/translate.h"

#define BATCH 1000u

/* How long a server may be away, and between two tries. */
#define AWAY_MS 60000
#define PAUSE_MS 300

struct ecl_lookups_t {
   const ecl_project_t *project;
   ecl_upgrader_t *upgrader;
   ecl_loads_t *loads;
   const ecl_value_t *items; /* the batch */
   uint32_t n;
   uint32_t window;      /* so many at once */
   uint32_t first, size; /* the part at hand */
   bool open;            /* it is being made ready */
   uint32_t until;       /* all below are ready */
   const ecl_value_t *also;
   bool collect;                   /* the documents are to be asked what they want */
   const ecl_loads_query_t *query; /* under way */
   char *collection;               /* of it */
   bool over;                      /* it brings too much */
   bool alone;                     /* one document brought too much by itself: it is not asked again */
   ecl_scan_t scan;
};

ecl_lookups_t *
ecl_lookups_new (ecl_upgrades_t *upgrades, ecl_upgrader_t *upgrader)
{
   ecl_lookups_t *self = BSON_ALIGNED_ALLOC0 (ecl_lookups_t);
   ecl_loads_options_t options = {.project = ecl_upgrades_project (upgrades), .upgrades = upgrades};

   self->project = options.project;
   self->upgrader = upgrader;
   self->loads = ecl_loads_new (&options);
   ecl_upgrader_set_loader (upgrader, ecl_loads_loader (self->loads));
   ecl_scan_init (&self->scan);
   return self;
}

void
ecl_lookups_destroy (ecl_lookups_t *self)
{
   if (self) {
      ecl_scan_cleanup (&self->scan);
      ecl_loads_destroy (self->loads);
      bson_free (self->collection);
      bson_free (self);
   }
}

void
ecl_lookups_batch (ecl_lookups_t *self, const ecl_value_t *items, uint32_t n)
{
   self->items = items;
   self->n = self->window = n;
   self->until = 0;
   self->open = false;
   self->also = NULL;
   self->query = NULL;
   self->alone = false;
   ecl_loads_clear (self->loads);
}

void
ecl_lookups_also (ecl_lookups_t *self, const ecl_value_t *item)
{
   self->also = item;
   self->collect = true;
   self->over = false;
}

bool
ecl_lookups_waits (const ecl_lookups_t *self)
{
   return self->also != NULL;
}

uint32_t
ecl_lookups_until (const ecl_lookups_t *self)
{
   return self->until;
}

/* ---- queries ---- */

/* {field: {$in: values}} */
static void
filter_in (const ecl_loads_query_t *query, bson_t *filter)
{
   bson_t in;

   bson_init (filter);
   bson_append_document_begin (filter, query->field, -1, &in);
   BSON_APPEND_ARRAY (&in, "$in", &query->values);
   bson_append_document_end (filter, &in);
}

/* The filter said of stored documents: as it is, or as it reads at a version that is not the newest. What comes may be
 * more than what is wanted. False where there is a version of which nothing can be said: then all documents of it would
 * have to come. */
static bool
filter_stored (const ecl_chain_t *chain, const bson_t *wanted, ecl_arena_t *arena, bson_t *filter)
{
   ecl_value_t raw = ecl_raw_document (bson_get_data (wanted), wanted->len), translated;
   bson_t list, one, both, version;
   uint32_t n = 1;
   bool good = true;

   bson_init (filter);
   BSON_APPEND_ARRAY_BEGIN (filter, "$or", &list);
   BSON_APPEND_DOCUMENT (&list, "0", wanted);
   for (size_t i = 0; i <= chain->n_steps && good; i++) {
      char buffer[16];
      const char *key;

      if (ecl_chain_version (chain, i) == chain->target) {
         continue;
      }
      switch (ecl_translate (arena, chain, i, chain->n_steps, &raw, &translated)) {
      case ECL_TRANSLATED_NONE:
         break;
      case ECL_TRANSLATED_ALL:
         good = false;
         break;
      case ECL_TRANSLATED_FILTER:
         if (ecl_equal (&raw, &translated)) {
            break; /* the first entry says it */
         }
         bson_uint32_to_string (n++, &key, buffer, sizeof buffer);
         ecl_pushdown_filter (chain, i, &version);
         BSON_APPEND_DOCUMENT_BEGIN (&list, key, &one);
         BSON_APPEND_ARRAY_BEGIN (&one, "$and", &both);
         BSON_APPEND_DOCUMENT (&both, "0", &version);
         ecl_append_value (&both, "1", &translated);
         bson_append_array_end (&one, &both);
         bson_append_document_end (&list, &one);
         bson_destroy (&version);
      }
   }
   bson_append_array_end (filter, &list);
   if (n == 1) {
      bson_destroy (filter);
      bson_copy_to (wanted, filter);
   }
   return good;
}

/* Begins the read that answers the query. By _id, which no migration changes, and in collections without migrations
 * that is a plain find. */
static bool
start (ecl_lookups_t *self, bson_error_t *error)
{
   const ecl_loads_query_t *query = self->query;
   const ecl_chain_t *chain = ecl_project_chain (self->project, query->collection);
   bool good = true, plain;
   bson_t wanted, stored, pipeline;
   ecl_arena_t arena;

   bson_free (self->collection);
   self->collection = bson_strdup (query->collection);
   self->over = false;
   filter_in (query, &wanted);
   plain = !chain || !chain->n_steps || strcmp (query->field, "_id") == 0;
   ecl_arena_init (&arena);
   if (plain) {
      ecl_scan_start (&self->scan, &wanted, false);
   } else if (filter_stored (chain, &wanted, &arena, &stored)) {
      ecl_scan_start (&self->scan, &stored, false);
      bson_destroy (&stored);
   } else {
      /* The server carries them over to see which match. */
      ecl_query_t whole = {.filter = ecl_raw_document (bson_get_data (&wanted), wanted.len),
                           .sort = ecl_missing (),
                           .projection = ecl_missing ()};

      bson_destroy (&stored);
      good = ecl_query_pipeline (chain, chain->n_steps, &whole, &pipeline, error);
      if (good) {
         ecl_scan_start_pipeline (&self->scan, &pipeline);
      } else if (error) {
         ecl_error_prefix (error, "%s is looked up by %s, which its migrations make", query->collection, query->field);
      }
      bson_destroy (&pipeline);
   }
   self->scan.majority = true;
   bson_destroy (&wanted);
   ecl_arena_cleanup (&arena);
   return good;
}

/* ---- what is needed ---- */

/* Runs the documents to see what they want; whether any waits for something. */
static bool
collect (ecl_lookups_t *self)
{
   const ecl_value_t *items = self->also ? self->also : self->items + self->first;
   uint32_t n = self->also ? 1 : self->size;
   bool waits = false;

   for (uint32_t i = 0; i < n; i++) {
      bson_error_t cause = {0};
      const uint8_t *out;
      size_t len;

      if (ecl_bson_validate (items[i].u.raw, items[i].len, NULL) &&
          !ecl_upgrader_run (self->upgrader, items[i].u.raw, items[i].len, &out, &len, NULL, &cause)) {
         waits |= cause.domain == ECL_DOMAIN_UPGRADE && cause.code == ECL_ERROR_NEEDS;
      }
   }
   self->collect = false;
   return waits;
}

/* The part at hand brought too much: a smaller one. */
static void
shrink (ecl_lookups_t *self)
{
   bool alone = self->also || self->size == 1;

   self->over = false;
   ecl_loads_clear (self->loads);
   if (alone) {
      /* When it is run, it says that it needs something; whoever runs it sets it aside. */
      self->alone = true;
   } else {
      self->size = self->window = self->size / 2;
      self->collect = true;
   }
}

static ecl_lookups_need_t
ready (ecl_lookups_t *self)
{
   if (self->also) {
      self->also = NULL;
   } else {
      self->until = self->first + self->size;
      self->open = false;
   }
   return ECL_LOOKUPS_READY;
}

ecl_lookups_need_t
ecl_lookups_need (ecl_lookups_t *self, uint32_t at, bson_error_t *error)
{
   if (!self->also && at < self->until) {
      return ECL_LOOKUPS_READY;
   }
   if (!self->also && !self->open) {
      if (self->until) {
         ecl_loads_clear (self->loads);
      }
      self->open = self->collect = true;
      self->first = at;
      self->size = self->n - at < self->window ? self->n - at : self->window;
   }
   if (self->query) {
      return ECL_LOOKUPS_COMMAND;
   }
   if (self->alone) {
      self->alone = false;
      return ready (self);
   }
   for (;;) {
      if (self->collect && !collect (self)) {
         return ready (self);
      }
      switch (ecl_loads_next (self->loads, &self->query, error)) {
      case ECL_LOADS_QUERY:
         if (start (self, error)) {
            return ECL_LOOKUPS_COMMAND;
         }
         self->query = NULL;
         return ECL_LOOKUPS_FAILED;
      case ECL_LOADS_READY:
         self->query = NULL;
         self->collect = true;
         break;
      case ECL_LOADS_FAILED:
      default:
         self->query = NULL;
         return ECL_LOOKUPS_FAILED;
      }
   }
}

void
ecl_lookups_command (ecl_lookups_t *self, bson_t *command)
{
   ecl_scan_command (&self->scan, self->collection, BATCH, command);
}

bool
ecl_lookups_reply (ecl_lookups_t *self, bson_t *reply, bson_error_t *error)
{
   if (!ecl_scan_take (&self->scan, reply, error)) {
      return false;
   }
   for (uint32_t i = 0; i < self->scan.n && !self->over; i++) {
      if (!ecl_loads_add (self->query, self->scan.items[i].u.raw, self->scan.items[i].len, error)) {
         return false;
      }
      self->over = ecl_loads_size (self->loads) > ECL_LOOKUPS_MAX;
   }
   if (!self->scan.cursor) {
      if (self->over) {
         shrink (self);
      } else {
         ecl_loads_answered (self->query);
      }
      self->query = NULL;
      ecl_scan_restart (&self->scan); /* lets go of the reply */
   }
   return true;
}

void
ecl_lookups_lost (ecl_lookups_t *self)
{
   /* It is asked for anew: the question is still open. */
   self->query = NULL;
}

bool
ecl_lookups_ahead (ecl_lookups_t *self, const ecl_scan_t *scan, ecl_world_t *world, const char *database,
                   bson_error_t *error)
{
   ecl_lookups_need_t need = ECL_LOOKUPS_READY;
   int64_t answered = world->now (world);

   if (!self) {
      return true;
   }
   if (scan->at == 1) {
      ecl_lookups_batch (self, scan->items, scan->n);
   }
   while ((need = ecl_lookups_need (self, scan->at - 1, error)) == ECL_LOOKUPS_COMMAND) {
      int64_t now = world->now (world);
      bson_t command, reply;
      ecl_call_t call = {.database = database, .command = &command};
      bson_error_t why = {0};
      ecl_reply_t answer;
      bool good;

      ecl_lookups_command (self, &command);
      answer = world->run_command (world, &call, now + ECL_WORLD_TIMEOUT, &reply, &why);
      good = answer == ECL_REPLY_OK && ecl_lookups_reply (self, &reply, &why);
      bson_destroy (&reply);
      bson_destroy (&command);
      if (good) {
         answered = world->now (world);
         continue;
      }
      ecl_lookups_lost (self);
      /* The query begins again, for as long as a server may be away. */
      if (!ecl_scan_lost (answer, why.code) || now - answered > AWAY_MS || !world->wait (world, PAUSE_MS)) {
         ecl_error_prefix (&why, "looking up in %s", self->collection);
         if (error) {
            *error = why;
         }
         return false;
      }
   }
   return need == ECL_LOOKUPS_READY;
}
