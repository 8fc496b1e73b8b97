/* What the server says of how it fares, from canned replies: replica sets, delayed members, users who may not ask,
 * mongos, servers that know nothing of it. */
#include "fake_world.h"

#include "run/pressure.h"

#define ENTRY(t)                                                                                                 \
   "{\"ok\": 1, \"cursor\": {\"id\": 0, \"ns\": \"local.oplog.rs\", \"firstBatch\": [{\"ts\": {\"$timestamp\": " \
   "{\"t\": " #t ", \"i\": 1}}}]}}"
#define MEMBER(id, state, ms) \
   "{\"_id\": " #id ", \"state\": " #state ", \"optimeDate\": {\"$date\": {\"$numberLong\": \"" #ms "\"}}}"
#define DATE(ms) "{\"$date\": {\"$numberLong\": \"" #ms "\"}}"

typedef struct {
   int n;
   char last[640];
} said_t;

static void
say (void *context, const char *message)
{
   said_t *said = context;

   said->n++;
   snprintf (said->last, sizeof said->last, "%s", message);
}

/* In a run that has lasted for a while. */
static void
begin (ecl_pressure_reader_t *reader, fake_world_t *world, const canned_t *script, said_t *said)
{
   *world = fake_world (script);
   ecl_pressure_init (reader, say, said);
   reader->oplog_due = 1;
}

/* What is read so many ms later, when it is time for it. */
static void
read_after (int64_t ms, ecl_pressure_reader_t *reader, fake_world_t *world, ecl_pressure_t *pressure)
{
   world->now += ms;
   assert_true (ecl_pressure_read (reader, &world->world, pressure));
}

static void
test_replica_set (void **state)
{
   static const canned_t script[] = {
      {"\"$natural\" : 1 ", ENTRY (1000)},
      {"\"$natural\" : -1 ", ENTRY (5000)},
      {"replSetGetStatus", "{\"ok\": 1, \"members\": [" MEMBER (0, 1, 100000) ", " MEMBER (1, 2, 97000) ", " MEMBER (
                              2, 2, 40000) ", " MEMBER (3, 8, 1000) ", " MEMBER (104, 2, 50000) "]}"},
      {"replSetGetConfig", "{\"ok\": 1, \"config\": {\"members\": [{\"_id\": 0}, {\"_id\": 1}, {\"_id\": 2, "
                           "\"hidden\": false, \"secondaryDelaySecs\": 60}, {\"_id\": 104, \"priority\": 0, "
                           "\"hidden\": true}]}}"},
      {"serverStatus", "{\"ok\": 1, \"flowControl\": {\"enabled\": true, \"isLagged\": false}}"},
      /* a second later; the oplog is not asked again */
      {"replSetGetStatus", "{\"ok\": 1, \"members\": [" MEMBER (0, 1, 100000) ", " MEMBER (1, 2, 100500) "]}"},
      {"serverStatus", "{\"ok\": 1, \"flowControl\": {\"enabled\": true, \"isLagged\": true}}"},
      /* no primary to be seen, and one answer is lost */
      {"replSetGetStatus", "{\"ok\": 1, \"members\": [" MEMBER (1, 2, 100500) "]}"},
      {"serverStatus", "LOST"},
      {NULL},
   };
   ecl_pressure_reader_t reader;
   ecl_pressure_t pressure;
   fake_world_t world;
   said_t said = {0};

   (void) state;
   begin (&reader, &world, script, &said);
   assert_true (ecl_pressure_read (&reader, &world.world, &pressure));
   /* The member that is delayed on purpose, the one that is hidden and the one that is down do not count. */
   assert_int_equal (pressure.lag, 3000);
   assert_int_equal (pressure.flow, 0);
   assert_int_equal (pressure.oplog_first, 1000000);
   assert_int_equal (pressure.oplog_last, 5000000);
   world.now += 500;
   assert_false (ecl_pressure_read (&reader, &world.world, &pressure));
   read_after (500, &reader, &world, &pressure);
   assert_int_equal (pressure.lag, 0);
   assert_int_equal (pressure.flow, 1);
   assert_int_equal (pressure.oplog_last, 5000000);
   read_after (1000, &reader, &world, &pressure);
   assert_int_equal (pressure.lag, 0); /* of a second ago */
   assert_int_equal (pressure.lag_age, 1000);
   assert_int_equal (pressure.flow, 1);
   assert_int_equal (pressure.flow_age, 1000);
   assert_int_equal (said.n, 0);
   fake_done (&world);
}

/* What cannot be had just now is as it was, for a while: a worker that was stopped does not go on for want of an
 * answer. */
