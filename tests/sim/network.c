/* Messages on their way between the processes and the server, and what becomes of them.
 *
 *    COMING ──► RUNNING (takes long, or waits for a transaction) ──► SETTLING (until the majority has it) ──► GOING
 */
#include "sim.h"

enum { MAX_TIME_EXPIRED = 50, WRITE_CONCERN_FAILED = 64, NOT_PRIMARY = 10107, INTERRUPTED = 11601 };

/* MONGOC_ERROR_STREAM, MONGOC_ERROR_SERVER */
enum { DRIVER_STREAM = 2, DRIVER_SERVER = 17 };

static message_t *
new_message (sim_t *sim)
{
   for (size_t i = 0; i < MAX_MESSAGES; i++) {
      if (sim->messages[i].stage == MSG_FREE) {
         memset (&sim->messages[i], 0, sizeof sim->messages[i]);
         sim->n_messages = i < sim->n_messages ? sim->n_messages : i + 1;
         return &sim->messages[i];
      }
   }
   fprintf (stderr, "sim: too many messages\n");
   abort ();
}

void
message_free (message_t *message)
{
   bson_destroy (&message->command);
   if (message->has_reply) {
      bson_destroy (&message->reply);
   }
   message->stage = MSG_FREE;
}

/* Nobody hears of it: who waits for it gives up in time. */
static void
discard (message_t *message)
{
   if (message->task) {
      message->task->message = NULL;
   }
   message_free (message);
}

/* Who waits for it hears that its connection is gone. */
static void
cut (sim_t *sim, message_t *message)
{
   task_t *task = message->task;

   discard (message);
   if (task) {
      task->wake = sim->now;
      if (task->waiter) {
         task->waiter->wake = sim->now;
      }
   }
}

void
network_cut (sim_t *sim)
{
   for (size_t i = 0; i < sim->n_messages; i++) {
      message_t *message = &sim->messages[i];

      /* What its receiver has, it has. */
      if (message->stage != MSG_FREE && !(message->task && message->task->answered)) {
         cut (sim, message);
      }
   }
}

/* ---- sending ---- */

/* The faults of the way. NULL where it is lost at once. */
static message_t *
hazard (sim_t *sim, message_t *message)
{
   bool app = message->sender.process->app;

   if (sim->story->smooth) {
      message->at = sim->now + 1;
      return message;
   }
   message->at = sim->now + sim_between (sim, 1, sim_chance (sim, 50) ? 300 : 25);
   if (!app && misfortune_now (sim, RATE_LATE)) {
      message->at = sim->now + sim_between (sim, 600, 3 * LEASE_TIME);
   }
   if (misfortune_now (sim, RATE_LOSS)) {
      if (sim_chance (sim, 2)) {
         sim_reached (sim, FAULT_REQUEST_LOST);
         message_free (message);
         return NULL;
      }
      message->reply_lost = true;
      sim_reached (sim, FAULT_REPLY_LOST);
   }
   return message;
}

/* The systematic way: at its n-th write the first process dies. */
static message_t *
kill_at (sim_t *sim, message_t *message)
{
   if (message->sender.process->index != 0 || ++sim->writes != sim->kill_at) {
      return message;
   }
   switch (sim->kill) {
   case KILL_BEFORE:
      message_free (message);
      misfortune_die (&sim->processes[0]);
      return NULL;
   case KILL_AFTER:
      message->last = true;
      return message;
   default:
      message->at = sim->now + sim_between (sim, 100, 3 * LEASE_TIME);
      misfortune_die (&sim->processes[0]);
      return message;
   }
}

/* At most one statement goes out after the lease is over: the one that was on its way when the process was stopped.
 * What the driver sends once more is the same one. */
static void
check_held (const task_t *task, const ecl_call_t *call)
{
   process_t *process = task->process;
   sim_t *sim = process->sim;

   if (task->again || !process->token || strcmp (command_target (call->command), ECL_STORE_LEASE) == 0 ||
       ecl_holder_held (&process->runner.holder, sim->now)) {
      return;
   }
   if (++process->after > 1) {
      sim_wrong (sim, "process %d sent %d statements after its lease had ended by its own clock", process->index,
                 process->after);
   }
}

