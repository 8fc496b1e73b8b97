/* Rates: see rate.h. */
#include "base/rate.h"

#include <stdlib.h>
#include <string.h>

bool
ecl_rate_parse (const char *text, double *documents, double *bytes, bson_error_t *error)
{
   static const struct {
      const char *name;
      double bytes; /* 0: documents */
   } units[] = {{"", 0},
                {"B", 1},
                {"kB", 1e3},
                {"KB", 1e3},
                {"MB", 1e6},
                {"GB", 1e9},
                {"KiB", 1024},
                {"MiB", 1024 * 1024},
                {"GiB", 1024.0 * 1024 * 1024}};
   size_t digits = strspn (text, "0123456789."), len = strlen (text);
   double number = 0;
   char *end = NULL;

   if (strcmp (text, "none") == 0) {
      *documents = *bytes = 0;
      return true;
   }
   if (len > 2 && strcmp (text + len - 2, "/s") == 0) {
      len -= 2;
   }
   if (digits && digits < 20 && *text != '.') {
      number = strtod (text, &end);
   }
   for (size_t i = 0; end == text + digits && i < sizeof units / sizeof units[0]; i++) {
      /* Nothing a second would be to stand still, and is not what 0 means elsewhere: whoever wants no limit says so. */
      if (number > 0 && strlen (units[i].name) == len - digits && strncmp (units[i].name, end, len - digits) == 0) {
         *documents = units[i].bytes > 0 ? 0 : number;
         *bytes = units[i].bytes * number;
         return true;
      }
   }
   return ecl_fail (
      error, ECL_DOMAIN_BASE, ECL_ERROR_INVALID,
      "\"%s\" is no rate: expected documents per second (1000), bytes per second (5MB, 512kB, 1MiB) or none", text);
}
