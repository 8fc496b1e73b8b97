/* Leases and eclose_migrate() against a server, through the driver of libmongoc.
 *
 *    leading NAME     runs one test; ECLOSE_TEST_URI and ECLOSE_TEST_DATABASE say where
 *
 * tests/integration/test_leading.py finds the names here and runs each.
 */
#include "leading_check.h"

#include <pthread.h>
#include <stdatomic.h>

/* The driver's own, where a test sees what goes by. */
static eclose_reply_t (*send_on) (void *connection, const char *database, const bson_t *command, eclose_txn_t txn,
                                  int64_t limit, bson_t *reply, bson_error_t *error);

/* ---- leases ---- */

static void
test_lease_one_at_a_time (void **state)
{
   live_t *live = *state;
   eclose_lease_t *a = new_lease (live, "{\"release\": \"r1\"}"), *b = new_lease (live, NULL);
   bson_error_t error = {0};
   bson_t holder;

   assert_false (eclose_lease_held (a));
   assert_false (eclose_lease_lost (a));
   assert_int_equal (eclose_lease_token (a), 0);
   acquire (a);
   assert_true (eclose_lease_held (a));
   assert_true (eclose_lease_left (a) > 0 && eclose_lease_left (a) <= 30000);
   assert_int_equal (eclose_lease_token (a), 1);
   assert_int_equal (eclose_lease_acquire (a, 0, &error), ECLOSE_LEASE_FAILED);
   assert_int_equal (error.domain, ECLOSE_ERROR_USAGE);
   assert_int_equal (eclose_lease_acquire (b, 0, &error), ECLOSE_LEASE_BUSY);
   assert_int_equal (error.code, ECLOSE_CODE_LEASE);
   assert_non_null (strstr (error.message, "release r1"));
   assert_int_equal (eclose_lease_acquire (b, 300, &error), ECLOSE_LEASE_BUSY);
   check (eclose_lease_holder (b, &holder, &error), &error);
   assert_string_equal (text (&holder, "release"), "r1");
   assert_int_equal (number (&holder, "token"), 1);
   bson_destroy (&holder);
   eclose_lease_release (a);
   assert_false (eclose_lease_held (a));
   assert_false (eclose_lease_lost (a));
   assert_int_equal (eclose_lease_token (a), 0);
   acquire (b);
   assert_int_equal (eclose_lease_token (b), 2);
   eclose_lease_destroy (b); /* releases */
   acquire (a);
   assert_int_equal (eclose_lease_token (a), 3);
   eclose_lease_destroy (a);
   a = new_lease (live, NULL);
   check (eclose_lease_holder (a, &holder, &error), &error);
   same_json (&holder, "{ \"held\" : false, \"token\" : 3 }");
   bson_destroy (&holder);
   eclose_lease_destroy (a);
}

static void
test_lease_beats (void **state)
{
   live_t *live = *state;
   eclose_lease_t *lease = new_lease (live, "{\"time\": 1500}");
   bson_error_t error = {0};
   bson_t holder;
   int64_t first;

   acquire (lease);
   check (eclose_lease_holder (lease, &holder, &error), &error);
   first = number (&holder, "renewed");
   bson_destroy (&holder);
   /* Twice its length at least, until it has been renewed for so long. */
   for (int64_t renewed = first; renewed < first + 3000;) {
      assert_true (eclose_lease_held (lease));
      check (eclose_lease_renew (lease, &error), &error);
      check (eclose_lease_holder (lease, &holder, &error), &error);
      assert_int_equal (number (&holder, "token"), 1);
      renewed = number (&holder, "renewed");
      bson_destroy (&holder);
   }
   eclose_lease_destroy (lease);
}

