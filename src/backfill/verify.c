/* Checking documents against the target: see verify.h. */
#include "backfill/verify.h"

#include "mql/schema.h"
#include "upgrade/loads.h"

struct ecl_verifier_t {
   const ecl_chain_t *chain;
   size_t target;
   ecl_upgrader_t *upgrader;
   ecl_lookups_t *lookups; /* NULL where the chain looks nothing up */
   ecl_schema_t *schema;   /* NULL where the target has none */
   ecl_eval_t ev;
   ecl_arena_t arena;
   const char **removed; /* paths that the chain removed for good */
   size_t n_removed;
   ecl_verify_fn found;
   void *context;
   ecl_value_t id; /* of the document at hand */
};

/* ---- what the chain removed ---- */

static bool
inside (const char *path, const char *of, size_t len)
{
   return strncmp (path, of, len) == 0 && (path[len] == '\0' || path[len] == '.');
}

/* The path, or a part of it, was written again. */
static void
comes_back (ecl_verifier_t *self, const char *path, size_t len)
{
   size_t kept = 0;

   for (size_t i = 0; i < self->n_removed; i++) {
      size_t removed = strlen (self->removed[i]);

      if (!inside (self->removed[i], path, len) &&
          !(len > removed && path[removed] == '.' && memcmp (path, self->removed[i], removed) == 0)) {
         self->removed[kept++] = self->removed[i];
      }
   }
   self->n_removed = kept;
}

static void
goes (ecl_verifier_t *self, const char *path, size_t len)
{
   comes_back (self, path, len); /* what was noted below it is said by it */
   self->removed = ecl_arena_grow (&self->arena, self->removed, self->n_removed * sizeof *self->removed,
                                   (self->n_removed + 1) * sizeof *self->removed);
   self->removed[self->n_removed++] = ecl_arena_strndup (&self->arena, path, len);
}

static void
note_unset (ecl_verifier_t *self, const ecl_value_t *spec)
{
   ecl_value_t name;
   ecl_iter_t iter;

   if (spec->type == BSON_TYPE_UTF8) {
      goes (self, spec->u.str, spec->len);
   } else if (spec->type == BSON_TYPE_ARRAY) {
      ecl_iter_init (&iter, spec);
      while (ecl_iter_item (&iter, &name)) {
         if (name.type == BSON_TYPE_UTF8) {
            goes (self, name.u.str, name.len);
         }
      }
   }
}

/* $set and $project name what they write, at the top or deeper; what a $project leaves out without naming it is not
 * looked for. */
static void
note_fields (ecl_verifier_t *self, const ecl_value_t *spec, bool project)
{
   ecl_field_t field;
   ecl_iter_t iter;

   if (spec->type != BSON_TYPE_DOCUMENT) {
      return;
   }
   ecl_iter_init (&iter, spec);
   while (ecl_iter_field (&iter, &field)) {
      bool excluded =
         project && (ecl_is_number (&field.value) || field.value.type == BSON_TYPE_BOOL) && !ecl_truthy (&field.value);
      bool removed =
         field.value.type == BSON_TYPE_UTF8 && field.value.len == 8 && memcmp (field.value.u.str, "$$REMOVE", 8) == 0;

      if (ecl_key_is (&field, "_id")) {
         continue;
      }
      if (excluded || removed) {
         goes (self, field.key, field.key_len);
      } else {
         comes_back (self, field.key, field.key_len);
      }
   }
}

static void
note_stage (ecl_verifier_t *self, const ecl_value_t *stage)
{
   ecl_field_t field;
   ecl_iter_t iter;

   ecl_iter_init (&iter, stage);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "$unset")) {
         note_unset (self, &field.value);
      } else if (ecl_key_is (&field, "$set") || ecl_key_is (&field, "$addFields")) {
         note_fields (self, &field.value, false);
      } else if (ecl_key_is (&field, "$project")) {
         note_fields (self, &field.value, true);
      } else {
         self->n_removed = 0; /* $replaceWith: a new document, of which nothing is known */
      }
   }
}

static void
note_removed (ecl_verifier_t *self)
{
   for (size_t i = 0; i < self->target; i++) {
      ecl_value_t stage;
      ecl_iter_t iter;

      if (self->chain->steps[i].up.kind == ECL_WAY_PIPELINE) {
         ecl_iter_init (&iter, &self->chain->steps[i].up.stages);
         while (ecl_iter_item (&iter, &stage)) {
            note_stage (self, &stage);
         }
      }
   }
}

/* ---- life ---- */

static bool
make_schema (ecl_verifier_t *self, bson_error_t *error)
{
   const ecl_step_t *last = self->target ? &self->chain->steps[self->target - 1] : NULL;
   ecl_field_t spec;

   if (!last || last->schema.type != BSON_TYPE_DOCUMENT) {
      return true;
   }
   spec = ecl_field ("schema", 6, last->schema);
   self->schema = ecl_schema_new (&spec, NULL);
   return self->schema ||
          ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID, "%s: the schema cannot be read", last->file);
}

