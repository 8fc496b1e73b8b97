/* Examples, run: see example.h.
 *
 * An example need not name versions. Where `in` has none it is a document of the version before the migration's; where
 * `out` has none the stamp is left away, and so is the version of `in`.
 */
#include "upgrade/example.h"

#include "mql/schema.h"
#include "upgrade/diff.h"
#include "upgrade/field.h"
#include "upgrade/upgrade-private.h"

typedef struct {
   ecl_upgrades_t *shared;
   const ecl_chain_t *chain;
   ecl_arena_t *arena;
   ecl_eval_t ev;
   ecl_example_result_t *result;
} run_t;

/* Runs a plan; the result is in the arena. False with result->error, which says where the expression stands. */
static bool
carry (run_t *run, const ecl_plan_t *plan, const ecl_value_t *in, ecl_value_t *out)
{
   bson_error_t *error = &run->result->error;
   const ecl_step_t *step;
   ecl_text_pos_t pos;
   ecl_value_t raw;
   const uint8_t *doc;
   size_t len;

   if (ecl_plan_run (plan, &run->ev, in->u.raw, in->len, &doc, &len, error)) {
      raw = ecl_raw_document (doc, len);
      *out = ecl_value_copy (run->arena, &raw);
      return true;
   }
   step = run->ev.failed ? ecl_chain_step_at (run->chain, run->ev.failed->source) : NULL;
   if (step && ecl_text_locate (step->text, run->ev.failed->source, &pos)) {
      ecl_error_prefix (error, "%s:%u:%u", step->file, pos.line, pos.column);
   }
   return false;
}

static bool
carry_between (run_t *run, size_t from, size_t to, bool stamp, const ecl_value_t *in, ecl_value_t *out)
{
   const ecl_plan_t *plan;

   return ecl_upgrades_plan_of (run->shared, run->chain, from, to, stamp, &plan, &run->result->error) &&
          carry (run, plan, in, out);
}

/* Takes the version field out, as {$unset: field} does. */
static bool
without_version (run_t *run, const ecl_value_t *in, ecl_value_t *out)
{
   bson_t pipeline = BSON_INITIALIZER, stage;
   ecl_plan_options_t options = {0};
   ecl_plan_t *plan = ecl_plan_new (&options);
   ecl_value_t list;
   bool ok;

   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
   BSON_APPEND_UTF8 (&stage, "$unset", run->chain->version_field);
   bson_append_document_end (&pipeline, &stage);
   list = ecl_raw_document (bson_get_data (&pipeline), pipeline.len);
   list.type = BSON_TYPE_ARRAY;
   ok = ecl_plan_add_pipeline (plan, &list, NULL);
   if (ok) {
      ecl_plan_link (plan);
      ok = carry (run, plan, in, out);
   }
   ecl_plan_destroy (plan);
   bson_destroy (&pipeline);
   return ok;
}

/* ---- schema ---- */

typedef struct {
   run_t *run;
   ecl_broken_rule_t *items;
   size_t n, cap;
} broken_t;

static void
note_broken (void *context, const ecl_schema_problem_t *problem)
{
   broken_t *broken = context;
   ecl_arena_t *arena = broken->run->arena;

   if (broken->n == broken->cap) {
      size_t cap = broken->cap ? 2 * broken->cap : 8;

      broken->items =
         ecl_arena_grow (arena, broken->items, broken->cap * sizeof *broken->items, cap * sizeof *broken->items);
      broken->cap = cap;
   }
   broken->items[broken->n++] = (ecl_broken_rule_t){
      .path = ecl_arena_strndup (arena, problem->path, strlen (problem->path)),
      .expected = ecl_arena_printf (arena, "%s: expected %s, found %s", problem->keyword, problem->expected,
                                    ecl_value_text (arena, problem->found)),
   };
}

