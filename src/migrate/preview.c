/* What the steps of a database migration would touch: see preview.h. */
#include "migrate/preview-private.h"

#include "bson/append.h"
#include "run/scan.h"
#include "store/store.h"

/* MongoDB's code for a command that took longer than it was given. */
enum { TIME_LIMIT = 50 };

/* ---- telling ---- */

void
ecl_preview_tell (ecl_previewer_t *self, ecl_preview_kind_t kind, const char *name, const char *collection,
                  int64_t documents, const ecl_value_t *spec, bool fails, const char *says)
{
   ecl_preview_line_t line = {.kind = kind,
                              .step = self->step,
                              .name = name,
                              .collection = collection,
                              .documents = documents,
                              .spec = ecl_missing (),
                              .says = says,
                              .fails = fails};

   if (spec && !ecl_value_to_raw (self->arena, spec, &line.spec, NULL)) {
      line.spec = ecl_missing ();
   }
   self->options->tell (self->options->context, &line);
}

const char *
ecl_preview_number (ecl_previewer_t *self, int64_t n, const char *thing)
{
   if (n == ECL_PREVIEW_TOO_SLOW) {
      return ecl_arena_printf (self->arena, "%ss not counted within %.1f s", thing,
                               (double) self->options->limit / 1000);
   }
   return n == 0 ? ecl_arena_printf (self->arena, "no %s", thing)
                 : ecl_arena_printf (self->arena, "%" PRId64 " %s%s", n, thing, n == 1 ? "" : "s");
}

/* ---- asking ---- */

