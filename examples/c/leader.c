/* One of many processes does the work: a counter that is only right where one counts at a time.
 *
 *    cc leader.c $(pkg-config --cflags --libs eclose-mongoc)
 *    ./a.out URI DATABASE NAME TIMES      TIMES times: read {_id: NAME}, and write it with one more
 *
 * The token goes into what is written, and a write passes only where no larger one stands: what a leader sent that has
 * lost its lease meanwhile does no harm, however late it arrives.
 */
#include <eclose/mongoc.h>

#include <stdio.h>
#include <stdlib.h>

/* The number that stands there, 0 where none does. */
static bool
count (mongoc_collection_t *counters, const char *name, int64_t *n, bson_error_t *error)
{
   bson_t *filter = BCON_NEW ("_id", BCON_UTF8 (name));
   mongoc_cursor_t *cursor = mongoc_collection_find_with_opts (counters, filter, NULL, NULL);
   const bson_t *counter;
   bson_iter_t iter;
   bool ok;

   *n = mongoc_cursor_next (cursor, &counter) && bson_iter_init_find (&iter, counter, "n") ? bson_iter_as_int64 (&iter)
                                                                                           : 0;
   ok = !mongoc_cursor_error (cursor, error);
   mongoc_cursor_destroy (cursor);
   bson_destroy (filter);
   return ok;
}

/* Where a leader behind us wrote already, the filter finds nothing and the upsert meets its _id: that is the error. */
static bool
store (mongoc_collection_t *counters, const char *name, int64_t n, const eclose_lease_t *lease, bson_error_t *error)
{
   int64_t token = eclose_lease_token (lease);
   bson_t *filter = BCON_NEW ("_id", BCON_UTF8 (name), "$or", "[", "{", "token", "{", "$lte", BCON_INT64 (token), "}",
                              "}", "{", "token", "{", "$exists", BCON_BOOL (false), "}", "}", "]");
   bson_t *update = BCON_NEW ("$set", "{", "n", BCON_INT64 (n), "token", BCON_INT64 (token), "}");
   bson_t *opts = BCON_NEW ("upsert", BCON_BOOL (true));
   bool ok = mongoc_collection_update_one (counters, filter, update, opts, NULL, error);

   bson_destroy (opts);
   bson_destroy (update);
   bson_destroy (filter);
   return ok;
}

static bool
work (eclose_lease_t *lease, mongoc_collection_t *counters, const char *name, int times, bson_error_t *error)
{
   int64_t n;

   for (int i = 0; i < times; i++) {
      if (!eclose_lease_held (lease)) {
         bson_set_error (error, ECLOSE_ERROR_STORE, ECLOSE_CODE_LEASE, "lost after %d of %d", i, times);
         return false;
      }
      if (!count (counters, name, &n, error) || !store (counters, name, n + 1, lease, error)) {
         return false;
      }
   }
   return true;
}

int
main (int argc, char **argv)
{
   mongoc_collection_t *counters = NULL;
   eclose_driver_t *driver = NULL;
   mongoc_client_t *client = NULL;
   eclose_lease_t *lease = NULL;
   bson_error_t error = {0};
   mongoc_uri_t *uri;
   bool ok = false;

   if (argc != 5) {
      fprintf (stderr, "usage: %s URI DATABASE NAME TIMES\n", argv[0]);
      return 2;
   }
   mongoc_init ();
   uri = mongoc_uri_new_with_error (argv[1], &error);
   if (uri && (client = mongoc_client_new_from_uri (uri)) && (driver = eclose_driver_new (uri, &error)) &&
       (lease = eclose_lease_new (driver, argv[2], argv[3], NULL, &error)) &&
       eclose_lease_acquire (lease, -1, &error) == ECLOSE_LEASE_ACQUIRED) {
      printf ("leader, with token %lld\n", (long long) eclose_lease_token (lease));
      counters = mongoc_client_get_collection (client, argv[2], "counters");
      ok = work (lease, counters, argv[3], atoi (argv[4]), &error);
      mongoc_collection_destroy (counters);
      eclose_lease_release (lease);
   }
   if (!ok) {
      fprintf (stderr, "%s\n", error.message);
   }
   eclose_lease_destroy (lease);
   eclose_driver_destroy (driver);
   if (client) {
      mongoc_client_destroy (client);
   }
   if (uri) {
      mongoc_uri_destroy (uri);
   }
   mongoc_cleanup ();
   return ok ? 0 : 1;
}
