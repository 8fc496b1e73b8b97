/* The world of the simulator: time, messages, faults, and who goes on next. See sim.h. */
#include "sim.h"

#include <inttypes.h>
#include <stdarg.h>

/* How long a process waits for an answer. */
#define WORKER_TIMEOUT 2500
#define HEART_TIMEOUT (LEASE_TIME / 6)

/* Faults stop here, and everything has to come to its end before the limit. */
#define FAULTS_UNTIL 9000
#define LIMIT 300000

enum { RATE_LOSS, RATE_LATE, RATE_DIE, RATE_PAUSE, RATE_SLOW, RATE_FAILOVER, RATE_MEDDLE };

uint64_t
sim_random (sim_t *self)
{
   /* splitmix64 */
   uint64_t x = self->chance += 0x9E3779B97F4A7C15u;

   x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
   x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
   return x ^ (x >> 31);
}

bool
sim_chance (sim_t *self, uint64_t of)
{
   return sim_random (self) % of == 0;
}

static int64_t
between (sim_t *self, int64_t low, int64_t high)
{
   return low + (int64_t) (sim_random (self) % (uint64_t) (high - low + 1));
}

/* Whether a fault of a kind happens now. */
static bool
fault (sim_t *self, int rate)
{
   return self->rates[rate] && self->now < self->faults_until && sim_chance (self, (uint64_t) self->rates[rate]);
}

void
sim_log (sim_t *self, const char *format, ...)
{
   va_list args;

   if (!self->verbose) {
      return;
   }
   printf ("%7" PRId64 "  ", self->now);
   va_start (args, format);
   vprintf (format, args);
   va_end (args);
   putchar ('\n');
}

void
sim_wrong (sim_t *self, const char *format, ...)
{
   va_list args;

   if (self->wrong[0]) {
      return;
   }
   va_start (args, format);
   vsnprintf (self->wrong, sizeof self->wrong, format, args);
   va_end (args);
   sim_log (self, "WRONG: %s", self->wrong);
}

/* ---- processes ---- */

static void
die (process_t *process)
{
   sim_t *sim = process->sim;

   process->dead = true;
   process->ghost = sim->now;
   sim_reached (sim, FAULT_DIED);
   if (ecl_holder_held (&process->holder, sim->now)) {
      sim_reached (sim, FAULT_DIED_HOLDING);
   }
   sim_log (sim, "process %d dies", process->index);
}

static void
pause_process (process_t *process)
{
   sim_t *sim = process->sim;
   int64_t length = between (sim, 50, sim_chance (sim, 2) ? 3 * LEASE_TIME : 800);

   process->paused_until = sim->now + length;
   sim_reached (sim, FAULT_PAUSED);
   if (ecl_holder_held (&process->holder, sim->now) && !ecl_holder_held (&process->holder, process->paused_until)) {
      sim_reached (sim, FAULT_PAUSED_PAST);
   }
   sim_log (sim, "process %d stops for %" PRId64 " ms", process->index, length);
}

static void
block (task_t *task, int64_t until)
{
   task->wake = until;
   fiber_yield (task->fiber);
}

/* A moment at which a process may be hit. False where it is dead. */
static bool
moment (task_t *task)
{
   process_t *process = task->process;

   if (process->dead) {
      return false;
   }
   if (fault (process->sim, RATE_DIE)) {
      die (process);
      return false;
   }
   if (fault (process->sim, RATE_PAUSE)) {
      pause_process (process);
      block (task, process->paused_until);
   }
   return !process->dead;
}

/* ---- the world's functions ---- */

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

static uint64_t
world_random (ecl_world_t *self)
{
   return sim_random (task_of (self)->process->sim);
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

   if (!moment (task)) {
      return false;
   }
   block (task, task->process->sim->now + ms);
   return !task->process->dead;
}

static size_t
world_sessions (ecl_world_t *self, uint8_t (*ids)[16], size_t max)
{
   (void) max;
   memcpy (ids[0], task_of (self)->process->session, 16);
   return 1;
}