/* The lease of the sender, as it is now. */
static void
follow (process_t *process)
{
   sim_t *sim = process->sim;
   int64_t token = ecl_holder_token (&process->runner.holder);
   bool granted = token && !process->token;

   if (token) {
      process->token = token; /* it may have been raised */
   }
   if (granted) {
      check_granted (process);
      if (process->runner.holder.took_over) {
         sim_reached (sim, FAULT_TAKEOVER);
      }
   }
   if (ecl_holder_held (&process->runner.holder, sim->now)) {
      process->until = atomic_load (&process->runner.holder.until);
   }
}

void
network_send (task_t *task, const ecl_call_t *call, const bson_t *command, int64_t left)
{
   process_t *process = task->process;
   sim_t *sim = process->sim;
   message_t *message = new_message (sim);
   bool writes = command_writes (command, call->txn);

   follow (process);
   message->stage = MSG_COMING;
   message->task = task;
   message->epoch = sim->epoch;
   message->sender = (sender_t){.process = process,
                                .token = process->token,
                                .sent = sim->now,
                                .left = left,
                                .heart = task->heart,
                                .txn = call->txn,
                                .knows = sim->mutation == MUTATE_STALE ? 0 : task->knows,
                                .txn_number = process->txn_number};
   message->sender.effect =
      writes && !process->app && (process->token || sim->story->program) &&
      (call->txn == ECL_TXN_COMMIT || (!call->txn && strncmp (command_target (command), "eclose_", 7) != 0));
   if (sim->story->sent && !process->app && !task->heart) {
      message->sender.note = sim->story->sent (process, call);
   }
   memcpy (message->sender.session, process->session, 16);
   mutate (process, command, &message->command);
   task->answered = false;
   message = hazard (sim, message);
   if (message && writes && !task->heart && !process->app) {
      message = kill_at (sim, message);
   }
   if (message && message->sender.effect && sim->now < sim->faults_until && sim_chance (sim, 4)) {
      message->long_run = true;
   }
   task->message = message;
   if (writes && !task->heart && !process->app) {
      check_held (task, call);
   }
}

/* As a driver says it: in a domain that is none of eclose's. */
static void
set_error (bson_error_t *error, uint32_t domain, uint32_t code)
{
   if (error) {
      bson_set_error (error, domain, code, domain == DRIVER_STREAM ? "no answer" : "refused with code %u", code);
   }
}

/* What the majority had when it answered, a later read in the same world sees, whichever server is asked. */
static void
learn (task_t *task, const message_t *message, const bson_t *reply)
{
   bool waited = message->sender.txn == ECL_TXN_COMMIT || bson_has_field (&message->command, "writeConcern");

   if (waited && message->safe > task->knows && !bson_has_field (reply, "code") &&
       !bson_has_field (reply, "writeConcernError")) {
      task->knows = message->safe;
   }
}

ecl_reply_t
network_receive (task_t *task, bson_t *reply, bson_error_t *error)
{
   message_t *message = task->message;
   bson_iter_t iter;

   task->message = NULL;
   if (!task->answered) {
      if (message) {
         message->task = NULL;
      }
      bson_init (reply);
      set_error (error, DRIVER_STREAM, 4);
      return ECL_REPLY_LOST;
   }
   bson_steal (reply, &message->reply);
   message->has_reply = false;
   learn (task, message, reply);
   message_free (message);
   if (bson_iter_init_find (&iter, reply, "code")) {
      set_error (error, DRIVER_SERVER, (uint32_t) bson_iter_int32 (&iter));
      return ECL_REPLY_REFUSED;
   }
   return ECL_REPLY_OK;
}

/* ---- what happens to them ---- */

static void
set_reply (message_t *message, bson_t *reply)
{
   if (message->has_reply) {
      bson_destroy (&message->reply);
   }
   bson_steal (&message->reply, reply);
   message->has_reply = true;
}

