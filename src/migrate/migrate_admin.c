/* Steps that are no statement on documents: collections, indexes, validators, commands; waiting and looking. Each finds
 * out whether it was done already. See migrate.h. */
#include "migrate/migrate-private.h"

#include "bson/append.h"
#include "store/store.h"
#include "upgrade/pushdown.h"

/* MongoDB's codes for what is there, or gone, already. */
enum { NAMESPACE_NOT_FOUND = 26, INDEX_NOT_FOUND = 27, NAMESPACE_EXISTS = 48 };

#define WAIT_SECONDS 600

/* A second createIndexes waits for the first. */
static bool
is_index (const bson_t *command)
{
   return bson_has_field (command, "createIndexes");
}

/* Sends a command of the collection's; an answer with that code counts as done (0: none does). */
static bool
send_or (ecl_migrate_t *self, bson_t *command, uint32_t done, bool longer, bson_error_t *error)
{
   bson_t reply;
   bool good;

   good = longer ? ecl_migrate_send_long (self, self->options->database, command, &reply, is_index (command), error)
                 : ecl_migrate_send (self, self->options->database, command, &reply, error);
   if (!good && done && error->code == done && bson_has_field (&reply, "ok")) {
      good = true;
   }
   bson_destroy (&reply);
   return good;
}

/* The fields of a mapping, behind what the command has. */
static void
append_fields (bson_t *command, const ecl_field_t *arg)
{
   ecl_field_t field;
   ecl_iter_t iter;

   if (arg->key) {
      ecl_iter_init (&iter, &arg->value);
      while (ecl_iter_field (&iter, &field)) {
         char *key = bson_strndup (field.key, field.key_len);

         ecl_append_value (command, key, &field.value);
         bson_free (key);
      }
   }
}

/* ---- indexes ---- */

char *
ecl_migrate_index_name (ecl_migrate_t *self, const ecl_value_t *keys)
{
   char *name = ecl_arena_strndup (&self->arena, "", 0);
   ecl_field_t field;
   ecl_iter_t iter;

   ecl_iter_init (&iter, keys);
   while (ecl_iter_field (&iter, &field)) {
      const char *gap = *name ? "_" : "";

      if (ecl_is_string (&field.value)) {
         name = ecl_arena_printf (&self->arena, "%s%s%.*s_%.*s", name, gap, (int) field.key_len, field.key,
                                  (int) field.value.len, field.value.u.str);
      } else {
         long long way =
            field.value.type == BSON_TYPE_DOUBLE ? (long long) field.value.u.f64 : (long long) field.value.u.i64;

         name = ecl_arena_printf (&self->arena, "%s%s%.*s_%lld", name, gap, (int) field.key_len, field.key, way);
      }
   }
   return name;
}

static bool
create_index (ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error)
{
   const ecl_value_t *keys = ecl_act_arg (act, ECL_ARG_KEYS);
   bson_t command = BSON_INITIALIZER, list, one;
   ecl_value_t named = ecl_missing ();
   bool good;

   if (act->args[ECL_ARG_OPTIONS].key) {
      named = ecl_document_get (ecl_act_arg (act, ECL_ARG_OPTIONS), "name", 4);
   }
   BSON_APPEND_UTF8 (&command, "createIndexes", ecl_migrate_text (self, act, ECL_ARG_COLLECTION));
   BSON_APPEND_ARRAY_BEGIN (&command, "indexes", &list);
   BSON_APPEND_DOCUMENT_BEGIN (&list, "0", &one);
   ecl_append_value (&one, "key", keys);
   if (named.type == ECL_MISSING) {
      BSON_APPEND_UTF8 (&one, "name", ecl_migrate_index_name (self, keys));
   }
   append_fields (&one, &act->args[ECL_ARG_OPTIONS]);
   bson_append_document_end (&list, &one);
   bson_append_array_end (&command, &list);
   ecl_store_write_concern (&command);
   good = send_or (self, &command, 0, true, error);
   bson_destroy (&command);
   return good;
}

const ecl_value_t *
ecl_migrate_index_keys (const ecl_act_t *act)
{
   const ecl_value_t *keys = ecl_act_arg (act, ECL_ARG_KEYS);
   ecl_field_t field;
   ecl_iter_t iter;

   if (!act->args[ECL_ARG_KEYS].key) {
      return NULL;
   }
   ecl_iter_init (&iter, keys);
   while (ecl_iter_field (&iter, &field)) {
      /* One of text has other keys at the server, and can only be named. */
      if (ecl_is_string (&field.value) && field.value.len == 4 && memcmp (field.value.u.str, "text", 4) == 0) {
         return NULL;
      }
   }
   return keys;
}

