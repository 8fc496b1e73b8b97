/* Objects: $arrayToObject $getField $mergeObjects $objectToArray $setField $unsetField.
 *
 * A raw document that changes in a few places is not taken apart: what stays is borrowed as runs of its bytes. */
#include "bson/cursor.h"
#include "mql/operators.h"

/* ---- a list of fields under construction ---- */

typedef struct {
   ecl_arena_t *arena;
   ecl_field_t *fields;
   uint32_t n, cap;
   const uint8_t *run, *run_end; /* raw elements that come next and are not in the list yet */
} ecl_list_t;

static void
list_init(ecl_list_t *self, ecl_arena_t *arena, uint32_t cap)
{
   *self = (ecl_list_t){.arena = arena, .cap = cap ? cap : 1};
   self->fields = ecl_arena_array(arena, ecl_field_t, self->cap);
}

static void
list_push(ecl_list_t *self, const ecl_field_t *field)
{
   if (self->n == self->cap) {
      self->fields = ecl_arena_grow(self->arena, self->fields, self->cap * sizeof *self->fields,
                                    2 * (size_t)self->cap * sizeof *self->fields);
      self->cap *= 2;
   }
   self->fields[self->n++] = *field;
}

static void
list_flush(ecl_list_t *self)
{
   if (self->run) {
      ecl_field_t run = {0};

      run.value.rep = ECL_REP_RUN;
      run.value.len = (uint32_t)(self->run_end - self->run);
      run.value.u.raw = self->run;
      self->run = NULL;
      list_push(self, &run);
   }
}

/* One field behind what is there; missing ones are left out. */
static void
list_add(ecl_list_t *self, const char *key, uint32_t len, const ecl_value_t *value)
{
   if (value->type != ECL_MISSING) {
      ecl_field_t field = ecl_field(key, len, *value);

      list_flush(self);
      list_push(self, &field);
   }
}

static ecl_value_t
list_end(ecl_list_t *self)
{
   list_flush(self);
   return ecl_fields(self->fields, self->n);
}

/* ---- walking a document field by field without decoding values ---- */

typedef struct {
   const ecl_field_t *field, *fields_end;
   ecl_cursor_t cursor;
   bool raw; /* the current field is cursor's element */
} ecl_walk_t;

static void
walk_init(ecl_walk_t *self, const ecl_value_t *document)
{
   memset(self, 0, sizeof *self);
   if (document->rep == ECL_REP_RAW) {
      self->cursor.next = document->u.raw + 4;
      self->cursor.end = document->u.raw + document->len - 1;
   } else {
      self->field = document->u.fields;
      self->fields_end = document->u.fields + document->len;
   }
}

static bool
walk_next(ecl_walk_t *self, const char **key, uint32_t *len)
{
   for (;;) {
      if (self->cursor.next < self->cursor.end) {
         if (!ecl_cursor_next(&self->cursor)) {
            return false;
         }
         self->raw = true;
         *key = self->cursor.key;
         *len = self->cursor.key_len;
         return true;
      }
      if (self->field == self->fields_end) {
         return false;
      }
      if (self->field->value.rep == ECL_REP_RUN) {
         self->cursor.next = self->field->value.u.raw;
         self->cursor.end = self->field->value.u.raw + self->field->value.len;
         self->field++;
      } else if (self->field->value.type == ECL_MISSING) {
         self->field++;
      } else {
         self->raw = false;
         *key = self->field->key;
         *len = self->field->key_len;
         self->field++;
         return true;
      }
   }
}

/* The current field, as it is, to the list. */
static void
walk_keep(const ecl_walk_t *self, ecl_list_t *list)
{
   if (!self->raw) {
      list_flush(list);
      list_push(list, self->field - 1);
   } else {
      if (!list->run || list->run_end != self->cursor.element) {
         list_flush(list);
         list->run = self->cursor.element;
      }
      list->run_end = self->cursor.next;
   }
}

