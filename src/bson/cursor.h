/* Cursor: reads raw BSON element by element. (Where documents are gone through one after another, shape.h goes faster.)
 *
 *    +--------+------+-----------+-------------+- - -+------+
 *    | length | type | key... \0 | value bytes |     |  \0  |
 *    +--------+------+-----------+-------------+- - -+------+
 *             ^ element          ^ value
 *
 * Every length is checked against the bytes that are there before it is used; a cursor never reads outside the
 * document it was given, whatever the bytes say. It borrows; it allocates nothing.
 */
#ifndef ECL_BSON_CURSOR_H
#define ECL_BSON_CURSOR_H

#include "base/error.h"
#include "bson/value.h"

typedef struct {
   const uint8_t *next; /* the element after the current one */
   const uint8_t *end;  /* the document's terminating NUL */
   const uint8_t *element;
   const char *key;
   const uint8_t *value;
   uint32_t key_len;
   uint32_t value_len;
   uint8_t type;
   bool corrupt; /* set when the bytes are not BSON; next() is then false for good */
} ecl_cursor_t;

/* Deepest nesting that is read: MongoDB's own parser limit (bson_depth.h). */
#define ECL_BSON_MAX_DEPTH 200

/* Largest document of a user: 16 MiB. What is computed may be larger by the 16 KiB of an internal message. */
#define ECL_BSON_MAX_SIZE (16u * 1024u * 1024u)
#define ECL_BSON_MAX_INTERNAL_SIZE (ECL_BSON_MAX_SIZE + 16u * 1024u)

static inline uint32_t
ecl_load_u32 (const uint8_t *p)
{
   uint32_t v;
   memcpy (&v, p, sizeof v);
   return BSON_UINT32_FROM_LE (v);
}

static inline uint64_t
ecl_load_u64 (const uint8_t *p)
{
   uint64_t v;
   memcpy (&v, p, sizeof v);
   return BSON_UINT64_FROM_LE (v);
}

static inline double
ecl_load_double (const uint8_t *p)
{
   uint64_t u = ecl_load_u64 (p);
   double d;
   memcpy (&d, &u, sizeof d);
   return d;
}

static inline void
ecl_store_u32 (uint8_t *p, uint32_t v)
{
   v = BSON_UINT32_TO_LE (v);
   memcpy (p, &v, sizeof v);
}

static inline void
ecl_store_u64 (uint8_t *p, uint64_t v)
{
   v = BSON_UINT64_TO_LE (v);
   memcpy (p, &v, sizeof v);
}

/* Begins at a document or array of at most len bytes; false (and corrupt) where its length or terminator lies. */
static inline bool
ecl_cursor_init (ecl_cursor_t *self, const uint8_t *data, size_t len)
{
   uint32_t size;

   self->corrupt = true;
   self->next = self->end = data;
   if (len < 5) {
      return false;
   }
   size = ecl_load_u32 (data);
   if (size < 5 || size > len || data[size - 1] != 0) {
      return false;
   }
   self->next = data + 4;
   self->end = data + size - 1;
   self->corrupt = false;
   return true;
}

/* By the byte of the type: the size of a value where it is fixed; 0xFF: it varies, or there is no such type. */
extern const uint8_t ecl_bson_fixed_size[256];

/* Length of a value of a type without fixed size, at most room bytes; false where it does not fit. */
bool
ecl_bson_variable_size (uint8_t type, const uint8_t *value, size_t room, uint32_t *size) ECL_MUST_CHECK;

/* The next element; false at the end and where the bytes are not BSON (then corrupt is set). */
static inline bool
ecl_cursor_next (ecl_cursor_t *self)
{
   const uint8_t *p = self->next;
   const uint8_t *key;
   uint32_t size;

   if (ECL_UNLIKELY (p >= self->end)) {
      return false;
   }
   self->element = p;
   self->type = *p++;
   key = p;
   /* Keys are short: a byte loop beats the call of memchr. end is a NUL, so the loop cannot pass it. */
   while (*p) {
      p++;
   }
   self->key = (const char *) key;
   self->key_len = (uint32_t) (p - key);
   if (ECL_UNLIKELY (p >= self->end)) {
      goto corrupt;
   }
   p++;
   self->value = p;
   size = ecl_bson_fixed_size[self->type];
   if (size == 0xFF) {
      if (!ecl_bson_variable_size (self->type, p, (size_t) (self->end - p), &size)) {
         goto corrupt;
      }
   } else if (ECL_UNLIKELY (size > (size_t) (self->end - p))) {
      goto corrupt;
   }
   self->value_len = size;
   self->next = p + size;
   return true;

corrupt:
   self->corrupt = true;
   self->next = self->end;
   return false;
}

/* The current element's value as a value that borrows its bytes. */
static inline void
ecl_cursor_value (const ecl_cursor_t *self, ecl_value_t *out)
{
   ecl_value_from_raw (out, self->type, self->value, self->value_len);
}

/* Moves to the element of that key; false where there is none. */
bool
ecl_cursor_find (ecl_cursor_t *self, const char *key, size_t key_len);

/* True where data holds exactly one well-formed document of len bytes: lengths, terminators, types, depth, array and
 * string bounds at every level. UTF-8 and the names of array elements are not looked at: MongoDB stores both as they
 * come. Everything that an expression sees has passed this. */
bool
ecl_bson_validate (const uint8_t *data, size_t len, bson_error_t *error) ECL_MUST_CHECK;

#endif
