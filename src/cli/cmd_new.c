/* eclose new: the next document migration of a collection, or a database migration, from a template. */
#include "cli/commands.h"
#include "cli/templates.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

static bool
is_word (const char *name)
{
   return *name && strspn (name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == strlen (name);
}

/* The version that the new migration leads to, as text for `to` and for the file's name. */
static ecl_exit_t
next_version (const ecl_cli_t *cli, const ecl_chain_t *chain, char text[ECL_VERSION_TEXT], ecl_version_t *version)
{
   const char *given = ecl_cli_option (cli, "to");
   char last[ECL_VERSION_TEXT];

   ecl_version_text (chain->format, chain->target, last);
   if (!given && chain->format != ECL_VERSION_INTEGER) {
      return ecl_cli_usage (cli, "versions of %s are not counted one by one: say which comes behind %s with --to",
                            cli->args[0], last);
   }
   *version = chain->target + 1;
   if (given && !ecl_version_parse (chain->format, given, strlen (given), version)) {
      return ecl_cli_usage (cli, "--to takes %s, not \"%s\"", ecl_version_expected (chain->format), given);
   }
   ecl_version_text (chain->format, *version, text);
   if (*version <= chain->target || (chain->format == ECL_VERSION_INTEGER && *version != chain->target + 1)) {
      return ecl_cli_fail (cli, "the chain of %s ends at %s: the next version cannot be %s", cli->args[0], last, text);
   }
   if (given) {
      snprintf (text, ECL_VERSION_TEXT, "%s", given);
   }
   return ECL_EXIT_OK;
}

static bool
make_folder (const ecl_cli_t *cli, const char *folder)
{
   if (mkdir (folder, 0777) != 0 && errno != EEXIST) {
      ecl_cli_fail (cli, "%s: %s", folder, strerror (errno));
      return false;
   }
   return true;
}

/* "split_name" as words. The caller frees it. */
static char *
words_of (const char *name)
{
   char *words = bson_strdup (name);

   for (char *p = words; *p; p++) {
      *p = *p == '_' ? ' ' : *p;
   }
   return words;
}

static ecl_exit_t
write_file (const ecl_cli_t *cli, const ecl_chain_t *chain, const char *migrations)
{
   const char *collection = cli->args[0], *name = cli->args[1];
   char text[ECL_VERSION_TEXT], *folder, *file = NULL, *words, *content = NULL, *to = NULL;
   ecl_version_t version;
   bson_error_t error;
   ecl_exit_t status = next_version (cli, chain, text, &version);

   if (status != ECL_EXIT_OK) {
      return status;
   }
   status = ECL_EXIT_FAILED;
   folder = bson_strdup_printf ("%s/%s", migrations, collection);
   words = words_of (name);
   if (chain->format == ECL_VERSION_INTEGER) {
      file = bson_strdup_printf ("%s/%04lld_%s.yaml", folder, (long long) version, name);
      to = bson_strdup (text);
   } else {
      file = bson_strdup_printf ("%s/%s_%s.yaml", folder, text, name);
      to = bson_strdup_printf ("\"%s\"", text);
   }
   /* In quotes: `no` and 12 are words, too. */
   content = bson_strdup_printf ("\"%s\"", words);
   bson_free (words);
   words = content;
   content = bson_strdup_printf (ecl_template_document, to, words);
   if (make_folder (cli, migrations) && make_folder (cli, folder)) {
      if (ecl_file_write_new (file, content, strlen (content), &error)) {
         printf ("%s\n", file);
         status = ECL_EXIT_OK;
      } else {
         ecl_cli_fail (cli, "%s", error.message);
      }
   }
   bson_free (folder);
   bson_free (file);
   bson_free (to);
   bson_free (words);
   bson_free (content);
   return status;
}

/* ---- database migrations ---- */

/* Who may read it may run it. */
static bool
make_executable (const char *file)
{
   struct stat info;

   return stat (file, &info) == 0 && chmod (file, info.st_mode | ((info.st_mode & 0444) >> 2)) == 0;
}

/* The minute that it is, in UTC; a later one while a migration of the project has that time, so that those that are
 * made one after another run in this order. */
static void
free_time (const ecl_project_t *project, char text[16])
{
   time_t now = time (NULL);
   const ecl_work_t *works;
   bool taken = true;
   struct tm parts;
   size_t n;

   works = ecl_project_works (project, &n);
   for (; taken; now += 60) {
      gmtime_r (&now, &parts);
      strftime (text, 16, "%Y%m%dT%H%M", &parts);
      taken = false;
      for (size_t i = 0; i < n; i++) {
         taken |= strncmp (works[i].name, text, strlen (text)) == 0;
      }
   }
}

static ecl_exit_t
write_work (const ecl_cli_t *cli, const ecl_project_t *project, const char *migrations, const ecl_template_t *template)
{
   char at[16], *file, *words = words_of (cli->args[0]), *content;
   ecl_exit_t status = ECL_EXIT_FAILED;
   bson_error_t error;

   free_time (project, at);
   file = bson_strdup_printf ("%s/%s_%s.%s", migrations, at, cli->args[0], template->ending);
   content = ecl_template_fill (template, words);
   if (make_folder (cli, migrations)) {
      if (!ecl_file_write_new (file, content, strlen (content), &error)) {
         ecl_cli_fail (cli, "%s", error.message);
      } else if (template->program && !make_executable (file)) {
         ecl_cli_fail (cli, "%s: %s", file, strerror (errno));
      } else {
         printf ("%s\n", file);
         status = ECL_EXIT_OK;
      }
   }
   bson_free (file);
   bson_free (words);
   bson_free (content);
   return status;
}

static ecl_exit_t
new_work (const ecl_cli_t *cli, const ecl_project_t *project, const char *migrations)
{
   const ecl_template_t *template = ecl_template_find (ecl_cli_option (cli, "executable"));

   if (ecl_cli_flag (cli, "to")) {
      return ecl_cli_usage (cli, "--to is about a COLLECTION's versions: `eclose new COLLECTION NAME --to VERSION`");
   }
   if (!template) {
      return ecl_cli_usage (cli, "--executable takes py, js or sh, not \"%s\"", ecl_cli_option (cli, "executable"));
   }
   if (ecl_project_chain (project, cli->args[0])) {
      return ecl_cli_usage (cli,
                            "%s is a collection: its next migration needs a NAME, too; a database migration's NAME "
                            "says what it does, as in merge_categories",
                            cli->args[0]);
   }
   return write_work (cli, project, migrations, template);
}

/* ---- both ---- */

static ecl_exit_t
new_step (const ecl_cli_t *cli, const ecl_project_t *project, const char *migrations)
{
   const ecl_chain_t *chain = ecl_project_chain (project, cli->args[0]);
   ecl_chain_t fresh;

   if (ecl_cli_flag (cli, "executable")) {
      return ecl_cli_usage (cli, "--executable is about database migrations: `eclose new NAME --executable LANGUAGE`");
   }
   if (!chain) {
      fresh = ecl_project_default_chain (project);
      chain = &fresh;
   }
   return write_file (cli, chain, migrations);
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   const char *collection = cli->n_args == 2 ? cli->args[0] : NULL, *name = cli->args[cli->n_args - 1];
   const char *bad = collection ? ecl_project_bad_collection (collection, strlen (collection)) : NULL;
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_project_t *project = NULL;
   ecl_folder_t folder;
   char *migrations;

   if (collection && !bad) {
      bad = strchr (collection, '/')                     ? "it holds a slash"
            : collection[strlen (collection) - 1] == '~' ? "what ends in ~ is passed over"
                                                         : NULL;
   }
   if (bad) {
      return ecl_cli_usage (cli, "\"%s\" cannot be a collection's name: %s", collection, bad);
   }
   if (!is_word (name)) {
      return ecl_cli_usage (cli, "\"%s\" cannot be a name: expected letters, digits and underscores, as in split_name",
                            name);
   }
   /* A chain with a gap has no next number. */
   project = ecl_cli_load (cli);
   if (!project) {
      return ECL_EXIT_FAILED;
   }
   if (ecl_cli_find_project (cli, &folder)) {
      migrations = ecl_folder_migrations (&folder, project);
      status = collection ? new_step (cli, project, migrations) : new_work (cli, project, migrations);
      bson_free (migrations);
      ecl_cli_folder_free (&folder);
   }
   ecl_project_destroy (project);
   return status;
}

static const ecl_option_t options[] = {
   {"to", 0, "VERSION", "the version that it leads to, where they are not counted one by one"},
   {"executable", 0, "py|js|sh", "of a database migration: a program in place of steps; js is for mongosh"},
   {NULL},
};

const ecl_command_t ecl_cmd_new = {
   .name = "new",
   .arguments = "[COLLECTION] NAME",
   .summary = "write the next document migration of a collection, or a database migration",
   .about = "With a COLLECTION writes migrations/COLLECTION/NNNN_NAME.yaml, the next step of its\n"
            "documents; without one migrations/TIME_NAME.yaml, work that runs once per database.\n"
            "Prints the path. NAME says in a few words what changes: split_name.",
   .options = options,
   .min_args = 1,
   .max_args = 2,
   .flags = ECL_COMMAND_PROJECT,
   .run = run,
};
