/* libeclose-mongoc against a server: every function, on collections whose documents are in several versions.
 *
 *    live NAME     runs one test, or those that match a pattern; ECLOSE_TEST_URI and ECLOSE_TEST_DATABASE say where
 *
 * tests/integration/test_client.py finds the names here and runs each.
 */
#include "api_check.h"

#include <eclose/mongoc.h>

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
   bool somebody_comes; /* before the next write of the handle somebody else writes to user 1 */
} live_t;

/* Another program, with a client of its own: adds n to user 1, as it is stored. */
static void
somebody_writes (const live_t *live)
{
   mongoc_client_t *client = mongoc_client_new (getenv ("ECLOSE_TEST_URI"));
   mongoc_collection_t *users = mongoc_client_get_collection (client, live->name, "users");
   bson_t *by_id = json ("{\"_id\": 1}"), *change = json ("{\"$set\": {\"n\": 1}}");
   bson_error_t error;

   check (mongoc_collection_update_one (users, by_id, change, NULL, NULL, &error), &error);
   bson_destroy (by_id);
   bson_destroy (change);
   mongoc_collection_destroy (users);
   mongoc_client_destroy (client);
}

static void
started (const mongoc_apm_command_started_t *event)
{
   live_t *live = mongoc_apm_command_started_get_context (event);
   char *command = bson_as_relaxed_extended_json (mongoc_apm_command_started_get_command (event), NULL);
   const char *name = mongoc_apm_command_started_get_command_name (event);

   if (strcmp (name, "find") == 0 || strcmp (name, "aggregate") == 0) {
      live->product_queries += strstr (command, "\" : \"products\"") != NULL;
   }
   if (live->somebody_comes && (strcmp (name, "update") == 0 || strcmp (name, "findAndModify") == 0)) {
      live->somebody_comes = false;
      somebody_writes (live);
   }
   bson_free (command);
}

static int
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

static int
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

static void
put (mongoc_collection_t *collection, const char *text)
{
   bson_t *document = json (text);
   bson_error_t error;

   check (mongoc_collection_insert_one (collection, document, NULL, NULL, &error), &error);
   bson_destroy (document);
}

static void
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
static void
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

static eclose_document_t *
find_one (eclose_collection_t *collection, const char *filter_text)
{
   bson_t *filter = json (filter_text);
   eclose_document_t *document;
   bson_error_t error;

   check (eclose_collection_find_one (collection, filter, NULL, &document, &error), &error);
   bson_destroy (filter);
   return document;
}

/* ---- reading ---- */

static void
test_find_over_many_batches (void **state)
{
   live_t *live = *state;
   bson_t filter = BSON_INITIALIZER, *opts = json ("{\"batchSize\": 7, \"sort\": {\"_id\": 1}}");
   eclose_cursor_t *cursor;
   const bson_t *document;
   bson_error_t error;
   int n = 0;

   for (int i = 0; i < 100; i++) {
      char text[100];

      snprintf (text, sizeof text,
                i % 2 ? "{\"_id\": %d, \"full\": \"u\", \"plan\": 0, \"schema_version\": 2}"
                      : "{\"_id\": %d, \"name\": \"u\"}",
                i);
      put (live->raw, text);
   }
   cursor = eclose_collection_find (live->users, &filter, opts, NULL);
   while (eclose_cursor_next (cursor, &document)) {
      char text[100];

      snprintf (text, sizeof text, "{ \"_id\" : %d, \"full\" : \"u\", \"plan\" : 0, \"schema_version\" : 2 }", n++);
      same_json (document, text);
   }
   check (!eclose_cursor_error (cursor, &error), &error);
   assert_int_equal (n, 100);
   assert_false (eclose_cursor_more (cursor));
   eclose_cursor_destroy (cursor);
   bson_destroy (opts);
   /* Nothing was saved. */
   stored_is (live->raw, "{\"_id\": 0}", "{ \"_id\" : 0, \"name\" : \"u\" }");
}

