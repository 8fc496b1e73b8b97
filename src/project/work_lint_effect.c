/* What an update writes, path by path, and what is known of each path afterwards. See work_lint.c.
 *
 *    {$set: {a: 1}, $unset: {b: 1}}        a set, gives 1 · b removed
 *    [{$set: {c: "$d"}}, {$unset: "d"}]    stage 0: c set, as d · stage 1: d removed
 *    [{$project: {e: 1, f: "$g"}}]         "" removed · _id and e kept · f set, as g
 *
 * Whoever writes "a.b" means a document in a. Only where more would be done to the others (guards) is it asked whether
 * there could be a list: a pipeline's $set writes nothing into an empty list, $unset passes lists over.
 */
#include "project/work_lint-private.h"

#include "base/ascii.h"

void
ecl_effect_init (ecl_effect_t *self, ecl_arena_t *arena, const ecl_act_t *foreach)
{
   *self = (ecl_effect_t){.arena = arena, .foreach = foreach};
}

/* ---- paths ---- */

static ecl_name_t
name_of (const char *text, size_t len)
{
   return (ecl_name_t){text, (uint32_t) len};
}

bool
ecl_path_covers (const ecl_name_t *a, const ecl_name_t *b)
{
   return a->len == 0 ||
          (a->len <= b->len && memcmp (a->str, b->str, a->len) == 0 && (a->len == b->len || b->str[a->len] == '.'));
}

bool
ecl_paths_overlap (const ecl_name_t *a, const ecl_name_t *b)
{
   return ecl_path_covers (a, b) || ecl_path_covers (b, a);
}

static bool
is_dotted (const ecl_name_t *path)
{
   return path->len && memchr (path->str, '.', path->len) != NULL;
}

/* "items.$[i].n": up to the part that says which elements. */
static ecl_name_t
up_to_position (const char *key, size_t len)
{
   for (size_t i = 0; i + 1 < len; i++) {
      if (key[i] == '.' && key[i + 1] == '$') {
         return name_of (key, i);
      }
   }
   return name_of (key, len);
}

/* "items.0.n" may be in a list, or not. */
static bool
has_number (const ecl_name_t *path)
{
   for (uint32_t i = 1; i < path->len; i++) {
      if (path->str[i - 1] == '.' && ecl_is_digit (path->str[i])) {
         return true;
      }
   }
   return false;
}

static ecl_write_t *
add (ecl_effect_t *self, ecl_write_kind_t kind, ecl_name_t path, const uint8_t *at)
{
   ecl_write_t *write;

   if (self->n == self->cap) {
      size_t cap = self->cap ? 2 * self->cap : 16;

      self->items =
         ecl_arena_grow (self->arena, self->items, self->cap * sizeof *self->items, cap * sizeof *self->items);
      self->cap = cap;
   }
   write = &self->items[self->n++];
   memset (write, 0, sizeof *write);
   write->kind = kind;
   write->path = path;
   write->at = at;
   write->stage = self->stages;
   if (kind == ECL_WRITE_REMOVED) {
      write->gives = ECL_GIVES_MISSING;
   }
   return write;
}

/* ---- operators ---- */

/* What a $push or $addToSet puts into the list. */
static void
note_held (ecl_write_t *write, const ecl_act_t *foreach, const ecl_value_t *spec)
{
   ecl_value_t each = ecl_is_document (spec) ? ecl_document_get (spec, "$each", 5) : ecl_missing (), item = *spec;
   ecl_iter_t iter;

   if (ecl_is_array (&each)) {
      ecl_value_t slice = ecl_document_get (spec, "$slice", 6);

      ecl_iter_init (&iter, &each);
      if (slice.type != ECL_MISSING || !ecl_iter_item (&iter, &item)) {
         return;
      }
   }
   if (!ecl_names_let (foreach, &item)) {
      write->gives = ECL_GIVES_HOLDS;
      write->value = item;
   }
}

