/* Aggregates that write, by $merge or $out: what they read must not be what they wrote, and a document that they insert
 * must have the same key the next time. See work_lint.c.
 */
#include "project/work_lint-private.h"

/* ---- where it writes ---- */

/* The collection that a last stage names; missing where it is in another database. */
static ecl_value_t
target_of (const ecl_work_reader_t *reader, const ecl_value_t *spec)
{
   const char *database = ecl_project_database (reader->project);
   ecl_value_t db;

   if (!ecl_is_document (spec)) {
      return *spec;
   }
   db = ecl_document_get (spec, "db", 2);
   if (db.type != ECL_MISSING && (!database || !ecl_text_is (&db, database))) {
      return ecl_missing ();
   }
   return ecl_document_get (spec, "coll", 4);
}

/* ---- what it reads ---- */

static bool
names_collection (const ecl_field_t *stage, const ecl_value_t *collection)
{
   ecl_value_t from = stage->value;

   if (ecl_is_document (&from)) {
      from = ecl_document_get (&from, ecl_key_is (stage, "$unionWith") ? "coll" : "from", 4);
   }
   if (ecl_is_document (&from)) {
      from = ecl_document_get (&from, "coll", 4); /* {db, coll} */
   }
   return ecl_same_text (&from, collection);
}

bool
ecl_pipeline_looks_into (const ecl_value_t *pipeline, const ecl_value_t *collection)
{
   static const char *const stages[] = {"$lookup", "$graphLookup", "$unionWith", NULL};
   ecl_field_t field;
   ecl_iter_t iter;

   if (!ecl_is_document (pipeline) && !ecl_is_array (pipeline)) {
      return false;
   }
   ecl_iter_init (&iter, pipeline);
   while (ecl_iter_field (&iter, &field)) {
      if ((ecl_is_document (pipeline) && ecl_is_one_of (&field, stages) && names_collection (&field, collection)) ||
          ecl_pipeline_looks_into (&field.value, collection)) {
         return true;
      }
   }
   return false;
}

/* ---- what it inserts ---- */

static bool
lists_id (const ecl_value_t *names)
{
   ecl_value_t name;
   ecl_iter_t iter;

   if (ecl_is_array (names)) {
      ecl_iter_init (&iter, names);
      while (ecl_iter_item (&iter, &name)) {
         if (ecl_text_is (&name, "_id")) {
            return true;
         }
      }
   }
   return ecl_text_is (names, "_id");
}

/* Whether the new root has an _id; `had`: the one before it had. */
static bool
root_has_id (const ecl_value_t *root, bool had)
{
   ecl_field_t op;
   ecl_value_t item;
   ecl_iter_t iter;

   if (ecl_is_root (root)) {
      return had;
   }
   if (ecl_is_document (root) && !ecl_is_operator (root)) {
      return ecl_document_get (root, "_id", 3).type != ECL_MISSING;
   }
   if (ecl_only_field (root, &op) && ecl_key_is (&op, "$mergeObjects") && ecl_is_array (&op.value)) {
      ecl_iter_init (&iter, &op.value);
      while (ecl_iter_item (&iter, &item)) {
         if (root_has_id (&item, had)) {
            return true;
         }
      }
   }
   return false;
}

/* Whether the _id behind the stage is one that comes again. */
static bool
keeps_id (const ecl_field_t *stage, bool had)
{
   ecl_value_t id = ecl_is_document (&stage->value) ? ecl_document_get (&stage->value, "_id", 3) : ecl_missing (), root;

   if (ecl_key_is (stage, "$project")) {
      return id.type == ECL_MISSING || ecl_is_number (&id) || id.type == BSON_TYPE_BOOL
                ? had && (id.type == ECL_MISSING || ecl_truthy (&id))
                : true;
   }
   if (ecl_key_is (stage, "$set") || ecl_key_is (stage, "$addFields")) {
      return id.type == ECL_MISSING ? had : !ecl_text_is (&id, "$$REMOVE");
   }
   if (ecl_key_is (stage, "$unset")) {
      return had && !lists_id (&stage->value);
   }
   if (ecl_key_is (stage, "$replaceWith")) {
      return root_has_id (&stage->value, had);
   }
   if (ecl_key_is (stage, "$replaceRoot")) {
      root = ecl_is_document (&stage->value) ? ecl_document_get (&stage->value, "newRoot", 7) : ecl_missing ();
      return root_has_id (&root, had);
   }
   if (ecl_key_is (stage, "$count") || ecl_key_is (stage, "$facet")) {
      return false;
   }
   return had || ecl_key_is (stage, "$group") || ecl_key_is (stage, "$bucket") || ecl_key_is (stage, "$bucketAuto") ||
          ecl_key_is (stage, "$sortByCount");
}

typedef struct {
   bool id;      /* it comes again */
   bool sampled; /* others may be taken the next time */
} output_t;

static output_t
output_of (const ecl_value_t *pipeline)
{
   output_t out = {.id = true};
   bool sorted = false;
   ecl_value_t entry;
   ecl_field_t stage;
   ecl_iter_t iter;

   ecl_iter_init (&iter, pipeline);
   while (ecl_iter_item (&iter, &entry)) {
      if (ecl_only_field (&entry, &stage)) {
         bool cut = ecl_key_is (&stage, "$limit") || ecl_key_is (&stage, "$skip");

         sorted |= ecl_key_is (&stage, "$sort");
         out.sampled |= ecl_key_is (&stage, "$sample") || (cut && !sorted);
         out.id = keeps_id (&stage, out.id);
      }
   }
   return out;
}

/* ---- into itself ---- */

