/* Database migrations, piece by piece, against canned replies: long steps, ranges, what a row fills in, lint of
 * rows. */
#include "fake_world.h"
#include "project_check.h"

#include "migrate/migrate-private.h"

#define OK "{\"ok\": 1, \"n\": 1}"

static size_t
one_session (ecl_world_t *self, uint8_t (*ids)[16], size_t max)
{
   (void) self;
   assert_true (max >= 1);
   memset (ids[0], 7, 16);
   return 1;
}

/* What the throttle asks is refused, and does not stand in the scripts. */
static ecl_reply_t
run_command (ecl_world_t *self, const ecl_call_t *call, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   static const char *const questions[] = {"hello", "replSetGetStatus", "serverStatus", "collStats", NULL};
   bson_iter_t iter;

   if (!bson_iter_init (&iter, call->command) || !bson_iter_next (&iter)) {
      return fake_run_command (self, call, deadline, reply, error); /* the end of a transaction */
   }
   for (int i = 0; questions[i]; i++) {
      if (strcmp (bson_iter_key (&iter), questions[i]) == 0 ||
          (call->database && (strcmp (call->database, "local") == 0))) {
         bson_init (reply);
         BSON_APPEND_INT32 (reply, "ok", 0);
         ecl_fail (error, 17, 13, "not authorized");
         return ECL_REPLY_REFUSED;
      }
   }
   return fake_run_command (self, call, deadline, reply, error);
}

typedef struct {
   fake_world_t world;
   ecl_holder_t holder;
   ecl_migrate_options_t options;
   ecl_migrate_t run;
} bench_t;

static void
bench_init (bench_t *self, const canned_t *script)
{
   memset (self, 0, sizeof *self);
   self->world = fake_world (script);
   self->world.world.sessions = one_session;
   self->world.world.run_command = run_command;
   atomic_store (&self->holder.until, INT64_MAX);
   atomic_store (&self->holder.token, 1);
   self->options = (ecl_migrate_options_t){.world = &self->world.world, .holder = &self->holder, .database = "shop"};
   self->run.options = &self->options;
   self->run.world = &self->world.world;
   ecl_arena_init (&self->run.arena);
}

static void
bench_cleanup (bench_t *self)
{
   fake_done (&self->world);
   ecl_arena_cleanup (&self->run.arena);
}

/* ---- a lease that was lost ---- */

/* What ended the work is that its lease was lost; what it said itself is kept, unless that is only that it was told to
 * end. */
static void
test_lost_lease_is_blamed (void **state)
{
   static const struct {
      uint32_t domain, code;
      const char *message, *held, *lost;
   } cases[] = {
      {17, 13, "not authorized", "not authorized", "the lease \"migrations\" was lost: not authorized"},
      {ECL_DOMAIN_RUN, ECL_ERROR_CANCELLED, "ended as asked for", "ended as asked for",
       "the lease \"migrations\" was lost"},
      {ECL_DOMAIN_STORE, ECL_ERROR_LEASE, "users: it was lost", "users: it was lost", "users: it was lost"},
   };
   fake_world_t world = fake_world (NULL);
   ecl_holder_t holder;
   bson_error_t error;

   (void) state;
   ecl_holder_init (&holder, &(ecl_holder_options_t){.database = "shop"});
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      ecl_fail (&error, cases[i].domain, cases[i].code, "%s", cases[i].message);
      atomic_store (&holder.until, world.now + 1);
      ecl_holder_blame (&holder, &world.world, &error);
      assert_string_equal (error.message, cases[i].held);
      assert_int_equal (error.code, cases[i].code);
      ecl_holder_lose (&holder);
      ecl_holder_blame (&holder, &world.world, &error);
      assert_string_equal (error.message, cases[i].lost);
      assert_true (ecl_is_lease_error (&error));
   }
   ecl_holder_cleanup (&holder);
}

/* ---- steps that outlast the answer ---- */

static bool
send_long (const canned_t *script, const char *command, bool joins, bson_error_t *error)
{
   bson_t *sent = bson_new_from_json ((const uint8_t *) command, -1, NULL), reply;
   bench_t bench;
   bool good;

   bench_init (&bench, script);
   good = ecl_migrate_send_long (&bench.run, "shop", sent, &reply, joins, error);
   bench_cleanup (&bench);
   bson_destroy (&reply);
   bson_destroy (sent);
   return good;
}

