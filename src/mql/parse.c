/* Parsing of expressions: literals, field paths, variables, objects, arrays and the generic argument forms of
 * operators. Operators with a grammar of their own parse themselves in ops/. */
#include "base/ascii.h"
#include "base/suggest.h"
#include "mql/expr.h"
#include "mql/names.h"
#include "mql/nodes.h"

#include <stdarg.h>
#include <stdio.h>

struct ecl_scope_t {
   ecl_scope_t *outer;
   const char *name;
   size_t len;
   uint32_t index;
};

void *
ecl_parse_fail (ecl_parse_t *self, const uint8_t *at, uint32_t code, const char *format, ...)
{
   char message[400];
   va_list args;

   va_start (args, format);
   vsnprintf (message, sizeof message, format, args);
   va_end (args);
   self->failed = true;
   if (self->report) {
      self->report (self->report_context, at, code, message);
   }
   return NULL;
}

/* ---- scope ---- */

uint32_t
ecl_scope_push (ecl_parse_t *self, const char *name, size_t len)
{
   ecl_scope_t *scope = ecl_arena_new (self->arena, ecl_scope_t);

   scope->outer = self->scope;
   scope->name = name;
   scope->len = len;
   scope->index = self->n_vars++;
   self->scope = scope;
   if (self->n_vars > self->max_vars) {
      self->max_vars = self->n_vars;
   }
   return scope->index;
}

void
ecl_scope_pop (ecl_parse_t *self, uint32_t n)
{
   while (n--) {
      self->scope = self->scope->outer;
      self->n_vars--;
   }
}

static const ecl_scope_t *
find_variable (const ecl_parse_t *self, const char *name, size_t len)
{
   for (const ecl_scope_t *scope = self->scope; scope; scope = scope->outer) {
      if (scope->len == len && memcmp (scope->name, name, len) == 0) {
         return scope;
      }
   }
   return NULL;
}

static bool
is_variable_char (char c)
{
   return ecl_is_letter (c) || ecl_is_digit (c) || c == '_' || (c & 0x80);
}

bool
ecl_check_variable_name (ecl_parse_t *self, const uint8_t *at, const char *name, size_t len)
{
   if (len == 0) {
      ecl_parse_fail (self, at, 9, "empty variable names are not allowed");
      return false;
   }
   /* CURRENT is the one predefined variable that may be rebound. */
   if (len == 7 && memcmp (name, "CURRENT", 7) == 0) {
      return true;
   }
   if (!((name[0] >= 'a' && name[0] <= 'z') || (name[0] & 0x80))) {
      ecl_parse_fail (self, at, 9, "'%.*s' starts with an invalid character for a user variable name", (int) len, name);
      return false;
   }
   for (size_t i = 1; i < len; i++) {
      if (!is_variable_char (name[i])) {
         ecl_parse_fail (self, at, 9, "'%.*s' contains an invalid character for a variable name: '%c'", (int) len, name,
                         name[i]);
         return false;
      }
   }
   return true;
}

bool
ecl_parse_let (ecl_parse_t *self, const ecl_value_t *vars, ecl_expr_t **values)
{
   ecl_iter_t iter;
   ecl_field_t field;

   ecl_iter_init (&iter, vars);
   while (ecl_iter_field (&iter, &field)) {
      if (!ecl_check_variable_name (self, ecl_at (&field), field.key, field.key_len)) {
         return false;
      }
      *values = ecl_parse_expr (self, &field);
      if (!*values++) {
         return false;
      }
   }
   ecl_iter_init (&iter, vars);
   while (ecl_iter_field (&iter, &field)) {
      ecl_scope_push (self, field.key, field.key_len);
   }
   return true;
}

/* ---- paths ---- */

/* The limit of the server's FieldPath (BSONDepth::getMaxAllowableDepth). */
#define MAX_PATH_LENGTH 200

/* The names of a DBRef may stand in a path (mongo/src/mongo/db/pipeline/field_path.cpp). On the server also as its first
 * name; not so here, where "$" and the name of a field of the document have to be a path to it. */
