/* Jobs against a world: see job.h. */
#include "backfill/job.h"

#include "run/insist.h"
#include "run/place.h"
#include "store/catalog.h"
#include "store/quarantine.h"
#include "store/store.h"

_Static_assert(ECL_CHUNK_SLOWED >= ECL_THROTTLE_TEXT, "a range's record has room for what slows it");

/* How long one answer is waited for, all tries together. */
#define SEND_MS 30000

/* Ranges that are looked at, per state, whether they are understood. */
#define LOOKED_AT 200

bool
ecl_job_send (ecl_world_t *world, const char *database, bson_t *command, bson_t *reply, bson_error_t *error)
{
   bson_t mine;
   bool good = ecl_insist (world, database, command, world->now (world) + SEND_MS, NULL, reply ? reply : &mine,
                           error) == ECL_REPLY_OK;

   if (!reply) {
      bson_destroy (&mine);
   }
   bson_destroy (command);
   return good;
}

void
ecl_job_make_id (ecl_world_t *world, uint8_t id[12])
{
   for (int i = 0; i < 12; i += 4) {
      uint32_t bits = (uint32_t) world->random (world);

      memcpy (id + i, &bits, sizeof bits);
   }
}

bool
ecl_job_is_of (const ecl_job_t *job, const ecl_chain_t *chain, size_t target)
{
   char own[ECL_SHA256_TEXT];

   ecl_catalog_checksum (chain, target, job->down, own);
   return !*job->chain || strcmp (job->chain, own) == 0;
}

bool
ecl_job_differs (const ecl_job_t *job, const ecl_chain_t *chain)
{
   ecl_version_t version;
   bson_error_t ignored;
   size_t target;

   return !job->down && !chain->has_floor && ecl_chain_parse_version (chain, job->to, &version, &ignored) &&
          ecl_chain_index (chain, version, &target) && !ecl_job_is_of (job, chain, target);
}

/* ---- reading ---- */

/* Each document of a reply's first batch, of which there is no other. */
static bool
take_each (const bson_t *reply, bool (*take) (void *context, const bson_t *document, bson_error_t *error),
           void *context, bson_error_t *error)
{
   bson_iter_t iter, batch;
   bson_t document;

   if (!bson_iter_init (&iter, reply) || !bson_iter_find_descendant (&iter, "cursor.firstBatch", &batch) ||
       !BSON_ITER_HOLDS_ARRAY (&batch) || !bson_iter_recurse (&batch, &iter)) {
      return ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "the server's reply holds no cursor");
   }
   while (bson_iter_next (&iter)) {
      if (ecl_store_view (&iter, &document) && !take (context, &document, error)) {
         return false;
      }
   }
   return true;
}

bool
ecl_job_each (ecl_world_t *world, const char *database, bson_t *command,
              bool (*take) (void *context, const bson_t *document, bson_error_t *error), void *context,
              bson_error_t *error)
{
   bson_t reply;
   bool good = ecl_job_send (world, database, command, &reply, error) && take_each (&reply, take, context, error);

   bson_destroy (&reply);
   return good;
}

typedef struct {
   ecl_job_t *job;
   bool *found;
   bool live; /* one that is not understood is in the way: somebody may be working on it */
   void (*tell) (void *context, const ecl_job_t *job);
   void *context;
} take_job_t;

static bool
take_job (void *context, const bson_t *document, bson_error_t *error)
{
   take_job_t *self = context;
   bson_error_t why;
   ecl_job_t job;

   if (!ecl_job_read (document, &job, &why)) {
      return !self->live ||
             ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_INVALID,
                       "%s; a later version wrote it, or a hand: eclose of that version goes on with it, and where "
                       "nobody works on it, its `state` set to cancelled by hand gives it up",
                       why.message);
   }
   if (self->tell) {
      self->tell (self->context, &job);
   } else if (!*self->found) {
      *self->job = job;
      *self->found = true;
   }
   return true;
}

bool
ecl_job_look (ecl_world_t *world, const char *database, const uint8_t id[12], ecl_job_t *job, bool *found,
              bson_error_t *error)
{
   take_job_t take = {.job = job, .found = found};
   bson_t command;

   *found = false;
   ecl_job_find_one (id, &command);
   return ecl_job_each (world, database, &command, take_job, &take, error);
}

