/* Measuring: two ways of doing the same thing in turn, in one run, on one core.
 *
 * Each round times a batch of A, then a batch of B; the ratio is taken round by round, and its median is what counts:
 * when the machine's speed drifts, both feel it. Nothing passes or fails here; the goal is printed beside the ratio. */
#ifndef ECL_BENCH_BENCH_H
#define ECL_BENCH_BENCH_H

#include <stddef.h>
#include <stdint.h>

/* Does the work for n documents, beginning anywhere; returns something that depends on it all. */
typedef uint64_t (*bench_fn) (void *context, size_t n);

/* Runs both and prints a line: medians of ns per document, ratio, goal. Returns the ratio A/B. */
double
bench_pair (const char *name, const char *goal, bench_fn a, void *context_a, bench_fn b, void *context_b);

/* Median ns per document of one alone. */
double
bench_one (bench_fn fn, void *context);

void
bench_header (void);

/* Remembers a line for the JSON object that the run leaves behind for scripts (--json FILE). */
void
bench_note (const char *name, double ns, double baseline, double ratio);

void
bench_write_notes (const char *path);

#endif