static bool
is_dbref_name (const char *name, size_t len)
{
   return (len == 3 && (memcmp (name, "$id", 3) == 0 || memcmp (name, "$db", 3) == 0)) ||
          (len == 4 && memcmp (name, "$ref", 4) == 0);
}

const ecl_name_t *
ecl_parse_path (ecl_parse_t *self, const uint8_t *at, const char *path, size_t len, uint32_t *n)
{
   ecl_name_t *names;
   uint32_t count = 1, i = 0;
   const char *p = path, *end = path + len;

   if (len == 0) {
      return ecl_parse_fail (self, at, 40352, "FieldPath cannot be constructed with empty string");
   }
   if (path[len - 1] == '.') {
      return ecl_parse_fail (self, at, 40353, "FieldPath must not end with a '.': '%.*s'", (int) len, path);
   }
   for (size_t k = 0; k < len; k++) {
      count += path[k] == '.';
   }
   if (count > MAX_PATH_LENGTH) {
      return ecl_parse_fail (self, at, 5984700, "FieldPath is too long: more than %d components", MAX_PATH_LENGTH);
   }
   names = ecl_arena_array (self->arena, ecl_name_t, count);
   for (;;) {
      const char *dot = memchr (p, '.', (size_t) (end - p));
      size_t size = (size_t) ((dot ? dot : end) - p);

      if (size == 0) {
         return ecl_parse_fail (self, at, 15998, "FieldPath field names may not be empty strings: '%.*s'", (int) len,
                                path);
      }
      if (p[0] == '$' && (i == 0 || !is_dbref_name (p, size))) {
         return ecl_parse_fail (self, at, 16410,
                                "FieldPath field names may not start with '$'; consider $getField or $setField: '%.*s'",
                                (int) len, path);
      }
      if (memchr (p, 0, size)) {
         return ecl_parse_fail (self, at, 16411, "FieldPath field names may not contain '\\0'");
      }
      names[i++] = (ecl_name_t){.str = p, .len = (uint32_t) size};
      if (!dot) {
         break;
      }
      p = dot + 1;
   }
   *n = count;
   return names;
}

static ecl_expr_t *
new_expr (ecl_parse_t *self, ecl_expr_kind_t kind, ecl_eval_fn eval, const uint8_t *source)
{
   ecl_expr_t *e = ecl_arena_new (self->arena, ecl_expr_t);

   memset (e, 0, sizeof *e);
   e->kind = kind;
   e->eval = eval;
   e->source = source;
   return e;
}

ecl_expr_t *
ecl_parse_constant (ecl_parse_t *self, const ecl_value_t *value, const uint8_t *source)
{
   ecl_expr_t *e = new_expr (self, ECL_EXPR_CONST, NULL, source);

   e->constant = *value;
   return e;
}

/* "$a.b" (of the document, or of a CURRENT that was rebound) */
static ecl_expr_t *
parse_field (ecl_parse_t *self, const uint8_t *at, const char *path, size_t len)
{
   const ecl_scope_t *current = find_variable (self, "CURRENT", 7);
   uint32_t n;
   const ecl_name_t *names = ecl_parse_path (self, at, path, len, &n);
   ecl_expr_t *e;

   if (!names) {
      return NULL;
   }
   e = current ? new_expr (self, ECL_EXPR_VAR, ecl_node_var, at) : new_expr (self, ECL_EXPR_FIELD, ecl_node_field, at);
   e->keys = names;
   e->n_path = n;
   e->index = current ? current->index : 0;
   return e;
}

/* What stands behind a variable; it is one path with its name, as on the server. */
static const ecl_name_t *
parse_behind (ecl_parse_t *self, const uint8_t *at, const char *text, size_t len, uint32_t *n)
{
   const ecl_name_t *names = ecl_parse_path (self, at, text, len, n);

   if (!names) {
      return NULL;
   }
   --*n;
   return names + 1;
}

