/* Sets: $allElementsTrue $anyElementTrue $setDifference $setEquals $setIntersection $setIsSubset $setUnion.
 *
 * Arrays are read as sets: order and duplicates do not count, nested arrays are elements like any other. Unions and
 * intersections come in ascending BSON order, as the server's do, although it promises none; of values that are equal
 * (1 and 1.0) the first one stays. Differences keep the order of the first argument. */
#include "mql/operators.h"
#include "mql/set.h"
#include "mql/sort.h"

/* Evaluates argument i; false after a failure with that code where it is no array. */
static bool
array_arg (const ecl_expr_t *self, ecl_eval_t *ev, uint32_t i, uint32_t code, ecl_value_t *out)
{
   if (!ecl_expr_eval (self->args[i], ev, out)) {
      return false;
   }
   if (out->type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail (ev, self, code, "all operands of %s must be arrays; argument %u is of type: %s",
                            self->op->name, i + 1, ecl_type_name (out->type));
   }
   return true;
}

/* A constant argument's set is made once, while parsing; self->data is an array with an entry per argument. */
static void
prepare (ecl_parse_t *parse, ecl_expr_t *e)
{
   ecl_set_t **sets = NULL;

   for (uint32_t i = 0; i < e->n; i++) {
      if (ecl_is_constant (e->args[i]) && e->args[i]->constant.type == BSON_TYPE_ARRAY) {
         if (!sets) {
            sets = ecl_arena_array (parse->arena, ecl_set_t *, e->n);
            memset (sets, 0, e->n * sizeof *sets);
         }
         sets[i] = ecl_arena_new (parse->arena, ecl_set_t);
         ecl_set_of_array (sets[i], parse->arena, &e->args[i]->constant);
      }
   }
   e->data = sets;
}

static const ecl_set_t *
set_of (const ecl_expr_t *self, ecl_eval_t *ev, uint32_t i, const ecl_value_t *array)
{
   ecl_set_t *const *sets = self->data;
   ecl_set_t *set;

   if (sets && sets[i]) {
      return sets[i];
   }
   set = ecl_arena_new (&ev->arena, ecl_set_t);
   ecl_set_of_array (set, &ev->arena, array);
   return set;
}

static ecl_expr_t *
parse_sets (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec, int min, int max)
{
   ecl_operator_t form = *op;
   ecl_expr_t *e;

   form.min = min;
   form.max = max;
   e = ecl_parse_positional (parse, &form, spec);
   if (e && e->kind == ECL_EXPR_OPERATOR) {
      e->op = op;
      prepare (parse, e);
   }
   return e;
}

/* ---- truth of elements ---- */

/* Whether an element's truth is `wanted`. */
static bool
has_truth (const ecl_value_t *array, bool wanted)
{
   ecl_iter_t iter;
   ecl_value_t item;

   ecl_iter_init (&iter, array);
   while (ecl_iter_item (&iter, &item)) {
      if (ecl_truthy (&item) == wanted) {
         return true;
      }
   }
   return false;
}

bool
ecl_op_allElementsTrue (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t array;

   if (!array_arg (self, ev, 0, 17040, &array)) {
      return false;
   }
   *out = ecl_bool (!has_truth (&array, false));
   return true;
}

bool
ecl_op_anyElementTrue (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t array;

   if (!array_arg (self, ev, 0, 17041, &array)) {
      return false;
   }
   *out = ecl_bool (has_truth (&array, true));
   return true;
}

/* ---- comparison of sets ---- */

ecl_expr_t *
ecl_op_setEquals_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   uint32_t n = spec->value.type == BSON_TYPE_ARRAY ? ecl_array_count (&spec->value) : 1;

   if (n < 2) {
      return ecl_parse_fail (parse, ecl_at (spec), 17045, "$setEquals needs at least two arguments, had: %u", n);
   }
   return parse_sets (parse, op, spec, 2, ECL_ANY);
}

static bool
is_subset (const ecl_set_t *a, const ecl_set_t *b)
{
   for (uint32_t i = 0; i < a->n; i++) {
      if (!ecl_set_has (b, &a->members[i])) {
         return false;
      }
   }
   return true;
}

bool
ecl_op_setEquals (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   const ecl_set_t *first, *other;
   ecl_value_t array;

   if (!array_arg (self, ev, 0, 17044, &array)) {
      return false;
   }
   first = set_of (self, ev, 0, &array);
   for (uint32_t i = 1; i < self->n; i++) {
      if (!array_arg (self, ev, i, 17044, &array)) {
         return false;
      }
      other = set_of (self, ev, i, &array);
      if (other->n != first->n || !is_subset (first, other)) {
         *out = ecl_bool (false);
         return true;
      }
   }
   *out = ecl_bool (true);
   return true;
}

ecl_expr_t *
ecl_op_setIsSubset_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return parse_sets (parse, op, spec, 2, 2);
}

