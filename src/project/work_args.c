/* Database migrations: what stands in an act, of the right type and together with what it needs. See work.h. */
#include "project/work-private.h"

#include "base/suggest.h"

const char *
ecl_work_copy_text (ecl_work_reader_t *reader, const ecl_value_t *value)
{
   return ecl_arena_strndup (&reader->project->arena, value->u.str, value->len);
}

bool
ecl_work_read_text (ecl_work_reader_t *reader, const ecl_field_t *field, const char **out)
{
   if (!ecl_is_string (&field->value)) {
      return reader->ok = ecl_project_wrong_type (reader->text, reader->diags, field, "a string");
   }
   *out = ecl_work_copy_text (reader, &field->value);
   return true;
}

const char *
ecl_work_describe_types (unsigned takes)
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

bool
ecl_work_fits (unsigned takes, const ecl_value_t *value)
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
void
ecl_work_check_collection (ecl_work_reader_t *reader, const ecl_field_t *field)
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

void
ecl_work_read_args (ecl_work_reader_t *reader, ecl_act_t *act)
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
      } else if (!ecl_work_fits (arg->takes, &field.value) &&
                 (names_collection (act->kind, arg->arg) || !ecl_work_is_let (reader->foreach, &field.value, NULL))) {
         reader->ok =
            ecl_project_wrong_type (reader->text, reader->diags, &field, ecl_work_describe_types (arg->takes));
      } else {
         args[arg->arg] = field;
         if (names_collection (act->kind, arg->arg)) {
            ecl_work_check_collection (reader, &field);
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
void
ecl_work_check_update (ecl_work_reader_t *reader, const ecl_act_t *act, ecl_arg_t arg, bool operators)
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

void
ecl_work_check_args (ecl_work_reader_t *reader, ecl_act_t *act)
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
      ecl_work_check_update (reader, act, ECL_ARG_UPDATE, true);
      break;
   case ECL_ACT_UPDATE_ONE:
      ecl_work_check_update (reader, act, ECL_ARG_UPDATE, true);
      break;
   case ECL_ACT_REPLACE_ONE:
      ecl_work_check_update (reader, act, ECL_ARG_REPLACEMENT, false);
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
      if (act->args[ECL_ARG_MIXED].key && act->args[ECL_ARG_FILTER].key) {
         ecl_work_error (reader, ecl_at (&act->args[ECL_ARG_MIXED]),
                         "mixed goes with a schema; a filter is for all versions");
      }
      break;
   case ECL_ACT_BACKFILL:
      one_of (reader, act, ECL_ARG_MODE, modes, "auto, pushdown or client");
      break;
   case ECL_ACT_WAIT:
      if (!act->args[ECL_ARG_COLLECTION].key != !act->args[ECL_ARG_FILTER].key ||
          (!act->args[ECL_ARG_FILTER].key && !act->args[ECL_ARG_SECONDS].key)) {
         ecl_work_error (reader, act->at,
                         "wait needs collection and filter, to wait until no document matches, or seconds alone");
      }
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
