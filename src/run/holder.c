/* The protocol of a lease against a world: see holder.h. */
#include "run/holder.h"

#include "run/insist.h"

#include <errno.h>
#include <stdlib.h>

/* MongoDB's code for a statement that took longer than it was given. */
enum { TIME_LIMIT = 50 };

/* Where a lease's document was removed its tokens go on by chance, above those of the records: who held it then may
 * write one more record meanwhile, and two holders of one token are not told apart. */
#define TOKEN_SPREAD 1000000

/* How long a question waits for its answer at first. */
#define ASK_FIRST_MS 2000

/* How often one that waits asks. */
#define ASK_SHORTEST_MS 100
#define ASK_LONGEST_MS 1000

/* A server whose answer to an upsert lacks the document is asked again. */
#define ASK_TRIES 10
#define ASK_AGAIN_MS 20

/* Longest that a release tries: who cannot reach the server need not hold up the end of the process. */
#define RELEASE_MS 5000

/* What a lease's time may be: long enough for a renewal at a third of it, short enough that somebody waits for its
 * end. */
#define TIME_LEAST_MS 300
#define TIME_MOST_MS 3600000

/* Milliseconds between two bounds. */
static bool
read_time (const char *text, const char *what, int64_t least, int64_t *out, bson_error_t *error)
{
   char *end;
   long long value;

   if (!text || !*text) {
      return true;
   }
   errno = 0;
   value = strtoll (text, &end, 10);
   if (errno || *end || value < least || value > TIME_MOST_MS) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_INVALID,
                       "%s: expected milliseconds from %" PRId64 " to %d, found \"%s\"", what, least, TIME_MOST_MS,
                       text);
   }
   *out = value;
   return true;
}

bool
ecl_holder_times (const char *time_text, const char *skew_text, int64_t *time, int64_t *skew, bson_error_t *error)
{
   *time = ECL_LEASE_TIME;
   *skew = ECL_LEASE_SKEW;
   return read_time (time_text, "ECLOSE_LEASE_TIME", TIME_LEAST_MS, time, error) &&
          read_time (skew_text, "ECLOSE_MAX_CLOCK_SKEW", 0, skew, error);
}

void
ecl_holder_init (ecl_holder_t *self, const ecl_holder_options_t *options)
{
   memset (self, 0, sizeof *self);
   self->database = bson_strdup (options->database);
   self->name = bson_strdup (options->name ? options->name : ECL_LEASE_MIGRATIONS);
   self->collection = bson_strdup (options->collection ? options->collection : ECL_STORE_LEASE);
   self->key.collection = self->collection;
   self->key.existing = options->existing;
   self->apart = options->apart;
   self->key.id = ecl_string (self->name, strlen (self->name));
   self->key.time = options->time > 0 ? options->time : ECL_LEASE_TIME;
   self->key.skew = options->skew >= 0 ? options->skew : ECL_LEASE_SKEW;
   self->also = options->also;
   self->host = bson_strdup (options->who.host);
   self->user = bson_strdup (options->who.user);
   self->release_name = bson_strdup (options->who.release);
   self->place = bson_strdup (options->who.place);
   self->holder.who = (ecl_who_t){.host = self->host,
                                  .user = self->user,
                                  .release = self->release_name,
                                  .pid = options->who.pid,
                                  .place = self->place};
}

void
ecl_holder_cleanup (ecl_holder_t *self)
{
   bson_free (self->database);
   bson_free (self->collection);
   bson_free (self->name);
   bson_free (self->host);
   bson_free (self->user);
   bson_free (self->release_name);
   bson_free (self->place);
   memset (self, 0, sizeof *self);
}

int64_t
ecl_holder_left (const ecl_holder_t *self, int64_t now)
{
   int64_t until = atomic_load (&self->until);

   return until > now ? until - now : 0;
}

int64_t
ecl_holder_due (const ecl_holder_t *self, int64_t now)
{
   int64_t due = ecl_holder_left (self, now) - 2 * ecl_holder_interval (self);

   return due > ASK_SHORTEST_MS ? due : ASK_SHORTEST_MS;
}

void
ecl_holder_lose (ecl_holder_t *self)
{
   atomic_store (&self->until, 0);
}

void
ecl_holder_describe (const ecl_lease_t *lease, char *text, size_t size)
{
   char since[40] = "";
   int used = 0;
   time_t seconds = (time_t) (lease->granted / 1000);
   struct tm utc;

   if (lease->granted && gmtime_r (&seconds, &utc)) {
      strftime (since, sizeof since, ", since %Y-%m-%d %H:%M:%SZ", &utc);
   }
   used = snprintf (text, size, "%s, process %" PRId64 "%s%s%s%s%s", *lease->host ? lease->host : "unknown host",
                    lease->pid, *lease->user ? ", user " : "", lease->user, *lease->release ? ", release " : "",
                    lease->release, since);
   if (used < 0) {
      text[0] = '\0';
   }
}

