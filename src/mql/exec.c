/* Running a linked plan on a document: scan, stages, output. See plan.h for the shape of it.
 *
 * What a slot knows while a segment runs:
 *
 *   value   what the field holds now; missing: it is not there
 *   place   NOWHERE; IN_PLACE: where the input has it; APPENDED + k: behind the input, k-th
 *   from/to the element's bytes in the input, if it was found
 *   dirty   the element is not copied: its place in the input is skipped, or written anew
 */
#include "mql/plan-private.h"
#include "mql/run.h"

#define NOWHERE 0u
#define IN_PLACE 1u
#define APPENDED 2u

/* What a copy of fixed size may write behind an element. */
#define OUTPUT_SLACK 16u

typedef struct {
   uint32_t place;
   uint32_t from, to;
   bool found, dirty;
} track_t;

/* What the element at this place was in the last document. Documents of a collection mostly look alike: where the guess
 * holds (compared in full, never believed), the next element's place is known without waiting for the key's length, the
 * type's size and the table of slots. */
typedef struct {
   uint64_t words[2]; /* the key and its NUL, zero padded */
   uint64_t masks[2]; /* of their bytes */
   uint32_t key_len;
   uint16_t entry;    /* slot + 1, or 0 */
   uint8_t type;
   uint8_t size;      /* as in ecl_bson_fixed_size */
} shape_t;

#define SHAPE_FIELDS 64u
#define SHAPE_KEY 15u /* longer keys are not remembered */

struct ecl_run_state_t {
   ecl_value_t *values; /* of the slots */
   track_t *tracks;
   uint32_t *order;     /* slots in the order in which the input has them */
   uint32_t *appended;  /* slots in the order in which they came behind it; an entry counts if the place still agrees */
   uint32_t cap, cap_appended;
   uint32_t n_found;
   uint32_t next_place;
   ecl_value_t *fresh;  /* what the running stage computed, before it is stored */
   ecl_memo_t memo;
   uint32_t cap_memo;
   ecl_buf_t outputs[2];
   unsigned turn;
   bson_t *functions[2]; /* outputs of functions, in turn; made when first needed */
   unsigned function_turn;
   const ecl_segment_t *shape_of;
   uint64_t shape_serial;
   shape_t shape[SHAPE_FIELDS];
};

static ecl_run_state_t *
run_state (ecl_eval_t *ev, const ecl_plan_t *plan)
{
   ecl_run_state_t *state = ev->run;
   uint32_t slots = plan->max_slots ? plan->max_slots : 1; /* memset takes no NULL, not even for nothing */

   if (!state) {
      state = ev->run = bson_malloc0 (sizeof *state);
      ecl_buf_init (&state->outputs[0], ECL_BSON_MAX_INTERNAL_SIZE + 64);
      ecl_buf_init (&state->outputs[1], ECL_BSON_MAX_INTERNAL_SIZE + 64);
   }
   if (slots > state->cap) {
      state->cap = slots;
      state->values = bson_realloc (state->values, state->cap * sizeof *state->values);
      state->tracks = bson_realloc (state->tracks, state->cap * sizeof *state->tracks);
      state->order = bson_realloc (state->order, state->cap * sizeof *state->order);
      state->fresh = bson_realloc (state->fresh, state->cap * sizeof *state->fresh);
   }
   if (plan->max_stores > state->cap_appended) {
      state->cap_appended = plan->max_stores;
      state->appended = bson_realloc (state->appended, state->cap_appended * sizeof *state->appended);
   }
   if (plan->max_memo > state->cap_memo) {
      state->cap_memo = plan->max_memo;
      state->memo.values = bson_realloc (state->memo.values, state->cap_memo * sizeof *state->memo.values);
      state->memo.known = bson_realloc (state->memo.known, state->cap_memo * sizeof *state->memo.known);
   }
   return state;
}

void
ecl_run_state_destroy (ecl_run_state_t *self)
{
   if (self) {
      bson_free (self->values);
      bson_free (self->tracks);
      bson_free (self->order);
      bson_free (self->appended);
      bson_free (self->fresh);
      bson_free (self->memo.values);
      bson_free (self->memo.known);
      ecl_buf_cleanup (&self->outputs[0]);
      ecl_buf_cleanup (&self->outputs[1]);
      for (int i = 0; i < 2; i++) {
         if (self->functions[i]) {
            bson_destroy (self->functions[i]);
         }
      }
      bson_free (self);
   }
}

