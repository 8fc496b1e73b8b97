/* Parsing of $jsonSchema: see schema.h. Codes are the server's: 2 BadValue, 9 FailedToParse, 14 TypeMismatch. */
#include "mql/schema_parse.h"

#include "mql/match_types.h"

#include <math.h>

static const char *const keyword_names[] = {
#define X(name) #name,
   ECL_SCHEMA_KEYWORDS (X)
#undef X
};

bool
ecl_schema_fail_type (ecl_parse_t *parse, const ecl_field_t *spec, const char *wanted)
{
   ecl_parse_fail (parse, ecl_at (spec), 14, "$jsonSchema keyword '%.*s' must be %s, found %s", (int) spec->key_len,
                   spec->key, wanted, ecl_type_name (spec->value.type));
   return false;
}

/* ---- types ---- */

static uint32_t
json_type (const char *name, size_t len)
{
   static const struct {
      const char *name;
      uint8_t type;
   } types[] = {
      {"array", BSON_TYPE_ARRAY},     {"boolean", BSON_TYPE_BOOL}, {"null", BSON_TYPE_NULL},
      {"object", BSON_TYPE_DOCUMENT}, {"string", BSON_TYPE_UTF8},
   };

   if (len == 6 && memcmp (name, "number", 6) == 0) {
      return ECL_TYPES_NUMBER;
   }
   for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
      if (strlen (types[i].name) == len && memcmp (types[i].name, name, len) == 0) {
         return ecl_type_bit (types[i].type);
      }
   }
   return 0;
}

static bool
parse_type_name (ecl_parse_t *parse, const ecl_field_t *spec, bool bson, uint32_t *out)
{
   const char *name = spec->value.u.str;
   size_t len = spec->value.len;
   uint32_t types = bson ? ecl_type_alias (name, len) : json_type (name, len);

   if (types) {
      *out |= types;
      return true;
   }
   if (len == 7 && memcmp (name, "integer", 7) == 0) {
      ecl_parse_fail (parse, ecl_at (spec), 9,
                      "$jsonSchema type 'integer' is not currently supported; use bsonType 'int' or 'long'");
   } else {
      ecl_parse_fail (parse, ecl_at (spec), 2, "Unknown type name alias: %.*s%s", (int) len, name,
                      !bson && ecl_type_alias (name, len) ? " (it is one of bsonType, not of type)" : "");
   }
   return false;
}

static bool
parse_types (ecl_parse_t *parse, const ecl_field_t *spec, bool bson, uint32_t *out)
{
   ecl_value_t *names;
   ecl_iter_t iter;
   ecl_field_t field;
   uint32_t n = 0;
   bool ok = true;

   *out = 0;
   if (spec->value.type == BSON_TYPE_UTF8) {
      return parse_type_name (parse, spec, bson, out);
   }
   if (spec->value.type != BSON_TYPE_ARRAY) {
      return ecl_schema_fail_type (parse, spec, "either a string or an array of strings");
   }
   names = ecl_arena_array (parse->arena, ecl_value_t, ecl_array_count (&spec->value));
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      if (field.value.type != BSON_TYPE_UTF8) {
         return ecl_schema_fail_type (parse, spec, "an array of strings");
      }
      names[n++] = field.value;
      ok &= parse_type_name (parse, &field, bson, out);
   }
   if (n == 0) {
      ecl_parse_fail (parse, ecl_at (spec), 9, "$jsonSchema keyword '%.*s' must name at least one type",
                      (int) spec->key_len, spec->key);
      return false;
   }
   if (ok && !ecl_schema_unique (parse->arena, names, n)) {
      ecl_parse_fail (parse, ecl_at (spec), 9, "$jsonSchema keyword '%.*s' has duplicate value", (int) spec->key_len,
                      spec->key);
      return false;
   }
   return ok;
}

/* ---- numbers ---- */

static bool
parse_length (ecl_parse_t *parse, const ecl_field_t *spec, int64_t *out)
{
   if (!ecl_is_number (&spec->value)) {
      ecl_parse_fail (parse, ecl_at (spec), 9, "Expected a number in: %.*s, found %s", (int) spec->key_len, spec->key,
                      ecl_type_name (spec->value.type));
      return false;
   }
   if (!ecl_number_to_int64 (&spec->value, out)) {
      ecl_parse_fail (parse, ecl_at (spec), 9, "Expected an integer: %.*s: %s", (int) spec->key_len, spec->key,
                      ecl_value_text (parse->arena, &spec->value));
      return false;
   }
   if (*out < 0) {
      ecl_parse_fail (parse, ecl_at (spec), 9, "Expected a non-negative number in: %.*s: %lld", (int) spec->key_len,
                      spec->key, (long long) *out);
      return false;
   }
   return true;
}

