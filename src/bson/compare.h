/* Comparison in BSON order, as MongoDB sorts values of all types.
 *
 * MinKey < missing, undefined < null < numbers (NaN lowest; int32, int64, double and decimal128 by their mathematical
 * value) < strings and symbols < documents < arrays < binary (length, subtype, bytes) < ObjectId < booleans < dates <
 * timestamps < regexes < DBPointers < code < code with scope < MaxKey. Documents compare field by field: type of the
 * value, then name, then value; the shorter one is less. (canonicalizeBSONType in the server's bsontypes.h)
 */
#ifndef ECL_BSON_COMPARE_H
#define ECL_BSON_COMPARE_H

#include "bson/value.h"

/* Negative, zero or positive. */
int
ecl_compare (const ecl_value_t *a, const ecl_value_t *b);

/* ecl_compare (a, b) == 0, with the common cases first. */
bool
ecl_equal (const ecl_value_t *a, const ecl_value_t *b);

/* Equal values (in the sense of ecl_equal) have equal hashes. */
uint64_t
ecl_hash (const ecl_value_t *v);

/* The class in which values of different types are compared: numbers 10, strings and symbols 15, …; MinKey is
 * negative. */
int
ecl_canonical_type (uint8_t type);

/* Same type and same bytes when written: int 1 and double 1.0 differ, 0.0 and -0.0 differ. */
bool
ecl_identical (const ecl_value_t *a, const ecl_value_t *b);

#endif
