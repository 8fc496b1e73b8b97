/* Arrays by order: $firstN $lastN $maxN $minN $sortArray. */
#include "base/ascii.h"
#include "mql/operators.h"
#include "mql/sort.h"

/* ---- $firstN, $lastN, $maxN, $minN ---- */

/* args: n, input. The code for what is no object differs between the two pairs. */
static ecl_expr_t *
parse_n (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec, uint32_t not_object)
{
   static const char *const names[] = {"n", "input"};
   ecl_iter_t iter;
   ecl_field_t field;
   ecl_expr_t *e;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return ecl_parse_fail (parse, ecl_at (spec), not_object, "%s: specification must be an object; found %s",
                             op->name, ecl_type_name (spec->value.type));
   }
   e = ecl_parse_node (parse, op, spec, 2);
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      uint32_t k = ecl_key_is (&field, "input");

      if (!ecl_key_is (&field, names[k])) {
         return ecl_parse_fail (parse, ecl_at (&field), 5787901, "unknown argument to %s: %.*s", op->name,
                                (int) field.key_len, field.key);
      }
      e->args[k] = ecl_parse_expr (parse, &field);
      if (!e->args[k]) {
         return NULL;
      }
   }
   for (uint32_t k = 0; k < 2; k++) {
      if (!e->args[k]) {
         return ecl_parse_fail (parse, ecl_at (spec), 5787906 + k, "%s: missing value for '%s'", op->name, names[k]);
      }
   }
   return ecl_parse_fold (parse, e);
}

static bool
n_and_input (const ecl_expr_t *self, ecl_eval_t *ev, int64_t *n, ecl_value_t *input)
{
   ecl_value_t v;

   if (!ecl_expr_eval (self->args[0], ev, &v)) {
      return false;
   }
   if (!ecl_is_number (&v) || !ecl_number_to_int64 (&v, n)) {
      return ecl_eval_fail (ev, self, ecl_is_number (&v) ? 5787903 : 5787902,
                            "%s: value for 'n' must be of integral type, but found %s", self->op->name,
                            ecl_value_text (&ev->arena, &v));
   }
   if (*n <= 0) {
      return ecl_eval_fail (ev, self, 5787908, "%s: 'n' must be greater than 0, found %lld", self->op->name,
                            (long long) *n);
   }
   if (!ecl_expr_eval (self->args[1], ev, input)) {
      return false;
   }
   if (input->type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail (ev, self, 5788200, "%s: input must be an array, found %s", self->op->name,
                            ecl_type_name (input->type));
   }
   return true;
}

ecl_expr_t *
ecl_op_firstN_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return parse_n (parse, op, spec, 5787801);
}

ecl_expr_t *
ecl_op_lastN_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return parse_n (parse, op, spec, 5787801);
}

bool
ecl_op_firstN (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t input, item;
   ecl_value_t *items;
   ecl_iter_t iter;
   uint32_t count = 0, have;
   int64_t n;

   if (!n_and_input (self, ev, &n, &input)) {
      return false;
   }
   have = ecl_array_count (&input);
   if (n >= have) {
      *out = input;
      return true;
   }
   items = ecl_arena_array (&ev->arena, ecl_value_t, (size_t) n);
   ecl_iter_init (&iter, &input);
   while (count < n && ecl_iter_item (&iter, &item)) {
      items[count++] = item;
   }
   *out = ecl_vec (items, count);
   return true;
}

bool
ecl_op_lastN (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t input;
   const ecl_value_t *items;
   uint32_t have;
   int64_t n;

   if (!n_and_input (self, ev, &n, &input)) {
      return false;
   }
   items = ecl_array_items (&ev->arena, &input, &have);
   if (n >= have) {
      *out = input;
   } else {
      *out = ecl_vec (items + (have - (uint32_t) n), (size_t) n);
   }
   return true;
}

ecl_expr_t *
ecl_op_maxN_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return parse_n (parse, op, spec, 5787900);
}

ecl_expr_t *
ecl_op_minN_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return parse_n (parse, op, spec, 5787900);
}

/* The best n so far in a heap with the first to go at its root. A later value replaces it only where it is better;
 * of equal ones the largest position goes first for $minN, the smallest for $maxN. This is the server's behaviour
 * (an ordered multiset), visible where equal values differ in type. */
typedef struct {
   const ecl_value_t *items;
   int sense; /* 1: $minN, -1: $maxN */
} ecl_best_t;

/* Positive where the element at a is to go before the one at b. */
static int
goes_before (const ecl_best_t *best, uint32_t a, uint32_t b)
{
   int order = ecl_compare (&best->items[a], &best->items[b]);

   order = order ? order : (a > b) - (a < b);
   return best->sense * order;
}

