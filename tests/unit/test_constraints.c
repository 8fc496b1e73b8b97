/* What the server would refuse of a document, from canned facts; and the trial that asks. */
#include "fake_world.h"
#include "project_check.h"

#include "backfill/constraints.h"
#include "backfill/trial.h"
#include "upgrade/upgrade.h"

#define BATCH(...) "{\"ok\": 1, \"cursor\": {\"id\": 0, \"firstBatch\": [" __VA_ARGS__ "]}}"
#define OPTIONS(...) BATCH ("{\"name\": \"users\", \"type\": \"collection\", \"options\": {" __VA_ARGS__ "}}")
#define AGE "\"validator\": {\"$jsonSchema\": {\"required\": [\"age\"], \"properties\": {\"age\": {\"minimum\": 18}}}}"

/* The facts of a collection with such options and indexes. */
static void
ask (const char *options, const char *indexes, ecl_arena_t *arena, ecl_facts_t *facts)
{
   const canned_t script[] = {{"listCollections", options}, {"listIndexes", indexes}, {0}};
   fake_world_t world = fake_world (script);
   ecl_server_t server = {0};
   bson_error_t error;

   assert_true (ecl_facts_ask (&world.world, &server, "shop", "users", arena, facts, &error));
   fake_done (&world);
}

static bson_t *
from (const char *json)
{
   bson_error_t error;
   bson_t *doc = bson_new_from_json ((const uint8_t *) json, -1, &error);

   if (!doc) {
      fail_msg ("%s: %s", json, error.message);
   }
   return doc;
}

/* One document after the other, as they would be; NULL as what is said: it is admitted. */
typedef struct {
   const char *before, *after, *said;
} change_t;

static void
check (const char *options, const char *indexes, const char *unjudged, const change_t *changes)
{
   ecl_facts_t facts;
   ecl_constraints_t *constraints;
   ecl_arena_t arena;

   ecl_arena_init (&arena);
   ask (options, indexes ? indexes : BATCH (), &arena, &facts);
   constraints = ecl_constraints_new (&facts);
   if (unjudged) {
      assert_non_null (ecl_constraints_unjudged (constraints));
      assert_non_null (strstr (ecl_constraints_unjudged (constraints), unjudged));
   } else {
      assert_null (ecl_constraints_unjudged (constraints));
   }
   for (; changes->after; changes++) {
      bson_t *old = from (changes->before ? changes->before : "{}"), *new = from (changes->after);
      ecl_value_t before = ecl_raw_document (bson_get_data (old), old->len),
                  after = ecl_raw_document (bson_get_data (new), new->len);
      bson_error_t error = {0};
      bool admitted = ecl_constraints_allow (constraints, &before, &after, &error);

      assert_string_equal (admitted ? "" : error.message, changes->said ? changes->said : "");
      if (changes->said) {
         assert_false (ecl_constraints_allow (constraints, &before, &after, NULL));
      }
      bson_destroy (old);
      bson_destroy (new);
   }
   ecl_constraints_destroy (constraints);
   ecl_arena_cleanup (&arena);
}

#define REFUSES "the collection's validator refuses it: "

static void
test_validators (void **state)
{
   const change_t schema[] = {
      {NULL, "{\"_id\": 1, \"age\": 18}", NULL},
      {NULL, "{\"_id\": 2, \"age\": \"x\"}", NULL},
      {NULL, "{\"_id\": 3, \"age\": 17}", REFUSES "$jsonSchema: minimum: expected at least 18, found 17 at age"},
      {NULL, "{\"_id\": 4}", REFUSES "$jsonSchema: required: expected a field of this name, found missing at age"},
      {"{\"_id\": 5}", "{\"_id\": 5, \"age\": 1}",
       REFUSES "$jsonSchema: minimum: expected at least 18, found 1 at age"},
      {0}};
   const change_t filter[] = {
      {NULL, "{\"_id\": 1, \"n\": 1}", NULL},
      {NULL, "{\"_id\": 2, \"n\": 5}", REFUSES "{ \"$or\" : [ { \"n\" : { \"$lt\" : 5 } }, { \"m\" : 7 } ] }"},
      {NULL, "{\"_id\": 3, \"n\": -1}", REFUSES "{ \"n\" : { \"$gte\" : 0 } }"},
      {NULL, "{\"_id\": 4}", REFUSES "{ \"n\" : { \"$gte\" : 0 } }"},
      /* one that fails */
      {NULL, "{\"_id\": 5, \"n\": 0}", REFUSES "{ \"$expr\" : { \"$lt\" : [ { \"$divide\" : [ 4, \"$n\" ] }, 9 ] } }"},
      {0}};

   (void) state;
   check (OPTIONS (), NULL, NULL, (change_t[]){{NULL, "{\"_id\": 1}", NULL}, {0}});
   check (OPTIONS (AGE), NULL, NULL, schema);
   check (OPTIONS (AGE ", \"validationLevel\": \"strict\", \"validationAction\": \"error\""), NULL, NULL, schema);
   check (OPTIONS (AGE ", \"validationAction\": \"errorAndLog\""), NULL, NULL, schema);
   check (
      OPTIONS ("\"validator\": {\"$and\": [{\"n\": {\"$gte\": 0}}, {\"$or\": [{\"n\": {\"$lt\": 5}}, {\"m\": 7}]}], "
               "\"$expr\": {\"$lt\": [{\"$divide\": [4, \"$n\"]}, 9]}}"),
      NULL, NULL, filter);
}

