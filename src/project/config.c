/* eclose.yaml: keys, types, ${NAME:-default} from the environment. See project.h. */
#include "project/project-private.h"

#include "base/ascii.h"
#include "base/rate.h"
#include "mql/match.h"

#include <stdlib.h>

/* The longest value after ${…} was put in. */
#define VALUE_MAX (64u * 1024)

static const char *const top_keys[] = {"uri",         "database",    "migrations", "version_field", "version_format",
                                       "unversioned", "collections", "hooks",      "throttle",      NULL};
static const char *const collection_keys[] = {"version_field", "version_format", "unversioned",
                                              "detect",        "floor",          NULL};
static const char *const hook_keys[] = {"start", "throttle", "pause", "resume", "failure", "end", NULL};
static const char *const pace_keys[] = {"max_rate", "batch_time", "max_latency", "max_lag", "min_window", NULL};
static const char *const detect_keys[] = {"version", "filter", NULL};

/* What the walk over the file carries. */
typedef struct {
   ecl_project_t *project;
   const ecl_text_t *text;
   ecl_diags_t *diags;
   bool ok;
} reader_t;

static void
fail_type (reader_t *reader, const ecl_field_t *field, const char *expected)
{
   reader->ok = ecl_project_wrong_type (reader->text, reader->diags, field, expected);
}

static bool
is_name (const char *name, size_t len)
{
   if (!len || ecl_is_digit (*name)) {
      return false;
   }
   for (size_t i = 0; i < len; i++) {
      char c = name[i];

      if (!ecl_is_letter (c) && !ecl_is_digit (c) && c != '_') {
         return false;
      }
   }
   return true;
}

/* One ${…}: p stands behind the brace. Returns the byte behind the closing brace, NULL after a report. */
static const char *
expand_one (reader_t *reader, const ecl_field_t *field, const char *p, const char *end, ecl_buf_t *out)
{
   const char *close = memchr (p, '}', (size_t) (end - p));
   const char *colon, *value;
   size_t len;
   char *name;

   if (!close) {
      reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_SYNTAX, ecl_at (field),
                                      "${ without }; a dollar that is only a dollar is written $$");
      return NULL;
   }
   colon = memchr (p, ':', (size_t) (close - p));
   len = (size_t) ((colon ? colon : close) - p);
   if (!is_name (p, len) || (colon && colon[1] != '-')) {
      reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_SYNTAX, ecl_at (field),
                                      "expected ${NAME} or ${NAME:-default}, found ${%.*s}", (int) (close - p), p);
      return NULL;
   }
   for (const char *q = colon; q && q + 1 < close; q++) {
      if (q[0] == '$' && q[1] == '{') {
         reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_SYNTAX, ecl_at (field),
                                         "a default ends at the first }: no ${ may stand in it");
         return NULL;
      }
   }
   name = bson_strndup (p, len);
   value = reader->project->getenv ? reader->project->getenv (reader->project->getenv_ctx, name) : NULL;
   bson_free (name);
   if (value && *value) {
      if (!ecl_buf_append_str (out, value)) {
         goto large;
      }
   } else if (colon) {
      if (!ecl_buf_append (out, colon + 2, (size_t) (close - colon - 2))) {
         goto large;
      }
   } else {
      reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_INVALID, ecl_at (field),
                                      "the environment has no %.*s; ${%.*s:-default} would give it a default",
                                      (int) len, p, (int) len, p);
      return NULL;
   }
   return close + 1;

large:
   reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_TOO_LARGE, ecl_at (field),
                                   "longer than %u bytes with what the environment holds", VALUE_MAX);
   return NULL;
}

/* A string with ${NAME} replaced, in the project's arena; NULL after a report. */
static const char *
read_string (reader_t *reader, const ecl_field_t *field)
{
   const char *p, *end, *result = NULL;
   ecl_buf_t out;

   if (!ecl_is_string (&field->value)) {
      fail_type (reader, field, "a string");
      return NULL;
   }
   p = field->value.u.str;
   end = p + field->value.len;
   if (memchr (p, '\0', field->value.len)) {
      reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_INVALID, ecl_at (field),
                                      "%.*s must not hold a NUL", (int) field->key_len, field->key);
      return NULL;
   }
   ecl_buf_init (&out, VALUE_MAX);
   while (p < end) {
      if (*p == '$' && p + 1 < end && p[1] == '{') {
         p = expand_one (reader, field, p + 2, end, &out);
         if (!p) {
            goto done;
         }
      } else {
         if (*p == '$' && p + 1 < end && p[1] == '$') {
            p++;
         }
         if (!ecl_buf_append (&out, p++, 1)) {
            reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_TOO_LARGE, ecl_at (field),
                                            "longer than %u bytes", VALUE_MAX);
            goto done;
         }
      }
   }
   result = ecl_arena_strndup (&reader->project->arena, ecl_buf_cstr (&out), out.len);

