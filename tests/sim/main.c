/* The simulator's front: runs seeds, says which did not hold and how many reached each kind of fault; and runs the
 * mutations, each of which must be found. Prints TAP.
 *
 *    sim [--seeds N] [--first SEED] [--mutants]
 *    sim --seed SEED [--mutate NAME]             that one, with all that happens
 */
#include "sim.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

/* In so many seeds a mutation must show. */
#define MUTANT_SEEDS 3000

static const char *const fault_text[] = {
#define X(name, text) text,
   FAULTS (X)
#undef X
};

static const struct {
   const char *key, *text;
} mutations[] = {
#define X(name, key, text) {key, text},
   MUTATIONS (X)
#undef X
};

static double
seconds (void)
{
   struct timespec t;

   clock_gettime (CLOCK_MONOTONIC, &t);
   return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static bool
run_seeds (uint64_t first, uint64_t n, mutation_t mutation)
{
   unsigned reached[N_FAULTS] = {0}, events = 0;
   double begin = seconds ();
   char wrong[512];
   bool good = true;

   for (uint64_t seed = first; seed < first + n; seed++) {
      unsigned faults = 0;

      if (!sim_run (seed, mutation, false, &faults, &events, wrong)) {
         printf ("# seed %" PRIu64 ": %s\n#    again: sim --seed %" PRIu64 "%s%s\n", seed, wrong, seed,
                 mutation ? " --mutate " : "", mutation ? mutations[mutation].key : "");
         good = false;
         break;
      }
      for (size_t i = 0; i < N_FAULTS; i++) {
         reached[i] += faults >> i & 1;
      }
   }
   for (size_t i = 0; good && i < N_FAULTS; i++) {
      printf ("# %7u seeds: %s\n", reached[i], fault_text[i]);
      if (!reached[i] && n >= 1000) {
         printf ("#    none of the seeds reached it\n");
         good = false;
      }
   }
   printf ("# %u events in %.1f s\n", events, seconds () - begin);
   return good;
}

/* Returns whether a seed found it. */
static bool
run_mutant (mutation_t mutation)
{
   unsigned faults = 0, events = 0;
   char wrong[512];

   for (uint64_t seed = 1; seed <= MUTANT_SEEDS; seed++) {
      if (!sim_run (seed, mutation, false, &faults, &events, wrong)) {
         printf ("# found by seed %" PRIu64 ": %s\n", seed, wrong);
         return true;
      }
   }
   return false;
}

static uint64_t
number (const char *text)
{
   char *end;
   uint64_t value = strtoull (text, &end, 10);

   if (!*text || *end) {
      fprintf (stderr, "sim: \"%s\" is no number\n", text);
      exit (2);
   }
   return value;
}

static mutation_t
mutation_of (const char *key)
{
   for (size_t i = 0; i < N_MUTATIONS; i++) {
      if (strcmp (mutations[i].key, key) == 0) {
         return (mutation_t) i;
      }
   }
   fprintf (stderr, "sim: no mutation \"%s\"\n", key);
   exit (2);
}

int
main (int argc, char **argv)
{
   static const struct option options[] = {
      {"seeds", required_argument, NULL, 'n'},  {"first", required_argument, NULL, 'f'},
      {"seed", required_argument, NULL, 's'},   {"mutants", no_argument, NULL, 'm'},
      {"mutate", required_argument, NULL, 'M'}, {NULL, 0, NULL, 0},
   };
   uint64_t n = 10000, first = 1, only = 0;
   mutation_t mutation = MUTATE_NONE;
   bool mutants = false, single = false, good;
   unsigned faults = 0, events = 0;
   char wrong[512];
   int option;

   while ((option = getopt_long (argc, argv, "", options, NULL)) != -1) {
      switch (option) {
      case 'n':
         n = number (optarg);
         break;
      case 'f':
         first = number (optarg);
         break;
      case 's':
         only = number (optarg);
         single = true;
         break;
      case 'm':
         mutants = true;
         break;
      case 'M':
         mutation = mutation_of (optarg);
         break;
      default:
         return 2;
      }
   }
   if (single) {
      good = sim_run (only, mutation, true, &faults, &events, wrong);
      printf ("%s\n", good ? "all properties hold" : wrong);
      return !good;
   }
   printf ("1..%d\n", mutants ? N_MUTATIONS : 1);
   good = run_seeds (first, n, mutation);
   printf ("%s 1 - the properties hold in %" PRIu64 " seeds\n", good ? "ok" : "not ok", n);
   for (size_t i = 1; mutants && i < N_MUTATIONS; i++) {
      bool found = run_mutant ((mutation_t) i);

      printf ("%s %zu - found: %s\n", found ? "ok" : "not ok", i + 1, mutations[i].text);
      good &= found;
   }
   return !good;
}
