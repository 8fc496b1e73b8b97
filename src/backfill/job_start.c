/* How a job begins: is there anything to do, does one live already, and the plan of its ranges: see job.h. */
#include "backfill/job.h"

#include "backfill/survey.h"
#include "base/shell.h"
#include "run/insist.h"
#include "run/place.h"
#include "run/server.h"
#include "store/catalog.h"
#include "store/store.h"

#include <inttypes.h>

/* How long one waits for the lease under which a plan is made, and how often one looks meanwhile whether its holder is
 * dead. A plan takes a sample and some inserts, between which the lease is renewed: it need not last as long as they
 * do. */
#define PLAN_WAIT_MS 180000
#define PLAN_LOOK_MS 1000

/* How often it is looked whether the workers of the job before have ended. */
#define LAST_LOOK_MS 300

#define PLANNER_GONE "whoever made the plan went away"

/* How long the server is asked for its time. */
#define HELLO_MS 30000

/* How long it is looked whether there is anything to do. Longer, and each range is gone through. */
#define COUNT_MS 10000

/* The same, where records say that there is not. */
#define FINISHED_MS 1000

/* How often that is tried while the server comes and goes. */
#define LOOKS 3

/* Documents up to which they are counted: that takes no longer than to find the first. */
#define COUNTED 10000

/* Ranges that one command writes. */
#define INSERTED 500

/* The server's clock. */
static bool
server_time (const ecl_job_start_t *options, int64_t *time, bson_error_t *error)
{
   bson_t reply;
   bool good = ecl_server_hello (options->world, HELLO_MS, &reply, error);

   *time = good ? ecl_store_number (&reply, "localTime") : 0;
   bson_destroy (&reply);
   return good;
}

/* How many are to be carried: all of them counted, or only whether there is one. Where that cannot be said in a short
 * time (none is, or the first lies far behind, and no index is of help), it is -1; *late says that the time was not
 * enough, and not that nobody was there to look. */
static bool
count (const ecl_job_start_t *options, bool whether, int64_t most, int64_t *n, bool *late, bson_error_t *error)
{
   ecl_world_t *world = options->world;
   bson_t command, reply;
   ecl_reply_t answer;
   int64_t sent;

   ecl_store_count (options->collection, options->candidates, whether ? 1 : 0, &command);
   ecl_store_read_concern (&command);
   answer = ecl_insist (world, options->database, &command, world->now (world) + most, &sent, &reply, error);
   *n = answer == ECL_REPLY_OK ? ecl_store_number (&reply, "cursor.firstBatch.0.n") : -1;
   bson_destroy (&reply);
   bson_destroy (&command);
   /* Not every server ends it when its time is over: then it is waited for much longer. */
   *late = answer == ECL_REPLY_LOST && (ecl_insist_late (error->code) || world->now (world) - sent > 2 * most);
   if (answer == ECL_REPLY_LOST && world->cancelled (world)) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for");
   }
   return answer != ECL_REPLY_REFUSED;
}

/* Whether there is one, where records say that there is not: -1 where a server that is there did not come to the end.
 * One that goes away has looked at nothing. */
static bool
look (const ecl_job_start_t *options, int64_t *n, bson_error_t *error)
{
   bson_error_t why;
   int64_t ignored;
   bool late;

   for (int i = 0; i < LOOKS; i++) {
      if (!count (options, true, FINISHED_MS, n, &late, error)) {
         return false;
      }
      if (*n >= 0) {
         return true;
      }
      why = *error;
      if (!server_time (options, &ignored, error)) { /* waits for it */
         return false;
      }
      if (late) {
         return true;
      }
      *error = why;
   }
   return false;
}

/* Under the lease of the plan: ends all jobs that are still being planned, as failed. Whoever plans a job holds this
 * lease, so those who planned them are gone. *gone is the last of them, where *any. *job is the live job that is left,
 * where *found. */
static bool
bury (ecl_world_t *world, const char *database, const char *collection, ecl_job_t *job, bool *found, ecl_job_t *gone,
      bool *any, bson_error_t *error)
{
   *any = false;
   while (ecl_job_latest (world, database, collection, true, job, found, error)) {
      if (!*found || job->state != ECL_JOB_PLANNING) {
         return true;
      }
      *gone = *job;
      *any = true;
      if (!ecl_job_close (world, database, job, ECL_JOB_FAILED, PLANNER_GONE, error)) {
         break;
      }
   }
   return false;
}