static void
sift_down (const ecl_best_t *best, uint32_t *heap, uint32_t n, uint32_t i)
{
   for (;;) {
      uint32_t child = 2 * i + 1, kept = heap[i];

      if (child >= n) {
         return;
      }
      if (child + 1 < n && goes_before (best, heap[child + 1], heap[child]) > 0) {
         child++;
      }
      if (goes_before (best, heap[child], kept) <= 0) {
         return;
      }
      heap[i] = heap[child];
      heap[child] = kept;
      i = child;
   }
}

static bool
best_n (const ecl_expr_t *self, ecl_eval_t *ev, int sense, ecl_value_t *out)
{
   ecl_best_t best = {.sense = sense};
   ecl_value_t input, *items, *result;
   uint32_t *heap;
   uint32_t have, n = 0, kept;
   ecl_iter_t iter;
   int64_t wanted;

   if (!n_and_input (self, ev, &wanted, &input)) {
      return false;
   }
   have = ecl_array_count (&input);
   items = ecl_arena_array (&ev->arena, ecl_value_t, have);
   best.items = items;
   ecl_iter_init (&iter, &input);
   while (ecl_iter_item (&iter, &items[n])) {
      n += !ecl_is_nullish (&items[n]);
      if (n == have) {
         break;
      }
   }
   kept = wanted < n ? (uint32_t) wanted : n;
   heap = ecl_arena_array (&ev->arena, uint32_t, kept);
   for (uint32_t i = 0; i < kept; i++) {
      heap[i] = i;
   }
   for (uint32_t i = kept / 2; i-- > 0;) {
      sift_down (&best, heap, kept, i);
   }
   for (uint32_t i = kept; i < n; i++) {
      if (sense * ecl_compare (&items[heap[0]], &items[i]) > 0) {
         heap[0] = i;
         sift_down (&best, heap, kept, 0);
      }
   }
   /* Taken out one by one they come in the reverse of the result's order. */
   result = ecl_arena_array (&ev->arena, ecl_value_t, kept);
   for (uint32_t left = kept; left > 0;) {
      result[--left] = items[heap[0]];
      heap[0] = heap[left];
      sift_down (&best, heap, left, 0);
   }
   *out = ecl_vec (result, kept);
   return true;
}

bool
ecl_op_maxN (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return best_n (self, ev, -1, out);
}

bool
ecl_op_minN (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return best_n (self, ev, 1, out);
}

/* ---- $sortArray ---- */

typedef struct {
   const char *path;
   uint32_t len;
   int direction;
} ecl_sort_key_t;

/* self->data: n_keys is 0 where whole values are compared in `direction` */
typedef struct {
   uint32_t n_keys;
   int direction;
   ecl_sort_key_t keys[];
} ecl_sort_pattern_t;

/* 1 or -1; 0 after a report */
static int
parse_direction (ecl_parse_t *parse, const ecl_field_t *field)
{
   int32_t direction;

   if (!ecl_number_to_int32 (&field->value, &direction) || (direction != 1 && direction != -1)) {
      ecl_parse_fail (parse, ecl_at (field), 2, "the $sort element value must be either 1 or -1");
      return 0;
   }
   return direction;
}

static const ecl_sort_pattern_t *
parse_pattern (ecl_parse_t *parse, const ecl_field_t *spec)
{
   ecl_sort_pattern_t *pattern;
   ecl_iter_t iter;
   ecl_field_t field;
   uint32_t n = 0;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      if (!ecl_is_number (&spec->value)) {
         return ecl_parse_fail (parse, ecl_at (spec), 2,
                                "the $sort is invalid: use 1/-1 to sort the whole element, or {field: 1/-1} to sort "
                                "embedded fields");
      }
      pattern = ecl_arena_new (parse->arena, ecl_sort_pattern_t);
      pattern->n_keys = 0;
      pattern->direction = parse_direction (parse, spec);
      return pattern->direction ? pattern : NULL;
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      n++;
   }
   if (n == 0) {
      return ecl_parse_fail (parse, ecl_at (spec), 2, "the $sort pattern is empty when it should be a set of fields");
   }
   pattern = ecl_arena_alloc (parse->arena, sizeof *pattern + n * sizeof pattern->keys[0]);
   pattern->n_keys = n;
   pattern->direction = 0;
   n = 0;
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      ecl_sort_key_t *key = &pattern->keys[n++];
      bool empty_part = field.key_len == 0 || field.key[0] == '.' || field.key[field.key_len - 1] == '.';

      for (uint32_t i = 1; i < field.key_len; i++) {
         empty_part |= field.key[i] == '.' && field.key[i - 1] == '.';
      }
      if (empty_part) {
         return ecl_parse_fail (parse, ecl_at (&field), 2, "the $sort field '%.*s' is empty or has an empty part",
                                (int) field.key_len, field.key);
      }
      key->path = field.key;
      key->len = field.key_len;
      key->direction = parse_direction (parse, &field);
      if (!key->direction) {
         return NULL;
      }
   }
   return pattern;
}

