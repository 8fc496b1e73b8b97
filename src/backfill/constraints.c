/* What the server would refuse of a document: see constraints.h. */
#include "backfill/constraints.h"

#include "bson/append.h"
#include "mql/match.h"
#include "mql/schema.h"

/* Keys that are larger are not kept, and not compared. */
#define LARGEST_KEY 1024

/* Bytes of a rule that are shown. */
#define LARGEST_RULE 160

/* What a document has in a unique index: the values of the index's paths, and behind them its _id. */
typedef struct {
   const ecl_index_t *index;
   uint32_t n_paths;
   const ecl_value_t **keys;
   size_t n, cap;
} unique_t;

struct ecl_constraints_t {
   const ecl_value_t *validator;
   ecl_match_t *match; /* NULL: no validator that refuses, or none that can be judged */
   bool moderate;
   char unjudged[300];
   char rule[300]; /* that was broken */
   ecl_eval_t ev;
   ecl_arena_t arena; /* the keys that were seen */
   unique_t *uniques;
   size_t n_uniques;
};

/* ---- the validator ---- */

static void
on_problem (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   ecl_constraints_t *self = context;

   (void) at;
   (void) code;
   if (!*self->unjudged) {
      bson_strncpy (self->unjudged, message, sizeof self->unjudged);
   }
}

static void
read_validator (ecl_constraints_t *self, const ecl_facts_t *facts)
{
   const ecl_match_options_t options = {.report = on_problem, .report_context = self};

   if (!ecl_facts_validates (facts)) {
      return;
   }
   if (facts->collation.type == BSON_TYPE_DOCUMENT) {
      on_problem (self, NULL, 0, "the collection has a default collation, by which the server compares");
      return;
   }
   self->validator = &facts->validator;
   self->moderate = strcmp (facts->level, "moderate") == 0;
   self->match = ecl_match_new (self->validator, &options);
}

/* A filter that fails on a document is not kept by it: so does the server have it. */
static bool
keeps (ecl_constraints_t *self, const ecl_match_t *match, const ecl_value_t *document)
{
   bson_error_t ignored;
   bool matched;

   return ecl_match_run (match, &self->ev, document, &matched, &ignored) && matched;
}

static void
on_broken (void *context, const ecl_schema_problem_t *problem)
{
   ecl_constraints_t *self = context;

   if (!*self->rule) {
      bson_snprintf (self->rule, sizeof self->rule, "$jsonSchema: %s: expected %s, found %s%s%s", problem->keyword,
                     problem->expected, ecl_value_text (&self->ev.arena, problem->found), *problem->path ? " at " : "",
                     problem->path);
   }
}

typedef enum {
   KEPT,
   BROKEN,        /* self->rule says what is */
   BROKEN_SCHEMA, /* that, and it is a rule of a $jsonSchema */
} verdict_t;

static verdict_t
blame (ecl_constraints_t *self, const ecl_value_t *filter, const ecl_value_t *document);

/* One field of a filter that the document does not keep, which is also given as a filter of its own. */
static verdict_t
blame_field (ecl_constraints_t *self, const ecl_field_t *field, const bson_t *alone, const ecl_value_t *document)
{
   bool any = ecl_key_is (field, "$or");
   ecl_value_t branch;
   verdict_t verdict;
   ecl_iter_t iter;
   size_t len;
   char *text;

   if (ecl_key_is (field, "$jsonSchema")) {
      ecl_schema_t *schema = ecl_schema_new (field, NULL);

      *self->rule = '\0';
      if (schema) {
         (void) ecl_schema_explain (schema, &self->ev, document, on_broken, self);
      }
      ecl_schema_destroy (schema);
      return BROKEN_SCHEMA;
   }
   if (any || ecl_key_is (field, "$and")) {
      ecl_iter_init (&iter, &field->value);
      while (ecl_iter_item (&iter, &branch)) {
         verdict = blame (self, &branch, document);
         if (verdict == BROKEN_SCHEMA || (verdict == BROKEN && !any)) {
            return verdict;
         }
      }
   }
   text = bson_as_relaxed_extended_json (alone, &len);
   bson_snprintf (self->rule, sizeof self->rule, "%.*s%s", LARGEST_RULE, text, len > LARGEST_RULE ? "…" : "");
   bson_free (text);
   return BROKEN;
}

/* Which part of a filter a document breaks. Of $and the first; of $or, of which all are broken, the one that comes as
 * far as its $jsonSchema: a validator for several versions asks for the version before that. */
static verdict_t
blame (ecl_constraints_t *self, const ecl_value_t *filter, const ecl_value_t *document)
{
   verdict_t verdict = KEPT;
   ecl_field_t field;
   ecl_iter_t iter;

   ecl_iter_init (&iter, filter);
   while (verdict == KEPT && ecl_iter_field (&iter, &field)) {
      char *name = ecl_arena_strndup (&self->ev.arena, field.key, field.key_len);
      bson_t one = BSON_INITIALIZER;
      ecl_match_t *match;
      ecl_value_t alone;

      ecl_append_value (&one, name, &field.value);
      alone = ecl_raw_document (bson_get_data (&one), one.len);
      match = ecl_match_new (&alone, NULL);
      if (match && !keeps (self, match, document)) {
         verdict = blame_field (self, &field, &one, document);
      }
      ecl_match_destroy (match);
      bson_destroy (&one);
   }
   return verdict;
}

static bool
is_valid (ecl_constraints_t *self, const ecl_value_t *before, const ecl_value_t *after, bson_error_t *error)
{
   bool valid =
      !self->match || keeps (self, self->match, after) || (self->moderate && !keeps (self, self->match, before));

   if (!valid && error) {
      (void) blame (self, self->validator, after);
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "the collection's validator refuses it: %s", self->rule);
   }
   return valid;
}

