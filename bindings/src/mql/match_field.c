/* Parsing of the operators of a field: {$gt: 1, $in: […]}. Which form is read how follows the server's
 * MatchExpressionParser. */
#include "mql/match_parse.h"

/* Adds NOT (node). */
static void
add_negated (ecl_match_t *self, ecl_match_node_t *into, ecl_match_node_t *node)
{
   ecl_match_node_t *negation = ecl_match_new_node (self, ECL_MATCH_NOT, NULL, node->source);

   ecl_match_add_node (self, negation, node);
   ecl_match_add_node (self, into, negation);
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
      ref |= ecl_key_is (&field, "$ref");
      id |= ecl_key_is (&field, "$id");
      db |= ecl_key_is (&field, "$db");
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
      if (ecl_key_is (field, names[i])) {
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
      if (ecl_key_is (field, refused[i].name)) {
         return refused[i].why;
      }
   }
   return NULL;
}

void
ecl_match_fail_unknown (ecl_match_t *self, const ecl_field_t *spec, const char *what)
{
   const char *why = refusal (spec);

   if (why) {
      ecl_parse_fail (&self->parse, ecl_at (spec), 2, "%.*s is not supported: %s", (int) spec->key_len, spec->key, why);
   } else {
      ecl_parse_fail (&self->parse, ecl_at (spec), 2, "%s: %.*s", what, (int) spec->key_len, spec->key);
   }
}

/* ---- predicates of a path ---- */

void
ecl_match_parse_comparison (ecl_match_t *self, ecl_match_node_t *into, ecl_match_kind_t kind,
                            const ecl_match_path_t *path, const ecl_field_t *spec)
{
   ecl_match_node_t *node = ecl_match_new_node (self, kind, path, ecl_at (spec));

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
   ecl_match_add_node (self, into, node);
}

static ecl_match_node_t *
parse_regex_value (ecl_match_t *self, const ecl_match_path_t *path, const ecl_field_t *spec)
{
   ecl_match_node_t *node = ecl_match_new_node (self, ECL_MATCH_REGEX, path, ecl_at (spec));
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
   ecl_match_node_t *node = ecl_match_new_node (self, ECL_MATCH_REGEX, path, ecl_at (spec));
   ecl_match_regex_t regex = {.pattern = "", .options = ""};
   ecl_iter_t iter;
   ecl_field_t field;

   ecl_iter_init (&iter, operators);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "$regex")) {
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
      } else if (ecl_key_is (&field, "$options")) {
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
      ecl_match_add_node (self, into, node);
   }
}

static ecl_match_node_t *
parse_in (ecl_match_t *self, const ecl_match_path_t *path, const ecl_field_t *spec)
{
   ecl_match_node_t *node = ecl_match_new_node (self, ECL_MATCH_IN, path, ecl_at (spec));
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
                 ecl_match_level_t level);

static void
parse_not (ecl_match_t *self, ecl_match_node_t *into, const ecl_match_path_t *path, const ecl_field_t *spec,
           ecl_match_level_t level)
{
   ecl_match_node_t *node = ecl_match_new_node (self, ECL_MATCH_NOT, NULL, ecl_at (spec));
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
   ecl_match_add_node (self, into, node);
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
      node = ecl_match_new_node (self, ECL_MATCH_ELEM_VALUE, path, ecl_at (spec));
      /* Its nodes are tested on the elements themselves, without a path. */
      parse_operators (self, node, &(ecl_match_path_t){0}, &spec->value, ECL_MATCH_LEVEL_ELEM);
   } else {
      ecl_match_node_t *inner;

      node = ecl_match_new_node (self, ECL_MATCH_ELEM_OBJECT, path, ecl_at (spec));
      inner = ecl_match_parse_document (self, &spec->value, ecl_at (spec), ECL_MATCH_LEVEL_ELEM);
      if (!inner) {
         return NULL;
      }
      ecl_match_add_node (self, node, inner);
   }
   node->traverse = false;
   return node;
}

static void
parse_all (ecl_match_t *self, ecl_match_node_t *into, const ecl_match_path_t *path, const ecl_field_t *spec)
{
   ecl_match_node_t *all = ecl_match_new_node (self, ECL_MATCH_AND, NULL, ecl_at (spec));
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
         elem_match = operators && ecl_key_is (&first, "$elemMatch");
      }
      if (elem_match) {
         ecl_match_node_t *node;

         if (!operators || !ecl_key_is (&first, "$elemMatch")) {
            ecl_parse_fail (&self->parse, ecl_at (&field), 2,
                            "$all/$elemMatch has to be consistent: all elements or none are $elemMatch");
            return;
         }
         node = parse_elem_match (self, path, &first);
         if (node) {
            ecl_match_add_node (self, all, node);
         }
      } else if (operators) {
         ecl_parse_fail (&self->parse, ecl_at (&field), 2, "no $ expressions in $all");
      } else if (field.value.type == BSON_TYPE_REGEX) {
         ecl_match_node_t *node = parse_regex_value (self, path, &field);

         if (node) {
            ecl_match_add_node (self, all, node);
         }
      } else {
         ecl_match_parse_comparison (self, all, ECL_MATCH_EQ, path, &field);
      }
   }
   if (n == 0) {
      all->kind = ECL_MATCH_FALSE;
   }
   ecl_match_add_node (self, into, all);
}

