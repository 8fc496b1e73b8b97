/* Documents in quarantine where their collection is begun again, against canned replies. */
#include "fake_world.h"
#include "project_check.h"

#include "backfill/quarantine_set.h"
#include "upgrade/upgrade.h"

/* One whose text is no number has 241 (ConversionFailure), one that a validator refuses 121. */
#define FAILED_WITH(code, id)                                                                           \
   "{\"_id\": {\"collection\": \"users\", \"id\": " #id "}, \"collection\": \"users\", \"to\": \"2\", " \
   "\"error\": {\"code\": " #code "}}"
#define RECORD(id) FAILED_WITH (241, id)
#define FIND(collection) "{ \"find\" : \"" collection "\""

/* What is found in quarantine, and tried again; no reply of the script lets a document be carried. */
static void
try_again (ecl_strategy_t strategy, const canned_t *script, uint32_t found, ecl_job_counts_t *counts)
{
   const file_t files[] = {{"users/0002_step.yaml", "to: 2\ndescription: d\nup:\n  - $set: {size: {$toInt: $size}}\n"},
                           {0}};
   ecl_project_t *project = load_good ("database: shop\ncollections: {users: {unversioned: 1}}\n", files);
   ecl_upgrades_t *upgrades = ecl_upgrades_new (project);
   bson_t all = BSON_INITIALIZER;
   fake_world_t world = fake_world (script);
   ecl_site_t site = {.world = &world.world, .project = project, .upgrades = upgrades, .database = "shop"};
   bson_error_t error = {0};
   ecl_quarantine_set_t quarantined;

   strategy.chain = ecl_project_chain (project, "users");
   strategy.target = 1;
   assert_true (ecl_quarantine_set_find (&site, "users", "2", &quarantined, &error));
   assert_int_equal (quarantined.n, found);
   if (found && !ecl_quarantine_set_retry (&quarantined, &site, &strategy, "2", &all, counts, &error)) {
      fail_msg ("%s", error.message);
   }
   fake_done (&world);
   ecl_quarantine_set_cleanup (&quarantined);
   bson_destroy (&all);
   ecl_upgrades_destroy (upgrades);
   ecl_project_destroy (project);
}

/* Of a document that nobody looked at nothing is known: its record stays. */
static void
test_a_record_that_came_meanwhile (void **state)
{
   const canned_t script[] = {{FIND ("eclose_quarantine"), DOCS (RECORD (1) ", " RECORD (2))},
                              {FIND ("users"), DOCS ("{\"_id\": 1, \"size\": \"large\"}")},
                              {FIND ("eclose_quarantine"), DOCS (RECORD (1) ", " RECORD (2) ", " RECORD (3))},
                              /* That one is gone, or where it was to go. */
                              {"\"id\" : 2", "{\"ok\": 1, \"n\": 1}"},
                              {0}};
   ecl_job_counts_t counts = {0};

   (void) state;
   try_again ((ecl_strategy_t){0}, script, 2, &counts);
   assert_int_equal (counts.quarantined, 2);
   assert_int_equal (counts.changed, 0);
}

/* Over shards by another key several documents may have one _id. */
static void
test_an_id_that_several_have (void **state)
{
   const canned_t script[] = {{FIND ("eclose_quarantine"), DOCS (RECORD (1))},
                              {FIND ("users"), DOCS ("{\"_id\": 1, \"size\": \"a\"}, {\"_id\": 1, \"size\": \"b\"}, "
                                                     "{\"_id\": 1, \"size\": \"c\"}, {\"_id\": 1.0, \"size\": \"d\"}")},
                              {FIND ("eclose_quarantine"), DOCS (RECORD (1))},
                              {0}};
   ecl_job_counts_t counts = {0};

   (void) state;
   try_again ((ecl_strategy_t){0}, script, 1, &counts);
   assert_int_equal (counts.quarantined, 1);
}

