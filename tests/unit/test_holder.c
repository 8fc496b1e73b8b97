/* A lease against canned replies: what is sent, and for how long, and when it is lost. That two never hold it is for the
 * simulator. */
#include "fake_world.h"

#include "run/holder.h"

#define TIME 3000
#define VALUE(beat, more)                                                                                        \
   "{\"ok\": 1, \"value\": {\"_id\": \"x\", \"token\": 5, \"beat\": " #beat ", \"holder\": {\"id\": {\"$oid\": " \
   "\"040000000000000004000000\"}}" more "}}"
/* Whoever had it before is to be ended. */
#define ASKED "\"$ifNull\" : [ \"$sessions\""
#define GRANT              \
   {                       \
      ASKED, VALUE (1, "") \
   }

static int64_t given; /* the deadline of the last command */

static ecl_reply_t
run_command (ecl_world_t *self, const ecl_call_t *call, int64_t deadline, bson_t *reply, bson_error_t *error)
{
   given = deadline;
   return fake_run_command (self, call, deadline, reply, error);
}

static ecl_acquire_t
acquire (const canned_t *script, fake_world_t *world, ecl_holder_t *holder)
{
   ecl_holder_options_t options = {.database = "shop", .name = "x", .time = TIME};
   bson_error_t error;

   *world = fake_world (script);
   world->world.run_command = run_command;
   ecl_holder_init (holder, &options);
   return ecl_holder_acquire (holder, &world->world, 0, NULL, NULL, &error);
}

static void
end (fake_world_t *world, ecl_holder_t *holder)
{
   fake_done (world);
   ecl_holder_cleanup (holder);
}

/* A statement gets no more time than the lease has; one of which nothing is known is ended by the next holder. */
static void
test_statements (void **state)
{
   const canned_t known[] = {
      GRANT, {"\"find\" : \"users\"", "{\"ok\": 1}"}, {"\"$ifNull\" : [ \"$$REMOVE\"", VALUE (1, "")}, {0}};
   const canned_t unknown[] = {
      GRANT, {"\"find\" : \"users\"", "LOST"}, {"\"$ifNull\" : [ \"$sessions\"", VALUE (1, "")}, {0}};

   (void) state;
   for (int i = 0; i < 2; i++) {
      bson_t command = BSON_INITIALIZER, reply;
      ecl_call_t call = {.database = "shop", .command = &command};
      ecl_held_world_t held;
      fake_world_t world;
      ecl_holder_t holder;
      bson_error_t error;

      BSON_APPEND_UTF8 (&command, "find", "users");
      assert_int_equal (acquire (i ? unknown : known, &world, &holder), ECL_ACQUIRED);
      (void) ecl_held_world_init (&held, &world.world, &holder);
      assert_int_equal (held.world.run_command (&held.world, &call, world.now + 60000, &reply, &error),
                        i ? ECL_REPLY_LOST : ECL_REPLY_OK);
      assert_int_equal (given, world.now + TIME);
      bson_destroy (&reply);
      bson_destroy (&command);
      ecl_holder_release (&holder, &world.world);
      end (&world, &holder);
   }
}

/* An answer that comes when the time is over: others have looked meanwhile, and gave up. At the server one that is too
 * late clears the beat, or it would look like the renewal before it. */
static void
test_renewed_too_late (void **state)
{
   const canned_t script[] = {GRANT, {"\"beat\" : { \"$literal\" : 0 }", VALUE (2, ""), TIME + 1}, {0}};
   fake_world_t world;
   ecl_holder_t holder;
   bson_error_t error;

   (void) state;
   assert_int_equal (acquire (script, &world, &holder), ECL_ACQUIRED);
   assert_false (ecl_holder_renew (&holder, &world.world, &error));
   assert_true (ecl_is_lease_error (&error));
   assert_false (ecl_holder_held (&holder, world.now));
   end (&world, &holder);
}

/* What the holder before left running is ended first. Where nothing is known of that the lease is not ours; a server that
 * refuses it is one without sessions. */
static void
test_taken_over (void **state)
{
#define DOOMED_GRANT                                                                                                 \
   {                                                                                                                 \
      ASKED,                                                                                                         \
         VALUE (1, ", \"doomed\": [{\"$binary\": {\"base64\": \"AAAAAAAAAAAAAAAAAAAAAA==\", \"subType\": \"04\"}}]") \
   }
   const canned_t lost[] = {DOOMED_GRANT, {"killSessions", "LOST", TIME + 1}, {0}};
   const canned_t refused[] = {DOOMED_GRANT, {"killSessions", "REFUSED 59"}, {0}};
   const canned_t ended[] = {DOOMED_GRANT, {"killSessions", "{\"ok\": 1}"}, {"\"doomed\" : [  ]", VALUE (1, "")}, {0}};
   fake_world_t world;
   ecl_holder_t holder;

   (void) state;
   assert_int_equal (acquire (lost, &world, &holder), ECL_ACQUIRE_FAILED);
   end (&world, &holder);
   assert_int_equal (acquire (refused, &world, &holder), ECL_ACQUIRED);
   end (&world, &holder);
   assert_int_equal (acquire (ended, &world, &holder), ECL_ACQUIRED);
   end (&world, &holder);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_statements),
      cmocka_unit_test (test_renewed_too_late),
      cmocka_unit_test (test_taken_over),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
