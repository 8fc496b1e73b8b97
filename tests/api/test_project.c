/* The public project and upgrader: sources, versions, functions, errors. */
#include "api_check.h"

static eclose_project_t *
users_project (void)
{
   eclose_project_t *project = eclose_project_new ();

   add_text (project, "eclose.yaml", "collections: {users: {unversioned: 1}}\n");
   add_text (project, "users/0002_split.yaml", USERS_2);
   return project;
}

static void
test_up_down_and_current (void **state)
{
   eclose_project_t *project = users_project ();
   eclose_upgrader_t *up, *down;
   bson_t *current;
   const bson_t *out;
   bson_error_t error;

   (void) state;
   load (project);
   up = upgrader (project, "users", NULL);
   down = upgrader (project, "users", "1");
   assert_string_equal (eclose_upgrader_target (up), "2");
   runs_to (up, "{\"_id\": 1, \"name\": \"Ariel White\"}",
            "{ \"_id\" : 1, \"first\" : \"Ariel\", \"last\" : \"White\", \"schema_version\" : 2 }");
   assert_int_equal (eclose_upgrader_went (up), ECLOSE_WENT_UP);
   runs_to (down, "{\"_id\": 1, \"first\": \"A\", \"last\": \"W\", \"schema_version\": 2}",
            "{ \"_id\" : 1, \"schema_version\" : 1, \"name\" : \"A W\" }");
   assert_int_equal (eclose_upgrader_went (down), ECLOSE_WENT_DOWN);
   current = json ("{\"_id\": 1, \"schema_version\": 2}");
   check (eclose_upgrader_run (up, current, &out, &error), &error);
   assert_ptr_equal (out, current);
   assert_int_equal (eclose_upgrader_went (up), ECLOSE_WAS_CURRENT);
   assert_string_equal (eclose_upgrader_version (up, current, &error), "2");
   bson_destroy (current);
   eclose_upgrader_destroy (up);
   eclose_upgrader_destroy (down);
   eclose_project_destroy (project);
}

static void
test_stamp (void **state)
{
   eclose_project_t *project = users_project ();
   eclose_upgrader_t *up;
   bson_t *document = json ("{\"_id\": 1, \"schema_version\": 1, \"first\": \"A\"}");
   const bson_t *out;
   bson_error_t error;

   (void) state;
   load (project);
   up = upgrader (project, "users", NULL);
   check (eclose_upgrader_stamp (up, document, &out, &error), &error);
   same_json (out, "{ \"_id\" : 1, \"schema_version\" : 2, \"first\" : \"A\" }");
   bson_destroy (document);
   eclose_upgrader_destroy (up);
   eclose_project_destroy (project);
}

static void
test_collection_that_is_not_known (void **state)
{
   eclose_project_t *project = users_project ();
   eclose_upgrader_t *other;
   bson_t *document = json ("{\"_id\": 1}");
   const bson_t *out;
   bson_error_t error;

   (void) state;
   load (project);
   assert_true (eclose_project_has_collection (project, "users"));
   assert_false (eclose_project_has_collection (project, "posts"));
   assert_string_equal (eclose_project_collection (project, 0), "users");
   assert_null (eclose_project_collection (project, 1));
   other = upgrader (project, "posts", NULL);
   check (eclose_upgrader_run (other, document, &out, &error), &error);
   assert_ptr_equal (out, document);
   check (eclose_upgrader_stamp (other, document, &out, &error), &error);
   assert_ptr_equal (out, document);
   assert_null (eclose_upgrader_new (project, "posts", "3", &error));
   assert_null (eclose_upgrader_new (project, "users", "3", &error));
   assert_int_equal (error.code, ECLOSE_CODE_NO_WAY);
   bson_destroy (document);
   eclose_upgrader_destroy (other);
   eclose_project_destroy (project);
}

