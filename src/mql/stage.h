/* Stages: what $set, $unset, $project, $replaceWith and their synonyms are parsed into. */
#ifndef ECL_MQL_STAGE_H
#define ECL_MQL_STAGE_H

#include "mql/expr.h"

typedef enum {
   ECL_STAGE_SET,      /* $set, $addFields */
   ECL_STAGE_EXCLUDE,  /* $unset, $project of exclusions */
   ECL_STAGE_INCLUDE,  /* $project of inclusions and computed fields */
   ECL_STAGE_REPLACE,  /* $replaceWith, $replaceRoot */
   ECL_STAGE_FUNCTION, /* a function of the host language */
} ecl_stage_kind_t;

typedef enum {
   ECL_TREE_CHILDREN,
   ECL_TREE_COMPUTED,
   ECL_TREE_KEEP,
   ECL_TREE_DROP,
} ecl_tree_action_t;

/* A node of the paths that a stage names: {"a.b": x, "a.c": y} is a with children b and c. */
typedef struct ecl_tree_t ecl_tree_t;
struct ecl_tree_t {
   ecl_name_t name;
   ecl_tree_action_t action;
   bool computes; /* it or a node below it is COMPUTED */
   bool replaces; /* an array in its place is replaced by a document, not gone through */
   uint32_t slot; /* of a node directly below the root, once linked */
   uint32_t memo; /* of a COMPUTED node deeper than that: where its value is kept while the stage runs */
   uint32_t n;
   ecl_expr_t *expr;                /* COMPUTED */
   ecl_tree_t *first, *last, *next; /* children in the order of the text; siblings */
   const uint8_t *source;
   struct ecl_tree_index_t *index; /* of the children, where they are many; for parsing */
};

typedef struct ecl_stage_t ecl_stage_t;
struct ecl_stage_t {
   ecl_stage_kind_t kind;
   ecl_tree_t *root;
   ecl_expr_t *expr;                      /* REPLACE */
   const struct ecl_function_t *function; /* FUNCTION */
   uint32_t n_memo;
   bool direct; /* SET, once linked: no expression reads what one before it sets, so each is stored at once */
   bool *stays; /* INCLUDE, once linked: by slot, what keeps its place (KEEP and CHILDREN) */
   ecl_stage_t *next;
   const uint8_t *source;
};

/* NULL after a report. stage is a document with one field, the stage's name. */
ecl_stage_t *
ecl_stage_parse (ecl_parse_t *parse, const ecl_field_t *stage);

/* {$set: {path: {$literal: value}}} */
ecl_stage_t *
ecl_stage_constant (ecl_parse_t *parse, const char *path, const ecl_value_t *value);

struct ecl_function_t;

ecl_stage_t *
ecl_stage_function (ecl_parse_t *parse, const struct ecl_function_t *function);

/* A stage that sets the path that the field's value names to a computed value. An array on the path becomes a document. */
ecl_stage_t *
ecl_stage_computed (ecl_parse_t *parse, const ecl_field_t *path, ecl_expr_t *expr);

/* Values of COMPUTED nodes below the top level, so that an array on the path does not evaluate them again for each of
 * its elements. */
typedef struct {
   ecl_value_t *values; /* the stage's n_memo of them */
   bool *known;         /* which of them were computed */
} ecl_memo_t;

/* The value of a field after the stage's subtree was applied to it: added or replaced fields. */
bool
ecl_tree_set (const ecl_tree_t *tree, ecl_eval_t *ev, ecl_memo_t *memo, const ecl_value_t *v, ecl_value_t *out);

/* … without what the subtree drops; with places, it leaves its place for when it is set again */
void
ecl_tree_exclude (const ecl_tree_t *tree, ecl_arena_t *arena, const ecl_value_t *v, bool places, ecl_value_t *out);

/* … with only what the subtree keeps; missing where nothing of a scalar is kept */
void
ecl_tree_include (const ecl_tree_t *tree, ecl_arena_t *arena, const ecl_value_t *v, ecl_value_t *out);

#endif
