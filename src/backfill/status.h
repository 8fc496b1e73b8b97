/* Status: what eclose's own records say of a collection. Asks for no document of the collection itself, so that it
 * costs the same however many there are. Reads only.
 */
#ifndef ECL_BACKFILL_STATUS_H
#define ECL_BACKFILL_STATUS_H

#include "backfill/job.h"
#include "store/floors.h"

typedef struct {
   int64_t estimate; /* documents of the collection, as the server keeps the number: about, and at once */
   bool has_job;
   ecl_job_t job;       /* the latest */
   bson_error_t unread; /* why the record of a live one is not understood; code 0: it is, or there is none */
   int64_t done;        /* of job.documents */
   int64_t held;        /* ranges of a job that runs which somebody works on */
   bool has_floor;
   ecl_floor_t floor;   /* its texts lie in the arena */
   int64_t quarantined; /* records in eclose_quarantine */
} ecl_status_t;

/* here: place.h; may be NULL. */
bool
ecl_status_read (ecl_world_t *world, const char *database, const ecl_chain_t *chain, const char *here,
                 ecl_arena_t *arena, ecl_status_t *out, bson_error_t *error) ECL_MUST_CHECK;

#endif
