/* The forms of cases that are no pipelines: see runners.h. */
#include "runners.h"

#include "mql/match.h"
#include "mql/schema.h"

/* {schema, doc, valid} */
static bool
run_schema (ecl_eval_t *ev, const ecl_field_t *spec, const ecl_value_t *document, bool *valid,
            ecl_case_problem_t *problem)
{
   ecl_schema_options_t options = {.report = ecl_case_report, .report_context = problem};
   ecl_schema_t *schema = ecl_schema_new (spec, &options);

   if (!schema) {
      return false;
   }
   ecl_schema_run (schema, ev, document, valid);
   ecl_schema_destroy (schema);
   return true;
}

static bool
run_filter (ecl_eval_t *ev, const ecl_value_t *filter, const ecl_value_t *document, bool *matches,
            ecl_case_problem_t *problem)
{
   ecl_match_options_t options = {.report = ecl_case_report, .report_context = problem};
   ecl_match_t *match = ecl_match_new (filter, &options);
   bson_error_t error;
   bool ok = false;

   if (match) {
      ok = ecl_match_run (match, ev, document, matches, &error);
      if (!ok) {
         ecl_case_report (problem, NULL, error.code, error.message);
      }
   }
   ecl_match_destroy (match);
   return ok;
}

bool
ecl_case_run_other (ecl_eval_t *ev, const ecl_value_t *line, ecl_value_t *expected, ecl_value_t *got,
                    ecl_case_problem_t *problem, bool *ok)
{
   static const uint8_t empty[5] = {5};
   ecl_value_t document = ecl_document_get (line, "doc", 3);
   ecl_field_t spec;
   bool answer = false;

   memset (problem, 0, sizeof *problem);
   if (document.type == ECL_MISSING) {
      document = ecl_raw_document (empty, sizeof empty);
   }
   if (ecl_case_field (line, "filter", &spec)) {
      *expected = ecl_document_get (line, "matches", 7);
      *ok = run_filter (ev, &spec.value, &document, &answer, problem);
   } else if (ecl_case_field (line, "schema", &spec)) {
      *expected = ecl_document_get (line, "valid", 5);
      *ok = run_schema (ev, &spec, &document, &answer, problem);
   } else {
      return false;
   }
   *got = ecl_bool (answer);
   return true;
}
