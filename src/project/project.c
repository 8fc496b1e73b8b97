/* Project: what it owns, its settings after precedence, and what its readers share. See project.h. */
#include "project/project-private.h"

#include "base/suggest.h"

static const char *
from_environment (const ecl_project_t *self, const char *name)
{
   const char *value = self->getenv ? self->getenv (self->getenv_ctx, name) : NULL;

   return value && *value ? value : NULL;
}

ecl_project_t *
ecl_project_new (const ecl_project_options_t *options)
{
   ecl_project_t *self = bson_malloc0 (sizeof *self);
   const char *uri = options->uri, *database = options->database, *migrations = options->migrations;

   ecl_arena_init (&self->arena);
   self->getenv = options->getenv;
   self->getenv_ctx = options->getenv_ctx;
   uri = uri ? uri : from_environment (self, "ECLOSE_URI");
   uri = uri ? uri : from_environment (self, "MONGODB_URI");
   database = database ? database : from_environment (self, "ECLOSE_DATABASE");
   migrations = migrations ? migrations : from_environment (self, "ECLOSE_MIGRATIONS");
   self->uri = uri ? bson_strdup (uri) : NULL;
   self->database = database ? bson_strdup (database) : NULL;
   self->migrations = migrations ? bson_strdup (migrations) : NULL;
   self->version_field = "schema_version";
   self->format = ECL_VERSION_INTEGER;
   return self;
}

void
ecl_project_destroy (ecl_project_t *self)
{
   if (self) {
      for (size_t i = 0; i < self->n_texts; i++) {
         ecl_text_cleanup (self->texts[i]);
         bson_free (self->texts[i]);
      }
      bson_free (self->texts);
      bson_free (self->chains);
      bson_free (self->works);
      bson_free (self->uri);
      bson_free (self->database);
      bson_free (self->migrations);
      ecl_arena_cleanup (&self->arena);
      bson_free (self);
   }
}

bool
ecl_project_is_configured (const ecl_project_t *self)
{
   return !self->config_failed;
}

const char *
ecl_project_uri (const ecl_project_t *self)
{
   return self->uri;
}

const char *
ecl_project_database (const ecl_project_t *self)
{
   return self->database;
}

const char *
ecl_project_migrations (const ecl_project_t *self, bool *from_file)
{
   *from_file = self->migrations_from_file || !self->migrations;
   return self->migrations ? self->migrations : "migrations";
}

const ecl_chain_t *
ecl_project_chains (const ecl_project_t *self, size_t *n)
{
   *n = self->n_chains;
   return self->chains;
}

const ecl_chain_t *
ecl_project_chain (const ecl_project_t *self, const char *collection)
{
   for (size_t i = 0; i < self->n_chains; i++) {
      if (strcmp (self->chains[i].collection, collection) == 0) {
         return &self->chains[i];
      }
   }
   return NULL;
}

ecl_chain_t
ecl_project_default_chain (const ecl_project_t *self)
{
   return (ecl_chain_t){
      .collection = "",
      .version_field = self->version_field,
      .format = self->format,
      .has_unversioned = true,
      .unversioned = self->unversioned,
      .floor = self->unversioned,
      .target = self->unversioned,
      .config_text = self->config,
   };
}

/* ---- shared by the readers ---- */

ecl_text_t *
ecl_project_text (ecl_project_t *self)
{
   ecl_text_t *text = bson_malloc (sizeof *text);

   ecl_text_init (text);
   if (self->n_texts == self->cap_texts) {
      self->cap_texts = self->cap_texts ? 2 * self->cap_texts : 16;
      self->texts = bson_realloc (self->texts, self->cap_texts * sizeof (ecl_text_t *));
   }
   self->texts[self->n_texts++] = text;
   return text;
}

bool
ecl_project_unknown_key (const ecl_text_t *text, ecl_diags_t *diags, const ecl_field_t *field, const char *const *known)
{
   const char *meant = ecl_suggest (field->key, field->key_len, known);

   if (meant) {
      return ecl_project_error (text, diags, ECL_ERROR_UNKNOWN_KEY, ecl_at (field),
                                "unknown key \"%.*s\"; did you mean \"%s\"?", (int) field->key_len, field->key, meant);
   }
   return ecl_project_error (text, diags, ECL_ERROR_UNKNOWN_KEY, ecl_at (field), "unknown key \"%.*s\"",
                             (int) field->key_len, field->key);
}

bool
ecl_project_wrong_type (const ecl_text_t *text, ecl_diags_t *diags, const ecl_field_t *field, const char *expected)
{
   return ecl_project_error (text, diags, ECL_ERROR_INVALID, ecl_at (field), "%.*s must be %s, found %s",
                             (int) field->key_len, field->key, expected, ecl_type_name (field->value.type));
}

ecl_chain_t *
ecl_project_chain_for (ecl_project_t *self, const char *collection, size_t len)
{
   ecl_chain_t *chain;

   for (size_t i = 0; i < self->n_chains; i++) {
      chain = &self->chains[i];
      if (strlen (chain->collection) == len && memcmp (chain->collection, collection, len) == 0) {
         return chain;
      }
   }
   if (self->n_chains == self->cap_chains) {
      self->cap_chains = self->cap_chains ? 2 * self->cap_chains : 8;
      self->chains = bson_realloc (self->chains, self->cap_chains * sizeof *self->chains);
   }
   chain = &self->chains[self->n_chains++];
   *chain = ecl_project_default_chain (self);
   chain->collection = ecl_arena_strndup (&self->arena, collection, len);
   return chain;
}

const char *
ecl_project_bad_collection (const char *name, size_t len)
{
   if (!len) {
      return "it is empty";
   }
   if (len > 200) {
      return "it is longer than 200 bytes";
   }
   if (memchr (name, '$', len) || memchr (name, '\0', len)) {
      return "it holds a $ or a NUL";
   }
   if (name[0] == '.' || name[len - 1] == '.') {
      return "it begins or ends with a dot";
   }
   if (len >= 7 && memcmp (name, "system.", 7) == 0) {
      return "collections of the server's own (system.) are not migrated";
   }
   if (len >= 7 && memcmp (name, "eclose_", 7) == 0) {
      return "collections whose names begin with eclose_ are eclose's own";
   }
   return NULL;
}