static bool
parse_bound (ecl_parse_t *parse, const ecl_schema_fields_t fields, ecl_keyword_t bound, ecl_keyword_t exclusive,
             ecl_value_t *out, bool *out_exclusive)
{
   const ecl_field_t *b = &fields[bound], *e = &fields[exclusive];

   if (!b->key) {
      if (e->key) {
         ecl_parse_fail (parse, ecl_at (e), 9, "$jsonSchema keyword '%s' must be present if %s is present",
                         keyword_names[bound], keyword_names[exclusive]);
         return false;
      }
      return true;
   }
   if (!ecl_is_number (&b->value)) {
      return ecl_schema_fail_type (parse, b, "a number");
   }
   if (e->key && e->value.type != BSON_TYPE_BOOL) {
      return ecl_schema_fail_type (parse, e, "a boolean");
   }
   *out = b->value;
   *out_exclusive = e->key && e->value.u.i64;
   return true;
}

static bool
parse_multiple_of (ecl_parse_t *parse, const ecl_field_t *spec, ecl_value_t *out)
{
   const ecl_value_t *v = &spec->value;
   ecl_value_t zero = ecl_int32 (0);

   if (!ecl_is_number (v)) {
      return ecl_schema_fail_type (parse, spec, "a number");
   }
   if (ecl_is_nan (v) || (v->type == BSON_TYPE_DOUBLE && isinf (v->u.f64)) ||
       (v->type == BSON_TYPE_DECIMAL128 && ecl_decimal_is_infinite (ecl_decimal_of (v)))) {
      ecl_parse_fail (parse, ecl_at (spec), 2, "divisor cannot be infinite or NaN");
      return false;
   }
   if (ecl_compare (v, &zero) <= 0) {
      ecl_parse_fail (parse, ecl_at (spec), 9, "$jsonSchema keyword 'multipleOf' must have a positive value");
      return false;
   }
   *out = *v;
   return true;
}

/* ---- lists and enums ---- */

static bool
parse_list (ecl_parse_t *parse, const ecl_field_t *spec, ecl_schema_list_t *out, bool may_be_empty)
{
   ecl_iter_t iter;
   ecl_field_t field;
   bool ok = true;

   if (spec->value.type != BSON_TYPE_ARRAY) {
      return ecl_schema_fail_type (parse, spec, "an array");
   }
   out->nodes = ecl_arena_array (parse->arena, ecl_schema_node_t *, ecl_array_count (&spec->value));
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      if (field.value.type != BSON_TYPE_DOCUMENT) {
         ecl_parse_fail (parse, ecl_at (&field), 14,
                         "$jsonSchema keyword '%.*s' must be an array of objects, but found an element of type %s",
                         (int) spec->key_len, spec->key, ecl_type_name (field.value.type));
         ok = false;
         continue;
      }
      out->nodes[out->n] = ecl_schema_parse (parse, &field);
      ok &= out->nodes[out->n] != NULL;
      out->n++;
   }
   if (ok && out->n == 0 && !may_be_empty) {
      ecl_parse_fail (parse, ecl_at (spec), 2, "$jsonSchema keyword '%.*s' must be a non-empty array",
                      (int) spec->key_len, spec->key);
      return false;
   }
   return ok;
}

static bool
parse_enum (ecl_parse_t *parse, const ecl_field_t *spec, ecl_schema_node_t *node)
{
   ecl_value_t *values, value;
   ecl_iter_t iter;
   uint32_t n = 0;

   if (spec->value.type != BSON_TYPE_ARRAY) {
      return ecl_schema_fail_type (parse, spec, "an array");
   }
   values = ecl_arena_array (parse->arena, ecl_value_t, ecl_array_count (&spec->value));
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_item (&iter, &value)) {
      values[n++] = value;
   }
   if (n == 0) {
      ecl_parse_fail (parse, ecl_at (spec), 9, "$jsonSchema keyword 'enum' cannot be an empty array");
      return false;
   }
   if (!ecl_schema_unique (parse->arena, values, n)) {
      ecl_parse_fail (parse, ecl_at (spec), 9, "$jsonSchema keyword 'enum' array cannot contain duplicate values");
      return false;
   }
   node->values = values;
   node->n_values = n;
   return true;
}

