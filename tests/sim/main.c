/* The simulator's front: runs seeds of each story, says which did not hold and how many reached each kind of fault;
 * kills at each write in turn; and runs the mutations, each of which must be found. Prints TAP.
 *
 *    sim [--seeds N] [--first SEED] [--story NAME] [--kills] [--mutants] [--jobs N]
 *    sim --seed SEED [--story NAME] [--mutate NAME] [--kill-at N --kill before|after|late]   that one, with all that
 * happens
 */
#include "sim.h"

#include "parallel.h"

#include <getopt.h>
#include <sys/resource.h>
#include <time.h>

/* So many seeds reach each kind of fault. */
#define ENOUGH 1000

/* In so many seeds a mutation must show. */
#define MUTANT_SEEDS 6000

/* Of the systematic kills, with other latencies and applications. */
#define KILL_SEEDS 8

static const story_t *const stories[] = {&story_steps,    &story_categories, &story_webhooks, &story_workers,
                                         &story_throttle, &story_looks,      &story_complete};

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

/* Of this process, and of those that ended. */
static double
seconds (void)
{
   struct timespec t;

   struct rusage ended;

   clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &t);
   getrusage (RUSAGE_CHILDREN, &ended);
   return (double) t.tv_sec + (double) t.tv_nsec / 1e9 + (double) (ended.ru_utime.tv_sec + ended.ru_stime.tv_sec) +
          (double) (ended.ru_utime.tv_usec + ended.ru_stime.tv_usec) / 1e6;
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

/* ---- seeds ---- */

/* So many at once, so that no process has to ask for each. */
#define PORTION 50

typedef struct {
   bool begun, good;
   uint64_t runs, seed; /* of the failure, or the mutation that was found */
   uint64_t events;
   unsigned reached[N_FAULTS];
   sim_options_t options; /* of the failure */
   char wrong[512];
} outcome_t;

typedef struct {
   const story_t *story;
   uint64_t first, n;
   mutation_t mutations[N_MUTATIONS];
} plan_t;

static bool
run_one (const sim_options_t *options, sim_result_t *result, outcome_t *out)
{
   out->runs++;
   result->faults = 0;
   result->events = 0;
   out->good = sim_run (options, result);
   out->events += result->events;
   for (size_t i = 0; i < N_FAULTS; i++) {
      out->reached[i] += (unsigned) (result->faults >> i & 1);
   }
   if (!out->good) {
      out->options = *options;
      memcpy (out->wrong, result->wrong, sizeof out->wrong);
   }
   return out->good;
}

static bool
run_portion (void *context, size_t i, void *result)
{
   const plan_t *plan = context;
   outcome_t *out = result;
   uint64_t from = plan->first + i * PORTION, end = plan->first + plan->n;
   sim_result_t one = {0};

   out->begun = out->good = true;
   for (uint64_t seed = from; seed < from + PORTION && seed < end && out->good; seed++) {
      sim_options_t options = {.story = story_of (seed, plan->story), .seed = seed};

      (void) run_one (&options, &one, out);
   }
   return out->good;
}

/* All outcomes in one; the first failure is told. */
static bool
add_up (outcome_t *outcomes, size_t n, outcome_t *sum)
{
   memset (sum, 0, sizeof *sum);
   sum->good = true;
   for (size_t i = 0; i < n; i++) {
      const outcome_t *one = &outcomes[i];

      sum->runs += one->runs;
      sum->events += one->events;
      for (size_t k = 0; k < N_FAULTS; k++) {
         sum->reached[k] += one->reached[k];
      }
      if (one->begun && !one->good && sum->good) {
         sum->good = false;
         say_again (&one->options, one->wrong);
      }
   }
   parallel_free (outcomes, n, sizeof *outcomes);
   return sum->good;
}

static bool
run_seeds (unsigned jobs, uint64_t first, uint64_t n, const story_t *only)
{
   plan_t plan = {.story = only, .first = first, .n = n};
   size_t portions = (size_t) ((n + PORTION - 1) / PORTION);
   double begin = seconds ();
   outcome_t sum;
   bool good = add_up (parallel_run (jobs, portions, sizeof sum, run_portion, &plan), portions, &sum);

   for (size_t i = 0; good && i < N_FAULTS; i++) {
      if (!(faults[i].where & kind_of (only))) {
         continue;
      }
      printf ("# %7u seeds: %s\n", sum.reached[i], faults[i].text);
      if (!sum.reached[i] && n >= ENOUGH && (!only || only->kind != RUNS)) {
         printf ("#    none of the seeds reached it\n");
         good = false;
      }
   }
   printf ("# %" PRIu64 " events in %.1f s of CPU\n", sum.events, seconds () - begin);
   return good;
}

/* ---- killed at each write ---- */

