/* Database migrations: a file, its name, and its parts. See work.h. */
#include "project/work-private.h"

#include "base/suggest.h"
#include "mql/plan.h"

#include <stdlib.h>

static const char *const file_keys[] = {"description", "up", "down", "transaction", "repeatable", NULL};

static void
read_acts (ecl_work_reader_t *reader, const ecl_field_t *list, const ecl_act_t **acts, size_t *n);

/* ---- small parts ---- */

static const char *
copy_text (ecl_work_reader_t *reader, const ecl_value_t *value)
{
   return ecl_arena_strndup (&reader->project->arena, value->u.str, value->len);
}

static bool
read_text (ecl_work_reader_t *reader, const ecl_field_t *field, const char **out)
{
   if (!ecl_is_string (&field->value)) {
      return reader->ok = ecl_project_wrong_type (reader->text, reader->diags, field, "a string");
   }
   *out = copy_text (reader, &field->value);
   return true;
}

/* The reason why something may be repeated: it begins with "because", so that a bare `true` does not come to be. */
static const char *
read_reason (ecl_work_reader_t *reader, const ecl_field_t *field)
{
   const char *reason = NULL;

   if (!ecl_is_string (&field->value) || field->value.len < 12 || memcmp (field->value.u.str, "because ", 8) != 0) {
      ecl_work_error (reader, ecl_at (field), "repeatable takes the reason: \"because …\"");
      return "because";
   }
   read_text (reader, field, &reason);
   return reason;
}

bool
ecl_work_is_let (const ecl_act_t *foreach, const ecl_value_t *value, const ecl_let_t **let)
{
   if (!foreach || !ecl_is_string (value) || value->len < 3 || memcmp (value->u.str, "$$", 2) != 0) {
      return false;
   }
   for (size_t i = 0; i < foreach->n_lets; i++) {
      if (strlen (foreach->lets[i].name) == value->len - 2 &&
          memcmp (foreach->lets[i].name, value->u.str + 2, value->len - 2) == 0) {
         if (let) {
            *let = &foreach->lets[i];
         }
         return true;
      }
   }
   return false;
}

static const char *
describe_types (unsigned takes)
{
   switch (takes) {
   case ECL_TAKES_DOCUMENT:
      return "a mapping";
   case ECL_TAKES_ARRAY:
      return "a list";
   case ECL_TAKES_STRING:
      return "a string";
   case ECL_TAKES_BOOL:
      return "true or false";
   case ECL_TAKES_WHOLE:
      return "a whole number";
   case ECL_TAKES_WHOLE | ECL_TAKES_STRING:
      return "a version";
   default:
      return "a mapping or a list";
   }
}

static bool
fits (unsigned takes, const ecl_value_t *value)
{
   switch (value->type) {
   case BSON_TYPE_DOCUMENT:
      return takes & ECL_TAKES_DOCUMENT;
   case BSON_TYPE_ARRAY:
      return takes & ECL_TAKES_ARRAY;
   case BSON_TYPE_UTF8:
      return takes & ECL_TAKES_STRING;
   case BSON_TYPE_BOOL:
      return takes & ECL_TAKES_BOOL;
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
      return (takes & ECL_TAKES_WHOLE) && value->u.i64 >= 0;
   default:
      return false;
   }
}

/* Collections that a file may name: all but eclose's own and the server's. */
static void
check_collection (ecl_work_reader_t *reader, const ecl_field_t *field)
{
   const char *bad = ecl_project_bad_collection (field->value.u.str, field->value.len);

   if (bad) {
      ecl_work_error (reader, ecl_at (field), "\"%.*s\" cannot be a collection's name here: %s", (int) field->value.len,
                      field->value.u.str, bad);
   }
}

static bool
names_collection (ecl_act_kind_t kind, ecl_arg_t arg)
{
   return arg == ECL_ARG_COLLECTION || arg == ECL_ARG_AGGREGATE || arg == ECL_ARG_FIND ||
          (kind == ECL_ACT_RENAME_COLLECTION && (arg == ECL_ARG_FROM || arg == ECL_ARG_TO));
}

/* ---- what stands in an act ---- */

static void
unknown_arg (ecl_work_reader_t *reader, ecl_act_kind_t kind, const ecl_field_t *field)
{
   const char *known[16], *meant;
   size_t n = 0;

   for (const ecl_act_arg_t *arg = ecl_act_args (kind); arg->takes; arg++) {
      known[n++] = ecl_arg_name (arg->arg);
   }
   known[n] = NULL;
   meant = ecl_suggest (field->key, field->key_len, known);
   ecl_work_error (reader, ecl_at (field), "%s takes no \"%.*s\"%s%s%s", ecl_act_name (kind), (int) field->key_len,
                   field->key, meant ? "; did you mean \"" : "", meant ? meant : "", meant ? "\"?" : "");
}

