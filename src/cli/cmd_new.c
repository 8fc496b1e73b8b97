/* eclose new: the next document migration of a collection, from a template. */
#include "cli/commands.h"

#include <errno.h>
#include <sys/stat.h>

/* description, version, name as words */
static const char template[] =
   "to: %s\n"
   "description: %s\n"
   "\n"
   "# Stages of MongoDB's update pipelines: $set, $unset, $project, $replaceWith, ...\n"
   "# The version field is written by eclose.\n"
   "up: []\n"
   "#  - $set: {enabled: {$ifNull: [$enabled, true]}}\n"
   "\n"
   "# The way back, or `irreversible`.\n"
   "down: []\n"
   "#  - $unset: enabled\n"
   "\n"
   "# The $jsonSchema of a document of this version.\n"
   "# schema:\n"
   "#   required: [enabled]\n"
   "\n"
   "# Run by `eclose test`.\n"
   "examples: []\n"
   "#  - in:  {_id: 1}\n"
   "#    out: {_id: 1, enabled: true}\n";

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
   words = bson_strdup (name);
   for (char *p = words; *p; p++) {
      *p = *p == '_' ? ' ' : *p;
   }
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
   content = bson_strdup_printf (template, to, words);
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

static ecl_exit_t
run (ecl_cli_t *cli)
{
   const char *collection = cli->args[0], *bad = ecl_project_bad_collection (collection, strlen (collection));
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_project_t *project = NULL;
   const ecl_chain_t *chain;
   ecl_chain_t fresh;
   ecl_folder_t folder;
   char *migrations;

   if (bad || strchr (collection, '/')) {
      return ecl_cli_usage (cli, "\"%s\" cannot be a collection's name: %s", collection, bad ? bad : "it holds a slash");
   }
   if (!is_word (cli->args[1])) {
      return ecl_cli_usage (cli, "\"%s\" cannot be a name: expected letters, digits and underscores, as in split_name",
                            cli->args[1]);
   }
   /* A chain with a gap has no next number. */
   project = ecl_cli_load (cli);
   if (!project) {
      return ECL_EXIT_FAILED;
   }
   chain = ecl_project_chain (project, collection);
   if (!chain) {
      fresh = ecl_project_default_chain (project);
      chain = &fresh;
   }
   if (ecl_cli_find_project (cli, &folder)) {
      migrations = ecl_folder_migrations (&folder, project);
      status = write_file (cli, chain, migrations);
      bson_free (migrations);
      ecl_cli_folder_free (&folder);
   }
   ecl_project_destroy (project);
   return status;
}

static const ecl_option_t options[] = {
   {"to", 0, "VERSION", "the version that it leads to, where they are not counted one by one"},
   {NULL},
};

const ecl_command_t ecl_cmd_new = {
   .name = "new",
   .arguments = "COLLECTION NAME",
   .summary = "write the next document migration of a collection",
   .about = "Writes migrations/COLLECTION/NNNN_NAME.yaml from a template and prints its path.\n"
            "NAME says in a few words what changes: split_name.",
   .options = options,
   .min_args = 2,
   .max_args = 2,
   .flags = ECL_COMMAND_PROJECT,
   .run = run,
};
