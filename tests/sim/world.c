/* The world of a simulated process, and what mutations make of its commands. */
#include "sim.h"

#include "upgrade/append.h"

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

   return process->dead ? (process->ghost += 1000) : process->sim->now;
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
   task_block (task, task->process->sim->now + ms);
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
   static const char *const names[] = {"insert", "update", "delete", "findAndModify", "createIndexes"};
   const char *name = command_name (command);

   for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
      if (strcmp (names[i], name) == 0) {
         return true;
      }
   }
   return txn == ECL_TXN_COMMIT;
}

/* ---- mutations: eclose forgot something ---- */

/* {query: {_id, token}} or {updates: [{q: {_id, token}, …}]} without its token. */
static void
strip_token (const bson_t *command, bson_t *out)
{
   bson_iter_t iter, one, child;

   BSON_ASSERT (bson_iter_init (&iter, command));
   while (bson_iter_next (&iter)) {
      const char *key = bson_iter_key (&iter);
      bson_t query, updates, update;

      if (strcmp (key, "query") == 0) {
         BSON_APPEND_DOCUMENT_BEGIN (out, "query", &query);
         BSON_ASSERT (bson_iter_recurse (&iter, &one) && bson_iter_find (&one, "_id"));
         bson_append_iter (&query, NULL, 0, &one);
         bson_append_document_end (out, &query);
      } else if (strcmp (key, "updates") == 0) {
         BSON_APPEND_ARRAY_BEGIN (out, "updates", &updates);
         BSON_APPEND_DOCUMENT_BEGIN (&updates, "0", &update);
         BSON_APPEND_DOCUMENT_BEGIN (&update, "q", &query);
         BSON_ASSERT (bson_iter_init (&one, command) && bson_iter_find_descendant (&one, "updates.0.q._id", &child));
         bson_append_iter (&query, NULL, 0, &child);
         bson_append_document_end (&update, &query);
         BSON_ASSERT (bson_iter_init (&one, command) && bson_iter_find_descendant (&one, "updates.0.u", &child));
         bson_append_iter (&update, NULL, 0, &child);
         bson_append_document_end (&updates, &update);
         bson_append_array_end (out, &updates);
      } else {
         bson_append_iter (out, NULL, 0, &iter);
      }
   }
}

/* A transaction's note {steps: n} becomes one of something else. */
static void
strip_note (const bson_t *command, bson_t *out)
{
   bson_iter_t iter, id, token;
   bson_t *other;

   BSON_ASSERT (bson_iter_init (&iter, command) && bson_iter_find_descendant (&iter, "updates.0.q._id", &id) &&
                bson_iter_init (&iter, command) && bson_iter_find_descendant (&iter, "updates.0.q.token", &token));
   other =
      BCON_NEW ("update", BCON_UTF8 (ECL_STORE_CHANGELOG), "updates", "[", "{", "q", "{", "_id", BCON_ITER (&id),
                "token", BCON_ITER (&token), "}", "u", "{", "$set", "{", "noted", BCON_BOOL (true), "}", "}", "}", "]");
   bson_concat (out, other);
   bson_destroy (other);
}

static void
strip_concern (const bson_t *command, bson_t *out)
{
   bson_iter_t iter;

   BSON_ASSERT (bson_iter_init (&iter, command));
   while (bson_iter_next (&iter)) {
      if (strcmp (bson_iter_key (&iter), "writeConcern") != 0) {
         bson_append_iter (out, NULL, 0, &iter);
      }
   }
}

static bool
has (const bson_t *command, const char *path)
{
   bson_iter_t iter, child;

   return bson_iter_init (&iter, command) && bson_iter_find_descendant (&iter, path, &child);
}

