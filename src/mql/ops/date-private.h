/* What the operators on dates share: named arguments, time zones, units, and taking dates apart. */
#ifndef ECL_MQL_OPS_DATE_PRIVATE_H
#define ECL_MQL_OPS_DATE_PRIVATE_H

#include "bson/date.h"
#include "bson/timezone.h"
#include "mql/operators.h"

typedef enum {
   ECL_UNIT_MILLISECOND,
   ECL_UNIT_SECOND,
   ECL_UNIT_MINUTE,
   ECL_UNIT_HOUR,
   ECL_UNIT_DAY,
   ECL_UNIT_WEEK,
   ECL_UNIT_MONTH,
   ECL_UNIT_QUARTER,
   ECL_UNIT_YEAR,
} ecl_unit_t;

/* A named argument; missing is the error code where it is not given, 0 where it may be left out. */
typedef struct {
   const char *name;
   uint32_t missing;
} ecl_date_arg_t;

/* The arguments of an operator and the server's codes. */
typedef struct {
   const ecl_date_arg_t *args;
   uint32_t n;
   uint32_t not_object, unknown;
   int8_t timezone, unit, start_of_week, bin_size; /* their index, -1 for none */
   bool null_zone_is_null; /* a constant timezone that is null makes the whole null, whatever the rest is */
} ecl_date_form_t;

/* What was prepared while parsing. */
typedef struct {
   const ecl_date_form_t *form;
   const ecl_zone_db_t *db; /* where a zone comes from a document */
   ecl_timezone_t zone;
   ecl_unit_t unit;
   int32_t start_of_week; /* 0 Sunday … 6 */
   int64_t bin_size;
   bool zone_ready, unit_ready, start_ready, bin_ready;
} ecl_date_plan_t;

/* Parses {$op: {name: …}}: args[] in the form's order. */
ecl_expr_t *
ecl_date_parse_form (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec,
                     const ecl_date_form_t *form);

/* Prepares constants, where args[] are parsed; what else a parse function does comes before it. */
ecl_expr_t *
ecl_date_prepare (ecl_parse_t *parse, ecl_expr_t *e, const ecl_date_form_t *form);

/* The following set *null where the argument is null or missing, and fail where it is wrong. */
bool
ecl_date_zone (const ecl_expr_t *self, ecl_eval_t *ev, ecl_timezone_t *zone, bool *null);

bool
ecl_date_unit (const ecl_expr_t *self, ecl_eval_t *ev, ecl_unit_t *unit, bool *null);

bool
ecl_date_start_of_week (const ecl_expr_t *self, ecl_eval_t *ev, int32_t *day, bool *null);

bool
ecl_date_bin_size (const ecl_expr_t *self, ecl_eval_t *ev, int64_t *size, bool *null);

/* Dates, timestamps and ObjectIds as milliseconds; false for other types. */
bool
ecl_date_coerce (const ecl_value_t *v, int64_t *ms);

/* The same with the server's error 16006. */
bool
ecl_date_require (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, int64_t *ms);

/* An instant as it shows on clocks in a zone. */
typedef struct {
   ecl_civil_t civil;
   int64_t days;   /* since 1970-01-01 */
   int32_t offset; /* seconds east of UTC */
   bool dst;
} ecl_local_t;

void
ecl_date_local (const ecl_timezone_t *zone, int64_t ms, ecl_local_t *out);

const char *
ecl_unit_name (ecl_unit_t unit);

#endif