static void
test_all_problems (void **state)
{
   eclose_project_t *project = eclose_project_new ();
   bson_error_t error;
   char *text;

   (void) state;
   add_text (project, "eclose.yaml", "colections: {}\n");
   add_text (project, "users/0001_a.yaml", "to: 1\nup: [{$sett: {a: 1}}]\n");
   assert_false (eclose_project_load (project, &error));
   assert_non_null (strstr (error.message, "and 1 more"));
   assert_int_equal (bson_count_keys (eclose_project_problems (project)), 2);
   text = bson_as_relaxed_extended_json (eclose_project_problems (project), NULL);
   assert_non_null (strstr (text, "\"file\" : \"eclose.yaml\", \"line\" : 1"));
   assert_non_null (strstr (text, "\"path\" : \"up.0.$sett\""));
   bson_free (text);
   assert_null (eclose_upgrader_new (project, "users", NULL, &error));
   assert_false (eclose_project_add_text (project, "users/0003_x.yaml", "", -1, &error));
   eclose_project_destroy (project);
}

static void
test_error_document (void **state)
{
   eclose_project_t *project = eclose_project_new ();
   eclose_upgrader_t *up;
   bson_t *document = json ("{\"_id\": 7, \"n\": \"x\"}");
   const bson_t *out;
   bson_error_t error;

   (void) state;
   add_text (project, "n/0001_a.yaml", "to: 1\nup:\n  - $set: {m: {$add: [$n, 1]}}\n");
   load (project);
   up = upgrader (project, "n", NULL);
   assert_false (eclose_upgrader_run (up, document, &out, &error));
   assert_null (out);
   assert_int_equal (error.domain, ECLOSE_ERROR_MQL);
   assert_non_null (strstr (error.message, "_id 7"));
   same_json (eclose_upgrader_error_document (up),
              "{ \"domain\" : \"MQL\", \"code\" : 14, \"message\" : \"$add only supports numeric or date types, not "
              "string\", \"collection\" : \"n\", \"version\" : \"0\", \"to\" : \"1\", \"file\" : \"n/0001_a.yaml\", "
              "\"line\" : 3, \"column\" : 16, \"path\" : \"up.0.$set.m.$add\", \"_id\" : 7 }");
   bson_destroy (document);
   eclose_upgrader_destroy (up);
   eclose_project_destroy (project);
}

/* ---- functions ---- */

static bool
up_3 (const bson_t *in, bson_t *out, eclose_context_t *context, bson_error_t *error)
{
   (void) error;
   assert_string_equal (eclose_context_collection (context), "users");
   bson_copy_to_excluding_noinit (in, out, "to", NULL);
   BSON_APPEND_UTF8 (out, "to", eclose_context_version (context));
   BSON_APPEND_UTF8 (out, "by", eclose_context_user_data (context));
   assert_null (eclose_context_loader (context));
   return true;
}

static bool
down_3 (const bson_t *in, bson_t *out, eclose_context_t *context, bson_error_t *error)
{
   if (bson_has_field (in, "fails")) {
      bson_set_error (error, ECLOSE_ERROR_USAGE, 77, "it fails");
      return false;
   }
   bson_copy_to_excluding_noinit (in, out, "to", "by", NULL);
   BSON_APPEND_UTF8 (out, "back", eclose_context_version (context));
   return true;
}

static void
test_functions_and_data_in_one_chain (void **state)
{
   eclose_project_t *project = users_project ();
   eclose_upgrader_t *up, *down;
   bson_t *document;
   const bson_t *out;
   bson_error_t error;

   (void) state;
   check (eclose_project_add_function (project, "users", "3", ECLOSE_UP, up_3, "me", &error), &error);
   check (eclose_project_add_function (project, "users", "3", ECLOSE_DOWN, down_3, NULL, &error), &error);
   add_text (project, "users/0004_x.yaml", "to: 4\nup: [{$set: {x: 1}}]\ndown: [{$unset: x}]\n");
   load (project);
   up = upgrader (project, "users", NULL);
   down = upgrader (project, "users", "1");
   assert_true (eclose_upgrader_loads (up));
   runs_to (up, "{\"_id\": 1, \"name\": \"A B\"}",
            "{ \"_id\" : 1, \"first\" : \"A\", \"last\" : \"B\", \"to\" : \"3\", \"by\" : \"me\", \"x\" : 1, "
            "\"schema_version\" : 4 }");
   runs_to (down, "{\"_id\": 1, \"first\": \"A\", \"last\": \"B\", \"to\": \"3\", \"x\": 1, \"schema_version\": 4}",
            "{ \"_id\" : 1, \"schema_version\" : 1, \"back\" : \"2\", \"name\" : \"A B\" }");
   document = json ("{\"_id\": 1, \"fails\": 1, \"schema_version\": 3}");
   assert_false (eclose_upgrader_run (down, document, &out, &error));
   assert_int_equal (error.code, 77);
   assert_non_null (strstr (error.message, "it fails"));
   bson_destroy (document);
   eclose_upgrader_destroy (up);
   eclose_upgrader_destroy (down);
   eclose_project_destroy (project);
}

