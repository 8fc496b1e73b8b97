/* eclose query: documents found by the target's shape, whatever version they are stored in. */
#include "cli/commands.h"
#include "cli/documents.h"
#include "cli/remote.h"

#include "store/store.h"
#include "upgrade/query.h"

/* Documents that one reply brings. */
#define BATCH 1000

/* The texts that the arguments were read into; the query borrows from them. */
typedef struct {
   ecl_text_t filter, sort, projection;
} texts_t;

static bool
read_document (const ecl_cli_t *cli, const char *argument, const char *name, ecl_text_t *text, ecl_value_t *out)
{
   ecl_value_t root;

   *out = ecl_missing ();
   if (!argument) {
      return true;
   }
   if (!ecl_argument_read (cli, argument, name, text)) {
      return false;
   }
   root = ecl_raw_document (text->doc, text->len);
   *out = ecl_document_get (&root, "", 0);
   if (!ecl_is_document (out)) {
      ecl_cli_fail (cli, "%s must be a document, found %s", name, ecl_type_name (out->type));
      return false;
   }
   return true;
}

static bool
read_query (const ecl_cli_t *cli, texts_t *texts, ecl_query_t *query)
{
   return read_document (cli, cli->args[1], "FILTER", &texts->filter, &query->filter) &&
          read_document (cli, ecl_cli_option (cli, "sort"), "--sort", &texts->sort, &query->sort) &&
          read_document (cli, ecl_cli_option (cli, "projection"), "--project", &texts->projection, &query->projection);
}

/* Prints the documents of one reply. *cursor: of the next one, 0 at the end. */
static bool
print_batch (ecl_writer_t *writer, const bson_t *reply, int64_t *cursor, bson_error_t *error)
{
   ecl_value_t root = ecl_raw_document (bson_get_data (reply), reply->len), state, batch, id, document;
   ecl_iter_t iter;

   *cursor = 0;
   state = ecl_document_get (&root, "cursor", 6);
   batch = ecl_is_document (&state) ? ecl_document_get (&state, "firstBatch", 10) : ecl_missing ();
   if (ecl_is_missing (&batch) && ecl_is_document (&state)) {
      batch = ecl_document_get (&state, "nextBatch", 9);
   }
   if (!ecl_is_array (&batch)) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "the server's reply has no cursor");
   }
   id = ecl_document_get (&state, "id", 2);
   ecl_iter_init (&iter, &batch);
   while (ecl_iter_item (&iter, &document)) {
      if (ecl_is_document (&document) && !ecl_writer_write (writer, document.u.raw, document.len, error)) {
         return false;
      }
   }
   return ecl_number_to_int64 (&id, cursor) ||
          ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "a cursor without id");
}

static void
aggregate_command (const char *collection, const bson_t *pipeline, bson_t *command)
{
   bson_init (command);
   BSON_APPEND_UTF8 (command, "aggregate", collection);
   BSON_APPEND_ARRAY (command, "pipeline", pipeline);
   ecl_store_cursor (BATCH, command);
}

static ecl_exit_t
print_documents (const ecl_remote_t *remote, const ecl_cli_t *cli, const char *collection, const bson_t *pipeline)
{
   bson_t command, reply;
   ecl_writer_t writer;
   bson_error_t error;
   int64_t cursor = 0;
   bool ok;

   ecl_writer_init (&writer, cli);
   aggregate_command (collection, pipeline, &command);
   do {
      ok = !remote->world->cancelled (remote->world) ||
           ecl_fail (&error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "interrupted");
      if (ok) {
         ok = ecl_world_call (remote->world, remote->database, &command, &reply, &error) &&
              print_batch (&writer, &reply, &cursor, &error);
         bson_destroy (&reply);
      }
      bson_reinit (&command);
      BSON_APPEND_INT64 (&command, "getMore", cursor);
      BSON_APPEND_UTF8 (&command, "collection", collection);
      BSON_APPEND_INT32 (&command, "batchSize", BATCH);
   } while (ok && cursor);
   bson_destroy (&command);
   ecl_writer_cleanup (&writer);
   /* Where whoever read has seen enough, main knows. */
   return ok ? ECL_EXIT_OK : writer.closed ? ECL_EXIT_FAILED : ecl_cli_fail (cli, "%s: %s", collection, error.message);
}

