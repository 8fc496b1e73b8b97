/* The simulator's front: runs seeds of each story, says which did not hold and how many reached each kind of fault;
 * kills at each write in turn; and runs the mutations, each of which must be found. Prints TAP.
 *
 *    sim [--seeds N] [--first SEED] [--story NAME] [--kills] [--mutants]
 *    sim --seed SEED [--story NAME] [--mutate NAME] [--kill-at N --kill before|after|late]   that one, with all that
 * happens
 */
#include "sim.h"

#include <getopt.h>
#include <time.h>

/* So many seeds reach each kind of fault. */
#define ENOUGH 1000

/* In so many seeds a mutation must show. */
#define MUTANT_SEEDS 6000

/* Of the systematic kills, with other latencies and applications. */
#define KILL_SEEDS 8

static const story_t *const stories[] = {&story_steps, &story_categories, &story_webhooks, &story_workers};

#define N_STORIES (sizeof stories / sizeof stories[0])

/* Those that seeds take in turn: the kind RUNS. The others have more documents, and are run by their names. */
#define N_MIXED 3

static const struct {
   unsigned where;
   const char *text;
} faults[] = {
#define X(name, where, text) {where, text},
   FAULTS (X)
#undef X
};

static const struct {
   const char *key;
   unsigned where;
   const char *text;
} mutations[] = {
#define X(name, key, where, text) {key, where, text},
   MUTATIONS (X)
#undef X
};

static const char *const kills[N_KILLS] = {"before", "after", "late"};

static double
seconds (void)
{
   struct timespec t;

   clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &t);
   return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static const story_t *
story_of (uint64_t seed, const story_t *only)
{
   return only ? only : stories[seed % N_MIXED];
}

static void
say_again (const sim_options_t *options, const char *wrong)
{
   printf ("# seed %" PRIu64 ", story %s: %s\n#    again: sim --seed %" PRIu64 " --story %s", options->seed,
           options->story->name, wrong, options->seed, options->story->name);
   if (options->mutation) {
      printf (" --mutate %s", mutations[options->mutation].key);
   }
   if (options->kill_at) {
      printf (" --kill-at %u --kill %s", options->kill_at, kills[options->kill]);
   }
   putchar ('\n');
}

static unsigned
kind_of (const story_t *only)
{
   return only ? only->kind : RUNS;
}

static bool
run_seeds (uint64_t first, uint64_t n, const story_t *only, mutation_t mutation)
{
   unsigned reached[N_FAULTS] = {0};
   double begin = seconds ();
   sim_result_t result = {0};
   bool good = true;

   for (uint64_t seed = first; seed < first + n; seed++) {
      sim_options_t options = {.story = story_of (seed, only), .seed = seed, .mutation = mutation};

      result.faults = 0;
      if (!sim_run (&options, &result)) {
         say_again (&options, result.wrong);
         good = false;
         break;
      }
      for (size_t i = 0; i < N_FAULTS; i++) {
         reached[i] += (unsigned) (result.faults >> i & 1);
      }
   }
   for (size_t i = 0; good && i < N_FAULTS; i++) {
      if (!(faults[i].where & kind_of (only))) {
         continue;
      }
      printf ("# %7u seeds: %s\n", reached[i], faults[i].text);
      if (!reached[i] && n >= ENOUGH && (!only || only->kind != RUNS)) {
         printf ("#    none of the seeds reached it\n");
         good = false;
      }
   }
   printf ("# %u events in %.1f s of CPU\n", result.events, seconds () - begin);
   return good;
}

/* At each write, before and after it took effect, and such that it takes effect late. */
static bool
run_kills (const story_t *story)
{
   uint64_t seeds = story->kills ? story->kills : KILL_SEEDS;
   unsigned runs = 0;

   /* In steps of four: with these a story turns its modes. */
   for (uint64_t seed = 1; seed <= 4 * seeds; seed += 4) {
      for (int kill = 0; kill < N_KILLS; kill++) {
         sim_result_t result = {.writes = 1};

         for (unsigned at = 1; at <= result.writes; at++) {
            sim_options_t options = {.story = story, .seed = seed, .kill_at = at, .kill = (kill_t) kill};

            runs++;
            if (!sim_run (&options, &result)) {
               say_again (&options, result.wrong);
               return false;
            }
            /* Where it was killed it wrote no more: there may be one more. */
            result.writes += result.writes == at;
         }
      }
   }
   printf ("# %u runs\n", runs);
   return true;
}

