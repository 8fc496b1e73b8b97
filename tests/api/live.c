/* libeclose-mongoc against a server: what reads, on collections whose documents are in several versions.
 *
 *    live NAME     runs one test, or those that match a pattern; ECLOSE_TEST_URI and ECLOSE_TEST_DATABASE say where
 *
 * tests/integration/test_client.py finds the names here and in live_write.c, and runs each.
 */
#include "live_check.h"

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
   bson_t filter = BSON_INITIALIZER, *projection = json ("{\"projection\": {\"a\": 1}}"),
          *keys = json ("{\"returnKey\": true}");
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
   cursor = eclose_collection_find (live->users, &filter, keys, NULL);
   assert_false (eclose_cursor_next (cursor, &document));
   assert_true (eclose_cursor_error (cursor, &error));
   assert_int_equal (error.code, ECLOSE_CODE_UNSUPPORTED);
   eclose_cursor_destroy (cursor);
   bson_destroy (projection);
   bson_destroy (keys);
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

/* What was written back is what is stored: the document of a cursor knows it, and its save meets it. */
static void
test_save_after_write_back (void **state)
{
   live_t *live = *state;
   bson_t filter = BSON_INITIALIZER, *changed = json ("{\"_id\": 1, \"full\": \"B\", \"plan\": 0}");
   eclose_cursor_t *cursor;
   eclose_document_t *document;
   const bson_t *shown;
   bson_error_t error;

   put (live->raw, "{\"_id\": 1, \"name\": \"A\"}");
   eclose_collection_set_write_back (live->users, true);
   cursor = eclose_collection_find (live->users, &filter, NULL, NULL);
   assert_true (eclose_cursor_next (cursor, &shown));
   document = eclose_cursor_document (cursor);
   same_json (eclose_document_stored (document),
              "{ \"_id\" : 1, \"full\" : \"A\", \"plan\" : 0, \"schema_version\" : 2 }");
   check (eclose_collection_save (live->users, document, changed, NULL, &error), &error);
   assert_false (eclose_cursor_next (cursor, &shown));
   stored_is (live->raw, "{\"_id\": 1}", "{ \"_id\" : 1, \"full\" : \"B\", \"plan\" : 0, \"schema_version\" : 2 }");
   eclose_document_destroy (document);
   eclose_cursor_destroy (cursor);
   bson_destroy (changed);
}

