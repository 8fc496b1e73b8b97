/* One program of the drill with two versions: reads and saves documents of `users` through the library, at its target,
 * until it is told to stop, and checks that it always sees its own shape.
 *
 *    drill TARGET DOCUMENTS SEED        ECLOSE_TEST_URI, ECLOSE_TEST_DATABASE, ECLOSE_TEST_PROJECT say where
 *
 * Each save adds one to the field n1 or n2, as the target is. It ends when standard input does, and prints how often
 * each document was saved: {_id, saved}, one a line.
 */
#include <eclose/mongoc.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
die (const char *what, const bson_error_t *error)
{
   fprintf (stderr, "%s: %s\n", what, error ? error->message : "");
   exit (1);
}

static bool
told_to_stop (void)
{
   struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
   char c;

   return poll (&input, 1, 0) > 0 && read (STDIN_FILENO, &c, 1) <= 0;
}

/* Version 1 has a name and no full; version 2 the reverse. */
static void
check_shape (const bson_t *user, int target)
{
   if (bson_has_field (user, "name") != (target == 1) || bson_has_field (user, "full") != (target == 2)) {
      char *text = bson_as_relaxed_extended_json (user, NULL);

      fprintf (stderr, "not the shape of version %d: %s\n", target, text);
      exit (1);
   }
}

static void
add_one (const bson_t *user, const char *field, bson_t *changed)
{
   bson_iter_t iter;

   bson_init (changed);
   bson_copy_to_excluding_noinit (user, changed, field, NULL);
   BSON_APPEND_INT32 (changed, field, bson_iter_init_find (&iter, user, field) ? bson_iter_int32 (&iter) + 1 : 1);
}

/* Saves until nobody comes between. */
static void
save (eclose_collection_t *users, eclose_document_t *user, int target)
{
   bson_error_t error;
   bool saved = false;

   while (!saved) {
      bson_t changed;

      check_shape (eclose_document_get (user), target);
      add_one (eclose_document_get (user), target == 1 ? "n1" : "n2", &changed);
      saved = eclose_collection_save (users, user, &changed, NULL, &error);
      bson_destroy (&changed);
      if (!saved && error.code != ECLOSE_CODE_CONFLICT) {
         die ("save", &error);
      }
   }
}

int
main (int argc, char **argv)
{
   eclose_project_t *project;
   eclose_collection_t *users;
   mongoc_client_t *client;
   bson_error_t error;
   unsigned seed;
   int target, n, *saved;

   if (argc != 4) {
      return 2;
   }
   target = (int) strtol (argv[1], NULL, 10);
   n = (int) strtol (argv[2], NULL, 10);
   seed = (unsigned) strtoul (argv[3], NULL, 10);
   saved = calloc ((size_t) n, sizeof *saved);
   mongoc_init ();
   client = mongoc_client_new (getenv ("ECLOSE_TEST_URI"));
   project = eclose_project_new_from_folder (getenv ("ECLOSE_TEST_PROJECT"), &error);
   if (!project) {
      die ("project", &error);
   }
   users = eclose_collection_new (project, client, getenv ("ECLOSE_TEST_DATABASE"), "users", argv[1], &error);
   if (!users) {
      die ("users", &error);
   }
   while (!told_to_stop ()) {
      int id = (int) ((unsigned) rand_r (&seed) % (unsigned) n);
      bson_t *filter = BCON_NEW ("_id", BCON_INT32 (id));
      eclose_document_t *user;

      if (!eclose_collection_find_one (users, filter, NULL, &user, &error) || !user) {
         die ("find_one", &error);
      }
      save (users, user, target);
      saved[id]++;
      eclose_document_destroy (user);
      bson_destroy (filter);
   }
   for (int i = 0; i < n; i++) {
      printf ("{\"_id\": %d, \"saved\": %d}\n", i, saved[i]);
   }
   eclose_collection_destroy (users);
   eclose_project_destroy (project);
   mongoc_client_destroy (client);
   mongoc_cleanup ();
   free (saved);
   return 0;
}
