/* The story of complete: an operator runs `eclose complete` of one version or another, with a validator or without,
 * again and again. Meanwhile a new release carries documents over as it writes them, and now and then writes one that
 * breaks the schema; an old one comes back, and adds documents or saves whole ones as it read them; some documents are
 * in quarantine. Most seeds have one operator at a time, who may die, and be followed by the next one; in the others
 * several are at it at once, of whom one may set a validator.
 *
 *    Whoever records a floor has counted after he began, on what the majority has: no document that was below it before
 * that, or broken, and still is.
 *    Whoever is told that it is recorded: the majority has it.
 *    A validator first warns; it refuses only when no document that was there before the look at them would be refused.
 *    Where a floor was recorded with a validator, and that one is in force, no document is below the floor: nobody looks
 * for any.
 *    What was interrupted can be run again, and at the end it is recorded unless documents are in quarantine.
 */
#include "sim.h"

#include "backfill/complete.h"
#include "store/quarantine.h"

#define THINGS 24 /* every second one is there at first */
#define TARGET 2
#define POISON 8 /* and 16: they are in quarantine */
#define POISONS 2
#define RANGE_DOCS 5

typedef struct {
   /* Since when, without a break, the majority has had it below the version, and broken; 0: it is well. (One that is
    * first the one and then the other neither look needs to meet.) */
   int64_t below_since[TARGET + 1][THINGS], broken_since[THINGS];
   int64_t counting[MAX_PROCESSES]; /* when a process began the counting that it is at */
   int64_t repairs;                 /* when the new release begins to carry over what is in quarantine; 0: never */
   bool old_ended;
   bool warned[TARGET + 1]; /* a validator of the version has warned */
   int at_it;               /* processes */
   bool late;               /* the floor was recorded last by one that had ended: a message that was sent again */
} data_t;

_Static_assert(sizeof (data_t) <= STORY_DATA_SIZE, "the story's data fit");

static const story_text_t files[] = {
   {"things/0001_full.yaml", "to: 1\nup:\n  - $set: {full: {$concat: [$name, \"!\"]}}\n  - $unset: name\n"
                             "schema: {required: [full]}\n"},
   {"things/0002_tag.yaml", "to: 2\nup:\n  - $set: {tag: {$concat: [$full, \"?\"]}}\n"
                            "schema: {required: [full, tag], properties: {tag: {bsonType: string}}}\n"},
};

static ecl_project_t *
load (void)
{
   return story_from_texts (files, sizeof files / sizeof files[0]);
}

static bool
is_poison (int thing)
{
   return thing == POISON || thing == 2 * POISON;
}

/* As an application writes it in each version. */
static bson_t *
thing_of (int thing, int version)
{
   bson_t *document = BCON_NEW ("_id", BCON_INT32 (thing));

   if (version == 0) {
      BSON_APPEND_UTF8 (document, "name", "x");
      return document;
   }
   BSON_APPEND_UTF8 (document, "full", "x!");
   if (version == 2) {
      BSON_APPEND_UTF8 (document, "tag", "x!?");
   }
   BSON_APPEND_INT32 (document, "schema_version", version);
   return document;
}

static void
setup (sim_t *sim)
{
   data_t *data = sim->data;

   data->repairs = sim->seed % 3 ? sim_between (sim, 1000, 6000) : 0;
   for (int i = 0; i < THINGS; i += 2) {
      server_put (&sim->server, "things", blob_of (thing_of (i, is_poison (i) ? 0 : (int) (sim_random (sim) % 3))));
      if (is_poison (i)) {
         server_put (&sim->server, ECL_STORE_QUARANTINE,
                     blob_of (BCON_NEW ("_id", "{", "collection", "things", "id", BCON_INT32 (i), "}", "collection",
                                        "things", "to", "2", "version", BCON_INT32 (0))));
      }
   }
}

/* ---- documents ---- */

static bool
is_below (const blob_t *document, int64_t version)
{
   return document && blob_number (document, "schema_version") < version;
}

static bool
is_broken (const blob_t *document)
{
   return document && blob_number (document, "schema_version") == TARGET && !*blob_text (document, "tag");
}

static bool
is_bad (const blob_t *document)
{
   return is_below (document, TARGET) || is_broken (document);
}

static const blob_t *
thing_at (const sim_t *sim, int thing, bool majority)
{
   ecl_value_t id = ecl_int32 (thing);

   return server_get (&sim->server, "things", &id, majority);
}

/* ---- applications ---- */

