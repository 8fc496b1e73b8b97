/* Nodes and paths of matches while they are built: see match_parse.h. */
#include "mql/match_parse.h"

#include "base/ascii.h"

#include <stdlib.h>

/* ---- nodes ---- */

ecl_match_node_t *
ecl_match_new_node (ecl_match_t *self, ecl_match_kind_t kind, const ecl_match_path_t *path, const uint8_t *source)
{
   ecl_match_node_t *node = ecl_arena_new (&self->arena, ecl_match_node_t);

   memset (node, 0, sizeof *node);
   node->kind = kind;
   node->traverse = true;
   if (path) {
      node->path = *path;
   }
   node->source = source;
   return node;
}

void
ecl_match_add_node (ecl_match_t *self, ecl_match_node_t *into, ecl_match_node_t *node)
{
   if (into->n == into->cap) {
      uint32_t cap = into->cap ? 2 * into->cap : 2;

      into->nodes =
         ecl_arena_grow (&self->arena, into->nodes, into->cap * sizeof *into->nodes, cap * sizeof *into->nodes);
      into->cap = cap;
   }
   into->nodes[into->n++] = node;
}

/* ---- paths ---- */

/* Doubles go at the end, in ecl_match_sort_paths. */
void
ecl_match_note_path (ecl_match_t *self, const char *path, size_t len)
{
   if (self->n_paths == self->cap_paths) {
      self->cap_paths = self->cap_paths ? 2 * self->cap_paths : 8;
      self->paths = bson_realloc (self->paths, self->cap_paths * sizeof *self->paths);
   }
   self->paths[self->n_paths++] = ecl_arena_strndup (&self->arena, path, len);
}

static int
compare_paths (const void *a, const void *b)
{
   return strcmp (*(const char *const *) a, *(const char *const *) b);
}

void
ecl_match_sort_paths (ecl_match_t *self)
{
   size_t kept = 0;

   if (self->n_paths) {
      qsort (self->paths, self->n_paths, sizeof *self->paths, compare_paths);
   }
   for (size_t i = 0; i < self->n_paths; i++) {
      if (kept == 0 || strcmp (self->paths[kept - 1], self->paths[i]) != 0) {
         self->paths[kept++] = self->paths[i];
      }
   }
   self->n_paths = kept;
}

ecl_match_path_t
ecl_match_split_path (ecl_match_t *self, const char *path, uint32_t len)
{
   uint32_t n = 1, i = 0;
   ecl_match_part_t *parts;
   const char *start = path;

   for (uint32_t k = 0; k < len; k++) {
      n += path[k] == '.';
   }
   parts = ecl_arena_array (&self->arena, ecl_match_part_t, n);
   for (const char *p = path;; p++) {
      if (p == path + len || *p == '.') {
         ecl_match_part_t *part = &parts[i++];

         part->name = start;
         part->len = (uint32_t) (p - start);
         part->number = part->len > 0;
         for (const char *c = start; c < p; c++) {
            part->number &= ecl_is_digit (*c);
         }
         if (p == path + len) {
            break;
         }
         start = p + 1;
      }
   }
   return (ecl_match_path_t){.parts = parts, .n = n};
}

/* What an aggregation expression reads. */
void
ecl_match_note_expr (ecl_match_t *self, const ecl_expr_t *expr)
{
   if (!expr) {
      return;
   }
   if (expr->kind == ECL_EXPR_ROOT) {
      self->whole = true;
   } else if (expr->kind == ECL_EXPR_FIELD) {
      char *text = ecl_arena_strndup (&self->arena, expr->keys[0].str, expr->keys[0].len);

      for (uint32_t i = 1; i < expr->n_path; i++) {
         text = ecl_arena_printf (&self->arena, "%s.%.*s", text, (int) expr->keys[i].len, expr->keys[i].str);
      }
      ecl_match_note_path (self, text, strlen (text));
   }
   for (uint32_t i = 0; i < expr->n; i++) {
      ecl_match_note_expr (self, expr->args[i]);
   }
}

/* ---- one scan for several paths ---- */

/* The path that a node of an AND begins with; NULL where it has none, or several. */
static const ecl_match_path_t *
path_of (const ecl_match_node_t *node)
{
   while (node->kind == ECL_MATCH_NOT && node->n == 1) {
      node = node->nodes[0];
   }
   return node->kind >= ECL_MATCH_EQ && node->path.n ? &node->path : NULL;
}

/* Collects the first parts of the paths below an AND; see ecl_match_node_t.heads. */
void
ecl_match_collect_heads (ecl_match_t *self, ecl_match_node_t *node)
{
   const ecl_match_part_t **heads = ecl_arena_array (&self->arena, const ecl_match_part_t *, ECL_MATCH_MAX_HEADS);
   uint32_t n = 0;

   for (uint32_t i = 0; i < node->n; i++) {
      const ecl_match_path_t *path = path_of (node->nodes[i]);
      uint32_t k = 0;

      if (!path) {
         continue;
      }
      while (k < n &&
             (heads[k]->len != path->parts[0].len || memcmp (heads[k]->name, path->parts[0].name, heads[k]->len))) {
         k++;
      }
      if (k == ECL_MATCH_MAX_HEADS) {
         continue;
      }
      if (k == n) {
         heads[n++] = &path->parts[0];
      }
      for (ecl_match_node_t *inner = node->nodes[i];; inner = inner->nodes[0]) {
         inner->head = k + 1;
         if (inner->kind != ECL_MATCH_NOT) {
            break;
         }
      }
   }
   node->heads = heads;
   node->n_heads = n;
}
