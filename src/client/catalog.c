/* eclose_catalog: the migrations in the database. Read from the primary what the majority has, written to the majority.
 */
#include "client/client-private.h"

#define CATALOG "eclose_catalog"
#define WTIMEOUT 30000

typedef struct {
   bson_t **documents;
   size_t n;
} published_t;

/* Every document of the catalog. */
static mongoc_cursor_t *
find_all (mongoc_collection_t *catalog)
{
   mongoc_read_concern_t *majority = mongoc_read_concern_new ();
   mongoc_read_prefs_t *primary = mongoc_read_prefs_new (MONGOC_READ_PRIMARY);
   bson_t all = BSON_INITIALIZER, opts = BSON_INITIALIZER;
   mongoc_cursor_t *cursor;

   mongoc_read_concern_set_level (majority, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
   mongoc_read_concern_append (majority, &opts);
   cursor = mongoc_collection_find_with_opts (catalog, &all, &opts, primary);
   bson_destroy (&opts);
   bson_destroy (&all);
   mongoc_read_prefs_destroy (primary);
   mongoc_read_concern_destroy (majority);
   return cursor;
}

static bool
read_all (mongoc_collection_t *catalog, published_t *out, bson_error_t *error)
{
   mongoc_cursor_t *cursor = find_all (catalog);
   const bson_t *document;
   bool ok;

   while (mongoc_cursor_next (cursor, &document)) {
      out->documents = bson_realloc (out->documents, (out->n + 1) * sizeof *out->documents);
      out->documents[out->n++] = bson_copy (document);
   }
   ok = !mongoc_cursor_error (cursor, error);
   mongoc_cursor_destroy (cursor);
   return ok;
}

/* The array of that name of what eclose_project_changes says. */
static bool
changes_of (const bson_t *changes, const char *name, bson_iter_t *items)
{
   bson_iter_t iter;

   return bson_iter_init_find (&iter, changes, name) && bson_iter_recurse (&iter, items);
}

static bool
apply (mongoc_collection_t *catalog, const bson_t *changes, bson_error_t *error)
{
   mongoc_write_concern_t *majority = mongoc_write_concern_new ();
   bson_t removing = BSON_INITIALIZER, storing = BSON_INITIALIZER, by_id;
   bson_iter_t item;
   bool ok;

   mongoc_write_concern_set_wmajority (majority, WTIMEOUT);
   mongoc_write_concern_set_journal (majority, true);
   mongoc_write_concern_append (majority, &removing);
   mongoc_write_concern_append (majority, &storing);
   BSON_APPEND_BOOL (&storing, "upsert", true);
   ok = changes_of (changes, "remove", &item);
   while (ok && bson_iter_next (&item)) {
      bson_init (&by_id);
      bson_append_iter (&by_id, "_id", 3, &item);
      ok = mongoc_collection_delete_one (catalog, &by_id, &removing, NULL, error);
      bson_destroy (&by_id);
   }
   ok = ok && changes_of (changes, "store", &item);
   while (ok && bson_iter_next (&item)) {
      const uint8_t *bytes;
      uint32_t len;
      bson_t document;

      bson_iter_document (&item, &len, &bytes);
      BSON_ASSERT (bson_init_static (&document, bytes, len));
      ok = ecl_client_by_id (&document, &by_id) &&
           mongoc_collection_replace_one (catalog, &by_id, &document, &storing, NULL, error);
      bson_destroy (&by_id);
   }
   bson_destroy (&removing);
   bson_destroy (&storing);
   mongoc_write_concern_destroy (majority);
   return ok;
}

bool
eclose_project_publish (const eclose_project_t *project, mongoc_client_t *client, const char *database,
                        bson_error_t *error)
{
   mongoc_collection_t *catalog = mongoc_client_get_collection (client, database, CATALOG);
   published_t published = {0};
   bson_t changes;
   bool ok = read_all (catalog, &published, error);

   if (ok) {
      ok = eclose_project_changes (project, published.documents, published.n, &changes, error) &&
           apply (catalog, &changes, error);
      bson_destroy (&changes);
   }
   for (size_t i = 0; i < published.n; i++) {
      bson_destroy (published.documents[i]);
   }
   bson_free (published.documents);
   mongoc_collection_destroy (catalog);
   return ok;
}

bool
eclose_project_add_catalog (eclose_project_t *project, mongoc_client_t *client, const char *database,
                            bson_error_t *error)
{
   mongoc_collection_t *catalog = mongoc_client_get_collection (client, database, CATALOG);
   mongoc_cursor_t *cursor = find_all (catalog);
   const bson_t *document;
   bool ok = true;

   while (ok && mongoc_cursor_next (cursor, &document)) {
      ok = eclose_project_add_document (project, document, error);
   }
   ok = ok && !mongoc_cursor_error (cursor, error);
   mongoc_cursor_destroy (cursor);
   mongoc_collection_destroy (catalog);
   return ok;
}
