/* Output: the document that a segment leaves. Runs of bytes that did not change are copied as they are; the size of
 * each new element is known before its first byte is written. */
#include "mql/exec-private.h"

/* What a copy of fixed size may write behind an element. */
#define OUTPUT_SLACK 16u

bool
ecl_run_too_large (const ecl_plan_t *plan, uint64_t size, bson_error_t *error)
{
   if (size >= UINT32_MAX) {
      return ecl_fail (error, ECL_DOMAIN_MQL, 10334,
                       "the result is larger than %u bytes, or nested deeper than %d levels", plan->options.max_size,
                       ECL_BSON_MAX_DEPTH);
   }
   return ecl_fail (error, ECL_DOMAIN_MQL, 17419, "the result has %llu bytes; a document has at most %u",
                    (unsigned long long) size, plan->options.max_size);
}

static inline uint64_t
element_size (const ecl_slot_t *slot, const ecl_value_t *value)
{
   uint64_t size;

   if (ECL_LIKELY (value->type == BSON_TYPE_UTF8)) {
      return 2 + slot->name.len + 5 + (uint64_t) value->len;
   }
   size = ecl_bson_fixed_size[value->type];
   if (size == 0xFF) {
      size = ecl_value_size (value);
   }
   return size == UINT64_MAX ? (uint64_t) 1 << 40 : 2 + slot->name.len + size;
}

/* Writes an element if it takes at most *room bytes. There is room for OUTPUT_SLACK bytes more. */
static inline bool
write_element (const ecl_slot_t *slot, const ecl_value_t *value, uint8_t **at, uint64_t *room)
{
   uint64_t size = element_size (slot, value);
   uint8_t *out = *at;

   if (ECL_UNLIKELY (size > *room)) {
      return false;
   }
   *room -= size;
   *out++ = value->type;
   if (ECL_LIKELY (slot->name.len < sizeof slot->padded)) {
      memcpy (out, slot->padded, sizeof slot->padded);
   } else {
      memcpy (out, slot->name.str, slot->name.len);
      out[slot->name.len] = 0;
   }
   out += slot->name.len + 1;
   if (ECL_LIKELY (value->type == BSON_TYPE_UTF8)) {
      ecl_store_u32 (out, value->len + 1);
      ecl_copy_short (out + 4, value->u.str, value->len);
      out[4 + (size_t) value->len] = 0;
      *at = out + 5 + value->len;
   } else {
      *at = ecl_value_write (value, out);
   }
   return true;
}

static inline bool
is_written (const ecl_run_state_t *state, uint32_t slot)
{
   return state->tracks[slot].place != ECL_NOWHERE && state->values[slot].type != ECL_MISSING;
}

/* The bytes that the result takes. */
static uint64_t
output_size (const ecl_segment_t *segment, const ecl_run_state_t *state, size_t len)
{
   uint64_t size = segment->drops_rest ? 5 : len;

   for (uint32_t i = 0; i < segment->n_slots; i++) {
      const ecl_track_t *track = &state->tracks[i];

      if (is_written (state, i) && (segment->drops_rest || track->dirty)) {
         size += element_size (&segment->slots[i], &state->values[i]);
      }
      if (track->found && track->dirty && !segment->drops_rest) {
         size -= track->to - track->from;
      }
   }
   return size;
}

/* Writes the result to out; *end is behind it. False where the new elements take more than room bytes; for what
 * is copied from the input there is room besides. */
static bool
write_output (const ecl_segment_t *segment, const ecl_run_state_t *state, const uint8_t *in, size_t len, uint8_t *out,
              uint64_t room, uint8_t **end)
{
   uint8_t *p = out + 4;
   const uint8_t *from = in + 4;
   uint32_t appended = state->next_place - ECL_APPENDED;

   for (uint32_t k = 0; k < state->n_found; k++) {
      uint32_t slot = state->order[k];
      const ecl_track_t *track = &state->tracks[slot];

      if (!segment->drops_rest) {
         size_t run = (size_t) (in + track->from - from);

         if (!track->dirty) {
            continue;
         }
         ecl_copy_short (p, from, run);
         p += run;
         from = in + track->to;
      }
      if (track->place == ECL_IN_PLACE && is_written (state, slot) &&
          !write_element (&segment->slots[slot], &state->values[slot], &p, &room)) {
         return false;
      }
   }
   if (!segment->drops_rest) {
      size_t run = (size_t) (in + len - 1 - from);

      memcpy (p, from, run);
      p += run;
   }
   for (uint32_t k = 0; k < appended; k++) {
      uint32_t slot = state->appended[k];

      /* Else it came again in a new document. */
      if (state->tracks[slot].place == ECL_APPENDED + k && is_written (state, slot) &&
          !write_element (&segment->slots[slot], &state->values[slot], &p, &room)) {
         return false;
      }
   }
   *p++ = 0;
   *end = p;
   return true;
}

