/* Equality as $jsonSchema has it, for enum and uniqueItems: the order of fields does not count. */
#include "mql/schema_node.h"

#include <stdlib.h>

static int
compare_fields (const void *a, const void *b)
{
   const ecl_field_t *x = a, *y = b;

   if (x->key_len != y->key_len) {
      return x->key_len < y->key_len ? -1 : 1;
   }
   return memcmp (x->key, y->key, x->key_len);
}

/* A copy of the fields, sorted. */
static ecl_field_t *
sorted_fields (ecl_arena_t *arena, const ecl_value_t *document, uint32_t *n)
{
   const ecl_field_t *fields = ecl_document_fields (arena, document, n);
   ecl_field_t *sorted = ecl_arena_array (arena, ecl_field_t, *n);

   if (*n) {
      memcpy (sorted, fields, *n * sizeof *sorted);
      qsort (sorted, *n, sizeof *sorted, compare_fields);
   }
   return sorted;
}

bool
ecl_schema_equal (ecl_arena_t *arena, const ecl_value_t *a, const ecl_value_t *b)
{
   if (ecl_canonical_type (a->type) != ecl_canonical_type (b->type)) {
      return false;
   }
   if (a->type == BSON_TYPE_DOCUMENT) {
      uint32_t n_a, n_b;
      const ecl_field_t *fa = sorted_fields (arena, a, &n_a);
      const ecl_field_t *fb = sorted_fields (arena, b, &n_b);

      if (n_a != n_b) {
         return false;
      }
      for (uint32_t i = 0; i < n_a; i++) {
         if (compare_fields (&fa[i], &fb[i]) != 0 || !ecl_schema_equal (arena, &fa[i].value, &fb[i].value)) {
            return false;
         }
      }
      return true;
   }
   if (a->type == BSON_TYPE_ARRAY) {
      ecl_iter_t ia, ib;
      ecl_value_t va, vb;

      ecl_iter_init (&ia, a);
      ecl_iter_init (&ib, b);
      for (;;) {
         bool more_a = ecl_iter_item (&ia, &va), more_b = ecl_iter_item (&ib, &vb);

         if (!more_a || !more_b) {
            return more_a == more_b;
         }
         if (!ecl_schema_equal (arena, &va, &vb)) {
            return false;
         }
      }
   }
   return ecl_equal (a, b);
}

static uint64_t
mix (uint64_t h)
{
   h *= 0x9E3779B97F4A7C15ull;
   return h ^ (h >> 31);
}

/* Equal values have equal hashes: the fields of a document are summed up, so their order does not show. */
static uint64_t
hash (const ecl_value_t *v)
{
   ecl_iter_t iter;
   uint64_t h = 0;

   if (v->type == BSON_TYPE_DOCUMENT) {
      ecl_field_t field;

      ecl_iter_init (&iter, v);
      while (ecl_iter_field (&iter, &field)) {
         ecl_value_t key = ecl_string (field.key, field.key_len);

         h += mix (mix (ecl_hash (&key)) + hash (&field.value));
      }
      return mix (h + 1);
   }
   if (v->type == BSON_TYPE_ARRAY) {
      ecl_value_t item;

      ecl_iter_init (&iter, v);
      while (ecl_iter_item (&iter, &item)) {
         h = mix (h + hash (&item));
      }
      return mix (h + 2);
   }
   return ecl_hash (v);
}

bool
ecl_schema_unique (ecl_arena_t *arena, const ecl_value_t *values, uint32_t n)
{
   uint32_t size = 8;
   uint64_t *hashes = ecl_arena_array (arena, uint64_t, n);
   uint32_t *table; /* index + 1; 0 is empty */

   while (size < 2 * n) {
      size *= 2;
   }
   table = ecl_arena_array (arena, uint32_t, size);
   memset (table, 0, size * sizeof *table);
   for (uint32_t i = 0; i < n; i++) {
      uint32_t slot;

      hashes[i] = hash (&values[i]);
      for (slot = (uint32_t) (hashes[i] >> 32) & (size - 1); table[slot]; slot = (slot + 1) & (size - 1)) {
         uint32_t other = table[slot] - 1;

         if (hashes[other] == hashes[i] && ecl_schema_equal (arena, &values[other], &values[i])) {
            return false;
         }
      }
      table[slot] = i + 1;
   }
   return true;
}
