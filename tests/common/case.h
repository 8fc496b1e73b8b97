/* What the runners of cases share: a case is one line of JSON. */
#ifndef ECL_TESTS_CASE_H
#define ECL_TESTS_CASE_H

#include "mql/plan.h"
#include "text/text.h"

/* How an expected value is compared; see the README of the conformance cases. */
typedef enum {
   ECL_CASE_EXACT,         /* types, values, order of fields and elements; -0.0 is not 0.0 */
   ECL_CASE_UNORDERED,     /* exact, with arrays at every depth as multisets */
   ECL_CASE_ULP,           /* doubles within a relative 1e-13, decimals within 1e-30 */
   ECL_CASE_NUM,           /* numbers by value, whatever their type */
   ECL_CASE_NUM_UNORDERED, /* that, with the order of elements and of fields ignored */
} ecl_case_compare_t;

bool
ecl_case_equal (const ecl_value_t *a, const ecl_value_t *b, ecl_case_compare_t how);

/* The first problem that a parser reported. */
typedef struct {
   uint32_t code;
   char message[512];
} ecl_case_problem_t;

void
ecl_case_report (void *problem, const uint8_t *at, uint32_t code, const char *message);

/* Runs a pipeline on a document; false with the problem where parsing or running fails. The result lives in ev. */
bool
ecl_case_run (ecl_eval_t *ev, const ecl_value_t *pipeline, const ecl_value_t *document, ecl_value_t *out,
              ecl_case_problem_t *problem);

/* Evaluates an expression on a document. The text's bytes and the arena must live as long as the result. */
bool
ecl_case_evaluate (ecl_eval_t *ev, ecl_arena_t *arena, const ecl_field_t *expression, const ecl_value_t *document,
                   ecl_value_t *out, ecl_case_problem_t *problem);

/* The value as canonical Extended JSON, for people; static storage. */
const char *
ecl_case_text (const ecl_value_t *v);

/* A field of a document, with its key, so that a parser can report where it stands. */
bool
ecl_case_field (const ecl_value_t *document, const char *key, ecl_field_t *out);

/* True where the expected error (true, a code or a list of codes) covers this code. */
bool
ecl_case_code_matches (const ecl_value_t *expected, uint32_t code);

#endif