/* ---- unique indexes ---- */

static void
read_indexes (ecl_constraints_t *self, const ecl_facts_t *facts)
{
   self->uniques = ecl_arena_array (&self->arena, unique_t, facts->n_indexes + 1);
   for (size_t i = 0; i < facts->n_indexes; i++) {
      const ecl_index_t *index = &facts->indexes[i];
      unique_t *unique = &self->uniques[self->n_uniques];
      ecl_field_t field;
      ecl_iter_t iter;

      if (!index->unique || !index->exact || facts->collation.type == BSON_TYPE_DOCUMENT) {
         continue;
      }
      *unique = (unique_t){.index = index};
      ecl_iter_init (&iter, &index->keys);
      while (ecl_iter_field (&iter, &field)) {
         unique->n_paths++;
      }
      self->n_uniques++;
   }
}

/* What is at a dotted path; false where an array is on the way or at its end: it may have several keys. */
static bool
at_path (const ecl_value_t *document, const char *path, size_t len, ecl_value_t *out)
{
   *out = *document;
   for (;;) {
      const char *dot = memchr (path, '.', len);
      size_t part = dot ? (size_t) (dot - path) : len;

      *out = out->type == BSON_TYPE_DOCUMENT ? ecl_document_get (out, path, part) : ecl_missing ();
      if (out->type == BSON_TYPE_ARRAY) {
         return false;
      }
      if (!dot) {
         return true;
      }
      path += part + 1;
      len -= part + 1;
   }
}

/* The key of a document in an index, in the evaluator's arena; NULL where it has none, or it is not to be judged. */
static ecl_value_t *
key_of (ecl_constraints_t *self, const unique_t *unique, const ecl_value_t *document)
{
   ecl_value_t *key = ecl_arena_array (&self->ev.arena, ecl_value_t, unique->n_paths + 1);
   uint32_t n = 0, missing = 0;
   uint64_t size = 0;
   ecl_field_t field;
   ecl_iter_t iter;

   ecl_iter_init (&iter, &unique->index->keys);
   while (ecl_iter_field (&iter, &field)) {
      if (!at_path (document, field.key, field.key_len, &key[n])) {
         return NULL;
      }
      missing += ecl_is_missing (&key[n]);
      key[n] = ecl_present (key[n]);
      size += ecl_value_size (&key[n++]);
   }
   key[n] = ecl_document_get (document, "_id", 3);
   size += ecl_value_size (&key[n]);
   return size > LARGEST_KEY || (unique->index->sparse && missing == n) ? NULL : key;
}

/* Whether another document has the key. A sample may hold a document twice. */
static bool
has (const unique_t *unique, const ecl_value_t *key, size_t *at)
{
   for (*at = 0; *at < unique->n; (*at)++) {
      const ecl_value_t *other = unique->keys[*at];
      uint32_t same = 0;

      while (same < unique->n_paths && ecl_equal (&key[same], &other[same])) {
         same++;
      }
      if (same == unique->n_paths) {
         return !ecl_equal (&key[same], &other[same]);
      }
   }
   return false;
}

static void
keep (ecl_constraints_t *self, unique_t *unique, const ecl_value_t *key)
{
   ecl_value_t *copy = ecl_arena_array (&self->arena, ecl_value_t, unique->n_paths + 1);

   for (uint32_t i = 0; i <= unique->n_paths; i++) {
      copy[i] = ecl_value_copy (&self->arena, &key[i]);
   }
   if (unique->n == unique->cap) {
      size_t cap = unique->cap ? 2 * unique->cap : 64;

      unique->keys =
         ecl_arena_grow (&self->arena, unique->keys, unique->cap * sizeof *unique->keys, cap * sizeof *unique->keys);
      unique->cap = cap;
   }
   unique->keys[unique->n++] = copy;
}

static bool
is_alone (ecl_constraints_t *self, const ecl_value_t *document, bson_error_t *error)
{
   const ecl_value_t **keys = ecl_arena_array (&self->ev.arena, const ecl_value_t *, self->n_uniques);
   size_t at;

   for (size_t i = 0; i < self->n_uniques; i++) {
      unique_t *unique = &self->uniques[i];

      keys[i] = key_of (self, unique, document);
      if (keys[i] && has (unique, keys[i], &at)) {
         return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER,
                          "the unique index %s refuses it: it gets the key of _id %s", unique->index->name,
                          ecl_value_text (&self->ev.arena, &unique->keys[at][unique->n_paths]));
      }
   }
   for (size_t i = 0; i < self->n_uniques; i++) {
      if (keys[i]) {
         keep (self, &self->uniques[i], keys[i]);
      }
   }
   return true;
}

/* ---- both ---- */

ecl_constraints_t *
ecl_constraints_new (const ecl_facts_t *facts)
{
   ecl_constraints_t *self = bson_malloc0 (sizeof *self);

   ecl_arena_init (&self->arena);
   ecl_eval_init (&self->ev);
   read_validator (self, facts);
   read_indexes (self, facts);
   return self;
}

void
ecl_constraints_destroy (ecl_constraints_t *self)
{
   if (!self) {
      return;
   }
   ecl_match_destroy (self->match);
   ecl_eval_cleanup (&self->ev);
   ecl_arena_cleanup (&self->arena);
   bson_free (self);
}

const char *
ecl_constraints_unjudged (const ecl_constraints_t *self)
{
   return *self->unjudged ? self->unjudged : NULL;
}

bool
ecl_constraints_allow (ecl_constraints_t *self, const ecl_value_t *before, const ecl_value_t *after,
                       bson_error_t *error)
{
   ecl_arena_reset (&self->ev.arena);
   return is_valid (self, before, after, error) && is_alone (self, after, error);
}
