/* $median and $percentile as expressions: method "approximate" over the numbers of one array.
 *
 * On an array the server's "approximate" is the discrete percentile, exact: the smallest number that at least the
 * given part of all numbers does not exceed. What is no number, and NaN, is passed over; results are doubles.
 */
#include "mql/operators.h"

#include <math.h>

enum { INPUT, P, METHOD, N_ARGUMENTS };

static const char *const names[N_ARGUMENTS] = {"input", "p", "method"};

/* What the parser makes of p. */
typedef struct {
   uint32_t n;
   double p[];
} percentiles_t;

static bool
find_arguments (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec, bool median,
                ecl_field_t found[N_ARGUMENTS])
{
   ecl_iter_t iter;
   ecl_field_t field;

   memset (found, 0, N_ARGUMENTS * sizeof *found);
   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      ecl_parse_fail (parse, ecl_at (spec), median ? 7436201 : 7436200, "%s takes an object; found %s", op->name,
                      ecl_type_name (spec->value.type));
      return false;
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      uint32_t k = ecl_key_among (&field, names, N_ARGUMENTS);

      if (k == N_ARGUMENTS || (median && k == P)) {
         ecl_parse_fail (parse, ecl_at (&field), 40415, "%s has no argument '%.*s'", op->name, (int) field.key_len,
                         field.key);
         return false;
      }
      if (found[k].key) {
         ecl_parse_fail (parse, ecl_at (&field), 40413, "%s has the argument '%s' twice", op->name, names[k]);
         return false;
      }
      found[k] = field;
   }
   for (int k = 0; k < N_ARGUMENTS; k++) {
      if (!found[k].key && !(median && k == P)) {
         ecl_parse_fail (parse, ecl_at (spec), 40414, "%s requires the argument '%s'", op->name, names[k]);
         return false;
      }
   }
   return true;
}

static bool
check_method (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *method)
{
   static const char approximate[] = "approximate";

   if (!ecl_is_string (&method->value)) {
      ecl_parse_fail (parse, ecl_at (method), 14, "the method of %s must be a string, found %s", op->name,
                      ecl_type_name (method->value.type));
      return false;
   }
   if (method->value.len != sizeof approximate - 1 ||
       memcmp (method->value.u.str, approximate, sizeof approximate - 1) != 0) {
      ecl_parse_fail (parse, ecl_at (method), 2, "the only method of %s is 'approximate'", op->name);
      return false;
   }
   return true;
}

/* p may be an expression, if it is constant. */
static const percentiles_t *
parse_percentiles (ecl_parse_t *parse, const ecl_field_t *spec)
{
   ecl_expr_t *e = ecl_parse_expr (parse, spec);
   percentiles_t *percentiles;
   ecl_iter_t iter;
   ecl_value_t v;
   uint32_t n;

   if (!e) {
      return NULL;
   }
   if (!ecl_is_constant (e)) {
      return ecl_parse_fail (parse, ecl_at (spec), 7750300, "p of $percentile must be constant");
   }
   n = ecl_is_array (&e->constant) ? ecl_array_count (&e->constant) : 0;
   if (n == 0) {
      return ecl_parse_fail (parse, ecl_at (spec), 7750301,
                             "p of $percentile must be an array of numbers from 0 to 1, found %s",
                             ecl_is_array (&e->constant) ? "an empty one" : ecl_type_name (e->constant.type));
   }
   percentiles = ecl_arena_alloc (parse->arena, sizeof *percentiles + n * sizeof percentiles->p[0]);
   percentiles->n = 0;
   ecl_iter_init (&iter, &e->constant);
   while (ecl_iter_item (&iter, &v)) {
      double p;

      if (!ecl_is_number (&v)) {
         return ecl_parse_fail (parse, ecl_at (spec), 7750302,
                                "p of $percentile must be an array of numbers from 0 to 1, found %s in it",
                                ecl_type_name (v.type));
      }
      p = ecl_number_to_double (&v);
      if (!(p >= 0 && p <= 1)) {
         return ecl_parse_fail (parse, ecl_at (spec), 7750303,
                                "p of $percentile must be an array of numbers from 0 to 1, found %.17g in it", p);
      }
      percentiles->p[percentiles->n++] = p;
   }
   return percentiles;
}

