/* A merge sort of positions: see sort.h. Short runs are sorted by insertion; a pair of runs that is in order already is
 * copied without comparing, so sorted input costs n comparisons and a copy for each level. */
#include "mql/sort.h"

#include "bson/compare.h"

#define RUN 8u

static void
insertion_sort (uint32_t *positions, uint32_t n, ecl_sort_fn compare, const void *context)
{
   for (uint32_t i = 1; i < n; i++) {
      uint32_t p = positions[i], k = i;

      while (k > 0 && compare (context, positions[k - 1], p) > 0) {
         positions[k] = positions[k - 1];
         k--;
      }
      positions[k] = p;
   }
}

/* from[a … middle) and from[middle … end) to to[a … end) */
static void
merge (const uint32_t *from, uint32_t *to, uint32_t a, uint32_t middle, uint32_t end, ecl_sort_fn compare,
       const void *context)
{
   uint32_t b = middle, out = a;

   if (middle < end && compare (context, from[middle - 1], from[middle]) > 0) {
      while (a < middle && b < end) {
         to[out++] = compare (context, from[a], from[b]) <= 0 ? from[a++] : from[b++];
      }
   }
   memcpy (to + out, from + a, (middle - a) * sizeof *to);
   out += middle - a;
   memcpy (to + out, from + b, (end - b) * sizeof *to);
}

uint32_t *
ecl_sort_positions (ecl_arena_t *arena, uint32_t n, ecl_sort_fn compare, const void *context)
{
   uint32_t *from = ecl_arena_array (arena, uint32_t, n);
   uint32_t *to;

   for (uint32_t i = 0; i < n; i++) {
      from[i] = i;
   }
   for (uint32_t i = 0; i < n; i += RUN) {
      insertion_sort (from + i, n - i < RUN ? n - i : RUN, compare, context);
   }
   if (n <= RUN) {
      return from;
   }
   to = ecl_arena_array (arena, uint32_t, n);
   for (uint64_t width = RUN; width < n; width *= 2) {
      uint32_t *other = from;

      for (uint64_t a = 0; a < n; a += 2 * width) {
         uint64_t middle = a + width < n ? a + width : n;
         uint64_t end = a + 2 * width < n ? a + 2 * width : n;

         merge (from, to, (uint32_t) a, (uint32_t) middle, (uint32_t) end, compare, context);
      }
      from = to;
      to = other;
   }
   return from;
}

static int
by_value (const void *context, uint32_t a, uint32_t b)
{
   const ecl_value_t *values = context;

   return ecl_compare (&values[a], &values[b]);
}

ecl_value_t *
ecl_sort_values (ecl_arena_t *arena, const ecl_value_t *values, uint32_t n)
{
   const uint32_t *order = ecl_sort_positions (arena, n, by_value, values);
   ecl_value_t *sorted = ecl_arena_array (arena, ecl_value_t, n);

   for (uint32_t i = 0; i < n; i++) {
      sorted[i] = values[order[i]];
   }
   return sorted;
}
