/* The commands of jobs, and what their answers mean: see jobs.h. */
#include "store/jobs.h"

#include "store/store.h"

#include <stddef.h>

static const char *const state_names[] = {"planning", "running", "done", "failed", "cancelled"};
static const char *const wanted_names[] = {"running", "paused", "cancelled"};

const char *
ecl_job_state_name (ecl_job_state_t state)
{
   return state_names[state];
}

const char *
ecl_job_wanted_name (ecl_job_wanted_t wanted)
{
   return wanted_names[wanted];
}

/* ---- counts ---- */

static const struct {
   const char *name;
   size_t at;
} counts_fields[] = {
   {"seen", offsetof (ecl_job_counts_t, seen)},
   {"changed", offsetof (ecl_job_counts_t, changed)},
   {"pushed", offsetof (ecl_job_counts_t, pushed)},
   {"conflicts", offsetof (ecl_job_counts_t, conflicts)},
   {"transactions", offsetof (ecl_job_counts_t, transactions)},
   {"quarantined", offsetof (ecl_job_counts_t, quarantined)},
   {"redone", offsetof (ecl_job_counts_t, redone)},
};

#define N_COUNTS (sizeof counts_fields / sizeof counts_fields[0])

static int64_t *
count_at (ecl_job_counts_t *counts, size_t i)
{
   return (int64_t *) (void *) ((char *) counts + counts_fields[i].at);
}

void
ecl_job_read_counts (const bson_t *document, ecl_job_counts_t *out)
{
   bson_iter_t iter;

   memset (out, 0, sizeof *out);
   for (size_t i = 0; i < N_COUNTS; i++) {
      if (bson_iter_init_find (&iter, document, counts_fields[i].name) && BSON_ITER_HOLDS_NUMBER (&iter)) {
         *count_at (out, i) = bson_iter_as_int64 (&iter);
      }
   }
}

void
ecl_job_append_counts (bson_t *to, const ecl_job_counts_t *counts)
{
   ecl_job_counts_t copy = *counts;

   for (size_t i = 0; i < N_COUNTS; i++) {
      bson_append_int64 (to, counts_fields[i].name, -1, *count_at (&copy, i));
   }
}

void
ecl_job_add_counts (ecl_job_counts_t *to, const ecl_job_counts_t *counts)
{
   ecl_job_counts_t copy = *counts;

   for (size_t i = 0; i < N_COUNTS; i++) {
      *count_at (to, i) += *count_at (&copy, i);
   }
}

/* ---- commands ---- */

static void
append_setting (bson_t *set, const char *name, double value, bool whole)
{
   char key[64];

   bson_snprintf (key, sizeof key, "settings.%s", name);
   if (whole) {
      BSON_APPEND_INT64 (set, key, (int64_t) value);
   } else {
      BSON_APPEND_DOUBLE (set, key, value);
   }
}

static void
append_settings (bson_t *set, const ecl_job_settings_t *settings, unsigned which)
{
   if (which & ECL_SET_BATCH_TIME) {
      append_setting (set, "batch_time", (double) settings->batch_time, true);
   }
   if (which & ECL_SET_MAX_LAG) {
      append_setting (set, "max_lag", (double) settings->max_lag, true);
   }
   if (which & ECL_SET_MIN_WINDOW) {
      append_setting (set, "min_window", (double) settings->min_window, true);
   }
   if (which & ECL_SET_MAX_LATENCY) {
      append_setting (set, "max_latency", settings->max_latency, false);
   }
   if (which & ECL_SET_MAX_RATE) {
      append_setting (set, "max_documents", settings->max_documents, false);
      append_setting (set, "max_bytes", settings->max_bytes, false);
   }
}

/* Stages that make a record and leave one as it is that is there: the same command may come once more, when its record
 * has gone on. */
static void
append_new (bson_t *pipeline, const bson_t *set)
{
   bson_t *whole =
      BCON_NEW ("0", "{", "$set", "{", "old", BCON_UTF8 ("$$ROOT"), "}", "}", "1", "{", "$set", BCON_DOCUMENT (set),
                "}", "2", "{", "$replaceWith", "{", "$cond", "[", "{", "$eq", "[", "{", "$type",
                BCON_UTF8 ("$old.state"), "}", BCON_UTF8 ("missing"), "]", "}", BCON_UTF8 ("$$ROOT"),
                BCON_UTF8 ("$old"), "]", "}", "}", "3", "{", "$unset", BCON_UTF8 ("old"), "}");

   bson_concat (pipeline, whole);
   bson_destroy (whole);
}