static void
read_args (ecl_work_reader_t *reader, ecl_act_t *act)
{
   ecl_field_t *args = (ecl_field_t *) act->args, field;
   ecl_iter_t iter;

   ecl_iter_init (&iter, &act->spec);
   while (ecl_iter_field (&iter, &field)) {
      const ecl_act_arg_t *arg = ecl_act_args (act->kind);

      while (arg->takes && !ecl_key_is (&field, ecl_arg_name (arg->arg))) {
         arg++;
      }
      if (!arg->takes) {
         unknown_arg (reader, act->kind, &field);
      } else if (!fits (arg->takes, &field.value) &&
                 (names_collection (act->kind, arg->arg) || !ecl_work_is_let (reader->foreach, &field.value, NULL))) {
         reader->ok = ecl_project_wrong_type (reader->text, reader->diags, &field, describe_types (arg->takes));
      } else {
         args[arg->arg] = field;
         if (names_collection (act->kind, arg->arg)) {
            check_collection (reader, &field);
         }
      }
   }
   for (const ecl_act_arg_t *arg = ecl_act_args (act->kind); arg->takes; arg++) {
      if (arg->required && !args[arg->arg].key &&
          !ecl_document_get (&act->spec, ecl_arg_name (arg->arg), strlen (ecl_arg_name (arg->arg))).type) {
         ecl_work_error (reader, act->at, "%s needs %s", ecl_act_name (act->kind), ecl_arg_name (arg->arg));
      }
   }
}

/* Exactly one of two. */
static void
need_one (ecl_work_reader_t *reader, const ecl_act_t *act, ecl_arg_t a, ecl_arg_t b)
{
   if (!act->args[a].key == !act->args[b].key) {
      ecl_work_error (reader, act->at, "%s needs %s %s or %s", ecl_act_name (act->kind),
                      act->args[a].key ? "only one of" : "either", ecl_arg_name (a), ecl_arg_name (b));
   }
}

static void
one_of (ecl_work_reader_t *reader, const ecl_act_t *act, ecl_arg_t arg, const char *const *words, const char *list)
{
   const ecl_value_t *value = ecl_act_arg (act, arg);

   if (act->args[arg].key && ecl_is_string (value)) {
      for (; *words; words++) {
         if (strlen (*words) == value->len && memcmp (*words, value->u.str, value->len) == 0) {
            return;
         }
      }
      ecl_work_error (reader, ecl_at (&act->args[arg]), "%s must be %s", ecl_arg_name (arg), list);
   }
}

static void
check_list_of_documents (ecl_work_reader_t *reader, const ecl_act_t *act, ecl_arg_t arg, const char *what)
{
   ecl_field_t item;
   ecl_iter_t iter;

   if (ecl_is_array (ecl_act_arg (act, arg))) {
      ecl_iter_init (&iter, ecl_act_arg (act, arg));
      while (ecl_iter_field (&iter, &item)) {
         if (!ecl_is_document (&item.value) && !ecl_work_is_let (reader->foreach, &item.value, NULL)) {
            ecl_work_error (reader, ecl_at (&item), "%s must be a mapping, found %s", what,
                            ecl_type_name (item.value.type));
         }
      }
   }
}

/* An update of operators has nothing else; a replacement has none. Otherwise a forgotten $set replaces documents. */
static void
check_update (ecl_work_reader_t *reader, const ecl_act_t *act, ecl_arg_t arg, bool operators)
{
   ecl_field_t field;
   ecl_iter_t iter;
   size_t n = 0;

   if (!ecl_is_document (ecl_act_arg (act, arg))) {
      return;
   }
   ecl_iter_init (&iter, ecl_act_arg (act, arg));
   for (; ecl_iter_field (&iter, &field); n++) {
      if ((field.key_len && field.key[0] == '$') != operators) {
         ecl_work_error (reader, ecl_at (&field),
                         operators ? "%s takes operators such as $set, found \"%.*s\"; replaceOne replaces documents"
                                   : "%s takes a whole document, found the operator %.*s; updateOne takes those",
                         ecl_act_name (act->kind), (int) field.key_len, field.key);
      }
   }
   if (operators && !n) {
      ecl_work_error (reader, ecl_at (&act->args[arg]), "the update says nothing to change");
   }
}

