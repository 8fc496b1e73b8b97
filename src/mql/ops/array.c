/* Arrays: $arrayElemAt $concatArrays $first $in $indexOfArray $isArray $last $range $reverseArray $size $slice $zip.
 *
 * Elements are borrowed, never copied deeply: a result is a row of values that point to where they were. */
#include "mql/operators.h"
#include "mql/set.h"

/* ---- one element ---- */

/* The element at index, from the end where it is negative; missing where there is none. */
static ecl_value_t
element_at (const ecl_value_t *array, int64_t index)
{
   ecl_iter_t iter;
   ecl_value_t item;

   if (index < 0) {
      index += ecl_array_count (array);
      if (index < 0) {
         return ecl_missing ();
      }
   }
   if (array->rep == ECL_REP_VEC) {
      return index < array->len ? ecl_present (array->u.vec[index]) : ecl_missing ();
   }
   ecl_iter_init (&iter, array);
   while (ecl_iter_item (&iter, &item)) {
      if (index-- == 0) {
         return item;
      }
   }
   return ecl_missing ();
}

bool
ecl_op_arrayElemAt (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t array, index;
   int32_t i;

   if (!ecl_expr_eval (self->args[0], ev, &array) || !ecl_expr_eval (self->args[1], ev, &index)) {
      return false;
   }
   if (ecl_is_nullish (&array) || ecl_is_nullish (&index)) {
      *out = ecl_null ();
      return true;
   }
   if (array.type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail (ev, self, 28689, "$arrayElemAt's first argument must be an array, but is %s",
                            ecl_type_name (array.type));
   }
   if (!ecl_is_number (&index)) {
      return ecl_eval_fail (ev, self, 28690, "$arrayElemAt's second argument must be a numeric value, but is %s",
                            ecl_type_name (index.type));
   }
   if (!ecl_number_to_int32 (&index, &i)) {
      return ecl_eval_fail (ev, self, 28691,
                            "$arrayElemAt's second argument must be representable as a 32-bit integer: %s",
                            ecl_value_text (&ev->arena, &index));
   }
   ecl_eval_row (ev, &array);
   *out = element_at (&array, i);
   return true;
}

static bool
end_of_array (const ecl_expr_t *self, ecl_eval_t *ev, int64_t index, ecl_value_t *out)
{
   ecl_value_t array;

   if (!ecl_expr_eval (self->args[0], ev, &array)) {
      return false;
   }
   if (ecl_is_nullish (&array)) {
      *out = ecl_null ();
      return true;
   }
   if (array.type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail (ev, self, 28689, "%s's argument must be an array, but is %s", self->op->name,
                            ecl_type_name (array.type));
   }
   *out = element_at (&array, index);
   return true;
}

bool
ecl_op_first (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return end_of_array (self, ev, 0, out);
}

bool
ecl_op_last (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return end_of_array (self, ev, -1, out);
}

/* ---- asking ---- */

bool
ecl_op_size (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t array;

   if (!ecl_expr_eval (self->args[0], ev, &array)) {
      return false;
   }
   if (array.type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail (ev, self, 17124, "the argument to $size must be an array, but was of type: %s",
                            ecl_type_name (array.type));
   }
   ecl_eval_row (ev, &array);
   *out = ecl_int32 ((int32_t) ecl_array_count (&array));
   return true;
}

bool
ecl_op_isArray (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t v;

   if (!ecl_expr_eval (self->args[0], ev, &v)) {
      return false;
   }
   *out = ecl_bool (v.type == BSON_TYPE_ARRAY);
   return true;
}

/* Constant lists from this length on are looked up by hash. */
#define IN_BY_HASH 8

ecl_expr_t *
ecl_op_in_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   ecl_operator_t two = *op;
   ecl_expr_t *e;

   two.min = two.max = 2;
   e = ecl_parse_positional (parse, &two, spec);
   if (e && e->kind == ECL_EXPR_OPERATOR) {
      const ecl_expr_t *list = e->args[1];

      e->op = op;
      if (ecl_is_constant (list) && list->constant.type == BSON_TYPE_ARRAY &&
          ecl_array_count (&list->constant) >= IN_BY_HASH) {
         ecl_set_t *set = ecl_arena_new (parse->arena, ecl_set_t);

         ecl_set_of_array (set, parse->arena, &list->constant);
         e->data = set;
      }
   }
   return e;
}

