/* A worker in virtual time. Where its job or its ranges cannot be read: what nobody will understand ends it, and what is
 * only lost is waited for, but not without end. And between two batches: its claim is kept, and the rate is shared. */
#include "fake_world.h"
#include "project_check.h"

#include "backfill/worker.h"

#include <stdlib.h>

#define HEX "0102030405060708090a0b0c"
#define RANGE HEX "/0000000"
#define ROW(state, range) "{\"_id\": \"" RANGE "\", \"n\": 0, \"state\": " state ", \"range\": " range ", \"token\": 1}"
#define TYPES "`range.types` is to be an int with the types of _id "
#define GOOD ROW ("\"open\"", "{\"types\": 8}")
#define JOB(wanted)                                                                                        \
   DOCS ("{\"_id\": {\"$oid\": \"" HEX "\"}, \"kind\": \"up\", \"collection\": \"users\", \"to\": \"2\", " \
         "\"mode\": \"client\", \"state\": \"running\", \"wanted\": " wanted ", \"chunks\": 4}")

typedef struct {
   fake_world_t base;
   const char *job;     /* what is found of it */
   const char *chosen;  /* what is found of open ranges */
   const char *claimed; /* and then of the one that was claimed; "LOST" or "REFUSED <code>" likewise */
   uint32_t claims, releases, ends;

   /* where a range is gone through */
   const char *held; /* the ranges that workers hold */
   uint32_t renewals;
   int64_t batch; /* of the first find: documents that it asks for; 0: there was none */
} server_t;

/* Between two texts that the command has. */
static void
cut_out (const char *text, const char *before, char until, char *out, size_t size)
{
   const char *at = strstr (text, before), *end;

   assert_non_null (at);
   at += strlen (before);
   end = strchr (at, until);
   assert_true (end && (size_t) (end - at) < size);
   memcpy (out, at, (size_t) (end - at));
   out[end - at] = '\0';
}

static const char *
answer_of (server_t *self, const char *text, char *buffer, size_t size)
{
   char id[32], beat[24];

   if (strstr (text, "{ \"find\" : \"eclose_jobs\"")) {
      return self->job;
   }
   if (strstr (text, "{ \"find\" : \"eclose_chunks\"")) {
      return strstr (text, "\"state\" : \"open\"") ? self->chosen : self->claimed;
   }
   if (strstr (text, "\"granted\"")) {
      self->claims++;
      cut_out (text, "\"holder\" : { \"$literal\" : { \"id\" : { \"$oid\" : \"", '"', id, sizeof id);
      cut_out (text, "\"beat\" : { \"$literal\" : ", ' ', beat, sizeof beat);
      assert_true (bson_snprintf (buffer, size,
                                  "{\"ok\": 1, \"value\": {\"_id\": \"" RANGE "\", \"token\": 1, \"beat\": %s, "
                                  "\"holder\": {\"id\": {\"$oid\": \"%s\"}}}}",
                                  beat, id) < (int) size);
      return buffer;
   }
   if (strstr (text, "{ \"findAndModify\" : \"eclose_chunks\"")) {
      self->releases++;
      return "{\"ok\": 1, \"value\": {\"_id\": \"" RANGE "\", \"token\": 1, \"holder\": null}}";
   }
   self->ends++;
   return "{\"ok\": 1, \"n\": 1}";
}

static ecl_reply_t
serve (ecl_world_t *world, const ecl_call_t *call, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   char *text = bson_as_relaxed_extended_json (call->command, NULL), buffer[512];
   server_t *self = (server_t *) world;
   canned_t script[2] = {{"", NULL, 1}};
   ecl_reply_t answer;

   script[0].reply = answer_of (self, text, buffer, sizeof buffer);
   bson_free (text);
   self->base.script = script;
   self->base.at = 0;
   answer = fake_run_command (world, call, deadline, reply, error);
   self->base.script = NULL;
   return answer;
}

/* ---- what is not understood, and what is not answered ---- */

/* Works, for an hour at most. */
static ecl_worker_end_t
work_on (server_t *server, const char *job, const char *chosen, const char *claimed, bson_error_t *error)
{
   ecl_chain_t chain = {.collection = "users"};
   ecl_task_t task = {.chain = &chain, .mode = ECL_MODE_CLIENT, .until = 3600000};
   ecl_site_t site = {.database = "d", .lease_skew = -1, .who = {.host = "h", .pid = 7}};
   ecl_worker_state_t state;

   task.lease_skew = -1;
   *server = (server_t){.base = fake_world (NULL), .job = job, .chosen = chosen, .claimed = claimed};
   server->base.world.run_command = serve;
   site.world = &server->base.world;
   memcpy (task.job, "\1\2\3\4\5\6\7\x8\x9\xa\xb\xc", 12);
   memset (error, 0, sizeof *error);
   return ecl_worker_run (&task, &site, 0, &state, error);
}

