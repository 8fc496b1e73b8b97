/* Lease: the right to be the one, for programs that need one leader for anything.
 *
 *    eclose_lease_t *lease = eclose_lease_new (driver, "shop", "nightly", NULL, &error);
 *
 *    if (eclose_lease_acquire (lease, -1, &error) == ECLOSE_LEASE_ACQUIRED) {
 *       while (eclose_lease_held (lease)) { … a piece of work, at most eclose_lease_left (lease) ms … }
 *       eclose_lease_release (lease);
 *    }
 *
 * One process at a time holds the lease of a name in a database; it is lost when the process dies, hangs, or cannot
 * reach the server for as long as the lease lasts. A thread of the lease's own renews it on a connection of its own at
 * a third of that time. Time is the server's, and at a takeover max_clock_skew is waited on top; here it is counted by
 * a clock that goes on while the machine sleeps, from when the server was asked, so a holder stops before anybody else
 * may begin.
 *
 * What is on its way when a lease is lost can still land. Where that matters, write the token with what is written, and
 * let a write pass only where no larger token stands: each grant has a larger one (as long as nobody removes the
 * documents of eclose_lease). The time that is left is a good maxTimeMS.
 *
 * Threads: one thread at a time acquires, renews, releases and destroys; held, lost, left, token and cancel may be
 * called by all of them meanwhile. `eclose lock` and `eclose unlock` show and break the lease of the migrations, whose
 * name is "migrations": who holds that one keeps `eclose up` waiting.
 *
 * A child of fork does not have the lease of its parent: there it is not held, cannot be acquired, and destroying it
 * lets nothing go.
 *
 * Since 0.1.0.
 */
#ifndef ECLOSE_LEASE_H
#define ECLOSE_LEASE_H

#include <eclose/driver.h>
#include <eclose/error.h>

ECLOSE_BEGIN_DECLS

typedef struct _eclose_lease_t eclose_lease_t;

/* A lease that is not held yet; the server is not asked. The driver outlives it, texts are copied. NULL where it cannot
 * connect or an option is wrong. opts may be NULL; of
 *
 *    time             milliseconds that it lasts unless it is renewed: 30000; at least 300 (numbers are at most
 *                     2147483647)
 *    max_clock_skew   milliseconds by which clocks of servers may differ: 10000
 *    heartbeat        false: it is renewed by eclose_lease_renew() alone
 *    release          text: what of the program it is, shown to others
 */
ECLOSE_EXPORT (eclose_lease_t *)
eclose_lease_new (const eclose_driver_t *driver, const char *database, const char *name, const bson_t *opts,
                  bson_error_t *error);

/* Releases it, if it is held. May be NULL. */
ECLOSE_EXPORT (void)
eclose_lease_destroy (eclose_lease_t *self);

typedef enum {
   ECLOSE_LEASE_ACQUIRED,
   ECLOSE_LEASE_BUSY,  /* somebody else holds it: the error says who, with ECLOSE_CODE_LEASE */
   ECLOSE_LEASE_FAILED /* the server does not answer or refuses, it is held already, or the wait was cancelled */
} eclose_acquired_t;

/* Asks for it, for `wait` milliseconds while somebody else holds it; 0: once; negative: without end. After it was
 * released or lost it may be acquired again. */
ECLOSE_EXPORT (eclose_acquired_t)
eclose_lease_acquire (eclose_lease_t *self, int64_t wait, bson_error_t *error) ECLOSE_MUST_CHECK;

/* Ends the wait of eclose_lease_acquire in another thread, and every later one, with ECLOSE_CODE_CANCELLED, within a
 * tenth of a second. May be called by a signal handler. */
ECLOSE_EXPORT (void)
eclose_lease_cancel (eclose_lease_t *self);

/* Whether it is held, now. */
ECLOSE_EXPORT (bool)
eclose_lease_held (const eclose_lease_t *self);

/* Milliseconds that are left of it unless it is renewed; 0: it is not held. */
ECLOSE_EXPORT (int64_t)
eclose_lease_left (const eclose_lease_t *self);

/* Whether it was held, and ended otherwise than by eclose_lease_release. */
ECLOSE_EXPORT (bool)
eclose_lease_lost (const eclose_lease_t *self);

/* The token of this grant, above 0, also once it is lost; 0 where it was not acquired, or was released. */
ECLOSE_EXPORT (int64_t)
eclose_lease_token (const eclose_lease_t *self);

/* Renews it, where it has no heartbeat; with one this only looks. True where it is held; where there was no answer,
 * too, as long as it lasts. False with ECLOSE_CODE_LEASE: it is lost. */
ECLOSE_EXPORT (bool)
eclose_lease_renew (eclose_lease_t *self, bson_error_t *error) ECLOSE_MUST_CHECK;

/* Lets it go: whoever waits gets it at once. Where the server does not answer within five seconds it expires by itself.
 */
ECLOSE_EXPORT (void)
eclose_lease_release (eclose_lease_t *self);

/* Who has it, as the server knows:
 *
 *    {held, token, host, pid, user, release, granted, renewed, expires}
 *
 * those after token only where it is held; it may have expired. The last three are dates, by the server's clock.
 * *holder is initialised in any case; the caller destroys it. */
ECLOSE_EXPORT (bool)
eclose_lease_holder (eclose_lease_t *self, bson_t *holder, bson_error_t *error) ECLOSE_MUST_CHECK;

ECLOSE_END_DECLS

#endif
