/* Reading a date by a format, and checking formats. */
#include "bson/date_parse.h"

#include "base/ascii.h"
#include "bson/date_text-private.h"

#include <string.h>

bool
ecl_date_check_format (const char *format, size_t len, const char *specifiers, bson_error_t *error)
{
   for (size_t i = 0; i < len; i++) {
      if (format[i] != '%') {
         continue;
      }
      if (++i == len) {
         return ecl_fail (error, ECL_DOMAIN_MQL, 18535, "Unmatched '%%' at end of format string");
      }
      if (format[i] != '%' && (format[i] == '\0' || !strchr (specifiers, format[i]))) {
         return ecl_fail (error, ECL_DOMAIN_MQL, 18536, "Invalid format character '%%%c' in format string", format[i]);
      }
   }
   return true;
}

typedef struct {
   ecl_date_text_t date;
   int64_t iso_year, iso_week, iso_day;
} fields_t;

/* A number that must begin here. */
static int64_t
number_here (const char **p, const char *end, uint32_t max, uint32_t *digits)
{
   if (**p < '0' || **p > '9') {
      return ECL_UNSET;
   }
   return ecl_date_text_number (p, end, max, digits);
}

/* ±mmm */
static bool
zone_minutes (ecl_date_text_t *date, const char **p, const char *end)
{
   bool west = **p == '-';
   int64_t minutes = 0;

   if (**p != '+' && **p != '-') {
      return false;
   }
   ++*p;
   if (*p < end && ecl_is_digit (**p)) {
      minutes = ecl_date_text_number (p, end, 9, NULL);
   }
   if (minutes > 1000000 || (*p < end && ecl_is_digit (**p))) {
      return false;
   }
   date->has_zone = true;
   date->offset = (int32_t) (west ? -minutes : minutes) * 60;
   return true;
}

/* Day of year is counted from 0 here, as the server's library does ("2017 001" with "%Y %j" is the second of January), and
 * only after a year. */
static bool
day_of_year (ecl_date_text_t *date, int64_t day)
{
   ecl_civil_t civil;

   if (day == ECL_UNSET || date->year == ECL_UNSET) {
      return false;
   }
   ecl_date_from_days (ecl_date_days (date->year, 1, day + 1), &civil);
   date->year = civil.year;
   date->month = civil.month;
   date->day = civil.day;
   return true;
}

/* Reads what one specifier stands for; *p is before the end. */
static bool
read_specifier (fields_t *fields, char specifier, const char **p, const char *end)
{
   ecl_date_text_t *date = &fields->date;
   uint32_t digits;
   const char *word = *p;

   switch (specifier) {
   case 'Y':
      return (date->year = number_here (p, end, 4, NULL)) != ECL_UNSET;
   case 'm':
      return (date->month = number_here (p, end, 2, NULL)) != ECL_UNSET;
   case 'd':
      return (date->day = number_here (p, end, 2, NULL)) != ECL_UNSET;
   case 'H':
      return (date->hour = number_here (p, end, 2, NULL)) != ECL_UNSET;
   case 'M':
      return (date->minute = number_here (p, end, 2, &digits)) != ECL_UNSET && digits == 2;
   case 'S':
      return (date->second = number_here (p, end, 2, &digits)) != ECL_UNSET && digits == 2;
   case 'L': {
      static const int32_t scale[] = {0, 100000, 10000, 1000};
      int64_t n = number_here (p, end, 3, &digits);

      if (n == ECL_UNSET) {
         return false;
      }
      date->micros = n * scale[digits];
      return true;
   }
   case 'j':
      return day_of_year (date, number_here (p, end, 3, NULL));
   case 'G':
      return (fields->iso_year = ecl_date_text_number (p, end, 4, NULL)) != ECL_UNSET;
   case 'V':
      fields->iso_week = ecl_date_text_number (p, end, 2, NULL);
      return fields->iso_week >= 1 && fields->iso_week <= 53;
   case 'u':
      fields->iso_day = ecl_date_text_number (p, end, 1, NULL);
      return fields->iso_day >= 1 && fields->iso_day <= 7;
   case 'b':
   case 'B':
      while (*p < end && ecl_is_letter (**p)) {
         ++*p;
      }
      date->month = ecl_date_text_month (word, (size_t) (*p - word));
      return date->month != 0;
   case 'z':
      return ecl_date_text_zone (date, p, end);
   default: /* 'Z' */
      return zone_minutes (date, p, end);
   }
}

