/* foreach: rows of a query through a cursor, into statements. See migrate.h.
 *
 *    cursor ──► batch of rows ──► do 1 for all of them ──► acknowledged ──► do 2 for all of them ──► … next batch
 *
 * With `transaction: true` each row's lines are one transaction, in which the row is looked at again: migrate_txn.c.
 *
 * Memory is that of one reply of the server and one batch; nothing grows with the number of rows.
 */
#include "migrate/migrate-private.h"

#include "bson/append.h"
#include "run/scan.h"
#include "store/store.h"

#define ROWS 500u
#define BATCH_BYTES (4u * 1024 * 1024)

/* How often the query is asked again, where rows were held back or `until_empty` wants none to be left. */
#define PASSES 50
#define CURSORS_LOST 20

typedef struct {
   ecl_migrate_t *run;
   const ecl_act_t *act;
   const char *collection;
   ecl_lets_t lets;
   ecl_arena_t arena; /* of the batch */
   ecl_row_t rows[ROWS];
   uint32_t n;
   size_t bytes;
   int64_t seen, held; /* rows of this pass */
   int64_t total;
} foreach_t;

void
ecl_migrate_query (const ecl_act_t *act, const char *collection, uint32_t batch, bson_t *command)
{
   const ecl_field_t *args = act->args;
   bson_t empty = BSON_INITIALIZER;

   bson_init (command);
   if (args[ECL_ARG_AGGREGATE].key) {
      BSON_APPEND_UTF8 (command, "aggregate", collection);
      ecl_append_value (command, "pipeline", &args[ECL_ARG_PIPELINE].value);
      BSON_APPEND_BOOL (command, "allowDiskUse", true);
      ecl_store_cursor ((int32_t) batch, command);
   } else {
      BSON_APPEND_UTF8 (command, "find", collection);
      if (args[ECL_ARG_FILTER].key) {
         ecl_append_value (command, "filter", &args[ECL_ARG_FILTER].value);
      } else {
         BSON_APPEND_DOCUMENT (command, "filter", &empty);
      }
      if (args[ECL_ARG_PROJECTION].key) {
         ecl_append_value (command, "projection", &args[ECL_ARG_PROJECTION].value);
      }
      if (args[ECL_ARG_SORT].key) {
         ecl_append_value (command, "sort", &args[ECL_ARG_SORT].value);
      }
      BSON_APPEND_INT32 (command, "batchSize", (int32_t) batch);
   }
   ecl_store_read_concern (command);
}

/* Brings the next batch of the cursor. *again: it is gone, and the query begins again. */
static bool
fetch (foreach_t *self, ecl_scan_t *scan, bool *again, bson_error_t *error)
{
   ecl_call_t call = {.database = self->run->options->database};
   ecl_world_t *world = self->run->world;
   bson_t command, reply;
   ecl_reply_t result;
   bool good;

   *again = false;
   if (!scan->opened) {
      ecl_migrate_query (self->act, self->collection, ROWS, &command);
      good = ecl_migrate_send (self->run, call.database, &command, &reply, error);
   } else {
      /* Not to be sent twice: the batch of a lost answer is gone. */
      ecl_scan_command (scan, self->collection, ROWS, &command);
      call.command = &command;
      result = world->run_command (world, &call, world->now (world) + ECL_WORLD_TIMEOUT, &reply, error);
      good = result == ECL_REPLY_OK;
      *again = !good && !ecl_is_lease_error (error);
   }
   good = good && ecl_scan_take (scan, &reply, error);
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

/* The values of a row's `let`. */
static bool
take_row (foreach_t *self, const ecl_value_t *document, bson_error_t *error)
{
   if (!ecl_lets_row (&self->lets, document, &self->arena, &self->rows[self->n], error)) {
      return false;
   }
   if (ecl_act_flag (self->act, ECL_ARG_TRANSACTION)) {
      ecl_value_t id = ecl_document_get (document, "_id", 3);

      self->rows[self->n].id = ecl_value_copy (&self->arena, &id);
   }
   for (size_t i = 0; i < self->act->n_lets; i++) {
      const ecl_value_t *value = &self->rows[self->n].values[i];

      self->bytes += value->type == ECL_MISSING ? 0 : ecl_value_size (value);
   }
   self->n++;
   return true;
}

/* All lines for each row, in a transaction of its own. */
static bool
write_rows (foreach_t *self, bson_error_t *error)
{
   ecl_arena_mark_t mark = ecl_arena_mark (&self->run->arena);
   bool good = true;

   for (uint32_t i = 0; i < self->n && good; i++) {
      if (self->run->world->cancelled (self->run->world)) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for");
      }
      good = ecl_migrate_row (self->run, self->act, &self->rows[i], error);
      ecl_arena_release (&self->run->arena, mark);
   }
   return good;
}

