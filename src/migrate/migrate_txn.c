/* Steps in a transaction, and rows of a foreach, each in one of its own.
 *
 * Steps: all of them, the note that they are done, and the lease touched by its token, or nothing.
 *
 * The note makes it once: a run that dies behind the commit finds the step done, and so does a second try where the
 * first one's commit took effect without an answer, or takes effect yet. The lease makes it ours: who was granted the
 * lease since has changed its document, and then the commit fails; who is granted it afterwards reads the note.
 */
#include "migrate/migrate-private.h"

/* It is tried at least so often, and for at least as long as a server may be away. */
#define TRIES 20
#define AWAY_MS 60000
#define LONGEST_PAUSE_MS 1000

/* Sends an update of one document in the transaction; *n is how many it found. The command goes. */
static bool
touch (ecl_migrate_t *self, bson_t *command, ecl_txn_t *txn, int64_t *n, bson_error_t *error)
{
   bson_iter_t iter;
   bson_t reply;
   bool good = ecl_migrate_send_in (self, command, txn, &reply, error);

   if (good && bson_iter_init_find (&iter, &reply, "writeErrors")) {
      good = ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER,
                       "the records of " ECL_STORE_CHANGELOG " and " ECL_STORE_LEASE
                       " could not be written in the transaction");
   }
   *n = good && bson_iter_init_find (&iter, &reply, "n") ? bson_iter_as_int64 (&iter) : 0;
   bson_destroy (&reply);
   bson_destroy (command);
   return good;
}

/* So many steps are done, where one less was. */
static bool
note (ecl_migrate_t *self, int32_t steps, ecl_txn_t *txn, int64_t *n, bson_error_t *error)
{
   return touch (self,
                 BCON_NEW ("update", BCON_UTF8 (ECL_STORE_CHANGELOG), "updates", "[", "{", "q", "{", "_id",
                           BCON_UTF8 (self->record.name), "token", BCON_INT64 (self->record.token), "steps",
                           BCON_INT32 (steps - 1), "}", "u", "{", "$set", "{", "steps", BCON_INT32 (steps), "}", "}",
                           "}", "]"),
                 txn, n, error);
}

/* Not $set: what changes nothing is no write to a server, and conflicts with nobody's. */
static bool
touch_lease (ecl_migrate_t *self, ecl_txn_t *txn, int64_t *n, bson_error_t *error)
{
   return touch (self,
                 BCON_NEW ("update", BCON_UTF8 (ECL_STORE_LEASE), "updates", "[", "{", "q", "{", "_id",
                           BCON_UTF8 (self->options->holder->name), "token", BCON_INT64 (self->record.token), "}", "u",
                           "{", "$inc", "{", "touched", BCON_INT64 (1), "}", "}", "}", "]"),
                 txn, n, error);
}

static bool
run_statements (ecl_migrate_t *self, const ecl_act_t *act, ecl_txn_t *txn, bson_error_t *error)
{
   ecl_row_t none = {0};

   for (size_t i = 0; i < act->n_acts; i++) {
      const ecl_act_t *one = &act->acts[i];
      bool good = one->kind == ECL_ACT_ASSERT ? ecl_migrate_assert (self, one, txn, error)
                                              : ecl_migrate_write (self, one, &none, 1, txn, error);

      if (!good) {
         ecl_error_prefix (error, "%s", ecl_act_name (one->kind));
         return false;
      }
   }
   return true;
}

/* Whether the majority has the note; *ours: the record still is. */
static bool
look (ecl_migrate_t *self, int32_t steps, bool *noted, bool *ours, bson_error_t *error)
{
   const ecl_changelog_t *record;
   ecl_history_t history;
   bool good;

   ecl_history_init (&history);
   good = ecl_history_load (&history, self->world, self->options->database, self->record.name, &record, error);
   *ours = good && record && record->token == self->record.token;
   *noted = *ours && record->steps >= steps;
   ecl_history_cleanup (&history);
   return good;
}

/* Whether it is not known if a commit took effect. */
static bool
is_unknown (ecl_reply_t result, const bson_error_t *error)
{
   switch (error->code) {
   case 50:  /* MaxTimeMSExpired */
   case 64:  /* WriteConcernFailed: it did, and the majority does not have it yet */
   case 262: /* ExceededTimeLimit */
      return true;
   default:
      return result == ECL_REPLY_LOST;
   }
}

static bool
lost (ecl_migrate_t *self, bson_error_t *error)
{
   ecl_holder_lose (self->options->holder);
   return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE,
                    "the lease is no longer ours: nothing of the transaction was done");
}

typedef enum {
   TRIED_DONE,
   TRIED_UNKNOWN, /* it may have taken effect, now or by a try before */
   TRIED_AGAIN,   /* it did not, and may be tried again */
   TRIED_FAILED,
} tried_t;

static tried_t
failed (const ecl_migrate_t *self)
{
   return self->given_up ? TRIED_AGAIN : TRIED_FAILED;
}

/* Whether it is to be tried once more, and then is time to. */
static bool
once_more (ecl_migrate_t *self, int tries, int64_t began)
{
   int64_t pause = 20 * tries < LONGEST_PAUSE_MS ? 20 * tries : LONGEST_PAUSE_MS;

   return (tries < TRIES || self->world->now (self->world) - began < AWAY_MS) && self->world->wait (self->world, pause);
}

