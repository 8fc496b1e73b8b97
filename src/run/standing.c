/* What the records say: see standing.h. */
#include "run/standing.h"

#include "run/complete.h"

static bool
ask_number (ecl_world_t *world, const char *database, const bson_t *command, const char *path, int64_t *n,
            bson_error_t *error)
{
   bson_iter_t iter, found;
   bson_t reply;
   bool good = ecl_world_call (world, database, command, &reply, error);

   *n = 0;
   if (good && bson_iter_init (&iter, &reply) && bson_iter_find_descendant (&iter, path, &found) &&
       BSON_ITER_HOLDS_NUMBER (&found)) {
      *n = bson_iter_as_int64 (&found);
   }
   bson_destroy (&reply);
   return good;
}

static bool
ask_job (ecl_world_t *world, const char *database, const ecl_chain_t *chain, ecl_standing_t *out, bson_error_t *error)
{
   ecl_chunks_sum_t sum;

   if (!ecl_job_latest (world, database, chain->collection, false, &out->job, &out->has_job, error)) {
      return false;
   }
   out->done = out->has_job ? out->job.documents : 0;
   if (out->has_job && out->job.state != ECL_JOB_DONE) {
      if (!ecl_job_sum (world, database, out->job.id, &sum, error)) {
         return false;
      }
      out->done = ecl_job_done (&out->job, &sum);
   }
   return true;
}

bool
ecl_standing (ecl_world_t *world, const char *database, const ecl_chain_t *chain, ecl_arena_t *arena,
              ecl_standing_t *out, bson_error_t *error)
{
   bson_t estimate = BSON_INITIALIZER, quarantine;
   bool good, known;
   size_t index;

   memset (out, 0, sizeof *out);
   BSON_APPEND_UTF8 (&estimate, "count", chain->collection);
   ecl_quarantine_count (chain->collection, &quarantine);
   good = ask_number (world, database, &estimate, "n", &out->estimate, error) &&
          ask_job (world, database, chain, out, error) &&
          ecl_complete_floor (world, database, chain, arena, &known, &index, &out->floor, error) &&
          ask_number (world, database, &quarantine, "cursor.firstBatch.0.n", &out->quarantined, error);
   out->has_floor = out->floor.floor;
   bson_destroy (&quarantine);
   bson_destroy (&estimate);
   return good;
}
