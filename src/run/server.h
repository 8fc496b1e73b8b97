/* Server: what the server at the other end can do, found by asking it. Nothing here writes. */
#ifndef ECL_RUN_SERVER_H
#define ECL_RUN_SERVER_H

#include "run/guard.h"
#include "run/world.h"

typedef struct {
   char version[32];
   bool transactions; /* a replica set or mongos, with sessions */
   bool sharded;      /* mongos */
   bool vouched;      /* it names the commit it was built from, as MongoDB does: its explain is believed */
} ecl_server_t;

/* What it says of itself: hello, which the first releases of 4.2 and 4.4 know as isMaster. Sent again for so many ms until
 * there is an answer; 0: once. */
bool
ecl_server_hello (ecl_world_t *world, int64_t insist, bson_t *reply, bson_error_t *error) ECL_MUST_CHECK;

/* False where it is too old, too: before MongoDB 4.2 no update takes a pipeline, and so nobody could hold a lease. */
bool
ecl_server_ask (ecl_world_t *world, ecl_server_t *out, bson_error_t *error) ECL_MUST_CHECK;

/* Whether {_id, $expr} is looked up by _id there, so that a guard may stand in the filter; else it stands in the
 * pipeline, which every server does by _id. A server whose explain is not believed gets the pipeline. */
bool
ecl_server_guard_form (ecl_world_t *world, const ecl_server_t *server, const char *database, const char *collection,
                       ecl_guard_form_t *form, bson_error_t *error) ECL_MUST_CHECK;

#endif
