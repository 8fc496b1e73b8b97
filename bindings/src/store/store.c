/* What all records of eclose's own have in common: see store.h. */
#include "store/store.h"

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
