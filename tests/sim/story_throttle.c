/* The story of the throttle: one worker carries a collection, and after a while the server fares badly, and then well
 * again. Nothing is by chance but the numbers: a seed has one kind of trouble.
 *
 *    slow       writes take some times as long: within two batches the worker rests for a good part of the time
 *    stuck      very much longer: but for some small batches that find out how it is, nothing is written
 *    behind     the secondaries are behind; within two batches of the look that shows it the worker rests
 *    far behind so far that it stops, until that is over
 *    held back  flow control: likewise as `behind`
 *    told       a command says wait: no batch begins until it says otherwise
 *    too short  the oplog grows faster than before, and would soon not reach back far enough: likewise as `behind`,
 *               within two batches of the next look, which is ten seconds away at most; what comes back comes back
 *               slowly, as minutes are looked at
 *
 * And each time: before it the worker does not rest, and soon after it it is as fast as before.
 */
#include "sim.h"

#include "backfill/survey.h"
#include "backfill/worker.h"

#define THINGS 3600
#define TARGET 1

/* What a write takes when all is well, in ms, and for each document. */
#define FIXED 6
#define EACH 2

/* The trouble begins when so much was carried, and lasts so long. */
#define BEGINS 1500
#define LASTS 5000

/* Within how many ms of the end of the trouble the worker is as fast as before: where it had stopped for its own
 * latency, it waits longer and longer before it tries again. */
#define RECOVERS 4000
#define RECOVERS_STUCK 20000
#define RECOVERS_SHORT 60000

/* The oplog reaches back so far, in ms, and has to reach back a quarter of that. It is not looked at in the first
 * minute, so until then a command says wait; and a document takes long, so that there are enough of them. */
#define REACHES (8 * 3600 * 1000)
#define HAS_TO_REACH (REACHES / 4)
#define BEGINS_SHORT 55000
#define EACH_SHORT 20
#define BATCH_SHORT 150

/* Ms between two looks at it. */
#define LOOKS_EVERY (10 * ECL_PRESSURE_EVERY)

typedef enum { SLOW, STUCK, BEHIND, FAR_BEHIND, HELD_BACK, TOLD, TOO_SHORT, N_TROUBLES } trouble_t;

static const char *const trouble_names[] = {"slow", "stuck", "behind", "far behind", "held back", "told", "too short"};

/* A write of documents, as the server sees it. */
typedef struct {
   int64_t begun;
   int32_t ms, documents;
} write_t;

#define MOST_WRITES 900

typedef struct {
   trouble_t trouble;
   double factor;       /* how many times as long a write takes, or how many times as fast the oplog grows */
   int64_t lag;         /* of the secondaries, in ms */
   int64_t from, until; /* of the trouble; 0: not yet */
   int64_t seen;        /* when the worker first heard of it; 0: not yet */
   int64_t carried;     /* documents */
   int looks;           /* at the oplog's last entry */
   write_t writes[MOST_WRITES];
   size_t n_writes;
} data_t;

_Static_assert(sizeof (data_t) <= STORY_DATA_SIZE, "the story's data fit");

static void
setup (sim_t *sim)
{
   data_t *data = sim->data;

   data->trouble = (trouble_t) (sim->seed % N_TROUBLES);
   data->factor = data->trouble == SLOW ? 3.5 + (double) (sim_random (sim) % 4) / 2 : 16;
   data->factor = data->trouble == TOO_SHORT ? 13 + (double) (sim_random (sim) % 4) : data->factor;
   data->lag = sim_between (sim, 15000, 30000) * (data->trouble == FAR_BEHIND ? 4 : 1);
   for (int i = 0; i < THINGS; i++) {
      server_put (&sim->server, "things", blob_of (BCON_NEW ("_id", BCON_INT32 (i), "name", BCON_UTF8 ("x"))));
   }
}

static bool
is_on (const sim_t *sim, trouble_t trouble)
{
   const data_t *data = sim->data;

   return data->trouble == trouble && data->from && sim->now >= data->from && sim->now < data->until;
}

static void
begin_trouble (sim_t *sim)
{
   data_t *data = sim->data;

   data->from = sim->now + 1;
   data->until = sim->now + LASTS + (data->trouble == TOO_SHORT ? LOOKS_EVERY : 0);
   sim_log (sim, "the trouble begins: %s", trouble_names[data->trouble]);
}

/* ---- the server ---- */

/* What a write takes until the majority has it: nobody waits who does not ask for that. */
static int64_t
takes (sim_t *sim, const sender_t *sender, const bson_t *reply)
{
   data_t *data = sim->data;
   int64_t documents = sender->effect ? ecl_store_number (reply, "nModified") : 0, ms;
   bool slow = is_on (sim, SLOW) || is_on (sim, STUCK);
   double each = data->trouble == TOO_SHORT ? EACH_SHORT : EACH;

   if (!documents) {
      return 0;
   }
   ms = (int64_t) ((FIXED + each * (double) documents) * (slow ? data->factor : 1)) + sim_between (sim, 0, 2);
   data->carried += documents;
   if (!data->from && data->trouble != TOO_SHORT && data->carried >= BEGINS) {
      begin_trouble (sim);
   }
   if (data->n_writes < MOST_WRITES) {
      data->writes[data->n_writes++] = (write_t){sim->now, (int32_t) ms, (int32_t) documents};
   }
   return sender->note ? ms : 0;
}

