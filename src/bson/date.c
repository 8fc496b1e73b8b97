/* The civil calendar: days to year, month, day and back, weeks of both kinds.
 *
 * Days are counted in eras of 400 years (146,097 days) that begin on the first of March, so that the leap day is the
 * last of its year and every formula is exact in integers. */
#include "bson/date.h"

#define DAYS_PER_ERA INT64_C (146097)
/* from 0000-03-01 to 1970-01-01 */
#define EPOCH_DAYS INT64_C (719468)

int64_t
ecl_date_days (int64_t year, int32_t month, int64_t day)
{
   int64_t y = month <= 2 ? year - 1 : year;
   int64_t era = ecl_floor_div (y, 400);
   int64_t year_of_era = y - era * 400;
   int64_t month_from_march = month > 2 ? month - 3 : month + 9;
   /* 153 days are five months that begin in March or August: 31 30 31 30 31 */
   int64_t day_of_year = (153 * month_from_march + 2) / 5;
   int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

   return era * DAYS_PER_ERA + day_of_era - EPOCH_DAYS + day - 1;
}

void
ecl_date_from_days (int64_t days, ecl_civil_t *out)
{
   int64_t shifted = days + EPOCH_DAYS;
   int64_t era = ecl_floor_div (shifted, DAYS_PER_ERA);
   int64_t day_of_era = shifted - era * DAYS_PER_ERA;
   /* 1460, 36524 and 146096: the last days of 4, 100 and 400 years, which must not begin another year */
   int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
   int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
   int64_t month_from_march = (5 * day_of_year + 2) / 153;

   out->day = (int32_t) (day_of_year - (153 * month_from_march + 2) / 5 + 1);
   out->month = (int32_t) (month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
   out->year = year_of_era + era * 400 + (out->month <= 2);
}

void
ecl_date_split (int64_t ms, ecl_civil_t *out)
{
   int64_t days = ecl_floor_div (ms, ECL_MS_PER_DAY);
   int32_t rest = (int32_t) ecl_floor_mod (ms, ECL_MS_PER_DAY);

   ecl_date_from_days (days, out);
   out->hour = rest / (int32_t) ECL_MS_PER_HOUR;
   out->minute = rest / (int32_t) ECL_MS_PER_MINUTE % 60;
   out->second = rest / (int32_t) ECL_MS_PER_SECOND % 60;
   out->millisecond = rest % 1000;
}

bool
ecl_date_join (const ecl_civil_t *civil, int64_t *ms)
{
   int64_t days, whole;
   int64_t rest = civil->hour * ECL_MS_PER_HOUR + civil->minute * ECL_MS_PER_MINUTE +
                  civil->second * ECL_MS_PER_SECOND + civil->millisecond;

   if (civil->year < -300000000 || civil->year > 300000000) {
      return false;
   }
   days = ecl_date_days (civil->year, civil->month, civil->day);
   /* The first representable day is not whole: counting from its end keeps the product in range. */
   if (days < 0) {
      days++;
      rest -= ECL_MS_PER_DAY;
   }
   return !__builtin_mul_overflow (days, ECL_MS_PER_DAY, &whole) && !__builtin_add_overflow (whole, rest, ms);
}

bool
ecl_is_leap_year (int64_t year)
{
   return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int32_t
ecl_days_in_month (int64_t year, int32_t month)
{
   static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

   return month == 2 && ecl_is_leap_year (year) ? 29 : days[month - 1];
}

int32_t
ecl_day_of_week (int64_t days)
{
   /* 1970-01-01 was a Thursday */
   return (int32_t) ecl_floor_mod (days + 4, 7);
}

int32_t
ecl_day_of_year (int64_t days)
{
   ecl_civil_t civil;

   ecl_date_from_days (days, &civil);
   return (int32_t) (days - ecl_date_days (civil.year, 1, 1)) + 1;
}

void
ecl_iso_week (int64_t days, int64_t *year, int32_t *week)
{
   ecl_civil_t civil;
   /* A week belongs to the year of its Thursday. */
   int64_t thursday = days - ecl_floor_mod (days + 3, 7) + 3;

   ecl_date_from_days (thursday, &civil);
   *year = civil.year;
   *week = (int32_t) ((thursday - ecl_date_days (civil.year, 1, 1)) / 7) + 1;
}

int64_t
ecl_iso_days (int64_t year, int64_t week, int64_t day)
{
   int64_t january_4 = ecl_date_days (year, 1, 4);
   int64_t monday = january_4 - ecl_floor_mod (january_4 + 3, 7);

   return monday + (week - 1) * 7 + (day - 1);
}

int32_t
ecl_week_of_year (int64_t days)
{
   return (ecl_day_of_year (days) - 1 + 7 - ecl_day_of_week (days)) / 7;
}

char *
ecl_put_digits (char *out, int64_t value, uint32_t width)
{
   char digits[24];
   uint32_t n = 0;

   do {
      digits[n++] = (char) ('0' + value % 10);
      value /= 10;
   } while (value);
   while (n < width) {
      digits[n++] = '0';
   }
   while (n) {
      *out++ = digits[--n];
   }
   return out;
}

size_t
ecl_date_to_iso (int64_t ms, char out[ECL_DATE_ISO_SIZE])
{
   ecl_civil_t civil;
   char *p = out;

   ecl_date_split (ms, &civil);
   if (civil.year < 0 || civil.year > 9999) {
      out[0] = '\0';
      return 0;
   }
   p = ecl_put_digits (p, civil.year, 4);
   *p++ = '-';
   p = ecl_put_digits (p, civil.month, 2);
   *p++ = '-';
   p = ecl_put_digits (p, civil.day, 2);
   *p++ = 'T';
   p = ecl_put_digits (p, civil.hour, 2);
   *p++ = ':';
   p = ecl_put_digits (p, civil.minute, 2);
   *p++ = ':';
   p = ecl_put_digits (p, civil.second, 2);
   *p++ = '.';
   p = ecl_put_digits (p, civil.millisecond, 3);
   *p++ = 'Z';
   *p = '\0';
   return (size_t) (p - out);
}
