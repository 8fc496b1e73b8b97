/* Parsing of stages: see stage.h. Codes are the server's (projection_parser.cpp, document_source_*.cpp). */
#include "mql/stage.h"

#include "base/suggest.h"
#include "mql/lookup.h"
#include "mql/names.h"
#include "mql/plan.h"

/* How the stage's messages and codes differ. */
typedef struct {
   const char *name;
   uint32_t not_object, collision;
} rules_t;

/* From this number on, children are looked for in an index. */
#define TREE_INDEXED 16u

typedef struct ecl_tree_index_t {
   ecl_names_t names;
   ecl_tree_t **children; /* by their names' numbers */
   uint32_t cap;
} ecl_tree_index_t;

static ecl_tree_t *
new_tree (ecl_parse_t *parse, ecl_name_t name, const uint8_t *source)
{
   ecl_tree_t *tree = ecl_arena_new (parse->arena, ecl_tree_t);

   memset (tree, 0, sizeof *tree);
   tree->name = name;
   tree->source = source;
   return tree;
}

static ecl_tree_t *
find_child (const ecl_tree_t *tree, const char *name, size_t len)
{
   if (tree->index) {
      uint32_t i = ecl_names_find (&tree->index->names, name, (uint32_t) len);

      return i == ECL_NAMES_NONE ? NULL : tree->index->children[i];
   }
   for (ecl_tree_t *child = tree->first; child; child = child->next) {
      if (child->name.len == len && memcmp (child->name.str, name, len) == 0) {
         return child;
      }
   }
   return NULL;
}

static void
index_child (ecl_parse_t *parse, ecl_tree_index_t *index, ecl_tree_t *child)
{
   if (index->names.n == index->cap) {
      uint32_t cap = index->cap ? 2 * index->cap : 2 * TREE_INDEXED;

      index->children = ecl_arena_grow (parse->arena, index->children, index->cap * sizeof *index->children,
                                        cap * sizeof *index->children);
      index->cap = cap;
   }
   index->children[ecl_names_add (&index->names, child->name)] = child;
}

static ecl_tree_t *
add_child (ecl_parse_t *parse, ecl_tree_t *tree, ecl_name_t name, const uint8_t *source)
{
   ecl_tree_t *child = new_tree (parse, name, source);

   if (tree->last) {
      tree->last->next = child;
   } else {
      tree->first = child;
   }
   tree->last = child;
   tree->n++;
   if (tree->index) {
      index_child (parse, tree->index, child);
   } else if (tree->n == TREE_INDEXED) {
      tree->index = ecl_arena_new (parse->arena, ecl_tree_index_t);
      *tree->index = (ecl_tree_index_t){0};
      ecl_names_init (&tree->index->names, parse->arena);
      for (ecl_tree_t *known = tree->first; known; known = known->next) {
         index_child (parse, tree->index, known);
      }
   }
   return child;
}

/* The leaf for a dotted path below tree; NULL after a report where it is malformed or clashes with another path. A
 * nested object adds to what other paths said of the same field: {"a.b": 1, a: {c: 1}} is one a with b and c. */
static ecl_tree_t *
add_path (ecl_parse_t *parse, const rules_t *rules, ecl_tree_t *tree, const char *path, size_t len, bool nested,
          const uint8_t *source)
{
   uint32_t n;
   const ecl_name_t *names = ecl_parse_path (parse, source, path, len, &n);

   if (!names) {
      return NULL;
   }
   for (uint32_t i = 0; i < n; i++) {
      ecl_tree_t *child = find_child (tree, names[i].str, names[i].len);

      if (child && ((i + 1 == n && !nested) || child->action != ECL_TREE_CHILDREN)) {
         return ecl_parse_fail (parse, source, rules->collision, "%s: path collision at '%.*s'", rules->name, (int) len,
                                path);
      }
      tree = child ? child : add_child (parse, tree, names[i], source);
   }
   return tree;
}

