/* An index of names: see names.h. */
#include "mql/names.h"

/* More names than this are hashed; so few are compared one by one. */
#define NAMES_LISTED 16u

void
ecl_names_init (ecl_names_t *self, ecl_arena_t *arena)
{
   *self = (ecl_names_t){.arena = arena};
}

static bool
is_named (const ecl_name_t *self, const char *name, uint32_t len)
{
   return self->len == len && memcmp (self->str, name, len) == 0;
}

/* The name's place in the table, or the free one where it belongs. */
static uint32_t
place_of (const ecl_names_t *self, const char *name, uint32_t len)
{
   const ecl_value_t value = ecl_string (name, len);
   uint64_t hash = ecl_hash (&value);
   uint32_t at = (uint32_t) (hash ^ (hash >> 32)) & self->mask;

   while (self->table[at] && !is_named (&self->names[self->table[at] - 1], name, len)) {
      at = (at + 1) & self->mask;
   }
   return at;
}

uint32_t
ecl_names_find (const ecl_names_t *self, const char *name, uint32_t len)
{
   if (self->table) {
      uint32_t entry = self->table[place_of (self, name, len)];

      return entry ? entry - 1 : ECL_NAMES_NONE;
   }
   for (uint32_t i = 0; i < self->n; i++) {
      if (is_named (&self->names[i], name, len)) {
         return i;
      }
   }
   return ECL_NAMES_NONE;
}

static void
grow (ecl_names_t *self)
{
   uint32_t cap = self->cap ? 2 * self->cap : 4;

   self->names = ecl_arena_grow (self->arena, self->names, self->n * sizeof *self->names, cap * sizeof *self->names);
   self->cap = cap;
   if (cap > NAMES_LISTED) {
      self->mask = 2 * cap - 1;
      self->table = ecl_arena_array (self->arena, uint32_t, 2 * (size_t) cap);
      memset (self->table, 0, 2 * (size_t) cap * sizeof *self->table);
      for (uint32_t i = 0; i < self->n; i++) {
         self->table[place_of (self, self->names[i].str, self->names[i].len)] = i + 1;
      }
   }
}

uint32_t
ecl_names_add (ecl_names_t *self, ecl_name_t name)
{
   if (self->n == self->cap) {
      grow (self);
   }
   self->names[self->n] = name;
   if (self->table) {
      self->table[place_of (self, name.str, name.len)] = self->n + 1;
   }
   return self->n++;
}
