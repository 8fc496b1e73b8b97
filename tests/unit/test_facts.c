/* What a server and a collection tell, from canned replies: also what no test server can make. */
#include "fake_world.h"
#include "project_check.h"

#include "backfill/facts.h"
#include "backfill/verify.h"
#include "upgrade/upgrade.h"

#define CONFIG "database: shop\ncollections: {users: {unversioned: 1}}\n"
#define STEP                                                                                                           \
   "to: 2\ndescription: d\nup:\n  - $set: {email: {$toLower: $mail}, card.number: x, region: eu}\n  - $unset: [mail, " \
   "card.old]\n  - $set: {mail.domain: y}\n"
#define BATCH(...) "{\"ok\": 1, \"cursor\": {\"id\": 0, \"firstBatch\": [" __VA_ARGS__ "]}}"
#define NO_INDEXES                                                         \
   {                                                                       \
      "listIndexes", BATCH ("{\"name\": \"_id_\", \"key\": {\"_id\": 1}}") \
   }

static void
check (const canned_t *script, bool sharded, const char *expected)
{
   const file_t files[] = {{"users/0002_step.yaml", STEP}, {0}};
   ecl_project_t *project = load_good (CONFIG, files);
   ecl_upgrades_t *upgrades = ecl_upgrades_new (project);
   ecl_server_t server = {.sharded = sharded};
   fake_world_t world = fake_world (script);
   const ecl_obstacle_t *obstacles;
   const ecl_plan_t *plan;
   ecl_facts_t facts;
   bson_error_t error;
   ecl_arena_t arena;
   ecl_buf_t text;
   size_t n;

   ecl_arena_init (&arena);
   ecl_buf_init (&text, 10000);
   assert_true (ecl_upgrades_plan (upgrades, ecl_project_chain (project, "users"), 0, 1, &plan, &error));
   assert_true (ecl_facts_ask (&world.world, &server, "shop", "users", &arena, &facts, &error));
   fake_done (&world);
   obstacles = ecl_facts_obstacles (&facts, &plan, 1, &arena, &n);
   for (size_t i = 0; i < n; i++) {
      assert_true (ecl_buf_printf (&text, "%d %s\n", obstacles[i].level, obstacles[i].message));
   }
   assert_string_equal (ecl_buf_cstr (&text), expected);
   ecl_buf_cleanup (&text);
   ecl_arena_cleanup (&arena);
   ecl_upgrades_destroy (upgrades);
   ecl_project_destroy (project);
}

static void
test_nothing_in_the_way (void **state)
{
   (void) state;
   check ((canned_t[]){{"listCollections", BATCH ()}, {0}}, false, "");
   check ((canned_t[]){{"listCollections", BATCH ("{\"name\": \"users\", \"type\": \"collection\", \"options\": "
                                                  "{\"collation\": {\"locale\": \"simple\"}}}")},
                       {"listIndexes", BATCH ("{\"name\": \"login_1\", \"key\": {\"login\": 1}, \"unique\": true},"
                                              "{\"name\": \"mail_1\", \"key\": {\"mail\": 1}}")},
                       {0}},
          false, "");
}

static void
test_obstacles (void **state)
{
   (void) state;
   check ((canned_t[]){{"listCollections", BATCH ("{\"type\": \"timeseries\", \"options\": {}}")}, {0}}, false,
          "2 it is a time-series collection: the server updates single documents there only in narrow cases\n");
   check ((canned_t[]){{"listCollections", BATCH ("{\"type\": \"view\", \"options\": {\"viewOn\": \"x\"}}")}, {0}},
          false, "2 it is a view: migrate the collection under it\n");
   check (
      (canned_t[]){{"listCollections",
                    BATCH ("{\"type\": \"collection\", \"options\": {\"capped\": true, \"validator\": {\"a\": 1}, "
                           "\"validationAction\": \"warn\", \"collation\": {\"locale\": \"de\"}}}")},
                   {"listIndexes", BATCH ("{\"name\": \"m\", \"key\": {\"login\": 1, \"mail\": 1}, \"unique\": true},"
                                          "{\"name\": \"c\", \"key\": {\"card\": 1}, \"unique\": true},"
                                          "{\"name\": \"t\", \"key\": {\"email\": 1}, \"expireAfterSeconds\": 0},"
                                          "{\"name\": \"o\", \"key\": {\"old\": 1}, \"expireAfterSeconds\": 9}")},
                   {0}},
      false,
      "1 it is capped: older servers refuse updates that change a document's size, newer ones may remove the oldest "
      "documents when others grow\n"
      "0 it has a validator (level strict, action warn)\n"
      "1 the migrations change mail, which the unique index m is on: documents that it refuses go to quarantine\n"
      "1 the migrations change card, which the unique index c is on: documents that it refuses go to quarantine\n"
      "0 the migrations change email, which the TTL index t is on: when the server deletes a document goes by what it "
      "becomes\n"
      "0 it has a default collation, by which the server would compare: each document goes through a transaction\n");
}