static void
test_find_one_and_older_program (void **state)
{
   live_t *live = *state;
   eclose_document_t *document;

   put (live->raw, "{\"_id\": 1, \"full\": \"A\", \"plan\": 0, \"schema_version\": 2}");
   document = find_one (live->old_users, "{\"_id\": 1}");
   same_json (eclose_document_get (document), "{ \"_id\" : 1, \"schema_version\" : 1, \"name\" : \"A\" }");
   same_json (eclose_document_stored (document),
              "{ \"_id\" : 1, \"full\" : \"A\", \"plan\" : 0, \"schema_version\" : 2 }");
   eclose_document_destroy (document);
   assert_null (find_one (live->users, "{\"_id\": 2}"));
}

static void
test_documents_of_a_cursor (void **state)
{
   live_t *live = *state;
   bson_t filter = BSON_INITIALIZER, *changed = json ("{\"_id\": 1, \"full\": \"B\"}");
   eclose_document_t *kept;
   eclose_cursor_t *cursor;
   const bson_t *document;
   bson_error_t error;

   put (live->raw, "{\"_id\": 1, \"name\": \"A\"}");
   cursor = eclose_collection_find (live->users, &filter, NULL, NULL);
   assert_null (eclose_cursor_document (cursor)); /* nothing was read yet */
   assert_true (eclose_cursor_next (cursor, &document));
   assert_true (mongoc_cursor_current (eclose_cursor_get (cursor)) != NULL);
   kept = eclose_cursor_document (cursor);
   assert_false (eclose_cursor_next (cursor, &document));
   assert_null (eclose_cursor_document (cursor));
   eclose_cursor_destroy (cursor);
   same_json (eclose_document_get (kept), "{ \"_id\" : 1, \"full\" : \"A\", \"plan\" : 0, \"schema_version\" : 2 }");
   same_json (eclose_document_stored (kept), "{ \"_id\" : 1, \"name\" : \"A\" }");
   check (eclose_collection_save (live->users, kept, changed, NULL, &error), &error);
   stored_is (live->raw, "{\"_id\": 1}", "{ \"_id\" : 1, \"full\" : \"B\", \"schema_version\" : 2 }");
   eclose_document_destroy (kept);
   /* What the server upgraded has no stored form here. */
   cursor = eclose_collection_query (live->users, &filter, NULL, NULL, NULL);
   assert_true (eclose_cursor_next (cursor, &document));
   assert_null (eclose_cursor_document (cursor));
   eclose_cursor_destroy (cursor);
   bson_destroy (changed);
}

static void
test_failures_end_a_cursor (void **state)
{
   live_t *live = *state;
   bson_t filter = BSON_INITIALIZER, *projection = json ("{\"projection\": {\"a\": 1}}");
   eclose_cursor_t *cursor;
   const bson_t *document;
   bson_error_t error;
   bson_iter_t iter;

   put (live->raw, "{\"_id\": 1, \"schema_version\": \"x\"}");
   put (live->raw, "{\"_id\": 2}");
   cursor = eclose_collection_find (live->users, &filter, NULL, NULL);
   assert_false (eclose_cursor_next (cursor, &document));
   assert_true (eclose_cursor_error_document (cursor, &error, &document));
   assert_int_equal (error.code, ECLOSE_CODE_VERSION);
   assert_true (bson_iter_init_find (&iter, document, "_id"));
   assert_false (eclose_cursor_next (cursor, &document));
   eclose_cursor_destroy (cursor);
   cursor = eclose_collection_find (live->users, &filter, projection, NULL);
   assert_false (eclose_cursor_next (cursor, &document));
   assert_true (eclose_cursor_error (cursor, &error));
   assert_int_equal (error.code, ECLOSE_CODE_UNSUPPORTED);
   eclose_cursor_destroy (cursor);
   bson_destroy (projection);
}

