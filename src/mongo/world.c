/* The real world on libmongoc; the only file that knows it.
 *
 * One client, not pooled: a world belongs to one thread. Commands go to the primary as they are written. All of them
 * share one session, so that a cursor's getMore comes in the session of its find; transactions have a second one. Of
 * several routers one is kept to.
 *
 * Time: a command carries maxTimeMS (what is left until its deadline), so that the server gives up by itself; where it
 * does not answer at all the socket's timeout ends the wait, and the caller learns that the outcome is unknown.
 */
#include "mongo/world.h"

#include <errno.h>
#include <mongoc/mongoc.h>
#include <sys/random.h>
#include <time.h>

/* Where the URI does not say otherwise: above every deadline, so that the server's own answer comes first. */
#define SOCKET_TIMEOUT_MS 90000
#define CONNECT_TIMEOUT_MS 10000
#define SELECTION_TIMEOUT_MS 15000

/* Longest sleep between two questions whether the run was cancelled. */
#define NAP_MS 100

typedef struct {
   ecl_world_t world;
   mongoc_uri_t *uri;
   mongoc_client_t *client;
   mongoc_client_session_t *session;     /* of everything but transactions; NULL where the server has none */
   mongoc_client_session_t *transaction; /* made when first needed */
   mongoc_read_prefs_t *primary;
   bool (*cancelled) (void);
   uint32_t router; /* the one that is asked; 0: there is none, or none was chosen */
   struct {
      uint32_t seconds, increment; /* the server's operationTime; 0: it says none */
   } wrote;                        /* what the majority was last heard to have of this world's */
} mongo_world_t;

static int64_t
world_now (ecl_world_t *self)
{
   struct timespec t;

   (void) self;
   clock_gettime (CLOCK_BOOTTIME, &t);
   return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t
world_random (ecl_world_t *self)
{
   uint64_t bits = 0;

   while (getrandom (&bits, sizeof bits, 0) != (ssize_t) sizeof bits) {
      if (errno != EINTR) {
         return (uint64_t) world_now (self) * 0x9E3779B97F4A7C15u; /* for spreading waits it will do */
      }
   }
   return bits;
}

static bool
world_cancelled (ecl_world_t *self)
{
   mongo_world_t *world = (mongo_world_t *) self;

   return world->cancelled && world->cancelled ();
}

static bool
world_wait (ecl_world_t *self, int64_t ms)
{
   int64_t end = world_now (self) + ms, left;

   while ((left = end - world_now (self)) > 0) {
      int64_t nap = left < NAP_MS ? left : NAP_MS;
      struct timespec t = {.tv_sec = nap / 1000, .tv_nsec = nap % 1000 * 1000000};

      if (world_cancelled (self)) {
         return false;
      }
      nanosleep (&t, NULL);
   }
   return !world_cancelled (self);
}

/* Commands that take no maxTimeMS: getMore of an ordinary cursor refuses it. */
static bool
takes_max_time (const bson_t *command)
{
   static const char *const without[] = {"getMore", "killCursors", "hello", "ping"};
   bson_iter_t iter;

   if (!bson_iter_init (&iter, command) || !bson_iter_next (&iter)) {
      return false;
   }
   for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
      if (strcmp (bson_iter_key (&iter), without[i]) == 0) {
         return false;
      }
   }
   return !bson_has_field (command, "maxTimeMS");
}

static ecl_reply_t
judge (bool good, const bson_t *reply)
{
   return good ? ECL_REPLY_OK : bson_has_field (reply, "ok") ? ECL_REPLY_REFUSED : ECL_REPLY_LOST;
}

