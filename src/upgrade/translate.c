/* Translating filters: see translate.h. */
#include "upgrade/translate.h"

#include "bson/make.h"
#include "mql/match.h"

/* What stands in a top-level field after the stages so far. Fields that no stage names stand for themselves. */
typedef enum { STORED, CONSTANT, COMPUTED } source_kind_t;

typedef struct source_t source_t;
struct source_t {
   source_t *next;
   const char *name;
   uint32_t len;
   source_kind_t kind;
   ecl_value_t value; /* CONSTANT: missing where the field is gone. STORED: a string, the name of the stored field */
};

typedef struct {
   ecl_arena_t *arena;
   source_t *sources; /* the latest first: it hides those of the same name behind it */
   bool lost;         /* the document was replaced: nothing is known any more */
} follow_t;

/* ---- following the stages ---- */

static source_t
source_of (const source_t *sources, const char *name, uint32_t len)
{
   for (const source_t *source = sources; source; source = source->next) {
      if (source->len == len && memcmp (source->name, name, len) == 0) {
         return *source;
      }
   }
   return (source_t){.kind = STORED, .value = ecl_string (name, len)};
}

static void
put (follow_t *self, const char *name, uint32_t len, source_t source)
{
   source_t *entry = ecl_arena_new (self->arena, source_t);

   *entry = source;
   entry->name = name;
   entry->len = len;
   entry->next = self->sources;
   self->sources = entry;
}

static uint32_t
top_len (const char *path, uint32_t len)
{
   const char *dot = memchr (path, '.', len);

   return dot ? (uint32_t) (dot - path) : len;
}

/* What an expression gives, where it is a field or a constant. before: the fields as the stage sees them. */
static source_t
source_of_expression (const source_t *before, const ecl_value_t *e)
{
   if (ecl_is_string (e)) {
      if (!e->len || e->u.str[0] != '$') {
         return (source_t){.kind = CONSTANT, .value = *e};
      }
      if (e->len > 1 && e->u.str[1] != '$' && !memchr (e->u.str, '.', e->len)) {
         return source_of (before, e->u.str + 1, e->len - 1);
      }
      return (source_t){.kind = COMPUTED};
   }
   if (ecl_is_document (e)) {
      ecl_value_t literal = ecl_document_get (e, "$literal", 8);

      if (!ecl_is_missing (&literal)) {
         return (source_t){.kind = CONSTANT, .value = literal};
      }
      return (source_t){.kind = COMPUTED};
   }
   if (ecl_is_array (e)) {
      return (source_t){.kind = COMPUTED};
   }
   return (source_t){.kind = CONSTANT, .value = *e};
}

static void
follow_set (follow_t *self, const ecl_value_t *spec)
{
   const source_t *before = self->sources;
   ecl_iter_t iter;
   ecl_field_t field;

   ecl_iter_init (&iter, spec);
   while (ecl_iter_field (&iter, &field)) {
      uint32_t len = top_len (field.key, field.key_len);

      put (self, field.key, len,
           len == field.key_len ? source_of_expression (before, &field.value) : (source_t){.kind = COMPUTED});
   }
}

static void
follow_unset (follow_t *self, const ecl_value_t *name)
{
   if (ecl_is_string (name)) {
      uint32_t len = top_len (name->u.str, name->len);

      put (self, name->u.str, len,
           len == name->len ? (source_t){.kind = CONSTANT, .value = ecl_missing ()} : (source_t){.kind = COMPUTED});
   }
}

