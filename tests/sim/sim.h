/* Simulator: the code behind the world, run in another one.
 *
 *    seed ──► chance ──► latencies, faults            one true time, in ms; it goes on only from event to event
 *
 *    process ─┬─ worker      (fiber) ── run_command ──► message ──► server (server.c) ──► message ──► …
 *             └─ heartbeat   (fiber)
 *    application             (fiber) ── run_command ──► message ──► …
 *
 * A process is ordinary blocking code of eclose in fibers; where it waits or sends, the simulator goes on with whatever
 * happens next. The server keeps documents in memory, what is current and what the majority has, and runs filters and
 * pipelines by eclose's own engine. Faults are drawn from the seed. After every event the properties are checked: those
 * of the records and of the stories where the server writes, those of the processes here. The same seed gives the same
 * run.
 *
 * A process that dies goes on to its end in a world without effects, so that nothing of it stays in memory.
 *
 *    main.c       options, what is printed                 server*.c     the server: documents, commands
 *    sim.c        one seed: who goes on next               blob.c        a document
 *    chance.c     chance, out of the seed                  engine.c      filters and updates, compiled once
 *    fiber.c      code that can be left where it waits     aggregate.c   find and aggregate
 *    network.c    messages, and what becomes of them       program.c     what a process does: `eclose up`
 *    world.c      the world of a process                   check.c       properties of lease and changelog
 *    mutate.c     mutations of commands and answers        memory.c      of libbson, which this is about
 *    misfortune.c what goes wrong                          story*.c      data, applications and their properties
 */
#ifndef ECL_SIM_H
#define ECL_SIM_H

#include "server.h"

#include "backfill/worker.h"
#include "bson/value.h"
#include "migrate/runner.h"
#include "run/sender.h"
#include "store/chunks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif

/* ---- what can go wrong, and what is done wrong on purpose ---- */

/* Kinds of stories: database migrations, workers on a job, a worker under the throttle, a worker that looks for what is
 * left, the end of a version. */
enum { RUNS = 1, WORKS = 2, PACES = 4, LOOKS = 8, ENDS = 16 };

#define FAULTS(X)                                                                                             \
   X (FAULT_REQUEST_LOST, RUNS | WORKS | ENDS, "command lost before it took effect")                          \
   X (FAULT_REPLY_LOST, RUNS | WORKS | ENDS, "reply lost after it took effect")                               \
   X (FAULT_LATE, RUNS | WORKS | ENDS, "command that took effect after its sender had given up")              \
   X (FAULT_DIED, RUNS | WORKS | ENDS, "process died")                                                        \
   X (FAULT_DIED_HOLDING, RUNS, "process died while it held the lease")                                       \
   X (FAULT_PAUSED, RUNS | WORKS | ENDS, "process stopped and continued")                                     \
   X (FAULT_PAUSED_PAST, RUNS, "process stopped past its lease, and continued")                               \
   X (FAULT_FAILOVER, RUNS | WORKS | ENDS, "another primary, with another clock")                             \
   X (FAULT_ROLLBACK, RUNS | WORKS | ENDS, "writes rolled back that the majority did not have")               \
   X (FAULT_JUMP, RUNS, "server's clock jumped further than max_clock_skew")                                  \
   X (FAULT_REMOVED, RUNS, "lease removed by hand: two holders")                                              \
   X (FAULT_BROKEN, RUNS, "lease broken by force")                                                            \
   X (FAULT_HIDDEN, RUNS | WORKS | ENDS, "read of a primary that did not know yet what the majority had")     \
   X (FAULT_WTIMEOUT, RUNS | WORKS | ENDS, "majority too slow: write concern not kept in time")               \
   X (FAULT_ENDED, RUNS, "dead holder's statement ended by its taker")                                        \
   X (FAULT_LANDED, RUNS, "statement of an old holder that landed after the grant of the next")               \
   X (FAULT_TAKEOVER, RUNS, "lease taken over after it expired")                                              \
   X (FAULT_REFUSED, RUNS, "work given up because the lease was lost")                                        \
   X (FAULT_EXPIRED, RUNS | WORKS, "statement that the server ended for its time")                            \
   X (FAULT_CURSOR, RUNS | WORKS, "cursor that was gone when it was asked for more")                          \
   X (FAULT_CONFLICT, RUNS, "transaction that met a write conflict")                                          \
   X (FAULT_BLOCKED, RUNS, "statement that waited for a transaction")                                         \
   X (FAULT_COMMIT, RUNS, "commit without an answer")                                                         \
   X (FAULT_BETWEEN, RUNS, "application wrote a doomed id between the look and the delete")                   \
   X (FAULT_OUTAGE, RUNS | WORKS | ENDS, "server down for a while, all connections cut")                      \
   X (FAULT_OUTAGE_LOST, RUNS | WORKS | ENDS, "server back without writes that the majority did not have")    \
   X (FAULT_OUTAGE_ENDED, RUNS | WORKS | ENDS, "run that ended with an error in an outage, and was repeated") \
   X (FAULT_OUTAGE_OUTLASTED, RUNS | WORKS | ENDS, "run that lasted through an outage")                       \
   X (FAULT_CLAIM, WORKS, "range taken over from a worker that was gone")                                     \
   X (FAULT_CLAIM_LOST, WORKS, "worker that found its claim lost")                                            \
   X (FAULT_JOINED, WORKS, "job that several began at once, and one planned")                                 \
   X (FAULT_PLANNER, WORKS, "plan taken over from one that was gone")                                         \
   X (FAULT_SLOW_CLOCK, WORKS, "job done by machines of which one had a slow clock")                          \
   X (FAULT_STOPPED, WORKS, "job paused and resumed by somebody else")                                        \
   X (FAULT_CANCELLED, WORKS, "job cancelled by somebody else")                                               \
   X (FAULT_RATE, WORKS, "rate of a job set by somebody else")                                                \
   X (FAULT_QUARANTINE, WORKS, "document that could not be carried over")                                     \
   X (FAULT_REPAIRED, WORKS, "document in quarantine that the application repaired")                          \
   X (FAULT_FLOOR, ENDS, "floor recorded as of now")                                                          \
   X (FAULT_KEPT, ENDS, "floor recorded that a validator keeps")                                              \
   X (FAULT_BELOW, ENDS, "floor not recorded, for documents stood in the way")                                \
   X (FAULT_STRICT, ENDS, "validator made to refuse")                                                         \
   X (FAULT_KEPT_OUT, ENDS, "application whose write the validator refused")