/* The last stage writes, and no other can. */
static void
check_aggregate (ecl_work_reader_t *reader, const ecl_act_t *act)
{
   ecl_field_t stage, name = {0}, last = {0};
   ecl_iter_t iter, inner;

   if (!ecl_is_array (ecl_act_arg (act, ECL_ARG_PIPELINE))) {
      return;
   }
   ecl_iter_init (&iter, ecl_act_arg (act, ECL_ARG_PIPELINE));
   while (ecl_iter_field (&iter, &stage)) {
      last = stage;
   }
   if (last.key && ecl_is_document (&last.value)) {
      ecl_iter_init (&inner, &last.value);
      if (!ecl_iter_field (&inner, &name)) {
         name.key = NULL;
      }
   }
   if (!name.key || (!ecl_key_is (&name, "$merge") && !ecl_key_is (&name, "$out"))) {
      ecl_work_error (reader, last.key ? ecl_at (&last) : act->at,
                      "aggregate is there to write: its last stage must be $merge or $out");
   }
}

static void
check_act (ecl_work_reader_t *reader, ecl_act_t *act)
{
   static const char *const levels[] = {"strict", "moderate", "off", NULL};
   static const char *const actions[] = {"error", "warn", NULL};
   static const char *const modes[] = {"auto", "pushdown", "client", NULL};

   switch (act->kind) {
   case ECL_ACT_INSERT:
      need_one (reader, act, ECL_ARG_DOCUMENT, ECL_ARG_DOCUMENTS);
      check_list_of_documents (reader, act, ECL_ARG_DOCUMENTS, "a document");
      break;
   case ECL_ACT_UPDATE_MANY:
      if (!reader->foreach && !reader->transaction && !ecl_act_flag (act, ECL_ARG_AT_ONCE) &&
          (act->args[ECL_ARG_UPSERT].key || act->args[ECL_ARG_COLLATION].key)) {
         ecl_work_error (reader, act->at,
                         "updateMany goes by ranges of _id, where %s has no meaning; at_once: true sends it whole",
                         act->args[ECL_ARG_UPSERT].key ? "upsert" : "collation");
      }
      check_update (reader, act, ECL_ARG_UPDATE, true);
      break;
   case ECL_ACT_UPDATE_ONE:
      check_update (reader, act, ECL_ARG_UPDATE, true);
      break;
   case ECL_ACT_REPLACE_ONE:
      check_update (reader, act, ECL_ARG_REPLACEMENT, false);
      break;
   case ECL_ACT_DELETE_MANY:
      if (!reader->foreach && !reader->transaction && !ecl_act_flag (act, ECL_ARG_AT_ONCE) &&
          act->args[ECL_ARG_COLLATION].key) {
         ecl_work_error (
            reader, act->at,
            "deleteMany goes by ranges of _id, where collation has no meaning; at_once: true sends it whole");
      }
      break;
   case ECL_ACT_AGGREGATE:
      check_aggregate (reader, act);
      break;
   case ECL_ACT_DROP_INDEX:
      need_one (reader, act, ECL_ARG_KEYS, ECL_ARG_INDEX);
      break;
   case ECL_ACT_VALIDATOR:
      one_of (reader, act, ECL_ARG_LEVEL, levels, "strict, moderate or off");
      one_of (reader, act, ECL_ARG_ACTION, actions, "error or warn");
      if (act->args[ECL_ARG_SCHEMA].key && act->args[ECL_ARG_FILTER].key) {
         need_one (reader, act, ECL_ARG_SCHEMA, ECL_ARG_FILTER);
      }
      break;
   case ECL_ACT_BACKFILL:
      one_of (reader, act, ECL_ARG_MODE, modes, "auto, pushdown or client");
      break;
   case ECL_ACT_ASSERT:
      if (!act->args[ECL_ARG_COUNT].key == !(act->args[ECL_ARG_MIN].key || act->args[ECL_ARG_MAX].key)) {
         ecl_work_error (reader, act->at, "assert needs either count, or min and max or one of them");
      }
      break;
   case ECL_ACT_FOREACH:
      need_one (reader, act, ECL_ARG_AGGREGATE, ECL_ARG_FIND);
      for (int arg = ECL_ARG_PROJECTION; act->args[ECL_ARG_AGGREGATE].key && arg <= ECL_ARG_SORT; arg++) {
         if (act->args[arg].key) {
            ecl_work_error (reader, ecl_at (&act->args[arg]), "%s goes with find; of an aggregate it is a stage",
                            ecl_arg_name ((ecl_arg_t) arg));
         }
      }
      if (act->args[ECL_ARG_AGGREGATE].key && !act->args[ECL_ARG_PIPELINE].key) {
         ecl_work_error (reader, act->at, "foreach with aggregate needs pipeline");
      }
      if (act->args[ECL_ARG_AGGREGATE].key && act->args[ECL_ARG_FILTER].key) {
         ecl_work_error (reader, ecl_at (&act->args[ECL_ARG_FILTER]),
                         "filter goes with find; of an aggregate it is a stage");
      }
      if (act->args[ECL_ARG_FIND].key && act->args[ECL_ARG_PIPELINE].key) {
         ecl_work_error (reader, ecl_at (&act->args[ECL_ARG_PIPELINE]), "pipeline goes with aggregate");
      }
      break;
   default:
      break;
   }
}