bool
ecl_op_setIsSubset (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t a, b, item;
   const ecl_set_t *set;
   ecl_iter_t iter;

   if (!array_arg (self, ev, 0, 17046, &a) || !array_arg (self, ev, 1, 17042, &b)) {
      return false;
   }
   set = set_of (self, ev, 1, &b);
   *out = ecl_bool (true);
   ecl_iter_init (&iter, &a);
   while (ecl_iter_item (&iter, &item)) {
      if (!ecl_set_has (set, &item)) {
         *out = ecl_bool (false);
         break;
      }
   }
   return true;
}

/* ---- new sets ---- */

ecl_expr_t *
ecl_op_setDifference_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return parse_sets (parse, op, spec, 2, 2);
}

bool
ecl_op_setDifference (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t a, b, item;
   const ecl_set_t *without;
   ecl_set_t result;
   ecl_iter_t iter;

   if (!ecl_expr_eval (self->args[0], ev, &a) || !ecl_expr_eval (self->args[1], ev, &b)) {
      return false;
   }
   if (ecl_is_nullish (&a) || ecl_is_nullish (&b)) {
      *out = ecl_null ();
      return true;
   }
   if (a.type != BSON_TYPE_ARRAY || b.type != BSON_TYPE_ARRAY) {
      bool first = a.type != BSON_TYPE_ARRAY;

      return ecl_eval_fail (ev, self, first ? 17048 : 17049,
                            "both operands of $setDifference must be arrays; the %s argument is of type: %s",
                            first ? "first" : "second", ecl_type_name (first ? a.type : b.type));
   }
   without = set_of (self, ev, 1, &b);
   ecl_set_init (&result, &ev->arena, ecl_array_count (&a));
   ecl_iter_init (&iter, &a);
   while (ecl_iter_item (&iter, &item)) {
      if (!ecl_set_has (without, &item)) {
         ecl_set_add (&result, &item);
      }
   }
   *out = ecl_vec (result.members, result.n);
   return true;
}

ecl_expr_t *
ecl_op_setIntersection_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return parse_sets (parse, op, spec, 0, ECL_ANY);
}

/* As in the server it is the members of the smaller set that stay: which of two equal values that is can be seen. */
static const ecl_set_t *
intersect (ecl_arena_t *arena, const ecl_set_t *a, const ecl_set_t *b)
{
   const ecl_set_t *small = a->n > b->n ? b : a;
   const ecl_set_t *large = a->n > b->n ? a : b;
   ecl_set_t *result = ecl_arena_new (arena, ecl_set_t);

   ecl_set_init (result, arena, small->n);
   for (uint32_t i = 0; i < small->n; i++) {
      if (ecl_set_has (large, &small->members[i])) {
         ecl_set_add (result, &small->members[i]);
      }
   }
   return result;
}

bool
ecl_op_setIntersection (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   const ecl_set_t *result = NULL;

   for (uint32_t i = 0; i < self->n; i++) {
      ecl_value_t array;

      if (!ecl_expr_eval (self->args[i], ev, &array)) {
         return false;
      }
      if (ecl_is_nullish (&array)) {
         *out = ecl_null ();
         return true;
      }
      if (array.type != BSON_TYPE_ARRAY) {
         return ecl_eval_fail (ev, self, 17047,
                               "all operands of $setIntersection must be arrays; argument %u is of type: %s", i + 1,
                               ecl_type_name (array.type));
      }
      if (!result) {
         result = set_of (self, ev, i, &array);
      } else if (result->n) {
         result = intersect (&ev->arena, result, set_of (self, ev, i, &array));
      }
   }
   *out = result ? ecl_vec (ecl_sort_values (&ev->arena, result->members, result->n), result->n) : ecl_vec (NULL, 0);
   return true;
}

bool
ecl_op_setUnion (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t *arrays = ecl_arena_array (&ev->arena, ecl_value_t, self->n);
   uint64_t n = 0;
   ecl_set_t set;

   for (uint32_t i = 0; i < self->n; i++) {
      if (!ecl_expr_eval (self->args[i], ev, &arrays[i])) {
         return false;
      }
      if (ecl_is_nullish (&arrays[i])) {
         *out = ecl_null ();
         return true;
      }
      if (arrays[i].type != BSON_TYPE_ARRAY) {
         return ecl_eval_fail (ev, self, 17043, "all operands of $setUnion must be arrays; argument %u is of type: %s",
                               i + 1, ecl_type_name (arrays[i].type));
      }
      n += ecl_array_count (&arrays[i]);
   }
   if (n > ECL_MAX_ITEMS) {
      return ecl_eval_fail (ev, self, 146, "$setUnion of more than %u elements would use too much memory",
                            ECL_MAX_ITEMS);
   }
   ecl_set_init (&set, &ev->arena, (uint32_t) n);
   for (uint32_t i = 0; i < self->n; i++) {
      ecl_iter_t iter;
      ecl_value_t item;

      ecl_iter_init (&iter, &arrays[i]);
      while (ecl_iter_item (&iter, &item)) {
         ecl_set_add (&set, &item);
      }
   }
   *out = ecl_vec (ecl_sort_values (&ev->arena, set.members, set.n), set.n);
   return true;
}
