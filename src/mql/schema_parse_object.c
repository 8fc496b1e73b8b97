/* The keywords of $jsonSchema about objects: properties, required, dependencies, patternProperties. See schema.h. */
#include "mql/schema_parse.h"

#include <stdlib.h>

static int
compare_names (const void *a, const void *b)
{
   const ecl_name_t *x = &((const ecl_schema_property_t *) a)->name, *y = &((const ecl_schema_property_t *) b)->name;

   if (x->len != y->len) {
      return x->len < y->len ? -1 : 1;
   }
   return memcmp (x->str, y->str, x->len);
}

const ecl_schema_property_t *
ecl_schema_property (const ecl_schema_node_t *self, const char *name, uint32_t len)
{
   ecl_schema_property_t key = {.name = {.str = name, .len = len}};

   return self->n_properties ? bsearch (&key, self->properties, self->n_properties, sizeof key, compare_names) : NULL;
}

/* Names as they are met. */
typedef struct {
   ecl_parse_t *parse;
   ecl_schema_property_t *all;
   uint32_t n, cap;
   bool ok;
} names_t;

static void
add_name (names_t *self, const uint8_t *at, const char *text, uint32_t len)
{
   if (memchr (text, '.', len)) {
      ecl_parse_fail (self->parse, at, 9,
                      "'%.*s' in $jsonSchema is not supported: MongoDB takes a name with a dot for a path", (int) len,
                      text);
      self->ok = false;
   }
   if (self->n == self->cap) {
      size_t size = self->cap * sizeof *self->all;

      self->all = ecl_arena_grow (self->parse->arena, self->all, size, 2 * size);
      self->cap *= 2;
   }
   memset (&self->all[self->n], 0, sizeof *self->all);
   self->all[self->n++].name = (ecl_name_t){.str = text, .len = len};
}

static void
collect_properties (names_t *self, const ecl_field_t *properties)
{
   ecl_iter_t iter;
   ecl_field_t field;

   if (properties->value.type != BSON_TYPE_DOCUMENT) {
      self->ok = ecl_schema_fail_type (self->parse, properties, "an object");
      return;
   }
   ecl_iter_init (&iter, &properties->value);
   while (ecl_iter_field (&iter, &field)) {
      if (field.value.type != BSON_TYPE_DOCUMENT) {
         ecl_parse_fail (self->parse, ecl_at (&field), 14,
                         "Nested schema for $jsonSchema property '%.*s' must be an object, found %s",
                         (int) field.key_len, field.key, ecl_type_name (field.value.type));
         self->ok = false;
      }
      add_name (self, ecl_at (&field), field.key, field.key_len);
   }
}

static void
collect_required (names_t *self, const ecl_field_t *required)
{
   uint32_t before = self->n;
   ecl_iter_t iter;
   ecl_field_t field;

   if (required->value.type != BSON_TYPE_ARRAY) {
      self->ok = ecl_schema_fail_type (self->parse, required, "an array");
      return;
   }
   ecl_iter_init (&iter, &required->value);
   while (ecl_iter_field (&iter, &field)) {
      if (field.value.type != BSON_TYPE_UTF8) {
         self->ok = ecl_schema_fail_type (self->parse, required, "an array of strings");
         break;
      }
      add_name (self, ecl_at (&field), field.value.u.str, field.value.len);
   }
   if (self->ok && self->n == before) {
      ecl_parse_fail (self->parse, ecl_at (required), 9, "$jsonSchema keyword 'required' cannot be an empty array");
      self->ok = false;
   }
}

