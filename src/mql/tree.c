/* Applying a stage's tree of paths to the value of a field: what happens below the top level.
 *
 * Fields that a tree does not name are kept as runs of the raw bytes they came in. */
#include "mql/stage.h"

/* Entries of the document that is being made. */
typedef struct {
   ecl_arena_t *arena;
   ecl_field_t *fields;
   uint32_t n, cap;
   const uint8_t *run, *run_end; /* raw elements not yet pushed */
} builder_t;

static void
builder_init (builder_t *self, ecl_arena_t *arena)
{
   memset (self, 0, sizeof *self);
   self->arena = arena;
   self->cap = 8;
   self->fields = ecl_arena_array (arena, ecl_field_t, self->cap);
}

static void
push_entry (builder_t *self, ecl_field_t entry)
{
   if (self->n == self->cap) {
      self->fields = ecl_arena_grow (self->arena, self->fields, self->cap * sizeof *self->fields,
                                     2 * (size_t) self->cap * sizeof *self->fields);
      self->cap *= 2;
   }
   self->fields[self->n++] = entry;
}

static void
flush_run (builder_t *self)
{
   if (self->run) {
      ecl_field_t entry = {0};

      entry.value.rep = ECL_REP_RUN;
      entry.value.len = (uint32_t) (self->run_end - self->run);
      entry.value.u.raw = self->run;
      push_entry (self, entry);
      self->run = NULL;
   }
}

static void
push (builder_t *self, const ecl_name_t *name, const ecl_value_t *value)
{
   flush_run (self);
   push_entry (self, ecl_field (name->str, name->len, *value));
}

/* A field of the input that stays: joins the run of raw elements where it is raw and follows on it. */
static void
push_unchanged (builder_t *self, const ecl_field_t *field, const uint8_t *element, const uint8_t *element_end)
{
   if (!element) {
      flush_run (self);
      push_entry (self, *field);
   } else if (self->run && self->run_end == element) {
      self->run_end = element_end;
   } else {
      flush_run (self);
      self->run = element;
      self->run_end = element_end;
   }
}

static ecl_value_t
finish (builder_t *self)
{
   flush_run (self);
   return ecl_fields (self->fields, self->n);
}

/* The next field, and its whole element where it is raw. One that is missing comes too: it has a place. */
static bool
next_field (ecl_iter_t *iter, ecl_field_t *field, const uint8_t **element, const uint8_t **element_end)
{
   if (!ecl_iter_entry (iter, field)) {
      return false;
   }
   *element = iter->next ? (const uint8_t *) field->key - 1 : NULL;
   *element_end = iter->next;
   return true;
}

static const ecl_tree_t *
find (const ecl_tree_t *tree, const ecl_field_t *field, uint32_t *index)
{
   uint32_t i = 0;

   for (const ecl_tree_t *child = tree->first; child; child = child->next, i++) {
      if (child->name.len == field->key_len && memcmp (child->name.str, field->key, field->key_len) == 0) {
         *index = i;
         return child;
      }
   }
   return NULL;
}

/* One bit per child; children are few, but nothing bounds them. */
static uint64_t *
new_bits (ecl_arena_t *arena, uint32_t n)
{
   uint64_t *bits = ecl_arena_array (arena, uint64_t, n / 64 + 1);

   memset (bits, 0, (n / 64 + 1) * sizeof *bits);
   return bits;
}

static bool
computed (const ecl_tree_t *node, ecl_eval_t *ev, ecl_memo_t *memo, ecl_value_t *out)
{
   if (!memo->known[node->memo]) {
      if (!ecl_expr_eval (node->expr, ev, &memo->values[node->memo])) {
         return false;
      }
      memo->known[node->memo] = true;
   }
   *out = memo->values[node->memo];
   return true;
}

static bool
set_child (const ecl_tree_t *child, ecl_eval_t *ev, ecl_memo_t *memo, const ecl_value_t *v, ecl_value_t *out)
{
   return child->action == ECL_TREE_COMPUTED ? computed (child, ev, memo, out) : ecl_tree_set (child, ev, memo, v, out);
}

static bool
set_document (const ecl_tree_t *tree, ecl_eval_t *ev, ecl_memo_t *memo, const ecl_value_t *v, ecl_value_t *out)
{
   ecl_arena_t *arena = &ev->arena;
   uint64_t *seen = new_bits (arena, tree->n);
   builder_t builder;
   uint32_t i = 0;

   builder_init (&builder, arena);
   if (v) {
      ecl_iter_t iter;
      ecl_field_t field;
      const uint8_t *element, *element_end;

      ecl_iter_init (&iter, v);
      while (next_field (&iter, &field, &element, &element_end)) {
         const ecl_tree_t *child = find (tree, &field, &i);
         ecl_value_t value;

         if (!child || !child->computes || (seen[i / 64] >> i % 64 & 1)) {
            push_unchanged (&builder, &field, element, element_end);
            continue;
         }
         seen[i / 64] |= (uint64_t) 1 << i % 64;
         if (!set_child (child, ev, memo, &field.value, &value)) {
            return false;
         }
         push (&builder, &child->name, &value);
      }
   }
   i = 0;
   for (const ecl_tree_t *child = tree->first; child; child = child->next, i++) {
      ecl_value_t value, missing = ecl_missing ();

      if (child->computes && !(seen[i / 64] >> i % 64 & 1)) {
         if (!set_child (child, ev, memo, &missing, &value)) {
            return false;
         }
         push (&builder, &child->name, &value);
      }
   }
   *out = finish (&builder);
   return true;
}

