/* Counting with dates: $dateAdd $dateSubtract $dateDiff $dateTrunc.
 *
 * Units of an hour and less are lengths of time; days and longer are steps in the calendar of a time zone, which keep
 * the time of day over changes of the clocks. */
#include "mql/ops/date-private.h"

static const int64_t unit_ms[] = {1, ECL_MS_PER_SECOND, ECL_MS_PER_MINUTE, ECL_MS_PER_HOUR};

/* ---- adding ---- */

/* 5166406, 5976500 or 159 where it is out of range. */
static bool
add_units (const ecl_expr_t *self, ecl_eval_t *ev, int64_t ms, ecl_unit_t unit, int64_t amount,
           const ecl_timezone_t *zone, int64_t *out)
{
   /* The server's bounds of an amount: what roughly spans the range of dates. */
   static const int64_t max_days = INT64_C (213503982335);
   static const int64_t max_years = INT64_C (213503982335) / 365 + 1;
   const int64_t bounds[] = {
      [ECL_UNIT_SECOND] = max_days * 86400, [ECL_UNIT_MINUTE] = max_days * 1440,
      [ECL_UNIT_HOUR] = max_days * 24,      [ECL_UNIT_DAY] = max_days,
      [ECL_UNIT_WEEK] = max_days / 7,       [ECL_UNIT_MONTH] = max_years * 12,
      [ECL_UNIT_QUARTER] = max_years * 4,   [ECL_UNIT_YEAR] = max_years,
   };
   ecl_local_t local;
   int64_t days, month, seconds;

   if (unit == ECL_UNIT_MILLISECOND) {
      return !__builtin_add_overflow (ms, amount, out) ||
             ecl_eval_fail (ev, self, 159, "%s: the date is out of range", self->op->name);
   }
   if (amount <= -bounds[unit] || amount >= bounds[unit]) {
      return ecl_eval_fail (ev, self, 5976500, "invalid dateAdd 'amount' parameter value: %lld %s", (long long) amount,
                            ecl_unit_name (unit));
   }
   *out = ms;
   if (amount == 0) {
      return true;
   }
   if (unit <= ECL_UNIT_HOUR) {
      if (__builtin_mul_overflow (amount, unit_ms[unit], &amount) || __builtin_add_overflow (ms, amount, out)) {
         goto overflow;
      }
      return true;
   }
   ecl_date_local (zone, ms, &local);
   days = local.days;
   if (unit == ECL_UNIT_DAY || unit == ECL_UNIT_WEEK) {
      days += unit == ECL_UNIT_WEEK ? amount * 7 : amount;
   } else {
      int32_t last;

      amount *= unit == ECL_UNIT_MONTH ? 1 : unit == ECL_UNIT_QUARTER ? 3 : 12;
      month = local.civil.month - 1 + amount;
      local.civil.year += ecl_floor_div (month, 12);
      local.civil.month = (int32_t) ecl_floor_mod (month, 12) + 1;
      /* The 31st of a shorter month is its last day. */
      last = ecl_days_in_month (local.civil.year, local.civil.month);
      days = ecl_date_days (local.civil.year, local.civil.month, local.civil.day > last ? last : local.civil.day);
   }
   seconds = days * 86400 + local.civil.hour * 3600 + local.civil.minute * 60 + local.civil.second;
   seconds = ecl_timezone_to_utc (zone, seconds, local.dst);
   if (seconds < INT64_MIN / 1000 - 1 || seconds > INT64_MAX / 1000) {
      goto overflow;
   }
   /* The lowest second is not whole: what is counted from the next one fits. */
   if (seconds < 0 ? __builtin_mul_overflow (seconds + 1, 1000, out) ||
                        __builtin_add_overflow (*out, local.civil.millisecond - 1000, out)
                   : __builtin_mul_overflow (seconds, 1000, out) ||
                        __builtin_add_overflow (*out, local.civil.millisecond, out)) {
      goto overflow;
   }
   return true;

overflow:
   return ecl_eval_fail (ev, self, 5166406, "%s: the date is out of range", self->op->name);
}

enum { ADD_DATE, ADD_UNIT, ADD_AMOUNT, ADD_ZONE };

static const ecl_date_arg_t add_args[] = {
   {"startDate", 5166402}, {"unit", 5166402}, {"amount", 5166402}, {"timezone", 0}};
static const ecl_date_form_t add_form = {add_args, 4, 5166400, 5166401, ADD_ZONE, ADD_UNIT, -1, -1, true};

ecl_expr_t *
ecl_op_dateAdd_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return ecl_date_parse_form (parse, op, spec, &add_form);
}

ecl_expr_t *
ecl_op_dateSubtract_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return ecl_date_parse_form (parse, op, spec, &add_form);
}