/* Returns whether a seed found it. */
static bool
run_mutant (mutation_t mutation, const story_t *only)
{
   sim_result_t result = {0};

   for (uint64_t seed = 1; seed <= MUTANT_SEEDS; seed++) {
      sim_options_t options = {.story = story_of (seed, only), .seed = seed, .mutation = mutation};

      if (!sim_run (&options, &result)) {
         printf ("# found by seed %" PRIu64 " of %s: %s\n", seed, options.story->name, result.wrong);
         return true;
      }
   }
   return false;
}

/* ---- the command line ---- */

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

static const story_t *
story_named (const char *name)
{
   for (size_t i = 0; i < N_STORIES; i++) {
      if (strcmp (stories[i]->name, name) == 0) {
         return stories[i];
      }
   }
   fprintf (stderr, "sim: no story \"%s\"\n", name);
   exit (2);
}

static kill_t
kill_named (const char *name)
{
   for (size_t i = 0; i < N_KILLS; i++) {
      if (strcmp (kills[i], name) == 0) {
         return (kill_t) i;
      }
   }
   fprintf (stderr, "sim: a process is killed before, after or late, not \"%s\"\n", name);
   exit (2);
}

/* Whether the story, or those in turn, are to find it. */
static bool
is_for (mutation_t mutation, const story_t *only)
{
   return (mutations[mutation].where & kind_of (only)) != 0;
}

static bool
run_all (uint64_t first, uint64_t n, const story_t *only, bool each, bool mutants)
{
   size_t tests = 1, test = 1, n_kills = !each ? 0 : only ? 1 : N_MIXED;
   bool good, one;

   tests += n_kills;
   for (int i = 1; mutants && i < N_MUTATIONS; i++) {
      tests += is_for ((mutation_t) i, only);
   }
   printf ("1..%zu\n", tests);
   good = run_seeds (first, n, only, MUTATE_NONE);
   printf ("%s %zu - the properties hold in %" PRIu64 " seeds\n", good ? "ok" : "not ok", test++, n);
   for (size_t i = 0; i < n_kills; i++) {
      const story_t *story = only ? only : stories[i];

      one = run_kills (story);
      printf ("%s %zu - killed at each write: %s\n", one ? "ok" : "not ok", test++, story->name);
      good &= one;
   }
   for (int i = 1; mutants && i < N_MUTATIONS; i++) {
      if (is_for ((mutation_t) i, only)) {
         one = run_mutant ((mutation_t) i, only);
         printf ("%s %zu - found: %s\n", one ? "ok" : "not ok", test++, mutations[i].text);
         good &= one;
      }
   }
   return good;
}

int
main (int argc, char **argv)
{
   static const struct option long_options[] = {
      {"seeds", required_argument, NULL, 'n'}, {"first", required_argument, NULL, 'f'},
      {"seed", required_argument, NULL, 's'},  {"story", required_argument, NULL, 'S'},
      {"mutants", no_argument, NULL, 'm'},     {"mutate", required_argument, NULL, 'M'},
      {"kills", no_argument, NULL, 'k'},       {"kill-at", required_argument, NULL, 'a'},
      {"kill", required_argument, NULL, 'K'},  {NULL, 0, NULL, 0},
   };
   uint64_t n = 10000, first = 1;
   sim_options_t options = {.verbose = true};
   bool mutants = false, each = false, single = false, good;
   sim_result_t result = {0};
   int option;

   while ((option = getopt_long (argc, argv, "", long_options, NULL)) != -1) {
      switch (option) {
      case 'n':
         n = number (optarg);
         break;
      case 'f':
         first = number (optarg);
         break;
      case 's':
         options.seed = number (optarg);
         single = true;
         break;
      case 'S':
         options.story = story_named (optarg);
         break;
      case 'm':
         mutants = true;
         break;
      case 'M':
         options.mutation = mutation_of (optarg);
         break;
      case 'k':
         each = true;
         break;
      case 'a':
         options.kill_at = (unsigned) number (optarg);
         break;
      case 'K':
         options.kill = kill_named (optarg);
         break;
      default:
         return 2;
      }
   }
   if (single) {
      options.story = story_of (options.seed, options.story);
      good = sim_run (&options, &result);
      printf ("%s\n", good ? "all properties hold" : result.wrong);
   } else {
      good = run_all (first, n, options.story, each, mutants);
   }
   sim_cleanup ();
   return !good;
}
