/* Fuzz target: filters and $jsonSchema. The input is a list in YAML or JSON, or (first byte odd) in BSON: a filter or
 * schema and documents. */
#include "fuzz_mql.h"

#include "mql/match.h"
#include "mql/schema.h"

static void
explain (void *context, const ecl_schema_problem_t *problem)
{
   size_t *n = context;

   FUZZ_ASSERT (problem->path && problem->keyword && *problem->keyword && problem->expected);
   ++*n;
}

static void
run_filter (const ecl_field_t *spec, const ecl_value_t *document)
{
   ecl_match_options_t options = {.report = fuzz_report};
   ecl_match_t *match;
   ecl_eval_t ev;
   bson_error_t error = {0};
   bool first, second, whole;
   size_t n;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return;
   }
   match = ecl_match_new (&spec->value, &options);
   if (match) {
      ecl_eval_init (&ev);
      ecl_match_paths (match, &n, &whole);
      if (ecl_match_run (match, &ev, document, &first, &error)) {
         FUZZ_ASSERT (ecl_match_run (match, &ev, document, &second, NULL) && first == second);
      } else {
         FUZZ_ASSERT (error.message[0]);
      }
      ecl_eval_cleanup (&ev);
   }
   ecl_match_destroy (match);
}

static void
run_schema (const ecl_field_t *spec, const ecl_value_t *document)
{
   ecl_schema_options_t options = {.report = fuzz_report};
   ecl_schema_t *schema = ecl_schema_new (spec, &options);
   ecl_eval_t ev;
   size_t problems = 0;
   bool valid;

   if (schema) {
      ecl_eval_init (&ev);
      ecl_schema_run (schema, &ev, document, &valid);
      /* What is broken is explained, and nothing else is. */
      FUZZ_ASSERT (ecl_schema_explain (schema, &ev, document, explain, &problems) == valid);
      FUZZ_ASSERT (valid == (problems == 0));
      ecl_eval_cleanup (&ev);
   }
   ecl_schema_destroy (schema);
}

static void
run_list (const ecl_value_t *list)
{
   ecl_field_t spec, other;
   ecl_iter_t iter;

   ecl_iter_init (&iter, list);
   if (!ecl_iter_field (&iter, &spec)) {
      return;
   }
   for (int i = 0; i < 4 && ecl_iter_field (&iter, &other); i++) {
      if (other.value.type == BSON_TYPE_DOCUMENT) {
         run_filter (&spec, &other.value);
         run_schema (&spec, &other.value);
      }
   }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
   ecl_text_source_t source = {.name = "fuzz", .bytes = data + 1, .len = size - 1};
   ecl_text_t text;
   ecl_diags_t diags;
   ecl_value_t root, list;

   if (size < 1) {
      return 0;
   }
   if (data[0] & 1) {
      uint8_t *bson = malloc (size > 1 ? size - 1 : 1);

      memcpy (bson, data + 1, size - 1);
      if (ecl_bson_validate (bson, size - 1, NULL)) {
         list = ecl_raw_document (bson, size - 1);
         run_list (&list);
      }
      free (bson);
      return 0;
   }
   ecl_text_init (&text);
   ecl_diags_init (&diags);
   if (ecl_text_read_any (&text, &source, ECL_TEXT_ANY_VALUE, &diags)) {
      root = ecl_raw_document (text.doc, text.len);
      list = ecl_document_get (&root, "", 0);
      if (list.type == BSON_TYPE_ARRAY) {
         run_list (&list);
      }
   }
   ecl_diags_cleanup (&diags);
   ecl_text_cleanup (&text);
   return 0;
}
