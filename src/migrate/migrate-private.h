/* What the files of the runner of database migrations share. */
#ifndef ECL_MIGRATE_MIGRATE_PRIVATE_H
#define ECL_MIGRATE_MIGRATE_PRIVATE_H

#include "migrate/migrate.h"
#include "run/insist.h"
#include "run/pressure.h"

#include "mql/plan.h"

typedef struct {
   const ecl_migrate_options_t *options;
   const ecl_work_t *work;
   bool down;
   ecl_held_world_t held;
   ecl_world_t *world; /* under the lease */
   ecl_changelog_t record;
   ecl_migrate_event_t event;
   bool again;              /* the step may have been done in part before */
   bool given_up;           /* the transaction was, or nobody knows: all of it may be tried again */
   ecl_arena_t arena;       /* of the step */
   ecl_throttle_t throttle; /* of the step */
   double average;          /* bytes of a document that it writes; 0: not needed */
   ecl_pressure_reader_t pressure;
   bool asks;           /* the reader is there */
   int64_t paced_since; /* when the step began */
   char unsaid[1500];   /* what the throttle cannot look at: said where a step takes long enough to matter */
   bool paced;          /* the step's writes wait for their turn */
} ecl_migrate_t;

/* A row of a foreach: the values of its `let`, as far as a line of `do` is concerned. */
typedef struct {
   const ecl_act_t *foreach; /* NULL: no row, all stands as it is */
   const ecl_value_t *values;
   ecl_value_t id; /* of the row's document, where it is looked at again; else missing */
   bool held_back; /* an `unless` matched */
} ecl_row_t;

/* ---- migrate_send.c ---- */

/* Sends what may be sent again, for as long as a server may reasonably be away. */
bool
ecl_migrate_send (ecl_migrate_t *self, const char *database, const bson_t *command, bson_t *reply,
                  bson_error_t *error) ECL_MUST_CHECK;

/* The same for what may take longer than the lease lasts, or than the socket waits for an answer, and goes on at the
 * server by itself. joins: sent again, it waits for the one that is under way, as createIndexes does. Where not, it is
 * sent again only when the server says that it no longer works on it; where the server does not tell, this ends with an
 * error. */
bool
ecl_migrate_send_long (ecl_migrate_t *self, const char *database, const bson_t *command, bson_t *reply, bool joins,
                       bson_error_t *error) ECL_MUST_CHECK;

/* Whether what came of a command of a transaction says nothing but that all of it may be tried again. */
bool
ecl_migrate_given_up (ecl_reply_t result, const bson_t *reply, const bson_error_t *error);

/* Sends a command of a transaction, once: the first of it (then *txn says that others follow), or a later one. Where it
 * failed, given_up says why. */
bool
ecl_migrate_send_in (ecl_migrate_t *self, const bson_t *command, ecl_txn_t *txn, bson_t *reply,
                     bson_error_t *error) ECL_MUST_CHECK;

/* Whether a document matches; in a transaction or (txn NULL) outside. */
bool
ecl_migrate_exists (ecl_migrate_t *self, const char *collection, const ecl_value_t *filter, ecl_txn_t *txn,
                    bool *exists, bson_error_t *error) ECL_MUST_CHECK;

/* "name" of the act's argument as a C string in the step's arena; "" where it was not said. */
const char *
ecl_migrate_text (ecl_migrate_t *self, const ecl_act_t *act, ecl_arg_t arg);

/* Tells how far the step is. */
void
ecl_migrate_progress (ecl_migrate_t *self, int64_t rows);

/* ---- migrate_let.c ---- */

/* The `let` of a foreach, ready for rows. */
typedef struct {
   const ecl_act_t *foreach;
   ecl_arena_t plan;
   ecl_eval_t ev;
   ecl_expr_t **exprs;
} ecl_lets_t;

/* Cleanup in any case. */
bool
ecl_lets_init (ecl_lets_t *self, const ecl_act_t *foreach, bson_error_t *error) ECL_MUST_CHECK;

