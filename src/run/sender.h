/* Sender: carries one command at a time on a connection of its own, in a thread of its own, so that who began it goes
 * on with other things until the answer is wanted.
 *
 *    ecl_sender_start ──► ecl_sender_begin ──► … ──► ecl_sender_await ──► ecl_sender_stop
 *                               └────────────◄────────────┘
 *
 * What was begun is always awaited: also by those who no longer want to know.
 */
#ifndef ECL_RUN_SENDER_H
#define ECL_RUN_SENDER_H

#include "run/heartbeat.h"

typedef struct ecl_sender_t ecl_sender_t;

/* The connector outlives it. NULL where no connection or thread can be had. */
ecl_sender_t *
ecl_sender_start (const ecl_connector_t *connector, bson_error_t *error);

/* NULL is fine. */
void
ecl_sender_stop (ecl_sender_t *self);

/* Its world; only while nothing is under way. */
ecl_world_t *
ecl_sender_world (ecl_sender_t *self);

/* From now on commands are sent under this lease, as in ecl_held_world_init; NULL: under none. */
void
ecl_sender_hold (ecl_sender_t *self, ecl_holder_t *holder);

/* Hands over a command, which stays as it is until its answer was awaited. The deadline is in terms of the world's
 * now. */
void
ecl_sender_begin (ecl_sender_t *self, const ecl_call_t *call, int64_t deadline);

/* Waits for the answer, which is what run_command gives. *answered: when it was there. */
ecl_reply_t
ecl_sender_await (ecl_sender_t *self, int64_t *answered, bson_t *reply, bson_error_t *error);

#endif