static ecl_value_t
walk_value(const ecl_walk_t *self)
{
   ecl_value_t v;

   if (!self->raw) {
      return self->field[-1].value;
   }
   ecl_cursor_value(&self->cursor, &v);
   return v;
}

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
names_init(ecl_names_t *self, ecl_arena_t *arena, uint32_t most)
{
   uint32_t size = 16;

   *self = (ecl_names_t){.fields = ecl_arena_array(arena, ecl_field_t, most)};
   if (most >= NAMES_BY_HASH) {
      while (size < 2 * (uint64_t)most) {
         size *= 2;
      }
      self->mask = size - 1;
      self->table = ecl_arena_array(arena, uint32_t, size);
      memset(self->table, 0, size * sizeof *self->table);
   }
}

static bool
is_named(const ecl_field_t *field, const char *key, uint32_t len)
{
   return field->key_len == len && memcmp(field->key, key, len) == 0;
}

/* The entry of that name, or NULL and the place in the table where it belongs. */
static ecl_field_t *
names_find(const ecl_names_t *self, const char *key, uint32_t len, uint32_t *place)
{
   if (!self->table) {
      for (uint32_t i = 0; i < self->n; i++) {
         if (is_named(&self->fields[i], key, len)) {
            return &self->fields[i];
         }
      }
      return NULL;
   }
   ecl_value_t name = ecl_string(key, len);
   uint64_t hash = ecl_hash(&name);

   for (uint32_t i = (uint32_t)(hash ^ (hash >> 32)) & self->mask;; i = (i + 1) & self->mask) {
      if (!self->table[i]) {
         *place = i;
         return NULL;
      }
      if (is_named(&self->fields[self->table[i] - 1], key, len)) {
         return &self->fields[self->table[i] - 1];
      }
   }
}

/* Of two values for one name the later stays, in the place of the earlier. */
static void
names_set(ecl_names_t *self, const char *key, uint32_t len, const ecl_value_t *value)
{
   uint32_t place = 0;
   ecl_field_t *known = names_find(self, key, len, &place);

   if (known) {
      known->value = *value;
      return;
   }
   self->fields[self->n++] = ecl_field(key, len, *value);
   if (self->table) {
      self->table[place] = self->n;
   }
}

static uint32_t
count_fields(const ecl_value_t *document)
{
   ecl_walk_t walk;
   const char *key;
   uint32_t len, n = 0;

   walk_init(&walk, document);
   while (walk_next(&walk, &key, &len)) {
      n++;
   }
   return n;
}

/* ---- $getField ---- */

/* An expression from text that was not in the source: `prefix` and name. */
static ecl_expr_t *
parse_text(ecl_parse_t *parse, const ecl_field_t *spec, const char *prefix, const ecl_value_t *name)
{
   size_t n = strlen(prefix);
   char *text = ecl_arena_alloc(parse->arena, n + name->len);
   ecl_field_t field = *spec;

   memcpy(text, prefix, n);
   if (name->len) {
      memcpy(text + n, name->u.str, name->len);
   }
   field.value = ecl_string(text, n + name->len);
   return ecl_parse_expr(parse, &field);
}

/* True for a name that a field path of one component can say. */
static bool
is_plain_name(const ecl_value_t *v)
{
   return v->len > 0 && v->u.str[0] != '$' && !memchr(v->u.str, '.', v->len) && !memchr(v->u.str, 0, v->len);
}