static message_t *
new_message (sim_t *sim)
{
   for (size_t i = 0; i < MAX_MESSAGES; i++) {
      if (sim->messages[i].stage == MSG_FREE) {
         memset (&sim->messages[i], 0, sizeof sim->messages[i]);
         return &sim->messages[i];
      }
   }
   fprintf (stderr, "sim: too many messages\n");
   abort ();
}

static void
free_message (message_t *message)
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
   free_message (message);
}

/* What a mutation does to a command on its way: eclose forgot something. */
static void
mutate (sim_t *sim, const bson_t *command, bson_t *out)
{
   const char *name, *collection;
   bson_iter_t iter, child;
   bool strip = false;

   bson_init (out);
   BSON_ASSERT (bson_iter_init (&iter, command) && bson_iter_next (&iter));
   name = bson_iter_key (&iter);
   collection = BSON_ITER_HOLDS_UTF8 (&iter) ? bson_iter_utf8 (&iter, NULL) : "";
   if (strcmp (collection, ECL_STORE_LEASE) == 0 && strcmp (name, "findAndModify") == 0) {
      bool renew = bson_iter_init (&iter, command) && bson_iter_find_descendant (&iter, "update.0.$replaceWith", &child);

      strip = (sim->mutation == MUTATE_RENEW && renew && !bson_has_field (command, "upsert")) ||
              (sim->mutation == MUTATE_FREE && bson_iter_init (&iter, command) &&
               bson_iter_find_descendant (&iter, "update.0.$set.expires", &child));
   }
   if (strcmp (collection, ECL_STORE_CHANGELOG) == 0 && strcmp (name, "update") == 0) {
      bool end = bson_iter_init (&iter, command) &&
                 bson_iter_find_descendant (&iter, "updates.0.u.0.$set.state", &child);

      strip = sim->mutation == (end ? MUTATE_END : MUTATE_STEP);
   }
   if (!strip) {
      bson_concat (out, command);
      return;
   }
   /* {query: {_id, token}} or {updates: [{q: {_id, token}, …}]} without its token */
   BSON_ASSERT (bson_iter_init (&iter, command));
   while (bson_iter_next (&iter)) {
      const char *key = bson_iter_key (&iter);
      bson_iter_t one;
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

static bool
is_kill (const bson_t *command)
{
   return bson_has_field (command, "killSessions");
}

/* Which step's effect a command is. */
static void
read_step (const bson_t *command, sender_t *sender)
{
   const char *id;

   sender->migration = sender->step = -1;
   if (strcmp (check_text (command, "update"), "effects") == 0) {
      bson_iter_t iter, at;

      BSON_ASSERT (bson_iter_init (&iter, command) && bson_iter_find_descendant (&iter, "updates.0.q._id", &at));
      id = bson_iter_utf8 (&at, NULL); /* "m0.s1" */
      sender->migration = id[1] - '0';
      sender->step = id[4] - '0';
   }
}

static void
send (task_t *task, const bson_t *command)
{
   process_t *process = task->process;
   sim_t *sim = process->sim;
   message_t *message = new_message (sim);
   bool writes;

   if (process->token && ecl_holder_token (&process->holder)) {
      process->token = ecl_holder_token (&process->holder); /* it may have been raised */
   }
   message->stage = MSG_COMING;
   message->task = task;
   message->epoch = sim->epoch;
   message->sender = (sender_t){.process = process, .token = process->token, .sent = sim->now};
   memcpy (message->sender.session, process->session, 16);
   read_step (command, &message->sender);
   mutate (sim, command, &message->command);
   message->at = sim->now + between (sim, 1, sim_chance (sim, 50) ? 300 : 25);
   if (fault (sim, RATE_LATE)) {
      message->at = sim->now + between (sim, 600, 3 * LEASE_TIME);
   }
   if (fault (sim, RATE_LOSS)) {
      if (sim_chance (sim, 2)) {
         sim_reached (sim, FAULT_REQUEST_LOST);
         free_message (message);
         message = NULL;
      } else {
         message->reply_lost = true;
         sim_reached (sim, FAULT_REPLY_LOST);
      }
   }
   task->message = message;
   task->answered = false;
   /* What counts as changing something under the lease. */
   writes = !task->heart && (strcmp (check_text (command, "update"), "") != 0 ||
                             strcmp (check_text (command, "findAndModify"), ECL_STORE_CHANGELOG) == 0);
   if (writes && process->token && !ecl_holder_held (&process->holder, sim->now)) {
      if (message) {
         message->sender.after = true;
      }
      if (++process->after > 1) {
         sim_wrong (sim, "process %d sent %d statements after its lease had ended by its own clock", process->index,
                    process->after);
      }
   }
   if (message && message->sender.migration >= 0) {
      message->long_run = sim->now < sim->faults_until && sim_chance (sim, 4);
      check_step_sent (sim, process, message->sender.migration, message->sender.step);
   }
}

/* What became of the command: the reply of the message, or nothing. */
static ecl_reply_t
receive (task_t *task, bson_t *reply, bson_error_t *error)
{
   message_t *message = task->message;
   bson_iter_t iter;

   task->message = NULL;
   if (!task->answered) {
      if (message) {
         message->task = NULL;
      }
      bson_init (reply);
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "no answer");
      return ECL_REPLY_LOST;
   }
   bson_copy_to (&message->reply, reply);
   free_message (message);
   if (bson_iter_init_find (&iter, reply, "code")) {
      ecl_fail (error, ECL_DOMAIN_RUN, (uint32_t) bson_iter_int32 (&iter), "refused");
      return ECL_REPLY_REFUSED;
   }
   return ECL_REPLY_OK;
}

static ecl_reply_t
world_run_command (ecl_world_t *self, const ecl_call_t *call, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   task_t *task = task_of (self);
   process_t *process = task->process;
   sim_t *sim = process->sim;
   bool reads = strcmp (check_text (call->command, "find"), ECL_STORE_CHANGELOG) == 0;
   ecl_reply_t answer;
   bson_iter_t iter, at;

   (void) deadline;
   if (!moment (task)) {
      goto dead;
   }
   if (reads && sim->mutation == MUTATE_REREAD && process->before) {
      bool first = bson_iter_init (&iter, call->command) && bson_iter_find_descendant (&iter, "filter._id.$gte", &at);
      bson_t *empty = BCON_NEW ("cursor", "{", "firstBatch", "[", "]", "}");

      bson_copy_to (first ? process->before : empty, reply);
      bson_destroy (empty);
      return ECL_REPLY_OK;
   }
   if (is_kill (call->command) && sim->mutation == MUTATE_KILL) {
      process->kill_done = sim->now;
      bson_init (reply);
      return ECL_REPLY_OK;
   }
   send (task, call->command);
   block (task, sim->now + (task->heart ? HEART_TIMEOUT : WORKER_TIMEOUT));
   answer = receive (task, reply, error);
   if (!moment (task)) {
      bson_destroy (reply);
      goto dead;
   }
   if (reads && answer == ECL_REPLY_OK && !process->before) {
      process->before = bson_copy (reply);
   }
   return answer;

dead:
   bson_init (reply);
   ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "dead");
   return ECL_REPLY_LOST;
}

