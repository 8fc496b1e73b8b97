/* The client's time for a document that is read through the collection handle, against the bare cursor of libmongoc.
 * Both read the same canned replies; no server is there.
 *
 *    bench_client [--json FILE]
 */
#include "bench.h"

#include "canned.h"

#include <eclose/mongoc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DOCUMENTS 1000
#define ROUNDS 61
#define ROUND 20000 /* documents */

static volatile uint64_t sink;

static const char users_2[] = "to: 2\n"
                              "up:\n"
                              "  - $set: {name: {$trim: {input: {$ifNull: [$name, '']}}}}\n"
                              "  - $set: {last_name: {$last: {$split: [$name, ' ']}}}\n"
                              "  - $set:\n"
                              "      first_name: {$trim: {input: {$substrCP: [$name, 0, {$subtract: [{$strLenCP: "
                              "$name}, {$strLenCP: $last_name}]}]}}}\n"
                              "      contacts: {$cond: [{$gt: [$phone, null]}, [{type: phone, value: $phone}], []]}\n"
                              "  - $unset: [name, phone]\n";

typedef struct {
   mongoc_collection_t *collection;
   eclose_collection_t *handle;
   mongoc_cursor_t *bare;
   eclose_cursor_t *through;
} reader_t;

/* Example 1, about 340 bytes and 15 fields. */
static void
make_batch (int32_t version)
{
   bson_t array = BSON_INITIALIZER;

   for (int i = 0; i < DOCUMENTS; i++) {
      char key[16], login[32], mail[64];
      bson_t user;

      snprintf (key, sizeof key, "%d", i);
      snprintf (login, sizeof login, "user%07d", i);
      snprintf (mail, sizeof mail, "user%07d@example.com", i);
      BSON_APPEND_DOCUMENT_BEGIN (&array, key, &user);
      BSON_APPEND_INT32 (&user, "_id", i);
      BSON_APPEND_UTF8 (&user, "login", login);
      BSON_APPEND_INT32 (&user, "schema_version", version);
      BSON_APPEND_UTF8 (&user, "name", "Robin Jean Whiteaker");
      BSON_APPEND_UTF8 (&user, "phone", "+45751700142");
      BSON_APPEND_DATE_TIME (&user, "last_update", 1700000000000ll + i);
      BSON_APPEND_DATE_TIME (&user, "created", 1600000000000ll + i);
      BSON_APPEND_UTF8 (&user, "email", mail);
      BSON_APPEND_BOOL (&user, "active", true);
      BSON_APPEND_INT32 (&user, "logins", i);
      BSON_APPEND_DOUBLE (&user, "score", i / 7.0);
      BSON_APPEND_UTF8 (&user, "locale", "da-DK");
      BSON_APPEND_UTF8 (&user, "timezone", "Europe/Copenhagen");
      BSON_APPEND_INT64 (&user, "quota", 1ll << 33);
      BSON_APPEND_UTF8 (&user, "plan", "standard");
      bson_append_document_end (&array, &user);
   }
   canned_set_batch (&array);
   bson_destroy (&array);
}

static void
die (const char *what, const bson_error_t *error)
{
   fprintf (stderr, "%s: %s\n", what, error->message);
   exit (1);
}

static uint64_t
read_bare (void *context, size_t n)
{
   reader_t *self = context;
   const bson_t *document;
   bson_error_t error;
   uint64_t sum = 0;

   while (n--) {
      if (!mongoc_cursor_next (self->bare, &document)) {
         mongoc_cursor_error (self->bare, &error);
         die ("bare", &error);
      }
      sum += document->len;
   }
   return sum;
}

static uint64_t
read_through (void *context, size_t n)
{
   reader_t *self = context;
   const bson_t *document;
   bson_error_t error;
   uint64_t sum = 0;

   while (n--) {
      if (!eclose_cursor_next (self->through, &document)) {
         eclose_cursor_error (self->through, &error);
         die ("through", &error);
      }
      sum += document->len;
   }
   return sum;
}

static double
cpu_ns (void)
{
   struct timespec t;

   clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &t);
   return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

static int
by_value (const void *a, const void *b)
{
   double x = *(const double *) a, y = *(const double *) b;

   return (x > y) - (x < y);
}

/* CPU time, in turns; what counts is the median of the differences, turn by turn. */
static void
compare (const char *name, const char *goal, reader_t *reader)
{
   double through[ROUNDS], bare[ROUNDS], more[ROUNDS];

   for (int i = -2; i < ROUNDS; i++) {
      double t0 = cpu_ns (), t1, t2;

      sink += read_through (reader, ROUND);
      t1 = cpu_ns ();
      sink += read_bare (reader, ROUND);
      t2 = cpu_ns ();
      if (i >= 0) {
         through[i] = (t1 - t0) / ROUND;
         bare[i] = (t2 - t1) / ROUND;
         more[i] = through[i] - bare[i];
      }
   }
   qsort (through, ROUNDS, sizeof *through, by_value);
   qsort (bare, ROUNDS, sizeof *bare, by_value);
   qsort (more, ROUNDS, sizeof *more, by_value);
   printf ("%-40s %10.1f %10.1f %+10.1f  %s\n", name, through[ROUNDS / 2], bare[ROUNDS / 2], more[ROUNDS / 2], goal);
   bench_note (name, through[ROUNDS / 2], bare[ROUNDS / 2], through[ROUNDS / 2] / bare[ROUNDS / 2]);
}

static void
measure (const eclose_project_t *project, const char *name, int32_t version, const char *goal)
{
   mongoc_client_t *client = mongoc_client_new ("mongodb://canned");
   bson_t all = BSON_INITIALIZER;
   bson_error_t error;
   reader_t reader = {0};

   make_batch (version);
   mongoc_client_set_stream_initiator (client, canned_stream, NULL);
   reader.collection = mongoc_client_get_collection (client, "bench", "users");
   reader.handle = eclose_collection_new (project, client, "bench", "users", NULL, &error);
   if (!reader.handle) {
      die ("handle", &error);
   }
   reader.bare = mongoc_collection_find_with_opts (reader.collection, &all, NULL, NULL);
   reader.through = eclose_collection_find (reader.handle, &all, NULL, NULL);
   compare (name, goal, &reader);
   mongoc_cursor_destroy (reader.bare);
   eclose_cursor_destroy (reader.through);
   eclose_collection_destroy (reader.handle);
   mongoc_collection_destroy (reader.collection);
   mongoc_client_destroy (client);
}

int
main (int argc, char **argv)
{
   eclose_project_t *project = eclose_project_new ();
   bson_error_t error;

   mongoc_init ();
   mongoc_log_set_handler (NULL, NULL);
   if (!eclose_project_add_text (project, "eclose.yaml", "collections: {users: {unversioned: 1}}\n", -1, &error) ||
       !eclose_project_add_text (project, "users/0002_split_name.yaml", users_2, -1, &error) ||
       !eclose_project_load (project, &error)) {
      die ("project", &error);
   }
   printf ("%-40s %10s %10s %10s  %s\n", "CPU ns per document", "handle", "bare", "more", "goal");
   measure (project, "cursor, all current", 2, "at most +50 ns");
   measure (project, "cursor, all outdated", 1, "at most +500 ns");
   eclose_project_destroy (project);
   mongoc_cleanup ();
   if (argc > 2 && strcmp (argv[1], "--json") == 0) {
      bench_write_notes (argv[2]);
   }
   return 0;
}
