/* Text: one reader for YAML and JSON with Extended JSON, and the Extended JSON writer.
 *
 * The result of reading is one complete BSON document in one buffer and, beside it, a source map: for every element
 * the place where it was written. Later layers work on the BSON alone and ask ecl_text_locate with a pointer into it
 * when they have something to complain about.
 *
 * Nothing is guessed. What YAML would silently read as another thing than was surely meant is an error; what it
 * probably reads otherwise is a warning. In both languages:
 *
 *  - a key is text, as it is written; without NUL; twice in one mapping is an error
 *  - an integer is an int32 where it fits, else an int64; beyond that an error (ECL_TEXT_WIDE_INTS: a double).
 *    Minus zero is the double -0.0, because no integer keeps the sign
 *  - a number with a point or an exponent is a double; one that a double cannot hold is an error
 *  - Extended JSON v2 becomes the value it stands for, and a type wrapper with a wrong value or another key beside it
 *    is an error. $regex, $options and $type are query operators and stay as they are, and so does a DBRef
 *  - nesting ends at ECL_TEXT_DEPTH
 *
 * JSON is RFC 8259, no more. YAML is 1.2 with the core schema, without anchors, aliases, tags, directives and merge
 * keys, one document a file.
 *
 * All functions are free of globals; one object may be used by one thread at a time.
 */
#ifndef ECL_TEXT_TEXT_H
#define ECL_TEXT_TEXT_H

#include "base/diag.h"

/* Nested deeper is refused; MongoDB itself stops at 180 and the server at fewer for what it parses. */
#define ECL_TEXT_DEPTH 100u

/* The largest source that is read whole; streams are bounded per document instead. */
#define ECL_TEXT_SOURCE_MAX (16u * 1024 * 1024)

/* The largest document that comes out: 16 MiB and the margin that MongoDB gives to commands. */
#define ECL_TEXT_BSON_MAX (16u * 1024 * 1024 + 16u * 1024)

typedef enum {
   ECL_TEXT_DEFAULT = 0,
   ECL_TEXT_ANY_VALUE = 1 << 0,  /* the root may be any value: the result is {"": value} */
   ECL_TEXT_DUPLICATES = 1 << 1, /* JSON only: equal keys are kept, as stored documents may have them */
   ECL_TEXT_WIDE_INTS = 1 << 2,  /* integers beyond 64 bits become doubles */
   ECL_TEXT_NO_MAP = 1 << 3,     /* no source map; ecl_text_locate finds nothing */
} ecl_text_flags_t;

/* Lines and columns are 1-based, columns in code points. */
typedef struct {
   uint32_t line; /* of the key; in an array of the value */
   uint32_t column;
   uint32_t value_line;
   uint32_t value_column;
} ecl_text_pos_t;

typedef struct {
   uint32_t offset; /* of an element's type byte in buf */
   ecl_text_pos_t pos;
} ecl_text_mark_t;

typedef struct {
   const char *name; /* of the file, for messages; may be NULL */
   const void *bytes;
   size_t len;
} ecl_text_source_t;

/* Members are read only for others; doc and len are the document, valid until cleanup. */
typedef struct {
   const uint8_t *doc;
   size_t len;
   char *name;             /* of the source */
   ecl_buf_t buf;          /* {"": root}; doc is this or the root in it */
   ecl_text_mark_t *marks; /* sorted by offset */
   size_t n_marks;
   size_t cap_marks;
} ecl_text_t;

/* An empty text: cleanup is allowed before and after a read. */
void
ecl_text_init (ecl_text_t *self);

void
ecl_text_cleanup (ecl_text_t *self);

/* Reads one document into self, which is initialised and may hold another text, which goes. Adds what is wrong to
 * diags; true where there was no error (there may be warnings). After false self is empty. */
bool
ecl_text_read_json (ecl_text_t *self, const ecl_text_source_t *source, ecl_text_flags_t flags,
                    ecl_diags_t *diags) ECL_MUST_CHECK;

bool
ecl_text_read_yaml (ecl_text_t *self, const ecl_text_source_t *source, ecl_text_flags_t flags,
                    ecl_diags_t *diags) ECL_MUST_CHECK;

