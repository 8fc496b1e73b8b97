/* What the processes of the simulation do: `eclose up`, by the runner that does it. The heartbeat is a fiber here, not
 * a thread: its functions are those that the library would link. */
#include "sim.h"

/* ---- the heartbeat ---- */

ecl_heartbeat_t *
ecl_heartbeat_start (const ecl_connector_t *connector, ecl_holder_t *holder, bson_error_t *error)
{
   process_t *process = connector->context;

   (void) error;
   process->renewed = holder;
   process_start_heart (process);
   return connector->context;
}

void
ecl_heartbeat_stop (ecl_heartbeat_t *self)
{
   process_t *process = (process_t *) self;

   if (process) {
      process_stop_heart (process);
      process->renewed = NULL;
   }
}

void
program_heartbeat (process_t *process)
{
   ecl_world_t *world = &process->heart.world;
   ecl_holder_t *holder = process->renewed;
   bson_error_t error;

   for (;;) {
      (void) world->wait (world, ecl_holder_due (holder, world->now (world)));
      if (process->stop_heart || process->dead) {
         return;
      }
      if (!ecl_holder_renew (holder, world, &error)) {
         if (process->sim->mutation != MUTATE_HEART || process->dead) {
            return;
         }
         atomic_store (&holder->until, world->now (world) + LEASE_TIME);
      }
   }
}

/* ---- up ---- */

static void
tell (void *context, const ecl_migrate_event_t *event)
{
   process_t *process = context;

   if (event->name && !event->rows && !event->ended) {
      check_step (process->sim, process, event->work->name, (int) event->step);
   }
}

static bool
up (process_t *process)
{
   sim_t *sim = process->sim;
   ecl_choice_t choice = {.wait = process->wants_wait ? -1 : 0};
   ecl_runner_options_t options = {.site = {.world = &process->worker.world,
                                            .project = sim->project,
                                            .database = DATABASE,
                                            .server = {.transactions = true},
                                            .who = {.host = "sim", .pid = process->index}},
                                   .connector = {.context = process},
                                   .time = LEASE_TIME,
                                   .skew = sim->mutation == MUTATE_WAIT ? 0 : LEASE_SKEW,
                                   .listener = {.context = process, .step = tell}};
   bson_error_t error = {0};
   bool good;

   if (process->before) {
      bson_destroy (process->before);
      process->before = NULL;
   }
   process->token = process->kill_done = process->until = 0;
   process->after = 0;
   ecl_runner_init (&process->runner, &options);
   good = ecl_runner_read (&process->runner, &error) &&
          ecl_runner_works (&process->runner, &choice, &error) == ECL_OUTCOME_DONE;
   if (!good) {
      sim_log (sim, "process %d: %s", process->index, error.message);
      check_said (process, &error);
      check_refused (process, &error);
      if (error.domain == ECL_DOMAIN_STORE && error.code == ECL_ERROR_LEASE && process->token) {
         sim_reached (sim, FAULT_REFUSED);
      }
   }
   ecl_runner_cleanup (&process->runner);
   return good;
}

void
program_run (process_t *process)
{
   ecl_world_t *world = &process->worker.world;

   bool (*program) (process_t * self) = process->sim->story->program ? process->sim->story->program : up;

   /* A container that failed is started again. */
   for (;;) {
      int64_t outages = process->sim->outages;
      bool good = !process->dead && program (process);

      if (process->sim->outages > outages && !process->dead) {
         sim_reached (process->sim, good ? FAULT_OUTAGE_OUTLASTED : FAULT_OUTAGE_ENDED);
      }
      if (process->dead || good) {
         break;
      }
      (void) world->wait (world, sim_between (process->sim, 300, 3000));
   }
   if (!process->dead) {
      process->done = true;
      sim_log (process->sim, "process %d succeeded", process->index);
   }
}
