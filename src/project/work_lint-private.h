/* What the files that judge database migrations share. */
#ifndef ECL_PROJECT_WORK_LINT_PRIVATE_H
#define ECL_PROJECT_WORK_LINT_PRIVATE_H

#include "project/work-private.h"

/* ---- what an update writes: work_lint_effect.c ---- */

/* What is known of a field after a write. */
typedef enum {
   ECL_GIVES_UNKNOWN,
   ECL_GIVES_MISSING,
   ECL_GIVES_VALUE,  /* exactly this one */
   ECL_GIVES_SOME,   /* it is there */
   ECL_GIVES_SCALAR, /* it is there, and neither null nor a list */
   ECL_GIVES_HOLDS,  /* a list in which the value is */
   ECL_GIVES_LACKS,  /* a list in which it is not */
   ECL_GIVES_MORE,   /* the number that it was, and the value more */
   ECL_GIVES_AS,     /* what `from` holds, and it is there only if that is */
} ecl_gives_t;

typedef enum { ECL_WRITE_SET, ECL_WRITE_REMOVED, ECL_WRITE_KEPT } ecl_write_kind_t;

/* One path that an update writes. A stage that replaces the document removes "" first, then keeps and sets what it
 * names. */
typedef struct {
   ecl_write_kind_t kind;
   ecl_name_t path; /* up to a positional part; "" is the whole document */
   const uint8_t *at;
   uint32_t stage;
   ecl_value_t expression; /* what it is computed by; missing where that reads nothing */
   ecl_name_t also;        /* a field that is read as well, as by a $lookup; length 0: none */
   const char *again;      /* why it is another one when done again; NULL where only the expression tells */
   ecl_gives_t gives;
   ecl_value_t value;
   ecl_name_t from;
   bool in_list; /* nothing is known of it because a list may be on the way */
   bool same;    /* the second time it gives what it gave the first time: filled in by ecl_effect_find */
} ecl_write_t;

typedef struct {
   ecl_arena_t *arena;
   const ecl_act_t *foreach; /* whose `let` may be named */
   ecl_write_t *items;
   size_t n, cap;
   uint32_t stages;
   bool pipeline;
   bool merges;    /* what is removed stays where it was: $merge */
   bool collation; /* strings that differ may be equal */
   bool unclear;   /* a stage that is not understood: nothing can be said */
} ecl_effect_t;

void
ecl_effect_init (ecl_effect_t *self, ecl_arena_t *arena, const ecl_act_t *foreach);

/* An update: operators or a pipeline. */
void
ecl_effect_add_update (ecl_effect_t *self, const ecl_value_t *update);

/* A document in place of all that was there. */
void
ecl_effect_add_document (ecl_effect_t *self, const ecl_value_t *document, const uint8_t *at);

/* The stages of an aggregate before its last one. */
void
ecl_effect_add_stages (ecl_effect_t *self, const ecl_value_t *pipeline);

/* Whether one of them is above the other, or both are the same. */
bool
ecl_paths_overlap (const ecl_name_t *a, const ecl_name_t *b);

/* Whether a is b or above it. */
bool
ecl_path_covers (const ecl_name_t *a, const ecl_name_t *b);

/* ---- what is known of values: work_lint_value.c ---- */

/* What an expression (of a pipeline, or of `let`) is known to give. */
ecl_gives_t
ecl_expression_gives (const ecl_act_t *foreach, const ecl_value_t *expression, ecl_value_t *value, ecl_name_t *from);

/* Whether a value of no expression has a "$$name" of the foreach in it. */
bool
ecl_names_let (const ecl_act_t *foreach, const ecl_value_t *value);

/* ---- what expressions read, and which do nothing to their own result: work_lint_stable.c ---- */

/* Calls fn for each path that an expression reads ("" is the whole document) until it returns false; whether it never
 * did. */
bool
ecl_expression_reads (const ecl_value_t *expression, bool (*fn) (void *context, const ecl_name_t *path), void *context);

/* Whether f (f (x)) is f (x) where the expression is f and the path is x, and all else that it reads stays. */
bool
ecl_expression_is_stable (const ecl_value_t *expression, const ecl_name_t *path);