bool
ecl_schema_parse_pattern (ecl_parse_t *parse, const uint8_t *at, const char *text, size_t len, const ecl_regex_t **out)
{
   ecl_regex_error_t error;

   if (memchr (text, 0, len)) {
      ecl_parse_fail (parse, at, 2, "Regular expression cannot contain an embedded null byte");
      return false;
   }
   *out = ecl_regex_compile (parse->arena, text, len, "", 0, &error);
   if (!*out) {
      ecl_parse_fail (parse, at, 51091, "Regular expression is invalid: %s", error.message);
   }
   return *out != NULL;
}

/* ---- arrays ---- */

bool
ecl_schema_parse_rest (ecl_parse_t *parse, const ecl_field_t *spec, ecl_schema_rest_t *out)
{
   if (spec->value.type == BSON_TYPE_BOOL) {
      out->none = !spec->value.u.i64;
      return true;
   }
   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return ecl_schema_fail_type (parse, spec, "an object or a boolean");
   }
   out->node = ecl_schema_parse (parse, spec);
   return out->node != NULL;
}

static bool
parse_array_keywords (ecl_parse_t *parse, const ecl_schema_fields_t fields, ecl_schema_node_t *node)
{
   const ecl_field_t *items = &fields[ECL_KEYWORD_items], *unique = &fields[ECL_KEYWORD_uniqueItems];
   bool ok = true;

   if (unique->key) {
      if (unique->value.type != BSON_TYPE_BOOL) {
         ok = ecl_schema_fail_type (parse, unique, "a boolean");
      }
      node->unique_items = unique->value.u.i64 != 0;
   }
   if (items->key) {
      if (items->value.type == BSON_TYPE_ARRAY) {
         ok &= parse_list (parse, items, &node->items, true);
      } else if (items->value.type == BSON_TYPE_DOCUMENT) {
         node->item = ecl_schema_parse (parse, items);
         ok &= node->item != NULL;
      } else {
         ok = ecl_schema_fail_type (parse, items, "an array or an object");
      }
   }
   if (fields[ECL_KEYWORD_additionalItems].key) {
      ok &= ecl_schema_parse_rest (parse, &fields[ECL_KEYWORD_additionalItems], &node->more_items);
   }
   return ok;
}

/* ---- a schema ---- */

/* Sorts the fields by keyword; false after a report. */
static bool
find_keywords (ecl_parse_t *parse, const ecl_value_t *schema, ecl_schema_fields_t fields)
{
   static const char *const unsupported[] = {"$ref",   "$schema", "default", "definitions",
                                             "format", "id",      "encrypt", "encryptMetadata"};
   ecl_iter_t iter;
   ecl_field_t field;
   bool ok = true;

   ecl_iter_init (&iter, schema);
   while (ecl_iter_field (&iter, &field)) {
      const char *why = "Unknown $jsonSchema keyword: %.*s";
      int k = 0;

      while (k < ECL_KEYWORD_COUNT && !ecl_key_is (&field, keyword_names[k])) {
         k++;
      }
      if (k < ECL_KEYWORD_COUNT && !fields[k].key) {
         fields[k] = field;
         continue;
      }
      if (k < ECL_KEYWORD_COUNT) {
         why = "Duplicate $jsonSchema keyword: %.*s";
      }
      for (size_t i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++) {
         if (ecl_key_is (&field, unsupported[i])) {
            why = "$jsonSchema keyword '%.*s' is not currently supported";
         }
      }
      ecl_parse_fail (parse, ecl_at (&field), 9, why, (int) field.key_len, field.key);
      ok = false;
   }
   return ok;
}

