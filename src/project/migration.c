/* Document migrations: a file, its name, and all that can be wrong in it. See project.h. */
#include "project/work-private.h"

#include "mql/plan.h"
#include "mql/schema.h"

static const char *const keys[] = {"to", "description", "up", "down", "schema", "examples", NULL};
static const char *const example_keys[] = {"in", "out", "to", NULL};

typedef struct {
   ecl_project_t *project;
   const ecl_chain_t *chain;
   const ecl_text_t *text;
   ecl_diags_t *diags;
   ecl_draft_t *draft;
   bool ok;
} reader_t;

/* ---- pipelines ---- */

/* What the parser of the language says about a pipeline. */
static void
report (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   reader_t *reader = context;

   reader->ok = ecl_text_diag (reader->text, reader->diags, ECL_DIAG_ERROR, ECL_DOMAIN_MQL, code,
                               at ? at : reader->text->doc, "%s", message);
}

static void
check_pipeline (reader_t *reader, const ecl_field_t *field)
{
   ecl_plan_options_t options = {.report = report, .report_context = reader, .update = true, .allow_lookup = true};
   ecl_plan_t *plan = ecl_plan_new (&options);

   if (!ecl_plan_add_pipeline (plan, &field->value, ecl_at (field)) && reader->ok) {
      reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_INVALID, ecl_at (field),
                                      "this pipeline cannot be read");
   }
   ecl_plan_destroy (plan);
}

static void
read_up (reader_t *reader, const ecl_field_t *field)
{
   if (!ecl_is_array (&field->value)) {
      reader->ok = ecl_project_wrong_type (reader->text, reader->diags, field, "a list of stages");
      return;
   }
   reader->draft->step.up = (ecl_way_t){.kind = ECL_WAY_PIPELINE, .stages = field->value, .at = ecl_at (field)};
   check_pipeline (reader, field);
}

static void
read_down (reader_t *reader, const ecl_field_t *field)
{
   if (ecl_is_array (&field->value)) {
      reader->draft->step.down = (ecl_way_t){.kind = ECL_WAY_PIPELINE, .stages = field->value, .at = ecl_at (field)};
      check_pipeline (reader, field);
   } else if (ecl_is_string (&field->value) && field->value.len == 12 &&
              memcmp (field->value.u.str, "irreversible", 12) == 0) {
      reader->draft->step.down = (ecl_way_t){.kind = ECL_WAY_IRREVERSIBLE, .at = ecl_at (field)};
   } else {
      reader->ok = ecl_project_wrong_type (reader->text, reader->diags, field, "a list of stages, or irreversible");
   }
}

/* ---- the other keys ---- */

static void
read_to (reader_t *reader, const ecl_field_t *field)
{
   ecl_version_format_t format = reader->chain->format;
   ecl_step_t *step = &reader->draft->step;

   if (!ecl_version_from_file (format, &field->value, &step->to)) {
      reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_VERSION, ecl_at (field), "to must be %s",
                                      ecl_version_expected (format));
      return;
   }
   reader->draft->to_at = ecl_at (field);
   step->stamp = format == ECL_VERSION_DOTTED && ecl_is_string (&field->value)
                    ? field->value
                    : ecl_version_value (format, step->to, &reader->project->arena);
}

