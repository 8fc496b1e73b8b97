/* Rates as people write them: documents or bytes per second. */
#ifndef ECL_BASE_RATE_H
#define ECL_BASE_RATE_H

#include "base/error.h"

/* "1000" (documents per second), "5MB", "512kB", "1MiB", "20000B" (bytes per second), "none" (no limit); "/s"
 * may follow. Of the two the one that was not said is 0. */
bool
ecl_rate_parse (const char *text, double *documents, double *bytes, bson_error_t *error) ECL_MUST_CHECK;

#endif
