/* Histories of other tools: see adopt.h. */
#include "migrate/adopt.h"

#include "run/insist.h"
#include "run/scan.h"
#include "store/store.h"

#include <stdlib.h>

#define ORIGIN "adopted from "

/* ---- shapes ---- */

typedef enum { TEXT = 1, DATE = 2, NOTHING = 4, NUMBER = 8, TRUTH = 16 } type_t;

typedef struct {
   const char *key;
   unsigned types;
   bool required;
} part_t;

typedef struct {
   const char *name;
   part_t parts[5];
   const char *entry, *when; /* the fields of the name and the time */
   bool log;                 /* a line for each run, not for each migration */
   bool time_only;           /* the entry is the time in front of the file's name */
} tool_t;

static const tool_t tools[] = {
   {"migrate-mongo",
    {{"fileName", TEXT, true}, {"appliedAt", DATE, true}, {"migrationBlock", NUMBER, false}, {"fileHash", TEXT, false}},
    "fileName",
    "appliedAt",
    false,
    false},
   {"pymongo-migrate", {{"name", TEXT, true}, {"applied", DATE | NOTHING, true}}, "name", "applied", false, false},
   {"mongodb-migrations",
    {{"migration_datetime", TEXT, true}, {"created_at", DATE, true}},
    "migration_datetime",
    "created_at",
    false,
    true},
   {"beanie",
    {{"ts", DATE, true}, {"name", TEXT, true}, {"is_current", TRUTH, true}, {"revision_id", TEXT | NOTHING, false}},
    "name",
    "ts",
    true,
    false},
};

static bool
has_type (const ecl_value_t *value, unsigned types)
{
   switch (value->type) {
   case BSON_TYPE_UTF8:
      return (types & TEXT) && value->len && !memchr (value->u.str, '\0', value->len);
   case BSON_TYPE_DATE_TIME:
      return types & DATE;
   case BSON_TYPE_NULL:
      return types & NOTHING;
   case BSON_TYPE_BOOL:
      return types & TRUTH;
   default:
      return (types & NUMBER) && ecl_is_number (value);
   }
}

static bool
has_shape (const tool_t *tool, const ecl_value_t *document)
{
   unsigned found = 0, required = 0;
   ecl_field_t field;
   ecl_iter_t iter;

   for (unsigned i = 0; tool->parts[i].key; i++) {
      required |= tool->parts[i].required ? 1u << i : 0;
   }
   ecl_iter_init (&iter, document);
   while (ecl_iter_field (&iter, &field)) {
      unsigned i = 0;

      if (ecl_key_is (&field, "_id")) {
         continue;
      }
      while (tool->parts[i].key && !ecl_key_is (&field, tool->parts[i].key)) {
         i++;
      }
      if (!tool->parts[i].key || !has_type (&field.value, tool->parts[i].types)) {
         return false;
      }
      found |= 1u << i;
   }
   return (found & required) == required;
}

static const tool_t *
tool_of (const ecl_value_t *document)
{
   for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
      if (has_shape (&tools[i], document)) {
         return &tools[i];
      }
   }
   return NULL;
}

/* ---- names ---- */

/* "20200102030405-x.js" without what says the language. */
static size_t
stem (const char *entry)
{
   static const char *const endings[] = {".js", ".cjs", ".mjs", ".ts", ".cts", ".mts", ".py", NULL};
   size_t len = strlen (entry);

   for (size_t i = 0; endings[i]; i++) {
      size_t n = strlen (endings[i]);

      if (len > n && strcmp (entry + len - n, endings[i]) == 0) {
         return len - n;
      }
   }
   return len;
}

/* migrate-mongo writes a hyphen behind the time, where eclose has an underscore. */
static bool
same_name (const char *a, size_t len, const char *b)
{
   for (size_t i = 0; i < len; i++) {
      if ((a[i] == '-' ? '_' : a[i]) != (b[i] == '-' ? '_' : b[i])) {
         return false;
      }
   }
   return b[len] == '\0';
}

/* The project's files that the entry may be; returns how many. */
static size_t
find_work (const ecl_project_t *project, const ecl_adopted_t *entry, bool time_only, const ecl_work_t **work)
{
   size_t n, found = 0, len = stem (entry->entry);
   const ecl_work_t *works = ecl_project_works (project, &n);

   *work = NULL;
   for (size_t i = 0; i < n; i++) {
      const char *name = works[i].name;

      if (time_only ? strncmp (name, entry->entry, strlen (entry->entry)) == 0 && name[strlen (entry->entry)] == '_'
                    : same_name (entry->entry, len, name)) {
         *work = &works[i];
         found++;
      }
   }
   return found;
}

