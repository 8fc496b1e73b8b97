/* Upgrader: version of a document, the plan for it, and what to say when it fails. See upgrade.h. */
#include "upgrade/diff.h"
#include "upgrade/field.h"
#include "upgrade/upgrade-private.h"

#include <stdio.h>

struct ecl_upgrader_t {
   ecl_version_field_t field;
   ecl_version_t target;
   size_t to;
   ecl_version_format_t format;
   bool quick; /* versions are integers at the top level */
   const ecl_chain_t *chain;
   ecl_upgrades_t *shared;
   ecl_match_t *const *detect;
   const ecl_plan_t **plans; /* by the place of the document's version; NULL: not asked for yet */
   const ecl_plan_t *recent; /* of the document before, whose version was recent_from: mostly the next one's too */
   ecl_version_t recent_from;
   ecl_eval_t ev;
   ecl_failure_t failure;
   char message[512];
   ecl_buf_t path;
};

ecl_upgrader_t *
ecl_upgrader_new (ecl_upgrades_t *shared, const ecl_chain_t *chain, ecl_version_t target, bson_error_t *error)
{
   char text[ECL_VERSION_TEXT];
   ecl_upgrader_t *self;
   size_t to;

   if (!ecl_chain_index (chain, target, &to)) {
      ecl_fail (error, ECL_DOMAIN_UPGRADE, ECL_ERROR_NO_WAY, "version %s is not on the chain of %s",
                ecl_version_text (chain->format, target, text), chain->collection);
      return NULL;
   }
   self = bson_malloc0 (sizeof *self);
   ecl_version_field_init (&self->field, chain->version_field);
   self->target = target;
   self->to = to;
   self->format = chain->format;
   self->quick = chain->format == ECL_VERSION_INTEGER && !self->field.rest;
   self->chain = chain;
   self->shared = shared;
   self->detect = ecl_upgrades_detect (shared, chain);
   self->plans = bson_malloc0 ((chain->n_steps + 1) * sizeof (ecl_plan_t *));
   ecl_eval_init (&self->ev);
   ecl_buf_init (&self->path, 4096);
   return self;
}

void
ecl_upgrader_destroy (ecl_upgrader_t *self)
{
   if (self) {
      ecl_eval_cleanup (&self->ev);
      ecl_buf_cleanup (&self->path);
      bson_free (self->plans);
      bson_free (self);
   }
}

ecl_version_t
ecl_upgrader_target (const ecl_upgrader_t *self)
{
   return self->target;
}

const ecl_failure_t *
ecl_upgrader_failure (const ecl_upgrader_t *self)
{
   return &self->failure;
}

/* ---- failures: all of this is off the path of documents that are well ---- */

/* Notes what failed, and says it in one line with everything that is known. */
static ECL_NOINLINE bool
fail (ecl_upgrader_t *self, const uint8_t *in, size_t len, const ecl_version_t *version, const bson_error_t *cause,
      bson_error_t *error)
{
   ecl_failure_t *failure = &self->failure;
   const uint8_t *at = self->ev.failed ? self->ev.failed->source : NULL;
   const ecl_step_t *step = ecl_chain_step_at (self->chain, at);
   char where[600] = "", versions[2 * ECL_VERSION_TEXT + 32] = "", from[ECL_VERSION_TEXT], to[ECL_VERSION_TEXT];
   ecl_cursor_t cursor;

   *failure = (ecl_failure_t){.domain = cause->domain,
                              .code = cause->code,
                              .collection = self->chain->collection,
                              .message = self->message,
                              .has_version = version != NULL,
                              .version = version ? *version : 0,
                              .to = self->target,
                              .file = "",
                              .path = "",
                              .id = ecl_missing ()};
   snprintf (self->message, sizeof self->message, "%s", cause->message);
   if (ecl_cursor_init (&cursor, in, len) && ecl_cursor_find (&cursor, "_id", 3) &&
       (cursor.type != BSON_TYPE_DOCUMENT || ecl_bson_validate (cursor.value, cursor.value_len, NULL))) {
      ecl_cursor_value (&cursor, &failure->id);
   }
   if (step) {
      ecl_text_pos_t pos;
      bool down = version && *version > self->target;

      ecl_text_locate (step->text, at, &pos);
      ecl_buf_clear (&self->path);
      (void) !ecl_text_path (step->text, at, &self->path); /* cut where it is very long */
      failure->file = step->file;
      failure->line = pos.line;
      failure->column = pos.column;
      failure->path = ecl_buf_cstr (&self->path);
      failure->to = down ? step->from : step->to;
      snprintf (where, sizeof where, " (%s:%u:%u)", step->file, pos.line, pos.column);
   }
   if (version) {
      snprintf (versions, sizeof versions, ", version %s to %s", ecl_version_text (self->format, *version, from),
                ecl_version_text (self->format, failure->to, to));
   }
   if (error) {
      ecl_buf_t id;

      ecl_buf_init (&id, 1024);
      if (ecl_is_missing (&failure->id) || !ecl_diff_show_value (&failure->id, 100, &id)) {
         (void) !ecl_buf_append_str (&id, "none");
      }
      ecl_fail (error, cause->domain, cause->code, "%s, _id %s%s: %s%s", self->chain->collection, ecl_buf_cstr (&id),
                versions, self->message, where);
      ecl_buf_cleanup (&id);
   }
   return false;
}

