/* Whether a document that was changed still matches the filter by which it was found. See work_lint.c.
 *
 * A filter is a guard where one of its conditions is known not to hold after the update. Where the value afterwards is
 * known, the condition is tried on it; else only what follows from little is believed: that a field is there, or that
 * something is in a list. Conditions on a `let` say nothing: a step that begins again reads the rows again.
 */
#include "project/work_lint-private.h"

#include "mql/match.h"

/* ---- filters ---- */

bool
ecl_filter_has_id (const ecl_value_t *filter)
{
   ecl_value_t id;
   ecl_field_t op;
   ecl_iter_t iter;

   if (!ecl_is_document (filter)) {
      return false;
   }
   id = ecl_document_get (filter, "_id", 3);
   if (!ecl_is_document (&id)) {
      return id.type != ECL_MISSING;
   }
   ecl_iter_init (&iter, &id);
   return !ecl_iter_field (&iter, &op) || op.key_len == 0 || op.key[0] != '$' || ecl_key_is (&op, "$eq");
}

static bool
is_list_of_filters (const ecl_field_t *field)
{
   return ecl_is_array (&field->value) &&
          (ecl_key_is (field, "$and") || ecl_key_is (field, "$or") || ecl_key_is (field, "$nor"));
}

bool
ecl_effect_touches (const ecl_effect_t *self, const ecl_value_t *filter)
{
   ecl_field_t field;
   ecl_value_t part;
   ecl_iter_t iter, parts;

   if (!ecl_is_document (filter)) {
      return false;
   }
   ecl_iter_init (&iter, filter);
   while (ecl_iter_field (&iter, &field)) {
      ecl_name_t path = {field.key, field.key_len};

      if (is_list_of_filters (&field)) {
         ecl_iter_init (&parts, &field.value);
         while (ecl_iter_item (&parts, &part)) {
            if (ecl_effect_touches (self, &part)) {
               return true;
            }
         }
      } else if (field.key_len && field.key[0] != '$') {
         for (size_t i = 0; i < self->n; i++) {
            if (self->items[i].kind != ECL_WRITE_KEPT && ecl_paths_overlap (&self->items[i].path, &path)) {
               return true;
            }
         }
      }
   }
   return false;
}

/* ---- trying a condition ---- */

/* NULL for what is not known: a `let` is in it, or the server knows more than we do. */
static ecl_match_t *
compile (const ecl_effect_t *self, const ecl_field_t *condition)
{
   ecl_value_t filter = ecl_fields (condition, 1), raw;

   if (ecl_names_let (self->foreach, &condition->value) || !ecl_value_to_raw (self->arena, &filter, &raw, NULL)) {
      return NULL;
   }
   return ecl_match_new (&raw, NULL);
}

/* Whether the document is known not to match. */
static bool
fails_on (const ecl_effect_t *self, const ecl_match_t *match, const ecl_value_t *document)
{
   bool matched = true, ran;
   ecl_value_t raw;
   ecl_eval_t ev;

   if (!ecl_value_to_raw (self->arena, document, &raw, NULL)) {
      return false;
   }
   ecl_eval_init (&ev);
   ran = ecl_match_run (match, &ev, &raw, &matched, NULL);
   ecl_eval_cleanup (&ev);
   return ran && !matched;
}

/* {a: {b: value}} for "a.b"; an empty document for a missing value. */
static ecl_value_t
document_with (const ecl_effect_t *self, const ecl_name_t *path, ecl_value_t value)
{
   uint32_t end = path->len;

   if (value.type == ECL_MISSING) {
      return ecl_fields (NULL, 0);
   }
   while (end) {
      uint32_t begin = end;
      ecl_field_t *field = ecl_arena_new (self->arena, ecl_field_t);

      while (begin && path->str[begin - 1] != '.') {
         begin--;
      }
      *field = ecl_field (path->str + begin, end - begin, value);
      value = ecl_fields (field, 1);
      end = begin ? begin - 1 : 0;
   }
   return value;
}

static bool
fails_with (const ecl_effect_t *self, const ecl_field_t *condition, const ecl_name_t *path, ecl_value_t value)
{
   ecl_match_t *match = compile (self, condition);
   ecl_value_t document = document_with (self, path, value);
   bool fails = match && fails_on (self, match, &document);

   if (match) {
      ecl_match_destroy (match);
   }
   return fails;
}

/* ---- what follows from little ---- */

static bool
is_null (const ecl_value_t *value)
{
   return value->type == BSON_TYPE_NULL;
}

/* Whether the condition has an operator with such a value. */
static bool
asks (const ecl_value_t *condition, const char *op, bool (*such) (const ecl_value_t *value))
{
   ecl_value_t value = ecl_is_document (condition) ? ecl_document_get (condition, op, strlen (op)) : ecl_missing ();

   return value.type != ECL_MISSING && such (&value);
}

