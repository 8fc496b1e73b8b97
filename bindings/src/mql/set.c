/* A hash set of values: see set.h. */
#include "mql/set.h"

void
ecl_set_init (ecl_set_t *self, ecl_arena_t *arena, uint32_t n)
{
   uint32_t size = 8;

   /* An array has at most 16 MiB / 3 elements as BSON, and computed ones are bounded below 2^24. */
   while (size < 2 * (uint64_t) n) {
      size *= 2;
   }
   self->n = 0;
   self->mask = size - 1;
   self->members = ecl_arena_array (arena, ecl_value_t, n);
   self->hashes = ecl_arena_array (arena, uint32_t, n);
   self->table = ecl_arena_array (arena, uint32_t, size);
   memset (self->table, 0, size * sizeof *self->table);
}

static uint32_t
hash_of (const ecl_value_t *v)
{
   uint64_t h = ecl_hash (v);

   return (uint32_t) (h ^ (h >> 32));
}

/* The value's place in the table, or the free one where it belongs. */
static uint32_t
find (const ecl_set_t *self, const ecl_value_t *v, uint32_t hash)
{
   uint32_t i = hash & self->mask;

   while (self->table[i]) {
      uint32_t k = self->table[i] - 1;

      if (self->hashes[k] == hash && ecl_equal (&self->members[k], v)) {
         break;
      }
      i = (i + 1) & self->mask;
   }
   return i;
}

bool
ecl_set_add (ecl_set_t *self, const ecl_value_t *v)
{
   uint32_t hash = hash_of (v);
   uint32_t i = find (self, v, hash);

   if (self->table[i]) {
      return false;
   }
   self->members[self->n] = *v;
   self->hashes[self->n] = hash;
   self->table[i] = ++self->n;
   return true;
}

bool
ecl_set_has (const ecl_set_t *self, const ecl_value_t *v)
{
   return self->table[find (self, v, hash_of (v))] != 0;
}

void
ecl_set_of_array (ecl_set_t *self, ecl_arena_t *arena, const ecl_value_t *array)
{
   ecl_iter_t iter;
   ecl_value_t item;

   ecl_set_init (self, arena, ecl_array_count (array));
   ecl_iter_init (&iter, array);
   while (ecl_iter_item (&iter, &item)) {
      ecl_set_add (self, &item);
   }
}
