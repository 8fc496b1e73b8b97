/* A foreach and the lines of its `do`: when it begins again, the rows are read again. See work_lint.c.
 *
 * So no line may change what a `let` was computed from, unless that row does not come again by then; and a line that
 * takes a row out of the query is the last one, or those behind it are not done for that row.
 */
#include "project/work_lint-private.h"

#include "bson/make.h"

/* ---- rows that do not come again ---- */

/* {_id: $$id} with let: {id: $_id} */
static bool
is_on_the_row (const ecl_act_t *foreach, const ecl_act_t *act)
{
   const ecl_value_t *from = ecl_act_arg (foreach, ECL_ARG_FIND), *filter = ecl_act_arg (act, ECL_ARG_FILTER);
   const ecl_let_t *let;
   ecl_value_t id;

   if (!foreach->args[ECL_ARG_FIND].key || !act->args[ECL_ARG_FILTER].key || !ecl_is_document (filter) ||
       !ecl_same_text (ecl_act_arg (act, ECL_ARG_COLLECTION), from)) {
      return false;
   }
   id = ecl_document_get (filter, "_id", 3);
   return ecl_work_is_let (foreach, &id, &let) && ecl_text_is (&let->spec.value, "$_id");
}

/* Whether the statement takes the row out of the query of the foreach: it is on the row's document, and deletes it or
 * makes it one that the query's filter does not find. */
static bool
takes_row_away (const ecl_act_t *foreach, const ecl_act_t *act)
{
   const ecl_field_t *rows = &foreach->args[ECL_ARG_FILTER];
   ecl_effect_t effect;
   ecl_arena_t arena;
   ecl_name_t from;
   bool takes = false;

   if (act->kind == ECL_ACT_BULK_WRITE) {
      for (size_t i = 0; i < act->n_acts && !takes; i++) {
         takes = takes_row_away (foreach, &act->acts[i]);
      }
      return takes;
   }
   if (!is_on_the_row (foreach, act)) {
      return false;
   }
   if (act->kind == ECL_ACT_DELETE_ONE || act->kind == ECL_ACT_DELETE_MANY) {
      return true;
   }
   ecl_arena_init (&arena);
   ecl_effect_init (&effect, &arena, foreach);
   takes = rows->key && ecl_is_document (&rows->value) && ecl_effect_of (&effect, act) &&
           ecl_effect_guard (&effect, &rows->value, &from) == ECL_GUARD_HOLDS;
   ecl_arena_cleanup (&arena);
   return takes;
}

/* What a row is found by; missing where the query does not begin with that. */
static ecl_value_t
filter_of_rows (const ecl_act_t *foreach)
{
   ecl_value_t pipeline = *ecl_act_arg (foreach, ECL_ARG_PIPELINE), first;
   ecl_iter_t iter;

   if (!ecl_is_array (&pipeline)) {
      return *ecl_act_arg (foreach, ECL_ARG_FILTER);
   }
   ecl_iter_init (&iter, &pipeline);
   return ecl_iter_item (&iter, &first) && ecl_is_document (&first) ? ecl_document_get (&first, "$match", 6)
                                                                    : ecl_missing ();
}

/* Notes what the filter says its documents hold: the constants in it, as if they were set. */
static void
add_constants (ecl_effect_t *effect, const ecl_value_t *filter)
{
   uint32_t n, k = 0;
   const ecl_field_t *fields = ecl_document_fields (effect->arena, filter, &n);
   ecl_field_t *constants = ecl_arena_array (effect->arena, ecl_field_t, n + 1);
   ecl_value_t set;

   for (uint32_t i = 0; i < n; i++) {
      const ecl_value_t *value = &fields[i].value;
      bool constant = ecl_is_string (value) || ecl_is_number (value) || value->type == BSON_TYPE_BOOL;

      if (constant && fields[i].key_len && fields[i].key[0] != '$' && !ecl_work_is_let (effect->foreach, value, NULL)) {
         constants[k++] = fields[i];
      }
   }
   if (k) {
      set = ecl_make_object (effect->arena, "$set", ecl_fields (constants, k));
      ecl_effect_add_update (effect, &set);
   }
}

