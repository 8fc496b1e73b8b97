/* Value: one BSON value in 16 bytes, borrowed from a document, a plan or scratch memory.
 *
 *   type      BSON type byte; 0 (ECL_MISSING) is "there is nothing"
 *   rep       how it is held, see below
 *   subtype   of binary data
 *   len       bytes, or number of entries
 *
 *   type                                rep     holds
 *   int32, int64, bool, date, timestamp INLINE  i64 (timestamp: seconds << 32 | increment)
 *   double                              INLINE  f64
 *   null, undefined, MinKey, MaxKey     INLINE  nothing
 *   string, symbol, code                RAW     str: len bytes without the terminator (which need not be there)
 *   binary                              RAW     raw: len bytes of data, subtype beside it (subtype 2: its inner length
 *                                               is part of the data)
 *   ObjectId                            RAW     raw: 12 bytes
 *   decimal128                          RAW     raw: 16 bytes, little endian
 *   regex                               RAW     raw: pattern \0 options \0, len in all
 *   DBPointer, code with scope          RAW     raw: the value's bytes as they stand
 *   document, array                     RAW     raw: the whole document, len its length
 *   array                               VEC     vec: len values; a missing one is written as null
 *   document                            FIELDS  fields: len entries; a missing one is not written
 *
 * Values are passed by pointer and copied freely; they own nothing. What they point to lives as long as the input
 * document, the plan or, for what was computed, until the evaluator is reset.
 * Raw documents and arrays that an expression can see have been validated (ecl_bson_validate), so walking them cannot
 * fail. Strings may hold any bytes: not only valid UTF-8, and NULs.
 */
#ifndef ECL_BSON_VALUE_H
#define ECL_BSON_VALUE_H

#include "base/arena.h"

#include <string.h>

#define ECL_MISSING 0

typedef enum {
   ECL_REP_INLINE,
   ECL_REP_RAW,
   ECL_REP_VEC,
   ECL_REP_FIELDS,
   ECL_REP_RUN, /* only inside FIELDS: raw elements one after another, copied as they are */
} ecl_rep_t;

typedef struct ecl_value_t ecl_value_t;
typedef struct ecl_field_t ecl_field_t;

struct ecl_value_t {
   uint8_t type;
   uint8_t rep;
   uint8_t subtype;
   uint8_t unused;
   uint32_t len;
   union {
      int64_t i64;
      double f64;
      const uint8_t *raw;
      const char *str;
      const ecl_value_t *vec;
      const ecl_field_t *fields;
   } u;
};
_Static_assert(sizeof (ecl_value_t) == 16, "a value has 16 bytes");

/* An entry of a FIELDS document. With value.rep == ECL_REP_RUN, key is NULL and value.u.raw holds value.len bytes of
 * whole elements. */
struct ecl_field_t {
   const char *key; /* need not be terminated */
   uint32_t key_len;
   uint32_t unused;
   ecl_value_t value;
};

/* ---- making values ---- */

/* All values are made here: from their two halves, which reach memory with one store. A value is copied with one load
 * of 16 bytes, and a processor that finds its bytes in several stores not yet written waits for them, at every copy. */
static inline ecl_value_t
ecl_value_make (uint8_t type, ecl_rep_t rep, uint8_t subtype, uint32_t len, uint64_t payload)
{
#if BSON_BYTE_ORDER == BSON_LITTLE_ENDIAN
   typedef uint64_t halves_t __attribute__ ((vector_size (16)));
   halves_t halves = {(uint64_t) type | (uint64_t) rep << 8 | (uint64_t) subtype << 16 | (uint64_t) len << 32, payload};
   ecl_value_t value;

   memcpy (&value, &halves, sizeof value);
   return value;
#else
   return (ecl_value_t){.type = type, .rep = (uint8_t) rep, .subtype = subtype, .len = len, .u.i64 = (int64_t) payload};
#endif
}

