/* Evaluation of the nodes that are not operators, and the evaluator itself. */
#include "mql/expr.h"
#include "mql/names.h"
#include "mql/nodes.h"
#include "mql/regex.h"
#include "mql/run.h"

#include <stdarg.h>
#include <stdio.h>

void
ecl_eval_init (ecl_eval_t *self)
{
   memset (self, 0, sizeof *self);
   ecl_arena_init (&self->arena);
}

void
ecl_eval_cleanup (ecl_eval_t *self)
{
   if (self->inner) {
      ecl_eval_cleanup (self->inner);
      bson_free (self->inner);
   }
   ecl_run_state_destroy (self->run);
   ecl_regex_state_destroy (self->regex);
   bson_free (self->vars);
   ecl_arena_cleanup (&self->arena);
   memset (self, 0, sizeof *self);
}

void
ecl_eval_reserve_vars (ecl_eval_t *self, uint32_t n)
{
   if (n > self->vars_cap) {
      self->vars = bson_realloc (self->vars, n * sizeof *self->vars);
      memset (self->vars + self->vars_cap, 0, (n - self->vars_cap) * sizeof *self->vars);
      self->vars_cap = n;
   }
}

/* ---- rows ---- */

/* From this many times on an array's elements are kept; below so many bytes or entries it is not worth it. */
#define ROW_TIMES 8u
#define ROW_BYTES 256u
#define ROW_ENTRIES 16u

static bool
is_large (const ecl_value_t *v)
{
   return v->len >= (v->rep == ECL_REP_RAW ? ROW_BYTES : ROW_ENTRIES);
}

/* The row of a value and a path; it is the first one then. One that is new has no items. */
static ecl_picked_t *
row_of (ecl_eval_t *self, const ecl_value_t *of, const ecl_name_t *path)
{
   ecl_picked_t row = {.of = of->u.raw, .of_len = of->len, .path = path};
   uint32_t i = 0;

   while (i < self->n_rows &&
          (self->rows[i].of != row.of || self->rows[i].path != path || self->rows[i].of_len != row.of_len)) {
      i++;
   }
   if (i < self->n_rows) {
      row = self->rows[i];
   } else if (self->n_rows < ECL_EVAL_ROWS) {
      self->n_rows++;
   } else {
      i--;
   }
   memmove (self->rows + 1, self->rows, i * sizeof row);
   self->rows[0] = row;
   return &self->rows[0];
}

void
ecl_eval_row (ecl_eval_t *self, ecl_value_t *array)
{
   ecl_picked_t *row;

   if (array->rep != ECL_REP_RAW || array->len < ROW_BYTES) {
      return;
   }
   row = row_of (self, array, NULL);
   if (!row->items && ++row->times >= ROW_TIMES) {
      row->items = ecl_array_items (&self->arena, array, &row->n);
   }
   if (row->items) {
      *array = ecl_vec (row->items, row->n);
   }
}

/* The document's fields in the arena; of two with one name the first. */
static void
gather_fields (ecl_arena_t *arena, const ecl_value_t *document, ecl_picked_t *row)
{
   ecl_names_t *names = ecl_arena_new (arena, ecl_names_t);
   ecl_value_t *values;
   const ecl_field_t *fields;
   uint32_t n;

   fields = ecl_document_fields (arena, document, &n);
   values = ecl_arena_array (arena, ecl_value_t, n);
   ecl_names_init (names, arena);
   for (uint32_t i = 0; i < n; i++) {
      if (ecl_names_find (names, fields[i].key, fields[i].key_len) == ECL_NAMES_NONE) {
         values[ecl_names_add (names, (ecl_name_t){fields[i].key, fields[i].key_len})] = fields[i].value;
      }
   }
   row->names = names;
   row->items = values;
}

ecl_value_t
ecl_eval_get (ecl_eval_t *self, const ecl_value_t *document, const char *key, uint32_t len)
{
   ecl_picked_t *row = NULL;
   uint32_t at;

   if (is_large (document)) {
      row = row_of (self, document, NULL);
      if (!row->names && ++row->times >= ROW_TIMES) {
         gather_fields (&self->arena, document, row);
      }
   }
   if (!row || !row->names) {
      return ecl_document_get (document, key, len);
   }
   at = ecl_names_find (row->names, key, len);
   return at == ECL_NAMES_NONE ? ecl_missing () : row->items[at];
}