static void
test_function_as_the_way_down_of_a_file (void **state)
{
   eclose_project_t *project = eclose_project_new ();
   eclose_upgrader_t *down;
   bson_error_t error;

   (void) state;
   add_text (project, "users/0001_x.yaml", "to: 1\nup: [{$set: {x: 1}}]\n");
   check (eclose_project_add_function (project, "users", "1", ECLOSE_DOWN, down_3, NULL, &error), &error);
   load (project);
   down = upgrader (project, "users", "0");
   runs_to (down, "{\"_id\": 1, \"schema_version\": 1}", "{ \"_id\" : 1, \"schema_version\" : 0, \"back\" : \"0\" }");
   eclose_upgrader_destroy (down);
   eclose_project_destroy (project);
}

/* The program goes on adding what `floor` has made superfluous, as files may still be there. */
static void
test_functions_below_the_floor (void **state)
{
   eclose_project_t *project = eclose_project_new ();
   eclose_upgrader_t *up;
   bson_error_t error;

   (void) state;
   add_text (project, "eclose.yaml", "collections: {users: {floor: 2}}\n");
   check (eclose_project_add_function (project, "users", "1", ECLOSE_UP, up_3, NULL, &error), &error);
   check (eclose_project_add_function (project, "users", "2", ECLOSE_UP, up_3, NULL, &error), &error);
   check (eclose_project_add_function (project, "users", "2", ECLOSE_DOWN, down_3, NULL, &error), &error);
   check (eclose_project_add_function (project, "users", "3", ECLOSE_UP, up_3, "me", &error), &error);
   load (project);
   up = upgrader (project, "users", NULL);
   runs_to (up, "{\"_id\": 1, \"schema_version\": 2}",
            "{ \"_id\" : 1, \"schema_version\" : 3, \"to\" : \"3\", \"by\" : \"me\" }");
   eclose_upgrader_destroy (up);
   eclose_project_destroy (project);
}

static void
test_functions_that_cannot_be (void **state)
{
   eclose_project_t *project = users_project ();
   bson_error_t error;

   (void) state;
   /* The file says both ways; version 5 leaves a gap; 3 has a way down only. */
   check (eclose_project_add_function (project, "users", "2", ECLOSE_UP, up_3, NULL, &error), &error);
   check (eclose_project_add_function (project, "users", "3", ECLOSE_DOWN, down_3, NULL, &error), &error);
   check (eclose_project_add_function (project, "users", "5", ECLOSE_UP, up_3, NULL, &error), &error);
   check (eclose_project_add_function (project, "users", "x", ECLOSE_UP, up_3, NULL, &error), &error);
   assert_false (eclose_project_load (project, &error));
   assert_int_equal (bson_count_keys (eclose_project_problems (project)), 4);
   eclose_project_destroy (project);
}

/* What getenv gave, say. An empty project would leave every document as it is. */
static void
test_names_that_are_missing (void **state)
{
   eclose_project_t *project = eclose_project_new ();
   bson_error_t error;

   (void) state;
   assert_null (eclose_project_new_from_folder (NULL, &error));
   assert_int_equal (error.code, ECLOSE_CODE_INVALID);
   assert_false (eclose_project_add_folder (project, NULL, &error));
   assert_false (eclose_project_add_function (project, NULL, "1", ECLOSE_UP, up_3, NULL, &error));
   assert_false (eclose_project_add_function (project, "users", NULL, ECLOSE_UP, up_3, NULL, &error));
   assert_int_equal (error.code, ECLOSE_CODE_INVALID);
   eclose_project_destroy (project);
}

/* ---- catalog ---- */

