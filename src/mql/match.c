/* Running of matches: see match.h. The order in which elements are tried follows the server's ElementIterator. */
#include "mql/match_node.h"
#include "mql/match_types.h"
#include "mql/plan.h"

#include "bson/decimal.h"

#include <math.h>

ecl_match_t *
ecl_match_new (const ecl_value_t *filter, const ecl_match_options_t *options)
{
   ecl_match_t *self = bson_malloc0 (sizeof *self);

   ecl_arena_init (&self->arena);
   ecl_eval_init (&self->folder);
   ecl_parse_init (&self->parse, &self->arena, &self->folder, options ? options->report : NULL,
                   options ? options->report_context : NULL);
   self->parse.allow_now = options && options->allow_now;
   if (options && options->outer) {
      self->parse.scope = options->outer->scope;
      self->parse.n_vars = options->outer->n_vars;
      self->parse.max_vars = options->outer->n_vars;
   }
   self->root = ecl_match_parse (self, filter);
   if (!self->root) {
      ecl_match_destroy (self);
      return NULL;
   }
   return self;
}

void
ecl_match_destroy (ecl_match_t *self)
{
   if (self) {
      for (uint32_t i = 0; i < self->n_schemas; i++) {
         ecl_schema_destroy (self->schemas[i]);
      }
      bson_free (self->schemas);
      bson_free (self->paths);
      ecl_eval_cleanup (&self->folder);
      ecl_arena_cleanup (&self->arena);
      bson_free (self);
   }
}

const char *const *
ecl_match_paths (const ecl_match_t *self, size_t *n, bool *whole)
{
   *n = self->n_paths;
   *whole = self->whole;
   return self->paths;
}

/* ---- tests of one value ---- */

static int
test_equal (const ecl_value_t *v, const ecl_value_t *to)
{
   if (v->type == ECL_MISSING) {
      return to->type == BSON_TYPE_NULL;
   }
   /* Since 8.0 undefined is not equal to null. */
   return ecl_equal (v, to);
}

static int
test_order (ecl_match_kind_t kind, const ecl_value_t *v, const ecl_value_t *to)
{
   bool less = kind == ECL_MATCH_LT || kind == ECL_MATCH_LTE;
   bool or_equal = kind == ECL_MATCH_LTE || kind == ECL_MATCH_GTE;
   int c;

   if (ecl_canonical_type (v->type) != ecl_canonical_type (to->type)) {
      /* Since 8.0 undefined is not null here either. */
      if (to->type == BSON_TYPE_NULL) {
         return or_equal && v->type == ECL_MISSING;
      }
      /* Other types are not compared, but for the two that are beyond all. */
      return to->type == (less ? BSON_TYPE_MAXKEY : BSON_TYPE_MINKEY);
   }
   if (ecl_is_number (v) && (ecl_is_nan (v) || ecl_is_nan (to))) {
      return or_equal && ecl_is_nan (v) && ecl_is_nan (to);
   }
   c = ecl_compare (v, to);
   return (less ? c < 0 : c > 0) || (or_equal && c == 0);
}

static int
test_regex (const ecl_match_regex_t *regex, ecl_eval_t *ev, const ecl_value_t *v)
{
   if (v->type == BSON_TYPE_UTF8 || v->type == BSON_TYPE_SYMBOL) {
      return ecl_regex_match (regex->compiled, ev, v->u.str, v->len) == ECL_REGEX_MATCH;
   }
   if (v->type == BSON_TYPE_REGEX) {
      ecl_match_regex_t parts;

      ecl_match_split_regex (v, &parts);
      return parts.pattern_len == regex->pattern_len && parts.options_len == regex->options_len &&
             memcmp (parts.pattern, regex->pattern, parts.pattern_len) == 0 &&
             memcmp (parts.options, regex->options, parts.options_len) == 0;
   }
   return ECL_MATCH_NO;
}

