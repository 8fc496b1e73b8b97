/* eclose_floors: see floors.h. */
#include "store/floors.h"

void
ecl_floor_write (const ecl_floor_t *floor, bson_t *command)
{
   bson_t updates, update, query, pipeline, stage, set;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "update", ECL_STORE_FLOORS);
   BSON_APPEND_ARRAY_BEGIN (command, "updates", &updates);
   BSON_APPEND_DOCUMENT_BEGIN (&updates, "0", &update);
   BSON_APPEND_DOCUMENT_BEGIN (&update, "q", &query);
   BSON_APPEND_UTF8 (&query, "_id", floor->collection);
   bson_append_document_end (&update, &query);
   BSON_APPEND_ARRAY_BEGIN (&update, "u", &pipeline);
   BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
   BSON_APPEND_DOCUMENT_BEGIN (&stage, "$set", &set);
   ecl_store_append_text (&set, "floor", floor->floor);
   BSON_APPEND_BOOL (&set, "validated", floor->validated);
   BSON_APPEND_UTF8 (&set, "when", "$$NOW");
   if (floor->host) {
      ecl_store_append_text (&set, "host", floor->host);
   }
   if (floor->user) {
      ecl_store_append_text (&set, "user", floor->user);
   }
   bson_append_document_end (&stage, &set);
   bson_append_document_end (&pipeline, &stage);
   bson_append_array_end (&update, &pipeline);
   BSON_APPEND_BOOL (&update, "upsert", true);
   bson_append_document_end (&updates, &update);
   bson_append_array_end (command, &updates);
   ecl_store_write_concern (command);
}

void
ecl_floor_remove (const char *collection, bson_t *command)
{
   bson_t deletes, delete, query;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "delete", ECL_STORE_FLOORS);
   BSON_APPEND_ARRAY_BEGIN (command, "deletes", &deletes);
   BSON_APPEND_DOCUMENT_BEGIN (&deletes, "0", &delete);
   BSON_APPEND_DOCUMENT_BEGIN (&delete, "q", &query);
   BSON_APPEND_UTF8 (&query, "_id", collection);
   bson_append_document_end (&delete, &query);
   BSON_APPEND_INT32 (&delete, "limit", 1);
   bson_append_document_end (&deletes, &delete);
   bson_append_array_end (command, &deletes);
   ecl_store_write_concern (command);
}

void
ecl_floor_clear_validated (const char *collection, bson_t *command)
{
   bson_t *update =
      BCON_NEW ("update", BCON_UTF8 (ECL_STORE_FLOORS), "updates", "[", "{", "q", "{", "_id", BCON_UTF8 (collection),
                "}", "u", "{", "$set", "{", "validated", BCON_BOOL (false), "}", "}", "}", "]");

   bson_init (command);
   bson_concat (command, update);
   bson_destroy (update);
   ecl_store_write_concern (command);
}

void
ecl_floor_find (const char *collection, bson_t *command)
{
   bson_t child;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "find", ECL_STORE_FLOORS);
   BSON_APPEND_DOCUMENT_BEGIN (command, "filter", &child);
   if (collection) {
      BSON_APPEND_UTF8 (&child, "_id", collection);
   }
   bson_append_document_end (command, &child);
   BSON_APPEND_DOCUMENT_BEGIN (command, "sort", &child);
   BSON_APPEND_INT32 (&child, "_id", 1);
   bson_append_document_end (command, &child);
   ecl_store_single_batch (10000, command);
}

bool
ecl_floor_read (const bson_t *reply, size_t i, ecl_floor_t *out)
{
   bson_iter_t iter, batch, field;

   memset (out, 0, sizeof *out);
   if (!bson_iter_init (&iter, reply) || !bson_iter_find_descendant (&iter, "cursor.firstBatch", &batch) ||
       !bson_iter_recurse (&batch, &iter)) {
      return false;
   }
   do {
      if (!bson_iter_next (&iter)) {
         return false;
      }
   } while (i--);
   if (!BSON_ITER_HOLDS_DOCUMENT (&iter) || !bson_iter_recurse (&iter, &field)) {
      return false;
   }
   out->collection = out->floor = "";
   while (bson_iter_next (&field)) {
      const char *key = bson_iter_key (&field),
                 *text = BSON_ITER_HOLDS_UTF8 (&field) ? bson_iter_utf8 (&field, NULL) : NULL;

      if (strcmp (key, "_id") == 0 && text) {
         out->collection = text;
      } else if (strcmp (key, "floor") == 0 && text) {
         out->floor = text;
      } else if (strcmp (key, "validated") == 0) {
         out->validated = bson_iter_as_bool (&field);
      } else if (strcmp (key, "when") == 0 && BSON_ITER_HOLDS_DATE_TIME (&field)) {
         out->when = bson_iter_date_time (&field);
      } else if (strcmp (key, "host") == 0) {
         out->host = text;
      } else if (strcmp (key, "user") == 0) {
         out->user = text;
      }
   }
   return true;
}
