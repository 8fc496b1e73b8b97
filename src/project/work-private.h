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
   const ecl_act_t *foreach;   /* whose `do` is being read; NULL outside */
   const uint8_t *transaction; /* the one around; NULL outside */
   bool down;
   bool ok;
} ecl_work_reader_t;

#define ecl_work_error(reader, where, ...) \
   ((reader)->ok = ecl_project_error ((reader)->text, (reader)->diags, ECL_ERROR_INVALID, (where), __VA_ARGS__))

/* ---- work_lint_rows.c ---- */

/* A foreach with a transaction for each row: that a row which is done is not done again. */
void
ecl_work_lint_rows (ecl_work_reader_t *reader, const ecl_act_t *act);

/* ---- work_args.c ---- */

/* Of the project's arena. */
const char *
ecl_work_copy_text (ecl_work_reader_t *reader, const ecl_value_t *value);

bool
ecl_work_read_text (ecl_work_reader_t *reader, const ecl_field_t *field, const char **out);

/* "a list", …: for messages. */
const char *
ecl_work_describe_types (unsigned takes);

bool
ecl_work_fits (unsigned takes, const ecl_value_t *value);

/* Collections that a file may name: all but eclose's own and the server's. */
void
ecl_work_check_collection (ecl_work_reader_t *reader, const ecl_field_t *field);

/* Fills act->args from act->spec. */
void
ecl_work_read_args (ecl_work_reader_t *reader, ecl_act_t *act);

/* What goes with what. */
void
ecl_work_check_args (ecl_work_reader_t *reader, ecl_act_t *act);

/* An update of operators has nothing else; a replacement has none. Otherwise a forgotten $set replaces documents. */
void
ecl_work_check_update (ecl_work_reader_t *reader, const ecl_act_t *act, ecl_arg_t arg, bool operators);

/* ---- work_foreach.c ---- */

/* Whether a value is exactly "$$name" of a `let` around; *let may be NULL. */
bool
ecl_work_is_let (const ecl_act_t *foreach, const ecl_value_t *value, const ecl_let_t **let);

void
ecl_work_read_foreach (ecl_work_reader_t *reader, ecl_act_t *act, const ecl_field_t *let, const ecl_field_t *body);

/* ---- work_act.c ---- */

void
ecl_work_read_acts (ecl_work_reader_t *reader, const ecl_field_t *list, const ecl_act_t **acts, size_t *n);

/* ---- work_lint.c ---- */

/* What cannot be repeated, and what cannot be in a transaction. After all parts of the act were read. */
void
ecl_work_lint (ecl_work_reader_t *reader, const ecl_act_t *act);

/* ---- work.c ---- */

/* Puts the migrations in order of name, checks what they say about chains. After the chains are linked. */
bool
ecl_work_link (ecl_project_t *self, ecl_diags_t *diags);

/* A file that lies in the migrations folder itself. */
bool
ecl_work_add (ecl_project_t *self, const char *base, const ecl_text_source_t *source, ecl_diags_t *diags);

/* Whether a name is that of a database migration: <time>_<name>. */
bool
ecl_work_named (const char *base);

#endif
