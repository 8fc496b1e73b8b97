/* Diagnostics: all that is wrong with a set of files, not only the first thing.
 *
 * A list of (file, line, column, path, message) whose texts live in an arena of its own. It is bounded: past
 * ECL_DIAGS_MAX entries only the counts go on, so that a hostile file cannot fill the memory with complaints.
 * Printed sorted, one line each, in the form compilers use:
 *
 *    migrations/users/0002_split_name.yaml:7:9: unknown stage "$sett" (at up.1)
 */
#ifndef ECL_BASE_DIAG_H
#define ECL_BASE_DIAG_H

#include "base/arena.h"
#include "base/buf.h"

#define ECL_DIAGS_MAX 200u

typedef enum {
   ECL_DIAG_ERROR,   /* the file is refused */
   ECL_DIAG_WARNING, /* the file is read, but it probably says another thing than was meant */
} ecl_diag_level_t;

typedef struct {
   ecl_diag_level_t level;
   uint32_t domain;     /* ecl_domain_t */
   uint32_t code;       /* ecl_error_code_t */
   const char *file;    /* never NULL; "" where there is none */
   uint32_t line;       /* 1-based; 0 where it is about the file as a whole */
   uint32_t column;     /* 1-based, in code points; 0 where unknown */
   const char *path;    /* dotted, never NULL; "" for the root */
   const char *message; /* one line, lower case */
   size_t order;        /* of adding: keeps the sort stable */
} ecl_diag_t;

typedef struct {
   ecl_arena_t arena;
   ecl_diag_t *items;
   size_t n; /* kept */
   size_t cap;
   size_t errors;   /* seen, kept or not */
   size_t warnings; /* seen, kept or not */
} ecl_diags_t;

void
ecl_diags_init (ecl_diags_t *self);

void
ecl_diags_cleanup (ecl_diags_t *self);

/* Forgets all entries. */
void
ecl_diags_clear (ecl_diags_t *self);

/* Adds one; file and path are copied and may be NULL. Returns false, so that a caller can return it. */
bool
ecl_diags_add (ecl_diags_t *self, ecl_diag_level_t level, uint32_t domain, uint32_t code, const char *file,
               uint32_t line, uint32_t column, const char *path, const char *format, ...) ECL_PRINTF (9, 10);

/* Whether the next one would be kept; else it is only counted, and its texts need not be made. */
static inline bool
ecl_diags_room (const ecl_diags_t *self)
{
   return self->n < ECL_DIAGS_MAX;
}

/* Appends copies of all entries of other, with its counts. */
void
ecl_diags_merge (ecl_diags_t *self, const ecl_diags_t *other);

/* By file, line, column, then in the order of adding. */
void
ecl_diags_sort (ecl_diags_t *self);

/* One entry as a line without the newline. False where out is full. */
bool
ecl_diag_print (const ecl_diag_t *diag, ecl_buf_t *out) ECL_MUST_CHECK;

/* Sorts, then prints one line each and, where entries were left out, how many. False where out is full. */
bool
ecl_diags_print (ecl_diags_t *self, ecl_buf_t *out) ECL_MUST_CHECK;

/* Sorts, then sets *error (nullable) from the first error; says how many more there are. Returns true where there was
 * no error at all (warnings do not count), so that a caller can `return ecl_diags_ok (…)`. */
bool
ecl_diags_ok (ecl_diags_t *self, bson_error_t *error);

#endif
