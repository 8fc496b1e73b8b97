/* Parsing of filters: see match.h. Which form is read how follows the server's MatchExpressionParser; all problems of
 * a filter are reported, so every loop goes on behind a bad predicate. */
#include "mql/match_node.h"
#include "mql/match_types.h"
#include "mql/plan.h"

#include <stdlib.h>

/* Nested deeper is refused, as by the server. */
#define MAX_DEPTH 100

typedef enum {
   LEVEL_TOP,  /* of the document itself */
   LEVEL_ELEM, /* inside $elemMatch: $expr, which sees whole documents only, may not stand there */
} level_t;

static ecl_match_node_t *
parse_document (ecl_match_t *self, const ecl_value_t *document, const uint8_t *at, level_t level);

static void
parse_field (ecl_match_t *self, ecl_match_node_t *into, const ecl_match_path_t *path, const ecl_field_t *spec,
             level_t level);

static bool
name_is (const ecl_field_t *field, const char *name)
{
   return ecl_key_is (field, name);
}

/* ---- nodes ---- */

static ecl_match_node_t *
new_node (ecl_match_t *self, ecl_match_kind_t kind, const ecl_match_path_t *path, const uint8_t *source)
{
   ecl_match_node_t *node = ecl_arena_new (&self->arena, ecl_match_node_t);

   memset (node, 0, sizeof *node);
   node->kind = kind;
   node->traverse = true;
   if (path) {
      node->path = *path;
   }
   node->source = source;
   return node;
}

static void
add_node (ecl_match_t *self, ecl_match_node_t *into, ecl_match_node_t *node)
{
   if (into->n == into->cap) {
      uint32_t cap = into->cap ? 2 * into->cap : 2;

      into->nodes =
         ecl_arena_grow (&self->arena, into->nodes, into->cap * sizeof *into->nodes, cap * sizeof *into->nodes);
      into->cap = cap;
   }
   into->nodes[into->n++] = node;
}

/* Adds NOT (node). */
static void
add_negated (ecl_match_t *self, ecl_match_node_t *into, ecl_match_node_t *node)
{
   ecl_match_node_t *negation = new_node (self, ECL_MATCH_NOT, NULL, node->source);

   add_node (self, negation, node);
   add_node (self, into, negation);
}

/* ---- paths ---- */

/* Doubles go at the end, in sort_paths. */
static void
note_path (ecl_match_t *self, const char *path, size_t len)
{
   if (self->n_paths == self->cap_paths) {
      self->cap_paths = self->cap_paths ? 2 * self->cap_paths : 8;
      self->paths = bson_realloc (self->paths, self->cap_paths * sizeof *self->paths);
   }
   self->paths[self->n_paths++] = ecl_arena_strndup (&self->arena, path, len);
}