static void
test_catalog (void **state)
{
   eclose_project_t *newer = eclose_project_new (), *older = eclose_project_new (), *none = eclose_project_new ();
   eclose_upgrader_t *reader;
   bson_t document;
   bson_error_t error;
   size_t n = 0;

   (void) state;
   add_text (newer, "eclose.yaml",
             "uri: mongodb://me:secret@host\nversion_field: _v\ncollections: {users: {unversioned: 1}}\n");
   add_text (newer, "users/0002_split.yaml", USERS_2);
   add_text (newer, "users/0003_x.yaml", "to: 3\nup: [{$set: {x: 1}}]\ndown: [{$unset: x}]\n");
   load (newer);
   add_text (older, "eclose.yaml", "version_field: _v\ncollections: {users: {unversioned: 1}}\n");
   add_text (older, "users/0002_split.yaml", USERS_2);
   while (eclose_project_document (newer, n, &document)) {
      char *text = bson_as_relaxed_extended_json (&document, NULL);

      assert_null (strstr (text, "secret"));
      bson_free (text);
      check (eclose_project_add_document (older, &document, &error), &error);
      check (eclose_project_add_document (none, &document, &error), &error);
      bson_destroy (&document);
      n++;
   }
   bson_destroy (&document);
   assert_int_equal (n, 3);
   load (older);
   load (none);
   /* The older program's own end is 2, and it reads what is at 3. */
   reader = upgrader (older, "users", NULL);
   runs_to (reader, "{\"_id\": 1, \"_v\": 3, \"x\": 1}", "{ \"_id\" : 1, \"_v\" : 2 }");
   eclose_upgrader_destroy (reader);
   /* One that has nothing of its own reads the newest. */
   reader = upgrader (none, "users", NULL);
   runs_to (reader, "{\"_id\": 1, \"name\": \"A B\"}",
            "{ \"_id\" : 1, \"first\" : \"A\", \"last\" : \"B\", \"x\" : 1, \"_v\" : 3 }");
   eclose_upgrader_destroy (reader);
   eclose_project_destroy (newer);
   eclose_project_destroy (older);
   eclose_project_destroy (none);
   bson_init (&document);
   older = eclose_project_new ();
   assert_false (eclose_project_add_document (older, &document, &error));
   eclose_project_destroy (older);
}

/* The lengths of both lists, for a catalog that holds what these n documents are. */
static void
changes_are (const eclose_project_t *project, bson_t *const *published, size_t n, uint32_t removed, uint32_t stored)
{
   const char *const names[] = {"remove", "store"};
   const uint32_t expected[] = {removed, stored};
   bson_error_t error;
   bson_t changes;

   check (eclose_project_changes (project, published, n, &changes, &error), &error);
   for (int i = 0; i < 2; i++) {
      bson_iter_t iter, items;
      uint32_t found = 0;

      assert_true (bson_iter_init_find (&iter, &changes, names[i]) && bson_iter_recurse (&iter, &items));
      while (bson_iter_next (&items)) {
         found++;
      }
      assert_int_equal (found, expected[i]);
   }
   bson_destroy (&changes);
}

static void
test_changes_of_the_catalog (void **state)
{
   static const char step[] = "to: 3\nup: [{$set: {x: 1}}]\ndown: [{$unset: x}]\n";
   eclose_project_t *newer = eclose_project_new (), *older = eclose_project_new (), *other = eclose_project_new (),
                    *unread = eclose_project_new ();
   bson_t *published[8], changes;
   bson_error_t error;
   size_t n = 0;

   (void) state;
   add_text (newer, "eclose.yaml", "collections: {users: {unversioned: 1}, pets: {version_field: _v}}\n");
   add_text (newer, "users/0002_split.yaml", USERS_2);
   add_text (newer, "users/0003_x.yaml", step);
   load (newer);
   add_text (older, "eclose.yaml", "collections: {users: {unversioned: 1}}\n");
   add_text (older, "users/0002_split.yaml", USERS_2);
   load (older);
   add_text (other, "eclose.yaml", "collections: {users: {unversioned: 1}}\n");
   add_text (other, "users/0002_split.yaml", USERS_2);
   add_text (other, "users/0003_y.yaml", step);
   load (other);
   changes_are (newer, NULL, 0, 0, 3);
   changes_are (older, NULL, 0, 0, 2);
   while (eclose_project_document (newer, n, &changes)) {
      published[n++] = bson_copy (&changes);
      bson_destroy (&changes);
   }
   bson_destroy (&changes);
   assert_int_equal (n, 3);
   changes_are (newer, published, n, 0, 0);
   /* An older release leaves what it does not know, and the settings of it. */
   changes_are (older, published, n, 0, 0);
   /* The migration of a version under another name goes: two would be a double in the chain. */
   changes_are (other, published, n, 1, 1);
   assert_false (eclose_project_changes (unread, published, n, &changes, &error));
   assert_true (bson_empty (&changes));
   bson_destroy (&changes);
   for (size_t i = 0; i < n; i++) {
      bson_destroy (published[i]);
   }
   eclose_project_destroy (newer);
   eclose_project_destroy (older);
   eclose_project_destroy (other);
   eclose_project_destroy (unread);
}

