/* A report over documents of mixed versions: an aggregate, and a query with its order, on the shape of the program. The
 * server upgrades what is older.
 *
 *    cc report.c $(pkg-config --cflags --libs eclose-mongoc)
 *    ./a.out URI DATABASE FOLDER        FOLDER is a project with a collection users; see ../users
 */
#include <eclose/mongoc.h>

#include <stdio.h>

static bool
print_all (eclose_cursor_t *cursor, bson_error_t *error)
{
   const bson_t *document;
   bool ok;

   while (eclose_cursor_next (cursor, &document)) {
      char *text = bson_as_relaxed_extended_json (document, NULL);

      printf ("%s\n", text);
      bson_free (text);
   }
   ok = !eclose_cursor_error (cursor, error);
   eclose_cursor_destroy (cursor);
   return ok;
}

static bool
report (eclose_collection_t *users, bson_error_t *error)
{
   /* Of those with a telephone, how many have which last name. The first stage is a $match. */
   bson_t *pipeline = BCON_NEW ("pipeline", "[", "{", "$match", "{", "contacts.type", BCON_UTF8 ("phone"), "}", "}",
                                "{", "$group", "{", "_id", BCON_UTF8 ("$last_name"), "n", "{", "$sum", BCON_INT32 (1),
                                "}", "}", "}", "{", "$sort", "{", "_id", BCON_INT32 (1), "}", "}", "]");
   /* The first two by name. */
   bson_t all = BSON_INITIALIZER;
   bson_t *options = BCON_NEW ("sort", "{", "last_name", BCON_INT32 (1), "first_name", BCON_INT32 (1), "}", "limit",
                               BCON_INT32 (2), "projection", "{", "_id", BCON_INT32 (0), "first_name", BCON_INT32 (1),
                               "last_name", BCON_INT32 (1), "}");
   bool ok = print_all (eclose_collection_aggregate (users, pipeline, NULL, NULL), error) &&
             print_all (eclose_collection_query (users, &all, options, NULL, NULL), error);

   bson_destroy (pipeline);
   bson_destroy (options);
   return ok;
}

int
main (int argc, char **argv)
{
   eclose_project_t *project = NULL;
   eclose_collection_t *users = NULL;
   mongoc_client_t *client;
   bson_error_t error = {0};
   bool ok = false;

   if (argc != 4) {
      fprintf (stderr, "usage: %s URI DATABASE FOLDER\n", argv[0]);
      return 2;
   }
   mongoc_init ();
   client = mongoc_client_new (argv[1]);
   ok = client && (project = eclose_project_new_from_folder (argv[3], &error)) &&
        (users = eclose_collection_new (project, client, argv[2], "users", NULL, &error)) && report (users, &error);
   if (!ok) {
      fprintf (stderr, "%s\n", client ? error.message : "not a URI of MongoDB");
   }
   eclose_collection_destroy (users);
   eclose_project_destroy (project);
   if (client) {
      mongoc_client_destroy (client);
   }
   mongoc_cleanup ();
   return ok ? 0 : 1;
}