/* Each line for all rows, before the next line. */
static bool
write_batch (foreach_t *self, bson_error_t *error)
{
   ecl_arena_mark_t mark = ecl_arena_mark (&self->run->arena);
   bool rows = ecl_act_flag (self->act, ECL_ARG_TRANSACTION);
   bool good = !rows || write_rows (self, error);

   for (size_t i = 0; i < self->act->n_acts && self->n && good && !rows; i++) {
      good = ecl_migrate_write (self->run, &self->act->acts[i], self->rows, self->n, NULL, error);
      ecl_arena_release (&self->run->arena, mark);
   }
   for (uint32_t i = 0; i < self->n; i++) {
      self->held += self->rows[i].held_back;
   }
   self->seen += self->n;
   self->total += self->n;
   self->n = 0;
   self->bytes = 0;
   ecl_arena_reset (&self->arena);
   ecl_migrate_progress (self->run, self->total);
   if (good && self->run->world->cancelled (self->run->world)) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for");
   }
   return good;
}

/* The query, once, to its end. */
static bool
pass (foreach_t *self, bool *again, bson_error_t *error)
{
   ecl_scan_t scan;
   bool good = true;

   self->seen = self->held = 0;
   self->n = 0;
   self->bytes = 0;
   *again = false;
   ecl_scan_init (&scan);
   do {
      good = fetch (self, &scan, again, error);
      for (uint32_t i = 0; good && i < scan.n; i++) {
         good = take_row (self, &scan.items[i], error);
         if (good && (self->n == ROWS || self->bytes > BATCH_BYTES)) {
            good = write_batch (self, error);
         }
      }
      good = good && write_batch (self, error);
   } while (good && scan.cursor);
   ecl_scan_cleanup (&scan);
   return good;
}

static bool
run (foreach_t *self, bson_error_t *error)
{
   bool until_empty = ecl_act_flag (self->act, ECL_ARG_UNTIL_EMPTY), again;
   int lost = 0;

   for (int passes = 1;;) {
      if (!pass (self, &again, error)) {
         if (!again || ++lost > CURSORS_LOST || !self->run->world->wait (self->run->world, 200)) {
            return false;
         }
         self->run->again = true;
         continue;
      }
      if (!self->held && !(until_empty && self->seen)) {
         return true;
      }
      if (++passes > PASSES) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
                          self->held ? "%" PRId64 " rows are still held back by their `unless`, after %d tries"
                                     : "the query still gives %" PRId64 " rows, after %d tries",
                          self->held ? self->held : self->seen, PASSES);
      }
      self->run->again = true; /* rows may come twice */
      if (!self->run->world->wait (self->run->world, passes < 3 ? 0 : 100 * passes)) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for");
      }
   }
}

bool
ecl_migrate_foreach (ecl_migrate_t *run_of, const ecl_act_t *act, bson_error_t *error)
{
   foreach_t *self = bson_malloc0 (sizeof *self);
   bool good;

   self->run = run_of;
   self->act = act;
   self->collection = ecl_migrate_text (run_of, act, act->args[ECL_ARG_FIND].key ? ECL_ARG_FIND : ECL_ARG_AGGREGATE);
   ecl_arena_init (&self->arena);
   ecl_migrate_pace (run_of, self->collection, false, ROWS);
   run_of->paced = true;
   good = ecl_lets_init (&self->lets, act, error) && run (self, error);
   run_of->paced = false;
   ecl_lets_cleanup (&self->lets);
   ecl_arena_cleanup (&self->arena);
   bson_free (self);
   return good;
}
