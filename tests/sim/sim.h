/* Simulator: the code behind the world, run in another one.
 *
 *    seed ──► chance ──► latencies, faults            one true time, in ms; it goes on only from event to event
 *
 *    process ─┬─ worker      (fiber) ── run_command ──► message ──► server (server.c) ──► message ──► …
 *             └─ heartbeat   (fiber)
 *
 * A process is ordinary blocking code of eclose in fibers; where it waits or sends, the simulator goes on with whatever
 * happens next. The server keeps documents in memory, what is current and what the majority has, and runs filters and
 * pipelines by eclose's own engine. Faults are drawn from the seed. After every event the properties are checked: those
 * of the records where the server writes them, those of the processes here. The same seed gives the same run.
 *
 * A process that dies goes on to its end in a world without effects, so that nothing of it stays in memory.
 */
#ifndef ECL_SIM_H
#define ECL_SIM_H

#include "run/history.h"

#include <stdio.h>

/* ---- what can go wrong, and what is done wrong on purpose ---- */

#define FAULTS(X)                                                                                                      \
   X (FAULT_REQUEST_LOST, "command lost before it took effect")                                                        \
   X (FAULT_REPLY_LOST, "reply lost after it took effect")                                                             \
   X (FAULT_LATE, "command that took effect after its sender had given up")                                            \
   X (FAULT_DIED, "process died")                                                                                      \
   X (FAULT_DIED_HOLDING, "process died while it held the lease")                                                      \
   X (FAULT_PAUSED, "process stopped and continued")                                                                   \
   X (FAULT_PAUSED_PAST, "process stopped past its lease, and continued")                                              \
   X (FAULT_FAILOVER, "another primary, with another clock")                                                           \
   X (FAULT_ROLLBACK, "writes rolled back that the majority did not have")                                             \
   X (FAULT_JUMP, "server's clock jumped further than max_clock_skew")                                                 \
   X (FAULT_REMOVED, "lease removed by hand: two holders")                                                             \
   X (FAULT_BROKEN, "lease broken by force")                                                                           \
   X (FAULT_WTIMEOUT, "majority too slow: write concern not kept in time")                                             \
   X (FAULT_ENDED, "dead holder's statement ended by its taker")                                                       \
   X (FAULT_LANDED, "statement of an old holder that landed after the grant of the next")                              \
   X (FAULT_TAKEOVER, "lease taken over after it expired")                                                             \
   X (FAULT_REFUSED, "write refused for its token")

typedef enum {
#define X(name, text) name,
   FAULTS (X)
#undef X
   N_FAULTS,
} fault_t;

/* Mutations: what eclose must not leave out, left out between it and the server. Each must be found. */
#define MUTATIONS(X)                                                                                                   \
   X (MUTATE_NONE, "none", "eclose as it is")                                                                          \
   X (MUTATE_RENEW, "renew", "no token in the filter of a renewal")                                                    \
   X (MUTATE_FREE, "free", "no token in the filter of a release")                                                      \
   X (MUTATE_STEP, "step", "no token in the filter of a step's record")                                                \
   X (MUTATE_END, "end", "no token in the filter of a run's end")                                                      \
   X (MUTATE_WAIT, "wait", "a takeover at once when the lease expired")                                                \
   X (MUTATE_REREAD, "reread", "no reading again after the grant")                                                     \
   X (MUTATE_KILL, "kill", "the old holder's sessions are not ended")                                                  \
   X (MUTATE_MAJORITY, "majority", "records written without waiting for the majority")

typedef enum {
#define X(name, key, text) name,
   MUTATIONS (X)
#undef X
   N_MUTATIONS,
} mutation_t;

/* ---- fibers ---- */

typedef struct fiber_t fiber_t;

/* Runs body when first resumed; resume returns when it yields or ends. */
fiber_t *
fiber_start (void (*body) (void *context), void *context);

void
fiber_resume (fiber_t *self);

void
fiber_yield (fiber_t *self);

bool
fiber_ended (const fiber_t *self);

/* Its stack is used again. */
void
fiber_destroy (fiber_t *self);

/* ---- the server ---- */

#define MAX_DOCUMENTS 32
#define MAX_PENDING 64

typedef struct {
   char collection[32];
   char id[48];
   bson_t *current;  /* what the primary has; NULL: no such document */
   bson_t *majority; /* what is safe */
} document_t;

typedef struct {
   document_t documents[MAX_DOCUMENTS];
   size_t n;
   struct {
      size_t document;
      bson_t *value; /* NULL: removed */
      int64_t safe;  /* when the majority has it */
   } pending[MAX_PENDING]; /* in the order of the oplog */
   size_t n_pending;
   int64_t offset;    /* its clock minus true time */
   int64_t down_until;
   int64_t last_safe; /* of what was written last */
   struct ecl_eval_t *ev;
} server_t;

typedef struct sim_t sim_t;
typedef struct process_t process_t;

/* Who sent a command and what was true of it then; goes with it. */
typedef struct {
   process_t *process;
   int64_t token;    /* of the sender's lease */
   int64_t sent, arrived;
   bool after;       /* sent when its lease was over by its own clock */
   int migration, step; /* of a step's effect; else -1 */
   uint8_t session[16];
} sender_t;

