/* Work: database migrations, as their files say them.
 *
 *    migrations/20261121T0900_merge_categories.yaml     steps, as data
 *    migrations/20261122T1000_reindex.py                any executable
 *
 * A file of steps has `up` and `down`, lists of acts. An act is {NAME: {…}} with, beside the name, what is said about
 * the act as a whole: `repeatable`, `unless`, for foreach `let` and `do`, for command `database`. What may stand in an
 * act, and of which type, is one table (work_table.c). What cannot be repeated after a crash, or not be in a
 * transaction, is found when the file is loaded (work_lint*.c), not when it runs.
 */
#ifndef ECL_PROJECT_WORK_H
#define ECL_PROJECT_WORK_H

#include "base/sha256.h"
#include "bson/value.h"
#include "text/text.h"

/* name in files; whether it is one statement on documents, which is what `do` and transactions take */
#define ECL_ACTS(X)                                 \
   X (INSERT, "insert", true)                       \
   X (UPDATE_ONE, "updateOne", true)                \
   X (UPDATE_MANY, "updateMany", true)              \
   X (REPLACE_ONE, "replaceOne", true)              \
   X (DELETE_ONE, "deleteOne", true)                \
   X (DELETE_MANY, "deleteMany", true)              \
   X (BULK_WRITE, "bulkWrite", true)                \
   X (FOREACH, "foreach", false)                    \
   X (TRANSACTION, "transaction", false)            \
   X (COMMAND, "command", false)                    \
   X (AGGREGATE, "aggregate", false)                \
   X (CREATE_INDEX, "createIndex", false)           \
   X (DROP_INDEX, "dropIndex", false)               \
   X (CREATE_COLLECTION, "createCollection", false) \
   X (RENAME_COLLECTION, "renameCollection", false) \
   X (DROP_COLLECTION, "dropCollection", false)     \
   X (VALIDATOR, "validator", false)                \
   X (BACKFILL, "backfill", false)                  \
   X (VERIFY, "verify", false)                      \
   X (WAIT, "wait", false)                          \
   X (ASSERT, "assert", false)

typedef enum {
#define X(name, text, statement) ECL_ACT_##name,
   ECL_ACTS (X)
#undef X
      ECL_ACT_KINDS
} ecl_act_kind_t;

/* What stands in acts; the same word means the same in all of them. */
#define ECL_ARGS(X)                  \
   X (COLLECTION, "collection")      \
   X (FILTER, "filter")              \
   X (UPDATE, "update")              \
   X (REPLACEMENT, "replacement")    \
   X (DOCUMENT, "document")          \
   X (DOCUMENTS, "documents")        \
   X (OPERATIONS, "operations")      \
   X (UPSERT, "upsert")              \
   X (ARRAY_FILTERS, "arrayFilters") \
   X (COLLATION, "collation")        \
   X (AT_ONCE, "at_once")            \
   X (AGGREGATE, "aggregate")        \
   X (FIND, "find")                  \
   X (PROJECTION, "projection")      \
   X (SORT, "sort")                  \
   X (UNTIL_EMPTY, "until_empty")    \
   X (PIPELINE, "pipeline")          \
   X (KEYS, "keys")                  \
   X (OPTIONS, "options")            \
   X (INDEX, "index")                \
   X (FROM, "from")                  \
   X (TO, "to")                      \
   X (DROP_TARGET, "dropTarget")     \
   X (SCHEMA, "schema")              \
   X (MIXED, "mixed")                \
   X (LEVEL, "level")                \
   X (ACTION, "action")              \
   X (MODE, "mode")                  \
   X (COUNT, "count")                \
   X (MIN, "min")                    \
   X (MAX, "max")                    \
   X (MESSAGE, "message")            \
   X (SECONDS, "seconds")            \
   X (TRANSACTION, "transaction")

typedef enum {
#define X(name, text) ECL_ARG_##name,
   ECL_ARGS (X)
#undef X
      ECL_ARG_COUNT_OF
} ecl_arg_t;

/* A name of `let` and its expression. */
typedef struct {
   const char *name;
   ecl_field_t spec;
} ecl_let_t;

/* One step of a database migration. Values point into the file's text. */
typedef struct ecl_act_t ecl_act_t;
struct ecl_act_t {
   ecl_act_kind_t kind;
   const uint8_t *at;             /* the act's element */
   ecl_value_t spec;              /* what stands behind the name: a document; of `transaction` a list */
   const ecl_field_t *args;       /* ECL_ARG_COUNT_OF of them; those not said have no key */
   bool admin;                    /* a command for the database admin */
   const char *repeatable;        /* the author's reason; NULL: none was needed, or it is in a transaction */
   const char *unless_collection; /* held back while a document there matches; NULL: never */
   ecl_value_t unless_filter;
   const ecl_let_t *lets;
   size_t n_lets;
   const ecl_act_t *acts; /* of foreach (`do`), of a transaction, of bulkWrite (collection is the bulk's) */
   size_t n_acts;
};

typedef enum {
   ECL_WORK_NONE,         /* not said */
   ECL_WORK_IRREVERSIBLE, /* said to be impossible, on purpose */
   ECL_WORK_ACTS,
   ECL_WORK_PROGRAM,
} ecl_work_kind_t;

typedef struct {
   ecl_work_kind_t kind;
   const ecl_act_t *acts;
   size_t n_acts;
} ecl_work_way_t;

/* A database migration. */
typedef struct {
   const char *name;        /* of the file, without folder and ending: what the changelog calls it, and the order */
   const char *file;        /* for messages; of a program, where it is */
   const char *description; /* "" where there is none */
   char checksum[ECL_SHA256_TEXT]; /* of the file, line ends as \n */
   ecl_work_way_t up, down;
   const ecl_text_t *text; /* what the pointers above point into; NULL of a program */
} ecl_work_t;

/* "insert", … Static storage. */
const char *
ecl_act_name (ecl_act_kind_t kind);

/* Whether it is one statement on documents. */
bool
ecl_act_is_statement (ecl_act_kind_t kind);

static inline const ecl_value_t *
ecl_act_arg (const ecl_act_t *self, ecl_arg_t arg)
{
   return &self->args[arg].value;
}

/* A boolean that is false where it was not said. */
static inline bool
ecl_act_flag (const ecl_act_t *self, ecl_arg_t arg)
{
   return self->args[arg].key && ecl_truthy (&self->args[arg].value);
}

#endif
