/* Reading a date from text without a format: what each token says (date_match.c finds them), and the whole.
 *
 * The common ISO forms take a short way before any of it. */
#include "bson/date_parse.h"

#include "base/ascii.h"
#include "bson/date_match-private.h"
#include "bson/date_text-private.h"

#include <string.h>

/* ---- what a token says ---- */

typedef struct {
   ecl_date_text_t date;
   bool has_date, has_time;
   const char *problem;
} reader_t;

static bool
problem (reader_t *self, const char *text)
{
   self->problem = text;
   return false;
}

static bool
have_date (reader_t *self)
{
   if (self->has_date) {
      return problem (self, "Double date specification");
   }
   self->has_date = true;
   return true;
}

static bool
have_time (reader_t *self)
{
   if (self->has_time) {
      return problem (self, "Double time specification");
   }
   self->has_time = true;
   self->date.hour = self->date.minute = self->date.second = self->date.micros = 0;
   return true;
}

static void
drop_time (reader_t *self)
{
   self->has_time = false;
   self->date.hour = self->date.minute = self->date.second = self->date.micros = 0;
}

static bool
have_zone (reader_t *self, const char **p, const char *end)
{
   if (self->date.has_zone) {
      return problem (self, "Double timezone specification");
   }
   return ecl_date_text_zone (&self->date, p, end) ||
          problem (self, "passing a time zone identifier as part of the string is not allowed");
}

static int64_t
number (const char **p, const char *end, uint32_t max)
{
   return ecl_date_text_number (p, end, max, NULL);
}

/* A year of two digits is one between 1970 and 2069. */
static int64_t
short_year (const char **p, const char *end)
{
   uint32_t digits;
   int64_t year = ecl_date_text_number (p, end, 4, &digits);

   if (year == ECL_UNSET || digits >= 4 || year >= 100) {
      return year;
   }
   return year + (year < 70 ? 2000 : 1900);
}

static int64_t
month_name (const char **p, const char *end)
{
   const char *word;

   while (*p < end && !ecl_is_letter (**p)) {
      ++*p;
   }
   word = *p;
   while (*p < end && ecl_is_letter (**p)) {
      ++*p;
   }
   return ecl_date_text_month (word, (size_t) (*p - word));
}

/* A number with signs before it; each '-' turns it round. */
static int64_t
signed_number (const char **p, const char *end, uint32_t max)
{
   bool negative = false;
   int64_t n;

   while (*p < end && !ecl_is_digit (**p)) {
      negative ^= **p == '-';
      ++*p;
   }
   n = number (p, end, max);
   return negative && n != ECL_UNSET ? -n : n;
}

/* Digits behind the point; finer than microseconds is cut. */
static int64_t
fraction (const char **p, const char *end)
{
   int64_t n = 0, scale = 100000;

   ++*p;
   while (*p < end && ecl_is_digit (**p)) {
      n += (**p - '0') * scale;
      scale /= 10;
      ++*p;
   }
   return n;
}

/* [tT]? h [:.]? m ([:.]? s fraction?)? */
static void
read_time (reader_t *self, const char **p, const char *end)
{
   self->date.hour = number (p, end, 2);
   self->date.minute = number (p, end, 2);
   if (*p < end && (**p == ':' || **p == '.' || ecl_is_digit (**p))) {
      self->date.second = number (p, end, 2);
      if (*p < end && **p == '.') {
         self->date.micros = fraction (p, end);
      }
   }
}

static void
read_meridian (reader_t *self, const char *p, const char *end)
{
   while (p < end && !strchr ("aApP", *p)) {
      p++;
   }
   if (p < end && (*p == 'a' || *p == 'A')) {
      self->date.hour -= self->date.hour == 12 ? 12 : 0;
   } else {
      self->date.hour += self->date.hour == 12 ? 0 : 12;
   }
}

static bool
add_unit (reader_t *self, int64_t amount, const char *p, const char *end, int32_t behavior)
{
   ecl_date_text_t *date = &self->date;
   ecl_span_t text = {p, end};
   ecl_text_unit_t unit;
   int32_t factor;
   int64_t *sum = NULL;

   if (!ecl_date_match_unit (&text, p, &unit, &factor)) {
      return problem (self, "Unexpected unit");
   }
   switch (unit) {
   case UNIT_MICROS:
      sum = &date->add_micros;
      break;
   case UNIT_SECONDS:
      sum = &date->add_seconds;
      break;
   case UNIT_DAYS:
      sum = &date->add_days;
      break;
   case UNIT_MONTHS:
      sum = &date->add_months;
      break;
   case UNIT_YEARS:
      sum = &date->add_years;
      break;
   case UNIT_WEEKDAY:
      drop_time (self);
      date->has_weekday = true;
      date->weekday = factor;
      date->weekday_behavior = behavior;
      amount = amount > 0 ? amount - 1 : amount;
      factor = 7;
      sum = &date->add_days;
      break;
   default:
      return problem (self, "counting weekdays is not supported");
   }
   if (__builtin_mul_overflow (amount, factor, &amount) || __builtin_add_overflow (*sum, amount, sum)) {
      return problem (self, "Number out of range");
   }
   return true;
}

