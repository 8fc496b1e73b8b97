/* Differences between two documents, and the loose equality: see diff.h. */
#include "upgrade/diff.h"

#include "bson/compare.h"

#include <stdlib.h>

/* Past so many the rest is one difference of the whole: nobody reads more. */
#define DIFFERENCES_MAX 10000u

typedef struct {
   ecl_arena_t *arena;
   ecl_diff_flags_t flags;
   ecl_difference_t *items;
   size_t n, cap;
} diff_t;

static ecl_difference_t *
add (diff_t *diff, ecl_diff_kind_t kind, const char *path)
{
   ecl_difference_t *item;

   if (diff->n == diff->cap) {
      size_t cap = diff->cap ? 2 * diff->cap : 16;

      diff->items =
         ecl_arena_grow (diff->arena, diff->items, diff->cap * sizeof *diff->items, cap * sizeof *diff->items);
      diff->cap = cap;
   }
   item = &diff->items[diff->n++];
   *item = (ecl_difference_t){.kind = kind, .path = path, .before = ecl_missing (), .after = ecl_missing ()};
   return item;
}

static const char *
path_of (diff_t *diff, const char *prefix, const char *key, size_t len)
{
   return ecl_arena_printf (diff->arena, "%s%s%.*s", prefix, *prefix ? "." : "", (int) len, key);
}

/* ---- fields by name ---- */

/* A field and its place; sorted by name, equal names by place. */
typedef struct {
   const ecl_field_t *field;
   uint32_t place;
} named_t;