/* args: input */
ecl_expr_t *
ecl_op_sortArray_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   ecl_field_t field, input = {0}, sort_by = {0};
   ecl_iter_t iter;
   ecl_expr_t *e;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return ecl_parse_fail (parse, ecl_at (spec), 2942500, "$sortArray requires an object as an argument, found: %s",
                             ecl_type_name (spec->value.type));
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "input")) {
         input = field;
      } else if (ecl_key_is (&field, "sortBy")) {
         sort_by = field;
      } else {
         return ecl_parse_fail (parse, ecl_at (&field), 2942501, "$sortArray found an unknown argument: %.*s",
                                (int) field.key_len, field.key);
      }
   }
   if (!input.key) {
      return ecl_parse_fail (parse, ecl_at (spec), 2942502, "$sortArray requires 'input' to be specified");
   }
   if (!sort_by.key) {
      return ecl_parse_fail (parse, ecl_at (spec), 2942503, "$sortArray requires 'sortBy' to be specified");
   }
   e = ecl_parse_node (parse, op, spec, 1);
   e->args[0] = ecl_parse_expr (parse, &input);
   e->data = parse_pattern (parse, &sort_by);
   return e->args[0] && e->data ? ecl_parse_fold (parse, e) : NULL;
}

/* The value at a dotted path as sorting looks for it: the whole path may be a field's name; a part of it may be the
 * name of an array's element ("0"); arrays are not searched. Null where there is nothing. */
static ecl_value_t
sort_value (const ecl_value_t *element, const char *path, uint32_t len)
{
   ecl_value_t v = *element;

   for (;;) {
      ecl_value_t found = ecl_missing ();
      const char *dot;

      if (v.type == BSON_TYPE_DOCUMENT || (v.type == BSON_TYPE_ARRAY && v.rep == ECL_REP_RAW)) {
         found = ecl_document_get (&v, path, len);
      } else if (v.type == BSON_TYPE_ARRAY && len <= 7) {
         uint32_t index = 0, i = 0;

         while (i < len && ecl_is_digit (path[i])) {
            index = index * 10 + (uint32_t) (path[i++] - '0');
         }
         if (len && i == len && index < v.len && (path[0] != '0' || len == 1)) {
            found = ecl_present (v.u.vec[index]);
         }
      } else if (v.type != BSON_TYPE_ARRAY) {
         return ecl_null ();
      }
      dot = memchr (path, '.', len);
      if (found.type != ECL_MISSING || !dot) {
         return ecl_present (found);
      }
      v = sort_value (&v, path, (uint32_t) (dot - path));
      len -= (uint32_t) (dot + 1 - path);
      path = dot + 1;
   }
}

typedef struct {
   const ecl_sort_pattern_t *pattern;
   const ecl_value_t *values; /* n_keys of each element, or the elements */
} ecl_sort_context_t;

static int
by_value (const void *context, uint32_t a, uint32_t b)
{
   const ecl_sort_context_t *sort = context;

   return sort->pattern->direction * ecl_compare (&sort->values[a], &sort->values[b]);
}

static int
by_keys (const void *context, uint32_t a, uint32_t b)
{
   const ecl_sort_context_t *sort = context;
   uint32_t n = sort->pattern->n_keys;

   for (uint32_t k = 0; k < n; k++) {
      int order = ecl_compare (&sort->values[(size_t) a * n + k], &sort->values[(size_t) b * n + k]);

      if (order) {
         return sort->pattern->keys[k].direction * order;
      }
   }
   return 0;
}

bool
ecl_op_sortArray (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_sort_context_t sort = {.pattern = self->data};
   uint32_t n_keys = sort.pattern->n_keys;
   const ecl_value_t *items;
   const uint32_t *order;
   ecl_value_t input, *sorted;
   uint32_t n;

   if (!ecl_expr_eval (self->args[0], ev, &input)) {
      return false;
   }
   if (ecl_is_nullish (&input)) {
      *out = ecl_null ();
      return true;
   }
   if (input.type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail (ev, self, 2942504, "the input argument to $sortArray must be an array, but was of type: %s",
                            ecl_type_name (input.type));
   }
   items = ecl_array_items (&ev->arena, &input, &n);
   if (n_keys) {
      ecl_value_t *keys = ecl_arena_array (&ev->arena, ecl_value_t, (size_t) n * n_keys);

      for (uint32_t i = 0; i < n; i++) {
         for (uint32_t k = 0; k < n_keys; k++) {
            keys[(size_t) i * n_keys + k] =
               items[i].type == BSON_TYPE_DOCUMENT
                  ? sort_value (&items[i], sort.pattern->keys[k].path, sort.pattern->keys[k].len)
                  : ecl_null ();
         }
      }
      sort.values = keys;
   } else {
      sort.values = items;
   }
   order = ecl_sort_positions (&ev->arena, n, n_keys ? by_keys : by_value, &sort);
   sorted = ecl_arena_array (&ev->arena, ecl_value_t, n);
   for (uint32_t i = 0; i < n; i++) {
      sorted[i] = items[order[i]];
   }
   *out = ecl_vec (sorted, n);
   return true;
}
