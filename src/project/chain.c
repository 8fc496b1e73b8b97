/* Chains: migrations in order, checked for gaps and doubles. See project.h. */
#include "project/work-private.h"

#include <stdlib.h>

static int
compare_chains (const void *a, const void *b)
{
   return strcmp (((const ecl_chain_t *) a)->collection, ((const ecl_chain_t *) b)->collection);
}

static int
compare_drafts (const void *a, const void *b)
{
   const ecl_draft_t *x = *(ecl_draft_t *const *) a, *y = *(ecl_draft_t *const *) b;

   if (x->step.to != y->step.to) {
      return x->step.to < y->step.to ? -1 : 1;
   }
   if (x->published != y->published) {
      return x->published ? 1 : -1;
   }
   return strcmp (x->step.file, y->step.file);
}

static void
find_floor (ecl_project_t *self, ecl_chain_t *chain)
{
   bool known = chain->has_unversioned;

   if (chain->has_floor) {
      chain->floor_stamp = ecl_version_value (chain->format, chain->floor, &self->arena);
      return;
   }
   chain->floor = chain->unversioned;
   for (size_t i = 0; i < chain->n_detect; i++) {
      if (!known || chain->detect[i].version < chain->floor) {
         chain->floor = chain->detect[i].version;
         known = true;
      }
   }
   chain->floor_stamp = ecl_version_value (chain->format, chain->floor, &self->arena);
}

/* One migration's place: previous is the version before it, or the floor. */
static bool
check_place (const ecl_project_t *project, const ecl_chain_t *chain, const ecl_draft_t *draft,
             const ecl_draft_t *previous, ecl_diags_t *diags)
{
   ecl_version_t before = previous ? previous->step.to : chain->floor, from;
   const ecl_step_t *step = &draft->step;
   char to[ECL_VERSION_TEXT], expected[ECL_VERSION_TEXT];

   if (!draft->to_at) {
      return false; /* reported already */
   }
   ecl_version_text (chain->format, step->to, to);
   if (previous && step->to == before) {
      return ecl_project_error (step->text, diags, ECL_ERROR_CHAIN, draft->to_at,
                                "a double in the chain of %s: %s leads to version %s, too", chain->collection,
                                previous->step.file, to);
   }
   if (project->config_failed) {
      return true; /* where the chain begins, and how versions are counted, may be what could not be read */
   }
   if (step->to <= chain->floor) {
      return ecl_project_error (step->text, diags, ECL_ERROR_CHAIN, draft->to_at,
                                "the chain of %s begins at version %s: no migration can lead to %s", chain->collection,
                                ecl_version_text (chain->format, chain->floor, expected), to);
   }
   if (chain->format == ECL_VERSION_INTEGER && step->to != before + 1) {
      return ecl_project_error (step->text, diags, ECL_ERROR_CHAIN, draft->to_at,
                                "a gap in the chain of %s: no migration leads from version %lld to %lld%s",
                                chain->collection, (long long) before, (long long) before + 1,
                                previous ? ""
                                : chain->has_floor
                                   ? " (it begins at its `floor`)"
                                   : " (documents without a version are at the first one: see `unversioned`)");
   }
   if (draft->from &&
       (!ecl_version_parse (chain->format, draft->from, strlen (draft->from), &from) || from != before)) {
      return ecl_project_error (step->text, diags, ECL_ERROR_CHAIN, draft->to_at,
                                "a gap in the chain of %s: this leads from version %s, the one before it is %s",
                                chain->collection, draft->from, ecl_version_text (chain->format, before, expected));
   }
   return true;
}

/* Whether a published one has its place here; else it is left out. */
static bool
has_place (const ecl_project_t *project, const ecl_chain_t *chain, const ecl_draft_t *draft,
           const ecl_draft_t *previous, ecl_diags_t *diags)
{
   ecl_diags_t why;
   bool has;

   ecl_diags_init (&why);
   has = check_place (project, chain, draft, previous, &why);
   ecl_project_leave_out (diags, &why);
   ecl_diags_cleanup (&why);
   return has;
}

/* Below a floor that was set: such documents are refused by readers, and nothing has to lead from there. */
static bool
is_below (const ecl_chain_t *chain, ecl_version_t version)
{
   return chain->has_floor && version < chain->floor;
}