static void
read_example (reader_t *reader, const ecl_field_t *entry, ecl_example_t *example)
{
   bool has_to = false;
   ecl_iter_t iter;
   ecl_field_t field;

   *example = (ecl_example_t){.at = ecl_at (entry)};
   if (!ecl_is_document (&entry->value)) {
      reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_INVALID, ecl_at (entry),
                                      "an example must be {in, out}, found %s", ecl_type_name (entry->value.type));
      return;
   }
   ecl_iter_init (&iter, &entry->value);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "in") || ecl_key_is (&field, "out")) {
         if (!ecl_is_document (&field.value)) {
            reader->ok = ecl_project_wrong_type (reader->text, reader->diags, &field, "a document");
         }
         *(ecl_key_is (&field, "in") ? &example->in : &example->out) = field.value;
      } else if (ecl_key_is (&field, "to")) {
         has_to = true;
         if (!ecl_version_from_file (reader->chain->format, &field.value, &example->to)) {
            reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_VERSION, ecl_at (&field),
                                            "to must be %s", ecl_version_expected (reader->chain->format));
         }
      } else {
         reader->ok = ecl_project_unknown_key (reader->text, reader->diags, &field, example_keys);
      }
   }
   if (ecl_is_missing (&example->in) || ecl_is_missing (&example->out)) {
      reader->ok =
         ecl_project_error (reader->text, reader->diags, ECL_ERROR_INVALID, ecl_at (entry),
                            "%s is missing: an example is {in, out}", ecl_is_missing (&example->in) ? "in" : "out");
   }
   if (!has_to) {
      example->to = reader->draft->step.to;
   }
}

static void
read_examples (reader_t *reader, const ecl_field_t *spec)
{
   ecl_example_t *examples;
   uint32_t n = 0;
   ecl_iter_t iter;
   ecl_field_t entry;

   if (!ecl_is_array (&spec->value)) {
      reader->ok = ecl_project_wrong_type (reader->text, reader->diags, spec, "a list of {in, out}");
      return;
   }
   examples = ecl_arena_array (&reader->project->arena, ecl_example_t, ecl_array_count (&spec->value));
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &entry)) {
      read_example (reader, &entry, &examples[n++]);
   }
   reader->draft->step.examples = examples;
   reader->draft->step.n_examples = n;
}

static void
read_description (reader_t *reader, const ecl_field_t *field)
{
   if (!ecl_is_string (&field->value)) {
      reader->ok = ecl_project_wrong_type (reader->text, reader->diags, field, "a string");
      return;
   }
   reader->draft->step.description = ecl_arena_strndup (&reader->project->arena, field->value.u.str, field->value.len);
}

static void
read_schema (reader_t *reader, const ecl_field_t *field)
{
   ecl_schema_options_t options = {.report = report, .report_context = reader};

   if (!ecl_is_document (&field->value)) {
      reader->ok = ecl_project_wrong_type (reader->text, reader->diags, field, "a $jsonSchema (a mapping)");
      return;
   }
   reader->draft->step.schema = field->value;
   reader->draft->step.schema_at = ecl_at (field);
   ecl_schema_destroy (ecl_schema_new (field, &options));
}

static void
read_file (reader_t *reader)
{
   ecl_value_t root = ecl_raw_document (reader->text->doc, reader->text->len);
   ecl_field_t field, examples = {0};
   bool to = false, up = false;
   ecl_iter_t iter;

   ecl_iter_init (&iter, &root);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "to")) {
         to = true;
         read_to (reader, &field);
      } else if (ecl_key_is (&field, "description")) {
         read_description (reader, &field);
      } else if (ecl_key_is (&field, "up")) {
         up = true;
         read_up (reader, &field);
      } else if (ecl_key_is (&field, "down")) {
         read_down (reader, &field);
      } else if (ecl_key_is (&field, "schema")) {
         read_schema (reader, &field);
      } else if (ecl_key_is (&field, "examples")) {
         examples = field;
      } else {
         reader->ok = ecl_project_unknown_key (reader->text, reader->diags, &field, keys);
      }
   }
   if (examples.key) {
      read_examples (reader, &examples); /* after `to`, which is the default of theirs */
   }
   if (!to || !up) {
      reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_INVALID, reader->text->doc,
                                      !to && !up ? "to and up are missing"
                                      : to       ? "up is missing"
                                                 : "to is missing");
   }
}

/* ---- names of files ---- */

/* Adds an error about the file as a whole. */
static bool
fail_name (ecl_diags_t *diags, const char *file, const char *message)
{
   return ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, file, 0, 0, NULL, "%s", message);
}

static size_t
count_digits (const char *text)
{
   return strspn (text, "0123456789");
}

