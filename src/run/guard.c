/* Guarded updates: see guard.h. */
#include "run/guard.h"

#include "bson/compare.h"
#include "bson/make.h"
#include "mql/names.h"

/* More comparisons of types than this in one statement say that a transaction is cheaper. */
#define MAX_TYPE_CHECKS 500u
#define MAX_ELEMENT_PATHS 32u

/* Where the pipeline form keeps its verdict while it runs; removed by its last stage. */
#define VERDICT "__eclose_unchanged"

#define VERDICT_TAKEN "a field that is called " VERDICT
#define DOTTED "a number under a name with a dot or a leading $"
#define TWICE "a name that comes twice in one document"

/* One comparison, {$eq: [[{name: "$name", …}, …], {$literal: [{name: "Ada", …}, …]}]}: a server that sees no field
 * beside a constant looks for no other index than that of _id; and a field that is missing is missing in the first
 * object, too. */
typedef struct {
   ecl_arena_t *arena;
   ecl_field_t *fields, *values; /* the first objects: what is there, and what was read */
   uint32_t n_fields, n_values;
   ecl_value_t *now, *then; /* what follows: expressions, mostly of types, and what they are to give */
   uint32_t n, cap;
   uint32_t n_types;
   const char *why; /* why a statement cannot say it; NULL while it can */
} guard_t;

/* ---- making BSON ---- */

static ecl_value_t
call2 (ecl_arena_t *arena, const char *op, ecl_value_t a, ecl_value_t b)
{
   return ecl_make_object (arena, op, ecl_make_pair (arena, a, b));
}

/* A constant: said so where it could be taken for something else. */
static ecl_value_t
constant (ecl_arena_t *arena, ecl_value_t value)
{
   bool plain = value.type != BSON_TYPE_DOCUMENT && value.type != BSON_TYPE_ARRAY &&
                !(value.type == BSON_TYPE_UTF8 && value.len > 0 && value.u.str[0] == '$');

   return plain ? value : ecl_make_object (arena, "$literal", value);
}

/* ---- fields of the plan ---- */

void
ecl_guard_fields (ecl_arena_t *arena, const ecl_plan_t *plan, ecl_guard_fields_t *out)
{
   bool whole_read, whole_written;
   size_t n;
   const ecl_plan_path_t *paths = ecl_plan_paths (plan, &n, &whole_read, &whole_written);

   out->names = ecl_arena_array (arena, const char *, n + 1);
   out->n = 0;
   out->whole = whole_read || whole_written;
   for (size_t i = 0; i < n; i++) {
      size_t len = strcspn (paths[i].path, ".");
      size_t k = 0;

      while (k < out->n && (strlen (out->names[k]) != len || memcmp (out->names[k], paths[i].path, len) != 0)) {
         k++;
      }
      if (k == out->n) {
         out->names[out->n++] = ecl_arena_strndup (arena, paths[i].path, len);
      }
   }
}

/* ---- comparison ---- */

static void
add_check (guard_t *self, ecl_value_t now, ecl_value_t then)
{
   if (self->n == self->cap) {
      uint32_t cap = 2 * (self->cap + 4);

      self->now = ecl_arena_grow (self->arena, self->now, self->cap * sizeof *self->now, cap * sizeof *self->now);
      self->then = ecl_arena_grow (self->arena, self->then, self->cap * sizeof *self->then, cap * sizeof *self->then);
      self->cap = cap;
   }
   self->now[self->n] = now;
   self->then[self->n++] = then;
}

static void
check_type (guard_t *self, const char *path, uint8_t type)
{
   if (++self->n_types > MAX_TYPE_CHECKS) {
      self->why = "more numbers than one statement can compare by type";
      return;
   }
   add_check (self, ecl_make_object (self->arena, "$type", ecl_make_text (path)), ecl_make_text (ecl_type_name (type)));
}

static bool
plain_name (const char *name, size_t len)
{
   return len > 0 && name[0] != '$' && !memchr (name, '.', len);
}

/* True for the types that $eq does not tell from others: numbers among each other, and undefined from what is missing.
 * (Strings are not told from symbols: one in their place would have to come from an application that writes a type
 * which no driver has written for ten years.) */
