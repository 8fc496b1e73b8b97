/* What the tests of the backfill share: one run of it against canned replies. */
#ifndef BACKFILL_CHECK_H
#define BACKFILL_CHECK_H

#include "fake_world.h"
#include "project_check.h"

#include "backfill/backfill.h"

/* Of version 1. */
#define USER(id, k) "{\"_id\": " #id ", \"a\": \"x\", \"k\": " #k ", \"schema_version\": 1}"

/* Over the collection, one version up, as options say otherwise. hooks, last: may be NULL. */
static inline void
run_backfill (const char *config, const file_t *files, const char *collection, ecl_backfill_options_t options,
              fake_world_t *world, const ecl_backfill_hooks_t *hooks, bool good, ecl_backfill_result_t *result,
              ecl_backfill_batch_t *last)
{
   ecl_project_t *project = load_good (config, files);
   ecl_upgrades_t *upgrades = ecl_upgrades_new (project);
   bson_error_t error = {0};
   ecl_backfill_t *backfill;

   options.database = "shop";
   options.chain = ecl_project_chain (project, collection);
   options.upgrades = upgrades;
   options.target = 1;
   options.form = ECL_GUARD_IN_PIPELINE;
   backfill = ecl_backfill_new (&options, &error);
   assert_non_null (backfill);
   if (ecl_backfill_drive (backfill, &world->world, hooks, &error) != good) {
      fail_msg ("%s", error.message);
   }
   fake_done (world);
   *result = *ecl_backfill_result (backfill);
   if (last) {
      *last = *ecl_backfill_last (backfill);
   }
   assert_true (result->ended);
   ecl_backfill_destroy (backfill);
   ecl_upgrades_destroy (upgrades);
   ecl_project_destroy (project);
}

/* The same over users, to version 2. */
static inline void
run_users (ecl_backfill_options_t options, fake_world_t *world, const ecl_backfill_hooks_t *hooks, bool good,
           ecl_backfill_result_t *result, ecl_backfill_batch_t *last)
{
   static const char config[] = "database: shop\ncollections: {users: {unversioned: 1}}\n";
   static const char step[] = "to: 2\ndescription: d\nup:\n  - $set: {b: {$toUpper: $a}, n: {$add: [$k, 1]}}\n";
   const file_t files[] = {{"users/0002_step.yaml", step}, {0}};

   run_backfill (config, files, "users", options, world, hooks, good, result, last);
}

/* The same without hooks: what the script says is all that happens. */
static inline void
run_script (ecl_mode_t mode, bool transactions, const canned_t *script, bool good, ecl_backfill_result_t *result)
{
   fake_world_t world = fake_world (script);

   run_users ((ecl_backfill_options_t){.mode = mode, .transactions = transactions}, &world, NULL, good, result, NULL);
}

#endif
