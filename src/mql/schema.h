/* $jsonSchema: whether a document keeps the rules of a schema, and why not.
 *
 * The keywords are those that MongoDB has (draft 4 with bsonType); what it refuses is refused here with its codes. A
 * rule applies to values of its type only: {minimum: 3} says nothing about a string. A name with a dot
 * is refused: MongoDB takes it for a path. Equality (enum, uniqueItems) takes no notice of the order of fields.
 *
 * A schema is immutable and may be used by many threads, each with an evaluator. The BSON that it was parsed from must
 * outlive it.
 */
#ifndef ECL_MQL_SCHEMA_H
#define ECL_MQL_SCHEMA_H

#include "mql/expr.h"

typedef struct ecl_schema_t ecl_schema_t;

typedef struct {
   ecl_parse_report_fn report; /* each problem that parsing finds; may be NULL */
   void *report_context;
} ecl_schema_options_t;

/* spec is the field whose value is the schema (`$jsonSchema`, `schema`), raw and validated. All problems are reported;
 * NULL where there was one. options may be NULL. */
ecl_schema_t *
ecl_schema_new (const ecl_field_t *spec, const ecl_schema_options_t *options);

void
ecl_schema_destroy (ecl_schema_t *self);

/* document is raw and validated. It cannot fail. The evaluator's arena is as before, afterwards. */
void
ecl_schema_run (const ecl_schema_t *self, ecl_eval_t *ev, const ecl_value_t *document, bool *valid);

/* One broken rule. Its members live as long as the callback runs. */
typedef struct {
   const char *path;         /* dotted, of the value; "" for the document. For `required` that of what is missing */
   const char *keyword;      /* "minimum" */
   const char *expected;     /* "at least 3" */
   const ecl_value_t *found; /* missing for `required` and the like */
   const uint8_t *rule;      /* the keyword's element in the schema */
} ecl_schema_problem_t;

typedef void (*ecl_schema_explain_fn) (void *context, const ecl_schema_problem_t *problem);

/* Reports every broken rule; returns whether there was none. What is inside anyOf, oneOf and not is reported as one
 * rule. */
bool
ecl_schema_explain (const ecl_schema_t *self, ecl_eval_t *ev, const ecl_value_t *document,
                    ecl_schema_explain_fn explain, void *context);

/* For match: like run, without care for the arena. */
bool
ecl_schema_check (const ecl_schema_t *self, ecl_eval_t *ev, const ecl_value_t *document);

#endif
