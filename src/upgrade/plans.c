/* Plans of a project: one per pair of versions, made when first needed, shared by all threads. See upgrade.h. */
#include "upgrade/upgrade-private.h"

#include <pthread.h>

typedef struct entry_t entry_t;
struct entry_t {
   entry_t *next;
   const ecl_chain_t *chain;
   size_t from, to;
   bool stamp;
   ecl_plan_t *plan;
};

struct ecl_upgrades_t {
   const ecl_project_t *project;
   pthread_mutex_t mutex;
   entry_t *entries;      /* each upgrader remembers its own: a list is enough */
   ecl_match_t ***detect; /* by chain, then by entry */
};

ecl_upgrades_t *
ecl_upgrades_new (const ecl_project_t *project)
{
   ecl_upgrades_t *self = bson_malloc0 (sizeof *self);
   const ecl_chain_t *chains;
   size_t n;

   self->project = project;
   pthread_mutex_init (&self->mutex, NULL);
   chains = ecl_project_chains (project, &n);
   self->detect = bson_malloc0 ((n + 1) * sizeof (ecl_match_t **));
   for (size_t i = 0; i < n; i++) {
      self->detect[i] = bson_malloc0 ((chains[i].n_detect + 1) * sizeof (ecl_match_t *));
      for (size_t k = 0; k < chains[i].n_detect; k++) {
         self->detect[i][k] = ecl_match_new (&chains[i].detect[k].filter, NULL);
      }
   }
   return self;
}

void
ecl_upgrades_destroy (ecl_upgrades_t *self)
{
   if (self) {
      const ecl_chain_t *chains;
      size_t n;

      chains = ecl_project_chains (self->project, &n);
      for (size_t i = 0; i < n; i++) {
         for (size_t k = 0; k < chains[i].n_detect; k++) {
            ecl_match_destroy (self->detect[i][k]);
         }
         bson_free (self->detect[i]);
      }
      bson_free (self->detect);
      while (self->entries) {
         entry_t *next = self->entries->next;

         ecl_plan_destroy (self->entries->plan);
         bson_free (self->entries);
         self->entries = next;
      }
      pthread_mutex_destroy (&self->mutex);
      bson_free (self);
   }
}

const ecl_project_t *
ecl_upgrades_project (const ecl_upgrades_t *self)
{
   return self->project;
}

ecl_match_t *const *
ecl_upgrades_detect (const ecl_upgrades_t *self, const ecl_chain_t *chain)
{
   size_t n;

   return self->detect[chain - ecl_project_chains (self->project, &n)];
}

/* ---- making one ---- */

typedef struct {
   const ecl_step_t *step;
   bson_error_t *error;
   bool reported;
} report_t;

/* The project was checked when it was loaded, so this is for projects that were used in spite of their errors. */
static void
report (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   report_t *self = context;
   ecl_text_pos_t pos;

   if (!self->reported) {
      self->reported = true;
      ecl_text_locate (self->step->text, at, &pos);
      ecl_fail (self->error, ECL_DOMAIN_MQL, code, "%s:%u:%u: %s", self->step->file, pos.line, pos.column, message);
   }
}

static bool
add_way (ecl_plan_t *plan, const ecl_chain_t *chain, const ecl_step_t *step, bool up, report_t *context)
{
   const ecl_way_t *way = up ? &step->up : &step->down;
   char text[ECL_VERSION_TEXT];

   context->step = step;
   if (way->kind == ECL_WAY_FUNCTION) {
      ecl_plan_add_function (plan, &way->function);
      return true;
   }
   if (way->kind != ECL_WAY_PIPELINE) {
      return ecl_fail (context->error, ECL_DOMAIN_UPGRADE, ECL_ERROR_NO_WAY, "%s: %s: no way %s version %s: %s",
                       chain->collection, step->file, up ? "to" : "back from",
                       ecl_version_text (chain->format, step->to, text),
                       way->kind == ECL_WAY_IRREVERSIBLE ? "it is irreversible"
                       : up                              ? "the migration has errors"
                                                         : "it has no `down`");
   }
   return ecl_plan_add_pipeline (plan, &way->stages, way->at);
}

static ecl_plan_t *
make_plan (const ecl_chain_t *chain, size_t from, size_t to, bool stamp, bson_error_t *error)
{
   report_t context = {.error = error};
   ecl_plan_options_t options = {.report = report, .report_context = &context, .update = true, .allow_lookup = true};
   ecl_plan_t *plan = ecl_plan_new (&options);
   bool ok = true;

   for (size_t i = from; ok && i < to; i++) {
      ok = add_way (plan, chain, &chain->steps[i], true, &context);
   }
   for (size_t i = from; ok && i > to; i--) {
      ok = add_way (plan, chain, &chain->steps[i - 1], false, &context);
   }
   if (ok && stamp) {
      ok = ecl_plan_add_constant (plan, chain->version_field, ecl_chain_stamp (chain, to));
   }
   if (!ok) {
      ecl_plan_destroy (plan);
      return NULL;
   }
   ecl_plan_link (plan);
   return plan;
}

bool
ecl_upgrades_plan_of (ecl_upgrades_t *self, const ecl_chain_t *chain, size_t from, size_t to, bool stamp,
                      const ecl_plan_t **plan, bson_error_t *error)
{
   entry_t *entry;

   BSON_ASSERT (from <= chain->n_steps && to <= chain->n_steps);
   *plan = NULL;
   pthread_mutex_lock (&self->mutex);
   for (entry = self->entries; entry; entry = entry->next) {
      if (entry->chain == chain && entry->from == from && entry->to == to && entry->stamp == stamp) {
         break;
      }
   }
   if (!entry) {
      ecl_plan_t *made = make_plan (chain, from, to, stamp, error);

      if (made) {
         entry = bson_malloc (sizeof *entry);
         *entry = (entry_t){self->entries, chain, from, to, stamp, made};
         self->entries = entry;
      }
   }
   if (entry) {
      *plan = entry->plan;
   }
   pthread_mutex_unlock (&self->mutex);
   return *plan != NULL;
}

bool
ecl_upgrades_plan (ecl_upgrades_t *self, const ecl_chain_t *chain, size_t from, size_t to, const ecl_plan_t **plan,
                   bson_error_t *error)
{
   return ecl_upgrades_plan_of (self, chain, from, to, true, plan, error);
}
