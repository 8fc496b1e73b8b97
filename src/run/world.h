/* World: what everything above src/mongo sees of the outside: time, chance, waiting, and a server that takes commands.
 *
 * One struct of functions. The real one is made in src/mongo; tests put canned replies behind it. A world belongs to
 * one thread.
 */
#ifndef ECL_RUN_WORLD_H
#define ECL_RUN_WORLD_H

#include "base/error.h"

typedef enum {
   ECL_REPLY_OK,      /* the server answered ok: 1; writes may still have failed one by one (writeErrors) */
   ECL_REPLY_REFUSED, /* the server answered ok: 0; the error's code is the server's */
   ECL_REPLY_LOST,    /* no answer: whether the command took effect is unknown, so read again */
} ecl_reply_t;

typedef enum {
   ECL_TXN_NONE,
   ECL_TXN_BEGIN,    /* begins a transaction; one that is open is aborted first */
   ECL_TXN_CONTINUE, /* a later command of it */
   ECL_TXN_COMMIT,   /* the command itself is ignored */
   ECL_TXN_ABORT,    /* likewise */
} ecl_txn_t;

typedef struct {
   const char *database;
   const bson_t *command;
   ecl_txn_t txn;
} ecl_call_t;

typedef struct ecl_world_t ecl_world_t;

struct ecl_world_t {
   /* Milliseconds of a clock that goes on while the machine sleeps and never goes back. */
   int64_t (*now) (ecl_world_t *self);

   /* 64 random bits. */
   uint64_t (*random) (ecl_world_t *self);

   /* Waits so long; false, at once, where the run was cancelled. */
   bool (*wait) (ecl_world_t *self, int64_t ms);

   /* Whether somebody asked the run to end. */
   bool (*cancelled) (ecl_world_t *self);

   /* Sends one command to the primary, whatever read preference and write concern the URI names: concerns stand in the
    * command. The server gives up at the deadline (in terms of now). *reply is always initialised here; the caller
    * destroys it. What this world wrote with majority, and was told of, its later reads with majority see, also after
    * another primary. */
   ecl_reply_t (*run_command) (ecl_world_t *self, const ecl_call_t *command, int64_t deadline, bson_t *reply,
                               bson_error_t *error);

   /* The sessions that its commands come in at the server, 16 bytes each, at most max of them; returns how many. NULL
    * in a world without sessions. */
   size_t (*sessions) (ecl_world_t *self, uint8_t (*ids)[16], size_t max);
};

/* Makes worlds for other threads than the one that works. */
typedef struct {
   void *context;
   /* NULL where it cannot be had. A server that does not answer within so many milliseconds counts as one that lost the
    * command. */
   ecl_world_t *(*connect) (void *context, int32_t timeout, bson_error_t *error);
   void (*disconnect) (void *context, ecl_world_t *world);
} ecl_connector_t;

/* A command that gets as much time as one that must not hang needs; false where it was refused or lost. */
bool
ecl_world_call (ecl_world_t *world, const char *database, const bson_t *command, bson_t *reply,
                bson_error_t *error) ECL_MUST_CHECK;

/* Milliseconds that a command gets where nothing else is said. */
#define ECL_WORLD_TIMEOUT 60000

#endif