bool
ecl_op_in (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t wanted, array, item;
   ecl_iter_t iter;

   if (!ecl_expr_eval (self->args[0], ev, &wanted) || !ecl_expr_eval (self->args[1], ev, &array)) {
      return false;
   }
   if (array.type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail (ev, self, 40081, "$in requires an array as a second argument, found: %s",
                            ecl_type_name (array.type));
   }
   if (self->data) {
      *out = ecl_bool (ecl_set_has (self->data, &wanted));
      return true;
   }
   ecl_eval_row (ev, &array);
   *out = ecl_bool (false);
   ecl_iter_init (&iter, &array);
   while (ecl_iter_item (&iter, &item)) {
      if (ecl_equal (&item, &wanted)) {
         *out = ecl_bool (true);
         break;
      }
   }
   return true;
}

/* A bound of $indexOfArray, argument i; `most` where it is not given. */
static bool
index_bound (const ecl_expr_t *self, ecl_eval_t *ev, uint32_t i, const char *what, int32_t most, int32_t *out)
{
   ecl_value_t v;

   *out = most;
   if (i >= self->n) {
      return true;
   }
   if (!ecl_expr_eval (self->args[i], ev, &v)) {
      return false;
   }
   if (!ecl_number_to_int32 (&v, out)) {
      return ecl_eval_fail (ev, self, 40096,
                            "$indexOfArray requires an integral %s index, found a value of type: %s, with value: %s",
                            what, ecl_type_name (v.type), ecl_value_text (&ev->arena, &v));
   }
   if (*out < 0) {
      return ecl_eval_fail (ev, self, 40097, "$indexOfArray requires a nonnegative %s index, found: %d", what, *out);
   }
   return true;
}

bool
ecl_op_indexOfArray (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t array, wanted, item;
   int32_t start, end;
   ecl_iter_t iter;

   if (!ecl_expr_eval (self->args[0], ev, &array)) {
      return false;
   }
   if (ecl_is_nullish (&array)) {
      *out = ecl_null ();
      return true;
   }
   if (array.type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail (ev, self, 40090, "$indexOfArray requires an array as a first argument, found: %s",
                            ecl_type_name (array.type));
   }
   if (!index_bound (self, ev, 2, "starting", 0, &start) || !index_bound (self, ev, 3, "ending", INT32_MAX, &end) ||
       !ecl_expr_eval (self->args[1], ev, &wanted)) {
      return false;
   }
   ecl_eval_row (ev, &array);
   *out = ecl_int32 (-1);
   ecl_iter_init (&iter, &array);
   for (int32_t i = 0; i < end && ecl_iter_item (&iter, &item); i++) {
      if (i >= start && ecl_equal (&item, &wanted)) {
         *out = ecl_int32 (i);
         break;
      }
   }
   return true;
}

/* ---- parts ---- */

/* The elements from start on, at most count. */
static ecl_value_t
part_of (ecl_arena_t *arena, const ecl_value_t *array, int64_t start, int64_t count)
{
   uint32_t have = ecl_array_count (array), n = 0;
   ecl_value_t *items;
   ecl_iter_t iter;
   ecl_value_t item;

   if (start >= have) {
      return ecl_vec (NULL, 0);
   }
   if (count > have - start) {
      count = have - start;
   }
   if (start == 0 && count == have) {
      return *array;
   }
   if (array->rep == ECL_REP_VEC) {
      return ecl_vec (array->u.vec + start, (size_t) count);
   }
   items = ecl_arena_array (arena, ecl_value_t, (size_t) count);
   ecl_iter_init (&iter, array);
   while (n < count && ecl_iter_item (&iter, &item)) {
      if (start-- <= 0) {
         items[n++] = item;
      }
   }
   return ecl_vec (items, n);
}