static void
test_lease_expires_without_a_heartbeat (void **state)
{
   live_t *live = *state;
   eclose_lease_t *a = new_lease (live, "{\"time\": 1500, \"max_clock_skew\": 100, \"heartbeat\": false}");
   eclose_lease_t *b = new_lease (live, "{\"time\": 1500, \"max_clock_skew\": 100}");
   bson_error_t error = {0};

   assert_false (eclose_lease_renew (a, &error));
   acquire (a);
   check (eclose_lease_renew (a, &error), &error);
   assert_int_equal (eclose_lease_acquire (b, 0, &error), ECLOSE_LEASE_BUSY);
   acquire (b); /* waits until the other one's has expired */
   assert_false (eclose_lease_held (a));
   assert_true (eclose_lease_lost (a));
   assert_int_equal (eclose_lease_token (a), 1);
   assert_int_equal (eclose_lease_token (b), 2);
   assert_false (eclose_lease_renew (a, &error));
   assert_int_equal (error.code, ECLOSE_CODE_LEASE);
   eclose_lease_release (a); /* takes nothing from the other one */
   assert_true (eclose_lease_held (b));
   check (eclose_lease_renew (b, &error), &error);
   eclose_lease_destroy (a);
   eclose_lease_destroy (b);
}

static void
test_lease_is_lost_when_it_is_broken (void **state)
{
   live_t *live = *state;
   eclose_lease_t *lease = new_lease (live, "{\"time\": 900}");

   acquire (lease);
   command (live, "{\"update\": \"eclose_lease\", \"updates\": [{\"q\": {\"_id\": \"one\"},"
                  " \"u\": {\"$set\": {\"holder\": null}, \"$inc\": {\"token\": {\"$numberLong\": \"1\"}}}}]}");
   while (eclose_lease_held (lease)) {
      struct timespec nap = {.tv_nsec = 10 * 1000 * 1000};

      nanosleep (&nap, NULL);
   }
   assert_true (eclose_lease_lost (lease));
   acquire (lease); /* again */
   assert_int_equal (eclose_lease_token (lease), 3);
   assert_false (eclose_lease_lost (lease));
   eclose_lease_destroy (lease);
}

static atomic_bool asked;

static eclose_reply_t
send_and_note (void *connection, const char *database, const bson_t *command, eclose_txn_t txn, int64_t limit,
               bson_t *reply, bson_error_t *error)
{
   atomic_store (&asked, true);
   return send_on (connection, database, command, txn, limit, reply, error);
}

static void *
cancel_when_asked (void *lease)
{
   struct timespec nap = {.tv_nsec = 10 * 1000 * 1000};

   while (!atomic_load (&asked)) {
      nanosleep (&nap, NULL);
   }
   eclose_lease_cancel (lease);
   return NULL;
}

static void
test_lease_wait_can_be_cancelled (void **state)
{
   live_t *live = *state;
   eclose_driver_t own = *live->driver;
   eclose_lease_t *a = new_lease (live, NULL), *b;
   bson_error_t error = {0};
   pthread_t thread;

   send_on = own.run_command;
   own.run_command = send_and_note;
   acquire (a);
   b = eclose_lease_new (&own, live->name, "one", NULL, &error);
   check (b != NULL, &error);
   assert_int_equal (pthread_create (&thread, NULL, cancel_when_asked, b), 0);
   assert_int_equal (eclose_lease_acquire (b, INT64_MAX, &error), ECLOSE_LEASE_FAILED);
   assert_int_equal (error.code, ECLOSE_CODE_CANCELLED);
   pthread_join (thread, NULL);
   eclose_lease_destroy (a);
   eclose_lease_destroy (b);
}

static void
test_lease_options_are_checked (void **state)
{
   live_t *live = *state;
   static const char *const wrong[] = {"{\"timely\": 1}",    "{\"time\": 10}",   "{\"time\": \"x\"}",
                                       "{\"heartbeat\": 1}", "{\"release\": 5}", "{\"time\": 9223372036854775807}"};
   bson_error_t error;

   for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
      bson_t *opts = json (wrong[i]);

      assert_null (eclose_lease_new (live->driver, live->name, "one", opts, &error));
      assert_int_equal (error.domain, ECLOSE_ERROR_USAGE);
      bson_destroy (opts);
   }
   assert_null (eclose_lease_new (live->driver, live->name, "", NULL, &error));
}

/* ---- migrate ---- */

