/* Sending until it is known: see insist.h. */
#include "run/insist.h"

#define FIRST_PAUSE_MS 20
#define LONGEST_PAUSE_MS 1000

/* Tries in a row without waiting, where the run was cancelled. */
#define HURRIED 3

bool
ecl_insist_passing (uint32_t code)
{
   static const uint32_t codes[] = {
      6,     /* HostUnreachable */
      7,     /* HostNotFound */
      24,    /* LockTimeout */
      46,    /* LockBusy */
      50,    /* MaxTimeMSExpired */
      64,    /* WriteConcernFailed: the majority did not have it in time */
      82,    /* NoProgressMade: a router whose rounds all met a chunk that moves */
      89,    /* NetworkTimeout */
      90,    /* CallbackCanceled: a router that goes away */
      91,    /* ShutdownInProgress */
      112,   /* WriteConflict */
      133,   /* FailedToSatisfyReadPreference: a router that finds no primary */
      134,   /* ReadConcernMajorityNotAvailableYet */
      145,   /* PooledConnectionsDropped: a router whose connections to a shard went away */
      150,   /* StaleEpoch */
      189,   /* PrimarySteppedDown */
      202,   /* NetworkInterfaceExceededTimeLimit */
      249,   /* StaleDbVersion */
      262,   /* ExceededTimeLimit */
      365,   /* TemporarilyUnavailable: the storage engine was short of memory */
      371,   /* UserWritesBlocked: by an administrator, for a while */
      402,   /* ResourceExhausted */
      407,   /* PooledConnectionAcquisitionExceededTimeLimit */
      433,   /* AdmissionQueueOverflow */
      449,   /* RateLimitExceeded */
      450,   /* PooledConnectionAcquisitionRejected */
      453,   /* InterruptedDueToReshardingCriticalSection */
      462,   /* IngressRequestRateLimitExceeded */
      471,   /* InterruptedDueToAddShard */
      9001,  /* SocketException */
      10058, /* LegacyNotPrimary */
      10107, /* NotWritablePrimary */
      11600, /* InterruptedAtShutdown */
      11601, /* Interrupted */
      11602, /* InterruptedDueToReplStateChange */
      13388, /* StaleConfig */
      13435, /* NotPrimaryNoSecondaryOk */
      13436, /* NotPrimaryOrSecondary */
      14031, /* OutOfDiskSpace */
      91331, /* RetriableRemoteCommandFailure */

      10045600, /* InterruptedDueToFCVChange */
   };

   for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
      if (codes[i] == code) {
         return true;
      }
   }
   return false;
}

bool
ecl_insist_late (uint32_t code)
{
   return code == 50 /* MaxTimeMSExpired */ || code == 262 /* ExceededTimeLimit */;
}

bool
ecl_insist_aborted (const bson_t *reply, uint32_t code)
{
   bson_iter_t iter, labels;

   if (reply && bson_iter_init_find (&iter, reply, "errorLabels") && bson_iter_recurse (&iter, &labels)) {
      while (bson_iter_next (&labels)) {
         if (BSON_ITER_HOLDS_UTF8 (&labels) &&
             strcmp (bson_iter_utf8 (&labels, NULL), "TransientTransactionError") == 0) {
            return true;
         }
      }
   }
   /* Not every server has labels: SnapshotUnavailable, NoSuchTransaction, PreparedTransactionInProgress. */
   return code == 246 || code == 251 || code == 267 || (ecl_insist_passing (code) && !ecl_insist_late (code));
}

/* DuplicateKey: of two that inserted the same record of eclose's own at once one gets this, and its next try finds the
 * record. Those have no unique key but their _id. Of anybody else's collection it is an answer like any. */
static bool
is_race (const bson_t *command, uint32_t code)
{
   bson_iter_t iter;

   return code == 11000 && bson_iter_init (&iter, command) && bson_iter_next (&iter) &&
          (strcmp (bson_iter_key (&iter), "update") == 0 || strcmp (bson_iter_key (&iter), "findAndModify") == 0) &&
          BSON_ITER_HOLDS_UTF8 (&iter) && strncmp (bson_iter_utf8 (&iter, NULL), "eclose_", 7) == 0;
}

