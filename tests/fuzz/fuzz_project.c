/* Fuzz target: whole projects, as they come from a folder or, written by others, from eclose_catalog.
 *
 * The input is files, each behind a line "=== PATH": eclose.yaml or eclose.json, else a migration of that path. What is
 * published of a project that is right makes a project that is right, with the same chains. */
#include "fuzz.h"

#include "project/project.h"
#include "store/catalog.h"

static bool
is_config (const char *path)
{
   return strcmp (path, "eclose.yaml") == 0 || strcmp (path, "eclose.json") == 0;
}

static const uint8_t *
find (const uint8_t *from, const uint8_t *end, const char *text)
{
   return from < end ? memmem (from, (size_t) (end - from), text, strlen (text)) : NULL;
}

/* The project file goes first, wherever it stands. */
static void
add_files (ecl_project_t *project, const uint8_t *data, size_t size, bool configs, ecl_diags_t *diags)
{
   const uint8_t *end = data + size, *next;
   bool configured = false;

   for (const uint8_t *at = find (data, end, "=== "); at; at = next) {
      const uint8_t *line = memchr (at, '\n', (size_t) (end - at)), *upto;
      char path[256];

      if (!line) {
         return;
      }
      next = find (line, end, "\n=== ");
      upto = next ? next + 1 : end;
      next = next ? next + 1 : NULL;
      snprintf (path, sizeof path, "%.*s", (int) (line - at - 4), (const char *) at + 4);
      if (is_config (path) == configs && !configured) {
         /* Exactly as long as the text, so that a sanitizer sees a read past it. */
         size_t len = (size_t) (upto - line - 1);
         uint8_t *copy = malloc (len ? len : 1);
         ecl_text_source_t source = {.name = path, .bytes = memcpy (copy, line + 1, len), .len = len};

         if (configs) {
            (void) ecl_project_configure (project, &source, diags);
            configured = true;
         } else {
            (void) ecl_project_add (project, path, &source, diags);
         }
         free (copy);
      }
   }
}

static void
add_published (const ecl_project_t *from, ecl_project_t *to, bool configs, ecl_diags_t *diags)
{
   bson_t document = BSON_INITIALIZER;

   for (size_t i = 0; ecl_catalog_write (from, i, &document); i++) {
      const char *path, *text;
      size_t len;

      FUZZ_ASSERT (ecl_catalog_read (&document, &path, &text, &len, NULL));
      if (is_config (path) == configs) {
         ecl_text_source_t source = {.name = path, .bytes = text, .len = len};

         FUZZ_ASSERT (configs ? ecl_project_configure (to, &source, diags)
                              : ecl_project_add (to, path, &source, diags));
      }
      bson_reinit (&document);
   }
   bson_destroy (&document);
}

static void
publish (const ecl_project_t *project)
{
   ecl_project_t *again = ecl_project_new (&(ecl_project_options_t){0});
   const ecl_chain_t *chains;
   ecl_diags_t diags;
   size_t n;

   ecl_diags_init (&diags);
   add_published (project, again, true, &diags);
   add_published (project, again, false, &diags);
   FUZZ_ASSERT (ecl_project_link (again, &diags));
   chains = ecl_project_chains (project, &n);
   for (size_t i = 0; i < n; i++) {
      const ecl_chain_t *chain = ecl_project_chain (again, chains[i].collection);

      FUZZ_ASSERT (chain && chain->n_steps == chains[i].n_steps && chain->target == chains[i].target);
   }
   ecl_diags_cleanup (&diags);
   ecl_project_destroy (again);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
   ecl_project_t *project = ecl_project_new (&(ecl_project_options_t){0});
   ecl_diags_t diags;

   ecl_diags_init (&diags);
   add_files (project, data, size, true, &diags);
   add_files (project, data, size, false, &diags);
   if (ecl_project_link (project, &diags) && !diags.errors) {
      publish (project);
   }
   fuzz_diags (&diags);
   ecl_diags_cleanup (&diags);
   ecl_project_destroy (project);
   return 0;
}
