/* Facts of a collection, as the server tells them, and what of them stands in the way of a migration. Nothing
 * writes. */
#ifndef ECL_BACKFILL_FACTS_H
#define ECL_BACKFILL_FACTS_H

#include "run/server.h"

typedef enum {
   ECL_COLLECTION_MISSING,
   ECL_COLLECTION_PLAIN,
   ECL_COLLECTION_VIEW,
   ECL_COLLECTION_TIMESERIES,
} ecl_collection_kind_t;

typedef struct {
   const char *name;
   ecl_value_t keys; /* {path: 1, …} */
   bool unique;
   bool expires; /* the server deletes by it */
   bool sparse;
   bool exact; /* plain keys, compared byte by byte: not partial, no collation, not of texts, places or hashes */
   bool whole; /* that, and it has an entry for each document, and may be used: not sparse, not hidden */
} ecl_index_t;

typedef struct {
   ecl_collection_kind_t kind;
   const char *uuid; /* as text: which collection of that name it is; "" where the server does not say */
   bool capped;
   ecl_value_t validator;  /* missing where there is none */
   const char *level;      /* of the validator: "strict" unless told otherwise */
   const char *action;     /* "error" unless told otherwise */
   ecl_value_t collation;  /* missing: simple */
   ecl_value_t encrypted;  /* the fields of queryable encryption; missing where there are none */
   ecl_value_t shard_key;  /* missing: not sharded, or not known */
   bool shard_key_unknown; /* sharded cluster, and config.collections may not be read */
   ecl_index_t *indexes;
   size_t n_indexes;
} ecl_facts_t;

/* All that *out points to lies in the arena. error may not be NULL. */
bool
ecl_facts_ask (ecl_world_t *world, const ecl_server_t *server, const char *database, const char *collection,
               ecl_arena_t *arena, ecl_facts_t *out, bson_error_t *error) ECL_MUST_CHECK;

typedef enum {
   ECL_OBSTACLE_NOTE,   /* worth knowing */
   ECL_OBSTACLE_SOME,   /* single documents may be refused: they go to quarantine */
   ECL_OBSTACLE_BLOCKS, /* `up` refuses the collection */
} ecl_obstacle_level_t;

typedef struct {
   ecl_obstacle_level_t level;
   const char *what;    /* "validator", "unique index", … */
   const char *message; /* one line */
} ecl_obstacle_t;

/* What stands in the way of a plan that reads and writes such fields. The array lies in the arena. */
const ecl_obstacle_t *
ecl_facts_obstacles (const ecl_facts_t *facts, const ecl_plan_t *const *plans, size_t n_plans, ecl_arena_t *arena,
                     size_t *n);

/* Whether the server refuses what breaks the collection's validator: there is one, and it does more than to warn. */
bool
ecl_facts_validates (const ecl_facts_t *facts);

/* Why every document of the collection has to go through a transaction in client mode; NULL where a guarded statement
 * will do. Static storage. */
const char *
ecl_facts_transaction (const ecl_facts_t *facts);

#endif
