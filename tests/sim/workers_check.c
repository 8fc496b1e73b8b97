/* What must hold of a worker in the story of workers, by what it sends and hears, whatever happens.
 *
 * No two believe that they have the same range. Who lost one sends what was on its way and nothing more; who takes one
 * over goes on behind its checkpoint. Where nothing goes wrong a checkpoint is never old. What somebody asks of the job
 * reaches its workers within OBEYS_MS, or the batch at hand; a rate they keep to all together.
 */
#include "workers.h"

#include "backfill/worker.h"

/* ---- values in commands and replies ---- */

static bool
find (const bson_t *document, const char *path, bson_iter_t *out)
{
   bson_iter_t iter;

   return bson_iter_init (&iter, document) && bson_iter_find_descendant (&iter, path, out);
}

static bool
is_on (const bson_t *command, const char *name, const char *collection)
{
   return strcmp (command_name (command), name) == 0 && strcmp (command_target (command), collection) == 0;
}

/* Documents of a find's or getMore's reply. */
static int64_t
batch_of (const bson_t *reply, bool first)
{
   bson_iter_t at, item;
   int64_t n = 0;

   if (find (reply, first ? "cursor.firstBatch" : "cursor.nextBatch", &at) && bson_iter_recurse (&at, &item)) {
      while (bson_iter_next (&item)) {
         n++;
      }
   }
   return n;
}

/* The next batch of the pass that a worker goes through; else documents are read again. */
static bool
is_batch (const mate_t *mate, const bson_t *command)
{
   bson_iter_t at;

   return is_on (command, "find", "things")
             ? find (command, "sort", &at) && !find (command, "skip", &at) /* which asks where a window ends */
             : strcmp (command_name (command), "getMore") == 0 && ecl_store_number (command, "getMore") == mate->cursor;
}

/* ---- what a worker sends ---- */

/* It goes on behind its checkpoint: what stands there is not asked for. */
static void
check_behind (const process_t *process, const claim_t *claim, const bson_t *command)
{
   bson_iter_t at;
   blob_t *document;
   ecl_value_t value, filter;
   bson_t *id;

   if (claim->phase != ECL_CHUNK_OPEN || claim->after < 0) {
      return;
   }
   id = workers_id (claim->after);
   BSON_APPEND_UTF8 (id, "name", "x");
   document = blob_of (id);
   BSON_ASSERT (find (command, "filter", &at));
   value = ecl_raw_document (bson_get_data (command), command->len);
   filter = ecl_document_get (&value, "filter", 6);
   if (engine_matches (&filter, document, process->sim->now)) {
      sim_wrong (process->sim, "process %d goes through range %d again, which has its checkpoint at thing %d",
                 process->index, claim->n, claim->after);
   }
   blob_unref (document);
}

/* A new batch: not where somebody wished that there be none, and not long behind the last checkpoint. */
static void
check_begins (process_t *process, mate_t *mate)
{
   sim_t *sim = process->sim;
   data_t *data = sim->data;
   const wish_t *wish = &data->wish;
   int64_t since = BSON_MAX (wish->at, process->paused_until);
   const claim_t *claim = &mate->claim;

   /* A new primary may not know yet what was wished. */
   since = BSON_MAX (since, sim->server.hid_until);

   if ((wish->paused || wish->cancelled) && memcmp (wish->job, mate->job, sizeof wish->job) == 0 &&
       sim->now > since + process_lasts (process, OBEYS_MS)) {
      sim_wrong (sim, "process %d begins a batch %d ms after the job was %s", process->index, (int) (sim->now - since),
                 wish->paused ? "paused" : "cancelled");
   }
   since = claim->checkpointed > process->paused_until ? claim->checkpointed : process->paused_until;
   if (sim->calm && sim->now > since + process_lasts (process, CHECKPOINT_MS)) {
      sim_wrong (sim, "process %d begins a batch %d ms after its last checkpoint", process->index,
                 (int) (sim->now - since));
   }
   data->begun = sim->now;
}

static void
check_held (process_t *process, claim_t *claim)
{
   sim_t *sim = process->sim;

   if (sim->now < claim->until) {
      return;
   }
   sim_reached (sim, FAULT_CLAIM_LOST);
   if (++claim->late > 1) {
      sim_wrong (sim, "process %d sent %d statements after its claim of range %d had ended", process->index,
                 claim->late, claim->n);
   }
}

/* Goes along: with a statement on documents the range, with a renewal or release the token; else -1. */
int64_t
workers_sent (process_t *process, const ecl_call_t *call)
{
   data_t *data = process->sim->data;
   mate_t *mate = &data->mates[process->index];
   int64_t note = -1;
   bson_iter_t at;

   if (is_on (call->command, "findAndModify", ECL_STORE_LEASE) && !mate->waits) {
      mate->waits = process->sim->now;
   }
   if (is_on (call->command, "update", "things")) {
      check_held (process, &mate->claim);
      return mate->claim.n;
   }
   if (is_batch (mate, call->command)) {
      if (!mate->reading) {
         check_begins (process, mate);
      }
      if (is_on (call->command, "find", "things")) {
         check_behind (process, &mate->claim, call->command);
      }
      mate->reading = true;
   } else if (is_on (call->command, "findAndModify", ECL_STORE_CHUNKS) && find (call->command, "query.token", &at)) {
      note = bson_iter_as_int64 (&at);
      if (find (call->command, "update.0.$set.expires", &at)) {
         mate->claim.until = 0; /* it lets it go */
      }
   }
   return note;
}

