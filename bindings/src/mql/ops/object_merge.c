/* Objects out of objects and arrays: $mergeObjects $objectToArray $arrayToObject. */
#include "mql/ops/object.h"

/* ---- names to positions ---- */

/* From this number of names on they are hashed; fewer are compared one by one. */
#define NAMES_BY_HASH 12u

typedef struct {
   ecl_field_t *fields; /* the values by name, in the order in which the names came */
   uint32_t n;
   uint32_t *table; /* position + 1 */
   uint32_t mask;
} ecl_names_t;

static void
names_init (ecl_names_t *self, ecl_arena_t *arena, uint32_t most)
{
   uint32_t size = 16;

   *self = (ecl_names_t){.fields = ecl_arena_array (arena, ecl_field_t, most)};
   if (most >= NAMES_BY_HASH) {
      while (size < 2 * (uint64_t) most) {
         size *= 2;
      }
      self->mask = size - 1;
      self->table = ecl_arena_array (arena, uint32_t, size);
      memset (self->table, 0, size * sizeof *self->table);
   }
}

static bool
is_named (const ecl_field_t *field, const char *key, uint32_t len)
{
   return field->key_len == len && memcmp (field->key, key, len) == 0;
}

/* The entry of that name, or NULL and the place in the table where it belongs. */
static ecl_field_t *
names_find (const ecl_names_t *self, const char *key, uint32_t len, uint32_t *place)
{
   if (!self->table) {
      for (uint32_t i = 0; i < self->n; i++) {
         if (is_named (&self->fields[i], key, len)) {
            return &self->fields[i];
         }
      }
      return NULL;
   }
   ecl_value_t name = ecl_string (key, len);
   uint64_t hash = ecl_hash (&name);

   for (uint32_t i = (uint32_t) (hash ^ (hash >> 32)) & self->mask;; i = (i + 1) & self->mask) {
      if (!self->table[i]) {
         *place = i;
         return NULL;
      }
      if (is_named (&self->fields[self->table[i] - 1], key, len)) {
         return &self->fields[self->table[i] - 1];
      }
   }
}

/* Of two values for one name the later stays, in the place of the earlier. */
static void
names_set (ecl_names_t *self, const char *key, uint32_t len, const ecl_value_t *value)
{
   uint32_t place = 0;
   ecl_field_t *known = names_find (self, key, len, &place);

   if (known) {
      known->value = *value;
      return;
   }
   self->fields[self->n++] = ecl_field (key, len, *value);
   if (self->table) {
      self->table[place] = self->n;
   }
}

static uint32_t
count_fields (const ecl_value_t *document)
{
   ecl_walk_t walk;
   const char *key;
   uint32_t len, n = 0;

   walk_init (&walk, document);
   while (walk_next (&walk, &key, &len)) {
      n++;
   }
   return n;
}

/* ---- $mergeObjects ---- */

/* base with the fields of over: where base has one of that name its value is replaced in place, new ones follow. */
static ecl_value_t
merge (ecl_arena_t *arena, const ecl_value_t *base, const ecl_value_t *over)
{
   ecl_names_t names;
   ecl_walk_t walk;
   ecl_list_t list;
   const char *key;
   uint32_t len, place, n = count_fields (over);

   if (n == 0) {
      return *base;
   }
   names_init (&names, arena, n);
   walk_init (&walk, over);
   while (walk_next (&walk, &key, &len)) {
      ecl_value_t v = walk_value (&walk);

      names_set (&names, key, len, &v);
   }
   list_init (&list, arena, n + (base->rep == ECL_REP_FIELDS ? base->len : 1));
   walk_init (&walk, base);
   while (walk_next (&walk, &key, &len)) {
      ecl_field_t *known = names_find (&names, key, len, &place);

      if (known) {
         list_add (&list, known->key, known->key_len, &known->value);
         known->value = ecl_missing ();
      } else {
         walk_keep (&walk, &list);
      }
   }
   for (uint32_t i = 0; i < names.n; i++) {
      list_add (&list, names.fields[i].key, names.fields[i].key_len, &names.fields[i].value);
   }
   return list_end (&list);
}

bool
ecl_op_mergeObjects (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t result = ecl_missing ();

   for (uint32_t i = 0; i < self->n; i++) {
      ecl_value_t v;

      if (!ecl_expr_eval (self->args[i], ev, &v)) {
         return false;
      }
      if (ecl_is_nullish (&v)) {
         continue;
      }
      if (v.type != BSON_TYPE_DOCUMENT) {
         return ecl_eval_fail (ev, self, 40400, "$mergeObjects requires object inputs, but input %s is of type %s",
                               ecl_value_text (&ev->arena, &v), ecl_type_name (v.type));
      }
      result = result.type == ECL_MISSING ? v : merge (&ev->arena, &result, &v);
   }
   *out = result.type == ECL_MISSING ? ecl_fields (NULL, 0) : result;
   return true;
}

/* ---- $objectToArray, $arrayToObject ---- */

