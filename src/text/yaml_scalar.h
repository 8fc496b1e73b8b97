/* YAML: what a plain scalar means in the core schema, and what in the source text makes it mean another thing than was
 * written. */
#ifndef ECL_TEXT_YAML_SCALAR_H
#define ECL_TEXT_YAML_SCALAR_H

#include "text/build.h"

#include <yaml.h>

/* The source, and the byte of the code point that was asked for last: libyaml's marks count code points. */
typedef struct {
   const uint8_t *bytes;
   size_t len;
   size_t index;
   size_t byte;
} ecl_yaml_source_t;

/* The byte offset of a mark; marks near the last one are cheap. */
size_t
ecl_yaml_offset (ecl_yaml_source_t *self, yaml_mark_t mark);

/* Checks that libyaml can read the bytes: UTF-8 without control characters; its own errors for these have no place. */
bool
ecl_yaml_check_bytes (ecl_build_t *build, const uint8_t *bytes, size_t len);

/* The value of a plain scalar that is not empty. */
void
ecl_yaml_resolve (ecl_build_t *build, ecl_place_t place, const char *text, size_t n);

/* What stands behind offset on its line: */
typedef enum {
   ECL_YAML_NOTHING,
   ECL_YAML_COMMENT, /* "# text" */
   ECL_YAML_CUT,     /* "#text", which is rarely meant as a comment */
} ecl_yaml_rest_t;

ecl_yaml_rest_t
ecl_yaml_rest_of_line (const ecl_yaml_source_t *self, size_t offset);

/* Whether a ':' follows offset, behind white space and comments. */
bool
ecl_yaml_colon_follows (const ecl_yaml_source_t *self, size_t offset, size_t *behind);

#endif
