/* Running a linked plan on a document: stages read and write slots. See plan.h for the shape of it, exec-private.h for
 * what a run keeps. */
#include "mql/exec-private.h"

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

/* ---- stages ---- */

/* A field has its place from when it was first set, even to what is missing, and keeps it when it is removed: so does
 * the server's document, which marks a field as missing and finds it again when it is set
 * (mongo/src/mongo/db/exec/document_value/document.cpp). */
static inline void
store (ecl_run_state_t *state, uint32_t slot, const ecl_value_t *value)
{
   ecl_track_t *track = &state->tracks[slot];

   state->values[slot] = *value;
   track->dirty = state->edited = true;
   if (track->place == ECL_NOWHERE) {
      state->appended[state->next_place - ECL_APPENDED] = slot;
      track->place = state->next_place++;
   }
}

/* As in a new document. */
static void
forget (ecl_run_state_t *state, uint32_t slot)
{
   ecl_track_t *track = &state->tracks[slot];

   state->values[slot] = ecl_missing ();
   track->dirty = state->edited = true;
   track->place = ECL_NOWHERE;
}

static inline bool
compute (const ecl_tree_t *child, ecl_eval_t *ev, ecl_run_state_t *state, ecl_value_t *out)
{
   return child->action == ECL_TREE_COMPUTED ? ecl_expr_eval (child->expr, ev, out)
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

/* stored: the document is as it was stored, or made of such a one by leaving fields out. Of such a one the server makes a
 * new one without the fields (FastPathEligibleExclusionNode, exclusion_projection_executor.cpp), of others it marks them
 * as missing. */
static void
run_exclude (const ecl_stage_t *stage, bool stored, ecl_eval_t *ev, ecl_run_state_t *state)
{
   const ecl_value_t missing = ecl_missing ();

   for (const ecl_tree_t *child = stage->root->first; child; child = child->next) {
      ecl_value_t *value = &state->values[child->slot];

      if (value->type == ECL_MISSING) {
         continue;
      }
      if (child->action == ECL_TREE_DROP && stored) {
         forget (state, child->slot);
      } else if (child->action == ECL_TREE_DROP) {
         store (state, child->slot, &missing);
      } else if (child->action == ECL_TREE_CHILDREN &&
                 (value->type == BSON_TYPE_DOCUMENT || value->type == BSON_TYPE_ARRAY)) {
         ecl_value_t rest;

         ecl_tree_exclude (child, &ev->arena, value, !stored, &rest);
         store (state, child->slot, &rest);
      }
   }
}

/* stored: as above; then the server copies what is included, and what is not leaves no place. */
static bool
run_include (const ecl_segment_t *segment, const ecl_stage_t *stage, bool stored, ecl_eval_t *ev,
             ecl_run_state_t *state)
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
         if (kept.type == ECL_MISSING && (stored || value->type == ECL_MISSING)) {
            /* It has no place in the new document: if it comes, then with the computed fields. */
            state->tracks[child->slot].place = ECL_NOWHERE;
            state->tracks[child->slot].dirty = state->edited = true;
         }
      } else {
         state->fresh[i] = *value;
         if (value->type == ECL_MISSING) {
            forget (state, child->slot);
         }
      }
   }
   for (uint32_t slot = 0; slot < segment->n_slots; slot++) {
      if (!stage->stays[slot]) {
         forget (state, slot);
      }
   }
   i = 0;
   for (child = stage->root->first; child; child = child->next, i++) {
      if (child->computes || (child->action == ECL_TREE_CHILDREN && state->tracks[child->slot].place != ECL_NOWHERE)) {
         store (state, child->slot, &state->fresh[i]);
      } else if (child->action == ECL_TREE_CHILDREN) {
         forget (state, child->slot);
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
      forget (state, slot);
   }
   i = 0;
   for (child = stage->root->first; child; child = child->next, i++) {
      store (state, child->slot, &state->fresh[i]);
   }
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
run_segment (const ecl_plan_t *plan, const ecl_segment_t *segment, ecl_eval_t *ev, ecl_run_state_t *state,
             const uint8_t *in, size_t len, ecl_value_t *whole, bson_error_t *error)
{
   bool stored = segment == plan->segments; /* the document as it was given */

   memset (state->tracks, 0, segment->n_slots * sizeof *state->tracks);
   memset (state->values, 0, segment->n_slots * sizeof *state->values);
   ev->n_rows = 0;
   state->n_found = 0;
   state->edited = false;
   state->next_place = ECL_APPENDED;
   if (state->shape_of != segment || state->shape_serial != plan->serial) {
      /* A plan may be made where another one was: its serial tells. */
      ecl_run_forget_shape (state);
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
   if (!ecl_run_scan (segment, state, in, len, error)) {
      return false;
   }
   ev->slots = state->values;
   for (const ecl_stage_t *stage = segment->first; stage; stage = stage->next) {
      bool ok = true;

      stored =
         stored && (stage->kind == ECL_STAGE_EXCLUDE || (stage->kind == ECL_STAGE_INCLUDE && !stage->root->computes));
      if (stage->n_memo) {
         memset (state->memo.known, 0, stage->n_memo * sizeof *state->memo.known);
      }
      switch (stage->kind) {
      case ECL_STAGE_SET:
         ok = run_set (stage, ev, state);
         break;
      case ECL_STAGE_EXCLUDE:
         run_exclude (stage, stored, ev, state);
         break;
      case ECL_STAGE_INCLUDE:
         ok = run_include (segment, stage, stored, ev, state);
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
            ok = ecl_eval_fail (ev, stage->expr, 40228,
                                "'replacement document' must evaluate to an object, but resulting value was: %s",
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
            return ecl_run_too_large (self, raw.len, error);
         }
         current = raw.u.raw;
         current_len = raw.len;
      } else if (!ecl_run_output (self, segment, state, current, current_len, &current, &current_len, error)) {
         return false;
      }
   }
   if (self->options.update && self->touches_id &&
       !ecl_run_keep_id (self, state, in, len, &current, &current_len, error)) {
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
   ev->n_rows = 0;
   if (!ecl_expr_eval (expr, ev, out)) {
      if (error) {
         *error = ev->error;
      }
      return false;
   }
   return true;
}