/* Cancels a job to another target, on which nobody works, in favour of the one that is made now. */
static bool
give_up (const ecl_job_start_t *options, ecl_job_t *job, bson_error_t *error)
{
   char why[128];

   bson_snprintf (why, sizeof why, "given up for a job to version %s", options->to);
   if (!ecl_job_close (options->world, options->database, job, ECL_JOB_CANCELLED, why, error)) {
      return false;
   }
   if (options->gave_up) {
      *options->gave_up = *job;
   }
   return true;
}

/* Looks for a live job of the collection. *joined: there is one to the same target, to be worked on. *waits: one is being
 * planned. One to another target is an error where somebody works on it or it is paused; otherwise it is given up, but
 * only with `planned` (under the lease, when the new job is about to be made): before that it may turn out that there is
 * nothing to do. */
static bool
meet (const ecl_job_start_t *options, bool planned, ecl_job_t *job, bool *joined, bool *waits, bson_error_t *error)
{
   bool found, any, same;
   ecl_job_t gone;
   int64_t living;

   *joined = *waits = false;
   if (planned ? !bury (options->world, options->database, options->collection, job, &found, &gone, &any, error)
               : !ecl_job_latest (options->world, options->database, options->collection, true, job, &found, error)) {
      return false;
   }
   if (!found) {
      return true;
   }
   if (job->state == ECL_JOB_PLANNING) {
      *waits = true;
      return true;
   }
   same = job->down == options->down && strcmp (job->to, options->to) == 0;
   if (same && ecl_job_is_of (job, options->chain, options->target)) {
      *joined = true;
      return true;
   }
   if (!ecl_job_living (options->world, options->database, job->id, options->who.place, &living, error)) {
      return false;
   }
   if (living) {
      return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE,
                       "%s: %" PRId64
                       " range%s of a job %s to version %s%s %s being worked on; it can be ended with `eclose "
                       "backfill cancel %s`",
                       job->collection, living, living == 1 ? "" : "s", job->down ? "down" : "up", job->to,
                       same ? ECL_JOB_OTHERS : "", living == 1 ? "is" : "are", ecl_shell_word (job->collection).text);
   }
   if (job->wanted == ECL_WANTED_PAUSED) { /* its workers hold nothing, and wait; whoever paused it had a reason */
      const ecl_shell_word_t name = ecl_shell_word (job->collection);

      return ecl_fail (
         error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE,
         "%s: a job %s to version %s%s is paused; `eclose backfill resume %s` lets it go on, `eclose backfill "
         "cancel %s` ends it",
         job->collection, job->down ? "down" : "up", job->to, same ? ECL_JOB_OTHERS : "", name.text, name.text);
   }
   return !planned || give_up (options, job, error);
}

static bool
ended (const char *collection, bson_error_t *error)
{
   return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED,
                    "%s: ended as asked for; the same command goes on where this one stopped", collection);
}

/* Before a way down. Those who work on a job up see a moment later that it was cancelled, or failed: what they write
 * until then would come behind the back of the way down, which no program of the older release could read. Once more
 * under the lease: a job that was given up there may have had a worker between two ranges, who claimed the next one just
 * before. */
static bool
await_last (const ecl_job_start_t *options, bson_error_t *error)
{
   ecl_world_t *world = options->world;
   int64_t end = world->now (world) + PLAN_WAIT_MS;
   bool found, told = false;
   int64_t living;
   ecl_job_t last;

   if (!ecl_job_latest (world, options->database, options->collection, false, &last, &found, error)) {
      return false;
   }
   while (found && !last.down && (last.state == ECL_JOB_CANCELLED || last.state == ECL_JOB_FAILED)) {
      if (!ecl_job_living (world, options->database, last.id, options->who.place, &living, error)) {
         return false;
      }
      if (!living) {
         return true;
      }
      if (world->now (world) >= end) {
         return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE,
                          "%s: %" PRId64
                          " range%s of a job up to version %s, which has ended, %s still being worked on",
                          last.collection, living, living == 1 ? "" : "s", last.to, living == 1 ? "is" : "are");
      }
      if (!told && options->ending) {
         options->ending (options->context, &last);
         told = true;
      }
      if (!world->wait (world, LAST_LOOK_MS) || (options->until && world->now (world) >= options->until)) {
         return ended (last.collection, error);
      }
   }
   return true;
}