static ecl_exit_t
explain (const ecl_remote_t *remote, const ecl_cli_t *cli, const char *collection, const bson_t *pipeline)
{
   bson_t aggregate, command = BSON_INITIALIZER, reply;
   ecl_exit_t status = ECL_EXIT_OK;
   bson_error_t error;

   aggregate_command (collection, pipeline, &aggregate);
   BSON_APPEND_DOCUMENT (&command, "explain", &aggregate);
   BSON_APPEND_UTF8 (&command, "verbosity", "queryPlanner");
   if (ecl_world_call (remote->world, remote->database, &command, &reply, &error)) {
      ecl_cli_json (&reply);
   } else {
      status = ecl_cli_fail (cli, "%s: %s", collection, error.message);
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   bson_destroy (&aggregate);
   return status;
}

static ecl_exit_t
print_pipeline (const ecl_cli_t *cli, const bson_t *pipeline)
{
   bson_error_t error;
   ecl_buf_t text;
   ecl_exit_t status = ECL_EXIT_OK;

   ecl_buf_init (&text, 8u * ECL_TEXT_BSON_MAX);
   if (ecl_extjson_write_array (bson_get_data (pipeline), pipeline->len, ECL_EXTJSON_RELAXED, &text, &error)) {
      printf ("%s\n", ecl_buf_cstr (&text));
   } else {
      status = ecl_cli_fail (cli, "%s", error.message);
   }
   ecl_buf_cleanup (&text);
   return status;
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_remote_t remote = {0};
   const ecl_chain_t *chain;
   ecl_query_t query = {0};
   bson_error_t error;
   bson_t pipeline = BSON_INITIALIZER;
   texts_t texts;
   size_t target;

   ecl_text_init (&texts.filter);
   ecl_text_init (&texts.sort);
   ecl_text_init (&texts.projection);
   if (!ecl_cli_number (cli, "limit", 1, INT32_MAX, 0, &query.limit) ||
       !ecl_cli_number (cli, "skip", 1, INT32_MAX, 0, &query.skip)) {
      status = ECL_EXIT_USAGE;
      goto done;
   }
   if (!read_query (cli, &texts, &query) || !ecl_remote_load (&remote, cli) ||
       !ecl_cli_chain (cli, remote.project, 0, &chain)) {
      goto done;
   }
   if (!ecl_remote_target (cli, chain, &target)) {
      status = ECL_EXIT_USAGE;
      goto done;
   }
   if (!ecl_remote_connect (&remote)) {
      goto done;
   }
   bson_destroy (&pipeline);
   if (!ecl_query_pipeline (chain, target, &query, &pipeline, &error)) {
      status = ecl_cli_fail (cli, "%s", error.message);
   } else if (ecl_cli_flag (cli, "pipeline")) {
      status = print_pipeline (cli, &pipeline);
   } else if (ecl_cli_flag (cli, "explain")) {
      status = explain (&remote, cli, chain->collection, &pipeline);
   } else {
      status = print_documents (&remote, cli, chain->collection, &pipeline);
   }

done:
   ecl_remote_close (&remote);
   bson_destroy (&pipeline);
   ecl_text_cleanup (&texts.filter);
   ecl_text_cleanup (&texts.sort);
   ecl_text_cleanup (&texts.projection);
   return status;
}

static const ecl_option_t options[] = {
   {"to", 0, "VERSION", "the shape; the end of the chain unless told otherwise"},
   {"sort", 0, "SORT", "as in a find"},
   {"skip", 0, "N", "leave out so many"},
   {"limit", 0, "N", "at most so many"},
   {"project", 0, "PROJECTION", "which fields, as in a $project", "projection"},
   {"explain", 0, NULL, "print the server's plan instead"},
   {"pipeline", 0, NULL, "print the pipeline instead"},
   ECL_DOCUMENTS_OPTIONS,
   {NULL},
};

const ecl_command_t ecl_cmd_query = {
   .name = "query",
   .arguments = "COLLECTION FILTER",
   .summary = "find documents by the target's shape in all versions",
   .about = "One aggregation: the current documents by the filter, and for each other version its\n"
            "documents, the migrations' stages and the filter. Writes nothing.",
   .options = options,
   .min_args = 2,
   .max_args = 2,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER,
   .run = run,
};