/* ---- scan ---- */

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
   uint32_t at = ecl_slot_hash (head, len) & segment->table_mask;
   uint16_t entry;

   while ((entry = segment->table[at]) != 0) {
      const ecl_slot_t *slot = &segment->slots[entry - 1];

      if (slot->head == head && slot->name.len == len && (len <= 8 || memcmp (slot->name.str, key, len) == 0)) {
         return entry;
      }
      at = (at + 1) & segment->table_mask;
   }
   return 0;
}

static void
remember (shape_t *shape, const uint8_t *key, uint32_t key_len, uint8_t type, uint32_t entry)
{
   uint8_t text[16] = {0}, mask[16] = {0};

   if (key_len > SHAPE_KEY) {
      shape->type = 0;
      return;
   }
   memcpy (text, key, key_len);
   memset (mask, 0xFF, key_len + 1);
   memcpy (shape->words, text, sizeof text);
   memcpy (shape->masks, mask, sizeof mask);
   shape->key_len = key_len;
   shape->entry = (uint16_t) entry;
   shape->type = type;
   shape->size = ecl_bson_fixed_size[type];
}

/* True where the element at p (with at least 17 bytes behind it) has the type and the key of the shape. */
static inline bool
looks_like (const shape_t *shape, const uint8_t *p)
{
   uint64_t words[2];

   memcpy (words, p + 1, sizeof words);
   return *p == shape->type &&
          (((words[0] ^ shape->words[0]) & shape->masks[0]) | ((words[1] ^ shape->words[1]) & shape->masks[1])) == 0;
}

/* A slot's field was found: the element at element, its value of size bytes. */
static inline bool
found (const ecl_segment_t *segment, ecl_run_state_t *state, uint32_t slot, const uint8_t *in, const uint8_t *element,
       const uint8_t *value, uint32_t size, bson_error_t *error)
{
   track_t *track = &state->tracks[slot];
   uint8_t type = *element;

   /* A key that comes twice: the first one is the field, as in the server. */
   if (ECL_UNLIKELY (track->found)) {
      return true;
   }
   track->found = true;
   track->place = IN_PLACE;
   track->from = (uint32_t) (element - in);
   track->to = (uint32_t) (value + size - in);
   state->order[state->n_found++] = slot;
   ecl_value_from_raw (&state->values[slot], type, value, size);
   return (type != BSON_TYPE_DOCUMENT && type != BSON_TYPE_ARRAY) || !segment->slots[slot].inside ||
          ecl_bson_validate (value, size, error);
}

static ECL_HOT bool
scan (const ecl_segment_t *segment, ecl_run_state_t *state, const uint8_t *in, size_t len, bson_error_t *error)
{
   const uint8_t *p = in + 4, *end = in + len - 1;
   uint64_t lengths = segment->lengths;
   shape_t *shape = state->shape, *shape_end = state->shape + SHAPE_FIELDS;

   while (p < end) {
      const uint8_t *element = p, *value;
      uint32_t size, entry = 0;
      uint8_t type = *p;

      if (ECL_LIKELY (shape < shape_end && end - p > 17 && looks_like (shape, p))) {
         value = p + 2 + shape->key_len;
         size = shape->size;
         entry = shape->entry;
      } else {
         uint64_t head;
         uint32_t key_len = read_key (p + 1, end, &head);

         value = p + 2 + key_len;
         if (ECL_UNLIKELY (value > end)) {
            return corrupt (error, in, element);
         }
         size = ecl_bson_fixed_size[type];
         if (lengths >> (key_len < 63 ? key_len : 63) & 1) {
            entry = find_slot (segment, p + 1, key_len, head);
         }
         if (shape < shape_end) {
            remember (shape, p + 1, key_len, type, entry);
         }
      }
      shape++;
      if (size != 0xFF) {
         if (ECL_UNLIKELY (size > (size_t) (end - value))) {
            return corrupt (error, in, element);
         }
      } else if (ECL_LIKELY (type == BSON_TYPE_UTF8 && end - value >= 5)) {
         /* As ecl_bson_variable_size does; most fields of most documents are strings. */
         uint32_t n = ecl_load_u32 (value);

         if (ECL_UNLIKELY (n < 1 || n > (size_t) (end - value) - 4 || value[4 + n - 1] != 0)) {
            return corrupt (error, in, element);
         }
         size = 4 + n;
      } else if (ECL_UNLIKELY (!ecl_bson_variable_size (type, value, (size_t) (end - value), &size))) {
         return corrupt (error, in, element);
      }
      p = value + size;
      if (entry && !found (segment, state, entry - 1, in, element, value, size, error)) {
         return false;
      }
   }
   return true;
}

