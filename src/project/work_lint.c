/* What a database migration must not do without saying why: repeat what cannot be repeated, and take into a
 * transaction what MongoDB refuses in one.
 *
 * A run that dies in a step begins that step again. So a step must give the same when parts of it were done already, or
 * be in a transaction (whose end is recorded with it), or carry a guard: the update changes a path that its filter
 * reads, so that what was done does not match again. Everything else needs its author's reason: `repeatable: because
 * …`.
 */
#include "project/work-private.h"

#define HOW "put it in a transaction, guard it with a filter on what it changes, or say `repeatable: because …`"

/* ---- paths ---- */

static bool
same_or_below (const char *a, size_t a_len, const char *b, size_t b_len)
{
   size_t shorter = a_len < b_len ? a_len : b_len;

   return memcmp (a, b, shorter) == 0 && (a_len == b_len || (a_len < b_len ? b[shorter] == '.' : a[shorter] == '.'));
}

/* The fields that a filter names, at its top and in $and. Of $or and $expr nothing is known. */
static bool
filter_names (const ecl_value_t *filter, const char *path, size_t len)
{
   ecl_field_t field;
   ecl_value_t part;
   ecl_iter_t iter, parts;

   if (!ecl_is_document (filter)) {
      return false;
   }
   ecl_iter_init (&iter, filter);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "$and") && ecl_is_array (&field.value)) {
         ecl_iter_init (&parts, &field.value);
         while (ecl_iter_item (&parts, &part)) {
            if (filter_names (&part, path, len)) {
               return true;
            }
         }
      } else if (field.key_len && field.key[0] != '$' && same_or_below (field.key, field.key_len, path, len)) {
         return true;
      }
   }
   return false;
}

/* Whether it can only ever be one and the same document. */
static bool
filter_has_id (const ecl_value_t *filter)
{
   ecl_value_t id;
   ecl_field_t op;
   ecl_iter_t iter;

   if (!ecl_is_document (filter)) {
      return false;
   }
   id = ecl_document_get (filter, "_id", 3);
   if (!ecl_is_document (&id)) {
      return id.type != ECL_MISSING;
   }
   ecl_iter_init (&iter, &id);
   return !ecl_iter_field (&iter, &op) || op.key_len == 0 || op.key[0] != '$' || ecl_key_is (&op, "$eq");
}

/* ---- updates ---- */

static bool
is_one_of (const ecl_field_t *field, const char *const *words)
{
   for (; *words; words++) {
      if (ecl_key_is (field, *words)) {
         return true;
      }
   }
   return false;
}

/* Whether an update of operators, or a pipeline's $set and $unset, changes a path that the filter reads. */
static bool
changes_what_it_filters (const ecl_value_t *filter, const ecl_value_t *update)
{
   static const char *const setters[] = {
      "$set", "$unset", "$rename", "$currentDate", "$addFields", "$push", "$addToSet", "$pull",
      "$pop", "$inc",   "$mul",    "$min",         "$max",       "$bit",  "$pullAll",  NULL};
   ecl_field_t op, field;
   ecl_value_t stage;
   ecl_iter_t iter, paths;

   if (ecl_is_array (update)) {
      ecl_iter_init (&iter, update);
      while (ecl_iter_item (&iter, &stage)) {
         if (ecl_is_document (&stage) && changes_what_it_filters (filter, &stage)) {
            return true;
         }
      }
      return false;
   }
   ecl_iter_init (&iter, update);
   while (ecl_iter_field (&iter, &op)) {
      if (ecl_key_is (&op, "$unset") && ecl_is_string (&op.value)) {
         if (filter_names (filter, op.value.u.str, op.value.len)) {
            return true;
         }
      } else if (is_one_of (&op, setters) && (ecl_is_document (&op.value) || ecl_is_array (&op.value))) {
         ecl_iter_init (&paths, &op.value);
         while (ecl_iter_field (&paths, &field)) {
            bool listed = ecl_is_array (&op.value);

            if (listed ? ecl_is_string (&field.value) && filter_names (filter, field.value.u.str, field.value.len)
                       : filter_names (filter, field.key, field.key_len)) {
               return true;
            }
         }
      }
   }
   return false;
}

/* Whether an expression reads the field, "$path" or above or below it, or the whole document. */
static bool
reads (const ecl_value_t *expression, const char *path, size_t len)
{
   ecl_field_t field;
   ecl_iter_t iter;

   if (ecl_is_string (expression)) {
      const char *text = expression->u.str;

      if (expression->len >= 6 && memcmp (text, "$$ROOT", 6) == 0) {
         return true;
      }
      return expression->len > 1 && text[0] == '$' && text[1] != '$' &&
             same_or_below (text + 1, expression->len - 1, path, len);
   }
   if (ecl_is_document (expression) || ecl_is_array (expression)) {
      ecl_iter_init (&iter, expression);
      while (ecl_iter_field (&iter, &field)) {
         if (!ecl_key_is (&field, "$literal") && reads (&field.value, path, len)) {
            return true;
         }
      }
   }
   return false;
}

