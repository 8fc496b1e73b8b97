/* The forms of cases that are no pipelines: filters and schemas. */
#ifndef ECL_TESTS_RUNNERS_H
#define ECL_TESTS_RUNNERS_H

#include "case.h"

/* Runs a case {filter, doc, matches} or {schema, doc, valid}: expected and got are booleans, *ok is false (with the
 * problem) where the filter or schema is refused. False where the line is neither. */
bool
ecl_case_run_other (ecl_eval_t *ev, const ecl_value_t *line, ecl_value_t *expected, ecl_value_t *got,
                    ecl_case_problem_t *problem, bool *ok);

#endif