static bool
relative_text (reader_t *self, const char *p, const char *end)
{
   ecl_span_t text = {p, end};
   const char *unit = p;
   int64_t amount = 0;
   int32_t behavior = 0;

   if (ecl_date_match_word (&text, p, "next")) {
      amount = 1;
   } else if (ecl_date_match_word (&text, p, "last") || ecl_date_match_word (&text, p, "previous")) {
      amount = -1;
   } else if (ecl_date_match_word (&text, p, "this")) {
      behavior = 1;
   } else {
      amount = ecl_date_match_ordinal (&text, p);
   }
   while (unit < end && ecl_is_letter (*unit)) {
      unit++;
   }
   while (unit < end && !ecl_is_letter (*unit) && !(*unit & 0x80)) {
      unit++;
   }
   return add_unit (self, amount, unit, end, behavior);
}

static bool
timestamp (reader_t *self, const char *p, const char *end)
{
   ecl_date_text_t *date = &self->date;
   int64_t seconds;

   if (date->has_zone) {
      return problem (self, "Double timezone specification");
   }
   drop_time (self);
   self->has_date = false;
   seconds = signed_number (&p, end, 24);
   if (__builtin_add_overflow (date->add_seconds, seconds, &date->add_seconds)) {
      return problem (self, "Number out of range");
   }
   if (p < end && *p == '.') {
      date->add_micros = fraction (&p, end);
   }
   date->year = 1970;
   date->month = date->day = 1;
   date->has_zone = true;
   date->offset = 0;
   return true;
}

static bool
iso_week (reader_t *self, const char *p, const char *end)
{
   ecl_date_text_t *date = &self->date;
   int64_t year, week, day;

   if (!have_date (self)) {
      return false;
   }
   year = number (&p, end, 4);
   week = number (&p, end, 2);
   day = number (&p, end, 1);
   date->year = year;
   date->month = date->day = 1;
   date->add_days = ecl_iso_days (year, week, day == ECL_UNSET ? 1 : day) - ecl_date_days (year, 1, 1);
   return true;
}

