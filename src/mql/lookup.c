/* $lookup: see lookup.h. It becomes a field that is computed by an operator of its own; what follows in its pipeline is
 * run on each document that the loader gave, by an evaluator inside the evaluator. */
#include "mql/lookup.h"

#include "mql/match.h"
#include "mql/plan.h"
#include "mql/set.h"
#include "text/number.h"

/* One part of the pipeline: a $match, or all stages up to the next one. */
typedef struct {
   ecl_match_t *match;
   ecl_plan_t *plan;
} part_t;

typedef struct {
   const char *from, *field;
   bool no_array;           /* the key stands for what an expression finds at a path of several names */
   const ecl_name_t *local; /* localField; args[0] is what its first name stands for. NULL: args[0] is the key */
   uint32_t n_local;
   uint32_t first_let; /* place of the first variable; args[1 …] are their values */
   uint32_t n_let;
   part_t *parts;
   uint32_t n_parts;
} lookup_t;

/* ---- parsing ---- */

typedef struct {
   ecl_field_t from, local, foreign, let, pipeline, as;
} spec_t;

static bool
read_spec (ecl_parse_t *parse, const ecl_field_t *spec, spec_t *out)
{
   struct {
      const char *name;
      ecl_field_t *field;
      uint8_t type;
   } known[] = {
      {"from", &out->from, BSON_TYPE_UTF8},
      {"localField", &out->local, BSON_TYPE_UTF8},
      {"foreignField", &out->foreign, BSON_TYPE_UTF8},
      {"let", &out->let, BSON_TYPE_DOCUMENT},
      {"pipeline", &out->pipeline, BSON_TYPE_ARRAY},
      {"as", &out->as, BSON_TYPE_UTF8},
   };
   ecl_iter_t iter;
   ecl_field_t field;

   memset (out, 0, sizeof *out);
   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      ecl_parse_fail (parse, ecl_at (spec), 9, "$lookup expects an object, found %s", ecl_type_name (spec->value.type));
      return false;
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      size_t i = 0;

      while (i < sizeof known / sizeof known[0] && !ecl_key_is (&field, known[i].name)) {
         i++;
      }
      if (i == sizeof known / sizeof known[0]) {
         ecl_parse_fail (
            parse, ecl_at (&field), 9,
            "unknown argument to $lookup: %.*s; it takes from, localField, foreignField, let, pipeline, as",
            (int) field.key_len, field.key);
         return false;
      }
      if (field.value.type != known[i].type) {
         ecl_parse_fail (parse, ecl_at (&field), 9, "$lookup argument '%s' must be of type %s, found %s", known[i].name,
                         ecl_type_name (known[i].type), ecl_type_name (field.value.type));
         return false;
      }
      *known[i].field = field;
   }
   if (!out->from.key || !out->as.key) {
      ecl_parse_fail (parse, ecl_at (spec), 9, "$lookup requires 'from' and 'as'");
      return false;
   }
   if (!out->local.key != !out->foreign.key) {
      ecl_parse_fail (parse, ecl_at (spec), 9, "$lookup requires both or neither of 'localField' and 'foreignField'");
      return false;
   }
   if (!out->local.key && !out->pipeline.key) {
      ecl_parse_fail (parse, ecl_at (spec), 9, "$lookup requires 'localField' and 'foreignField', or a 'pipeline'");
      return false;
   }
   return true;
}

/* "$$variable…" of a `let`: the server's own begin with a capital, and $$ROOT is the document that is looked up. */
static bool
is_variable (const ecl_value_t *v)
{
   return v->type == BSON_TYPE_UTF8 && v->len > 2 && memcmp (v->u.str, "$$", 2) == 0 &&
          !(v->u.str[2] >= 'A' && v->u.str[2] <= 'Z');
}

/* {$eq: ["$field", "$$variable…"]}, either way round: the field's path, and the variable's element. */
static bool
is_key (const ecl_field_t *eq, ecl_value_t *path, ecl_field_t *variable)
{
   ecl_iter_t iter;
   ecl_field_t sides[2];

   if (!ecl_key_is (eq, "$eq") || eq->value.type != BSON_TYPE_ARRAY) {
      return false;
   }
   ecl_iter_init (&iter, &eq->value);
   if (!ecl_iter_field (&iter, &sides[0]) || !ecl_iter_field (&iter, &sides[1])) {
      return false;
   }
   for (int i = 0; i < 2; i++) {
      const ecl_value_t *field = &sides[i].value, *other = &sides[1 - i].value;

      if (field->type == BSON_TYPE_UTF8 && field->len > 1 && field->u.str[0] == '$' && field->u.str[1] != '$' &&
          is_variable (other)) {
         *path = ecl_string (field->u.str + 1, field->len - 1);
         *variable = sides[1 - i];
         return true;
      }
   }
   return false;
}

