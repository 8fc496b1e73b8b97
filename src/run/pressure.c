/* How the server fares: see pressure.h. */
#include "run/pressure.h"

#include "run/insist.h"

#include <stdio.h>
#include <string.h>

/* A question that takes longer is as good as none: the worker has work to do. */
#define ASK_MS 3000

#define STATE_PRIMARY 1
#define STATE_SECONDARY 2

void
ecl_pressure_init (ecl_pressure_reader_t *self, void (*say) (void *context, const char *message), void *context)
{
   memset (self, 0, sizeof *self);
   self->last = (ecl_pressure_t){-1, -1, -1, -1, 0, 0};
   self->say = say;
   self->context = context;
}

static void
close_input (ecl_pressure_reader_t *self, ecl_ask_t ask, const char *why)
{
   static const char *const texts[] = {
      [ECL_ASK_STATUS] = "replSetGetStatus cannot be read, so replication lag is that of the majority, from hello",
      [ECL_ASK_HELLO] = "replication lag is not known here and slows nothing",
      [ECL_ASK_FLOW] = "flow control is not known here and slows nothing",
      [ECL_ASK_OPLOG] = "the oplog cannot be read and slows nothing",
   };
   char text[640];

   self->closed[ask] = true;
   if (self->say) {
      snprintf (text, sizeof text, "throttle: %s (%s)", texts[ask], why);
      self->say (self->context, text);
   }
}

/* Sends it; false where there is no answer to look at. reply is always initialised. */
static bool
ask (ecl_pressure_reader_t *self, ecl_world_t *world, ecl_ask_t which, const char *database, const bson_t *command,
     bson_t *reply)
{
   ecl_call_t call = {.database = database, .command = command};
   bson_error_t error;

   switch (world->run_command (world, &call, world->now (world) + ASK_MS, reply, &error)) {
   case ECL_REPLY_OK:
      return true;
   case ECL_REPLY_REFUSED:
      if (!ecl_insist_passing (error.code)) {
         close_input (self, which, error.message);
      }
      return false;
   default:
      return false;
   }
}

static bool
find_date (const bson_t *reply, const char *path, int64_t *ms)
{
   bson_iter_t iter, found;

   if (!bson_iter_init (&iter, reply) || !bson_iter_find_descendant (&iter, path, &found)) {
      return false;
   }
   if (BSON_ITER_HOLDS_TIMESTAMP (&found)) {
      uint32_t seconds, increment;

      bson_iter_timestamp (&found, &seconds, &increment);
      *ms = (int64_t) seconds * 1000;
      return true;
   }
   *ms = BSON_ITER_HOLDS_DATE_TIME (&found) ? bson_iter_date_time (&found) : 0;
   return BSON_ITER_HOLDS_DATE_TIME (&found);
}

/* ---- lag ---- */

/* Members that are behind on purpose, and hidden ones, which serve no application. Once; where it is not allowed, all
 * count. */
static void
read_config (ecl_pressure_reader_t *self, ecl_world_t *world)
{
   bson_t command = BSON_INITIALIZER, reply;
   bson_iter_t iter, members, member;
   ecl_call_t call = {.database = "admin", .command = &command};
   ecl_reply_t answer;
   bson_error_t error;

   BSON_APPEND_INT32 (&command, "replSetGetConfig", 1);
   answer = world->run_command (world, &call, world->now (world) + ASK_MS, &reply, &error);
   self->read_config = answer == ECL_REPLY_OK || (answer == ECL_REPLY_REFUSED && !ecl_insist_passing (error.code));
   if (answer == ECL_REPLY_OK && bson_iter_init (&iter, &reply) &&
       bson_iter_find_descendant (&iter, "config.members", &members) && bson_iter_recurse (&members, &iter)) {
      while (bson_iter_next (&iter)) {
         int64_t id = -1, delay = 0;
         bool hidden = false;

         if (!BSON_ITER_HOLDS_DOCUMENT (&iter) || !bson_iter_recurse (&iter, &member)) {
            continue;
         }
         while (bson_iter_next (&member)) {
            if (BSON_ITER_IS_KEY (&member, "_id")) {
               id = bson_iter_as_int64 (&member);
            } else if (BSON_ITER_IS_KEY (&member, "secondaryDelaySecs") || BSON_ITER_IS_KEY (&member, "slaveDelay")) {
               delay = bson_iter_as_int64 (&member);
            } else if (BSON_ITER_IS_KEY (&member, "hidden")) {
               hidden = bson_iter_as_bool (&member);
            }
         }
         if ((delay > 0 || hidden) && self->n_aside < ECL_PRESSURE_MEMBERS) {
            self->aside[self->n_aside++] = id;
         }
      }
   }
   bson_destroy (&reply);
   bson_destroy (&command);
}