/* ---- $set, $addFields ---- */

static const rules_t set_rules = {.name = "$addFields", .not_object = 40272, .collision = 40176};

static bool
is_operator (const ecl_value_t *document)
{
   ecl_iter_t iter;
   ecl_field_t first;

   ecl_iter_init (&iter, document);
   return ecl_iter_field (&iter, &first) && first.key_len && first.key[0] == '$';
}

/* An object holds fields that are set below the name, one that is empty is a value (since 6.1: SERVER-54046). */
static bool
parse_set_fields (ecl_parse_t *parse, ecl_tree_t *tree, const ecl_field_t *spec, bool top)
{
   ecl_iter_t iter;
   ecl_field_t field;
   bool ok = true;
   uint32_t depth;

   if (++parse->depth > ECL_PARSE_MAX_DEPTH) {
      ecl_parse_fail (parse, ecl_at (spec), 15, "nested deeper than %d levels", ECL_PARSE_MAX_DEPTH);
      return false;
   }
   depth = parse->depth;
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      bool nested =
         field.value.type == BSON_TYPE_DOCUMENT && !ecl_document_is_empty (&field.value) && !is_operator (&field.value);
      ecl_tree_t *leaf;

      if (field.key_len && field.key[0] == '$') {
         ecl_parse_fail (parse, ecl_at (&field), top ? 16410u : 40181u,
                         "%s: an expression must stand alone, '%.*s' stands beside fields", set_rules.name,
                         (int) field.key_len, field.key);
         return false;
      }
      if (!top && memchr (field.key, '.', field.key_len)) {
         ecl_parse_fail (parse, ecl_at (&field), 40183, "%s: a name inside an object may not contain '.': '%.*s'",
                         set_rules.name, (int) field.key_len, field.key);
         return false;
      }
      leaf = add_path (parse, &set_rules, tree, field.key, field.key_len, nested, ecl_at (&field));
      if (!leaf) {
         return false;
      }
      if (nested) {
         if (!parse_set_fields (parse, leaf, &field, false)) {
            return false;
         }
      } else {
         leaf->action = ECL_TREE_COMPUTED;
         leaf->expr = ecl_parse_expr (parse, &field);
      }
      if (!nested && !leaf->expr) {
         /* The next field is read all the same, so that one run shows every problem. */
         parse->scope = NULL;
         parse->n_vars = 0;
         parse->depth = depth;
         ok = false;
      }
   }
   parse->depth--;
   return ok;
}

static ecl_stage_t *
new_stage (ecl_parse_t *parse, ecl_stage_kind_t kind, const ecl_field_t *spec)
{
   ecl_stage_t *stage = ecl_arena_new (parse->arena, ecl_stage_t);

   memset (stage, 0, sizeof *stage);
   stage->kind = kind;
   stage->source = spec ? ecl_at (spec) : NULL;
   stage->root = new_tree (parse, (ecl_name_t){.str = "", .len = 0}, stage->source);
   return stage;
}

/* Marks the nodes that compute, and gives those below the top level a place for their value. */
static bool
finish_tree (ecl_stage_t *stage, ecl_tree_t *tree, unsigned depth)
{
   tree->computes = tree->action == ECL_TREE_COMPUTED;
   if (tree->computes && depth > 1) {
      tree->memo = stage->n_memo++;
   }
   for (ecl_tree_t *child = tree->first; child; child = child->next) {
      tree->computes |= finish_tree (stage, child, depth + 1);
   }
   return tree->computes;
}

static ecl_stage_t *
parse_set (ecl_parse_t *parse, const ecl_field_t *spec)
{
   ecl_stage_t *stage = new_stage (parse, ECL_STAGE_SET, spec);

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return ecl_parse_fail (parse, ecl_at (spec), set_rules.not_object,
                             "%.*s specification stage must be an object, got %s", (int) spec->key_len, spec->key,
                             ecl_type_name (spec->value.type));
   }
   if (!parse_set_fields (parse, stage->root, spec, true)) {
      return NULL;
   }
   finish_tree (stage, stage->root, 0);
   return stage;
}

