/* What the applications of the stories use: commands that are sent until it is known what became of them. */
#include "sim.h"

#include "run/insist.h"
#include "store/store.h"

bool
app_send (process_t *app, const bson_t *command, bson_t *reply)
{
   ecl_world_t *world = &app->worker.world;

   return ecl_insist (world, DATABASE, command, world->now (world) + 120000, NULL, reply, NULL) == ECL_REPLY_OK;
}

/* Takes all three. */
static void
write_it (process_t *app, bson_t *command, bson_t *key, bson_t *value)
{
   bson_t reply;

   ecl_store_write_concern (command);
   if (!app_send (app, command, &reply) && !app->dead) {
      sim_wrong (app->sim, "application %d could not write", app->index);
   } else if (!app->dead && bson_has_field (&reply, "writeErrors")) {
      sim_wrong (app->sim, "what application %d writes was refused", app->index);
   }
   bson_destroy (&reply);
   bson_destroy (command);
   bson_destroy (key);
   bson_destroy (value);
}

void
app_set (process_t *app, const char *collection, bson_t *id, bson_t *set)
{
   bson_t *command = BCON_NEW ("update", BCON_UTF8 (collection), "updates", "[", "{", "q", BCON_DOCUMENT (id), "u", "[",
                               "{", "$set", BCON_DOCUMENT (set), "}", "]", "upsert", BCON_BOOL (true), "}", "]");

   write_it (app, command, id, set);
}

void
app_upsert (process_t *app, const char *collection, bson_t *key, bson_t *more)
{
   bson_t *command = BCON_NEW ("update", BCON_UTF8 (collection), "updates", "[", "{", "q", BCON_DOCUMENT (key), "u",
                               "{", "$setOnInsert", BCON_DOCUMENT (more), "}", "upsert", BCON_BOOL (true), "}", "]");

   write_it (app, command, key, more);
}

void
app_find (process_t *app, const char *collection, bson_t *filter, rows_t *out)
{
   bson_t *command = BCON_NEW ("find", BCON_UTF8 (collection), "filter", BCON_DOCUMENT (filter), "singleBatch",
                               BCON_BOOL (true), "batchSize", BCON_INT32 (1000)),
          reply;
   bson_iter_t iter, batch;

   memset (out, 0, sizeof *out);
   if (app_send (app, command, &reply)) {
      BSON_ASSERT (bson_iter_init (&iter, &reply) && bson_iter_find_descendant (&iter, "cursor.firstBatch", &batch) &&
                   bson_iter_recurse (&batch, &iter));
      while (bson_iter_next (&iter)) {
         const uint8_t *data;
         uint32_t len;

         bson_iter_document (&iter, &len, &data);
         rows_add (out, blob_new (data, len));
      }
   } else if (!app->dead) {
      sim_wrong (app->sim, "application %d could not read", app->index);
   }
   bson_destroy (&reply);
   bson_destroy (command);
   bson_destroy (filter);
}

void
app_wait (process_t *app, int64_t low, int64_t high)
{
   (void) app->worker.world.wait (&app->worker.world, sim_between (app->sim, low, high));
}
