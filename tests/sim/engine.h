/* Documents of the simulated server, and what it does to them by eclose's own engine. */
#ifndef ECL_SIM_ENGINE_H
#define ECL_SIM_ENGINE_H

#include "bson/value.h"

/* ---- documents: blob.c ---- */

/* A document that never changes; counted, because many keep it. */
typedef struct {
   uint32_t refs, len;
   uint8_t bytes[];
} blob_t;

blob_t *
blob_new (const uint8_t *bytes, size_t len);

/* Takes the content of a bson_t, which is destroyed. */
blob_t *
blob_of (bson_t *document);

static inline blob_t *
blob_ref (blob_t *self)
{
   if (self) {
      self->refs++;
   }
   return self;
}

void
blob_unref (blob_t *self);

ecl_value_t
blob_value (const blob_t *self);

/* Missing where there is no document or no such field. */
ecl_value_t
blob_get (const blob_t *self, const char *field);

/* 0 and "" where there is none. */
int64_t
blob_number (const blob_t *self, const char *field);

const char *
blob_text (const blob_t *self, const char *field);

/* Documents in a row. */
typedef struct {
   blob_t **items;
   size_t n, cap;
} rows_t;

/* Takes the reference. */
void
rows_add (rows_t *self, blob_t *row);

void
rows_cleanup (rows_t *self);

/* ---- filters and updates: engine.c ---- */

/* Whether a document matches a raw filter. */
bool
engine_matches (const ecl_value_t *filter, const blob_t *document, int64_t now);

/* {_id: x}, alone or with more, where x is compared as it is. */
bool
engine_names_one (const ecl_value_t *filter, ecl_value_t *id);

/* The document after an update: a pipeline, a replacement, or $set, $unset, $inc and $setOnInsert of top-level fields.
 * NULL where it failed, with the server's code. */
blob_t *
engine_update (const ecl_value_t *update, const blob_t *document, bool inserting, int64_t now, int32_t *code);

/* The document that one stage of a pipeline makes of one; NULL as above. */
blob_t *
engine_stage (const ecl_value_t *stage, const blob_t *document, int64_t now, int32_t *code);

/* An expression's value, which lives until engine_let_go, or until anything else here is used. */
ecl_value_t
engine_evaluate (const ecl_value_t *expression, const blob_t *document);

void
engine_let_go (void);

/* What was compiled goes. */
void
engine_cleanup (void);

/* ---- find and aggregate: aggregate.c ---- */

/* Keeps the rows that match (filter missing: all) and sorts them by top-level fields. */
void
engine_find (const ecl_value_t *filter, const ecl_value_t *sort, rows_t *rows, int64_t now);

/* A pipeline of aggregate on rows, in place. others gives the documents of another collection for a $lookup. */
void
engine_aggregate (const ecl_value_t *pipeline, rows_t *rows,
                  void (*others) (void *context, const char *name, rows_t *out), void *context,
                  uint64_t (*random) (void *context), int64_t now);

#endif