/* args: field, input */
ecl_expr_t *
ecl_op_getField_parse(ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   static const char *const names[] = {"field", "input"};
   const ecl_value_t none = ecl_string("", 0);
   ecl_field_t first = {0};
   ecl_iter_t iter;
   ecl_expr_t *e = ecl_parse_node(parse, op, spec, 2);

   if (spec->value.type == BSON_TYPE_DOCUMENT) {
      ecl_iter_init(&iter, &spec->value);
      ecl_iter_field(&iter, &first);
   }
   if (spec->value.type != BSON_TYPE_DOCUMENT || (first.key_len && first.key[0] == '$')) {
      /* {$getField: name}: of the current document; name may be an expression */
      e->args[0] = ecl_parse_expr(parse, spec);
      e->args[1] = e->args[0] ? parse_text(parse, spec, "$$CURRENT", &none) : NULL;
      if (!e->args[1]) {
         return NULL;
      }
   } else {
      ecl_field_t field;

      ecl_iter_init(&iter, &spec->value);
      while (ecl_iter_field(&iter, &field)) {
         uint32_t k = ecl_key_is(&field, "input");

         if (!ecl_key_is(&field, names[k])) {
            return ecl_parse_fail(parse, ecl_at(&field), 3041701, "$getField found an unknown argument: %.*s",
                                  (int)field.key_len, field.key);
         }
         e->args[k] = ecl_parse_expr(parse, &field);
         if (!e->args[k]) {
            return NULL;
         }
      }
      for (uint32_t k = 0; k < 2; k++) {
         if (!e->args[k]) {
            return ecl_parse_fail(parse, ecl_at(spec), 3041702 + k, "$getField requires '%s' to be specified",
                                  names[k]);
         }
      }
   }
   if (ecl_is_constant(e->args[0])) {
      const ecl_value_t *name = &e->args[0]->constant;

      if (name->type != BSON_TYPE_UTF8) {
         return ecl_parse_fail(parse, ecl_at(spec), 5654602,
                               "$getField requires 'field' to evaluate to type String, but got %s",
                               ecl_type_name(name->type));
      }
      /* What a field path can say too is made one: it reads one field and not the whole document. */
      if (e->args[1]->kind == ECL_EXPR_ROOT && is_plain_name(name)) {
         return parse_text(parse, spec, "$$ROOT.", name);
      }
   }
   return ecl_parse_fold(parse, e);
}

bool
ecl_op_getField(const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t name, input;

   if (!ecl_expr_eval(self->args[0], ev, &name)) {
      return false;
   }
   if (name.type != BSON_TYPE_UTF8) {
      return ecl_eval_fail(ev, self, 3041704, "$getField requires 'field' to evaluate to type String, but got %s",
                           ecl_type_name(name.type));
   }
   if (!ecl_expr_eval(self->args[1], ev, &input)) {
      return false;
   }
   if (input.type == BSON_TYPE_DOCUMENT) {
      *out = ecl_document_get(&input, name.u.str, name.len);
   } else if (input.type == BSON_TYPE_NULL || input.type == BSON_TYPE_UNDEFINED) {
      *out = ecl_null();
   } else {
      *out = ecl_missing();
   }
   return true;
}

/* ---- $setField, $unsetField ---- */

/* The name must stand there as a constant: a string, or one in $literal; what merely evaluates to one is refused. */
static bool
parse_constant_name(ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *field, ecl_expr_t **out)
{
   const ecl_value_t *v = &field->value;
   bool literal = v->type != BSON_TYPE_DOCUMENT && v->type != BSON_TYPE_ARRAY;

   if (v->type == BSON_TYPE_UTF8 && v->len && v->u.str[0] == '$') {
      ecl_parse_fail(parse, ecl_at(field), 4161108,
                     "'%.*s' is a field path reference which is not allowed in this context. Did you mean {$literal: "
                     "'%.*s'}?",
                     (int)v->len, v->u.str, (int)v->len, v->u.str);
      return false;
   }
   if (v->type == BSON_TYPE_DOCUMENT) {
      ecl_iter_t iter;
      ecl_field_t first;

      ecl_iter_init(&iter, v);
      literal = ecl_iter_field(&iter, &first) && (ecl_key_is(&first, "$literal") || ecl_key_is(&first, "$const"));
   }
   *out = ecl_parse_expr(parse, field);
   if (!*out) {
      return false;
   }
   if (!literal || !ecl_is_constant(*out)) {
      ecl_parse_fail(parse, ecl_at(field), 4161106,
                     "%s requires 'field' to evaluate to a constant, but got a non-constant argument", op->name);
      return false;
   }
   v = &(*out)->constant;
   if (v->type != BSON_TYPE_UTF8) {
      ecl_parse_fail(parse, ecl_at(field), 4161107, "%s requires 'field' to evaluate to type String, but got %s",
                     op->name, ecl_type_name(v->type));
      return false;
   }
   if (memchr(v->u.str, 0, v->len)) {
      ecl_parse_fail(parse, ecl_at(field), 16411, "%s: a field's name may not contain '\\0'", op->name);
      return false;
   }
   return true;
}