/* For what a user types into a shell: JSON where it is well-formed JSON, else YAML. */
bool
ecl_text_read_any (ecl_text_t *self, const ecl_text_source_t *source, ecl_text_flags_t flags,
                   ecl_diags_t *diags) ECL_MUST_CHECK;

/* By the end of the source's name: .json is JSON, all else YAML. */
bool
ecl_text_read (ecl_text_t *self, const ecl_text_source_t *source, ecl_text_flags_t flags,
               ecl_diags_t *diags) ECL_MUST_CHECK;

/* The place of the element that starts at, or is nearest before, a pointer into doc. False, and zeros, where the
 * pointer is outside or there is no map. */
bool
ecl_text_locate (const ecl_text_t *self, const uint8_t *element, ecl_text_pos_t *pos);

/* Appends the dotted path of the innermost element that holds the pointer, "up.0.$set.name"; nothing for the root.
 * False where the pointer is outside doc or out is full. */
bool
ecl_text_path (const ecl_text_t *self, const uint8_t *element, ecl_buf_t *out);

/* Adds a diagnostic with the place and path of element, for the layers above. Returns false. */
bool
ecl_text_diag (const ecl_text_t *self, ecl_diags_t *diags, ecl_diag_level_t level, uint32_t domain, uint32_t code,
               const uint8_t *element, const char *format, ...) ECL_PRINTF (7, 8);

/* Streams: JSON documents one after another, on one line each or over many. Memory is bounded by the largest document;
 * a string goes into the BSON as it is read. */

/* Up to cap bytes into to; the number read, 0 at the end, -1 where reading failed (errno says why). */
typedef ssize_t (*ecl_json_read_fn) (void *ctx, void *to, size_t cap);

typedef struct ecl_json_stream_t ecl_json_stream_t;

ecl_json_stream_t *
ecl_json_stream_new (const char *name, ecl_text_flags_t flags, ecl_json_read_fn read, void *ctx);

void
ecl_json_stream_destroy (ecl_json_stream_t *self);

/* The next document (each must be an object), valid until the next call; *doc is NULL at the end. After an error in
 * the meaning of a document (Extended JSON, keys, size of numbers) the next call goes on behind it; after one of
 * syntax, size or reading all further calls fail the same way. */
bool
ecl_json_stream_next (ecl_json_stream_t *self, const uint8_t **doc, size_t *len, bson_error_t *error) ECL_MUST_CHECK;

/* The line on which the last document began; for messages about it. */
uint32_t
ecl_json_stream_line (const ecl_json_stream_t *self);

/* Whether the stream ended with a failure that further calls repeat. */
bool
ecl_json_stream_broken (const ecl_json_stream_t *self);

/* Writing. Doubles are the shortest digits that read back as the same double. Strings that are not UTF-8 get U+FFFD
 * for what is wrong. */
typedef enum {
   ECL_EXTJSON_RELAXED = 0,
   ECL_EXTJSON_CANONICAL = 1 << 0,
   ECL_EXTJSON_PRETTY = 1 << 1, /* one element a line, two spaces a level */
} ecl_extjson_mode_t;

/* Deeper documents are not written. */
#define ECL_EXTJSON_DEPTH 200u

/* Appends a document; after false out holds what it held before. Fails for malformed BSON and where out is full. */
bool
ecl_extjson_write (const uint8_t *doc, size_t len, ecl_extjson_mode_t mode, ecl_buf_t *out,
                   bson_error_t *error) ECL_MUST_CHECK;

/* The same for an array, which in BSON looks like a document. */
bool
ecl_extjson_write_array (const uint8_t *doc, size_t len, ecl_extjson_mode_t mode, ecl_buf_t *out,
                         bson_error_t *error) ECL_MUST_CHECK;

/* The same for a single value: type is BSON's type byte and value its len bytes (an element without type and key). */
bool
ecl_extjson_write_value (uint8_t type, const uint8_t *value, size_t len, ecl_extjson_mode_t mode, ecl_buf_t *out,
                         bson_error_t *error) ECL_MUST_CHECK;

#endif
