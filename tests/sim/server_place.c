/* Where the server's documents are: collections, and places in the order of _id. See server.h. */
#include "server.h"

#include "bson/append.h"
#include "bson/compare.h"
#include "mql/expr.h"

const collection_t *
server_collection (const server_t *self, const char *name)
{
   for (size_t i = 0; i < self->n; i++) {
      if (strcmp (self->collections[i].name, name) == 0) {
         return &self->collections[i];
      }
   }
   return NULL;
}

collection_t *
server_place (server_t *self, const char *name)
{
   collection_t *found = (collection_t *) server_collection (self, name);

   if (!found) {
      BSON_ASSERT (self->n < MAX_COLLECTIONS);
      found = &self->collections[self->n++];
      bson_strncpy (found->name, name, sizeof found->name);
   }
   return found;
}

size_t
server_behind (const collection_t *collection, const ecl_value_t *id)
{
   size_t low = 0, high = collection->n;

   while (low < high) {
      size_t middle = low + (high - low) / 2;

      if (ecl_compare (id, &collection->slots[middle]->id) < 0) {
         high = middle;
      } else {
         low = middle + 1;
      }
   }
   return low;
}

/* What {_id: {$gt: x, …}} leaves of the places from *from to *end. */
static void
narrow (const collection_t *collection, const ecl_value_t *bounds, size_t *from, size_t *end)
{
   ecl_field_t bound;
   ecl_iter_t iter;

   if (!ecl_is_document (bounds)) {
      return;
   }
   ecl_iter_init (&iter, bounds);
   while (ecl_iter_field (&iter, &bound)) {
      bool above = ecl_key_is (&bound, "$gt") || ecl_key_is (&bound, "$gte");
      size_t at;

      if (!above && !ecl_key_is (&bound, "$lt") && !ecl_key_is (&bound, "$lte")) {
         continue;
      }
      at = server_behind (collection, &bound.value);
      if (above) {
         at -= at > 0; /* which may be it */
         *from = at > *from ? at : *from;
      } else {
         *end = at < *end ? at : *end;
      }
   }
}

void
server_span (const collection_t *collection, const ecl_value_t *filter, size_t *from, size_t *end)
{
   ecl_value_t bounds = ecl_document_get (filter, "_id", 3), and = ecl_document_get (filter, "$and", 4), one;
   ecl_iter_t iter;

   *from = 0;
   *end = collection->n;
   narrow (collection, &bounds, from, end);
   if (ecl_is_array (&and)) {
      ecl_iter_init (&iter, &and);
      while (ecl_iter_item (&iter, &one)) {
         bounds = ecl_document_get (&one, "_id", 3);
         narrow (collection, &bounds, from, end);
      }
   }
}

slot_t *
server_slot (collection_t *collection, const ecl_value_t *id, bool make)
{
   size_t at = server_behind (collection, id);
   bson_t key;
   slot_t *slot;

   if (at > 0 && ecl_compare (id, &collection->slots[at - 1]->id) == 0) {
      return collection->slots[at - 1];
   }
   if (!make) {
      return NULL;
   }
   if (collection->n == collection->cap) {
      collection->cap = 2 * collection->cap + 16;
      collection->slots = bson_realloc (collection->slots, collection->cap * sizeof (slot_t *));
   }
   memmove (collection->slots + at + 1, collection->slots + at, (collection->n - at) * sizeof (slot_t *));
   collection->n++;
   slot = bson_malloc0 (sizeof *slot);
   slot->collection = collection;
   bson_init (&key);
   ecl_append_value (&key, "_id", id);
   slot->key = blob_of (&key);
   slot->id = blob_get (slot->key, "_id");
   collection->slots[at] = slot;
   return slot;
}

const blob_t *
server_get (const server_t *self, const char *collection, const ecl_value_t *id, bool majority)
{
   const collection_t *place = server_collection (self, collection);
   const slot_t *slot = place ? server_slot ((collection_t *) place, id, false) : NULL;

   return !slot ? NULL : majority ? slot->majority : slot->current;
}

const blob_t *
server_get_text (const server_t *self, const char *collection, const char *id, bool majority)
{
   ecl_value_t key = ecl_string (id, strlen (id));

   return server_get (self, collection, &key, majority);
}

void
server_put (server_t *self, const char *collection, blob_t *document)
{
   ecl_value_t id = blob_get (document, "_id");
   slot_t *slot = server_slot (server_place (self, collection), &id, true);

   BSON_ASSERT (!slot->current);
   slot->current = document;
   slot->majority = blob_ref (document);
}