/* With an acknowledgement of the majority's or without; whatever comes of it. Takes the command. */
static void
send (process_t *self, bson_t *command)
{
   bson_t reply;

   if (sim_chance (self->sim, 2)) {
      BCON_APPEND (command, "writeConcern", "{", "w", "majority", "}");
   }
   (void) app_send (self, command, &reply);
   bson_destroy (&reply);
   bson_destroy (command);
}

/* Takes u. */
static void
send_update (process_t *self, int thing, bson_t *u, bool pipeline)
{
   bson_t *command = BCON_NEW ("update", "things"), updates, one, query;

   BSON_APPEND_ARRAY_BEGIN (command, "updates", &updates);
   BSON_APPEND_DOCUMENT_BEGIN (&updates, "0", &one);
   BSON_APPEND_DOCUMENT_BEGIN (&one, "q", &query);
   BSON_APPEND_INT32 (&query, "_id", thing);
   bson_append_document_end (&one, &query);
   if (pipeline) {
      BSON_APPEND_ARRAY (&one, "u", u);
   } else {
      BSON_APPEND_DOCUMENT (&one, "u", u);
   }
   bson_append_document_end (&updates, &one);
   bson_append_array_end (command, &updates);
   bson_destroy (u);
   send (self, command);
}

/* The old release. */
static void
write_old (process_t *self)
{
   sim_t *sim = self->sim;

   for (int i = 0; i < 16 && !self->dead; i++) {
      int thing = (int) (sim_random (sim) % THINGS), version = (int) (sim_random (sim) % 3) / 2;
      bson_t *document = thing_of (thing, version);

      app_wait (self, 20, sim_chance (sim, 4) ? 3000 : 300); /* a few at once, and then none for a while */
      if (sim_chance (sim, 2)) {
         send (self, BCON_NEW ("insert", "things", "documents", "[", BCON_DOCUMENT (document), "]"));
         bson_destroy (document);
      } else {
         send_update (self, thing, document, false); /* all of it, as it read it once */
      }
   }
   ((data_t *) sim->data)->old_ended = true;
}

/* One that the new release has to see to; -1: there is none. */
static int
next_bad (sim_t *sim)
{
   const data_t *data = sim->data;
   int first = (int) (sim_random (sim) % THINGS);

   for (int i = 0; i < THINGS; i++) {
      int thing = (first + i) % THINGS;

      if (is_bad (thing_at (sim, thing, false)) &&
          (!is_poison (thing) || (data->repairs && sim->now > data->repairs))) {
         return thing;
      }
   }
   return -1;
}

static void
carry (process_t *self, int thing)
{
   bson_t *record = BCON_NEW ("_id", "{", "collection", "things", "id", BCON_INT32 (thing), "}");

   send_update (self, thing,
                BCON_NEW ("0", "{", "$set", "{", "full", "x!", "tag", "x!?", "schema_version", BCON_INT32 (TARGET), "}",
                          "}", "1", "{", "$unset", "name", "}"),
                true);
   if (is_poison (thing)) {
      send (self, BCON_NEW ("delete", ECL_STORE_QUARANTINE, "deletes", "[", "{", "q", BCON_DOCUMENT (record), "limit",
                            BCON_INT32 (1), "}", "]"));
   }
   bson_destroy (record);
}

static void
write_new (process_t *self)
{
   sim_t *sim = self->sim;
   const data_t *data = sim->data;
   int breaks = 4;

   while (!self->dead) {
      int thing = next_bad (sim);

      if (thing < 0 && data->old_ended && sim->server.first == sim->server.n_pending) {
         return; /* and no other primary can have it otherwise */
      }
      if (thing >= 0) {
         carry (self, thing);
      }
      app_wait (self, 10, 300);
      thing = (int) (sim_random (sim) % THINGS);
      if (breaks && sim_chance (sim, 6) && !is_bad (thing_at (sim, thing, false)) && thing_at (sim, thing, false)) {
         send_update (self, thing, BCON_NEW ("0", "{", "$set", "{", "tag", BCON_INT32 (5), "}", "}"), true);
         breaks--;
      }
   }
}

static void
app (process_t *self)
{
   if (self->number == 0) {
      write_old (self);
   } else {
      write_new (self);
   }
}

/* ---- the operator ---- */

/* All documents that say they are at the target. */
static bool
verify (void *context, int64_t *bad)
{
   process_t *process = context;
   bson_t *filter =
             BCON_NEW ("schema_version", BCON_INT32 (TARGET), "tag", "{", "$not", "{", "$type", "string", "}", "}"),
          command, reply;
   bson_error_t ignored;
   bool good;

   ecl_store_count ("things", filter, 0, &command);
   ecl_store_read_concern (&command);
   good = ecl_world_call (&process->worker.world, DATABASE, &command, &reply, &ignored);
   *bad = good ? ecl_store_number (&reply, "cursor.firstBatch.0.n") : 0;
   bson_destroy (&reply);
   bson_destroy (&command);
   bson_destroy (filter);
   return good;
}

