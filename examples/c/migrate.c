/* A program that migrates its database at its start: any number of its processes may start at once. One of them gets
 * the lease and runs what is pending, the others wait for the end of it.
 *
 *    cc migrate.c $(pkg-config --cflags --libs eclose-mongoc)
 *    ./a.out URI DATABASE FOLDER        FOLDER is a project
 */
#include <eclose/mongoc.h>

#include <stdio.h>

static void
told (void *user_data, const eclose_migrate_progress_t *progress)
{
   (void) user_data;
   switch (progress->event) {
   case ECLOSE_MIGRATE_WAITING:
      fprintf (stderr, "waiting for %s\n", progress->text);
      break;
   case ECLOSE_MIGRATE_BEGINS:
      fprintf (stderr, "%s: %s\n", progress->name, progress->text);
      break;
   case ECLOSE_MIGRATE_STEP:
      fprintf (stderr, "  step %zu of %zu: %s, %lld rows\n", progress->step, progress->n_steps, progress->text,
               (long long) progress->done);
      break;
   case ECLOSE_MIGRATE_COLLECTION:
      fprintf (stderr, "%s: %lld of %lld\n", progress->name, (long long) progress->done, (long long) progress->total);
      break;
   default:
      break;
   }
}

int
main (int argc, char **argv)
{
   eclose_migrate_watch_t watch = {.progress = told};
   eclose_migrated_t outcome = ECLOSE_MIGRATE_FAILED;
   eclose_project_t *project = NULL;
   eclose_driver_t *driver = NULL;
   bson_error_t error = {0};
   mongoc_uri_t *uri;
   bson_t opts = BSON_INITIALIZER, result;
   char *text;

   if (argc != 4) {
      fprintf (stderr, "usage: %s URI DATABASE FOLDER\n", argv[0]);
      return ECLOSE_MIGRATE_USAGE;
   }
   mongoc_init ();
   uri = mongoc_uri_new_with_error (argv[1], &error);
   if (uri && (driver = eclose_driver_new (uri, &error)) &&
       (project = eclose_project_new_from_folder (argv[3], &error))) {
      /* Two minutes for whoever came first; a process that starts later than that is better started again. */
      BSON_APPEND_INT64 (&opts, "wait", 120000);
      BSON_APPEND_UTF8 (&opts, "release", "1.4.2");
      outcome = eclose_migrate (project, driver, argv[2], &opts, &watch, &result, &error);
      text = bson_as_relaxed_extended_json (&result, NULL);
      printf ("%s\n", text);
      bson_free (text);
      bson_destroy (&result);
   }
   if (outcome != ECLOSE_MIGRATED) {
      fprintf (stderr, "%s\n", error.message);
   }
   bson_destroy (&opts);
   eclose_project_destroy (project);
   eclose_driver_destroy (driver);
   if (uri) {
      mongoc_uri_destroy (uri);
   }
   mongoc_cleanup ();
   return (int) outcome;
}
