/* What is known of a value before anything runs: whether a `let` is in it, and what an expression gives at least. See
 * work_lint.c.
 */
#include "project/work_lint-private.h"

bool
ecl_names_let (const ecl_act_t *foreach, const ecl_value_t *value)
{
   ecl_field_t field;
   ecl_iter_t iter;

   if (!foreach) {
      return false;
   }
   if (ecl_is_document (value) || ecl_is_array (value)) {
      ecl_iter_init (&iter, value);
      while (ecl_iter_field (&iter, &field)) {
         if (ecl_names_let (foreach, &field.value)) {
            return true;
         }
      }
   }
   return ecl_work_is_let (foreach, value, NULL);
}

/* Whether an expression is written as the value that it gives. */
static bool
is_plain (const ecl_value_t *value)
{
   ecl_field_t field;
   ecl_iter_t iter;

   if (ecl_is_string (value)) {
      return value->len == 0 || value->u.str[0] != '$';
   }
   if (ecl_is_document (value) || ecl_is_array (value)) {
      ecl_iter_init (&iter, value);
      while (ecl_iter_field (&iter, &field)) {
         if ((ecl_is_document (value) && field.key_len && field.key[0] == '$') || !is_plain (&field.value)) {
            return false;
         }
      }
   }
   return true;
}

/* At least so much is known where any of several may be the result. */
static ecl_gives_t
common (ecl_gives_t a, ecl_gives_t b)
{
   if (a == ECL_GIVES_VALUE) {
      a = ECL_GIVES_SOME;
   }
   if (b == ECL_GIVES_VALUE) {
      b = ECL_GIVES_SOME;
   }
   return a == b && (a == ECL_GIVES_SOME || a == ECL_GIVES_SCALAR) ? a
          : (a == ECL_GIVES_SOME || a == ECL_GIVES_SCALAR) && (b == ECL_GIVES_SOME || b == ECL_GIVES_SCALAR)
             ? ECL_GIVES_SOME
             : ECL_GIVES_UNKNOWN;
}

static ecl_gives_t
gives (const ecl_act_t *foreach, const ecl_value_t *expression)
{
   ecl_value_t value;
   ecl_name_t from;

   return ecl_expression_gives (foreach, expression, &value, &from);
}

/* $cond: [if, then, else] or {if, then, else} */
static ecl_gives_t
gives_cond (const ecl_act_t *foreach, const ecl_value_t *spec)
{
   ecl_value_t branch[3] = {ecl_missing (), ecl_missing (), ecl_missing ()};
   ecl_iter_t iter;

   if (ecl_is_array (spec)) {
      ecl_iter_init (&iter, spec);
      for (int i = 0; i < 3 && ecl_iter_item (&iter, &branch[i]); i++) {
      }
   } else if (ecl_is_document (spec)) {
      branch[1] = ecl_document_get (spec, "then", 4);
      branch[2] = ecl_document_get (spec, "else", 4);
   }
   return common (gives (foreach, &branch[1]), gives (foreach, &branch[2]));
}

ecl_gives_t
ecl_expression_gives (const ecl_act_t *foreach, const ecl_value_t *expression, ecl_value_t *value, ecl_name_t *from)
{
   /* What may give nothing at all; everything else gives a value or null. */
   static const char *const partial[] = {"$getField", "$arrayElemAt", "$first",   "$last", "$switch", "$let", "$reduce",
                                         "$setField", "$function",    "$convert", "$minN", "$maxN",   NULL};
   static const char *const never_null[] = {"$eq",   "$ne",   "$gt",           "$gte",     "$lt",      "$lte",
                                            "$and",  "$or",   "$not",          "$in",      "$isArray", "$isNumber",
                                            "$type", "$size", "$mergeObjects", "$toLower", "$toUpper", NULL};
   ecl_value_t last = ecl_missing ();
   const ecl_let_t *let;
   ecl_field_t op;
   ecl_iter_t iter;

   *value = *expression;
   *from = (ecl_name_t){"", 0};
   if (ecl_work_is_let (foreach, expression, &let)) {
      ecl_value_t ignored;
      ecl_gives_t known = ecl_expression_gives (NULL, &let->spec.value, &ignored, from);

      if (known == ECL_GIVES_AS) {
         return from->len == 3 && memcmp (from->str, "_id", 3) == 0 ? ECL_GIVES_SOME : ECL_GIVES_UNKNOWN;
      }
      return known == ECL_GIVES_VALUE ? ECL_GIVES_SOME : known;
   }
   if (ecl_is_string (expression) && expression->len && expression->u.str[0] == '$') {
      if (expression->len == 5 && memcmp (expression->u.str, "$$NOW", 5) == 0) {
         return ECL_GIVES_SCALAR;
      }
      if (expression->len > 1 && expression->u.str[1] != '$') {
         *from = (ecl_name_t){expression->u.str + 1, expression->len - 1};
         return ECL_GIVES_AS;
      }
      return ECL_GIVES_UNKNOWN;
   }
   if (is_plain (expression)) {
      return ECL_GIVES_VALUE;
   }
   if (!ecl_is_operator (expression) || !ecl_only_field (expression, &op)) {
      return ECL_GIVES_SOME; /* a document or a list is made */
   }
   if (ecl_key_is (&op, "$literal")) {
      *value = op.value;
      return ECL_GIVES_VALUE;
   }
   if (ecl_key_is (&op, "$cond")) {
      return gives_cond (foreach, &op.value);
   }
   if (ecl_key_is (&op, "$ifNull") && ecl_is_array (&op.value)) {
      ecl_iter_init (&iter, &op.value);
      while (ecl_iter_item (&iter, &last)) {
      }
      return common (ECL_GIVES_SOME, gives (foreach, &last));
   }
   return ecl_is_one_of (&op, partial)      ? ECL_GIVES_UNKNOWN
          : ecl_is_one_of (&op, never_null) ? ECL_GIVES_SCALAR
                                            : ECL_GIVES_SOME;
}
