/* The nodes that are not operators: how each is evaluated. For the parser and the linker. */
#ifndef ECL_MQL_NODES_H
#define ECL_MQL_NODES_H

#include "mql/expr.h"

/* "$a.b" found in ev->root */
bool
ecl_node_field (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out);

/* "$a" in a slot; "$a.b" below a slot: what the linker makes of ecl_node_field */
bool
ecl_node_slot (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out);

bool
ecl_node_slot_path (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out);

bool
ecl_node_var (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out);

bool
ecl_node_root (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out);

bool
ecl_node_now (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out);

bool
ecl_node_object (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out);

bool
ecl_node_array (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out);

#endif
