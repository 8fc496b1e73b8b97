/* One document in client mode: see convert.h. */
#include "backfill/convert.h"

#include "bson/cursor.h"

struct ecl_converter_t {
   ecl_convert_options_t options;
   ecl_upgrader_t *upgrader;
   ecl_arena_t arena;            /* lives as long as self */
   ecl_guard_fields_t *fields;   /* per place on the chain; names is NULL until needed */
   ecl_guard_fields_t detecting; /* what `detect` looks at */
};

/* ---- what `detect` reads ----
 *
 * Where a document has no version field, its version hangs on the fields that the filters name: they belong to what
 * must not have changed. */

static void
add_name (ecl_arena_t *arena, ecl_guard_fields_t *fields, const char *name, size_t len)
{
   for (size_t i = 0; i < fields->n; i++) {
      if (strlen (fields->names[i]) == len && memcmp (fields->names[i], name, len) == 0) {
         return;
      }
   }
   fields->names =
      ecl_arena_grow (arena, fields->names, fields->n * sizeof *fields->names, (fields->n + 1) * sizeof *fields->names);
   fields->names[fields->n++] = ecl_arena_strndup (arena, name, len);
}

static void
filter_fields (ecl_arena_t *arena, const ecl_value_t *filter, ecl_guard_fields_t *fields)
{
   ecl_field_t field;
   ecl_iter_t iter;

   ecl_iter_init (&iter, filter);
   while (ecl_iter_field (&iter, &field)) {
      if (field.key_len == 0 || field.key[0] != '$') {
         const char *dot = memchr (field.key, '.', field.key_len);

         add_name (arena, fields, field.key, dot ? (size_t) (dot - field.key) : field.key_len);
      } else if (field.value.type == BSON_TYPE_ARRAY &&
                 ((field.key_len == 4 && (memcmp (field.key, "$and", 4) == 0 || memcmp (field.key, "$nor", 4) == 0)) ||
                  (field.key_len == 3 && memcmp (field.key, "$or", 3) == 0))) {
         ecl_value_t branch;
         ecl_iter_t branches;

         ecl_iter_init (&branches, &field.value);
         while (ecl_iter_item (&branches, &branch)) {
            if (branch.type == BSON_TYPE_DOCUMENT) {
               filter_fields (arena, &branch, fields);
            }
         }
      } else if (!(field.key_len == 8 && memcmp (field.key, "$comment", 8) == 0)) {
         fields->whole = true; /* $expr, $jsonSchema: anything may be looked at */
      }
   }
}

/* ---- life ---- */

ecl_converter_t *
ecl_converter_new (const ecl_convert_options_t *options, bson_error_t *error)
{
   const ecl_chain_t *chain = options->chain;
   ecl_converter_t *self = bson_malloc0 (sizeof *self);

   self->options = *options;
   ecl_arena_init (&self->arena);
   self->fields = ecl_arena_array (&self->arena, ecl_guard_fields_t, chain->n_steps + 1);
   memset (self->fields, 0, (chain->n_steps + 1) * sizeof *self->fields);
   for (size_t i = 0; i < chain->n_detect; i++) {
      filter_fields (&self->arena, &chain->detect[i].filter, &self->detecting);
   }
   self->upgrader = ecl_upgrader_new (options->upgrades, chain, ecl_chain_version (chain, options->target), error);
   if (!self->upgrader) {
      ecl_converter_destroy (self);
      return NULL;
   }
   return self;
}

void
ecl_converter_destroy (ecl_converter_t *self)
{
   if (!self) {
      return;
   }
   ecl_upgrader_destroy (self->upgrader);
   ecl_arena_cleanup (&self->arena);
   bson_free (self);
}

ecl_upgrader_t *
ecl_converter_upgrader (ecl_converter_t *self)
{
   return self->upgrader;
}

/* ---- one document ---- */

bool
ecl_convert_version (ecl_converter_t *self, const ecl_value_t *document, size_t *index)
{
   ecl_version_t version;

   return ecl_upgrader_version (self->upgrader, document->u.raw, document->len, &version, NULL) &&
          ecl_chain_index (self->options.chain, version, index);
}

bool
ecl_convert_wants (const ecl_converter_t *self, size_t index)
{
   return self->options.down ? index > self->options.target : index < self->options.target;
}

/* The value of the version field; missing where there is none. */
static ecl_value_t
stored_version (const ecl_chain_t *chain, const ecl_value_t *document)
{
   ecl_value_t at = *document;
   const char *name = chain->version_field;

   while (at.type == BSON_TYPE_DOCUMENT) {
      size_t len = strcspn (name, ".");

      at = ecl_document_get (&at, name, len);
      if (!name[len]) {
         return at;
      }
      name += len + 1;
   }
   return ecl_missing ();
}

