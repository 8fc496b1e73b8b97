/* Places of processes: see place.h. */
#include "run/place.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void
ecl_place_here (char text[ECL_PLACE_SIZE])
{
   char boot[64] = "", space[32];
   FILE *file = fopen ("/proc/sys/kernel/random/boot_id", "re");
   ssize_t n = readlink ("/proc/self/ns/pid", space, sizeof space - 1);

   text[0] = '\0';
   if (file) {
      if (!fgets (boot, sizeof boot, file)) {
         boot[0] = '\0';
      }
      fclose (file);
   }
   boot[strcspn (boot, "\n")] = '\0';
   if (*boot && n > 0) {
      space[n] = '\0';
      bson_snprintf (text, ECL_PLACE_SIZE, "%s:%s", boot, space);
   }
}

bool
ecl_place_is_dead (const char *here, const char *place, int64_t pid)
{
   return *here && strcmp (here, place) == 0 && pid > 0 && pid <= INT32_MAX && kill ((pid_t) pid, 0) != 0 &&
          errno == ESRCH;
}