ecl_stage_t *
ecl_stage_constant (ecl_parse_t *parse, const char *path, const ecl_value_t *value)
{
   ecl_stage_t *stage = new_stage (parse, ECL_STAGE_SET, NULL);
   ecl_value_t copy = ecl_value_copy (parse->arena, value);
   const char *text = ecl_arena_strndup (parse->arena, path, strlen (path));
   ecl_tree_t *leaf = add_path (parse, &set_rules, stage->root, text, strlen (path), false, NULL);

   if (!leaf) {
      return NULL;
   }
   leaf->action = ECL_TREE_COMPUTED;
   leaf->expr = ecl_parse_constant (parse, &copy, NULL);
   finish_tree (stage, stage->root, 0);
   return stage;
}

ecl_stage_t *
ecl_stage_computed (ecl_parse_t *parse, const ecl_field_t *path, ecl_expr_t *expr)
{
   ecl_stage_t *stage = new_stage (parse, ECL_STAGE_SET, path);
   ecl_tree_t *leaf =
      add_path (parse, &set_rules, stage->root, path->value.u.str, path->value.len, false, ecl_at (path));

   if (!leaf) {
      return NULL;
   }
   leaf->action = ECL_TREE_COMPUTED;
   leaf->expr = expr;
   for (ecl_tree_t *tree = stage->root->first; tree; tree = tree->first) {
      tree->replaces = true;
   }
   finish_tree (stage, stage->root, 0);
   return stage;
}

ecl_stage_t *
ecl_stage_function (ecl_parse_t *parse, const struct ecl_function_t *function)
{
   ecl_stage_t *stage = new_stage (parse, ECL_STAGE_FUNCTION, NULL);
   ecl_function_t *copy = ecl_arena_new (parse->arena, ecl_function_t);

   *copy = *function;
   stage->function = copy;
   return stage;
}

/* ---- $unset ---- */

static ecl_stage_t *
parse_unset (ecl_parse_t *parse, const ecl_field_t *spec)
{
   static const rules_t rules = {.name = "$unset", .collision = 31249};
   ecl_stage_t *stage = new_stage (parse, ECL_STAGE_EXCLUDE, spec);
   ecl_field_t field = *spec;
   ecl_iter_t iter;
   bool list = spec->value.type == BSON_TYPE_ARRAY;

   if (!list && spec->value.type != BSON_TYPE_UTF8) {
      return ecl_parse_fail (parse, ecl_at (spec), 31002, "$unset specification must be a string or an array, found %s",
                             ecl_type_name (spec->value.type));
   }
   if (list) {
      ecl_iter_init (&iter, &spec->value);
      if (!ecl_iter_field (&iter, &field)) {
         return ecl_parse_fail (parse, ecl_at (spec), 31119,
                                "$unset specification must be a string or an array with at least one field");
      }
   }
   do {
      ecl_tree_t *leaf;

      if (field.value.type != BSON_TYPE_UTF8) {
         return ecl_parse_fail (parse, ecl_at (&field), 31120,
                                "$unset specification must be a string or an array containing only string values, "
                                "found %s",
                                ecl_type_name (field.value.type));
      }
      leaf = add_path (parse, &rules, stage->root, field.value.u.str, field.value.len, false, ecl_at (&field));
      if (!leaf) {
         return NULL;
      }
      leaf->action = ECL_TREE_DROP;
   } while (list && ecl_iter_field (&iter, &field));
   finish_tree (stage, stage->root, 0);
   return stage;
}

/* ---- $project ---- */

static const rules_t project_rules = {.name = "$project", .not_object = 15969, .collision = 31250};

typedef struct {
   bool includes, excludes;
   bool has_id;
} project_t;