bool
ecl_op_objectToArray (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t document, *items;
   ecl_field_t *pairs;
   const char *key;
   uint32_t len, n;
   ecl_walk_t walk;

   if (!ecl_expr_eval (self->args[0], ev, &document)) {
      return false;
   }
   if (ecl_is_nullish (&document)) {
      *out = ecl_null ();
      return true;
   }
   if (document.type != BSON_TYPE_DOCUMENT) {
      return ecl_eval_fail (ev, self, 40390, "$objectToArray requires a document input, found: %s",
                            ecl_type_name (document.type));
   }
   n = count_fields (&document);
   items = ecl_arena_array (&ev->arena, ecl_value_t, n);
   pairs = ecl_arena_array (&ev->arena, ecl_field_t, 2 * (size_t) n);
   walk_init (&walk, &document);
   for (uint32_t i = 0; i < n && walk_next (&walk, &key, &len); i++) {
      pairs[0] = ecl_field ("k", 1, ecl_string (key, len));
      pairs[1] = ecl_field ("v", 1, walk_value (&walk));
      items[i] = ecl_fields (pairs, 2);
      pairs += 2;
   }
   *out = ecl_vec (items, n);
   return true;
}

/* [name, value] */
static bool
pair_of_array (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *item, ecl_value_t *key, ecl_value_t *value)
{
   ecl_iter_t iter;
   uint32_t n;

   if (item->type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail (ev, self, 40396,
                            "$arrayToObject requires a consistent input format: elements must all be arrays or all be "
                            "objects. Array was detected, now found: %s",
                            ecl_type_name (item->type));
   }
   n = ecl_array_count (item);
   if (n != 2) {
      return ecl_eval_fail (ev, self, 40397,
                            "$arrayToObject requires an array of size 2 arrays, found array of size: %u", n);
   }
   ecl_iter_init (&iter, item);
   ecl_iter_item (&iter, key);
   ecl_iter_item (&iter, value);
   if (key->type != BSON_TYPE_UTF8) {
      return ecl_eval_fail (ev, self, 40395,
                            "$arrayToObject requires an array of key-value pairs, where the key must be of type "
                            "string. Found key type: %s",
                            ecl_type_name (key->type));
   }
   if (memchr (key->u.str, 0, key->len)) {
      return ecl_eval_fail (ev, self, 4940400, "key field cannot contain an embedded null byte");
   }
   return true;
}

/* {k: name, v: value} */
static bool
pair_of_object (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *item, ecl_value_t *key, ecl_value_t *value)
{
   uint32_t n;

   if (item->type != BSON_TYPE_DOCUMENT) {
      return ecl_eval_fail (ev, self, 40391,
                            "$arrayToObject requires a consistent input format: elements must all be arrays or all be "
                            "objects. Object was detected, now found: %s",
                            ecl_type_name (item->type));
   }
   n = count_fields (item);
   if (n != 2) {
      return ecl_eval_fail (ev, self, 40392,
                            "$arrayToObject requires an object keys of 'k' and 'v'. Found incorrect number of keys: %u",
                            n);
   }
   *key = ecl_document_get (item, "k", 1);
   *value = ecl_document_get (item, "v", 1);
   if (key->type == ECL_MISSING || value->type == ECL_MISSING) {
      return ecl_eval_fail (ev, self, 40393,
                            "$arrayToObject requires an object with keys 'k' and 'v'. Missing either or both keys");
   }
   if (key->type != BSON_TYPE_UTF8) {
      return ecl_eval_fail (ev, self, 40394,
                            "$arrayToObject requires an object with keys 'k' and 'v', where the value of 'k' must be "
                            "of type string. Found type: %s",
                            ecl_type_name (key->type));
   }
   if (memchr (key->u.str, 0, key->len)) {
      return ecl_eval_fail (ev, self, 4940401, "key field cannot contain an embedded null byte");
   }
   return true;
}

bool
ecl_op_arrayToObject (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t array, item, key, value;
   bool (*pair) (const ecl_expr_t *, ecl_eval_t *, const ecl_value_t *, ecl_value_t *, ecl_value_t *) = NULL;
   ecl_names_t names;
   ecl_iter_t iter;

   if (!ecl_expr_eval (self->args[0], ev, &array)) {
      return false;
   }
   if (ecl_is_nullish (&array)) {
      *out = ecl_null ();
      return true;
   }
   if (array.type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail (ev, self, 40386, "$arrayToObject requires an array input, found: %s",
                            ecl_type_name (array.type));
   }
   names_init (&names, &ev->arena, ecl_array_count (&array));
   ecl_iter_init (&iter, &array);
   while (ecl_iter_item (&iter, &item)) {
      /* The first element tells the format of all. */
      if (!pair) {
         if (item.type != BSON_TYPE_ARRAY && item.type != BSON_TYPE_DOCUMENT) {
            return ecl_eval_fail (ev, self, 40398, "unrecognised input type format for $arrayToObject: %s",
                                  ecl_type_name (item.type));
         }
         pair = item.type == BSON_TYPE_ARRAY ? pair_of_array : pair_of_object;
      }
      if (!pair (self, ev, &item, &key, &value)) {
         return false;
      }
      names_set (&names, key.u.str, key.len, &value);
   }
   *out = ecl_fields (names.fields, names.n);
   return true;
}