/* Those of one dependency: an array of names; an object is a schema, and names what it names by itself. */
static void
collect_dependency (names_t *self, const ecl_field_t *field)
{
   uint32_t before = self->n;
   ecl_iter_t iter;
   ecl_value_t name;

   if (field->value.type != BSON_TYPE_ARRAY) {
      if (field->value.type != BSON_TYPE_DOCUMENT) {
         ecl_parse_fail (self->parse, ecl_at (field), 14,
                         "property '%.*s' in $jsonSchema keyword 'dependencies' must be either an object or an "
                         "array, found %s",
                         (int) field->key_len, field->key, ecl_type_name (field->value.type));
         self->ok = false;
      }
      return;
   }
   ecl_iter_init (&iter, &field->value);
   while (ecl_iter_item (&iter, &name)) {
      if (name.type != BSON_TYPE_UTF8) {
         ecl_parse_fail (self->parse, ecl_at (field), 14,
                         "array '%.*s' in $jsonSchema keyword 'dependencies' can only contain strings, but "
                         "found element of type: %s",
                         (int) field->key_len, field->key, ecl_type_name (name.type));
         self->ok = false;
         break;
      }
      add_name (self, ecl_at (field), name.u.str, name.len);
   }
   if (self->ok && self->n == before) {
      ecl_parse_fail (self->parse, ecl_at (field), 9,
                      "property '%.*s' in $jsonSchema keyword 'dependencies' cannot be an empty array",
                      (int) field->key_len, field->key);
      self->ok = false;
   }
}

static void
collect_dependencies (names_t *self, const ecl_field_t *dependencies)
{
   ecl_iter_t iter;
   ecl_field_t field;

   if (dependencies->value.type != BSON_TYPE_DOCUMENT) {
      self->ok = ecl_schema_fail_type (self->parse, dependencies, "an object");
      return;
   }
   ecl_iter_init (&iter, &dependencies->value);
   while (ecl_iter_field (&iter, &field)) {
      add_name (self, ecl_at (&field), field.key, field.key_len);
      collect_dependency (self, &field);
   }
}

/* Checks properties, required and dependencies and collects the names in them, sorted, each once. */
static bool
collect_names (ecl_parse_t *parse, const ecl_schema_fields_t fields, ecl_schema_node_t *node)
{
   names_t names = {.parse = parse, .cap = 8, .ok = true};
   uint32_t kept = 0;

   names.all = ecl_arena_array (parse->arena, ecl_schema_property_t, names.cap);
   if (fields[ECL_KEYWORD_properties].key) {
      collect_properties (&names, &fields[ECL_KEYWORD_properties]);
   }
   if (fields[ECL_KEYWORD_required].key) {
      collect_required (&names, &fields[ECL_KEYWORD_required]);
   }
   if (fields[ECL_KEYWORD_dependencies].key) {
      collect_dependencies (&names, &fields[ECL_KEYWORD_dependencies]);
   }
   qsort (names.all, names.n, sizeof *names.all, compare_names);
   for (uint32_t i = 0; i < names.n; i++) {
      if (kept == 0 || compare_names (&names.all[kept - 1], &names.all[i]) != 0) {
         names.all[kept++] = names.all[i];
      }
   }
   node->properties = names.all;
   node->n_properties = kept;
   return names.ok;
}

static ecl_schema_property_t *
property_of (ecl_schema_node_t *node, const char *name, uint32_t len)
{
   return (ecl_schema_property_t *) ecl_schema_property (node, name, len);
}

static int
compare_indexes (const void *a, const void *b)
{
   uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

   return (x > y) - (x < y);
}

