/* Suggestions: the known word that somebody who wrote another one most likely meant. */
#ifndef ECL_BASE_SUGGEST_H
#define ECL_BASE_SUGGEST_H

#include "base/error.h"

/* The nearest of the NULL-terminated list, by insertions, deletions, changes and swaps of neighbours; NULL where none
 * is near enough to be meant. The word need not be terminated. */
const char *
ecl_suggest (const char *word, size_t len, const char *const *known);

#endif
