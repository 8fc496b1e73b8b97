/* eclose test: the examples in the migration files, up and down. */
#include "cli/commands.h"

#include "upgrade/diff.h"
#include "upgrade/example.h"

typedef struct {
   ecl_cli_t *cli;
   ecl_upgrades_t *upgrades;
   ecl_arena_t arena;
   size_t passed, failed, lossy, without; /* without: migrations that have no examples */
} tests_t;

/* What is told about one example. */
typedef struct {
   const ecl_chain_t *chain;
   const ecl_step_t *step;
   size_t number; /* from 1 */
   ecl_text_pos_t pos;
   const ecl_example_result_t *result;
   ecl_differences_t wrong, lost;
} told_t;

static void
print_diff (const tests_t *tests, const ecl_differences_t *diff)
{
   ecl_diff_style_t style = {.colour = tests->cli->colour, .indent = "      "};
   ecl_buf_t out;

   ecl_buf_init (&out, 64u * 1024 * 1024);
   if (ecl_diff_print (diff, &style, &out)) {
      fwrite (out.data, 1, out.len, stdout);
   }
   ecl_buf_cleanup (&out);
}

static void
print_text (const tests_t *tests, const told_t *told)
{
   static const char *const backs[] = {
      [ECL_BACK_NONE] = "up",
      [ECL_BACK_IRREVERSIBLE] = "up (irreversible)",
      [ECL_BACK_SAME] = "up and down",
      [ECL_BACK_LOSSY] = "up; down loses something",
      [ECL_BACK_FAILED] = "up; down fails",
   };
   const ecl_example_result_t *result = told->result;
   bool passed = result->passed;

   printf ("  %s%s%s example %zu (%s:%u:%u): %s\n", ecl_cli_colour (tests->cli, passed ? ECL_CLI_GREEN : ECL_CLI_RED),
           passed ? "ok  " : "FAIL", ecl_cli_colour (tests->cli, ECL_CLI_PLAIN), told->number, told->step->file,
           told->pos.line, told->pos.column, result->ran ? backs[result->back] : "up fails");
   if (!result->ran || result->back == ECL_BACK_FAILED) {
      printf ("      %s\n", result->error.message);
   }
   if (told->wrong.n) {
      printf ("    not as promised in `out`, from what was promised to what came:\n");
      print_diff (tests, &told->wrong);
   }
   for (size_t i = 0; i < result->n_broken; i++) {
      printf ("    breaks the schema: %s: %s\n", result->broken[i].path, result->broken[i].expected);
   }
   if (result->back == ECL_BACK_LOSSY) {
      printf ("    lost on the way up and down, from `in` to what came back:\n");
      print_diff (tests, &told->lost);
   }
}

static void
print_json (const told_t *told)
{
   static const char *const backs[] = {
      [ECL_BACK_NONE] = "none",     [ECL_BACK_IRREVERSIBLE] = "irreversible",
      [ECL_BACK_SAME] = "same",     [ECL_BACK_LOSSY] = "lossy",
      [ECL_BACK_FAILED] = "failed",
   };
   const ecl_example_result_t *result = told->result;
   bson_t line = BSON_INITIALIZER, list, rule;

   BSON_APPEND_UTF8 (&line, "collection", told->chain->collection);
   BSON_APPEND_UTF8 (&line, "migration", told->step->name);
   BSON_APPEND_INT32 (&line, "example", (int32_t) told->number);
   BSON_APPEND_UTF8 (&line, "file", told->step->file);
   BSON_APPEND_INT32 (&line, "line", (int32_t) told->pos.line);
   BSON_APPEND_BOOL (&line, "passed", result->passed);
   BSON_APPEND_UTF8 (&line, "down", backs[result->back]);
   if (!result->ran || result->back == ECL_BACK_FAILED) {
      BSON_APPEND_UTF8 (&line, "error", result->error.message);
   }
   BSON_APPEND_ARRAY_BEGIN (&line, "differences", &list);
   ecl_diff_append (&told->wrong, &list);
   bson_append_array_end (&line, &list);
   BSON_APPEND_ARRAY_BEGIN (&line, "lost", &list);
   ecl_diff_append (&told->lost, &list);
   bson_append_array_end (&line, &list);
   BSON_APPEND_ARRAY_BEGIN (&line, "schema", &list);
   for (size_t i = 0; i < result->n_broken; i++) {
      char key[24];

      snprintf (key, sizeof key, "%zu", i);
      bson_append_document_begin (&list, key, -1, &rule);
      BSON_APPEND_UTF8 (&rule, "path", result->broken[i].path);
      BSON_APPEND_UTF8 (&rule, "rule", result->broken[i].expected);
      bson_append_document_end (&list, &rule);
   }
   bson_append_array_end (&line, &list);
   ecl_cli_json (&line);
   bson_destroy (&line);
}

