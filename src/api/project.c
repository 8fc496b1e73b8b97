/* The public project: what was added, then loaded at once. See eclose/project.h. */
#include "api/api-private.h"

#include "project/folder.h"
#include "store/catalog.h"

#include <stdlib.h>

eclose_project_t *
eclose_project_new (void)
{
   /* A bson_t inside wants more alignment than malloc gives. */
   eclose_project_t *self = BSON_ALIGNED_ALLOC0 (eclose_project_t);

   self->last_source = &self->sources;
   self->last_function = &self->functions;
   self->problems = bson_new ();
   return self;
}

eclose_project_t *
eclose_project_new_from_folder (const char *folder, bson_error_t *error)
{
   eclose_project_t *self = eclose_project_new ();

   if (!eclose_project_add_folder (self, folder, error) || !eclose_project_load (self, error)) {
      eclose_project_destroy (self);
      return NULL;
   }
   return self;
}

void
eclose_project_destroy (eclose_project_t *self)
{
   if (!self) {
      return;
   }
   ecl_upgrades_destroy (self->upgrades);
   ecl_project_destroy (self->project);
   while (self->sources) {
      ecl_api_source_t *next = self->sources->next;

      bson_free (self->sources->path);
      bson_free (self->sources->name);
      bson_free (self->sources->text);
      bson_free (self->sources->from);
      bson_free (self->sources);
      self->sources = next;
   }
   while (self->functions) {
      ecl_api_function_t *next = self->functions->next;

      bson_free (self->functions->collection);
      bson_free (self->functions->version);
      bson_free (self->functions);
      self->functions = next;
   }
   bson_free (self->folder);
   bson_destroy (self->problems);
   bson_free (self);
}

/* ---- adding ---- */

static bool
may_add (const eclose_project_t *self, bson_error_t *error)
{
   return !self->tried ||
          ecl_fail (error, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, "the project is loaded: nothing more can be added");
}

static bool
is_config (const char *path)
{
   return strcmp (path, "eclose.yaml") == 0 || strcmp (path, "eclose.json") == 0;
}

static ecl_api_source_t *
add_source (eclose_project_t *self, const char *path, const char *text, size_t len, bool published)
{
   ecl_api_source_t *source = bson_malloc0 (sizeof *source);

   source->path = bson_strdup (path);
   source->name = bson_strdup_printf ("%s%s", published ? ECL_API_CATALOG : "", path);
   source->text = bson_malloc (len + 1);
   memcpy (source->text, text, len);
   source->text[len] = '\0';
   source->len = len;
   source->published = published;
   *self->last_source = source;
   self->last_source = &source->next;
   return source;
}

bool
eclose_project_add_folder (eclose_project_t *self, const char *folder, bson_error_t *error)
{
   if (!may_add (self, error)) {
      return false;
   }
   if (!folder) {
      return ecl_fail (error, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, "expected a folder, not NULL");
   }
   if (self->folder) {
      return ecl_fail (error, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, "the project has a folder already: %s",
                       self->folder);
   }
   self->folder = bson_strdup (folder);
   return true;
}

bool
eclose_project_add_text (eclose_project_t *self, const char *path, const char *text, ssize_t len, bson_error_t *error)
{
   if (!may_add (self, error)) {
      return false;
   }
   for (const ecl_api_source_t *source = self->sources; source; source = source->next) {
      if (!source->published && (strcmp (source->path, path) == 0 || (is_config (path) && is_config (source->path)))) {
         return ecl_fail (error, ECL_DOMAIN_PROJECT, ECL_ERROR_DUPLICATE_KEY, "%s was added already", path);
      }
   }
   add_source (self, path, text, len < 0 ? strlen (text) : (size_t) len, false);
   return true;
}

bool
eclose_project_add_document (eclose_project_t *self, const bson_t *document, bson_error_t *error)
{
   const char *path, *text;
   size_t len;

   if (!may_add (self, error) || !ecl_catalog_read (document, &path, &text, &len, error)) {
      return false;
   }
   add_source (self, path, text, len, true)->from = bson_strdup (ecl_catalog_from (document));
   return true;
}

