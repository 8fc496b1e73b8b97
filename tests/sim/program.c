/* What the processes of the simulation do: what `eclose up` does with the lease and the changelog, with small
 * migrations of a few steps each. */
#include "sim.h"

#include "run/insist.h"

const char *const program_names[N_MIGRATIONS] = {"20260101T0000_first", "20260102T0000_second"};

/* Work of a step: a statement that may be repeated. */
static bool
run_step (process_t *process, int migration, int step, bson_error_t *error)
{
   ecl_held_world_t held;
   ecl_world_t *world = ecl_held_world_init (&held, &process->worker.world, &process->holder);
   bson_t *command, reply;
   char id[16];
   bool good;

   snprintf (id, sizeof id, "m%d.s%d", migration, step);
   command = BCON_NEW ("update", "effects", "updates", "[", "{", "q", "{", "_id", BCON_UTF8 (id), "}", "u", "[", "{",
                       "$set", "{", "times", "{", "$add", "[", "{", "$ifNull", "[", BCON_UTF8 ("$times"),
                       BCON_INT32 (0), "]", "}", BCON_INT32 (1), "]", "}", "}", "}", "]", "upsert", BCON_BOOL (true), "}",
                       "]", "writeConcern", "{", "w", "majority", "}");
   good = ecl_insist (world, "shop", command, atomic_load (&process->holder.until), NULL, &reply, error) ==
          ECL_REPLY_OK;
   bson_destroy (&reply);
   bson_destroy (command);
   return good;
}

static bool
run_migration (process_t *process, const ecl_history_t *history, int migration, bson_error_t *error)
{
   const ecl_changelog_t *before = ecl_history_find (history, program_names[migration]);
   ecl_world_t *world = &process->worker.world;
   ecl_changelog_t record = {.name = program_names[migration],
                             .checksum = "c",
                             .steps = before ? before->steps : 0,
                             .who = process->holder.holder.who};
   int64_t until = atomic_load (&process->holder.until);

   if (before && before->state == ECL_CHANGELOG_APPLIED) {
      return true;
   }
   if (!ecl_history_claim (world, &process->holder, before, &record, error)) {
      const bson_t *lease =
         server_get (&process->sim->server, ECL_STORE_LEASE, process->holder.name, false);

      /* Refused to one whose lease stands: then it did not know what is stored. */
      if (process->sim->trusting && !process->dead && lease && check_number (lease, "token") == process->token &&
          until > process->sim->now) {
         sim_wrong (process->sim, "process %d holds the lease and could not claim %s: %s", process->index,
                    program_names[migration], error->message);
      }
      return false;
   }
   while (record.steps < N_STEPS) {
      if (!run_step (process, migration, record.steps, error) ||
          !ecl_history_step (world, &process->holder, &record, record.steps + 1, error)) {
         return false;
      }
      record.steps++;
   }
   record.state = ECL_CHANGELOG_APPLIED;
   return ecl_history_end (world, &process->holder, &record, error);
}

static bool
up (process_t *process)
{
   ecl_world_t *world = &process->worker.world;
   ecl_history_t history;
   bson_error_t error = {0};
   ecl_acquire_t got;
   bool good = false;

   if (process->before) {
      bson_destroy (process->before);
      process->before = NULL;
   }
   process->token = process->kill_done = 0;
   process->after = 0;
   ecl_history_init (&history);
   /* What is pending, to be said before the wait. */
   if (!ecl_history_read (&history, world, "shop", NULL, &error)) {
      goto done;
   }
   got = ecl_holder_acquire (&process->holder, world, process->wants_wait ? -1 : 0, NULL, NULL, &error);
   if (got != ECL_ACQUIRED) {
      goto done;
   }
   process->token = ecl_holder_token (&process->holder);
   process->granted = process->sim->now;
   check_granted (process);
   sim_log (process->sim, "process %d has the lease, token %" PRId64, process->index, process->token);
   if (process->holder.took_over) {
      sim_reached (process->sim, FAULT_TAKEOVER);
   }
   good = ecl_history_read (&history, world, "shop", &process->holder, &error);
   process->token = ecl_holder_token (&process->holder);
   if (good) {
      process_start_heart (process);
      for (int i = 0; good && i < N_MIGRATIONS; i++) {
         good = run_migration (process, &history, i, &error);
      }
      process_stop_heart (process);
   }
   ecl_holder_release (&process->holder, world);
   sim_log (process->sim, "process %d lets go: %s", process->index, good ? "done" : error.message);

done:
   if (!good && error.code == ECL_ERROR_LEASE) {
      sim_reached (process->sim, FAULT_REFUSED);
   }
   ecl_history_cleanup (&history);
   return good;
}

void
program_run (process_t *process)
{
   ecl_world_t *world = &process->worker.world;

   /* A container that failed is started again. */
   while (!process->dead && !up (process)) {
      (void) world->wait (world, 300);
   }
   if (!process->dead) {
      process->done = true;
      sim_log (process->sim, "process %d succeeded", process->index);
   }
}

void
program_heartbeat (process_t *process)
{
   ecl_world_t *world = &process->heart.world;
   bson_error_t error;

   for (;;) {
      (void) world->wait (world, ecl_holder_due (&process->holder, world->now (world)));
      if (process->stop_heart || process->dead || !ecl_holder_renew (&process->holder, world, &error)) {
         return;
      }
   }
}
