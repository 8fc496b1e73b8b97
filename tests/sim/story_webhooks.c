/* The story of examples/webhooks: each creator's webhookUrls become documents in webhooks, while applications of the
 * old version add to the lists, those of the new one write documents, and readers want to see every hook.
 *
 *    who reads the documents, then the list, within the time that the migration waits between copying and removing,
 * sees every hook that was there when it began, each at least once; doubles have the same url nothing is doubled among
 * the documents, though applications give their hooks an _id of their own a list goes only when the majority has all
 * that stood in it
 */
#include "sim.h"

#define CREATORS 5
#define URLS 8

/* What the migrations wait, in ms; a minute in the files. MUTATE_PAUSE: not at all. */
#define PAUSE 3000

typedef struct {
   bool known[CREATORS][URLS]; /* an application was told that it is there */
} data_t;

static ecl_project_t *
load (void)
{
   return story_from_folder (SIM_EXAMPLES "/webhooks");
}

/* "https://x/3" */
static void
url_text (int url, char text[24])
{
   snprintf (text, 24, "https://x/%d", url);
}

static int
url_of (const ecl_value_t *value)
{
   return ecl_is_string (value) && value->len == 11 ? value->u.str[10] - '0' : -1;
}

/* The wait in the migrations, made shorter. */
static void
set_pause (const sim_t *sim, int64_t seconds)
{
   for (size_t i = 0; i < sim->n_works; i++) {
      const ecl_work_way_t *way = &sim->works[i].up;
      size_t waits = 0;

      for (size_t j = 0; j < way->n_acts; j++) {
         if (way->acts[j].kind == ECL_ACT_WAIT) {
            ((ecl_field_t *) way->acts[j].args)[ECL_ARG_SECONDS].value.u.i64 = seconds;
            waits++;
         }
      }
      BSON_ASSERT (waits == 1);
   }
}

static void
setup (sim_t *sim)
{
   data_t *data = sim->data;

   set_pause (sim, sim->mutation == MUTATE_PAUSE ? 0 : PAUSE / 1000);

   for (int i = 0; i < CREATORS; i++) {
      bson_t creator = BSON_INITIALIZER, list;

      BSON_APPEND_INT32 (&creator, "_id", i);
      if (i > 0) {
         BSON_APPEND_ARRAY_BEGIN (&creator, "webhookUrls", &list);
         for (int j = 0; j < i; j++) {
            int url = (int) (sim_random (sim) % 4); /* some twice */
            char text[24], buffer[16];
            const char *key;

            url_text (url, text);
            bson_uint32_to_string ((uint32_t) j, &key, buffer, sizeof buffer);
            BSON_APPEND_UTF8 (&list, key, text);
            data->known[i][url] = true;
         }
         bson_append_array_end (&creator, &list);
      }
      server_put (&sim->server, "creators", blob_of (&creator));
   }
}

/* ---- applications ---- */

static void
see_documents (process_t *self, int creator, bool seen[URLS])
{
   bool here[URLS] = {false};
   rows_t rows;

   app_find (self, "webhooks", BCON_NEW ("creatorId", BCON_INT32 (creator)), &rows);
   for (size_t i = 0; i < rows.n; i++) {
      ecl_value_t value = blob_get (rows.items[i], "url");
      int url = url_of (&value);

      if (url < 0 || here[url]) {
         sim_wrong (self->sim, "creator %d has a hook twice, or a bad one", creator);
         break;
      }
      here[url] = seen[url] = true;
   }
   rows_cleanup (&rows);
}

static void
see_list (process_t *self, int creator, bool seen[URLS])
{
   ecl_value_t list, item;
   ecl_iter_t iter;
   rows_t rows;

   app_find (self, "creators", BCON_NEW ("_id", BCON_INT32 (creator)), &rows);
   list = rows.n ? blob_get (rows.items[0], "webhookUrls") : ecl_missing ();
   if (ecl_is_array (&list)) {
      ecl_iter_init (&iter, &list);
      while (ecl_iter_item (&iter, &item)) {
         seen[url_of (&item)] = true;
      }
   }
   rows_cleanup (&rows);
}

/* As the README of the example says: the documents, then the list, in time. */
static void
read_all (process_t *self, int creator)
{
   data_t *data = self->sim->data;
   ecl_world_t *world = &self->worker.world;
   bool expected[URLS], seen[URLS];
   int64_t began;

   do {
      memcpy (expected, data->known[creator], sizeof expected);
      memset (seen, 0, sizeof seen);
      began = world->now (world);
      see_documents (self, creator, seen);
      if (sim_chance (self->sim, 3)) {
         app_wait (self, 0, PAUSE / 2);
      }
      see_list (self, creator, seen);
   } while (!self->dead && world->now (world) - began > PAUSE);
   for (int i = 0; i < URLS && !self->dead; i++) {
      if (expected[i] && !seen[i]) {
         sim_wrong (self->sim, "a reader did not see hook %d of creator %d", i, creator);
      }
   }
}

/* The old version: into the list. */
static void
add_old (process_t *self, int creator, int url)
{
   char text[24];

   url_text (url, text);
   app_set (self, "creators", BCON_NEW ("_id", BCON_INT32 (creator)),
            BCON_NEW ("webhookUrls", "{", "$setUnion", "[", "{", "$ifNull", "[", BCON_UTF8 ("$webhookUrls"), "[", "]",
                      "]", "}", "[", BCON_UTF8 (text), "]", "]", "}"));
}

