/* The thread that carries a command: see sender.h. */
#include "run/sender.h"

#include "base/thread.h"

#include <pthread.h>
#include <string.h>

typedef enum {
   SENDER_IDLE,
   SENDER_BEGUN,    /* the command is the thread's */
   SENDER_ANSWERED, /* the answer is there */
   SENDER_ENDS,
} sender_state_t;

struct ecl_sender_t {
   ecl_connector_t connector;
   ecl_world_t *world;
   ecl_holder_t *holder; /* NULL: none */
   ecl_held_world_t held;
   pthread_t thread;
   bool started;
   pthread_mutex_t lock;
   pthread_cond_t changed;
   sender_state_t state; /* under the lock; it says whose the rest is */

   ecl_call_t call;
   int64_t deadline;

   ecl_reply_t answer;
   int64_t answered;
   bson_t reply;
   bson_error_t error;
};

static void
turn (ecl_sender_t *self, sender_state_t state)
{
   self->state = state;
   pthread_cond_broadcast (&self->changed);
}

static void *
carry (void *context)
{
   ecl_sender_t *self = context;

   pthread_mutex_lock (&self->lock);
   for (;;) {
      ecl_world_t *world;

      while (self->state != SENDER_BEGUN && self->state != SENDER_ENDS) {
         pthread_cond_wait (&self->changed, &self->lock);
      }
      if (self->state == SENDER_ENDS) {
         break;
      }
      pthread_mutex_unlock (&self->lock);
      world = self->holder ? &self->held.world : self->world;
      memset (&self->error, 0, sizeof self->error);
      self->answer = world->run_command (world, &self->call, self->deadline, &self->reply, &self->error);
      self->answered = world->now (world);
      pthread_mutex_lock (&self->lock);
      turn (self, SENDER_ANSWERED);
   }
   pthread_mutex_unlock (&self->lock);
   return NULL;
}

ecl_sender_t *
ecl_sender_start (const ecl_connector_t *connector, bson_error_t *error)
{
   ecl_sender_t *self = BSON_ALIGNED_ALLOC0 (ecl_sender_t);
   int failed;

   self->connector = *connector;
   self->world = connector->connect (connector->context, 0, error);
   if (!self->world) {
      bson_free (self);
      return NULL;
   }
   pthread_mutex_init (&self->lock, NULL);
   pthread_cond_init (&self->changed, NULL);
   failed = ecl_thread_start (&self->thread, carry, self);
   self->started = !failed;
   if (failed) {
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "no thread for a second connection: %s", strerror (failed));
      ecl_sender_stop (self);
      return NULL;
   }
   return self;
}

void
ecl_sender_stop (ecl_sender_t *self)
{
   if (!self) {
      return;
   }
   if (self->started) {
      pthread_mutex_lock (&self->lock);
      turn (self, SENDER_ENDS);
      pthread_mutex_unlock (&self->lock);
      pthread_join (self->thread, NULL);
   }
   pthread_cond_destroy (&self->changed);
   pthread_mutex_destroy (&self->lock);
   self->connector.disconnect (self->connector.context, self->world);
   bson_free (self);
}

ecl_world_t *
ecl_sender_world (ecl_sender_t *self)
{
   return self->world;
}

void
ecl_sender_hold (ecl_sender_t *self, ecl_holder_t *holder)
{
   self->holder = holder;
   if (holder) {
      (void) ecl_held_world_init (&self->held, self->world, holder);
   }
}

void
ecl_sender_begin (ecl_sender_t *self, const ecl_call_t *call, int64_t deadline)
{
   pthread_mutex_lock (&self->lock);
   BSON_ASSERT (self->state == SENDER_IDLE);
   self->call = *call;
   self->deadline = deadline;
   turn (self, SENDER_BEGUN);
   pthread_mutex_unlock (&self->lock);
}

ecl_reply_t
ecl_sender_await (ecl_sender_t *self, int64_t *answered, bson_t *reply, bson_error_t *error)
{
   pthread_mutex_lock (&self->lock);
   BSON_ASSERT (self->state == SENDER_BEGUN || self->state == SENDER_ANSWERED);
   while (self->state != SENDER_ANSWERED) {
      pthread_cond_wait (&self->changed, &self->lock);
   }
   self->state = SENDER_IDLE;
   pthread_mutex_unlock (&self->lock);
   bson_steal (reply, &self->reply);
   *error = self->error;
   *answered = self->answered;
   return self->answer;
}