/* One statement: where the record has this _id, and is in one of the states (NULL: whatever it is), this $set. */
static void
update (const uint8_t id[12], const char *const *states, const char *absent, bool upsert, const bson_t *set,
        bson_t *command)
{
   bson_t updates, one, query, part, list, pipeline, stage;
   char buffer[16];
   const char *key;
   bson_oid_t oid;

   bson_oid_init_from_data (&oid, id);
   bson_init (command);
   BSON_APPEND_UTF8 (command, "update", ECL_STORE_JOBS);
   BSON_APPEND_ARRAY_BEGIN (command, "updates", &updates);
   BSON_APPEND_DOCUMENT_BEGIN (&updates, "0", &one);
   BSON_APPEND_DOCUMENT_BEGIN (&one, "q", &query);
   BSON_APPEND_OID (&query, "_id", &oid);
   if (states) {
      BSON_APPEND_DOCUMENT_BEGIN (&query, "state", &part);
      BSON_APPEND_ARRAY_BEGIN (&part, "$in", &list);
      for (uint32_t i = 0; states[i]; i++) {
         bson_uint32_to_string (i, &key, buffer, sizeof buffer);
         BSON_APPEND_UTF8 (&list, key, states[i]);
      }
      bson_append_array_end (&part, &list);
      bson_append_document_end (&query, &part);
   }
   if (absent) {
      BSON_APPEND_DOCUMENT_BEGIN (&query, absent, &part);
      BSON_APPEND_BOOL (&part, "$exists", false);
      bson_append_document_end (&query, &part);
   }
   bson_append_document_end (&one, &query);
   BSON_APPEND_ARRAY_BEGIN (&one, "u", &pipeline);
   if (upsert) {
      append_new (&pipeline, set);
   } else {
      BSON_APPEND_DOCUMENT_BEGIN (&pipeline, "0", &stage);
      BSON_APPEND_DOCUMENT (&stage, "$set", set);
      bson_append_document_end (&pipeline, &stage);
   }
   bson_append_array_end (&one, &pipeline);
   if (upsert) {
      BSON_APPEND_BOOL (&one, "upsert", true);
   }
   bson_append_document_end (&updates, &one);
   bson_append_array_end (command, &updates);
   ecl_store_write_concern (command);
}

static const char *const planning_only[] = {"planning", NULL};
static const char *const live_states[] = {"planning", "running", NULL};

/* What is planned under a lease, and comes when that is over, is not to live beside what others have planned since. */
static void
append_state (bson_t *set, const ecl_job_t *job, int64_t until)
{
   const char *state = state_names[job->state];
   bson_t *in_time, *late;

   if (!until) {
      ecl_store_append_text (set, "state", state);
      return;
   }
   in_time = BCON_NEW ("$lt", "[", "{", "$toLong", BCON_UTF8 ("$$NOW"), "}", BCON_INT64 (until), "]");
   late = BCON_NEW ("state", "{", "$cond", "[", BCON_DOCUMENT (in_time), BCON_UTF8 (state),
                    BCON_UTF8 (state_names[ECL_JOB_FAILED]), "]", "}", "error", "{", "$cond", "[",
                    BCON_DOCUMENT (in_time), BCON_UTF8 ("$$REMOVE"), BCON_UTF8 (ECL_JOB_PUT_LATE), "]", "}");
   bson_concat (set, late);
   bson_destroy (late);
   bson_destroy (in_time);
}

void
ecl_job_put (const ecl_job_t *job, int64_t until, bson_t *command)
{
   bson_t set = BSON_INITIALIZER, counts;

   ecl_store_append_text (&set, "kind", job->down ? "down" : "up");
   ecl_store_append_text (&set, "collection", job->collection);
   if (*job->uuid) {
      ecl_store_append_text (&set, "uuid", job->uuid);
   }
   ecl_store_append_text (&set, "to", job->to);
   if (*job->chain) {
      ecl_store_append_text (&set, "chain", job->chain);
   }
   ecl_store_append_text (&set, "mode", job->mode);
   ecl_store_append_text (&set, "why", job->why);
   append_state (&set, job, until);
   ecl_store_append_text (&set, "wanted", wanted_names[job->wanted]);
   append_settings (&set, &job->settings, ECL_SET_ALL);
   BSON_APPEND_DOCUMENT_BEGIN (&set, "counts", &counts);
   ecl_job_append_counts (&counts, &job->counts);
   bson_append_document_end (&set, &counts);
   BSON_APPEND_INT32 (&set, "chunks", job->chunks);
   BSON_APPEND_INT64 (&set, "documents", job->documents);
   ecl_store_append_text (&set, "host", job->host);
   ecl_store_append_text (&set, "user", job->user);
   BSON_APPEND_INT64 (&set, "pid", job->pid);
   BSON_APPEND_UTF8 (&set, "started", "$$NOW");
   update (job->id, NULL, NULL, true, &set, command);
   bson_destroy (&set);
}

