/* The driver of libmongoc for leases and migrations: the world that the commands work in. See eclose/driver.h. */
#include "client/client-private.h"
#include "mongo/world.h"

static void *
open_connection (void *user_data, int32_t timeout, bson_error_t *error)
{
   const eclose_driver_t *self = user_data;
   const char *ignored;

   return ecl_mongo_world_new_hasty (self->uri, timeout, NULL, &ignored, error);
}

static void
close_connection (void *user_data, void *connection)
{
   (void) user_data;
   ecl_mongo_world_destroy (connection);
}

static eclose_reply_t
run_command (void *connection, const char *database, const bson_t *command, eclose_txn_t txn, int64_t limit,
             bson_t *reply, bson_error_t *error)
{
   static const ecl_txn_t txns[] = {
      [ECLOSE_TXN_NONE] = ECL_TXN_NONE,         [ECLOSE_TXN_BEGIN] = ECL_TXN_BEGIN,
      [ECLOSE_TXN_CONTINUE] = ECL_TXN_CONTINUE, [ECLOSE_TXN_COMMIT] = ECL_TXN_COMMIT,
      [ECLOSE_TXN_ABORT] = ECL_TXN_ABORT,
   };
   ecl_call_t call = {.database = database, .command = command, .txn = txns[txn]};
   ecl_world_t *world = connection;

   switch (world->run_command (world, &call, world->now (world) + limit, reply, error)) {
   case ECL_REPLY_OK:
      return ECLOSE_REPLY_OK;
   case ECL_REPLY_REFUSED:
      return ECLOSE_REPLY_REFUSED;
   default:
      return ECLOSE_REPLY_LOST;
   }
}

static size_t
sessions (void *connection, uint8_t (*ids)[16], size_t max)
{
   ecl_world_t *world = connection;

   return world->sessions (world, ids, max);
}

eclose_driver_t *
eclose_driver_new (const mongoc_uri_t *uri, bson_error_t *error)
{
   mongoc_client_t *client = mongoc_client_new_from_uri_with_error (uri, error);
   eclose_driver_t *self;

   /* What is wrong with it is told here; a connection is made when there is something to say. */
   if (!client) {
      return NULL;
   }
   mongoc_client_destroy (client);
   self = bson_malloc0 (sizeof *self);
   self->user_data = self;
   self->uri = bson_strdup (mongoc_uri_get_string (uri));
   self->connect = open_connection;
   self->disconnect = close_connection;
   self->run_command = run_command;
   self->sessions = sessions;
   return self;
}

void
eclose_driver_destroy (eclose_driver_t *self)
{
   if (self) {
      bson_free ((void *) self->uri);
      bson_free (self);
   }
}
