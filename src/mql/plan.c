/* Building and linking of plans: stages become segments, field paths become slots. See plan.h. */
#include "mql/plan-private.h"

#include "mql/nodes.h"

void
ecl_parse_init (ecl_parse_t *self, ecl_arena_t *arena, ecl_eval_t *folder, ecl_parse_report_fn report, void *context)
{
   memset (self, 0, sizeof *self);
   self->arena = arena;
   self->folder = folder;
   self->report = report;
   self->report_context = context;
}

ecl_plan_t *
ecl_plan_new (const ecl_plan_options_t *options)
{
   static _Atomic uint64_t serials;
   ecl_plan_t *self = bson_malloc0 (sizeof *self);

   self->serial = ++serials;
   ecl_arena_init (&self->arena);
   ecl_names_init (&self->path_names, &self->arena);
   ecl_eval_init (&self->folder);
   self->options = *options;
   if (!self->options.max_size) {
      self->options.max_size = ECL_BSON_MAX_SIZE;
   }
   ecl_parse_init (&self->parse, &self->arena, &self->folder, options->report, options->report_context);
   self->parse.allow_now = options->allow_now;
   self->parse.allow_lookup = options->allow_lookup;
   if (options->outer) {
      self->parse.scope = options->outer->scope;
      self->parse.n_vars = options->outer->n_vars;
      self->parse.max_vars = options->outer->n_vars;
   }
   return self;
}

void
ecl_plan_destroy (ecl_plan_t *self)
{
   if (self) {
      ecl_eval_cleanup (&self->folder);
      ecl_arena_cleanup (&self->arena);
      bson_free (self->paths);
      bson_free (self);
   }
}

static void
append_stage (ecl_plan_t *self, ecl_stage_t *stage)
{
   if (self->last) {
      self->last->next = stage;
   } else {
      self->first = stage;
   }
   self->last = stage;
}

bool
ecl_plan_add_stage (ecl_plan_t *self, const ecl_field_t *spec)
{
   ecl_scope_t *scope = self->parse.scope;
   uint32_t n_vars = self->parse.n_vars;
   ecl_stage_t *stage = ecl_stage_parse (&self->parse, spec);

   BSON_ASSERT (!self->linked);
   if (!stage) {
      /* The next stage is read all the same, so that one run shows every problem. */
      self->parse.scope = scope;
      self->parse.n_vars = n_vars;
      return false;
   }
   append_stage (self, stage);
   return true;
}

bool
ecl_plan_add_pipeline (ecl_plan_t *self, const ecl_value_t *pipeline, const uint8_t *at)
{
   ecl_iter_t iter;
   ecl_field_t field;
   bool ok = true;
   uint32_t n = 0;

   if (pipeline->type != BSON_TYPE_ARRAY || pipeline->rep != ECL_REP_RAW) {
      ecl_parse_fail (&self->parse, at, 14, "a pipeline must be an array of stages, found %s",
                      ecl_type_name (pipeline->type));
      return false;
   }
   ecl_iter_init (&iter, pipeline);
   while (ecl_iter_field (&iter, &field)) {
      if (++n > 1000) {
         ecl_parse_fail (&self->parse, ecl_at (&field), 7749501, "a pipeline has at most 1000 stages");
         return false;
      }
      ok = ecl_plan_add_stage (self, &field) && ok;
   }
   return ok;
}

void
ecl_plan_add_function (ecl_plan_t *self, const ecl_function_t *function)
{
   ecl_stage_t *stage = ecl_stage_function (&self->parse, function);

   BSON_ASSERT (!self->linked);
   self->has_functions = true;
   append_stage (self, stage);
}

bool
ecl_plan_has_functions (const ecl_plan_t *self)
{
   return self->has_functions;
}

bool
ecl_plan_add_constant (ecl_plan_t *self, const char *path, const ecl_value_t *value)
{
   ecl_stage_t *stage = ecl_stage_constant (&self->parse, path, value);

   if (stage) {
      append_stage (self, stage);
   }
   return stage != NULL;
}

/* ---- paths ---- */

static void
note_path (ecl_plan_t *self, const char *text, bool read, bool written)
{
   const ecl_name_t name = {.str = text, .len = (uint32_t) strlen (text)};
   uint32_t known = ecl_names_find (&self->path_names, name.str, name.len);

   if (known != ECL_NAMES_NONE) {
      self->paths[known].read |= read;
      self->paths[known].written |= written;
      return;
   }
   if (self->n_paths == self->cap_paths) {
      self->cap_paths = self->cap_paths ? 2 * self->cap_paths : 8;
      self->paths = bson_realloc (self->paths, self->cap_paths * sizeof *self->paths);
   }
   self->paths[self->n_paths++] = (ecl_plan_path_t){.path = text, .read = read, .written = written};
   ecl_names_add (&self->path_names, name);
}