/* One that points to bytes or entries. */
static inline ecl_value_t
ecl_value_at (uint8_t type, ecl_rep_t rep, size_t len, const void *at)
{
#if UINTPTR_MAX == UINT64_MAX
   return ecl_value_make (type, rep, 0, (uint32_t) len, (uintptr_t) at);
#else
   return (ecl_value_t){.type = type, .rep = (uint8_t) rep, .len = (uint32_t) len, .u.raw = at};
#endif
}

static inline ecl_value_t
ecl_missing (void)
{
   return ecl_value_make (ECL_MISSING, ECL_REP_INLINE, 0, 0, 0);
}

static inline ecl_value_t
ecl_null (void)
{
   return ecl_value_make (BSON_TYPE_NULL, ECL_REP_INLINE, 0, 0, 0);
}

static inline ecl_value_t
ecl_bool (bool b)
{
   return ecl_value_make (BSON_TYPE_BOOL, ECL_REP_INLINE, 0, 0, b);
}

static inline ecl_value_t
ecl_int32 (int32_t i)
{
   return ecl_value_make (BSON_TYPE_INT32, ECL_REP_INLINE, 0, 0, (uint64_t) (int64_t) i);
}

static inline ecl_value_t
ecl_int64 (int64_t i)
{
   return ecl_value_make (BSON_TYPE_INT64, ECL_REP_INLINE, 0, 0, (uint64_t) i);
}

static inline ecl_value_t
ecl_double (double d)
{
   uint64_t bits;

   memcpy (&bits, &d, sizeof bits);
   return ecl_value_make (BSON_TYPE_DOUBLE, ECL_REP_INLINE, 0, 0, bits);
}

static inline ecl_value_t
ecl_date (int64_t ms)
{
   return ecl_value_make (BSON_TYPE_DATE_TIME, ECL_REP_INLINE, 0, 0, (uint64_t) ms);
}

static inline ecl_value_t
ecl_string (const char *str, size_t len)
{
   return ecl_value_at (BSON_TYPE_UTF8, ECL_REP_RAW, len, str);
}

static inline ecl_value_t
ecl_vec (const ecl_value_t *vec, size_t n)
{
   return ecl_value_at (BSON_TYPE_ARRAY, ECL_REP_VEC, n, vec);
}

static inline ecl_value_t
ecl_fields (const ecl_field_t *fields, size_t n)
{
   return ecl_value_at (BSON_TYPE_DOCUMENT, ECL_REP_FIELDS, n, fields);
}

/* A raw document whose length stands in its first four bytes and has been checked. */
static inline ecl_value_t
ecl_raw_document (const uint8_t *data, size_t len)
{
   return ecl_value_at (BSON_TYPE_DOCUMENT, ECL_REP_RAW, len, data);
}

/* 16 little-endian bytes, which must live as long as the value. */
static inline ecl_value_t
ecl_decimal_at (const uint8_t *bytes)
{
   return ecl_value_at (BSON_TYPE_DECIMAL128, ECL_REP_RAW, 16, bytes);
}

/* The 12 bytes of an ObjectId. */
static inline ecl_value_t
ecl_oid_at (const uint8_t *bytes)
{
   return ecl_value_at (BSON_TYPE_OID, ECL_REP_RAW, 12, bytes);
}

static inline ecl_field_t
ecl_field (const char *key, size_t key_len, ecl_value_t value)
{
   return (ecl_field_t){.key = key, .key_len = (uint32_t) key_len, .value = value};
}

/* From the bytes of an element's value, whose size has been checked. */
void
ecl_value_from_raw_slow (ecl_value_t *out, uint8_t type, const uint8_t *value, uint32_t len);

static inline void
ecl_value_from_raw (ecl_value_t *out, uint8_t type, const uint8_t *value, uint32_t len)
{
   if (ECL_LIKELY (type == BSON_TYPE_UTF8)) {
      *out = ecl_string ((const char *) value + 4, len - 5);
   } else {
      ecl_value_from_raw_slow (out, type, value, len);
   }
}

/* ---- asking values ---- */

static inline bool
ecl_is_missing (const ecl_value_t *v)
{
   return v->type == ECL_MISSING;
}