/* ---- fibers of a process ---- */

static void
worker_body (void *context)
{
   program_run (context);
}

static void
heart_body (void *context)
{
   program_heartbeat (context);
}

static void
init_task (process_t *process, task_t *task, bool heart)
{
   memset (task, 0, sizeof *task);
   task->world = (ecl_world_t){.now = world_now,
                               .random = world_random,
                               .wait = world_wait,
                               .cancelled = world_cancelled,
                               .run_command = world_run_command,
                               .sessions = world_sessions};
   task->process = process;
   task->heart = heart;
   task->fiber = fiber_start (heart ? heart_body : worker_body, process);
   task->wake = process->sim->now;
}

static bool
alive (const task_t *task)
{
   return task->fiber && !fiber_ended (task->fiber);
}

static void
end_task (task_t *task)
{
   if (task->fiber) {
      BSON_ASSERT (fiber_ended (task->fiber));
      fiber_destroy (task->fiber);
      task->fiber = NULL;
   }
}

static void
resume (task_t *task)
{
   task->wake = INT64_MAX;
   fiber_resume (task->fiber);
}

void
process_start_heart (process_t *process)
{
   process->stop_heart = false;
   end_task (&process->heart);
   init_task (process, &process->heart, true);
}

void
process_stop_heart (process_t *process)
{
   process->stop_heart = true;
   if (alive (&process->heart) && process->heart.wake != INT64_MAX && !process->heart.message) {
      process->heart.wake = process->sim->now;
   }
   while (!process->dead && alive (&process->heart)) {
      block (&process->worker, process->sim->now + 5);
   }
}