/* The schema of a version is that of a stored document: stamped. */
static void
check_schema (run_t *run, size_t from, size_t to, const ecl_value_t *in)
{
   const ecl_step_t *step = &run->chain->steps[to - 1];
   ecl_field_t spec = ecl_field ("schema", 6, step->schema);
   broken_t broken = {.run = run};
   ecl_schema_t *schema;
   ecl_value_t stamped;

   if (ecl_is_missing (&step->schema) || !carry_between (run, from, to, true, in, &stamped)) {
      return;
   }
   schema = ecl_schema_new (&spec, NULL);
   if (schema) {
      ecl_schema_explain (schema, &run->ev, &stamped, note_broken, &broken);
   }
   ecl_schema_destroy (schema);
   run->result->broken = broken.items;
   run->result->n_broken = broken.n;
}

/* ---- the example ---- */

/* Carries the result down again and compares it with `in`. strip: `out` names a version and `in` does not, so what goes
 * down has its version taken out first. */
static void
go_back (run_t *run, size_t from, size_t to, bool stamp, bool strip)
{
   ecl_example_result_t *result = run->result;
   ecl_value_t up = result->got;

   result->back = ECL_BACK_SAME;
   for (size_t i = from; i < to; i++) {
      if (run->chain->steps[i].down.kind == ECL_WAY_NONE) {
         result->back = ECL_BACK_NONE;
         return;
      }
      if (run->chain->steps[i].down.kind == ECL_WAY_IRREVERSIBLE) {
         result->back = ECL_BACK_IRREVERSIBLE;
      }
   }
   if (result->back != ECL_BACK_SAME) {
      return;
   }
   if (strip && !without_version (run, &result->got, &up)) {
      return;
   }
   if (!carry_between (run, to, from, stamp, &up, &result->returned)) {
      result->back = ECL_BACK_FAILED;
      result->passed = false;
   } else if (!ecl_diff_same (&result->in, &result->returned)) {
      result->back = ECL_BACK_LOSSY;
   }
}

static void
run_example (run_t *run, const ecl_step_t *step, const ecl_example_t *example)
{
   ecl_example_result_t *result = run->result;
   const ecl_chain_t *chain = run->chain;
   ecl_version_field_t field;
   ecl_version_t version = step->from;
   ecl_value_t value;
   char text[ECL_VERSION_TEXT], target[ECL_VERSION_TEXT];
   bool in_has, out_has;
   size_t from, to;

   ecl_version_field_init (&field, chain->version_field);
   in_has = ecl_version_field_find (&field, example->in.u.raw, example->in.len, &value) == ECL_FIELD_FOUND;
   if (in_has && !ecl_version_from_document (chain->format, &value, &version)) {
      ecl_fail (&result->error, ECL_DOMAIN_UPGRADE, ECL_ERROR_VERSION, "the version field %s of `in` holds no version",
                chain->version_field);
      return;
   }
   out_has = ecl_version_field_find (&field, example->out.u.raw, example->out.len, &value) == ECL_FIELD_FOUND;
   if (!ecl_chain_index (chain, version, &from) || !ecl_chain_index (chain, example->to, &to) || from >= to) {
      ecl_fail (&result->error, ECL_DOMAIN_UPGRADE, ECL_ERROR_NO_WAY, "no way up from version %s of `in` to version %s",
                ecl_version_text (chain->format, version, text), ecl_version_text (chain->format, example->to, target));
      return;
   }
   if (in_has && !out_has && !without_version (run, &example->in, &result->in)) {
      return;
   }
   if (!carry_between (run, from, to, out_has, &result->in, &result->got)) {
      return;
   }
   result->ran = true;
   result->passed =
      result->got.len == result->wanted.len && memcmp (result->got.u.raw, result->wanted.u.raw, result->got.len) == 0;
   check_schema (run, from, to, &result->in);
   result->passed &= !result->n_broken;
   go_back (run, from, to, in_has && out_has, out_has && !in_has);
}

void
ecl_example_run (ecl_upgrades_t *shared, const ecl_chain_t *chain, const ecl_step_t *step, const ecl_example_t *example,
                 ecl_arena_t *arena, ecl_example_result_t *result)
{
   run_t run = {.shared = shared, .chain = chain, .arena = arena, .result = result};

   *result = (ecl_example_result_t){.in = example->in, .wanted = example->out};
   ecl_eval_init (&run.ev);
   run_example (&run, step, example);
   ecl_eval_cleanup (&run.ev);
}
