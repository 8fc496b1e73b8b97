/* What upgrades look up in other collections, through a loader of the test's own; and what saving needs. */
#include "api_check.h"

#define LOOKUP                                                                          \
   "to: 1\n"                                                                            \
   "up:\n"                                                                              \
   "  - $lookup: {from: products, localField: product, foreignField: _id, as: found}\n" \
   "  - $set: {tags: {$ifNull: [{$first: $found.labels}, none]}}\n"                     \
   "  - $unset: found\n"                                                                \
   "down: [{$unset: tags}]\n"

#define PIPELINE                                                                                \
   "to: 1\n"                                                                                    \
   "up:\n"                                                                                      \
   "  - $lookup:\n"                                                                             \
   "      from: products\n"                                                                     \
   "      let: {p: $product}\n"                                                                 \
   "      pipeline: [{$match: {$expr: {$eq: [$_id, $$p]}}}, {$project: {labels: 1, _id: 0}}]\n" \
   "      as: found\n"

/* A database in memory: documents by collection; counts what it is asked. */
typedef struct {
   const char *const (*documents)[2]; /* collection, document */
   size_t n;
   unsigned calls, values;
   bool fails;
} memory_t;

static bool
load_memory (void *user_data, const char *collection, const char *field, const bson_t *values, eclose_found_t *found,
             bson_error_t *error)
{
   memory_t *memory = user_data;

   memory->calls++;
   memory->values += bson_count_keys (values);
   assert_string_not_equal (field, "");
   if (memory->fails) {
      bson_set_error (error, ECLOSE_ERROR_RUN, ECLOSE_CODE_SERVER, "no connection");
      return false;
   }
   /* It may give more than it was asked for. */
   for (size_t i = 0; i < memory->n; i++) {
      if (strcmp (memory->documents[i][0], collection) == 0) {
         bson_t *document = json (memory->documents[i][1]);

         eclose_found_add (found, document);
         bson_destroy (document);
      }
   }
   return true;
}

static const char *const products[][2] = {
   {"products", "{\"_id\": 1, \"label\": \"old\", \"maker\": \"m\"}"},
   {"products", "{\"_id\": 2, \"labels\": \"new\", \"schema_version\": 1}"},
   {"makers", "{\"_id\": \"m\", \"name\": \"Maker\"}"},
};

static eclose_project_t *
devices_project (const char *migration)
{
   eclose_project_t *project = eclose_project_new ();

   add_text (project, "devices/0001_tags.yaml", migration);
   add_text (project, "products/0001_labels.yaml", "to: 1\nup: [{$set: {labels: $label}}, {$unset: label}]\n");
   return project;
}

static void
test_batch_is_one_call (void **state)
{
   eclose_project_t *project = devices_project (LOOKUP);
   memory_t memory = {.documents = products, .n = 3};
   eclose_loader_t loader = {.load = load_memory, .user_data = &memory};
   eclose_upgrader_t *devices;
   bson_t *documents[6];
   const bson_t *out;
   bson_error_t error;

   (void) state;
   load (project);
   devices = upgrader (project, "devices", NULL);
   assert_true (eclose_upgrader_loads (devices));
   eclose_upgrader_set_loader (devices, &loader);
   for (int i = 0; i < 6; i++) {
      documents[i] = BCON_NEW ("_id", BCON_INT32 (i), "product", BCON_INT32 (1 + i % 3));
   }
   check (eclose_upgrader_batch_begin (devices, (const bson_t *const *) documents, 6, &error), &error);
   assert_int_equal (memory.calls, 1);
   assert_int_equal (memory.values, 3);
   for (int i = 0; i < 6; i++) {
      bson_iter_t iter;

      check (eclose_upgrader_run (devices, documents[i], &out, &error), &error);
      assert_true (bson_iter_init_find (&iter, out, "tags"));
      assert_string_equal (bson_iter_utf8 (&iter, NULL), i % 3 == 0 ? "old" : i % 3 == 1 ? "new" : "none");
   }
   assert_int_equal (memory.calls, 1);
   /* Outside of a batch each document asks for itself. */
   eclose_upgrader_batch_end (devices);
   check (eclose_upgrader_run (devices, documents[0], &out, &error), &error);
   check (eclose_upgrader_run (devices, documents[0], &out, &error), &error);
   assert_int_equal (memory.calls, 3);
   for (int i = 0; i < 6; i++) {
      bson_destroy (documents[i]);
   }
   eclose_upgrader_destroy (devices);
   eclose_project_destroy (project);
}

