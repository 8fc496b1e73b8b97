/* Running of $jsonSchema: see schema.h. One walk serves both questions: without a callback it ends at the first broken
 * rule, with one it goes on and tells each. */
#include "mql/schema_node.h"

#include "mql/match_types.h"
#include "mql/plan.h"

#include <inttypes.h>
#include <math.h>

/* Where the walk is: a list on the stack from the value up to the document. */
typedef struct frame_t frame_t;
struct frame_t {
   const frame_t *up;
   const char *key;
   uint32_t key_len;
};

typedef struct {
   ecl_eval_t *ev;
   ecl_schema_explain_fn explain; /* NULL: the first broken rule is the answer */
   void *context;
} walk_t;

static bool
check (const ecl_schema_node_t *self, walk_t *walk, const ecl_value_t *v, const frame_t *frame);

ecl_schema_t *
ecl_schema_new (const ecl_field_t *spec, const ecl_schema_options_t *options)
{
   ecl_schema_t *self = bson_malloc0 (sizeof *self);

   ecl_arena_init (&self->arena);
   ecl_parse_init (&self->parse, &self->arena, NULL, options ? options->report : NULL,
                   options ? options->report_context : NULL);
   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      ecl_parse_fail (&self->parse, ecl_at (spec), 14, "$jsonSchema must be an object, found %s",
                      ecl_type_name (spec->value.type));
   } else {
      self->root = ecl_schema_parse (&self->parse, spec);
   }
   if (!self->root) {
      ecl_schema_destroy (self);
      return NULL;
   }
   return self;
}

void
ecl_schema_destroy (ecl_schema_t *self)
{
   if (self) {
      ecl_arena_cleanup (&self->arena);
      bson_free (self);
   }
}

/* ---- telling ---- */

static const char *
path_text (ecl_arena_t *arena, const frame_t *frame)
{
   size_t len = 0;
   char *text;

   for (const frame_t *f = frame; f; f = f->up) {
      len += f->key_len + 1;
   }
   if (!len) {
      return "";
   }
   text = ecl_arena_alloc (arena, len);
   text[--len] = '\0';
   for (const frame_t *f = frame; f; f = f->up) {
      len -= f->key_len;
      memcpy (text + len, f->key, f->key_len);
      if (f->up) {
         text[--len] = '.';
      }
   }
   return text;
}

/* Returns false, the verdict. Only called where there is a callback: what is expected is text that costs time. */
static bool
tell (walk_t *walk, const frame_t *frame, const char *keyword, const uint8_t *rule, const ecl_value_t *found,
      const char *expected)
{
   ecl_schema_problem_t problem = {
      .path = path_text (&walk->ev->arena, frame),
      .keyword = keyword,
      .expected = expected,
      .found = found,
      .rule = rule,
   };

   walk->explain (walk->context, &problem);
   return false;
}

/* Ends the walk, or tells and goes on. To be used where `valid` is the verdict so far. */
#define BROKEN(keyword, found, ...)                                                  \
   do {                                                                              \
      if (!walk->explain) {                                                          \
         return false;                                                               \
      }                                                                              \
      valid = tell (walk, frame, #keyword, self->at[ECL_KEYWORD_##keyword], (found), \
                    ecl_arena_printf (&walk->ev->arena, __VA_ARGS__));               \
   } while (0)

/* A part must be valid: ends the walk at once where nothing is to be told. */
#define NEED(condition)        \
   do {                        \
      if (!(condition)) {      \
         if (!walk->explain) { \
            return false;      \
         }                     \
         valid = false;        \
      }                        \
   } while (0)

/* Valid or not, without telling. */
static bool
check_silently (const ecl_schema_node_t *self, walk_t *walk, const ecl_value_t *v, const frame_t *frame)
{
   walk_t silent = {.ev = walk->ev};

   return check (self, &silent, v, frame);
}

/* ---- scalars ---- */

static bool
is_multiple (const ecl_value_t *v, const ecl_value_t *of)
{
   if ((v->type == BSON_TYPE_INT32 || v->type == BSON_TYPE_INT64) &&
       (of->type == BSON_TYPE_INT32 || of->type == BSON_TYPE_INT64)) {
      return v->u.i64 % of->u.i64 == 0; /* the divisor is positive */
   }
   return ecl_decimal_is_zero (ecl_decimal_mod (ecl_decimal_from_number (v), ecl_decimal_from_number (of)));
}

