/* The acts of database migrations: what stands in each, and of which type. See work.h. */
#include "project/work-private.h"

#define DOC ECL_TAKES_DOCUMENT
#define LIST ECL_TAKES_ARRAY
#define TEXT ECL_TAKES_STRING
#define FLAG ECL_TAKES_BOOL
#define WHOLE ECL_TAKES_WHOLE

/* clang-format off */
#define ARG(name, types) {ECL_ARG_##name, (types), false}
#define MUST(name, types) {ECL_ARG_##name, (types), true}
#define END {ECL_ARG_COLLECTION, 0, false}
/* clang-format on */

#define MAX_ARGS 9

static const ecl_act_arg_t table[ECL_ACT_KINDS][MAX_ARGS] = {
   [ECL_ACT_INSERT] = {MUST (COLLECTION, TEXT), ARG (DOCUMENT, DOC), ARG (DOCUMENTS, LIST), END},
   [ECL_ACT_UPDATE_ONE] = {MUST (COLLECTION, TEXT), MUST (FILTER, DOC), MUST (UPDATE, DOC | LIST), ARG (UPSERT, FLAG),
                           ARG (ARRAY_FILTERS, LIST), ARG (COLLATION, DOC), END},
   [ECL_ACT_UPDATE_MANY] = {MUST (COLLECTION, TEXT), MUST (FILTER, DOC), MUST (UPDATE, DOC | LIST), ARG (UPSERT, FLAG),
                            ARG (ARRAY_FILTERS, LIST), ARG (COLLATION, DOC), ARG (AT_ONCE, FLAG), END},
   [ECL_ACT_REPLACE_ONE] = {MUST (COLLECTION, TEXT), MUST (FILTER, DOC), MUST (REPLACEMENT, DOC), ARG (UPSERT, FLAG),
                            ARG (COLLATION, DOC), END},
   [ECL_ACT_DELETE_ONE] = {MUST (COLLECTION, TEXT), MUST (FILTER, DOC), ARG (COLLATION, DOC), END},
   [ECL_ACT_DELETE_MANY] = {MUST (COLLECTION, TEXT), MUST (FILTER, DOC), ARG (COLLATION, DOC), ARG (AT_ONCE, FLAG),
                            END},
   [ECL_ACT_BULK_WRITE] = {MUST (COLLECTION, TEXT), MUST (OPERATIONS, LIST), END},
   [ECL_ACT_FOREACH] = {ARG (AGGREGATE, TEXT), ARG (PIPELINE, LIST), ARG (FIND, TEXT), ARG (FILTER, DOC),
                        ARG (PROJECTION, DOC), ARG (SORT, DOC), ARG (UNTIL_EMPTY, FLAG), ARG (TRANSACTION, FLAG), END},
   [ECL_ACT_TRANSACTION] = {END}, /* a list */
   [ECL_ACT_COMMAND] = {END},     /* the server's own */
   [ECL_ACT_AGGREGATE] = {MUST (COLLECTION, TEXT), MUST (PIPELINE, LIST), ARG (OPTIONS, DOC), END},
   [ECL_ACT_CREATE_INDEX] = {MUST (COLLECTION, TEXT), MUST (KEYS, DOC), ARG (OPTIONS, DOC), END},
   [ECL_ACT_DROP_INDEX] = {MUST (COLLECTION, TEXT), ARG (KEYS, DOC), ARG (INDEX, TEXT), END},
   [ECL_ACT_CREATE_COLLECTION] = {MUST (COLLECTION, TEXT), ARG (OPTIONS, DOC), END},
   [ECL_ACT_RENAME_COLLECTION] = {MUST (FROM, TEXT), MUST (TO, TEXT), ARG (DROP_TARGET, FLAG), END},
   [ECL_ACT_DROP_COLLECTION] = {MUST (COLLECTION, TEXT), END},
   [ECL_ACT_VALIDATOR] = {MUST (COLLECTION, TEXT), ARG (SCHEMA, DOC), ARG (FILTER, DOC), ARG (MIXED, FLAG),
                          ARG (LEVEL, TEXT), ARG (ACTION, TEXT), END},
   [ECL_ACT_BACKFILL] = {MUST (COLLECTION, TEXT), ARG (TO, WHOLE | TEXT), ARG (MODE, TEXT), END},
   [ECL_ACT_VERIFY] = {MUST (COLLECTION, TEXT), END},
   [ECL_ACT_WAIT] = {ARG (COLLECTION, TEXT), ARG (FILTER, DOC), ARG (SECONDS, WHOLE), END},
   [ECL_ACT_ASSERT] = {MUST (COLLECTION, TEXT), MUST (FILTER, DOC), ARG (COUNT, WHOLE), ARG (MIN, WHOLE),
                       ARG (MAX, WHOLE), ARG (MESSAGE, TEXT), END},
};

const ecl_act_arg_t *
ecl_act_args (ecl_act_kind_t kind)
{
   return table[kind];
}

const char *
ecl_arg_name (ecl_arg_t arg)
{
   static const char *const names[] = {
#define X(name, text) text,
      ECL_ARGS (X)
#undef X
   };

   return names[arg];
}

const char *
ecl_act_name (ecl_act_kind_t kind)
{
   static const char *const names[] = {
#define X(name, text, statement) text,
      ECL_ACTS (X)
#undef X
   };

   return names[kind];
}

bool
ecl_act_is_statement (ecl_act_kind_t kind)
{
   static const bool statements[] = {
#define X(name, text, statement) statement,
      ECL_ACTS (X)
#undef X
   };

   return statements[kind];
}

bool
ecl_act_in_bulk (ecl_act_kind_t kind)
{
   return ecl_act_is_statement (kind) && kind != ECL_ACT_BULK_WRITE;
}