static void
place (ecl_adopt_t *self, ecl_adopted_t *entry, bool time_only, const ecl_project_t *project,
       const ecl_history_t *history)
{
   size_t found = find_work (project, entry, time_only, &entry->work);
   const ecl_changelog_t *record;

   entry->name = entry->work ? entry->work->name : ecl_arena_strndup (&self->arena, entry->entry, stem (entry->entry));
   record = entry->record = ecl_history_find (history, entry->name);
   if (entry->kind == ECL_ADOPT_NOT_APPLIED) {
      return;
   }
   if (found > 1) {
      entry->kind = ECL_ADOPT_AMBIGUOUS;
   } else if (record && (record->state == ECL_CHANGELOG_RUNNING || record->state == ECL_CHANGELOG_FAILED)) {
      entry->kind = ECL_ADOPT_UNFINISHED;
   } else {
      /* One that was taken back here since is none of theirs any more. */
      entry->kind = record ? ECL_ADOPT_RECORDED : ECL_ADOPT_NEW;
   }
   for (size_t i = 0; i < (size_t) (entry - self->entries) && entry->kind == ECL_ADOPT_NEW; i++) {
      if (self->entries[i].kind == ECL_ADOPT_NEW && strcmp (self->entries[i].name, entry->name) == 0) {
         entry->kind = ECL_ADOPT_RECORDED; /* by a history that was read before it */
      }
   }
}

/* ---- reading ---- */

static ecl_adopted_t *
add (ecl_adopt_t *self)
{
   if (self->n == self->cap) {
      self->cap = self->cap ? 2 * self->cap : 64;
      self->entries = bson_realloc (self->entries, self->cap * sizeof *self->entries);
   }
   memset (&self->entries[self->n], 0, sizeof *self->entries);
   return &self->entries[self->n++];
}

/* beanie's log has a line for each run: "this one is the current one now", also for the one before, when one was taken
 * back. Files run in order of their names, so what has a larger one than the current one was taken back; "root" is the
 * place before the first, and where no line is current, all were. The order of the lines is not needed: their times are
 * local, and those of two processes may come in any order. */
static void
end_log (ecl_adopt_t *self, size_t first, const char *current)
{
   size_t kept = first;

   for (size_t i = first; i < self->n; i++) {
      if (current && strcmp (current, "root") != 0 && strcmp (self->entries[i].entry, "root") != 0 &&
          strcmp (self->entries[i].entry, current) <= 0) {
         self->entries[kept++] = self->entries[i];
      }
   }
   self->n = kept;
}

static void
take_document (ecl_adopt_t *self, const tool_t *tool, const char *collection, size_t first, const ecl_value_t *document,
               const char **current)
{
   ecl_value_t name = ecl_document_get (document, tool->entry, strlen (tool->entry));
   ecl_value_t when = ecl_document_get (document, tool->when, strlen (tool->when));
   ecl_adopted_t entry = {.tool = tool->name,
                          .collection = collection,
                          .entry = ecl_arena_strndup (&self->arena, name.u.str, name.len),
                          .applied = when.type == BSON_TYPE_DATE_TIME ? when.u.i64 : 0,
                          .kind = when.type == BSON_TYPE_NULL ? ECL_ADOPT_NOT_APPLIED : ECL_ADOPT_NEW};
   ecl_adopted_t *known = NULL;

   if (tool->log) {
      ecl_value_t flag = ecl_document_get (document, "is_current", 10);

      *current = ecl_truthy (&flag) ? entry.entry : *current;
   }
   for (size_t i = first; i < self->n && !known; i++) {
      known = strcmp (self->entries[i].entry, entry.entry) == 0 ? &self->entries[i] : NULL;
   }
   if (!known) {
      *add (self) = entry;
   } else if (tool->log == (entry.applied < known->applied)) {
      /* Of a log the first line is the one of when it was applied; migrate-mongo runs a file again where its hash has
       * changed. */
      *known = entry;
   }
}

static int
compare_times (const void *a, const void *b)
{
   const ecl_adopted_t *x = a, *y = b;

   if (x->applied != y->applied) {
      return x->applied < y->applied ? -1 : 1;
   }
   return strcmp (x->entry, y->entry);
}

/* The whole of a collection whose first document has that shape. */
static bool
read_history (ecl_adopt_t *self, ecl_world_t *world, const char *database, const char *collection, const tool_t *tool,
              bool *good, bson_error_t *error)
{
   const char *name = ecl_arena_strndup (&self->arena, collection, strlen (collection));
   bson_t all = BSON_INITIALIZER;
   const ecl_value_t *document;
   const char *current;
   bool ok;
   size_t first = self->n;
   ecl_scan_t scan;

   ecl_scan_init (&scan);
   ecl_scan_start (&scan, &all, true);
   do {
      self->n = first;
      current = NULL;
      *good = true;
      while ((ok = ecl_scan_next (&scan, world, database, collection, 1000, &document, error)) && document && *good) {
         *good = has_shape (tool, document);
         if (*good) {
            take_document (self, tool, name, first, document, &current);
         } else if (!*self->refused) {
            ecl_value_t id = ecl_document_get (document, "_id", 3);

            snprintf (self->refused, sizeof self->refused,
                      "%s looks like a history of %s, but its document %s is none of such a history: nothing is taken "
                      "from it",
                      collection, tool->name, ecl_value_text (&self->arena, &id));
         }
      }
   } while (!ok && ecl_scan_again (&scan, world));
   ecl_scan_cleanup (&scan);
   bson_destroy (&all);
   if (!*good) {
      self->n = first;
   } else if (tool->log) {
      end_log (self, first, current);
   }
   if (self->n > first) {
      qsort (self->entries + first, self->n - first, sizeof *self->entries, compare_times);
   }
   return ok;
}