/* As $gte and its kin: NaN is equal to itself and neither above nor below anything. */
static bool
is_within (const ecl_value_t *v, const ecl_value_t *bound, bool exclusive, int direction)
{
   if (ecl_is_nan (v) || ecl_is_nan (bound)) {
      return !exclusive && ecl_is_nan (v) && ecl_is_nan (bound);
   } else {
      int c = ecl_compare (v, bound) * direction;

      return exclusive ? c > 0 : c >= 0;
   }
}

static bool
check_number (const ecl_schema_node_t *self, walk_t *walk, const ecl_value_t *v, const frame_t *frame)
{
   bool valid = true;

   if (self->minimum.type && !is_within (v, &self->minimum, self->exclusive_minimum, 1)) {
      BROKEN (minimum, v, "%s %s", self->exclusive_minimum ? "more than" : "at least",
              ecl_value_text (&walk->ev->arena, &self->minimum));
   }
   if (self->maximum.type && !is_within (v, &self->maximum, self->exclusive_maximum, -1)) {
      BROKEN (maximum, v, "%s %s", self->exclusive_maximum ? "less than" : "at most",
              ecl_value_text (&walk->ev->arena, &self->maximum));
   }
   if (self->multiple_of.type && !is_multiple (v, &self->multiple_of)) {
      BROKEN (multipleOf, v, "a multiple of %s", ecl_value_text (&walk->ev->arena, &self->multiple_of));
   }
   return valid;
}

static bool
check_string (const ecl_schema_node_t *self, walk_t *walk, const ecl_value_t *v, const frame_t *frame)
{
   bool valid = true;

   if (self->at[ECL_KEYWORD_minLength] || self->at[ECL_KEYWORD_maxLength]) {
      int64_t n = 0;

      for (uint32_t i = 0; i < v->len; i++) {
         n += ((uint8_t) v->u.str[i] & 0xC0) != 0x80; /* all but the later bytes of a character */
      }
      if (n < self->min_length) {
         BROKEN (minLength, v, "at least %" PRId64 " characters", self->min_length);
      }
      if (self->at[ECL_KEYWORD_maxLength] && n > self->max_length) {
         BROKEN (maxLength, v, "at most %" PRId64 " characters", self->max_length);
      }
   }
   if (self->pattern && ecl_regex_match (self->pattern, walk->ev, v->u.str, v->len) != ECL_REGEX_MATCH) {
      BROKEN (pattern, v, "a match of /%.*s/", (int) self->pattern_text.len, self->pattern_text.str);
   }
   return valid;
}

/* ---- arrays ---- */

static bool
check_items (const ecl_schema_node_t *self, walk_t *walk, const ecl_value_t *v, const frame_t *frame)
{
   ecl_iter_t iter;
   ecl_field_t field;
   uint32_t i = 0;
   bool valid = true;

   ecl_iter_init (&iter, v);
   while (ecl_iter_field (&iter, &field)) {
      char index[16];
      frame_t inner = {.up = frame, .key = index};

      if (walk->explain) {
         inner.key_len = (uint32_t) snprintf (index, sizeof index, "%" PRIu32, i);
      }
      if (self->item) {
         NEED (check (self->item, walk, &field.value, &inner));
      } else if (i < self->items.n) {
         NEED (check (self->items.nodes[i], walk, &field.value, &inner));
      } else if (self->more_items.none) {
         BROKEN (additionalItems, v, "at most %" PRIu32 " elements", self->items.n);
         break;
      } else if (self->more_items.node) {
         NEED (check (self->more_items.node, walk, &field.value, &inner));
      }
      i++;
   }
   return valid;
}

static bool
check_array (const ecl_schema_node_t *self, walk_t *walk, const ecl_value_t *v, const frame_t *frame)
{
   bool valid = true;

   if (self->at[ECL_KEYWORD_minItems] || self->at[ECL_KEYWORD_maxItems]) {
      int64_t n = ecl_array_count (v);

      if (n < self->min_items) {
         BROKEN (minItems, v, "at least %" PRId64 " elements", self->min_items);
      }
      if (self->at[ECL_KEYWORD_maxItems] && n > self->max_items) {
         BROKEN (maxItems, v, "at most %" PRId64 " elements", self->max_items);
      }
   }
   if (self->unique_items) {
      uint32_t n;
      const ecl_value_t *items = ecl_array_items (&walk->ev->arena, v, &n);

      if (!ecl_schema_unique (&walk->ev->arena, items, n)) {
         BROKEN (uniqueItems, v, "no element twice");
      }
   }
   if (self->at[ECL_KEYWORD_items]) {
      NEED (check_items (self, walk, v, frame));
   }
   return valid;
}