static int
compare_paths (const void *a, const void *b)
{
   return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static void
sort_paths (ecl_match_t *self)
{
   size_t kept = 0;

   if (self->n_paths) {
      qsort (self->paths, self->n_paths, sizeof *self->paths, compare_paths);
   }
   for (size_t i = 0; i < self->n_paths; i++) {
      if (kept == 0 || strcmp (self->paths[kept - 1], self->paths[i]) != 0) {
         self->paths[kept++] = self->paths[i];
      }
   }
   self->n_paths = kept;
}

static ecl_match_path_t
split_path (ecl_match_t *self, const char *path, uint32_t len)
{
   uint32_t n = 1, i = 0;
   ecl_match_part_t *parts;
   const char *start = path;

   for (uint32_t k = 0; k < len; k++) {
      n += path[k] == '.';
   }
   parts = ecl_arena_array (&self->arena, ecl_match_part_t, n);
   for (const char *p = path;; p++) {
      if (p == path + len || *p == '.') {
         ecl_match_part_t *part = &parts[i++];

         part->name = start;
         part->len = (uint32_t) (p - start);
         part->number = part->len > 0;
         for (const char *c = start; c < p; c++) {
            part->number &= *c >= '0' && *c <= '9';
         }
         if (p == path + len) {
            break;
         }
         start = p + 1;
      }
   }
   return (ecl_match_path_t){.parts = parts, .n = n};
}

/* What an aggregation expression reads. */
static void
note_expr (ecl_match_t *self, const ecl_expr_t *expr)
{
   if (!expr) {
      return;
   }
   if (expr->kind == ECL_EXPR_ROOT) {
      self->whole = true;
   } else if (expr->kind == ECL_EXPR_FIELD) {
      char *text = ecl_arena_strndup (&self->arena, expr->keys[0].str, expr->keys[0].len);

      for (uint32_t i = 1; i < expr->n_path; i++) {
         text = ecl_arena_printf (&self->arena, "%s.%.*s", text, (int) expr->keys[i].len, expr->keys[i].str);
      }
      note_path (self, text, strlen (text));
   }
   for (uint32_t i = 0; i < expr->n; i++) {
      note_expr (self, expr->args[i]);
   }
}

/* ---- which form is it? ---- */

/* {$ref: …, $id: …} is a value, not a set of operators. Inside $elemMatch one of $ref, $id and $db is enough. */
static bool
is_dbref (const ecl_value_t *document, bool incomplete)
{
   ecl_iter_t iter;
   ecl_field_t field;
   bool ref = false, id = false, db = false;

   ecl_iter_init (&iter, document);
   while (ecl_iter_field (&iter, &field)) {
      ref |= name_is (&field, "$ref");
      id |= name_is (&field, "$id");
      db |= name_is (&field, "$db");
   }
   return incomplete ? ref || id || db : ref && id;
}

/* True for a document of operators; its first field goes to *first. */
static bool
is_operators (const ecl_value_t *v, bool incomplete_dbref, ecl_field_t *first)
{
   ecl_iter_t iter;

   if (v->type != BSON_TYPE_DOCUMENT) {
      return false;
   }
   ecl_iter_init (&iter, v);
   return ecl_iter_field (&iter, first) && first->key_len && first->key[0] == '$' && !is_dbref (v, incomplete_dbref);
}

/* Operators that stand where a field's name could. */
static bool
is_pathless (const ecl_field_t *field)
{
   static const char *const names[] = {"$alwaysFalse", "$alwaysTrue", "$and", "$comment",    "$db",  "$expr", "$id",
                                       "$jsonSchema",  "$nor",        "$or",  "$sampleRate", "$ref", "$text", "$where"};

   for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
      if (name_is (field, names[i])) {
         return true;
      }
   }
   return false;
}

/* Why a known name is refused; NULL where it is not known. */
static const char *
refusal (const ecl_field_t *field)
{
   static const struct {
      const char *name, *why;
   } refused[] = {
      {"$where", "JavaScript is not run"},
      {"$text", "it needs a text index"},
      {"$sampleRate", "it is not a function of the document"},
      {"$rand", "it is not a function of the document"},
      {"$near", "geometry is not evaluated"},
      {"$nearSphere", "geometry is not evaluated"},
      {"$geoNear", "geometry is not evaluated"},
      {"$geoWithin", "geometry is not evaluated"},
      {"$geoIntersects", "geometry is not evaluated"},
      {"$within", "geometry is not evaluated"},
      {"$maxDistance", "geometry is not evaluated"},
      {"$minDistance", "geometry is not evaluated"},
      {"$box", "geometry is not evaluated"},
      {"$center", "geometry is not evaluated"},
      {"$centerSphere", "geometry is not evaluated"},
      {"$geometry", "geometry is not evaluated"},
      {"$polygon", "geometry is not evaluated"},
      {"$collation", "strings are compared byte by byte"},
   };

   for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
      if (name_is (field, refused[i].name)) {
         return refused[i].why;
      }
   }
   return NULL;
}