static mongoc_client_session_t *
session_of (mongo_world_t *self, ecl_txn_t txn, bson_error_t *error)
{
   mongoc_client_session_t **session = txn == ECL_TXN_NONE ? &self->session : &self->transaction;

   if (!*session) {
      /* Where there is no server yet, or one without sessions, this fails and is tried again. */
      mongoc_session_opt_t *options = mongoc_session_opts_new ();

      /* The driver would add a read concern of its own: see behind_writes. */
      mongoc_session_opts_set_causal_consistency (options, false);
      *session = mongoc_client_start_session (self->client, options, error);
      mongoc_session_opts_destroy (options);
   }
   return *session;
}

static bool
is_going (uint32_t code)
{
   return code == 91 /* ShutdownInProgress */ || code == 11600 /* InterruptedAtShutdown */;
}

/* Finds the server, which may take long where its connection was lost: what is left of the command's time is known only
 * then. A cursor is known to the router alone that opened it, and the driver would choose one by chance for each command.
 * False where there is no server. What belongs to a transaction the driver keeps together by itself. */
static bool
find_server (mongo_world_t *self, ecl_txn_t txn, bson_t *options, bson_error_t *error)
{
   if (!self->router) {
      mongoc_server_description_t *server = mongoc_client_select_server (self->client, true, NULL, error);

      if (!server) {
         return false;
      }
      if (strcmp (mongoc_server_description_type (server), "Mongos") == 0) {
         self->router = mongoc_server_description_id (server);
      }
      mongoc_server_description_destroy (server);
   }
   if (self->router && txn == ECL_TXN_NONE) {
      BSON_APPEND_INT32 (options, "serverId", (int32_t) self->router);
   }
   return true;
}

/* A new primary may not know yet what the majority has: a read with majority waits until it knows what this world wrote
 * before. (The driver's causal consistency would add a read concern of its own, and wait for more.) */
static const bson_t *
behind_writes (const mongo_world_t *self, const bson_t *command, bson_t *copy)
{
   bson_iter_t iter, inner;
   bson_t concern;

   if (!self->wrote.seconds || !bson_iter_init_find (&iter, command, "readConcern") ||
       !bson_iter_init (&iter, command)) {
      return command;
   }
   while (bson_iter_next (&iter)) {
      if (!BSON_ITER_IS_KEY (&iter, "readConcern") || !bson_iter_recurse (&iter, &inner)) {
         bson_append_iter (copy, NULL, 0, &iter);
         continue;
      }
      BSON_APPEND_DOCUMENT_BEGIN (copy, "readConcern", &concern);
      while (bson_iter_next (&inner)) {
         bson_append_iter (&concern, NULL, 0, &inner);
      }
      BSON_APPEND_TIMESTAMP (&concern, "afterClusterTime", self->wrote.seconds, self->wrote.increment);
      bson_append_document_end (copy, &concern);
   }
   return copy;
}

/* Of an answer to what waited for the majority. */
static void
note_write (mongo_world_t *self, const ecl_call_t *command, const bson_t *reply)
{
   bool waited = command->txn == ECL_TXN_COMMIT ||
                 (command->txn == ECL_TXN_NONE && bson_has_field (command->command, "writeConcern"));
   bson_iter_t iter;

   if (waited && !bson_has_field (reply, "writeConcernError") && bson_iter_init_find (&iter, reply, "operationTime") &&
       BSON_ITER_HOLDS_TIMESTAMP (&iter)) {
      bson_iter_timestamp (&iter, &self->wrote.seconds, &self->wrote.increment);
   }
}

static ecl_reply_t
end_transaction (mongo_world_t *self, ecl_txn_t txn, bson_t *reply, bson_error_t *error)
{
   bool good;

   if (!self->transaction || !mongoc_client_session_in_transaction (self->transaction)) {
      bson_init (reply);
      if (txn == ECL_TXN_ABORT) {
         return ECL_REPLY_OK;
      }
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "no transaction is open");
      return ECL_REPLY_LOST;
   }
   if (txn == ECL_TXN_ABORT) {
      bson_init (reply);
      (void) mongoc_client_session_abort_transaction (self->transaction, NULL);
      return ECL_REPLY_OK;
   }
   good = mongoc_client_session_commit_transaction (self->transaction, reply, error);
   return judge (good, reply);
}