static bool
read_token (reader_t *self, ecl_text_form_t form, const char *p, const char *end)
{
   ecl_date_text_t *date = &self->date;

   switch (form) {
   case FORM_WORD_NOW:
      return true;
   case FORM_WORD_YESTERDAY:
   case FORM_WORD_TOMORROW:
      drop_time (self);
      date->add_days = form == FORM_WORD_TOMORROW ? 1 : -1;
      return true;
   case FORM_WORD_TODAY:
      drop_time (self);
      return true;
   case FORM_WORD_NOON:
      drop_time (self);
      self->has_time = true;
      date->hour = 12;
      return true;
   case FORM_TIMESTAMP:
      return timestamp (self, p, end);
   case FORM_MONTH_EDGE:
      date->month_edge = *p == 'l' || *p == 'L' ? 2 : 1;
      return true;
   case FORM_UNSUPPORTED:
      return problem (self, "this relative form is not supported");
   case FORM_TIME_12:
   case FORM_TIME_12_FRACTION:
      if (!have_time (self)) {
         return false;
      }
      date->hour = number (&p, end, 2);
      if (*p == ':' || *p == '.') {
         date->minute = number (&p, end, 2);
         if (*p == ':' || *p == '.') {
            date->second = number (&p, end, 2);
            if (form == FORM_TIME_12_FRACTION) {
               date->micros = fraction (&p, end);
            }
         }
      }
      read_meridian (self, p, end);
      return true;
   case FORM_TIME_24:
      if (!have_time (self)) {
         return false;
      }
      read_time (self, &p, end);
      return true;
   case FORM_TIME_OR_YEAR:
      if (self->has_time) {
         if (date->year != ECL_UNSET) {
            return problem (self, "Double time specification");
         }
         date->year = number (&p, end, 4);
         return true;
      }
      self->has_time = true;
      date->hour = number (&p, end, 2);
      date->minute = number (&p, end, 2);
      date->second = date->micros = 0;
      return true;
   case FORM_DATE_TIME:
      if (!have_time (self) || !have_date (self)) {
         return false;
      }
      date->year = number (&p, end, 4);
      date->month = number (&p, end, 2);
      date->day = number (&p, end, 2);
      date->hour = number (&p, end, 2);
      date->minute = number (&p, end, 2);
      date->second = number (&p, end, 2);
      if (p < end && *p == '.') {
         date->micros = fraction (&p, end);
      }
      return p >= end || have_zone (self, &p, end);
   case FORM_ISO_WEEK:
      return iso_week (self, p, end);
   case FORM_YEAR:
      date->year = number (&p, end, 4);
      return true;
   case FORM_AGO:
      date->add_years = -date->add_years;
      date->add_months = -date->add_months;
      date->add_days = -date->add_days;
      date->add_seconds = -date->add_seconds;
      date->add_micros = -date->add_micros;
      return true;
   case FORM_WEEKDAY:
      return add_unit (self, 0, p, end, 1);
   case FORM_RELATIVE_TEXT:
      return relative_text (self, p, end);
   case FORM_RELATIVE: {
      int64_t amount = signed_number (&p, end, 24);

      while (p < end && (*p == ' ' || *p == '\t')) {
         p++;
      }
      return add_unit (self, amount, p, end, 1);
   }
   case FORM_ZONE:
      return have_zone (self, &p, end);
   default:
      break;
   }
   /* What is left has a date. */
   if (!have_date (self)) {
      return false;
   }
   switch (form) {
   case FORM_MONTH_DAY_YEAR:
      date->month = number (&p, end, 2);
      date->day = number (&p, end, 2);
      if (p < end) {
         date->year = short_year (&p, end);
      }
      break;
   case FORM_YEAR_MONTH_DAY:
      date->year = *p == '+' || *p == '-' ? signed_number (&p, end, 19)
                                          : number (&p, end, memchr (p, '-', (size_t) (end - p)) ? 19 : 4);
      date->month = number (&p, end, 2);
      date->day = number (&p, end, 2);
      break;
   case FORM_SHORT_YEAR_MONTH_DAY:
      date->year = short_year (&p, end);
      date->month = number (&p, end, 2);
      date->day = number (&p, end, 2);
      break;
   case FORM_YEAR_MONTH:
      date->year = number (&p, end, 4);
      date->month = number (&p, end, 2);
      date->day = 1;
      break;
   case FORM_DAY_MONTH_YEAR:
      date->day = number (&p, end, 2);
      date->month = number (&p, end, 2);
      date->year = short_year (&p, end);
      break;
   case FORM_DAY_NAME_YEAR:
   case FORM_DAY_NAME:
   case FORM_LOG:
      date->day = number (&p, end, 2);
      /* st, nd, rd, th belong to the day; no month begins with them but with a space before it they would not */
      if (end - p > 2 && strchr ("snrt", *p) && !ecl_date_text_month (p, 3) && strchr ("tdh", p[1])) {
         p += 2;
      }
      date->month = month_name (&p, end);
      if (form == FORM_DAY_NAME_YEAR) {
         date->year = short_year (&p, end);
      } else if (form == FORM_LOG) {
         if (!have_time (self)) {
            return false;
         }
         date->year = number (&p, end, 4);
         date->hour = number (&p, end, 2);
         date->minute = number (&p, end, 2);
         date->second = number (&p, end, 2);
         return have_zone (self, &p, end);
      }
      break;
   case FORM_NAME_YEAR:
      date->month = month_name (&p, end);
      date->year = short_year (&p, end);
      date->day = 1;
      break;
   case FORM_YEAR_NAME:
      date->year = short_year (&p, end);
      date->month = month_name (&p, end);
      date->day = 1;
      break;
   case FORM_NAME_DAY_YEAR:
      date->month = month_name (&p, end);
      date->day = number (&p, end, 2);
      if (number (&(const char *){p}, end, 1) != ECL_UNSET) {
         date->year = short_year (&p, end);
      }
      break;
   case FORM_YEAR_DAY:
      date->year = number (&p, end, 4);
      date->day = number (&p, end, 3);
      date->month = 1;
      if (date->day > ecl_days_in_month (date->year, 1)) {
         ecl_civil_t civil;

         ecl_date_from_days (ecl_date_days (date->year, 1, date->day), &civil);
         date->month = civil.month;
         date->day = civil.day;
         date->year = civil.year;
      }
      break;
   case FORM_YEAR_NAME_DAY:
      date->year = short_year (&p, end);
      date->month = month_name (&p, end);
      date->day = number (&p, end, 2);
      break;
   case FORM_NAME:
      date->month = month_name (&p, end);
      break;
   case FORM_NAME_DAY_TIME_12:
   case FORM_NAME_DAY_TIME:
      date->month = month_name (&p, end);
      date->day = number (&p, end, 2);
      if (!have_time (self)) {
         return false;
      }
      read_time (self, &p, end);
      if (form == FORM_NAME_DAY_TIME_12) {
         read_meridian (self, p, end);
      } else {
         return p >= end || have_zone (self, &p, end);
      }
      break;
   default:
      break;
   }
   return true;
}