static int
compare_names (const ecl_field_t *a, const ecl_field_t *b)
{
   uint32_t len = a->key_len < b->key_len ? a->key_len : b->key_len;
   int order = memcmp (a->key, b->key, len);

   return order ? order : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

static int
compare_named (const void *a, const void *b)
{
   const named_t *x = a, *y = b;
   int order = compare_names (x->field, y->field);

   return order ? order : (x->place > y->place) - (x->place < y->place);
}

static named_t *
sort_fields (ecl_arena_t *arena, const ecl_field_t *fields, uint32_t n)
{
   named_t *named = ecl_arena_array (arena, named_t, n ? n : 1);

   for (uint32_t i = 0; i < n; i++) {
      named[i] = (named_t){&fields[i], i};
   }
   qsort (named, n, sizeof *named, compare_named);
   return named;
}

/* For each field of a the place of its like in b, or UINT32_MAX; and the same the other way. */
static void
pair_fields (ecl_arena_t *arena, const ecl_field_t *a, uint32_t n, const ecl_field_t *b, uint32_t m, uint32_t *in_b,
             uint32_t *in_a)
{
   const named_t *x = sort_fields (arena, a, n), *y = sort_fields (arena, b, m);
   uint32_t i = 0, k = 0;

   memset (in_b, 0xFF, n * sizeof *in_b);
   memset (in_a, 0xFF, m * sizeof *in_a);
   while (i < n && k < m) {
      int order = compare_names (x[i].field, y[k].field);

      if (order == 0) {
         in_b[x[i].place] = y[k].place;
         in_a[y[k].place] = x[i].place;
      }
      i += order <= 0;
      k += order >= 0;
   }
}

/* ---- order ---- */

/* Marks the fields whose place among those that both documents have changed: all but a longest run that kept its
 * order. */
static void
find_moved (diff_t *diff, const char *prefix, const ecl_field_t *a, uint32_t n, const uint32_t *in_b)
{
   uint32_t *common = ecl_arena_array (diff->arena, uint32_t, n), *tails = ecl_arena_array (diff->arena, uint32_t, n);
   uint32_t *before = ecl_arena_array (diff->arena, uint32_t, n);
   bool *stays = ecl_arena_array (diff->arena, bool, n);
   uint32_t count = 0, longest = 0;

   for (uint32_t i = 0; i < n; i++) {
      if (in_b[i] != UINT32_MAX) {
         common[count++] = i;
      }
   }
   for (uint32_t i = 0; i < count; i++) {
      uint32_t low = 0, high = longest;

      while (low < high) {
         uint32_t middle = low + (high - low) / 2;

         if (in_b[common[tails[middle]]] < in_b[common[i]]) {
            low = middle + 1;
         } else {
            high = middle;
         }
      }
      before[i] = low ? tails[low - 1] : UINT32_MAX;
      tails[low] = i;
      longest += low == longest;
      stays[i] = false;
   }
   if (longest == count) {
      return;
   }
   for (uint32_t i = tails[longest - 1]; i != UINT32_MAX; i = before[i]) {
      stays[i] = true;
   }
   for (uint32_t i = 0; i < count; i++) {
      if (!stays[i]) {
         const ecl_field_t *field = &a[common[i]];
         ecl_difference_t *item = add (diff, ECL_DIFF_MOVED, path_of (diff, prefix, field->key, field->key_len));

         item->before = item->after = field->value;
         item->from = common[i] + 1;
         item->to = in_b[common[i]] + 1;
      }
   }
}

/* ---- the walk ---- */

static void
diff_value (diff_t *diff, const char *path, const ecl_value_t *a, const ecl_value_t *b);

static void
diff_documents (diff_t *diff, const char *prefix, const ecl_value_t *a, const ecl_value_t *b)
{
   uint32_t n, m;
   const ecl_field_t *x = ecl_document_fields (diff->arena, a, &n), *y = ecl_document_fields (diff->arena, b, &m);
   uint32_t *in_b = ecl_arena_array (diff->arena, uint32_t, n + 1),
            *in_a = ecl_arena_array (diff->arena, uint32_t, m + 1);

   pair_fields (diff->arena, x, n, y, m, in_b, in_a);
   for (uint32_t i = 0; i < n; i++) {
      const char *path = path_of (diff, prefix, x[i].key, x[i].key_len);

      if (in_b[i] != UINT32_MAX) {
         diff_value (diff, path, &x[i].value, &y[in_b[i]].value);
      } else {
         add (diff, ECL_DIFF_REMOVED, path)->before = x[i].value;
      }
   }
   for (uint32_t k = 0; k < m; k++) {
      if (in_a[k] == UINT32_MAX) {
         add (diff, ECL_DIFF_ADDED, path_of (diff, prefix, y[k].key, y[k].key_len))->after = y[k].value;
      }
   }
   if (!(diff->flags & ECL_DIFF_ANY_ORDER)) {
      find_moved (diff, prefix, x, n, in_b);
   }
}

static void
diff_arrays (diff_t *diff, const char *prefix, const ecl_value_t *a, const ecl_value_t *b)
{
   uint32_t n, m;
   const ecl_value_t *x = ecl_array_items (diff->arena, a, &n), *y = ecl_array_items (diff->arena, b, &m);

   for (uint32_t i = 0; i < n || i < m; i++) {
      const char *path = ecl_arena_printf (diff->arena, "%s%s%u", prefix, *prefix ? "." : "", i);

      if (i >= m) {
         add (diff, ECL_DIFF_REMOVED, path)->before = ecl_present (x[i]);
      } else if (i >= n) {
         add (diff, ECL_DIFF_ADDED, path)->after = ecl_present (y[i]);
      } else {
         ecl_value_t p = ecl_present (x[i]), q = ecl_present (y[i]);

         diff_value (diff, path, &p, &q);
      }
   }
}

static void
diff_value (diff_t *diff, const char *path, const ecl_value_t *a, const ecl_value_t *b)
{
   if (ecl_identical (a, b)) {
      return;
   }
   if (diff->n < DIFFERENCES_MAX && ecl_is_document (a) && ecl_is_document (b)) {
      diff_documents (diff, path, a, b);
   } else if (diff->n < DIFFERENCES_MAX && ecl_is_array (a) && ecl_is_array (b)) {
      diff_arrays (diff, path, a, b);
   } else {
      ecl_difference_t *item = add (diff, ECL_DIFF_CHANGED, path);

      item->before = *a;
      item->after = *b;
   }
}

/* ---- renames ---- */

/* Values that many fields have say nothing about where one came from. */
static bool
tells (const ecl_value_t *v)
{
   return !ecl_is_nullish (v) && v->type != BSON_TYPE_BOOL && !(ecl_is_string (v) && v->len == 0) &&
          !((ecl_is_array (v) || ecl_is_document (v)) && v->rep == ECL_REP_RAW && v->len == 5) &&
          !(ecl_is_number (v) && !ecl_truthy (v));
}

/* A value that went from one path and came, once, at one other. */
static void
find_renames (diff_t *diff)
{
   size_t n = 0;

   for (size_t i = 0; i < diff->n; i++) {
      ecl_difference_t *gone = &diff->items[i], *come = NULL;
      size_t likes = 0;

      if (gone->kind != ECL_DIFF_REMOVED || !tells (&gone->before)) {
         continue;
      }
      for (size_t k = 0; k < diff->n; k++) {
         ecl_difference_t *item = &diff->items[k];

         if (item->kind == ECL_DIFF_ADDED && ecl_identical (&item->after, &gone->before)) {
            come = item;
            likes++;
         } else if (k != i && item->kind == ECL_DIFF_REMOVED && ecl_identical (&item->before, &gone->before)) {
            likes += 2;
         }
      }
      if (likes == 1) {
         come->kind = ECL_DIFF_RENAMED;
         come->from_path = gone->path;
         come->before = gone->before;
         gone->path = NULL;
      }
   }
   for (size_t i = 0; i < diff->n; i++) {
      if (diff->items[i].path) {
         diff->items[n++] = diff->items[i];
      }
   }
   diff->n = n;
}

ecl_differences_t
ecl_diff (ecl_arena_t *arena, const ecl_value_t *a, const ecl_value_t *b, ecl_diff_flags_t flags)
{
   diff_t diff = {.arena = arena, .flags = flags};

   diff_value (&diff, "", a, b);
   if (!diff.n && !(flags & ECL_DIFF_ANY_ORDER) && !ecl_identical (a, b)) {
      /* What the walk does not see, such as keys of array elements that are no numbers. */
      ecl_difference_t *item = add (&diff, ECL_DIFF_CHANGED, "");

      item->before = *a;
      item->after = *b;
   }
   if (!(flags & ECL_DIFF_NO_RENAMES) && diff.n <= 200) {
      find_renames (&diff);
   }
   return (ecl_differences_t){diff.items, diff.n};
}

/* ---- the loose equality ---- */

static bool
same (ecl_arena_t *arena, const ecl_value_t *a, const ecl_value_t *b)
{
   uint32_t n, m;

   if (ecl_identical (a, b)) {
      return true;
   }
   if (ecl_is_array (a) && ecl_is_array (b)) {
      const ecl_value_t *x = ecl_array_items (arena, a, &n), *y = ecl_array_items (arena, b, &m);
      bool equal = n == m;

      for (uint32_t i = 0; equal && i < n; i++) {
         ecl_value_t p = ecl_present (x[i]), q = ecl_present (y[i]);

         equal = same (arena, &p, &q);
      }
      return equal;
   }
   if (ecl_is_document (a) && ecl_is_document (b)) {
      const ecl_field_t *fields_a = ecl_document_fields (arena, a, &n), *fields_b = ecl_document_fields (arena, b, &m);
      const named_t *x, *y;
      bool equal = n == m;

      if (!equal) {
         return false;
      }
      x = sort_fields (arena, fields_a, n);
      y = sort_fields (arena, fields_b, m);
      for (uint32_t i = 0; equal && i < n; i++) {
         equal = compare_names (x[i].field, y[i].field) == 0 && same (arena, &x[i].field->value, &y[i].field->value);
      }
      return equal;
   }
   return false;
}

bool
ecl_diff_same (const ecl_value_t *a, const ecl_value_t *b)
{
   ecl_arena_t arena;
   bool equal;

   ecl_arena_init (&arena);
   equal = same (&arena, a, b);
   ecl_arena_cleanup (&arena);
   return equal;
}
