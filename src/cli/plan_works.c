/* eclose plan, of database migrations: see plan.h. */
#include "bson/append.h"
#include "cli/plan.h"
#include "cli/works.h"
#include "migrate/preview.h"

/* Rows of a foreach that are shown. */
#define ROWS 3

/* Of a statement, in one line. */
#define TEXT_MAX 160

typedef struct {
   const ecl_cli_t *cli;
   bson_t *steps; /* NULL: as text */
   uint32_t n;
   bool blocked;
} told_t;

/* Cut to what fits a line, between characters. */
static void
print_spec (const ecl_value_t *spec)
{
   ecl_buf_t text;
   size_t len;

   ecl_buf_init (&text, 64u * 1024 * 1024);
   if (ecl_extjson_write (spec->u.raw, spec->len, ECL_EXTJSON_RELAXED, &text, NULL)) {
      len = text.len;
      if (len > TEXT_MAX) {
         len = TEXT_MAX;
         while (len && (text.data[len] & 0xC0) == 0x80) {
            len--;
         }
      }
      printf (" %.*s%s", (int) len, (const char *) text.data, len < text.len ? "…" : "");
   }
   ecl_buf_cleanup (&text);
}

static void
print_line (const told_t *told, const ecl_preview_line_t *line)
{
   static const int indents[] = {
      [ECL_PREVIEW_STEP] = 2, [ECL_PREVIEW_PART] = 6, [ECL_PREVIEW_ROW] = 6, [ECL_PREVIEW_WRITE] = 8};
   const char *colour = line->fails ? ECL_CLI_RED : ECL_CLI_PLAIN;

   if (line->kind == ECL_PREVIEW_STEP) {
      printf ("%*s%zu %s", indents[line->kind], "", line->step + 1, line->name);
   } else {
      printf ("%*s%s", indents[line->kind], "", line->name);
   }
   if (*line->collection) {
      printf (" %s", line->collection);
   }
   /* What a step is stands in its file; what a row makes of it is only to be seen here. */
   if (line->spec.type != ECL_MISSING && line->kind != ECL_PREVIEW_STEP && line->kind != ECL_PREVIEW_PART) {
      print_spec (&line->spec);
   }
   if (*line->says) {
      printf (": %s%s%s", ecl_cli_colour (told->cli, colour), line->says, ecl_cli_colour (told->cli, ECL_CLI_PLAIN));
   }
   putchar ('\n');
}

static void
on_line (void *context, const ecl_preview_line_t *line)
{
   static const char *const kinds[] = {"step", "part", "row", "write"};
   told_t *told = context;
   char buffer[16];
   const char *key;
   bson_t one;

   /* What waits or fails as things are may do so no more once its turn comes; what needs transactions does. */
   told->blocked |= line->fails && strcmp (line->name, "transaction") == 0;
   if (!told->steps) {
      print_line (told, line);
      return;
   }
   bson_uint32_to_string (told->n++, &key, buffer, sizeof buffer);
   BSON_APPEND_DOCUMENT_BEGIN (told->steps, key, &one);
   BSON_APPEND_INT32 (&one, "step", (int32_t) line->step + 1);
   BSON_APPEND_UTF8 (&one, "kind", kinds[line->kind]);
   BSON_APPEND_UTF8 (&one, "name", line->name);
   if (*line->collection) {
      BSON_APPEND_UTF8 (&one, "collection", line->collection);
   }
   if (line->documents >= 0) {
      BSON_APPEND_INT64 (&one, "documents", line->documents);
   } else if (line->documents == ECL_PREVIEW_TOO_SLOW) {
      BSON_APPEND_BOOL (&one, "not_counted", true);
   }
   ecl_append_value (&one, "what", &line->spec);
   BSON_APPEND_UTF8 (&one, "says", line->says);
   if (line->fails) {
      BSON_APPEND_BOOL (&one, "fails", true);
   }
   bson_append_document_end (told->steps, &one);
}

static bool
plan_one (ecl_remote_t *remote, const ecl_placed_t *placed, int64_t limit, bool *blocked)
{
   /* Of a run that did not end, what is done is not done again. */
   bool resumed = placed->record && !placed->record->down && placed->record->state != ECL_CHANGELOG_REVERTED;
   size_t first = resumed ? (size_t) placed->record->steps : 0;
   const ecl_cli_t *cli = remote->cli;
   told_t told = {.cli = cli};
   bson_t line = BSON_INITIALIZER, steps;
   ecl_preview_options_t options = {.world = remote->world,
                                    .database = remote->database,
                                    .project = remote->project,
                                    .transactions = remote->server.transactions,
                                    .limit = limit,
                                    .rows = ROWS,
                                    .tell = on_line,
                                    .context = &told};
   const ecl_work_t *work = placed->work;
   bson_error_t error;
   bool good;

   if (cli->json) {
      BSON_APPEND_UTF8 (&line, "migration", placed->name);
      BSON_APPEND_UTF8 (&line, "file", work->file);
      BSON_APPEND_UTF8 (&line, "description", work->description);
      BSON_APPEND_BOOL (&line, "late", placed->kind == ECL_PLACE_LATE);
      BSON_APPEND_INT64 (&line, "done", (int64_t) first);
      BSON_APPEND_ARRAY_BEGIN (&line, "steps", &steps);
      told.steps = &steps;
   } else {
      printf ("%s%s%s%s%s%s\n", ecl_cli_colour (cli, ECL_CLI_BOLD), placed->name, ecl_cli_colour (cli, ECL_CLI_PLAIN),
              *work->description ? ": " : "", work->description,
              placed->kind == ECL_PLACE_LATE ? " (arrives late: one behind it is applied already)" : "");
      if (first) {
         printf ("  goes on behind step %zu of %zu\n", first, work->up.n_acts);
      }
   }
   good = ecl_preview (&options, work, first, &error);
   if (cli->json) {
      bson_append_array_end (&line, &steps);
      if (good) {
         ecl_cli_json (&line);
      }
   }
   if (!good) {
      ecl_cli_fail (cli, "%s: %s", placed->name, error.message);
   }
   *blocked |= told.blocked;
   bson_destroy (&line);
   return good;
}

bool
ecl_plan_works (ecl_remote_t *remote, int64_t limit, bool *blocked)
{
   ecl_works_t works = {0};
   size_t n, pending = 0;
   bool good = true;

   (void) ecl_project_works (remote->project, &n);
   if (!n) {
      return true;
   }
   good = ecl_works_open (&works, remote);
   if (good && !ecl_works_unchanged (&works)) {
      *blocked = true;
   }
   for (size_t i = 0; i < works.runner.n && good; i++) {
      if (works.runner.list[i].kind == ECL_PLACE_DOWN) {
         bson_error_t error;

         ecl_runner_say_down (&works.runner.list[i], &error);
         ecl_cli_fail (remote->cli, "%s", error.message);
         *blocked = true;
      }
      if (ecl_placed_pending (&works.runner.list[i])) {
         good = plan_one (remote, &works.runner.list[i], limit, blocked);
         pending++;
      }
   }
   if (good && pending > 1 && !remote->cli->json) {
      ecl_cli_note (remote->cli, "counts are of what is there now: what the steps before do is not in them");
   }
   ecl_works_close (&works);
   return good;
}
