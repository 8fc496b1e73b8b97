/* Updates by chance: what lint takes for repeatable is tried on documents, once and twice
 * (src/project/work_lint*.c). */
#include "project_check.h"

#include "mql/match.h"
#include "mql/plan.h"
#include "upgrade/diff.h"

#include <inttypes.h>

typedef struct {
   uint64_t state;
   char text[4096];
   size_t len;
} chance_t;

static uint32_t
draw (chance_t *self, uint32_t below)
{
   self->state = self->state * 6364136223846793005u + 1442695040888963407u;
   return (uint32_t) (self->state >> 33) % below;
}

static void
say (chance_t *self, const char *text)
{
   size_t len = strlen (text);

   if (self->len + len < sizeof self->text) {
      memcpy (self->text + self->len, text, len + 1);
      self->len += len;
   }
}

static const char *
pick_path (chance_t *self)
{
   static const char *const paths[] = {"a", "b", "c", "d", "o", "o.x", "o.y"};

   return paths[draw (self, sizeof paths / sizeof paths[0])];
}

static const char *
pick_constant (chance_t *self)
{
   static const char *const constants[] = {"0", "1", "null", "true", "\"x\"", "\"y\"", "[]", "5"};

   return constants[draw (self, sizeof constants / sizeof constants[0])];
}

#define SWITCH                                                                                                     \
   "{\"$switch\": {\"branches\": [{\"case\": {\"$eq\": [\"$P\", C]}, \"then\": C}, {\"case\": {\"$eq\": [\"$P\", " \
   "C]}, "                                                                                                         \
   "\"then\": C}], \"default\": \"$P\"}}"

/* P: a path, often that of the field which is set; C: a constant; E: an expression. */
static void
expand (chance_t *self, const char *form, const char *own, int depth)
{
   static const char *const forms[] = {
      "\"$P\"",
      "C",
      "{\"$add\": [\"$P\", 1]}",
      "{\"$concat\": [\"$P\", \"x\"]}",
      "{\"$toLower\": \"$P\"}",
      "{\"$toLower\": {\"$trim\": {\"input\": \"$P\"}}}",
      "{\"$toString\": {\"$ifNull\": [\"$P\", C]}}",
      "{\"$ifNull\": [\"$P\", C]}",
      "{\"$ifNull\": [\"$P\", \"$P\"]}",
      "{\"$ifNull\": [\"$P\", E, C]}",
      "{\"$cond\": [{\"$eq\": [\"$P\", C]}, E, E]}",
      "{\"$cond\": [{\"$eq\": [\"$P\", C]}, C, \"$P\"]}",
      "{\"$cond\": [{\"$isArray\": [\"$P\"]}, \"$P\", [\"$P\"]]}",
      SWITCH,
      "{\"$setUnion\": [{\"$ifNull\": [\"$P\", []]}, [C]]}",
      "{\"$setDifference\": [\"$P\", [C]]}",
      "[\"$P\"]",
      "{\"x\": \"$P\"}",
      "{\"$mergeObjects\": [\"$P\", {\"y\": C}]}",
      "{\"$mergeObjects\": [{\"y\": E}, \"$P\"]}",
      "\"$$ROOT\"",
      "\"$$ROOT.P\"",
      "{\"$getField\": \"P\"}",
      "{\"$max\": [\"$P\", C]}",
      "{\"$max\": [\"$P\", E]}",
      "{\"$literal\": \"$P\"}",
      "{\"$slice\": [\"$P\", 1]}",
      "{\"$slice\": [\"$P\", 1, 1]}",
      "{\"$filter\": {\"input\": \"$P\", \"cond\": {\"$ne\": [\"$$this\", C]}}}",
      "{\"$map\": {\"input\": \"$P\", \"as\": \"e\", \"in\": {\"$ifNull\": [\"$$e\", C]}}}",
      "{\"$map\": {\"input\": \"$P\", \"in\": [\"$$this\"]}}",
      "{\"$type\": \"$P\"}",
      "{\"$not\": [\"$P\"]}",
      "{\"$let\": {\"vars\": {\"v\": \"$P\"}, \"in\": {\"$ifNull\": [\"$$v\", E]}}}"};

   for (; *form; form++) {
      if (*form == 'P') {
         say (self, own && draw (self, 2) ? own : pick_path (self));
      } else if (*form == 'C') {
         say (self, pick_constant (self));
      } else if (*form == 'E') {
         expand (self, forms[depth > 2 ? 0 : draw (self, sizeof forms / sizeof forms[0])], own, depth + 1);
      } else {
         say (self, (char[]){*form, 0});
      }
   }
}