/* The tool whose history a collection may be; NULL: none. */
static bool
probe (ecl_world_t *world, const char *database, const char *collection, const tool_t **tool, bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, reply, first;
   bool good;

   *tool = NULL;
   BSON_APPEND_UTF8 (&command, "find", collection);
   BSON_APPEND_INT32 (&command, "limit", 1);
   BSON_APPEND_BOOL (&command, "singleBatch", true);
   good = ecl_insist_call (world, database, &command, &reply, error);
   if (good && ecl_store_first (&reply, &first) && ecl_bson_validate (bson_get_data (&first), first.len, NULL)) {
      ecl_value_t document = ecl_raw_document (bson_get_data (&first), first.len);

      *tool = tool_of (&document);
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

static int
compare_names (const void *a, const void *b)
{
   return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* The names of all collections that are no views and neither eclose's nor the server's. */
static bool
list_collections (ecl_adopt_t *self, ecl_world_t *world, const char *database, const char ***names, size_t *n,
                  bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, reply, all = BSON_INITIALIZER;
   const ecl_value_t *item;
   size_t cap = 0;
   ecl_scan_t scan;
   bool good;

   *names = NULL;
   BSON_APPEND_INT32 (&command, "listCollections", 1);
   BSON_APPEND_BOOL (&command, "nameOnly", true);
   ecl_store_cursor (0, &command);
   ecl_scan_init (&scan);
   ecl_scan_start (&scan, &all, false);
   do {
      *n = 0;
      good = ecl_insist_call (world, database, &command, &reply, error) && ecl_scan_take (&scan, &reply, error);
      bson_destroy (&reply);
      while (good && (good = ecl_scan_next (&scan, world, database, "$cmd.listCollections", 1000, &item, error)) &&
             item) {
         ecl_value_t name = ecl_document_get (item, "name", 4), type = ecl_document_get (item, "type", 4);
         bool plain = type.type != BSON_TYPE_UTF8 || (type.len == 10 && memcmp (type.u.str, "collection", 10) == 0);

         if (!plain || name.type != BSON_TYPE_UTF8 || ecl_project_bad_collection (name.u.str, name.len)) {
            continue;
         }
         if (*n == cap) {
            cap = cap ? 2 * cap : 64;
            *names = bson_realloc (*names, cap * sizeof **names);
         }
         (*names)[(*n)++] = ecl_arena_strndup (&self->arena, name.u.str, name.len);
      }
   } while (!good && ecl_scan_again (&scan, world));
   if (*n) {
      qsort (*names, *n, sizeof **names, compare_names);
   }
   ecl_scan_cleanup (&scan);
   bson_destroy (&all);
   bson_destroy (&command);
   return good;
}

/* ---- the whole ---- */

void
ecl_adopt_init (ecl_adopt_t *self)
{
   memset (self, 0, sizeof *self);
   ecl_arena_init (&self->arena);
}

void
ecl_adopt_cleanup (ecl_adopt_t *self)
{
   bson_free (self->entries);
   ecl_arena_cleanup (&self->arena);
}

bool
ecl_adopt_find (ecl_adopt_t *self, ecl_world_t *world, const char *database, const char *collection,
                const ecl_project_t *project, const ecl_history_t *history, bson_error_t *error)
{
   const char **names = NULL;
   bool ok = true, good;
   size_t n = 1;

   self->n = 0;
   *self->refused = '\0';
   ecl_arena_reset (&self->arena);
   if (!collection && !list_collections (self, world, database, &names, &n, error)) {
      bson_free (names);
      return false;
   }
   for (size_t i = 0; i < n && ok; i++) {
      const char *name = collection ? collection : names[i];
      size_t first = self->n;
      const tool_t *tool;

      ok = probe (world, database, name, &tool, error);
      if (ok && tool) {
         ok = read_history (self, world, database, name, tool, &good, error);
         for (size_t k = first; k < self->n && ok; k++) {
            place (self, &self->entries[k], tool->time_only, project, history);
         }
      } else if (ok && collection) {
         ok = ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID,
                        "%s holds no history of migrate-mongo, pymongo-migrate, mongodb-migrations or beanie", name);
      }
   }
   if (ok && collection && *self->refused) {
      ok = ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "%s", self->refused);
   }
   bson_free (names);
   return ok;
}

const char *
ecl_adopt_origin (ecl_adopt_t *self, const ecl_adopted_t *entry)
{
   return ecl_arena_printf (&self->arena, ORIGIN "%s (%s: %s)", entry->tool, entry->collection, entry->entry);
}

bool
ecl_adopt_is_origin (const char *origin)
{
   return origin && strncmp (origin, ORIGIN, strlen (ORIGIN)) == 0;
}