/* A program whose migrations are all below its floor, and deleted, ends there, whatever a later one has published. */
static void
test_catalog_above_the_floor (void **state)
{
   eclose_project_t *newer = eclose_project_new (), *older = eclose_project_new (), *none = eclose_project_new ();
   eclose_upgrader_t *reader;
   bson_t document;
   bson_error_t error;

   (void) state;
   add_text (newer, "eclose.yaml", "collections: {users: {floor: 2}}\n");
   add_text (newer, "users/0003_x.yaml", "to: 3\nup: [{$set: {x: 1}}]\ndown: [{$unset: x}]\n");
   load (newer);
   add_text (older, "eclose.yaml", "collections: {users: {floor: 2}}\n");
   for (size_t i = 0; eclose_project_document (newer, i, &document); i++) {
      check (eclose_project_add_document (older, &document, &error), &error);
      check (eclose_project_add_document (none, &document, &error), &error);
      bson_destroy (&document);
   }
   bson_destroy (&document);
   load (older);
   load (none);
   reader = upgrader (older, "users", NULL);
   assert_string_equal (eclose_upgrader_target (reader), "2");
   runs_to (reader, "{\"_id\": 1, \"schema_version\": 3, \"x\": 1}", "{ \"_id\" : 1, \"schema_version\" : 2 }");
   eclose_upgrader_destroy (reader);
   reader = upgrader (none, "users", NULL);
   assert_string_equal (eclose_upgrader_target (reader), "3");
   eclose_upgrader_destroy (reader);
   eclose_project_destroy (newer);
   eclose_project_destroy (older);
   eclose_project_destroy (none);
}

#define OWN "collections: {users: {version_format: dotted, unversioned: '1.0'}}\n"

static bool
copies (const bson_t *in, bson_t *out, eclose_context_t *context, bson_error_t *error)
{
   (void) context;
   (void) error;
   return bson_concat (out, in);
}

/* A function is not published: what comes behind it is of no use to who does not have it. With versions that are not
 * counted one by one the way down would lead to a shape that is none. */
