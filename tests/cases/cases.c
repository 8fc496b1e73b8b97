/* Replays the project's own cases: cases FILE…
 *
 * One case a line, in JSON with Extended JSON; empty lines and lines that begin with # are passed over:
 *
 *    {"expr": …, "doc": {…}, "result": …}           the value, by type and bytes
 *    {"expr": …, "doc": {…}, "missing": true}
 *    {"expr": …, "doc": {…}, "error": CODE}         or true, where any error will do
 *    {"pipeline": […], "doc": {…}, "result": {…}}   likewise with "error"
 *    {"filter": {…}, "doc": {…}, "matches": true}   or "error"
 *    {"schema": {…}, "doc": {…}, "valid": true}     or "error"
 *
 * "doc" may be left out where the case does not read it. "unordered": true compares arrays as sets; "ulp": true lets
 * doubles differ in the last digits. */
#include "case.h"
#include "runners.h"

#include <stdio.h>
#include <stdlib.h>

static const uint8_t empty[5] = {5};

/* True, or a message in why. */
static bool
run_case (ecl_eval_t *ev, const ecl_value_t *line, char *why, size_t size)
{
   ecl_value_t document = ecl_document_get (line, "doc", 3);
   ecl_value_t error = ecl_document_get (line, "error", 5);
   ecl_value_t result = ecl_document_get (line, "result", 6);
   ecl_value_t missing = ecl_document_get (line, "missing", 7);
   ecl_value_t unordered = ecl_document_get (line, "unordered", 9);
   ecl_value_t ulp = ecl_document_get (line, "ulp", 3);
   ecl_value_t got = ecl_missing ();
   ecl_case_compare_t how = ecl_truthy (&unordered) ? ECL_CASE_UNORDERED
                            : ecl_truthy (&ulp)     ? ECL_CASE_ULP
                                                    : ECL_CASE_EXACT;
   ecl_case_problem_t problem = {0};
   ecl_field_t field;
   ecl_arena_t arena;
   bool ok, good = false;

   ecl_arena_init (&arena);
   if (document.type == ECL_MISSING) {
      document = ecl_raw_document (empty, sizeof empty);
   }
   if (ecl_case_field (line, "expr", &field)) {
      ok = ecl_case_evaluate (ev, &arena, &field, &document, &got, &problem);
   } else if (ecl_case_field (line, "pipeline", &field)) {
      ok = ecl_case_run (ev, &field.value, &document, &got, &problem);
   } else if (!ecl_case_run_other (ev, line, &result, &got, &problem, &ok)) {
      snprintf (why, size, "no such form of case");
      goto done;
   }
   if (error.type != ECL_MISSING) {
      if (ok) {
         snprintf (why, size, "should fail, got %s", ecl_case_text (&got));
      } else if (!ecl_case_code_matches (&error, problem.code)) {
         snprintf (why, size, "failed with %u (%s)", problem.code, problem.message);
      } else {
         good = true;
      }
   } else if (!ok) {
      snprintf (why, size, "failed with %u (%s)", problem.code, problem.message);
   } else if (result.type == ECL_MISSING && !ecl_truthy (&missing)) {
      snprintf (why, size, "the case says nothing of the result");
   } else if (!ecl_case_equal (&got, &result, how)) {
      snprintf (why, size, "got %s", ecl_case_text (&got));
   } else {
      good = true;
   }
done:
   ecl_arena_cleanup (&arena);
   return good;
}

static unsigned
replay (const char *path, unsigned *n)
{
   FILE *file = fopen (path, "r");
   char *line = NULL;
   size_t cap = 0;
   ssize_t len;
   unsigned number = 0, wrong = 0;
   ecl_eval_t ev;

   if (!file) {
      printf ("%s cannot be read\n", path);
      return 1;
   }
   ecl_eval_init (&ev);
   while ((len = getline (&line, &cap, file)) > 0) {
      ecl_text_source_t source = {.name = path, .bytes = line, .len = (size_t) len};
      ecl_text_t text;
      ecl_diags_t diags;
      ecl_value_t root;
      char why[1000] = "the line cannot be read";
      bool good = false;

      number++;
      if (line[0] == '#' || line[0] == '\n') {
         continue;
      }
      ++*n;
      ecl_text_init (&text);
      ecl_diags_init (&diags);
      if (ecl_text_read_json (&text, &source, ECL_TEXT_DUPLICATES | ECL_TEXT_NO_MAP, &diags)) {
         root = ecl_raw_document (text.doc, text.len);
         good = run_case (&ev, &root, why, sizeof why);
      }
      if (!good) {
         printf ("%s:%u: %s\n   %s", path, number, why, line);
         wrong++;
      }
      ecl_text_cleanup (&text);
      ecl_diags_cleanup (&diags);
   }
   ecl_eval_cleanup (&ev);
   free (line);
   fclose (file);
   return wrong;
}

int
main (int argc, char **argv)
{
   unsigned n = 0, wrong = 0;

   for (int i = 1; i < argc; i++) {
      wrong += replay (argv[i], &n);
   }
   printf ("%u cases, %u wrong\n", n, wrong);
   return wrong || n == 0;
}
