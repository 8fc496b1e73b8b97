/* Dates and text: $dateToString $dateFromString. */
#include "bson/cursor.h"
#include "bson/date_parse.h"
#include "mql/ops/date-private.h"

/* Evaluates and checks a format; *null where it is given and null. *format is missing where it is not given. */
static bool
read_format (const ecl_expr_t *self, ecl_eval_t *ev, uint32_t i, uint32_t type_code, const char *specifiers,
             ecl_value_t *format, bool *null)
{
   bson_error_t error;

   *null = false;
   if (!self->args[i]) {
      *format = ecl_missing ();
      return true;
   }
   if (!ecl_expr_eval (self->args[i], ev, format)) {
      return false;
   }
   *null = ecl_is_nullish (format);
   if (*null) {
      return true;
   }
   if (format->type != BSON_TYPE_UTF8) {
      return ecl_eval_fail (ev, self, type_code, "%s requires that 'format' be a string, found: %s with value %s",
                            self->op->name, ecl_type_name (format->type), ecl_value_text (&ev->arena, format));
   }
   return ecl_date_check_format (format->u.str, format->len, specifiers, &error) ||
          ecl_eval_fail (ev, self, error.code, "%s", error.message);
}

/* ---- $dateToString ---- */

enum { TO_DATE, TO_FORMAT, TO_ZONE, TO_ON_NULL };

static const ecl_date_arg_t to_args[] = {{"date", 18628}, {"format", 0}, {"timezone", 0}, {"onNull", 0}};
static const ecl_date_form_t to_form = {to_args, 4, 18629, 18534, TO_ZONE, -1, -1, -1, false};

ecl_expr_t *
ecl_op_dateToString_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return ecl_date_parse_form (parse, op, spec, &to_form);
}

static const char *const month_names[] = {"January", "February", "March",     "April",   "May",      "June",
                                          "July",    "August",   "September", "October", "November", "December"};

/* Writes what a specifier stands for: at most 9 bytes. False where a year has no place in four digits. */
static bool
put_specifier (char specifier, const ecl_local_t *local, char **out)
{
   const ecl_civil_t *civil = &local->civil;
   const char *name = month_names[civil->month - 1];
   int64_t year;
   int32_t week, minutes = local->offset / 60;
   char *p = *out;

   ecl_iso_week (local->days, &year, &week);
   switch (specifier) {
   case 'Y':
      year = civil->year;
      /* fall through */
   case 'G':
      if (year < 0 || year > 9999) {
         return false;
      }
      p = ecl_put_digits (p, year, 4);
      break;
   case 'm':
      p = ecl_put_digits (p, civil->month, 2);
      break;
   case 'd':
      p = ecl_put_digits (p, civil->day, 2);
      break;
   case 'H':
      p = ecl_put_digits (p, civil->hour, 2);
      break;
   case 'M':
      p = ecl_put_digits (p, civil->minute, 2);
      break;
   case 'S':
      p = ecl_put_digits (p, civil->second, 2);
      break;
   case 'L':
      p = ecl_put_digits (p, civil->millisecond, 3);
      break;
   case 'j':
      p = ecl_put_digits (p, ecl_day_of_year (local->days), 3);
      break;
   case 'w':
      p = ecl_put_digits (p, ecl_day_of_week (local->days) + 1, 1);
      break;
   case 'u':
      p = ecl_put_digits (p, (ecl_day_of_week (local->days) + 6) % 7 + 1, 1);
      break;
   case 'U':
      p = ecl_put_digits (p, ecl_week_of_year (local->days), 2);
      break;
   case 'V':
      p = ecl_put_digits (p, week, 2);
      break;
   case 'b':
      memcpy (p, name, 3);
      p += 3;
      break;
   case 'B':
      memcpy (p, name, strlen (name));
      p += strlen (name);
      break;
   case 'z': /* +hhmm; what is finer than minutes is cut */
      *p++ = local->offset < 0 ? '-' : '+';
      minutes = minutes < 0 ? -minutes : minutes;
      p = ecl_put_digits (p, minutes / 60, 2);
      p = ecl_put_digits (p, minutes % 60, 2);
      break;
   case 'Z': /* minutes, a sign only where they are negative */
      if (minutes < 0) {
         *p++ = '-';
         minutes = -minutes;
      }
      p = ecl_put_digits (p, minutes, 1);
      break;
   default: /* % */
      *p++ = '%';
   }
   *out = p;
   return true;
}

