/* What the files about database migrations share. */
#ifndef ECL_PROJECT_WORK_PRIVATE_H
#define ECL_PROJECT_WORK_PRIVATE_H

#include "project/project-private.h"

/* Types that an argument may have, as a set. */
typedef enum {
   ECL_TAKES_DOCUMENT = 1 << 0,
   ECL_TAKES_ARRAY = 1 << 1,
   ECL_TAKES_STRING = 1 << 2,
   ECL_TAKES_BOOL = 1 << 3,
   ECL_TAKES_WHOLE = 1 << 4, /* a number without fraction, not negative */
} ecl_takes_t;

typedef struct {
   ecl_arg_t arg;
   unsigned takes;
   bool required;
} ecl_act_arg_t;

/* The arguments of an act, up to one that takes nothing. */
const ecl_act_arg_t *
ecl_act_args (ecl_act_kind_t kind);

const char *
ecl_arg_name (ecl_arg_t arg);

/* Whether the kind is among those that `bulkWrite` takes. */
bool
ecl_act_in_bulk (ecl_act_kind_t kind);

typedef struct {
   ecl_project_t *project;
   const ecl_text_t *text;
   ecl_diags_t *diags;
   ecl_work_t *work;
   const ecl_act_t *foreach;  /* whose `do` is being read; NULL outside */
   const uint8_t *transaction; /* the one around; NULL outside */
   bool down;
   bool ok;
} ecl_work_reader_t;

#define ecl_work_error(reader, where, ...)                                                                             \
   ((reader)->ok = ecl_project_error ((reader)->text, (reader)->diags, ECL_ERROR_INVALID, (where), __VA_ARGS__))

/* work_lint.c: what cannot be repeated, and what cannot be in a transaction. After all parts of the act were read. */
void
ecl_work_lint (ecl_work_reader_t *reader, const ecl_act_t *act);

/* Whether a value is exactly "$$name" of a `let` around; *let may be NULL. */
bool
ecl_work_is_let (const ecl_act_t *foreach, const ecl_value_t *value, const ecl_let_t **let);

/* work.c: puts the migrations in order of name, checks what they say about chains. After the chains are linked. */
bool
ecl_work_link (ecl_project_t *self, ecl_diags_t *diags);

/* A file that lies in the migrations folder itself. */
bool
ecl_work_add (ecl_project_t *self, const char *base, const ecl_text_source_t *source, ecl_diags_t *diags);

/* Whether a name is that of a database migration: <time>_<name>. */
bool
ecl_work_named (const char *base);

#endif
