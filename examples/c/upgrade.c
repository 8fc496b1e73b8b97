/* Documents in the shape of the program, without a server: a project in memory, an upgrader, and what it says of
 * errors.
 *
 *    cc upgrade.c $(pkg-config --cflags --libs eclose)
 */
#include <eclose/eclose.h>

#include <stdio.h>

static const char settings[] = "collections: {users: {unversioned: 1}}\n";

static const char split_name[] =
   "to: 2\n"
   "up:\n"
   "  - $set: {first: {$first: {$split: [$name, ' ']}}, last: {$last: {$split: [$name, ' ']}}}\n"
   "  - $unset: name\n"
   "down:\n"
   "  - $set: {name: {$concat: [$first, ' ', $last]}}\n"
   "  - $unset: [first, last]\n";

static void
show (eclose_upgrader_t *upgrader, const char *json)
{
   bson_error_t error;
   bson_t *stored = bson_new_from_json ((const uint8_t *) json, -1, &error);
   const bson_t *user;

   if (eclose_upgrader_run (upgrader, stored, &user, &error)) {
      char *text = bson_as_relaxed_extended_json (user, NULL);

      printf ("%s%s\n", text, user == stored ? " (was current)" : "");
      bson_free (text);
   } else {
      printf ("error: %s\n", error.message);
   }
   bson_destroy (stored);
}

int
main (void)
{
   eclose_project_t *project = eclose_project_new ();
   eclose_upgrader_t *to_2 = NULL, *to_1 = NULL;
   bson_error_t error;
   int status = 1;

   if (!eclose_project_add_text (project, "eclose.yaml", settings, -1, &error) ||
       !eclose_project_add_text (project, "users/0002_split_name.yaml", split_name, -1, &error) ||
       !eclose_project_load (project, &error) || !(to_2 = eclose_upgrader_new (project, "users", NULL, &error)) ||
       !(to_1 = eclose_upgrader_new (project, "users", "1", &error))) {
      fprintf (stderr, "%s\n", error.message);
      goto done;
   }
   show (to_2, "{\"_id\": 1, \"name\": \"Ariel Whiteaker\"}");
   show (to_2, "{\"_id\": 2, \"first\": \"Bo\", \"last\": \"Lund\", \"schema_version\": 2}");
   show (to_1, "{\"_id\": 2, \"first\": \"Bo\", \"last\": \"Lund\", \"schema_version\": 2}");
   show (to_2, "{\"_id\": 3, \"name\": 42}");
   status = 0;

done:
   eclose_upgrader_destroy (to_2);
   eclose_upgrader_destroy (to_1);
   eclose_project_destroy (project);
   return status;
}