/* ---- foreach ---- */

static bool
is_let_name (const ecl_field_t *field)
{
   if (!field->key_len || field->key_len > 60 || field->key[0] < 'a' || field->key[0] > 'z') {
      return false;
   }
   for (uint32_t i = 1; i < field->key_len; i++) {
      char c = field->key[i];

      if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) {
         return false;
      }
   }
   return true;
}

static void
report_expression (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   ecl_work_reader_t *reader = context;

   reader->ok = ecl_text_diag (reader->text, reader->diags, ECL_DIAG_ERROR, ECL_DOMAIN_MQL, code,
                               at ? at : reader->text->doc, "%s", message);
}

static void
check_expression (ecl_work_reader_t *reader, const ecl_field_t *spec)
{
   ecl_arena_t arena;
   ecl_parse_t parse;
   ecl_eval_t folder;

   ecl_arena_init (&arena);
   ecl_eval_init (&folder);
   ecl_parse_init (&parse, &arena, &folder, report_expression, reader);
   (void) ecl_parse_expr (&parse, spec);
   ecl_eval_cleanup (&folder);
   ecl_arena_cleanup (&arena);
}

static void
read_lets (ecl_work_reader_t *reader, ecl_act_t *act, const ecl_field_t *spec)
{
   ecl_field_t field;
   ecl_let_t *lets;
   ecl_iter_t iter;
   size_t n = 0;

   if (!ecl_is_document (&spec->value)) {
      reader->ok = ecl_project_wrong_type (reader->text, reader->diags, spec, "a mapping of names to expressions");
      return;
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      n++;
   }
   lets = ecl_arena_array (&reader->project->arena, ecl_let_t, n + 1);
   n = 0;
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      if (!is_let_name (&field)) {
         ecl_work_error (reader, ecl_at (&field),
                         "a name of let begins with a small letter and goes on with letters, digits and _");
         continue;
      }
      check_expression (reader, &field);
      lets[n++] = (ecl_let_t){ecl_arena_strndup (&reader->project->arena, field.key, field.key_len), field};
   }
   act->lets = lets;
   act->n_lets = n;
}

/* Outside of expressions a "$$name" that is no `let` would be written as it stands: surely a slip. */
static void
check_names (ecl_work_reader_t *reader, const ecl_field_t *field, bool expression)
{
   ecl_field_t child;
   ecl_iter_t iter;

   if (ecl_is_string (&field->value) && !expression && field->value.len > 2 &&
       memcmp (field->value.u.str, "$$", 2) == 0 && !ecl_work_is_let (reader->foreach, &field->value, NULL)) {
      ecl_work_error (reader, ecl_at (field),
                      "\"%.*s\" is no name of this foreach's let, and would be taken as it stands",
                      (int) field->value.len, field->value.u.str);
   }
   if (ecl_is_document (&field->value) || ecl_is_array (&field->value)) {
      ecl_iter_init (&iter, &field->value);
      while (ecl_iter_field (&iter, &child)) {
         bool pipeline = ecl_key_is (&child, "update") && ecl_is_array (&child.value);

         check_names (reader, &child, expression || pipeline || ecl_key_is (&child, "$expr"));
      }
   }
}

static void
read_foreach (ecl_work_reader_t *reader, ecl_act_t *act, const ecl_field_t *let, const ecl_field_t *body)
{
   const ecl_act_t *outer = reader->foreach;

   if (outer) {
      ecl_work_error (reader, act->at,
                      "a foreach in a foreach is not supported: join in its query, with $unwind or $lookup");
      return;
   }
   if (let->key) {
      read_lets (reader, act, let);
   }
   if (!body->key || !ecl_is_array (&body->value) || !ecl_array_count (&body->value)) {
      ecl_work_error (reader, body->key ? ecl_at (body) : act->at, "foreach needs do: a list of statements");
      return;
   }
   reader->foreach = act;
   check_names (reader, body, false);
   read_acts (reader, body, &act->acts, &act->n_acts);
   reader->foreach = outer;
}