static void
test_write_back (void **state)
{
   live_t *live = *state;
   bson_t filter = BSON_INITIALIZER;

   put (live->raw, "{\"_id\": 1, \"name\": \"A\"}");
   eclose_collection_set_write_back (live->users, true);
   GIVES (eclose_collection_find (live->users, &filter, NULL, NULL),
          "{ \"_id\" : 1, \"full\" : \"A\", \"plan\" : 0, \"schema_version\" : 2 }");
   stored_is (live->raw, "{\"_id\": 1}", "{ \"_id\" : 1, \"full\" : \"A\", \"plan\" : 0, \"schema_version\" : 2 }");
   eclose_collection_set_write_back (live->old_users, true);
   GIVES (eclose_collection_find (live->old_users, &filter, NULL, NULL),
          "{ \"_id\" : 1, \"schema_version\" : 1, \"name\" : \"A\" }");
   stored_is (live->raw, "{\"_id\": 1}", "{ \"_id\" : 1, \"full\" : \"A\", \"plan\" : 0, \"schema_version\" : 2 }");
}

/* What somebody else writes between the reading and the writing back stays; the reader gets what it read. */
static void
test_write_back_never_over_a_change (void **state)
{
   live_t *live = *state;
   bson_t filter = BSON_INITIALIZER;

   put (live->raw, "{\"_id\": 1, \"name\": \"A\"}");
   eclose_collection_set_write_back (live->users, true);
   live->somebody_comes = true;
   GIVES (eclose_collection_find (live->users, &filter, NULL, NULL),
          "{ \"_id\" : 1, \"full\" : \"A\", \"plan\" : 0, \"schema_version\" : 2 }");
   assert_false (live->somebody_comes);
   stored_is (live->raw, "{\"_id\": 1}", "{ \"_id\" : 1, \"name\" : \"A\", \"n\" : 1 }");
}

/* ---- writing ---- */

static void
test_insert_stamps (void **state)
{
   live_t *live = *state;
   bson_t *one = json ("{\"_id\": 1, \"full\": \"A\"}"), *two = json ("{\"_id\": 2}"), *three = json ("{\"_id\": 3}");
   const bson_t *many[] = {two, three};
   bson_error_t error;

   check (eclose_collection_insert_one (live->users, one, NULL, NULL, &error), &error);
   check (eclose_collection_insert_many (live->old_users, many, 2, NULL, NULL, &error), &error);
   stored_is (live->raw, "{\"_id\": 1}", "{ \"_id\" : 1, \"full\" : \"A\", \"schema_version\" : 2 }");
   stored_is (live->raw, "{\"_id\": 3}", "{ \"_id\" : 3, \"schema_version\" : 1 }");
   bson_destroy (one);
   bson_destroy (two);
   bson_destroy (three);
}

static void
test_save_and_conflict (void **state)
{
   live_t *live = *state;
   bson_t *changed = json ("{\"_id\": 1, \"full\": \"B\", \"plan\": 1}"), *other = json ("{\"$set\": {\"n\": 1}}"),
          *by_id = json ("{\"_id\": 1}");
   eclose_document_t *document;
   bson_error_t error;

   put (live->raw, "{\"_id\": 1, \"name\": \"A\"}");
   document = find_one (live->users, "{\"_id\": 1}");
   check (eclose_collection_save (live->users, document, changed, NULL, &error), &error);
   stored_is (live->raw, "{\"_id\": 1}", "{ \"_id\" : 1, \"full\" : \"B\", \"plan\" : 1, \"schema_version\" : 2 }");
   /* What was saved may be saved again; the same bytes are no write. */
   check (eclose_collection_save (live->users, document, changed, NULL, &error), &error);
   check (mongoc_collection_update_one (live->raw, by_id, other, NULL, NULL, &error), &error);
   assert_false (eclose_collection_save (live->users, document, by_id, NULL, &error));
   assert_int_equal (error.domain, ECLOSE_ERROR_UPGRADE);
   assert_int_equal (error.code, ECLOSE_CODE_CONFLICT);
   same_json (eclose_document_get (document),
              "{ \"_id\" : 1, \"full\" : \"B\", \"plan\" : 1, \"schema_version\" : 2, \"n\" : 1 }");
   /* A type that changed is a change, too. */
   bson_destroy (other);
   other = json ("{\"$set\": {\"n\": 1.0}}");
   check (mongoc_collection_update_one (live->raw, by_id, other, NULL, NULL, &error), &error);
   assert_false (eclose_collection_save (live->users, document, by_id, NULL, &error));
   assert_int_equal (error.code, ECLOSE_CODE_CONFLICT);
   /* One that is gone. */
   check (mongoc_collection_delete_one (live->raw, by_id, NULL, NULL, &error), &error);
   assert_false (eclose_collection_save (live->users, document, by_id, NULL, &error));
   assert_int_equal (error.code, ECLOSE_CODE_CONFLICT);
   assert_null (eclose_document_get (document));
   eclose_document_destroy (document);
   bson_destroy (changed);
   bson_destroy (other);
   bson_destroy (by_id);
}

