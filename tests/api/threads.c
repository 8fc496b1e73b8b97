/* Several threads, one project, an upgrader each: built with ThreadSanitizer by tools/check, without libmongoc.
 * All ways up and down, a function, and a loader, so that plans are made by whoever comes first. */
#include <eclose/eclose.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define ROUNDS 2000

static eclose_project_t *project;

static void
must (bool good, const char *what, const bson_error_t *error)
{
   if (!good) {
      fprintf (stderr, "%s: %s\n", what, error ? error->message : "");
      exit (1);
   }
}

static bool
twice (const bson_t *in, bson_t *out, eclose_context_t *context, bson_error_t *error)
{
   bson_iter_t iter;

   (void) error;
   bson_copy_to_excluding_noinit (in, out, "n", NULL);
   if (bson_iter_init_find (&iter, in, "n")) {
      BSON_APPEND_INT64 (out, "n", 2 * bson_iter_as_int64 (&iter));
   }
   return strcmp (eclose_context_version (context), "2") == 0;
}

static bool
find_nothing (void *user_data, const char *collection, const char *field, const bson_t *values, eclose_found_t *found,
              bson_error_t *error)
{
   bson_t document = BSON_INITIALIZER;
   int *calls = user_data;

   (void) collection;
   (void) field;
   (void) values;
   (void) error;
   (*calls)++;
   BSON_APPEND_INT32 (&document, "_id", 5);
   eclose_found_add (found, &document);
   bson_destroy (&document);
   return true;
}

static void *
work (void *context)
{
   int seed = *(int *) context, calls = 0;
   eclose_loader_t loader = {.load = find_nothing, .user_data = &calls};
   bson_error_t error;

   for (int i = 0; i < ROUNDS; i++) {
      static const char *const targets[] = {"0", "1", "3"};
      eclose_upgrader_t *upgrader =
         eclose_upgrader_new (project, "things", i % 7 ? "3" : targets[(i + seed) % 3], &error);
      bson_t document = BSON_INITIALIZER;
      const bson_t *up, *out;
      bson_iter_t iter;

      must (upgrader != NULL, "upgrader", &error);
      eclose_upgrader_set_loader (upgrader, &loader);
      BSON_APPEND_INT32 (&document, "_id", i);
      BSON_APPEND_INT64 (&document, "n", i);
      BSON_APPEND_UTF8 (&document, "when", "2020-01-01");
      must (eclose_upgrader_run (upgrader, &document, &up, &error), "run", &error);
      if (i % 7) {
         must (bson_iter_init_find (&iter, up, "n") && bson_iter_as_int64 (&iter) == 2 * i, "the function's result",
               NULL);
         must (bson_iter_init_find (&iter, up, "found") && BSON_ITER_HOLDS_ARRAY (&iter), "what was looked up", NULL);
      }
      must (eclose_upgrader_stamp (upgrader, &document, &out, &error), "stamp", &error);
      eclose_upgrader_destroy (upgrader);
      bson_destroy (&document);
   }
   must (calls > 0, "the loader was called", NULL);
   return NULL;
}

int
main (void)
{
   pthread_t threads[THREADS];
   int seeds[THREADS];
   bson_error_t error;

   project = eclose_project_new ();
   must (eclose_project_add_text (
            project, "things/0001_a.yaml",
            "to: 1\n"
            "up: [{$set: {m: {$toUpper: {$ifNull: [$name, x]}}, r: {$regexMatch: {input: $when, regex: "
            "'^2'}}, d: {$dateFromString: {dateString: $when, timezone: Europe/Copenhagen}}}}]\n"
            "down: [{$unset: [m, r, d]}]\n",
            -1, &error),
         "add", &error);
   must (eclose_project_add_function (project, "things", "2", ECLOSE_UP, twice, NULL, &error), "add", &error);
   must (eclose_project_add_text (project, "things/0003_c.yaml",
                                  "to: 3\n"
                                  "up: [{$lookup: {from: others, localField: n, foreignField: _id, as: found}}]\n",
                                  -1, &error),
         "add", &error);
   must (eclose_project_load (project, &error), "load", &error);
   for (int i = 0; i < THREADS; i++) {
      seeds[i] = i;
      must (pthread_create (&threads[i], NULL, work, &seeds[i]) == 0, "thread", NULL);
   }
   for (int i = 0; i < THREADS; i++) {
      pthread_join (threads[i], NULL);
   }
   eclose_project_destroy (project);
   return 0;
}
