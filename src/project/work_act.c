/* Database migrations: acts, one by one and in lists. See work.h. */
#include "project/work-private.h"

#include "base/suggest.h"

/* The reason why something may be repeated: it begins with "because", so that a bare `true` does not come to be. */
static const char *
read_reason (ecl_work_reader_t *reader, const ecl_field_t *field)
{
   const char *reason = NULL;

   if (!ecl_is_string (&field->value) || field->value.len < 12 || memcmp (field->value.u.str, "because ", 8) != 0) {
      ecl_work_error (reader, ecl_at (field), "repeatable takes the reason: \"because …\"");
      return "because";
   }
   ecl_work_read_text (reader, field, &reason);
   return reason;
}

static bool
find_kind (const ecl_field_t *field, ecl_act_kind_t *kind)
{
   for (int i = 0; i < ECL_ACT_KINDS; i++) {
      if (ecl_key_is (field, ecl_act_name ((ecl_act_kind_t) i))) {
         *kind = (ecl_act_kind_t) i;
         return true;
      }
   }
   return false;
}

static void
unknown_act (ecl_work_reader_t *reader, const ecl_field_t *field)
{
   const char *known[ECL_ACT_KINDS + 6] = {"repeatable", "unless", "let", "do", "database"}, *meant;

   for (int i = 0; i < ECL_ACT_KINDS; i++) {
      known[5 + i] = ecl_act_name ((ecl_act_kind_t) i);
   }
   known[5 + ECL_ACT_KINDS] = NULL;
   meant = ecl_suggest (field->key, field->key_len, known);
   ecl_work_error (reader, ecl_at (field), "unknown step \"%.*s\"%s%s%s", (int) field->key_len, field->key,
                   meant ? "; did you mean \"" : "", meant ? meant : "", meant ? "\"?" : "");
}

static void
read_unless (ecl_work_reader_t *reader, ecl_act_t *act, const ecl_field_t *spec)
{
   ecl_field_t field, collection = {0}, filter = {0};
   ecl_iter_t iter;

   if (!reader->foreach) {
      ecl_work_error (reader, ecl_at (spec), "unless goes with a line of do; elsewhere wait or assert says it");
      return;
   }
   if (ecl_is_document (&spec->value)) {
      ecl_iter_init (&iter, &spec->value);
      while (ecl_iter_field (&iter, &field)) {
         if (ecl_key_is (&field, "collection") && ecl_is_string (&field.value)) {
            collection = field;
         } else if (ecl_key_is (&field, "filter") && ecl_is_document (&field.value)) {
            filter = field;
         } else {
            collection.key = NULL;
            break;
         }
      }
   }
   if (!collection.key || !filter.key) {
      ecl_work_error (reader, ecl_at (spec),
                      "unless must be {collection, filter}: while a document matches, the line waits");
      return;
   }
   ecl_work_check_collection (reader, &collection);
   act->unless_collection = ecl_work_copy_text (reader, &collection.value);
   act->unless_filter = filter.value;
}

/* A command goes to the database that is migrated, or, where it says so, to admin: to no other, whose migrations may
 * run under another lease. */
static void
read_database (ecl_work_reader_t *reader, ecl_act_t *act, const ecl_field_t *field)
{
   const ecl_value_t *value = &field->value;

   if (act->kind != ECL_ACT_COMMAND) {
      ecl_work_error (reader, ecl_at (field), "database goes with command");
   } else if (!ecl_is_string (value) || value->len != 5 || memcmp (value->u.str, "admin", 5) != 0) {
      ecl_work_error (reader, ecl_at (field),
                      "database must be admin; without it the command goes to the database that is migrated");
   }
   act->admin = true;
}

static void
read_transaction (ecl_work_reader_t *reader, ecl_act_t *act, const ecl_field_t *field)
{
   const uint8_t *outer = reader->transaction;

   if (outer || reader->foreach) {
      ecl_work_error (reader, act->at, "a transaction %s is not supported",
                      outer ? "in a transaction" : "in a foreach");
      return;
   }
   if (!ecl_is_array (&field->value) || !ecl_array_count (&field->value)) {
      reader->ok = ecl_project_wrong_type (reader->text, reader->diags, field, "a list of steps");
      return;
   }
   reader->transaction = act->at;
   ecl_work_read_acts (reader, field, &act->acts, &act->n_acts);
   reader->transaction = outer;
}

