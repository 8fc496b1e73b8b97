/* libeclose-mongoc against a server: what writes. See live.c. */
#include "live_check.h"

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
          *other = json ("{\"$set\": {\"lines\": [{\"n\": [{\"$numberDouble\": \"1.0\"}]}]}}"),
          *opts = json ("{\"writeConcern\": {\"w\": 1, \"wtimeout\": 4321}}");
   eclose_document_t *document;
   bson_error_t error;

   /* Numbers in an array inside of an array: $eq takes int 1 and double 1.0 for equal. */
   put (live->raw, "{\"_id\": 1, \"lines\": [{\"n\": [1]}], \"full\": \"A\", \"plan\": 0, \"schema_version\": 2}");
   document = find_one (live->users, "{\"_id\": 1}");
   check (mongoc_collection_update_one (live->raw, by_id, other, NULL, NULL, &error), &error);
   if (eclose_collection_save (live->users, document, changed, NULL, &error) || error.code == ECLOSE_CODE_UNSUPPORTED) {
      assert_int_equal (error.code, ECLOSE_CODE_UNSUPPORTED); /* a server without transactions refuses */
   } else {
      assert_int_equal (error.code, ECLOSE_CODE_CONFLICT);
      check (eclose_collection_save (live->users, document, changed, opts, &error), &error);
      stored_is (live->raw, "{\"_id\": 1}", "{ \"_id\" : 1, \"full\" : \"B\", \"schema_version\" : 2 }");
      assert_non_null (strstr (live->committed, "{ \"w\" : 1, \"wtimeout\" : 4321 }"));
   }
   eclose_document_destroy (document);
   bson_destroy (opts);
   bson_destroy (changed);
   bson_destroy (other);
   bson_destroy (by_id);
}

/* A program that reads from secondaries: what a save compares is of the primary. */
static void
test_save_of_a_reader_of_secondaries (void **state)
{
   live_t *live = *state;
   bson_t *changed = json ("{\"_id\": 1, \"full\": \"B\"}");
   mongoc_read_prefs_t *secondaries = mongoc_read_prefs_new (MONGOC_READ_SECONDARY_PREFERRED);
   eclose_collection_t *users;
   eclose_document_t *document;
   bson_error_t error;

   /* Saved in a transaction, for the number deep in the array. */
   put (live->raw, "{\"_id\": 1, \"lines\": [{\"n\": [1]}], \"full\": \"A\", \"plan\": 0, \"schema_version\": 2}");
   mongoc_client_set_read_prefs (live->client, secondaries);
   users = eclose_collection_new (live->project, live->client, live->name, "users", NULL, &error);
   document = find_one (users, "{\"_id\": 1}");
   if (!eclose_collection_save (users, document, changed, NULL, &error)) {
      check (error.code == ECLOSE_CODE_UNSUPPORTED, &error); /* a server without transactions */
   } else {
      stored_is (live->raw, "{\"_id\": 1}", "{ \"_id\" : 1, \"full\" : \"B\", \"schema_version\" : 2 }");
   }
   eclose_document_destroy (document);
   eclose_collection_destroy (users);
   mongoc_read_prefs_destroy (secondaries);
   bson_destroy (changed);
}

