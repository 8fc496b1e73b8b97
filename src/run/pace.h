/* Pace: what the project's file says of the throttle, for whoever was told nothing else. */
#ifndef ECL_RUN_PACE_H
#define ECL_RUN_PACE_H

#include "project/project.h"
#include "run/throttle.h"
#include "store/jobs.h"

/* Of a job that is begun: those of the settings that are not in `set`. */
void
ecl_pace_job (const ecl_project_t *project, unsigned set, ecl_job_settings_t *settings);

/* Of database migrations, all of them. */
void
ecl_pace_throttle (const ecl_project_t *project, ecl_throttle_settings_t *settings);

#endif
