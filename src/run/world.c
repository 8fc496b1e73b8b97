/* What is the same in every world: see world.h. */
#include "run/world.h"

bool
ecl_world_call (ecl_world_t *world, const char *database, const bson_t *command, bson_t *reply, bson_error_t *error)
{
   ecl_call_t call = {.database = database, .command = command};

   return world->run_command (world, &call, world->now (world) + ECL_WORLD_TIMEOUT, reply, error) == ECL_REPLY_OK;
}
