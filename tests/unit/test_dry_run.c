/* Documents tried without writing: in a sample, and each by itself. */
#include "project_check.h"

#include "backfill/dry_run.h"
#include "upgrade/upgrade.h"

#define STEP "to: 2\ndescription: d\nup:\n  - $set: {name: $code}\n  - $unset: code\n"
#define LOOKUP                                                                       \
   "to: 2\ndescription: d\nup:\n"                                                    \
   "  - $lookup: {from: products, localField: kind, foreignField: _id, as: found}\n" \
   "  - $set: {n: {$size: $found}}\n"                                                \
   "  - $unset: found\n"

typedef struct {
   const char *step;
   ecl_dry_run_how_t how;
   ecl_strategy_t strategy;
   bool transactions;
} dry_run_case_t;

/* What comes of documents, one after the other; the last one's code. */
static int32_t
check (const dry_run_case_t *what, const char *const *documents, const ecl_tried_t *expected, size_t n)
{
   const file_t files[] = {{"users/0002_step.yaml", what->step}, {0}};
   ecl_project_t *project = load_good ("database: shop\ncollections: {users: {unversioned: 1}}\n", files);
   ecl_upgrades_t *upgrades = ecl_upgrades_new (project);
   ecl_site_t site = {.project = project, .upgrades = upgrades, .database = "shop"};
   ecl_strategy_t strategy = what->strategy;
   ecl_converted_t out = {0};
   ecl_dry_run_t *dry_run;
   bson_error_t error;

   site.server.transactions = what->transactions;
   strategy.chain = ecl_project_chain (project, "users");
   strategy.target = 1;
   dry_run = ecl_dry_run_new (&site, &strategy, what->how, &error);
   assert_non_null (dry_run);
   for (size_t i = 0; i < n; i++) {
      bson_t *document = bson_new_from_json ((const uint8_t *) documents[i], -1, &error);
      ecl_value_t value = ecl_raw_document (bson_get_data (document), document->len);

      assert_int_equal (ecl_dry_run_try (dry_run, &value, true, &out), expected[i]);
      assert_true (expected[i] != ECL_TRIED_FAILS || *out.message);
      bson_destroy (document);
   }
   ecl_dry_run_destroy (dry_run);
   ecl_upgrades_destroy (upgrades);
   ecl_project_destroy (project);
   return out.code;
}

/* Of two that get the same key the second one fails; by itself each may go. */
static void
test_unique_keys (void **state)
{
   static const char *const documents[] = {"{\"_id\": 1, \"code\": \"a\"}", "{\"_id\": 2, \"code\": \"a\"}",
                                           "{\"_id\": 3, \"name\": \"a\", \"schema_version\": 2}"};
   static const ecl_tried_t sample[] = {ECL_TRIED_GOES, ECL_TRIED_FAILS, ECL_TRIED_NOTHING};
   static const ecl_tried_t single[] = {ECL_TRIED_GOES, ECL_TRIED_GOES, ECL_TRIED_NOTHING};
   bson_t *keys = BCON_NEW ("name", BCON_INT32 (1));
   ecl_index_t index = {
      .name = "name_1", .keys = ecl_raw_document (bson_get_data (keys), keys->len), .unique = true, .exact = true};
   dry_run_case_t what = {.step = STEP, .strategy.facts = {.indexes = &index, .n_indexes = 1}, .transactions = true};

   (void) state;
   what.how = ECL_DRY_RUN_SAMPLE;
   check (&what, documents, sample, 3);
   what.how = ECL_DRY_RUN_SINGLE;
   check (&what, documents, single, 3);
   bson_destroy (keys);
}

/* What only a transaction could write, on a server that has none: where all is pushed down it needs none. */
static void
test_transactions (void **state)
{
   static const char *const documents[] = {"{\"_id\": 1, \"code\": \"a\"}"};
   static const ecl_tried_t fails[] = {ECL_TRIED_FAILS}, goes[] = {ECL_TRIED_GOES};
   dry_run_case_t what = {.step = STEP, .strategy.facts.collation.type = BSON_TYPE_DOCUMENT};

   (void) state;
   what.strategy.mode = ECL_MODE_CLIENT;
   assert_int_equal (check (&what, documents, fails, 1), ECL_ERROR_UNSUPPORTED);
   what.strategy.mode = ECL_MODE_PUSHDOWN;
   check (&what, documents, goes, 1);
   what.how = ECL_DRY_RUN_SINGLE;
   assert_int_equal (check (&what, documents, fails, 1), ECL_ERROR_UNSUPPORTED);
   what.transactions = true;
   check (&what, documents, goes, 1);
}

/* What it looks up did not fit: it is not here. */
static void
test_looks_up_too_much (void **state)
{
   static const char *const documents[] = {"{\"_id\": 1, \"kind\": 7}"};
   static const ecl_tried_t fails[] = {ECL_TRIED_FAILS};
   dry_run_case_t what = {.step = LOOKUP, .strategy.mode = ECL_MODE_CLIENT, .transactions = true};

   (void) state;
   assert_int_equal (check (&what, documents, fails, 1), ECL_ERROR_TOO_LARGE);
   what.how = ECL_DRY_RUN_SINGLE;
   assert_int_equal (check (&what, documents, fails, 1), ECL_ERROR_TOO_LARGE);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_unique_keys),
      cmocka_unit_test (test_transactions),
      cmocka_unit_test (test_looks_up_too_much),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
