/* The end of a version against canned replies: in which order things are said, what stops it, lost answers. */
#include "fake_world.h"
#include "project_check.h"

#include "backfill/complete.h"
#include "backfill/survey.h"

#define CONFIG "database: shop\ncollections: {users: {unversioned: 1}}\n"
#define STEP "to: 2\nup:\n  - $set: {a: 1}\nschema: {required: [a]}\n"
#define OK "{\"ok\": 1, \"n\": 1, \"nModified\": 1}"
#define ROWS(...) "{\"ok\": 1, \"cursor\": {\"id\": 0, \"firstBatch\": [" __VA_ARGS__ "]}}"
#define COLLECTION(options)                                                                                   \
   {"listCollections", ROWS ("{\"name\": \"users\", \"type\": \"collection\", \"options\": {" options "}}")}, \
   {                                                                                                          \
      "listIndexes", ROWS ("{\"name\": \"_id_\", \"key\": {\"_id\": 1}}")                                     \
   }
#define AT \
   "{ \"$and\" : [ { \"schema_version\" : 2 }, { \"schema_version\" : { \"$not\" : { \"$type\" : \"array\" } } } ] }"
#define LATER "{ \"schema_version\" : { \"$gt\" : 2, \"$not\" : { \"$type\" : \"array\" } } }"
#define VALIDATOR \
   "{ \"$or\" : [ { \"$and\" : [ " AT ", { \"$jsonSchema\" : { \"required\" : [ \"a\" ] } } ] }, " LATER " ] }"