/* Whether rows may be among what the statement (no bulk) deletes, or changes so that the query does not find it. */
static bool
may_take_rows_away (const ecl_act_t *foreach, const ecl_act_t *act)
{
   const ecl_arg_t source = foreach->args[ECL_ARG_FIND].key ? ECL_ARG_FIND : ECL_ARG_AGGREGATE;
   bool deletes = act->kind == ECL_ACT_DELETE_ONE || act->kind == ECL_ACT_DELETE_MANY, ruled_out;
   ecl_value_t rows = filter_of_rows (foreach);
   ecl_effect_t effect;
   ecl_arena_t arena;
   ecl_name_t from;

   if (act->kind == ECL_ACT_INSERT) {
      return false;
   }
   if (!ecl_same_text (ecl_act_arg (act, ECL_ARG_COLLECTION), ecl_act_arg (foreach, source))) {
      return deletes &&
             ecl_pipeline_looks_into (ecl_act_arg (foreach, ECL_ARG_PIPELINE), ecl_act_arg (act, ECL_ARG_COLLECTION));
   }
   ecl_arena_init (&arena);
   ecl_effect_init (&effect, &arena, foreach);
   if (!deletes) {
      (void) ecl_effect_of (&effect, act);
   } else if (ecl_is_document (ecl_act_arg (act, ECL_ARG_FILTER))) {
      add_constants (&effect, ecl_act_arg (act, ECL_ARG_FILTER));
   }
   ruled_out = ecl_is_document (&rows) && ecl_effect_guard (&effect, &rows, &from) == ECL_GUARD_HOLDS;
   ecl_arena_cleanup (&arena);
   return ruled_out != deletes;
}

void
ecl_work_lint_rows (ecl_work_reader_t *reader, const ecl_act_t *act)
{
   const ecl_field_t *projection = &act->args[ECL_ARG_PROJECTION];
   const uint8_t *at = ecl_at (&act->args[ECL_ARG_TRANSACTION]);
   ecl_value_t id = projection->key ? ecl_document_get (&projection->value, "_id", 3) : ecl_missing ();

   if (!act->args[ECL_ARG_FIND].key) {
      ecl_work_error (reader, at,
                      "a transaction for each row needs find: the row is looked at again in its transaction");
      return;
   }
   if (id.type != ECL_MISSING && !ecl_truthy (&id)) {
      ecl_work_error (reader, at, "a transaction for each row needs the rows' _id, which the projection leaves out");
      return;
   }
   for (size_t i = 0; i < act->n_acts; i++) {
      if (takes_row_away (act, &act->acts[i])) {
         return;
      }
   }
   if (!act->repeatable) {
      ecl_work_error (reader, at,
                      "nothing in do takes the row out of the query, so after a crash it would be done again: let an "
                      "updateOne with {_id: …} of the row set what the query's filter rules out, or delete the row, or "
                      "say `repeatable: because …`");
   }
}

/* ---- what a `let` is computed from ---- */

typedef struct {
   ecl_work_reader_t *reader;
   const ecl_act_t *foreach;
   const ecl_act_t *line;
   size_t at;
   const ecl_write_t *write;
} rows_t;

static bool
is_apart (void *context, const ecl_name_t *path)
{
   const ecl_write_t *write = context;

   return !ecl_paths_overlap (path, &write->path);
}

/* Whether the value of a let may change by the write. */
static bool
is_read (const rows_t *self, const ecl_let_t *let)
{
   if (!ecl_expression_reads (&let->spec.value, is_apart, (void *) self->write)) {
      return true;
   }
   /* An aggregate gives fields that it made from others. */
   return self->foreach->args[ECL_ARG_PIPELINE].key &&
          !ecl_expression_reads (ecl_act_arg (self->foreach, ECL_ARG_PIPELINE), is_apart, (void *) self->write);
}

static bool
names (const ecl_value_t *value, const ecl_let_t *let)
{
   ecl_act_t one = {.lets = let, .n_lets = 1};

   return ecl_names_let (&one, value);
}

/* Whether the line writes the value of the let into documents, and another one when the value is another. An insert
 * before the write stays as it was: its key is taken. */
static bool
hands_on (const rows_t *self, const ecl_act_t *line, size_t at, const ecl_let_t *let)
{
   static const ecl_arg_t written[] = {ECL_ARG_UPDATE, ECL_ARG_REPLACEMENT, ECL_ARG_DOCUMENT, ECL_ARG_DOCUMENTS};

   if (line->kind == ECL_ACT_BULK_WRITE) {
      for (size_t i = 0; i < line->n_acts; i++) {
         if (hands_on (self, &line->acts[i], at, let)) {
            return true;
         }
      }
      return false;
   }
   if (line->repeatable || (line->kind == ECL_ACT_INSERT && at < self->at)) {
      return false;
   }
   for (size_t i = 0; i < sizeof written / sizeof written[0]; i++) {
      if (line->args[written[i]].key && names (&line->args[written[i]].value, let)) {
         return true;
      }
   }
   return false;
}

/* Whether the line finds other documents when the value of the let is another: it would change some that were not meant,
 * or leave those that were. One that is found by its _id stays the same one. */
