/* Chance, out of a seed: see sim.h. */
#include "sim.h"

uint64_t
sim_random (sim_t *self)
{
   /* splitmix64 */
   uint64_t x = self->chance += 0x9E3779B97F4A7C15u;

   x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
   x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
   return x ^ (x >> 31);
}

bool
sim_chance (sim_t *self, uint64_t of)
{
   return sim_random (self) % of == 0;
}

int64_t
sim_between (sim_t *self, int64_t low, int64_t high)
{
   return low + (int64_t) (sim_random (self) % (uint64_t) (high - low + 1));
}