bool
ecl_op_slice (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t array, second, third;
   int32_t position, count;
   int64_t start, from_end;

   if (!ecl_expr_eval (self->args[0], ev, &array) || !ecl_expr_eval (self->args[1], ev, &second)) {
      return false;
   }
   if (ecl_is_nullish (&array) || ecl_is_nullish (&second)) {
      *out = ecl_null ();
      return true;
   }
   if (array.type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail (ev, self, 28724, "first argument to $slice must be an array, but is of type: %s",
                            ecl_type_name (array.type));
   }
   if (!ecl_is_number (&second)) {
      return ecl_eval_fail (ev, self, 28725, "second argument to $slice must be a numeric value, but is of type: %s",
                            ecl_type_name (second.type));
   }
   if (!ecl_number_to_int32 (&second, &position)) {
      return ecl_eval_fail (ev, self, 28726, "second argument to $slice can't be represented as a 32-bit integer: %s",
                            ecl_value_text (&ev->arena, &second));
   }
   ecl_eval_row (ev, &array);
   /* A negative number counts from the end, at most back to the beginning. */
   from_end = position < 0 ? (int64_t) ecl_array_count (&array) + position : 0;
   start = position < 0 ? (from_end < 0 ? 0 : from_end) : position;
   if (self->n == 2) {
      *out = position < 0 ? part_of (&ev->arena, &array, start, INT32_MAX) : part_of (&ev->arena, &array, 0, position);
      return true;
   }
   if (!ecl_expr_eval (self->args[2], ev, &third)) {
      return false;
   }
   if (ecl_is_nullish (&third)) {
      *out = ecl_null ();
      return true;
   }
   if (!ecl_is_number (&third)) {
      return ecl_eval_fail (ev, self, 28727, "third argument to $slice must be numeric, but is of type: %s",
                            ecl_type_name (third.type));
   }
   if (!ecl_number_to_int32 (&third, &count)) {
      return ecl_eval_fail (ev, self, 28728, "third argument to $slice can't be represented as a 32-bit integer: %s",
                            ecl_value_text (&ev->arena, &third));
   }
   if (count <= 0) {
      return ecl_eval_fail (ev, self, 28729, "third argument to $slice must be positive: %d", count);
   }
   *out = part_of (&ev->arena, &array, start, count);
   return true;
}

/* ---- new arrays ---- */

bool
ecl_op_reverseArray (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t array;
   const ecl_value_t *items;
   ecl_value_t *reversed;
   uint32_t n;

   if (!ecl_expr_eval (self->args[0], ev, &array)) {
      return false;
   }
   if (ecl_is_nullish (&array)) {
      *out = ecl_null ();
      return true;
   }
   if (array.type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail (ev, self, 34435, "the argument to $reverseArray must be an array, but was of type: %s",
                            ecl_type_name (array.type));
   }
   items = ecl_array_items (&ev->arena, &array, &n);
   reversed = ecl_arena_array (&ev->arena, ecl_value_t, n);
   for (uint32_t i = 0; i < n; i++) {
      reversed[i] = items[n - 1 - i];
   }
   *out = ecl_vec (reversed, n);
   return true;
}

/* Adds the elements of `array` behind the n values of `row`. */
static const ecl_value_t *
append (ecl_arena_t *arena, const ecl_value_t *row, uint32_t n, const ecl_value_t *array, uint32_t more)
{
   size_t size = sizeof *row;
   ecl_value_t *grown = (void *) ecl_arena_extend (arena, (const char *) row, n * size, more * size);
   ecl_iter_t iter;

   ecl_iter_init (&iter, array);
   for (uint32_t i = n; i < n + more; i++) {
      ecl_iter_item (&iter, &grown[i]);
   }
   return grown;
}