/* The element of what cannot be repeated in a pipeline; NULL where all can. */
static const uint8_t *
find_in_pipeline (const ecl_value_t *pipeline, const char **what)
{
   ecl_field_t entry, stage, field;
   ecl_iter_t iter, inner, fields;

   ecl_iter_init (&iter, pipeline);
   while (ecl_iter_field (&iter, &entry)) {
      if (!ecl_is_document (&entry.value)) {
         continue;
      }
      ecl_iter_init (&inner, &entry.value);
      while (ecl_iter_field (&inner, &stage)) {
         bool set = ecl_key_is (&stage, "$set") || ecl_key_is (&stage, "$addFields");

         if (ecl_key_is (&stage, "$replaceWith") || ecl_key_is (&stage, "$replaceRoot")) {
            *what = "what replaces the document is made from it";
            return ecl_at (&stage);
         }
         if (!set || !ecl_is_document (&stage.value)) {
            continue;
         }
         ecl_iter_init (&fields, &stage.value);
         while (ecl_iter_field (&fields, &field)) {
            if (reads (&field.value, field.key, field.key_len)) {
               *what = "the new value is made from the old one";
               return ecl_at (&field);
            }
         }
      }
   }
   return NULL;
}

static const uint8_t *
find_in_operators (const ecl_value_t *update, const char **what)
{
   static const char *const single[] = {"$inc", "$mul", "$push", "$pop", "$bit", "$rename", NULL};
   ecl_field_t op;
   ecl_iter_t iter;

   ecl_iter_init (&iter, update);
   while (ecl_iter_field (&iter, &op)) {
      if (is_one_of (&op, single)) {
         *what = ecl_key_is (&op, "$rename") ? "a second time it would take what was written there since"
                                             : "twice is not once";
         return ecl_at (&op);
      }
   }
   return NULL;
}

static void
lint_update (ecl_work_reader_t *reader, const ecl_act_t *act)
{
   const ecl_value_t *update = ecl_act_arg (act, ECL_ARG_UPDATE), *filter = ecl_act_arg (act, ECL_ARG_FILTER);
   bool guard = (ecl_is_document (update) || ecl_is_array (update)) && changes_what_it_filters (filter, update);
   const char *what = NULL;
   const uint8_t *at = ecl_is_array (update)      ? find_in_pipeline (update, &what)
                       : ecl_is_document (update) ? find_in_operators (update, &what)
                                                  : NULL;

   if (at && !guard) {
      ecl_work_error (reader, at, "this cannot be repeated after a crash, %s: " HOW, what);
   } else if (act->kind == ECL_ACT_UPDATE_ONE && guard && !filter_has_id (filter) &&
              !ecl_act_flag (act, ECL_ARG_UPSERT)) {
      ecl_work_error (reader, act->at,
                      "this cannot be repeated after a crash, it would take another document: name its _id in the "
                      "filter, or say `repeatable: because …`");
   }
}

/* ---- inserts ---- */

/* Whether the value will be documents with an _id that is the same each time: {_id: …}, or a `let` that makes such. */
static bool
has_key (const ecl_act_t *foreach, const ecl_value_t *value)
{
   ecl_value_t id, map, in;
   const ecl_let_t *let;

   if (ecl_work_is_let (foreach, value, &let)) {
      value = &let->spec.value;
      if (!ecl_is_document (value)) {
         return ecl_is_string (value) && value->len == 6 && memcmp (value->u.str, "$$ROOT", 6) == 0;
      }
      map = ecl_document_get (value, "$map", 4);
      if (ecl_is_document (&map)) {
         in = ecl_document_get (&map, "in", 2);
         return has_key (NULL, &in);
      }
   }
   if (!ecl_is_document (value)) {
      return false;
   }
   id = ecl_document_get (value, "_id", 3);
   return id.type != ECL_MISSING;
}