static void
test_let_and_pipeline (void **state)
{
   eclose_project_t *project = devices_project (PIPELINE);
   memory_t memory = {.documents = products, .n = 3};
   eclose_loader_t loader = {.load = load_memory, .user_data = &memory};
   eclose_upgrader_t *devices;

   (void) state;
   load (project);
   devices = upgrader (project, "devices", NULL);
   eclose_upgrader_set_loader (devices, &loader);
   runs_to (devices, "{\"product\": 1}",
            "{ \"product\" : 1, \"found\" : [ { \"labels\" : \"old\" } ], \"schema_version\" : 1 }");
   runs_to (devices, "{\"product\": 9}", "{ \"product\" : 9, \"found\" : [  ], \"schema_version\" : 1 }");
   eclose_upgrader_destroy (devices);
   eclose_project_destroy (project);
}

static void
test_no_loader_and_a_loader_that_fails (void **state)
{
   eclose_project_t *project = devices_project (LOOKUP);
   memory_t memory = {.fails = true};
   eclose_loader_t loader = {.load = load_memory, .user_data = &memory};
   bson_t *document = json ("{\"_id\": 1, \"product\": 1}");
   eclose_upgrader_t *devices;
   const bson_t *out;
   bson_error_t error;
   bson_iter_t iter;

   (void) state;
   load (project);
   devices = upgrader (project, "devices", NULL);
   assert_false (eclose_upgrader_run (devices, document, &out, &error));
   assert_non_null (strstr (error.message, "products"));
   eclose_upgrader_set_loader (devices, &loader);
   assert_false (eclose_upgrader_run (devices, document, &out, &error));
   assert_non_null (strstr (error.message, "no connection"));
   assert_int_equal (error.code, ECLOSE_CODE_SERVER);
   assert_true (bson_iter_init_find (&iter, eclose_upgrader_error_document (devices), "message"));
   assert_non_null (strstr (bson_iter_utf8 (&iter, NULL), "no connection"));
   assert_false (eclose_upgrader_batch_begin (devices, (const bson_t *const[]){document}, 1, &error));
   bson_destroy (document);
   eclose_upgrader_destroy (devices);
   eclose_project_destroy (project);
}

/* The product's maker, through the product: two levels, one of them a function. */
static bool
with_maker (const bson_t *in, bson_t *out, eclose_context_t *context, bson_error_t *error)
{
   bson_value_t key = {.value_type = BSON_TYPE_UTF8};
   const bson_t *makers;
   bson_iter_t iter;
   size_t n;

   assert_non_null (eclose_context_loader (context));
   key.value.v_utf8.str = (char *) "m";
   key.value.v_utf8.len = 1;
   if (!eclose_context_find (context, "makers", "_id", &key, &makers, &n, error)) {
      return false;
   }
   bson_concat (out, in);
   if (n && bson_iter_init_find (&iter, &makers[0], "name")) {
      bson_append_iter (out, "labels", -1, &iter);
   }
   return true;
}

