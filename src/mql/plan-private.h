/* A linked plan, shared by the linker (plan.c) and the runner, whose parts exec-private.h names. */
#ifndef ECL_MQL_PLAN_PRIVATE_H
#define ECL_MQL_PLAN_PRIVATE_H

#include "mql/names.h"
#include "mql/plan.h"
#include "mql/stage.h"

/* A field of the top level that stages name. */
typedef struct {
   ecl_name_t name;
   uint64_t head;      /* its first 8 bytes, zero padded */
   uint8_t padded[16]; /* the name and its NUL, where they fit; written with one copy of fixed size */
   bool inside;        /* something reads or edits what is in it: a document or array is validated when it is found */
} ecl_slot_t;

typedef struct ecl_segment_t ecl_segment_t;
struct ecl_segment_t {
   ecl_slot_t *slots;
   uint32_t n_slots, cap_slots;
   uint64_t lengths; /* bit min(length, 63) of every name */
   uint32_t *table;  /* hash table: slot + 1, 0 is empty */
   uint32_t table_mask;
   uint32_t table_shift; /* the place in the table is what the hash has above these bits */
   bool needs_root;      /* $$ROOT is read: the whole document is validated */
   bool drops_rest;      /* fields without a slot go (an inclusion, a replacement) */
   ecl_stage_t *first, *last;
   ecl_segment_t *next;
   ecl_names_t names; /* of the slots, by their numbers; for linking */
};

struct ecl_plan_t {
   uint64_t serial; /* of its own in this process */
   ecl_arena_t arena;
   ecl_eval_t folder;
   ecl_parse_t parse;
   ecl_plan_options_t options;
   ecl_stage_t *first, *last; /* before linking */
   ecl_segment_t *segments;
   uint32_t max_slots, max_memo, max_vars;
   uint32_t max_stores; /* how often the stages of one segment can store */
   bool touches_id;     /* an edit may reach _id */
   ecl_plan_path_t *paths;
   size_t n_paths, cap_paths;
   ecl_names_t path_names; /* of the paths, by their numbers; for linking */
   bool whole_read, whole_written;
   bool linked;
   bool has_functions;
};

/* Where in the segment's table the search for a key begins; head are its first 8 bytes. Of longer ones the last 8 count,
 * too: names that only differ there are many where there are many names. */
static inline uint32_t
ecl_slot_place (const ecl_segment_t *segment, const char *key, uint32_t len, uint64_t head)
{
   if (len > 8) {
      uint64_t tail;

      memcpy (&tail, key + len - 8, 8);
      head += tail * 0xC2B2AE3D27D4EB4Full;
   }
   return (uint32_t) ((head ^ len) * 0x9E3779B97F4A7C15ull >> segment->table_shift);
}

/* The first 8 bytes of a key, zero padded. */
static inline uint64_t
ecl_key_head (const char *key, uint32_t len)
{
   uint64_t head = 0;

   memcpy (&head, key, len < 8 ? len : 8);
   return head;
}

#endif
