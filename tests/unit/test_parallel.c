/* Several threads, of which one fails or has counted enough while another one waits for a server that is gone: that one
 * hears of it before its next try, and not when its own patience is over. */
#include "fake_world.h"

#include "backfill/tally.h"
#include "backfill/walk.h"

#include <sched.h>
#include <stdatomic.h>
#include <time.h>

/* Waits of the one whose server is gone that are too many; each takes a hundredth of a second. Its own patience, by its
 * own clock, lasts longer. */
#define MANY 500

typedef struct {
   ecl_world_t world;
   int64_t now;
   bool gone;         /* its server answers nothing */
   const char *reply; /* of the other one, once that has been noticed; NULL: a refusal */
} link_t;

static atomic_uint waits; /* of the one whose server is gone */
static atomic_bool cancel;

static int64_t
link_now (ecl_world_t *self)
{
   return ((link_t *) self)->now;
}

static bool
link_wait (ecl_world_t *self, int64_t ms)
{
   const struct timespec t = {.tv_nsec = 10 * 1000 * 1000};

   ((link_t *) self)->now += ms;
   atomic_fetch_add (&waits, 1);
   nanosleep (&t, NULL);
   return true;
}

static bool
link_cancelled (ecl_world_t *self)
{
   (void) self;
   return atomic_load (&cancel);
}

/* What comes before the threads: 40 documents, whose _ids are cut in three. */
static const char *
before_threads (const char *command)
{
   return strstr (command, "\"count\" : \"users\"") ? "{\"ok\": 1, \"n\": 40}"
          : strstr (command, "$sample")             ? DOCS ("{\"_id\": 10}, {\"_id\": 20}")
                                                    : NULL;
}

static ecl_reply_t
link_run_command (ecl_world_t *self, const ecl_call_t *call, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   link_t *link = (link_t *) self;
   char *text = bson_as_relaxed_extended_json (call->command, NULL);
   const char *answer = before_threads (text);
   ecl_reply_t result = ECL_REPLY_OK;

   (void) deadline;
   memset (error, 0, sizeof *error);
   if (link->gone) {
      bson_init (reply);
      ecl_fail (error, ECL_DOMAIN_RUN, ECL_ERROR_SERVER, "the connection was cut");
      result = ECL_REPLY_LOST;
   } else {
      if (!answer) {
         while (!atomic_load (&waits)) {
            sched_yield ();
         }
         answer = link->reply;
      }
      if (answer) {
         assert_true (bson_init_from_json (reply, answer, -1, error));
      } else {
         bson_init (reply);
         bson_set_error (error, 17, 13, "not authorized");
         result = ECL_REPLY_REFUSED;
      }
   }
   bson_free (text);
   return result;
}

static link_t
make_link (bool gone, const char *reply)
{
   return (link_t){.world = {.now = link_now,
                             .random = fake_random,
                             .wait = link_wait,
                             .cancelled = link_cancelled,
                             .run_command = link_run_command},
                   .now = 1000,
                   .gone = gone,
                   .reply = reply};
}

/* The second thread's, whose server is gone. */
static ecl_world_t *
open_link (void *context, int32_t timeout, bson_error_t *error)
{
   link_t *link = context;

   (void) timeout;
   (void) error;
   *link = make_link (true, NULL);
   return &link->world;
}

static void
close_link (void *context, ecl_world_t *world)
{
   (void) context;
   (void) world;
}

static int
setup (void **state)
{
   (void) state;
   atomic_store (&waits, 0);
   atomic_store (&cancel, false);
   return 0;
}

static ecl_tally_t
count (const char *reply, int64_t enough, bson_error_t *error)
{
   link_t first = make_link (false, reply), second;
   ecl_connector_t connector = {.context = &second, .connect = open_link, .disconnect = close_link};
   bson_t filter = BSON_INITIALIZER;
   const bson_t *filters[] = {&filter};
   ecl_tally_options_t options = {.database = "shop",
                                  .collection = "users",
                                  .filters = filters,
                                  .n_filters = 1,
                                  .look = {10, 2, &connector},
                                  .enough = enough};
   int64_t n;

   return ecl_tally (&first.world, &options, &n, error);
}

static void
test_one_that_counts_is_refused (void **state)
{
   bson_error_t error;

   (void) state;
   assert_int_equal (count (NULL, 0, &error), ECL_TALLY_FAILED);
   assert_string_equal (error.message, "not authorized");
   assert_true (atomic_load (&waits) < MANY);
}

static void
test_one_has_counted_enough (void **state)
{
   bson_error_t error;

   (void) state;
   assert_int_equal (count (DOCS ("{\"n\": 10}"), 10, &error), ECL_TALLY_ENOUGH);
   assert_true (atomic_load (&waits) < MANY);
}

typedef struct {
   ecl_walk_t first;
   bson_error_t error; /* of the one that failed */
   atomic_uint failed, ended;
} reading_t;

static void
read_through (void *context, uint32_t number, ecl_world_t *world, const bson_error_t *why)
{
   reading_t *self = context;
   ecl_walk_t own, *walk = number ? &own : &self->first;
   const ecl_value_t *document;
   bson_error_t error;

   (void) why;
   if (number) {
      ecl_walk_share (&own, &self->first, world);
   }
   if (ecl_walk_next (walk, &document, &error)) {
      atomic_fetch_add (&self->ended, !document);
   } else {
      self->error = error;
      atomic_fetch_add (&self->failed, 1);
      ecl_walk_stop (&self->first);
   }
   if (number) {
      ecl_walk_cleanup (&own);
   }
}

static void
test_one_that_reads_is_refused (void **state)
{
   link_t first = make_link (false, NULL), second;
   ecl_connector_t connector = {.context = &second, .connect = open_link, .disconnect = close_link};
   reading_t reading = {.failed = 0};
   bson_error_t error;

   (void) state;
   assert_true (ecl_walk_init (&reading.first, &first.world, "shop", "users", 0, 10, 2, &error));
   ecl_parallel_run (&first.world, &connector, 2, read_through, &reading);
   ecl_walk_cleanup (&reading.first);
   assert_int_equal (reading.failed, 1);
   assert_int_equal (reading.ended, 1);
   assert_string_equal (reading.error.message, "not authorized");
   assert_true (atomic_load (&waits) < MANY);
}

/* Nobody else there. */
static bool
wait_and_cancel (ecl_world_t *self, int64_t ms)
{
   atomic_store (&cancel, true);
   return link_wait (self, ms);
}

static void
test_one_that_waits_is_cancelled (void **state)
{
   link_t link = make_link (true, NULL);
   ecl_tally_options_t options = {.database = "shop", .collection = "users"};
   bson_error_t error;
   int64_t n[1];

   (void) state;
   link.world.wait = wait_and_cancel;
   assert_int_equal (ecl_tally (&link.world, &options, n, &error), ECL_TALLY_FAILED);
   assert_string_equal (error.message, "ended as asked for");
   assert_int_equal (atomic_load (&waits), 1);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup (test_one_that_counts_is_refused, setup),
      cmocka_unit_test_setup (test_one_has_counted_enough, setup),
      cmocka_unit_test_setup (test_one_that_reads_is_refused, setup),
      cmocka_unit_test_setup (test_one_that_waits_is_cancelled, setup),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