static void
lint_insert (ecl_work_reader_t *reader, const ecl_act_t *act)
{
   const ecl_field_t *documents = &act->args[ECL_ARG_DOCUMENTS], *one = &act->args[ECL_ARG_DOCUMENT];
   const uint8_t *bad = NULL;
   ecl_field_t item;
   ecl_iter_t iter;

   if (one->key) {
      bad = has_key (reader->foreach, &one->value) ? NULL : ecl_at (one);
   } else if (documents->key && ecl_is_array (&documents->value)) {
      ecl_iter_init (&iter, &documents->value);
      while (!bad && ecl_iter_field (&iter, &item)) {
         bad = has_key (reader->foreach, &item.value) ? NULL : ecl_at (&item);
      }
   } else if (documents->key) {
      bad = has_key (reader->foreach, &documents->value) ? NULL : ecl_at (documents);
   }
   if (bad) {
      ecl_work_error (reader, bad,
                      "this cannot be repeated after a crash, a document without an _id of its own is inserted twice: "
                      "give it one, put it in a transaction, or say `repeatable: because …`");
   }
}

/* ---- the rest ---- */

static void
lint_aggregate (ecl_work_reader_t *reader, const ecl_act_t *act)
{
   const ecl_value_t *pipeline = ecl_act_arg (act, ECL_ARG_PIPELINE), *from = ecl_act_arg (act, ECL_ARG_COLLECTION);
   ecl_value_t stage, last = ecl_missing (), out, merge, when;
   bool without_id = false;
   ecl_iter_t iter;

   ecl_iter_init (&iter, pipeline);
   while (ecl_iter_item (&iter, &stage)) {
      last = stage;
      if (ecl_is_document (&stage)) {
         ecl_value_t project = ecl_document_get (&stage, "$project", 8), unset = ecl_document_get (&stage, "$unset", 6);
         ecl_value_t id = ecl_is_document (&project) ? ecl_document_get (&project, "_id", 3) : ecl_null ();

         without_id |= (ecl_is_document (&project) && id.type != ECL_MISSING && !ecl_truthy (&id)) ||
                       (ecl_is_string (&unset) && unset.len == 3 && memcmp (unset.u.str, "_id", 3) == 0);
      }
   }
   out = ecl_document_get (&last, "$out", 4);
   if (ecl_is_string (&out) && ecl_is_string (from) && out.len == from->len &&
       memcmp (out.u.str, from->u.str, out.len) == 0) {
      ecl_work_error (reader, act->at, "this cannot be repeated after a crash, it reads what it wrote: " HOW);
   }
   merge = ecl_document_get (&last, "$merge", 6);
   if (ecl_is_document (&merge)) {
      ecl_value_t on = ecl_document_get (&merge, "on", 2);

      when = ecl_document_get (&merge, "whenMatched", 11);
      if (ecl_is_array (&when) || (ecl_is_string (&when) && when.len == 4 && memcmp (when.u.str, "fail", 4) == 0)) {
         ecl_work_error (
            reader, act->at,
            "this cannot be repeated after a crash, what it merged is there already: say `repeatable: because …`, "
            "or let whenMatched be replace, keepExisting or merge");
      }
      without_id &= on.type == ECL_MISSING;
   }
   if (without_id && (merge.type != ECL_MISSING)) {
      ecl_work_error (
         reader, act->at,
         "this cannot be repeated after a crash, documents without _id are inserted twice: keep _id, or merge `on` "
         "a unique key, or say `repeatable: because …`");
   }
}

static void
lint_repeatable (ecl_work_reader_t *reader, const ecl_act_t *act)
{
   static const char *const harmless[] = {"collMod", "createIndexes", "ping", NULL};
   ecl_field_t name;
   ecl_iter_t iter;

   switch (act->kind) {
   case ECL_ACT_INSERT:
      lint_insert (reader, act);
      break;
   case ECL_ACT_UPDATE_ONE:
   case ECL_ACT_UPDATE_MANY:
      lint_update (reader, act);
      break;
   case ECL_ACT_REPLACE_ONE:
   case ECL_ACT_DELETE_ONE:
      if (!filter_has_id (ecl_act_arg (act, ECL_ARG_FILTER))) {
         ecl_work_error (reader, act->at,
                         "this cannot be repeated after a crash, it would take another document: name its _id in the "
                         "filter, or say `repeatable: because …`");
      }
      break;
   case ECL_ACT_BULK_WRITE:
      for (size_t i = 0; i < act->n_acts; i++) {
         lint_repeatable (reader, &act->acts[i]);
      }
      break;
   case ECL_ACT_AGGREGATE:
      lint_aggregate (reader, act);
      break;
   case ECL_ACT_RENAME_COLLECTION:
      ecl_work_error (
         reader, act->at,
         "this cannot be repeated after a crash, a collection that was made again since would be taken for the old "
         "one: say `repeatable: because nothing writes to it any more`, if that is so");
      break;
   case ECL_ACT_COMMAND:
      ecl_iter_init (&iter, &act->spec);
      if (ecl_iter_field (&iter, &name) && !is_one_of (&name, harmless)) {
         ecl_work_error (reader, ecl_at (&name),
                         "nobody knows whether %.*s can be repeated after a crash: say `repeatable: because …`",
                         (int) name.key_len, name.key);
      }
      break;
   default:
      break;
   }
}

