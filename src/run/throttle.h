/* Throttle: how fast a backfill may go, so that nobody else notices it.
 *
 * Pure: it is told what happened, and says how long to wait and how large the next batch is to be. It looks at no
 * clock, sends nothing and never sleeps. One per worker; it belongs to the worker's thread.
 *
 *    ecl_throttle_init
 *    ┌─► ecl_throttle_next ──► wait > 0: wait so long (never more than ECL_THROTTLE_PIECE), then ask again
 *    │           └──────────► wait == 0: a batch of at most so many documents and bytes
 *    └── ecl_throttle_batch ◄─ what came of it
 *    ecl_throttle_pressure, _command, _workers, _set: whenever something is known; what they say counts from the next
 *    ecl_throttle_next on, also in the middle of a wait
 *
 * Size. A batch aims at a time (batch_time). Fixed cost and cost per document are told apart, so that the size neither
 * runs away nor collapses; one step at most halves or doubles it. Now and then one is small: the fixed cost may be less
 * than the fastest batch so far has shown.
 *
 * Pace. Each input is a value against a limit; `level` is their quotient. Up to 1 it slows nothing. Between 1 and
 * ECL_THROTTLE_CRITICAL the worker is busy only 1/level² of its time. Above, it stops, until the level is back at 1.
 * Several inputs do not add up: the worst of them decides, and is the one that is named. It falls at once and rises by
 * a half with each batch.
 *
 *    latency   the time of its own majority writes against what they took when all was calm. Works everywhere, through
 *              mongos and at hosted services, too. What is calm is the median over many batches in which nothing
 *              slowed; it may fall, but never stands more than a quarter above the lowest it ever was (which itself
 *              rises by a tenth a day): load that comes slowly is not mistaken for calm. Two batches in a row have to
 *              be slow: one may have been unlucky. Where it stopped, a small batch now and then finds out how it is.
 *    lag       of the secondaries behind the primary
 *    flow      the primary holds back writers by itself
 *    oplog     how far back the oplog would reach at the rate at which it is growing
 *    command   somebody's program says wait
 *    rate      what the user allows, documents or bytes per second, divided by the workers that are alive
 */
#ifndef ECL_RUN_THROTTLE_H
#define ECL_RUN_THROTTLE_H

#include "base/error.h"

/* The longest wait that is said at once, in ms: after it the inputs are looked at again. */
#define ECL_THROTTLE_PIECE 250

/* Level at which it stops. */
#define ECL_THROTTLE_CRITICAL 4.0

/* Inputs older than this, in ms, say nothing any more. */
#define ECL_THROTTLE_STALE 15000

/* Bytes of a reason that a command gives, with the zero. */
#define ECL_THROTTLE_REASON 160

/* Bytes of what ecl_throttle_describe says, with the zero. */
#define ECL_THROTTLE_TEXT 224

/* Bytes of one batch: below what one reply of the server's can hold. */
#define ECL_THROTTLE_BYTES (12u * 1024 * 1024)

typedef enum {
   ECL_SLOW_NONE,
   ECL_SLOW_LATENCY,
   ECL_SLOW_LAG,
   ECL_SLOW_FLOW,
   ECL_SLOW_OPLOG,
   ECL_SLOW_COMMAND,
   ECL_SLOW_RATE,
   ECL_SLOW_N
} ecl_slow_t;

/* "none", "latency", "lag", "flow control", "oplog", "command", "rate" */
const char *
ecl_slow_name (ecl_slow_t slow);

/* What a user may set. Zeros of times and counts: the default; negative: that input is not looked at. */
typedef struct {
   int64_t batch_time; /* ms that a batch aims at; 50 */
   double max_latency; /* times the calm time; 2 */
   int64_t max_lag;    /* ms; 10,000 */
   int64_t min_window; /* ms that the oplog has to reach back; 2 hours. At most half of what it did at the beginning */
   double max_documents; /* per second, all workers together; 0: no limit */
   double max_bytes;     /* per second, likewise */
   uint32_t workers;     /* that share the rate; 0: 1 */
   uint32_t first;       /* documents of the first batch; 64 */
   uint32_t most;        /* documents of any batch; 10,000 */
} ecl_throttle_settings_t;

/* "1000" (documents per second), "5MB", "512kB", "1MiB", "20000B" (bytes per second), "none" (no limit): sets
 * max_documents and max_bytes. */
bool
ecl_throttle_parse_rate (const char *text, ecl_throttle_settings_t *settings, bson_error_t *error) ECL_MUST_CHECK;

/* What the server says of itself; see pressure.h. -1: not known. */
typedef struct {
   int64_t lag;         /* ms */
   int flow;            /* 1: it holds writers back; 0: it does not */
   int64_t oplog_first; /* ms since 1970: the oldest and the newest entry */
   int64_t oplog_last;
   int64_t lag_age;  /* ms: it was read so long ago, and what was asked since had no answer; 0: it is new */
   int64_t flow_age; /* likewise */
} ecl_pressure_t;