/* By its keys where these are said: it may have been given any name, and "no such index" counts as done. */
static bool
drop_index (ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error)
{
   const ecl_value_t *keys = ecl_migrate_index_keys (act);
   bson_t command = BSON_INITIALIZER;
   bool good;

   BSON_APPEND_UTF8 (&command, "dropIndexes", ecl_migrate_text (self, act, ECL_ARG_COLLECTION));
   if (act->args[ECL_ARG_INDEX].key) {
      ecl_append_value (&command, "index", ecl_act_arg (act, ECL_ARG_INDEX));
   } else if (keys) {
      ecl_append_value (&command, "index", keys);
   } else {
      BSON_APPEND_UTF8 (&command, "index", ecl_migrate_index_name (self, ecl_act_arg (act, ECL_ARG_KEYS)));
   }
   ecl_store_write_concern (&command);
   good = send_or (self, &command, INDEX_NOT_FOUND, false, error);
   if (!good && error->code == NAMESPACE_NOT_FOUND) {
      good = true; /* without the collection there is no index */
   }
   bson_destroy (&command);
   return good;
}

/* ---- collections ---- */

static bool
has_collection (ecl_migrate_t *self, const char *name, bool *found, bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, filter, reply, first;
   bool good;

   BSON_APPEND_INT32 (&command, "listCollections", 1);
   BSON_APPEND_DOCUMENT_BEGIN (&command, "filter", &filter);
   BSON_APPEND_UTF8 (&filter, "name", name);
   bson_append_document_end (&command, &filter);
   BSON_APPEND_BOOL (&command, "nameOnly", true);
   ecl_store_cursor (0, &command);
   good = ecl_migrate_send (self, self->options->database, &command, &reply, error);
   *found = good && ecl_store_first (&reply, &first);
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

static bool
create_collection (ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER;
   bool good;

   BSON_APPEND_UTF8 (&command, "create", ecl_migrate_text (self, act, ECL_ARG_COLLECTION));
   append_fields (&command, &act->args[ECL_ARG_OPTIONS]);
   ecl_store_write_concern (&command);
   good = send_or (self, &command, NAMESPACE_EXISTS, false, error);
   bson_destroy (&command);
   return good;
}

static bool
drop_collection (ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER;
   bool good;

   BSON_APPEND_UTF8 (&command, "drop", ecl_migrate_text (self, act, ECL_ARG_COLLECTION));
   ecl_store_write_concern (&command);
   good = send_or (self, &command, NAMESPACE_NOT_FOUND, false, error);
   bson_destroy (&command);
   return good;
}

/* Asked first: a second try must not fail because the first one's answer was lost. */
static bool
rename_collection (ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error)
{
   const char *from = ecl_migrate_text (self, act, ECL_ARG_FROM), *to = ecl_migrate_text (self, act, ECL_ARG_TO);
   bson_t command = BSON_INITIALIZER, reply;
   bool good, is_from, is_to, before = self->again;

   for (int tries = 0;; tries++) {
      good = has_collection (self, from, &is_from, error) && has_collection (self, to, &is_to, error);
      if (!good) {
         break;
      }
      if (!is_from) {
         good = is_to && (before || tries)
                   ? true
                   : ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "there is no collection %s%s", from,
                               is_to ? ", and there is one of the new name" : "");
         break;
      }
      bson_reinit (&command);
      BSON_APPEND_UTF8 (&command, "renameCollection",
                        ecl_arena_printf (&self->arena, "%s.%s", self->options->database, from));
      BSON_APPEND_UTF8 (&command, "to", ecl_arena_printf (&self->arena, "%s.%s", self->options->database, to));
      BSON_APPEND_BOOL (&command, "dropTarget", ecl_act_flag (act, ECL_ARG_DROP_TARGET));
      ecl_store_write_concern (&command);
      ecl_call_t call = {.database = "admin", .command = &command};
      ecl_reply_t result = self->world->run_command (self->world, &call,
                                                     self->world->now (self->world) + ECL_WORLD_TIMEOUT, &reply, error);
      bson_destroy (&reply);
      good = result == ECL_REPLY_OK;
      if (result != ECL_REPLY_LOST || ecl_is_lease_error (error) || tries == 10 ||
          !self->world->wait (self->world, 500)) {
         break;
      }
   }
   bson_destroy (&command);
   return good;
}