/* ---- acts ---- */

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
   const char *known[ECL_ACT_KINDS + 5] = {"repeatable", "unless", "let", "do"}, *meant;

   for (int i = 0; i < ECL_ACT_KINDS; i++) {
      known[4 + i] = ecl_act_name ((ecl_act_kind_t) i);
   }
   known[4 + ECL_ACT_KINDS] = NULL;
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
   check_collection (reader, &collection);
   act->unless_collection = copy_text (reader, &collection.value);
   act->unless_filter = filter.value;
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
   read_acts (reader, field, &act->acts, &act->n_acts);
   reader->transaction = outer;
}

static void
read_bulk (ecl_work_reader_t *reader, ecl_act_t *act)
{
   const ecl_field_t *list = &act->args[ECL_ARG_OPERATIONS];
   ecl_field_t entry, op;
   ecl_iter_t iter, inner;
   ecl_act_t *acts;
   size_t n = 0;

   if (!ecl_is_array (&list->value)) {
      return;
   }
   acts = ecl_arena_array (&reader->project->arena, ecl_act_t, ecl_array_count (&list->value) + 1);
   ecl_iter_init (&iter, &list->value);
   while (ecl_iter_field (&iter, &entry)) {
      ecl_act_t *one = &acts[n];
      ecl_field_t *args = ecl_arena_array (&reader->project->arena, ecl_field_t, ECL_ARG_COUNT_OF), more;
      static const char insert[] = "insertOne";

      memset (one, 0, sizeof *one);
      memset (args, 0, ECL_ARG_COUNT_OF * sizeof *args);
      one->args = args;
      one->at = ecl_at (&entry);
      if (!ecl_is_document (&entry.value)) {
         ecl_work_error (reader, one->at, "an operation must be {NAME: {…}}");
         continue;
      }
      ecl_iter_init (&inner, &entry.value);
      if (!ecl_iter_field (&inner, &op) || ecl_iter_field (&inner, &more) || !ecl_is_document (&op.value)) {
         ecl_work_error (reader, one->at, "an operation must be {NAME: {…}}, with one name");
         continue;
      }
      if (ecl_key_is (&op, insert)) {
         one->kind = ECL_ACT_INSERT;
      } else if (ecl_key_is (&op, "insert") || !find_kind (&op, &one->kind) || !ecl_act_in_bulk (one->kind)) {
         ecl_work_error (reader, ecl_at (&op),
                         "unknown operation \"%.*s\": expected insertOne, updateOne, updateMany, replaceOne, deleteOne "
                         "or deleteMany",
                         (int) op.key_len, op.key);
         continue;
      }
      one->at = ecl_at (&op);
      one->spec = op.value;
      one->repeatable = act->repeatable;
      args[ECL_ARG_COLLECTION] = act->args[ECL_ARG_COLLECTION];
      /* The bulk names the collection, and all of it goes at once. */
      ecl_iter_init (&inner, &op.value);
      while (ecl_iter_field (&inner, &more)) {
         const ecl_act_arg_t *arg = ecl_act_args (one->kind);

         while (arg->takes && !ecl_key_is (&more, ecl_arg_name (arg->arg))) {
            arg++;
         }
         if (!arg->takes || arg->arg == ECL_ARG_COLLECTION || arg->arg == ECL_ARG_AT_ONCE ||
             arg->arg == ECL_ARG_DOCUMENTS) {
            ecl_work_error (reader, ecl_at (&more), "%.*s takes no \"%.*s\" in a bulkWrite", (int) op.key_len, op.key,
                            (int) more.key_len, more.key);
         } else if (!fits (arg->takes, &more.value) && !ecl_work_is_let (reader->foreach, &more.value, NULL)) {
            reader->ok = ecl_project_wrong_type (reader->text, reader->diags, &more, describe_types (arg->takes));
         } else {
            args[arg->arg] = more;
         }
      }
      for (const ecl_act_arg_t *arg = ecl_act_args (one->kind); arg->takes; arg++) {
         if ((arg->required || arg->arg == ECL_ARG_DOCUMENT) && !args[arg->arg].key) {
            ecl_work_error (reader, one->at, "%.*s needs %s", (int) op.key_len, op.key, ecl_arg_name (arg->arg));
         }
      }
      if (one->kind == ECL_ACT_UPDATE_ONE || one->kind == ECL_ACT_UPDATE_MANY) {
         check_update (reader, one, ECL_ARG_UPDATE, true);
      } else if (one->kind == ECL_ACT_REPLACE_ONE) {
         check_update (reader, one, ECL_ARG_REPLACEMENT, false);
      }
      n++;
   }
   act->acts = acts;
   act->n_acts = n;
}