/* What is stored now, after a conflict in a transaction, is what the transaction sees. */
static void
test_conflict_in_a_transaction (void **state)
{
   live_t *live = *state;
   bson_t *by_id = json ("{\"_id\": 1}"), *other = json ("{\"$set\": {\"n\": 1}}"),
          *changed = json ("{\"_id\": 1, \"full\": \"B\"}"), opts = BSON_INITIALIZER;
   mongoc_client_session_t *session;
   eclose_document_t *document;
   bson_error_t error;

   put (live->raw, "{\"_id\": 1, \"full\": \"A\", \"schema_version\": 2}");
   session = mongoc_client_start_session (live->client, NULL, &error);
   assert_non_null (session);
   check (mongoc_client_session_append (session, &opts, &error), &error);
   check (mongoc_client_session_start_transaction (session, NULL, &error), &error);
   check (eclose_collection_find_one (live->users, by_id, &opts, &document, &error), &error);
   check (mongoc_collection_update_one (live->raw, by_id, other, &opts, NULL, &error), &error);
   assert_false (eclose_collection_save (live->users, document, changed, &opts, &error));
   assert_int_equal (error.code, ECLOSE_CODE_CONFLICT);
   same_json (eclose_document_get (document), "{ \"_id\" : 1, \"full\" : \"A\", \"schema_version\" : 2, \"n\" : 1 }");
   check (eclose_collection_save (live->users, document, changed, &opts, &error), &error);
   check (mongoc_client_session_commit_transaction (session, NULL, &error), &error);
   stored_is (live->raw, "{\"_id\": 1}", "{ \"_id\" : 1, \"full\" : \"B\", \"schema_version\" : 2 }");
   mongoc_client_session_destroy (session);
   eclose_document_destroy (document);
   bson_destroy (&opts);
   bson_destroy (by_id);
   bson_destroy (other);
   bson_destroy (changed);
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
   /* Not a pipeline, though its field is called as the first stage of one would be. */
   modifies (live, "{\"_id\": 2}", "{\"0\": 5}", NULL, 0, "{ \"_id\" : 2, \"0\" : 5, \"schema_version\" : 2 }");
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

/* A program that reads what the majority has: that may be older than what a write must meet. */
static void
test_writes_of_a_reader_of_the_majority (void **state)
{
   live_t *live = *state;
   bson_t *by_id = json ("{\"_id\": 1}"), *other = json ("{\"$set\": {\"n\": 1}}");
   mongoc_read_concern_t *majority = mongoc_read_concern_new ();
   eclose_collection_t *users = live->users;
   eclose_document_t *document;
   bson_error_t error;

   put (live->raw, "{\"_id\": 1, \"name\": \"A\"}");
   put (live->raw, "{\"_id\": 2, \"name\": \"B\"}");
   mongoc_read_concern_set_level (majority, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
   mongoc_client_set_read_concern (live->client, majority);
   live->users = eclose_collection_new (live->project, live->client, live->name, "users", NULL, &error);
   document = find_one (live->users, "{\"_id\": 1}");
   assert_int_equal (live->majority_reads, 1);
   check (mongoc_collection_update_one (live->raw, by_id, other, NULL, NULL, &error), &error);
   assert_false (eclose_collection_save (live->users, document, by_id, NULL, &error));
   assert_int_equal (error.code, ECLOSE_CODE_CONFLICT);
   modifies (live, "{\"_id\": 1}", "{\"$inc\": {\"plan\": 1}}", NULL, 0,
             "{ \"_id\" : 1, \"n\" : 1, \"full\" : \"A\", \"plan\" : 1, \"schema_version\" : 2 }");
   modifies (live, "{\"full\": \"B\"}", "{\"$inc\": {\"plan\": 1}}", NULL, 0,
             "{ \"_id\" : 2, \"full\" : \"B\", \"plan\" : 1, \"schema_version\" : 2 }");
   assert_int_equal (live->majority_reads, 1);
   eclose_document_destroy (document);
   eclose_collection_destroy (live->users);
   live->users = users;
   mongoc_read_concern_destroy (majority);
   bson_destroy (by_id);
   bson_destroy (other);
}

/* The version lies beside what the filter says of the same parent. */
static void
test_upsert_beside_the_version (void **state)
{
   live_t *live = *state;
   eclose_collection_t *users = live->users;
   eclose_project_t *project = eclose_project_new ();
   bson_error_t error;

   add_text (project, "eclose.yaml", "collections: {users: {version_field: meta.v}}\n");
   add_text (project, "users/0001_x.yaml", "to: 1\nup: [{$set: {x: 1}}]\n");
   load (project);
   live->users = eclose_collection_new (project, live->client, live->name, "users", NULL, &error);
   assert_non_null (live->users);
   modifies (live, "{\"_id\": 1, \"meta.by\": 7}", "{\"$set\": {\"x\": 9}}", NULL, MONGOC_FIND_AND_MODIFY_UPSERT,
             "{ \"_id\" : 1, \"meta\" : { \"by\" : 7, \"v\" : 1 }, \"x\" : 9 }");
   eclose_collection_destroy (live->users);
   eclose_project_destroy (project);
   live->users = users;
}

/* What an upsert is to insert comes meanwhile, in the old shape: it is no duplicate then, but what is modified. */
static void
test_upsert_beside_an_insert (void **state)
{
   live_t *live = *state;

   /* With a sort, so that the first write is the one that inserts. */
   live->somebody_comes = true;
   modifies (live, "{\"_id\": 1}", "{\"$set\": {\"plan\": 9}}", "{\"_id\": 1}", MONGOC_FIND_AND_MODIFY_UPSERT,
             "{ \"_id\" : 1, \"n\" : 1, \"plan\" : 9, \"schema_version\" : 2 }");
   assert_false (live->somebody_comes);
}

static void
test_find_and_modify_removes (void **state)
{
   live_t *live = *state;
   mongoc_find_and_modify_opts_t *opts = mongoc_find_and_modify_opts_new ();
   bson_t *filter = json ("{\"full\": \"A\"}"), *fields = json ("{\"full\": 1}"),
          *extra = json ("{\"fields\": {\"full\": 1}}"), document, all = BSON_INITIALIZER;
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
   mongoc_find_and_modify_opts_destroy (opts);
   /* Nor in another way. */
   opts = mongoc_find_and_modify_opts_new ();
   mongoc_find_and_modify_opts_set_flags (opts, MONGOC_FIND_AND_MODIFY_REMOVE);
   mongoc_find_and_modify_opts_append (opts, extra);
   assert_false (eclose_collection_find_and_modify (live->users, filter, opts, &document, &error));
   assert_int_equal (error.code, ECLOSE_CODE_UNSUPPORTED);
   bson_destroy (&document);
   bson_destroy (extra);
   bson_destroy (filter);
   bson_destroy (fields);
   mongoc_find_and_modify_opts_destroy (opts);
}

static void
test_find_and_modify_under_a_collation (void **state)
{
   live_t *live = *state;
   mongoc_find_and_modify_opts_t *opts = mongoc_find_and_modify_opts_new ();
   bson_t *filter = json ("{\"full\": \"a\"}"), *update = json ("{\"$inc\": {\"plan\": 1}}"),
          *extra = json ("{\"collation\": {\"locale\": \"en\", \"strength\": 2}}"), document, all = BSON_INITIALIZER;
   bson_error_t error;

   put (live->raw, "{\"_id\": 1, \"name\": \"A\"}");
   mongoc_find_and_modify_opts_set_update (opts, update);
   mongoc_find_and_modify_opts_append (opts, extra);
   mongoc_find_and_modify_opts_set_flags (opts, MONGOC_FIND_AND_MODIFY_RETURN_NEW | MONGOC_FIND_AND_MODIFY_UPSERT);
   check (eclose_collection_find_and_modify (live->users, filter, opts, &document, &error), &error);
   same_json (&document, "{ \"_id\" : 1, \"full\" : \"A\", \"plan\" : 1, \"schema_version\" : 2 }");
   assert_int_equal (mongoc_collection_count_documents (live->raw, &all, NULL, NULL, NULL, &error), 1);
   bson_destroy (&document);
   bson_destroy (filter);
   bson_destroy (update);
   bson_destroy (extra);
   mongoc_find_and_modify_opts_destroy (opts);
}

/* What is brought to the target goes with the transaction, too. */
static void
test_find_and_modify_in_a_transaction (void **state)
{
   live_t *live = *state;
   mongoc_find_and_modify_opts_t *opts = mongoc_find_and_modify_opts_new ();
   bson_t *filter = json ("{\"_id\": 1}"), *update = json ("{\"$inc\": {\"plan\": 1}}"), extra = BSON_INITIALIZER,
          document;
   mongoc_client_session_t *session;
   bson_error_t error;

   put (live->raw, "{\"_id\": 1, \"name\": \"A\"}");
   session = mongoc_client_start_session (live->client, NULL, &error);
   assert_non_null (session);
   check (mongoc_client_session_append (session, &extra, &error), &error);
   check (mongoc_client_session_start_transaction (session, NULL, &error), &error);
   mongoc_find_and_modify_opts_set_update (opts, update);
   mongoc_find_and_modify_opts_append (opts, &extra);
   mongoc_find_and_modify_opts_set_flags (opts, MONGOC_FIND_AND_MODIFY_RETURN_NEW);
   check (eclose_collection_find_and_modify (live->users, filter, opts, &document, &error), &error);
   same_json (&document, "{ \"_id\" : 1, \"full\" : \"A\", \"plan\" : 1, \"schema_version\" : 2 }");
   check (mongoc_client_session_abort_transaction (session, &error), &error);
   stored_is (live->raw, "{\"_id\": 1}", "{ \"_id\" : 1, \"name\" : \"A\" }");
   mongoc_client_session_destroy (session);
   bson_destroy (&document);
   bson_destroy (filter);
   bson_destroy (update);
   bson_destroy (&extra);
   mongoc_find_and_modify_opts_destroy (opts);
}

static void
test_saves_that_are_refused (void **state)
{
   /* Nobody would acknowledge it; what is gone would be made anew, of a part; what is equal to some is not what was read. */
   static const char *const refused[] = {"{\"writeConcern\": {\"w\": 0}}", "{\"upsert\": true}",
                                         "{\"collation\": {\"locale\": \"en\", \"strength\": 1}}"};
   live_t *live = *state;
   bson_t *changed = json ("{\"_id\": 1, \"full\": \"B\"}");
   eclose_document_t *document;
   bson_error_t error;

   put (live->raw, "{\"_id\": 1, \"name\": \"A\"}");
   document = find_one (live->users, "{\"_id\": 1}");
   for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
      bson_t *opts = json (refused[i]);

      assert_false (eclose_collection_save (live->users, document, changed, opts, &error));
      assert_int_equal (error.domain, ECLOSE_ERROR_USAGE);
      bson_destroy (opts);
   }
   stored_is (live->raw, "{\"_id\": 1}", "{ \"_id\" : 1, \"name\" : \"A\" }");
   eclose_document_destroy (document);
   bson_destroy (changed);
}

int
main (int argc, char **argv)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown (test_insert_stamps, setup, teardown),
      cmocka_unit_test_setup_teardown (test_save_and_conflict, setup, teardown),
      cmocka_unit_test_setup_teardown (test_save_in_a_transaction, setup, teardown),
      cmocka_unit_test_setup_teardown (test_save_of_a_reader_of_secondaries, setup, teardown),
      cmocka_unit_test_setup_teardown (test_writes_of_a_reader_of_the_majority, setup, teardown),
      cmocka_unit_test_setup_teardown (test_conflict_in_a_transaction, setup, teardown),
      cmocka_unit_test_setup_teardown (test_save_from_below, setup, teardown),
      cmocka_unit_test_setup_teardown (test_find_and_modify, setup, teardown),
      cmocka_unit_test_setup_teardown (test_find_and_modify_beside_a_change, setup, teardown),
      cmocka_unit_test_setup_teardown (test_upsert_beside_an_insert, setup, teardown),
      cmocka_unit_test_setup_teardown (test_upsert_beside_the_version, setup, teardown),
      cmocka_unit_test_setup_teardown (test_find_and_modify_removes, setup, teardown),
      cmocka_unit_test_setup_teardown (test_find_and_modify_under_a_collation, setup, teardown),
      cmocka_unit_test_setup_teardown (test_find_and_modify_in_a_transaction, setup, teardown),
      cmocka_unit_test_setup_teardown (test_saves_that_are_refused, setup, teardown),
   };

   return RUN_TESTS ("libeclose-mongoc", tests, argc, argv);
}