/* ---- what it hears ---- */

/* All of them together, where nothing goes wrong: a little more where one begins that the others do not know of yet, and
 * what is read and not written is not counted. */
static void
check_share (sim_t *sim, int64_t ms)
{
   const data_t *data = sim->data;
   double most = data->wish.rate * (double) ms / SLOWEST + SHARE_SLACK * data->wish.rate + THINGS / 64;
   int64_t all = 0;

   for (size_t i = 0; i < sim->n_processes; i++) {
      all += data->mates[i].measured;
   }
   if (sim->calm && !sim->kill_at && (double) all > most) {
      sim_wrong (sim,
                 "workers read %" PRId64 " documents in %" PRId64 " ms, at a rate of %.0f a second for all of them",
                 all, ms, data->wish.rate);
   }
}

/* Of a rate that was set only batches count that were asked for when it must have been known. */
static void
take_batch (const process_t *process, mate_t *mate, const bson_t *command, int64_t sent, const bson_t *reply)
{
   sim_t *sim = process->sim;
   data_t *data = sim->data;
   bool first = strcmp (command_name (command), "find") == 0;
   int64_t n = batch_of (reply, first), ms;
   const wish_t *wish = &data->wish;

   mate->reading = false;
   data->read += n;
   mate->cursor = ecl_store_number (reply, "cursor.id");
   if (memcmp (mate->job, data->job, sizeof mate->job) == 0) {
      data->counts.seen += n;
   }
   ms = process_clock (process, sim->now) - process_clock (process, wish->at) - OBEYS_MS;
   if (wish->rate <= 0 || process_clock (process, sent) - process_clock (process, wish->at) <= OBEYS_MS ||
       memcmp (wish->job, mate->job, sizeof wish->job) != 0) {
      return;
   }
   mate->measured += n;
   check_share (sim, ms);
   if ((double) mate->measured > wish->rate * (double) ms / 1000 + 2 * wish->rate + THINGS / 64) {
      sim_wrong (sim, "a worker read %" PRId64 " documents in %" PRId64 " ms, at a rate of %.0f a second",
                 mate->measured, ms, wish->rate);
   }
}

/* Nobody else may believe that he has it. */
static void
check_alone (const process_t *process, const claim_t *claim)
{
   sim_t *sim = process->sim;
   const data_t *data = sim->data;

   for (size_t i = 0; i < sim->n_processes && sim->trusting; i++) {
      const claim_t *other = &data->mates[i].claim;

      if ((int) i != process->index && !sim->processes[i].dead && other->token && other->until > sim->now &&
          other->n == claim->n && memcmp (other->job, claim->job, sizeof claim->job) == 0) {
         sim_wrong (sim, "processes %zu and %d both believe that they have range %d", i, process->index, claim->n);
      }
   }
}

/* The answer to a command that asks for a range or renews the claim. */
static void
take_claim (process_t *process, mate_t *mate, const bson_t *command, int64_t sent, const bson_t *reply)
{
   static const char id[] = "update.0.$replaceWith.$switch.branches.0.then.$mergeObjects.1.holder.$literal.id";
   claim_t *claim = &mate->claim;
   bson_iter_t asked, has;
   int64_t sent_until;
   ecl_chunk_row_t row;
   blob_t *document;

   if (find (command, id, &asked)) {
      if (!find (reply, "value.holder.id", &has) || !BSON_ITER_HOLDS_OID (&has) ||
          !ecl_store_number (reply, "value.beat") ||
          memcmp (bson_iter_oid (&asked), bson_iter_oid (&has), sizeof (bson_oid_t)) != 0) {
         return; /* somebody else has it */
      }
      BSON_ASSERT (find (reply, "value", &has));
      {
         const uint8_t *bytes;
         uint32_t len;

         bson_iter_document (&has, &len, &bytes);
         document = blob_new (bytes, len);
      }
      BSON_ASSERT (workers_row (document, &row));
      *claim = (claim_t){.n = row.n,
                         .token = ecl_store_number (reply, "value.token"),
                         .checkpointed = sent,
                         .phase = row.state,
                         .after = ecl_is_missing (&row.after) ? -1 : workers_thing (&row.after)};
      memcpy (claim->job, mate->job, sizeof claim->job);
      blob_unref (document);
      check_alone (process, claim);
   } else if (!find (command, "update.0.$replaceWith.$cond", &has)) {
      return;
   } else if (!ecl_store_number (reply, "value.beat")) {
      sim_reached (process->sim, FAULT_CLAIM_LOST);
      return;
   }
   /* As its owner's clock has it, which the server does not know. */
   sent_until = sent + process_lasts (process, LEASE_TIME);
   claim->until = sent_until > claim->until ? sent_until : claim->until;
   claim->checkpointed = sent;
}

void
workers_answered (process_t *process, const ecl_call_t *call, int64_t sent, ecl_reply_t answer, const bson_t *reply)
{
   data_t *data = process->sim->data;
   mate_t *mate = &data->mates[process->index];

   if (answer != ECL_REPLY_OK || bson_has_field (reply, "writeConcernError")) {
      return; /* which it takes for none */
   }
   if (is_batch (mate, call->command)) {
      take_batch (process, mate, call->command, sent, reply);
   } else if (is_on (call->command, "findAndModify", ECL_STORE_CHUNKS)) {
      take_claim (process, mate, call->command, sent, reply);
   }
}
