/* Place: within which the ids of processes tell them apart, so that a dead one can be known as dead.
 *
 * "<boot of this machine>:<its pid namespace>". Two containers on one machine have different ones, and so has a machine
 * that was started again; a name of a host says neither.
 */
#ifndef ECL_RUN_PLACE_H
#define ECL_RUN_PLACE_H

#include "base/error.h"

#define ECL_PLACE_SIZE 96

/* This process's; "" where that cannot be found out. */
void
ecl_place_here (char text[ECL_PLACE_SIZE]);

/* Whether that process is dead for certain: it was here, and is not any more. */
bool
ecl_place_is_dead (const char *here, const char *place, int64_t pid);

#endif