static bool
complete (process_t *process, const ecl_site_t *site, ecl_completed_t *done, bson_error_t *error)
{
   sim_t *sim = process->sim;
   data_t *data = sim->data;
   const ecl_connector_t connector = {.context = process};
   bool last = sim->now >= sim->faults_until;
   ecl_complete_options_t options = {.chain = ecl_project_chain (sim->project, "things"),
                                     .target = last || !sim_chance (sim, 4) ? TARGET : TARGET - 1,
                                     .validator = (ecl_validator_t) (sim_random (sim) % 3),
                                     .look = {.range_docs = RANGE_DOCS, .connector = &connector},
                                     .context = process};
   static const char *const names[] = {"no validator", "one that warns", "one that refuses"};
   const blob_t *floor;
   bool good;

   /* Of an earlier version everything that is at the later one is well. */
   options.verify = options.target == TARGET ? verify : NULL;
   data->counting[process->index] = 0;
   sim_log (sim, "process %d: complete to %zu, %s", process->index, options.target, names[options.validator]);
   data->at_it++;
   good = ecl_complete (site, &options, done, error);
   data->at_it--;
   if (!good || process->dead) {
      return good;
   }
   sim_log (sim, "process %d: %" PRId64 " below, %" PRId64 " refused, %" PRId64 " bad: %s", process->index, done->below,
            done->refused, done->bad, done->recorded ? "recorded" : "not recorded");
   floor = server_get_text (&sim->server, ECL_STORE_FLOORS, "things", true);
   if (done->recorded && !floor) {
      sim_wrong (sim, "process %d says that the floor is recorded, and the majority does not have it", process->index);
   }
   if (done->recorded ? done->below || done->bad || done->refused > 0
                      : !done->below && !done->bad && done->refused <= 0) {
      sim_wrong (sim, "process %d does not record what it found", process->index);
   }
   if (done->below && options.target == TARGET && !data->repairs && done->quarantined != POISONS) {
      sim_wrong (sim, "process %d found %" PRId64 " documents in quarantine", process->index, done->quarantined);
   }
   sim_reached (sim, done->recorded ? done->strict ? FAULT_KEPT : FAULT_FLOOR : FAULT_BELOW);
   return true;
}

/* Until it is recorded, or only what is in quarantine stands in the way. */
static bool
program (process_t *process)
{
   sim_t *sim = process->sim;
   const data_t *data = sim->data;
   ecl_site_t site = story_site (process);
   bson_error_t error = {0};
   ecl_completed_t done = {0};
   bool good, sure;

   site.lease_time = LEASE_TIME;
   site.lease_skew = LEASE_SKEW;
   while (sim->seed % 4 && data->at_it && !process->dead) {
      app_wait (process, 50, 500);
   }
   sure = !sim->server.hides_until; /* else what it says may be of before */
   good = complete (process, &site, &done, &error);
   if (!good) {
      sim_log (sim, "process %d: %s", process->index, error.message);
      check_said (process, &error);
   }
   ecl_upgrades_destroy (site.upgrades);
   return good && (done.recorded || (sure && done.below && done.below == done.quarantined));
}

/* ---- properties ---- */

static int64_t
sent (process_t *process, const ecl_call_t *call)
{
   sim_t *sim = process->sim;
   data_t *data = sim->data;

   if (strcmp (command_name (call->command), "count") == 0) {
      /* Of a primary that does not know yet what the majority has, or of the next one, it sees at least what was there
       * when this process wrote last. */
      int64_t sure = sim->server.hides_until ? sim->server.hides_from : sim->now - HIDDEN_MS;

      data->counting[process->index] = sure > process->worker.knows ? sure : process->worker.knows;
   }
   return data->counting[process->index];
}

static void
note_since (const sim_t *sim, bool bad, int64_t *since)
{
   *since = !bad ? 0 : *since ? *since : sim->now;
}

/* What the majority has, whenever anybody could have seen it. */
static void
observe (sim_t *sim)
{
   data_t *data = sim->data;

   for (int i = 0; i < THINGS; i++) {
      const blob_t *thing = thing_at (sim, i, true);

      for (int version = 1; version <= TARGET; version++) {
         note_since (sim, is_below (thing, version), &data->below_since[version][i]);
      }
      note_since (sim, is_broken (thing), &data->broken_since[i]);
   }
}

