/* Arguments by name: the generic form of operators.def, and what operators with complaints of their own share. */
#include "mql/expr.h"

uint32_t
ecl_key_among (const ecl_field_t *field, const char *const *names, uint32_t n)
{
   uint32_t k = 0;

   while (k < n && !ecl_key_is (field, names[k])) {
      k++;
   }
   return k;
}

bool
ecl_parse_arguments (ecl_parse_t *self, ecl_expr_t *e, const ecl_field_t *spec, const char *const *names,
                     uint32_t unknown)
{
   ecl_iter_t iter;
   ecl_field_t field;

   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      uint32_t k = ecl_key_among (&field, names, e->n);

      if (k == e->n) {
         ecl_parse_fail (self, ecl_at (&field), unknown, "%s found an unknown argument: %.*s", e->op->name,
                         (int) field.key_len, field.key);
         return false;
      }
      e->args[k] = ecl_parse_expr (self, &field);
      if (!e->args[k]) {
         return false;
      }
   }
   return true;
}

/* ---- names of operators.def ---- */

/* The index of a name in "a! b c!"; its number of names goes to *n. */
static int
named_index (const char *names, const ecl_field_t *field, uint32_t *n)
{
   int found = -1;
   uint32_t i = 0;

   for (const char *p = names; *p; i++) {
      size_t len = strcspn (p, " ");
      size_t bare = len && p[len - 1] == '!' ? len - 1 : len;

      if (field && bare == field->key_len && memcmp (p, field->key, bare) == 0) {
         found = (int) i;
      }
      p += len;
      p += *p == ' ';
   }
   *n = i;
   return found;
}

ecl_expr_t *
ecl_parse_named (ecl_parse_t *self, const ecl_operator_t *op, const ecl_field_t *spec)
{
   uint32_t n, i = 0;
   ecl_expr_t *e;
   ecl_iter_t iter;
   ecl_field_t field;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return ecl_parse_fail (self, ecl_at (spec), 9, "%s expects an object of named arguments (%s), found %s", op->name,
                             op->named, ecl_type_name (spec->value.type));
   }
   named_index (op->named, NULL, &n);
   e = ecl_parse_node (self, op, spec, n);
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      int k = named_index (op->named, &field, &n);

      if (k < 0) {
         return ecl_parse_fail (self, ecl_at (&field), 9, "%s has no argument '%.*s'; it takes: %s", op->name,
                                (int) field.key_len, field.key, op->named);
      }
      e->args[k] = ecl_parse_expr (self, &field);
      if (!e->args[k]) {
         return NULL;
      }
   }
   for (const char *p = op->named; *p; i++) {
      size_t len = strcspn (p, " ");

      if (p[len - 1] == '!' && !e->args[i]) {
         return ecl_parse_fail (self, ecl_at (spec), 9, "%s requires the argument '%.*s'", op->name, (int) len - 1, p);
      }
      p += len;
      p += *p == ' ';
   }
   return ecl_parse_fold (self, e);
}