static bool
parse_scalar_keywords (ecl_parse_t *parse, const ecl_schema_fields_t fields, ecl_schema_node_t *node)
{
   static const ecl_keyword_t texts[] = {ECL_KEYWORD_title, ECL_KEYWORD_description};
   const struct {
      ecl_keyword_t keyword;
      int64_t *target;
   } lengths[] = {
      {ECL_KEYWORD_minLength, &node->min_length},         {ECL_KEYWORD_maxLength, &node->max_length},
      {ECL_KEYWORD_minItems, &node->min_items},           {ECL_KEYWORD_maxItems, &node->max_items},
      {ECL_KEYWORD_minProperties, &node->min_properties}, {ECL_KEYWORD_maxProperties, &node->max_properties},
   };
   const ecl_field_t *pattern = &fields[ECL_KEYWORD_pattern];
   bool ok = true;

   for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
      if (fields[texts[i]].key && fields[texts[i]].value.type != BSON_TYPE_UTF8) {
         ok = ecl_schema_fail_type (parse, &fields[texts[i]], "of type string");
      }
   }
   for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
      if (fields[lengths[i].keyword].key) {
         ok &= parse_length (parse, &fields[lengths[i].keyword], lengths[i].target);
      }
   }
   if (pattern->key) {
      if (pattern->value.type != BSON_TYPE_UTF8) {
         ok = ecl_schema_fail_type (parse, pattern, "a string");
      } else {
         node->pattern_text = (ecl_name_t){.str = pattern->value.u.str, .len = pattern->value.len};
         ok &= ecl_schema_parse_pattern (parse, ecl_at (pattern), pattern->value.u.str, pattern->value.len,
                                         &node->pattern);
      }
   }
   if (fields[ECL_KEYWORD_multipleOf].key) {
      ok &= parse_multiple_of (parse, &fields[ECL_KEYWORD_multipleOf], &node->multiple_of);
   }
   ok &= parse_bound (parse, fields, ECL_KEYWORD_maximum, ECL_KEYWORD_exclusiveMaximum, &node->maximum,
                      &node->exclusive_maximum);
   ok &= parse_bound (parse, fields, ECL_KEYWORD_minimum, ECL_KEYWORD_exclusiveMinimum, &node->minimum,
                      &node->exclusive_minimum);
   return ok;
}

ecl_schema_node_t *
ecl_schema_parse (ecl_parse_t *parse, const ecl_field_t *spec)
{
   ecl_schema_node_t *node = ecl_arena_new (parse->arena, ecl_schema_node_t);
   ecl_field_t *fields = ecl_arena_array (parse->arena, ecl_field_t, ECL_KEYWORD_COUNT);
   bool ok;

   if (parse->depth >= ECL_PARSE_MAX_DEPTH) {
      return ecl_parse_fail (parse, ecl_at (spec), 15, "schema nested deeper than %d levels", ECL_PARSE_MAX_DEPTH);
   }
   parse->depth++;
   memset (node, 0, sizeof *node);
   memset (fields, 0, ECL_KEYWORD_COUNT * sizeof *fields);
   ok = find_keywords (parse, &spec->value, fields);
   for (int k = 0; k < ECL_KEYWORD_COUNT; k++) {
      node->at[k] = fields[k].key ? ecl_at (&fields[k]) : NULL;
   }
   if (fields[ECL_KEYWORD_type].key && fields[ECL_KEYWORD_bsonType].key) {
      ecl_parse_fail (parse, node->at[ECL_KEYWORD_type], 9,
                      "Cannot specify both $jsonSchema keywords 'type' and 'bsonType'");
      ok = false;
   } else if (fields[ECL_KEYWORD_type].key) {
      ok &= parse_types (parse, &fields[ECL_KEYWORD_type], false, &node->types);
   } else if (fields[ECL_KEYWORD_bsonType].key) {
      ok &= parse_types (parse, &fields[ECL_KEYWORD_bsonType], true, &node->types);
   }
   ok &= parse_scalar_keywords (parse, fields, node);
   ok &= parse_array_keywords (parse, fields, node);
   ok &= ecl_schema_parse_object (parse, fields, node);
   if (fields[ECL_KEYWORD_enum].key) {
      ok &= parse_enum (parse, &fields[ECL_KEYWORD_enum], node);
   }
   if (fields[ECL_KEYWORD_allOf].key) {
      ok &= parse_list (parse, &fields[ECL_KEYWORD_allOf], &node->all_of, false);
   }
   if (fields[ECL_KEYWORD_anyOf].key) {
      ok &= parse_list (parse, &fields[ECL_KEYWORD_anyOf], &node->any_of, false);
   }
   if (fields[ECL_KEYWORD_oneOf].key) {
      ok &= parse_list (parse, &fields[ECL_KEYWORD_oneOf], &node->one_of, false);
   }
   if (fields[ECL_KEYWORD_not].key) {
      if (fields[ECL_KEYWORD_not].value.type != BSON_TYPE_DOCUMENT) {
         ok = ecl_schema_fail_type (parse, &fields[ECL_KEYWORD_not], "an object");
      } else {
         node->negated = ecl_schema_parse (parse, &fields[ECL_KEYWORD_not]);
         ok &= node->negated != NULL;
      }
   }
   parse->depth--;
   return ok ? node : NULL;
}