static ecl_worker_end_t
work (server_t *server, const char *chosen, const char *claimed, bson_error_t *error)
{
   return work_on (server, JOB ("\"running\""), chosen, claimed, error);
}

static void
check_text (const bson_error_t *error, const char *text)
{
   if (!strstr (error->message, text)) {
      fail_msg ("%s\n not in %s", text, error->message);
   }
}

/* The worker ends at once, and the job stays. */
static void
check_unfit (const char *chosen, const char *claimed, uint32_t claims, const char *text)
{
   bson_error_t error;
   server_t server;

   assert_int_equal (work (&server, chosen, claimed, &error), ECL_WORKER_FAILED);
   check_text (&error, "this process cannot work on the job, which others may go on with: ");
   check_text (&error, "what is stored in eclose_chunks as \"" RANGE "\" is no range of this version of eclose");
   check_text (&error, text);
   assert_int_equal (server.claims, claims);
   assert_int_equal (server.releases, claims);
   assert_int_equal (server.ends, 0);
   assert_true (server.base.now < 10000);
}

static void
test_not_understood (void **state)
{
   (void) state;
   check_unfit (DOCS (ROW ("\"open\"", "\"x\"")), NULL, 0, "`range` is to be an object (found: string)");
   check_unfit (DOCS (ROW ("\"open\"", "{\"types\": 0}")), NULL, 0, TYPES "(found: int)");
   /* It was another one when it was chosen. */
   check_unfit (DOCS (GOOD), DOCS (ROW ("\"open\"", "{}")), 1, TYPES "(found: missing)");
   check_unfit (DOCS (GOOD), DOCS (ROW ("\"torn\"", "{\"types\": 8}")), 1, "`state` is to be open, carried or done");
}

/* The server answers, and grants the range, but never says what it is. */
static void
check_stuck (const char *claimed, const char *text)
{
   bson_error_t error;
   server_t server;

   assert_int_equal (work (&server, DOCS (GOOD), claimed, &error), ECL_WORKER_FAILED);
   check_text (&error, "users: no range has gone on for ");
   check_text (&error, text);
   assert_true (server.claims > 1 && server.claims < 1000);
   assert_int_equal (server.ends, 0);
   assert_in_range (server.base.now, 180000, 240000);
}

static void
test_not_answered (void **state)
{
   (void) state;
   check_stuck ("REFUSED 8", "refused as told");
   check_stuck ("LOST", "the connection was cut");
   check_stuck (DOCS (), "the range " RANGE " is gone");
}

/* Nor does it ever say which there are, though it answers whether the job goes on. */
static void
test_none_is_found (void **state)
{
   bson_error_t error;
   server_t server;

   (void) state;
   assert_int_equal (work (&server, "REFUSED 8", NULL, &error), ECL_WORKER_FAILED);
   check_text (&error, "users: no range has gone on for ");
   check_text (&error, "refused as told");
   assert_int_equal (server.ends, 0);
   assert_in_range (server.base.now, 180000, 240000);
}

/* The server is gone before anything is known of the job. */
static void
test_job_not_answered (void **state)
{
   bson_error_t error;
   server_t server;

   (void) state;
   assert_int_equal (work_on (&server, "LOST", NULL, NULL, &error), ECL_WORKER_FAILED);
   check_text (&error, "the connection was cut");
   assert_in_range (server.base.now, 180000, 240000);
}

static void
test_job_is_gone (void **state)
{
   const char *jobs[] = {DOCS (), JOB ("\"later\"")};

   (void) state;
   for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++) {
      bson_error_t error;
      server_t server;

      assert_int_equal (work_on (&server, jobs[i], NULL, NULL, &error), ECL_WORKER_FAILED);
      check_text (&error,
                  "users: the record of the job is gone from eclose_jobs, or is none of this version of eclose");
      assert_true (server.base.now < 10000);
   }
}

/* ---- between two batches ---- */

static ecl_reply_t
serve_range (ecl_world_t *world, const ecl_call_t *call, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   char *text = bson_as_relaxed_extended_json (call->command, NULL), buffer[512] = "", beat[24];
   server_t *self = (server_t *) world;
   canned_t script[2] = {{"", "REFUSED 13", 1}}; /* what the throttle asks */
   ecl_reply_t answer;
   bson_iter_t iter;

   if (strstr (text, "{ \"find\" : \"users\"") == text) {
      assert_true (bson_iter_init_find (&iter, call->command, "batchSize"));
      self->batch = self->batch ? self->batch : bson_iter_as_int64 (&iter);
      script[0].reply = DOCS ();
   } else if (strstr (text, "{ \"aggregate\" : \"eclose_chunks\"")) {
      script[0].reply = self->held;
   } else if (strstr (text, "\"renewed\"") && !strstr (text, "\"granted\"")) {
      self->renewals++;
      cut_out (text, "\"beat\" : { \"$literal\" : ", ' ', beat, sizeof beat);
      assert_true (bson_snprintf (buffer, sizeof buffer,
                                  "{\"ok\": 1, \"value\": {\"_id\": \"" RANGE "\", \"token\": 1, \"beat\": %s}}",
                                  beat) < (int) sizeof buffer);
      script[0].reply = buffer;
   } else if (strstr (text, " : \"eclose_")) {
      script[0].reply = answer_of (self, text, buffer, sizeof buffer);
   }
   bson_free (text);
   self->base.script = script;
   self->base.at = 0;
   answer = fake_run_command (world, call, deadline, reply, error);
   self->base.script = NULL;
   return answer;
}