/* ---- validators ---- */

static const ecl_chain_t *
chain_of (ecl_migrate_t *self, const ecl_act_t *act)
{
   return ecl_project_chain (self->options->project, ecl_migrate_text (self, act, ECL_ARG_COLLECTION));
}

static void
append_schema (bson_t *document, const ecl_value_t *schema)
{
   ecl_append_value (document, "$jsonSchema", schema);
}

/* {$or: [{$and: [version, schema of that version]}, …]}: each document by the rules of its own version. One whose
 * version is not on the chain is refused. given: in place of the target's own. */
static void
append_mixed (bson_t *validator, const ecl_chain_t *chain, const ecl_value_t *given)
{
   bson_t list, one, both, filter, rule;
   char buffer[16];
   const char *key;

   BSON_APPEND_ARRAY_BEGIN (validator, "$or", &list);
   for (size_t i = 0; i <= chain->n_steps; i++) {
      const ecl_value_t *schema = i == chain->n_steps && given ? given : i ? &chain->steps[i - 1].schema : NULL;

      bson_uint32_to_string ((uint32_t) i, &key, buffer, sizeof buffer);
      ecl_pushdown_filter (chain, i, &filter);
      if (schema && schema->type == BSON_TYPE_DOCUMENT) {
         BSON_APPEND_DOCUMENT_BEGIN (&list, key, &one);
         BSON_APPEND_ARRAY_BEGIN (&one, "$and", &both);
         BSON_APPEND_DOCUMENT (&both, "0", &filter);
         BSON_APPEND_DOCUMENT_BEGIN (&both, "1", &rule);
         append_schema (&rule, schema);
         bson_append_document_end (&both, &rule);
         bson_append_array_end (&one, &both);
         bson_append_document_end (&list, &one);
      } else {
         bson_append_document (&list, key, -1, &filter);
      }
      bson_destroy (&filter);
   }
   bson_append_array_end (validator, &list);
}

/* Whether each document goes by the schema of its own version: what the step says, else wherever there is a chain.
 * Rules of the newest version alone would refuse what the programs of an older release write, and any change of a
 * document that is not carried over yet. When all are, it lets the same documents pass. */
static bool
mixes (const ecl_act_t *act, const ecl_chain_t *chain, bool schemas)
{
   return act->args[ECL_ARG_MIXED].key ? ecl_act_flag (act, ECL_ARG_MIXED) : schemas && chain && chain->n_steps;
}

void
ecl_migrate_validator (ecl_migrate_t *self, const ecl_act_t *act, bson_t *command)
{
   const ecl_field_t *schema = &act->args[ECL_ARG_SCHEMA], *filter = &act->args[ECL_ARG_FILTER];
   const char *level = ecl_migrate_text (self, act, ECL_ARG_LEVEL),
              *action = ecl_migrate_text (self, act, ECL_ARG_ACTION);
   const ecl_chain_t *chain = chain_of (self, act);
   const ecl_value_t *given = schema->key ? &schema->value : NULL;
   bool some = given != NULL;
   bson_t validator;

   /* Only level or action: the rule stays as it is. */
   for (size_t i = 0; chain && i < chain->n_steps && !*level && !*action; i++) {
      some |= chain->steps[i].schema.type == BSON_TYPE_DOCUMENT;
   }
   if (filter->key) {
      ecl_append_value (command, "validator", &filter->value);
   } else if (mixes (act, chain, some)) {
      BSON_APPEND_DOCUMENT_BEGIN (command, "validator", &validator);
      append_mixed (&validator, chain, given);
      bson_append_document_end (command, &validator);
   } else if (given || (some && chain->steps[chain->n_steps - 1].schema.type == BSON_TYPE_DOCUMENT)) {
      BSON_APPEND_DOCUMENT_BEGIN (command, "validator", &validator);
      append_schema (&validator, given ? given : &chain->steps[chain->n_steps - 1].schema);
      bson_append_document_end (command, &validator);
   }
   if (*level) {
      BSON_APPEND_UTF8 (command, "validationLevel", level);
   }
   if (*action) {
      BSON_APPEND_UTF8 (command, "validationAction", action);
   }
}