/* "0002_split_name.yaml" without its ending; false after a report. */
static bool
split_name (const char *file, const char *base, ecl_version_format_t format, size_t *len, ecl_diags_t *diags)
{
   const char *ending = strrchr (base, '.');

   if (ending && (strcmp (ending, ".yml") == 0)) {
      return fail_name (diags, file, "end the name in .yaml, not .yml");
   }
   if (!ending || (strcmp (ending, ".yaml") != 0 && strcmp (ending, ".json") != 0)) {
      return fail_name (diags, file, "not a document migration: expected NNNN_name.yaml or NNNN_name.json");
   }
   *len = (size_t) (ending - base);
   if (format == ECL_VERSION_INTEGER) {
      size_t digits = count_digits (base);

      if (!digits || base[digits] != '_' || digits + 1 >= *len) {
         return fail_name (
            diags, file, "the name must begin with the version: expected NNNN_name.yaml, such as 0002_split_name.yaml");
      }
   }
   return true;
}

/* The number in the name and `to` say the same. Where `to` cannot be read the name says it, so that one mistake does
 * not make a gap, too. */
static void
check_number (reader_t *reader, const char *base)
{
   uint64_t number = 0;
   size_t digits = count_digits (base);

   for (size_t i = 0; i < digits && number <= INT32_MAX; i++) {
      number = 10 * number + (uint64_t) (base[i] - '0');
   }
   if (!reader->draft->to_at) {
      reader->draft->step.to = (ecl_version_t) number;
   } else if (number != (uint64_t) reader->draft->step.to) {
      reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_CHAIN, reader->draft->to_at,
                                      "to is %lld, but the file's name says %.*s", (long long) reader->draft->step.to,
                                      (int) digits, base);
   }
}

bool
ecl_project_add (ecl_project_t *self, const char *path, const ecl_text_source_t *source, ecl_diags_t *diags)
{
   const char *slash = strchr (path, '/');
   const char *base = slash ? slash + 1 : path;
   const char *file = source->name ? source->name : path;
   ecl_text_source_t named = {.name = file, .bytes = source->bytes, .len = source->len};
   reader_t reader = {.project = self, .diags = diags, .ok = true};
   const char *bad;
   size_t len = 0;
   ecl_draft_t *draft;
   ecl_text_t *text;

   BSON_ASSERT (!self->linked);
   if (!slash) {
      return ecl_work_named (base)
                ? ecl_work_add (self, base, &named, diags)
                : fail_name (diags, file,
                             "not a migration: document migrations lie in a folder named as their collection, database "
                             "migrations are called <time>_<name>.yaml");
   }
   if (strchr (base, '/')) {
      return fail_name (diags, file, "too deep: expected migrations/COLLECTION/NNNN_name.yaml");
   }
   bad = ecl_project_bad_collection (path, (size_t) (slash - path));
   if (bad) {
      return ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, file, 0, 0, NULL,
                            "\"%.*s\" cannot be a collection's name: %s", (int) (slash - path), path, bad);
   }
   reader.chain = ecl_project_chain_for (self, path, (size_t) (slash - path));
   if (!split_name (file, base, reader.chain->format, &len, diags)) {
      return false;
   }
   text = ecl_project_text (self);
   reader.ok = ecl_text_read (text, &named, ECL_TEXT_DEFAULT, diags);
   draft = ecl_arena_new (&self->arena, ecl_draft_t);
   memset (draft, 0, sizeof *draft);
   draft->collection = reader.chain->collection;
   draft->step.name = ecl_arena_strndup (&self->arena, base, len);
   draft->step.file = ecl_arena_strndup (&self->arena, file, strlen (file));
   draft->step.description = "";
   draft->step.text = text;
   reader.text = text;
   reader.draft = draft;
   if (text->doc) {
      read_file (&reader);
   }
   if (reader.chain->format == ECL_VERSION_INTEGER) {
      check_number (&reader, base);
   }
   if (draft->to_at || reader.chain->format == ECL_VERSION_INTEGER) {
      draft->next = self->drafts;
      self->drafts = draft;
   }
   return reader.ok;
}

/* ---- what others published ---- */