static bool
wait_always (void *context, uint32_t number, int64_t now, bool *wait, char reason[ECL_THROTTLE_REASON])
{
   (void) context;
   (void) number;
   (void) now;
   *wait = true;
   bson_strncpy (reason, "told to", ECL_THROTTLE_REASON);
   return true;
}

static bool
has_looked (void *context)
{
   return ((const server_t *) context)->batch > 0;
}

/* Ten seconds at one range of users, which has nothing to be carried. */
static void
go_through (server_t *server, const char *job, const char *held, const ecl_watch_t *watch, int64_t lease_time)
{
   static const file_t files[] = {{"users/0001_a.yaml", "to: 1\nup:\n  - $set: {b: {$toUpper: $a}}\n"}, {0}};
   ecl_project_t *project = load_good (NULL, files);
   ecl_task_t task = {.chain = ecl_project_chain (project, "users"),
                      .target = 1,
                      .mode = ECL_MODE_CLIENT,
                      .form = ECL_GUARD_IN_PIPELINE,
                      .lease_time = lease_time,
                      .until = 11000,
                      .watch = watch};
   ecl_site_t site = {.database = "d", .project = project, .who = {.host = "h", .pid = 7}};
   ecl_worker_state_t state;
   bson_error_t error;

   *server =
      (server_t){.base = fake_world (NULL), .job = job, .chosen = DOCS (GOOD), .claimed = DOCS (GOOD), .held = held};
   server->base.world.run_command = serve_range;
   site.world = &server->base.world;
   site.upgrades = ecl_upgrades_new (project);
   memcpy (task.job, "\1\2\3\4\5\6\7\x8\x9\xa\xb\xc", 12);
   if (ecl_worker_run (&task, &site, 0, &state, &error) != ECL_WORKER_STOPPED) {
      fail_msg ("%s", error.message);
   }
   assert_int_equal (server->releases, server->claims);
   ecl_upgrades_destroy (site.upgrades);
   ecl_project_destroy (project);
}

/* A claim that lasts less than a second, by a worker that is told to wait: it is renewed in time. */
static void
test_short_claim_is_kept (void **state)
{
   const ecl_watch_t watch = {.advise = wait_always};
   server_t server;

   (void) state;
   go_through (&server, JOB ("\"running\""), DOCS (), &watch, 900);
   assert_int_equal (server.claims, 1);
   assert_int_equal (server.batch, 0);
   assert_in_range (server.renewals, 10000 / 600, 10000 / 300);
}

#define AT_WORK(more, left) \
   "{\"_id\": \"" RANGE more "\", \"state\": \"open\", \"range\": {\"types\": 8}, \"left\": " #left "}"
#define LIMITED "\"running\", \"settings\": {\"max_documents\": 6}"

/* A batch has no more than a second's part of the rate, which those share whose claims have not expired. */
static void
test_rate_is_shared (void **state)
{
   static const struct {
      const char *held;
      int64_t batch;
   } cases[] = {
      {DOCS (), 6},
      {DOCS (AT_WORK ("", 900)), 6},
      {DOCS (AT_WORK ("", 900) "," AT_WORK ("1", -5) "," AT_WORK ("2", 20000)), 3},
      {DOCS (AT_WORK ("", 900) "," AT_WORK ("1", 1) "," AT_WORK ("2", 20000)), 2},
      {DOCS (AT_WORK ("1", 900)), 3}, /* its own claim is not seen yet */
   };

   (void) state;
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      server_t server;
      const ecl_watch_t watch = {.context = &server, .stop = has_looked};

      go_through (&server, JOB (LIMITED), cases[i].held, &watch, 0);
      assert_int_equal (server.batch, cases[i].batch);
   }
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_not_understood), cmocka_unit_test (test_not_answered),
      cmocka_unit_test (test_none_is_found),  cmocka_unit_test (test_job_not_answered),
      cmocka_unit_test (test_job_is_gone),    cmocka_unit_test (test_short_claim_is_kept),
      cmocka_unit_test (test_rate_is_shared),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
