/* Dates: the civil calendar, on milliseconds since 1970 (UTC) as BSON holds them.
 *
 * The proleptic Gregorian calendar over the whole range of int64 milliseconds: years -292275055 to 292278994. Nothing
 * here overflows; what could not be said in int64 milliseconds is refused by its return value. No time zones: those are
 * in bson/timezone.h, which turns an instant into local milliseconds that the functions here take apart.
 */
#ifndef ECL_BSON_DATE_H
#define ECL_BSON_DATE_H

#include "base/error.h"

#define ECL_MS_PER_SECOND INT64_C (1000)
#define ECL_MS_PER_MINUTE INT64_C (60000)
#define ECL_MS_PER_HOUR INT64_C (3600000)
#define ECL_MS_PER_DAY INT64_C (86400000)

/* "0000-01-01T00:00:00.000Z" and a NUL */
#define ECL_DATE_ISO_SIZE 25

typedef struct {
   int64_t year;
   int32_t month; /* 1 … 12 */
   int32_t day;   /* 1 … 31 */
   int32_t hour;
   int32_t minute;
   int32_t second;
   int32_t millisecond;
} ecl_civil_t;

/* a / b and a mod b, rounded towards minus infinity; b > 0. */
static inline int64_t
ecl_floor_div (int64_t a, int64_t b)
{
   return a / b - (a % b < 0);
}

static inline int64_t
ecl_floor_mod (int64_t a, int64_t b)
{
   int64_t r = a % b;
   return r < 0 ? r + b : r;
}

/* Days since 1970-01-01 of a day of the calendar. year must be within ±10^12, month 1 … 12; day may be any number
 * within ±10^12: days past the end of the month go on in the next. */
int64_t
ecl_date_days (int64_t year, int32_t month, int64_t day);

/* The day of the calendar; only year, month and day are set. days within ±10^14. */
void
ecl_date_from_days (int64_t days, ecl_civil_t *out);

/* Takes an instant apart. */
void
ecl_date_split (int64_t ms, ecl_civil_t *out);

/* The instant of its parts, which must be within their ranges except for the year; false where it does not fit. */
bool
ecl_date_join (const ecl_civil_t *civil, int64_t *ms) ECL_MUST_CHECK;

bool
ecl_is_leap_year (int64_t year);

/* 28 … 31 */
int32_t
ecl_days_in_month (int64_t year, int32_t month);

/* 0 Sunday … 6 Saturday, of days since 1970-01-01. */
int32_t
ecl_day_of_week (int64_t days);

/* 1 … 366 */
int32_t
ecl_day_of_year (int64_t days);

/* The ISO 8601 week date of a day: week 1 … 53 and the year it belongs to. */
void
ecl_iso_week (int64_t days, int64_t *year, int32_t *week);

/* Days since 1970-01-01 of an ISO week date; week and day may be any number within ±10^9. */
int64_t
ecl_iso_days (int64_t year, int64_t week, int64_t day);

/* Weeks begin on Sunday; the days before the first one are week 0. */
int32_t
ecl_week_of_year (int64_t days);

/* "2017-07-04T11:56:02.813Z" with a NUL; returns its length, or 0 (and an empty string) where the year is outside
 * 0 … 9999, for which that form has no room. */
size_t
ecl_date_to_iso (int64_t ms, char out[ECL_DATE_ISO_SIZE]);

/* Writes value with at least width digits, zeros before it; returns the byte behind. value must not be negative and
 * fit 20 digits. */
char *
ecl_put_digits (char *out, int64_t value, uint32_t width);

#endif
