/* Pushing down: see pushdown.h.
 *
 * The filter of a version says what ecl_version_field_find and ecl_version_from_document do, in the query language:
 *
 *    all that is on the way to the field is a document or is not there (a query would go through arrays)
 *    the field itself is no array (a query would look into it)
 *    {field: 3} finds every numeric type of that value; {field: null} finds null and nothing
 *    a dotted version is found in each of its spellings
 */
#include "upgrade/pushdown.h"

#include "bson/append.h"

#include <stdio.h>

/* The largest pipeline that is sent: well below a command's 16 MiB, far above what anybody writes. */
#define PIPELINE_MAX (4u * 1024 * 1024)

/* ---- pipeline ---- */

static bool
append_stages (bson_t *pipeline, uint32_t *n, const ecl_chain_t *chain, const ecl_step_t *step, bool up,
               bson_error_t *error)
{
   const ecl_way_t *way = up ? &step->up : &step->down;
   char key[16], text[ECL_VERSION_TEXT];
   ecl_iter_t iter;
   ecl_value_t stage;

   if (way->kind != ECL_WAY_PIPELINE) {
      return ecl_fail (error, ECL_DOMAIN_UPGRADE, ECL_ERROR_NO_WAY, "%s: %s: no way %s version %s: %s",
                       chain->collection, step->file, up ? "to" : "back from",
                       ecl_version_text (chain->format, step->to, text),
                       way->kind == ECL_WAY_IRREVERSIBLE ? "it is irreversible"
                       : way->kind == ECL_WAY_FUNCTION   ? "it is a function of a program, which the server cannot run"
                                                         : "it has no `down`");
   }
   ecl_iter_init (&iter, &way->stages);
   while (ecl_iter_item (&iter, &stage)) {
      ecl_value_t lookup = ecl_is_document (&stage) ? ecl_document_get (&stage, "$lookup", 7) : ecl_missing ();

      if (!ecl_is_missing (&lookup)) {
         return ecl_fail (
            error, ECL_DOMAIN_UPGRADE, ECL_ERROR_UNSUPPORTED,
            "%s: %s: the server cannot run this migration: what its $lookup brings has to be upgraded first",
            chain->collection, step->file);
      }
      snprintf (key, sizeof key, "%u", (*n)++);
      ecl_append_value (pipeline, key, &stage);
      if (pipeline->len > PIPELINE_MAX) {
         return ecl_fail (error, ECL_DOMAIN_UPGRADE, ECL_ERROR_TOO_LARGE,
                          "%s: the stages of the chain have more than %u bytes", chain->collection, PIPELINE_MAX);
      }
   }
   return true;
}

bool
ecl_pushdown_pipeline (const ecl_chain_t *chain, size_t from, size_t to, bson_t *pipeline, bson_error_t *error)
{
   bson_t stage, set;
   char key[16];
   uint32_t n = 0;
   bool ok = true;

   bson_init (pipeline);
   for (size_t i = from; ok && i < to; i++) {
      ok = append_stages (pipeline, &n, chain, &chain->steps[i], true, error);
   }
   for (size_t i = from; ok && i > to; i--) {
      ok = append_stages (pipeline, &n, chain, &chain->steps[i - 1], false, error);
   }
   if (!ok) {
      return false;
   }
   snprintf (key, sizeof key, "%u", n);
   bson_append_document_begin (pipeline, key, -1, &stage);
   bson_append_document_begin (&stage, "$set", -1, &set);
   ecl_append_value (&set, chain->version_field, ecl_chain_stamp (chain, to));
   bson_append_document_end (&stage, &set);
   bson_append_document_end (pipeline, &stage);
   return true;
}

/* ---- filter ---- */

/* An array of filters under construction: {$and: [ … ]}. */
typedef struct {
   bson_t array;
   uint32_t n;
} list_t;

static void
list_begin (list_t *self, bson_t *parent, const char *op)
{
   self->n = 0;
   bson_append_array_begin (parent, op, -1, &self->array);
}

static void
list_end (list_t *self, bson_t *parent)
{
   bson_append_array_end (parent, &self->array);
}

static void
list_open (list_t *self, bson_t *item)
{
   char key[16];

   snprintf (key, sizeof key, "%u", self->n++);
   bson_append_document_begin (&self->array, key, -1, item);
}

static void
list_close (list_t *self, bson_t *item)
{
   bson_append_document_end (&self->array, item);
}

static void
list_add (list_t *self, const ecl_value_t *filter)
{
   char key[16];

   snprintf (key, sizeof key, "%u", self->n++);
   ecl_append_value (&self->array, key, filter);
}

/* {path: {$not: {$type: "array"}}} */
static void
add_not_array (list_t *list, const char *path)
{
   bson_t item, condition, negated;

   list_open (list, &item);
   bson_append_document_begin (&item, path, -1, &condition);
   bson_append_document_begin (&condition, "$not", -1, &negated);
   bson_append_utf8 (&negated, "$type", -1, "array", -1);
   bson_append_document_end (&condition, &negated);
   bson_append_document_end (&item, &condition);
   list_close (list, &item);
}

/* {$or: [{path: {$exists: false}}, {path: {$type: "object"}}]} */
static void
add_document_or_nothing (list_t *list, const char *path)
{
   bson_t item, alternative, condition;
   list_t either;

   list_open (list, &item);
   list_begin (&either, &item, "$or");
   list_open (&either, &alternative);
   bson_append_document_begin (&alternative, path, -1, &condition);
   bson_append_bool (&condition, "$exists", -1, false);
   bson_append_document_end (&alternative, &condition);
   list_close (&either, &alternative);
   list_open (&either, &alternative);
   bson_append_document_begin (&alternative, path, -1, &condition);
   bson_append_utf8 (&condition, "$type", -1, "object", -1);
   bson_append_document_end (&alternative, &condition);
   list_close (&either, &alternative);
   list_end (&either, &item);
   list_close (list, &item);
}