static bool
check_versions (const ecl_project_t *project, const ecl_chain_t *chain, ecl_diags_t *diags)
{
   char text[ECL_VERSION_TEXT];
   bool ok = true;
   size_t index;

   for (size_t i = 0; !project->config_failed && i < chain->n_detect; i++) {
      if (!is_below (chain, chain->detect[i].version) && !ecl_chain_index (chain, chain->detect[i].version, &index)) {
         ok = ecl_project_error (chain->config_text, diags, ECL_ERROR_CHAIN, chain->detect[i].at,
                                 "version %s is not on the chain of %s",
                                 ecl_version_text (chain->format, chain->detect[i].version, text), chain->collection);
      }
   }
   if (!project->config_failed && chain->has_unversioned && !is_below (chain, chain->unversioned) &&
       !ecl_chain_index (chain, chain->unversioned, &index)) {
      ok = ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_PROJECT, ECL_ERROR_CHAIN,
                          chain->config_text ? chain->config_text->name : NULL, 0, 0, NULL,
                          "unversioned %s is not on the chain of %s",
                          ecl_version_text (chain->format, chain->unversioned, text), chain->collection);
   }
   for (size_t i = 0; i < chain->n_steps; i++) {
      const ecl_step_t *step = &chain->steps[i];

      for (size_t k = 0; k < step->n_examples; k++) {
         if (!ecl_chain_index (chain, step->examples[k].to, &index) || index <= i) {
            ok = ecl_project_error (step->text, diags, ECL_ERROR_CHAIN, step->examples[k].at,
                                    "version %s is no version of %s at or behind this migration's",
                                    ecl_version_text (chain->format, step->examples[k].to, text), chain->collection);
         }
      }
   }
   return ok;
}

/* Functions that are a way of a file's step go there. Both lead to the same version, the one before it is the
 * file's. */
static bool
merge_function (ecl_draft_t *file, const ecl_draft_t *functions, ecl_diags_t *diags)
{
   if (functions->step.up.kind != ECL_WAY_NONE || file->step.down.kind != ECL_WAY_NONE) {
      return ecl_project_error (file->step.text, diags, ECL_ERROR_CHAIN,
                                functions->step.up.kind != ECL_WAY_NONE ? file->step.up.at : file->step.down.at,
                                "this migration and a function of the program both say the way %s",
                                functions->step.up.kind != ECL_WAY_NONE ? "up" : "down");
   }
   file->step.down = functions->step.down;
   return true;
}

/* Published ones are not used where the program has a way of its own to that version, which comes before them. */
static size_t
drop_known (ecl_draft_t **drafts, size_t n)
{
   size_t kept = 0;

   for (size_t i = 0; i < n; i++) {
      const ecl_draft_t *last = kept ? drafts[kept - 1] : NULL;

      if (!drafts[i]->published || !last || last->published || last->step.to != drafts[i]->step.to ||
          last->step.up.kind == ECL_WAY_NONE) {
         drafts[kept++] = drafts[i];
      }
   }
   return kept;
}

/* Drafts in order, those of functions merged into files of the same version. */
static size_t
merge_drafts (ecl_draft_t **drafts, size_t n, bool *ok, ecl_diags_t *diags)
{
   size_t kept = 0;

   for (size_t i = 0; i < n; i++) {
      ecl_draft_t *last = kept ? drafts[kept - 1] : NULL;

      if (last && last->step.to == drafts[i]->step.to && last->of_functions != drafts[i]->of_functions) {
         ecl_draft_t *file = last->of_functions ? drafts[i] : last;

         *ok &= merge_function (file, last->of_functions ? last : drafts[i], diags);
         drafts[kept - 1] = file;
      } else {
         drafts[kept++] = drafts[i];
      }
   }
   for (size_t i = 0; i < kept; i++) {
      if (drafts[i]->of_functions && drafts[i]->step.up.kind == ECL_WAY_NONE) {
         *ok = ecl_project_error (drafts[i]->step.text, diags, ECL_ERROR_CHAIN, drafts[i]->to_at,
                                  "a way down, and no way up to that version");
      }
   }
   return kept;
}

/* Migrations that lead to the floor or below it are not on the chain any more. Drafts without a version were
 * reported. */
static size_t
drop_below (const ecl_chain_t *chain, ecl_draft_t **drafts, size_t n, ecl_diags_t *diags)
{
   char floor[ECL_VERSION_TEXT];
   size_t kept = 0;

   for (size_t i = 0; i < n; i++) {
      const ecl_step_t *step = &drafts[i]->step;

      if (!chain->has_floor || !drafts[i]->to_at || step->to > chain->floor) {
         drafts[kept++] = drafts[i];
      } else if (!drafts[i]->of_functions) {
         ecl_text_diag (step->text, diags, ECL_DIAG_WARNING, ECL_DOMAIN_PROJECT, ECL_ERROR_CHAIN, drafts[i]->to_at,
                        "not used, and may be deleted: the chain of %s begins at its `floor`, version %s",
                        chain->collection, ecl_version_text (chain->format, chain->floor, floor));
      }
   }
   return kept;
}

/* A file as `eclose new` writes it, which nobody filled in: it stamps each document as if it were. Where there is a schema
 * or a way down by the program, that is what the version is for. */
