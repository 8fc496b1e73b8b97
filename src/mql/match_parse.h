/* What the files of the filter's parser share. */
#ifndef ECL_MQL_MATCH_PARSE_H
#define ECL_MQL_MATCH_PARSE_H

#include "mql/match_node.h"

/* Nested deeper is refused, as by the server. */
#define ECL_MATCH_MAX_DEPTH 100

typedef enum {
   ECL_MATCH_LEVEL_TOP,  /* of the document itself */
   ECL_MATCH_LEVEL_ELEM, /* inside $elemMatch: $expr, which sees whole documents only, may not stand there */
} ecl_match_level_t;

/* ---- building (match_build.c) ---- */

/* path may be NULL */
ecl_match_node_t *
ecl_match_new_node (ecl_match_t *self, ecl_match_kind_t kind, const ecl_match_path_t *path, const uint8_t *source);

void
ecl_match_add_node (ecl_match_t *self, ecl_match_node_t *into, ecl_match_node_t *node);

ecl_match_path_t
ecl_match_split_path (ecl_match_t *self, const char *path, uint32_t len);

/* Notes a path that the filter reads; doubles go in ecl_match_sort_paths. */
void
ecl_match_note_path (ecl_match_t *self, const char *path, size_t len);

/* What an aggregation expression reads. */
void
ecl_match_note_expr (ecl_match_t *self, const ecl_expr_t *expr);

void
ecl_match_sort_paths (ecl_match_t *self);

/* Collects the first parts of the paths below an AND; see ecl_match_node_t.heads. */
void
ecl_match_collect_heads (ecl_match_t *self, ecl_match_node_t *node);

/* ---- parsing: problems are reported, what is good is added to into ---- */

/* {a: 1}, {a: /x/}, {a: {$gt: 1}}: what the field says of its path */
void
ecl_match_parse_field (ecl_match_t *self, ecl_match_node_t *into, const ecl_match_path_t *path, const ecl_field_t *spec,
                       ecl_match_level_t level);

void
ecl_match_parse_comparison (ecl_match_t *self, ecl_match_node_t *into, ecl_match_kind_t kind,
                            const ecl_match_path_t *path, const ecl_field_t *spec);

/* Says that an operator is not known, or why it is not supported. */
void
ecl_match_fail_unknown (ecl_match_t *self, const ecl_field_t *spec, const char *what);

/* A whole filter, or one inside $and, $elemMatch, …; NULL after a report. */
ecl_match_node_t *
ecl_match_parse_document (ecl_match_t *self, const ecl_value_t *document, const uint8_t *at, ecl_match_level_t level);

#endif
