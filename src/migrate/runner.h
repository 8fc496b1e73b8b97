/* Runner: a release, from the changelog to the last collection. What `eclose up` and eclose_migrate() do.
 *
 *    ecl_runner_init
 *       └─► ecl_runner_read                the changelog
 *              ├─► ecl_runner_works        nothing pending: done; else the lease, the changelog again, one by one
 *              └─► ecl_runner_collections  each to its target
 *
 * What it needs of the outside comes with its options: a world, how to make another one for the heartbeat, and who is
 * told what happens. It prints nothing. A runner belongs to one thread. Errors are always wanted here: none of them may
 * be NULL.
 */
#ifndef ECL_MIGRATE_RUNNER_H
#define ECL_MIGRATE_RUNNER_H

#include "backfill/carry.h"
#include "migrate/migrate.h"
#include "run/heartbeat.h"

/* Who is told what happens; all may be NULL. */
typedef struct {
   void *context;
   void (*waiting) (void *context, const ecl_lease_t *lease); /* for somebody else's run to end */
   void (*late) (void *context, const ecl_placed_t *placed);  /* one behind it is applied already; it runs */
   void (*step) (void *context, const ecl_migrate_event_t *event);
   void (*note) (void *context, const char *message); /* what keeps writes waiting, what could not be judged */
   void (*output) (void *context, const char *bytes, size_t n); /* of a program, as it comes */
   void (*ran) (void *context, const ecl_placed_t *placed, bool down, int64_t ms);
   ecl_carry_fn progress;
   void (*carried) (void *context, const ecl_carried_t *carried, const bson_error_t *error); /* NULL: it succeeded */
   void (*failed) (void *context, const bson_error_t *error); /* what kept collections from being begun */
} ecl_runner_listener_t;

typedef struct {
   ecl_site_t site;
   ecl_connector_t connector;
   const char *uri;                             /* for programs; NULL: migrations that are programs are refused */
   int64_t time, skew;                          /* of the lease: as in holder.h */
   size_t (*target) (const ecl_chain_t *chain); /* where collections are to go; NULL: to the end of their chains */
   ecl_throttle_settings_t throttle; /* of database migrations; their step `backfill` goes by the project's */
   ecl_effort_t
      effort; /* for collections; the step `backfill` of a database migration has one worker, under the lease */
   ecl_runner_listener_t listener;
} ecl_runner_options_t;

typedef struct {
   ecl_runner_options_t options;
   ecl_history_t history;
   ecl_arena_t arena;
   const ecl_placed_t *list; /* as of the last reading */
   size_t n;
   ecl_holder_t holder;
   bool acquired;
   ecl_heartbeat_t *heartbeat;
   ecl_held_world_t held;
   ecl_migrate_hooks_t hooks;
   bool live; /* there is something to clean up */
} ecl_runner_t;

/* Asks the server nothing. It must not be moved afterwards. */
void
ecl_runner_init (ecl_runner_t *self, const ecl_runner_options_t *options);

/* Lets the lease go. */
void
ecl_runner_cleanup (ecl_runner_t *self);

/* Reads the changelog into list; again, where it was read. */
bool
ecl_runner_read (ecl_runner_t *self, bson_error_t *error) ECL_MUST_CHECK;

/* Takes the lease (wait as in ecl_holder_acquire), reads the changelog again and begins to renew it. */
ecl_acquire_t
ecl_runner_acquire (ecl_runner_t *self, int64_t wait, bson_error_t *error) ECL_MUST_CHECK;

/* The one of that name; NULL with an error that says what was likely meant. */
const ecl_placed_t *
ecl_runner_find (const ecl_runner_t *self, const char *name, bson_error_t *error);

/* "a.yaml was applied, and the file is another by now: …" */
void
ecl_runner_say_changed (const ecl_placed_t *placed, bson_error_t *error);

/* "a is on its way down: …" */
void
ecl_runner_say_down (const ecl_placed_t *placed, bson_error_t *error);

/* One migration, one way, under the lease. */
bool
ecl_runner_run (ecl_runner_t *self, const ecl_placed_t *placed, bool down, bson_error_t *error) ECL_MUST_CHECK;

/* ---- all of it ---- */

/* What of the database migrations is to run. */
typedef struct {
   const char *only; /* this one alone; NULL: all that are pending */
   const char *last; /* up to this one; NULL: to the end */
   int64_t steps;    /* at most so many; 0: all */
   bool strict;      /* refuse one that arrived late */
   int64_t wait;     /* for the lease, in milliseconds; negative: without end */
} ecl_choice_t;

/* What came of it; numbers are those of the commands' exit states. */
typedef enum {
   ECL_OUTCOME_DONE = 0,
   ECL_OUTCOME_FAILED = 1,
   ECL_OUTCOME_BUSY = 4,  /* somebody else holds the lease, or took it */
   ECL_OUTCOME_FOUND = 5, /* documents are in quarantine */
} ecl_outcome_t;

static inline bool
ecl_placed_pending (const ecl_placed_t *placed)
{
   return placed->kind == ECL_PLACE_PENDING || placed->kind == ECL_PLACE_LATE;
}

/* Runs what is pending, in order; the first that fails is the last. Nothing pending takes no lease. */
ecl_outcome_t
ecl_runner_works (ecl_runner_t *self, const ecl_choice_t *choice, bson_error_t *error) ECL_MUST_CHECK;

/* Brings the collections of the project to the end of their chains. Where one fails the others are carried all the
 * same; error is that of the first. The listener is told of each, by `carried` or by `failed`. */
ecl_outcome_t
ecl_runner_collections (ecl_runner_t *self, ecl_mode_t mode, bson_error_t *error) ECL_MUST_CHECK;

#endif
