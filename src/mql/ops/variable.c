/* Variables: $literal $let $map $filter $reduce.
 *
 * A variable's place in ev->vars is fixed while parsing: its depth in the nest of scopes. An expression that binds
 * variables is folded only as a whole, because its inner expressions read them. */
#include "bson/cursor.h"
#include "mql/operators.h"

ecl_expr_t *
ecl_op_literal_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   (void) op;
   return ecl_parse_constant (parse, &spec->value, ecl_at (spec));
}

/* Never reached: parsing leaves a constant. */
bool
ecl_op_literal (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   (void) ev;
   *out = self->constant;
   return true;
}

/* Finds the fields `names` of an object argument; false after a report where one is unknown. */
static bool
find_fields (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec, uint32_t unknown_code,
             uint32_t not_object_code, const char *const *names, ecl_field_t *fields, uint32_t n)
{
   ecl_iter_t iter;
   ecl_field_t field;

   memset (fields, 0, n * sizeof *fields);
   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      ecl_parse_fail (parse, ecl_at (spec), not_object_code, "%s only supports an object as its argument, found %s",
                      op->name, ecl_type_name (spec->value.type));
      return false;
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      uint32_t k = ecl_key_among (&field, names, n);

      if (k == n) {
         ecl_parse_fail (parse, ecl_at (&field), unknown_code, "Unrecognized parameter to %s: %.*s", op->name,
                         (int) field.key_len, field.key);
         return false;
      }
      fields[k] = field;
   }
   return true;
}

static bool
require (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec, const ecl_field_t *field,
         const char *name, uint32_t code)
{
   if (field->key) {
      return true;
   }
   ecl_parse_fail (parse, ecl_at (spec), code, "Missing '%s' parameter to %s", name, op->name);
   return false;
}

/* ---- $let ---- */

/* args: the variables' values, then `in`; index: of the first variable */
ecl_expr_t *
ecl_op_let_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   static const char *const names[] = {"vars", "in"};
   ecl_field_t fields[2], field;
   ecl_iter_t iter;
   uint32_t n = 0;
   ecl_expr_t *e;

   if (!find_fields (parse, op, spec, 16875, 16874, names, fields, 2) ||
       !require (parse, op, spec, &fields[0], "vars", 16876) || !require (parse, op, spec, &fields[1], "in", 16877)) {
      return NULL;
   }
   if (fields[0].value.type != BSON_TYPE_DOCUMENT) {
      return ecl_parse_fail (parse, ecl_at (&fields[0]), 10065,
                             "invalid parameter: expected an object (vars), found %s",
                             ecl_type_name (fields[0].value.type));
   }
   ecl_iter_init (&iter, &fields[0].value);
   while (ecl_iter_field (&iter, &field)) {
      n++;
   }
   e = ecl_parse_node (parse, op, spec, n + 1);
   e->index = parse->n_vars;
   if (!ecl_parse_let (parse, &fields[0].value, e->args)) {
      return NULL;
   }
   e->args[n] = ecl_parse_expr (parse, &fields[1]);
   ecl_scope_pop (parse, n);
   if (!e->args[n]) {
      return NULL;
   }
   return ecl_is_constant (e->args[n]) ? ecl_parse_fold (parse, e) : e;
}

bool
ecl_op_let (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   uint32_t n = self->n - 1;

   /* A value may itself bind variables in the same places, so nothing is stored before all are known. */
   if (n == 1) {
      ecl_value_t v;

      if (!ecl_expr_eval (self->args[0], ev, &v)) {
         return false;
      }
      ev->vars[self->index] = v;
   } else if (n) {
      ecl_value_t *values = ecl_arena_array (&ev->arena, ecl_value_t, n);

      for (uint32_t i = 0; i < n; i++) {
         if (!ecl_expr_eval (self->args[i], ev, &values[i])) {
            return false;
         }
      }
      memcpy (ev->vars + self->index, values, n * sizeof *values);
   }
   return ecl_expr_eval (self->args[n], ev, out);
}

/* ---- memory of loops ---- */

/* What the rounds of a loop have left behind is given back from this many bytes on. */
#define LOOP_REST ((size_t) 64 << 20)

/* Gives back what was made since the mark, but for the value; returns how much may be made until the next time. Four
 * times what is kept, so that a value that itself is large is not moved over and over. */
static size_t
give_back (ecl_eval_t *ev, ecl_arena_mark_t mark, ecl_value_t *value)
{
   ecl_arena_t *arena = &ev->arena;

   /* A value may hold one part many times, as its copy would hold many parts. */
   if (ecl_value_size (value) <= ECL_BSON_MAX_INTERNAL_SIZE) {
      ecl_arena_t aside;

      ecl_arena_init (&aside);
      *value = ecl_value_copy (&aside, value);
      ecl_arena_release (arena, mark);
      ev->n_rows = 0;
      *value = ecl_value_copy (arena, value);
      ecl_arena_cleanup (&aside);
   }
   return BSON_MAX (LOOP_REST, 4 * (arena->used - mark.used));
}

