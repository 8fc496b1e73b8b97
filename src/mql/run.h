/* What a running plan keeps between documents: slots and output buffers. Part of the evaluator. */
#ifndef ECL_MQL_RUN_H
#define ECL_MQL_RUN_H

#include "base/buf.h"
#include "mql/expr.h"

typedef struct ecl_run_state_t ecl_run_state_t;

void
ecl_run_state_destroy (ecl_run_state_t *self);

#endif