static void
fail_unknown (ecl_match_t *self, const ecl_field_t *spec, const char *what)
{
   const char *why = refusal (spec);

   if (why) {
      ecl_parse_fail (&self->parse, ecl_at (spec), 2, "%.*s is not supported: %s", (int) spec->key_len, spec->key, why);
   } else {
      ecl_parse_fail (&self->parse, ecl_at (spec), 2, "%s: %.*s", what, (int) spec->key_len, spec->key);
   }
}

/* ---- predicates of a path ---- */

static void
parse_comparison (ecl_match_t *self, ecl_match_node_t *into, ecl_match_kind_t kind, const ecl_match_path_t *path,
                  const ecl_field_t *spec)
{
   ecl_match_node_t *node = new_node (self, kind, path, ecl_at (spec));

   if (spec->value.type == BSON_TYPE_UNDEFINED) {
      ecl_parse_fail (&self->parse, ecl_at (spec), 2, "cannot compare to undefined");
      return;
   }
   if (spec->value.type == BSON_TYPE_REGEX && kind != ECL_MATCH_EQ) {
      ecl_parse_fail (&self->parse, ecl_at (spec), 2, "Can't have RegEx as arg to %.*s", (int) spec->key_len,
                      spec->key);
      return;
   }
   node->u.value = spec->value;
   add_node (self, into, node);
}

static ecl_match_node_t *
parse_regex_value (ecl_match_t *self, const ecl_match_path_t *path, const ecl_field_t *spec)
{
   ecl_match_node_t *node = new_node (self, ECL_MATCH_REGEX, path, ecl_at (spec));
   ecl_match_regex_t parts;

   ecl_match_split_regex (&spec->value, &parts);
   return ecl_match_parse_regex (&self->parse, ecl_at (spec), parts.pattern, parts.pattern_len, parts.options,
                                 parts.options_len, &node->u.regex)
             ? node
             : NULL;
}

/* {$regex: …, $options: …} in any order; operators is the document that both stand in. */
static void
parse_regex_operators (ecl_match_t *self, ecl_match_node_t *into, const ecl_match_path_t *path,
                       const ecl_value_t *operators, const ecl_field_t *spec)
{
   ecl_match_node_t *node = new_node (self, ECL_MATCH_REGEX, path, ecl_at (spec));
   ecl_match_regex_t regex = {.pattern = "", .options = ""};
   ecl_iter_t iter;
   ecl_field_t field;

   ecl_iter_init (&iter, operators);
   while (ecl_iter_field (&iter, &field)) {
      if (name_is (&field, "$regex")) {
         if (field.value.type == BSON_TYPE_UTF8) {
            regex.pattern = field.value.u.str;
            regex.pattern_len = field.value.len;
         } else if (field.value.type == BSON_TYPE_REGEX) {
            ecl_match_regex_t parts;

            ecl_match_split_regex (&field.value, &parts);
            regex.pattern = parts.pattern;
            regex.pattern_len = parts.pattern_len;
            if (parts.options_len) {
               if (regex.options_len) {
                  ecl_parse_fail (&self->parse, ecl_at (&field), 51074, "options set in both $regex and $options");
                  return;
               }
               regex.options = parts.options;
               regex.options_len = parts.options_len;
            }
         } else {
            ecl_parse_fail (&self->parse, ecl_at (&field), 2, "$regex has to be a string, found %s",
                            ecl_type_name (field.value.type));
            return;
         }
      } else if (name_is (&field, "$options")) {
         if (field.value.type != BSON_TYPE_UTF8) {
            ecl_parse_fail (&self->parse, ecl_at (&field), 2, "$options has to be a string, found %s",
                            ecl_type_name (field.value.type));
            return;
         }
         if (regex.options_len) {
            ecl_parse_fail (&self->parse, ecl_at (&field), 51075, "options set in both $regex and $options");
            return;
         }
         regex.options = field.value.u.str;
         regex.options_len = field.value.len;
      }
   }
   if (ecl_match_parse_regex (&self->parse, ecl_at (spec), regex.pattern, regex.pattern_len, regex.options,
                              regex.options_len, &node->u.regex)) {
      add_node (self, into, node);
   }
}

