/* $lookup: what an upgrade reads from other collections, and the loader that fetches it.
 *
 * Evaluation makes no input or output. A $lookup asks its loader for the documents with a key; the loader has them, or
 * notes that they are wanted and says so. Then the run of the document ends as "needs" and the driver, which has seen
 * what all documents of a batch want, fetches it at once, one query per collection and field, and runs them again.
 *
 * The stage takes MongoDB's forms: localField and foreignField, with or without a pipeline; or `let` and a pipeline. In
 * the second form the pipeline must begin with a $match that compares a field with a variable for equality
 * ({$expr: {$eq: ["$field", "$$variable"]}}), because documents are fetched by key and nothing is ever scanned here.
 */
#ifndef ECL_MQL_LOOKUP_H
#define ECL_MQL_LOOKUP_H

#include "mql/stage.h"

typedef enum {
   ECL_LOAD_READY,   /* *documents and *n are set; n may be 0 */
   ECL_LOAD_PENDING, /* not here yet, noted */
   ECL_LOAD_FAILED,  /* with an error */
} ecl_load_t;

/* Gives the documents of a collection for which the filter {field: {$eq: key}} holds: raw, validated, in the shape of
 * the reader's target, valid until the driver ends the batch. key and field are borrowed for the call. */
typedef struct ecl_loader_t ecl_loader_t;
struct ecl_loader_t {
   ecl_load_t (*find) (void *context, const char *collection, const char *field, const ecl_value_t *key,
                       const ecl_value_t **documents, uint32_t *n, bson_error_t *error);
   void *context;
};

/* Asks ev's loader; for $lookup and for functions of the host language. PENDING marks the run as one that needs. */
ecl_load_t
ecl_eval_load (ecl_eval_t *ev, const char *collection, const char *field, const ecl_value_t *key,
               const ecl_value_t **documents, uint32_t *n, bson_error_t *error);

/* The stage, as a computed field `as`; NULL after a report. */
ecl_stage_t *
ecl_lookup_parse (ecl_parse_t *parse, const ecl_field_t *spec);

#endif