/* Makes it a new job of `who`. As long as it is planned, `chunks` is the number of ranges that are wanted, so that others
 * can make the plan anew. */
static void
begin_job (ecl_world_t *world, const ecl_who_t *who, int64_t wanted, ecl_job_t *job)
{
   ecl_job_make_id (world, job->id);
   bson_strncpy (job->host, who->host ? who->host : "", sizeof job->host);
   bson_strncpy (job->user, who->user ? who->user : "", sizeof job->user);
   job->pid = who->pid;
   job->state = ECL_JOB_PLANNING;
   job->chunks = (int32_t) wanted;
}

static void
make_job (const ecl_job_start_t *options, int64_t documents, int64_t wanted, ecl_job_t *job)
{
   memset (job, 0, sizeof *job);
   begin_job (options->world, &options->who, wanted, job);
   job->down = options->down;
   bson_strncpy (job->collection, options->collection, sizeof job->collection);
   bson_strncpy (job->uuid, options->uuid ? options->uuid : "", sizeof job->uuid);
   bson_strncpy (job->to, options->to, sizeof job->to);
   ecl_catalog_checksum (options->chain, options->target, options->down, job->chain);
   bson_strncpy (job->mode, options->mode, sizeof job->mode);
   bson_strncpy (job->why, options->why, sizeof job->why);
   job->settings = options->settings;
   job->documents = documents;
}

typedef struct {
   ecl_world_t *world;
   const char *database;
} place_t;

/* Removes the ranges of a job that has ended: nobody reads them any more. */
static void
remove_old (void *context, const ecl_job_t *old)
{
   const place_t *place = context;
   bson_error_t ignored;
   bson_t command;
   bool good;

   if (!ecl_job_is_live (old->state)) {
      ecl_chunks_remove (old->id, &command);
      good = ecl_job_send (place->world, place->database, &command, NULL, &ignored);
      (void) good; /* they are in nobody's way */
   }
}

/* The end of the plan could not be written, because the job was not in planning any more. True where that is well: the
 * answer to a first try was lost, or somebody cancelled the job meanwhile. Otherwise its record came later than the lease
 * lasted, or whoever had the lease then has ended it (see bury). */
static bool
was_planned (ecl_world_t *world, const char *database, ecl_job_t *job, bson_error_t *error)
{
   ecl_job_t now;
   bool found;

   if (!ecl_job_look (world, database, job->id, &now, &found, error)) {
      return false;
   }
   if (!found || now.state == ECL_JOB_PLANNING || ecl_job_is_given_up (&now)) {
      return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE, "%s: %s", job->collection, ECL_JOB_PUT_LATE);
   }
   job->state = now.state;
   return true;
}

/* Writes the record of the new job and its ranges; then it runs. The lease is renewed before and on the way. The record
 * is only valid if it is written before the lease expires, without the margin for clock skew: whoever takes the lease
 * over waits that much longer, so whatever the clocks say, this record is not written after theirs. */
static bool
plan (ecl_world_t *beneath, const char *database, ecl_holder_t *holder, ecl_partition_sample_t *sample, ecl_job_t *job,
      bson_error_t *error)
{
   const ecl_chunk_range_t *ranges;
   ecl_held_world_t held;
   ecl_world_t *world = ecl_held_world_init (&held, beneath, holder);
   place_t place = {world, database};
   bson_t command, reply;
   bool good, took;
   size_t n;

   held.renews = true;
   if (!ecl_holder_renew (holder, beneath, error)) {
      return false;
   }
   ecl_job_put (job, atomic_load (&holder->expires), &command);
   if (!ecl_job_send (world, database, &command, NULL, error) ||
       !ecl_job_list (world, database, job->collection, false, 4, remove_old, &place, error)) {
      return false;
   }
   good = ecl_partition (world, database, job->collection, job->chunks, sample, &ranges, &n, error);
   if (good) {
      /* A worker looks at the first of many that are open: those are to lie all over the collection, and its shards. */
      ranges = ecl_partition_shuffle (sample->arena, world, ranges, n);
   }
   for (size_t at = 0; good && at < n; at += INSERTED) {
      size_t some = n - at < INSERTED ? n - at : INSERTED;

      ecl_chunks_insert (job->id, ranges + at, (int32_t) at, (int32_t) some, job->documents / (int64_t) n, &command);
      good = ecl_job_send (world, database, &command, NULL, error);
   }
   if (!good) {
      return false;
   }
   job->chunks = (int32_t) n;
   ecl_job_planned (job, &command);
   good = ecl_job_send (world, database, &command, &reply, error);
   took = good && ecl_store_number (&reply, "n") > 0;
   bson_destroy (&reply);
   if (took) {
      job->state = ECL_JOB_RUNNING;
   }
   return took || (good && was_planned (world, database, job, error));
}

