/* Parts of dates: $year … $isoWeekYear, $dateToParts, $dateFromParts. */
#include "mql/ops/date-private.h"

/* ---- one part ---- */

static const ecl_date_arg_t part_args[] = {{"date", 40539}, {"timezone", 0}};
static const ecl_date_form_t part_form = {part_args, 2, 40539, 40535, 1, -1, -1, -1, true};

/* {$year: x}, {$year: [x]} or {$year: {date: x, timezone: z}} */
static ecl_expr_t *
parse_part (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   ecl_field_t first;
   ecl_iter_t iter;
   ecl_expr_t *e;

   if (spec->value.type == BSON_TYPE_DOCUMENT) {
      ecl_iter_init (&iter, &spec->value);
      if (!ecl_iter_field (&iter, &first) || first.key_len == 0 || first.key[0] != '$') {
         return ecl_date_parse_form (parse, op, spec, &part_form);
      }
   }
   e = ecl_parse_node (parse, op, spec, 2);
   if (spec->value.type == BSON_TYPE_ARRAY) {
      if (ecl_array_count (&spec->value) != 1) {
         return ecl_parse_fail (parse, ecl_at (spec), 40536,
                                "%s accepts exactly one argument if given an array, but was given %u", op->name,
                                ecl_array_count (&spec->value));
      }
      ecl_iter_init (&iter, &spec->value);
      ecl_iter_field (&iter, &first);
      e->args[0] = ecl_parse_expr (parse, &first);
   } else {
      e->args[0] = ecl_parse_expr (parse, spec);
   }
   return e->args[0] ? ecl_date_prepare (parse, e, &part_form) : NULL;
}

/* The date as it shows in the zone; *null where one of them is null. */
static bool
local_date (const ecl_expr_t *self, ecl_eval_t *ev, ecl_local_t *local, bool *null)
{
   ecl_timezone_t zone;
   ecl_value_t date;
   int64_t ms;

   if (!ecl_expr_eval (self->args[0], ev, &date)) {
      return false;
   }
   *null = ecl_is_nullish (&date);
   if (*null) {
      return true;
   }
   if (!ecl_date_require (self, ev, &date, &ms) || !ecl_date_zone (self, ev, &zone, null)) {
      return false;
   }
   if (!*null) {
      ecl_date_local (&zone, ms, local);
   }
   return true;
}

static int32_t
iso_week (const ecl_local_t *local, int64_t *year)
{
   int32_t week;

   ecl_iso_week (local->days, year, &week);
   return week;
}

static int64_t
iso_year (const ecl_local_t *local)
{
   int64_t year;

   iso_week (local, &year);
   return year;
}

static int32_t
iso_day (const ecl_local_t *local)
{
   return (ecl_day_of_week (local->days) + 6) % 7 + 1;
}

#define PART(id, value)                                                                                    \
   ecl_expr_t *ecl_op_##id##_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec) \
   {                                                                                                       \
      return parse_part (parse, op, spec);                                                                 \
   }                                                                                                       \
                                                                                                           \
   bool ecl_op_##id (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)                             \
   {                                                                                                       \
      ecl_local_t local;                                                                                   \
      bool null;                                                                                           \
                                                                                                           \
      if (!local_date (self, ev, &local, &null)) {                                                         \
         return false;                                                                                     \
      }                                                                                                    \
      *out = null ? ecl_null () : (value);                                                                 \
      return true;                                                                                         \
   }

PART (year, ecl_int32 ((int32_t) local.civil.year))
PART (month, ecl_int32 (local.civil.month))
PART (dayOfMonth, ecl_int32 (local.civil.day))
PART (hour, ecl_int32 (local.civil.hour))
PART (minute, ecl_int32 (local.civil.minute))
PART (second, ecl_int32 (local.civil.second))
PART (millisecond, ecl_int32 (local.civil.millisecond))
PART (dayOfYear, ecl_int32 (ecl_day_of_year (local.days)))
PART (dayOfWeek, ecl_int32 (ecl_day_of_week (local.days) + 1))
PART (isoDayOfWeek, ecl_int32 (iso_day (&local)))
PART (week, ecl_int32 (ecl_week_of_year (local.days)))
PART (isoWeek, ecl_int32 (iso_week (&local, &(int64_t){0})))
PART (isoWeekYear, ecl_int64 (iso_year (&local)))

/* ---- all parts ---- */

