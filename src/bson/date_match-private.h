/* Tokens of a date's text: which form the text has here. For date_match.c and date_parse.c only. */
#ifndef ECL_BSON_DATE_MATCH_PRIVATE_H
#define ECL_BSON_DATE_MATCH_PRIVATE_H

#include "base/error.h"

typedef enum {
   FORM_WORD_YESTERDAY,
   FORM_WORD_NOW,
   FORM_WORD_NOON,
   FORM_WORD_TODAY,
   FORM_WORD_TOMORROW,
   FORM_TIMESTAMP,
   FORM_MONTH_EDGE,
   FORM_UNSUPPORTED,
   FORM_TIME_12,
   FORM_TIME_12_FRACTION,
   FORM_TIME_24,
   FORM_TIME_OR_YEAR, /* four digits: hours and minutes, or a year where the time is known */
   FORM_MONTH_DAY_YEAR,
   FORM_YEAR_MONTH_DAY,
   FORM_SHORT_YEAR_MONTH_DAY,
   FORM_YEAR_MONTH,
   FORM_DAY_MONTH_YEAR,
   FORM_DAY_NAME_YEAR,
   FORM_NAME_YEAR,
   FORM_YEAR_NAME,
   FORM_NAME_DAY_YEAR,
   FORM_DAY_NAME,
   FORM_DATE_TIME,
   FORM_YEAR_DAY,
   FORM_ISO_WEEK,
   FORM_YEAR_NAME_DAY,
   FORM_LOG,
   FORM_YEAR,
   FORM_AGO,
   FORM_WEEKDAY,
   FORM_RELATIVE_TEXT,
   FORM_NAME,
   FORM_ZONE,
   FORM_NAME_DAY_TIME_12,
   FORM_NAME_DAY_TIME,
   FORM_RELATIVE,
} ecl_text_form_t;

typedef enum {
   UNIT_MICROS,
   UNIT_SECONDS,
   UNIT_DAYS,
   UNIT_MONTHS,
   UNIT_YEARS,
   UNIT_WEEKDAY,
   UNIT_WORKDAYS
} ecl_text_unit_t;

typedef struct {
   const char *begin;
   const char *end;
} ecl_span_t;

/* The end of the longest token at p, and its form; NULL where none begins here. It may be one past the end of the
 * text, where a form asks for an end. */
const char *
ecl_date_match (const ecl_span_t *text, const char *p, ecl_text_form_t *form);

/* Length of word (lower case) where the text goes on with it, in any case; else 0. */
size_t
ecl_date_match_word (const ecl_span_t *text, const char *p, const char *word);

/* Length of the name of a unit here, or 0. factor: how many of the unit it is; the day for UNIT_WEEKDAY. */
size_t
ecl_date_match_unit (const ecl_span_t *text, const char *p, ecl_text_unit_t *unit, int32_t *factor);

/* 1 … 12 for "first" … "twelfth" here, else 0. */
int32_t
ecl_date_match_ordinal (const ecl_span_t *text, const char *p);

#endif
