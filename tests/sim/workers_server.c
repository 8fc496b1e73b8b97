/* What must hold of what is at the server in the story of workers, whatever happens.
 *
 * Documents: each write of a worker makes of the document as it is then just what the chain makes of it, so nothing of
 * the application's is lost; and it is in the range that the worker had claimed when it sent it. At the end every
 * document is at the target but those that cannot be carried over, and those are in quarantine.
 *
 * Ranges: they hold each _id that there can be once. One is taken from nobody before his time is over, and whoever lost
 * one changes no record that has a larger token. A checkpoint never goes back; all that is before it is at the target.
 * Where nothing goes wrong the majority has that.
 *
 * The job: there is one that lives. Where whoever plans it dies, the next one has the lease as soon as its time is
 * over. It ends as done only when every document that was there when its sweep began is at the target, or in
 * quarantine; where nothing goes wrong, what its record counts is what was done.
 */
#include "workers.h"

#include "store/quarantine.h"

/* Writes that the primary had were lost. */
#define LOST (UINT64_C (1) << FAULT_ROLLBACK | UINT64_C (1) << FAULT_OUTAGE_LOST)

bool
workers_row (const blob_t *document, ecl_chunk_row_t *out)
{
   bson_error_t error;
   bson_t view;

   return document && bson_init_static (&view, document->bytes, document->len) && ecl_chunk_read (&view, out, &error);
}

static const blob_t *
row_of (const sim_t *sim, const uint8_t job[12], int n, ecl_chunk_row_t *out)
{
   char id[ECL_CHUNK_ID];
   const blob_t *found;

   ecl_chunk_id (job, n, id);
   found = server_get_text (&sim->server, ECL_STORE_CHUNKS, id, false);
   return workers_row (found, out) ? found : NULL;
}

/* Whether a document of that _id is in the range. */
static bool
is_in_range (const sim_t *sim, const ecl_chunk_row_t *row, const bson_t *id)
{
   blob_t *document = blob_new (bson_get_data (id), id->len);
   ecl_value_t filter, none = ecl_missing ();
   bson_t all;
   bool in;

   ecl_chunk_filter (&row->range, &none, &none, &all);
   filter = ecl_raw_document (bson_get_data (&all), all.len);
   in = engine_matches (&filter, document, sim->now);
   bson_destroy (&all);
   blob_unref (document);
   return in;
}

static bool
is_at_target (const blob_t *document)
{
   return blob_number (document, "schema_version") == TARGET;
}

/* ---- what it did ---- */

/* Guarded statements that did not find what they were computed from. */
void
workers_executed (sim_t *sim, const execution_t *execution)
{
   data_t *data = sim->data;
   const process_t *process = execution->sender->process;
   ecl_value_t updates, item, multi;
   int64_t n = 0;
   ecl_iter_t iter;

   if (!process || process->app || strcmp (execution->name, "update") != 0 ||
       strcmp (execution->collection->name, "things") != 0 ||
       memcmp (data->mates[process->index].job, data->job, sizeof data->job) != 0) {
      return;
   }
   updates = command_get (execution, "updates");
   ecl_iter_init (&iter, &updates);
   while (ecl_iter_item (&iter, &item)) {
      multi = ecl_document_get (&item, "multi", 5);
      n += ecl_is_missing (&multi);
   }
   data->counts.conflicts += n ? n - ecl_store_number (execution->reply, "nModified") : 0;
}

static bool
is_text (const blob_t *document, const char *field, const char *wanted, const char *end)
{
   char text[32];

   snprintf (text, sizeof text, "%s%s", wanted, end);
   return strcmp (blob_text (document, field), text) == 0;
}

static void
check_carried (sim_t *sim, const sender_t *sender, const blob_t *before, const blob_t *after)
{
   data_t *data = sim->data;
   const mate_t *mate = &data->mates[sender->process->index];
   int64_t from = blob_number (before, "schema_version");
   ecl_value_t name = blob_get (after, "name"), was = blob_get (before, "_id");
   ecl_chunk_row_t row;
   bson_t *id;

   if (!before || !after) {
      sim_wrong (sim, "a worker inserted or removed a document");
      return;
   }
   if (!is_at_target (after) || from >= TARGET) {
      sim_wrong (sim, "thing %d went from version %" PRId64 " to %" PRId64, workers_thing (&was), from,
                 blob_number (after, "schema_version"));
   }
   if (blob_number (after, "seen") != blob_number (before, "seen") || !ecl_is_missing (&name) ||
       !is_text (after, "full", blob_text (before, from ? "full" : "name"), from ? "" : "!") ||
       !is_text (after, "tag", blob_text (after, "full"), "?")) {
      sim_wrong (sim, "thing %d is not what the chain makes of what it was", workers_thing (&was));
   }
   /* A late one may be of a job before this. */
   if (memcmp (mate->job, data->job, sizeof mate->job) == 0 && row_of (sim, mate->job, (int) sender->note, &row)) {
      data->counts.changed++;
      id = workers_id (workers_thing (&was));
      if (sender->heard && !is_in_range (sim, &row, id)) {
         sim_wrong (sim, "thing %d is not in range %d, which process %d has claimed", workers_thing (&was),
                    (int) sender->note, sender->process->index);
      }
      bson_destroy (id);
   }
}

