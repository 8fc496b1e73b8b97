/* What the files of the backfill share: see backfill.h.
 *
 *    backfill.c        life, what the states share, and drive
 *    backfill_step.c   the table of states, and the step: what an answer or a failure means
 *    backfill_read.c   the states that read, begin and end
 *    backfill_push.c   a batch pushed down
 *    backfill_load.c   what a batch looks up in other collections
 *    backfill_write.c  a batch computed here: write, quarantine
 *    backfill_txn.c    the same in transactions
 *
 * A state has two functions: enter says what to do (or goes on to another state at once), reply takes the answer.
 */
#ifndef ECL_BACKFILL_BACKFILL_PRIVATE_H
#define ECL_BACKFILL_BACKFILL_PRIVATE_H

#include "backfill/backfill.h"
#include "run/lookups.h"
#include "run/range.h"
#include "run/scan.h"
#include "store/quarantine.h"

typedef enum {
   ST_PASS,      /* begins one; sends nothing */
   ST_WINDOW,    /* where the next find of the pass ends */
   ST_READ,      /* the next batch of the reader at hand */
   ST_NEXT,      /* looks what is left of the batch at hand, and what follows; sends nothing */
   ST_PUSH,      /* update statements of ranges */
   ST_REDO,      /* the next range that failed; sends nothing */
   ST_LOAD,      /* what the documents look up in other collections */
   ST_WORK,      /* computes statements; sends nothing */
   ST_WRITE,     /* all of them */
   ST_AWAIT,     /* the answer to what is under way */
   ST_WRITE_ONE, /* one after another, where the server refused the command */
   ST_QUARANTINE,
   ST_TXN_READ,
   ST_TXN_WRITE,
   ST_TXN_COMMIT,
   ST_TXN_ABORT,
   ST_KILL, /* cursors that are still open */
   ST_END,
   ST_N
} state_t;

/* Readers: what the pass goes through; a range that is done again; documents that had changed. */
enum { READ_PASS, READ_REDO, READ_AGAIN, N_READERS };

#define DEFAULT_BATCH 1000u
#define MAX_COMMAND (15u * 1024 * 1024)   /* of statements; one alone may be larger, up to what the guard makes */
#define MAX_OVERLAPPED (4u * 1024 * 1024) /* the same, where one is under way while the next is made */
/* Records that one command writes, and their bytes: few enough that even a slow server answers before the claim on the
 * range expires. */
#define MAX_QUARANTINED 100u
#define MAX_QUARANTINE (4u * 1024 * 1024)

/* The longest that a record waits for others to be written with: whoever is told of documents in quarantine looks for
 * their records. */
#define QUARANTINE_MS 2000
#define MAX_ROUNDS 5u     /* of reading a batch's changed documents again, before they are left to the next pass */
#define MAX_LOADS 50u     /* for one document, in which a transaction finds other keys to look up each time */
#define MAX_ATTEMPTS 8u   /* of one command that is lost */
#define MAX_IDLE_PASSES 4 /* in a row that changed nothing; in the last what still conflicts goes to quarantine */
#define ENOUGH_PASSES 3   /* that found something, where all of it was carried */
#define FALL_BACK 3u      /* ranges in a row that failed for no document's fault */

/* How many _ids one find of a pass may go over, once one took too long. */
#define WINDOW_FIRST 10000u  /* to begin with */
#define WINDOW_MOST 1000000u /* a window of so many that is to grow has no bound any more */
#define WINDOW_LESS 4u       /* each find that takes too long divides it by this */
#define LOST_LOOKS 2u        /* so does a find that is lost, after so many others in a row */

/* A version of the chain, written out for the server. */
typedef struct {
   bool ready;
   bson_t filter, pipeline;
} pushed_t;

/* Part of a pushed-down batch. */
typedef struct {
   ecl_range_t range;
   bool sent; /* a statement is about it */
   bool failed;
} piece_t;

typedef struct {
   uint32_t piece;
   uint32_t version; /* place on the chain */
   bool failed;
} pushed_statement_t;

/* An update command, as it is made, is sent, and is answered. */
typedef struct {
   bson_t command;
   uint32_t *starts;      /* of each statement: where it stands in the command */
   ecl_value_t *versions; /* of each statement: the version its document was found to have; the chain's own values */
   bool *failed;
   uint32_t n;
   uint32_t batch; /* its number */
} statements_t;

