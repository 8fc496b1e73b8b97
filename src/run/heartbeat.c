/* The thread that renews a lease: see heartbeat.h. */
#include "run/heartbeat.h"

#include "base/thread.h"

#include <pthread.h>
#include <time.h>

struct ecl_heartbeat_t {
   ecl_connector_t connector;
   ecl_holder_t *holder;
   ecl_world_t *world;
   pthread_t thread;
   pthread_mutex_t lock;
   pthread_cond_t wake;
   bool stop; /* under the lock */
};

/* Waits for the next beat; false where there is none. The clock of the wait may stand still while the machine sleeps:
 * that only makes the beat late, and the lease counts by one that does not. */
static bool
rest (ecl_heartbeat_t *self, int64_t ms)
{
   struct timespec end;
   bool stop;

   clock_gettime (CLOCK_MONOTONIC, &end);
   end.tv_sec += ms / 1000;
   end.tv_nsec += ms % 1000 * 1000000;
   if (end.tv_nsec >= 1000000000) {
      end.tv_sec++;
      end.tv_nsec -= 1000000000;
   }
   pthread_mutex_lock (&self->lock);
   while (!self->stop && pthread_cond_timedwait (&self->wake, &self->lock, &end) == 0) {
   }
   stop = self->stop;
   pthread_mutex_unlock (&self->lock);
   return !stop;
}

static void *
beat (void *context)
{
   ecl_heartbeat_t *self = context;
   bson_error_t ignored;

   /* Whoever works under the lease sees that it is lost; there is nobody to be told here. */
   while (rest (self, ecl_holder_due (self->holder, self->world->now (self->world))) &&
          ecl_holder_renew (self->holder, self->world, &ignored)) {
   }
   return NULL;
}

ecl_heartbeat_t *
ecl_heartbeat_start (const ecl_connector_t *connector, ecl_holder_t *holder, bson_error_t *error)
{
   ecl_heartbeat_t *self = bson_malloc0 (sizeof *self);
   pthread_condattr_t clock;
   int failed;

   self->connector = *connector;
   self->holder = holder;
   /* Two lost answers still leave time for a third try. */
   self->world = connector->connect (connector->context, (int32_t) (ecl_holder_interval (holder) / 2 + 1), error);
   if (!self->world) {
      bson_free (self);
      return NULL;
   }
   pthread_mutex_init (&self->lock, NULL);
   pthread_condattr_init (&clock);
   pthread_condattr_setclock (&clock, CLOCK_MONOTONIC);
   pthread_cond_init (&self->wake, &clock);
   pthread_condattr_destroy (&clock);
   failed = ecl_thread_start (&self->thread, beat, self);
   if (failed) {
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "no thread for the lease's heartbeat: %s", strerror (failed));
      self->holder = NULL;
      ecl_heartbeat_stop (self);
      return NULL;
   }
   return self;
}

void
ecl_heartbeat_stop (ecl_heartbeat_t *self)
{
   if (!self) {
      return;
   }
   if (self->holder) {
      pthread_mutex_lock (&self->lock);
      self->stop = true;
      pthread_cond_signal (&self->wake);
      pthread_mutex_unlock (&self->lock);
      pthread_join (self->thread, NULL);
   }
   pthread_cond_destroy (&self->wake);
   pthread_mutex_destroy (&self->lock);
   self->connector.disconnect (self->connector.context, self->world);
   bson_free (self);
}
