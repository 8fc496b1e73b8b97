/* The backfill with a write under way while the next batch is read and computed, against canned replies. The sender is
 * one of the test's own: the server answers as soon as a command is begun, or as late as when the answer is awaited. */
#include "backfill_check.h"

#define OK(n) "{\"ok\": 1, \"n\": " #n ", \"nModified\": " #n "}"
#define FIRST(...) "{\"ok\": 1, \"cursor\": {\"id\": 7, \"firstBatch\": [" __VA_ARGS__ "]}}"
#define NEXT(id, ...) "{\"ok\": 1, \"cursor\": {\"id\": " #id ", \"nextBatch\": [" __VA_ARGS__ "]}}"

/* clang-format off */
#define FIND(...) {"{ \"find\" : \"users\"", FIRST (__VA_ARGS__)}
#define MORE(id, ...) {"{ \"getMore\" :", NEXT (id, __VA_ARGS__)}
#define WRITE(id, reply) {"\"updates\" : [ { \"q\" : { \"_id\" : " #id " }", reply}
#define AGAIN(ids, ...) {"\"_id\" : { \"$in\" : [ " ids " ] }", DOCS (__VA_ARGS__)}
/* clang-format on */

/* ---- the sender ---- */

struct ecl_sender_t {
   fake_world_t *world;
   ecl_call_t call; /* under way; its database is NULL where none is */
   bool early;
   unsigned begun;

   ecl_reply_t answer;
   bson_t reply;
   bson_error_t error;
};

ecl_sender_t *
ecl_sender_start (const ecl_connector_t *connector, bson_error_t *error)
{
   (void) connector;
   (void) error;
   return NULL;
}

void
ecl_sender_stop (ecl_sender_t *self)
{
   (void) self;
}

ecl_world_t *
ecl_sender_world (ecl_sender_t *self)
{
   return &self->world->world;
}

void
ecl_sender_hold (ecl_sender_t *self, ecl_holder_t *holder)
{
   (void) self;
   (void) holder;
}

static void
run (ecl_sender_t *self)
{
   self->answer = fake_run_command (&self->world->world, &self->call, INT64_MAX, &self->reply, &self->error);
}

void
ecl_sender_begin (ecl_sender_t *self, const ecl_call_t *call, int64_t deadline)
{
   (void) deadline;
   assert_null (self->call.database); /* one at a time */
   self->call = *call;
   self->begun++;
   if (self->early) {
      run (self);
   }
}

ecl_reply_t
ecl_sender_await (ecl_sender_t *self, int64_t *answered, bson_t *reply, bson_error_t *error)
{
   assert_non_null (self->call.database);
   if (!self->early) {
      run (self);
   }
   self->call.database = NULL;
   *answered = self->world->now;
   bson_steal (reply, &self->reply);
   *error = self->error;
   return self->answer;
}

/* ---- a run ---- */

typedef struct {
   const char *after; /* what it was at each BETWEEN: "-", or the _id */
   char seen[128];
   int cancel_at; /* that BETWEEN; 0: none */
   int settle_at;
   int fail_at;
   int n;
   int at_end;    /* what it was last; 0: none */
   uint32_t told; /* number of the last batch */
   uint32_t written;
} watch_t;

static void
progress (void *context, const ecl_backfill_t *machine)
{
   const ecl_backfill_batch_t *last = ecl_backfill_last (machine);
   ecl_value_t after = ecl_backfill_after (machine);
   watch_t *watch = context;

   watch->at_end = ecl_is_missing (&after) ? 0 : (int) after.u.i64;
   if (last->number > watch->told) {
      watch->told = last->number;
      watch->written += last->wrote ? last->documents : 0;
   }
}

static bool
between (void *context, ecl_backfill_t *machine, bson_error_t *error)
{
   ecl_value_t after = ecl_backfill_after (machine);
   watch_t *watch = context;
   size_t used = strlen (watch->seen);

   if (ecl_is_missing (&after)) {
      snprintf (watch->seen + used, sizeof watch->seen - used, "- ");
   } else {
      snprintf (watch->seen + used, sizeof watch->seen - used, "%d ", (int) after.u.i64);
   }
   watch->n++;
   if (watch->n == watch->cancel_at) {
      ecl_backfill_cancel (machine);
   }
   if (watch->n == watch->settle_at) {
      assert_true (ecl_backfill_settle (machine));
   }
   return watch->n != watch->fail_at || ecl_fail (error, ECL_DOMAIN_STORE, ECL_ERROR_LEASE, "lost");
}