static void
test_encryption (void **state)
{
   (void) state;
   check ((canned_t[]){{"listCollections",
                        BATCH ("{\"type\": \"collection\", \"options\": {\"encryptedFields\": {\"fields\": [{\"path\": "
                               "\"card.number\"}, {\"path\": \"ssn\"}]}}}")},
                       NO_INDEXES,
                       {0}},
          false,
          "2 card.number is encrypted (queryable encryption) and the migrations change it: eclose sees only its "
          "ciphertext\n"
          "0 ssn is encrypted (queryable encryption); the migrations do not change it\n");
   check (
      (canned_t[]){{"listCollections",
                    BATCH ("{\"type\": \"collection\", \"options\": {\"validator\": {\"$jsonSchema\": {\"properties\": "
                           "{\"card\": {\"properties\": {\"number\": {\"encrypt\": {\"keyId\": []}}}}}}}}}")},
                   NO_INDEXES,
                   {0}},
      false,
      "1 it has a validator (level strict, action error): it must admit the new shape before `up` begins\n"
      "2 card.number is encrypted by the clients (field level encryption) and the migrations change it: eclose sees "
      "only its ciphertext\n");
}

static void
test_shard_key (void **state)
{
   const canned_t plain = {"listCollections", BATCH ("{\"type\": \"collection\", \"options\": {}}")};

   (void) state;
   check ((canned_t[]){plain,
                       NO_INDEXES,
                       {"\"_id\" : \"shop.users\"",
                        BATCH ("{\"_id\": \"shop.users\", \"key\": {\"region\": 1, \"_id\": 1}}")},
                       {0}},
          true, "2 the migrations change region, which is part of the shard key\n");
   check ((canned_t[]){plain, NO_INDEXES, {"collections", BATCH ("{\"key\": {\"login\": \"hashed\"}}")}, {0}}, true,
          "");
   check ((canned_t[]){plain, NO_INDEXES, {"collections", "REFUSED 13"}, {0}}, true,
          "0 config.collections may not be read: the shard key is not known\n");
}

/* A server that steps down has not said that it may not be read: the collection would be begun though its shard key
 * changes. It is asked again. */
static void
test_shard_key_later (void **state)
{
   (void) state;
   check ((canned_t[]){{"listCollections", BATCH ("{\"type\": \"collection\", \"options\": {}}")},
                       NO_INDEXES,
                       {"collections", "REFUSED 11602"},
                       {"collections", BATCH ("{\"key\": {\"region\": 1}}")},
                       {0}},
          true, "2 the migrations change region, which is part of the shard key\n");
}

