/* Scan: one pass over the top level of a document that puts the fields which a segment names into its slots. */
#include "mql/exec-private.h"

static bool
corrupt (bson_error_t *error, const uint8_t *in, const uint8_t *at)
{
   return ecl_fail (error, ECL_DOMAIN_BSON, ECL_ERROR_SYNTAX,
                    "corrupt BSON: the element at byte %zu does not agree with the document's length",
                    (size_t) (at - in));
}

/* Length of a key of at most end - p bytes and its first 8 bytes, zero padded; end is a NUL byte. Keys are mostly
 * shorter than 8 bytes, so one load finds both. */
static inline uint32_t
read_key (const uint8_t *p, const uint8_t *end, uint64_t *head)
{
   uint32_t len = 0;

   if (ECL_LIKELY (end - p >= 8)) {
      uint64_t word, zeros;

      memcpy (&word, p, 8);
      zeros = (word - 0x0101010101010101ull) & ~word & 0x8080808080808080ull;
      if (zeros) {
         /* Only the lowest mark is exact: the mask keeps the bytes below it (its own byte is zero). */
         *head = word & ((zeros & (~zeros + 1)) - 1);
         return (uint32_t) __builtin_ctzll (zeros) >> 3;
      }
      *head = word;
      len = 8;
      while (p[len]) {
         len++;
      }
      return len;
   }
   while (p[len]) {
      len++;
   }
   *head = ecl_key_head ((const char *) p, len);
   return len;
}

static inline uint32_t
find_slot (const ecl_segment_t *segment, const uint8_t *key, uint32_t len, uint64_t head)
{
   uint32_t at = ecl_slot_place (segment, (const char *) key, len, head);
   uint32_t entry;

   while ((entry = segment->table[at]) != 0) {
      const ecl_slot_t *slot = &segment->slots[entry - 1];

      if (slot->head == head && slot->name.len == len && (len <= 8 || memcmp (slot->name.str, key, len) == 0)) {
         return entry;
      }
      at = (at + 1) & segment->table_mask;
   }
   return 0;
}

void
ecl_run_forget_shape (ecl_run_state_t *state)
{
   for (uint32_t i = 0; i <= ECL_SHAPE_FIELDS; i++) {
      ecl_shape_forget (&state->shape[i]);
   }
}

/* A slot's field was found: the element at element, its value of size bytes. */
static inline bool
found (const ecl_segment_t *segment, ecl_run_state_t *state, uint32_t slot, const uint8_t *in, const uint8_t *element,
       const uint8_t *value, uint32_t size, bson_error_t *error)
{
   ecl_track_t *track = &state->tracks[slot];
   uint8_t type = *element;

   /* A key that comes twice: the first one is the field, as in the server. */
   if (ECL_UNLIKELY (track->found)) {
      return true;
   }
   track->found = true;
   track->place = ECL_IN_PLACE;
   track->from = (uint32_t) (element - in);
   track->to = (uint32_t) (value + size - in);
   state->order[state->n_found++] = slot;
   ecl_value_from_raw (&state->values[slot], type, value, size);
   return ECL_LIKELY (type != BSON_TYPE_DOCUMENT && type != BSON_TYPE_ARRAY) || !segment->slots[slot].inside ||
          ecl_bson_validate (value, size, error);
}

/* An element that was not guessed: its key and what that says. False where it does not fit. */
static inline bool
read_element (const ecl_segment_t *segment, const uint8_t *p, const uint8_t *end, uint32_t *key_len, uint32_t *entry)
{
   uint64_t head;

   *key_len = read_key (p + 1, end, &head);
   *entry = 0;
   if (ECL_UNLIKELY (p + 2 + *key_len > end)) {
      return false;
   }
   if (segment->lengths >> (*key_len < 63 ? *key_len : 63) & 1) {
      *entry = find_slot (segment, p + 1, *key_len, head);
   }
   return true;
}

ECL_HOT bool
ecl_run_scan (const ecl_segment_t *segment, ecl_run_state_t *state, const uint8_t *in, size_t len, bson_error_t *error)
{
   const uint8_t *p = in + 4, *end = in + len - 1;
   const uint8_t *safe = ecl_shape_safe (in, len);
   ecl_shape_t *shape = state->shape, *shape_end = state->shape + ECL_SHAPE_FIELDS;

   while (p < end) {
      const uint8_t *element = p, *value;
      uint32_t size, entry;

      if (ECL_LIKELY (p <= safe && ecl_shape_fits (shape, p))) {
         size = shape->pass;
         if (size) {
            if (ECL_UNLIKELY (size > (size_t) (end - p))) {
               return corrupt (error, in, element);
            }
            p += size;
            shape++;
            continue;
         }
         value = p + shape->skip;
         size = shape->size;
         entry = shape->entry;
         shape++;
      } else {
         uint32_t key_len;

         if (ECL_UNLIKELY (!read_element (segment, p, end, &key_len, &entry))) {
            return corrupt (error, in, element);
         }
         if (shape < shape_end && p <= safe) {
            ecl_shape_remember (shape++, p, key_len, entry);
         }
         value = p + 2 + key_len;
         size = *p == BSON_TYPE_UTF8 ? ECL_SHAPE_STRING : ecl_bson_fixed_size[*p];
      }
      if (ECL_LIKELY (size == ECL_SHAPE_STRING)) {
         if (ECL_UNLIKELY (!ecl_string_size (value, end, &size))) {
            return corrupt (error, in, element);
         }
      } else if (ECL_UNLIKELY (size == 0xFF)) {
         if (!ecl_bson_variable_size (*p, value, (size_t) (end - value), &size)) {
            return corrupt (error, in, element);
         }
      } else if (ECL_UNLIKELY (size > (size_t) (end - value))) {
         return corrupt (error, in, element);
      }
      p = value + size;
      if (entry && ECL_UNLIKELY (!found (segment, state, entry - 1, in, element, value, size, error))) {
         return false;
      }
   }
   return true;
}