static eclose_migrated_t
migrate (live_t *live, const char *opts_text, const eclose_migrate_watch_t *watch, bson_t *result, bson_error_t *error)
{
   bson_t *opts = opts_text ? json (opts_text) : NULL;
   eclose_migrated_t outcome;

   memset (error, 0, sizeof *error);
   outcome = eclose_migrate (live->project, live->driver, live->name, opts, watch, result, error);
   bson_destroy (opts);
   return outcome;
}

typedef struct {
   int seen[16];
   int64_t done, total;
   bool stop;
} told_t;

static void
told (void *user_data, const eclose_migrate_progress_t *progress)
{
   told_t *self = user_data;

   assert_true (progress->event > 0 && progress->event < 16);
   assert_non_null (progress->name);
   assert_int_equal (progress->text_len, strlen (progress->text));
   self->seen[progress->event]++;
   if (progress->event == ECLOSE_MIGRATE_CARRIED) {
      self->done = progress->done;
      self->total = progress->total;
   }
}

static bool
stop (void *user_data)
{
   return ((told_t *) user_data)->stop;
}

#define TWO_STEPS                                        \
   "up:\n"                                               \
   "  - insert: {collection: log, document: {_id: a}}\n" \
   "  - insert: {collection: log, document: {_id: b}}\n"

static void
test_migrate_works_and_collections (void **state)
{
   live_t *live = *state;
   told_t seen = {.stop = false};
   eclose_migrate_watch_t watch = {.user_data = &seen, .progress = told, .cancelled = stop};
   bson_error_t error;
   bson_t result;

   add_text (live->project, "eclose.yaml", "collections: {users: {unversioned: 1}}\n");
   add_text (live->project, "users/0002_split.yaml", USERS_2);
   add_text (live->project, "20260101_a.yaml", TWO_STEPS);
   load (live->project);
   put (live, "users", "{\"_id\": 1, \"name\": \"Ann Lee\"}");
   put (live, "users", "{\"_id\": 2, \"name\": \"Bo Ek\"}");
   check (migrate (live, "{\"release\": \"r7\"}", &watch, &result, &error) == ECLOSE_MIGRATED, &error);
   assert_string_equal (text (&result, "migrations.0.name"), "20260101_a");
   assert_string_equal (text (&result, "collections.0.collection"), "users");
   assert_string_equal (text (&result, "collections.0.to"), "2");
   assert_int_equal (number (&result, "collections.0.changed"), 2);
   assert_int_equal (number (&result, "collections.0.quarantined"), 0);
   bson_destroy (&result);
   assert_int_equal (seen.seen[ECLOSE_MIGRATE_BEGINS], 1);
   assert_int_equal (seen.seen[ECLOSE_MIGRATE_STEP], 2);
   assert_int_equal (seen.seen[ECLOSE_MIGRATE_ENDS], 1);
   assert_int_equal (seen.seen[ECLOSE_MIGRATE_CARRIED], 1);
   assert_int_equal (seen.done, 2);
   assert_int_equal (seen.total, 2);
   assert_int_equal (count (live, "users", "{\"first\": \"Ann\", \"schema_version\": 2}"), 1);
   assert_int_equal (count (live, "log", "{}"), 2);
   assert_int_equal (
      count (live, "eclose_changelog", "{\"_id\": \"20260101_a\", \"state\": \"applied\", \"release\": \"r7\"}"), 1);
   /* Again: nothing to do. Without a watch, a result, or options. */
   check (migrate (live, NULL, NULL, &result, &error) == ECLOSE_MIGRATED, &error);
   assert_int_equal (number (&result, "collections.0.total"), 0);
   bson_destroy (&result);
   check (migrate (live, NULL, NULL, NULL, &error) == ECLOSE_MIGRATED, &error);
}

