/* Fuzz target: evaluation on hostile BSON. The first two bytes choose an expression and the stage that it stands in;
 * the rest is the document, as it comes: cut, nested without end, with lengths that lie and strings that are no UTF-8.
 */
#include "fuzz_mql.h"

#include "../common/expressions.h"

#define X(text) text,
static const char *const expressions[] = {ECL_TEST_EXPRESSIONS (X)};
#undef X
#define N_EXPRESSIONS (sizeof expressions / sizeof expressions[0])

/* %s is the expression. The first form binds fields to slots, the second reads them from a whole document. */
static const char *const stages[] = {
   "[{$set: {r: %s}}]",
   "[{$replaceWith: {$mergeObjects: [$$ROOT, {r: %s}]}}]",
   "[{$set: {a.x: %s, b.x.y: 1}}, {$unset: [c, d.x]}, {$set: {z: $a}}]",
   "[{$project: {a.x: 1, b: 1, r: %s}}, {$project: {b.x: 0}}]",
   "[{$replaceWith: {$ifNull: [$a, {r: %s}]}}, {$set: {a: $b, r: $$ROOT}}]",
};
#define N_STAGES (sizeof stages / sizeof stages[0])

static ecl_plan_t *plans[N_EXPRESSIONS][N_STAGES];

static void
refuse (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   (void) context;
   (void) at;
   fprintf (stderr, "%u: %s\n", code, message);
}

static const ecl_plan_t *
plan_of (size_t e, size_t s)
{
   static ecl_text_t texts[N_EXPRESSIONS][N_STAGES];
   ecl_plan_options_t options = {.report = refuse};

   if (!plans[e][s]) {
      char *yaml = bson_strdup_printf (stages[s], expressions[e]);
      ecl_value_t pipeline = fuzz_text (&texts[e][s], yaml);

      plans[e][s] = ecl_plan_new (&options);
      FUZZ_ASSERT (ecl_plan_add_pipeline (plans[e][s], &pipeline, NULL));
      ecl_plan_link (plans[e][s]);
      bson_free (yaml);
   }
   return plans[e][s];
}

/* Each operator that is not refused is in an expression, and all expressions can be parsed. */
static void
check_complete (void)
{
   const ecl_operator_t *op;

   for (size_t i = 0; (op = ecl_operator_at (i)); i++) {
      char *start = bson_strdup_printf ("{%s:", op->name);
      bool there = op->refused != NULL;

      for (size_t e = 0; e < N_EXPRESSIONS && !there; e++) {
         there = strncmp (expressions[e], start, strlen (start)) == 0;
      }
      if (!there) {
         fprintf (stderr, "%s is in no expression of tests/common/expressions.h\n", op->name);
      }
      FUZZ_ASSERT (there);
      bson_free (start);
   }
   for (size_t e = 0; e < N_EXPRESSIONS; e++) {
      for (size_t s = 0; s < N_STAGES; s++) {
         plan_of (e, s);
      }
   }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
   static ecl_eval_t ev;
   static bool begun;

   if (!begun) {
      check_complete ();
      ecl_eval_init (&ev);
      begun = true;
   }
   if (size < 2) {
      return 0;
   }
   /* A copy of its own length, so that a read past the document is seen. */
   uint8_t *document = malloc (size - 2 ? size - 2 : 1);

   memcpy (document, data + 2, size - 2);
   fuzz_run (plan_of ((data[0] | (data[1] & 0x80u) << 1) % N_EXPRESSIONS, (data[1] & 0x7F) % N_STAGES), &ev, document,
             size - 2);
   free (document);
   return 0;
}