static bool
parse_dependency (ecl_parse_t *parse, const ecl_field_t *spec, ecl_schema_node_t *node)
{
   ecl_schema_dependency_t *dependency = ecl_arena_new (parse->arena, ecl_schema_dependency_t);

   memset (dependency, 0, sizeof *dependency);
   dependency->source = ecl_at (spec);
   property_of (node, spec->key, spec->key_len)->dependency = dependency;
   if (spec->value.type == BSON_TYPE_DOCUMENT) {
      dependency->node = ecl_schema_parse (parse, spec);
      return dependency->node != NULL;
   } else {
      uint32_t *indexes = ecl_arena_array (parse->arena, uint32_t, ecl_array_count (&spec->value));
      ecl_iter_t iter;
      ecl_value_t name;
      uint32_t n = 0;

      ecl_iter_init (&iter, &spec->value);
      while (ecl_iter_item (&iter, &name)) {
         indexes[n++] = (uint32_t) (ecl_schema_property (node, name.u.str, name.len) - node->properties);
      }
      qsort (indexes, n, sizeof *indexes, compare_indexes);
      for (uint32_t i = 1; i < n; i++) {
         if (indexes[i] == indexes[i - 1]) {
            ecl_parse_fail (parse, ecl_at (spec), 9,
                            "array '%.*s' in $jsonSchema keyword 'dependencies' contains duplicate element: %.*s",
                            (int) spec->key_len, spec->key, (int) node->properties[indexes[i]].name.len,
                            node->properties[indexes[i]].name.str);
            return false;
         }
      }
      dependency->properties = indexes;
      dependency->n = n;
      return true;
   }
}

bool
ecl_schema_parse_object (ecl_parse_t *parse, const ecl_schema_fields_t fields, ecl_schema_node_t *node)
{
   const ecl_field_t *spec = &fields[ECL_KEYWORD_patternProperties];
   ecl_iter_t iter;
   ecl_field_t field;
   bool ok = collect_names (parse, fields, node);

   if (ok && fields[ECL_KEYWORD_properties].key) {
      ecl_iter_init (&iter, &fields[ECL_KEYWORD_properties].value);
      while (ecl_iter_field (&iter, &field)) {
         ecl_schema_property_t *property = property_of (node, field.key, field.key_len);

         property->allowed = true;
         property->node = ecl_schema_parse (parse, &field);
         ok &= property->node != NULL;
      }
   }
   if (ok && fields[ECL_KEYWORD_required].key) {
      ecl_iter_init (&iter, &fields[ECL_KEYWORD_required].value);
      while (ecl_iter_field (&iter, &field)) {
         ecl_schema_property_t *property = property_of (node, field.value.u.str, field.value.len);

         if (property->required) {
            ecl_parse_fail (parse, ecl_at (&field), 9,
                            "$jsonSchema keyword 'required' array cannot contain duplicate values");
            ok = false;
         }
         property->required = true;
      }
   }
   if (ok && fields[ECL_KEYWORD_dependencies].key) {
      ecl_iter_init (&iter, &fields[ECL_KEYWORD_dependencies].value);
      while (ecl_iter_field (&iter, &field)) {
         ok &= parse_dependency (parse, &field, node);
      }
   }
   if (spec->key) {
      if (spec->value.type != BSON_TYPE_DOCUMENT) {
         return ecl_schema_fail_type (parse, spec, "an object");
      }
      node->patterns = ecl_arena_array (parse->arena, ecl_schema_pattern_t, ecl_array_count (&spec->value));
      ecl_iter_init (&iter, &spec->value);
      while (ecl_iter_field (&iter, &field)) {
         ecl_schema_pattern_t *pattern = &node->patterns[node->n_patterns++];

         if (field.value.type != BSON_TYPE_DOCUMENT) {
            ecl_parse_fail (parse, ecl_at (&field), 14,
                            "$jsonSchema keyword 'patternProperties' has property '%.*s' which is not an object",
                            (int) field.key_len, field.key);
            ok = false;
            continue;
         }
         ok &= ecl_schema_parse_pattern (parse, ecl_at (&field), field.key, field.key_len, &pattern->regex);
         pattern->node = ecl_schema_parse (parse, &field);
         ok &= pattern->node != NULL;
      }
   }
   if (fields[ECL_KEYWORD_additionalProperties].key) {
      ok &= ecl_schema_parse_rest (parse, &fields[ECL_KEYWORD_additionalProperties], &node->more_properties);
   }
   return ok;
}