static void
test_save_in_a_transaction (void **state)
{
   live_t *live = *state;
   bson_t *changed = json ("{\"_id\": 1, \"full\": \"B\"}"), *by_id = json ("{\"_id\": 1}"),
          *other = json ("{\"$set\": {\"lines\": [{\"n\": {\"$numberDouble\": \"1.0\"}}]}}");
   eclose_document_t *document;
   bson_error_t error;

   /* Numbers in documents of an array: $eq takes int 1 and double 1.0 for equal. */
   put (live->raw, "{\"_id\": 1, \"lines\": [{\"n\": 1}], \"full\": \"A\", \"plan\": 0, \"schema_version\": 2}");
   document = find_one (live->users, "{\"_id\": 1}");
   check (mongoc_collection_update_one (live->raw, by_id, other, NULL, NULL, &error), &error);
   if (eclose_collection_save (live->users, document, changed, NULL, &error) || error.code == ECLOSE_CODE_UNSUPPORTED) {
      assert_int_equal (error.code, ECLOSE_CODE_UNSUPPORTED); /* a server without transactions refuses */
   } else {
      assert_int_equal (error.code, ECLOSE_CODE_CONFLICT);
      check (eclose_collection_save (live->users, document, changed, NULL, &error), &error);
      stored_is (live->raw, "{\"_id\": 1}", "{ \"_id\" : 1, \"full\" : \"B\", \"schema_version\" : 2 }");
   }
   eclose_document_destroy (document);
   bson_destroy (changed);
   bson_destroy (other);
   bson_destroy (by_id);
}

static void
test_save_from_below (void **state)
{
   live_t *live = *state;
   bson_t *changed = json ("{\"_id\": 1, \"name\": \"B\"}"), *changed_2 = json ("{\"_id\": 2, \"name\": \"B\"}");
   eclose_document_t *document;
   bson_error_t error;

   put (live->raw, "{\"_id\": 1, \"full\": \"A\", \"plan\": 0, \"schema_version\": 2}");
   put (live->raw, "{\"_id\": 2, \"full\": \"A\", \"plan\": 5, \"schema_version\": 2}");
   document = find_one (live->old_users, "{\"_id\": 1}");
   check (eclose_collection_save (live->old_users, document, changed, NULL, &error), &error);
   stored_is (live->raw, "{\"_id\": 1}", "{ \"_id\" : 1, \"name\" : \"B\", \"schema_version\" : 1 }");
   eclose_document_destroy (document);
   document = find_one (live->old_users, "{\"_id\": 2}");
   assert_false (eclose_collection_save (live->old_users, document, changed_2, NULL, &error));
   assert_int_equal (error.code, ECLOSE_CODE_LOSSY);
   stored_is (live->raw, "{\"_id\": 2}", "{ \"_id\" : 2, \"full\" : \"A\", \"plan\" : 5, \"schema_version\" : 2 }");
   eclose_document_destroy (document);
   bson_destroy (changed);
   bson_destroy (changed_2);
}

