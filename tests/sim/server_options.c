/* What the simulated server has for a collection beside its documents: a validator. It is a document like any, so that
 * it is in the oplog, and another primary may have lost it: collMod, listCollections, listIndexes, and who is let in. */
#include "sim.h"

#include "bson/append.h"

static const blob_t *
options_of (const server_t *self, const ecl_value_t *collection)
{
   return server_get (self, SERVER_OPTIONS, collection, false);
}

bool
server_lets_in (const execution_t *self, const slot_t *slot, const blob_t *document)
{
   ecl_value_t name = ecl_string (slot->collection->name, strlen (slot->collection->name)), validator;
   const blob_t *options = document ? options_of (self->server, &name) : NULL;

   validator = blob_get (options, "validator");
   return !options || strcmp (blob_text (options, "validationAction"), "error") != 0 ||
          engine_matches (&validator, document, self->clock);
}

/* All three at once, as eclose says them. */
static int32_t
run_coll_mod (execution_t *self)
{
   static const char *const fields[] = {"validator", "validationLevel", "validationAction"};
   ecl_value_t name = ecl_string (self->collection->name, strlen (self->collection->name));
   slot_t *slot = server_slot (server_place (self->server, SERVER_OPTIONS), &name, true);
   bson_t options = BSON_INITIALIZER;
   int32_t code;

   ecl_append_value (&options, "_id", &name);
   for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
      ecl_value_t value = command_get (self, fields[i]);

      ecl_append_value (&options, fields[i], &value);
   }
   (void) server_write (self, slot, blob_of (&options), &code);
   return code;
}

/* One row, as in a cursor's first batch. */
static void
append_row (bson_t *reply, const bson_t *row)
{
   bson_t cursor, batch;

   BSON_APPEND_DOCUMENT_BEGIN (reply, "cursor", &cursor);
   BSON_APPEND_INT64 (&cursor, "id", 0);
   BSON_APPEND_ARRAY_BEGIN (&cursor, "firstBatch", &batch);
   BSON_APPEND_DOCUMENT (&batch, "0", row);
   bson_append_array_end (&cursor, &batch);
   bson_append_document_end (reply, &cursor);
}

/* By its name; there are no others. */
static int32_t
run_list_collections (execution_t *self)
{
   ecl_value_t filter = command_get (self, "filter"), name = ecl_document_get (&filter, "name", 4), all;
   const blob_t *options = options_of (self->server, &name);
   bson_t row = BSON_INITIALIZER;

   ecl_append_value (&row, "name", &name);
   BSON_APPEND_UTF8 (&row, "type", "collection");
   if (options) {
      all = blob_value (options);
      ecl_append_value (&row, "options", &all);
   }
   append_row (self->reply, &row);
   bson_destroy (&row);
   return 0;
}

static int32_t
run_list_indexes (execution_t *self)
{
   bson_t *row = BCON_NEW ("name", "_id_", "key", "{", "_id", BCON_INT32 (1), "}");

   append_row (self->reply, row);
   bson_destroy (row);
   return 0;
}

int32_t
server_run_options (execution_t *self)
{
   if (strcmp (self->name, "collMod") == 0) {
      return run_coll_mod (self);
   }
   if (strcmp (self->name, "listCollections") == 0) {
      return run_list_collections (self);
   }
   if (strcmp (self->name, "listIndexes") == 0) {
      return run_list_indexes (self);
   }
   return -1;
}