/* The parts beside the act's name are found first: they say how the rest is read. */
static void
read_act (ecl_work_reader_t *reader, const ecl_field_t *entry, ecl_act_t *act)
{
   ecl_field_t field, name = {0}, let = {0}, body = {0}, unless = {0}, reason = {0};
   ecl_field_t *args = ecl_arena_array (&reader->project->arena, ecl_field_t, ECL_ARG_COUNT_OF);
   bool good = true;
   ecl_iter_t iter;

   memset (args, 0, ECL_ARG_COUNT_OF * sizeof *args);
   memset (act, 0, sizeof *act);
   act->at = ecl_at (entry);
   act->args = args;
   if (!ecl_is_document (&entry->value)) {
      ecl_work_error (reader, ecl_at (entry), "a step must be {NAME: {…}}, found %s",
                      ecl_type_name (entry->value.type));
      return;
   }
   ecl_iter_init (&iter, &entry->value);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "let")) {
         let = field;
      } else if (ecl_key_is (&field, "do")) {
         body = field;
      } else if (ecl_key_is (&field, "unless")) {
         unless = field;
      } else if (ecl_key_is (&field, "repeatable")) {
         reason = field;
      } else if (!find_kind (&field, &act->kind)) {
         unknown_act (reader, &field);
         good = false;
      } else if (name.key) {
         ecl_work_error (reader, ecl_at (&field), "two names in one step: \"%.*s\" and \"%.*s\"", (int) name.key_len,
                         name.key, (int) field.key_len, field.key);
         good = false;
      } else {
         name = field;
      }
   }
   if (!name.key) {
      if (good) {
         ecl_work_error (reader, act->at, "the step has no name");
      }
      return;
   }
   find_kind (&name, &act->kind);
   act->at = ecl_at (&name);
   act->spec = name.value;
   if (reason.key) {
      act->repeatable = read_reason (reader, &reason);
   }
   if (unless.key) {
      read_unless (reader, act, &unless);
   }
   if (act->kind != ECL_ACT_FOREACH && (let.key || body.key)) {
      ecl_work_error (reader, ecl_at (let.key ? &let : &body), "%s goes with foreach", let.key ? "let" : "do");
   }
   if (reader->foreach && !ecl_act_is_statement (act->kind) && act->kind != ECL_ACT_FOREACH &&
       act->kind != ECL_ACT_TRANSACTION) {
      ecl_work_error (reader, act->at, "%s cannot stand in do, which takes statements on documents",
                      ecl_act_name (act->kind));
      return;
   }
   if (act->kind == ECL_ACT_TRANSACTION) {
      read_transaction (reader, act, &name);
      return;
   }
   if (!ecl_is_document (&name.value)) {
      reader->ok = ecl_project_wrong_type (reader->text, reader->diags, &name, "a mapping");
      return;
   }
   if (act->kind != ECL_ACT_COMMAND) {
      read_args (reader, act);
      check_act (reader, act);
   } else if (!ecl_iter_field ((ecl_iter_init (&iter, &act->spec), &iter), &field)) {
      ecl_work_error (reader, act->at, "the command is empty");
      return;
   }
   if (act->kind == ECL_ACT_BULK_WRITE) {
      read_bulk (reader, act);
   }
   if (act->kind == ECL_ACT_FOREACH) {
      read_foreach (reader, act, &let, &body);
   }
   if (good && reader->ok) {
      ecl_work_lint (reader, act);
   }
}

static void
read_acts (ecl_work_reader_t *reader, const ecl_field_t *list, const ecl_act_t **acts, size_t *n)
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

/* ---- files ---- */

