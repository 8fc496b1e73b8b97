/* A project that lies in a folder: see folder.h. */
#include "project/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ---- */

bool
ecl_file_read (const char *path, uint8_t **bytes, size_t *len, bson_error_t *error)
{
   int fd = open (path, O_RDONLY | O_CLOEXEC);
   size_t cap = 0;
   bool ok = false;

   *bytes = NULL;
   *len = 0;
   if (fd < 0) {
      return ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_FILE, "%s: %s", path, strerror (errno));
   }
   for (;;) {
      ssize_t n;

      if (*len == cap) {
         cap = cap ? 2 * cap : 16 * 1024;
         *bytes = bson_realloc (*bytes, cap);
      }
      n = read (fd, *bytes + *len, cap - *len);
      if (n < 0 && errno == EINTR) {
         continue;
      }
      if (n < 0) {
         ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_FILE, "%s: %s", path, strerror (errno));
         goto done;
      }
      if (n == 0) {
         break;
      }
      *len += (size_t) n;
      if (*len > ECL_TEXT_SOURCE_MAX) {
         ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_TOO_LARGE, "%s: larger than %u bytes", path, ECL_TEXT_SOURCE_MAX);
         goto done;
      }
   }
   ok = true;

done:
   close (fd);
   if (!ok) {
      bson_free (*bytes);
      *bytes = NULL;
   }
   return ok;
}

bool
ecl_file_write_new (const char *path, const void *bytes, size_t len, bson_error_t *error)
{
   int fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
   const char *p = bytes;

   if (fd < 0) {
      return ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_FILE, "%s: %s", path,
                       errno == EEXIST ? "is there already, and is not overwritten" : strerror (errno));
   }
   while (len) {
      ssize_t n = write (fd, p, len);

      if (n < 0 && errno == EINTR) {
         continue;
      }
      if (n < 0) {
         ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_FILE, "%s: %s", path, strerror (errno));
         close (fd);
         return false;
      }
      p += n;
      len -= (size_t) n;
   }
   if (close (fd) != 0) {
      return ecl_fail (error, ECL_DOMAIN_BASE, ECL_ERROR_FILE, "%s: %s", path, strerror (errno));
   }
   return true;
}

/* ---- the folder ---- */

static bool
fail_file (ecl_diags_t *diags, const char *file, const char *message)
{
   return ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_BASE, ECL_ERROR_FILE, file, 0, 0, NULL, "%s", message);
}

/* Why it cannot be read: the message begins with the file's name, which a diagnostic has in front anyway, and holds no
 * more where that is long. */
static bool
fail_read (ecl_diags_t *diags, const char *file, const bson_error_t *error)
{
   size_t name = strlen (file) + 2;

   return fail_file (diags, file, strlen (error->message) > name ? error->message + name : "cannot be read");
}

/* folder/name, or name alone where folder is the working one: as a compiler would name it. */
static char *
join (const char *folder, const char *name)
{
   size_t len = strlen (folder);

   if (name[0] == '/' || !len || strcmp (folder, ".") == 0) {
      return bson_strdup (name);
   }
   return bson_strdup_printf ("%s%s%s", folder, folder[len - 1] == '/' ? "" : "/", name);
}

static int
by_name (const struct dirent **a, const struct dirent **b)
{
   return strcmp ((*a)->d_name, (*b)->d_name);
}

/* What an editor, a version control or a system leaves beside the files that are meant. */
static int
is_meant (const struct dirent *entry)
{
   const char *name = entry->d_name;

   return name[0] != '.' && name[strlen (name) - 1] != '~';
}

/* Executables are run, whatever they are written in; what is data is read, whatever its mode. */
static bool
is_program (const char *path, const struct stat *info)
{
   const char *ending = strrchr (path, '.');

   return (info->st_mode & S_IXUSR) && !strchr (path, '/') &&
          !(ending && (strcmp (ending, ".yaml") == 0 || strcmp (ending, ".yml") == 0 || strcmp (ending, ".json") == 0));
}

