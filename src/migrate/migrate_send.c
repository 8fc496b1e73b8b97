/* Sending, for database migrations: see migrate-private.h. */
#include "migrate/migrate-private.h"

#include "bson/append.h"
#include "store/store.h"

/* How long a server may be away before a migration ends with an error, and goes on when it is run again. */
#define AWAY_MS 60000

/* What goes on at the server by itself, such as an index, is asked for again until then. */
#define BUSY_MS 1000
#define LONG_MS (12 * 3600 * 1000LL)

bool
ecl_migrate_send (ecl_migrate_t *self, const char *database, const bson_t *command, bson_t *reply, bson_error_t *error)
{
   return ecl_insist (self->world, database, command, self->world->now (self->world) + AWAY_MS, NULL, reply, error) ==
          ECL_REPLY_OK;
}

/* Whether the server still works on a command whose answer was lost: an operation of this world's sessions that is none
 * of these questions. *known is false where the server does not tell. */
static bool
still_works (ecl_world_t *world, bool *known, bson_error_t *error)
{
   bson_t *command;
   uint8_t ids[2][16];
   ecl_reply_t result;
   bool works;
   bson_t reply, first;

   *known = world->sessions && world->sessions (world, ids, 1) == 1;
   if (!*known) {
      return false;
   }
   command = BCON_NEW ("aggregate", BCON_INT32 (1), "pipeline", "[", "{", "$currentOp", "{", "}", "}", "{", "$match",
                       "{", "lsid.id", BCON_BIN (BSON_SUBTYPE_UUID, ids[0], 16), "command.aggregate", "{", "$ne",
                       BCON_INT32 (1), "}", "}", "}", "{", "$limit", BCON_INT32 (1), "}", "]", "cursor", "{", "}");
   result = ecl_world_call (world, "admin", command, &reply, error) ? ECL_REPLY_OK
            : bson_has_field (&reply, "ok")                         ? ECL_REPLY_REFUSED
                                                                    : ECL_REPLY_LOST;
   *known = result == ECL_REPLY_OK;
   works = result == ECL_REPLY_LOST || (*known && ecl_store_first (&reply, &first));
   bson_destroy (&reply);
   bson_destroy (command);
   return works;
}

/* Waits until the server no longer works on a command whose answer was lost. False where that cannot be said. */
static bool
wait_for_end (ecl_migrate_t *self, int64_t deadline, bson_error_t *error)
{
   ecl_world_t *world = self->options->world;
   bson_error_t why;
   bool known;

   while (still_works (world, &known, &why)) {
      if (!ecl_holder_held (self->options->holder, world->now (world))) {
         return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE, "the lease is lost");
      }
      if (world->now (world) > deadline) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "the answer was lost, and so is the server");
      }
      deadline = known ? world->now (world) + AWAY_MS : deadline; /* it is there, and busy */
      if (!world->wait (world, BUSY_MS)) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED,
                          "ended as asked for, while the server may still be working on it");
      }
   }
   return known ||
          ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER,
                    "the answer was lost, and the server does not tell whether it still works on it: see that it "
                    "does not, and run again");
}

/* One attempt: not by the world under the lease, which would give it no more time than is left of that. */
bool
ecl_migrate_send_long (ecl_migrate_t *self, const char *database, const bson_t *command, bson_t *reply, bool joins,
                       bson_error_t *error)
{
   ecl_world_t *world = self->options->world;
   ecl_call_t call = {.database = database, .command = command};
   int64_t away = 0;

   bson_init (reply);
   for (;;) {
      ecl_reply_t result;
      int64_t sent = world->now (world), took;

      if (!ecl_holder_held (self->options->holder, sent)) {
         return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE, "the lease is lost");
      }
      if (self->world->cancelled (self->world)) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for");
      }
      bson_destroy (reply);
      result = world->run_command (world, &call, sent + LONG_MS, reply, error);
      /* Done, and the majority does not have it yet: it may still be lost. */
      if (result == ECL_REPLY_OK && bson_has_field (reply, "writeConcernError")) {
         ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "the majority of the servers did not have it in time");
         result = ECL_REPLY_LOST;
      }
      if (result != ECL_REPLY_LOST) {
         return result == ECL_REPLY_OK;
      }
      took = world->now (world) - sent;
      away = took > 1000 ? 0 : away + took + 500; /* a server that is there and busy, or none */
      if (away > AWAY_MS) {
         return false;
      }
      if (!joins && !wait_for_end (self, world->now (world) + AWAY_MS, error)) {
         return false;
      }
      (void) world->wait (world, 500);
   }
}

bool
ecl_migrate_given_up (ecl_reply_t result, const bson_t *reply, const bson_error_t *error)
{
   return (result == ECL_REPLY_LOST && !ecl_is_lease_error (error)) ||
          (result == ECL_REPLY_REFUSED && ecl_insist_aborted (reply, error->code));
}

bool
ecl_migrate_send_in (ecl_migrate_t *self, const bson_t *command, ecl_txn_t *txn, bson_t *reply, bson_error_t *error)
{
   ecl_call_t call = {.database = self->options->database, .command = command, .txn = *txn};
   ecl_world_t *world = self->world;
   ecl_reply_t result = world->run_command (world, &call, world->now (world) + ECL_WORLD_TIMEOUT, reply, error);

   *txn = ECL_TXN_CONTINUE;
   self->given_up = ecl_migrate_given_up (result, reply, error);
   return result == ECL_REPLY_OK;
}

bool
ecl_migrate_exists (ecl_migrate_t *self, const char *collection, const ecl_value_t *filter, ecl_txn_t *txn,
                    bool *exists, bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, reply, first, fields;
   bool good;

   BSON_APPEND_UTF8 (&command, "find", collection);
   ecl_append_value (&command, "filter", filter);
   BSON_APPEND_DOCUMENT_BEGIN (&command, "projection", &fields);
   BSON_APPEND_INT32 (&fields, "_id", 1);
   bson_append_document_end (&command, &fields);
   BSON_APPEND_INT32 (&command, "limit", 1);
   BSON_APPEND_BOOL (&command, "singleBatch", true);
   good = txn ? ecl_migrate_send_in (self, &command, txn, &reply, error)
              : ecl_migrate_send (self, self->options->database, &command, &reply, error);
   *exists = good && ecl_store_first (&reply, &first);
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

const char *
ecl_migrate_text (ecl_migrate_t *self, const ecl_act_t *act, ecl_arg_t arg)
{
   const ecl_value_t *value = ecl_act_arg (act, arg);

   return act->args[arg].key && ecl_is_string (value) ? ecl_arena_strndup (&self->arena, value->u.str, value->len) : "";
}
