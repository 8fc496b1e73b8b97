/* Several threads at one task: see hands.h. */
#include "run/hands.h"

#include "base/thread.h"

typedef struct {
   const ecl_connector_t *connector;
   ecl_hand_fn work;
   void *context;
   uint32_t number;
   pthread_t thread;
   bool started;
} hand_t;

static void *
run (void *context)
{
   const hand_t *self = context;
   const ecl_connector_t *connector = self->connector;
   bson_error_t why = {0};
   ecl_world_t *world = connector->connect (connector->context, 0, &why);

   self->work (self->context, self->number, world, &why);
   if (world) {
      connector->disconnect (connector->context, world);
   }
   return NULL;
}

void
ecl_hands (ecl_world_t *world, const ecl_connector_t *connector, uint32_t n, ecl_hand_fn work, void *context)
{
   hand_t *hands;

   n = connector && n ? n : 1;
   hands = bson_malloc0 (n * sizeof *hands);
   for (uint32_t i = 1; i < n; i++) {
      hands[i] = (hand_t){.connector = connector, .work = work, .context = context, .number = i};
      hands[i].started = ecl_thread_start (&hands[i].thread, run, &hands[i]) == 0;
   }
   work (context, 0, world, NULL);
   for (uint32_t i = 1; i < n; i++) {
      if (hands[i].started) {
         pthread_join (hands[i].thread, NULL);
      }
   }
   bson_free (hands);
}