static const ecl_date_arg_t to_parts_args[] = {{"date", 40522}, {"timezone", 0}, {"iso8601", 0}};
static const ecl_date_form_t to_parts_form = {to_parts_args, 3, 40524, 40520, 1, -1, -1, -1, true};

ecl_expr_t *
ecl_op_dateToParts_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return ecl_date_parse_form (parse, op, spec, &to_parts_form);
}

bool
ecl_op_dateToParts (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t date, iso;
   ecl_timezone_t zone;
   ecl_local_t local;
   ecl_field_t *fields;
   int64_t ms, year;
   int32_t week;
   bool null, is_iso = false;

   if (!ecl_expr_eval (self->args[0], ev, &date) || !ecl_date_zone (self, ev, &zone, &null)) {
      return false;
   }
   *out = ecl_null ();
   if (null) {
      return true;
   }
   if (self->args[2]) {
      if (!ecl_expr_eval (self->args[2], ev, &iso)) {
         return false;
      }
      if (ecl_is_nullish (&iso)) {
         return true;
      }
      if (iso.type != BSON_TYPE_BOOL) {
         return ecl_eval_fail (ev, self, 40521, "iso8601 must evaluate to a bool, found %s", ecl_type_name (iso.type));
      }
      is_iso = iso.u.i64 != 0;
   }
   if (ecl_is_nullish (&date)) {
      return true;
   }
   if (!ecl_date_require (self, ev, &date, &ms)) {
      return false;
   }
   ecl_date_local (&zone, ms, &local);
   fields = ecl_arena_array (&ev->arena, ecl_field_t, 7);
   if (is_iso) {
      week = iso_week (&local, &year);
      fields[0] = ecl_field ("isoWeekYear", 11, ecl_int32 ((int32_t) year));
      fields[1] = ecl_field ("isoWeek", 7, ecl_int32 (week));
      fields[2] = ecl_field ("isoDayOfWeek", 12, ecl_int32 (iso_day (&local)));
   } else {
      fields[0] = ecl_field ("year", 4, ecl_int32 ((int32_t) local.civil.year));
      fields[1] = ecl_field ("month", 5, ecl_int32 (local.civil.month));
      fields[2] = ecl_field ("day", 3, ecl_int32 (local.civil.day));
   }
   fields[3] = ecl_field ("hour", 4, ecl_int32 (local.civil.hour));
   fields[4] = ecl_field ("minute", 6, ecl_int32 (local.civil.minute));
   fields[5] = ecl_field ("second", 6, ecl_int32 (local.civil.second));
   fields[6] = ecl_field ("millisecond", 11, ecl_int32 (local.civil.millisecond));
   *out = ecl_fields (fields, 7);
   return true;
}

/* ---- from parts ---- */

enum { YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, MILLISECOND, ISO_YEAR, ISO_WEEK, ISO_DAY, ZONE, N_PARTS };

static const ecl_date_arg_t from_parts_args[N_PARTS] = {
   {"year"},        {"month"},       {"day"},     {"hour"},         {"minute"},   {"second"},
   {"millisecond"}, {"isoWeekYear"}, {"isoWeek"}, {"isoDayOfWeek"}, {"timezone"},
};
static const ecl_date_form_t from_parts_form = {from_parts_args, N_PARTS, 40519, 40518, ZONE, -1, -1, -1, true};

static bool
has_key (const ecl_value_t *document, const char *key)
{
   ecl_value_t v = ecl_document_get (document, key, strlen (key));

   return !ecl_is_missing (&v);
}

ecl_expr_t *
ecl_op_dateFromParts_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   const ecl_value_t *v = &spec->value;

   if (v->type == BSON_TYPE_DOCUMENT) {
      bool natural = has_key (v, "year"), iso = has_key (v, "isoWeekYear");
      ecl_iter_t iter;
      ecl_field_t field;

      /* what is unknown comes first, as on the server */
      ecl_iter_init (&iter, v);
      while (ecl_iter_field (&iter, &field)) {
         uint32_t i = 0;

         while (i < N_PARTS && !ecl_key_is (&field, from_parts_args[i].name)) {
            i++;
         }
         if (i == N_PARTS) {
            return ecl_parse_fail (parse, ecl_at (&field), 40518, "Unrecognized argument to $dateFromParts: %.*s",
                                   (int) field.key_len, field.key);
         }
      }
      if (!natural && !iso) {
         return ecl_parse_fail (parse, ecl_at (spec), 40516,
                                "$dateFromParts requires either 'year' or 'isoWeekYear' to be present");
      }
      if (natural && (iso || has_key (v, "isoWeek") || has_key (v, "isoDayOfWeek"))) {
         return ecl_parse_fail (parse, ecl_at (spec), 40489,
                                "$dateFromParts does not allow mixing natural dates with ISO dates");
      }
      if (iso && (has_key (v, "month") || has_key (v, "day"))) {
         return ecl_parse_fail (parse, ecl_at (spec), 40525,
                                "$dateFromParts does not allow mixing ISO dates with natural dates");
      }
   }
   return ecl_date_parse_form (parse, op, spec, &from_parts_form);
}