static bool
set_validator (ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error)
{
   const char *collection = ecl_migrate_text (self, act, ECL_ARG_COLLECTION);
   bson_t command = BSON_INITIALIZER;
   bool found, good;

   good = has_collection (self, collection, &found, error);
   if (good) {
      BSON_APPEND_UTF8 (&command, found ? "collMod" : "create", collection);
      ecl_migrate_validator (self, act, &command);
      ecl_store_write_concern (&command);
      good = send_or (self, &command, 0, false, error);
   }
   bson_destroy (&command);
   return good;
}

/* ---- the rest ---- */

/* Whether a string is "$$database", or begins with that and a dot. */
static bool
names_database (const ecl_value_t *value)
{
   static const char name[] = "$$database";
   const size_t n = sizeof name - 1;

   return ecl_is_string (value) && value->len >= n && memcmp (value->u.str, name, n) == 0 &&
          (value->len == n || value->u.str[n] == '.');
}

void
ecl_migrate_command (const ecl_act_t *act, const char *database, bson_t *command)
{
   const size_t n = sizeof "$$database" - 1;
   ecl_field_t field;
   ecl_iter_t iter;

   bson_init (command);
   ecl_iter_init (&iter, &act->spec);
   while (ecl_iter_field (&iter, &field)) {
      char *key = bson_strndup (field.key, field.key_len);

      if (act->admin && names_database (&field.value)) {
         char *text = bson_strdup_printf ("%s%.*s", database, (int) (field.value.len - n), field.value.u.str + n);

         BSON_APPEND_UTF8 (command, key, text);
         bson_free (text);
      } else {
         ecl_append_value (command, key, &field.value);
      }
      bson_free (key);
   }
}

static bool
run_command (ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error)
{
   bson_iter_t iter;
   bson_t command, reply;
   bool good;

   ecl_migrate_command (act, self->options->database, &command);
   good = ecl_migrate_send (self, act->admin ? "admin" : self->options->database, &command, &reply, error);
   if (good && bson_iter_init_find (&iter, &reply, "writeErrors")) {
      good = ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "the server refused a write of the command");
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

static bool
aggregate (ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER;
   bool good;

   BSON_APPEND_UTF8 (&command, "aggregate", ecl_migrate_text (self, act, ECL_ARG_COLLECTION));
   ecl_append_value (&command, "pipeline", ecl_act_arg (act, ECL_ARG_PIPELINE));
   append_fields (&command, &act->args[ECL_ARG_OPTIONS]);
   ecl_store_cursor (0, &command);
   ecl_store_write_concern (&command);
   good = send_or (self, &command, 0, true, error);
   bson_destroy (&command);
   return good;
}

/* By our own clock, from the beginning again where the step begins again: nobody else's clock makes it shorter. */
static bool
wait_so_long (ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error)
{
   int64_t end = self->world->now (self->world) + ecl_act_arg (act, ECL_ARG_SECONDS)->u.i64 * 1000, left;

   while ((left = end - self->world->now (self->world)) > 0) {
      if (!self->world->wait (self->world, left < 1000 ? left : 1000)) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for");
      }
   }
   return true;
}

static bool
wait_until (ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error)
{
   const ecl_field_t *seconds = &act->args[ECL_ARG_SECONDS];
   int64_t limit = (seconds->key ? seconds->value.u.i64 : WAIT_SECONDS) * 1000, began = self->world->now (self->world);
   const char *collection = ecl_migrate_text (self, act, ECL_ARG_COLLECTION);

   for (;;) {
      bool exists;

      if (!ecl_migrate_exists (self, collection, ecl_act_arg (act, ECL_ARG_FILTER), NULL, &exists, error)) {
         return false;
      }
      if (!exists) {
         return true;
      }
      if (self->world->now (self->world) - began >= limit) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT,
                          "after %" PRId64 " seconds a document of %s still matches the filter", limit / 1000,
                          collection);
      }
      if (!self->world->wait (self->world, 500)) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for");
      }
   }
}