static void
warn_of_nothing (const ecl_chain_t *chain, const ecl_step_t *step, ecl_diags_t *diags)
{
   char to[ECL_VERSION_TEXT];

   if (step->up.kind == ECL_WAY_PIPELINE && !ecl_array_count (&step->up.stages) && ecl_is_missing (&step->schema) &&
       step->down.kind != ECL_WAY_FUNCTION) {
      ecl_text_diag (step->text, diags, ECL_DIAG_WARNING, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, step->up.at,
                     "nothing is changed: documents only get version %s",
                     ecl_version_text (chain->format, step->to, to));
   }
}

static bool
link_chain (ecl_project_t *self, ecl_chain_t *chain, ecl_diags_t *diags)
{
   ecl_draft_t **drafts = NULL;
   ecl_step_t *steps;
   size_t n = 0, k = 0;
   bool ok = true;

   find_floor (self, chain);
   for (ecl_draft_t *draft = self->drafts; draft; draft = draft->next) {
      n += strcmp (draft->collection, chain->collection) == 0;
   }
   drafts = bson_malloc ((n + 1) * sizeof (ecl_draft_t *));
   for (ecl_draft_t *draft = self->drafts; draft; draft = draft->next) {
      if (strcmp (draft->collection, chain->collection) == 0) {
         drafts[k++] = draft;
      }
   }
   qsort (drafts, n, sizeof (ecl_draft_t *), compare_drafts);
   n = drop_known (drafts, n);
   n = merge_drafts (drafts, n, &ok, diags);
   n = drop_below (chain, drafts, n, diags);
   steps = ecl_arena_array (&self->arena, ecl_step_t, n);
   k = 0;
   for (size_t i = 0; i < n; i++) {
      const ecl_draft_t *previous = k ? drafts[k - 1] : NULL;

      if (drafts[i]->published && !has_place (self, chain, drafts[i], previous, diags)) {
         continue;
      }
      if (!drafts[i]->published) {
         ok &= check_place (self, chain, drafts[i], previous, diags);
         warn_of_nothing (chain, &drafts[i]->step, diags);
      }
      steps[k] = drafts[i]->step;
      steps[k].from = previous ? previous->step.to : chain->floor;
      drafts[k++] = drafts[i];
   }
   chain->steps = steps;
   chain->n_steps = k;
   chain->target = k ? steps[k - 1].to : chain->floor;
   bson_free (drafts);
   return ok && check_versions (self, chain, diags);
}

bool
ecl_project_link (ecl_project_t *self, ecl_diags_t *diags)
{
   bool ok = true;

   BSON_ASSERT (!self->linked);
   if (self->n_chains) {
      qsort (self->chains, self->n_chains, sizeof *self->chains, compare_chains);
   }
   for (size_t i = 0; i < self->n_chains; i++) {
      ok &= link_chain (self, &self->chains[i], diags);
   }
   ok &= ecl_work_link (self, diags);
   self->linked = true;
   return ecl_project_check_cycles (self, diags) && ok;
}

bool
ecl_chain_index (const ecl_chain_t *self, ecl_version_t version, size_t *index)
{
   size_t low = 0, high = self->n_steps;

   *index = 0;
   if (version == self->floor) {
      return true;
   }
   while (low < high) {
      size_t middle = low + (high - low) / 2;

      if (self->steps[middle].to < version) {
         low = middle + 1;
      } else {
         high = middle;
      }
   }
   *index = low + 1;
   return low < self->n_steps && self->steps[low].to == version;
}

ecl_version_t
ecl_chain_version (const ecl_chain_t *self, size_t index)
{
   return index ? self->steps[index - 1].to : self->floor;
}

const ecl_value_t *
ecl_chain_stamp (const ecl_chain_t *self, size_t index)
{
   return index ? &self->steps[index - 1].stamp : &self->floor_stamp;
}

bool
ecl_chain_parse_version (const ecl_chain_t *self, const char *text, ecl_version_t *version, bson_error_t *error)
{
   char floor[ECL_VERSION_TEXT], target[ECL_VERSION_TEXT];
   size_t index;

   if (!ecl_version_parse (self->format, text, strlen (text), version)) {
      return ecl_fail (error, ECL_DOMAIN_PROJECT, ECL_ERROR_VERSION, "\"%s\" is no version of %s: expected %s", text,
                       self->collection, ecl_version_expected (self->format));
   }
   if (!ecl_chain_index (self, *version, &index)) {
      return ecl_fail (error, ECL_DOMAIN_PROJECT, ECL_ERROR_NO_WAY,
                       "%s has no version %s: its chain goes from %s to %s", self->collection, text,
                       ecl_version_text (self->format, self->floor, floor),
                       ecl_version_text (self->format, self->target, target));
   }
   return true;
}

const ecl_step_t *
ecl_chain_step_at (const ecl_chain_t *self, const uint8_t *at)
{
   for (size_t i = 0; at && i < self->n_steps; i++) {
      const ecl_text_t *text = self->steps[i].text;

      if (at >= text->doc && at < text->doc + text->len) {
         return &self->steps[i];
      }
   }
   return NULL;
}