static void
parse_operator (ecl_match_t *self, ecl_match_node_t *into, const ecl_match_path_t *path, const ecl_value_t *operators,
                const ecl_field_t *spec, ecl_match_level_t level)
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
      if (ecl_key_is (spec, comparisons[i].name)) {
         ecl_match_parse_comparison (self, into, comparisons[i].kind, path, spec);
         return;
      }
   }
   for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
      if (ecl_key_is (spec, bits[i].name)) {
         node = ecl_match_new_node (self, bits[i].kind, path, ecl_at (spec));
         if (ecl_match_parse_bits (&self->parse, spec, &node->u.bits)) {
            ecl_match_add_node (self, into, node);
         }
         return;
      }
   }
   if (ecl_key_is (spec, "$ne")) {
      if (spec->value.type == BSON_TYPE_REGEX || spec->value.type == BSON_TYPE_UNDEFINED) {
         ecl_parse_fail (&self->parse, ecl_at (spec), 2, "Can't have %s as arg to $ne",
                         ecl_type_name (spec->value.type));
         return;
      }
      node = ecl_match_new_node (self, ECL_MATCH_EQ, path, ecl_at (spec));
      node->u.value = spec->value;
      add_negated (self, into, node);
   } else if (ecl_key_is (spec, "$in") || ecl_key_is (spec, "$nin")) {
      node = parse_in (self, path, spec);
      if (node && spec->key_len == 3) {
         ecl_match_add_node (self, into, node);
      } else if (node) {
         add_negated (self, into, node);
      }
   } else if (ecl_key_is (spec, "$exists")) {
      node = ecl_match_new_node (self, ECL_MATCH_EXISTS, path, ecl_at (spec));
      if (ecl_truthy (&spec->value)) {
         ecl_match_add_node (self, into, node);
      } else {
         add_negated (self, into, node);
      }
   } else if (ecl_key_is (spec, "$not")) {
      parse_not (self, into, path, spec, level);
   } else if (ecl_key_is (spec, "$type")) {
      node = ecl_match_new_node (self, ECL_MATCH_TYPE, path, ecl_at (spec));
      if (ecl_match_parse_types (&self->parse, spec, &node->u.types)) {
         ecl_match_add_node (self, into, node);
      }
   } else if (ecl_key_is (spec, "$size")) {
      node = ecl_match_new_node (self, ECL_MATCH_SIZE, path, ecl_at (spec));
      node->traverse = false;
      if (ecl_match_parse_size (&self->parse, spec, &node->u.size)) {
         ecl_match_add_node (self, into, node);
      }
   } else if (ecl_key_is (spec, "$mod")) {
      node = ecl_match_new_node (self, ECL_MATCH_MOD, path, ecl_at (spec));
      if (ecl_match_parse_mod (&self->parse, spec, &node->u.mod.divisor, &node->u.mod.remainder)) {
         ecl_match_add_node (self, into, node);
      }
   } else if (ecl_key_is (spec, "$regex")) {
      parse_regex_operators (self, into, path, operators, spec);
   } else if (ecl_key_is (spec, "$options")) {
      if (ecl_document_get (operators, "$regex", 6).type == ECL_MISSING) {
         ecl_parse_fail (&self->parse, ecl_at (spec), 2, "$options needs a $regex");
      }
   } else if (ecl_key_is (spec, "$elemMatch")) {
      node = parse_elem_match (self, path, spec);
      if (node) {
         ecl_match_add_node (self, into, node);
      }
   } else if (ecl_key_is (spec, "$all")) {
      parse_all (self, into, path, spec);
   } else {
      ecl_match_fail_unknown (self, spec, "unknown operator");
   }
}

static void
parse_operators (ecl_match_t *self, ecl_match_node_t *into, const ecl_match_path_t *path, const ecl_value_t *operators,
                 ecl_match_level_t level)
{
   ecl_iter_t iter;
   ecl_field_t field;

   ecl_iter_init (&iter, operators);
   while (ecl_iter_field (&iter, &field)) {
      if (self->parse.depth >= ECL_MATCH_MAX_DEPTH) {
         ecl_parse_fail (&self->parse, ecl_at (&field), 2, "exceeded maximum query tree depth of %d",
                         ECL_MATCH_MAX_DEPTH);
         return;
      }
      self->parse.depth++;
      parse_operator (self, into, path, operators, &field, level);
      self->parse.depth--;
   }
}

void
ecl_match_parse_field (ecl_match_t *self, ecl_match_node_t *into, const ecl_match_path_t *path, const ecl_field_t *spec,
                       ecl_match_level_t level)
{
   ecl_field_t first;

   if (is_operators (&spec->value, false, &first)) {
      parse_operators (self, into, path, &spec->value, level);
   } else if (spec->value.type == BSON_TYPE_REGEX) {
      ecl_match_node_t *node = parse_regex_value (self, path, spec);

      if (node) {
         ecl_match_add_node (self, into, node);
      }
   } else {
      ecl_match_parse_comparison (self, into, ECL_MATCH_EQ, path, spec);
   }
}