bool
eclose_project_add_function (eclose_project_t *self, const char *collection, const char *version,
                             eclose_direction_t direction, eclose_function_t function, void *user_data,
                             bson_error_t *error)
{
   ecl_api_function_t *added;

   if (!may_add (self, error)) {
      return false;
   }
   if (!collection || !version || !function || (direction != ECLOSE_UP && direction != ECLOSE_DOWN)) {
      return ecl_fail (error, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID,
                       "expected a collection, a version, a function, and ECLOSE_UP or ECLOSE_DOWN");
   }
   added = bson_malloc0 (sizeof *added);
   added->collection = bson_strdup (collection);
   added->version = bson_strdup (version);
   added->direction = direction;
   added->function = function;
   added->user_data = user_data;
   *self->last_function = added;
   self->last_function = &added->next;
   return true;
}

/* ---- loading ---- */

static const char *
environment (void *ctx, const char *name)
{
   (void) ctx;
   /* Only for ${NAME} in the project file: where things are is the program's matter. */
   return strncmp (name, "ECLOSE_", 7) == 0 ? NULL : getenv (name);
}

/* The project file: the folder's, the program's own, or what is published. */
static bool
configure (eclose_project_t *self, ecl_diags_t *diags)
{
   ecl_project_options_t options = {.getenv = environment};
   const ecl_api_source_t *config = NULL;
   bool ok = true;

   for (const ecl_api_source_t *source = self->sources; source; source = source->next) {
      if (is_config (source->path) && (!config || (config->published && !source->published))) {
         config = source;
      }
   }
   if (self->folder) {
      ecl_folder_t folder = {.folder = self->folder, .options = options};

      if (config && !config->published) {
         ok = ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_PROJECT, ECL_ERROR_DUPLICATE_KEY, config->name, 0, 0,
                             NULL, "a second project file: the folder %s has one", self->folder);
      }
      return ecl_folder_add (&folder, &self->project, diags) && ok;
   }
   self->project = ecl_project_new (&options);
   if (config) {
      ecl_text_source_t text = {.name = config->name, .bytes = config->text, .len = config->len};

      ok = ecl_project_configure (self->project, &text, diags);
   }
   return ok;
}

static bool
read_all (eclose_project_t *self, ecl_diags_t *diags)
{
   bool ok = configure (self, diags);

   if (!self->project) {
      return false;
   }
   for (const ecl_api_source_t *source = self->sources; source; source = source->next) {
      ecl_text_source_t text = {.name = source->name, .bytes = source->text, .len = source->len};

      if (is_config (source->path)) {
         continue;
      }
      if (source->published) {
         ecl_project_add_published (self->project, source->path, source->from, &text, diags);
      } else {
         ok &= ecl_project_add (self->project, source->path, &text, diags);
      }
   }
   for (ecl_api_function_t *added = self->functions; added; added = added->next) {
      ecl_function_t function = {.run = ecl_api_call, .context = added};

      ok &= ecl_project_add_function (self->project, added->collection, added->version, added->direction == ECLOSE_UP,
                                      &function, diags);
   }
   return ecl_project_link (self->project, diags) && ok;
}

/* What eclose_context_version says: known when the chains are in order. */
static void
name_versions (const eclose_project_t *self)
{
   for (ecl_api_function_t *added = self->functions; added; added = added->next) {
      const ecl_chain_t *chain = ecl_project_chain (self->project, added->collection);
      ecl_version_t version = 0;
      size_t index;

      BSON_ASSERT (chain && ecl_version_parse (chain->format, added->version, strlen (added->version), &version));
      /* Else it lies at or below the floor: no document takes that way any more. */
      if (ecl_chain_index (chain, version, &index) && index > 0) {
         ecl_version_text (chain->format, ecl_chain_version (chain, added->direction == ECLOSE_UP ? index : index - 1),
                           added->leads_to);
      }
   }
}

static void
keep_problems (eclose_project_t *self, ecl_diags_t *diags)
{
   ecl_diags_sort (diags);
   for (size_t i = 0; i < diags->n; i++) {
      const ecl_diag_t *diag = &diags->items[i];
      char buffer[16];
      const char *key;
      bson_t problem;

      bson_uint32_to_string ((uint32_t) i, &key, buffer, sizeof buffer);
      BSON_APPEND_DOCUMENT_BEGIN (self->problems, key, &problem);
      BSON_APPEND_UTF8 (&problem, "level", diag->level == ECL_DIAG_ERROR ? "error" : "warning");
      BSON_APPEND_UTF8 (&problem, "domain", ecl_domain_name (diag->domain));
      BSON_APPEND_INT32 (&problem, "code", (int32_t) diag->code);
      BSON_APPEND_UTF8 (&problem, "file", diag->file);
      BSON_APPEND_INT32 (&problem, "line", (int32_t) diag->line);
      BSON_APPEND_INT32 (&problem, "column", (int32_t) diag->column);
      BSON_APPEND_UTF8 (&problem, "path", diag->path);
      BSON_APPEND_UTF8 (&problem, "message", diag->message);
      bson_append_document_end (self->problems, &problem);
   }
}

