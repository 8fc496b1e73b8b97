/* Versions: a number that orders, whatever the form in which documents keep it.
 *
 *    format    in a document                            as a user writes it   ecl_version_t
 *    integer   an integral number of any numeric type   3                     3
 *    dotted    a string                                 "1.2.0"               parts, 16 bits each, the first on top
 *    packed    a 64-bit integer, 16 bits a part         "1.2"                 that integer
 *
 * Dotted and packed versions have one to four parts; parts that are not written are 0, so "1.2" and "1.2.0" are the
 * same version. The first part goes to 32767, the others to 65535.
 */
#ifndef ECL_PROJECT_VERSION_H
#define ECL_PROJECT_VERSION_H

#include "bson/value.h"

typedef int64_t ecl_version_t;

typedef enum {
   ECL_VERSION_INTEGER,
   ECL_VERSION_DOTTED,
   ECL_VERSION_PACKED,
} ecl_version_format_t;

/* Room for any version as text. */
#define ECL_VERSION_TEXT 24

/* As a user writes it: dotted and packed with at least two parts. Returns text. */
const char *
ecl_version_text (ecl_version_format_t format, ecl_version_t version, char text[ECL_VERSION_TEXT]);

/* From what a user wrote; false where it is none. */
bool
ecl_version_parse (ecl_version_format_t format, const char *text, size_t len, ecl_version_t *version) ECL_MUST_CHECK;

/* From a value in a project's file: a number or a string for integers, a string for the others. */
bool
ecl_version_from_file (ecl_version_format_t format, const ecl_value_t *value, ecl_version_t *version) ECL_MUST_CHECK;

/* From the version field of a document; the field is there and not null. False where it holds no version. */
bool
ecl_version_from_document (ecl_version_format_t format, const ecl_value_t *value,
                           ecl_version_t *version) ECL_MUST_CHECK;

/* What such a version is written as: int32, int64, or a string in the arena. */
ecl_value_t
ecl_version_value (ecl_version_format_t format, ecl_version_t version, ecl_arena_t *arena);

/* What the format expects, for messages: "a whole number from 0 to 2147483647". */
const char *
ecl_version_expected (ecl_version_format_t format);

#endif
