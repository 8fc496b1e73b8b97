/* Fuzz target: pipelines. The first byte says whether the rest is text (YAML or JSON) or BSON; what is a pipeline then
 * is parsed and run on a few documents. */
#include "fuzz_mql.h"

static const char *const documents[] = {
   "{}",
   "{_id: 1, a: 1, b: 2.5, c: x, d: [1, 2, 3], e: {x: 1, y: [{z: 1}, {z: 2}]}}",
   "{_id: {x: 1}, a: [{x: 1}, {x: 2}, 3], b: {$date: '2017-07-04T11:56:02.813Z'}, c: {$numberDecimal: '1.50'}, d: é}",
};
#define N_DOCUMENTS (sizeof documents / sizeof documents[0])

static void
run_pipeline (const ecl_value_t *pipeline, const ecl_value_t *whole, bool update)
{
   static ecl_text_t texts[N_DOCUMENTS];
   ecl_plan_options_t options = {
      .report = fuzz_report,
      .report_context = (void *) (uintptr_t) whole,
      .update = update,
      .allow_now = true,
      .max_size = 1 << 20,
   };
   ecl_plan_t *plan = ecl_plan_new (&options);
   ecl_eval_t ev;
   bool read, written;
   size_t n;

   if (ecl_plan_add_pipeline (plan, pipeline, NULL)) {
      ecl_plan_link (plan);
      const ecl_plan_path_t *paths = ecl_plan_paths (plan, &n, &read, &written);

      for (size_t i = 0; i < n; i++) {
         FUZZ_ASSERT (paths[i].path && (paths[i].read || paths[i].written));
      }
      ecl_eval_init (&ev);
      for (size_t i = 0; i < N_DOCUMENTS; i++) {
         if (!texts[i].doc) {
            fuzz_text (&texts[i], documents[i]);
         }
         /* Behind the {"": …} of a value of any kind. */
         fuzz_run (plan, &ev, texts[i].doc + 6, texts[i].len - 7);
      }
      ecl_eval_cleanup (&ev);
   }
   ecl_plan_destroy (plan);
}

/* Loops in loops take the time that they take, on a server too: what the author wrote is not hostile. Few are enough.
 */
static bool
modest (const uint8_t *data, size_t size)
{
   static const char *const loops[] = {"$map", "$filter", "$reduce", "$range", "$regex", "$zip", "$let"};
   size_t n = 0;

   for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++) {
      const uint8_t *p = data;
      size_t len = strlen (loops[i]);

      while ((p = memmem (p, size - (size_t) (p - data), loops[i], len))) {
         p += len;
         n++;
      }
   }
   return n <= 3;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
   ecl_text_source_t source = {.name = "fuzz", .bytes = data + 1, .len = size - 1};
   ecl_text_t text;
   ecl_diags_t diags;
   ecl_value_t root, list;

   if (size < 1 || !modest (data + 1, size - 1)) {
      return 0;
   }
   if (data[0] & 1) {
      uint8_t *bson = malloc (size > 1 ? size - 1 : 1);

      memcpy (bson, data + 1, size - 1);
      /* Everything that is parsed has passed this. */
      if (ecl_bson_validate (bson, size - 1, NULL)) {
         root = list = ecl_raw_document (bson, size - 1);
         list.type = BSON_TYPE_ARRAY;
         run_pipeline (&list, &root, data[0] & 2);
      }
      free (bson);
      return 0;
   }
   ecl_text_init (&text);
   ecl_diags_init (&diags);
   if (ecl_text_read_any (&text, &source, ECL_TEXT_ANY_VALUE, &diags)) {
      root = ecl_raw_document (text.doc, text.len);
      list = ecl_document_get (&root, "", 0);
      run_pipeline (&list, &root, data[0] & 2);
   }
   ecl_diags_cleanup (&diags);
   ecl_text_cleanup (&text);
   return 0;
}
