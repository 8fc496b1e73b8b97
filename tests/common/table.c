/* Prints the table of operators: as JSON for the generator of random cases, or as a dictionary for libFuzzer.
 *
 *    table json | dict
 */
#include "mql/expr.h"

#include <stdio.h>

static void
print_json (void)
{
   const ecl_operator_t *op;

   printf ("[");
   for (size_t i = 0; (op = ecl_operator_at (i)); i++) {
      if (op->refused) {
         continue;
      }
      printf ("%s\n  {\"name\": \"%s\", \"family\": \"%s\", \"min\": %d, \"max\": %d, \"named\": ", i ? "," : "",
              op->name, op->family, op->min, op->max);
      if (op->named) {
         printf ("\"%s\"}", op->named);
      } else {
         printf ("null}");
      }
   }
   printf ("\n]\n");
}

/* The names of the arguments, each once, behind those of the operators. */
static void
print_dictionary (void)
{
   const ecl_operator_t *op;
   char seen[8192] = " ";

   for (size_t i = 0; (op = ecl_operator_at (i)); i++) {
      printf ("\"%s\"\n", op->name);
   }
   for (size_t i = 0; (op = ecl_operator_at (i)); i++) {
      const char *p = op->named;

      while (p && *p) {
         size_t n = strcspn (p, "! ");
         char word[64];

         snprintf (word, sizeof word, " %.*s ", (int) n, p);
         if (!strstr (seen, word)) {
            strncat (seen, word + 1, sizeof seen - strlen (seen) - 1);
            printf ("\"%.*s\"\n", (int) n, p);
         }
         p += n;
         p += strspn (p, "! ");
      }
   }
}

int
main (int argc, char **argv)
{
   if (argc == 2 && strcmp (argv[1], "json") == 0) {
      print_json ();
   } else if (argc == 2 && strcmp (argv[1], "dict") == 0) {
      print_dictionary ();
   } else {
      fprintf (stderr, "usage: table json | dict\n");
      return 2;
   }
   return 0;
}