static void
say_stage (chance_t *self)
{
   const char *a = pick_path (self), *b = pick_path (self);
   char form[256];

   switch (draw (self, 9)) {
   case 0:
      snprintf (form, sizeof form, "{\"$unset\": \"%s\"}", a);
      break;
   case 1:
      snprintf (form, sizeof form, "{\"$project\": {\"%s\": 1, \"%s\": E}}", a, b);
      break;
   case 2:
      snprintf (form, sizeof form, "{\"$project\": {\"%s\": 0}}", a);
      break;
   case 3:
      snprintf (form, sizeof form, "{\"$replaceWith\": {\"$mergeObjects\": [\"$$ROOT\", {\"%c\": E}]}}", *a);
      break;
   case 4:
      snprintf (form, sizeof form, "{\"$replaceWith\": {\"%c\": \"$%c\", \"%c\": E}}", *a, *a, *b);
      break;
   case 5:
      snprintf (form, sizeof form, "{\"$set\": {\"%s\": E, \"%s\": E}}", a, b);
      break;
   default:
      snprintf (form, sizeof form, "{\"$set\": {\"%s\": E}}", a);
   }
   expand (self, form, a, 0);
}

static void
say_filter (chance_t *self)
{
   static const char *const forms[] = {"{}",
                                       "{}",
                                       "{\"P\": {\"$exists\": false}}",
                                       "{\"P\": {\"$exists\": true}}",
                                       "{\"P\": {\"$ne\": C}}",
                                       "{\"P\": C}",
                                       "{\"P\": {\"$not\": {\"$gte\": 1}}, \"P\": {\"$exists\": true}}",
                                       "{\"$or\": [{\"P\": C}, {\"P\": {\"$exists\": false}}]}",
                                       "{\"$nor\": [{\"P\": C}]}",
                                       "{\"P\": {\"$type\": \"string\"}}",
                                       "{\"$expr\": {\"$eq\": [\"$P\", C]}}"};

   expand (self, forms[draw (self, sizeof forms / sizeof forms[0])], NULL, 0);
}

static bson_t *
make_document (chance_t *self)
{
   static const char *const values[] = {NULL,     NULL,    "null", "0",  "1",          "5",        "\"x\"",
                                        "\"Y \"", "\"y\"", "true", "[]", "[1, \"x\"]", "[[null]]", "{\"x\": 1}"};
   static const char *const objects[] = {
      NULL, "null", "5", "\"x\"", "{}", "{\"x\": 1}", "{\"x\": \"Y\", \"y\": null}", "{\"y\": [1]}"};
   static const char *const names[] = {"a", "b", "c", "d"};
   chance_t out = {.len = 0};
   const char *value;

   say (&out, "{\"_id\": 1");
   for (size_t i = 0; i < 4; i++) {
      value = values[draw (self, sizeof values / sizeof values[0])];
      if (value) {
         expand (&out, ", \"", NULL, 0);
         say (&out, names[i]);
         say (&out, "\": ");
         say (&out, value);
      }
   }
   value = objects[draw (self, sizeof objects / sizeof objects[0])];
   if (value) {
      say (&out, ", \"o\": ");
      say (&out, value);
   }
   say (&out, "}");
   return bson_new_from_json ((const uint8_t *) out.text, -1, NULL);
}

static bool
matches (const ecl_match_t *match, ecl_eval_t *ev, const bson_t *document)
{
   ecl_value_t value = ecl_raw_document (bson_get_data (document), document->len);
   bool matched = false;

   return ecl_match_run (match, ev, &value, &matched, NULL) && matched;
}

