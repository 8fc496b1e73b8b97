/* Differences between two documents, for people: dotted paths, types named where they differ, moved fields as moved.
 *
 *    - name: "Ariel Whiteaker"
 *    + first_name: "Ariel"
 *    ~ age: "41" (string) -> 41 (int)
 *    > nick: moved from alias: "ari"
 *    > login: moved from place 2 to 1
 *
 * Two notions of equality: the same bytes, for which the order of fields counts; and the loose one by which a way back
 * is judged: same paths, types and values, elements in order, fields in any order; -0.0 and 0.0, and decimals 1.0 and
 * 1.00, differ.
 */
#ifndef ECL_UPGRADE_DIFF_H
#define ECL_UPGRADE_DIFF_H

#include "base/buf.h"
#include "bson/value.h"

typedef enum {
   ECL_DIFF_REMOVED,
   ECL_DIFF_ADDED,
   ECL_DIFF_CHANGED,
   ECL_DIFF_RENAMED, /* gone from one path, and the same value new at another */
   ECL_DIFF_MOVED,   /* the field's place among its neighbours changed, not its value */
} ecl_diff_kind_t;

typedef struct {
   ecl_diff_kind_t kind;
   const char *path;
   const char *from_path;     /* RENAMED: where it was; else NULL */
   ecl_value_t before, after; /* borrowed from the documents; missing where there is none */
   uint32_t from, to;         /* MOVED: places, counted from 1 */
} ecl_difference_t;

typedef struct {
   const ecl_difference_t *items;
   size_t n;
} ecl_differences_t;

typedef enum {
   ECL_DIFF_DEFAULT = 0,
   ECL_DIFF_ANY_ORDER = 1 << 0, /* the loose equality: no MOVED */
   ECL_DIFF_NO_RENAMES = 1 << 1,
} ecl_diff_flags_t;

/* What makes b of a, in the order of a document that holds both. Both are raw and validated; paths and the list lie in
 * the arena. Without flags n is 0 exactly where the bytes are equal. */
ecl_differences_t
ecl_diff (ecl_arena_t *arena, const ecl_value_t *a, const ecl_value_t *b, ecl_diff_flags_t flags);

/* The loose equality. */
bool
ecl_diff_same (const ecl_value_t *a, const ecl_value_t *b);

typedef struct {
   bool colour;
   const char *indent; /* before each line; NULL: none */
   uint32_t max_value; /* bytes of a value that are shown; 0: 200 */
} ecl_diff_style_t;

/* A value as relaxed Extended JSON, cut at max bytes (0: 200) where it is longer; for messages. */
bool
ecl_diff_show_value (const ecl_value_t *value, uint32_t max, ecl_buf_t *out) ECL_MUST_CHECK;

/* One line each. False where out is full. */
bool
ecl_diff_print (const ecl_differences_t *diff, const ecl_diff_style_t *style, ecl_buf_t *out) ECL_MUST_CHECK;

/* Appends to an array document: {op, path, from, before, after}. */
void
ecl_diff_append (const ecl_differences_t *diff, bson_t *array);

#endif