struct ecl_backfill_t {
   ecl_backfill_options_t options;
   ecl_backfill_result_t result;
   ecl_converter_t *converter;
   ecl_lookups_t *lookups; /* NULL where the chain looks nothing up */
   const char *collection;
   bson_t candidates; /* filter: not at the target */

   state_t state;
   state_t after_quarantine;
   uint32_t attempts;
   int64_t wait;         /* ms before the state is entered; 0: at once */
   int64_t now, sent_at; /* when the command under way was */
   bool cancel;
   bool through;                    /* it came to its end by itself */
   bool between;                    /* BETWEEN was said; the next batch comes when it is stepped again */
   bool settle;                     /* ecl_backfill_settle: what is under way is awaited first */
   ecl_backfill_batch_t batches[2]; /* the one that is read or computed, and the one before; by number */
   bool batch_through[2];           /* all of it is computed and sent */
   uint32_t batch;                  /* number of the former */
   ecl_backfill_batch_t last;
   ecl_arena_t range_arena; /* of options.range */
   bson_t after;            /* {id: …}, or empty */
   bson_t ahead;            /* likewise: where `after` goes once all is answered; empty: nowhere */
   bson_t end;              /* likewise: of the present window; empty: that of the range */
   bool windowed;           /* `end` has been asked for */
   int64_t longest;         /* ms that one of the window's looks took */
   bool brought;            /* the present cursor found something */
   bool unsized;            /* the server cannot be asked for sizes */

   bson_t command; /* that is under way */
   bool has_command;
   bool late;   /* it was done, and the majority did not have it in time */
   bool resend; /* it is sent as it is once more */

   /* the pass */
   int64_t pass_changed, pass_failed, pass_left;
   bool pass_again; /* something was not carried at the first try */
   int32_t idle_passes;
   bool pushing;        /* this pass is pushed down */
   bool pushed_through; /* one was */

   ecl_scan_t readers[N_READERS];
   int level; /* reader at hand */
   int back;  /* where READ_AGAIN returns to */

   ecl_arena_t arena; /* of the command at hand */

   /* pushed down */
   ecl_arena_t push_arena; /* of the batch */
   pushed_t *pushed;       /* per place on the chain */
   ecl_value_t *ids;
   uint32_t n_ids;
   piece_t *pieces;
   uint32_t n_pieces;
   pushed_statement_t *statements;
   uint32_t n_statements, statements_at, statements_sent;
   uint32_t redo_at;    /* piece */
   uint32_t blameless;  /* failed ranges in a row in which no document was at fault */
   int64_t redo_failed; /* pass_failed when the range began */
   char push_error[BSON_ERROR_BUFFER_SIZE];

   /* computed here */
   statements_t computed[2];
   statements_t *made;     /* those that are made, or sent and waited for */
   statements_t *flying;   /* those under way: the others; NULL: none are */
   statements_t *answered; /* those that an answer is about */
   state_t after_answer;   /* where it goes on when they are done with */
   uint32_t one_at;
   bool begins, awaits; /* what the state entered wants done */
   int64_t begun_at;
   uint32_t *txn; /* items that need a transaction */
   uint32_t n_txn, txn_at, txn_attempts;
   bool txn_same;         /* after the abort: the same document once more */
   ecl_scan_t txn_reader; /* what the transaction read */
   ecl_value_t txn_after;
   uint32_t cap_items;

   bson_t again; /* array of _ids */
   uint32_t n_again, rounds;

   bson_t quarantine_command;
   ecl_quarantine_writer_t quarantine;
   bool quarantining;       /* quarantine_command holds records */
   int64_t quarantining_at; /* since then */
   bool quarantine_closed;  /* and is complete */
};

/* ---- for all files ---- */

/* Ends the run. */
void
ecl_backfill_fail (ecl_backfill_t *self, const bson_error_t *error);

/* An update command under construction for the collection: options first, so that the statements come last. */
void
ecl_backfill_update_begin (ecl_backfill_t *self, bool concern, bson_t *statements);

/* The same, in a document of its own. */
void
ecl_backfill_update_open (const ecl_backfill_t *self, bool concern, bson_t *command, bson_t *statements);

void
ecl_backfill_update_end (ecl_backfill_t *self, bson_t *statements);