static void
run_overlapping (bool early, const canned_t *script, watch_t *watch, bool good, unsigned begun,
                 ecl_backfill_result_t *result)
{
   fake_world_t world = fake_world (script);
   ecl_sender_t sender = {.world = &world, .early = early};
   ecl_backfill_hooks_t hooks = {.context = watch, .sender = &sender, .between = between, .progress = progress};
   ecl_backfill_options_t options = {.mode = ECL_MODE_CLIENT, .once = true, .overlap = true};

   run_users (options, &world, &hooks, good, result, NULL);
   assert_null (sender.call.database); /* nothing is left under way */
   assert_int_equal (sender.begun, begun);
   if (watch->after) {
      assert_string_equal (watch->seen, watch->after);
   }
}

/* The next batch is asked for before the answer to the write is there; the checkpoint waits for the answer. Whoever looks
 * after each step misses no batch, also of the two that are answered at the end. */
static void
test_the_next_batch_is_read_meanwhile (void **state)
{
   const canned_t late[] = {
      FIND (USER (1, 1)),
      MORE (7, USER (2, 1)),
      WRITE (1, OK (1)),
      MORE (0, USER (3, 1)),
      WRITE (2, OK (1)),
      WRITE (3, OK (1)),
      {0},
   };
   const canned_t early[] = {
      FIND (USER (1, 1)),
      WRITE (1, OK (1)),
      MORE (7, USER (2, 1)),
      WRITE (2, OK (1)),
      MORE (0, USER (3, 1)),
      WRITE (3, OK (1)),
      {0},
   };

   (void) state;
   for (int i = 0; i < 2; i++) {
      watch_t watch = {.after = "- - 1 "};
      ecl_backfill_result_t result;

      run_overlapping (i, i ? early : late, &watch, true, 3, &result);
      assert_int_equal (result.counts.changed, 3);
      assert_int_equal (result.counts.seen, 3);
      assert_int_equal (watch.written, 3);
   }
}

/* A conflict of one batch is known when the next one is computed: both are answered before anything is read again, and
 * until it is done the checkpoint stays before them. */
static void
test_a_conflict_is_read_again_with_nothing_under_way (void **state)
{
   const canned_t script[] = {
      FIND (USER (1, 1) "," USER (2, 1)),
      MORE (7, USER (3, 1)),
      WRITE (1, "{\"ok\": 1, \"n\": 2, \"nModified\": 1}"),
      WRITE (3, OK (1)),
      AGAIN ("1, 2", USER (2, 5)),
      {"\"n\" : { \"$cond\" : [ \"$__eclose_unchanged\", 6", OK (1)},
      MORE (0, USER (4, 1)),
      WRITE (4, OK (1)),
      {0},
   };
   watch_t watch = {.after = "- - 3 "};
   ecl_backfill_result_t result;

   (void) state;
   run_overlapping (false, script, &watch, true, 3, &result);
   assert_int_equal (result.counts.changed, 4);
   assert_int_equal (result.counts.conflicts, 1);
}

/* It cannot be read again: the last checkpoint stays before it. */
static void
test_a_conflict_that_nothing_follows (void **state)
{
   const canned_t script[] = {
      FIND (USER (1, 1) "," USER (2, 1)),
      MORE (0),
      WRITE (1, "{\"ok\": 1, \"n\": 2, \"nModified\": 1}"),
      {"\"_id\" : { \"$in\" : [ 1, 2 ] }", "REFUSED 13"},
      {0},
   };
   ecl_backfill_result_t result;
   watch_t watch = {0};

   (void) state;
   run_overlapping (false, script, &watch, false, 1, &result);
   assert_int_equal (watch.at_end, 0);
}

static void
test_an_answer_that_is_lost (void **state)
{
   const canned_t script[] = {
      FIND (USER (1, 1)),       MORE (7, USER (2, 1)), WRITE (1, "LOST"), WRITE (2, OK (1)),
      AGAIN ("1", USER (1, 1)), WRITE (1, OK (1)),     MORE (0),          {0},
   };
   watch_t watch = {.after = "- - 2 "};
   ecl_backfill_result_t result;

   (void) state;
   run_overlapping (false, script, &watch, true, 2, &result);
   assert_int_equal (result.counts.changed, 2);
}

