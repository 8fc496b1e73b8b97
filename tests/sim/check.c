/* What must hold whatever happens: the properties of the lease and of the changelog. Those of what the migrations do
 * are with the stories. */
#include "sim.h"

static int
work_of (const sim_t *sim, const char *name)
{
   for (size_t i = 0; i < sim->n_works; i++) {
      if (strcmp (sim->works[i].name, name) == 0) {
         return (int) i;
      }
   }
   return -1;
}

static void
check_changelog (sim_t *sim, const sender_t *sender, const blob_t *before, const blob_t *after)
{
   const char *id = blob_text (after, "_id");
   int64_t was = blob_number (before, "token"), steps = blob_number (after, "steps");
   bool applied = strcmp (blob_text (after, "state"), "applied") == 0;
   int work = work_of (sim, id), writer = sender->process ? sender->process->index : -1;

   sim_log (sim, "    %s: %s, steps %d, token %" PRId64 ", by process %d", id, blob_text (after, "state"), (int) steps,
            blob_number (after, "token"), writer);
   if (!after || work < 0) {
      sim_wrong (sim, "a record went, or is of no migration");
      return;
   }
   if (was > sender->token) {
      sim_wrong (sim, "process %d with token %" PRId64 " changed the record of %s, which has token %" PRId64, writer,
                 sender->token, id, was);
   }
   if (blob_number (after, "token") < was) {
      sim_wrong (sim, "the token of %s went back", id);
   }
   if (strcmp (blob_text (before, "state"), "applied") == 0 && !applied) {
      sim_wrong (sim, "%s was applied, and is %s", id, blob_text (after, "state"));
   }
   if (steps < blob_number (before, "steps")) {
      sim_wrong (sim, "the steps of %s went back from %" PRId64 " to %" PRId64, id, blob_number (before, "steps"),
                 steps);
   }
   if (applied && steps != (int64_t) sim->works[work].up.n_acts) {
      sim_wrong (sim, "%s counts as applied with %" PRId64 " steps", id, steps);
   }
   for (int64_t i = blob_number (before, "steps"); i < steps; i++) {
      sim->story->step_done (sim, work, (int) i);
   }
}