/* null, undefined or missing */
static inline bool
ecl_is_nullish (const ecl_value_t *v)
{
   return v->type == BSON_TYPE_NULL || v->type == ECL_MISSING || v->type == BSON_TYPE_UNDEFINED;
}

static inline bool
ecl_is_number (const ecl_value_t *v)
{
   return v->type == BSON_TYPE_INT32 || v->type == BSON_TYPE_DOUBLE || v->type == BSON_TYPE_INT64 ||
          v->type == BSON_TYPE_DECIMAL128;
}

static inline bool
ecl_is_string (const ecl_value_t *v)
{
   return v->type == BSON_TYPE_UTF8;
}

static inline bool
ecl_is_array (const ecl_value_t *v)
{
   return v->type == BSON_TYPE_ARRAY;
}

static inline bool
ecl_is_document (const ecl_value_t *v)
{
   return v->type == BSON_TYPE_DOCUMENT;
}

/* MongoDB's truth: false, null, undefined, missing and every numeric zero are false; all else (NaN too) is true. */
bool
ecl_truthy (const ecl_value_t *v);

/* MongoDB's name of a type as $type gives it: "double", "string", …, "missing". Static storage. */
const char *
ecl_type_name (uint8_t type);

/* ---- walking documents and arrays, whatever their representation ---- */

typedef struct {
   const uint8_t *next; /* inside raw elements, else NULL */
   const uint8_t *end;
   const ecl_field_t *field; /* next entry of FIELDS */
   const ecl_field_t *fields_end;
   const ecl_value_t *item; /* next entry of VEC */
   const ecl_value_t *items_end;
} ecl_iter_t;

/* v is a validated document or array. */
void
ecl_iter_init (ecl_iter_t *self, const ecl_value_t *v);

/* The next field of a document; an entry of FIELDS that is missing comes as such. */
bool
ecl_iter_entry (ecl_iter_t *self, ecl_field_t *out);

/* The next field of a document; entries that are missing are passed over. */
bool
ecl_iter_field (ecl_iter_t *self, ecl_field_t *out);

/* The next element of an array; what is missing in a VEC comes as null, as it would be written. */
bool
ecl_iter_item (ecl_iter_t *self, ecl_value_t *out);

/* Number of elements of an array; O(n) where it is raw. */
uint32_t
ecl_array_count (const ecl_value_t *array);

/* The array as n values in a row: itself where it is a VEC, else made in the arena. Entries may be missing in a VEC:
 * read them through ecl_present. */
const ecl_value_t *
ecl_array_items (ecl_arena_t *arena, const ecl_value_t *array, uint32_t *n);

/* null for missing, else the value: how an array shows its elements. */
static inline ecl_value_t
ecl_present (ecl_value_t v)
{
   return v.type == ECL_MISSING ? ecl_null () : v;
}

/* The first field of that name, or missing. */
ecl_value_t
ecl_document_get (const ecl_value_t *document, const char *key, size_t key_len);

bool
ecl_document_is_empty (const ecl_value_t *document);

/* The document's fields in a row (runs taken apart), in the arena. */
const ecl_field_t *
ecl_document_fields (ecl_arena_t *arena, const ecl_value_t *document, uint32_t *n);

/* ---- writing ---- */

/* Bytes that the value takes behind its key. What is more than 64 MiB, or nested too deep, comes as
 * UINT64_MAX. */
uint64_t
ecl_value_size (const ecl_value_t *v);

/* Writes the value to out, which has room for ecl_value_size bytes; returns the byte behind it. */
uint8_t *
ecl_value_write (const ecl_value_t *v, uint8_t *out);

/* A document or array as whole raw BSON in the arena; itself where it is raw already. False where it would be larger
 * than ECL_BSON_MAX_INTERNAL_SIZE or nested deeper than ECL_BSON_MAX_DEPTH. */
bool
ecl_value_to_raw (ecl_arena_t *arena, const ecl_value_t *v, ecl_value_t *out, bson_error_t *error) ECL_MUST_CHECK;

/* A copy that borrows from nothing but the arena. */
ecl_value_t
ecl_value_copy (ecl_arena_t *arena, const ecl_value_t *v);

#endif