static void
add_operator (ecl_effect_t *self, const ecl_field_t *op, const ecl_field_t *field)
{
   static const char *const single[] = {"$inc", "$mul", "$push", "$pop", NULL};
   ecl_name_t path = up_to_position (field->key, field->key_len);
   bool whole = path.len == field->key_len, plain = !ecl_names_let (self->foreach, &field->value);
   ecl_write_t *write = add (self, ecl_key_is (op, "$unset") ? ECL_WRITE_REMOVED : ECL_WRITE_SET, path, ecl_at (field));
   ecl_value_t ignored;

   if (ecl_is_one_of (op, single) || (ecl_key_is (op, "$bit") && ecl_is_document (&field->value) &&
                                      ecl_document_get (&field->value, "xor", 3).type != ECL_MISSING)) {
      write->again = "twice is not once";
   }
   if (!whole) {
      /* The next element that matches is another one. */
      if (path.len + 2 <= field->key_len && (path.len + 2 == field->key_len || field->key[path.len + 2] == '.')) {
         write->from = name_of (ecl_arena_printf (self->arena, "%.*s%.*s", (int) path.len, path.str,
                                                  (int) (field->key_len - path.len - 2), field->key + path.len + 2),
                                field->key_len - 2);
      }
      write->kind = ECL_WRITE_SET;
      write->gives = ECL_GIVES_UNKNOWN;
      return;
   }
   if (has_number (&path)) {
      write->gives = ECL_GIVES_UNKNOWN;
   } else if (ecl_key_is (op, "$unset")) {
      write->in_list = is_dotted (&path);
      write->gives = write->in_list ? ECL_GIVES_UNKNOWN : ECL_GIVES_MISSING;
   } else if (ecl_key_is (op, "$set")) {
      write->value = field->value;
      write->gives = plain ? ECL_GIVES_VALUE
                     : ecl_work_is_let (self->foreach, &field->value, NULL)
                        ? ecl_expression_gives (self->foreach, &field->value, &ignored, &write->from)
                        : ECL_GIVES_SOME;
      write->from = name_of ("", 0);
   } else if (ecl_key_is (op, "$push") || ecl_key_is (op, "$addToSet")) {
      write->gives = ECL_GIVES_SOME;
      note_held (write, self->foreach, &field->value);
   } else if (ecl_key_is (op, "$pull") && plain && !ecl_is_document (&field->value)) {
      write->gives = ECL_GIVES_LACKS;
      write->value = field->value;
   } else if (ecl_key_is (op, "$inc") && plain) {
      write->gives = ECL_GIVES_MORE;
      write->value = field->value;
   } else if (ecl_key_is (op, "$mul") || ecl_key_is (op, "$bit") || ecl_key_is (op, "$currentDate")) {
      write->gives = ECL_GIVES_SCALAR;
   } else if (plain && (ecl_key_is (op, "$inc") || ecl_key_is (op, "$min") || ecl_key_is (op, "$max"))) {
      write->gives = ECL_GIVES_SOME;
   } else if (ecl_key_is (op, "$rename") && ecl_is_string (&field->value)) {
      write->kind = ECL_WRITE_REMOVED;
      write->gives = ECL_GIVES_MISSING;
      write->again = "a second time it would take what was written there since";
      write = add (self, ECL_WRITE_SET, name_of (field->value.u.str, field->value.len), ecl_at (field));
      write->gives = ECL_GIVES_AS;
      write->from = path;
   }
}

/* ---- stages ---- */

static void
set (ecl_effect_t *self, ecl_name_t path, const ecl_value_t *expression, const uint8_t *at)
{
   ecl_write_t *write = add (self, ECL_WRITE_SET, path, at);

   write->gives = ecl_expression_gives (self->foreach, expression, &write->value, &write->from);
   write->expression = write->gives == ECL_GIVES_VALUE ? ecl_missing () : *expression;
   if (ecl_text_is (expression, "$$REMOVE")) {
      write->kind = ECL_WRITE_REMOVED;
      write->gives = ECL_GIVES_MISSING;
      write->expression = ecl_missing ();
   } else if (is_dotted (&path)) {
      write->in_list = true;
      write->gives = ECL_GIVES_UNKNOWN;
   }
}

static ecl_name_t
join (ecl_effect_t *self, const ecl_name_t *above, const ecl_field_t *field)
{
   return above->len ? name_of (ecl_arena_printf (self->arena, "%.*s.%.*s", (int) above->len, above->str,
                                                  (int) field->key_len, field->key),
                                above->len + 1u + field->key_len)
                     : name_of (field->key, field->key_len);
}

static bool
is_number_or_bool (const ecl_value_t *value)
{
   return ecl_is_number (value) || value->type == BSON_TYPE_BOOL;
}

static bool
has_fields (const ecl_value_t *document)
{
   ecl_field_t field;
   ecl_iter_t iter;

   ecl_iter_init (&iter, document);
   return ecl_iter_field (&iter, &field);
}

/* Fields of $set and of $project: {a: {b: 1}} is "a.b". */
static void
add_fields (ecl_effect_t *self, const ecl_value_t *spec, const ecl_name_t *above, bool project)
{
   ecl_field_t field;
   ecl_iter_t iter;

   ecl_iter_init (&iter, spec);
   while (ecl_iter_field (&iter, &field)) {
      ecl_name_t path = join (self, above, &field);

      if (project && is_number_or_bool (&field.value)) {
         add (self, ecl_truthy (&field.value) ? ECL_WRITE_KEPT : ECL_WRITE_REMOVED, path, ecl_at (&field));
      } else if (ecl_is_document (&field.value) && !ecl_is_operator (&field.value) && has_fields (&field.value)) {
         add_fields (self, &field.value, &path, project);
      } else {
         set (self, path, &field.value, ecl_at (&field));
      }
   }
}