static void
test_catalog_behind_a_function (void **state)
{
   static const char step[] = "to: '1.3'\nup: [{$set: {x: 1}}]\ndown: [{$unset: x}]\n";
   eclose_project_t *newer = eclose_project_new (), *older = eclose_project_new (), *has_it = eclose_project_new ();
   bson_t document, *later = json ("{\"_id\": 1, \"schema_version\": \"1.3\", \"x\": 1}");
   const bson_t *out;
   eclose_upgrader_t *reader;
   bson_error_t error;

   (void) state;
   add_text (newer, "eclose.yaml", OWN);
   add_text (newer, "users/a.yaml", "to: '1.1'\nup: [{$set: {a: 1}}]\ndown: [{$unset: a}]\n");
   check (eclose_project_add_function (newer, "users", "1.2", ECLOSE_UP, copies, NULL, &error), &error);
   add_text (newer, "users/c.yaml", step);
   load (newer);
   add_text (older, "eclose.yaml", OWN);
   add_text (has_it, "eclose.yaml", OWN);
   check (eclose_project_add_function (has_it, "users", "1.2", ECLOSE_UP, copies, NULL, &error), &error);
   for (size_t i = 0; eclose_project_document (newer, i, &document); i++) {
      check (eclose_project_add_document (older, &document, &error), &error);
      check (eclose_project_add_document (has_it, &document, &error), &error);
      bson_destroy (&document);
   }
   bson_destroy (&document);
   load (older);
   load (has_it);
   assert_int_equal (bson_count_keys (eclose_project_problems (older)), 1);
   reader = upgrader (older, "users", "1.0");
   assert_false (eclose_upgrader_run (reader, later, &out, &error));
   runs_to (reader, "{\"_id\": 1, \"schema_version\": \"1.1\", \"a\": 1}",
            "{ \"_id\" : 1, \"schema_version\" : \"1.0\" }");
   eclose_upgrader_destroy (reader);
   assert_true (bson_empty (eclose_project_problems (has_it)));
   reader = upgrader (has_it, "users", NULL);
   runs_to (reader, "{\"_id\": 1, \"schema_version\": \"1.3\", \"x\": 1}",
            "{ \"_id\" : 1, \"schema_version\" : \"1.2\" }");
   eclose_upgrader_destroy (reader);
   bson_destroy (later);
   eclose_project_destroy (newer);
   eclose_project_destroy (older);
   eclose_project_destroy (has_it);
}

static void
add_published (eclose_project_t *project, const char *document_text)
{
   bson_t *document = json (document_text);
   bson_error_t error;

   check (eclose_project_add_document (project, document, &error), &error);
   bson_destroy (document);
}

/* Whatever others have published: the program goes on with what it has itself. */
static void
test_catalog_that_is_of_no_use (void **state)
{
   eclose_project_t *project = users_project ();
   eclose_upgrader_t *reader;
   bson_iter_t iter, problem;

   (void) state;
   /* The program's own under another name. */
   add_published (project, "{\"_id\": \"users/0002_otherwise.json\", \"from\": \"1\", \"to\": \"2\","
                           " \"text\": \"{\\\"to\\\": 2, \\\"up\\\": [{\\\"$set\\\": {\\\"y\\\": 1}}]}\"}");
   /* What a later library can read, and what is behind it. */
   add_published (project, "{\"_id\": \"users/0003_x.json\", \"from\": \"2\", \"to\": \"3\","
                           " \"text\": \"{\\\"to\\\": 3, \\\"up\\\": [{\\\"$new\\\": 1}]}\"}");
   add_published (project, "{\"_id\": \"users/0004_x.json\", \"from\": \"3\", \"to\": \"4\","
                           " \"text\": \"{\\\"to\\\": 4, \\\"up\\\": [{\\\"$set\\\": {\\\"x\\\": 1}}]}\"}");
   /* A database migration is no matter of others. */
   add_published (project, "{\"_id\": \"20261121T0900_x.json\", \"text\":"
                           " \"{\\\"up\\\": [{\\\"dropCollection\\\": {\\\"collection\\\": \\\"a\\\"}}]}\"}");
   load (project);
   assert_int_equal (bson_count_keys (eclose_project_problems (project)), 3);
   assert_true (bson_iter_init (&iter, eclose_project_problems (project)));
   while (bson_iter_next (&iter)) {
      assert_true (bson_iter_recurse (&iter, &problem) && bson_iter_find (&problem, "level"));
      assert_string_equal (bson_iter_utf8 (&problem, NULL), "warning");
   }
   reader = upgrader (project, "users", NULL);
   assert_string_equal (eclose_upgrader_target (reader), "2");
   runs_to (reader, "{\"_id\": 1, \"name\": \"A B\"}",
            "{ \"_id\" : 1, \"first\" : \"A\", \"last\" : \"B\", \"schema_version\" : 2 }");
   eclose_upgrader_destroy (reader);
   eclose_project_destroy (project);
}

/* ---- versions ---- */