/* ---- documents ---- */

/* One field of a document against properties, patternProperties and additionalProperties. */
static bool
check_field (const ecl_schema_node_t *self, walk_t *walk, const ecl_field_t *field,
             const ecl_schema_property_t *property, bool first, const frame_t *frame)
{
   frame_t inner = {.up = frame, .key = field->key, .key_len = field->key_len};
   bool allowed = property && property->allowed;
   bool valid = true;

   /* Of fields with equal names the first is the property. */
   if (property && property->node && first) {
      NEED (check (property->node, walk, &field->value, &inner));
   }
   for (uint32_t i = 0; i < self->n_patterns; i++) {
      if (ecl_regex_match (self->patterns[i].regex, walk->ev, field->key, field->key_len) == ECL_REGEX_MATCH) {
         allowed = true;
         NEED (check (self->patterns[i].node, walk, &field->value, &inner));
      }
   }
   if (!allowed && self->more_properties.none) {
      frame = &inner;
      BROKEN (additionalProperties, &field->value, "no other fields than those of the schema");
   } else if (!allowed && self->more_properties.node) {
      NEED (check (self->more_properties.node, walk, &field->value, &inner));
   }
   return valid;
}

/* Fields that must be there, once `seen` says which are. */
static bool
check_presence (const ecl_schema_node_t *self, walk_t *walk, const ecl_value_t *v, const uint8_t *seen,
                const frame_t *outer)
{
   ecl_value_t nothing = ecl_missing ();
   bool valid = true;

   for (uint32_t i = 0; i < self->n_properties; i++) {
      const ecl_schema_property_t *property = &self->properties[i];
      const ecl_schema_dependency_t *dependency = property->dependency;

      if (property->required && !seen[i]) {
         frame_t inner = {.up = outer, .key = property->name.str, .key_len = property->name.len};
         const frame_t *frame = &inner;

         BROKEN (required, &nothing, "a field of this name");
      }
      if (!dependency || !seen[i]) {
         continue;
      }
      if (dependency->node) {
         NEED (check (dependency->node, walk, v, outer));
      }
      for (uint32_t k = 0; k < dependency->n; k++) {
         const ecl_schema_property_t *needed = &self->properties[dependency->properties[k]];
         frame_t inner = {.up = outer, .key = needed->name.str, .key_len = needed->name.len};
         const frame_t *frame = &inner;

         if (!seen[dependency->properties[k]]) {
            BROKEN (dependencies, &nothing, "a field of this name, because there is '%.*s'", (int) property->name.len,
                    property->name.str);
         }
      }
   }
   return valid;
}

static bool
check_document (const ecl_schema_node_t *self, walk_t *walk, const ecl_value_t *v, const frame_t *frame)
{
   bool fields = self->n_properties || self->n_patterns || self->more_properties.none || self->more_properties.node;
   bool counts = self->at[ECL_KEYWORD_minProperties] || self->at[ECL_KEYWORD_maxProperties];
   uint8_t few[64], *seen = few;
   ecl_iter_t iter;
   ecl_field_t field;
   int64_t n = 0;
   bool valid = true;

   if (!fields && !counts) {
      return true;
   }
   if (self->n_properties > sizeof few) {
      seen = ecl_arena_alloc (&walk->ev->arena, self->n_properties);
   }
   memset (seen, 0, self->n_properties);
   ecl_iter_init (&iter, v);
   while (ecl_iter_field (&iter, &field)) {
      const ecl_schema_property_t *property = ecl_schema_property (self, field.key, field.key_len);
      bool first = true;

      n++;
      if (property) {
         first = !seen[property - self->properties];
         seen[property - self->properties] = 1;
      }
      NEED (check_field (self, walk, &field, property, first, frame));
   }
   NEED (check_presence (self, walk, v, seen, frame));
   if (n < self->min_properties) {
      BROKEN (minProperties, v, "at least %" PRId64 " fields", self->min_properties);
   }
   if (self->at[ECL_KEYWORD_maxProperties] && n > self->max_properties) {
      BROKEN (maxProperties, v, "at most %" PRId64 " fields", self->max_properties);
   }
   return valid;
}