static bool
format_date (const ecl_expr_t *self, ecl_eval_t *ev, const char *format, size_t len, const ecl_local_t *local,
             ecl_value_t *out)
{
   size_t room = len;
   char *text, *p;

   for (size_t i = 0; i < len; i++) {
      room += format[i] == '%' ? 9 : 0;
   }
   /* Room is what could be needed at most; only formats that are absurd come near the bound. */
   if (room > 4u * ECL_BSON_MAX_INTERNAL_SIZE) {
      return ecl_eval_fail (ev, self, 10334, "%s: the result would be too large", self->op->name);
   }
   p = text = ecl_arena_alloc (&ev->arena, room);
   for (size_t i = 0; i < len; i++) {
      if (format[i] != '%') {
         *p++ = format[i];
      } else if (!put_specifier (format[++i], local, &p)) {
         return ecl_eval_fail (ev, self, 18537,
                               "Could not convert date to string: date component was outside the supported range of "
                               "0-9999: year %lld",
                               (long long) local->civil.year);
      }
   }
   *out = ecl_string (text, (size_t) (p - text));
   return true;
}

bool
ecl_op_dateToString (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   static const char utc_format[] = "%Y-%m-%dT%H:%M:%S.%LZ", local_format[] = "%Y-%m-%dT%H:%M:%S.%L";
   ecl_value_t date, format;
   ecl_timezone_t zone = {0};
   ecl_local_t local;
   bool null_format, null_zone;
   int64_t ms;

   if (!ecl_expr_eval (self->args[TO_DATE], ev, &date) ||
       !read_format (self, ev, TO_FORMAT, 18533, ECL_DATE_TO_STRING_SPECIFIERS, &format, &null_format) ||
       !ecl_date_zone (self, ev, &zone, &null_zone)) {
      return false;
   }
   *out = ecl_null ();
   if (ecl_is_nullish (&date)) {
      return !self->args[TO_ON_NULL] || ecl_expr_eval (self->args[TO_ON_NULL], ev, out);
   }
   if (null_zone || null_format) {
      return true;
   }
   if (!ecl_date_require (self, ev, &date, &ms)) {
      return false;
   }
   ecl_date_local (&zone, ms, &local);
   if (!ecl_is_missing (&format)) {
      return format_date (self, ev, format.u.str, format.len, &local, out);
   }
   if (ecl_timezone_is_utc (&zone)) {
      return format_date (self, ev, utc_format, sizeof utc_format - 1, &local, out);
   }
   return format_date (self, ev, local_format, sizeof local_format - 1, &local, out);
}

/* ---- $dateFromString ---- */

enum { FROM_STRING, FROM_FORMAT, FROM_ZONE, FROM_ON_ERROR, FROM_ON_NULL };

static const ecl_date_arg_t from_args[] = {
   {"dateString", 40542}, {"format", 0}, {"timezone", 0}, {"onError", 0}, {"onNull", 0}};
static const ecl_date_form_t from_form = {from_args, 5, 40540, 40541, FROM_ZONE, -1, -1, -1, false};

ecl_expr_t *
ecl_op_dateFromString_parse (ecl_parse_t *parse, const ecl_operator_t *op, const ecl_field_t *spec)
{
   return ecl_date_parse_form (parse, op, spec, &from_form);
}

bool
ecl_op_dateFromString (const ecl_expr_t *self, ecl_eval_t *ev, ecl_value_t *out)
{
   ecl_value_t text, format;
   ecl_timezone_t zone = {0};
   bool null_format, null_zone, ok;
   bson_error_t error;
   int64_t ms = 0;

   if (!ecl_expr_eval (self->args[FROM_STRING], ev, &text) ||
       !read_format (self, ev, FROM_FORMAT, 40684, ECL_DATE_FROM_STRING_SPECIFIERS, &format, &null_format) ||
       !ecl_date_zone (self, ev, &zone, &null_zone)) {
      return false;
   }
   *out = ecl_null ();
   if (ecl_is_nullish (&text)) {
      return !self->args[FROM_ON_NULL] || ecl_expr_eval (self->args[FROM_ON_NULL], ev, out);
   }
   if (text.type != BSON_TYPE_UTF8) {
      ok = ecl_fail (&error, ECL_DOMAIN_MQL, 241, "$dateFromString requires that 'dateString' be a string, found: %s",
                     ecl_type_name (text.type));
   } else if (null_zone || null_format) {
      return true;
   } else if (ecl_is_missing (&format)) {
      ok = ecl_date_parse (text.u.str, text.len, &zone, &ms, &error);
   } else {
      ok = ecl_date_parse_format (text.u.str, text.len, format.u.str, format.len, &zone, &ms, &error);
   }
   if (ok) {
      *out = ecl_date (ms);
      return true;
   }
   if (self->args[FROM_ON_ERROR]) {
      return ecl_expr_eval (self->args[FROM_ON_ERROR], ev, out);
   }
   return ecl_eval_fail (ev, self, error.code, "%s", error.message);
}
