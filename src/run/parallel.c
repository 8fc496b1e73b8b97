/* Several threads at one task: see parallel.h. */
#include "run/parallel.h"

#include "base/thread.h"

typedef struct {
   const ecl_connector_t *connector;
   ecl_parallel_fn work;
   void *context;
   uint32_t number;
   pthread_t thread;
   bool started;
} thread_t;

static void *
run (void *context)
{
   const thread_t *self = context;
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
ecl_parallel_run (ecl_world_t *world, const ecl_connector_t *connector, uint32_t n, ecl_parallel_fn work, void *context)
{
   thread_t *threads;

   n = connector && n ? n : 1;
   threads = bson_malloc0 (n * sizeof *threads);
   for (uint32_t i = 1; i < n; i++) {
      threads[i] = (thread_t){.connector = connector, .work = work, .context = context, .number = i};
      threads[i].started = ecl_thread_start (&threads[i].thread, run, &threads[i]) == 0;
   }
   work (context, 0, world, NULL);
   for (uint32_t i = 1; i < n; i++) {
      if (threads[i].started) {
         pthread_join (threads[i].thread, NULL);
      }
   }
   bson_free (threads);
}