static void
modifies (live_t *live, const char *filter_text, const char *update_text, const char *sort_text, unsigned flags,
          const char *expected)
{
   mongoc_find_and_modify_opts_t *opts = mongoc_find_and_modify_opts_new ();
   bson_t *filter = json (filter_text), *update = json (update_text), document;
   bson_error_t error;

   mongoc_find_and_modify_opts_set_update (opts, update);
   mongoc_find_and_modify_opts_set_flags (opts, flags | MONGOC_FIND_AND_MODIFY_RETURN_NEW);
   if (sort_text) {
      bson_t *sort = json (sort_text);

      mongoc_find_and_modify_opts_set_sort (opts, sort);
      bson_destroy (sort);
   }
   check (eclose_collection_find_and_modify (live->users, filter, opts, &document, &error), &error);
   same_json (&document, expected);
   bson_destroy (&document);
   bson_destroy (filter);
   bson_destroy (update);
   mongoc_find_and_modify_opts_destroy (opts);
}

static void
test_find_and_modify (void **state)
{
   live_t *live = *state;

   put (live->raw, "{\"_id\": 1, \"name\": \"A\"}");
   put (live->raw, "{\"_id\": 2, \"full\": \"B\", \"plan\": 3, \"schema_version\": 2}");
   put (live->raw, "{\"_id\": 3, \"name\": \"C\"}");
   /* Found by the new shape, though stored in the old one. */
   modifies (live, "{\"full\": \"A\"}", "{\"$inc\": {\"plan\": 1}}", NULL, 0,
             "{ \"_id\" : 1, \"full\" : \"A\", \"plan\" : 1, \"schema_version\" : 2 }");
   modifies (live, "{\"full\": \"B\"}", "{\"full\": \"D\"}", NULL, 0,
             "{ \"_id\" : 2, \"full\" : \"D\", \"schema_version\" : 2 }");
   /* The first by the sort is an old one. */
   modifies (live, "{}", "{\"$set\": {\"plan\": 9}}", "{\"_id\": -1}", 0,
             "{ \"_id\" : 3, \"full\" : \"C\", \"plan\" : 9, \"schema_version\" : 2 }");
   modifies (live, "{\"full\": \"nobody\"}", "{\"$set\": {\"plan\": 9}}", NULL, 0, "{ }");
   modifies (live, "{\"_id\": 7}", "{\"$set\": {\"plan\": 9}}", NULL, MONGOC_FIND_AND_MODIFY_UPSERT,
             "{ \"_id\" : 7, \"schema_version\" : 2, \"plan\" : 9 }");
}

/* The old document changes after it was found and before it is brought to the target: both changes are kept. */
static void
test_find_and_modify_beside_a_change (void **state)
{
   live_t *live = *state;
   mongoc_find_and_modify_opts_t *opts = mongoc_find_and_modify_opts_new ();
   bson_t *filter = json ("{\"full\": \"A\"}"), *update = json ("{\"$inc\": {\"plan\": 1}}"),
          *sort = json ("{\"_id\": 1}"), document;
   bson_error_t error;

   put (live->raw, "{\"_id\": 1, \"name\": \"A\"}");
   mongoc_find_and_modify_opts_set_update (opts, update);
   mongoc_find_and_modify_opts_set_sort (opts, sort); /* so that the first write is the one that brings it */
   mongoc_find_and_modify_opts_set_flags (opts, MONGOC_FIND_AND_MODIFY_RETURN_NEW);
   live->somebody_comes = true;
   check (eclose_collection_find_and_modify (live->users, filter, opts, &document, &error), &error);
   assert_false (live->somebody_comes);
   same_json (&document, "{ \"_id\" : 1, \"n\" : 1, \"full\" : \"A\", \"plan\" : 1, \"schema_version\" : 2 }");
   bson_destroy (&document);
   bson_destroy (filter);
   bson_destroy (update);
   bson_destroy (sort);
   mongoc_find_and_modify_opts_destroy (opts);
}