ecl_counted_t
ecl_preview_ask (ecl_previewer_t *self, const bson_t *command, bson_t *reply, const char **why)
{
   ecl_world_t *world = self->options->world;
   ecl_call_t call = {.database = self->options->database, .command = command};
   bson_error_t error;
   ecl_reply_t result;
   int64_t began = world->now (world);

   if (world->cancelled (world)) {
      bson_init (reply);
      ecl_fail (self->error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for");
      return ECL_GONE;
   }
   result = world->run_command (world, &call, began + self->options->limit, reply, &error);
   if (result == ECL_REPLY_OK) {
      return ECL_COUNTED;
   }
   if (error.code == TIME_LIMIT || (result == ECL_REPLY_LOST && world->now (world) - began >= self->options->limit)) {
      return ECL_SLOW;
   }
   if (result == ECL_REPLY_REFUSED) {
      *why = ecl_arena_strndup (self->arena, error.message, strlen (error.message));
      return ECL_REFUSED;
   }
   *self->error = error;
   return ECL_GONE;
}

static bool
is_empty (const ecl_value_t *document)
{
   return ecl_is_document (document) && ecl_document_is_empty (document);
}

ecl_counted_t
ecl_preview_count_pipeline (ecl_previewer_t *self, const char *collection, const ecl_value_t *pipeline,
                            uint32_t without, const ecl_value_t *match, const ecl_value_t *collation,
                            const ecl_value_t *let, int64_t *n, const char **why)
{
   bson_t command = BSON_INITIALIZER, list, stage, reply;
   uint32_t place = 0, total = pipeline ? ecl_array_count (pipeline) : 0;
   ecl_counted_t result;
   ecl_value_t item;
   ecl_iter_t iter;
   char buffer[16];
   const char *key;

   BSON_APPEND_UTF8 (&command, "aggregate", collection);
   BSON_APPEND_ARRAY_BEGIN (&command, "pipeline", &list);
   if (pipeline) {
      ecl_iter_init (&iter, pipeline);
      while (ecl_iter_item (&iter, &item) && place + without < total) {
         bson_uint32_to_string (place++, &key, buffer, sizeof buffer);
         ecl_append_value (&list, key, &item);
      }
   }
   if (match) {
      bson_uint32_to_string (place++, &key, buffer, sizeof buffer);
      BSON_APPEND_DOCUMENT_BEGIN (&list, key, &stage);
      ecl_append_value (&stage, "$match", match);
      bson_append_document_end (&list, &stage);
   }
   bson_uint32_to_string (place, &key, buffer, sizeof buffer);
   BSON_APPEND_DOCUMENT_BEGIN (&list, key, &stage);
   BSON_APPEND_UTF8 (&stage, "$count", "n");
   bson_append_document_end (&list, &stage);
   bson_append_array_end (&command, &list);
   BSON_APPEND_BOOL (&command, "allowDiskUse", true);
   if (collation && !ecl_is_missing (collation)) {
      ecl_append_value (&command, "collation", collation);
   }
   if (let && !ecl_is_missing (let)) {
      ecl_append_value (&command, "let", let);
   }
   ecl_store_cursor (0, &command);
   result = ecl_preview_ask (self, &command, &reply, why);
   *n = result == ECL_COUNTED ? ecl_store_number (&reply, "cursor.firstBatch.0.n") : ECL_PREVIEW_TOO_SLOW;
   bson_destroy (&reply);
   bson_destroy (&command);
   return result;
}

ecl_counted_t
ecl_preview_count (ecl_previewer_t *self, const char *collection, const ecl_value_t *filter,
                   const ecl_value_t *collation, int64_t *n, const char **why)
{
   bson_t command = BSON_INITIALIZER, reply;
   ecl_counted_t result;

   if (filter && !is_empty (filter)) {
      return ecl_preview_count_pipeline (self, collection, NULL, 0, filter, collation, NULL, n, why);
   }
   BSON_APPEND_UTF8 (&command, "count", collection);
   result = ecl_preview_ask (self, &command, &reply, why);
   *n = result == ECL_COUNTED ? ecl_store_number (&reply, "n") : ECL_PREVIEW_TOO_SLOW;
   bson_destroy (&reply);
   bson_destroy (&command);
   return result;
}

/* ---- statements ---- */

static const char *
collection_of (ecl_previewer_t *self, const ecl_act_t *act)
{
   return ecl_migrate_text (&self->run, act,
                            act->args[ECL_ARG_FIND].key        ? ECL_ARG_FIND
                            : act->args[ECL_ARG_AGGREGATE].key ? ECL_ARG_AGGREGATE
                            : act->args[ECL_ARG_FROM].key      ? ECL_ARG_FROM
                                                               : ECL_ARG_COLLECTION);
}

/* An argument as it would be for that row. Only an update's list is one of expressions; documents are filled one by
 * one, as they are when they are written. */
static bool
fill_argument (ecl_previewer_t *self, const ecl_row_t *row, int arg, const ecl_value_t *given, ecl_value_t *value,
               bson_error_t *error)
{
   bool filter = arg == ECL_ARG_FILTER || arg == ECL_ARG_ARRAY_FILTERS;
   ecl_value_t item, *items;
   ecl_iter_t iter;
   uint32_t n = 0;

   if (arg != ECL_ARG_DOCUMENTS || !ecl_is_array (given)) {
      return ecl_migrate_fill (self->arena, row, given, filter, value, error);
   }
   items = ecl_arena_array (self->arena, ecl_value_t, ecl_array_count (given) + 1);
   ecl_iter_init (&iter, given);
   while (ecl_iter_item (&iter, &item)) {
      if (!ecl_migrate_fill (self->arena, row, &item, false, &items[n++], error)) {
         return false;
      }
   }
   *value = ecl_vec (items, n);
   return true;
}

/* The statement as it would be for that row, as its author would write it. */
static bool
fill_statement (ecl_previewer_t *self, const ecl_act_t *act, const ecl_row_t *row, ecl_value_t *spec,
                ecl_value_t *filter, ecl_value_t *inserted, const char **why)
{
   ecl_field_t *fields = ecl_arena_array (self->arena, ecl_field_t, ECL_ARG_COUNT_OF);
   bson_error_t error;
   size_t n = 0;

   *filter = *inserted = ecl_missing ();
   for (int arg = 0; arg < ECL_ARG_COUNT_OF; arg++) {
      ecl_value_t value;

      if (!act->args[arg].key || arg == ECL_ARG_COLLECTION) {
         continue;
      }
      if (!fill_argument (self, row, arg, &act->args[arg].value, &value, &error)) {
         *why = ecl_arena_strndup (self->arena, error.message, strlen (error.message));
         return false;
      }
      if (arg == ECL_ARG_FILTER) {
         *filter = value;
      } else if (arg == ECL_ARG_DOCUMENT || arg == ECL_ARG_DOCUMENTS) {
         *inserted = value;
      }
      fields[n++] = ecl_field (act->args[arg].key, act->args[arg].key_len, value);
   }
   *spec = ecl_fields (fields, n);
   return true;
}

/* What a statement would do, in words. *n: documents that it would touch. */
static const char *
say_statement (ecl_previewer_t *self, const ecl_act_t *act, bool ranges, int64_t *n)
{
   bool deletes = act->kind == ECL_ACT_DELETE_ONE || act->kind == ECL_ACT_DELETE_MANY;
   bool many = act->kind == ECL_ACT_UPDATE_MANY || act->kind == ECL_ACT_DELETE_MANY;
   bool upsert = ecl_act_flag (act, ECL_ARG_UPSERT) && *n == 0;
   const char *verb = deletes ? "deletes" : act->kind == ECL_ACT_REPLACE_ONE ? "replaces" : "changes";

   if (upsert) {
      *n = 1;
      return "nothing matches: inserts one";
   }
   if (!many && *n > 1) {
      const char *text = ecl_arena_printf (self->arena, "%s one of %" PRId64 " that match", verb, *n);

      *n = 1;
      return text;
   }
   return ecl_arena_printf (self->arena, "%s %s%s", verb, ecl_preview_number (self, *n, "document"),
                            !many || !ranges || *n == 0           ? ""
                            : ecl_act_flag (act, ECL_ARG_AT_ONCE) ? ", all at once"
                                                                  : ", by ranges of _id");
}

static bool
tell_statement (ecl_previewer_t *self, ecl_preview_kind_t kind, const ecl_act_t *act, const ecl_row_t *row, bool ranges)
{
   const char *collection = collection_of (self, act), *why = NULL, *name = ecl_act_name (act->kind);
   ecl_value_t spec, filter, inserted, held;
   ecl_counted_t result;
   int64_t n = 0;

   if (!fill_statement (self, act, row, &spec, &filter, &inserted, &why)) {
      ecl_preview_tell (self, kind, name, collection, ECL_PREVIEW_NO_NUMBER, NULL, true, why);
      return true;
   }
   if (act->unless_collection && ecl_migrate_fill (self->arena, row, &act->unless_filter, true, &held, NULL)) {
      result = ecl_preview_count (self, act->unless_collection, &held, NULL, &n, &why);
      if (result == ECL_GONE) {
         return false;
      }
      if (n > 0) {
         ecl_preview_tell (self, kind, name, collection, ECL_PREVIEW_NO_NUMBER, &spec, false,
                           ecl_arena_printf (self->arena, "held back while %s of %s match%s",
                                             ecl_preview_number (self, n, "document"), act->unless_collection,
                                             n == 0 || n == 1 ? "es" : ""));
         return true;
      }
   }
   if (act->kind == ECL_ACT_INSERT) {
      n = ecl_is_array (&inserted) ? ecl_array_count (&inserted) : 1;
      ecl_preview_tell (self, kind, name, collection, n, &spec, false,
                        ecl_arena_printf (self->arena, "inserts %s", ecl_preview_number (self, n, "document")));
      return true;
   }
   result = ecl_preview_count (self, collection, &filter, ecl_preview_said (act, ECL_ARG_COLLATION), &n, &why);
   if (result == ECL_REFUSED) {
      ecl_preview_tell (self, kind, name, collection, ECL_PREVIEW_NO_NUMBER, &spec, true,
                        ecl_arena_printf (self->arena, "the server refuses its filter: %s", why));
   } else if (result != ECL_GONE) {
      why = say_statement (self, act, ranges, &n); /* which may change n */
      ecl_preview_tell (self, kind, name, collection, n, &spec, false, why);
   }
   return result != ECL_GONE;
}

static bool
tell_parts (ecl_previewer_t *self, ecl_preview_kind_t kind, const ecl_act_t *acts, size_t n, const ecl_row_t *row);

/* ---- foreach ---- */

static bool
tell_row (ecl_previewer_t *self, const ecl_act_t *act, ecl_lets_t *lets, const ecl_value_t *document)
{
   ecl_field_t *fields = ecl_arena_array (self->arena, ecl_field_t, act->n_lets + 1);
   bson_error_t error;
   ecl_value_t spec;
   ecl_row_t row;

   if (!ecl_lets_row (lets, document, self->arena, &row, &error)) {
      ecl_preview_tell (self, ECL_PREVIEW_ROW, "row", "", ECL_PREVIEW_NO_NUMBER, document, true,
                        ecl_arena_strndup (self->arena, error.message, strlen (error.message)));
      return true;
   }
   for (size_t i = 0; i < act->n_lets; i++) {
      fields[i] = ecl_field (act->lets[i].name, strlen (act->lets[i].name), row.values[i]);
   }
   spec = ecl_fields (fields, act->n_lets);
   ecl_preview_tell (self, ECL_PREVIEW_ROW, "row", "", ECL_PREVIEW_NO_NUMBER, &spec, false, "");
   return tell_parts (self, ECL_PREVIEW_WRITE, act->acts, act->n_acts, &row);
}

/* The first rows: one batch, and the cursor is closed. */
static bool
tell_rows (ecl_previewer_t *self, const ecl_act_t *act, const char *collection)
{
   bson_t command, whole = BSON_INITIALIZER, reply;
   const char *why = NULL;
   ecl_lets_t lets;
   ecl_scan_t scan;
   ecl_counted_t result;
   bool good;

   ecl_migrate_query (act, collection, self->options->rows, &command);
   if (act->args[ECL_ARG_FIND].key) {
      bson_concat (&whole, &command);
      BSON_APPEND_INT32 (&whole, "limit", (int32_t) self->options->rows);
      BSON_APPEND_BOOL (&whole, "singleBatch", true);
   } else {
      bson_concat (&whole, &command);
   }
   ecl_scan_init (&scan);
   result = ecl_preview_ask (self, &whole, &reply, &why);
   good = result == ECL_COUNTED && ecl_scan_take (&scan, &reply, self->error);
   if (result == ECL_SLOW || result == ECL_REFUSED) {
      ecl_preview_tell (self, ECL_PREVIEW_ROW, "row", "", ECL_PREVIEW_NO_NUMBER, NULL, result == ECL_REFUSED,
                        result == ECL_SLOW ? "the first rows did not come in time"
                                           : ecl_arena_printf (self->arena, "the server refuses the query: %s", why));
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   bson_destroy (&whole);
   if (good && scan.cursor) {
      bson_t kill = BSON_INITIALIZER, list;

      BSON_APPEND_UTF8 (&kill, "killCursors", collection);
      BSON_APPEND_ARRAY_BEGIN (&kill, "cursors", &list);
      BSON_APPEND_INT64 (&list, "0", scan.cursor);
      bson_append_array_end (&kill, &list);
      good = ecl_preview_ask (self, &kill, &reply, &why) != ECL_GONE;
      bson_destroy (&reply);
      bson_destroy (&kill);
   }
   if (good) {
      good = ecl_lets_init (&lets, act, self->error);
      for (uint32_t i = 0; i < scan.n && i < self->options->rows && good; i++) {
         good = tell_row (self, act, &lets, &scan.items[i]);
      }
      ecl_lets_cleanup (&lets);
   }
   ecl_scan_cleanup (&scan);
   return good || result == ECL_SLOW || result == ECL_REFUSED;
}

static bool
tell_foreach (ecl_previewer_t *self, const ecl_act_t *act)
{
   const char *collection = collection_of (self, act), *why = NULL;
   ecl_counted_t result;
   int64_t n;

   result = act->args[ECL_ARG_PIPELINE].key
               ? ecl_preview_count_pipeline (self, collection, ecl_act_arg (act, ECL_ARG_PIPELINE), 0, NULL, NULL, NULL,
                                             &n, &why)
               : ecl_preview_count (self, collection, ecl_preview_said (act, ECL_ARG_FILTER), NULL, &n, &why);
   if (result == ECL_GONE) {
      return false;
   }
   ecl_preview_tell (self, ECL_PREVIEW_STEP, ecl_act_name (act->kind), collection,
                     result == ECL_REFUSED ? ECL_PREVIEW_NO_NUMBER : n, NULL, result == ECL_REFUSED,
                     result == ECL_REFUSED ? ecl_arena_printf (self->arena, "the server refuses the query: %s", why)
                                           : ecl_preview_number (self, n, "row"));
   return result == ECL_REFUSED || n == 0 || tell_rows (self, act, collection);
}

/* ---- all ---- */

/* Of a transaction, a bulkWrite or a row. */
static bool
tell_parts (ecl_previewer_t *self, ecl_preview_kind_t kind, const ecl_act_t *acts, size_t n, const ecl_row_t *row)
{
   for (size_t i = 0; i < n; i++) {
      const ecl_act_t *act = &acts[i];
      bool good = act->kind == ECL_ACT_BULK_WRITE ? tell_parts (self, kind, act->acts, act->n_acts, row)
                  : act->kind == ECL_ACT_ASSERT   ? ecl_preview_look (self, kind, act, collection_of (self, act))
                                                  : tell_statement (self, kind, act, row, false);

      if (!good) {
         return false;
      }
   }
   return true;
}

static void
tell_command (ecl_previewer_t *self, const ecl_act_t *act)
{
   ecl_value_t spec;
   bson_t command;

   ecl_migrate_command (act, self->options->database, &command);
   spec = ecl_raw_document (bson_get_data (&command), command.len);
   ecl_preview_tell (self, ECL_PREVIEW_STEP, ecl_act_name (act->kind), "", ECL_PREVIEW_NO_NUMBER, &spec, false,
                     act->admin ? "sent to the database admin" : "sent as it stands");
   bson_destroy (&command);
}

static bool
tell_step (ecl_previewer_t *self, const ecl_act_t *act)
{
   const char *name = ecl_act_name (act->kind), *collection = collection_of (self, act);
   ecl_row_t none = {0};

   switch (act->kind) {
   case ECL_ACT_FOREACH:
      return tell_foreach (self, act);
   case ECL_ACT_TRANSACTION:
      ecl_preview_tell (self, ECL_PREVIEW_STEP, name, "", ECL_PREVIEW_NO_NUMBER, NULL, !self->options->transactions,
                        self->options->transactions ? "" : "this server has no transactions: it is no replica set");
      return tell_parts (self, ECL_PREVIEW_PART, act->acts, act->n_acts, &none);
   case ECL_ACT_BULK_WRITE:
      ecl_preview_tell (self, ECL_PREVIEW_STEP, name, collection, ECL_PREVIEW_NO_NUMBER, NULL, false,
                        ecl_preview_number (self, (int64_t) act->n_acts, "operation"));
      return tell_parts (self, ECL_PREVIEW_PART, act->acts, act->n_acts, &none);
   case ECL_ACT_COMMAND:
      tell_command (self, act);
      return true;
   case ECL_ACT_CREATE_INDEX:
   case ECL_ACT_DROP_INDEX:
      return ecl_preview_index (self, act, collection);
   case ECL_ACT_CREATE_COLLECTION:
   case ECL_ACT_RENAME_COLLECTION:
   case ECL_ACT_DROP_COLLECTION:
      return ecl_preview_collection (self, act, collection);
   case ECL_ACT_VALIDATOR:
      return ecl_preview_validator (self, act, collection);
   case ECL_ACT_BACKFILL:
      return ecl_preview_backfill (self, act, collection);
   case ECL_ACT_WAIT:
   case ECL_ACT_ASSERT:
      return ecl_preview_look (self, ECL_PREVIEW_STEP, act, collection);
   case ECL_ACT_AGGREGATE:
   case ECL_ACT_VERIFY:
      return ecl_preview_whole (self, act, collection);
   default:
      return tell_statement (self, ECL_PREVIEW_STEP, act, &none, true);
   }
}

bool
ecl_preview (const ecl_preview_options_t *options, const ecl_work_t *work, size_t first, bson_error_t *error)
{
   const ecl_work_way_t *way = &work->up;
   ecl_previewer_t self = {.options = options, .error = error};
   bool good = true;

   self.plain =
      (ecl_migrate_options_t){.world = options->world, .database = options->database, .project = options->project};
   self.run.options = &self.plain;
   self.run.work = work;
   self.arena = &self.run.arena;
   ecl_arena_init (&self.run.arena);
   if (way->kind == ECL_WORK_PROGRAM) {
      ecl_preview_tell (&self, ECL_PREVIEW_STEP, "program", "", ECL_PREVIEW_NO_NUMBER, NULL, false,
                        "what it would touch only itself knows");
   }
   for (size_t i = first; i < way->n_acts && good; i++) {
      self.step = i;
      ecl_arena_reset (&self.run.arena);
      good = tell_step (&self, &way->acts[i]);
   }
   ecl_arena_cleanup (&self.run.arena);
   return good;
}
