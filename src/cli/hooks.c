/* Commands on events: see hooks.h. */
#include "cli/hooks.h"

#include <string.h>

/* More that wait than this are dropped, with a word: a hook must not hold up what it is about. */
#define WAITING_MAX 64

struct ecl_hook_call_t {
   ecl_hook_call_t *next;
   ecl_hook_t *hook;
   char **environment;
};

static const char *const events[] = {"start", "throttle", "pause", "resume", "failure", "end", NULL};

/* The event that such a text is about; NULL where it is none. command is what stands behind it. */
static const char *
parse (const char *text, const char **command)
{
   size_t len = strcspn (text, "=");

   *command = text[len] ? text + len + 1 : "";
   for (size_t i = 0; events[i] && **command; i++) {
      if (strlen (events[i]) == len && strncmp (events[i], text, len) == 0) {
         return events[i];
      }
   }
   return NULL;
}

static void
add (ecl_hooks_t *self, const char *event, const char *command)
{
   self->list = bson_realloc (self->list, (self->n + 1) * sizeof *self->list);
   self->list[self->n++] = (ecl_hook_t){.event = event, .command = command};
}

bool
ecl_hooks_check (const ecl_cli_t *cli)
{
   const char *text, *command;

   for (size_t i = 0; (text = ecl_cli_option_nth (cli, "hook", i)); i++) {
      if (!parse (text, &command)) {
         ecl_cli_usage (
            cli,
            "--hook takes EVENT=COMMAND, where EVENT is start, throttle, pause, resume, failure or end, not "
            "\"%s\"",
            text);
         return false;
      }
   }
   return true;
}

void
ecl_hooks_init (ecl_hooks_t *self, const ecl_cli_t *cli, const ecl_project_t *project)
{
   const char *text, *command, *event;

   memset (self, 0, sizeof *self);
   self->cli = cli;
   for (size_t i = 0; events[i]; i++) {
      command = ecl_project_hook (project, events[i]);
      if (command) {
         add (self, events[i], command);
      }
   }
   for (size_t i = 0; (text = ecl_cli_option_nth (cli, "hook", i)); i++) {
      event = parse (text, &command);
      if (event) {
         add (self, event, command);
      }
   }
}

static void
drop_first (ecl_hooks_t *self)
{
   ecl_hook_call_t *call = self->first;

   self->first = call->next;
   self->last = self->first ? self->last : NULL;
   self->waiting--;
   bson_strfreev (call->environment);
   bson_free (call);
}

void
ecl_hooks_cleanup (ecl_hooks_t *self)
{
   ecl_child_cleanup (&self->child);
   while (self->first) {
      drop_first (self);
   }
   bson_free (self->list);
}

static char **
copy_list (const char *event, const char *const *list)
{
   size_t n = 0;
   char **copy;

   while (list && list[n]) {
      n++;
   }
   copy = bson_malloc0 ((n + 2) * sizeof (char *));
   copy[0] = bson_strdup_printf ("ECLOSE_EVENT=%s", event);
   for (size_t i = 0; i < n; i++) {
      copy[i + 1] = bson_strdup (list[i]);
   }
   return copy;
}

void
ecl_hooks_fire (ecl_hooks_t *self, const char *event, const char *const *environment, int64_t now)
{
   for (size_t i = 0; i < self->n; i++) {
      ecl_hook_call_t *call;

      if (strcmp (self->list[i].event, event) != 0) {
         continue;
      }
      if (self->waiting >= WAITING_MAX) {
         ecl_cli_note (self->cli, "hook %s is not run: too many wait for the one that runs", event);
         continue;
      }
      call = bson_malloc0 (sizeof *call);
      call->hook = &self->list[i];
      call->environment = copy_list (event, environment);
      if (self->last) {
         self->last->next = call;
      } else {
         self->first = call;
      }
      self->last = call;
      self->waiting++;
   }
   (void) ecl_hooks_look (self, now);
}

bool
ecl_hooks_look (ecl_hooks_t *self, int64_t now)
{
   bson_error_t error;

   while (self->first) {
      ecl_hook_t *hook = self->first->hook;

      if (self->closing && hook->hung && !ecl_child_runs (&self->child)) {
         ecl_cli_note (self->cli, "hook %s is not run again: all else is done, and it took too long before",
                       hook->event);
         drop_first (self);
         continue;
      }
      if (!ecl_child_runs (&self->child)) {
         if (ecl_child_start (&self->child, hook->command, (const char *const *) self->first->environment, now,
                              ECL_HOOK_LIMIT, &error)) {
            return true;
         }
         ecl_cli_note (self->cli, "hook %s: %s", hook->event, error.message);
         drop_first (self);
         continue;
      }
      hook->hung = false;
      switch (ecl_child_poll (&self->child, now)) {
      case ECL_CHILD_RUNS:
         return true;
      case ECL_CHILD_LATE:
         hook->hung = true;
         ecl_cli_note (self->cli, "hook %s was ended: it took longer than %d s", hook->event, ECL_HOOK_LIMIT / 1000);
         break;
      default:
         if (self->child.status) {
            ecl_cli_note (self->cli, "hook %s ended with status %d", hook->event, self->child.status);
         }
      }
      drop_first (self);
   }
   return false;
}