/* {field: 1} or {field: 0}, other than of _id, which goes with both. */
static bool
note_flag (ecl_parse_t *parse, project_t *project, const ecl_field_t *field, bool keep)
{
   if (keep && project->excludes) {
      ecl_parse_fail (parse, ecl_at (field), 31253, "Cannot do inclusion on field %.*s in exclusion projection",
                      (int) field->key_len, field->key);
      return false;
   }
   if (!keep && project->includes) {
      ecl_parse_fail (parse, ecl_at (field), 31254, "Cannot do exclusion on field %.*s in inclusion projection",
                      (int) field->key_len, field->key);
      return false;
   }
   project->includes |= keep;
   project->excludes |= !keep;
   return true;
}

/* {field: expression}. */
static bool
parse_computed (ecl_parse_t *parse, project_t *project, ecl_tree_t *leaf, const ecl_field_t *field)
{
   if (project->excludes) {
      ecl_parse_fail (parse, ecl_at (field), 31252,
                      "Cannot use an expression for field %.*s in an exclusion projection", (int) field->key_len,
                      field->key);
      return false;
   }
   project->includes = true;
   leaf->action = ECL_TREE_COMPUTED;
   leaf->expr = ecl_parse_expr (parse, field);
   return leaf->expr != NULL;
}

static bool
parse_project_fields (ecl_parse_t *parse, project_t *project, ecl_tree_t *tree, const ecl_field_t *spec, bool top)
{
   ecl_iter_t iter;
   ecl_field_t field;
   bool any = false;

   if (++parse->depth > ECL_PARSE_MAX_DEPTH) {
      ecl_parse_fail (parse, ecl_at (spec), 15, "nested deeper than %d levels", ECL_PARSE_MAX_DEPTH);
      return false;
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      bool id = top && ecl_key_is (&field, "_id");
      bool flag = ecl_is_number (&field.value) || field.value.type == BSON_TYPE_BOOL;
      bool nested = field.value.type == BSON_TYPE_DOCUMENT && !is_operator (&field.value);
      ecl_tree_t *leaf;

      any = true;
      if (field.key_len && field.key[0] == '$') {
         ecl_parse_fail (parse, ecl_at (&field), 31325,
                         "$project: an expression must stand alone, '%.*s' stands beside fields", (int) field.key_len,
                         field.key);
         return false;
      }
      leaf = add_path (parse, &project_rules, tree, field.key, field.key_len, nested, ecl_at (&field));
      if (!leaf) {
         return false;
      }
      project->has_id |= id;
      if (flag) {
         bool keep = ecl_truthy (&field.value);

         leaf->action = keep ? ECL_TREE_KEEP : ECL_TREE_DROP;
         if (!id && !note_flag (parse, project, &field, keep)) {
            return false;
         }
      } else if (nested ? !parse_project_fields (parse, project, leaf, &field, false)
                        : !parse_computed (parse, project, leaf, &field)) {
         return false;
      }
   }
   parse->depth--;
   if (!any) {
      ecl_parse_fail (parse, ecl_at (spec), top ? 51272u : 51270u,
                      top ? "projection specification must have at least one field"
                          : "An empty sub-projection is not a valid value");
      return false;
   }
   return true;
}

static ecl_stage_t *
parse_project (ecl_parse_t *parse, const ecl_field_t *spec)
{
   ecl_stage_t *stage = new_stage (parse, ECL_STAGE_INCLUDE, spec);
   project_t project = {0};
   ecl_tree_t *id;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return ecl_parse_fail (parse, ecl_at (spec), 15969, "$project specification must be an object, found %s",
                             ecl_type_name (spec->value.type));
   }
   if (!parse_project_fields (parse, &project, stage->root, spec, true)) {
      return NULL;
   }
   id = find_child (stage->root, "_id", 3);
   /* _id alone decides only where nothing else does. */
   if (project.excludes || (!project.includes && id && id->action == ECL_TREE_DROP)) {
      stage->kind = ECL_STAGE_EXCLUDE;
   } else if (!id) {
      id = add_child (parse, stage->root, (ecl_name_t){.str = "_id", .len = 3}, NULL);
      id->action = ECL_TREE_KEEP;
   }
   finish_tree (stage, stage->root, 0);
   return stage;
}