static void
start_process (sim_t *sim, int64_t delay)
{
   process_t *process = &sim->processes[sim->n_processes];
   ecl_holder_options_t options = {.database = "shop",
                                   .time = LEASE_TIME,
                                   .skew = sim->mutation == MUTATE_WAIT ? 0 : LEASE_SKEW,
                                   .who = {.host = "sim", .pid = (int64_t) sim->n_processes}};
   uint64_t a = sim_random (sim), b = sim_random (sim);

   BSON_ASSERT (sim->n_processes < MAX_PROCESSES);
   memset (process, 0, sizeof *process);
   process->sim = sim;
   process->index = (int) sim->n_processes++;
   process->used = true;
   process->wants_wait = sim_chance (sim, 2);
   memcpy (process->session, &a, 8);
   memcpy (process->session + 8, &b, 8);
   ecl_holder_init (&process->holder, &options);
   init_task (process, &process->worker, false);
   process->worker.wake = sim->now + delay;
   sim_log (sim, "process %d starts", process->index);
}

/* ---- messages ---- */

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
   message->at = sim->now + between (sim, 1, 20);
}

static void
execute (sim_t *sim, message_t *message)
{
   int64_t lag = between (sim, 1, 40);
   bson_t reply;

   if (!message->task) {
      sim_reached (sim, FAULT_LATE);
   }
   if (fault (sim, RATE_SLOW)) {
      lag = between (sim, 100, 1200);
      message->wtimeout = true;
   }
   server_execute (&sim->server, sim, &message->sender, &message->command, sim->now, lag, &reply, &message->safe);
   if (message->sender.migration >= 0) {
      check_effect (sim, &message->sender);
   }
   set_reply (message, &reply);
   message->stage = MSG_SETTLING;
   message->at = message->safe > sim->now && sim->mutation != MUTATE_MAJORITY ? message->safe : sim->now;
   if (message->wtimeout && message->at > sim->now + 200) {
      bson_t concern;

      sim_reached (sim, FAULT_WTIMEOUT);
      message->at = sim->now + 200;
      BSON_APPEND_DOCUMENT_BEGIN (&message->reply, "writeConcernError", &concern);
      BSON_APPEND_INT32 (&concern, "code", 64);
      bson_append_document_end (&message->reply, &concern);
   }
}