/* NULL where it fails. */
static bson_t *
update (const ecl_plan_t *plan, ecl_eval_t *ev, const bson_t *document)
{
   const uint8_t *out;
   size_t len;

   ecl_arena_reset (&ev->arena);
   return ecl_plan_run (plan, ev, bson_get_data (document), document->len, &out, &len, NULL)
             ? bson_new_from_data (out, len)
             : NULL;
}

static bool
same_documents (const bson_t *a, const bson_t *b)
{
   ecl_value_t x = ecl_raw_document (bson_get_data (a), a->len), y = ecl_raw_document (bson_get_data (b), b->len);

   return ecl_diff_same (&x, &y);
}

/* Whether documents that were changed, and are found again, stay as they are; *tried counts those that were changed. */
static bool
is_repeatable (const ecl_act_t *act, chance_t *chance, size_t *tried)
{
   ecl_plan_options_t options = {.update = true};
   ecl_plan_t *plan = ecl_plan_new (&options);
   ecl_match_t *match = ecl_match_new (ecl_act_arg (act, ECL_ARG_FILTER), NULL);
   bool good = true;
   ecl_eval_t ev;

   ecl_eval_init (&ev);
   if (match && ecl_plan_add_pipeline (plan, ecl_act_arg (act, ECL_ARG_UPDATE), NULL)) {
      ecl_plan_link (plan);
      for (int i = 0; i < 60 && good; i++) {
         bson_t *document = make_document (chance), *once, *twice;

         assert_non_null (document);
         once = matches (match, &ev, document) ? update (plan, &ev, document) : NULL;
         if (once && !bson_equal (once, document)) {
            (*tried)++;
         }
         if (once && matches (match, &ev, once)) {
            twice = update (plan, &ev, once);
            good = twice && same_documents (once, twice);
            if (!good) {
               char *a = bson_as_relaxed_extended_json (document, NULL),
                    *b = bson_as_relaxed_extended_json (once, NULL),
                    *c = twice ? bson_as_relaxed_extended_json (twice, NULL) : bson_strdup ("an error");

               print_error ("%s\nonce  %s\ntwice %s\n", a, b, c);
               bson_free (a);
               bson_free (b);
               bson_free (c);
            }
            bson_destroy (twice);
         }
         bson_destroy (once);
         bson_destroy (document);
      }
   }
   if (match) {
      ecl_match_destroy (match);
   }
   ecl_plan_destroy (plan);
   ecl_eval_cleanup (&ev);
   return good;
}

static void
test_by_chance (void **state)
{
   chance_t *chance = bson_malloc0 (sizeof *chance);
   size_t taken = 0, refused = 0, tried = 0, wrong = 0, n;

   (void) state;
   for (uint64_t seed = 1; seed <= 5000; seed++) {
      ecl_project_options_t options = {.getenv = no_environment};
      ecl_project_t *project;
      ecl_diags_t diags;
      uint32_t stages;

      chance->state = seed * 0x9E3779B97F4A7C15u;
      chance->len = 0;
      stages = 1 + draw (chance, 3);
      say (chance, "{\"up\": [{\"updateMany\": {\"collection\": \"a\", \"filter\": ");
      say_filter (chance);
      say (chance, ", \"update\": [");
      for (uint32_t i = 0; i < stages; i++) {
         say (chance, i ? ", " : "");
         say_stage (chance);
      }
      say (chance, "]}}]}");
      ecl_diags_init (&diags);
      project = load (&options, NULL, (file_t[]){{"20260101_a.json", chance->text}, {0}}, &diags);
      if (diags.n) {
         refused++;
      } else {
         taken++;
         if (!is_repeatable (ecl_project_works (project, &n)->up.acts, chance, &tried)) {
            print_error ("seed %" PRIu64 ": %s\n", seed, chance->text);
            wrong++;
         }
      }
      ecl_diags_cleanup (&diags);
      ecl_project_destroy (project);
   }
   bson_free (chance);
   print_message ("# %zu taken, %zu refused; %zu documents changed\n", taken, refused, tried);
   assert_int_equal (wrong, 0);
   assert_true (taken > 1000 && refused > 1000 && tried > 10000);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {cmocka_unit_test (test_by_chance)};

   return cmocka_run_group_tests (tests, NULL, NULL);
}