bool
ecl_tree_set (const ecl_tree_t *tree, ecl_eval_t *ev, ecl_memo_t *memo, const ecl_value_t *v, ecl_value_t *out)
{
   if (v->type == BSON_TYPE_ARRAY && !tree->replaces) {
      uint32_t n;
      const ecl_value_t *items = ecl_array_items (&ev->arena, v, &n);
      ecl_value_t *results = ecl_arena_array (&ev->arena, ecl_value_t, n);

      for (uint32_t i = 0; i < n; i++) {
         if (!ecl_tree_set (tree, ev, memo, &items[i], &results[i])) {
            return false;
         }
      }
      *out = ecl_vec (results, n);
      return true;
   }
   return set_document (tree, ev, memo, v->type == BSON_TYPE_DOCUMENT ? v : NULL, out);
}

void
ecl_tree_exclude (const ecl_tree_t *tree, ecl_arena_t *arena, const ecl_value_t *v, bool places, ecl_value_t *out)
{
   if (v->type == BSON_TYPE_ARRAY) {
      uint32_t n;
      const ecl_value_t *items = ecl_array_items (arena, v, &n);
      ecl_value_t *results = ecl_arena_array (arena, ecl_value_t, n);

      for (uint32_t i = 0; i < n; i++) {
         ecl_tree_exclude (tree, arena, &items[i], places, &results[i]);
      }
      *out = ecl_vec (results, n);
   } else if (v->type == BSON_TYPE_DOCUMENT) {
      builder_t builder;
      ecl_iter_t iter;
      ecl_field_t field;
      const uint8_t *element, *element_end;
      uint32_t i;

      builder_init (&builder, arena);
      ecl_iter_init (&iter, v);
      while (next_field (&iter, &field, &element, &element_end)) {
         const ecl_tree_t *child = find (tree, &field, &i);

         if (!child) {
            push_unchanged (&builder, &field, element, element_end);
         } else if (child->action == ECL_TREE_CHILDREN) {
            ecl_value_t value;

            ecl_tree_exclude (child, arena, &field.value, places, &value);
            push (&builder, &child->name, &value);
         } else if (places) {
            ecl_value_t missing = ecl_missing ();

            push (&builder, &child->name, &missing);
         }
      }
      *out = finish (&builder);
   } else {
      *out = *v;
   }
}

void
ecl_tree_include (const ecl_tree_t *tree, ecl_arena_t *arena, const ecl_value_t *v, ecl_value_t *out)
{
   if (v->type == BSON_TYPE_ARRAY) {
      uint32_t n, count = 0;
      const ecl_value_t *items = ecl_array_items (arena, v, &n);
      ecl_value_t *results = ecl_arena_array (arena, ecl_value_t, n);

      for (uint32_t i = 0; i < n; i++) {
         ecl_value_t item = ecl_present (items[i]);

         ecl_tree_include (tree, arena, &item, &results[count]);
         count += results[count].type != ECL_MISSING;
      }
      *out = ecl_vec (results, count);
   } else if (v->type == BSON_TYPE_DOCUMENT) {
      builder_t builder;
      ecl_iter_t iter;
      ecl_field_t field;
      const uint8_t *element, *element_end;
      uint32_t i;

      builder_init (&builder, arena);
      ecl_iter_init (&iter, v);
      while (next_field (&iter, &field, &element, &element_end)) {
         const ecl_tree_t *child = find (tree, &field, &i);

         if (!child || child->action == ECL_TREE_COMPUTED || ecl_is_missing (&field.value)) {
            continue;
         }
         if (child->action == ECL_TREE_KEEP) {
            push_unchanged (&builder, &field, element, element_end);
         } else {
            ecl_value_t value;

            ecl_tree_include (child, arena, &field.value, &value);
            if (value.type != ECL_MISSING) {
               push (&builder, &child->name, &value);
            }
         }
      }
      *out = finish (&builder);
   } else {
      /* Where something is computed below, the place of a scalar is kept for it. */
      *out = tree->computes && v->type != ECL_MISSING ? ecl_fields (NULL, 0) : ecl_missing ();
   }
}