#define CURRENT "{ \"aggregate\" : 1, \"pipeline\" : [ { \"$currentOp\""

static void
test_lost_answer_of_a_long_step (void **state)
{
   const canned_t waits[] = {
      {"\"aggregate\" : \"a\"", "LOST"},
      {CURRENT, DOCS ("{\"opid\": 1}")},
      {CURRENT, "LOST"},
      {CURRENT, DOCS ("{\"opid\": 1}")},
      {CURRENT, DOCS ()},
      {"\"aggregate\" : \"a\"", OK},
      {0},
   };
   const canned_t joined[] = {{"createIndexes", "LOST"}, {"createIndexes", OK}, {0}};
   const canned_t refused[] = {{"\"aggregate\" : \"a\"", "REFUSED 17"}, {0}};
   /* Done, but not by the majority: that is as good as lost. */
   const canned_t unsure[] = {
      {"createIndexes", "{\"ok\": 1, \"writeConcernError\": {\"code\": 64, \"errmsg\": \"timeout\"}}"},
      {"createIndexes", OK},
      {0},
   };
   bson_error_t error;

   (void) state;
   assert_true (send_long (waits, "{\"aggregate\": \"a\"}", false, &error));
   assert_true (send_long (joined, "{\"createIndexes\": \"a\"}", true, &error));
   assert_false (send_long (refused, "{\"aggregate\": \"a\"}", false, &error));
   assert_true (send_long (unsure, "{\"createIndexes\": \"a\"}", true, &error));
}

/* ---- records that are somebody else's by now ---- */

#define RECORD(token, steps)                                                                          \
   "{\"ok\": 1, \"value\": {\"_id\": \"20260101_a\", \"state\": \"running\", \"direction\": \"up\", " \
   "\"steps\": " #steps ", \"attempts\": 1, \"token\": " #token "}}"
#define CLAIM "{ \"findAndModify\" : \"eclose_changelog\""
#define STEP(n) "\"u\" : [ { \"$set\" : { \"steps\" : { \"$literal\" : " #n " }"
#define END(state) "{ \"state\" : \"" state "\", \"steps\" : { \"$max\""
#define UNCHANGED "{\"ok\": 1, \"n\": 0}"

/* The claim is answered with a record that runs as well: it is ours by its token only. */
static void
test_claim_of_another (void **state)
{
   static const struct {
      canned_t script[2];
      bool good;
   } cases[] = {
      {{{CLAIM, RECORD (1, 0)}, {0}}, true},
      {{{CLAIM, RECORD (2, 0)}, {0}}, false},
   };
   bson_error_t error;
   bench_t bench;

   (void) state;
   for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      ecl_changelog_t record = {.name = "20260101_a"};

      bench_init (&bench, cases[i].script);
      bench.holder.name = (char *) "migrations";
      assert_int_equal (ecl_history_claim (&bench.world.world, &bench.holder, NULL, &record, &error), cases[i].good);
      assert_int_equal (ecl_holder_held (&bench.holder, bench.world.now), cases[i].good);
      if (!cases[i].good) {
         assert_true (ecl_is_lease_error (&error));
      }
      bench_cleanup (&bench);
   }
}

/* What a `backfill` meets that somebody else is at: it is not the lease of migrations that is lost. */
static bool
carry_busy (void *context, ecl_world_t *world, const ecl_chain_t *chain, size_t target, bool down, ecl_mode_t mode,
            bson_error_t *error)
{
   (void) context;
   (void) world;
   (void) target;
   (void) down;
   (void) mode;
   return ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE, "%s: 2 ranges are being worked on", chain->collection);
}