/* What must hold for a query of the field to see what the reader sees. */
static void
add_shape (list_t *list, const char *field, bool absent)
{
   for (const char *dot = strchr (field, '.'); dot; dot = strchr (dot + 1, '.')) {
      char *path = bson_strndup (field, (size_t) (dot - field));

      add_not_array (list, path);
      if (absent) {
         add_document_or_nothing (list, path);
      }
      bson_free (path);
   }
   add_not_array (list, field);
}

/* The field holds the version, in any spelling. */
static void
add_versioned (list_t *list, const ecl_chain_t *chain, ecl_version_t version)
{
   bson_t item, condition;

   list_open (list, &item);
   if (chain->format == ECL_VERSION_DOTTED) {
      char text[2 * ECL_VERSION_TEXT];
      list_t spellings;

      ecl_version_text (chain->format, version, text);
      bson_append_document_begin (&item, chain->version_field, -1, &condition);
      list_begin (&spellings, &condition, "$in");
      /* "1.0" is also "1", "1.0.0" and "1.0.0.0". */
      for (char *end = text + strlen (text); end - text > 2 && strcmp (end - 2, ".0") == 0;
           end = text + strlen (text)) {
         end[-2] = '\0';
      }
      for (;;) {
         char key[16];
         unsigned parts = 1;

         snprintf (key, sizeof key, "%u", spellings.n++);
         bson_append_utf8 (&spellings.array, key, -1, text, -1);
         for (const char *p = text; *p; p++) {
            parts += *p == '.';
         }
         if (parts == 4) {
            break;
         }
         strncat (text, ".0", sizeof text - strlen (text) - 1);
      }
      list_end (&spellings, &condition);
      bson_append_document_end (&item, &condition);
   } else if (version <= INT32_MAX) {
      bson_append_int32 (&item, chain->version_field, -1, (int32_t) version);
   } else {
      bson_append_int64 (&item, chain->version_field, -1, version);
   }
   list_close (list, &item);
   add_shape (list, chain->version_field, false);
}

/* The field is missing or null, and whatever stands for it says the version: `detect` in its order, then
 * `unversioned`. */
static void
add_unversioned (list_t *alternatives, const ecl_chain_t *chain, size_t detected)
{
   bson_t branch, item, condition, negated;
   list_t all, nor;

   list_open (alternatives, &branch);
   list_begin (&all, &branch, "$and");
   list_open (&all, &item);
   bson_append_null (&item, chain->version_field, -1);
   list_close (&all, &item);
   /* Not undefined, which {field: null} finds in older servers: the reader does not take it for a version. */
   list_open (&all, &item);
   bson_append_document_begin (&item, chain->version_field, -1, &condition);
   bson_append_document_begin (&condition, "$not", -1, &negated);
   bson_append_int32 (&negated, "$type", -1, BSON_TYPE_UNDEFINED);
   bson_append_document_end (&condition, &negated);
   bson_append_document_end (&item, &condition);
   list_close (&all, &item);
   add_shape (&all, chain->version_field, true);
   if (detected) {
      list_open (&all, &item);
      list_begin (&nor, &item, "$nor");
      for (size_t i = 0; i < detected; i++) {
         list_add (&nor, &chain->detect[i].filter);
      }
      list_end (&nor, &item);
      list_close (&all, &item);
   }
   if (detected < chain->n_detect) {
      list_add (&all, &chain->detect[detected].filter);
   }
   list_end (&all, &branch);
   list_close (alternatives, &branch);
}

/* All the ways in which a document can be at the version, as alternatives. */
static void
add_version (list_t *alternatives, const ecl_chain_t *chain, ecl_version_t version)
{
   bson_t branch;
   list_t all;

   list_open (alternatives, &branch);
   list_begin (&all, &branch, "$and");
   add_versioned (&all, chain, version);
   list_end (&all, &branch);
   list_close (alternatives, &branch);
   for (size_t i = 0; i < chain->n_detect; i++) {
      if (chain->detect[i].version == version) {
         add_unversioned (alternatives, chain, i);
      }
   }
   if (chain->has_unversioned && chain->unversioned == version) {
      add_unversioned (alternatives, chain, chain->n_detect);
   }
}

void
ecl_pushdown_filter (const ecl_chain_t *chain, size_t index, bson_t *filter)
{
   bson_t either = BSON_INITIALIZER;
   bson_iter_t iter, child;
   list_t list;

   bson_init (filter);
   list_begin (&list, &either, "$or");
   add_version (&list, chain, ecl_chain_version (chain, index));
   list_end (&list, &either);
   if (list.n > 1) {
      bson_concat (filter, &either);
   } else {
      /* One alternative stands for itself, so that the server need not take an $or apart. */
      BSON_ASSERT (bson_iter_init (&iter, &either) && bson_iter_next (&iter) && bson_iter_recurse (&iter, &child));
      BSON_ASSERT (bson_iter_next (&child) && bson_iter_recurse (&child, &iter) && bson_iter_next (&iter));
      bson_append_iter (filter, NULL, -1, &iter);
   }
   bson_destroy (&either);
}

void
ecl_pushdown_filter_outside (const ecl_chain_t *chain, bson_t *filter)
{
   list_t list;

   bson_init (filter);
   list_begin (&list, filter, "$nor");
   for (size_t i = 0; i <= chain->n_steps; i++) {
      add_version (&list, chain, ecl_chain_version (chain, i));
   }
   list_end (&list, filter);
}