/* Of what was to be counted none was bad from the beginning on. */
static void
check_counted (sim_t *sim, const sender_t *sender, int64_t version, const char *what)
{
   const data_t *data = sim->data;

   observe (sim);
   for (int i = 0; i < THINGS && version; i++) {
      int64_t below = data->below_since[version][i], broken = version == TARGET ? data->broken_since[i] : 0;

      if ((below && below < sender->note) || (broken && broken < sender->note)) {
         sim_wrong (sim, "process %d %s %" PRId64 ", and thing %d was below it, or broken, before he began to count",
                    sender->process->index, what, version, i);
      }
   }
}

/* The version whose validator it is; 0: of none. */
static int
version_of (const sim_t *sim, const blob_t *options)
{
   const ecl_chain_t *chain = ecl_project_chain (sim->project, "things");
   ecl_value_t have = blob_get (options, "validator"), wanted;
   bson_error_t ignored;
   bson_t validator;
   int version = 0;

   for (int i = 1; i <= TARGET && options && !version; i++) {
      bool good = ecl_complete_validator (chain, (size_t) i, &validator, &ignored);

      wanted = ecl_raw_document (bson_get_data (&validator), validator.len);
      version = good && ecl_equal (&have, &wanted) ? i : 0;
      bson_destroy (&validator);
   }
   return version;
}

static bool
refuses (const blob_t *options)
{
   return strcmp (blob_text (options, "validationAction"), "error") == 0;
}

static void
check_validator (sim_t *sim, const sender_t *sender, const blob_t *after)
{
   data_t *data = sim->data;
   int version = version_of (sim, after);

   sim_log (sim, "    validator of version %d %s", version, refuses (after) ? "refuses" : "warns");
   if (!refuses (after)) {
      data->warned[version] = true;
      return;
   }
   sim_reached (sim, FAULT_STRICT);
   if (!data->warned[version]) {
      sim_wrong (sim, "the validator of version %d refuses and has not warned before", version);
   }
   check_counted (sim, sender, version, "has the validator refuse what is below");
}

/* What spares everybody a look. */
static void
check_stays (sim_t *sim)
{
   const blob_t *floor = server_get_text (&sim->server, ECL_STORE_FLOORS, "things", false);
   const blob_t *options = server_get_text (&sim->server, SERVER_OPTIONS, "things", false);
   ecl_value_t validated = blob_get (floor, "validated");
   int64_t version = floor ? blob_text (floor, "floor")[0] - '0' : 0;

   if (!ecl_truthy (&validated) || !refuses (options) || version_of (sim, options) != version) {
      return;
   }
   for (int i = 0; i < THINGS; i++) {
      if (is_below (thing_at (sim, i, false), version)) {
         sim_wrong (sim, "the floor is %" PRId64 " and stays, and thing %d is below it", version, i);
      }
   }
}

static void
wrote (sim_t *sim, const sender_t *sender, const char *collection, const blob_t *before, const blob_t *after)
{
   (void) before;
   if (strcmp (collection, ECL_STORE_FLOORS) == 0) {
      ((data_t *) sim->data)->late = sender->process->done || sender->process->dead;
      check_counted (sim, sender, after ? blob_text (after, "floor")[0] - '0' : 0, "records the floor");
   } else if (strcmp (collection, SERVER_OPTIONS) == 0) {
      check_validator (sim, sender, after);
   }
}

static void
executed (sim_t *sim, const execution_t *run)
{
   bson_iter_t iter;

   observe (sim);
   check_stays (sim);
   if (run->sender->process && run->sender->process->app && bson_iter_init_find (&iter, run->reply, "writeErrors") &&
       ecl_store_number (run->reply, "writeErrors.0.code") == 121) {
      sim_reached (sim, FAULT_KEPT_OUT);
   }
}

static void
end (sim_t *sim)
{
   const blob_t *floor = server_get_text (&sim->server, ECL_STORE_FLOORS, "things", true);
   const data_t *data = sim->data;
   int below = 0;

   for (int i = 0; i < THINGS; i++) {
      below += is_below (thing_at (sim, i, true), TARGET);
   }
   if (!below && !data->late && strcmp (blob_text (floor, "floor"), "2") != 0) {
      sim_wrong (sim, "at the end no document is below version 2, and the floor is \"%s\"", blob_text (floor, "floor"));
   }
}

const story_t story_complete = {.name = "complete",
                                .kind = ENDS,
                                .processes = 4,
                                .load = load,
                                .setup = setup,
                                .program = program,
                                .n_apps = 2,
                                .app = app,
                                .sent = sent,
                                .wrote = wrote,
                                .executed = executed,
                                .end = end};