static bool
counts (const ecl_pressure_reader_t *self, int64_t id)
{
   for (uint32_t i = 0; i < self->n_aside; i++) {
      if (self->aside[i] == id) {
         return false;
      }
   }
   return true;
}

/* The secondary that is furthest behind the primary; -1 where there is no primary or no secondary to be seen. */
static int64_t
lag_of_members (const ecl_pressure_reader_t *self, const bson_t *reply)
{
   int64_t primary = -1, oldest = -1;
   bson_iter_t iter, members, member;

   if (!bson_iter_init_find (&iter, reply, "members") || !bson_iter_recurse (&iter, &members)) {
      return -1;
   }
   while (bson_iter_next (&members)) {
      int64_t id = -1, state = -1, at = -1;

      if (!BSON_ITER_HOLDS_DOCUMENT (&members) || !bson_iter_recurse (&members, &member)) {
         continue;
      }
      while (bson_iter_next (&member)) {
         if (BSON_ITER_IS_KEY (&member, "_id")) {
            id = bson_iter_as_int64 (&member);
         } else if (BSON_ITER_IS_KEY (&member, "state")) {
            state = bson_iter_as_int64 (&member);
         } else if (BSON_ITER_IS_KEY (&member, "optimeDate") && BSON_ITER_HOLDS_DATE_TIME (&member)) {
            at = bson_iter_date_time (&member);
         }
      }
      if (state == STATE_PRIMARY) {
         primary = at;
      } else if (state == STATE_SECONDARY && at >= 0 && counts (self, id)) {
         oldest = oldest < 0 || at < oldest ? at : oldest;
      }
   }
   return primary < 0 || oldest < 0 ? -1 : primary > oldest ? primary - oldest : 0;
}

static int64_t
lag_of_majority (ecl_pressure_reader_t *self, const bson_t *reply)
{
   int64_t last, majority;

   if (!find_date (reply, "lastWrite.lastWriteDate", &last) ||
       !find_date (reply, "lastWrite.majorityWriteDate", &majority)) {
      close_input (self, ECL_ASK_HELLO, "hello does not tell how far the majority is");
      return -1;
   }
   return last > majority ? last - majority : 0;
}

static int64_t
read_lag (ecl_pressure_reader_t *self, ecl_world_t *world)
{
   int64_t lag = -1;
   bson_t command, reply;

   if (!self->closed[ECL_ASK_STATUS]) {
      bson_init (&command);
      BSON_APPEND_INT32 (&command, "replSetGetStatus", 1);
      if (ask (self, world, ECL_ASK_STATUS, "admin", &command, &reply)) {
         if (!self->read_config) {
            read_config (self, world);
         }
         lag = lag_of_members (self, &reply);
      }
      bson_destroy (&reply);
      bson_destroy (&command);
   }
   if (self->closed[ECL_ASK_STATUS] && !self->closed[ECL_ASK_HELLO]) {
      bson_init (&command);
      BSON_APPEND_INT32 (&command, "hello", 1);
      if (ask (self, world, ECL_ASK_HELLO, "admin", &command, &reply)) {
         lag = lag_of_majority (self, &reply);
      }
      bson_destroy (&reply);
      bson_destroy (&command);
   }
   return lag;
}

/* ---- flow control ---- */