static void
test_server (void **state)
{
   const canned_t set[] = {{"hello", "{\"ok\": 1, \"setName\": \"a\", \"maxWireVersion\": 21, "
                                     "\"logicalSessionTimeoutMinutes\": 30}"},
                           {"buildInfo", "{\"ok\": 1, \"version\": \"7.0.1\", \"gitVersion\": \"425a0454\"}"},
                           {"explain",
                            "{\"ok\": 1, \"queryPlanner\": {\"winningPlan\": {\"stage\": \"FETCH\", \"inputStage\": "
                            "{\"stage\": \"IXSCAN\"}}}}"},
                           {0}};
   /* 4.2.0 to 4.2.9, 4.4.0 and 4.4.1 */
   const canned_t lone[] = {
      {"{ \"hello\" : 1 }", "REFUSED 59"},
      {"{ \"isMaster\" : 1 }", "{\"ok\": 1, \"maxWireVersion\": 8, \"logicalSessionTimeoutMinutes\": 30}"},
      {"buildInfo", "{\"ok\": 1, \"version\": \"4.2.1\", \"gitVersion\": \"0000\"}"},
      {0}};
   const canned_t strict[] = {{"hello", "{\"ok\": 1, \"setName\": \"a\", \"maxWireVersion\": 21, "
                                        "\"logicalSessionTimeoutMinutes\": 30}"},
                              {"buildInfo", "REFUSED 323"}, /* APIStrictError */
                              {0}};
   const canned_t old[] = {{"hello", "{\"ok\": 1, \"setName\": \"a\", \"maxWireVersion\": 7, "
                                     "\"logicalSessionTimeoutMinutes\": 30}"},
                           {0}};
   fake_world_t world = fake_world (set);
   ecl_guard_form_t form;
   ecl_server_t server;
   bson_error_t error;

   (void) state;
   assert_true (ecl_server_ask (&world.world, &server, &error));
   assert_true (server.transactions && !server.sharded);
   assert_true (ecl_server_guard_form (&world.world, &server, "shop", "users", &form, &error));
   assert_int_equal (form, ECL_GUARD_IN_FILTER);
   fake_done (&world);
   world = fake_world (lone);
   assert_true (ecl_server_ask (&world.world, &server, &error));
   assert_false (server.transactions);
   /* Its explain is not even asked. */
   assert_true (ecl_server_guard_form (&world.world, &server, "shop", "users", &form, &error));
   assert_int_equal (form, ECL_GUARD_IN_PIPELINE);
   fake_done (&world);
   world = fake_world (strict);
   assert_true (ecl_server_ask (&world.world, &server, &error));
   assert_true (server.transactions && !server.vouched);
   fake_done (&world);
   /* Nothing else of eclose's works there, either: its own records are written by pipelines. */
   world = fake_world (old);
   assert_false (ecl_server_ask (&world.world, &server, &error));
   assert_int_equal (error.code, ECL_ERROR_UNSUPPORTED);
   assert_non_null (strstr (error.message, "older than MongoDB 4.2"));
   fake_done (&world);
}

static void
note_path (void *context, const ecl_verify_problem_t *problem)
{
   assert_int_equal (problem->kind, ECL_VERIFY_HYBRID);
   assert_true (ecl_buf_printf (context, "%s ", problem->path));
}

/* What went and did not come back in the chain itself: card.old, but not mail, of which a part was written again. */
static void
test_hybrids (void **state)
{
   const file_t files[] = {{"users/0002_step.yaml", STEP}, {0}};
   ecl_project_t *project = load_good (CONFIG, files);
   ecl_upgrades_t *upgrades = ecl_upgrades_new (project);
   ecl_verifier_t *verifier;
   bson_error_t error;
   ecl_value_t root;
   ecl_buf_t paths;
   bson_t *doc;

   (void) state;
   ecl_buf_init (&paths, 1000);
   verifier = ecl_verifier_new (upgrades, ecl_project_chain (project, "users"), 1, note_path, &paths, &error);
   assert_non_null (verifier);
   assert_false (ecl_verifier_has_schema (verifier));
   doc = bson_new_from_json ((const uint8_t *) "{\"_id\": 1, \"schema_version\": 2, \"mail\": {\"domain\": \"y\"}, "
                                               "\"card\": [{\"new\": 1}, {\"old\": null}]}",
                             -1, &error);
   root = ecl_raw_document (bson_get_data (doc), doc->len);
   assert_false (ecl_verifier_run (verifier, &root));
   assert_string_equal (ecl_buf_cstr (&paths), "card.old ");
   bson_destroy (doc);
   ecl_buf_cleanup (&paths);
   ecl_verifier_destroy (verifier);
   ecl_upgrades_destroy (upgrades);
   ecl_project_destroy (project);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_nothing_in_the_way),
      cmocka_unit_test (test_obstacles),
      cmocka_unit_test (test_encryption),
      cmocka_unit_test (test_shard_key),
      cmocka_unit_test (test_shard_key_later),
      cmocka_unit_test (test_server),
      cmocka_unit_test (test_hybrids),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
