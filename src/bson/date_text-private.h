/* What the two readers of dates share: the fields as they are found, and what becomes of them. */
#ifndef ECL_BSON_DATE_TEXT_PRIVATE_H
#define ECL_BSON_DATE_TEXT_PRIVATE_H

#include "bson/date.h"
#include "bson/timezone.h"

#define ECL_UNSET INT64_MIN

typedef struct {
   int64_t year, month, day, hour, minute, second, micros; /* ECL_UNSET until found */
   bool has_zone;
   int32_t offset; /* seconds east of UTC, where has_zone */
   /* to be added once all is known */
   int64_t add_years, add_months, add_days, add_seconds, add_micros;
   bool has_weekday;
   int32_t weekday;          /* 0 Sunday */
   int32_t weekday_behavior; /* 0: never the day itself; 1: the day itself if it is one; 2: of the same week */
   int32_t month_edge;       /* 1: first day of the month, 2: last */
} ecl_date_text_t;

void
ecl_date_text_init (ecl_date_text_t *self);

/* A number of at most max digits, after skipping what is no digit; ECL_UNSET where there is none. *digits (nullable)
 * is how many it has. */
int64_t
ecl_date_text_number (const char **p, const char *end, uint32_t max, uint32_t *digits);

/* 1 … 12 for an English name or its first three letters in any case (or a roman number), else 0. */
int32_t
ecl_date_text_month (const char *name, size_t len);

/* A zone at *p: an offset or an abbreviation; false where there is none that is known. */
bool
ecl_date_text_zone (ecl_date_text_t *self, const char **p, const char *end);

/* False where the parts are out of their ranges. */
bool
ecl_date_text_valid_date (const ecl_date_text_t *self);

bool
ecl_date_text_valid_time (const ecl_date_text_t *self);

/* The instant; text is for messages. */
bool
ecl_date_text_finish (ecl_date_text_t *self, const ecl_timezone_t *zone, const char *text, size_t len, int64_t *ms,
                      bson_error_t *error);

#endif