/* Looks for such an equality in an expression, through $and. */
static bool
find_key (const ecl_value_t *expression, ecl_value_t *path, ecl_field_t *variable)
{
   ecl_iter_t iter, items;
   ecl_field_t field, item;

   if (expression->type != BSON_TYPE_DOCUMENT) {
      return false;
   }
   ecl_iter_init (&iter, expression);
   while (ecl_iter_field (&iter, &field)) {
      if (is_key (&field, path, variable)) {
         return true;
      }
      if (ecl_key_is (&field, "$and") && field.value.type == BSON_TYPE_ARRAY) {
         ecl_iter_init (&items, &field.value);
         while (ecl_iter_field (&items, &item)) {
            if (find_key (&item.value, path, variable)) {
               return true;
            }
         }
      }
   }
   return false;
}

static bool
first_match_key (const ecl_value_t *pipeline, ecl_value_t *path, ecl_field_t *variable)
{
   ecl_iter_t iter;
   ecl_field_t stage;
   ecl_value_t filter, expression;

   ecl_iter_init (&iter, pipeline);
   if (!ecl_iter_field (&iter, &stage) || stage.value.type != BSON_TYPE_DOCUMENT) {
      return false;
   }
   filter = ecl_document_get (&stage.value, "$match", 6);
   if (filter.type != BSON_TYPE_DOCUMENT) {
      return false;
   }
   expression = ecl_document_get (&filter, "$expr", 5);
   return find_key (&expression, path, variable);
}

static void
destroy_match (void *match)
{
   ecl_match_destroy (match);
}

static void
destroy_plan (void *plan)
{
   ecl_plan_destroy (plan);
}

static bool
parse_parts (ecl_parse_t *parse, lookup_t *lookup, const ecl_field_t *pipeline)
{
   ecl_match_options_t match_options = {
      .report = parse->report, .report_context = parse->report_context, .allow_now = parse->allow_now, .outer = parse};
   ecl_plan_options_t plan_options = {.report = parse->report,
                                      .report_context = parse->report_context,
                                      .allow_now = parse->allow_now,
                                      .allow_lookup = true,
                                      .outer = parse};
   ecl_plan_t *plan = NULL;
   ecl_iter_t iter;
   ecl_field_t stage;
   bool ok = true;

   lookup->parts = ecl_arena_array (parse->arena, part_t, ecl_array_count (&pipeline->value) + 1);
   ecl_iter_init (&iter, &pipeline->value);
   while (ecl_iter_field (&iter, &stage)) {
      ecl_value_t filter = ecl_missing ();

      if (stage.value.type == BSON_TYPE_DOCUMENT) {
         filter = ecl_document_get (&stage.value, "$match", 6);
      }
      if (filter.type == BSON_TYPE_DOCUMENT) {
         ecl_match_t *match = ecl_match_new (&filter, &match_options);

         if (!match) {
            ok = false;
            continue;
         }
         ecl_arena_own (parse->arena, match, destroy_match);
         lookup->parts[lookup->n_parts++] = (part_t){.match = match};
         plan = NULL;
      } else {
         if (!plan) {
            plan = ecl_plan_new (&plan_options);
            ecl_arena_own (parse->arena, plan, destroy_plan);
            lookup->parts[lookup->n_parts++] = (part_t){.plan = plan};
         }
         ok = ecl_plan_add_stage (plan, &stage) && ok;
      }
   }
   for (uint32_t i = 0; i < lookup->n_parts && ok; i++) {
      if (lookup->parts[i].plan) {
         ecl_plan_link (lookup->parts[i].plan);
      }
   }
   if (!ok) {
      parse->failed = true;
   }
   return ok;
}

static bool
eval_lookup (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out);