/* args: field, input, value (NULL for $unsetField) */
static ecl_expr_t *
parse_set_field(ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec, bool sets)
{
   ecl_iter_t iter;
   ecl_field_t field;
   ecl_field_t name = {0};
   ecl_expr_t *e;

   if (spec->value.type != BSON_TYPE_DOCUMENT) {
      return ecl_parse_fail(parse, ecl_at(spec), 4161100, "%s only supports an object as its argument, found %s",
                            op->name, ecl_type_name(spec->value.type));
   }
   e = ecl_parse_node(parse, op, spec, 3);
   ecl_iter_init(&iter, &spec->value);
   while (ecl_iter_field(&iter, &field)) {
      bool is_value = sets && ecl_key_is(&field, "value");

      if (ecl_key_is(&field, "field")) {
         name = field;
         continue;
      }
      if (!is_value && !ecl_key_is(&field, "input")) {
         return ecl_parse_fail(parse, ecl_at(&field), 4161101, "%s found an unknown argument: %.*s", op->name,
                               (int)field.key_len, field.key);
      }
      e->args[is_value ? 2 : 1] = ecl_parse_expr(parse, &field);
      if (!e->args[is_value ? 2 : 1]) {
         return NULL;
      }
   }
   if (!name.key) {
      return ecl_parse_fail(parse, ecl_at(spec), 4161102, "%s requires 'field' to be specified", op->name);
   }
   if (sets && !e->args[2]) {
      return ecl_parse_fail(parse, ecl_at(spec), 4161103, "%s requires 'value' to be specified", op->name);
   }
   if (!e->args[1]) {
      return ecl_parse_fail(parse, ecl_at(spec), 4161109, "%s requires 'input' to be specified", op->name);
   }
   return parse_constant_name(parse, op, &name, &e->args[0]) ? ecl_parse_fold(parse, e) : NULL;
}

ecl_expr_t *
ecl_op_setField_parse(ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return parse_set_field(parse, op, spec, true);
}

ecl_expr_t *
ecl_op_unsetField_parse(ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return parse_set_field(parse, op, spec, false);
}

/* The document with the field in its place, at the end where it is new, without it where the value is missing. */
bool
ecl_op_setField(const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   const ecl_value_t *name = &self->args[0]->constant;
   ecl_value_t input, value;
   bool found = false;
   const char *key;
   uint32_t len;
   ecl_walk_t walk;
   ecl_list_t list;

   if (!ecl_expr_eval(self->args[1], ev, &input)) {
      return false;
   }
   if (ecl_is_nullish(&input)) {
      *out = ecl_null();
      return true;
   }
   if (input.type != BSON_TYPE_DOCUMENT) {
      return ecl_eval_fail(ev, self, 4161105, "%s requires 'input' to evaluate to type Object, but got %s",
                           self->op->name, ecl_type_name(input.type));
   }
   if (!ecl_arg(self, 2, ev, &value)) {
      return false;
   }
   list_init(&list, &ev->arena, input.rep == ECL_REP_FIELDS ? input.len + 3 : 3);
   walk_init(&walk, &input);
   while (walk_next(&walk, &key, &len)) {
      if (len == name->len && memcmp(key, name->u.str, len) == 0) {
         if (!found) {
            list_add(&list, key, len, &value);
            found = true;
         }
      } else {
         walk_keep(&walk, &list);
      }
   }
   if (!found) {
      list_add(&list, name->u.str, name->len, &value);
   }
   *out = list_end(&list);
   return true;
}

