/* JSON: the parser, over bytes in memory or bytes that come in pieces. */
#ifndef ECL_TEXT_JSON_H
#define ECL_TEXT_JSON_H

#include "text/build.h"

typedef struct {
   const uint8_t *p; /* the next byte */
   const uint8_t *end;
   /* Where more comes from: sets p and end and returns true, or false at the end. NULL where there is no more. */
   bool (*refill) (void *ctx, const uint8_t **p, const uint8_t **end);
   void *ctx;
   uint32_t line;
   uint32_t column; /* of the next byte */
   ecl_build_t *build;
   ecl_buf_t token; /* a number */
} ecl_json_t;

void
ecl_json_init (ecl_json_t *self, ecl_build_t *build, const void *bytes, size_t n);

void
ecl_json_cleanup (ecl_json_t *self);

/* Skips white space; false at the end. */
bool
ecl_json_skip (ecl_json_t *self);

/* One value into the builder. False where it is not well-formed, too deep or too large, which was said; what is wrong
 * in its meaning is said and does not count here. */
bool
ecl_json_value (ecl_json_t *self) ECL_MUST_CHECK;

/* A syntax error at the next byte, or at the end. Returns false. */
bool
ecl_json_expected (ecl_json_t *self, const char *what);

static inline ecl_place_t
ecl_json_place (const ecl_json_t *self)
{
   return (ecl_place_t){self->line, self->column};
}

#endif