/* All of it but the end. TRIED_DONE: to be committed. The note comes first: a try behind one that took effect stops
 * there, before its statements meet their own effects. The lease comes last: its renewal waits for whoever holds it. */
static tried_t
run_all (ecl_migrate_t *self, const ecl_act_t *act, int32_t steps, bson_error_t *error)
{
   ecl_txn_t txn = ECL_TXN_BEGIN;
   int64_t n;

   if (!note (self, steps, &txn, &n, error)) {
      return failed (self);
   }
   if (n != 1) {
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "whether a try before took effect is not known");
      return TRIED_UNKNOWN;
   }
   if (!run_statements (self, act, &txn, error) || !touch_lease (self, &txn, &n, error)) {
      return failed (self);
   }
   if (n != 1) {
      lost (self, error);
      return TRIED_FAILED;
   }
   return TRIED_DONE;
}

/* Ends what was tried: commits it where it is good so far. */
static tried_t
end_once (ecl_migrate_t *self, tried_t tried, bson_error_t *error)
{
   bool good = tried == TRIED_DONE;
   bson_t empty = BSON_INITIALIZER, reply;
   ecl_call_t end = {
      .database = self->options->database, .command = &empty, .txn = good ? ECL_TXN_COMMIT : ECL_TXN_ABORT};
   bson_error_t ignored;
   ecl_reply_t result;

   result = self->world->run_command (self->world, &end, self->world->now (self->world) + ECL_WORLD_TIMEOUT, &reply,
                                      good ? error : &ignored);
   if (good) {
      tried = result == ECL_REPLY_OK                         ? TRIED_DONE
              : is_unknown (result, error)                   ? TRIED_UNKNOWN
              : ecl_migrate_given_up (result, &reply, error) ? TRIED_AGAIN
                                                             : TRIED_FAILED;
   }
   bson_destroy (&reply);
   return tried;
}

bool
ecl_migrate_transaction (ecl_migrate_t *self, const ecl_act_t *act, int32_t steps, bson_error_t *error)
{
   int64_t began = self->world->now (self->world);

   for (int tries = 1;; tries++) {
      tried_t tried = end_once (self, run_all (self, act, steps, error), error);
      bool noted, ours;
      bson_error_t why;

      if (tried == TRIED_DONE) {
         return true;
      }
      /* Whether it took effect is read, never guessed. */
      if (tried == TRIED_UNKNOWN) {
         if (!self->world->wait (self->world, 200) || !look (self, steps, &noted, &ours, &why)) {
            return false;
         }
         if (noted) {
            return true;
         }
         if (!ours) {
            return lost (self, error);
         }
      }
      if (tried == TRIED_FAILED || !once_more (self, tries, began)) {
         return false;
      }
   }
}

/* ---- rows ---- */

/* Whether the row's document is still one that the query finds: {$and: [{_id: …}, filter]}. */
static bool
is_there (ecl_migrate_t *self, const ecl_act_t *foreach, const ecl_row_t *row, ecl_txn_t *txn, bool *there,
          bson_error_t *error)
{
   ecl_field_t equals = ecl_field ("$eq", 3, row->id), by_id = ecl_field ("_id", 3, ecl_fields (&equals, 1));
   ecl_value_t both[2] = {ecl_fields (&by_id, 1)}, filter;
   ecl_field_t and;
   size_t n = 1;

   if (foreach->args[ECL_ARG_FILTER].key) {
      both[n++] = *ecl_act_arg (foreach, ECL_ARG_FILTER);
   }
   and = ecl_field ("$and", 4, ecl_vec (both, n));
   filter = ecl_fields (&and, 1);
   return ecl_migrate_exists (self, ecl_migrate_text (self, foreach, ECL_ARG_FIND), &filter, txn, there, error);
}

/* *nothing: the row is done already, or held back: what was done of it is not to be kept. */
static tried_t
run_row (ecl_migrate_t *self, const ecl_act_t *foreach, ecl_row_t *row, bool *nothing, bson_error_t *error)
{
   ecl_txn_t txn = ECL_TXN_BEGIN;
   bool there;
   int64_t n;

   row->held_back = false;
   *nothing = false;
   if (!is_there (self, foreach, row, &txn, &there, error)) {
      return failed (self);
   }
   for (size_t i = 0; there && i < foreach->n_acts && !row->held_back; i++) {
      if (!ecl_migrate_write (self, &foreach->acts[i], row, 1, &txn, error)) {
         tried_t tried = failed (self);

         ecl_error_prefix (error, "%s", ecl_act_name (foreach->acts[i].kind));
         return tried;
      }
   }
   if (!there || row->held_back) {
      *nothing = true;
      return TRIED_FAILED;
   }
   if (!touch_lease (self, &txn, &n, error)) {
      return failed (self);
   }
   if (n != 1) {
      lost (self, error);
      return TRIED_FAILED;
   }
   return TRIED_DONE;
}

bool
ecl_migrate_row (ecl_migrate_t *self, const ecl_act_t *foreach, ecl_row_t *row, bson_error_t *error)
{
   int64_t began = self->world->now (self->world);

   for (int tries = 1;; tries++) {
      bool nothing;
      tried_t tried = end_once (self, run_row (self, foreach, row, &nothing, error), error);

      if (tried == TRIED_DONE || nothing) {
         return true;
      }
      /* Where it is not known whether it took effect, the next try sees it: then the row is no longer the query's. */
      if (tried == TRIED_FAILED || !once_more (self, tries, began)) {
         return false;
      }
   }
}
