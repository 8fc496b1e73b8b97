/* Plan: stages of one or more pipelines, linked so that a document passes through all of them at once.
 *
 *    pipeline ──parse──► stages ──link──► segments ──run──► document
 *
 * A segment scans the top level of its document once and puts the fields that any of its stages names into slots.
 * Stages read and write slots; nothing is materialised between stages. At the end the edits are written: runs of bytes
 * that did not change are copied as they are, from the input to the output. A new segment begins where a document must
 * be whole: behind a $replaceWith of what is no object literal, before a stage that reads $$ROOT after others, and on
 * both sides of a function.
 *
 * A plan is immutable once linked and may be run by many threads, each with an evaluator. The BSON that it was parsed
 * from must outlive it: nodes point into it.
 */
#ifndef ECL_MQL_PLAN_H
#define ECL_MQL_PLAN_H

#include "mql/expr.h"

typedef struct ecl_plan_t ecl_plan_t;

typedef struct {
   ecl_parse_report_fn report; /* each problem that parsing finds; may be NULL */
   void *report_context;
   bool allow_now;    /* $$NOW may be read */
   bool allow_lookup; /* $lookup: whoever runs the plan has a loader */
   bool update;       /* the rules of an update: an _id that goes is put back first, one that changes is refused (66) */
   uint32_t max_size; /* of the result in bytes; 0: ECL_BSON_MAX_SIZE */
   const ecl_parse_t *outer; /* of a $lookup's pipeline: whose variables it sees; else NULL */
} ecl_plan_options_t;

ecl_plan_t *
ecl_plan_new (const ecl_plan_options_t *options);

void
ecl_plan_destroy (ecl_plan_t *self);

/* Parses a pipeline: a raw array of stages. All problems are reported; false if there was
 * one. at is the pipeline's own element for messages, may be NULL. */
bool
ecl_plan_add_pipeline (ecl_plan_t *self, const ecl_value_t *pipeline, const uint8_t *at) ECL_MUST_CHECK;

/* Parses one stage: a document with one field. */
bool
ecl_plan_add_stage (ecl_plan_t *self, const ecl_field_t *stage) ECL_MUST_CHECK;

/* A step in the host language. run gets the whole document and an empty, initialised output, to which it appends; it
 * may load documents with ecl_eval_load, and returns false with an error (of any kind where ev->pending was set: it is
 * called again). It is pure: the same document gives the same result. Called by every thread that runs the plan. */
typedef struct ecl_function_t {
   bool (*run) (void *context, ecl_eval_t *ev, const bson_t *in, bson_t *out, bson_error_t *error);
   void *context;
} ecl_function_t;

/* The function is copied. The document is made whole before it, and what it reads and writes is not known. */
void
ecl_plan_add_function (ecl_plan_t *self, const ecl_function_t *function);

/* Whether a function is among the steps: then the plan cannot be written out for the server. */
bool
ecl_plan_has_functions (const ecl_plan_t *self);

/* Sets the dotted path to a constant, as {$set: {path: {$literal: value}}} does. The value is copied. */
bool
ecl_plan_add_constant (ecl_plan_t *self, const char *path, const ecl_value_t *value) ECL_MUST_CHECK;

/* After the last stage, before the first run. */
void
ecl_plan_link (ecl_plan_t *self);

/* Runs the plan on one document of len bytes. *out is the input itself where nothing was edited, else bytes of the
 * evaluator, valid until its next run; *out_len its length. On failure false, with the error (domain MQL and
 * MongoDB's code, or domain BSON) and ev->failed. Where documents of other collections are wanted that ev->loader does
 * not have yet, false with domain UPGRADE and ECL_ERROR_NEEDS: to be run again when they are there. */
bool
ecl_plan_run (const ecl_plan_t *self, ecl_eval_t *ev, const uint8_t *in, size_t len, const uint8_t **out,
              size_t *out_len, bson_error_t *error) ECL_MUST_CHECK;

/* One path that the plan reads or writes; see ecl_plan_paths. */
typedef struct {
   const char *path; /* dotted, terminated */
   bool read;        /* its value can change the result */
   bool written;     /* it may be set, replaced or removed */
} ecl_plan_path_t;

/* The paths that the stages name, each once. *whole_read and *whole_written say that all of the document may be read
 * ($$ROOT) or replaced ($replaceWith, an inclusion). The array belongs to the plan. */
const ecl_plan_path_t *
ecl_plan_paths (const ecl_plan_t *self, size_t *n, bool *whole_read, bool *whole_written);

/* Evaluates one expression on a document (raw and validated, or missing). The result points into ev->arena, which is
 * not reset here. For $expr, `let` and tests. */
bool
ecl_expr_run (const ecl_expr_t *expr, ecl_eval_t *ev, const ecl_value_t *root, ecl_value_t *out,
              bson_error_t *error) ECL_MUST_CHECK;

/* Begins parsing into an arena of the caller's; folder evaluates constants. For $expr and `let`. */
void
ecl_parse_init (ecl_parse_t *self, ecl_arena_t *arena, ecl_eval_t *folder, ecl_parse_report_fn report, void *context);

#endif
