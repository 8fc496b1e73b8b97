/* Queries over mixed versions, of any migrations, filters and documents: what the pipeline of query.c finds, stage by
 * stage, is what the upgrader makes of each document and the filter then finds, once. The order of fields does not count: what
 * $replaceWith leaves out has a place that $mergeObjects, which keeps the _id in a query, does not know. */
#include "any_upgrade.h"

#include "mql/match.h"
#include "upgrade/diff.h"
#include "upgrade/query.h"
#include "upgrade/upgrade.h"

#define PROJECTS 100
#define FILTERS 12
#define DOCUMENTS 12

/* ---- migrations and filters: %s is one of the fields ---- */

static const char *const stages[] = {
   "{\"$set\": {\"%s\": \"$%s\"}}",
   "{\"$set\": {\"%s\": \"$%s\"}}",
   "{\"$set\": {\"%s\": 1}}",
   "{\"$set\": {\"%s\": null}}",
   "{\"$set\": {\"%s\": {\"$literal\": [1]}}}",
   "{\"$set\": {\"%s.a\": \"$%s\"}}",
   "{\"$set\": {\"%s\": {\"$ifNull\": [\"$%s\", 2]}}}",
   "{\"$set\": {\"%s\": \"$$REMOVE\"}}",
   "{\"$set\": {\"%s\": \"$%s.a\"}}",
   "{\"$addFields\": {\"f0\": \"$f1\", \"f1\": \"$f0\"}}",
   "{\"$unset\": \"%s\"}",
   "{\"$unset\": [\"f0\", \"f1.a\"]}",
   "{\"$project\": {\"%s\": 0}}",
   "{\"$project\": {\"_id\": 0, \"%s\": 0}}",
   "{\"$replaceWith\": {\"f0\": \"$%s\", \"f1\": \"$%s\"}}",
   "{\"$replaceWith\": {\"$mergeObjects\": [\"$$ROOT\", {\"%s\": 2}]}}",
   "{\"$replaceRoot\": {\"newRoot\": {\"_id\": \"$_id\", \"f2\": \"$%s\"}}}",
   "{\"$unset\": [\"_id\", \"%s\"]}",
};

static const char *const filters[] = {
   "{\"%s\": 1}",
   "{\"%s\": null}",
   "{\"%s\": {\"$exists\": false}}",
   "{\"%s\": {\"$ne\": 1}}",
   "{\"%s\": {\"$gt\": 1}}",
   "{\"%s.a\": 1}",
   "{\"%s.a\": {\"$exists\": true}}",
   "{\"%s\": {\"$in\": [1, null]}}",
   "{\"%s\": {\"$type\": \"array\"}}",
   "{\"%s\": 1, \"%s\": {\"$lt\": 3}}",
   "{\"$or\": [{\"%s\": 1}, {\"%s\": 2}]}",
   "{\"$and\": [{\"%s\": {\"$not\": {\"$gt\": 1}}}, {\"%s\": {\"$exists\": true}}]}",
   "{\"$nor\": [{\"%s\": 1}, {\"%s\": 2}]}",
   "{\"$or\": [{\"%s\": {\"$size\": 1}}, {\"$expr\": {\"$eq\": [\"$%s\", 2]}}]}",
   "{\"_id\": {\"$lt\": 500}, \"%s\": {\"$gte\": 1}}",
   "{}",
};

#define ANY(list) (list)[pick (sizeof (list) / sizeof *(list))]

/* The text with names of fields for each %s. */
static char *
fill (const char *text)
{
   bson_string_t *out = bson_string_new (NULL);
   const char *hole;

   for (; (hole = strstr (text, "%s")); text = hole + 2) {
      bson_string_append_printf (out, "%.*sf%u", (int) (hole - text), text, pick (4));
   }
   bson_string_append (out, text);
   return bson_string_free (out, false);
}

static char *
any_way (const char *name)
{
   bson_string_t *out = bson_string_new (NULL);

   bson_string_append_printf (out, ", \"%s\": [", name);
   for (uint32_t n = 1 + pick (3), i = 0; i < n; i++) {
      char *stage = fill (ANY (stages));

      bson_string_append_printf (out, "%s%s", i ? ", " : "", stage);
      bson_free (stage);
   }
   bson_string_append (out, "]");
   return bson_string_free (out, false);
}

