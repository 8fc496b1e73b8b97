/* Progress on standard error: one line that is written over on a terminal, a plain line every few seconds elsewhere. */
#ifndef ECL_CLI_PROGRESS_H
#define ECL_CLI_PROGRESS_H

#include "base/error.h"

#include <stdio.h>

typedef enum {
   ECL_PROGRESS_NONE,     /* standard error is for lines of JSON alone */
   ECL_PROGRESS_LINES,    /* no terminal, or one that can only go on */
   ECL_PROGRESS_TERMINAL, /* one line, cut to what fits: what wraps could not be written over */
} ecl_progress_way_t;

typedef struct {
   FILE *out;
   ecl_progress_way_t way;
   char label[128];
   uint64_t total;       /* 0: unknown */
   uint64_t before;      /* was done before it began: no part of the mean */
   int64_t began, shown; /* monotonic ms; shown 0: never */
   bool dirty;           /* the terminal's line is not ended */
   double rate;    /* a second, where somebody measures it; 0: the mean since it began; negative: nothing is said */
   char note[256]; /* said behind it; "" where there is nothing to say */
} ecl_progress_t;

/* Begins to count; nothing is printed yet. now is monotonic, in ms. */
void
ecl_progress_begin (ecl_progress_t *self, FILE *out, ecl_progress_way_t way, const char *label, uint64_t total,
                    int64_t now);

/* May be called for each document: prints ten times a second on a terminal, else every five seconds. */
void
ecl_progress_update (ecl_progress_t *self, uint64_t done, int64_t now);

/* Prints the last state, at which no time is left, and ends the line. */
void
ecl_progress_end (ecl_progress_t *self, uint64_t done, int64_t now);

/* Clears the line before something else is printed; the next update shows it again. */
void
ecl_progress_hide (ecl_progress_t *self);

/* "1,234", "2m03s": numbers and times as people read them. Return text. */
const char *
ecl_progress_count (uint64_t n, char text[32]);

const char *
ecl_progress_time (int64_t ms, char text[32]);

#endif