static void
note_read (ecl_plan_t *self, const ecl_name_t *names, uint32_t n)
{
   size_t len = 0;
   char *text, *p;

   for (uint32_t i = 0; i < n; i++) {
      len += names[i].len + 1;
   }
   p = text = ecl_arena_alloc (&self->arena, len);
   for (uint32_t i = 0; i < n; i++) {
      memcpy (p, names[i].str, names[i].len);
      p += names[i].len;
      *p++ = i + 1 < n ? '.' : '\0';
   }
   note_path (self, text, true, false);
}

static void
note_tree (ecl_plan_t *self, const ecl_tree_t *tree, const char *prefix)
{
   for (const ecl_tree_t *child = tree->first; child; child = child->next) {
      const char *path = ecl_arena_printf (&self->arena, "%s%s%.*s", prefix, *prefix ? "." : "", (int) child->name.len,
                                           child->name.str);

      if (child->action == ECL_TREE_CHILDREN) {
         note_tree (self, child, path);
      } else if (child->action != ECL_TREE_KEEP) {
         note_path (self, path, false, true);
      }
   }
}

const ecl_plan_path_t *
ecl_plan_paths (const ecl_plan_t *self, size_t *n, bool *whole_read, bool *whole_written)
{
   *n = self->n_paths;
   *whole_read = self->whole_read;
   *whole_written = self->whole_written;
   return self->paths;
}

/* ---- linking ---- */

static uint32_t
slot_of (ecl_plan_t *self, ecl_segment_t *segment, ecl_name_t name, bool inside)
{
   uint32_t known = ecl_names_find (&segment->names, name.str, name.len);

   if (known != ECL_NAMES_NONE) {
      segment->slots[known].inside |= inside;
      return known;
   }
   if (segment->n_slots == segment->cap_slots) {
      uint32_t cap = segment->cap_slots ? 2 * segment->cap_slots : 8;

      segment->slots = ecl_arena_grow (&self->arena, segment->slots, segment->cap_slots * sizeof *segment->slots,
                                       cap * sizeof *segment->slots);
      segment->cap_slots = cap;
   }
   segment->slots[segment->n_slots] =
      (ecl_slot_t){.name = name, .head = ecl_key_head (name.str, name.len), .inside = inside};
   if (name.len < sizeof segment->slots->padded) {
      memcpy (segment->slots[segment->n_slots].padded, name.str, name.len);
   }
   segment->n_slots++;
   return ecl_names_add (&segment->names, name);
}

static bool
reads_root (const ecl_expr_t *e)
{
   if (!e) {
      return false;
   }
   if (e->kind == ECL_EXPR_ROOT) {
      return true;
   }
   for (uint32_t i = 0; i < e->n; i++) {
      if (reads_root (e->args[i])) {
         return true;
      }
   }
   return false;
}

static bool
tree_reads_root (const ecl_tree_t *tree)
{
   if (tree->expr && reads_root (tree->expr)) {
      return true;
   }
   for (const ecl_tree_t *child = tree->first; child; child = child->next) {
      if (tree_reads_root (child)) {
         return true;
      }
   }
   return false;
}

/* whole: the value is only moved, so what is inside it does not matter */
static void
link_expr (ecl_plan_t *self, ecl_segment_t *segment, ecl_expr_t *e, bool whole)
{
   if (!e) {
      return;
   }
   if (e->kind == ECL_EXPR_FIELD) {
      note_read (self, e->keys, e->n_path);
      e->index = slot_of (self, segment, e->keys[0], e->n_path > 1 || !whole);
      e->eval = e->n_path > 1 ? ecl_node_slot_path : ecl_node_slot;
   } else if (e->kind == ECL_EXPR_ROOT) {
      segment->needs_root = true;
      self->whole_read = true;
   }
   for (uint32_t i = 0; i < e->n; i++) {
      link_expr (self, segment, e->args[i], false);
   }
}