typedef enum {
#define X(name, where, text) name,
   FAULTS (X)
#undef X
      N_FAULTS,
} fault_t;

/* Mutations: what eclose must not leave out, left out between it and the server. Each must be found, by the stories
 * that are named. */
#define MUTATIONS(X)                                                                                         \
   X (MUTATE_NONE, "none", 0, "eclose as it is")                                                             \
   X (MUTATE_RENEW, "renew", RUNS, "no token in the filter of a renewal")                                    \
   X (MUTATE_FREE, "free", RUNS, "no token in the filter of a release")                                      \
   X (MUTATE_STEP, "step", RUNS, "no token in the filter of a step's record")                                \
   X (MUTATE_END, "end", RUNS, "no token in the filter of a run's end")                                      \
   X (MUTATE_WAIT, "wait", RUNS | WORKS, "a takeover at once when the lease expired")                        \
   X (MUTATE_REREAD, "reread", RUNS, "no reading again after the grant")                                     \
   X (MUTATE_KILL, "kill", RUNS, "the old holder's sessions are not ended")                                  \
   X (MUTATE_MAJORITY, "majority", RUNS | WORKS | ENDS, "records written without waiting for the majority")  \
   X (MUTATE_EFFECT, "effect", RUNS | WORKS | PACES | ENDS, "work noted as done before the majority has it") \
   X (MUTATE_HEART, "heart", RUNS, "a heartbeat that does not hear that the lease is lost")                  \
   X (MUTATE_TOUCH, "touch", RUNS, "a transaction that does not touch the lease by its token")               \
   X (MUTATE_NOTE, "note", RUNS, "a transaction that does not look at the steps that are done")              \
   X (MUTATE_UNLESS, "unless", RUNS, "a delete without the look that is to go before it")                    \
   X (MUTATE_PAUSE, "pause", RUNS, "lists of hooks removed without waiting for who reads")                   \
   X (MUTATE_CLAIM, "claim", WORKS, "no token in the filter of a checkpoint")                                \
   X (MUTATE_RELEASE, "release", WORKS, "no token in the filter of a range's release")                       \
   X (MUTATE_HELD, "held", WORKS, "a worker that does not hear that its claim is lost")                      \
   X (MUTATE_AFTER, "after", WORKS, "a range taken over that is not gone on with at its checkpoint")         \
   X (MUTATE_GUARD, "guard", WORKS, "a write that does not look whether the document changed")               \
   X (MUTATE_SWEEP, "sweep", WORKS, "ranges that are not swept at the end")                                  \
   X (MUTATE_WANTED, "wanted", WORKS, "workers that do not read what is wanted of the job")                  \
   X (MUTATE_SHARE, "share", WORKS, "workers that do not see who shares a rate with them")                   \
   X (MUTATE_PLAN, "plan", WORKS | ENDS, "a plan made, or a validator set, without the lease")               \
   X (MUTATE_LAG, "lag", PACES, "a throttle that does not see how far the secondaries are behind")           \
   X (MUTATE_OPLOG, "oplog", PACES, "a throttle that does not see how far the oplog reaches back")           \
   X (MUTATE_COUNT, "count", ENDS, "a floor recorded whatever was counted")                                  \
   X (MUTATE_STALE, "stale", RUNS, "reads after another primary that miss what was written before")          \
   X (MUTATE_LOCAL, "local", ENDS, "documents counted that the majority does not have")                      \
   X (MUTATE_WARN, "warn", ENDS, "a validator that refuses at once")                                         \
   X (MUTATE_MARK, "mark", ENDS, "a floor that stays marked while its validator is lifted")

