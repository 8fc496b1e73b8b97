/* The throttle's command: see adviser.h. */
#include "backfill/adviser.h"

#include "text/number.h"

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

/* As a record and a line can hold it: a control character is a space there. */
static void
take_reason (ecl_adviser_t *self, const char *text)
{
   ecl_text_clean (text, strlen (text), self->reason, sizeof self->reason);
   for (char *p = self->reason; *p; p++) {
      if ((uint8_t) *p < 0x20 || *p == 0x7F) {
         *p = ' ';
      }
   }
}

/* Of one that ended so and said nothing. */
static void
take_status (ecl_adviser_t *self, int status)
{
   /* What the shell ends with where it could not run it. */
   const char *cannot = status == 127   ? "; it cannot be run: there is no such program"
                        : status == 126 ? "; it cannot be run"
                                        : "";

   snprintf (self->reason, sizeof self->reason, "it ended with status %d%s", status, cannot);
}

bool
ecl_adviser_look (ecl_adviser_t *self, int64_t now, bool *wait)
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
      if (!ecl_child_start (&self->child, self->command, NULL, now, ECL_ADVISER_LIMIT, &error)) {
         self->next = now + ECL_ADVISER_EVERY;
         take_reason (self, error.message);
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
      take_reason (self, *wait ? reason : "");
      if (*wait && !*reason && self->child.status) {
         take_status (self, self->child.status);
      }
   }
   self->next = now + ECL_ADVISER_EVERY;
   return true;
}

/* ---- for several ---- */

void
ecl_shared_adviser_init (ecl_shared_adviser_t *self, const char *command)
{
   memset (self, 0, sizeof *self);
   ecl_adviser_init (&self->adviser, command);
   pthread_mutex_init (&self->lock, NULL);
}

void
ecl_shared_adviser_cleanup (ecl_shared_adviser_t *self)
{
   ecl_adviser_cleanup (&self->adviser);
   pthread_mutex_destroy (&self->lock);
}

bool
ecl_shared_adviser_look (ecl_shared_adviser_t *self, uint32_t number, uint32_t *heard, int64_t now, bool *wait,
                         char reason[ECL_THROTTLE_REASON])
{
   bool running, news;

   pthread_mutex_lock (&self->lock);
   running = ecl_child_runs (&self->adviser.child);
   self->spoken += ecl_adviser_look (&self->adviser, now, &self->wait);
   if (!running && ecl_child_runs (&self->adviser.child)) {
      self->asker = number;
   }
   news = *heard != self->spoken;
   *heard = self->spoken;
   *wait = self->wait;
   memcpy (reason, self->adviser.reason, sizeof self->adviser.reason);
   pthread_mutex_unlock (&self->lock);
   return news;
}

void
ecl_shared_adviser_leave (ecl_shared_adviser_t *self, uint32_t number)
{
   pthread_mutex_lock (&self->lock);
   if (self->asker == number && ecl_child_runs (&self->adviser.child)) {
      ecl_child_cleanup (&self->adviser.child);
      self->adviser.next = INT64_MIN;
   }
   pthread_mutex_unlock (&self->lock);
}