/* In a session, but not in a transaction, which a write that fails would end. */
static void
test_write_back_in_a_session (void **state)
{
   live_t *live = *state;
   bson_t filter = BSON_INITIALIZER, opts = BSON_INITIALIZER, *by_id = json ("{\"_id\": 1}"),
          *change = json ("{\"$set\": {\"n\": 1}}");
   mongoc_client_session_t *session;
   bson_error_t error;

   put (live->raw, "{\"_id\": 1, \"name\": \"A\"}");
   eclose_collection_set_write_back (live->users, true);
   session = mongoc_client_start_session (live->client, NULL, &error);
   assert_non_null (session);
   check (mongoc_client_session_append (session, &opts, &error), &error);
   check (mongoc_client_session_start_transaction (session, NULL, &error), &error);
   GIVES (eclose_collection_find (live->users, &filter, &opts, NULL),
          "{ \"_id\" : 1, \"full\" : \"A\", \"plan\" : 0, \"schema_version\" : 2 }");
   stored_is (live->raw, "{\"_id\": 1}", "{ \"_id\" : 1, \"name\" : \"A\" }");
   check (mongoc_collection_update_one (live->raw, by_id, change, &opts, NULL, &error), &error);
   check (mongoc_client_session_commit_transaction (session, NULL, &error), &error);
   stored_is (live->raw, "{\"_id\": 1}", "{ \"_id\" : 1, \"name\" : \"A\", \"n\" : 1 }");
   GIVES (eclose_collection_find (live->users, &filter, &opts, NULL),
          "{ \"_id\" : 1, \"n\" : 1, \"full\" : \"A\", \"plan\" : 0, \"schema_version\" : 2 }");
   stored_is (live->raw, "{\"_id\": 1}",
              "{ \"_id\" : 1, \"n\" : 1, \"full\" : \"A\", \"plan\" : 0, \"schema_version\" : 2 }");
   mongoc_client_session_destroy (session);
   bson_destroy (by_id);
   bson_destroy (change);
   bson_destroy (&opts);
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

/* What a transaction has written is what its reader's documents look up. */
static void
test_lookups_in_a_transaction (void **state)
{
   static const char upgraded[] = "{ \"_id\" : 1, \"product\" : 1, \"tags\" : [ \"new\" ], \"schema_version\" : 1 }";
   live_t *live = *state;
   mongoc_collection_t *products = mongoc_client_get_collection (live->client, live->name, "products");
   mongoc_collection_t *raw = mongoc_client_get_collection (live->client, live->name, "devices");
   bson_t filter = BSON_INITIALIZER, opts = BSON_INITIALIZER, *change = json ("{\"$set\": {\"label\": \"new\"}}");
   mongoc_client_session_t *session;
   eclose_collection_t *devices;
   eclose_document_t *document;
   bson_error_t error;

   put (products, "{\"_id\": 1, \"label\": \"old\"}");
   put (raw, "{\"_id\": 1, \"product\": 1}");
   devices = eclose_collection_new (live->project, live->client, live->name, "devices", NULL, &error);
   session = mongoc_client_start_session (live->client, NULL, &error);
   assert_non_null (session);
   check (mongoc_client_session_append (session, &opts, &error), &error);
   check (mongoc_client_session_start_transaction (session, NULL, &error), &error);
   check (mongoc_collection_update_one (products, &filter, change, &opts, NULL, &error), &error);
   GIVES (eclose_collection_find (devices, &filter, &opts, NULL), upgraded);
   check (eclose_collection_find_one (devices, &filter, &opts, &document, &error), &error);
   same_json (eclose_document_get (document), upgraded);
   check (mongoc_client_session_abort_transaction (session, &error), &error);
   eclose_document_destroy (document);
   document = find_one (devices, "{}");
   same_json (eclose_document_get (document),
              "{ \"_id\" : 1, \"product\" : 1, \"tags\" : [ \"old\" ], \"schema_version\" : 1 }");
   eclose_document_destroy (document);
   eclose_collection_destroy (devices);
   mongoc_client_session_destroy (session);
   mongoc_collection_destroy (raw);
   mongoc_collection_destroy (products);
   bson_destroy (change);
   bson_destroy (&opts);
}

/* One that cannot be carried out for a batch ends the cursor, and says of what. */
static void
test_lookups_that_fail (void **state)
{
   live_t *live = *state;
   mongoc_collection_t *raw = mongoc_client_get_collection (live->client, live->name, "devices");
   bson_t filter = BSON_INITIALIZER,
          *view = json ("{\"create\": \"products\", \"viewOn\": \"parts\", \"pipeline\": [{\"$set\": {\"n\": "
                        "{\"$divide\": [1, \"$zero\"]}}}]}");
   mongoc_collection_t *parts = mongoc_client_get_collection (live->client, live->name, "parts");
   eclose_collection_t *devices;
   eclose_cursor_t *cursor;
   const bson_t *document;
   bson_error_t error;
   bson_iter_t iter;

   put (parts, "{\"_id\": 1, \"zero\": 0}");
   check (mongoc_database_write_command_with_opts (live->database, view, NULL, NULL, &error), &error);
   put (raw, "{\"_id\": 1, \"product\": 1}");
   devices = eclose_collection_new (live->project, live->client, live->name, "devices", NULL, &error);
   cursor = eclose_collection_find (devices, &filter, NULL, NULL);
   assert_false (eclose_cursor_next (cursor, &document));
   assert_true (eclose_cursor_error_document (cursor, &error, &document));
   assert_true (bson_iter_init_find (&iter, document, "message"));
   assert_non_null (strstr (bson_iter_utf8 (&iter, NULL), "loading from products by _id"));
   assert_true (bson_iter_init_find (&iter, document, "collection"));
   assert_string_equal (bson_iter_utf8 (&iter, NULL), "devices");
   eclose_cursor_destroy (cursor);
   eclose_collection_destroy (devices);
   mongoc_collection_destroy (parts);
   mongoc_collection_destroy (raw);
   bson_destroy (view);
}

/* Large documents are not read ahead by the hundred. */
static void
test_lookups_of_large_documents (void **state)
{
   live_t *live = *state;
   mongoc_collection_t *raw = mongoc_client_get_collection (live->client, live->name, "devices");
   bson_t filter = BSON_INITIALIZER;
   const uint32_t len = 9u << 20;
   eclose_collection_t *devices;
   eclose_cursor_t *cursor;
   const bson_t *document;
   bson_error_t error;
   uint8_t *bytes = bson_malloc0 (len);
   int n = 0;

   for (int i = 0; i < 4; i++) {
      bson_t large = BSON_INITIALIZER;

      BSON_APPEND_INT32 (&large, "_id", i);
      BSON_APPEND_BINARY (&large, "bytes", BSON_SUBTYPE_BINARY, bytes, len);
      check (mongoc_collection_insert_one (raw, &large, NULL, NULL, &error), &error);
      bson_destroy (&large);
   }
   devices = eclose_collection_new (live->project, live->client, live->name, "devices", NULL, &error);
   live->product_queries = 0;
   cursor = eclose_collection_find (devices, &filter, NULL, NULL);
   while (eclose_cursor_next (cursor, &document)) {
      n++;
   }
   check (!eclose_cursor_error (cursor, &error), &error);
   assert_int_equal (n, 4);
   assert_int_equal (live->product_queries, 2);
   eclose_cursor_destroy (cursor);
   eclose_collection_destroy (devices);
   mongoc_collection_destroy (raw);
   bson_free (bytes);
}

/* ---- change streams, catalog ---- */

/* A part would be upgraded as if it were all: without a version, from the first one on. */
static void
test_change_stream_of_parts (void **state)
{
   static const char *const pipelines[] = {
      "[{\"$project\": {\"fullDocument.full\": 1}}]",
      "[{\"$match\": {}}, {\"$project\": {\"fullDocument\": {\"full\": 1}}}]",
      "[{\"$unset\": \"fullDocument.schema_version\"}]",
      "[{\"$unset\": [\"ns\", \"fullDocumentBeforeChange.full\"]}]",
      "[{\"$set\": {\"fullDocument\": \"$fullDocument.full\"}}]",
      "[{\"$match\": {\"fullDocument.full\": 1}}, {\"$unset\": \"ns\"}, {\"$project\": {\"fullDocument\": 1}}]",
   };
   live_t *live = *state;
   const bson_t *document;
   bson_error_t error;

   for (size_t i = 0; i < sizeof pipelines / sizeof *pipelines; i++) {
      bson_t *pipeline = json (pipelines[i]);
      eclose_change_stream_t *stream = eclose_collection_watch (live->users, pipeline, NULL);
      bool failed = eclose_change_stream_error_document (stream, &error, &document);

      assert_int_equal (i < 5, failed && error.domain == ECLOSE_ERROR_USAGE);
      assert_true (i >= 5 || !eclose_change_stream_next (stream, &document));
      eclose_change_stream_destroy (stream);
      bson_destroy (pipeline);
   }
}

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
      check (error.domain == MONGOC_ERROR_SERVER, &error);
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

/* A release that is older than what is published, and starts last, takes nothing of it away. */
static void
test_catalog_of_a_later_release (void **state)
{
   live_t *live = *state;
   eclose_project_t *older = eclose_project_new (), *reader = eclose_project_new ();
   eclose_collection_t *users;
   eclose_document_t *document;
   bson_error_t error;

   check (eclose_project_publish (live->project, live->client, live->name, &error), &error);
   add_text (older, "eclose.yaml", "version_field: other\ncollections: {pets: {}}\n");
   add_text (older, "pets/0001_x.yaml", "to: 1\nup: [{$set: {x: 1}}]\n");
   load (older);
   check (eclose_project_publish (older, live->client, live->name, &error), &error);
   check (eclose_project_add_catalog (reader, live->client, live->name, &error), &error);
   load (reader);
   assert_true (eclose_project_has_collection (reader, "pets"));
   assert_string_equal (eclose_project_version_field (reader, "pets"), "other");
   users = eclose_collection_new (reader, live->client, live->name, "users", NULL, &error);
   put (live->raw, "{\"_id\": 1, \"name\": \"A\"}");
   document = find_one (users, "{\"_id\": 1}");
   same_json (eclose_document_get (document),
              "{ \"_id\" : 1, \"full\" : \"A\", \"plan\" : 0, \"schema_version\" : 2 }");
   eclose_document_destroy (document);
   eclose_collection_destroy (users);
   eclose_project_destroy (older);
   eclose_project_destroy (reader);
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
      cmocka_unit_test_setup_teardown (test_save_after_write_back, setup, teardown),
      cmocka_unit_test_setup_teardown (test_write_back_in_a_session, setup, teardown),
      cmocka_unit_test_setup_teardown (test_query, setup, teardown),
      cmocka_unit_test_setup_teardown (test_aggregate, setup, teardown),
      cmocka_unit_test_setup_teardown (test_lookups_are_one_query_a_batch, setup, teardown),
      cmocka_unit_test_setup_teardown (test_lookups_in_a_transaction, setup, teardown),
      cmocka_unit_test_setup_teardown (test_lookups_that_fail, setup, teardown),
      cmocka_unit_test_setup_teardown (test_lookups_of_large_documents, setup, teardown),
      cmocka_unit_test_setup_teardown (test_change_stream_of_parts, setup, teardown),
      cmocka_unit_test_setup_teardown (test_change_stream, setup, teardown),
      cmocka_unit_test_setup_teardown (test_catalog, setup, teardown),
      cmocka_unit_test_setup_teardown (test_catalog_of_a_later_release, setup, teardown),
   };

   return RUN_TESTS ("libeclose-mongoc", tests, argc, argv);
}