typedef enum {
#define X(name, key, where, text) name,
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

/* Before anything else: memory.c. */
void
memory_init (void);

/* ---- the simulation ---- */

#define MAX_MESSAGES 64
#define MAX_WORKS 4

#define LEASE_TIME 3000
#define LEASE_SKEW 1200

/* Of clocks, in ms of theirs a second of true time. What a slow one makes of a lease, and what clocks of primaries
 * differ by then, stays below LEASE_SKEW. */
#define SLOWEST 850
#define FASTEST 1150
#define DATABASE "shop"

typedef struct message_t message_t;

typedef struct task_t {
   ecl_world_t world;
   process_t *process;
   fiber_t *fiber;
   int64_t wake;       /* INT64_MAX: only a message wakes it */
   message_t *message; /* that it waits for */
   bool answered;
   bool heart;
   bool again;            /* it sends as the driver does, by itself, what it sent before */
   int64_t knows;         /* when the majority had what it wrote last and heard of */
   struct task_t *waiter; /* one that waits for the answer in its place */
} task_t;

struct process_t {
   sim_t *sim;
   int index;
   bool app;             /* an application: neither dies nor stops */
   int64_t speed, shift; /* of its machine's clock: ms of it in a second of true time, and what it shows at time 0 */
   int number;           /* of it among them */
   task_t worker, heart;
   ecl_holder_t *renewed; /* by the heart; NULL: it does not beat */
   task_t sender;         /* without a fiber: see sender.c */
   ecl_holder_t *sender_holder;
   bool sending, kept_back;
   int64_t sent_at;
   bool dead, done;
   bool stop_heart;
   int64_t paused_until;
   int64_t ghost; /* time as a dead one sees it */
   uint64_t randoms;
   uint8_t session[16];
   ecl_runner_t runner;
   int64_t token;        /* of its present or last grant */
   int64_t until;        /* of its lease, as it was when it sent something last */
   int64_t kill_done;    /* when the sessions of holders before it were ended; 0: there were none */
   int known[MAX_WORKS]; /* steps that the majority had as done when it was granted */
   int after;            /* statements sent after its lease was over */
   int64_t txn_number;
   bool txn_open;
   bool wants_wait; /* waits for the lease; else gives up and comes again */
   bson_t *before;  /* MUTATE_REREAD: the changelog as it was read first */
};

typedef enum { MSG_FREE, MSG_COMING, MSG_RUNNING, MSG_SETTLING, MSG_GOING } stage_t;

struct message_t {
   stage_t stage;
   int64_t at;   /* when the next thing happens to it */
   task_t *task; /* NULL: nobody waits any more */
   sender_t sender;
   bson_t command, reply;
   bool has_reply;
   bool long_run, reply_lost, refused, wtimeout, last;
   int64_t safe, epoch;
};

/* A story: what is there at first, who writes meanwhile, and what must hold. */
typedef struct {
   const char *name;
   unsigned kind;      /* RUNS, WORKS, PACES, LOOKS or ENDS */
   unsigned calm;      /* one seed in so many goes without faults, others and kills beside; 0: none does */
   bool clocks;        /* in every second seed each machine has a clock of its own, which is fast or slow */
   bool smooth;        /* nothing is by chance: messages take a millisecond, and there are no faults */
   uint64_t kills;     /* seeds in which a process is killed at each write; 0: KILL_SEEDS */
   unsigned processes; /* 0: two or three */
   /* The project, once for all seeds. */
   ecl_project_t *(*load) (void);
   void (*setup) (sim_t *sim);
   /* What a process does, until it is true; NULL: `eclose up`. */
   bool (*program) (process_t *process);
   int n_apps;
   void (*app) (process_t *app); /* to its end; app->number says which */
   /* A process sends a command, from its worker; what it returns goes along in sender_t.note. May be NULL. */
   int64_t (*sent) (process_t *process, const ecl_call_t *call);
   /* And hears what became of it, or that it does not hear. May be NULL. */
   void (*answered) (process_t *process, const ecl_call_t *call, int64_t sent, ecl_reply_t answer, const bson_t *reply);
   /* Milliseconds more that the server takes, for a command with this answer. May be NULL. */
   int64_t (*takes) (sim_t *sim, const sender_t *sender, const bson_t *reply);
   /* What the server says of how it fares: fills the reply; false where that is not for everybody. May be NULL. */
   bool (*fares) (sim_t *sim, const execution_t *execution);
   /* A document changed. May be NULL. */
   void (*wrote) (sim_t *sim, const sender_t *sender, const char *collection, const blob_t *before,
                  const blob_t *after);
   /* A command was executed; may be NULL. */
   void (*executed) (sim_t *sim, const execution_t *execution);
   /* A step counts as done: is what it did safe? */
   void (*step_done) (sim_t *sim, int migration, int step);
   void (*end) (sim_t *sim);
} story_t;

extern const story_t story_steps, story_categories, story_webhooks, story_workers, story_throttle, story_looks,
   story_complete;

/* How often kinds of faults happen in a seed: misfortune.c. */
enum {
   RATE_LOSS,
   RATE_LATE,
   RATE_DIE,
   RATE_PAUSE,
   RATE_SLOW,
   RATE_FAILOVER,
   RATE_MEDDLE,
   RATE_CURSOR,
   RATE_OUTAGE,
   N_RATES
};

/* ---- what stories share: story.c ---- */

typedef struct {
   const char *path, *text;
} story_text_t;

ecl_project_t *
story_from_folder (const char *folder);

ecl_project_t *
story_from_texts (const story_text_t *texts, size_t n);

/* `things` that get one field more. */
ecl_project_t *
story_load_full (void);

/* What the majority has under that _id. */
const blob_t *
story_stored (const sim_t *sim, const char *collection, int64_t id);

/* Where a process works on a job; its upgrades are the caller's to destroy. */
ecl_site_t
story_site (process_t *process);

/* Makes the job on `things` that the task is about, or joins it; the task has its id then. settings may be NULL. */
ecl_start_t
story_start_job (const ecl_site_t *site, const ecl_job_settings_t *settings, int64_t range_docs, ecl_task_t *task,
                 bson_error_t *error);

/* All that a process of a story does that has one worker, which must not fail. */
bool
story_only_worker (process_t *process, bool (*work) (process_t *process, const ecl_site_t *site, bson_error_t *error));

/* At the end: the majority has each of `things` in that version. */
void
story_check_things (sim_t *sim, int64_t version);

/* Where the process that is to die does: at its n-th write. */
typedef enum { KILL_BEFORE, KILL_AFTER, KILL_LATE, N_KILLS } kill_t;

struct sim_t {
   uint64_t seed, chance;
   int64_t now;
   int64_t faults_until;
   mutation_t mutation;
   const story_t *story;
   ecl_project_t *project;
   const ecl_work_t *works;
   size_t n_works;
   bool verbose;
   bool trusting; /* nothing in this run excuses two holders at once */
   bool calm;     /* nothing goes wrong in it by chance */
   bool clocks;   /* machines have clocks of their own */
   server_t server;
   int64_t epoch; /* of the primary: what began under another one is gone */
   process_t processes[MAX_PROCESSES];
   size_t n_processes, n_apps;
   message_t messages[MAX_MESSAGES];
   size_t n_messages;        /* those behind are free */
   uint64_t faults;          /* bits */
   int64_t outages;          /* how many there were */
   int rates[N_RATES];       /* of this seed: see misfortune.c */
   unsigned kill_at, writes; /* systematic: which write of the first process is its last; how many there were */
   kill_t kill;
   int64_t newest_effect; /* largest token that had an effect */
   int64_t newest_killed; /* when its holder had ended the sessions of those before it; 0: there were none */
   void *data;            /* of the story, cleared for each seed */
   char wrong[512];       /* the first property that did not hold; "" for none */
   unsigned events;
};

#define STORY_DATA_SIZE 16384

typedef struct {
   const story_t *story;
   uint64_t seed;
   mutation_t mutation;
   bool verbose;
   unsigned kill_at; /* 0: faults by chance */
   kill_t kill;
} sim_options_t;

typedef struct {
   uint64_t faults;
   unsigned events, writes;
   char wrong[512];
} sim_result_t;

/* Runs one seed; false with result->wrong. */
bool
sim_run (const sim_options_t *options, sim_result_t *result);

void
sim_cleanup (void);

uint64_t
sim_random (sim_t *self);

/* True once in so many times. */
bool
sim_chance (sim_t *self, uint64_t of);

int64_t
sim_between (sim_t *self, int64_t low, int64_t high);

void
sim_log (sim_t *self, const char *format, ...) ECL_PRINTF (2, 3);

void
sim_wrong (sim_t *self, const char *format, ...) ECL_PRINTF (2, 3);

static inline void
sim_reached (sim_t *self, fault_t fault)
{
   self->faults |= UINT64_C (1) << fault;
}

/* ---- misfortune.c ---- */

/* How often each kind happens in this seed. */
void
misfortune_choose (sim_t *sim);

/* Whether a fault of a kind happens now. */
bool
misfortune_now (sim_t *sim, int rate);

/* A moment at which a process may be hit. False where it is dead. */
bool
misfortune_moment (task_t *task);

void
misfortune_die (process_t *process);

/* The server's, and containers that are started again. */
void
misfortune_server (sim_t *sim);

/* ---- processes: sim.c ---- */

void
process_start (sim_t *sim, int64_t delay);

/* What its clock shows at a true time; and how long so many ms of it are, at most. */
int64_t
process_clock (const process_t *self, int64_t at);

int64_t
process_lasts (const process_t *self, int64_t ms);

/* Starts and ends the heartbeat's fiber of a process, from its worker. */
void
process_start_heart (process_t *process);

void
process_stop_heart (process_t *process);

/* Leaves the fiber until then, or until a message comes. */
void
task_block (task_t *task, int64_t until);

/* ---- world.c, network.c ---- */

void
world_init (ecl_world_t *world);

/* Sends; the task then blocks, and hears what became of it. */
void
network_send (task_t *task, const ecl_call_t *call, const bson_t *command, int64_t left);

ecl_reply_t
network_receive (task_t *task, bson_t *reply, bson_error_t *error);

/* All connections are cut: what is on its way is gone, and who waits for it hears that. */
void
network_cut (sim_t *sim);

/* What happens next to a message. */
void
network_step (sim_t *sim, message_t *message);

void
message_free (message_t *message);

/* ---- mutate.c ---- */

/* What a mutation does to a command on its way. */
void
mutate (const process_t *process, const bson_t *command, bson_t *out);

/* What is answered without asking the server; false where nothing is. */
bool
mutate_answer (task_t *task, const ecl_call_t *call, bson_t *reply);

/* What it does to an answer. */
void
mutate_reply (const process_t *process, const bson_t *command, bson_t *reply);

/* ---- world.c ---- */

/* The first element's name, and its value where that is text. */
const char *
command_name (const bson_t *command);

const char *
command_target (const bson_t *command);

bool
command_writes (const bson_t *command, ecl_txn_t txn);

/* ---- what a process does: program.c ---- */

void
program_run (process_t *process);

void
program_heartbeat (process_t *process);

/* ---- what applications use ---- */

/* Sends until it is known; false where the simulation is over. The reply is destroyed by the caller. */
bool
app_send (process_t *app, const bson_t *command, bson_t *reply);

/* Sets fields of the document of that _id, which may be new; by the majority when it returns. The command that does it
 * twice does the same. Takes both. */
void
app_set (process_t *app, const char *collection, bson_t *id, bson_t *set);

/* Inserts a document of that key, with more, unless there is one; likewise. */
void
app_upsert (process_t *app, const char *collection, bson_t *key, bson_t *more);

/* The documents of one reply. Takes the filter. */
void
app_find (process_t *app, const char *collection, bson_t *filter, rows_t *out);

void
app_wait (process_t *app, int64_t low, int64_t high);

/* ---- properties: check.c ---- */

/* A document changes (either may be NULL) by a command. */
void
check_write (sim_t *sim, const sender_t *sender, const char *collection, const blob_t *before, const blob_t *after);

/* The effect of a step took place. */
void
check_effect (sim_t *sim, const sender_t *sender);

/* A process begins a step. */
void
check_step (sim_t *sim, const process_t *process, const char *migration, int step);

/* A process was granted the lease: notes what it has to know. */
void
check_granted (process_t *process);

/* Whoever fails says why. */
void
check_said (process_t *process, const bson_error_t *error);

/* What a process was doing failed. */
void
check_refused (process_t *process, const bson_error_t *error);

/* After every event. */
void
check_holders (sim_t *sim);

void
check_end (sim_t *sim);

#endif
