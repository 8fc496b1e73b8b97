/* Fuzz target: YAML. What is read must come back, byte for byte, from its canonical Extended JSON. */
#include "fuzz.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
   ecl_text_source_t source = {.name = "fuzz", .bytes = data, .len = size};
   ecl_text_t text;
   ecl_diags_t diags;

   ecl_text_init (&text);
   ecl_diags_init (&diags);
   if (ecl_text_read_yaml (&text, &source, ECL_TEXT_ANY_VALUE, &diags)) {
      fuzz_map (&text);
      fuzz_round_trip (&text);
   }
   fuzz_diags (&diags);
   if (ecl_text_read_any (&text, &source, ECL_TEXT_DEFAULT, &diags)) {
      fuzz_map (&text);
   }
   ecl_diags_cleanup (&diags);
   ecl_text_cleanup (&text);
   return 0;
}