static bool
begin_transaction (mongo_world_t *self, bson_error_t *error)
{
   mongoc_transaction_opt_t *options = mongoc_transaction_opts_new ();
   mongoc_write_concern_t *write = mongoc_write_concern_new ();
   mongoc_read_concern_t *read = mongoc_read_concern_new ();
   bool good;

   if (mongoc_client_session_in_transaction (self->transaction)) {
      (void) mongoc_client_session_abort_transaction (self->transaction, NULL);
   }
   mongoc_write_concern_set_wmajority (write, ECL_WORLD_TIMEOUT);
   mongoc_read_concern_set_level (read, MONGOC_READ_CONCERN_LEVEL_SNAPSHOT);
   mongoc_transaction_opts_set_write_concern (options, write);
   mongoc_transaction_opts_set_read_concern (options, read);
   mongoc_transaction_opts_set_read_prefs (options, self->primary);
   good = mongoc_client_session_start_transaction (self->transaction, options, error);
   mongoc_read_concern_destroy (read);
   mongoc_write_concern_destroy (write);
   mongoc_transaction_opts_destroy (options);
   return good;
}

static ecl_reply_t
world_run_command (ecl_world_t *self, const ecl_call_t *command, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   mongo_world_t *world = (mongo_world_t *) self;
   mongoc_client_session_t *session;
   int64_t left;
   ecl_reply_t result = ECL_REPLY_LOST;
   bson_t options = BSON_INITIALIZER, copy = BSON_INITIALIZER;
   const bson_t *sent;
   bson_error_t ignored;

   error = error ? error : &ignored;
   memset (error, 0, sizeof *error);
   if (command->txn == ECL_TXN_COMMIT || command->txn == ECL_TXN_ABORT) {
      result = end_transaction (world, command->txn, reply, error);
      goto done;
   }
   session = session_of (world, command->txn, error);
   if (!session && error->domain == MONGOC_ERROR_SERVER_SELECTION) {
      bson_init (reply); /* asked again at once, the driver would only say that it waits */
      goto done;
   }
   if (command->txn != ECL_TXN_NONE &&
       (!session || (command->txn == ECL_TXN_BEGIN && !begin_transaction (world, error)))) {
      bson_init (reply);
      goto done;
   }
   if (session && !mongoc_client_session_append (session, &options, error)) {
      bson_init (reply);
      goto done;
   }
   if (!find_server (world, command->txn, &options, error)) {
      bson_init (reply);
      goto done;
   }
   left = deadline - world_now (self);
   if (left <= 0) {
      bson_init (reply);
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "its time was over before there was a connection");
      goto done;
   }
   if (takes_max_time (command->command)) {
      BSON_APPEND_INT64 (&options, "maxTimeMS", left);
   }
   sent = command->txn == ECL_TXN_NONE ? behind_writes (world, command->command, &copy) : command->command;
   result = judge (
      mongoc_client_command_with_opts (world->client, command->database, sent, world->primary, &options, reply, error),
      reply);
   if (result == ECL_REPLY_LOST || (result == ECL_REPLY_REFUSED && is_going (error->code))) {
      world->router = 0; /* another one may be there */
   }

done:
   if (result == ECL_REPLY_OK) {
      note_write (world, command, reply);
   }
   bson_destroy (&copy);
   bson_destroy (&options);
   return result;
}

static size_t
world_sessions (ecl_world_t *self, uint8_t (*ids)[16], size_t max)
{
   static const ecl_txn_t kinds[] = {ECL_TXN_NONE, ECL_TXN_BEGIN};
   mongo_world_t *world = (mongo_world_t *) self;
   size_t n = 0;

   for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && n < max; i++) {
      mongoc_client_session_t *session = session_of (world, kinds[i], NULL);
      bson_subtype_t subtype;
      const uint8_t *data;
      bson_iter_t iter;
      uint32_t len;

      if (session && bson_iter_init_find (&iter, mongoc_client_session_get_lsid (session), "id") &&
          BSON_ITER_HOLDS_BINARY (&iter)) {
         bson_iter_binary (&iter, &subtype, &len, &data);
         if (len == 16) {
            memcpy (ids[n++], data, 16);
         }
      }
   }
   return n;
}