/* What only a transaction could write is not tried again where there are none. */
static void
test_without_transactions (void **state)
{
   const canned_t script[] = {{FIND ("eclose_quarantine"), DOCS (FAILED_WITH (7, 1))},
                              {FIND ("users"), DOCS ("{\"_id\": 1, \"size\": \"5\"}")},
                              {FIND ("eclose_quarantine"), DOCS (FAILED_WITH (7, 1))},
                              {0}};
   ecl_job_counts_t counts = {0};

   (void) state;
   try_again ((ecl_strategy_t){.facts.collation.type = BSON_TYPE_DOCUMENT}, script, 1, &counts);
   assert_int_equal (counts.quarantined, 1);
}

/* What the validator would refuse is not sent again. */
static void
test_what_a_validator_refuses (void **state)
{
   canned_t script[] = {{FIND ("eclose_quarantine"), DOCS (RECORD (1))},
                        {FIND ("users"), DOCS ("{\"_id\": 1, \"size\": \"-5\"}")},
                        {FIND ("eclose_quarantine"), DOCS (FAILED_WITH (121, 1))},
                        {0}};
   bson_t *rule = BCON_NEW ("size", "{", "$gte", BCON_INT32 (0), "}");
   ecl_facts_t facts = {
      .level = "strict", .action = "error", .validator = ecl_raw_document (bson_get_data (rule), rule->len)};
   ecl_job_counts_t counts = {0};

   (void) state;
   try_again ((ecl_strategy_t){.facts = facts}, script, 1, &counts);
   assert_int_equal (counts.quarantined, 1);
   script[1].reply = DOCS ("{\"_id\": 1, \"size\": \"large\"}");
   script[2].reply = DOCS (RECORD (1));
   try_again ((ecl_strategy_t){.facts = facts}, script, 1, &counts);
   assert_int_equal (counts.quarantined, 1);
   bson_destroy (rule);
}

/* Where a cursor is lost all is read again: nothing is counted twice. */
static void
test_cursors_that_are_lost (void **state)
{
#define MORE(...) "{\"ok\": 1, \"cursor\": {\"id\": 7, \"firstBatch\": [" __VA_ARGS__ "]}}"
   const canned_t script[] = {{FIND ("eclose_quarantine"), DOCS (RECORD (1) ", " RECORD (2))},
                              {FIND ("users"), MORE ("{\"_id\": 1, \"size\": \"large\"}")},
                              {"\"getMore\" : 7", "LOST"},
                              {FIND ("users"), DOCS ("{\"_id\": 1, \"size\": \"large\"}")},
                              {FIND ("eclose_quarantine"), MORE (RECORD (1))},
                              {"\"getMore\" : 7", "REFUSED 43"},
                              {FIND ("eclose_quarantine"), DOCS (RECORD (1) ", " RECORD (2))},
                              {"\"id\" : 2", "{\"ok\": 1, \"n\": 1}"},
                              {0}};
   ecl_job_counts_t counts = {0};

   (void) state;
   try_again ((ecl_strategy_t){0}, script, 2, &counts);
   assert_int_equal (counts.quarantined, 1);
}

/* No cursor stays open at the server where there are too many: there is none. */
static void
test_too_many (void **state)
{
   static const char one_batch[] = "\"limit\" : 1001, \"singleBatch\" : true, \"batchSize\" : 1001";
   canned_t script[] = {{one_batch, NULL}, {0}};
   ecl_job_counts_t counts = {0};
   ecl_buf_t reply;

   (void) state;
   ecl_buf_init (&reply, 200000);
   assert_true (ecl_buf_printf (&reply, "{\"ok\": 1, \"cursor\": {\"id\": 0, \"firstBatch\": ["));
   for (int i = 0; i <= ECL_QUARANTINE_SET_MOST; i++) {
      assert_true (ecl_buf_printf (&reply, "%s{\"_id\": {\"collection\": \"users\", \"id\": %d}}", i ? ", " : "", i));
   }
   assert_true (ecl_buf_printf (&reply, "]}}"));
   script[0].reply = ecl_buf_cstr (&reply);
   try_again ((ecl_strategy_t){0}, script, 0, &counts);
   ecl_buf_cleanup (&reply);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_a_record_that_came_meanwhile), cmocka_unit_test (test_an_id_that_several_have),
      cmocka_unit_test (test_without_transactions),         cmocka_unit_test (test_what_a_validator_refuses),
      cmocka_unit_test (test_cursors_that_are_lost),        cmocka_unit_test (test_too_many),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
