/* Publishing: see publish.h. */
#include "run/publish.h"

#include "run/insist.h"
#include "run/scan.h"
#include "store/store.h"

#define SEND_MS 60000
#define PAGE 500u

/* Of one command: far below what the server takes, and few enough to be quick. */
#define STATEMENTS_MAX 500
#define BYTES_MAX (8u * 1024 * 1024)

typedef struct {
   bson_t **documents;
   size_t n, cap;
} published_t;

static void
forget_all (published_t *self)
{
   for (size_t i = 0; i < self->n; i++) {
      bson_destroy (self->documents[i]);
   }
   self->n = 0;
}

/* What is published: all of it, or, of one collection's steps, where they lead to. */
static bool
read_published (ecl_world_t *world, const char *database, const char *collection, published_t *out,
                bson_error_t *error)
{
   bson_t filter = BSON_INITIALIZER;
   const ecl_value_t *item;
   ecl_scan_t scan;
   bool good;

   if (collection) {
      BSON_APPEND_UTF8 (&filter, "collection", collection);
   }
   ecl_scan_init (&scan);
   ecl_scan_start (&scan, &filter, true);
   if (collection) {
      scan.fields[0] = "collection";
      scan.fields[1] = "to";
   }
   do {
      forget_all (out);
      while ((good = ecl_scan_next (&scan, world, database, ECL_STORE_CATALOG, PAGE, &item, error)) && item) {
         if (out->n == out->cap) {
            out->cap = 2 * out->cap + 32;
            out->documents = bson_realloc (out->documents, out->cap * sizeof (*out->documents));
         }
         out->documents[out->n++] = bson_new_from_data (item->u.raw, item->len);
      }
   } while (!good && ecl_scan_again (&scan, world));
   ecl_scan_cleanup (&scan);
   bson_destroy (&filter);
   return good;
}

/* Sends {update | delete: eclose_catalog, …}. */
static bool
send (ecl_world_t *world, const char *database, const char *verb, const char *list, const bson_t *statements,
      bson_error_t *error)
{
   bson_t command = BSON_INITIALIZER, reply;
   bool good;

   bson_append_utf8 (&command, verb, -1, ECL_STORE_CATALOG, -1);
   ecl_store_write_concern (&command);
   bson_append_array (&command, list, -1, statements);
   good = ecl_insist (world, database, &command, world->now (world) + SEND_MS, NULL, &reply, error) == ECL_REPLY_OK;
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

static void
append_by_id (bson_t *statement, const char *id)
{
   bson_t q;

   BSON_APPEND_DOCUMENT_BEGIN (statement, "q", &q);
   BSON_APPEND_UTF8 (&q, "_id", id);
   bson_append_document_end (statement, &q);
}

static bool
remove_stale (ecl_world_t *world, const char *database, const ecl_catalog_changes_t *changes, bson_error_t *error)
{
   bson_t list = BSON_INITIALIZER, one;
   bool good;

   if (!changes->n_stale) {
      bson_destroy (&list);
      return true;
   }
   for (size_t i = 0; i < changes->n_stale; i++) {
      char buffer[16];
      const char *key;

      bson_uint32_to_string ((uint32_t) i, &key, buffer, sizeof buffer);
      BSON_APPEND_DOCUMENT_BEGIN (&list, key, &one);
      append_by_id (&one, changes->stale[i]);
      BSON_APPEND_INT32 (&one, "limit", 1);
      bson_append_document_end (&list, &one);
   }
   good = send (world, database, "delete", "deletes", &list, error);
   bson_destroy (&list);
   return good;
}

static bool
store (ecl_world_t *world, const char *database, const ecl_catalog_changes_t *changes, bson_error_t *error)
{
   bool good = true;

   for (size_t i = 0; good && i < changes->n_documents;) {
      bson_t list = BSON_INITIALIZER, one;
      uint32_t n = 0;

      while (i < changes->n_documents && n < STATEMENTS_MAX &&
             (!n || list.len + changes->documents[i]->len < BYTES_MAX)) {
         const bson_t *document = changes->documents[i++];
         char buffer[16];
         bson_iter_t iter;
         const char *key;

         BSON_ASSERT (bson_iter_init_find (&iter, document, "_id"));
         bson_uint32_to_string (n++, &key, buffer, sizeof buffer);
         BSON_APPEND_DOCUMENT_BEGIN (&list, key, &one);
         append_by_id (&one, bson_iter_utf8 (&iter, NULL));
         BSON_APPEND_DOCUMENT (&one, "u", document);
         BSON_APPEND_BOOL (&one, "upsert", true);
         bson_append_document_end (&list, &one);
      }
      good = send (world, database, "update", "updates", &list, error);
      bson_destroy (&list);
   }
   return good;
}

bool
ecl_publish (ecl_world_t *world, const char *database, const ecl_project_t *project, size_t *written,
             bson_error_t *error)
{
   ecl_catalog_changes_t changes = {0};
   published_t published = {0};
   bool good;

   good = read_published (world, database, NULL, &published, error);
   if (good) {
      ecl_catalog_compare (project, published.documents, published.n, &changes);
      good = remove_stale (world, database, &changes, error) && store (world, database, &changes, error);
   }
   if (written) {
      *written = changes.n_documents + changes.n_stale;
   }
   if (!good) {
      ecl_error_prefix (error, "publishing to " ECL_STORE_CATALOG);
   }
   ecl_catalog_changes_cleanup (&changes);
   forget_all (&published);
   bson_free (published.documents);
   return good;
}

bool
ecl_publish_later (ecl_world_t *world, const char *database, const ecl_chain_t *chain, char last[ECL_VERSION_TEXT],
                   bson_error_t *error)
{
   published_t published = {0};
   ecl_version_t version;
   bool good;

   *last = '\0';
   good = read_published (world, database, chain->collection, &published, error);
   if (good && ecl_catalog_later (chain, published.documents, published.n, &version)) {
      ecl_version_text (chain->format, version, last);
   }
   forget_all (&published);
   bson_free (published.documents);
   return good;
}
