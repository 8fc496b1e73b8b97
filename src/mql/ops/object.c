/* One field of an object: $getField $setField $unsetField. */
#include "mql/ops/object.h"

/* ---- $getField ---- */

/* An expression from text that was not in the source: `prefix` and name. */
static ecl_expr_t *
parse_text (ecl_parse_t *parse, const ecl_field_t *spec, const char *prefix, const ecl_value_t *name)
{
   size_t n = strlen (prefix);
   char *text = ecl_arena_alloc (parse->arena, n + name->len);
   ecl_field_t field = *spec;

   memcpy (text, prefix, n);
   if (name->len) {
      memcpy (text + n, name->u.str, name->len);
   }
   field.value = ecl_string (text, n + name->len);
   return ecl_parse_expr (parse, &field);
}

/* True for a name that a field path of one component can say. */
static bool
is_plain_name (const ecl_value_t *v)
{
   return v->len > 0 && v->u.str[0] != '$' && !memchr (v->u.str, '.', v->len) && !memchr (v->u.str, 0, v->len);
}

/* args: field, input */
ecl_expr_t *
ecl_op_getField_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   static const char *const names[] = {"field", "input"};
   const ecl_value_t none = ecl_string ("", 0);
   ecl_field_t first = {0};
   ecl_iter_t iter;
   ecl_expr_t *e = ecl_parse_node (parse, op, spec, 2);

   if (spec->value.type == BSON_TYPE_DOCUMENT) {
      ecl_iter_init (&iter, &spec->value);
      ecl_iter_field (&iter, &first);
   }
   if (spec->value.type != BSON_TYPE_DOCUMENT || (first.key_len && first.key[0] == '$')) {
      /* {$getField: name}: of the current document; name may be an expression */
      e->args[0] = ecl_parse_expr (parse, spec);
      e->args[1] = e->args[0] ? parse_text (parse, spec, "$$CURRENT", &none) : NULL;
      if (!e->args[1]) {
         return NULL;
      }
   } else {
      if (!ecl_parse_arguments (parse, e, spec, names, 3041701)) {
         return NULL;
      }
      for (uint32_t k = 0; k < 2; k++) {
         if (!e->args[k]) {
            return ecl_parse_fail (parse, ecl_at (spec), 3041702 + k, "$getField requires '%s' to be specified",
                                   names[k]);
         }
      }
   }
   if (ecl_is_constant (e->args[0])) {
      const ecl_value_t *name = &e->args[0]->constant;

      if (name->type != BSON_TYPE_UTF8) {
         return ecl_parse_fail (parse, ecl_at (spec), 5654602,
                                "$getField requires 'field' to evaluate to type String, but got %s",
                                ecl_type_name (name->type));
      }
      /* What a field path can say too is made one: it reads one field and not the whole document. */
      if (e->args[1]->kind == ECL_EXPR_ROOT && is_plain_name (name)) {
         return parse_text (parse, spec, "$$ROOT.", name);
      }
   }
   return ecl_parse_fold (parse, e);
}

bool
ecl_op_getField (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t name, input;

   if (!ecl_expr_eval (self->args[0], ev, &name)) {
      return false;
   }
   if (name.type != BSON_TYPE_UTF8) {
      return ecl_eval_fail (ev, self, 3041704, "$getField requires 'field' to evaluate to type String, but got %s",
                            ecl_type_name (name.type));
   }
   if (!ecl_expr_eval (self->args[1], ev, &input)) {
      return false;
   }
   if (input.type == BSON_TYPE_DOCUMENT) {
      *out = ecl_is_constant (self->args[0]) ? ecl_document_get (&input, name.u.str, name.len)
                                             : ecl_eval_get (ev, &input, name.u.str, name.len);
   } else if (input.type == BSON_TYPE_NULL || input.type == BSON_TYPE_UNDEFINED) {
      *out = ecl_null ();
   } else {
      *out = ecl_missing ();
   }
   return true;
}

/* ---- $setField, $unsetField ---- */