static ecl_match_node_t *
parse_in (ecl_match_t *self, const ecl_match_path_t *path, const ecl_field_t *spec)
{
   ecl_match_node_t *node = new_node (self, ECL_MATCH_IN, path, ecl_at (spec));
   ecl_match_set_t *set = &node->u.set;
   ecl_iter_t iter;
   ecl_field_t field, first;
   uint32_t n;
   bool ok = true;

   if (spec->value.type != BSON_TYPE_ARRAY) {
      return ecl_parse_fail (&self->parse, ecl_at (spec), 2, "%.*s needs an array, found %s", (int) spec->key_len,
                             spec->key, ecl_type_name (spec->value.type));
   }
   n = ecl_array_count (&spec->value);
   set->values = ecl_arena_array (&self->arena, ecl_value_t, n);
   set->regexes = ecl_arena_array (&self->arena, ecl_match_regex_t, n);
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      if (is_operators (&field.value, false, &first)) {
         ecl_parse_fail (&self->parse, ecl_at (&field), 2, "cannot nest $ under %.*s", (int) spec->key_len, spec->key);
         ok = false;
      } else if (field.value.type == BSON_TYPE_UNDEFINED) {
         ecl_parse_fail (&self->parse, ecl_at (&field), 2, "%.*s cannot compare to undefined", (int) spec->key_len,
                         spec->key);
         ok = false;
      } else if (field.value.type == BSON_TYPE_REGEX) {
         ecl_match_regex_t parts;

         ecl_match_split_regex (&field.value, &parts);
         ok &= ecl_match_parse_regex (&self->parse, ecl_at (&field), parts.pattern, parts.pattern_len, parts.options,
                                      parts.options_len, &set->regexes[set->n_regexes++]);
      } else {
         set->values[set->n++] = field.value;
      }
   }
   if (!ok) {
      return NULL;
   }
   ecl_match_prepare_set (set);
   return node;
}

/* All fields of a document of operators, each about the same path. */
static void
parse_operators (ecl_match_t *self, ecl_match_node_t *into, const ecl_match_path_t *path, const ecl_value_t *operators,
                 level_t level);

static void
parse_not (ecl_match_t *self, ecl_match_node_t *into, const ecl_match_path_t *path, const ecl_field_t *spec,
           level_t level)
{
   ecl_match_node_t *node = new_node (self, ECL_MATCH_NOT, NULL, ecl_at (spec));
   ecl_iter_t iter;
   ecl_field_t first;

   if (spec->value.type == BSON_TYPE_REGEX) {
      ecl_match_node_t *regex = parse_regex_value (self, path, spec);

      if (regex) {
         add_negated (self, into, regex);
      }
      return;
   }
   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      ecl_parse_fail (&self->parse, ecl_at (spec), 2, "$not needs a regex or a document, found %s",
                      ecl_type_name (spec->value.type));
      return;
   }
   ecl_iter_init (&iter, &spec->value);
   if (!ecl_iter_field (&iter, &first)) {
      ecl_parse_fail (&self->parse, ecl_at (spec), 2, "$not cannot be empty");
      return;
   }
   parse_operators (self, node, path, &spec->value, level);
   add_node (self, into, node);
}

static ecl_match_node_t *
parse_elem_match (ecl_match_t *self, const ecl_match_path_t *path, const ecl_field_t *spec)
{
   ecl_match_node_t *node;
   ecl_field_t first;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return ecl_parse_fail (&self->parse, ecl_at (spec), 2, "$elemMatch needs an Object, found %s",
                             ecl_type_name (spec->value.type));
   }
   if (is_operators (&spec->value, true, &first) && !is_pathless (&first)) {
      node = new_node (self, ECL_MATCH_ELEM_VALUE, path, ecl_at (spec));
      /* Its nodes are tested on the elements themselves, without a path. */
      parse_operators (self, node, &(ecl_match_path_t){0}, &spec->value, LEVEL_ELEM);
   } else {
      ecl_match_node_t *inner;

      node = new_node (self, ECL_MATCH_ELEM_OBJECT, path, ecl_at (spec));
      inner = parse_document (self, &spec->value, ecl_at (spec), LEVEL_ELEM);
      if (!inner) {
         return NULL;
      }
      add_node (self, node, inner);
   }
   node->traverse = false;
   return node;
}

