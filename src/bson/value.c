/* Values: making, walking and asking them; see value.h. Writing is in write.c. */
#include "bson/value.h"

#include "bson/cursor.h"

void
ecl_value_from_raw_slow (ecl_value_t *out, uint8_t type, const uint8_t *value, uint32_t len)
{
   switch (type) {
   case BSON_TYPE_DOUBLE:
      *out = ecl_double (ecl_load_double (value));
      break;
   case BSON_TYPE_UTF8:
   case BSON_TYPE_CODE:
   case BSON_TYPE_SYMBOL:
      *out = ecl_value_at (type, ECL_REP_RAW, len - 5, value + 4);
      break;
   case BSON_TYPE_BINARY:
      *out = ecl_value_at (type, ECL_REP_RAW, len - 5, value + 5);
      out->subtype = value[4];
      break;
   case BSON_TYPE_BOOL:
      *out = ecl_bool (value[0] != 0);
      break;
   case BSON_TYPE_DATE_TIME:
   case BSON_TYPE_INT64:
   case BSON_TYPE_TIMESTAMP:
      *out = ecl_value_make (type, ECL_REP_INLINE, 0, 0, ecl_load_u64 (value));
      break;
   case BSON_TYPE_INT32:
      *out = ecl_int32 ((int32_t) ecl_load_u32 (value));
      break;
   case BSON_TYPE_NULL:
   case BSON_TYPE_UNDEFINED:
   case BSON_TYPE_MINKEY:
   case BSON_TYPE_MAXKEY:
      *out = ecl_value_make (type, ECL_REP_INLINE, 0, 0, 0);
      break;
   default:
      *out = ecl_value_at (type, ECL_REP_RAW, len, value);
      break;
   }
}

bool
ecl_truthy (const ecl_value_t *v)
{
   switch (v->type) {
   case ECL_MISSING:
   case BSON_TYPE_NULL:
   case BSON_TYPE_UNDEFINED:
      return false;
   case BSON_TYPE_BOOL:
   case BSON_TYPE_INT32:
   case BSON_TYPE_INT64:
      return v->u.i64 != 0;
   case BSON_TYPE_DOUBLE:
      return v->u.f64 != 0;
   case BSON_TYPE_DECIMAL128: {
      /* Zero has a coefficient of 0; the forms with a large exponent field (two top bits set) and NaN/Inf are told
       * apart by the bits under the sign. */
      uint64_t low = ecl_load_u64 (v->u.raw);
      uint64_t high = ecl_load_u64 (v->u.raw + 8);
      unsigned combination = (unsigned) (high >> 58) & 0x1F;

      if (combination >= 0x1E) {
         return true; /* Infinity, NaN */
      }
      if ((combination >> 3) == 3) {
         return false; /* a coefficient too large to be canonical reads as 0 */
      }
      return low != 0 || (high & 0x1FFFFFFFFFFFFull) != 0;
   }
   default:
      return true;
   }
}

const char *
ecl_type_name (uint8_t type)
{
   switch (type) {
   case ECL_MISSING:
      return "missing";
   case BSON_TYPE_DOUBLE:
      return "double";
   case BSON_TYPE_UTF8:
      return "string";
   case BSON_TYPE_DOCUMENT:
      return "object";
   case BSON_TYPE_ARRAY:
      return "array";
   case BSON_TYPE_BINARY:
      return "binData";
   case BSON_TYPE_UNDEFINED:
      return "undefined";
   case BSON_TYPE_OID:
      return "objectId";
   case BSON_TYPE_BOOL:
      return "bool";
   case BSON_TYPE_DATE_TIME:
      return "date";
   case BSON_TYPE_NULL:
      return "null";
   case BSON_TYPE_REGEX:
      return "regex";
   case BSON_TYPE_DBPOINTER:
      return "dbPointer";
   case BSON_TYPE_CODE:
      return "javascript";
   case BSON_TYPE_SYMBOL:
      return "symbol";
   case BSON_TYPE_CODEWSCOPE:
      return "javascriptWithScope";
   case BSON_TYPE_INT32:
      return "int";
   case BSON_TYPE_TIMESTAMP:
      return "timestamp";
   case BSON_TYPE_INT64:
      return "long";
   case BSON_TYPE_DECIMAL128:
      return "decimal";
   case BSON_TYPE_MINKEY:
      return "minKey";
   case BSON_TYPE_MAXKEY:
      return "maxKey";
   default:
      return "invalid";
   }
}

