/* What the records say: see status.h. */
#include "backfill/status.h"

#include "backfill/complete.h"
#include "backfill/survey.h"

static bool
ask_job (ecl_world_t *world, const char *database, const ecl_chain_t *chain, const char *here, ecl_status_t *out,
         bson_error_t *error)
{
   ecl_chunks_sum_t sum;

   if (!ecl_job_latest (world, database, chain->collection, false, &out->job, &out->has_job, error)) {
      return false;
   }
   /* One that has ended and is not understood counts as none; one that lives does not. */
   if (!out->has_job &&
       !ecl_job_latest (world, database, chain->collection, true, &out->job, &out->has_job, &out->unread) &&
       out->unread.domain != ECL_DOMAIN_STORE) {
      *error = out->unread;
      return false;
   }
   out->done = out->has_job ? out->job.documents : 0;
   if (out->has_job && out->job.state != ECL_JOB_DONE) {
      if (!ecl_job_sum (world, database, out->job.id, &sum, error)) {
         return false;
      }
      out->done = ecl_job_done (&out->job, &sum);
   }
   return !out->has_job || out->job.state != ECL_JOB_RUNNING ||
          ecl_job_living (world, database, out->job.id, here, &out->held, error);
}

bool
ecl_status_read (ecl_world_t *world, const char *database, const ecl_chain_t *chain, const char *here,
                 ecl_arena_t *arena, ecl_status_t *out, bson_error_t *error)
{
   bool good, known;
   size_t index;

   memset (out, 0, sizeof *out);
   good = ecl_survey_estimate (world, database, chain->collection, &out->estimate, error) &&
          ask_job (world, database, chain, here, out, error) &&
          ecl_complete_floor (world, database, chain, arena, &known, &index, &out->floor, error) &&
          ecl_survey_quarantined (world, database, chain->collection, NULL, &out->quarantined, error);
   out->has_floor = out->floor.floor;
   return good;
}
