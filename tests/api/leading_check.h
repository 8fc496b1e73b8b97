/* What the tests of leases and eclose_migrate() share: a database with its driver and project, and what stands in
 * it. */
#ifndef LEADING_CHECK_H
#define LEADING_CHECK_H

#include "server_check.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct {
   mongoc_client_t *client;
   mongoc_database_t *database;
   const char *name;
   eclose_driver_t *driver;
   eclose_project_t *project;
} live_t;

static inline eclose_driver_t *
new_driver (void)
{
   mongoc_uri_t *uri = mongoc_uri_new (getenv ("ECLOSE_TEST_URI"));
   bson_error_t error = {0};
   eclose_driver_t *driver = eclose_driver_new (uri, &error);

   check (driver != NULL, &error);
   mongoc_uri_destroy (uri);
   return driver;
}

static inline int
setup (void **state)
{
   live_t *live = calloc (1, sizeof *live);
   bson_error_t error;

   live->client = mongoc_client_new (getenv ("ECLOSE_TEST_URI"));
   live->name = getenv ("ECLOSE_TEST_DATABASE");
   live->database = mongoc_client_get_database (live->client, live->name);
   check (mongoc_database_drop (live->database, &error), &error);
   live->driver = new_driver ();
   live->project = eclose_project_new ();
   *state = live;
   return 0;
}

static inline int
teardown (void **state)
{
   live_t *live = *state;

   (void) mongoc_database_drop (live->database, NULL);
   eclose_project_destroy (live->project);
   eclose_driver_destroy (live->driver);
   mongoc_database_destroy (live->database);
   mongoc_client_destroy (live->client);
   free (live);
   return 0;
}

static inline eclose_lease_t *
new_lease (const live_t *live, const char *opts_text)
{
   bson_t *opts = opts_text ? json (opts_text) : NULL;
   bson_error_t error = {0};
   eclose_lease_t *lease = eclose_lease_new (live->driver, live->name, "one", opts, &error);

   check (lease != NULL, &error);
   bson_destroy (opts);
   return lease;
}

static inline void
acquire (eclose_lease_t *lease)
{
   bson_error_t error = {0};

   check (eclose_lease_acquire (lease, 60000, &error) == ECLOSE_LEASE_ACQUIRED, &error);
}

static inline int64_t
number (const bson_t *document, const char *path)
{
   bson_iter_t iter, found;

   assert_true (bson_iter_init (&iter, document) && bson_iter_find_descendant (&iter, path, &found));
   return BSON_ITER_HOLDS_DATE_TIME (&found) ? bson_iter_date_time (&found) : bson_iter_as_int64 (&found);
}

static inline const char *
text (const bson_t *document, const char *path)
{
   bson_iter_t iter, found;

   assert_true (bson_iter_init (&iter, document) && bson_iter_find_descendant (&iter, path, &found));
   return bson_iter_utf8 (&found, NULL);
}

static inline void
put (const live_t *live, const char *collection, const char *document_text)
{
   mongoc_collection_t *to = mongoc_database_get_collection (live->database, collection);
   bson_t *document = json (document_text);
   bson_error_t error;

   check (mongoc_collection_insert_one (to, document, NULL, NULL, &error), &error);
   bson_destroy (document);
   mongoc_collection_destroy (to);
}

static inline int64_t
count (const live_t *live, const char *collection, const char *filter_text)
{
   mongoc_collection_t *in = mongoc_database_get_collection (live->database, collection);
   bson_t *filter = json (filter_text);
   bson_error_t error;
   int64_t n = mongoc_collection_count_documents (in, filter, NULL, NULL, NULL, &error);

   check (n >= 0, &error);
   bson_destroy (filter);
   mongoc_collection_destroy (in);
   return n;
}

static inline void
command (const live_t *live, const char *command_text)
{
   bson_t *sent = json (command_text);
   bson_error_t error;

   check (mongoc_database_command_simple (live->database, sent, NULL, NULL, &error), &error);
   bson_destroy (sent);
}

#endif
