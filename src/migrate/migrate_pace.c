/* The pace of a step's writes: the throttle of throttle.h between two of them. See migrate-private.h. */
#include "migrate/migrate-private.h"

/* A step that is done by then needs no word about what nobody could look at. */
#define SAID_AFTER_MS 5000

/* What the documents of a collection have on average: asked where a rate in bytes needs it. */
static double
average_size (ecl_migrate_t *self, const char *collection)
{
   bson_t command = BSON_INITIALIZER, reply;
   ecl_call_t call = {.database = self->options->database, .command = &command};
   ecl_world_t *world = self->world;
   bson_error_t ignored;
   bson_iter_t iter;
   double size = 0;

   BSON_APPEND_UTF8 (&command, "collStats", collection);
   if (world->run_command (world, &call, world->now (world) + ECL_WORLD_TIMEOUT, &reply, &ignored) == ECL_REPLY_OK &&
       bson_iter_init_find (&iter, &reply, "avgObjSize") && BSON_ITER_HOLDS_NUMBER (&iter)) {
      size = (double) bson_iter_as_int64 (&iter);
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return size;
}

static void
say (void *context, const char *message)
{
   ecl_migrate_t *self = context;

   if (self->options->hooks.note) {
      self->options->hooks.note (self->options->hooks.context, message);
   }
}

/* Lines, for later. */
static void
keep (void *context, const char *message)
{
   ecl_migrate_t *self = context;
   size_t len = strlen (self->unsaid);

   snprintf (self->unsaid + len, sizeof self->unsaid - len, "%s  %s", len ? "\n" : "", message);
}

static void
say_kept (ecl_migrate_t *self)
{
   if (*self->unsaid && self->world->now (self->world) - self->paced_since > SAID_AFTER_MS) {
      say (self, self->unsaid);
      *self->unsaid = '\0';
   }
}

void
ecl_migrate_pace (ecl_migrate_t *self, const char *collection, bool alike, uint32_t most)
{
   ecl_throttle_settings_t settings = self->options->throttle;

   settings.first = settings.first && settings.first < most ? settings.first : most / 10;
   settings.most = most;
   if (!alike) {
      /* A line of a foreach may cost many times what the one before it did, and nothing be slower for it. */
      settings.max_latency = -1;
   }
   self->paced_since = self->world->now (self->world);
   ecl_throttle_init (&self->throttle, &settings, self->world->now (self->world));
   self->average = settings.max_bytes > 0 ? average_size (self, collection) : 0;
   if (!self->asks) {
      ecl_pressure_init (&self->pressure, keep, self);
      self->asks = true;
   }
}

bool
ecl_migrate_turn (ecl_migrate_t *self, uint32_t *documents, bson_error_t *error)
{
   ecl_world_t *world = self->world;
   bool stopped = false;
   char text[200];

   for (;;) {
      ecl_throttle_advice_t advice;
      ecl_pressure_t pressure;

      if (ecl_pressure_read (&self->pressure, world, &pressure)) {
         ecl_throttle_pressure (&self->throttle, &pressure, world->now (world));
      }
      say_kept (self);
      advice = ecl_throttle_next (&self->throttle, world->now (world));
      if (!advice.wait) {
         *documents = advice.documents;
         return true;
      }
      if (advice.stopped && !stopped) {
         char line[240];

         stopped = true;
         ecl_throttle_describe (&self->throttle, text, sizeof text);
         snprintf (line, sizeof line, "  waits: %s", text);
         say (self, line);
      }
      /* A lease that is lost, or a run that is to end, is seen within a piece. */
      if (!world->wait (world, advice.wait) || world->cancelled (world)) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for");
      }
   }
}

void
ecl_migrate_wrote (ecl_migrate_t *self, int64_t documents, int64_t began)
{
   int64_t now = self->world->now (self->world);

   if (documents > 0) {
      ecl_throttle_batch (&self->throttle, documents > UINT32_MAX ? UINT32_MAX : (uint32_t) documents,
                          (uint64_t) (self->average * (double) documents), now - began, now);
   }
}