/* An argument that must be integral; `other` stands for one that is not given. */
static bool
read_part (const ecl_expr_t *self, ecl_eval_t *ev, uint32_t i, int64_t other, bool bounded, int64_t *out, bool *null)
{
   ecl_value_t v;

   *null = false;
   *out = other;
   if (!self->args[i]) {
      return true;
   }
   if (!ecl_expr_eval (self->args[i], ev, &v)) {
      return false;
   }
   if (ecl_is_nullish (&v)) {
      *null = true;
      return true;
   }
   if (!ecl_is_number (&v) || !ecl_number_to_int64 (&v, out)) {
      return ecl_eval_fail (ev, self, 40515, "'%s' must evaluate to an integer, found %s with value %s",
                            from_parts_args[i].name, ecl_type_name (v.type), ecl_value_text (&ev->arena, &v));
   }
   if (bounded && (*out < INT16_MIN || *out > INT16_MAX)) {
      return ecl_eval_fail (ev, self, 31034, "'%s' must evaluate to a value in the range [%d, %d]; value %lld is not",
                            from_parts_args[i].name, INT16_MIN, INT16_MAX, (long long) *out);
   }
   return true;
}

bool
ecl_op_dateFromParts (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   static const bool bounded[N_PARTS] = {
      [MONTH] = true, [DAY] = true, [HOUR] = true, [MINUTE] = true, [ISO_WEEK] = true, [ISO_DAY] = true};
   static const uint8_t times[] = {HOUR, MINUTE, SECOND, MILLISECOND};
   static const uint8_t natural[] = {YEAR, MONTH, DAY};
   static const uint8_t week[] = {ISO_YEAR, ISO_WEEK, ISO_DAY};
   const uint8_t *dates = self->args[YEAR] ? natural : week;
   int64_t time[4], date[3], days, local, ms;
   ecl_zone_info_t epoch;
   ecl_timezone_t zone;
   bool null;

   *out = ecl_null ();
   for (uint32_t i = 0; i < 4; i++) {
      if (!read_part (self, ev, times[i], 0, bounded[times[i]], &time[i], &null)) {
         return false;
      }
      if (null) {
         return true;
      }
   }
   if (!ecl_date_zone (self, ev, &zone, &null)) {
      return false;
   }
   if (null) {
      return true;
   }
   for (uint32_t i = 0; i < 3; i++) {
      if (!read_part (self, ev, dates[i], 1, bounded[dates[i]], &date[i], &null)) {
         return false;
      }
      if (null) {
         return true;
      }
   }
   if (date[0] < 1 || date[0] > 9999) {
      return ecl_eval_fail (ev, self, dates == natural ? 40523 : 31095,
                            "'%s' must evaluate to an integer in the range 1 to 9999, found %lld",
                            from_parts_args[dates[0]].name, (long long) date[0]);
   }
   if (dates == natural) {
      int64_t month = date[1] - 1;

      days = ecl_date_days (date[0] + ecl_floor_div (month, 12), (int32_t) ecl_floor_mod (month, 12) + 1, date[2]);
   } else {
      days = ecl_iso_days (date[0], date[1], date[2]);
   }
   local = days * 86400 + time[0] * 3600 + time[1] * 60;
   if (__builtin_add_overflow (local, time[2], &local) ||
       __builtin_add_overflow (local, ecl_floor_div (time[3], 1000), &local) || local < INT64_MIN / 1000 + 200000 ||
       local > INT64_MAX / 1000 - 200000) {
      return ecl_eval_fail (ev, self, 159, "$dateFromParts: the date is out of range");
   }
   ecl_timezone_at (&zone, 0, &epoch);
   ms = ecl_timezone_to_utc (&zone, local, epoch.dst) * 1000 + ecl_floor_mod (time[3], 1000);
   *out = ecl_date (ms);
   return true;
}
