/* Conditions: $cond $ifNull $switch. Only the branch that is taken is evaluated. */
#include "mql/operators.h"

ecl_expr_t *
ecl_op_cond_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   static const char *const names[] = {"if", "then", "else"};
   ecl_expr_t *e;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      ecl_operator_t three = *op;

      three.min = three.max = 3;
      e = ecl_parse_positional (parse, &three, spec);
      if (e && e->kind == ECL_EXPR_OPERATOR) {
         e->op = op;
      }
   } else {
      ecl_iter_t iter;
      ecl_field_t field;

      e = ecl_parse_node (parse, op, spec, 3);
      ecl_iter_init (&iter, &spec->value);
      while (ecl_iter_field (&iter, &field)) {
         uint32_t k = ecl_key_among (&field, names, 3);

         if (k == 3) {
            return ecl_parse_fail (parse, ecl_at (&field), 17083, "Unrecognized parameter to $cond: %.*s",
                                   (int) field.key_len, field.key);
         }
         e->args[k] = ecl_parse_expr (parse, &field);
         if (!e->args[k]) {
            return NULL;
         }
      }
      for (uint32_t k = 0; k < 3; k++) {
         if (!e->args[k]) {
            return ecl_parse_fail (parse, ecl_at (spec), 17080 + k, "Missing '%s' parameter to $cond", names[k]);
         }
      }
   }
   /* A constant condition leaves one branch. */
   if (e && e->kind == ECL_EXPR_OPERATOR && ecl_is_constant (e->args[0])) {
      return ecl_truthy (&e->args[0]->constant) ? e->args[1] : e->args[2];
   }
   return e ? ecl_parse_fold (parse, e) : NULL;
}

bool
ecl_op_cond (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t condition;

   if (!ecl_expr_eval (self->args[0], ev, &condition)) {
      return false;
   }
   return ecl_expr_eval (self->args[ecl_truthy (&condition) ? 1 : 2], ev, out);
}

bool
ecl_op_ifNull (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   for (uint32_t i = 0; i + 1 < self->n; i++) {
      if (!ecl_expr_eval (self->args[i], ev, out)) {
         return false;
      }
      if (!ecl_is_nullish (out)) {
         return true;
      }
   }
   return ecl_expr_eval (self->args[self->n - 1], ev, out);
}

/* args: case, then, case, then, …, default (NULL where there is none) */
static bool
parse_branch (ecl_parse_t *parse, const ecl_field_t *branch, ecl_expr_t **args)
{
   ecl_iter_t iter;
   ecl_field_t field;

   if (branch->value.type != BSON_TYPE_DOCUMENT) {
      ecl_parse_fail (parse, ecl_at (branch), 40062, "$switch expected each branch to be an object, found: %s",
                      ecl_type_name (branch->value.type));
      return false;
   }
   ecl_iter_init (&iter, &branch->value);
   while (ecl_iter_field (&iter, &field)) {
      bool is_case = ecl_key_is (&field, "case");

      if (!is_case && !ecl_key_is (&field, "then")) {
         ecl_parse_fail (parse, ecl_at (&field), 40063, "$switch found an unknown argument to a branch: %.*s",
                         (int) field.key_len, field.key);
         return false;
      }
      args[!is_case] = ecl_parse_expr (parse, &field);
      if (!args[!is_case]) {
         return false;
      }
   }
   if (!args[0]) {
      ecl_parse_fail (parse, ecl_at (branch), 40064, "$switch requires each branch have a 'case' expression");
      return false;
   }
   if (!args[1]) {
      ecl_parse_fail (parse, ecl_at (branch), 40065, "$switch requires each branch have a 'then' expression.");
      return false;
   }
   return true;
}

ecl_expr_t *
ecl_op_switch_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   ecl_iter_t iter;
   ecl_field_t field, branches = {0}, other = {0};
   uint32_t n, i = 0;
   ecl_expr_t *e;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return ecl_parse_fail (parse, ecl_at (spec), 40060, "$switch requires an object as an argument, found: %s",
                             ecl_type_name (spec->value.type));
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "branches")) {
         branches = field;
      } else if (ecl_key_is (&field, "default")) {
         other = field;
      } else {
         return ecl_parse_fail (parse, ecl_at (&field), 40067, "$switch found an unknown argument: %.*s",
                                (int) field.key_len, field.key);
      }
   }
   if (branches.key && branches.value.type != BSON_TYPE_ARRAY) {
      return ecl_parse_fail (parse, ecl_at (&branches), 40061, "$switch expected an array for 'branches', found: %s",
                             ecl_type_name (branches.value.type));
   }
   n = branches.key ? ecl_array_count (&branches.value) : 0;
   if (n == 0) {
      return ecl_parse_fail (parse, ecl_at (spec), 40068, "$switch requires at least one branch.");
   }
   e = ecl_parse_node (parse, op, spec, 2 * n + 1);
   ecl_iter_init (&iter, &branches.value);
   while (ecl_iter_field (&iter, &field)) {
      if (!parse_branch (parse, &field, e->args + 2 * i)) {
         return NULL;
      }
      i++;
   }
   if (other.key) {
      e->args[2 * n] = ecl_parse_expr (parse, &other);
      if (!e->args[2 * n]) {
         return NULL;
      }
   }
   return ecl_parse_fold (parse, e);
}

bool
ecl_op_switch (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   for (uint32_t i = 0; i + 1 < self->n; i += 2) {
      ecl_value_t condition;

      if (!ecl_expr_eval (self->args[i], ev, &condition)) {
         return false;
      }
      if (ecl_truthy (&condition)) {
         return ecl_expr_eval (self->args[i + 1], ev, out);
      }
   }
   if (!self->args[self->n - 1]) {
      return ecl_eval_fail (ev, self, 40066,
                            "$switch could not find a matching branch for an input, and no default was specified.");
   }
   return ecl_expr_eval (self->args[self->n - 1], ev, out);
}