static void
follow_stage (follow_t *self, const ecl_field_t *stage)
{
   if ((ecl_key_is (stage, "$set") || ecl_key_is (stage, "$addFields")) && ecl_is_document (&stage->value)) {
      follow_set (self, &stage->value);
   } else if (ecl_key_is (stage, "$unset") && ecl_is_string (&stage->value)) {
      follow_unset (self, &stage->value);
   } else if (ecl_key_is (stage, "$unset") && ecl_is_array (&stage->value)) {
      ecl_iter_t iter;
      ecl_value_t name;

      ecl_iter_init (&iter, &stage->value);
      while (ecl_iter_item (&iter, &name)) {
         follow_unset (self, &name);
      }
   } else if (ecl_key_is (stage, "$lookup") && ecl_is_document (&stage->value)) {
      ecl_value_t as = ecl_document_get (&stage->value, "as", 2);

      if (ecl_is_string (&as)) {
         put (self, as.u.str, top_len (as.u.str, as.len), (source_t){.kind = COMPUTED});
      }
   } else {
      self->lost = true;
   }
}

static void
follow_way (follow_t *self, const ecl_way_t *way)
{
   ecl_iter_t items, fields;
   ecl_value_t stage;
   ecl_field_t field;

   if (way->kind != ECL_WAY_PIPELINE) {
      self->lost = true;
      return;
   }
   ecl_iter_init (&items, &way->stages);
   while (!self->lost && ecl_iter_item (&items, &stage)) {
      ecl_iter_init (&fields, &stage);
      while (ecl_iter_field (&fields, &field)) {
         follow_stage (self, &field);
      }
   }
}

/* ---- the filter ---- */

/* Whether {path: condition} holds for a document in which only that field is; false where that cannot be said. */
static bool
decide (ecl_arena_t *arena, const ecl_field_t *condition, uint32_t top, const ecl_value_t *value, bool *holds)
{
   ecl_value_t filter = ecl_make_field (arena, condition->key, condition->key_len, condition->value), document;
   ecl_match_t *match;
   ecl_eval_t ev;
   bool ok;

   if (ecl_is_missing (value)) {
      document = ecl_fields (NULL, 0);
   } else {
      document = ecl_make_field (arena, condition->key, top, *value);
   }
   if (!ecl_value_to_raw (arena, &filter, &filter, NULL) || !ecl_value_to_raw (arena, &document, &document, NULL)) {
      return false;
   }
   match = ecl_match_new (&filter, NULL);
   if (!match) {
      return false;
   }
   ecl_eval_init (&ev);
   ok = ecl_match_run (match, &ev, &document, holds, NULL);
   ecl_eval_cleanup (&ev);
   ecl_match_destroy (match);
   return ok;
}

static ecl_translated_t
translate_path (const follow_t *self, const ecl_field_t *condition, ecl_value_t *out)
{
   uint32_t top = top_len (condition->key, condition->key_len);
   source_t source = source_of (self->sources, condition->key, top);
   bool holds = true;

   switch (source.kind) {
   case STORED: {
      char *path = ecl_arena_printf (self->arena, "%.*s%.*s", (int) source.value.len, source.value.u.str,
                                     (int) (condition->key_len - top), condition->key + top);

      *out = ecl_make_object (self->arena, path, condition->value);
      return ECL_TRANSLATED_FILTER;
   }
   case CONSTANT:
      /* Strings are equal or not by the collection's collation, which is not known here. */
      if (!ecl_is_string (&source.value) && !ecl_is_document (&source.value) && !ecl_is_array (&source.value) &&
          decide (self->arena, condition, top, &source.value, &holds) && !holds) {
         return ECL_TRANSLATED_NONE;
      }
      return ECL_TRANSLATED_ALL;
   case COMPUTED:
      break;
   }
   return ECL_TRANSLATED_ALL;
}

static ecl_translated_t
translate (const follow_t *self, const ecl_value_t *filter, ecl_value_t *out);

static ecl_translated_t
list (const follow_t *self, const char *op, const ecl_value_t *items, uint32_t n, ecl_value_t *out)
{
   *out = n == 1 ? items[0] : ecl_make_object (self->arena, op, ecl_vec (items, n));
   return ECL_TRANSLATED_FILTER;
}