static bool
needs_type (uint8_t type)
{
   return type == BSON_TYPE_INT32 || type == BSON_TYPE_INT64 || type == BSON_TYPE_DOUBLE ||
          type == BSON_TYPE_DECIMAL128 || type == BSON_TYPE_SYMBOL || type == BSON_TYPE_UNDEFINED;
}

static bool
has_typed (const ecl_value_t *v)
{
   ecl_iter_t iter;
   ecl_field_t field;

   if (v->type == BSON_TYPE_DOCUMENT || v->type == BSON_TYPE_ARRAY) {
      ecl_iter_init (&iter, v);
      while (ecl_iter_field (&iter, &field)) {
         if (has_typed (&field.value)) {
            return true;
         }
      }
   }
   return needs_type (v->type);
}

/* Another field of that name stands before this one: a path means the first. Of every field of a document, in order. */
static bool
comes_again (ecl_names_t *seen, const ecl_field_t *field)
{
   if (ecl_names_find (seen, field->key, field->key_len) != ECL_NAMES_NONE) {
      return true;
   }
   (void) ecl_names_add (seen, (ecl_name_t){field->key, field->key_len});
   return false;
}

/* The next field of a document at path in which there is what $eq compares only by value, and its path. False at the end,
 * or with self->why where no path leads to it. */
static bool
next_typed (guard_t *self, ecl_iter_t *iter, ecl_names_t *seen, const char *path, ecl_field_t *field,
            const char **below)
{
   while (ecl_iter_field (iter, field)) {
      bool again = comes_again (seen, field);

      if (!has_typed (&field->value)) {
         continue;
      }
      if (!plain_name (field->key, field->key_len)) {
         self->why = DOTTED;
         return false;
      }
      if (again) {
         self->why = TWICE;
         return false;
      }
      *below = ecl_arena_printf (self->arena, "%s.%.*s", path, (int) field->key_len, field->key);
      return true;
   }
   return false;
}

/* Paths of an array's elements, "" the element itself; each once. */
typedef struct {
   const char *list[MAX_ELEMENT_PATHS];
   uint32_t n;
} element_paths_t;

/* Where the element, or what is below the path in it, has what $eq compares only by value. */
static void
add_element_paths (guard_t *self, element_paths_t *paths, const char *path, const ecl_value_t *v)
{
   ecl_names_t seen;
   ecl_iter_t iter;
   ecl_field_t field;
   const char *below;

   if (!has_typed (v)) {
      return;
   }
   if (v->type == BSON_TYPE_ARRAY) {
      self->why = "numbers in an array inside of an array";
      return;
   }
   if (v->type != BSON_TYPE_DOCUMENT) {
      for (uint32_t i = 0; i < paths->n; i++) {
         if (strcmp (paths->list[i], path) == 0) {
            return;
         }
      }
      if (paths->n == MAX_ELEMENT_PATHS) {
         self->why = "more numbers than one statement can compare by type";
         return;
      }
      paths->list[paths->n++] = path;
      return;
   }
   ecl_names_init (&seen, self->arena);
   ecl_iter_init (&iter, v);
   while (!self->why && next_typed (self, &iter, &seen, path, &field, &below)) {
      add_element_paths (self, paths, below, &field.value);
   }
}

/* What {$type: "$$this" and the path} gives for that element. */
static ecl_value_t
type_in (const ecl_value_t *element, const char *path)
{
   ecl_value_t v = *element;

   while (*path && v.type == BSON_TYPE_DOCUMENT) {
      size_t len = strcspn (path + 1, ".");

      v = ecl_document_get (&v, path + 1, len);
      path += 1 + len;
   }
   /* Below an array a path gives an array, below anything else nothing. */
   return ecl_make_text (!*path || v.type == BSON_TYPE_ARRAY ? ecl_type_name (v.type) : ecl_type_name (ECL_MISSING));
}

/* The types of an array's elements and of what is below them, where there are numbers:
 * {$cond: [{$isArray: [path]}, {$map: {input: path, in: [{$type: "$$this"}, {$type: "$$this.a"}, …]}}, 0]}, for $map
 * takes nothing but arrays. */