ecl_verifier_t *
ecl_verifier_new (ecl_upgrades_t *upgrades, const ecl_chain_t *chain, size_t target, ecl_verify_fn found, void *context,
                  bson_error_t *error)
{
   ecl_verifier_t *self = bson_malloc0 (sizeof *self);

   self->chain = chain;
   self->target = target;
   self->found = found;
   self->context = context;
   ecl_arena_init (&self->arena);
   ecl_eval_init (&self->ev);
   self->upgrader = ecl_upgrader_new (upgrades, chain, ecl_chain_version (chain, target), error);
   if (!self->upgrader || !make_schema (self, error)) {
      ecl_verifier_destroy (self);
      return NULL;
   }
   if (ecl_chain_looks_up (chain, target, false)) {
      self->lookups = ecl_lookups_new (upgrades, self->upgrader);
   }
   note_removed (self);
   return self;
}

void
ecl_verifier_destroy (ecl_verifier_t *self)
{
   if (!self) {
      return;
   }
   ecl_upgrader_destroy (self->upgrader);
   ecl_lookups_destroy (self->lookups);
   ecl_schema_destroy (self->schema);
   ecl_eval_cleanup (&self->ev);
   ecl_arena_cleanup (&self->arena);
   bson_free (self);
}

bool
ecl_verifier_ahead (ecl_verifier_t *self, const ecl_scan_t *scan, ecl_world_t *world, const char *database,
                    bson_error_t *error)
{
   return ecl_lookups_ahead (self->lookups, scan, world, database, error);
}

bool
ecl_verifier_has_schema (const ecl_verifier_t *self)
{
   return self->schema != NULL;
}

/* ---- one document ---- */

static void
tell (ecl_verifier_t *self, ecl_verify_kind_t kind, const char *path, const char *keyword, const char *message)
{
   ecl_verify_problem_t problem = {kind, self->id, path, keyword, message};

   self->found (self->context, &problem);
}

static void
on_broken (void *context, const ecl_schema_problem_t *problem)
{
   tell (context, ECL_VERIFY_SCHEMA, problem->path, problem->keyword, problem->expected);
}

/* Whether there is anything at the path, in any element where an array is on the way. */
static bool
exists (const ecl_value_t *v, const char *path)
{
   size_t len = strcspn (path, ".");
   ecl_value_t child;
   ecl_iter_t iter;

   if (v->type == BSON_TYPE_DOCUMENT) {
      child = ecl_document_get (v, path, len);
      return child.type != ECL_MISSING && (!path[len] || exists (&child, path + len + 1));
   }
   if (v->type == BSON_TYPE_ARRAY) {
      ecl_iter_init (&iter, v);
      while (ecl_iter_item (&iter, &child)) {
         if (child.type == BSON_TYPE_DOCUMENT && exists (&child, path)) {
            return true;
         }
      }
   }
   return false;
}

static bool
is_further (ecl_verifier_t *self, const ecl_value_t *document)
{
   ecl_version_t version;
   size_t index;

   return self->target < self->chain->n_steps &&
          ecl_upgrader_version (self->upgrader, document->u.raw, document->len, &version, NULL) &&
          ecl_chain_index (self->chain, version, &index) && index > self->target;
}

bool
ecl_verifier_run (ecl_verifier_t *self, const ecl_value_t *document)
{
   const ecl_failure_t *failure;
   ecl_upgrade_t what;
   ecl_value_t result;
   const uint8_t *out;
   bson_error_t error;
   bool good = true;
   size_t len;

   if (!ecl_bson_validate (document->u.raw, document->len, &error)) {
      self->id = ecl_missing ();
      tell (self, ECL_VERIFY_UPGRADE, "", "", error.message);
      return false;
   }
   if (is_further (self, document)) {
      return true;
   }
   self->id = ecl_document_get (document, "_id", 3);
   if (!ecl_upgrader_run (self->upgrader, document->u.raw, document->len, &out, &len, &what, &error)) {
      failure = ecl_upgrader_failure (self->upgrader);
      tell (self, ECL_VERIFY_UPGRADE, failure->path, "", failure->message);
      return false;
   }
   result = ecl_raw_document (out, len);
   if (what == ECL_UPGRADE_CURRENT) {
      for (size_t i = 0; i < self->n_removed; i++) {
         if (exists (&result, self->removed[i])) {
            tell (self, ECL_VERIFY_HYBRID, self->removed[i], "",
                  "the migrations removed it and it came back: an older release wrote it");
            good = false;
         }
      }
   }
   if (self->schema && !ecl_schema_explain (self->schema, &self->ev, &result, on_broken, self)) {
      good = false;
   }
   return good;
}