static bool
set_has (const ecl_match_set_t *set, const ecl_value_t *v)
{
   uint32_t low = 0, high = set->n;

   if (!(set->classes & ecl_match_class_bit (v->type))) {
      return false;
   }
   while (low < high) {
      uint32_t middle = low + (high - low) / 2;
      int c = ecl_compare (v, &set->values[middle]);

      if (c == 0) {
         return true;
      }
      if (c < 0) {
         high = middle;
      } else {
         low = middle + 1;
      }
   }
   return false;
}

static int
test_in (const ecl_match_set_t *set, ecl_eval_t *ev, const ecl_value_t *v)
{
   if (v->type == ECL_MISSING) {
      return set->has_null;
   }
   if (set_has (set, v)) {
      return ECL_MATCH_YES;
   }
   for (uint32_t i = 0; i < set->n_regexes; i++) {
      if (test_regex (&set->regexes[i], ev, v)) {
         return ECL_MATCH_YES;
      }
   }
   return ECL_MATCH_NO;
}

static int
test_mod (const ecl_match_node_t *self, const ecl_value_t *v)
{
   int64_t i, divisor = self->u.mod.divisor;

   switch (v->type) {
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
      i = v->u.i64;
      break;
   case BSON_TYPE_DOUBLE: {
      ecl_value_t whole = ecl_double (trunc (v->u.f64));

      if (!ecl_number_to_int64 (&whole, &i)) {
         return ECL_MATCH_NO;
      }
      break;
   }
   case BSON_TYPE_DECIMAL128:
      if (!ecl_decimal_round_to_int64 (ecl_decimal_of (v), ECL_ROUND_TO_ZERO, &i)) {
         return ECL_MATCH_NO;
      }
      break;
   default:
      return ECL_MATCH_NO;
   }
   /* INT64_MIN % -1 would trap. */
   return (divisor == -1 ? 0 : i % divisor) == self->u.mod.remainder;
}

static bool
bits_of_number (ecl_match_kind_t kind, uint64_t mask, uint64_t v)
{
   switch (kind) {
   case ECL_MATCH_BITS_ALL_SET:
      return (v & mask) == mask;
   case ECL_MATCH_BITS_ALL_CLEAR:
      return (v & mask) == 0;
   case ECL_MATCH_BITS_ANY_SET:
      return (v & mask) != 0;
   default:
      return (v & mask) != mask;
   }
}

static int
test_bits (const ecl_match_node_t *self, const ecl_value_t *v)
{
   const ecl_match_bits_t *bits = &self->u.bits;
   bool set = self->kind == ECL_MATCH_BITS_ALL_SET || self->kind == ECL_MATCH_BITS_ANY_SET;
   bool any = self->kind == ECL_MATCH_BITS_ANY_SET || self->kind == ECL_MATCH_BITS_ANY_CLEAR;
   int64_t i;

   if (v->type == BSON_TYPE_DECIMAL128) {
      /* Unlike a double, a decimal is rounded, and what no int64 holds has the sign bit alone. */
      if (!ecl_decimal_round_to_int64 (ecl_decimal_of (v), ECL_ROUND_NEAREST_EVEN, &i)) {
         i = INT64_MIN;
      }
      return bits_of_number (self->kind, bits->number, (uint64_t) i);
   }
   if (v->type != BSON_TYPE_BINARY) {
      return ecl_is_number (v) && ecl_number_to_int64 (v, &i) &&
             bits_of_number (self->kind, bits->number, (uint64_t) i);
   }
   /* The first bit that is as asked decides for "any", the first that is not for "all". */
   for (uint32_t k = 0; k < bits->n_positions; k++) {
      uint32_t position = bits->positions[k];
      bool bit = position / 8 < v->len && (v->u.raw[position / 8] >> (position % 8) & 1);

      if ((bit == set) == any) {
         return any;
      }
   }
   for (uint32_t k = 0; k < bits->n_bytes; k++) {
      uint8_t byte = k < v->len ? v->u.raw[k] : 0;
      uint8_t as_asked = (uint8_t) (bits->bytes[k] & (set ? byte : ~byte));

      if (any ? as_asked != 0 : as_asked != bits->bytes[k]) {
         return any;
      }
   }
   return !any;
}