void
ecl_job_planned (const ecl_job_t *job, bson_t *command)
{
   bson_t set = BSON_INITIALIZER;

   ecl_store_append_text (&set, "state", "running");
   BSON_APPEND_INT32 (&set, "chunks", job->chunks);
   BSON_APPEND_INT64 (&set, "documents", job->documents);
   update (job->id, planning_only, NULL, false, &set, command);
   bson_destroy (&set);
}

void
ecl_job_want (const uint8_t id[12], ecl_job_wanted_t wanted, bson_t *command)
{
   bson_t set = BSON_INITIALIZER;

   ecl_store_append_text (&set, "wanted", wanted_names[wanted]);
   if (wanted == ECL_WANTED_CANCELLED) {
      ecl_store_append_text (&set, "state", "cancelled");
      BSON_APPEND_UTF8 (&set, "ended", "$$NOW");
   }
   update (id, live_states, NULL, false, &set, command);
   bson_destroy (&set);
}

void
ecl_job_set (const uint8_t id[12], const ecl_job_settings_t *settings, unsigned which, bson_t *command)
{
   bson_t set = BSON_INITIALIZER;

   append_settings (&set, settings, which);
   update (id, live_states, NULL, false, &set, command);
   bson_destroy (&set);
}

void
ecl_job_sweep (const uint8_t id[12], bson_t *command)
{
   bson_t set = BSON_INITIALIZER;

   BSON_APPEND_UTF8 (&set, "swept", "$$NOW");
   update (id, live_states, "swept", false, &set, command);
   bson_destroy (&set);
}

void
ecl_job_end (const ecl_job_t *job, bson_t *command)
{
   bson_t set = BSON_INITIALIZER, counts;

   ecl_store_append_text (&set, "state", state_names[job->state]);
   BSON_APPEND_DOCUMENT_BEGIN (&set, "counts", &counts);
   ecl_job_append_counts (&counts, &job->counts);
   bson_append_document_end (&set, &counts);
   BSON_APPEND_UTF8 (&set, "ended", "$$NOW");
   if (*job->error) {
      ecl_store_append_text (&set, "error", job->error);
   }
   update (job->id, live_states, NULL, false, &set, command);
   bson_destroy (&set);
}

static void
find_end (int32_t limit, bson_t *command)
{
   bson_t sort;

   BSON_APPEND_DOCUMENT_BEGIN (command, "sort", &sort);
   BSON_APPEND_INT32 (&sort, "started", -1);
   bson_append_document_end (command, &sort);
   ecl_store_single_batch (limit, command);
}

void
ecl_job_find_one (const uint8_t id[12], bson_t *command)
{
   bson_t filter;
   bson_oid_t oid;

   bson_oid_init_from_data (&oid, id);
   bson_init (command);
   BSON_APPEND_UTF8 (command, "find", ECL_STORE_JOBS);
   BSON_APPEND_DOCUMENT_BEGIN (command, "filter", &filter);
   BSON_APPEND_OID (&filter, "_id", &oid);
   bson_append_document_end (command, &filter);
   ecl_store_single_batch (1, command);
}

void
ecl_job_find (const char *collection, bool live, int32_t limit, bson_t *command)
{
   bson_t filter, part, list;

   bson_init (command);
   BSON_APPEND_UTF8 (command, "find", ECL_STORE_JOBS);
   BSON_APPEND_DOCUMENT_BEGIN (command, "filter", &filter);
   if (collection) {
      BSON_APPEND_UTF8 (&filter, "collection", collection);
   }
   if (live) {
      /* One in a state that is not known here may be worked on. */
      BSON_APPEND_DOCUMENT_BEGIN (&filter, "state", &part);
      BSON_APPEND_ARRAY_BEGIN (&part, "$nin", &list);
      BSON_APPEND_UTF8 (&list, "0", "done");
      BSON_APPEND_UTF8 (&list, "1", "failed");
      BSON_APPEND_UTF8 (&list, "2", "cancelled");
      bson_append_array_end (&part, &list);
      bson_append_document_end (&filter, &part);
   }
   bson_append_document_end (command, &filter);
   find_end (limit, command);
}

/* ---- answers ---- */

/* -1 where it is none of them, `otherwise` where there is nothing; *found is what it is. */
static int
read_name (const bson_t *document, const char *key, const char *const *names, size_t n, int otherwise,
           const char **found)
{
   bson_iter_t iter;

   *found = "nothing";
   if (!bson_iter_init_find (&iter, document, key)) {
      return otherwise;
   }
   *found = BSON_ITER_HOLDS_UTF8 (&iter) ? bson_iter_utf8 (&iter, NULL) : "no string";
   for (size_t i = 0; i < n && BSON_ITER_HOLDS_UTF8 (&iter); i++) {
      if (strcmp (*found, names[i]) == 0) {
         return (int) i;
      }
   }
   return -1;
}