/* Where the buffer may be too small: it is made as large as it has to be. */
static ECL_NOINLINE bool
output_exactly (const ecl_plan_t *plan, const ecl_segment_t *segment, const ecl_run_state_t *state, const uint8_t *in,
                size_t len, ecl_buf_t *buf, uint8_t **end, bson_error_t *error)
{
   uint64_t size = output_size (segment, state, len);

   if (size > plan->options.max_size) {
      return ecl_run_too_large (plan, size, error);
   }
   /* With room for the next document's attempt, if that can be had. */
   if (!ecl_buf_reserve (buf, size + len + OUTPUT_SLACK) && !ecl_buf_reserve (buf, size + OUTPUT_SLACK)) {
      return ecl_run_too_large (plan, size, error);
   }
   BSON_ASSERT (write_output (segment, state, in, len, buf->data, UINT64_MAX, end));
   BSON_ASSERT ((uint64_t) (*end - buf->data) == size);
   return true;
}

bool
ecl_run_output (const ecl_plan_t *plan, const ecl_segment_t *segment, ecl_run_state_t *state, const uint8_t *in,
                size_t len, const uint8_t **out, size_t *out_len, bson_error_t *error)
{
   ecl_buf_t *buf;
   uint8_t *end;
   uint64_t size;

   if (!state->edited && !segment->drops_rest) {
      *out = in;
      *out_len = len;
      return true;
   }
   buf = &state->outputs[state->turn ^= 1];
   ecl_buf_clear (buf);
   /* The memory of the documents before is mostly enough, with what the input takes and the new elements besides. */
   if (ECL_UNLIKELY (buf->cap < len + OUTPUT_SLACK ||
                     !write_output (segment, state, in, len, buf->data, buf->cap - len - OUTPUT_SLACK, &end)) &&
       !output_exactly (plan, segment, state, in, len, buf, &end, error)) {
      return false;
   }
   size = (uint64_t) (end - buf->data);
   if (ECL_UNLIKELY (size > plan->options.max_size)) {
      return ecl_run_too_large (plan, size, error);
   }
   buf->len = size;
   ecl_store_u32 (buf->data, (uint32_t) size);
   *out = buf->data;
   *out_len = size;
   return true;
}

static bool
is_nested (const ecl_value_t *v)
{
   return v->type == BSON_TYPE_DOCUMENT || v->type == BSON_TYPE_ARRAY;
}

bool
ecl_run_keep_id (const ecl_plan_t *plan, ecl_run_state_t *state, const uint8_t *in, size_t in_len, const uint8_t **out,
                 size_t *out_len, bson_error_t *error)
{
   ecl_cursor_t before, after;
   size_t element_len;
   ecl_buf_t *buf;

   if (!ecl_cursor_init (&before, in, in_len) || !ecl_cursor_find (&before, "_id", 3)) {
      return true;
   }
   if (ecl_cursor_init (&after, *out, *out_len) && ecl_cursor_find (&after, "_id", 3)) {
      ecl_value_t a, b;

      ecl_cursor_value (&before, &a);
      ecl_cursor_value (&after, &b);
      if (ecl_identical (&a, &b)) {
         return true;
      }
      /* What was only moved has not been validated. */
      if ((is_nested (&a) && !ecl_bson_validate (before.value, before.value_len, error)) ||
          (is_nested (&b) && !ecl_bson_validate (after.value, after.value_len, error))) {
         return false;
      }
      if (!ecl_equal (&a, &b)) {
         return ecl_fail (error, ECL_DOMAIN_MQL, 66, "the (immutable) field '_id' was found to have been altered");
      }
      return true;
   }
   element_len = (size_t) (before.next - before.element);
   if (*out_len + element_len > plan->options.max_size) {
      return ecl_run_too_large (plan, *out_len + element_len, error);
   }
   buf = &state->outputs[state->turn ^= 1];
   ecl_buf_clear (buf);
   if (!ecl_buf_reserve (buf, *out_len + element_len)) {
      return ecl_run_too_large (plan, *out_len + element_len, error);
   }
   memcpy (buf->data + 4, before.element, element_len);
   memcpy (buf->data + 4 + element_len, *out + 4, *out_len - 4);
   buf->len = *out_len + element_len;
   ecl_store_u32 (buf->data, (uint32_t) buf->len);
   *out = buf->data;
   *out_len = buf->len;
   return true;
}