/* ---- ranges ---- */

/* All documents of a range up to its checkpoint, or of one that was gone through, but those that the application
 * changed since the job began. What the primary has is looked at: the checkpoint stands behind it in the oplog, so it
 * becomes safe no sooner. What another primary has lost the sweep finds. Where nothing goes wrong the majority has it.
 */
static void
check_checkpoint (sim_t *sim, const ecl_chunk_row_t *row)
{
   const data_t *data = sim->data;
   const collection_t *things = server_collection (&sim->server, "things");
   ecl_value_t filter, none = ecl_missing ();
   bson_t all;

   ecl_chunk_filter (&row->range, &none, &none, &all);
   filter = ecl_raw_document (bson_get_data (&all), all.len);
   for (size_t i = 0; i < things->n; i++) {
      const slot_t *slot = things->slots[i];
      const blob_t *thing = sim->calm ? slot->majority : slot->current;
      int n = workers_thing (&slot->id);

      if (thing && !is_at_target (thing) && !workers_is_poison (thing) &&
          (row->state != ECL_CHUNK_OPEN || ecl_compare (&slot->id, &row->after) <= 0) &&
          data->born[n] < data->started && data->touched[n] < data->started &&
          engine_matches (&filter, thing, sim->now)) {
         sim_wrong (sim, "range %d %s thing %d, which is not at the target", row->n,
                    row->state == ECL_CHUNK_OPEN ? "has its checkpoint behind" : "was gone through with", n);
      }
   }
   bson_destroy (&all);
}

/* Nobody with a smaller token changes it, and it is taken from nobody before its time is over. (Where the last renewal
 * was rolled back, nobody was told of it.) */
static void
check_token (sim_t *sim, const sender_t *sender, const blob_t *before, const blob_t *after, int range)
{
   data_t *data = sim->data;
   ecl_value_t held = blob_get (before, "holder"), holds = blob_get (after, "holder");
   ecl_value_t expired = blob_get (before, "expires"), expires = blob_get (after, "expires");
   int64_t was = blob_number (before, "token"), is = blob_number (after, "token");

   if (is > was && ecl_is_document (&held)) {
      sim_reached (sim, FAULT_CLAIM);
      if (sim->trusting && !(sim->faults & LOST) && range < MOST_RANGES &&
          sim->now < data->renewed[range] + LEASE_TIME) {
         sim_wrong (sim, "process %d took range %d %" PRId64 " ms after it was renewed", sender->process->index, range,
                    sim->now - data->renewed[range]);
      }
   }
   /* One that came too late leaves the time as it is. */
   if (ecl_is_document (&holds) && range < MOST_RANGES && !ecl_equal (&expired, &expires)) {
      data->renewed[range] = sim->now;
   }
   if (sender->note > 0 && was > sender->note) {
      sim_wrong (sim, "process %d with token %" PRId64 " changed range %d, which has token %" PRId64,
                 sender->process->index, sender->note, range, was);
   }
}

/* Of the job that began last: what was there before is known of no other. */
static bool
is_of_job (const sim_t *sim, const blob_t *chunk)
{
   const data_t *data = sim->data;
   ecl_value_t job = blob_get (chunk, "job");

   return job.type == BSON_TYPE_OID && memcmp (job.u.raw, data->job, sizeof data->job) == 0;
}