/* ---- $replaceWith, $replaceRoot ---- */

static ecl_stage_t *
parse_replace (ecl_parse_t *parse, const ecl_field_t *spec)
{
   ecl_stage_t *stage = new_stage (parse, ECL_STAGE_REPLACE, spec);
   ecl_field_t with = *spec;

   if (ecl_key_is (spec, "$replaceRoot")) {
      ecl_iter_t iter;
      ecl_field_t field;
      bool found = false;

      if (spec->value.type != BSON_TYPE_DOCUMENT) {
         return ecl_parse_fail (parse, ecl_at (spec), 40229, "$replaceRoot expects an object, found %s",
                                ecl_type_name (spec->value.type));
      }
      ecl_iter_init (&iter, &spec->value);
      while (ecl_iter_field (&iter, &field)) {
         if (!ecl_key_is (&field, "newRoot")) {
            return ecl_parse_fail (parse, ecl_at (&field), 40415, "$replaceRoot has no option '%.*s', only newRoot",
                                   (int) field.key_len, field.key);
         }
         with = field;
         found = true;
      }
      if (!found) {
         return ecl_parse_fail (parse, ecl_at (spec), 40414, "$replaceRoot requires the option newRoot");
      }
   }
   stage->expr = ecl_parse_expr (parse, &with);
   return stage->expr ? stage : NULL;
}

/* ---- the table of stages ---- */

static const struct {
   const char *name;
   ecl_stage_t *(*parse) (ecl_parse_t *, const ecl_field_t *);
} stages[] = {
   {"$set", parse_set},           {"$addFields", parse_set},       {"$unset", parse_unset},
   {"$project", parse_project},   {"$replaceWith", parse_replace}, {"$replaceRoot", parse_replace},
   {"$lookup", ecl_lookup_parse},
};

static void *
unknown_stage (ecl_parse_t *parse, const ecl_field_t *field)
{
   const char *names[sizeof stages / sizeof stages[0] + 1] = {NULL}, *meant;

   for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
      names[i] = stages[i].name;
   }
   meant = ecl_suggest (field->key, field->key_len, names);
   if (meant) {
      return ecl_parse_fail (parse, ecl_at (field), 40324, "Unrecognized pipeline stage name: '%.*s'; did you mean %s?",
                             (int) field->key_len, field->key, meant);
   }
   return ecl_parse_fail (parse, ecl_at (field), 40324,
                          "Unrecognized pipeline stage name: '%.*s'; known are $set, $addFields, $unset, $project, "
                          "$replaceWith, $replaceRoot and $lookup",
                          (int) field->key_len, field->key);
}

ecl_stage_t *
ecl_stage_parse (ecl_parse_t *parse, const ecl_field_t *spec)
{
   ecl_iter_t iter;
   ecl_field_t field, more;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return ecl_parse_fail (parse, ecl_at (spec), 40228, "each stage of a pipeline must be an object, found %s",
                             ecl_type_name (spec->value.type));
   }
   ecl_iter_init (&iter, &spec->value);
   if (!ecl_iter_field (&iter, &field) || ecl_iter_field (&iter, &more)) {
      return ecl_parse_fail (parse, ecl_at (spec), 40323, "a pipeline stage must contain exactly one field");
   }
   for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
      if (ecl_key_is (&field, stages[i].name)) {
         if (stages[i].parse == ecl_lookup_parse && !parse->allow_lookup) {
            return ecl_parse_fail (
               parse, ecl_at (&field), 40324,
               "$lookup is refused here: there is nothing that loads documents of other collections");
         }
         parse->depth = 0;
         return stages[i].parse (parse, &field);
      }
   }
   return unknown_stage (parse, &field);
}
