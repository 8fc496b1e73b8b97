/* Scan: a cursor of the server as the backfill sees it: a filter, batches, and how far the present one is used up. */
#ifndef ECL_RUN_SCAN_H
#define ECL_RUN_SCAN_H

#include "bson/value.h"
#include "run/world.h"

#define ECL_SCAN_SIZE "__eclose_size"

typedef struct {
   bson_t filter;         /* a document; what is read */
   const char *fields[2]; /* only these (and nothing else); NULL: whole documents */
   bool sizes;            /* and, with those, ECL_SCAN_SIZE: how large the whole document is */
   int64_t sample;        /* so many at random, of those; 0: all */
   int64_t limit;         /* at most so many, in one batch: no cursor is left open; 0: all */
   bson_t *pipeline;      /* in place of filter and fields; NULL: none */
   bool majority;         /* reads what the majority has, also where it is not ordered */
   bool ordered;          /* by _id, from what the majority has */
   bool hinted;           /* along the index of _id, whatever others there are; as ordered, unless told otherwise */
   int64_t cursor;        /* 0: exhausted or not open */
   bool opened;
   bson_t batch; /* the reply that items point into */
   ecl_arena_t arena;
   ecl_value_t *items; /* raw documents */
   uint32_t n, at;     /* items; the next one */
   int64_t seen;       /* items of all batches */
   bool lost;          /* why ecl_scan_next failed: the cursor is, and nothing else is known */
   int losses;         /* how often ecl_scan_again began anew */
} ecl_scan_t;

void
ecl_scan_init (ecl_scan_t *self);

void
ecl_scan_cleanup (ecl_scan_t *self);

/* Begins a new read; filter is copied. */
void
ecl_scan_start (ecl_scan_t *self, const bson_t *filter, bool ordered);

/* The same for what a pipeline gives; copied. */
void
ecl_scan_start_pipeline (ecl_scan_t *self, const bson_t *pipeline);

/* The command that brings the next batch: find, or getMore; initialises *command. A batch that is used up is let go:
 * two need not be in memory. */
void
ecl_scan_command (ecl_scan_t *self, const char *collection, uint32_t batch, bson_t *command);

/* Takes the reply to it over: *reply, which bson_new did not make, is an empty document then, for the caller to
 * destroy. False where it was none. */
bool
ecl_scan_take (ecl_scan_t *self, bson_t *reply, bson_error_t *error) ECL_MUST_CHECK;

/* The cursor is gone: reads again from the start. */
void
ecl_scan_restart (ecl_scan_t *self);

/* The next document, valid until the next call, for those who may wait for the server; *item is NULL at the end. */
bool
ecl_scan_next (ecl_scan_t *self, ecl_world_t *world, const char *database, const char *collection, uint32_t batch,
               const ecl_value_t **item, bson_error_t *error) ECL_MUST_CHECK;

/* Behind an ecl_scan_next that failed: waits, and has all read anew, from the start, where the cursor was lost. False
 * where something else is wrong, or that was often enough: the error stands.
 *
 *    do {
 *       forget what was read
 *       while ((good = ecl_scan_next (&scan, …)) && item) { … }
 *    } while (!good && ecl_scan_again (&scan, world)); */
bool
ecl_scan_again (ecl_scan_t *self, ecl_world_t *world) ECL_MUST_CHECK;

/* Whether a refusal with that code says that the cursor is gone, or could not be had by chance. */
bool
ecl_scan_gone (uint32_t code);

/* Whether what came in place of a batch says nothing but that the cursor is gone, or the server for now: opened again,
 * it may do. */
bool
ecl_scan_lost (ecl_reply_t answer, uint32_t code);

/* The document of that _id, or one field of it (NULL: all), in the arena; *document is missing where there is none. */
bool
ecl_scan_one (ecl_world_t *world, const char *database, const char *collection, const ecl_value_t *id,
              const char *field, ecl_arena_t *arena, ecl_value_t *document, bson_error_t *error) ECL_MUST_CHECK;

#endif