/* ---- all ---- */

static bool
check_logic (const ecl_schema_node_t *self, walk_t *walk, const ecl_value_t *v, const frame_t *frame)
{
   uint32_t n = 0;
   bool valid = true;

   for (uint32_t i = 0; i < self->all_of.n; i++) {
      NEED (check (self->all_of.nodes[i], walk, v, frame));
   }
   if (self->any_of.n) {
      while (n < self->any_of.n && !check_silently (self->any_of.nodes[n], walk, v, frame)) {
         n++;
      }
      if (n == self->any_of.n) {
         BROKEN (anyOf, v, "valid by at least one of %" PRIu32 " schemas", n);
      }
   }
   if (self->one_of.n) {
      n = 0;
      for (uint32_t i = 0; i < self->one_of.n && n < 2; i++) {
         n += check_silently (self->one_of.nodes[i], walk, v, frame);
      }
      if (n != 1) {
         BROKEN (oneOf, v, "valid by exactly one of %" PRIu32 " schemas, not by %s", self->one_of.n,
                 n ? "more" : "none");
      }
   }
   if (self->negated && check_silently (self->negated, walk, v, frame)) {
      BROKEN (not, v, "not valid by this schema");
   }
   return valid;
}

static bool
check_enum (const ecl_schema_node_t *self, walk_t *walk, const ecl_value_t *v, const frame_t *frame)
{
   const char *text = "";
   bool valid = true;

   for (uint32_t i = 0; i < self->n_values; i++) {
      if (ecl_schema_equal (&walk->ev->arena, v, &self->values[i])) {
         return true;
      }
   }
   if (walk->explain) {
      for (uint32_t i = 0; i < self->n_values && i < 8; i++) {
         text = ecl_arena_printf (&walk->ev->arena, "%s%s%s", text, i ? ", " : "",
                                  ecl_value_text (&walk->ev->arena, &self->values[i]));
      }
   }
   BROKEN (enum, v, "one of %s%s", text, self->n_values > 8 ? ", …" : "");
   return valid;
}

static bool
check (const ecl_schema_node_t *self, walk_t *walk, const ecl_value_t *v, const frame_t *frame)
{
   bool valid = true;

   if (self->types && !(self->types & ecl_type_bit (v->type))) {
      if (self->at[ECL_KEYWORD_type]) {
         BROKEN (type, v, "%s", ecl_types_text (&walk->ev->arena, self->types));
      } else {
         BROKEN (bsonType, v, "%s", ecl_types_text (&walk->ev->arena, self->types));
      }
   }
   if (self->n_values) {
      NEED (check_enum (self, walk, v, frame));
   }
   if (v->type == BSON_TYPE_DOCUMENT) {
      NEED (check_document (self, walk, v, frame));
   } else if (v->type == BSON_TYPE_ARRAY) {
      NEED (check_array (self, walk, v, frame));
   } else if (v->type == BSON_TYPE_UTF8) {
      NEED (check_string (self, walk, v, frame));
   } else if (ecl_is_number (v)) {
      NEED (check_number (self, walk, v, frame));
   }
   NEED (check_logic (self, walk, v, frame));
   return valid;
}

bool
ecl_schema_check (const ecl_schema_t *self, ecl_eval_t *ev, const ecl_value_t *document)
{
   walk_t walk = {.ev = ev};

   return check (self->root, &walk, document, NULL);
}

void
ecl_schema_run (const ecl_schema_t *self, ecl_eval_t *ev, const ecl_value_t *document, bool *valid)
{
   ecl_arena_mark_t mark = ecl_arena_mark (&ev->arena);

   *valid = ecl_schema_check (self, ev, document);
   ecl_arena_release (&ev->arena, mark);
}

bool
ecl_schema_explain (const ecl_schema_t *self, ecl_eval_t *ev, const ecl_value_t *document,
                    ecl_schema_explain_fn explain, void *context)
{
   ecl_arena_mark_t mark = ecl_arena_mark (&ev->arena);
   walk_t walk = {.ev = ev, .explain = explain, .context = context};
   bool valid = check (self->root, &walk, document, NULL);

   ecl_arena_release (&ev->arena, mark);
   return valid;
}
