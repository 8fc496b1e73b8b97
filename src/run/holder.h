/* Holder: a process that holds a lease, or wants to. The protocol of store/lease.h against a world.
 *
 *    ecl_holder_init ──► ecl_holder_acquire ──► work through ecl_held_world_t ──► ecl_holder_release
 *                                 └── ecl_holder_renew at a third of its time, in another thread with another world
 *
 * A holder counts its time from when it asked, by a clock that goes on while the machine sleeps, so it stops before the
 * server thinks that it ended. Lost is lost: a holder that slept past its time sends nothing more and renews nothing,
 * whether or not somebody else took the lease meanwhile.
 *
 * An answer that is lost means 'unknown', never 'no': the command is sent again, for all of them may be.
 *
 * Threads: one thread acquires and releases; renew, held, left and token may be called by others meanwhile.
 */
#ifndef ECL_RUN_HOLDER_H
#define ECL_RUN_HOLDER_H

#include "run/world.h"
#include "store/lease.h"

#include <stdatomic.h>

/* What is used where nobody says otherwise, in milliseconds. */
#define ECL_LEASE_TIME 30000
#define ECL_LEASE_SKEW 10000

/* The lease of database migrations. */
#define ECL_LEASE_MIGRATIONS "migrations"

typedef struct {
   const char *database;
   const char *collection; /* NULL: ECL_STORE_LEASE */
   const char *name;       /* the lease's _id; NULL: ECL_LEASE_MIGRATIONS */
   bool existing;          /* its document must be there already */
   bool apart;        /* tokens begin by chance where there is no document: those of before it was removed are others */
   int64_t time;      /* 0: ECL_LEASE_TIME */
   int64_t skew;      /* max_clock_skew; negative: ECL_LEASE_SKEW */
   ecl_world_t *also; /* another one that sends under the lease: its sessions are recorded, too; NULL: none */
   ecl_who_t who;
} ecl_holder_options_t;

typedef enum {
   ECL_ACQUIRED,
   ECL_ACQUIRE_BUSY,   /* somebody else holds it: self->seen says who; the error says so in words */
   ECL_ACQUIRE_FAILED, /* or cancelled */
} ecl_acquire_t;

typedef struct {
   char *database;
   char *collection;
   char *name;
   ecl_lease_key_t key;
   ecl_lease_holder_t holder;
   ecl_world_t *also;
   ecl_lease_t seen;        /* as the last answer to acquire showed it */
   _Atomic int64_t token;   /* 0: none */
   _Atomic int64_t until;   /* by the world's clock; 0: not held */
   _Atomic int64_t expires; /* by the server's, as the last answer to acquire or renew had it */
   _Atomic int64_t beat;
   _Atomic bool unknown; /* an answer to something sent under it was lost: it may still run at the server */
   bool took_over;       /* from a holder that did not let go */
   bool raised;          /* the token was compared with what the records have */
   bool apart;
   char *host, *user, *release_name, *place;
} ecl_holder_t;

/* Times as users write them: milliseconds, "30000"; NULL and "" stand for the default, as in the options. False where
 * one is no such number, or no time that a lease could have. All processes must have the same. */
bool
ecl_holder_times (const char *time_text, const char *skew_text, int64_t *time, int64_t *skew,
                  bson_error_t *error) ECL_MUST_CHECK;

/* Texts of the options are copied. */
void
ecl_holder_init (ecl_holder_t *self, const ecl_holder_options_t *options);

/* Does not let go: ecl_holder_release first. */
void
ecl_holder_cleanup (ecl_holder_t *self);

/* Asks for it, for so many milliseconds (0: once; negative: without end) while somebody else holds it. waiting, where
 * given, is told when it begins to wait, and each time that the lease has changed hands. The sessions of the world are
 * recorded. Once granted, the sessions of the holder before it, where it did not let go, have been ended; those of one
 * whose lease has expired already before, where a transaction of theirs keeps the document from being written. */
ecl_acquire_t
ecl_holder_acquire (ecl_holder_t *self, ecl_world_t *world, int64_t wait,
                    void (*waiting) (void *context, const ecl_lease_t *lease), void *context,
                    bson_error_t *error) ECL_MUST_CHECK;

