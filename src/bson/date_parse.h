/* Reading a date from text, as MongoDB does ($dateFromString, $toDate, $convert).
 *
 * Without a format the grammar is that of the timelib library, which the server uses: ISO 8601 in its forms,
 * "2017/07/04", "07/04/2017", "4.7.2017", "July 4th, 2017 11am", "20170704T115602", "@1499169362", followed or not by a
 * time and a zone ("Z", "+02:00", "GMT+0545", "CEST"; names such as Europe/Paris are not taken inside a text). What has
 * no full date is refused. Relative words ("2017-07-04 +1 day", "tue") are understood as far as they need no clock;
 * "first monday of" and "weekdays" are not.
 */
#ifndef ECL_BSON_DATE_PARSE_H
#define ECL_BSON_DATE_PARSE_H

#include "bson/timezone.h"

/* Reads len bytes of text. zone is the one that local times are in; NULL for UTC. A text that names a zone itself is
 * refused where zone is given and is not UTC. *error (nullable) has the code 241, ConversionFailure. */
bool
ecl_date_parse (const char *text, size_t len, const ecl_timezone_t *zone, int64_t *ms,
                bson_error_t *error) ECL_MUST_CHECK;

/* The same by a format of MongoDB's: %d %m %Y %H %M %S %L %G %V %u %j %b %B %z %Z %%; it must have been checked with
 * ecl_date_check_format. */
bool
ecl_date_parse_format (const char *text, size_t len, const char *format, size_t format_len, const ecl_timezone_t *zone,
                       int64_t *ms, bson_error_t *error) ECL_MUST_CHECK;

/* Specifiers that may stand behind '%', apart from '%' itself. */
#define ECL_DATE_FROM_STRING_SPECIFIERS "bBdGHjLmMSuVYzZ"
#define ECL_DATE_TO_STRING_SPECIFIERS "bBdGHjLmMSwuUVYzZ"

/* Code 18535 where '%' is the last character, 18536 where another one than a specifier follows it. */
bool
ecl_date_check_format (const char *format, size_t len, const char *specifiers, bson_error_t *error) ECL_MUST_CHECK;

#endif