done:
   ecl_buf_cleanup (&out);
   return result;
}

static const char *
read_version_field (reader_t *reader, const ecl_field_t *field)
{
   const char *path = read_string (reader, field);

   if (!path) {
      return NULL;
   }
   if (!*path || *path == '.' || *path == '$' || path[strlen (path) - 1] == '.' || strstr (path, "..") ||
       strstr (path, ".$") || strcmp (path, "_id") == 0 || strncmp (path, "_id.", 4) == 0) {
      reader->ok =
         ecl_project_error (reader->text, reader->diags, ECL_ERROR_INVALID, ecl_at (field),
                            "\"%s\" cannot be the version field: expected a dotted name without $, not _id", path);
      return NULL;
   }
   return path;
}

static void
read_format (reader_t *reader, const ecl_field_t *field, ecl_version_format_t *format)
{
   const char *name = read_string (reader, field);

   if (!name) {
      return;
   }
   if (strcmp (name, "integer") == 0) {
      *format = ECL_VERSION_INTEGER;
   } else if (strcmp (name, "dotted") == 0) {
      *format = ECL_VERSION_DOTTED;
   } else if (strcmp (name, "packed") == 0) {
      *format = ECL_VERSION_PACKED;
   } else {
      reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_INVALID, ecl_at (field),
                                      "unknown version_format \"%s\": expected integer, dotted or packed", name);
   }
}

static bool
read_version (reader_t *reader, const ecl_field_t *field, ecl_version_format_t format, ecl_version_t *version)
{
   ecl_value_t value = field->value;

   if (ecl_is_string (&value)) {
      const char *text = read_string (reader, field);

      if (!text) {
         return false;
      }
      value = ecl_string (text, strlen (text));
   }
   if (!ecl_version_from_file (format, &value, version)) {
      return reader->ok =
                ecl_project_error (reader->text, reader->diags, ECL_ERROR_VERSION, ecl_at (field), "%.*s must be %s",
                                   (int) field->key_len, field->key, ecl_version_expected (format));
   }
   return true;
}

/* What the parser of the language says about a filter. */
static void
report (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   reader_t *reader = context;

   reader->ok = ecl_text_diag (reader->text, reader->diags, ECL_DIAG_ERROR, ECL_DOMAIN_MQL, code,
                               at ? at : reader->text->doc, "%s", message);
}

static void
check_filter (reader_t *reader, const ecl_field_t *field)
{
   ecl_match_options_t options = {.report = report, .report_context = reader};

   if (!ecl_is_document (&field->value)) {
      fail_type (reader, field, "a filter (a mapping)");
      return;
   }
   ecl_match_destroy (ecl_match_new (&field->value, &options));
}

static void
read_detect_entry (reader_t *reader, const ecl_field_t *entry, ecl_version_format_t format, ecl_detect_t *detect)
{
   ecl_iter_t iter;
   ecl_field_t field;
   bool version = false;

   detect->at = ecl_at (entry);
   detect->filter = ecl_missing ();
   if (!ecl_is_document (&entry->value)) {
      reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_INVALID, ecl_at (entry),
                                      "expected {version, filter}, found %s", ecl_type_name (entry->value.type));
      return;
   }
   ecl_iter_init (&iter, &entry->value);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "version")) {
         version = true;
         read_version (reader, &field, format, &detect->version);
      } else if (ecl_key_is (&field, "filter")) {
         detect->filter = field.value;
         check_filter (reader, &field);
      } else {
         reader->ok = ecl_project_unknown_key (reader->text, reader->diags, &field, detect_keys);
      }
   }
   if (!version || ecl_is_missing (&detect->filter)) {
      reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_INVALID, ecl_at (entry),
                                      "%s is missing: expected {version, filter}", version ? "filter" : "version");
   }
}

static void
read_detect (reader_t *reader, const ecl_field_t *spec, ecl_chain_t *chain)
{
   uint32_t n = 0, count;
   ecl_detect_t *detect;
   ecl_iter_t iter;
   ecl_field_t entry;

   if (!ecl_is_array (&spec->value)) {
      fail_type (reader, spec, "a list of {version, filter}");
      return;
   }
   count = ecl_array_count (&spec->value);
   if (!count) {
      reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_INVALID, ecl_at (spec), "detect is empty");
      return;
   }
   detect = ecl_arena_array (&reader->project->arena, ecl_detect_t, count);
   memset (detect, 0, count * sizeof *detect);
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &entry)) {
      read_detect_entry (reader, &entry, chain->format, &detect[n++]);
   }
   chain->detect = detect;
   chain->n_detect = n;
}

