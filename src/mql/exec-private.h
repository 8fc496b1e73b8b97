/* What a running plan keeps, shared by the three parts of a run: scan.c finds the fields, exec.c runs the stages,
 * output.c writes the document.
 *
 * What a slot knows while a segment runs:
 *
 *   value   what the field holds now; missing: it is not there
 *   place   NOWHERE; IN_PLACE: where the input has it; APPENDED + k: behind the input, k-th. Of what is missing, too
 *   from/to the element's bytes in the input, if it was found
 *   dirty   the element is not copied: its place in the input is skipped, or written anew
 */
#ifndef ECL_MQL_EXEC_PRIVATE_H
#define ECL_MQL_EXEC_PRIVATE_H

#include "bson/shape.h"
#include "mql/plan-private.h"
#include "mql/run.h"

#define ECL_NOWHERE 0u
#define ECL_IN_PLACE 1u
#define ECL_APPENDED 2u

typedef struct {
   uint32_t place;
   uint32_t from, to;
   bool found, dirty;
} ecl_track_t;

#define ECL_SHAPE_FIELDS 64u

struct ecl_run_state_t {
   ecl_value_t *values; /* of the slots */
   ecl_track_t *tracks;
   uint32_t *order;    /* slots in the order in which the input has them */
   uint32_t *appended; /* slots in the order in which they came behind it; an entry counts if the place still agrees */
   uint32_t cap, cap_appended;
   uint32_t n_found;
   bool edited; /* something was stored */
   uint32_t next_place;
   ecl_value_t *fresh; /* what the running stage computed, before it is stored */
   ecl_memo_t memo;
   uint32_t cap_memo;
   ecl_buf_t outputs[2];
   unsigned turn;
   bson_t *functions[2]; /* outputs of functions, in turn; made when first needed */
   unsigned function_turn;
   const ecl_segment_t *shape_of;
   uint64_t shape_serial;
   ecl_shape_t shape[ECL_SHAPE_FIELDS + 1]; /* entry: slot + 1; the last one is like no element */
};

/* To be called before the first scan for a segment: entries name its slots. */
void
ecl_run_forget_shape (ecl_run_state_t *state);

/* Finds the fields of the segment's slots in a document whose length and terminator were checked. */
bool
ecl_run_scan (const ecl_segment_t *segment, ecl_run_state_t *state, const uint8_t *in, size_t len,
              bson_error_t *error) ECL_MUST_CHECK;

/* The document after the segment's edits: the input itself where there was none. */
bool
ecl_run_output (const ecl_plan_t *plan, const ecl_segment_t *segment, ecl_run_state_t *state, const uint8_t *in,
                size_t len, const uint8_t **out, size_t *out_len, bson_error_t *error) ECL_MUST_CHECK;

/* The update's rules for _id, where an edit may have reached it: it comes back, first; it must not change. */
bool
ecl_run_keep_id (const ecl_plan_t *plan, ecl_run_state_t *state, const uint8_t *in, size_t in_len, const uint8_t **out,
                 size_t *out_len, bson_error_t *error) ECL_MUST_CHECK;

/* Says that a result of size bytes is too large; returns false. */
bool
ecl_run_too_large (const ecl_plan_t *plan, uint64_t size, bson_error_t *error);

#endif