static bool
finds_by (const ecl_act_t *line, const ecl_let_t *let)
{
   const ecl_value_t *filter = ecl_act_arg (line, ECL_ARG_FILTER);
   ecl_value_t id;

   if (line->kind == ECL_ACT_BULK_WRITE) {
      for (size_t i = 0; i < line->n_acts; i++) {
         if (finds_by (&line->acts[i], let)) {
            return true;
         }
      }
      return false;
   }
   if (line->repeatable || !line->args[ECL_ARG_FILTER].key || !names (filter, let)) {
      return false;
   }
   id = ecl_is_document (filter) ? ecl_document_get (filter, "_id", 3) : ecl_missing ();
   return ecl_is_missing (&id) || names (&id, let);
}

/* {email: {$toLower: $email}}, set into email of the row itself. */
static bool
is_its_own (const rows_t *self, const ecl_let_t *let)
{
   return is_on_the_row (self->foreach, self->line) && self->write->kind == ECL_WRITE_SET &&
          ecl_work_is_let (self->foreach, &self->write->value, NULL) && names (&self->write->value, let) &&
          ecl_expression_is_stable (&let->spec.value, &self->write->path);
}

/* Whether the write is harmless for the let: what else reads it sees the same, or does not come again. */
static bool
is_harmless (const rows_t *self, const ecl_let_t *let, bool guarded)
{
   bool others = false, finds = false;

   for (size_t i = 0; i < self->foreach->n_acts; i++) {
      others |= i != self->at && hands_on (self, &self->foreach->acts[i], i, let);
      finds |= i != self->at && finds_by (&self->foreach->acts[i], let);
   }
   if (finds && !may_take_rows_away (self->foreach, self->line)) {
      return false;
   }
   if (!others && !hands_on (self, self->line, self->at, let)) {
      return true;
   }
   return !others && (guarded || is_its_own (self, let));
}

static void
lint_line (rows_t *self, const ecl_act_t *line)
{
   const ecl_act_t *foreach = self->foreach;
   const ecl_arg_t source = foreach->args[ECL_ARG_FIND].key ? ECL_ARG_FIND : ECL_ARG_AGGREGATE;
   ecl_effect_t effect;
   ecl_arena_t arena;
   ecl_name_t from;
   bool guarded;

   if (line->kind == ECL_ACT_BULK_WRITE) {
      for (size_t i = 0; i < line->n_acts; i++) {
         lint_line (self, &line->acts[i]);
      }
      return;
   }
   if (line->repeatable || !ecl_same_text (ecl_act_arg (line, ECL_ARG_COLLECTION), ecl_act_arg (foreach, source))) {
      return;
   }
   ecl_arena_init (&arena);
   ecl_effect_init (&effect, &arena, foreach);
   self->line = line;
   if (ecl_effect_of (&effect, line)) {
      guarded = takes_row_away (foreach, line) ||
                ecl_effect_guard (&effect, ecl_act_arg (line, ECL_ARG_FILTER), &from) == ECL_GUARD_HOLDS;
      for (size_t i = 0; i < effect.n; i++) {
         self->write = &effect.items[i];
         for (size_t j = 0; j < foreach->n_lets && effect.items[i].kind != ECL_WRITE_KEPT; j++) {
            const ecl_let_t *let = &foreach->lets[j];

            if (is_read (self, let) && !is_harmless (self, let, guarded || takes_row_away (foreach, line))) {
               ecl_work_error (
                  self->reader, self->write->at,
                  "this cannot be repeated after a crash, do reads what it writes: %s is computed from what "
                  "this changes, and would be computed again from what was written; let it also set what "
                  "the query's filter rules out, use transaction: true, or say `repeatable: because …`",
                  let->name);
               i = effect.n;
               break;
            }
         }
      }
   }
   ecl_arena_cleanup (&arena);
}

/* An insert into the collection that is gone through: what it makes may be a row the next time. */
static void
lint_insert (rows_t *self, const ecl_act_t *line)
{
   const ecl_act_t *foreach = self->foreach;
   const ecl_arg_t source = foreach->args[ECL_ARG_FIND].key ? ECL_ARG_FIND : ECL_ARG_AGGREGATE;
   const ecl_field_t *one = &line->args[ECL_ARG_DOCUMENT];
   ecl_value_t filter = filter_of_rows (foreach);
   ecl_effect_t effect;
   ecl_arena_t arena;
   ecl_name_t from;

   if (line->kind != ECL_ACT_INSERT || line->repeatable ||
       !ecl_same_text (ecl_act_arg (line, ECL_ARG_COLLECTION), ecl_act_arg (foreach, source))) {
      return;
   }
   ecl_arena_init (&arena);
   ecl_effect_init (&effect, &arena, foreach);
   if (one->key) {
      ecl_effect_add_document (&effect, &one->value, ecl_at (one));
   }
   if (!one->key || ecl_effect_guard (&effect, &filter, &from) != ECL_GUARD_HOLDS) {
      ecl_work_error (
         self->reader, line->at,
         "this cannot be repeated after a crash, do reads what it writes: what is inserted may be a row the "
         "next time; let the query's filter rule it out, insert into another collection, or say "
         "`repeatable: because …`");
   }
   ecl_arena_cleanup (&arena);
}