/* Acquires the lease of the plan; waits for whoever holds it, unless they are known to be dead. */
static bool
acquire (ecl_world_t *world, const char *database, const char *collection, const ecl_job_lease_t *lease,
         ecl_holder_t *holder, bson_error_t *error)
{
   ecl_holder_options_t options = {.database = database, .time = lease->time, .skew = lease->skew, .who = lease->who};
   const char *here = lease->who.place ? lease->who.place : "";
   int64_t now = world->now (world), end = now + PLAN_WAIT_MS, wait = 0;
   ecl_acquire_t answer;
   ecl_lease_t was;
   char name[300];
   bool broken, told = false;

   end = lease->until && lease->until < end ? lease->until : end;
   bson_snprintf (name, sizeof name, "backfill:%s", collection);
   options.name = name;
   ecl_holder_init (holder, &options);
   while ((answer = ecl_holder_acquire (holder, world, wait, NULL, NULL, error)) == ECL_ACQUIRE_BUSY &&
          (now = world->now (world)) < end) {
      bool dead = ecl_place_is_dead (here, holder->seen.place, holder->seen.pid);

      if (dead && !ecl_holder_break (holder, world, holder->seen.token, &broken, &was, error)) {
         break;
      }
      if (!dead && !told && lease->waiting) {
         lease->waiting (lease->context, &holder->seen);
         told = true;
      }
      wait = BSON_MIN (PLAN_LOOK_MS, end - now);
   }
   if (answer == ECL_ACQUIRE_BUSY && lease->until && now >= lease->until) {
      (void) ended (collection, error);
   }
   if (answer != ECL_ACQUIRED) {
      ecl_holder_cleanup (holder);
   }
   return answer == ECL_ACQUIRED;
}

/* Plans a job that others did not bring to its end, as a new one with an _id of its own: what they still have on its way
 * can only make ranges of the old one. */
static bool
plan_again (ecl_world_t *world, const char *database, const ecl_who_t *who, const ecl_job_t *gone, ecl_holder_t *holder,
            ecl_job_t *job, bson_error_t *error)
{
   ecl_partition_sample_t sample = {0};
   ecl_arena_t arena;
   bool good;

   *job = *gone;
   *job->error = '\0';
   begin_job (world, who, gone->chunks > 0 ? gone->chunks : 1, job);
   ecl_arena_init (&arena);
   sample.arena = &arena;
   good = plan (world, database, holder, &sample, job, error);
   ecl_arena_cleanup (&arena);
   return good;
}

bool
ecl_job_is_given_up (const ecl_job_t *job)
{
   return job->state == ECL_JOB_FAILED &&
          (strcmp (job->error, PLANNER_GONE) == 0 || strcmp (job->error, ECL_JOB_PUT_LATE) == 0);
}

/* *any: the latest job of the collection is one whose plan came to nothing; *gone is that job. */
static bool
given_up (ecl_world_t *world, const char *database, const char *collection, ecl_job_t *gone, bool *any,
          bson_error_t *error)
{
   bool good = ecl_job_latest (world, database, collection, false, gone, any, error);

   *any = good && *any && ecl_job_is_given_up (gone);
   return good;
}

bool
ecl_job_await (ecl_world_t *world, const char *database, const char *collection, const ecl_job_lease_t *lease,
               ecl_job_t *job, bool *found, bson_error_t *error)
{
   ecl_holder_t holder;
   ecl_job_t gone;
   bool good, any = false;

   if (!ecl_job_latest (world, database, collection, true, job, found, error) ||
       (!*found && !given_up (world, database, collection, &gone, &any, error))) {
      return false;
   }
   if (*found ? job->state != ECL_JOB_PLANNING : !any) {
      return true;
   }
   if (!acquire (world, database, collection, lease, &holder, error)) {
      return false;
   }
   good = bury (world, database, collection, job, found, &gone, &any, error) &&
          (*found || any || given_up (world, database, collection, &gone, &any, error));
   if (good && !*found && any) {
      good = *found = plan_again (world, database, &lease->who, &gone, &holder, job, error);
   }
   ecl_holder_release (&holder, world);
   ecl_holder_cleanup (&holder);
   return good;
}

