/* Whether an update that is done twice gives what it gives once. See work_lint.c.
 *
 * A pipeline does where each field that it writes is made from fields that are the same the second time: from those
 * that it does not write, from those that an earlier stage has set to what is the same, or from the field itself by an
 * expression that does nothing to its own result (work_lint_stable.c).
 */
#include "project/work_lint-private.h"

typedef struct {
   const ecl_effect_t *effect;
   const ecl_name_t *absent;
   uint32_t stage;
   const ecl_name_t *own; /* read by an expression that leaves its own result as it is; NULL: none */
} look_t;

/* Whether the stage keeps the field, though it replaces the document. */
static bool
is_kept (const ecl_effect_t *effect, uint32_t stage, const ecl_name_t *path)
{
   for (size_t i = 0; i < effect->n; i++) {
      const ecl_write_t *write = &effect->items[i];

      if (write->kind == ECL_WRITE_KEPT && write->stage == stage && ecl_path_covers (&write->path, path)) {
         return true;
      }
   }
   return false;
}

/* Whether a write of the stage, or an earlier one, is on this very path. */
static bool
is_written_before (const ecl_effect_t *effect, const ecl_name_t *path, uint32_t stage)
{
   for (size_t i = 0; i < effect->n; i++) {
      const ecl_write_t *write = &effect->items[i];

      if (write->kind != ECL_WRITE_KEPT && write->stage < stage && ecl_path_covers (&write->path, path)) {
         return true;
      }
   }
   return false;
}

/* Whether what the document had at the path is there the second time, too. */
static bool
is_same_input (const look_t *self, const ecl_name_t *path)
{
   bool absent = self->absent && ecl_path_covers (self->absent, path);

   for (size_t i = 0; i < self->effect->n; i++) {
      const ecl_write_t *write = &self->effect->items[i];

      if (write->kind == ECL_WRITE_KEPT || !ecl_paths_overlap (&write->path, path) ||
          is_kept (self->effect, write->stage, path) ||
          (write->kind == ECL_WRITE_REMOVED && (absent || self->effect->merges))) {
         continue;
      }
      /* What is below it and was written by now is no longer read from the input. If it is still to be set, that may
       * make what is above it. */
      if (ecl_path_covers (&write->path, path) ||
          (write->kind == ECL_WRITE_SET ? write->stage >= self->stage
                                        : !is_written_before (self->effect, &write->path, self->stage))) {
         return false;
      }
   }
   return true;
}

/* Whether what a write puts at the path is all that is read there: another "o" that is set later may be a list the
 * second time, and "$o.x" reads through lists. A write of o itself leaves no such doubt. */
static bool
is_all (const look_t *self, const ecl_write_t *write, const ecl_name_t *path)
{
   const ecl_name_t *at = write->path.len ? &write->path : path;

   for (size_t i = 0; i < self->effect->n; i++) {
      const ecl_write_t *above = &self->effect->items[i];

      if (above->kind == ECL_WRITE_SET && above->path.len < at->len && ecl_path_covers (&above->path, at) &&
          above->stage >= write->stage) {
         return false;
      }
   }
   return true;
}

/* Whether the path reads the same the second time, at this stage. */
static bool
is_same (void *context, const ecl_name_t *path)
{
   const look_t *self = context;
   bool same;

   if (self->own && path->len == self->own->len && memcmp (path->str, self->own->str, path->len) == 0) {
      return true;
   }
   same = is_same_input (self, path);
   for (size_t i = 0; i < self->effect->n && self->effect->items[i].stage < self->stage; i++) {
      const ecl_write_t *write = &self->effect->items[i];

      if (is_kept (self->effect, write->stage, path)) {
         continue;
      }
      if (write->kind == ECL_WRITE_KEPT) {
         look_t then = *self;

         /* What is above "o.x" is there only if it was a document, or is made one later. */
         then.stage = write->stage;
         same = same && (!ecl_path_covers (path, &write->path) ||
                         (!memchr (write->path.str, '.', write->path.len) && is_same (&then, &write->path)));
      } else if (ecl_path_covers (&write->path, path)) {
         same = write->same && is_all (self, write, path);
      } else if (ecl_path_covers (path, &write->path)) {
         same = same && write->same;
      }
   }
   return same;
}

static bool
gives_same (const look_t *look, const ecl_write_t *write)
{
   look_t with_own = *look;

   if (write->expression.type == ECL_MISSING && !write->also.len) {
      return true;
   }
   if ((!write->also.len || is_same ((void *) look, &write->also)) &&
       ecl_expression_reads (&write->expression, is_same, (void *) look)) {
      return true;
   }
   for (size_t i = 0; i < look->effect->n; i++) {
      const ecl_write_t *other = &look->effect->items[i];

      if (other != write && other->kind != ECL_WRITE_KEPT && ecl_paths_overlap (&other->path, &write->path)) {
         return false;
      }
   }
   with_own.own = &write->path;
   return (!write->also.len || (write->also.len == write->path.len && write->also.str == write->path.str)) &&
          (ecl_expression_fills (&write->expression, &write->path) ||
           (ecl_expression_reads (&write->expression, is_same, &with_own) &&
            ecl_expression_is_stable (&write->expression, &write->path)));
}

const ecl_write_t *
ecl_effect_find (ecl_effect_t *self, const ecl_name_t *absent, const char **why)
{
   look_t look = {.effect = self, .absent = absent};

   for (size_t i = 0; i < self->n; i++) {
      ecl_write_t *write = &self->items[i];

      if (write->again) {
         *why = write->again;
         return write;
      }
      look.stage = write->stage;
      write->same = gives_same (&look, write);
   }
   /* Also where it does not remain: made from something else it may fail. */
   for (size_t i = 0; i < self->n; i++) {
      if (!self->items[i].same) {
         *why = "the new value is made from what the update itself changes";
         return &self->items[i];
      }
   }
   return NULL;
}
