/* eclose adopt: takes over the history that another tool left in the database. */
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/works.h"
#include "migrate/adopt.h"

static const char *const kinds[] = {
   [ECL_ADOPT_NEW] = "new",
   [ECL_ADOPT_RECORDED] = "recorded",
   [ECL_ADOPT_NOT_APPLIED] = "not applied",
   [ECL_ADOPT_UNFINISHED] = "unfinished",
   [ECL_ADOPT_AMBIGUOUS] = "ambiguous",
};

static bool
find (ecl_adopt_t *adopt, ecl_works_t *works)
{
   ecl_remote_t *remote = works->remote;
   bson_error_t error;

   if (!ecl_adopt_find (adopt, remote->world, remote->database, ecl_cli_option (remote->cli, "collection"),
                        remote->project, &works->runner.history, &error)) {
      ecl_cli_fail (remote->cli, "%s", error.message);
      return false;
   }
   return true;
}

static void
print_json (const ecl_adopted_t *entry)
{
   bson_t line = BSON_INITIALIZER;

   BSON_APPEND_UTF8 (&line, "tool", entry->tool);
   BSON_APPEND_UTF8 (&line, "collection", entry->collection);
   BSON_APPEND_UTF8 (&line, "entry", entry->entry);
   if (entry->applied) {
      BSON_APPEND_DATE_TIME (&line, "applied", entry->applied);
   }
   BSON_APPEND_UTF8 (&line, "name", entry->name);
   if (entry->work) {
      BSON_APPEND_UTF8 (&line, "file", entry->work->file);
   }
   BSON_APPEND_UTF8 (&line, "state", kinds[entry->kind]);
   ecl_cli_json (&line);
   bson_destroy (&line);
}

static void
add_row (ecl_table_t *table, const ecl_adopted_t *entry)
{
   char at[32];

   ecl_table_cell (table, "  %s", entry->entry);
   ecl_table_cell (table, "%s", ecl_cli_time (entry->applied, at));
   switch (entry->kind) {
   case ECL_ADOPT_NEW:
      if (entry->work) {
         ecl_table_cell (table, "is %s", entry->work->file);
      } else {
         ecl_table_cell (table, "no file here: recorded as %s", entry->name);
      }
      break;
   case ECL_ADOPT_RECORDED:
      ecl_table_cell (table, "in the changelog already");
      break;
   case ECL_ADOPT_NOT_APPLIED:
      ecl_table_cell (table, "not applied: left as it is");
      break;
   case ECL_ADOPT_UNFINISHED:
      ecl_table_cell (table, "%s began to run here and did not end: `eclose up` ends it", entry->name);
      break;
   case ECL_ADOPT_AMBIGUOUS:
      ecl_table_cell (table, "several files here could be it: %s and others", entry->work->file);
      break;
   }
}

static void
print_text (const ecl_cli_t *cli, const ecl_adopt_t *adopt)
{
   for (size_t i = 0; i < adopt->n;) {
      const char *collection = adopt->entries[i].collection;
      const char *const headings[] = {"  entry", "applied", "here"};
      size_t applied = 0, end = i;
      ecl_table_t table;

      ecl_table_init (&table, 3, headings);
      for (; end < adopt->n && adopt->entries[end].collection == collection; end++) {
         applied += adopt->entries[end].kind != ECL_ADOPT_NOT_APPLIED;
         add_row (&table, &adopt->entries[end]);
      }
      printf ("%s%s%s: the history of %s, %zu applied\n", ecl_cli_colour (cli, ECL_CLI_BOLD), collection,
              ecl_cli_colour (cli, ECL_CLI_PLAIN), adopt->entries[i].tool, applied);
      ecl_table_print (&table, cli->colour, stdout);
      ecl_table_cleanup (&table);
      i = end;
   }
}