bool
ecl_job_latest (ecl_world_t *world, const char *database, const char *collection, bool live, ecl_job_t *job,
                bool *found, bson_error_t *error)
{
   take_job_t take = {.job = job, .found = found, .live = live};
   bson_t command;

   *found = false;
   ecl_job_find (collection, live, 1, &command);
   return ecl_job_each (world, database, &command, take_job, &take, error);
}

bool
ecl_job_list (ecl_world_t *world, const char *database, const char *collection, bool live, int32_t limit,
              void (*tell) (void *context, const ecl_job_t *job), void *context, bson_error_t *error)
{
   take_job_t take = {.live = live, .tell = tell, .context = context};
   bson_t command;

   ecl_job_find (collection, live, limit, &command);
   return ecl_job_each (world, database, &command, take_job, &take, error);
}

bool
ecl_job_sum (ecl_world_t *world, const char *database, const uint8_t id[12], ecl_chunks_sum_t *sum, bson_error_t *error)
{
   bson_t command, reply;
   bool good;

   ecl_chunks_sum (id, &command);
   good = ecl_job_send (world, database, &command, &reply, error) && ecl_chunks_read_sum (&reply, sum, error);
   bson_destroy (&reply);
   return good;
}

int64_t
ecl_job_done (const ecl_job_t *job, const ecl_chunks_sum_t *sum)
{
   int64_t open = sum->changed[ECL_CHUNK_OPEN], done;

   open = open < sum->documents[ECL_CHUNK_OPEN] ? open : sum->documents[ECL_CHUNK_OPEN];
   done = sum->documents[ECL_CHUNK_CARRIED] + sum->documents[ECL_CHUNK_DONE] + open;
   return done < job->documents ? done : job->documents;
}

typedef struct {
   void (*tell) (void *context, const ecl_chunk_row_t *row);
   void *context;
} take_row_t;

static bool
take_row (void *context, const bson_t *document, bson_error_t *error)
{
   take_row_t *self = context;
   ecl_chunk_row_t row;

   (void) !ecl_chunk_read (document, &row, error);
   self->tell (self->context, &row);
   return true;
}

bool
ecl_job_held (ecl_world_t *world, const char *database, const uint8_t id[12],
              void (*tell) (void *context, const ecl_chunk_row_t *row), void *context, bson_error_t *error)
{
   take_row_t take = {tell, context};
   bson_t command;

   ecl_chunks_held (id, &command);
   return ecl_job_each (world, database, &command, take_row, &take, error);
}

typedef struct {
   const char *here;
   int64_t n;
} living_t;

static void
count_living (void *context, const ecl_chunk_row_t *row)
{
   living_t *self = context;

   self->n += row->left > 0 && !ecl_place_is_dead (self->here, row->place, row->pid);
}

bool
ecl_job_living (ecl_world_t *world, const char *database, const uint8_t id[12], const char *here, int64_t *n,
                bson_error_t *error)
{
   living_t living = {.here = here ? here : ""};
   bool good = ecl_job_held (world, database, id, count_living, &living, error);

   *n = living.n;
   return good;
}

static bool
take_unread (void *context, const bson_t *document, bson_error_t *error)
{
   ecl_chunk_row_t row;

   (void) error;
   (void) !ecl_chunk_read (document, &row, context);
   return true;
}

bool
ecl_job_unread (ecl_world_t *world, const char *database, const uint8_t id[12], bson_error_t *why, bson_error_t *error)
{
   bool good = true;

   memset (why, 0, sizeof *why);
   for (int state = ECL_CHUNK_OPEN; good && state < ECL_CHUNK_DONE; state++) {
      bson_t command;

      ecl_chunks_find (id, (ecl_chunk_state_t) state, LOOKED_AT, &command);
      good = ecl_job_each (world, database, &command, take_unread, why, error);
   }
   return good;
}

/* ---- changing ---- */

/* Sends what holds for a live job only. *took: there was one. */
static bool
tell (ecl_world_t *world, const char *database, bson_t *command, bool *took, bson_error_t *error)
{
   bson_iter_t n;
   bson_t reply;
   bool good = ecl_job_send (world, database, command, &reply, error);

   *took = good && bson_iter_init_find (&n, &reply, "n") && BSON_ITER_HOLDS_NUMBER (&n) && bson_iter_as_int64 (&n) > 0;
   bson_destroy (&reply);
   return good;
}

