/* What the runners of cases share: see case.h. */
#include "case.h"

#include "bson/decimal.h"

#include <math.h>

/* ---- comparison ---- */

static bool
equal_numbers (const ecl_value_t *a, const ecl_value_t *b, ecl_case_compare_t how)
{
   if (how == ECL_CASE_ULP && a->type == b->type) {
      double x = ecl_number_to_double (a), y = ecl_number_to_double (b);

      if (a->type == BSON_TYPE_DOUBLE || a->type == BSON_TYPE_DECIMAL128) {
         return (isnan (x) && isnan (y)) || x == y || fabs (x - y) <= 1e-13 * fmax (fabs (x), fabs (y));
      }
   }
   if (how == ECL_CASE_NUM || how == ECL_CASE_NUM_UNORDERED) {
      double x = ecl_number_to_double (a), y = ecl_number_to_double (b);

      return ecl_equal (a, b) || (isnan (x) && isnan (y)) || fabs (x - y) <= 1e-13 * fmax (fabs (x), fabs (y));
   }
   return ecl_identical (a, b);
}

static bool
equal_lists (const ecl_value_t *a, const ecl_value_t *b, ecl_case_compare_t how)
{
   ecl_arena_t arena;
   uint32_t n, m;
   bool equal = true;
   bool unordered = how == ECL_CASE_UNORDERED || how == ECL_CASE_NUM_UNORDERED;

   ecl_arena_init (&arena);
   const ecl_value_t *x = ecl_array_items (&arena, a, &n);
   const ecl_value_t *y = ecl_array_items (&arena, b, &m);
   bool *used = ecl_arena_array (&arena, bool, m + 1);

   memset (used, 0, m + 1);
   equal = n == m;
   for (uint32_t i = 0; i < n && equal; i++) {
      uint32_t k = unordered ? 0 : i;

      for (; k < (unordered ? m : i + 1); k++) {
         ecl_value_t left = ecl_present (x[i]), right = ecl_present (y[k]);

         if (!used[k] && ecl_case_equal (&left, &right, how)) {
            used[k] = true;
            break;
         }
      }
      equal = k < (unordered ? m : i + 1);
   }
   ecl_arena_cleanup (&arena);
   return equal;
}

static bool
equal_documents (const ecl_value_t *a, const ecl_value_t *b, ecl_case_compare_t how)
{
   ecl_arena_t arena;
   uint32_t n, m;
   bool equal;

   ecl_arena_init (&arena);
   const ecl_field_t *x = ecl_document_fields (&arena, a, &n);
   const ecl_field_t *y = ecl_document_fields (&arena, b, &m);

   equal = n == m;
   for (uint32_t i = 0; i < n && equal; i++) {
      if (how == ECL_CASE_NUM_UNORDERED) {
         ecl_value_t other = ecl_document_get (b, x[i].key, x[i].key_len);
         equal = ecl_case_equal (&x[i].value, &other, how);
      } else {
         equal = x[i].key_len == y[i].key_len && memcmp (x[i].key, y[i].key, x[i].key_len) == 0 &&
                 ecl_case_equal (&x[i].value, &y[i].value, how);
      }
   }
   ecl_arena_cleanup (&arena);
   return equal;
}

bool
ecl_case_equal (const ecl_value_t *a, const ecl_value_t *b, ecl_case_compare_t how)
{
   if (ecl_is_number (a) && ecl_is_number (b)) {
      return equal_numbers (a, b, how);
   }
   if (a->type != b->type) {
      return false;
   }
   if (a->type == BSON_TYPE_ARRAY) {
      return equal_lists (a, b, how);
   }
   if (a->type == BSON_TYPE_DOCUMENT) {
      return equal_documents (a, b, how);
   }
   return ecl_identical (a, b);
}

/* ---- running ---- */

void
ecl_case_report (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   ecl_case_problem_t *problem = context;

   (void) at;
   if (!problem->code) {
      problem->code = code;
      snprintf (problem->message, sizeof problem->message, "%s", message);
   }
}