/* A whole migration of one step. */
static bool
run_step (const char *step, const canned_t *script, bool held, bson_error_t *error)
{
   const file_t files[] = {{"20260101_a.yaml", step}, {"users/0001_a.yaml", "to: 1\nup: []\nschema: {}\n"}, {0}};
   ecl_project_t *project = load_good (NULL, files);
   bench_t bench;
   bool good;

   bench_init (&bench, script);
   bench.holder.name = (char *) "migrations";
   bench.options.project = project;
   bench.options.hooks.carry = carry_busy;
   good = ecl_migrate_run (&bench.options, ecl_project_work (project, "20260101_a"), false, NULL, error);
   assert_int_equal (ecl_holder_held (&bench.holder, bench.world.now), held);
   bench_cleanup (&bench);
   ecl_project_destroy (project);
   return good;
}

#define INSERTS "up:\n  - insert: {collection: a, documents: [{_id: 1}]}\n"
#define CARRIES "up:\n  - backfill: {collection: users}\n"

/* A step that is not taken down, for the record is another's: nothing more is sent, least of all that it failed. */
static void
test_step_of_another (void **state)
{
   const canned_t kept[] = {
      {CLAIM, RECORD (1, 0)}, {"{ \"insert\" : \"a\"", OK}, {STEP (1), OK}, {END ("applied"), OK}, {0}};
   const canned_t lost[] = {{CLAIM, RECORD (1, 0)}, {"{ \"insert\" : \"a\"", OK}, {STEP (1), UNCHANGED}, {0}};
   const canned_t failed[] = {
      {CLAIM, RECORD (1, 0)}, {"{ \"insert\" : \"a\"", "REFUSED 13"}, {END ("failed"), OK}, {0}};
   const canned_t busy[] = {{CLAIM, RECORD (1, 0)}, {END ("failed"), OK}, {0}};
   bson_error_t error;

   (void) state;
   assert_true (run_step (INSERTS, kept, true, &error));
   assert_false (run_step (INSERTS, lost, false, &error));
   assert_true (ecl_is_lease_error (&error));
   assert_false (run_step (INSERTS, failed, true, &error));
   assert_int_equal (error.code, 13);
   assert_false (run_step (CARRIES, busy, true, &error));
   assert_true (ecl_is_lease_error (&error));
   assert_non_null (strstr (error.message, "users: 2 ranges are being worked on"));
}

/* ---- documents that are there already ---- */

#define DOUBLE(key)                                                                                             \
   "{\"ok\": 1, \"n\": 0, \"writeErrors\": [{\"index\": 0, \"code\": 11000, \"keyPattern\": {\"" key "\": 1}, " \
   "\"errmsg\": \"E11000 dup\"}]}"
#define INSERT "{ \"insert\" : \"a\""

/* An insert whose answer was lost finds its own document. At the first try it is somebody else's, and so is one with
 * another key. */
static void
test_insert_finds_its_own (void **state)
{
   const canned_t own[] = {{CLAIM, RECORD (1, 0)}, {INSERT, "LOST"},      {INSERT, DOUBLE ("_id")},
                           {STEP (1), OK},         {END ("applied"), OK}, {0}};
   const canned_t first[] = {{CLAIM, RECORD (1, 0)}, {INSERT, DOUBLE ("_id")}, {END ("failed"), OK}, {0}};
   const canned_t key[] = {
      {CLAIM, RECORD (1, 0)}, {INSERT, "LOST"}, {INSERT, DOUBLE ("email")}, {END ("failed"), OK}, {0}};
   bson_error_t error;

   (void) state;
   assert_true (run_step (INSERTS, own, true, &error));
   assert_false (run_step (INSERTS, first, true, &error));
   assert_non_null (strstr (error.message, "E11000 dup"));
   assert_false (run_step (INSERTS, key, true, &error));
   assert_non_null (strstr (error.message, "E11000 dup"));
}

/* ---- ranges ---- */

