/* Documents that never change: see engine.h. */
#include "engine.h"

#include "mql/expr.h"

blob_t *
blob_new (const uint8_t *bytes, size_t len)
{
   blob_t *self = bson_malloc (sizeof *self + len);

   self->refs = 1;
   self->len = (uint32_t) len;
   memcpy (self->bytes, bytes, len);
   return self;
}

blob_t *
blob_of (bson_t *document)
{
   blob_t *self = blob_new (bson_get_data (document), document->len);

   bson_destroy (document);
   return self;
}

void
blob_unref (blob_t *self)
{
   if (self && --self->refs == 0) {
      bson_free (self);
   }
}

ecl_value_t
blob_value (const blob_t *self)
{
   return ecl_raw_document (self->bytes, self->len);
}

ecl_value_t
blob_get (const blob_t *self, const char *field)
{
   ecl_value_t document;

   if (!self) {
      return ecl_missing ();
   }
   document = blob_value (self);
   return ecl_document_get (&document, field, strlen (field));
}

int64_t
blob_number (const blob_t *self, const char *field)
{
   ecl_value_t value = blob_get (self, field);
   int64_t number = 0;

   return ecl_is_number (&value) && ecl_number_to_int64 (&value, &number) ? number : 0;
}

const char *
blob_text (const blob_t *self, const char *field)
{
   ecl_value_t value = blob_get (self, field);

   /* In raw BSON it is terminated. */
   return ecl_is_string (&value) ? value.u.str : "";
}

void
rows_add (rows_t *self, blob_t *row)
{
   if (self->n == self->cap) {
      self->cap = 2 * self->cap + 8;
      self->items = bson_realloc (self->items, self->cap * sizeof *self->items);
   }
   self->items[self->n++] = row;
}

void
rows_cleanup (rows_t *self)
{
   for (size_t i = 0; i < self->n; i++) {
      blob_unref (self->items[i]);
   }
   bson_free (self->items);
   memset (self, 0, sizeof *self);
}