void
server_init (server_t *self);

void
server_cleanup (server_t *self);

/* Executes a command at true time `now`; the reply is initialised. *safe is when the majority has what it wrote, or what
 * it read. Calls check_write for each change. */
void
server_execute (server_t *self, sim_t *sim, const sender_t *sender, const bson_t *command, int64_t now, int64_t lag,
                bson_t *reply, int64_t *safe);

/* What has been long enough on its way is the majority's now. */
void
server_settle (server_t *self, int64_t now);

/* The primary loses what the majority does not have; how many writes that were. */
size_t
server_roll_back (server_t *self);

/* NULL where there is none. */
const bson_t *
server_get (const server_t *self, const char *collection, const char *id, bool majority);

void
server_remove (server_t *self, const char *collection, const char *id);

/* ---- the simulation ---- */

#define MAX_PROCESSES 12
#define MAX_MESSAGES 64
#define N_MIGRATIONS 2
#define N_STEPS 2

#define LEASE_TIME 3000
#define LEASE_SKEW 1200

typedef struct message_t message_t;

typedef struct {
   ecl_world_t world;
   process_t *process;
   fiber_t *fiber;
   int64_t wake;       /* INT64_MAX: only a message wakes it */
   message_t *message; /* that it waits for */
   bool answered;
   bool heart;
} task_t;

struct process_t {
   sim_t *sim;
   int index;
   task_t worker, heart;
   bool used, dead, done;
   bool stop_heart;
   int64_t start;
   int64_t paused_until;
   int64_t ghost;      /* time as a dead one sees it */
   uint8_t session[16];
   ecl_holder_t holder;
   int64_t token;      /* of its present or last grant */
   int64_t granted;    /* true time */
   int64_t kill_done;  /* when the sessions of holders before it were ended; 0: there were none */
   int known[N_MIGRATIONS]; /* steps that the majority had as done when it was granted */
   int after;          /* statements sent after its lease was over */
   bool wants_wait;    /* waits for the lease; else gives up and comes again */
   bson_t *before;     /* MUTATE_REREAD: the changelog as it was read first */
};

typedef enum { MSG_FREE, MSG_COMING, MSG_RUNNING, MSG_SETTLING, MSG_GOING } stage_t;

struct message_t {
   stage_t stage;
   int64_t at; /* when the next thing happens to it */
   task_t *task; /* NULL: nobody waits any more */
   sender_t sender;
   bson_t command, reply;
   bool has_reply;
   bool long_run, reply_lost, refused, wtimeout;
   int64_t safe, epoch;
};

struct sim_t {
   uint64_t seed, chance;
   int64_t now;
   int64_t faults_until;
   mutation_t mutation;
   bool verbose;
   bool trusting; /* nothing in this run excuses two holders at once */
   server_t server;
   int64_t epoch; /* of the primary: what began under another one is gone */
   process_t processes[MAX_PROCESSES];
   size_t n_processes;
   message_t messages[MAX_MESSAGES];
   unsigned faults; /* bits */
   int rates[8];    /* of this seed: see world.c */
   int64_t newest_effect;  /* largest token that had an effect */
   int64_t newest_killed;  /* when its holder had ended the sessions of those before it; 0: there were none */
   char wrong[512]; /* the first property that did not hold; "" for none */
   unsigned events;
};

/* Runs one seed; false with sim->wrong. */
bool
sim_run (uint64_t seed, mutation_t mutation, bool verbose, unsigned *faults, unsigned *events, char wrong[512]);

uint64_t
sim_random (sim_t *self);

/* True once in so many times. */
bool
sim_chance (sim_t *self, uint64_t of);

void
sim_log (sim_t *self, const char *format, ...) ECL_PRINTF (2, 3);

void
sim_wrong (sim_t *self, const char *format, ...) ECL_PRINTF (2, 3);

static inline void
sim_reached (sim_t *self, fault_t fault)
{
   self->faults |= 1u << fault;
}

/* What a process does: program.c. Returns where it succeeded or died. */
extern const char *const program_names[N_MIGRATIONS];

void
program_run (process_t *process);

void
program_heartbeat (process_t *process);

/* Starts and ends the heartbeat's fiber of a process, from its worker. */
void
process_start_heart (process_t *process);

void
process_stop_heart (process_t *process);

/* ---- properties: check.c ---- */

/* A document changes (either may be NULL) by a command. */
void
check_write (sim_t *sim, const sender_t *sender, const char *collection, const bson_t *before, const bson_t *after);

/* The effect of a step took place. */
void
check_effect (sim_t *sim, const sender_t *sender);

/* A process sends the effect of a step. */
void
check_step_sent (sim_t *sim, const process_t *process, int migration, int step);

/* A process was granted the lease: notes what it has to know. */
void
check_granted (process_t *process);

/* After every event. */
void
check_holders (sim_t *sim);

void
check_end (sim_t *sim);

int64_t
check_number (const bson_t *document, const char *field);

const char *
check_text (const bson_t *document, const char *field);

#endif