/* One value against one predicate, without a path; nodes below AND, NOT and ELEM_VALUE are tested the same way. */
static int
test_value (const ecl_match_node_t *self, ecl_eval_t *ev, const ecl_value_t *v);

/* A document, or an array in its place, against a node with its path. */
static int
match_document (const ecl_match_node_t *self, ecl_eval_t *ev, const ecl_value_t *document);

/* The elements of an array against the nodes of $elemMatch. */
static int
test_elements (const ecl_match_node_t *self, ecl_eval_t *ev, const ecl_value_t *array)
{
   ecl_iter_t iter;
   ecl_value_t item;

   ecl_iter_init (&iter, array);
   while (ecl_iter_item (&iter, &item)) {
      int r = ECL_MATCH_YES;

      if (self->kind == ECL_MATCH_ELEM_OBJECT) {
         if (item.type != BSON_TYPE_DOCUMENT && item.type != BSON_TYPE_ARRAY) {
            continue;
         }
         r = match_document (self->nodes[0], ev, &item);
      } else {
         for (uint32_t i = 0; i < self->n && r == ECL_MATCH_YES; i++) {
            r = test_value (self->nodes[i], ev, &item);
         }
      }
      if (r != ECL_MATCH_NO) {
         return r;
      }
   }
   return ECL_MATCH_NO;
}

static int
test_value (const ecl_match_node_t *self, ecl_eval_t *ev, const ecl_value_t *v)
{
   switch (self->kind) {
   case ECL_MATCH_EQ:
      return test_equal (v, &self->u.value);
   case ECL_MATCH_LT:
   case ECL_MATCH_LTE:
   case ECL_MATCH_GT:
   case ECL_MATCH_GTE:
      return test_order (self->kind, v, &self->u.value);
   case ECL_MATCH_IN:
      return test_in (&self->u.set, ev, v);
   case ECL_MATCH_REGEX:
      return test_regex (&self->u.regex, ev, v);
   case ECL_MATCH_EXISTS:
      return v->type != ECL_MISSING;
   case ECL_MATCH_TYPE:
      return v->type != ECL_MISSING && (self->u.types & ecl_type_bit (v->type)) != 0;
   case ECL_MATCH_MOD:
      return test_mod (self, v);
   case ECL_MATCH_SIZE:
      return v->type == BSON_TYPE_ARRAY && (int64_t) ecl_array_count (v) == self->u.size;
   case ECL_MATCH_BITS_ALL_SET:
   case ECL_MATCH_BITS_ALL_CLEAR:
   case ECL_MATCH_BITS_ANY_SET:
   case ECL_MATCH_BITS_ANY_CLEAR:
      return test_bits (self, v);
   case ECL_MATCH_ELEM_OBJECT:
   case ECL_MATCH_ELEM_VALUE:
      return v->type == BSON_TYPE_ARRAY ? test_elements (self, ev, v) : ECL_MATCH_NO;
   case ECL_MATCH_AND:
   case ECL_MATCH_NOT: {
      int r = ECL_MATCH_YES;

      for (uint32_t i = 0; i < self->n && r == ECL_MATCH_YES; i++) {
         r = test_value (self->nodes[i], ev, v);
      }
      return r < 0 || self->kind == ECL_MATCH_AND ? r : !r;
   }
   case ECL_MATCH_FALSE:
      return ECL_MATCH_NO;
   default:
      return ECL_MATCH_YES; /* the others are never below $elemMatch's operators */
   }
}

/* ---- paths ---- */

static int
walk_document (const ecl_match_node_t *self, ecl_eval_t *ev, const ecl_value_t *document, uint32_t i);