bool
eclose_project_load (eclose_project_t *self, bson_error_t *error)
{
   ecl_diags_t diags;

   if (!may_add (self, error)) {
      return false;
   }
   self->tried = true;
   ecl_diags_init (&diags);
   self->loaded = read_all (self, &diags);
   keep_problems (self, &diags);
   if (self->loaded) {
      name_versions (self);
      self->upgrades = ecl_upgrades_new (self->project);
   } else if (ecl_diags_ok (&diags, error)) {
      ecl_fail (error, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, "the project cannot be read");
   }
   ecl_diags_cleanup (&diags);
   return self->loaded;
}

/* ---- asking ---- */

const bson_t *
eclose_project_problems (const eclose_project_t *self)
{
   return self->problems;
}

bool
eclose_project_has_collection (const eclose_project_t *self, const char *collection)
{
   return self->loaded && ecl_project_chain (self->project, collection);
}

const char *
eclose_project_collection (const eclose_project_t *self, size_t i)
{
   const ecl_chain_t *chains;
   size_t n;

   if (!self->loaded) {
      return NULL;
   }
   chains = ecl_project_chains (self->project, &n);
   return i < n ? chains[i].collection : NULL;
}

const char *
eclose_project_version_field (const eclose_project_t *self, const char *collection)
{
   const ecl_chain_t *chain = self->loaded ? ecl_project_chain (self->project, collection) : NULL;

   return chain ? chain->version_field : self->loaded ? ecl_project_default_chain (self->project).version_field : NULL;
}

bool
eclose_project_changes (const eclose_project_t *self, bson_t *const *published, size_t n, bson_t *changes,
                        bson_error_t *error)
{
   ecl_catalog_changes_t found;
   bson_t list;

   bson_init (changes);
   if (!self->loaded) {
      return ecl_fail (error, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, "the project is not loaded");
   }
   ecl_catalog_compare (self->project, published, n, &found);
   BSON_APPEND_ARRAY_BEGIN (changes, "remove", &list);
   for (size_t i = 0; i < found.n_stale; i++) {
      char buffer[16];
      const char *key;

      bson_uint32_to_string ((uint32_t) i, &key, buffer, sizeof buffer);
      BSON_APPEND_UTF8 (&list, key, found.stale[i]);
   }
   bson_append_array_end (changes, &list);
   BSON_APPEND_ARRAY_BEGIN (changes, "store", &list);
   for (size_t i = 0; i < found.n_documents; i++) {
      char buffer[16];
      const char *key;

      bson_uint32_to_string ((uint32_t) i, &key, buffer, sizeof buffer);
      BSON_APPEND_DOCUMENT (&list, key, found.documents[i]);
   }
   bson_append_array_end (changes, &list);
   ecl_catalog_changes_cleanup (&found);
   return true;
}

bool
eclose_project_document (const eclose_project_t *self, size_t i, bson_t *document)
{
   bson_init (document);
   return self->loaded && ecl_catalog_write (self->project, i, document);
}

static bool
is_published (const char *file)
{
   return strncmp (file, ECL_API_CATALOG, strlen (ECL_API_CATALOG)) == 0;
}

ecl_version_t
ecl_api_own_target (const ecl_chain_t *chain)
{
   size_t i = chain->n_steps;

   while (i && is_published (chain->steps[i - 1].file)) {
      i--;
   }
   /* Where its own are all below its floor, and deleted, it ends there. One that has nothing of its own reads what is
    * newest. */
   return i || (chain->has_floor && !is_published (chain->config_text->name)) ? ecl_chain_version (chain, i)
                                                                              : chain->target;
}

const char *
eclose_version (void)
{
   return ECLOSE_VERSION;
}