static void
parse_all (ecl_match_t *self, ecl_match_node_t *into, const ecl_match_path_t *path, const ecl_field_t *spec)
{
   ecl_match_node_t *all = new_node (self, ECL_MATCH_AND, NULL, ecl_at (spec));
   ecl_iter_t iter;
   ecl_field_t field, first;
   bool elem_match = false;
   uint32_t n = 0;

   if (spec->value.type != BSON_TYPE_ARRAY) {
      ecl_parse_fail (&self->parse, ecl_at (spec), 2, "$all needs an array, found %s",
                      ecl_type_name (spec->value.type));
      return;
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      bool operators = is_operators (&field.value, false, &first);

      if (n++ == 0) {
         elem_match = operators && name_is (&first, "$elemMatch");
      }
      if (elem_match) {
         ecl_match_node_t *node;

         if (!operators || !name_is (&first, "$elemMatch")) {
            ecl_parse_fail (&self->parse, ecl_at (&field), 2,
                            "$all/$elemMatch has to be consistent: all elements or none are $elemMatch");
            return;
         }
         node = parse_elem_match (self, path, &first);
         if (node) {
            add_node (self, all, node);
         }
      } else if (operators) {
         ecl_parse_fail (&self->parse, ecl_at (&field), 2, "no $ expressions in $all");
      } else if (field.value.type == BSON_TYPE_REGEX) {
         ecl_match_node_t *node = parse_regex_value (self, path, &field);

         if (node) {
            add_node (self, all, node);
         }
      } else {
         parse_comparison (self, all, ECL_MATCH_EQ, path, &field);
      }
   }
   if (n == 0) {
      all->kind = ECL_MATCH_FALSE;
   }
   add_node (self, into, all);
}

