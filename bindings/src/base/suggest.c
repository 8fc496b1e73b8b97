/* Suggestions: see suggest.h. The distance is Damerau's, of adjacent swaps. */
#include "base/suggest.h"

#include <string.h>

/* Longer words are not compared: nobody means a short one by them. */
#define LONGEST 40u

static unsigned
least (unsigned a, unsigned b, unsigned c)
{
   unsigned least_of_two = a < b ? a : b;

   return least_of_two < c ? least_of_two : c;
}

static unsigned
distance (const char *a, size_t n, const char *b, size_t m)
{
   unsigned rows[3][LONGEST + 1];
   unsigned *before = rows[0], *above = rows[1], *row = rows[2];

   for (unsigned j = 0; j <= m; j++) {
      above[j] = j;
   }
   for (unsigned i = 1; i <= n; i++) {
      unsigned *spare = before;

      row[0] = i;
      for (unsigned j = 1; j <= m; j++) {
         row[j] = least (above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
         if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < row[j]) {
            row[j] = before[j - 2] + 1;
         }
      }
      before = above;
      above = row;
      row = spare;
   }
   return above[m];
}

const char *
ecl_suggest (const char *word, size_t len, const char *const *known)
{
   const char *best = NULL;
   unsigned best_distance = 0;

   if (!len || len > LONGEST) {
      return NULL;
   }
   for (; *known; known++) {
      size_t m = strlen (*known);
      unsigned d;

      if (m > LONGEST) {
         continue;
      }
      d = distance (word, len, *known, m);
      /* A third of the letters may be wrong; a word of two letters must share one. */
      if (d <= (len + 2) / 3 && d < (m > len ? m : len) && (!best || d < best_distance)) {
         best = *known;
         best_distance = d;
      }
   }
   return best;
}
