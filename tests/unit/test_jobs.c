/* Jobs and the records of their ranges: the commands' shapes, and what the answers mean. The ranges: test_ranges.c. */
#include "fake_world.h"

#include "backfill/job.h"

static const uint8_t job_id[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
#define HEX "0102030405060708090a0b0c"

/* The document as relaxed Extended JSON holds the text. */
static void
check_has (const bson_t *document, const char *text)
{
   char *json = bson_as_relaxed_extended_json (document, NULL);

   if (!strstr (json, text)) {
      fail_msg ("%s\n not in %s", text, json);
   }
   bson_free (json);
}

/* ---- records ---- */

static void
test_chunk_records (void **state)
{
   ecl_chunk_range_t ranges[] = {{ECL_IDS_NUMBER, ecl_missing (), ecl_int32 (5)},
                                 {ECL_IDS_ALL & ~(unsigned) ECL_IDS_NUMBER, ecl_missing (), ecl_missing ()}};
   ecl_chunk_progress_t progress = {.state = ECL_CHUNK_OPEN,
                                    .after = ecl_string ("$x", 2),
                                    .counts = {.changed = 3, .seen = 4},
                                    .rate = 1.5,
                                    .slowed = "latency"};
   bson_t command, fields;
   bson_error_t error;
   ecl_chunk_row_t row;

   (void) state;
   ecl_chunks_insert (job_id, ranges, 3, 2, 100, &command);
   check_has (&command,
              "{ \"update\" : \"eclose_chunks\", \"ordered\" : false, \"writeConcern\" : { \"w\" : \"majority\", "
              "\"j\" : true");
   check_has (&command,
              "{ \"q\" : { \"_id\" : \"" HEX "/0000003\" }, \"u\" : { \"$setOnInsert\" : { \"job\" : { \"$oid\" : "
              "\"" HEX "\" }, \"n\" : 3, \"range\" : { \"types\" : 8, \"upto\" : 5 }");
   check_has (&command, "\"upsert\" : true");
   bson_destroy (&command);
   ecl_chunks_find (job_id, ECL_CHUNK_CARRIED, 7, &command);
   check_has (&command, "\"filter\" : { \"_id\" : { \"$gte\" : \"" HEX "/\", \"$lt\" : \"" HEX "0\" }, \"state\" : "
                        "\"carried\" }, \"sort\" : { \"holder.id\" : 1, \"_id\" : 1 }");
   check_has (&command, "\"readConcern\" : { \"level\" : \"majority\" }");
   bson_destroy (&command);
   ecl_chunk_fields (&progress, &fields);
   BSON_APPEND_UTF8 (&fields, "_id", HEX "/0000003");
   BSON_APPEND_DOCUMENT_BEGIN (&fields, "range", &command);
   BSON_APPEND_INT32 (&command, "types", 16);
   BSON_APPEND_UTF8 (&command, "above", "b");
   bson_append_document_end (&fields, &command);
   assert_true (ecl_chunk_read (&fields, &row, &error));
   assert_int_equal (row.counts.changed, 3);
   assert_int_equal (row.counts.seen, 4);
   assert_int_equal (row.range.types, ECL_IDS_STRING);
   assert_true (row.after.len == 2 && memcmp (row.after.u.str, "$x", 2) == 0);
   assert_true (ecl_is_missing (&row.range.upto) && row.range.above.len == 1);
   assert_string_equal (row.slowed, "latency");
   assert_false (row.held);
   bson_destroy (&fields);
   /* At its beginning. */
   progress.after = ecl_missing ();
   ecl_chunk_fields (&progress, &fields);
   check_has (&fields, "\"after\" : {  }");
   bson_destroy (&fields);
}

static void
test_not_a_record (void **state)
{
   bson_t document = BSON_INITIALIZER;
   bson_error_t error;
   ecl_chunk_row_t row;
   ecl_job_t job;

   (void) state;
   BSON_APPEND_UTF8 (&document, "_id", "x");
   BSON_APPEND_UTF8 (&document, "state", "strange");
   assert_false (ecl_chunk_read (&document, &row, &error));
   assert_non_null (strstr (error.message, "no range of this version"));
   assert_false (ecl_job_read (&document, &job, &error));
   bson_destroy (&document);
}

/* A claim's renewal carries the checkpoint along, as literals. */
static void
test_checkpoint_in_a_renewal (void **state)
{
   ecl_lease_key_t key = {.collection = ECL_STORE_CHUNKS, .id = ecl_string ("j/1", 3), .time = 30000, .existing = true};
   ecl_lease_holder_t holder = {.id = {9}};
   bson_t command, fields = BSON_INITIALIZER;

   (void) state;
   BSON_APPEND_UTF8 (&fields, "state", "$open");
   ecl_lease_renew (&key, 4, 2, &fields, &command);
   check_has (&command, "\"query\" : { \"_id\" : \"j/1\", \"token\" : 4 }");
   check_has (&command, "{ \"state\" : { \"$literal\" : \"$open\" } } ] }");
   bson_destroy (&command);
   ecl_lease_free (&key, 4, false, &fields, &command);
   check_has (&command, "\"query\" : { \"_id\" : \"j/1\", \"token\" : 4 }");
   check_has (&command, "\"state\" : { \"$literal\" : \"$open\" }");
   check_has (&command, "\"holder\" : null");
   bson_destroy (&command);
   ecl_lease_ask (&key, &holder, 1, &command);
   assert_false (bson_has_field (&command, "upsert"));
   bson_destroy (&command);
   bson_destroy (&fields);
}

static void
test_job_records (void **state)
{
   ecl_job_t job = {
      .state = ECL_JOB_PLANNING, .wanted = ECL_WANTED_RUNNING, .documents = 8, .settings = {.max_lag = 5}};
   bson_t command, stored = BSON_INITIALIZER, child;
   bson_error_t error;
   bson_oid_t oid;
   ecl_job_t read;

   (void) state;
   memcpy (job.id, job_id, 12);
   bson_strncpy (job.collection, "$users", sizeof job.collection); /* a text that a pipeline would read as a path */
   bson_strncpy (job.to, "2", sizeof job.to);
   ecl_job_put (&job, 0, &command);
   check_has (&command, "\"collection\" : { \"$literal\" : \"$users\" }");
   check_has (&command, "\"started\" : \"$$NOW\"");
   check_has (&command, "\"settings.max_lag\" : 5");
   check_has (&command, "\"upsert\" : true");
   check_has (&command, "\"state\" : { \"$literal\" : \"planning\" }");
   bson_destroy (&command);
   ecl_job_put (&job, 7, &command); /* of a lease that is over by then */
   check_has (&command, "\"state\" : { \"$cond\" : [ { \"$lt\" : [ { \"$toLong\" : \"$$NOW\" }, ");
   check_has (&command, "] }, \"planning\", \"failed\" ] }");
   bson_destroy (&command);
   ecl_job_want (job_id, ECL_WANTED_PAUSED, &command);
   check_has (&command, "\"q\" : { \"_id\" : { \"$oid\" : \"" HEX
                        "\" }, \"state\" : { \"$in\" : [ \"planning\", \"running\" ] }");
   check_has (&command, "\"$set\" : { \"wanted\" : { \"$literal\" : \"paused\" } }");
   assert_false (bson_has_field (&command, "upsert"));
   bson_destroy (&command);
   ecl_job_want (job_id, ECL_WANTED_CANCELLED, &command);
   check_has (&command, "\"state\" : { \"$literal\" : \"cancelled\" }, \"ended\" : \"$$NOW\"");
   bson_destroy (&command);
   ecl_job_sweep (job_id, &command);
   check_has (&command, "\"swept\" : { \"$exists\" : false } }");
   bson_destroy (&command);
   ecl_job_set (job_id, &job.settings, ECL_SET_MAX_LAG, &command);
   check_has (&command, "\"$set\" : { \"settings.max_lag\" : 5 }");
   bson_destroy (&command);

   bson_oid_init_from_data (&oid, job_id);
   BSON_APPEND_OID (&stored, "_id", &oid);
   BSON_APPEND_UTF8 (&stored, "kind", "down");
   BSON_APPEND_UTF8 (&stored, "collection", "users");
   BSON_APPEND_UTF8 (&stored, "state", "running");
   BSON_APPEND_UTF8 (&stored, "wanted", "paused");
   BSON_APPEND_DOCUMENT_BEGIN (&stored, "settings", &child);
   BSON_APPEND_INT64 (&child, "max_lag", 7);
   BSON_APPEND_DOUBLE (&child, "max_documents", 12.5);
   bson_append_document_end (&stored, &child);
   BSON_APPEND_DATE_TIME (&stored, "swept", 99);
   assert_true (ecl_job_read (&stored, &read, &error));
   assert_true (read.down && read.state == ECL_JOB_RUNNING && read.wanted == ECL_WANTED_PAUSED && read.swept == 99);
   assert_int_equal (read.settings.max_lag, 7);
   assert_true (read.settings.max_documents > 12 && read.settings.max_documents < 13);
   bson_destroy (&stored);
}

static void
test_progress (void **state)
{
   bson_t *reply = BCON_NEW ("cursor", "{", "firstBatch", "[", "{", "_id", "open", "n", BCON_INT32 (2), "documents",
                             BCON_INT64 (200), "changed", BCON_INT64 (50), "quarantined", BCON_INT64 (1), "}", "{",
                             "_id", "done", "n", BCON_INT32 (3), "documents", BCON_INT64 (300), "changed",
                             BCON_INT64 (290), "}", "]", "id", BCON_INT64 (0), "}");
   ecl_job_t job = {.documents = 500};
   ecl_chunks_sum_t sum;
   bson_error_t error;

   (void) state;
   assert_true (ecl_chunks_read_sum (reply, &sum, &error));
   assert_int_equal (sum.n[ECL_CHUNK_OPEN], 2);
   assert_int_equal (sum.n[ECL_CHUNK_DONE], 3);
   assert_int_equal (sum.counts.changed, 340);
   assert_int_equal (sum.counts.quarantined, 1);
   assert_int_equal (ecl_job_done (&job, &sum), 350);
   job.documents = 340; /* fewer than there are: never more than all */
   assert_int_equal (ecl_job_done (&job, &sum), 340);
   bson_destroy (reply);
}

/* A job of five ranges, at its end: what the records say decides. */
static ecl_job_state_t
finish (const canned_t *script, int64_t swept)
{
   const ecl_chain_t chain = {.collection = "users", .version_field = "v"};
   fake_world_t world = fake_world (script);
   ecl_job_t job = {.state = ECL_JOB_RUNNING, .chunks = 5, .swept = swept};
   bson_error_t error;

   memcpy (job.id, job_id, 12);
   assert_true (ecl_job_finish (&world.world, "d", &chain, 0, &job, &error));
   fake_done (&world);
   return job.state;
}

#define SUM(a, n, b, m)                                                                                             \
   "{\"ok\": 1, \"cursor\": {\"firstBatch\": [{\"_id\": \"" a "\", \"n\": " #n "}, {\"_id\": \"" b "\", \"n\": " #m \
   "}]}}"

static void
test_the_end (void **state)
{
   const canned_t done[] = {{"\"aggregate\" : \"eclose_chunks\"", SUM ("done", 5, "open", 0)},
                            {"{ \"$literal\" : \"done\" }", "{\"ok\": 1, \"n\": 1}"},
                            {NULL, NULL}};
   const canned_t gone[] = {{"\"aggregate\" : \"eclose_chunks\"", SUM ("done", 4, "open", 0)},
                            {"are gone", "{\"ok\": 1, \"n\": 1}"},
                            {NULL, NULL}};
   /* A read that is older than what workers saw: nobody ends anything. */
   const canned_t carried[] = {{"\"aggregate\" : \"eclose_chunks\"", SUM ("done", 3, "carried", 2)}, {NULL, NULL}};
   const canned_t open[] = {{"\"aggregate\" : \"eclose_chunks\"", SUM ("done", 4, "open", 1)}, {NULL, NULL}};
   /* Millions are in quarantine, old ones and new ones: no command comes to its end in time. */
   const canned_t many[] = {{"\"aggregate\" : \"eclose_chunks\"", SUM ("done", 5, "open", 0)},
                            {"\"find\" : \"eclose_quarantine\"", DOCS ("{\"_id\": 1}")},
                            {"\"delete\" : \"eclose_quarantine\"", "REFUSED 50", 30000},
                            {"\"find\" : \"eclose_quarantine\"", "REFUSED 50", 30000},
                            {"{ \"$literal\" : \"done\" }", "{\"ok\": 1, \"n\": 1}"},
                            {NULL, NULL}};

   (void) state;
   assert_int_equal (finish (done, 0), ECL_JOB_DONE);
   assert_int_equal (finish (gone, 0), ECL_JOB_FAILED);
   assert_int_equal (finish (carried, 0), ECL_JOB_RUNNING);
   assert_int_equal (finish (open, 0), ECL_JOB_RUNNING);
   assert_int_equal (finish (many, 9), ECL_JOB_DONE);
}

#define N(n) DOCS ("{\"n\": " #n "}")
/* clang-format off */
#define HELLO {"\"hello\" : 1", "{\"ok\": 1, \"localTime\": {\"$date\": {\"$numberLong\": \"9000\"}}}"}
#define A_LOOK "\"aggregate\" : \"users\""
#define MANY {"\"find\" : \"eclose_jobs\"", DOCS ()}, HELLO, {"{ \"count\" : \"users\"", "{\"ok\": 1, \"n\": 50000}"}
/* clang-format on */

static bool
is_cancelled (ecl_world_t *self)
{
   (void) self;
   return true;
}

static void
count_told (void *context, const ecl_job_t *job)
{
   assert_string_equal (job->to, "3");
   ++*(int *) context;
}

static ecl_start_t
start_in (fake_world_t *world, ecl_job_start_t options, ecl_job_t *job, bson_error_t *error)
{
   const ecl_chain_t chain = {.collection = "users", .version_field = "v"};
   bson_t candidates = BSON_INITIALIZER;
   ecl_start_t start;

   options.world = &world->world;
   options.chain = &chain;
   options.database = "d";
   options.collection = "users";
   options.to = "2";
   options.mode = "client";
   options.why = "";
   options.candidates = &candidates;
   options.quarantined = 1;
   memset (error, 0, sizeof *error);
   start = ecl_job_start (&options, job, error);
   fake_done (world);
   return start;
}

static ecl_start_t
start_job (const canned_t *script, bool finished, bool cancelled, ecl_job_t *job, bson_error_t *error)
{
   fake_world_t world = fake_world (script);

   if (cancelled) {
      world.world.cancelled = is_cancelled;
   }
   return start_in (&world, (ecl_job_start_t){.finished = finished}, job, error);
}

/* The way down; waited: for so long. */
static ecl_start_t
start_down (const canned_t *script, int64_t waited, bson_error_t *error)
{
   fake_world_t world = fake_world (script);
   ecl_start_t start;
   int told = 0;
   ecl_job_t job;

   start = start_in (&world, (ecl_job_start_t){.down = true, .ending = count_told, .context = &told}, &job, error);
   assert_int_equal (world.waited, waited);
   assert_int_equal (told, waited > 0);
   return start;
}

/* Before a way down what workers of a job up may still write is waited for: until they have let go, or their claims are
 * over. */
static void
test_down_behind_a_job_that_was_cancelled (void **state)
{
/* clang-format off */
#define LATEST(kind, state)                                                                                            \
   {"\"find\" : \"eclose_jobs\"", DOCS ("{\"_id\": {\"$oid\": \"" HEX "\"}, \"kind\": \"" kind "\", \"collection\": "     \
                                        "\"users\", \"to\": \"3\", \"state\": \"" state "\", \"wanted\": \"running\"}")}
#define LAST(kind, state) {"\"find\" : \"eclose_jobs\"", DOCS ()}, LATEST (kind, state)
#define HELD(row) {"\"aggregate\" : \"eclose_chunks\"", DOCS (row)}
#define ROW(left) "{\"_id\": \"" HEX "/0000001\", \"state\": \"open\", \"range\": {\"types\": 8}, \"left\": " #left ", " \
                  "\"holder\": {\"id\": {\"$oid\": \"" HEX "\"}}}"
#define STRANGE(left) "{\"_id\": \"" HEX "/0000001\", \"state\": \"resting\", \"left\": " #left ", \"holder\": {\"pid\": 7}}"
#define NOTHING HELLO, {"{ \"count\" : \"users\"", "{\"ok\": 1, \"n\": 5}"}, {A_LOOK, N (0)}, {NULL, NULL}
   /* clang-format on */
   const canned_t lets_go[] = {LAST ("up", "cancelled"), HELD (ROW (20000)), HELD (ROW (20000)), HELD (""), NOTHING};
   const canned_t expires[] = {LAST ("up", "failed"), HELD (ROW (100)), HELD (ROW (-1)), NOTHING};
   /* A record of a later version: the lease is the same. */
   const canned_t strange[] = {LAST ("up", "cancelled"), HELD (STRANGE (900)), HELD (STRANGE (-1)), NOTHING};
   const canned_t done[] = {LAST ("up", "done"), NOTHING};
   const canned_t down[] = {LAST ("down", "cancelled"), NOTHING};
   bson_error_t error;

   (void) state;
   assert_int_equal (start_down (lets_go, 600, &error), ECL_START_NOTHING);
   assert_int_equal (start_down (expires, 300, &error), ECL_START_NOTHING);
   assert_int_equal (start_down (strange, 300, &error), ECL_START_NOTHING);
   assert_int_equal (start_down (done, 0, &error), ECL_START_NOTHING);
   assert_int_equal (start_down (down, 0, &error), ECL_START_NOTHING);
}

static ecl_start_t
start_finished (const canned_t *script, bool cancelled, bson_error_t *error)
{
   ecl_job_t job;

   return start_job (script, true, cancelled, &job, error);
}

/* Records say that all is done. They are believed where the server looked and did not come to the end: not where nobody
 * looked. */
static void
test_finished_by_records (void **state)
{
   const canned_t late[] = {MANY, {A_LOOK, "REFUSED 50", 1000}, HELLO, {NULL, NULL}};
   /* The client gave up on a server that does not keep to the time it is given. */
   const canned_t silent[] = {MANY, {A_LOOK, "LOST", 60000}, HELLO, {NULL, NULL}};
   const canned_t stepdown[] = {MANY, {A_LOOK, "REFUSED 189", 990}, HELLO, {A_LOOK, N (0)}, {NULL, NULL}};
   const canned_t comes_and_goes[] = {MANY,  {A_LOOK, "REFUSED 91", 990},  HELLO, {A_LOOK, "LOST", 990},
                                      HELLO, {A_LOOK, "REFUSED 189", 990}, HELLO, {NULL, NULL}};
   const canned_t gone[] = {MANY, {A_LOOK, "LOST", 990}, {"\"hello\" : 1", "LOST", 40000}, {NULL, NULL}};
   const canned_t stopped[] = {MANY, {A_LOOK, "LOST", 1000}, {NULL, NULL}};
   bson_error_t error;

   (void) state;
   assert_int_equal (start_finished (late, false, &error), ECL_START_FINISHED);
   assert_int_equal (start_finished (silent, false, &error), ECL_START_FINISHED);
   assert_int_equal (start_finished (stepdown, false, &error), ECL_START_NOTHING);
   assert_int_equal (start_finished (comes_and_goes, false, &error), ECL_START_FAILED);
   assert_int_equal (error.code, 189);
   assert_int_equal (start_finished (gone, false, &error), ECL_START_FAILED);
   assert_string_equal (error.message, "the connection was cut");
   assert_int_equal (start_finished (stopped, true, &error), ECL_START_FAILED);
   assert_int_equal (error.code, ECL_ERROR_CANCELLED);
}

/* The lease of the plan, as the fake world's chance names its holder. */
#define LEASE(beat, expires)                                                                                      \
   "{\"ok\": 1, \"value\": {\"_id\": \"backfill:users\", \"token\": 3, \"beat\": " #beat                          \
   ", \"holder\": {\"id\": {\"$oid\": \"040000000000000004000000\"}, \"host\": \"h\", \"pid\": 1}, \"expires\": " \
   "{\"$date\": "                                                                                                 \
   "{\"$numberLong\": \"" #expires "\"}}}}"
#define A_JOB(state, error)                                                                     \
   DOCS ("{\"_id\": {\"$oid\": \"" HEX                                                          \
         "\"}, \"kind\": \"up\", \"collection\": \"users\", \"to\": \"2\", \"state\": \"" state \
         "\", \"wanted\": \"running\", \"error\": \"" error "\"}")
/* clang-format off */
#define RECORD(ms)                                                                                                     \
   {"\"find\" : \"eclose_jobs\"", DOCS ()}, HELLO, {"{ \"count\" : \"users\"", "{\"ok\": 1, \"n\": 5}"}, {A_LOOK, N (5)},             \
      {"\"granted\" : \"$$NOW\"", LEASE (1, 50000)}, {"\"find\" : \"eclose_jobs\"", DOCS (), 25000},                          \
      {"\"findAndModify\" : \"eclose_lease\"", LEASE (2, 99000)},                                                            \
      {"\"$lt\" : [ { \"$toLong\" : \"$$NOW\" }, 99000 ]", "{\"ok\": 1, \"n\": 1}", ms}
#define RANGES {"\"find\" : \"eclose_jobs\"", DOCS ()}, {"\"update\" : \"eclose_chunks\"", "{\"ok\": 1, \"n\": 1}"}
#define PLAN RECORD (0), RANGES
#define PLANNED(n) {"{ \"$literal\" : \"running\" }", "{\"ok\": 1, \"n\": " #n "}"}
#define LOOK(state, error) {"\"find\" : \"eclose_jobs\"", A_JOB (state, error)}
#define RELEASE {"\"findAndModify\" : \"eclose_lease\"", LEASE (0, 0)}, {NULL, NULL}
/* clang-format on */

/* The record says until when it is one, by the lease as it was renewed for it; and there is a job only where it was
 * planned. */
static void
test_plan (void **state)
{
   const canned_t good[] = {PLAN, PLANNED (1), RELEASE};
   /* Its first answer was lost. */
   const canned_t twice[] = {PLAN, PLANNED (0), LOOK ("running", ""), RELEASE};
   const canned_t cancelled[] = {PLAN, PLANNED (0), LOOK ("cancelled", ""), RELEASE};
   const canned_t late[] = {PLAN, PLANNED (0), LOOK ("failed", ECL_JOB_PUT_LATE), RELEASE};
   const canned_t buried[] = {PLAN, PLANNED (0), LOOK ("failed", "whoever made the plan went away"), RELEASE};
   const canned_t gone[] = {PLAN, PLANNED (0), {"\"find\" : \"eclose_jobs\"", DOCS ()}, RELEASE};
   /* The end of the plan changed nothing, and the record says nothing of an end. */
   const canned_t planning[] = {PLAN, PLANNED (0), LOOK ("planning", ""), RELEASE};
   /* A third of the lease's time went by with one answer: it is renewed before the next statement. */
   const canned_t slow[] = {
      RECORD (12000), {"\"findAndModify\" : \"eclose_lease\"", LEASE (3, 120000)}, RANGES, PLANNED (1), RELEASE};
   bson_error_t error;
   ecl_job_t job;

   (void) state;
   assert_int_equal (start_job (good, false, false, &job, &error), ECL_START_NEW);
   assert_int_equal (job.state, ECL_JOB_RUNNING);
   assert_int_equal (start_job (twice, false, false, &job, &error), ECL_START_NEW);
   assert_int_equal (job.state, ECL_JOB_RUNNING);
   assert_int_equal (start_job (cancelled, false, false, &job, &error), ECL_START_NEW);
   assert_int_equal (job.state, ECL_JOB_CANCELLED);
   assert_int_equal (start_job (late, false, false, &job, &error), ECL_START_FAILED);
   assert_int_equal (error.code, ECL_ERROR_LEASE);
   assert_string_equal (error.message, "users: " ECL_JOB_PUT_LATE);
   assert_int_equal (start_job (buried, false, false, &job, &error), ECL_START_FAILED);
   assert_int_equal (error.code, ECL_ERROR_LEASE);
   assert_int_equal (start_job (gone, false, false, &job, &error), ECL_START_FAILED);
   assert_int_equal (start_job (planning, false, false, &job, &error), ECL_START_FAILED);
   assert_int_equal (error.code, ECL_ERROR_LEASE);
   assert_int_equal (start_job (slow, false, false, &job, &error), ECL_START_NEW);
   /* Who comes to work makes it again. */
   job.state = ECL_JOB_FAILED;
   bson_strncpy (job.error, ECL_JOB_PUT_LATE, sizeof job.error);
   assert_true (ecl_job_is_given_up (&job));
   bson_strncpy (job.error, "records of its ranges are gone", sizeof job.error);
   assert_false (ecl_job_is_given_up (&job));
}

/* A job up that is given up for a way down may have had a worker between two ranges: what that one may still write is
 * waited for, too. */
static void
test_down_behind_a_job_that_is_given_up (void **state)
{
   const canned_t script[] = {LATEST ("up", "running"),
                              HELD (""),
                              LATEST ("up", "running"),
                              HELLO,
                              {"{ \"count\" : \"users\"", "{\"ok\": 1, \"n\": 5}"},
                              {A_LOOK, N (5)},
                              {"\"granted\" : \"$$NOW\"", LEASE (1, 50000)},
                              LATEST ("up", "running"),
                              HELD (""),
                              {"\"aggregate\" : \"eclose_chunks\"", SUM ("open", 5, "done", 0)},
                              {"\"cancelled\"", "{\"ok\": 1, \"n\": 1}"},
                              LATEST ("up", "cancelled"),
                              HELD (ROW (900)),
                              HELD (""),
                              {"\"findAndModify\" : \"eclose_lease\"", LEASE (2, 99000)},
                              {"\"update\" : \"eclose_jobs\"", "{\"ok\": 1, \"n\": 1}"},
                              RANGES,
                              PLANNED (1),
                              RELEASE};
   bson_error_t error;

   (void) state;
   assert_int_equal (start_down (script, 300, &error), ECL_START_NEW);
}

/* A plan that another one makes, without end. */
static ecl_reply_t
plan_of_another (ecl_world_t *self, const ecl_call_t *call, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   const char *text =
      bson_has_field (call->command, "find")
         ? A_JOB ("planning", "")
         : "{\"ok\": 1, \"value\": {\"_id\": \"backfill:users\", \"token\": 3, \"beat\": 1, \"holder\": "
           "{\"id\": {\"$oid\": \"" HEX "\"}, \"host\": \"h\", \"pid\": 1}, \"expires\": {\"$date\": "
           "{\"$numberLong\": \"99000\"}}}}";
   bson_t *parsed = bson_new_from_json ((const uint8_t *) text, -1, error);

   (void) self;
   (void) deadline;
   assert_non_null (parsed);
   bson_copy_to (parsed, reply);
   bson_destroy (parsed);
   return ECL_REPLY_OK;
}

/* For as long as it was told, and then it has ended as it was asked to. */
static void
test_the_wait_for_a_plan (void **state)
{
   const canned_t none[] = {{NULL, NULL}};
   fake_world_t world = fake_world (none);
   ecl_job_lease_t lease = {.until = world.now + 4500};
   bson_error_t error;
   ecl_job_t job;
   bool found;

   (void) state;
   world.world.run_command = plan_of_another;
   assert_false (ecl_job_await (&world.world, "d", "users", &lease, &job, &found, &error));
   assert_int_equal (world.now, lease.until);
   assert_int_equal (error.domain, ECL_DOMAIN_RUN);
   assert_int_equal (error.code, ECL_ERROR_CANCELLED);
   lease.until = 0;
   assert_false (ecl_job_await (&world.world, "d", "users", &lease, &job, &found, &error));
   assert_true (world.now >= 4500 + 180000);
   assert_int_equal (error.code, ECL_ERROR_LEASE);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_chunk_records),
      cmocka_unit_test (test_not_a_record),
      cmocka_unit_test (test_checkpoint_in_a_renewal),
      cmocka_unit_test (test_job_records),
      cmocka_unit_test (test_progress),
      cmocka_unit_test (test_the_end),
      cmocka_unit_test (test_finished_by_records),
      cmocka_unit_test (test_plan),
      cmocka_unit_test (test_down_behind_a_job_that_is_given_up),
      cmocka_unit_test (test_down_behind_a_job_that_was_cancelled),
      cmocka_unit_test (test_the_wait_for_a_plan),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
