/* Rows into statements: "$$name" of a foreach's `let` by its value. See migrate.h.
 *
 * Only a string that is exactly that is replaced. Inside of a pipeline and of $expr the value becomes a $literal, so
 * that data that looks like "$field" is never read as an expression; behind a path of a filter data that looks like a
 * condition, {$gt: ""} or a regular expression, goes into an $eq.
 */
#include "migrate/migrate-private.h"

#include "bson/make.h"

/* ---- rows ---- */

bool
ecl_lets_init (ecl_lets_t *self, const ecl_act_t *foreach, bson_error_t *error)
{
   ecl_parse_t parse;

   self->foreach = foreach;
   ecl_arena_init (&self->plan);
   ecl_eval_init (&self->ev);
   self->exprs = ecl_arena_array (&self->plan, ecl_expr_t *, foreach->n_lets + 1);
   ecl_parse_init (&parse, &self->plan, &self->ev, NULL, NULL);
   for (size_t i = 0; i < foreach->n_lets; i++) {
      self->exprs[i] = ecl_parse_expr (&parse, &foreach->lets[i].spec);
      if (!self->exprs[i]) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "let: %s cannot be read", foreach->lets[i].name);
      }
   }
   ecl_eval_reserve_vars (&self->ev, parse.max_vars);
   return true;
}

void
ecl_lets_cleanup (ecl_lets_t *self)
{
   ecl_eval_cleanup (&self->ev);
   ecl_arena_cleanup (&self->plan);
}

bool
ecl_lets_row (ecl_lets_t *self, const ecl_value_t *document, ecl_arena_t *arena, ecl_row_t *row, bson_error_t *error)
{
   size_t n = self->foreach->n_lets;
   ecl_value_t *values = ecl_arena_array (arena, ecl_value_t, n + 1), value;

   ecl_arena_reset (&self->ev.arena);
   for (size_t i = 0; i < n; i++) {
      if (!ecl_expr_run (self->exprs[i], &self->ev, document, &value, error)) {
         ecl_error_prefix (error, "let: %s", self->foreach->lets[i].name);
         return false;
      }
      values[i] = value.type == ECL_MISSING ? value : ecl_value_copy (arena, &value);
   }
   *row = (ecl_row_t){.foreach = self->foreach, .values = values};
   return true;
}

/* ---- statements ---- */

static const ecl_value_t *
find (const ecl_row_t *row, const ecl_value_t *value)
{
   if (!ecl_is_string (value) || value->len < 3 || memcmp (value->u.str, "$$", 2) != 0) {
      return NULL;
   }
   for (size_t i = 0; i < row->foreach->n_lets; i++) {
      const char *name = row->foreach->lets[i].name;

      if (strlen (name) == value->len - 2 && memcmp (name, value->u.str + 2, value->len - 2) == 0) {
         return &row->values[i];
      }
   }
   return NULL;
}

/* What a value stands for in a statement. */
typedef enum {
   AS_DATA,
   AS_QUERY,     /* a filter, or a list of them */
   AS_CONDITION, /* what stands behind a path in a filter */
   AS_EXPRESSION,
} role_t;

static bool
is_operator (const ecl_field_t *field)
{
   return field->key_len && field->key[0] == '$';
}

/* What a field's value stands for, by what the document does. */
static role_t
role_of (role_t document, const ecl_field_t *field)
{
   if (document == AS_EXPRESSION || ecl_key_is (field, "$expr")) {
      return AS_EXPRESSION;
   }
   if (document == AS_QUERY) {
      return !is_operator (field)                                                                    ? AS_CONDITION
             : ecl_key_is (field, "$and") || ecl_key_is (field, "$or") || ecl_key_is (field, "$nor") ? AS_QUERY
                                                                                                     : AS_DATA;
   }
   return document != AS_CONDITION           ? AS_DATA
          : ecl_key_is (field, "$elemMatch") ? AS_QUERY
          : ecl_key_is (field, "$not")       ? AS_CONDITION
                                             : AS_DATA;
}

/* Whether a query would take it for more than a value to compare with. */
static bool
is_condition (const ecl_value_t *value)
{
   ecl_field_t field;
   ecl_iter_t iter;

   if (!ecl_is_document (value)) {
      return value->type == BSON_TYPE_REGEX;
   }
   ecl_iter_init (&iter, value);
   return ecl_iter_field (&iter, &field) && is_operator (&field);
}

typedef struct {
   ecl_arena_t *arena;
   const ecl_row_t *row;
   bool filter;
   bson_error_t *error;
} fill_t;

static bool
fill (fill_t *self, const ecl_value_t *value, role_t role, ecl_value_t *out)
{
   const ecl_value_t *found = find (self->row, value);
   ecl_field_t field, *fields;
   ecl_value_t item, *items;
   ecl_iter_t iter;
   uint32_t n = 0;

   *out = *value;
   if (found) {
      if (found->type == ECL_MISSING && self->filter) {
         return ecl_fail (self->error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID,
                          "a row has no value for \"%.*s\", and the filter without it would match more than was meant: "
                          "use $ifNull, or leave such rows out of the query",
                          (int) value->len, value->u.str);
      }
      *out = *found;
      if (role == AS_EXPRESSION && found->type != ECL_MISSING) {
         *out = ecl_make_object (self->arena, "$literal", *found);
      } else if (role == AS_CONDITION && is_condition (found)) {
         *out = ecl_make_object (self->arena, "$eq", *found);
      }
      return true;
   }
   if (ecl_is_document (value)) {
      ecl_iter_init (&iter, value);
      while (ecl_iter_field (&iter, &field)) {
         n++;
      }
      fields = ecl_arena_array (self->arena, ecl_field_t, n + 1);
      n = 0;
      ecl_iter_init (&iter, value);
      while (ecl_iter_field (&iter, &field)) {
         fields[n] = field;
         if (!fill (self, &field.value, role_of (role, &field), &fields[n].value)) {
            return false;
         }
         n++;
      }
      *out = ecl_fields (fields, n);
   } else if (ecl_is_array (value)) {
      items = ecl_arena_array (self->arena, ecl_value_t, ecl_array_count (value) + 1);
      ecl_iter_init (&iter, value);
      while (ecl_iter_item (&iter, &item)) {
         if (!fill (self, &item, role == AS_CONDITION ? AS_DATA : role, &items[n++])) {
            return false;
         }
      }
      *out = ecl_vec (items, n);
   }
   return true;
}

bool
ecl_migrate_fill (ecl_arena_t *arena, const ecl_row_t *row, const ecl_value_t *value, bool filter, ecl_value_t *out,
                  bson_error_t *error)
{
   fill_t self = {.arena = arena, .row = row, .filter = filter, .error = error};

   if (!row->foreach) {
      *out = *value;
      return true;
   }
   /* Of all that a statement takes only an update's pipeline is a list of expressions. */
   return fill (&self, value, filter ? AS_QUERY : ecl_is_array (value) ? AS_EXPRESSION : AS_DATA, out);
}
