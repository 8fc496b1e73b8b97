/* What a server can do: see server.h. */
#include "run/server.h"

#include <string.h>

#include "run/insist.h"
#include "store/store.h"

/* maxWireVersion of 4.2: pipelines in updates, transactions on shards. */
#define WIRE_4_2 8

enum { COMMAND_NOT_FOUND = 59 };

static bool
read_hello (const bson_t *reply, ecl_server_t *out, bson_error_t *error)
{
   bool set = bson_has_field (reply, "setName"), sessions = bson_has_field (reply, "logicalSessionTimeoutMinutes");
   int64_t wire = ecl_store_number (reply, "maxWireVersion");
   bson_iter_t iter;

   out->sharded = bson_iter_init_find (&iter, reply, "msg") && BSON_ITER_HOLDS_UTF8 (&iter) &&
                  strcmp (bson_iter_utf8 (&iter, NULL), "isdbgrid") == 0;
   out->transactions = sessions && (set || out->sharded);
   return wire >= WIRE_4_2 || ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_UNSUPPORTED,
                                        "this server is older than MongoDB 4.2 (its wire version is %" PRId64
                                        "): its updates take no pipelines, which eclose cannot do without",
                                        wire);
}

static void
read_build (const bson_t *reply, ecl_server_t *out)
{
   bson_iter_t iter;

   if (bson_iter_init_find (&iter, reply, "version") && BSON_ITER_HOLDS_UTF8 (&iter)) {
      bson_strncpy (out->version, bson_iter_utf8 (&iter, NULL), sizeof out->version);
   }
   if (bson_iter_init_find (&iter, reply, "gitVersion") && BSON_ITER_HOLDS_UTF8 (&iter)) {
      const char *commit = bson_iter_utf8 (&iter, NULL);

      out->vouched = commit[strspn (commit, "0")] != '\0';
   }
}

/* It only says which way of writing is the faster one: where it is refused, as it is to a client that is strict about
 * the Stable API, nothing is known of it. */
static bool
ask_build (ecl_world_t *world, ecl_server_t *out, bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, reply;
   ecl_reply_t answer;

   BSON_APPEND_INT32 (&command, "buildInfo", 1);
   answer = ecl_insist (world, "admin", &command, world->now (world) + ECL_WORLD_TIMEOUT, NULL, &reply, error);
   if (answer == ECL_REPLY_OK) {
      read_build (&reply, out);
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return answer != ECL_REPLY_LOST;
}

bool
ecl_server_hello (ecl_world_t *world, int64_t insist, bson_t *reply, bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, before = BSON_INITIALIZER;
   const bson_t *commands[] = {&command, &before};
   ecl_reply_t answer = ECL_REPLY_REFUSED;
   bson_error_t why = {.code = COMMAND_NOT_FOUND};

   BSON_APPEND_INT32 (&command, "hello", 1);
   BSON_APPEND_INT32 (&before, "isMaster", 1);
   bson_init (reply);
   for (size_t i = 0; i < 2 && answer == ECL_REPLY_REFUSED && why.code == COMMAND_NOT_FOUND; i++) {
      ecl_call_t call = {.database = "admin", .command = commands[i]};
      int64_t now = world->now (world);

      bson_destroy (reply);
      answer = insist ? ecl_insist (world, "admin", commands[i], now + insist, NULL, reply, &why)
                      : world->run_command (world, &call, now + ECL_WORLD_TIMEOUT, reply, &why);
   }
   bson_destroy (&before);
   bson_destroy (&command);
   if (answer != ECL_REPLY_OK && error) {
      *error = why;
   }
   return answer == ECL_REPLY_OK;
}

bool
ecl_server_ask (ecl_world_t *world, ecl_server_t *out, bson_error_t *error)
{
   bson_t reply;
   bool good;

   memset (out, 0, sizeof *out);
   /* One that does not answer is told of at once. */
   good = ecl_server_hello (world, 0, &reply, error) && read_hello (&reply, out, error);
   bson_destroy (&reply);
   return good && ask_build (world, out, error);
}

/* Looks for a stage by its name anywhere in a plan. */
static bool
has_stage (const bson_iter_t *at, const char *name, int depth)
{
   bson_iter_t child;

   if (depth > 20 || !bson_iter_recurse (at, &child)) {
      return false;
   }
   while (bson_iter_next (&child)) {
      if (BSON_ITER_HOLDS_UTF8 (&child)) {
         if (strcmp (bson_iter_key (&child), "stage") == 0 && strcmp (bson_iter_utf8 (&child, NULL), name) == 0) {
            return true;
         }
      } else if ((BSON_ITER_HOLDS_DOCUMENT (&child) || BSON_ITER_HOLDS_ARRAY (&child)) &&
                 has_stage (&child, name, depth + 1)) {
         return true;
      }
   }
   return false;
}

bool
ecl_server_guard_form (ecl_world_t *world, const ecl_server_t *server, const char *database, const char *collection,
                       ecl_guard_form_t *form, bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, find, filter, expr, equal, reply;
   bson_iter_t iter, plan;
   ecl_reply_t answer;

   *form = ECL_GUARD_IN_PIPELINE;
   if (!server->vouched) {
      bson_destroy (&command);
      return true;
   }
   BSON_APPEND_DOCUMENT_BEGIN (&command, "explain", &find);
   BSON_APPEND_UTF8 (&find, "find", collection);
   BSON_APPEND_DOCUMENT_BEGIN (&find, "filter", &filter);
   BSON_APPEND_INT32 (&filter, "_id", 1);
   BSON_APPEND_DOCUMENT_BEGIN (&filter, "$expr", &expr);
   BSON_APPEND_ARRAY_BEGIN (&expr, "$eq", &equal);
   BSON_APPEND_UTF8 (&equal, "0", "$a");
   BSON_APPEND_INT32 (&equal, "1", 1);
   bson_append_array_end (&expr, &equal);
   bson_append_document_end (&filter, &expr);
   bson_append_document_end (&find, &filter);
   bson_append_document_end (&command, &find);
   BSON_APPEND_UTF8 (&command, "verbosity", "queryPlanner");
   answer = ecl_insist (world, database, &command, world->now (world) + ECL_WORLD_TIMEOUT, NULL, &reply, error);
   /* A server that explains nothing is not asked twice: it gets the pipeline. */
   if (answer == ECL_REPLY_OK && bson_iter_init (&iter, &reply) &&
       bson_iter_find_descendant (&iter, "queryPlanner.winningPlan", &plan) && !has_stage (&plan, "COLLSCAN", 0) &&
       (has_stage (&plan, "IXSCAN", 0) || has_stage (&plan, "IDHACK", 0) || has_stage (&plan, "CLUSTERED_IXSCAN", 0))) {
      *form = ECL_GUARD_IN_FILTER;
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return answer != ECL_REPLY_LOST;
}