static void
check_chunk (sim_t *sim, const sender_t *sender, const blob_t *before, const blob_t *after)
{
   ecl_chunk_row_t was, is;

   if (!before || !after) {
      return;
   }
   if (!workers_row (before, &was) || !workers_row (after, &is)) {
      sim_wrong (sim, "a range cannot be read");
      return;
   }
   sim_log (sim, "    range %d: %s, token %" PRId64 ", by process %d", is.n, ecl_chunk_state_name (is.state),
            blob_number (after, "token"), sender->process->index);
   if (is.state < was.state || blob_number (after, "token") < blob_number (before, "token")) {
      sim_wrong (sim, "range %d went back", is.n);
   }
   check_token (sim, sender, before, after, is.n);
   if (was.state == ECL_CHUNK_OPEN && is.state == ECL_CHUNK_OPEN && !ecl_is_missing (&was.after)) {
      if (ecl_is_missing (&is.after) || ecl_compare (&is.after, &was.after) < 0) {
         sim_wrong (sim, "the checkpoint of range %d went back", is.n);
      }
   }
   if ((is.state == ECL_CHUNK_OPEN ? !ecl_is_missing (&is.after) : was.state == ECL_CHUNK_OPEN) &&
       !(sim->faults & LOST) && is_of_job (sim, after)) {
      check_checkpoint (sim, &is);
   }
}

/* ---- the job ---- */

/* The lease under which a job is planned: taken from nobody before his time is over, and where somebody waits for it
 * not long after that. */
static void
check_plan_lease (sim_t *sim, const sender_t *sender, const blob_t *before, const blob_t *after)
{
   data_t *data = sim->data;
   mate_t *mate = &data->mates[sender->process->index];
   ecl_value_t held = blob_get (before, "holder"), holds = blob_get (after, "holder");
   ecl_value_t expired = blob_get (before, "expires"), expires = blob_get (after, "expires");
   bool taken = before && after && blob_number (after, "token") > blob_number (before, "token");
   int64_t end = data->planning + LEASE_TIME;

   if (taken && ecl_is_document (&held)) {
      sim_log (sim, "    the plan is taken over by process %d", sender->process->index);
      sim_reached (sim, FAULT_PLANNER);
      if (sim->trusting && !(sim->faults & LOST) && sim->now < end) {
         sim_wrong (sim, "process %d took the lease of the plan %" PRId64 " ms before its holder's time was over",
                    sender->process->index, end - sim->now);
      }
      end = end + LEASE_SKEW > mate->waits ? end + LEASE_SKEW : mate->waits;
      if (sim->calm && mate->waits && sim->now > end + PLAN_TAKEN_MS) {
         sim_wrong (sim, "process %d got the lease of the plan %" PRId64 " ms after its holder's time was over",
                    sender->process->index, sim->now - end);
      }
   }
   if (taken || !before) {
      mate->waits = 0;
   }
   if (ecl_is_document (&holds) && !ecl_equal (&expired, &expires)) {
      data->planning = sim->now;
   }
}

/* Each _id that there can be is in one range. */
static void
check_plan (sim_t *sim, const uint8_t job[12], int32_t chunks)
{
   const bson_oid_t oid = {{7}};
   bson_t *ids[40];
   int in[40] = {0};
   size_t n = 0;

   for (int i = 0; i < THINGS; i += i < NUMBERS ? 9 : 2) {
      ids[n++] = workers_id (i);
   }
   ids[n++] = BCON_NEW ("_id", BCON_NULL);
   ids[n++] = BCON_NEW ("_id", BCON_BOOL (true));
   ids[n++] = BCON_NEW ("_id", BCON_OID (&oid));
   ids[n++] = BCON_NEW ("_id", BCON_DOUBLE (0.0 / 0.0));
   ids[n++] = BCON_NEW ("_id", BCON_DOUBLE (17.5));
   ids[n++] = BCON_NEW ("_id", BCON_DATE_TIME (5));
   ids[n++] = BCON_NEW ("_id", "{", "a", BCON_INT32 (1), "}");
   for (int32_t k = 0; k < chunks; k++) {
      ecl_chunk_row_t row;

      if (!row_of (sim, job, k, &row)) {
         sim_wrong (sim, "the job begins, and there is no range %d", k);
         break;
      }
      for (size_t i = 0; i < n; i++) {
         in[i] += is_in_range (sim, &row, ids[i]);
      }
   }
   for (size_t i = 0; i < n; i++) {
      if (in[i] != 1) {
         sim_wrong (sim, "an _id is in %d ranges", in[i]);
      }
      bson_destroy (ids[i]);
   }
}

static bool
is_live (const blob_t *job)
{
   const char *state = blob_text (job, "state");

   return strcmp (state, "planning") == 0 || strcmp (state, "running") == 0;
}

