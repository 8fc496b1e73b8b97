/* What the files of the conversions share: see convert.c. */
#ifndef ECL_MQL_OPS_CONVERT_H
#define ECL_MQL_OPS_CONVERT_H

#include "mql/coerce.h"
#include "mql/operators.h"
#include "mql/ops/binary_text.h"

#define CONVERSION_FAILURE 241
#define FAILED_TO_PARSE 9
#define BAD_VALUE 2

/* What to convert to. */
typedef struct {
   uint8_t type;
   ecl_value_t subtype; /* of binData; as it was given */
   ecl_binary_format_t format;
} ecl_convert_target_t;

#define CANNOT(...) ecl_eval_fail (ev, self, CONVERSION_FAILURE, __VA_ARGS__)
#define NO_ON_ERROR "in $convert with no onError value"

static inline bool
ecl_convert_unsupported (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const ecl_convert_target_t *to)
{
   return CANNOT ("Unsupported conversion from %s to %s " NO_ON_ERROR, ecl_type_name (v->type),
                  ecl_type_name (to->type));
}

static inline bool
ecl_convert_overflow (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v)
{
   return CANNOT ("Conversion would overflow target type " NO_ON_ERROR ": %s", ecl_value_text (&ev->arena, v));
}

static inline bool
ecl_convert_unread (const ecl_expr_t *self, ecl_eval_t *ev, const char *what, const ecl_value_t *v, const char *why)
{
   return CANNOT ("Failed to parse %s %s " NO_ON_ERROR ": %s", what, ecl_value_text (&ev->arena, v), why);
}

/* ---- to numbers: convert_number.c ---- */

/* What v, a number, is without its fraction. */
bool
ecl_convert_number_to_int64 (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, int64_t *out);

/* To int or long, as `to` says. */
bool
ecl_convert_to_int (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const ecl_convert_target_t *to,
                    ecl_value_t *out);

bool
ecl_convert_to_double (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const ecl_convert_target_t *to,
                       ecl_value_t *out);

bool
ecl_convert_to_decimal (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const ecl_convert_target_t *to,
                        ecl_value_t *out);

#endif
