/* eclose init: a new project. */
#include "cli/commands.h"

#include <errno.h>
#include <sys/stat.h>

static const char config[] =
   "# The project file of eclose: see man eclose.yaml.\n"
   "# Every value can come from the environment: ${NAME} or ${NAME:-default}.\n"
   "\n"
   "uri: ${MONGODB_URI:-mongodb://localhost:27017}\n"
   "\n"
   "# The database that is migrated.\n"
   "database: test\n"
   "\n"
   "# The folder of the migration files, relative to this file.\n"
   "migrations: migrations\n"
   "\n"
   "# The field in which each document keeps its version; dotted names are fine.\n"
   "version_field: schema_version\n"
   "\n"
   "# integer, dotted (\"1.2.0\") or packed (64 bits, 16 a part).\n"
   "version_format: integer\n"
   "\n"
   "# The version of a document that has no version field.\n"
   "unversioned: 0\n"
   "\n"
   "# What differs for a collection:\n"
   "#\n"
   "# collections:\n"
   "#   users: {unversioned: 1}\n"
   "#   devices:\n"
   "#     version_field: _v\n"
   "#     detect:                # for documents without a version: the first filter that matches\n"
   "#       - {version: 2, filter: {tags: {$exists: true}}}\n"
   "#       - {version: 1, filter: {}}\n";

static ecl_exit_t
run (ecl_cli_t *cli)
{
   const char *folder = cli->n_args ? cli->args[0] : ".";
   bool here = strcmp (folder, ".") == 0;
   char *file = bson_strdup_printf ("%s%seclose.yaml", here ? "" : folder, here ? "" : "/");
   char *migrations = bson_strdup_printf ("%s%smigrations", here ? "" : folder, here ? "" : "/");
   ecl_exit_t status = ECL_EXIT_FAILED;
   struct stat info;
   bson_error_t error;

   if (!*folder) {
      status = ecl_cli_usage (cli, "FOLDER is empty");
   } else if (stat (migrations, &info) == 0 && !S_ISDIR (info.st_mode)) {
      ecl_cli_fail (cli, "%s: is there already, and is no folder", migrations);
   } else if (!here && mkdir (folder, 0777) != 0 && errno != EEXIST) {
      ecl_cli_fail (cli, "%s: %s", folder, strerror (errno));
   } else if (!ecl_file_write_new (file, config, sizeof config - 1, &error)) {
      ecl_cli_fail (cli, "%s", error.message);
   } else if (mkdir (migrations, 0777) != 0 && errno != EEXIST) {
      ecl_cli_fail (cli, "%s: %s", migrations, strerror (errno));
   } else {
      printf ("%s\n%s/\n", file, migrations);
      status = ECL_EXIT_OK;
   }
   bson_free (file);
   bson_free (migrations);
   return status;
}

const ecl_command_t ecl_cmd_init = {
   .name = "init",
   .arguments = "[FOLDER]",
   .summary = "write a new project",
   .about = "Writes a commented eclose.yaml and a folder for migrations, into FOLDER or here.\n"
            "Nothing is overwritten.",
   .max_args = 1,
   .run = run,
};
