/* Reader: a cursor of the server as the backfill sees it: a filter, batches, and how far the present one is used up. */
#ifndef ECL_RUN_READER_H
#define ECL_RUN_READER_H

#include "base/arena.h"
#include "bson/value.h"

typedef struct {
   bson_t filter;         /* a document; what is read */
   const char *fields[2]; /* only these (and nothing else); NULL: whole documents */
   bool ordered;          /* by _id, along its index, from what the majority has */
   int64_t cursor;        /* 0: exhausted or not open */
   bool opened;
   bson_t batch;          /* the reply that items point into */
   ecl_arena_t arena;
   ecl_value_t *items;    /* raw documents */
   uint32_t n, at;        /* items; the next one */
   int64_t seen;          /* items of all batches */
} ecl_reader_t;

void
ecl_reader_init (ecl_reader_t *self);

void
ecl_reader_cleanup (ecl_reader_t *self);

/* Begins a new read; filter is copied. */
void
ecl_reader_start (ecl_reader_t *self, const bson_t *filter, bool ordered);

/* The command that brings the next batch: find, or getMore; initialises *command. */
void
ecl_reader_command (const ecl_reader_t *self, const char *collection, uint32_t batch, bson_t *command);

/* Takes the reply to it. False where it is none. */
bool
ecl_reader_take (ecl_reader_t *self, const bson_t *reply, bson_error_t *error) ECL_MUST_CHECK;

/* The cursor is gone: reads again from the start. */
void
ecl_reader_restart (ecl_reader_t *self);

#endif