/* ---- acquire ---- */

/* One question, for at most so many milliseconds. Not OK where the server gave no answer to it. */
static ecl_reply_t
ask (ecl_holder_t *self, ecl_world_t *world, int64_t limit, int64_t *asked, bson_error_t *error)
{
   int64_t beat = atomic_fetch_add (&self->beat, 1) + 1, deadline = world->now (world) + limit;
   ecl_reply_t answer;
   bson_t command, reply;
   bool found;

   ecl_lease_ask (&self->key, &self->holder, beat, &command);
   for (int tries = 1;; tries++) {
      answer = ecl_insist (world, self->database, &command, deadline, asked, &reply, error);
      if (answer != ECL_REPLY_OK) {
         break;
      }
      if (!ecl_lease_read (&reply, &found, &self->seen, error)) {
         answer = ECL_REPLY_REFUSED;
         break;
      }
      if (found) {
         break;
      }
      /* Two that made the document at once: an answer without it says nothing. */
      answer = ECL_REPLY_REFUSED;
      ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_SERVER, "the server answered without the lease");
      if (tries == ASK_TRIES || !world->wait (world, ASK_AGAIN_MS)) {
         break;
      }
      bson_destroy (&reply);
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return answer;
}

/* A command under the token whose answer is the lease. *ours: it still is. */
static bool
under_token (ecl_holder_t *self, ecl_world_t *world, const bson_t *command, int64_t deadline, bool *ours,
             bson_error_t *error)
{
   ecl_lease_t lease;
   bson_t reply;
   bool good;

   good = ecl_insist (world, self->database, command, deadline, NULL, &reply, error) == ECL_REPLY_OK &&
          ecl_lease_read (&reply, ours, &lease, error);
   bson_destroy (&reply);
   return good;
}

static bool
lost (ecl_holder_t *self, bson_error_t *error)
{
   ecl_holder_lose (self);
   return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE, "the lease \"%s\" was lost", self->name);
}