/* Renews it. True without an answer, too, while it still lasts: it may be tried again. False: it is lost. */
bool
ecl_holder_renew (ecl_holder_t *self, ecl_world_t *world, bson_error_t *error) ECL_MUST_CHECK;

/* The same; fields of the document (not the lease's) are set by the same statement. */
bool
ecl_holder_renew_with (ecl_holder_t *self, ecl_world_t *world, const bson_t *fields,
                       bson_error_t *error) ECL_MUST_CHECK;

/* A third of its time: the longest between two renewals, and for how long one is tried. */
static inline int64_t
ecl_holder_interval (const ecl_holder_t *self)
{
   return self->key.time / 3;
}

/* How long to wait until the next renewal; soon, where the last one had no answer. */
int64_t
ecl_holder_due (const ecl_holder_t *self, int64_t now);

/* Milliseconds that are left of it; 0: it is not held. now is the world's. */
int64_t
ecl_holder_left (const ecl_holder_t *self, int64_t now);

static inline bool
ecl_holder_held (const ecl_holder_t *self, int64_t now)
{
   return ecl_holder_left (self, now) > 0;
}

static inline int64_t
ecl_holder_token (const ecl_holder_t *self)
{
   return atomic_load (&self->token);
}

/* No longer ours, for whatever reason: from now on nothing is sent under it. */
void
ecl_holder_lose (ecl_holder_t *self);

/* Lets it go, so that others need not wait until it expires. Where the server does not answer it expires by itself. */
void
ecl_holder_release (ecl_holder_t *self, ecl_world_t *world);

/* The same; fields of the document (not the lease's) are set by the same statement. False where that is not known to
 * have taken effect, or was no longer ours. */
bool
ecl_holder_release_with (ecl_holder_t *self, ecl_world_t *world, const bson_t *fields,
                         bson_error_t *error) ECL_MUST_CHECK;

/* Makes the token larger than one that was seen in records: where the lease's document was removed, it begins small
 * again, and the records of before would refuse it. Once, and before a heartbeat begins, which would miss the
 * change. */
bool
ecl_holder_raise (ecl_holder_t *self, ecl_world_t *world, int64_t above, bson_error_t *error) ECL_MUST_CHECK;

/* Reads the lease; *found is false where nobody ever held it. */
bool
ecl_holder_look (ecl_holder_t *self, ecl_world_t *world, bool *found, ecl_lease_t *lease,
                 bson_error_t *error) ECL_MUST_CHECK;

/* Whether it has expired for longer than the skew, or was let go, so that whoever asks next gets it; false where nobody
 * ever held it. By the server's clock. */
bool
ecl_holder_look_expired (ecl_holder_t *self, ecl_world_t *world, bool *expired, bson_error_t *error) ECL_MUST_CHECK;

/* Takes it from whoever holds it, or from who holds it with that token (0: any). *was is whose it was; *broken is false
 * where nobody held it (or it changed hands between). Their sessions are ended when the lease is next taken. */
bool
ecl_holder_break (ecl_holder_t *self, ecl_world_t *world, int64_t token, bool *broken, ecl_lease_t *was,
                  bson_error_t *error) ECL_MUST_CHECK;

/* What failed under it says so where it is not held any more: work that is told that its lease is lost may only say
 * that it was cancelled. What else it said is kept. */
void
ecl_holder_blame (const ecl_holder_t *self, ecl_world_t *world, bson_error_t *error);

/* "host, process 12, user x, release y, since …": for messages. */
void
ecl_holder_describe (const ecl_lease_t *lease, char *text, size_t size);

/* ---- the world under a lease ----
 *
 * A world like the one beneath it, for all work that only the holder may do: each command gets at most the time that is
 * left of the lease, none is sent once it is lost (LOST, with ECL_ERROR_LEASE), and then the run counts as cancelled.
 */
typedef struct {
   ecl_world_t world;
   ecl_world_t *beneath;
   ecl_holder_t *holder;
   bool renews; /* before a command, where a third of its time is over: for work of many short commands in one thread */
} ecl_held_world_t;

ecl_world_t *
ecl_held_world_init (ecl_held_world_t *self, ecl_world_t *beneath, ecl_holder_t *holder);

#endif