static void
test_find_and_modify_removes (void **state)
{
   live_t *live = *state;
   mongoc_find_and_modify_opts_t *opts = mongoc_find_and_modify_opts_new ();
   bson_t *filter = json ("{\"full\": \"A\"}"), *fields = json ("{\"full\": 1}"), document, all = BSON_INITIALIZER;
   bson_error_t error;

   put (live->raw, "{\"_id\": 1, \"name\": \"A\"}");
   put (live->raw, "{\"_id\": 2, \"name\": \"B\"}");
   mongoc_find_and_modify_opts_set_flags (opts, MONGOC_FIND_AND_MODIFY_REMOVE);
   check (eclose_collection_find_and_modify (live->users, filter, opts, &document, &error), &error);
   same_json (&document, "{ \"_id\" : 1, \"full\" : \"A\", \"plan\" : 0, \"schema_version\" : 2 }");
   bson_destroy (&document);
   assert_int_equal (mongoc_collection_count_documents (live->raw, &all, NULL, NULL, NULL, &error), 1);
   stored_is (live->raw, "{\"_id\": 2}", "{ \"_id\" : 2, \"name\" : \"B\" }");
   mongoc_find_and_modify_opts_set_fields (opts, fields);
   assert_false (eclose_collection_find_and_modify (live->users, filter, opts, &document, &error));
   assert_int_equal (error.code, ECLOSE_CODE_UNSUPPORTED);
   bson_destroy (&document);
   bson_destroy (filter);
   bson_destroy (fields);
   mongoc_find_and_modify_opts_destroy (opts);
}

/* ---- queries ---- */

static void
three_users (live_t *live)
{
   put (live->raw, "{\"_id\": 1, \"name\": \"A\"}");
   put (live->raw, "{\"_id\": 2, \"full\": \"A\", \"plan\": 3, \"schema_version\": 2}");
   put (live->raw, "{\"_id\": 3, \"name\": \"C\", \"schema_version\": 1}");
}

static void
test_query (void **state)
{
   live_t *live = *state;
   bson_t *filter = json ("{\"full\": \"A\"}"), *by_plan = json ("{\"plan\": {\"$gte\": 1}}"), all = BSON_INITIALIZER,
          *sorted = json ("{\"sort\": {\"_id\": 1}}"),
          *options = json ("{\"sort\": {\"_id\": -1}, \"skip\": 1, \"limit\": 1, \"projection\": {\"full\": 1}}"),
          *wrong = json ("{\"hint\": \"x\"}");
   eclose_cursor_t *cursor;
   const bson_t *document;
   bson_error_t error;

   three_users (live);
   GIVES (eclose_collection_query (live->users, filter, sorted, NULL, NULL),
          "{ \"_id\" : 1, \"full\" : \"A\", \"plan\" : 0, \"schema_version\" : 2 }",
          "{ \"_id\" : 2, \"full\" : \"A\", \"plan\" : 3, \"schema_version\" : 2 }");
   GIVES (eclose_collection_query (live->users, by_plan, sorted, NULL, NULL),
          "{ \"_id\" : 2, \"full\" : \"A\", \"plan\" : 3, \"schema_version\" : 2 }");
   GIVES (eclose_collection_query (live->users, &all, options, NULL, NULL), "{ \"_id\" : 2, \"full\" : \"A\" }");
   GIVES (eclose_collection_query (live->old_users, &all, sorted, NULL, NULL), "{ \"_id\" : 1, \"name\" : \"A\" }",
          "{ \"_id\" : 2, \"schema_version\" : 1, \"name\" : \"A\" }",
          "{ \"_id\" : 3, \"name\" : \"C\", \"schema_version\" : 1 }");
   cursor = eclose_collection_query (live->users, &all, wrong, NULL, NULL);
   assert_false (eclose_cursor_next (cursor, &document));
   assert_true (eclose_cursor_error (cursor, &error));
   assert_int_equal (error.code, ECLOSE_CODE_UNKNOWN_KEY);
   eclose_cursor_destroy (cursor);
   bson_destroy (filter);
   bson_destroy (by_plan);
   bson_destroy (sorted);
   bson_destroy (options);
   bson_destroy (wrong);
}