static void
test_example (tests_t *tests, const ecl_chain_t *chain, const ecl_step_t *step, size_t i)
{
   told_t told = {.chain = chain, .step = step, .number = i + 1};
   ecl_example_result_t result;

   ecl_arena_reset (&tests->arena);
   ecl_example_run (tests->upgrades, chain, step, &step->examples[i], &tests->arena, &result);
   ecl_text_locate (step->text, step->examples[i].at, &told.pos);
   told.result = &result;
   if (result.ran) {
      told.wrong = ecl_diff (&tests->arena, &result.wanted, &result.got, ECL_DIFF_NO_RENAMES);
   }
   if (result.back == ECL_BACK_LOSSY) {
      told.lost = ecl_diff (&tests->arena, &result.in, &result.returned, ECL_DIFF_ANY_ORDER);
   }
   tests->passed += result.passed;
   tests->failed += !result.passed;
   tests->lossy += result.back == ECL_BACK_LOSSY;
   if (tests->cli->json) {
      print_json (&told);
   } else {
      print_text (tests, &told);
   }
}

static void
test_chain (tests_t *tests, const ecl_chain_t *chain)
{
   for (size_t i = 0; i < chain->n_steps; i++) {
      const ecl_step_t *step = &chain->steps[i];

      tests->without += !step->n_examples;
      if (!tests->cli->json) {
         printf ("%s%s %s%s%s\n", ecl_cli_colour (tests->cli, ECL_CLI_BOLD), chain->collection, step->name,
                 ecl_cli_colour (tests->cli, ECL_CLI_PLAIN), step->n_examples ? "" : ": no examples");
      }
      for (size_t k = 0; k < step->n_examples; k++) {
         test_example (tests, chain, step, k);
      }
   }
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_project_t *project = ecl_cli_load (cli);
   tests_t tests = {.cli = cli};
   const ecl_chain_t *only, *chains;
   size_t n;

   if (!project) {
      return ECL_EXIT_FAILED;
   }
   if (!ecl_cli_chain (cli, project, 0, &only)) {
      ecl_project_destroy (project);
      return ECL_EXIT_FAILED;
   }
   tests.upgrades = ecl_upgrades_new (project);
   ecl_arena_init (&tests.arena);
   chains = ecl_project_chains (project, &n);
   for (size_t i = 0; i < n; i++) {
      if (!only || only == &chains[i]) {
         test_chain (&tests, &chains[i]);
      }
   }
   if (!cli->json) {
      printf ("%zu passed, %zu failed, %zu with a way down that loses something", tests.passed, tests.failed,
              tests.lossy);
      if (tests.without) {
         printf ("; %zu migration%s without examples", tests.without, tests.without == 1 ? "" : "s");
      }
      printf ("\n");
   }
   ecl_arena_cleanup (&tests.arena);
   ecl_upgrades_destroy (tests.upgrades);
   ecl_project_destroy (project);
   return tests.failed ? ECL_EXIT_FAILED : ECL_EXIT_OK;
}

const ecl_command_t ecl_cmd_test = {
   .name = "test",
   .arguments = "[COLLECTION]",
   .summary = "run the examples in the migration files",
   .about = "Carries `in` of each example up, compares with `out`, and carries the result down\n"
            "again. A difference from `out` fails; what the way back loses is reported.\n"
            "No server is needed.",
   .max_args = 1,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_FORMAT,
   .run = run,
};
