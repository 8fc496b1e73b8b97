/* Database migrations: a file, its name, its checksum, and all of them in order. See work.h. */
#include "project/work-private.h"

#include <stdlib.h>

static const char *const file_keys[] = {"description", "up", "down", "transaction", "repeatable", NULL};

/* ---- one file ---- */

static void
read_way (ecl_work_reader_t *reader, const ecl_field_t *field, const ecl_field_t *transaction, ecl_work_way_t *way)
{
   bool all = transaction->key && transaction->value.type == BSON_TYPE_BOOL && transaction->value.u.i64;
   ecl_act_t *whole;

   if (ecl_key_is (field, "down") && ecl_is_string (&field->value) && field->value.len == 12 &&
       memcmp (field->value.u.str, "irreversible", 12) == 0) {
      way->kind = ECL_WORK_IRREVERSIBLE;
      return;
   }
   reader->down = ecl_key_is (field, "down");
   reader->transaction = all ? ecl_at (transaction) : NULL;
   ecl_work_read_acts (reader, field, &way->acts, &way->n_acts);
   reader->transaction = NULL;
   way->kind = ECL_WORK_ACTS;
   if (all && way->n_acts) {
      /* All steps in one transaction are one step. */
      whole = ecl_arena_new (&reader->project->arena, ecl_act_t);
      *whole = (ecl_act_t){.kind = ECL_ACT_TRANSACTION,
                           .at = ecl_at (transaction),
                           .spec = field->value,
                           .args = memset (ecl_arena_array (&reader->project->arena, ecl_field_t, ECL_ARG_COUNT_OF), 0,
                                           ECL_ARG_COUNT_OF * sizeof (ecl_field_t)),
                           .acts = way->acts,
                           .n_acts = way->n_acts};
      way->acts = whole;
      way->n_acts = 1;
   }
}

static void
read_file (ecl_work_reader_t *reader)
{
   ecl_value_t root = ecl_raw_document (reader->text->doc, reader->text->len);
   ecl_field_t field, up = {0}, down = {0}, transaction = {0};
   ecl_iter_t iter;

   ecl_iter_init (&iter, &root);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "description")) {
         ecl_work_read_text (reader, &field, &reader->work->description);
      } else if (ecl_key_is (&field, "up")) {
         up = field;
      } else if (ecl_key_is (&field, "down")) {
         down = field;
      } else if (ecl_key_is (&field, "transaction")) {
         transaction = field;
         if (field.value.type != BSON_TYPE_BOOL) {
            reader->ok = ecl_project_wrong_type (reader->text, reader->diags, &field, "true or false");
         }
      } else if (ecl_key_is (&field, "repeatable")) {
         ecl_work_error (reader, ecl_at (&field), "repeatable goes with a step: its reason is about that one");
      } else {
         reader->ok = ecl_project_unknown_key (reader->text, reader->diags, &field, file_keys);
      }
   }
   if (!up.key) {
      ecl_work_error (reader, reader->text->doc, "up is missing");
      return;
   }
   read_way (reader, &up, &transaction, &reader->work->up);
   if (down.key) {
      read_way (reader, &down, &transaction, &reader->work->down);
   }
}

bool
ecl_work_named (const char *base)
{
   size_t digits = strspn (base, "0123456789"), more = 0;

   if (base[digits] == 'T') {
      more = 1 + strspn (base + digits + 1, "0123456789");
   }
   return digits >= 8 && more != 1 && base[digits + more] == '_' && base[digits + more + 1] &&
          base[digits + more + 1] != '.';
}

/* The checksum does not change where git changes line ends. */
static void
make_checksum (const ecl_text_source_t *source, char text[ECL_SHA256_TEXT])
{
   const char *bytes = source->bytes;
   char *plain = bson_malloc (source->len + 1);
   size_t n = 0;

   for (size_t i = 0; i < source->len; i++) {
      if (bytes[i] != '\r' || i + 1 == source->len || bytes[i + 1] != '\n') {
         plain[n++] = bytes[i];
      }
   }
   ecl_sha256_text (plain, n, text);
   bson_free (plain);
}

static ecl_work_t *
new_work (ecl_project_t *self, const char *base, size_t len, const ecl_text_source_t *source)
{
   ecl_work_t *work;

   if (self->n_works == self->cap_works) {
      self->cap_works = self->cap_works ? 2 * self->cap_works : 16;
      self->works = bson_realloc (self->works, self->cap_works * sizeof *self->works);
   }
   work = &self->works[self->n_works++];
   memset (work, 0, sizeof *work);
   work->name = ecl_arena_strndup (&self->arena, base, len);
   work->file = ecl_arena_strndup (&self->arena, source->name, strlen (source->name));
   work->description = "";
   make_checksum (source, work->checksum);
   return work;
}

