/* The world under a lease: see holder.h. */
#include "run/holder.h"

/* A wait is looked after so often: a lease that is lost ends it. */
#define PIECE_MS 1000

static ecl_held_world_t *
held_world (ecl_world_t *self)
{
   return (ecl_held_world_t *) self;
}

static int64_t
held_now (ecl_world_t *self)
{
   return held_world (self)->beneath->now (held_world (self)->beneath);
}

static uint64_t
held_random (ecl_world_t *self)
{
   return held_world (self)->beneath->random (held_world (self)->beneath);
}

static bool
held_cancelled (ecl_world_t *self)
{
   ecl_world_t *beneath = held_world (self)->beneath;

   return !ecl_holder_held (held_world (self)->holder, beneath->now (beneath)) || beneath->cancelled (beneath);
}

static bool
held_wait (ecl_world_t *self, int64_t ms)
{
   ecl_world_t *beneath = held_world (self)->beneath;

   while (!held_cancelled (self) && ms > 0) {
      int64_t piece = ms < PIECE_MS ? ms : PIECE_MS;

      if (!beneath->wait (beneath, piece)) {
         return false;
      }
      ms -= piece;
   }
   return !held_cancelled (self);
}

static ecl_reply_t
held_run_command (ecl_world_t *self, const ecl_call_t *command, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   ecl_world_t *beneath = held_world (self)->beneath;
   ecl_holder_t *holder = held_world (self)->holder;
   int64_t now = beneath->now (beneath), left = ecl_holder_left (holder, now);
   bson_error_t ignored;
   ecl_reply_t answer;

   if (held_world (self)->renews && left > 0 && left <= 2 * ecl_holder_interval (holder)) {
      bool still = ecl_holder_renew (holder, beneath, &ignored);

      now = beneath->now (beneath);
      left = still ? ecl_holder_left (holder, now) : 0;
   }
   /* Giving up a transaction is always right. */
   if (left <= 0 && command->txn != ECL_TXN_ABORT) {
      bson_init (reply);
      ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE, "the lease \"%s\" was lost", holder->name);
      return ECL_REPLY_LOST;
   }
   answer =
      beneath->run_command (beneath, command, left > 0 && deadline > now + left ? now + left : deadline, reply, error);
   if (answer == ECL_REPLY_LOST) {
      atomic_store (&holder->unknown, true);
   }
   return answer;
}

static size_t
held_sessions (ecl_world_t *self, uint8_t (*ids)[16], size_t max)
{
   ecl_world_t *beneath = held_world (self)->beneath;

   return beneath->sessions ? beneath->sessions (beneath, ids, max) : 0;
}

ecl_world_t *
ecl_held_world_init (ecl_held_world_t *self, ecl_world_t *beneath, ecl_holder_t *holder)
{
   *self = (ecl_held_world_t){
      .world = {.now = held_now,
                .random = held_random,
                .wait = held_wait,
                .cancelled = held_cancelled,
                .run_command = held_run_command,
                .sessions = held_sessions},
      .beneath = beneath,
      .holder = holder,
   };
   return &self->world;
}
