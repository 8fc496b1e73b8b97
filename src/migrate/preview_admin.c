/* Preview of steps that are no statement on documents: see preview-private.h. */
#include "migrate/preview-private.h"

#include "backfill/survey.h"
#include "store/store.h"

/* Whether a list of collections or indexes has one of that name or, where keys are not NULL, of these; then *name is
 * what it is called. */
static bool
exists (ecl_previewer_t *self, const char *list, const char *of, const ecl_value_t *keys, const char **name,
        bool *found)
{
   bson_t command = BSON_INITIALIZER, filter, reply;
   bson_iter_t iter, batch;
   const char *why = NULL;
   ecl_counted_t result;

   *found = false;
   if (of) {
      BSON_APPEND_UTF8 (&command, list, of);
   } else {
      BSON_APPEND_INT32 (&command, list, 1);
      BSON_APPEND_DOCUMENT_BEGIN (&command, "filter", &filter);
      BSON_APPEND_UTF8 (&filter, "name", *name);
      bson_append_document_end (&command, &filter);
   }
   result = ecl_preview_ask (self, &command, &reply, &why);
   if (result == ECL_COUNTED && bson_iter_init (&iter, &reply) &&
       bson_iter_find_descendant (&iter, "cursor.firstBatch", &batch) && bson_iter_recurse (&batch, &iter)) {
      while (!*found && bson_iter_next (&iter)) {
         ecl_value_t called = ecl_missing (), key = ecl_missing ();
         bson_t one;

         if (ecl_store_view (&iter, &one)) {
            ecl_value_t entry = ecl_raw_document (bson_get_data (&one), one.len);

            called = ecl_document_get (&entry, "name", 4);
            key = ecl_document_get (&entry, "key", 3);
         }
         *found = ecl_is_string (&called) &&
                  (keys ? ecl_is_document (&key) && ecl_equal (&key, keys) : strcmp (called.u.str, *name) == 0);
         if (*found) {
            *name = ecl_arena_strndup (self->arena, called.u.str, called.len);
         }
      }
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return result != ECL_GONE;
}

/* "into" of the last stage. */
static const char *
target_of (ecl_previewer_t *self, const ecl_value_t *pipeline)
{
   ecl_value_t item, last = ecl_missing (), value;
   ecl_iter_t iter;

   ecl_iter_init (&iter, pipeline);
   while (ecl_iter_item (&iter, &item)) {
      last = item;
   }
   value = ecl_document_get (&last, "$merge", 6);
   value = value.type == ECL_MISSING ? ecl_document_get (&last, "$out", 4) : value;
   if (ecl_is_document (&value)) {
      item = ecl_document_get (&value, "into", 4);
      item = item.type == ECL_MISSING ? value : item;
      value = ecl_is_document (&item) ? ecl_document_get (&item, "coll", 4) : item;
   }
   return ecl_is_string (&value) ? ecl_arena_strndup (self->arena, value.u.str, value.len) : "another collection";
}

bool
ecl_preview_index (ecl_previewer_t *self, const ecl_act_t *act, const char *collection)
{
   bool create = act->kind == ECL_ACT_CREATE_INDEX, there, unique = false;
   ecl_value_t named = ecl_missing ();
   const char *name, *why = NULL;
   int64_t n = 0;

   if (create && act->args[ECL_ARG_OPTIONS].key) {
      ecl_value_t flag = ecl_document_get (ecl_act_arg (act, ECL_ARG_OPTIONS), "unique", 6);

      named = ecl_document_get (ecl_act_arg (act, ECL_ARG_OPTIONS), "name", 4);
      unique = ecl_truthy (&flag);
   }
   name = act->args[ECL_ARG_INDEX].key ? ecl_migrate_text (&self->run, act, ECL_ARG_INDEX)
          : ecl_is_string (&named)     ? ecl_arena_strndup (self->arena, named.u.str, named.len)
                                       : ecl_migrate_index_name (&self->run, ecl_act_arg (act, ECL_ARG_KEYS));
   if (!exists (self, "listIndexes", collection, create ? NULL : ecl_migrate_index_keys (act), &name, &there) ||
       (create && !there && ecl_preview_count (self, collection, NULL, NULL, &n, &why) == ECL_GONE)) {
      return false;
   }
   ecl_preview_tell (self, ECL_PREVIEW_STEP, ecl_act_name (act->kind), collection,
                     create && !there ? n : ECL_PREVIEW_NO_NUMBER, NULL, false,
                     create ? there ? ecl_arena_printf (self->arena, "%s is there already", name)
                                    : ecl_arena_printf (self->arena, "%s, on %s%s", name,
                                                        ecl_preview_number (self, n, "document"),
                                                        unique ? "; fails where two have the same" : "")
                            : ecl_arena_printf (self->arena, there ? "%s" : "%s is not there", name));
   return true;
}

bool
ecl_preview_collection (ecl_previewer_t *self, const ecl_act_t *act, const char *collection)
{
   const char *name = ecl_act_name (act->kind), *to, *why = NULL;
   bool there, target = false;
   int64_t n = 0;

   if (!exists (self, "listCollections", NULL, NULL, &collection, &there) ||
       (there && ecl_preview_count (self, collection, NULL, NULL, &n, &why) == ECL_GONE)) {
      return false;
   }
   if (act->kind == ECL_ACT_CREATE_COLLECTION) {
      ecl_preview_tell (self, ECL_PREVIEW_STEP, name, collection, ECL_PREVIEW_NO_NUMBER, NULL, false,
                        there ? "is there already" : "is new");
   } else if (act->kind == ECL_ACT_DROP_COLLECTION) {
      ecl_preview_tell (self, ECL_PREVIEW_STEP, name, collection, n, NULL, false,
                        there ? ecl_arena_printf (self->arena, "drops %s", ecl_preview_number (self, n, "document"))
                              : "is not there");
   } else {
      to = ecl_migrate_text (&self->run, act, ECL_ARG_TO);
      if (!exists (self, "listCollections", NULL, NULL, &to, &target)) {
         return false;
      }
      target = target && !ecl_act_flag (act, ECL_ARG_DROP_TARGET);
      ecl_preview_tell (self, ECL_PREVIEW_STEP, name, collection, n, NULL, !there || target,
                        ecl_arena_printf (self->arena, "to %s: %s", to,
                                          !there   ? "there is no such collection"
                                          : target ? "there is one of that name already"
                                                   : ecl_preview_number (self, n, "document")));
   }
   return true;
}

bool
ecl_preview_validator (ecl_previewer_t *self, const ecl_act_t *act, const char *collection)
{
   bson_t command = BSON_INITIALIZER, rule, none = BSON_INITIALIZER, list;
   ecl_counted_t result = ECL_COUNTED;
   const char *why = NULL;
   const uint8_t *data;
   bson_iter_t iter;
   uint32_t len;
   int64_t n = ECL_PREVIEW_NO_NUMBER;

   ecl_migrate_validator (&self->run, act, &command);
   if (bson_iter_init_find (&iter, &command, "validator")) {
      ecl_value_t filter;

      bson_iter_document (&iter, &len, &data);
      bson_init_static (&rule, data, len);
      BSON_APPEND_ARRAY_BEGIN (&none, "$nor", &list);
      BSON_APPEND_DOCUMENT (&list, "0", &rule);
      bson_append_array_end (&none, &list);
      filter = ecl_raw_document (bson_get_data (&none), none.len);
      result = ecl_preview_count (self, collection, &filter, NULL, &n, &why);
   }
   if (result != ECL_GONE) {
      ecl_preview_tell (self, ECL_PREVIEW_STEP, ecl_act_name (act->kind), collection, n, NULL, result == ECL_REFUSED,
                        result == ECL_REFUSED        ? ecl_arena_printf (self->arena, "the server refuses it: %s", why)
                        : n == ECL_PREVIEW_NO_NUMBER ? "changes level or action"
                        : n == 0                     ? "every document there is passes"
                                 : ecl_arena_printf (self->arena, "%s would not pass, when written again",
                                                     ecl_preview_number (self, n, "document")));
   }
   bson_destroy (&none);
   bson_destroy (&command);
   return result != ECL_GONE;
}

bool
ecl_preview_backfill (ecl_previewer_t *self, const ecl_act_t *act, const char *collection)
{
   const ecl_chain_t *chain = ecl_project_chain (self->options->project, collection);
   const ecl_value_t *to = ecl_preview_said (act, ECL_ARG_TO);
   char text[ECL_VERSION_TEXT];
   ecl_version_t version;
   ecl_survey_options_t limits = {0};
   ecl_survey_t survey;
   size_t target;
   int64_t n;

   if (!chain) {
      return ecl_fail (self->error, ECL_DOMAIN_RUN, ECL_ERROR_CHAIN, "the project has no document migrations of %s",
                       collection);
   }
   target = chain->n_steps;
   if (to && ecl_is_string (to)) {
      snprintf (text, sizeof text, "%.*s", (int) to->len, to->u.str);
   } else if (to) {
      snprintf (text, sizeof text, "%lld", (long long) to->u.i64);
   }
   if (to &&
       (!ecl_chain_parse_version (chain, text, &version, self->error) || !ecl_chain_index (chain, version, &target))) {
      return false;
   }
   limits.until = self->options->world->now (self->options->world) + self->options->limit;
   if (!ecl_survey_within (self->options->world, self->options->database, chain, target, &limits, self->arena, &survey,
                           self->error)) {
      return false;
   }
   n = survey.late ? ECL_PREVIEW_TOO_SLOW : survey.not_at;
   ecl_preview_tell (self, ECL_PREVIEW_STEP, ecl_act_name (act->kind), collection, n, NULL, false,
                     ecl_arena_printf (self->arena, "%s to version %s", ecl_preview_number (self, n, "document"),
                                       ecl_version_text (chain->format, ecl_chain_version (chain, target), text)));
   return true;
}

bool
ecl_preview_look (ecl_previewer_t *self, ecl_preview_kind_t kind, const ecl_act_t *act, const char *collection)
{
   const ecl_value_t *count = ecl_preview_said (act, ECL_ARG_COUNT), *min = ecl_preview_said (act, ECL_ARG_MIN),
                     *max = ecl_preview_said (act, ECL_ARG_MAX);
   int64_t low = count ? count->u.i64
                 : min ? min->u.i64
                       : 0,
           high = count ? count->u.i64
                  : max ? max->u.i64
                        : INT64_MAX;
   bool waits = act->kind == ECL_ACT_WAIT, known, good;
   const char *why = NULL, *now;
   ecl_counted_t result;
   int64_t n;

   if (waits && !act->args[ECL_ARG_FILTER].key) {
      ecl_preview_tell (
         self, kind, ecl_act_name (act->kind), "", ECL_PREVIEW_NO_NUMBER, NULL, false,
         ecl_arena_printf (self->arena, "%" PRId64 " seconds", ecl_act_arg (act, ECL_ARG_SECONDS)->u.i64));
      return true;
   }
   result = ecl_preview_count (self, collection, ecl_preview_said (act, ECL_ARG_FILTER), NULL, &n, &why);
   if (result == ECL_GONE) {
      return false;
   }
   known = result == ECL_COUNTED;
   good = waits ? n == 0 : n >= low && n <= high;
   now = ecl_arena_printf (self->arena, "%s match%s", ecl_preview_number (self, n, "document"),
                           n == 0 || n == 1 ? "es" : "");
   ecl_preview_tell (self, kind, ecl_act_name (act->kind), collection,
                     result == ECL_REFUSED ? ECL_PREVIEW_NO_NUMBER : n, NULL, result == ECL_REFUSED || (known && !good),
                     result == ECL_REFUSED ? ecl_arena_printf (self->arena, "the server refuses its filter: %s", why)
                     : !known              ? now
                     : good                ? ecl_arena_printf (self->arena, "holds: %s", now)
                     : waits               ? ecl_arena_printf (self->arena, "would wait: %s", now)
                                           : ecl_arena_printf (self->arena, "would fail as things are: %s", now));
   return true;
}

/* Of the options of an aggregate those that decide what it finds; missing where they are not said. */
static ecl_value_t
option_of (const ecl_act_t *act, const char *name)
{
   return ecl_preview_said (act, ECL_ARG_OPTIONS)
             ? ecl_document_get (ecl_act_arg (act, ECL_ARG_OPTIONS), name, strlen (name))
             : ecl_missing ();
}

bool
ecl_preview_whole (ecl_previewer_t *self, const ecl_act_t *act, const char *collection)
{
   const char *why = NULL;
   ecl_counted_t result;
   int64_t n;

   if (act->kind == ECL_ACT_AGGREGATE) {
      const ecl_value_t *pipeline = ecl_act_arg (act, ECL_ARG_PIPELINE);
      ecl_value_t collation = option_of (act, "collation"), let = option_of (act, "let");

      result = ecl_preview_count_pipeline (self, collection, pipeline, 1, NULL, &collation, &let, &n, &why);
      why = result == ECL_REFUSED ? ecl_arena_printf (self->arena, "the server refuses it: %s", why)
            : result == ECL_GONE
               ? ""
               : ecl_arena_printf (self->arena, "%s into %s", ecl_preview_number (self, n, "document"),
                                   target_of (self, pipeline));
   } else {
      result = ecl_preview_count (self, collection, NULL, NULL, &n, &why);
      why =
         result == ECL_GONE ? "" : ecl_arena_printf (self->arena, "reads %s", ecl_preview_number (self, n, "document"));
   }
   if (result != ECL_GONE) {
      ecl_preview_tell (self, ECL_PREVIEW_STEP, ecl_act_name (act->kind), collection,
                        result == ECL_REFUSED ? ECL_PREVIEW_NO_NUMBER : n, NULL, result == ECL_REFUSED, why);
   }
   return result != ECL_GONE;
}