static ecl_expr_t *
parse_variable (ecl_parse_t *self, const uint8_t *at, const char *text, size_t len)
{
   const char *dot = memchr (text, '.', len);
   size_t name_len = dot ? (size_t) (dot - text) : len;
   const ecl_scope_t *scope = find_variable (self, text, name_len);
   uint32_t n = 0;
   ecl_expr_t *e;

#define NAME_IS(s) (name_len == sizeof (s) - 1 && memcmp (text, s, sizeof (s) - 1) == 0)
   if (!scope) {
      if (name_len == 0) {
         return ecl_parse_fail (self, at, 9, "empty variable names are not allowed");
      }
      if (NAME_IS ("ROOT") || NAME_IS ("CURRENT")) {
         if (dot) {
            const ecl_name_t *names = parse_behind (self, at, text, len, &n);

            /* It has to be a path of the document by itself. */
            if (!names || !ecl_parse_path (self, at, names->str, len - name_len - 1, &n)) {
               return NULL;
            }
            e = new_expr (self, ECL_EXPR_FIELD, ecl_node_field, at);
            e->keys = names;
            e->n_path = n;
            return e;
         }
         return new_expr (self, ECL_EXPR_ROOT, ecl_node_root, at);
      }
      if (NAME_IS ("REMOVE") || NAME_IS ("NOW")) {
         bool now = NAME_IS ("NOW");
         ecl_value_t missing = ecl_missing ();

         if (now && !self->allow_now) {
            return ecl_parse_fail (self, at, 17276,
                                   "$$NOW is refused here: a document migration must give the same result on any day");
         }
         if (dot && !parse_behind (self, at, text, len, &n)) {
            return NULL;
         }
         /* neither has fields */
         return now && !dot ? new_expr (self, ECL_EXPR_NOW, ecl_node_now, at) : ecl_parse_constant (self, &missing, at);
      }
      if (NAME_IS ("CLUSTER_TIME") || NAME_IS ("USER_ROLES") || NAME_IS ("SEARCH_META") || NAME_IS ("JS_SCOPE") ||
          NAME_IS ("IS_MR")) {
         return ecl_parse_fail (self, at, 17276, "$$%.*s is not supported: it is not a function of the document",
                                (int) name_len, text);
      }
      if (!NAME_IS ("DESCEND") && !NAME_IS ("PRUNE") && !NAME_IS ("KEEP") &&
          !ecl_check_variable_name (self, at, text, name_len)) {
         return NULL;
      }
      return ecl_parse_fail (self, at, 17276, "Use of undefined variable: %.*s", (int) name_len, text);
   }
#undef NAME_IS
   e = new_expr (self, ECL_EXPR_VAR, ecl_node_var, at);
   e->index = scope->index;
   if (dot) {
      e->keys = parse_behind (self, at, text, len, &e->n_path);
      if (!e->keys) {
         return NULL;
      }
   }
   return e;
}

/* ---- objects and arrays ---- */

/* Makes a constant of an object or array literal whose parts are all constant. */
static ecl_expr_t *
fold_literal (ecl_parse_t *self, ecl_expr_t *e)
{
   ecl_value_t value;

   for (uint32_t i = 0; i < e->n; i++) {
      if (!ecl_is_constant (e->args[i])) {
         return e;
      }
   }
   if (e->eval (e, self->folder, &value)) {
      value = ecl_value_copy (self->arena, &value);
      return ecl_parse_constant (self, &value, e->source);
   }
   return e;
}

static uint32_t
count_fields (const ecl_value_t *v)
{
   ecl_iter_t iter;
   ecl_field_t field;
   uint32_t n = 0;

   ecl_iter_init (&iter, v);
   while (ecl_iter_field (&iter, &field)) {
      n++;
   }
   return n;
}