static bool
failed (ecl_case_problem_t *problem, const bson_error_t *error)
{
   problem->code = error->code;
   snprintf (problem->message, sizeof problem->message, "%s", error->message);
   return false;
}

bool
ecl_case_run (ecl_eval_t *ev, const ecl_value_t *pipeline, const ecl_value_t *document, ecl_value_t *out,
              ecl_case_problem_t *problem)
{
   ecl_plan_options_t options = {.report = ecl_case_report, .report_context = problem, .allow_now = true};
   ecl_plan_t *plan = ecl_plan_new (&options);
   const uint8_t *result;
   size_t len;
   bson_error_t error;
   bool ok;

   memset (problem, 0, sizeof *problem);
   ok = ecl_plan_add_pipeline (plan, pipeline, NULL);
   if (ok) {
      ecl_plan_link (plan);
      ok = ecl_plan_run (plan, ev, document->u.raw, document->len, &result, &len, &error);
      if (ok) {
         /* The result may point into the plan's constants. */
         *out = ecl_raw_document (result, len);
         *out = ecl_value_copy (&ev->arena, out);
      } else {
         failed (problem, &error);
      }
   }
   ecl_plan_destroy (plan);
   return ok;
}

bool
ecl_case_evaluate (ecl_eval_t *ev, ecl_arena_t *arena, const ecl_field_t *expression, const ecl_value_t *document,
                   ecl_value_t *out, ecl_case_problem_t *problem)
{
   ecl_parse_t parse;
   ecl_eval_t folder;
   ecl_expr_t *e;
   bson_error_t error;

   memset (problem, 0, sizeof *problem);
   ecl_eval_init (&folder);
   ecl_parse_init (&parse, arena, &folder, ecl_case_report, problem);
   parse.allow_now = true;
   e = ecl_parse_expr (&parse, expression);
   ecl_eval_cleanup (&folder);
   if (!e) {
      return false;
   }
   ecl_arena_reset (&ev->arena);
   ecl_eval_reserve_vars (ev, parse.max_vars);
   return ecl_expr_run (e, ev, document, out, &error) || failed (problem, &error);
}

const char *
ecl_case_text (const ecl_value_t *v)
{
   static ecl_buf_t buf = {.max = 1 << 20};
   ecl_arena_t arena;
   ecl_field_t field = ecl_field ("", 0, *v);
   ecl_value_t wrapped = ecl_fields (&field, 1), raw;
   bson_error_t error;

   if (v->type == ECL_MISSING) {
      return "missing";
   }
   ecl_arena_init (&arena);
   ecl_buf_clear (&buf);
   if (!ecl_value_to_raw (&arena, &wrapped, &raw, &error) ||
       !ecl_extjson_write_value ((uint8_t) v->type, raw.u.raw + 6, raw.len - 7, ECL_EXTJSON_CANONICAL, &buf, &error)) {
      ecl_buf_clear (&buf);
      if (!ecl_buf_append_str (&buf, error.message)) {
         ecl_buf_clear (&buf);
      }
   }
   ecl_arena_cleanup (&arena);
   return ecl_buf_cstr (&buf);
}

bool
ecl_case_field (const ecl_value_t *document, const char *key, ecl_field_t *out)
{
   ecl_iter_t iter;

   ecl_iter_init (&iter, document);
   while (ecl_iter_field (&iter, out)) {
      if (ecl_key_is (out, key)) {
         return true;
      }
   }
   return false;
}

bool
ecl_case_code_matches (const ecl_value_t *expected, uint32_t code)
{
   int64_t wanted;

   if (expected->type == BSON_TYPE_ARRAY) {
      ecl_iter_t iter;
      ecl_value_t item;

      ecl_iter_init (&iter, expected);
      while (ecl_iter_item (&iter, &item)) {
         if (ecl_case_code_matches (&item, code)) {
            return true;
         }
      }
      return false;
   }
   return expected->type == BSON_TYPE_BOOL || (ecl_number_to_int64 (expected, &wanted) && wanted == (int64_t) code);
}