/* Whether a write waits for the majority goes along. */
static int64_t
sent (process_t *process, const ecl_call_t *call)
{
   return process->sim->mutation != MUTATE_EFFECT && command_writes (call->command, call->txn);
}

static void
heard (sim_t *sim)
{
   data_t *data = sim->data;

   data->seen = data->seen ? data->seen : sim->now;
}

/* Its first or its last entry: full, so that it reaches back as far as it grew slowly, and no further while it grows
 * fast. The trouble begins when it was seen to do well. */
static bson_t *
entry_of_oplog (sim_t *sim, bool last)
{
   data_t *data = sim->data;
   int64_t ms = sim->now, fast = 0;

   if (data->from) {
      fast = (sim->now < data->until ? sim->now : data->until) - data->from;
   }
   if (last && ++data->looks == 2) {
      begin_trouble (sim);
   }
   ms += last ? 0 : (int64_t) ((data->factor - 1) * (double) fast) - REACHES;
   return BCON_NEW ("cursor", "{", "firstBatch", "[", "{", "ts", BCON_TIMESTAMP ((int32_t) (1700000000 + ms / 1000), 1),
                    "}", "]", "}");
}

static bool
fares (sim_t *sim, const execution_t *run)
{
   const data_t *data = sim->data;
   bool lags = is_on (sim, BEHIND) || is_on (sim, FAR_BEHIND), held = is_on (sim, HELD_BACK);
   const int64_t now = 1700000000000 + sim->now;
   bool tells = false;
   ecl_value_t sort, natural;
   bson_t *reply = NULL;

   if (strcmp (run->name, "replSetGetStatus") == 0) {
      reply = BCON_NEW ("members", "[", "{", "_id", BCON_INT32 (0), "state", BCON_INT32 (1), "optimeDate",
                        BCON_DATE_TIME (now), "}", "{", "_id", BCON_INT32 (1), "state", BCON_INT32 (2), "optimeDate",
                        BCON_DATE_TIME (lags ? now - data->lag : now), "}", "]");
      tells = lags;
   } else if (strcmp (run->name, "replSetGetConfig") == 0) {
      reply = BCON_NEW ("config", "{", "members", "[", "]", "}");
   } else if (strcmp (run->name, "serverStatus") == 0) {
      reply = BCON_NEW ("flowControl", "{", "isLagged", BCON_BOOL (held), "}");
      tells = held;
   } else if (data->trouble == TOO_SHORT) {
      sort = command_get (run, "sort");
      natural = ecl_document_get (&sort, "$natural", 8);
      reply = entry_of_oplog (sim, natural.u.i64 < 0);
      tells = natural.u.i64 < 0 && is_on (sim, TOO_SHORT);
   }
   if (!reply) {
      return false; /* the oplog is not for everybody */
   }
   if (tells) {
      heard (sim);
   }
   bson_concat (run->reply, reply);
   bson_destroy (reply);
   return true;
}

/* ---- the worker ---- */

/* --throttle-command, as the process hears it. */
static bool
advise (void *context, uint32_t worker, int64_t now, bool *wait, char reason[ECL_THROTTLE_REASON])
{
   process_t *process = context;

   (void) worker;
   (void) now;
   *reason = '\0';
   *wait = is_on (process->sim, TOLD);
   if (*wait) {
      heard (process->sim);
   }
   *wait |= ((const data_t *) process->sim->data)->trouble == TOO_SHORT && process->sim->now < BEGINS_SHORT;
   return true;
}

static bool
work (process_t *process, const ecl_site_t *site, bson_error_t *error)
{
   sim_t *sim = process->sim;
   const ecl_chain_t *chain = ecl_project_chain (sim->project, "things");
   bool client = sim->seed / N_TROUBLES % 2, oplog = ((const data_t *) sim->data)->trouble == TOO_SHORT;
   ecl_watch_t watch = {.context = process, .advise = advise};
   ecl_connector_t connector = {.context = process};
   const ecl_job_settings_t settings = {
      .max_latency = 2, .batch_time = oplog ? BATCH_SHORT : 0, .min_window = oplog ? HAS_TO_REACH : 0};
   ecl_task_t task = {.chain = chain,
                      .target = chain->n_steps,
                      .mode = client ? ECL_MODE_CLIENT : ECL_MODE_PUSHDOWN,
                      .form = ECL_GUARD_IN_FILTER,
                      .batch = 16,
                      .watch = &watch,
                      .connector = sim->seed / N_TROUBLES / 2 % 2 ? &connector : NULL};
   ecl_worker_state_t state;
   ecl_start_t start;

   start = story_start_job (site, &settings, 2 * THINGS, &task, error);
   if (start == ECL_START_FAILED || start == ECL_START_NOTHING) {
      return start == ECL_START_NOTHING;
   }
   return ecl_worker_run (&task, site, 0, &state, error) == ECL_WORKER_DONE;
}