static char *
any_step (uint32_t step)
{
   char *up = any_way ("up"), *down = any_way ("down"), *both = bson_strdup_printf ("%s%s", up, down);

   (void) step;
   bson_free (up);
   bson_free (down);
   return both;
}

static void
append_any (bson_t *out, const char *name)
{
   bson_t child;

   switch (pick (8)) {
   case 0:
      break;
   case 1:
      BSON_APPEND_NULL (out, name);
      break;
   case 2:
      BSON_APPEND_DOCUMENT_BEGIN (out, name, &child);
      if (pick (3)) {
         BSON_APPEND_INT32 (&child, "a", (int32_t) pick (3));
      }
      bson_append_document_end (out, &child);
      break;
   case 3:
      BSON_APPEND_ARRAY_BEGIN (out, name, &child);
      for (uint32_t i = 0, n = pick (3); i < n; i++) {
         BSON_APPEND_INT32 (&child, i ? "1" : "0", (int32_t) pick (3));
      }
      bson_append_array_end (out, &child);
      break;
   case 4:
      BSON_APPEND_UTF8 (out, name, "1");
      break;
   default:
      BSON_APPEND_INT32 (out, name, (int32_t) pick (4));
   }
}

static void
add_fields (bson_t *out)
{
   static const char *const names[] = {"f0", "f1", "f2", "f3"};
   uint32_t first = pick (4);

   for (uint32_t i = 0; i < 4; i++) {
      append_any (out, names[(first + i) % 4]);
   }
}

/* ---- the pipeline, stage by stage ---- */

static bool
matches (const ecl_value_t *filter, const bson_t *document)
{
   ecl_value_t raw = ecl_raw_document (bson_get_data (document), document->len);
   ecl_match_t *match = ecl_match_new (filter, NULL);
   bson_error_t error;
   bool matched;
   ecl_eval_t ev;

   assert_non_null (match);
   ecl_eval_init (&ev);
   assert_true (ecl_match_run (match, &ev, &raw, &matched, &error));
   ecl_eval_cleanup (&ev);
   ecl_match_destroy (match);
   return matched;
}

static void
report (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   (void) context;
   (void) at;
   fail_msg ("%u: %s", code, message);
}

static ecl_plan_t *
new_plan (void)
{
   ecl_plan_options_t options = {.report = report};

   return ecl_plan_new (&options);
}

static void
run_plan (ecl_plan_t *plan, bson_t *document)
{
   const uint8_t *out;
   bson_error_t error;
   ecl_eval_t ev;
   bson_t *made;
   size_t len;

   ecl_eval_init (&ev);
   ecl_plan_link (plan);
   if (!ecl_plan_run (plan, &ev, bson_get_data (document), document->len, &out, &len, &error)) {
      fail_msg ("%s", error.message);
   }
   made = bson_new_from_data (out, len);
   bson_destroy (document);
   bson_copy_to (made, document);
   bson_destroy (made);
   ecl_eval_cleanup (&ev);
   ecl_plan_destroy (plan);
}

/* How often the document comes out of the pipeline, the collection having only that; *out is the last of them. Stages
 * that change it are run together: fields that go and come keep their places. */
static uint32_t
run_pipeline (const ecl_value_t *pipeline, const bson_t *in, bson_t *out)
{
   ecl_iter_t iter;
   ecl_plan_t *plan = new_plan ();
   ecl_field_t stage;
   bool there = true;
   uint32_t n = 0;
   bson_t now;

   bson_copy_to (in, &now);
   ecl_iter_init (&iter, pipeline);
   while (ecl_iter_field (&iter, &stage)) {
      ecl_value_t match = ecl_document_get (&stage.value, "$match", 6);
      ecl_value_t more = ecl_document_get (&stage.value, "$unionWith", 10);

      if (ecl_is_document (&more)) {
         ecl_value_t inner = ecl_document_get (&more, "pipeline", 8);

         n += run_pipeline (&inner, in, out);
      } else if (ecl_is_document (&match)) {
         if (there) {
            run_plan (plan, &now);
            plan = new_plan ();
         }
         there = there && matches (&match, &now);
      } else {
         assert_true (ecl_plan_add_stage (plan, &stage));
      }
   }
   if (there) {
      run_plan (plan, &now);
   } else {
      ecl_plan_destroy (plan);
   }
   if (there) {
      bson_destroy (out);
      bson_copy_to (&now, out);
   }
   bson_destroy (&now);
   return n + there;
}