#define COUNT(what, n)               \
   {                                 \
      what, ROWS ("{\"n\": " #n "}") \
   }
#define NONE(what)  \
   {                \
      what, ROWS () \
   }
#define BELOW "\"$nor\" : [ " AT ", " LATER " ]"
#define REFUSED "\"$nor\" : [ " VALIDATOR " ]"
/* How many there are, as the server keeps the number; so few are one range. */
#define ESTIMATE                                            \
   {                                                        \
      "{ \"count\" : \"users\" }", "{\"ok\": 1, \"n\": 20}" \
   }
#define QUARANTINE "\"aggregate\" : \"eclose_quarantine\""
#define FLOORS "\"find\" : \"eclose_floors\""
#define RECORD "\"update\" : \"eclose_floors\""
/* The lease, as the fake world's chance names its holder. */
#define LEASE(id)                                                                                                     \
   "{\"ok\": 1, \"value\": {\"_id\": \"complete:users\", \"token\": 3, \"beat\": 1, \"holder\": {\"id\": {\"$oid\": " \
   "\"" id "\"}, \"host\": \"h\", \"pid\": 7}, \"expires\": {\"$date\": {\"$numberLong\": \"50000\"}}}}"
#define ASK "{ \"findAndModify\" : \"eclose_lease\", \"query\" : { \"_id\" : \"complete:users\" }"
#define ALONE                                 \
   {                                          \
      ASK, LEASE ("040000000000000004000000") \
   }
#define RELEASE                                                                                              \
   {                                                                                                         \
      "{ \"findAndModify\" : \"eclose_lease\", \"query\" : { \"_id\" : \"complete:users\", \"token\" : 3 }", \
         LEASE ("040000000000000004000000")                                                                  \
   }
#define IN_FORCE "\"validator\": " VALIDATOR ", \"validationLevel\": \"strict\", \"validationAction\": \"error\""
/* Before a validator is touched: no other one keeps a floor any more. */
#define CLEAR_VALIDATED                                                                                     \
   {                                                                                                        \
      RECORD ", \"updates\" : [ { \"q\" : { \"_id\" : \"users\" }, \"u\" : { \"$set\" : { \"validated\" : " \
             "false",                                                                                       \
         OK                                                                                                 \
   }

/* The server's explain is believed. */
static bool vouched;

/* The heartbeat's: it is not due as long as a test takes. */
static ecl_world_t *
connect (void *context, int32_t timeout, bson_error_t *error)
{
   (void) timeout;
   (void) error;
   return context;
}

static void
disconnect (void *context, ecl_world_t *world)
{
   assert_ptr_equal (context, world);
}

static bool
run (const canned_t *script, ecl_validator_t validator, ecl_completed_t *done, bson_error_t *error)
{
   const file_t files[] = {{"users/0002_step.yaml", STEP}, {0}};
   ecl_project_t *project = load_good (CONFIG, files);
   fake_world_t world = fake_world (script);
   fake_world_t heart = fake_world (NULL);
   const ecl_connector_t connector = {&heart.world, connect, disconnect};
   ecl_site_t site = {.world = &world.world, .project = project, .database = "shop"};
   ecl_complete_options_t options = {.chain = ecl_project_chain (project, "users"),
                                     .target = 1,
                                     .validator = validator,
                                     .look = {.connector = &connector}};
   bool good;

   site.server.vouched = vouched;
   good = ecl_complete (&site, &options, done, error);
   fake_done (&world);
   ecl_project_destroy (project);
   return good;
}

static void
test_as_of_now (void **state)
{
   const canned_t script[] = {COLLECTION (""),
                              ESTIMATE,
                              NONE (BELOW),
                              NONE (FLOORS),
                              {RECORD, "LOST"}, /* written or not: it is sent again */
                              {"\"floor\" : { \"$literal\" : \"2\" }, \"validated\" : false", OK},
                              {0}};
   ecl_completed_t done;
   bson_error_t error;

   (void) state;
   assert_true (run (script, ECL_VALIDATOR_NONE, &done, &error));
   assert_true (done.recorded && !done.strict && done.refused == -1);
}

/* Of those in quarantine only these count that were below, on their way to the version or to one before it. */
static void
test_documents_are_below (void **state)
{
   const file_t files[] = {
      {"users/0002_step.yaml", STEP}, {"users/0003_step.yaml", "to: 3\nup: [{$set: {b: 1}}]\n"}, {0}};
   const file_t dotted[] = {{"users/1.5_step.yaml", "to: \"1.5\"\nup: [{$set: {b: 1}}]\n"},
                            {"users/2.0_step.yaml", "to: \"2.0\"\nup: [{$set: {b: 1}}]\n"},
                            {0}};
   const canned_t script[] = {
      COLLECTION (""),
      ESTIMATE,
      COUNT ("\"$nor\"", 3),
      COUNT (
         "{ \"collection\" : \"users\", \"to\" : { \"$nin\" : [ \"3\" ] }, \"$nor\" : [ { \"version\" : { \"$gte\" : "
         "2, \"$not\" : { \"$type\" : \"array\" } } } ] }",
         1),
      {0}};
   const canned_t text[] = {COLLECTION (""),
                            ESTIMATE,
                            COUNT ("\"$nor\"", 3),
                            COUNT ("\"to\" : { \"$nin\" : [ \"2.0\" ] }, \"$nor\" : [ { \"version\" : { \"$in\" : [ "
                                   "\"1.5\", \"2.0\" ] } } ] }",
                                   1),
                            {0}};

   (void) state;
   for (int i = 0; i < 2; i++) {
      ecl_project_t *project = load_good (
         i ? "database: shop\nversion_format: dotted\ncollections: {users: {unversioned: \"1.0\"}}\n" : CONFIG,
         i ? dotted : files);
      fake_world_t world = fake_world (i ? text : script);
      ecl_site_t site = {.world = &world.world, .project = project, .database = "shop"};
      ecl_complete_options_t options = {.chain = ecl_project_chain (project, "users"), .target = 1};
      ecl_completed_t done;
      bson_error_t error;

      assert_true (ecl_complete (&site, &options, &done, &error));
      assert_true (!done.recorded && done.below == 3 && done.quarantined == 1);
      fake_done (&world);
      ecl_project_destroy (project);
   }
}

/* Warn, look, refuse, and only then count; and look again before it is recorded. */
static void
test_validator (void **state)
{
   const canned_t script[] = {ALONE,
                              COLLECTION (""),
                              CLEAR_VALIDATED,
                              {"\"validationAction\" : \"warn\"", OK},
                              ESTIMATE,
                              NONE (REFUSED),
                              {"\"validationAction\" : \"error\", \"writeConcern\" : { \"w\" : \"majority\"", OK},
                              ESTIMATE,
                              NONE (BELOW),
                              COLLECTION (IN_FORCE),
                              NONE (FLOORS),
                              {"\"validated\" : true", OK},
                              RELEASE,
                              {0}};
   ecl_completed_t done;
   bson_error_t error;

   (void) state;
   assert_true (run (script, ECL_VALIDATOR_STRICT, &done, &error));
   assert_true (done.recorded && done.strict && done.refused == 0);
}

/* It refuses already: the mark of before goes all the same, for it may have been lifted since anybody looked; and where
 * somebody lifts it while the documents are counted, nothing is recorded. */
static void
test_validator_again (void **state)
{
   const canned_t script[] = {
      ALONE,
      COLLECTION (IN_FORCE),
      CLEAR_VALIDATED,
      {"\"validationAction\" : \"error\"", OK},
      ESTIMATE,
      NONE (REFUSED),
      ESTIMATE,
      NONE (BELOW),
      COLLECTION ("\"validator\": " VALIDATOR ", \"validationLevel\": \"strict\", \"validationAction\": \"warn\""),
      RELEASE,
      {0}};
   ecl_completed_t done;
   bson_error_t error;

   (void) state;
   assert_false (run (script, ECL_VALIDATOR_STRICT, &done, &error));
   assert_true (!done.recorded && !done.strict && strstr (error.message, "lifted or changed"));
}

/* Somebody else is at it; and nobody has to be alone who sets none. */
static void
test_alone (void **state)
{
   const canned_t script[] = {{ASK, LEASE ("0a0000000000000004000000")}, {0}};
   const canned_t kept[] = {COLLECTION (IN_FORCE),
                            ESTIMATE,
                            NONE (BELOW),
                            {FLOORS, ROWS ("{\"_id\": \"users\", \"floor\": \"2\", \"validated\": true}")},
                            COLLECTION (IN_FORCE),
                            {FLOORS, ROWS ("{\"_id\": \"users\", \"floor\": \"2\", \"validated\": true}")},
                            {0}};
   ecl_completed_t done;
   bson_error_t error;

   (void) state;
   assert_false (run (script, ECL_VALIDATOR_STRICT, &done, &error));
   assert_true (ecl_is_lease_error (&error) && strstr (error.message, "\"complete:users\": h, process 7"));
   assert_true (run (kept, ECL_VALIDATOR_NONE, &done, &error));
   assert_true (done.recorded && done.strict && !done.higher);
}

/* One document does not keep it: it goes on warning, and nothing is recorded. */
static void
test_validator_warns (void **state)
{
   const canned_t script[] = {ALONE,           COLLECTION (""),
                              CLEAR_VALIDATED, {"\"validationAction\" : \"warn\"", OK},
                              ESTIMATE,        COUNT (REFUSED, 1),
                              ESTIMATE,        NONE (BELOW),
                              RELEASE,         {0}};
   ecl_completed_t done;
   bson_error_t error;

   (void) state;
   assert_true (run (script, ECL_VALIDATOR_STRICT, &done, &error));
   assert_true (!done.recorded && !done.strict && done.refused == 1 && done.below == 0);
}

static void
test_another_validator (void **state)
{
   const canned_t script[] = {ALONE, COLLECTION ("\"validator\": {\"x\": 1}"), RELEASE, {0}};
   const canned_t view[] = {{"listCollections", ROWS ("{\"name\": \"users\", \"type\": \"view\", \"options\": {}}")},
                            {0}};
   ecl_completed_t done;
   bson_error_t error;

   (void) state;
   assert_false (run (script, ECL_VALIDATOR_STRICT, &done, &error));
   assert_non_null (strstr (error.message, "--replace"));
   assert_false (run (view, ECL_VALIDATOR_NONE, &done, &error));
   assert_non_null (strstr (error.message, "no ordinary collection"));
}

/* A higher floor stays. */
static void
test_higher (void **state)
{
   const file_t files[] = {
      {"users/0002_step.yaml", STEP}, {"users/0003_step.yaml", "to: 3\nup: [{$set: {b: 1}}]\n"}, {0}};
   const canned_t script[] = {COLLECTION (""),
                              ESTIMATE,
                              NONE ("$nor"),
                              {FLOORS, ROWS ("{\"_id\": \"users\", \"floor\": \"3\", \"validated\": true}")},
                              {0}};
   const canned_t undo[] = {{FLOORS, ROWS ("{\"_id\": \"users\", \"floor\": \"3\"}")},
                            {"\"delete\" : \"eclose_floors\"", OK},
                            {FLOORS, ROWS ("{\"_id\": \"users\", \"floor\": \"2\"}")},
                            {FLOORS, ROWS ()},
                            {0}};
   ecl_project_t *project = load_good (CONFIG, files);
   const ecl_chain_t *chain = ecl_project_chain (project, "users");
   fake_world_t world = fake_world (script);
   ecl_site_t site = {.world = &world.world, .project = project, .database = "shop"};
   ecl_completed_t done;
   bson_error_t error;
   bool removed;

   (void) state;
   assert_true (ecl_complete (&site, &(ecl_complete_options_t){.chain = chain, .target = 1}, &done, &error));
   assert_true (done.recorded && done.higher);
   fake_done (&world);
   world = fake_world (undo);
   assert_true (ecl_complete_undo (&world.world, "shop", chain, 1, &removed, &error) && removed);
   assert_true (ecl_complete_undo (&world.world, "shop", chain, 1, &removed, &error) && !removed);
   assert_true (ecl_complete_undo (&world.world, "shop", chain, 0, &removed, &error) && !removed);
   fake_done (&world);
   ecl_project_destroy (project);
}

/* An index that begins with the version: explain says what would be read, and one command counts. Where it does not
 * serve, or is not believed, ranges do. */
#define INDEXED(index)                                                                                          \
   {"listCollections", ROWS ("{\"name\": \"users\", \"type\": \"collection\", \"options\": {}}")},              \
   {                                                                                                            \
      "listIndexes", ROWS ("{\"name\": \"_id_\", \"key\": {\"_id\": 1}}, {\"name\": \"byVersion\", " index "}") \
   }
#define VERSION_INDEX "\"key\": {\"schema_version\": 1, \"n\": 1}"
#define BOUNDED "{ \"schema_version\" : { \"$not\" : { \"$gte\" : 2 } } }, { " BELOW " }"
#define PLAN(more, bounds)                                                                               \
   "{\"ok\": 1, \"queryPlanner\": {\"winningPlan\": {\"stage\": \"FETCH\", \"inputStage\": {\"stage\": " \
   "\"IXSCAN\", " more "\"indexBounds\": {\"schema_version\": [" bounds "], \"n\": [\"[MinKey, MaxKey]\"]}}}}}"
#define GOOD_BOUNDS "\"[MinKey, 2)\", \"(inf.0, MaxKey]\""

static void
test_by_an_index (void **state)
{
   const canned_t served[] = {INDEXED (VERSION_INDEX),
                              {"\"explain\"", PLAN ("\"isMultiKey\": false, ", GOOD_BOUNDS)},
                              {BOUNDED " ] } }, { \"$limit\" : 100000 }, { \"$count\" : \"n\" } ], \"cursor\" : {  }, "
                                       "\"hint\" : \"byVersion\", \"readConcern\" : { \"level\" : \"majority\" }",
                               ROWS ()},
                              NONE (FLOORS),
                              {RECORD, OK},
                              {0}};
   const canned_t many[] = {INDEXED (VERSION_INDEX),
                            {"\"explain\"", PLAN ("\"isMultiKey\": false, ", GOOD_BOUNDS)},
                            COUNT (BOUNDED, 100000),
                            NONE (QUARANTINE),
                            {0}};
   const canned_t late[] = {INDEXED (VERSION_INDEX),
                            {"\"explain\"", PLAN ("\"isMultiKey\": false, ", GOOD_BOUNDS)},
                            {BOUNDED, "REFUSED 50"},
                            ESTIMATE,
                            COUNT (BELOW, 2),
                            NONE (QUARANTINE),
                            {0}};
   const canned_t arrays[] = {INDEXED (VERSION_INDEX),
                              {"\"explain\"", PLAN ("\"isMultiKey\": true, ", GOOD_BOUNDS)},
                              ESTIMATE,
                              COUNT (BELOW, 2),
                              NONE (QUARANTINE),
                              {0}};
   const canned_t whole[] = {INDEXED (VERSION_INDEX),
                             {"\"explain\"", PLAN ("\"isMultiKey\": false, ", "\"[MinKey, MaxKey]\"")},
                             ESTIMATE,
                             COUNT (BELOW, 2),
                             NONE (QUARANTINE),
                             {0}};
   const canned_t unsure[] = {
      INDEXED (VERSION_INDEX), {"\"explain\"", "REFUSED 59"}, ESTIMATE, COUNT (BELOW, 2), NONE (QUARANTINE), {0}};
   const canned_t sparse[] = {
      INDEXED (VERSION_INDEX ", \"sparse\": true"), ESTIMATE, COUNT (BELOW, 2), NONE (QUARANTINE), {0}};
   const canned_t partial[] = {INDEXED (VERSION_INDEX ", \"partialFilterExpression\": {\"x\": 1}"),
                               ESTIMATE,
                               COUNT (BELOW, 2),
                               NONE (QUARANTINE),
                               {0}};
   const canned_t *const others[] = {late, arrays, whole, unsure, sparse, partial};
   ecl_completed_t done;
   bson_error_t error;

   (void) state;
   vouched = true;
   assert_true (run (served, ECL_VALIDATOR_NONE, &done, &error));
   assert_true (done.recorded && !done.below);
   assert_true (run (many, ECL_VALIDATOR_NONE, &done, &error));
   assert_true (!done.recorded && done.below == 100000 && done.at_least);
   for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
      assert_true (run (others[i], ECL_VALIDATOR_NONE, &done, &error));
      assert_true (!done.recorded && done.below == 2 && !done.at_least);
   }
   vouched = false;
   assert_true (run (sparse, ECL_VALIDATOR_NONE, &done, &error)); /* nothing is explained */
}