ecl_stage_t *
ecl_lookup_parse (ecl_parse_t *parse, const ecl_field_t *spec)
{
   static const ecl_operator_t op = {.name = "$lookup", .eval = eval_lookup};
   lookup_t *lookup = ecl_arena_new (parse->arena, lookup_t);
   ecl_field_t key = {0}, field;
   ecl_value_t path = ecl_missing ();
   ecl_iter_t iter;
   ecl_expr_t *e;
   spec_t s;
   uint32_t n = 0;

   memset (lookup, 0, sizeof *lookup);
   if (!read_spec (parse, spec, &s)) {
      return NULL;
   }
   if (s.let.key) {
      ecl_iter_init (&iter, &s.let.value);
      while (ecl_iter_field (&iter, &field)) {
         n++;
      }
   }
   e = ecl_parse_node (parse, &op, spec, n + 1);
   e->data = lookup;
   lookup->n_let = n;
   lookup->first_let = parse->n_vars;
   lookup->from = ecl_arena_strndup (parse->arena, s.from.value.u.str, s.from.value.len);
   if (n && !ecl_parse_let (parse, &s.let.value, e->args + 1)) {
      return NULL;
   }
   if (s.local.key) {
      lookup->local =
         ecl_parse_path (parse, ecl_at (&s.local), s.local.value.u.str, s.local.value.len, &lookup->n_local);
      if (!lookup->local) {
         ecl_scope_pop (parse, n);
         return NULL;
      }
      path = s.foreign.value;
      key = s.local;
      key.value = ecl_string (ecl_arena_printf (parse->arena, "$%.*s", (int) lookup->local->len, lookup->local->str),
                              lookup->local->len + 1);
   } else if (!first_match_key (&s.pipeline.value, &path, &key)) {
      ecl_parse_fail (
         parse, ecl_at (&s.pipeline), 9,
         "the pipeline of a $lookup without localField must begin with a $match that compares a field with "
         "a variable for equality ({$expr: {$eq: [\"$field\", \"$$variable\"]}}): documents are fetched by "
         "key");
      ecl_scope_pop (parse, n);
      return NULL;
   }
   lookup->field = ecl_arena_strndup (parse->arena, path.u.str, path.len);
   lookup->no_array = !s.local.key && memchr (path.u.str, '.', path.len);
   e->args[0] = ecl_parse_expr (parse, &key);
   if (!e->args[0] || (s.pipeline.key && !parse_parts (parse, lookup, &s.pipeline))) {
      ecl_scope_pop (parse, n);
      return NULL;
   }
   ecl_scope_pop (parse, n);
   return ecl_stage_computed (parse, &s.as, e);
}

/* ---- evaluation ---- */

ecl_load_t
ecl_eval_load (ecl_eval_t *ev, const char *collection, const char *field, const ecl_value_t *key,
               const ecl_value_t **documents, uint32_t *n, bson_error_t *error)
{
   ecl_load_t result;

   if (!ev->loader) {
      ecl_fail (error, ECL_DOMAIN_MQL, 9, "documents of %s are needed, and there is nothing here that loads them",
                collection);
      return ECL_LOAD_FAILED;
   }
   result = ev->loader->find (ev->loader->context, collection, field, key, documents, n, error);
   ev->pending |= result == ECL_LOAD_PENDING;
   return result;
}

typedef struct {
   ecl_value_t *items;
   uint32_t n, cap;
} list_t;

static void
push (ecl_arena_t *arena, list_t *list, const ecl_value_t *value)
{
   if (list->n == list->cap) {
      uint32_t cap = list->cap ? 2 * list->cap : 4;

      list->items = ecl_arena_grow (arena, list->items, list->cap * sizeof *list->items, cap * sizeof *list->items);
      list->cap = cap;
   }
   list->items[list->n++] = *value;
}

static bool
load (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *key, list_t *list)
{
   const lookup_t *lookup = self->data;
   const ecl_value_t *documents;
   bson_error_t error;
   uint32_t n = 0;

   switch (ecl_eval_load (ev, lookup->from, lookup->field, key, &documents, &n, &error)) {
   case ECL_LOAD_READY:
      for (uint32_t i = 0; i < n; i++) {
         push (&ev->arena, list, &documents[i]);
      }
      return true;
   case ECL_LOAD_PENDING:
      return true;
   case ECL_LOAD_FAILED:
   default:
      return ecl_eval_fail (ev, self, error.code, "$lookup: %s", error.message);
   }
}

/* The element that a number in a path picks from an array; false where the name is no number. */
static bool
pick (ecl_arena_t *arena, const ecl_name_t *name, ecl_value_t *v)
{
   const ecl_value_t *items;
   int64_t index;
   uint32_t n;

   if (!ecl_text_parse_digits (name->str, name->len, 10, &index)) {
      return false;
   }
   items = ecl_array_items (arena, v, &n);
   *v = index < n ? ecl_present (items[index]) : ecl_missing ();
   return true;
}

/* The values that localField stands for, as the server's visitAllValuesAtPath has them: an array at its end stands for its
 * elements, one before that for what the rest of the path finds in each of them, or in the one that a number picks. */
static void
visit (ecl_arena_t *arena, ecl_value_t v, const ecl_name_t *path, uint32_t n, list_t *keys)
{
   ecl_iter_t iter;
   ecl_value_t item;

   while (n && v.type == BSON_TYPE_ARRAY && pick (arena, path, &v)) {
      path++;
      n--;
   }
   if (n && v.type == BSON_TYPE_DOCUMENT) {
      visit (arena, ecl_document_get (&v, path->str, path->len), path + 1, n - 1, keys);
   } else if (v.type == BSON_TYPE_ARRAY) {
      ecl_iter_init (&iter, &v);
      while (ecl_iter_item (&iter, &item)) {
         if (n == 0) {
            push (arena, keys, &item);
         } else if (item.type == BSON_TYPE_DOCUMENT) {
            visit (arena, ecl_document_get (&item, path->str, path->len), path + 1, n - 1, keys);
         }
      }
   } else if (n == 0 && v.type != ECL_MISSING) {
      push (arena, keys, &v);
   }
}

