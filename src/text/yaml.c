/* YAML. */
#include "text/build.h"
bool
ecl_text_read_yaml (ecl_text_t *self, const ecl_text_source_t *source, ecl_text_flags_t flags, ecl_diags_t *diags)
{
   (void) flags;
   ecl_text_cleanup (self);
   return ecl_diags_add (diags, ECL_DIAG_ERROR, ECL_DOMAIN_TEXT, ECL_ERROR_UNSUPPORTED, source->name, 0, 0, NULL, "yaml");
}