bool
ecl_eval_fail (ecl_eval_t *ev, const ecl_expr_t *self, uint32_t code, const char *format, ...)
{
   char message[sizeof ev->error.message - 1];
   va_list args;

   va_start (args, format);
   vsnprintf (message, sizeof message, format, args);
   va_end (args);
   ev->failed = self;
   return ecl_fail (&ev->error, ECL_DOMAIN_MQL, code, "%s", message);
}

/* An array on the path: the path of each document in it; arrays directly inside it are passed over. */
static void
path_over_array (ecl_arena_t *arena, const ecl_value_t *array, const ecl_name_t *path, uint32_t n, ecl_value_t *out)
{
   ecl_iter_t iter;
   ecl_value_t item;
   ecl_value_t *items;
   uint32_t cap = 8, count = 0;

   items = ecl_arena_array (arena, ecl_value_t, cap);
   ecl_iter_init (&iter, array);
   while (ecl_iter_item (&iter, &item)) {
      if (item.type != BSON_TYPE_DOCUMENT) {
         continue;
      }
      if (count == cap) {
         items = ecl_arena_grow (arena, items, cap * sizeof *items, 2 * (size_t) cap * sizeof *items);
         cap *= 2;
      }
      ecl_value_path (arena, &item, path, n, &items[count]);
      count += items[count].type != ECL_MISSING;
   }
   *out = ecl_vec (items, count);
}

void
ecl_value_path (ecl_arena_t *arena, const ecl_value_t *v, const ecl_name_t *path, uint32_t n, ecl_value_t *out)
{
   ecl_value_t current = *v;

   for (uint32_t i = 0; i < n; i++) {
      if (current.type == BSON_TYPE_DOCUMENT) {
         current = ecl_document_get (&current, path[i].str, path[i].len);
      } else if (current.type == BSON_TYPE_ARRAY) {
         path_over_array (arena, &current, path + i, n - i, out);
         return;
      } else {
         current = ecl_missing ();
         break;
      }
   }
   *out = current;
}

/* The path of an expression. Where it leads through an array, what it finds is remembered: in a loop it would be
 * gathered anew for each round. */
static void
follow (ecl_eval_t *ev, const ecl_value_t *v, const ecl_name_t *path, uint32_t n, ecl_value_t *out)
{
   bool large = v->rep == ECL_REP_RAW ? v->len >= ROW_BYTES : v->rep == ECL_REP_VEC && v->len >= ROW_ENTRIES;

   if (ECL_UNLIKELY (large && ev->n_rows)) {
      for (uint32_t i = 0; i < ev->n_rows; i++) {
         const ecl_picked_t *row = &ev->rows[i];

         if (row->path == path && row->of == v->u.raw && row->of_len == v->len) {
            *out = ecl_vec (row->items, row->n);
            return;
         }
      }
   }
   ecl_value_path (&ev->arena, v, path, n, out);
   if (ECL_UNLIKELY (large && out->rep == ECL_REP_VEC)) {
      ecl_picked_t *row = row_of (ev, v, path);

      row->items = out->u.vec;
      row->n = out->len;
   }
}

bool
ecl_node_field (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   follow (ev, &ev->root, self->keys, self->n_path, out);
   return true;
}

bool
ecl_node_slot (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   *out = ev->slots[self->index];
   return true;
}

bool
ecl_node_slot_path (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   follow (ev, &ev->slots[self->index], self->keys + 1, self->n_path - 1, out);
   return true;
}

bool
ecl_node_var (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   if (self->n_path) {
      follow (ev, &ev->vars[self->index], self->keys, self->n_path, out);
   } else {
      *out = ev->vars[self->index];
   }
   return true;
}

bool
ecl_node_root (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   (void) self;
   *out = ev->root;
   return true;
}

bool
ecl_node_now (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   (void) self;
   *out = ecl_date (ev->now);
   return true;
}

bool
ecl_node_object (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_field_t *fields = ecl_arena_array (&ev->arena, ecl_field_t, self->n);

   for (uint32_t i = 0; i < self->n; i++) {
      fields[i].key = self->keys[i].str;
      fields[i].key_len = self->keys[i].len;
      fields[i].unused = 0;
      if (!ecl_expr_eval (self->args[i], ev, &fields[i].value)) {
         return false;
      }
   }
   *out = ecl_fields (fields, self->n);
   return true;
}

bool
ecl_node_array (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t *items = ecl_arena_array (&ev->arena, ecl_value_t, self->n);

   for (uint32_t i = 0; i < self->n; i++) {
      if (!ecl_expr_eval (self->args[i], ev, &items[i])) {
         return false;
      }
      items[i] = ecl_present (items[i]);
   }
   *out = ecl_vec (items, self->n);
   return true;
}