static void
step_message (sim_t *sim, message_t *message)
{
   switch (message->stage) {
   case MSG_COMING:
      if (sim->now < sim->server.down_until) {
         refuse (sim, message, 10107);
         return;
      }
      message->sender.arrived = sim->now;
      message->epoch = sim->epoch;
      if (message->long_run) {
         message->stage = MSG_RUNNING;
         message->at = sim->now + between (sim, 200, 3 * LEASE_TIME);
         return;
      }
      execute (sim, message);
      return;
   case MSG_RUNNING:
      if (message->refused || message->epoch != sim->epoch) {
         refuse (sim, message, 11601);
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
      message->at = sim->now + between (sim, 1, 20);
      return;
   case MSG_GOING:
      if (!message->task || message->reply_lost) {
         discard (message);
         return;
      }
      message->task->answered = true;
      message->task->wake = sim->now;
      message->at = INT64_MAX; /* its receiver frees it */
      return;
   case MSG_FREE:
      return;
   }
}

/* ---- the server's misfortunes ---- */

static void
fail_over (sim_t *sim)
{
   sim_reached (sim, FAULT_FAILOVER);
   sim->epoch++;
   sim->server.down_until = sim->now + between (sim, 50, 600);
   if (sim_chance (sim, 2)) {
      if (server_roll_back (&sim->server)) {
         sim_reached (sim, FAULT_ROLLBACK);
      }
   } else {
      server_settle (&sim->server, INT64_MAX);
   }
   sim->server.last_safe = sim->now;
   sim->server.offset = between (sim, -LEASE_SKEW / 2, LEASE_SKEW / 2);
   sim_log (sim, "another primary; its clock is %+" PRId64 " ms", sim->server.offset);
}

static void
meddle (sim_t *sim)
{
   static const char key[] = ECL_LEASE_MIGRATIONS;

   switch (sim_random (sim) % 3) {
   case 0:
      sim->server.offset += sim_chance (sim, 2) ? between (sim, LEASE_SKEW + 1, 4 * LEASE_TIME)
                                                : -between (sim, LEASE_SKEW + 1, 4 * LEASE_TIME);
      sim_reached (sim, FAULT_JUMP);
      sim_log (sim, "the server's clock jumps: %+" PRId64 " ms", sim->server.offset);
      return;
   case 1:
      server_remove (&sim->server, ECL_STORE_LEASE, key);
      sim_reached (sim, FAULT_REMOVED);
      sim_log (sim, "somebody removes the lease");
      return;
   default: {
      const bson_t *lease = server_get (&sim->server, ECL_STORE_LEASE, key, false);
      ecl_lease_key_t whole = {.collection = ECL_STORE_LEASE, .id = ecl_string (key, strlen (key)), .time = LEASE_TIME};
      sender_t sender = {.migration = -1, .step = -1};
      bson_t command, reply;
      int64_t safe;

      if (lease && bson_has_field (lease, "holder")) {
         ecl_lease_break (&whole, check_number (lease, "token"), &command);
         server_execute (&sim->server, sim, &sender, &command, sim->now, 5, &reply, &safe);
         bson_destroy (&command);
         bson_destroy (&reply);
         sim_reached (sim, FAULT_BROKEN);
         sim_log (sim, "somebody breaks the lease by force");
      }
   }
   }
}

static void
misfortune (sim_t *sim)
{
   if (fault (sim, RATE_FAILOVER)) {
      fail_over (sim);
   }
   if (fault (sim, RATE_MEDDLE)) {
      meddle (sim);
   }
   if (sim->now < sim->faults_until && sim->n_processes < MAX_PROCESSES - 1) {
      for (size_t i = 0; i < sim->n_processes; i++) {
         /* A container that died is started again, once. */
         if (sim->processes[i].dead && !sim->processes[i].done) {
            sim->processes[i].done = true;
            start_process (sim, between (sim, 100, 2000));
            return;
         }
      }
   }
}

/* ---- what happens next ---- */

#define MISFORTUNE_EVERY 400

static int64_t
task_at (const task_t *task)
{
   if (!alive (task)) {
      return INT64_MAX;
   }
   if (task->process->dead) {
      return 0;
   }
   return task->wake < task->process->paused_until ? task->process->paused_until : task->wake;
}

/* Goes on to the next event; false where there is none. */
static bool
next (sim_t *sim, int64_t *misfortune_at)
{
   int64_t at = INT64_MAX;
   message_t *message = NULL;
   task_t *task = NULL;

   for (size_t i = 0; i < MAX_MESSAGES; i++) {
      if (sim->messages[i].stage != MSG_FREE && sim->messages[i].at < at) {
         message = &sim->messages[i];
         at = message->at;
      }
   }
   for (size_t i = 0; i < sim->n_processes; i++) {
      task_t *tasks[] = {&sim->processes[i].worker, &sim->processes[i].heart};

      for (size_t j = 0; j < 2; j++) {
         int64_t when = task_at (tasks[j]);

         if (when < at) {
            task = tasks[j];
            at = when;
            message = NULL;
         }
      }
   }
   if (*misfortune_at < at && at != INT64_MAX && *misfortune_at < sim->faults_until) {
      sim->now = *misfortune_at > sim->now ? *misfortune_at : sim->now;
      *misfortune_at += MISFORTUNE_EVERY;
      server_settle (&sim->server, sim->now);
      misfortune (sim);
      return true;
   }
   if (at == INT64_MAX) {
      return false;
   }
   sim->now = at > sim->now ? at : sim->now;
   server_settle (&sim->server, sim->now);
   if (message) {
      step_message (sim, message);
   } else if (task) {
      resume (task);
   }
   return true;
}

static bool
any_alive (const sim_t *sim)
{
   for (size_t i = 0; i < sim->n_processes; i++) {
      if (alive (&sim->processes[i].worker) || alive (&sim->processes[i].heart)) {
         return true;
      }
   }
   return false;
}

static void
choose (sim_t *sim)
{
   /* Each kind of fault in half of the seeds, often or rarely; so that none hides behind another. */
   static const int often[] = {12, 12, 60, 40, 8, 5, 8};

   for (size_t i = 0; i < sizeof often / sizeof often[0]; i++) {
      sim->rates[i] = sim_chance (sim, 2) ? often[i] * (sim_chance (sim, 2) ? 1 : 4) : 0;
   }
   sim->trusting = !sim_chance (sim, 4);
   if (sim->trusting) {
      sim->rates[RATE_MEDDLE] = 0;
   }
   sim->server.offset = between (sim, -LEASE_SKEW / 2, LEASE_SKEW / 2);
}

bool
sim_run (uint64_t seed, mutation_t mutation, bool verbose, unsigned *faults, unsigned *events, char wrong[512])
{
   static sim_t sim; /* large; one at a time */
   int64_t misfortune_at = 300;
   bool last = false;

   memset (&sim, 0, sizeof sim);
   sim.seed = seed;
   sim.chance = seed * 0xD1342543DE82EF95u + 1;
   sim.mutation = mutation;
   sim.verbose = verbose;
   sim.now = 1000;
   sim.faults_until = FAULTS_UNTIL;
   server_init (&sim.server);
   choose (&sim);
   for (int64_t n = between (&sim, 2, 3); n > 0; n--) {
      start_process (&sim, between (&sim, 0, 1500));
   }
   while (!sim.wrong[0]) {
      sim.events++;
      if (!any_alive (&sim)) {
         if (last) {
            check_end (&sim);
            break;
         }
         /* One more, undisturbed: whatever happened, what is left can be done. */
         last = true;
         sim.faults_until = sim.now;
         start_process (&sim, 1);
      }
      if (!next (&sim, &misfortune_at)) {
         sim_wrong (&sim, "nothing happens any more, and processes wait");
      }
      check_holders (&sim);
      if (sim.now > LIMIT) {
         sim_wrong (&sim, "it does not come to its end");
      }
   }
   for (size_t i = 0; i < sim.n_processes; i++) {
      process_t *process = &sim.processes[i];
      task_t *tasks[] = {&process->worker, &process->heart};

      process->dead = true;
      process->ghost = sim.now;
      for (size_t j = 0; j < 2; j++) {
         while (alive (tasks[j])) {
            resume (tasks[j]);
         }
         end_task (tasks[j]);
      }
      ecl_holder_cleanup (&process->holder);
      if (process->before) {
         bson_destroy (process->before);
      }
   }
   for (size_t i = 0; i < MAX_MESSAGES; i++) {
      if (sim.messages[i].stage != MSG_FREE) {
         free_message (&sim.messages[i]);
      }
   }
   server_cleanup (&sim.server);
   *faults |= sim.faults;
   *events += sim.events;
   memcpy (wrong, sim.wrong, sizeof sim.wrong);
   return !sim.wrong[0];
}
