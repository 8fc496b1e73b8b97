/* The second connection of a worker, which is a thread elsewhere: what is begun is on its way at once, and takes effect
 * when it arrives, whatever the worker does meanwhile. Its functions are those that the library would link. */
#include "sim.h"

/* As long as a process waits for an answer: see world.c. */
#define SENDER_TIMEOUT 2500

static process_t *
process_of (ecl_sender_t *self)
{
   return (process_t *) self;
}

ecl_sender_t *
ecl_sender_start (const ecl_connector_t *connector, bson_error_t *error)
{
   process_t *process = connector->context;

   (void) error;
   memset (&process->sender, 0, sizeof process->sender);
   process->sender.process = process;
   process->sender_holder = NULL;
   return connector->context;
}

void
ecl_sender_stop (ecl_sender_t *self)
{
   BSON_ASSERT (!self || !process_of (self)->sending);
}

/* Its commands come in the process's session. */
ecl_world_t *
ecl_sender_world (ecl_sender_t *self)
{
   (void) self;
   return NULL;
}

void
ecl_sender_hold (ecl_sender_t *self, ecl_holder_t *holder)
{
   process_of (self)->sender_holder = holder;
}

void
ecl_sender_begin (ecl_sender_t *self, const ecl_call_t *call, int64_t deadline)
{
   process_t *process = process_of (self);
   sim_t *sim = process->sim;
   int64_t now = process_clock (process, sim->now), left = ecl_holder_left (process->sender_holder, now);

   BSON_ASSERT (!process->sending);
   process->sending = true;
   process->sent_at = sim->now;
   process->kept_back = left <= 0;
   if (!process->dead && left > 0) {
      left = left < deadline - now ? left : deadline - now;
      network_send (&process->sender, call, call->command, left > 1 ? left : 1);
   }
}

ecl_reply_t
ecl_sender_await (ecl_sender_t *self, int64_t *answered, bson_t *reply, bson_error_t *error)
{
   process_t *process = process_of (self);
   int64_t until = process->sent_at + SENDER_TIMEOUT;
   ecl_reply_t answer;

   BSON_ASSERT (process->sending);
   process->sending = false;
   if (process->kept_back) {
      *answered = process_clock (process, process->sim->now);
      bson_init (reply);
      ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE, "the lease was lost");
      return ECL_REPLY_LOST;
   }
   if (process->dead) {
      process->sender.answered = false; /* whatever came of it, nobody hears */
   }
   while (!process->dead && process->sender.message && !process->sender.answered && process->sim->now < until) {
      process->sender.waiter = &process->worker;
      task_block (&process->worker, until);
      process->sender.waiter = NULL;
      (void) misfortune_moment (&process->worker);
   }
   *answered = process_clock (process, process->sender.answered ? process->sender.wake : process->sim->now);
   answer = network_receive (&process->sender, reply, error);
   if (answer == ECL_REPLY_LOST) {
      atomic_store (&process->sender_holder->unknown, true);
   }
   return answer;
}