/* What the server refused is set aside, by what the statement says of its document: that has gone meanwhile. */
static void
test_what_is_refused (void **state)
{
   const canned_t script[] = {
      FIND (USER (1, 1) "," USER (2, 1)),
      MORE (0, USER (3, 1)),
      WRITE (1, "{\"ok\": 1, \"n\": 1, \"nModified\": 1, \"writeErrors\": [{\"index\": 1, \"code\": 121, \"errmsg\": "
                "\"no\"}]}"),
      WRITE (3, "REFUSED 14"),
      {"\"version\" : { \"$literal\" : 1 }", OK (1)},
      {0},
   };
   const canned_t whole[] = {
      FIND (USER (1, 1) "," USER (2, 1)), MORE (0, USER (3, 1)), WRITE (1, "REFUSED 14"),    WRITE (1, OK (1)),
      WRITE (2, "REFUSED 121"),           WRITE (3, OK (1)),     {"\"code\" : 121", OK (1)}, {0},
   };
   ecl_backfill_result_t result;
   watch_t watch = {0};

   (void) state;
   run_overlapping (false, script, &watch, true, 2, &result);
   assert_int_equal (result.counts.quarantined, 2);
   assert_int_equal (result.counts.changed, 1);
   run_overlapping (false, whole, &watch, true, 2, &result);
   assert_int_equal (result.counts.quarantined, 1);
   assert_int_equal (result.counts.changed, 2);
}

/* Asked to end: nothing new begins, and what is under way is awaited. */
static void
test_the_end_awaits (void **state)
{
   const canned_t cancelled[] = {
      FIND (USER (1, 1)),
      WRITE (1, OK (1)),
      {"killCursors", OK (0)},
      {0},
   };
   const canned_t hopeless[] = {
      FIND (USER (1, 1)), MORE (7, USER (2, 1)), WRITE (1, "REFUSED 13"), {"killCursors", OK (0)}, {0},
   };
   watch_t watch = {.cancel_at = 2, .after = "- - 1 "};
   ecl_backfill_result_t result;

   (void) state;
   run_overlapping (false, cancelled, &watch, true, 1, &result);
   assert_true (result.cancelled);
   assert_int_equal (result.counts.changed, 1);
   watch = (watch_t){.fail_at = 2, .after = "- - "};
   run_overlapping (false, cancelled, &watch, false, 1, &result);
   watch = (watch_t){0};
   run_overlapping (false, hopeless, &watch, false, 1, &result);
   assert_int_equal (result.counts.changed, 0);
}

/* Who wants to wait gets to know first what became of it. */
static void
test_settle (void **state)
{
   const canned_t script[] = {
      FIND (USER (1, 1)), WRITE (1, OK (1)), MORE (0, USER (2, 1)), WRITE (2, OK (1)), {0},
   };
   watch_t watch = {.settle_at = 2, .after = "- - 1 "};
   ecl_backfill_result_t result;

   (void) state;
   run_overlapping (false, script, &watch, true, 2, &result);
   assert_int_equal (result.counts.changed, 2);
}

/* A cursor that went away is opened behind what is under way, not behind what is answered. */
static void
test_a_cursor_that_is_gone (void **state)
{
   const canned_t script[] = {
      FIND (USER (1, 1)),
      {"{ \"getMore\" :", "REFUSED 43"},
      {"\"$gt\" : 1", DOCS (USER (2, 1))},
      WRITE (1, OK (1)),
      WRITE (2, OK (1)),
      {0},
   };
   ecl_backfill_result_t result;
   watch_t watch = {0};

   (void) state;
   run_overlapping (false, script, &watch, true, 2, &result);
   assert_int_equal (result.counts.changed, 2);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_the_next_batch_is_read_meanwhile),
      cmocka_unit_test (test_a_conflict_is_read_again_with_nothing_under_way),
      cmocka_unit_test (test_a_conflict_that_nothing_follows),
      cmocka_unit_test (test_an_answer_that_is_lost),
      cmocka_unit_test (test_what_is_refused),
      cmocka_unit_test (test_the_end_awaits),
      cmocka_unit_test (test_settle),
      cmocka_unit_test (test_a_cursor_that_is_gone),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