/* ---- $map, $filter ---- */

/* Parses `as` and brings it into scope. */
static bool
push_as (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *as, uint32_t *index)
{
   if (!as->key) {
      *index = ecl_scope_push (parse, "this", 4);
      return true;
   }
   if (as->value.type != BSON_TYPE_UTF8) {
      ecl_parse_fail (parse, ecl_at (as), 9, "%s expects a string for 'as', found %s", op->name,
                      ecl_type_name (as->value.type));
      return false;
   }
   if (!ecl_check_variable_name (parse, ecl_at (as), as->value.u.str, as->value.len)) {
      return false;
   }
   *index = ecl_scope_push (parse, as->value.u.str, as->value.len);
   return true;
}

/* args: input, in */
ecl_expr_t *
ecl_op_map_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   static const char *const names[] = {"input", "as", "in"};
   ecl_field_t fields[3];
   ecl_expr_t *e;

   if (!find_fields (parse, op, spec, 16879, 16878, names, fields, 3) ||
       !require (parse, op, spec, &fields[0], "input", 16880) || !require (parse, op, spec, &fields[2], "in", 16882)) {
      return NULL;
   }
   e = ecl_parse_node (parse, op, spec, 2);
   e->args[0] = ecl_parse_expr (parse, &fields[0]);
   if (!e->args[0] || !push_as (parse, op, &fields[1], &e->index)) {
      return NULL;
   }
   e->args[1] = ecl_parse_expr (parse, &fields[2]);
   ecl_scope_pop (parse, 1);
   return e->args[1] ? e : NULL;
}

bool
ecl_op_map (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t input;
   const ecl_value_t *items;
   ecl_value_t *results;
   size_t rest = LOOP_REST;
   ecl_arena_mark_t mark;
   uint32_t n;

   if (!ecl_expr_eval (self->args[0], ev, &input)) {
      return false;
   }
   if (ecl_is_nullish (&input)) {
      *out = ecl_null ();
      return true;
   }
   if (input.type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail (ev, self, 16883, "input to $map must be an array not %s", ecl_type_name (input.type));
   }
   ecl_eval_row (ev, &input);
   items = ecl_array_items (&ev->arena, &input, &n);
   results = ecl_arena_array (&ev->arena, ecl_value_t, n);
   mark = ecl_arena_mark (&ev->arena);
   for (uint32_t i = 0; i < n; i++) {
      if (ECL_UNLIKELY (ev->arena.used - mark.used > rest)) {
         ecl_value_t made = ecl_vec (results, i);

         rest = give_back (ev, mark, &made);
         memcpy (results, made.u.vec, i * sizeof *results);
      }
      ev->vars[self->index] = ecl_present (items[i]);
      if (!ecl_eval_has_memory (ev, self) || !ecl_expr_eval (self->args[1], ev, &results[i])) {
         return false;
      }
      results[i] = ecl_present (results[i]);
   }
   *out = ecl_vec (results, n);
   return true;
}

/* args: input, cond, limit */
ecl_expr_t *
ecl_op_filter_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   static const char *const names[] = {"input", "as", "cond", "limit"};
   ecl_field_t fields[4];
   ecl_expr_t *e;

   if (!find_fields (parse, op, spec, 28647, 28646, names, fields, 4) ||
       !require (parse, op, spec, &fields[0], "input", 28648) ||
       !require (parse, op, spec, &fields[2], "cond", 28650)) {
      return NULL;
   }
   e = ecl_parse_node (parse, op, spec, 3);
   e->args[0] = ecl_parse_expr (parse, &fields[0]);
   if (!e->args[0]) {
      return NULL;
   }
   if (fields[3].key) {
      e->args[2] = ecl_parse_expr (parse, &fields[3]);
      if (!e->args[2]) {
         return NULL;
      }
   }
   if (!push_as (parse, op, &fields[1], &e->index)) {
      return NULL;
   }
   e->args[1] = ecl_parse_expr (parse, &fields[2]);
   ecl_scope_pop (parse, 1);
   return e->args[1] ? e : NULL;
}

