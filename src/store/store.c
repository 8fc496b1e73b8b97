/* What all records of eclose's own have in common: see store.h. */
#include "store/store.h"

void
ecl_append_value (bson_t *to, const char *key, ecl_arena_t *arena, const ecl_value_t *value)
{
   ecl_arena_mark_t mark = ecl_arena_mark (arena);
   ecl_field_t field = ecl_field ("", 0, *value);
   ecl_value_t wrapped = ecl_fields (&field, 1), raw;
   bson_iter_t iter;
   bson_t doc;

   if (value->type == ECL_MISSING) {
      return;
   }
   if (value->type == BSON_TYPE_DOCUMENT || value->type == BSON_TYPE_ARRAY) {
      /* These may be as large as a document can be: not wrapped. */
      if (ecl_value_to_raw (arena, value, &raw, NULL) && bson_init_static (&doc, raw.u.raw, raw.len)) {
         if (value->type == BSON_TYPE_DOCUMENT) {
            bson_append_document (to, key, -1, &doc);
         } else {
            bson_append_array (to, key, -1, &doc);
         }
      }
   } else if (ecl_value_to_raw (arena, &wrapped, &raw, NULL) && bson_init_static (&doc, raw.u.raw, raw.len) &&
              bson_iter_init (&iter, &doc) && bson_iter_next (&iter)) {
      bson_append_iter (to, key, -1, &iter);
   }
   ecl_arena_release (arena, mark);
}

void
ecl_store_write_concern (bson_t *command)
{
   bson_t concern;

   BSON_APPEND_DOCUMENT_BEGIN (command, "writeConcern", &concern);
   BSON_APPEND_UTF8 (&concern, "w", "majority");
   BSON_APPEND_BOOL (&concern, "j", true);
   BSON_APPEND_INT32 (&concern, "wtimeout", ECL_STORE_WTIMEOUT);
   bson_append_document_end (command, &concern);
}

void
ecl_store_read_concern (bson_t *command)
{
   bson_t concern;

   BSON_APPEND_DOCUMENT_BEGIN (command, "readConcern", &concern);
   BSON_APPEND_UTF8 (&concern, "level", "majority");
   bson_append_document_end (command, &concern);
}
