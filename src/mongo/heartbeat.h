/* Heartbeat: renews a lease in a thread of its own, on a connection of its own, so that work that takes long, or a
 * connection that hangs, does not lose it. */
#ifndef ECL_MONGO_HEARTBEAT_H
#define ECL_MONGO_HEARTBEAT_H

#include "run/holder.h"

typedef struct ecl_heartbeat_t ecl_heartbeat_t;

/* For a holder that has acquired its lease, and that outlives the heartbeat. NULL where no thread can be had. */
ecl_heartbeat_t *
ecl_heartbeat_start (const char *uri, ecl_holder_t *holder, bson_error_t *error);

/* Ends the thread; the lease is not released by that. NULL is fine. */
void
ecl_heartbeat_stop (ecl_heartbeat_t *self);

#endif