static void
test_aggregate (void **state)
{
   live_t *live = *state;
   bson_t *pipeline = json ("{\"pipeline\": [{\"$match\": {\"full\": \"A\"}}, {\"$group\": {\"_id\": \"$full\", \"n\": "
                            "{\"$sum\": 1}, \"plans\": {\"$sum\": \"$plan\"}}}]}"),
          *other = json ("[{\"$sort\": {\"a\": 1}}]"), *batches = json ("{\"batchSize\": 1}");
   eclose_cursor_t *cursor;
   const bson_t *document;
   bson_error_t error;

   three_users (live);
   GIVES (eclose_collection_aggregate (live->users, pipeline, NULL, NULL),
          "{ \"_id\" : \"A\", \"n\" : 2, \"plans\" : 3 }");
   /* An empty $match, and more than one batch. */
   bson_destroy (pipeline);
   pipeline = json ("{\"pipeline\": [{\"$match\": {}}, {\"$sort\": {\"_id\": 1}}, {\"$project\": {\"full\": 1}}]}");
   GIVES (eclose_collection_aggregate (live->users, pipeline, batches, NULL), "{ \"_id\" : 1, \"full\" : \"A\" }",
          "{ \"_id\" : 2, \"full\" : \"A\" }", "{ \"_id\" : 3, \"full\" : \"C\" }");
   bson_destroy (batches);
   cursor = eclose_collection_aggregate (live->users, other, NULL, NULL);
   assert_false (eclose_cursor_next (cursor, &document));
   assert_true (eclose_cursor_error (cursor, &error));
   assert_int_equal (error.code, ECLOSE_CODE_UNSUPPORTED);
   eclose_cursor_destroy (cursor);
   bson_destroy (pipeline);
   bson_destroy (other);
}

/* ---- lookups ---- */

static void
test_lookups_are_one_query_a_batch (void **state)
{
   live_t *live = *state;
   mongoc_collection_t *products = mongoc_client_get_collection (live->client, live->name, "products");
   mongoc_collection_t *raw = mongoc_client_get_collection (live->client, live->name, "devices");
   bson_t filter = BSON_INITIALIZER, *opts = json ("{\"sort\": {\"_id\": 1}, \"batchSize\": 20}");
   eclose_collection_t *devices;
   eclose_cursor_t *cursor;
   const bson_t *document;
   bson_error_t error;
   int n = 0;

   put (products, "{\"_id\": 0, \"label\": \"old\"}");
   put (products, "{\"_id\": 1, \"labels\": [\"new\"], \"schema_version\": 1}");
   /* 101 documents are read ahead; the server's own batches are smaller. */
   for (int i = 0; i < 250; i++) {
      char text[64];

      snprintf (text, sizeof text, "{\"_id\": %d, \"product\": %d}", i, i % 3);
      put (raw, text);
   }
   devices = eclose_collection_new (live->project, live->client, live->name, "devices", NULL, &error);
   live->product_queries = 0;
   cursor = eclose_collection_find (devices, &filter, opts, NULL);
   while (eclose_cursor_next (cursor, &document)) {
      static const char *const tags[] = {"[ \"old\" ]", "[ \"new\" ]", "[  ]"};
      char text[120];

      snprintf (text, sizeof text, "{ \"_id\" : %d, \"product\" : %d, \"tags\" : %s, \"schema_version\" : 1 }", n,
                n % 3, tags[n % 3]);
      same_json (document, text);
      n++;
   }
   check (!eclose_cursor_error (cursor, &error), &error);
   assert_int_equal (n, 250);
   assert_int_equal (live->product_queries, 3);
   eclose_cursor_destroy (cursor);
   eclose_collection_destroy (devices);
   mongoc_collection_destroy (raw);
   mongoc_collection_destroy (products);
   bson_destroy (opts);
}

/* ---- change streams, catalog ---- */