/* $or: one alternative that says nothing makes all of it say nothing. */
static ecl_translated_t
translate_or (const follow_t *self, const ecl_value_t *alternatives, ecl_value_t *out)
{
   ecl_value_t *items = ecl_arena_array (self->arena, ecl_value_t, ecl_array_count (alternatives) + 1);
   uint32_t n = 0;
   ecl_iter_t iter;
   ecl_value_t one;

   ecl_iter_init (&iter, alternatives);
   while (ecl_iter_item (&iter, &one)) {
      if (!ecl_is_document (&one)) {
         return ECL_TRANSLATED_ALL; /* the server refuses it */
      }
      switch (translate (self, &one, &items[n])) {
      case ECL_TRANSLATED_ALL:
         return ECL_TRANSLATED_ALL;
      case ECL_TRANSLATED_FILTER:
         n++;
         break;
      case ECL_TRANSLATED_NONE:
         break;
      }
   }
   return n ? list (self, "$or", items, n, out) : ECL_TRANSLATED_NONE;
}

/* All must hold: what says nothing is left out. */
static ecl_translated_t
translate_and (const follow_t *self, const ecl_value_t *conditions, ecl_value_t *out)
{
   ecl_value_t *items = ecl_arena_array (self->arena, ecl_value_t, ecl_array_count (conditions) + 1);
   uint32_t n = 0;
   ecl_iter_t iter;
   ecl_value_t one;

   ecl_iter_init (&iter, conditions);
   while (ecl_iter_item (&iter, &one)) {
      if (!ecl_is_document (&one)) {
         return ECL_TRANSLATED_ALL;
      }
      switch (translate (self, &one, &items[n])) {
      case ECL_TRANSLATED_NONE:
         return ECL_TRANSLATED_NONE;
      case ECL_TRANSLATED_FILTER:
         n++;
         break;
      case ECL_TRANSLATED_ALL:
         break;
      }
   }
   return n ? list (self, "$and", items, n, out) : ECL_TRANSLATED_ALL;
}

static ecl_translated_t
translate (const follow_t *self, const ecl_value_t *filter, ecl_value_t *out)
{
   uint32_t count, n = 0;
   const ecl_field_t *fields = ecl_document_fields (self->arena, filter, &count);
   ecl_value_t *items = ecl_arena_array (self->arena, ecl_value_t, count + 1);

   for (uint32_t i = 0; i < count; i++) {
      ecl_translated_t result = ECL_TRANSLATED_ALL;

      if (ecl_key_is (&fields[i], "$and") && ecl_is_array (&fields[i].value)) {
         result = translate_and (self, &fields[i].value, &items[n]);
      } else if (ecl_key_is (&fields[i], "$or") && ecl_is_array (&fields[i].value)) {
         result = translate_or (self, &fields[i].value, &items[n]);
      } else if (fields[i].key_len && fields[i].key[0] != '$') {
         result = translate_path (self, &fields[i], &items[n]);
      }
      if (result == ECL_TRANSLATED_NONE) {
         return result;
      }
      n += result == ECL_TRANSLATED_FILTER;
   }
   return n ? list (self, "$and", items, n, out) : ECL_TRANSLATED_ALL;
}

ecl_translated_t
ecl_translate (ecl_arena_t *arena, const ecl_chain_t *chain, size_t from, size_t to, const ecl_value_t *filter,
               ecl_value_t *out)
{
   follow_t follow = {.arena = arena};
   const char *field = chain->version_field;
   uint32_t top = top_len (field, (uint32_t) strlen (field));

   for (size_t i = from; i < to; i++) {
      follow_way (&follow, &chain->steps[i].up);
   }
   for (size_t i = from; i > to; i--) {
      follow_way (&follow, &chain->steps[i - 1].down);
   }
   if (follow.lost) {
      return ECL_TRANSLATED_ALL;
   }
   /* An update leaves the _id as it is, whatever the stages do with it. */
   put (&follow, "_id", 3, (source_t){.kind = STORED, .value = ecl_string ("_id", 3)});
   put (&follow, field, top,
        field[top] ? (source_t){.kind = COMPUTED}
                   : (source_t){.kind = CONSTANT, .value = *ecl_chain_stamp (chain, to)});
   return translate (&follow, filter, out);
}