static int
read_flow (ecl_pressure_reader_t *self, ecl_world_t *world)
{
   /* What the server need not put together for us. */
   static const char *const without[] = {"wiredTiger",   "metrics",       "tcmalloc",       "locks",   "opLatencies",
                                         "transactions", "mirroredReads", "queryAnalyzers", "network", "security"};
   bson_t command = BSON_INITIALIZER, reply;
   bson_iter_t iter, found;
   int flow = -1;

   if (self->closed[ECL_ASK_FLOW]) {
      bson_destroy (&command);
      return -1;
   }
   BSON_APPEND_INT32 (&command, "serverStatus", 1);
   for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
      BSON_APPEND_INT32 (&command, without[i], 0);
   }
   if (ask (self, world, ECL_ASK_FLOW, "admin", &command, &reply)) {
      if (bson_iter_init (&iter, &reply) && bson_iter_find_descendant (&iter, "flowControl.isLagged", &found)) {
         flow = bson_iter_as_bool (&found);
      } else {
         close_input (self, ECL_ASK_FLOW, "serverStatus does not tell");
      }
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return flow;
}

/* ---- oplog ---- */

/* Its oldest (1) or newest (-1) entry. */
static int64_t
read_entry (ecl_pressure_reader_t *self, ecl_world_t *world, int32_t direction)
{
   bson_t command = BSON_INITIALIZER, child, reply;
   int64_t ms = -1;

   BSON_APPEND_UTF8 (&command, "find", "oplog.rs");
   BSON_APPEND_DOCUMENT_BEGIN (&command, "sort", &child);
   BSON_APPEND_INT32 (&child, "$natural", direction);
   bson_append_document_end (&command, &child);
   BSON_APPEND_DOCUMENT_BEGIN (&command, "projection", &child);
   BSON_APPEND_INT32 (&child, "ts", 1);
   bson_append_document_end (&command, &child);
   BSON_APPEND_INT32 (&command, "limit", 1);
   BSON_APPEND_BOOL (&command, "singleBatch", true);
   if (ask (self, world, ECL_ASK_OPLOG, "local", &command, &reply) &&
       !find_date (&reply, "cursor.firstBatch.0.ts", &ms)) {
      close_input (self, ECL_ASK_OPLOG, "local.oplog.rs is empty");
      ms = -1;
   }
   bson_destroy (&reply);
   bson_destroy (&command);
   return ms;
}

static void
read_oplog (ecl_pressure_reader_t *self, ecl_world_t *world)
{
   int64_t first = self->closed[ECL_ASK_OPLOG] ? -1 : read_entry (self, world, 1);
   int64_t last = first < 0 ? -1 : read_entry (self, world, -1), now = world->now (world);

   if (last >= 0) {
      self->last.oplog_first = first;
      self->last.oplog_last = last;
      self->oplog_lost = 0;
   } else {
      self->oplog_lost = self->oplog_lost ? self->oplog_lost : now;
   }
}

/* Whether a reading that is so old may stand in for one that could not be had. */
static bool
is_stale (int64_t at, int64_t now)
{
   return now - at > ECL_THROTTLE_STALE;
}

bool
ecl_pressure_read (ecl_pressure_reader_t *self, ecl_world_t *world, ecl_pressure_t *out)
{
   int64_t now = world->now (world), lag;
   int flow;

   if (self->asked && now - self->asked_at < ECL_PRESSURE_EVERY) {
      return false;
   }
   if (!self->oplog_due) {
      self->oplog_due = now + ECL_PRESSURE_OPLOG;
      self->last.oplog_first = self->last.oplog_last = -1;
   }
   if (now >= self->oplog_due) {
      int64_t took;

      read_oplog (self, world);
      took = world->now (world) - now;
      self->oplog_due = now + took + BSON_MAX (100 * took, 10 * ECL_PRESSURE_EVERY);
   }
   lag = read_lag (self, world);
   flow = read_flow (self, world);
   self->asked = true;
   self->asked_at = now = world->now (world); /* what it takes to ask does not come out of the time between */
   if (lag >= 0 || is_stale (self->lag_at, now)) {
      self->last.lag = lag;
      self->lag_at = now;
   }
   if (flow >= 0 || is_stale (self->flow_at, now)) {
      self->last.flow = flow;
      self->flow_at = now;
   }
   if (self->closed[ECL_ASK_OPLOG] || (self->oplog_lost && is_stale (self->oplog_lost, now))) {
      self->last.oplog_first = self->last.oplog_last = -1;
   }
   self->last.lag_age = self->last.lag < 0 ? 0 : now - self->lag_at;
   self->last.flow_age = self->last.flow < 0 ? 0 : now - self->flow_at;
   *out = self->last;
   return true;
}