static void
read_way (ecl_work_reader_t *reader, const ecl_field_t *field, const ecl_field_t *transaction, ecl_work_way_t *way)
{
   bool all = transaction->key && transaction->value.type == BSON_TYPE_BOOL && transaction->value.u.i64;
   ecl_act_t *whole;

   if (ecl_key_is (field, "down") && ecl_is_string (&field->value) && field->value.len == 12 &&
       memcmp (field->value.u.str, "irreversible", 12) == 0) {
      way->kind = ECL_WORK_IRREVERSIBLE;
      return;
   }
   reader->down = ecl_key_is (field, "down");
   reader->transaction = all ? ecl_at (transaction) : NULL;
   read_acts (reader, field, &way->acts, &way->n_acts);
   reader->transaction = NULL;
   way->kind = ECL_WORK_ACTS;
   if (all && way->n_acts) {
      /* All steps in one transaction are one step. */
      whole = ecl_arena_new (&reader->project->arena, ecl_act_t);
      *whole = (ecl_act_t){.kind = ECL_ACT_TRANSACTION,
                           .at = ecl_at (transaction),
                           .spec = field->value,
                           .args = memset (ecl_arena_array (&reader->project->arena, ecl_field_t, ECL_ARG_COUNT_OF), 0,
                                           ECL_ARG_COUNT_OF * sizeof (ecl_field_t)),
                           .acts = way->acts,
                           .n_acts = way->n_acts};
      way->acts = whole;
      way->n_acts = 1;
   }
}

static void
read_file (ecl_work_reader_t *reader)
{
   ecl_value_t root = ecl_raw_document (reader->text->doc, reader->text->len);
   ecl_field_t field, up = {0}, down = {0}, transaction = {0};
   ecl_iter_t iter;

   ecl_iter_init (&iter, &root);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "description")) {
         read_text (reader, &field, &reader->work->description);
      } else if (ecl_key_is (&field, "up")) {
         up = field;
      } else if (ecl_key_is (&field, "down")) {
         down = field;
      } else if (ecl_key_is (&field, "transaction")) {
         transaction = field;
         if (field.value.type != BSON_TYPE_BOOL) {
            reader->ok = ecl_project_wrong_type (reader->text, reader->diags, &field, "true or false");
         }
      } else if (ecl_key_is (&field, "repeatable")) {
         ecl_work_error (reader, ecl_at (&field), "repeatable goes with a step: its reason is about that one");
      } else {
         reader->ok = ecl_project_unknown_key (reader->text, reader->diags, &field, file_keys);
      }
   }
   if (!up.key) {
      ecl_work_error (reader, reader->text->doc, "up is missing");
      return;
   }
   read_way (reader, &up, &transaction, &reader->work->up);
   if (down.key) {
      read_way (reader, &down, &transaction, &reader->work->down);
   }
}

bool
ecl_work_named (const char *base)
{
   size_t digits = strspn (base, "0123456789"), more = 0;

   if (base[digits] == 'T') {
      more = 1 + strspn (base + digits + 1, "0123456789");
   }
   return digits >= 8 && more != 1 && base[digits + more] == '_' && base[digits + more + 1] &&
          base[digits + more + 1] != '.';
}

/* The checksum does not change where git changes line ends. */
static void
make_checksum (const ecl_text_source_t *source, char text[ECL_SHA256_TEXT])
{
   const char *bytes = source->bytes;
   char *plain = bson_malloc (source->len + 1);
   size_t n = 0;

   for (size_t i = 0; i < source->len; i++) {
      if (bytes[i] != '\r' || i + 1 == source->len || bytes[i + 1] != '\n') {
         plain[n++] = bytes[i];
      }
   }
   ecl_sha256_text (plain, n, text);
   bson_free (plain);
}

static ecl_work_t *
new_work (ecl_project_t *self, const char *base, size_t len, const ecl_text_source_t *source)
{
   ecl_work_t *work;

   if (self->n_works == self->cap_works) {
      self->cap_works = self->cap_works ? 2 * self->cap_works : 16;
      self->works = bson_realloc (self->works, self->cap_works * sizeof *self->works);
   }
   work = &self->works[self->n_works++];
   memset (work, 0, sizeof *work);
   work->name = ecl_arena_strndup (&self->arena, base, len);
   work->file = ecl_arena_strndup (&self->arena, source->name, strlen (source->name));
   work->description = "";
   make_checksum (source, work->checksum);
   return work;
}

bool
ecl_work_add (ecl_project_t *self, const char *base, const ecl_text_source_t *source, ecl_diags_t *diags)
{
   const char *ending = strrchr (base, '.');
   ecl_work_reader_t reader = {.project = self, .diags = diags, .ok = true};
   ecl_text_t *text;

   if (!ending || (strcmp (ending, ".yaml") != 0 && strcmp (ending, ".json") != 0)) {
      return ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, source->name, 0, 0, NULL,
                            ending && strcmp (ending, ".yml") == 0
                               ? "end the name in .yaml, not .yml"
                               : "a database migration is a .yaml or .json file, or an executable: chmod +x?");
   }
   text = ecl_project_text (self);
   reader.ok = ecl_text_read (text, source, ECL_TEXT_DEFAULT, diags);
   reader.text = text;
   reader.work = new_work (self, base, (size_t) (ending - base), source);
   reader.work->text = text;
   if (text->doc) {
      read_file (&reader);
   }
   return reader.ok;
}