static void
test_ranges (void **state)
{
   const file_t files[] = {{"20260101_a.yaml",
                            "up:\n  - updateMany: {collection: b, filter: {x: 1}, update: {$set: {x: 2}}}\n"
                            "  - deleteMany: {collection: b, filter: {x: 3}}\n"},
                           {0}};
   ecl_project_t *project = load_good (NULL, files);
   const ecl_work_t *work = ecl_project_work (project, "20260101_a");
   const canned_t update[] = {
      {"\"filter\" : { \"x\" : 1 }, \"projection\" : { \"_id\" : 1 }, \"sort\" : { \"_id\" : 1 }",
       DOCS ("{\"_id\": 1}, {\"_id\": 2}, {\"_id\": \"s\"}")},
      /* A range never spans types. */
      {"\"$gte\" : 1, \"$lte\" : 2", "LOST"},
      {"\"$gte\" : 1, \"$lte\" : 2", OK},
      {"\"s\"", OK},
      {0},
   };
   /* What is repeatable is read from the start where the cursor is lost. */
   const canned_t anew[] = {
      {"\"find\" : \"b\"", "{\"ok\": 1, \"cursor\": {\"id\": 5, \"firstBatch\": [{\"_id\": 1}]}}"},
      {"\"getMore\" : 5", "LOST"},
      {"\"find\" : \"b\"", DOCS ("{\"_id\": 1}, {\"_id\": 2}")},
      {"\"$gte\" : 1, \"$lte\" : 2", OK},
      {0},
   };
   const canned_t refused[] = {
      {"\"find\" : \"b\"", DOCS ("{\"_id\": 1}")},
      {"{ \"delete\" : \"b\"",
       "{\"ok\": 1, \"writeErrors\": [{\"index\": 0, \"code\": 11000, \"errmsg\": \"E11000 no\"}]}"},
      {0},
   };
   bson_error_t error;
   bench_t bench;

   (void) state;
   bench_init (&bench, update);
   if (!ecl_migrate_ranges (&bench.run, &work->up.acts[0], &error)) {
      fail_msg ("%s", error.message);
   }
   bench_cleanup (&bench);
   bench_init (&bench, anew);
   assert_true (ecl_migrate_ranges (&bench.run, &work->up.acts[0], &error));
   bench_cleanup (&bench);
   bench_init (&bench, refused);
   assert_false (ecl_migrate_ranges (&bench.run, &work->up.acts[1], &error));
   assert_string_equal (error.message, "E11000 no");
   bench_cleanup (&bench);
   ecl_project_destroy (project);
}

/* ---- what a row fills in ---- */

static void
test_fill (void **state)
{
   const ecl_let_t lets[] = {{"a", {0}}, {"gone", {0}}};
   const ecl_act_t foreach = {.kind = ECL_ACT_FOREACH, .lets = lets, .n_lets = 2};
   ecl_value_t values[2] = {ecl_int32 (7), ecl_missing ()}, out;
   const ecl_row_t row = {.foreach = &foreach, .values = values};
   bson_t *in = BCON_NEW ("x", BCON_UTF8 ("$$a"), "y", "[", BCON_UTF8 ("$$a"), BCON_UTF8 ("a $$a"), "]"), copy;
   bson_t *wide = BCON_NEW ("x", BCON_UTF8 ("$$gone"));
   ecl_value_t value = ecl_raw_document (bson_get_data (in), in->len);
   ecl_arena_t arena;
   bson_error_t error;
   char *text;

   (void) state;
   ecl_arena_init (&arena);
   assert_true (ecl_migrate_fill (&arena, &row, &value, false, &out, &error));
   assert_true (ecl_value_to_raw (&arena, &out, &out, NULL));
   assert_true (bson_init_static (&copy, out.u.raw, out.len));
   text = bson_as_relaxed_extended_json (&copy, NULL);
   assert_string_equal (text, "{ \"x\" : 7, \"y\" : [ 7, \"a $$a\" ] }");
   bson_free (text);
   /* What is missing would make a filter wider. */
   value = ecl_raw_document (bson_get_data (wide), wide->len);
   assert_false (ecl_migrate_fill (&arena, &row, &value, true, &out, &error));
   ecl_arena_cleanup (&arena);
   bson_destroy (in);
   bson_destroy (wide);
}

/* ---- a transaction for each row ---- */

#define ROWS(query, body)                                                                                       \
   "up:\n  - foreach: {" query ", transaction: true}\n    let: {id: $_id, n: $n}\n    do:\n      - updateOne: " \
   "{collection: sums, filter: {_id: 1}, update: {$inc: {n: $$n}}}\n" body