void
ecl_iter_init (ecl_iter_t *self, const ecl_value_t *v)
{
   memset (self, 0, sizeof *self);
   switch (v->rep) {
   case ECL_REP_RAW:
      self->next = v->u.raw + 4;
      self->end = v->u.raw + v->len - 1;
      break;
   case ECL_REP_VEC:
      self->item = v->u.vec;
      /* an empty one may have no memory */
      self->items_end = v->len ? v->u.vec + v->len : v->u.vec;
      break;
   case ECL_REP_FIELDS:
      self->field = v->u.fields;
      self->fields_end = v->len ? v->u.fields + v->len : v->u.fields;
      break;
   default:
      break;
   }
}

/* One element of raw bytes that are known to be well formed. */
static inline bool
raw_next (ecl_iter_t *self, ecl_field_t *out)
{
   ecl_cursor_t cursor;

   if (self->next >= self->end) {
      return false;
   }
   cursor.next = self->next;
   cursor.end = self->end;
   if (!ecl_cursor_next (&cursor)) {
      return false;
   }
   self->next = cursor.next;
   out->key = cursor.key;
   out->key_len = cursor.key_len;
   out->unused = 0;
   ecl_cursor_value (&cursor, &out->value);
   return true;
}

bool
ecl_iter_entry (ecl_iter_t *self, ecl_field_t *out)
{
   for (;;) {
      if (self->next) {
         if (raw_next (self, out)) {
            return true;
         }
         self->next = NULL;
      }
      if (self->field == self->fields_end) {
         return false;
      }
      *out = *self->field++;
      if (out->value.rep == ECL_REP_RUN) {
         /* A run has no terminator of its own: its end serves as the cursor's bound. */
         self->next = out->value.u.raw;
         self->end = out->value.u.raw + out->value.len;
      } else {
         return true;
      }
   }
}

bool
ecl_iter_field (ecl_iter_t *self, ecl_field_t *out)
{
   while (ecl_iter_entry (self, out)) {
      if (ECL_LIKELY (out->value.type != ECL_MISSING)) {
         return true;
      }
   }
   return false;
}

bool
ecl_iter_item (ecl_iter_t *self, ecl_value_t *out)
{
   ecl_field_t field;

   if (self->next) {
      if (!raw_next (self, &field)) {
         return false;
      }
      *out = field.value;
      return true;
   }
   if (self->item == self->items_end) {
      return false;
   }
   *out = ecl_present (*self->item++);
   return true;
}

uint32_t
ecl_array_count (const ecl_value_t *array)
{
   ecl_iter_t iter;
   ecl_value_t item;
   uint32_t n = 0;

   if (array->rep == ECL_REP_VEC) {
      return array->len;
   }
   ecl_iter_init (&iter, array);
   while (ecl_iter_item (&iter, &item)) {
      n++;
   }
   return n;
}

const ecl_value_t *
ecl_array_items (ecl_arena_t *arena, const ecl_value_t *array, uint32_t *n)
{
   ecl_iter_t iter;
   ecl_value_t *items;
   uint32_t cap, count = 0;

   if (array->rep == ECL_REP_VEC) {
      *n = array->len;
      return array->u.vec;
   }
   cap = 16;
   items = ecl_arena_array (arena, ecl_value_t, cap);
   ecl_iter_init (&iter, array);
   for (;;) {
      if (count == cap) {
         items = ecl_arena_grow (arena, items, cap * sizeof *items, 2 * (size_t) cap * sizeof *items);
         cap *= 2;
      }
      if (!ecl_iter_item (&iter, &items[count])) {
         break;
      }
      count++;
   }
   *n = count;
   return items;
}

ecl_value_t
ecl_document_get (const ecl_value_t *document, const char *key, size_t key_len)
{
   ecl_iter_t iter;
   ecl_field_t field;

   ecl_iter_init (&iter, document);
   while (ecl_iter_field (&iter, &field)) {
      if (field.key_len == key_len && memcmp (field.key, key, key_len) == 0) {
         return field.value;
      }
   }
   return ecl_missing ();
}

bool
ecl_document_is_empty (const ecl_value_t *document)
{
   ecl_iter_t iter;
   ecl_field_t first;

   ecl_iter_init (&iter, document);
   return !ecl_iter_field (&iter, &first);
}

const ecl_field_t *
ecl_document_fields (ecl_arena_t *arena, const ecl_value_t *document, uint32_t *n)
{
   ecl_iter_t iter;
   ecl_field_t *fields;
   uint32_t cap = 16, count = 0;

   fields = ecl_arena_array (arena, ecl_field_t, cap);
   ecl_iter_init (&iter, document);
   for (;;) {
      if (count == cap) {
         fields = ecl_arena_grow (arena, fields, cap * sizeof *fields, 2 * (size_t) cap * sizeof *fields);
         cap *= 2;
      }
      if (!ecl_iter_field (&iter, &fields[count])) {
         break;
      }
      count++;
   }
   *n = count;
   return fields;
}