static double
read_double (const bson_t *document, const char *key)
{
   bson_iter_t iter;

   return bson_iter_init_find (&iter, document, key) && BSON_ITER_HOLDS_NUMBER (&iter) ? bson_iter_as_double (&iter)
                                                                                       : 0;
}

static void
read_settings (const bson_t *document, ecl_job_settings_t *out)
{
   bson_iter_t iter;
   bson_t settings;

   if (!bson_iter_init_find (&iter, document, "settings") || !ecl_store_view (&iter, &settings)) {
      return;
   }
   out->batch_time = ecl_store_number (&settings, "batch_time");
   out->max_lag = ecl_store_number (&settings, "max_lag");
   out->min_window = ecl_store_number (&settings, "min_window");
   out->max_latency = read_double (&settings, "max_latency");
   out->max_documents = read_double (&settings, "max_documents");
   out->max_bytes = read_double (&settings, "max_bytes");
}

/* Of a later version, or changed by hand. */
static bool
no_job (const ecl_job_t *job, bool has_id, const char *field, const char *expected, const char *found,
        bson_error_t *error)
{
   char id[25] = "";
   bson_oid_t oid;

   if (has_id) {
      bson_oid_init_from_data (&oid, job->id);
      bson_oid_to_string (&oid, id);
   }
   return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_INVALID,
                    "what is stored in " ECL_STORE_JOBS " as \"%s\"%s%s%s is no job of this version of eclose: `%s` is "
                    "to be %s (found: %s)",
                    id, *job->collection ? ", a job on " : "", job->collection, *job->collection ? "," : "", field,
                    expected, found);
}

static void
read_texts (const bson_t *document, ecl_job_t *out)
{
   ecl_store_read_text (document, "collection", out->collection, sizeof out->collection);
   ecl_store_read_text (document, "uuid", out->uuid, sizeof out->uuid);
   ecl_store_read_text (document, "to", out->to, sizeof out->to);
   ecl_store_read_text (document, "chain", out->chain, sizeof out->chain);
   ecl_store_read_text (document, "mode", out->mode, sizeof out->mode);
   ecl_store_read_text (document, "why", out->why, sizeof out->why);
   ecl_store_read_text (document, "host", out->host, sizeof out->host);
   ecl_store_read_text (document, "user", out->user, sizeof out->user);
   ecl_store_read_text (document, "error", out->error, sizeof out->error);
}

bool
ecl_job_read (const bson_t *document, ecl_job_t *out, bson_error_t *error)
{
   const char *state_found, *wanted_found;
   char kind[16] = "";
   int state, wanted;
   bson_iter_t iter;
   bson_t counts;
   bool has_id;

   memset (out, 0, sizeof *out);
   has_id = bson_iter_init_find (&iter, document, "_id") && BSON_ITER_HOLDS_OID (&iter);
   if (has_id) {
      memcpy (out->id, bson_iter_oid (&iter)->bytes, sizeof out->id);
   }
   read_texts (document, out);
   if (!has_id || !*out->collection) {
      return no_job (out, has_id, has_id ? "collection" : "_id", has_id ? "a name" : "an ObjectId", "another value",
                     error);
   }
   state = read_name (document, "state", state_names, sizeof state_names / sizeof state_names[0], -1, &state_found);
   if (state < 0) {
      return no_job (out, true, "state", "planning, running, done, failed or cancelled", state_found, error);
   }
   wanted = read_name (document, "wanted", wanted_names, sizeof wanted_names / sizeof wanted_names[0],
                       ECL_WANTED_RUNNING, &wanted_found);
   if (wanted < 0) {
      return no_job (out, true, "wanted", "running, paused or cancelled", wanted_found, error);
   }
   ecl_store_read_text (document, "kind", kind, sizeof kind);
   out->down = strcmp (kind, "down") == 0;
   out->state = (ecl_job_state_t) state;
   out->wanted = (ecl_job_wanted_t) wanted;
   read_settings (document, &out->settings);
   if (bson_iter_init_find (&iter, document, "counts") && ecl_store_view (&iter, &counts)) {
      ecl_job_read_counts (&counts, &out->counts);
   }
   out->chunks = (int32_t) ecl_store_number (document, "chunks");
   out->documents = ecl_store_number (document, "documents");
   out->pid = ecl_store_number (document, "pid");
   out->started = ecl_store_number (document, "started");
   out->swept = ecl_store_number (document, "swept");
   out->ended = ecl_store_number (document, "ended");
   return true;
}
