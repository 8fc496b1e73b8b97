/* The tree that a $jsonSchema is parsed into: shared by its parser and its runner. */
#ifndef ECL_MQL_SCHEMA_NODE_H
#define ECL_MQL_SCHEMA_NODE_H

#include "mql/regex.h"
#include "mql/schema.h"

#include "bson/decimal.h"

/* clang-format off */
#define ECL_SCHEMA_KEYWORDS(X)                                                                                         \
   X (additionalItems) X (additionalProperties) X (allOf) X (anyOf) X (bsonType) X (dependencies) X (description)      \
   X (enum) X (exclusiveMaximum) X (exclusiveMinimum) X (items) X (maxItems) X (maxLength) X (maxProperties)           \
   X (maximum) X (minItems) X (minLength) X (minProperties) X (minimum) X (multipleOf) X (not) X (oneOf) X (pattern)   \
   X (patternProperties) X (properties) X (required) X (title) X (type) X (uniqueItems)
/* clang-format on */

typedef enum {
#define X(name) ECL_KEYWORD_##name,
   ECL_SCHEMA_KEYWORDS (X)
#undef X
      ECL_KEYWORD_COUNT
} ecl_keyword_t;

typedef struct ecl_schema_node_t ecl_schema_node_t;

/* A list of schemas: allOf, anyOf, oneOf, items. */
typedef struct {
   ecl_schema_node_t **nodes;
   uint32_t n;
} ecl_schema_list_t;

/* What `dependencies` asks of a document that has a property. */
typedef struct {
   const ecl_schema_node_t *node; /* the whole document must be valid, or … */
   const uint32_t *properties;    /* … it must have these properties */
   uint32_t n;
   const uint8_t *source;
} ecl_schema_dependency_t;

/* A name in properties, required or dependencies; sorted by length, then bytes. */
typedef struct {
   ecl_name_t name;
   const ecl_schema_node_t *node; /* of properties; NULL where it is not there */
   const ecl_schema_dependency_t *dependency;
   bool required;
   bool allowed; /* named in properties */
} ecl_schema_property_t;

typedef struct {
   const ecl_regex_t *regex;
   const ecl_schema_node_t *node;
} ecl_schema_pattern_t;

/* additionalProperties, additionalItems: anything, nothing, or what a schema says. */
typedef struct {
   bool none;
   const ecl_schema_node_t *node;
} ecl_schema_rest_t;

struct ecl_schema_node_t {
   const uint8_t *at[ECL_KEYWORD_COUNT]; /* where each keyword stands; NULL where it is not there */
   uint32_t types;                       /* with type or bsonType */
   ecl_value_t minimum, maximum;
   bool exclusive_minimum, exclusive_maximum;
   ecl_value_t multiple_of;
   int64_t min_length, max_length;
   int64_t min_items, max_items;
   int64_t min_properties, max_properties;
   bool unique_items;
   const ecl_regex_t *pattern;
   ecl_name_t pattern_text;
   const ecl_value_t *values; /* of enum */
   uint32_t n_values;
   ecl_schema_property_t *properties;
   uint32_t n_properties;
   ecl_schema_pattern_t *patterns;
   uint32_t n_patterns;
   ecl_schema_rest_t more_properties;
   const ecl_schema_node_t *item; /* items: {…} */
   ecl_schema_list_t items;       /* items: […] */
   ecl_schema_rest_t more_items;
   ecl_schema_list_t all_of, any_of, one_of;
   const ecl_schema_node_t *negated; /* of the keyword not */
};

struct ecl_schema_t {
   ecl_arena_t arena;
   ecl_parse_t parse;
   ecl_schema_node_t *root;
};

ecl_schema_node_t *
ecl_schema_parse (ecl_parse_t *parse, const ecl_field_t *spec);

/* The property of that name; NULL where the schema does not name it. */
const ecl_schema_property_t *
ecl_schema_property (const ecl_schema_node_t *self, const char *name, uint32_t len);

/* Equality without regard to the order of fields, at any depth. Scratch comes from the arena. */
bool
ecl_schema_equal (ecl_arena_t *arena, const ecl_value_t *a, const ecl_value_t *b);

/* True where no two values are equal in that sense. */
bool
ecl_schema_unique (ecl_arena_t *arena, const ecl_value_t *values, uint32_t n);

#endif