/* Whether what is merged into the collection that it comes from is the same the next time. */
static bool
is_same_in_place (const ecl_value_t *pipeline, const ecl_value_t *merge)
{
   ecl_value_t on = ecl_is_document (merge) ? ecl_document_get (merge, "on", 2) : ecl_missing (),
               when = ecl_is_document (merge) ? ecl_document_get (merge, "whenMatched", 11) : ecl_missing (), entry,
               filter;
   bool replaces = ecl_text_is (&when, "replace"), merges = when.type == ECL_MISSING || ecl_text_is (&when, "merge");
   ecl_name_t from = {"", 0}, id = {"_id", 3};
   const char *why;
   ecl_effect_t effect;
   ecl_arena_t arena;
   ecl_iter_t iter;
   bool good;

   ecl_arena_init (&arena);
   ecl_effect_init (&effect, &arena, NULL);
   effect.merges = !replaces;
   ecl_effect_add_stages (&effect, pipeline);
   good = (replaces || merges) && !effect.unclear && (on.type == ECL_MISSING || ecl_text_is (&on, "_id"));
   for (size_t i = 0; i < effect.n; i++) {
      good &= effect.items[i].kind != ECL_WRITE_SET || !ecl_paths_overlap (&effect.items[i].path, &id);
   }
   if (good && ecl_effect_find (&effect, NULL, &why)) {
      good = false;
      ecl_iter_init (&iter, pipeline);
      while (!good && ecl_iter_item (&iter, &entry)) {
         filter = ecl_is_document (&entry) ? ecl_document_get (&entry, "$match", 6) : ecl_missing ();
         if (!ecl_is_document (&filter)) {
            break; /* behind others it is no longer on what is stored */
         }
         good = ecl_effect_guard (&effect, &filter, &from) == ECL_GUARD_HOLDS;
      }
   }
   ecl_arena_cleanup (&arena);
   return good;
}

/* ---- the step ---- */

static const ecl_write_t *
find_in_matched (ecl_arena_t *arena, const ecl_value_t *update, const char **why)
{
   ecl_effect_t effect;

   ecl_effect_init (&effect, arena, NULL);
   ecl_effect_add_update (&effect, update);
   return ecl_effect_find (&effect, NULL, why);
}

static void
lint_merge (ecl_work_reader_t *reader, const ecl_act_t *act, const ecl_field_t *merge, const ecl_value_t *target)
{
   const ecl_value_t *pipeline = ecl_act_arg (act, ECL_ARG_PIPELINE);
   bool long_form = ecl_is_document (&merge->value);
   ecl_value_t on = long_form ? ecl_document_get (&merge->value, "on", 2) : ecl_missing ();
   ecl_value_t when = long_form ? ecl_document_get (&merge->value, "whenMatched", 11) : ecl_missing ();
   bool itself = ecl_same_text (target, ecl_act_arg (act, ECL_ARG_COLLECTION));
   output_t out = output_of (pipeline);
   const ecl_write_t *bad = NULL;
   const char *why = NULL;
   ecl_arena_t arena;

   ecl_arena_init (&arena);
   if (ecl_pipeline_looks_into (pipeline, target) || (itself && !is_same_in_place (pipeline, &merge->value))) {
      ecl_work_error (
         reader, ecl_at (merge),
         "this cannot be repeated after a crash, it reads what it writes: merge into another collection, or "
         "use updateMany with a pipeline and a guard, or say `repeatable: because …`");
   } else if (ecl_text_is (&when, "fail")) {
      ecl_work_error (
         reader, ecl_at (merge),
         "this cannot be repeated after a crash, what it merged is there already: say `repeatable: because …`, "
         "or let whenMatched be replace, keepExisting or merge");
   } else if (ecl_is_array (&when) && (bad = find_in_matched (&arena, &when, &why))) {
      ecl_work_error (reader, bad->at,
                      "this cannot be repeated after a crash, %s: compute it in the pipeline and let whenMatched be "
                      "replace or merge, or say `repeatable: because …`",
                      why);
   } else if (!out.id && (on.type == ECL_MISSING || lists_id (&on))) {
      ecl_work_error (
         reader, ecl_at (merge),
         "this cannot be repeated after a crash, documents without _id are inserted twice: keep _id or compute one, or "
         "merge `on` a unique key, or say `repeatable: because …`");
   } else if (out.sampled) {
      ecl_work_error (reader, ecl_at (merge),
                      "this cannot be repeated after a crash, it may take others the next time: sort before $limit and "
                      "$skip, do without $sample, or say `repeatable: because …`");
   }
   ecl_arena_cleanup (&arena);
}

void
ecl_lint_aggregate (ecl_work_reader_t *reader, const ecl_act_t *act)
{
   const ecl_value_t *pipeline = ecl_act_arg (act, ECL_ARG_PIPELINE);
   ecl_value_t entry, last = ecl_missing (), target, into;
   ecl_field_t stage;
   ecl_iter_t iter;

   ecl_iter_init (&iter, pipeline);
   while (ecl_iter_item (&iter, &entry)) {
      last = entry;
   }
   if (!ecl_only_field (&last, &stage)) {
      return;
   }
   if (ecl_key_is (&stage, "$out")) {
      target = target_of (reader, &stage.value);
      if (ecl_same_text (&target, ecl_act_arg (act, ECL_ARG_COLLECTION)) ||
          ecl_pipeline_looks_into (pipeline, &target)) {
         ecl_work_error (
            reader, ecl_at (&stage),
            "this cannot be repeated after a crash, it reads what it writes: write into another collection, "
            "or say `repeatable: because …`");
      }
   } else if (ecl_key_is (&stage, "$merge")) {
      into = ecl_is_document (&stage.value) ? ecl_document_get (&stage.value, "into", 4) : stage.value;
      target = target_of (reader, &into);
      lint_merge (reader, act, &stage, &target);
   }
}