static bool
resolve_iso (fields_t *fields)
{
   ecl_date_text_t *date = &fields->date;
   bool iso = fields->iso_week != ECL_UNSET || fields->iso_day != ECL_UNSET;
   ecl_civil_t civil;

   if (fields->iso_year == ECL_UNSET) {
      /* a week or its day without its year, or beside a natural one */
      return !iso;
   }
   if (date->year != ECL_UNSET || date->month != ECL_UNSET || date->day != ECL_UNSET) {
      return false;
   }
   ecl_date_from_days (ecl_iso_days (fields->iso_year, fields->iso_week == ECL_UNSET ? 1 : fields->iso_week,
                                     fields->iso_day == ECL_UNSET ? 1 : fields->iso_day),
                       &civil);
   date->year = civil.year;
   date->month = civil.month;
   date->day = civil.day;
   return true;
}

/* What is there of a time makes the rest 0; what is there must be in its range. */
static bool
complete (ecl_date_text_t *date)
{
   if (date->hour != ECL_UNSET || date->minute != ECL_UNSET || date->second != ECL_UNSET || date->micros != ECL_UNSET) {
      date->hour = date->hour == ECL_UNSET ? 0 : date->hour;
      date->minute = date->minute == ECL_UNSET ? 0 : date->minute;
      date->second = date->second == ECL_UNSET ? 0 : date->second;
      date->micros = date->micros == ECL_UNSET ? 0 : date->micros;
      if (!ecl_date_text_valid_time (date)) {
         return false;
      }
   }
   return date->year == ECL_UNSET || date->month == ECL_UNSET || date->day == ECL_UNSET ||
          ecl_date_text_valid_date (date);
}

bool
ecl_date_parse_format (const char *text, size_t len, const char *format, size_t format_len, const ecl_timezone_t *zone,
                       int64_t *ms, bson_error_t *error)
{
   const char *p = text, *end, *f = format, *f_end;
   fields_t fields = {.iso_year = ECL_UNSET, .iso_week = ECL_UNSET, .iso_day = ECL_UNSET};
   int shown = (int) ecl_shown (text, len, 100);
   const char *problem = NULL;

   /* Both end at a NUL. */
   end = memchr (text, 0, len);
   end = end ? end : text + len;
   f_end = memchr (format, 0, format_len);
   f_end = f_end ? f_end : format + format_len;
   ecl_date_text_init (&fields.date);
   while (f < f_end && p < end && !problem) {
      if (*f != '%' || (f + 1 < f_end && f[1] == '%')) {
         if (*p != *f) {
            problem = "Format literal not found";
         }
         f += *f == '%' ? 2 : 1;
         p++;
      } else if (f + 1 == f_end) {
         problem = "Data missing";
      } else if (!read_specifier (&fields, f[1], &p, end)) {
         problem = "Unexpected data found";
      } else {
         f += 2;
      }
   }
   if (!problem && p < end) {
      problem = "Trailing data";
   } else if (!problem && f < f_end) {
      problem = "Data missing";
   } else if (!problem && !resolve_iso (&fields)) {
      problem = "Mixing of ISO dates with natural dates is not allowed";
   } else if (!problem && !complete (&fields.date)) {
      problem = "The parsed date was invalid";
   }
   if (problem) {
      return ecl_fail (error, ECL_DOMAIN_MQL, 241, "Error parsing date string '%.*s'; %d: %s", shown, text,
                       (int) (p - text), problem);
   }
   return ecl_date_text_finish (&fields.date, zone, text, len, ms, error);
}
