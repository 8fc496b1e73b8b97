/* Time zones: Olson names and offsets, from the system's tzdata.
 *
 * A zone that is named in a plan is read while the plan is made (ecl_timezone_load). Names that come from documents are
 * looked up in a table of all zones (ecl_timezone_db), which is built once in a process, when a plan that needs it is
 * made, and never changes afterwards: evaluating makes no system calls and takes no locks. Dates past the end of a
 * zone's table follow the rule in its footer, for ever.
 *
 * Names are exact ("Europe/Paris", not "europe/paris"), as on the server. "UTC" and offsets of zero are UTC itself;
 * "GMT" and "Etc/UTC" are zones like any other, which shows only in $dateToString's default format.
 */
#ifndef ECL_BSON_TIMEZONE_H
#define ECL_BSON_TIMEZONE_H

#include "base/arena.h"

typedef struct ecl_zone_rules_t ecl_zone_rules_t;
typedef struct ecl_zone_db_t ecl_zone_db_t;

/* A zone is passed by pointer and copied freely; it owns nothing. All zeroes is UTC. */
typedef struct {
   const ecl_zone_rules_t *rules; /* NULL: a fixed offset */
   int32_t fixed;                 /* seconds east of UTC */
} ecl_timezone_t;

typedef struct {
   int32_t offset; /* seconds east of UTC */
   bool dst;
   int64_t since; /* when it began, in seconds since 1970; INT64_MIN where it always was */
} ecl_zone_info_t;

static inline bool
ecl_timezone_is_utc (const ecl_timezone_t *zone)
{
   return !zone->rules && zone->fixed == 0;
}

/* "+hh", "+hhmm", "+hh:mm" and the same with '-'. */
bool
ecl_timezone_parse_offset (const char *text, size_t len, ecl_timezone_t *out) ECL_MUST_CHECK;

/* An offset, "UTC", or a name whose file is read into the arena. False where there is no such zone. */
bool
ecl_timezone_load (ecl_arena_t *arena, const char *name, size_t len, ecl_timezone_t *out) ECL_MUST_CHECK;

/* The table of all zones; empty where the system has no tzdata. Thread safe. */
const ecl_zone_db_t *
ecl_timezone_db (void);

/* Number of names in the table. */
size_t
ecl_timezone_db_size (const ecl_zone_db_t *db);

/* An offset, "UTC", or a name in the table. */
bool
ecl_timezone_find (const ecl_zone_db_t *db, const char *name, size_t len, ecl_timezone_t *out) ECL_MUST_CHECK;

/* What holds in the zone at an instant, in seconds since 1970. */
void
ecl_timezone_at (const ecl_timezone_t *zone, int64_t seconds, ecl_zone_info_t *out);

/* The instant of a local time, in seconds. A local time that the clocks skip is moved on by as much as they skip; one
 * that comes twice is the summer one where dst is true, else the winter one, where the zone leaves a choice. The same
 * rules as the server's (timelib's). */
int64_t
ecl_timezone_to_utc (const ecl_timezone_t *zone, int64_t local_seconds, bool dst);

/* From the bytes of a TZif file (RFC 8536), in the arena; NULL where they are not well formed. */
const ecl_zone_rules_t *
ecl_zone_rules_parse (ecl_arena_t *arena, const uint8_t *data, size_t len);

#endif
