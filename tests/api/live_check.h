/* What the tests of libeclose-mongoc against a server share: a project, collections whose documents are in several
 * versions, and somebody else who writes. */
#ifndef LIVE_CHECK_H
#define LIVE_CHECK_H

#include "server_check.h"

#include <stdio.h>
#include <stdlib.h>

/* Version 2: name is called full, plan is new. */
#define RENAME                                              \
   "to: 2\n"                                                \
   "up: [{$set: {full: $name, plan: 0}}, {$unset: name}]\n" \
   "down: [{$set: {name: $full}}, {$unset: [full, plan]}]\n"

/* Version 3: tags are looked up at the product. */
#define LOOKUP                                                                          \
   "to: 1\n"                                                                            \
   "up:\n"                                                                              \
   "  - $lookup: {from: products, localField: product, foreignField: _id, as: found}\n" \
   "  - $set: {tags: {$ifNull: [{$first: $found.labels}, []]}}\n"                       \
   "  - $unset: found\n"

typedef struct {
   mongoc_client_t *client;
   mongoc_database_t *database;
   const char *name;
   eclose_project_t *project;
   eclose_collection_t *users, *old_users; /* at 2 and at 1 */
   mongoc_collection_t *raw;
   unsigned product_queries;
   unsigned majority_reads;
   char committed[80];  /* the write concern of the last transaction */
   bool somebody_comes; /* before the next write of the handle somebody else writes to user 1 */
} live_t;

/* Another program, with a client of its own: adds n to user 1, as it is stored, or makes it. */
static inline void
somebody_writes (const live_t *live)
{
   mongoc_client_t *client = mongoc_client_new (getenv ("ECLOSE_TEST_URI"));
   mongoc_collection_t *users = mongoc_client_get_collection (client, live->name, "users");
   bson_t *by_id = json ("{\"_id\": 1}"), *change = json ("{\"$set\": {\"n\": 1}}"),
          *opts = json ("{\"upsert\": true}");
   bson_error_t error;

   check (mongoc_collection_update_one (users, by_id, change, opts, NULL, &error), &error);
   bson_destroy (opts);
   bson_destroy (by_id);
   bson_destroy (change);
   mongoc_collection_destroy (users);
   mongoc_client_destroy (client);
}

static inline void
started (const mongoc_apm_command_started_t *event)
{
   live_t *live = mongoc_apm_command_started_get_context (event);
   char *command = bson_as_relaxed_extended_json (mongoc_apm_command_started_get_command (event), NULL);
   const char *name = mongoc_apm_command_started_get_command_name (event);

   if (strcmp (name, "find") == 0 || strcmp (name, "aggregate") == 0) {
      live->product_queries += strstr (command, "\" : \"products\"") != NULL;
      live->majority_reads += strstr (command, "\"level\" : \"majority\"") != NULL;
   }
   if (strcmp (name, "commitTransaction") == 0) {
      const char *concern = strstr (command, "\"writeConcern\" : ");

      snprintf (live->committed, sizeof live->committed, "%s", concern ? concern : "");
   }
   if (live->somebody_comes && (strcmp (name, "update") == 0 || strcmp (name, "findAndModify") == 0)) {
      live->somebody_comes = false;
      somebody_writes (live);
   }
   bson_free (command);
}

static inline int
setup (void **state)
{
   live_t *live = calloc (1, sizeof *live);
   mongoc_apm_callbacks_t *callbacks = mongoc_apm_callbacks_new ();
   bson_error_t error;

   live->client = mongoc_client_new (getenv ("ECLOSE_TEST_URI"));
   mongoc_client_set_error_api (live->client, MONGOC_ERROR_API_VERSION_2);
   mongoc_apm_set_command_started_cb (callbacks, started);
   mongoc_client_set_apm_callbacks (live->client, callbacks, live);
   mongoc_apm_callbacks_destroy (callbacks);
   live->name = getenv ("ECLOSE_TEST_DATABASE");
   live->database = mongoc_client_get_database (live->client, live->name);
   check (mongoc_database_drop (live->database, &error), &error);
   live->project = eclose_project_new ();
   add_text (live->project, "eclose.yaml", "collections: {users: {unversioned: 1}}\n");
   add_text (live->project, "users/0002_rename.yaml", RENAME);
   add_text (live->project, "devices/0001_tags.yaml", LOOKUP);
   add_text (live->project, "products/0001_labels.yaml",
             "to: 1\nup: [{$set: {labels: [$label]}}, {$unset: label}]\ndown: irreversible\n");
   load (live->project);
   live->users = eclose_collection_new (live->project, live->client, live->name, "users", NULL, &error);
   live->old_users = eclose_collection_new (live->project, live->client, live->name, "users", "1", &error);
   assert_non_null (live->users);
   assert_non_null (live->old_users);
   live->raw = eclose_collection_get (live->users);
   *state = live;
   return 0;
}

static inline int
teardown (void **state)
{
   live_t *live = *state;

   (void) mongoc_database_drop (live->database, NULL);
   eclose_collection_destroy (live->users);
   eclose_collection_destroy (live->old_users);
   eclose_project_destroy (live->project);
   mongoc_database_destroy (live->database);
   mongoc_client_destroy (live->client);
   free (live);
   return 0;
}

static inline void
put (mongoc_collection_t *collection, const char *text)
{
   bson_t *document = json (text);
   bson_error_t error;

   check (mongoc_collection_insert_one (collection, document, NULL, NULL, &error), &error);
   bson_destroy (document);
}

static inline void
stored_is (mongoc_collection_t *collection, const char *filter_text, const char *expected)
{
   bson_t *filter = json (filter_text);
   mongoc_cursor_t *cursor = mongoc_collection_find_with_opts (collection, filter, NULL, NULL);
   const bson_t *document;

   assert_true (mongoc_cursor_next (cursor, &document));
   same_json (document, expected);
   mongoc_cursor_destroy (cursor);
   bson_destroy (filter);
}

/* All that a cursor gives, which is destroyed. */
static inline void
gives (eclose_cursor_t *cursor, const char *const *expected, size_t n)
{
   const bson_t *document;
   bson_error_t error;
   size_t i = 0;

   while (eclose_cursor_next (cursor, &document)) {
      assert_true (i < n);
      same_json (document, expected[i++]);
   }
   check (!eclose_cursor_error (cursor, &error), &error);
   assert_int_equal (i, n);
   eclose_cursor_destroy (cursor);
}

#define GIVES(cursor, ...)                                  \
   do {                                                     \
      const char *const list[] = {__VA_ARGS__};             \
      gives ((cursor), list, sizeof list / sizeof list[0]); \
   } while (0)

static inline eclose_document_t *
find_one (eclose_collection_t *collection, const char *filter_text)
{
   bson_t *filter = json (filter_text);
   eclose_document_t *document;
   bson_error_t error;

   check (eclose_collection_find_one (collection, filter, NULL, &document, &error), &error);
   bson_destroy (filter);
   return document;
}

#endif
