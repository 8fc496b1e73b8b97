/* Parsing of filters: see match.h. All problems of a filter are reported, so every loop goes on behind a bad
 * predicate. */
#include "mql/match_parse.h"

static void
parse_list (ecl_match_t *self, ecl_match_node_t *into, ecl_match_kind_t kind, const ecl_field_t *spec,
            ecl_match_level_t level)
{
   ecl_match_node_t *node = ecl_match_new_node (self, kind, NULL, ecl_at (spec));
   ecl_iter_t iter;
   ecl_field_t field;
   uint32_t n = 0;

   if (spec->value.type != BSON_TYPE_ARRAY) {
      ecl_parse_fail (&self->parse, ecl_at (spec), 2, "%.*s must be an array, found %s", (int) spec->key_len, spec->key,
                      ecl_type_name (spec->value.type));
      return;
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      ecl_match_node_t *child;

      n++;
      if (field.value.type != BSON_TYPE_DOCUMENT) {
         ecl_parse_fail (&self->parse, ecl_at (&field), 2, "%.*s entries need to be full objects, found %s",
                         (int) spec->key_len, spec->key, ecl_type_name (field.value.type));
         continue;
      }
      child = ecl_match_parse_document (self, &field.value, ecl_at (&field), level);
      if (child) {
         ecl_match_add_node (self, node, child);
      }
   }
   if (n == 0) {
      ecl_parse_fail (&self->parse, ecl_at (spec), 2, "%.*s must be a nonempty array", (int) spec->key_len, spec->key);
   }
   ecl_match_add_node (self, into, node);
}

static void
parse_expr (ecl_match_t *self, ecl_match_node_t *into, const ecl_field_t *spec, ecl_match_level_t level)
{
   ecl_match_node_t *node = ecl_match_new_node (self, ECL_MATCH_EXPR, NULL, ecl_at (spec));
   uint32_t depth = self->parse.depth;

   if (level != ECL_MATCH_LEVEL_TOP) {
      ecl_parse_fail (&self->parse, ecl_at (spec), 2, "$expr can only be applied to the top-level document");
      return;
   }
   self->parse.depth = 0;
   node->u.expr = ecl_parse_expr (&self->parse, spec);
   self->parse.depth = depth;
   if (node->u.expr) {
      ecl_match_note_expr (self, node->u.expr);
      ecl_match_add_node (self, into, node);
   } else {
      self->parse.scope = NULL;
      self->parse.n_vars = 0;
   }
}

static void
parse_schema (ecl_match_t *self, ecl_match_node_t *into, const ecl_field_t *spec)
{
   ecl_match_node_t *node = ecl_match_new_node (self, ECL_MATCH_SCHEMA, NULL, ecl_at (spec));
   ecl_schema_options_t options = {.report = self->parse.report, .report_context = self->parse.report_context};
   ecl_schema_t *schema;

   schema = ecl_schema_new (spec, &options);
   if (!schema) {
      self->parse.failed = true;
      return;
   }
   if (self->n_schemas == self->cap_schemas) {
      self->cap_schemas = self->cap_schemas ? 2 * self->cap_schemas : 2;
      self->schemas = bson_realloc (self->schemas, self->cap_schemas * sizeof *self->schemas);
   }
   self->schemas[self->n_schemas++] = schema;
   self->whole = true;
   node->u.schema = schema;
   ecl_match_add_node (self, into, node);
}

static void
parse_pathless (ecl_match_t *self, ecl_match_node_t *into, const ecl_field_t *spec, ecl_match_level_t level)
{
   if (ecl_key_is (spec, "$and")) {
      parse_list (self, into, ECL_MATCH_AND, spec, level);
   } else if (ecl_key_is (spec, "$or")) {
      parse_list (self, into, ECL_MATCH_OR, spec, level);
   } else if (ecl_key_is (spec, "$nor")) {
      parse_list (self, into, ECL_MATCH_NOR, spec, level);
   } else if (ecl_key_is (spec, "$expr")) {
      parse_expr (self, into, spec, level);
   } else if (ecl_key_is (spec, "$jsonSchema")) {
      parse_schema (self, into, spec);
   } else if (ecl_key_is (spec, "$alwaysTrue") || ecl_key_is (spec, "$alwaysFalse")) {
      int64_t one;

      if (!ecl_number_to_int64 (&spec->value, &one) || one != 1) {
         ecl_parse_fail (&self->parse, ecl_at (spec), 9, "%.*s must be an integer value of 1", (int) spec->key_len,
                         spec->key);
         return;
      }
      ecl_match_add_node (
         self, into,
         ecl_match_new_node (self, spec->key_len == 11 ? ECL_MATCH_TRUE : ECL_MATCH_FALSE, NULL, ecl_at (spec)));
   } else if (ecl_key_is (spec, "$ref") || ecl_key_is (spec, "$id") || ecl_key_is (spec, "$db")) {
      ecl_match_path_t path = ecl_match_split_path (self, spec->key, spec->key_len);

      ecl_match_note_path (self, spec->key, spec->key_len);
      ecl_match_parse_comparison (self, into, ECL_MATCH_EQ, &path, spec);
   } else if (!ecl_key_is (spec, "$comment")) {
      ecl_match_fail_unknown (self, spec, "unknown top level operator");
   }
}

ecl_match_node_t *
ecl_match_parse_document (ecl_match_t *self, const ecl_value_t *document, const uint8_t *at, ecl_match_level_t level)
{
   ecl_match_node_t *node = ecl_match_new_node (self, ECL_MATCH_AND, NULL, at);
   ecl_iter_t iter;
   ecl_field_t field;

   if (self->parse.depth >= ECL_MATCH_MAX_DEPTH) {
      return ecl_parse_fail (&self->parse, at, 2, "exceeded maximum query tree depth of %d", ECL_MATCH_MAX_DEPTH);
   }
   self->parse.depth++;
   ecl_iter_init (&iter, document);
   while (ecl_iter_field (&iter, &field)) {
      if (field.key_len && field.key[0] == '$') {
         parse_pathless (self, node, &field, level);
      } else {
         ecl_match_path_t path = ecl_match_split_path (self, field.key, field.key_len);

         if (level == ECL_MATCH_LEVEL_TOP) {
            ecl_match_note_path (self, field.key, field.key_len);
         }
         ecl_match_parse_field (self, node, &path, &field, level);
      }
   }
   self->parse.depth--;
   if (node->n == 1) {
      return node->nodes[0];
   }
   ecl_match_collect_heads (self, node);
   return node;
}

ecl_match_node_t *
ecl_match_parse (ecl_match_t *self, const ecl_value_t *filter)
{
   ecl_match_node_t *root;

   if (filter->type != BSON_TYPE_DOCUMENT || filter->rep != ECL_REP_RAW) {
      return ecl_parse_fail (&self->parse, NULL, 14, "a filter must be an object, found %s",
                             ecl_type_name (filter->type));
   }
   root = ecl_match_parse_document (self, filter, NULL, ECL_MATCH_LEVEL_TOP);
   ecl_match_sort_paths (self);
   return self->parse.failed ? NULL : root;
}