/* The last readings of the oplog, about ten seconds apart: how fast its old end moves, over five minutes. */
#define ECL_THROTTLE_OPLOG 32

/* Batches that one median is taken over. */
#define ECL_THROTTLE_WINDOW 32

/* What is calm: the median over many. */
typedef struct {
   double window[ECL_THROTTLE_WINDOW];
   uint32_t n;
   double calm;   /* negative: not known yet */
   double lowest; /* that it ever was; likewise */
   int64_t lowest_at;
} ecl_throttle_calm_t;

/* Open for the stack; nothing in it is anyone else's. */
typedef struct {
   ecl_throttle_settings_t settings; /* with defaults put in */

   /* size */
   double size;              /* documents of the next batch */
   double fixed;             /* ms: the fastest batch there ever was; negative: none yet */
   uint32_t fixed_documents; /* that it had */
   double cost;              /* ms per unit of work, smoothed */
   double bytes;             /* per document, smoothed */

   /* latency */
   ecl_throttle_calm_t usual; /* cost per unit of work of calm batches */
   ecl_throttle_calm_t small; /* ms of calm ones that are mostly fixed cost: the fastest there ever was was lucky */
   double calm_work;          /* work of a batch that was learned from */
   double calm_most;          /* likewise, of the largest one */
   double calm_fixed;         /* what the fixed cost seemed to be when the first one was learned from */
   uint64_t n_batches;
   double slow[2]; /* the last batches against what is calm; the newer one first */
   uint32_t n_slow;
   int64_t probe_at, probe_wait; /* where latency stopped it */

   /* what the server says */
   ecl_pressure_t pressure;
   int64_t pressure_at;
   struct {
      int64_t first, last;
   } oplog[ECL_THROTTLE_OPLOG];
   uint32_t n_oplog;
   int64_t window_before; /* ms that the oplog reached back at first */
   bool command_waits;
   char command_reason[ECL_THROTTLE_REASON];
   int64_t command_at;

   /* pace */
   double duty;        /* share of the time that it may be busy; 0 < duty <= 1 */
   ecl_slow_t duty_by; /* what made it less than 1 */
   double levels[ECL_SLOW_N];
   bool stopped[ECL_SLOW_N];
   int64_t judged_at; /* when the levels were found */
   int64_t batch_end; /* when the last batch came back; -1: there was none */
   double batch_ms;
   double rate_at; /* when the rate allows the next one */

   /* for status */
   ecl_slow_t by;
   int64_t since;              /* since when it is that one */
   int64_t waited[ECL_SLOW_N]; /* ms, per input, in all */
   int64_t asked_at;
   ecl_slow_t asked_by;
} ecl_throttle_t;

/* What to do next. */
typedef struct {
   int64_t wait;       /* ms to wait and ask again; 0: go */
   uint32_t documents; /* of the next batch, at least 1 */
   uint32_t bytes;     /* of the next batch, at most ECL_THROTTLE_BYTES; a single document may be larger */
   ecl_slow_t by;      /* what slows it now; NONE */
   bool stopped; /* it does nothing at all until that is calm; without a wait: but this small batch, to find out */
} ecl_throttle_advice_t;

/* now, here and below: ms of a clock that does not go back (ecl_world_t's). */
void
ecl_throttle_init (ecl_throttle_t *self, const ecl_throttle_settings_t *settings, int64_t now);

/* Other settings; what was learned is kept. */
void
ecl_throttle_set (ecl_throttle_t *self, const ecl_throttle_settings_t *settings);

/* So many workers share the rate. */
void
ecl_throttle_workers (ecl_throttle_t *self, uint32_t workers);

/* A batch was written: documents and bytes of it (where eclose did not see them: as many as such documents have on
 * average, 0 where that is not known, either), and the ms from sending the write until the majority had it. Batches
 * that wrote nothing say nothing and need not be told. */
void
ecl_throttle_batch (ecl_throttle_t *self, uint32_t documents, uint64_t bytes, int64_t ms, int64_t now);

/* The server was asked. */
void
ecl_throttle_pressure (ecl_throttle_t *self, const ecl_pressure_t *pressure, int64_t now);

/* The command has spoken; what it said counts until it speaks again, or for so long as ECL_THROTTLE_STALE. reason: why,
 * UTF-8; "" where it did not say. */
void
ecl_throttle_command (ecl_throttle_t *self, bool wait, const char *reason, int64_t now);

ecl_throttle_advice_t
ecl_throttle_next (ecl_throttle_t *self, int64_t now);

/* What slows it, with value and limit: "replication lag 14.2 s, limit 10.0 s"; with "(as of 4 s ago: no answer since)"
 * where that is an old reading; "replication lag until just now: …" where
 * only the pace is not back yet; "" where nothing does. */
const char *
ecl_throttle_describe (const ecl_throttle_t *self, char *text, size_t size);

/* How many times the calm time the last batches took; 0 where that is not known yet. For metrics. */
double
ecl_throttle_latency (const ecl_throttle_t *self);

#endif
