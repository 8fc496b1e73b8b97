/* Output: the document that a segment leaves. Runs of bytes that did not change are copied as they are; the size is
 * known before the first byte is written. */
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

/* There is room for OUTPUT_SLACK bytes more than the element takes. */
static inline uint8_t *
write_element (const ecl_slot_t *slot, const ecl_value_t *value, uint8_t *out)
{
   *out++ = value->type;
   if (ECL_LIKELY (slot->name.len < sizeof slot->padded)) {
      memcpy (out, slot->padded, sizeof slot->padded);
      out += slot->name.len + 1;
   } else {
      memcpy (out, slot->name.str, slot->name.len);
      out += slot->name.len;
      *out++ = 0;
   }
   return ecl_value_write (value, out);
}

bool
ecl_run_output (const ecl_plan_t *plan, const ecl_segment_t *segment, ecl_run_state_t *state, const uint8_t *in,
                size_t len, const uint8_t **out, size_t *out_len, bson_error_t *error)
{
   ecl_buf_t *buf;
   uint8_t *p;
   uint32_t appended = state->next_place - ECL_APPENDED;
   uint32_t from = 4;
   uint64_t size = 5;
   bool edited = segment->drops_rest;

   /* Exact size first. */
   for (uint32_t i = 0; i < segment->n_slots; i++) {
      const ecl_track_t *track = &state->tracks[i];

      edited |= track->dirty;
      if (track->place != ECL_NOWHERE && (segment->drops_rest || track->dirty)) {
         size += element_size (&segment->slots[i], &state->values[i]);
      }
      if (track->found && track->dirty && !segment->drops_rest) {
         size -= track->to - track->from;
      }
   }
   if (!edited) {
      *out = in;
      *out_len = len;
      return true;
   }
   if (!segment->drops_rest) {
      size += len - 5;
   }
   if (size > plan->options.max_size) {
      return ecl_run_too_large (plan, size, error);
   }
   buf = &state->outputs[state->turn ^= 1];
   ecl_buf_clear (buf);
   if (!ecl_buf_reserve (buf, size + OUTPUT_SLACK)) {
      return ecl_run_too_large (plan, size, error);
   }
   p = buf->data + 4;
   for (uint32_t k = 0; k < state->n_found; k++) {
      uint32_t slot = state->order[k];
      const ecl_track_t *track = &state->tracks[slot];

      if (!segment->drops_rest) {
         if (!track->dirty) {
            continue;
         }
         memcpy (p, in + from, track->from - from);
         p += track->from - from;
         from = track->to;
      }
      if (track->place == ECL_IN_PLACE) {
         p = write_element (&segment->slots[slot], &state->values[slot], p);
      }
   }
   if (!segment->drops_rest) {
      memcpy (p, in + from, len - 1 - from);
      p += len - 1 - from;
   }
   for (uint32_t k = 0; k < appended; k++) {
      uint32_t slot = state->appended[k];

      /* Else it was removed, or removed and appended again. */
      if (state->tracks[slot].place == ECL_APPENDED + k) {
         p = write_element (&segment->slots[slot], &state->values[slot], p);
      }
   }
   *p++ = 0;
   buf->len = (size_t) (p - buf->data);
   BSON_ASSERT (buf->len == size);
   ecl_store_u32 (buf->data, (uint32_t) size);
   *out = buf->data;
   *out_len = buf->len;
   return true;
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
