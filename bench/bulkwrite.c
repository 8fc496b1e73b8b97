/* The least that whoever computes here must do: documents of version 2 that are ready in memory, written by bulkWrite.
 *
 *    bench_bulkwrite PROJECT URI DATABASE DOCUMENTS CONNECTIONS
 *
 * Reads the users of version 1 and makes version 2 of each (by libeclose, before the clock runs); then as many threads
 * as connections replace them by _id, in batches of 1,000 with write concern majority. It guards nothing, so it may
 * overwrite what others wrote. Prints the seconds that the writing took.
 */
#include <eclose/mongoc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH 1000

typedef struct {
   mongoc_client_pool_t *pool;
   const char *database;
   bson_t **documents;
   size_t n;
} share_t;

static void
die (const char *what, const bson_error_t *error)
{
   fprintf (stderr, "bench_bulkwrite: %s: %s\n", what, error ? error->message : "");
   exit (1);
}

static double
seconds (void)
{
   struct timespec now;

   clock_gettime (CLOCK_MONOTONIC, &now);
   return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static mongoc_collection_t *
open_users (mongoc_client_t *client, const char *database)
{
   mongoc_collection_t *users = mongoc_client_get_collection (client, database, "users");
   mongoc_write_concern_t *concern = mongoc_write_concern_new ();

   mongoc_write_concern_set_wmajority (concern, 60000);
   mongoc_collection_set_write_concern (users, concern);
   mongoc_write_concern_destroy (concern);
   return users;
}

static void
write_batch (mongoc_collection_t *users, bson_t **documents, size_t n)
{
   bson_t unordered = BSON_INITIALIZER, reply;
   mongoc_bulk_operation_t *bulk;
   bson_error_t error;

   BSON_APPEND_BOOL (&unordered, "ordered", false);
   bulk = mongoc_collection_create_bulk_operation_with_opts (users, &unordered);
   for (size_t i = 0; i < n; i++) {
      bson_t query = BSON_INITIALIZER;
      bson_iter_t id;

      if (!bson_iter_init_find (&id, documents[i], "_id")) {
         die ("a document has no _id", NULL);
      }
      bson_append_iter (&query, "_id", 3, &id);
      if (!mongoc_bulk_operation_replace_one_with_opts (bulk, &query, documents[i], NULL, &error)) {
         die ("replaceOne", &error);
      }
      bson_destroy (&query);
   }
   if (!mongoc_bulk_operation_execute (bulk, &reply, &error)) {
      die ("bulkWrite", &error);
   }
   bson_destroy (&reply);
   mongoc_bulk_operation_destroy (bulk);
   bson_destroy (&unordered);
}

static void *
write_share (void *argument)
{
   const share_t *share = argument;
   mongoc_client_t *client = mongoc_client_pool_pop (share->pool);
   mongoc_collection_t *users = open_users (client, share->database);

   for (size_t at = 0; at < share->n; at += BATCH) {
      write_batch (users, share->documents + at, share->n - at < BATCH ? share->n - at : BATCH);
   }
   mongoc_collection_destroy (users);
   mongoc_client_pool_push (share->pool, client);
   return NULL;
}

/* The finished documents; at most `most` of them. */
static bson_t **
finish (const char *folder, mongoc_client_pool_t *pool, const char *database, size_t most, size_t *n)
{
   mongoc_client_t *client = mongoc_client_pool_pop (pool);
   mongoc_collection_t *users = open_users (client, database);
   bson_t **documents = bson_malloc (most * sizeof *documents), filter = BSON_INITIALIZER;
   eclose_project_t *project;
   eclose_upgrader_t *upgrader;
   mongoc_cursor_t *cursor;
   const bson_t *stored, *out;
   bson_error_t error;

   project = eclose_project_new_from_folder (folder, &error);
   if (!project) {
      die (folder, &error);
   }
   upgrader = eclose_upgrader_new (project, "users", NULL, &error);
   if (!upgrader) {
      die ("users", &error);
   }
   cursor = mongoc_collection_find_with_opts (users, &filter, NULL, NULL);
   for (*n = 0; *n < most && mongoc_cursor_next (cursor, &stored); (*n)++) {
      if (!eclose_upgrader_run (upgrader, stored, &out, &error)) {
         die ("upgrade", &error);
      }
      documents[*n] = bson_copy (out);
   }
   if (mongoc_cursor_error (cursor, &error)) {
      die ("find", &error);
   }
   mongoc_cursor_destroy (cursor);
   eclose_upgrader_destroy (upgrader);
   eclose_project_destroy (project);
   mongoc_collection_destroy (users);
   mongoc_client_pool_push (pool, client);
   return documents;
}

int
main (int argc, char **argv)
{
   size_t most = argc == 6 ? strtoul (argv[4], NULL, 10) : 0, connections = argc == 6 ? strtoul (argv[5], NULL, 10) : 0;
   size_t n, at = 0;
   mongoc_client_pool_t *pool;
   pthread_t *threads;
   bson_t **documents;
   mongoc_uri_t *uri;
   share_t *shares;
   double began;

   if (!most || !connections) {
      fprintf (stderr, "usage: bench_bulkwrite PROJECT URI DATABASE DOCUMENTS CONNECTIONS\n");
      return 2;
   }
   mongoc_init ();
   uri = mongoc_uri_new (argv[2]);
   pool = uri ? mongoc_client_pool_new (uri) : NULL;
   if (!pool) {
      die (argv[2], NULL);
   }
   documents = finish (argv[1], pool, argv[3], most, &n);
   threads = bson_malloc (connections * sizeof *threads);
   shares = bson_malloc (connections * sizeof *shares);
   began = seconds ();
   for (size_t i = 0; i < connections; i++) {
      size_t end = n * (i + 1) / connections;

      shares[i] = (share_t){pool, argv[3], documents + at, end - at};
      at = end;
      if (pthread_create (&threads[i], NULL, write_share, &shares[i]) != 0) {
         die ("thread", NULL);
      }
   }
   for (size_t i = 0; i < connections; i++) {
      pthread_join (threads[i], NULL);
   }
   printf ("%.3f\n", seconds () - began);
   for (size_t i = 0; i < n; i++) {
      bson_destroy (documents[i]);
   }
   bson_free (documents);
   bson_free (shares);
   bson_free (threads);
   mongoc_client_pool_destroy (pool);
   mongoc_uri_destroy (uri);
   mongoc_cleanup ();
   return 0;
}