static void
parse_operator (ecl_match_t *self, ecl_match_node_t *into, const ecl_match_path_t *path, const ecl_value_t *operators,
                const ecl_field_t *spec, level_t level)
{
   static const struct {
      const char *name;
      ecl_match_kind_t kind;
   } comparisons[] = {
      {"$eq", ECL_MATCH_EQ}, {"$lt", ECL_MATCH_LT},   {"$lte", ECL_MATCH_LTE},
      {"$gt", ECL_MATCH_GT}, {"$gte", ECL_MATCH_GTE},
   };
   static const struct {
      const char *name;
      ecl_match_kind_t kind;
   } bits[] = {
      {"$bitsAllSet", ECL_MATCH_BITS_ALL_SET},
      {"$bitsAllClear", ECL_MATCH_BITS_ALL_CLEAR},
      {"$bitsAnySet", ECL_MATCH_BITS_ANY_SET},
      {"$bitsAnyClear", ECL_MATCH_BITS_ANY_CLEAR},
   };
   ecl_match_node_t *node = NULL;

   for (size_t i = 0; i < sizeof comparisons / sizeof comparisons[0]; i++) {
      if (name_is (spec, comparisons[i].name)) {
         parse_comparison (self, into, comparisons[i].kind, path, spec);
         return;
      }
   }
   for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
      if (name_is (spec, bits[i].name)) {
         node = new_node (self, bits[i].kind, path, ecl_at (spec));
         if (ecl_match_parse_bits (&self->parse, spec, &node->u.bits)) {
            add_node (self, into, node);
         }
         return;
      }
   }
   if (name_is (spec, "$ne")) {
      if (spec->value.type == BSON_TYPE_REGEX || spec->value.type == BSON_TYPE_UNDEFINED) {
         ecl_parse_fail (&self->parse, ecl_at (spec), 2, "Can't have %s as arg to $ne",
                         ecl_type_name (spec->value.type));
         return;
      }
      node = new_node (self, ECL_MATCH_EQ, path, ecl_at (spec));
      node->u.value = spec->value;
      add_negated (self, into, node);
   } else if (name_is (spec, "$in") || name_is (spec, "$nin")) {
      node = parse_in (self, path, spec);
      if (node && spec->key_len == 3) {
         add_node (self, into, node);
      } else if (node) {
         add_negated (self, into, node);
      }
   } else if (name_is (spec, "$exists")) {
      node = new_node (self, ECL_MATCH_EXISTS, path, ecl_at (spec));
      if (ecl_truthy (&spec->value)) {
         add_node (self, into, node);
      } else {
         add_negated (self, into, node);
      }
   } else if (name_is (spec, "$not")) {
      parse_not (self, into, path, spec, level);
   } else if (name_is (spec, "$type")) {
      node = new_node (self, ECL_MATCH_TYPE, path, ecl_at (spec));
      if (ecl_match_parse_types (&self->parse, spec, &node->u.types)) {
         add_node (self, into, node);
      }
   } else if (name_is (spec, "$size")) {
      node = new_node (self, ECL_MATCH_SIZE, path, ecl_at (spec));
      node->traverse = false;
      if (ecl_match_parse_size (&self->parse, spec, &node->u.size)) {
         add_node (self, into, node);
      }
   } else if (name_is (spec, "$mod")) {
      node = new_node (self, ECL_MATCH_MOD, path, ecl_at (spec));
      if (ecl_match_parse_mod (&self->parse, spec, &node->u.mod.divisor, &node->u.mod.remainder)) {
         add_node (self, into, node);
      }
   } else if (name_is (spec, "$regex")) {
      parse_regex_operators (self, into, path, operators, spec);
   } else if (name_is (spec, "$options")) {
      if (ecl_document_get (operators, "$regex", 6).type == ECL_MISSING) {
         ecl_parse_fail (&self->parse, ecl_at (spec), 2, "$options needs a $regex");
      }
   } else if (name_is (spec, "$elemMatch")) {
      node = parse_elem_match (self, path, spec);
      if (node) {
         add_node (self, into, node);
      }
   } else if (name_is (spec, "$all")) {
      parse_all (self, into, path, spec);
   } else {
      fail_unknown (self, spec, "unknown operator");
   }
}

static void
parse_operators (ecl_match_t *self, ecl_match_node_t *into, const ecl_match_path_t *path, const ecl_value_t *operators,
                 level_t level)
{
   ecl_iter_t iter;
   ecl_field_t field;

   ecl_iter_init (&iter, operators);
   while (ecl_iter_field (&iter, &field)) {
      if (self->parse.depth >= MAX_DEPTH) {
         ecl_parse_fail (&self->parse, ecl_at (&field), 2, "exceeded maximum query tree depth of %d", MAX_DEPTH);
         return;
      }
      self->parse.depth++;
      parse_operator (self, into, path, operators, &field, level);
      self->parse.depth--;
   }
}

/* ---- predicates of the document ---- */

/* The path that a node of an AND begins with; NULL where it has none, or several. */
static const ecl_match_path_t *
path_of (const ecl_match_node_t *node)
{
   while (node->kind == ECL_MATCH_NOT && node->n == 1) {
      node = node->nodes[0];
   }
   return node->kind >= ECL_MATCH_EQ && node->path.n ? &node->path : NULL;
}