static void
check_elements (guard_t *self, const char *path, const ecl_value_t *list)
{
   uint32_t n;
   const ecl_value_t *items = ecl_array_items (self->arena, list, &n);
   ecl_value_t *types = ecl_arena_array (self->arena, ecl_value_t, n), input = ecl_make_text (path), map, is, *of;
   element_paths_t paths = {.n = 0};

   for (uint32_t i = 0; i < n && !self->why; i++) {
      add_element_paths (self, &paths, "", &items[i]);
   }
   if (self->why) {
      return;
   }
   for (uint32_t i = 0; i < n; i++) {
      of = ecl_arena_array (self->arena, ecl_value_t, paths.n);
      for (uint32_t k = 0; k < paths.n; k++) {
         of[k] = type_in (&items[i], paths.list[k]);
      }
      types[i] = paths.n == 1 ? of[0] : ecl_vec (of, paths.n);
   }
   of = ecl_arena_array (self->arena, ecl_value_t, paths.n);
   for (uint32_t k = 0; k < paths.n; k++) {
      of[k] = ecl_make_object (self->arena, "$type",
                               ecl_make_text (ecl_arena_printf (self->arena, "$$this%s", paths.list[k])));
   }
   is = ecl_make_object (self->arena, "$isArray", ecl_make_array (self->arena, &input, 1));
   map = ecl_make_object2 (self->arena, "input", input, "in", paths.n == 1 ? of[0] : ecl_vec (of, paths.n));
   map = ecl_make_object (self->arena, "$map", map);
   add_check (
      self,
      ecl_make_object (self->arena, "$cond", ecl_make_array (self->arena, (ecl_value_t[]){is, map, ecl_int32 (0)}, 3)),
      ecl_vec (types, n));
}

/* The types of what $eq compares only by value, at path and below. */
static void
check_types (guard_t *self, const char *path, const ecl_value_t *v)
{
   ecl_names_t seen;
   ecl_iter_t iter;
   ecl_field_t field;
   const char *below;

   if (!has_typed (v)) {
      return;
   }
   if (v->type == BSON_TYPE_ARRAY) {
      check_elements (self, path, v);
      return;
   }
   if (v->type != BSON_TYPE_DOCUMENT) {
      check_type (self, path, v->type);
      return;
   }
   ecl_names_init (&seen, self->arena);
   ecl_iter_init (&iter, v);
   while (!self->why && next_typed (self, &iter, &seen, path, &field, &below)) {
      check_types (self, below, &field.value);
   }
}

/* The field is still what was read. */
static void
check_field (guard_t *self, const char *name, size_t len, const ecl_value_t *v)
{
   const char *path;

   if (!plain_name (name, len)) {
      self->why = "a field whose name has a dot or a leading $";
      return;
   }
   path = ecl_arena_printf (self->arena, "$%.*s", (int) len, name);
   self->fields[self->n_fields++] = ecl_field (name, len, ecl_make_text (path));
   if (v->type != ECL_MISSING) {
      self->values[self->n_values++] = ecl_field (name, len, *v);
      check_types (self, path, v);
   }
}

static ecl_value_t
verdict_of (guard_t *self)
{
   ecl_value_t *now = ecl_arena_array (self->arena, ecl_value_t, self->n + 1);
   ecl_value_t *then = ecl_arena_array (self->arena, ecl_value_t, self->n + 1);

   now[0] = ecl_fields (self->fields, self->n_fields);
   then[0] = ecl_fields (self->values, self->n_values);
   for (uint32_t i = 0; i < self->n; i++) {
      now[i + 1] = self->now[i];
      then[i + 1] = self->then[i];
   }
   return call2 (self->arena, "$eq", ecl_vec (now, self->n + 1), constant (self->arena, ecl_vec (then, self->n + 1)));
}

/* ---- what is written ---- */

typedef struct {
   const ecl_field_t *before, *after;
   uint32_t n_before, n_after;
   bool *stays;       /* of before: it keeps its place */
   bool *changed;     /* of before: it stays with another value */
   uint32_t *partner; /* of after: its index in before + 1, 0 where it is new */
   uint32_t kept;     /* the first so many of after keep their place; the rest goes behind */
} edit_t;