bool
ecl_op_unsetField(const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return ecl_op_setField(self, ev, out);
}

/* ---- $mergeObjects ---- */

/* base with the fields of over: where base has one of that name its value is replaced in place, new ones follow. */
static ecl_value_t
merge(ecl_arena_t *arena, const ecl_value_t *base, const ecl_value_t *over)
{
   ecl_names_t names;
   ecl_walk_t walk;
   ecl_list_t list;
   const char *key;
   uint32_t len, place, n = count_fields(over);

   if (n == 0) {
      return *base;
   }
   names_init(&names, arena, n);
   walk_init(&walk, over);
   while (walk_next(&walk, &key, &len)) {
      ecl_value_t v = walk_value(&walk);

      names_set(&names, key, len, &v);
   }
   list_init(&list, arena, n + (base->rep == ECL_REP_FIELDS ? base->len : 1));
   walk_init(&walk, base);
   while (walk_next(&walk, &key, &len)) {
      ecl_field_t *known = names_find(&names, key, len, &place);

      if (known) {
         list_add(&list, known->key, known->key_len, &known->value);
         known->value = ecl_missing();
      } else {
         walk_keep(&walk, &list);
      }
   }
   for (uint32_t i = 0; i < names.n; i++) {
      list_add(&list, names.fields[i].key, names.fields[i].key_len, &names.fields[i].value);
   }
   return list_end(&list);
}

bool
ecl_op_mergeObjects(const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t result = ecl_missing();

   for (uint32_t i = 0; i < self->n; i++) {
      ecl_value_t v;

      if (!ecl_expr_eval(self->args[i], ev, &v)) {
         return false;
      }
      if (ecl_is_nullish(&v)) {
         continue;
      }
      if (v.type != BSON_TYPE_DOCUMENT) {
         return ecl_eval_fail(ev, self, 40400, "$mergeObjects requires object inputs, but input %s is of type %s",
                              ecl_value_text(&ev->arena, &v), ecl_type_name(v.type));
      }
      result = result.type == ECL_MISSING ? v : merge(&ev->arena, &result, &v);
   }
   *out = result.type == ECL_MISSING ? ecl_fields(NULL, 0) : result;
   return true;
}

/* ---- $objectToArray, $arrayToObject ---- */

bool
ecl_op_objectToArray(const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t document, *items;
   ecl_field_t *pairs;
   const char *key;
   uint32_t len, n;
   ecl_walk_t walk;

   if (!ecl_expr_eval(self->args[0], ev, &document)) {
      return false;
   }
   if (ecl_is_nullish(&document)) {
      *out = ecl_null();
      return true;
   }
   if (document.type != BSON_TYPE_DOCUMENT) {
      return ecl_eval_fail(ev, self, 40390, "$objectToArray requires a document input, found: %s",
                           ecl_type_name(document.type));
   }
   n = count_fields(&document);
   items = ecl_arena_array(&ev->arena, ecl_value_t, n);
   pairs = ecl_arena_array(&ev->arena, ecl_field_t, 2 * (size_t)n);
   walk_init(&walk, &document);
   for (uint32_t i = 0; i < n && walk_next(&walk, &key, &len); i++) {
      pairs[0] = ecl_field("k", 1, ecl_string(key, len));
      pairs[1] = ecl_field("v", 1, walk_value(&walk));
      items[i] = ecl_fields(pairs, 2);
      pairs += 2;
   }
   *out = ecl_vec(items, n);
   return true;
}

