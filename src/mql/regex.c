/* Regular expressions: see regex.h. */
#include "mql/regex.h"

struct ecl_regex_state_t {
   int unused;
};

void
ecl_regex_state_destroy (ecl_regex_state_t *self)
{
   bson_free (self);
}