bool
ecl_migrate_assert (ecl_migrate_t *self, const ecl_act_t *act, ecl_txn_t *txn, bson_error_t *error)
{
   const ecl_field_t *count = &act->args[ECL_ARG_COUNT], *min = &act->args[ECL_ARG_MIN], *max = &act->args[ECL_ARG_MAX];
   int64_t low = count->key ? count->value.u.i64 : min->key ? min->value.u.i64 : 0;
   int64_t high = count->key ? count->value.u.i64 : max->key ? max->value.u.i64 : INT64_MAX, n = 0;
   const char *collection = ecl_migrate_text (self, act, ECL_ARG_COLLECTION);
   const char *message = ecl_migrate_text (self, act, ECL_ARG_MESSAGE);
   bson_t command = BSON_INITIALIZER, reply, pipeline, stage;
   bson_iter_t iter, found;
   bool good;

   BSON_APPEND_UTF8 (&command, "aggregate", collection);
   BSON_APPEND_ARRAY_BEGIN (&command, "pipeline", &pipeline);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
   ecl_append_value (&stage, "$match", ecl_act_arg (act, ECL_ARG_FILTER));
   bson_append_document_end (&pipeline, &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "1", &stage);
   BSON_APPEND_UTF8 (&stage, "$count", "n");
   bson_append_document_end (&pipeline, &stage);
   bson_append_array_end (&command, &pipeline);
   ecl_store_cursor (0, &command);
   if (txn) {
      good = ecl_migrate_send_in (self, &command, txn, &reply, error);
   } else {
      ecl_store_read_concern (&command);
      good = ecl_migrate_send (self, self->options->database, &command, &reply, error);
   }
   if (good && bson_iter_init (&iter, &reply) && bson_iter_find_descendant (&iter, "cursor.firstBatch.0.n", &found)) {
      n = bson_iter_as_int64 (&found);
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   if (good && (n < low || n > high)) {
      char expected[64];

      if (low == high) {
         snprintf (expected, sizeof expected, "%" PRId64, low);
      } else if (high == INT64_MAX) {
         snprintf (expected, sizeof expected, "at least %" PRId64, low);
      } else {
         snprintf (expected, sizeof expected, "%" PRId64 " to %" PRId64, low, high);
      }
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CONFLICT, "%s%s%" PRId64 " documents of %s match, expected %s",
                       message, *message ? ": " : "", n, collection, expected);
   }
   return good;
}

static bool
carry (ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error)
{
   const ecl_migrate_hooks_t *hooks = &self->options->hooks;
   const ecl_field_t *to = &act->args[ECL_ARG_TO];
   const char *word = ecl_migrate_text (self, act, ECL_ARG_MODE);
   const ecl_chain_t *chain = chain_of (self, act);
   ecl_mode_t mode = ECL_MODE_AUTO;
   ecl_version_t version;
   size_t target = chain->n_steps;
   char text[64];

   while (*word && strcmp (word, ecl_mode_name (mode)) != 0) {
      mode++;
   }
   if (act->kind == ECL_ACT_VERIFY) {
      return hooks->verify (hooks->context, self->world, chain, error);
   }
   if (to->key) {
      if (ecl_is_string (&to->value)) {
         snprintf (text, sizeof text, "%.*s", (int) to->value.len, to->value.u.str);
      } else {
         snprintf (text, sizeof text, "%" PRId64, to->value.u.i64);
      }
      if (!ecl_chain_parse_version (chain, text, &version, error) || !ecl_chain_index (chain, version, &target)) {
         return false;
      }
   }
   return hooks->carry (hooks->context, self->world, chain, target, self->down, mode, error);
}

bool
ecl_migrate_admin (ecl_migrate_t *self, const ecl_act_t *act, bson_error_t *error)
{
   switch (act->kind) {
   case ECL_ACT_COMMAND:
      return run_command (self, act, error);
   case ECL_ACT_AGGREGATE:
      return aggregate (self, act, error);
   case ECL_ACT_CREATE_INDEX:
      return create_index (self, act, error);
   case ECL_ACT_DROP_INDEX:
      return drop_index (self, act, error);
   case ECL_ACT_CREATE_COLLECTION:
      return create_collection (self, act, error);
   case ECL_ACT_RENAME_COLLECTION:
      return rename_collection (self, act, error);
   case ECL_ACT_DROP_COLLECTION:
      return drop_collection (self, act, error);
   case ECL_ACT_VALIDATOR:
      return set_validator (self, act, error);
   case ECL_ACT_BACKFILL:
   case ECL_ACT_VERIFY:
      return carry (self, act, error);
   case ECL_ACT_WAIT:
      return act->args[ECL_ARG_FILTER].key ? wait_until (self, act, error) : wait_so_long (self, act, error);
   case ECL_ACT_ASSERT:
      return ecl_migrate_assert (self, act, NULL, error);
   default:
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_UNSUPPORTED, "%s cannot be run", ecl_act_name (act->kind));
   }
}
