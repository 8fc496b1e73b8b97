/* The world of a simulated process. */
#include "sim.h"

/* How long a process waits for an answer, whatever time the command has. */
#define WORKER_TIMEOUT 2500
#define HEART_TIMEOUT (LEASE_TIME / 6)

static task_t *
task_of (ecl_world_t *world)
{
   return (task_t *) world;
}

static int64_t
world_now (ecl_world_t *self)
{
   process_t *process = task_of (self)->process;

   return process->dead ? (process->ghost += 1000) : process_clock (process, process->sim->now);
}

/* The same numbers for the same process in all seeds, so that the server meets the same pipelines again; what is by
 * chance is when messages arrive. */
static uint64_t
world_random (ecl_world_t *self)
{
   process_t *process = task_of (self)->process;
   uint64_t x = (++process->randoms + 1000 * (uint64_t) process->index) * 0x9E3779B97F4A7C15u;

   x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
   return x ^ (x >> 31);
}

static bool
world_cancelled (ecl_world_t *self)
{
   return task_of (self)->process->dead;
}

static bool
world_wait (ecl_world_t *self, int64_t ms)
{
   task_t *task = task_of (self);

   if (!misfortune_moment (task)) {
      return false;
   }
   task_block (task, task->process->sim->now + process_lasts (task->process, ms));
   return !task->process->dead;
}

static size_t
world_sessions (ecl_world_t *self, uint8_t (*ids)[16], size_t max)
{
   (void) max;
   memcpy (ids[0], task_of (self)->process->session, 16);
   return 1;
}

/* ---- commands ---- */

const char *
command_name (const bson_t *command)
{
   bson_iter_t iter;

   return bson_iter_init (&iter, command) && bson_iter_next (&iter) ? bson_iter_key (&iter) : "";
}

const char *
command_target (const bson_t *command)
{
   bson_iter_t iter;

   return bson_iter_init (&iter, command) && bson_iter_next (&iter) && BSON_ITER_HOLDS_UTF8 (&iter)
             ? bson_iter_utf8 (&iter, NULL)
             : "";
}

bool
command_writes (const bson_t *command, ecl_txn_t txn)
{
   static const char *const names[] = {"insert", "update", "delete", "findAndModify", "createIndexes", "collMod"};
   const char *name = command_name (command);

   for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
      if (strcmp (names[i], name) == 0) {
         return true;
      }
   }
   return txn == ECL_TXN_COMMIT;
}

/* ---- sending ---- */

static ecl_reply_t
ask (task_t *task, const ecl_call_t *call, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   sim_t *sim = task->process->sim;
   int64_t sent = sim->now, wait = task->heart ? HEART_TIMEOUT : WORKER_TIMEOUT;
   int64_t left = deadline - process_clock (task->process, sent);
   ecl_reply_t answer;

   network_send (task, call, call->command, left > 1 ? left : 1);
   task_block (task, sent + wait);
   answer = network_receive (task, reply, error);
   if (sim->story->answered && !task->process->app && !task->process->dead) {
      sim->story->answered (task->process, call, sent, answer, reply);
   }
   if (sim->mutation != MUTATE_NONE && answer == ECL_REPLY_OK) {
      mutate_reply (task->process, call->command, reply);
   }
   return answer;
}

/* What a driver makes of transactions. */
static ecl_reply_t
end_transaction (task_t *task, const ecl_call_t *call, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   process_t *process = task->process;
   bool commit = call->txn == ECL_TXN_COMMIT;
   ecl_reply_t answer;

   if (!process->txn_open) {
      bson_init (reply);
      if (!commit) {
         return ECL_REPLY_OK;
      }
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "no transaction is open");
      return ECL_REPLY_LOST;
   }
   process->txn_open = false;
   answer = ask (task, call, deadline, reply, error);
   if (commit && answer == ECL_REPLY_LOST && !process->dead) {
      /* Drivers try once more by themselves. */
      bson_destroy (reply);
      task->again = true;
      answer = ask (task, call, deadline, reply, error);
      task->again = false;
      if (answer == ECL_REPLY_LOST) {
         sim_reached (process->sim, FAULT_COMMIT);
      }
   }
   if (commit && answer == ECL_REPLY_OK && bson_has_field (reply, "writeConcernError")) {
      /* WriteConcernFailed: drivers make an error of it. */
      bson_set_error (error, 17, 64, "the majority did not have the commit in time");
      sim_reached (process->sim, FAULT_COMMIT);
      return ECL_REPLY_REFUSED;
   }
   return commit ? answer : ECL_REPLY_OK;
}

static ecl_reply_t
world_run_command (ecl_world_t *self, const ecl_call_t *call, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   task_t *task = task_of (self);
   process_t *process = task->process;
   ecl_reply_t answer;

   if (!misfortune_moment (task)) {
      goto dead;
   }
   if (process->sim->mutation != MUTATE_NONE && mutate_answer (task, call, reply)) {
      return ECL_REPLY_OK;
   }
   if (call->txn == ECL_TXN_COMMIT || call->txn == ECL_TXN_ABORT) {
      answer = end_transaction (task, call, deadline, reply, error);
   } else {
      if (call->txn == ECL_TXN_BEGIN) {
         process->txn_number++;
         process->txn_open = true;
      }
      answer = ask (task, call, deadline, reply, error);
   }
   if (!misfortune_moment (task)) {
      bson_destroy (reply);
      goto dead;
   }
   if (process->sim->mutation == MUTATE_REREAD && answer == ECL_REPLY_OK && !process->before &&
       strcmp (command_target (call->command), ECL_STORE_CHANGELOG) == 0 &&
       strcmp (command_name (call->command), "find") == 0) {
      process->before = bson_copy (reply);
   }
   return answer;

dead:
   bson_init (reply);
   ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "dead");
   return ECL_REPLY_LOST;
}

void
world_init (ecl_world_t *world)
{
   *world = (ecl_world_t){.now = world_now,
                          .random = world_random,
                          .wait = world_wait,
                          .cancelled = world_cancelled,
                          .run_command = world_run_command,
                          .sessions = world_sessions};
}
