/* Trier: whether documents could be carried over, found out here, without writing.
 *
 * What they look up in other collections is fetched, as in a run; what the server would refuse of them is judged as far
 * as that can be (admit.h). What fails for certain fails; what is not known goes.
 */
#ifndef ECL_BACKFILL_TRIER_H
#define ECL_BACKFILL_TRIER_H

#include "backfill/convert.h"
#include "backfill/course.h"
#include "run/scan.h"

/* DocumentValidationFailure */
#define ECL_TRIER_REFUSED 121

typedef enum {
   ECL_TRIER_SAMPLE, /* as the course goes; of two that get the same key in a unique index the second one fails */
   ECL_TRIER_SINGLE, /* each by itself and computed by eclose, as in retry.h; whether another one has its key is for the
                      * server to say */
} ecl_trier_how_t;

typedef enum {
   ECL_TRIED_NOTHING, /* it is at the target, or on its other side */
   ECL_TRIED_GOES,    /* or may */
   ECL_TRIED_FAILS,
} ecl_tried_t;

typedef struct ecl_trier_t ecl_trier_t;

/* site and course are borrowed. NULL where there is no way to the target. */
ecl_trier_t *
ecl_trier_new (const ecl_site_t *site, const ecl_course_t *course, ecl_trier_how_t how, bson_error_t *error);

void
ecl_trier_destroy (ecl_trier_t *self);

/* Why the collection's validator cannot be judged; NULL where it can, and where there is none that refuses. */
const char *
ecl_trier_unjudged (const ecl_trier_t *self);

/* The next document of a scan of the collection, with what it looks up; *document is NULL at the end. */
bool
ecl_trier_next (ecl_trier_t *self, ecl_scan_t *scan, const ecl_value_t **document, bson_error_t *error) ECL_MUST_CHECK;

/* That document. Where it fails *out has its _id, the code, and with `words` what is to be said, valid until the next
 * call; what the server would refuse has ECL_TRIER_REFUSED. */
ecl_tried_t
ecl_trier_run (ecl_trier_t *self, const ecl_value_t *document, bool words, ecl_converted_t *out);

#endif