static ECL_NOINLINE bool
fail_version (ecl_upgrader_t *self, const uint8_t *in, size_t len, const ecl_value_t *value, bson_error_t *error)
{
   bson_error_t cause;

   ecl_arena_reset (&self->ev.arena);
   self->ev.failed = NULL;
   ecl_fail (&cause, ECL_DOMAIN_UPGRADE, ECL_ERROR_VERSION,
             "the version field %s holds no version: expected %s, found %s", self->chain->version_field,
             self->format == ECL_VERSION_DOTTED ? ecl_version_expected (self->format) : "a whole number",
             ecl_is_missing (value) ? "nothing" : ecl_type_name (value->type));
   return fail (self, in, len, NULL, &cause, error);
}

static ECL_NOINLINE bool
fail_corrupt (ecl_upgrader_t *self, const uint8_t *in, size_t len, bson_error_t *error)
{
   bson_error_t cause;

   ecl_arena_reset (&self->ev.arena);
   self->ev.failed = NULL;
   ecl_fail (&cause, ECL_DOMAIN_BSON, ECL_ERROR_SYNTAX, "corrupt BSON: lengths do not agree with the document's bytes");
   return fail (self, in, len, NULL, &cause, error);
}

void
ecl_upgrader_set_loader (ecl_upgrader_t *self, const struct ecl_loader_t *loader)
{
   self->ev.loader = loader;
}

/* ---- version ---- */

/* A document that has no version of its own. */
static bool
unversioned (ecl_upgrader_t *self, const uint8_t *in, size_t len, ecl_version_t *version, bson_error_t *error)
{
   const ecl_chain_t *chain = self->chain;
   ecl_value_t document = ecl_raw_document (in, len);
   bson_error_t cause;

   ecl_arena_reset (&self->ev.arena);
   self->ev.failed = NULL;
   if (chain->n_detect && !ecl_bson_validate (in, len, &cause)) {
      return fail (self, in, len, NULL, &cause, error);
   }
   for (size_t i = 0; i < chain->n_detect; i++) {
      bool matched = false;

      if (self->detect[i] && !ecl_match_run (self->detect[i], &self->ev, &document, &matched, &cause)) {
         return fail (self, in, len, NULL, &cause, error);
      }
      if (matched) {
         *version = chain->detect[i].version;
         return true;
      }
   }
   if (chain->has_unversioned) {
      *version = chain->unversioned;
      return true;
   }
   ecl_fail (&cause, ECL_DOMAIN_UPGRADE, ECL_ERROR_VERSION, "it has no version, and no filter of `detect` matches it");
   return fail (self, in, len, NULL, &cause, error);
}

bool
ecl_upgrader_version (ecl_upgrader_t *self, const uint8_t *in, size_t len, ecl_version_t *version, bson_error_t *error)
{
   ecl_value_t value = ecl_missing ();
   uint32_t size;

   if (len < 5 || (size = ecl_load_u32 (in)) < 5 || size > len || in[size - 1] != 0) {
      return fail_corrupt (self, in, len, error);
   }
   switch (ecl_version_field_find (&self->field, in, size, &value)) {
   case ECL_FIELD_FOUND:
      if (ECL_LIKELY (value.type == BSON_TYPE_INT32 && self->format == ECL_VERSION_INTEGER && value.u.i64 >= 0)) {
         *version = value.u.i64;
         return true;
      }
      return ecl_version_from_document (self->format, &value, version) || fail_version (self, in, len, &value, error);
   case ECL_FIELD_NONE:
      return unversioned (self, in, size, version, error);
   case ECL_FIELD_BAD:
      return fail_version (self, in, len, &value, error);
   case ECL_FIELD_CORRUPT:
      break;
   }
   return fail_corrupt (self, in, len, error);
}