bool
ecl_op_concatArrays (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   const ecl_value_t *row = NULL;
   uint32_t n = 0;

   for (uint32_t i = 0; i < self->n; i++) {
      ecl_value_t array;
      uint32_t more;

      if (!ecl_expr_eval (self->args[i], ev, &array)) {
         return false;
      }
      if (ecl_is_nullish (&array)) {
         *out = ecl_null ();
         return true;
      }
      if (array.type != BSON_TYPE_ARRAY) {
         return ecl_eval_fail (ev, self, 28664, "$concatArrays only supports arrays, not %s",
                               ecl_type_name (array.type));
      }
      if (n == 0) {
         row = ecl_array_items (&ev->arena, &array, &n);
         continue;
      }
      more = ecl_array_count (&array);
      if (more > ECL_MAX_ITEMS - n) {
         return ecl_eval_fail (ev, self, 146, "$concatArrays of more than %u elements would use too much memory",
                               ECL_MAX_ITEMS);
      }
      /* What $reduce has concatenated so far grows in place. */
      row = append (&ev->arena, row, n, &array, more);
      n += more;
   }
   *out = ecl_vec (row, n);
   return true;
}

/* A number of $range; the codes are those for a wrong type and for what does not fit. */
static bool
range_number (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const char *what, uint32_t code,
              int32_t *out)
{
   if (!ecl_is_number (v)) {
      return ecl_eval_fail (ev, self, code, "$range requires a numeric %s value, found value of type: %s", what,
                            ecl_type_name (v->type));
   }
   if (!ecl_number_to_int32 (v, out)) {
      return ecl_eval_fail (ev, self, code + 1,
                            "$range requires a %s value that can be represented as a 32-bit integer, found value: %s",
                            what, ecl_value_text (&ev->arena, v));
   }
   return true;
}

bool
ecl_op_range (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t first, last, by;
   int32_t start, end, step = 1;
   ecl_value_t *items;
   int64_t n;

   if (!ecl_expr_eval (self->args[0], ev, &first) || !ecl_expr_eval (self->args[1], ev, &last) ||
       !range_number (self, ev, &first, "starting", 34443, &start) ||
       !range_number (self, ev, &last, "ending", 34445, &end)) {
      return false;
   }
   if (self->n == 3) {
      if (!ecl_expr_eval (self->args[2], ev, &by) || !range_number (self, ev, &by, "step", 34447, &step)) {
         return false;
      }
      if (step == 0) {
         return ecl_eval_fail (ev, self, 34449, "$range requires a non-zero step value");
      }
   }
   n = (step > 0 ? end > start : end < start) ? ((int64_t) end - start + step + (step > 0 ? -1 : 1)) / step : 0;
   if (n > ECL_MAX_ITEMS) {
      return ecl_eval_fail (ev, self, 146, "$range of %lld elements would use too much memory; the limit is %u",
                            (long long) n, ECL_MAX_ITEMS);
   }
   items = ecl_arena_array (&ev->arena, ecl_value_t, (size_t) n);
   for (int64_t i = 0; i < n; i++) {
      items[i] = ecl_int32 ((int32_t) (start + i * step));
   }
   *out = ecl_vec (items, (size_t) n);
   return true;
}

/* ---- $zip ---- */

/* args: the inputs, then as many defaults or none; self->data is not NULL where the longest input tells the length */
static bool
zip_list (ecl_parse_t *parse, const ecl_field_t *list, ecl_expr_t **args)
{
   ecl_iter_t iter;
   ecl_field_t field;
   uint32_t i = 0;

   ecl_iter_init (&iter, &list->value);
   while (ecl_iter_field (&iter, &field)) {
      args[i] = ecl_parse_expr (parse, &field);
      if (!args[i++]) {
         return false;
      }
   }
   return true;
}