static bool
add_file (ecl_project_t *project, const char *path, const char *file, bool program, ecl_diags_t *diags)
{
   bson_error_t error;
   ecl_text_source_t source = {.name = file};
   uint8_t *bytes;
   bool ok;

   if (!ecl_file_read (file, &bytes, &source.len, &error)) {
      return fail_read (diags, file, &error);
   }
   source.bytes = bytes;
   ok = program ? ecl_project_add_program (project, path, &source, diags)
                : ecl_project_add (project, path, &source, diags);
   bson_free (bytes);
   return ok;
}

/* Adds all of a folder; prefix is its place below the migrations folder ("", "users/"). */
static bool
add_folder (ecl_project_t *project, const char *folder, const char *prefix, ecl_diags_t *diags)
{
   struct dirent **entries = NULL;
   int n = scandir (folder, &entries, is_meant, by_name);
   bool ok = true;

   if (n < 0) {
      return fail_file (diags, folder, strerror (errno));
   }
   for (int i = 0; i < n; i++) {
      char *file = join (folder, entries[i]->d_name);
      char *path = bson_strdup_printf ("%s%s", prefix, entries[i]->d_name);
      struct stat info;

      if (stat (file, &info) != 0) {
         ok = fail_file (diags, file, strerror (errno));
      } else if (S_ISREG (info.st_mode)) {
         ok &= add_file (project, path, file, is_program (path, &info), diags);
      } else if (!S_ISDIR (info.st_mode)) {
         ok = fail_file (diags, file, "neither a file nor a folder");
      } else if (*prefix) {
         ok =
            fail_file (diags, file, "a folder in a collection's folder: expected migrations/COLLECTION/NNNN_name.yaml");
      } else {
         char *below = bson_strdup_printf ("%s/", path);

         ok &= add_folder (project, file, below, diags);
         bson_free (below);
      }
      bson_free (file);
      bson_free (path);
      free (entries[i]);
   }
   free (entries);
   return ok;
}

char *
ecl_folder_migrations (const ecl_folder_t *folder, const ecl_project_t *project)
{
   const char *base = folder->folder ? folder->folder : ".", *slash, *setting;
   char *of_config, *result;
   bool from_file;

   setting = ecl_project_migrations (project, &from_file);
   if (!from_file) {
      return bson_strdup (setting);
   }
   if (!folder->config) {
      return join (base, setting);
   }
   slash = strrchr (folder->config, '/');
   of_config = slash ? bson_strndup (folder->config, (size_t) (slash - folder->config)) : bson_strdup (".");
   result = join (of_config, setting);
   bson_free (of_config);
   return result;
}

bool
ecl_folder_add (const ecl_folder_t *folder, ecl_project_t **project, ecl_diags_t *diags)
{
   const char *base = folder->folder ? folder->folder : ".";
   char *config = folder->config ? bson_strdup (folder->config) : join (base, "eclose.yaml");
   char *migrations = NULL;
   ecl_text_source_t source = {.name = config};
   bson_error_t error;
   uint8_t *bytes = NULL;
   bool ok;

   *project = NULL;
   if (!ecl_file_read (config, &bytes, &source.len, &error)) {
      ok = fail_read (diags, config, &error);
      goto done;
   }
   source.bytes = bytes;
   *project = ecl_project_new (&folder->options);
   ok = ecl_project_configure (*project, &source, diags);
   migrations = ecl_folder_migrations (folder, *project);
   ok &= add_folder (*project, migrations, "", diags);

done:
   bson_free (config);
   bson_free (migrations);
   bson_free (bytes);
   return ok;
}

bool
ecl_folder_load (const ecl_folder_t *folder, ecl_project_t **project, ecl_diags_t *diags)
{
   bool ok = ecl_folder_add (folder, project, diags);

   return *project && ecl_project_link (*project, diags) && ok;
}
