/* The backfill against canned replies: passes, conflicts, lost replies, ranges that fail, transactions. */
#include "backfill_check.h"

#define OK "{\"ok\": 1, \"n\": 1, \"nModified\": 1}"
#define PASS_END                      \
   {                                  \
      "\"find\" : \"users\"", DOCS () \
   }

static void
test_nothing_to_do (void **state)
{
   const canned_t script[] = {
      {"\"find\" : \"users\"", DOCS ()},
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_script (ECL_MODE_CLIENT, true, script, true, &result);
   assert_false (result.wrote);
   assert_int_equal (result.passes, 1);
}

/* The index of _id is named, or the server might sort what another one gives; not where there is no other. */
static void
test_hint (void **state)
{
   const canned_t hinted[] = {
      {"\"sort\" : { \"_id\" : 1 }, \"hint\" : { \"_id\" : 1 }, \"readConcern\"", DOCS ()},
      {0},
   };
   const canned_t unhinted[] = {
      {"\"sort\" : { \"_id\" : 1 }, \"readConcern\"", DOCS ()},
      {0},
   };
   ecl_backfill_options_t options = {.mode = ECL_MODE_CLIENT, .unhinted = true};
   ecl_backfill_result_t result;
   fake_world_t world;

   (void) state;
   run_script (ECL_MODE_CLIENT, true, hinted, true, &result);
   world = fake_world (hinted); /* any _id may be in it */
   run_users (options, &world, NULL, true, &result, NULL);
   options.range.types = ECL_IDS_NUMBER;
   world = fake_world (unhinted);
   run_users (options, &world, NULL, true, &result, NULL);
}

/* An old release that goes on inserting: a third pass in which all was carried at the first try is enough; one in which
 * something was read again is not. */
static void
test_what_comes_without_end (void **state)
{
   const canned_t script[] = {
      {"\"find\" : \"users\"", DOCS (USER (1, 1))},
      {"\"update\" : \"users\"", OK},
      {"\"find\" : \"users\"", DOCS (USER (2, 1))},
      {"\"update\" : \"users\"", OK},
      {"\"find\" : \"users\"", DOCS (USER (3, 1))},
      {"\"update\" : \"users\"", "LOST"},
      {"{ \"$in\" : [ 3 ] }", DOCS ()},
      {"\"find\" : \"users\"", DOCS (USER (4, 1))},
      {"\"update\" : \"users\"", OK},
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_script (ECL_MODE_CLIENT, true, script, true, &result);
   assert_int_equal (result.passes, 4);
   assert_int_equal (result.counts.changed, 3);
}

static void
test_conflict_is_read_again (void **state)
{
   const canned_t script[] = {
      {"\"sort\" : { \"_id\" : 1 }", DOCS (USER (1, 1) "," USER (2, 1))},
      {"\"update\" : \"users\"", "{\"ok\": 1, \"n\": 2, \"nModified\": 1}"},
      {"{ \"$in\" : [ 1, 2 ] }", DOCS (USER (2, 5))},
      {"\"n\" : { \"$cond\" : [ \"$__eclose_unchanged\", 6", OK},
      PASS_END,
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_script (ECL_MODE_CLIENT, true, script, true, &result);
   assert_int_equal (result.counts.changed, 2);
   assert_int_equal (result.counts.conflicts, 1);
   assert_int_equal (result.passes, 2);
}

/* An update whose reply is lost may have done its work or not: it is never sent again as it is. */
static void
test_lost_write_is_read_again (void **state)
{
   const canned_t script[] = {
      {"\"find\" : \"users\"", "LOST"},
      {"\"find\" : \"users\"", DOCS (USER (1, 1))},
      {"\"update\" : \"users\"", "LOST"},
      {"{ \"$in\" : [ 1 ] }", DOCS ()},
      PASS_END,
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_script (ECL_MODE_CLIENT, true, script, true, &result);
   assert_int_equal (result.counts.quarantined, 0);
}

#define LATE(n)                                    \
   "{\"ok\": 1, \"n\": " #n ", \"nModified\": " #n \
   ", \"writeConcernError\": {\"code\": 64, \"errmsg\": \"waiting for replication timed out\"}}"
#define NOTHING_NEW "{\"ok\": 1, \"n\": 2, \"nModified\": 0}"

/* What the majority does not have yet is no checkpoint's: the command is sent until the majority has all of it, and
 * then the batch is read again, because what it did may have been rolled back. */
static void
test_majority_is_waited_for (void **state)
{
   const canned_t here[] = {
      {"\"find\" : \"users\"", DOCS (USER (1, 1) "," USER (2, 1))},
      {"\"update\" : \"users\"", LATE (2)},
      {"\"update\" : \"users\"", LATE (0)},
      {"\"update\" : \"users\"", "LOST"},
      {"\"update\" : \"users\"", NOTHING_NEW},
      {"{ \"$in\" : [ 1, 2 ] }", DOCS (USER (2, 1))}, /* rolled back */
      {"\"q\" : { \"_id\" : 2 }", OK},
      PASS_END,
      {0},
   };
   const canned_t pushed[] = {
      {"\"projection\"", DOCS ("{\"_id\": 1, \"schema_version\": 1}, {\"_id\": 2, \"schema_version\": 1}")},
      {"\"multi\" : true", LATE (2)},
      {"\"multi\" : true", NOTHING_NEW},
      {"\"_id\" : { \"$gte\" : 1, \"$lte\" : 2 }", DOCS ()},
      PASS_END,
      {0},
   };
   const canned_t quarantine[] = {
      {"\"find\" : \"users\"", DOCS ("{\"_id\": 1, \"k\": \"bad\", \"schema_version\": 1}")},
      {"\"update\" : \"eclose_quarantine\"", LATE (1)},
      {"\"update\" : \"eclose_quarantine\"", OK},
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_script (ECL_MODE_CLIENT, true, here, true, &result);
   assert_int_equal (result.counts.changed, 3);
   assert_int_equal (result.counts.conflicts, 0);
   run_script (ECL_MODE_PUSHDOWN, true, pushed, true, &result);
   assert_int_equal (result.counts.changed, 2);
   assert_int_equal (result.mode, ECL_MODE_PUSHDOWN);
   run_script (ECL_MODE_CLIENT, true, quarantine, true, &result);
   assert_int_equal (result.counts.quarantined, 1);
}

static void
test_majority_that_never_comes (void **state)
{
#define LATE_WRITE                       \
   {                                     \
      "\"update\" : \"users\"", LATE (0) \
   }
   const canned_t script[] = {
      {"\"find\" : \"users\"", DOCS (USER (1, 1))},
      LATE_WRITE,
      LATE_WRITE,
      LATE_WRITE,
      LATE_WRITE,
      LATE_WRITE,
      LATE_WRITE,
      LATE_WRITE,
      LATE_WRITE,
      LATE_WRITE,
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_script (ECL_MODE_CLIENT, true, script, false, &result);
   assert_true (result.lost); /* worth another try, from the last checkpoint */
   assert_string_equal (result.error.message,
                        "users: the majority did not have a write in time: waiting for replication timed out");
}

#define PASSING(code)                                                                          \
   "{\"ok\": 1, \"n\": 0, \"nModified\": 0, \"writeErrors\": [{\"index\": 0, \"code\": " #code \
   ", \"errmsg\": \"host unreachable\"}]}"

/* A record that the server could not write just now is written again: nothing else says where its document stands. */
static void
test_quarantine_is_written_again (void **state)
{
/* clang-format off */
#define BAD_USER {"\"find\" : \"users\"", DOCS ("{\"_id\": 1, \"k\": \"bad\", \"schema_version\": 1}")}
#define PASSING_WRITE {"\"update\" : \"eclose_quarantine\"", PASSING (6)}
   /* clang-format on */
   const canned_t script[] = {
      BAD_USER,
      PASSING_WRITE,
      {"\"update\" : \"eclose_quarantine\"", PASSING (91)},
      {"\"update\" : \"eclose_quarantine\"", "LOST"},
      /* Two at once made it. */
      {"\"update\" : \"eclose_quarantine\"", PASSING (11000)},
      {0},
   };
   const canned_t never[] = {
      BAD_USER,      PASSING_WRITE, PASSING_WRITE, PASSING_WRITE, PASSING_WRITE, PASSING_WRITE,
      PASSING_WRITE, PASSING_WRITE, PASSING_WRITE, PASSING_WRITE, {0},
   };
   const canned_t refused[] = {BAD_USER, {"\"update\" : \"eclose_quarantine\"", PASSING (2)}, {0}};
   ecl_backfill_result_t result;

   (void) state;
   run_script (ECL_MODE_CLIENT, true, script, true, &result);
   assert_int_equal (result.counts.quarantined, 1);
   run_script (ECL_MODE_CLIENT, true, never, false, &result);
   assert_true (result.lost); /* worth another try, from the last checkpoint */
   assert_string_equal (result.error.message, "users: eclose_quarantine: host unreachable");
   run_script (ECL_MODE_CLIENT, true, refused, false, &result);
   assert_false (result.lost);
}

/* A hundred records are one command, however many documents of a batch fail: a slow server has to answer it before the
 * claim on the range is over. */
static void
test_quarantine_by_the_hundred (void **state)
{
   bson_string_t *users = bson_string_new ("");
   const canned_t written = {"\"update\" : \"eclose_quarantine\"", OK};
   canned_t script[] = {{"\"find\" : \"users\"", NULL}, written, written, written, {0}};
   ecl_backfill_result_t result;
   char *reply;

   (void) state;
   for (int i = 0; i < 250; i++) {
      bson_string_append_printf (users, "%s{\"_id\": %d, \"k\": \"bad\", \"schema_version\": 1}", i ? "," : "", i);
   }
   script[0].reply = reply = bson_strdup_printf (DOCS ("%s"), users->str);
   run_script (ECL_MODE_CLIENT, true, script, true, &result);
   assert_int_equal (result.counts.quarantined, 250);
   bson_free (reply);
   bson_string_free (users, true);
}

/* A collection of an application that writes each document between each read and write. */
typedef struct {
   fake_world_t fake;
   const char *users; /* the reply that holds them */
   size_t records, most, commands;
} busy_world_t;

static ecl_reply_t
busy_run_command (ecl_world_t *self, const ecl_call_t *call, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   busy_world_t *world = (busy_world_t *) self;
   bool find = bson_has_field (call->command, "find");
   bson_iter_t iter, updates;
   bson_t *parsed;
   size_t n = 0;

   (void) deadline;
   memset (error, 0, sizeof *error);
   if (bson_iter_init_find (&iter, call->command, "update") &&
       strcmp (bson_iter_utf8 (&iter, NULL), "eclose_quarantine") == 0) {
      assert_true (bson_iter_init_find (&iter, call->command, "updates") && bson_iter_recurse (&iter, &updates));
      while (bson_iter_next (&updates)) {
         n++;
      }
      world->records += n;
      world->most = n > world->most ? n : world->most;
      world->commands++;
   }
   parsed = bson_new_from_json ((const uint8_t *) (find ? world->users : "{\"ok\": 1, \"n\": 0, \"nModified\": 0}"), -1,
                                error);
   assert_non_null (parsed);
   bson_copy_to (parsed, reply);
   bson_destroy (parsed);
   return ECL_REPLY_OK;
}

/* The same where a document changes again and again. */
static void
test_conflicts_by_the_hundred (void **state)
{
   const canned_t none[] = {{0}};
   bson_string_t *users = bson_string_new ("");
   busy_world_t world = {.fake = fake_world (none)};
   ecl_backfill_options_t options = {.mode = ECL_MODE_CLIENT, .transactions = true};
   ecl_backfill_result_t result;
   char *reply;

   (void) state;
   for (int i = 0; i < 250; i++) {
      bson_string_append_printf (users, "%s{\"_id\": %d, \"a\": \"x\", \"k\": 1, \"schema_version\": 1}", i ? "," : "",
                                 i);
   }
   world.users = reply = bson_strdup_printf (DOCS ("%s"), users->str);
   world.fake.world.run_command = busy_run_command;
   run_users (options, &world.fake, NULL, true, &result, NULL);
   assert_int_equal (result.counts.quarantined, 250);
   assert_int_equal (world.records, 250);
   assert_int_equal (world.most, 100);
   assert_int_equal (world.commands, 3);
   bson_free (reply);
   bson_string_free (users, true);
}

/* A rate in bytes holds where the server works, too: it is asked how large the documents are. */
static void
test_sizes_of_documents_that_are_not_read (void **state)
{
   const canned_t script[] = {
      {"\"__eclose_size\" : { \"$bsonSize\" : \"$$ROOT\" }",
       DOCS ("{\"_id\": 1, \"schema_version\": 1, \"__eclose_size\": 500}, "
             "{\"_id\": 2, \"schema_version\": 1, \"__eclose_size\": {\"$numberLong\": \"700\"}}")},
      {"\"multi\" : true", "{\"ok\": 1, \"n\": 2, \"nModified\": 2}"},
      {0},
   };
   ecl_backfill_options_t options = {.mode = ECL_MODE_PUSHDOWN, .transactions = true, .once = true, .sizes = true};
   ecl_backfill_batch_t last;
   ecl_backfill_result_t result;
   fake_world_t world;

   (void) state;
   world = fake_world (script);
   run_users (options, &world, NULL, true, &result, &last);
   assert_true (last.whole);
   assert_int_equal (last.bytes, 1200);
   assert_int_equal (last.documents, 2);
}

/* A find of MongoDB 4.2 computes nothing: then the documents are read. */
static void
test_sizes_that_no_find_computes (void **state)
{
   const canned_t script[] = {
      {"\"$bsonSize\" : \"$$ROOT\"", "REFUSED 2"},
      {"] } ] }, \"sort\"", DOCS (USER (1, 1))},
      {"\"multi\" : true", "{\"ok\": 1, \"n\": 1, \"nModified\": 1}"},
      {0},
   };
   ecl_backfill_options_t options = {.mode = ECL_MODE_PUSHDOWN, .transactions = true, .once = true, .sizes = true};
   ecl_backfill_result_t result;
   ecl_backfill_batch_t last;
   fake_world_t world;

   (void) state;
   world = fake_world (script);
   run_users (options, &world, NULL, true, &result, &last);
   assert_true (last.whole);
   assert_in_range (last.bytes, 40, 80);
}

static void
test_failed_range_is_done_here (void **state)
{
   const canned_t script[] = {
      {"\"projection\" : { \"_id\" : 1, \"schema_version\" : 1 }",
       DOCS ("{\"_id\": 1, \"schema_version\": 1}, {\"_id\": 2, \"schema_version\": 1}, {\"_id\": \"s\", "
             "\"schema_version\": 1}")},
      {"{ \"q\" : { \"$and\" : [ { \"_id\" : { \"$gte\" : 1, \"$lte\" : 2 } }",
       "{\"ok\": 1, \"n\": 1, \"nModified\": 1, \"writeErrors\": [{\"index\": 0, \"code\": 14, \"errmsg\": \"no\"}]}"},
      {"\"_id\" : { \"$gte\" : 1, \"$lte\" : 2 }", DOCS ("{\"_id\": 2, \"a\": \"x\", \"k\": \"bad\", "
                                                         "\"schema_version\": 1}")},
      {"\"update\" : \"eclose_quarantine\"", OK},
      {"\"find\" : \"users\"", DOCS ("{\"_id\": 2, \"a\": \"x\", \"k\": \"bad\", \"schema_version\": 1}")},
      {"\"update\" : \"eclose_quarantine\"", OK},
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_script (ECL_MODE_PUSHDOWN, true, script, true, &result);
   assert_int_equal (result.counts.changed, 2); /* _id "s" by the reply, _id 1 because the second reading lacks it */
   assert_int_equal (result.counts.quarantined, 1);
   assert_int_equal (result.counts.redone, 1);
}

/* Which version a document has that names none, only the whole of it says: that of those that `detect` does not find
 * is sent for, too. */
static void
test_versions_that_ids_do_not_tell (void **state)
{
   static const char config[] = "database: shop\n"
                                "collections: {users: {unversioned: 1, detect: [{version: 2, filter: {old: null}}]}}\n";
   static const char step[] = "to: 2\ndescription: d\nup:\n  - $unset: old\n";
   const file_t files[] = {{"users/0002_step.yaml", step}, {0}};
   const canned_t script[] = {
      {"\"projection\" : { \"_id\" : 1, \"schema_version\" : 1 }", DOCS ("{\"_id\": 1}")},
      {"\"$nor\" : [ { \"old\" : null } ]", OK},
      {0},
   };
   ecl_backfill_options_t options = {.mode = ECL_MODE_PUSHDOWN, .once = true};
   fake_world_t world = fake_world (script);
   ecl_backfill_result_t result;

   (void) state;
   run_backfill (config, files, "users", options, &world, NULL, true, &result, NULL);
   assert_int_equal (result.counts.pushed, 1);
}

#define PUSHED(id) "{\"_id\": " #id ", \"schema_version\": 1}"
#define LOST_RANGE(id)                                                          \
   {"\"multi\" : true", "LOST"}, {"\"find\" : \"users\"", DOCS (USER (id, 1))}, \
   {                                                                            \
      "\"update\"", OK                                                          \
   }
#define NEXT(id, more) "{\"ok\": 1, \"cursor\": {\"id\": " #more ", \"nextBatch\": [" PUSHED (id) "]}}"

/* Writes that are lost now and then, with others between them that are not, do not mean that the server cannot do it. */
static void
test_losses_between_successes (void **state)
{
   const canned_t script[] = {
      {"\"find\" : \"users\"", "{\"ok\": 1, \"cursor\": {\"id\": 9, \"firstBatch\": [" PUSHED (1) "]}}"},
      LOST_RANGE (1),
      {"\"getMore\"", NEXT (2, 9)},
      {"\"multi\" : true", OK},
      {"\"getMore\"", NEXT (3, 9)},
      LOST_RANGE (3),
      {"\"getMore\"", NEXT (4, 9)},
      {"\"multi\" : true", OK},
      {"\"getMore\"", NEXT (5, 9)},
      LOST_RANGE (5),
      {"\"getMore\"", NEXT (6, 0)},
      {"\"multi\" : true", OK},
      {0},
   };
   ecl_backfill_options_t options = {.mode = ECL_MODE_PUSHDOWN, .once = true};
   fake_world_t world = fake_world (script);
   ecl_backfill_result_t result;

   (void) state;
   run_users (options, &world, NULL, true, &result, NULL);
   assert_int_equal (result.mode, ECL_MODE_PUSHDOWN);
   assert_int_equal (result.counts.redone, 3);
   assert_int_equal (result.counts.pushed, 3);
}

/* A server that refuses the command as a whole for one bad statement. */
static void
test_one_by_one (void **state)
{
   const canned_t script[] = {
      {"\"find\" : \"users\"", DOCS (USER (1, 1) "," USER (2, 1))},
      {"\"update\" : \"users\"", "REFUSED 14"},
      {"\"q\" : { \"_id\" : 1 }", OK},
      {"\"q\" : { \"_id\" : 2 }", "REFUSED 121"},
      {"\"code\" : 121", OK},
      {"\"find\" : \"users\"", DOCS (USER (2, 1))},
      {"\"update\" : \"users\"", "REFUSED 121"},
      {"\"code\" : 121", OK},
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_script (ECL_MODE_CLIENT, true, script, true, &result);
   assert_int_equal (result.counts.changed, 1);
   assert_int_equal (result.counts.quarantined, 1);
}

#define CART "{\"_id\": 1, \"a\": \"x\", \"k\": {\"$numberInt\": \"1\"}, \"b\": [{\"n\": [1]}], \"schema_version\": 1}"
#define TXN_CONFLICT                                                                                  \
   {"\"limit\" : 1, \"singleBatch\" : true", DOCS (CART)}, {"\"update\" : \"users\"", "REFUSED 112"}, \
   {                                                                                                  \
      "abortTransaction", "{\"ok\": 1}"                                                               \
   }
#define TXN_PASS TXN_CONFLICT, TXN_CONFLICT, TXN_CONFLICT, TXN_CONFLICT, TXN_CONFLICT

/* Numbers in documents of an array: a transaction; and one that never gets through is set aside in the end. A commit
 * that the majority did not have in time says nothing against the document. */
static void
test_transactions (void **state)
{
   const canned_t done[] = {
      {"\"find\" : \"users\"", DOCS (CART)},
      TXN_CONFLICT,
      {"\"limit\" : 1, \"singleBatch\" : true", DOCS (CART)},
      {"\"u\" : { \"_id\" : 1, \"a\" : \"x\", \"k\" : 1, \"b\" : \"X\", \"schema_version\" : 2, \"n\" : 2 }", OK},
      {"commitTransaction", "{\"ok\": 1}"},
      PASS_END,
      {0},
   };
   const canned_t late[] = {
      {"\"find\" : \"users\"", DOCS (CART)},
      {"\"limit\" : 1, \"singleBatch\" : true", DOCS (CART)},
      {"\"update\" : \"users\"", OK},
      {"commitTransaction", "REFUSED 64"},
      {"abortTransaction", "{\"ok\": 1}"},
      {"\"limit\" : 1, \"singleBatch\" : true", DOCS ("{\"_id\": 1, \"schema_version\": 2}")},
      {"abortTransaction", "{\"ok\": 1}"},
      PASS_END,
      {0},
   };
   const canned_t never[] = {
      {"\"find\" : \"users\"", DOCS (CART)},
      TXN_PASS,
      {"\"find\" : \"users\"", DOCS (CART)},
      TXN_PASS,
      {"\"find\" : \"users\"", DOCS (CART)},
      TXN_PASS,
      {"\"find\" : \"users\"", DOCS (CART)},
      TXN_PASS,
      {"\"code\" : 112", OK},
      {0},
   };
   const canned_t none[] = {
      {"\"find\" : \"users\"", DOCS (CART)},
      {"and this server has none", OK},
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_script (ECL_MODE_CLIENT, true, done, true, &result);
   assert_int_equal (result.counts.transactions, 1);
   run_script (ECL_MODE_CLIENT, true, late, true, &result);
   assert_int_equal (result.counts.quarantined, 0);
   run_script (ECL_MODE_CLIENT, true, never, true, &result);
   assert_int_equal (result.counts.quarantined, 1);
   run_script (ECL_MODE_CLIENT, false, none, true, &result);
   assert_int_equal (result.counts.quarantined, 1);
}

/* A replacement would have the present time where a timestamp of zero stands. */
static void
test_transaction_keeps_zero_timestamps (void **state)
{
   const char cart[] = "{\"_id\": 1, \"a\": \"x\", \"k\": {\"$numberInt\": \"1\"}, \"b\": [{\"n\": [1]}], "
                       "\"t\": {\"$timestamp\": {\"t\": 0, \"i\": 0}}, \"schema_version\": 1}";
   char reply[400];
   const canned_t script[] = {
      {"\"find\" : \"users\"", reply},
      {"\"limit\" : 1, \"singleBatch\" : true", reply},
      {"\"u\" : [ { \"$replaceWith\" : { \"$literal\" : { \"_id\" : 1, \"a\" : \"x\", \"k\" : 1, \"b\" : \"X\", "
       "\"t\" : { \"$timestamp\" : { \"t\" : 0, \"i\" : 0 } }, \"schema_version\" : 2, \"n\" : 2 } } } ] }",
       OK},
      {"commitTransaction", "{\"ok\": 1}"},
      PASS_END,
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   snprintf (reply, sizeof reply, DOCS ("%s"), cart);
   run_script (ECL_MODE_CLIENT, true, script, true, &result);
   assert_int_equal (result.counts.transactions, 1);
}

/* A transaction that the server gave up says nothing against the document, wherever it was: the server names it so, or
 * its code does (251: NoSuchTransaction). */
static void
test_given_up_transactions (void **state)
{
   const canned_t script[] = {
      {"\"find\" : \"users\"", DOCS (CART)},
      {"\"limit\" : 1, \"singleBatch\" : true", "REFUSED 290 TransientTransactionError"},
      {"abortTransaction", "{\"ok\": 1}"},
      {"\"limit\" : 1, \"singleBatch\" : true", DOCS (CART)},
      {"\"update\" : \"users\"", "REFUSED 251"},
      {"abortTransaction", "{\"ok\": 1}"},
      {"\"limit\" : 1, \"singleBatch\" : true", DOCS (CART)},
      {"\"update\" : \"users\"", OK},
      {"commitTransaction", "REFUSED 251 TransientTransactionError"},
      {"abortTransaction", "{\"ok\": 1}"},
      {"\"limit\" : 1, \"singleBatch\" : true", DOCS (CART)},
      {"\"update\" : \"users\"", OK},
      {"commitTransaction", "{\"ok\": 1}"},
      PASS_END,
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_script (ECL_MODE_CLIENT, true, script, true, &result);
   assert_int_equal (result.counts.transactions, 1);
   assert_int_equal (result.counts.quarantined, 0);
}

static void
note_refused (void *context, const ecl_backfill_t *machine)
{
   const ecl_backfill_result_t *result = ecl_backfill_result (machine);

   if (*result->refused) {
      bson_strncpy (context, result->refused, sizeof result->refused);
   }
}

/* A server that is short of something, or a router that finds no primary: the documents are not at fault. */
static void
test_passing_refusals (void **state)
{
   static const int codes[] = {82, 90, 133, 134, 145, 365, 371, 462, 471, 10107, 14031, 10045600};
   ecl_backfill_result_t result;

   (void) state;
   for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
      char refused[32], failed[160], said[sizeof result.refused] = "";
      ecl_backfill_hooks_t hooks = {.context = said, .progress = note_refused};
      fake_world_t world;
      const canned_t script[] = {
         {"\"find\" : \"users\"", DOCS (USER (1, 1))},
         {"\"update\" : \"users\"", refused},
         {"\"$in\" : [ 1 ]", DOCS (USER (1, 1))},
         {"\"update\" : \"users\"", failed},
         {"\"$in\" : [ 1 ]", DOCS (USER (1, 1))},
         {"\"update\" : \"users\"", OK},
         PASS_END,
         {0},
      };

      snprintf (refused, sizeof refused, "REFUSED %d", codes[i]);
      snprintf (failed, sizeof failed,
                "{\"ok\": 1, \"n\": 0, \"nModified\": 0, \"writeErrors\": [{\"index\": 0, \"code\": %d, "
                "\"errmsg\": \"no space left\"}]}",
                codes[i]);
      world = fake_world (script);
      run_users ((ecl_backfill_options_t){.mode = ECL_MODE_CLIENT, .transactions = true}, &world, &hooks, true, &result,
                 NULL);
      assert_int_equal (result.counts.changed, 1);
      assert_int_equal (result.counts.quarantined, 0);
      /* Whoever waits is told what for, as long as it is so. */
      assert_string_equal (said, "no space left");
      assert_string_equal (result.refused, "");
   }
}

static void
test_no_permission_ends_it (void **state)
{
   const canned_t script[] = {
      {"\"find\" : \"users\"", DOCS (USER (1, 1))},
      {"\"update\" : \"users\"", "REFUSED 13"},
      {0},
   };
   ecl_backfill_result_t result;

   (void) state;
   run_script (ECL_MODE_CLIENT, true, script, false, &result);
   assert_string_equal (result.error.message, "users: refused as told");
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_nothing_to_do),
      cmocka_unit_test (test_hint),
      cmocka_unit_test (test_what_comes_without_end),
      cmocka_unit_test (test_conflict_is_read_again),
      cmocka_unit_test (test_lost_write_is_read_again),
      cmocka_unit_test (test_majority_is_waited_for),
      cmocka_unit_test (test_majority_that_never_comes),
      cmocka_unit_test (test_quarantine_is_written_again),
      cmocka_unit_test (test_quarantine_by_the_hundred),
      cmocka_unit_test (test_conflicts_by_the_hundred),
      cmocka_unit_test (test_sizes_of_documents_that_are_not_read),
      cmocka_unit_test (test_sizes_that_no_find_computes),
      cmocka_unit_test (test_failed_range_is_done_here),
      cmocka_unit_test (test_versions_that_ids_do_not_tell),
      cmocka_unit_test (test_losses_between_successes),
      cmocka_unit_test (test_one_by_one),
      cmocka_unit_test (test_transactions),
      cmocka_unit_test (test_transaction_keeps_zero_timestamps),
      cmocka_unit_test (test_given_up_transactions),
      cmocka_unit_test (test_passing_refusals),
      cmocka_unit_test (test_no_permission_ends_it),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