static void
test_change_stream (void **state)
{
   live_t *live = *state;
   bson_t pipeline = BSON_INITIALIZER, *opts = json ("{\"fullDocument\": \"updateLookup\", \"maxAwaitTimeMS\": 100}");
   eclose_change_stream_t *stream;
   const bson_t *event, *document;
   bson_error_t error;
   bson_iter_t iter;
   bool seen = false;
   int64_t deadline = bson_get_monotonic_time () + 30000000;

   put (live->raw, "{\"_id\": 0}");
   stream = eclose_collection_watch (live->users, &pipeline, opts);
   if (eclose_change_stream_error_document (stream, &error, &document)) {
      print_message ("no change streams here: %s\n", error.message);
      eclose_change_stream_destroy (stream);
      bson_destroy (opts);
      skip ();
   }
   put (live->raw, "{\"_id\": 1, \"name\": \"A\"}");
   while (!seen && bson_get_monotonic_time () < deadline) {
      if (eclose_change_stream_next (stream, &event)) {
         const uint8_t *bytes;
         uint32_t len;
         bson_t full;

         assert_true (bson_iter_init_find (&iter, event, "fullDocument"));
         bson_iter_document (&iter, &len, &bytes);
         assert_true (bson_init_static (&full, bytes, len));
         same_json (&full, "{ \"_id\" : 1, \"full\" : \"A\", \"plan\" : 0, \"schema_version\" : 2 }");
         assert_true (bson_has_field (event, "operationType"));
         assert_non_null (mongoc_change_stream_get_resume_token (eclose_change_stream_get (stream)));
         seen = true;
      } else if (eclose_change_stream_error_document (stream, &error, &document)) {
         fail_msg ("%s", error.message);
      }
   }
   assert_true (seen);
   eclose_change_stream_destroy (stream);
   bson_destroy (opts);
}

static void
test_catalog (void **state)
{
   live_t *live = *state;
   eclose_project_t *older = eclose_project_new ();
   eclose_collection_t *users;
   eclose_document_t *document;
   bson_error_t error;

   check (eclose_project_publish (live->project, live->client, live->name, &error), &error);
   check (eclose_project_publish (live->project, live->client, live->name, &error), &error);
   add_text (older, "eclose.yaml", "collections: {users: {unversioned: 1}}\n");
   check (eclose_project_add_catalog (older, live->client, live->name, &error), &error);
   load (older);
   users = eclose_collection_new (older, live->client, live->name, "users", "1", &error);
   put (live->raw, "{\"_id\": 1, \"full\": \"A\", \"plan\": 0, \"schema_version\": 2}");
   document = find_one (users, "{\"_id\": 1}");
   same_json (eclose_document_get (document), "{ \"_id\" : 1, \"schema_version\" : 1, \"name\" : \"A\" }");
   eclose_document_destroy (document);
   eclose_collection_destroy (users);
   eclose_project_destroy (older);
}

int
main (int argc, char **argv)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown (test_find_over_many_batches, setup, teardown),
      cmocka_unit_test_setup_teardown (test_find_one_and_older_program, setup, teardown),
      cmocka_unit_test_setup_teardown (test_documents_of_a_cursor, setup, teardown),
      cmocka_unit_test_setup_teardown (test_failures_end_a_cursor, setup, teardown),
      cmocka_unit_test_setup_teardown (test_write_back, setup, teardown),
      cmocka_unit_test_setup_teardown (test_write_back_never_over_a_change, setup, teardown),
      cmocka_unit_test_setup_teardown (test_insert_stamps, setup, teardown),
      cmocka_unit_test_setup_teardown (test_save_and_conflict, setup, teardown),
      cmocka_unit_test_setup_teardown (test_save_in_a_transaction, setup, teardown),
      cmocka_unit_test_setup_teardown (test_save_from_below, setup, teardown),
      cmocka_unit_test_setup_teardown (test_find_and_modify, setup, teardown),
      cmocka_unit_test_setup_teardown (test_find_and_modify_beside_a_change, setup, teardown),
      cmocka_unit_test_setup_teardown (test_find_and_modify_removes, setup, teardown),
      cmocka_unit_test_setup_teardown (test_query, setup, teardown),
      cmocka_unit_test_setup_teardown (test_aggregate, setup, teardown),
      cmocka_unit_test_setup_teardown (test_lookups_are_one_query_a_batch, setup, teardown),
      cmocka_unit_test_setup_teardown (test_change_stream, setup, teardown),
      cmocka_unit_test_setup_teardown (test_catalog, setup, teardown),
   };
   int failed;

   mongoc_init ();
   if (argc > 1) {
      cmocka_set_test_filter (argv[1]);
   }
   failed = cmocka_run_group_tests_name ("libeclose-mongoc", tests, NULL, NULL);
   mongoc_cleanup ();
   return failed;
}