ecl_expr_t *
ecl_op_zip_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   ecl_field_t field, inputs = {0}, defaults = {0};
   ecl_iter_t iter;
   uint32_t n = 0, n_defaults = 0;
   bool longest = false;
   ecl_expr_t *e;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return ecl_parse_fail (parse, ecl_at (spec), 34460, "$zip only supports an object as an argument, found %s",
                             ecl_type_name (spec->value.type));
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "inputs")) {
         if (field.value.type != BSON_TYPE_ARRAY) {
            return ecl_parse_fail (parse, ecl_at (&field), 34461, "inputs must be an array of expressions, found %s",
                                   ecl_type_name (field.value.type));
         }
         inputs = field;
         n = ecl_array_count (&field.value);
      } else if (ecl_key_is (&field, "defaults")) {
         if (field.value.type != BSON_TYPE_ARRAY) {
            return ecl_parse_fail (parse, ecl_at (&field), 34462, "defaults must be an array of expressions, found %s",
                                   ecl_type_name (field.value.type));
         }
         defaults = field;
         n_defaults = ecl_array_count (&field.value);
      } else if (ecl_key_is (&field, "useLongestLength")) {
         if (field.value.type != BSON_TYPE_BOOL) {
            return ecl_parse_fail (parse, ecl_at (&field), 34463, "useLongestLength must be a bool, found %s",
                                   ecl_type_name (field.value.type));
         }
         longest = field.value.u.i64;
      } else {
         return ecl_parse_fail (parse, ecl_at (&field), 34464, "$zip found an unknown argument: %.*s",
                                (int) field.key_len, field.key);
      }
   }
   if (n == 0) {
      return ecl_parse_fail (parse, ecl_at (spec), 34465, "$zip requires at least one input array");
   }
   if (n_defaults && !longest) {
      return ecl_parse_fail (parse, ecl_at (&defaults), 34466,
                             "cannot specify defaults unless useLongestLength is true");
   }
   if (n_defaults && n_defaults != n) {
      return ecl_parse_fail (parse, ecl_at (&defaults), 34467, "defaults and inputs must have the same length");
   }
   e = ecl_parse_node (parse, op, spec, n + n_defaults);
   e->data = longest ? op : NULL;
   if (!zip_list (parse, &inputs, e->args) || (n_defaults && !zip_list (parse, &defaults, e->args + n))) {
      return NULL;
   }
   e->index = n;
   return ecl_parse_fold (parse, e);
}

bool
ecl_op_zip (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   uint32_t columns = self->index, shortest = UINT32_MAX, longest = 0, rows;
   const ecl_value_t **inputs = ecl_arena_array (&ev->arena, const ecl_value_t *, columns);
   uint32_t *lengths = ecl_arena_array (&ev->arena, uint32_t, columns);
   ecl_value_t *defaults = ecl_arena_array (&ev->arena, ecl_value_t, columns);
   ecl_value_t *result, *cells;

   for (uint32_t c = 0; c < columns; c++) {
      ecl_value_t array;

      if (!ecl_expr_eval (self->args[c], ev, &array)) {
         return false;
      }
      if (ecl_is_nullish (&array)) {
         *out = ecl_null ();
         return true;
      }
      if (array.type != BSON_TYPE_ARRAY) {
         return ecl_eval_fail (ev, self, 34468, "$zip found a non-array expression in input: %s",
                               ecl_value_text (&ev->arena, &array));
      }
      inputs[c] = ecl_array_items (&ev->arena, &array, &lengths[c]);
      shortest = lengths[c] < shortest ? lengths[c] : shortest;
      longest = lengths[c] > longest ? lengths[c] : longest;
      defaults[c] = ecl_null ();
   }
   /* Defaults are evaluated only where one may be needed. */
   if (shortest != longest && self->n > columns) {
      for (uint32_t c = 0; c < columns; c++) {
         if (!ecl_expr_eval (self->args[columns + c], ev, &defaults[c])) {
            return false;
         }
      }
   }
   rows = self->data ? longest : shortest;
   if ((uint64_t) rows * (columns + 1) > ECL_MAX_ITEMS) {
      return ecl_eval_fail (ev, self, 146, "$zip of %u arrays of %u elements would use too much memory", columns, rows);
   }
   result = ecl_arena_array (&ev->arena, ecl_value_t, rows);
   cells = ecl_arena_array (&ev->arena, ecl_value_t, (size_t) rows * columns);
   for (uint32_t r = 0; r < rows; r++) {
      for (uint32_t c = 0; c < columns; c++) {
         cells[c] = r < lengths[c] ? inputs[c][r] : defaults[c];
      }
      result[r] = ecl_vec (cells, columns);
      cells += columns;
   }
   *out = ecl_vec (result, rows);
   return true;
}
