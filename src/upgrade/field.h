/* The version field of a document, found by one forward scan of its top level that stops there. */
#ifndef ECL_UPGRADE_FIELD_H
#define ECL_UPGRADE_FIELD_H

#include "bson/cursor.h"

typedef struct {
   const char *name;  /* of the top level */
   uint32_t len;
   uint64_t head;     /* its first 8 bytes with the NUL behind them, zero padded */
   uint64_t mask;     /* of the bytes that count in head */
   const char *rest;  /* the path below it, "b.c"; NULL where the field itself holds the version */
} ecl_version_field_t;

typedef enum {
   ECL_FIELD_FOUND,
   ECL_FIELD_NONE,    /* nothing there, or null */
   ECL_FIELD_BAD,     /* the path leads through something that is no document */
   ECL_FIELD_CORRUPT,
} ecl_field_state_t;

/* path is dotted and outlives it. */
void
ecl_version_field_init (ecl_version_field_t *self, const char *path);

/* The element of the field's top level; NULL and *corrupt where there is none. *value is behind its key. in and len
 * are a document whose length and terminator were checked. */
static inline const uint8_t *
ecl_version_field_scan (const ecl_version_field_t *self, const uint8_t *in, size_t len, const uint8_t **value,
                        bool *corrupt)
{
   const uint8_t *p = in + 4, *end = in + len - 1;

   *corrupt = false;
   while (p < end) {
      const uint8_t *key = p + 1, *after;
      uint32_t size = ecl_bson_fixed_size[*p];
      bool mine;

      if (ECL_LIKELY (end - key >= 8)) {
         uint64_t word, zeros;

         memcpy (&word, key, 8);
         mine = ((BSON_UINT64_FROM_LE (word) ^ self->head) & self->mask) == 0;
         zeros = (word - 0x0101010101010101ull) & ~word & 0x8080808080808080ull;
         if (ECL_LIKELY (zeros != 0)) {
            after = key + ((unsigned) __builtin_ctzll (BSON_UINT64_FROM_LE (zeros)) >> 3) + 1;
            mine &= self->len < 8;
         } else {
            /* end is a NUL, so neither can pass it. */
            if (mine && (size_t) (end - key) > self->len && memcmp (key + 8, self->name + 8, self->len - 7) == 0) {
               after = key + self->len + 1;
            } else {
               mine = false;
               after = key + 8;
               while (*after) {
                  after++;
               }
               after++;
            }
         }
      } else {
         size_t n = 0;

         while (key[n]) {
            n++;
         }
         mine = n == self->len && memcmp (key, self->name, n) == 0;
         after = key + n + 1;
      }
      if (ECL_UNLIKELY (after > end)) {
         break;
      }
      if (size == 0xFF) {
         /* Strings and documents are most of what has no fixed size. */
         if (*p == BSON_TYPE_UTF8 && end - after >= 5) {
            size = ecl_load_u32 (after);
            if (ECL_UNLIKELY (size == 0 || size > (size_t) (end - after) - 4)) {
               break;
            }
            size += 4;
         } else if (!ecl_bson_variable_size (*p, after, (size_t) (end - after), &size)) {
            break;
         }
      } else if (ECL_UNLIKELY (size > (size_t) (end - after))) {
         break;
      }
      if (mine) {
         *value = after;
         return p;
      }
      p = after + size;
   }
   *corrupt = p < end;
   return NULL;
}

/* The value that holds the version, borrowed from the document. */
ecl_field_state_t
ecl_version_field_find (const ecl_version_field_t *self, const uint8_t *in, size_t len, ecl_value_t *value);

#endif
