/* What a database migration must not do without saying why: repeat what cannot be repeated, and take into a
 * transaction what MongoDB refuses in one.
 *
 * A run that dies in a step begins that step again. So a step must give the same when parts of it were done already, or
 * be in a transaction (whose end is recorded with it), or carry a guard: what it changed no longer matches its filter.
 * Everything else needs its author's reason: `repeatable: because …`. What cannot be shown to be repeatable is refused;
 * an application's writes in between are no matter here.
 *
 *    work_lint.c          a step of each kind
 *    work_lint_effect.c   what an update writes, and what is known of it afterwards
 *    work_lint_value.c    what an expression gives at least
 *    work_lint_twice.c    whether it gives the same when it is done twice …
 *    work_lint_stable.c   … which single expressions do
 *    work_lint_guard.c    whether what was changed still matches the filter
 *    work_lint_merge.c    aggregates that write
 *    work_lint_rows.c     the rows of a foreach and the lines of its `do` together
 */
#include "project/work_lint-private.h"

/* ---- updates ---- */

/* "items.$.state" where the filter is on items.state: the next one that matches is another. */
static const ecl_write_t *
find_positional (const ecl_effect_t *effect, const ecl_value_t *filter)
{
   for (size_t i = 0; i < effect->n; i++) {
      const ecl_write_t *write = &effect->items[i];

      if (!effect->pipeline && write->from.len && write->gives != ECL_GIVES_AS) {
         ecl_write_t element = {.kind = ECL_WRITE_SET, .path = write->from};
         ecl_effect_t one = {.items = &element, .n = 1};

         if (ecl_effect_touches (&one, filter)) {
            return write;
         }
      }
   }
   return NULL;
}

static void
lint_update (ecl_work_reader_t *reader, const ecl_act_t *act)
{
   const ecl_value_t *filter = ecl_act_arg (act, ECL_ARG_FILTER);
   const char *why = NULL;
   const ecl_write_t *bad;
   ecl_guard_kind_t guard;
   ecl_name_t from = {"", 0};
   ecl_effect_t effect;
   ecl_arena_t arena;
   bool touches, ends;

   ecl_arena_init (&arena);
   ecl_effect_init (&effect, &arena, reader->foreach);
   (void) ecl_effect_of (&effect, act);
   bad = ecl_effect_find (&effect, NULL, &why);
   guard = ecl_effect_guard (&effect, filter, &from);
   touches = ecl_effect_touches (&effect, filter);
   ends = guard == ECL_GUARD_HOLDS;
   if (bad && guard == ECL_GUARD_IF && !ecl_effect_find (&effect, &from, &why)) {
      bad = NULL; /* where that field is there it is a guard, and where it is not nothing comes of it */
   }
   if (!bad && !ends && (bad = find_positional (&effect, filter))) {
      why = "it would be the next element that matches: name it with $[name] and arrayFilters";
      touches = false;
   }
   if (ends && ecl_act_flag (act, ECL_ARG_UPSERT)) {
      ecl_work_error (
         reader, act->at,
         "this cannot be repeated after a crash, what it changed its filter does not find again, and upsert "
         "would insert another one: take out upsert, or what guards, or say `repeatable: because …`");
   } else if (bad && !ends && guard == ECL_GUARD_IN_LIST) {
      ecl_work_error (reader, bad->at,
                      "this cannot be repeated after a crash, %s; its filter is no guard where there is a list on the "
                      "path: guard it with a field at the top of the document, put it in a transaction, or say "
                      "`repeatable: because …`",
                      why);
   } else if (bad && !ends && touches) {
      ecl_work_error (reader, bad->at,
                      "this cannot be repeated after a crash, %s; what it changed still matches its filter: let it set "
                      "what the filter rules out, as {done: {$ne: true}} and $set: {done: true}, put it in a "
                      "transaction, or say `repeatable: because …`",
                      why);
   } else if (bad && !ends) {
      ecl_work_error (reader, bad->at, "this cannot be repeated after a crash, %s: " ECL_LINT_HOW, why);
   } else if (effect.unclear && !ends) {
      ecl_work_error (reader, act->at,
                      "nobody knows whether this pipeline can be repeated after a crash: " ECL_LINT_HOW);
   } else if (act->kind == ECL_ACT_UPDATE_ONE && touches && !ecl_filter_has_id (filter) &&
              !ecl_act_flag (act, ECL_ARG_UPSERT)) {
      ecl_work_error (reader, act->at,
                      "this cannot be repeated after a crash, it would take another document: name its _id in the "
                      "filter, or say `repeatable: because …`");
   }
   ecl_arena_cleanup (&arena);
}