static void
test_those_that_refuse_nothing (void **state)
{
   const change_t any[] = {{NULL, "{\"_id\": 3, \"age\": 17}", NULL}, {NULL, "{\"_id\": 4}", NULL}, {0}};

   (void) state;
   check (OPTIONS (AGE ", \"validationAction\": \"warn\""), NULL, NULL, any);
   check (OPTIONS (AGE ", \"validationLevel\": \"off\""), NULL, NULL, any);
   check (OPTIONS ("\"validator\": {\"$where\": \"1\"}, \"validationLevel\": \"off\""), NULL, NULL, any);
   check (OPTIONS ("\"validator\": {}"), NULL, NULL, any);
}

/* A moderate one: a document that broke it before may break it. */
static void
test_moderate (void **state)
{
   (void) state;
   check (OPTIONS (AGE ", \"validationLevel\": \"moderate\""), NULL, NULL,
          (change_t[]){{"{\"_id\": 1}", "{\"_id\": 1, \"age\": 1}", NULL},
                       {"{\"_id\": 2, \"age\": 1}", "{\"_id\": 2}", NULL},
                       {"{\"_id\": 3, \"age\": 20}", "{\"_id\": 3, \"age\": 2}",
                        REFUSES "$jsonSchema: minimum: expected at least 18, found 2 at age"},
                       {0}});
}

/* What the engine cannot read, or not as the server would. */
static void
test_unjudged (void **state)
{
   const change_t any[] = {{NULL, "{\"_id\": 3, \"age\": 17}", NULL}, {0}};

   (void) state;
   check (OPTIONS ("\"validator\": {\"age\": {\"$gt\": 20, \"$unheard\": 1}}"), NULL, "$unheard", any);
   check (OPTIONS ("\"validator\": {\"place\": {\"$geoWithin\": {\"$box\": [[0, 0], [1, 1]]}}}"), NULL, "$geoWithin",
          any);
   check (OPTIONS (AGE ", \"collation\": {\"locale\": \"de\"}"), NULL, "collation", any);
   check (OPTIONS ("\"validator\": {\"$jsonSchema\": {\"properties\": {\"age\": {\"encrypt\": {}}}}}"), NULL, "encrypt",
          any);
}

/* Several versions under one validator, as `complete` and steps make it: the rule of the version at hand is named. */
static void
test_versions (void **state)
{
   (void) state;
   check (OPTIONS ("\"validator\": {\"$or\": ["
                   "{\"$and\": [{\"v\": 1}, {\"$jsonSchema\": {\"required\": [\"a\"]}}]}, "
                   "{\"$and\": [{\"v\": 2}, {\"$jsonSchema\": {\"required\": [\"b\"]}}]}, {\"v\": {\"$gt\": 2}}]}"),
          NULL, NULL,
          (change_t[]){{NULL, "{\"_id\": 1, \"v\": 1, \"a\": 1}", NULL},
                       {NULL, "{\"_id\": 1, \"v\": 2, \"a\": 1}",
                        REFUSES "$jsonSchema: required: expected a field of this name, found missing at b"},
                       {NULL, "{\"_id\": 1, \"v\": 3}", NULL},
                       {0}});
}