static void
test_forms_of_versions (void **state)
{
   eclose_project_t *project = eclose_project_new ();
   eclose_upgrader_t *dotted, *packed, *detected;

   (void) state;
   add_text (project, "eclose.yaml",
             "collections:\n"
             "  a: {version_field: meta.v, version_format: dotted, unversioned: '1.0'}\n"
             "  b: {version_field: _v, version_format: packed, unversioned: '1.0'}\n"
             "  c: {detect: [{version: 1, filter: {tags: {$exists: true}}}, {version: 0, filter: {}}]}\n");
   add_text (project, "a/next.yaml", "to: '1.10'\nup: [{$set: {x: 1}}]\n");
   add_text (project, "a/first.yaml", "to: '1.2.0'\nup: [{$set: {y: 1}}]\n");
   add_text (project, "b/next.yaml", "to: '1.1'\nup: [{$set: {x: 1}}]\n");
   add_text (project, "c/0001_tags.yaml", "to: 1\nup: [{$set: {tags: []}}]\n");
   add_text (project, "c/0002_x.yaml", "to: 2\nup: [{$set: {x: 1}}]\n");
   load (project);
   dotted = upgrader (project, "a", NULL);
   packed = upgrader (project, "b", "1.1");
   detected = upgrader (project, "c", NULL);
   runs_to (dotted, "{\"meta\": {\"v\": \"1.2\"}}", "{ \"meta\" : { \"v\" : \"1.10\" }, \"x\" : 1 }");
   runs_to (dotted, "{\"a\": 1}", "{ \"a\" : 1, \"y\" : 1, \"x\" : 1, \"meta\" : { \"v\" : \"1.10\" } }");
   runs_to (packed, "{\"a\": 1}", "{ \"a\" : 1, \"x\" : 1, \"_v\" : 281479271677952 }");
   runs_to (detected, "{\"tags\": 1}", "{ \"tags\" : 1, \"x\" : 1, \"schema_version\" : 2 }");
   runs_to (detected, "{\"t\": 1}", "{ \"t\" : 1, \"tags\" : [  ], \"x\" : 1, \"schema_version\" : 2 }");
   runs_to (detected, "{\"schema_version\": 1.0}", "{ \"schema_version\" : 2, \"x\" : 1 }");
   eclose_upgrader_destroy (dotted);
   eclose_upgrader_destroy (packed);
   eclose_upgrader_destroy (detected);
   eclose_project_destroy (project);
}

static void
test_version_of_the_library (void **state)
{
   (void) state;
   assert_string_equal (eclose_version (), ECLOSE_VERSION);
   assert_string_equal (ECLOSE_VERSION, BUILD_VERSION);
   assert_true (ECLOSE_CHECK_VERSION (ECLOSE_VERSION_MAJOR, ECLOSE_VERSION_MINOR, ECLOSE_VERSION_PATCH));
   assert_true (ECLOSE_CHECK_VERSION (0, 0, 99));
   assert_false (ECLOSE_CHECK_VERSION (ECLOSE_VERSION_MAJOR, ECLOSE_VERSION_MINOR, ECLOSE_VERSION_PATCH + 1));
   assert_false (ECLOSE_CHECK_VERSION (ECLOSE_VERSION_MAJOR, ECLOSE_VERSION_MINOR + 1, 0));
   assert_false (ECLOSE_CHECK_VERSION (ECLOSE_VERSION_MAJOR + 1, 0, 0));
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_up_down_and_current),
      cmocka_unit_test (test_stamp),
      cmocka_unit_test (test_collection_that_is_not_known),
      cmocka_unit_test (test_all_problems),
      cmocka_unit_test (test_error_document),
      cmocka_unit_test (test_functions_and_data_in_one_chain),
      cmocka_unit_test (test_function_as_the_way_down_of_a_file),
      cmocka_unit_test (test_functions_below_the_floor),
      cmocka_unit_test (test_functions_that_cannot_be),
      cmocka_unit_test (test_names_that_are_missing),
      cmocka_unit_test (test_catalog),
      cmocka_unit_test (test_changes_of_the_catalog),
      cmocka_unit_test (test_catalog_above_the_floor),
      cmocka_unit_test (test_catalog_behind_a_function),
      cmocka_unit_test (test_catalog_that_is_of_no_use),
      cmocka_unit_test (test_forms_of_versions),
      cmocka_unit_test (test_version_of_the_library),
   };

   return cmocka_run_group_tests_name ("libeclose: project", tests, NULL, NULL);
}