/* ---- the run ---- */

/* The plan from a version, as the recent one. */
static ECL_NOINLINE bool
find_plan (ecl_upgrader_t *self, ecl_version_t from, bson_error_t *error)
{
   size_t index;

   self->recent = NULL;
   if (!ecl_chain_index (self->chain, from, &index)) {
      char first[ECL_VERSION_TEXT], last[ECL_VERSION_TEXT];

      if (self->chain->has_floor && from < self->chain->floor) {
         return ecl_fail (error, ECL_DOMAIN_UPGRADE, ECL_ERROR_NO_WAY,
                          "its version, %s, is below the floor of the chain, %s: the migrations from there are gone",
                          ecl_version_text (self->format, from, last),
                          ecl_version_text (self->format, self->chain->floor, first));
      }
      return ecl_fail (error, ECL_DOMAIN_UPGRADE, ECL_ERROR_NO_WAY,
                       "its version is not on the chain, which goes from %s to %s",
                       ecl_version_text (self->format, self->chain->floor, first),
                       ecl_version_text (self->format, self->chain->target, last));
   }
   if (!self->plans[index] &&
       !ecl_upgrades_plan (self->shared, self->chain, index, self->to, &self->plans[index], error)) {
      return false;
   }
   self->recent = self->plans[index];
   self->recent_from = from;
   return true;
}

/* A document whose version is known, and need not be in it. */
static bool
run_from (ecl_upgrader_t *self, ecl_version_t from, const uint8_t *in, size_t len, const uint8_t **out, size_t *out_len,
          ecl_upgrade_t *what, bson_error_t *error)
{
   bson_error_t cause;

   if (from == self->target) {
      *out = in;
      *out_len = len;
      if (what) {
         *what = ECL_UPGRADE_CURRENT;
      }
      return true;
   }
   self->ev.failed = NULL;
   if (ECL_UNLIKELY (!self->recent || self->recent_from != from) && !find_plan (self, from, &cause)) {
      return fail (self, in, len, &from, &cause, error);
   }
   if (ECL_UNLIKELY (!ecl_plan_run (self->recent, &self->ev, in, len, out, out_len, &cause))) {
      if (cause.code == ECL_ERROR_NEEDS && cause.domain == ECL_DOMAIN_UPGRADE) {
         return ecl_fail (error, cause.domain, cause.code, "%s", cause.message);
      }
      return fail (self, in, len, &from, &cause, error);
   }
   if (what) {
      *what = from < self->target ? ECL_UPGRADE_UP : ECL_UPGRADE_DOWN;
   }
   return true;
}

bool
ecl_upgrader_run (ecl_upgrader_t *self, const uint8_t *in, size_t len, const uint8_t **out, size_t *out_len,
                  ecl_upgrade_t *what, bson_error_t *error)
{
   ecl_version_t version;

   /* Nearly all documents say their version with an int32 at the top level, and nearly all are current: they cost the
    * scan and one comparison. All else is found out properly below. */
   if (ECL_LIKELY (self->quick && len >= 5 && ecl_load_u32 (in) == len && in[len - 1] == 0)) {
      const uint8_t *value, *element;
      bool corrupt;

      element = ecl_version_field_scan (&self->field, in, len, &value, &corrupt);
      if (ECL_LIKELY (element && *element == BSON_TYPE_INT32)) {
         version = (int32_t) ecl_load_u32 (value);
         if (ECL_LIKELY (version == self->target)) {
            *out = in;
            *out_len = len;
            if (what) {
               *what = ECL_UPGRADE_CURRENT;
            }
            return true;
         }
         if (version >= 0) {
            return run_from (self, version, in, len, out, out_len, what, error);
         }
      }
   }
   return ecl_upgrader_version (self, in, len, &version, error) &&
          run_from (self, version, in, len, out, out_len, what, error);
}