/* What stands in one operation of a bulkWrite. The bulk names the collection, and all of it goes at once. */
static void
read_operation_args (ecl_work_reader_t *reader, const ecl_field_t *op, const ecl_act_t *one, ecl_field_t *args)
{
   const ecl_act_arg_t *known = ecl_act_args (one->kind), *arg;
   ecl_field_t field;
   ecl_iter_t iter;

   ecl_iter_init (&iter, &op->value);
   while (ecl_iter_field (&iter, &field)) {
      arg = known;
      while (arg->takes && !ecl_key_is (&field, ecl_arg_name (arg->arg))) {
         arg++;
      }
      if (!arg->takes || arg->arg == ECL_ARG_COLLECTION || arg->arg == ECL_ARG_AT_ONCE ||
          arg->arg == ECL_ARG_DOCUMENTS) {
         ecl_work_error (reader, ecl_at (&field), "%.*s takes no \"%.*s\" in a bulkWrite", (int) op->key_len, op->key,
                         (int) field.key_len, field.key);
      } else if (!ecl_work_fits (arg->takes, &field.value) && !ecl_work_is_let (reader->foreach, &field.value, NULL)) {
         reader->ok =
            ecl_project_wrong_type (reader->text, reader->diags, &field, ecl_work_describe_types (arg->takes));
      } else {
         args[arg->arg] = field;
      }
   }
   for (arg = known; arg->takes; arg++) {
      if ((arg->required || arg->arg == ECL_ARG_DOCUMENT) && !args[arg->arg].key) {
         ecl_work_error (reader, one->at, "%.*s needs %s", (int) op->key_len, op->key, ecl_arg_name (arg->arg));
      }
   }
}

/* One operation of a bulkWrite; false after a report, where not even its kind is known. */
static bool
read_operation (ecl_work_reader_t *reader, const ecl_act_t *bulk, const ecl_field_t *entry, ecl_act_t *one)
{
   ecl_field_t *args = ecl_arena_array (&reader->project->arena, ecl_field_t, ECL_ARG_COUNT_OF), op, more;
   ecl_iter_t iter;

   memset (one, 0, sizeof *one);
   memset (args, 0, ECL_ARG_COUNT_OF * sizeof *args);
   one->args = args;
   one->at = ecl_at (entry);
   if (!ecl_is_document (&entry->value)) {
      return ecl_work_error (reader, one->at, "an operation must be {NAME: {…}}");
   }
   ecl_iter_init (&iter, &entry->value);
   if (!ecl_iter_field (&iter, &op) || ecl_iter_field (&iter, &more) || !ecl_is_document (&op.value)) {
      return ecl_work_error (reader, one->at, "an operation must be {NAME: {…}}, with one name");
   }
   if (ecl_key_is (&op, "insertOne")) {
      one->kind = ECL_ACT_INSERT;
   } else if (ecl_key_is (&op, "insert") || !find_kind (&op, &one->kind) || !ecl_act_in_bulk (one->kind)) {
      return ecl_work_error (reader, ecl_at (&op),
                             "unknown operation \"%.*s\": expected insertOne, updateOne, updateMany, replaceOne, "
                             "deleteOne or deleteMany",
                             (int) op.key_len, op.key);
   }
   one->at = ecl_at (&op);
   one->spec = op.value;
   one->repeatable = bulk->repeatable;
   args[ECL_ARG_COLLECTION] = bulk->args[ECL_ARG_COLLECTION];
   read_operation_args (reader, &op, one, args);
   if (one->kind == ECL_ACT_UPDATE_ONE || one->kind == ECL_ACT_UPDATE_MANY) {
      ecl_work_check_update (reader, one, ECL_ARG_UPDATE, true);
   } else if (one->kind == ECL_ACT_REPLACE_ONE) {
      ecl_work_check_update (reader, one, ECL_ARG_REPLACEMENT, false);
   }
   return true;
}

static void
read_bulk (ecl_work_reader_t *reader, ecl_act_t *act)
{
   const ecl_field_t *list = &act->args[ECL_ARG_OPERATIONS];
   ecl_field_t entry;
   ecl_iter_t iter;
   ecl_act_t *acts;
   size_t n = 0;

   if (!ecl_is_array (&list->value)) {
      return;
   }
   acts = ecl_arena_array (&reader->project->arena, ecl_act_t, ecl_array_count (&list->value) + 1);
   ecl_iter_init (&iter, &list->value);
   while (ecl_iter_field (&iter, &entry)) {
      n += read_operation (reader, act, &entry, &acts[n]);
   }
   act->acts = acts;
   act->n_acts = n;
}

/* What stands in a step: its name, and the parts beside it. What is not there has no key. */
typedef struct {
   ecl_field_t name, let, body, unless, reason, database;
} parts_t;