static bool
add (const ecl_expr_t *self, ecl_eval_t *ev, bool subtract, ecl_value_t *out)
{
   ecl_value_t date, v;
   ecl_timezone_t zone;
   ecl_unit_t unit;
   int64_t ms, amount, result;
   bool null;

   if (!ecl_expr_eval (self->args[ADD_DATE], ev, &date)) {
      return false;
   }
   *out = ecl_null ();
   if (ecl_is_nullish (&date)) {
      return true;
   }
   if (!ecl_date_unit (self, ev, &unit, &null)) {
      return false;
   }
   if (null) {
      return true;
   }
   if (!ecl_expr_eval (self->args[ADD_AMOUNT], ev, &v)) {
      return false;
   }
   if (ecl_is_nullish (&v)) {
      return true;
   }
   if (!ecl_date_zone (self, ev, &zone, &null)) {
      return false;
   }
   if (null) {
      return true;
   }
   if (!ecl_date_coerce (&date, &ms)) {
      return ecl_eval_fail (ev, self, 5166403, "%s requires startDate to be convertible to a date, found %s",
                            self->op->name, ecl_type_name (date.type));
   }
   if (!ecl_is_number (&v) || !ecl_number_to_int64 (&v, &amount)) {
      return ecl_eval_fail (ev, self, 5166405, "%s expects integer amount of time units, found %s", self->op->name,
                            ecl_value_text (&ev->arena, &v));
   }
   if (subtract) {
      if (amount == INT64_MIN) {
         return ecl_eval_fail (ev, self, 6045000, "invalid $dateSubtract 'amount' parameter value: %lld",
                               (long long) amount);
      }
      amount = -amount;
   }
   if (!add_units (self, ev, ms, unit, amount, &zone, &result)) {
      return false;
   }
   *out = ecl_date (result);
   return true;
}

bool
ecl_op_dateAdd (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return add (self, ev, false, out);
}

bool
ecl_op_dateSubtract (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   return add (self, ev, true, out);
}

/* ---- differences ---- */

enum { DIFF_START, DIFF_END, DIFF_UNIT, DIFF_ZONE, DIFF_WEEK };

static const ecl_date_arg_t diff_args[] = {
   {"startDate", 5166303}, {"endDate", 5166304}, {"unit", 5166305}, {"timezone", 0}, {"startOfWeek", 0}};
static const ecl_date_form_t diff_form = {diff_args, 5, 5166301, 5166302, DIFF_ZONE, DIFF_UNIT, DIFF_WEEK, -1, true};

ecl_expr_t *
ecl_op_dateDiff_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return ecl_date_parse_form (parse, op, spec, &diff_form);
}

/* Days since the beginning of the week. */
static int64_t
day_of_week (int64_t days, int32_t start)
{
   return (ecl_day_of_week (days) - start + 7) % 7;
}

static int64_t
week_difference (int64_t start, int64_t end, int32_t start_of_week)
{
   return (end - start + day_of_week (start, start_of_week) - day_of_week (end, start_of_week)) / 7;
}

/* Boundaries between two local times; an hour that the clocks skip or repeat counts as time that passes. */
static int64_t
difference (const ecl_local_t *a, const ecl_local_t *b, ecl_unit_t unit, int32_t start_of_week)
{
   int64_t years = b->civil.year - a->civil.year, hours = b->civil.hour - a->civil.hour + (b->days - a->days) * 24;
   int64_t minutes = b->civil.minute - a->civil.minute + hours * 60;

   switch (unit) {
   case ECL_UNIT_YEAR:
      return years;
   case ECL_UNIT_QUARTER:
      return (b->civil.month - 1) / 3 - (a->civil.month - 1) / 3 + years * 4;
   case ECL_UNIT_MONTH:
      return b->civil.month - a->civil.month + years * 12;
   case ECL_UNIT_WEEK:
      return week_difference (a->days, b->days, start_of_week);
   case ECL_UNIT_DAY:
      return b->days - a->days;
   case ECL_UNIT_HOUR:
      return hours + (a->offset - b->offset) / 3600;
   case ECL_UNIT_MINUTE:
      return minutes + (a->offset - b->offset) / 60;
   default:
      return b->civil.second - a->civil.second + minutes * 60 + (a->offset - b->offset);
   }
}

static bool
read_date (const ecl_expr_t *self, ecl_eval_t *ev, const ecl_value_t *v, const char *name, int64_t *ms)
{
   return ecl_date_coerce (v, ms) || ecl_eval_fail (ev, self, 5166307, "%s requires '%s' to be a date, but got %s",
                                                    self->op->name, name, ecl_type_name (v->type));
}

/* In what the boundaries are counted. */
typedef struct {
   ecl_unit_t unit;
   int32_t start_of_week; /* only where they are weeks */
   ecl_timezone_t zone;
} frame_t;

/* *null where one of the arguments is: then so is the result. */
static bool
read_frame (const ecl_expr_t *self, ecl_eval_t *ev, frame_t *frame, bool *null)
{
   frame->start_of_week = 0;
   return ecl_date_unit (self, ev, &frame->unit, null) &&
          (*null || frame->unit != ECL_UNIT_WEEK || ecl_date_start_of_week (self, ev, &frame->start_of_week, null)) &&
          (*null || ecl_date_zone (self, ev, &frame->zone, null));
}