static void
refuse (sim_t *sim, message_t *message, int32_t code)
{
   bson_t reply = BSON_INITIALIZER;

   BSON_APPEND_DOUBLE (&reply, "ok", 0);
   BSON_APPEND_INT32 (&reply, "code", code);
   set_reply (message, &reply);
   message->stage = MSG_GOING;
   message->at = sim->now + sim_between (sim, 1, 20);
}

static void
execute (sim_t *sim, message_t *message)
{
   int64_t lag = sim->story->smooth ? 1 : sim_between (sim, 1, 40);
   int32_t code;
   bson_t reply;

   if (!message->task) {
      sim_reached (sim, FAULT_LATE);
   }
   message->sender.heard = message->task != NULL;
   if (misfortune_now (sim, RATE_SLOW)) {
      lag = sim_between (sim, 100, 1200);
      message->wtimeout = true;
   }
   if (!server_execute (&sim->server, sim, &message->sender, &message->command, sim->now, lag, &reply, &code,
                        &message->safe)) {
      message->stage = MSG_RUNNING;
      message->at = sim->now + sim_between (sim, 100, 600);
      return;
   }
   /* A commit says itself whether it had one. */
   if (message->sender.effect && !code && message->sender.txn != ECL_TXN_COMMIT) {
      check_effect (sim, &message->sender);
   }
   if (message->last) {
      misfortune_die (message->sender.process);
   }
   if (code) {
      bson_destroy (&reply);
      refuse (sim, message, code);
      return;
   }
   set_reply (message, &reply);
   message->stage = MSG_SETTLING;
   message->at = message->safe > sim->now ? message->safe : sim->now;
   if (sim->story->takes) {
      message->at += sim->story->takes (sim, &message->sender, &message->reply);
   }
   if (message->wtimeout && message->at > sim->now + 200) {
      bson_t concern;

      sim_reached (sim, FAULT_WTIMEOUT);
      message->at = sim->now + 200;
      BSON_APPEND_DOCUMENT_BEGIN (&message->reply, "writeConcernError", &concern);
      BSON_APPEND_INT32 (&concern, "code", WRITE_CONCERN_FAILED);
      bson_append_document_end (&message->reply, &concern);
   }
}

void
network_step (sim_t *sim, message_t *message)
{
   switch (message->stage) {
   case MSG_COMING:
      if (sim->now < sim->server.down_until && !sim->server.dark) {
         refuse (sim, message, NOT_PRIMARY);
         return;
      }
      if (sim->now < sim->server.down_until) {
         /* Refused, or a driver that looks for a server until the time is over. */
         if (sim_chance (sim, 2)) {
            cut (sim, message);
         } else {
            discard (message);
         }
         return;
      }
      message->sender.arrived = sim->now;
      message->epoch = sim->epoch;
      if (message->long_run) {
         message->stage = MSG_RUNNING;
         message->at = sim->now + sim_between (sim, 200, 3 * LEASE_TIME);
         if (message->at > sim->now + message->sender.left) {
            message->at = sim->now + message->sender.left + 1;
         }
         return;
      }
      execute (sim, message);
      return;
   case MSG_RUNNING:
      if (message->refused || message->epoch != sim->epoch) {
         refuse (sim, message, INTERRUPTED);
         return;
      }
      if (sim->now > message->sender.arrived + message->sender.left) {
         sim_reached (sim, FAULT_EXPIRED);
         refuse (sim, message, MAX_TIME_EXPIRED);
         return;
      }
      execute (sim, message);
      return;
   case MSG_SETTLING:
      if (message->epoch != sim->epoch) {
         /* Its primary is gone: what became of it nobody says. */
         discard (message);
         return;
      }
      message->stage = MSG_GOING;
      message->at = sim->now + (sim->story->smooth ? 1 : sim_between (sim, 1, 20));
      return;
   case MSG_GOING:
      if (!message->task || message->reply_lost) {
         discard (message);
         return;
      }
      message->task->answered = true;
      message->task->wake = sim->now;
      if (message->task->waiter) {
         message->task->waiter->wake = sim->now;
      }
      message->at = INT64_MAX; /* its receiver frees it */
      return;
   case MSG_FREE:
      return;
   }
}
