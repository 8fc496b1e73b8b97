/* Cycles between chains. What a $lookup brings arrives upgraded, so a chain that looks up a collection whose chain
 * looks up the first one would never end. Found here by a walk over the graph of collections, once, when a project is
 * linked. */
#include "project/project-private.h"

typedef struct {
   ecl_project_t *project;
   ecl_diags_t *diags;
   size_t *path; /* places of the chains from the walk's beginning to here */
   size_t n_path;
   uint8_t *state; /* by chain: 0 not seen, 1 on the path, 2 done */
   bool ok;
} walk_t;

static void
visit (walk_t *self, size_t at);

/* The way round, "users -> products -> users". */
static void
report (walk_t *self, size_t to, const ecl_step_t *step, const uint8_t *at)
{
   const ecl_chain_t *chains = self->project->chains;
   size_t i = 0;
   ecl_buf_t text;

   ecl_buf_init (&text, 4096);
   while (self->path[i] != to) {
      i++;
   }
   for (; i < self->n_path; i++) {
      (void) !ecl_buf_printf (&text, "%s -> ", chains[self->path[i]].collection); /* cut where it is very long */
   }
   (void) !ecl_buf_append_str (&text, chains[to].collection);
   self->ok =
      ecl_project_error (step->text, self->diags, ECL_ERROR_CHAIN, at,
                         "a cycle of $lookup between chains: %s; what is looked up is upgraded first, which would "
                         "never end",
                         ecl_buf_cstr (&text));
   ecl_buf_cleanup (&text);
}

static void
follow (walk_t *self, const ecl_step_t *step, const ecl_field_t *lookup)
{
   ecl_value_t from = ecl_is_document (&lookup->value) ? ecl_document_get (&lookup->value, "from", 4) : ecl_missing ();

   for (size_t i = 0; ecl_is_string (&from) && i < self->project->n_chains; i++) {
      const char *name = self->project->chains[i].collection;

      if (strlen (name) != from.len || memcmp (name, from.u.str, from.len) != 0) {
         continue;
      }
      if (self->state[i] == 1) {
         report (self, i, step, ecl_at (lookup));
      } else if (self->state[i] == 0) {
         visit (self, i);
      }
   }
}

/* Stages of a pipeline, and of the pipelines in its $lookups. */
static void
follow_stages (walk_t *self, const ecl_step_t *step, const ecl_value_t *stages)
{
   ecl_iter_t items, fields;
   ecl_value_t stage, inner;
   ecl_field_t field;

   ecl_iter_init (&items, stages);
   while (ecl_iter_item (&items, &stage)) {
      if (!ecl_is_document (&stage)) {
         continue;
      }
      ecl_iter_init (&fields, &stage);
      while (ecl_iter_field (&fields, &field)) {
         if (!ecl_key_is (&field, "$lookup")) {
            continue;
         }
         follow (self, step, &field);
         inner = ecl_is_document (&field.value) ? ecl_document_get (&field.value, "pipeline", 8) : ecl_missing ();
         if (ecl_is_array (&inner)) {
            follow_stages (self, step, &inner);
         }
      }
   }
}

static void
visit (walk_t *self, size_t at)
{
   const ecl_chain_t *chain = &self->project->chains[at];

   self->state[at] = 1;
   self->path[self->n_path++] = at;
   for (size_t i = 0; i < chain->n_steps; i++) {
      const ecl_step_t *step = &chain->steps[i];

      if (step->up.kind == ECL_WAY_PIPELINE) {
         follow_stages (self, step, &step->up.stages);
      }
      if (step->down.kind == ECL_WAY_PIPELINE) {
         follow_stages (self, step, &step->down.stages);
      }
   }
   self->n_path--;
   self->state[at] = 2;
}

bool
ecl_project_check_cycles (ecl_project_t *self, ecl_diags_t *diags)
{
   walk_t walk = {.project = self, .diags = diags, .ok = true};

   walk.path = bson_malloc0 ((self->n_chains + 1) * sizeof *walk.path);
   walk.state = bson_malloc0 (self->n_chains + 1);
   for (size_t i = 0; i < self->n_chains; i++) {
      if (!walk.state[i]) {
         visit (&walk, i);
      }
   }
   bson_free (walk.path);
   bson_free (walk.state);
   return walk.ok;
}
