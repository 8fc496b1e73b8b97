/* Writing values as BSON: first the exact size, then the bytes, so that no buffer is ever checked or moved half way.
 * See value.h. */
#include "base/buf.h"
#include "bson/cursor.h"

/* Decimal digits of an array index. */
static unsigned
index_digits (uint32_t i)
{
   unsigned n = 1;

   while (i >= 10) {
      i /= 10;
      n++;
   }
   return n;
}

/* Bytes of the keys "0" … "n-1" with their NULs and type bytes. */
static uint64_t
index_keys_size (uint32_t n)
{
   uint64_t size = 0;
   uint64_t from = 0, to = 10;
   unsigned digits = 1;

   if (ECL_LIKELY (n <= 10)) {
      return 3 * (uint64_t) n;
   }
   while (from < n) {
      uint64_t upto = to < n ? to : n;
      size += (upto - from) * (digits + 2);
      from = to;
      to *= 10;
      digits++;
   }
   return size;
}

/* Nothing larger is ever written; sums of a few of them cannot overflow. */
#define HUGE_SIZE ((uint64_t) 1 << 40)

/* Nobody wants to know of more than this how much it is. A value may hold one part many times, in itself too: to count
 * all of {l: x, r: x} of {l: y, r: y} of … would take for ever. */
#define MOST ((uint64_t) 1 << 26)

static uint64_t
size_at (const ecl_value_t *v, unsigned depth);

static inline uint64_t
child_size (const ecl_value_t *v, unsigned depth)
{
   return ECL_LIKELY (v->type == BSON_TYPE_UTF8) ? 5 + (uint64_t) v->len : size_at (v, depth + 1);
}

static uint64_t
size_at (const ecl_value_t *v, unsigned depth)
{
   uint64_t size;

   switch (v->type) {
   case BSON_TYPE_DOUBLE:
   case BSON_TYPE_DATE_TIME:
   case BSON_TYPE_TIMESTAMP:
   case BSON_TYPE_INT64:
      return 8;
   case BSON_TYPE_INT32:
      return 4;
   case BSON_TYPE_BOOL:
      return 1;
   case BSON_TYPE_UTF8:
   case BSON_TYPE_SYMBOL:
   case BSON_TYPE_CODE:
   case BSON_TYPE_BINARY:
      return 5 + (uint64_t) v->len;
   case BSON_TYPE_DOCUMENT:
   case BSON_TYPE_ARRAY:
      break;
   case ECL_MISSING:
   case BSON_TYPE_NULL:
   case BSON_TYPE_UNDEFINED:
   case BSON_TYPE_MINKEY:
   case BSON_TYPE_MAXKEY:
      return 0;
   default:
      return v->len;
   }
   if (v->rep == ECL_REP_RAW) {
      return v->len;
   }
   if (depth > ECL_BSON_MAX_DEPTH) {
      return HUGE_SIZE;
   }
   size = 5;
   if (v->rep == ECL_REP_VEC) {
      size += index_keys_size (v->len);
      for (uint32_t i = 0; i < v->len && size <= MOST; i++) {
         size += child_size (&v->u.vec[i], depth);
      }
   } else {
      for (uint32_t i = 0; i < v->len && size <= MOST; i++) {
         const ecl_field_t *field = &v->u.fields[i];

         if (field->value.rep == ECL_REP_RUN) {
            size += field->value.len;
         } else if (field->value.type != ECL_MISSING) {
            size += 2 + (uint64_t) field->key_len + child_size (&field->value, depth);
         }
      }
   }
   return size <= MOST ? size : HUGE_SIZE;
}

uint64_t
ecl_value_size (const ecl_value_t *v)
{
   uint64_t size = size_at (v, 1);

   return size > UINT32_MAX ? UINT64_MAX : size;
}

static uint8_t *
write_index (uint8_t *out, uint32_t i)
{
   uint8_t *end;

   if (ECL_LIKELY (i < 10)) {
      *out++ = (uint8_t) ('0' + i);
      *out++ = 0;
      return out;
   }
   end = out + index_digits (i);

   *end = 0;
   for (uint8_t *p = end; p > out; i /= 10) {
      *--p = (uint8_t) ('0' + i % 10);
   }
   return end + 1;
}

static inline uint8_t *
put (uint8_t *out, const void *data, size_t n)
{
   ecl_copy_short (out, data, n);
   return out + n;
}

static inline uint8_t *
write_string (const ecl_value_t *v, uint8_t *out)
{
   ecl_store_u32 (out, v->len + 1);
   out = put (out + 4, v->u.str, v->len);
   *out = 0;
   return out + 1;
}

static inline uint8_t *
write_child (const ecl_value_t *v, uint8_t *out)
{
   return ECL_LIKELY (v->type == BSON_TYPE_UTF8) ? write_string (v, out) : ecl_value_write (v, out);
}