/* One job begins to live: it is the only one. */
static void
check_only (sim_t *sim, const ecl_value_t *id)
{
   const collection_t *jobs = server_collection (&sim->server, ECL_STORE_JOBS);

   for (size_t i = 0; i < jobs->n; i++) {
      const slot_t *slot = jobs->slots[i];

      if (sim->trusting && slot->current && is_live (slot->current) && !ecl_equal (&slot->id, id)) {
         sim_wrong (sim, "a job begins, and there is another live one");
      }
   }
}

/* Each document that the sweep set aside is counted once: none but those of which it wrote a record, and all that
 * cannot be carried over and that nobody has touched since it began. */
static void
check_counted_once (sim_t *sim, const blob_t *job, int64_t counted)
{
   const data_t *data = sim->data;
   const collection_t *things = server_collection (&sim->server, "things");
   const collection_t *records = server_collection (&sim->server, ECL_STORE_QUARANTINE);
   ecl_value_t id = blob_get (job, "_id");
   int64_t sure = 0, most = 0;

   for (size_t i = 0; i < things->n; i++) {
      const blob_t *thing = things->slots[i]->current;
      int n = workers_thing (&things->slots[i]->id);

      sure += thing && workers_is_poison (thing) && data->touched[n] < data->swept && data->born[n] < data->swept;
   }
   for (size_t i = 0; records && i < records->n; i++) {
      ecl_value_t of = blob_get (records->slots[i]->current, "job");

      most += records->slots[i]->current && ecl_equal (&of, &id);
   }
   if (counted < sure || counted > most) {
      sim_wrong (sim, "the job counts %" PRId64 " documents in quarantine, and there are %" PRId64 " to %" PRId64,
                 counted, sure, most);
   }
}

/* Where nothing went wrong, what the record says is what was done. */
static void
check_counts (sim_t *sim, const blob_t *job)
{
   const data_t *data = sim->data;
   ecl_value_t value = blob_get (job, "counts");
   ecl_job_counts_t counts = {0};
   int64_t unsure = 0;
   bson_t view;

   if (ecl_is_document (&value) && bson_init_static (&view, value.u.raw, value.len)) {
      ecl_job_read_counts (&view, &counts);
   }
   if (sim->calm) {
      check_counted_once (sim, job, counts.quarantined);
   }
   /* Of a part that is done again only what is left is known, and that is for applications to change, too. */
   for (size_t i = 0; counts.redone && i < THINGS; i++) {
      unsure += data->touched[i] > data->started;
   }
   if (sim->calm && !sim->kill_at &&
       (counts.seen != data->counts.seen || llabs (counts.changed - data->counts.changed) > unsure ||
        counts.conflicts != data->counts.conflicts)) {
      sim_wrong (sim,
                 "the job counts %" PRId64 " seen, %" PRId64 " changed, %" PRId64 " conflicts, and there were %" PRId64
                 ", %" PRId64 ", %" PRId64,
                 counts.seen, counts.changed, counts.conflicts, data->counts.seen, data->counts.changed,
                 data->counts.conflicts);
   }
}

static void
check_done (sim_t *sim, const blob_t *job)
{
   const data_t *data = sim->data;
   const collection_t *things = server_collection (&sim->server, "things");

   for (size_t i = 0; i < things->n; i++) {
      const slot_t *slot = things->slots[i];
      int n = workers_thing (&slot->id);

      if (slot->majority && !is_at_target (slot->majority) && !workers_is_poison (slot->majority) &&
          data->born[n] < data->swept && data->repaired[n] < data->swept) {
         sim_wrong (sim, "the job counts as done, and thing %d is not at the target", n);
      }
   }
   check_counts (sim, job);
}

static void
check_job (sim_t *sim, const blob_t *before, const blob_t *after)
{
   data_t *data = sim->data;
   ecl_value_t swept = blob_get (after, "swept"), was = blob_get (before, "swept"), id = blob_get (after, "_id");
   const char *state = blob_text (after, "state");

   sim_log (sim, "    job: %s, wanted %s", state, blob_text (after, "wanted"));
   if (is_live (after) && !is_live (before)) {
      check_only (sim, &id);
   }
   if (!before && is_live (after)) { /* one that comes too late is none */
      data->started = sim->events;
      data->swept = 0;
      data->counts = (ecl_job_counts_t){0};
      memcpy (data->job, id.u.raw, sizeof data->job);
   }
   if (!ecl_is_nullish (&swept) && ecl_is_nullish (&was)) {
      data->swept = sim->events;
   }
   if (strcmp (state, "running") == 0 && strcmp (blob_text (before, "state"), "planning") == 0) {
      data->planned = sim->now;
      check_plan (sim, id.u.raw, (int32_t) blob_number (after, "chunks"));
   }
   if (strcmp (state, "done") == 0 && strcmp (blob_text (before, "state"), "done") != 0) {
      check_done (sim, after);
   }
}