/* ---- stages ---- */

static inline void
store (ecl_run_state_t *state, uint32_t slot, const ecl_value_t *value)
{
   track_t *track = &state->tracks[slot];

   state->values[slot] = *value;
   track->dirty = true;
   if (value->type == ECL_MISSING) {
      track->place = NOWHERE;
   } else if (track->place == NOWHERE) {
      state->appended[state->next_place - APPENDED] = slot;
      track->place = state->next_place++;
   }
}

static void
clear (ecl_run_state_t *state, uint32_t slot)
{
   ecl_value_t missing = ecl_missing ();

   store (state, slot, &missing);
}

static inline bool
compute (const ecl_tree_t *child, ecl_eval_t *ev, ecl_run_state_t *state, ecl_value_t *out)
{
   return child->action == ECL_TREE_COMPUTED
             ? ecl_expr_eval (child->expr, ev, out)
             : ecl_tree_set (child, ev, &state->memo, &state->values[child->slot], out);
}

static bool
run_set (const ecl_stage_t *stage, ecl_eval_t *ev, ecl_run_state_t *state)
{
   const ecl_tree_t *child;
   uint32_t i = 0;

   if (stage->direct) {
      for (child = stage->root->first; child; child = child->next) {
         ecl_value_t value;

         if (!compute (child, ev, state, &value)) {
            return false;
         }
         store (state, child->slot, &value);
      }
      return true;
   }
   /* All expressions of a stage read its input: nothing is stored before all are computed. */
   for (child = stage->root->first; child; child = child->next, i++) {
      if (!compute (child, ev, state, &state->fresh[i])) {
         return false;
      }
   }
   i = 0;
   for (child = stage->root->first; child; child = child->next, i++) {
      store (state, child->slot, &state->fresh[i]);
   }
   return true;
}

static void
run_exclude (const ecl_stage_t *stage, ecl_eval_t *ev, ecl_run_state_t *state)
{
   for (const ecl_tree_t *child = stage->root->first; child; child = child->next) {
      ecl_value_t *value = &state->values[child->slot];

      if (child->action == ECL_TREE_DROP) {
         clear (state, child->slot);
      } else if (child->action == ECL_TREE_CHILDREN &&
                 (value->type == BSON_TYPE_DOCUMENT || value->type == BSON_TYPE_ARRAY)) {
         ecl_value_t rest;

         ecl_tree_exclude (child, &ev->arena, value, &rest);
         store (state, child->slot, &rest);
      }
   }
}

static bool
run_include (const ecl_segment_t *segment, const ecl_stage_t *stage, ecl_eval_t *ev, ecl_run_state_t *state)
{
   const ecl_tree_t *child;
   uint32_t i = 0;

   for (child = stage->root->first; child; child = child->next, i++) {
      ecl_value_t *value = &state->values[child->slot];

      if (child->action == ECL_TREE_COMPUTED) {
         if (!ecl_expr_eval (child->expr, ev, &state->fresh[i])) {
            return false;
         }
      } else if (child->action == ECL_TREE_CHILDREN) {
         ecl_value_t kept;

         ecl_tree_include (child, &ev->arena, value, &kept);
         state->fresh[i] = kept;
         if (child->computes && !ecl_tree_set (child, ev, &state->memo, &kept, &state->fresh[i])) {
            return false;
         }
         if (kept.type == ECL_MISSING) {
            /* It loses its place and comes back, if at all, with the computed fields. */
            state->tracks[child->slot].place = NOWHERE;
            state->tracks[child->slot].dirty = true;
         }
      } else {
         state->fresh[i] = *value;
      }
   }
   for (uint32_t slot = 0; slot < segment->n_slots; slot++) {
      if (!stage->stays[slot]) {
         clear (state, slot);
      }
   }
   i = 0;
   for (child = stage->root->first; child; child = child->next, i++) {
      if (child->action == ECL_TREE_COMPUTED || child->action == ECL_TREE_CHILDREN) {
         store (state, child->slot, &state->fresh[i]);
      }
   }
   return true;
}

/* $replaceWith of an object literal */
static bool
run_replace (const ecl_segment_t *segment, const ecl_stage_t *stage, ecl_eval_t *ev, ecl_run_state_t *state)
{
   const ecl_tree_t *child;
   uint32_t i = 0;

   for (child = stage->root->first; child; child = child->next, i++) {
      if (!ecl_expr_eval (child->expr, ev, &state->fresh[i])) {
         return false;
      }
   }
   for (uint32_t slot = 0; slot < segment->n_slots; slot++) {
      clear (state, slot);
   }
   i = 0;
   for (child = stage->root->first; child; child = child->next, i++) {
      store (state, child->slot, &state->fresh[i]);
   }
   return true;
}

