/* Lease: the right to be the one, held by one process at a time and lost when it dies; one document per lease.
 *
 *    {_id, token, holder: {id, host, pid, place, user, release}, granted, renewed, expires, beat, sessions, doomed}
 *
 *   token     int64; larger with each grant (fencing): who writes a record under a lease writes it with its token, and
 *             changes it only where no larger token stands
 *   holder    null once released; its id is made anew by each process for each time that it asks
 *   expires   by the server's clock ($$NOW). What reads it may read another server's clock (a new primary, another
 *             mongos): so a taker leaves a margin of max_clock_skew
 *   beat      number of the renewal that was taken last: tells a renewal that took effect from one that came too late
 *   sessions  of the holder at the server: a taker ends them, for a dead client's statement goes on
 *   doomed    sessions of holders before it that are still to be ended; outlives a taker that dies before it ended them
 *
 * The conditions stand inside the pipeline of a findAndModify by _id, so that one atomic statement asks, decides and
 * answers with the document as it is now. All of these commands may be sent again when their answer was lost. Fields
 * of others in the document stay: a range of a job is claimed by the same commands.
 */
#ifndef ECL_STORE_LEASE_H
#define ECL_STORE_LEASE_H

#include "base/error.h"
#include "bson/value.h"

#define ECL_STORE_LEASE "eclose_lease"

/* Sessions that a holder can name, and that a taker ends at once. */
#define ECL_LEASE_SESSIONS 4
#define ECL_LEASE_DOOMED 64

typedef struct {
   const char *host, *user, *release; /* may be NULL */
   int64_t pid;
   const char *place; /* within which pids are told apart: place.h; may be NULL */
} ecl_who_t;

/* Whether an error says that it is not held, or not any more, or that somebody else is at work. */
static inline bool
ecl_is_lease_error (const bson_error_t *error)
{
   return error->domain == ECL_DOMAIN_STORE && error->code == ECL_ERROR_LEASE;
}

/* Which document it is, and what holds for it. */
typedef struct {
   const char *collection;
   ecl_value_t id;
   int64_t time;  /* milliseconds from one renewal to the expiry */
   int64_t skew;  /* max_clock_skew, in milliseconds */
   bool existing; /* only a document that is there already is taken; none is made */
} ecl_lease_key_t;

typedef struct {
   uint8_t id[12];
   ecl_who_t who;
   uint8_t sessions[ECL_LEASE_SESSIONS][16];
   size_t n_sessions;
   int64_t first; /* the token before the first one, where there is no document yet */
} ecl_lease_holder_t;

/* A lease as it was read. Texts are cut to what fits. */
typedef struct {
   bool held; /* somebody is named in it; it may have expired */
   int64_t token;
   uint8_t id[12];
   char host[256], user[64], release[64], place[96];
   int64_t pid;
   int64_t granted, renewed, expires; /* the server's time */
   int64_t beat;
   uint8_t doomed[ECL_LEASE_DOOMED][16];
   size_t n_doomed;
} ecl_lease_t;

/* ---- commands; each initialises *command ---- */

/* Takes it where it is free (never held, released, or expired for longer than the skew), keeps it where this holder has
 * it unexpired; the answer is the lease as it is then. */
void
ecl_lease_ask (const ecl_lease_key_t *key, const ecl_lease_holder_t *holder, int64_t beat, bson_t *command);

/* Renews it where the token is still this one and it has not expired. Took effect where the answer has that beat.
 * fields (may be NULL) of the document, other than the lease's, are set by the same statement. */
void
ecl_lease_renew (const ecl_lease_key_t *key, int64_t token, int64_t beat, const bson_t *fields, bson_t *command);

/* Lets it go where the token is still this one: whoever asks next gets it at once. doom: something of the holder's may
 * still run at the server, so its sessions are to be ended as if it had died. fields: as above, whether or not it has
 * expired meanwhile. */
void
ecl_lease_free (const ecl_lease_key_t *key, int64_t token, bool doom, const bson_t *fields, bson_t *command);

/* Gives it another token, where it is still this one: for a lease whose document was removed. */
void
ecl_lease_raise (const ecl_lease_key_t *key, int64_t token, int64_t to, bson_t *command);

/* Forgets the doomed sessions, which have been ended. */
void
ecl_lease_buried (const ecl_lease_key_t *key, int64_t token, bson_t *command);

/* Takes it from whoever holds it with that token: the token grows, so that nothing of theirs is changed any more. */
void
ecl_lease_break (const ecl_lease_key_t *key, int64_t token, bson_t *command);

void
ecl_lease_find (const ecl_lease_key_t *key, bson_t *command);

/* The lease, where it has expired for longer than the skew, with its holder's sessions among the doomed. */
void
ecl_lease_find_expired (const ecl_lease_key_t *key, bson_t *command);

/* killSessions, for the database admin. */
void
ecl_lease_kill (const ecl_lease_t *lease, bson_t *command);

/* ---- answers ---- */

/* The document in the reply of a findAndModify, or the first of a find's; *found is false where there is none. False
 * where it is no lease. */
bool
ecl_lease_read (const bson_t *reply, bool *found, ecl_lease_t *out, bson_error_t *error) ECL_MUST_CHECK;

#endif
