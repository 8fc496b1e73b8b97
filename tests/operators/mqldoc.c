/* Writes the reference of expressions, docs/mql.md, from the table of operators.
 *
 *    mqldoc                 to standard output
 *    mqldoc --write FILE    to the file
 *    mqldoc --check FILE    fails where the file is not what it would write
 *
 * Its examples are run as tests by test_operators. */
#include "mql/expr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char head[] =
   "# Expressions\n"
   "\n"
   "What a migration may compute from a document, and what `eclose eval` takes. This page is made from the table of\n"
   "operators (`src/mql/operators.def`) by `meson compile -C build mql-doc`; every example on it is run as a test.\n"
   "\n"
   "The language is MongoDB's, as of version 8.0, with its results, types and error codes. An expression is\n"
   "\n"
   "- a field of the document, `\"$name\"` or `\"$a.b\"`; of an array on the way, the field of each of its documents\n"
   "- a variable, `\"$$x\"` or `\"$$x.a\"`: one bound by `$let`, `$map`, `$filter` or `$reduce`; `$$ROOT`, the whole\n"
   "  document; `$$CURRENT`, which field paths start from; `$$REMOVE`, no value; `$$NOW`, the time of the run (not in\n"
   "  document migrations, which must give the same result on any day)\n"
   "- an object or array of expressions\n"
   "- an operator: an object whose one key is the operator's name\n"
   "- any other value, which stands for itself\n"
   "\n"
   "A field that is not there, and an operator that says so, give *missing*: it is left out of an object, null in an\n"
   "array, and `$set` to it removes a field.\n"
   "\n"
   "In the forms below `?` marks an argument that may be left out and `…` any number of further ones; an operator "
   "with\n"
   "one argument takes it with or without brackets. Numbers in results are typed: `2` is an int, `2.0` a double.\n";

static bool
is_refused (const ecl_operator_t *op)
{
   return op->refused != NULL;
}

/* {$name: …} with letters for arguments that have no names. */
static void
write_form (FILE *out, const ecl_operator_t *op)
{
   fprintf (out, "{%s: ", op->name);
   if (op->named && op->named[0] == '[') {
      fputs (op->named, out);
   } else if (op->named) {
      putc ('{', out);
      for (const char *p = op->named; *p;) {
         size_t len = strcspn (p, " ");
         bool required = len && p[len - 1] == '!';

         fprintf (out, "%s%.*s%s", p == op->named ? "" : ", ", (int) (required ? len - 1 : len), p,
                  required ? "" : "?");
         p += len;
         p += *p == ' ';
      }
      putc ('}', out);
   } else if (op->min == op->max && op->max <= 1) {
      putc ('a', out);
   } else {
      int shown = op->max >= 0 ? op->max : op->min > 1 ? op->min : 1;

      putc ('[', out);
      for (int i = 0; i < shown; i++) {
         fprintf (out, "%s%c%s", i ? ", " : "", 'a' + i, i >= op->min && op->max >= 0 ? "?" : "");
      }
      fprintf (out, "%s]", op->max < 0 ? ", …" : "");
   }
   putc ('}', out);
}

/* Families with links to their operators, in lines of at most INDEX_WIDTH bytes. */
#define INDEX_WIDTH 116

static void
write_index (FILE *out)
{
   const ecl_operator_t *op;
   const char *family = "";
   size_t width = 0;

   for (size_t i = 0; (op = ecl_operator_at (i)) && !is_refused (op); i++) {
      size_t len = strlen (op->name);

      if (strcmp (op->family, family) != 0) {
         family = op->family;
         width = (size_t) fprintf (out, "%s\n**%s:**", i ? "\n" : "", family) - 1;
      }
      width += 2 * len + 8; /* space, [`$name`](#name) */
      if (width > INDEX_WIDTH) {
         putc ('\n', out);
         width = 2 * len + 7;
      } else {
         putc (' ', out);
      }
      fprintf (out, "[`%s`](#", op->name);
      for (const char *p = op->name + 1; *p; p++) {
         putc (*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p, out);
      }
      putc (')', out);
   }
   putc ('\n', out);
}

static void
write_operator (FILE *out, const ecl_operator_t *op)
{
   fprintf (out, "\n### %s\n\n`", op->name);
   write_form (out, op);
   fprintf (out, "`\n\n%s\n\n    %s\n    → %s\n", op->summary, op->example, op->result);
}

static void
write_page (FILE *out)
{
   const ecl_operator_t *op;
   const char *family = "";
   size_t i;

   fputs (head, out);
   write_index (out);
   for (i = 0; (op = ecl_operator_at (i)) && !is_refused (op); i++) {
      if (strcmp (op->family, family) != 0) {
         family = op->family;
         fprintf (out, "\n## %c%s\n", family[0] - 'a' + 'A', family + 1);
      }
      write_operator (out, op);
   }
   fputs ("\n## What is refused\n\nThese are known and refused by name when a migration is loaded; other names are "
          "unknown.\n\n",
          out);
   for (; (op = ecl_operator_at (i)); i++) {
      fprintf (out, "- `%s`: %s\n", op->name, op->refused);
   }
}

/* The whole file; NULL where it cannot be read. */
static char *
read_file (const char *path, size_t *len)
{
   FILE *in = fopen (path, "rb");
   char *text = NULL;

   *len = 0;
   if (!in) {
      return NULL;
   }
   for (size_t cap = 1 << 16, got = 1; got; cap *= 2) {
      text = bson_realloc (text, cap);
      got = fread (text + *len, 1, cap - *len, in);
      *len += got;
   }
   fclose (in);
   return text;
}

static int
check (const char *path, const char *page, size_t page_len)
{
   size_t len, line = 1, i = 0;
   char *text = read_file (path, &len);
   int status = 1;

   if (!text) {
      fprintf (stderr, "%s: %s\n", path, strerror (errno));
      return 1;
   }
   while (i < len && i < page_len && text[i] == page[i]) {
      line += text[i++] == '\n';
   }
   if (i == len && i == page_len) {
      status = 0;
   } else {
      fprintf (stderr, "%s:%zu: not what the table of operators says; meson compile -C build mql-doc writes it anew\n",
               path, line);
   }
   bson_free (text);
   return status;
}

int
main (int argc, char **argv)
{
   const char *path = argc > 2 ? argv[2] : NULL;
   char *page = NULL;
   size_t len = 0;
   FILE *out = open_memstream (&page, &len);
   int status = 0;

   if (!out || argc == 2 || argc > 3) {
      fputs ("usage: mqldoc [--write FILE | --check FILE]\n", stderr);
      return 2;
   }
   write_page (out);
   fclose (out);
   if (path && strcmp (argv[1], "--check") == 0) {
      status = check (path, page, len);
   } else {
      out = path ? fopen (path, "wb") : stdout;
      if (!out || fwrite (page, 1, len, out) != len || fflush (out) != 0) {
         fprintf (stderr, "%s: %s\n", path ? path : "standard output", strerror (errno));
         status = 1;
      }
      if (path && out) {
         fclose (out);
      }
   }
   free (page);
   return status;
}