static ecl_expr_t *
parse_object (ecl_parse_t *self, const ecl_field_t *spec)
{
   ecl_expr_t *e = new_expr (self, ECL_EXPR_OBJECT, ecl_node_object, ecl_at (spec));
   uint32_t n = count_fields (&spec->value), i = 0;
   ecl_names_t keys;
   ecl_iter_t iter;
   ecl_field_t field;

   ecl_names_init (&keys, self->arena);
   e->args = ecl_arena_array (self->arena, ecl_expr_t *, n);
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      if (field.key_len == 0) {
         return ecl_parse_fail (self, ecl_at (&field), 15998, "FieldPath field names may not be empty strings");
      }
      if (field.key[0] == '$') {
         return ecl_parse_fail (self, ecl_at (&field), 15983,
                                "an object representing an expression must have exactly one field: '%.*s' stands "
                                "beside other fields",
                                (int) field.key_len, field.key);
      }
      if (memchr (field.key, '.', field.key_len)) {
         return ecl_parse_fail (self, ecl_at (&field), 16412,
                                "FieldPath field names may not contain '.': '%.*s'; consider $getField or $setField",
                                (int) field.key_len, field.key);
      }
      if (ecl_names_find (&keys, field.key, field.key_len) != ECL_NAMES_NONE) {
         return ecl_parse_fail (self, ecl_at (&field), 16406, "duplicate field name specified in object literal: %.*s",
                                (int) field.key_len, field.key);
      }
      ecl_names_add (&keys, (ecl_name_t){.str = field.key, .len = field.key_len});
      e->args[i] = ecl_parse_expr (self, &field);
      if (!e->args[i]) {
         return NULL;
      }
      i++;
   }
   e->n = i;
   e->keys = keys.names;
   return fold_literal (self, e);
}

static ecl_expr_t *
parse_array (ecl_parse_t *self, const ecl_field_t *spec)
{
   ecl_expr_t *e = new_expr (self, ECL_EXPR_ARRAY, ecl_node_array, ecl_at (spec));
   uint32_t n = count_fields (&spec->value), i = 0;
   ecl_iter_t iter;
   ecl_field_t field;

   e->args = ecl_arena_array (self->arena, ecl_expr_t *, n);
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      e->args[i] = ecl_parse_expr (self, &field);
      if (!e->args[i]) {
         return NULL;
      }
      i++;
   }
   e->n = i;
   return fold_literal (self, e);
}

/* ---- operators ---- */

ecl_expr_t *
ecl_parse_node (ecl_parse_t *self, const ecl_operator_t *op, const ecl_field_t *spec, uint32_t n)
{
   ecl_expr_t *e = new_expr (self, ECL_EXPR_OPERATOR, op->eval, ecl_at (spec));

   e->op = op;
   e->n = n;
   e->args = ecl_arena_array (self->arena, ecl_expr_t *, n);
   for (uint32_t i = 0; i < n; i++) {
      e->args[i] = NULL;
   }
   return e;
}

ecl_expr_t *
ecl_parse_fold (ecl_parse_t *self, ecl_expr_t *e)
{
   ecl_value_t value;

   if (e->kind != ECL_EXPR_OPERATOR) {
      return e;
   }
   for (uint32_t i = 0; i < e->n; i++) {
      if (e->args[i] && e->args[i]->kind != ECL_EXPR_CONST) {
         return e;
      }
   }
   ecl_arena_reset (&self->folder->arena);
   self->folder->n_rows = 0;
   ecl_eval_reserve_vars (self->folder, self->max_vars);
   if (e->eval (e, self->folder, &value)) {
      value = ecl_value_copy (self->arena, &value);
      return ecl_parse_constant (self, &value, e->source);
   }
   return ecl_parse_fail (self, e->source, (uint32_t) self->folder->error.code, "%s", self->folder->error.message);
}

ecl_expr_t *
ecl_parse_positional (ecl_parse_t *self, const ecl_operator_t *op, const ecl_field_t *spec)
{
   bool list = spec->value.type == BSON_TYPE_ARRAY;
   uint32_t n = list ? count_fields (&spec->value) : 1;
   ecl_expr_t *e;

   if (op->min == op->max && n != (uint32_t) op->min) {
      return ecl_parse_fail (self, ecl_at (spec), 16020, "Expression %s takes exactly %d arguments. %u were passed in.",
                             op->name, op->min, n);
   }
   if (n < (uint32_t) op->min || (op->max >= 0 && n > (uint32_t) op->max)) {
      if (op->max < 0) {
         return ecl_parse_fail (self, ecl_at (spec), 28667,
                                "Expression %s takes at least %d arguments, but %u were passed in.", op->name, op->min,
                                n);
      }
      return ecl_parse_fail (self, ecl_at (spec), 28667,
                             "Expression %s takes at least %d arguments, and at most %d, but %u were passed in.",
                             op->name, op->min, op->max, n);
   }
   e = ecl_parse_node (self, op, spec, n);
   if (list) {
      ecl_iter_t iter;
      ecl_field_t field;
      uint32_t i = 0;

      ecl_iter_init (&iter, &spec->value);
      while (ecl_iter_field (&iter, &field)) {
         e->args[i] = ecl_parse_expr (self, &field);
         if (!e->args[i++]) {
            return NULL;
         }
      }
   } else {
      e->args[0] = ecl_parse_expr (self, spec);
      if (!e->args[0]) {
         return NULL;
      }
   }
   return ecl_parse_fold (self, e);
}

