/* Runs a fuzz target over files, or over all files of a folder, so that a corpus is part of the ordinary tests. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static int
replay_file (const char *path)
{
   FILE *file = fopen (path, "rb");
   uint8_t *data = NULL;
   struct stat st;
   size_t size;
   int ok = 0;

   if (!file || fstat (fileno (file), &st) != 0) {
      perror (path);
      goto done;
   }
   /* Exactly as long as the file, so that a sanitizer sees a read past it. */
   data = malloc (st.st_size ? (size_t) st.st_size : 1);
   size = data ? fread (data, 1, (size_t) st.st_size, file) : 0;
   if (!data || size != (size_t) st.st_size) {
      perror (path);
      goto done;
   }
   fprintf (stderr, "%s: %zu bytes\n", path, size);
   LLVMFuzzerTestOneInput (data, size);
   ok = 1;

done:
   free (data);
   if (file) {
      fclose (file);
   }
   return ok;
}

static int
replay_folder (const char *path, size_t *files)
{
   DIR *folder = opendir (path);
   const struct dirent *entry;
   int ok = 1;

   if (!folder) {
      perror (path);
      return 0;
   }
   while (ok && (entry = readdir (folder))) {
      char name[4096];

      if (entry->d_name[0] != '.') {
         snprintf (name, sizeof name, "%s/%s", path, entry->d_name);
         ok = replay_file (name);
         ++*files;
      }
   }
   closedir (folder);
   return ok;
}

int
main (int argc, char **argv)
{
   size_t files = 0;
   int ok = 1;

   for (int i = 1; i < argc && ok; i++) {
      struct stat st;

      if (stat (argv[i], &st) == 0 && S_ISDIR (st.st_mode)) {
         ok = replay_folder (argv[i], &files);
      } else {
         ok = replay_file (argv[i]);
         files++;
      }
   }
   if (!files) {
      fprintf (stderr, "%s: no files\n", argv[0]);
   }
   return ok && files ? 0 : 1;
}
