/* A filter: documents on standard input, one a line, in any version; on standard output in the shape of one.
 *
 *    cc folder.c $(pkg-config --cflags --libs eclose)
 *    ./a.out FOLDER COLLECTION [VERSION] < documents.json       FOLDER has the project's eclose.yaml; see ../users
 */
#include <eclose/eclose.h>

#include <stdio.h>
#include <stdlib.h>

/* What went wrong with a document, whole: as a document again, with the file, the line and the path of the expression.
 */
static void
complain (eclose_upgrader_t *upgrader)
{
   char *text = bson_as_relaxed_extended_json (eclose_upgrader_error_document (upgrader), NULL);

   fprintf (stderr, "%s\n", text);
   bson_free (text);
}

static bool
carry (eclose_upgrader_t *upgrader, const char *line, ssize_t len)
{
   bson_error_t error;
   bson_t *stored = bson_new_from_json ((const uint8_t *) line, len, &error);
   const bson_t *document;
   bool ok = false;

   if (!stored) {
      fprintf (stderr, "%s\n", error.message);
   } else if (!eclose_upgrader_run (upgrader, stored, &document, &error)) {
      complain (upgrader);
   } else {
      char *text = bson_as_relaxed_extended_json (document, NULL);

      printf ("%s\n", text);
      bson_free (text);
      ok = true;
   }
   bson_destroy (stored);
   return ok;
}

int
main (int argc, char **argv)
{
   eclose_project_t *project;
   eclose_upgrader_t *upgrader = NULL;
   bson_error_t error;
   char *line = NULL;
   size_t room = 0;
   ssize_t len;
   int status = 0;

   if (argc != 3 && argc != 4) {
      fprintf (stderr, "usage: %s FOLDER COLLECTION [VERSION]\n", argv[0]);
      return 2;
   }
   project = eclose_project_new_from_folder (argv[1], &error);
   if (!project || !(upgrader = eclose_upgrader_new (project, argv[2], argc == 4 ? argv[3] : NULL, &error))) {
      fprintf (stderr, "%s\n", error.message);
      status = 1;
   } else {
      while ((len = getline (&line, &room, stdin)) > 0) {
         if (!carry (upgrader, line, len)) {
            status = 1;
         }
      }
   }
   free (line);
   eclose_upgrader_destroy (upgrader);
   eclose_project_destroy (project);
   return status;
}
