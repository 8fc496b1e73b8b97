/* Guard: the update statement that writes what was computed here, if and only if the stored document is still the one
 * that it was computed from.
 *
 * The statement compares, by value and by type, every top-level field that the chain reads or writes with what was
 * read, all in one $eq, and writes only the fields that changed:
 *
 *    {$set: {those that go: "$$REMOVE", changed and new ones: constants, in the order of the output}}
 *
 * with a $set of its own for those that go and a {$replaceWith: {$mergeObjects: ["$$ROOT"]}} before it, where one of
 * them comes back at another place.
 *
 * (A classic $set would order new fields by name, so it is a pipeline.) The comparison stands in the filter, as $expr,
 * or in the pipeline, where it decides between the new and the present value of each field: some servers scan the
 * collection for {_id, $expr}. In the second form a statement whose guard fails changes nothing and counts as
 * unmodified.
 *
 * Some documents cannot be compared exactly in one statement; then the answer is that a transaction must read it
 * again, compare bytes and write:
 *
 *    - numbers in arrays inside of arrays: $eq takes 1 and 1.0 for equal, and an expression for their types would grow
 *    - names of fields with a dot or a leading $, or that come twice in one document
 *    - a statement of more than the size that a server takes
 *
 * (Collations and functions of the host language are for the caller to know.)
 *
 * Taken for unchanged is what no expression of the server's tells apart: 0.0 from -0.0, decimals of one value with
 * other trailing zeros, the types of numbers in the scope of JavaScript code, and strings from symbols.
 */
#ifndef ECL_RUN_GUARD_H
#define ECL_RUN_GUARD_H

#include "mql/plan.h"

typedef enum {
   ECL_GUARD_IN_FILTER,
   ECL_GUARD_IN_PIPELINE,
} ecl_guard_form_t;

typedef enum {
   ECL_GUARD_NOTHING,     /* both are the same bytes: there is nothing to write */
   ECL_GUARD_STATEMENT,   /* filter and update are ready */
   ECL_GUARD_TRANSACTION, /* see above; *why says which */
} ecl_guard_result_t;

/* Largest statement that is made: MongoDB takes 16 MiB and 16 KiB, less what stands around it. */
#define ECL_GUARD_MAX_STATEMENT (16u * 1024u * 1024u)

/* The fields that the plan touches; made once per plan. */
typedef struct {
   const char **names; /* of top-level fields, each once */
   size_t n;
   bool whole; /* $$ROOT is read or the document is replaced: every field counts */
} ecl_guard_fields_t;

/* In the arena. */
void
ecl_guard_fields (ecl_arena_t *arena, const ecl_plan_t *plan, ecl_guard_fields_t *out);

/* stored and wanted are raw documents. *filter and *update (an array) are raw, in the arena; *why is static. */
ecl_guard_result_t
ecl_guard_build (ecl_arena_t *arena, const ecl_guard_fields_t *fields, const ecl_value_t *stored,
                 const ecl_value_t *wanted, ecl_guard_form_t form, ecl_value_t *filter, ecl_value_t *update,
                 const char **why);

#endif