static void
plan_edit (ecl_arena_t *arena, const ecl_value_t *stored, const ecl_value_t *wanted, edit_t *edit)
{
   uint32_t from = 0;

   memset (edit, 0, sizeof *edit);
   edit->before = ecl_document_fields (arena, stored, &edit->n_before);
   edit->after = ecl_document_fields (arena, wanted, &edit->n_after);
   edit->stays = ecl_arena_array (arena, bool, edit->n_before + 1);
   edit->changed = ecl_arena_array (arena, bool, edit->n_before + 1);
   edit->partner = ecl_arena_array (arena, uint32_t, edit->n_after + 1);
   memset (edit->stays, 0, edit->n_before + 1);
   memset (edit->changed, 0, edit->n_before + 1);
   memset (edit->partner, 0, (edit->n_after + 1) * sizeof *edit->partner);
   /* Both are mostly in the same order: the search begins where the last one was found. */
   for (uint32_t i = 0, at = 0; i < edit->n_after; i++) {
      for (uint32_t tries = 0; tries < edit->n_before; tries++, at++) {
         at = at == edit->n_before ? 0 : at;
         if (edit->before[at].key_len == edit->after[i].key_len &&
             memcmp (edit->before[at].key, edit->after[i].key, edit->after[i].key_len) == 0) {
            edit->partner[i] = at + 1;
            break;
         }
      }
   }
   while (edit->kept < edit->n_after && edit->partner[edit->kept] > from) {
      from = edit->partner[edit->kept];
      edit->stays[from - 1] = true;
      edit->changed[from - 1] = !ecl_identical (&edit->before[from - 1].value, &edit->after[edit->kept].value);
      edit->kept++;
   }
}

/* The i-th field of the result has to be written. */
static bool
changes (const edit_t *edit, uint32_t i)
{
   return i >= edit->kept || edit->changed[edit->partner[i] - 1];
}

static bool
named (const ecl_guard_fields_t *fields, const ecl_field_t *field)
{
   if (fields->whole) {
      return true;
   }
   for (size_t i = 0; i < fields->n; i++) {
      if (strlen (fields->names[i]) == field->key_len && memcmp (fields->names[i], field->key, field->key_len) == 0) {
         return true;
      }
   }
   return false;
}

static bool
is_verdict (const ecl_field_t *field)
{
   return field->key_len == sizeof VERDICT - 1 && memcmp (field->key, VERDICT, field->key_len) == 0;
}

/* Checks every field that counts: those that the plan names (missing ones too), and those that change. */
static void
check_fields (guard_t *self, const ecl_guard_fields_t *fields, const edit_t *edit)
{
   ecl_names_t seen;

   ecl_names_init (&seen, self->arena);
   for (uint32_t i = 0; i < edit->n_before && !self->why; i++) {
      const ecl_field_t *field = &edit->before[i];
      bool again = comes_again (&seen, field);

      if (field->key_len == 3 && memcmp (field->key, "_id", 3) == 0) {
         continue; /* the filter names it, and nobody can change it */
      }
      if (is_verdict (field)) {
         self->why = VERDICT_TAKEN;
         return;
      }
      if (!edit->stays[i] || edit->changed[i] || named (fields, field)) {
         if (again) {
            self->why = TWICE;
            return;
         }
         check_field (self, field->key, field->key_len, &field->value);
      }
   }
   for (size_t k = 0; k < fields->n && !self->why; k++) {
      size_t len = strlen (fields->names[k]);

      if (ecl_names_find (&seen, fields->names[k], (uint32_t) len) == ECL_NAMES_NONE) {
         ecl_value_t missing = ecl_missing ();
         check_field (self, fields->names[k], len, &missing);
      }
   }
   for (uint32_t i = 0; i < edit->n_after && !self->why; i++) {
      const ecl_field_t *field = &edit->after[i];

      if (!plain_name (field->key, field->key_len) && changes (edit, i)) {
         self->why = "a field whose name has a dot or a leading $";
      } else if (is_verdict (field)) {
         self->why = VERDICT_TAKEN;
      }
   }
}

/* A value as the stage sees it: in the pipeline form, only if the verdict is true. */
static ecl_field_t
assignment (ecl_arena_t *arena, ecl_guard_form_t form, const ecl_field_t *field, ecl_value_t value)
{
   if (form == ECL_GUARD_IN_PIPELINE) {
      ecl_value_t present = ecl_make_text (ecl_arena_printf (arena, "$%.*s", (int) field->key_len, field->key));

      value = ecl_make_object (arena, "$cond",
                               ecl_make_array (arena, (ecl_value_t[]){ecl_make_text ("$" VERDICT), value, present}, 3));
   }
   return ecl_field (field->key, field->key_len, value);
}