static bool
find_part (const ecl_value_t *document, const ecl_match_part_t *part, ecl_value_t *out)
{
   ecl_cursor_t cursor;

   ecl_cursor_init (&cursor, document->u.raw, document->len);
   while (ecl_cursor_next (&cursor)) {
      if (cursor.key_len == part->len && memcmp (cursor.key, part->name, part->len) == 0) {
         ecl_cursor_value (&cursor, out);
         return true;
      }
   }
   return false;
}

/* The path ends at this value. */
static int
walk_leaf (const ecl_match_node_t *self, ecl_eval_t *ev, const ecl_value_t *v)
{
   if (self->traverse && v->type == BSON_TYPE_ARRAY) {
      ecl_iter_t iter;
      ecl_value_t item;

      ecl_iter_init (&iter, v);
      while (ecl_iter_item (&iter, &item)) {
         int r = test_value (self, ev, &item);

         if (r != ECL_MATCH_NO) {
            return r;
         }
      }
   }
   return test_value (self, ev, v);
}

/* An array on the path, whose parts from i on are left. */
static int
walk_array (const ecl_match_node_t *self, ecl_eval_t *ev, const ecl_value_t *array, uint32_t i)
{
   const ecl_match_part_t *part = &self->path.parts[i];
   bool last = i + 1 == self->path.n;
   ecl_cursor_t cursor;
   ecl_value_t item;

   ecl_cursor_init (&cursor, array->u.raw, array->len);
   while (ecl_cursor_next (&cursor)) {
      bool index = part->number && cursor.key_len == part->len && memcmp (cursor.key, part->name, part->len) == 0;
      int r = ECL_MATCH_NO;

      if (cursor.type == BSON_TYPE_DOCUMENT) {
         ecl_cursor_value (&cursor, &item);
         r = walk_document (self, ev, &item, i);
         if (r == ECL_MATCH_NO && index) {
            r = last ? test_value (self, ev, &item) : walk_document (self, ev, &item, i + 1);
         }
      } else if (index) {
         ecl_cursor_value (&cursor, &item);
         if (last) {
            r = test_value (self, ev, &item);
         } else if (item.type == BSON_TYPE_ARRAY) {
            r = walk_array (self, ev, &item, i + 1);
         }
      }
      if (r != ECL_MATCH_NO) {
         return r;
      }
   }
   return ECL_MATCH_NO;
}

/* Part i of the path has led to this value. */
static int
walk_value (const ecl_match_node_t *self, ecl_eval_t *ev, const ecl_value_t *v, uint32_t i)
{
   ecl_value_t current = *v;

   for (;;) {
      if (i + 1 == self->path.n) {
         return walk_leaf (self, ev, &current);
      }
      if (current.type == BSON_TYPE_ARRAY) {
         /* Behind the dot at the end of "a." there is nothing: the server takes the array for the end. */
         if (i + 2 == self->path.n && self->path.parts[i + 1].len == 0) {
            return walk_leaf (self, ev, &current);
         }
         return walk_array (self, ev, &current, i + 1);
      }
      i++;
      if (current.type != BSON_TYPE_DOCUMENT || !find_part (&current, &self->path.parts[i], &current)) {
         current = ecl_missing ();
         return test_value (self, ev, &current);
      }
   }
}

static int
walk_document (const ecl_match_node_t *self, ecl_eval_t *ev, const ecl_value_t *document, uint32_t i)
{
   ecl_value_t v = ecl_missing ();

   if (!find_part (document, &self->path.parts[i], &v)) {
      return test_value (self, ev, &v);
   }
   return walk_value (self, ev, &v, i);
}

/* A node whose path begins with a field that has been looked up. */
static int
match_found (const ecl_match_node_t *self, ecl_eval_t *ev, const ecl_value_t *v)
{
   if (self->kind == ECL_MATCH_NOT) {
      int r = match_found (self->nodes[0], ev, v);

      return r < 0 ? r : !r;
   }
   return v->type == ECL_MISSING ? test_value (self, ev, v) : walk_value (self, ev, v, 0);
}