static void
test_lost (void **state)
{
   static const char lagged[] = "{\"ok\": 1, \"members\": [" MEMBER (0, 1, 100000) ", " MEMBER (1, 2, 40000) "]}";
   static const char held[] = "{\"ok\": 1, \"flowControl\": {\"isLagged\": true}}";
   static const canned_t script[] = {
      {"\"$natural\" : 1 ", ENTRY (1000)},
      {"\"$natural\" : -1 ", ENTRY (5000)},
      {"replSetGetStatus", lagged},
      {"replSetGetConfig", "REFUSED 13"},
      {"serverStatus", held},
      {"replSetGetStatus", "LOST"},
      {"serverStatus", "REFUSED 11600"},
      /* the oplog, too: its first entry is had, its last one is not */
      {"\"$natural\" : 1 ", ENTRY (2000)},
      {"\"$natural\" : -1 ", "LOST"},
      {"replSetGetStatus", "LOST"},
      {"serverStatus", "LOST"},
      {"replSetGetStatus", "LOST"},
      {"serverStatus", held},
      {"\"$natural\" : 1 ", "LOST"},
      {"replSetGetStatus", lagged},
      {"serverStatus", "LOST"},
      {NULL},
   };
   static const struct {
      int64_t after, lag, lag_age, flow, flow_age, oplog_first;
   } steps[] = {
      {0, 60000, 0, 1, 0, 1000000}, {1000, 60000, 1000, 1, 1000, 1000000}, {14000, 60000, 15000, 1, 15000, 1000000},
      {1000, -1, 0, 1, 0, 1000000}, {15000, 60000, 0, 1, 15000, -1},
   };
   ecl_pressure_reader_t reader;
   ecl_pressure_t pressure;
   fake_world_t world;
   said_t said = {0};

   (void) state;
   begin (&reader, &world, script, &said);
   for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
      world.now += steps[i].after;
      assert_true (ecl_pressure_read (&reader, &world.world, &pressure));
      assert_int_equal (pressure.lag, steps[i].lag);
      assert_int_equal (pressure.lag_age, steps[i].lag_age);
      assert_int_equal (pressure.flow, steps[i].flow);
      assert_int_equal (pressure.flow_age, steps[i].flow_age);
      assert_int_equal (pressure.oplog_first, steps[i].oplog_first);
   }
   assert_int_equal (said.n, 0);
   fake_done (&world);
}

/* A user with readWrite and no more. */
static void
test_not_allowed (void **state)
{
   static const canned_t script[] = {
      {"\"$natural\" : 1 ", "REFUSED 13"},
      {"replSetGetStatus", "REFUSED 13"},
      {"hello",
       "{\"ok\": 1, \"lastWrite\": {\"lastWriteDate\": " DATE (90000) ", \"majorityWriteDate\": " DATE (78000) "}}"},
      {"serverStatus", "REFUSED 13"},
      {"hello",
       "{\"ok\": 1, \"lastWrite\": {\"lastWriteDate\": " DATE (90000) ", \"majorityWriteDate\": " DATE (90000) "}}"},
      {NULL},
   };
   ecl_pressure_reader_t reader;
   ecl_pressure_t pressure;
   fake_world_t world;
   said_t said = {0};

   (void) state;
   begin (&reader, &world, script, &said);
   assert_true (ecl_pressure_read (&reader, &world.world, &pressure));
   assert_int_equal (pressure.lag, 12000);
   assert_int_equal (pressure.flow, -1);
   assert_int_equal (pressure.oplog_first, -1);
   assert_int_equal (said.n, 3);
   assert_non_null (strstr (said.last, "flow control is not known here"));
   /* It was said, and is not asked again; the oplog not even when it would be time. */
   read_after (20000, &reader, &world, &pressure);
   assert_int_equal (pressure.lag, 0);
   assert_int_equal (said.n, 3);
   fake_done (&world);
}

/* mongos, or a server that knows nothing of all this. */
static void
test_nothing (void **state)
{
   static const canned_t script[] = {
      {"\"$natural\" : 1 ", "{\"ok\": 1, \"cursor\": {\"id\": 0, \"firstBatch\": []}}"},
      {"replSetGetStatus", "REFUSED 20"},
      {"hello", "{\"ok\": 1, \"msg\": \"isdbgrid\"}"},
      {"serverStatus", "{\"ok\": 1}"},
      {NULL},
   };
   ecl_pressure_reader_t reader;
   ecl_pressure_t pressure;
   fake_world_t world;
   said_t said = {0};

   (void) state;
   begin (&reader, &world, script, &said);
   assert_true (ecl_pressure_read (&reader, &world.world, &pressure));
   assert_int_equal (pressure.lag, -1);
   assert_int_equal (pressure.flow, -1);
   assert_int_equal (pressure.oplog_last, -1);
   assert_int_equal (said.n, 4);
   world.now += 60000;
   assert_true (ecl_pressure_read (&reader, &world.world, &pressure)); /* nothing is sent */
   assert_int_equal (said.n, 4);
   fake_done (&world);
}

