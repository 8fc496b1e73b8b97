/* Guarded updates: see guard.h. */
#include "run/guard.h"

#include "bson/compare.h"
#include "bson/cursor.h"
#include "bson/make.h"

/* More comparisons of types than this in one statement say that a transaction is cheaper. */
#define MAX_TYPE_CHECKS 500u

/* Where the pipeline form keeps its verdict while it runs; removed by its last stage. */
#define VERDICT "__eclose_unchanged"

typedef struct {
   ecl_arena_t *arena;
   ecl_value_t *checks; /* expressions that must all be true */
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

static ecl_value_t
literal (ecl_arena_t *arena, ecl_value_t value)
{
   return ecl_make_object (arena, "$literal", value);
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
add_check (guard_t *self, ecl_value_t check)
{
   if (self->n == self->cap) {
      self->checks = ecl_arena_grow (self->arena, self->checks, self->cap * sizeof *self->checks,
                                     2 * (size_t) (self->cap + 4) * sizeof *self->checks);
      self->cap = 2 * (self->cap + 4);
   }
   self->checks[self->n++] = check;
}

/* {$eq: [{$type: path}, name]} */
static void
check_type (guard_t *self, const char *path, uint8_t type)
{
   if (++self->n_types > MAX_TYPE_CHECKS) {
      self->why = "more numbers than one statement can compare by type";
      return;
   }
   add_check (self, call2 (self->arena, "$eq", ecl_make_object (self->arena, "$type", ecl_make_text (path)),
                           ecl_make_text (ecl_type_name (type))));
}

static bool
plain_name (const char *name, size_t len)
{
   return len > 0 && name[0] != '$' && !memchr (name, '.', len);
}

/* True for the types that $eq does not tell from others: numbers among each other, symbols from strings, undefined from
 * what is missing. */
static bool
needs_type (uint8_t type)
{
   return type == BSON_TYPE_INT32 || type == BSON_TYPE_INT64 || type == BSON_TYPE_DOUBLE ||
          type == BSON_TYPE_DECIMAL128 || type == BSON_TYPE_UTF8 || type == BSON_TYPE_SYMBOL ||
          type == BSON_TYPE_UNDEFINED;
}

/* Inside arrays strings are not checked: a symbol in their place would have to come from an application that writes a
 * type which no driver has written for ten years; numbers are what applications change. */
static bool
has_numbers (const ecl_value_t *v)
{
   ecl_iter_t iter;
   ecl_field_t field;

   if (ecl_is_number (v) || v->type == BSON_TYPE_SYMBOL || v->type == BSON_TYPE_UNDEFINED) {
      return true;
   }
   if (v->type == BSON_TYPE_DOCUMENT || v->type == BSON_TYPE_ARRAY) {
      ecl_iter_init (&iter, v);
      while (ecl_iter_field (&iter, &field)) {
         if (has_numbers (&field.value)) {
            return true;
         }
      }
   }
   return false;
}

/* The types of an array's elements, where it has numbers: {$map: {input: path, in: {$type: "$$this"}}} */
static void
check_elements (guard_t *self, const char *path, const ecl_value_t *list)
{
   uint32_t n;
   const ecl_value_t *items = ecl_array_items (self->arena, list, &n);
   ecl_value_t *types = ecl_arena_array (self->arena, ecl_value_t, n);
   ecl_field_t *map = ecl_arena_array (self->arena, ecl_field_t, 2);

   if (!has_numbers (list)) {
      return;
   }
   for (uint32_t i = 0; i < n; i++) {
      if ((items[i].type == BSON_TYPE_DOCUMENT || items[i].type == BSON_TYPE_ARRAY) && has_numbers (&items[i])) {
         self->why = "numbers inside documents or arrays of an array";
         return;
      }
      types[i] = ecl_make_text (ecl_type_name (items[i].type));
   }
   map[0] = ecl_field ("input", 5, ecl_make_text (path));
   map[1] = ecl_field ("in", 2, ecl_make_object (self->arena, "$type", ecl_make_text ("$$this")));
   add_check (
      self, call2 (self->arena, "$eq", ecl_make_object (self->arena, "$map", ecl_fields (map, 2)), ecl_vec (types, n)));
}

/* The types of what $eq compares only by value, at path and below. */
static void
check_types (guard_t *self, const char *path, const ecl_value_t *v)
{
   if (needs_type (v->type)) {
      check_type (self, path, v->type);
   } else if (v->type == BSON_TYPE_ARRAY) {
      check_elements (self, path, v);
   } else if (v->type == BSON_TYPE_DOCUMENT) {
      ecl_iter_t iter;
      ecl_field_t field;

      ecl_iter_init (&iter, v);
      while (!self->why && ecl_iter_field (&iter, &field)) {
         bool deep = field.value.type == BSON_TYPE_DOCUMENT || field.value.type == BSON_TYPE_ARRAY;

         if (!needs_type (field.value.type) && !(deep && has_numbers (&field.value))) {
            continue;
         }
         if (field.value.type == BSON_TYPE_UTF8) {
            continue; /* as inside arrays */
         }
         if (!plain_name (field.key, field.key_len)) {
            self->why = "a number under a name with a dot or a leading $";
            return;
         }
         check_types (self, ecl_arena_printf (self->arena, "%s.%.*s", path, (int) field.key_len, field.key),
                      &field.value);
      }
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
   if (v->type == ECL_MISSING) {
      check_type (self, path, ECL_MISSING);
      return;
   }
   add_check (self, call2 (self->arena, "$eq", ecl_make_text (path), literal (self->arena, *v)));
   check_types (self, path, v);
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

/* Checks every field that counts: those that the plan names (missing ones too), and those that change. */
static void
check_fields (guard_t *self, const ecl_guard_fields_t *fields, const edit_t *edit)
{
   for (uint32_t i = 0; i < edit->n_before && !self->why; i++) {
      const ecl_field_t *field = &edit->before[i];

      if (field->key_len == 3 && memcmp (field->key, "_id", 3) == 0) {
         continue; /* the filter names it, and nobody can change it */
      }
      if (!edit->stays[i] || edit->changed[i] || named (fields, field)) {
         check_field (self, field->key, field->key_len, &field->value);
      }
   }
   for (size_t k = 0; k < fields->n && !self->why; k++) {
      uint32_t i = 0;

      while (i < edit->n_before && !(strlen (fields->names[k]) == edit->before[i].key_len &&
                                     memcmp (fields->names[k], edit->before[i].key, edit->before[i].key_len) == 0)) {
         i++;
      }
      if (i == edit->n_before) {
         ecl_value_t missing = ecl_missing ();
         check_field (self, fields->names[k], strlen (fields->names[k]), &missing);
      }
   }
   for (uint32_t i = 0; i < edit->n_after && !self->why; i++) {
      const ecl_field_t *field = &edit->after[i];

      if (!plain_name (field->key, field->key_len) && changes (edit, i)) {
         self->why = "a field whose name has a dot or a leading $";
      }
   }
}

/* A value as the stage sees it: in the pipeline form, only if the verdict is true. */
static ecl_value_t
guarded (ecl_arena_t *arena, ecl_guard_form_t form, const ecl_field_t *field, ecl_value_t value)
{
   const char *present;

   if (form == ECL_GUARD_IN_FILTER) {
      return value;
   }
   present = ecl_arena_printf (arena, "$%.*s", (int) field->key_len, field->key);
   return ecl_make_object (
      arena, "$cond",
      ecl_make_array (arena, (ecl_value_t[]){ecl_make_text ("$" VERDICT), value, ecl_make_text (present)}, 3));
}

static ecl_value_t
removal (ecl_arena_t *arena, ecl_guard_form_t form, const ecl_field_t *removed, uint32_t n)
{
   if (form == ECL_GUARD_IN_FILTER) {
      ecl_value_t *names = ecl_arena_array (arena, ecl_value_t, n);

      for (uint32_t i = 0; i < n; i++) {
         names[i] = ecl_string (removed[i].key, removed[i].key_len);
      }
      return ecl_make_object (arena, "$unset", ecl_vec (names, n));
   }
   ecl_field_t *fields = ecl_arena_array (arena, ecl_field_t, n);

   for (uint32_t i = 0; i < n; i++) {
      fields[i] =
         ecl_field (removed[i].key, removed[i].key_len, guarded (arena, form, &removed[i], ecl_make_text ("$$REMOVE")));
   }
   return ecl_make_object (arena, "$set", ecl_fields (fields, n));
}

static ecl_value_t
build_update (ecl_arena_t *arena, const edit_t *edit, ecl_guard_form_t form, ecl_value_t verdict)
{
   ecl_value_t stages[4];
   ecl_field_t *removed = ecl_arena_array (arena, ecl_field_t, edit->n_before);
   ecl_field_t *set = ecl_arena_array (arena, ecl_field_t, edit->n_after);
   uint32_t n_stages = 0, n_removed = 0, n_set = 0;

   for (uint32_t i = 0; i < edit->n_before; i++) {
      if (!edit->stays[i]) {
         removed[n_removed++] = edit->before[i];
      }
   }
   for (uint32_t i = 0; i < edit->n_after; i++) {
      const ecl_field_t *field = &edit->after[i];

      if (changes (edit, i)) {
         set[n_set++] =
            ecl_field (field->key, field->key_len, guarded (arena, form, field, literal (arena, field->value)));
      }
   }
   if (form == ECL_GUARD_IN_PIPELINE) {
      stages[n_stages++] = ecl_make_object (arena, "$set", ecl_make_object (arena, VERDICT, verdict));
   }
   if (n_removed) {
      stages[n_stages++] = removal (arena, form, removed, n_removed);
   }
   if (n_set) {
      stages[n_stages++] = ecl_make_object (arena, "$set", ecl_fields (set, n_set));
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
   check_fields (&guard, fields, &edit);
   if (guard.why) {
      *why = guard.why;
      return ECL_GUARD_TRANSACTION;
   }
   if (fields->whole) {
      /* Not one field more, either. */
      ecl_value_t size =
         ecl_make_object (arena, "$size", ecl_make_object (arena, "$objectToArray", ecl_make_text ("$$ROOT")));
      add_check (&guard, call2 (arena, "$eq", size, ecl_int32 ((int32_t) edit.n_before)));
   }
   verdict = ecl_make_object (arena, "$and", ecl_vec (guard.checks, guard.n));
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
