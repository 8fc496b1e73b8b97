/* Account: how a run stands on one collection, as it is told to the reporter and in metrics. */
#ifndef ECL_CLI_ACCOUNT_H
#define ECL_CLI_ACCOUNT_H

#include "run/throttle.h"

/* How a run stands. Texts are borrowed for the call. */
typedef struct {
   const char *job;  /* its id as text; may be NULL */
   const char *kind; /* "up" or "down" */
   const char *collection;
   const char *to;    /* version as text */
   const char *mode;  /* "pushdown" or "client"; may be NULL */
   const char *state; /* "running", "paused", "stopped" (the job goes on without it), "done", "failed" or "cancelled" */
   const char *error; /* of one that failed; may be NULL */
   int64_t total;     /* documents to be carried when it began; negative: not known */
   int64_t done;      /* of them, by everybody */
   int64_t changed;   /* by this process */
   int64_t batches;
   int64_t conflicts, transactions, quarantined;
   uint32_t workers;           /* of this process, at work */
   ecl_slow_t slowed;          /* what slows it now */
   bool stopped;               /* and stops it altogether */
   const char *slowed_text;    /* ecl_throttle_describe; may be NULL */
   int64_t waited[ECL_SLOW_N]; /* ms, per input, in all */
   double latency;             /* of its writes, times the calm time; 0: not known */
   int64_t lag;                /* ms; negative: not known */
} ecl_account_t;

#endif