/* ---- documents ---- */

static void
application_wrote (sim_t *sim, const blob_t *before, const blob_t *after)
{
   data_t *data = sim->data;
   ecl_value_t id = blob_get (after ? after : before, "_id");
   int n = workers_thing (&id);

   data->touched[n] = sim->events;
   if (!before) {
      data->born[n] = sim->events;
   }
   if (before && after && workers_is_poison (before) && !workers_is_poison (after)) {
      data->repaired[n] = sim->events;
      sim_reached (sim, FAULT_REPAIRED);
   }
}

static void
check_quarantined (sim_t *sim, const sender_t *sender, const blob_t *record)
{
   const data_t *data = sim->data;
   const claim_t *claim = &data->mates[sender->process->index].claim;
   ecl_value_t key = blob_get (record, "_id"), id = ecl_document_get (&key, "id", 2);
   ecl_value_t sweep = blob_get (record, "sweep");
   const blob_t *thing = server_get (&sim->server, "things", &id, false);

   sim_reached (sim, FAULT_QUARANTINE);
   if (!(thing && workers_is_poison (thing)) && !data->touched[workers_thing (&id)]) {
      sim_wrong (sim, "thing %d came to quarantine", workers_thing (&id));
   }
   if (sender->heard && ecl_truthy (&sweep) != (claim->phase == ECL_CHUNK_CARRIED)) {
      sim_wrong (sim, "the record of thing %d does not say whether the sweep met it", workers_thing (&id));
   }
}

void
workers_wrote (sim_t *sim, const sender_t *sender, const char *collection, const blob_t *before, const blob_t *after)
{
   if (strcmp (collection, "things") == 0) {
      if (sender->process->app) {
         application_wrote (sim, before, after);
      } else {
         check_carried (sim, sender, before, after);
      }
   } else if (strcmp (collection, ECL_STORE_CHUNKS) == 0) {
      check_chunk (sim, sender, before, after);
   } else if (strcmp (collection, ECL_STORE_LEASE) == 0) {
      check_plan_lease (sim, sender, before, after);
   } else if (strcmp (collection, ECL_STORE_JOBS) == 0) {
      check_job (sim, before, after);
   } else if (strcmp (collection, ECL_STORE_QUARANTINE) == 0 && after) {
      check_quarantined (sim, sender, after);
   }
}

static bool
is_in_quarantine (const sim_t *sim, const ecl_value_t *thing)
{
   bson_t key = BSON_INITIALIZER;
   blob_t *whole;
   ecl_value_t id;
   bool in;

   BSON_APPEND_UTF8 (&key, "collection", "things");
   if (ecl_is_string (thing)) {
      bson_append_utf8 (&key, "id", -1, thing->u.str, (int) thing->len);
   } else {
      BSON_APPEND_INT32 (&key, "id", (int32_t) thing->u.i64);
   }
   whole = blob_of (&key);
   id = blob_value (whole);
   in = server_get (&sim->server, ECL_STORE_QUARANTINE, &id, true) != NULL;
   blob_unref (whole);
   return in;
}

void
workers_end (sim_t *sim)
{
   const collection_t *things = server_collection (&sim->server, "things");
   const collection_t *records = server_collection (&sim->server, ECL_STORE_QUARANTINE);
   int poison = 0, quarantined = 0;

   for (size_t i = 0; i < things->n; i++) {
      const blob_t *thing = things->slots[i]->majority;

      if (thing && workers_is_poison (thing)) {
         poison++;
         if (!is_in_quarantine (sim, &things->slots[i]->id)) {
            sim_wrong (sim, "at the end thing %d cannot be carried over and is not in quarantine",
                       workers_thing (&things->slots[i]->id));
         }
      } else if (thing && (!is_at_target (thing) || !is_text (thing, "tag", blob_text (thing, "full"), "?"))) {
         sim_wrong (sim, "at the end thing %d is not at the target", workers_thing (&things->slots[i]->id));
      }
   }
   for (size_t i = 0; records && i < records->n; i++) {
      quarantined += records->slots[i]->majority != NULL;
   }
   /* A clock that was set back makes a record look as if the sweep had written it. */
   if (quarantined < poison || (sim->trusting && quarantined > poison)) {
      sim_wrong (sim, "at the end %d documents are in quarantine, and %d cannot be carried over", quarantined, poison);
   }
}
