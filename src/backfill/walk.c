/* Reading a collection: see walk.h. */
#include "backfill/walk.h"

#include "backfill/partition.h"
#include "backfill/survey.h"

#define BATCH 500

/* At random at a time. From fewer than a twentieth of a collection's documents the server picks, else it reads all. */
#define DRAW 1000
#define PICKED 20

/* Without an answer of the server's, before it gives up; and between two tries. */
#define PATIENCE_MS 180000
#define PAUSE_MS 300

static void
read_range (ecl_walk_t *self, const bson_t *filter)
{
   ecl_scan_start (&self->scan, filter, true);
   /* Nothing is asked for but an _id. */
   self->scan.hinted = self->ranges[self->at].types & ECL_IDS_BINARY;
}

/* The next range, or the next draw. False where there is none. */
static bool
go_on (ecl_walk_t *self)
{
   ecl_value_t none = ecl_missing ();
   bson_t filter;
   self->after = none;
   if (self->sample > 0) {
      bson_init (&filter);
      ecl_scan_start (&self->scan, &filter, false);
      self->scan.sample = self->sample < self->draw ? self->sample : self->draw;
      self->sample -= self->scan.sample;
   } else if ((self->at = atomic_fetch_add (self->begun, 1)) < self->n) {
      ecl_chunk_filter (&self->ranges[self->at], &none, &none, &filter);
      read_range (self, &filter);
   } else {
      return false;
   }
   bson_destroy (&filter);
   return true;
}

/* The same again, behind what was given out. */
static void
open_again (ecl_walk_t *self)
{
   ecl_value_t none = ecl_missing ();
   bson_t filter;

   if (self->scan.sample) {
      self->scan.sample -= self->scan.seen;
      self->scan.seen = 0;
      ecl_scan_restart (&self->scan);
      self->scan.opened = self->scan.sample <= 0; /* it had given all */
      return;
   }
   ecl_chunk_filter (&self->ranges[self->at], &self->after, &none, &filter);
   read_range (self, &filter);
   bson_destroy (&filter);
}

static void
start (ecl_walk_t *self, ecl_world_t *world, const char *database, const char *collection)
{
   memset (self, 0, sizeof *self);
   self->world = world;
   self->database = database;
   self->collection = collection;
   self->begun = &self->own;
   self->over = &self->own_over;
   self->after = ecl_missing ();
   self->answered = world->now (world);
   ecl_arena_init (&self->arena);
   ecl_arena_init (&self->last);
   ecl_scan_init (&self->scan);
}

bool
ecl_walk_init (ecl_walk_t *self, ecl_world_t *world, const char *database, const char *collection, int64_t sample,
               int64_t range_docs, uint32_t workers, bson_error_t *error)
{
   ecl_partition_sample_t own = {.arena = &self->arena};
   int64_t wanted;

   start (self, world, database, collection);
   self->sample = sample;
   if (!ecl_survey_estimate (world, database, collection, &self->documents, error)) {
      return false;
   }
   self->draw = sample > DRAW && self->documents / PICKED > DRAW ? DRAW : sample;
   wanted = ecl_partition_count (self->documents, range_docs ? range_docs : ECL_PARTITION_DOCUMENTS, workers);
   if (!sample && !ecl_partition (world, database, collection, wanted, &own, &self->ranges, &self->n, error)) {
      return false;
   }
   if (workers > 1 && !sample) {
      self->ranges =
         ecl_partition_shuffle (&self->arena, world, self->ranges, self->n); /* sharded by _id: on all shards */
   }
   self->scan.opened = !go_on (self);
   return true;
}

void
ecl_walk_share (ecl_walk_t *self, ecl_walk_t *first, ecl_world_t *world)
{
   start (self, world, first->database, first->collection);
   self->ranges = first->ranges;
   self->n = first->n;
   self->begun = first->begun;
   self->over = first->over;
   self->scan.opened = !go_on (self); /* others may have begun all of them */
}

void
ecl_walk_cleanup (ecl_walk_t *self)
{
   ecl_scan_cleanup (&self->scan);
   ecl_arena_cleanup (&self->last);
   ecl_arena_cleanup (&self->arena);
}

void
ecl_walk_stop (ecl_walk_t *self)
{
   atomic_store (self->over, true);
}

/* The next batch; where the server gave none for now, the cursor is open again. */
static bool
fetch (ecl_walk_t *self, bson_error_t *error)
{
   ecl_world_t *world = self->world;
   bson_t command, reply;
   ecl_call_t call = {.database = self->database, .command = &command};
   bson_error_t why = {0};
   ecl_reply_t answer;
   bool good = true;

   if (self->scan.ordered && self->scan.n) {
      ecl_value_t id = ecl_document_get (&self->scan.items[self->scan.n - 1], "_id", 3);

      ecl_arena_reset (&self->last);
      self->after = ecl_value_copy (&self->last, &id);
   }
   ecl_scan_command (&self->scan, self->collection, BATCH, &command);
   answer = world->run_command (world, &call, world->now (world) + ECL_WORLD_TIMEOUT, &reply, &why);
   if (answer == ECL_REPLY_OK) {
      self->answered = world->now (world);
      good = ecl_scan_take (&self->scan, &reply, error);
   } else if (!ecl_scan_lost (answer, why.code) || world->now (world) - self->answered > PATIENCE_MS) {
      good = ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "%s", why.message);
   } else {
      (void) world->wait (world, PAUSE_MS);
      open_again (self);
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

bool
ecl_walk_next (ecl_walk_t *self, const ecl_value_t **document, bson_error_t *error)
{
   *document = NULL;
   while (self->scan.at == self->scan.n) {
      if (self->world->cancelled (self->world)) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for");
      }
      if (atomic_load (self->over)) {
         return true;
      }
      if (self->scan.opened && !self->scan.cursor) {
         if (!go_on (self)) {
            return true;
         }
      } else if (!fetch (self, error)) {
         return false;
      }
   }
   *document = &self->scan.items[self->scan.at++];
   return true;
}