bool
ecl_op_dateDiff (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t start, end;
   int64_t from, to, n;
   ecl_local_t a, b;
   frame_t frame;
   bool null;

   *out = ecl_null ();
   if (!ecl_expr_eval (self->args[DIFF_START], ev, &start)) {
      return false;
   }
   if (ecl_is_nullish (&start)) {
      return true;
   }
   if (!ecl_expr_eval (self->args[DIFF_END], ev, &end)) {
      return false;
   }
   if (ecl_is_nullish (&end)) {
      return true;
   }
   if (!read_frame (self, ev, &frame, &null)) {
      return false;
   }
   if (null) {
      return true;
   }
   if (!read_date (self, ev, &start, "startDate", &from) || !read_date (self, ev, &end, "endDate", &to)) {
      return false;
   }
   if (frame.unit == ECL_UNIT_MILLISECOND) {
      if (__builtin_sub_overflow (to, from, &n)) {
         return ecl_eval_fail (ev, self, 5166308, "dateDiff overflowed");
      }
   } else {
      ecl_date_local (&frame.zone, from, &a);
      ecl_date_local (&frame.zone, to, &b);
      n = difference (&a, &b, frame.unit, frame.start_of_week);
   }
   *out = ecl_int64 (n);
   return true;
}

/* ---- truncating ---- */

enum { TRUNC_DATE, TRUNC_UNIT, TRUNC_BIN, TRUNC_ZONE, TRUNC_WEEK };

static const ecl_date_arg_t trunc_args[] = {
   {"date", 5439009}, {"unit", 5439010}, {"binSize", 0}, {"timezone", 0}, {"startOfWeek", 0}};
static const ecl_date_form_t trunc_form = {trunc_args, 5,          5439007,   5439008, TRUNC_ZONE,
                                           TRUNC_UNIT, TRUNC_WEEK, TRUNC_BIN, true};

ecl_expr_t *
ecl_op_dateTrunc_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return ecl_date_parse_form (parse, op, spec, &trunc_form);
}

/* Groups of units are counted from 2000-01-01 in the zone; weeks from the first start of a week on or after it. */
static bool
truncate_date (const ecl_expr_t *self, ecl_eval_t *ev, int64_t ms, int64_t bin, const frame_t *frame, int64_t *out)
{
   static const int64_t reference_utc = INT64_C (946684800000);
   static const int64_t reference_days = 10957;
   ecl_zone_info_t info;
   ecl_local_t origin, local;
   int64_t reference, shifted, n, ahead = 0;

   ecl_timezone_at (&frame->zone, reference_utc / 1000, &info);
   reference = reference_utc - info.offset * ECL_MS_PER_SECOND;
   if (frame->unit <= ECL_UNIT_HOUR) {
      if (__builtin_mul_overflow (bin, unit_ms[frame->unit], &bin)) {
         return ecl_eval_fail (ev, self, 5439002, "dateTrunc overflowed");
      }
      if (__builtin_sub_overflow (ms, reference, &shifted)) {
         return ecl_eval_fail (ev, self, 5439000, "dateTrunc overflowed");
      }
      if (__builtin_sub_overflow (ms, ecl_floor_mod (shifted, bin), out)) {
         return ecl_eval_fail (ev, self, 5439001, "dateTrunc overflowed");
      }
      return true;
   }
   if (bin > INT64_C (100000000000)) {
      return ecl_eval_fail (ev, self, 5439006, "dateTrunc unsupported binSize value");
   }
   if (frame->unit == ECL_UNIT_WEEK) {
      ahead = (7 - day_of_week (reference_days, frame->start_of_week)) % 7;
   }
   reference += ahead * ECL_MS_PER_DAY;
   origin = (ecl_local_t){.civil = {.year = 2000, .month = 1}, .days = reference_days + ahead};
   ecl_date_local (&frame->zone, ms, &local);
   n = difference (&origin, &local, frame->unit, frame->start_of_week);
   return add_units (self, ev, reference, frame->unit, n - ecl_floor_mod (n, bin), &frame->zone, out);
}

bool
ecl_op_dateTrunc (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t date;
   int64_t ms, bin, result;
   frame_t frame;
   bool null;

   *out = ecl_null ();
   if (!ecl_expr_eval (self->args[TRUNC_DATE], ev, &date)) {
      return false;
   }
   if (ecl_is_nullish (&date)) {
      return true;
   }
   if (!ecl_date_bin_size (self, ev, &bin, &null)) {
      return false;
   }
   if (null) {
      return true;
   }
   if (!read_frame (self, ev, &frame, &null)) {
      return false;
   }
   if (null) {
      return true;
   }
   if (!read_date (self, ev, &date, "date", &ms) || !truncate_date (self, ev, ms, bin, &frame, &result)) {
      return false;
   }
   *out = ecl_date (result);
   return true;
}