bool
ecl_op_filter (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t input, limit;
   const ecl_value_t *items;
   ecl_value_t *kept;
   ecl_arena_mark_t mark;
   bool *keeps;
   uint32_t n, end, count = 0;
   int32_t most = INT32_MAX;

   if (!ecl_expr_eval (self->args[0], ev, &input)) {
      return false;
   }
   if (ecl_is_nullish (&input)) {
      *out = ecl_null ();
      return true;
   }
   if (input.type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail (ev, self, 28651, "input to $filter must be an array not %s", ecl_type_name (input.type));
   }
   ecl_eval_row (ev, &input);
   items = ecl_array_items (&ev->arena, &input, &n);
   /* The limit of nothing is not looked at: it may be {$size: …} of the same array. */
   if (n == 0) {
      *out = input;
      return true;
   }
   if (!ecl_arg (self, 2, ev, &limit)) {
      return false;
   }
   /* A limit that is null or missing is no limit. */
   if (!ecl_is_nullish (&limit)) {
      if (!ecl_number_to_int32 (&limit, &most)) {
         return ecl_eval_fail (ev, self, 327391, "$filter: limit must be represented as a 32-bit integral value: %s",
                               ecl_value_text (&ev->arena, &limit));
      }
      if (most < 1) {
         return ecl_eval_fail (ev, self, 327392, "$filter: limit must be greater than 0: %d", most);
      }
   }
   keeps = ecl_arena_array (&ev->arena, bool, n);
   mark = ecl_arena_mark (&ev->arena);
   for (end = 0; end < n && count < (uint32_t) most; end++) {
      ecl_value_t condition;

      if (ECL_UNLIKELY (ev->arena.used - mark.used > LOOP_REST)) {
         ecl_arena_release (&ev->arena, mark);
         ev->n_rows = 0;
      }
      ev->vars[self->index] = ecl_present (items[end]);
      if (!ecl_eval_has_memory (ev, self) || !ecl_expr_eval (self->args[1], ev, &condition)) {
         return false;
      }
      count += keeps[end] = ecl_truthy (&condition);
   }
   /* Only what is kept takes memory: a loop may look through a long array for one element in each round. */
   kept = ecl_arena_array (&ev->arena, ecl_value_t, count);
   for (uint32_t i = 0, k = 0; i < end; i++) {
      if (keeps[i]) {
         kept[k++] = ecl_present (items[i]);
      }
   }
   *out = ecl_vec (kept, count);
   return true;
}

/* ---- $reduce ---- */

/* args: input, initialValue, in; index: of $$this, behind it $$value */
ecl_expr_t *
ecl_op_reduce_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   static const char *const names[] = {"input", "initialValue", "in"};
   ecl_field_t fields[3];
   ecl_expr_t *e;

   if (!find_fields (parse, op, spec, 40076, 40075, names, fields, 3) ||
       !require (parse, op, spec, &fields[0], "input", 40077) ||
       !require (parse, op, spec, &fields[1], "initialValue", 40078) ||
       !require (parse, op, spec, &fields[2], "in", 40079)) {
      return NULL;
   }
   e = ecl_parse_node (parse, op, spec, 3);
   e->args[0] = ecl_parse_expr (parse, &fields[0]);
   e->args[1] = e->args[0] ? ecl_parse_expr (parse, &fields[1]) : NULL;
   if (!e->args[1]) {
      return NULL;
   }
   e->index = ecl_scope_push (parse, "this", 4);
   ecl_scope_push (parse, "value", 5);
   e->args[2] = ecl_parse_expr (parse, &fields[2]);
   ecl_scope_pop (parse, 2);
   return e->args[2] ? e : NULL;
}

/* A value that grows with each round may become so deep that nothing could walk it: compare it, for one. *next: the round
 * before which it is measured again, so that measuring costs less than the rounds do. */
static bool
measure (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *value, uint32_t *next)
{
   uint64_t size = value->rep == ECL_REP_VEC || value->rep == ECL_REP_FIELDS ? ecl_value_size (value) : 0;

   *next += 64 + (uint32_t) (size / 16);
   return size != UINT64_MAX ||
          ecl_eval_fail (ev, self, 146, "the value of $reduce is larger than 64 MiB, or nested deeper than %d levels",
                         ECL_BSON_MAX_DEPTH);
}

bool
ecl_op_reduce (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t input, value;
   const ecl_value_t *items;
   size_t rest = LOOP_REST;
   ecl_arena_mark_t mark;
   uint32_t n, next = 64;

   if (!ecl_expr_eval (self->args[0], ev, &input)) {
      return false;
   }
   if (ecl_is_nullish (&input)) {
      *out = ecl_null ();
      return true;
   }
   if (input.type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail (ev, self, 40080, "$reduce requires that 'input' be an array, found: %s",
                            ecl_type_name (input.type));
   }
   if (!ecl_expr_eval (self->args[1], ev, &value)) {
      return false;
   }
   ecl_eval_row (ev, &input);
   items = ecl_array_items (&ev->arena, &input, &n);
   mark = ecl_arena_mark (&ev->arena);
   for (uint32_t i = 0; i < n; i++) {
      if (ECL_UNLIKELY (ev->arena.used - mark.used > rest)) {
         rest = give_back (ev, mark, &value);
      }
      if (i == next && !measure (self, ev, &value, &next)) {
         return false;
      }
      ev->vars[self->index] = ecl_present (items[i]);
      ev->vars[self->index + 1] = value;
      if (!ecl_eval_has_memory (ev, self) || !ecl_expr_eval (self->args[2], ev, &value)) {
         return false;
      }
   }
   *out = value;
   return measure (self, ev, &value, &next);
}
