/* Pressure: what the server says of how it fares, for the throttle.
 *
 * Three questions, each at most about once a second, by whoever calls ecl_pressure_read before each batch and in each
 * piece of a wait. What may not be asked, or what this server does not know, is said once and not asked again:
 *
 *    lag          replSetGetStatus (clusterMonitor); else hello, which everyone may: how far the majority is behind. A
 *                 member that is delayed on purpose, or hidden, does not count (replSetGetConfig; where that may not be
 *                 read all do).
 *    flow control serverStatus (clusterMonitor)
 *    oplog        the first and the last entry of local.oplog.rs (read on the database local)
 *
 * A question that has no answer is no sign that all is well: until there is one the last reading counts, with its age,
 * and no longer than ECL_THROTTLE_STALE. The oplog's, which is old in any case, so long after the first that had none.
 *
 * Through mongos there is none of them: there the throttle has the latency of its own writes, which is enough.
 */
#ifndef ECL_RUN_PRESSURE_H
#define ECL_RUN_PRESSURE_H

#include "run/throttle.h"
#include "run/world.h"

typedef enum { ECL_ASK_STATUS, ECL_ASK_HELLO, ECL_ASK_FLOW, ECL_ASK_OPLOG, ECL_ASK_N } ecl_ask_t;

/* Ms between two readings. Of the oplog, whose first entry takes a read, it is ten times that, or a hundred times what
 * the last one took where that is longer. */
#define ECL_PRESSURE_EVERY 1000

/* Ms after the beginning, before the oplog is looked at: a window is hours long, and a run of a minute does it no
 * harm. */
#define ECL_PRESSURE_OPLOG 60000

/* That a replica set can have. */
#define ECL_PRESSURE_MEMBERS 50

typedef struct {
   bool closed[ECL_ASK_N];              /* not allowed, or not known there */
   bool read_config;                    /* the members that do not count are known, or may not be asked for */
   int64_t aside[ECL_PRESSURE_MEMBERS]; /* _ids of the members that do not count */
   uint32_t n_aside;
   int64_t asked_at;
   int64_t oplog_due; /* 0: not known yet */
   bool asked;
   ecl_pressure_t last;
   int64_t lag_at, flow_at; /* when these were read */
   int64_t oplog_lost;      /* since when the oplog has no answer; 0: it has */
   /* Told once of each input that cannot be had, in a sentence; may be NULL. */
   void (*say) (void *context, const char *message);
   void *context;
} ecl_pressure_reader_t;

void
ecl_pressure_init (ecl_pressure_reader_t *self, void (*say) (void *context, const char *message), void *context);

/* Asks where it is time. True where *out is a new reading for ecl_throttle_pressure. */
bool
ecl_pressure_read (ecl_pressure_reader_t *self, ecl_world_t *world, ecl_pressure_t *out);

#endif