/* Whether a $project says what goes, not what stays. */
static bool
excludes (const ecl_value_t *spec)
{
   ecl_field_t field;
   ecl_iter_t iter;
   bool any = false;

   ecl_iter_init (&iter, spec);
   while (ecl_iter_field (&iter, &field)) {
      if (ecl_key_is (&field, "_id")) {
         continue;
      }
      any = true;
      if (ecl_is_document (&field.value) && !ecl_is_operator (&field.value)) {
         return excludes (&field.value);
      }
      if (!is_number_or_bool (&field.value) || ecl_truthy (&field.value)) {
         return false;
      }
   }
   return any || ecl_document_get (spec, "_id", 3).type != ECL_MISSING;
}

static void
add_project (ecl_effect_t *self, const ecl_value_t *spec, const uint8_t *at)
{
   ecl_name_t top = name_of ("", 0);

   if (!excludes (spec)) {
      add (self, ECL_WRITE_REMOVED, top, at);
      add (self, ECL_WRITE_KEPT, name_of ("_id", 3), at);
   }
   add_fields (self, spec, &top, true);
}

/* The keys of an object that is made: each is a field as a whole. */
static void
add_keys (ecl_effect_t *self, const ecl_value_t *object)
{
   ecl_field_t field;
   ecl_iter_t iter;

   ecl_iter_init (&iter, object);
   while (ecl_iter_field (&iter, &field)) {
      bool same = ecl_is_string (&field.value) && field.value.len == field.key_len + 1u &&
                  field.value.u.str[0] == '$' && memcmp (field.value.u.str + 1, field.key, field.key_len) == 0;

      if (same) {
         add (self, ECL_WRITE_KEPT, name_of (field.key, field.key_len), ecl_at (&field));
      } else {
         set (self, name_of (field.key, field.key_len), &field.value, ecl_at (&field));
      }
   }
}

/* {$mergeObjects: [$$ROOT, {…}, …]}: like $set. */
static bool
add_merged (ecl_effect_t *self, const ecl_value_t *expression)
{
   ecl_field_t op;
   ecl_value_t item;
   ecl_iter_t iter;
   size_t n = 0;

   if (!ecl_only_field (expression, &op) || !ecl_key_is (&op, "$mergeObjects") || !ecl_is_array (&op.value)) {
      return false;
   }
   ecl_iter_init (&iter, &op.value);
   for (; ecl_iter_item (&iter, &item); n++) {
      if (n == 0 ? !ecl_is_root (&item) : !ecl_is_document (&item) || ecl_is_operator (&item)) {
         return false;
      }
   }
   ecl_iter_init (&iter, &op.value);
   (void) ecl_iter_item (&iter, &item);
   n = self->n;
   while (ecl_iter_item (&iter, &item)) {
      add_keys (self, &item);
   }
   /* Where a value is missing the field stays as it was. */
   for (; n < self->n; n++) {
      ecl_write_t *write = &self->items[n];

      if (write->gives == ECL_GIVES_UNKNOWN || write->gives == ECL_GIVES_AS) {
         write->also = write->path;
      }
   }
   return true;
}

static void
add_replace (ecl_effect_t *self, const ecl_value_t *expression, const uint8_t *at)
{
   if (add_merged (self, expression)) {
      return;
   }
   if (!ecl_is_document (expression) || ecl_is_operator (expression)) {
      /* After it, what was there is known to be gone only where the author says so: $literal. */
      set (self, name_of ("", 0), expression, at);
      return;
   }
   add (self, ECL_WRITE_REMOVED, name_of ("", 0), at);
   add (self, ECL_WRITE_KEPT, name_of ("_id", 3), at);
   add_keys (self, expression);
}

static void
add_unset (ecl_effect_t *self, const ecl_field_t *stage)
{
   ecl_field_t field;
   ecl_iter_t iter;

   if (ecl_is_string (&stage->value)) {
      add (self, ECL_WRITE_REMOVED, name_of (stage->value.u.str, stage->value.len), ecl_at (stage));
   } else if (ecl_is_array (&stage->value)) {
      ecl_iter_init (&iter, &stage->value);
      while (ecl_iter_field (&iter, &field)) {
         if (ecl_is_string (&field.value)) {
            add (self, ECL_WRITE_REMOVED, name_of (field.value.u.str, field.value.len), ecl_at (&field));
         }
      }
   }
}