static ecl_convert_kind_t
fail_with (ecl_converter_t *self, ecl_arena_t *arena, ecl_converted_t *out)
{
   const ecl_failure_t *failure = ecl_upgrader_failure (self->upgrader);

   out->code = (int32_t) failure->code;
   out->message = ecl_arena_strndup (arena, failure->message, strlen (failure->message));
   out->path = ecl_arena_strndup (arena, failure->path, strlen (failure->path));
   out->file = ecl_arena_strndup (arena, failure->file, strlen (failure->file));
   out->line = failure->line;
   out->column = failure->column;
   return ECL_CONVERT_FAILED;
}

static bool
guard_fields (ecl_converter_t *self, size_t from, bool detected, ecl_arena_t *arena, ecl_guard_fields_t *out,
              bson_error_t *error)
{
   ecl_guard_fields_t *kept = &self->fields[from];
   const ecl_plan_t *plan;

   if (!kept->names) {
      if (!ecl_upgrades_plan (self->options.upgrades, self->options.chain, from, self->options.target, &plan, error)) {
         return false;
      }
      ecl_guard_fields (&self->arena, plan, kept);
   }
   *out = *kept;
   if (detected) {
      out->names = ecl_arena_array (arena, const char *, kept->n);
      memcpy (out->names, kept->names, kept->n * sizeof *kept->names);
      out->whole = kept->whole || self->detecting.whole;
      for (size_t i = 0; i < self->detecting.n; i++) {
         add_name (arena, out, self->detecting.names[i], strlen (self->detecting.names[i]));
      }
   }
   return true;
}

ecl_convert_kind_t
ecl_convert (ecl_converter_t *self, ecl_arena_t *arena, const ecl_value_t *document, ecl_converted_t *out)
{
   const ecl_chain_t *chain = self->options.chain;
   ecl_guard_fields_t fields;
   ecl_version_t version;
   bson_error_t error;
   const uint8_t *after;
   size_t from, len;

   memset (out, 0, sizeof *out);
   out->message = out->path = out->file = "";
   if (!ecl_bson_validate (document->u.raw, document->len, &error)) {
      out->code = (int32_t) error.code;
      out->message = ecl_arena_strndup (arena, error.message, strlen (error.message));
      return ECL_CONVERT_FAILED;
   }
   out->id = ecl_document_get (document, "_id", 3);
   out->version = stored_version (chain, document);
   if (!ecl_upgrader_version (self->upgrader, document->u.raw, document->len, &version, &error)) {
      return fail_with (self, arena, out);
   }
   if (ecl_chain_index (chain, version, &from)) {
      if (!ecl_convert_wants (self, from)) {
         return ECL_CONVERT_DONE;
      }
      out->found = *ecl_chain_stamp (chain, from);
   }
   if (!ecl_upgrader_run (self->upgrader, document->u.raw, document->len, &after, &len, NULL, &error)) {
      if (error.domain == ECL_DOMAIN_UPGRADE && error.code == ECL_ERROR_NEEDS) {
         return ECL_CONVERT_NEEDS;
      }
      return fail_with (self, arena, out);
   }
   out->after = ecl_raw_document (after, len);
   if (self->options.always_transaction) {
      out->why = self->options.always_transaction;
      return ECL_CONVERT_TRANSACTION;
   }
   if (!guard_fields (self, from, chain->n_detect && ecl_is_nullish (&out->version), arena, &fields, &error)) {
      out->code = (int32_t) error.code;
      out->message = ecl_arena_strndup (arena, error.message, strlen (error.message));
      return ECL_CONVERT_FAILED;
   }
   switch (ecl_guard_build (arena, &fields, document, &out->after, self->options.form, &out->filter, &out->update,
                            &out->why)) {
   case ECL_GUARD_NOTHING:
      return ECL_CONVERT_DONE;
   case ECL_GUARD_STATEMENT:
      return ECL_CONVERT_STATEMENT;
   default:
      return ECL_CONVERT_TRANSACTION;
   }
}

void
ecl_convert_untransacted (ecl_arena_t *arena, ecl_converted_t *out)
{
   out->message = ecl_arena_printf (
      arena, "%s: only a transaction could write it safely, and this server has none: it is no replica set", out->why);
   out->code = ECL_ERROR_UNSUPPORTED;
}

void
ecl_convert_overloaded (ecl_converted_t *out)
{
   out->message = "what it looks up in other collections is too large to be kept in memory";
   out->code = ECL_ERROR_TOO_LARGE;
}