static void
test_migrate_chooses (void **state)
{
   live_t *live = *state;
   bson_error_t error;
   bson_t result;

   add_text (live->project, "users/0001_one.yaml", "to: 1\nup: [{$set: {a: 1}}]\n");
   add_text (live->project, "20260101_a.yaml", "up: [{insert: {collection: log, document: {_id: a}}}]\n");
   add_text (live->project, "20260102_b.yaml", "up: [{insert: {collection: log, document: {_id: b}}}]\n");
   add_text (live->project, "20260103_c.yaml", "up: [{insert: {collection: log, document: {_id: c}}}]\n");
   load (live->project);
   put (live, "users", "{\"_id\": 1}");
   check (migrate (live, "{\"steps\": 1}", NULL, &result, &error) == ECLOSE_MIGRATED, &error);
   assert_false (bson_has_field (&result, "collections.0"));
   bson_destroy (&result);
   assert_int_equal (count (live, "log", "{}"), 1);
   check (migrate (live, "{\"only\": \"20260103_c\"}", NULL, NULL, &error) == ECLOSE_MIGRATED, &error);
   assert_int_equal (count (live, "log", "{\"_id\": \"c\"}"), 1);
   assert_int_equal (migrate (live, "{\"strict_order\": true}", NULL, NULL, &error), ECLOSE_MIGRATE_FAILED);
   assert_non_null (strstr (error.message, "arrived late"));
   check (migrate (live, "{\"to_migration\": \"20260102_b\"}", NULL, NULL, &error) == ECLOSE_MIGRATED, &error);
   assert_int_equal (count (live, "log", "{}"), 3);
   assert_int_equal (count (live, "users", "{\"schema_version\": 1}"), 0);
   check (migrate (live, "{\"collections\": false}", NULL, NULL, &error) == ECLOSE_MIGRATED, &error);
   assert_int_equal (count (live, "users", "{\"schema_version\": 1}"), 0);
   check (migrate (live, "{\"mode\": \"client\"}", NULL, &result, &error) == ECLOSE_MIGRATED, &error);
   assert_string_equal (text (&result, "collections.0.mode"), "client");
   bson_destroy (&result);
   assert_int_equal (count (live, "users", "{\"schema_version\": 1}"), 1);
}

/* Of everybody who is at these records the times must be the same: asked for a claim, or for the lease of a plan. */
static atomic_int asked_for_chunk, asked_for_lease;

static eclose_reply_t
send_and_see (void *connection, const char *database, const bson_t *command, eclose_txn_t txn, int64_t limit,
              bson_t *reply, bson_error_t *error)
{
   char *sent = command ? bson_as_relaxed_extended_json (command, NULL) : NULL;

   if (sent && strstr (sent, "\"findAndModify\" : \"eclose_") && strstr (sent, "\"granted\" : \"$$NOW\"")) {
      bool chunk = strstr (sent, "\"findAndModify\" : \"eclose_chunks\"") != NULL;

      if (!strstr (sent, "41357") || !strstr (sent, "7331")) {
         print_error ("%s\n", sent);
         abort ();
      }
      atomic_fetch_add (chunk ? &asked_for_chunk : &asked_for_lease, 1);
   }
   bson_free (sent);
   return send_on (connection, database, command, txn, limit, reply, error);
}

static void
test_migrate_takes_the_times_everywhere (void **state)
{
   live_t *live = *state;
   eclose_driver_t own = *live->driver;
   bson_t *opts = json ("{\"lease_time\": 41357, \"max_clock_skew\": 7331}");
   bson_error_t error = {0};

   send_on = own.run_command;
   own.run_command = send_and_see;
   add_text (live->project, "users/0001_one.yaml", "to: 1\nup: [{$set: {a: 1}}]\n");
   add_text (live->project, "20260101_a.yaml", "up: [{insert: {collection: log, document: {_id: a}}}]\n");
   load (live->project);
   put (live, "users", "{\"_id\": 1}");
   check (eclose_migrate (live->project, &own, live->name, opts, NULL, NULL, &error) == ECLOSE_MIGRATED, &error);
   assert_int_equal (asked_for_lease, 2); /* "migrations" and "backfill:users" */
   assert_true (asked_for_chunk >= 1);
   bson_destroy (opts);
}

