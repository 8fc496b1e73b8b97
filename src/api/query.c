/* Queries over mixed versions, for the public. See eclose/upgrader.h. */
#include "api/upgrader-private.h"

#include "upgrade/pushdown.h"
#include "upgrade/query.h"

/* The options of a find that a query takes. */
static bool
read_options (const bson_t *options, ecl_query_t *query, bson_error_t *error)
{
   ecl_value_t root = ecl_raw_document (bson_get_data (options), options->len);
   ecl_iter_t iter;
   ecl_field_t field;

   if (!ecl_bson_validate (root.u.raw, root.len, error)) {
      return false;
   }
   ecl_iter_init (&iter, &root);
   while (ecl_iter_field (&iter, &field)) {
      bool number = ecl_key_is (&field, "skip") || ecl_key_is (&field, "limit");

      if (!number && !ecl_key_is (&field, "sort") && !ecl_key_is (&field, "projection")) {
         return ecl_fail (error, ECL_DOMAIN_UPGRADE, ECL_ERROR_UNKNOWN_KEY,
                          "a query takes sort, skip, limit and projection, not %.*s", (int) field.key_len, field.key);
      }
      if (number ? !ecl_number_to_int64 (&field.value, ecl_key_is (&field, "skip") ? &query->skip : &query->limit) ||
                      query->skip < 0 || query->limit < 0
                 : !ecl_is_document (&field.value)) {
         return ecl_fail (error, ECL_DOMAIN_UPGRADE, ECL_ERROR_INVALID, "%.*s of a query must be %s",
                          (int) field.key_len, field.key, number ? "a whole number, not negative" : "a document");
      }
      if (ecl_key_is (&field, "sort")) {
         query->sort = field.value;
      } else if (ecl_key_is (&field, "projection")) {
         query->projection = field.value;
      }
   }
   return true;
}

static bool
make (const eclose_upgrader_t *self, const bson_t *filter, const bson_t *options, bson_t *pipeline, bson_error_t *error)
{
   ecl_query_t query = {.filter = ecl_raw_document (bson_get_data (filter), filter->len)};

   bson_init (pipeline);
   if (!ecl_bson_validate (query.filter.u.raw, query.filter.len, error) ||
       (options && !read_options (options, &query, error))) {
      return false;
   }
   if (!self->chain) {
      /* One version, whatever its documents say of it. */
      return ecl_query_plain (&query, pipeline, error);
   }
   return ecl_query_pipeline (self->chain, self->target, &query, pipeline, error);
}

bool
eclose_upgrader_query (eclose_upgrader_t *self, const bson_t *filter, const bson_t *options, bson_t *pipeline,
                       bson_error_t *error)
{
   bson_error_t cause;

   ecl_api_begin (self);
   return make (self, filter, options, pipeline, &cause) || ecl_api_failed (self, &cause, error);
}

void
eclose_upgrader_current_filter (const eclose_upgrader_t *self, bson_t *filter)
{
   if (self->chain) {
      ecl_pushdown_filter (self->chain, self->target, filter);
   } else {
      bson_init (filter);
   }
}