static void
test_unique_indexes (void **state)
{
   const char *unique = BATCH ("{\"name\": \"_id_\", \"key\": {\"_id\": 1}}, "
                               "{\"name\": \"a.b_1\", \"key\": {\"a.b\": 1, \"c\": -1}, \"unique\": true}"),
              *sparse =
                 BATCH ("{\"name\": \"a_1\", \"key\": {\"a\": 1, \"b\": 1}, \"unique\": true, \"sparse\": true}"),
              *others = BATCH (
                 "{\"name\": \"a\", \"key\": {\"a\": 1}}, "
                 "{\"name\": \"b\", \"key\": {\"a\": 1}, \"unique\": true, \"partialFilterExpression\": {\"c\": 1}}, "
                 "{\"name\": \"c\", \"key\": {\"a\": 1}, \"unique\": true, \"collation\": {\"locale\": \"de\"}}, "
                 "{\"name\": \"d\", \"key\": {\"a\": \"hashed\"}, \"unique\": true}");
   const change_t same[] = {{NULL, "{\"_id\": 1, \"a\": 7}", NULL}, {NULL, "{\"_id\": 2, \"a\": 7}", NULL}, {0}};

   (void) state;
   check (
      OPTIONS (), unique, NULL,
      (change_t[]){{NULL, "{\"_id\": 1, \"a\": {\"b\": 1}, \"c\": \"x\"}", NULL},
                   {NULL, "{\"_id\": 2, \"a\": {\"b\": 2}, \"c\": \"x\"}", NULL},
                   {NULL, "{\"_id\": 1, \"a\": {\"b\": 1}, \"c\": \"x\"}", NULL}, /* the same document once more */
                   {NULL, "{\"_id\": 3, \"a\": {\"b\": 2.0}, \"c\": \"x\"}",
                    "the unique index a.b_1 refuses it: it gets the key of _id 2"},
                   {NULL, "{\"_id\": {\"$oid\": \"0123456789abcdef01234567\"}}", NULL},
                   {NULL, "{\"_id\": 5, \"a\": 4, \"c\": null}",
                    "the unique index a.b_1 refuses it: it gets the key of _id ObjectId(\"0123456789abcdef01234567\")"},
                   /* Arrays have several keys, here and below: not judged. */
                   {NULL, "{\"_id\": 6, \"a\": [{\"b\": 1}], \"c\": \"x\"}", NULL},
                   {NULL, "{\"_id\": 7, \"a\": {\"b\": 1}, \"c\": [\"x\"]}", NULL},
                   {0}});
   check (OPTIONS (), sparse, NULL,
          (change_t[]){{NULL, "{\"_id\": 1}", NULL},
                       {NULL, "{\"_id\": 2}", NULL},
                       {NULL, "{\"_id\": 3, \"a\": null}", NULL},
                       {NULL, "{\"_id\": 4, \"b\": null}", "the unique index a_1 refuses it: it gets the key of _id 3"},
                       {0}});
   check (OPTIONS (), others, NULL, same);
   check (OPTIONS ("\"collation\": {\"locale\": \"de\"}"),
          BATCH ("{\"name\": \"a\", \"key\": {\"a\": 1}, \"unique\": true}"), NULL, same);
   /* What a validator refuses has no key. */
   check (OPTIONS (AGE), BATCH ("{\"name\": \"a\", \"key\": {\"a\": 1}, \"unique\": true}"), NULL,
          (change_t[]){
             {NULL, "{\"_id\": 1, \"a\": 1}",
              REFUSES "$jsonSchema: required: expected a field of this name, found missing at age"},
             {NULL, "{\"_id\": 2, \"a\": 1, \"age\": 20}", NULL},
             {NULL, "{\"_id\": 3, \"a\": 1, \"age\": 20}", "the unique index a refuses it: it gets the key of _id 2"},
             {0}});
}

/* ---- the trial ---- */

static void
take_note (void *context, const char *message)
{
   bson_strncpy (context, message, 200);
}

