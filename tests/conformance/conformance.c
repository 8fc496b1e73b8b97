/* Replays the conformance cases of a folder against the engine and counts right, wrong and known disagreements, in all
 * and per operator.
 *
 *    conformance [--dir DIR] [--known FILE] [--op $name] [--from server] [-v] [--codes] FILE…
 *
 * FILE is the name of a file of cases without .jsonl. Passes where at least 99 % of what is not a known disagreement is
 * right, and known disagreements are at most 2 % in all and 5 % of any operator's cases. Without the folder it says so
 * and passes: the project's own cases are in tests/cases. */
#include "case.h"

#include "runners.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct {
   unsigned right, wrong, known, codes;
} count_t;

typedef struct {
   char *id;
   bool used;
} known_t;

typedef struct {
   const char *op, *from;
   bool verbose, codes;
   known_t *known;
   size_t n_known;
   count_t total;
   count_t operators[400];
} conformance_t;

/* ---- known disagreements: lines "id reason" ---- */

static void
read_known (conformance_t *self, const char *path)
{
   FILE *file = fopen (path, "r");
   char line[4096];

   if (!file) {
      return;
   }
   while (fgets (line, sizeof line, file)) {
      size_t len = strcspn (line, " \t\n");

      if (line[0] == '#' || len == 0) {
         continue;
      }
      self->known = bson_realloc (self->known, (self->n_known + 1) * sizeof *self->known);
      self->known[self->n_known++] = (known_t){.id = bson_strndup (line, len)};
   }
   fclose (file);
}

static bool
is_known (conformance_t *self, const ecl_value_t *id)
{
   for (size_t i = 0; i < self->n_known; i++) {
      if (strlen (self->known[i].id) == id->len && memcmp (self->known[i].id, id->u.str, id->len) == 0) {
         self->known[i].used = true;
         return true;
      }
   }
   return false;
}

/* ---- which operators a case is about ---- */

static void
mark_operators (const ecl_value_t *v, bool *marks)
{
   ecl_iter_t iter;
   ecl_field_t field;

   if (v->type != BSON_TYPE_DOCUMENT && v->type != BSON_TYPE_ARRAY) {
      return;
   }
   ecl_iter_init (&iter, v);
   while (ecl_iter_field (&iter, &field)) {
      if (v->type == BSON_TYPE_DOCUMENT && field.key_len && field.key[0] == '$') {
         for (size_t i = 0; ecl_operator_at (i); i++) {
            if (ecl_key_is (&field, ecl_operator_at (i)->name)) {
               marks[i] = true;
            }
         }
      }
      mark_operators (&field.value, marks);
   }
}

static bool
mentions (const char *line, const char *op)
{
   char *quoted = bson_strdup_printf ("\"%s\"", op);
   bool found = strstr (line, quoted) != NULL;

   bson_free (quoted);
   return found;
}

/* ---- one case ---- */

static ecl_case_compare_t
comparison (const ecl_value_t *cmp)
{
   static const char *const names[] = {"exact", "exact+unordered", "ulp", "num", "num+unordered"};

   for (unsigned i = 0; i < 5; i++) {
      if (cmp->type == BSON_TYPE_UTF8 && strlen (names[i]) == cmp->len &&
          memcmp (names[i], cmp->u.str, cmp->len) == 0) {
         return (ecl_case_compare_t) i;
      }
   }
   return ECL_CASE_EXACT;
}

static void
complain (const conformance_t *self, const char *line, const char *what, const char *got)
{
   if (self->verbose) {
      printf ("%s: %s\n   %.*s\n", what, got, (int) strcspn (line, "\n"), line);
   }
}

/* Right, wrong, and whether an error's code was another than expected. */
static bool
judge (const conformance_t *self, ecl_eval_t *ev, const ecl_value_t *line, const char *text, bool *other_code)
{
   ecl_value_t error = ecl_document_get (line, "error", 5);
   ecl_value_t hint = ecl_document_get (line, "code_hint", 9);
   ecl_value_t cmp = ecl_document_get (line, "cmp", 3);
   ecl_value_t expected = ecl_missing (), got = ecl_missing ();
   ecl_case_problem_t problem;
   bool ok;

   if (ecl_document_get (line, "pipeline", 8).type != ECL_MISSING) {
      ecl_value_t pipeline = ecl_document_get (line, "pipeline", 8);
      ecl_value_t in = ecl_document_get (line, "in", 2);

      expected = ecl_document_get (line, "out", 3);
      ok = ecl_case_run (ev, &pipeline, &in, &got, &problem);
   } else if (!ecl_case_run_other (ev, line, &expected, &got, &problem, &ok)) {
      complain (self, text, "wrong", "no such form of case");
      return false;
   }
   if (error.type != ECL_MISSING) {
      if (ok) {
         complain (self, text, "wrong, should fail; got", ecl_case_text (&got));
         return false;
      }
      if (!ecl_case_code_matches (&error, problem.code) ||
          (hint.type != ECL_MISSING && !ecl_case_code_matches (&hint, problem.code))) {
         *other_code = true;
         if (self->codes) {
            printf ("code %u: %s\n   %.*s\n", problem.code, problem.message, (int) strcspn (text, "\n"), text);
         }
      }
      return true;
   }
   if (!ok) {
      complain (self, text, "wrong, failed", problem.message);
      return false;
   }
   if (!ecl_case_equal (&got, &expected, comparison (&cmp))) {
      complain (self, text, "wrong, got", ecl_case_text (&got));
      return false;
   }
   return true;
}