static size_t
errors_of (const char *text)
{
   const file_t files[] = {{"20260101_a.yaml", text}, {0}};
   ecl_project_t *project;
   ecl_diags_t diags;
   size_t errors;

   ecl_diags_init (&diags);
   project = load (NULL, NULL, files, &diags);
   errors = diags.errors;
   ecl_diags_cleanup (&diags);
   ecl_project_destroy (project);
   return errors;
}

#define TAKES "      - updateOne: {collection: a, filter: {_id: $$id}, update: {$set: {done: true}}}\n"

static void
test_lint_of_rows (void **state)
{
   (void) state;
   assert_int_equal (errors_of (ROWS ("find: a, filter: {done: null}", TAKES)), 0);
   assert_int_equal (errors_of (ROWS ("find: a", "      - deleteOne: {collection: a, filter: {_id: $$id}}\n")), 0);
   /* Nothing takes the row away. */
   assert_int_equal (errors_of (ROWS ("find: a, filter: {done: null}", "")), 1);
   assert_int_equal (errors_of (ROWS ("find: a, filter: {other: null}", TAKES)), 1);
   assert_int_equal (errors_of (ROWS ("find: b, filter: {done: null}", TAKES)), 1);
   assert_int_equal (errors_of (ROWS ("find: a, filter: {done: null}", "") "    repeatable: because I say so\n"), 0);
   /* A row cannot be looked at again. */
   assert_int_equal (errors_of (ROWS ("aggregate: a, pipeline: []", TAKES)), 1);
   assert_int_equal (errors_of (ROWS ("find: a, filter: {done: null}, projection: {_id: 0}", TAKES)), 1);
}

static bool
row (const ecl_act_t *foreach, const canned_t *script, bson_error_t *error)
{
   ecl_value_t values[2] = {ecl_int32 (5), ecl_int32 (3)};
   ecl_row_t row = {.foreach = foreach, .values = values, .id = ecl_int32 (5)};
   bench_t bench;
   bool good;

   bench_init (&bench, script);
   bench.holder.name = (char *) "migrations";
   bench.world.transactions = true;
   good = ecl_migrate_row (&bench.run, foreach, &row, error);
   bench_cleanup (&bench);
   return good;
}

static void
test_row (void **state)
{
   const file_t files[] = {{"20260101_a.yaml", ROWS ("find: a, filter: {done: null}", TAKES)}, {0}};
   ecl_project_t *project = load_good (NULL, files);
   const ecl_act_t *foreach = &ecl_project_work (project, "20260101_a")->up.acts[0];
   const canned_t done[] = {
      {"\"find\" : \"a\", \"filter\" : { \"$and\" : [ { \"_id\" : { \"$eq\" : 5 } }, { \"done\" : null } ] }",
       DOCS ("{\"_id\": 5}")},
      {"\"update\" : \"sums\"", "REFUSED 112"},
      {"{ }", "{\"ok\": 1}"}, /* ends it; the whole row again */
      {"\"find\" : \"a\"", DOCS ("{\"_id\": 5}")},
      {"\"$inc\" : { \"n\" : 3 }", OK},
      {"\"update\" : \"a\"", OK},
      {"\"touched\"", OK},
      {"{ }", "LOST"}, /* the commit: the next try sees what came of it */
      {"\"find\" : \"a\"", DOCS ()},
      {"{ }", "{\"ok\": 1}"},
      {0},
   };
   const canned_t away[] = {
      {"\"find\" : \"a\"", "LOST"},
      {"{ }", "LOST"},
      {"\"find\" : \"a\"", DOCS ("{\"_id\": 5}")},
      {"\"update\" : \"sums\"", "LOST"},
      {"{ }", "{\"ok\": 1}"},
      {"\"find\" : \"a\"", DOCS ("{\"_id\": 5}")},
      {"\"update\" : \"sums\"", OK},
      {"\"update\" : \"a\"", OK},
      {"\"touched\"", OK},
      {"{ }", "{\"ok\": 1}"},
      {0},
   };
   bson_error_t error;

   (void) state;
   if (!row (foreach, done, &error) || !row (foreach, away, &error)) {
      fail_msg ("%s", error.message);
   }
   ecl_project_destroy (project);
}

/* ---- steps in a transaction ---- */

#define NOTE "\"update\" : \"eclose_changelog\""

