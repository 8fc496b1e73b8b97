/* The throttle's settings of a project: see pace.h. */
#include "run/pace.h"

void
ecl_pace_job (const ecl_project_t *project, unsigned set, ecl_job_settings_t *settings)
{
   const ecl_pace_t *pace = ecl_project_pace (project);

   if (!(set & ECL_SET_MAX_RATE)) {
      settings->max_documents = pace->max_documents;
      settings->max_bytes = pace->max_bytes;
   }
   if (!(set & ECL_SET_BATCH_TIME)) {
      settings->batch_time = pace->batch_time;
   }
   if (!(set & ECL_SET_MAX_LATENCY)) {
      settings->max_latency = pace->max_latency;
   }
   if (!(set & ECL_SET_MAX_LAG)) {
      settings->max_lag = pace->max_lag;
   }
   if (!(set & ECL_SET_MIN_WINDOW)) {
      settings->min_window = pace->min_window;
   }
}

void
ecl_pace_throttle (const ecl_project_t *project, ecl_throttle_settings_t *settings)
{
   const ecl_pace_t *pace = ecl_project_pace (project);

   settings->batch_time = pace->batch_time;
   settings->max_latency = pace->max_latency;
   settings->max_lag = pace->max_lag;
   settings->min_window = pace->min_window;
   settings->max_documents = pace->max_documents;
   settings->max_bytes = pace->max_bytes;
}
