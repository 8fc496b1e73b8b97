/* Heartbeat: renews a lease in a thread of its own, on a connection of its own, so that work that takes long, or a
 * connection that hangs, does not lose it. */
#ifndef ECL_RUN_HEARTBEAT_H
#define ECL_RUN_HEARTBEAT_H

#include "run/holder.h"

typedef struct ecl_heartbeat_t ecl_heartbeat_t;

/* For a holder that has acquired its lease, and that outlives the heartbeat, as the connector does. NULL where no
 * connection or thread can be had. */
ecl_heartbeat_t *
ecl_heartbeat_start (const ecl_connector_t *connector, ecl_holder_t *holder, bson_error_t *error);

/* Ends the thread; the lease is not released by that. NULL is fine. */
void
ecl_heartbeat_stop (ecl_heartbeat_t *self);

#endif
