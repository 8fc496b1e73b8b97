/* The story of steps: one of each kind that must have its effect once, or may have it again, in two migrations. */
#include "sim.h"

#define THINGS 6

static const char first[] =
   "up:\n"
   "  - updateOne: {collection: effects, filter: {_id: again}, update: [{$set: {times: {$add: "
   "[{$ifNull: [$times, 0]}, 1]}}}], upsert: true}\n"
   "    repeatable: because it only has to have happened\n"
   "  - transaction:\n"
   "      - updateOne: {collection: effects, filter: {_id: once}, update: {$inc: {times: 1}}}\n"
   "      - insert: {collection: log, document: {of: first}}\n"
   "  - insert: {collection: things, documents: [{_id: 100}, {_id: 101}]}\n";

static const char second[] =
   "up:\n"
   "  - updateMany: {collection: things, filter: {kind: {$exists: false}}, update: {$set: {kind: new}}}\n"
   "  - transaction:\n"
   "      - updateMany: {collection: things, filter: {}, update: {$inc: {times: 1}}}\n"
   "      - insert: {collection: log, document: {of: second}}\n"
   "  - deleteMany: {collection: things, filter: {_id: {$gte: 200}}}\n";

static ecl_project_t *
load (void)
{
   static const story_text_t texts[] = {{"20260101T0000_first.yaml", first}, {"20260102T0000_second.yaml", second}};

   return story_from_texts (texts, sizeof texts / sizeof texts[0]);
}

static void
setup (sim_t *sim)
{
   for (int i = 0; i < THINGS; i++) {
      server_put (&sim->server, "things", blob_of (BCON_NEW ("_id", BCON_INT32 (i))));
   }
   for (int i = 200; i < 203; i++) {
      server_put (&sim->server, "things", blob_of (BCON_NEW ("_id", BCON_INT32 (i))));
   }
   server_put (&sim->server, "effects", blob_of (BCON_NEW ("_id", BCON_UTF8 ("once"))));
}

/* The application counts what it does to the things. */
typedef struct {
   int64_t seen[THINGS];
} data_t;

static void
app (process_t *self)
{
   data_t *data = self->sim->data;

   for (int i = 0; i < 6 && !self->dead; i++) {
      int thing = (int) (sim_random (self->sim) % THINGS);

      app_wait (self, 50, 1500);
      /* What it sent before, and sent again, may come yet: behind what it sends now. */
      app_set (self, "things", BCON_NEW ("_id", BCON_INT32 (thing)),
               BCON_NEW ("seen", "{", "$max", "[", BCON_UTF8 ("$seen"), BCON_INT32 (i + 1), "]", "}"));
      data->seen[thing] = i + 1;
   }
}

static void
wrote (sim_t *sim, const sender_t *sender, const char *collection, const blob_t *before, const blob_t *after)
{
   (void) before;
   (void) sender;
   if (strcmp (collection, "effects") == 0 && strcmp (blob_text (after, "_id"), "once") == 0 &&
       blob_number (after, "times") > 1) {
      sim_wrong (sim, "what was to be done once was done twice");
   }
   if (strcmp (collection, "things") == 0 && blob_number (after, "times") > 1) {
      sim_wrong (sim, "what was to be done to each thing once was done twice");
   }
}

static size_t
count (const sim_t *sim, const char *name)
{
   const collection_t *collection = server_collection (&sim->server, name);
   size_t n = 0;

   for (size_t i = 0; collection && i < collection->n; i++) {
      n += collection->slots[i]->majority != NULL;
   }
   return n;
}

static void
step_done (sim_t *sim, int migration, int step)
{
   const collection_t *things = server_collection (&sim->server, "things");
   bool good = true;

   /* The note of a transaction comes with what it does: nothing to be looked at. */
   switch (3 * migration + step) {
   case 0:
      good = blob_number (server_get_text (&sim->server, "effects", "again", true), "times") > 0;
      break;
   case 2:
      good = story_stored (sim, "things", 100) != NULL;
      break;
   case 3:
      for (size_t i = 0; i < things->n; i++) {
         good &= !things->slots[i]->majority || strcmp (blob_text (things->slots[i]->majority, "kind"), "new") == 0;
      }
      break;
   case 5:
      good = !story_stored (sim, "things", 200);
      break;
   default:
      break;
   }
   if (!good) {
      sim_wrong (sim, "step %d of migration %d counts as done, and the majority does not have what it does", step,
                 migration);
   }
}

static void
end (sim_t *sim)
{
   const data_t *data = sim->data;

   if (blob_number (server_get_text (&sim->server, "effects", "once", true), "times") != 1 || count (sim, "log") != 2) {
      sim_wrong (sim, "at the end a transaction did not take place once");
   }
   for (int i = 0; i < THINGS; i++) {
      const blob_t *thing = story_stored (sim, "things", i);

      if (blob_number (thing, "times") != 1 || blob_number (thing, "seen") != data->seen[i]) {
         sim_wrong (sim, "at the end thing %d is not as it should be", i);
      }
   }
   if (count (sim, "things") != THINGS + 2) {
      sim_wrong (sim, "at the end there are %zu things", count (sim, "things"));
   }
}

const story_t story_steps = {.name = "steps",
                             .kind = RUNS,
                             .load = load,
                             .setup = setup,
                             .n_apps = 1,
                             .app = app,
                             .wrote = wrote,
                             .step_done = step_done,
                             .end = end};