/* Under the lease, unless somebody else made one meanwhile. */
static ecl_start_t
plan_alone (const ecl_job_start_t *options, int64_t documents, int64_t wanted, ecl_partition_sample_t *sample,
            ecl_job_t *job, bson_error_t *error)
{
   const ecl_job_lease_t lease = {options->who,     options->lease_time, options->lease_skew,
                                  options->waiting, options->context,    options->until};
   ecl_start_t start = ECL_START_FAILED;
   bool joined, waits;
   ecl_holder_t holder;

   if (!acquire (options->world, options->database, options->collection, &lease, &holder, error)) {
      return ECL_START_FAILED;
   }
   if (!meet (options, true, job, &joined, &waits, error)) {
      start = ECL_START_FAILED;
   } else if (joined) {
      start = ECL_START_JOINED;
   } else if ((!options->down || await_last (options, error)) &&
              (!options->clear || options->clear (options->context, error))) {
      make_job (options, documents, wanted, job);
      start = plan (options->world, options->database, &holder, sample, job, error) ? ECL_START_NEW : ECL_START_FAILED;
   }
   ecl_holder_release (&holder, options->world);
   ecl_holder_cleanup (&holder);
   return start;
}

static bool
try_first (const ecl_job_start_t *options, ecl_partition_sample_t *sample, bson_error_t *error)
{
   return !options->before || options->before (options->context, sample, error);
}

/* Before a new job. *found: how many documents are to be carried; -1 where that was not found out. *finished: the records
 * say that there are none, and the short look found nothing else. Runs the trial, unless there is nothing to do. */
static bool
look_ahead (const ecl_job_start_t *options, bool many, ecl_partition_sample_t *sample, int64_t *found, bool *finished,
            bson_error_t *error)
{
   bool late;

   *found = -1;
   *finished = false;
   if (many && options->finished) {
      if (!look (options, found, error)) {
         return false;
      }
      *finished = *found < 0;
      return *found <= 0 || try_first (options, sample, error);
   }
   if (many) {
      /* Where a document of the sample can be carried there is no need to look for the first one, which may lie behind
       * all that earlier jobs carried. */
      return try_first (options, sample, error) &&
             (sample->to_do || count (options, true, COUNT_MS, found, &late, error));
   }
   return count (options, false, COUNT_MS, found, &late, error) && (*found == 0 || try_first (options, sample, error));
}

ecl_start_t
ecl_job_start (const ecl_job_start_t *options, ecl_job_t *job, bson_error_t *error)
{
   int64_t range_docs = options->range_docs ? options->range_docs : ECL_JOB_RANGE, documents, found, time, wanted;
   ecl_partition_sample_t sample = {0};
   ecl_start_t start = ECL_START_FAILED;
   bool joined, waits;
   ecl_arena_t arena;

   if (!meet (options, false, job, &joined, &waits, error)) {
      return ECL_START_FAILED;
   }
   if (joined) {
      return ECL_START_JOINED;
   }
   if ((options->down && !await_last (options, error)) || !server_time (options, &time, error) ||
       !ecl_survey_estimate (options->world, options->database, options->collection, &documents, error)) {
      return ECL_START_FAILED;
   }
   wanted = ecl_partition_count (documents, range_docs, options->workers);
   ecl_arena_init (&arena);
   sample.arena = &arena;
   if (!waits) {
      bool many = documents > COUNTED, finished;

      if (!look_ahead (options, many, &sample, &found, &finished, error)) {
         goto done;
      }
      if (finished) {
         start = ECL_START_FINISHED;
         goto done;
      }
      if (found == 0) {
         if (options->quarantined || ecl_job_forget (options->world, options->database, options->chain, options->target,
                                                     options->down, time, NULL, error)) {
            start = ECL_START_NOTHING;
         }
         goto done;
      }
      documents = many || found < 0 ? documents : found + options->quarantined;
   }
   start = plan_alone (options, documents, wanted, &sample, job, error);

done:
   ecl_arena_cleanup (&arena);
   return start;
}