static ecl_expr_t *
parse_quantile (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec, bool median)
{
   ecl_field_t found[N_ARGUMENTS];
   ecl_expr_t *e;

   if (!find_arguments (parse, op, spec, median, found) || !check_method (parse, op, &found[METHOD])) {
      return NULL;
   }
   e = ecl_parse_node (parse, op, spec, 1);
   e->args[0] = ecl_parse_expr (parse, &found[INPUT]);
   if (!e->args[0]) {
      return NULL;
   }
   if (!median) {
      e->data = parse_percentiles (parse, &found[P]);
      if (!e->data) {
         return NULL;
      }
   }
   return ecl_parse_fold (parse, e);
}

ecl_expr_t *
ecl_op_median_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return parse_quantile (parse, op, spec, true);
}

ecl_expr_t *
ecl_op_percentile_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return parse_quantile (parse, op, spec, false);
}

/* ---- evaluation ---- */

static void
sift_down (double *heap, uint32_t n, uint32_t root)
{
   double x = heap[root];
   uint32_t child;

   while ((child = 2 * root + 1) < n) {
      if (child + 1 < n && heap[child + 1] > heap[child]) {
         child++;
      }
      if (!(heap[child] > x)) {
         break;
      }
      heap[root] = heap[child];
      root = child;
   }
   heap[root] = x;
}

/* Heapsort: qsort may allocate, and no input makes this one quadratic. */
static void
sort_doubles (double *d, uint32_t n)
{
   for (uint32_t i = n / 2; i-- > 0;) {
      sift_down (d, n, i);
   }
   for (uint32_t i = n; i-- > 1;) {
      double last = d[i];

      d[i] = d[0];
      d[0] = last;
      sift_down (d, i, 0);
   }
}

/* The input's numbers in order; a number is an array of one. */
static bool
collect (const ecl_expr_t *self, ecl_eval_t *ev, const double **sorted, uint32_t *n)
{
   ecl_value_t v;
   ecl_iter_t iter;
   double *numbers;
   bool in_order = true;
   uint32_t count = 0;

   *n = 0;
   if (!ecl_expr_eval (self->args[0], ev, &v)) {
      return false;
   }
   if (ecl_is_number (&v)) {
      ecl_value_t *one = ecl_arena_new (&ev->arena, ecl_value_t);

      *one = v;
      v = ecl_vec (one, 1);
   }
   if (!ecl_is_array (&v)) {
      return true;
   }
   numbers = ecl_arena_array (&ev->arena, double, ecl_array_count (&v));
   ecl_iter_init (&iter, &v);
   while (ecl_iter_item (&iter, &v)) {
      double d;

      if (!ecl_is_number (&v)) {
         continue;
      }
      d = ecl_number_to_double (&v);
      if (isnan (d)) {
         continue;
      }
      in_order &= count == 0 || numbers[count - 1] <= d;
      numbers[count++] = d;
   }
   if (!in_order) {
      sort_doubles (numbers, count);
   }
   *sorted = numbers;
   *n = count;
   return true;
}

static ecl_value_t
percentile (const double *sorted, uint32_t n, double p)
{
   double rank;

   if (n == 0) {
      return ecl_null ();
   }
   rank = ceil (n * p);
   return ecl_double (sorted[rank < 1 ? 0 : rank >= n ? n - 1 : (uint32_t) rank - 1]);
}

bool
ecl_op_median (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   const double *sorted = NULL;
   uint32_t n;

   if (!collect (self, ev, &sorted, &n)) {
      return false;
   }
   *out = percentile (sorted, n, 0.5);
   return true;
}

bool
ecl_op_percentile (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   const percentiles_t *percentiles = self->data;
   const double *sorted = NULL;
   ecl_value_t *results;
   uint32_t n;

   if (!collect (self, ev, &sorted, &n)) {
      return false;
   }
   results = ecl_arena_array (&ev->arena, ecl_value_t, percentiles->n);
   for (uint32_t i = 0; i < percentiles->n; i++) {
      results[i] = percentile (sorted, n, percentiles->p[i]);
   }
   *out = ecl_vec (results, percentiles->n);
   return true;
}
