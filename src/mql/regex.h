/* Regular expressions: PCRE2 as MongoDB uses it.
 *
 * UTF-8 mode, no Unicode properties for \w \d \b, `$` also before a final newline. Options: i (case), m (multi-line),
 * s (dot matches newline), x (extended), u (accepted, does nothing). A pattern that is constant is compiled into the
 * plan; one that comes from a document is compiled into a bounded cache of the evaluator.
 */
#ifndef ECL_MQL_REGEX_H
#define ECL_MQL_REGEX_H

#include "mql/expr.h"

typedef struct ecl_regex_t ecl_regex_t;
typedef struct ecl_regex_state_t ecl_regex_state_t;

void
ecl_regex_state_destroy (ecl_regex_state_t *self);

#endif