static bool
is_false (const ecl_value_t *value)
{
   return !ecl_truthy (value);
}

static bool
wants_absent (const ecl_value_t *condition)
{
   return asks (condition, "$exists", is_false);
}

static bool
wants_null (const ecl_value_t *condition)
{
   return is_null (condition) || asks (condition, "$eq", is_null);
}

/* A type, or several, of none that has fields or elements. */
static bool
is_plain_type (const ecl_value_t *type)
{
   ecl_value_t one;
   ecl_iter_t iter;

   if (ecl_is_array (type)) {
      ecl_iter_init (&iter, type);
      while (ecl_iter_item (&iter, &one)) {
         if (ecl_is_array (&one) || !is_plain_type (&one)) {
            return false;
         }
      }
      return true;
   }
   if (ecl_is_number (type)) {
      double n = ecl_number_to_double (type);

      return n != BSON_TYPE_DOCUMENT && n != BSON_TYPE_ARRAY;
   }
   return ecl_is_string (type) && !ecl_text_is (type, "object") && !ecl_text_is (type, "array");
}

/* Conditions that an element more can only make false: what fails on a list of one fails on any list with it. */
static bool
is_negative (const ecl_value_t *condition)
{
   static const char *const negative[] = {"$ne", "$nin", "$exists", NULL};
   static const char *const of_one[] = {"$eq", "$in", "$elemMatch", "$gt", "$gte", "$lt", "$lte", NULL};
   ecl_field_t op, inner;

   if (!ecl_only_field (condition, &op)) {
      return false;
   }
   return ecl_is_one_of (&op, negative) ||
          (ecl_key_is (&op, "$not") && ecl_only_field (&op.value, &inner) && ecl_is_one_of (&inner, of_one));
}

/* The value that the condition wants, by equality. */
static ecl_value_t
wanted (const ecl_value_t *condition)
{
   ecl_field_t op;

   if (ecl_is_document (condition)) {
      return ecl_only_field (condition, &op) && ecl_key_is (&op, "$eq") ? op.value : ecl_missing ();
   }
   return condition->type == BSON_TYPE_REGEX ? ecl_missing () : *condition;
}

/* n and so much more is another number, as far as doubles can tell. */
static bool
adds_up (const ecl_value_t *n, const ecl_value_t *more)
{
   double a, b;

   if (!ecl_is_number (n) || !ecl_is_number (more)) {
      return false;
   }
   a = ecl_number_to_double (n);
   b = ecl_number_to_double (more);
   return a + b != a && a > -1e15 && a < 1e15;
}

/* ---- one condition ---- */

static const ecl_write_t *
last_write (const ecl_effect_t *self, const ecl_name_t *path)
{
   const ecl_write_t *last = NULL;

   for (size_t i = 0; i < self->n; i++) {
      if (ecl_paths_overlap (&self->items[i].path, path)) {
         last = &self->items[i];
      }
   }
   return last;
}

static bool
has_text (const ecl_value_t *value)
{
   return ecl_is_string (value) || ecl_is_document (value) || ecl_is_array (value);
}

static ecl_guard_kind_t
holds_if (bool holds)
{
   return holds ? ECL_GUARD_HOLDS : ECL_GUARD_NONE;
}

/* A condition on a path that was written, or on one below or above it. */
static ecl_guard_kind_t
judge (const ecl_effect_t *self, const ecl_field_t *condition, const ecl_write_t *write, ecl_name_t *from)
{
   ecl_name_t path = {condition->key, condition->key_len};
   bool at = ecl_path_covers (&write->path, &path), exact = at && write->path.len == path.len;
   ecl_gives_t gives = write->gives;
   ecl_value_t one, equal;

   if (write->kind == ECL_WRITE_REMOVED && self->merges) {
      gives = ECL_GIVES_UNKNOWN;
   }
   if (gives == ECL_GIVES_VALUE && self->collation && has_text (&write->value)) {
      gives = ECL_GIVES_SOME;
   }
   if (!at && self->pipeline && write->kind == ECL_WRITE_SET && asks (&condition->value, "$type", is_plain_type)) {
      /* {a: {$type: string}} and a stage set "a.b": a is an object now, or a list of such. */
      return ECL_GUARD_HOLDS;
   }
   if (!at) {
      /* {a: {$exists: false}} and "a.b" was set */
      return holds_if (gives != ECL_GIVES_UNKNOWN && gives != ECL_GIVES_MISSING && gives != ECL_GIVES_AS &&
                       (wants_absent (&condition->value) || wants_null (&condition->value)));
   }
   switch (gives) {
   case ECL_GIVES_MISSING:
      return holds_if (fails_with (self, condition, &write->path, ecl_missing ()));
   case ECL_GIVES_VALUE:
      return holds_if (fails_with (self, condition, &write->path, write->value));
   case ECL_GIVES_SOME:
      return holds_if (exact && wants_absent (&condition->value));
   case ECL_GIVES_SCALAR:
      return holds_if (exact && (wants_absent (&condition->value) || wants_null (&condition->value)));
   case ECL_GIVES_HOLDS:
      one = ecl_vec (&write->value, 1);
      return holds_if (is_negative (&condition->value) && fails_with (self, condition, &write->path, one));
   case ECL_GIVES_LACKS:
      equal = wanted (&condition->value);
      return holds_if (exact && !self->collation && equal.type != ECL_MISSING && ecl_identical (&equal, &write->value));
   case ECL_GIVES_MORE:
      equal = wanted (&condition->value);
      return holds_if (exact && (wants_absent (&condition->value) || wants_null (&condition->value) ||
                                 adds_up (&equal, &write->value)));
   case ECL_GIVES_AS:
      *from = write->from;
      return exact && wants_absent (&condition->value) ? ECL_GUARD_IF : ECL_GUARD_NONE;
   case ECL_GIVES_UNKNOWN:
   default:
      return write->in_list ? ECL_GUARD_IN_LIST : ECL_GUARD_NONE;
   }
}

