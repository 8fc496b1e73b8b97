/* Match: MongoDB's query language on one document.
 *
 *    filter ──parse──► tree of predicates ──run──► does the document match?
 *
 * A predicate has the parts of its path, split when it is parsed, and a constant that is ready to compare with. Paths
 * go through arrays as the server's do: at the end of a path the elements of an array are tried, then the array itself;
 * on the way the rest of the path is tried in each element that is a document, and a number in the path is both a key
 * of those documents and an index into the array.
 *
 * What is not a function of one document ($where, $text, geometry, $sampleRate) is refused by name. A match is
 * immutable and may be run by many threads, each with an evaluator. The BSON that it was parsed from must outlive it.
 */
#ifndef ECL_MQL_MATCH_H
#define ECL_MQL_MATCH_H

#include "mql/expr.h"

typedef struct ecl_match_t ecl_match_t;

typedef struct {
   ecl_parse_report_fn report; /* each problem that parsing finds; may be NULL */
   void *report_context;
   bool allow_now;           /* $expr may read $$NOW */
   const ecl_parse_t *outer; /* of a $match in a $lookup's pipeline: whose variables $expr sees; else NULL */
} ecl_match_options_t;

/* filter is a raw, validated document. All problems are reported; NULL where there was one. options may be NULL. */
ecl_match_t *
ecl_match_new (const ecl_value_t *filter, const ecl_match_options_t *options);

void
ecl_match_destroy (ecl_match_t *self);

/* document is raw and validated. False only where an $expr fails on it, with its error. What the
 * evaluator's arena holds stays; not to be called while it evaluates an expression. */
bool
ecl_match_run (const ecl_match_t *self, ecl_eval_t *ev, const ecl_value_t *document, bool *matched,
               bson_error_t *error) ECL_MUST_CHECK;

/* The dotted paths that the filter reads, sorted, each once; they belong to the match. *whole says that any part of the
 * document may decide ($$ROOT, $jsonSchema). */
const char *const *
ecl_match_paths (const ecl_match_t *self, size_t *n, bool *whole);

#endif