static bool
program (process_t *process)
{
   return story_only_worker (process, work);
}

/* ---- properties ---- */

/* The share of a time in which writes were under way. */
static double
busy (const data_t *data, int64_t from, int64_t until)
{
   int64_t ms = 0;

   for (size_t i = 0; i < data->n_writes; i++) {
      const write_t *write = &data->writes[i];
      int64_t begun = write->begun > from ? write->begun : from;
      int64_t ended = write->begun + write->ms < until ? write->begun + write->ms : until;

      ms += ended > begun ? ended - begun : 0;
   }
   return until > from ? (double) ms / (double) (until - from) : 0;
}

/* Documents per second that were begun to be written. */
static double
rate (const data_t *data, int64_t from, int64_t until)
{
   int64_t documents = 0;

   for (size_t i = 0; i < data->n_writes; i++) {
      documents += data->writes[i].begun >= from && data->writes[i].begun < until ? data->writes[i].documents : 0;
   }
   return until > from ? 1000.0 * (double) documents / (double) (until - from) : 0;
}

/* When the second write after a time has ended; the end of the trouble where there is none. */
static int64_t
behind_two (const data_t *data, int64_t from)
{
   int n = 0;

   for (size_t i = 0; i < data->n_writes; i++) {
      if (data->writes[i].begun >= from && ++n == 2) {
         return data->writes[i].begun + data->writes[i].ms;
      }
   }
   return data->until;
}

static size_t
count (const data_t *data, int64_t from, int64_t until)
{
   size_t n = 0;

   for (size_t i = 0; i < data->n_writes; i++) {
      n += data->writes[i].begun > from && data->writes[i].begun < until;
   }
   return n;
}

static void
check_trouble (sim_t *sim, const data_t *data, double before)
{
   bool latency = data->trouble == SLOW || data->trouble == STUCK;
   int64_t since = latency ? data->from : data->seen, slowed;
   /* What is calm it finds out for itself, with some room. */
   double level = data->trouble == SLOW        ? data->factor / 2 * 0.8
                  : data->trouble == BEHIND    ? (double) data->lag / 10000
                  : data->trouble == TOO_SHORT ? (1 + data->factor) / 8 * 0.9
                                               : 2;
   double share;

   if (!since || since > data->from + 2 * ECL_PRESSURE_EVERY + (data->trouble == TOO_SHORT ? LOOKS_EVERY : 0)) {
      sim_wrong (sim, "nobody asked how the server fares");
      return;
   }
   slowed = behind_two (data, since);
   share = busy (data, slowed, data->until);
   if (data->trouble == SLOW && rate (data, slowed, data->until) < 50) {
      /* Batches of a few documents are held against the median of such, and one of them more or less is much. */
      level *= 0.7;
   }
   switch (data->trouble) {
   case SLOW:
   case BEHIND:
   case HELD_BACK:
   case TOO_SHORT:
      if (share > 1.2 / (level * level) + 0.08 || rate (data, slowed, data->until) > 0.6 * before) {
         sim_wrong (sim,
                    "%s: from two batches on it writes for %.2f of the time at level %.1f, %.0f documents a second",
                    trouble_names[data->trouble], share, level, rate (data, slowed, data->until));
      }
      break;
   case STUCK:
      /* Now and then a small one, at growing distances. */
      if (count (data, slowed, data->until) > 4) {
         sim_wrong (sim, "stuck: %zu batches from two batches on", count (data, slowed, data->until));
      }
      break;
   default:
      if (count (data, since + 1, data->until) > 1) {
         sim_wrong (sim, "%s: %zu batches while nothing is to be written", trouble_names[data->trouble],
                    count (data, since + 1, data->until));
      }
   }
}

static void
end (sim_t *sim)
{
   const data_t *data = sim->data;
   int64_t calm = data->from - 1000, back;
   int64_t latest = data->until + (data->trouble == STUCK       ? RECOVERS_STUCK
                                   : data->trouble == TOO_SHORT ? RECOVERS_SHORT
                                                                : RECOVERS);
   double before;

   story_check_things (sim, TARGET);
   if (!data->from || data->n_writes == MOST_WRITES) {
      sim_wrong (sim, "there was no trouble");
      return;
   }
   before = rate (data, calm, data->from);
   check_trouble (sim, data, before);
   back = data->until;
   while (back <= latest && rate (data, back, back + 1000) < 0.7 * before) {
      back += 100;
   }
   sim_log (sim, "%s: %.0f documents a second before, %.0f meanwhile; as fast again after %" PRId64 " ms",
            trouble_names[data->trouble], before, rate (data, data->from, data->until), back - data->until);
   if (back > latest) {
      sim_wrong (sim, "%s: %" PRId64 " ms after the trouble it is not as fast as before", trouble_names[data->trouble],
                 latest - data->until);
   }
}

const story_t story_throttle = {.name = "throttle",
                                .kind = PACES,
                                .smooth = true,
                                .processes = 1,
                                .load = story_load_full,
                                .setup = setup,
                                .program = program,
                                .sent = sent,
                                .takes = takes,
                                .fares = fares,
                                .end = end};