/* $expr, $nor and the like: tried where every field that they read is known. */
static bool
fails_as_a_whole (const ecl_effect_t *self, const ecl_field_t *condition)
{
   ecl_match_t *match = compile (self, condition);
   ecl_field_t *fields;
   const char *const *paths;
   size_t n = 0, n_fields = 0;
   bool whole = true, known;
   ecl_value_t document;

   if (!match) {
      return false;
   }
   paths = ecl_match_paths (match, &n, &whole);
   fields = ecl_arena_array (self->arena, ecl_field_t, n + 1);
   known = !whole && n && !self->collation;
   for (size_t i = 0; i < n && known; i++) {
      ecl_name_t path = {paths[i], (uint32_t) strlen (paths[i])};
      const ecl_write_t *write = last_write (self, &path);

      known = write && ecl_path_covers (&write->path, &path) && !memchr (write->path.str, '.', write->path.len) &&
              (write->gives == ECL_GIVES_VALUE || (write->gives == ECL_GIVES_MISSING && !self->merges));
      if (known && write->gives == ECL_GIVES_VALUE) {
         fields[n_fields++] = ecl_field (write->path.str, write->path.len, write->value);
      }
   }
   document = ecl_fields (fields, n_fields);
   known = known && fails_on (self, match, &document);
   ecl_match_destroy (match);
   return known;
}

/* The best of its conditions; with `all`, the worst of a list of filters. */
static ecl_guard_kind_t
guard_of_list (const ecl_effect_t *self, const ecl_value_t *list, bool all, ecl_name_t *from)
{
   ecl_guard_kind_t result = all ? ECL_GUARD_HOLDS : ECL_GUARD_NONE;
   ecl_value_t part;
   ecl_iter_t iter;
   size_t n = 0;

   ecl_iter_init (&iter, list);
   for (; ecl_iter_item (&iter, &part); n++) {
      ecl_name_t there;
      ecl_guard_kind_t one = ecl_effect_guard (self, &part, &there);

      if (all ? one < result : one > result) {
         result = one;
         *from = there;
      }
   }
   /* Of several fields not all may be there: only one can be asked for. */
   return all && (n == 0 || (n > 1 && result == ECL_GUARD_IF)) ? ECL_GUARD_NONE : result;
}

ecl_guard_kind_t
ecl_effect_guard (const ecl_effect_t *self, const ecl_value_t *filter, ecl_name_t *from)
{
   ecl_guard_kind_t best = ECL_GUARD_NONE;
   ecl_field_t field;
   ecl_iter_t iter;

   if (!ecl_is_document (filter)) {
      return best;
   }
   ecl_iter_init (&iter, filter);
   while (best != ECL_GUARD_HOLDS && ecl_iter_field (&iter, &field)) {
      ecl_name_t path = {field.key, field.key_len}, there = {"", 0};
      ecl_guard_kind_t one = ECL_GUARD_NONE;
      const ecl_write_t *write;

      if (ecl_is_array (&field.value) && (ecl_key_is (&field, "$and") || ecl_key_is (&field, "$or"))) {
         one = guard_of_list (self, &field.value, ecl_key_is (&field, "$or"), &there);
      } else if (field.key_len && field.key[0] == '$') {
         one = holds_if (fails_as_a_whole (self, &field));
      } else if ((write = last_write (self, &path)) && write->kind != ECL_WRITE_KEPT) {
         one = judge (self, &field, write, &there);
      }
      if (one > best) {
         best = one;
         *from = there;
      }
   }
   return best;
}