static void
lint_replace (ecl_work_reader_t *reader, const ecl_act_t *act)
{
   if (!ecl_filter_has_id (ecl_act_arg (act, ECL_ARG_FILTER))) {
      ecl_work_error (reader, act->at,
                      "this cannot be repeated after a crash, it would take another document: name its _id in the "
                      "filter, or say `repeatable: because …`");
   } else if (act->kind == ECL_ACT_REPLACE_ONE) {
      lint_update (reader, act);
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
         return ecl_is_root (value);
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

/* Commands that MongoDB takes on the database admin only: found here, not when the steps before it are done. */
static void
lint_command (ecl_work_reader_t *reader, const ecl_act_t *act)
{
   static const char *const of_admin[] = {"addShardToZone",
                                          "balancerStart",
                                          "balancerStop",
                                          "enableSharding",
                                          "moveChunk",
                                          "moveCollection",
                                          "movePrimary",
                                          "refineCollectionShardKey",
                                          "renameCollection",
                                          "reshardCollection",
                                          "setFeatureCompatibilityVersion",
                                          "setParameter",
                                          "shardCollection",
                                          "unshardCollection",
                                          "updateZoneKeyRange",
                                          NULL};
   ecl_field_t name;
   ecl_iter_t iter;

   ecl_iter_init (&iter, &act->spec);
   if (!act->admin && ecl_iter_field (&iter, &name) && ecl_is_one_of (&name, of_admin)) {
      ecl_work_error (reader, ecl_at (&name), "%.*s goes to the database admin: say `database: admin` beside command",
                      (int) name.key_len, name.key);
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
      lint_replace (reader, act);
      break;
   case ECL_ACT_BULK_WRITE:
      for (size_t i = 0; i < act->n_acts; i++) {
         lint_repeatable (reader, &act->acts[i]);
      }
      if (!reader->foreach) {
         ecl_lint_sequence (reader, NULL, act->acts, act->n_acts);
      }
      break;
   case ECL_ACT_FOREACH:
      ecl_lint_rows (reader, act);
      break;
   case ECL_ACT_AGGREGATE:
      ecl_lint_aggregate (reader, act);
      break;
   case ECL_ACT_RENAME_COLLECTION:
      ecl_work_error (
         reader, act->at,
         "this cannot be repeated after a crash, a collection that was made again since would be taken for the old "
         "one: say `repeatable: because nothing writes to it any more`, if that is so");
      break;
   case ECL_ACT_COMMAND:
      ecl_iter_init (&iter, &act->spec);
      if (ecl_iter_field (&iter, &name) && !ecl_is_one_of (&name, harmless)) {
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

void
ecl_work_lint (ecl_work_reader_t *reader, const ecl_act_t *act)
{
   if (reader->foreach && ecl_act_flag (reader->foreach, ECL_ARG_TRANSACTION)) {
      return; /* all of `do` takes effect once: see ecl_work_lint_rows */
   }
   if (act->kind == ECL_ACT_COMMAND) {
      lint_command (reader, act);
   }
   if (reader->transaction) {
      lint_transaction (reader, act);
   } else if (!act->repeatable) {
      lint_repeatable (reader, act);
   }
}
