/* What the files of the parser of $jsonSchema share: see schema.h. */
#ifndef ECL_MQL_SCHEMA_PARSE_H
#define ECL_MQL_SCHEMA_PARSE_H

#include "mql/schema_node.h"

/* The keywords of one schema, as they were found; a key is NULL where there is none. */
typedef ecl_field_t ecl_schema_fields_t[ECL_KEYWORD_COUNT];

/* Notes that the keyword's value is of a wrong type; false. */
bool
ecl_schema_fail_type (ecl_parse_t *parse, const ecl_field_t *spec, const char *wanted);

bool
ecl_schema_parse_pattern (ecl_parse_t *parse, const uint8_t *at, const char *text, size_t len, const ecl_regex_t **out);

/* additionalProperties, additionalItems */
bool
ecl_schema_parse_rest (ecl_parse_t *parse, const ecl_field_t *spec, ecl_schema_rest_t *out);

/* The keywords about objects: schema_parse_object.c. */
bool
ecl_schema_parse_object (ecl_parse_t *parse, const ecl_schema_fields_t fields, ecl_schema_node_t *node);

#endif