static void
set_default (mongoc_uri_t *uri, const char *option, int32_t value)
{
   if (!mongoc_uri_has_option (uri, option)) {
      mongoc_uri_set_option_as_int32 (uri, option, value);
   }
}

static void
cut (mongoc_uri_t *uri, const char *option, int32_t most)
{
   int32_t now = mongoc_uri_get_option_as_int32 (uri, option, 0);

   if (now <= 0 || now > most) {
      mongoc_uri_set_option_as_int32 (uri, option, most);
   }
}

/* An @ that stands in a password as it is begins what the driver takes for a host, and shows in its messages. */
static bool
is_host (const mongoc_uri_t *uri)
{
   for (const mongoc_host_list_t *host = mongoc_uri_get_hosts (uri); host; host = host->next) {
      if (strchr (host->host, '@')) {
         return false;
      }
   }
   return true;
}

/* socket: its timeout, where the URI does not say; timeout: of all, whatever it says, where not 0. */
static ecl_world_t *
make_world (const char *uri, int32_t socket, int32_t timeout, bool (*cancelled) (void), const char **database,
            bson_error_t *error)
{
   mongo_world_t *self;
   bson_error_t why;
   mongoc_uri_t *parsed;

   parsed = mongoc_uri_new_with_error (uri, &why);
   if (!parsed) {
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "the server's URI cannot be read: %s", why.message);
      return NULL;
   }
   if (!is_host (parsed)) {
      ecl_fail (
         error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID,
         "the server's URI cannot be read: more than one @; in a user's name and password @ is written %%40, and : "
         "/ %% likewise");
      mongoc_uri_destroy (parsed);
      return NULL;
   }
   self = bson_malloc0 (sizeof *self);
   self->uri = parsed;
   set_default (parsed, MONGOC_URI_SOCKETTIMEOUTMS, socket);
   set_default (parsed, MONGOC_URI_CONNECTTIMEOUTMS, CONNECT_TIMEOUT_MS);
   set_default (parsed, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, SELECTION_TIMEOUT_MS);
   if (timeout) {
      cut (parsed, MONGOC_URI_SOCKETTIMEOUTMS, timeout);
      cut (parsed, MONGOC_URI_CONNECTTIMEOUTMS, timeout);
      cut (parsed, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, timeout);
   }
   self->world = (ecl_world_t){.now = world_now,
                               .random = world_random,
                               .wait = world_wait,
                               .cancelled = world_cancelled,
                               .run_command = world_run_command,
                               .sessions = world_sessions};
   self->cancelled = cancelled;
   self->primary = mongoc_read_prefs_new (MONGOC_READ_PRIMARY);
   self->client = mongoc_client_new_from_uri_with_error (parsed, &why);
   if (!self->client) {
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "%s", why.message);
      ecl_mongo_world_destroy (&self->world);
      return NULL;
   }
   mongoc_client_set_error_api (self->client, MONGOC_ERROR_API_VERSION_2);
   mongoc_client_set_appname (self->client, "eclose");
   *database = mongoc_uri_get_database (parsed);
   return &self->world;
}

ecl_world_t *
ecl_mongo_world_new (const char *uri, int32_t longest, bool (*cancelled) (void), const char **database,
                     bson_error_t *error)
{
   int32_t socket = longest + (SOCKET_TIMEOUT_MS - ECL_WORLD_TIMEOUT);

   return make_world (uri, socket > SOCKET_TIMEOUT_MS ? socket : SOCKET_TIMEOUT_MS, 0, cancelled, database, error);
}