static void
read_collection (reader_t *reader, const ecl_field_t *spec)
{
   const char *bad = ecl_project_bad_collection (spec->key, spec->key_len);
   ecl_field_t field, unversioned = {0}, detect = {0}, lowest = {0};
   ecl_chain_t *chain;
   ecl_iter_t iter;

   if (bad) {
      reader->ok =
         ecl_project_error (reader->text, reader->diags, ECL_ERROR_INVALID, ecl_at (spec),
                            "\"%.*s\" cannot be a collection's name: %s", (int) spec->key_len, spec->key, bad);
      return;
   }
   chain = ecl_project_chain_for (reader->project, spec->key, spec->key_len);
   if (!ecl_is_document (&spec->value)) {
      fail_type (reader, spec, "a mapping");
      return;
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "version_field")) {
         const char *path = read_version_field (reader, &field);

         chain->version_field = path ? path : chain->version_field;
      } else if (ecl_key_is (&field, "version_format")) {
         read_format (reader, &field, &chain->format);
      } else if (ecl_key_is (&field, "unversioned")) {
         unversioned = field;
      } else if (ecl_key_is (&field, "detect")) {
         detect = field;
      } else if (ecl_key_is (&field, "floor")) {
         lowest = field;
      } else {
         reader->ok = ecl_project_unknown_key (reader->text, reader->diags, &field, collection_keys);
      }
   }
   if (chain->format != reader->project->format) {
      chain->unversioned = 0; /* the project's is a version of another form */
   }
   /* Versions are read when their format is known. With `detect`, only the collection's own `unversioned` says what
    * the rest is. */
   if (detect.key) {
      chain->has_unversioned = false;
      read_detect (reader, &detect, chain);
   }
   if (unversioned.key) {
      chain->has_unversioned = read_version (reader, &unversioned, chain->format, &chain->unversioned);
   }
   if (lowest.key) {
      chain->has_floor = read_version (reader, &lowest, chain->format, &chain->floor);
   }
}

static void
read_collections (reader_t *reader, const ecl_field_t *spec)
{
   ecl_iter_t iter;
   ecl_field_t field;

   if (!ecl_is_document (&spec->value)) {
      fail_type (reader, spec, "a mapping from names of collections to their settings");
      return;
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      read_collection (reader, &field);
   }
}

static void
read_hooks (reader_t *reader, const ecl_field_t *spec)
{
   ecl_iter_t iter;
   ecl_field_t field;

   if (!ecl_is_document (&spec->value)) {
      fail_type (reader, spec, "a mapping from events to commands");
      return;
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      bool known = false;

      for (size_t i = 0; hook_keys[i] && !known; i++) {
         known = ecl_key_is (&field, hook_keys[i]);
         if (known) {
            const char *command = read_string (reader, &field);

            if (command && !*command) {
               reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_INVALID, ecl_at (&field),
                                               "%.*s is empty", (int) field.key_len, field.key);
            }
            reader->project->hooks[i] = command;
         }
      }
      if (!known) {
         reader->ok = ecl_project_unknown_key (reader->text, reader->diags, &field, hook_keys);
      }
   }
}

const char *
ecl_project_hook (const ecl_project_t *self, const char *event)
{
   for (size_t i = 0; hook_keys[i]; i++) {
      if (strcmp (hook_keys[i], event) == 0) {
         return self->hooks[i];
      }
   }
   return NULL;
}

/* A number within bounds, also as text, which ${…} makes. False after a report. */
static bool
read_number (reader_t *reader, const ecl_field_t *field, double min, double max, double *out)
{
   const ecl_value_t *value = &field->value;
   const char *text;
   char *end;

   if (ecl_is_string (value)) {
      text = read_string (reader, field);
      if (!text) {
         return false;
      }
      *out = strtod (text, &end);
      if (!*text || *end) {
         *out = min - 1;
      }
   } else if (value->type == BSON_TYPE_DOUBLE) {
      *out = value->u.f64;
   } else if (value->type == BSON_TYPE_INT32 || value->type == BSON_TYPE_INT64) {
      *out = (double) value->u.i64;
   } else {
      fail_type (reader, field, "a number");
      return false;
   }
   if (!(*out >= min && *out <= max)) {
      reader->ok =
         ecl_project_error (reader->text, reader->diags, ECL_ERROR_INVALID, ecl_at (field),
                            "%.*s must be a number from %g to %g", (int) field->key_len, field->key, min, max);
      return false;
   }
   return true;
}

