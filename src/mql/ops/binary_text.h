/* Binary data as text and back: the formats of $convert. */
#ifndef ECL_MQL_OPS_BINARY_TEXT_H
#define ECL_MQL_OPS_BINARY_TEXT_H

#include "bson/value.h"

typedef enum {
   ECL_FORMAT_NONE, /* not given */
   ECL_FORMAT_AUTO,
   ECL_FORMAT_BASE64,
   ECL_FORMAT_BASE64URL,
   ECL_FORMAT_HEX,
   ECL_FORMAT_UTF8,
   ECL_FORMAT_UUID,
} ecl_binary_format_t;

/* False where there is no format of that name. */
bool
ecl_binary_format_find (const char *name, size_t len, ecl_binary_format_t *format);

/* *binary (not AUTO, UTF8 or NONE) as a string in the arena. */
ecl_value_t
ecl_binary_encode (ecl_arena_t *arena, ecl_binary_format_t format, const ecl_value_t *binary);

/* The bytes that the text stands for, in the arena; false where it is malformed. */
bool
ecl_binary_decode (ecl_arena_t *arena, ecl_binary_format_t format, const ecl_value_t *text, const uint8_t **bytes,
                   uint32_t *len);

#endif