static void
test_migrate_says_who_holds_the_lease (void **state)
{
   live_t *live = *state;
   eclose_lease_t *lease;
   bson_error_t error = {0};

   add_text (live->project, "20260101_a.yaml", TWO_STEPS);
   load (live->project);
   lease = eclose_lease_new (live->driver, live->name, "migrations", NULL, &error);
   check (lease != NULL, &error);
   acquire (lease);
   assert_int_equal (migrate (live, NULL, NULL, NULL, &error), ECLOSE_MIGRATE_BUSY);
   assert_int_equal (error.code, ECLOSE_CODE_LEASE);
   assert_int_equal (migrate (live, "{\"wait\": 200}", NULL, NULL, &error), ECLOSE_MIGRATE_BUSY);
   assert_int_equal (count (live, "log", "{}"), 0);
   eclose_lease_release (lease);
   check (migrate (live, "{\"wait\": true}", NULL, NULL, &error) == ECLOSE_MIGRATED, &error);
   eclose_lease_destroy (lease);
}

static void
test_migrate_fails_and_goes_on (void **state)
{
   live_t *live = *state;
   bson_error_t error;
   bson_t result;

   add_text (live->project, "users/0001_one.yaml", "to: 1\nup: [{$set: {a: {$divide: [1, $n]}}}]\n");
   add_text (live->project, "20260101_a.yaml",
             "up:\n"
             "  - insert: {collection: log, document: {_id: a}}\n"
             "  - assert: {collection: ready, filter: {}, min: 1, message: not ready}\n");
   load (live->project);
   put (live, "users", "{\"_id\": 1, \"n\": 1}");
   put (live, "users", "{\"_id\": 2, \"n\": 0}");
   assert_int_equal (migrate (live, NULL, NULL, &result, &error), ECLOSE_MIGRATE_FAILED);
   assert_non_null (strstr (error.message, "20260101_a.yaml:3:5: assert: not ready"));
   same_json (&result, "{ \"migrations\" : [  ], \"collections\" : [  ] }");
   bson_destroy (&result);
   put (live, "ready", "{}");
   assert_int_equal (migrate (live, NULL, NULL, &result, &error), ECLOSE_MIGRATE_QUARANTINED);
   assert_non_null (strstr (error.message, "users"));
   assert_int_equal (number (&result, "collections.0.quarantined"), 1);
   assert_int_equal (number (&result, "collections.0.changed"), 1);
   bson_destroy (&result);
   assert_int_equal (count (live, "eclose_quarantine", "{}"), 1);
   assert_int_equal (migrate (live, "{\"mode\": \"sideways\"}", NULL, NULL, &error), ECLOSE_MIGRATE_USAGE);
   assert_int_equal (migrate (live, "{\"steps\": 0}", NULL, NULL, &error), ECLOSE_MIGRATE_USAGE);
   assert_int_equal (migrate (live, "{\"waits\": true}", NULL, &result, &error), ECLOSE_MIGRATE_USAGE);
   bson_destroy (&result);
}

static void
test_migrate_can_be_cancelled (void **state)
{
   live_t *live = *state;
   told_t seen = {.stop = true};
   eclose_migrate_watch_t watch = {.user_data = &seen, .cancelled = stop};
   bson_error_t error;

   add_text (live->project, "20260101_a.yaml", TWO_STEPS);
   load (live->project);
   assert_int_equal (migrate (live, NULL, &watch, NULL, &error), ECLOSE_MIGRATE_FAILED);
   assert_int_equal (error.code, ECLOSE_CODE_CANCELLED);
   assert_int_equal (count (live, "log", "{}"), 0);
   seen.stop = false;
   check (migrate (live, NULL, &watch, NULL, &error) == ECLOSE_MIGRATED, &error);
   assert_int_equal (count (live, "log", "{}"), 2);
}

static bool
shout (const bson_t *in, bson_t *out, eclose_context_t *context, bson_error_t *error)
{
   bson_iter_t iter;

   (void) context;
   (void) error;
   bson_copy_to_excluding_noinit (in, out, "loud", NULL);
   assert_true (bson_iter_init_find (&iter, in, "name"));
   return BSON_APPEND_UTF8 (out, "loud", bson_iter_utf8 (&iter, NULL));
}

