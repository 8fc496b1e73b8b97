/* Saving: a changed document over the stored one, if that is still what was read and nothing is lost by it. */
#include "api/upgrader-private.h"

#include "run/guard.h"
#include "upgrade/diff.h"

bool
eclose_documents_same (const bson_t *a, const bson_t *b)
{
   ecl_value_t x = ecl_raw_document (bson_get_data (a), a->len), y = ecl_raw_document (bson_get_data (b), b->len);

   return ecl_bson_validate (x.u.raw, x.len, NULL) && ecl_bson_validate (y.u.raw, y.len, NULL) &&
          ecl_diff_same (&x, &y);
}

/* up (down (stored)) is stored. */
static bool
check_lossless (eclose_upgrader_t *self, const ecl_value_t *stored, ecl_version_t version, bson_error_t *error)
{
   const uint8_t *down, *up;
   size_t down_len, up_len;
   ecl_value_t returned;
   uint8_t *copy;

   if (self->back && ecl_upgrader_target (self->back) != version) {
      ecl_upgrader_destroy (self->back);
      self->back = NULL;
   }
   if (!self->back) {
      self->back = ecl_upgrader_new (self->project->upgrades, self->chain, version, error);
      if (!self->back) {
         return false;
      }
      ecl_upgrader_set_loader (self->back, self->loads ? ecl_loads_loader (self->loads) : NULL);
   }
   if (!ecl_api_run (self, self->inner, stored->u.raw, stored->len, &down, &down_len, error)) {
      return false;
   }
   copy = ecl_arena_alloc (&self->arena, down_len);
   memcpy (copy, down, down_len);
   if (!ecl_api_run (self, self->back, copy, down_len, &up, &up_len, error)) {
      return false;
   }
   returned = ecl_raw_document (up, up_len);
   if (!ecl_diff_same (stored, &returned)) {
      char text[ECL_VERSION_TEXT];

      return ecl_fail (
         error, ECL_DOMAIN_UPGRADE, ECL_ERROR_LOSSY,
         "%s: the stored document is at version %s and would not come back whole from version %s: saving it "
         "from here would lose what this program does not see",
         self->collection, ecl_version_text (self->chain->format, version, text), self->target_text);
   }
   return true;
}

static bool
save (eclose_upgrader_t *self, const bson_t *stored, const bson_t *document, eclose_save_t *how, const bson_t **filter,
      const bson_t **update, const bson_t **replacement, bson_error_t *error)
{
   static const ecl_guard_fields_t all = {.whole = true};
   ecl_value_t before = ecl_raw_document (bson_get_data (stored), stored->len), after, old_id, new_id;
   ecl_value_t raw_filter, raw_update;
   const uint8_t *bytes = bson_get_data (document);
   size_t len = document->len;
   const char *why;

   *filter = *update = *replacement = NULL;
   *how = ECLOSE_SAVE_NOTHING;
   ecl_arena_reset (&self->arena);
   if (!ecl_bson_validate (before.u.raw, before.len, error) || !ecl_bson_validate (bytes, len, error)) {
      return false;
   }
   if (self->chain) {
      ecl_version_t version;

      if (!ecl_upgrader_version (self->inner, before.u.raw, before.len, &version, error)) {
         self->failed = self->inner;
         return false;
      }
      if ((version > ecl_upgrader_target (self->inner) && !check_lossless (self, &before, version, error)) ||
          !ecl_api_stamp (self, bytes, len, &bytes, &len, error)) {
         return false;
      }
   }
   after = ecl_raw_document (bytes, len);
   old_id = ecl_document_get (&before, "_id", 3);
   new_id = ecl_document_get (&after, "_id", 3);
   if (ecl_is_missing (&old_id) || !ecl_identical (&old_id, &new_id)) {
      return ecl_fail (error, ECL_DOMAIN_UPGRADE, ECL_ERROR_INVALID,
                       "%s: a saved document keeps the _id of the stored one", self->collection);
   }
   BSON_ASSERT (bson_init_static (&self->out, bytes, len));
   *replacement = &self->out;
   switch (
      ecl_guard_build (&self->arena, &all, &before, &after, ECL_GUARD_IN_PIPELINE, &raw_filter, &raw_update, &why)) {
   case ECL_GUARD_NOTHING:
      return true;
   case ECL_GUARD_STATEMENT:
      *how = ECLOSE_SAVE_STATEMENT;
      BSON_ASSERT (bson_init_static (&self->out_filter, raw_filter.u.raw, raw_filter.len));
      BSON_ASSERT (bson_init_static (&self->out_update, raw_update.u.raw, raw_update.len));
      *filter = &self->out_filter;
      *update = &self->out_update;
      return true;
   case ECL_GUARD_TRANSACTION:
      break;
   }
   *how = ECLOSE_SAVE_TRANSACTION;
   return true;
}

bool
eclose_upgrader_save (eclose_upgrader_t *self, const bson_t *stored, const bson_t *document, eclose_save_t *how,
                      const bson_t **filter, const bson_t **update, const bson_t **replacement, bson_error_t *error)
{
   ecl_upgrade_t what = self->what;
   bson_error_t cause;
   bool saved;

   ecl_api_begin (self);
   saved = save (self, stored, document, how, filter, update, replacement, &cause);
   self->what = what;
   return saved || ecl_api_failed (self, &cause, error);
}