/* The name must stand there as a constant: a string, or one in $literal; what merely evaluates to one is refused. */
static bool
parse_constant_name (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *field, ecl_expr_t **out)
{
   const ecl_value_t *v = &field->value;
   bool literal = v->type != BSON_TYPE_DOCUMENT && v->type != BSON_TYPE_ARRAY;

   if (v->type == BSON_TYPE_UTF8 && v->len && v->u.str[0] == '$') {
      ecl_parse_fail (parse, ecl_at (field), 4161108,
                      "'%.*s' is a field path reference which is not allowed in this context. Did you mean {$literal: "
                      "'%.*s'}?",
                      (int) v->len, v->u.str, (int) v->len, v->u.str);
      return false;
   }
   if (v->type == BSON_TYPE_DOCUMENT) {
      ecl_iter_t iter;
      ecl_field_t first;

      ecl_iter_init (&iter, v);
      literal = ecl_iter_field (&iter, &first) && (ecl_key_is (&first, "$literal") || ecl_key_is (&first, "$const"));
   }
   *out = ecl_parse_expr (parse, field);
   if (!*out) {
      return false;
   }
   if (!literal || !ecl_is_constant (*out)) {
      ecl_parse_fail (parse, ecl_at (field), 4161106,
                      "%s requires 'field' to evaluate to a constant, but got a non-constant argument", op->name);
      return false;
   }
   v = &(*out)->constant;
   if (v->type != BSON_TYPE_UTF8) {
      ecl_parse_fail (parse, ecl_at (field), 4161107, "%s requires 'field' to evaluate to type String, but got %s",
                      op->name, ecl_type_name (v->type));
      return false;
   }
   if (memchr (v->u.str, 0, v->len)) {
      ecl_parse_fail (parse, ecl_at (field), 16411, "%s: a field's name may not contain '\\0'", op->name);
      return false;
   }
   return true;
}

/* args: field, input, value (NULL for $unsetField) */
static ecl_expr_t *
parse_set_field (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec, bool sets)
{
   ecl_iter_t iter;
   ecl_field_t field;
   ecl_field_t name = {0};
   ecl_expr_t *e;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return ecl_parse_fail (parse, ecl_at (spec), 4161100, "%s only supports an object as its argument, found %s",
                             op->name, ecl_type_name (spec->value.type));
   }
   e = ecl_parse_node (parse, op, spec, 3);
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      bool is_value = sets && ecl_key_is (&field, "value");

      if (ecl_key_is (&field, "field")) {
         name = field;
         continue;
      }
      if (!is_value && !ecl_key_is (&field, "input")) {
         return ecl_parse_fail (parse, ecl_at (&field), 4161101, "%s found an unknown argument: %.*s", op->name,
                                (int) field.key_len, field.key);
      }
      e->args[is_value ? 2 : 1] = ecl_parse_expr (parse, &field);
      if (!e->args[is_value ? 2 : 1]) {
         return NULL;
      }
   }
   if (!name.key) {
      return ecl_parse_fail (parse, ecl_at (spec), 4161102, "%s requires 'field' to be specified", op->name);
   }
   if (sets && !e->args[2]) {
      return ecl_parse_fail (parse, ecl_at (spec), 4161103, "%s requires 'value' to be specified", op->name);
   }
   if (!e->args[1]) {
      return ecl_parse_fail (parse, ecl_at (spec), 4161109, "%s requires 'input' to be specified", op->name);
   }
   return parse_constant_name (parse, op, &name, &e->args[0]) ? ecl_parse_fold (parse, e) : NULL;
}

ecl_expr_t *
ecl_op_setField_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return parse_set_field (parse, op, spec, true);
}

ecl_expr_t *
ecl_op_unsetField_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return parse_set_field (parse, op, spec, false);
}

/* The document with the field in its place, at the end where it is new, without it where the value is missing. */
bool
ecl_op_setField (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   const ecl_value_t *name = &self->args[0]->constant;
   ecl_value_t input, value;
   bool found = false;
   const char *key;
   uint32_t len;
   ecl_walk_t walk;
   ecl_list_t list;

   if (!ecl_expr_eval (self->args[1], ev, &input)) {
      return false;
   }
   if (ecl_is_nullish (&input)) {
      *out = ecl_null ();
      return true;
   }
   if (input.type != BSON_TYPE_DOCUMENT) {
      return ecl_eval_fail (ev, self, 4161105, "%s requires 'input' to evaluate to type Object, but got %s",
                            self->op->name, ecl_type_name (input.type));
   }
   if (!ecl_arg (self, 2, ev, &value)) {
      return false;
   }
   list_init (&list, &ev->arena, input.rep == ECL_REP_FIELDS ? input.len + 3 : 3);
   walk_init (&walk, &input);
   while (walk_next (&walk, &key, &len)) {
      if (len == name->len && memcmp (key, name->u.str, len) == 0) {
         if (!found) {
            list_add (&list, key, len, &value);
            found = true;
         }
      } else {
         walk_keep (&walk, &list);
      }
   }
   if (!found) {
      list_add (&list, name->u.str, name->len, &value);
   }
   *out = list_end (&list);
   return true;
}

bool
ecl_op_unsetField (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return ecl_op_setField (self, ev, out);
}