/* So many documents of which those from `good` on break the rule. */
static bool
try_on (ecl_mode_t mode, bool transactions, const char *options, int n, int good, double max_errors, char *note,
        bson_error_t *error)
{
   const file_t files[] = {
      {"users/0002_step.yaml", "to: 2\ndescription: d\nup:\n  - $set: {age: $years}\n  - $unset: years\n"}, {0}};
   ecl_project_t *project = load_good ("database: shop\ncollections: {users: {unversioned: 1}}\n", files);
   ecl_upgrades_t *upgrades = ecl_upgrades_new (project);
   const ecl_chain_t *chain = ecl_project_chain (project, "users");
   /* Its cursor is lost, and the sample taken anew: what it had brought does not count. */
   canned_t script[] = {
      {"{ \"$sample\" : { \"size\" : 1000 } } ], \"allowDiskUse\" : true",
       "{\"ok\": 1, \"cursor\": {\"id\": 5, \"firstBatch\": [{\"_id\": 7, \"years\": 10}]}}"},
      {"\"getMore\" : 5", "REFUSED 43"},
      {"\"$sample\"", NULL},
      {0},
   };
   ecl_strategy_t strategy = {.chain = chain, .target = 1, .mode = mode};
   fake_world_t world = fake_world (script);
   ecl_site_t site = {.world = &world.world,
                      .project = project,
                      .upgrades = upgrades,
                      .database = "shop",
                      .server.transactions = transactions};
   ecl_trial_t trial = {&site, &strategy, max_errors, take_note, note};
   ecl_partition_sample_t sample = {0};
   ecl_arena_t arena;
   ecl_buf_t reply;
   bool passed;

   ecl_arena_init (&arena);
   ecl_buf_init (&reply, 100000);
   assert_true (ecl_buf_printf (&reply, "{\"ok\": 1, \"cursor\": {\"id\": 0, \"firstBatch\": ["));
   for (int i = 0; i < n; i++) {
      assert_true (ecl_buf_printf (&reply, "%s{\"_id\": %d, \"years\": %d}", i ? ", " : "", i, i < good ? 20 : 10));
   }
   assert_true (ecl_buf_printf (&reply, "]}}"));
   script[2].reply = ecl_buf_cstr (&reply);
   ask (options, BATCH (), &arena, &strategy.facts);
   sample.arena = &arena;
   *note = '\0';
   passed = ecl_trial (&trial, &sample, error);
   if (max_errors < 1) {
      fake_done (&world);
      assert_int_equal (sample.n, n);
   } else {
      assert_int_equal (world.at, 0);
   }
   ecl_buf_cleanup (&reply);
   ecl_arena_cleanup (&arena);
   ecl_upgrades_destroy (upgrades);
   ecl_project_destroy (project);
   return passed;
}

static bool
try_them (const char *options, int n, int good, double max_errors, char *note, bson_error_t *error)
{
   return try_on (ECL_MODE_CLIENT, true, options, n, good, max_errors, note, error);
}

static void
test_trial (void **state)
{
   bson_error_t error;
   char note[200];

   (void) state;
   assert_true (try_them (OPTIONS (), 40, 0, 0, note, &error));
   assert_true (try_them (OPTIONS (AGE), 40, 20, 0, note, &error)); /* half of them may */
   assert_false (try_them (OPTIONS (AGE), 40, 19, 0, note, &error));
   assert_string_equal (
      error.message,
      "users: 21 of 40 documents that were tried without writing cannot be carried over, so nothing was "
      "begun (--max-errors says how many may fail); the first: _id 19: the collection's validator refuses "
      "it: $jsonSchema: minimum: expected at least 18, found 10 at age");
   assert_false (try_them (OPTIONS (AGE), 40, 39, -1, note, &error));
   assert_true (try_them (OPTIONS (AGE), 19, 0, -1, note, &error)); /* too few to conclude anything */
   assert_true (try_them (OPTIONS (AGE ", \"validationAction\": \"warn\""), 40, 0, -1, note, &error));
   assert_true (try_them (OPTIONS (AGE), 40, 0, 1, note, &error));
   assert_string_equal (note, "");
   assert_true (try_them (OPTIONS ("\"validator\": {\"$where\": \"1\"}"), 40, 0, -1, note, &error));
   assert_non_null (strstr (note, "users: the trial could not judge the collection's validator ("));
   assert_non_null (strstr (note, "$where"));
}

/* What only a transaction could write fails where there are none. */
static void
test_trial_without_transactions (void **state)
{
   const char *collation = OPTIONS ("\"collation\": {\"locale\": \"de\"}");
   bson_error_t error;
   char note[200];

   (void) state;
   assert_true (try_on (ECL_MODE_CLIENT, true, collation, 40, 0, -1, note, &error));
   assert_true (try_on (ECL_MODE_CLIENT, false, OPTIONS (), 40, 0, -1, note, &error));
   assert_true (try_on (ECL_MODE_PUSHDOWN, false, collation, 40, 0, -1, note, &error));
   assert_false (try_on (ECL_MODE_CLIENT, false, collation, 40, 0, 0, note, &error));
   assert_non_null (
      strstr (error.message, "users: 40 of 40 documents that were tried without writing cannot be carried over"));
   assert_non_null (strstr (error.message, "the first: _id 0: the collection has a default collation: only a "
                                           "transaction could write it safely, and this server has none"));
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_validators), cmocka_unit_test (test_those_that_refuse_nothing),
      cmocka_unit_test (test_moderate),   cmocka_unit_test (test_unjudged),
      cmocka_unit_test (test_versions),   cmocka_unit_test (test_unique_indexes),
      cmocka_unit_test (test_trial),      cmocka_unit_test (test_trial_without_transactions),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
