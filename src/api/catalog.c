/* Catalog: see catalog.h. */
#include "api/catalog.h"

#include "upgrade/append.h"

bool
ecl_catalog_read (const bson_t *document, const char **path, const char **text, size_t *len, bson_error_t *error)
{
   bson_iter_t iter;
   uint32_t size;

   *path = *text = NULL;
   if (bson_iter_init_find (&iter, document, "_id") && BSON_ITER_HOLDS_UTF8 (&iter)) {
      *path = bson_iter_utf8 (&iter, &size);
      if (strlen (*path) != size) {
         *path = NULL;
      }
   }
   if (bson_iter_init_find (&iter, document, "text") && BSON_ITER_HOLDS_UTF8 (&iter)) {
      *text = bson_iter_utf8 (&iter, &size);
      *len = size;
   }
   return (*path && *text) || ecl_fail (error, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID,
                                        "not a document of eclose_catalog: expected {_id: a path, text: a string}");
}

/* A document as canonical Extended JSON, appended under the key. */
static void
append_json (bson_t *document, const char *key, const uint8_t *bytes, size_t len)
{
   ecl_buf_t text;
   bson_error_t error;

   ecl_buf_init (&text, 8u * ECL_TEXT_BSON_MAX);
   /* It was read from a text or made here: it can be written. */
   BSON_ASSERT (ecl_extjson_write (bytes, len, ECL_EXTJSON_CANONICAL, &text, &error));
   bson_append_utf8 (document, key, -1, (const char *) text.data, (int) text.len);
   ecl_buf_cleanup (&text);
}

static const char *
format_name (ecl_version_format_t format)
{
   return format == ECL_VERSION_DOTTED ? "dotted" : format == ECL_VERSION_PACKED ? "packed" : "integer";
}

/* A version as the project file has it. */
static void
append_version (bson_t *document, const char *key, ecl_version_format_t format, ecl_version_t version)
{
   char text[ECL_VERSION_TEXT];

   BSON_APPEND_UTF8 (document, key, ecl_version_text (format, version, text));
}

static void
append_settings (bson_t *config, const ecl_chain_t *chain)
{
   bson_t settings, detect, entry;

   BSON_APPEND_DOCUMENT_BEGIN (config, chain->collection, &settings);
   BSON_APPEND_UTF8 (&settings, "version_field", chain->version_field);
   BSON_APPEND_UTF8 (&settings, "version_format", format_name (chain->format));
   if (chain->has_unversioned) {
      append_version (&settings, "unversioned", chain->format, chain->unversioned);
   }
   if (chain->n_detect) {
      BSON_APPEND_ARRAY_BEGIN (&settings, "detect", &detect);
      for (size_t i = 0; i < chain->n_detect; i++) {
         char buffer[16];
         const char *key;

         bson_uint32_to_string ((uint32_t) i, &key, buffer, sizeof buffer);
         BSON_APPEND_DOCUMENT_BEGIN (&detect, key, &entry);
         append_version (&entry, "version", chain->format, chain->detect[i].version);
         ecl_append_value (&entry, "filter", &chain->detect[i].filter);
         bson_append_document_end (&detect, &entry);
      }
      bson_append_array_end (&settings, &detect);
   }
   bson_append_document_end (config, &settings);
}

static void
write_project (const ecl_project_t *project, bson_t *document)
{
   bson_t config = BSON_INITIALIZER, collections;
   const ecl_chain_t *chains;
   size_t n;

   chains = ecl_project_chains (project, &n);
   BSON_APPEND_DOCUMENT_BEGIN (&config, "collections", &collections);
   for (size_t i = 0; i < n; i++) {
      append_settings (&collections, &chains[i]);
   }
   bson_append_document_end (&config, &collections);
   BSON_APPEND_UTF8 (document, "_id", "eclose.json");
   BSON_APPEND_UTF8 (document, "kind", "project");
   append_json (document, "text", bson_get_data (&config), config.len);
   bson_destroy (&config);
}

static void
write_step (const ecl_chain_t *chain, const ecl_step_t *step, bson_t *document)
{
   char version[ECL_VERSION_TEXT];
   char *id = bson_strdup_printf ("%s/%s.json", chain->collection, step->name);

   BSON_APPEND_UTF8 (document, "_id", id);
   BSON_APPEND_UTF8 (document, "kind", "migration");
   BSON_APPEND_UTF8 (document, "collection", chain->collection);
   BSON_APPEND_UTF8 (document, "to", ecl_version_text (chain->format, step->to, version));
   BSON_APPEND_UTF8 (document, "description", step->description);
   append_json (document, "text", step->text->doc, step->text->len);
   bson_free (id);
}

bool
ecl_catalog_write (const ecl_project_t *project, size_t i, bson_t *document)
{
   const ecl_chain_t *chains;
   size_t n;

   if (i == 0) {
      write_project (project, document);
      return true;
   }
   chains = ecl_project_chains (project, &n);
   for (size_t c = 0; c < n; c++) {
      for (size_t s = 0; s < chains[c].n_steps; s++) {
         /* A step of functions only has no file. */
         if (chains[c].steps[s].up.kind == ECL_WAY_PIPELINE && --i == 0) {
            write_step (&chains[c], &chains[c].steps[s], document);
            return true;
         }
      }
   }
   return false;
}