/* False after a report. */
static bool
find_parts (ecl_work_reader_t *reader, const ecl_field_t *entry, parts_t *parts)
{
   ecl_act_kind_t kind;
   ecl_field_t field;
   ecl_iter_t iter;
   bool good = true;

   memset (parts, 0, sizeof *parts);
   ecl_iter_init (&iter, &entry->value);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "let")) {
         parts->let = field;
      } else if (ecl_key_is (&field, "do")) {
         parts->body = field;
      } else if (ecl_key_is (&field, "unless")) {
         parts->unless = field;
      } else if (ecl_key_is (&field, "repeatable")) {
         parts->reason = field;
      } else if (ecl_key_is (&field, "database")) {
         parts->database = field;
      } else if (!find_kind (&field, &kind)) {
         unknown_act (reader, &field);
         good = false;
      } else if (parts->name.key) {
         ecl_work_error (reader, ecl_at (&field), "two names in one step: \"%.*s\" and \"%.*s\"",
                         (int) parts->name.key_len, parts->name.key, (int) field.key_len, field.key);
         good = false;
      } else {
         parts->name = field;
      }
   }
   if (good && !parts->name.key) {
      ecl_work_error (reader, ecl_at (entry), "the step has no name");
   }
   return good;
}

/* The parts beside the act's name are found first: they say how the rest is read. */
static void
read_act (ecl_work_reader_t *reader, const ecl_field_t *entry, ecl_act_t *act)
{
   ecl_field_t field;
   ecl_field_t *args = ecl_arena_array (&reader->project->arena, ecl_field_t, ECL_ARG_COUNT_OF);
   ecl_iter_t iter;
   parts_t parts;
   bool good;

   memset (args, 0, ECL_ARG_COUNT_OF * sizeof *args);
   memset (act, 0, sizeof *act);
   act->at = ecl_at (entry);
   act->args = args;
   if (!ecl_is_document (&entry->value)) {
      ecl_work_error (reader, ecl_at (entry), "a step must be {NAME: {…}}, found %s",
                      ecl_type_name (entry->value.type));
      return;
   }
   good = find_parts (reader, entry, &parts);
   if (!parts.name.key) {
      return;
   }
   find_kind (&parts.name, &act->kind);
   act->at = ecl_at (&parts.name);
   act->spec = parts.name.value;
   if (parts.reason.key) {
      act->repeatable = read_reason (reader, &parts.reason);
   }
   if (parts.unless.key) {
      read_unless (reader, act, &parts.unless);
   }
   if (parts.database.key) {
      read_database (reader, act, &parts.database);
   }
   if (act->kind != ECL_ACT_FOREACH && (parts.let.key || parts.body.key)) {
      ecl_work_error (reader, ecl_at (parts.let.key ? &parts.let : &parts.body), "%s goes with foreach",
                      parts.let.key ? "let" : "do");
   }
   if (reader->foreach && !ecl_act_is_statement (act->kind) && act->kind != ECL_ACT_FOREACH &&
       act->kind != ECL_ACT_TRANSACTION) {
      ecl_work_error (reader, act->at, "%s cannot stand in do, which takes statements on documents",
                      ecl_act_name (act->kind));
      return;
   }
   if (act->kind == ECL_ACT_TRANSACTION) {
      read_transaction (reader, act, &parts.name);
      return;
   }
   if (!ecl_is_document (&parts.name.value)) {
      reader->ok = ecl_project_wrong_type (reader->text, reader->diags, &parts.name, "a mapping");
      return;
   }
   if (act->kind != ECL_ACT_COMMAND) {
      ecl_work_read_args (reader, act);
      ecl_work_check_args (reader, act);
   } else if (!ecl_iter_field ((ecl_iter_init (&iter, &act->spec), &iter), &field)) {
      ecl_work_error (reader, act->at, "the command is empty");
      return;
   }
   if (act->kind == ECL_ACT_BULK_WRITE) {
      read_bulk (reader, act);
   }
   if (act->kind == ECL_ACT_FOREACH) {
      ecl_work_read_foreach (reader, act, &parts.let, &parts.body);
   }
   if (good && reader->ok) {
      ecl_work_lint (reader, act);
   }
}

void
ecl_work_read_acts (ecl_work_reader_t *reader, const ecl_field_t *list, const ecl_act_t **acts, size_t *n)
{
   ecl_act_t *all;
   ecl_field_t entry;
   ecl_iter_t iter;
   size_t i = 0;

   *acts = NULL;
   *n = 0;
   if (!ecl_is_array (&list->value)) {
      reader->ok = ecl_project_wrong_type (reader->text, reader->diags, list, "a list of steps");
      return;
   }
   all = ecl_arena_array (&reader->project->arena, ecl_act_t, ecl_array_count (&list->value) + 1);
   ecl_iter_init (&iter, &list->value);
   while (ecl_iter_field (&iter, &entry)) {
      bool before = reader->ok;

      reader->ok = true; /* so that lint looks at each step that can be read */
      read_act (reader, &entry, &all[i++]);
      reader->ok &= before;
   }
   *acts = all;
   *n = i;
}