static bool
find_expired (const ecl_holder_t *self, ecl_world_t *world, int64_t deadline, bool *found, ecl_lease_t *lease,
              bson_error_t *error)
{
   bson_t command, reply;
   bool good;

   ecl_lease_find_expired (&self->key, &command);
   good = ecl_insist (world, self->database, &command, deadline, NULL, &reply, error) == ECL_REPLY_OK &&
          ecl_lease_read (&reply, found, lease, error);
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

/* Ends a transaction that a holder left open with the lease's document in it: until then nobody can write the document,
 * so nobody is granted the lease, and bury() is not reached. The server would end it after a minute. Only where the
 * lease has expired: its holder's statements count no more. What goes wrong here is no news: the question is asked
 * again. */
static void
unblock (ecl_holder_t *self, ecl_world_t *world)
{
   int64_t deadline = world->now (world) + ASK_FIRST_MS;
   bool found = false, good;
   bson_t command, reply;
   bson_error_t ignored;
   ecl_lease_t lease;

   if (!find_expired (self, world, deadline, &found, &lease, &ignored) || !found || !lease.n_doomed) {
      return;
   }
   ecl_lease_kill (&lease, &command);
   good = ecl_insist (world, "admin", &command, deadline, NULL, &reply, &ignored) == ECL_REPLY_OK;
   (void) good;
   bson_destroy (&reply);
   bson_destroy (&command);
}

/* Ends what holders before this one may have left running at the server. */
static bool
bury (ecl_holder_t *self, ecl_world_t *world, bson_error_t *error)
{
   int64_t until = atomic_load (&self->until);
   bson_t command, reply;
   ecl_reply_t answer;
   bool good, ours;

   if (!self->seen.n_doomed) {
      return true;
   }
   self->took_over = true;
   ecl_lease_kill (&self->seen, &command);
   answer = ecl_insist (world, "admin", &command, until, NULL, &reply, error);
   bson_destroy (&reply);
   bson_destroy (&command);
   if (answer == ECL_REPLY_LOST) {
      return false;
   }
   if (answer == ECL_REPLY_REFUSED) {
      /* Not allowed, or not known there. Its statements have a time limit within its lease, which is over; and what is
       * on its way even so finds records with a larger token. The next holder may try again. */
      return true;
   }
   ecl_lease_buried (&self->key, ecl_holder_token (self), &command);
   good = under_token (self, world, &command, until, &ours, error);
   bson_destroy (&command);
   return good && (ours || lost (self, error));
}

static bool
mine (const ecl_holder_t *self)
{
   return self->seen.held && memcmp (self->seen.id, self->holder.id, sizeof self->seen.id) == 0 &&
          self->seen.beat == atomic_load (&self->beat);
}

static void
begin (ecl_holder_t *self, ecl_world_t *world)
{
   /* Not bson_oid_init: chance comes from the world. */
   uint64_t a = world->random (world);
   uint32_t b = (uint32_t) world->random (world);

   memcpy (self->holder.id, &a, 8);
   memcpy (self->holder.id + 8, &b, 4);
   self->holder.first = self->apart ? (int64_t) (world->random (world) % TOKEN_SPREAD) : 0;
   self->holder.n_sessions = world->sessions ? world->sessions (world, self->holder.sessions, ECL_LEASE_SESSIONS) : 0;
   if (self->also && self->also->sessions) {
      size_t n = self->holder.n_sessions;

      self->holder.n_sessions += self->also->sessions (self->also, self->holder.sessions + n, ECL_LEASE_SESSIONS - n);
   }
   atomic_store (&self->beat, 0);
   atomic_store (&self->token, 0);
   atomic_store (&self->until, 0);
   atomic_store (&self->unknown, false);
   self->took_over = self->raised = false;
}

ecl_acquire_t
ecl_holder_acquire (ecl_holder_t *self, ecl_world_t *world, int64_t wait,
                    void (*waiting) (void *context, const ecl_lease_t *lease), void *context, bson_error_t *error)
{
   int64_t start = world->now (world), asked, told = 0, limit = BSON_MIN (ASK_FIRST_MS, self->key.time / 2);
   char text[512];

   begin (self, world);
   for (;;) {
      int64_t pause = self->key.time / 10, left;
      ecl_reply_t answer;

      answer = ask (self, world, limit, &asked, error);
      if (answer != ECL_REPLY_OK) {
         /* The first questions are short, for it may be a transaction that holds them up. Where that cannot be ended by
          * us it keeps the document until the server does so. */
         bool more =
            limit < self->key.time || (error->code == TIME_LIMIT && (wait < 0 || world->now (world) - start < wait));

         if (answer == ECL_REPLY_REFUSED || !more || !world->wait (world, pause)) {
            return ECL_ACQUIRE_FAILED;
         }
         unblock (self, world);
         limit = BSON_MIN (4 * limit, self->key.time);
         continue;
      }
      if (mine (self)) {
         atomic_store (&self->token, self->seen.token);
         atomic_store (&self->until, asked + self->key.time);
         atomic_store (&self->expires, self->seen.expires);
         if (!bury (self, world, error)) {
            ecl_holder_release (self, world);
            return ECL_ACQUIRE_FAILED;
         }
         return ECL_ACQUIRED;
      }
      left = wait < 0 ? INT64_MAX : wait - (world->now (world) - start);
      if (left <= 0) {
         ecl_holder_describe (&self->seen, text, sizeof text);
         ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE, "somebody else holds the lease \"%s\": %s", self->name,
                   text);
         return ECL_ACQUIRE_BUSY;
      }
      if (waiting && told != self->seen.token) {
         told = self->seen.token;
         waiting (context, &self->seen);
      }
      pause = pause < ASK_SHORTEST_MS ? ASK_SHORTEST_MS : pause > ASK_LONGEST_MS ? ASK_LONGEST_MS : pause;
      pause = pause / 2 + (int64_t) (world->random (world) % (uint64_t) pause);
      if (!world->wait (world, pause < left ? pause : left)) {
         ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_CANCELLED, "cancelled while waiting for the lease \"%s\"",
                   self->name);
         return ECL_ACQUIRE_FAILED;
      }
   }
}

/* ---- while it is held ---- */

bool
ecl_holder_renew (ecl_holder_t *self, ecl_world_t *world, bson_error_t *error)
{
   return ecl_holder_renew_with (self, world, NULL, error);
}

bool
ecl_holder_renew_with (ecl_holder_t *self, ecl_world_t *world, const bson_t *fields, bson_error_t *error)
{
   int64_t until = atomic_load (&self->until), beat = atomic_fetch_add (&self->beat, 1) + 1, sent;
   int64_t end = world->now (world) + ecl_holder_interval (self);
   ecl_lease_t lease;
   bson_t command, reply;
   bool good, found;

   if (until <= world->now (world)) {
      return lost (self, error);
   }
   ecl_lease_renew (&self->key, ecl_holder_token (self), beat, fields, &command);
   good =
      ecl_insist (world, self->database, &command, end < until ? end : until, &sent, &reply, error) == ECL_REPLY_OK &&
      ecl_lease_read (&reply, &found, &lease, error);
   bson_destroy (&reply);
   bson_destroy (&command);
   if (!good) {
      /* Without an answer it is ours for as long as it was; whoever beats may ask again until then. */
      return ecl_holder_held (self, world->now (world)) || lost (self, error);
   }
   /* Where the process slept on the way it is lost to the threads that looked meanwhile, whatever the server says. */
   if (!found || lease.beat != beat || until <= world->now (world)) {
      return lost (self, error);
   }
   atomic_store (&self->expires, lease.expires);
   /* Not where it was released, or lost, meanwhile. */
   return atomic_compare_exchange_strong (&self->until, &until, sent + self->key.time) || lost (self, error);
}