/* ---- the whole text ---- */

static bool
two (const char *p, int32_t most, int32_t *out)
{
   *out = (p[0] - '0') * 10 + (p[1] - '0');
   return ecl_is_digit (p[0]) && ecl_is_digit (p[1]) && *out <= most;
}

/* YYYY-MM-DD, with [T ]hh:mm:ss, a fraction and Z or nothing: what nearly all texts are. */
static bool
read_iso (const char *p, size_t len, bool utc, int64_t *ms)
{
   ecl_civil_t civil = {0};
   int32_t century, year;
   const char *end = p + len;

   if (len < 10 || !two (p, 99, &century) || !two (p + 2, 99, &year) || p[4] != '-' || !two (p + 5, 12, &civil.month) ||
       p[7] != '-' || !two (p + 8, 31, &civil.day) || civil.month == 0 || civil.day == 0) {
      return false;
   }
   civil.year = century * 100 + year;
   if (civil.day > ecl_days_in_month (civil.year, civil.month)) {
      return false;
   }
   p += 10;
   if (p < end) {
      if (end - p < 9 || (*p != 'T' && *p != ' ') || !two (p + 1, 23, &civil.hour) || p[3] != ':' ||
          !two (p + 4, 59, &civil.minute) || p[6] != ':' || !two (p + 7, 59, &civil.second)) {
         return false;
      }
      p += 9;
      if (end - p > 1 && *p == '.' && ecl_is_digit (p[1])) {
         int32_t scale = 100;

         for (p++; p < end && ecl_is_digit (*p); p++, scale /= 10) {
            civil.millisecond += (*p - '0') * scale;
         }
      }
      if (p < end && *p == 'Z' && utc) {
         p++;
      }
   }
   return p == end && utc && ecl_date_join (&civil, ms);
}

static bool
is_space (char c)
{
   return c == ' ' || (c >= '\t' && c <= '\r');
}

bool
ecl_date_parse (const char *string, size_t len, const ecl_timezone_t *zone, int64_t *ms, bson_error_t *error)
{
   ecl_span_t text = {string, string + len};
   reader_t reader = {0};
   const char *p;

   if (read_iso (string, len, !zone || ecl_timezone_is_utc (zone), ms)) {
      return true;
   }
   while (text.begin < text.end && is_space (*text.begin)) {
      text.begin++;
   }
   while (text.begin < text.end && is_space (text.end[-1])) {
      text.end--;
   }
   ecl_date_text_init (&reader.date);
   p = text.begin;
   if (p == text.end) {
      reader.problem = "Empty string";
   }
   while (p < text.end && !reader.problem) {
      ecl_text_form_t form = FORM_UNSUPPORTED;
      const char *best;

      if (strchr (" .,\t\n", *p)) { /* and NUL */
         /* ".5" and the like begin nothing */
         p++;
         continue;
      }
      best = ecl_date_match (&text, p, &form);
      if (!best) {
         reader.problem = "Unexpected character";
         break;
      }
      if (!read_token (&reader, form, p, best < text.end ? best : text.end)) {
         break;
      }
      p = best;
   }
   if (!reader.problem && ((reader.has_time && !ecl_date_text_valid_time (&reader.date)) ||
                           (reader.has_date && !ecl_date_text_valid_date (&reader.date)))) {
      reader.problem = "The parsed date or time was invalid or incomplete";
   }
   if (reader.problem) {
      return ecl_fail (error, ECL_DOMAIN_MQL, 241, "Error parsing date string '%.*s'; %d: %s",
                       (int) ecl_shown (string, len, 100), string, (int) (p - string), reader.problem);
   }
   return ecl_date_text_finish (&reader.date, zone, string, len, ms, error);
}
