/* The public upgrader. See eclose/upgrader.h. */
#include "api/upgrader-private.h"

#include "bson/append.h"

eclose_upgrader_t *
eclose_upgrader_new (const eclose_project_t *project, const char *collection, const char *target, bson_error_t *error)
{
   eclose_upgrader_t *self;
   const ecl_chain_t *chain;

   if (!project->loaded) {
      ecl_fail (error, ECL_DOMAIN_PROJECT, ECL_ERROR_INVALID, "the project is not loaded");
      return NULL;
   }
   chain = ecl_project_chain (project->project, collection);
   self = BSON_ALIGNED_ALLOC0 (eclose_upgrader_t);
   self->project = project;
   self->collection = bson_strdup (collection);
   self->failure = bson_new ();
   ecl_arena_init (&self->arena);
   if (chain) {
      ecl_version_t version = ecl_api_own_target (chain);

      if ((target && !ecl_chain_parse_version (chain, target, &version, error)) ||
          !(self->inner = ecl_upgrader_new (project->upgrades, chain, version, error))) {
         eclose_upgrader_destroy (self);
         return NULL;
      }
      BSON_ASSERT (ecl_chain_index (chain, version, &self->target));
      self->chain = chain;
      ecl_version_text (chain->format, version, self->target_text);
   } else {
      ecl_chain_t unknown = ecl_project_default_chain (project->project);
      ecl_version_t version = unknown.target;

      if (target &&
          (!ecl_version_parse (unknown.format, target, strlen (target), &version) || version != unknown.target)) {
         ecl_fail (error, ECL_DOMAIN_UPGRADE, ECL_ERROR_NO_WAY, "%s has no version %s: the project does not know it",
                   collection, target);
         eclose_upgrader_destroy (self);
         return NULL;
      }
      ecl_version_text (unknown.format, version, self->target_text);
   }
   return self;
}

void
eclose_upgrader_destroy (eclose_upgrader_t *self)
{
   if (self) {
      ecl_upgrader_destroy (self->inner);
      ecl_upgrader_destroy (self->back);
      ecl_loads_destroy (self->loads);
      if (self->stamps) {
         ecl_eval_cleanup (&self->stamp_ev);
      }
      ecl_arena_cleanup (&self->arena);
      bson_destroy (self->failure);
      bson_free (self->collection);
      bson_free (self);
   }
}

void
eclose_upgrader_set_loader (eclose_upgrader_t *self, const eclose_loader_t *loader)
{
   ecl_loads_destroy (self->loads);
   self->loads = NULL;
   if (loader) {
      ecl_loads_options_t options = {.project = self->project->project,
                                     .upgrades = self->project->upgrades,
                                     .target = ecl_api_own_target,
                                     .owner = &self->public_loader};

      self->public_loader = *loader;
      self->loads = ecl_loads_new (&options);
   }
   self->in_batch = false;
   if (self->inner) {
      ecl_upgrader_set_loader (self->inner, self->loads ? ecl_loads_loader (self->loads) : NULL);
   }
   if (self->back) {
      ecl_upgrader_set_loader (self->back, self->loads ? ecl_loads_loader (self->loads) : NULL);
   }
}

/* ---- loading ---- */

/* What the public loader adds to. */
struct _eclose_found_t {
   const ecl_loads_query_t *query;
   bool ok;
   bson_error_t error;
};

void
eclose_found_add (eclose_found_t *found, const bson_t *document)
{
   found->ok = found->ok && ecl_loads_add (found->query, bson_get_data (document), document->len, &found->error);
}

/* Loads everything that is wanted: a call of the loader for each collection and field. */
static bool
fetch (eclose_upgrader_t *self, bson_error_t *error)
{
   const eclose_loader_t *loader = &self->public_loader;
   const ecl_loads_query_t *query;
   ecl_loads_next_t next;

   while ((next = ecl_loads_next (self->loads, &query, error)) == ECL_LOADS_QUERY) {
      eclose_found_t found = {.query = query, .ok = true};
      bson_error_t cause = {0};
      bool ok = loader->load (loader->user_data, query->collection, query->field, &query->values, &found, &cause);

      if (!ok && !cause.code) {
         ecl_fail (&cause, ECL_DOMAIN_UPGRADE, ECL_ERROR_SERVER, "the loader failed and does not say why");
      } else if (!found.ok) {
         cause = found.error;
      }
      if (!ok || !found.ok) {
         ecl_error_prefix (&cause, "loading from %s by %s", query->collection, query->field);
         return ecl_fail (error, cause.domain, cause.code, "%s", cause.message);
      }
      ecl_loads_answered (query);
   }
   return next == ECL_LOADS_READY;
}