/* The new version: a document, by the key of the index, with an _id of its own or one that the server makes. */
static void
add_new (process_t *self, int creator, int url)
{
   bson_t *key, *rest = BCON_NEW ("name", BCON_UTF8 ("Webhook"), "secret", BCON_NULL);
   char text[24], id[32];

   url_text (url, text);
   key = BCON_NEW ("creatorId", BCON_INT32 (creator), "event", BCON_UTF8 ("post-created"), "url", BCON_UTF8 (text));
   if (sim_chance (self->sim, 2)) {
      snprintf (id, sizeof id, "own %d %d", creator, url);
      BSON_APPEND_UTF8 (rest, "_id", id);
   }
   app_upsert (self, "webhooks", key, rest);
}

static void
app (process_t *self)
{
   data_t *data = self->sim->data;

   for (int i = 0; i < 9 && !self->dead; i++) {
      int creator = (int) (sim_random (self->sim) % CREATORS), url = (int) (sim_random (self->sim) % URLS);

      app_wait (self, 20, 700);
      if (self->dead) {
         return;
      }
      switch (sim_random (self->sim) % 4) {
      case 0:
         add_old (self, creator, url);
         data->known[creator][url] = true;
         break;
      case 1:
         add_new (self, creator, url);
         data->known[creator][url] = true;
         break;
      default:
         read_all (self, creator);
      }
   }
}

/* ---- properties ---- */

static bool
has_document (const sim_t *sim, int64_t creator, const ecl_value_t *url)
{
   const collection_t *webhooks = server_collection (&sim->server, "webhooks");

   for (size_t i = 0; webhooks && i < webhooks->n; i++) {
      const blob_t *hook = webhooks->slots[i]->majority;
      ecl_value_t text = blob_get (hook, "url");

      if (hook && blob_number (hook, "creatorId") == creator && ecl_equal (&text, url)) {
         return true;
      }
   }
   return false;
}

static void
wrote (sim_t *sim, const sender_t *sender, const char *collection, const blob_t *before, const blob_t *after)
{
   ecl_value_t list = blob_get (before, "webhookUrls"), now = blob_get (after, "webhookUrls"), item;
   ecl_iter_t iter;

   if (strcmp (collection, "creators") == 0 && !sender->process->app) {
      if (!after || (!ecl_is_missing (&now) && !ecl_equal (&now, &list))) {
         sim_wrong (sim, "the migration changed a creator's list otherwise than by removing it");
      }
      if (ecl_is_array (&list) && ecl_is_missing (&now)) {
         ecl_iter_init (&iter, &list);
         while (ecl_iter_item (&iter, &item)) {
            if (!has_document (sim, blob_number (before, "_id"), &item)) {
               sim_wrong (sim, "the list of creator %" PRId64 " goes, and the majority does not have %s",
                          blob_number (before, "_id"), item.u.str);
            }
         }
      }
   } else if (strcmp (collection, "webhooks") == 0 && !after) {
      sim_wrong (sim, "a hook was removed");
   }
}

static void
step_done (sim_t *sim, int migration, int step)
{
   const collection_t *webhooks = server_collection (&sim->server, "webhooks");

   if (migration == 0 && step == 0 && (!webhooks || !webhooks->n_unique)) {
      sim_wrong (sim, "step 0 counts as done, and there is no index");
   }
}

static void
end (sim_t *sim)
{
   const data_t *data = sim->data;
   const collection_t *webhooks = server_collection (&sim->server, "webhooks");

   for (int i = 0; i < CREATORS; i++) {
      const blob_t *creator = story_stored (sim, "creators", i);
      ecl_value_t list, item;

      list = blob_get (creator, "webhookUrls");
      for (int url = 0; url < URLS; url++) {
         ecl_iter_t iter;
         char text[24];
         bool found;

         url_text (url, text);
         item = ecl_string (text, 11);
         found = has_document (sim, i, &item);
         if (ecl_is_array (&list)) {
            ecl_iter_init (&iter, &list);
            while (ecl_iter_item (&iter, &item)) {
               found |= url_of (&item) == url;
            }
         }
         if (data->known[i][url] && !found) {
            sim_wrong (sim, "at the end hook %d of creator %d is lost", url, i);
         }
      }
   }
   for (size_t i = 0; i < webhooks->n; i++) {
      for (size_t j = 0; j < i; j++) {
         ecl_value_t a = blob_get (webhooks->slots[i]->majority, "url"),
                     b = blob_get (webhooks->slots[j]->majority, "url");

         if (!ecl_is_missing (&a) && ecl_equal (&a, &b) &&
             blob_number (webhooks->slots[i]->majority, "creatorId") ==
                blob_number (webhooks->slots[j]->majority, "creatorId")) {
            sim_wrong (sim, "at the end a hook is there twice");
         }
      }
   }
}

const story_t story_webhooks = {.name = "webhooks",
                                .kind = RUNS,
                                .load = load,
                                .setup = setup,
                                .n_apps = 2,
                                .app = app,
                                .wrote = wrote,
                                .step_done = step_done,
                                .end = end};