ecl_world_t *
ecl_mongo_world_new_hasty (const char *uri, int32_t timeout, bool (*cancelled) (void), const char **database,
                           bson_error_t *error)
{
   return make_world (uri, SOCKET_TIMEOUT_MS, timeout, cancelled, database, error);
}

void
ecl_mongo_world_destroy (ecl_world_t *world)
{
   mongo_world_t *self = (mongo_world_t *) world;

   if (!self) {
      return;
   }
   if (self->transaction) {
      mongoc_client_session_destroy (self->transaction);
   }
   if (self->session) {
      mongoc_client_session_destroy (self->session);
   }
   if (self->client) {
      mongoc_client_destroy (self->client);
   }
   mongoc_read_prefs_destroy (self->primary);
   mongoc_uri_destroy (self->uri);
   bson_free (self);
}

void
ecl_mongo_init (void)
{
   mongoc_init ();
   mongoc_log_set_handler (NULL, NULL);
}

typedef struct {
   char *text;
   size_t size;
} complaints_t;

static void
keep_complaint (mongoc_log_level_t level, const char *domain, const char *message, void *context)
{
   const complaints_t *self = context;
   size_t len = strlen (self->text);

   (void) domain;
   if (level <= MONGOC_LOG_LEVEL_WARNING && len < self->size) {
      bson_snprintf (self->text + len, self->size - len, "%s%s", len ? "; " : "", message);
   }
}

void
ecl_mongo_uri_complaints (const char *uri, char *text, size_t size)
{
   complaints_t complaints = {text, size};
   mongoc_uri_t *parsed;
   bson_error_t ignored;

   *text = '\0';
   mongoc_log_set_handler (keep_complaint, &complaints);
   parsed = mongoc_uri_new_with_error (uri, &ignored);
   mongoc_log_set_handler (NULL, NULL);
   if (!parsed) {
      *text = '\0'; /* that is an error, which says it all */
   }
   mongoc_uri_destroy (parsed);
}

/* Who was asked: without the user's name and password. */
static void
name_hosts (const mongoc_uri_t *uri, char *text, size_t size)
{
   const char *service = mongoc_uri_get_srv_hostname (uri);
   size_t len = 0;

   bson_snprintf (text, size, "%s", service ? service : "");
   for (const mongoc_host_list_t *host = service ? NULL : mongoc_uri_get_hosts (uri); host && len < size;
        host = host->next) {
      bson_snprintf (text + len, size - len, "%s%s", len ? "," : "", host->host_and_port);
      len = strlen (text);
   }
}

void
ecl_mongo_explain (const char *uri, bson_error_t *error)
{
   mongoc_uri_t *parsed = mongoc_uri_new (uri);
   const char *set = parsed ? mongoc_uri_get_replica_set (parsed) : NULL, *user;
   char hosts[256], why[sizeof error->message];

   if (!parsed || error->domain == ECL_DOMAIN_RUN) { /* one that answered, and is too old */
      mongoc_uri_destroy (parsed);
      return;
   }
   name_hosts (parsed, hosts, sizeof hosts);
   user = mongoc_uri_get_username (parsed);
   bson_strncpy (why, error->message, sizeof why);
   if (error->domain == MONGOC_ERROR_CLIENT && error->code == MONGOC_ERROR_CLIENT_AUTHENTICATE) {
      bson_snprintf (error->message, sizeof error->message, "%s refuses the user %s (name, password or authSource): %s",
                     hosts, user ? user : "of the URI", why);
   } else {
      bson_snprintf (error->message, sizeof error->message, "%s does not answer: %s%s%s%s", hosts, why,
                     set ? "; the URI says replicaSet=" : "", set ? set : "",
                     set ? ", which each of them has to be in" : "");
   }
   mongoc_uri_destroy (parsed);
}

const char *
ecl_mongo_version (void)
{
   return mongoc_get_version ();
}
