/* Migrate: database migrations, run once each and one by one, whatever dies.
 *
 *    lease granted ──► ecl_history_read ──► ecl_migrate_list ──► ecl_migrate_run, one after another
 *
 *    ecl_migrate_run:  claim the record ──► step ──► steps: 1 ──► step ──► steps: 2 … ──► applied, or failed and why
 *
 * Steps that the record says are done are not repeated; the one that was under way begins again. That is why a step
 * must bear it (work_lint.c sees to that), or be a transaction: one that also notes the step as done and touches the
 * lease by its token, so that it takes effect once and never after the lease changed hands.
 *
 * A foreach streams its rows through a cursor: so many at a time, and of each batch one line of `do` after another,
 * each acknowledged by the majority before the next begins. Whatever goes wrong with the cursor, the query begins
 * again: what is done no longer comes.
 *
 * All work goes through the world under the lease, so that nothing is sent once it is lost.
 */
#ifndef ECL_MIGRATE_MIGRATE_H
#define ECL_MIGRATE_MIGRATE_H

#include "backfill/backfill.h"
#include "migrate/history.h"
#include "project/project.h"
#include "run/throttle.h"

/* ---- what is to run ---- */

typedef enum {
   ECL_PLACE_PENDING,
   ECL_PLACE_LATE, /* pending, though one behind it was applied: a merged branch */
   ECL_PLACE_APPLIED,
   ECL_PLACE_CHANGED, /* applied, and the file is another by now */
   ECL_PLACE_DOWN,    /* its way down has begun and not ended: neither applied nor pending */
   ECL_PLACE_GONE,    /* recorded, and there is no such file any more: work is NULL */
   ECL_PLACE_ADOPTED, /* applied by another tool, which has its file: work is NULL */
} ecl_place_kind_t;

typedef struct {
   ecl_place_kind_t kind;
   const char *name;
   const ecl_work_t *work;
   const ecl_changelog_t *record; /* NULL: never ran */
} ecl_placed_t;

/* All migrations that the project or the changelog knows, by name; the array lies in the arena. */
const ecl_placed_t *
ecl_migrate_list (const ecl_project_t *project, const ecl_history_t *history, ecl_arena_t *arena, size_t *n);

/* ---- running one ---- */

typedef struct {
   const ecl_work_t *work;
   bool down;
   size_t step, n_steps;   /* the one that begins now, from 0; of so many */
   const char *name;       /* of the step; NULL: the migration begins or ends */
   const char *collection; /* of the step, "" where it has none */
   int64_t rows;           /* of a foreach, documents of an updateMany, so far */
   bool resumed;           /* some steps were done by a run before */
   bool ended, failed;
} ecl_migrate_event_t;

/* A program that is to run. */
typedef struct {
   const ecl_work_t *work;
   bool down;
   ecl_holder_t *holder;
   ecl_buf_t *output; /* gets the end of what it said, at most ECL_CHANGELOG_OUTPUT_MAX bytes of text */
   /* Takes the same while it runs, so that it is there whatever ends this process; errors are nobody's business. */
   void (*keep) (void *keeper, const char *text);
   void *keeper;
} ecl_migrate_program_t;

/* What is done elsewhere, because it needs more than commands. Each returns false with an error. */
typedef struct {
   void *context;
   bool (*carry) (void *context, ecl_world_t *world, const ecl_chain_t *chain, size_t target, bool down,
                  ecl_mode_t mode, bson_error_t *error);
   bool (*verify) (void *context, ecl_world_t *world, const ecl_chain_t *chain, bson_error_t *error);
   bool (*program) (void *context, const ecl_migrate_program_t *program, bson_error_t *error); /* to its end */
   void (*tell) (void *context, const ecl_migrate_event_t *event);                             /* may be NULL */
   void (*note) (void *context, const char *message); /* of the throttle; may be NULL */
} ecl_migrate_hooks_t;

typedef struct {
   ecl_world_t *world;   /* the plain one */
   ecl_holder_t *holder; /* which holds the lease */
   const char *database;
   const ecl_project_t *project;
   bool transactions; /* the server has them */
   ecl_who_t who;
   ecl_throttle_settings_t throttle; /* of writes by ranges and of rows */
   ecl_migrate_hooks_t hooks;
} ecl_migrate_options_t;

/* Runs one way of a migration to its end. before is its record as it was read after the grant, NULL for none. False
 * where it failed (which is recorded, unless the lease is lost), was cancelled (recorded as failed, to go on from
 * there) or cannot run here at all. */
bool
ecl_migrate_run (const ecl_migrate_options_t *options, const ecl_work_t *work, bool down, const ecl_changelog_t *before,
                 bson_error_t *error) ECL_MUST_CHECK;

#endif