/* How many are to be marked. False after a message, where one must be seen to first. */
static bool
count (const ecl_cli_t *cli, const ecl_adopt_t *adopt, size_t *n)
{
   size_t bad = 0;

   *n = 0;
   for (size_t i = 0; i < adopt->n; i++) {
      *n += adopt->entries[i].kind == ECL_ADOPT_NEW;
      bad += adopt->entries[i].kind == ECL_ADOPT_UNFINISHED || adopt->entries[i].kind == ECL_ADOPT_AMBIGUOUS;
   }
   if (*adopt->refused) {
      ecl_cli_note (cli, "%s", adopt->refused);
   }
   if (bad) {
      ecl_cli_fail (cli, "%zu %s to be seen to first, so nothing is marked", bad, bad == 1 ? "is" : "are");
   }
   return !bad;
}

static ecl_exit_t
mark (ecl_works_t *works, ecl_adopt_t *adopt)
{
   for (size_t i = 0; i < adopt->n; i++) {
      const ecl_adopted_t *entry = &adopt->entries[i];
      const ecl_placed_t placed = {.name = entry->name, .work = entry->work, .record = entry->record};

      if (entry->kind == ECL_ADOPT_NEW &&
          !ecl_works_mark (works, &placed, ecl_adopt_origin (adopt, entry), entry->applied)) {
         return ECL_EXIT_FAILED;
      }
   }
   return ECL_EXIT_OK;
}

static ecl_exit_t
run (ecl_cli_t *cli)
{
   ecl_exit_t status = ECL_EXIT_FAILED;
   ecl_remote_t remote = {0};
   ecl_works_t works = {0};
   ecl_adopt_t adopt;
   bool yes = ecl_cli_flag (cli, "yes");
   size_t n;

   ecl_adopt_init (&adopt);
   if (!ecl_remote_open (&remote, cli) || !ecl_works_open (&works, &remote)) {
      goto done;
   }
   if (yes) {
      /* What is read before the lease is granted may be another's work. */
      status = ecl_works_acquire (&works, 0);
      if (status != ECL_EXIT_OK) {
         goto done;
      }
      status = ECL_EXIT_FAILED;
   }
   if (!find (&adopt, &works)) {
      goto done;
   }
   for (size_t i = 0; i < adopt.n && cli->json; i++) {
      print_json (&adopt.entries[i]);
   }
   if (!cli->json) {
      print_text (cli, &adopt);
   }
   if (!count (cli, &adopt, &n)) {
      goto done;
   }
   status = yes ? mark (&works, &adopt) : ECL_EXIT_OK;
   if (status != ECL_EXIT_OK) {
      goto done;
   }
   if (!adopt.n) {
      ecl_cli_note (cli, "no history of migrate-mongo, pymongo-migrate, mongodb-migrations or beanie in %s",
                    remote.database);
   } else if (yes || !n) {
      ecl_cli_note (cli, "%zu marked as applied", n);
   } else {
      ecl_cli_note (cli, "%zu would be marked as applied; nothing was written: `eclose adopt --yes` does", n);
   }

done:
   ecl_adopt_cleanup (&adopt);
   ecl_works_close (&works);
   ecl_remote_close (&remote);
   return status;
}

static const ecl_option_t options[] = {
   {"yes", 'y', NULL, "mark them; without it they are only shown"},
   {"collection", 0, "NAME", "the history is in this collection; without it all are looked through"},
   {NULL},
};

const ecl_command_t ecl_cmd_adopt = {
   .name = "adopt",
   .arguments = "",
   .summary = "take over the history of another tool",
   .about = "Finds the histories that migrate-mongo, pymongo-migrate, mongodb-migrations and\n"
            "beanie left in the database, by the shape of their documents, and shows what is\n"
            "applied; with --yes marks it as applied in eclose's own changelog, with where it\n"
            "came from. Nothing is run, and nothing of theirs is changed.",
   .options = options,
   .flags = ECL_COMMAND_PROJECT | ECL_COMMAND_SERVER | ECL_COMMAND_FORMAT,
   .run = run,
};