bool
ecl_project_add_program (ecl_project_t *self, const char *path, const ecl_text_source_t *source, ecl_diags_t *diags)
{
   const char *ending = strrchr (path, '.');
   ecl_work_t *work;

   BSON_ASSERT (!self->linked);
   if (strchr (path, '/') || !ecl_work_named (path)) {
      return ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, source->name, 0, 0, NULL,
                            "an executable is a database migration, whose name is <time>_<name>, such as "
                            "20261122T1000_reindex.py");
   }
   work = new_work (self, path, ending ? (size_t) (ending - path) : strlen (path), source);
   work->up.kind = work->down.kind = ECL_WORK_PROGRAM;
   return true;
}

/* ---- all of them ---- */

static int
compare_works (const void *a, const void *b)
{
   const ecl_work_t *x = a, *y = b;
   int order = strcmp (x->name, y->name);

   return order ? order : strcmp (x->file, y->file);
}

static bool
check_version (const ecl_project_t *self, const ecl_work_t *work, const ecl_act_t *act, ecl_diags_t *diags)
{
   const ecl_value_t *name = ecl_act_arg (act, ECL_ARG_COLLECTION), *to = ecl_act_arg (act, ECL_ARG_TO);
   char collection[256], text[64];
   const ecl_chain_t *chain;
   ecl_version_t version;
   bson_error_t error;

   if (!ecl_is_string (name) || name->len >= sizeof collection) {
      return true; /* reported already */
   }
   snprintf (collection, sizeof collection, "%.*s", (int) name->len, name->u.str);
   chain = ecl_project_chain (self, collection);
   if (!chain) {
      return ecl_project_error (work->text, diags, ECL_ERROR_CHAIN, ecl_at (&act->args[ECL_ARG_COLLECTION]),
                                "the project has no document migrations of \"%s\"", collection);
   }
   if (!act->args[ECL_ARG_TO].key) {
      return true;
   }
   if (ecl_is_string (to)) {
      snprintf (text, sizeof text, "%.*s", (int) to->len, to->u.str);
   } else {
      snprintf (text, sizeof text, "%lld", (long long) to->u.i64);
   }
   return ecl_chain_parse_version (chain, text, &version, &error) ||
          ecl_project_error (work->text, diags, ECL_ERROR_CHAIN, ecl_at (&act->args[ECL_ARG_TO]), "%s", error.message);
}

static bool
check_acts (const ecl_project_t *self, const ecl_work_t *work, const ecl_work_way_t *way, ecl_diags_t *diags)
{
   bool ok = true;

   for (size_t i = 0; i < way->n_acts; i++) {
      const ecl_act_t *act = &way->acts[i];

      if (act->kind == ECL_ACT_BACKFILL || act->kind == ECL_ACT_VERIFY ||
          (act->kind == ECL_ACT_VALIDATOR &&
           (ecl_act_flag (act, ECL_ARG_MIXED) || (!act->args[ECL_ARG_SCHEMA].key && !act->args[ECL_ARG_FILTER].key &&
                                                  !act->args[ECL_ARG_LEVEL].key && !act->args[ECL_ARG_ACTION].key)))) {
         ok &= check_version (self, work, act, diags);
      }
   }
   return ok;
}

bool
ecl_work_link (ecl_project_t *self, ecl_diags_t *diags)
{
   bool ok = true;

   if (self->n_works) {
      qsort (self->works, self->n_works, sizeof *self->works, compare_works);
   }
   for (size_t i = 0; i < self->n_works; i++) {
      const ecl_work_t *work = &self->works[i];

      if (i && strcmp (work->name, work[-1].name) == 0) {
         ok = ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, work->file, 0, 0, NULL,
                             "%s has the same name: endings do not count", work[-1].file);
      }
      /* Both, so that one run shows every problem. */
      ok = check_acts (self, work, &work->up, diags) && ok;
      ok = check_acts (self, work, &work->down, diags) && ok;
   }
   return ok;
}

const ecl_work_t *
ecl_project_works (const ecl_project_t *self, size_t *n)
{
   *n = self->n_works;
   return self->works;
}

const ecl_work_t *
ecl_project_work (const ecl_project_t *self, const char *name)
{
   for (size_t i = 0; i < self->n_works; i++) {
      if (strcmp (self->works[i].name, name) == 0) {
         return &self->works[i];
      }
   }
   return NULL;
}