static void
check_lease (sim_t *sim, const sender_t *sender, const blob_t *before, const blob_t *after)
{
   int64_t was = blob_number (before, "token"), is = blob_number (after, "token");

   sim_log (sim, "    lease: token %" PRId64 ", beat %" PRId64 ", by process %d", is, blob_number (after, "beat"),
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
check_write (sim_t *sim, const sender_t *sender, const char *collection, const blob_t *before, const blob_t *after)
{
   if (strcmp (collection, ECL_STORE_CHANGELOG) == 0) {
      check_changelog (sim, sender, before, after);
   } else if (strcmp (collection, ECL_STORE_LEASE) == 0) {
      check_lease (sim, sender, before, after);
      if (sender->process && sim->story->wrote) {
         sim->story->wrote (sim, sender, collection, before, after);
      }
   } else {
      if (sim->verbose) {
         ecl_value_t id = blob_get (after ? after : before, "_id");
         char text[24] = "";

         if (id.type == BSON_TYPE_INT32) {
            snprintf (text, sizeof text, " %d", (int) id.u.i64);
         } else if (ecl_is_string (&id)) {
            snprintf (text, sizeof text, " %s", id.u.str);
         }
         sim_log (sim, "    %s%s: %s by %s %d", collection, text,
                  !before  ? "insert"
                  : !after ? "delete"
                           : "update",
                  sender->process->app ? "application" : "process", sender->process->index);
      }
      if (sim->story->wrote) {
         sim->story->wrote (sim, sender, collection, before, after);
      }
   }
}

void
check_effect (sim_t *sim, const sender_t *sender)
{
   const blob_t *lease = server_get_text (&sim->server, ECL_STORE_LEASE, ECL_LEASE_MIGRATIONS, false);

   if (sim->story->program) {
      return; /* not under this lease */
   }
   if (sender->txn == ECL_TXN_COMMIT && blob_number (lease, "token") > sender->token) {
      sim_wrong (sim, "a transaction of token %" PRId64 " took effect when the lease had token %" PRId64, sender->token,
                 blob_number (lease, "token"));
   }
   if (sender->token < sim->newest_effect) {
      sim_reached (sim, FAULT_LANDED);
      /* Only what was on its way when the next one was granted the lease: what ran at the server was ended. */
      if (sim->trusting && sender->token + 1 == sim->newest_effect && sender->arrived < sim->newest_killed) {
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
check_step (sim_t *sim, const process_t *process, const char *migration, int step)
{
   int work = work_of (sim, migration);

   sim_log (sim, "process %d: step %d of %s", process->index, step, migration);
   if (step < process->known[work]) {
      sim_wrong (sim, "process %d repeats step %d of %s, which was recorded as done when it was granted the lease",
                 process->index, step, migration);
   }
}

void
check_granted (process_t *process)
{
   sim_t *sim = process->sim;

   sim_log (sim, "process %d has the lease, token %" PRId64, process->index, process->token);
   for (size_t i = 0; i < sim->n_works; i++) {
      process->known[i] =
         (int) blob_number (server_get_text (&sim->server, ECL_STORE_CHANGELOG, sim->works[i].name, true), "steps");
   }
}

void
check_said (process_t *process, const bson_error_t *error)
{
   if (!error->message[0] && !process->dead) {
      sim_wrong (process->sim, "process %d failed and did not say why", process->index);
   }
}

/* A record that somebody else changed, with one whose lease stands: then it did not know what is stored. */
void
check_refused (process_t *process, const bson_error_t *error)
{
   sim_t *sim = process->sim;
   const blob_t *lease = server_get_text (&sim->server, ECL_STORE_LEASE, ECL_LEASE_MIGRATIONS, false);

   if (error->domain == ECL_DOMAIN_STORE && error->code == ECL_ERROR_LEASE && sim->trusting && !process->dead &&
       lease && blob_number (lease, "token") == process->token && process->until > sim->now &&
       strstr (error->message, "was changed by somebody else")) {
      sim_wrong (sim, "process %d holds the lease and was refused: %s", process->index, error->message);
   }
}

void
check_holders (sim_t *sim)
{
   const ecl_holder_t *other = NULL;
   int first = -1;

   if (!sim->trusting) {
      return;
   }
   for (size_t i = 0; i < sim->n_processes; i++) {
      const process_t *process = &sim->processes[i];
      const ecl_holder_t *holder = process->renewed ? process->renewed : &process->runner.holder;

      if (process->dead || process->app || !ecl_holder_held (holder, sim->now)) {
         continue;
      }
      if (first >= 0) {
         sim_wrong (sim,
                    "processes %d and %d both believe that they hold the lease (tokens %" PRId64 " and %" PRId64
                    ", until %" PRId64 " and %" PRId64 ")",
                    first, process->index, ecl_holder_token (other), ecl_holder_token (holder),
                    atomic_load (&other->until), atomic_load (&holder->until));
      }
      first = process->index;
      other = holder;
   }
}

void
check_end (sim_t *sim)
{
   server_settle (&sim->server, INT64_MAX);
   for (size_t i = 0; i < sim->n_works; i++) {
      const blob_t *record = server_get_text (&sim->server, ECL_STORE_CHANGELOG, sim->works[i].name, true);

      if (strcmp (blob_text (record, "state"), "applied") != 0) {
         sim_wrong (sim, "at the end %s is not applied", sim->works[i].name);
      }
      for (size_t j = 0; j < sim->works[i].up.n_acts; j++) {
         sim->story->step_done (sim, (int) i, (int) j);
      }
   }
   sim->story->end (sim);
   for (size_t i = 0; i < sim->n_processes; i++) {
      if (!sim->processes[i].dead && !sim->processes[i].done) {
         sim_wrong (sim, "process %zu did not succeed", i);
      }
   }
}