static void
read_rate (reader_t *reader, const ecl_field_t *field, ecl_pace_t *pace)
{
   bson_error_t error;
   const char *text;
   double number;

   if (!ecl_is_string (&field->value)) {
      if (!read_number (reader, field, 0, 1e12, &number)) {
         return;
      }
      if (number > 0) {
         pace->max_documents = number;
         return;
      }
      text = "0"; /* refused as the option is */
   } else {
      text = read_string (reader, field);
   }
   if (text && !ecl_rate_parse (text, &pace->max_documents, &pace->max_bytes, &error)) {
      reader->ok =
         ecl_project_error (reader->text, reader->diags, ECL_ERROR_INVALID, ecl_at (field), "%s", error.message);
   }
}

/* As the options of the commands that have these names. */
static void
read_pace (reader_t *reader, const ecl_field_t *spec)
{
   ecl_pace_t *pace = &reader->project->pace;
   ecl_field_t field;
   ecl_iter_t iter;
   double number;

   if (!ecl_is_document (&spec->value)) {
      fail_type (reader, spec, "a mapping");
      return;
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "max_rate")) {
         read_rate (reader, &field, pace);
      } else if (ecl_key_is (&field, "batch_time")) {
         pace->batch_time = read_number (reader, &field, 1, 60000, &number) ? (int64_t) number : 0;
      } else if (ecl_key_is (&field, "max_latency")) {
         pace->max_latency = read_number (reader, &field, 1.1, 1000, &number) ? number : 0;
      } else if (ecl_key_is (&field, "max_lag")) {
         pace->max_lag = read_number (reader, &field, 0.1, 86400, &number) ? (int64_t) (number * 1000) : 0;
      } else if (ecl_key_is (&field, "min_window")) {
         pace->min_window = read_number (reader, &field, 0.1, 100000, &number) ? (int64_t) (number * 60000) : 0;
      } else {
         reader->ok = ecl_project_unknown_key (reader->text, reader->diags, &field, pace_keys);
      }
   }
}

const ecl_pace_t *
ecl_project_pace (const ecl_project_t *self)
{
   return &self->pace;
}

/* Read even where it does not count, so that what is wrong with it is found. */
static void
read_setting (reader_t *reader, const ecl_field_t *field, char **setting)
{
   const char *value;

   if (*setting && ecl_is_string (&field->value)) {
      return; /* a variable that is only needed where nobody said otherwise may be unset */
   }
   value = read_string (reader, field);
   if (value && !*value) {
      reader->ok = ecl_project_error (reader->text, reader->diags, ECL_ERROR_INVALID, ecl_at (field), "%.*s is empty",
                                      (int) field->key_len, field->key);
   } else if (value) {
      *setting = bson_strdup (value);
   }
}

bool
ecl_project_configure (ecl_project_t *self, const ecl_text_source_t *source, ecl_diags_t *diags)
{
   ecl_field_t field, unversioned = {0}, collections = {0};
   reader_t reader = {.project = self, .diags = diags, .ok = true};
   ecl_value_t root;
   ecl_iter_t iter;

   BSON_ASSERT (!self->config && !self->n_chains);
   self->config = ecl_project_text (self);
   if (!ecl_text_read (self->config, source, ECL_TEXT_DEFAULT, diags)) {
      self->config_failed = true;
      return false;
   }
   reader.text = self->config;
   root = ecl_raw_document (self->config->doc, self->config->len);
   ecl_iter_init (&iter, &root);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "uri")) {
         read_setting (&reader, &field, &self->uri);
      } else if (ecl_key_is (&field, "database")) {
         read_setting (&reader, &field, &self->database);
      } else if (ecl_key_is (&field, "migrations")) {
         self->migrations_from_file = !self->migrations;
         read_setting (&reader, &field, &self->migrations);
      } else if (ecl_key_is (&field, "version_field")) {
         const char *path = read_version_field (&reader, &field);

         self->version_field = path ? path : self->version_field;
      } else if (ecl_key_is (&field, "version_format")) {
         read_format (&reader, &field, &self->format);
      } else if (ecl_key_is (&field, "unversioned")) {
         unversioned = field;
      } else if (ecl_key_is (&field, "collections")) {
         collections = field;
      } else if (ecl_key_is (&field, "hooks")) {
         read_hooks (&reader, &field);
      } else if (ecl_key_is (&field, "throttle")) {
         read_pace (&reader, &field);
      } else {
         reader.ok = ecl_project_unknown_key (reader.text, diags, &field, top_keys);
      }
   }
   /* These need what stands above or below them. */
   if (unversioned.key) {
      read_version (&reader, &unversioned, self->format, &self->unversioned);
   }
   if (collections.key) {
      read_collections (&reader, &collections);
   }
   self->config_failed = !reader.ok;
   return reader.ok;
}
