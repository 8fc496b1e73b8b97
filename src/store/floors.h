/* eclose_floors: per collection, the lowest version that any document has, as `eclose complete` found and recorded it.
 *
 *    {_id: <collection>, floor, validated, when, host, user}
 *
 *   floor      version as text
 *   validated  a validator of the server's refuses documents below it; without one an old writer may have come back
 *              since
 *   when       the server's time at which the count had ended
 *
 * Commands and readers only; see store.h for what all records have in common.
 */
#ifndef ECL_STORE_FLOORS_H
#define ECL_STORE_FLOORS_H

#include "store/store.h"

#define ECL_STORE_FLOORS "eclose_floors"

typedef struct {
   const char *collection;
   const char *floor;
   bool validated;
   int64_t when;            /* ms since 1970; not written: the server's clock says it */
   const char *host, *user; /* may be NULL */
} ecl_floor_t;

/* Each initialises *command. */
void
ecl_floor_write (const ecl_floor_t *floor, bson_t *command);

void
ecl_floor_remove (const char *collection, bson_t *command);

/* Its validator goes: if there is a floor, it is no longer validated. */
void
ecl_floor_clear_validated (const char *collection, bson_t *command);

/* That of a collection; NULL: of all, by name. One batch. */
void
ecl_floor_find (const char *collection, bson_t *command);

/* The i-th record of the reply to that. False behind the last. Texts are borrowed from the reply. */
bool
ecl_floor_read (const bson_t *reply, size_t i, ecl_floor_t *out);

#endif
