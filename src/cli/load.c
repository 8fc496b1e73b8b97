/* The project of a command: where it is, and what is wrong with it. See cli.h. */
#include "cli/cli.h"

#include "base/suggest.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Folders above the working one that are looked at: deeper than any path that can be opened. */
#define LEVELS_MAX 2048

static const char *
environment (void *ctx, const char *name)
{
   (void) ctx;
   return getenv (name);
}

/* The nearest folder with an eclose.yaml as "", "..", "../.."; NULL where there is none. */
static char *
find_above (void)
{
   ecl_buf_t folder;
   char *found = NULL;

   ecl_buf_init (&folder, 3 * LEVELS_MAX + 16);
   for (int level = 0; level < LEVELS_MAX && !found; level++) {
      struct stat file, here, above;
      char *config = bson_strdup_printf ("%seclose.yaml", ecl_buf_cstr (&folder));
      char *self = bson_strdup_printf ("%s.", ecl_buf_cstr (&folder));
      char *parent = bson_strdup_printf ("%s..", ecl_buf_cstr (&folder));
      bool end = false;

      if (stat (config, &file) == 0 && S_ISREG (file.st_mode)) {
         found = bson_strdup (ecl_buf_cstr (&folder));
      } else {
         /* The root is its own parent. */
         end = stat (self, &here) != 0 || stat (parent, &above) != 0 ||
               (here.st_dev == above.st_dev && here.st_ino == above.st_ino);
      }
      bson_free (config);
      bson_free (self);
      bson_free (parent);
      if (end || !ecl_buf_append_str (&folder, "../")) {
         break;
      }
   }
   ecl_buf_cleanup (&folder);
   return found;
}

/* Whether there is a project file where somebody says so: who has forgotten a variable does not look for it. What else is
 * wrong with it is said where it is read. False after a message. */
static bool
is_there (const ecl_cli_t *self, const char *folder, const char *config, const char *who)
{
   char *file = config ? bson_strdup (config) : bson_strdup_printf ("%s/eclose.yaml", folder);
   struct stat ignored;
   bool there = stat (file, &ignored) == 0 || errno != ENOENT;

   if (!there) {
      ecl_cli_fail (self, "%s, as %s says: %s", file, who, strerror (errno));
   }
   bson_free (file);
   return there;
}

bool
ecl_cli_find_project (const ecl_cli_t *self, ecl_folder_t *folder)
{
   const char *given = ecl_cli_option (self, "project"), *config = ecl_cli_option (self, "config");
   const char *who = config ? "--config" : given ? "--project" : "ECLOSE_CONFIG";

   memset (folder, 0, sizeof *folder);
   if (!given && !config) {
      config = getenv ("ECLOSE_CONFIG");
      config = config && *config ? config : NULL;
   }
   if ((given || config) && !is_there (self, given, config, who)) {
      return false;
   }
   folder->options = (ecl_project_options_t){
      .uri = ecl_cli_option (self, "uri"),
      .database = ecl_cli_option (self, "database"),
      .migrations = ecl_cli_option (self, "migrations"),
      .getenv = environment,
   };
   if (config) {
      folder->config = bson_strdup (config);
   }
   folder->folder = given ? bson_strdup (given) : config ? bson_strdup (".") : find_above ();
   if (!folder->folder) {
      ecl_cli_fail (self, "no eclose.yaml here or in a folder above; `eclose init` writes one");
      return false;
   }
   return true;
}

void
ecl_cli_folder_free (ecl_folder_t *folder)
{
   bson_free ((char *) folder->folder);
   bson_free ((char *) folder->config);
   memset (folder, 0, sizeof *folder);
}

static void
say_broken (const ecl_cli_t *self, const ecl_diags_t *diags)
{
   char text[128];
   size_t n = 0;

   for (size_t i = 0; i < diags->n; i++) {
      n += diags->items[i].level == ECL_DIAG_ERROR;
   }
   snprintf (text, sizeof text, "%zu problem%s in the migrations of the project, which `eclose lint` lists", n,
             n == 1 ? "" : "s");
   ecl_cli_log (self, "warning", text, NULL);
}

/* broken: as ecl_cli_load_settings; NULL where migrations are needed. */
static ecl_project_t *
load (const ecl_cli_t *self, bool *broken)
{
   ecl_project_t *project = NULL;
   ecl_folder_t folder;
   ecl_diags_t diags;
   bool good;

   if (!ecl_cli_find_project (self, &folder)) {
      return NULL;
   }
   ecl_diags_init (&diags);
   good = ecl_folder_load (&folder, &project, &diags);
   if (!good && broken && project && ecl_project_is_configured (project)) {
      *broken = true;
      say_broken (self, &diags);
   } else {
      if (!good) {
         ecl_project_destroy (project);
         project = NULL;
      }
      ecl_cli_diags (&diags, stderr, self->colour_err);
   }
   ecl_diags_cleanup (&diags);
   ecl_cli_folder_free (&folder);
   return project;
}

ecl_project_t *
ecl_cli_load (const ecl_cli_t *self)
{
   return load (self, NULL);
}

ecl_project_t *
ecl_cli_load_settings (const ecl_cli_t *self, bool *broken)
{
   return load (self, broken);
}

bool
ecl_cli_chain (const ecl_cli_t *self, const ecl_project_t *project, int i, const ecl_chain_t **chain)
{
   const ecl_chain_t *chains;
   const char **names, *meant;
   size_t n;

   *chain = NULL;
   if (i >= self->n_args) {
      return true;
   }
   *chain = ecl_project_chain (project, self->args[i]);
   if (*chain) {
      return true;
   }
   chains = ecl_project_chains (project, &n);
   names = bson_malloc0 ((n + 1) * sizeof (char *));
   for (size_t k = 0; k < n; k++) {
      names[k] = chains[k].collection;
   }
   meant = ecl_suggest (self->args[i], strlen (self->args[i]), names);
   if (meant) {
      ecl_cli_fail (self, "the project has no collection \"%s\"; did you mean \"%s\"?", self->args[i], meant);
   } else {
      ecl_cli_fail (self, "the project has no collection \"%s\"", self->args[i]);
   }
   bson_free (names);
   return false;
}