/* Time that is over is an answer; another refusal is an error, and so is an answer lost in time. */
static void
test_survey_in_time (void **state)
{
   const file_t files[] = {{"users/0002_step.yaml", STEP}, {0}};
   const canned_t script[] = {{"\"limit\" : 1", ROWS ("{\"_id\": 7}")},
                              NONE ("\"find\" : \"users\""),
                              {"$nor", "REFUSED 50"},
                              {"$nor", "REFUSED 262"},
                              {"$nor", "REFUSED 13"},
                              {"$nor", "LOST"},
                              {0}};
   const struct {
      bool good, any, late;
   } expected[] = {{true, true, false}, {true, false, false},  {true, false, true},
                   {true, false, true}, {false, false, false}, {false, false, false}};
   ecl_project_t *project = load_good (CONFIG, files);
   const ecl_chain_t *chain = ecl_project_chain (project, "users");
   fake_world_t world = fake_world (script);
   bson_error_t error;

   (void) state;
   for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
      bool any, late;

      assert_int_equal (ecl_survey_any (&world.world, "shop", chain, 1, world.now + 60000, &any, &late, &error),
                        expected[i].good);
      assert_int_equal (any, expected[i].any);
      assert_int_equal (late, expected[i].late);
   }
   fake_done (&world);
   ecl_project_destroy (project);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_as_of_now),         cmocka_unit_test (test_documents_are_below),
      cmocka_unit_test (test_validator),         cmocka_unit_test (test_validator_warns),
      cmocka_unit_test (test_validator_again),   cmocka_unit_test (test_alone),
      cmocka_unit_test (test_another_validator), cmocka_unit_test (test_higher),
      cmocka_unit_test (test_by_an_index),       cmocka_unit_test (test_survey_in_time),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
