/* Declarations of every operator's functions, made of operators.def. Included by the files in ops/, so that a function
 * whose signature differs from its row does not compile. */
#ifndef ECL_MQL_OPERATORS_H
#define ECL_MQL_OPERATORS_H

#include "mql/expr.h"

#define ECL_DECLARE(id) bool ecl_op_##id (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out);
#define OP(id, name, min, max, about, ex, res) ECL_DECLARE (id)
#define OP_NAMED(id, name, names, about, ex, res) ECL_DECLARE (id)
#define OP_CUSTOM(id, name, names, about, ex, res) \
   ECL_DECLARE (id)                                \
   ecl_expr_t *ecl_op_##id##_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec);
#define OP_REFUSED(name, reason)
#include "mql/operators.def"
#undef OP
#undef OP_NAMED
#undef OP_CUSTOM
#undef OP_REFUSED
#undef FAMILY
#undef ECL_DECLARE

#endif