/* Codes that no document is at fault of and that no waiting heals. */
bool
ecl_backfill_hopeless (int32_t code);

/* The item's _id will be read again. */
void
ecl_backfill_again (ecl_backfill_t *self, const ecl_value_t *id);

/* Whether what conflicts again now is set aside: a job must come to its end. */
static inline bool
ecl_backfill_gives_up (const ecl_backfill_t *self)
{
   return self->idle_passes >= MAX_IDLE_PASSES - 1;
}

/* What is under way is answered first; then the state is entered. */
void
ecl_backfill_await (ecl_backfill_t *self, state_t then);

/* `after` goes on to where all is answered. */
void
ecl_backfill_promote (ecl_backfill_t *self);

/* Room for n items in the arrays per item. */
void
ecl_backfill_reserve (ecl_backfill_t *self, uint32_t n);

/* Walks writeErrors. */
bool
ecl_backfill_next_error (bson_iter_t *errors, int32_t *index, int32_t *code, const char **message);

/* An iterator before the first write error; false where there are none. */
bool
ecl_backfill_errors (const bson_t *reply, bson_iter_t *errors);

/* {$and: [{_id: …}, candidates]} */
void
ecl_backfill_among (ecl_backfill_t *self, const ecl_value_t *ids, bson_t *filter);

/* ---- backfill_read.c ---- */

void
ecl_pass_enter (ecl_backfill_t *self);

void
ecl_window_enter (ecl_backfill_t *self);

void
ecl_window_reply (ecl_backfill_t *self, const ecl_event_t *event);

/* Whether what failed asked for sizes: then it is done without. */
bool
ecl_read_unsized (ecl_backfill_t *self, const ecl_event_t *event);

/* Whether what failed is a look over too many _ids: then it is done with fewer. */
bool
ecl_read_too_long (ecl_backfill_t *self, const ecl_event_t *event);

void
ecl_read_enter (ecl_backfill_t *self);

void
ecl_read_reply (ecl_backfill_t *self, const ecl_event_t *event);

void
ecl_next_enter (ecl_backfill_t *self);

void
ecl_kill_enter (ecl_backfill_t *self);

void
ecl_kill_reply (ecl_backfill_t *self, const ecl_event_t *event);

/* ---- backfill_push.c ---- */

void
ecl_push_start (ecl_backfill_t *self); /* a batch of _ids has arrived */

void
ecl_push_enter (ecl_backfill_t *self);

void
ecl_push_reply (ecl_backfill_t *self, const ecl_event_t *event);

void
ecl_redo_enter (ecl_backfill_t *self);

void
ecl_redo_done (ecl_backfill_t *self); /* READ_REDO is exhausted */

/* ---- backfill_load.c ---- */

/* The batch of the reader at hand is another one. */
void
ecl_load_batch (ecl_backfill_t *self);

void
ecl_load_enter (ecl_backfill_t *self);

void
ecl_load_reply (ecl_backfill_t *self, const ecl_event_t *event);

/* ---- backfill_write.c ---- */

/* The documents whose _ids are still in `again`, as many as one command writes: the others stay there. */
void
ecl_again_quarantine (ecl_backfill_t *self);

void
ecl_work_enter (ecl_backfill_t *self);

void
ecl_write_enter (ecl_backfill_t *self);

void
ecl_write_reply (ecl_backfill_t *self, const ecl_event_t *event);

void
ecl_await_enter (ecl_backfill_t *self);

/* The document could not be carried: its record waits for others to be written with. */
void
ecl_backfill_quarantine (ecl_backfill_t *self, const ecl_converted_t *converted);

/* The same of a stored document that the server refused to change. */
void
ecl_backfill_quarantine_item (ecl_backfill_t *self, const ecl_value_t *item, int32_t code, const char *message);

/* Whether as many records wait as one command writes. */
bool
ecl_quarantine_full (const ecl_backfill_t *self);

void
ecl_quarantine_enter (ecl_backfill_t *self);

bool
ecl_quarantine_passing (const bson_t *reply, bson_error_t *why);

void
ecl_quarantine_reply (ecl_backfill_t *self, const ecl_event_t *event);

/* ---- backfill_txn.c ---- */

void
ecl_txn_enter (ecl_backfill_t *self);

void
ecl_txn_reply (ecl_backfill_t *self, const ecl_event_t *event);

#endif