static void
count_case (conformance_t *self, const ecl_value_t *line, bool right, bool known, bool other_code)
{
   bool marks[400] = {false};
   ecl_value_t pipeline = ecl_document_get (line, "pipeline", 8);

   mark_operators (&pipeline, marks);
   for (size_t i = 0; i <= 400; i++) {
      count_t *count = i == 400 ? &self->total : &self->operators[i];

      if (i < 400 && !marks[i]) {
         continue;
      }
      count->right += right && !known;
      count->wrong += !right && !known;
      count->known += known;
      count->codes += other_code;
   }
}

static bool
replay (conformance_t *self, const char *dir, const char *name)
{
   char *path = bson_strdup_printf ("%s/%s.jsonl", dir, name);
   FILE *file = fopen (path, "r");
   char *line = NULL;
   size_t cap = 0;
   ssize_t len;
   ecl_text_t text;
   ecl_eval_t ev;
   ecl_diags_t diags;

   bson_free (path);
   if (!file) {
      printf ("%s/%s.jsonl cannot be read\n", dir, name);
      return false;
   }
   ecl_text_init (&text);
   ecl_eval_init (&ev);
   ecl_diags_init (&diags);
   while ((len = getline (&line, &cap, file)) > 0) {
      ecl_text_source_t source = {.name = name, .bytes = line, .len = (size_t) len};
      ecl_value_t root, from, id;
      bool right, other_code = false;

      if (self->op && !mentions (line, self->op)) {
         continue;
      }
      if (!ecl_text_read_json (&text, &source, ECL_TEXT_DUPLICATES | ECL_TEXT_NO_MAP | ECL_TEXT_WIDE_INTS, &diags)) {
         self->total.wrong++;
         complain (self, line, "wrong", "the line cannot be read");
         continue;
      }
      root = ecl_raw_document (text.doc, text.len);
      from = ecl_document_get (&root, "from", 4);
      id = ecl_document_get (&root, "id", 2);
      if (self->from && (strlen (self->from) != from.len || memcmp (self->from, from.u.str, from.len) != 0)) {
         continue;
      }
      right = judge (self, &ev, &root, line, &other_code);
      count_case (self, &root, right, !right && is_known (self, &id), other_code);
   }
   free (line);
   fclose (file);
   ecl_diags_cleanup (&diags);
   ecl_eval_cleanup (&ev);
   ecl_text_cleanup (&text);
   return true;
}

/* ---- the sum ---- */

static bool
print_count (const char *name, const count_t *count)
{
   unsigned all = count->right + count->wrong + count->known;

   printf ("%-24s %6u %6u %6u %6u\n", name, count->right, count->wrong, count->known, count->codes);
   return all == 0 || count->known * 100.0 <= 5.0 * all || count->known <= 1;
}

static bool
summary (conformance_t *self)
{
   const count_t *total = &self->total;
   unsigned judged = total->right + total->wrong, all = judged + total->known;
   bool ok = true;

   printf ("%-24s %6s %6s %6s %6s\n", "operator", "right", "wrong", "known", "code");
   for (size_t i = 0; ecl_operator_at (i); i++) {
      const count_t *count = &self->operators[i];

      if (count->right + count->wrong + count->known && !print_count (ecl_operator_at (i)->name, count)) {
         printf ("   more than 5 %% of this operator's cases are known disagreements\n");
         ok = false;
      }
   }
   print_count ("all", total);
   if (all == 0) {
      printf ("no case was replayed\n");
      return self->op != NULL;
   }
   printf ("%.2f %% right of what is not a known disagreement (%.2f %% of all)\n", 100.0 * total->right / judged,
           100.0 * total->known / all);
   if (total->right < 0.99 * judged || total->known > 0.02 * all) {
      printf ("wanted: at least 99 %% right, at most 2 %% known disagreements\n");
      ok = false;
   }
   for (size_t i = 0; i < self->n_known; i++) {
      if (!self->known[i].used && self->verbose && !self->op) {
         printf ("not (or no longer) a disagreement: %s\n", self->known[i].id);
      }
      bson_free (self->known[i].id);
   }
   bson_free (self->known);
   return ok;
}

int
main (int argc, char **argv)
{
   static const char *const all[] = {"pipelines", "stages", "match", "jsonschema"};
   conformance_t self = {0};
   const char *dir = getenv ("ECLOSE_CONFORMANCE_DIR"), *known = NULL;
   const char *files[16];
   size_t n = 0;
   bool ok = true;

   for (int i = 1; i < argc; i++) {
      if (strcmp (argv[i], "--dir") == 0 && i + 1 < argc) {
         dir = argv[++i];
      } else if (strcmp (argv[i], "--known") == 0 && i + 1 < argc) {
         known = argv[++i];
      } else if (strcmp (argv[i], "--op") == 0 && i + 1 < argc) {
         self.op = argv[++i];
      } else if (strcmp (argv[i], "--from") == 0 && i + 1 < argc) {
         self.from = argv[++i];
      } else if (strcmp (argv[i], "-v") == 0) {
         self.verbose = true;
      } else if (strcmp (argv[i], "--codes") == 0) {
         self.codes = true;
      } else if (n < 16) {
         files[n++] = argv[i];
      }
   }
   if (!dir || access (dir, R_OK) != 0) {
      printf ("1..0 # SKIP there are no conformance cases at %s; tests/cases holds the project's own\n",
              dir ? dir : "(no --dir)");
      return 77;
   }
   if (known) {
      read_known (&self, known);
   }
   if (n == 0) {
      memcpy (files, all, sizeof all);
      n = sizeof all / sizeof all[0];
   }
   for (size_t i = 0; i < n; i++) {
      ok = replay (&self, dir, files[i]) && ok;
   }
   return summary (&self) && ok ? 0 : 1;
}
