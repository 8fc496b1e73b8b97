/* What must hold whatever happens: the properties of the simulation. */
#include "sim.h"

#include <inttypes.h>

int64_t
check_number (const bson_t *document, const char *field)
{
   bson_iter_t iter;

   return document && bson_iter_init_find (&iter, document, field) && BSON_ITER_HOLDS_NUMBER (&iter)
             ? bson_iter_as_int64 (&iter)
             : 0;
}

const char *
check_text (const bson_t *document, const char *field)
{
   bson_iter_t iter;

   return document && bson_iter_init_find (&iter, document, field) && BSON_ITER_HOLDS_UTF8 (&iter)
             ? bson_iter_utf8 (&iter, NULL)
             : "";
}

static int
migration_of (const bson_t *record)
{
   return strstr (check_text (record, "_id"), "second") ? 1 : 0;
}

static void
check_changelog (sim_t *sim, const sender_t *sender, const bson_t *before, const bson_t *after)
{
   int migration = migration_of (after);
   int64_t was = check_number (before, "token");
   bool applied = strcmp (check_text (after, "state"), "applied") == 0;

   sim_log (sim, "    %s: %s, steps %d, token %" PRId64 ", by process %d", check_text (after, "_id"),
            check_text (after, "state"), (int) check_number (after, "steps"), check_number (after, "token"),
            sender->process->index);
   if (was > sender->token) {
      sim_wrong (sim, "process %d with token %" PRId64 " changed the record of %s, which has token %" PRId64,
                 sender->process->index, sender->token, check_text (after, "_id"), was);
   }
   if (check_number (after, "token") < was) {
      sim_wrong (sim, "the token of %s went back", check_text (after, "_id"));
   }
   if (strcmp (check_text (before, "state"), "applied") == 0 && !applied) {
      sim_wrong (sim, "%s was applied, and is %s", check_text (after, "_id"), check_text (after, "state"));
   }
   if (check_number (after, "steps") < check_number (before, "steps")) {
      sim_wrong (sim, "the steps of %s went back from %" PRId64 " to %" PRId64, check_text (after, "_id"),
                 check_number (before, "steps"), check_number (after, "steps"));
   }
   for (int i = 0; i < N_STEPS; i++) {
      char id[16];

      snprintf (id, sizeof id, "m%d.s%d", migration, i);
      if (applied && !server_get (&sim->server, "effects", id, true)) {
         sim_wrong (sim, "%s counts as applied and its step %d did not take place", check_text (after, "_id"), i);
      }
   }
}

static void
check_lease (sim_t *sim, const sender_t *sender, const bson_t *before, const bson_t *after)
{
   int64_t was = check_number (before, "token"), is = check_number (after, "token");

   sim_log (sim, "    lease: token %" PRId64 ", beat %" PRId64 ", by process %d", is, check_number (after, "beat"),
            sender->process ? sender->process->index : -1);
   if (was > is) {
      sim_wrong (sim, "the lease's token went back from %" PRId64 " to %" PRId64, was, is);
   }
   if (sender->process && sender->token && was > sender->token && was == is) {
      sim_wrong (sim, "process %d with token %" PRId64 " changed the lease, which has token %" PRId64,
                 sender->process->index, sender->token, was);
   }
}

void
check_write (sim_t *sim, const sender_t *sender, const char *collection, const bson_t *before, const bson_t *after)
{
   if (strcmp (collection, ECL_STORE_CHANGELOG) == 0) {
      check_changelog (sim, sender, before, after);
   } else if (strcmp (collection, ECL_STORE_LEASE) == 0) {
      check_lease (sim, sender, before, after);
   }
}

void
check_effect (sim_t *sim, const sender_t *sender)
{
   sim_log (sim, "    effect of step %d of migration %d, token %" PRId64 ", by process %d", sender->step,
            sender->migration, sender->token, sender->process->index);
   if (sender->token < sim->newest_effect) {
      sim_reached (sim, FAULT_LANDED);
      /* Only what was on its way when the next one was granted the lease: what ran at the server was ended. */
      if (sim->trusting && sender->token + 1 == sim->newest_effect && sender->arrived < sim->newest_killed && sender->arrived) {
         sim_wrong (sim,
                    "a statement of token %" PRId64 " that had reached the server at %" PRId64
                    " took effect after those of token %" PRId64 ", which had ended it at %" PRId64,
                    sender->token, sender->arrived, sim->newest_effect, sim->newest_killed);
      }
   } else if (sender->token > sim->newest_effect) {
      sim->newest_effect = sender->token;
      sim->newest_killed = sender->process->kill_done;
   }
}

void
check_step_sent (sim_t *sim, const process_t *process, int migration, int step)
{
   if (step < process->known[migration]) {
      sim_wrong (sim, "process %d repeats step %d of migration %d, which was recorded as done when it was granted the lease",
                 process->index, step, migration);
   }
}

void
check_granted (process_t *process)
{
   for (int i = 0; i < N_MIGRATIONS; i++) {
      process->known[i] =
         (int) check_number (server_get (&process->sim->server, ECL_STORE_CHANGELOG, program_names[i], true), "steps");
   }
}

void
check_holders (sim_t *sim)
{
   int first = -1;

   if (!sim->trusting) {
      return;
   }
   for (size_t i = 0; i < sim->n_processes; i++) {
      const process_t *process = &sim->processes[i];

      if (process->dead || !ecl_holder_held (&process->holder, sim->now)) {
         continue;
      }
      if (first >= 0) {
         sim_wrong (sim,
                    "processes %d and %d both believe that they hold the lease (tokens %" PRId64 " and %" PRId64
                    ", until %" PRId64 " and %" PRId64 ")",
                    first, process->index, ecl_holder_token (&sim->processes[first].holder),
                    ecl_holder_token (&process->holder), atomic_load (&sim->processes[first].holder.until),
                    atomic_load (&process->holder.until));
      }
      first = process->index;
   }
}

void
check_end (sim_t *sim)
{
   server_settle (&sim->server, INT64_MAX);
   for (size_t i = 0; i < N_MIGRATIONS; i++) {
      const bson_t *record = server_get (&sim->server, ECL_STORE_CHANGELOG, program_names[i], true);

      if (strcmp (check_text (record, "state"), "applied") != 0 || check_number (record, "steps") != N_STEPS) {
         sim_wrong (sim, "at the end %s is not applied", program_names[i]);
      }
      for (int j = 0; j < N_STEPS; j++) {
         char id[16];

         snprintf (id, sizeof id, "m%zu.s%d", i, j);
         if (!server_get (&sim->server, "effects", id, true)) {
            sim_wrong (sim, "at the end step %d of %s did not take place", j, program_names[i]);
         }
      }
   }
   for (size_t i = 0; i < sim->n_processes; i++) {
      if (!sim->processes[i].dead && !sim->processes[i].done) {
         sim_wrong (sim, "process %zu did not succeed", i);
      }
   }
}