/* What is found elsewhere is no matter here; what it is looked for by is. */
static void
add_lookup (ecl_effect_t *self, const ecl_field_t *stage)
{
   ecl_value_t as, local, let;
   ecl_write_t *write;

   if (!ecl_is_document (&stage->value)) {
      self->unclear = true;
      return;
   }
   as = ecl_document_get (&stage->value, "as", 2);
   local = ecl_document_get (&stage->value, "localField", 10);
   let = ecl_document_get (&stage->value, "let", 3);
   if (!ecl_is_string (&as)) {
      self->unclear = true;
      return;
   }
   write = add (self, ECL_WRITE_SET, name_of (as.u.str, as.len), ecl_at (stage));
   write->gives = ECL_GIVES_UNKNOWN;
   write->expression = let;
   if (ecl_is_string (&local)) {
      write->also = name_of (local.u.str, local.len);
   }
}

static void
add_stage (ecl_effect_t *self, const ecl_field_t *stage, bool aggregate)
{
   static const char *const indifferent[] = {"$match", "$sort", NULL};
   ecl_name_t top = name_of ("", 0);

   if ((ecl_key_is (stage, "$set") || ecl_key_is (stage, "$addFields")) && ecl_is_document (&stage->value)) {
      add_fields (self, &stage->value, &top, false);
   } else if (ecl_key_is (stage, "$unset")) {
      add_unset (self, stage);
   } else if (ecl_key_is (stage, "$project") && ecl_is_document (&stage->value)) {
      add_project (self, &stage->value, ecl_at (stage));
   } else if (ecl_key_is (stage, "$replaceWith")) {
      add_replace (self, &stage->value, ecl_at (stage));
   } else if (ecl_key_is (stage, "$replaceRoot") && ecl_is_document (&stage->value)) {
      ecl_value_t root = ecl_document_get (&stage->value, "newRoot", 7);

      add_replace (self, &root, ecl_at (stage));
   } else if (aggregate && ecl_key_is (stage, "$lookup")) {
      add_lookup (self, stage);
   } else if (!aggregate || !ecl_is_one_of (stage, indifferent)) {
      self->unclear = true;
   }
   self->stages++;
}

static void
add_pipeline (ecl_effect_t *self, const ecl_value_t *pipeline, bool aggregate)
{
   uint32_t n = ecl_array_count (pipeline), i = 0;
   ecl_value_t entry;
   ecl_field_t stage;
   ecl_iter_t iter;

   self->pipeline = true;
   ecl_iter_init (&iter, pipeline);
   for (; ecl_iter_item (&iter, &entry); i++) {
      if (aggregate && i + 1 == n) {
         break;
      }
      if (ecl_only_field (&entry, &stage)) {
         add_stage (self, &stage, aggregate);
      }
   }
}

/* ---- */

void
ecl_effect_add_update (ecl_effect_t *self, const ecl_value_t *update)
{
   ecl_field_t op, field;
   ecl_iter_t iter, paths;

   if (ecl_is_array (update)) {
      add_pipeline (self, update, false);
   } else if (ecl_is_document (update)) {
      ecl_iter_init (&iter, update);
      while (ecl_iter_field (&iter, &op)) {
         if (ecl_is_document (&op.value) && !ecl_key_is (&op, "$setOnInsert")) {
            ecl_iter_init (&paths, &op.value);
            while (ecl_iter_field (&paths, &field)) {
               add_operator (self, &op, &field);
            }
         }
      }
   }
}

void
ecl_effect_add_document (ecl_effect_t *self, const ecl_value_t *document, const uint8_t *at)
{
   ecl_field_t field;
   ecl_iter_t iter;

   add (self, ECL_WRITE_REMOVED, name_of ("", 0), at);
   if (!ecl_is_document (document)) {
      add (self, ECL_WRITE_SET, name_of ("", 0), at)->gives = ECL_GIVES_UNKNOWN; /* a row says what it is */
      return;
   }
   add (self, ECL_WRITE_KEPT, name_of ("_id", 3), at);
   ecl_iter_init (&iter, document);
   while (ecl_iter_field (&iter, &field)) {
      static const char key[] = "$set";
      ecl_field_t op = ecl_field (key, sizeof key - 1, ecl_missing ());

      add_operator (self, &op, &field);
   }
}

void
ecl_effect_add_stages (ecl_effect_t *self, const ecl_value_t *pipeline)
{
   add_pipeline (self, pipeline, true);
}

bool
ecl_effect_of (ecl_effect_t *self, const ecl_act_t *act)
{
   const ecl_field_t *update = &act->args[ECL_ARG_UPDATE], *replacement = &act->args[ECL_ARG_REPLACEMENT];

   self->collation = act->args[ECL_ARG_COLLATION].key != NULL;
   if (update->key) {
      ecl_effect_add_update (self, &update->value);
   } else if (replacement->key) {
      ecl_effect_add_document (self, &replacement->value, ecl_at (replacement));
   }
   return update->key || replacement->key;
}