/* ---- running ---- */

void
ecl_api_begin (eclose_upgrader_t *self)
{
   self->failed = NULL;
   self->elsewhere.code = 0;
}

bool
ecl_api_failed (eclose_upgrader_t *self, const bson_error_t *cause, bson_error_t *error)
{
   if (!self->failed && !self->elsewhere.code) {
      self->elsewhere = *cause;
   }
   return ecl_fail (error, cause->domain, cause->code, "%s", cause->message);
}

/* Where documents of other collections are needed: loads them and runs it again, as often as it takes. */
static ECL_NOINLINE bool
run_again (eclose_upgrader_t *self, ecl_upgrader_t *upgrader, const uint8_t *in, size_t len, const uint8_t **out,
           size_t *out_len, bson_error_t *error)
{
   bson_error_t cause = {0};

   if (!self->loads) {
      return false;
   }
   for (;;) {
      if (!fetch (self, error)) {
         self->elsewhere = *error;
         return false;
      }
      if (ecl_upgrader_run (upgrader, in, len, out, out_len, &self->what, &cause)) {
         return true;
      }
      if (cause.domain != ECL_DOMAIN_UPGRADE || cause.code != ECL_ERROR_NEEDS) {
         return ecl_fail (error, cause.domain, cause.code, "%s", cause.message);
      }
   }
}

bool
ecl_api_run (eclose_upgrader_t *self, ecl_upgrader_t *upgrader, const uint8_t *in, size_t len, const uint8_t **out,
             size_t *out_len, bson_error_t *error)
{
   bson_error_t cause;

   ecl_api_begin (self);
   if (self->loads && !self->in_batch) {
      ecl_loads_clear (self->loads);
   }
   if (ECL_LIKELY (ecl_upgrader_run (upgrader, in, len, out, out_len, &self->what, &cause))) {
      return true;
   }
   self->failed = upgrader;
   if (cause.domain == ECL_DOMAIN_UPGRADE && cause.code == ECL_ERROR_NEEDS) {
      if (run_again (self, upgrader, in, len, out, out_len, &cause)) {
         self->failed = NULL;
         return true;
      }
   }
   return ecl_fail (error, cause.domain, cause.code, "%s", cause.message);
}

bool
eclose_upgrader_run (eclose_upgrader_t *self, const bson_t *in, const bson_t **out, bson_error_t *error)
{
   const uint8_t *bytes = bson_get_data (in), *result;
   size_t len;

   if (ECL_UNLIKELY (!self->inner)) {
      ecl_api_begin (self);
      *out = in;
      return true;
   }
   if (ECL_UNLIKELY (!ecl_api_run (self, self->inner, bytes, in->len, &result, &len, error))) {
      *out = NULL;
      return false;
   }
   if (result == bytes) {
      *out = in;
      return true;
   }
   BSON_ASSERT (bson_init_static (&self->out, result, len));
   *out = &self->out;
   return true;
}

eclose_went_t
eclose_upgrader_went (const eclose_upgrader_t *self)
{
   return self->what == ECL_UPGRADE_UP     ? ECLOSE_WENT_UP
          : self->what == ECL_UPGRADE_DOWN ? ECLOSE_WENT_DOWN
                                           : ECLOSE_WAS_CURRENT;
}

const char *
eclose_upgrader_version (eclose_upgrader_t *self, const bson_t *document, bson_error_t *error)
{
   ecl_version_t version;

   ecl_api_begin (self);
   if (!self->inner) {
      return self->target_text;
   }
   if (!ecl_upgrader_version (self->inner, bson_get_data (document), document->len, &version, error)) {
      self->failed = self->inner;
      return NULL;
   }
   return ecl_version_text (self->chain->format, version, self->text);
}

const char *
eclose_upgrader_target (const eclose_upgrader_t *self)
{
   return self->target_text;
}

