/* What goes wrong, by chance: with processes, and with the server. */
#include "sim.h"

/* Longer than anything in eclose goes on asking. */
#define OUTAGE_LONGEST 45000

/* What a primary's clock shows, against true time: no two differ by more than max_clock_skew, of which clocks of
 * machines that are slow want their part. */
static int64_t
offset (sim_t *sim)
{
   int64_t most = LEASE_SKEW / (sim->clocks ? 8 : 2);

   return sim_between (sim, -most, most);
}

void
misfortune_choose (sim_t *sim)
{
   /* Each kind of fault in half of the seeds, often or rarely; so that none hides behind another. */
   static const int often[N_RATES] = {
      [RATE_LOSS] = 12,    [RATE_LATE] = 12,  [RATE_DIE] = 60,   [RATE_PAUSE] = 40, [RATE_SLOW] = 8,
      [RATE_FAILOVER] = 5, [RATE_MEDDLE] = 8, [RATE_CURSOR] = 6, [RATE_OUTAGE] = 12};

   for (size_t i = 0; i < N_RATES; i++) {
      sim->rates[i] = sim_chance (sim, 2) ? often[i] * (sim_chance (sim, 2) ? 1 : 4) : 0;
   }
   sim->trusting = !sim_chance (sim, 4);
   if (sim->trusting) {
      sim->rates[RATE_MEDDLE] = 0;
   }
   sim->server.offset = offset (sim);
}

bool
misfortune_now (sim_t *sim, int rate)
{
   return sim->rates[rate] && sim->now < sim->faults_until && sim_chance (sim, (uint64_t) sim->rates[rate]);
}

/* ---- processes ---- */

void
misfortune_die (process_t *process)
{
   sim_t *sim = process->sim;

   if (process->dead) {
      return;
   }
   process->dead = true;
   process->ghost = process_clock (process, sim->now);
   sim_reached (sim, FAULT_DIED);
   if (ecl_holder_held (&process->runner.holder, sim->now)) {
      sim_reached (sim, FAULT_DIED_HOLDING);
   }
   sim_log (sim, "process %d dies", process->index);
}

static void
stop (process_t *process)
{
   sim_t *sim = process->sim;
   int64_t length = sim_between (sim, 50, sim_chance (sim, 2) ? 3 * LEASE_TIME : 800);

   process->paused_until = sim->now + length;
   sim_reached (sim, FAULT_PAUSED);
   if (ecl_holder_held (&process->runner.holder, sim->now) &&
       !ecl_holder_held (&process->runner.holder, process->paused_until)) {
      sim_reached (sim, FAULT_PAUSED_PAST);
   }
   sim_log (sim, "process %d stops for %" PRId64 " ms", process->index, length);
}

bool
misfortune_moment (task_t *task)
{
   process_t *process = task->process;

   if (process->dead || process->app) {
      return !process->dead;
   }
   if (misfortune_now (process->sim, RATE_DIE)) {
      misfortune_die (process);
      return false;
   }
   if (misfortune_now (process->sim, RATE_PAUSE)) {
      stop (process);
      task_block (task, process->paused_until);
   }
   return !process->dead;
}

/* ---- the server ---- */

/* What was in memory is gone; of what the majority does not have all, or nothing. */
static void
lose_memory (sim_t *sim, fault_t lost)
{
   sim->epoch++;
   server_step_down (&sim->server);
   if (sim_chance (sim, 2)) {
      if (server_roll_back (&sim->server, sim->now)) {
         sim_reached (sim, lost);
      }
   } else {
      server_settle_all (&sim->server, sim->now);
   }
   sim->server.last_safe = sim->now;
   server_hide (&sim->server, sim->now - sim_between (sim, 0, HIDDEN_MS),
                sim->server.down_until + sim_between (sim, 0, sim_chance (sim, 2) ? 2500 : 500));
}

static void
fail_over (sim_t *sim)
{
   sim_reached (sim, FAULT_FAILOVER);
   sim->server.down_until = sim->now + sim_between (sim, 50, 600);
   sim->server.dark = false;
   lose_memory (sim, FAULT_ROLLBACK);
   sim->server.offset = offset (sim);
   sim_log (sim, "another primary; its clock is %+" PRId64 " ms", sim->server.offset);
}

static void
go_down (sim_t *sim)
{
   int64_t length = sim_between (sim, 100, sim_chance (sim, 4) ? OUTAGE_LONGEST : 2 * LEASE_TIME);

   sim_reached (sim, FAULT_OUTAGE);
   sim->outages++;
   sim->server.down_until = sim->now + length;
   sim->server.dark = true;
   network_cut (sim);
   lose_memory (sim, FAULT_OUTAGE_LOST);
   sim_log (sim, "the server goes down for %" PRId64 " ms; all connections are cut", length);
}

static void
break_lease (sim_t *sim)
{
   static const char key[] = ECL_LEASE_MIGRATIONS;
   const blob_t *lease = server_get_text (&sim->server, ECL_STORE_LEASE, key, false);
   ecl_lease_key_t whole = {.collection = ECL_STORE_LEASE, .id = ecl_string (key, strlen (key)), .time = LEASE_TIME};
   sender_t sender = {.process = NULL};
   ecl_value_t holder = blob_get (lease, "holder");
   bson_t command, reply;
   int64_t safe;
   int32_t code;

   if (!ecl_is_document (&holder)) {
      return;
   }
   ecl_lease_break (&whole, blob_number (lease, "token"), &command);
   if (server_execute (&sim->server, sim, &sender, &command, sim->now, 5, &reply, &code, &safe)) {
      bson_destroy (&reply);
      sim_reached (sim, FAULT_BROKEN);
      sim_log (sim, "somebody breaks the lease by force");
   }
   bson_destroy (&command);
}

static void
meddle (sim_t *sim)
{
   switch (sim_random (sim) % 3) {
   case 0:
      sim->server.offset += sim_chance (sim, 2) ? sim_between (sim, LEASE_SKEW + 1, 4 * LEASE_TIME)
                                                : -sim_between (sim, LEASE_SKEW + 1, 4 * LEASE_TIME);
      sim_reached (sim, FAULT_JUMP);
      sim_log (sim, "the server's clock jumps: %+" PRId64 " ms", sim->server.offset);
      return;
   case 1:
      server_remove (&sim->server, ECL_STORE_LEASE, ECL_LEASE_MIGRATIONS, sim->now);
      sim_reached (sim, FAULT_REMOVED);
      sim_log (sim, "somebody removes the lease");
      return;
   default:
      break_lease (sim);
   }
}

void
misfortune_server (sim_t *sim)
{
   if (sim->now >= sim->server.down_until && misfortune_now (sim, RATE_FAILOVER)) {
      fail_over (sim);
   }
   if (sim->now >= sim->server.down_until && misfortune_now (sim, RATE_OUTAGE)) {
      go_down (sim);
   }
   if (misfortune_now (sim, RATE_MEDDLE)) {
      meddle (sim);
   }
   if (sim->now < sim->faults_until && sim->n_processes < MAX_PROCESSES - 1) {
      for (size_t i = 0; i < sim->n_processes; i++) {
         /* A container that died is started again, once. */
         if (sim->processes[i].dead && !sim->processes[i].done) {
            sim->processes[i].done = true;
            process_start (sim, sim_between (sim, 100, 2000));
            return;
         }
      }
   }
}