static void
link_tree (ecl_plan_t *self, ecl_segment_t *segment, ecl_tree_t *tree, bool top)
{
   for (ecl_tree_t *child = tree->first; child; child = child->next) {
      if (top) {
         child->slot = slot_of (self, segment, child->name, child->action == ECL_TREE_CHILDREN);
         if (child->name.len == 3 && memcmp (child->name.str, "_id", 3) == 0 && child->action != ECL_TREE_KEEP) {
            self->touches_id = true;
         }
      }
      link_expr (self, segment, child->expr, top);
      link_tree (self, segment, child, false);
   }
}

static void
build_table (ecl_plan_t *self, ecl_segment_t *segment)
{
   uint32_t size = 8;

   segment->table_shift = 64 - 3;
   while (size < 4 * (uint64_t) segment->n_slots) {
      size *= 2;
      segment->table_shift--;
   }
   segment->table = ecl_arena_array (&self->arena, uint32_t, size);
   memset (segment->table, 0, size * sizeof *segment->table);
   segment->table_mask = size - 1;
   for (uint32_t i = 0; i < segment->n_slots; i++) {
      const ecl_slot_t *slot = &segment->slots[i];
      uint32_t at = ecl_slot_place (segment, slot->name.str, slot->name.len, slot->head);

      while (segment->table[at]) {
         at = (at + 1) & segment->table_mask;
      }
      segment->table[at] = i + 1;
      segment->lengths |= (uint64_t) 1 << (slot->name.len < 63 ? slot->name.len : 63);
   }
}

static bool
reads_stored (const ecl_expr_t *e, const uint32_t *stored, uint32_t mark)
{
   if (!e) {
      return false;
   }
   if (e->kind == ECL_EXPR_FIELD && stored[e->index] == mark) {
      return true;
   }
   for (uint32_t i = 0; i < e->n; i++) {
      if (reads_stored (e->args[i], stored, mark)) {
         return true;
      }
   }
   return false;
}

static bool
tree_reads_stored (const ecl_tree_t *tree, const uint32_t *stored, uint32_t mark)
{
   if (reads_stored (tree->expr, stored, mark)) {
      return true;
   }
   for (const ecl_tree_t *child = tree->first; child; child = child->next) {
      if (tree_reads_stored (child, stored, mark)) {
         return true;
      }
   }
   return false;
}

/* What is only moved is looked into where it went. */
static void
note_moves (ecl_segment_t *segment)
{
   bool more;

   do {
      more = false;
      for (const ecl_stage_t *stage = segment->first; stage; stage = stage->next) {
         for (const ecl_tree_t *child = stage->root->first; child; child = child->next) {
            const ecl_expr_t *e = child->expr;

            if (e && e->kind == ECL_EXPR_FIELD && segment->slots[child->slot].inside &&
                !segment->slots[e->index].inside) {
               segment->slots[e->index].inside = more = true;
            }
         }
      }
   } while (more);
}

/* stored: by slot, the mark of the latest stage that was found to store it */
static bool
is_direct (const ecl_stage_t *stage, uint32_t *stored, uint32_t mark)
{
   if (!stage->root->first) {
      return false; /* {$set: {}}: there is nothing to store */
   }
   for (const ecl_tree_t *child = stage->root->first; child; child = child->next) {
      if (tree_reads_stored (child, stored, mark)) {
         return false;
      }
      stored[child->slot] = mark;
   }
   return true;
}

static void
shift_memo (ecl_tree_t *tree, uint32_t by)
{
   tree->memo += by;
   for (ecl_tree_t *child = tree->first; child; child = child->next) {
      shift_memo (child, by);
   }
}

/* Direct stages store each field as soon as it is computed, so two that follow each other are one longer stage. */
static void
join_direct (ecl_segment_t *segment)
{
   ecl_stage_t *stage = segment->first;

   while (stage && stage->next) {
      ecl_stage_t *next = stage->next;

      if (!stage->direct || !next->direct) {
         stage = next;
         continue;
      }
      shift_memo (next->root, stage->n_memo);
      stage->n_memo += next->n_memo;
      stage->root->last->next = next->root->first;
      stage->root->last = next->root->last;
      stage->root->n += next->root->n;
      stage->next = next->next;
   }
}

/* Which slots an inclusion leaves where they are. */
static void
note_stays (ecl_plan_t *self, const ecl_segment_t *segment, ecl_stage_t *stage)
{
   stage->stays = ecl_arena_array (&self->arena, bool, segment->n_slots);
   memset (stage->stays, 0, segment->n_slots * sizeof *stage->stays);
   for (const ecl_tree_t *child = stage->root->first; child; child = child->next) {
      stage->stays[child->slot] = child->action == ECL_TREE_KEEP || child->action == ECL_TREE_CHILDREN;
   }
}