/* One seed, and one way: before it took effect, after that, and such that it takes effect late. */
static bool
run_kill (void *context, size_t i, void *result)
{
   const plan_t *plan = context;
   outcome_t *out = result;
   sim_result_t one = {.writes = 1};

   out->begun = out->good = true;
   for (unsigned at = 1; at <= one.writes && out->good; at++) {
      /* In steps of four: with these a story turns its modes. */
      sim_options_t options = {
         .story = plan->story, .seed = 1 + 4 * (i / N_KILLS), .kill_at = at, .kill = (kill_t) (i % N_KILLS)};

      (void) run_one (&options, &one, out);
      /* Where it was killed it wrote no more: there may be one more. */
      one.writes += one.writes == at;
   }
   return out->good;
}

static bool
run_kills (unsigned jobs, const story_t *story)
{
   plan_t plan = {.story = story};
   size_t n = (size_t) (story->kills ? story->kills : KILL_SEEDS) * N_KILLS;
   outcome_t sum;
   bool good = add_up (parallel_run (jobs, n, sizeof sum, run_kill, &plan), n, &sum);

   printf ("# %" PRIu64 " runs\n", sum.runs);
   return good;
}

/* ---- mutations ---- */

/* Whether the story, or those in turn, are to find it. */
static bool
is_for (mutation_t mutation, const story_t *only)
{
   return (mutations[mutation].where & kind_of (only)) != 0;
}

static bool
run_mutation (void *context, size_t i, void *result)
{
   const plan_t *plan = context;
   outcome_t *out = result;
   sim_result_t one = {0};

   out->begun = out->good = true;
   for (uint64_t seed = 1; seed <= MUTANT_SEEDS && out->good; seed++) {
      sim_options_t options = {.story = story_of (seed, plan->story), .seed = seed, .mutation = plan->mutations[i]};

      (void) run_one (&options, &one, out);
   }
   return true;
}

/* Returns whether all are found; *test counts the tests. */
static bool
run_mutations (unsigned jobs, const story_t *only, size_t *test)
{
   plan_t plan = {.story = only};
   outcome_t *outcomes;
   bool all = true;
   size_t n = 0;

   for (int i = 1; i < N_MUTATIONS; i++) {
      if (is_for ((mutation_t) i, only)) {
         plan.mutations[n++] = (mutation_t) i;
      }
   }
   outcomes = parallel_run (jobs, n, sizeof *outcomes, run_mutation, &plan);
   for (size_t i = 0; i < n; i++) {
      bool found = outcomes[i].begun && !outcomes[i].good;

      if (found) {
         printf ("# found by seed %" PRIu64 " of %s: %s\n", outcomes[i].options.seed, outcomes[i].options.story->name,
                 outcomes[i].wrong);
      }
      printf ("%s %zu - found: %s\n", found ? "ok" : "not ok", (*test)++, mutations[plan.mutations[i]].text);
      all &= found;
   }
   parallel_free (outcomes, n, sizeof *outcomes);
   return all;
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

static bool
run_all (unsigned jobs, uint64_t first, uint64_t n, const story_t *only, bool each, bool mutants)
{
   size_t tests = 1, test = 1, n_kills = !each ? 0 : only ? 1 : N_MIXED;
   bool good, one;

   tests += n_kills;
   for (int i = 1; mutants && i < N_MUTATIONS; i++) {
      tests += is_for ((mutation_t) i, only);
   }
   printf ("1..%zu\n", tests);
   good = run_seeds (jobs, first, n, only);
   printf ("%s %zu - the properties hold in %" PRIu64 " seeds\n", good ? "ok" : "not ok", test++, n);
   for (size_t i = 0; i < n_kills; i++) {
      const story_t *story = only ? only : stories[i];

      one = run_kills (jobs, story);
      printf ("%s %zu - killed at each write: %s\n", one ? "ok" : "not ok", test++, story->name);
      good &= one;
   }
   return (!mutants || run_mutations (jobs, only, &test)) && good;
}

int
main (int argc, char **argv)
{
   static const struct option long_options[] = {
      {"seeds", required_argument, NULL, 'n'},
      {"first", required_argument, NULL, 'f'},
      {"seed", required_argument, NULL, 's'},
      {"story", required_argument, NULL, 'S'},
      {"mutants", no_argument, NULL, 'm'},
      {"mutate", required_argument, NULL, 'M'},
      {"kills", no_argument, NULL, 'k'},
      {"kill-at", required_argument, NULL, 'a'},
      {"kill", required_argument, NULL, 'K'},
      {"jobs", required_argument, NULL, 'j'},
      {NULL, 0, NULL, 0},
   };
   unsigned jobs = parallel_default ();
   uint64_t n = 10000, first = 1;
   sim_options_t options = {.verbose = true};
   bool mutants = false, each = false, single = false, good;
   sim_result_t result = {0};
   int option;

   memory_init ();
   atexit (sim_cleanup);
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
      case 'j':
         jobs = (unsigned) number (optarg);
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
      good = run_all (jobs, first, n, options.story, each, mutants);
   }
   return !good;
}