/* What an answer with ok: 1 says of its write concern: 0 where it was kept. */
static uint32_t
concern_failed (const bson_t *reply, bson_error_t *error)
{
   const char *message = "the write concern was not kept";
   bson_iter_t iter, child;
   uint32_t code = 0;

   if (!bson_iter_init_find (&iter, reply, "writeConcernError") || !bson_iter_recurse (&iter, &child)) {
      return 0;
   }
   code = 64;
   while (bson_iter_next (&child)) {
      if (strcmp (bson_iter_key (&child), "code") == 0 && BSON_ITER_HOLDS_NUMBER (&child)) {
         code = (uint32_t) bson_iter_as_int64 (&child);
      } else if (strcmp (bson_iter_key (&child), "errmsg") == 0 && BSON_ITER_HOLDS_UTF8 (&child)) {
         message = bson_iter_utf8 (&child, NULL);
      }
   }
   ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "%s", message);
   return code;
}

/* A statement of an update or insert that failed by itself. */
static uint32_t
write_failed (const bson_t *reply, bson_error_t *error)
{
   const char *message = "the server refused the write";
   bson_iter_t iter, child;
   uint32_t code = 0;

   if (!bson_iter_init (&iter, reply) || !bson_iter_find_descendant (&iter, "writeErrors.0", &child) ||
       !bson_iter_recurse (&child, &iter)) {
      return 0;
   }
   code = 1;
   while (bson_iter_next (&iter)) {
      if (strcmp (bson_iter_key (&iter), "code") == 0 && BSON_ITER_HOLDS_NUMBER (&iter)) {
         code = (uint32_t) bson_iter_as_int64 (&iter);
      } else if (strcmp (bson_iter_key (&iter), "errmsg") == 0 && BSON_ITER_HOLDS_UTF8 (&iter)) {
         message = bson_iter_utf8 (&iter, NULL);
      }
   }
   ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "%s", message);
   return code;
}

static ecl_reply_t
judge (const bson_t *command, ecl_reply_t answer, const bson_t *reply, bson_error_t *error)
{
   uint32_t code;

   if (answer != ECL_REPLY_OK) {
      return answer == ECL_REPLY_REFUSED && (ecl_insist_passing (error->code) || is_race (command, error->code))
                ? ECL_REPLY_LOST
                : answer;
   }
   code = write_failed (reply, error);
   code = code ? code : concern_failed (reply, error);
   return !code                                                  ? ECL_REPLY_OK
          : ecl_insist_passing (code) || is_race (command, code) ? ECL_REPLY_LOST
                                                                 : ECL_REPLY_REFUSED;
}

ecl_reply_t
ecl_insist (ecl_world_t *world, const char *database, const bson_t *command, int64_t deadline, int64_t *sent,
            bson_t *reply, bson_error_t *error)
{
   ecl_call_t call = {.database = database, .command = command};
   int64_t pause = FIRST_PAUSE_MS, ignored_time, left, wait;
   bson_error_t ignored;
   int hurried = 0;

   error = error ? error : &ignored;
   sent = sent ? sent : &ignored_time;
   for (;;) {
      ecl_reply_t answer;

      *sent = world->now (world);
      answer = judge (command, world->run_command (world, &call, deadline, reply, error), reply, error);
      left = deadline - world->now (world);
      if (answer != ECL_REPLY_LOST || left <= 0 || hurried >= HURRIED) {
         return answer;
      }
      /* Between a half and the whole of it, so that those who failed together do not come again together. */
      wait = pause < left ? pause / 2 + (int64_t) (world->random (world) % (uint64_t) (pause / 2 + 1)) : left;
      hurried += !world->wait (world, wait);
      if (world->now (world) >= deadline) {
         return answer;
      }
      pause = pause * 2 < LONGEST_PAUSE_MS ? pause * 2 : LONGEST_PAUSE_MS;
      bson_destroy (reply);
   }
}

bool
ecl_insist_call (ecl_world_t *world, const char *database, const bson_t *command, bson_t *reply, bson_error_t *error)
{
   return ecl_insist (world, database, command, world->now (world) + ECL_WORLD_TIMEOUT, NULL, reply, error) ==
          ECL_REPLY_OK;
}
