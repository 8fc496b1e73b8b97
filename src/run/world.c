/* What is the same in every world: see world.h. */
#include "run/world.h"

bool
ecl_world_call (ecl_world_t *world, const char *database, const bson_t *command, bson_t *reply, bson_error_t *error)
{
   ecl_call_t call = {.database = database, .command = command};

   return world->run_command (world, &call, world->now (world) + ECL_WORLD_TIMEOUT, reply, error) == ECL_REPLY_OK;
}

int64_t
ecl_reply_number (const bson_t *reply, const char *path)
{
   bson_iter_t iter, found;

   if (!bson_iter_init (&iter, reply) || !bson_iter_find_descendant (&iter, path, &found)) {
      return 0;
   }
   return BSON_ITER_HOLDS_NUMBER (&found)      ? bson_iter_as_int64 (&found)
          : BSON_ITER_HOLDS_DATE_TIME (&found) ? bson_iter_date_time (&found)
                                               : 0;
}