bool
ecl_work_add (ecl_project_t *self, const char *base, const ecl_text_source_t *source, ecl_diags_t *diags)
{
   const char *ending = strrchr (base, '.');
   ecl_work_reader_t reader = {.project = self, .diags = diags, .ok = true};
   ecl_text_t *text;

   if (!ending || (strcmp (ending, ".yaml") != 0 && strcmp (ending, ".json") != 0)) {
      return ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, source->name, 0, 0, NULL,
                            ending && strcmp (ending, ".yml") == 0
                               ? "end the name in .yaml, not .yml"
                               : "a database migration is a .yaml or .json file, or an executable: chmod +x?");
   }
   text = ecl_project_text (self);
   reader.ok = ecl_text_read (text, source, ECL_TEXT_DEFAULT, diags);
   reader.text = text;
   reader.work = new_work (self, base, (size_t) (ending - base), source);
   reader.work->text = text;
   if (text->doc) {
      read_file (&reader);
   }
   return reader.ok;
}

bool
ecl_project_add_program (ecl_project_t *self, const char *path, const ecl_text_source_t *source, ecl_diags_t *diags)
{
   const char *ending = strrchr (path, '.');
   ecl_work_t *work;

   BSON_ASSERT (!self->linked);
   if (strchr (path, '/') || !ecl_work_named (path)) {
      return ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, source->name, 0, 0, NULL,
                            "an executable is a database migration, whose name is <time>_<name>, such as "
                            "20261122T1000_reindex.py");
   }
   work = new_work (self, path, ending ? (size_t) (ending - path) : strlen (path), source);
   work->up.kind = work->down.kind = ECL_WORK_PROGRAM;
   return true;
}

/* ---- all of them ---- */

static int
compare_works (const void *a, const void *b)
{
   const ecl_work_t *x = a, *y = b;
   int order = strcmp (x->name, y->name);

   return order ? order : strcmp (x->file, y->file);
}

static bool
check_version (const ecl_project_t *self, const ecl_work_t *work, const ecl_act_t *act, ecl_diags_t *diags)
{
   const ecl_value_t *name = ecl_act_arg (act, ECL_ARG_COLLECTION), *to = ecl_act_arg (act, ECL_ARG_TO);
   char collection[256], text[64];
   const ecl_chain_t *chain;
   ecl_version_t version;
   bson_error_t error;

   if (!ecl_is_string (name) || name->len >= sizeof collection) {
      return true; /* reported already */
   }
   snprintf (collection, sizeof collection, "%.*s", (int) name->len, name->u.str);
   chain = ecl_project_chain (self, collection);
   if (!chain) {
      return ecl_project_error (work->text, diags, ECL_ERROR_CHAIN, ecl_at (&act->args[ECL_ARG_COLLECTION]),
                                "the project has no document migrations of \"%s\"", collection);
   }
   if (!act->args[ECL_ARG_TO].key) {
      return true;
   }
   if (ecl_is_string (to)) {
      snprintf (text, sizeof text, "%.*s", (int) to->len, to->u.str);
   } else {
      snprintf (text, sizeof text, "%lld", (long long) to->u.i64);
   }
   return ecl_chain_parse_version (chain, text, &version, &error) ||
          ecl_project_error (work->text, diags, ECL_ERROR_CHAIN, ecl_at (&act->args[ECL_ARG_TO]), "%s", error.message);
}

static bool
check_acts (const ecl_project_t *self, const ecl_work_t *work, const ecl_work_way_t *way, ecl_diags_t *diags)
{
   bool ok = true;

   for (size_t i = 0; i < way->n_acts; i++) {
      const ecl_act_t *act = &way->acts[i];

      if (act->kind == ECL_ACT_BACKFILL || act->kind == ECL_ACT_VERIFY ||
          (act->kind == ECL_ACT_VALIDATOR &&
           (ecl_act_flag (act, ECL_ARG_MIXED) || (!act->args[ECL_ARG_SCHEMA].key && !act->args[ECL_ARG_FILTER].key &&
                                                  !act->args[ECL_ARG_LEVEL].key && !act->args[ECL_ARG_ACTION].key)))) {
         ok &= check_version (self, work, act, diags);
      }
   }
   return ok;
}

bool
ecl_work_link (ecl_project_t *self, ecl_diags_t *diags)
{
   bool ok = true;

   if (self->n_works) {
      qsort (self->works, self->n_works, sizeof *self->works, compare_works);
   }
   for (size_t i = 0; i < self->n_works; i++) {
      const ecl_work_t *work = &self->works[i];

      if (i && strcmp (work->name, work[-1].name) == 0) {
         ok = ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, work->file, 0, 0, NULL,
                             "%s has the same name: endings do not count", work[-1].file);
      }
      /* Both, so that one run shows every problem. */
      ok = check_acts (self, work, &work->up, diags) && ok;
      ok = check_acts (self, work, &work->down, diags) && ok;
   }
   return ok;
}

const ecl_work_t *
ecl_project_works (const ecl_project_t *self, size_t *n)
{
   *n = self->n_works;
   return self->works;
}

const ecl_work_t *
ecl_project_work (const ecl_project_t *self, const char *name)
{
   for (size_t i = 0; i < self->n_works; i++) {
      if (strcmp (self->works[i].name, name) == 0) {
         return &self->works[i];
      }
   }
   return NULL;
}