bool
ecl_job_ask (ecl_world_t *world, const char *database, const uint8_t id[12], ecl_job_wanted_t wanted, bool *took,
             bson_error_t *error)
{
   bson_t command;
   ecl_job_t job;
   bool found;

   ecl_job_want (id, wanted, &command);
   if (!tell (world, database, &command, took, error)) {
      return false;
   }
   if (!*took && wanted == ECL_WANTED_CANCELLED) {
      /* It may have been sent twice, the first answer lost. */
      if (!ecl_job_look (world, database, id, &job, &found, error)) {
         return false;
      }
      *took = found && job.state == ECL_JOB_CANCELLED;
   }
   return true;
}

bool
ecl_job_change (ecl_world_t *world, const char *database, const uint8_t id[12], const ecl_job_settings_t *settings,
                unsigned which, bool *took, bson_error_t *error)
{
   bson_t command;

   ecl_job_set (id, settings, which, &command);
   return tell (world, database, &command, took, error);
}

void
ecl_job_throttle (const ecl_job_settings_t *settings, ecl_throttle_settings_t *out)
{
   *out = (ecl_throttle_settings_t){.batch_time = settings->batch_time,
                                    .max_latency = settings->max_latency > 0 ? settings->max_latency : -1,
                                    .max_lag = settings->max_lag,
                                    .min_window = settings->min_window,
                                    .max_documents = settings->max_documents,
                                    .max_bytes = settings->max_bytes};
}

/* Whether there is such a record. Where the server does not find one in time, among millions that stay, there counts as
 * none: the job ends even so. */
static bool
has_stale (ecl_world_t *world, const char *database, bson_t *command, bool *stale, bson_error_t *error)
{
   bson_t reply, first;
   bson_error_t why;
   bool good = ecl_job_send (world, database, command, &reply, &why);

   *stale = good && ecl_store_first (&reply, &first);
   bson_destroy (&reply);
   return good || ecl_insist_late (why.code) || ecl_fail (error, why.domain, why.code, "%s", why.message);
}

bool
ecl_job_forget (ecl_world_t *world, const char *database, const ecl_chain_t *chain, size_t target, bool down,
                int64_t before, const uint8_t *job, bson_error_t *error)
{
   bson_error_t why;
   bson_t command;
   bool stale;

   for (;;) {
      ecl_quarantine_stale (chain, target, down, before, job, &command);
      if (!has_stale (world, database, &command, &stale, error)) {
         return false;
      }
      if (!stale) {
         return true;
      }
      ecl_quarantine_forget (chain, target, down, before, job, &command);
      if (ecl_job_send (world, database, &command, NULL, &why)) {
         return true;
      }
      /* What it removed until its time was over is gone: on with the rest. */
      if (!ecl_insist_late (why.code) || world->cancelled (world)) {
         return ecl_fail (error, why.domain, why.code, "%s", why.message);
      }
   }
}

static bool
end_with (ecl_world_t *world, const char *database, ecl_job_t *job, const ecl_chunks_sum_t *sum, ecl_job_state_t state,
          const char *message, bson_error_t *error)
{
   bson_t command;

   job->counts = sum->counts;
   job->state = state;
   bson_strncpy (job->error, message, sizeof job->error);
   ecl_job_end (job, &command);
   return ecl_job_send (world, database, &command, NULL, error);
}

bool
ecl_job_close (ecl_world_t *world, const char *database, ecl_job_t *job, ecl_job_state_t state, const char *message,
               bson_error_t *error)
{
   ecl_chunks_sum_t sum;

   return ecl_job_sum (world, database, job->id, &sum, error) &&
          end_with (world, database, job, &sum, state, message, error);
}

bool
ecl_job_finish (ecl_world_t *world, const char *database, const ecl_chain_t *chain, size_t target, ecl_job_t *job,
                bson_error_t *error)
{
   ecl_chunks_sum_t sum;

   if (!ecl_job_sum (world, database, job->id, &sum, error)) {
      return false;
   }
   if (sum.n[ECL_CHUNK_OPEN] + sum.n[ECL_CHUNK_CARRIED] + sum.n[ECL_CHUNK_DONE] != job->chunks) {
      return end_with (world, database, job, &sum, ECL_JOB_FAILED,
                       "records of its ranges are gone, or in no state of this version of eclose", error);
   }
   if (sum.n[ECL_CHUNK_DONE] != job->chunks) {
      return true;
   }
   return (!job->swept || ecl_job_forget (world, database, chain, target, job->down, job->swept, job->id, error)) &&
          end_with (world, database, job, &sum, ECL_JOB_DONE, "", error);
}