static void
test_levels_and_functions (void **state)
{
   eclose_project_t *project = eclose_project_new ();
   memory_t memory = {.documents = products, .n = 3};
   eclose_loader_t loader = {.load = load_memory, .user_data = &memory};
   eclose_upgrader_t *devices;
   bson_error_t error;

   (void) state;
   add_text (project, "devices/0001_tags.yaml", LOOKUP);
   check (eclose_project_add_function (project, "products", "1", ECLOSE_UP, with_maker, NULL, &error), &error);
   load (project);
   devices = upgrader (project, "devices", NULL);
   eclose_upgrader_set_loader (devices, &loader);
   runs_to (devices, "{\"product\": 1}", "{ \"product\" : 1, \"tags\" : \"Maker\", \"schema_version\" : 1 }");
   assert_int_equal (memory.calls, 2);
   eclose_upgrader_destroy (devices);
   eclose_project_destroy (project);
}

/* Passes on what an upgrader of its own said, which has no loader; or says the same by itself. */
static bool
needs_by_itself (const bson_t *in, bson_t *out, eclose_context_t *context, bson_error_t *error)
{
   (void) in;
   (void) out;
   (void) context;
   bson_set_error (error, ECLOSE_ERROR_UPGRADE, ECLOSE_CODE_NEEDS, "something is needed");
   return false;
}

static void
test_a_function_that_needs_what_it_never_asked_for_ends (void **state)
{
   eclose_project_t *project = eclose_project_new ();
   memory_t memory = {.documents = products, .n = 3};
   eclose_loader_t loader = {.load = load_memory, .user_data = &memory};
   bson_t *document = json ("{\"_id\": 1}");
   eclose_upgrader_t *up;
   const bson_t *out;
   bson_error_t error;

   (void) state;
   check (eclose_project_add_function (project, "users", "1", ECLOSE_UP, needs_by_itself, NULL, &error), &error);
   load (project);
   up = upgrader (project, "users", NULL);
   eclose_upgrader_set_loader (up, &loader);
   assert_false (eclose_upgrader_run (up, document, &out, &error));
   assert_int_equal (error.code, ECLOSE_CODE_INVALID);
   assert_non_null (strstr (error.message, "something is needed"));
   check (eclose_upgrader_batch_begin (up, (const bson_t *const[]){document}, 1, &error), &error);
   bson_destroy (document);
   eclose_upgrader_destroy (up);
   eclose_project_destroy (project);
}

/* ---- circles ---- */

static void
test_cycle_is_refused_and_written_out (void **state)
{
   eclose_project_t *project = devices_project (LOOKUP), *self = eclose_project_new ();
   bson_error_t error;

   (void) state;
   add_text (project, "products/0002_back.yaml",
             "to: 2\nup: [{$lookup: {from: devices, localField: _id, foreignField: product, as: d}}]\n");
   assert_false (eclose_project_load (project, &error));
   assert_non_null (strstr (error.message, "devices -> products -> devices"));
   assert_non_null (strstr (error.message, "products/0002_back.yaml:2"));
   add_text (self, "a/0001_a.yaml", "to: 1\nup: [{$lookup: {from: a, localField: b, foreignField: _id, as: c}}]\n");
   assert_false (eclose_project_load (self, &error));
   assert_non_null (strstr (error.message, "a -> a"));
   eclose_project_destroy (project);
   eclose_project_destroy (self);
}

static bool
round_and_round (const bson_t *in, bson_t *out, eclose_context_t *context, bson_error_t *error)
{
   bson_value_t key = {.value_type = BSON_TYPE_INT32, .value.v_int32 = 1};
   const bson_t *found;
   size_t n;

   if (!eclose_context_find (context, "loop", "_id", &key, &found, &n, error)) {
      return false;
   }
   bson_concat (out, in);
   return true;
}

