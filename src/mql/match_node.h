/* The tree that a filter is parsed into: shared by the parser and the runner of match. */
#ifndef ECL_MQL_MATCH_NODE_H
#define ECL_MQL_MATCH_NODE_H

#include "mql/match.h"
#include "mql/regex.h"
#include "mql/schema.h"

typedef enum {
   /* of the document, or of what stands in its place */
   ECL_MATCH_AND,
   ECL_MATCH_OR,
   ECL_MATCH_NOR,
   ECL_MATCH_NOT, /* of all its nodes together */
   ECL_MATCH_TRUE,
   ECL_MATCH_FALSE,
   ECL_MATCH_EXPR,
   ECL_MATCH_SCHEMA,
   /* of what a path leads to */
   ECL_MATCH_EQ,
   ECL_MATCH_LT,
   ECL_MATCH_LTE,
   ECL_MATCH_GT,
   ECL_MATCH_GTE,
   ECL_MATCH_IN,
   ECL_MATCH_REGEX,
   ECL_MATCH_EXISTS,
   ECL_MATCH_TYPE,
   ECL_MATCH_MOD,
   ECL_MATCH_SIZE,
   ECL_MATCH_BITS_ALL_SET,
   ECL_MATCH_BITS_ALL_CLEAR,
   ECL_MATCH_BITS_ANY_SET,
   ECL_MATCH_BITS_ANY_CLEAR,
   ECL_MATCH_ELEM_OBJECT, /* an element that is a document or array matches all nodes as a document */
   ECL_MATCH_ELEM_VALUE,  /* an element passes the test of all nodes */
} ecl_match_kind_t;

typedef struct {
   const char *name;
   uint32_t len;
   bool number; /* digits only: an index as well */
} ecl_match_part_t;

typedef struct {
   const ecl_match_part_t *parts;
   uint32_t n;
} ecl_match_path_t;

typedef struct {
   const ecl_regex_t *compiled;
   const char *pattern, *options;
   uint32_t pattern_len, options_len;
} ecl_match_regex_t;

/* What $in compares with: values sorted in BSON order, each once, and regexes. */
typedef struct {
   ecl_value_t *values;
   uint32_t n;
   uint32_t classes; /* which classes of types are among them: most elements are turned away by it */
   bool has_null;
   ecl_match_regex_t *regexes;
   uint32_t n_regexes;
} ecl_match_set_t;

/* A mask of bits: either positions or bytes, and the same for a 64-bit number, where all positions from 63 on are the
 * sign. */
typedef struct {
   uint64_t number;
   const uint32_t *positions;
   uint32_t n_positions;
   const uint8_t *bytes;
   uint32_t n_bytes;
} ecl_match_bits_t;

typedef struct ecl_match_node_t ecl_match_node_t;
struct ecl_match_node_t {
   ecl_match_kind_t kind;
   bool traverse; /* the elements of an array at the end of the path are tried, too */
   ecl_match_path_t path;
   const uint8_t *source;
   ecl_match_node_t **nodes;
   uint32_t n, cap;
   /* AND of several paths: their first parts, each once, so that one scan of the document finds all of them. head is,
    * in each of the nodes, the index of its own + 1; 0: it has no path. */
   const ecl_match_part_t **heads;
   uint32_t n_heads, head;
   union {
      ecl_value_t value;
      ecl_match_set_t set;
      ecl_match_regex_t regex;
      uint32_t types;
      int64_t size;
      struct {
         int64_t divisor, remainder;
      } mod;
      ecl_match_bits_t bits;
      const ecl_expr_t *expr;
      const ecl_schema_t *schema;
   } u;
};

/* More are looked up one by one. */
#define ECL_MATCH_MAX_HEADS 16

struct ecl_match_t {
   ecl_arena_t arena;
   ecl_eval_t folder;
   ecl_parse_t parse;
   ecl_match_node_t *root;
   ecl_schema_t **schemas; /* they have arenas of their own */
   uint32_t n_schemas, cap_schemas;
   const char **paths;
   size_t n_paths, cap_paths;
   bool whole;
};

/* Tri-state of a test: an error travels up like a yes. */
#define ECL_MATCH_NO 0
#define ECL_MATCH_YES 1
#define ECL_MATCH_FAILED (-1)

/* The parser: NULL after a report. Paths and schemas are noted in self. */
ecl_match_node_t *
ecl_match_parse (ecl_match_t *self, const ecl_value_t *filter);

/* Parsing of arguments that are constants (match_args.c). False after a report. */
bool
ecl_match_parse_bits (ecl_parse_t *parse, const ecl_field_t *spec, ecl_match_bits_t *out);

bool
ecl_match_parse_mod (ecl_parse_t *parse, const ecl_field_t *spec, int64_t *divisor, int64_t *remainder);

bool
ecl_match_parse_size (ecl_parse_t *parse, const ecl_field_t *spec, int64_t *out);

bool
ecl_match_parse_types (ecl_parse_t *parse, const ecl_field_t *spec, uint32_t *out);

bool
ecl_match_parse_regex (ecl_parse_t *parse, const uint8_t *at, const char *pattern, size_t pattern_len,
                       const char *options, size_t options_len, ecl_match_regex_t *out);

/* The two strings of a regex value. */
void
ecl_match_split_regex (const ecl_value_t *v, ecl_match_regex_t *out);

/* Sorts the values of $in, drops doubles and prepares the rest. */
void
ecl_match_prepare_set (ecl_match_set_t *set);

/* The bit of a class of types in ecl_match_set_t.classes. */
static inline uint32_t
ecl_match_class_bit (uint8_t type)
{
   int class = ecl_canonical_type (type);

   return 1u << (class < 0 ? 0 : class / 5 + 1);
}

#endif
