/* A change stream whose documents are in the shape of the program, whatever shape they were written in.
 *
 *    cc watch.c $(pkg-config --cflags --libs eclose-mongoc)
 *    ./a.out URI DATABASE FOLDER N      prints what N changes of users leave; FOLDER is a project, see ../users
 */
#include <eclose/mongoc.h>

#include <stdio.h>
#include <stdlib.h>

static bool
watch (eclose_collection_t *users, long n, bson_error_t *error)
{
   bson_t *opts = BCON_NEW ("fullDocument", BCON_UTF8 ("updateLookup")), pipeline = BSON_INITIALIZER;
   eclose_change_stream_t *stream = eclose_collection_watch (users, &pipeline, opts);
   const bson_t *event, *reply;
   bool ok;

   bson_destroy (opts);
   ok = !eclose_change_stream_error_document (stream, error, &reply);
   if (ok) {
      printf ("watching\n");
      fflush (stdout);
   }
   while (ok && n > 0) {
      if (eclose_change_stream_next (stream, &event)) {
         char *text = bson_as_relaxed_extended_json (event, NULL);

         printf ("%s\n", text);
         bson_free (text);
         n--;
      } else {
         /* Nothing happened for a while, or something failed. */
         ok = !eclose_change_stream_error_document (stream, error, &reply);
      }
   }
   eclose_change_stream_destroy (stream);
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

   if (argc != 5) {
      fprintf (stderr, "usage: %s URI DATABASE FOLDER N\n", argv[0]);
      return 2;
   }
   mongoc_init ();
   client = mongoc_client_new (argv[1]);
   ok = client && (project = eclose_project_new_from_folder (argv[3], &error)) &&
        (users = eclose_collection_new (project, client, argv[2], "users", NULL, &error)) &&
        watch (users, strtol (argv[4], NULL, 10), &error);
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