/* ---- output ---- */

static bool
too_large (const ecl_plan_t *plan, uint64_t size, bson_error_t *error)
{
   if (size >= UINT32_MAX) {
      return ecl_fail (error, ECL_DOMAIN_MQL, 10334, "the result is larger than %u bytes, or nested deeper than %d levels",
                       plan->options.max_size, ECL_BSON_MAX_DEPTH);
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

static bool
output (const ecl_plan_t *plan, const ecl_segment_t *segment, ecl_run_state_t *state, const uint8_t *in, size_t len,
        const uint8_t **out, size_t *out_len, bson_error_t *error)
{
   ecl_buf_t *buf;
   uint8_t *p;
   uint32_t appended = state->next_place - APPENDED;
   uint32_t from = 4;
   uint64_t size = 5;
   bool edited = segment->drops_rest;

   /* Exact size first. */
   for (uint32_t i = 0; i < segment->n_slots; i++) {
      const track_t *track = &state->tracks[i];

      edited |= track->dirty;
      if (track->place != NOWHERE && (segment->drops_rest || track->dirty)) {
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
      return too_large (plan, size, error);
   }
   buf = &state->outputs[state->turn ^= 1];
   ecl_buf_clear (buf);
   if (!ecl_buf_reserve (buf, size + OUTPUT_SLACK)) {
      return too_large (plan, size, error);
   }
   p = buf->data + 4;
   for (uint32_t k = 0; k < state->n_found; k++) {
      uint32_t slot = state->order[k];
      const track_t *track = &state->tracks[slot];

      if (!segment->drops_rest) {
         if (!track->dirty) {
            continue;
         }
         memcpy (p, in + from, track->from - from);
         p += track->from - from;
         from = track->to;
      }
      if (track->place == IN_PLACE) {
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
      if (state->tracks[slot].place == APPENDED + k) {
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

/* The update's rules for _id, where an edit may have reached it. */
static bool
keep_id (const ecl_plan_t *plan, ecl_run_state_t *state, const uint8_t *in, size_t in_len, const uint8_t **out,
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
      return too_large (plan, *out_len + element_len, error);
   }
   buf = &state->outputs[state->turn ^= 1];
   ecl_buf_clear (buf);
   if (!ecl_buf_reserve (buf, *out_len + element_len)) {
      return too_large (plan, *out_len + element_len, error);
   }
   memcpy (buf->data + 4, before.element, element_len);
   memcpy (buf->data + 4 + element_len, *out + 4, *out_len - 4);
   buf->len = *out_len + element_len;
   ecl_store_u32 (buf->data, (uint32_t) buf->len);
   *out = buf->data;
   *out_len = buf->len;
   return true;
}

/* ---- functions ---- */

static bool
run_function (const ecl_stage_t *stage, ecl_eval_t *ev, ecl_run_state_t *state, const uint8_t *in, size_t len,
              ecl_value_t *whole, bson_error_t *error)
{
   bson_t document, *out;

   state->function_turn ^= 1;
   if (!state->functions[state->function_turn]) {
      state->functions[state->function_turn] = bson_new ();
   }
   out = state->functions[state->function_turn];
   bson_reinit (out);
   if (!ecl_bson_validate (in, len, error)) {
      return false;
   }
   if (!bson_init_static (&document, in, len)) {
      return ecl_fail (error, ECL_DOMAIN_BSON, ECL_ERROR_SYNTAX, "corrupt BSON");
   }
   if (!stage->function->run (stage->function->context, ev, &document, out, error)) {
      return false;
   }
   *whole = ecl_raw_document (bson_get_data (out), out->len);
   return ecl_bson_validate (whole->u.raw, whole->len, error);
}

/* ---- the run ---- */

/* *whole: the new document, where the last stage was a $replaceWith of an expression; else missing. */
static bool
run_segment (const ecl_plan_t *plan, const ecl_segment_t *segment, ecl_eval_t *ev, ecl_run_state_t *state, const uint8_t *in, size_t len,
             ecl_value_t *whole, bson_error_t *error)
{
   memset (state->tracks, 0, segment->n_slots * sizeof *state->tracks);
   memset (state->values, 0, segment->n_slots * sizeof *state->values);
   state->n_found = 0;
   state->next_place = APPENDED;
   if (state->shape_of != segment || state->shape_serial != plan->serial) {
      /* Entries name the slots of one segment. A plan may be made where another one was: its serial tells. */
      memset (state->shape, 0, sizeof state->shape);
      state->shape_of = segment;
      state->shape_serial = plan->serial;
   }
   *whole = ecl_missing ();
   if (segment->needs_root) {
      if (!ecl_bson_validate (in, len, error)) {
         return false;
      }
      ev->root = ecl_raw_document (in, len);
   }
   if (segment->first && segment->first->kind == ECL_STAGE_FUNCTION) {
      return run_function (segment->first, ev, state, in, len, whole, error);
   }
   if (!scan (segment, state, in, len, error)) {
      return false;
   }
   ev->slots = state->values;
   for (const ecl_stage_t *stage = segment->first; stage; stage = stage->next) {
      bool ok = true;

      if (stage->n_memo) {
         memset (state->memo.known, 0, stage->n_memo * sizeof *state->memo.known);
      }
      switch (stage->kind) {
      case ECL_STAGE_SET:
         ok = run_set (stage, ev, state);
         break;
      case ECL_STAGE_EXCLUDE:
         run_exclude (stage, ev, state);
         break;
      case ECL_STAGE_INCLUDE:
         ok = run_include (segment, stage, ev, state);
         break;
      case ECL_STAGE_FUNCTION:
         break; /* alone in its segment, and done above */
      case ECL_STAGE_REPLACE:
         if (!stage->expr) {
            ok = run_replace (segment, stage, ev, state);
            break;
         }
         ok = ecl_expr_eval (stage->expr, ev, whole);
         if (ok && whole->type != BSON_TYPE_DOCUMENT) {
            ok = ecl_eval_fail (ev, stage->expr, 40228, "'replacement document' must evaluate to an object, but resulting value was: %s",
                                ecl_value_text (&ev->arena, whole));
         }
         break;
      }
      if (!ok) {
         if (error) {
            *error = ev->error;
         }
         return false;
      }
   }
   return true;
}

/* A failure of a run that lacked documents means nothing: it computed with what was not there. */
static bool
needs (bson_error_t *error)
{
   return ecl_fail (error, ECL_DOMAIN_UPGRADE, ECL_ERROR_NEEDS, "documents of other collections are needed first");
}

bool
ecl_plan_run (const ecl_plan_t *self, ecl_eval_t *ev, const uint8_t *in, size_t len, const uint8_t **out,
              size_t *out_len, bson_error_t *error)
{
   ecl_run_state_t *state = run_state (ev, self);
   ecl_cursor_t cursor;
   const uint8_t *current = in;
   size_t current_len;

   BSON_ASSERT (self->linked);
   ev->failed = NULL;
   ev->pending = false;
   ecl_arena_reset (&ev->arena);
   ecl_eval_reserve_vars (ev, self->max_vars);
   if (!ecl_cursor_init (&cursor, in, len)) {
      return ecl_fail (error, ECL_DOMAIN_BSON, ECL_ERROR_SYNTAX,
                       "corrupt BSON: the document's length or terminator does not agree with its bytes");
   }
   current_len = len = (size_t) (cursor.end + 1 - in);
   for (const ecl_segment_t *segment = self->segments; segment; segment = segment->next) {
      ecl_value_t whole;

      if (!run_segment (self, segment, ev, state, current, current_len, &whole, error)) {
         return ev->pending ? needs (error) : false;
      }
      if (ev->pending) {
         return needs (error);
      }
      if (whole.type == BSON_TYPE_DOCUMENT) {
         ecl_value_t raw;

         if (!ecl_value_to_raw (&ev->arena, &whole, &raw, error)) {
            return false;
         }
         if (raw.len > self->options.max_size) {
            return too_large (self, raw.len, error);
         }
         current = raw.u.raw;
         current_len = raw.len;
      } else if (!output (self, segment, state, current, current_len, &current, &current_len, error)) {
         return false;
      }
   }
   if (self->options.update && self->touches_id &&
       !keep_id (self, state, in, len, &current, &current_len, error)) {
      return false;
   }
   *out = current;
   *out_len = current_len;
   return true;
}

bool
ecl_expr_run (const ecl_expr_t *expr, ecl_eval_t *ev, const ecl_value_t *root, ecl_value_t *out, bson_error_t *error)
{
   ev->root = *root;
   if (!ecl_expr_eval (expr, ev, out)) {
      if (error) {
         *error = ev->error;
      }
      return false;
   }
   return true;
}