void
ecl_lets_cleanup (ecl_lets_t *self);

/* The values of a row, in the arena. */
bool
ecl_lets_row (ecl_lets_t *self, const ecl_value_t *document, ecl_arena_t *arena, ecl_row_t *row,
              bson_error_t *error) ECL_MUST_CHECK;

/* The value with what the row has in place of "$$name". False where what is missing in the row would make a filter
 * wider: `filter` says that the value is one. */
bool
ecl_migrate_fill (ecl_arena_t *arena, const ecl_row_t *row, const ecl_value_t *value, bool filter, ecl_value_t *out,
                  bson_error_t *error) ECL_MUST_CHECK;

/* ---- migrate_pace.c: before each turn, and after what was written in it; not in transactions ---- */

/* A step begins: its writes are alike, so that one that takes long says something of the server; or they are not. */
void
ecl_migrate_pace (ecl_migrate_t *self, const char *collection, bool alike, uint32_t most);

/* Waits until the next write may be sent; *documents is how many it should touch. False where the run is to end. */
bool
ecl_migrate_turn (ecl_migrate_t *self, uint32_t *documents, bson_error_t *error) ECL_MUST_CHECK;

/* So many were written, by what was sent then. */
void
ecl_migrate_wrote (ecl_migrate_t *self, int64_t documents, int64_t began);

/* ---- migrate_write.c ---- */

/* One statement on documents for each row that is not held back, acknowledged when it returns. */
bool
ecl_migrate_write (ecl_migrate_t *self, const ecl_act_t *act, ecl_row_t *rows, size_t n, ecl_txn_t *txn,
                   bson_error_t *error) ECL_MUST_CHECK;

/* updateMany or deleteMany by ranges of _id. */
bool
ecl_migrate_ranges (ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error) ECL_MUST_CHECK;

/* ---- migrate_foreach.c ---- */

/* What opens the query of a foreach; *command is initialised. */
void
ecl_migrate_query (const ecl_act_t *act, const char *collection, uint32_t batch, bson_t *command);

bool
ecl_migrate_foreach (ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error) ECL_MUST_CHECK;

/* ---- migrate_txn.c ---- */

/* All steps of it, and the note that this step is done, in one transaction. */
bool
ecl_migrate_transaction (ecl_migrate_t *self, const ecl_act_t *act, int32_t steps, bson_error_t *error) ECL_MUST_CHECK;

/* All of a row's `do` in one transaction, where the row is still one of the query's. */
bool
ecl_migrate_row (ecl_migrate_t *self, const ecl_act_t *foreach, ecl_row_t *row, bson_error_t *error) ECL_MUST_CHECK;

/* ---- migrate_admin.c ---- */

/* Appends `validator`, `validationLevel` and `validationAction` of a collMod or create, as far as the step says
 * them. */
void
ecl_migrate_validator (ecl_migrate_t *self, const ecl_act_t *act, bson_t *command);

/* A step `command` as it is sent; of one for admin "$$database", alone or before a dot, is the database that is
 * migrated. *command is initialised. */
void
ecl_migrate_command (const ecl_act_t *act, const char *database, bson_t *command);

/* "label_1_name_-1": the name that drivers give to an index, in the step's arena. */
char *
ecl_migrate_index_name (ecl_migrate_t *self, const ecl_value_t *keys);

/* What tells a server which index a dropIndex means; NULL: its name does. */
const ecl_value_t *
ecl_migrate_index_keys (const ecl_act_t *act);

/* Everything that is no statement on documents. txn: of an assert in a transaction, else NULL. */
bool
ecl_migrate_admin (ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error) ECL_MUST_CHECK;

/* What an assert says; in a transaction or (txn NULL) outside. */
bool
ecl_migrate_assert (ecl_migrate_t *self, const ecl_act_t *act, ecl_txn_t *txn, bson_error_t *error) ECL_MUST_CHECK;

#endif