static uint8_t *
write_children (const ecl_value_t *v, uint8_t *out)
{
   if (v->rep == ECL_REP_VEC) {
      for (uint32_t i = 0; i < v->len; i++) {
         ecl_value_t item = ecl_present (v->u.vec[i]);

         *out++ = item.type;
         out = write_index (out, i);
         out = write_child (&item, out);
      }
      return out;
   }
   for (uint32_t i = 0; i < v->len; i++) {
      const ecl_field_t *field = &v->u.fields[i];

      if (field->value.rep == ECL_REP_RUN) {
         out = put (out, field->value.u.raw, field->value.len);
      } else if (field->value.type != ECL_MISSING) {
         *out++ = field->value.type;
         out = put (out, field->key, field->key_len);
         *out++ = 0;
         out = write_child (&field->value, out);
      }
   }
   return out;
}

uint8_t *
ecl_value_write (const ecl_value_t *v, uint8_t *out)
{
   switch (v->type) {
   case BSON_TYPE_DOUBLE: {
      uint64_t bits;

      memcpy (&bits, &v->u.f64, sizeof bits);
      ecl_store_u64 (out, bits);
      return out + 8;
   }
   case BSON_TYPE_DATE_TIME:
   case BSON_TYPE_TIMESTAMP:
   case BSON_TYPE_INT64:
      ecl_store_u64 (out, (uint64_t) v->u.i64);
      return out + 8;
   case BSON_TYPE_INT32:
      ecl_store_u32 (out, (uint32_t) (int32_t) v->u.i64);
      return out + 4;
   case BSON_TYPE_BOOL:
      *out = v->u.i64 != 0;
      return out + 1;
   case BSON_TYPE_UTF8:
   case BSON_TYPE_SYMBOL:
   case BSON_TYPE_CODE:
      return write_string (v, out);
   case BSON_TYPE_BINARY:
      ecl_store_u32 (out, v->len);
      out[4] = v->subtype;
      return put (out + 5, v->u.raw, v->len);
   case ECL_MISSING:
   case BSON_TYPE_NULL:
   case BSON_TYPE_UNDEFINED:
   case BSON_TYPE_MINKEY:
   case BSON_TYPE_MAXKEY:
      return out;
   case BSON_TYPE_DOCUMENT:
   case BSON_TYPE_ARRAY:
      if (v->rep != ECL_REP_RAW) {
         uint8_t *end = write_children (v, out + 4);

         *end++ = 0;
         ecl_store_u32 (out, (uint32_t) (end - out));
         return end;
      }
      return put (out, v->u.raw, v->len);
   default:
      return put (out, v->u.raw, v->len);
   }
}

bool
ecl_value_to_raw (ecl_arena_t *arena, const ecl_value_t *v, ecl_value_t *out, bson_error_t *error)
{
   uint64_t size;
   uint8_t *raw;

   if (v->rep == ECL_REP_RAW) {
      *out = *v;
      return true;
   }
   size = ecl_value_size (v);
   if (size > ECL_BSON_MAX_INTERNAL_SIZE) {
      return ecl_fail (error, ECL_DOMAIN_BSON, ECL_ERROR_TOO_LARGE,
                       "a value larger than %u bytes, or nested deeper than %d levels", ECL_BSON_MAX_INTERNAL_SIZE,
                       ECL_BSON_MAX_DEPTH);
   }
   raw = ecl_arena_alloc (arena, size);
   ecl_value_write (v, raw);
   *out = *v;
   out->rep = ECL_REP_RAW;
   out->len = (uint32_t) size;
   out->u.raw = raw;
   return true;
}

ecl_value_t
ecl_value_copy (ecl_arena_t *arena, const ecl_value_t *v)
{
   ecl_value_t copy = *v;

   switch (v->rep) {
   case ECL_REP_RAW: {
      uint8_t *bytes = ecl_arena_alloc (arena, (size_t) v->len + 1);

      if (v->len) {
         memcpy (bytes, v->u.raw, v->len);
      }
      bytes[v->len] = 0;
      copy.u.raw = bytes;
      break;
   }
   case ECL_REP_VEC: {
      ecl_value_t *items = ecl_arena_array (arena, ecl_value_t, v->len);

      for (uint32_t i = 0; i < v->len; i++) {
         items[i] = ecl_value_copy (arena, &v->u.vec[i]);
      }
      copy.u.vec = items;
      break;
   }
   case ECL_REP_FIELDS: {
      ecl_field_t *fields = ecl_arena_array (arena, ecl_field_t, v->len);

      for (uint32_t i = 0; i < v->len; i++) {
         fields[i] = v->u.fields[i];
         if (fields[i].value.rep == ECL_REP_RUN) {
            uint8_t *bytes = ecl_arena_alloc (arena, fields[i].value.len);

            memcpy (bytes, fields[i].value.u.raw, fields[i].value.len);
            fields[i].value.u.raw = bytes;
         } else {
            fields[i].key = ecl_arena_strndup (arena, fields[i].key, fields[i].key_len);
            fields[i].value = ecl_value_copy (arena, &v->u.fields[i].value);
         }
      }
      copy.u.fields = fields;
      break;
   }
   default:
      break;
   }
   return copy;
}
