/* A process that holds a lease, for tests/integration/test_leading.py.
 *
 *    hold NAME TIME     acquires the lease NAME and says so; then, for each line of input, whether it is held
 *
 * ECLOSE_TEST_URI and ECLOSE_TEST_DATABASE say where.
 */
#include <eclose/mongoc.h>

#include <stdio.h>
#include <stdlib.h>

static int
hold (eclose_driver_t *driver, const char *name, const char *time)
{
   bson_t *opts = BCON_NEW ("time", BCON_INT64 (atoll (time)), "max_clock_skew", BCON_INT64 (100));
   bson_error_t error = {0};
   eclose_lease_t *lease = eclose_lease_new (driver, getenv ("ECLOSE_TEST_DATABASE"), name, opts, &error);
   char line[64];
   int status = 1;

   if (lease && eclose_lease_acquire (lease, -1, &error) == ECLOSE_LEASE_ACQUIRED) {
      printf ("token %lld\n", (long long) eclose_lease_token (lease));
      fflush (stdout);
      while (fgets (line, sizeof line, stdin)) {
         printf ("%s\n", eclose_lease_held (lease) ? "held" : eclose_lease_lost (lease) ? "lost" : "free");
         fflush (stdout);
      }
      status = 0;
   } else {
      fprintf (stderr, "%s\n", error.message);
   }
   eclose_lease_destroy (lease);
   bson_destroy (opts);
   return status;
}

int
main (int argc, char **argv)
{
   bson_error_t error = {0};
   eclose_driver_t *driver;
   mongoc_uri_t *uri;
   int status = 1;

   if (argc != 3) {
      fprintf (stderr, "usage: hold NAME TIME\n");
      return 2;
   }
   mongoc_init ();
   uri = mongoc_uri_new (getenv ("ECLOSE_TEST_URI"));
   driver = eclose_driver_new (uri, &error);
   if (driver) {
      status = hold (driver, argv[1], argv[2]);
   } else {
      fprintf (stderr, "%s\n", error.message);
   }
   eclose_driver_destroy (driver);
   mongoc_uri_destroy (uri);
   mongoc_cleanup ();
   return status;
}
