/* The story of workers: what its files share. story_workers.c is what is there and who does what, workers_check.c and
 * workers_server.c the properties, by what workers say and by what the server has. */
#ifndef ECL_SIM_WORKERS_H
#define ECL_SIM_WORKERS_H

#include "sim.h"

#define NUMBERS 200 /* _ids 0 … 199; every second one is there at first */
#define STRINGS 10  /* "s0" … "s9" behind them */
#define THINGS (NUMBERS + STRINGS)
#define TARGET 2
#define MOST_RANGES 32

/* In how many ms, by their clocks, what somebody asks of a job is to have reached its workers; the batch at hand is
 * ended. */
#define OBEYS_MS 2000

/* Seconds of a rate that workers may have read too early, all of them together. */
#define SHARE_SLACK 1.5

/* How long a worker may go without a checkpoint where nothing goes wrong: ECL_WORKER_EVERY, and what the questions in
 * between take at worst. */
#define CHECKPOINT_MS 3500

/* Where nothing else goes wrong, one that waits for the lease of the plan has it so long after its holder's time, and
 * the skew: it asks about three times a second, and the server's clock is another one. */
#define PLAN_TAKEN_MS 2000

/* A worker's claim, as its owner sees it. */
typedef struct {
   uint8_t job[12];
   int n; /* of the range */
   int64_t token;
   int64_t until;        /* it may send until then */
   int64_t checkpointed; /* when it sent the last checkpoint that was answered, or claimed it */
   ecl_chunk_state_t phase;
   int after; /* thing at the checkpoint when it was claimed; -1: none */
   int late;  /* statements that it sent afterwards */
} claim_t;

/* What an application asked of a job, until it asks for something else. */
typedef struct {
   uint8_t job[12];
   bool paused, cancelled;
   double rate; /* documents per second; 0: none */
   int64_t at;  /* since when the majority has it */
} wish_t;

/* A process, as a worker. */
typedef struct {
   uint8_t job[12];
   claim_t claim;
   int64_t cursor;   /* of the pass that it goes through */
   bool reading;     /* its last question for a batch had no answer: it asks again */
   int64_t measured; /* documents of batches, since the wish for a rate must have reached it */
   int64_t waits;    /* since when it has asked for the lease of the plan; 0: it does not */
} mate_t;

typedef struct {
   uint32_t born[THINGS];        /* which event it was when the document was inserted; 0: it was there */
   uint32_t touched[THINGS];     /* likewise: when the application changed it last */
   uint32_t repaired[THINGS];    /* likewise: when it made one that can be carried over of one that cannot */
   uint8_t job[12];              /* the live one, or the last */
   uint32_t started, swept;      /* of the job; likewise */
   int64_t planned;              /* when its ranges stood */
   int64_t planning;             /* when the lease of the plan was granted or renewed last */
   ecl_job_counts_t counts;      /* of the job, as the server and the replies have it */
   int64_t renewed[MOST_RANGES]; /* when each of its ranges was claimed or renewed last */
   mate_t mates[MAX_PROCESSES];
   wish_t wish;
   bool slow;     /* a worker had a slow clock */
   int64_t read;  /* documents of batches, by all workers */
   int64_t begun; /* when any of them began its last batch */
   bool ended;    /* no application asks for anything any more */
} data_t;

_Static_assert(sizeof (data_t) <= STORY_DATA_SIZE, "the story's data fit");

/* {_id} of a document by its number here; and back. */
bson_t *
workers_id (int thing);

int
workers_thing (const ecl_value_t *id);

/* Its name is a number, on which the chain fails. */
bool
workers_is_poison (const blob_t *document);

/* The record of a range. */
bool
workers_row (const blob_t *document, ecl_chunk_row_t *out);

/* ---- workers_check.c, workers_server.c: see story_t ---- */

int64_t
workers_sent (process_t *process, const ecl_call_t *call);

void
workers_answered (process_t *process, const ecl_call_t *call, int64_t sent, ecl_reply_t answer, const bson_t *reply);

void
workers_executed (sim_t *sim, const execution_t *execution);

void
workers_wrote (sim_t *sim, const sender_t *sender, const char *collection, const blob_t *before, const blob_t *after);

void
workers_end (sim_t *sim);

#endif
