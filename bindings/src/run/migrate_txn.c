/* Steps in a transaction: all of them, the note that they are done, and the lease touched by its token, or nothing.
 *
 * The note makes it once: a run that dies behind the commit finds the step done. The lease makes it ours: who was
 * granted the lease since has changed its document, and then the commit fails; who is granted it afterwards reads the
 * note.
 */
#include "run/migrate-private.h"

#include "store/store.h"

#define TRIES 20

/* {update: collection, updates: [{q: {_id, token}, u: {$set: {key: value}}}]} in the transaction; n must be 1. */
static bool
touch (ecl_migrate_t *self, const char *collection, const char *id, const char *key, int64_t value, bool narrow,
       ecl_txn_t *txn, bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, list, one, q, u, set, reply;
   ecl_call_t call = {.database = self->options->database, .command = &command, .txn = *txn};
   bson_iter_t iter;
   bool good;

   BSON_APPEND_UTF8 (&command, "update", collection);
   BSON_APPEND_ARRAY_BEGIN (&command, "updates", &list);
   BSON_APPEND_DOCUMENT_BEGIN (&list, "0", &one);
   BSON_APPEND_DOCUMENT_BEGIN (&one, "q", &q);
   BSON_APPEND_UTF8 (&q, "_id", id);
   BSON_APPEND_INT64 (&q, "token", self->record.token);
   bson_append_document_end (&one, &q);
   BSON_APPEND_DOCUMENT_BEGIN (&one, "u", &u);
   BSON_APPEND_DOCUMENT_BEGIN (&u, "$set", &set);
   if (narrow) {
      BSON_APPEND_INT32 (&set, key, (int32_t) value);
   } else {
      BSON_APPEND_INT64 (&set, key, value);
   }
   bson_append_document_end (&u, &set);
   bson_append_document_end (&one, &u);
   bson_append_document_end (&list, &one);
   bson_append_array_end (&command, &list);
   *txn = ECL_TXN_CONTINUE;
   good = self->world->run_command (self->world, &call, self->world->now (self->world) + ECL_WORLD_TIMEOUT, &reply,
                                    error) == ECL_REPLY_OK;
   if (good && bson_iter_init_find (&iter, &reply, "writeErrors")) {
      good =
         ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "%s could not be written in the transaction", collection);
   } else if (good && !(bson_iter_init_find (&iter, &reply, "n") && bson_iter_as_int64 (&iter) == 1)) {
      ecl_holder_lose (self->options->holder);
      good = ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE,
                       "the lease is no longer ours: nothing of the transaction was done");
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
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

/* Whether the record has the note. */
static bool
look (ecl_migrate_t *self, int32_t steps, bool *noted, bson_error_t *error)
{
   const ecl_changelog_t *record;
   ecl_history_t history;
   bool good;

   ecl_history_init (&history);
   good = ecl_history_load (&history, self->world, self->options->database, self->record.name, &record, error);
   *noted = good && record && record->token == self->record.token && record->steps >= steps;
   ecl_history_cleanup (&history);
   return good;
}

/* Answers after which the whole of it may be tried again. */
static bool
is_transient (ecl_reply_t result, const bson_error_t *error)
{
   switch (error->code) {
   case 112: /* WriteConflict */
   case 24:  /* LockTimeout */
   case 246: /* SnapshotUnavailable */
   case 251: /* NoSuchTransaction */
   case 267: /* PreparedTransactionInProgress */
   case 91:
   case 189:
   case 10107:
   case 11600:
   case 11602:
      return true;
   default:
      return result == ECL_REPLY_LOST;
   }
}

bool
ecl_migrate_transaction (ecl_migrate_t *self, const ecl_act_t *act, int32_t steps, bson_error_t *error)
{
   bson_t empty = BSON_INITIALIZER, reply;

   for (int tries = 1;; tries++) {
      ecl_call_t end = {.database = self->options->database, .command = &empty, .txn = ECL_TXN_ABORT};
      ecl_txn_t txn = ECL_TXN_BEGIN;
      ecl_reply_t result = ECL_REPLY_REFUSED;
      bool good, noted = false;
      bson_error_t why;

      good =
         run_statements (self, act, &txn, error) &&
         touch (self, ECL_STORE_CHANGELOG, self->record.name, "steps", steps, true, &txn, error) &&
         touch (self, ECL_STORE_LEASE, self->options->holder->name, "touched", self->record.token, false, &txn, error);
      if (good) {
         end.txn = ECL_TXN_COMMIT;
         result = self->world->run_command (self->world, &end, self->world->now (self->world) + ECL_WORLD_TIMEOUT,
                                            &reply, error);
         bson_destroy (&reply);
         if (result == ECL_REPLY_OK) {
            return true;
         }
      } else {
         /* What an application or the server made of it stands in the error; a lost answer has no code of the server's.
          */
         bool lost = error->code == ECL_ERROR_LEASE && error->domain == ECL_DOMAIN_STORE;

         self->world->run_command (self->world, &end, self->world->now (self->world) + ECL_WORLD_TIMEOUT, &reply, &why);
         bson_destroy (&reply);
         if (lost) {
            return false;
         }
         result =
            error->domain >= ECL_DOMAIN_BASE && error->domain <= ECL_DOMAIN_CLI ? ECL_REPLY_REFUSED : ECL_REPLY_LOST;
         result = result == ECL_REPLY_LOST && error->code > 20000 ? ECL_REPLY_REFUSED : result;
      }
      /* Whether it took effect is read, never guessed. */
      if (end.txn == ECL_TXN_COMMIT && result == ECL_REPLY_LOST) {
         if (!self->world->wait (self->world, 200) || !look (self, steps, &noted, &why)) {
            return false;
         }
         if (noted) {
            return true;
         }
      }
      if (!is_transient (end.txn == ECL_TXN_COMMIT ? result : ECL_REPLY_REFUSED, error) || tries == TRIES ||
          !self->world->wait (self->world, 20 * tries)) {
         return false;
      }
   }
}
