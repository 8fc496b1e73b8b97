/* Builder: what the YAML and the JSON reader write into.
 *
 * It puts BSON straight into the text's buffer as {"": root} and keeps a stack of the open mappings and arrays:
 *
 *    frames   [ {"": … ]  [ up: [ … ]  [ {$set: … ]
 *    buf      len 03 "" 00 len 04 up 00 len 03 0 00 len 03 $set 00 len …
 *                           ^ element     ^ start
 *
 * When a mapping that holds the key of an Extended JSON type wrapper ends, it is read back from the buffer and replaced
 * by its value, so that wrappers within wrappers are values already. The keys of the open mappings lie on one stack;
 * at the end of a mapping its keys are sorted to find doubles.
 */
#ifndef ECL_TEXT_BUILD_H
#define ECL_TEXT_BUILD_H

#include "text/text.h"

typedef struct {
   uint32_t line;
   uint32_t column;
} ecl_place_t;

typedef struct {
   size_t start;     /* of the document in buf */
   size_t element;   /* of the last element in buf */
   size_t n_marks;   /* marks that go with the element's own and all before it */
   size_t first_key; /* of this mapping in keys */
   uint32_t n;       /* elements */
   bool array;
   bool wrapper;      /* a key that only type wrappers have was seen */
   bool bad;          /* something in it was wrong: not converted, to report it once */
   ecl_place_t place; /* of the mapping or array */
   ecl_place_t value; /* of the last value */
} ecl_frame_t;

typedef struct {
   uint32_t offset; /* of the key's bytes in buf */
   ecl_place_t place;
} ecl_key_t;

typedef struct {
   ecl_text_t *text;
   ecl_buf_t *buf; /* of text */
   ecl_diags_t *diags;
   ecl_text_flags_t flags;
   ecl_buf_t scratch; /* a converted value */
   ecl_key_t *keys;
   size_t n_keys;
   size_t cap_keys;
   bool stopped; /* too deep or too large: nothing is written any more */
   size_t depth; /* open frames */
   ecl_frame_t frames[ECL_TEXT_DEPTH + 1];
} ecl_build_t;

/* Before a source is read: the text is empty and named after it. False, which was said, where the source is too large. */
bool
ecl_build_start (ecl_text_t *text, const ecl_text_source_t *source, ecl_diags_t *diags) ECL_MUST_CHECK;

/* text is initialised; it is emptied and written to until finish. */
void
ecl_build_init (ecl_build_t *self, ecl_text_t *text, ecl_text_flags_t flags, ecl_diags_t *diags);

void
ecl_build_cleanup (ecl_build_t *self);

/* Empties the text for the next document, keeps the memory. */
void
ecl_build_restart (ecl_build_t *self);

/* A key: begin, then append its bytes with ecl_build_bytes, then end. */
void
ecl_build_key_begin (ecl_build_t *self, ecl_place_t place);

void
ecl_build_key_end (ecl_build_t *self);

/* A value: first its place, then one of the rest. */
void
ecl_build_value (ecl_build_t *self, ecl_place_t place);

/* A mapping or an array; false where it is too deep, which stops. */
bool
ecl_build_open (ecl_build_t *self, bool array);

void
ecl_build_close (ecl_build_t *self);

void
ecl_build_null (ecl_build_t *self);

void
ecl_build_bool (ecl_build_t *self, bool value);

/* int32 where it fits. */
void
ecl_build_int (ecl_build_t *self, int64_t value);

void
ecl_build_double (ecl_build_t *self, double value);

/* A string: begin, bytes, end with what begin returned. */
size_t
ecl_build_string_begin (ecl_build_t *self);

void
ecl_build_string_end (ecl_build_t *self, size_t begun);

void
ecl_build_bytes (ecl_build_t *self, const void *bytes, size_t n);

/* Adds a diagnostic with the path of the element being built. Returns false. */
bool
ecl_build_diag (ecl_build_t *self, ecl_diag_level_t level, uint32_t code, ecl_place_t place, const char *format, ...)
   ECL_PRINTF (5, 6);

/* All frames are closed: sets doc and len. The place is that of the root. False where there was an error. */
bool
ecl_build_finish (ecl_build_t *self);

/* wrap.c: whether only type wrappers have this key. */
bool
ecl_wrap_key (const char *key, size_t n);

/* wrap.c: the value of a mapping with such a key: *type and its bytes into out, which is empty. False with a message
 * without place where it is no proper wrapper. doc is well-formed. */
bool
ecl_wrap_read (const uint8_t *doc, size_t len, uint8_t *type, ecl_buf_t *out, bson_error_t *error) ECL_MUST_CHECK;

#endif
