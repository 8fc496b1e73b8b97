/* A collection through upgrades: read what is there in any version, save it, learn of a conflict, query all versions.
 *
 *    cc collection.c $(pkg-config --cflags --libs eclose-mongoc)
 *    ./a.out URI DATABASE FOLDER        FOLDER is a project with a collection users; see ../users
 */
#include <eclose/mongoc.h>

#include <stdio.h>

static int
failed (const bson_error_t *error)
{
   fprintf (stderr, "%s\n", error->message);
   return 1;
}

static void
print (const bson_t *document)
{
   char *text = bson_as_relaxed_extended_json (document, NULL);

   printf ("%s\n", text);
   bson_free (text);
}

static int
work (eclose_collection_t *users)
{
   bson_t *old = BCON_NEW ("_id", BCON_INT32 (1), "login", BCON_UTF8 ("ariel"), "name", BCON_UTF8 ("Ariel Whiteaker"),
                           "phone", BCON_UTF8 ("+45751700142"));
   bson_t *by_id = BCON_NEW ("_id", BCON_INT32 (1)), *by_name = BCON_NEW ("last_name", BCON_UTF8 ("Whiteaker"));
   eclose_document_t *mine = NULL, *theirs = NULL;
   eclose_cursor_t *cursor = NULL;
   const bson_t *document;
   bson_t changed = BSON_INITIALIZER;
   bson_error_t error;
   int status = 0;

   /* What a program of yesterday stored: no version, the old shape. */
   if (!mongoc_collection_insert_one (eclose_collection_get (users), old, NULL, NULL, &error)) {
      status = failed (&error);
      goto done;
   }
   /* Found by the new shape, though it is stored in the old one. */
   cursor = eclose_collection_query (users, by_name, NULL, NULL, NULL);
   while (eclose_cursor_next (cursor, &document)) {
      print (document);
   }
   if (eclose_cursor_error (cursor, &error)) {
      status = failed (&error);
      goto done;
   }
   /* Two readers; the first one to save wins, the other one learns of it and gets what is stored now. */
   if (!eclose_collection_find_one (users, by_id, NULL, &mine, &error) ||
       !eclose_collection_find_one (users, by_id, NULL, &theirs, &error)) {
      status = failed (&error);
      goto done;
   }
   bson_copy_to_excluding_noinit (eclose_document_get (mine), &changed, "login", NULL);
   BSON_APPEND_UTF8 (&changed, "login", "whiteaker");
   if (!eclose_collection_save (users, mine, &changed, NULL, &error)) {
      status = failed (&error);
      goto done;
   }
   if (eclose_collection_save (users, theirs, by_id, NULL, &error) || error.code != ECLOSE_CODE_CONFLICT) {
      fprintf (stderr, "expected a conflict\n");
      status = 1;
      goto done;
   }
   printf ("conflict; stored is now:\n");
   print (eclose_document_get (theirs));

done:
   eclose_cursor_destroy (cursor);
   eclose_document_destroy (mine);
   eclose_document_destroy (theirs);
   bson_destroy (&changed);
   bson_destroy (old);
   bson_destroy (by_id);
   bson_destroy (by_name);
   return status;
}

int
main (int argc, char **argv)
{
   eclose_project_t *project = NULL;
   eclose_collection_t *users = NULL;
   mongoc_client_t *client;
   bson_error_t error;
   int status = 1;

   if (argc != 4) {
      fprintf (stderr, "usage: %s URI DATABASE FOLDER\n", argv[0]);
      return 2;
   }
   mongoc_init ();
   client = mongoc_client_new (argv[1]);
   if (client && (project = eclose_project_new_from_folder (argv[3], &error)) &&
       (users = eclose_collection_new (project, client, argv[2], "users", NULL, &error))) {
      status = work (users);
   } else if (client) {
      status = failed (&error);
   }
   eclose_collection_destroy (users);
   eclose_project_destroy (project);
   if (client) {
      mongoc_client_destroy (client);
   }
   mongoc_cleanup ();
   return status;
}
