/* Insist: commands that may be sent again until somebody says what came of them.
 *
 * An answer that is lost, a server that steps down, and a write that the majority did not have in time all mean
 * 'unknown'. For a command that has the same effect twice as once, sending it again turns unknown into known.
 */
#ifndef ECL_RUN_INSIST_H
#define ECL_RUN_INSIST_H

#include "run/world.h"

/* Sends the command, again and again, until it is answered for good, or the deadline (in terms of the world's now), or
 * the run is cancelled (then it is still tried a few times, without waiting). *sent is when the answered one was sent;
 * may be NULL. The reply is always initialised. The result is LOST where nothing is known at the end. */
ecl_reply_t
ecl_insist (ecl_world_t *world, const char *database, const bson_t *command, int64_t deadline, int64_t *sent,
            bson_t *reply, bson_error_t *error) ECL_MUST_CHECK;

/* The same for as long as one answer may take (ECL_WORLD_TIMEOUT), where only an answer is of use. */
bool
ecl_insist_call (ecl_world_t *world, const char *database, const bson_t *command, bson_t *reply,
                 bson_error_t *error) ECL_MUST_CHECK;

/* Whether a refusal with that code says nothing about the command: the server is going, or has another primary, or was
 * short of time or of something else, or takes no writes for a while. */
bool
ecl_insist_passing (uint32_t code);

/* Whether a refusal says that a transaction was given up, and nothing about what it was to do: all of it may be tried
 * again. reply may be NULL: then nothing but the code is known. */
bool
ecl_insist_aborted (const bson_t *reply, uint32_t code);

/* Whether it says that the command's time is over: the server's own limit, or a router's. */
bool
ecl_insist_late (uint32_t code);

#endif