static void
test_functions_in_a_circle_end (void **state)
{
   static const char *const loop[][2] = {{"loop", "{\"_id\": 1}"}};
   eclose_project_t *project = eclose_project_new ();
   memory_t memory = {.documents = loop, .n = 1};
   eclose_loader_t loader = {.load = load_memory, .user_data = &memory};
   bson_t *document = json ("{\"_id\": 1}");
   eclose_upgrader_t *up;
   const bson_t *out;
   bson_error_t error;

   (void) state;
   check (eclose_project_add_function (project, "loop", "1", ECLOSE_UP, round_and_round, NULL, &error), &error);
   load (project);
   up = upgrader (project, "loop", NULL);
   eclose_upgrader_set_loader (up, &loader);
   assert_false (eclose_upgrader_run (up, document, &out, &error));
   assert_non_null (strstr (error.message, "circle"));
   bson_destroy (document);
   eclose_upgrader_destroy (up);
   eclose_project_destroy (project);
}

/* ---- saving ---- */

static eclose_save_t
save (eclose_upgrader_t *up, const char *stored_text, const char *changed_text, bool *ok, bson_error_t *error)
{
   bson_t *stored = json (stored_text), *changed = json (changed_text);
   const bson_t *filter, *update, *replacement;
   eclose_save_t how;

   *ok = eclose_upgrader_save (up, stored, changed, &how, &filter, &update, &replacement, error);
   if (*ok) {
      assert_true (bson_has_field (replacement, "schema_version"));
      assert_int_equal (how == ECLOSE_SAVE_STATEMENT, filter != NULL && update != NULL);
   }
   bson_destroy (stored);
   bson_destroy (changed);
   return how;
}

/* What failed last is there with what is always known. */
static void
error_document_is (eclose_upgrader_t *up, const char *said, int32_t code)
{
   const bson_t *document = eclose_upgrader_error_document (up);
   bson_iter_t iter;

   assert_true (bson_iter_init_find (&iter, document, "domain"));
   assert_true (bson_iter_init_find (&iter, document, "code"));
   assert_int_equal (bson_iter_int32 (&iter), code);
   assert_true (bson_iter_init_find (&iter, document, "message"));
   assert_non_null (strstr (bson_iter_utf8 (&iter, NULL), said));
   assert_true (bson_iter_init_find (&iter, document, "collection"));
   assert_string_equal (bson_iter_utf8 (&iter, NULL), "users");
   assert_true (bson_iter_init_find (&iter, document, "to"));
}

static void
test_save (void **state)
{
   eclose_project_t *project = eclose_project_new ();
   eclose_upgrader_t *one, *two;
   bson_t *where = json ("{\"$where\": \"true\"}"), pipeline;
   bson_error_t error;
   bool ok;

   (void) state;
   add_text (project, "eclose.yaml", "collections: {users: {unversioned: 1}}\n");
   add_text (project, "users/0002_split.yaml", USERS_2);
   load (project);
   one = upgrader (project, "users", "1");
   two = upgrader (project, "users", "2");
   assert_int_equal (save (two, "{\"_id\": 1, \"name\": \"A B\"}", "{\"_id\": 1, \"first\": \"A\"}", &ok, &error),
                     ECLOSE_SAVE_STATEMENT);
   assert_true (ok);
   assert_int_equal (save (two, "{\"_id\": 1, \"schema_version\": 2}", "{\"_id\": 1}", &ok, &error),
                     ECLOSE_SAVE_NOTHING);
   assert_true (ok);
   assert_int_equal (save (two, "{\"_id\": 1, \"a\": [{\"n\": [1]}]}", "{\"_id\": 1}", &ok, &error),
                     ECLOSE_SAVE_TRANSACTION);
   assert_true (ok);
   (void) save (two, "{\"_id\": 1}", "{\"_id\": 2}", &ok, &error);
   assert_false (ok);
   assert_int_equal (error.code, ECLOSE_CODE_INVALID);
   error_document_is (two, "keeps the _id", ECLOSE_CODE_INVALID);
   assert_false (eclose_upgrader_query (two, where, NULL, &pipeline, &error));
   error_document_is (two, "$where", (int32_t) error.code);
   bson_destroy (&pipeline);
   bson_destroy (where);
   /* From below: "A B" comes back from version 1 as it was, a middle name does not. */
   (void) save (one, "{\"_id\": 1, \"first\": \"A\", \"last\": \"B\", \"schema_version\": 2}",
                "{\"_id\": 1, \"name\": \"C D\"}", &ok, &error);
   assert_true (ok);
   (void) save (one, "{\"_id\": 1, \"first\": \"A\", \"last\": \"B C\", \"schema_version\": 2}",
                "{\"_id\": 1, \"name\": \"C D\"}", &ok, &error);
   assert_false (ok);
   assert_int_equal (error.code, ECLOSE_CODE_LOSSY);
   error_document_is (one, "would lose", ECLOSE_CODE_LOSSY);
   eclose_upgrader_destroy (one);
   eclose_upgrader_destroy (two);
   eclose_project_destroy (project);
}

