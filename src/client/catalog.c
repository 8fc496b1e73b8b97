/* eclose_catalog: the migrations in the database. Read from the primary what the majority has, written to the majority.
 */
#include "client/client-private.h"

#define CATALOG "eclose_catalog"
#define WTIMEOUT 30000

/* Stores it, unless it is there as it is. */
static bool
put (mongoc_collection_t *catalog, const bson_t *document, const bson_t *opts, bson_error_t *error)
{
   mongoc_read_prefs_t *primary = mongoc_read_prefs_new (MONGOC_READ_PRIMARY);
   mongoc_cursor_t *cursor = NULL;
   const bson_t *now = NULL;
   bson_t by_id;
   bool ok;

   ok = ecl_client_by_id (document, &by_id);
   if (ok) {
      cursor = mongoc_collection_find_with_opts (catalog, &by_id, NULL, primary);
      if (!mongoc_cursor_next (cursor, &now) || !bson_equal (now, document)) {
         ok = !mongoc_cursor_error (cursor, error) &&
              mongoc_collection_replace_one (catalog, &by_id, document, opts, NULL, error);
      }
      mongoc_cursor_destroy (cursor);
   }
   bson_destroy (&by_id);
   mongoc_read_prefs_destroy (primary);
   return ok;
}

bool
eclose_project_publish (const eclose_project_t *project, mongoc_client_t *client, const char *database,
                        bson_error_t *error)
{
   mongoc_collection_t *catalog = mongoc_client_get_collection (client, database, CATALOG);
   mongoc_write_concern_t *majority = mongoc_write_concern_new ();
   bson_t document, opts = BSON_INITIALIZER;
   bool ok = true;

   mongoc_write_concern_set_wmajority (majority, WTIMEOUT);
   mongoc_write_concern_set_journal (majority, true);
   mongoc_write_concern_append (majority, &opts);
   BSON_APPEND_BOOL (&opts, "upsert", true);
   for (size_t i = 0; ok; i++) {
      bool more = eclose_project_document (project, i, &document);

      if (more) {
         ok = put (catalog, &document, &opts, error);
      }
      bson_destroy (&document);
      if (!more) {
         break;
      }
   }
   bson_destroy (&opts);
   mongoc_write_concern_destroy (majority);
   mongoc_collection_destroy (catalog);
   return ok;
}

bool
eclose_project_add_catalog (eclose_project_t *project, mongoc_client_t *client, const char *database,
                            bson_error_t *error)
{
   mongoc_collection_t *catalog = mongoc_client_get_collection (client, database, CATALOG);
   mongoc_read_concern_t *majority = mongoc_read_concern_new ();
   mongoc_read_prefs_t *primary = mongoc_read_prefs_new (MONGOC_READ_PRIMARY);
   bson_t all = BSON_INITIALIZER, opts = BSON_INITIALIZER;
   mongoc_cursor_t *cursor;
   const bson_t *document;
   bool ok = true;

   mongoc_read_concern_set_level (majority, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
   mongoc_read_concern_append (majority, &opts);
   cursor = mongoc_collection_find_with_opts (catalog, &all, &opts, primary);
   while (ok && mongoc_cursor_next (cursor, &document)) {
      ok = eclose_project_add_document (project, document, error);
   }
   ok = ok && !mongoc_cursor_error (cursor, error);
   mongoc_cursor_destroy (cursor);
   bson_destroy (&opts);
   bson_destroy (&all);
   mongoc_read_prefs_destroy (primary);
   mongoc_read_concern_destroy (majority);
   mongoc_collection_destroy (catalog);
   return ok;
}
