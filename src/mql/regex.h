/* Regular expressions: PCRE2 as MongoDB uses it.
 *
 * UTF-8 mode, no Unicode properties for \w \d \b, `$` also before a final newline. Options: i (case), m (multi-line),
 * s (dot matches newline), x (extended), u (accepted, does nothing). A pattern that is constant is compiled into the
 * plan's arena (ecl_regex_compile); one that comes from a document is compiled into a bounded cache of the evaluator
 * (ecl_regex_cached).
 *
 * A compiled expression is immutable and may be used by many threads; what changes while matching is in ev->regex.
 * The error codes are the caller's, because MongoDB's differ: a bad pattern is 51091 in a filter and 51111 in an
 * expression, a bad flag 51108 in both.
 */
#ifndef ECL_MQL_REGEX_H
#define ECL_MQL_REGEX_H

#include "mql/expr.h"

typedef struct ecl_regex_t ecl_regex_t;
typedef struct ecl_regex_state_t ecl_regex_state_t;

typedef enum {
   ECL_REGEX_BAD_FLAG,    /* an option letter that is none of imsxu */
   ECL_REGEX_BAD_PATTERN, /* PCRE2 refuses it, or it is longer than ECL_REGEX_MAX_PATTERN */
} ecl_regex_problem_t;

typedef struct {
   ecl_regex_problem_t problem;
   char message[200]; /* for the tail of a message: "missing closing parenthesis (at 4)" */
} ecl_regex_error_t;

/* The server's bound (RegexMatchExpression). */
#define ECL_REGEX_MAX_PATTERN 32764u

/* Compiles into the arena, which destroys it when it is cleaned up. NULL after filling *error. The pattern must not be
 * one of a document: use ecl_regex_cached for those. */
const ecl_regex_t *
ecl_regex_compile (ecl_arena_t *arena, const char *pattern, size_t len, const char *options, size_t options_len,
                   ecl_regex_error_t *error) ECL_MUST_CHECK;

/* The same from the evaluator's cache, which keeps the patterns that were used last. Valid until the next call of this
 * function with the same evaluator. */
const ecl_regex_t *
ecl_regex_cached (ecl_eval_t *ev, const char *pattern, size_t len, const char *options, size_t options_len,
                  ecl_regex_error_t *error) ECL_MUST_CHECK;

/* False, after filling *error, where one of the option letters is none of imsxu. */
bool
ecl_regex_check_options (const char *options, size_t len, ecl_regex_error_t *error) ECL_MUST_CHECK;

/* Number of capture groups. */
uint32_t
ecl_regex_groups (const ecl_regex_t *self);

#define ECL_REGEX_UNSET ((size_t) -1)

typedef enum {
   ECL_REGEX_NO_MATCH,
   ECL_REGEX_MATCH,
   ECL_REGEX_INVALID_UTF8, /* of the subject: a filter takes it for no match, an expression fails with 51156 */
   ECL_REGEX_LIMIT,        /* it would take too many steps or too much memory: the same */
} ecl_regex_result_t;

/* Searches all of the subject. */
ecl_regex_result_t
ecl_regex_match (const ecl_regex_t *self, ecl_eval_t *ev, const char *subject, size_t len);

/* Searches from byte `start` on; what is before it is still seen by ^, \b and look-behind. The subject has passed
 * ecl_utf8_valid and start is not inside a character. On a match *groups has 2 * (1 + ecl_regex_groups) offsets, begin
 * and end of the whole match and of each group (ECL_REGEX_UNSET where a group took no part), until the next match. */
ecl_regex_result_t
ecl_regex_search (const ecl_regex_t *self, ecl_eval_t *ev, const char *subject, size_t len, size_t start,
                  const size_t **groups);

/* True where all bytes are UTF-8 as PCRE2 wants it: no overlong forms, no surrogates, nothing above U+10FFFF. NUL is a
 * character like any other. */
bool
ecl_utf8_valid (const char *text, size_t len);

void
ecl_regex_state_destroy (ecl_regex_state_t *self);

#endif