static void
lint_transaction (ecl_work_reader_t *reader, const ecl_act_t *act)
{
   if (!ecl_act_is_statement (act->kind) && act->kind != ECL_ACT_ASSERT) {
      ecl_work_error (reader, act->at, "%s cannot be in a transaction: %s", ecl_act_name (act->kind),
                      act->kind == ECL_ACT_FOREACH   ? "its rows have no bound, and a transaction has"
                      : act->kind == ECL_ACT_COMMAND ? "nobody knows whether MongoDB takes it in one"
                      : act->kind == ECL_ACT_BACKFILL || act->kind == ECL_ACT_VERIFY || act->kind == ECL_ACT_WAIT
                         ? "it goes on for longer than one may"
                         : "MongoDB refuses it in one");
   }
}

/* ---- a transaction for each row ---- */

/* Whether the statement takes the row out of the query of the foreach: it is on the row's document, and deletes it or
 * changes what the query's filter names. */
static bool
takes_row_away (const ecl_act_t *foreach, const ecl_act_t *act)
{
   const ecl_value_t *from = ecl_act_arg (foreach, ECL_ARG_FIND), *on = ecl_act_arg (act, ECL_ARG_COLLECTION);
   const ecl_value_t *filter = ecl_act_arg (act, ECL_ARG_FILTER), *rows = ecl_act_arg (foreach, ECL_ARG_FILTER);
   const ecl_value_t *update = ecl_act_arg (act, ECL_ARG_UPDATE);
   const ecl_let_t *let;
   ecl_value_t id;

   if (act->kind == ECL_ACT_BULK_WRITE) {
      for (size_t i = 0; i < act->n_acts; i++) {
         if (takes_row_away (foreach, &act->acts[i])) {
            return true;
         }
      }
      return false;
   }
   if (!act->args[ECL_ARG_FILTER].key || !ecl_is_document (filter) || !ecl_is_string (on) || on->len != from->len ||
       memcmp (on->u.str, from->u.str, on->len) != 0) {
      return false;
   }
   id = ecl_document_get (filter, "_id", 3);
   if (!ecl_work_is_let (foreach, &id, &let) || !ecl_is_string (&let->spec.value) || let->spec.value.len != 4 ||
       memcmp (let->spec.value.u.str, "$_id", 4) != 0) {
      return false;
   }
   switch (act->kind) {
   case ECL_ACT_DELETE_ONE:
   case ECL_ACT_DELETE_MANY:
      return true;
   case ECL_ACT_UPDATE_ONE:
   case ECL_ACT_UPDATE_MANY:
      return foreach->args[ECL_ARG_FILTER].key && ecl_is_document (rows) &&
             (ecl_is_document (update) || ecl_is_array (update)) && changes_what_it_filters (rows, update);
   default:
      return false;
   }
}

void
ecl_work_lint_rows (ecl_work_reader_t *reader, const ecl_act_t *act)
{
   const ecl_field_t *projection = &act->args[ECL_ARG_PROJECTION];
   const uint8_t *at = ecl_at (&act->args[ECL_ARG_TRANSACTION]);
   ecl_value_t id = projection->key ? ecl_document_get (&projection->value, "_id", 3) : ecl_missing ();

   if (!act->args[ECL_ARG_FIND].key) {
      ecl_work_error (reader, at,
                      "a transaction for each row needs find: the row is looked at again in its transaction");
      return;
   }
   if (id.type != ECL_MISSING && !ecl_truthy (&id)) {
      ecl_work_error (reader, at, "a transaction for each row needs the rows' _id, which the projection leaves out");
      return;
   }
   for (size_t i = 0; i < act->n_acts; i++) {
      if (takes_row_away (act, &act->acts[i])) {
         return;
      }
   }
   if (!act->repeatable) {
      ecl_work_error (reader, at,
                      "nothing in do takes the row out of the query, so after a crash it would be done again: let an "
                      "updateOne with {_id: …} of the row change what the filter names, or delete the row, or say "
                      "`repeatable: because …`");
   }
}

void
ecl_work_lint (ecl_work_reader_t *reader, const ecl_act_t *act)
{
   if (reader->foreach && ecl_act_flag (reader->foreach, ECL_ARG_TRANSACTION)) {
      return; /* all of `do` takes effect once: see ecl_work_lint_rows */
   }
   if (reader->transaction) {
      lint_transaction (reader, act);
   } else if (!act->repeatable) {
      lint_repeatable (reader, act);
   }
}