static bool
transact (const canned_t *script, int64_t *waited, bson_error_t *error)
{
   const file_t files[] = {{"20260101_a.yaml",
                            "up:\n  - transaction:\n      - insert: {collection: a, document: {x: 1}}\n"
                            "      - assert: {collection: b, filter: {}, count: 0}\n"},
                           {0}};
   ecl_project_t *project = load_good (NULL, files);
   bench_t bench;
   bool good;

   bench_init (&bench, script);
   bench.holder.name = (char *) "migrations";
   bench.world.transactions = true;
   bench.run.record.name = "20260101_a";
   bench.run.record.token = 1;
   good = ecl_migrate_transaction (&bench.run, &ecl_project_work (project, "20260101_a")->up.acts[0], 1, error);
   *waited = bench.world.waited;
   if (!script[bench.world.at].reply || strcmp (script[bench.world.at].reply, "LOST") != 0) {
      fake_done (&bench.world); /* the one that ends by itself does not end the script */
   }
   ecl_arena_cleanup (&bench.run.arena);
   ecl_project_destroy (project);
   return good;
}

/* An answer that is lost, or that the server calls transient, in any place: all of it is tried again. */
static void
test_transaction (void **state)
{
   const canned_t away[] = {
      {NOTE, "LOST"},
      {"{ }", "LOST"}, /* it cannot be given up, either */
      {NOTE, OK},
      {INSERT, "LOST"},
      {"{ }", "{\"ok\": 1}"},
      {NOTE, OK},
      {INSERT, "REFUSED 8 TransientTransactionError"},
      {"{ }", "{\"ok\": 1}"},
      {NOTE, OK},
      {INSERT, OK},
      {"\"aggregate\" : \"b\"", "LOST"},
      {"{ }", "{\"ok\": 1}"},
      {NOTE, OK},
      {INSERT, OK},
      {"\"aggregate\" : \"b\"", DOCS ()},
      {"\"touched\"", "LOST"},
      {"{ }", "{\"ok\": 1}"},
      {NOTE, OK},
      {INSERT, OK},
      {"\"aggregate\" : \"b\"", DOCS ()},
      {"\"touched\"", OK},
      {"{ }", "LOST"}, /* the commit, which took effect: the record says so */
      {"\"find\" : \"eclose_changelog\"",
       DOCS ("{\"_id\": \"20260101_a\", \"state\": \"running\", \"token\": 1, \"steps\": 1}")},
      {0},
   };
   const canned_t refused[] = {{NOTE, OK}, {INSERT, "REFUSED 13"}, {"{ }", "{\"ok\": 1}"}, {0}};
   const canned_t twice[] = {
      {NOTE, OK},
      {INSERT, "{\"ok\": 1, \"writeErrors\": [{\"index\": 0, \"code\": 11000, \"errmsg\": \"E11000 no\"}]}"},
      {"{ }", "{\"ok\": 1}"},
      {0}};
   enum { MOST = 400 };
   canned_t gone[MOST + 1] = {{0}};
   bson_error_t error;
   int64_t waited;

   (void) state;
   if (!transact (away, &waited, &error)) {
      fail_msg ("%s", error.message);
   }
   assert_false (transact (refused, &waited, &error));
   assert_false (transact (twice, &waited, &error));
   assert_string_equal (error.message, "insert: E11000 no");
   assert_int_equal (waited, 0);
   /* A server that stays away ends it, after a minute. */
   for (int i = 0; i < MOST; i++) {
      gone[i] = (canned_t){i % 2 ? "{ }" : NOTE, "LOST"};
   }
   assert_false (transact (gone, &waited, &error));
   assert_string_equal (error.message, "the connection was cut");
   assert_true (waited >= 60000 && waited < 62000);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_lost_lease_is_blamed),
      cmocka_unit_test (test_lost_answer_of_a_long_step),
      cmocka_unit_test (test_claim_of_another),
      cmocka_unit_test (test_step_of_another),
      cmocka_unit_test (test_insert_finds_its_own),
      cmocka_unit_test (test_ranges),
      cmocka_unit_test (test_fill),
      cmocka_unit_test (test_lint_of_rows),
      cmocka_unit_test (test_row),
      cmocka_unit_test (test_transaction),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