/* Stamps into the evaluator that only this uses. */
bool
ecl_api_stamp (eclose_upgrader_t *self, const uint8_t *in, size_t len, const uint8_t **out, size_t *out_len,
               bson_error_t *error)
{
   if (!self->stamps) {
      if (!ecl_upgrades_plan (self->project->upgrades, self->chain, self->target, self->target, &self->stamps, error)) {
         return false;
      }
      ecl_eval_init (&self->stamp_ev);
   }
   return ecl_plan_run (self->stamps, &self->stamp_ev, in, len, out, out_len, error);
}

bool
eclose_upgrader_stamp (eclose_upgrader_t *self, const bson_t *in, const bson_t **out, bson_error_t *error)
{
   const uint8_t *result;
   bson_error_t cause;
   size_t len;

   *out = in;
   ecl_api_begin (self);
   if (!self->chain) {
      return true;
   }
   if (!ecl_api_stamp (self, bson_get_data (in), in->len, &result, &len, &cause)) {
      *out = NULL;
      return ecl_api_failed (self, &cause, error);
   }
   if (result != bson_get_data (in)) {
      BSON_ASSERT (bson_init_static (&self->out, result, len));
      *out = &self->out;
   }
   return true;
}

/* ---- batches ---- */

bool
eclose_upgrader_loads (const eclose_upgrader_t *self)
{
   return self->chain && (ecl_chain_looks_up (self->chain, self->target, false) ||
                          ecl_chain_looks_up (self->chain, self->target, true));
}

bool
eclose_upgrader_batch_begin (eclose_upgrader_t *self, const bson_t *const *documents, size_t n, bson_error_t *error)
{
   bool again = self->loads && self->inner;
   bson_error_t failure;

   eclose_upgrader_batch_end (self);
   ecl_api_begin (self);
   while (again) {
      again = false;
      for (size_t i = 0; i < n; i++) {
         const uint8_t *out;
         size_t len;
         bson_error_t cause = {0};

         if (!ecl_upgrader_run (self->inner, bson_get_data (documents[i]), documents[i]->len, &out, &len, NULL,
                                &cause)) {
            again |= cause.domain == ECL_DOMAIN_UPGRADE && cause.code == ECL_ERROR_NEEDS;
         }
      }
      if (again && !fetch (self, &failure)) {
         ecl_loads_clear (self->loads);
         return ecl_api_failed (self, &failure, error);
      }
   }
   self->in_batch = true;
   return true;
}

void
eclose_upgrader_batch_end (eclose_upgrader_t *self)
{
   if (self->loads) {
      ecl_loads_clear (self->loads);
   }
   self->in_batch = false;
}

/* ---- the whole error ---- */

static void
append_failure (bson_t *out, const ecl_chain_t *chain, const ecl_failure_t *failure)
{
   char text[ECL_VERSION_TEXT];

   BSON_APPEND_UTF8 (out, "domain", ecl_domain_name (failure->domain));
   BSON_APPEND_INT32 (out, "code", (int32_t) failure->code);
   BSON_APPEND_UTF8 (out, "message", failure->message);
   BSON_APPEND_UTF8 (out, "collection", failure->collection);
   if (failure->has_version) {
      BSON_APPEND_UTF8 (out, "version", ecl_version_text (chain->format, failure->version, text));
   }
   BSON_APPEND_UTF8 (out, "to", ecl_version_text (chain->format, failure->to, text));
   if (*failure->file) {
      BSON_APPEND_UTF8 (out, "file", failure->file);
      BSON_APPEND_INT32 (out, "line", (int32_t) failure->line);
      BSON_APPEND_INT32 (out, "column", (int32_t) failure->column);
      BSON_APPEND_UTF8 (out, "path", failure->path);
   }
   ecl_append_value (out, "_id", &failure->id);
}

const bson_t *
eclose_upgrader_error_document (eclose_upgrader_t *self)
{
   bson_reinit (self->failure);
   if (self->elsewhere.code) {
      BSON_APPEND_UTF8 (self->failure, "domain", ecl_domain_name (self->elsewhere.domain));
      BSON_APPEND_INT32 (self->failure, "code", (int32_t) self->elsewhere.code);
      BSON_APPEND_UTF8 (self->failure, "message", self->elsewhere.message);
      BSON_APPEND_UTF8 (self->failure, "collection", self->collection);
      BSON_APPEND_UTF8 (self->failure, "to", self->target_text);
   } else if (self->failed) {
      append_failure (self->failure, self->chain, ecl_upgrader_failure (self->failed));
   }
   return self->failure;
}
