/* What the fuzz targets of src/mql share: pipelines from text, and what must hold for a result. */
#ifndef FUZZ_MQL_H
#define FUZZ_MQL_H

#include "fuzz.h"

#include "mql/plan.h"

static inline void
fuzz_report (void *context, const uint8_t *at, uint32_t code, const char *message)
{
   const ecl_value_t *bson = context;

   (void) code;
   FUZZ_ASSERT (message && *message);
   /* A problem is at an element of what was parsed, or nowhere. */
   FUZZ_ASSERT (!at || !bson || (at >= bson->u.raw && at < bson->u.raw + bson->len));
}

/* Reads YAML that is known to be right: {"": value}. */
static inline ecl_value_t
fuzz_text (ecl_text_t *text, const char *yaml)
{
   ecl_text_source_t source = {.name = "fuzz", .bytes = yaml, .len = strlen (yaml)};
   ecl_diags_t diags;
   ecl_value_t root;

   ecl_text_init (text);
   ecl_diags_init (&diags);
   FUZZ_ASSERT (ecl_text_read_yaml (text, &source, ECL_TEXT_ANY_VALUE, &diags));
   ecl_diags_cleanup (&diags);
   root = ecl_raw_document (text->doc, text->len);
   return ecl_document_get (&root, "", 0);
}

/* Runs a plan on bytes that may be anything. Where the input is a document so is the result, and a second run gives
 * the same; where it is not, nothing outside of it is read, which the sanitizers see. */
static inline void
fuzz_run (const ecl_plan_t *plan, ecl_eval_t *ev, const uint8_t *data, size_t size)
{
   bool valid = ecl_bson_validate (data, size, NULL);
   const uint8_t *out;
   size_t len;
   bson_error_t error = {0};
   bool ok = ecl_plan_run (plan, ev, data, size, &out, &len, &error);

   FUZZ_ASSERT (ok || error.message[0]);
   if (!valid) {
      return;
   }
   if (ok) {
      uint8_t *copy = malloc (len);
      const uint8_t *again;
      size_t again_len;

      /* A result may be nested as deep as a document may, and one level more for each stage; see ecl_bson_validate. */
      FUZZ_ASSERT (ecl_bson_validate (out, len, &error) || error.code == ECL_ERROR_TOO_DEEP);
      memcpy (copy, out, len);
      FUZZ_ASSERT (ecl_plan_run (plan, ev, data, size, &again, &again_len, NULL));
      FUZZ_ASSERT (again_len == len && memcmp (again, copy, len) == 0);
      free (copy);
   } else {
      bson_error_t second = {0};

      FUZZ_ASSERT (!ecl_plan_run (plan, ev, data, size, &out, &len, &second));
      FUZZ_ASSERT (second.code == error.code);
   }
}

#endif