/* With the name that was most likely meant. */
static void *
unknown_operator (ecl_parse_t *self, const ecl_field_t *spec)
{
   const char **names, *meant;
   size_t n = 0;

   while (ecl_operator_at (n)) {
      n++;
   }
   names = bson_malloc ((n + 1) * sizeof (char *));
   for (size_t i = 0; i <= n; i++) {
      names[i] = i < n ? ecl_operator_at (i)->name : NULL;
   }
   meant = ecl_suggest (spec->key, spec->key_len, names);
   ecl_parse_fail (self, ecl_at (spec), 168, "Unrecognized expression '%.*s'%s%s%s", (int) spec->key_len, spec->key,
                   meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
   bson_free (names);
   return NULL;
}

static ecl_expr_t *
parse_operator (ecl_parse_t *self, const ecl_field_t *spec)
{
   const ecl_operator_t *op = ecl_operator_find (spec->key, spec->key_len);

   if (!op) {
      return unknown_operator (self, spec);
   }
   if (op->refused) {
      return ecl_parse_fail (self, ecl_at (spec), 168, "%s is not supported: %s", op->name, op->refused);
   }
   return op->parse (self, op, spec);
}

ecl_expr_t *
ecl_parse_expr (ecl_parse_t *self, const ecl_field_t *spec)
{
   const ecl_value_t *v = &spec->value;
   ecl_expr_t *e;

   if (v->type == BSON_TYPE_UTF8) {
      if (v->len == 0 || v->u.str[0] != '$') {
         return ecl_parse_constant (self, v, ecl_at (spec));
      }
      if (v->len == 1) {
         return ecl_parse_fail (self, ecl_at (spec), 16872, "'$' by itself is not a valid FieldPath");
      }
      if (v->u.str[1] == '$') {
         return parse_variable (self, ecl_at (spec), v->u.str + 2, v->len - 2);
      }
      return parse_field (self, ecl_at (spec), v->u.str + 1, v->len - 1);
   }
   if (v->type != BSON_TYPE_DOCUMENT && v->type != BSON_TYPE_ARRAY) {
      return ecl_parse_constant (self, v, ecl_at (spec));
   }
   if (self->depth >= ECL_PARSE_MAX_DEPTH) {
      return ecl_parse_fail (self, ecl_at (spec), 15, "expression nested deeper than %d levels", ECL_PARSE_MAX_DEPTH);
   }
   self->depth++;
   if (v->type == BSON_TYPE_ARRAY) {
      e = parse_array (self, spec);
   } else {
      ecl_iter_t iter;
      ecl_field_t first, second;

      ecl_iter_init (&iter, v);
      if (!ecl_iter_field (&iter, &first)) {
         e = ecl_parse_constant (self, v, ecl_at (spec));
      } else if (first.key_len && first.key[0] == '$') {
         if (ecl_iter_field (&iter, &second)) {
            e = ecl_parse_fail (self, ecl_at (&second), 15983,
                                "an object representing an expression must have exactly one field: '%.*s' stands "
                                "beside '%.*s'",
                                (int) second.key_len, second.key, (int) first.key_len, first.key);
         } else {
            e = parse_operator (self, &first);
         }
      } else {
         e = parse_object (self, spec);
      }
   }
   self->depth--;
   return e;
}
