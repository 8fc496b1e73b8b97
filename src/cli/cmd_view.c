/* eclose view: a read-only view of a collection in the shape of one version. */
#include "cli/commands.h"
#include "cli/remote.h"

#include "upgrade/query.h"

/* "users_v2"; of dotted versions the dots become underscores, because a dot in a view's name misleads. */
static char *
view_name (const ecl_chain_t *chain, size_t target)
{
   char text[ECL_VERSION_TEXT];

   ecl_version_text (chain->format, ecl_chain_version (chain, target), text);
   for (char *p = text; *p; p++) {
      *p = *p == '.' ? '_' : *p;
   }
   return bson_strdup_printf ("%s_v%s", chain->collection, text);
}

/* What of that name is in the database: is it a view of the collection? */
static bool
look (const ecl_remote_t *remote, const char *name, const char *collection, bool *there, bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, filter, reply;
   bson_iter_t iter, batch, info, field;
   const char *on = NULL;
   bool ok;

   *there = false;
   BSON_APPEND_INT32 (&command, "listCollections", 1);
   BSON_APPEND_DOCUMENT_BEGIN (&command, "filter", &filter);
   BSON_APPEND_UTF8 (&filter, "name", name);
   bson_append_document_end (&command, &filter);
   ok = ecl_world_call (remote->world, remote->database, &command, &reply, error);
   if (ok && bson_iter_init (&iter, &reply) && bson_iter_find_descendant (&iter, "cursor.firstBatch", &batch) &&
       bson_iter_recurse (&batch, &info) && bson_iter_next (&info)) {
      *there = true;
      if (bson_iter_recurse (&info, &iter) && bson_iter_find_descendant (&iter, "options.viewOn", &field) &&
          BSON_ITER_HOLDS_UTF8 (&field)) {
         on = bson_iter_utf8 (&field, NULL);
      }
      ok = (on && strcmp (on, collection) == 0) ||
           ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "%s is there, and is no view of %s", name, collection);
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return ok;
}

static bool
call (const ecl_remote_t *remote, const bson_t *command, bson_error_t *error)
{
   bson_t reply;
   bool ok = ecl_world_call (remote->world, remote->database, command, &reply, error);

   bson_destroy (&reply);
   return ok;
}

static bool
drop (const ecl_remote_t *remote, const char *name, bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER;
   bool ok;

   BSON_APPEND_UTF8 (&command, "drop", name);
   ok = call (remote, &command, error);
   bson_destroy (&command);
   return ok;
}

static bool
create (const ecl_remote_t *remote, const char *name, const ecl_chain_t *chain, size_t target, bool there,
        bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, pipeline;
   ecl_query_t all = {0};
   bool ok = ecl_query_pipeline (chain, target, &all, &pipeline, error);

   /* collMod replaces a view at once; not all servers take it. */
   if (ok) {
      BSON_APPEND_UTF8 (&command, there ? "collMod" : "create", name);
      BSON_APPEND_UTF8 (&command, "viewOn", chain->collection);
      BSON_APPEND_ARRAY (&command, "pipeline", &pipeline);
      ok = call (remote, &command, error);
   }
   bson_destroy (&pipeline);
   bson_destroy (&command);
   return ok;
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   const char *version = ecl_cli_option (cli, "version");
   ecl_remote_t remote = {0};
   const ecl_chain_t *chain;
   ecl_version_t wanted;
   bson_error_t error;
   char *name = NULL;
   size_t target = 0;
   bool there, good;

   if (!ecl_remote_load (&remote, cli) || !ecl_cli_chain (cli, remote.project, 0, &chain)) {
      goto done;
   }
   target = chain->n_steps;
   if (version &&
       (!ecl_chain_parse_version (chain, version, &wanted, &error) || !ecl_chain_index (chain, wanted, &target))) {
      status = ecl_cli_usage (cli, "--version: %s", error.message);
      goto done;
   }
   if (!ecl_remote_connect (&remote)) {
      goto done;
   }
   name = view_name (chain, target);
   good = look (&remote, name, chain->collection, &there, &error);
   if (good && ecl_cli_flag (cli, "drop")) {
      good = !there || drop (&remote, name, &error);
   } else if (good) {
      good = create (&remote, name, chain, target, there, &error);
   }
   if (!good) {
      status = ecl_cli_fail (cli, "%s", error.message);
      goto done;
   }
   printf ("%s\n", name);
   status = ECL_EXIT_OK;

done:
   bson_free (name);
   ecl_remote_close (&remote);
   return status;
}

static const ecl_option_t options[] = {
   {"version", 0, "VERSION", "the shape; the end of the chain unless told otherwise"},
   {"drop", 0, NULL, "remove the view"},
   {NULL},
};

const ecl_command_t ecl_cmd_view = {
   .name = "view",
   .arguments = "COLLECTION",
   .summary = "make a read-only view in the shape of a version",
   .about = "The view is called after collection and version: users_v2. One that is there is made\n"
            "anew; anything else of that name is left alone. Prints the name.",
   .options = options,
   .min_args = 1,
   .max_args = 1,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER,
   .run = run,
};
