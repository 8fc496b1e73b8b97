/* The forms of cases that are no pipelines: see runners.h. */
#include "runners.h"

bool
ecl_case_run_other (ecl_eval_t *ev, const ecl_value_t *line, ecl_value_t *expected, ecl_value_t *got,
                    ecl_case_problem_t *problem, bool *ok)
{
   (void) ev;
   (void) line;
   (void) expected;
   (void) got;
   (void) problem;
   (void) ok;
   return false;
}
