/* Catalog: see catalog.h. */
#include "store/catalog.h"

#include "bson/append.h"

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

const char *
ecl_catalog_from (const bson_t *document)
{
   bson_iter_t iter;

   return bson_iter_init_find (&iter, document, "from") && BSON_ITER_HOLDS_UTF8 (&iter) ? bson_iter_utf8 (&iter, NULL)
                                                                                        : NULL;
}

/* The file `bytes` as canonical Extended JSON. */
static void
append_text (bson_t *document, const uint8_t *bytes, size_t len)
{
   ecl_buf_t text;
   bson_error_t error;

   ecl_buf_init (&text, 8u * ECL_TEXT_BSON_MAX);
   /* It was read from a text or made here: it can be written. */
   BSON_ASSERT (ecl_extjson_write (bytes, len, ECL_EXTJSON_CANONICAL, &text, &error));
   bson_append_utf8 (document, "text", -1, (const char *) text.data, (int) text.len);
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

/* The version to which a published step of the chain's collection leads. */
static bool
leads_to (const ecl_chain_t *chain, const bson_t *published, ecl_version_t *to)
{
   const char *text;
   bson_iter_t iter;
   uint32_t len;

   if (!bson_iter_init_find (&iter, published, "collection") || !BSON_ITER_HOLDS_UTF8 (&iter) ||
       strcmp (bson_iter_utf8 (&iter, NULL), chain->collection) != 0 || !bson_iter_init_find (&iter, published, "to") ||
       !BSON_ITER_HOLDS_UTF8 (&iter)) {
      return false;
   }
   text = bson_iter_utf8 (&iter, &len);
   return ecl_version_parse (chain->format, text, len, to);
}

/* Whether the chain, as it is published, has to begin at its floor: no step up to there is published. Where there are
 * such steps an older program goes on using them. */
static bool
begins_at_floor (const ecl_chain_t *chain, bson_t *const *published, size_t n)
{
   ecl_version_t to;

   for (size_t i = 0; i < n; i++) {
      if (leads_to (chain, published[i], &to) && to <= chain->floor) {
         return false;
      }
   }
   return chain->has_floor;
}

static void
append_settings (bson_t *config, const ecl_chain_t *chain, bool floor)
{
   bson_t settings, detect, entry;

   BSON_APPEND_DOCUMENT_BEGIN (config, chain->collection, &settings);
   BSON_APPEND_UTF8 (&settings, "version_field", chain->version_field);
   BSON_APPEND_UTF8 (&settings, "version_format", format_name (chain->format));
   if (chain->has_unversioned) {
      append_version (&settings, "unversioned", chain->format, chain->unversioned);
   }
   if (floor) {
      append_version (&settings, "floor", chain->format, chain->floor);
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

bool
ecl_catalog_later (const ecl_chain_t *chain, bson_t *const *published, size_t n, ecl_version_t *last)
{
   ecl_version_t to;

   *last = chain->target;
   for (size_t i = 0; i < n; i++) {
      if (leads_to (chain, published[i], &to) && to > *last) {
         *last = to;
      }
   }
   return *last > chain->target;
}

static bool
is_behind (const ecl_chain_t *chain, bson_t *const *published, size_t n)
{
   ecl_version_t ignored;

   return ecl_catalog_later (chain, published, n, &ignored);
}

/* The settings of the project, and in the order of names those that are published and not its own to write. */
static void
append_collections (const ecl_project_t *project, const ecl_value_t *others, bson_t *const *published,
                    size_t n_published, bson_t *collections)
{
   const ecl_chain_t *chains;
   ecl_arena_t arena;
   const ecl_field_t *fields = NULL;
   uint32_t n_fields = 0;
   size_t n, i = 0, k = 0;

   chains = ecl_project_chains (project, &n);
   ecl_arena_init (&arena);
   if (others && others->type == BSON_TYPE_DOCUMENT) {
      fields = ecl_document_fields (&arena, others, &n_fields);
   }
   while (i < n || k < n_fields) {
      char *name = k < n_fields ? ecl_arena_strndup (&arena, fields[k].key, fields[k].key_len) : NULL;
      int order = !name ? -1 : i == n ? 1 : strcmp (chains[i].collection, name);

      if (order < 0 || (order == 0 && !is_behind (&chains[i], published, n_published))) {
         append_settings (collections, &chains[i], begins_at_floor (&chains[i], published, n_published));
      } else {
         ecl_append_value (collections, name, &fields[k].value);
      }
      i += order <= 0;
      k += order >= 0;
   }
   ecl_arena_cleanup (&arena);
}

static void
write_project (const ecl_project_t *project, const ecl_value_t *others, bson_t *const *published, size_t n_published,
               bson_t *document)
{
   bson_t config = BSON_INITIALIZER, collections;

   BSON_APPEND_DOCUMENT_BEGIN (&config, "collections", &collections);
   append_collections (project, others, published, n_published, &collections);
   bson_append_document_end (&config, &collections);
   BSON_APPEND_UTF8 (document, "_id", "eclose.json");
   BSON_APPEND_UTF8 (document, "kind", "project");
   append_text (document, bson_get_data (&config), config.len);
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
   BSON_APPEND_UTF8 (document, "from", ecl_version_text (chain->format, step->from, version));
   BSON_APPEND_UTF8 (document, "to", ecl_version_text (chain->format, step->to, version));
   BSON_APPEND_UTF8 (document, "description", step->description);
   append_text (document, step->text->doc, step->text->len);
   bson_free (id);
}

bool
ecl_catalog_write (const ecl_project_t *project, size_t i, bson_t *document)
{
   const ecl_chain_t *chains;
   size_t n;

   if (i == 0) {
      write_project (project, NULL, NULL, 0, document);
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

void
ecl_catalog_checksum (const ecl_chain_t *chain, size_t target, bool down, char text[ECL_SHA256_TEXT])
{
   bson_t all = BSON_INITIALIZER;
   char version[ECL_VERSION_TEXT];

   append_settings (&all, chain, chain->has_floor);
   for (size_t i = down ? target : 0; i < (down ? chain->n_steps : target); i++) {
      const ecl_way_t *way = down ? &chain->steps[i].down : &chain->steps[i].up;

      ecl_version_text (chain->format, chain->steps[i].to, version);
      if (way->kind == ECL_WAY_PIPELINE) {
         ecl_append_value (&all, version, &way->stages);
      } else {
         BSON_APPEND_INT32 (&all, version, way->kind);
      }
   }
   ecl_sha256_text (bson_get_data (&all), all.len, text);
   bson_destroy (&all);
}

/* ---- comparing ---- */

static const bson_t *
find_published (bson_t *const *published, size_t n, const char *id)
{
   bson_iter_t iter;

   for (size_t i = 0; i < n; i++) {
      if (bson_iter_init_find (&iter, published[i], "_id") && BSON_ITER_HOLDS_UTF8 (&iter) &&
          strcmp (bson_iter_utf8 (&iter, NULL), id) == 0) {
         return published[i];
      }
   }
   return NULL;
}

/* Takes the document over, where it is not published already. */
static void
differ (ecl_catalog_changes_t *changes, const bson_t *now, bson_t *document)
{
   if (now && bson_equal (now, document)) {
      bson_destroy (document);
      return;
   }
   changes->documents = bson_realloc (changes->documents, (changes->n_documents + 1) * sizeof (*changes->documents));
   changes->documents[changes->n_documents++] = document;
}

static void
compare_project (const ecl_project_t *project, bson_t *const *published, size_t n, ecl_catalog_changes_t *changes)
{
   const bson_t *now = find_published (published, n, "eclose.json");
   ecl_value_t root, others = ecl_missing ();
   bson_t *document = bson_new ();
   const char *path, *bytes;
   ecl_diags_t diags;
   ecl_text_t text;
   size_t len;

   ecl_text_init (&text);
   ecl_diags_init (&diags);
   if (now && ecl_catalog_read (now, &path, &bytes, &len, NULL)) {
      ecl_text_source_t source = {.name = "eclose.json", .bytes = bytes, .len = len};

      /* What nobody can read is written anew. */
      if (ecl_text_read_json (&text, &source, ECL_TEXT_NO_MAP, &diags)) {
         root = ecl_raw_document (text.doc, text.len);
         others = ecl_document_get (&root, "collections", 11);
      }
   }
   write_project (project, &others, published, n, document);
   differ (changes, now, document);
   ecl_diags_cleanup (&diags);
   ecl_text_cleanup (&text);
}

/* Steps of the collection to one of its versions, published under another name. */
static void
find_stale (const ecl_chain_t *chain, const ecl_step_t *step, const char *id, bson_t *const *published, size_t n,
            ecl_catalog_changes_t *changes)
{
   ecl_version_t to;
   bson_iter_t iter;

   for (size_t i = 0; i < n; i++) {
      if (leads_to (chain, published[i], &to) && to == step->to && bson_iter_init_find (&iter, published[i], "_id") &&
          BSON_ITER_HOLDS_UTF8 (&iter) && strcmp (bson_iter_utf8 (&iter, NULL), id) != 0) {
         changes->stale = bson_realloc (changes->stale, (changes->n_stale + 1) * sizeof (*changes->stale));
         changes->stale[changes->n_stale++] = bson_strdup (bson_iter_utf8 (&iter, NULL));
      }
   }
}

void
ecl_catalog_compare (const ecl_project_t *project, bson_t *const *published, size_t n, ecl_catalog_changes_t *changes)
{
   const ecl_chain_t *chains;
   size_t n_chains;

   memset (changes, 0, sizeof *changes);
   chains = ecl_project_chains (project, &n_chains);
   for (size_t c = 0; c < n_chains; c++) {
      if (is_behind (&chains[c], published, n)) {
         continue;
      }
      for (size_t s = 0; s < chains[c].n_steps; s++) {
         const ecl_step_t *step = &chains[c].steps[s];
         bson_t *document;
         bson_iter_t iter;

         if (step->up.kind != ECL_WAY_PIPELINE) {
            continue;
         }
         document = bson_new ();
         write_step (&chains[c], step, document);
         BSON_ASSERT (bson_iter_init_find (&iter, document, "_id"));
         find_stale (&chains[c], step, bson_iter_utf8 (&iter, NULL), published, n, changes);
         differ (changes, find_published (published, n, bson_iter_utf8 (&iter, NULL)), document);
      }
   }
   /* Last: who finds a collection there finds its steps. */
   if (n_chains) {
      compare_project (project, published, n, changes);
   }
}

void
ecl_catalog_changes_cleanup (ecl_catalog_changes_t *changes)
{
   for (size_t i = 0; i < changes->n_documents; i++) {
      bson_destroy (changes->documents[i]);
   }
   for (size_t i = 0; i < changes->n_stale; i++) {
      bson_free (changes->stale[i]);
   }
   bson_free (changes->documents);
   bson_free (changes->stale);
   memset (changes, 0, sizeof *changes);
}