/* A server that is stepping down has not said that it may not be asked. */
static void
test_stepping_down (void **state)
{
   static const canned_t script[] = {
      {"\"$natural\" : 1 ", "REFUSED 11602"},
      {"replSetGetStatus", "REFUSED 11600"},
      {"serverStatus", "REFUSED 91"},
      {"replSetGetStatus", "{\"ok\": 1, \"members\": [" MEMBER (0, 1, 100000) ", " MEMBER (1, 2, 97000) "]}"},
      {"replSetGetConfig", "REFUSED 13"},
      {"serverStatus", "{\"ok\": 1, \"flowControl\": {\"isLagged\": false}}"},
      {NULL},
   };
   ecl_pressure_reader_t reader;
   ecl_pressure_t pressure;
   fake_world_t world;
   said_t said = {0};

   (void) state;
   begin (&reader, &world, script, &said);
   assert_true (ecl_pressure_read (&reader, &world.world, &pressure));
   assert_int_equal (pressure.lag, -1);
   read_after (1000, &reader, &world, &pressure);
   assert_int_equal (pressure.lag, 3000);
   assert_int_equal (pressure.flow, 0);
   assert_int_equal (said.n, 0);
   fake_done (&world);
}

/* Until it is known which members do not count, or that nobody says, it is asked again. */
static void
test_configuration (void **state)
{
   static const char members[] =
      "{\"ok\": 1, \"members\": [" MEMBER (0, 1, 100000) ", " MEMBER (1, 2, 97000) ", " MEMBER (2, 2, 60000) "]}";
   static const char hidden[] = "{\"ok\": 1, \"config\": {\"members\": [{\"_id\": 2, \"hidden\": true}]}}";
   const canned_t lost[] = {
      {"\"$natural\" : 1 ", "REFUSED 13"}, {"replSetGetStatus", members},
      {"replSetGetConfig", "LOST"},        {"serverStatus", "REFUSED 13"},
      {"replSetGetStatus", members},       {"replSetGetConfig", "REFUSED 11602"},
      {"replSetGetStatus", members},       {"replSetGetConfig", hidden},
      {"replSetGetStatus", members},       {NULL},
   };
   const canned_t refused[] = {
      {"\"$natural\" : 1 ", "REFUSED 13"}, {"replSetGetStatus", members}, {"replSetGetConfig", "REFUSED 13"},
      {"serverStatus", "REFUSED 13"},      {"replSetGetStatus", members}, {NULL},
   };
   static const int64_t lags[] = {40000, 40000, 3000, 3000};
   ecl_pressure_reader_t reader;
   ecl_pressure_t pressure;
   fake_world_t world;
   said_t said = {0};

   (void) state;
   begin (&reader, &world, lost, &said);
   for (size_t i = 0; i < sizeof lags / sizeof lags[0]; i++) {
      assert_true (ecl_pressure_read (&reader, &world.world, &pressure));
      assert_int_equal (pressure.lag, lags[i]);
      world.now += 1000;
   }
   fake_done (&world);
   begin (&reader, &world, refused, &said);
   for (int i = 0; i < 2; i++) {
      assert_true (ecl_pressure_read (&reader, &world.world, &pressure));
      assert_int_equal (pressure.lag, 40000);
      world.now += 1000;
   }
   fake_done (&world);
}

/* A run that is over soon fills no oplog, and the question may cost a scan of it. */
static void
test_oplog_later (void **state)
{
   static const canned_t script[] = {
      {"replSetGetStatus", "REFUSED 13"},   {"hello", "{\"ok\": 1}"},
      {"serverStatus", "REFUSED 13"},       {"\"$natural\" : 1 ", ENTRY (1000)},
      {"\"$natural\" : -1 ", ENTRY (5000)}, {NULL},
   };
   ecl_pressure_reader_t reader;
   ecl_pressure_t pressure;
   fake_world_t world;
   said_t said = {0};

   (void) state;
   world = fake_world (script);
   ecl_pressure_init (&reader, say, &said);
   assert_true (ecl_pressure_read (&reader, &world.world, &pressure));
   assert_int_equal (pressure.oplog_last, -1);
   read_after (ECL_PRESSURE_OPLOG, &reader, &world, &pressure);
   assert_int_equal (pressure.oplog_last, 5000000);
   fake_done (&world);
}

int
main (void)
{
   const struct CMUnitTest tests[] = {
      cmocka_unit_test (test_replica_set),   cmocka_unit_test (test_not_allowed),   cmocka_unit_test (test_nothing),
      cmocka_unit_test (test_stepping_down), cmocka_unit_test (test_configuration), cmocka_unit_test (test_oplog_later),
      cmocka_unit_test (test_lost),
   };

   return cmocka_run_group_tests (tests, NULL, NULL);
}