void
ecl_holder_blame (const ecl_holder_t *self, ecl_world_t *world, bson_error_t *error)
{
   bson_error_t why = *error;

   if (ecl_holder_held (self, world->now (world)) || ecl_is_lease_error (&why)) {
      return;
   }
   if (why.domain == ECL_DOMAIN_RUN && why.code == ECL_ERROR_CANCELLED) {
      ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE, "the lease \"%s\" was lost", self->name);
   } else {
      ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE, "the lease \"%s\" was lost: %s", self->name, why.message);
   }
}

bool
ecl_holder_raise (ecl_holder_t *self, ecl_world_t *world, int64_t above, bson_error_t *error)
{
   int64_t token = ecl_holder_token (self), until = atomic_load (&self->until), to;
   ecl_lease_t lease;
   bson_t command;
   bool good, ours;

   if (self->raised || token > above) {
      self->raised = true;
      return true;
   }
   to = above + 1 + (int64_t) (world->random (world) % TOKEN_SPREAD);
   ecl_lease_raise (&self->key, token, to, &command);
   good = under_token (self, world, &command, until, &ours, error);
   bson_destroy (&command);
   if (good && !ours) {
      /* An answer that was lost may have been to one that took effect. */
      good = ecl_holder_look (self, world, &ours, &lease, error);
      ours =
         good && ours && lease.held && lease.token == to && memcmp (lease.id, self->holder.id, sizeof lease.id) == 0;
   }
   if (good && ours) {
      atomic_store (&self->token, to);
      self->raised = true;
   }
   return good && (ours || lost (self, error));
}

void
ecl_holder_release (ecl_holder_t *self, ecl_world_t *world)
{
   bson_error_t ignored;
   bool good = ecl_holder_release_with (self, world, NULL, &ignored);

   (void) good; /* it expires by itself */
}

bool
ecl_holder_release_with (ecl_holder_t *self, ecl_world_t *world, const bson_t *fields, bson_error_t *error)
{
   int64_t token = ecl_holder_token (self), now = world->now (world);
   bool held = ecl_holder_held (self, now), ours = false, good;
   bson_t command;

   ecl_holder_lose (self);
   atomic_store (&self->token, 0);
   if (!held) {
      return lost (self, error);
   }
   ecl_lease_free (&self->key, token, atomic_load (&self->unknown), fields, &command);
   good = under_token (self, world, &command, now + RELEASE_MS, &ours, error);
   bson_destroy (&command);
   return good && (ours || lost (self, error));
}

/* ---- others' ---- */

bool
ecl_holder_look (ecl_holder_t *self, ecl_world_t *world, bool *found, ecl_lease_t *lease, bson_error_t *error)
{
   bson_t command, reply;
   bool good;

   ecl_lease_find (&self->key, &command);
   good = ecl_insist (world, self->database, &command, world->now (world) + ECL_LEASE_TIME, NULL, &reply, error) ==
             ECL_REPLY_OK &&
          ecl_lease_read (&reply, found, lease, error);
   bson_destroy (&reply);
   bson_destroy (&command);
   return good;
}

bool
ecl_holder_look_expired (ecl_holder_t *self, ecl_world_t *world, bool *expired, bson_error_t *error)
{
   ecl_lease_t lease;

   return find_expired (self, world, world->now (world) + ECL_LEASE_TIME, expired, &lease, error);
}

bool
ecl_holder_break (ecl_holder_t *self, ecl_world_t *world, int64_t token, bool *broken, ecl_lease_t *was,
                  bson_error_t *error)
{
   ecl_lease_t now;
   bson_t command;
   bool found;

   *broken = false;
   if (!ecl_holder_look (self, world, &found, was, error)) {
      return false;
   }
   if (!found || !was->held || (token && was->token != token)) {
      return true;
   }
   ecl_lease_break (&self->key, was->token, &command);
   found = under_token (self, world, &command, world->now (world) + ECL_LEASE_TIME, broken, error);
   bson_destroy (&command);
   if (!found) {
      return false;
   }
   if (!*broken) {
      /* An answer that was lost may have been to one that took effect. */
      if (!ecl_holder_look (self, world, &found, &now, error)) {
         return false;
      }
      *broken = found && !now.held && now.token == was->token + 1;
   }
   return true;
}
