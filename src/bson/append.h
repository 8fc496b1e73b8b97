/* Our values into libbson's documents. */
#ifndef ECL_BSON_APPEND_H
#define ECL_BSON_APPEND_H

#include "bson/value.h"

/* Appends a value of any type and representation; nothing where it is missing. */
void
ecl_append_value (bson_t *doc, const char *key, const ecl_value_t *value);

#endif