/* Collects the first parts of the paths below an AND; see ecl_match_node_t.heads. */
static void
collect_heads (ecl_match_t *self, ecl_match_node_t *node)
{
   const ecl_match_part_t **heads = ecl_arena_array (&self->arena, const ecl_match_part_t *, ECL_MATCH_MAX_HEADS);
   uint32_t n = 0;

   for (uint32_t i = 0; i < node->n; i++) {
      const ecl_match_path_t *path = path_of (node->nodes[i]);
      uint32_t k = 0;

      if (!path) {
         continue;
      }
      while (k < n &&
             (heads[k]->len != path->parts[0].len || memcmp (heads[k]->name, path->parts[0].name, heads[k]->len))) {
         k++;
      }
      if (k == ECL_MATCH_MAX_HEADS) {
         continue;
      }
      if (k == n) {
         heads[n++] = &path->parts[0];
      }
      for (ecl_match_node_t *inner = node->nodes[i];; inner = inner->nodes[0]) {
         inner->head = k + 1;
         if (inner->kind != ECL_MATCH_NOT) {
            break;
         }
      }
   }
   node->heads = heads;
   node->n_heads = n;
}

static void
parse_list (ecl_match_t *self, ecl_match_node_t *into, ecl_match_kind_t kind, const ecl_field_t *spec, level_t level)
{
   ecl_match_node_t *node = new_node (self, kind, NULL, ecl_at (spec));
   ecl_iter_t iter;
   ecl_field_t field;
   uint32_t n = 0;

   if (spec->value.type != BSON_TYPE_ARRAY) {
      ecl_parse_fail (&self->parse, ecl_at (spec), 2, "%.*s must be an array, found %s", (int) spec->key_len, spec->key,
                      ecl_type_name (spec->value.type));
      return;
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      ecl_match_node_t *child;

      n++;
      if (field.value.type != BSON_TYPE_DOCUMENT) {
         ecl_parse_fail (&self->parse, ecl_at (&field), 2, "%.*s entries need to be full objects, found %s",
                         (int) spec->key_len, spec->key, ecl_type_name (field.value.type));
         continue;
      }
      child = parse_document (self, &field.value, ecl_at (&field), level);
      if (child) {
         add_node (self, node, child);
      }
   }
   if (n == 0) {
      ecl_parse_fail (&self->parse, ecl_at (spec), 2, "%.*s must be a nonempty array", (int) spec->key_len, spec->key);
   }
   add_node (self, into, node);
}

static void
parse_expr (ecl_match_t *self, ecl_match_node_t *into, const ecl_field_t *spec, level_t level)
{
   ecl_match_node_t *node = new_node (self, ECL_MATCH_EXPR, NULL, ecl_at (spec));
   uint32_t depth = self->parse.depth;

   if (level != LEVEL_TOP) {
      ecl_parse_fail (&self->parse, ecl_at (spec), 2, "$expr can only be applied to the top-level document");
      return;
   }
   self->parse.depth = 0;
   node->u.expr = ecl_parse_expr (&self->parse, spec);
   self->parse.depth = depth;
   if (node->u.expr) {
      note_expr (self, node->u.expr);
      add_node (self, into, node);
   } else {
      self->parse.scope = NULL;
      self->parse.n_vars = 0;
   }
}

static void
parse_schema (ecl_match_t *self, ecl_match_node_t *into, const ecl_field_t *spec)
{
   ecl_match_node_t *node = new_node (self, ECL_MATCH_SCHEMA, NULL, ecl_at (spec));
   ecl_schema_options_t options = {.report = self->parse.report, .report_context = self->parse.report_context};
   ecl_schema_t *schema;

   schema = ecl_schema_new (spec, &options);
   if (!schema) {
      self->parse.failed = true;
      return;
   }
   if (self->n_schemas == self->cap_schemas) {
      self->cap_schemas = self->cap_schemas ? 2 * self->cap_schemas : 2;
      self->schemas = bson_realloc (self->schemas, self->cap_schemas * sizeof *self->schemas);
   }
   self->schemas[self->n_schemas++] = schema;
   self->whole = true;
   node->u.schema = schema;
   add_node (self, into, node);
}