/* One $set that removes and sets, or two, where a field is removed only to go to another place. The new document
 * between them has no memory of it. */
static ecl_value_t
build_update (ecl_arena_t *arena, const edit_t *edit, ecl_guard_form_t form, ecl_value_t verdict)
{
   ecl_value_t stages[5];
   ecl_field_t *fields = ecl_arena_array (arena, ecl_field_t, edit->n_before + edit->n_after);
   uint32_t n_stages = 0, n = 0, from = 0;
   bool moves = false;

   if (form == ECL_GUARD_IN_PIPELINE) {
      stages[n_stages++] = ecl_make_object (arena, "$set", ecl_make_object (arena, VERDICT, verdict));
   }
   for (uint32_t i = 0; i < edit->n_before; i++) {
      if (!edit->stays[i]) {
         fields[n++] = assignment (arena, form, &edit->before[i], ecl_make_text ("$$REMOVE"));
      }
   }
   for (uint32_t i = edit->kept; i < edit->n_after; i++) {
      moves = moves || edit->partner[i];
   }
   if (moves) {
      /* A field that is removed keeps its place for when it is set again, but not in a new document. */
      ecl_value_t root = ecl_make_text ("$$ROOT");

      stages[n_stages++] = ecl_make_object (arena, "$set", ecl_fields (fields, n));
      stages[n_stages++] = ecl_make_object (arena, "$replaceWith",
                                            ecl_make_object (arena, "$mergeObjects", ecl_make_array (arena, &root, 1)));
      from = n;
   }
   for (uint32_t i = 0; i < edit->n_after; i++) {
      if (changes (edit, i)) {
         fields[n++] = assignment (arena, form, &edit->after[i], constant (arena, edit->after[i].value));
      }
   }
   if (n > from) {
      stages[n_stages++] = ecl_make_object (arena, "$set", ecl_fields (fields + from, n - from));
   }
   if (form == ECL_GUARD_IN_PIPELINE) {
      stages[n_stages++] = ecl_make_object (arena, "$unset", ecl_make_text (VERDICT));
   }
   return ecl_make_array (arena, stages, n_stages);
}

ecl_guard_result_t
ecl_guard_build (ecl_arena_t *arena, const ecl_guard_fields_t *fields, const ecl_value_t *stored,
                 const ecl_value_t *wanted, ecl_guard_form_t form, ecl_value_t *filter, ecl_value_t *update,
                 const char **why)
{
   guard_t guard = {.arena = arena};
   ecl_field_t *by = ecl_arena_array (arena, ecl_field_t, 2);
   ecl_value_t id = ecl_document_get (stored, "_id", 3), verdict, plain, pipeline;
   edit_t edit;

   *why = NULL;
   if (ecl_identical (stored, wanted)) {
      return ECL_GUARD_NOTHING;
   }
   plan_edit (arena, stored, wanted, &edit);
   guard.fields = ecl_arena_array (arena, ecl_field_t, edit.n_before + fields->n);
   guard.values = ecl_arena_array (arena, ecl_field_t, edit.n_before);
   check_fields (&guard, fields, &edit);
   if (guard.why) {
      *why = guard.why;
      return ECL_GUARD_TRANSACTION;
   }
   if (fields->whole) {
      /* Not one field more, either. */
      add_check (&guard,
                 ecl_make_object (arena, "$size", ecl_make_object (arena, "$objectToArray", ecl_make_text ("$$ROOT"))),
                 ecl_int32 ((int32_t) edit.n_before));
   }
   verdict = verdict_of (&guard);
   by[0] = ecl_field ("_id", 3, id);
   by[1] = ecl_field ("$expr", 5, verdict);
   plain = ecl_fields (by, form == ECL_GUARD_IN_FILTER ? 2 : 1);
   pipeline = build_update (arena, &edit, form, verdict);
   if (ecl_value_size (&plain) + ecl_value_size (&pipeline) > ECL_GUARD_MAX_STATEMENT ||
       !ecl_value_to_raw (arena, &plain, filter, NULL) || !ecl_value_to_raw (arena, &pipeline, update, NULL)) {
      *why = "the statement would be larger than a server takes";
      return ECL_GUARD_TRANSACTION;
   }
   return ECL_GUARD_STATEMENT;
}