/* ---- one after the other ---- */

typedef struct {
   const ecl_effect_t *writes;
} later_t;

static bool
is_left_alone (void *context, const ecl_name_t *path)
{
   const later_t *later = context;

   for (size_t i = 0; i < later->writes->n; i++) {
      if (later->writes->items[i].kind != ECL_WRITE_KEPT && ecl_paths_overlap (&later->writes->items[i].path, path)) {
         return false;
      }
   }
   return true;
}

/* Whether the later one changes what the first one reads, by its filter or in its expressions, and leaves its documents
 * such that the first one finds them again. */
static bool
disturbs (const ecl_act_t *foreach, const ecl_act_t *first, const ecl_act_t *later)
{
   const ecl_value_t *filter = ecl_act_arg (first, ECL_ARG_FILTER);
   ecl_effect_t reads, writes;
   later_t left = {.writes = &writes};
   ecl_arena_t arena;
   ecl_name_t from;
   bool bad = false;

   if (!first->args[ECL_ARG_FILTER].key || first->repeatable || later->repeatable ||
       !ecl_same_text (ecl_act_arg (first, ECL_ARG_COLLECTION), ecl_act_arg (later, ECL_ARG_COLLECTION))) {
      return false;
   }
   ecl_arena_init (&arena);
   ecl_effect_init (&reads, &arena, foreach);
   ecl_effect_init (&writes, &arena, foreach);
   if (ecl_effect_of (&writes, later)) {
      (void) ecl_effect_of (&reads, first);
      bad = ecl_effect_touches (&writes, filter);
      for (size_t i = 0; i < reads.n && !bad; i++) {
         bad = !ecl_expression_reads (&reads.items[i].expression, is_left_alone, &left);
      }
      bad = bad && ecl_effect_guard (&writes, filter, &from) != ECL_GUARD_HOLDS;
   }
   ecl_arena_cleanup (&arena);
   return bad;
}

/* Operations of bulks stand for themselves. */
static size_t
flatten (const ecl_act_t *acts, size_t n, const ecl_act_t **out)
{
   size_t all = 0;

   for (size_t i = 0; i < n; i++) {
      if (acts[i].kind == ECL_ACT_BULK_WRITE) {
         all += flatten (acts[i].acts, acts[i].n_acts, out ? out + all : NULL);
      } else {
         if (out) {
            out[all] = &acts[i];
         }
         all++;
      }
   }
   return all;
}

void
ecl_lint_sequence (ecl_work_reader_t *reader, const ecl_act_t *foreach, const ecl_act_t *acts, size_t n)
{
   size_t all = flatten (acts, n, NULL);
   const ecl_act_t **list = ecl_arena_array (&reader->project->arena, const ecl_act_t *, all + 1);

   (void) flatten (acts, n, list);
   for (size_t i = 0; i < all; i++) {
      for (size_t j = i + 1; j < all; j++) {
         if (disturbs (foreach, list[i], list[j])) {
            ecl_work_error (
               reader, list[i]->at,
               "this cannot be repeated after a crash, it looks at what a later one changes, and both would "
               "be done again: make them steps of their own, use a transaction, or say `repeatable: "
               "because …`");
            break;
         }
      }
   }
}

/* Only the last one may take rows out of the query. */
static void
lint_order (ecl_work_reader_t *reader, const ecl_act_t *foreach)
{
   size_t n = flatten (foreach->acts, foreach->n_acts, NULL);
   const ecl_act_t **list = ecl_arena_array (&reader->project->arena, const ecl_act_t *, n + 1);

   (void) flatten (foreach->acts, foreach->n_acts, list);
   for (size_t i = 0; i + 1 < n; i++) {
      if (!list[i]->repeatable && may_take_rows_away (foreach, list[i])) {
         ecl_work_error (
            reader, list[i]->at,
            "after this the query may not find the row again: after a crash the lines behind it would not be done "
            "for it; put it last, or use transaction: true, or say `repeatable: because …`");
      }
   }
}

/* ---- */

void
ecl_lint_rows (ecl_work_reader_t *reader, const ecl_act_t *act)
{
   rows_t self = {.reader = reader, .foreach = act};

   for (size_t i = 0; i < act->n_acts && !ecl_act_flag (act, ECL_ARG_TRANSACTION); i++) {
      const ecl_act_t *line = &act->acts[i];

      self.at = i;
      lint_line (&self, line);
      lint_insert (&self, line);
   }
   if (!ecl_act_flag (act, ECL_ARG_TRANSACTION)) {
      lint_order (reader, act);
      ecl_lint_sequence (reader, act, act->acts, act->n_acts);
   }
}