static void
parse_pathless (ecl_match_t *self, ecl_match_node_t *into, const ecl_field_t *spec, level_t level)
{
   if (name_is (spec, "$and")) {
      parse_list (self, into, ECL_MATCH_AND, spec, level);
   } else if (name_is (spec, "$or")) {
      parse_list (self, into, ECL_MATCH_OR, spec, level);
   } else if (name_is (spec, "$nor")) {
      parse_list (self, into, ECL_MATCH_NOR, spec, level);
   } else if (name_is (spec, "$expr")) {
      parse_expr (self, into, spec, level);
   } else if (name_is (spec, "$jsonSchema")) {
      parse_schema (self, into, spec);
   } else if (name_is (spec, "$alwaysTrue") || name_is (spec, "$alwaysFalse")) {
      int64_t one;

      if (!ecl_number_to_int64 (&spec->value, &one) || one != 1) {
         ecl_parse_fail (&self->parse, ecl_at (spec), 9, "%.*s must be an integer value of 1", (int) spec->key_len,
                         spec->key);
         return;
      }
      add_node (self, into,
                new_node (self, spec->key_len == 11 ? ECL_MATCH_TRUE : ECL_MATCH_FALSE, NULL, ecl_at (spec)));
   } else if (name_is (spec, "$ref") || name_is (spec, "$id") || name_is (spec, "$db")) {
      ecl_match_path_t path = split_path (self, spec->key, spec->key_len);

      note_path (self, spec->key, spec->key_len);
      parse_comparison (self, into, ECL_MATCH_EQ, &path, spec);
   } else if (!name_is (spec, "$comment")) {
      fail_unknown (self, spec, "unknown top level operator");
   }
}

static void
parse_field (ecl_match_t *self, ecl_match_node_t *into, const ecl_match_path_t *path, const ecl_field_t *spec,
             level_t level)
{
   ecl_field_t first;

   if (is_operators (&spec->value, false, &first)) {
      parse_operators (self, into, path, &spec->value, level);
   } else if (spec->value.type == BSON_TYPE_REGEX) {
      ecl_match_node_t *node = parse_regex_value (self, path, spec);

      if (node) {
         add_node (self, into, node);
      }
   } else {
      parse_comparison (self, into, ECL_MATCH_EQ, path, spec);
   }
}

static ecl_match_node_t *
parse_document (ecl_match_t *self, const ecl_value_t *document, const uint8_t *at, level_t level)
{
   ecl_match_node_t *node = new_node (self, ECL_MATCH_AND, NULL, at);
   ecl_iter_t iter;
   ecl_field_t field;

   if (self->parse.depth >= MAX_DEPTH) {
      return ecl_parse_fail (&self->parse, at, 2, "exceeded maximum query tree depth of %d", MAX_DEPTH);
   }
   self->parse.depth++;
   ecl_iter_init (&iter, document);
   while (ecl_iter_field (&iter, &field)) {
      if (field.key_len && field.key[0] == '$') {
         parse_pathless (self, node, &field, level);
      } else {
         ecl_match_path_t path = split_path (self, field.key, field.key_len);

         if (level == LEVEL_TOP) {
            note_path (self, field.key, field.key_len);
         }
         parse_field (self, node, &path, &field, level);
      }
   }
   self->parse.depth--;
   if (node->n == 1) {
      return node->nodes[0];
   }
   collect_heads (self, node);
   return node;
}

ecl_match_node_t *
ecl_match_parse (ecl_match_t *self, const ecl_value_t *filter)
{
   ecl_match_node_t *root;

   if (filter->type != BSON_TYPE_DOCUMENT || filter->rep != ECL_REP_RAW) {
      return ecl_parse_fail (&self->parse, NULL, 14, "a filter must be an object, found %s",
                             ecl_type_name (filter->type));
   }
   root = parse_document (self, filter, NULL, LEVEL_TOP);
   sort_paths (self);
   return self->parse.failed ? NULL : root;
}
