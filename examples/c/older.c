/* A program that is older than the documents: it brings its own migrations up to version 1 of users, and takes the ways
 * down from what a newer program published in eclose_catalog.
 *
 *    cc older.c $(pkg-config --cflags --libs eclose-mongoc)
 *    ./a.out URI DATABASE publish FOLDER     what a newer program does, or `eclose up`: publishes the migrations in
 * FOLDER
 *    ./a.out URI DATABASE read [FOLDER]      reads all users at version 1; FOLDER has the program's own migrations
 */
#include <eclose/mongoc.h>

#include <stdio.h>
#include <string.h>

static bool
publish (mongoc_client_t *client, const char *database, const char *folder, bson_error_t *error)
{
   eclose_project_t *project = eclose_project_new_from_folder (folder, error);
   bool ok = project && eclose_project_publish (project, client, database, error);

   eclose_project_destroy (project);
   return ok;
}

static bool
read_all (mongoc_client_t *client, const char *database, const char *folder, bson_error_t *error)
{
   eclose_project_t *project = eclose_project_new ();
   eclose_collection_t *users = NULL;
   eclose_cursor_t *cursor = NULL;
   bson_t all = BSON_INITIALIZER;
   const bson_t *user;
   bool ok;

   ok = (!folder || eclose_project_add_folder (project, folder, error)) &&
        eclose_project_add_catalog (project, client, database, error) && eclose_project_load (project, error) &&
        (users = eclose_collection_new (project, client, database, "users", "1", error));
   if (ok) {
      cursor = eclose_collection_find (users, &all, NULL, NULL);
      while (eclose_cursor_next (cursor, &user)) {
         char *text = bson_as_relaxed_extended_json (user, NULL);

         printf ("%s\n", text);
         bson_free (text);
      }
      ok = !eclose_cursor_error (cursor, error);
   }
   eclose_cursor_destroy (cursor);
   eclose_collection_destroy (users);
   eclose_project_destroy (project);
   return ok;
}

int
main (int argc, char **argv)
{
   mongoc_client_t *client;
   bson_error_t error = {0};
   bool ok = false, publishes = argc > 3 && strcmp (argv[3], "publish") == 0;

   if (argc < (publishes ? 5 : 4) || argc > 5) {
      fprintf (stderr, "usage: %s URI DATABASE publish FOLDER | read [FOLDER]\n", argv[0]);
      return 2;
   }
   mongoc_init ();
   client = mongoc_client_new (argv[1]);
   if (client) {
      ok = publishes ? publish (client, argv[2], argv[4], &error) : read_all (client, argv[2], argv[4], &error);
      mongoc_client_destroy (client);
   }
   if (!ok) {
      fprintf (stderr, "%s\n", error.message);
   }
   mongoc_cleanup ();
   return ok ? 0 : 1;
}