/* [name, value] */
static bool
pair_of_array(const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *item, ecl_value_t *key, ecl_value_t *value)
{
   ecl_iter_t iter;
   uint32_t n;

   if (item->type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail(ev, self, 40396,
                           "$arrayToObject requires a consistent input format: elements must all be arrays or all be "
                           "objects. Array was detected, now found: %s",
                           ecl_type_name(item->type));
   }
   n = ecl_array_count(item);
   if (n != 2) {
      return ecl_eval_fail(ev, self, 40397,
                           "$arrayToObject requires an array of size 2 arrays, found array of size: %u", n);
   }
   ecl_iter_init(&iter, item);
   ecl_iter_item(&iter, key);
   ecl_iter_item(&iter, value);
   if (key->type != BSON_TYPE_UTF8) {
      return ecl_eval_fail(ev, self, 40395,
                           "$arrayToObject requires an array of key-value pairs, where the key must be of type "
                           "string. Found key type: %s",
                           ecl_type_name(key->type));
   }
   if (memchr(key->u.str, 0, key->len)) {
      return ecl_eval_fail(ev, self, 4940400, "key field cannot contain an embedded null byte");
   }
   return true;
}

/* {k: name, v: value} */
static bool
pair_of_object(const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *item, ecl_value_t *key, ecl_value_t *value)
{
   uint32_t n;

   if (item->type != BSON_TYPE_DOCUMENT) {
      return ecl_eval_fail(ev, self, 40391,
                           "$arrayToObject requires a consistent input format: elements must all be arrays or all be "
                           "objects. Object was detected, now found: %s",
                           ecl_type_name(item->type));
   }
   n = count_fields(item);
   if (n != 2) {
      return ecl_eval_fail(ev, self, 40392,
                           "$arrayToObject requires an object keys of 'k' and 'v'. Found incorrect number of keys: %u",
                           n);
   }
   *key = ecl_document_get(item, "k", 1);
   *value = ecl_document_get(item, "v", 1);
   if (key->type == ECL_MISSING || value->type == ECL_MISSING) {
      return ecl_eval_fail(ev, self, 40393,
                           "$arrayToObject requires an object with keys 'k' and 'v'. Missing either or both keys");
   }
   if (key->type != BSON_TYPE_UTF8) {
      return ecl_eval_fail(ev, self, 40394,
                           "$arrayToObject requires an object with keys 'k' and 'v', where the value of 'k' must be "
                           "of type string. Found type: %s",
                           ecl_type_name(key->type));
   }
   if (memchr(key->u.str, 0, key->len)) {
      return ecl_eval_fail(ev, self, 4940401, "key field cannot contain an embedded null byte");
   }
   return true;
}

bool
ecl_op_arrayToObject(const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t array, item, key, value;
   bool (*pair)(const ecl_expr_t *, ecl_eval_t *, const ecl_value_t *, ecl_value_t *, ecl_value_t *) = NULL;
   ecl_names_t names;
   ecl_iter_t iter;

   if (!ecl_expr_eval(self->args[0], ev, &array)) {
      return false;
   }
   if (ecl_is_nullish(&array)) {
      *out = ecl_null();
      return true;
   }
   if (array.type != BSON_TYPE_ARRAY) {
      return ecl_eval_fail(ev, self, 40386, "$arrayToObject requires an array input, found: %s",
                           ecl_type_name(array.type));
   }
   names_init(&names, &ev->arena, ecl_array_count(&array));
   ecl_iter_init(&iter, &array);
   while (ecl_iter_item(&iter, &item)) {
      /* The first element tells the format of all. */
      if (!pair) {
         if (item.type != BSON_TYPE_ARRAY && item.type != BSON_TYPE_DOCUMENT) {
            return ecl_eval_fail(ev, self, 40398, "unrecognised input type format for $arrayToObject: %s",
                                 ecl_type_name(item.type));
         }
         pair = item.type == BSON_TYPE_ARRAY ? pair_of_array : pair_of_object;
      }
      if (!pair(self, ev, &item, &key, &value)) {
         return false;
      }
      names_set(&names, key.u.str, key.len, &value);
   }
   *out = ecl_fields(names.fields, names.n);
   return true;
}