/* All nodes of an AND, whose paths' first fields are found in one scan. */
static int
match_heads (const ecl_match_node_t *self, ecl_eval_t *ev, const ecl_value_t *document)
{
   ecl_value_t values[ECL_MATCH_MAX_HEADS];
   uint32_t left = self->n_heads;
   ecl_cursor_t cursor;

   for (uint32_t k = 0; k < self->n_heads; k++) {
      values[k] = ecl_missing ();
   }
   ecl_cursor_init (&cursor, document->u.raw, document->len);
   while (left && ecl_cursor_next (&cursor)) {
      for (uint32_t k = 0; k < self->n_heads; k++) {
         /* Of fields with equal names the first counts. */
         if (self->heads[k]->len == cursor.key_len && values[k].type == ECL_MISSING &&
             memcmp (self->heads[k]->name, cursor.key, cursor.key_len) == 0) {
            ecl_cursor_value (&cursor, &values[k]);
            left--;
            break;
         }
      }
   }
   for (uint32_t i = 0; i < self->n; i++) {
      const ecl_match_node_t *node = self->nodes[i];
      int r = node->head ? match_found (node, ev, &values[node->head - 1]) : match_document (node, ev, document);

      if (r != ECL_MATCH_YES) {
         return r;
      }
   }
   return ECL_MATCH_YES;
}

static int
match_document (const ecl_match_node_t *self, ecl_eval_t *ev, const ecl_value_t *document)
{
   int r;

   switch (self->kind) {
   case ECL_MATCH_AND:
   case ECL_MATCH_NOT:
      if (self->n_heads > 0) {
         return match_heads (self, ev, document);
      }
      r = ECL_MATCH_YES;
      for (uint32_t i = 0; i < self->n && r == ECL_MATCH_YES; i++) {
         r = match_document (self->nodes[i], ev, document);
      }
      return r < 0 || self->kind == ECL_MATCH_AND ? r : !r;
   case ECL_MATCH_OR:
   case ECL_MATCH_NOR:
      r = ECL_MATCH_NO;
      for (uint32_t i = 0; i < self->n && r == ECL_MATCH_NO; i++) {
         r = match_document (self->nodes[i], ev, document);
      }
      return r < 0 || self->kind == ECL_MATCH_OR ? r : !r;
   case ECL_MATCH_TRUE:
      return ECL_MATCH_YES;
   case ECL_MATCH_FALSE:
      return ECL_MATCH_NO;
   case ECL_MATCH_EXPR: {
      ecl_value_t v;

      ev->root = *document;
      return ecl_expr_eval (self->u.expr, ev, &v) ? ecl_truthy (&v) : ECL_MATCH_FAILED;
   }
   case ECL_MATCH_SCHEMA: {
      ecl_value_t as_document = *document;

      as_document.type = BSON_TYPE_DOCUMENT;
      return ecl_schema_check (self->u.schema, ev, &as_document);
   }
   default:
      return walk_document (self, ev, document, 0);
   }
}

bool
ecl_match_run (const ecl_match_t *self, ecl_eval_t *ev, const ecl_value_t *document, bool *matched, bson_error_t *error)
{
   ecl_arena_mark_t mark = ecl_arena_mark (&ev->arena);
   ecl_value_t root = ev->root;
   int r;

   BSON_ASSERT (document->rep == ECL_REP_RAW && document->type == BSON_TYPE_DOCUMENT);
   ecl_eval_reserve_vars (ev, self->parse.max_vars);
   ev->n_rows = 0;
   r = match_document (self->root, ev, document);
   ev->root = root;
   ev->n_rows = 0;
   ecl_arena_release (&ev->arena, mark);
   *matched = r == ECL_MATCH_YES;
   if (r == ECL_MATCH_FAILED && error) {
      *error = ev->error;
   }
   return r != ECL_MATCH_FAILED;
}