void
ecl_project_leave_out (ecl_diags_t *diags, const ecl_diags_t *why)
{
   for (size_t i = 0; i < why->n; i++) {
      const ecl_diag_t *diag = &why->items[i];

      if (diag->level == ECL_DIAG_ERROR) {
         ecl_diags_add (diags, ECL_DIAG_WARNING, diag->domain, diag->code, diag->file, diag->line, diag->column,
                        diag->path, "left out, and what is published behind it: %s", diag->message);
      }
   }
}

void
ecl_project_add_published (ecl_project_t *self, const char *path, const char *from, const ecl_text_source_t *source,
                           ecl_diags_t *diags)
{
   ecl_draft_t *before = self->drafts;
   ecl_diags_t why;
   bool good;

   ecl_diags_init (&why);
   /* Database migrations are not published: nobody else says what this program runs. */
   good = strchr (path, '/') ? ecl_project_add (self, path, source, &why)
                             : fail_name (&why, source->name, "not a document migration");
   if (good) {
      self->drafts->published = true;
      self->drafts->from = from ? ecl_arena_strndup (&self->arena, from, strlen (from)) : NULL;
      self->drafts->step.n_examples = 0; /* nobody runs them here, and their versions may be left out */
      ecl_diags_merge (diags, &why);
   } else {
      self->drafts = before;
      ecl_project_leave_out (diags, &why);
   }
   ecl_diags_cleanup (&why);
}

/* ---- functions ---- */

bool
ecl_project_add_function (ecl_project_t *self, const char *collection, const char *to, bool up,
                          const ecl_function_t *function, ecl_diags_t *diags)
{
   const char *bad = ecl_project_bad_collection (collection, strlen (collection)), *name;
   const ecl_chain_t *chain;
   ecl_draft_t *draft;
   ecl_version_t version;
   ecl_way_t *way;

   BSON_ASSERT (!self->linked);
   if (bad) {
      return ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, NULL, 0, 0, NULL,
                            "\"%s\" cannot be a collection's name: %s", collection, bad);
   }
   chain = ecl_project_chain_for (self, collection, strlen (collection));
   name = ecl_arena_printf (&self->arena, "function of %s, version %s", chain->collection, to);
   if (!ecl_version_parse (chain->format, to, strlen (to), &version)) {
      return ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_PROJECT, ECL_ERROR_VERSION, name, 0, 0, NULL,
                            "\"%s\" is no version of %s: expected %s", to, collection,
                            ecl_version_expected (chain->format));
   }
   draft = self->drafts;
   while (draft && !(draft->of_functions && draft->collection == chain->collection && draft->step.to == version)) {
      draft = draft->next;
   }
   if (!draft) {
      ecl_text_t *text = ecl_project_text (self);
      /* A text of its own, because all that is said about a step has a place in one. */
      char *json = bson_strdup_printf ("{\"to\": \"%s\"}", to);
      ecl_text_source_t source = {.name = name, .bytes = json, .len = strlen (json)};
      bool ok = ecl_text_read_json (text, &source, ECL_TEXT_DEFAULT, diags);

      bson_free (json);
      if (!ok) {
         return false;
      }
      draft = ecl_arena_new (&self->arena, ecl_draft_t);
      memset (draft, 0, sizeof *draft);
      draft->of_functions = true;
      draft->collection = chain->collection;
      draft->to_at = text->doc + 4;
      draft->step = (ecl_step_t){.to = version,
                                 .stamp = ecl_version_value (chain->format, version, &self->arena),
                                 .name = name,
                                 .file = name,
                                 .description = "",
                                 .text = text};
      draft->next = self->drafts;
      self->drafts = draft;
   }
   way = up ? &draft->step.up : &draft->step.down;
   if (way->kind != ECL_WAY_NONE) {
      return ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_PROJECT, ECL_ERROR_CHAIN, name, 0, 0, NULL,
                            "a second function that leads %s that version", up ? "to" : "down from");
   }
   *way = (ecl_way_t){.kind = ECL_WAY_FUNCTION, .function = *function, .at = draft->to_at};
   return true;
}
