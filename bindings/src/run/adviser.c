/* The throttle's command: see adviser.h. */
#include "run/adviser.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

void
ecl_adviser_init (ecl_adviser_t *self, const char *command)
{
   memset (self, 0, sizeof *self);
   self->command = command ? bson_strdup (command) : NULL;
   self->next = INT64_MIN;
}

void
ecl_adviser_cleanup (ecl_adviser_t *self)
{
   ecl_child_cleanup (&self->child);
   bson_free (self->command);
}

/* Whether the line begins with the word wait; reason is what stands behind it. */
static bool
says_wait (const char *line, const char **reason)
{
   size_t n = strlen ("wait");

   *reason = line;
   if (strncmp (line, "wait", n) != 0 || isalnum ((unsigned char) line[n])) {
      return false;
   }
   *reason = line + n + strspn (line + n, " :\t");
   return true;
}

bool
ecl_adviser_look (ecl_adviser_t *self, const char *const *environment, int64_t now, bool *wait)
{
   const char *reason;
   bson_error_t error;

   if (!self->command) {
      return false;
   }
   if (!ecl_child_runs (&self->child)) {
      if (now < self->next) {
         return false;
      }
      if (!ecl_child_start (&self->child, self->command, environment, now, ECL_ADVISER_LIMIT, &error)) {
         self->next = now + ECL_ADVISER_EVERY;
         bson_strncpy (self->reason, error.message, sizeof self->reason);
         *wait = true;
         return true;
      }
      return false;
   }
   switch (ecl_child_poll (&self->child, now)) {
   case ECL_CHILD_RUNS:
      return false;
   case ECL_CHILD_LATE:
      *wait = true;
      snprintf (self->reason, sizeof self->reason, "it did not end within %d s", ECL_ADVISER_LIMIT / 1000);
      break;
   default:
      *wait = says_wait (self->child.line, &reason) || self->child.status != 0;
      snprintf (self->reason, sizeof self->reason, "%s", *wait ? reason : "");
      if (*wait && !*reason && self->child.status) {
         snprintf (self->reason, sizeof self->reason, "it ended with status %d", self->child.status);
      }
   }
   self->next = now + ECL_ADVISER_EVERY;
   return true;
}
