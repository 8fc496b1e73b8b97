/* The table of operators, made of operators.def: the single source for parsing, arity, dispatch, folding, docs/mql.md
 * and the check that each has cases. */
#include "mql/operators.h"

static const ecl_operator_t table[] = {
#define OP(id, op_name, min_args, max_args, about, ex, res) \
   {.name = op_name,                                        \
    .family = FAMILY,                                       \
    .parse = ecl_parse_positional,                          \
    .eval = ecl_op_##id,                                    \
    .min = min_args,                                        \
    .max = max_args,                                        \
    .summary = about,                                       \
    .example = ex,                                          \
    .result = res},
#define OP_NAMED(id, op_name, names, about, ex, res) \
   {.name = op_name,                                 \
    .family = FAMILY,                                \
    .parse = ecl_parse_named,                        \
    .eval = ecl_op_##id,                             \
    .named = names,                                  \
    .summary = about,                                \
    .example = ex,                                   \
    .result = res},
#define OP_CUSTOM(id, op_name, names, about, ex, res) \
   {.name = op_name,                                  \
    .family = FAMILY,                                 \
    .parse = ecl_op_##id##_parse,                     \
    .eval = ecl_op_##id,                              \
    .named = names,                                   \
    .summary = about,                                 \
    .example = ex,                                    \
    .result = res},
#define OP_REFUSED(op_name, reason) {.name = op_name, .family = FAMILY, .refused = reason},
#include "mql/operators.def"
#undef OP
#undef OP_NAMED
#undef OP_CUSTOM
#undef OP_REFUSED
#undef FAMILY
};

#define N_OPERATORS (sizeof table / sizeof table[0])

const ecl_operator_t *
ecl_operator_at (size_t i)
{
   return i < N_OPERATORS ? &table[i] : NULL;
}

/* Looked up only while parsing: a few hundred comparisons of a first byte. */
const ecl_operator_t *
ecl_operator_find (const char *name, size_t len)
{
   for (size_t i = 0; i < N_OPERATORS; i++) {
      if (strncmp (table[i].name, name, len) == 0 && table[i].name[len] == '\0') {
         return &table[i];
      }
   }
   return NULL;
}