/* Runs the pipeline on one document; *keep is false where a $match turned it away. */
static bool
run_parts (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *document, bool *keep)
{
   const lookup_t *lookup = self->data;
   ecl_eval_t *inner = ev->inner;
   bson_error_t error;

   for (uint32_t i = 0; i < lookup->n_parts; i++) {
      if (lookup->parts[i].match) {
         if (!ecl_match_run (lookup->parts[i].match, inner, document, keep, &error)) {
            return ecl_eval_fail (ev, self, error.code, "$lookup's pipeline: %s", error.message);
         }
         if (!*keep) {
            return true;
         }
      } else {
         const uint8_t *out;
         size_t len;

         if (!ecl_plan_run (lookup->parts[i].plan, inner, document->u.raw, document->len, &out, &len, &error)) {
            ev->pending |= inner->pending;
            return ecl_eval_fail (ev, self, error.code, "$lookup's pipeline: %s", error.message);
         }
         if (out != document->u.raw) {
            /* The inner evaluator uses its outputs again for the next document. */
            ecl_value_t result = ecl_raw_document (out, len);
            *document = ecl_value_copy (&ev->arena, &result);
         }
      }
   }
   *keep = true;
   return true;
}

/* Enters the variables into the inner evaluator: those around, and the stage's own. */
static bool
enter (const ecl_expr_t *self, ecl_eval_t *ev)
{
   const lookup_t *lookup = self->data;
   ecl_eval_t *inner;

   if (!ev->inner) {
      ev->inner = bson_malloc (sizeof *ev->inner);
      ecl_eval_init (ev->inner);
   }
   inner = ev->inner;
   inner->loader = ev->loader;
   inner->pending = false;
   inner->now = ev->now;
   ecl_eval_reserve_vars (inner, lookup->first_let + lookup->n_let);
   ecl_eval_reserve_vars (ev, lookup->first_let + lookup->n_let);
   for (uint32_t i = 0; i < lookup->n_let; i++) {
      ecl_value_t value;

      if (!ecl_expr_eval (self->args[1 + i], ev, &value)) {
         return false;
      }
      inner->vars[lookup->first_let + i] = value;
   }
   if (lookup->first_let) {
      memcpy (inner->vars, ev->vars, lookup->first_let * sizeof *inner->vars);
   }
   /* The key may be a variable of the stage's own. */
   for (uint32_t i = lookup->first_let; i < lookup->first_let + lookup->n_let; i++) {
      ev->vars[i] = inner->vars[i];
   }
   return true;
}

static bool
eval_lookup (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   const lookup_t *lookup = self->data;
   list_t keys = {0}, found = {0}, results = {0};
   ecl_value_t key;

   if (!enter (self, ev) || !ecl_expr_eval (self->args[0], ev, &key)) {
      return false;
   }
   if (lookup->local) {
      visit (&ev->arena, key, lookup->local + 1, lookup->n_local - 1, &keys);
      key = keys.n ? keys.items[0] : ecl_missing ();
   }
   key = ecl_present (key);
   if (lookup->no_array && key.type == BSON_TYPE_ARRAY) {
      /* "$a.b" makes an array of all that it finds in an array, and no query finds documents by that. */
      return ecl_eval_fail (
         ev, self, 9, "$lookup: documents are not found by an array where \"$%s\" is compared with it", lookup->field);
   }
   if (keys.n > 1) {
      list_t all = {0};
      ecl_set_t seen;

      for (uint32_t i = 0; i < keys.n; i++) {
         if (!load (self, ev, &keys.items[i], &all)) {
            return false;
         }
      }
      /* A document that several values lead to comes once. */
      ecl_set_init (&seen, &ev->arena, all.n);
      for (uint32_t i = 0; i < all.n; i++) {
         if (ecl_set_add (&seen, &all.items[i])) {
            push (&ev->arena, &found, &all.items[i]);
         }
      }
   } else if (!load (self, ev, &key, &found)) {
      return false;
   }
   for (uint32_t i = 0; i < found.n; i++) {
      ecl_value_t document = found.items[i];
      bool keep;

      if (!run_parts (self, ev, &document, &keep)) {
         return false;
      }
      if (keep) {
         push (&ev->arena, &results, &document);
      }
   }
   ev->pending |= ev->inner->pending;
   *out = ecl_vec (results.items, results.n);
   return true;
}
