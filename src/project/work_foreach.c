/* Database migrations: foreach, its `let` and its `do`. See work.h. */
#include "project/work-private.h"

#include "base/ascii.h"
#include "mql/plan.h"

bool
ecl_work_is_let (const ecl_act_t *foreach, const ecl_value_t *value, const ecl_let_t **let)
{
   if (!foreach || !ecl_is_string (value) || value->len < 3 || memcmp (value->u.str, "$$", 2) != 0) {
      return false;
   }
   for (size_t i = 0; i < foreach->n_lets; i++) {
      if (strlen (foreach->lets[i].name) == value->len - 2 &&
          memcmp (foreach->lets[i].name, value->u.str + 2, value->len - 2) == 0) {
         if (let) {
            *let = &foreach->lets[i];
         }
         return true;
      }
   }
   return false;
}

static bool
is_let_name (const ecl_field_t *field)
{
   if (!field->key_len || field->key_len > 60 || field->key[0] < 'a' || field->key[0] > 'z') {
      return false;
   }
   for (uint32_t i = 1; i < field->key_len; i++) {
      char c = field->key[i];

      if (!ecl_is_letter (c) && !ecl_is_digit (c) && c != '_') {
         return false;
      }
   }
   return true;
}

static void
report_expression (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   ecl_work_reader_t *reader = context;

   reader->ok = ecl_text_diag (reader->text, reader->diags, ECL_DIAG_ERROR, ECL_DOMAIN_MQL, code,
                               at ? at : reader->text->doc, "%s", message);
}

static void
check_expression (ecl_work_reader_t *reader, const ecl_field_t *spec)
{
   ecl_arena_t arena;
   ecl_parse_t parse;
   ecl_eval_t folder;

   ecl_arena_init (&arena);
   ecl_eval_init (&folder);
   ecl_parse_init (&parse, &arena, &folder, report_expression, reader);
   (void) ecl_parse_expr (&parse, spec);
   ecl_eval_cleanup (&folder);
   ecl_arena_cleanup (&arena);
}

static void
read_lets (ecl_work_reader_t *reader, ecl_act_t *act, const ecl_field_t *spec)
{
   ecl_field_t field;
   ecl_let_t *lets;
   ecl_iter_t iter;
   size_t n = 0;

   if (!ecl_is_document (&spec->value)) {
      reader->ok = ecl_project_wrong_type (reader->text, reader->diags, spec, "a mapping of names to expressions");
      return;
   }
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      n++;
   }
   lets = ecl_arena_array (&reader->project->arena, ecl_let_t, n + 1);
   n = 0;
   ecl_iter_init (&iter, &spec->value);
   while (ecl_iter_field (&iter, &field)) {
      if (!is_let_name (&field)) {
         ecl_work_error (reader, ecl_at (&field),
                         "a name of let begins with a small letter and goes on with letters, digits and _");
         continue;
      }
      check_expression (reader, &field);
      lets[n++] = (ecl_let_t){ecl_arena_strndup (&reader->project->arena, field.key, field.key_len), field};
   }
   act->lets = lets;
   act->n_lets = n;
}

/* Outside of expressions a "$$name" that is no `let` would be written as it stands: surely a slip. */
static void
check_names (ecl_work_reader_t *reader, const ecl_field_t *field, bool expression)
{
   ecl_field_t child;
   ecl_iter_t iter;

   if (ecl_is_string (&field->value) && !expression && field->value.len > 2 &&
       memcmp (field->value.u.str, "$$", 2) == 0 && !ecl_work_is_let (reader->foreach, &field->value, NULL)) {
      ecl_work_error (reader, ecl_at (field),
                      "\"%.*s\" is no name of this foreach's let, and would be taken as it stands",
                      (int) field->value.len, field->value.u.str);
   }
   if (ecl_is_document (&field->value) || ecl_is_array (&field->value)) {
      ecl_iter_init (&iter, &field->value);
      while (ecl_iter_field (&iter, &child)) {
         bool pipeline = ecl_key_is (&child, "update") && ecl_is_array (&child.value);

         check_names (reader, &child, expression || pipeline || ecl_key_is (&child, "$expr"));
      }
   }
}

void
ecl_work_read_foreach (ecl_work_reader_t *reader, ecl_act_t *act, const ecl_field_t *let, const ecl_field_t *body)
{
   const ecl_act_t *outer = reader->foreach;

   if (outer) {
      ecl_work_error (reader, act->at,
                      "a foreach in a foreach is not supported: join in its query, with $unwind or $lookup");
      return;
   }
   if (let->key) {
      read_lets (reader, act, let);
   }
   if (!body->key || !ecl_is_array (&body->value) || !ecl_array_count (&body->value)) {
      ecl_work_error (reader, body->key ? ecl_at (body) : act->at, "foreach needs do: a list of statements");
      return;
   }
   reader->foreach = act;
   check_names (reader, body, false);
   ecl_work_read_acts (reader, body, &act->acts, &act->n_acts);
   reader->foreach = outer;
   if (reader->ok && ecl_act_flag (act, ECL_ARG_TRANSACTION)) {
      ecl_work_lint_rows (reader, act);
   }
}