static bool
loses_token (mutation_t mutation, const bson_t *command)
{
   const char *name = command_name (command), *collection = command_target (command);

   if (strcmp (collection, ECL_STORE_LEASE) == 0 && strcmp (name, "findAndModify") == 0) {
      return (mutation == MUTATE_RENEW && has (command, "update.0.$replaceWith") && !has (command, "upsert")) ||
             (mutation == MUTATE_FREE && has (command, "update.0.$set.expires"));
   }
   if (strcmp (collection, ECL_STORE_CHANGELOG) == 0 && strcmp (name, "update") == 0 &&
       has (command, "updates.0.u.0.$set")) {
      return mutation == (has (command, "updates.0.u.0.$set.state") ? MUTATE_END : MUTATE_STEP);
   }
   return false;
}

void
mutate (const sim_t *sim, bool app, const bson_t *command, bson_t *out)
{
   bool own = strncmp (command_target (command), "eclose_", 7) == 0;

   bson_init (out);
   if (app || sim->mutation == MUTATE_NONE) {
      bson_concat (out, command);
   } else if (loses_token (sim->mutation, command)) {
      strip_token (command, out);
   } else if (sim->mutation == MUTATE_NOTE && has (command, "updates.0.u.$set.steps")) {
      strip_note (command, out);
   } else if (sim->mutation == (own ? MUTATE_MAJORITY : MUTATE_EFFECT)) {
      strip_concern (command, out);
   } else {
      bson_concat (out, command);
   }
}

/* What is answered without asking the server; false where nothing is. */
static bool
pretend (task_t *task, const ecl_call_t *call, bson_t *reply)
{
   process_t *process = task->process;
   sim_t *sim = process->sim;
   const char *name = command_name (call->command), *collection = command_target (call->command);
   bson_t *answer = NULL;

   if (sim->mutation == MUTATE_REREAD && process->before && strcmp (name, "find") == 0 &&
       strcmp (collection, ECL_STORE_CHANGELOG) == 0) {
      if (has (call->command, "filter._id.$gte")) {
         answer = bson_copy (process->before);
      } else if (has (call->command, "filter._id.$gt")) {
         answer = BCON_NEW ("cursor", "{", "firstBatch", "[", "]", "}");
      }
   } else if (sim->mutation == MUTATE_KILL && strcmp (name, "killSessions") == 0) {
      process->kill_done = sim->now;
      answer = bson_new ();
   } else if (sim->mutation == MUTATE_TOUCH && call->txn == ECL_TXN_CONTINUE &&
              strcmp (collection, ECL_STORE_LEASE) == 0) {
      answer = BCON_NEW ("n", BCON_INT32 (1));
   } else if (sim->mutation == MUTATE_UNLESS && strcmp (name, "find") == 0 && strcmp (collection, "posts") == 0 &&
              !process->app) {
      answer = BCON_NEW ("cursor", "{", "firstBatch", "[", "]", "id", BCON_INT64 (0), "}");
   }
   if (!answer) {
      return false;
   }
   bson_copy_to (answer, reply);
   bson_destroy (answer);
   return true;
}

/* ---- sending ---- */

static ecl_reply_t
ask (task_t *task, const ecl_call_t *call, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   sim_t *sim = task->process->sim;
   int64_t left = deadline - sim->now, wait = task->heart ? HEART_TIMEOUT : WORKER_TIMEOUT;

   network_send (task, call, call->command, left > 1 ? left : 1);
   task_block (task, sim->now + wait);
   return network_receive (task, reply, error);
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
      answer = ask (task, call, deadline, reply, error);
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
   bool reads = strcmp (command_target (call->command), ECL_STORE_CHANGELOG) == 0 &&
                strcmp (command_name (call->command), "find") == 0;
   ecl_reply_t answer;

   if (!misfortune_moment (task)) {
      goto dead;
   }
   if (process->sim->mutation != MUTATE_NONE && pretend (task, call, reply)) {
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
   if (reads && answer == ECL_REPLY_OK && !process->before && process->sim->mutation == MUTATE_REREAD) {
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