static void
test_migrate_runs_functions (void **state)
{
   live_t *live = *state;
   bson_error_t error;
   bson_t result;

   check (eclose_project_add_function (live->project, "users", "1", ECLOSE_UP, shout, NULL, &error), &error);
   load (live->project);
   put (live, "users", "{\"_id\": 1, \"name\": \"Ann\"}");
   check (migrate (live, NULL, NULL, &result, &error) == ECLOSE_MIGRATED, &error);
   assert_string_equal (text (&result, "collections.0.mode"), "client");
   assert_string_equal (text (&result, "collections.0.why"), "a migration is a function of the program");
   bson_destroy (&result);
   assert_int_equal (count (live, "users", "{\"loud\": \"Ann\", \"schema_version\": 1}"), 1);
   assert_int_equal (migrate (live, "{\"mode\": \"pushdown\"}", NULL, NULL, &error), ECLOSE_MIGRATE_FAILED);
}

/* What a program knows only from the catalog, it does not carry documents to. */
static void
test_migrate_goes_no_further_than_the_program (void **state)
{
   live_t *live = *state;
   eclose_project_t *newer = eclose_project_new ();
   bson_error_t error;

   add_text (newer, "users/0001_one.yaml", "to: 1\nup: [{$set: {a: 1}}]\n");
   add_text (newer, "users/0002_two.yaml", "to: 2\nup: [{$set: {b: 1}}]\ndown: [{$unset: b}]\n");
   load (newer);
   check (eclose_project_publish (newer, live->client, live->name, &error), &error);
   add_text (live->project, "users/0001_one.yaml", "to: 1\nup: [{$set: {a: 1}}]\n");
   check (eclose_project_add_catalog (live->project, live->client, live->name, &error), &error);
   load (live->project);
   put (live, "users", "{\"_id\": 1}");
   put (live, "users", "{\"_id\": 2, \"a\": 1, \"b\": 1, \"schema_version\": 2}");
   check (migrate (live, NULL, NULL, NULL, &error) == ECLOSE_MIGRATED, &error);
   assert_int_equal (count (live, "users", "{\"_id\": 1, \"a\": 1, \"schema_version\": 1}"), 1);
   assert_int_equal (count (live, "users", "{\"_id\": 2, \"b\": 1, \"schema_version\": 2}"), 1);
   eclose_project_destroy (newer);
}

int
main (int argc, char **argv)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown (test_lease_one_at_a_time, setup, teardown),
      cmocka_unit_test_setup_teardown (test_lease_beats, setup, teardown),
      cmocka_unit_test_setup_teardown (test_lease_expires_without_a_heartbeat, setup, teardown),
      cmocka_unit_test_setup_teardown (test_lease_is_lost_when_it_is_broken, setup, teardown),
      cmocka_unit_test_setup_teardown (test_lease_wait_can_be_cancelled, setup, teardown),
      cmocka_unit_test_setup_teardown (test_lease_options_are_checked, setup, teardown),
      cmocka_unit_test_setup_teardown (test_migrate_works_and_collections, setup, teardown),
      cmocka_unit_test_setup_teardown (test_migrate_chooses, setup, teardown),
      cmocka_unit_test_setup_teardown (test_migrate_takes_the_times_everywhere, setup, teardown),
      cmocka_unit_test_setup_teardown (test_migrate_says_who_holds_the_lease, setup, teardown),
      cmocka_unit_test_setup_teardown (test_migrate_fails_and_goes_on, setup, teardown),
      cmocka_unit_test_setup_teardown (test_migrate_can_be_cancelled, setup, teardown),
      cmocka_unit_test_setup_teardown (test_migrate_runs_functions, setup, teardown),
      cmocka_unit_test_setup_teardown (test_migrate_goes_no_further_than_the_program, setup, teardown),
   };

   return RUN_TESTS ("leading", tests, argc, argv);
}