static ecl_segment_t *
new_segment (ecl_plan_t *self, ecl_segment_t *previous)
{
   ecl_segment_t *segment = ecl_arena_new (&self->arena, ecl_segment_t);

   memset (segment, 0, sizeof *segment);
   ecl_names_init (&segment->names, &self->arena);
   if (previous) {
      previous->next = segment;
   } else {
      self->segments = segment;
   }
   return segment;
}

/* Gives the object literal of a $replaceWith a tree, so that its fields are stored like any other. */
static void
replacement_tree (ecl_plan_t *self, ecl_stage_t *stage)
{
   ecl_expr_t *e = stage->expr;

   for (uint32_t i = 0; i < e->n; i++) {
      ecl_tree_t *child = ecl_arena_new (&self->arena, ecl_tree_t);

      memset (child, 0, sizeof *child);
      child->name = e->keys[i];
      child->action = ECL_TREE_COMPUTED;
      child->computes = true;
      child->expr = e->args[i];
      child->source = e->args[i]->source;
      if (stage->root->last) {
         stage->root->last->next = child;
      } else {
         stage->root->first = child;
      }
      stage->root->last = child;
      stage->root->n++;
   }
   stage->expr = NULL;
}

/* Puts each stage into a segment, whose slots are those fields that its stages name. */
static void
link_stages (ecl_plan_t *self)
{
   ecl_segment_t *segment = new_segment (self, NULL);
   ecl_stage_t *next;

   for (ecl_stage_t *stage = self->first; stage; stage = next) {
      bool root =
         stage->kind == ECL_STAGE_REPLACE && stage->expr ? reads_root (stage->expr) : tree_reads_root (stage->root);

      next = stage->next;
      stage->next = NULL;
      if ((root || stage->kind == ECL_STAGE_FUNCTION) && segment->first) {
         segment = new_segment (self, segment);
      }
      if (stage->kind == ECL_STAGE_REPLACE && stage->expr && stage->expr->kind == ECL_EXPR_OBJECT) {
         replacement_tree (self, stage);
      }
      if (segment->last) {
         segment->last->next = stage;
      } else {
         segment->first = stage;
      }
      segment->last = stage;
      note_tree (self, stage->root, "");
      link_tree (self, segment, stage->root, true);
      if (stage->kind == ECL_STAGE_INCLUDE || stage->kind == ECL_STAGE_REPLACE) {
         segment->drops_rest = true;
         self->whole_written = true;
         self->touches_id = true;
      }
      if (stage->kind == ECL_STAGE_FUNCTION) {
         self->whole_read = self->whole_written = true;
         self->touches_id = true;
         if (next) {
            segment = new_segment (self, segment);
         }
      }
      if (stage->kind == ECL_STAGE_REPLACE && stage->expr) {
         link_expr (self, segment, stage->expr, false);
         if (next) {
            segment = new_segment (self, segment);
         }
      }
   }
}

/* When all slots of a segment are known: its table, how its stages store, and how much a run needs for it. */
static void
finish_segment (ecl_plan_t *self, ecl_segment_t *segment)
{
   uint32_t stores = 0, mark = 0;
   uint32_t *stored = bson_malloc0 ((segment->n_slots + (size_t) 1) * sizeof *stored);

   build_table (self, segment);
   note_moves (segment);
   for (ecl_stage_t *stage = segment->first; stage; stage = stage->next) {
      stores += stage->root->n;
      if (stage->kind == ECL_STAGE_INCLUDE) {
         note_stays (self, segment, stage);
      }
      stage->direct = stage->kind == ECL_STAGE_SET && is_direct (stage, stored, ++mark);
   }
   bson_free (stored);
   join_direct (segment);
   for (const ecl_stage_t *stage = segment->first; stage; stage = stage->next) {
      self->max_memo = BSON_MAX (self->max_memo, stage->n_memo);
   }
   self->max_slots = BSON_MAX (self->max_slots, segment->n_slots);
   self->max_stores = BSON_MAX (self->max_stores, stores);
}

void
ecl_plan_link (ecl_plan_t *self)
{
   link_stages (self);
   for (ecl_segment_t *segment = self->segments; segment; segment = segment->next) {
      finish_segment (self, segment);
   }
   self->max_vars = self->parse.max_vars;
   self->linked = true;
}