/* Of a collection that the project does not know, too, the whole error is that of the last call alone. */
static void
test_error_of_an_unknown_collection (void **state)
{
   eclose_project_t *project = eclose_project_new ();
   bson_t *empty = bson_new (), *wrong = json ("{\"batch\": 1}"), pipeline;
   eclose_upgrader_t *up;
   const bson_t *out;
   bson_error_t error;

   (void) state;
   load (project);
   up = upgrader (project, "things", NULL);
   for (int i = 0; i < 2; i++) {
      assert_false (eclose_upgrader_query (up, empty, wrong, &pipeline, &error));
      bson_destroy (&pipeline);
      assert_false (bson_empty (eclose_upgrader_error_document (up)));
      if (i) {
         assert_non_null (eclose_upgrader_version (up, empty, &error));
      } else {
         check (eclose_upgrader_run (up, empty, &out, &error), &error);
      }
      assert_true (bson_empty (eclose_upgrader_error_document (up)));
   }
   bson_destroy (empty);
   bson_destroy (wrong);
   eclose_upgrader_destroy (up);
   eclose_project_destroy (project);
}

/* What went is the run, not what a save looked at to see whether something would be lost. */
static void
test_save_after_a_run (void **state)
{
   eclose_project_t *project = eclose_project_new ();
   bson_t *stored = json ("{\"_id\": 1, \"first\": \"A\", \"last\": \"B\", \"schema_version\": 2}");
   const bson_t *out, *filter, *update, *replacement;
   eclose_upgrader_t *one;
   eclose_save_t how;
   bson_error_t error;

   (void) state;
   add_text (project, "eclose.yaml", "collections: {users: {unversioned: 1}}\n");
   add_text (project, "users/0002_split.yaml", USERS_2);
   load (project);
   one = upgrader (project, "users", "1");
   check (eclose_upgrader_run (one, stored, &out, &error), &error);
   check (eclose_upgrader_save (one, stored, out, &how, &filter, &update, &replacement, &error), &error);
   same_json (replacement, "{ \"_id\" : 1, \"schema_version\" : 1, \"name\" : \"A B\" }");
   assert_int_equal (eclose_upgrader_went (one), ECLOSE_WENT_DOWN);
   bson_destroy (stored);
   eclose_upgrader_destroy (one);
   eclose_project_destroy (project);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_batch_is_one_call),
      cmocka_unit_test (test_let_and_pipeline),
      cmocka_unit_test (test_no_loader_and_a_loader_that_fails),
      cmocka_unit_test (test_levels_and_functions),
      cmocka_unit_test (test_a_function_that_needs_what_it_never_asked_for_ends),
      cmocka_unit_test (test_cycle_is_refused_and_written_out),
      cmocka_unit_test (test_functions_in_a_circle_end),
      cmocka_unit_test (test_save),
      cmocka_unit_test (test_error_of_an_unknown_collection),
      cmocka_unit_test (test_save_after_a_run),
   };

   return cmocka_run_group_tests_name ("libeclose: looking up, saving", tests, NULL, NULL);
}
