/* Replies to find, aggregate and getMore: the batch in them, cut out as one document after another. */
#include "module.h"

#include <string.h>

/* Where the batch of a reply is. */
typedef struct {
   bson_iter_t documents; /* of the array */
   char name[16];         /* firstBatch or nextBatch */
   size_t len;            /* of all documents together */
} batch_t;

/* False where the reply has no batch of documents only. */
static bool
find_batch (const bson_t *reply, batch_t *batch)
{
   bson_iter_t iter, cursor, each;

   if (!bson_iter_init_find (&iter, reply, "cursor") || !BSON_ITER_HOLDS_DOCUMENT (&iter) ||
       !bson_iter_recurse (&iter, &cursor)) {
      return false;
   }
   while (bson_iter_next (&cursor)) {
      const char *key = bson_iter_key (&cursor);

      if ((strcmp (key, "firstBatch") == 0 || strcmp (key, "nextBatch") == 0) && BSON_ITER_HOLDS_ARRAY (&cursor) &&
          bson_iter_recurse (&cursor, &batch->documents)) {
         memcpy (batch->name, key, strlen (key) + 1);
         each = batch->documents;
         while (bson_iter_next (&each)) {
            const uint8_t *data;
            uint32_t len;

            if (!BSON_ITER_HOLDS_DOCUMENT (&each)) {
               return false;
            }
            bson_iter_document (&each, &len, &data);
            batch->len += len;
         }
         return each.err_off == 0;
      }
   }
   return false;
}

/* The reply with an empty batch. */
static bool
without_batch (const bson_t *reply, const char *name, bson_t *out)
{
   bson_iter_t iter, inner;
   bson_t cursor, empty;
   bool good = true;

   bson_init (out);
   good = bson_iter_init (&iter, reply);
   while (good && bson_iter_next (&iter)) {
      if (strcmp (bson_iter_key (&iter), "cursor") != 0 || !bson_iter_recurse (&iter, &inner)) {
         good = bson_append_iter (out, NULL, 0, &iter);
         continue;
      }
      BSON_APPEND_DOCUMENT_BEGIN (out, "cursor", &cursor);
      while (good && bson_iter_next (&inner)) {
         if (strcmp (bson_iter_key (&inner), name) == 0) {
            BSON_APPEND_ARRAY_BEGIN (&cursor, name, &empty);
            bson_append_array_end (&cursor, &empty);
         } else {
            good = bson_append_iter (&cursor, NULL, 0, &inner);
         }
      }
      bson_append_document_end (out, &cursor);
   }
   return good && iter.err_off == 0;
}

/* cut_batch (reply) → (reply without its batch, name of the batch, batch), or None. */
PyObject *
py_cut_batch (PyObject *module, PyObject *bytes)
{
   PyObject *batch_bytes = NULL, *result = NULL;
   batch_t batch = {.len = 0};
   bson_t reply, rest;
   char *to;

   (void) module;
   if (!py_document (bytes, &reply)) {
      return NULL;
   }
   if (!find_batch (&reply, &batch) || batch.len > PY_SSIZE_T_MAX) {
      return Py_NewRef (Py_None);
   }
   if (!without_batch (&reply, batch.name, &rest)) {
      bson_destroy (&rest);
      return Py_NewRef (Py_None);
   }
   batch_bytes = PyBytes_FromStringAndSize (NULL, (Py_ssize_t) batch.len);
   to = batch_bytes ? PyBytes_AsString (batch_bytes) : NULL;
   while (to && bson_iter_next (&batch.documents)) {
      const uint8_t *data;
      uint32_t len;

      bson_iter_document (&batch.documents, &len, &data);
      memcpy (to, data, len);
      to += len;
   }
   if (batch_bytes) {
      result =
         Py_BuildValue ("(y#sO)", (const char *) bson_get_data (&rest), (Py_ssize_t) rest.len, batch.name, batch_bytes);
   }
   Py_XDECREF (batch_bytes);
   bson_destroy (&rest);
   return result;
}