/* ---- the test ---- */

static bool
same (const bson_t *a, const bson_t *b)
{
   ecl_value_t x = ecl_raw_document (bson_get_data (a), a->len), y = ecl_raw_document (bson_get_data (b), b->len);

   return ecl_diff_same (&x, &y);
}

static void
check_query (const ecl_chain_t *chain, ecl_upgrader_t *upgrader, size_t target, const setting_t *setting,
             uint32_t *refused, uint32_t *found)
{
   char *json = fill (ANY (filters));
   ecl_text_t filter = document (json);
   ecl_query_t query = {.filter = ecl_raw_document (filter.doc, filter.len)};
   ecl_value_t stages_of;
   bson_error_t error;
   bson_t pipeline;

   if (!ecl_query_pipeline (chain, target, &query, &pipeline, &error)) {
      assert_non_null (strstr (error.message, "what the migrations"));
      (*refused)++;
      goto done;
   }
   stages_of = ecl_raw_document (bson_get_data (&pipeline), pipeline.len);
   stages_of.type = BSON_TYPE_ARRAY;
   for (int i = 0; i < DOCUMENTS; i++) {
      bson_t in = BSON_INITIALIZER, got = BSON_INITIALIZER, *expected = NULL;
      const uint8_t *out;
      uint32_t n, wanted;
      size_t len;

      BSON_APPEND_INT32 (&in, "_id", (int32_t) pick (1000));
      add_fields (&in);
      append_level (&in, setting, 0);
      if (!ecl_upgrader_run (upgrader, bson_get_data (&in), in.len, &out, &len, NULL, &error)) {
         bson_destroy (&in); /* no version; the settings are another test's */
         continue;
      }
      expected = bson_new_from_data (out, len);
      wanted = matches (&query.filter, expected);
      n = run_pipeline (&stages_of, &in, &got);
      if (n != wanted || (n && !same (&got, expected))) {
         fail_msg ("%s to place %zu by %s: found %u times, expected %u: %s instead of %s; pipeline %s",
                   bson_as_canonical_extended_json (&in, NULL), target, json, n, wanted,
                   bson_as_canonical_extended_json (&got, NULL), bson_as_canonical_extended_json (expected, NULL),
                   bson_array_as_json (&pipeline, NULL));
      }
      *found += n;
      bson_destroy (expected);
      bson_destroy (&got);
      bson_destroy (&in);
   }

done:
   bson_destroy (&pipeline);
   ecl_text_cleanup (&filter);
   bson_free (json);
}

static void
test_any (void **state)
{
   uint32_t refused = 0, found = 0;

   (void) state;
   any_seed = 20261123;
   for (int i = 0; i < PROJECTS; i++) {
      ecl_project_t *project;
      const ecl_chain_t *chain;
      ecl_upgrades_t *shared;
      setting_t setting;

      any_setting (&setting);
      project = load_setting (&setting, any_step);
      chain = ecl_project_chain (project, "c");
      shared = ecl_upgrades_new (project);
      for (int k = 0; k < FILTERS; k++) {
         size_t target = pick (setting.n + 1);
         bson_error_t error;
         ecl_upgrader_t *upgrader = ecl_upgrader_new (shared, chain, setting.versions[target], &error);

         check_query (chain, upgrader, target, &setting, &refused, &found);
         ecl_upgrader_destroy (upgrader);
      }
      ecl_upgrades_destroy (shared);
      ecl_project_destroy (project);
   }
   assert_true (found > PROJECTS * FILTERS && refused > 0 && refused < PROJECTS * FILTERS / 2);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_any),
   };

   return cmocka_run_group_tests_name ("query any", tests, NULL, NULL);
}
