/* Measuring: see bench.h. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 25
#define ROUND_NS 12e6 /* long enough for the clock, short enough that a drift hits A and B alike */

static volatile uint64_t sink;

static double
now_ns (void)
{
   struct timespec t;

   clock_gettime (CLOCK_MONOTONIC, &t);
   return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

static double
time_batch (bench_fn fn, void *context, size_t n)
{
   double start = now_ns ();

   sink += fn (context, n);
   return now_ns () - start;
}

/* How many documents take about one round; warms up on the way. */
static size_t
calibrate (bench_fn fn, void *context)
{
   size_t n = 1;

   for (;;) {
      double t = time_batch (fn, context, n);

      if (t > ROUND_NS / 4) {
         n = (size_t) ((double) n * ROUND_NS / t);
         return n ? n : 1;
      }
      n *= 2;
   }
}

static int
by_value (const void *a, const void *b)
{
   double x = *(const double *) a, y = *(const double *) b;

   return (x > y) - (x < y);
}

static double
median (double *values, size_t n)
{
   qsort (values, n, sizeof *values, by_value);
   return values[n / 2];
}

double
bench_pair (const char *name, const char *goal, bench_fn a, void *context_a, bench_fn b, void *context_b)
{
   double times_a[ROUNDS], times_b[ROUNDS], ratios[ROUNDS], ratio;
   size_t n_a = calibrate (a, context_a), n_b = calibrate (b, context_b);

   for (int i = 0; i < ROUNDS; i++) {
      times_a[i] = time_batch (a, context_a, n_a) / (double) n_a;
      times_b[i] = time_batch (b, context_b, n_b) / (double) n_b;
      ratios[i] = times_a[i] / times_b[i];
   }
   ratio = median (ratios, ROUNDS);
   printf ("%-58s %10.1f %10.1f %7.2f  %s\n", name, median (times_a, ROUNDS), median (times_b, ROUNDS), ratio, goal);
   fflush (stdout);
   bench_note (name, median (times_a, ROUNDS), median (times_b, ROUNDS), ratio);
   return ratio;
}

double
bench_one (bench_fn fn, void *context)
{
   double times[ROUNDS];
   size_t n = calibrate (fn, context);

   for (int i = 0; i < ROUNDS; i++) {
      times[i] = time_batch (fn, context, n) / (double) n;
   }
   return median (times, ROUNDS);
}

void
bench_header (void)
{
   printf ("%-58s %10s %10s %7s  %s\n", "", "ns", "baseline", "ratio", "goal");
}

static struct {
   char name[80];
   double ns, baseline, ratio;
} notes[200];
static size_t n_notes;

void
bench_note (const char *name, double ns, double baseline, double ratio)
{
   if (n_notes < sizeof notes / sizeof notes[0]) {
      snprintf (notes[n_notes].name, sizeof notes[n_notes].name, "%s", name);
      notes[n_notes].ns = ns;
      notes[n_notes].baseline = baseline;
      notes[n_notes++].ratio = ratio;
   }
}

void
bench_write_notes (const char *path)
{
   FILE *file = fopen (path, "w");

   if (!file) {
      perror (path);
      exit (1);
   }
   fprintf (file, "{");
   for (size_t i = 0; i < n_notes; i++) {
      fprintf (file, "%s\n  \"%s\": {\"ns\": %.2f, \"baseline\": %.2f, \"ratio\": %.4f}", i ? "," : "", notes[i].name,
               notes[i].ns, notes[i].baseline, notes[i].ratio);
   }
   fprintf (file, "\n}\n");
   fclose (file);
}