/* Whether it gives the path's own value once there is one, and always makes one. */
bool
ecl_expression_fills (const ecl_value_t *expression, const ecl_name_t *path);

/* ---- whether an update gives the same when it is done twice: work_lint_twice.c ---- */

/* The first write that does not survive being done twice; NULL where all do. `absent`: judged for documents that do not
 * have this field; NULL: for all. */
const ecl_write_t *
ecl_effect_find (ecl_effect_t *self, const ecl_name_t *absent, const char **why);

/* ---- whether what was changed still matches: work_lint_guard.c ---- */

typedef enum {
   ECL_GUARD_NONE,
   ECL_GUARD_IN_LIST, /* none, because there may be a list on the way */
   ECL_GUARD_IF,      /* where *from is there */
   ECL_GUARD_HOLDS,
} ecl_guard_kind_t;

/* Whether a document that matched the filter no longer does. */
ecl_guard_kind_t
ecl_effect_guard (const ecl_effect_t *self, const ecl_value_t *filter, ecl_name_t *from);

/* Whether the filter names a path that is written. */
bool
ecl_effect_touches (const ecl_effect_t *self, const ecl_value_t *filter);

/* Whether it can only ever be one and the same document. */
bool
ecl_filter_has_id (const ecl_value_t *filter);

/* Whether a pipeline reads that collection by a stage of its own, such as $lookup: work_lint_merge.c. */
bool
ecl_pipeline_looks_into (const ecl_value_t *pipeline, const ecl_value_t *collection);

/* ---- whole steps: work_lint.c, work_lint_merge.c, work_lint_rows.c ---- */

#define ECL_LINT_HOW                                                                                              \
   "put it in a transaction, guard it with a filter that no longer matches what it changed, or say `repeatable: " \
   "because …`"

void
ecl_lint_aggregate (ecl_work_reader_t *reader, const ecl_act_t *act);

/* The rows of a foreach and the lines of its `do` together. */
void
ecl_lint_rows (ecl_work_reader_t *reader, const ecl_act_t *act);

/* What is done one after the other in a step that begins as a whole again: a bulk, or the lines of a `do`. */
void
ecl_lint_sequence (ecl_work_reader_t *reader, const ecl_act_t *foreach, const ecl_act_t *acts, size_t n);

/* What of a statement becomes part of documents: its update, or its replacement. False where it has none. */
bool
ecl_effect_of (ecl_effect_t *self, const ecl_act_t *act);

static inline bool
ecl_text_is (const ecl_value_t *value, const char *text)
{
   return ecl_is_string (value) && value->len == strlen (text) && memcmp (value->u.str, text, value->len) == 0;
}

/* The whole document, as an expression. */
static inline bool
ecl_is_root (const ecl_value_t *value)
{
   return ecl_text_is (value, "$$ROOT") || ecl_text_is (value, "$$CURRENT");
}

static inline bool
ecl_same_text (const ecl_value_t *a, const ecl_value_t *b)
{
   return ecl_is_string (a) && ecl_is_string (b) && a->len == b->len && memcmp (a->u.str, b->u.str, a->len) == 0;
}

/* The one field of a document with one field: an operator and its argument. */
static inline bool
ecl_only_field (const ecl_value_t *value, ecl_field_t *field)
{
   ecl_field_t more;
   ecl_iter_t iter;

   if (!ecl_is_document (value)) {
      return false;
   }
   ecl_iter_init (&iter, value);
   return ecl_iter_field (&iter, field) && !ecl_iter_field (&iter, &more);
}

/* {$op: …}, not {field: …} */
static inline bool
ecl_is_operator (const ecl_value_t *value)
{
   ecl_field_t field;

   return ecl_only_field (value, &field) && field.key_len && field.key[0] == '$';
}

static inline bool
ecl_is_one_of (const ecl_field_t *field, const char *const *words)
{
   for (; *words; words++) {
      if (ecl_key_is (field, *words)) {
         return true;
      }
   }
   return false;
}

#endif
